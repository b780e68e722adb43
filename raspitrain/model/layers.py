"""The parts of the networks, as plain modules on (N, C, L)."""

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


def pooled_classifier(width: int, num_classes: int, *, dropout: float = 0.0) -> nn.Sequential:
    """Logits (N, K) from the means over the positions of (N, width, L)."""
    layers = [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(width, num_classes)]
    if dropout:
        layers.insert(2, nn.Dropout(dropout))
    return nn.Sequential(*layers)
