"""Annotations beside recordings as the truth of predict and calibrate, read as training reads
them."""

import argparse
import os
from array import array
from collections import Counter
from collections.abc import Sequence
from math import nan
from pathlib import PurePath
from typing import TextIO

from raspitrain.data.files.endings import stem_of
from raspitrain.data.recorded.annotations import (
    TRACKS,
    UNITS,
    Annotation,
    is_common_file,
    is_label_track,
    is_own_file,
    match,
    naming_column,
    own_file,
    read_annotations,
)
from raspitrain.data.recorded.marks import WORDS_FOR, Marked, Timeline, counted_as, place
from raspitrain.errors import InputError, counted, printable
from raspitrain.stop import say
from raspitrain.use.columns import LineError, moment
from raspitrain.use.model import Model
from raspitrain.use.recording import Recording, bring_to_rate, look_at_time, open_recording

KEY = "--annotation-unit"
HALF_A_DAY = 43_200.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """What a command's words may say about annotations."""
    parser.add_argument(
        "--annotations",
        metavar="FILE",
        help="start, end and label of what recordings hold; default: what lies beside them, as "
        "NAME.labels.csv or labels.csv",
    )
    parser.add_argument(
        KEY,
        metavar="UNIT",
        help=f"what its numbers count: {', '.join(UNITS)}; default: found out",
    )


class Annotations:
    """The annotations of what a command was given.

    Parameters
    ----------
    given : files and folders of recordings
    file : the file of annotations; None to look beside the recordings
    unit : what its numbers count, one of `UNITS`; None to find out
    label_column : the column of labels, by name or number: of `file` where there is one, else of
        the recordings

    Attributes
    ----------
    label_column : that of the recordings
    """

    def __init__(
        self,
        given: Sequence[str],
        file: str | None,
        unit: str | None,
        label_column: str | None = None,
    ) -> None:
        if unit is not None and unit not in UNITS:
            raise InputError(f"{KEY} is {unit}, but must be one of {', '.join(UNITS)}.")
        if file is not None and not os.path.isfile(file):
            raise InputError(f"--annotations: there is no file {file}.")
        if file is not None and all(os.path.realpath(p) == os.path.realpath(file) for p in given):
            raise InputError(
                f"--annotations names {file}, which is then no recording: name the recording "
                "beside it, or leave --annotations away (those inside an EDF file are taken with "
                "--label-column annotation)."
            )
        self._file, self._unit = file, unit
        self.label_column = label_column if file is None else None
        self._column: str | int | None = None
        if file is not None and label_column is not None:
            self._column = int(label_column) if label_column.isdecimal() else label_column
        roots = (path if os.path.isdir(path) else os.path.dirname(path) for path in given)
        self._roots = list(dict.fromkeys(roots))
        self._only = given[0] if len(given) == 1 and os.path.isfile(given[0]) else None
        self._names: dict[str, tuple[set[str], Counter[str]]] = {}
        self._common: dict[str, str | None] = {}
        self._by_path: dict[str, dict[str, list[Annotation]]] = {}
        self._warned = False
        self._same = frozenset(UNITS)
        self._first = ""  # whose numbers were settled first, and as what
        self._counted: dict[str, None] = {}
        self._num_windows = self._num_labelled = 0

    def are(self, path: str) -> bool:
        """Whether a file is annotations and no recording."""
        folder, name = os.path.split(path)
        if self._file is not None and os.path.realpath(path) == os.path.realpath(self._file):
            return True
        names, stems = self._in(folder)
        stem, suffix = stem_of(name), os.path.splitext(name)[1]
        return (
            is_own_file(name, names, stems)
            or path in map(self._common_of, self._roots)
            or (suffix.lower() in TRACKS and stems[stem] > 1 and is_label_track(path))
        )

    def has(self, path: str) -> bool:
        """Whether there are annotations for a recording."""
        return path != "-" and self._rows(path) is not None

    def mark(self, path: str, recording: Recording) -> bool:
        """Give a recording, whose time was looked at, the stretches that are annotated; say
        whether there are such.

        Raises
        ------
        InputError
            A row cannot be right, or numbers count something else than in recordings before.
        """
        if path == "-" or recording.stretches is not None:
            return False
        rows = self._rows(path)
        if rows is None:
            return False
        file, own = rows
        marked = Marked(recording.name, file, own, _timeline(recording))
        placed = place([marked], self._unit, _moment, KEY)
        recording.stretches = placed.stretches[0]
        if counted := counted_as(placed.unit, own):
            if not self._same & placed.same:
                raise InputError(
                    f"{file}: the annotations of {recording.name} fit as {counted}, and those of "
                    f"{self._first}: say with {KEY} what they count."
                )
            self._same &= placed.same
            self._first = self._first or f"{recording.name} as {counted}"
            self._counted[counted] = None
        if placed.also is not None and not self._warned:
            self._warned = True
            say(
                f"warning: the numbers of {printable(file)} are taken as {WORDS_FOR[placed.unit]}, "
                f"and would fit as {WORDS_FOR[placed.also]}: say which with {KEY}"
            )
        return True

    def count(self, recording: Recording, length: int, hop: int) -> None:
        """Count which windows of a recording that was marked have a label."""
        starts = [*recording.starts(length, hop)]
        self._num_windows += len(starts)
        self._num_labelled += sum(recording.label_of(k, length) is not None for k in starts)

    def tell(self, to: TextIO) -> None:
        """Say what was taken of all that was marked, and warn where no window has a label."""
        if not self._num_windows:
            return
        taken = f" (numbers taken as {', '.join(self._counted)})" if self._counted else ""
        windows = counted(self._num_windows, "window")
        if self._num_labelled:
            print(f"annotations: {self._num_labelled} of {windows} have a label{taken}", file=to)
            return
        say(
            f"warning: the annotations label none of {windows}{taken}: each lies outside them or "
            f"changes within; say with {KEY} what numbers count, or annotate longer stretches"
        )

    def _rows(self, path: str) -> tuple[str, list[Annotation]] | None:
        folder, name = os.path.split(path)
        if self._file is None and (own := own_file(folder, name, self._in(folder)[0])) is not None:
            file = os.path.join(folder, own)
            return file, [row for rows in read_annotations(file).values() for row in rows]
        if self._file is not None and path == self._only:
            by_name = read_annotations(self._file, self._column)
            if by_name.keys() == {""}:  # of the one recording that was given
                return self._file, by_name[""]
        for root in [folder, *self._roots]:
            file = self._file or self._common_of(root) or ""
            inside = os.path.relpath(path, root or ".")
            if file and not inside.startswith(os.pardir + os.sep):
                if file not in self._by_path:
                    roots = self._roots if self._file is not None else [root]
                    self._by_path[file] = self._of_all(file, [each or "." for each in roots])
                return file, self._by_path[file].get(os.path.realpath(path), [])
        return None

    def _of_all(self, file: str, roots: Sequence[str]) -> dict[str, list[Annotation]]:
        """The rows of a file by the recordings that they are of: those below folders, and those
        that it names by their folders below its own, which may not have been given."""
        tops = [os.path.abspath(root) for root in roots]
        paths = {
            os.path.join(folder, name)
            for top in tops
            for folder, _, files in os.walk(top)
            for name in files
            if name[0] != "."
        }
        stems = {stem_of(os.path.basename(path)) for path in paths}
        is_table = not file.lower().endswith(".json")
        column = naming_column(PurePath(file), stems) if is_table else None
        by_name = read_annotations(file, self._column, column)
        beside = os.path.dirname(os.path.abspath(file))
        also = [os.path.normpath(os.path.join(beside, name)) for name in by_name if "/" in name]
        if also := [path for path in also if path not in paths and os.path.isfile(path)]:
            paths.update(also)
            tops += [os.path.dirname(path) for path in also] + [beside]
        root = os.path.commonpath(tops)
        names = sorted(
            os.path.relpath(path, root).replace(os.sep, "/")
            for path in paths
            if path != os.path.abspath(file)
        )
        if "" in by_name:
            if len(names) > 1:
                raise InputError(
                    f"{file} does not say which recording its rows are of: add a column called "
                    "file."
                )
            by_name = {names[0]: by_name[""]}
        found: dict[str, list[Annotation]] = {}
        meant = match(file, by_name, names, root)
        for name, rows in by_name.items():
            for each in meant[name]:
                found.setdefault(os.path.realpath(os.path.join(root, each)), []).extend(rows)
        return found

    def _in(self, folder: str) -> tuple[set[str], Counter[str]]:
        """Names in a folder, and how many there are that differ in what they end in."""
        if folder not in self._names:
            try:
                names = set(os.listdir(folder or "."))
            except OSError:
                names = set()
            self._names[folder] = names, Counter(stem_of(name) for name in names)
        return self._names[folder]

    def _common_of(self, folder: str) -> str | None:
        if folder not in self._common:
            paths = (os.path.join(folder, name) for name in sorted(self._in(folder)[0]))
            self._common[folder] = next((path for path in paths if is_common_file(path)), None)
        return self._common[folder]


def read_marked(
    model: Model,
    path: str,
    annotations: Annotations,
    hop: int,
    *,
    rate: float | None,
    time_column: str | None,
) -> Recording:
    """A recording at the model's rate, with what is annotated in it.

    Raises
    ------
    InputError
        It cannot be read, is not what the model was trained on, or its annotations cannot be right.
    """
    recording = open_recording(
        model, path, label_column=annotations.label_column, time_column=time_column
    )
    fits = look_at_time(model, recording, rate)
    marked = annotations.mark(path, recording)  # numbers may be of samples as they were recorded
    if not fits:
        bring_to_rate(model, recording, by_stamps=rate is None)
    if marked:
        annotations.count(recording, model.length, hop)
    return recording


def _timeline(recording: Recording) -> Timeline:
    if recording.times is None:
        return Timeline(len(recording), None, recording.rate)
    ticks = recording.ticks or 1.0
    moments, last, days, goes_back = array("d"), nan, 0.0, False
    for stamp in recording.times:
        moment = last if stamp != stamp else stamp / ticks + days
        if moment < last - HALF_A_DAY and last - days <= 2 * HALF_A_DAY and ticks == 1:
            days += 2 * HALF_A_DAY  # a time of day, past midnight
            moment += 2 * HALF_A_DAY
        goes_back = goes_back or moment < last
        moments.append(moment)
        last = moment
    return Timeline(len(recording), moments, recording.rate, 1 / ticks, goes_back)


def _moment(cell: str) -> float:
    try:
        return moment(cell)
    except LineError:
        return nan
