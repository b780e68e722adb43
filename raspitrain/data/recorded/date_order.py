"""Dates such as 5/6/2024, of which each could be of May or of June: how they are read."""

from collections.abc import Iterator, Sequence

import numpy as np

from raspitrain.data.files.csv_file import Column, Table
from raspitrain.data.files.dates import DAY, swapped
from raspitrain.errors import InputError, counted

ORDERS = {"dmy": True, "mdy": False}  # what dataset.time_unit may say of dates
PLAIN, ODD = 2 * DAY, 20 * DAY  # the longest steps in a recording of a few days, read right and not


def settle_table(table: Table, asked: str | None) -> None:
    """Read the dates of a file as the user says; else, where no day above 12 tells the order, as
    makes the longest step a day or two and not weeks.

    Raises
    ------
    InputError
        The dates are in the other order than the user says.
    """
    for column in _dated(table):
        if asked in ORDERS:
            if column.is_told and column.day_first != ORDERS[asked]:
                raise InputError(
                    f"{table.path}, column '{column.name}': a {_word(column.day_first)} above 12 "
                    f"comes first, as in {_written(column.day_first)}, which is not what "
                    f"dataset.time_unit={asked} says."
                )
            _read_as(column, ORDERS[asked])
            column.is_told = True
        elif not column.is_told:
            own, other = _longest_step(column.values), _longest_step(swapped(column.values))
            if min(own, other) <= PLAIN and max(own, other) >= ODD:
                _read_as(column, column.day_first == (own < other))
                column.is_told = True


def settle(tables: Sequence[Table], asked: str | None) -> tuple[list[str], list[str]]:
    """Read all dates in one order, that of files which tell it; returns notes and warnings."""
    found = [(k, column) for k, table in enumerate(tables) for column in _dated(table)]
    columns = [column for _, column in found]
    if asked in ORDERS and not columns:
        raise InputError(
            f"dataset.time_unit={asked} is for dates such as 5/6/2024, and no recording has them."
        )
    unsure = [column for column in columns if not column.is_told]
    if not unsure:
        return [], []
    told = {column.day_first for column in columns if column.is_told}
    number = len({k for k, column in found if column.is_told})
    for column in unsure:
        _read_as(column, next(iter(told)) if len(told) == 1 else unsure[0].day_first)
    how = f"dates are read as {_written(unsure[0].day_first)}"
    if len(told) == 1:
        return [f"{how}, as {counted(number, 'file')} of {len(tables)} tell"], []
    matters = len(told) > 1 or any(
        abs(_longest_step(c.values) - _longest_step(swapped(c.values))) > DAY / 2 for c in unsure
    )
    other = "mdy" if unsure[0].day_first else "dmy"
    why = "files tell both orders" if told else "nothing tells"
    how += f", though {why}; if the {_word(not unsure[0].day_first)} comes first, say "
    how += f"dataset.time_unit={other}"
    return ([], [how]) if matters else ([how], [])


def _dated(table: Table) -> Iterator[Column]:
    return (column for column in table.columns if column.day_first is not None)


def _read_as(column: Column, day_first: bool | None) -> None:
    if column.day_first != day_first:
        column.values, column.day_first = swapped(column.values), day_first


def _longest_step(seconds: np.ndarray) -> float:
    known = np.sort(seconds[np.isfinite(seconds)])
    return float(np.diff(known).max()) if len(known) > 1 else 0.0


def _word(day_first: bool | None) -> str:
    return "day" if day_first else "month"


def _written(day_first: bool | None) -> str:
    return "day/month/year" if day_first else "month/day/year"
