"""Find the rows of a network that says nothing of itself: torch.fx writes down what it does.

A network is traced as it trains and as it is evaluated. From its beginning up to the last point
where everything is a row, and both tracings agree, the kernels compute it; from there on its own
modules do.
"""

import operator
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
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
IN_PLACE = (operator.iadd, operator.imul)
ADDITIONS = (operator.add, torch.add, "add", *IN_PLACE[:1])
PRODUCTS = (operator.mul, torch.mul, "mul", *IN_PLACE[1:])


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
    """

    rows: list[Row]
    flat: bool
    tails: tuple[fx.GraphModule, fx.GraphModule] | None
    left: str | None


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
    pass


def trace(network: nn.Module, num_channels: int) -> Traced:
    """The rows of a network that takes signals of so many channels."""
    try:
        evaluating, training = (_traced(network, training) for training in (False, True))
    except Exception as error:  # whatever somebody's forward does with what stands for a tensor
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Traced([], False, None, f"its forward, which cannot be traced ({reason})")
    reader = _Reader(network, num_channels)
    alike = _nodes_alike(evaluating.graph, training.graph)
    left: str | None = None
    for number, node in enumerate(training.graph.nodes):
        if node.op == "output":
            break
        try:
            if number >= alike:
                raise _NoRowError
            reader.read(node)
        except (_NoRowError, LookupError, TypeError, ValueError, AttributeError):
            left = _name(network, node)
            break
    output = next(iter(reversed(training.graph.nodes))).args[0]
    if left is None and isinstance(output, fx.Node):
        value = reader.values.get(output)
        if isinstance(value, _Value) and value.padded == (0, 0) and value.row == len(reader.rows):
            return Traced(reader.rows, value.flat, None, None)
    for node in reversed(reader.values):
        value = reader.values[node]
        if not isinstance(value, _Value) or value.padded != (0, 0):
            continue
        if value.row != len(reader.rows_at(node)):
            continue
        number = list(training.graph.nodes).index(node)
        tails = [_rest(network, traced, number) for traced in (evaluating, training)]
        if value.row and tails[0] is not None and tails[1] is not None:
            return Traced(
                reader.rows_at(node), value.flat, (tails[0], tails[1]), left or "its output"
            )
    return Traced([], False, None, left or "its output")


def _traced(network: nn.Module, training: bool) -> fx.GraphModule:
    """What the network does in one of its modes.

    Raises
    ------
    Exception
        It does not always do the same: forward draws random numbers in Python, or changes a module.
    """
    flags = {module: module.training for module in network.modules()}
    random_before = _random_numbers()
    try:
        network.train(training)
        before = [dict(vars(module)) for module in network.modules()]
        graph = fx.Tracer().trace(network)
        after = [dict(vars(module)) for module in network.modules()]
    finally:
        for module, flag in flags.items():
            module.training = flag
    if before != after:
        raise ValueError("forward changes an attribute of a module")
    if random_before != _random_numbers():
        raise ValueError("forward draws random numbers")
    return fx.GraphModule(network, graph)


def _random_numbers() -> list[object]:
    """Where all the generators stand."""
    arrays = (np.random.get_state(legacy=False), torch.get_rng_state().tolist())
    return [random.getstate(), *map(repr, arrays)]


def _nodes_alike(one: fx.Graph, other: fx.Graph) -> int:
    """How many nodes from the beginning are the same."""
    number = 0
    for number, (a, b) in enumerate(zip(one.nodes, other.nodes, strict=False)):
        if (a.op, a.target, repr(a.args), repr(a.kwargs)) != (
            b.op, b.target, repr(b.args), repr(b.kwargs)
        ):  # fmt: skip
            return number
    return number + 1


def _name(network: nn.Module, node: fx.Node) -> str:
    if node.op == "call_module":
        return f"{node.target} ({type(network.get_submodule(str(node.target))).__name__})"
    return f"{node.name} ({getattr(node.target, '__name__', node.target)})"


def _rest(network: nn.Module, traced: fx.GraphModule, number: int) -> fx.GraphModule | None:
    """What comes behind a node and needs nothing of what came before it; None if it does."""
    rest, nodes = fx.Graph(), list(traced.graph.nodes)
    known = {nodes[number]: rest.placeholder("value")}
    for node in nodes[:number]:
        if node.op == "get_attr":
            known[node] = rest.node_copy(node, known.__getitem__)
    try:
        for node in nodes[number + 1 :]:
            known[node] = rest.node_copy(node, known.__getitem__)
    except KeyError:
        return None
    return fx.GraphModule(network, rest)


class _Reader:
    """Turns the nodes of a tracing into rows, one after another."""

    def __init__(self, network: nn.Module, num_channels: int) -> None:
        self.network = network
        self.num_channels = num_channels
        self.rows: list[Row] = []
        self.values: dict[fx.Node, Any] = {}
        self.history: dict[fx.Node, list[Row]] = {}

    def rows_at(self, node: fx.Node) -> list[Row]:
        return self.history[node]

    def read(self, node: fx.Node) -> None:
        """Raises whatever comes where the node is no row."""
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
        return _Value(len(self.rows), channels, like.single, like.flat)

    def _module(self, layer: nn.Module, node: Any, value: _Value) -> _Value:
        kind = type(layer)
        if kind is nn.Identity:
            return value
        if kind in (nn.ConstantPad1d, nn.ZeroPad1d) and not value.flat:
            left, right = layer.padding  # type: ignore[misc]
            _need(getattr(layer, "value", 0.0) == 0 and left >= 0 and right >= 0)
            return replace(value, padded=(value.padded[0] + left, value.padded[1] + right))
        if isinstance(layer, nn.Conv1d):
            _need(not value.flat and layer.in_channels == value.channels)
            row = Convolution(layer, source=value.row, padded=value.padded)
            return self._made(row, layer.out_channels, replace(value, single=False))
        _need(value.padded == (0, 0))
        # In place is another way to the same numbers, where nobody else reads x.
        _need(not getattr(layer, "inplace", False) or len(node.users) == 1)
        if isinstance(layer, nn.BatchNorm1d):
            return self._normalised(layer, node, value)
        if kind in MODULES:
            _need(getattr(layer, "approximate", "none") == "none")
            return self._activated(MODULES[kind], node, value)
        if isinstance(layer, nn.Dropout):
            return self._made(Dropout(layer, value.row), value.channels, value)
        if isinstance(layer, nn.Linear):
            _need(value.flat)
            return self._made(Dense(layer, source=value.row), layer.out_features, value)
        if isinstance(layer, nn.MaxPool1d | nn.AvgPool1d):
            _need(not value.flat)
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


def _need(condition: bool) -> None:
    if not condition:
        raise _NoRowError
