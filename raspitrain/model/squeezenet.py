"""SqueezeNet for signals (Iandola et al. 2016, arXiv:1602.07360).

    model = SqueezeNet(table="v1_1", num_channels=3, num_classes=2, length=224, width_mult=1.0,
                       num_downsamples="auto", batchnorm=True, dropout=0.5)
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes.
"""

from typing import NamedTuple

from torch import nn

from raspitrain.model.layers import Concat, conv, conv_relu, halving_pool
from raspitrain.model.scaling import check_choice, check_signals, keep_strides, make_divisible


class Fire(NamedTuple):
    """1x1 to `squeeze` channels, then 1x1 and 3 side by side to `expand` each; before it a pooling
    where `pool` is 2."""

    squeeze: int
    expand: int
    pool: int


class Table(NamedTuple):
    kernel: int  # of the first convolution
    stem: int
    rows: tuple[Fire, ...]


TABLES = {
    "v1_0": Table(
        kernel=7,
        stem=96,
        rows=(
            Fire(16, 64, 2),
            Fire(16, 64, 1),
            Fire(32, 128, 1),
            Fire(32, 128, 2),
            Fire(48, 192, 1),
            Fire(48, 192, 1),
            Fire(64, 256, 1),
            Fire(64, 256, 2),
        ),
    ),
    "v1_1": Table(
        kernel=3,
        stem=64,
        rows=(
            Fire(16, 64, 2),
            Fire(16, 64, 1),
            Fire(32, 128, 2),
            Fire(32, 128, 1),
            Fire(48, 192, 2),
            Fire(48, 192, 1),
            Fire(64, 256, 1),
            Fire(64, 256, 1),
        ),
    ),
}


class SqueezeNet(nn.Sequential):
    """`table` is the paper's "v1_0", or "v1_1", its authors' cheaper one; `num_downsamples` is 0 to
    4, or "auto"; `batchnorm` puts one behind every convolution, which the paper's has not."""

    def __init__(
        self,
        *,
        table: str,
        num_channels: int,
        num_classes: int,
        length: int,
        width_mult: float,
        num_downsamples: int | str,
        batchnorm: bool,
        dropout: float,
    ) -> None:
        check_choice("table", table, TABLES)
        check_signals(num_channels, num_classes, length, width_mult)
        kernel, stem, rows = TABLES[table]
        strides = keep_strides([2, *(row.pool for row in rows)], num_downsamples, length)
        width = make_divisible(stem * width_mult)
        layers: list[nn.Module] = [
            conv_relu(num_channels, width, kernel, stride=strides[0], batchnorm=batchnorm)
        ]
        for row, stride in zip(rows, strides[1:], strict=True):
            squeeze = make_divisible(row.squeeze * width_mult)
            expand = make_divisible(row.expand * width_mult)
            layers += [
                halving_pool(stride),
                conv_relu(width, squeeze, 1, batchnorm=batchnorm),
                Concat(
                    conv_relu(squeeze, expand, 1, batchnorm=batchnorm),
                    conv_relu(squeeze, expand, 3, batchnorm=batchnorm),
                ),
            ]
            width = 2 * expand
        super().__init__(
            *layers,
            nn.Dropout(dropout),
            conv(width, num_classes, 1, bias=True),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
        )
