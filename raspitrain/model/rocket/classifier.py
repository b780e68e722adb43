"""Fixed features, their scaling and a linear head: what the Rocket family has in common.

Shape letters: N cases, C channels, L length, F features, K classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from raspitrain.errors import InputError
from raspitrain.model.rocket.dilations import Gather
from raspitrain.model.rocket.ridge import BLOCK, fit_ridge, fit_temperature

BATCH = 64  # cases that are transformed at a time
COLUMNS = 4096  # that are turned into float64 at a time
SCALING_CASES = 2000  # that mean and deviation are taken from, where there is no closed form


class Standardise(nn.Module):
    """Every feature less its mean, divided by its standard deviation, both of training cases."""

    mean: Tensor
    std: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("std", torch.ones(num_features))

    def fit(self, features: Tensor) -> None:
        """From the features (N, F) of training cases."""
        for begin in range(0, features.shape[1], COLUMNS):
            columns = slice(begin, begin + COLUMNS)
            block = features[:, columns].double()
            mean = block.mean(0)
            std = (block - mean).square_().mean(0).sqrt_()
            constant = std <= 1e-7 * mean.abs()  # nothing but rounding
            self.mean[columns] = mean
            self.std[columns] = torch.where(constant, 1.0, std)

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.std

    def apply_(self, features: Tensor) -> None:
        """The same in place."""
        features.sub_(self.mean).div_(self.std)


class StandardiseSparse(Standardise):
    """The same for Hydra's scores, by their square roots: what scores nothing stays 0, and a rare
    score weighs less."""

    def fit(self, features: Tensor) -> None:
        for begin in range(0, features.shape[1], COLUMNS):
            columns = slice(begin, begin + COLUMNS)
            block = features[:, columns].double().clamp_(min=0).sqrt_()
            mean = block.mean(0)
            # Of a single case there is none.
            variance = (block - mean).square_().sum(0) / max(1, len(block) - 1)
            self.mean[columns] = mean
            self.std[columns] = variance.sqrt_() + (block == 0).double().mean(0) ** 4 + 1e-8

    def forward(self, features: Tensor) -> Tensor:
        roots = features.clamp(min=0).sqrt()
        return (roots - self.mean) * (roots != 0) / self.std

    def apply_(self, features: Tensor) -> None:
        nothing = features.clamp_(min=0) == 0
        features.sqrt_().sub_(self.mean).div_(self.std).masked_fill_(nothing, 0)


class Transform(nn.Module, ABC):
    """From signals (N, C, L) to features (N, F), which no gradient passes."""

    num_features: int

    @abstractmethod
    def fit(self, gather: Gather, num_cases: int, generator: torch.Generator) -> None:
        """Take what it needs from training cases, `gather` of indices below `num_cases`."""


class RocketClassifier(nn.Module):
    """Signals (N, C, L) to logits (N, K) by transforms that are fitted once and a linear layer.

    Attributes
    ----------
    transforms, scalings : the scaled features of one after another are the head's input
    head : fitted in closed form, or by gradients
    max_ridge_cases : training cases up to which it is the former
    """

    def __init__(
        self,
        parts: Sequence[tuple[Transform, Standardise]],
        num_classes: int,
        *,
        max_ridge_cases: int,
    ) -> None:
        super().__init__()
        self.transforms = nn.ModuleList(transform for transform, _ in parts)
        self.scalings = nn.ModuleList(scaling for _, scaling in parts)
        self.sizes = [transform.num_features for transform, _ in parts]
        self.max_ridge_cases = max_ridge_cases
        self.head = nn.Linear(sum(self.sizes), num_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, signals: Tensor) -> Tensor:
        features = [scaling(transform(signals)) for transform, scaling in self._parts()]
        logits: Tensor = self.head(torch.cat(features, 1))
        return logits

    def has_closed_form(self, num_cases: int) -> bool:
        """Whether so many training cases are for `fit`; otherwise `fit_features` comes first and
        the head is trained by gradients."""
        return num_cases <= self.max_ridge_cases

    def fit_bytes(self, num_cases: int) -> int:
        """Bytes of memory that `fit` takes, about."""
        num_features = sum(self.sizes)
        smaller = min(num_cases, num_features)
        # Features, then the Gram matrix, its eigenvectors and what finding them takes.
        return 4 * num_cases * num_features + 8 * (4 * smaller**2 + 3 * BLOCK * num_cases)

    @torch.no_grad()
    def fit(self, gather: Gather, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Fit all of it to training cases.

        Parameters
        ----------
        gather : from indices below N to signals
        labels : int64 (N,)

        Returns
        -------
        Tensor
            float64 (N, K): logits of each case by the head that all the others give.
        """
        features = self._fit_features(gather, torch.arange(len(labels)), generator)
        ridge = fit_ridge(features, labels, self.head.out_features)
        factor = fit_temperature(ridge.left_out, labels)
        self.head.weight.copy_(factor * ridge.weight)
        self.head.bias.copy_(factor * ridge.bias)
        return factor * ridge.left_out

    @torch.no_grad()
    def fit_features(self, gather: Gather, num_cases: int, generator: torch.Generator) -> None:
        """Fit everything but the head, the scalings to some of the training cases."""
        some = torch.randperm(num_cases, generator=generator)[:SCALING_CASES].sort().values
        self._fit_features(gather, some, generator)

    def _fit_features(self, gather: Gather, cases: Tensor, generator: torch.Generator) -> Tensor:
        """Fit transforms and scalings; return the scaled features of these cases."""
        features = self.head.weight.new_empty(len(cases), sum(self.sizes))
        columns = features.split(self.sizes, 1)
        for transform, _ in self._parts():
            transform.fit(lambda drawn: gather(cases[drawn]), len(cases), generator)
        for batch in torch.arange(len(cases)).split(BATCH):
            signals = gather(cases[batch])
            for (transform, _), part in zip(self._parts(), columns, strict=True):
                part[batch[0] : batch[-1] + 1] = transform(signals)
        for (_, scaling), part in zip(self._parts(), columns, strict=True):
            scaling.fit(part)
            scaling.apply_(part)
        return features

    def _parts(self) -> list[tuple[Transform, Standardise]]:
        pairs = zip(self.transforms, self.scalings, strict=True)
        return cast(list[tuple[Transform, Standardise]], list(pairs))


def check_rocket(
    length: int, min_length: int, num_features: int, least: int, max_dilations: int
) -> None:
    if length < min_length:
        raise InputError(
            f"signals of length {length} are too short for this model: it takes {min_length} "
            "positions or more."
        )
    if num_features < least:
        raise InputError(f"model.num_features={num_features} must be at least {least}.")
    if max_dilations < 1:
        raise InputError(f"model.max_dilations={max_dilations} must be at least 1.")
