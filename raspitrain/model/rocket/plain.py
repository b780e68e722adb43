"""The transforms in torch operations: where nothing can be compiled, and for an export to trace.

Shape letters: N cases, C channels, L length, D dilations, F features, K the 84 kernels. A
combination is a dilation and a kernel, dilation by dilation; `channels` says which channels are
added up for it, uint8 (D * K, C).
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

TAPS = 9
HALF = TAPS // 2  # taps on each side of the middle one
KERNELS = list(combinations(range(TAPS), 3))  # the taps that weigh 2; the others weigh -1
COMPETING = 8  # of Hydra's kernels, in a group
Numbers = Tensor | Sequence[int]  # integers (D,); an export cannot look into a tensor


def _integers(numbers: Numbers) -> list[int]:
    return numbers.tolist() if isinstance(numbers, Tensor) else list(numbers)


def minirocket(
    signals: Tensor, dilations: Numbers, per_dilation: Numbers, channels: Tensor, biases: Tensor
) -> Tensor:
    """The share of positions at which a response lies above a bias (Dempster et al. 2021).

    Parameters
    ----------
    signals : (N, C, L)
    dilations, per_dilation : int64 (D,); the second says how many biases each kernel has there
    biases : (F,), by dilation, then by kernel

    Returns
    -------
    Tensor
        (N, F)
    """
    features = []
    for rows, bias in _rows_and_biases(signals, dilations, per_dilation, channels, biases, 0):
        # One bias of each kernel at a time: memory.
        features.append(torch.stack([_share(rows, b[:, None]) for b in bias.unbind(1)], -1))
    return _in_order(features)


def multirocket(
    signals: Tensor,
    dilations: Numbers,
    per_dilation: Numbers,
    channels: Tensor,
    biases: Tensor,
    *,
    delay: int,
) -> Tensor:
    """Four figures of every response beside a bias (Tan et al. 2022), each of all F in turn.

    The share of positions above the bias; the longest stretch of positions not below it; the mean
    of response and bias added, and the mean position, where it is above (0 and -1 if nowhere).
    A stretch is counted from one position below the bias to the next, with the first and the last
    position taken as below.

    `delay` is added to where the first four taps look: 1 for differences, as the authors' program
    has it and their results were made.

    Returns
    -------
    Tensor
        (N, 4F)
    """
    figures: list[list[Tensor]] = [[], [], [], []]
    for rows, bias in _rows_and_biases(signals, dilations, per_dilation, channels, biases, delay):
        of_biases = [_figures(rows, b[:, None]) for b in bias.unbind(1)]
        for figure, of_one in zip(figures, zip(*of_biases, strict=True), strict=True):
            figure.append(torch.stack(of_one, -1))
    return torch.cat([_in_order(figure) for figure in figures], 1)


def hydra(signals: Tensor, dilations: Numbers, weights: Tensor, channels: Tensor) -> Tensor:
    """How well, and how often, each of eight kernels answers best of its group (Dempster et al.
    2023).

    Parameters
    ----------
    weights : (D, G * 8, 9) of G groups
    channels : int64 (D, G, any): which are added up for a group

    Returns
    -------
    Tensor
        (N, D, 2, G * 8): the sum of a kernel's answers where they are the greatest of its group,
        and the number of positions at which its answer is the least. Of equals, the first.
    """
    num_groups = channels.shape[1]
    scores = []
    for d, dilation in enumerate(_integers(dilations)):
        if signals.shape[1] == 1:
            series = signals.expand(-1, num_groups, -1)
        else:
            series = signals[:, channels[d]].sum(2)
        z = F.conv1d(
            series,
            weights[d, :, None],
            dilation=dilation,
            padding=HALF * dilation,
            groups=num_groups,
        ).unflatten(1, (num_groups, COMPETING))
        numbers = torch.arange(COMPETING, device=z.device)[:, None]
        most, which_most = z.max(2, keepdim=True)
        _, which_least = z.min(2, keepdim=True)
        greatest = torch.where(which_most == numbers, most, 0).sum(-1)
        smallest = (which_least == numbers).sum(-1).to(z.dtype)
        scores.append(torch.stack([greatest.flatten(1), smallest.flatten(1)], 1))
    return torch.stack(scores, 1)


def responses(signals: Tensor, dilations: Tensor, channels: Tensor, *, delay: int) -> Tensor:
    """One signal for each combination, (D * K, C, L), and what its kernel answers, (D * K, L)."""
    summed = (signals * channels[:, :, None].to(signals.dtype)).sum(1)
    by_dilation = summed.unflatten(0, (len(dilations), len(KERNELS)))
    return torch.cat(
        [
            _respond(rows[None], dilation, delay)[0]
            for rows, dilation in zip(by_dilation, dilations.tolist(), strict=True)
        ]
    )


def _respond(series: Tensor, dilation: int, delay: int) -> Tensor:
    """Each kernel's answers to its own series, (N, K, L)."""
    weights = series.new_full((len(KERNELS), TAPS), -1)
    for kernel, taps in enumerate(KERNELS):
        weights[kernel, list(taps)] = 2
    length = series.shape[2]
    padded = F.pad(series, (HALF * dilation, HALF * dilation))
    answers = torch.zeros_like(series)
    for tap in range(TAPS):
        begin = tap * dilation + (delay if tap < HALF else 0)
        answers = answers + weights[:, tap, None] * padded[..., begin : begin + length]
    return answers


def _rows_and_biases(
    signals: Tensor,
    dilations: Numbers,
    per_dilation: Numbers,
    channels: Tensor,
    biases: Tensor,
    delay: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each dilation, its even and then its odd kernels: responses (N, K / 2, positions), and
    biases (K / 2, any). Every second kernel is asked only where all taps lie on the signal."""
    of_dilations = channels.to(signals.dtype).unflatten(0, (len(dilations), len(KERNELS)))
    begin = 0
    for d, (dilation, num_biases) in enumerate(
        zip(_integers(dilations), _integers(per_dilation), strict=True)
    ):
        rows = _respond(of_dilations[d] @ signals, dilation, delay)
        end = begin + len(KERNELS) * num_biases
        bias = biases[begin:end].unflatten(0, (len(KERNELS), num_biases))
        begin = end
        for parity in (0, 1):
            padding = HALF * dilation * ((d + parity) % 2)
            yield rows[:, parity::2, padding : rows.shape[2] - padding], bias[parity::2]


def _in_order(halves: list[Tensor]) -> Tensor:
    """Features of even and odd kernels, (N, K / 2, biases), one after another as their biases."""
    by_dilation = zip(halves[::2], halves[1::2], strict=True)
    return torch.cat([torch.stack(pair, 2).flatten(1) for pair in by_dilation], 1)


def _share(rows: Tensor, bias: Tensor) -> Tensor:
    return (rows > bias).sum(-1).to(rows.dtype) / rows.shape[-1]


def _figures(rows: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    length = rows.shape[-1]
    above = rows > bias
    num_above = above.sum(-1).to(rows.dtype)
    at_least_one = num_above.clamp(min=1)
    positions = torch.arange(length, device=rows.device)
    mean = torch.where(above, rows + bias, 0).sum(-1) / at_least_one
    position = torch.where(above, positions, 0).sum(-1).to(rows.dtype) / at_least_one
    position = torch.where(num_above > 0, position, -1)
    below = (rows < bias) | (positions == 0) | (positions == length - 1)
    last_below = torch.where(below, positions, 0).cummax(-1).values
    longest = (positions[1:] - last_below[..., :-1]).amax(-1) if length > 1 else 0 * num_above
    return num_above / length, longest.to(rows.dtype), mean, position
