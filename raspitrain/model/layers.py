"""The parts of the networks, as plain modules on (N, C, L)."""

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from raspitrain.model.scaling import make_divisible
from raspitrain.model.tables import Row

Activation = Literal["identity", "relu", "relu6", "hardswish"]


@dataclass(frozen=True)
class Variant:
    """What the paper's and the blog's network do differently, beside their tables.

    bias: convolutions that a BatchNorm follows have a bias too.
    always_expand: the 1x1 expansion is there even where it widens nothing.
    project_activation: the projection is followed by the block's activation.
    relu6: RE means ReLU6, not ReLU.
    se_reduction: the squeeze-excite's hidden width is the expanded width over this.
    skip_batchnorm_at_length_1: no BatchNorm where a single position is left.
    conv_classifier: the two last layers are 1x1 convolutions, each with a BatchNorm that never
        runs because it would see one position; False: linear layers.
    logits_activation: Hardswish on the logits.
    """

    bias: bool
    always_expand: bool
    project_activation: bool
    relu6: bool
    se_reduction: int
    skip_batchnorm_at_length_1: bool
    conv_classifier: bool
    logits_activation: bool
    dropout: float
    batchnorm_momentum: float
    batchnorm_eps: float

    def activation(self, name: Literal["RE", "HS"]) -> Activation:
        if name == "HS":
            return "hardswish"
        return "relu6" if self.relu6 else "relu"


def activate(x: Tensor, activation: Activation) -> Tensor:
    if activation == "relu":
        return F.relu(x)
    if activation == "relu6":
        return F.relu6(x)
    return F.hardswish(x) if activation == "hardswish" else x


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from the means of all channels."""

    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(width, squeezed)
        self.expand = nn.Linear(squeezed, width)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean(dim=2)).unsqueeze(2)

    def gate(self, means: Tensor) -> Tensor:
        """(N, C) -> (N, C), from 0 to 1."""
        # Not F.hardsigmoid: its float64 gradient is only good to float32.
        return F.relu6(self.expand(F.relu(self.reduce(means))) + 3) / 6


class Block(nn.Module):
    """Inverted residual: 1x1 expand, depthwise, squeeze-excite, 1x1 project."""

    def __init__(self, in_width: int, row: Row, stride: int, variant: Variant) -> None:
        super().__init__()
        kernel, expanded, out = row.kernel, row.expanded, row.out
        self.stride = stride
        self.variant = variant
        self.activation: Activation = variant.activation(row.activation)
        self.residual = stride == 1 and in_width == out
        self.conv_pw: nn.Conv1d | None = None
        self.bn_pw: nn.BatchNorm1d | None = None
        if variant.always_expand or expanded != in_width:
            self.conv_pw = nn.Conv1d(in_width, expanded, 1, bias=variant.bias)
            self.bn_pw = make_batchnorm(expanded, variant)
        self.conv_dw = nn.Conv1d(
            expanded,
            expanded,
            kernel,
            stride=stride,
            padding=kernel // 2,
            groups=expanded,
            bias=variant.bias,
        )
        self.bn_dw = make_batchnorm(expanded, variant)
        self.se: SqueezeExcite | None = None
        if row.squeeze_excite:
            reduction = variant.se_reduction
            squeezed = expanded if reduction == 1 else make_divisible(expanded // reduction)
            self.se = SqueezeExcite(expanded, squeezed)
        self.conv_pwl = nn.Conv1d(expanded, out, 1, bias=variant.bias)
        self.bn_pwl = make_batchnorm(out, variant)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.conv_pw is not None and self.bn_pw is not None:
            y = activate(self._normalise(self.conv_pw(y), self.bn_pw), self.activation)
        y = activate(self._normalise(self.conv_dw(y), self.bn_dw), self.activation)
        if self.se is not None:
            y = self.se(y)
        y = self._normalise(self.conv_pwl(y), self.bn_pwl)
        if self.variant.project_activation:
            y = activate(y, self.activation)
        return x + y if self.residual else y

    def _normalise(self, x: Tensor, bn: nn.BatchNorm1d) -> Tensor:
        return normalise(x, bn, self.variant, length=x.shape[2])


def make_batchnorm(width: int, variant: Variant) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(width, eps=variant.batchnorm_eps, momentum=variant.batchnorm_momentum)


def normalise(x: Tensor, bn: nn.BatchNorm1d, variant: Variant, length: int) -> Tensor:
    """Batch normalisation of x, (N, C, L) or (N * L, C), where L is `length`."""
    if variant.skip_batchnorm_at_length_1 and length == 1:
        return x
    if bn.training and x.numel() == x.shape[1]:
        # One value a channel has no variance: what was learnt so far stands in for it.
        return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps)
    return bn(x)


def linear(x: Tensor, layer: nn.Conv1d | nn.Linear) -> Tensor:
    """A linear layer, or a convolution as one: x (..., in * k) -> (..., out)."""
    return F.linear(x, layer.weight.flatten(1), layer.bias)
