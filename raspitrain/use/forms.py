"""Lines of a stream that are more than plain CSV: JSON, and whatever `raspitrain data` reads of a
text file, such as numbers among words, brackets around rows, lines about the device first."""

import csv
import json
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from raspitrain.data.files.date_shapes import is_time
from raspitrain.data.files.records import flattened, spread
from raspitrain.data.files.time_names import SECONDS, unit_by_name
from raspitrain.errors import InputError
from raspitrain.use.columns import Columns, LineError, moment
from raspitrain.use.model import Model

if TYPE_CHECKING:
    from raspitrain.data.files.layout import Layout

LEAST_LINES = 8  # that tell of a form


class Form(Protocol):
    """Attributes: `columns`, which of its columns is which channel; `first`, how many of the lines
    that told of it stand before its first row."""

    columns: Columns
    first: int

    def rows(self, line: str) -> list[list[str]]: ...


class Records:
    """A record of JSON in each line, or a packet of them, under the names of the first."""

    first = 0

    def __init__(self, model: Model, record: dict[str, Any], source: str, time: str | None) -> None:
        dates = [name for name, own in record.items() if isinstance(own, str) and is_time(own)]
        self.columns = Columns(model, [*record], source, time_column=time)
        if self.columns.time is None and len(dates) == 1:
            self.columns = Columns(model, [*record], source, time_column=dates[0])
        self._needed = {self.columns.names[place] for place in self.columns.places}

    def rows(self, line: str) -> list[list[str]]:
        """The cells of each record, without those of other names, as training has it.

        Raises
        ------
        LineError
            The line is no JSON.
        """
        records = records_of(line)
        if records is None:
            raise LineError("it is no record of JSON.")
        return [
            [_cell(record.get(name)) for name in self.columns.names]
            for record in records
            if self._needed <= record.keys()
        ]


def records_of(line: str) -> list[dict[str, Any]] | None:
    """The records in a line, names in one another joined; None where it holds none."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        records = spread(flattened(json.loads(line)))
    except (ValueError, TypeError, RecursionError):
        return None
    for record in records:
        lists = [(name, own) for name, own in record.items() if isinstance(own, list)]
        record |= {f"{name}_{k}": cell for name, own in lists for k, cell in enumerate(own)}
    return records


def _cell(value: Any) -> str:
    if isinstance(value, int | float):
        return repr(float(value))
    return "" if value is None else str(value)


class Laid:
    """Lines as the reader of training finds them."""

    def __init__(self, found: "Layout", columns: Columns) -> None:
        self._found, self.columns, self.first = found, columns, found.first

    def rows(self, line: str) -> list[list[str]]:
        """The cells of each row in a line; none of a comment, or where its words are others.

        Raises
        ------
        LineError
            Names or units are others than before.
        """
        from raspitrain.data.files.cells import is_comment, is_rule
        from raspitrain.data.files.layout import cells_of, without_unit

        if is_comment(line, self._found.separator) or is_rule(line):
            return []
        try:
            rows = cells_of(self._found, line)
        except ValueError as error:
            raise LineError(f"it {error}.") from None
        units, times, time = self._found.in_cells, self._found.times, self.columns.time
        for cells in rows:
            for k in units.keys() & range(len(cells)):
                cells[k] = without_unit(cells[k], units[k])
            if time in times and time < len(cells):
                cells[time] = _seconds(cells[time], bool(times[time]))
        return rows


def _seconds(cell: str, day_comes_first: bool) -> str:
    """What a date says that is not written as ISO 8601 does; it takes numpy, as in training."""
    try:
        return repr(moment(cell))
    except LineError:
        with suppress(ModuleNotFoundError):  # by name: no part of what only uses models
            dates: Any = import_module("raspitrain.data.files.dates")
            return repr(float(dates.to_seconds([cell], day_comes_first=day_comes_first)[0]))
        raise


def _others(found: "Layout", lines: Sequence[str], model: Model) -> dict[str, list[float]]:
    """The numbers in lines that are of no channel, by their column."""
    from raspitrain.data.files.layout import cells_of

    apart = {*found.texts, *found.times}
    names = {k: n for k, n in enumerate(found.names) if k not in apart and n not in model.channels}
    rows = [row for line in lines for row in cells_of(found, line) if len(row) == len(found.names)]
    return {name: [float(row[k]) for row in rows] for k, name in names.items()}


def _counts(values: list[float]) -> bool:
    return all(b - a == 1 for a, b in pairwise(values))


def _clock_of(found: "Layout", others: dict[str, list[float]], model: Model) -> str | None:
    """The column of dates, if there is one; or that of numbers beside the channels, if it rises."""
    if len(found.times) == 1:
        return found.names[min(found.times)]
    if found.named and found.sentence is None:
        return None
    rising = [
        name
        for name, values in others.items()
        if all(a < b for a, b in pairwise(values)) and not (_counts(values) and model.rate != 1)
    ]
    return rising[0] if len(rising) == 1 else None


def find_form(lines: Sequence[str], model: Model, source: str, time: str | None) -> Form | None:
    """How lines are to be read that are no plain CSV; None where nothing in them fits the model."""
    from raspitrain.data.files.layout import find_layout  # only where needed: a start is short

    try:
        found = find_layout(lines)
        others = (
            {}
            if found.named and found.sentence is None
            else _others(found, lines[found.first :], model)
        )
        time = time or _clock_of(found, others, model)
        columns = Columns(model, list(found.names), source, time_column=time)
    except (ValueError, csv.Error, InputError):
        return None
    if columns.time is not None:
        unit = unit_by_name(found.names[columns.time], found.units[columns.time])
        columns.ticks = None if unit is None else 1 / SECONDS[unit]
        if columns.time in found.times:
            columns.ticks = 1.0
    apart = {*found.texts, *found.times, columns.time}
    numbers = {name for k, name in enumerate(found.names) if k not in apart}
    beside = {name for name, own in others.items() if len({*own}) == 1 or _counts(own)}
    if not found.named and numbers - beside != set(model.channels):
        return None  # channel_0 and channel_1 of other columns
    return Laid(found, columns)
