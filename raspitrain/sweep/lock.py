"""One sweep a folder at a time.

Jobs hold the lock too, so that a sweep that was killed is not begun again beside the job that it
left.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raspitrain.errors import TemporaryError
from raspitrain.results.atomic import open_own
from raspitrain.results.files import SWEEP_CLAIM
from raspitrain.results.folder import check_no_links
from raspitrain.results.lock import is_alive, owner, sign, take

log = logging.getLogger("raspitrain")


@contextmanager
def lock(
    folder: Path, *, wait_seconds: float, what: str = "sweep", key: str = "sweep_name"
) -> Iterator[int]:
    """Hold `folder` for the block; give a descriptor that jobs are to inherit.

    Where the sweep that held it is gone and only its job is still ending, wait for that.

    Parameters
    ----------
    what, key : what is to run there, and the key that gives it another folder

    Raises
    ------
    InputError
        A file of the sweep's is a link.
    TemporaryError
        Another sweep is running there.
    """
    # Also those of the study, which SQLite opens, and of the jobs.
    check_no_links(folder, os.listdir(folder))
    descriptor = open_own(folder / SWEEP_CLAIM, os.O_RDWR | os.O_CREAT)
    try:
        until = time.monotonic() + wait_seconds
        waits = False
        while not take(descriptor, without_locks=True):
            other = owner(descriptor)
            if is_alive(other) or time.monotonic() > until:
                raise TemporaryError(
                    f"{folder} is in use by another {what} ({other or 'process unknown'}): wait "
                    f"for it, or give another {key}."
                )
            if not waits:
                log.warning("The %s in %s was killed: its last job is still ending.", what, folder)
            waits = True
            time.sleep(0.1)
        sign(descriptor)
        yield descriptor
    finally:
        os.close(descriptor)
