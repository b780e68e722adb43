"""Recordings of a sensor logger, cut into windows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from raspitrain.data.cases import Cases, check_missing
from raspitrain.data.files.csv_file import Column
from raspitrain.data.files.npy_file import check_folder, user_path
from raspitrain.data.files.wfdb_marks import KINDS
from raspitrain.data.recorded.annotated import classes_of
from raspitrain.data.recorded.channels import Chosen, choose, clock_of
from raspitrain.data.recorded.clock import Clock
from raspitrain.data.recorded.columns import (
    LEAST_ROWS,
    is_person_name,
    is_trial_name,
    unused_columns,
)
from raspitrain.data.recorded.cut import Cut
from raspitrain.data.recorded.date_order import settle
from raspitrain.data.recorded.find import find_recordings
from raspitrain.data.recorded.kept import Kept
from raspitrain.data.recorded.long_format import each_group, split_sensors
from raspitrain.data.recorded.marked import mark_beats, mark_stretches
from raspitrain.data.recorded.names import PERSON, Source
from raspitrain.data.recorded.sensor_file import (
    Asked,
    SensorFile,
    column_values,
    read_file,
    without_device,
)
from raspitrain.data.recorded.sensors import recorded_at_once
from raspitrain.data.recorded.streams import Stream, make_stream
from raspitrain.data.span import Span
from raspitrain.errors import InputError, Warned, a_few, counted
from raspitrain.hardware.board import available_memory
from raspitrain.hardware.memory import memory_error

UNCOVERED = 0.1  # share of a recording, from which what joining leaves out is told
SINCE_1970 = 1e8  # seconds, from which a clock is of one day alone
LEAST_ASKED = 1 << 24  # bytes of a file, below which nobody asks whether it fits into memory


@np.errstate(invalid="ignore")  # differences of infinite cells, which count as missing
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
    class_part: int | str | None,
    sensor_part: str | None,
    label_column: str | int | None,
    annotations: str | bool | None,
    annotation_unit: str | None,
    leave_out: Sequence[str | int],
    groups: str | int | None,
    group_column: str | int | None,
    part_column: str | int | None,
    blocks: int | None,
    sensor_column: str | int | bool | Sequence[str | int] | None,
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
    or a change of label, group or part.

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
        Its unit, a key of `SECONDS` in files/time_names.py; of dates such as 5/6/2024 "dmy" or
        "mdy"; None to tell by name and values.
    rate : float or None
        Samples a second that all recordings are brought to; None as recorded.
    class_level : int or None
        The folder that names the class: 1 the first below `path`, -1 the innermost, 0 the file's
        own name; None to find out.
    class_part : int, str or None
        The part of the file's name, or of the folder's that `class_level` names, that is the
        class: 1 is the first of those that hyphens, underscores and blanks set apart, -1 the last;
        or a regular expression, whose first group (or all of it) fits the class.
    label_column : str, int or None
        The column that holds the class. It may change within a recording; rows without a label
        are left out.
    annotations : str, False or None
        The file that says what begins and ends where (recorded/annotations.py), below `path`
        or anywhere, or its name with * for that of each recording; False for none; None to find
        files such as walk.labels.csv beside walk.csv, or labels.csv in `path`. Samples without a
        label are left out. Of WFDB's annotations "beats", "aami" (beats as AAMI puts them
        together) or "rhythms"; a beat is the middle of a window of its own.
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
    part_column : str, int or None
        The column that says which part of the data's own split the rows are of, by word (train,
        validation, test) or number (0, 1, 2).
    blocks : int or None
        How many blocks the samples of each class in a recording are cut into, each of which is
        kept on one side of a split by itself; None to keep recordings whole.
    sensor_column : str, int, sequence of these, False or None
        What says which sensor each row is of, where several share the other columns;
        False for none; None to find one by its name or words.
    sensor_part : str or None
        What names the sensor in a file's path, where each has a file of its own: a regular
        expression, whose first group (or all of it) fits; None for names that are known.
    skip_lines : int
        Lines of each file before its table.
    missing : {"error", "interpolate", "zero"}
        What becomes of empty cells, NaN and infinite values, along each recording.
    cache_gb : float
        Of the card, at most, for recordings that have been read: see recorded/kept.py.
    """
    check_missing(missing)
    length_asked = Span("dataset.length", length, 2)
    stride_asked = None if stride is None else Span("dataset.stride", stride, 1)
    folder, only = _folder(path)
    given = {"groups": groups, "group_column": group_column, "part_column": part_column}
    others = [name for name, value in given.items() if value is not None]
    if blocks is not None and others:
        raise InputError(
            f"dataset.blocks={blocks} cuts what dataset.{others[0]} keeps whole; give one of them."
        )
    if annotations in KINDS and label_column is not None:
        raise InputError(
            f"dataset.annotations={annotations} and dataset.label_column={label_column} both say "
            "the class; give one."
        )
    of_annotations = isinstance(annotations, str)
    found = find_recordings(
        folder,
        files=[only] if only else [files] if isinstance(files, str) else files,
        class_level=class_level,
        class_part=class_part,
        sensor_part=sensor_part,
        groups=groups,
        has_labels=label_column is not None,
        annotations=annotations,
        annotation_column=label_column if of_annotations else None,
    )
    asked = Asked(
        columns=_list_of_columns(columns),
        label_column=None if of_annotations else label_column,
        group_column=group_column,
        part_column=part_column,
        time_column=time_column,
        time_unit=time_unit,
        sensor_column=sensor_column,
        skip_lines=skip_lines,
        annotated=found.annotated is not None,
        recordings=[path for source in found.sources for path in source.files.values()],
    )
    marks = beats = None
    if found.annotated is not None:
        files_of = [[*source.files.values()] for source in found.sources]
        if found.annotated.beats is None:
            marks = found.annotated.rows(files_of)
        else:
            beats = found.annotated.marks(files_of)
    kept = Kept(1e9 * cache_gb)
    read = _read_all(found.sources, asked, kept)
    if group_column is None and groups is None and blocks is None:
        own_groups = _groups_within(found.sources, read, length_asked)
        if own_groups is not None:
            asked = replace(asked, group_column=own_groups)
            read = _read_all(found.sources, asked, kept)
    read, of_names = without_device(read)
    order = settle([file.table for files in read for file in files.values()], time_unit)
    sources, read = each_group(found.sources, read, asked)
    read, of_rows = split_sensors(read, asked)
    read, of_few = _without_short_sensors(read)
    if marks is not None:
        classes = [classes_of(rows) for _, rows in marks]
    elif beats is not None:
        classes = [frozenset() for _ in beats]
    else:
        classes = [_classes(s, files) for s, files in zip(sources, read, strict=True)]
    chosen = _choose(read, classes, asked)
    if found.mixed and asked.columns is None:
        raise InputError(f"{folder}: {found.mixed}")
    labels_within = _labels_within(sources, read, chosen)
    streams = []
    for k, source in enumerate(sources):
        streams.append(make_stream(source, read[k], chosen, k, asked))
        read[k] = {}  # what is not a channel is not needed any more
    num_rows = [stream.signals.shape[1] for stream in streams]
    at_once = recorded_at_once(sources, num_rows, [_span(stream.clock) for stream in streams])
    names, units = _all_channels(chosen)
    notes, warnings = (
        [*found.notes, *of_names, *of_rows, *of_few, *order[0]],
        [*found.warnings, *at_once, *order[1]],
    )
    if marks is not None:
        more = mark_stretches(streams, marks, annotation_unit, names)
        notes, warnings = notes + more[0], warnings + more[1]
    if beats is not None and found.annotated is not None:
        more = mark_beats(streams, beats, str(found.annotated.beats))
        notes, warnings = notes + more[0], warnings + more[1]
        if stride is not None:
            raise InputError(
                f"dataset.stride={stride} is of no use where windows lie about beats; leave it out."
            )
    left_out_classes = [str(name) for name in leave_out]
    left_out = [
        (f"{sensor}_{name}" if sensor else name, why)
        for sensor, each in chosen.items()
        for name, why in each.left_out
    ]
    warnings += [w for each in chosen.values() for w in each.warnings]
    warnings += labels_within + _uncovered(streams)
    has_groups = groups is not None or asked.group_column is not None
    warnings += unused_columns(
        left_out, has_groups or blocks is not None, has_part=part_column is not None
    )
    with Warned(warnings):
        cut = Cut(
            folder,
            streams,
            names,
            missing=missing,
            leave_out=left_out_classes,
            blocks=blocks,
            warnings=warnings,
        )
        cut.use_rate(rate)
        cut.windows(length_asked, stride_asked)
        return cut.cases(
            names,
            units,
            left_out=tuple(dict.fromkeys(left_out)),
            notes=(*notes, *_file_notes(streams)),
            keeps="group" if has_groups else "recording" if blocks is None else "block",
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


def _groups_within(
    sources: Sequence[Source], read: Sequence[dict[str, SensorFile]], length: Span
) -> str | None:
    """The column of groups where a file is all there is, or all of its class: of people, of
    stretches that blank lines set apart, or of trials that are as long as a window."""
    classes = [source.class_name for source in sources]
    if len(sources) > 1 and (None in classes or len(set(classes)) < len(classes)):
        return None
    files = [file for own in read for file in own.values()]
    if len(sources) > 1 and all("block" in file.table.names for file in files):
        return "block"
    least = 1 if length.seconds is not None else int(length.value)
    found: dict[tuple[bool, str], list[int]] = {}
    for file in files:
        for column, fact in zip(file.table.columns, file.facts, strict=True):
            person = is_person_name(column.name) and not fact.constant and not fact.wavers
            trial = is_trial_name(column.name) and (fact.blocks > 1 or len(fact.values) > 1)
            trial = trial and _tells_several_of_a_class(file, column)
            changes = int(np.count_nonzero(np.diff(column.values)))
            if person or trial:
                found.setdefault((person, column.name), []).append(changes)
    every = [key for key, own in found.items() if len(own) == len(files)]
    if not every:
        return None
    person, name = max(every, key=lambda key: (key[0], sum(found[key])))
    longest = [
        file.table.num_rows // (n + 1) for file, n in zip(files, found[person, name], strict=True)
    ]
    return name if person or max(longest) >= least else None


def _tells_several_of_a_class(file: SensorFile, trials: Column) -> bool:
    """Whether most labels of a file occur in several trials; else none could be kept for a test."""
    if file.label is None:
        return True
    both = np.stack([file.table.columns[file.label].values, trials.values])
    begins = np.concatenate([[True], (np.diff(both) != 0).any(axis=0)])
    labels = np.unique(both[:, begins], axis=1)[0]
    return bool(np.median(np.unique(labels, return_counts=True)[1]) > 1)


def _without_short_sensors(
    read: list[dict[str, SensorFile]],
) -> tuple[list[dict[str, SensorFile]], list[str]]:
    """Without sensors of which most recordings have a few rows, as of what seldom changes."""
    rows = {sensor: [files[sensor].table.num_rows for files in read] for sensor in read[0]}
    short = [
        sensor for sensor, own in rows.items()
        if 2 * sum(number < LEAST_ROWS for number in own) > len(read)
    ]  # fmt: skip
    if not short or len(short) == len(rows):
        return read, []
    kept = [{sensor: own for sensor, own in f.items() if sensor not in short} for f in read]
    few = ", ".join(f"{sensor} (such as {min(rows[sensor])})" for sensor in short)
    return kept, [f"not taken: sensors of hardly any rows in most recordings, {few}"]


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


def _labels_within(
    sources: Sequence[Source], read: Sequence[dict[str, SensorFile]], chosen: dict[str, Chosen]
) -> list[str]:
    """A word on labels that change within recordings, where the folders may be people."""
    names = sorted({source.class_name or "" for source in sources})
    if not all(name.isdigit() or PERSON.fullmatch(name) for name in names):
        return []
    return [
        f"column '{name}' is called as labels are and is not used, as the classes are "
        f"{a_few(names)}; if these are people, take it with dataset.label_column={name}"
        for sensor, each in chosen.items()
        for name, why in each.left_out
        if why == "label" and any(_changes(files[sensor], name) for files in read)
    ]


def _changes(file: SensorFile, name: str) -> bool:
    names = file.table.names
    return name in names and not file.facts[names.index(name)].constant


def _all_channels(chosen: dict[str, Chosen]) -> tuple[list[str], list[str]]:
    """Names and units; where sensors are joined, SENSOR_NAME."""
    names = [
        f"{sensor}_{name}" if sensor else name
        for sensor, each in chosen.items()
        for name in each.channels
    ]
    return names, [unit for each in chosen.values() for unit in each.units]


def _span(clock: Clock | None) -> tuple[float, float] | None:
    """When a recording begins and ends, if its clock says the day too."""
    if clock is None or clock.start < SINCE_1970 or clock.unit is None:
        return None
    return clock.start, clock.start + float(clock.seconds[-1])


def _uncovered(streams: Sequence[Stream]) -> list[str]:
    """What is lost where the sensors of a recording are joined, as only some of them ran."""
    short = [
        (*stream.uncovered, stream.source.name)
        for stream in streams
        if stream.uncovered is not None and stream.uncovered[0] > UNCOVERED
    ]
    if not short:
        return []
    share, least, name = max(short)
    return [
        f"sensors are joined where all of them ran, and in {counted(len(short), 'recording')} that "
        f"leaves more than a tenth out, most in {name}: {100 * share:.0f} %, as {least} covers "
        "no more; dataset.files takes the files of fewer sensors"
    ]


def _file_notes(streams: Sequence[Stream]) -> list[str]:
    """What was passed over in the files, each kind once."""
    kinds = Counter(note for stream in streams for note in dict.fromkeys(stream.notes))
    changes = Counter(change for stream in streams for change in dict.fromkeys(stream.changes))
    return [
        f"passed over in {counted(count, 'file')}: {note}" for note, count in kinds.most_common(5)
    ] + [f"{change} in {counted(count, 'file')}" for change, count in changes.most_common(5)]


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
