"""Dates and times of day as loggers write them, to seconds.

Read by shape: cells of one shape (digits here, the same signs there) are read at once, as arrays.
"""

import re
from collections.abc import Sequence

import numpy as np

Values = np.ndarray | float

DAY = 86_400.0
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
LONGEST = 80  # characters
AROUND = " \t\r\n'"  # what a cell may have around it
MOST_SHAPES = 64  # in one go; a logger writes a handful

# Of a cell with every digit written as 0.
SHAPE = re.compile(
    r"""(?:(?P<elapsed>0+)\ days?\ )?  # of pandas
        (?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\ )?
        (?:(?P<year>0000)[-/.](?P<month>00?)[-/.](?P<day>00?)     # 2024-05-01
        |(?P<first>00?)(?P<sign>[-/.])(?P<second>00?)[-/.](?P<end>0000|00)  # 1.5.2024, 5/1/2024
        |(?P<near>00?)[- ](?P<word>[A-Za-z]{3})[a-z]*\.?[- ,]+(?P<last>0000)  # 01-May-2024
        |(?P<begins>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\ {1,2}
            (?P<next>00?)(?:,?\ (?P<then>0000))?(?=\ |$)  # May 1 2024, May 1 10:00:00 2024
        |(?P<packed>00000000)(?=[T_ ]))?                              # 20240501T100000
        [T,;_\ ]*
        (?:(?P<lone>00?):(?P<ticks>00)[.,](?P<mills>0|0{3,9})              # 0:01.250, 59:50.1
        |(?P<hour>00?)[:.](?P<minute>00|0(?=:0))                           # 9:5:3 of boards
            (?:[:.](?P<seconds>00|(?<=:)0(?!0))(?:[.,:](?P<fraction>0+))?)?
        |(?<=[T_ ])(?P<together>000000)(?:[.,](?P<rest>0+))?)?
        \s*(?P<half>[AaPp]\.?[Mm]\.?)?
        \s*(?P<zone>Z|(?:UTC|GMT)?[+-]00:?(?:00)?|UTC|GMT)?
        (?:\ (?P<final>0000))?                     # of Python's time.ctime
        (?:\[[A-Za-z_/+-]+0*\]|\ \([A-Za-z ]+\))?""",  # the place, of Java and of JavaScript
    re.VERBOSE | re.IGNORECASE,
)


def is_time(cell: str) -> bool:
    """Whether a cell is a date, a time of day, or both."""
    found = _match(cell.strip(AROUND))
    return found is not None


def _match(cell: str) -> re.Match[str] | None:
    if not 5 <= len(cell) <= LONGEST or not cell.isascii():
        return None
    found = SHAPE.fullmatch(re.sub(r"\d", "0", cell))
    if found is None:
        return None
    if bool(found["begins"]) != (bool(found["then"]) + bool(found["final"]) == 1):
        return None  # a month and no year, or a year and no month
    has_date = any(found[name] for name in ("year", "end", "word", "begins", "packed"))
    if found["sign"] == "." and found["end"] == "00" and not found["hour"]:
        return None  # 10.11.12 may be a version
    has_time = found["seconds"] or found["lone"] or (found["hour"] and ":" in cell)
    return found if has_date or has_time else None


def day_first(cells: Sequence[str]) -> tuple[bool | None, bool]:
    """Whether 1/5/2024 is the first of May, None where no date is written so; and whether a day
    above 12 tells that, or else only the sign, as it is mostly used."""
    sign = ""
    for cell in cells:
        found = _match(cell.strip(AROUND))
        if found is None or not found["end"]:
            continue
        sign = found["sign"]
        first, second = (
            int(cell.strip(AROUND)[slice(*found.span(k))]) for k in ("first", "second")
        )
        if first > 12 or second > 12:
            return first > 12, True
    return (sign != "/" if sign else None), not sign


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
        found = _match(bytes(shape).rstrip(b"\0").decode("ascii"))
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
