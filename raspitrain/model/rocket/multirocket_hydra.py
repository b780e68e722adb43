"""MultiRocket and Hydra side by side before one linear classifier.

MultiRocket (Tan, Dempster, Bergmeir & Webb 2022, arXiv:2102.00457) asks four figures of
MiniRocket's responses, of the signal and of its differences. Hydra (Dempster, Schmidt & Webb 2023,
arXiv:2203.13652) lets groups of eight random kernels compete at every position, and shows the two
together to be better than each.
"""

import numpy as np
import torch
from torch import Tensor

from raspitrain.errors import InputError
from raspitrain.model.rocket import native, plain
from raspitrain.model.rocket.classifier import (
    RocketClassifier,
    Standardise,
    StandardiseSparse,
    Transform,
    check_rocket,
)
from raspitrain.model.rocket.dilations import Gather
from raspitrain.model.rocket.minirocket import MiniRocket
from raspitrain.model.rocket.native import FIGURES
from raspitrain.model.scaling import check_signals

MIN_LENGTH = plain.TAPS + 1  # differences are one shorter


class MultiRocket(Transform):
    """From signals (N, C, L) to features (N, F): those of the signals, then of their differences.

    Channels are drawn when it is made, biases by `fit`.
    """

    def __init__(
        self, num_channels: int, length: int, *, num_features: int, max_dilations: int
    ) -> None:
        super().__init__()
        settings = {"num_features": num_features // (2 * FIGURES), "max_dilations": max_dilations}
        self.base = _Side(num_channels, length, **settings)
        self.difference = _Side(num_channels, length - 1, **settings, delay=1)
        self.num_features = FIGURES * (len(self.base.biases) + len(self.difference.biases))

    @torch.no_grad()
    def fit(self, gather: Gather, num_cases: int, generator: torch.Generator) -> None:
        self.base.fit(gather, num_cases, generator)
        self.difference.fit(lambda cases: gather(cases).diff(), num_cases, generator)

    @torch.no_grad()
    def forward(self, signals: Tensor) -> Tensor:
        return torch.cat([self.base(signals), self.difference(signals.diff())], 1)


class _Side(MiniRocket):
    """MultiRocket's features of signals, or with `delay` 1 of differences."""

    @torch.no_grad()
    def forward(self, signals: Tensor) -> Tensor:
        signals, drawn = signals.contiguous(), (self.channels, self.biases)
        if native.can_run(signals):
            numbers = (self.dilations, self.per_dilation)
            return native.multirocket(signals, *numbers, *drawn, delay=self.delay)
        return plain.multirocket(signals, *self.numbers, *drawn, delay=self.delay)


class Hydra(Transform):
    """From signals (N, C, L) to features (N, F); all of it is drawn when it is made."""

    dilations: Tensor
    weights: Tensor
    channels: Tensor

    def __init__(self, num_channels: int, length: int, *, num_groups: int) -> None:
        super().__init__()
        per_side = num_groups // 2  # the others compete over differences
        exponents = int(np.log2((length - 1) / (plain.TAPS - 1)))
        dilations = 2 ** torch.arange(exponents + 1)
        weights = torch.randn(len(dilations), 2, per_side * plain.COMPETING, plain.TAPS)
        weights -= weights.mean(-1, keepdim=True)
        weights /= weights.abs().sum(-1, keepdim=True)
        # Channels are drawn with repetition.
        per_group = 1 if num_channels == 1 else min(max(num_channels // 2, 2), 8)
        channels = torch.randint(num_channels, (len(dilations), 2, per_side, per_group))
        self.numbers = dilations.tolist()
        self.num_features = 2 * weights[..., 0].numel()
        self.register_buffer("dilations", dilations, persistent=False)
        self.register_buffer("weights", weights)
        self.register_buffer("channels", channels)

    def fit(self, gather: Gather, num_cases: int, generator: torch.Generator) -> None:
        """Nothing here is taken from cases."""

    @torch.no_grad()
    def forward(self, signals: Tensor) -> Tensor:
        sides = []
        for side, x in enumerate((signals, signals.diff())):
            weights = self.weights[:, side].contiguous()
            channels = self.channels[:, side].contiguous()
            if native.can_run(signals):
                sides.append(native.hydra(x.contiguous(), self.dilations, weights, channels))
            else:
                sides.append(plain.hydra(x, self.numbers, weights, channels))
        return torch.stack(sides, 2).flatten(1)  # (N, D, 2 sides, 2 scores, G * 8) to (N, F)


def multirocket_hydra(
    *,
    num_channels: int,
    num_classes: int,
    length: int,
    num_features: int,
    max_dilations: int,
    num_groups: int,
    max_ridge_cases: int,
) -> RocketClassifier:
    """The classifier for signals of one length.

    Parameters
    ----------
    num_features : of MultiRocket, rounded down to a multiple of 672
    max_dilations : of a kernel of MultiRocket
    num_groups : of Hydra at each dilation, an even number; half of them see differences
    max_ridge_cases : training cases up to which the head is fitted in closed form

    Raises
    ------
    InputError
        For signals shorter than 10 positions, or fewer than 672 features.
    """
    check_signals(num_channels, num_classes, length)
    least = 2 * FIGURES * len(plain.KERNELS)
    check_rocket(length, MIN_LENGTH, num_features, least, max_dilations)
    if num_groups < 2 or num_groups % 2:
        raise InputError(f"model.num_groups={num_groups} must be an even number, 2 or more.")
    hydra = Hydra(num_channels, length, num_groups=num_groups)
    multirocket = MultiRocket(
        num_channels, length, num_features=num_features, max_dilations=max_dilations
    )
    return RocketClassifier(
        [
            (hydra, StandardiseSparse(hydra.num_features)),
            (multirocket, Standardise(multirocket.num_features)),
        ],
        num_classes,
        max_ridge_cases=max_ridge_cases,
    )
