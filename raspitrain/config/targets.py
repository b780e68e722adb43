"""What a `_target_` of a configuration may name: a list of constructors.

A configuration names code to run, and it may come from anyone. Packages are no list: a package
holds helpers that start programs and write files. So a name is one of these, or it is refused:

- a constructor of ours that a file in conf/ names;
- a public class of torch.nn or torch.optim that is a Module, an Optimizer or an LRScheduler;
- what the command line itself adds with allowed_targets=.

The form of the name decides before anything is imported, as importing a module runs it; then the
object that the name leads to is looked at.
"""

import difflib
import functools
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Any

from raspitrain.config.rules import COMPONENTS, OPTIONAL
from raspitrain.errors import InputError
from raspitrain.nearest import did_you_mean
from raspitrain.paths import config_folder

# Modules and classes without a leading underscore; the class begins with a capital.
TORCH = re.compile(r"torch\.(?:nn|optim)(?:\.[a-z][a-z0-9_]*)*\.[A-Z][A-Za-z0-9_]*", re.A)
TORCH_HOMES = ("torch.nn.modules.", "torch.optim.")
IN_YAML = re.compile(r"^_target_: *(raspitrain\.[\w.]+)", re.A | re.M)


@functools.cache
def constructors() -> frozenset[str]:
    """The constructors of ours that may be named: those that the groups in conf/ name."""
    groups = (*COMPONENTS, *OPTIONAL)
    files = [file for group in groups for file in config_folder().glob(f"{group}/*.yaml")]
    return frozenset(name for file in files for name in IN_YAML.findall(file.read_text("utf-8")))


def check_name(key: str, name: Any, allowed_targets: Collection[str]) -> None:
    """InputError if no configuration may name this; imports nothing.

    Parameters
    ----------
    key : where the name stands in the configuration, for the message
    """
    if not isinstance(name, str):
        raise InputError(f"{key}._target_={name} must be a dotted name, package.module.name.")
    if name not in allowed_targets and name not in constructors() and not TORCH.fullmatch(name):
        raise _refused(key, name)


def check_names(key: str, value: Any, allowed_targets: Collection[str]) -> None:
    """`check_name` for every `_target_` in plain nested values, at any depth.

    Parameters
    ----------
    key : where the values stand in the configuration; "" for all of it
    """
    for where, name in targets_in(key, value):
        check_name(where, name, allowed_targets)


def resolve_target(key: str, name: Any, allowed_targets: Collection[str]) -> Callable[..., Any]:
    """The class or function that `name` leads to, or InputError if it may not be named."""
    check_name(key, name, allowed_targets)
    if name not in allowed_targets and name not in constructors():
        return _torch_class(key, name)
    target = locate(key, name)
    if not callable(target):
        raise InputError(f"{key}._target_={name} is not a class or a function.")
    return target


def _refused(key: str, name: str) -> InputError:
    near = difflib.get_close_matches(name, constructors(), n=1, cutoff=0.9)
    hint = f" Did you mean {near[0]}?" if near else ""
    return InputError(
        f"{key}._target_={name} is not allowed: it may be what a file in conf/ names, or a public "
        "class of torch.nn or torch.optim; add others by their full names to allowed_targets on "
        f"the command line (--allowed-targets of export and evaluate).{hint}"
    )


def _torch_class(key: str, name: str) -> type:
    """A component of torch's by its name; looks only where `import torch` has been already."""
    import torch

    module_name, _, class_name = name.rpartition(".")
    module = sys.modules.get(module_name)
    kinds = (torch.nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)

    def allows(member: Any) -> bool:
        return (
            inspect.isclass(member)
            and issubclass(member, kinds)
            and f"{member.__module__}.".startswith(TORCH_HOMES)
            and not member.__qualname__.startswith("_")
        )

    public = {} if module is None else vars(module)
    if class_name not in public:
        known = [each for each, member in public.items() if each[0].isupper() and allows(member)]
        raise InputError(
            f"{key}._target_={name} does not exist{did_you_mean(class_name, known) or '.'}"
        )
    if not allows(found := public[class_name]):
        raise _refused(key, name)
    return found


def locate(key: str, name: str) -> Any:
    """Import the longest module in the dotted name and walk down the rest; `key` is for errors."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts) or len(parts) < 2:
        raise InputError(f"{key}._target_={name!r} must be a dotted name, package.module.name.")
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
                hint = did_you_mean(part, dir(found)) or "."
                raise InputError(f"{key}._target_={name} does not exist{hint}")
            found = getattr(found, part)
        return found
    raise InputError(
        f"{key}._target_={name}: there is no module {parts[0]} here; name the folder that "
        f"{parts[0]}.py lies in, as in PYTHONPATH=FOLDER python -m raspitrain …"
    )


def targets_in(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every `_target_` in plain nested values and the place where it stands; key is theirs."""
    if isinstance(value, dict):
        if "_target_" in value:
            yield key, value["_target_"]
        for name, item in value.items():
            yield from targets_in(f"{key}.{name}" if key else str(name), item)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from targets_in(f"{key}[{number}]", item)
