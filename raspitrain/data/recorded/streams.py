"""A recording on its way to windows: the samples of its files, its sensors joined by time."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from raspitrain.data.files.formats import READERS
from raspitrain.data.recorded.channels import Chosen, clock_of
from raspitrain.data.recorded.clock import Clock, Seconds, even_clock
from raspitrain.data.recorded.kept import rows_as_one
from raspitrain.data.recorded.marks import Stretch
from raspitrain.data.recorded.names import Source
from raspitrain.data.recorded.parts import part_of_cell
from raspitrain.data.recorded.sensor_file import Asked, SensorFile, column_values
from raspitrain.errors import InputError

FIRST_ROWS = 64
MOST_CHANGES = 0.9  # of the rows
ENDS = 2  # of a recording, where a row may stand that changes nothing
EVEN_STEPS = 1.02  # the longest over the shortest, of a device that reads levels at its own rate
MIXED_ROWS = 16  # rows of one group in a row, on average, below which they are mixed


@dataclass
class Stream:
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
    held : bool
        Whether its samples stand where a level changes, which holds until the next one.
    parts : list of int or None
        Of each sample, where a column says it: 0 train, 1 validation, 2 test, -1 where it does not.
    stretches : list of Stretch or None
        What is annotated, where annotations say the class.
    beats : dict of str to np.ndarray, or None
        int64: where the moments of each class are, where moments are annotated.
    rows : np.ndarray or None
        The row of each sample where they were put into another order.
    joined : bool
        Whether it was put together of several sensors.
    notes, changes : list of str
        What was passed over in its files, and what was done to their rows.
    uncovered : tuple of (float, str) or None
        Of several sensors: the share of the longest that the others do not cover, and the name of
        the file that covers least.
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
    changes: list[str]
    num_missing: int = 0
    digest: bytes = b""
    stretches: list[Stretch] | None = None
    beats: dict[str, np.ndarray] | None = None
    joined: bool = False
    uncovered: tuple[float, str] | None = None
    parts: list[int] | None = None
    held: bool = False


def make_stream(
    source: Source,
    files: dict[str, SensorFile],
    chosen: dict[str, Chosen],
    index: int,
    asked: Asked,
) -> Stream:
    parts = [
        _sensor_stream(source, files[sensor], each, index, asked)
        for sensor, each in chosen.items()
        if each.channels
    ]
    return parts[0] if len(parts) == 1 else _join(source, parts)


def _sensor_stream(
    source: Source, file: SensorFile, chosen: Chosen, index: int, asked: Asked
) -> Stream:
    labels = None if file.label is None else file.words(file.label)
    groups = None if file.group is None else file.words(file.group)
    parts = _parts(file)
    rows = None if groups is None else _order_by_group(file, groups)
    clock = None
    if chosen.clocks is not None:
        clock = clock_of(file, chosen.clocks[index], asked.time_unit, rows)
    changes = list(file.table.changes)
    if clock is None and file.table.rate is not None and asked.time_column is not False:
        clock = even_clock(file.table.num_rows, file.table.rate, file.table.start)
        if file.path.suffix.lower() not in READERS:
            changes.append(f"{file.table.rate:g} Hz as the lines above the table say")
    signals = rows_as_one([column_values(file.table.columns[p]) for p in chosen.places[index]])
    cuts = np.empty(0, np.int64) if clock is None else clock.cuts
    held = clock is not None and _are_changes(signals, clock)
    if held:
        cuts = np.empty(0, np.int64)  # a level may hold for long
    if rows is not None:
        signals = np.ascontiguousarray(signals[:, rows])
        labels = None if labels is None else [labels[row] for row in rows.tolist()]
        groups = [groups[row] for row in rows.tolist()] if groups else groups
        parts = None if parts is None else [parts[row] for row in rows.tolist()]
    known = np.isfinite(signals)
    stream = Stream(
        source, file, signals, clock, cuts, labels, groups, rows, list(file.table.notes),
        changes, num_missing=0 if known.all() else int((~known).sum()), parts=parts,
        held=held,
    )  # fmt: skip
    stream.digest = _digest(b"".join(file.digests[place] for place in chosen.places[index]))
    if rows is not None:
        stream.digest = _digest(signals.tobytes())
    if held and clock is not None:  # 0, 1, 0, 1 is all that a file may hold: when is what counts
        stream.digest = _digest(stream.digest + clock.seconds[:].tobytes())
    return stream


def _are_changes(signals: np.ndarray, clock: Clock) -> bool:
    """Whether each row has other levels than the one before, as a logic analyser writes them; with
    few that have not, as those of switches that are read in time, only of an uneven clock."""
    for some in (signals[:, :FIRST_ROWS], signals):  # the first tell of nearly every signal
        if not np.isin(some, (0, 1)).all():
            return False
    same = (signals[:, 1:] == signals[:, :-1]).all(axis=0)
    if not np.mean(same) < 1 - MOST_CHANGES:
        return False
    few = int(np.count_nonzero(same)) <= ENDS
    return clock.uneven is not None or (few and not _is_even(np.diff(clock.seconds[:])))


def _is_even(steps: np.ndarray) -> bool:
    return bool(steps.max() <= EVEN_STEPS * steps.min())


def _parts(file: SensorFile) -> list[int] | None:
    if file.part is None:
        return None
    words, name = file.words(file.part), file.table.columns[file.part].name
    number = {w: part_of_cell(name, w, file.path) if w else -1 for w in dict.fromkeys(words)}
    return [number[word] for word in words]


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


def _join(source: Source, parts: Sequence[Stream]) -> Stream:
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
    one.changes = list(dict.fromkeys(change for part in parts for change in part.changes))
    return one


def _join_by_time(source: Source, parts: Sequence[Stream]) -> Stream:
    times = [part.clock.start + part.clock.seconds[:] for part in parts if part.clock is not None]
    if all(np.array_equal(own, times[0]) for own in times[1:]):
        parts[0].signals = np.concatenate([part.signals for part in parts])
        return parts[0]
    for part in parts:
        assert part.clock is not None
        if part.clock.num_back:
            raise InputError(
                f"{part.file.path}: its clock goes back, so that it cannot be joined by time with "
                "the other sensors; fix it, choose one sensor with dataset.files, or where people "
                "or sessions follow each other in it, name their column in dataset.group_column."
            )
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
    spans = [float(t[-1] - t[0]) for t in times]
    covered = float(moments[-1] - moments[0]) / max(spans) if any(spans) else 1.0
    least = parts[int(np.argmin(spans))].file.path.name
    return replace(
        one,
        uncovered=(1 - covered, least),
        signals=np.concatenate(signals)[:, kept],
        clock=replace(one.clock, seconds=Seconds(one.clock.seconds[places], 0.0, 1.0)),
        cuts=new,
        labels=None if one.labels is None else [one.labels[k] for k in places.tolist()],
        groups=None if one.groups is None else [one.groups[k] for k in places.tolist()],
        parts=None if one.parts is None else [one.parts[k] for k in places.tolist()],
        rows=places if one.rows is None else one.rows[places],
    )


def own_rate(stream: Stream) -> float | None:
    return None if stream.clock is None else stream.clock.rate
