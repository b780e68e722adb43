"""Files with one case a row: the samples of one channel, and a label."""

import contextlib
import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raspitrain.data.arrays import Subset
from raspitrain.data.cases import Cases, FilledSignals, check_missing, filled_note, make_cases
from raspitrain.data.files.cells import is_number
from raspitrain.data.files.csv_file import Column, Table, locate
from raspitrain.data.files.formats import read_recording_file
from raspitrain.data.files.missing import is_missing
from raspitrain.data.files.npy_file import check_folder, user_path
from raspitrain.data.recorded.columns import (
    LEAST_ROWS,
    LIST,
    PARTS,
    is_count_name,
    is_list,
    is_part_name,
    is_person_name,
    lists_of,
    look_at,
    unused_columns,
)
from raspitrain.data.recorded.find import find_recordings
from raspitrain.data.recorded.folder import without
from raspitrain.data.recorded.parts import part_of, part_of_cell
from raspitrain.data.taken import Taken
from raspitrain.errors import InputError
from raspitrain.nearest import nearest

NUMBERED = re.compile(r"(?P<name>.*?[^\d_.\s\[(-])[_.\s\[(-]*(?P<number>\d+)[\])]?")
LEAST_LENGTH = 8  # samples a case
FEW_BEYOND = 10  # times as many columns on the other side of the label: the samples are there
SOME_CASES = 256
MOST_LOOKED_AT = 1 << 20  # bytes, for what is wrong with rows
MOST_IN_TURN = 12  # channels that may take turns in a row
IN_TURN = 0.4  # of the distance between neighbours
NO_PART, NO_CELL = -1, -2  # nothing says the part; a cell that should does not
MOST_BESIDE = 10  # columns of a file of labels
MOST_LABELS = 1000  # different ones; more are no classes


def rows(
    *,
    path: str,
    files: str | Sequence[str] | None,
    label_column: str | int | None,
    group_column: str | int | None,
    part_column: str | int | None,
    leave_out: Sequence[str | int],
    skip_lines: int,
    missing: str,
    interleaved: int | None,
) -> Cases:
    """Return the cases of one file or a folder of files that hold one in each row.

    Files called train and test, or in folders called so, are the data's own split.

    Parameters
    ----------
    path : str
        The file, or the folder.
    files : str, sequence of str or None
        Patterns of the files to take; None for every .csv and .tsv.
    label_column : str, int or None
        The column of the label by name or position: 0 is the first, -1 the last. None where the
        sub-folders name the classes, or the files where there are none.
    group_column : str, int or None
        The column that says whose a case is.
    part_column : str, int or None
        The column that says which part of the data's own split a case is of, by word (train,
        validation, test) or number (0, 1, 2).
    leave_out : sequence of str or int
        Classes that are not taken.
    skip_lines : int
        Lines of each file before its table.
    missing : {"error", "interpolate", "zero"}
        What becomes of empty cells, NaN and infinite values.
    interleaved : int or None
        Channels that take turns in a row, as x, y, z, x, y, z, …
    """
    check_missing(missing)
    place = user_path(path, "dataset.path")
    only = place.is_file()
    if not only:
        check_folder(place, "dataset.path")
    flat = not only and all(child.is_file() for child in place.iterdir())
    found = find_recordings(
        place.parent if only else place,
        files=[place.name] if only else [files] if isinstance(files, str) else files,
        class_level=0 if flat and label_column is None else None,
        groups=None,
        has_labels=label_column is not None,
        joins=False,
    )
    if label_column is not None and files is None and not only:
        _refuse_labels_apart(place)
    signals: list[np.ndarray] = []
    named: list[str] = []
    labels: list[str] = []
    groups: list[str] = []
    parts: list[np.ndarray] = []
    left_out: dict[str, str] = {}
    for source in found.sources:
        (file,) = source.files.values()
        values, own_labels, own_groups, own_parts, dropped, own_names = read_rows(
            file,
            label_column=label_column,
            group_column=group_column,
            part_column=part_column,
            skip_lines=skip_lines,
        )
        if signals and values.shape[1] != signals[0].shape[1]:
            raise InputError(
                f"{file} has {values.shape[1]} samples a row, but "
                f"{found.sources[0].name} has {signals[0].shape[1]}; all must have as many: "
                "cut the longer rows, or fill the shorter ones up with their last value."
            )
        if signals and own_names != named:
            own_names = []
        named = own_names
        left_out |= dropped
        signals.append(values)
        labels += own_labels or [source.class_name or ""] * len(values)
        groups += own_groups
        unknown = NO_PART if source.part is None else source.part
        parts.append(np.array(own_parts or [unknown] * len(values)))
    if label_column is None:
        signals = _without_labels(signals, left_out)
    names = np.array(labels)
    part = np.concatenate(parts)
    wanted = [str(name) for name in leave_out]
    for name in wanted:
        if name not in labels:
            known = sorted(set(labels))
            raise InputError(
                f"dataset.leave_out names '{name}', which is no class of {place}; "
                f"{nearest(name, known)}."
            )
    kept = np.flatnonzero((names != "") & ~np.isin(names, wanted) & (part != NO_CELL))
    notes = list(found.notes)
    if number := int((names == "").sum()):
        notes.append(f"{number} rows without a label left out")
    if number := int((part == NO_CELL).sum()):
        notes.append(f"{number} rows without a part left out")
    if wanted:
        notes.append(f"classes left out: {', '.join(wanted)}")
    every = np.concatenate(signals)[:, None]
    if label_column is not None:
        _refuse_one_hot(every[:, 0], names, place)
    warnings = list(found.warnings)
    if interleaved is not None:
        every, channel_names = _in_turn(every, interleaved, place), None
    elif named and len(named) == every.shape[2]:
        every, channel_names, note = _by_channel(every, named)
        notes += note
    else:
        channel_names = None
    if interleaved is None and every.shape[1] == 1:
        warnings += _perhaps_in_turn(every[:, 0])
    if missing != "error":
        count = int((~np.isfinite(every[kept])).sum())
        notes += filled_note(count, missing)
        every = FilledSignals(every, missing, count)[np.arange(len(every))]
    unused = unused_columns(
        [*left_out.items()], group_column is not None, has_part=part_column is not None
    )
    return make_cases(
        every[kept] if len(kept) == len(names) else Subset(every, kept),
        names[kept],
        source=str(place),
        missing="error",
        channel_names=channel_names,
        groups=np.array(groups)[kept] if groups else None,
        part=None if (part[kept] < 0).any() else part[kept],
        taken=Taken(
            left_out=tuple(left_out.items()),
            notes=tuple(notes),
            warnings=(*warnings, *unused),
        ),
    )


def _in_turn(every: np.ndarray, num_channels: int, place: Path) -> np.ndarray:
    """Cases (N, C, L) of rows (N, 1, L C)."""
    num_cases, _, width = every.shape
    if width % num_channels or width < 2 * num_channels:
        raise InputError(
            f"{place}: a case has {width} samples, which dataset.interleaved={num_channels} does "
            "not divide into as many for each channel."
        )
    return every.reshape(num_cases, -1, num_channels).transpose(0, 2, 1)


def _perhaps_in_turn(values: np.ndarray) -> list[str]:
    """A word where samples some places apart are nearer to each other than neighbours are."""
    some = values[:: max(1, len(values) // SOME_CASES)]
    some = some[np.isfinite(some).all(axis=1)].astype(np.float64)
    width = values.shape[1]
    apart = {
        k: float(np.median(np.mean(np.square(some[:, k:] - some[:, :-k]), axis=1)))
        for k in range(1, MOST_IN_TURN + 1)
        if len(some) and width >= LEAST_LENGTH * k and width % k == 0
    }
    best = next((k for k, own in apart.items() if own <= 1.2 * min(apart.values())), 1)
    if best == 1 or apart[best] > IN_TURN * apart[1]:
        return []
    return [
        f"samples {best} apart are nearer to each other than neighbours, as where {best} channels "
        f"take turns in a row: dataset.interleaved={best} takes them apart, and 1 says that they "
        "are of one"
    ]


def _refuse_labels_apart(folder: Path) -> None:
    """Say what to do with X_train.csv beside y_train.csv."""
    names = {path.name for path in folder.iterdir() if path.is_file()}
    for name in sorted(names):
        pair = f"y{name[1:]}" if name[:1] in "Xx" else ""
        if pair in names and name[1:2] in "_-.":
            raise InputError(
                f"{folder} has its labels in files of their own ({pair} for {name}), and "
                "dataset=rows takes them from a column: put them together in a folder apart, as "
                f"with: paste -d, {name} {pair} > joined/all{name[1:]}."
            )


def read_rows(
    file: Path,
    *,
    label_column: str | int | None,
    group_column: str | int | None = None,
    part_column: str | int | None = None,
    skip_lines: int = 0,
) -> tuple[np.ndarray, list[str], list[str], list[int], dict[str, str], list[str]]:
    """Read a file with one case a row.

    Returns
    -------
    values : np.ndarray
        float32 (N, L); NaN where a cell is missing.
    labels, groups : list of str
        Of each case, whole numbers as 1 however they are written, "" where there is none; empty
        lists without such a column.
    parts : list of int
        Likewise; -2 where there is none.
    left_out : dict
        Columns that are no samples, and why.
    names : list of str
        Of the columns of samples; an empty list where the file has none.
    """
    asked = [n for n in (label_column, group_column, part_column) if n is not None]
    try:
        table = read_recording_file(file, as_text=asked, skip_lines=skip_lines)
        label = None if label_column is None else _place(table, label_column, "label_column")
    except InputError:
        with contextlib.suppress(OSError, IndexError, csv.Error):  # as what is no text
            _refuse_unlike_rows(file, label_column)
        raise
    group = None if group_column is None else _place(table, group_column, "group_column")
    part = None if part_column is None else _place(table, part_column, "part_column")
    if label is not None:
        _check_label(table, label)
    samples: list[np.ndarray] = []
    names: list[str] = []
    lists: dict[str, np.ndarray] = {}
    left_out = {}
    apart = range(0) if label is None else _beyond(label, len(table.columns))
    for k, column in enumerate(table.columns):
        if k in (label, group, part):
            what = "label" if k == label else "group" if k == group else "part"
            left_out[column.name] = f"the {what}"
            continue
        if column.kind == "text" and is_list(column.words):
            lists[column.name] = lists_of(file, column, fill=True)
            continue
        facts = look_at(column, np.empty(0), np.empty(0))
        if column.kind != "number" or column.wrong is not None:
            if column.wrong is not None:
                _, line, word = column.wrong
                raise InputError(
                    f"{file}, line {line}, column '{column.name}': {word[:40]!r} is not a number; "
                    "fix it, or name the column of the label in dataset.label_column."
                )
            if facts.odd:
                raise InputError(
                    f"{file}, column '{column.name}' has cells such as {facts.odd[:20]!r}, which "
                    "are no plain numbers: write one number a cell, as many columns as a case has "
                    "samples."
                )
            named = table.named and is_part_name(column.name)
            said = named and all(part_of(w) is not None for w in column.words if not is_missing(w))
            left_out[column.name] = "time" if column.kind == "time" else PARTS if said else "words"
        elif table.named and is_part_name(column.name):
            left_out[column.name] = "part"
        elif table.named and is_person_name(column.name):
            left_out[column.name] = "person"
        elif facts.counts or (table.named and is_count_name(column.name)):
            left_out[column.name] = "counts the rows"
        elif k in apart:
            left_out[column.name] = "apart from the samples, beyond the label"
        else:
            samples.append(column.values)
            names.append(column.name)
    if lists:
        left_out |= dict.fromkeys(names, "beside lists of samples")
        if len({own.shape[1] for own in lists.values()}) > 1:
            shown = ", ".join(f"{own.shape[1]} in '{name}'" for name, own in lists.items())
            raise InputError(f"{file} has lists of different lengths ({shown}).")
        names = [f"{name}_{k}" for name, own in lists.items() for k in range(own.shape[1])]
        samples = [sample for own in lists.values() for sample in own.T]
    if len(samples) < 2:
        raise InputError(
            f"{file} has {len(samples)} columns of samples, but a case must have at least 2; if "
            "each row is a moment and not a case, use dataset=recordings; if it holds no cases, "
            f"leave it out with {without(file)}."
        )
    with np.errstate(over="ignore"):
        values = np.stack(samples, axis=1).astype(np.float32)
    names = names if table.named or len(lists) > 1 else []
    words = _words(table, part)
    own = "" if part is None else table.columns[part].name
    number = {w: part_of_cell(own, w, file) if w else NO_CELL for w in dict.fromkeys(words)}
    parts = [number[word] for word in words]
    return values, _words(table, label), _words(table, group), parts, left_out, names


def _refuse_unlike_rows(file: Path, label_column: str | int | None) -> None:
    """Say how a table is mended that has no number but those of lists, or rows of any length."""
    if file.suffix.lower() not in (".csv", ".tsv", ".txt"):
        return
    with file.open(encoding="utf-8-sig", errors="replace") as text:
        lines = [line for line in text.readlines(MOST_LOOKED_AT) if line.strip()]
    separator = max(",;\t ", key=lambda mark: (mark != " " and lines[-1].count(mark), mark == " "))
    shown = "\\t" if separator == "\t" else separator
    cut = [
        line.split() if separator == " " else [*next(csv.reader([line], delimiter=separator))]
        for line in map(str.strip, lines[1:])
    ]
    some = [cells for cells in cut if len(cells) > 1 and not any(map(is_number, cells))]
    if any(LIST.fullmatch(cell) for cells in some for cell in cells):
        raise InputError(
            f"{file} has lists in its cells and no number beside them; put one before each, as by: "
            f'awk \'{{print (NR == 1 ? "id" : NR) "{shown}" $0}}\' OLD > NEW, where the first line '
            "holds names."
        )
    widths = Counter(map(len, cut))
    if (
        len(widths) < 2
        or min(widths) < LEAST_LENGTH
        or widths.most_common(1)[0][1] > 0.8 * len(cut)
    ):
        return
    longest = "NR == FNR {if (NF > n) n = NF; next}"
    fill = "{for (k = NF + 1; k <= n; k++) $k = $NF} 1"
    if label_column == -1:
        fill = "{l = $NF; for (k = NF; k < n; k++) $k = $(k - 1); $n = l} 1"
    raise InputError(
        f"{file} has rows of {min(widths)} to {max(widths)} cells, and all cases must be as long: "
        "cut them, or hold the last value of each, as by: awk "
        f"-F'{shown}' -v OFS='{shown}' '{longest} {fill}' OLD OLD > NEW."
    )


def _beyond(label: int, width: int) -> range:
    """Columns on that side of the label on which there are hardly any, as there are samples on the
    other one: such as the length or the number of a case."""
    before, after = range(label), range(label + 1, width)
    few, many = sorted((before, after), key=len)
    return few if FEW_BEYOND * len(few) <= len(many) else range(0)


def _by_channel(
    every: np.ndarray, names: Sequence[str]
) -> tuple[np.ndarray, list[str] | None, list[str]]:
    """Cases (N, C, L) of rows (N, 1, C L) whose columns are called ax_0, ax_1 … ay_0, ay_1 …"""
    found = [NUMBERED.fullmatch(name) for name in names]
    places: dict[str, dict[int, int]] = {}
    for k, own in enumerate(found):
        if own is None:
            return every, None, []
        places.setdefault(own["name"], {})[int(own["number"])] = k
    numbers = sorted(next(iter(places.values())))
    alike = all(sorted(own) == numbers for own in places.values())
    if len(places) < 2 or len(numbers) < LEAST_LENGTH or not alike:
        return every, None, []
    order = [[own[number] for number in numbers] for own in places.values()]
    shown = ", ".join(list(places)[:6])
    return every[:, 0, order], list(places), [f"channels {shown} as the columns' names say"]


def _check_label(table: Table, label: int) -> None:
    """Refuse a column that can hold no classes: too many values, or measured ones."""
    column = table.columns[label]
    numbers = [float(w.replace(",", ".")) for w in column.words if is_number(w)]
    measured = sum(not np.isfinite(value) or value != int(value) for value in numbers)
    if len(column.words) <= min(MOST_LABELS, max(2, table.num_rows // 2)) and measured <= 20:
        return
    named = next((c.name for c in table.columns if c is not column and _may_be_label(c)), None)
    if (beside := _labels_beside(table)) is not None:
        name = table.path.name
        comma = " -d," if table.path.suffix.lower() == ".csv" else ""
        first = f"<(cut -d, -f1 {beside.name})" if comma else f"<(awk '{{print $1}}' {beside.name})"
        raise InputError(
            f"{table.path}: its last column is no label, and {beside.name} has as many rows of few "
            "numbers: if these are its labels, put those of a column behind, in a folder apart, as "
            f"by: paste{comma} {name} {first} > joined/{name}; several such files are channels as "
            "an array (Arrays in docs/data.md)."
        )
    if (other := _with_one_more(table)) is not None:
        raise InputError(
            f"{table.path} lacks a column that {other.name} has, its label as it seems: leave the "
            f"file out with {without(table.path)}."
        )
    hint = (
        " (0 is the first, -1 the last)"
        if named is None
        else f", such as dataset.label_column={named}"
    )
    raise InputError(
        f"{table.path}: column '{column.name}', which dataset.label_column names, has "
        f"{len(column.words)} different values in {table.num_rows} rows, which are no classes; "
        f"name the column of the label{hint}, say null where folders or files are called as the "
        "classes are, or if each row is a moment and not a case, use "
        "dataset=recordings."
    )


def _refuse_one_hot(rows: np.ndarray, labels: np.ndarray, place: Path) -> None:
    """Refuse labels of 0 and 1 where the columns before complete them to a single 1 in each row."""
    if set(np.unique(labels)) != {"0", "1"}:
        return
    ones = (labels == "1").astype(np.float64)
    for count in range(1, min(MOST_LABELS, rows.shape[1])):
        ones = ones + rows[:, -count]
        if not np.isin(rows[:, -count], (0, 1)).all() or ones.max() > 1:
            return
        if (ones == 1).all():
            raise InputError(
                f"{place}: the last {count + 1} columns hold a single 1 in each row, as labels do "
                "that are one-hot; write which it is in one column, as by: awk -F, -v OFS=, "
                f'\'{{l = "label"; for (i = NF - {count}; i <= NF; i++) if ($i == 1) l = i - NF + '
                f"{count}; NF -= {count + 1}; print $0, l}}' OLD > NEW."
            )


def _with_one_more(table: Table) -> Path | None:
    """A file beside it with the same names and one more."""
    names = set(table.names)
    for other in sorted(table.path.parent.glob(f"*{table.path.suffix}")):
        with other.open(encoding="utf-8-sig", errors="replace") as file:
            own = {cell.strip() for cell in re.split(r"[,;\t]", file.readline(1 << 16).strip())}
        if table.named and names < own and len(own) == len(names) + 1:
            return other
    return None


def _labels_beside(table: Table) -> Path | None:
    """A file of few columns beside one without labels, with as many rows."""
    for other in sorted(table.path.parent.glob(f"*{table.path.suffix}")):
        if other == table.path or 10 * other.stat().st_size > table.path.stat().st_size:
            continue
        try:
            beside = read_recording_file(other)
        except InputError:
            continue
        few = len(beside.columns) <= MOST_BESIDE and len(table.columns) > 4 * len(beside.columns)
        if few and beside.num_rows == table.num_rows and any(map(_may_be_label, beside.columns)):
            return other
    return None


def _may_be_label(column: Column) -> bool:
    """Whether a column that has a name of its own holds few words, or few whole numbers."""
    values = np.unique(column.values)
    whole = column.kind == "text" or (column.kind == "number" and (values == values.round()).all())
    return whole and 1 < len(values) <= len(column.values) // 4 and not column.name.isdigit()


def _without_labels(signals: list[np.ndarray], left_out: dict[str, str]) -> list[np.ndarray]:
    """Where folders name the classes, leave out a first or last column that repeats them."""
    for position, name in ((-1, "the last column"), (0, "the first column")):
        edges = [values[:, position] for values in signals]
        if len({float(edge[0]) for edge in edges}) > 1 and all(
            len(edge) >= LEAST_ROWS and (edge == edge[0]).all() for edge in edges
        ):
            left_out[name] = "constant in each file, as a label is"
            signals = [values[:, 1:] if position == 0 else values[:, :-1] for values in signals]
    return signals


def _place(table: Table, name: str | int, key: str) -> int:
    return locate(table.names, name, table.path, key)


def _words(table: Table, place: int | None) -> list[str]:
    if place is None:
        return []
    column = table.columns[place]
    words = ["" if is_missing(word) else _whole(word) for word in column.words]
    return [words[code] for code in column.values.tolist()]


def _whole(word: str) -> str:
    """4.000000000000000000e+00 as 4."""
    if not is_number(word):
        return word
    value = float(word.replace(",", "."))
    return str(int(value)) if np.isfinite(value) and value == int(value) else word
