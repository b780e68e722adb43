"""Recordings that hold the same samples as others, whole or cut from them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raspitrain.data.columns import LEAST_ROWS
from raspitrain.data.streams import Stream
from raspitrain.errors import InputError

EDGE_ROWS = 128  # at a recording's begin and end, by which one that was cut from another is found


def find_copies(
    folder: Path, streams: Sequence[Stream], classes: Sequence[tuple[str, ...]]
) -> dict[int, int]:
    """Which recording each copy is a copy of; one may also be the begin or the end of another.

    Raises
    ------
    InputError
        Copies have two classes, or lie in two parts.
    """
    first_of: dict[bytes, int] = {}
    edges: dict[bytes, list[int]] = {}
    copies: dict[int, int] = {}
    for k, stream in enumerate(streams):
        samples = stream.signals
        if samples.shape[1] < LEAST_ROWS or (samples == samples[:, :1]).all():
            continue  # alike by chance
        first = first_of.setdefault(stream.digest, k)
        if first == k:
            own = _edges(samples)
            near = [
                j for e in own for j in edges.get(e, ()) if _is_cut(samples, streams[j].signals)
            ]
            for edge in own:
                edges.setdefault(edge, []).append(k)
            if not near:
                continue
            first = near[0]
        other, here, there = streams[first], classes[k], classes[first]
        differ = other.digest == stream.digest and here != there
        if here and there and (differ or set(here).isdisjoint(there)):
            raise InputError(
                f"{folder}: {other.source.name} ({', '.join(there)}) and "
                f"{stream.source.name} ({', '.join(here)}) hold the same samples under two "
                "classes; delete the wrong one."
            )
        if other.source.part != stream.source.part:
            raise InputError(
                f"{folder}: {other.source.name} and {stream.source.name} hold the same samples in "
                "two parts, so that the test would ask for what was learnt; delete one."
            )
        copies[k] = first
    return copies


def _is_cut(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the shorter of two recordings is the begin or the end of the longer."""
    short, long = sorted((one, other), key=lambda own: own.shape[1])
    length = short.shape[1]
    return any(
        np.array_equal(short, part, equal_nan=True)
        for part in (long[:, :length], long[:, long.shape[1] - length :])
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
