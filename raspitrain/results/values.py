"""Values of others, from files that get copied, cut short, edited and sent: nothing is believed to
have the type it should have, and whatever will do no harm on a terminal, in a table or on a page is
all that texts may hold."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

LONGEST = 10_000  # letters of one text
DEEPEST = 6  # levels of a summary that become figures

Scalar = bool | int | float | str
Scalars = dict[str, Scalar]


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


def scalars(value: Mapping[str, Any], prefix: str = "", depth: int = DEEPEST) -> Scalars:
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
