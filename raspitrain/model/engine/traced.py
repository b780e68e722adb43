"""Find the rows of a network that says nothing of itself: torch.fx writes down what it does.

A copy of it is traced as it trains and as it is evaluated, and must be afterwards what it was.
Layers that follow each other, that both tracings agree on, and that take one value and make one,
are a part that the kernels may compute, if all of them are rows; between such parts its own modules
do the work. A module of the user's whose forward cannot be traced is one of these as a whole.
"""

import copy
import operator
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

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
ADDITIONS = (operator.add, operator.iadd, torch.add, "add")
PRODUCTS = (operator.mul, operator.imul, torch.mul, "mul")

Computed = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Run:
    """Layers of a network, one after another, as rows.

    Attributes
    ----------
    num_channels : of the value (N, C, L) that they take
    names : of each row the layer it comes from, as a sentence names it
    flat : whether their last value is (N, C), not (N, C, L)
    first : whether what they take is the signals
    modules : the same, as the network's own modules do it
    """

    rows: list[Row]
    num_channels: int
    names: list[str]
    flat: bool
    first: bool
    modules: fx.GraphModule


@dataclass(frozen=True)
class Traced:
    """A network as runs of rows and what lies between them.

    Attributes
    ----------
    graphs : the network in evaluation and in training, where each run is one call; None where
        there are no runs
    between : the layers that are no rows, before a run, as a sentence names them
    left : the first layer that is no row behind all runs; None where there is none
    refused : why nothing was traced, as a clause; None where it was
    """

    runs: list[Run] = field(default_factory=list)
    graphs: tuple[fx.GraphModule, fx.GraphModule] | None = None
    between: list[str] = field(default_factory=list)
    left: str | None = None
    refused: str | None = None


@dataclass(frozen=True)
class _Span:
    """Where a run lies among the nodes of a tracing."""

    source: int
    begin: int
    last: int


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


def trace(network: nn.Module, num_channels: int, computed_by: Callable[[Run], Computed]) -> Traced:
    """What a network is made of that takes signals of so many channels, and is left as it is.

    Parameters
    ----------
    computed_by : from a run to the function that `graphs` call for it
    """
    try:
        model = copied(network)
        evaluating, training = _tracings(model, (False, True))
    except RefusedError as error:
        return Traced(refused=str(error))
    graphs = evaluating, training
    alike = _nodes_alike(evaluating, training)
    nodes = list(training.nodes)
    runs, spans, failed = [], [], dict[int, str]()
    at = 0
    while at < len(nodes):
        found = _run_from(network, graphs, alike, at, num_channels, failed)
        if found is None:
            at += 1
            continue
        run, span = found
        runs.append(run)
        spans.append(span)
        at = span.last + 1
    between, left = _outside(network, nodes, spans, failed)
    if not runs:
        return Traced(left=left or "its output")
    computed = [computed_by(run) for run in runs]
    whole = [_with_calls(network, model, graph, spans, computed) for graph in graphs]
    return Traced(runs, (whole[0], whole[1]), between, left)


def _outside(
    network: nn.Module, nodes: list[fx.Node], spans: Sequence[_Span], failed: dict[int, str]
) -> tuple[list[str], str | None]:
    """`between` and `left` of Traced."""
    begins, ends = [0, *(s.last + 1 for s in spans)], [*(s.begin for s in spans), len(nodes)]
    *before, behind = (
        [n for n in range(b, e) if nodes[n].op not in ("placeholder", "get_attr", "output")]
        for b, e in zip(begins, ends, strict=True)
    )
    between = []
    for numbers in before:
        layers = [n for n in numbers if _is_layer(nodes[n])]
        between += [_name(network, nodes[n]) for n in layers or numbers[:1]]
    left = [failed[n] for n in behind if n in failed]
    left += [_name(network, nodes[n]) for n in behind]
    return between, left[0] if left else None


def _is_layer(node: fx.Node) -> bool:
    """Whether it is a module, or an autograd function (`_functions_written_down`)."""
    return node.op == "call_module" or getattr(node.target, "__module__", None) == __name__


def _run_from(
    network: nn.Module,
    graphs: tuple[fx.Graph, fx.Graph],
    alike: list[bool],
    begin: int,
    num_channels: int,
    failed: dict[int, str],
) -> tuple[Run, _Span] | None:
    """The longest run that begins at a node; `failed` learns the layer that ends it."""
    nodes = list(graphs[1].nodes)
    if not alike[begin] or len(nodes[begin].all_input_nodes) != 1:
        return None
    (source,) = nodes[begin].all_input_nodes
    first = source is nodes[0]
    channels = num_channels if first else _channels_taken(network, nodes[begin])
    if channels is None:
        return None
    reader = _Reader(network, source, channels)
    for number in range(begin, len(nodes)):
        node = nodes[number]
        if node.op == "output":
            break
        try:
            if not alike[number]:
                raise _NoRowError
            if not node.users:
                raise _NoRowError("whose output nobody uses")
            reader.read(node)
        except (_NoRowError, LookupError, TypeError, ValueError, AttributeError) as error:
            why = str(error) if isinstance(error, _NoRowError) else ""
            failed.setdefault(number, _name(network, node, why))
            break
    # One node is read after another: the last ones first.
    for last in range(begin + len(reader.history) - 1, begin - 1, -1):
        node = nodes[last]
        value, rows = reader.values[node], reader.history[node]
        if not isinstance(value, _Value) or value.padded != (0, 0) or value.row != len(rows):
            continue
        if not first and not any(isinstance(row, Convolution) for row in rows):
            continue
        if rows and all(_is_closed(graph, begin, last) for graph in graphs):
            modules = _alone(network, nodes[begin : last + 1], source)
            names = reader.names[: len(rows)]
            run = Run(rows, channels, names, value.flat, first, modules)
            return run, _Span(nodes.index(source), begin, last)
    return None


def _channels_taken(network: nn.Module, node: fx.Node) -> int | None:
    """Of the value (N, C, L) that a node takes, by the first layer behind it that counts them."""
    while node.op == "call_module":
        layer = network.get_submodule(str(node.target))
        if isinstance(layer, nn.Conv1d):
            return layer.in_channels
        if isinstance(layer, nn.BatchNorm1d):
            return layer.num_features
        keeps_them = isinstance(layer, (*MODULES, nn.ConstantPad1d, nn.MaxPool1d, nn.AvgPool1d))
        if not keeps_them or not node.users:
            return None
        node = next(iter(node.users))
    return None


def _is_closed(graph: fx.Graph, begin: int, last: int) -> bool:
    """Whether nobody behind node `last` asks for a node from `begin` on but for that one."""
    nodes = list(graph.nodes)
    span = set(nodes[begin : last + 1])
    return all(user in span for node in nodes[begin:last] for user in node.users)


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
    """Writes a module down as one call where it is `opaque`; `failed` is the innermost module whose
    forward could not be traced."""

    proxy_buffer_attributes = True  # what is done to a buffer is a part of the forward

    def __init__(self, opaque: Sequence[nn.Module]) -> None:
        super().__init__()
        self.opaque = opaque
        self.failed: nn.Module | None = None

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        opaque = any(m is one for one in self.opaque)
        return opaque or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed = m if self.failed is None else self.failed
            raise


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


def _tracings(model: nn.Module, modes: tuple[bool, ...]) -> list[fx.Graph]:
    """What a network does in evaluation (False) and in training.

    Raises
    ------
    RefusedError
        It does not always do the same: forward draws random numbers in Python, or keeps something.
    """
    opaque: list[nn.Module] = []
    # What stands for tensors while forward is traced lets nobody at their memory.
    with (
        unchanged(model, read_tensors=False),
        _global_random_numbers() as drawn,
        _functions_written_down(),
    ):
        while True:
            known = len(opaque)
            graphs = [_tracing(model.train(training), opaque) for training in modes]
            if len(opaque) == known:  # else another call for what training alone made one
                break
        if drawn():
            raise RefusedError("its forward draws random numbers")
    return graphs


def _tracing(model: nn.Module, opaque: list[nn.Module]) -> fx.Graph:
    while True:
        tracer = _Tracer(opaque)
        try:
            return tracer.trace(model)
        except Exception as error:  # whatever a forward does with what stands for a tensor
            if tracer.failed is None:
                why = f"its forward cannot be traced ({_first_sentence(error)})"
                raise RefusedError(why) from error
            opaque.append(tracer.failed)


@contextmanager
def _functions_written_down() -> Iterator[None]:
    """Let torch.fx write down autograd functions, whose own `apply` takes tensors only."""
    function: Any = torch.autograd.Function
    before = vars(function)["apply"]
    calls: dict[type, Callable[..., Any]] = {}

    def call_of(kind: Any) -> Callable[..., Any]:
        if kind not in calls:

            def call(*args: Any) -> Any:
                return kind.apply(*args)

            call.__name__ = kind.__name__
            calls[kind] = call
        return calls[kind]

    def apply(kind: type, *args: Any, **kwargs: Any) -> Any:
        stand_in = next((arg for arg in args if isinstance(arg, fx.Proxy)), None)
        if stand_in is None:
            return before.__get__(None, kind)(*args, **kwargs)
        return stand_in.tracer.create_proxy("call_function", call_of(kind), args, kwargs)

    function.apply = classmethod(apply)
    try:
        yield
    finally:
        function.apply = before


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


def _nodes_alike(one: fx.Graph, other: fx.Graph) -> list[bool]:
    """Of each node of `other` whether it is the same in both."""
    alike, same_so_far = [], True
    for a, b in zip(one.nodes, other.nodes, strict=False):
        # Behind another operation nodes of one number are no longer the same.
        same_so_far &= (a.op, a.name, a.target) == (b.op, b.name, b.target)
        same = repr((a.args, a.kwargs)) == repr((b.args, b.kwargs))
        alike.append(same_so_far and same)
    return alike + [False] * (len(other.nodes) - len(alike))


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


def _alone(network: nn.Module, nodes: Sequence[fx.Node], source: fx.Node) -> fx.GraphModule:
    """Nodes that take one value and make one, as a network of their own; its modules are those of
    the network itself."""
    graph = fx.Graph()
    known = {source: graph.placeholder("value")}
    for node in nodes:
        known[node] = graph.node_copy(node, known.__getitem__)
    graph.output(known[nodes[-1]])
    return _module(graph, network)


def _with_calls(
    network: nn.Module,
    model: nn.Module,
    traced: fx.Graph,
    spans: Sequence[_Span],
    computed: Sequence[Computed],
) -> fx.GraphModule:
    """A tracing with one call for each run; constants that tracing has written down are those of
    the copy that was traced."""
    graph, nodes = fx.Graph(), list(traced.nodes)
    known: dict[fx.Node, fx.Node] = {}
    calls = {span.last: (nodes[span.source], f) for span, f in zip(spans, computed, strict=True)}
    inside = {n for span in spans for n in range(span.begin, span.last + 1)}
    for number, node in enumerate(nodes):
        if number in calls:
            source, function = calls[number]
            known[node] = graph.call_function(function, (known[source],))
        elif number not in inside:
            known[node] = graph.node_copy(node, known.__getitem__)
    return _module(graph, network, model)


def _module(graph: fx.Graph, *models: nn.Module) -> fx.GraphModule:
    asked_for = {str(node.target) for node in graph.nodes if node.op in ("call_module", "get_attr")}
    return fx.GraphModule({name: _found(name, *models) for name in asked_for}, graph)


def _found(name: str, *models: nn.Module) -> Any:
    for model in models:
        try:
            return operator.attrgetter(name)(model)
        except AttributeError:
            continue
    raise KeyError(name)


class _Reader:
    """Turns the nodes of a tracing into rows, one after another."""

    def __init__(self, network: nn.Module, source: fx.Node, num_channels: int) -> None:
        self.network = network
        self.rows: list[Row] = []
        self.names: list[str] = []
        self.name = ""
        self.values: dict[fx.Node, Any] = {source: _Value(0, num_channels)}
        self.history: dict[fx.Node, list[Row]] = {}

    def read(self, node: fx.Node) -> None:
        """Raises whatever comes where the node is no row."""
        self.name = _name(self.network, node)
        if node.op == "call_module":
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

    def _is_ours_alone(self, node: Any) -> bool:
        """Whether nobody else reads a value, nor what it is perhaps a view of."""
        return len(node.users) == 1 and self._value(node).row > 0

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
        _need(not getattr(layer, "inplace", False) or self._is_ours_alone(node))
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
            apart = getattr(layer, "dilation", 1) not in (1, (1,))
            inside = layer.padding in (0, (0,)) and not layer.ceil_mode
            _need(inside or not apart, "with dilation over the edge")
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
            _need(not kwargs.get("inplace") or self._is_ours_alone(args[0]))
            value = self._plain(args[0])
            return self._activated(FUNCTIONS[target], args[0], value)
        if target in ADDITIONS or target in PRODUCTS:
            first, second = args
            _need(not kwargs)
            _need(target not in IN_PLACE or self._is_ours_alone(first))
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
