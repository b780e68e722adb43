"""MobileNetV2 for signals (Sandler et al. 2018, arXiv:1801.04381).

    model = MobileNetV2(num_channels=3, num_classes=2, length=224, width_mult=1.0,
                        num_downsamples="auto", dropout=0.2)
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes.
"""

from torch import nn

from raspitrain.model.layers import Residuals, conv_norm, inverted_residuals, pooled_classifier
from raspitrain.model.scaling import check_signals, keep_strides, make_divisible

STEM = 32
TABLE = (
    Residuals(1, 16, 1, 1),
    Residuals(6, 24, 2, 2),
    Residuals(6, 32, 3, 2),
    Residuals(6, 64, 4, 2),
    Residuals(6, 96, 3, 1),
    Residuals(6, 160, 3, 2),
    Residuals(6, 320, 1, 1),
)
LAST = 1280  # a multiplier below 1 leaves it as it is


class MobileNetV2(nn.Sequential):
    """`width_mult` scales every layer but a narrow network's last; `num_downsamples` is 0 to 5, or
    "auto"."""

    def __init__(
        self,
        *,
        num_channels: int,
        num_classes: int,
        length: int,
        width_mult: float,
        num_downsamples: int | str,
        dropout: float,
    ) -> None:
        check_signals(num_channels, num_classes, length, width_mult)
        strides = keep_strides([2, *(row.stride for row in TABLE)], num_downsamples, length)
        width = make_divisible(STEM * width_mult)
        layers = [conv_norm(num_channels, width, 3, stride=strides[0], activation="relu6")]
        for row, stride in zip(TABLE, strides[1:], strict=True):
            out = make_divisible(row.out * width_mult)
            layers.append(inverted_residuals(width, out, row, stride, "relu6"))
            width = out
        last = make_divisible(LAST * max(1.0, width_mult))
        layers.append(conv_norm(width, last, 1, activation="relu6"))
        super().__init__(*layers, pooled_classifier(last, num_classes, dropout=dropout))
