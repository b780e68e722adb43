"""A ridge classifier whose penalty is chosen by the errors that leave one case out.

Shape letters: N cases, F features, K classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

ALPHAS = tuple(10 ** (-3 + 6 * step / 9) for step in range(10))  # as the papers have them
BLOCK = 2048  # rows or columns that are turned into float64 at a time
PARTS = 4  # of a symmetric product: three eighths of it are not computed


@dataclass(frozen=True)
class Ridge:
    """A linear classifier.

    Attributes
    ----------
    weight, bias : float64 (K, F) and (K,)
    alpha : the penalty
    left_out : float64 (N, K): each case's scores by the classifier that all the others give
    """

    weight: Tensor
    bias: Tensor
    alpha: float
    left_out: Tensor


def fit_ridge(features: Tensor, labels: Tensor, num_classes: int) -> Ridge:
    """Fit, by least squares, targets of 1 for a case's class and of -1 for the others.

    Parameters
    ----------
    features : (N, F), scaled; their means are taken off in place
    labels : int64 (N,)

    References
    ----------
    Rifkin & Lippert, "Notes on regularized least squares", 2007: every case left out for the
    price of one decomposition. Penalties, targets and the choice by mean squared error: as
    scikit-learn's RidgeClassifierCV, which the Rocket papers use.
    """
    num_cases, num_features = features.shape
    targets = torch.full((num_cases, num_classes), -1.0, dtype=torch.float64)
    targets[torch.arange(num_cases), labels] = 1
    target_means = targets.mean(0)
    targets -= target_means
    means = torch.cat([features[:, columns].double().mean(0) for columns in _blocks(num_features)])
    features -= means.to(features.dtype)

    in_cases = num_cases <= num_features
    values, vectors = _of_cases(features) if in_cases else _of_features(features)
    if in_cases:
        directions = vectors
    else:
        directions = torch.cat([features[rows].double() @ vectors for rows in _blocks(num_cases)])
    along = directions.T @ targets  # (R, K)
    squares = directions.square()

    best = (float("inf"), ALPHAS[0])
    left_out = targets
    for alpha in ALPHAS:
        shrunk = 1 / (values + alpha)
        fitted = directions @ (shrunk[:, None] * along)
        leverage = squares @ shrunk
        if in_cases:  # the inverse of the penalised Gram matrix, where nothing cancels
            errors = fitted / leverage[:, None]
        else:
            errors = (targets - fitted) / (1 - 1 / num_cases - leverage)[:, None]
        loss = float(errors.square().mean())
        if loss < best[0]:
            best, left_out = (loss, alpha), targets - errors + target_means
    alpha = best[1]
    along /= (values + alpha)[:, None]
    if in_cases:
        dual = directions @ along  # (N, K)
        blocks = _blocks(num_features)
        weight = torch.cat([dual.T @ features[:, columns].double() for columns in blocks], 1)
    else:
        weight = (vectors @ along).T
    return Ridge(weight, target_means - weight @ means, alpha, left_out)


def _of_cases(features: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (N - 1,) and eigenvectors (N, N - 1) of the centred features' Gram matrix, but
    for the one whose cases are all alike: the bias takes what lies along it, without a penalty."""
    num_cases, num_features = features.shape
    gram = torch.zeros(num_cases, num_cases, dtype=torch.float64)
    for columns in _blocks(num_features):
        _add_product(gram, features[:, columns].double())
    # So that it is the last one, far from the others, and mixed with none of them.
    gram += 2 * gram.trace() / num_cases + 1
    values, vectors = torch.linalg.eigh(gram)
    return values[:-1].clamp(min=0), vectors[:, :-1]


def _of_features(features: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (F,) and eigenvectors (F, F) of their covariance, times N."""
    num_cases, num_features = features.shape
    covariance = torch.zeros(num_features, num_features, dtype=torch.float64)
    for rows in _blocks(num_cases):
        _add_product(covariance, features[rows].double().T)
    values, vectors = torch.linalg.eigh(covariance)
    return values.clamp(min=0), vectors


def _add_product(total: Tensor, block: Tensor) -> None:
    """Add block @ block.T to the lower triangle, in parts; eigh reads no other."""
    for rows in torch.arange(len(block)).tensor_split(PARTS):
        if len(rows):
            begin, end = int(rows[0]), int(rows[-1]) + 1
            total[begin:end, :end] += block[begin:end] @ block[:end].T


def _blocks(size: int) -> Iterator[slice]:
    for begin in range(0, size, BLOCK):
        yield slice(begin, begin + BLOCK)


def fit_temperature(scores: Tensor, labels: Tensor) -> float:
    """What scores (N, K) of cases left out are to be multiplied by to be logits.

    It makes the mean cross-entropy least. Platt's targets, a little below 1, keep it finite where
    every case is right (Platt 1999; Guo et al. 2017, arXiv:1706.04599).
    """
    num_cases, num_classes = scores.shape
    right = (num_cases + 1) / (num_cases + 2)
    targets = torch.full_like(scores, (1 - right) / (num_classes - 1))
    targets[torch.arange(num_cases), labels] = right
    wanted = (targets * scores).sum(1)
    low, high = -10.0, 10.0  # of its logarithm; the loss is convex in the factor
    for _ in range(60):
        factor = 2 ** ((low + high) / 2)
        given = (torch.softmax(factor * scores, 1) * scores).sum(1)
        if float((given - wanted).mean()) < 0:
            low = (low + high) / 2
        else:
            high = (low + high) / 2
    return float(2 ** ((low + high) / 2))
