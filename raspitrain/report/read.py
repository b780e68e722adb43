"""What a run or a sweep left, read with care: folders get copied, cut short, edited and sent.

Nothing outside the folder is opened, nothing is believed to have the type it should have, and
whatever will do no harm on a terminal, in a table or on a page is all that texts may hold.
"""

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from raspitrain.errors import InputError

LARGEST = 32 * 10**6  # bytes of one file; the summary of a thousand classes takes a fifth of it
LONGEST = 10_000  # letters of one text
DEEPEST = 6  # levels of a summary that become figures

Scalar = bool | int | float | str


def read_bytes(path: Path, within: Path, largest: int = LARGEST) -> bytes:
    """Read an ordinary file that lies in the folder `within`, links followed.

    Raises
    ------
    InputError
        There is none, it cannot be read, it lies elsewhere, or is larger than `largest` bytes.
    """
    try:
        if not path.resolve().is_relative_to(within.resolve()):
            raise InputError(f"{path} leads out of {within}, and is not read")
        # A pipe without a writer must not hold up the report.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{path} is no ordinary file, and is not read")
            if status.st_size > largest:
                raise InputError(
                    f"{path} has {status.st_size / 1e6:,.0f} MB, and is not read: "
                    f"{largest / 1e6:,.0f} MB are the most"
                )
            return file.read(status.st_size)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing") from error
    except (OSError, RuntimeError, ValueError) as error:  # links in a ring, a name with a zero byte
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read ({reason})") from error


def read_json(path: Path, within: Path) -> dict[str, Any]:
    """Read a JSON object as `read_bytes` reads a file.

    Raises
    ------
    InputError
        As `read_bytes`, and where the file does not hold one whole JSON object.
    """
    data = read_bytes(path, within)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged or cut short: it is not whole JSON") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged: it does not hold a JSON object")
    return content


def text(value: Any, longest: int = LONGEST) -> str:
    """A text of others, without what would steer a terminal or break an encoding."""
    shown = value if isinstance(value, str) else label(value)
    if len(shown) > longest:
        shown = shown[: longest - 1] + "…"
    return "".join(c if c.isprintable() else " " if c in "\n\t\r" else "\N{REPLACEMENT CHARACTER}"
                   for c in shown)  # fmt: skip


def label(value: Any) -> str:
    """A value as one would type it in an override, near enough."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value) if abs(value) < 10**18 else f"{float(f'{number(value) or 0:.3g}'):g}"
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        return "…"


def texts(value: Any, most: int = 1000) -> list[str]:
    """The texts of a list of others; nothing where it is no list."""
    return [text(item) for item in value[:most]] if isinstance(value, list) else []


def number(value: Any) -> float | None:
    """A finite number as a float; None for whatever else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def whole(value: Any) -> int | None:
    """A whole number that is none too large; None for whatever else."""
    good = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
    return value if good else None


def scalars(value: Mapping[str, Any], prefix: str = "", depth: int = DEEPEST) -> "Figures":
    """The numbers, words and truths of nested dicts, their keys joined by dots; lists are left."""
    return dict(_scalars(value, prefix, depth))


def _scalars(value: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Scalar]]:
    for key, item in value.items():
        name = f"{prefix}{text(key, 100)}"
        if isinstance(item, dict):
            if depth > 1:
                yield from _scalars(item, f"{name}.", depth - 1)
        elif isinstance(item, str):
            yield name, text(item)
        elif isinstance(item, bool) or number(item) is not None:
            yield name, item


Figures = dict[str, Scalar]
