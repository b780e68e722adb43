"""Where the jobs of a sweep run: here, on boards that ssh reaches (launcher.boards), at workers of
Dask's (launcher.dask), or on the nodes of an allocation of SLURM's (launcher.srun).

A place says when it is ready and which process on this machine stands for a job: job.py itself, or
there.py, which sends the job, starts, follows and stops it, and fetches what it leaves. That is all
the sweep knows of it.
"""

import json
import os
import platform
import shlex
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from raspitrain.errors import InputError
from raspitrain.paths import expanded
from raspitrain.sweep.board import facts
from raspitrain.sweep.dask import Relay, Worker, check_address
from raspitrain.sweep.data import digest, stamp
from raspitrain.sweep.machine import Machine, computer_of, words_of
from raspitrain.sweep.process import has_finished, own_python, share_cores
from raspitrain.sweep.srun import nodes
from raspitrain.sweep.ssh import ALIVE_SECONDS, NAME, Host
from raspitrain.sweep.there import Task
from raspitrain.sweep.transfer import LostError, fetch

HERE, KEY = "here", "launcher.boards"
LEASE_SECONDS = 30.0  # without a sign of life a job on a board ends
AGAIN_SECONDS = 20.0  # between questions to a board that does not answer
MOST_FAULTS = 3  # of a board's own, such as a full card
MOST_CLOCK_SECONDS = 600.0
LEAST_DISK_MB = 300
PYTHONS = ("raspitrain/.venv/bin/python", sys.executable, "python3")  # from the home folder there
SPREADING = ("boards", "dask", "srun")  # keys of launcher that name places
READ_KEYS = (
    "dataset.path",
    "dataset.annotations",
    "init",
)  # what a job reads from this machine's disk
MANY_LINES = "its shell prints something at every login: see that ssh {host} true prints nothing"

State = Literal["asking", "ready", "away", "out"]


class Here:
    """This machine.

    Attributes
    ----------
    name : None where a sweep has no boards
    kind : what its speeds may be compared with
    """

    state: State = "ready"
    settled = True
    extra_seconds = 0.0

    def __init__(self, num_parallel: int, *, among_boards: bool = False) -> None:
        self.name = HERE if among_boards else None
        self.kind: str | None = facts()["kind"] if among_boards else None
        self.shares = share_cores(num_parallel)

    def look(self) -> list[str]:
        return []

    def close(self) -> None:
        pass


class There:
    """A board.

    Attributes
    ----------
    state : asking: whether it will do; ready; away: it may come back; out: of this sweep for good
    settled : it has answered, or failed to, once
    reason : why it is not ready, a sentence
    owed : jobs by name, and their folders here, of which it may have more than we
    threads : of those it has, how many a job may have; None for its share by num_parallel
    """

    extra_seconds = 60.0  # to fetch what a job leaves, beside what the job takes to end

    def __init__(
        self, host: Machine, python: str | None, num_parallel: int, sweep: str,
        own: Mapping[str, Any], owner: str, threads: int | None = None,
        cleared: "Cleared | None" = None,
    ) -> None:  # fmt: skip
        self.host, self.name, self.num_parallel, self.sweep = host, host.name, num_parallel, sweep
        self.pythons = [python] if python else list(PYTHONS)
        self.threads = threads
        self.cleared = cleared or Cleared()
        self.own, self.owner = own, owner
        self.facts: dict[str, Any] = {}
        self.kind: str | None = None
        self.state: State = "asking"
        self.reason = ""
        self.owed: dict[str, Path] = {}
        self.came_back = self.settled = False
        self.faults = 0
        self._again_at = 0.0
        self._first = True
        self._thread: threading.Thread | None = None
        self._asked: dict[str, Path] = {}
        self._answer: tuple[State, list[str]] | None = None

    @property
    def is_refused(self) -> bool:
        """Whether it is known not to do."""
        return self.state == "out" or (self._answer or ("",))[0] == "out"

    @property
    def computer(self) -> str:
        """The one that it is a place on, beside others perhaps."""
        return computer_of(self.name)

    def ask(self) -> None:
        """Ask it anew whether it will do, without waiting."""
        self.state, self._answer, self._asked = "asking", None, dict(self.owed)
        self._thread = threading.Thread(target=self._prepare, args=(self._asked,), daemon=True)
        self._thread.start()

    def refuse(self, reason: str) -> None:
        """It is known not to do; the next look says so."""
        self.state, self._answer = "asking", ("out", [reason])

    def lose(self, name: str, folder: Path, reason: str) -> None:
        """A job of its has been lost; what it has of it is fetched when it answers."""
        self.owed[name] = folder
        self.leave(reason, again_after=0.0)

    def leave(self, reason: str, again_after: float | None = None) -> None:
        """Give it no more jobs for a while, AGAIN_SECONDS if not said otherwise."""
        self.state, self.reason = "away", reason
        seconds = AGAIN_SECONDS if again_after is None else again_after
        self._again_at = time.monotonic() + seconds

    def fault(self, reason: str) -> None:
        """A job has ended for a reason that lies in the board: a full card, another's job."""
        self.faults += 1
        self.leave(reason)
        if self.faults >= MOST_FAULTS:
            self.state = "out"

    def look(self) -> list[str]:
        """What there is to be said since the last look; the state may be another afterwards."""
        is_busy = self._thread is not None and self._thread.is_alive()
        if self.state == "away" and time.monotonic() > self._again_at and not is_busy:
            self.ask()
        if is_busy or self._answer is None:
            return []
        (state, sentences), self._answer = self._answer, None
        self.settled = True
        if state == "ready":
            self.came_back = True
            self.owed = {k: v for k, v in self.owed.items() if k not in self._asked}
        if self.state != "asking":  # it has lost another job meanwhile
            return []
        self.state = state
        if state == "ready":
            if self.reason:
                sentences = [f"{self.name} is back.", *sentences]
            self.reason = ""
            return sentences
        self._again_at = time.monotonic() + AGAIN_SECONDS
        known, self.reason = self.reason, " ".join(sentences)
        return [] if known == self.reason else sentences

    def command(
        self, folder: Path, slot: int, memory_mb: float | None, resume: bool,
        data: Mapping[str, tuple[str, str]], words_of_job: Sequence[str] = (),
    ) -> list[str]:  # fmt: skip
        task = Task(
            host=self.host.as_values(), python=self.facts["python"], home=self.facts["home"],
            jobs=f"{self.facts['jobs']}/{self.sweep}",
            share=f"{slot}/{self.num_parallel}"
            if self.threads is None
            else f"any/{self.facts['shares']}",
            owner=self.owner, lease=LEASE_SECONDS, data=dict(data),
            rsync=self.host.has_rsync and self.facts["rsync"] and self.own["rsync"],
            words_of_job=list(words_of_job),
        )  # fmt: skip
        words = [*own_python(), "-m", "raspitrain.sweep.there", task.words(), str(folder)]
        words += ["--parent", str(os.getpid())]
        if memory_mb is not None:
            words += ["--memory-limit-mb", str(memory_mb)]
        return [*words, "--resume"] if resume else words

    def asked(self, *words: str) -> Any:
        """What board.py answers there; LostError where nothing does."""
        script = words_of(self.facts["python"], "raspitrain.sweep.board", words)
        answer = self.host.ask(script, seconds=180)
        if not answer.reached:
            raise LostError(self.host.why_unreached(answer.error)[0])
        return json.loads(answer.out)

    def close(self) -> None:
        self.host.close()

    def _prepare(self, owed: Mapping[str, Path]) -> None:
        try:
            self._answer = self._find_out(owed)
        except LostError as error:
            self._answer = "away", [str(error)]
        except Exception as error:  # of a thread nobody would hear
            self._answer = "out", [f"{self.name} cannot be used: {error}."]

    def _find_out(self, owed: Mapping[str, Path]) -> tuple[State, list[str]]:
        """Look at the board, end what is left running there, fetch what is owed."""
        found, sentence, may_pass = ask_facts(self.host, self.pythons, self.threads)
        if found is None:
            return "away" if may_pass else "out", [sentence]
        self.facts, self.kind = found, found["kind"]
        if wrong := self.unfit(found):
            return "out", [wrong]
        if self._first:
            with self.cleared.locks[self.computer]:
                if (folder := (self.computer, found["jobs"])) not in self.cleared.folders:
                    if (reason := self._clear(found, owed, everything=True)) is not None:
                        return "out", [reason]
                    self.cleared.folders.add(folder)
            self._first = False
        elif owed and (reason := self._clear(found, owed, everything=False)) is not None:
            return "out", [reason]
        note = None if self.reason else self.torch_note(found)
        return "ready", [] if note is None else [note]

    def _clear(
        self, found: Mapping[str, Any], owed: Mapping[str, Path], *, everything: bool
    ) -> str | None:
        """End and fetch what the board owes, and the first time, when none of our own runs there,
        end all else of this sweep. Why that may not be, if so."""
        names = [] if everything else list(owed)
        stopped = self.asked("stop", self.sweep, *names)
        if stopped["busy"]:
            return (
                f"{self.name} is at work for this very sweep, and for another coordinator "
                f"({stopped['busy']}): end one of the two."
            )
        jobs = f"{found['jobs']}/{self.sweep}"
        for name in stopped["left"]:
            if name in owed and not has_finished(owed[name]):  # fetched from the worker beside it
                fetch(self.host, f"{jobs}/{name}", owed[name])
        gone = [f"{jobs}/{name}" for name in names] or [jobs]
        self.host.ask(f"rm -rf {shlex.join(gone)}", seconds=60)
        return None

    def torch_note(self, found: Mapping[str, Any]) -> str | None:
        """What is to be said where its torch is another."""
        if found["torch"] == self.own["torch"]:
            return None
        return (
            f"{self.name} has torch {found['torch']}, and here is {self.own['torch']}: its figures "
            "may differ in the last digits."
        )

    def unfit(self, found: Mapping[str, Any]) -> str | None:
        """Why it will not do, with the remedy."""
        if (found["version"], found["source"]) != (self.own["version"], self.own["source"]):
            return (
                f"{self.name} has raspitrain {found['version']} ({found['source']}), and here is "
                f"{self.own['version']} ({self.own['source']}): install the same on both."
            )
        if found["torch"] is None:
            return f"{self.name} has no torch: python -m raspitrain.doctor says there what to do."
        behind = found["clock"] - time.time()
        if abs(behind) > MOST_CLOCK_SECONDS:
            way = "ahead" if behind > 0 else "behind"
            return (
                f"{self.name} has a clock that is {abs(behind) / 3600:.1f} hours {way}: sudo "
                "timedatectl set-ntp true there, and wait until it is right."
            )
        if found["disk_free_mb"] < LEAST_DISK_MB:
            return (
                f"{self.name} has {found['disk_free_mb']} MB of disk left: make room, "
                f"{LEAST_DISK_MB} MB at least."
            )
        if found["cores" if self.threads is None else "shares"] < self.num_parallel:
            return (
                f"{self.name} has {found['cores']} cores for launcher.num_parallel="
                f"{self.num_parallel} jobs at a time: use {found['cores']} at most."
            )
        return None


Place = Here | There


class Cleared:
    """Which folders have been cleared of what an earlier start had left there: once each. Workers
    of one computer may share one, or have homes of their own."""

    def __init__(self) -> None:
        self.folders: set[tuple[str, str]] = set()
        self.locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


class Cluster:
    """Places at Dask's workers, which come and go.

    Raises
    ------
    InputError
        As dask.Relay.
    """

    def __init__(self, address: str, control: str) -> None:
        self.relay = Relay(address, control)
        self.known: dict[str, Mapping[str, Any]] = {}
        self.cleared = Cleared()
        self.own = facts()
        self.again_at = 0.0

    def look(self, places: Sequence[Place], sweep: str, folder: Path) -> list[There]:
        """Workers that have come since the last look, as places; others are told of theirs."""
        if not self.relay.is_running and time.monotonic() > self.again_at:
            self.again_at = time.monotonic() + AGAIN_SECONDS
            self.relay.restart()
        by_name = {place.name: place for place in places if isinstance(place, There)}
        if not self.relay.is_running:
            for known_place in by_name.values():
                if known_place.state == "ready":
                    known_place.leave("Dask's scheduler has gone.")
        found, known = dict(self.relay.places), self.known
        self.known = found
        came = []
        for name, worker in found.items():
            if worker == known.get(name):
                continue
            if (place := by_name.get(name)) is None:
                place = There(
                    Worker(name, self.relay.socket), None, 1, sweep, self.own, owner(folder),
                    cleared=self.cleared,
                )  # fmt: skip
                came.append(place)
            if not worker["address"]:
                place.leave(f"{name} has left the cluster.")
            elif worker["wrong"]:
                place.refuse(f"{name} {worker['wrong']}.")
            else:
                place.pythons, place.threads = [worker["python"]], worker["threads"]
                if place.state in ("out", "away"):
                    place.leave(place.reason, again_after=0.0)
        return came

    def close(self) -> None:
        self.relay.close()


def ask_facts(
    host: Machine, pythons: Sequence[str], threads: int | None = None
) -> tuple[dict[str, Any] | None, str, bool]:
    """What board.facts says there; or None, the reason, and whether waiting may help."""
    tries = " ".join(map(shlex.quote, pythons))
    script = (
        f"for p in {tries}; do "
        'case "$p" in /*) ;; */*) p="$PWD/$p";; esac; '
        'if "$p" -P -c "import raspitrain.sweep.board" >/dev/null 2>&1; '
        'then exec "$p" -P -m raspitrain.sweep.board facts --python "$p"'
        f"{'' if threads is None else f' --threads {threads}'}; fi; done; exit 127"
    )
    answer = host.ask(script, seconds=90)
    if not answer.reached:
        return None, *host.why_unreached(answer.error)
    if answer.code == 127:
        known = f"of {', '.join(pythons)}" if len(pythons) > 1 else f"of {pythons[0]}"
        sentence = (
            f"{host.name} has no raspitrain for sweeps over boards ({known}): install this "
            f"version there, or name its Python: {host.name}:/path/to/python."
        )
        return None, sentence, False
    try:
        found = json.loads(answer.out)
    except ValueError:
        if len(answer.out.splitlines()) > 1:
            return None, f"{host.name} cannot be used: {MANY_LINES.format(host=host.name)}.", False
        lines = answer.error.strip().splitlines() or ["no answer"]
        return None, f"{host.name} cannot be used: {lines[-1]}.", False
    return found, "", False


def split_name(word: str, key: str = KEY) -> tuple[str, str | None]:
    """The host and the Python of a word of launcher.boards, or of another `key`."""
    found = NAME.fullmatch(word)
    if found is None or (found["host"] == HERE and found["python"]):
        raise InputError(
            f"{key}: {word!r} must be here, a host as for ssh, such as pi@pi5a, or "
            "pi@pi5a:/path/to/python (a port stands in ~/.ssh/config)."
        )
    return found["host"], found["python"]


def check_boards(
    boards: Sequence[str], ssh_config: str | None, key: str = KEY
) -> list[tuple[str, str | None]]:
    """Hosts and their Pythons, or InputError: a word is no place, or stands there twice."""
    names = [split_name(word, key) for word in boards]
    hosts = [host for host, _ in names]
    for host in hosts:
        if hosts.count(host) > 1:
            raise InputError(f"{key} names {host} {hosts.count(host)} times: once will do.")
    if not hosts:
        raise InputError(f"{key} names no place: give one, or null for this machine.")
    if ssh_config is not None and not expanded(ssh_config).is_file():
        section = key.split(".")[0]
        raise InputError(f"{section}.ssh_config={ssh_config}: there is no such file.")
    return names


def is_spread(launcher: Mapping[str, Any]) -> bool:
    """Whether a sweep goes to places other than this machine."""
    return any(launcher.get(key) not in (None, False) for key in SPREADING)


def check_places(launcher: Mapping[str, Any]) -> None:
    """InputError: what the launcher says of them cannot be, or there is more than one answer."""
    given = [key for key in SPREADING if launcher.get(key)]
    if len(given) > 1:
        names = " and ".join(f"launcher.{key}" for key in given)
        raise InputError(f"{names} say both who does the work: give one of them.")
    if launcher.get("boards") is not None:
        check_boards(launcher["boards"], launcher.get("ssh_config"))
    if launcher.get("dask") is not None:
        check_address(launcher["dask"])
        if launcher["num_parallel"] != 1:
            raise InputError(
                "launcher.num_parallel is for boards; a worker of Dask's takes one job at a time: "
                f"start dask worker with --nworkers {launcher['num_parallel']} instead."
            )
    if launcher.get("srun"):
        for node in nodes():
            if node.cores < launcher["num_parallel"]:
                raise InputError(
                    f"launcher.num_parallel={launcher['num_parallel']} is more than the "
                    f"{node.cores} cores that are allocated on {node.name}."
                )


def make_places(
    boards: Sequence[str] | None, num_parallel: int, ssh_config: str | None, sweep: str,
    control: str, folder: Path, *, key: str = KEY, alive: int = ALIVE_SECONDS, srun: bool = False,
) -> list[Place]:  # fmt: skip
    """The places of a sweep, in the order given; boards are being asked when this returns.

    Raises
    ------
    InputError
        As `check_boards`; or more jobs at a time than cores here.
    """
    if srun:
        own, cleared = facts(), Cleared()
        return [
            There(
                node, None, num_parallel, sweep, own, owner(folder), node.cores // num_parallel,
                cleared,
            )
            for node in nodes()
        ]  # fmt: skip
    if boards is None:
        return [Here(num_parallel)]
    names = check_boards(boards, ssh_config, key)
    config = None if ssh_config is None else str(expanded(ssh_config).absolute())
    own = facts()
    places: list[Place] = []
    for host, python in names:
        if host == HERE:
            places.append(Here(num_parallel, among_boards=True))
            continue
        reached = Host(host, config, control, alive)
        places.append(There(reached, python, num_parallel, sweep, own, owner(folder)))
    return places


def owner(folder: Path) -> str:
    """Whose jobs these are, for others on a board."""
    return f"process {os.getpid()} on {platform.node()}, {folder}"


class Data:
    """What the jobs of a sweep read, by content: one sweep reads the same from its first job to its
    last, or says so."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[str, str]] = {}  # path → its digest and stamp

    def of(self, config: str) -> dict[str, tuple[str, str]]:
        """Key → (digest, path) of whatever a job with this configuration reads.

        Raises
        ------
        InputError
            It has changed since the sweep began.
        """
        import yaml

        values = yaml.load(config, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        found = {}
        for key in READ_KEYS:
            value: Any = values
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if not isinstance(value, str) or not value:
                continue
            path = expanded(value).absolute()
            if not path.exists():
                continue  # the job will say so
            now = stamp(path)
            if str(path) not in self.known:
                self.known[str(path)] = digest(path), now
            elif self.known[str(path)][1] != now:
                raise InputError(
                    f"{key}={value} has changed since the sweep began, and jobs before and after "
                    "would not compare: the same command goes on with it as it is now, another "
                    "sweep_name begins anew."
                )
            found[key] = self.known[str(path)][0], str(path)
        return found
