"""What a YAML file from elsewhere may not do: run code, set variables, write where it likes, or
grow without end while it is read.

Part of the door, as it reaches into Hydra: every file that is loaded from outside conf/ is looked
at first, then what it sets in Hydra's own section, and at the end that section as it was composed.
"""

import functools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from raspitrain.cli.quick import quick_yaml
from raspitrain.config.targets import locate
from raspitrain.config.yaml_file import check_file
from raspitrain.errors import InputError

# What of Hydra's own section a file from elsewhere may set: what a sweep varies, and the settings
# of a search; no instructions (_target_, _args_) at any depth.
OPEN_TO_FILES = "hydra.sweeper."
OWN_CALLBACKS = {"folders": {"_target_": "raspitrain.cli.main.NoteFolders"}}
OWN_PLUGINS = (
    "hydra_plugins.raspitrain_sweep.ProcessLauncher",
    "hydra_plugins.raspitrain_sweep.GridSweeper",
    "hydra_plugins.raspitrain_optuna.OptunaSweeper",
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
)
LOGGING = ("hydra.job_logging.", "hydra.hydra_logging.")
HANDLERS = ("logging.StreamHandler", "logging.NullHandler")
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
FROM = "raspitrain_file"  # in the header of what was loaded from elsewhere: the file


def guard(own: Path, words: list[str]) -> None:
    """From now on Hydra loads nothing that is not allowed here.

    Parameters
    ----------
    own : our own conf/, which is taken as it is
    words : of the command line
    """
    OmegaConf.register_new_resolver("oc.env", _variables_of(words), replace=True)
    if not hasattr(ConfigRepository.load_config, "__wrapped__"):
        looked_at = _looked_at(ConfigRepository.load_config, own)
        ConfigRepository.load_config = looked_at  # type: ignore[method-assign]
        sifted = _sifted(ConfigLoaderImpl._load_single_config)
        ConfigLoaderImpl._load_single_config = sifted  # type: ignore[method-assign]
        held_back = _held_back(ConfigLoaderImpl.load_configuration)
        ConfigLoaderImpl.load_configuration = held_back  # type: ignore[method-assign]


_NOTHING = object()


def _variables_of(words: list[str]) -> Callable[..., str | None]:
    """${oc.env:NAME} for the names that the command line itself holds.

    What a configuration holds ends up in config.yaml, checkpoints, summary.json and pages: a file
    from elsewhere could publish a token that way.
    """
    typed = {name for word in words for name in re.findall(r"\$\{oc\.env:\s*(\w+)", word)}

    def env(name: str, default: Any = _NOTHING) -> str | None:
        if name not in typed:
            raise InputError(
                f"${{oc.env:{name}}} is not allowed in a YAML, as the variable's value would end "
                f"up in the results: give its key on the command line, as in "
                f"'key=${{oc.env:{name}}}'."
            )
        if name in os.environ:
            return os.environ[name]
        if default is _NOTHING:
            raise KeyError(f"Environment variable '{name}' not found")
        return None if default is None else str(default)

    return env


def _looked_at(load_config: Callable[..., Any], own: Path) -> Callable[..., Any]:
    @functools.wraps(load_config)
    def load(self: ConfigRepository, config_path: str) -> Any:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        file: Path | None = None
        if source is not None and source.scheme() == "file":
            # Whichever source it is: a name may lead out of its folder.
            file = Path(source.path, source._normalize_file_name(config_path))
            file = None if own in file.resolve().parents else file
            if file is not None:
                check_file(file, keys=True)
        with quick_yaml() if file is None else nullcontext():
            loaded = load_config(self, config_path)
        if source is not None and loaded is not None:
            ours = ("structured", "pkg") if source.path in ("", "hydra.conf") else ("structured",)
            if file is not None or source.scheme() not in ("file", *ours):
                where = str(file or f"{source.scheme()}://{source.path}/{config_path}")
                loaded.header[FROM] = where
                _check_search_path(where, loaded.config)
        return loaded

    return load


def _check_search_path(where: str, config: Any) -> None:
    """The main file may name more folders of YAML; a package would be imported."""
    hydra = config._get_node("hydra") if isinstance(config, DictConfig) else None
    paths = hydra._get_node("searchpath") if isinstance(hydra, DictConfig) else None
    if paths is None or (isinstance(paths, ListConfig) and paths._is_none()):
        return
    values = [v for _, v in _written("", paths)]
    if not all(isinstance(v, str) and v.startswith("file://") and "${" not in v for v in values):
        raise InputError(
            f"{where}: hydra.searchpath may only name folders there, as in file:///home/me/conf; "
            "for packages, give it on the command line."
        )


def _sifted(load_single: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(load_single)
    def load(self: ConfigLoaderImpl, *args: Any, **kwargs: Any) -> Any:
        loaded = load_single(self, *args, **kwargs)
        if (where := loaded.header.get(FROM)) is not None:
            # By now it stands at the place that its package names.
            _check_section(where, loaded.config)
        return loaded

    return load


def _check_section(where: str, config: Any) -> None:
    """InputError if a file from elsewhere sets what in Hydra's section is not open to it."""
    if not isinstance(config, DictConfig) or "hydra" not in config:
        return
    ours = _own_section()
    for key, value in _written("hydra", config._get_node("hydra")):
        if key.startswith("hydra.searchpath[") or ours.get(key, _NOTHING) == value:
            continue
        plain = not isinstance(value, str) or "${" not in value
        if not (plain and key.startswith(OPEN_TO_FILES) and "._" not in key):
            raise InputError(
                f"{where}: {key}={value} is not allowed: in a YAML, nothing below hydra may be set "
                "but hydra.sweeper and its settings; give it on the command line."
            )


@functools.cache
def _own_section() -> dict[str, Any]:
    """What conf/config.yaml sets there: a copy of it may say the same."""
    from raspitrain.paths import config_folder

    ours = OmegaConf.load(config_folder() / "config.yaml")
    assert isinstance(ours, DictConfig)
    return dict(_written("hydra", ours["hydra"]))


def _held_back(load_configuration: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(load_configuration)
    def load(self: ConfigLoaderImpl, config_name: str | None, *args: Any, **kwargs: Any) -> Any:
        composed = load_configuration(self, config_name, *args, **kwargs)
        if config_name is not None:  # --hydra-help shows Hydra alone
            check_hydra(composed)
        return composed

    return load


def check_hydra(composed: DictConfig) -> None:
    """Hold Hydra's own section of a composed configuration to what a run of ours needs of it."""
    typed = [str(word).split("=")[0] for word in composed.hydra.overrides.hydra]
    for key, value in _written("hydra", composed._get_node("hydra")):
        name = key.rsplit(".", 1)[-1]
        if key.startswith("hydra.callbacks."):
            continue
        if name == "_target_" and value is not None:
            _check_plugin(key, value, typed)
        elif key.startswith(LOGGING) and (
            name == "()"
            or (name == "class" and value not in HANDLERS)
            or (isinstance(value, str) and "://" in value and value not in STREAMS)
        ):
            raise InputError(
                f"{key}={value} is not allowed: a log may only go to the screen, and a run keeps "
                "run.log by itself."
            )
        elif isinstance(value, str) and "${" in value and _is_group(composed, key):
            raise InputError(f"{key}={value} is not allowed: write the group out.")
    _check_callbacks(composed.hydra._get_node("callbacks"))
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
        _check_stays(f"hydra.{name}.dir", folder)


def _check_stays(key: str, folder: Any) -> None:
    """What a folder's name refers to may come from a file: it may not lead up and out."""
    written = str(folder._value())
    if "${" not in written or written == _own_section()[key]:
        return
    resolved = str(folder._maybe_dereference_node(throw_on_resolution_failure=True)._value())
    if ".." in Path(resolved).parts and ".." not in written:
        raise InputError(f"{key}={written} leads to {resolved}: write a folder's name out.")


def _check_callbacks(callbacks: Any) -> None:
    """The one of ours and no other: Hydra calls whatever stands there."""
    for key, value in _written("hydra.callbacks", callbacks):
        name, _, rest = key.removeprefix("hydra.callbacks.").partition(".")
        if OWN_CALLBACKS.get(name, {}).get(rest) != value:
            raise InputError(f"{key}={value} is not allowed: a run has no callbacks but its own.")


def _check_plugin(key: str, name: Any, typed: list[str]) -> None:
    """A launcher or sweeper is one of ours or of Hydra's, or the command line has chosen it."""
    if name in OWN_PLUGINS:
        return
    refused = InputError(
        f"{key}={name} is not allowed: another plugin than raspitrain's own (hydra_plugins.…) must "
        "be installed and chosen on the command line."
    )
    group = key.removesuffix("._target_")
    if not isinstance(name, str) or not name.startswith("hydra_plugins."):
        raise refused
    if not {group.replace(".", "/"), key} & {word.lstrip("+") for word in typed}:
        raise refused
    home = getattr(locate(group, name), "__module__", None)
    if not f"{home}.".startswith("hydra_plugins."):
        raise refused


def _is_group(composed: DictConfig, key: str) -> bool:
    """Whether the interpolation under `key` leads to more than one value."""
    try:
        return OmegaConf.is_config(OmegaConf.select(composed, key))
    except OmegaConfBaseException:
        return False  # whoever needs the value will say so


def _written(key: str, node: Any) -> Iterator[tuple[str, Any]]:
    """Every key below in dots with its value as it is written, interpolations unresolved."""
    if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
        for name in list(node):
            yield from _written(f"{key}.{name}", node._get_node(name))
    elif isinstance(node, ListConfig) and not node._is_none() and not node._is_interpolation():
        for number in range(len(node)):
            yield from _written(f"{key}[{number}]", node._get_node(number))
    else:
        yield key, node._value() if hasattr(node, "_value") else node
