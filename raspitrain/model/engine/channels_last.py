"""Compute rows in ordinary torch operations, with activations kept as (N, L, C).

What takes over where no compiler is found. 1x1 convolutions are matrix products, which are tuned
everywhere; a depthwise convolution is one multiply-add a tap, because torch's own is slow
backward on ARM and on x86 alike.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raspitrain.model.engine.operations import activate, gate, linear, normalise
from raspitrain.model.engine.rows import BEFORE, Add, Convolution, Dense, Gate, Mean, Row


class DepthwiseConv(torch.autograd.Function):
    """Depthwise convolution of x (N, L, C) with weight (C, 1, k), padding k // 2."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        taps = weight.squeeze(1).t().contiguous()  # (k, C)
        padded = F.pad(x, (0, 0, len(taps) // 2, len(taps) // 2))
        length = (x.shape[1] - 1) // stride + 1
        ctx.save_for_backward(padded, taps)
        ctx.stride, ctx.length = stride, length
        out = _shifted(padded, 0, stride, length) * taps[0]
        for j in range(1, len(taps)):
            out.addcmul_(_shifted(padded, j, stride, length), taps[j])
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor, Tensor, None]:
        padded, taps = ctx.saved_tensors
        dpadded = torch.zeros_like(padded)
        dtaps = torch.empty_like(taps)
        for j in range(len(taps)):
            _shifted(dpadded, j, ctx.stride, ctx.length).addcmul_(dout, taps[j])
            dtaps[j] = (dout * _shifted(padded, j, ctx.stride, ctx.length)).sum(dim=(0, 1))
        pad = len(taps) // 2
        dx = dpadded[:, pad : dpadded.shape[1] - pad]
        return dx, dtaps.t().unsqueeze(1), None


def _shifted(padded: Tensor, tap: int, stride: int, length: int) -> Tensor:
    """The positions that a tap meets, (N, length, C)."""
    return padded[:, tap : tap + stride * (length - 1) + 1 : stride]


def features(rows: Sequence[Row], x: Tensor) -> Tensor:
    """The last value of the rows for signals (N, C, L)."""
    asked_for = {row.source for row in rows} | {row.other for row in rows if isinstance(row, Add)}
    y = x.transpose(1, 2)
    values = {0: y, BEFORE: y}
    for number, row in enumerate(rows, start=1):
        y = values[BEFORE] = _compute(row, values[row.source], values)
        if number in asked_for:
            values[number] = y
    return y.transpose(1, 2) if y.ndim == 3 else y


def _compute(row: Row, y: Tensor, values: dict[int, Tensor]) -> Tensor:
    if isinstance(row, Convolution):
        y = _convolve(y, row.conv)
        if row.norm is not None and not (row.unless_length_1 and y.shape[1] == 1):
            y = normalise(y.flatten(0, 1), row.norm).view(y.shape)
        return activate(y, row.activation)
    if isinstance(row, Gate):
        return y * gate(y.mean(dim=1), row.reduce, row.expand).unsqueeze(1)
    if isinstance(row, Add):
        return activate(values[row.other] + y, row.activation)
    if isinstance(row, Mean):
        return y.mean(dim=1)
    if not isinstance(row, Dense):
        raise NotImplementedError(f"a row of {type(row).__name__}")
    return activate(linear(y, row.layer), row.activation)


def _convolve(y: Tensor, conv: nn.Conv1d) -> Tensor:
    """The convolution of (N, L, C), by the quickest way that gives it."""
    (kernel,), (stride,), padding = conv.kernel_size, conv.stride, conv.padding
    if isinstance(padding, str) or conv.dilation != (1,) or conv.padding_mode != "zeros":
        return conv(y.transpose(1, 2)).transpose(1, 2)
    if conv.groups == 1 and kernel == stride == 1 and padding == (0,):
        return linear(y, conv)
    if conv.groups == 1:
        columns = F.pad(y.transpose(1, 2), (*padding, *padding)).unfold(2, kernel, stride)
        return linear(columns.transpose(1, 2).flatten(2), conv)  # from (N, C, L', k)
    if conv.groups == conv.in_channels == conv.out_channels and 2 * padding[0] + 1 == kernel:
        y = DepthwiseConv.apply(y, conv.weight, stride)
        return y if conv.bias is None else y + conv.bias
    return conv(y.transpose(1, 2)).transpose(1, 2)
