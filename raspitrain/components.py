"""From a YAML node with a `_target_` to the object it names.

Part of the door: it calls Hydra's instantiate. A configuration names code to run, so what it may
name is held to an allow-list, and the list is checked on the object that the name leads to:
`raspitrain.cli.os.system` begins like ours and is not.
"""

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from raspitrain.errors import InputError
from raspitrain.hardware.memory import is_out_of_memory, out_of_memory_sentence

ALLOWED_PACKAGES = (
    "raspitrain.data",
    "raspitrain.model",
    "raspitrain.training",
    "torch.nn",
    "torch.optim",
)


def build(key: str, node: DictConfig, allowed_targets: Sequence[str], **available: Any) -> Any:
    """The object that `node` describes.

    Parameters
    ----------
    key : where the node stands in the configuration, for error messages
    available : what the caller can supply (num_classes, length, …); the target gets those that
        its signature names and the node does not
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    for where, name in _targets(key, node):
        resolve_target(where, name, allowed_targets)
    target = resolve_target(key, node["_target_"], allowed_targets)
    supplied = _fit_signature(key, node, target, available)
    try:
        return instantiate(node, **supplied, _convert_="all")
    except InstantiationException as error:
        # Hydra wraps what the target raised; a sentence of ours goes through as it is.
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, InputError):
                raise cause from None
            if is_out_of_memory(cause):
                raise InputError(out_of_memory_sentence()) from error
            if not isinstance(cause, InstantiationException):
                raise InputError(f"{key} ({node['_target_']}) cannot be made: {cause}") from error
            cause = cause.__cause__
        raise InputError(f"{key} cannot be made: {str(error).splitlines()[0]}") from error


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
