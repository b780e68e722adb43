"""Lay rows out for the compiled kernels, which compute a stem, inverted residual blocks and a head.

A layout hands over modules' tensors in forward order and one BlockRow a block.
"""

import ctypes
from collections.abc import Sequence
from typing import Any, TypeVar

from torch import nn

from raspitrain.model.engine.operations import Activation
from raspitrain.model.engine.rows import BEFORE, Add, Convolution, Dense, Gate, Mean, Row

ACTIVATIONS = {"identity": 0, "relu": 1, "relu6": 2, "hardswish": 3}
LANES = 8  # widths are multiples of it
MAX_BLOCKS = 64
DEPTHWISE = (3, 5)  # taps

Kind = TypeVar("Kind", Convolution, Gate, Add, Mean, Dense)


class Header(ctypes.Structure):
    """As network.h reads it."""

    _fields_ = [
        *(
            (name, ctypes.c_int64)
            for name in (
                "cases",
                "length",
                "channels",
                "stem_width",
                "stem_stride",
                "num_blocks",
                "last",
                "hidden",
                "training",
                "skip_norm_at_length_1",
            )
        ),
        ("eps", ctypes.c_double),
        ("momentum", ctypes.c_double),
    ]


class BlockRow(ctypes.Structure):
    """As network.h reads it."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in (
            "expanded",
            "out",
            "kernel",
            "stride",
            "act",
            "project_act",
            "squeezed",
            "expand",
            "residual",
        )
    ]


class UncoveredError(Exception):
    """The kernels do not compute such rows."""


class Layout:
    """Where the kernels find what.

    Raises
    ------
    UncoveredError
        The kernels would give something else than the rows say, or do not compute it at all.

    Attributes
    ----------
    header : of every call, beside its signals
    blocks : an array of BlockRow
    tensors : the holder of each tensor and its name there, in the kernels' order
    is_parameter : for each of them; the others are running statistics
    norms : for each BatchNorm the place of its weight among the parameters, and the halvings of
        the length up to there
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.tensors: list[tuple[dict[str, Any], str]] = []
        self.is_parameter: list[bool] = []
        self.norms: list[tuple[int, int]] = []
        self._rows = list(rows)
        self._at = self._halvings = self._width = 0
        self._settings: set[tuple[float, float | None, bool]] = set()
        _need(all(row.source == BEFORE for row in rows))

        stem = self._take(Convolution)
        self._width = stem.conv.in_channels
        self._read_convolution(stem, (3,), groups=1, activation="hardswish")
        blocks = []
        while len(self._rows) - self._at > 3:
            blocks.append(self._read_block())
        _need(0 < len(blocks) <= MAX_BLOCKS)
        head = self._take(Convolution)
        self._read_convolution(head, (1,), groups=1, activation="hardswish")
        self._take(Mean)
        dense = self._take(Dense)
        _need(dense.activation == "hardswish" and self._at == len(self._rows))
        hidden = self._read_linear(dense.layer)
        _need(len(self._settings) == 1)
        ((eps, momentum, unless_length_1),) = self._settings
        self.blocks = (BlockRow * len(blocks))(*blocks)
        self.header: dict[str, Any] = {
            "channels": stem.conv.in_channels,
            "stem_width": stem.conv.out_channels,
            "stem_stride": stem.conv.stride[0],
            "num_blocks": len(blocks),
            "last": head.conv.out_channels,
            "hidden": hidden,
            "skip_norm_at_length_1": unless_length_1,
            "eps": eps,
            "momentum": momentum,
        }

    def unused(self, length: int) -> set[int]:
        """Which parameters signals of this length do not meet."""
        if not self.header["skip_norm_at_length_1"]:
            return set()
        skipped = (at for at, halvings in self.norms if length <= 2**halvings)
        return {index for at in skipped for index in (at, at + 1)}

    def _next(self) -> Row | None:
        return self._rows[self._at] if self._at < len(self._rows) else None

    def _take(self, kind: type[Kind]) -> Kind:
        row = self._next()
        if not isinstance(row, kind):
            raise UncoveredError
        self._at += 1
        return row

    def _read_block(self) -> BlockRow:
        first, width = self._at, self._width
        expansion, depthwise = None, self._take(Convolution)
        if depthwise.conv.groups == 1:
            expansion, depthwise = depthwise, self._take(Convolution)
            self._read_convolution(expansion, (1,), groups=1, activation=depthwise.activation)
        self._read_convolution(depthwise, DEPTHWISE, groups=self._width)
        squeezed = 0
        if isinstance(self._next(), Gate):
            gate, expanded = self._take(Gate), self._width
            squeezed = self._width = self._read_linear(gate.reduce)
            _need(self._read_linear(gate.expand) == expanded)
            self._width = expanded
        project = self._take(Convolution)
        self._read_convolution(project, (1,), groups=1)
        residual = isinstance(self._next(), Add)
        if residual:
            add = self._take(Add)
            _need(add.other == first and add.activation == "identity")
            _need(depthwise.conv.stride == (1,) and self._width == width)
        return BlockRow(
            expanded=depthwise.conv.out_channels,
            out=project.conv.out_channels,
            kernel=depthwise.conv.kernel_size[0],
            stride=depthwise.conv.stride[0],
            act=ACTIVATIONS[depthwise.activation],
            project_act=ACTIVATIONS[project.activation],
            squeezed=squeezed,
            expand=expansion is not None,
            residual=residual,
        )

    def _read_convolution(
        self,
        row: Convolution,
        kernels: Sequence[int],
        *,
        groups: int,
        activation: Activation | None = None,
    ) -> None:
        conv, norm = row.conv, row.norm
        (kernel,), (stride,) = conv.kernel_size, conv.stride
        _need(type(conv) is nn.Conv1d and conv.padding_mode == "zeros")
        _need(conv.dilation == (1,) and conv.padding == (kernel // 2,) and conv.groups == groups)
        _need(kernel in kernels and stride in ((1,) if kernel == 1 else (1, 2)))
        _need(conv.in_channels == self._width and conv.out_channels % LANES == 0)
        _need(activation in (None, row.activation) and row.activation in ACTIVATIONS)
        _need(row.padded == (0, 0))
        if norm is None or norm.momentum is None:
            raise UncoveredError
        _need(type(norm) is nn.BatchNorm1d and norm.affine and norm.track_running_stats)
        _need(norm.num_features == conv.out_channels)
        self._settings.add((norm.eps, norm.momentum, row.unless_length_1))
        self._halvings += stride - 1
        self._width = conv.out_channels
        self._hand_over(conv, "weight", "bias")
        self.norms.append((sum(self.is_parameter), self._halvings))
        self._hand_over(norm, "weight", "bias")
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.tensors.append((norm._buffers, name))
            self.is_parameter.append(False)

    def _read_linear(self, layer: nn.Linear | nn.Conv1d) -> int:
        """The width of what the layer gives."""
        num_out, num_in = layer.weight.shape[:2]
        _need(type(layer) in (nn.Linear, nn.Conv1d) and layer.bias is not None)
        _need(layer.weight.numel() == num_out * num_in)
        _need(num_in == self._width and num_out % LANES == 0)
        self._hand_over(layer, "weight", "bias")
        return num_out

    def _hand_over(self, layer: nn.Module, *names: str) -> None:
        self.tensors += [(layer._parameters, name) for name in names]
        self.is_parameter += [True] * len(names)


def _need(condition: bool) -> None:
    if not condition:
        raise UncoveredError
