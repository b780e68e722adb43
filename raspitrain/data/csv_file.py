"""One recording from a CSV file, as sensor loggers really write them.

Separated by comma, semicolon or tab; with or without names in the first line; perhaps with a
byte-order mark, `sep=;`, comment lines, a decimal comma, a separator at each line's end, pandas'
nameless index, missing cells. What is not understood is refused with file, line and column.
"""

import csv
import io
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from pathlib import Path

import numpy as np

from raspitrain.data.nearest import nearest
from raspitrain.data.npy_file import open_file
from raspitrain.errors import InputError, input_error
from raspitrain.hardware.board import available_memory
from raspitrain.hardware.memory import memory_error

SAMPLE_LINES = 20
MAX_LINE = 1 << 20  # characters; no logger writes longer lines, a hostile file may
MOST_PREAMBLE = 10_000  # lines
MOST_COLUMNS = 10_000
LONGEST_NAME = 200  # of a column of time
MISSING_CELLS = frozenset(("", "na", "n/a", "nan", "null", "none"))
VALUES_BETWEEN_CHECKS = 1_000_000

TIME_NAME = re.compile(
    r"""(.*timestamp.*|.*datetime.*|(logging|sample|system|sensor|device|unix|epoch|local|utc|gps|
        elapsed|relative|real)?_?(time|date|clock|seconds|millis|milliseconds|micros|epoch|elapsed|
        uptime|t|ts)_?(s|sec|seconds|ms|msec|millis|us|ns|utc|iso|unix|local|elapsed|txt)?)""",
    re.VERBOSE,
)
DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?)?")


@dataclass(frozen=True)
class Recording:
    """What one file holds.

    Attributes
    ----------
    samples : np.ndarray
        float32 (C, T); cells that are missing are NaN.
    channel_names : tuple of str
        C names; the positions "0", "1" … where the file has no names.
    labels : list of str or None
        The T entries of the label column, stripped; equal ones are one object.
    lines : array of int
        The line of the file, counted from 1, that each of the T samples stands in.
    """

    samples: np.ndarray
    channel_names: tuple[str, ...]
    labels: list[str] | None
    lines: "array[int]"


def read_recording(
    path: Path, *, columns: Sequence[str] | None, label_column: str | None
) -> Recording:
    """Read a CSV file.

    Parameters
    ----------
    columns : sequence of str or None
        Names of the channels, in this order; None for all but the label, nameless columns and
        time: what is called so (time, timestamp, seconds_elapsed, …) and dates that only rise.
    label_column : str or None
        Name of the column that says the class.

    Raises
    ------
    InputError
        If the file cannot be read or a cell is not a number.
    """
    try:
        with open_file(path) as raw:
            start = raw.read(2)
            raw.seek(0)
            encoding = "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
            text = io.TextIOWrapper(io.BufferedReader(raw), encoding=encoding, newline="")
            return _read(path, _Lines(text, path), columns, label_column)
    except UnicodeError as error:
        raise InputError(
            f"{path} is not a text file in UTF-8 ({error}); export it as CSV in UTF-8."
        ) from None
    except csv.Error as error:
        raise InputError(f"{path} cannot be read as CSV: {error}.") from None
    except OSError as error:
        raise input_error(f"{path} cannot be read: {error.strerror or error}.", error) from None


class _Lines:
    """The lines of a text file, none longer than is sane, and how many have been read."""

    def __init__(self, text: io.TextIOWrapper, path: Path) -> None:
        self._text = text
        self._path = path
        self._ahead: list[str] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._ahead.pop(0) if self._ahead else self._read()
        if not line:
            raise StopIteration
        self.number += 1
        return line

    def peek(self, count: int) -> list[str]:
        """Return the next lines without taking them."""
        while len(self._ahead) < count and (line := self._read()):
            self._ahead.append(line)
        return self._ahead[:count]

    def _read(self) -> str:
        line = self._text.readline(MAX_LINE)
        if len(line) == MAX_LINE:
            raise InputError(
                f"{self._path}, line {self.number + len(self._ahead) + 1} is longer than "
                f"{MAX_LINE} characters; the file is not a recording in CSV."
            )
        return line


def _read(
    path: Path, lines: _Lines, columns: Sequence[str] | None, label_column: str | None
) -> Recording:
    separator, comment = _skip_preamble(lines, path)
    sample = [line for line in lines.peek(SAMPLE_LINES) if line.strip()]
    if not sample:
        raise InputError(f"{path} is empty; a recording needs at least one line of numbers.")
    separator = separator or _find_separator(sample)
    first = _cells(sample[0], separator)
    if _is_header(first):
        names = first
        while _cells(next(lines), separator) != first:
            pass  # blank lines
    elif comment is not None and len(_cells(comment, separator)) == len(first):
        names = _cells(comment, separator)  # numpy.savetxt's header
    else:
        names = [str(position) for position in range(len(first))]
    if len(names) > MOST_COLUMNS:
        raise InputError(
            f"{path} has {len(names)} columns, more than {MOST_COLUMNS}; a recording has one for "
            "each channel, and a line for each sample."
        )
    if names and names[-1] == "":  # a separator at the end of each line
        names.pop()

    head = [row for row in csv.reader(lines.peek(2), delimiter=separator) if row]
    label = None if label_column is None else _locate(path, names, label_column, "label_column")
    dates: list[int] = []
    if columns is not None:
        chosen = [_locate(path, names, name, "columns") for name in columns]
    else:
        chosen = []
        for position, name in enumerate(names):
            if name == "" or position == label or _is_time_name(name):
                continue
            if head and position < len(head[0]) and DATE.fullmatch(head[0][position].strip()):
                dates.append(position)
            else:
                chosen.append(position)
    if not chosen:
        raise InputError(
            f"{path} has no column of signals: {', '.join(names)} are time, label or nameless; "
            "name the signals in dataset.columns."
        )
    samples, labels, numbers = _read_rows(path, lines, separator, names, chosen, label, dates)
    return Recording(samples, tuple(names[position] for position in chosen), labels, numbers)


def _skip_preamble(lines: _Lines, path: Path) -> tuple[str | None, str | None]:
    """Skip `sep=` and comment lines; return that separator and the last comment, if any."""
    separator = comment = None
    while ahead := lines.peek(1):
        line = ahead[0].strip()
        if line.startswith("#"):
            comment = line.lstrip("# ")
        elif match := re.fullmatch(r"sep=([,;\t])?", ahead[0].rstrip("\r\n")):
            separator = match[1]
        elif line:
            break
        next(lines)
        if lines.number > MOST_PREAMBLE:
            raise InputError(
                f"{path} begins with more than {MOST_PREAMBLE} comments or empty lines; it is not "
                "a recording in CSV."
            )
    return separator, comment


def _find_separator(sample: Sequence[str]) -> str:
    # In this order: commas may be decimal points between semicolons or tabs.
    for separator in "\t;":
        if all(separator in line for line in sample):
            return separator
    return ","


def _cells(line: str, separator: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]


def _is_header(cells: Sequence[str]) -> bool:
    return not any(_is_number(cell) or DATE.fullmatch(cell) for cell in cells) and any(cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _is_time_name(name: str) -> bool:
    if name == "T" or len(name) > LONGEST_NAME:  # T is temperature, more likely
        return False
    bare = re.sub(r"\(.*?\)|\[.*?\]", " ", name.lower())
    return TIME_NAME.fullmatch(re.sub(r"[^a-z0-9]+", "_", bare).strip("_")) is not None


def _locate(path: Path, names: Sequence[str], name: str, key: str) -> int:
    count = names.count(name)
    if count == 1:
        return names.index(name)
    if count:
        raise InputError(f"{path} has {count} columns '{name}', which dataset.{key} asks for.")
    raise InputError(
        f"{path} has no column '{name}', which dataset.{key} asks for; {nearest(name, names)}."
    )


def _read_rows(
    path: Path,
    lines: _Lines,
    separator: str,
    names: Sequence[str],
    chosen: Sequence[int],
    label: int | None,
    dates: Sequence[int],
) -> tuple[np.ndarray, list[str] | None, "array[int]"]:
    values, numbers = array("d"), array("q")
    labels: list[str] = []
    known: dict[str, str] = {}
    latest: dict[int, datetime] = {}
    pick = itemgetter(*chosen) if len(chosen) > 1 else (lambda row: (row[chosen[0]],))
    width = len(names)
    free, next_check = available_memory(), VALUES_BETWEEN_CHECKS
    for row in csv.reader(lines, delimiter=separator, strict=True):
        if len(row) != width:
            if not row or (len(row) == 1 and not row[0].strip()):
                continue
            if len(row) == width + 1 and not row[-1].strip():
                row.pop()
            else:
                raise InputError(
                    f"{path}, line {lines.number} has {len(row)} cells, but the file has {width} "
                    "columns; every line must have as many cells."
                )
        try:
            values.extend(map(float, pick(row)))
        except ValueError:
            del values[len(numbers) * len(chosen) :]  # what extend took before it failed
            for position in chosen:
                values.append(
                    _to_number(row[position], separator, path, lines.number, names, position)
                )
        numbers.append(lines.number)
        if label is not None:
            text = row[label].strip()
            labels.append(known.setdefault(text, text))
        for position in dates:
            date = _to_date(
                row[position], latest.get(position), path, lines.number, names[position]
            )
            latest[position] = date
        if len(values) >= next_check:
            next_check = len(values) + VALUES_BETWEEN_CHECKS
            if 16 * len(values) <= free:
                continue
            raise memory_error(
                f"{path} does not fit into the {free / 1e9:.1f} GB of memory that are free; "
                "store the windows as data.npy and label.npy and use dataset=npy.",
                8 * len(values),
            )
    if not numbers:
        raise InputError(f"{path} holds names but no samples.")
    table = np.frombuffer(values).reshape(len(numbers), len(chosen))
    with np.errstate(over="ignore", invalid="ignore"):
        samples = np.ascontiguousarray(table.T, dtype=np.float32)
    return samples, labels if label is not None else None, numbers


def _to_number(
    cell: str, separator: str, path: Path, line: int, names: Sequence[str], position: int
) -> float:
    text = cell.strip()
    if text.lower() in MISSING_CELLS:
        return float("nan")
    try:
        return float(text.replace(",", ".") if separator != "," else text)
    except ValueError:
        hint = " (a first line that has a number in it is taken for data)" if line == 1 else ""
        shown = text if len(text) <= 40 else text[:40] + "…"
        raise InputError(
            f"{path}, line {line}, column '{names[position]}': {shown!r} is not a number{hint}; "
            "mend it, or name the columns that are signals in dataset.columns."
        ) from None


def _to_date(cell: str, before: datetime | None, path: Path, line: int, name: str) -> datetime:
    try:
        date = datetime.fromisoformat(cell.strip())
        if before is not None and date < before:
            raise ValueError
    except (ValueError, TypeError):  # TypeError: with and without a time zone
        raise InputError(
            f"{path}, line {line}, column '{name}': {cell.strip()[:40]!r} is not a date at or "
            "after the one before; mend it, or name the signals in dataset.columns."
        ) from None
    return date
