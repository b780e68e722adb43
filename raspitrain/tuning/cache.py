"""What was measured on this machine, kept from run to run.

One file for each question, in ~/.cache/raspitrain/threads (or below $XDG_CACHE_HOME), so that runs
beside one another never write the same one.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from raspitrain.results.json_file import write_json


def cache_folder() -> Path:
    """The folder that holds what raspitrain may forget; not made yet."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "raspitrain"


def _path(key: dict[str, Any]) -> Path:
    text = json.dumps(key, sort_keys=True)
    name = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:24]
    return cache_folder() / "threads" / f"{name}.json"


def recall(key: dict[str, Any]) -> Any:
    """What `remember` wrote for this key; None if there is nothing or it cannot be read."""
    try:
        kept = json.loads(_path(key).read_bytes())
        return kept["value"] if kept["key"] == key else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def remember(key: dict[str, Any], value: Any) -> None:
    """Keep `value`; a folder that cannot be written only means that the next run measures again."""
    path = _path(key)
    try:
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_json(path, {"key": key, "value": value})
    except OSError:
        return
