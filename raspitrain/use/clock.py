"""What stamps say, one after another: the rate, a gap, a clock that goes back.

A recording and a stream of the same samples have their windows cut at the same places, as what is
said of a stamp depends on those before it alone.
"""

from collections import deque
from math import log

from raspitrain.errors import InputError

GAP = 3.0  # usual steps; what is longer is a gap, as in training
DAY = 86_400.0
NUM_LEARNT = 9  # steps that say what is usual
NUM_KEPT = 257  # changes of the stamp that the rate is measured over
LEAST_CHANGES = 17  # that a rate is told from
AT_THE_RATE = "have them sent at that rate; of recordings, predict and calibrate bring any to it"
TICKS = (1.0, 1e3, 1e6, 1e9)  # a second in the units that clocks count in


class Clock:
    """Listens to stamps.

    Samples that come in packets have one stamp each packet, and count as spread evenly.

    Parameters
    ----------
    ticks : what the stamps count in a second; None to tell by the rate
    rate : samples a second that there should be

    Attributes
    ----------
    past : ticks of the days that are over, where stamps are the time of day
    """

    def __init__(self, ticks: float | None, rate: float | None) -> None:
        self.ticks, self._expected = ticks, rate
        self._step: float | None = None
        self._held: list[tuple[float, int]] = []
        self._last: float | None = None
        self._apart = self._index = self._strange = 0
        self._changes: deque[tuple[float, int]] = deque(maxlen=NUM_KEPT)
        self._whole_steps, self._whole_samples, self._num_whole = 0.0, 0, 0
        self.num_forward = 0
        self.past = 0.0

    def tell(self, stamp: float) -> str | None:
        """Listen to the next sample's stamp, NaN where it is not known; say "gap" or "backwards"
        where a new stretch begins with this sample."""
        self._index += 1
        self._apart += 1
        if stamp != stamp:
            return None
        stamp += self.past
        if self._last is None:
            self._begin(stamp)
            return None
        step, apart = stamp - self._last, self._apart
        day = DAY * (self.ticks or 1.0)
        if step < 0 < step + day <= GAP * (self._step or 0.0) * apart:  # midnight
            self.past, step, stamp = self.past + day, step + day, stamp + day
        if step == 0:
            return None
        if step < 0 or step - step != 0:
            self._begin(stamp)
            return "backwards"
        self._last, self._apart = stamp, 0
        self.num_forward += 1
        if self._step is None:
            self._held.append((step, apart))
            self._changes.append((stamp, self._index))
            if len(self._held) == NUM_LEARNT and self._learn():
                self._begin(stamp)
                return "gap"
            return None
        if step > GAP * self._step * apart * (1 + 1e-9):
            self._begin(stamp)
            self._strange += 1
            if self._strange == NUM_LEARNT:  # what was usual is so no more
                self._step, self._strange = None, 0
            return "gap"
        self._strange = 0
        self._changes.append((stamp, self._index))
        self._count(step, apart)
        return None

    def _begin(self, stamp: float) -> None:
        self._last, self._apart = stamp, 0
        self._changes.clear()
        self._changes.append((stamp, self._index))

    def _count(self, step: float, apart: int) -> None:
        self._whole_steps += step
        self._whole_samples += apart
        self._num_whole += 1

    def _learn(self) -> bool:
        """Settle what step is usual; whether one of those held was a gap."""
        held, self._held = self._held, []
        if len(held) > 1 and any(apart > 1 for _, apart in held):
            held = held[1:]  # a stream may begin within a packet
        even = sorted(step / apart for step, apart in held)
        self._step = even[len(even) // 2]
        if self.ticks is None and self._expected is not None:
            found, expected = self._step, self._expected
            self.ticks = min(TICKS, key=lambda ticks: abs(log(ticks / found / expected)))
        for step, apart in held:
            if step <= GAP * self._step * apart:
                self._count(step, apart)
        return even[-1] > GAP * self._step * (1 + 1e-9)

    @property
    def rate(self) -> float | None:
        """Samples a second of late; None where that is not known yet."""
        if self.ticks is None or len(self._changes) < LEAST_CHANGES:
            return None
        (first, begin), (last, end) = self._changes[0], self._changes[-1]
        return (end - begin) / (last - first) * self.ticks

    @property
    def precision(self) -> float:
        """Share by which `rate` may be off for want of stamps."""
        return 1 / len(self._changes)

    def mean_rate(self) -> tuple[float, float] | None:
        """Samples a second over all stretches, and the share by which that may be off; None where
        no stamps tell."""
        if self._step is None and self._held:
            self._learn()
        if self.ticks is None or not self._num_whole:
            return None
        return self._whole_samples / self._whole_steps * self.ticks, 1 / self._num_whole


class Arrivals:
    """Measures the rate by when samples arrive, where they bear no stamps."""

    LEAST_SECONDS = 10.0
    EVERY = 0.5
    PRECISION = 0.02  # chunks of a serial line, and whoever wakes us late

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=61)

    def tell(self, now: float, num_samples: int) -> None:
        if not self._seen or now - self._seen[-1][0] >= self.EVERY:
            self._seen.append((now, num_samples))

    def clear(self) -> None:
        self._seen.clear()

    @property
    def rate(self) -> float | None:
        if not self._seen or self._seen[-1][0] - self._seen[0][0] < self.LEAST_SECONDS:
            return None
        (first, begin), (last, end) = self._seen[0], self._seen[-1]
        return (end - begin) / (last - first)


def check_rate(rate: float, expected: float, tolerance: float, source: str) -> None:
    """Raise InputError where a rate is not the one that a model was trained at."""
    if is_off(rate, expected, tolerance):
        raise InputError(
            f"{source} has {rate:.6g} samples a second, and the model was trained at "
            f"{expected:g}: {AT_THE_RATE}."
        )


def is_off(rate: float, expected: float, tolerance: float) -> bool:
    return abs(rate - expected) > tolerance * expected
