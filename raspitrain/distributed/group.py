"""What several processes send each other: tensors of numbers, never objects.

    group = join(launch, timeout_seconds=25)
    group.sum(flat)

Every method is called by all ranks in the same order, and waits for all of them.
"""

import hashlib
import os
import socket
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import raspitrain
from raspitrain.distributed.launch import Launch, own_address
from raspitrain.errors import InputError, TemporaryError
from raspitrain.paths import source_digest
from raspitrain.stop import say

if TYPE_CHECKING:
    from torch import Tensor

# Boards read their data at their own pace before the first step.
LONGEST_START = timedelta(minutes=30)
MEETING = timedelta(minutes=1)  # of ranks that a coordinator has started at the same moment
NAME_BYTES = 64  # of a host's name


class LostRankError(TemporaryError):
    """One of the processes has ended, or does not answer any more."""


class Group:
    """The processes that train one model.

    Attributes
    ----------
    rank, num_ranks : this process, and how many there are
    hosts : the board's name of each rank
    again : from the words of a command, how to start these processes with it
    resume_words : that resume the run; empty as long as there is nothing to resume
    """

    def __init__(self, launch: Launch, timeout_seconds: float) -> None:
        import torch.distributed as dist

        self.launch = launch
        self.rank, self.num_ranks = launch.rank, launch.num_ranks
        self.timeout_seconds = timeout_seconds
        self.resume_words: Sequence[str] = ()
        self.hosts = [f"board {rank}" for rank in range(self.num_ranks)]
        meeting = MEETING if launch.is_followed else LONGEST_START
        if not launch.is_followed:
            say(f"rank {self.rank} of {self.num_ranks} meets the others at {launch.place}")
        interface = _interface(own_address(launch))
        if interface is not None:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
        self._dist = dist
        try:
            store = dist.TCPStore(
                launch.address,
                launch.port,
                world_size=launch.num_ranks,
                is_master=self.rank == 0 and not launch.is_hosted,
                timeout=meeting,
            )
            dist.init_process_group(
                "gloo",
                # torchrun's store lives on, with the addresses of processes that are gone.
                store=dist.PrefixStore(f"start {launch.restarts}", store),
                rank=self.rank,
                world_size=self.num_ranks,
                timeout=meeting,
            )
            self._in_use: Any = dist.new_group(timeout=LONGEST_START)
            # Of the steps: another answer within seconds is the rule, and a cable may be out.
            self._steps = dist.new_group(timeout=timedelta(seconds=timeout_seconds))
        except (RuntimeError, ValueError) as error:
            raise LostRankError(
                f"rank {self.rank} of {self.num_ranks} cannot meet the others at "
                f"{launch.place} ({_first_line(error)}): see that all of them are "
                "started, and that no firewall is between them."
            ) from error
        self.hosts = self._gather_names()

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def name(self, rank: int) -> str:
        return f"rank {rank} ({self.hosts[rank]})"

    def begin_steps(self) -> None:
        """From now on nobody is waited for longer than `timeout_seconds`."""
        self._in_use = self._steps

    def sum(self, numbers: "Tensor") -> None:
        """Put in place of a tensor the sum of all ranks' tensors, the same bits on each."""
        self._do(lambda: self._dist.all_reduce(numbers, group=self._in_use))

    def copy_first(self, numbers: "Tensor") -> None:
        """Put rank 0's tensor in place of this one."""
        self._do(lambda: self._dist.broadcast(numbers, src=0, group=self._in_use))

    def all(self, numbers: "Tensor") -> "list[Tensor]":
        """Every rank's tensor, which are alike in shape and type."""
        import torch

        of_all = [torch.empty_like(numbers) for _ in range(self.num_ranks)]
        self._do(lambda: self._dist.all_gather(of_all, numbers, group=self._in_use))
        return of_all

    def collect(self, numbers: "Tensor") -> "list[Tensor] | None":
        """Every rank's tensor, on rank 0; None on the others."""
        import torch

        of_all = [torch.empty_like(numbers) for _ in range(self.num_ranks)]
        place = of_all if self.is_first else None
        self._do(lambda: self._dist.gather(numbers, place, dst=0, group=self._in_use))
        return place

    def first_says(self, yes: bool = False) -> bool:
        """Rank 0's answer; what the others give does not count."""
        import torch

        answer = torch.tensor([float(yes)])
        self.copy_first(answer)
        return bool(answer.item())

    def bytes_of_first(self, content: bytes = b"") -> bytes:
        """Rank 0's bytes; what the others give does not count."""
        import torch

        size = torch.tensor([len(content)])
        self.copy_first(size)
        numbers = torch.empty(int(size), dtype=torch.uint8)
        if self.is_first and content:
            numbers = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        if len(numbers):
            self.copy_first(numbers)
        return numbers.numpy().tobytes()

    def check_same(self, facts: Mapping[str, str]) -> None:
        """InputError, on all ranks, where one of them has another value than rank 0.

        Parameters
        ----------
        facts : what there is to be the same, in words, and its value
        """
        import torch

        digests = [hashlib.sha256(value.encode()).digest()[:8] for value in facts.values()]
        numbers = [int.from_bytes(digest, "big", signed=True) for digest in digests]
        first, *others = self.all(torch.tensor(numbers, dtype=torch.int64))
        for rank, other in enumerate(others, 1):
            for name, same in zip(facts, (first == other).tolist(), strict=True):
                if not same:
                    raise InputError(
                        f"{self.name(rank)} has another {name} than {self.name(0)}: all boards "
                        "must have the same."
                    )

    def _gather_names(self) -> list[str]:
        import torch

        name = socket.gethostname().encode()[:NAME_BYTES]
        padded = torch.frombuffer(bytearray(name.ljust(NAME_BYTES)), dtype=torch.uint8)
        return [
            "".join(c for c in n.numpy().tobytes().decode(errors="replace") if c.isprintable())
            .strip() or f"board {rank}"
            for rank, n in enumerate(self.all(padded))
        ]  # fmt: skip

    def _do(self, collective: Callable[[], object]) -> None:
        try:
            with warnings.catch_warnings(action="ignore"):
                collective()
        except RuntimeError as error:
            raise LostRankError(self._lost(_first_line(error))) from error

    def _lost(self, why: str) -> str:
        what = (
            f"rank {self.rank} ({self.hosts[self.rank]}) has lost another of the "
            f"{self.num_ranks} ranks, which ended or has not answered for "
            f"{self.timeout_seconds:g} s ({why})"
        )
        if not self.resume_words:
            return f"{what}: see what the others say, and start all of them again."
        return (
            f"{what}; training goes on from the last checkpoint with: "
            f"{self.launch.again(self.resume_words)}"
        )


_joined: Group | None = None


def join(launch: Launch, *, timeout_seconds: float) -> Group:
    """Meet the other processes; once a process.

    Raises
    ------
    TemporaryError
        They cannot be reached.
    InputError
        They are of another version.
    """
    global _joined
    if _joined is None:
        _joined = Group(launch, timeout_seconds)
        _joined.check_same({"raspitrain": f"{raspitrain.__version__} {source_digest()}"})
    return _joined


def _interface(address: str) -> str | None:
    """The name of the interface that has this address."""
    import psutil

    for name, own in psutil.net_if_addrs().items():
        if any(each.address.split("%")[0] == address for each in own):
            return name
    return None


def _first_line(error: Exception) -> str:
    """Of what gloo says, without its file names and its advice."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    line = line.partition(". This is typically")[0]
    return line.rpartition("] ")[2] if line.startswith("[") and "] " in line else line
