"""MnasNet for signals (Tan et al. 2019, arXiv:1807.11626): found by search for a phone's speed.

    model = MnasNet(table="a1", num_channels=3, num_classes=2, length=224, width_mult=1.0,
                    num_downsamples="auto", dropout=0.2)
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes.
"""

from torch import nn

from raspitrain.model.layers import Residuals, conv_norm, inverted_residuals, pooled_classifier
from raspitrain.model.scaling import check_choice, check_signals, keep_strides, make_divisible

STEM = 32
SE = True
TABLES = {
    "a1": (
        Residuals(1, 16, 1, 1),
        Residuals(6, 24, 2, 2),
        Residuals(3, 40, 3, 2, 5, SE),
        Residuals(6, 80, 4, 2),
        Residuals(6, 112, 2, 1, 3, SE),
        Residuals(6, 160, 3, 2, 5, SE),
        Residuals(6, 320, 1, 1),
    ),
    "b1": (
        Residuals(1, 16, 1, 1),
        Residuals(3, 24, 3, 2),
        Residuals(3, 40, 3, 2, 5),
        Residuals(6, 80, 3, 2, 5),
        Residuals(6, 96, 2, 1),
        Residuals(6, 192, 4, 2, 5),
        Residuals(6, 320, 1, 1),
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
        check_signals(num_channels, num_classes, length, width_mult)
        rows = TABLES[table]
        strides = keep_strides([2, *(row.stride for row in rows)], num_downsamples, length)
        width = make_divisible(STEM * width_mult)
        layers = [conv_norm(num_channels, width, 3, stride=strides[0])]
        for row, stride in zip(rows, strides[1:], strict=True):
            out = make_divisible(row.out * width_mult)
            layers.append(inverted_residuals(width, out, row, stride, "relu"))
            width = out
        layers.append(conv_norm(width, LAST, 1))
        super().__init__(*layers, pooled_classifier(LAST, num_classes, dropout=dropout))
