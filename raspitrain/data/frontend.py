"""Front ends: what a network sees of sound and vibration is their spectrum, computed on the way.

Of each channel of a window (L samples) spectra are taken, F = 1 + (L - window) // hop of them, each
weighted as Hann did, and what falls into a band becomes one number: the logarithm of its power. The
bands of a channel stand where the channel stood: (C, L) becomes (C x bands, F). It is computed
before normalisation, of raw windows, and kept with a model; `raspitrain.use` has the same in C.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from raspitrain.data.bands import (
    KINDS,
    LEAST_WINDOW,
    MOST_BANDS,
    MOST_WINDOW,
    bands_of,
    fft_size,
    hann,
)
from raspitrain.data.cases import Signals, iterate_blocks
from raspitrain.data.span import Span
from raspitrain.errors import InputError

FEWEST_FRAMES = 8  # that networks take
EVERY_FREQUENCY = 64  # up to so many, auto gives each a band of its own
AUTO_SHARE = 6  # of a case, that a window takes at most
LOOKED_AT = 1024  # training cases that the floor is measured on


@dataclass(frozen=True)
class Frontend:
    """A front end for signals of one rate.

    Attributes
    ----------
    kind : {"logmel", "spectrum"}
    window, hop : int
        In samples.
    bands : int or None
        None for a band each frequency.
    low, high, rate : float
        Hz; shares of the rate, which is 1 then, where that is not known.
    floor : float
        The least power, added to that of each band.
    """

    kind: str
    window: int
    hop: int
    bands: int | None
    low: float
    high: float
    rate: float
    floor: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS or not self.floor > 0:
            raise ValueError(self.kind)

    def record(self) -> dict[str, Any]:
        """Plain values, from which `Frontend(**record)` makes it again."""
        return asdict(self)

    @cached_property
    def num_bands(self) -> int:
        return len(self._bands)

    @cached_property
    def _bands(self) -> list[tuple[int, list[float]]]:
        return bands_of(self.kind, self.window, self.bands, self.low, self.high, self.rate)

    @cached_property
    def _weights(self) -> np.ndarray:
        """float64 (frequencies, bands)."""
        weights = np.zeros((fft_size(self.window) // 2 + 1, self.num_bands))
        for k, (first, own) in enumerate(self._bands):
            weights[first : first + len(own), k] = own
        return weights

    @cached_property
    def used(self) -> np.ndarray:
        """The frequencies that are in any band."""
        return np.flatnonzero(self._weights.any(axis=1))

    @cached_property
    def _hann(self) -> np.ndarray:
        return np.array(hann(self.window))

    def num_frames(self, length: int) -> int:
        return 1 + (length - self.window) // self.hop

    def words(self, length: int) -> str:
        """What it makes of a window of `length` samples, in a clause."""
        span = ""
        if self.rate != 1:
            span = f" from {self.low:g} to {self.high:g} Hz"
        return (
            f"{self.num_bands} bands{span} of each channel, {self.num_frames(length)} spectra of a "
            f"window ({self.window} samples, one each {self.hop})"
        )

    def powers(self, signals: np.ndarray) -> np.ndarray:
        """Power of each band, float64 (N, C, F, bands), of signals (N, C, L)."""
        frames = np.lib.stride_tricks.sliding_window_view(signals, self.window, axis=2)
        frames = frames[:, :, :: self.hop]
        spectra = np.fft.rfft(frames * self._hann, fft_size(self.window), axis=3)
        powers: np.ndarray = (spectra.real**2 + spectra.imag**2) @ self._weights
        return powers

    def matrices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same as products, float64: weighted cosines and sines (window, frequencies), and the
        bands' weights (frequencies, bands), of the frequencies that are `used`."""
        used = self.used
        angles = 2 * np.pi / fft_size(self.window) * np.outer(np.arange(self.window), used)
        weighted = self._hann[:, None]
        return weighted * np.cos(angles), weighted * np.sin(angles), self._weights[used]

    def apply(self, signals: np.ndarray) -> np.ndarray:
        """What a network sees, before normalisation: float32 (N, C x bands, F) of (N, C, L)."""
        seen = np.log(self.powers(signals) + self.floor).astype(np.float32)
        num_cases, num_channels, frames, bands = seen.shape
        return seen.transpose(0, 1, 3, 2).reshape(num_cases, num_channels * bands, frames)

    def names(self, channels: Sequence[str]) -> tuple[str, ...]:
        """What is shown of each of a network's channels."""
        step = self.rate / fft_size(self.window)
        middles = [step * (first + (len(own) - 1) / 2) for first, own in self._bands]
        unit = " Hz" if self.rate != 1 else " of the rate"
        return tuple(f"{name} at {hertz:.4g}{unit}" for name in channels for hertz in middles)


class Seen:
    """Signals (N, C x bands, F) behind a front end, computed when they are asked for."""

    def __init__(self, signals: Signals, frontend: Frontend) -> None:
        self._signals, self._frontend = signals, frontend
        num_cases, num_channels, length = signals.shape
        frames = frontend.num_frames(length)
        self.shape = (num_cases, num_channels * frontend.num_bands, frames)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        return self._frontend.apply(self._signals[indices])


def none() -> None:
    """No front end: a network sees the signals."""


def logmel(
    *,
    window: int | str,
    hop: int | str,
    bands: int,
    low: float,
    high: float | None,
    floor: float,
    length: int,
    rate: float | None,
) -> Frontend:
    """Bands as an ear has them.

    Parameters
    ----------
    window, hop : int or str
        Samples, or seconds as "0.032s".
    bands : int
    low, high : float
        Hz; a `high` of None is half the rate.
    floor : float
        A share of the training part's mean power: see `measured`.
    length : int
        Samples of a case.
    rate : float or None
        Samples a second.

    Raises
    ------
    InputError
        The rate is not known, or does not go with the rest.
    """
    if rate is None:
        raise InputError(
            "frontend=logmel needs to know how many samples a second there are, and the data do "
            "not say: name their column of time (dataset.time_column, dataset.time_unit), or for "
            "arrays dataset.rate."
        )
    size, step = (
        Span(f"frontend.{key}", value, least).samples(rate)
        for key, value, least in (("window", window, LEAST_WINDOW), ("hop", hop, 1))
    )
    return _checked("logmel", size, step, bands, low, high, floor, length, rate)


def spectrum(
    *,
    window: int | str,
    hop: int | str,
    bands: int | str,
    low: float,
    high: float | None,
    floor: float,
    length: int,
    rate: float | None,
) -> Frontend:
    """Bands of equal width; parameters as for `logmel`, window, hop and bands also "auto".

    Raises
    ------
    InputError
        The rate is not known and asked for, or does not go with the rest.
    """
    if rate is None and (low or high is not None):
        raise InputError(
            "frontend.low and frontend.high are in Hz, and the data do not say how many samples a "
            "second there are: leave them out, or name the column of time (dataset.time_column, "
            "dataset.time_unit), or for arrays dataset.rate."
        )
    size = max(LEAST_WINDOW, 1 << max(0, (length // AUTO_SHARE).bit_length() - 1))
    if window != "auto":
        size = Span("frontend.window", window, LEAST_WINDOW).samples(rate)
    step = size // 2 if hop == "auto" else Span("frontend.hop", hop, 1).samples(rate)
    wanted: int | None = None
    if bands != "auto":
        wanted = int(bands)
    elif fft_size(size) // 2 + 1 > EVERY_FREQUENCY:
        wanted = EVERY_FREQUENCY
    return _checked("spectrum", size, step, wanted, low, high, floor, length, rate or 1.0)


def _checked(
    kind: str, window: int, hop: int, bands: int | None, low: float, high: float | None,
    floor: float, length: int, rate: float,
) -> Frontend:  # fmt: skip
    if window > min(length, MOST_WINDOW):
        raise InputError(
            f"frontend.window is {window} samples, and a case has {length}: make it shorter, or "
            "cases longer (dataset.length)."
        )
    top = rate / 2 if high is None else high
    if top > rate / 2 * (1 + 1e-9) or low >= top:
        raise InputError(
            f"frontend.low is {low:g} Hz and frontend.high {top:g}: they must rise, up to half the "
            f"rate, {rate / 2:g} Hz."
        )
    made = Frontend(kind, window, hop, bands, float(low), float(top), float(rate), float(floor))
    if made.num_bands > MOST_BANDS:
        raise InputError(
            f"frontend.bands comes to {made.num_bands}, but may be at most {MOST_BANDS}."
        )
    if (frames := made.num_frames(length)) < FEWEST_FRAMES:
        raise InputError(
            f"frontend={kind} makes {frames} spectr{'um' if frames == 1 else 'a'} of a case of "
            f"{length} samples (windows of {window}, one each {hop}), and a network needs "
            f"{FEWEST_FRAMES}: make frontend.hop or frontend.window shorter, or cases longer "
            "(dataset.length)."
        )
    return made


def measured(frontend: Frontend, signals: Signals, train_indices: np.ndarray) -> Frontend:
    """The front end with its floor in the signals' own unit: that share of the mean power of a
    band over training cases, so that it means the same for volts and microvolts."""
    some = np.sort(train_indices)
    if len(some) > LOOKED_AT:
        some = some[np.linspace(0, len(some) - 1, LOOKED_AT).astype(np.int64)]
    blocks = [
        frontend.powers(block).mean(axis=(1, 2, 3)) for _, block in iterate_blocks(signals, some)
    ]
    mean = float(np.concatenate(blocks).mean())
    # Float64 has room for what a float32's square may be; all zeros have no power.
    return replace(frontend, floor=frontend.floor * mean if mean > 0 else 1e-30)
