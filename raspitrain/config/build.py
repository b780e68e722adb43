"""From a YAML node with a `_target_` to the object it names.

The keys with underscores are those of Hydra's instantiate, which is not used itself: importing it
takes a while, and it wraps every call of a partial. A configuration names code to run, so what it
may name is held to an allow-list, and the list is checked on the object that the name leads to:
`raspitrain.cli.main.os.system` begins like ours and is not.
"""

import difflib
import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from raspitrain.errors import InputError
from raspitrain.hardware.memory import is_out_of_memory, out_of_memory_error

ALLOWED_PACKAGES = (
    "raspitrain.data",
    "raspitrain.model",
    "raspitrain.training",
    "torch.nn",
    "torch.optim",
)
INSTRUCTIONS = ("_target_", "_args_", "_partial_", "_recursive_", "_convert_")


def build(key: str, node: DictConfig, allowed_targets: Sequence[str], **available: Any) -> Any:
    """The object that `node` describes.

    Parameters
    ----------
    key : where the node stands in the configuration, for error messages
    available : what the caller can supply (num_classes, length, …); the target gets those that
        its signature names and the node does not
    """
    # All of them before the first one is called.
    for where, name in _targets(key, node):
        resolve_target(where, name, allowed_targets)
    target = resolve_target(key, node["_target_"], allowed_targets)
    supplied = _fit_signature(key, node, target, available)
    try:
        values = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
        return _make(key, values, allowed_targets, supplied)
    except InputError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise out_of_memory_error() from error
        raise InputError(f"{key} ({node['_target_']}) cannot be made: {error}") from error


def _make(key: str, value: Any, allowed_targets: Sequence[str], supplied: dict[str, Any]) -> Any:
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
    if value.get("_partial_", False):
        return functools.partial(target, *positional, **named)
    return target(*positional, **named)


def resolve_target(key: str, name: str, allowed_targets: Sequence[str]) -> Callable[..., Any]:
    """The class or function that `name` leads to, or InputError if it may not be named."""
    refused = InputError(
        f"{key}._target_={name} is not allowed: it must lie in raspitrain, torch.nn or "
        f"torch.optim, or be added by its full name to allowed_targets."
    )
    if not isinstance(name, str):
        raise refused
    # Before anything is imported: importing a module runs it.
    if name not in allowed_targets and not _within(name):
        raise refused
    found = locate(key, name)
    if not callable(found):
        raise InputError(f"{key}._target_={name} is not a class or a function.")
    if name in allowed_targets:
        return found
    home = f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', '')}"
    if not _within(home):
        raise refused
    return found


def _within(name: str) -> bool:
    # Its functions write files wherever they are told to.
    if name.startswith("raspitrain.data.write."):
        return False
    return any(name.startswith(package + ".") for package in ALLOWED_PACKAGES)


def locate(key: str, name: str) -> Any:
    """Import the longest module in the dotted name and walk down the rest; `key` is for errors."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts) or len(parts) < 2:
        raise InputError(f"{key}._target_={name!r} must be a dotted name, package.module.function.")
    for cut in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:cut])
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is not None and module_name.startswith(error.name):
                continue
            raise InputError(f"{key}._target_={name} needs a package: {error}.") from error
        except ImportError as error:
            raise InputError(f"{key}._target_={name} cannot be imported: {error}.") from error
        for part in parts[cut:]:
            if not hasattr(found, part):
                near = difflib.get_close_matches(part, dir(found), n=1)
                hint = f"; did you mean {near[0]}?" if near else "."
                raise InputError(f"{key}._target_={name} does not exist{hint}")
            found = getattr(found, part)
        return found
    raise InputError(f"{key}._target_={name}: there is no module {parts[0]}.")


def _targets(key: str, node: Any) -> Iterator[tuple[str, str]]:
    """Every `_target_` in the node and below, with its place."""
    if isinstance(node, DictConfig):
        if "_target_" in node:
            yield key, node["_target_"]
        for name in map(str, node):
            if OmegaConf.is_config(child := node._get_node(name)):
                yield from _targets(f"{key}.{name}", child)
    elif isinstance(node, ListConfig):
        for number, child in enumerate(node):
            yield from _targets(f"{key}[{number}]", child)


def _fit_signature(
    key: str, node: DictConfig, target: Callable[..., Any], available: dict[str, Any]
) -> dict[str, Any]:
    """The part of `available` that the target takes; InputError for a key that it does not take."""
    parameters = inspect.signature(target).parameters
    given = [str(name) for name in node if not str(name).startswith("_")]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name in given:
        if name not in parameters and not takes_any:
            near = difflib.get_close_matches(name, parameters, n=3)
            hint = f"; the nearest it takes: {', '.join(near)}." if near else "."
            raise InputError(f"{key}.{name} is not a parameter of {node['_target_']}{hint}")
    supplied = {k: v for k, v in available.items() if k in parameters and k not in given}
    if not node.get("_partial_", False):
        missing = [
            name
            for name, p in parameters.items()
            if p.default is p.empty
            and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
            and name not in given
            and name not in supplied
        ]
        if missing:
            raise InputError(f"{key}.{missing[0]} is missing: {node['_target_']} needs it.")
    return supplied
