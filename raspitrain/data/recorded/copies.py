"""Recordings that hold the same samples as others: whole, rounded, or cut from them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raspitrain.data.recorded.columns import LEAST_ROWS
from raspitrain.data.recorded.streams import Stream
from raspitrain.errors import InputError

NEAR = 0.05  # of a channel's spread, so far samples of one recording lie apart, exported twice
NUM_SHADOWS = 4  # random directions, in which recordings are compared before they are in whole
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
    near_copies = _near_copies(streams)
    first_of: dict[bytes, int] = {}
    edges: dict[bytes, list[int]] = {}
    copies: dict[int, int] = {}
    for k, stream in enumerate(streams):
        samples = stream.signals
        if samples.shape[1] < LEAST_ROWS or _never_moves(samples):
            continue  # alike by chance
        first = first_of.setdefault(stream.digest, k)
        if first == k:
            own = [] if stream.held else _edges(samples)
            near = [
                j for e in own for j in edges.get(e, ()) if _is_cut(samples, streams[j].signals)
            ]
            for edge in own:
                edges.setdefault(edge, []).append(k)
            near += [near_copies[k]] if k in near_copies else []
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


def _never_moves(samples: np.ndarray) -> bool:
    first = samples[:, :1]
    return bool((samples[:, 1:LEAST_ROWS] == first).all() and (samples == first).all())


def _near_copies(streams: Sequence[Stream]) -> dict[int, int]:
    """Recordings that are earlier ones but for rounding, as where a tool exports them anew."""
    of_shape: dict[tuple[int, int], list[int]] = {}
    for k, stream in enumerate(streams):
        if stream.signals.shape[1] >= EDGE_ROWS and not stream.held:  # 0, 1, 0, 1: when counts
            of_shape.setdefault(stream.signals.shape, []).append(k)
    found: dict[int, int] = {}
    for (num_channels, _), every in of_shape.items():
        directions = np.random.default_rng(0).standard_normal(
            (NUM_SHADOWS, num_channels, EDGE_ROWS)
        )
        directions /= np.linalg.norm(directions, axis=(1, 2), keepdims=True)
        shadows, spread = np.empty((len(every), NUM_SHADOWS)), np.empty(len(every))
        for at, k in enumerate(every):
            begin = streams[k].signals[:, :EDGE_ROWS].astype(np.float64)
            begin[~np.isfinite(begin)] = 0
            shadows[at] = np.tensordot(directions, begin, axes=2)
            spread[at] = begin.std(axis=1).max()
        order = np.argsort(shadows[:, 0], kind="stable")
        first, reach = shadows[order, 0], NEAR * spread[order]
        for ahead in range(1, len(order)):
            close = np.flatnonzero(first[ahead:] - first[:-ahead] < reach[:-ahead])
            if not len(close):
                break
            one, other = order[close], order[close + ahead]
            alike = np.abs(shadows[other] - shadows[one]) < reach[close, None]
            for at in np.flatnonzero(alike.all(axis=1)).tolist():
                a, b = sorted((every[one[at]], every[other[at]]))
                if b not in found and _is_near(streams[a].signals, streams[b].signals):
                    found[b] = a
    return found


def _is_near(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether no sample is further away than the coarser of the two recordings rounds."""
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return False  # what is missing is not written twice in one way
    spread = one.std(axis=1, keepdims=True, dtype=np.float64)
    apart = np.abs(one.astype(np.float64) - other)
    if not ((spread > 0).all() and (apart <= NEAR * spread).all()):
        return False
    rounds = [max(_steps_of(a), _steps_of(b)) for a, b in zip(one, other, strict=True)]
    return bool((apart.max(axis=1) <= 0.51 * np.array(rounds)).all())


def _steps_of(values: np.ndarray) -> float:
    """The least step between two values that differ by more than float32 rounds."""
    steps = np.diff(np.unique(values.astype(np.float64)))
    return float(
        steps[steps > 4 * np.spacing(np.float32(np.abs(values).max()))].min(initial=np.inf)
    )


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
        if any(len(set(row.tolist())) > EDGE_ROWS // 4 for row in part)
    ]
