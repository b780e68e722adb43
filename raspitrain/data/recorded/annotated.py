"""The files of annotations in a folder of recordings: which they are, whose, and what they mark."""

import os
import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raspitrain.data.files import date_shapes, dates, edf_marks
from raspitrain.data.files.endings import OTHER_SUFFIXES, stem_of
from raspitrain.data.files.missing import is_missing
from raspitrain.data.files.npy_file import user_path
from raspitrain.data.files.time_names import SECONDS
from raspitrain.data.files.wfdb_marks import (
    KINDS,
    SUFFIXES,
    Marks,
    is_marks,
    read_marks,
    settle_kind,
)
from raspitrain.data.recorded.annotations import (
    LINES_OF_JSON,
    OWN,
    TEXT_GRID,
    TRACKS,
    Annotation,
    is_common_file,
    match,
    naming_column,
    own_file,
    read_annotations,
)
from raspitrain.data.recorded.clock import Clock
from raspitrain.data.recorded.marks import WORDS_FOR, Marked, Placed, Timeline, counted_as, place
from raspitrain.data.recorded.parts import part_of
from raspitrain.errors import InputError, counted

Asked = str | bool | None
EDF = edf_marks.SUFFIXES
UNIT_KEY = "dataset.annotation_unit"


@dataclass(frozen=True)
class Annotated:
    """Which files annotate which recordings of a folder.

    Attributes
    ----------
    own : dict of Path to Path
        The file of each recording that has one of its own.
    common : tuple of Path
        The files of all the others, each of several recordings.
    files : frozenset of Path
        All of these, which are no recordings.
    names : tuple of str
        Paths below the folder of what is no annotation.
    beats : str or None
        "beats" or "aami" where moments and no stretches are taken, from `own`.
    marked : bool
        Whether those in `own` are WFDB's.
    label_column : str, int or None
        Which column of a table is that of labels; None finds it.
    """

    folder: Path
    own: dict[Path, Path] = field(default_factory=dict)
    common: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()
    beats: str | None = None
    marked: bool = False
    label_column: str | int | None = None

    @property
    def files(self) -> frozenset[Path]:
        return frozenset([*self.own.values(), *self.common])

    def of_words(self) -> str:
        """Where each recording's own file is but a word, such as 0_events.txt, the name of these
        for `dataset.annotations`; "" where not."""
        pattern = ""
        for path, own in self.own.items():
            if self.marked or self.common or own.suffix.lower() == ".json":
                return ""
            rows = [row for rows in read_annotations(str(own)).values() for row in rows]
            if len(rows) != 1 or rows[0].start is not None:
                return ""
            pattern = own.name.replace(stem_of(path.name), "*", 1)
        return pattern

    def rows(self, sources: Sequence[Collection[Path]]) -> list[tuple[Path, list[Annotation]]]:
        """What is said of each recording, and where; nothing for one that no row is of.

        Parameters
        ----------
        sources : sequence of collections of Path
            The files of each recording.
        """
        of = {path: k for k, paths in enumerate(sources) for path in paths}
        found: dict[int, tuple[Path, list[Annotation]]] = {}
        for path, k in of.items():
            if (own := self.own.get(path)) is not None and k not in found:
                by_name = read_annotations(str(own), self.label_column)
                rows = [row for rows in by_name.values() for row in rows]
                found[k] = (own, _within(path, rows) if own.suffix.lower() in EDF else rows)
        for common in self.common:
            self._of_common(common, of, len(sources), found)
        none = next(iter((*self.common, *self.own.values())))
        return [found.get(k, (none, [])) for k in range(len(sources))]

    def named(self) -> list[Path]:
        """The files that are named in those of several recordings."""
        found = set()
        for common in self.common:
            by_name = [name for name in self._read_common(common) if name]
            meant = match_nearest(common, by_name, self.names, self.folder)
            found |= {self.folder / file for files in meant.values() for file in files}
        return sorted(found)

    def marks(self, sources: Sequence[Collection[Path]]) -> list[tuple[Path, Marks] | None]:
        """The moments that are marked in each recording, and where that is said; None for one that
        has no marks."""
        found = []
        for paths in sources:
            own = next((self.own[path] for path in paths if path in self.own), None)
            found.append(None if own is None else (own, read_marks(own)))
        return found

    def _read_common(self, common: Path) -> dict[str, list[Annotation]]:
        stems = {part for name in self.names for part in stem_of(name).split("/")}
        stems |= {stem_of(name) for name in self.names}
        is_json = common.suffix.lower() in (".json", *LINES_OF_JSON)
        column = None if is_json else naming_column(common, stems)
        return read_annotations(str(common), self.label_column, column)

    def _of_common(
        self,
        common: Path,
        of: dict[Path, int],
        num_sources: int,
        found: dict[int, tuple[Path, list[Annotation]]],
    ) -> None:
        by_name = self._read_common(common)
        if "" in by_name:
            if num_sources > 1:
                raise InputError(
                    f"{common} does not say which of the {num_sources} recordings its rows are "
                    "of: add a column called file, or do without it with "
                    "dataset.annotations=false."
                )
            found.setdefault(0, (common, []))[1].extend(by_name.pop(""))
        meant = match_nearest(common, by_name, self.names, self.folder)
        has_own = {k for k, (path, _) in found.items() if path not in self.common}
        for name, rows in by_name.items():
            places = {of[path] for each in meant[name] if (path := self.folder / each) in of}
            for k in places - has_own:
                found.setdefault(k, (common, []))[1].extend(rows)


def match_nearest(
    table: Path, named: Iterable[str], names: Sequence[str], folder: Path
) -> dict[str, list[str]]:
    """As `match`: the files below the table's own folder, or that of its part, before all others,
    as where train and test have a metadata.csv each, or train.csv beside train, and the same
    names."""
    part = part_of(table.stem)
    for own in (
        [name for name in names if (folder / name).is_relative_to(table.parent)],
        [name for name in names if part is not None and part in map(part_of, name.split("/")[:-1])],
    ):
        if own and len(own) < len(names):
            with suppress(InputError):  # it is about files elsewhere
                return match(str(table), named, own, str(folder))
    return match(str(table), named, names, str(folder))


def _within(path: Path, rows: Sequence[Annotation]) -> list[Annotation]:
    """What EDF's annotations say of a recording: those of a night may go on when it has ended."""
    end = edf_marks.lasts(path)
    return [
        row._replace(end=min(row.end, end))
        for row in rows
        if isinstance(row.start, float) and isinstance(row.end, float) and row.start < end
    ]


def find_annotations(
    folder: Path, paths: Sequence[Path], asked: Asked, label_column: str | int | None = None
) -> Annotated | None:
    """The annotations among the files below a folder; None where there are none.

    Parameters
    ----------
    asked : str, False or None
        A file, or its name with * for that of each recording; what to take of WFDB's, one of
        `KINDS`; False for none; None to find tables.
    label_column : str, int or None
        The column of labels in what is asked for; None finds it.

    Raises
    ------
    InputError
        What is asked for is not there, or a file is called as the annotations of a recording that
        is not there.
    """
    if asked is False:
        return None
    by_folder: dict[Path, set[str]] = {}
    for path in paths:
        by_folder.setdefault(path.parent, set()).add(path.name)
    own: dict[Path, Path] = {}
    common: Path | None = None
    if asked in KINDS:
        if (marked := find_marks(folder, paths, str(asked))) is None:
            raise InputError(
                f"dataset.annotations={asked} takes them from WFDB's annotations, and beside the "
                f".hea files in {folder} lie none ({', '.join(SUFFIXES)}); name those of another "
                "ending, such as '*.man'."
            )
        return marked
    if isinstance(asked, str) and "*" in asked:
        for path in paths:
            other = Path(os.path.normpath(path.parent / asked.replace("*", stem_of(path.name))))
            if other != path and other.is_file():
                own[path] = other
        own = own or _by_part_of_name(by_folder, asked)
        if not own:
            raise InputError(
                f"dataset.annotations={asked} fits no file beside a recording in {folder}; * "
                "stands for the recording's name, or for a part that this begins or ends with, and "
                "folders are seen from the recording's, as in '../labels/*.csv'."
            )
    elif isinstance(asked, str):
        common = folder / asked
        if not common.is_file():
            common = user_path(asked, "dataset.annotations")
        if not common.is_file():
            own = {path: path.parent / asked for path in paths if asked in by_folder[path.parent]}
            common = None
            tables = sorted(path for path in {*own.values()} if not is_marks(path))
            if tables and all("" not in read_annotations(str(p), label_column) for p in tables):
                rest = (p.relative_to(folder).as_posix() for p in paths if p not in tables)
                told = tuple(tables)  # as of train and of test, each of the files there
                return Annotated(folder, {}, told, tuple(rest), label_column=label_column)
        if not own and common is None:
            raise InputError(
                f"dataset.annotations={asked} is no file, neither below {folder} nor here."
            )
    else:
        own = _beside(by_folder) | edf_marks.beside(paths)
        found = [folder / name for name in sorted(by_folder.get(folder, ()))]
        common = next((path for path in found if is_common_file(str(path))), None)
    if common is not None and is_marks(common):
        record = common.with_suffix(".hea")
        own, common = ({record: common} if record in paths else own), None
    taken = {*own.values(), common}
    own = {path: other for path, other in own.items() if path not in taken}
    if isinstance(asked, str) and own and all(map(is_marks, own.values())):
        heads = {path: mark for path, mark in own.items() if path.suffix.lower() == ".hea"}
        return _of_marks(folder, paths, heads or own, None)
    if not own and common is None:
        return None
    names = (path.relative_to(folder).as_posix() for path in paths if path not in taken)
    files = () if common is None else (common,)
    return Annotated(folder, own, files, tuple(names), label_column=label_column)


def find_marks(folder: Path, paths: Sequence[Path], kind: str | None) -> Annotated | None:
    """WFDB's annotations beside its recordings; None where there are none.

    Parameters
    ----------
    kind : str or None
        One of `KINDS`; None to find out.

    Raises
    ------
    InputError
        They cannot be read, or mark neither beats nor rhythms.
    """
    own = marks_beside(paths)
    return _of_marks(folder, paths, own, kind) if own else None


def marks_beside(paths: Sequence[Path]) -> dict[Path, Path]:
    """WFDB's annotations of recordings: 100.atr of 100.hea, 100annotations.txt of 100.csv."""
    there = set(paths)
    heads = [path for path in paths if path.suffix.lower() == ".hea"]
    tables = [path for path in paths if path.suffix.lower() in (".hea", ".csv")]
    found = [{head: head.with_suffix(suffix) for head in heads} for suffix in SUFFIXES]
    found.append({path: path.with_name(f"{path.stem}annotations.txt") for path in tables})
    for each in found:
        own = {path: mark for path, mark in each.items() if mark in there and is_marks(mark)}
        if own:
            return own
    return {}


def _of_marks(
    folder: Path, paths: Sequence[Path], own: dict[Path, Path], kind: str | None
) -> Annotated:
    if kind is None:
        kind = settle_kind(read_marks(path) for path in dict.fromkeys(own.values()))
    if kind is None:
        first = next(iter(own.values()))
        raise InputError(
            f"{first} marks neither beats nor rhythms such as (AFIB; write start, end and label of "
            f"each stretch into {first.stem}.labels.csv beside it (rdann -r {first.stem} -a "
            f"{first.suffix[1:]} shows what it holds), or do without with "
            "dataset.annotations=false."
        )
    taken = set(own.values())
    names = (path.relative_to(folder).as_posix() for path in paths if path not in taken)
    beats = None if kind == "rhythms" else kind
    return Annotated(folder, own, (), tuple(names), beats, marked=True)


def _beside(by_folder: dict[Path, set[str]]) -> dict[Path, Path]:
    own: dict[Path, Path] = {}
    for folder, names in by_folder.items():
        others = any(n.lower().endswith(OTHER_SUFFIXES) for n in names)  # CSV may be about these
        tracks = (*TRACKS, TEXT_GRID, *[".csv"] * others)
        candidates = {n for n in names if OWN.fullmatch(n) or n.lower().endswith(tracks)}
        if not candidates:
            continue
        for name in names:
            if (other := own_file(str(folder), name, candidates)) is not None:
                own[folder / name] = folder / other
        for name in sorted(candidates - {path.name for path in own.values()}):
            _refuse_orphan(folder / name)
    return own


def _by_part_of_name(by_folder: dict[Path, set[str]], asked: str) -> dict[Path, Path]:
    """The files that a pattern fits, in any folder, for the recordings whose names begin or end
    with what * stands for, or for the only other file in their folder.

    Raises
    ------
    InputError
        Two of them are of one recording.
    """
    begin, _, end = asked.partition("*")
    names = sorted((name, folder) for folder, own in by_folder.items() for name in own)
    said = [
        (name[len(begin) : len(name) - len(end)], folder / name)
        for name, folder in names
        if name.startswith(begin) and name.endswith(end) and len(name) > len(begin + end)
    ]
    taken = {path for _, path in said}
    found: dict[Path, Path] = {}
    by_part: dict[str, list[Path]] = {}
    for name, folder in names:
        stem = stem_of(name)
        ends = [sign.span() for sign in re.finditer(r"[^A-Za-z0-9]", stem)]
        for part in {stem, *(stem[:at] for at, _ in ends), *(stem[at:] for _, at in ends)}:
            by_part.setdefault(part, []).append(folder / name)
    for part, path in said:
        of = [own for own in by_part.get(part, []) if own not in taken]
        of = [own for own in of if own.parent == path.parent] or of
        others = [path.parent / n for n in by_folder[path.parent] if path.parent / n not in taken]
        for recording in of or others[: len(others) == 1]:
            if (other := found.setdefault(recording, path)) != path:
                raise InputError(
                    f"dataset.annotations={asked}: {other} and {path} may both be of {recording}; "
                    "give those of a recording its name."
                )
    return found


def _refuse_orphan(path: Path) -> None:
    """A file such as walk.labels.csv beside no walk.csv; another name may mean something else."""
    found = OWN.fullmatch(path.name)
    if found is None or path.name[len(found["stem"])] != ".":
        return
    try:
        read_annotations(str(path))
    except InputError:
        return
    raise InputError(
        f"{path} has annotations of {found['stem']}, and no such recording lies beside it; rename "
        "it, or do without annotations with dataset.annotations=false, or if it is of the only "
        "other file in its folder, say so with "
        f"dataset.annotations='*{path.name[len(found['stem']) :]}'."
    )


def timeline(num_samples: int, clock: Clock | None) -> Timeline:
    """A recording's time, for its annotations."""
    if clock is None:
        return Timeline(num_samples, None, None)
    tick = SECONDS[clock.unit] if clock.unit is not None else 1.0
    return Timeline(num_samples, _Moments(clock), clock.rate, tick, clock.num_back > 0)


class _Moments(Sequence[float]):
    """When samples were taken by the clock, computed where it is asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __len__(self) -> int:
        return len(self._clock.seconds)

    def __getitem__(self, index: Any) -> Any:
        at = len(self) + index if index < 0 else index
        return float(self._clock.start + self._clock.seconds[at])


def place_rows(
    rows: Sequence[tuple[Path, list[Annotation]]],
    names: Sequence[str],
    timelines: Sequence[Timeline],
    unit: str | None,
    day_first: bool | None,
) -> Placed:
    """The samples that the rows of each recording mark; see `annotations.place`. `day_first` says
    whether 1/5/2024 is the first of May, where the rows do not tell."""
    cells = [c for _, own in rows for row in own for c in (row.start, row.end)]
    own_order, is_told = date_shapes.day_first([cell for cell in cells if isinstance(cell, str)])
    day = own_order if is_told or day_first is None else day_first

    def moment(cell: str) -> float:
        return float(dates.to_seconds([cell], day_comes_first=bool(day))[0])

    marked = [
        Marked(name, str(path), own, line)
        for (path, own), name, line in zip(rows, names, timelines, strict=True)
    ]
    return place(marked, unit, moment, UNIT_KEY)


def classes_of(rows: Sequence[Annotation]) -> frozenset[str]:
    return frozenset(row.label for row in rows if not is_missing(row.label))


def notes_of(placed: Placed, rows: Sequence[tuple[Path, list[Annotation]]]) -> list[str]:
    """What is worth knowing of how annotations were taken."""
    files = {path for path, own in rows if own}
    count = sum(len(own) for _, own in rows)
    what = next(iter(files)).name if len(files) == 1 else f"{len(files)} files"
    unit = counted_as(placed.unit, [row for _, own in rows for row in own])
    some = f" ({unit})" if unit else ""
    notes = [f"classes from {count} annotations in {what}{some}"]
    if placed.num_points:
        notes.append(f"{counted(placed.num_points, 'annotation')} of no length left out")
    return notes


def warnings_of(
    placed: Placed, rows: Sequence[tuple[Path, list[Annotation]]], names: Sequence[str]
) -> list[str]:
    """What is likely to be a mistake."""
    warnings = []
    if placed.also is not None:
        warnings.append(
            f"the annotations' numbers are taken as {WORDS_FOR[placed.unit]}, and would fit as "
            f"{WORDS_FOR[placed.also]}; say which with {UNIT_KEY}={placed.unit} or "
            f"{UNIT_KEY}={placed.also}"
        )
    without = [name for name, (_, own) in zip(names, rows, strict=True) if not own]
    return warnings + unmarked(without, len(names))


def unmarked(without: Sequence[str], num_recordings: int) -> list[str]:
    """A word on recordings that nothing is said of, where there are some."""
    if not without:
        return []
    shown = ", ".join(without[:3]) + (", …" if len(without) > 3 else "")
    return [
        f"{len(without)} of {num_recordings} recordings have no annotations and are left out "
        f"({shown})"
    ]
