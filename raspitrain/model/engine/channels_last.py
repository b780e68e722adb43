"""Run a MobileNetV3 in ordinary torch operations, with activations kept as (N, L, C).

What takes over where no compiler is found. 1x1 convolutions are matrix products, which are tuned
everywhere; a depthwise convolution is one multiply-add a tap, because torch's own is slow
backward on ARM and on x86 alike.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raspitrain.model.layers import Block, Variant, activate, linear, normalise

if TYPE_CHECKING:
    from raspitrain.model.mobilenetv3 import MobileNetV3


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


def features(model: "MobileNetV3", x: Tensor) -> Tensor:
    """Activations of the hidden layer (N, hidden) for signals (N, C, L)."""
    variant, stem = model.variant, model.conv_stem
    columns = F.pad(x, (1, 1)).unfold(2, 3, stem.stride[0])  # (N, C, L', 3)
    y = linear(columns.transpose(1, 2).flatten(2), stem)
    y = F.hardswish(_normalise(y, model.bn_stem, variant))
    for block in cast(Iterable[Block], model.blocks):
        y = _block(block, y)
    y = F.hardswish(_normalise(linear(y, model.conv_head), model.bn_head, variant))
    return F.hardswish(linear(y.mean(dim=1), model.hidden))


def _normalise(y: Tensor, bn: nn.BatchNorm1d, variant: Variant) -> Tensor:
    """Batch normalisation of (N, L, C), as that of N * L rows."""
    return normalise(y.flatten(0, 1), bn, variant, length=y.shape[1]).view(y.shape)


def _block(block: Block, x: Tensor) -> Tensor:
    y = x
    if block.conv_pw is not None and block.bn_pw is not None:
        y = _normalise(linear(y, block.conv_pw), block.bn_pw, block.variant)
        y = activate(y, block.activation)
    y = DepthwiseConv.apply(y, block.conv_dw.weight, block.stride)
    if block.conv_dw.bias is not None:
        y = y + block.conv_dw.bias
    y = activate(_normalise(y, block.bn_dw, block.variant), block.activation)
    if block.se is not None:
        y = y * block.se.gate(y.mean(dim=1)).unsqueeze(1)
    y = _normalise(linear(y, block.conv_pwl), block.bn_pwl, block.variant)
    if block.variant.project_activation:
        y = activate(y, block.activation)
    return x + y if block.residual else y
