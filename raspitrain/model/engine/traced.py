"""Find the rows of a network that says nothing of itself: torch.fx writes down what it does.

A copy of it is traced as it trains and as it is evaluated, and must be afterwards what it was. From
its beginning up to the last point where everything is a row, and both tracings agree, the kernels
compute it; from there on its own modules do.
"""

import copy
import operator
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from raspitrain.model.engine.operations import Activation
from raspitrain.model.engine.rows import (
    Add,
    Channels,
    Concatenate,
    Convolution,
    Deal,
    Dense,
    Dropout,
    Mean,
    Multiply,
    Normalise,
    Pool,
    Row,
)
from raspitrain.model.engine.state import UncomparableError, first_change, state_of

MODULES: dict[type[nn.Module], Activation] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.Hardswish: "hardswish",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "silu",
    nn.GELU: "gelu",
}
FUNCTIONS: dict[Callable[..., Any] | str, Activation] = {
    F.relu: "relu",
    torch.relu: "relu",
    "relu": "relu",
    F.relu6: "relu6",
    F.hardswish: "hardswish",
    F.sigmoid: "sigmoid",
    torch.sigmoid: "sigmoid",
    "sigmoid": "sigmoid",
    F.silu: "silu",
    F.gelu: "gelu",
}
IN_PLACE = (operator.iadd, operator.imul, operator.isub, operator.itruediv)
ADDITIONS = (operator.add, torch.add, "add", *IN_PLACE[:1])
PRODUCTS = (operator.mul, torch.mul, "mul", *IN_PLACE[1:2])


@dataclass(frozen=True)
class Traced:
    """A network's beginning as rows, and what is left of it.

    Attributes
    ----------
    rows : what the kernels may compute; empty where that is nothing
    flat : whether their last value is (N, C), not (N, C, L)
    tails : what makes the network's output of that value, in evaluation and in training; None
        where the value is the output
    left : the first layer that is no row, as a sentence names it; None where there is none
    names : of each row the layer it comes from, as a sentence names it
    refused : why nothing was traced, as a clause; None where it was
    """

    rows: list[Row]
    flat: bool
    tails: tuple[fx.GraphModule, fx.GraphModule] | None
    left: str | None
    names: list[str] = field(default_factory=list)
    refused: str | None = None


@dataclass(frozen=True)
class _Groups:
    """Channels parted into groups, on their way to be dealt out."""

    value: "_Value"
    groups: int
    turned: bool = False


@dataclass(frozen=True)
class _Value:
    """What a node of a tracing is: value `row` of the rows."""

    row: int
    channels: int
    single: bool = False  # one position is left
    flat: bool = False  # (N, C)
    padded: tuple[int, int] = (0, 0)  # zeros that are still to be added


class _NoRowError(Exception):
    """Says why, where there is more to say than the layer's name."""


class RefusedError(Exception):
    """A network's forward cannot be written down; says why, as a clause."""


def trace(network: nn.Module, num_channels: int) -> Traced:
    """The rows of a network that takes signals of so many channels, and is left as it is."""
    try:
        model = copied(network)
        evaluating, training = _tracings(model)
    except RefusedError as error:
        return Traced([], False, None, None, refused=str(error))
    reader = _Reader(network, num_channels)
    alike = _nodes_alike(evaluating, training)
    left: str | None = None
    for number, node in enumerate(training.nodes):
        if node.op == "output":
            break
        try:
            if number >= alike:
                raise _NoRowError
            if not node.users:
                raise _NoRowError("whose output nobody uses")
            reader.read(node)
        except (_NoRowError, LookupError, TypeError, ValueError, AttributeError) as error:
            left = _name(network, node, str(error) if isinstance(error, _NoRowError) else "")
            break
    output = next(iter(reversed(training.nodes))).args[0]
    if left is None and isinstance(output, fx.Node):
        value = reader.values.get(output)
        if isinstance(value, _Value) and value.padded == (0, 0) and value.row == len(reader.rows):
            return Traced(reader.rows, value.flat, None, None, reader.names)
    for node in reversed(reader.values):
        value = reader.values[node]
        if not isinstance(value, _Value) or value.padded != (0, 0):
            continue
        if value.row != len(reader.rows_at(node)):
            continue
        number = list(training.nodes).index(node)
        tails = [_rest(network, model, graph, number) for graph in (evaluating, training)]
        if value.row and tails[0] is not None and tails[1] is not None:
            return Traced(
                reader.rows_at(node), value.flat, (tails[0], tails[1]), left or "its output",
                reader.names,
            )  # fmt: skip
    return Traced([], False, None, left or "its output")


def copied(network: nn.Module) -> nn.Module:
    """One to try things on.

    Raises
    ------
    RefusedError
        It cannot be copied.
    """
    try:
        return copy.deepcopy(network)
    except Exception as error:  # of whatever a user's object does when it is copied
        raise RefusedError(f"it cannot be copied ({_first_sentence(error)})") from error


class _Tracer(fx.Tracer):
    proxy_buffer_attributes = True  # what is done to a buffer is a part of the forward


def evaluation(network: nn.Module) -> tuple[nn.Module, fx.Graph]:
    """What a network does in evaluation, and a copy of it that has what the tracing names.

    Raises
    ------
    RefusedError
        Its forward cannot be written down, or does not always do the same.
    """
    model = copied(network)
    (graph,) = _tracings(model, (False,))
    return model, graph


def _tracings(model: nn.Module, modes: tuple[bool, ...] = (False, True)) -> list[fx.Graph]:
    """What a network does in evaluation and in training.

    Raises
    ------
    RefusedError
        It does not always do the same: forward draws random numbers in Python, or keeps something.
    """
    # What stands for tensors while forward is traced lets nobody at their memory.
    with unchanged(model, read_tensors=False), _global_random_numbers() as drawn:
        graphs = []
        for training in modes:
            try:
                graphs.append(_Tracer().trace(model.train(training)))
            except Exception as error:  # whatever a forward does with what stands for a tensor
                why = f"its forward cannot be traced ({_first_sentence(error)})"
                raise RefusedError(why) from error
        if drawn():
            raise RefusedError("its forward draws random numbers")
    return graphs


@contextmanager
def unchanged(model: nn.Module, *, read_tensors: bool = True) -> Iterator[None]:
    """See that a network keeps nothing of what is done with it.

    Raises
    ------
    RefusedError
        It does, or nobody can say.
    """
    try:
        before = state_of(model, read_tensors=read_tensors)
        yield
        changed = first_change(before, state_of(model, read_tensors=read_tensors))
    except UncomparableError as error:
        raise RefusedError(f"it keeps something that cannot be compared: {error}") from error
    if changed is not None:
        raise RefusedError(f"its forward, or train(), changes {changed}")


@contextmanager
def _global_random_numbers() -> Iterator[Callable[[], bool]]:
    """Whether any were drawn; afterwards the sources stand where they stood."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    before = _random_numbers()
    try:
        yield lambda: before != _random_numbers()
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _random_numbers() -> list[object]:
    """Where all the generators stand."""
    arrays = (np.random.get_state(legacy=False), torch.get_rng_state().tolist())
    return [random.getstate(), *map(repr, arrays)]


def _first_sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].partition(". ")[0]


def _nodes_alike(one: fx.Graph, other: fx.Graph) -> int:
    """How many nodes from the beginning are the same."""
    number = 0
    for number, (a, b) in enumerate(zip(one.nodes, other.nodes, strict=False)):
        if (a.op, a.target, repr(a.args), repr(a.kwargs)) != (
            b.op, b.target, repr(b.args), repr(b.kwargs)
        ):  # fmt: skip
            return number
    return number + 1


def _name(network: nn.Module, node: fx.Node, why: str = "") -> str:
    name, kind = node.name, getattr(node.target, "__name__", node.target)
    if node.op == "call_module":
        name, kind = str(node.target), type(network.get_submodule(str(node.target))).__name__
    return f"{name} ({kind}{', ' if why else ''}{why})"


def place_of(node: fx.Node) -> str:
    """Which module of a network a step of its tracing belongs to, for a sentence."""
    stack = node.meta.get("nn_module_stack") or {}
    path = next(reversed(stack), "")
    return f"in {path}.forward" if path else "in forward"


def is_in_place(layer: nn.Module | None, node: fx.Node) -> bool:
    """Whether a step changes what it takes; `layer` is its module, if it is one."""
    return bool(
        getattr(layer, "inplace", False) or node.kwargs.get("inplace") or node.target in IN_PLACE
    )


def _rest(
    network: nn.Module, model: nn.Module, traced: fx.Graph, number: int
) -> fx.GraphModule | None:
    """What comes behind a node and needs nothing of what came before it; None if it does.

    It is made of the network's own modules and tensors; constants that tracing has written down are
    those of the copy that was traced.
    """
    rest, nodes = fx.Graph(), list(traced.nodes)
    known = {nodes[number]: rest.placeholder("value")}
    for node in nodes[:number]:
        if node.op == "get_attr":
            known[node] = rest.node_copy(node, known.__getitem__)
    try:
        for node in nodes[number + 1 :]:
            known[node] = rest.node_copy(node, known.__getitem__)
    except KeyError:
        return None
    asked_for = {str(node.target) for node in rest.nodes if node.op in ("call_module", "get_attr")}
    return fx.GraphModule({name: _found(name, network, model) for name in asked_for}, rest)


def _found(name: str, *models: nn.Module) -> Any:
    for model in models:
        try:
            return operator.attrgetter(name)(model)
        except AttributeError:
            continue
    raise KeyError(name)


class _Reader:
    """Turns the nodes of a tracing into rows, one after another."""

    def __init__(self, network: nn.Module, num_channels: int) -> None:
        self.network = network
        self.num_channels = num_channels
        self.rows: list[Row] = []
        self.names: list[str] = []
        self.name = ""
        self.values: dict[fx.Node, Any] = {}
        self.history: dict[fx.Node, list[Row]] = {}

    def rows_at(self, node: fx.Node) -> list[Row]:
        return self.history[node]

    def read(self, node: fx.Node) -> None:
        """Raises whatever comes where the node is no row."""
        self.name = _name(self.network, node)
        if node.op == "placeholder":
            if self.values:
                raise _NoRowError
            self.values[node] = _Value(0, self.num_channels)
        elif node.op == "call_module":
            (source,) = node.args
            assert not node.kwargs
            layer = self.network.get_submodule(str(node.target))
            self.values[node] = self._module(layer, source, self._value(source))
        elif node.op in ("call_function", "call_method"):
            self.values[node] = self._function(node)
        else:
            raise _NoRowError
        self.history[node] = list(self.rows)

    def _value(self, node: Any) -> _Value:
        value = self.values[node]
        if not isinstance(value, _Value):
            raise _NoRowError
        return value

    def _made(self, row: Row, channels: int, like: _Value) -> _Value:
        self.rows.append(row)
        self.names.append(self.name)
        return _Value(len(self.rows), channels, like.single, like.flat)

    def _module(self, layer: nn.Module, node: Any, value: _Value) -> _Value:
        kind = type(layer)
        if kind is nn.Identity:
            return value
        if isinstance(layer, nn.ConstantPad1d) and not value.flat:
            _need(kind in (nn.ConstantPad1d, nn.ZeroPad1d))
            left, right = layer.padding
            _need(layer.value == 0 and left >= 0 and right >= 0)
            return replace(value, padded=(value.padded[0] + left, value.padded[1] + right))
        if isinstance(layer, nn.Conv1d):
            _need(not nn.utils.parametrize.is_parametrized(layer), "whose weight is parametrised")
            _need(layer.padding_mode == "zeros", f"padding_mode={layer.padding_mode}")
            _need(kind is nn.Conv1d and not value.flat and layer.in_channels == value.channels)
            row = Convolution(layer, source=value.row, padded=value.padded)
            return self._made(row, layer.out_channels, replace(value, single=False))
        _need(value.padded == (0, 0))
        # In place is another way to the same numbers, where nobody else reads x.
        _need(not getattr(layer, "inplace", False) or len(node.users) == 1)
        if isinstance(layer, nn.BatchNorm1d):
            _need(kind is nn.BatchNorm1d)
            for key, taken in (("affine", True), ("track_running_stats", True)):
                _need(getattr(layer, key) is taken, f"{key}={getattr(layer, key)}")
            _need(layer.momentum is not None, "momentum=None")
            return self._normalised(layer, node, value)
        if kind in MODULES:
            _need(getattr(layer, "approximate", "none") == "none")
            return self._activated(MODULES[kind], node, value)
        if isinstance(layer, nn.Dropout):
            return self._made(Dropout(layer, value.row), value.channels, value)
        if isinstance(layer, nn.Linear):
            _need(not nn.utils.parametrize.is_parametrized(layer), "whose weight is parametrised")
            _need(kind is nn.Linear and value.flat)
            return self._made(Dense(layer, source=value.row), layer.out_features, value)
        if isinstance(layer, nn.MaxPool1d | nn.AvgPool1d):
            _need(kind in (nn.MaxPool1d, nn.AvgPool1d) and not value.flat)
            _need(not getattr(layer, "return_indices", False), "return_indices=True")
            row_ = Pool(layer, value.row)
            return self._made(row_, value.channels, replace(value, single=False))
        if isinstance(layer, nn.AdaptiveAvgPool1d):
            _need(not value.flat and layer.output_size in (1, (1,)))
            return self._mean(value)
        if isinstance(layer, nn.Flatten):
            _need((layer.start_dim, layer.end_dim) == (1, -1) and value.single)
            return replace(value, flat=True)
        raise _NoRowError

    def _mean(self, value: _Value) -> _Value:
        return replace(self._made(Mean(value.row), value.channels, value), single=True)

    def _last_row(self, node: Any, value: _Value) -> Row | None:
        """The row that made the value, where nobody else asks for it."""
        if value.row == len(self.rows) and value.row > 0 and len(node.users) == 1:
            return self.rows[-1]
        return None

    def _normalised(self, norm: nn.BatchNorm1d, node: Any, value: _Value) -> _Value:
        _need(norm.num_features == value.channels)
        row = self._last_row(node, value)
        if isinstance(row, Convolution) and row.norm is None and row.activation == "identity":
            self.rows[-1] = replace(row, norm=norm)
            return value
        return self._made(Normalise(norm, source=value.row), value.channels, value)

    def _activated(self, activation: Activation, node: Any, value: _Value) -> _Value:
        row = self._last_row(node, value)
        if isinstance(row, Convolution | Dense | Normalise | Add) and row.activation == "identity":
            self.rows[-1] = replace(row, activation=activation)
            return value
        return self._made(Normalise(None, activation, value.row), value.channels, value)

    def _function(self, node: fx.Node) -> Any:
        target: Any = node.target
        args: tuple[Any, ...] = tuple(node.args)
        kwargs: dict[str, Any] = dict(node.kwargs)
        if target in FUNCTIONS:
            options = {k: v for k, v in kwargs.items() if k != "inplace"}
            _need(options in ({}, {"approximate": "none"}) and len(args) == 1)
            _need(not kwargs.get("inplace") or len(node.all_input_nodes[0].users) == 1)
            value = self._plain(args[0])
            return self._activated(FUNCTIONS[target], args[0], value)
        if target in ADDITIONS or target in PRODUCTS:
            first, second = args
            _need(not kwargs)
            _need(target not in IN_PLACE or len(node.all_input_nodes[0].users) == 1)
            return self._two(self._plain(first), self._plain(second), target in ADDITIONS)
        if target in (torch.cat, torch.concat):
            return self._joined(*args, **kwargs)
        if target is operator.getitem:
            return self.values[args[0]][args[1]]
        if target in (torch.flatten, "flatten"):
            return self._flattened(*args, **kwargs)
        if target in ("squeeze", torch.squeeze, "unsqueeze", torch.unsqueeze):
            source, dim = args
            value, flat = self._plain(source), target in ("squeeze", torch.squeeze)
            _need(value.single and value.flat != flat and dim in (2, -1))
            return replace(value, flat=flat)
        if target in ("mean", torch.mean):
            return self._averaged(*args, **kwargs)
        if target in ("chunk", torch.chunk):
            return self._chunks(*args, **kwargs)
        if target == "unflatten":
            source, dim, (groups, rest) = args
            _need(dim == 1 and rest == -1)
            return _Groups(self._plain(source), groups)
        if target == "transpose":
            parted = self.values[args[0]]
            _need(isinstance(parted, _Groups) and args[1:] == (1, 2))
            return replace(parted, turned=True)
        raise _NoRowError

    def _plain(self, node: Any) -> _Value:
        value = self._value(node)
        _need(value.padded == (0, 0))
        return value

    def _two(self, first: _Value, second: _Value, add: bool) -> _Value:
        _need(first.flat == second.flat and first.channels == second.channels)
        if add:
            _need(first.single == second.single)
            return self._made(Add(second.row, source=first.row), first.channels, first)
        if first.single:
            first, second = second, first
        _need(second.single)
        return self._made(Multiply(second.row, first.row), first.channels, first)

    def _joined(self, nodes: Any, dim: int = 0) -> _Value:
        values = [self._plain(node) for node in nodes]
        _need(dim in (1, -2 if not values[0].flat else -1))
        _need(len({(value.flat, value.single) for value in values}) == 1)
        channels = sum(value.channels for value in values)
        return self._made(Concatenate(tuple(value.row for value in values)), channels, values[0])

    def _flattened(self, node: Any, start_dim: int = 0, end_dim: int = -1) -> _Value:
        parted = self.values[node]
        if isinstance(parted, _Groups):
            value = parted.value
            _need((start_dim, end_dim) == (1, 2) and parted.turned)
            return self._made(Deal(parted.groups, value.row), value.channels, value)
        value = self._plain(node)
        _need((start_dim, end_dim) == (1, -1) and value.single)
        return replace(value, flat=True)

    def _averaged(self, node: Any, dim: Any = None, keepdim: bool = False) -> _Value:
        value = self._plain(node)
        dims = tuple(dim) if isinstance(dim, list | tuple) else (dim,)
        _need(not value.flat and dims in ((2,), (-1,)))
        return replace(self._mean(value), flat=not keepdim)

    def _chunks(self, node: Any, chunks: int, dim: int = 0) -> list[_Value]:
        value = self._plain(node)
        _need(dim == 1 and not value.flat and value.channels % chunks == 0)
        count = value.channels // chunks
        return [
            self._made(Channels(first, count, value.row), count, value)
            for first in range(0, value.channels, count)
        ]


def _need(condition: bool, why: str = "") -> None:
    if not condition:
        raise _NoRowError(why)
