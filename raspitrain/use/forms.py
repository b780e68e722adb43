"""Lines of a stream that are more than plain CSV: JSON, and whatever `raspitrain data` reads of a
text file, such as numbers among words, brackets around rows, lines about the device first."""

import csv
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from raspitrain.data.files.records import flattened, spread
from raspitrain.data.files.time_names import SECONDS, unit_by_name
from raspitrain.errors import InputError
from raspitrain.use.columns import Columns, LineError
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
        self.columns = Columns(model, [*record], source, time_column=time)
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
        return spread(flattened(json.loads(line)))
    except (ValueError, TypeError, RecursionError):
        return None


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
        units = self._found.in_cells
        return [
            [without_unit(cell, units[k]) if k in units else cell for k, cell in enumerate(cells)]
            for cells in rows
        ]


def find_form(lines: Sequence[str], model: Model, source: str, time: str | None) -> Form | None:
    """How lines are to be read that are no plain CSV; None where nothing in them fits the model."""
    from raspitrain.data.files.layout import find_layout  # only where needed: a start is short

    try:
        found = find_layout(lines)
        if time is None and len(found.times) == 1:
            time = found.names[min(found.times)]
        columns = Columns(model, list(found.names), source, time_column=time)
    except (ValueError, csv.Error, InputError):
        return None
    if columns.time is not None:
        unit = unit_by_name(found.names[columns.time], found.units[columns.time])
        columns.ticks = None if unit is None else 1 / SECONDS[unit]
    apart = {*found.texts, *found.times, columns.time}
    numbers = {name for k, name in enumerate(found.names) if k not in apart}
    if not found.named and numbers != set(model.channels):
        return None  # channel_0 and channel_1 of other columns
    return Laid(found, columns)
