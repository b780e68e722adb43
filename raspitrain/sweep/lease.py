"""A job on a board, which works only as long as its coordinator lives.

The coordinator is at the job's standard input and output, by ssh for example. A line comes in every
few seconds; where none has come for `seconds`, or the input ends, the job ends as at a Ctrl-C, and
is ended where that takes too long: whoever runs it elsewhere afterwards can be sure that it does
not run here. Out go the names of files that have changed and, where somebody is to see it, what it
prints.
"""

import atexit
import fcntl
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from raspitrain.errors import TemporaryError
from raspitrain.sweep.board import LOCK, home, node

STOP = b"stop"  # the line that asks for an end
GIVE_UP = b"give up"  # and for one at once: it waits for others that are gone
GAVE_UP = 76  # the exit code of a rank that has lost another; EX_PROTOCOL of sysexits.h
STOP_SECONDS = 30.0  # from the end of the lease to the end of the process
LOOK_SECONDS = 2.0  # between looks at the folder
OTHER_SECONDS = 20.0  # for another job of this board that is just ending


def hold(folder: Path, slot: int | None, num_slots: int, owner: str) -> int:
    """Be the one process at this job, and the one job in a place of the board, to the end.

    Parameters
    ----------
    slot : which of its `num_slots` places; None for whichever is free

    Returns
    -------
    int
        The place.

    Raises
    ------
    TemporaryError
        Another sweep's job is at work here.
    """
    _take([folder / LOCK], owner, "this job")
    slots = range(num_slots) if slot is None else [slot]
    paths = [home() / f"at_work.{node()}.{number}" for number in slots]
    return slots[_take(paths, owner, "this board")]


def _take(paths: Sequence[Path], owner: str, what: str) -> int:
    """Lock the first of these that is free; its index."""
    until = time.monotonic() + OTHER_SECONDS
    while True:
        for index, path in enumerate(paths):
            # Close-on-exec: nothing that the job starts may outlive it and hold the lock.
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                other = os.pread(descriptor, 500, 0).decode("utf-8", "replace").partition("\n")[2]
                os.close(descriptor)
                if time.monotonic() > until:
                    raise TemporaryError(
                        f"{what} is in use by another sweep ({other.strip() or 'unknown'}): wait "
                        "for it, or leave this board out."
                    ) from error
                continue
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n{owner}\n".encode("utf-8", "replace"), 0)
            return index
        time.sleep(0.2)


def keep(folder: Path, seconds: float, *, says: bool = False) -> None:
    """Watch the lease from now on, in a thread.

    Parameters
    ----------
    says : whether what the job prints goes to the coordinator; else it goes nowhere
    """
    out = os.dup(1)
    os.set_inheritable(out, False)
    if says:
        read, printed = os.pipe()
        passing_on = threading.Thread(target=_pass_on, args=(read, out), daemon=True)
        passing_on.start()
        atexit.register(_end_of_words, passing_on)
    else:
        printed = os.open(os.devnull, os.O_RDWR)
    os.dup2(printed, 1)
    os.close(printed)
    threading.Thread(target=_watch, args=(folder, seconds, out), daemon=True).start()


def _end_of_words(passing_on: threading.Thread) -> None:
    """The last of them, too, before the process goes."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os.dup2(2, 1)  # which closes the pipe
    passing_on.join(STOP_SECONDS)


def _pass_on(read: int, out: int) -> None:
    with open(read, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            _say(out, {"says": line.rstrip("\n")})


def _watch(folder: Path, seconds: float, out: int) -> None:
    heard = time.monotonic()
    seen: dict[str, tuple[int, int]] = {}
    end_at: float | None = None
    open_ = True
    while True:
        if select.select([0] if open_ else [], [], [], LOOK_SECONDS)[0]:
            said = os.read(0, 4096)
            open_ = bool(said)
            if said:
                heard = time.monotonic()
                with suppress(OSError):
                    os.utime(folder / LOCK)
            if GIVE_UP in said:
                os._exit(GAVE_UP)
            if STOP in said:
                os.kill(os.getpid(), signal.SIGTERM)
            if said and STOP not in said:
                continue  # the folder is looked at every LOOK_SECONDS
        now = time.monotonic()
        if end_at is None and (not open_ or now - heard > seconds):
            _say(out, {"lease": "over"})
            end_at = now + STOP_SECONDS
            os.kill(os.getpid(), signal.SIGTERM)
        if end_at is not None and now > end_at:
            os._exit(143)
        there = files_of(folder)
        changed = [name for name, state in there.items() if seen.get(name) != state]
        if changed and end_at is None:
            _say(out, {"changed": changed})
        seen = there


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each file of a job's, by its name."""
    found = {}
    with suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name[0] != "." and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    status = entry.stat()
                    found[entry.name] = (status.st_size, status.st_mtime_ns)
    return found


_one_at_a_time = threading.Lock()


def _say(out: int, message: dict[str, object]) -> None:
    with _one_at_a_time, suppress(OSError):  # nobody is there to read it
        os.write(out, json.dumps(message).encode() + b"\n")
