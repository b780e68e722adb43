"""The layers of the inference engine, put together one by one (raspitrain/use/graph.py).

Joining, parting and shuffling channels moves no data: a signal is a list of where each of its
channels lies, and is brought together only for a layer that must have it so. Batch normalisation
goes into the convolution before it where nothing else reads that.

Shapes: a convolution's weight is (out, in, kernel), a depthwise one's (channels, kernel).
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from raspitrain.errors import InputError
from raspitrain.export.pack import pack_linear, padded
from raspitrain.use.graph import is_int8
from raspitrain.use.network import PACK, pad

TAKING = ("convolution", "depthwise", "max_pool", "mean_pool", "mean", "add")  # an activation


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


class Graph:
    """Layers so far. Value i is what layer i - 1 makes, value 0 the window.

    `kept` are the values that something else reads, or will: nothing more goes into their layers.
    """

    def __init__(self, num_channels: int) -> None:
        self.num_channels = num_channels
        self.layers: list[Layer] = []
        self.kept: set[int] = {0}

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
        self, kind: str, x: Signal, kernel: int, stride: int, padding: tuple[int, int], **more: Any
    ) -> tuple[dict[str, Any], int]:
        """The header of a layer that slides over positions, and how many it makes."""
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
        header, length = self.slide("depthwise", x, 1, 1, (0, 0), dilation=1)
        made = self._depthwise(x, header, length, scale[:, None], shift)
        return replace(made, flat=x.flat)

    def placed(self, x: Signal, first: int, length: int, step: int = 1) -> Signal:
        """So many positions from `first` on, each `step` from the one before; those beyond the
        signal are zeros. By a depthwise convolution that has one tap."""
        left = max(0, -first)
        right = max(0, first + (length - 1) * step - (x.length - 1))
        kernel = x.length + left + right - (length - 1) * step
        # The engine pads by less than a kernel.
        more, behind = max(0, right - kernel + 1), max(0, left - kernel + 1)
        taps = np.zeros(kernel + more + behind)
        taps[first + left + more] = 1
        padding = left + more, right + behind
        header, made = self.slide("depthwise", x, len(taps), step, padding, dilation=1)
        assert made == length
        count = len(x.channels)
        return self._depthwise(x, header, length, np.tile(taps, (count, 1)), np.zeros(count))

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

    def convolution(
        self,
        x: Signal,
        weight: np.ndarray,
        bias: np.ndarray,
        *,
        stride: int,
        padding: tuple[int, int],
        dilation: int,
        groups: int,
    ) -> Signal:
        out, per_group, kernel = weight.shape
        depthwise = groups > 1 and per_group == 1
        kind = "depthwise" if depthwise else "convolution"
        header, length = self.slide(kind, x, kernel, stride, padding, dilation=dilation)
        if depthwise:
            return self._depthwise(x, header, length, weight[:, 0], bias)
        if groups == 1:
            return self.dense(x, header, length, weight, bias)
        made: list[tuple[int, int]] = []
        for group in range(groups):
            part = x.part(x.channels[group * per_group : (group + 1) * per_group])
            outs = slice(group * out // groups, (group + 1) * out // groups)
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
        return Signal(tuple(made.channels[column] for column in columns), x.length, flat=x.flat)

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
