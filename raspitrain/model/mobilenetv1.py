"""MobileNetV1 for signals (Howard et al. 2017, arXiv:1704.04861).

    model = MobileNetV1(num_channels=3, num_classes=2, length=224, width_mult=1.0,
                        num_downsamples="auto")
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes.
"""

from typing import NamedTuple

from torch import nn

from raspitrain.model.layers import conv_norm, pooled_classifier
from raspitrain.model.scaling import check_signals, keep_strides, make_divisible


class Row(NamedTuple):
    """A depthwise convolution and a 1x1 convolution to `out` channels."""

    out: int
    stride: int


STEM = 32
TABLE = (
    Row(64, 1),
    Row(128, 2),
    Row(128, 1),
    Row(256, 2),
    Row(256, 1),
    Row(512, 2),
    *[Row(512, 1)] * 5,
    Row(1024, 2),
    Row(1024, 1),
)


class MobileNetV1(nn.Sequential):
    """`width_mult` scales every layer; `num_downsamples` is 0 to 5, or "auto"."""

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
        strides = keep_strides([2, *(row.stride for row in TABLE)], num_downsamples, length)
        width = make_divisible(STEM * width_mult)
        layers = [conv_norm(num_channels, width, 3, stride=strides[0])]
        for row, stride in zip(TABLE, strides[1:], strict=True):
            out = make_divisible(row.out * width_mult)
            layers.append(conv_norm(width, width, 3, stride=stride, groups=width))
            layers.append(conv_norm(width, out, 1))
            width = out
        super().__init__(*layers, pooled_classifier(width, num_classes))
