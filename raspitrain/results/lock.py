"""Who is at work in a folder: a lock of the kernel's on a file, and in the file who holds it.

The lock goes when the last process that holds it ends, however that comes about; a process that
inherits the descriptor holds it too.
"""

import errno
import fcntl
import os
from contextlib import suppress


def take(descriptor: int, *, without_locks: bool) -> bool:
    """Lock an open file without waiting; False where somebody else holds it.

    Parameters
    ----------
    without_locks : the answer on a file system that has none, such as some network shares
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return without_locks and error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def sign(descriptor: int) -> None:
    """Write into the file which process this is; a note for people, and for `is_alive`."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()}\n".encode(), 0)


def owner(descriptor: int) -> str:
    """What `sign` wrote; "" where nobody has."""
    with suppress(OSError):
        return os.pread(descriptor, 100, 0).decode("utf-8", "replace").strip()
    return ""


def is_alive(owner: str) -> bool:
    """Whether that process still runs; True where nobody can tell."""
    number = owner.removeprefix("process ")
    if not number.isdigit():
        return True
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
