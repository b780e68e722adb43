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
        float64 (C,), in the signal's own unit; std is 1 for a channel that is constant.
    constant : np.ndarray
        bool (C,): channels that never change, or by no more than rounding.
    """

    mean: np.ndarray
    std: np.ndarray
    constant: np.ndarray

    def apply(self, signals: np.ndarray) -> np.ndarray:
        """Signals (N, C, L) of any type of number, normalised: float32, a new array.

        In float64 until the mean is off: float32 has no room for a small signal on a large offset.
        """
        centred = np.subtract(signals, self.mean[:, None], dtype=np.float64)
        centred /= self.std[:, None]
        return centred.astype(np.float32)


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
    first = np.sort(train_indices)[:1]
    pivot = signals[first][0, :, :1].astype(np.float64)  # (C, 1)
    for _, stored in iterate_blocks(signals, np.sort(train_indices)):
        # (B, C, L); of a constant channel 0, where sums of one number many times would be rounded.
        block = np.subtract(stored, pivot, dtype=np.float64)
        block_count = block.shape[0] * block.shape[2]
        block_mean = block.mean(axis=(0, 2))
        block -= block_mean[:, None]
        delta = block_mean - mean
        total = count + block_count
        squares += np.einsum("bcl,bcl->c", block, block) + delta**2 * count * block_count / total
        mean += delta * block_count / total
        count = total
    std = np.sqrt(squares / count)
    mean += pivot[:, 0]
    # Below its last digit a stored number is rounding alone, and dividing would blow it up. A
    # deviation below float32's least normal number may count as 0, and nothing divides by that.
    is_float64 = signals.dtype.kind != "f" or signals.dtype.itemsize > 4
    digit = np.finfo(np.float64 if is_float64 else np.float32).eps
    constant = std <= np.maximum(digit * np.abs(mean), np.finfo(np.float32).tiny)
    return Normalisation(mean=mean, std=np.where(constant, 1.0, std), constant=constant)
