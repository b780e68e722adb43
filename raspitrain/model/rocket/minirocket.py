"""MiniRocket (Dempster, Schmidt & Webb 2021, arXiv:2012.08791): 84 fixed kernels at many dilations,
one share of positive values for each bias, and a linear classifier."""

import torch
from torch import Tensor

from raspitrain.model.rocket import native, plain
from raspitrain.model.rocket.classifier import (
    RocketClassifier,
    Standardise,
    Transform,
    check_rocket,
)
from raspitrain.model.rocket.dilations import Gather, draw_channels, fit_biases, fit_dilations
from raspitrain.model.scaling import check_signals


class MiniRocket(Transform):
    """From signals (N, C, L) to features (N, F); nothing in it is trained by gradients.

    Channels are drawn when it is made, biases by `fit`. `delay` is 1 for MultiRocket's differences.
    """

    dilations: Tensor
    per_dilation: Tensor
    channels: Tensor
    biases: Tensor

    def __init__(
        self,
        num_channels: int,
        length: int,
        *,
        num_features: int,
        max_dilations: int,
        delay: int = 0,
    ) -> None:
        super().__init__()
        self.delay = delay
        dilations, per_dilation = fit_dilations(length, num_features, max_dilations)
        num_kernels = len(plain.KERNELS)
        self.numbers = (dilations.tolist(), per_dilation.tolist())
        self.num_features = num_kernels * int(per_dilation.sum())
        self.register_buffer("dilations", torch.from_numpy(dilations), persistent=False)
        self.register_buffer("per_dilation", torch.from_numpy(per_dilation), persistent=False)
        self.register_buffer("channels", draw_channels(num_kernels * len(dilations), num_channels))
        self.register_buffer("biases", torch.zeros(self.num_features))

    @torch.no_grad()
    def fit(self, gather: Gather, num_cases: int, generator: torch.Generator) -> None:
        self.biases.copy_(
            fit_biases(
                gather,
                num_cases,
                self.dilations,
                self.per_dilation,
                self.channels,
                delay=self.delay,
                generator=generator,
            )
        )

    @torch.no_grad()
    def forward(self, signals: Tensor) -> Tensor:
        signals = signals.contiguous()
        if native.can_run(signals):
            numbers = (self.dilations, self.per_dilation)
            return native.minirocket(signals, *numbers, self.channels, self.biases)
        return plain.minirocket(signals, *self.numbers, self.channels, self.biases)


def minirocket(
    *,
    num_channels: int,
    num_classes: int,
    length: int,
    num_features: int,
    max_dilations: int,
    max_ridge_cases: int,
) -> RocketClassifier:
    """The classifier for signals of one length.

    Parameters
    ----------
    num_features : rounded down to a multiple of 84
    max_dilations : of a kernel
    max_ridge_cases : training cases up to which the head is fitted in closed form

    Raises
    ------
    InputError
        For signals shorter than 9 positions, or fewer than 84 features.
    """
    check_signals(num_channels, num_classes, length)
    check_rocket(length, plain.TAPS, num_features, len(plain.KERNELS), max_dilations)
    transform = MiniRocket(
        num_channels, length, num_features=num_features, max_dilations=max_dilations
    )
    scaling = Standardise(transform.num_features)
    return RocketClassifier([(transform, scaling)], num_classes, max_ridge_cases=max_ridge_cases)
