"""LITE for signals (Ismail-Fawaz et al. 2023, DSAA) and LITEMV (2024, arXiv:2409.02869).

    model = LITE(num_channels=3, num_classes=2, length=224, width=32)
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes, W width.

InceptionTime's idea with a fortieth of the parameters. One channel makes it LITE; more make it
LITEMV, whose first layer takes every channel by itself.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raspitrain.model.layers import Concat, conv, pooled_classifier
from raspitrain.model.scaling import check_signals

NUM_FIXED = 17


class LITE(nn.Sequential):
    def __init__(self, *, num_channels: int, num_classes: int, length: int, width: int) -> None:
        check_signals(num_channels, num_classes, length)
        learnt = conv if num_channels == 1 else separable_conv
        first = 3 * width + NUM_FIXED * num_channels
        super().__init__(
            Concat(
                *(learnt(num_channels, width, size) for size in (40, 20, 10)),
                fixed_filters(num_channels),
            ),
            nn.BatchNorm1d(first),
            nn.ReLU(),  # (N, 3W + 17C, L)
            separable_conv(first, width, 20, dilation=2),
            nn.BatchNorm1d(width),
            nn.ReLU(),  # (N, W, L)
            separable_conv(width, width, 10, dilation=4),
            nn.BatchNorm1d(width),
            nn.ReLU(),  # (N, W, L)
            pooled_classifier(width, num_classes),
        )


def separable_conv(in_width: int, width: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        conv(in_width, in_width, kernel, dilation=dilation, groups=in_width),
        conv(in_width, width, 1),
    )


def fixed_filters(num_channels: int) -> nn.Sequential:
    """What rises, falls and peaks of several lengths look like: (N, 17C, L), nothing to learn."""
    filters = hand_made_filters()
    longest = max(map(len, filters))
    # One bank of one size: zeros at both ends lay a shorter filter where its own padding would.
    left, right = (longest - 1) // 2, longest // 2
    bank = torch.stack(
        [F.pad(f, (left - (len(f) - 1) // 2, right - len(f) // 2)) for f in filters]
    ).repeat(num_channels, 1)
    layer = conv(num_channels, len(bank), longest, groups=num_channels)
    (weight,) = layer.parameters()
    weight.requires_grad_(False).copy_(bank.unsqueeze(1))
    return nn.Sequential(layer, nn.ReLU())


def hand_made_filters() -> list[Tensor]:
    """NUM_FIXED filters, float32 (k,): 6 of rises, 6 of falls, 5 of peaks."""
    rises = [torch.tensor([-1.0, 1.0]).repeat(size // 2) for size in (2, 4, 8, 16, 32, 64)]
    peaks = []
    for size in (4, 8, 16, 32, 64):
        slope = (torch.arange(1, size // 4 + 1) / (size // 4)) ** 2
        hill = torch.cat([slope, slope.flip(0)])
        peaks.append(torch.cat([-hill, 2 * hill, -hill]))
    return [*rises, *(-rise for rise in rises), *peaks]
