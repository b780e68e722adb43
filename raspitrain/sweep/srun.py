"""The nodes of an allocation of SLURM's as places: every script is a step of it."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from raspitrain.errors import InputError
from raspitrain.sweep.machine import UNREACHED, Answer, Machine, last_line

# What srun says of a script that has ended, and not of itself.
OF_THE_SCRIPT = re.compile(r"srun: error: \S+: tasks? [\d,-]+: ")
OVER = re.compile(r"already complet|Invalid job|Requested node configuration|Access/permission")


@dataclass(frozen=True)
class Node(Machine):
    """A node of the allocation that this process is in.

    Attributes
    ----------
    cores : of it, that are the allocation's
    """

    cores: int

    way: ClassVar[str] = "srun"
    needs: ClassVar[str] = "sudo apt install slurm-client"

    def command(self, script: str) -> list[str]:
        # What is asked while a job runs shares its cores; what it may use is settled on the node.
        # Without --unbuffered, which would put a terminal in the way of files.
        return [
            "srun", "--nodes=1", "--ntasks=1", f"--nodelist={self.name}", "--overlap", "--mem=0",
            f"--cpus-per-task={self.cores}", "--input=0", "--chdir=/",
            "sh", "-c", f"cd; {script}",
        ]  # fmt: skip

    def answer(self, code: int, out: bytes, error: str) -> Answer:
        own = [line for line in error.splitlines() if line.startswith("srun: error: ")]
        if code != 0 and not all(map(OF_THE_SCRIPT.match, own)):
            code = UNREACHED
        return Answer(code, out, error)

    def close(self) -> None:
        """Commands of srun's share nothing."""

    def why_unreached(self, said: str) -> tuple[str, bool]:
        errors = "\n".join(line for line in said.splitlines() if line.startswith("srun: error: "))
        last = last_line(errors or said, "srun gives no reason").removeprefix("srun: error: ")
        return f"{self.name} does not answer ({last}): look at it with sinfo.", not OVER.search(
            said
        )


def nodes(environment: Mapping[str, str] = os.environ) -> list[Node]:
    """Those of the allocation.

    Raises
    ------
    InputError
        There is none, or SLURM cannot be asked.
    """
    names = environment.get("SLURM_JOB_NODELIST")
    cores = cores_of(environment.get("SLURM_JOB_CPUS_PER_NODE", ""))
    if not names or not cores:
        raise InputError(
            "launcher.srun=true is for an allocation of SLURM's: start the sweep under salloc "
            "--nodes=4 --exclusive, or from a script of sbatch's."
        )
    try:
        done = subprocess.run(
            ["scontrol", "show", "hostnames", names], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"launcher.srun=true: scontrol cannot be asked ({error}).") from error
    if done.returncode != 0:
        why = last_line(done.stderr, "no reason is given")
        raise InputError(f"launcher.srun=true: scontrol does not know {names} ({why}).")
    return [Node(name, each) for name, each in zip(done.stdout.split(), cores, strict=False)]


def cores_of(words: str) -> list[int]:
    """Of SLURM's "4(x2),2": 4, 4 and 2."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", words)
    return [int(cores) for cores, times in found for _ in range(int(times or 1))]
