"""A clock that stands in several columns, put together: date and time of day, seconds and
microseconds, or year, month, day, hour, minute and second; or in the digits of one number, as NMEA
has 120059.00 for a second before 12:01."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, takewhile

import numpy as np

from raspitrain.data.files.csv_file import Column, Table
from raspitrain.data.files.dates import DAY, days
from raspitrain.data.files.time_names import MOST_FALLS, is_step_name, is_time_name, plain_name
from raspitrain.data.recorded.clock import GAP, LEAST_EPOCH, MOSTLY
from raspitrain.data.recorded.columns import are_whole

WHOLE = re.compile(r"(?:.*stamp_)?(?:secs?|seconds?)")
FRACTION = re.compile(
    r"(?:.*stamp_)?(?:(?P<ms>m(?:illi)?s(?:ec(?:ond)?s?)?|millis)"
    r"|(?P<us>u(?:s|secs?)|micro(?:s|secs?|seconds?))|(?P<ns>n(?:s|secs?)|nano(?:s|secs?|seconds?)))"
)
MAY_BE_STEPS = re.compile(r"elapsed|since|time|milli|micro")
DIGITS = re.compile(r".*(?:hhmmss|hms|utc).*")
STEPS_ALIKE = 0.5  # of the usual step of a column dt, so far most others lie from it
CLOCKS_AGREE = 0.05  # of the usual step, up to which two differ that were rounded
SOME = 64  # rows, enough to see of most columns that they are no clock
IN_A_SECOND = {"ms": 1e3, "us": 1e6, "ns": 1e9}
DATE_PARTS = ("year", "month", "day")
DAY_PARTS = ("hour", "minute", "second")
IN_ORDER = tuple(map(re.compile, (
    "y{1,4}|yr|year", "m{1,2}|mo|mon|month", "d{1,2}|dy|day", "h{1,2}|hr|hour",
    "m{1,2}|mi|mn|min|minute", "s{1,2}|sc|sec|second",
)))  # fmt: skip
BOUNDS = ((0, 2200), (1, 13), (1, 32), (0, 24), (0, 60), (0, 61))


def join_clock(table: Table) -> None:
    """Put a clock of several columns into the one of its seconds, and say which that is."""
    plain = [plain_name(column.name) for column in table.columns]
    _join_date_and_time(table)
    if table.clock is None:
        _join_stamp(table, plain)
    if table.clock is None:
        _join_fields(table, plain)
    if table.clock is None:
        _join_in_order(table, plain)
    if table.clock is None:
        _join_seconds(table, plain)
    if table.clock is None and not table.named:
        _join_carried(table)
    if table.clock is None:
        _read_digits(table, plain)


def add_up_steps(table: Table, kept: Sequence[str]) -> None:
    """Turn a column of the time from each sample to the next (dt) into that since the first, but
    for those that are asked for as channels."""
    for place, column in enumerate(table.columns):
        called = {column.name, str(place), str(place - len(table.columns))}
        named, may_be = is_step_name(column.name), MAY_BE_STEPS.search(plain_name(column.name))
        if not (named or (may_be and is_time_name(column.name))) or called & {*kept}:
            continue  # as of a microphone or millivolts
        steps = column.values[1:]  # the first may be anything
        if len(steps) < 2 or not _between(replace(column, values=steps), 0, np.inf, 0):
            continue
        usual = float(np.median(steps))
        near = np.abs(steps - usual) <= STEPS_ALIKE * usual
        falls = np.mean(np.diff(steps) < 0) > MOST_FALLS and usual < LEAST_EPOCH
        if usual == 0 or np.mean(near) < MOSTLY or not (named or (falls and are_whole(steps))):
            continue  # a clock falls once in a while, and may be in no order since 1970
        beside = [own for k, own in enumerate(table.columns) if k != place and own.kind != "text"]
        clock = next((own for own in beside if is_time_name(own.name)), None)
        if not beside or (clock is not None and not _follows(clock, steps)):
            continue  # it is all there is, or another difference, such as of temperatures
        values = np.concatenate([[0.0], np.cumsum(steps)])
        table.columns[place] = replace(column, values=values)
        table.changes.append(f"'{column.name}' taken as the time from sample to sample")
        if table.clock is None and clock is None:
            table.clock = place


def _follows(clock: Column, steps: np.ndarray) -> bool:
    """Whether a clock goes by these steps, in whatever unit, or too coarsely to tell."""
    ahead = np.diff(clock.values)
    usual = float(np.median(ahead))
    if not usual > 0:
        return True
    apart = np.abs(ahead / usual - steps / np.median(steps))
    return bool(np.mean(apart <= CLOCKS_AGREE) >= MOSTLY)


def _join_date_and_time(table: Table) -> None:
    """2024-05-01 beside 10:00:00.020."""
    stamps = [(k, c) for k, c in enumerate(table.columns) if c.kind == "time"]
    if len(stamps) != 2 or any(column.wrong is not None for _, column in stamps):
        return
    dates = [column for _, column in stamps if _between(column, DAY + 1, np.inf, DAY)]
    times = [(k, column) for k, column in stamps if _between(column, 0, DAY + 1, 0)]
    if len(dates) == 1 and len(times) == 1:
        place, time = times[0]
        _put(table, place, dates[0].values + time.values, "time")
        _keep_order(table, place, dates[0])


def _keep_order(table: Table, place: int, date: Column) -> None:
    """Say of a clock whether the day comes first in its dates, and whether they tell."""
    table.columns[place].day_first = date.day_first
    table.columns[place].is_told = date.is_told


def _join_stamp(table: Table, plain: Sequence[str]) -> None:
    """2024-05-01 10:00:00 beside 20 in a column ms."""
    stamps = [k for k, column in enumerate(table.columns) if column.kind == "time"]
    if len(stamps) != 1 or not _between(table.columns[stamps[0]], 0, np.inf, 1):
        return
    stamp, fraction = table.columns[stamps[0]], _fraction(table, plain)
    if np.any(fraction) and (np.diff(stamp.values + fraction) > 0).all():
        _put(table, stamps[0], stamp.values + fraction, "time")
        _keep_order(table, stamps[0], stamp)


def _join_fields(table: Table, plain: Sequence[str]) -> None:
    """Columns year, month … second; a day and a month are not needed where a recording is short."""
    found = {
        name: [k for k, own in enumerate(plain) if own in (name, f"{name}s")]
        for name in (*DATE_PARTS, *DAY_PARTS)
    }
    if any(len(found[name]) != 1 for name in DAY_PARTS):
        return
    limits = {"hour": 24, "minute": 60, "second": 61}
    hour, minute, second = (table.columns[found[name][0]] for name in DAY_PARTS)
    for column, name in zip((hour, minute, second), DAY_PARTS, strict=True):
        if not _between(column, 0, limits[name], 0 if name == "second" else 1):
            return
    values = 3600.0 * hour.values + 60.0 * minute.values + second.values
    if all(len(found[name]) == 1 for name in DATE_PARTS):
        date = [table.columns[found[name][0]] for name in DATE_PARTS]
        bounds = ((1970, 2200), (1, 13), (1, 32))
        if all(_between(column, *both, 1) for column, both in zip(date, bounds, strict=True)):
            values = values + DAY * days(*(column.values for column in date))
    if _between(second, 0, 61, 1):
        values = values + _fraction(table, plain)
    _put(table, found["second"][0], values, "time")


def _join_in_order(table: Table, plain: Sequence[str]) -> None:
    """YY MM DD hh mm, as weather stations have them, with seconds behind these or without."""
    for place in range(len(plain) - 4):
        pairs = zip(IN_ORDER, plain[place:], strict=False)
        count = len([*takewhile(lambda pair: pair[0].fullmatch(pair[1]), pairs)])
        parts = table.columns[place : place + count]
        if count < 5 or not all(
            _between(column, *bounds, 0 if k == 5 else 1)
            for k, (column, bounds) in enumerate(zip(parts, BOUNDS, strict=False))
        ):
            continue
        year, *date = (column.values for column in parts[:3])
        values = DAY * days(year + (2000 if year.max() < 100 else 0), *date)
        for column, unit in zip(parts[3:], (3600, 60, 1), strict=False):
            values = values + unit * column.values
        for k in range(place, place + count):
            _put(table, k, values, "time")
        return


def _join_seconds(table: Table, plain: Sequence[str]) -> None:
    """sec beside usec."""
    wholes = [k for k, name in enumerate(plain) if WHOLE.fullmatch(name)]
    if len(wholes) != 1 or not _between(table.columns[wholes[0]], 0, 1e11, 1):
        return
    fraction = _fraction(table, plain)
    if np.any(fraction):
        whole = table.columns[wholes[0]]
        _put(table, wholes[0], whole.values + fraction, whole.kind)


def _join_carried(table: Table) -> None:
    """Whole seconds beside what goes from 999 to 0, or from 999,999, wherever they go up by 1: in
    columns without names."""
    for place, (column, part) in enumerate(pairwise(table.columns)):
        if not _between(column, 0, 4e9, 1) or not _between(part, 0, 1e9, 0):
            continue
        ups, falls = (np.diff(own.values) for own in (column, part))
        if set(np.unique(ups)) != {0, 1} or not np.array_equal(ups == 1, falls < 0):
            continue
        most = next(most for most in IN_A_SECOND.values() if part.values.max() < most)
        if (ups == 1).sum() > 1 and np.ptp(part.values) > 0.9 * most:
            _put(table, place, column.values + part.values / most, "time")
            table.changes.append(f"'{column.name}' and '{part.name}' read as one clock")
            return


def _read_digits(table: Table, plain: Sequence[str]) -> None:
    """120059 as 12:00:59: where numbers are all of that form, and go from 59 to 100."""
    if any(column.kind == "time" for column in table.columns):
        return
    for place, column in enumerate(table.columns):
        values = column.values
        if column.kind != "number" or len(values) < 2 or (np.diff(values[:SOME]) < 0).any():
            continue
        if not _between(column, 0, 240_000_000, 0):
            continue
        values = values if values.max() < 240_000 else values / 1000  # hhmmssmmm
        if (np.floor(values[:: max(1, len(values) // 1000)]) % 100).max() > 60:
            continue  # as of most columns, and fast
        digits = np.floor(values)
        second, minute, hour = digits % 100, digits // 100 % 100, digits // 10_000
        if second.max() > 60 or minute.max() > 59:
            continue
        seconds = 3600 * hour + 60 * minute + second + values % 1
        steps = np.diff(seconds)
        at_midnight = (steps < 0).sum() == 1 and steps.min() < -DAY / 2
        ahead = steps[steps > 0]
        usual = steps <= GAP * (np.median(ahead) if len(ahead) else 0.0)  # behind a gap, anything
        turns = int((usual & (np.abs(np.diff(values) - steps) > 1)).sum())  # from 59 to 100
        told = (
            0 < turns < 0.5 * np.count_nonzero(steps) or DIGITS.fullmatch(plain[place]) is not None
        )
        if told and steps.any() and (at_midnight or (steps >= 0).all()):
            _put(table, place, seconds, "time")
            table.changes.append(f"'{column.name}' read as hours, minutes and seconds (hhmmss)")
            return


def _fraction(table: Table, plain: Sequence[str]) -> np.ndarray | float:
    """The part of a second that a column of its own counts; 0 without one."""
    for place, name in enumerate(plain):
        found = FRACTION.fullmatch(name)
        if found is None or found.lastgroup is None:
            continue
        column, most = table.columns[place], IN_A_SECOND[found.lastgroup]
        if _between(column, 0, most, 1) and np.ptp(column.values) > 0.5 * most:
            return column.values / most
    return 0.0


def _between(column: Column, low: float, below: float, step: float) -> bool:
    """Whether it holds nothing but numbers in a range, multiples of `step` unless that is 0."""
    values = column.values
    if column.kind == "text" or column.wrong is not None or not np.isfinite(values).all():
        return False
    if not ((values >= low) & (values < below)).all():
        return False
    return not step or bool((values % step == 0).all())


def _put(table: Table, place: int, values: np.ndarray, kind: str) -> None:
    column = table.columns[place]
    table.columns[place] = Column(column.name, "s", kind, values)
    table.clock = place
