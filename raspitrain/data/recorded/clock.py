"""What a column of time says: the rate, and where a recording has gaps or its clock goes back."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from raspitrain.data.files.time_names import SECONDS

LEAST_LOST = 0.01  # of the steps, from which samples are said to be lost
OFF = 0.25  # of the usual step, so far others lie from it, or from twice it
MOSTLY = 0.9  # of them
LEAST_EPOCH = 1e9  # seconds since 1970, and any smaller unit
GAP = 3.0  # steps; what is longer is a gap
UNEVEN = 4.0  # times as long as the short steps are the long ones: more than the jitter of a clock
# Since 1970, but for the last two, from 2001 to 2096; the smaller ones are no plausible time in
# another unit.
EPOCHS = (
    ("ns", 1e18, 4e18), ("us", 1e15, 4e15), ("ms", 1e12, 4e12), ("s", 1e9, 4e9),
    ("100ns", 6.31e17, 6.62e17), ("100ns", 1.26e17, 1.57e17),  # since the year 1, and 1601: Windows
)  # fmt: skip
LONGEST_STEP = 3600.0  # seconds, up to which any step from a moment since 1970 is plausible
SHORTEST_HOURS = 1e-8  # below that nobody counts in hours or days: an oscilloscope's seconds
SPREADSHEET_DAYS = (36_500.0, 55_000.0)  # since 1900, from 2000 to 2050


@dataclass(frozen=True)
class Clock:
    """What a column of time says about one recording.

    Attributes
    ----------
    start : float
        Of the first sample, in seconds; in the column's own unit where that is not known.
    seconds : Seconds or EvenSeconds
        (T,), from the first sample on; likewise.
    rate : float or None
        Samples a second; None where the unit is not known or no two samples differ.
    step : float
        The usual step, in the column's own unit.
    unit : str or None
        That unit.
    cuts : np.ndarray
        int64: samples at which a new stretch begins, after a gap or a step back.
    num_gaps, num_back : int
    longest_gap : float
        In seconds, or the column's unit.
    uneven : tuple of (float, float) or None
        Likewise the steps that a tenth are shorter than, and a tenth longer, gaps left out, where
        these lie far apart.
    lost : float
        The share of samples that were not written: steps are two or three times the usual one, and
        nearly all others that one. The rate is that of the samples between.
    """

    start: float
    seconds: "Seconds | EvenSeconds"
    rate: float | None
    step: float
    unit: str | None
    cuts: np.ndarray
    num_gaps: int
    num_back: int
    longest_gap: float
    uneven: tuple[float, float] | None = None
    lost: float = 0.0


def unit_by_values(values: np.ndarray, step: float) -> str | None:
    """The unit that fits the values and their usual step; None where several would."""
    some = values[:: 1 + len(values) // 1000]
    middle = float(np.median(np.abs(some)))
    for unit, low, high in EPOCHS:
        most = 0.0 if unit == "s" else LONGEST_STEP / SECONDS[unit]
        if low <= middle < high and (step <= most or _may_be_seconds(round(step * SECONDS[unit]))):
            return unit
    if SPREADSHEET_DAYS[0] <= middle < SPREADSHEET_DAYS[1] and 0 < step < 1e-5:
        return "d"
    if 0 < step < SHORTEST_HOURS:
        return "s"
    if step <= 0 or step in (1, 1e3, 1e6, 1e9):
        return None  # a count, or once a second in one unit and a thousand times in the next
    if 0.5 < step < 2 and _are_moments(values[:1000]):
        return "s"
    for unit in ("s", "ms", "us", "ns"):
        if 2 <= 1 / (step * SECONDS[unit]) < 2000:
            return unit
    return None


def _are_moments(values: np.ndarray) -> bool:
    """Whether fractions follow each other unevenly, as heartbeats do in seconds, and no sensor that
    is read a thousand times a second."""
    steps = np.diff(values)
    if not (steps > 0).any() or np.array_equal(values, np.floor(values)):
        return False
    short, long = np.percentile(steps[steps > 0], [10, 90]).tolist()
    return bool(long > 1.05 * short)


def _may_be_seconds(step: float) -> bool:
    """Whether samples may be that many seconds apart: seldom ones come so many times a day, or
    every few days; 16,667 are microseconds of a device that has been on for a while."""
    return step <= 60 or 86_400 % step == 0 or step % 86_400 == 0


def read_clock(values: np.ndarray, *, unit: str | None, is_time_of_day: bool = False) -> Clock:
    """Look at a column of time.

    Stamps that stand still, as where samples come in packets, count as spread evenly up to the
    next one.

    Parameters
    ----------
    values : np.ndarray
        float64 (T,), at least one; NaN where a stamp is missing.
    unit : str or None
        A key of `SECONDS`; None to tell by the values.
    is_time_of_day : bool
        Whether the values, in seconds, begin anew at midnight.
    """
    values = values.astype(np.float64, copy=False)
    is_known = np.isfinite(values)
    if not is_known.all():
        known = np.flatnonzero(is_known)
        places = np.arange(len(values))
        values = np.interp(places, known, values[known]) if len(known) else np.zeros(len(values))
    start = float(values[0])
    steps = np.diff(values)
    if is_time_of_day:
        midnight = steps < -SECONDS["h"] * 12
        values = values + np.concatenate([[0], np.cumsum(midnight)]) * SECONDS["d"]
        steps = np.diff(values)
    if len(steps) and steps.min() > 0 and steps.max() <= GAP * steps.min():
        return _even_clock_of(values, steps, unit)
    forward = np.flatnonzero(steps > 0)
    back = np.flatnonzero(steps < 0)
    moves = np.flatnonzero(steps != 0)
    # How many samples lie between a stamp and the one before that differs from it.
    apart = np.ones(len(steps))
    apart[moves] = np.diff(np.concatenate([[-1], moves]))
    even = steps[forward] / apart[forward]
    step = float(np.median(even)) if len(even) else 0.0
    in_packets = False
    if len(moves) and apart[moves].max() > 1:
        # In packets the first and the last may be cut: what is usual between whole ones.
        step = float(np.median(even[1:])) if len(even) > 2 else step
        in_packets = True
    too_long = forward[even > GAP * step * (1 + 1e-9)]
    cuts = np.sort(np.concatenate([too_long, back])) + 1
    whole = np.setdiff1d(forward, too_long, assume_unique=True)
    if in_packets and len(whole) > 2 and whole[0] == moves[0]:
        whole = whole[1:]
    if unit is None:
        unit = unit_by_values(values, step)
    scale = SECONDS[unit] if unit is not None else 1.0
    usual = even[even <= GAP * step * (1 + 1e-9)]
    short, long = np.percentile(usual, [10, 90]).tolist() if len(usual) else (0.0, 0.0)
    mean = float(steps[whole].sum() / apart[whole].sum()) if len(whole) else 0.0
    lost, mean = (0.0, mean) if in_packets else _lost(steps[whole])
    return Clock(
        start=start * scale,
        seconds=Seconds(values, float(values[0]), scale),
        rate=1 / (mean * scale) if unit is not None and mean > 0 else None,
        step=mean,
        unit=unit,
        cuts=cuts.astype(np.int64),
        num_gaps=len(too_long),
        num_back=len(back),
        longest_gap=float(steps[too_long].max() * scale) if len(too_long) else 0.0,
        uneven=(short * scale, long * scale) if long > UNEVEN * short and not lost else None,
        lost=lost,
    )


def _lost(steps: np.ndarray) -> tuple[float, float]:
    """The share of samples that were not written, and the mean step between the others."""
    if not len(steps):
        return 0.0, 0.0
    times = steps / np.median(steps)
    usual = times < 1.5
    mean = float(steps[usual].mean())
    far = times[~usual] if len(steps) - usual.sum() > LEAST_LOST * len(steps) else times[:0]
    whole = np.round(far)
    if (
        not len(far)
        or np.mean(usual[1:][~usual[:-1]]) < 0.5  # one behind the other, as at another rate
        or np.mean(np.abs(times[usual] - 1) < OFF) < MOSTLY
        or np.mean(np.abs(far - whole) < OFF) < MOSTLY
    ):
        return 0.0, float(steps.mean())
    missing = float(whole.sum() - len(far))
    return missing / (len(steps) + missing), mean


def _even_clock_of(values: np.ndarray, steps: np.ndarray, unit: str | None) -> Clock:
    """Of stamps that rise without a gap, as most do: there is less to look at."""
    if unit is None:
        unit = unit_by_values(values, float(np.median(steps[:: 1 + len(steps) // 1000])))
    scale = SECONDS[unit] if unit is not None else 1.0
    alike = steps.max() < 1.5 * steps.min()
    lost, mean = (0.0, float(steps.mean())) if alike else _lost(steps)
    return Clock(
        start=float(values[0]) * scale,
        seconds=Seconds(values, float(values[0]), scale),
        rate=None if unit is None else 1 / (mean * scale),
        step=mean,
        unit=unit,
        cuts=np.empty(0, np.int64),
        num_gaps=0,
        num_back=0,
        longest_gap=0.0,
        lost=lost,
    )


class Seconds:
    """When samples were taken, from the first on: computed of the column where it is asked for, as
    that may be mapped from a file and not be in memory."""

    def __init__(self, values: np.ndarray, first: float, scale: float) -> None:
        self._values, self._first, self._scale = values, first, scale

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: Any, /) -> Any:
        return (self._values[index] - self._first) * self._scale


class EvenSeconds:
    """When each of evenly spaced samples was taken, computed where it is asked for: of an hour of
    sound the array would be twice as large as the sound."""

    def __init__(self, length: int, rate: float) -> None:
        self._length, self._rate = length, rate

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any, /) -> Any:
        if isinstance(index, slice):
            return np.arange(*index.indices(self._length)) / self._rate
        if isinstance(index, np.ndarray):
            return index / self._rate
        return (index + self._length if index < 0 else index) / self._rate


def even_clock(length: int, rate: float, start: float = 0.0) -> Clock:
    """The clock of a recording whose file says the rate alone."""
    seconds = EvenSeconds(length, rate)
    return Clock(start, seconds, rate, 1 / rate, "s", np.empty(0, np.int64), 0, 0, 0.0)
