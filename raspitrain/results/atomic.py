"""Files that are whole or not there, whatever moment the power goes.

write_atomic(folder / "summary.json", text.encode())
with atomic_path(folder / "accuracy.png") as partial:
    figure.savefig(partial)
"""

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from raspitrain.results.files import CLAIM

PARTIAL = ".partial-"  # how every unfinished file's name begins
NOT_ITS_OWN = "a link, or no file of its own: what is written would land elsewhere"

NO_FILE = "a device or pipe, whose name no file may take"


def _carry_on(stage: str, path: Path) -> None:
    """Do nothing: no test is asking for a failure."""


# Called before each step of a write with the step's name ("write", "fsync", "keep", "replace",
# "fsync folder", "append", "claim", "open") and the final path. A test puts a
# function here that raises, or that kills the process, where a card could fail.
on_write: Callable[[str, Path], None] = _carry_on


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Put `data` into `path`: afterwards the file holds all of it or what it held before.

    Raises
    ------
    OSError
        The card is full, read-only or broken; the old file is untouched.
    """
    with atomic_path(path) as partial:
        partial.write_bytes(data)


def open_own(path: str | os.PathLike[str], flags: int) -> int:
    """A descriptor of a file that is to be changed where it is; an `opener` for open().

    Raises
    ------
    OSError
        ELOOP where the name is a link, a second name of another file, or no file: whatever is
        written would land elsewhere.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise OSError(errno.ELOOP, NOT_ITS_OWN, os.fspath(path)) from error
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        raise OSError(errno.ELOOP, NOT_ITS_OWN, os.fspath(path))
    return descriptor


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path in the same folder to write to; it takes the name `path` at the end of the block.

    The partial file has the suffix of `path`, for libraries that go by it. If anything fails it is
    removed and `path` stays as it was, with one exception: when the folder's own fsync fails, the
    new file is already in place, whole, but might not survive a power cut.

    Raises
    ------
    OSError
        As `write_atomic`; also when the block wrote no file, and where `path` is a device or pipe.
    """
    path = Path(path)
    _check_is_no_device(path)
    partial = path.parent / f"{PARTIAL}{secrets.token_hex(8)}{path.suffix}"
    try:
        on_write("write", path)
        yield partial
        on_write("fsync", path)
        with open(partial, "r+b") as file:
            os.fsync(file.fileno())
        on_write("replace", path)
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError) and str(error.filename) == str(partial):
            error.filename, error.filename2 = str(path), None  # the name that a user knows
        raise
    on_write("fsync folder", path)
    fsync_folder(path.parent)


def _check_is_no_device(path: Path) -> None:
    """A file in place of /dev/null, /dev/stdout or a pipe would be in everybody's way; in a run's
    folder nobody waits at a pipe, and it gives way."""
    try:
        mode = path.stat().st_mode
        of_a_process = path.is_symlink() and path.readlink().is_relative_to("/proc")
    except OSError:
        return  # nothing there; what else is wrong is found by writing
    if stat.S_ISFIFO(mode) and not of_a_process and (path.parent / CLAIM).exists():
        return
    if of_a_process or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, NO_FILE, os.fspath(path))


def append_lines(path: Path, text: str, *, header: str = "", sync: bool) -> None:
    """Add whole lines to a file in one write, below the header where it is new; what a power cut
    left of an unfinished line is removed first. With `sync`, wait until they are on the card.

    Raises
    ------
    OSError
        The card is full, read-only or broken; none of the lines is in the file, as far as the card
        lets them be taken out again.
    """
    on_write("append", path)
    with open(path, "a+b", buffering=0, opener=open_own) as file:
        end = end_of_last_line(file.fileno())
        file.truncate(end)
        left = (f"{header}\n{text}" if header and not end else text).encode()
        try:
            while left:  # a card that fills up takes the beginning
                left = left[file.write(left) :]
            if sync:
                os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                file.truncate(end)
            raise
    if sync and end == 0:
        fsync_folder(path.parent)


def end_of_last_line(descriptor: int, block: int = 4096) -> int:
    """Where the last whole line ends; looked for from the back, so long files cost nothing."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - block)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def keep_previous(path: Path, previous: Path) -> None:
    """Give the file `path` the second name `previous`, for as long as `path` is being replaced.

    Where the file system knows no second names, as on a FAT card, it is renamed.
    """
    on_write("keep", previous)
    if not path.exists():
        return
    second = path.parent / f"{PARTIAL}{secrets.token_hex(8)}{path.suffix}"
    try:
        os.link(path, second)
        os.replace(second, previous)
        # Two names of one file: then replacing does nothing, and leaves both.
        second.unlink(missing_ok=True)
    except OSError:
        with suppress(OSError):
            second.unlink(missing_ok=True)
        os.replace(path, previous)


def sweep_partial(folder: Path) -> None:
    """Remove the unfinished files that a killed process left in `folder`, where that is possible.

    Not while another process writes there.
    """
    with suppress(OSError):
        for partial in folder.glob(f"{PARTIAL}*"):
            with suppress(OSError):
                partial.unlink()


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut, where the file system can promise it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return  # a folder that may be written but not listed; Windows
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FUSE file systems cannot sync a folder; the file itself is safe.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)
