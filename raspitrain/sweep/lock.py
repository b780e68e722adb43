"""One sweep a folder at a time.

The lock is the kernel's: it goes when the last process that holds it ends, however that comes
about. Jobs hold it too, so that a sweep that was killed is not begun again beside the job that it
left.
"""

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raspitrain.errors import TemporaryError
from raspitrain.results.atomic import open_own
from raspitrain.results.folder import check_no_links

log = logging.getLogger("raspitrain")

NAME = ".raspitrain-sweep"


@contextmanager
def lock(folder: Path, *, wait_seconds: float) -> Iterator[int]:
    """Hold `folder` for the block; give a descriptor that jobs are to inherit.

    Where the sweep that held it is gone and only its job is still ending, wait for that.

    Raises
    ------
    InputError
        A file of the sweep's is a link.
    TemporaryError
        Another sweep is running there.
    """
    # Also those of the study, which SQLite opens, and of the jobs.
    check_no_links(folder, os.listdir(folder))
    descriptor = open_own(folder / NAME, os.O_RDWR | os.O_CREAT)
    try:
        until = time.monotonic() + wait_seconds
        waits = False
        while not _take(descriptor):
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            if _is_alive(owner) or time.monotonic() > until:
                raise TemporaryError(
                    f"{folder} is in use by another sweep (process {owner or 'unknown'}): wait for "
                    "it, or give another sweep_name."
                )
            if not waits:
                log.warning("The sweep in %s was killed: its last job is still ending.", folder)
            waits = True
            time.sleep(0.1)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks, such as some network shares: none is kept
    return True


def _is_alive(owner: str) -> bool:
    if not owner.isdigit():
        return True
    try:
        os.kill(int(owner), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
