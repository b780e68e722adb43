"""Dilations, channels and biases of the 84 kernels that MiniRocket and MultiRocket share.

As Dempster et al. 2021 (arXiv:2012.08791) define them and their program computes them.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from raspitrain.model.rocket import native, plain

Gather = Callable[[Tensor], Tensor]  # from indices, int64 (B,), to signals (B, C, L)

MAX_CHANNELS = 9  # that are added up for a combination


def fit_dilations(
    length: int, num_features: int, max_dilations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Dilations from 1 to the widest that fits, spaced evenly in their logarithm, and how many
    features each kernel has at each of them; both int64 (D,)."""
    per_kernel = num_features // len(plain.KERNELS)
    most = min(per_kernel, max_dilations)
    widest = np.log2((length - 1) / (plain.TAPS - 1))
    dilations, counts = np.unique(
        np.logspace(0, widest, most, base=2).astype(np.int64), return_counts=True
    )
    per_dilation = (counts * (per_kernel / most)).astype(np.int64)
    # What rounding down has left over goes to the first dilations.
    per_dilation[: per_kernel - per_dilation.sum()] += 1
    return dilations, per_dilation


def draw_channels(num_combinations: int, num_channels: int) -> Tensor:
    """Which channels each combination adds up, uint8 (combinations, C), drawn from torch's own
    generator: few more often than many, their number even in its logarithm."""
    if num_channels == 1:
        return torch.ones(num_combinations, 1, dtype=torch.uint8)
    exponent = np.log2(min(num_channels, MAX_CHANNELS) + 1)
    how_many = (2 ** (exponent * torch.rand(num_combinations, 1))).long()
    order = torch.rand(num_combinations, num_channels).argsort(1)
    return (order.argsort(1) < how_many).to(torch.uint8)


def fit_biases(
    gather: Gather,
    num_cases: int,
    dilations: Tensor,
    per_dilation: Tensor,
    channels: Tensor,
    *,
    delay: int,
    generator: torch.Generator,
) -> Tensor:
    """Biases, (F,): quantiles of each combination's response to a training case drawn for it."""
    drawn = torch.randint(num_cases, (len(channels),), generator=generator)
    num_kernels = len(plain.KERNELS)
    steps = np.arange(1, num_kernels * int(per_dilation.sum()) + 1)
    quantiles = torch.from_numpy(steps * ((np.sqrt(5) + 1) / 2) % 1).float()  # never far apart
    biases, begin = [], 0
    for d, count in enumerate(per_dilation.tolist()):
        rows = slice(d * num_kernels, (d + 1) * num_kernels)
        answers = respond(
            gather(drawn[rows]).contiguous(), dilations[d : d + 1], channels[rows], delay=delay
        )
        end = begin + num_kernels * count
        biases.append(_quantiles(answers, quantiles[begin:end].view(num_kernels, count)).flatten())
        begin = end
    return torch.cat(biases)


def respond(signals: Tensor, dilations: Tensor, channels: Tensor, *, delay: int) -> Tensor:
    """See `plain.responses`."""
    compute = native.responses if native.can_run(signals) else plain.responses
    return compute(signals, dilations, channels, delay=delay)


def _quantiles(rows: Tensor, at: Tensor) -> Tensor:
    """Quantiles `at` (K, any) of rows (K, L), between two values in proportion."""
    ordered = torch.from_numpy(np.sort(rows.numpy())).double()  # several times torch's speed
    place = at.double() * (rows.shape[1] - 1)
    low = place.long()
    high = (low + 1).clamp(max=rows.shape[1] - 1)
    share = place - low
    values = ordered.gather(1, low) * (1 - share) + ordered.gather(1, high) * share
    return values.to(rows.dtype)
