"""Recordings whose classes are annotated: which of their samples the annotations mark."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from raspitrain.data.files.wfdb_marks import BEATS, SYMBOLS, Marks, beats, rhythms
from raspitrain.data.recorded.annotated import notes_of, place_rows, timeline, unmarked, warnings_of
from raspitrain.data.recorded.annotations import Annotation
from raspitrain.data.recorded.streams import Stream, own_rate
from raspitrain.errors import InputError, counted


def mark_stretches(
    streams: Sequence[Stream],
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
    written = (column.day_first for s in streams for column in s.file.table.columns)
    day_first = next((day for day in written if day is not None), None)
    lines = [timeline(stream.signals.shape[1], stream.clock) for stream in streams]
    placed = place_rows(marks, sources, lines, unit, day_first)
    for stream, stretches in zip(streams, placed.stretches, strict=True):
        stream.stretches = stretches
        if stream.num_missing:  # outside they do not matter
            inside = (stream.signals[:, s.first : s.last + 1] for s in stretches)
            stream.num_missing = sum(int((~np.isfinite(part)).sum()) for part in inside)
    warnings = [*warnings_of(placed, marks, sources), *_told_by(streams, names)]
    notes = notes_of(placed, marks)
    if {s.source.part for s in streams if s.stretches} == {0} != {s.source.part for s in streams}:
        notes.append("only the part train has labels: another split is drawn from it")
        for stream in streams:
            stream.source = replace(stream.source, part=None)
    return notes, warnings


def mark_beats(
    streams: Sequence[Stream], marks: Sequence[tuple[Path, Marks] | None], kind: str
) -> tuple[list[str], list[str]]:
    """Give each recording the moments of its beats; returns notes and warnings.

    Parameters
    ----------
    kind : {"beats", "aami"}
    """
    number: Counter[str] = Counter()
    others: Counter[int] = Counter()
    names: set[str] = set()
    late: list[str] = []
    without = []
    for stream, own in zip(streams, marks, strict=True):
        stream.beats = {}
        if own is None:
            without.append(stream.source.name)
            continue
        told = own[1]
        rate, num_samples = own_rate(stream), stream.signals.shape[1]
        factor = 1.0 if told.resolution is None or rate is None else rate / told.resolution
        for label, times in beats(told, kind).items():
            at = np.round(np.array(times, np.float64) * factor).astype(np.int64)
            inside = at[(at >= 0) & (at < num_samples)]
            late += [stream.source.name] * (len(at) - len(inside))
            number[label] += len(inside)
            stream.beats[label] = inside
        others.update(code for code in told.codes if code not in BEATS)
        names |= {name for *_, name in rhythms(told)}
    if len(without) == len(streams):
        raise InputError(
            f"none of the recordings ({without[0]}, …) has WFDB's annotations beside it; take "
            "those that have with dataset.files, such as '*.hea'."
        )
    if not number:
        first = next(own[0] for own in marks if own is not None)
        raise InputError(f"{first} marks no beat; dataset.annotations=rhythms takes rhythms.")
    told_files = {own[0] for own in marks if own is not None}
    where = next(iter(told_files)).name if len(told_files) == 1 else f"{len(told_files)} files"
    shown = ", ".join(f"{label} {count}" for label, count in sorted(number.items()))
    notes = [f"a window about each of {counted(number.total(), 'beat')} in {where} ({shown})"]
    if others:
        kinds = ", ".join(
            f"{SYMBOLS.get(code, str(code))} {count}" for code, count in sorted(others.items())
        )
        notes.append(f"{counted(others.total(), 'mark')} that are no beats left out ({kinds})")
    if len(names) > 1:
        shown = ", ".join(sorted(names))
        notes.append(f"rhythms {shown} not taken (dataset.annotations=rhythms takes them)")
    warnings = []
    if late:
        warnings.append(
            f"{counted(len(late), 'beat')} past the end of their recordings left out, as in "
            f"{late[0]}: its signal is cut off, or of another rate than its annotations"
        )
    return notes, warnings + unmarked(without, len(streams))


def _told_by(streams: Sequence[Stream], names: Sequence[str]) -> list[str]:
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
            rate = own_rate(stream) or 0.0
            changes += len(own)
            near += sum(min(abs(k - edge) for edge in edges) <= max(2, rate / 2) for k in own)
        if changes and near >= 0.9 * changes:
            found.append(
                f"channel '{name}' changes only where the annotations do, as a label does; leave "
                "it out with dataset.columns"
            )
    return found
