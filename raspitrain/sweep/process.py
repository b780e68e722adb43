"""One job's process: started with an environment of its own, watched, ended, and understood."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raspitrain.errors import InputError, TemporaryError, UnwrittenError
from raspitrain.hardware.board import ROOT, available_cores, read_text
from raspitrain.results.summary import FINISHED, status_of
from raspitrain.stop import EXIT_CODES, SAME_PRESS_SECONDS

LOG, STDERR, SUMMARY = "run.log", "stderr.log", "summary.json"
TAIL_LINES, TAIL_BYTES = 15, 8_192
GRACE_SECONDS = 60.0  # for a job that is asked to end: a step and a checkpoint on a slow card
OUT_OF_MEMORY = 3  # the exit code by which job.py tells
LOST = 69  # that of there.py, where a board has gone in mid-job; EX_UNAVAILABLE of sysexits.h
# Codes that come with a sentence of their own.
KNOWN = (InputError.exit_code, TemporaryError.exit_code, UnwrittenError.exit_code, *EXIT_CODES)
NO_MEMORY = re.compile(
    r"MemoryError|bad_alloc|[Cc]an(?:no|')t allocate memory|not enough memory|out of memory"
    r"|Thread creation failed"
)


@dataclass(frozen=True)
class Limits:
    """What a job may have.

    Attributes
    ----------
    cores : those it may run on; None for all
    memory_mb : memory of its own, in MB of 10^6 bytes; None for no limit
    """

    cores: Sequence[int] | None
    memory_mb: float | None


def share_cores(num_parallel: int) -> list[list[int] | None]:
    """The cores for each of `num_parallel` jobs at a time, no core for two of them.

    Raises
    ------
    InputError
        There are fewer cores than jobs.
    """
    if num_parallel == 1:
        return [None]
    cores = available_cores()
    if num_parallel > cores:
        raise InputError(
            f"launcher.num_parallel={num_parallel} is more than the {cores} cores that there are: "
            f"use {cores} at most."
        )
    each = cores // num_parallel
    try:
        allowed = sorted(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return [None] * num_parallel
    return [allowed[k * each : (k + 1) * each] for k in range(num_parallel)]


def check_threads(num_threads: int | str, num_parallel: int, *, given_by: str) -> None:
    """A fixed number of threads fits into a job's share of the cores, or InputError."""
    if num_parallel == 1 or num_threads == "auto":
        return
    share = available_cores() // num_parallel
    if int(num_threads) > share:
        raise InputError(
            f"{given_by}={num_threads} is more than the {share} of {available_cores()} cores that "
            f"each job has with launcher.num_parallel={num_parallel}."
        )


def own_python() -> list[str]:
    """This interpreter, looking for modules where this process does: the console script does not
    look in the current folder, nor then does a job."""
    return [sys.executable, *([] if sys.path[0] in ("", os.getcwd()) else ["-P"])]


def job_command(folder: Path, limits: Limits, resume: bool) -> list[str]:
    """The words that start job.py on `folder`."""
    command = [*own_python(), "-m", "raspitrain.sweep.job", str(folder)]
    command += ["--parent", str(os.getpid())]
    if limits.cores is not None:
        command += ["--cores", ",".join(map(str, limits.cores))]
    if limits.memory_mb is not None:
        command += ["--memory-limit-mb", str(limits.memory_mb)]
    return [*command, "--resume"] if resume else command


class JobProcess:
    """A job that runs.

    Its messages go to its run.log, as every run's do, and what else it prints on standard error to
    stderr.log; standard output says the same again, and goes nowhere unless `shows`.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        timeout: float | None,
        grace_seconds: float,
        inherit: Sequence[int] = (),
        shows: bool = False,
    ) -> None:
        self.folder = folder
        self.grace_seconds = grace_seconds
        self.began = time.monotonic()
        self.deadline = None if timeout is None else self.began + timeout
        self.kill_at: float | None = None
        self.stopped: tuple[str, str] | None = None  # the status and the reason that we gave it
        self.asked_at: float | None = None
        self.suspended = self.began
        self.oom_kills = _oom_kills()
        self.log_begins = _size(folder / LOG)
        self.summary_before = written(folder / SUMMARY)
        # Whatever stands there; what it may lead to stays.
        (folder / STDERR).unlink(missing_ok=True)
        with open(folder / STDERR, "xb") as log:
            # A session of its own: a Ctrl-C at the terminal reaches it once, through us.
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=None if shows else subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                pass_fds=inherit,
            )

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def suspend(self) -> None:
        """Stop it, and all that it has started, where they are; the clock stops as well."""
        self.suspended = time.monotonic()
        self._send_to_all(signal.SIGSTOP)

    def go_on(self) -> None:
        """The end of `suspend`."""
        self._send_to_all(signal.SIGCONT)
        lost = time.monotonic() - self.suspended
        self.began += lost
        self.deadline = None if self.deadline is None else self.deadline + lost
        self.kill_at = None if self.kill_at is None else self.kill_at + lost

    def _send_to_all(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def stop(self, status: str, reason: str) -> None:
        """Have it end as at a Ctrl-C: what it has is written; if that takes too long, kill it."""
        if self.stopped is None:
            self.stopped = (status, reason)
            self.end(signal.SIGTERM)

    def end(self, number: int) -> None:
        """Pass a signal on, once; a second Ctrl-C kills."""
        now = time.monotonic()
        if self.asked_at is None:
            self.asked_at = now
            self.kill_at = now + self.grace_seconds
            self.send(number)
        # A dropped connection sends its SIGHUP twice; only a person means "at once" by that.
        elif number == signal.SIGINT and now - self.asked_at > SAME_PRESS_SECONDS:
            self.send(signal.SIGKILL)

    def poll(self) -> bool:
        """Whether it has ended; looks at the clock."""
        if self.process.poll() is not None:
            if _size(self.folder / STDERR) == 0:
                (self.folder / STDERR).unlink(missing_ok=True)
            return True
        now = time.monotonic()
        if self.deadline is not None and now > self.deadline and self.stopped is None:
            limit = self.deadline - self.began
            self.stop("timed_out", f"not finished after launcher.job_timeout={limit:g} seconds")
        if self.kill_at is not None and now > self.kill_at:
            self.send(signal.SIGKILL)
        return False

    def log_tail(self) -> list[str]:
        """The last lines of its log, and then of what it printed on standard error."""
        begins = self.log_begins if _size(self.folder / LOG) >= self.log_begins else 0
        return _tail(self.folder / LOG, begins) + _tail(self.folder / STDERR, 0)

    def verdict(self) -> tuple[str, str | None]:
        """Status and reason of a process that has ended, from all that it left."""
        # An earlier part of the job may have left one, too.
        new = written(self.folder / SUMMARY) != self.summary_before
        summary = read_summary(self.folder) if new or self.process.returncode == 0 else None
        code = self.process.returncode
        if self.stopped is not None and code != 0:
            return self.stopped
        told = self.log_tail()
        last = told[-1].strip() if told else None
        if code == 0 and summary is not None and "status" in summary:
            return status_of(summary)
        if code == 0:
            return "failed", "it ended without a summary.json"
        if code == LOST:
            ended = self.asked_at is not None
            return "interrupted" if ended else "lost", _sentence(last)
        if code == OUT_OF_MEMORY or (code not in KNOWN and _names_memory(told[-5:])):
            return "out_of_memory", _sentence(last) or "it asked for more memory than there was"
        if code == -signal.SIGKILL and _oom_kills() > self.oom_kills:
            return "out_of_memory", "killed by the system, which had run out of memory"
        if code < 0:
            if self.asked_at is not None:
                return "interrupted", f"ended by {_signal_name(-code)}"
            return "killed", f"killed by {_signal_name(-code)}"
        if code > 128 and code not in KNOWN:  # a shell's word for it, on a board
            return "killed", f"killed by {_signal_name(code - 128)}"
        if summary is not None and summary.get("status") in ("diverged", "interrupted"):
            return status_of(summary)
        if code == InputError.exit_code:
            return "refused", _sentence(last)
        if code == TemporaryError.exit_code:
            return "postponed", _sentence(last)
        if code in EXIT_CODES:
            return "interrupted", None
        return "failed", _sentence(last) or f"exit code {code}"


def wait_any(running: Iterable[JobProcess], seconds: float) -> None:
    """Sleep until one of them ends, for `seconds` at most."""
    descriptors = []
    try:
        for job in running:
            descriptors.append(os.pidfd_open(job.process.pid))
        select.select(descriptors, [], [], seconds)
    except (AttributeError, OSError):  # not Linux, or ended already
        time.sleep(min(seconds, 0.05))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def end_all(processes: Sequence[JobProcess]) -> None:
    """Have them end as at a Ctrl-C, and wait for that."""
    for process in processes:
        process.end(signal.SIGTERM)
    while running := [process for process in processes if not process.poll()]:
        wait_any(running, 0.5)  # one may have to be killed


def read_summary(folder: Path) -> dict[str, Any] | None:
    """What a job's summary.json holds; None if there is none that can be read."""
    try:
        if not (folder / SUMMARY).is_file():  # a pipe would be waited for
            return None
        summary = json.loads((folder / SUMMARY).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return summary if isinstance(summary, dict) else None


def has_finished(folder: Path) -> bool:
    """Whether a job's summary.json says so."""
    summary = read_summary(folder) or {}
    return "status" in summary and status_of(summary)[0] in FINISHED


def written(path: Path) -> int | None:
    """When, in ns; None where there is no such file."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _tail(path: Path, begins: int) -> list[str]:
    """The last lines of a file, none from before the byte `begins`."""
    try:
        with open(path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(begins, end - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-TAIL_LINES:]


def _names_memory(lines: Sequence[str]) -> bool:
    return any(NO_MEMORY.search(line) for line in lines)


def _sentence(line: str | None) -> str | None:
    return None if line is None else line.removeprefix("error: ")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _oom_kills() -> int:
    """How many processes this kernel has killed for memory since it started, as far as it says."""
    for line in read_text(ROOT / "proc/vmstat").splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill":
            return int(count)
    return 0
