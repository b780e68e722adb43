"""Annotations of recordings: where something begins, where it ends, what it is; also where numpy
is not.

Understood are tables of start, end (or duration) and label, with names or without, such as label
tracks of Audacity, selection tables of Raven, events of BIDS and of DCASE, and what Label Studio
exports as JSON or CSV. A table may have a column that says which recording each row is of; one
without times says what whole recordings are.
"""

import csv
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from raspitrain.data.time_names import SECONDS, plain_name, unit_by_name
from raspitrain.errors import InputError
from raspitrain.nearest import nearest

SUFFIXES = (".csv", ".tsv", ".txt", ".json")
WORDS = ("labels", "label", "annotations", "annotation", "segments", "events")
OWN = re.compile(rf"(?P<stem>.+)[._-](?:{'|'.join(WORDS)})(?:\.csv|\.tsv|\.txt|\.json)", re.I)
COMMON = re.compile(rf"(?:{'|'.join(WORDS)})(?:\.csv|\.tsv|\.txt|\.json)", re.I)
LARGEST = 64 << 20  # bytes
UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts before a file's name

START = frozenset(("start", "begin", "onset", "from", "starts", "begins", "tmin"))
END = frozenset(("end", "stop", "offset", "to", "ends", "stops", "finish", "tmax"))
DURATION = frozenset(("duration", "dur"))
SAMPLES = frozenset(("sample", "samples", "index", "idx", "row"))
BESIDE = SAMPLES | frozenset(
    ("time", "timestamp", "datetime", "date", "t", "at", "event", "label", "segment", "annotation")
)
# Preferred from left to right where a table has several.
LABELS = (
    "label", "labels", "class", "class_name", "event_label", "activity", "annotation",
    "annotations", "trial_type", "tag", "category", "species", "behavior", "behaviour", "state",
    "event", "text", "name", "type",
)  # fmt: skip
FILES = (
    "file", "filename", "file_name", "recording", "audio_filename", "begin_file", "sound_file",
    "sound_files", "audio_file", "wav_file", "fname", "wav", "file_path", "filepath", "begin_path",
    "path", "audio",
)  # fmt: skip
UNITS = (*SECONDS, "samples", "clock")


class Annotation(NamedTuple):
    """One row, as it stands there.

    Attributes
    ----------
    start, end : float, str or None
        A number, the text of a date or time of day, or None for the recording's own.
    label : str
    line : int
        Of the file, or which of its entries.
    unit : str or None
        What numbers count, one of `UNITS`, where the file says so.
    """

    start: float | str | None
    end: float | str | None
    label: str
    line: int
    unit: str | None = None


# ---------------------------------------------------------------- which files


def own_file(folder: str, name: str, names: Collection[str]) -> str | None:
    """The file of annotations that lies beside a recording, among the names in its folder."""
    stem = os.path.splitext(name)[0]
    for base in dict.fromkeys((stem, name)):
        for word in WORDS:
            for sign in "._-":
                for suffix in SUFFIXES:
                    if (found := f"{base}{sign}{word}{suffix}") in names:
                        return found
    track = f"{stem}.txt"  # as Audacity calls it
    if track != name and track in names and is_label_track(os.path.join(folder, track)):
        return track
    return None


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
    """Whether a file begins as a label track of Audacity does: two numbers and a word."""
    try:
        with open(path, encoding="utf-8") as file:
            cells = file.readline(1 << 16).lstrip("\ufeff").rstrip("\r\n").split("\t")
    except (OSError, UnicodeDecodeError):
        return False
    return len(cells) == 3 and all(_number(cell) is not None for cell in cells[:2])


# ---------------------------------------------------------------- reading


def read_annotations(path: str) -> dict[str, list[Annotation]]:
    """The rows of a file by the recording that they name, "" where it names none.

    Raises
    ------
    InputError
        It cannot be read, or holds no annotations.
    """
    try:
        if os.path.getsize(path) > LARGEST:
            raise InputError(f"{path} is larger than {LARGEST >> 20} MB, too large for labels.")
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8.") from None
    by_file: dict[str, list[Annotation]] = {}
    rows = _from_json(path, text) if path.lower().endswith(".json") else _from_table(path, text)
    for name, row in rows:
        by_file.setdefault(name, []).append(row)
    if not by_file:
        raise InputError(f"{path} holds no annotations.")
    return by_file


def _from_table(path: str, text: str) -> Iterator[tuple[str, Annotation]]:
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.startswith(("\\", "#"))  # \: Audacity's frequencies
    ]
    if not lines:
        return
    separator = next((sign for sign in "\t;,|" if sign in lines[0][1]), None)
    table = [(number, _cells(path, number, line, separator)) for number, line in lines]
    first = table[0][1]
    columns = _named(first)
    if columns is None:
        columns = _nameless(first)
    else:
        table = table[1:]
    if columns is None:
        told = ", ".join(cell for cell in first[:12] if cell)
        raise InputError(
            f"{path} has no columns of start, end and label ({told}); name them so in its first "
            "line, with one called file where it is of many recordings."
        )
    for number, cells in table:
        if len(cells) <= max(columns.needed):
            raise InputError(
                f"{path}, line {number}: {len(cells)} cells, but the first line has {len(first)}."
            )
        yield from columns.rows(path, number, cells)


def _cells(path: str, number: int, line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split(maxsplit=2)
    if '"' not in line:
        return [cell.strip() for cell in line.split(separator)]
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
    except csv.Error as error:
        raise InputError(f"{path}, line {number}: {error}.") from None


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

    def rows(self, path: str, number: int, cells: list[str]) -> Iterator[tuple[str, Annotation]]:
        file = "" if self.file is None else cells[self.file]
        label = cells[self.label]
        if label.startswith("[{"):
            try:
                regions = json.loads(label)
            except ValueError:
                raise InputError(f"{path}, line {number}: its label is no JSON.") from None
            yield from ((file, row) for row in _regions(path, number, regions))
            return
        if self.start is None or self.end is None:
            yield file, Annotation(None, None, label, number)
            return
        start, end = (_time(path, number, cells[k]) for k in (self.start, self.end))
        if self.lasts:
            if isinstance(end, str):
                raise InputError(f"{path}, line {number}: {end!r} is no duration.")
            if isinstance(start, str):
                raise InputError(
                    f"{path}, line {number}: a start that is a date needs an end, not a duration."
                )
            end = start + end
        yield file, Annotation(start, end, label, number, self.unit)


def _named(cells: Sequence[str]) -> _Columns | None:
    """The columns of a table whose first line names them."""
    plain = [plain_name(cell) for cell in cells]

    def role(words: Collection[str]) -> int | None:
        for k, (name, cell) in enumerate(zip(plain, cells, strict=True)):
            parts = set(name.split("_"))
            extra = parts - set(words) - BESIDE
            if parts & set(words) and all(unit_by_name(part, "") for part in extra):
                return k if unit_by_name(cell, "") is not None or not extra else None
        return None

    def called(names: Sequence[str]) -> int | None:
        return next((plain.index(name) for name in names if name in plain), None)

    start, end, lasts = role(START), role(END), False
    if start is not None and end is None:
        end, lasts = role(DURATION), True
    taken = {start, end}
    label = next(
        (plain.index(n) for n in LABELS if n in plain and plain.index(n) not in taken), None
    )
    file = called(FILES)
    if label is None or label == file or (start is None) != (end is None):
        return None
    if start is None and file is None:
        return None
    unit = None
    if start is not None:
        words = set(plain[start].split("_"))
        unit = "samples" if words & SAMPLES else unit_by_name(cells[start], "")
    return _Columns(start, end, lasts, label, file, unit)


def _nameless(cells: Sequence[str]) -> _Columns | None:
    """start, end, label; or file, start, end, label."""
    times = [_number(cell) is not None or _looks_like_time(cell) for cell in cells]
    if len(cells) >= 3 and times[0] and times[1] and not times[2]:
        return _Columns(0, 1, False, 2, None, None)
    if len(cells) >= 4 and not times[0] and times[1] and times[2]:
        return _Columns(1, 2, False, 3, 0, None)
    return None


def _number(cell: str) -> float | None:
    try:
        value = float(cell.replace(",", ".") if cell.count(",") == 1 else cell)
    except ValueError:
        return None
    return value if value - value == 0 else None


def _looks_like_time(cell: str) -> bool:
    return bool(re.match(r"\s*\d+[-:./]\d", cell)) and _number(cell) is None


def _time(path: str, number: int, cell: Any) -> float | str:
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return float(cell)
    value = _number(str(cell))
    if value is None and not _looks_like_time(str(cell)):
        raise InputError(f"{path}, line {number}: {str(cell)[:40]!r} is no time.")
    return str(cell) if value is None else value


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
        yield from ((name, row) for row in _regions(path, number, regions))


def _file_of(task: dict[str, Any]) -> str:
    data = task.get("data")
    texts = [task.get("file_upload"), *(data if isinstance(data, dict) else task).values()]
    names = [each for each in texts if isinstance(each, str) and re.search(r"\.\w{2,7}$", each)]
    return names[0] if names else ""


def _regions(path: str, number: int, regions: Any) -> Iterator[Annotation]:
    for region in regions if isinstance(regions, list) else ():
        if not isinstance(region, dict) or not {"start", "end"} <= set(region):
            continue
        labels = next(
            (value for key, value in region.items() if key.lower().endswith("labels")), None
        )
        if not isinstance(labels, list) or len(labels) != 1:
            raise InputError(
                f"{path}, entry {number}: a region from {region['start']} has "
                f"{len(labels) if isinstance(labels, list) else 'no'} labels; it must have one."
            )
        start, end = (_time(path, number, region[key]) for key in ("start", "end"))
        yield Annotation(start, end, str(labels[0]).strip(), number)


# ---------------------------------------------------------------- whose


def match(
    path: str, named: Iterable[str], names: Sequence[str], where: str
) -> dict[str, list[str]]:
    """Which of the files below a folder each name in a file of annotations means.

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
        A name fits no file, or files in two folders.
    """
    tails: dict[str, list[str]] = {}
    for name in names:
        parts = name.split("/")
        for k in range(len(parts)):
            whole = "/".join(parts[k:])
            for tail in dict.fromkeys((whole, os.path.splitext(whole)[0])):
                tails.setdefault(tail, []).append(name)
    found: dict[str, list[str]] = {}
    for name in named:
        parts = [part for part in PurePath(name.replace("\\", "/")).parts if part != "/"]
        keys = ["/".join(parts[k:]) for k in range(len(parts))]
        if parts:
            keys.append(UPLOADED.sub("", parts[-1]))
        keys += [os.path.splitext(key)[0] for key in keys]
        fits = next((tails[key] for key in keys if key in tails), [])
        if not fits:
            stems = sorted({other.rsplit("/", 1)[-1] for other in names})
            raise InputError(
                f"{path} has annotations of '{name}', which is no recording in {where}; "
                f"{nearest(name, stems)}."
            )
        folders = {os.path.dirname(other) for other in fits}
        if len(folders) > 1:
            raise InputError(
                f"{path} has annotations of '{name}', which may be {fits[0]} or {fits[1]}: write "
                "the folder as well."
            )
        found[name] = fits
    return found
