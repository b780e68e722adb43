"""Bring a signal to another rate without aliases: windowed-sinc interpolation."""

import numpy as np

ZERO_CROSSINGS = 24  # of the sinc, on each side: the filter's length
BETA = 9.0  # of Kaiser's window: below -90 dB outside the band
PASSED = 0.92  # of the narrower band's half rate, where the filter begins to fall off
AT_ONCE = 4_000_000  # weights computed at once: 32 MB


def resample(signals: np.ndarray, seconds: np.ndarray, rate: float) -> np.ndarray:
    """Bring signals to an even rate.

    Parameters
    ----------
    signals : np.ndarray
        float32 or float64 (C, T), finite.
    seconds : np.ndarray
        float64 (T,), when each sample was taken; never going back.
    rate : float
        Samples a second that are wanted.

    Returns
    -------
    np.ndarray
        (C, T') of the same type, the first sample at the time of the first one given.

    Notes
    -----
    Where the rate goes down, what the new one cannot show is filtered out first: by 80 dB from
    1.08 times half the new rate on. Weights add up to 1, so that a constant stays one; beyond its
    ends the signal is taken as mirrored. Uneven stamps are followed by linear interpolation of the
    position between samples.
    Kaiser window: Oppenheim and Schafer, Discrete-Time Signal Processing.
    """
    stands = np.concatenate([[True], np.diff(seconds) > 0])
    known = np.flatnonzero(stands)
    if len(known) < 2:
        return signals[:, :1]
    duration = seconds[-1] - seconds[0]
    # Of samples with one stamp between them, those after the first are spread up to the next one.
    times = np.arange(int(np.floor(duration * rate + 1e-6)) + 1) / rate + seconds[0]
    positions = np.interp(times, seconds[known], known.astype(np.float64))
    own_rate = (known[-1] - known[0]) / (seconds[known[-1]] - seconds[known[0]])
    cutoff = PASSED * min(1.0, rate / own_rate)  # of half the old rate
    half = int(np.ceil(ZERO_CROSSINGS / cutoff))
    if signals.shape[1] == 1:
        padded = np.repeat(signals, 2 * half + 1, axis=1)
    else:
        padded = np.pad(signals, ((0, 0), (half, half)), mode="reflect", reflect_type="odd")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=1)
    middle = np.floor(positions + 0.5).astype(np.int64)
    phases, phase_of = np.unique(np.round(positions - middle, 9), return_inverse=True)
    out = np.empty((len(signals), len(positions)), dtype=signals.dtype)
    rows = max(1, AT_ONCE // (2 * half + 1) // len(signals))
    few = len(phases) <= rows  # as where both rates are even
    table = _weights(phases, cutoff, half) if few else None
    for start in range(0, len(positions), rows):
        part = slice(start, start + rows)
        if table is None:
            weights = _weights(phases[phase_of[part]], cutoff, half)
        else:
            weights = table[phase_of[part]]
        out[:, part] = np.einsum("crt,rt->cr", windows[:, middle[part]], weights)
    return out


def _weights(phases: np.ndarray, cutoff: float, half: int) -> np.ndarray:
    """Of the samples around a position: (rows, 2 half + 1), each row adding up to 1."""
    away = phases[:, None] - np.arange(-half, half + 1)
    window = np.i0(BETA * np.sqrt(np.clip(1 - (away / (half + 1)) ** 2, 0, None)))
    weights = np.sinc(cutoff * away) * window
    return weights / weights.sum(axis=1, keepdims=True)


def hold(signals: np.ndarray, seconds: np.ndarray, rate: float) -> np.ndarray:
    """The same for levels that hold until the next sample."""
    times = np.arange(int(np.floor((seconds[-1] - seconds[0]) * rate + 1e-6)) + 1) / rate
    return signals[:, np.searchsorted(seconds - seconds[0], times + 1e-9 / rate, side="right") - 1]
