"""JSON that every reader takes and a person can read: no NaN, a matrix row on one line."""

import json
import math
import os
from typing import Any

from raspitrain.results.atomic import write_atomic

WIDTH = 100


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` to `path`, whole or not at all.

    NaN and infinity become null; arrays, tensors and their scalars become lists and numbers.

    Raises
    ------
    TypeError
        JSON has no word for something in `value`.
    OSError
        The card is full, read-only or broken; the old file is untouched.
    """
    text = _render(_plain(value), indent=0) + "\n"
    # File names that are no valid text come with lone surrogates: JSON's own escape holds them.
    write_atomic(path, text.encode("utf-8", "backslashreplace"))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # numpy's and torch's arrays and scalars, neither imported here
        return _plain(value.tolist())
    raise TypeError(f"JSON has no word for a {type(value).__name__}")


def _render(value: Any, indent: int) -> str:
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value:
        return line
    items = list(value.values()) if isinstance(value, dict) else value
    nested = any(isinstance(item, dict | list) for item in items)
    if indent and not nested and (isinstance(value, list) or len(line) <= WIDTH - indent):
        return line
    inner = indent + 2
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(key, ensure_ascii=False)}: {_render(item, inner)}"
            for key, item in value.items()
        ]
    else:
        parts = [_render(item, inner) for item in value]
    begin, end = "{}" if isinstance(value, dict) else "[]"
    between = ",\n" + " " * inner
    return f"{begin}\n{' ' * inner}{between.join(parts)}\n{' ' * indent}{end}"
