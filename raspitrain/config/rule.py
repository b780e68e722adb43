"""Kinds of rules: which values a key may have, and the words that say so."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """`allows` says whether a value will do; `right` says in words what would."""

    allows: Callable[[Any], bool]
    right: str


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def whole(least: int, *, most: int | None = None) -> Rule:
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
    return Rule(
        lambda v: _is_whole(v) and v >= least and (most is None or v <= most),
        f"a whole number {bounds}",
    )


def number(
    *, least: float | None = None, above: float | None = None, below: float | None = None,
    most: float | None = None,
) -> Rule:  # fmt: skip
    limits = [("at least", least), ("above", above), ("below", below), ("at most", most)]
    words = " and ".join(f"{word} {limit:g}" for word, limit in limits if limit is not None)
    return Rule(
        lambda v: (
            _is_number(v)
            and (least is None or v >= least)
            and (above is None or v > above)
            and (below is None or v < below)
            and (most is None or v <= most)
        ),
        f"a number {words}".strip(),
    )


def one_of(*choices: Any) -> Rule:
    def same(value: Any, choice: Any) -> bool:  # True is not 1 here
        return type(value) is type(choice) and bool(value == choice)

    words = ["null" if c is None else str(c).lower() if c in (True, False) else c for c in choices]
    return Rule(lambda v: any(same(v, c) for c in choices), " or ".join(map(str, words)))


def text() -> Rule:
    return Rule(lambda v: isinstance(v, str) and v != "", "a string")


def file_name() -> Rule:
    return Rule(
        lambda v: (
            isinstance(v, str)
            and re.fullmatch(r"[a-z0-9][\w.+=-]{0,99}", v, re.A | re.I) is not None
        ),
        "a name of letters, digits and . _ - + =",
    )


def list_of(rule: Rule, *, size: int | None = None) -> Rule:
    count = "" if size is None else f"{size} "
    return Rule(
        lambda v: (
            isinstance(v, list) and (size is None or len(v) == size) and all(map(rule.allows, v))
        ),
        f"a list of {count}values, each {rule.right}",
    )


def either(*rules: Rule) -> Rule:
    return Rule(lambda v: any(r.allows(v) for r in rules), " or ".join(r.right for r in rules))


def span(least: int) -> Rule:
    """Samples, or seconds such as 2.56s."""
    seconds = re.compile(r"\s*(\d+(\.\d*)?|\.\d+)\s*m?s\s*")
    return Rule(
        lambda v: (
            (_is_whole(v) and v >= least)
            or (isinstance(v, str) and seconds.fullmatch(v) is not None)
        ),
        f"a whole number of at least {least} or seconds such as 2.56s",
    )


SWITCH = one_of(True, False)
AUTO = one_of("auto")
NULL = one_of(None)
FRACTION = number(least=0, below=1)
COLUMN = either(text(), whole(-10_000, most=10_000))  # a name, or a position from 0
