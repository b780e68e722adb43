"""What a trained network answers to signals as they are stored.

Letters: N cases, C channels, L length, K classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from raspitrain.data.batches import batch_indices
from raspitrain.data.cases import Signals
from raspitrain.data.normalise import Normalisation
from raspitrain.training.randomness import same_random_numbers

BATCH_SIZE = 64


@dataclass(frozen=True)
class Answers:
    """What a network makes of cases whose classes are known; all of its logits would take memory.

    Attributes
    ----------
    labels, predicted : int64 (N,), classes 0…K-1
    probability, of_label : float64 (N,), of the class predicted and of the true one
    """

    labels: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray
    of_label: np.ndarray


def batch_size_of(trained_with: int | str) -> int:
    """Cases that are answered at once, of a run with this batch size: no more than fitted into its
    memory, as an evaluation in training takes four times as many."""
    return BATCH_SIZE if isinstance(trained_with, str) else min(BATCH_SIZE, 4 * trained_with)


def answers_of(
    network: nn.Module,
    normalisation: Normalisation,
    signals: Signals,
    indices: np.ndarray,
    labels: np.ndarray,
    *,
    batch_size: int = BATCH_SIZE,
) -> Answers:
    """Answers to some cases of raw signals (N, C, L); as `logits_of`.

    Parameters
    ----------
    labels : int64, of these cases
    """
    columns: list[list[np.ndarray]] = [[], [], []]
    at = 0
    for logits in _batches(network, normalisation, signals, indices, batch_size):
        probabilities = softmax(logits)
        rows, predicted = np.arange(len(logits)), probabilities.argmax(axis=1)
        own = labels[at : at + len(logits)]
        at += len(logits)
        found = (predicted, probabilities[rows, predicted], probabilities[rows, own])
        for column, values in zip(columns, found, strict=True):
            column.append(values)
    return Answers(labels, *map(np.concatenate, columns))


def logits_of(network: nn.Module, normalisation: Normalisation, signals: Signals) -> np.ndarray:
    """Logits, float32 (N, K), of raw signals (N, C, L); read a batch at a time.

    Parameters
    ----------
    network : on the CPU, in evaluation mode
    """
    indices = np.arange(signals.shape[0])
    batches = _batches(network, normalisation, signals, indices, BATCH_SIZE)
    return np.concatenate(list(batches))


def _batches(
    network: nn.Module,
    normalisation: Normalisation,
    signals: Signals,
    indices: np.ndarray,
    batch_size: int,
) -> Iterator[np.ndarray]:
    with same_random_numbers():
        for batch in batch_indices(len(indices), batch_size, generator=None):
            block = normalisation.apply(signals[indices[batch.numpy()]])
            with torch.inference_mode():
                logits = network(torch.from_numpy(block)).float()
            yield logits.numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, float64 (N, K), of logits (N, K)."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
