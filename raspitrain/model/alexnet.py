"""AlexNet for signals (Krizhevsky, Sutskever and Hinton 2012; as one column, without response
normalisation: Krizhevsky 2014, arXiv:1404.5997).

    model = AlexNet(num_channels=3, num_classes=2, length=224, width_mult=1.0,
                    num_downsamples="auto", batchnorm=True, dropout=0.5)
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes.
"""

from typing import NamedTuple

from torch import nn

from raspitrain.model.layers import conv_relu, halving_pool, hidden_classifier
from raspitrain.model.scaling import check_signals, keep_strides, make_divisible, positions_left


class Row(NamedTuple):
    """A convolution to `out` channels, and a pooling of 3 positions where `pool` is 2."""

    kernel: int
    out: int
    stride: int
    pool: int


TABLE = (
    Row(11, 64, 4, 2),
    Row(5, 192, 1, 2),
    Row(3, 384, 1, 1),
    Row(3, 256, 1, 1),
    Row(3, 256, 1, 2),
)
HIDDEN = (4096, 4096)
POSITIONS = 6  # that the hidden layers see


class AlexNet(nn.Sequential):
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
        strides = keep_strides(
            [stride for row in TABLE for stride in (row.stride, row.pool)], num_downsamples, length
        )
        layers: list[nn.Module] = []
        width = num_channels
        for row, stride, pool in zip(TABLE, strides[::2], strides[1::2], strict=True):
            out = make_divisible(row.out * width_mult)
            layers.append(conv_relu(width, out, row.kernel, stride=stride, batchnorm=batchnorm))
            layers.append(halving_pool(pool))
            width = out
        hidden = [make_divisible(each * width_mult) for each in HIDDEN]
        positions = positions_left(length, strides, POSITIONS)
        super().__init__(
            *layers,
            hidden_classifier(width, hidden, num_classes, positions=positions, dropout=dropout),
        )
