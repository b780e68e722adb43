"""What a component may not do while it is made: start a program, write a file, open a connection.

The list of constructors (targets.py) holds nothing that would; this holds where the list, or what
is on it, is mistaken. Python's audit events (PEP 578) tell of each such act before it happens. A
hook cannot be taken out again, so it looks away as long as nothing is being made.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from raspitrain.errors import InputError

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
REFUSED = {
    "subprocess.Popen": "start a program",
    "os.system": "start a program",
    "os.exec": "start a program",
    "os.posix_spawn": "start a program",
    "os.spawn": "start a program",
    "os.fork": "start a process",
    "os.forkpty": "start a process",
    "pty.spawn": "start a program",
    "_thread.start_new_thread": "start a thread",
    "socket.connect": "open a connection",
    "socket.bind": "open a connection",
    "socket.sendto": "open a connection",
    "socket.getaddrinfo": "open a connection",
    "os.remove": "remove a file",
    "os.rename": "rename a file",
    "os.rmdir": "remove a folder",
    "os.mkdir": "make a folder",
    "os.link": "make a link",
    "os.symlink": "make a link",
    "os.truncate": "write a file",
    "os.chmod": "change a file",
    "os.chown": "change a file",
    "os.chdir": "change the folder",
    "sqlite3.connect": "open a database",
}

# The component's key, the thread that makes it, and the frame in which it does.
_making: tuple[str, int, FrameType] | None = None
_is_installed = False


@contextmanager
def watched(key: str) -> Iterator[None]:
    """Refuse, with an InputError about `key`, what no component needs to do in the block."""
    global _making, _is_installed
    if not _is_installed:
        sys.addaudithook(_look)
        _is_installed = True
    # Above this generator's own frame and contextlib's stands the block's.
    before, _making = _making, (key, threading.get_ident(), sys._getframe(2))
    try:
        yield
    finally:
        _making = before


@contextmanager
def unwatched() -> Iterator[None]:
    """Look away in the block, in which our own code does what no configuration asked for."""
    global _making
    before, _making = _making, None
    try:
        yield
    finally:
        _making = before


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if _making is None:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, int) or not isinstance(flags, int) or not flags & WRITES:
            return
        act = f"write {os.fsdecode(path)}"
    elif event in REFUSED:
        act = REFUSED[event]
    else:
        return
    key, thread, block = _making
    if thread == threading.get_ident() and not _is_importing(block):
        raise InputError(f"{key} wants to {act}, which a configuration may not ask for.")


def _is_importing(block: FrameType) -> bool:
    """Whether a module is being imported in the block: its first acts are no component's."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame is not block:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
