"""What a YAML file from elsewhere may not do: run code, set variables, write where it likes, or
grow without end while it is read.

Part of the door, as it reaches into Hydra: every file that is loaded from outside conf/ is looked
at first, and so is the part of the composed configuration that Hydra itself acts on.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from raspitrain.config.build import locate
from raspitrain.errors import InputError

LARGEST_FILE = 256 << 10  # bytes
MOST_VALUES = 20_000  # once every alias is written out
DEEPEST = 40
HYDRA_PLUGINS = ("hydra._internal.core_plugins.", "hydra_plugins.", "raspitrain.")
LOGGING = ("hydra.job_logging.", "hydra.hydra_logging.")
HANDLERS = ("logging.StreamHandler", "logging.NullHandler")


def guard(own: Path) -> None:
    """From now on Hydra loads nothing that `check_file` or `check_hydra` refuses.

    Parameters
    ----------
    own : our own conf/, which is taken as it is
    """
    if not hasattr(ConfigRepository.load_config, "__wrapped__"):
        looked_at = _looked_at(ConfigRepository.load_config, own)
        ConfigRepository.load_config = looked_at  # type: ignore[method-assign]
        held_back = _held_back(ConfigLoaderImpl.load_configuration)
        ConfigLoaderImpl.load_configuration = held_back  # type: ignore[method-assign]


def _looked_at(load_config: Callable[..., Any], own: Path) -> Callable[..., Any]:
    @functools.wraps(load_config)
    def load(self: ConfigRepository, config_path: str) -> Any:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is not None and source.scheme() == "file" and source.path != str(own):
            file = Path(source.path, source._normalize_file_name(config_path))
            if own not in file.resolve().parents:
                check_file(file, keys=True)
        return load_config(self, config_path)

    return load


def _held_back(load_configuration: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(load_configuration)
    def load(self: ConfigLoaderImpl, config_name: str | None, *args: Any, **kwargs: Any) -> Any:
        composed = load_configuration(self, config_name, *args, **kwargs)
        if config_name is not None:  # --hydra-help shows Hydra alone
            check_hydra(composed)
        return composed

    return load


def check_file(path: Path, *, keys: bool) -> None:
    """Refuse a YAML file that is not text, names Python objects, or unfolds without end.

    Parameters
    ----------
    keys : whether it must hold keys with values, as a configuration does
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a file.")  # a pipe would be waited for
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None
    if len(data) > LARGEST_FILE:
        raise InputError(
            f"{path} is larger than {LARGEST_FILE >> 10} kB, which no configuration needs; data "
            "belongs into files of its own."
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8: {error.reason} at {error.start}.") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise InputError(
            f"{path}{where}: {error.problem or error.context}; mend the YAML."
        ) from None
    except yaml.YAMLError as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{path} is not YAML: {first}.") from None
    except RecursionError:
        raise InputError(f"{path} is nested too deeply: use fewer levels.") from None
    if node is None:
        return
    if keys and not isinstance(node, yaml.MappingNode):
        raise InputError(f"{path} must hold keys with values, such as epochs: 30.")
    _measure(node, path, {}, ())


def _measure(node: yaml.Node, path: Path, known: dict[int, int], above: tuple[int, ...]) -> int:
    """How many values the node stands for, each alias written out."""
    if id(node) in known:
        return known[id(node)]
    line = node.start_mark.line + 1
    if id(node) in above:
        raise InputError(f"{path}, line {line}: a value that contains itself; mend the YAML.")
    if len(above) > DEEPEST:
        raise InputError(f"{path}, line {line} is nested too deeply: use fewer levels.")
    if not node.tag.startswith("tag:yaml.org,2002:") or ":python/" in node.tag:
        raise InputError(
            f"{path}, line {line}: the tag {node.tag} names an object, and a configuration holds "
            "plain values alone."
        )
    children: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        children = node.value
    elif isinstance(node, yaml.MappingNode):
        children = [child for pair in node.value for child in pair]
    total = 1
    for child in children:
        total += _measure(child, path, known, (*above, id(node)))
        if total > MOST_VALUES:
            raise InputError(
                f"{path}, line {line} stands for more than {MOST_VALUES} values once its aliases "
                "are written out; no configuration needs so many."
            )
    known[id(node)] = total
    return total


def check_hydra(composed: DictConfig) -> None:
    """Hold Hydra's own section of a composed configuration to what a run of ours needs of it."""
    for key, value in _leaves("hydra", composed._get_node("hydra")):
        name = key.rsplit(".", 1)[-1]
        if name == "_target_" and value is not None:
            _check_plugin(key, value)
        elif key.startswith(LOGGING) and (
            name == "()" or (name == "class" and value not in HANDLERS)
        ):
            raise InputError(
                f"{key}={value} is not allowed: a log may only go to the screen, and a run keeps "
                "run.log by itself."
            )
        elif isinstance(value, str) and "${" in value and _is_group(composed, key):
            raise InputError(f"{key}={value} is not allowed: write the group out.")
    node = composed.hydra
    if node.job.env_set:
        raise InputError(
            "hydra.job.env_set is not allowed: set variables before the command, as in "
            "OMP_NUM_THREADS=1 python -m raspitrain."
        )
    if node.output_subdir is not None:
        raise InputError(
            "hydra.output_subdir must be null: the run writes its own configuration, as "
            "config.yaml and overrides.yaml."
        )
    if node.job.chdir:
        raise InputError("hydra.job.chdir must be false: a run never changes the folder.")
    for name in ("run", "sweep"):
        folder = node[name]._get_node("dir") if OmegaConf.is_dict(node[name]) else None
        if folder is None or folder._is_none() or folder._is_missing():
            raise InputError(f"hydra.{name}.dir must name a folder.")


def _check_plugin(key: str, name: Any) -> None:
    """`name` lies within a plugin, and so does what it leads to."""
    refused = InputError(
        f"{key}={name} is not allowed: only Hydra's own plugins and installed ones "
        "(hydra_plugins.…) may be named there."
    )
    if not isinstance(name, str) or not name.startswith(HYDRA_PLUGINS):
        raise refused
    home = getattr(locate(key.removesuffix("._target_"), name), "__module__", None)
    if not f"{home}.".startswith(HYDRA_PLUGINS):
        raise refused


def _is_group(composed: DictConfig, key: str) -> bool:
    """Whether the interpolation under `key` leads to more than one value."""
    try:
        return OmegaConf.is_config(OmegaConf.select(composed, key))
    except OmegaConfBaseException:
        return False  # whoever needs the value will say so


def _leaves(key: str, node: Any) -> Iterator[tuple[str, Any]]:
    """Every key below in dots with its value as it is written, interpolations unresolved."""
    if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
        for name in list(node):
            yield from _leaves(f"{key}.{name}", node._get_node(name))
    elif isinstance(node, ListConfig) and not node._is_none() and not node._is_interpolation():
        for number in range(len(node)):
            yield from _leaves(f"{key}[{number}]", node._get_node(number))
    else:
        yield key, node._value() if hasattr(node, "_value") else node
