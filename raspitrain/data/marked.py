"""Recordings whose classes are annotated: which of their samples the annotations mark."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raspitrain.data.annotated import notes_of, place_rows, timeline, warnings_of
from raspitrain.data.annotations import Annotation
from raspitrain.data.streams import Stream, own_rate
from raspitrain.errors import InputError


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
    return notes_of(placed, marks), warnings


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
