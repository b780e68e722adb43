"""MnasNet for signals (Tan et al. 2019, arXiv:1807.11626): found by search for a phone's speed.

    model = MnasNet(table="a1", num_channels=3, num_classes=2, length=224, width_mult=1.0,
                    num_downsamples="auto", dropout=0.2)
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes.
"""

from typing import NamedTuple

from torch import nn

from raspitrain.model.layers import conv_norm, inverted_residuals, pooled_classifier
from raspitrain.model.scaling import (
    check_choice,
    check_signals,
    check_width_mult,
    keep_strides,
    make_divisible,
)


class Row(NamedTuple):
    """Inverted residuals to `out` channels, the first of `repeats` with the stride."""

    expand: int
    kernel: int
    squeeze_excite: bool
    out: int
    repeats: int
    stride: int


STEM = 32
SE, NO = True, False
TABLES = {
    "a1": (
        Row(1, 3, NO, 16, 1, 1),
        Row(6, 3, NO, 24, 2, 2),
        Row(3, 5, SE, 40, 3, 2),
        Row(6, 3, NO, 80, 4, 2),
        Row(6, 3, SE, 112, 2, 1),
        Row(6, 5, SE, 160, 3, 2),
        Row(6, 3, NO, 320, 1, 1),
    ),
    "b1": (
        Row(1, 3, NO, 16, 1, 1),
        Row(3, 3, NO, 24, 3, 2),
        Row(3, 5, NO, 40, 3, 2),
        Row(6, 5, NO, 80, 3, 2),
        Row(6, 3, NO, 96, 2, 1),
        Row(6, 5, NO, 192, 4, 2),
        Row(6, 3, NO, 320, 1, 1),
    ),
}
LAST = 1280  # which the multiplier leaves as it is


class MnasNet(nn.Sequential):
    """`table` is "a1" or, without squeeze-excite, "b1"; `num_downsamples` is 0 to 5, or "auto"."""

    def __init__(
        self,
        *,
        table: str,
        num_channels: int,
        num_classes: int,
        length: int,
        width_mult: float,
        num_downsamples: int | str,
        dropout: float,
    ) -> None:
        check_choice("table", table, TABLES)
        check_signals(num_channels, num_classes, length)
        check_width_mult(width_mult)
        rows = TABLES[table]
        strides = keep_strides([2, *(row.stride for row in rows)], num_downsamples, length)
        width = make_divisible(STEM * width_mult)
        layers = [conv_norm(num_channels, width, 3, stride=strides[0])]
        for row, stride in zip(rows, strides[1:], strict=True):
            out = make_divisible(row.out * width_mult)
            layers.append(
                inverted_residuals(
                    width,
                    out,
                    row.kernel,
                    repeats=row.repeats,
                    expand=row.expand,
                    stride=stride,
                    activation="relu",
                    squeeze_excite=row.squeeze_excite,
                )
            )
            width = out
        layers.append(conv_norm(width, LAST, 1))
        super().__init__(*layers, pooled_classifier(LAST, num_classes, dropout=dropout))
