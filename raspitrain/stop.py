"""Signals that ask a run to end: Ctrl-C, systemd's or the kernel's SIGTERM, a dropped connection.

with StopSignals() as stop:
    ...                   # here a signal raises Stopped
    with stop.deferred():
        step()
        stop.check()      # here it does so in these places alone: nothing is left half done

A second Ctrl-C ends the process at once. Signals that were ignored from the start (nohup, a shell
that starts jobs in the background) stay ignored, and off the main thread none is looked at.
"""

import atexit
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn, Self, TextIO

from raspitrain.errors import CAN_PASS, InputError, printable, remedy, visible

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
EXIT_CODES = tuple(128 + number for number in SIGNALS)  # of a run that one of them has ended
# One press may arrive twice: from the terminal, and from a parent that passes it on.
SAME_PRESS_SECONDS = 0.25

# Called, whatever they raise, before the process ends at once.
tidy: list[Callable[[], object]] = []


class Stopped(KeyboardInterrupt):
    """A signal asked the run to end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number
        self.exit_code = 128 + number


@contextmanager
def signals_go_to(
    handlers: Mapping[int, Callable[[int, FrameType | None], object]],
) -> Iterator[None]:
    """Within the block signals are handled so, where they are not ignored and this is the main
    thread."""
    before: dict[int, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class StopSignals:
    """Handles the signals within a `with` block, in the main thread; elsewhere does nothing."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.at = 0.0
        self.waits = False
        self.handled = signals_go_to(dict.fromkeys(SIGNALS, self._handle))

    def __enter__(self) -> Self:
        self.handled.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.handled.__exit__(*error)

    def check(self) -> None:
        """Raise Stopped if a signal has come."""
        if self.number is not None:
            raise Stopped(self.number)

    @contextmanager
    def deferred(self, waits: bool = True) -> Iterator[None]:
        """Within the block a signal is only noted, for `check`; with False it is not, inside a
        block where it is."""
        before, self.waits = self.waits, waits
        try:
            if not waits:
                self.check()
            yield
        finally:
            self.waits = before

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.number is None:
            self.number, self.at = number, now
            if not self.waits:
                raise Stopped(number)
        # A dropped connection sends its SIGHUP twice; only a person means "at once" by that.
        elif number == signal.SIGINT and now - self.at > SAME_PRESS_SECONDS:
            leave_at_once(number, frame)


def leave_at_once(number: int, frame: FrameType | None = None) -> NoReturn:
    """End the process with the signal's exit code: nothing of worth is half written."""
    for action in tidy:
        with suppress(Exception):
            action()
    with suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(128 + number)


def leave_at_once_on_signals() -> None:
    """For the time before there is anything to keep, imports above all: an exception inside them
    may be swallowed, or end in a trace."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave_at_once)


def leave(code: int) -> NoReturn:
    """End the process without taking it apart first: with torch loaded, that takes Python as long
    as a second, and several on a small board."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    let_go_of_dead_streams()
    os._exit(code)


def say(text: str) -> None:
    """Print a line on standard error, if anybody is there to read it."""
    with suppress(OSError, ValueError):
        print(visible(text, keep="\n"), file=sys.stderr, flush=True)


def make_output_ready() -> None:
    """Where standard output is closed, what would be printed goes nowhere; letters that a terminal
    has not are written out, as \\u03bc."""
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def exit_code_of(work: Callable[[], object], *, writes: object, lost: str = "") -> int:
    """Do a command's work; return how the process is to end: 0, or with one sentence an
    InputError's code, or where writing failed 74 if that can pass, as a full card, and 2 if not, as
    a folder that this user may not write to.

    Parameters
    ----------
    writes : what the command writes, named where the error names no file
    lost : what there is not then, for the sentence, such as "the model is not written"
    """
    make_output_ready()
    try:
        work()
        sys.stdout.flush()  # what it still holds may not find room
    except InputError as error:
        say(f"error: {printable(str(error))}")
        return error.exit_code
    except BrokenPipeError:
        write_nowhere(sys.stdout)  # whoever reads what is printed has had enough
    except OSError as error:
        if error.filename is None and is_stdout_stuck():
            return say_stuck(error)
        name, why = error.filename or writes, remedy(error)
        if isinstance(error, FileNotFoundError):
            why = f"there is no folder {os.path.dirname(os.path.abspath(str(name)))}"
        parts = f"{name}: {error.strerror}", lost, why
        say(f"error: {printable('; '.join(filter(None, parts)))}")
        return 74 if error.errno in CAN_PASS else 2
    return 0


def say_stuck(error: OSError) -> int:
    """Say that nothing can be printed; return the exit code."""
    say(f"error: standard output: {error.strerror}; {remedy(error)}")
    write_nowhere(sys.stdout)
    return 74 if error.errno in CAN_PASS else 2


def is_stdout_stuck() -> bool:
    """Whether it could not write what it was given: it holds it still, or takes no more."""
    try:
        if getattr(sys.stdout, "write_through", False):  # and so holds nothing (python -u)
            sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        return True
    return False


def let_go_of_dead_streams() -> None:
    """Keep a terminal that is gone from changing the exit code when Python flushes its streams."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            write_nowhere(stream)


def write_nowhere(stream: TextIO) -> None:
    """What a dead stream still holds would fail again, loudly, when the interpreter ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
