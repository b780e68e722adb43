"""The parts of the networks, as plain modules on (N, C, L)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

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
    groups: int = 1,
    activation: str | None = "relu",
) -> nn.Sequential:
    """Convolution, BatchNorm and activation; no bias, which the BatchNorm would take off again."""
    layers = [
        conv(in_width, out_width, kernel, stride=stride, groups=groups),
        nn.BatchNorm1d(out_width),
    ]
    if activation:
        layers.append(ACTIVATIONS[activation]())
    return nn.Sequential(*layers)


class Residuals(NamedTuple):
    """Inverted residuals to `out` channels, the first of `repeats` with the stride."""

    expand: int
    out: int
    repeats: int
    stride: int
    kernel: int = 3
    squeeze_excite: bool = False


def inverted_residuals(
    width: int, out: int, row: Residuals, stride: int, activation: str
) -> nn.Sequential:
    """Those of a row, with its `out` scaled and its `stride` where that is kept."""
    layers = []
    for _ in range(row.repeats):
        layers.append(inverted_residual(width, out, row, stride, activation))
        width, stride = out, 1
    return nn.Sequential(*layers)


def inverted_residual(
    in_width: int, out: int, row: Residuals, stride: int, activation: str
) -> nn.Module:
    """1x1 expand, depthwise, squeeze-excite, 1x1 project; around it a shortcut where it fits."""
    width = row.expand * in_width
    layers: list[nn.Module] = []
    if row.expand > 1:
        layers.append(conv_norm(in_width, width, 1, activation=activation))
    layers.append(
        conv_norm(width, width, row.kernel, stride=stride, groups=width, activation=activation)
    )
    if row.squeeze_excite:
        layers.append(ChannelGate(width, in_width // 4))
    layers.append(conv_norm(width, out, 1, activation=None))
    body = nn.Sequential(*layers)
    return Add(body, nn.Identity()) if stride == 1 and in_width == out else body


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
