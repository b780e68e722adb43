"""What modules, engines and exports share."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Literal["identity", "relu", "relu6", "hardswish", "sigmoid", "silu", "gelu"]


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "hardswish": F.hardswish,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
}


def activate(x: Tensor, activation: Activation) -> Tensor:
    return x if activation == "identity" else FUNCTIONS[activation](x)


def gate(means: Tensor, reduce: nn.Linear, expand: nn.Linear) -> Tensor:
    """Squeeze-excite's factors from 0 to 1, (N, C), of the means over the positions, (N, C)."""
    # Not F.hardsigmoid: its float64 gradient is only good to float32.
    return F.relu6(expand(F.relu(reduce(means))) + 3) / 6


def linear(x: Tensor, layer: nn.Conv1d | nn.Linear) -> Tensor:
    """A linear layer, or a convolution as one: x (..., in * k) -> (..., out)."""
    return F.linear(x, layer.weight.flatten(1), layer.bias)


def pooled_length(
    length: int, kernel: int, stride: int, padding: int, *, dilation: int = 1, ceil_mode: bool
) -> int:
    """How many positions torch's pooling makes of so many."""
    span = length + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return span // stride + 1
    last = -(-span // stride)
    # No window begins behind the signal.
    return last if last * stride >= length + padding else last + 1


def normalise(x: Tensor, bn: nn.BatchNorm1d) -> Tensor:
    """Batch normalisation of (N, C, L) or (N, C)."""
    if bn.training and x.numel() == x.shape[1]:
        # One value a channel has no variance: what was learnt so far stands in for it.
        return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps)
    return bn(x)
