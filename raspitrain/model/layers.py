"""The parts of the networks, as plain modules on (N, C, L)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
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


ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6}


class Add(nn.Module):
    """What a residual block gives: activation(body(x) + shortcut(x))."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, activation: str | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut
        self.activation = ACTIVATIONS[activation]() if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.body(x) + self.shortcut(x))


class Concat(nn.ModuleList):
    """The channels of every branch's output, one after another."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self], dim=1)


def conv(
    in_width: int,
    out_width: int,
    kernel: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Module:
    """Convolution of L positions to ceil(L / stride); an even kernel reaches one further right."""
    reach = dilation * (kernel - 1)
    padding = 0 if reach % 2 else reach // 2
    layer = nn.Conv1d(
        in_width, out_width, kernel, stride, padding, dilation, groups=groups, bias=bias
    )
    if not reach % 2:
        return layer
    return nn.Sequential(nn.ConstantPad1d((reach // 2, reach // 2 + 1), 0.0), layer)


def conv_relu(
    in_width: int, out_width: int, kernel: int, *, stride: int = 1, batchnorm: bool = False
) -> nn.Sequential:
    """Convolution and ReLU; without a BatchNorm between them, He's initial weights keep the scale
    (He et al. 2015, arXiv:1502.01852)."""
    if batchnorm:
        return conv_norm(in_width, out_width, kernel, stride=stride)
    layer = conv(in_width, out_width, kernel, stride=stride, bias=True)
    for parameter in layer.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        else:
            nn.init.zeros_(parameter)
    return nn.Sequential(layer, nn.ReLU())


def conv_norm(
    in_width: int,
    out_width: int,
    kernel: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    activation: str | None = "relu",
) -> nn.Sequential:
    """Convolution, BatchNorm and activation; no bias, which the BatchNorm would take off again."""
    layers = [
        conv(in_width, out_width, kernel, stride=stride, dilation=dilation, groups=groups),
        nn.BatchNorm1d(out_width),
    ]
    if activation:
        layers.append(ACTIVATIONS[activation]())
    return nn.Sequential(*layers)


def inverted_residual(
    in_width: int,
    out_width: int,
    kernel: int,
    *,
    expand: int,
    stride: int,
    activation: str,
    squeeze_excite: bool = False,
) -> nn.Module:
    """1x1 expand, depthwise, squeeze-excite, 1x1 project; around it a shortcut where it fits."""
    width = expand * in_width
    layers: list[nn.Module] = []
    if expand > 1:
        layers.append(conv_norm(in_width, width, 1, activation=activation))
    layers.append(
        conv_norm(width, width, kernel, stride=stride, groups=width, activation=activation)
    )
    if squeeze_excite:
        layers.append(ChannelGate(width, in_width // 4))
    layers.append(conv_norm(width, out_width, 1, activation=None))
    body = nn.Sequential(*layers)
    return Add(body, nn.Identity()) if stride == 1 and in_width == out_width else body


def inverted_residuals(
    in_width: int,
    out_width: int,
    kernel: int,
    *,
    repeats: int,
    expand: int,
    stride: int,
    activation: str,
    squeeze_excite: bool = False,
) -> nn.Sequential:
    """So many of them; the first has the stride and changes the width."""
    return nn.Sequential(
        *(
            inverted_residual(
                out_width if number else in_width,
                out_width,
                kernel,
                expand=expand,
                stride=1 if number else stride,
                activation=activation,
                squeeze_excite=squeeze_excite,
            )
            for number in range(repeats)
        )
    )


class ChannelGate(nn.Module):
    """Squeeze-excite: scale each channel by a sigmoid of what the means of all channels say."""

    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
            nn.Linear(width, squeezed),
            nn.ReLU(),
            nn.Linear(squeezed, width),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x).unsqueeze(2)


class Shuffle(nn.Module):
    """Deal the channels of every group out over all groups."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)


def halving_pool(
    stride: int, kernel: int = 3, pool: type[nn.MaxPool1d | nn.AvgPool1d] = nn.MaxPool1d
) -> nn.Module:
    """Pooling of L to ceil(L / 2) positions; nothing where the stride is not kept."""
    if stride == 1:
        return nn.Identity()
    return pool(kernel, stride, padding=(kernel - 1) // 2, ceil_mode=kernel % 2 == 0)


def pooled_classifier(width: int, num_classes: int, *, dropout: float = 0.0) -> nn.Sequential:
    """Logits (N, K) from the means over the positions of (N, width, L)."""
    layers = [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(width, num_classes)]
    if dropout:
        layers.insert(2, nn.Dropout(dropout))
    return nn.Sequential(*layers)


def hidden_classifier(
    in_width: int, widths: Sequence[int], num_classes: int, *, positions: int, dropout: float
) -> nn.Sequential:
    """Logits (N, K) from (N, in_width, L), averaged to so many positions, by hidden layers."""
    layers: list[nn.Module] = [nn.AdaptiveAvgPool1d(positions), nn.Flatten()]
    before = in_width * positions
    for width in widths:
        hidden = nn.Linear(before, width)
        nn.init.kaiming_normal_(hidden.weight, nonlinearity="relu")
        nn.init.zeros_(hidden.bias)
        layers += [nn.Dropout(dropout), hidden, nn.ReLU()]
        before = width
    return nn.Sequential(*layers, nn.Linear(before, num_classes))
