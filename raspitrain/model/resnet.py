"""ResNet for signals (Wang, Yan and Oates 2017, arXiv:1611.06455).

    model = ResNet(num_channels=3, num_classes=2, length=224, width=32)
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes, W width.

Three residual blocks that keep every position. In the paper W is 64; half of it costs a quarter
and learns small sets as well.
"""

from torch import nn

from raspitrain.model.layers import Add, conv_norm, pooled_classifier
from raspitrain.model.scaling import check_signals


class ResNet(nn.Sequential):
    """`width` is that of the first block; the other two have twice as many channels."""

    def __init__(self, *, num_channels: int, num_classes: int, length: int, width: int) -> None:
        check_signals(num_channels, num_classes, length)
        super().__init__(
            residual_block(num_channels, width),  # (N, W, L)
            residual_block(width, 2 * width),  # (N, 2W, L)
            residual_block(2 * width, 2 * width),  # (N, 2W, L)
            pooled_classifier(2 * width, num_classes),
        )


def residual_block(in_width: int, width: int) -> Add:
    body = nn.Sequential(
        conv_norm(in_width, width, 8),
        conv_norm(width, width, 5),
        conv_norm(width, width, 3, activation=None),
    )
    if in_width == width:
        return Add(body, nn.BatchNorm1d(width), "relu")
    return Add(body, conv_norm(in_width, width, 1, activation=None), "relu")
