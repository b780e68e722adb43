"""A file of a recording as it was read: its table, and which columns are labels and groups."""

import csv
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path

import numpy as np

from raspitrain.data.files.csv_file import Column, Table, locate
from raspitrain.data.files.endings import stem_of
from raspitrain.data.files.formats import read_recording_file
from raspitrain.data.files.missing import is_missing
from raspitrain.data.files.time_names import LONGEST_NAME, is_step_name
from raspitrain.data.recorded.clock_parts import add_up_steps, join_clock
from raspitrain.data.recorded.columns import (
    LEAST_ROWS,
    Facts,
    is_list,
    is_time_name,
    lists_of,
    look_at,
)
from raspitrain.data.recorded.date_order import settle_table
from raspitrain.data.recorded.folder import without
from raspitrain.data.recorded.parts import part_of
from raspitrain.data.recorded.row_order import in_order_of_time, without_events, without_repeats
from raspitrain.errors import InputError

TABLES = (".csv", ".tsv", ".txt", ".dat")
# In the names of a table of signals and of one of labels that belong together.
OF_PAIR = frozenset(("x", "y", "data", "label", "labels", "signal", "signals", "target", "targets"))
LEAST_STEPS = 1000
MOST_WRITTEN = 0.1  # of the rows, where a word stands for those below it
SERIAL = re.compile(r"\s*\([^()]*\d{5,}[^()]*\)|[\W_]*\d{5,}")


@dataclass(frozen=True)
class Asked:
    """What the user says about columns; see `raspitrain.data.recordings.recordings`."""

    columns: Sequence[str | int] | None = None
    label_column: str | int | None = None
    group_column: str | int | None = None
    part_column: str | int | None = None
    time_column: str | int | bool | None = None
    time_unit: str | None = None
    skip_lines: int = 0
    sensor_column: str | int | bool | Sequence[str | int] | None = None
    annotated: bool = False  # whether files beside the recordings say the class
    recordings: Sequence[Path] = field(default=(), compare=False)  # all files that are taken
    # What is found beside the first recording of a folder is the same for the others.
    tables: dict[Path, list[Path]] = field(default_factory=dict, compare=False)
    labels: dict[Path, tuple[list[str], dict[str, dict[str, str]]]] = field(
        default_factory=dict, compare=False
    )

    @property
    def steps(self) -> list[str]:
        """The channels asked for that may be the time from sample to sample."""
        every = map(str, self.columns or ())
        return [own for own in every if is_step_name(own) or own.lstrip("-").isdigit()]

    @property
    def changes_within(self) -> bool:
        """Whether the class may change within a recording."""
        return self.annotated or self.label_column is not None


@dataclass
class SensorFile:
    """A file that has been read.

    Attributes
    ----------
    table : Table
        Of which columns of numbers are float32, but for those that may be time, and signals on an
        offset so large that float32 could not hold them.
    facts : list of Facts
        Of each column.
    label, group, part : int or None
        Where those columns are.
    digests : list of bytes
        Of each column's values, to find copies by.
    by_key : bool
        Whether the labels are from another file.
    """

    table: Table
    facts: list[Facts]
    label: int | None
    group: int | None
    digests: list[bytes]
    part: int | None = None
    by_key: bool = False

    @property
    def path(self) -> Path:
        return self.table.path

    def words(self, position: int) -> list[str]:
        """The cell of each row of a column of text; "" where it means that there is none."""
        column = self.table.columns[position]
        clean = ["" if is_missing(word) else word for word in column.words]
        return [clean[code] for code in column.values.tolist()]


@np.errstate(invalid="ignore")  # differences of infinite cells, which count as missing
def read_file(path: Path, asked: Asked) -> SensorFile:
    """Read a file and see how its columns behave."""
    named = (asked.label_column, asked.group_column, asked.part_column)
    as_text = [name for name in named if name is not None]
    table = read_recording_file(path, as_text=as_text, skip_lines=asked.skip_lines)
    wanted = asked.label_column
    by_key = None
    if isinstance(wanted, str) and not wanted.isdigit() and wanted not in table.names:
        by_key = _label_by_key(table, asked)
        table.columns += [] if by_key is None else [by_key]
    try:
        label = _place(table, asked.label_column, "label_column")
    except InputError as error:
        raise InputError(f"{str(error)[:-1]}{_label_elsewhere(path, asked)}.") from None
    group = _place(table, asked.group_column, "group_column")
    part = _place(table, asked.part_column, "part_column")
    join_clock(table)
    if asked.time_column is not False:
        add_up_steps(table, asked.steps)
    settle_table(table, asked.time_unit)
    if asked.time_column is not False and group is None:
        told = asked.time_column if not isinstance(asked.time_column, bool) else None
        place = _place(table, told, "time_column")
        table = without_repeats(in_order_of_time(without_events(table), place), place)
    for place in (label, group, part):
        if place is not None and _fill_down(table.columns[place]):
            table.changes.append(
                f"'{table.columns[place].name}' stands at the first row of each stretch alone, and "
                "is taken for the rows below it"
            )
    if label is not None and len(table.columns[label].words) > 1000:
        raise InputError(
            f"{path}: column '{table.columns[label].name}', which dataset.label_column names, has "
            f"more than 1000 different labels; name the column that holds the class."
        )
    if label is not None and (odd := sorted(filter(is_missing, table.columns[label].words))):
        odd = [f"'{word}'" for word in odd if word]
        table.changes += [f"rows whose label is {' or '.join(odd)} count as unlabelled"] * bool(odd)
    return replace(examine(table, label, group, part), by_key=by_key is not None)


def _fill_down(column: Column) -> bool:
    """Give rows without a word the one above, where words stand in single rows, as in merged cells
    of a spreadsheet, and one in the first."""
    if column.kind != "text":
        return False
    empty = np.array([is_missing(word) for word in column.words] + [False])
    written = np.flatnonzero(~empty[column.values])
    seldom = len(written) <= MOST_WRITTEN * len(column.values)
    if not len(written) or written[0] or not seldom or (np.diff(written) == 1).any():
        return False
    stretches = np.diff(np.append(written, len(column.values)))
    column.values = np.repeat(column.values[written], stretches)
    return True


def _tables_beside(path: Path, asked: Asked) -> list[Path]:
    """Files beside the recording that have the column of labels."""
    folder = path.parent
    if folder not in asked.tables:
        asked.tables[folder] = _tables_with(folder, str(asked.label_column))
    return [other for other in asked.tables[folder] if other != path]


def _tables_with(folder: Path, label_column: str) -> list[Path]:
    found = []
    for other in sorted(folder.iterdir()):
        if other.suffix.lower() not in TABLES or not other.is_file():
            continue
        if label_column in _head(other):
            found.append(other)
    return found


def _head(path: Path) -> list[str]:
    """The names in the first line of a text; none of what cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            head = re.split(r"[,;\t]", file.readline(1 << 16).strip("\ufeff\r\n"))
    except OSError:
        return []
    return [name.strip(" \"'") for name in head]


def _labelled_head(path: Path, asked: Asked) -> list[str]:
    """The names in a text's first line, if the column of labels is among them."""
    head = _head(path) if path.suffix.lower() in TABLES else []
    return head if str(asked.label_column) in head else []


def _label_elsewhere(path: Path, asked: Asked) -> str:
    """Where other files have the column of labels, what to do with them."""
    own = len(_head(path))
    have = [p for p in asked.recordings if len(_labelled_head(p, asked)) > own]
    if have and len(have) < len(asked.recordings):
        folders = {p.parent for p in asked.recordings if p not in have}
        lead = os.path.commonpath([p.parent for p in asked.recordings])
        patterns = {
            os.path.relpath(p if p.parent in folders else p.parent / f"*{p.suffix}", lead)
            for p in have
        }
        shown = ",".join(f'"{pattern}"' for pattern in sorted(patterns))
        return (
            f"; {len(have)} of {len(asked.recordings)} files have it, and are taken alone with "
            f"'dataset.files=[{shown}]'"
        )
    for other in _tables_beside(path, asked):
        return (
            f"; {other.name} beside it has one: if that has a row for each recording, write it as "
            "labels.csv, with the recordings' names and classes as the columns file and label, and "
            f"leave it out with {without(other)}; else join both by what they have in common (such "
            "as pandas' merge) into one file, with a column for dataset.group_column"
        )
    return ""


def _label_by_key(table: Table, asked: Asked) -> Column | None:
    """The column of labels from a table beside the recording, where that gives one to each value
    of a column that both have, such as series_id, or has as many rows and no such column.

    Raises
    ------
    InputError
        Several fit, and their names do not say which is meant.
    """
    fitting: dict[str, list[tuple[Path, list[str]]]] = {}
    for other in _tables_beside(table.path, asked):
        if other not in asked.labels:
            asked.labels[other] = _labels_by_key(other, str(asked.label_column))
        labels, by_column = asked.labels[other]
        shared = set(by_column) & set(table.names)
        keys = [name for name in by_column if table.names.count(name) == 1]
        keys = [asked.group_column] if asked.group_column in keys else keys
        how = "row by row"
        if len(keys) == 1:
            of_key, own = by_column[str(keys[0])], _cells(table, str(keys[0]))
            if of_key.keys().isdisjoint(own):
                continue
            labels, how = [of_key.get(key, "") for key in own], f"by '{keys[0]}'"
        elif shared or not LEAST_ROWS <= len(labels) == table.num_rows:
            continue
        parts = {_part_of_pair(table.path), _part_of_pair(other)} - {None}
        if len(parts) < 2:  # y_train.csv is not of X_test.csv
            fitting.setdefault(how, []).append((other, labels))
    for how, found in sorted(fitting.items()):  # by a column first
        of_name = [own for own in found if _name_of_pair(own[0]) == _name_of_pair(table.path)]
        if len(of_name or found) > 1:
            (first, _), (second, _), *_ = of_name or found
            raise InputError(
                f"{table.path}: {first.name} and {second.name} beside it have a column "
                f"'{asked.label_column}', and each fits {how}; call that which is meant "
                f"labels_{stem_of(table.path.name)}{first.suffix}."
            )
        ((other, labels),) = of_name or found
        words = (*sorted(set(labels) - {""}), "")
        code = {word: k for k, word in enumerate(words)}
        values = np.array([code[label] for label in labels], dtype=np.int32)
        table.changes.append(f"'{asked.label_column}' taken from {other.name} {how}")
        return Column(str(asked.label_column), "", "text", values, words)
    return None


def _name_of_pair(path: Path) -> list[str]:
    """The words of a file's name, without those that say that it holds signals or labels."""
    words = re.split(r"[\W_]+", stem_of(path.name).lower())
    return [word for word in words if word and word not in OF_PAIR]


def _part_of_pair(path: Path) -> int | None:
    return next((part for part in map(part_of, _name_of_pair(path)) if part is not None), None)


def _labels_by_key(path: Path, label_column: str) -> tuple[list[str], dict[str, dict[str, str]]]:
    """The labels of a table's rows, and for each column that of each of its values; of none where
    a value has several rows."""
    try:
        table = read_recording_file(path, as_text=[label_column], skip_lines=0)
        names, columns = table.names, [_cells(table, name) for name in table.names]
    except InputError:
        names, columns = _columns_of_words(path)
    if names.count(label_column) != 1:
        return [], {}
    labels = columns[names.index(label_column)]
    by_column = {
        name: dict(zip(columns[names.index(name)], labels, strict=True))
        for name in dict.fromkeys(names)
    }
    return labels, {
        name: of_key if len(of_key) == len(labels) else {} for name, of_key in by_column.items()
    }


def _columns_of_words(path: Path) -> tuple[list[str], list[list[str]]]:
    """The names and cells of a table without numbers; none of what is no table."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        sign = max(",;\t", key=file.readline().count)
        file.seek(0)
        try:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file, delimiter=sign)]
        except csv.Error:
            return [], []
    rows = [row for row in rows if row]
    if len({len(row) for row in rows}) != 1:
        return [], []
    clean = [["" if is_missing(cell) else cell for cell in row] for row in rows[1:]]
    return rows[0], [list(column) for column in zip(*clean, strict=True)] or [[] for _ in rows[0]]


def _cells(table: Table, name: str) -> list[str]:
    column = table.columns[table.names.index(name)]
    if column.kind != "text":
        return [f"{value:.15g}" for value in column.values.tolist()]
    words = ["" if is_missing(word) else word for word in column.words]
    return [words[code] for code in column.values.tolist()]


def examine(table: Table, label: int | None, group: int | None, part: int | None) -> SensorFile:
    """See how the columns of a table behave, and hold them in as few bytes as will do."""
    changes = np.empty(0, np.int64)
    if label is not None:
        changes = np.flatnonzero(np.diff(table.columns[label].values)) + 1
    seams = [np.flatnonzero(np.diff(table.columns[group].values))] if group is not None else []
    seams += [
        np.flatnonzero(np.diff(column.values) < 0)
        for column in table.columns
        if column.kind != "text" and is_time_name(column.name)
    ]
    seam = np.unique(np.concatenate(seams)) + 1 if seams else changes[:0]
    facts = [look_at(column, changes, seam) for column in table.columns]
    for column, fact in zip(table.columns, facts, strict=True):
        if column.kind == "number" and not (is_time_name(column.name) or fact.rises or fact.even):
            column.values = in_few_bytes(column.values)
        if column.kind == "number" and column.values.base is not None:
            column.values = column.values.copy()  # or it would keep the whole table
    digests = [
        hashlib.blake2b(np.ascontiguousarray(column.values).data, digest_size=16).digest()
        for column in table.columns
    ]
    return SensorFile(table, facts, label, group, digests, part)


def without_device(
    read: Sequence[dict[str, SensorFile]],
) -> tuple[list[dict[str, SensorFile]], list[str]]:
    """Names without the device, which is another in the next file: it leads all, or its serial
    number stands in brackets or as a number of five digits or more."""
    files = [file for sensors in read for file in sensors.values()]
    bare_names = [[*map(without_serial, file.table.names)] for file in files]
    alike = all(set(own) == set(bare_names[0]) and len(set(own)) == len(own) for own in bare_names)
    if alike and len({frozenset(file.table.names) for file in files}) > 1:
        every = (name for file in files for name in file.table.names)
        shown = next(name for name in every if without_serial(name) != name)
        for file, own in zip(files, bare_names, strict=True):
            for column, name in zip(file.table.columns, own, strict=True):
                column.name = name
        return list(read), [f"names taken without the device's number, as in '{shown}'"]
    lead = [common_lead(file.table.names) for file in files]
    names = [
        [name[len(own) :] for name in file.table.names]
        for file, own in zip(files, lead, strict=True)
    ]
    alike = all(set(own) == set(names[0]) and len(own) > 1 and "" not in own for own in names)
    if len(set(lead)) < 2 or not alike or not all(re.search(r"\d", own) for own in lead):
        return list(read), []
    for file, own in zip(files, names, strict=True):
        for column, name in zip(file.table.columns, own, strict=True):
            column.name = name
    return list(read), [f"names taken without what leads them in each file, such as {lead[0]}"]


def without_serial(name: str) -> str:
    """A column's name without the number of a device in it."""
    return name if len(name) > LONGEST_NAME else SERIAL.sub("", name) or name


def common_lead(names: Sequence[str]) -> str:
    """The whole words that all names begin with."""
    pairs = zip(min(names), max(names), strict=False)
    begin = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return re.sub(r"[^\W_]*$", "", begin)


def _place(table: Table, name: str | int | None, key: str) -> int | None:
    return None if name is None else locate(table.names, name, table.path, key)


def with_lists(files: Sequence[SensorFile], wanted: Sequence[str | int]) -> list[str | int]:
    """The columns that are asked for, once each place in lists of numbers has one of its own, as
    csi_7 of csi, where that or csi is asked for."""
    names = {str(name) for name in wanted} | {str(name).rpartition("_")[0] for name in wanted}
    spread: dict[str | int, list[str]] = {}
    for file in files:
        columns = [*file.table.columns]
        for place, column in enumerate(file.table.columns):
            if column.name not in names or column.kind != "text" or not is_list(column.words):
                continue
            places = np.ascontiguousarray(lists_of(file.path, column).T)
            new = [Column(f"{column.name}_{k}", "", "number", own) for k, own in enumerate(places)]
            columns[place : place + 1] = new[:1]
            columns += new[1:]
            spread[column.name] = [own.name for own in new]
        if len(columns) > len(file.table.columns):
            table = replace(file.table, columns=columns)
            new_file = examine(table, file.label, file.group, file.part)
            file.table, file.facts, file.digests = table, new_file.facts, new_file.digests
    return [own for name in wanted for own in spread.get(name, [name])]


def column_values(column: Column) -> np.ndarray:
    """A channel's samples (T,), float32 where that holds them."""
    return column.values if column.values.dtype == np.float32 else in_few_bytes(column.values)


def in_few_bytes(values: np.ndarray) -> np.ndarray:
    """float32, or as they are where that has fewer than `LEAST_STEPS` steps in their range."""
    with np.errstate(over="ignore", invalid="ignore"):
        small = values.astype(np.float32)
    known = small[np.isfinite(small)]
    if not len(known):
        return small
    step = float(np.spacing(np.abs(known).max()))
    if step < 1e-6 * float(np.ptp(known)):
        return small  # as almost always
    inner = values[np.isfinite(small)]
    if (spread := float(np.ptp(inner))) == 0 or step * LEAST_STEPS < spread:
        return small
    return values
