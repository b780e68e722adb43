"""From the files in conf/ to a configuration, in a program.

    cfg = compose({"model": "resnet", "optimizer.lr": 0.01})

The command composes the same files by Hydra, which is not imported here; a test holds the two
together for every option of every group.
"""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from raspitrain.config.rules import COMPONENTS, OPTIONAL, leaves
from raspitrain.errors import InputError
from raspitrain.nearest import did_you_mean
from raspitrain.paths import config_folder, options_of
from raspitrain.results.configuration import plain

OF_HYDRA = ("hydra", "sweep")  # no part of one run
AT_THE_TOP = "# @package _global_"


def compose(given: Mapping[str, Any]) -> DictConfig:
    """The configuration that conf/ and these values come to; not checked yet.

    Parameters
    ----------
    given : the option of a group by the group's name, the value of a key by its name in dots, or
        a dict: of keys below, or a component that has a `_target_` of its own

    Raises
    ------
    InputError
        There is no such option or key.
    """
    primary = _load("config")
    named = [entry for entry in primary.pop("defaults") if isinstance(entry, Mapping)]
    choices = {str(group): option for entry in named for group, option in entry.items()}
    choices = {
        group: option
        for group, option in choices.items()
        if not group.startswith("override ") and group not in OF_HYDRA
    }
    typed = {key: value for key, value in given.items() if key in choices and _is_option(value)}
    for group, option in typed.items():
        _check_option(group, option)
    choices |= typed
    for group, option in choices.items():
        if option is not None:
            choices |= _overridden(group, option) | typed
    nodes = [_node(group, option) for group, option in choices.items() if option is not None]
    cfg = OmegaConf.merge({k: v for k, v in primary.items() if k not in OF_HYDRA}, *nodes)
    assert isinstance(cfg, DictConfig)
    for key, value in given.items():
        if key not in typed:
            _set(cfg, key, value)
    return cfg


def _is_option(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _check_option(group: str, option: str | None) -> None:
    if option is None and group not in COMPONENTS:
        return
    options = options_of(group)
    if option not in options:
        shown = "null" if option is None else option
        hint = did_you_mean(shown, options) or ";"
        raise InputError(
            f"{group}={shown}: there is no such option{hint} {group} may be {', '.join(options)}."
        )


def _load(name: str) -> dict[str, Any]:
    own = OmegaConf.load(config_folder() / f"{name}.yaml")
    assert isinstance(own, DictConfig)
    return plain(own, resolve=False)


def _overridden(group: str, option: str) -> dict[str, Any]:
    """What a preset chooses of other groups."""
    entries = _load(f"{group}/{option}").get("defaults", ())
    chosen = {k: v for entry in entries if isinstance(entry, Mapping) for k, v in entry.items()}
    return {key.removeprefix("override /"): value for key, value in chosen.items()}


def _node(group: str, option: str) -> DictConfig:
    """What a file says, with those that it builds on, where it belongs in the configuration."""
    own = _load(f"{group}/{option}")
    bases = [entry for entry in own.pop("defaults", ()) if isinstance(entry, str)]
    text = (config_folder() / group / f"{option}.yaml").read_text("utf-8")
    at_the_top = text.startswith(AT_THE_TOP)
    nodes = [_node(group, base) for base in bases]
    merged = OmegaConf.merge(*nodes, own if at_the_top else {group: own})
    assert isinstance(merged, DictConfig)
    return merged


def _set(cfg: DictConfig, key: str, value: Any) -> None:
    if isinstance(value, Mapping) and value and "_target_" not in value:
        for name, item in value.items():
            _set(cfg, f"{key}.{name}", item)
        return
    is_component = key in (*COMPONENTS, *OPTIONAL)
    if is_component and not isinstance(value, Mapping):
        raise InputError(
            f"{key} must be the name of an option or a dict with a _target_, not {value!r}."
        )
    parent = OmegaConf.select(cfg, key.rpartition(".")[0]) if "." in key else cfg
    name = key.rpartition(".")[2]
    if not is_component and not (isinstance(parent, DictConfig) and name in list(parent)):
        known = [known for known, _ in leaves(plain(cfg, resolve=False))]
        known = [known for known in known if not known.split(".")[-1].startswith("_")]
        raise InputError(
            f"{key} is not a key of this configuration{did_you_mean(key, known) or '.'}"
        )
    try:
        OmegaConf.update(cfg, key, value, merge=False, force_add=True)
    except OmegaConfBaseException as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{key}: {first}.") from None
