"""Annotations of EDF+ and BDF+, as beside a night of sleep; also where numpy is not.

Kemp and Olivan, EDF+, 2003.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path

ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
SUFFIXES = (".edf", ".bdf")
MOST_SIGNALS = 4096
LEAST_SHARED = 4  # letters that two files' names begin with


def annotations(texts: Iterable[bytes]) -> list[tuple[float, float, str]]:
    """Onset, duration and text of what lies in records of annotations; each record begins with its
    own onset."""
    found, first = [], None
    for text in texts:
        for entry in text.split(b"\0"):
            when, *words = entry.split(b"\x14")
            try:
                onset, duration = (float(cell or 0) for cell in (*when.split(b"\x15"), b"0")[:2])
            except ValueError:
                continue
            if first is None:
                first = onset
            found += [
                (onset - first, duration, word.decode(errors="replace").strip())
                for word in words
                if word.strip()
            ]
    return found


def head_of(path: Path | str) -> tuple[bytes, list[str]]:
    """The first 256 bytes of a file and the names of its signals; no names where it is no EDF."""
    with open(path, "rb") as file:
        head = file.read(256)
        try:
            count = min(int(head[252:256]), MOST_SIGNALS)
        except ValueError:
            return head, []
        names = file.read(16 * max(count, 0))
    return head, [
        names[k : k + 16].decode("latin-1").strip("\0 ") for k in range(0, len(names), 16)
    ]


def read_edf_marks(path: Path | str) -> list[tuple[float, float, str]]:
    """What a file of annotations alone says; as `annotations` gives it."""
    _, names = head_of(path)
    content = Path(path).read_bytes()[256 * (len(names) + 1) :]
    return annotations([content])


def lasts(path: Path) -> float:
    """Seconds that a recording lasts, as its head says."""
    head, _ = head_of(path)
    try:
        records, seconds = int(head[236:244]), float(head[244:252])
    except ValueError:
        return math.inf
    return records * seconds if records >= 0 else math.inf


def _shared(one: str, other: str) -> int:
    """How many letters two names begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def beside(paths: Sequence[Path]) -> dict[Path, Path]:
    """The file of annotations alone that is of each recording: in one folder, of one start, and no
    other begins with as many of its letters."""
    heads = {path: head_of(path) for path in paths if path.suffix.lower() in SUFFIXES}
    marks = [path for path, (_, names) in heads.items() if names and set(names) <= {*ANNOTATIONS}]
    found: dict[Path, Path] = {}
    for own in marks:
        shared = {
            path: _shared(path.name, own.name)
            for path in heads
            if path not in marks and path.parent == own.parent
        }
        most = max(shared.values(), default=0)
        nearest = [path for path, count in shared.items() if count == most]
        alike = len(nearest) == 1 and heads[nearest[0]][0][168:184] == heads[own][0][168:184]
        if most >= LEAST_SHARED and alike:
            found[nearest[0]] = own
    return found
