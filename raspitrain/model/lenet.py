"""LeNet-5 for signals (LeCun et al. 1998, "Gradient-based learning applied to document
recognition").

    model = LeNet(num_channels=3, num_classes=2, length=224, width_mult=1.0,
                  num_downsamples="auto")
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes.

As it is mostly written today: every map of C3 sees every map of S2, a pooling is a plain mean, and
the output is linear. C5, which sees 5 x 5 positions of an image, sees 5 averages of a signal.
"""

from torch import nn

from raspitrain.model.layers import conv, halving_pool
from raspitrain.model.scaling import check_signals, keep_strides, make_divisible, positions_left


class LeNet(nn.Sequential):
    """`width_mult` scales every layer; `num_downsamples` is 0 to 2, or "auto"."""

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
        strides = keep_strides([2, 2], num_downsamples, length)
        c1, c3, c5, f6 = (make_divisible(w * width_mult, 1) for w in (6, 16, 120, 84))
        positions = positions_left(length, strides, 5)
        super().__init__(
            conv(num_channels, c1, 5, bias=True),
            nn.Tanh(),  # (N, 6, L)
            halving_pool(strides[0], 2, nn.AvgPool1d),
            conv(c1, c3, 5, bias=True),
            nn.Tanh(),  # (N, 16, L / 2)
            halving_pool(strides[1], 2, nn.AvgPool1d),
            nn.AdaptiveAvgPool1d(positions),
            nn.Flatten(),
            nn.Linear(c3 * positions, c5),
            nn.Tanh(),
            nn.Linear(c5, f6),
            nn.Tanh(),
            nn.Linear(f6, num_classes),
        )
