"""metrics.csv: a row for each evaluation, safe on the card as soon as it is known."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raspitrain.errors import InputError
from raspitrain.results import atomic
from raspitrain.results.figures import type_of_column

if TYPE_CHECKING:
    import numpy as np

COLUMNS = tuple(type_of_column)
HEADER = ",".join(COLUMNS)

MORE_ROWS = 1000  # that a `Table` grows by, 144 kB, which stay where they are

Row = dict[str, int | float | None]


class Table:
    """The rows of a run in little memory, 9 bytes a cell, and metrics.csv kept up with them.

        table = Table(folder / "metrics.csv")
        table.append(row)
        table.write()

    Rows that a full card refuses are written by a later `write`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._clear()
        self.num_written: int | None = 0  # None: the file is to be written anew

    def _clear(self) -> None:
        self.num_rows = 0
        # Values, and which cells are not empty, of MORE_ROWS each.
        self.blocks: list[tuple[np.ndarray, np.ndarray]] = []

    def __len__(self) -> int:
        return self.num_rows

    def __iter__(self) -> Iterator[Row]:
        return map(self.row, range(len(self)))

    def some(self, most: int) -> list[Row]:
        """Rows for a picture: all of them, or where there are more than `most` one in so many."""
        every = max(1, -(-len(self) // most))
        return [self.row(number) for number in range(len(self) - 1, -1, -every)][::-1]

    def row(self, number: int) -> Row:
        """A row by its number, without the cells that are empty."""
        block, at = divmod(number % len(self), MORE_ROWS)
        values, given = self.blocks[block]
        cells = zip(type_of_column.items(), values[at].tolist(), given[at].tolist(), strict=True)
        return {column: kind(value) for (column, kind), value, given in cells if given}

    def append(self, row: Mapping[str, int | float | None]) -> None:
        """Add a row to the table, not yet to the file. ValueError: a key that is no column."""
        import numpy as np  # a sweep reads tables, and keeps none

        _check_columns(row)
        at = self.num_rows % MORE_ROWS
        if at == 0:
            shape = (MORE_ROWS, len(COLUMNS))
            self.blocks.append((np.zeros(shape), np.zeros(shape, dtype=np.uint8)))
        values, given = self.blocks[-1]
        cells = [row.get(column) for column in COLUMNS]
        values[at] = [0.0 if cell is None else cell for cell in cells]
        given[at] = [cell is not None for cell in cells]
        self.num_rows += 1

    def write(self) -> None:
        """Put what is missing into the file and wait until it is on the card.

        Raises
        ------
        OSError
            The card is full, read-only or broken; the file holds whole rows, the rest is kept.
        """
        if self.num_written is None:
            lines = [f"{HEADER}\n", *map(_format, self)] if len(self) else []
            data = "".join(lines).encode()
            # A card wears by writing.
            if not self.path.exists() or self.path.read_bytes() != data:
                atomic.write_atomic(self.path, data)
            self.num_written = len(self)
        while self.num_written < len(self):
            written, self.num_written = self.num_written, None  # nobody knows what a failure left
            append_row(self.path, self.row(written))
            self.num_written = written + 1

    def state(self) -> dict[str, Any]:
        """The rows as plain values and tensors, for a checkpoint.

        The tensors are the table's own memory: write them before the next row comes.
        """
        import torch

        parts: dict[str, Any] = {"values": [], "given": []}
        for block, (values, given) in enumerate(self.blocks):
            used = self.num_rows - block * MORE_ROWS  # more than all of it, of all but the last
            parts["values"].append(torch.from_numpy(values[:used].reshape(-1)))
            parts["given"].append(torch.from_numpy(given[:used].reshape(-1)))
        return {"columns": list(COLUMNS), **parts}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take the rows of `state`; whatever the file holds, `write` makes it hold these.

        Raises
        ------
        KeyError, TypeError, ValueError, AttributeError
            `state` does not fit.
        """
        columns = state["columns"]
        self._clear()
        self.num_written = None
        for values, given in zip(state["values"], state["given"], strict=True):
            if values.shape != given.shape or values.ndim != 1 or len(values) % len(columns):
                raise ValueError("not a table")
            for start in range(0, len(values), len(columns)):
                cells = zip(
                    columns,
                    values[start : start + len(columns)].tolist(),
                    given[start : start + len(columns)].tolist(),
                    strict=True,
                )
                self.append({column: value for column, value, is_given in cells if is_given})


def append_row(path: str | os.PathLike[str], row: Mapping[str, int | float | None]) -> None:
    """Add one row and wait until it is on the card.

    Floats are written with as many digits as it takes to read back the same number, so the same
    run gives the same bytes. What a power cut left of an unfinished row is removed first.

    Parameters
    ----------
    row : a value for any of `COLUMNS`; those left out or None become empty cells

    Raises
    ------
    ValueError
        A key that is no column.
    OSError
        The card is full, read-only or broken; the next call starts from the last whole row.
    """
    _check_columns(row)
    atomic.append_lines(Path(path), _format(row), header=HEADER, sync=True)


def read_rows(path: str | os.PathLike[str]) -> list[Row]:
    """Read the table back; a torn last row is left out, empty cells are None.

    A table of an earlier version may lack columns.

    Raises
    ------
    InputError
        No such file, or not a metrics.csv of raspitrain.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    lines = data[: data.rfind(b"\n") + 1].decode("utf-8", "replace").split("\n")[:-1]
    if not lines:
        return []
    columns = lines[0].split(",")
    if columns != [column for column in COLUMNS if column in columns] or "epoch" not in columns:
        raise InputError(f"{path} is not a metrics.csv of this raspitrain: its header differs")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        row = _parse(line, columns)
        if row is not None:
            rows.append(row)
        elif number < len(lines):
            raise InputError(f"{path} is damaged in line {number}")
    return rows


def last_row(path: str | os.PathLike[str]) -> Row | None:
    """The latest row of a table that may be growing; None as long as there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return None
    return _parse(lines[-2]) if len(lines) > 2 else None


def _check_columns(row: Mapping[str, Any]) -> None:
    unknown = set(row) - set(COLUMNS)
    if unknown:
        raise ValueError(f"metrics.csv has no column {', '.join(sorted(unknown))}")


def _format(row: Mapping[str, int | float | None]) -> str:
    cells = []
    for column, kind in type_of_column.items():
        value = row.get(column)
        cells.append("" if value is None else repr(kind(value)))
    return ",".join(cells) + "\n"


def _parse(line: str, columns: Sequence[str] = COLUMNS) -> Row | None:
    cells = line.split(",")
    if len(cells) != len(columns):
        return None
    try:
        return {
            column: type_of_column[column](cell) if cell else None
            for column, cell in zip(columns, cells, strict=True)
        }
    except ValueError:
        return None
