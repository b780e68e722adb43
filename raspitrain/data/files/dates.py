"""Dates and times of day as loggers write them, to seconds.

Read by shape: cells of one shape (digits here, the same signs there) are read at once, as arrays.
"""

import re
from collections.abc import Sequence

import numpy as np

from raspitrain.data.files.date_shapes import AROUND, LONGEST, match_shape

Values = np.ndarray | float

DAY = 86_400.0
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MOST_SHAPES = 64  # in one go; a logger writes a handful


def swapped(seconds: np.ndarray) -> np.ndarray:
    """What `to_seconds` gives with day and month the other way round; NaN for a day above 12."""
    known = np.flatnonzero(np.isfinite(seconds))
    day = np.floor(seconds[known] / DAY)
    different, place = np.unique(day, return_inverse=True)
    dates = different.astype(np.int64).astype("datetime64[D]")
    month = dates.astype("datetime64[M]")
    of_month = (dates - month.astype("datetime64[D]")).astype(np.float64) + 1
    months = month.astype(np.int64)
    new = days(1970.0 + months // 12, of_month, 1.0 + months % 12)
    out = np.full(len(seconds), np.nan)
    out[known] = seconds[known] + DAY * (new[place] - day)
    return out


def to_seconds(cells: Sequence[str], *, day_comes_first: bool) -> np.ndarray:
    """Read dates (seconds since 1970, UTC where no zone is named) or times of day.

    Returns
    -------
    np.ndarray
        float64 (T,); NaN for a cell that is neither, and for days and hours that there are not.
    """
    out = np.full(len(cells), np.nan)
    if not len(cells):
        return out
    texts = np.array([cell.strip(AROUND)[:LONGEST].encode("ascii", "replace") for cell in cells])
    width = texts.dtype.itemsize
    if not width:
        return out
    letters = texts.view(np.uint8).reshape(len(cells), width)
    shapes = np.where((letters >= ord("0")) & (letters <= ord("9")), ord("0"), letters)
    todo = np.ones(len(cells), dtype=bool)
    read = []
    for _ in range(MOST_SHAPES):
        if not todo.any():
            break
        shape = shapes[int(np.argmax(todo))]
        same = todo & (shapes == shape).all(axis=1)
        found = match_shape(bytes(shape).rstrip(b"\0").decode("ascii"))
        if found is not None:
            read.append((slice(None) if same.all() else same, found))
        todo &= ~same
    # 9:05:03:45 beside 9:05:03:145 is 45 ms, as a board counts them without zeros in front.
    counts = [len(found["fraction"]) for _, found in read if _counts_units(found)]
    unit = -(-max(counts) // 3) * 3 if counts and len(set(counts)) > 1 else None
    for rows, found in read:
        places = unit if _counts_units(found) else None
        out[rows] = _read_shape(letters[rows], found, day_comes_first, places)
    return out


def _counts_units(found: re.Match[str]) -> bool:
    """Whether ms, us or ns stand behind the seconds as a number of their own."""
    return bool(found["fraction"]) and found.string[found.start("fraction") - 1] == ":"


def _read_shape(
    letters: np.ndarray, found: re.Match[str], day_comes_first: bool, places: int | None
) -> np.ndarray:
    """Seconds of cells (T, width), uint8, of one shape.

    Parameters
    ----------
    places : int or None
        Behind the point, of the unit in which parts of a second are counted; None where they are
        decimals.
    """

    def number(start: int, stop: int) -> np.ndarray:
        digits = letters[:, start:stop].astype(np.float64) - ord("0")
        return digits @ 10.0 ** np.arange(stop - start - 1, -1, -1)

    def fields(*names: str) -> tuple[Values, ...]:
        return tuple(number(*found.span(name)) if found[name] else 0.0 for name in names)

    seconds: Values = np.zeros(len(letters))
    date: tuple[Values, ...] | None = None
    if found["packed"]:
        at = found.start("packed")
        date = (number(at, at + 4), number(at + 4, at + 6), number(at + 6, at + 8))
    elif found["year"]:
        date = fields("year", "month", "day")
    elif found["begins"]:
        month = MONTHS.index(found["begins"].lower()) + 1
        year = fields("then" if found["then"] else "final")[0]
        date = (year, np.full(len(letters), month), *fields("next"))
    elif found["word"]:
        word = found["word"].lower()
        month = MONTHS.index(word) + 1 if word in MONTHS else 0
        date = (number(*found.span("last")), np.full(len(letters), month), *fields("near"))
    elif found["end"]:
        first, second, year = fields("first", "second", "end")
        year = year + (2000 if found["end"] == "00" else 0)
        date = (year, second, first) if day_comes_first else (year, first, second)
    if found["elapsed"]:
        seconds = seconds + DAY * number(*found.span("elapsed"))
    if date is not None:
        seconds = seconds + DAY * days(*map(np.asarray, date))
    part, hour, minute, second = "fraction", *fields("hour", "minute", "seconds")
    if found["together"]:
        at = found.start("together")
        hour, minute, second = (number(at + k, at + k + 2) for k in (0, 2, 4))
        part = "rest"
    elif found["lone"]:
        part, hour, minute, second = "mills", 0.0, *fields("lone", "ticks")
    if found["half"]:
        hour = np.where(np.asarray(hour) == 12, 0, hour) + (12 if found["half"][0] in "pP" else 0)
    wrong = (np.asarray(hour) > 24) | (np.asarray(minute) > 59) | (np.asarray(second) > 60)
    seconds = seconds + 3600.0 * hour + 60.0 * minute + second
    if found[part]:
        seconds = seconds + fields(part)[0] / 10.0 ** (places or len(found[part]))
    if (zone := found["zone"]) and ("+" in zone or "-" in zone):
        at = found.start("zone") + max(zone.find("+"), zone.find("-"))
        digits = [k for k in range(at + 1, found.end("zone")) if found.string[k] == "0"]
        offset = 3600.0 * number(digits[0], digits[1] + 1)
        if len(digits) == 4:
            offset += 60.0 * number(digits[2], digits[3] + 1)
        seconds = seconds + (offset if "-" in zone else -offset)
    return np.where(wrong, np.nan, seconds)


def days(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Days since 1970-01-01; NaN for a day that there is not."""
    good = (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    months = (np.where(good, 12 * (year - 1970) + month - 1, 0)).astype(np.int64)
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    next_first = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    good &= day <= next_first - first
    return np.where(good, first + day - 1, np.nan)
