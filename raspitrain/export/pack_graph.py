"""From a trained network of ordinary layers to what the engine reads.

The network's modules are gone through in the order of its forward pass, each by its type. Batch
normalisation goes into the convolution before it where nothing else reads that. Joining, parting
and shuffling channels moves no data: a signal is a list of where each of its channels lies, and is
brought together only for a layer that must have it so.

Shapes: a convolution's weight is (out, in, kernel), a depthwise one's (channels, kernel).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from raspitrain.errors import InputError
from raspitrain.export.pack import float64, pack_linear, padded
from raspitrain.model.layers import Add, ChannelGate, Concat, Shuffle
from raspitrain.model.shufflenetv2 import Unit
from raspitrain.use.graph import is_int8, tensors
from raspitrain.use.kinds import GRAPH
from raspitrain.use.network import PACK, pad


@dataclass
class Layer:
    """A layer to be packed: what the header says of it, and weights of its own channels.

    in_columns : where each of the weight's inputs lies in the source
    width : channels of what it makes
    """

    header: dict[str, Any]
    width: int
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    in_columns: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Signal:
    """Where each channel lies, as (value, column); its positions; zeros still to be put around it;
    whether channels and positions have become one axis."""

    channels: tuple[tuple[int, int], ...]
    length: int
    padding: tuple[int, int] = (0, 0)
    flat: bool = False

    def part(self, channels: Any) -> "Signal":
        return Signal(tuple(channels), self.length, self.padding, self.flat)


class NotCoveredError(InputError):
    """A layer, or a use of one, that the engine does not have."""


def pack_graph(
    model: nn.Module, *, num_channels: int, length: int, precision: str, normalise: str = "channel"
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """As `raspitrain.export.pack.pack`.

    Raises
    ------
    NotCoveredError
        The engine lacks a layer; names it.
    """
    graph = Graph(num_channels)
    given = Signal(tuple((0, channel) for channel in range(num_channels)), length)
    logits = graph.visit(model, given)
    if logits.length != 1 or logits.padding != (0, 0):
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
    if normalise != "channel":
        network["normalise"] = normalise
    arrays = [array for layer in graph.layers for array in graph.packed(network, layer)]
    for array, tensor in zip(arrays, tensors(network), strict=True):
        assert (array.shape, str(array.dtype)) == (tensor.shape, tensor.dtype), tensor.name
    return network, arrays


class Graph:
    """Layers so far. Value i is what layer i - 1 makes, value 0 the window.

    `kept` are the values that something else reads, or will: nothing more goes into their layers.
    """

    def __init__(self, num_channels: int) -> None:
        self.num_channels = num_channels
        self.layers: list[Layer] = []
        self.kept: set[int] = {0}

    def visit(self, module: nn.Module, x: Signal) -> Signal:
        """What a module makes of a signal."""
        visit = VISITS.get(type(module))
        if visit is None and isinstance(module, nn.Sequential):
            visit = _sequential  # a network of ours is one; what else it did is found by comparing
        if visit is None:
            raise NotCoveredError(f"the inference engine has no {type(module).__name__}")
        if x.padding != (0, 0) and visit not in (_sequential, _nothing, _zeros, _conv):
            raise NotCoveredError("the inference engine has ConstantPad1d before Conv1d only")
        return visit(self, module, x)

    # ------------------------------------------------------------ values

    def width(self, value: int) -> int:
        """Channels of a value."""
        return self.layers[value - 1].width if value else self.num_channels

    def columns(self, value: int) -> int:
        """Those and the zeros that fill them up."""
        return pad(self.width(value)) if value else self.num_channels

    def add(self, layer: Layer, length: int) -> Signal:
        """The signal that one more layer makes."""
        header = layer.header
        if header["layer"] == "join":
            self.kept.update(run[0] for run in header["runs"])
        else:
            self.kept.update({header["source"], header.get("other", header["source"])})
        self.layers.append(layer)
        value = len(self.layers)
        return Signal(tuple((value, column) for column in range(layer.width)), length)

    def by_value(self, x: Signal) -> dict[int, list[int]]:
        """Which of a signal's channels lie in which value."""
        found: dict[int, list[int]] = {}
        for channel, (value, _) in enumerate(x.channels):
            found.setdefault(value, []).append(channel)
        return found

    def is_whole(self, x: Signal) -> bool:
        """Whether a signal is all of one value, in any order."""
        values = {value for value, _ in x.channels}
        columns = {column for _, column in x.channels}
        return (
            len(values) == 1
            and values != {0}
            and len(columns) == len(x.channels) == self.width(min(values))
        )

    def can_take(self, x: Signal, kinds: tuple[str, ...]) -> bool:
        """Whether the layer that makes this signal is of these, and may be changed."""
        value = x.channels[0][0]
        if value in self.kept or not self.is_whole(x):
            return False
        header = self.layers[value - 1].header
        return header["layer"] in kinds and header["activation"] == "identity"

    def join(self, x: Signal) -> Signal:
        """A signal as a value of its own, its channels in order."""
        runs: list[list[int]] = []
        for value, column in x.channels:
            if runs and runs[-1][0] == value and sum(runs[-1][1:]) == column:
                runs[-1][2] += 1
            else:
                runs.append([value, column, 1])
        joined = self.add(Layer({"layer": "join", "runs": runs}, len(x.channels)), x.length)
        return Signal(joined.channels, x.length, x.padding, x.flat)

    def together(self, x: Signal) -> tuple[int, list[int]]:
        """The value that a signal lies in, which need not be a whole one, and its columns there.

        The window itself is none of a layer's but a dense convolution's.
        """
        values = {value for value, _ in x.channels}
        if len(values) > 1 or 3 * len(set(x.channels)) < 2 * self.columns(min(values)):
            x = self.join(x)
        return x.channels[0][0], [column for _, column in x.channels]

    def whole(self, x: Signal) -> Signal:
        """The same signal, all of a value that any layer takes."""
        return x if self.is_whole(x) else self.join(x)

    def keep(self, x: Signal) -> None:
        """Something else will read this signal as it is now."""
        self.kept.update(value for value, _ in x.channels)

    # ------------------------------------------------------------ layers

    def slide(
        self, kind: str, x: Signal, of: Any, padding: tuple[int, int] = (0, 0), **more: Any
    ) -> tuple[dict[str, Any], int]:
        """The header of a layer that slides over positions, and how many it makes."""
        kernel, stride = _one(of.kernel_size), _one(of.stride)
        left, right = (a + b for a, b in zip(padding, x.padding, strict=True))
        reach = more.get("dilation", 1) * (kernel - 1) + 1
        length = (x.length + left + right - reach) // stride + 1
        header = {"layer": kind, "kernel": kernel, "stride": stride, "padding": [left, right]}
        return header | more | {"activation": "identity"}, length

    def affine(self, x: Signal, scale: np.ndarray, shift: np.ndarray) -> Signal:
        """x times a number of its channel, and another added."""
        made = []
        for channels in self.by_value(x).values():
            part = x.part(x.channels[channel] for channel in channels)
            by, more = scale[channels], shift[channels]
            if self.can_take(part, ("convolution", "depthwise")):
                self._into(part, by, more)
            else:
                part = self._scaled(self.whole(part), by, more)
            made.append((channels, part))
        return _reordered(x, made)

    def _into(self, x: Signal, scale: np.ndarray, shift: np.ndarray) -> None:
        layer = self.layers[x.channels[0][0] - 1]
        assert layer.weight is not None
        assert layer.bias is not None
        columns = [column for _, column in x.channels]
        layer.weight[columns] *= scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
        layer.bias[columns] = layer.bias[columns] * scale + shift

    def _scaled(self, x: Signal, scale: np.ndarray, shift: np.ndarray) -> Signal:
        """By a depthwise convolution of one position."""
        columns = [column for _, column in x.channels]
        weight, bias = np.empty((len(columns), 1)), np.empty(len(columns))
        weight[columns, 0], bias[columns] = scale, shift
        header = {
            "layer": "depthwise", "source": x.channels[0][0], "kernel": 1, "stride": 1,
            "dilation": 1, "padding": [0, 0], "activation": "identity",
        }  # fmt: skip
        made = self.add(Layer(header, len(columns), weight, bias), x.length)
        return Signal(tuple(made.channels[c] for c in columns), x.length, x.padding, x.flat)

    def activate(self, x: Signal, activation: str) -> Signal:
        made = []
        for channels in self.by_value(x).values():
            part = x.part(x.channels[channel] for channel in channels)
            if not self.can_take(part, TAKING):
                count = len(channels)
                part = self._scaled(self.whole(part), np.ones(count), np.zeros(count))
            self.layers[part.channels[0][0] - 1].header["activation"] = activation
            made.append((channels, part))
        return _reordered(x, made)

    def dense(
        self, x: Signal, header: dict[str, Any], length: int, weight: np.ndarray, bias: np.ndarray
    ) -> Signal:
        value, columns = self.together(x)
        header = header | {"source": value, "out": pad(len(weight))}
        return self.add(Layer(header, len(weight), weight, bias, columns), length)

    def convolution(self, conv: nn.Conv1d, x: Signal) -> Signal:
        weight, bias = float64(conv.weight), bias_of(conv)
        reach = _one(conv.dilation) * (_one(conv.kernel_size) - 1)
        if conv.padding_mode != "zeros":
            raise NotCoveredError(f"the inference engine pads with zeros, not {conv.padding_mode}")
        if conv.padding == "same":
            padding = reach // 2, reach - reach // 2
        else:
            side = 0 if conv.padding == "valid" else _one(conv.padding)
            padding = side, side
        given = {"dilation": _one(conv.dilation)}
        per_group, groups = weight.shape[1], conv.groups
        if groups > 1 and per_group == 1:
            header, length = self.slide("depthwise", x, conv, padding, **given)
            return self._depthwise(x, header, length, weight[:, 0], bias)
        header, length = self.slide("convolution", x, conv, padding, **given)
        if groups == 1:
            return self.dense(x, header, length, weight, bias)
        made: list[tuple[int, int]] = []
        for group in range(groups):
            part = x.part(x.channels[group * per_group : (group + 1) * per_group])
            outs = slice(group * len(weight) // groups, (group + 1) * len(weight) // groups)
            made += self.dense(part, header, length, weight[outs], bias[outs]).channels
        return Signal(tuple(made), length)

    def _depthwise(
        self, x: Signal, header: dict[str, Any], length: int, weight: np.ndarray, bias: np.ndarray
    ) -> Signal:
        times = len(weight) // len(x.channels)
        if times > 1:  # each channel several times, by several kernels
            x = x.part(channel for channel in x.channels for _ in range(times))
        x = self.whole(x)
        columns = [column for _, column in x.channels]
        placed, placed_bias = np.empty_like(weight), np.empty_like(bias)
        placed[columns], placed_bias[columns] = weight, bias
        header = header | {"source": x.channels[0][0]}
        made = self.add(Layer(header, len(columns), placed, placed_bias), length)
        return Signal(tuple(made.channels[column] for column in columns), length)

    def over_positions(self, x: Signal, header: dict[str, Any], length: int, width: int) -> Signal:
        """By a layer that leaves every channel where it is."""
        x = self.whole(x)
        made = self.add(Layer(header | {"source": x.channels[0][0]}, width), length)
        return Signal(tuple(made.channels[column] for _, column in x.channels), length)

    def of_two(self, kind: str, x: Signal, y: Signal, **more: Any) -> Signal:
        """Of two signals of the same channels."""
        if len(x.channels) != len(y.channels):
            raise NotCoveredError(f"{len(x.channels)} channels meet {len(y.channels)}")
        x, y = self.whole(x), self.whole(y)
        columns = [column for _, column in x.channels]
        if columns != [column for _, column in y.channels]:
            x, y = self.join(x), self.join(y)
            columns = list(range(len(columns)))
        header = {"layer": kind, "source": x.channels[0][0], "other": y.channels[0][0]} | more
        made = self.add(Layer(header, len(columns)), x.length)
        return Signal(tuple(made.channels[column] for column in columns), x.length)

    # ------------------------------------------------------------ at the end

    def packed(self, network: dict[str, Any], layer: Layer) -> list[np.ndarray]:
        """A layer's tensors."""
        weight, bias = layer.weight, layer.bias
        if weight is None or bias is None:
            return []
        if layer.header["layer"] == "depthwise":
            return [padded(weight.T, 1, PACK), padded(bias, 0, PACK)]
        out, _, kernel = weight.shape
        placed = np.zeros((out, kernel, self.columns(layer.header["source"])))
        for position, column in enumerate(layer.in_columns):
            placed[:, :, column] += weight[:, position]
        int8 = is_int8(network, layer.header)
        return pack_linear(placed.reshape(out, -1), bias, int8=int8, multiple=4)


def _reordered(x: Signal, made: list[tuple[list[int], Signal]]) -> Signal:
    channels = list(x.channels)
    for places, part in made:
        for place, channel in zip(places, part.channels, strict=True):
            channels[place] = channel
    return x.part(channels)


def _one(value: Any) -> int:
    """Of a kernel's size, a stride, …: a number or a tuple of one."""
    return int(value[0]) if isinstance(value, tuple) else int(value)


def bias_of(layer: nn.Conv1d | nn.Linear) -> np.ndarray:
    return np.zeros(len(layer.weight)) if layer.bias is None else float64(layer.bias)


# ---------------------------------------------------------------- module by module


def _sequential(graph: Graph, module: nn.Sequential, x: Signal) -> Signal:
    for each in module:
        x = graph.visit(each, x)
    return x


def _nothing(graph: Graph, module: nn.Module, x: Signal) -> Signal:
    return x


def _conv(graph: Graph, module: nn.Conv1d, x: Signal) -> Signal:
    return graph.convolution(module, x)


def _linear(graph: Graph, module: nn.Linear, x: Signal) -> Signal:
    """A convolution over all positions."""
    if not x.flat:
        raise NotCoveredError("the inference engine has nn.Linear behind nn.Flatten only")
    weight = float64(module.weight).reshape(module.out_features, len(x.channels), x.length)
    header = {
        "layer": "convolution", "kernel": x.length, "stride": 1, "dilation": 1, "padding": [0, 0],
        "activation": "identity",
    }  # fmt: skip
    made = graph.dense(x, header, 1, weight, bias_of(module))
    return Signal(made.channels, 1, flat=True)


def _norm(graph: Graph, module: nn.BatchNorm1d, x: Signal) -> Signal:
    if module.running_mean is None or module.running_var is None:
        raise NotCoveredError("BatchNorm1d without running statistics depends on the batch")
    if x.flat and x.length > 1:
        raise NotCoveredError("the inference engine has no BatchNorm1d behind nn.Flatten")
    scale = 1 / np.sqrt(float64(module.running_var) + module.eps)
    shift = np.zeros(len(scale))
    if module.affine:
        scale, shift = scale * float64(module.weight), float64(module.bias)
    return graph.affine(x, scale, shift - float64(module.running_mean) * scale)


def _activation(name: str) -> Callable[[Graph, Any, Signal], Signal]:
    def visit(graph: Graph, module: nn.Module, x: Signal) -> Signal:
        return graph.activate(x, name)

    return visit


def _gelu(graph: Graph, module: nn.GELU, x: Signal) -> Signal:
    if module.approximate != "none":
        raise NotCoveredError(
            f"the inference engine has GELU itself, not its {module.approximate} form"
        )
    return graph.activate(x, "gelu")


def _zeros(graph: Graph, module: nn.ConstantPad1d, x: Signal) -> Signal:
    left, right = module.padding
    if module.value != 0 or left < 0 or right < 0 or x.flat:
        raise NotCoveredError("the inference engine pads signals with zeros only")
    return Signal(x.channels, x.length, (x.padding[0] + left, x.padding[1] + right))


def _pool(graph: Graph, module: nn.MaxPool1d | nn.AvgPool1d, x: Signal) -> Signal:
    name, side = type(module).__name__, _one(module.padding)
    if isinstance(module, nn.MaxPool1d):
        refused = _one(module.dilation) != 1 or module.return_indices
    else:
        refused = not module.count_include_pad
    if refused:
        raise NotCoveredError(
            f"the inference engine has {name} without these settings only: {module}"
        )
    kernel, stride = _one(module.kernel_size), _one(module.stride)
    span = x.length + 2 * side - kernel
    length = (-(-span // stride) if module.ceil_mode else span // stride) + 1
    if module.ceil_mode and (length - 1) * stride >= x.length + side:
        length -= 1  # torch's: the last one begins on the signal
    right = max(0, (length - 1) * stride + kernel - x.length - side)
    kind = "max_pool" if isinstance(module, nn.MaxPool1d) else "mean_pool"
    header, also = graph.slide(kind, x, module, (side, right))
    assert also == length
    return graph.over_positions(x, header, length, len(x.channels))


def _mean(graph: Graph, module: nn.AdaptiveAvgPool1d, x: Signal) -> Signal:
    positions = _one(module.output_size)
    header = {"layer": "mean", "positions": positions, "activation": "identity"}
    return graph.over_positions(x, header, positions, len(x.channels))


def _flatten(graph: Graph, module: nn.Flatten, x: Signal) -> Signal:
    if (module.start_dim, module.end_dim) not in ((1, -1), (1, 2)):
        raise NotCoveredError("the inference engine has nn.Flatten of channels and positions only")
    return Signal(x.channels, x.length, x.padding, flat=True)


def _add(graph: Graph, module: Add, x: Signal) -> Signal:
    graph.keep(x)
    body, shortcut = graph.visit(module.body, x), graph.visit(module.shortcut, x)
    made = graph.of_two("add", body, shortcut, activation="identity")
    return graph.visit(module.activation, made)


def _concat(graph: Graph, module: Concat, x: Signal) -> Signal:
    if len(graph.by_value(x)) > 1:
        x = graph.join(x)
    graph.keep(x)
    made = [graph.visit(branch, x) for branch in module]
    if len({(part.length, part.padding, part.flat) for part in made}) > 1:
        raise NotCoveredError("the inference engine joins branches of the same length only")
    return made[0].part(channel for part in made for channel in part.channels)


def _channel_gate(graph: Graph, module: ChannelGate, x: Signal) -> Signal:
    x = graph.whole(x)
    graph.keep(x)
    return graph.of_two("gate", x, graph.visit(module.gate, x))


def _shuffle(graph: Graph, module: Shuffle, x: Signal) -> Signal:
    per_group = len(x.channels) // module.groups
    order = [g * per_group + k for k in range(per_group) for g in range(module.groups)]
    return x.part(x.channels[channel] for channel in order)


def _unit(graph: Graph, module: Unit, x: Signal) -> Signal:
    graph.keep(x)
    half = len(x.channels) // 2
    worked = graph.visit(module.body, x.part(x.channels[half:]))
    return graph.visit(module.shuffle, worked.part((*x.channels[:half], *worked.channels)))


TAKING = ("convolution", "depthwise", "max_pool", "mean_pool", "mean", "add")  # an activation
VISITS: dict[type[nn.Module], Callable[[Graph, Any, Signal], Signal]] = {
    nn.Sequential: _sequential,
    nn.Identity: _nothing,
    nn.Dropout: _nothing,
    nn.Dropout1d: _nothing,
    nn.Conv1d: _conv,
    nn.Linear: _linear,
    nn.BatchNorm1d: _norm,
    nn.ReLU: _activation("relu"),
    nn.ReLU6: _activation("relu6"),
    nn.Hardswish: _activation("hardswish"),
    nn.Hardsigmoid: _activation("hard_sigmoid"),
    nn.Sigmoid: _activation("sigmoid"),
    nn.Tanh: _activation("tanh"),
    nn.SiLU: _activation("silu"),
    nn.GELU: _gelu,
    nn.ConstantPad1d: _zeros,
    nn.MaxPool1d: _pool,
    nn.AvgPool1d: _pool,
    nn.AdaptiveAvgPool1d: _mean,
    nn.Flatten: _flatten,
    Add: _add,
    Concat: _concat,
    ChannelGate: _channel_gate,
    Shuffle: _shuffle,
    Unit: _unit,
}
