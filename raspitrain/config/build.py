"""From a YAML node with a `_target_` to the object it names.

The keys with underscores are those of Hydra's instantiate, which is not used itself: importing it
takes a while, and it wraps every call of a partial. What may be named stands in targets.py.
"""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from raspitrain.config.own_code import told
from raspitrain.config.targets import check_names, resolve_target
from raspitrain.config.watch import unwatched, watched
from raspitrain.errors import InputError, input_error, reason
from raspitrain.hardware.memory import is_out_of_memory, out_of_memory_error
from raspitrain.nearest import did_you_mean
from raspitrain.paths import config_folder

if TYPE_CHECKING:
    from raspitrain.data.cases import Cases
    from raspitrain.data.frontend import Frontend

# Keys of a group that its target does not take: they say what becomes of what it gives.
FOR_OTHERS = {"dataset": ("normalise",)}
READ_TEXT = (
    "raspitrain.data.recordings.recordings",
    "raspitrain.data.rows.rows",
    "raspitrain.data.ucr.ucr",
)
INSTRUCTIONS = ("_target_", "_args_", "_partial_", "_recursive_", "_convert_")


def build(key: str, node: DictConfig, allowed_targets: Collection[str], **available: Any) -> Any:
    """The object that `node` describes.

    Parameters
    ----------
    key : where the node stands in the configuration, for error messages
    available : what the caller can supply (num_classes, length, …); the target gets those that
        its signature names and the node does not
    """
    try:
        values: Any = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
        # All of them before the first one is called.
        check_names(key, values, allowed_targets)
        target = resolve_target(key, node["_target_"], allowed_targets)
        for name in FOR_OTHERS.get(key, ()):
            if name not in inspect.signature(target).parameters:
                values.pop(name, None)
        supplied = _fit_signature(key, values, target, available)
        with _around(str(node["_target_"])):
            return _make(key, values, allowed_targets, supplied)
    except InputError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise out_of_memory_error() from error
        if isinstance(error, OSError) and error.filename:
            raise input_error(f"{key}: {error.filename}: {reason(error)}.", error) from error
        raise InputError(
            f"{key} ({node['_target_']}) cannot be made: {told(error, allowed_targets)}"
        ) from error


def _around(target: str) -> AbstractContextManager[None]:
    """What reading text compiles and keeps happens outside of the watch."""
    if target not in READ_TEXT:
        return nullcontext()
    from raspitrain.data.recorded.kept import keeping

    return keeping(unwatched)


def _make(key: str, value: Any, allowed_targets: Collection[str], supplied: dict[str, Any]) -> Any:
    """Plain values with every `_target_` in them called, the innermost first."""

    def inner(name: str, item: Any) -> Any:
        return _make(name, item, allowed_targets, {})

    if isinstance(value, list):
        return [inner(f"{key}[{number}]", item) for number, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if value.get("_recursive_", True):
        value = {name: inner(f"{key}.{name}", item) for name, item in value.items()}
    if "_target_" not in value:
        return value
    target = resolve_target(key, value["_target_"], allowed_targets)
    positional = value.get("_args_", [])
    named = {name: item for name, item in value.items() if name not in INSTRUCTIONS} | supplied
    if value["_target_"] not in allowed_targets:
        target = _watched(key, target)
    if value.get("_partial_", False):
        return functools.partial(target, *positional, **named)
    return target(*positional, **named)


def _watched(key: str, target: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(target, updated=())
    def make(*args: Any, **kwargs: Any) -> Any:
        with watched(key):
            return target(*args, **kwargs)

    return make


def _fit_signature(
    key: str, values: dict[str, Any], target: Callable[..., Any], available: dict[str, Any]
) -> dict[str, Any]:
    """The part of `available` that the target takes; InputError for a key that it does not take."""
    parameters = inspect.signature(target).parameters
    given = [str(name) for name in values if not str(name).startswith("_")]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name in given:
        if name not in parameters and not takes_any:
            hint = did_you_mean(name, parameters) or "."
            raise InputError(f"{key}.{name} is not a parameter of {values['_target_']}{hint}")
    supplied = {k: v for k, v in available.items() if k in parameters and k not in given}
    if not values.get("_partial_", False):
        missing = [
            name
            for name, p in parameters.items()
            if p.default is p.empty
            and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
            and name not in given
            and name not in supplied
        ]
        if missing:
            raise InputError(
                f"{key}.{missing[0]} is missing: {values['_target_']} needs it"
                f"{_ours_with(key, values['_target_'])}."
            )
    return supplied


def _ours_with(key: str, target: str) -> str:
    """How a YAML may begin so that it need not repeat what one of ours says."""
    for file in sorted((config_folder() / key).glob("*.yaml")):
        if f"_target_: {target}\n" in file.read_text(encoding="utf-8"):
            return f"; begin the YAML with 'defaults: [{file.stem}]' and say only what differs"
    return ""


def expect(key: str, made: Any, kind: type) -> Any:
    """What was made, if it is of that kind; else InputError."""
    if not isinstance(made, kind):
        raise InputError(
            f"{key} must be a {kind.__module__}.{kind.__qualname__}, and its _target_ gives "
            f"{type(made).__name__}; see conf/{key}/ for examples, _partial_ included."
        )
    return made


def frontend_of(cfg: DictConfig, cases: "Cases") -> "Frontend | None":
    """The front end that a configuration names, for these cases.

    Raises
    ------
    InputError
        It does not go with them.
    """
    from raspitrain.data.frontend import Frontend  # and numpy

    facts = {"length": cases.signals.shape[2], "rate": cases.rate}
    made = build("frontend", cfg.frontend, list(cfg.allowed_targets), **facts)
    return None if made is None else expect("frontend", made, Frontend)


def build_cases(
    node: DictConfig | Mapping[str, Any], allowed_targets: Collection[str] = ()
) -> "Cases":
    """The data set that a configuration describes.

    Parameters
    ----------
    allowed_targets : what a checkpoint allows itself counts for nothing: it may be a stranger's

    Raises
    ------
    InputError
        It cannot be read, or is none.
    """
    from raspitrain.data.cases import Cases  # and numpy

    given = node if isinstance(node, DictConfig) else OmegaConf.create(dict(node))
    cases: Cases = expect("dataset", build("dataset", given, allowed_targets), Cases)
    return cases
