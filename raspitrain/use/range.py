"""Whether samples look like those of training: another unit, another axis, a loose wire."""

from collections.abc import Sequence
from typing import Any

from raspitrain.use.model import Model

MARGIN = 0.1  # of the span between training's quantiles, beyond them
MOST_OUTSIDE = 0.1  # of a window; in training a five hundredth is
LIKELY = (
    (9.80665, "m/s² where g was learnt"),
    (1 / 9.80665, "g where m/s² was learnt"),
    (57.29578, "degrees where radians were learnt"),
    (1 / 57.29578, "radians where degrees were learnt"),
    (32768.0, "integers of a converter where parts of full scale were learnt"),
    (1 / 32768, "parts of full scale where integers of a converter were learnt"),
    (1000.0, "a unit a thousand times as small as the one that was learnt, as mV for V"),
    (1e-3, "a unit a thousand times as large as the one that was learnt, as V for mV"),
)
CLOSE = 0.4  # share by which a factor may be off: one window need not reach training's extremes


class OutOfRange:
    """Counts the values of the last window that lie outside training's quantiles."""

    def __init__(self, model: Model) -> None:
        self._quantiles = model.header["input"].get("quantiles")
        self._length = model.length
        self._names = model.channels
        self._limits: list[tuple[float, float]] = []
        for low, _, high in self._quantiles or ():
            beyond = MARGIN * (high - low)
            self._limits.append((low - beyond, high + beyond))
        self.restart()

    def restart(self) -> None:
        channels = len(self._limits)
        self._flags = [bytearray(self._length) for _ in range(channels)]
        self._counts = [0] * channels
        self._at = 0

    def push(self, sample: list[float]) -> None:
        """Take a sample (C,). What is missing is not outside."""
        at = self._at
        for channel, (low, high) in enumerate(self._limits):
            value = sample[channel]
            outside = value < low or value > high
            flags = self._flags[channel]
            if flags[at] != outside:
                self._counts[channel] += 1 if outside else -1
                flags[at] = outside
        self._at = at + 1 if at + 1 < self._length else 0

    def of_window(self, window: Sequence[Sequence[float]]) -> list[int]:
        """Channels of which too much of a whole window (C, L) lies outside."""
        most, found = MOST_OUTSIDE * self._length, []
        for channel, (low, high) in enumerate(self._limits):
            values = window[channel]
            if min(values) >= low and max(values) <= high:  # as nearly always, and fast
                continue
            if sum(value < low or value > high for value in values) > most:
                found.append(channel)
        return found

    def channels(self) -> list[int]:
        """Channels of which too much of the window lies outside."""
        most = MOST_OUTSIDE * self._length
        return [channel for channel, count in enumerate(self._counts) if count > most]

    def facts(self, channel: int, values: list[float]) -> dict[str, Any]:
        """What to say of a channel, from the values of its window."""
        low, _, high = self._quantiles[channel]
        known = [value for value in values if value - value == 0] or [0.0]
        found: dict[str, Any] = {
            "channel": self._names[channel],
            "min": min(known),
            "max": max(known),
            "trained_min": low,
            "trained_max": high,
        }
        largest = max(abs(low), abs(high))
        if largest > 0:
            factor = max(map(abs, known)) / largest
            for likely, text in LIKELY:
                if abs(factor / likely - 1) < CLOSE:
                    found["maybe"] = text
        return found
