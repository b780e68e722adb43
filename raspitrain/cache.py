"""What raspitrain may forget: measurements and compiled code, kept on this machine between runs.

It lies in ~/.cache/raspitrain, or $XDG_CACHE_HOME/raspitrain. Every file is synced before it gets
its name and checked before it is used: a power cut may leave a name with zeros or nothing behind.
One file for each question, so that runs beside one another never write the same one.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raspitrain.results.atomic import sweep_partial, write_atomic

log = logging.getLogger(__name__)

LOCK = "lock"
LONGEST_WAIT = 600.0  # seconds for another process to compile; then we work beside it


def cache_folder() -> Path:
    """The folder that holds what raspitrain may forget; not made yet."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # as the XDG rules have it
        base = os.path.expanduser("~/.cache")
    return Path(base) / "raspitrain"


def make_private(folder: Path) -> Path:
    """Make the folder if need be; code is loaded from it, so nobody else may write there.

    Raises
    ------
    OSError
        It cannot be made, or others may write there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"{folder} can be written by others: chmod 700 it")
    return folder


@contextmanager
def lock_cache(folder: Path) -> Iterator[None]:
    """Be the only process that writes to the cache; clear what killed ones left unfinished there.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(folder / LOCK, flags, 0o600)
    try:
        deadline = time.monotonic() + LONGEST_WAIT
        while (locked := _try_lock(descriptor)) is False and time.monotonic() < deadline:
            time.sleep(0.05)
        if locked:
            sweep_partial(folder)
            for killed in folder.glob("tmp*"):  # where version 0.1 compiled
                shutil.rmtree(killed, ignore_errors=True)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool | None:
    """Whether the lock is ours now; None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def file_digest(path: Path) -> dict[str, Any]:
    """Length and SHA-256 of a file's content."""
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def recall(question: str, key: dict[str, Any]) -> Any:
    """What `remember` wrote for this key; None if it is not there or not what was written."""
    try:
        kept = json.loads(_answer_path(question, key).read_bytes())
        intact = kept["sha256"] == _digest(kept["key"], kept["value"])
        return kept["value"] if intact and kept["key"] == key else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def remember(question: str, key: dict[str, Any], value: Any) -> None:
    """Keep `value` as the answer; what cannot be written is measured again by the next run."""
    path = _answer_path(question, key)
    answer = {"key": key, "value": value, "sha256": _digest(key, value)}
    try:
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with lock_cache(path.parent.parent):
            sweep_partial(path.parent)
            write_atomic(path, json.dumps(answer, indent=2).encode())
    except OSError as error:
        log.warning("The measurement cannot be kept and will be made again: %s", error)


def _answer_path(question: str, key: dict[str, Any]) -> Path:
    return cache_folder() / question / f"{_digest(key)[:24]}.json"


def _digest(*values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
