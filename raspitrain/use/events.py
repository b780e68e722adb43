"""From the probabilities of windows, one after another, to events: when a class begins and ends.

    mean of the last `average` windows -> threshold with hysteresis -> suppression

A class begins where the mean of its probabilities reaches its threshold, and ends where that falls
below its release. After its end it cannot begin again for the time of the suppression. The steps
and their names are those of TensorFlow's RecognizeCommands and of Edge Impulse's runner.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from raspitrain.errors import InputError
from raspitrain.use.model import Model

AVERAGE = 3  # windows
THRESHOLD = 0.8
RELEASE_BELOW = 0.1  # the threshold
SUPPRESS_SECONDS = 1.0
MOST_AVERAGED = 10_000


class Trigger:
    """Threshold, hysteresis and suppression of one class.

    Attributes
    ----------
    since : when it began
    peak : the highest score since then
    """

    __slots__ = ("_free_at", "_release", "_suppress", "_threshold", "is_on", "peak", "since")

    def __init__(self, threshold: float, release: float, suppress: float) -> None:
        self._threshold, self._release, self._suppress = threshold, release, suppress
        self._free_at = float("-inf")
        self.is_on = False
        self.since = self.peak = 0.0

    def feed(self, time: float, score: float) -> int:
        """1 where the class begins with this window, -1 where it ends, else 0; times rise."""
        if self.is_on:
            if score >= self._release:
                self.peak = max(self.peak, score)
                return 0
            self.end(time)
            return -1
        if score >= self._threshold and time >= self._free_at:
            self.is_on, self.since, self.peak = True, time, score
            return 1
        return 0

    def end(self, time: float) -> None:
        self.is_on, self._free_at = False, time + self._suppress


class Settings(NamedTuple):
    """How events are made."""

    average: int  # windows whose probabilities are averaged
    thresholds: dict[str, float]  # of each class that has events
    releases: dict[str, float]
    suppress: float  # seconds; samples where the rate is not known
    calibration: dict[str, Any] | None  # figures that the thresholds were chosen by, if they were

    def trigger(self, name: str) -> Trigger:
        return Trigger(self.thresholds[name], self.releases[name], self.suppress)


class Average:
    """The mean of the last probabilities (K,); None until there are enough of them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._last: deque[Sequence[float]] = deque(maxlen=count)

    def feed(self, probabilities: Sequence[float]) -> list[float] | None:
        self._last.append(probabilities)
        if len(self._last) < self._count:
            return None
        return [sum(values) / self._count for values in zip(*self._last, strict=True)]

    def clear(self) -> None:
        self._last.clear()


def settings_for(
    model: Model,
    rate: float | None,
    *,
    hop: int | None = None,
    average: int | None = None,
    thresholds: Sequence[str] = (),
    releases: Sequence[str] = (),
    suppress: str | None = None,
    background: Sequence[str] = (),
) -> Settings:
    """The model's own settings, if it was calibrated, and what the command line says in their
    place.

    Parameters
    ----------
    rate : samples a second, or None
    hop : samples from a window to the next
    thresholds, releases : "0.8" for all classes, "walk=0.8" for one
    suppress : "2s", "500ms", or a number of samples
    background : classes without events

    Raises
    ------
    InputError
        A value is out of range, or a class is not the model's.
    """
    own: dict[str, Any] = model.header["output"].get("events") or {}
    calibrated: dict[str, float] = own.get("thresholds", {})
    if own and not background:
        background = [name for name in model.classes if name not in calibrated]
    for name in background:
        _known(model, name, "--background")
    names = [name for name in model.classes if name not in background]
    if not names:
        raise InputError("--background names every class: there is nothing to tell of.")
    given = _shares(model, thresholds, "--threshold")
    limits = {name: given.get(name, calibrated.get(name, THRESHOLD)) for name in names}
    let_go = _shares(model, releases, "--release")
    kept = {n: v for n, v in own.get("releases", {}).items() if n not in given}
    below = {
        name: let_go.get(name, kept.get(name, round(max(0.0, limits[name] - RELEASE_BELOW), 6)))
        for name in names
    }
    for name in names:
        if below[name] > limits[name]:
            raise InputError(
                f"--release of {name} is {below[name]:g}, but must not be above its threshold, "
                f"{limits[name]:g}."
            )
    if average is None:
        average = own.get("average", AVERAGE)
    if not 1 <= average <= MOST_AVERAGED:
        raise InputError(f"--average is {average}, but must be from 1 to {MOST_AVERAGED}.")
    if suppress is None:
        quiet = own.get("suppress_seconds", SUPPRESS_SECONDS) if rate is not None else 0.0
    else:
        samples = in_samples(suppress, rate, "--suppress")
        quiet = samples / rate if rate is not None else samples
    changed = given or let_go or average != own.get("average")
    changed = changed or hop != own.get("hop") or quiet != own.get("suppress_seconds")
    return Settings(average, limits, below, quiet, None if changed else own.get("calibration"))


def in_samples(text: str, rate: float | None, option: str) -> float:
    """Samples of a span as "64", "0.5s" or "500ms".

    Raises
    ------
    InputError
        It is none, or in seconds where the rate is not known.
    """
    plain = text.strip().lower().replace(" ", "")
    unit = next((unit for unit in ("ms", "s", "min", "h") if plain.endswith(unit)), None)
    try:
        value = float(plain.removesuffix(unit or ""))
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e12 or "_" in plain:
        raise InputError(
            f"{option} is {text!r}, but must be a number of samples, or a time as 0.5s or 500ms."
        )
    if unit is not None:
        if rate is None:
            raise InputError(
                f"{option} is {text!r}, and no rate is known to turn it into samples: say the "
                "samples a second with --rate, or give samples."
            )
        value *= {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}[unit] * rate
    return value


def hop_of(model: Model, text: str | None, rate: float | None) -> int:
    """Samples from a window to the next: as --hop says, as calibrated, or as in training."""
    if text is None:
        events = model.header["output"].get("events") or {}
        return int(events.get("hop", model.hop))
    samples = round(in_samples(text, rate, "--hop"))
    if samples < 1:
        raise InputError(f"--hop is {text!r}, but must be 1 sample or more, or a time as 0.5s.")
    return samples


def _shares(model: Model, given: Sequence[str], option: str) -> dict[str, float]:
    for_all: dict[str, float] = {}
    for_one: dict[str, float] = {}
    for text in given:
        name, _, last = text.rpartition("=")
        try:
            value = float(last)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise InputError(f"{option} is {text!r}, but must be from 0 to 1, as 0.8 or walk=0.8.")
        if name:
            for_one[_known(model, name, option)] = value
        else:
            for_all = dict.fromkeys(model.classes, value)
    return for_all | for_one


def _known(model: Model, name: str, option: str) -> str:
    if name not in model.classes:
        from raspitrain.nearest import did_you_mean

        raise InputError(
            f"{option} names {name!r}, which is none of the model's classes: "
            f"{', '.join(model.classes[:20])}{did_you_mean(name, model.classes, 1) or '.'}"
        )
    return name
