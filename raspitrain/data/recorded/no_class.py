"""What is to be done with a table whose class nothing says: a column that does, columns that mark
it, cases a row or recordings a column, each with the words or the command that take it."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NoReturn

from raspitrain.data.files.cells import split_cells
from raspitrain.data.files.layout import find_layout
from raspitrain.data.files.no_table import NoTableError
from raspitrain.data.files.time_names import is_time_name, plain_name
from raspitrain.data.recorded.columns import LABEL_NAME, SENSOR
from raspitrain.data.recorded.folder import SUFFIXES
from raspitrain.errors import InputError, a_few

MOST_SEEN = 200  # lines, in which a column of labels is looked for
MOST_ROWS = 20_000  # in which one of several columns is to be marked
MOST_NAMED = 8  # columns in a sentence
NO, YES = ("0", "0.0", "false"), ("1", "1.0", "true")
LEAST_FLAGGED = 16  # rows, from which columns of 0 and 1 are told
MANY_CELLS = 64  # more likely samples of a case than channels
NO_MARKS = ("", "0", "0.0")


def if_cases(path: Path) -> str:
    """What a table may be but a recording of one class, as far as its names and first rows tell: a
    clause with the remedy, to stand before others; "" where they tell nothing."""
    if path.suffix.lower() == ".mat":
        return "if it holds all cases as arrays, name that file alone: dataset=npz; else "
    names, rows, separator = _begin_of(path)
    if len(names) > MANY_CELLS:
        return "if each row is a case and no moment, say dataset=rows; else "
    label = next((name for name in names if LABEL_NAME.fullmatch(plain_name(name))), None)
    if label is not None and re.fullmatch(r"\w+", label):
        return f"if its column {label} is the class, say dataset.label_column={label}; else "
    if marks := _marks(names, rows):
        first, last = marks[0], marks[-1]
        return (
            f"if the columns {names[first]} to {names[last]} mark the class, write it into one, as "
            f"by: awk -F'{separator}' -v OFS='{separator}' '{{sub(/\\r$/, \"\")}} NR == 1 "
            f'{{split($0, n); print $0, "label"; next}} {{l = ""; for (i = {first + 1}; i <= '
            f'{last + 1}; i++) if ($i != "" && $i != 0) l = n[i]; print $0, l}}\' OLD > NEW, and '
            "say dataset.label_column=label; else "
        )
    if kinds := _kinds_in_columns(names):
        return (
            f"if each column is a recording of what its name says ({a_few(kinds)}), turn it for "
            'dataset=rows, as by: python -c "import csv, re; [print(*c[1:], re.sub('
            "'[ _-]*[0-9]+$', '', c[0]), sep=',') for c in [*zip(*csv.reader(open('OLD'), "
            f"delimiter='{separator}'))][{int(is_time_name(names[0]))}:]]\" > NEW; else "
        )
    return _if_flags(names, rows)


def _if_flags(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """What is to be done with columns of 0 and 1, a class each, of which several may hold."""
    flags = [
        name
        for name, own in zip(names, zip(*rows, strict=True), strict=False)
        if len(rows) > LEAST_FLAGGED and {*map(str.lower, own)} <= {*NO, *YES}
    ]
    if not 1 < len(flags) < len(names):
        return ""
    return (
        f"if columns such as {flags[0]} ({len(flags)} of 0 and 1) are its classes, put them into "
        f"one, {as_one_label(flags)}; else "
    )


def as_one_label(flags: Sequence[str]) -> str:
    """The command that puts columns of 0 and 1 into one of labels."""
    return (
        "as by: python -c \"import csv; r = csv.DictReader(open('OLD')); w = csv.writer(open("
        "'NEW', 'w')); w.writerow([*r.fieldnames, 'label']); w.writerows([*x.values(), '+'.join("
        f"k for k in {[*flags]} if x[k].lower() in {YES}) or 'rest'] for x in r)\", and take that "
        "with dataset.label_column=label"
    )


def _begin_of(path: Path) -> tuple[list[str], list[list[str]], str]:
    """Names, first rows and separator of a table in text; of one with many columns as many empty
    names; else nothing."""
    if path.suffix.lower() not in SUFFIXES:
        return [], [], ""
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline(1 << 16)
        if (num_cells := len(re.findall(r"[,;\t]", first)) + 1) > MANY_CELLS:
            return [""] * num_cells, [], ""
        lines = [first, *islice(file, MOST_ROWS)]
    try:
        layout = find_layout(lines[:MOST_SEEN])
        separator = layout.separator or ""
        rows = [split_cells(line, separator) for line in lines[layout.first :] if separator]
    except (NoTableError, csv.Error):
        return [], [], ""
    return (
        list(layout.names),
        [cells for cells in rows if len(cells) == len(layout.names)],
        separator,
    )


def _marks(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Columns side by side of which at most one is marked in each row, with x or 1."""
    marks: list[int] = []
    for place in range(len(names)):
        if all(cells[place] in NO_MARKS or cells[place] in ("1", "x", "X") for cells in rows):
            marks = [*marks, place] if marks[-1:] == [place - 1] else marks or [place]
    counts = [sum(cells[place] not in NO_MARKS for place in marks) for cells in rows]
    return marks if len(marks) > 1 and max(counts, default=0) == 1 else []


def _kinds_in_columns(names: Sequence[str]) -> list[str]:
    """What columns such as walk_1, walk_2, run_1, run_2 are called without their numbers."""
    own = [name for name in names if not is_time_name(name)]
    found = [re.fullmatch(r"(.*[^\W\d])[ _-]*\d+", name) for name in own]
    kinds = Counter(match[1].strip(" _-") for match in found if match is not None)
    several = len(kinds) > 1 and min(kinds.values()) > 2 and None not in found
    return sorted(kinds) if several and not any(map(SENSOR.fullmatch, kinds)) else []


def refuse_one_alone(path: Path) -> NoReturn:
    """Refuse the only recording there is, where it lies in no folder of a class."""
    names = [name for name in _begin_of(path)[0] if name]
    told = f" (it has {', '.join(names[:MOST_NAMED])}{', …' * (len(names) > MOST_NAMED)})"
    raise InputError(
        f"{path} is one recording, and nothing says its class: {if_cases(path)}name the column "
        f"that holds it in dataset.label_column{told if names else ''}, or a table of what begins "
        "and ends where in dataset.annotations; if all of it is of one class, put it into a folder "
        "of that name, beside those of other classes, and give the folder that holds them."
    )
