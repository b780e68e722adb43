"""VGG for signals (Simonyan and Zisserman 2015, arXiv:1409.1556).

    model = VGG(depth=16, num_channels=3, num_classes=2, length=224, width_mult=1.0,
                num_downsamples="auto", batchnorm=True, dropout=0.5)
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes.
"""

from torch import nn

from raspitrain.model.layers import conv_relu, halving_pool, hidden_classifier
from raspitrain.model.scaling import (
    check_choice,
    check_signals,
    keep_strides,
    make_divisible,
    positions_left,
)

WIDTHS = (64, 128, 256, 512, 512)  # of the stages; each ends with a pooling of 2 positions
REPEATS = {  # convolutions of a stage, by depth: the paper's columns A, B, D and E
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
HIDDEN = (4096, 4096)
POSITIONS = 7  # that the hidden layers see


class VGG(nn.Sequential):
    """`width_mult` scales every layer; `num_downsamples` is 0 to 5, or "auto"; `batchnorm` puts one
    behind every convolution, which the paper's networks have not."""

    def __init__(
        self,
        *,
        depth: int,
        num_channels: int,
        num_classes: int,
        length: int,
        width_mult: float,
        num_downsamples: int | str,
        batchnorm: bool,
        dropout: float,
    ) -> None:
        check_choice("depth", depth, REPEATS)
        check_signals(num_channels, num_classes, length, width_mult)
        strides = keep_strides([2] * len(WIDTHS), num_downsamples, length)
        layers: list[nn.Module] = []
        width = num_channels
        for stage_width, repeats, stride in zip(WIDTHS, REPEATS[depth], strides, strict=True):
            out = make_divisible(stage_width * width_mult)
            for _ in range(repeats):
                layers.append(conv_relu(width, out, 3, batchnorm=batchnorm))
                width = out
            layers.append(halving_pool(stride, 2))
        hidden = [make_divisible(each * width_mult) for each in HIDDEN]
        positions = positions_left(length, strides, POSITIONS)
        super().__init__(
            *layers,
            hidden_classifier(width, hidden, num_classes, positions=positions, dropout=dropout),
        )
