"""Runs in processes of their own that can be killed, signalled, or have their writes fail.

They are forked from a process that has torch imported already, so that one costs a fifth of a
second instead of two; what they do is what `python -m raspitrain` does with the same words.
"""

import errno
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["raspitrain.run", "raspitrain.cli", "raspitrain.resume"])


@dataclass(frozen=True)
class AtWrite:
    """What happens at the `number`th step of a write, counted from 0, and maybe ever after."""

    number: int
    error: int | None = errno.ENOSPC  # None: the process is killed
    ever_after: bool = False
    stages: tuple[str, ...] = ()  # counts these alone, where there are any


def _install(fault: AtWrite) -> None:
    from raspitrain.results import atomic

    seen = 0

    def on_write(stage: str, path: Path) -> None:
        nonlocal seen
        if fault.stages and stage not in fault.stages:
            return
        number, seen = seen, seen + 1
        if number == fault.number or (fault.ever_after and number > fault.number):
            if fault.error is None:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(fault.error, os.strerror(fault.error), str(path))

    atomic.on_write = on_write


def _main(arguments: Sequence[str], cwd: str, fault: AtWrite | None) -> None:
    os.chdir(cwd)
    for name, descriptor in (("stdout.txt", 1), ("stderr.txt", 2)):
        file = os.open(name, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o666)
        os.dup2(file, descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the fork server ignores it
    sys.argv = ["raspitrain", *arguments]
    if fault is not None:
        _install(fault)
    from raspitrain.__main__ import main

    code = main()
    sys.stdout.flush()
    os._exit(code)


def start(*arguments: str, cwd: Path, fault: AtWrite | None = None) -> BaseProcess:
    """Start the command in a process of its own; its output goes to stdout.txt and stderr.txt."""
    process = SERVER.Process(target=_main, args=(arguments, str(cwd), fault))
    process.start()
    return process


def finish(*arguments: str, cwd: Path, fault: AtWrite | None = None) -> int:
    """Start the command and wait for its exit code."""
    process = start(*arguments, cwd=cwd, fault=fault)
    process.join(120)
    assert process.exitcode is not None, "the run does not end"
    return process.exitcode


def wait_for(path: Path, seconds: float = 60.0) -> None:
    """Wait until a file is there."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.002)
