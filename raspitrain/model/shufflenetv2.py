"""ShuffleNetV2 for signals (Ma et al. 2018, arXiv:1807.11164).

    model = ShuffleNetV2(num_channels=3, num_classes=2, length=224, width_mult=1.0,
                         num_downsamples="auto")
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes.
"""

import torch
from torch import Tensor, nn

from raspitrain.model.layers import Concat, Shuffle, conv_norm, halving_pool, pooled_classifier
from raspitrain.model.scaling import check_signals, keep_strides, make_divisible

STEM = 24
WIDTHS = (116, 232, 464)  # of the stages
REPEATS = (4, 8, 4)  # units of a stage, the first with the stride
LAST = 1024


class ShuffleNetV2(nn.Sequential):
    """`width_mult` scales the stages, as in the paper, whose own widths for 0.5, 1.5 and 2 are a
    little others; `num_downsamples` is 0 to 5, or "auto"."""

    def __init__(
        self,
        *,
        num_channels: int,
        num_classes: int,
        length: int,
        width_mult: float,
        num_downsamples: int | str,
    ) -> None:
        check_signals(num_channels, num_classes, length, width_mult)
        strides = iter(keep_strides([2] * 5, num_downsamples, length))
        layers: list[nn.Module] = [
            conv_norm(num_channels, STEM, 3, stride=next(strides)),
            halving_pool(next(strides)),
        ]
        width = STEM
        for stage_width, repeats in zip(WIDTHS, REPEATS, strict=True):
            half = make_divisible(stage_width * width_mult, 2) // 2
            layers.append(halving_unit(width, half, next(strides)))
            width = 2 * half
            layers += [Unit(width) for _ in range(repeats - 1)]
        layers.append(conv_norm(width, LAST, 1))
        super().__init__(*layers, pooled_classifier(LAST, num_classes))


class Unit(nn.Module):
    """One half of the channels passes, the other is worked on."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = unit_body(width // 2, width // 2, 1)
        self.shuffle = Shuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        kept, worked = x.chunk(2, dim=1)
        return self.shuffle(torch.cat([kept, self.body(worked)], dim=1))


def halving_unit(in_width: int, half: int, stride: int) -> nn.Sequential:
    shortcut = nn.Sequential(
        conv_norm(in_width, in_width, 3, stride=stride, groups=in_width, activation=None),
        conv_norm(in_width, half, 1),
    )
    return nn.Sequential(Concat(shortcut, unit_body(in_width, half, stride)), Shuffle(2))


def unit_body(in_width: int, half: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        conv_norm(in_width, half, 1),
        conv_norm(half, half, 3, stride=stride, groups=half, activation=None),
        conv_norm(half, half, 1),
    )
