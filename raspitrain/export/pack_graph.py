"""From a trained network of ordinary layers to what the engine reads.

torch.fx writes down what the network's forward does in evaluation, as for the training kernels
(raspitrain/model/engine/traced.py); each step of it, a layer or a function of torch's, is then said
in layers of the engine (graph.py). What holds no signal, such as a parameter's factor, is computed
here and now.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from raspitrain.export.graph import Graph, NotCoveredError, Signal
from raspitrain.export.pack import as_described, float64
from raspitrain.model.engine import traced
from raspitrain.model.engine.operations import pooled_length
from raspitrain.use.kinds import GRAPH


@dataclass(frozen=True)
class Groups:
    """A signal whose channels are parted into groups; turned: to be dealt out over them."""

    x: Signal
    groups: int
    turned: bool = False


class Cases:
    """How many windows there are, as a shape has it."""


def pack_graph(
    model: nn.Module, *, num_channels: int, length: int, precision: str, normalise: str = "channel"
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """As `raspitrain.export.pack.pack`.

    Raises
    ------
    NotCoveredError
        The engine lacks a layer, or forward cannot be written down; names it.
    """
    graph = Graph(num_channels)
    given = Signal(tuple((0, channel) for channel in range(num_channels)), length)
    logits = _read(graph, model, given)
    if not isinstance(logits, Signal) or logits.length != 1 or logits.padding != (0, 0):
        raise NotCoveredError("it does not end with a number for each class")
    classes = len(logits.channels)
    value, columns = graph.together(logits)
    if value != len(graph.layers) or columns != list(range(classes)):
        graph.join(logits)
    network = {
        "kind": GRAPH,
        "channels": num_channels,
        "length": length,
        "classes": classes,
        "layers": [layer.header for layer in graph.layers],
        "precision": precision,
    }
    arrays = [array for layer in graph.layers for array in graph.packed(network, layer)]
    return as_described(network, arrays, normalise)


# ---------------------------------------------------------------- step by step


def _read(graph: Graph, network: nn.Module, window: Signal) -> Any:
    """What forward gives for a window."""
    try:
        model, forward = traced.evaluation(network)
    except traced.RefusedError as error:
        raise NotCoveredError(str(error)) from error
    found: dict[fx.Node, Any] = {}
    for node in forward.nodes:
        if node.op == "placeholder":
            if found:
                raise NotCoveredError(f"its forward takes {node.target} beside the signals")
            made: Any = window
        elif node.op == "output":
            return fx.node.map_arg(node.args[0], found.__getitem__)
        elif not node.users and node.op in ("call_module", "get_attr"):
            continue  # which training alone asks for
        else:
            made = _step(graph, model, node, found)
        if isinstance(made, Signal) and len(node.users) > 1:
            if len(graph.by_value(made)) > 1:
                made = graph.join(made)  # once, and not for each
            graph.keep(made)
        found[node] = made
    raise AssertionError("a tracing without an output")


def _step(graph: Graph, model: nn.Module, node: fx.Node, found: dict[fx.Node, Any]) -> Any:
    """What a step of forward makes of signals, or a value of torch's where it meets none.

    Raises
    ------
    NotCoveredError
        The engine has nothing that does it.
    """
    args: Any = fx.node.map_arg(node.args, found.__getitem__)
    kwargs: Any = fx.node.map_arg(node.kwargs, found.__getitem__)
    target: Any = node.target
    if node.op == "get_attr":
        return operator.attrgetter(target)(model)
    layer = model.get_submodule(target) if node.op == "call_module" else None
    where = target if layer is not None else traced.place_of(node)
    if not any(isinstance(found[of], Signal | Groups | tuple) for of in node.all_input_nodes):
        do = layer if layer is not None else target
        try:
            if node.op == "call_method":
                do, args = getattr(args[0], target), args[1:]
            with torch.no_grad():
                return do(*args, **kwargs)
        except Exception as error:  # of torch's many, as with a tensor for each case
            name = _name(target)
            raise NotCoveredError(f"the inference engine has no such {name} ({where})") from error
    if layer is not None:
        visit, name, args = _visit_of(layer), type(layer).__name__, (layer, *args)
    else:
        visit, name = FUNCTIONS.get(target), _name(target)
    if visit is None:
        raise NotCoveredError(f"the inference engine has no {name} ({where})")
    try:
        if traced.is_in_place(layer, node) and len(node.all_input_nodes[0].users) > 1:
            raise NotCoveredError("it changes in place what others read")
        if visit not in PADDED:  # the zeros are there before anything else is done
            args, kwargs = fx.node.map_aggregate((args, kwargs), lambda a: _with_zeros(graph, a))
        return visit(graph, *args, **kwargs)
    except NotCoveredError as error:
        raise NotCoveredError(f"{error} ({where})") from error
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError) as error:
        raise NotCoveredError(f"the inference engine has no such {name} ({where})") from error


def _name(target: Any) -> str:
    return target if isinstance(target, str) else getattr(target, "__name__", str(target))


def _visit_of(layer: nn.Module) -> "Visit | None":
    """Of a layer of torch's, or a class derived from one that does the same."""
    kinds = (kind for kind in type(layer).__mro__ if kind in VISITS)
    return next((VISITS[kind] for kind in kinds if kind.forward is type(layer).forward), None)


def _with_zeros(graph: Graph, value: Any) -> Any:
    if not isinstance(value, Signal) or value.padding == (0, 0):
        return value
    left, right = value.padding
    x = replace(value, padding=(0, 0))
    return graph.placed(x, -left, left + x.length + right)


def _need(condition: bool, why: str = "") -> None:
    if not condition:
        raise NotCoveredError(why) if why else ValueError


def _one(value: Any) -> int:
    """Of a kernel's size, a stride, …: a number or a tuple of one."""
    if isinstance(value, tuple | list):
        (value,) = value
    return int(value)


# ---------------------------------------------------------------- layers with weights


def _conv_layer(graph: Graph, layer: nn.Conv1d, x: Signal) -> Signal:
    mode = layer.padding_mode
    _need(mode == "zeros", f"the inference engine pads with zeros, not {mode}")
    return _conv(graph, x, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation,
                 layer.groups)  # fmt: skip


def _conv(
    graph: Graph, x: Signal, weight: Tensor, bias: Tensor | None = None, stride: Any = 1,
    padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Signal:  # fmt: skip
    _need(not x.flat and len(x.channels) == groups * weight.shape[1])
    reach = _one(dilation) * (weight.shape[2] - 1)
    if padding == "same":
        sides = reach // 2, reach - reach // 2
    else:
        side = 0 if padding == "valid" else _one(padding)
        sides = side, side
    return graph.convolution(
        x, float64(weight), _bias(bias, len(weight)), stride=_one(stride), padding=sides,
        dilation=_one(dilation), groups=groups,
    )  # fmt: skip


def _bias(bias: Tensor | None, width: int) -> np.ndarray:
    return np.zeros(width) if bias is None else float64(bias)


def _linear(graph: Graph, x: Signal, weight: Tensor, bias: Tensor | None = None) -> Signal:
    """A convolution over all positions."""
    _need(x.flat, "the inference engine has nn.Linear behind nn.Flatten only")
    parted = float64(weight).reshape(len(weight), len(x.channels), x.length)
    header = {
        "layer": "convolution", "kernel": x.length, "stride": 1, "dilation": 1, "padding": [0, 0],
        "activation": "identity",
    }  # fmt: skip
    made = graph.dense(x, header, 1, parted, _bias(bias, len(weight)))
    return Signal(made.channels, 1, flat=True)


def _norm_layer(graph: Graph, layer: nn.BatchNorm1d, x: Signal) -> Signal:
    return _norm(graph, x, layer.running_mean, layer.running_var, layer.weight, layer.bias,
                 eps=layer.eps)  # fmt: skip


def _norm(
    graph: Graph, x: Signal, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Signal:  # fmt: skip
    if running_mean is None or running_var is None or training:
        raise NotCoveredError("BatchNorm1d without running statistics depends on the batch")
    _need(not x.flat or x.length == 1, "the inference engine has no BatchNorm1d behind nn.Flatten")
    scale = 1 / np.sqrt(float64(running_var) + eps)
    if weight is not None:
        scale = scale * float64(weight)
    shift = -float64(running_mean) * scale
    return graph.affine(x, scale, shift if bias is None else shift + float64(bias))


# ---------------------------------------------------------------- layers without


def _nothing(graph: Graph, x: Any) -> Any:
    return x


def _as_it_is(graph: Graph, layer: nn.Module, x: Any) -> Any:
    return x


def _dropped(graph: Graph, x: Signal, p: float, training: bool, inplace: bool) -> Signal:
    _need(not training or p == 0, "it drops values in evaluation too")
    return x


def _gelu(graph: Graph, x: Signal, approximate: str = "none") -> Signal:
    _need(
        approximate == "none", f"the inference engine has GELU itself, not its {approximate} form"
    )
    return graph.activate(x, "gelu")


def _zeros_layer(graph: Graph, layer: nn.ConstantPad1d, x: Signal) -> Signal:
    return _zeros(graph, x, layer.padding, value=layer.value)


def _zeros(
    graph: Graph, x: Signal, padding: Any, mode: str = "constant", value: float | None = None
) -> Signal:
    left, right = padding
    if mode != "constant" or value not in (None, 0) or x.flat:
        raise NotCoveredError("the inference engine pads signals with zeros only")
    sides = x.padding[0] + left, x.padding[1] + right
    if min(sides) < 0:
        x = replace(x, padding=(0, 0))
        return graph.placed(x, -sides[0], sides[0] + x.length + sides[1])
    return replace(x, padding=sides)


def _pool(
    graph: Graph, x: Signal, kind: str, kernel: int, stride: Any, padding: int, ceil_mode: bool
) -> Signal:
    _need(not x.flat)
    stride = kernel if stride is None else _one(stride)
    length = pooled_length(x.length, kernel, stride, padding, ceil_mode=ceil_mode)
    right = max(0, (length - 1) * stride + kernel - x.length - padding)
    header, also = graph.slide(kind, x, kernel, stride, (padding, right))
    assert also == length
    return graph.over_positions(x, header, length, len(x.channels))


def _max_pool(
    graph: Graph, x: Signal, kernel_size: Any, stride: Any = None, padding: Any = 0,
    dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Signal:  # fmt: skip
    plain = _one(dilation) == 1 and not return_indices
    _need(plain, "the inference engine has MaxPool1d without dilation and indices only")
    return _pool(graph, x, "max_pool", _one(kernel_size), stride, _one(padding), ceil_mode)


def _mean_pool(
    graph: Graph, x: Signal, kernel_size: Any, stride: Any = None, padding: Any = 0,
    ceil_mode: bool = False, count_include_pad: bool = True,
) -> Signal:  # fmt: skip
    _need(count_include_pad, "the inference engine has AvgPool1d with count_include_pad=True only")
    return _pool(graph, x, "mean_pool", _one(kernel_size), stride, _one(padding), ceil_mode)


def _means(graph: Graph, x: Signal, output_size: Any) -> Signal:
    _need(not x.flat)
    positions = _one(output_size)
    header = {"layer": "mean", "positions": positions, "activation": "identity"}
    return graph.over_positions(x, header, positions, len(x.channels))


def _largest(graph: Graph, x: Signal, output_size: Any, return_indices: bool = False) -> Signal:
    kernel, rest = divmod(x.length, _one(output_size))
    _need(not rest and not return_indices)
    return _max_pool(graph, x, kernel)


def _mean(graph: Graph, x: Signal, dim: Any, keepdim: bool = False) -> Signal:
    _need(not x.flat and _one(dim) in (2, -1))
    return replace(_means(graph, x, 1), flat=not keepdim)


def _greatest(graph: Graph, x: Signal, dim: Any, keepdim: bool = False) -> Signal:
    _need(not x.flat and _one(dim) in (2, -1))
    return replace(_largest(graph, x, 1), flat=not keepdim)


def _greatest_and_where(
    graph: Graph, x: Signal, dim: Any, keepdim: bool = False
) -> tuple[Signal, None]:
    return _greatest(graph, x, dim, keepdim), None


# ---------------------------------------------------------------- of two


def _per_channel(x: Signal, value: Any) -> np.ndarray:
    """A number, or a tensor that has one for each channel, as float64 (C,)."""
    array = float64(value) if isinstance(value, Tensor) else np.float64(value)
    shape = (1, len(x.channels)) if x.flat and x.length == 1 else (1, len(x.channels), 1)
    _need(not x.flat or x.length == 1 or array.size == 1)
    return np.broadcast_to(array, shape).reshape(-1)


def _add(graph: Graph, x: Any, y: Any) -> Signal:
    if not isinstance(x, Signal):
        x, y = y, x
    if not isinstance(y, Signal):
        return graph.affine(x, np.ones(len(x.channels)), _per_channel(x, y))
    _need(x.length == y.length, f"{x.length} positions meet {y.length}")
    _need(x.flat == y.flat)
    return graph.of_two("add", x, y, activation="identity")


def _negated(graph: Graph, x: Signal) -> Signal:
    return graph.affine(x, -np.ones(len(x.channels)), np.zeros(len(x.channels)))


def _subtract(graph: Graph, x: Any, y: Any) -> Signal:
    return _add(graph, x, _negated(graph, y) if isinstance(y, Signal) else -y)


def _multiply(graph: Graph, x: Any, y: Any) -> Signal:
    if not isinstance(x, Signal) or (isinstance(y, Signal) and x.length < y.length):
        x, y = y, x
    if not isinstance(y, Signal):
        return graph.affine(x, _per_channel(x, y), np.zeros(len(x.channels)))
    _need(y.length in (1, x.length), f"{x.length} positions meet {y.length}")
    _need(x.flat == y.flat)
    return graph.of_two("gate", x, y)


def _divide(graph: Graph, x: Signal, y: Any) -> Signal:
    return graph.affine(x, 1 / _per_channel(x, y), np.zeros(len(x.channels)))


def _joined(graph: Graph, parts: Any, dim: int = 0) -> Signal:
    first = parts[0]
    _need(dim in (1, -1 if first.flat else -2))
    _need(
        all((part.length, part.flat) == (first.length, first.flat) for part in parts),
        "the inference engine joins branches of the same length only",
    )
    return first.part(channel for part in parts for channel in part.channels)


# ---------------------------------------------------------------- shapes


def _flattened(graph: Graph, x: Any, start_dim: int = 0, end_dim: int = -1) -> Signal:
    if isinstance(x, Groups):
        _need((start_dim, end_dim) == (1, 2))
        return _dealt(x)
    _need(
        (start_dim, end_dim) in ((1, -1), (1, 1 if x.flat else 2)),
        "the inference engine has nn.Flatten of channels and positions only",
    )
    return replace(x, flat=True)


def _dealt(parted: Groups) -> Signal:
    channels, groups = parted.x.channels, parted.groups
    if not parted.turned:
        return parted.x
    per_group = len(channels) // groups
    order = [g * per_group + k for k in range(per_group) for g in range(groups)]
    return parted.x.part(channels[channel] for channel in order)


def _viewed(graph: Graph, x: Any, *shape: Any) -> Any:
    cases, *rest = shape if len(shape) > 1 else shape[0]
    plain = x.x if isinstance(x, Groups) else x
    channels, length = len(plain.channels), plain.length
    _need(cases == -1 or isinstance(cases, Cases))

    def are(*wanted: int) -> bool:
        pairs = zip(rest, wanted, strict=False)
        return len(rest) == len(wanted) and all(r in (-1, w) for r, w in pairs)

    if isinstance(x, Groups):
        _need(are(channels, length))
        return _dealt(x)
    if are(channels * length):
        return replace(x, flat=True)
    if are(channels, length):
        return replace(x, flat=False)
    groups = rest[0] if rest[0] != -1 else channels // rest[1]
    _need(not x.flat and are(groups, channels // groups, length) and channels % groups == 0)
    return Groups(x, groups)


def _unflattened(graph: Graph, x: Signal, dim: int, sizes: Any) -> Groups:
    groups, rest = sizes
    _need(dim == 1 and not x.flat and len(x.channels) % groups == 0)
    _need(rest in (-1, len(x.channels) // groups))
    return Groups(x, groups)


def _transposed(graph: Graph, x: Groups, *dims: int) -> Groups:
    _need(isinstance(x, Groups) and dims in ((1, 2), (2, 1), (0, 2, 1, 3)))
    return replace(x, turned=not x.turned)


def _squeezed(graph: Graph, x: Signal, dim: int) -> Signal:
    _need(not x.flat and x.length == 1 and dim in (2, -1))
    return replace(x, flat=True)


def _unsqueezed(graph: Graph, x: Signal, dim: int) -> Signal:
    _need(x.flat and x.length == 1 and dim in (2, -1))
    return replace(x, flat=False)


def _shape(graph: Graph, x: Signal, dim: int | None = None) -> Any:
    rest = (len(x.channels) * x.length,) if x.flat else (len(x.channels), x.length)
    shape = (Cases(), *rest)
    return shape if dim is None else shape[dim]


def _attribute(graph: Graph, x: Any, name: str) -> Any:
    if name == "values":  # of a maximum
        return x[0]
    if name == "ndim":
        return len(_shape(graph, x))
    _need(name == "shape")
    return _shape(graph, x)


def _chunks(graph: Graph, x: Signal, chunks: int, dim: int = 0) -> tuple[Signal, ...]:
    return _parts(graph, x, -(-len(x.channels) // chunks), dim)


def _parts(graph: Graph, x: Signal, sizes: Any, dim: int = 0) -> tuple[Signal, ...]:
    _need(dim == 1 and not (x.flat and x.length > 1))
    count = len(x.channels)
    if isinstance(sizes, int):
        sizes = [min(sizes, count - first) for first in range(0, count, sizes)]
    starts = np.cumsum([0, *sizes])
    _need(starts[-1] == count)
    pairs = pairwise(starts.tolist())
    return tuple(x.part(x.channels[first:end]) for first, end in pairs)


def _item(graph: Graph, x: Any, key: Any) -> Any:
    """Of a signal [:, channels, positions]; None behind is a position again."""
    if isinstance(x, tuple):
        return x[key]
    keys = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        missing = (2 if x.flat else 3) - sum(k is not None for k in keys) + 1
        keys[at : at + 1] = [slice(None)] * missing
    if x.flat and keys == [slice(None), slice(None), None]:
        return _unsqueezed(graph, x, 2)
    keys += [slice(None)] * (3 - len(keys))
    cases, channels, positions = keys
    _need(cases == slice(None) and isinstance(channels, slice))
    _need(not x.flat or (x.length == 1 and positions == slice(None)))
    x = x.part(x.channels[channels])
    if positions == slice(None):
        return x
    if isinstance(positions, int):
        first = range(x.length)[positions]
        return replace(graph.placed(x, first, 1), flat=True)
    first, end, step = positions.indices(x.length)
    wanted = range(first, end, step)
    return graph.placed(x, first, len(wanted), step)


Visit = Callable[..., Any]


def _activation(name: str) -> Visit:
    def visit(graph: Graph, x: Signal, inplace: bool = False) -> Signal:
        return graph.activate(x, name)

    return visit


def _of_layer(visit: Visit, *names: str) -> Visit:
    """The same for a layer that has what follows x as attributes."""
    return lambda graph, layer, x: visit(graph, x, *(getattr(layer, name) for name in names))


POOL = ("kernel_size", "stride", "padding")
ACTIVATIONS = traced.MODULES | {nn.Hardsigmoid: "hard_sigmoid", nn.Tanh: "tanh"}
VISITS: dict[type[nn.Module], Visit] = {
    **{kind: _of_layer(_activation(name)) for kind, name in ACTIVATIONS.items()},
    nn.GELU: _of_layer(_gelu, "approximate"),
    nn.Identity: _as_it_is,
    nn.Dropout: _as_it_is,
    nn.Dropout1d: _as_it_is,
    nn.Conv1d: _conv_layer,
    nn.Linear: _of_layer(_linear, "weight", "bias"),
    nn.BatchNorm1d: _norm_layer,
    nn.ConstantPad1d: _zeros_layer,
    nn.MaxPool1d: _of_layer(_max_pool, *POOL, "dilation", "ceil_mode", "return_indices"),
    nn.AvgPool1d: _of_layer(_mean_pool, *POOL, "ceil_mode", "count_include_pad"),
    nn.AdaptiveAvgPool1d: _of_layer(_means, "output_size"),
    nn.AdaptiveMaxPool1d: _of_layer(_largest, "output_size", "return_indices"),
    nn.Flatten: _of_layer(_flattened, "start_dim", "end_dim"),
}
FUNCTIONS: dict[Any, Visit] = {
    **{target: _activation(name) for target, name in traced.FUNCTIONS.items()},
    F.hardsigmoid: _activation("hard_sigmoid"),
    **dict.fromkeys((torch.tanh, "tanh"), _activation("tanh")),
    F.gelu: _gelu,
    **dict.fromkeys((F.dropout, F.dropout1d), _dropped),
    **dict.fromkeys(("contiguous", "float", "clone", "detach", torch.clone), _nothing),
    F.conv1d: _conv,
    F.linear: _linear,
    F.batch_norm: _norm,
    F.pad: _zeros,
    F.max_pool1d: _max_pool,
    F.avg_pool1d: _mean_pool,
    F.adaptive_avg_pool1d: _means,
    F.adaptive_max_pool1d: _largest,
    **dict.fromkeys(("mean", torch.mean), _mean),
    **dict.fromkeys(("amax", torch.amax), _greatest),
    **dict.fromkeys(("max", torch.max), _greatest_and_where),
    **dict.fromkeys(traced.ADDITIONS, _add),
    **dict.fromkeys(traced.PRODUCTS, _multiply),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, "sub"), _subtract),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, "div"), _divide),
    **dict.fromkeys((operator.neg, torch.neg, "neg"), _negated),
    **dict.fromkeys((torch.cat, torch.concat), _joined),
    **dict.fromkeys((torch.flatten, "flatten"), _flattened),
    **dict.fromkeys(("view", "reshape", torch.reshape), _viewed),
    **dict.fromkeys(("unflatten", torch.unflatten), _unflattened),
    **dict.fromkeys(("transpose", "permute", torch.transpose), _transposed),
    **dict.fromkeys(("squeeze", torch.squeeze), _squeezed),
    **dict.fromkeys(("unsqueeze", torch.unsqueeze), _unsqueezed),
    **dict.fromkeys(("chunk", torch.chunk), _chunks),
    **dict.fromkeys(("split", torch.split), _parts),
    "size": _shape,
    getattr: _attribute,
    operator.getitem: _item,
}
PADDED = (_as_it_is, _nothing, _conv_layer, _conv, _zeros_layer, _zeros)  # take zeros to be added
