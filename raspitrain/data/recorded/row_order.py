"""Rows that stand in no order of time: newest first, or mixed as where packets overtook."""

import numpy as np

from raspitrain.data.files.csv_file import Column, Table
from raspitrain.data.files.missing import is_missing
from raspitrain.data.files.time_names import is_time_name
from raspitrain.data.recorded.columns import LEAST_ROWS, SELDOM

MANY_BACK = 0.1  # of the steps, from which it is no clock that is set back
DIFFERENT = 0.99  # of the stamps: what begins anew again and again is several recordings
ALIKE = 0.9  # of the steps, once the rows are in order


def in_order_of_time(table: Table, time_column: int | None) -> Table:
    """The table with its rows in order of time, if they are not and that makes an even clock of it.

    Parameters
    ----------
    time_column : int or None
        Which it is; None for the first that is called as time is, or holds dates.
    """
    place = _place_of_time(table, time_column)
    if place is None or table.num_rows < LEAST_ROWS or table.columns[place].kind == "text":
        return table
    values = table.columns[place].values
    steps = np.diff(values)
    if np.count_nonzero(steps < 0) <= MANY_BACK * len(steps) or not np.isfinite(values).all():
        return table
    order = np.argsort(values, kind="stable")
    if (values[:-1] >= values[1:]).all():
        order = np.arange(len(values))[::-1]  # those of one stamp are newest first as well
    ahead = np.diff(values[order])
    usual = np.median(ahead[ahead > 0]) if (ahead > 0).any() else 0.0
    alike = np.mean(np.abs(ahead - usual) <= 0.5 * usual)
    if np.count_nonzero(ahead) < DIFFERENT * len(ahead) or alike < ALIKE:
        return table
    ordered = table.take(order)
    ordered.changes.append(f"rows put in order of '{table.columns[place].name}'")
    return ordered


def without_events(table: Table) -> Table:
    """The table without rows that hold no number but the time, where as many have a word in
    columns that are else empty: what happened, such as a blink or the logger's stop, no sample."""
    words = sum(map(_seldom_words, table.columns))
    if not words:
        return table
    empty = np.ones(table.num_rows, dtype=bool)
    for column in table.columns:
        counts = column.kind == "number" and (np.diff(column.values) == 1).all()
        if column.kind != "text" and not counts and not _is_time(column):
            empty &= np.isnan(column.values)
    num_events = int(empty.sum())
    if not 0 < num_events <= words:
        return table
    kept = table.take(np.flatnonzero(~empty))
    kept.changes.append(f"rows that say an event and no sample left out ({num_events})")
    return kept


def _seldom_words(column: Column) -> int:
    """How many rows have a word in a column that holds no more; 0 where it is no such column."""
    if column.kind == "text":
        missing = np.array([*map(is_missing, column.words), False])
        count = int((~missing[np.minimum(column.values, len(column.words))]).sum())
    else:
        count = 0 if column.wrong is None or not np.isnan(column.values).all() else column.wrong[0]
    return count if count < SELDOM * len(column.values) else 0


def without_repeats(table: Table, time_column: int | None) -> Table:
    """The table without rows that say again what the one before says, stamp and all, where each
    stamp then stands once: some loggers write each sample twice."""
    place = _place_of_time(table, time_column)
    if place is None or table.num_rows < LEAST_ROWS or table.columns[place].kind == "text":
        return table
    stamps = table.columns[place].values
    still = np.flatnonzero(stamps[1:] == stamps[:-1]) + 1
    if not len(still):
        return table
    for column in table.columns:
        now, before = column.values[still], column.values[still - 1]
        if not ((now == before) | ((now != now) & (before != before))).all():
            return table
    kept = np.delete(np.arange(table.num_rows), still)
    if len(kept) < LEAST_ROWS:
        return table
    single = table.take(kept)
    single.changes.append(f"rows that repeat the one before left out ({len(still)})")
    return single


def _place_of_time(table: Table, time_column: int | None) -> int | None:
    if time_column is not None or table.clock is not None:
        return table.clock if time_column is None else time_column
    return next((k for k, column in enumerate(table.columns) if _is_time(column)), None)


def _is_time(column: Column) -> bool:
    return column.kind == "time" or (column.kind == "number" and is_time_name(column.name))
