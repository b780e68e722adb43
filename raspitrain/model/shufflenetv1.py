"""ShuffleNet for signals (Zhang et al. 2018, arXiv:1707.01083).

    model = ShuffleNetV1(groups=3, num_channels=3, num_classes=2, length=224, width_mult=1.0,
                         num_downsamples="auto")
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes.
"""

from torch import nn

from raspitrain.model.layers import (
    Add,
    Concat,
    Shuffle,
    conv_norm,
    halving_pool,
    pooled_classifier,
)
from raspitrain.model.scaling import check_choice, check_signals, keep_strides, make_divisible

STEM = 24
WIDTHS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}  # of the first stage, by groups; then doubled
REPEATS = (4, 8, 4)  # units of a stage, the first with the stride


class ShuffleNetV1(nn.Sequential):
    """1x1 convolutions in `groups`; `num_downsamples` is 0 to 5, or "auto"."""

    def __init__(
        self,
        *,
        groups: int,
        num_channels: int,
        num_classes: int,
        length: int,
        width_mult: float,
        num_downsamples: int | str,
    ) -> None:
        check_choice("groups", groups, WIDTHS)
        check_signals(num_channels, num_classes, length, width_mult)
        strides = iter(keep_strides([2] * 5, num_downsamples, length))
        width = make_divisible(STEM * width_mult, groups)
        layers: list[nn.Module] = [
            conv_norm(num_channels, width, 3, stride=next(strides)),
            halving_pool(next(strides)),
        ]
        # A unit is a quarter as wide inside, and that is parted into groups as well.
        out = make_divisible(WIDTHS[groups] * width_mult, 4 * groups)
        for stage, repeats in enumerate(REPEATS):
            layers.append(halving_unit(width, out, groups, next(strides), grouped=stage > 0))
            layers += [unit(out, groups) for _ in range(repeats - 1)]
            width, out = out, 2 * out
        super().__init__(*layers, pooled_classifier(width, num_classes))


def unit(width: int, groups: int) -> Add:
    return Add(unit_body(width, width, width // 4, groups, 1), nn.Identity(), "relu")


def halving_unit(
    in_width: int, out_width: int, groups: int, stride: int, *, grouped: bool
) -> nn.Sequential:
    """The input beside what is new; its few channels are not `grouped` in the first stage."""
    body = unit_body(
        in_width, out_width - in_width, out_width // 4, groups, stride, grouped=grouped
    )
    shortcut = nn.Identity() if stride == 1 else nn.AvgPool1d(3, stride, padding=1)
    return nn.Sequential(Concat(shortcut, body), nn.ReLU())


def unit_body(
    in_width: int, out_width: int, inner: int, groups: int, stride: int, *, grouped: bool = True
) -> nn.Sequential:
    return nn.Sequential(
        conv_norm(in_width, inner, 1, groups=groups if grouped else 1),
        Shuffle(groups),
        conv_norm(inner, inner, 3, stride=stride, groups=inner, activation=None),
        conv_norm(inner, out_width, 1, groups=groups, activation=None),
    )
