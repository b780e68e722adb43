"""What a sweep asks of a board, by ssh: python -m raspitrain.sweep.board COMMAND …

Everything of a board's lies in boards/ of its cache folder (cache.py): data/ by content, jobs/ by
board, as boards may share their home folders, and by sweep. Answers are one line of JSON.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import raspitrain
from raspitrain.cache import cache_folder
from raspitrain.hardware.board import available_cores, machine_model, memory_mb
from raspitrain.paths import source_digest
from raspitrain.results.atomic import write_atomic
from raspitrain.results.files import LAST, PREVIOUS, SUMMARY
from raspitrain.results.lock import take
from raspitrain.sweep.data import digest, stamp

LOCK = ".raspitrain-board"  # in a job's folder: held by its process, touched at every sign of life
STAMP = ".stamp"
# A coordinator that lives gives a sign of it every five seconds; one may still be on its way from
# one that does not.
SETTLE_SECONDS, LOOK_SECONDS = 4.0, 12.0
STOP_SECONDS = 60.0


def home() -> Path:
    return cache_folder() / "boards"


def node() -> str:
    """This machine among those that share its home folder."""
    name = os.environ.get("SLURMD_NODENAME") or platform.node()
    return re.sub(r"[^\w.-]", "_", name) or "board"


def jobs_folder() -> Path:
    return home() / "jobs" / node()


def kind_of(model: str | None, cores: int, torch: str | None) -> str:
    """What boards must have in common for their speeds to be compared."""
    name = re.sub(r"\s+Rev\s+[\d.]+$", "", model or "unknown machine")
    return f"{name} ({cores} {'core' if cores == 1 else 'cores'}, torch {torch or 'none'})"


def facts(python: str = sys.executable, threads: int | None = None) -> dict[str, Any]:
    """What a coordinator must know of a machine before it sends work there.

    Parameters
    ----------
    python : by which name jobs are to be started
    threads : how many of its cores a job may have, where others have the rest
    """
    try:
        torch: str | None = metadata.version("torch").partition("+")[0]
    except metadata.PackageNotFoundError:
        torch = None
    model, there = machine_model(), available_cores()
    cores = min(there, threads or there)
    existing = next(f for f in (home(), *home().parents) if f.exists())
    return {
        "version": raspitrain.__version__,
        "source": source_digest(),
        "python": python,
        "torch": torch,
        "model": model,
        "cores": cores,
        "shares": there // cores,
        "kind": kind_of(model, cores, torch),
        "memory_free_mb": round(memory_mb()[1]),
        "disk_free_mb": round(shutil.disk_usage(existing).free / 1e6),
        "clock": time.time(),
        "home": str(home()),
        "jobs": str(jobs_folder()),
        "rsync": shutil.which("rsync") is not None,
        "connection": connection(),
    }


def connection() -> dict[str, str | None]:
    """The address by which ssh has reached this board, and the coordinator's as it is seen here."""
    words = os.environ.get("SSH_CONNECTION", "").split()
    coordinator, board = (words[0], words[2]) if len(words) == 4 else (None, None)
    return {"board": board, "coordinator": coordinator}


def has_data(key: str) -> bool:
    """Whether data of that digest are here, and as they were when they came."""
    folder = home() / "data" / key
    try:
        return (folder / STAMP).read_text() == stamp(_only_one_in(folder))
    except (OSError, StopIteration):
        return False


def take_data(key: str) -> bool:
    """What has come is now data of that digest, if it is; else it goes."""
    folder = home() / "data" / key
    coming = folder.with_name(f"{key}.coming")
    try:
        path = _only_one_in(coming)
        if digest(path) != key:
            shutil.rmtree(coming)
            return False
        os.sync()
        write_atomic(coming / STAMP, stamp(path).encode())
        shutil.rmtree(folder, ignore_errors=True)  # touched since it came
        coming.rename(folder)
    except (OSError, StopIteration):
        return has_data(key)  # another sweep has brought them meanwhile
    return True


def _only_one_in(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.name != STAMP)


def stop_jobs(sweep: str, names: Sequence[str]) -> dict[str, Any]:
    """End what an earlier coordinator of this sweep has left running here.

    Parameters
    ----------
    names : of jobs; none for all

    Returns
    -------
    dict
        `left`: names of jobs with something to show, a checkpoint or a summary; `busy`: who is at
        work for this very sweep, and alive: nothing has been ended then.
    """
    left = []
    folder = jobs_folder() / sweep
    for job in sorted(folder.iterdir()) if folder.is_dir() else ():
        if job.name.endswith(".coming") or (names and job.name not in names):
            continue
        if (owner := _end_job(job / LOCK)) is not None:
            return {"left": [], "busy": owner}
        if any((job / name).is_file() for name in (LAST, PREVIOUS, SUMMARY)):
            left.append(job.name)
    return {"left": left, "busy": None}


def _end_job(lock: Path) -> str | None:
    """Wait for the job to end, then make it; who it works for, if they are still there."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    began, touched = time.monotonic(), os.fstat(descriptor).st_mtime_ns
    asked = False
    try:
        while not take(descriptor, without_locks=False):
            process, _, owner = (
                os.pread(descriptor, 500, 0).decode("utf-8", "replace").partition("\n")
            )
            waited = time.monotonic() - began
            if waited < SETTLE_SECONDS:
                touched = os.fstat(descriptor).st_mtime_ns
            elif not asked and os.fstat(descriptor).st_mtime_ns != touched:
                return owner.strip() or "another coordinator"
            with suppress(ProcessLookupError, ValueError):
                if waited > LOOK_SECONDS + STOP_SECONDS:
                    os.kill(int(process), signal.SIGKILL)
                elif waited > LOOK_SECONDS and not asked:
                    os.kill(int(process), signal.SIGTERM)
                    asked = True
            time.sleep(0.1)
    finally:
        os.close(descriptor)
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What a sweep asks of a board.")
    commands = parser.add_subparsers(dest="command", required=True)
    of_facts = commands.add_parser("facts")
    of_facts.add_argument("--python", default=sys.executable)
    of_facts.add_argument("--threads", type=int)
    for name in ("has-data", "take-data", "stop"):
        commands.add_parser(name).add_argument("key")
    commands.choices["stop"].add_argument("names", nargs="*")
    given = parser.parse_args(arguments)
    answer: Any
    if given.command == "facts":
        answer = facts(given.python, given.threads)
    elif given.command == "stop":
        answer = stop_jobs(given.key, given.names)
    else:
        answer = has_data(given.key) if given.command == "has-data" else take_data(given.key)
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
