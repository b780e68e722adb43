"""Annotations of recordings: where something begins, where it ends, what it is; also where numpy
is not.

Understood are tables of start, end (or duration) and label, with names or without, such as label
tracks of Audacity, selection tables of Raven, events of BIDS and of DCASE, what Label Studio
exports as JSON or CSV, and the rhythms among WFDB's annotations. A table may have a column that
says which recording each row is of; one without times says what whole recordings are.
"""

import csv
import io
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby, pairwise, takewhile
from pathlib import PurePath
from typing import Any, NamedTuple

from raspitrain.data.files.edf_marks import SUFFIXES as EDF_SUFFIXES
from raspitrain.data.files.edf_marks import read_edf_marks
from raspitrain.data.files.endings import OTHER_SUFFIXES, stem_of
from raspitrain.data.files.time_names import SECONDS, plain_name, unit_by_name
from raspitrain.data.files.wfdb_marks import is_marks, read_marks, rhythms
from raspitrain.errors import InputError, counted
from raspitrain.nearest import nearest

SUFFIXES = (".csv", ".tsv", ".txt", ".json")
WORDS = ("labels", "label", "annotations", "annotation", "segments", "events")
OWN = re.compile(rf"(?P<stem>.+)[._-](?:{'|'.join(WORDS)})(?:\.csv|\.tsv|\.txt|\.json)", re.I)
LINES_OF_JSON = (".jsonl", ".ndjson")
TEXT_GRID = ".textgrid"  # of Praat
BIDS_KIND = re.compile(r"_(?:eeg|ieeg|meg|nirs|motion|physio)$")
TRACKS = (".txt", ".tsv")  # called as the recording is
COMMON = re.compile(rf"(?:{'|'.join(WORDS)})(?:\.csv|\.tsv|\.txt|\.json)", re.I)
LARGEST = 64 << 20  # bytes
UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts before a file's name
SERVED = re.compile(r".*/local-files/?\?d=")  # what it puts before a path
ABSOLUTE = re.compile(r"/|\w+:")  # also C: and s3:
OF_SENSOR = re.compile(r"(acc|gyro)_(?=exp\d+_user\d+$)")
ENDING = re.compile(r"\.[A-Za-z]\w+$")  # as in day.wav, and no part of a name as in day.2
COMMA = re.compile(r"[+-]?\d+,\d+")
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")  # or a decimal comma: nobody can tell
POINT = re.compile(r"[+-]?\d*\.\d+")

ID_NAME = re.compile(r"(?:.*_)?id")
START = frozenset(("start", "begin", "onset", "from", "starts", "begins", "tmin"))
END = frozenset(("end", "stop", "offset", "to", "ends", "stops", "finish", "tmax"))
DURATION = frozenset(("duration", "dur", "length"))
SAMPLES = frozenset(("sample", "samples", "index", "idx", "row"))
BESIDE = SAMPLES | frozenset(
    ("time", "timestamp", "datetime", "date", "t", "at", "event", "label", "segment", "annotation",
     "recording")
)  # fmt: skip
# Preferred from left to right where a table has several.
LABELS = (
    "label", "labels", "label_name", "class", "class_name", "event_label", "activity", "annotation",
    "annotations", "trial_type", "tag", "category", "species", "behavior", "behaviour", "state",
    "stage", "sleep_stage", "event", "text", "name", "type",
)  # fmt: skip
FILES = (
    "file", "filename", "file_name", "recording", "audio_filename", "begin_file", "sound_file",
    "sound_files", "audio_file", "wav_file", "fname", "wav", "file_path", "filepath", "begin_path",
    "path", "audio", "slice_file_name",
)  # fmt: skip
UNITS = (*SECONDS, "samples", "clock")
ONE_WORD = re.compile(r"[^\s,;|]+\s*")  # a line of it
SEPARATORS = {"\t": "a tab", ";": "a semicolon", ",": "a comma", "|": "a bar", "": "a space"}


class Annotation(NamedTuple):
    """One row, as it stands there.

    Attributes
    ----------
    start, end : float, str or None
        A number, the text of a date or time of day, or None for the recording's own.
    label : str
    line : int
        Of the file, or which of its tasks.
    unit : str or None
        What numbers count, one of `UNITS`, where the file says so.
    entry : str
        What `line` counts: "line", "task" or "entry".
    """

    start: float | str | None
    end: float | str | None
    label: str
    line: int
    unit: str | None = None
    entry: str = "line"


# ---------------------------------------------------------------- which files


def own_file(folder: str, name: str, names: Collection[str]) -> str | None:
    """The file of annotations that lies beside a recording, among the names in its folder."""
    stem = stem_of(name)
    for base in dict.fromkeys((stem, name)):
        for word in WORDS:
            for sign in "._-":
                for suffix in SUFFIXES:
                    if (found := f"{base}{sign}{word}{suffix}") in names:
                        return found
    if (found := f"{stem}.TextGrid") in names:
        return found
    if BIDS_KIND.search(stem) and (found := BIDS_KIND.sub("_events.tsv", stem)) in names:
        return found
    for track in (f"{stem}{suffix}" for suffix in TRACKS):
        if track != name and track in names and is_label_track(os.path.join(folder, track)):
            return track
    table = f"{stem}.csv"
    if name.lower().endswith(OTHER_SUFFIXES) and table in names:
        return table if _names_stretches(os.path.join(folder, table)) else None
    return None


def _names_stretches(path: str) -> bool:
    """Whether the first line of a table names a start, an end and a label."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = (line for line in file.read(1 << 14).splitlines() if line[:1] not in "#")
            columns = _named(path, next(lines, "").split(","), None, None)
    except (OSError, UnicodeDecodeError, InputError):
        return False
    return columns is not None and columns.start is not None


def is_own_file(name: str, names: Collection[str], stems: Collection[str]) -> bool:
    """Whether a file is called as annotations of a recording that lies beside it."""
    found = OWN.fullmatch(name)
    return found is not None and (found["stem"] in names or found["stem"] in stems)


def is_common_file(path: str) -> bool:
    """Whether a file is called and made as annotations of many recordings are."""
    if not COMMON.fullmatch(os.path.basename(path)):
        return False
    try:
        rows = read_annotations(path)
    except InputError:
        return False
    timed = any(row.start is not None for each in rows.values() for row in each)
    return any(rows) or timed


def is_label_track(path: str) -> bool:
    """Whether a file begins as a label track of Audacity or a text of ELAN does, or holds nothing
    but stretches with numbers as labels."""
    try:
        with open(path, encoding="utf-8") as file:
            cells = file.readline(1 << 16).lstrip("\ufeff").rstrip("\r\n").split("\t")
    except (OSError, UnicodeDecodeError):
        return False
    columns = _nameless(cells)
    if columns is None and len(cells) > 2 and None not in map(_number, cells):
        with suppress(InputError):
            return bool(read_annotations(path))
    return columns is not None and columns.start is not None and columns.file is None


def naming_column(path: PurePath, stems: Collection[str]) -> str | None:
    """The column of a table that names most often one of the recordings; None without."""
    try:
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            rows = [row for _, row in zip(range(20), csv.reader(file), strict=False)]
    except (OSError, csv.Error):
        return None
    for column, name in enumerate(rows[0] if rows else []):
        cells = [row[column] for row in rows[1:] if column < len(row)]
        if 2 * sum(cell in stems or stem_of(cell) in stems for cell in cells) > len(rows):
            return name
    return None


# ---------------------------------------------------------------- reading


def read_annotations(
    path: str, label_column: str | int | None = None, file_column: str | None = None
) -> dict[str, list[Annotation]]:
    """The rows of a file by the recording that they name, "" where it names none.

    Parameters
    ----------
    label_column : str, int or None
        Name or position of the column of labels in a table; None finds it by its name.
    file_column : str or None
        The column that names the recordings, where none is called so.

    Raises
    ------
    InputError
        It cannot be read, or holds no annotations.
    """
    try:
        if os.path.getsize(path) > LARGEST:
            raise InputError(f"{path} is larger than {LARGEST >> 20} MB, too large for labels.")
        is_edf = path.lower().endswith(EDF_SUFFIXES)
        if label_column is not None and (is_edf or is_marks(path) or not _is_table(path)):
            raise InputError(
                f"{path} has no columns, so that '{label_column}' cannot be the one of labels; "
                "leave it out."
            )
        if is_edf:
            found = enumerate(read_edf_marks(path), start=1)
            return {"": [Annotation(s, s + d, w, k, "s", "entry") for k, (s, d, w) in found]}
        if is_marks(path):
            return {PurePath(path).stem.removesuffix("annotations"): _of_rhythms(path)}
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8.") from None
    if path.lower().endswith(TEXT_GRID):
        return {"": _of_text_grid(path, text)}
    by_file: dict[str, list[Annotation]] = {}
    is_table = _is_table(path)
    is_json = not is_table or path.lower().endswith(LINES_OF_JSON)
    if is_json and (table := _flat_table(text)):
        is_table, text = True, table
    rows = (
        _from_table(path, text, label_column, file_column) if is_table else _from_json(path, text)
    )
    for name, row in rows:
        by_file.setdefault(name, []).append(row)
    if not by_file:
        raise InputError(f"{path} holds no annotations.")
    return by_file


def _is_table(path: str) -> bool:
    return not path.lower().endswith((".json", TEXT_GRID))


def _of_rhythms(path: str) -> list[Annotation]:
    marks = read_marks(path)
    found = rhythms(marks)
    if not found:
        raise InputError(
            f"{path} holds {counted(len(marks.times), 'mark')} and no rhythm such as (AFIB: what "
            "goes on for a while is wanted here, and beats are taken by dataset.annotations=beats."
        )
    tick, unit = (1.0, "samples") if marks.resolution is None else (marks.resolution, "s")
    return [
        Annotation(start / tick, None if end is None else end / tick, name, k, unit, "rhythm")
        for k, (start, end, name) in enumerate(found, 1)
    ]


def _of_text_grid(path: str, text: str) -> list[Annotation]:
    """The intervals of a tier of Praat, but for empty ones."""
    tiers = text.split('class = "IntervalTier"')[1:]
    if len(tiers) != 1:
        raise InputError(
            f"{path} has {counted(len(tiers), 'tier')}, but should have one: extract that of the "
            "classes in Praat."
        )
    found = re.findall(
        r'xmin = (\S+)\s+xmax = (\S+)\s+text = "((?:[^"]|"")*)"', tiers[0], re.MULTILINE
    )
    rows = [(_number(start), _number(end), word.strip()) for start, end, word in found]
    return [
        Annotation(start, end, word, k, "s", "interval")
        for k, (start, end, word) in enumerate(rows, 1)
        if word and start is not None and end is not None
    ]


def _from_table(
    path: str, text: str, label_column: str | int | None, file_column: str | None
) -> Iterator[tuple[str, Annotation]]:
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.startswith(("\\", "#"))  # \: Audacity's frequencies
    ]
    if not lines:
        return
    if len(lines) > 2 and ONE_WORD.fullmatch(lines[0][1]) and len(lines[1][1].split()) > 1:
        lines = [line for line in lines[1:] if line[1].strip() != "."]  # up to the end's sign
    separator = next((sign for sign in SEPARATORS if sign and sign in lines[0][1]), None)
    table = [(number, _cells(path, number, line, separator)) for number, line in lines]
    first = table[0][1]
    if all(len(cells) == 5 and all(map(str.isdigit, cells)) for _, cells in table):
        yield from _of_experiments(path, table)
        return
    columns = _named(path, first, label_column, file_column)
    if columns is None:
        columns = _nameless(first)
    else:
        table = table[1:]
    if columns is None and (step := _epoch(table)) is not None:
        rows = table[_number(first[0]) is None :]
        for label, same in groupby(rows, lambda row: row[1][1]):
            (number, (start, _)), *_, (_, (last, _)) = (run := [*same])[0], run[-1]
            yield "", Annotation(_number(start), (_number(last) or 0.0) + step, label, number)
        return
    if columns is None and _are_spans(table):
        for number, cells in table:
            yield "", Annotation(float(cells[0]), float(cells[1]), "_".join(cells[2:]), number)
        return
    if columns is None and len(lines) == 1 and re.fullmatch(r"[^\s,;|<]+\s*", lines[0][1]):
        yield "", Annotation(None, None, first[0], 1)  # of all that the recording holds
        return
    if columns is None:
        raise _without_columns(path, lines, first)
    decimal_comma = columns.have_decimal_comma(cells for _, cells in table)
    for number, cells in table:
        if len(cells) <= max(columns.needed):
            raise InputError(
                f"{path}, line {number}: {len(cells)} cells, but the first line has {len(first)}."
            )
        if any(cells[len(first) :]):
            raise InputError(
                f"{path}, line {number}: {len(cells)} cells, but the first line has {len(first)}; "
                f"put a cell that holds {SEPARATORS[separator or '']} into quotes, and write "
                "fractions with a point."
            )
        yield from columns.rows(path, number, cells, decimal_comma)


def _of_experiments(
    path: str, table: Sequence[tuple[int, list[str]]]
) -> Iterator[tuple[str, Annotation]]:
    """Experiment, user, activity, first and last sample (from 1), as in UCI's HAPT: of recordings
    called exp01_user01. The names of activities stand in activity_labels.txt, here or above."""
    names: dict[str, str] = {}
    folder = os.path.dirname(os.path.abspath(path))
    for place in (os.path.dirname(folder), folder):
        with suppress(OSError, UnicodeDecodeError):
            with open(os.path.join(place, "activity_labels.txt"), encoding="utf-8") as file:
                rows = [line.split() for line in file]
            names |= {cells[0]: cells[1] for cells in rows if len(cells) == 2}
    for number, cells in table:
        experiment, user, activity, begin, last = cells
        yield (
            f"exp{int(experiment):02}_user{int(user):02}",
            Annotation(
                float(begin) - 1, float(last), names.get(activity, activity), number, "samples"
            ),
        )


def _cells(path: str, number: int, line: str, separator: str | None) -> list[str]:
    if separator is None:
        cells = line.split()
        return cells if len(cells) == 5 and "".join(cells).isdigit() else line.split(maxsplit=2)
    if '"' not in line:
        return [cell.strip() for cell in line.split(separator)]
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
    except csv.Error as error:
        raise InputError(f"{path}, line {number}: {error}.") from None


def _without_columns(
    path: str, lines: Sequence[tuple[int, str]], first: Sequence[str]
) -> InputError:
    """What to do with a table that no columns are known of."""
    if first[0].startswith("<"):
        return InputError(
            f"{path} is XML: write start, end and label of each stretch into a table of columns "
            "called so."
        )
    if ID_NAME.fullmatch(plain_name(first[0])) and len(first) == 2:
        return InputError(
            f"{path} says the {first[1]} of each {first[0]}: if recordings have a column "
            f"{first[0]}, name their files in dataset.files and say dataset.label_column="
            f"{first[1]} dataset.group_column={first[0]}; if it names their files, call it file."
        )
    if len(lines) > 2 and all(ONE_WORD.fullmatch(line) for _, line in lines):
        title = f"tail -n +{lines[1][0]} OLD" if lines[0][1].startswith("[") else "cat OLD"
        return InputError(
            f"{path} has a label a line and no times: write those of each, where all last 30 "
            f"seconds by: {title} | awk '{{print 30*NR-30, 30*NR, $1}}' > NEW."
        )
    told = ", ".join(cell for cell in first[:12] if cell)
    for number, line in lines[1:] if _number(first[0]) is None else ():
        cells = line.split(maxsplit=2)
        if len(cells) == 3 and None not in map(_number, cells[:2]):
            return InputError(
                f"{path} begins with {told!r}, which is no row of start, end and label, and names "
                f"none: if it is a title, leave it out, as by: tail -n +{number} OLD > NEW."
            )
    return InputError(
        f"{path} has no columns of start, end and label ({told}); name them so in its first "
        "line, with one called file where it is of many recordings, or name the label's with "
        "dataset.label_column beside dataset.annotations; a label for each sample "
        "belongs into a column of the recording (paste -d, A B > C) for dataset.label_column."
    )


class _Columns(NamedTuple):
    """Where a table's columns are, and what its times count."""

    start: int | None
    end: int | None
    lasts: bool
    label: int
    file: int | None
    unit: str | None

    @property
    def needed(self) -> list[int]:
        return [k for k in (self.start, self.end, self.label, self.file) if k is not None]

    def have_decimal_comma(self, rows: Iterable[list[str]]) -> bool:
        """Whether some time can only be read with one, and none goes against it."""
        places = [k for k in (self.start, self.end) if k is not None]
        times = [cells[k] for cells in rows for k in places if k < len(cells)]
        found = any(COMMA.fullmatch(cell) and not THOUSANDS.fullmatch(cell) for cell in times)
        return found and self.unit != "samples" and not any(map(POINT.fullmatch, times))

    def rows(
        self, path: str, number: int, cells: list[str], decimal_comma: bool
    ) -> Iterator[tuple[str, Annotation]]:
        file = "" if self.file is None else cells[self.file]
        label = cells[self.label]
        if label.startswith("[{"):
            try:
                regions = json.loads(label)
            except ValueError:
                raise InputError(f"{path}, line {number}: its label is no JSON.") from None
            yield from ((file, row) for row in _regions(path, number, regions, "line"))
            return
        if self.start is None or self.end is None:
            yield file, Annotation(None, None, label, number)
            return
        where = f"{path}, line {number}"
        start, end = (_time(where, cells[k], decimal_comma) for k in (self.start, self.end))
        if self.lasts:
            if isinstance(end, str):
                raise InputError(f"{where}: {end!r} is no duration: give a number.")
            if isinstance(start, str):
                raise InputError(f"{where}: a start that is no number needs an end, no duration.")
            end = start + end
        yield file, Annotation(start, end, label, number, self.unit)


def _named(
    path: str, cells: Sequence[str], label_column: str | int | None, file_column: str | None
) -> _Columns | None:
    """The columns of a table whose first line names them.

    Raises
    ------
    InputError
        Its start and its end count different things, or the column asked for is not there.
    """
    plain = [plain_name(cell) for cell in cells]

    def places(words: Collection[str]) -> list[int]:
        found = []
        for k, (name, cell) in enumerate(zip(plain, cells, strict=True)):
            parts = set(name.split("_"))
            extra = parts - set(words) - BESIDE
            named = all(unit_by_name(part, "") for part in extra)
            if parts & set(words) and named and (not extra or unit_by_name(cell, "") is not None):
                found.append(k)
        return found

    def unit_of(place: int) -> str | None:
        samples = set(plain[place].split("_")) & SAMPLES
        return "samples" if samples else unit_by_name(cells[place], "")

    starts, ends, durations = places(START), places(END), places(DURATION)
    starts = starts or (places({"time"}) if durations else [])
    taken = {*starts, *ends}
    label = next(
        (plain.index(n) for n in LABELS if n in plain and plain.index(n) not in taken), None
    )
    file = next((plain.index(name) for name in FILES if name in plain), None)
    if file is None and file_column in cells:
        at = cells.index(file_column)
        file = None if at in (*taken, *durations, label) else at
    if label_column is not None:
        label = label_column if isinstance(label_column, int) else _place(cells, label_column)
        if not 0 <= label < len(cells):
            raise InputError(
                f"{path} has no column '{label_column}' to take labels from; there are: "
                f"{', '.join(cells[:20])}."
            )
    if label is None or label == file:
        return None
    if file is not None and plain[file].startswith("slice_"):  # times are of what it was cut from
        starts, ends = [], []
    if not starts and not ends:
        return None if file is None else _Columns(None, None, False, label, file, None)
    pairs = [(start, end, False) for start in starts for end in ends]
    pairs += [(start, duration, True) for start in starts for duration in durations]
    if not pairs:
        return None
    for start, end, lasts in pairs:
        if unit_of(start) == unit_of(end):
            return _Columns(start, end, lasts, label, file, unit_of(start))
    for start, end, lasts in pairs:
        if not lasts and None in (unit_of(start), unit_of(end)):
            return _Columns(start, end, lasts, label, file, unit_of(start) or unit_of(end))
    start, end, lasts = pairs[0]
    what = "duration" if lasts else "end"
    told = " and ".join(f"'{cells[k]}' ({unit_of(k) or 'no unit'})" for k in (start, end))
    raise InputError(
        f"{path} has its start and its {what} in different units, {told}: give both in one, as "
        f"start_s and {what}_s, or start_sample and {what}_sample."
    )


def _place(cells: Sequence[str], name: str) -> int:
    return cells.index(name) if name in cells else -1


def _epoch(table: Sequence[tuple[int, list[str]]]) -> float | None:
    """How long each row lasts, where rows are a start and a label and all starts lie as far apart,
    as stages of sleep do; None where not."""
    rows = [cells for _, cells in table]
    rows = rows[_number(rows[0][0]) is None :]  # names
    if len(rows) < 3 or any(len(cells) != 2 or not cells[1] for cells in rows):
        return None
    if ID_NAME.fullmatch(plain_name(table[0][1][0])):
        return None
    starts = [_number(cells[0]) for cells in rows]
    known = [start for start in starts if start is not None]
    steps = [after - before for before, after in pairwise(known)]
    alike = all(abs(step - steps[0]) <= 1e-6 * abs(steps[0]) for step in steps)
    return steps[0] if len(known) == len(rows) and steps[0] > 0 and alike else None


def _are_spans(table: Sequence[tuple[int, list[str]]]) -> bool:
    """Whether each row is a start, an end and whole numbers that say what it is: the state of a
    heart, or 0 and 1 for each kind of sound that may be in it."""
    rows = [cells for _, cells in table]
    if len(rows[0]) < 3 or any(len(cells) != len(rows[0]) for cells in rows):
        return False
    times = [value for cells in rows for cell in cells[:2] if (value := _number(cell)) is not None]
    if len(times) != 2 * len(rows):
        return False
    whole = all(cell.isdigit() for cells in rows for cell in cells[2:])
    ahead = all(before <= after + 1e-3 for before, after in pairwise(times))
    lasting = all(start < end for start, end in zip(times[::2], times[1::2], strict=True))
    return len(rows) > 1 and whole and ahead and lasting


def _nameless(cells: Sequence[str]) -> _Columns | None:
    """start, end, label; label, start, end; file, label; file, start, end, label; or ELAN's tier,
    person, start, end, duration and label."""
    times = [_number(cell) is not None or _looks_like_time(cell) for cell in cells]
    if len(cells) == 3 and times[0] and times[1] and not times[2]:
        return _Columns(0, 1, False, 2, None, None)
    if len(cells) == 3 and times[1] and times[2] and not times[0]:
        return _Columns(1, 2, False, 0, None, None)
    if len(cells) == 2 and not times[0] and re.search(r"\d", cells[0]) and cells[1]:
        return _Columns(None, None, False, 1, 0, None)
    if len(cells) == 4 and not times[0] and times[1] and times[2]:
        return _Columns(1, 2, False, 3, 0, None)
    numbers = [(k, value) for k, cell in enumerate(cells) if (value := _number(cell)) is not None]
    if len(cells) > 4 and len(numbers) == 3 and not times[0]:
        (start, begin), (end, stop), (_, lasts) = numbers
        if abs(begin + lasts - stop) < 2e-3:
            return _Columns(start, end, False, len(cells) - 1 if cells[-1] else 0, None, None)
    return None


def _number(cell: str) -> float | None:
    try:
        value = float(cell.replace(",", ".") if cell.count(",") == 1 else cell)
    except ValueError:
        return None
    return value if value - value == 0 else None


def _looks_like_time(cell: str) -> bool:
    return bool(re.match(r"\s*\d+[-:./]\d", cell)) and _number(cell) is None


def _time(where: str, cell: Any, decimal_comma: bool = False) -> float | str:
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return float(cell)
    text = str(cell)
    if THOUSANDS.fullmatch(text) and not (decimal_comma and text.count(",") == 1):
        whole = text.replace(",", "")
        maybe = f"{text.replace(',', '.')} or {whole}" if text.count(",") == 1 else whole
        raise InputError(
            f"{where}: nobody can tell what the comma in '{text[:40]}' means; write {maybe[:80]}."
        )
    value = _number(text)
    if value is None and not _looks_like_time(text):
        raise InputError(f"{where}: {text[:40]!r} is no time.")
    return text if value is None else value


def _flat_table(text: str) -> str:
    """Records such as {"start": 1, "end": 2, "label": "walk"}, in a list or lines, as CSV; else
    nothing."""
    try:
        text = text.strip()
        lines = text.startswith("{")
        records = [*map(json.loads, text.split("\n"))] if lines else json.loads(text)
        names = [*records[0]]
        cells = [[record[name] for name in names] for record in records]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return ""
    if any(isinstance(cell, dict | list) for row in cells for cell in row):
        return ""
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([names, *cells])
    return table.getvalue()


def _from_json(path: str, text: str) -> Iterator[tuple[str, Annotation]]:
    """Label Studio's JSON, whole or JSON_MIN: a list of tasks."""
    try:
        tasks = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{path} is no JSON.") from None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InputError(f"{path} is no list of tasks, as Label Studio exports it.")
    for number, task in enumerate(tasks, 1):
        name = _file_of(task)
        given = task.get("annotations")
        every = given if isinstance(given, list) else []
        own = [e for e in every if isinstance(e, dict) and not e.get("was_cancelled")]
        if len(own) > 1:
            raise InputError(
                f"{path}, task {number} ({name}) has {len(own)} annotations: keep that of one "
                "person."
            )
        if own:
            results = own[0].get("result")
            results = results if isinstance(results, list) else []
            regions: list[Any] = [each.get("value") for each in results if isinstance(each, dict)]
        else:
            lists = [value for value in task.values() if isinstance(value, list)]
            regions = [each for value in lists for each in value if isinstance(each, dict)]
            regions = [each for each in regions if "start" in each]
        yield from ((name, row) for row in _regions(path, number, regions, "task"))


def _file_of(task: dict[str, Any]) -> str:
    data = task.get("data")
    texts = [task.get("file_upload"), *(data if isinstance(data, dict) else task).values()]
    names = [each for each in texts if isinstance(each, str) and re.search(r"\.\w{2,7}$", each)]
    return names[0] if names else ""


def _regions(path: str, number: int, regions: Any, entry: str) -> Iterator[Annotation]:
    where = f"{path}, {entry} {number}"
    for region in regions if isinstance(regions, list) else ():
        if not isinstance(region, dict) or not {"start", "end"} <= set(region):
            continue
        labels = next(
            (value for key, value in region.items() if key.lower().endswith("labels")), None
        )
        if not isinstance(labels, list) or len(labels) != 1:
            raise InputError(
                f"{where}: a region from {region['start']} has "
                f"{len(labels) if isinstance(labels, list) else 'no'} labels; it must have one."
            )
        start, end = (_time(where, region[key]) for key in ("start", "end"))
        yield Annotation(start, end, str(labels[0]).strip(), number, entry=entry)


# ---------------------------------------------------------------- whose


def match(
    path: str, named: Iterable[str], names: Sequence[str], where: str
) -> dict[str, list[str]]:
    """Which of the files below a folder each name in a file of annotations means.

    A name may have fewer folders than the file's path; of files in several folders, that beside the
    annotations is meant. What it has more must be folders that the
    folder itself lies in, or lead every name of the table, as where all is from another machine.

    Parameters
    ----------
    named : of str
        As the file of annotations has them: names, or paths with more or fewer folders, with or
        without what they end in.
    names : sequence of str
        Paths below the folder.

    Raises
    ------
    InputError
        A name fits no file, or files in two folders, or those of two recordings fit one.
    """
    below: dict[str, list[str]] = {}
    wholes: dict[str, list[str]] = {}
    for name in names:
        parts = name.split("/")
        for k in range(len(parts)):
            whole = "/".join(parts[k:])
            for tail in dict.fromkeys((whole, os.path.splitext(whole)[0], stem_of(whole))):
                below.setdefault(tail, []).append(name)
                if not k:
                    wholes.setdefault(tail, []).append(name)
    above = _parts(os.path.realpath(where))

    def fits(parts: list[str], num_shared: int) -> list[str]:
        if found := below.get("/".join(parts)):
            return found
        for first in range(num_shared + 1):
            for own in range(max(first, 1), len(parts)):
                fit = own == first or parts[first:own] == above[first - own :]
                if fit and (found := wholes.get("/".join(parts[own:]))):
                    return found
        return []

    every = {name: _parts(name) for name in named}
    shared = {kind: _num_shared(every, kind) for kind in (False, True)}
    found: dict[str, list[str]] = {}
    uploads: dict[str, str] = {}
    for name, parts in every.items():
        last = parts[-1] if parts else ""
        bare = [*parts[:-1], ENDING.sub("", last)]
        num_shared = shared[_is_absolute(name)]
        files = fits(parts, num_shared) or fits(bare, num_shared)
        if not files and (own := UPLOADED.sub("", last)) != last:
            files = below.get(own) or below.get(ENDING.sub("", own), [])
            for file in files:
                if uploads.setdefault(file, last) != last:
                    raise InputError(
                        f"{path} has annotations of '{uploads[file]}' and of '{last}', and there "
                        f"is only {file} in {where}: leave out those of the other recording."
                    )
        if not files:
            files = [each for each in names if OF_SENSOR.sub("", stem_of(each)) == name]
        if not files:
            whole = "/".join(["", *parts, ""])
            files = [each for each in names if whole in f"/{os.path.dirname(each)}/"]
        if not files:
            others = below.get(last) or below.get(bare[-1], [])
            stems = sorted({other.rsplit("/", 1)[-1] for other in names})
            hint = nearest(name, stems)
            if others:
                hint = f"{others[0]} lies in another folder: write the paths as they are there"
            raise InputError(
                f"{path} has annotations of '{name}', which is no recording in {where}; {hint}."
            )
        beside = [f for f in files if PurePath(where, f).parent == PurePath(path).parent]
        files = beside or files
        folders = {os.path.dirname(other) for other in files}
        if len(folders) > 1:
            raise InputError(
                f"{path} has annotations of '{name}', which may be {files[0]} or {files[1]}: write "
                "the folder as well."
            )
        found[name] = files
    return found


def _parts(name: str) -> list[str]:
    name = SERVED.sub("", name.replace("\\", "/"))
    return [part for part in PurePath(name).parts if part not in ("/", "..")]


def _is_absolute(name: str) -> bool:
    return ABSOLUTE.match(name.replace("\\", "/")) is not None


def _num_shared(every: dict[str, list[str]], absolute: bool) -> int:
    """Folders that lead every name of a kind; one relative name alone shows none."""
    own = [parts for name, parts in every.items() if parts and _is_absolute(name) is absolute]
    stems = {stem_of("/".join(parts)) for parts in own}
    if not own or (len(stems) < 2 and not absolute):
        return 0
    places = zip(*(parts[:-1] for parts in own), strict=False)
    return sum(1 for _ in takewhile(lambda folders: len(set(folders)) == 1, places))
