"""Recordings of a sensor logger, cut into windows."""

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from raspitrain.data.annotated import (
    classes_of,
    notes_of,
    place_rows,
    timeline,
    warnings_of,
)
from raspitrain.data.annotations import Annotation
from raspitrain.data.cases import Cases, check_missing, fill_missing, make_cases
from raspitrain.data.channels import (
    Asked,
    Chosen,
    SensorFile,
    choose,
    clock_of,
    column_values,
    read_file,
)
from raspitrain.data.clock import Clock, Seconds, even_clock
from raspitrain.data.columns import LEAST_ROWS, is_person_name
from raspitrain.data.find import Source, find_recordings
from raspitrain.data.formats import READERS
from raspitrain.data.kept import Kept, rows_as_one
from raspitrain.data.long_format import split_sensors
from raspitrain.data.marks import Stretch
from raspitrain.data.npy_file import check_folder, user_path
from raspitrain.data.resample import resample
from raspitrain.data.span import Span
from raspitrain.data.taken import Origin, Taken
from raspitrain.errors import InputError, counted
from raspitrain.hardware.board import available_memory
from raspitrain.hardware.memory import memory_error
from raspitrain.nearest import nearest

RATES_APART = 1.1  # the highest over the lowest, up to which they count as one
RATES_NOTED = 1.05
EVEN_ENOUGH = 0.002  # of the wanted rate: recordings within it are taken as they are
LEAST_ASKED = 1 << 24  # bytes of a file, below which nobody asks whether it fits into memory
EDGE_ROWS = 128  # at a recording's begin and end, by which one that was cut from another is found
MIXED_ROWS = 16  # rows of one group in a row, on average, below which they are mixed


def recordings(
    *,
    path: str,
    files: str | Sequence[str] | None,
    length: int | str,
    stride: int | str | None,
    columns: str | int | Sequence[str | int] | None,
    time_column: str | int | bool | None,
    time_unit: str | None,
    rate: float | None,
    class_level: int | None,
    label_column: str | int | None,
    annotations: str | bool | None,
    annotation_unit: str | None,
    leave_out: Sequence[str | int],
    groups: str | int | None,
    group_column: str | int | None,
    skip_lines: int,
    missing: str,
    cache_gb: float,
) -> Cases:
    """Return the windows of a folder of files, one recording each, a column a channel: CSV, WAV,
    EDF, WFDB, Parquet or MATLAB.

    The recordings are held as float32 (float64 where a signal on a large offset would be lost), in
    memory or mapped from the cache; the windows are cut when they are gathered. The
    windows of a recording are one group, so they never fall on both sides of a split; neither do
    recordings that hold the same samples. A window never bridges a gap, a step back of the clock,
    or a change of label or group.

    Parameters
    ----------
    path : str
        The folder, or one file. With `label_column` None it holds a sub-folder for each class;
        folders train, validation and test above them are the data's own split.
    files : str, sequence of str or None
        Patterns of the files to take, such as "Accelerometer.csv" or "*/phone/*.txt".
    length, stride : int or str
        Samples a window, and from one window's start to the next's; or seconds, as "2.56s". A
        stride of None is half a window.
    columns : str, int, sequence of these or None
        The channels by name or position (0 is the first); None for all but time, label and
        nameless columns and those that behave like time, a counter, a label or a person.
    time_column : str, int, bool or None
        The column of time; None to find it, False to do without.
    time_unit : str or None
        Its unit, a key of `raspitrain.data.time_names.SECONDS`; None to tell by name and values.
    rate : float or None
        Samples a second that all recordings are brought to; None as recorded.
    class_level : int or None
        The folder that names the class: 1 the first below `path`, -1 the innermost, 0 the file's
        own name; None to find out.
    label_column : str, int or None
        The column that holds the class. It may change within a recording; rows without a label
        are left out.
    annotations : str, False or None
        The file that says what begins and ends where (`raspitrain.data.annotations`), below `path`
        or anywhere, or its name with * for that of each recording; False for none; None to find
        files such as walk.labels.csv beside walk.csv, or labels.csv in `path`. Samples without a
        label are left out.
    annotation_unit : str or None
        What numbers there count: a key of `SECONDS` from a recording's begin on, "samples", or
        "clock" for what its column of time says; None to find out.
    leave_out : sequence of str or int
        Classes that are not taken.
    groups : str, int or None
        Whose a recording is, kept on one side of a split: the level of a folder, or a pattern
        that fits a part of the path, such as "subject*".
    group_column : str, int or None
        The column that says whose the rows are.
    skip_lines : int
        Lines of each file before its table.
    missing : {"error", "interpolate", "zero"}
        What becomes of empty cells, NaN and infinite values, along each recording.
    cache_gb : float
        Of the card, at most, for recordings that have been read: see `raspitrain.data.kept`.
    """
    check_missing(missing)
    length_asked = Span("dataset.length", length, 2)
    stride_asked = None if stride is None else Span("dataset.stride", stride, 1)
    folder, only = _folder(path)
    if isinstance(annotations, str) and label_column is not None:
        raise InputError(
            f"dataset.annotations={annotations} and dataset.label_column={label_column} both say "
            "the class; give one."
        )
    found = find_recordings(
        folder,
        files=[only] if only else [files] if isinstance(files, str) else files,
        class_level=class_level,
        groups=groups,
        has_labels=label_column is not None,
        annotations=annotations,
    )
    asked = Asked(
        columns=_list_of_columns(columns),
        label_column=label_column,
        group_column=group_column,
        time_column=time_column,
        time_unit=time_unit,
        skip_lines=skip_lines,
        annotated=found.annotated is not None,
    )
    marks = None
    if found.annotated is not None:
        marks = found.annotated.rows([[*source.files.values()] for source in found.sources])
    kept = Kept(1e9 * cache_gb)
    read = _read_all(found.sources, asked, kept)
    if group_column is None and groups is None and len(found.sources) == 1:
        asked, read = _with_person_column(found.sources, read, asked, kept)
    read, of_rows = split_sensors(read, asked)
    if marks is not None:
        classes = [classes_of(rows) for _, rows in marks]
    else:
        classes = [_classes(s, files) for s, files in zip(found.sources, read, strict=True)]
    chosen = _choose(read, classes, asked)
    streams = []
    for k, source in enumerate(found.sources):
        streams.append(_stream(source, read[k], chosen, k, asked))
        read[k] = {}  # what is not a channel is not needed any more
    names, units = _all_channels(chosen)
    notes, warnings = [*found.notes, *of_rows], [*found.warnings]
    if marks is not None:
        more = _mark(streams, marks, annotation_unit, names)
        notes, warnings = notes + more[0], warnings + more[1]
    left_out_classes = [str(name) for name in leave_out]
    cut = _Cut(folder, streams, names, missing=missing, leave_out=left_out_classes)
    cut.use_rate(rate)
    cut.windows(length_asked, stride_asked)
    left_out = [
        (f"{sensor}_{name}" if sensor else name, why)
        for sensor, each in chosen.items()
        for name, why in each.left_out
    ]
    warnings += [w for each in chosen.values() for w in each.warnings]
    if group_column is None and groups is None and asked.group_column is None:
        warnings += _people_left_out(left_out)
    return cut.cases(
        names,
        units,
        left_out=tuple(dict.fromkeys(left_out)),
        notes=(*notes, *_file_notes(streams)),
        warnings=tuple(warnings),
        keeps="recording" if groups is None and asked.group_column is None else "group",
    )


def _folder(path: str) -> tuple[Path, str | None]:
    """The folder of the recordings, and the name of the only one if a file is given."""
    place = user_path(path, "dataset.path")
    if place.is_file():
        return place.parent, place.name
    check_folder(place, "dataset.path")
    return place, None


def _list_of_columns(
    columns: str | int | Sequence[str | int] | None,
) -> Sequence[str | int] | None:
    if columns is None:
        return None
    listed = [columns] if isinstance(columns, str | int) else list(columns)
    if not listed:
        raise InputError("dataset.columns is empty: name the channels, or say null for all.")
    for name in listed:
        if listed.count(name) > 1:
            raise InputError(f"dataset.columns names '{name}' twice: name each channel once.")
    return listed


def _read_all(sources: Sequence[Source], asked: Asked, kept: Kept) -> list[dict[str, SensorFile]]:
    read = []
    for source in sources:
        for file in source.files.values():
            size = file.stat().st_size
            if size > LEAST_ASKED and size > (free := available_memory()):
                raise memory_error(
                    f"{file} does not fit into the {free / 1e9:.1f} GB of memory that are free; "
                    "store the windows as data.npy and label.npy and use dataset=npy.",
                    file.stat().st_size,
                )
        read.append(
            {
                sensor: kept.find(file, asked) or kept.keep(file, asked, read_file(file, asked))
                for sensor, file in source.files.items()
            }
        )
    return read


def _with_person_column(
    sources: Sequence[Source], read: list[dict[str, SensorFile]], asked: Asked, kept: Kept
) -> tuple[Asked, list[dict[str, SensorFile]]]:
    """One file of several people: its column of people is the group, as else there is but one."""
    (files,) = read
    file = next(iter(files.values()))
    for column, fact in zip(file.table.columns, file.facts, strict=True):
        if is_person_name(column.name) and not fact.constant and not fact.wavers:
            asked = replace(asked, group_column=column.name)
            return asked, _read_all(sources, asked, kept)
    return asked, read


def _choose(
    read: Sequence[dict[str, SensorFile]], classes: Sequence[frozenset[str]], asked: Asked
) -> dict[str, Chosen]:
    """The channels of each sensor; one that has none is left out, if another has some."""
    sensors = list(read[0])
    chosen = {
        sensor: choose(
            [files[sensor] for files in read], classes, asked, may_be_empty=len(sensors) > 1
        )
        for sensor in sensors
    }
    if not any(each.channels for each in chosen.values()):
        choose([files[sensors[0]] for files in read], classes, asked)  # says why
    return chosen


def _classes(source: Source, files: dict[str, SensorFile]) -> frozenset[str]:
    if source.class_name is not None:
        return frozenset([source.class_name])
    file = next(iter(files.values()))
    assert file.label is not None
    return frozenset(file.table.columns[file.label].words)


@dataclass
class _Stream:
    """One recording: its samples and what is known of each.

    Attributes
    ----------
    signals : np.ndarray
        (C, T), float32, or float64 where that would lose a small signal on a large offset.
    clock : Clock or None
    cuts : np.ndarray
        int64: samples at which a new stretch begins.
    labels, groups : list of str or None
        Of each sample.
    stretches : list of Stretch or None
        What is annotated, where annotations say the class.
    rows : np.ndarray or None
        The row of each sample where they were put into another order.
    joined : bool
        Whether it was put together of several sensors.
    """

    source: Source
    file: SensorFile
    signals: np.ndarray
    clock: Clock | None
    cuts: np.ndarray
    labels: list[str] | None
    groups: list[str] | None
    rows: np.ndarray | None
    notes: list[str]
    num_missing: int = 0
    digest: bytes = b""
    stretches: list[Stretch] | None = None
    joined: bool = False


def _stream(
    source: Source,
    files: dict[str, SensorFile],
    chosen: dict[str, Chosen],
    index: int,
    asked: Asked,
) -> _Stream:
    parts = [
        _sensor_stream(source, files[sensor], each, index, asked)
        for sensor, each in chosen.items()
        if each.channels
    ]
    return parts[0] if len(parts) == 1 else _join(source, parts)


def _sensor_stream(
    source: Source, file: SensorFile, chosen: Chosen, index: int, asked: Asked
) -> _Stream:
    labels = None if file.label is None else file.words(file.label)
    groups = None if file.group is None else file.words(file.group)
    rows = None if groups is None else _order_by_group(file, groups)
    clock = None
    if chosen.clocks is not None:
        clock = clock_of(file, chosen.clocks[index], asked.time_unit, rows)
    elif file.table.rate is not None and asked.time_column is not False:
        clock = even_clock(file.table.num_rows, file.table.rate, file.table.start)
        if file.path.suffix.lower() not in READERS:
            file.table.changes.append(f"{file.table.rate:g} Hz as the lines above the table say")
    signals = rows_as_one([column_values(file.table.columns[p]) for p in chosen.places[index]])
    cuts = np.empty(0, np.int64) if clock is None else clock.cuts
    if rows is not None:
        signals = np.ascontiguousarray(signals[:, rows])
        labels = None if labels is None else [labels[row] for row in rows.tolist()]
        groups = [groups[row] for row in rows.tolist()] if groups else groups
    known = np.isfinite(signals)
    stream = _Stream(
        source, file, signals, clock, cuts, labels, groups, rows, list(file.table.notes),
        num_missing=0 if known.all() else int((~known).sum()),
    )  # fmt: skip
    stream.digest = _digest(b"".join(file.digests[place] for place in chosen.places[index]))
    if rows is not None:
        stream.digest = _digest(signals.tobytes())
    return stream


def _mark(
    streams: Sequence[_Stream],
    marks: Sequence[tuple[Path, list[Annotation]]],
    unit: str | None,
    names: Sequence[str],
) -> tuple[list[str], list[str]]:
    """Give each recording its annotated stretches; returns notes and warnings."""
    mixed = next((stream for stream in streams if stream.rows is not None and stream.groups), None)
    if mixed is not None:
        raise InputError(
            f"{mixed.source.name} mixes the rows of several people, so that its annotations are "
            "nobody's: store a file for each person."
        )
    sources = [stream.source.name for stream in streams]
    lines = [timeline(stream.signals.shape[1], stream.clock) for stream in streams]
    placed = place_rows(marks, sources, lines, unit)
    for stream, stretches in zip(streams, placed.stretches, strict=True):
        stream.stretches = stretches
        if stream.num_missing:  # outside they do not matter
            inside = (stream.signals[:, s.first : s.last + 1] for s in stretches)
            stream.num_missing = sum(int((~np.isfinite(part)).sum()) for part in inside)
    warnings = [*warnings_of(placed, marks, sources), *_told_by(streams, names)]
    return notes_of(placed, marks), warnings


def _told_by(streams: Sequence[_Stream], names: Sequence[str]) -> list[str]:
    """A word on channels that change only where a stretch begins or ends, as a label does."""
    found = []
    for channel, name in enumerate(names):
        changes, near = 0, 0
        for stream in streams:
            values = stream.signals[channel]
            edges = [k for s in stream.stretches or () for k in (s.first, s.last + 1)]
            own = np.flatnonzero(values[1:] != values[:-1]) + 1
            if not edges or len(own) > 2 * len(edges):
                changes = 0
                break
            rate = _own_rate(stream) or 0.0
            changes += len(own)
            near += sum(min(abs(k - edge) for edge in edges) <= max(2, rate / 2) for k in own)
        if changes and near >= 0.9 * changes:
            found.append(
                f"channel '{name}' changes only where the annotations do, as a label does; leave "
                "it out with dataset.columns"
            )
    return found


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _order_by_group(file: SensorFile, groups: Sequence[str]) -> np.ndarray | None:
    """Rows of several people mixed with each other, put together person by person."""
    assert file.group is not None
    codes = file.table.columns[file.group].values
    num_runs = 1 + int(np.count_nonzero(np.diff(codes)))
    if num_runs * MIXED_ROWS <= len(codes) or num_runs <= len(set(groups)):
        return None
    return np.argsort(codes, kind="stable")


def _join(source: Source, parts: Sequence[_Stream]) -> _Stream:
    """Bring the sensors of a recording to the moments of the fastest one."""
    if any(part.clock is None for part in parts):
        lengths = {part.signals.shape[1] for part in parts}
        if len(lengths) > 1:
            raise InputError(
                f"{source.name}: its sensors have {' and '.join(map(str, sorted(lengths)))} "
                "samples and no column of time to join them by; choose one with dataset.files."
            )
        one = parts[0]
        one.signals = np.concatenate([part.signals for part in parts])
    else:
        one = _join_by_time(source, parts)
    one.num_missing = sum(part.num_missing for part in parts)
    one.joined = True
    one.digest = _digest(one.signals.tobytes())
    one.notes = list(dict.fromkeys(note for part in parts for note in part.notes))
    return one


def _join_by_time(source: Source, parts: Sequence[_Stream]) -> _Stream:
    times = []
    for part in parts:
        assert part.clock is not None
        if part.clock.num_back:
            raise InputError(
                f"{part.file.path}: its clock goes back, so that it cannot be joined by time with "
                "the other sensors; fix it, or choose one sensor with dataset.files."
            )
        times.append(part.clock.start + part.clock.seconds[:])
    steps = [np.inf if len(t) < 2 else (t[-1] - t[0]) / (len(t) - 1) for t in times]
    lead = int(np.argmin(steps))
    start, stop = max(t[0] for t in times), min(t[-1] for t in times)
    inside = np.flatnonzero((times[lead] >= start) & (times[lead] <= stop))
    if not len(inside):
        raise InputError(
            f"{source.name}: its sensors were recorded at different times, so that they cannot be "
            "joined; choose one with dataset.files."
        )
    one = parts[lead]
    assert one.clock is not None
    moments = times[lead][inside]
    keep = np.ones(len(inside), dtype=bool)
    signals = []
    for part, own in zip(parts, times, strict=True):
        assert part.clock is not None
        if part is one:
            signals.append(part.signals[:, inside])
            continue
        dtype = part.signals.dtype
        signals.append(
            np.stack([np.interp(moments, own, row).astype(dtype) for row in part.signals])
        )
        for cut in part.clock.cuts.tolist():
            keep &= (moments <= own[cut - 1]) | (moments >= own[cut])
    kept = np.flatnonzero(keep)
    places = inside[kept]
    cuts = np.zeros(len(one.signals[0]) + 1, dtype=np.int64)
    cuts[one.cuts] = 1
    passed = np.cumsum(cuts)[places]  # how many cuts lie before each sample that is kept
    new = np.flatnonzero((np.diff(passed) > 0) | (np.diff(kept) > 1)) + 1
    return replace(
        one,
        signals=np.concatenate(signals)[:, kept],
        clock=replace(one.clock, seconds=Seconds(one.clock.seconds[places], 0.0, 1.0)),
        cuts=new,
        labels=None if one.labels is None else [one.labels[k] for k in places.tolist()],
        groups=None if one.groups is None else [one.groups[k] for k in places.tolist()],
        rows=places if one.rows is None else one.rows[places],
    )


def _all_channels(chosen: dict[str, Chosen]) -> tuple[list[str], list[str]]:
    """Names and units; where sensors are joined, SENSOR_NAME."""
    names = [
        f"{sensor}_{name}" if sensor else name
        for sensor, each in chosen.items()
        for name in each.channels
    ]
    return names, [unit for each in chosen.values() for unit in each.units]


def _people_left_out(left_out: Sequence[tuple[str, str]]) -> list[str]:
    return [
        f"column '{name}' says whose the rows are; keep each person on one side of the split with "
        f"dataset.group_column={name}"
        for name, why in left_out
        if is_person_name(name) and why == "person"
    ]


def _file_notes(streams: Sequence[_Stream]) -> list[str]:
    """What was passed over in the files, each kind once."""
    kinds = Counter(note for stream in streams for note in dict.fromkeys(stream.notes))
    changes = Counter(change for stream in streams for change in stream.file.table.changes)
    return [
        f"passed over in {counted(count, 'file')}: {note}" for note, count in kinds.most_common(5)
    ] + [f"{change} in {counted(count, 'file')}" for change, count in changes.most_common(5)]


def _left_out_note(no_label: int, streams: Sequence[_Stream]) -> str:
    if all(stream.stretches is None for stream in streams):
        return f"{no_label} rows without a label left out"
    share = no_label / sum(stream.signals.shape[1] for stream in streams)
    return f"{no_label} samples without a label left out ({100 * share:.3g} %)"


@dataclass
class _Piece:
    """A stretch of one class and group without a gap."""

    start: int
    stop: int
    label: str
    group: str
    began: float | None = None  # in seconds of its recording, of one that is resampled


class _Cut:
    """From streams to windows, step by step, noting what is dropped."""

    def __init__(
        self,
        folder: Path,
        streams: list[_Stream],
        names: Sequence[str],
        *,
        missing: str,
        leave_out: Sequence[str],
    ) -> None:
        self.folder = folder
        self.streams = streams
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.rate: float | None = None
        if missing == "error":
            _refuse_missing(folder, streams, names)
        no_label = no_group = 0
        self.no_label: list[int] = []
        self.pieces: list[list[_Piece]] = []
        for stream in streams:
            pieces = _pieces(stream)
            self.no_label.append(sum(p.stop - p.start for p in pieces if p.label == ""))
            no_label += self.no_label[-1]
            no_group += sum(p.stop - p.start for p in pieces if p.group == "")
            pieces = [p for p in pieces if p.label and p.group and p.label not in leave_out]
            if missing != "error":
                for piece in pieces:
                    fill_missing(stream.signals[:, piece.start : piece.stop], missing)
            self.pieces.append(pieces)
        if no_label:
            self.notes.append(_left_out_note(no_label, streams))
        if no_group:
            self.notes.append(f"{no_group} rows without a group left out")
        self._check_left_out(leave_out)
        self._merge_copies()

    def _check_left_out(self, leave_out: Sequence[str]) -> None:
        every = sorted({label for stream in self.streams for label in _labels(stream)} - {""})
        for name in leave_out:
            if name not in every:
                raise InputError(
                    f"dataset.leave_out names '{name}', which is no class of {self.folder}; "
                    f"{nearest(name, every)}."
                )
        if leave_out:
            self.notes.append(f"classes left out: {', '.join(leave_out)}")

    def _merge_copies(self) -> None:
        """Recordings with the same samples, or of which one is the begin or the end of another,
        are one group; of two classes they are refused."""
        first_of: dict[bytes, int] = {}
        edges: dict[bytes, list[int]] = {}
        self.copy_of = [""] * len(self.streams)
        for k, stream in enumerate(self.streams):
            samples = stream.signals
            if samples.shape[1] < LEAST_ROWS or (samples == samples[:, :1]).all():
                continue  # alike by chance
            first = first_of.setdefault(stream.digest, k)
            if first == k:
                own = _edges(samples)
                near = [j for edge in own for j in edges.get(edge, ()) if self._cut_from(k, j)]
                for edge in own:
                    edges.setdefault(edge, []).append(k)
                if not near:
                    continue
                first = near[0]
            other = self.streams[first]
            here, there = (self._classes_of(index) for index in (k, first))
            if set(here).isdisjoint(there) or (other.digest == stream.digest and here != there):
                raise InputError(
                    f"{self.folder}: {other.source.name} ({', '.join(there)}) and "
                    f"{stream.source.name} ({', '.join(here)}) hold the same samples under two "
                    "classes; delete the wrong one."
                )
            if other.source.part != stream.source.part:
                raise InputError(
                    f"{self.folder}: {other.source.name} and {stream.source.name} hold the same "
                    "samples in two parts, so that the test would ask for what was learnt; delete "
                    "one."
                )
            self.copy_of[k] = other.source.name
            pieces, original = self.pieces[k], self.pieces[first]
            for at, piece in enumerate(pieces):
                piece.group = original[at if len(pieces) == len(original) else 0].group
        if num_copies := sum(map(bool, self.copy_of)):
            k = next(k for k, name in enumerate(self.copy_of) if name)
            self.warnings.append(
                f"{num_copies} of {len(self.streams)} recordings are copies of others "
                f"({self.streams[k].source.name} of {self.copy_of[k]}); they stay on one side of "
                "the split, but count twice"
            )

    def _cut_from(self, one: int, other: int) -> bool:
        """Whether the shorter of two recordings is the begin or the end of the longer."""
        short, long = sorted(
            (self.streams[k].signals for k in (one, other)), key=lambda own: own.shape[1]
        )
        length = short.shape[1]
        return any(
            np.array_equal(short, part, equal_nan=True)
            for part in (long[:, :length], long[:, long.shape[1] - length :])
        )

    def _classes_of(self, index: int) -> tuple[str, ...]:
        return tuple(dict.fromkeys(piece.label for piece in self.pieces[index]))

    def use_rate(self, wanted: float | None) -> None:
        """Hold the rates against each other, or bring all to one."""
        rates = [_own_rate(stream) for stream in self.streams]
        known = [k for k, rate in enumerate(rates) if rate is not None]
        clocks = [stream.clock for stream in self.streams if stream.clock is not None]
        num_gaps, num_back = self._count_gaps()
        if num_gaps or num_back:
            where = sum(bool(s.clock and len(s.cuts)) for s in self.streams)
            self.notes.append(
                f"cut at {num_gaps} gap{'' if num_gaps == 1 else 's'} and {num_back} "
                f"step{'' if num_back == 1 else 's'} back of the clock, in {where} of "
                f"{len(self.streams)} recordings"
            )
        if wanted is not None:
            self._resample(wanted)
            return
        if not known:
            return
        steps = {k: clock.step for k, s in enumerate(self.streams)
                 if (clock := s.clock) is not None and clock.step > 0}  # fmt: skip
        in_hertz = len(known) == len(steps)
        values = {k: rates[k] for k in known} if in_hertz else {k: 1 / v for k, v in steps.items()}
        self._compare_rates({k: v for k, v in values.items() if v is not None}, in_hertz)
        if in_hertz and clocks:
            self.rate = _tidy(float(np.median([rates[k] for k in known])))

    def _compare_rates(self, rates: dict[int, float], in_hertz: bool) -> None:
        slow, fast = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
        ratio = rates[fast] / rates[slow]
        if ratio <= RATES_NOTED:
            return
        names = [self.streams[k].source.name for k in (slow, fast)]
        figures = [f"{_tidy(rates[k]):g}{' Hz' if in_hertz else ' samples a unit of time'}"
                   for k in (slow, fast)]  # fmt: skip
        middle = (rates[slow] * rates[fast]) ** 0.5
        num_slow = sum(rate < middle for rate in rates.values())
        sentence = (
            f"recordings have different rates: {names[0]} has {figures[0]}, {names[1]} has "
            f"{figures[1]} ({num_slow} nearer the first, {len(rates) - num_slow} nearer the second)"
        )
        remedy = f"bring all to one with dataset.rate={_tidy(rates[slow]):g}"
        if ratio > RATES_APART:
            raise InputError(
                f"{self.folder}: {sentence}, so that a window is not the same time in each; "
                f"{remedy}, or do without time with dataset.time_column=false."
            )
        self.warnings.append(f"{sentence}; {remedy}")

    def _count_gaps(self) -> tuple[int, int]:
        """Gaps and steps back within what is one class and group."""
        gaps = back = 0
        for stream, pieces in zip(self.streams, self.pieces, strict=True):
            if stream.clock is None:
                continue
            seconds = stream.clock.seconds
            for before, after in pairwise(pieces):
                if (before.label, before.group) != (after.label, after.group):
                    continue
                if before.stop == after.start:
                    if seconds[after.start] < seconds[before.stop - 1]:
                        back += 1
                    else:
                        gaps += 1
        return gaps, back

    def _resample(self, wanted: float) -> None:
        changed = 0
        for k, stream in enumerate(self.streams):
            clock, pieces = stream.clock, self.pieces[k]
            if clock is None or clock.rate is None:
                raise InputError(
                    f"dataset.rate={wanted:g}: {stream.source.name} does not say how many samples "
                    "a second it has; name its column of time and the unit with "
                    "dataset.time_column and dataset.time_unit."
                )
            if abs(clock.rate / wanted - 1) <= EVEN_ENOUGH:
                continue
            changed += 1
            signals, start = [], 0
            for piece in pieces:
                inside = slice(piece.start, piece.stop)
                new = resample(stream.signals[:, inside], clock.seconds[inside], wanted)
                signals.append(new)
                piece.began = float(clock.seconds[piece.start])
                piece.start, piece.stop = start, start + new.shape[1]
                start = piece.stop
            stream.signals = np.concatenate(signals, axis=1) if signals else stream.signals[:, :0]
        self.rate = float(wanted)
        if changed:
            self.notes.append(
                f"{changed} of {len(self.streams)} recordings resampled to {wanted:g} Hz"
            )

    def windows(self, length: Span, stride: Span | None) -> None:
        """Say where the windows begin."""
        self.length = length.samples(self.rate)
        step = self.length // 2 if stride is None else stride.samples(self.rate)
        if step > self.length:
            self.notes.append(
                f"dataset.stride={step} is longer than a window: {step - self.length} samples "
                "between one and the next are in none"
            )
        self.starts = [
            [np.arange(p.start, p.stop - self.length + 1, step) for p in pieces]
            for pieces in self.pieces
        ]
        longest: Counter[str] = Counter()
        number: Counter[str] = Counter()
        for pieces, starts in zip(self.pieces, self.starts, strict=True):
            for piece, own in zip(pieces, starts, strict=True):
                longest[piece.label] = max(longest[piece.label], piece.stop - piece.start)
                number[piece.label] += len(own)
        if not any(number.values()):
            raise InputError(
                f"{self.folder}: no recording has {self.length} samples of one class in a row"
                f"{self._broken()}, the longest has {max(longest.values(), default=0)}; choose a "
                "smaller dataset.length."
            )
        for label, count in number.items():
            if not count:
                raise InputError(
                    f"{self.folder}: the class '{label}' would vanish, as it has at most "
                    f"{longest[label]} samples in a row{self._broken()} and a window is "
                    f"{self.length}; choose a smaller dataset.length, or leave it out with "
                    f"dataset.leave_out=[{label}]."
                )
        empty = [
            stream.source.name
            for stream, starts in zip(self.streams, self.starts, strict=True)
            if not sum(map(len, starts)) and stream.stretches != []
        ]
        if empty:
            self.warnings.append(
                f"{len(empty)} of {len(self.streams)} recordings in {self.folder} are shorter than "
                f"one window and left out ({', '.join(empty[:3])}{', …' if len(empty) > 3 else ''})"
            )

    def _broken(self) -> str:
        gaps, back = self._count_gaps()
        if not gaps + back:
            return ""
        return (
            f" (the clock has {gaps} gaps and {back} steps back; dataset.time_column=false does "
            "without it)"
        )

    def cases(
        self,
        names: Sequence[str],
        units: Sequence[str],
        *,
        left_out: tuple[tuple[str, str], ...],
        notes: tuple[str, ...],
        warnings: tuple[str, ...],
        keeps: str,
    ) -> Cases:
        places = [
            (k, piece, own)
            for k, (pieces, starts) in enumerate(zip(self.pieces, self.starts, strict=True))
            for piece, own in zip(pieces, starts, strict=True)
        ]
        counts = [len(own) for _, _, own in places]
        recording_of = np.repeat([k for k, _, _ in places], counts)
        start = np.concatenate([own for _, _, own in places])
        labels = np.repeat(np.array([piece.label for _, piece, _ in places]), counts)
        groups = np.repeat(np.array([piece.group for _, piece, _ in places]), counts)
        parts = [stream.source.part for stream in self.streams]
        taken = Taken(
            what="recording",
            origins=tuple(self._origin(k) for k in range(len(self.streams))),
            origin_of=recording_of,
            starts=start,
            seconds=np.concatenate([self._seconds(*place) for place in places]),
            left_out=left_out,
            notes=(*notes, *self.notes),
            warnings=(*warnings, *self.warnings),
            keeps=keeps,
        )
        return make_cases(
            Windows([s.signals for s in self.streams], recording_of, start, self.length),
            labels,
            source=str(self.folder),
            missing="error",
            channel_names=names,
            groups=groups,
            part=None if None in parts else np.array(parts, dtype=np.int8)[recording_of],
            rate=self.rate,
            units=units,
            taken=taken,
        )

    def _seconds(self, k: int, piece: _Piece, starts: np.ndarray) -> np.ndarray:
        clock = self.streams[k].clock
        if clock is None or clock.rate is None:
            return np.full(len(starts), np.nan)
        if piece.began is None:
            return clock.seconds[starts]
        assert self.rate is not None
        return piece.began + (starts - piece.start) / self.rate

    def _origin(self, k: int) -> Origin:
        stream, pieces = self.streams[k], self.pieces[k]
        groups = dict.fromkeys(piece.group for piece in pieces)
        clock = stream.clock
        gaps = 0 if clock is None else clock.num_gaps
        return Origin(
            name=stream.source.name,
            classes=self._classes_of(k),
            group=", ".join(groups),
            num_samples=stream.signals.shape[1],
            seconds=None if clock is None or clock.rate is None else float(clock.seconds[-1]),
            rate=None if clock is None else clock.rate,
            num_missing=stream.num_missing,
            num_gaps=gaps,
            num_back=0 if clock is None else clock.num_back,
            copy_of=self.copy_of[k],
            num_unlabelled=self.no_label[k],
        )


def _edges(samples: np.ndarray) -> list[bytes]:
    """What a recording begins and ends with, where that is more than chance."""
    if samples.shape[1] < EDGE_ROWS:
        return []
    parts = (samples[:, :EDGE_ROWS], samples[:, -EDGE_ROWS:])
    return [
        side + part.astype(np.float32).tobytes()
        for side, part in zip((b"<", b">"), parts, strict=True)
        if max(len(set(row.tolist())) for row in part) > EDGE_ROWS // 4
    ]


def _own_rate(stream: _Stream) -> float | None:
    return None if stream.clock is None else stream.clock.rate


def _tidy(rate: float) -> float:
    """A rate without the digits that stamps do not carry."""
    whole = round(rate)
    return float(whole) if whole and abs(rate / whole - 1) < 0.005 else float(f"{rate:.4g}")


def _labels(stream: _Stream) -> set[str]:
    if stream.stretches is not None:
        return {stretch.label for stretch in stream.stretches}
    return {stream.source.class_name or ""} if stream.labels is None else set(stream.labels)


def _pieces(stream: _Stream) -> list[_Piece]:
    """The stretches of one class and group that no cut of the clock goes through."""
    num_samples = stream.signals.shape[1]
    breaks = {0, num_samples, *stream.cuts.tolist()}
    for values in (stream.labels, stream.groups):
        if values is not None:
            breaks |= {k for k in range(1, num_samples) if values[k] != values[k - 1]}
    named = {}
    for stretch in stream.stretches or ():
        breaks |= {stretch.first, stretch.last + 1}
    edges = sorted(breaks)
    for stretch in stream.stretches or ():
        at = bisect_left(edges, stretch.first)
        while edges[at] <= stretch.last:
            named[edges[at]] = stretch.label
            at += 1
    own = stream.source.group or stream.source.name
    return [
        _Piece(
            start,
            stop,
            _label_at(stream, start, named),
            own if stream.groups is None else stream.groups[start],
        )
        for start, stop in pairwise(edges)
    ]


def _label_at(stream: _Stream, start: int, annotated: dict[int, str]) -> str:
    if stream.stretches is not None:
        return annotated.get(start, "")
    return (stream.source.class_name or "") if stream.labels is None else stream.labels[start]


def _refuse_missing(folder: Path, streams: Sequence[_Stream], names: Sequence[str]) -> None:
    count = sum(stream.num_missing for stream in streams)
    if not count:
        return
    stream = next(stream for stream in streams if stream.num_missing)
    bad = ~np.isfinite(stream.signals)
    sample = int(np.flatnonzero(bad.any(axis=0))[0])
    channel = names[int(np.flatnonzero(bad[:, sample])[0])]
    row = sample if stream.rows is None else int(stream.rows[sample])
    where = "line" if stream.file.path.suffix.lower() not in READERS else "row"
    line = "" if stream.joined else f", {where} {stream.file.table.line(row)}"
    raise InputError(
        f"{folder}: {count} {'value is' if count == 1 else 'values are'} missing, NaN, infinite or "
        f"too large for float32 (3.4e38), the first in {stream.file.path}{line}, column "
        f"'{channel}'; fix the data, or accept them with dataset.missing=interpolate or "
        "dataset.missing=zero."
    )


class Windows:
    """Windows (N, C, L) of recordings, copied out only when they are asked for.

    Parameters
    ----------
    samples : sequence of np.ndarray
        The recordings, float32 or float64 (C, its own length).
    recording, start : np.ndarray
        (N,): where each window lies.
    """

    def __init__(
        self,
        samples: Sequence[np.ndarray],
        recording: np.ndarray,
        start: np.ndarray,
        length: int,
    ) -> None:
        self._samples = samples
        self._recording = recording
        self._start = start
        self.shape = (len(start), len(samples[0]), length)
        self.dtype = np.result_type(*{signals.dtype for signals in samples})
        # Looked at recording by recording; what float32 cannot hold only where it is not the type.
        self.is_finite = self.dtype == np.float32

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        _, num_channels, length = self.shape
        out = np.empty((len(indices), num_channels, length), dtype=self.dtype)
        places = zip(self._recording[indices].tolist(), self._start[indices].tolist(), strict=True)
        for i, (recording, start) in enumerate(places):
            out[i] = self._samples[recording][:, start : start + length]
        return out


@dataclass(frozen=True)
class Recording:
    """What one file holds.

    Attributes
    ----------
    samples : np.ndarray
        float32 (C, T), or float64 as in `recordings`; cells that are missing are NaN.
    channel_names : tuple of str
        C names.
    labels : list of str or None
        The T entries of the label column, stripped; "" where there is none.
    lines : np.ndarray
        int64 (T,): the line of the file, counted from 1, that each sample stands in.
    clock : Clock or None
        What its column of time says.
    """

    samples: np.ndarray
    channel_names: tuple[str, ...]
    labels: list[str] | None
    lines: np.ndarray
    clock: Clock | None


def read_recording(
    path: Path,
    *,
    columns: Sequence[str | int] | None,
    label_column: str | int | None,
    time_column: str | int | bool | None = None,
) -> Recording:
    """Read one file by itself, as `recordings` reads those of a folder.

    Parameters
    ----------
    columns, label_column, time_column
        As for `recordings`.
    """
    asked = Asked(columns=columns, label_column=label_column, time_column=time_column)
    file = read_file(path, asked)
    labels = None if file.label is None else file.words(file.label)
    chosen = choose([file], [frozenset(labels or [])], asked)
    clock = None if chosen.clocks is None else clock_of(file, chosen.clocks[0], None, None)
    samples = np.stack([column_values(file.table.columns[place]) for place in chosen.places[0]])
    return Recording(samples, chosen.channels, labels, file.table.lines(), clock)
