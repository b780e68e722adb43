"""FCN, the fully convolutional network for signals (Wang, Yan and Oates 2017, arXiv:1611.06455).

    model = FCN(num_channels=3, num_classes=2, length=224, width=128)
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes, W width.
"""

from torch import nn

from raspitrain.model.layers import conv_norm, pooled_classifier
from raspitrain.model.scaling import check_signals


class FCN(nn.Sequential):
    """`width` is that of the first and the last layer; the one between is twice as wide."""

    def __init__(self, *, num_channels: int, num_classes: int, length: int, width: int) -> None:
        check_signals(num_channels, num_classes, length)
        super().__init__(
            conv_norm(num_channels, width, 8),  # (N, W, L)
            conv_norm(width, 2 * width, 5),  # (N, 2W, L)
            conv_norm(2 * width, width, 3),  # (N, W, L)
            pooled_classifier(width, num_classes),
        )
