"""telemetry.csv: what the board said while a run went on, in a file that stays small.

A row stands for `seconds` of the run. Where the file would hold more than MOST_ROWS, each two rows
become one, so that a week takes as much of the card as an hour.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from raspitrain.results import atomic

# How two neighbours become one row: "last", "sum", "most", or "mean" over their seconds.
MERGED = {
    "time": "last",  # seconds since 1970, at the row's end
    "seconds": "sum",
    "temperature_c": "most",
    "clock_mhz": "mean",
    "throttled": "most",  # 1: the processor was held back
    "under_voltage": "most",
    "watts": "mean",
    "memory_mb": "most",  # resident
    "load": "mean",  # processes that wanted a core, over a minute
    "samples_per_second": "mean",
    "pauses": "sum",  # begun by the thermal guard
    "paused_seconds": "sum",
    "dropped_threads": "sum",
}
COLUMNS = tuple(MERGED)
HEADER = ",".join(COLUMNS)
DIGITS = {"seconds": 3, "paused_seconds": 3, "watts": 3, "load": 2}  # after the point; others 1
MOST_ROWS = 10_000

Row = dict[str, float | None]


def merge(rows: Sequence[Mapping[str, float | None]]) -> Row:
    """One row for all of `rows`; None where none of them knows."""
    merged: Row = {}
    for column, way in MERGED.items():
        known = [(v, row["seconds"] or 0.0) for row in rows if (v := row.get(column)) is not None]
        values = [value for value, _ in known]
        weight = sum(seconds for _, seconds in known)
        if not values:
            merged[column] = None
        elif way == "last":
            merged[column] = values[-1]
        elif way == "sum":
            merged[column] = sum(values)
        elif way == "most" or weight <= 0:
            merged[column] = max(values)
        else:
            merged[column] = sum(value * seconds for value, seconds in known) / weight
    return merged


def append_telemetry(path: Path, rows: Iterable[Mapping[str, float | None]]) -> None:
    """Add rows in one write; what a power cut left of an unfinished row is removed first.

    Nothing is forced onto the card: a minute of telemetry is not worth its wear.

    Raises
    ------
    OSError
        The card is full, read-only or broken; none of the rows is in the file.
    """
    atomic.append_lines(path, "".join(map(_format, rows)), header=HEADER, sync=False)


def write_telemetry(path: Path, rows: Iterable[Mapping[str, float | None]]) -> None:
    """Put `rows` in the place of all that is there."""
    atomic.write_atomic(path, f"{HEADER}\n{''.join(map(_format, rows))}".encode())


def read_telemetry(path: str | os.PathLike[str]) -> list[Row]:
    """The rows that can be read; telemetry is no reason for a run to stop."""
    try:
        lines = Path(path).read_text(errors="replace").split("\n")
    except OSError:
        return []
    names = lines[0].split(",")
    rows = []
    for line in lines[1:-1]:
        cells = line.split(",")
        if len(cells) != len(names):
            continue
        try:
            row = {n: float(c) if c else None for n, c in zip(names, cells, strict=True)}
        except ValueError:
            continue
        if row.get("time") is not None and row.get("seconds") is not None:
            rows.append({column: row.get(column) for column in COLUMNS})
    return rows


def _format(row: Mapping[str, float | None]) -> str:
    cells = []
    for column in COLUMNS:
        value = row.get(column)
        digits = DIGITS.get(column, 1)
        cells.append("" if value is None else f"{round(value, digits):.10g}".replace("e+", "e"))
    # A time in seconds has ten digits before the point.
    if row.get("time") is not None:
        cells[0] = f"{row['time']:.1f}"
    return ",".join(cells) + "\n"
