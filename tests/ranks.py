"""Several ranks for tests: as threads that meet in memory, and as processes of the real command."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from processes import start
from torch import Tensor

from raspitrain.distributed.group import Group
from raspitrain.distributed.launch import Launch


class Threads(Group):
    """A group whose ranks are threads."""

    def __init__(self, rank: int, slots: list[Tensor], barrier: threading.Barrier) -> None:
        self.launch = Launch(rank, len(slots), len(slots), "127.0.0.1", 29500)
        self.rank, self.num_ranks, self.resume_words = rank, len(slots), ()
        self.hosts = [f"pi5{letter}" for letter in "abcd"[: len(slots)]]
        self.slots, self.barrier = slots, barrier

    def begin_steps(self) -> None:
        pass

    def all(self, numbers: Tensor) -> list[Tensor]:
        self.slots[self.rank] = numbers.clone()
        self.barrier.wait(20)
        of_all = [each.clone() for each in self.slots]
        self.barrier.wait(20)
        return of_all

    def sum(self, numbers: Tensor) -> None:
        numbers.copy_(sum(self.all(numbers)))

    def copy_first(self, numbers: Tensor) -> None:
        numbers.copy_(self.all(numbers)[0])

    def collect(self, numbers: Tensor) -> list[Tensor] | None:
        of_all = self.all(numbers)
        return of_all if self.is_first else None


def as_threads(num_ranks: int, work: Callable[[Group], Any]) -> list[Any]:
    """What `work` returns on each rank, or the exception that it ends with."""
    slots, barrier = [torch.empty(0)] * num_ranks, threading.Barrier(num_ranks)
    results: list[Any] = [None] * num_ranks

    def run(rank: int) -> None:
        try:
            results[rank] = work(Threads(rank, slots, barrier))
        except BaseException as error:
            results[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(num_ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


_started: list[subprocess.Popen[str]] = []


def kill_started() -> None:
    """After a test that failed, of its processes none goes on."""
    for process in _started:
        if process.poll() is None:
            process.kill()
    _started.clear()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _meeting(num_ranks: int) -> dict[str, str]:
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return where | {"WORLD_SIZE": str(num_ranks)}


def start_forked_ranks(folder: Path, outputs: Sequence[Path], *words: str) -> list[BaseProcess]:
    """The command as ranks 0, 1, … in `folder`, forked as in processes.py."""
    meeting = _meeting(len(outputs))
    return [
        start(*words, cwd=folder, output=output, variables=meeting | {"RANK": str(rank)})
        for rank, output in enumerate(outputs)
    ]


def start_ranks(
    folder: Path, *words: str, own: Sequence[Sequence[str]] = ((), ())
) -> list[subprocess.Popen[str]]:
    """python -m raspitrain as ranks 0, 1, … in `folder`; `own` are words of each alone."""
    meeting = _meeting(len(own))
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "raspitrain", *words, *own[rank]],
            cwd=folder,
            env=os.environ | meeting | {"RANK": str(rank)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(len(own))
    ]
    _started.extend(ranks)
    return ranks


def ends(processes: Sequence[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """The exit code of each, and what it said."""
    said = [process.communicate(timeout=240)[0] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]
