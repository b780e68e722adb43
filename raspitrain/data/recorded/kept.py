"""Recordings that have been read once, kept as numbers: read again several times as fast
(benchmarks/read_csv.py), from files that are mapped and take no memory of their own.

A file is known by its path, size and times, the settings it was read with, and the code that read
it. What is kept is synced before it gets its name, and checked against its sum before it is used.
"""

import functools
import hashlib
import json
import logging
import os
import stat
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from raspitrain.cache import cache_folder, lock_cache, make_private
from raspitrain.data.files import csv_rows
from raspitrain.data.files.csv_file import Column, Table
from raspitrain.data.files.formats import READERS
from raspitrain.data.recorded.columns import Facts
from raspitrain.data.recorded.sensor_file import Asked, SensorFile
from raspitrain.results.atomic import atomic_path, sweep_partial

log = logging.getLogger(__name__)

LEAST_BYTES = 1 << 18  # of a file; smaller ones are read as fast
TOO_YOUNG = 5.0  # seconds: what was just written may change again within one tick of its clock
MAGIC = b"raspitrain recording 2\n"
ALIGNED = 64
PAGE = 4096  # bytes that are summed together


# Steps out of the watch over a data set that is made, in which nothing may be written.
_outside: Callable[[], AbstractContextManager[None]] = nullcontext


@contextmanager
def keeping(outside: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """For while a configuration's data set is made, when no program may be started and nothing
    written: compile the reader before, and write what is kept `outside` of that rule, each
    recording as it is read, so that no more than one has to be in memory."""
    global _outside
    csv_rows.library()
    before, _outside = _outside, outside
    try:
        yield
    finally:
        _outside = before


class Kept:
    """The kept recordings, within `most_bytes` on the card; 0 for none.

    Those of the data set being read are not given up for one another: what goes over the limit is
    held in memory.
    """

    def __init__(self, most_bytes: float) -> None:
        self._left: float | None = None  # to be measured
        self._most = most_bytes
        self._used: set[Path] = set()

    def find(self, path: Path, asked: Asked) -> SensorFile | None:
        """The file as `keep` left it; None if it is not there or not what was written."""
        place = self._place(path, asked)
        if place is None:
            return None
        try:
            if not _is_private(place.parent):
                return None
            file = _load(place, path)
            os.utime(place)
        except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
            return None
        self._used.add(place)
        return file

    def keep(self, path: Path, asked: Asked, file: SensorFile) -> SensorFile:
        """Keep a file that has been read; returns it as it will be found, or as it was given where
        it cannot be kept."""
        place = self._place(path, asked)
        if place is None or file.by_key:  # the other file may change
            return file
        try:
            if file.table.rows is not None or time.time() - path.stat().st_mtime < TOO_YOUNG:
                return file
        except OSError:
            return file
        with _outside():
            if not self._write(place, file):
                return file
        try:
            return _load(place, path)
        except (OSError, ValueError):
            return file

    def _write(self, place: Path, file: SensorFile) -> bool:
        """Write a recording; False where there is no room, or it cannot be written."""
        if not self._most:
            return False
        try:
            make_private(cache_folder())
            make_private(place.parent)
            parts = _parts(file)
            if not self._has_room(sum(map(len, parts))):
                return False
            with atomic_path(place) as partial, open(partial, "wb") as out:
                out.writelines(parts)
        except (OSError, ValueError) as error:
            log.warning("Recordings are not kept for the next run: %s", error)
            self._most = 0
            return False
        self._used.add(place)
        return True

    def _place(self, path: Path, asked: Asked) -> Path | None:
        if not self._most or path.suffix.lower() in READERS:
            return None
        try:
            status = path.stat()
            if status.st_size < LEAST_BYTES:
                return None
            key = [
                os.path.realpath(path), status.st_size, status.st_mtime_ns, status.st_ino,
                asked.label_column, asked.group_column, asked.part_column, asked.time_column,
                asked.time_unit, asked.skip_lines, asked.steps,
                _code(),
            ]  # fmt: skip
        except OSError:
            return None
        folder = cache_folder() / "recordings"
        return folder / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.rec"

    def _has_room(self, size: int) -> bool:
        """Whether `size` more bytes fit, once older ones that are not in use are given up."""
        folder = cache_folder() / "recordings"
        if self._left is None:
            with lock_cache(cache_folder()):
                sweep_partial(folder)
            self._left = self._most - sum(place.stat().st_size for place in folder.glob("*.rec"))
        if self._left < size:
            others = [place for place in folder.glob("*.rec") if place not in self._used]
            for place in sorted(others, key=lambda place: place.stat().st_mtime):
                self._left += place.stat().st_size
                place.unlink()
                if self._left >= size:
                    break
        if self._left < size:
            return False
        self._left -= size
        return True


def _is_private(folder: Path) -> bool:
    """Whether nobody else may write there; makes nothing."""
    status = folder.stat()
    writable = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return status.st_uid == os.getuid() and not writable


@functools.cache
def _code() -> str:
    """A digest of the code that reads."""
    digest = hashlib.sha256()
    folder = Path(__file__).parents[1]
    for source in sorted([*folder.rglob("*.py"), *folder.rglob("*.c")]):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _parts(file: SensorFile) -> list[bytes | memoryview]:
    """Head and arrays: those of float32 first, row behind row, to be mapped as one array."""
    columns = file.table.columns
    order = sorted(range(len(columns)), key=lambda k: columns[k].values.dtype != np.float32)
    arrays = [np.ascontiguousarray(columns[k].values) for k in order]
    entries = [
        {
            "name": column.name, "unit": column.unit, "kind": column.kind,
            "words": column.words, "wrong": column.wrong, "day_first": column.day_first,
            "is_told": column.is_told, "facts": asdict(file.facts[k]),
            "dtype": column.values.dtype.str, "digest": file.digests[k].hex(),
        }
        for k, column in enumerate(columns)
    ]  # fmt: skip
    # float32 follows float32 without a gap; what is wider begins at its own alignment.
    places, total = [], 0
    for array in arrays:
        total += -total % array.dtype.itemsize
        places.append(slice(total, total + array.nbytes))
        total += array.nbytes
    body = np.zeros(total, np.uint8)
    for place, array in zip(places, arrays, strict=True):
        body[place] = array.view(np.uint8)
    table = file.table
    head = {
        "columns": entries, "order": order, "named": table.named, "breaks": table.breaks,
        "notes": table.notes, "changes": table.changes, "rate": table.rate, "start": table.start,
        "clock": table.clock, "label": file.label, "group": file.group,
        "part": file.part,
        "rows": table.num_rows, "bytes": total, "sum": _sum(body),
    }  # fmt: skip
    text = json.dumps(head).encode()
    lead = MAGIC + f"{len(text):12d} {zlib.crc32(text):10d}\n".encode()
    padding = b" " * (-(len(lead) + len(text)) % ALIGNED)
    return [lead, text, padding, body.data]


def _load(place: Path, path: Path) -> SensorFile:
    """ValueError and the like if it is not, to the byte, what was written."""
    content = np.memmap(place, dtype=np.uint8, mode="c")
    lead = len(MAGIC) + 24
    if bytes(content[: len(MAGIC)]) != MAGIC:
        raise ValueError
    size, summed = map(int, bytes(content[len(MAGIC) : lead]).split())
    text = bytes(content[lead : lead + size])
    if zlib.crc32(text) != summed:
        raise ValueError
    head = json.loads(text)
    start = lead + size + -(lead + size) % ALIGNED
    if len(content) != start + head["bytes"] or _sum(content[start:]) != head["sum"]:
        raise ValueError
    columns: list[Column | None] = [None] * len(head["columns"])
    at = start
    for k in head["order"]:
        entry = head["columns"][k]
        dtype = np.dtype(entry["dtype"])
        at += -(at - start) % dtype.itemsize
        values = content[at : at + head["rows"] * dtype.itemsize].view(dtype)
        at += values.nbytes
        columns[k] = _column(entry, values)
    table = Table(
        path,
        [column for column in columns if column is not None],
        head["named"],
        [(row, line) for row, line in head["breaks"]],
        head["notes"],
        head["rate"],
        head["start"],
        head["clock"],
        changes=head["changes"],
    )
    facts = [_facts(entry["facts"]) for entry in head["columns"]]
    digests = [bytes.fromhex(entry["digest"]) for entry in head["columns"]]
    return SensorFile(table, facts, head["label"], head["group"], digests, head["part"])


def _sum(body: np.ndarray) -> int:
    """Of bytes uint8 (T,), what changes with them: the CRC of the sums of their pages, as one of
    all bytes takes a quarter of the time of reading again."""
    whole = len(body) - len(body) % PAGE
    pages = body[:whole].view(np.uint64).reshape(-1, PAGE // 8).sum(axis=1)
    return zlib.crc32(body[whole:].data, zlib.crc32(pages.data))


def _column(entry: Mapping[str, Any], values: np.ndarray) -> Column:
    wrong = entry["wrong"] and tuple(entry["wrong"])
    return Column(
        entry["name"], entry["unit"], entry["kind"], values, tuple(entry["words"]), wrong,
        entry["day_first"], entry["is_told"],
    )  # fmt: skip


def _facts(held: Mapping[str, Any]) -> Facts:
    return Facts(**{**held, "values": tuple(held["values"])})


def rows_as_one(rows: list[np.ndarray]) -> np.ndarray:
    """(C, T): a view where the rows follow one another in one mapped file, else a copy."""
    first = rows[0]
    mapped = getattr(first, "_mmap", None)
    alike = mapped is not None and all(
        getattr(row, "_mmap", None) is mapped
        and row.dtype == first.dtype
        and row.ctypes.data == first.ctypes.data + k * first.nbytes
        for k, row in enumerate(rows)
    )
    if not alike:
        return np.stack(rows)
    return np.lib.stride_tricks.as_strided(
        first, (len(rows), len(first)), (first.nbytes, first.itemsize)
    )
