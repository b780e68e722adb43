"""What a network keeps, as something that can be compared: whether a forward has changed it.

A forward that keeps nothing is one of its input, its weights and constants alone, and can be
written down once.
"""

import hashlib
import sys
import types
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # which torch's layers keep
MOST_OBJECTS = 100_000
AS_THEY_ARE = (
    type(None), bool, int, float, complex, str, bytes, type, types.ModuleType,
    types.BuiltinFunctionType, torch.dtype, torch.device,
)  # fmt: skip


class UncomparableError(Exception):
    """Nobody can say whether such an object has changed."""


def state_of(network: nn.Module, *, read_tensors: bool = True) -> dict[str, Any]:
    """All that a network keeps: attributes of all its modules and of their classes, and what the
    functions of these ask for by name outside.

    Tensors count as changed if they were written to, even if with the numbers that were there.

    Parameters
    ----------
    read_tensors : whether to find also what was written past torch, as by numpy or through `.data`

    Raises
    ------
    UncomparableError
        It keeps something that cannot be compared.
    """
    modules = dict(network.named_modules())
    reader = _Reader({id(module) for module in modules.values()}, read_tensors)
    state: dict[str, Any] = {}
    for name, module in modules.items():
        for attribute, value in _attributes(module):
            state[f"{name}.{attribute}" if name else attribute] = reader.read(value, attribute)
    for kind in {kind for module in modules.values() for kind in type(module).__mro__}:
        if _is_the_users(kind.__module__):
            for attribute, value in vars(kind).items():
                if not attribute.startswith("__"):
                    state[f"{kind.__name__}.{attribute}"] = reader.read(value, attribute)
    return state


def first_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """The name of an attribute that is not what it was."""
    for name in [*after, *before]:
        if name not in before or name not in after or before[name] != after[name]:
            return name
    return None


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        if name in ("_parameters", "_buffers", "_modules"):
            for key, part in value.items():
                if not (isinstance(module, _NormBase) and key in STATISTICS):
                    yield key, part
        # What torch.fx leaves in what it traces is no doing of the network's.
        elif name != "training" and not name.startswith("_tensor_constant"):
            yield name, value


def _is_the_users(module: str | None) -> bool:
    package = (module or "").partition(".")[0]
    return package not in sys.stdlib_module_names | {"torch", "numpy", "raspitrain"} or (
        package == "__main__"
    )


class _Reader:
    def __init__(self, modules: set[int], read_tensors: bool) -> None:
        self.modules = modules  # which are read by themselves
        self.read_tensors = read_tensors
        self.seen: dict[int, Any] = {}
        self.count = 0

    def read(self, value: Any, name: str) -> Any:
        if isinstance(value, dict) and not value:
            return (type(value), ())
        self.seen = {}  # and kept alive: an address says nothing of what is gone
        try:
            return self._read(value)
        except UncomparableError as error:
            raise UncomparableError(f"{name} ({error})") from None
        except Exception as error:  # of whatever somebody's object does when it is asked
            raise UncomparableError(f"{name} ({type(value).__name__})") from error

    def _read(self, value: Any) -> Any:
        if isinstance(value, AS_THEY_ARE):
            return (type(value), repr(value) if isinstance(value, float | complex) else value)
        if id(value) in self.modules:
            return (nn.Module, id(value))
        if id(value) in self.seen:
            return ("seen", self.seen[id(value)][0])
        self.count += 1
        if self.count > MOST_OBJECTS:
            raise UncomparableError("too much to compare")
        self.seen[id(value)] = (len(self.seen), value)
        return (type(value), self._inside(value))

    def _inside(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return _tensor(value, read=self.read_tensors)
        if isinstance(value, np.ndarray) and value.dtype != object:
            return (value.dtype.str, value.shape, _digest(np.ascontiguousarray(value)))
        if isinstance(value, torch.Generator):
            return value.get_state().numpy().tobytes()
        if isinstance(value, weakref.ref):
            return id(value())
        if isinstance(value, types.FunctionType):
            return (id(value), *self._asked_for(value))
        if isinstance(value, types.MethodType):
            return self._all((value.__func__, value.__self__))
        if isinstance(value, staticmethod | classmethod):
            return self._read(value.__func__)
        if isinstance(value, property):
            return self._all((value.fget, value.fset))
        if type(value) is dict:
            return self._all(value.items())
        if isinstance(value, set | frozenset):
            return frozenset(map(self._read, value))
        if type(value) in (list, tuple):
            return self._all(value)
        if isinstance(value, types.GetSetDescriptorType | types.MemberDescriptorType):
            return id(value)
        reduced = value.__reduce_ex__(4)
        if isinstance(reduced, str):
            return id(value)
        return self._all(list(p) if isinstance(p, Iterator) else p for p in reduced)

    def _all(self, values: Any) -> tuple[Any, ...]:
        return tuple(map(self._read, values))

    def _asked_for(self, function: types.FunctionType) -> tuple[Any, ...]:
        """What a function of the user's finds outside itself."""
        if not _is_the_users(function.__module__):
            return ()
        found = [
            function.__globals__[name]
            for name in _names(function.__code__)
            if name in function.__globals__
        ]
        cells = [c.cell_contents for c in function.__closure__ or () if c != types.CellType()]
        return self._all([*found, *cells, function.__defaults__, function.__kwdefaults__])


def _names(code: types.CodeType) -> list[str]:
    inner = [name for c in code.co_consts if isinstance(c, types.CodeType) for name in _names(c)]
    return [*code.co_names, *inner]


def _tensor(value: Tensor, *, read: bool) -> tuple[Any, ...]:
    if type(value) not in (Tensor, nn.Parameter) or value.layout != torch.strided:
        raise UncomparableError(type(value).__name__)
    return (
        value.dtype,
        tuple(value.shape),
        value.requires_grad,
        value.data_ptr(),
        0 if value.is_inference() else value._version,
        _digest(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        if read
        else b"",
    )


def _digest(values: np.ndarray) -> bytes:
    return hashlib.blake2b(values.data, digest_size=16).digest()
