"""Which column of a CSV is which channel, and what a line of it says.

Columns are found by the names that the model was trained with, whatever their order; other columns
are left out. Without names in the file their number must be that of the channels, beside that of
time where it is said which one that is.
"""

import csv
import math
import re

from raspitrain.data.files.missing import FROM_HEX, HEX
from raspitrain.data.files.time_names import SECONDS, is_step_name, is_time_name, unit_by_name
from raspitrain.errors import InputError
from raspitrain.use.model import Model

# Where several columns are called as time is.
FIRST_NAMES = ("time", "timestamp", "t", "seconds", "elapsed", "seconds_elapsed", "time_s")
PARTS_OF_A_DATE = (
    "year", "month", "day", "hour", "hours", "minute", "minutes", "msec", "usec", "usecs", "nsec",
    "nsecs",
)  # fmt: skip
SEPARATORS = ",;\t|"
NO_UTF8 = (
    "is not text in UTF-8; if it is in UTF-16, as of a Windows program: "
    "iconv -f UTF-16 -t UTF-8 OLD > NEW."
)
RENAME = ": call them as in training, if they are those, or record all that training had."
LONGEST_LINE = 1 << 20
SEP_LINE = re.compile(r'"?sep=.{0,2}"?', re.IGNORECASE)  # for spreadsheets, before the names


class LineError(ValueError):
    """A line that is no sample; its text says why, without the line's number."""


def holds_nothing(line: str) -> bool:
    """Whether a line is blank, a comment or a word to spreadsheets: neither names nor a sample."""
    return not line.strip() or line.startswith("#") or SEP_LINE.fullmatch(line) is not None


def separator_of(line: str, channels: list[str]) -> str | None:
    """What parts the cells of a file whose first line this is; None for blanks."""
    found = max(SEPARATORS, key=line.count)
    if line.count(found) or line.strip() in channels:
        return found
    return None


def split_line(line: str, separator: str | None) -> list[str]:
    """The cells of a line.

    Raises
    ------
    LineError
        Its quotes cannot be understood.
    """
    if separator is None:
        return line.split()
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator))
    except csv.Error as error:
        raise LineError(str(error)) from error


class Columns:
    """Which column of a file is which channel.

    Attributes
    ----------
    named : whether the first line holds names and no sample
    ticks : what the column of time counts in a second, where its name says so
    steps : whether that is the time since the sample before, as dt is
    """

    def __init__(
        self,
        model: Model,
        first: list[str],
        source: str,
        *,
        label_column: str | None = None,
        time_column: str | None = None,
    ) -> None:
        self.source, self.width = source, len(first)
        self.time: int | None = None
        self.label: int | None = None
        self.ticks: float | None = None
        self.steps = False
        self._sum: float | None = None
        self.names = [cell.strip() for cell in first]
        # ax:0.1,ay:0.2 as serial plotters take it: names and a sample in each line
        parts = [name.partition(":") for name in self.names]
        self.pairs = all(
            name and _number(name) is None and _number(value) is not None
            for name, _, value in parts
        )
        if self.pairs:
            self.names = [name.strip() for name, _, _ in parts]
        has_names = self.pairs or not all(_number(cell) is not None for cell in first)
        self.named = has_names and not self.pairs
        # A stamp that is a date is no name.
        if self.named and time_column is not None and time_column.isdecimal():
            others = [cell for place, cell in enumerate(first) if place != int(time_column)]
            has_names = self.named = not all(_number(cell) is not None for cell in others)
        if has_names:
            self._by_name(model, label_column, time_column)
        else:
            self._by_place(model, label_column, time_column)

    def _by_name(self, model: Model, label_column: str | None, time_column: str | None) -> None:
        names = self.names
        places = [_place_of(name, names) for name in model.channels]
        missing = [n for n, place in zip(model.channels, places, strict=True) if place is None]
        if missing:
            from raspitrain.nearest import did_you_mean

            if any(not name.isprintable() or "\ufffd" in name for name in names):
                raise InputError(f"{self.source} {NO_UTF8}")
            if re.match(r"\{|\[(?![^]]*\]\s*\S)", names[0]):
                raise InputError(
                    f"{self.source} holds JSON: predict reads files called .json and .jsonl, and "
                    "stream a record a line."
                )
            for name in missing:
                count = sum(other.casefold() == name.casefold() for other in names)
                if count > 1:
                    raise InputError(
                        f"{self.source} has {count} columns {name!r}, and the model takes one: "
                        "give the others other names."
                    )
            if missing == model.channels and (odd := self._odd_numbers()):
                raise InputError(f"{self.source} {odd}")
            words = [name for name in names if _number(name) is None]
            if missing == model.channels and len(words) < len(names) - len(words):
                raise InputError(
                    f"{self.source} has no names in its first line, and {words[0][:40]!r} in it is "
                    f"no number: write a line above it that names its {self.width} columns, "
                    f"{', '.join(model.channels[:12])} among them."
                )
            hint = did_you_mean(missing[0], names, 1) if len(missing) == 1 else ""
            raise InputError(
                f"{self.source} has no column {', '.join(map(repr, missing[:4]))}, which the model "
                f"was trained on; its columns are {', '.join(names[:12])}{hint or RENAME}"
            )
        self.places = [place for place in places if place is not None]
        self.label = self._asked(label_column, "--label-column")
        self.time = self._asked(time_column, "--time-column")
        if self.time is None:
            self.time = self._time_by_name()
        if self.time is not None:
            unit = unit_by_name(names[self.time], "")
            self.ticks = None if unit is None else 1 / SECONDS[unit]
            self.steps = is_step_name(names[self.time])

    def _odd_numbers(self) -> str:
        """What is said of a first line of numbers that are hidden; "" where it is none."""
        hexes = [name for name in self.names if HEX.fullmatch(name)]
        if hexes:
            return f"has {hexes[0]}, a number in base 16; {FROM_HEX}."
        first, *others = self.names
        lead = re.match(r".*[]:>)]\s*(?=[-+.\d]\S*$)", first)
        if lead is None or any(_number(cell) is None for cell in (first[lead.end() :], *others)):
            return ""
        return (
            f"has {lead[0][:40]!r} before the numbers of its first line: take such words away, as "
            "by: sed -u 's/^.*[]:>)] *//' OLD > NEW."
        )

    def _asked(self, column: str | None, option: str) -> int | None:
        """Where a column stands that was named, or numbered from 0."""
        if column is None:
            return None
        place = _place_of(column, self.names)
        if place is None and column.isdecimal() and int(column) < self.width:
            place = int(column)
        if place is None:
            raise InputError(
                f"{self.source} has no column {column!r}, which {option} names; its columns are "
                f"{', '.join(self.names[:12])}."
            )
        return place

    def _time_by_name(self) -> int | None:
        for name in FIRST_NAMES:
            place = _place_of(name, self.names)
            if place is not None and place not in self.places:
                return place
        for place, name in enumerate(self.names):
            if place in (*self.places, self.label) or name.lower() in PARTS_OF_A_DATE:
                continue
            if is_time_name(name):
                return place
        free = set(range(self.width)) - {*self.places, self.label}
        return next((place for place in free if is_step_name(self.names[place])), None)

    def _by_place(self, model: Model, label_column: str | None, time_column: str | None) -> None:
        if label_column is not None:
            raise InputError(
                f"{self.source} names no columns, so there is no {label_column!r} in it: write a "
                "first line with names."
            )
        if time_column is not None:
            if not time_column.isdecimal() or int(time_column) >= self.width:
                raise InputError(
                    f"{self.source} names no columns: --time-column takes a number from 0 to "
                    f"{self.width - 1}, and is {time_column!r}."
                )
            self.time = int(time_column)
        self.places = [place for place in range(self.width) if place != self.time]
        if len(self.places) != len(model.channels):
            beside = "" if self.time is None else " beside that of time"
            hint = (
                "; --time-column 0 says that the first one is time"
                if self.time is None and self.width == len(model.channels) + 1
                else ""
            )
            raise InputError(
                f"{self.source} has {len(self.places)} columns without names{beside}, and the "
                f"model takes {len(model.channels)}: {', '.join(model.channels[:12])}; write them "
                f"into a first line{hint}."
            )

    def may_be_words(self) -> bool:
        """Whether numbers stand among the names, as in x 0.1 y 0.2; those of channels may be."""
        others = (name for k, name in enumerate(self.names) if k not in self.places)
        return any(re.match(r"[-+]?\.?\d", name) for name in others)

    def is_row_of_units(self, cells: list[str]) -> bool:
        """Whether the line after the names says their units: text in every channel."""
        own = [cells[place] for place in self.places if place < len(cells)]
        return self.named and all(cell.strip() and _number(cell) is None for cell in own)

    def sample(self, cells: list[str]) -> list[float]:
        """The channels' values of a line, NaN where a cell is empty.

        Raises
        ------
        LineError
            It has another number of cells, or one is no number.
        """
        if len(cells) != self.width:
            raise LineError(f"{len(cells)} cells, but the first line has {self.width}.")
        if self.pairs:
            cells = self._without_names(cells)
        try:
            return [float(cells[place]) for place in self.places]
        except ValueError:
            values = [_value(cells[place]) for place in self.places]
        found = [cell for place in self.places if "," in (cell := cells[place])]
        if found and any("." in cells[place] for place in self.places):
            raise LineError(f"{found[0][:40]!r} beside numbers with a point may mean two things.")
        return values

    def _without_names(self, cells: list[str]) -> list[str]:
        parts = [cell.partition(":") for cell in cells]
        if [name.strip() for name, _, _ in parts] != self.names:
            raise LineError(f"its names are not {', '.join(self.names[:12])}.")
        return [value for _, _, value in parts]

    def stamp(self, cells: list[str]) -> float:
        """What the column of time says, NaN where its cell is empty; a date in seconds since 1970,
        a time of day in seconds."""
        assert self.time is not None
        cell = cells[self.time]
        if self.pairs:
            cell = cell.partition(":")[2]
        try:
            found = float(cell)
        except ValueError:
            if not cell or cell.isspace():
                return math.nan
            number = _number(cell)
            if number is None:
                self.ticks = 1.0
                return moment(cell)
            found = number
        if not self.steps or found != found:
            return found
        self._sum = 0.0 if self._sum is None else round(self._sum + found, 9)
        return self._sum


def _place_of(name: str, names: list[str]) -> int | None:
    """Where a column of that name stands: as written, or else but for upper and lower case."""
    for key in (str, str.casefold):
        found = [place for place, other in enumerate(names) if key(other) == key(name)]
        if len(found) == 1:
            return found[0]
    return None


def _number(cell: str) -> float | None:
    """A number, with a point or a comma before its decimals."""
    try:
        return float(cell)
    except ValueError:
        pass
    if cell.count(",") != 1:
        return None
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return None


def _value(cell: str) -> float:
    if not cell or cell.isspace():
        return math.nan
    value = _number(cell)
    if value is None:
        hint = f"; {FROM_HEX}" if HEX.fullmatch(cell.strip()) else ""
        raise LineError(f"{cell[:40]!r} is not a number{hint}.")
    return value


def moment(cell: str) -> float:
    """A date or a time of day as ISO 8601 writes it, in seconds; without a zone it counts as UTC,
    whose clock never goes back.

    Raises
    ------
    LineError
        It is neither.
    """
    from datetime import UTC, date, datetime, time

    text = cell.strip().removesuffix(" UTC").removesuffix(" GMT")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        try:
            found = datetime.combine(date(1970, 1, 1), time.fromisoformat(text))
        except ValueError:
            raise LineError(f"{cell[:40]!r} is not a time.") from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
