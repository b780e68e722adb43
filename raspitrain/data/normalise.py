"""Per-channel normalisation, from the training part alone."""

from dataclasses import dataclass

import numpy as np

from raspitrain.data.cases import Signals, iterate_blocks


@dataclass(frozen=True)
class Normalisation:
    """What maps a channel to mean 0 and standard deviation 1: (signal - mean) / std.

    Attributes
    ----------
    mean, std : np.ndarray
        float32 (C,), in the signal's own unit; std is 1 for a channel that never changes.
    """

    mean: np.ndarray
    std: np.ndarray


def fit_normalisation(signals: Signals, train_indices: np.ndarray) -> Normalisation:
    """Measure mean and standard deviation of each channel over the training cases.

    Parameters
    ----------
    signals : Signals
        (N, C, L).
    train_indices : np.ndarray
        int64, at least one.

    Notes
    -----
    Blocks are merged by the pairwise update of Chan, Golub and LeVeque (1979), in float64: a
    plain sum of squares loses a small signal on a large offset, such as air pressure in pascal.
    """
    num_channels = signals.shape[1]
    count = 0
    mean = np.zeros(num_channels)
    squares = np.zeros(num_channels)
    for _, stored in iterate_blocks(signals, np.sort(train_indices)):
        block = stored.astype(np.float64)  # (B, C, L)
        block_count = block.shape[0] * block.shape[2]
        block_mean = block.mean(axis=(0, 2))
        block -= block_mean[:, None]
        delta = block_mean - mean
        total = count + block_count
        squares += np.einsum("bcl,bcl->c", block, block) + delta**2 * count * block_count / total
        mean += delta * block_count / total
        count = total
    std = np.sqrt(squares / count)
    # Below the last digit of float32 there is rounding alone, and dividing would blow it up.
    # A deviation below float32's least normal number may count as 0, and nothing divides by that.
    limits = np.finfo(np.float32)
    constant = std <= np.maximum(limits.eps * np.abs(mean), limits.tiny)
    return Normalisation(
        mean=mean.astype(np.float32), std=np.where(constant, 1, std).astype(np.float32)
    )
