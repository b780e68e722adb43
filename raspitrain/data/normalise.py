"""Normalisation, measured on the training part alone.

channel   (x - mean) / std, one mean and std a channel over the training part
case      each channel of each case by its own mean and standard deviation
both      case, and two more channels for each: the case's level and the logarithm of its spread,
          the same at all samples, themselves brought to mean 0 and standard deviation 1
none      as it is

channel keeps how loud a case is and flattens the quiet ones where cases differ a hundredfold; case
keeps their form alone; both keeps form and loudness apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raspitrain.data.cases import Signals, iterate_blocks
from raspitrain.data.frontend import Frontend, Seen

KINDS = ("channel", "case", "both", "none")
# Below this part of what cases spread, levels, and logarithms of spreads, differ by rounding alone.
ROUNDING = 1e-5
LOOKED_AT, LOOK_BYTES = 4096, 64 << 20  # training cases that `auto` judges by, at most
APART = 100  # times, that the amplitudes of cases lie apart, from which `auto` takes both
FEWEST = 20  # moving cases that say anything about that


@dataclass(frozen=True)
class Amplitudes:
    """What `both` knows of levels (means) and spreads (standard deviations) of training cases.

    Attributes
    ----------
    level_mean, level_std : np.ndarray
        float64 (C,), in the signal's own unit, over the cases.
    spread_mean, spread_std : np.ndarray
        float64 (C,), of the natural logarithms of the spreads.
    spread_least : np.ndarray
        float64 (C,): the least spread of a case that is not flat; a flatter one counts as this.
    """

    level_mean: np.ndarray
    level_std: np.ndarray
    spread_mean: np.ndarray
    spread_std: np.ndarray
    spread_least: np.ndarray


@dataclass(frozen=True)
class Normalisation:
    """From the signals' own units to what a network sees.

    Attributes
    ----------
    mean, std : np.ndarray
        float64 (C,) over the training part, in the signal's own unit; std is 1 for a channel that
        is constant. `channel` alone applies them.
    constant : np.ndarray
        bool (C,): channels that never change, or by no more than rounding.
    kind : {"channel", "case", "both", "none"}
    amplitudes : Amplitudes or None
        None but for `both`.
    frontend : Frontend or None
        What comes before: all else is then of its bands, C x bands of them, and not of channels.
    """

    mean: np.ndarray
    std: np.ndarray
    constant: np.ndarray
    kind: str = "channel"
    amplitudes: Amplitudes | None = None
    frontend: Frontend | None = None

    @property
    def num_bands(self) -> int:
        """Of a channel, that are normalised each by itself."""
        return 1 if self.frontend is None else self.frontend.num_bands

    def seen_length(self, length: int) -> int:
        """Positions that a network sees of a case of `length` samples."""
        return length if self.frontend is None else self.frontend.num_frames(length)

    def seen_names(self, channels: Sequence[str]) -> tuple[str, ...]:
        """What each of `mean` and `std` is of."""
        return tuple(channels) if self.frontend is None else self.frontend.names(channels)

    @property
    def num_channels(self) -> int:
        """Channels that a network sees."""
        return len(self.mean) * (3 if self.kind == "both" else 1)

    def apply(self, signals: np.ndarray) -> np.ndarray:
        """Signals (N, C, L) of any type of number, normalised: float32, a new array
        (N, `num_channels`, `seen_length`).

        In float64 until the mean is off: float32 has no room for a small signal on a large offset.
        """
        if self.frontend is not None:
            signals = self.frontend.apply(signals)
        if self.kind == "none":
            return signals.astype(np.float32)
        if self.kind == "channel":
            centred = np.subtract(signals, self.mean[:, None], dtype=np.float64)
            centred /= self.std[:, None]
            return centred.astype(np.float32)
        centred, level, spread = _by_case(signals)
        centred /= np.where(spread > 0, spread, 1)[:, :, None]
        if self.amplitudes is None:
            return centred.astype(np.float32)
        of = self.amplitudes
        levels = (level - of.level_mean) / of.level_std
        spreads = (np.log(np.maximum(spread, of.spread_least)) - of.spread_mean) / of.spread_std
        num_cases, num_channels, length = signals.shape
        seen = np.empty((num_cases, 3 * num_channels, length), np.float32)
        seen[:, :num_channels] = centred
        seen[:, num_channels : 2 * num_channels] = levels[:, :, None]
        seen[:, 2 * num_channels :] = spreads[:, :, None]
        return seen


def _by_case(signals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signals (N, C, L) without their cases' means, float64 and a new array, those means (N, C)
    and the standard deviations (N, C): 0 where a case is flat, but for rounding."""
    first = signals[:, :, :1].astype(np.float64)
    # Of a flat case 0, where sums of one number many times would be rounded.
    centred = np.subtract(signals, first, dtype=np.float64)
    mean = centred.mean(axis=2, keepdims=True)
    centred -= mean
    mean = (mean + first)[:, :, 0]
    std = np.sqrt(np.einsum("ncl,ncl->nc", centred, centred) / signals.shape[2])
    std[_is_rounding(std, mean, signals.dtype)] = 0
    return centred, mean, std


def _is_rounding(std: np.ndarray, mean: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Whether a deviation around `mean` is no more than stored numbers of this type are off."""
    # Below its last digit a stored number is rounding alone, and dividing would blow it up. A
    # deviation below float32's least normal number may count as 0, and nothing divides by that.
    is_float64 = dtype.kind != "f" or dtype.itemsize > 4
    digit = np.finfo(np.float64 if is_float64 else np.float32).eps
    return np.asarray(std <= np.maximum(digit * np.abs(mean), np.finfo(np.float32).tiny))


def fit_normalisation(
    signals: Signals,
    train_indices: np.ndarray,
    kind: str = "channel",
    frontend: Frontend | None = None,
) -> Normalisation:
    """Measure what a normalisation of this kind takes, over the training cases.

    Parameters
    ----------
    signals : Signals
        (N, C, L).
    train_indices : np.ndarray
        int64, at least one.
    kind : {"channel", "case", "both", "none"}
    frontend : Frontend or None
        What comes before.

    Notes
    -----
    Blocks are merged by the pairwise update of Chan, Golub and LeVeque (1979), in float64: a
    plain sum of squares loses a small signal on a large offset, such as air pressure in pascal.
    """
    if frontend is not None:
        signals = Seen(signals, frontend)
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
    constant = _is_rounding(std, mean, signals.dtype)
    amplitudes = _fit_amplitudes(signals, train_indices) if kind == "both" else None
    std = np.where(constant, 1.0, std)
    return Normalisation(mean, std, constant, kind, amplitudes, frontend)


def _fit_amplitudes(signals: Signals, train_indices: np.ndarray) -> Amplitudes:
    levels, spreads = _levels_and_spreads(signals, np.sort(train_indices))
    moving = spreads > 0
    least = np.where(moving, spreads, np.inf).min(axis=0)
    least = np.where(np.isfinite(least), least, 1.0)  # a channel that is flat in every case
    logs = np.log(np.maximum(spreads, least))
    typical = np.exp(logs.mean(axis=0))
    level_std, log_std = levels.std(axis=0), logs.std(axis=0)
    digit = np.finfo(np.float32).eps * np.abs(levels).max(axis=0)
    return Amplitudes(
        level_mean=levels.mean(axis=0),
        level_std=np.where(level_std > np.maximum(ROUNDING * typical, digit), level_std, typical),
        spread_mean=logs.mean(axis=0),
        spread_std=np.where(log_std > ROUNDING, log_std, 1.0),
        spread_least=least,
    )


def _levels_and_spreads(signals: Signals, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel of some cases, float64 (N, C)."""
    levels, spreads = [], []
    for _, stored in iterate_blocks(signals, indices):
        _, level, spread = _by_case(stored)
        levels.append(level)
        spreads.append(spread)
    return np.concatenate(levels), np.concatenate(spreads)


def choose_kind(signals: Signals, train_indices: np.ndarray) -> tuple[str, float]:
    """The kind that the training part asks for, and how many times its cases' amplitudes lie
    apart: the 97.5th over the 2.5th percentile of their spreads, in the channel where they do most.

    `both` from `APART` times on, `channel` below: see docs/data.md for the figures behind it.
    """
    some = np.sort(train_indices)
    _, num_channels, length = signals.shape
    most = max(FEWEST, min(LOOKED_AT, LOOK_BYTES // (8 * num_channels * length)))
    if len(some) > most:
        some = some[np.linspace(0, len(some) - 1, most).astype(np.int64)]
    _, spreads = _levels_and_spreads(signals, some)
    apart = 1.0
    for own in spreads.T:
        moving = np.sort(own[own > 0])
        if len(moving) >= FEWEST:
            few = max(1, len(moving) // 40)
            apart = max(apart, float(moving[-1 - few] / moving[few]))
    return ("both" if apart >= APART else "channel"), apart
