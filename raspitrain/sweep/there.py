"""One job on a board, seen from the coordinator: python -m raspitrain.sweep.there TASK FOLDER

To the sweep this is the job's process: it ends as the job does, with its exit code and its last
words, and leaves the job's results in FOLDER. Meanwhile it sends, starts, follows and fetches.
Exit code LOST: the board has gone; what there was a few minutes ago is in FOLDER.
"""

import argparse
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from raspitrain.errors import InputError
from raspitrain.results.atomic import PARTIAL, sweep_partial
from raspitrain.stop import EXIT_CODES, SIGNALS
from raspitrain.sweep.dask import Worker
from raspitrain.sweep.job import end_saying, end_with
from raspitrain.sweep.lease import GAVE_UP, GIVE_UP, STOP
from raspitrain.sweep.machine import Machine, words_of
from raspitrain.sweep.process import LOST, OUT_OF_MEMORY
from raspitrain.sweep.srun import Node
from raspitrain.sweep.ssh import Host
from raspitrain.sweep.transfer import LostError, check, fetch, send_data, send_folder

SIGN_SECONDS = 5.0  # between signs of life to the job
# Between fetches: of what a resumed job needs or a search judges by, and of all else.
FETCH_SECONDS, REST_SECONDS = 5.0, 30.0
SOON = ("last.pt", "best.pt", "metrics.csv")
TRIES, BETWEEN_SECONDS = 3, 3.0  # at the last fetch
KILLED = 128 + signal.SIGKILL
WAYS: dict[str, type[Machine]] = {kind.way: kind for kind in (Host, Worker, Node)}


@dataclass(frozen=True)
class Task:
    """A job's way to a board.

    Attributes
    ----------
    host : what Machine.as_values gives
    python : the board's
    home : the board's folder for such work
    jobs : that of this sweep's jobs
    share : "0/2" for the first of two jobs at a time, "any/2" for whichever of them is free
    owner : who the coordinator is, for people
    lease : seconds without a sign of life after which the job ends
    data : configuration key → (digest, path here), of what the job reads
    rsync : whether both sides have it
    words_of_job : more of them for the job's command
    """

    host: dict[str, Any]
    python: str
    home: str
    jobs: str
    share: str
    owner: str
    lease: float
    data: dict[str, tuple[str, str]]
    rsync: bool
    words_of_job: list[str] = field(default_factory=list)

    @property
    def machine(self) -> Machine:
        values = dict(self.host)
        return WAYS[values.pop("way")](**values)

    def folder(self, name: str) -> str:
        return f"{self.jobs}/{name}"

    def words(self) -> str:
        return json.dumps(asdict(self))


class Job:
    """The job from its start on the board to its end.

    Attributes
    ----------
    code : of the job's process, once it has ended
    lost : the job itself has said that it no longer hears us
    """

    def __init__(self, task: Task, folder: Path) -> None:
        self.task, self.folder, self.host = task, folder, task.machine
        self.there = task.folder(folder.name)
        self.session: subprocess.Popen[bytes] | None = None
        self.asked: int | None = None
        self.code: int | None = None
        self.lost = self.out_of_memory = False
        self.changed: set[str] = set()
        self.heard = b""

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked = number
        if self.session is None:
            sys.exit(128 + number)  # nothing runs there yet
        self._tell(STOP + b"\n")

    def on_give_up(self, number: int, frame: FrameType | None) -> None:
        if self.session is None:
            sys.exit(GAVE_UP)
        self._tell(GIVE_UP + b"\n")

    def bring_data(self) -> list[str]:
        """See that what the job reads is on the board; where it is there, as KEY=PATH."""
        found = []
        for key, (digest, here) in self.task.data.items():
            path = Path(here)
            there = f"{self.task.home}/data/{digest}"
            if not self._ask("has-data", digest):
                send_data(self.host, path, f"{there}.coming", rsync=self.task.rsync)
                if not self._ask("take-data", digest):
                    raise InputError(
                        f"{self.host.name} has got other data than {key}={here} held when the "
                        "sweep began: let nobody write there, and give the same command again."
                    )
            found.append(f"{key}={there}/{path.name}")
        return found

    def _ask(self, *words: str) -> Any:
        script = words_of(self.task.python, "raspitrain.sweep.board", words)
        return json.loads(check(self.host, self.host.ask(script, seconds=3600)).out)

    def run(self, arguments: Sequence[str]) -> None:
        """Start it and stay until it ends, or the connection does."""
        task = self.task
        words = words_of(
            task.python,
            "raspitrain.sweep.job",
            [self.there, "--lease", str(task.lease), "--owner", task.owner, "--share", task.share,
             *task.words_of_job, *arguments],
        )  # fmt: skip
        # The code of a process that was killed comes through a shell alone, and ssh's own 255 is
        # then never the job's.
        kills = "grep '^oom_kill ' /proc/vmstat"
        script = (
            f"cd {shlex.quote(self.there)} || exit; a=$({kills}); {words}; c=$?; "
            f"""[ "$a" = "$({kills})" ] && m=false || m=true; """
            """echo "{\\"ended\\": $c, \\"memory\\": $m}\""""
        )
        self.session = subprocess.Popen(
            self.host.job_command(script), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        threading.Thread(target=self._live, daemon=True).start()
        if self.asked is not None:
            self._tell(STOP + b"\n")
        assert self.session.stdout is not None
        fetched = rested = time.monotonic()
        open_ = True
        while open_:
            if select.select([self.session.stdout], [], [], 1.0)[0]:
                said = os.read(self.session.stdout.fileno(), 65536)
                open_ = bool(said)
                self._hear(said)
            now = time.monotonic()
            is_due = now - fetched > FETCH_SECONDS and not self.changed.isdisjoint(SOON)
            if self.changed and (is_due or now - rested > REST_SECONDS) and self.code is None:
                names, self.changed = sorted(self.changed), set()
                with suppress(LostError):  # the session will tell
                    fetch(self.host, self.there, self.folder, names, self._end_with_session)
                fetched = rested = time.monotonic()
        self.session.wait()

    def _hear(self, said: bytes) -> None:
        *lines, self.heard = (self.heard + said).split(b"\n")
        for line in lines:
            with suppress(ValueError, TypeError, KeyError):
                message = json.loads(line)
                if "ended" in message:
                    self.code = int(message["ended"])
                    self.out_of_memory = self.code == KILLED and message["memory"] is True
                elif "lease" in message:
                    self.lost = True
                elif "says" in message:
                    # Its folder is here for whoever reads it.
                    print(str(message["says"]).replace(self.there, str(self.folder)), flush=True)
                else:
                    self.changed |= {str(name) for name in message["changed"]}

    def _end_with_session(self, fetching: subprocess.Popen[bytes]) -> None:
        """Where the board has gone, ssh would go on trying for as long again."""
        session = self.session
        assert session is not None

        def watch() -> None:
            while fetching.poll() is None:
                if session.poll() is not None:
                    fetching.kill()
                time.sleep(0.2)

        threading.Thread(target=watch, daemon=True).start()

    def _live(self) -> None:
        while self.session is not None and self.session.poll() is None:
            self._tell(b"\n")
            time.sleep(SIGN_SECONDS)

    def _tell(self, line: bytes) -> None:
        assert self.session is not None
        assert self.session.stdin is not None
        with suppress(OSError):
            os.write(self.session.stdin.fileno(), line)

    def end(self) -> int:
        """Fetch what it has left and clear the board; the exit code."""
        if self.code is None or (self.lost and self.asked is None):
            raise LostError(f"{self.host.name} has gone in mid-job")
        for attempt in range(TRIES):
            try:
                fetch(self.host, self.there, self.folder)
                break
            except LostError:
                if attempt == TRIES - 1:
                    raise
                time.sleep(BETWEEN_SECONDS)
        sweep = shlex.quote(os.path.dirname(self.there))
        self.host.ask(f"rm -rf {shlex.quote(self.there)}; rmdir {sweep} 2>&-; :", seconds=60)
        if self.out_of_memory:
            print("error: killed by the system, which had run out of memory", file=sys.stderr)
            return OUT_OF_MEMORY
        if self.code in EXIT_CODES and self.asked is None:
            raise LostError(f"{self.host.name} has ended the job: it is being shut down, perhaps")
        return self.code


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run one job of a sweep on a board.")
    parser.add_argument("task", type=json.loads)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--memory-limit-mb", type=float)
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args(arguments)
    job = Job(Task(**given.task), given.folder)
    for number in SIGNALS:
        signal.signal(number, job.on_signal)
    signal.signal(signal.SIGUSR1, job.on_give_up)
    end_with(given.parent)
    words = ["--resume"] if given.resume else []
    if given.memory_limit_mb is not None:
        words += ["--memory-limit-mb", str(given.memory_limit_mb)]
    try:
        sweep_partial(given.folder)
        for where in job.bring_data():
            words += ["--where", where]
        send_folder(job.host, given.folder, job.there, names_to_send(given.folder, given.resume))
        job.run(words)
        return job.end()
    except LostError as error:
        return end_saying(error, LOST)
    except InputError as error:
        return end_saying(error, error.exit_code)
    except OSError as error:
        return end_saying(f"{error.filename or given.folder}: {error.strerror}", 1)


def names_to_send(folder: Path, resume: bool) -> list[str]:
    """The job's two files; to resume, all that an earlier start has left, claim included."""
    if not resume:
        return ["job.yaml", "job_overrides.yaml"]
    names = [e.name for e in os.scandir(folder) if e.is_file(follow_symlinks=False)]
    return sorted(name for name in names if not name.startswith(PARTIAL) and name != "stderr.log")


if __name__ == "__main__":
    sys.exit(main())
