"""Runs in processes of their own that can be killed, signalled, or have their writes fail.

They are forked from a process that has torch imported already, so that one costs half a second
instead of three; what they do is what `python -m raspitrain` does with the same words.
"""

import errno
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "raspitrain.run.run", "raspitrain.cli.main", "raspitrain.run.resume",
        "raspitrain.cli.commands", "raspitrain.export.at_end", "raspitrain.run.evaluate",
        "raspitrain.data.synthetic", "raspitrain.data.augment", "raspitrain.model.mobilenetv3",
        "raspitrain.training.loss", "raspitrain.training.schedule",
        "hydra_plugins.raspitrain_sweep", "hydra_plugins.raspitrain_optuna",
        "matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.style",
        "PIL.PngImagePlugin", "torch.utils.serialization", "pytest", "hypothesis",
    ]
)  # fmt: skip


# How many times longer than on an ordinary machine a command may take: emulated ones are slow.
PATIENCE = float(os.environ.get("RASPITRAIN_TEST_PATIENCE", "1"))


@dataclass(frozen=True)
class AtWrite:
    """What happens at one step of a write, counted from 0, and maybe at all that come after it."""

    number: int
    error: int | None = errno.ENOSPC  # None: the process is killed
    ever_after: bool = False
    since: str | None = None  # counted from the first step of this name

    def on_write(self) -> Callable[[str, Path], None]:
        """A hook for raspitrain.results.atomic."""
        from raspitrain.cache import cache_folder

        seen, kept = 0, cache_folder()

        def at_write(stage: str, path: Path) -> None:
            nonlocal seen
            if kept in path.parents:  # code compiled on the way: only where it was not before
                return
            if seen == 0 and self.since not in (None, stage):
                return
            number, seen = seen, seen + 1
            if number == self.number or (self.ever_after and number > self.number):
                if self.error is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                raise OSError(self.error, os.strerror(self.error), str(path))

        return at_write


@dataclass(frozen=True)
class AtFile:
    """What happens whenever a file of that name is written."""

    name: str
    error: int | None = errno.ENOSPC  # None: the process is killed

    def on_write(self) -> Callable[[str, Path], None]:
        def at_write(stage: str, path: Path) -> None:
            if path.name == self.name:
                if self.error is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                raise OSError(self.error, os.strerror(self.error), str(path))

        return at_write


@dataclass(frozen=True)
class SlowCard:
    """Every step of a write takes so long."""

    seconds: float

    def on_write(self) -> Callable[[str, Path], None]:
        return lambda stage, path: time.sleep(self.seconds)


Fault = AtWrite | AtFile | SlowCard


@contextmanager
def write_fails(fault: AtWrite | AtFile) -> Iterator[None]:
    """Within the block the writes of this process fail so."""
    from raspitrain.results import atomic

    before, atomic.on_write = atomic.on_write, fault.on_write()
    try:
        yield
    finally:
        atomic.on_write = before


def _main(
    arguments: Sequence[str],
    cwd: str,
    output: str,
    fault: Fault | None,
    variables: Mapping[str, str],
    limits: Mapping[int, int],
) -> None:
    for name, descriptor in (("stdout.txt", 1), ("stderr.txt", 2)):
        path = os.path.join(output, name)
        os.dup2(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o666), descriptor)
    os.chdir(cwd)
    os.environ.update(variables)
    sys.path.insert(0, cwd)  # as python -m does
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the fork server ignores it
    sys.argv = ["raspitrain", *arguments]
    for kind, most in limits.items():
        resource.setrlimit(kind, (most, most))
    if fault is not None:
        from raspitrain.results import atomic

        atomic.on_write = fault.on_write()
    from raspitrain.__main__ import main

    code = main()
    sys.stdout.flush()
    os._exit(code)


def start(
    *arguments: str,
    cwd: Path,
    output: Path | None = None,
    fault: Fault | None = None,
    variables: Mapping[str, str] | None = None,
    limits: Mapping[int, int] | None = None,
) -> BaseProcess:
    """Start the command in a process of its own; its output goes to stdout.txt and stderr.txt, in
    `output` or else in `cwd`.

    limits : of the system, as resource.RLIMIT_DATA → bytes of memory
    """
    places = str(cwd), str(output or cwd)
    given = (arguments, *places, fault, variables or {}, limits or {})
    process = SERVER.Process(target=_main, args=given)
    process.start()
    return process


def finish(*arguments: str, cwd: Path, **given: Any) -> int:
    """Start the command and wait for its exit code."""
    process = start(*arguments, cwd=cwd, **given)
    process.join(120 * PATIENCE)
    assert process.exitcode is not None, "the run does not end"
    return process.exitcode


def wait_until(happened: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.002)


def log_lines(folder: Path, word: str) -> int:
    """How many lines of the run's log hold `word`; "threads:" is the last before training."""
    try:
        return (folder / "run.log").read_text().count(word)
    except FileNotFoundError:
        return 0


def wait_for(path: Path, seconds: float = 60.0) -> None:
    """Wait until a file is there."""
    wait_until(path.exists, seconds)
