"""Files that jobs on boards read, data sets above all: recognised by their content, sent once."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

CHUNK = 1 << 20


def files_below(path: Path) -> Iterator[tuple[str, Path]]:
    """Every file of a folder with its name from there, in order; a single file by its own name."""
    if path.is_file():
        yield path.name, path
        return
    found = []
    for folder, _, names in os.walk(path, followlinks=True):
        found += [Path(folder) / name for name in names]
    for file in sorted(found):
        if file.is_file():
            yield file.relative_to(path).as_posix(), file


def digest(path: Path) -> str:
    """Of names and contents, in hex; the same on every machine."""
    whole = hashlib.sha256()
    for name, file in files_below(path):
        own = hashlib.sha256()
        with open(file, "rb") as content:
            while chunk := content.read(CHUNK):
                own.update(chunk)
        whole.update(f"{name}\0{own.hexdigest()}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()[:32]


def stamp(path: Path) -> str:
    """Of names, sizes and times: a quick look whether anything has been touched."""
    whole = hashlib.sha256()
    for name, file in files_below(path):
        status = file.stat()
        line = f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n"
        whole.update(line.encode("utf-8", "surrogateescape"))
    return whole.hexdigest()[:32]


def num_bytes(path: Path) -> int:
    return sum(file.stat().st_size for _, file in files_below(path))
