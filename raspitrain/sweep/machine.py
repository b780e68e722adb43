"""A machine that runs scripts of sh's for us, whatever carries them there: ssh, srun or Dask."""

import shlex
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

UNREACHED = 255  # ssh's own exit code, for whatever goes wrong on the way


@dataclass(frozen=True)
class Answer:
    code: int
    out: bytes
    error: str

    @property
    def reached(self) -> bool:
        return self.code != UNREACHED


@dataclass(frozen=True)
class Machine(ABC):
    """What a sweep needs of one.

    Attributes
    ----------
    name : as people see it, in sweep.csv too
    way : what carries scripts there
    needs : the Debian package, or whatever brings it here
    has_rsync : whether rsync can go that way
    """

    name: str

    way: ClassVar[str]
    needs: ClassVar[str]
    has_rsync: ClassVar[bool] = False

    @abstractmethod
    def command(self, script: str) -> list[str]:
        """The words that run a script there, with our standard input, output and error."""

    def job_command(self, script: str) -> list[str]:
        """The same for the script that is a job, for ways on which work has to be announced."""
        return self.command(script)

    @abstractmethod
    def why_unreached(self, said: str) -> tuple[str, bool]:
        """What was said on the way, as a sentence with a remedy; and whether waiting may help."""

    def answer(self, code: int, out: bytes, error: str) -> Answer:
        """What a command that has ended came to."""
        return Answer(code, out, error)

    @abstractmethod
    def close(self) -> None:
        """End what is shared by all commands."""

    def ask(self, script: str, *, seconds: float, data: bytes = b"") -> Answer:
        """Run a script there and wait for it."""
        words = self.command(script)
        try:
            done = subprocess.run(words, input=data, capture_output=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            return Answer(UNREACHED, b"", f"no answer within {seconds:g} seconds")
        except FileNotFoundError:
            error = f"{words[0]} is not installed here: {self.needs}"
            return Answer(UNREACHED, b"", error)
        return self.answer(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))

    def as_values(self) -> dict[str, Any]:
        """What it takes to make it again in another process."""
        return {"way": self.way, **asdict(self)}


def computer_of(name: str | None) -> str:
    """Of a place's name: a worker's has #2 behind it where it is the second one there."""
    return (name or "").partition("#")[0]


def last_line(said: str, otherwise: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else otherwise


def words_of(python: str, module: str, arguments: Sequence[str]) -> str:
    """A command of ours for a shell on a board: -P, as the folder it starts in may hold a clone."""
    return shlex.join([python, "-P", "-m", module, *arguments])
