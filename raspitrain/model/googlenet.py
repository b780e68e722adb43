"""GoogLeNet for signals (Szegedy et al. 2015, arXiv:1409.4842).

    model = GoogLeNet(num_channels=3, num_classes=2, length=224, width_mult=1.0,
                      num_downsamples="auto", batchnorm=True, dropout=0.4)
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes.

Without response normalisation and without the two classifiers half way, which only help training.
"""

from typing import NamedTuple

from torch import nn

from raspitrain.model.layers import Concat, conv_relu, halving_pool, pooled_classifier
from raspitrain.model.scaling import check_signals, keep_strides, make_divisible


class Row(NamedTuple):
    """An inception module: widths of its four branches; before it a pooling where `pool` is 2."""

    one: int
    reduce_three: int
    three: int
    reduce_five: int
    five: int
    pooled: int
    pool: int


STEM = (64, 64, 192)
TABLE = (
    Row(64, 96, 128, 16, 32, 32, 2),
    Row(128, 128, 192, 32, 96, 64, 1),
    Row(192, 96, 208, 16, 48, 64, 2),
    Row(160, 112, 224, 24, 64, 64, 1),
    Row(128, 128, 256, 24, 64, 64, 1),
    Row(112, 144, 288, 32, 64, 64, 1),
    Row(256, 160, 320, 32, 128, 128, 1),
    Row(256, 160, 320, 32, 128, 128, 2),
    Row(384, 192, 384, 48, 128, 128, 1),
)


class GoogLeNet(nn.Sequential):
    """`width_mult` scales every layer; `num_downsamples` is 0 to 5, or "auto"; `batchnorm` puts one
    behind every convolution, which the paper's network has not."""

    def __init__(
        self,
        *,
        num_channels: int,
        num_classes: int,
        length: int,
        width_mult: float,
        num_downsamples: int | str,
        batchnorm: bool,
        dropout: float,
    ) -> None:
        check_signals(num_channels, num_classes, length, width_mult)
        strides = keep_strides([2, 2, *(row.pool for row in TABLE)], num_downsamples, length)
        first, second, third = (make_divisible(width * width_mult) for width in STEM)
        layers: list[nn.Module] = [
            conv_relu(num_channels, first, 7, stride=strides[0], batchnorm=batchnorm),
            halving_pool(strides[1]),
            conv_relu(first, second, 1, batchnorm=batchnorm),
            conv_relu(second, third, 3, batchnorm=batchnorm),
        ]
        width = third
        for row, stride in zip(TABLE, strides[2:], strict=True):
            scaled = Row._make([*(make_divisible(each * width_mult) for each in row[:-1]), stride])
            layers += [halving_pool(stride), inception(width, scaled, batchnorm=batchnorm)]
            width = scaled.one + scaled.three + scaled.five + scaled.pooled
        super().__init__(*layers, pooled_classifier(width, num_classes, dropout=dropout))


def inception(in_width: int, row: Row, *, batchnorm: bool) -> Concat:
    def layer(before: int, width: int, kernel: int) -> nn.Module:
        return conv_relu(before, width, kernel, batchnorm=batchnorm)

    return Concat(
        layer(in_width, row.one, 1),
        nn.Sequential(layer(in_width, row.reduce_three, 1), layer(row.reduce_three, row.three, 3)),
        nn.Sequential(layer(in_width, row.reduce_five, 1), layer(row.reduce_five, row.five, 5)),
        nn.Sequential(nn.MaxPool1d(3, 1, padding=1), layer(in_width, row.pooled, 1)),
    )
