"""Recordings as a logger leaves them: CSV, line by line, into the channels of a model.

Columns are found by the names that the model was trained with, whatever their order; other columns
are left out. Without names in the file their number must be that of the channels.
"""

import csv
import math
from array import array
from collections.abc import Iterable, Iterator

from raspitrain.errors import InputError
from raspitrain.use.model import Model

TIME_NAMES = ("time", "timestamp", "t", "seconds", "elapsed", "seconds_elapsed", "time_s")
TICKS = (1.0, 1e3, 1e6, 1e9)  # a second in the units that clocks count in
LONGEST_LINE = 1 << 20


class Recording:
    """What one file holds.

    Attributes
    ----------
    name : str
    channels : list of array
        float32, one for each channel of the model, of the same length.
    times : array or None
        float64, what the time column says of each sample.
    labels : list of str or None
        Of each sample, "" where there is none.
    """

    def __init__(self, name: str, num_channels: int) -> None:
        self.name = name
        self.channels = [array("f") for _ in range(num_channels)]
        self.times: array | None = None
        self.labels: list[str] | None = None

    def __len__(self) -> int:
        return len(self.channels[0])

    def window(self, start: int, length: int) -> list[array]:
        return [channel[start : start + length] for channel in self.channels]


class Columns:
    """Which column of a file is which channel."""

    def __init__(
        self, model: Model, first: list[str], source: str, label_column: str | None
    ) -> None:
        self.source, self.width = source, len(first)
        self.named = not all(_number(cell) is not None for cell in first)
        self.time: int | None = None
        self.label: int | None = None
        if self.named:
            self._by_name(model, [cell.strip() for cell in first], label_column)
        else:
            self._by_place(model, label_column)

    def _by_name(self, model: Model, names: list[str], label_column: str | None) -> None:
        places = [_place_of(name, names) for name in model.channels]
        missing = [n for n, place in zip(model.channels, places, strict=True) if place is None]
        if missing:
            import difflib

            near = [n for name in missing for n in difflib.get_close_matches(name, names, n=1)]
            hint = f"; did you mean its {near[0]!r}?" if near else "."
            raise InputError(
                f"{self.source} has no column {', '.join(map(repr, missing[:4]))}, which the model "
                f"was trained on; its columns are {', '.join(names[:12])}{hint}"
            )
        self.places = [place for place in places if place is not None]
        if label_column is not None:
            self.label = _place_of(label_column, names)
            if self.label is None:
                raise InputError(
                    f"{self.source} has no column {label_column!r}, which --label-column names; "
                    f"its columns are {', '.join(names[:12])}."
                )
        for name in TIME_NAMES:
            place = _place_of(name, names)
            if place is not None and place not in self.places:
                self.time = place
                break

    def _by_place(self, model: Model, label_column: str | None) -> None:
        if label_column is not None:
            raise InputError(
                f"{self.source} names no columns, so there is no {label_column!r} in it: write a "
                "first line with names."
            )
        if self.width != len(model.channels):
            raise InputError(
                f"{self.source} has {self.width} columns without names, and the model takes "
                f"{len(model.channels)}: {', '.join(model.channels[:12])}; write them into a first "
                "line."
            )
        self.places = list(range(self.width))


def _place_of(name: str, names: list[str]) -> int | None:
    """Where a column of that name stands: as written, or else but for upper and lower case."""
    for key in (str, str.casefold):
        found = [place for place, other in enumerate(names) if key(other) == key(name)]
        if len(found) == 1:
            return found[0]
    return None


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def read_recording(
    model: Model, lines: Iterable[str], *, source: str, label_column: str | None = None
) -> Recording:
    """Read a CSV.

    Raises
    ------
    InputError
        A channel is missing, a line has another number of cells, or a cell is no number.
    """
    recording = Recording(source, len(model.channels))
    columns: Columns | None = None
    for number, cells in _rows(lines, source):
        if columns is None:
            columns = Columns(model, cells, source, label_column)
            if columns.time is not None:
                recording.times = array("d")
            if columns.label is not None:
                recording.labels = []
            if columns.named:
                continue
        if len(cells) != columns.width:
            raise InputError(
                f"{source}, line {number}: {len(cells)} cells, but the first line has "
                f"{columns.width}."
            )
        for place, channel in zip(columns.places, recording.channels, strict=True):
            channel.append(_value(cells[place], source, number))
        if recording.times is not None and columns.time is not None:
            recording.times.append(_value(cells[columns.time], source, number))
        if recording.labels is not None and columns.label is not None:
            recording.labels.append(cells[columns.label].strip())
    if columns is None:
        raise InputError(f"{source} is empty.")
    return recording


def _value(cell: str, source: str, number: int) -> float:
    if not cell or cell.isspace():
        return math.nan
    value = _number(cell)
    if value is None:
        raise InputError(f"{source}, line {number}: {cell[:40]!r} is not a number.")
    return value


def _rows(lines: Iterable[str], source: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells; the first line says what parts them."""
    separator = None
    try:
        for number, line in enumerate(lines, 1):
            if len(line) > LONGEST_LINE:
                raise InputError(f"{source}, line {number}: longer than a million characters.")
            line = line.strip("\r\n\ufeff")
            if not line.strip() or line.startswith("#"):
                continue
            if separator is None:
                separator = max(",;\t", key=line.count)
            yield number, next(csv.reader([line], delimiter=separator))
    except UnicodeDecodeError as error:
        raise InputError(f"{source} is not text in UTF-8.") from error
    except csv.Error as error:
        raise InputError(f"{source}: {error}.") from error


def check_rate(model: Model, recording: Recording, given: float | None) -> float | None:
    """The recording's rate in Hz, if it is known: from `given`, or from its times.

    Raises
    ------
    InputError
        It is not the model's, or the model has one and the recording does not say.
    """
    if given is not None:
        rates = [given]
    elif recording.times is not None and len(recording) > 2:
        steps = sorted(b - a for a, b in zip(recording.times, recording.times[1:], strict=False))
        step = steps[len(steps) // 2]
        if not step > 0:
            raise InputError(f"{recording.name}: its time column does not rise.")
        rates = [ticks / step for ticks in TICKS]
    else:
        rates = []
    if model.rate is None:
        return given
    if not rates:
        raise InputError(
            f"{recording.name} has no time column, and the model was trained at {model.rate:g} Hz: "
            "say the recording's rate with --rate."
        )
    tolerance = model.header["input"]["rate_tolerance"]
    nearest = min(rates, key=lambda rate: abs(rate - model.rate))  # type: ignore[operator]
    if abs(nearest - model.rate) > tolerance * model.rate:
        raise InputError(
            f"{recording.name} has {nearest:g} samples a second, and the model was trained at "
            f"{model.rate:g}: record at that rate."
        )
    return nearest
