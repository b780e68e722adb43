"""Which samples of a recording its annotations mean; also where numpy is not."""

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import nan
from typing import NamedTuple

from raspitrain.data.files.missing import is_missing
from raspitrain.data.files.time_names import SECONDS
from raspitrain.data.recorded.annotations import Annotation
from raspitrain.errors import InputError

DAY = 86_400.0
BASES = ("s", "clock", "samples")  # what numbers may count that do not say it
FEW = 0.1  # of a recording, from which on sample numbers may be meant
TOLERANCE = 0.01  # seconds, or one sample: what a mark set by hand may be off at a recording's end
NAMES = (
    "days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "tenths of microseconds",
    "nanoseconds",
)  # fmt: skip
WORDS_FOR = {
    "samples": "sample numbers",
    "clock": "times of the recordings' own column",
    **{unit: f"{name} from a recording's begin" for unit, name in zip(SECONDS, NAMES, strict=True)},
}


ELAPSED = re.compile(r"\s*(?:(\d+):(?=\d\d:))?(\d+):([0-5]\d(?:[.,]\d+)?)\s*")


class Timeline(NamedTuple):
    """When the samples of a recording were taken.

    Attributes
    ----------
    moments : sequence of float or None
        Seconds by its clock, which never fall; in the clock's own unit where that is not known.
    rate : float or None
        Samples a second.
    tick : float
        What the clock counts, in the unit of `moments`.
    goes_back : bool
    """

    num_samples: int
    moments: Sequence[float] | None
    rate: float | None
    tick: float = 1.0
    goes_back: bool = False


class Stretch(NamedTuple):
    """Samples first … last of one label."""

    label: str
    first: int
    last: int


class Placed(NamedTuple):
    """Annotations as samples.

    Attributes
    ----------
    stretches : list of list of Stretch
        Of each recording, in order.
    unit : str
        What the numbers were taken for, one of `UNITS`.
    also : str or None
        What they might count as well.
    same : frozenset of str
        Of `UNITS`, those that mean the same samples.
    num_points : int
        Annotations that no sample lies in.
    """

    stretches: list[list[Stretch]]
    unit: str
    also: str | None
    same: frozenset[str]
    num_points: int


class Marked(NamedTuple):
    """A recording and its annotations.

    Attributes
    ----------
    path : str
        Of the file of annotations.
    """

    name: str
    path: str
    rows: Sequence[Annotation]
    timeline: Timeline


def place(
    marked: Sequence[Marked], unit: str | None, read_moment: Callable[[str], float], key: str
) -> Placed:
    """Say which samples the annotations of recordings are.

    What numbers count is settled once for all: as the file's names say, else, of what fits every
    row, that which covers most.

    Parameters
    ----------
    unit : str or None
        One of `UNITS`; None to find out.
    read_moment : callable
        From the text of a date or a time of day to seconds, NaN where it is neither.
    key : str
        What the user sets the unit with.

    Raises
    ------
    InputError
        A row reaches past its recording, overlaps another, or ends before it begins.
    """
    if unit is None:
        chosen, also, same = _settle(marked, read_moment)
    else:  # the user's word counts more than a column's name
        chosen, also, same = unit, None, frozenset((unit,))
        marked = [each._replace(rows=[r._replace(unit=None) for r in each.rows]) for each in marked]
    stretches: list[list[Stretch]] = []
    num_points = 0
    for each in marked:
        if len(each.rows) == 1 and each.rows[0].start is None:  # all of it, whatever its clock says
            label, num_samples = each.rows[0].label, each.timeline.num_samples
            stretches.append([] if is_missing(label) else [Stretch(label, 0, num_samples - 1)])
            continue
        ruler = _Ruler(each, chosen, read_moment)
        own: list[Stretch] = []
        spans = [(*ruler.span(row, key), row) for row in each.rows]
        spans.sort(key=lambda span: span[:2])
        for (_, end, row), (start, _, after) in pairwise(
            span for span in spans if span[0] < span[1]
        ):
            if start < end - ruler.slack:
                raise InputError(
                    f"{each.path}, {row.entry}s {row.line} and {after.line}: '{row.label}' and "
                    f"'{after.label}' overlap in {each.name}, and a sample has one class; fix one."
                )
        for start, end, row in spans:
            first, stop = ruler.sample(start), ruler.sample(end)
            if own:
                first = max(first, own[-1].last + 1)
            if stop <= first:
                num_points += 1
            elif not is_missing(row.label):
                own.append(Stretch(row.label, first, stop - 1))
        stretches.append(own)
    return Placed(stretches, chosen, also, same, num_points)


def _settle(
    marked: Sequence[Marked], read_moment: Callable[[str], float]
) -> tuple[str, str | None, frozenset[str]]:
    """What numbers count that do not say it, what they might count as well, and which units mean
    the same samples."""
    marked = [each for each in marked if any(row.start is not None for row in each.rows)]
    if not marked:
        return "s", None, frozenset(BASES)
    numbers = [v for each in marked for row in each.rows for v in row[:2] if isinstance(v, float)]
    fits = {base: _fit(marked, base, read_moment) for base in BASES}
    whole = all(value.is_integer() for value in numbers)
    if not whole or 0 < max(fits["s"].share, fits["clock"].share) < 1:
        del fits["samples"]  # a time that is too late does not make samples of all
    fitting = [base for base, fit in fits.items() if fit.share == 1]
    if not fitting:
        chosen = max(fits, key=lambda base: fits[base].share)
        return chosen, None, frozenset((chosen,))
    most = max(fits[base].covers for base in fitting)
    # The clock before seconds, which may fit by chance.
    best = [base for base in fitting if fits[base].covers >= most * (1 - 1e-9)]
    chosen = "clock" if "clock" in best else best[0]
    meant = _places(marked, chosen, read_moment)
    others = [base for base in fitting if _places(marked, base, read_moment) != meant]
    if chosen != "samples" and "samples" in others and _at_begin(marked, max(numbers)):
        others.remove("samples")
    if chosen == "clock" and "s" in set(fitting) - set(others):
        chosen = "s"  # the same, and there may be no column of time
    return chosen, next(iter(others), None), frozenset(fitting) - frozenset(others)


def _at_begin(marked: Sequence[Marked], last: float) -> bool:
    """Whether numbers, if they were those of samples, would leave out nearly all of the recordings,
    as whole seconds do wherever many samples make a second."""
    return last < FEW * max(each.timeline.num_samples for each in marked)


def counted_as(unit: str, rows: Sequence[Annotation]) -> str:
    """What the numbers of rows were taken for, in words; "" where none tells a time by number."""
    if not any(isinstance(value, float) for row in rows for value in row[:2]):
        return ""
    own = {row.unit for row in rows if row.unit is not None}
    return WORDS_FOR[next(iter(own)) if len(own) == 1 and unit != "clock" else unit]


class _Fit(NamedTuple):
    """The share of rows that lie in their recordings, and of these the share that they cover."""

    share: float
    covers: float


def _fit(marked: Sequence[Marked], base: str, read_moment: Callable[[str], float]) -> _Fit:
    inside = count = 0
    covered, total = 0.0, 0
    for each in marked:
        ruler = _Ruler(each, base, read_moment)
        total += each.timeline.num_samples
        for row in each.rows:
            count += 1
            start, end = ruler.ends(row)
            if ruler.holds(start) and ruler.holds(end):
                inside += 1
                covered += max(0, ruler.sample(end) - ruler.sample(start))
    return _Fit(inside / max(count, 1), covered / max(total, 1))


def _places(
    marked: Sequence[Marked], base: str, read_moment: Callable[[str], float]
) -> list[tuple[int, int]]:
    rulers = ((row, _Ruler(each, base, read_moment)) for each in marked for row in each.rows)
    ends = ((ruler, *ruler.ends(row)) for row, ruler in rulers)
    return [(ruler.sample(start), ruler.sample(end)) for ruler, start, end in ends]


class _Ruler:
    """One recording's time, as its annotations count it: positions are seconds by its clock,
    seconds from its begin, or samples."""

    def __init__(self, marked: Marked, base: str, read_moment: Callable[[str], float]) -> None:
        self._marked, self._read_moment = marked, read_moment
        line = self._line = marked.timeline
        moments, self._begin = line.moments, 0.0
        units = {row.unit for row in marked.rows if row.unit is not None}
        if units:  # the file's own word
            base = "samples" if units == {"samples"} else "s" if base == "samples" else base
        self._base, self._counts = base, base == "samples"
        self._step = 0.0 if line.rate is None else 1 / line.rate
        if moments is not None and len(moments):
            self._begin = moments[0]
            if line.rate is None and len(moments) > 1:
                self._step = (moments[-1] - moments[0]) / (len(moments) - 1)
        if self._counts:
            self.first, self.end, self.slack = 0.0, float(line.num_samples), 0.0
        else:
            self.first = self._begin if base == "clock" else 0.0
            lasts = line.num_samples * self._step
            if moments is not None and len(moments):
                lasts = moments[-1] - self._begin + self._step
            self.end = self.first + lasts
            self.slack = max(self._step, min(TOLERANCE, lasts / 100))

    def holds(self, position: float) -> bool:
        line = self._line
        usable = self._counts or (
            not line.goes_back
            and (line.moments is not None or (self._base != "clock" and line.rate is not None))
        )
        return usable and self.first - self.slack <= position <= self.end + self.slack

    def ends(self, row: Annotation) -> tuple[float, float]:
        start = self.first if row.start is None else self._position(row.start, row.unit)
        return start, self.end if row.end is None else self._position(row.end, row.unit)

    def _position(self, value: float | str, unit: str | None) -> float:
        if isinstance(value, float):
            if self._counts:
                return value
            if unit is not None:
                return value * SECONDS[unit]
            return value * (self._line.tick if self._base == "clock" else SECONDS[self._base])
        if self._counts:
            return nan
        elapsed = _elapsed(value)
        if self._base != "clock":
            return self._read_moment(value) if elapsed != elapsed else elapsed
        moment = self._read_moment(value)
        if moment != moment and value.count(":") == 2:  # 9:05:00
            moment = elapsed
        if self._base == "clock" and moment < DAY <= self._begin:  # a time of day of a dated clock
            moment += self._begin // DAY * DAY
        if self._base == "clock" and moment < self.first - self.slack:
            moment += DAY if moment + DAY <= self.end + self.slack else 0.0
        return moment

    def span(self, row: Annotation, key: str) -> tuple[float, float]:
        """Begin and end; what cannot be right is an InputError."""
        each, line = self._marked, self._line
        where = f"{each.path}, {row.entry} {row.line}"
        if not self._counts and row.start is not None:
            if line.goes_back:
                raise InputError(
                    f"{where}: the clock of {each.name} goes back, so that nobody can tell which "
                    "samples a time means; give sample numbers (start_sample, end_sample)."
                )
            if line.moments is None and (self._base == "clock" or line.rate is None):
                raise InputError(
                    f"{where}: {each.name} has no column of time, so that only sample numbers tell "
                    f"where it is: name the columns start_sample and end_sample, or set {key} to "
                    "samples."
                )
        start, end = self.ends(row)
        if start != start or end != end:
            cell = row.start if start != start else row.end
            what = "number of a sample" if self._counts else "time"
            raise InputError(f"{where}: {str(cell)[:40]!r} is no {what}.")
        if self._counts and not (start.is_integer() and end.is_integer()):
            number = start if end.is_integer() else end
            raise InputError(f"{where}: {number:g} is not a whole number, as that of a sample is.")
        if end < start:
            raise InputError(f"{where}: '{row.label}' ends before it begins ({row.start}).")
        if not (self.holds(start) and self.holds(end)):
            lasts = self.end - self.first
            shown = f"{lasts:.0f} samples" if self._counts else f"{lasts:.6g} s"
            taken = WORDS_FOR["samples" if self._counts else row.unit or self._base]
            raise InputError(
                f"{where}: '{row.label}' from {_shown(row.start)} to {_shown(row.end)} reaches "
                f"past {each.name}, which lasts {shown} (numbers taken as {taken}); fix it, or "
                f"say with {key} what they count."
            )
        return start, end

    def sample(self, position: float) -> int:
        """The first sample at or after a position."""
        line, near = self._line, 1e-3 * self._step
        if self._counts:
            return min(max(int(position), 0), line.num_samples)
        if line.moments is not None:
            at = position if self._base == "clock" else self._begin + position
            return bisect_left(line.moments, at - near)
        rate = line.rate or 0.0
        return min(max(0, -int(-(position - near) * rate // 1)), line.num_samples)


def _elapsed(cell: str) -> float:
    """Seconds of m:ss or h:mm:ss; NaN for all else."""
    found = ELAPSED.fullmatch(cell)
    if found is None:
        return nan
    hours, minutes, seconds = found.groups()
    if hours is not None and int(minutes) > 59:
        return nan
    return 3600.0 * int(hours or 0) + 60.0 * int(minutes) + float(seconds.replace(",", "."))


def _shown(value: float | str | None) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)
