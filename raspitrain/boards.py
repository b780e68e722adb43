"""One model by several boards that ssh reaches (distributed.boards).

    begin(cfg, folder, overrides)
    go_on(folder, ["distributed.boards=[pi@pi5a,pi@pi5b]", "epochs=200"])

This process starts a rank on each board, shows what rank 0 says, has the run's files come into the
folder here, and ends all at a Ctrl-C. Where a rank is killed it starts all of them again from the
last checkpoint, to the same bit; where a board is gone the others go on without it, and with it
when it is back.
"""

import json
import os
import secrets
import shlex
import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from raspitrain.distributed.launch import FIRST_PORT, NUM_PORTS, Launch, check_address
from raspitrain.errors import InputError, TemporaryError, UnwrittenError, printable
from raspitrain.paths import absolute
from raspitrain.results.atomic import atomic_path, write_atomic
from raspitrain.results.files import LAST, OF_A_RUN, OTHERS, PREVIOUS, SWEEP_CLAIM
from raspitrain.results.folder import check_no_links
from raspitrain.results.json_file import write_json
from raspitrain.stop import EXIT_CODES, SIGNALS, say, signals_go_to
from raspitrain.sweep.job import FILE, OVERRIDES
from raspitrain.sweep.lease import GAVE_UP
from raspitrain.sweep.lock import lock
from raspitrain.sweep.places import Data, Here, Place, There, make_places
from raspitrain.sweep.process import (
    GRACE_SECONDS,
    LOST,
    STDERR,
    JobProcess,
    Limits,
    end_all,
    job_command,
    wait_any,
    written,
)
from raspitrain.sweep.record import ID_FILE, sweep_id

if TYPE_CHECKING:
    from omegaconf import DictConfig

KEY, CONFIG_KEY = "distributed.boards", "distributed.ssh_config"
# Between ssh's questions: what is silent is given up within eight seconds. A board that lives has
# six of them to answer the first; with load 15 on two cores and three writers on its disk it took
# 2.4.
ALIVE_SECONDS = 2
NOTICE_SECONDS = 3.0  # that ranks have to end by themselves once one of them has
LOOK_SECONDS = 0.2
BACK_SECONDS = 2.0  # that a start waits for a board whose connection alone may be gone
START_SECONDS = 20.0  # and the first start of a run that goes on
ALONE_SECONDS = 600.0  # without any board at all
MOST_STARTS = 5  # without a new checkpoint
MOST_KILLED = 4  # ranks on one board without one, after which it is left out
MOST_LOST = 5  # times that a board may go and come back
OURS = (FILE, OVERRIDES, STDERR, SWEEP_CLAIM, ID_FILE)


class BoardsEnd(SystemExit):
    """A run over boards was stopped, or has failed; `code` is the command's exit code."""


@dataclass
class Rank:
    """One that runs.

    Attributes
    ----------
    folder : for rank 0 the run's, for others a scratch one
    """

    place: Place
    folder: Path
    process: JobProcess

    gave_up: bool = False

    @property
    def code(self) -> int:
        """Its exit code, once it has ended."""
        code = int(self.process.process.returncode)
        return GAVE_UP if self.gave_up and code == -signal.SIGKILL else code

    @property
    def reason(self) -> str:
        return self.process.verdict()[1] or f"its process has ended with {self.code}"

    def give_up(self) -> None:
        """End it at once: it waits for others that are gone."""
        self.gave_up = True
        self.process.send(signal.SIGUSR1 if isinstance(self.place, There) else signal.SIGKILL)


def begin(cfg: "DictConfig", folder: Path, overrides: Sequence[str]) -> None:
    """Train what `cfg` describes on the boards that it names.

    Parameters
    ----------
    cfg : composed and checked; what `auto` stands for is each board's own business
    folder : of the run, here; nothing of a run is in it
    overrides : the words of the command line

    Raises
    ------
    InputError
        A board will not do, or the run is refused; nothing has been written then.
    BoardsEnd
        It has not come to its end.
    """
    from omegaconf import OmegaConf

    if cfg.task != "train":
        raise InputError(f"task={cfg.task} measures one board: leave out {KEY}.")
    in_the_way = [n for n in (*OF_A_RUN, *OTHERS) if os.path.lexists(folder / n)]
    if in_the_way:
        raise InputError(
            f"{folder} already holds a run ({in_the_way[0]}); give another hydra.run.dir, or "
            f"resume={folder}"
        )
    sent = cfg.copy()
    boards, ssh_config = list(cfg.distributed.boards), cfg.distributed.ssh_config
    OmegaConf.update(sent, KEY, None)
    OmegaConf.update(sent, CONFIG_KEY, None)
    OmegaConf.update(sent, "distributed.any_number", True)
    OverBoards(
        folder, OmegaConf.to_yaml(sent, resolve=True), overrides, boards, ssh_config,
        cfg.distributed.public_address,
    ).to_the_end()  # fmt: skip


def go_on(folder: Path, words: Sequence[str]) -> None:
    """Resume the run in `folder` on the boards that the words name.

    Parameters
    ----------
    words : "key=value" as beside any resume=, distributed.boards among them

    Raises
    ------
    InputError, BoardsEnd
        As `begin`.
    """
    from omegaconf import OmegaConf

    from raspitrain.config.overrides import ALLOWING, read_override
    from raspitrain.config.profile import profile_values
    from raspitrain.run.stored import check_holds_run

    check_holds_run(folder)
    own = dict(map(read_override, words))
    boards, ssh_config = own.pop(KEY), own.pop(CONFIG_KEY, None)
    if not OmegaConf.is_list(boards):
        raise InputError(f"{KEY} must be a list of hosts, such as [pi@pi5a,pi@pi5b].")
    given = [w for w in words if not w.startswith((f"{KEY}=", f"{CONFIG_KEY}="))]
    cfg, overrides = _stored(folder)
    # What a folder allows itself counts for nothing.
    for key, safe in zip(ALLOWING, ([], profile_values("auto")["readings.vcgencmd"]), strict=True):
        OmegaConf.update(cfg, key, safe)
    if not any(word.startswith("distributed.any_number=") for word in given):
        given.append("distributed.any_number=true")
    if "dataset.path" in own:
        OmegaConf.update(cfg, "dataset.path", own["dataset.path"])
        given = [word for word in given if not word.startswith("dataset.path=")]
    public = own.get("distributed.public_address", cfg.distributed.public_address) is True
    OverBoards(
        folder, OmegaConf.to_yaml(cfg), overrides, list(map(str, boards)), ssh_config, public,
        given,
    ).to_the_end()  # fmt: skip


def _stored(folder: Path) -> "tuple[DictConfig, list[str]]":
    """The configuration of a run, with the paths of this machine, and its words."""
    from omegaconf import DictConfig

    from raspitrain.config.composition import load_checked

    name = FILE if (folder / FILE).is_file() else "config.yaml"  # it began without boards
    check_no_links(folder, (*OURS, "config.yaml", "overrides.yaml"))
    try:
        cfg, overrides = load_checked(folder / name), load_checked(folder / "overrides.yaml")
        assert isinstance(cfg, DictConfig)
        return cfg, [str(word) for word in overrides]
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{folder / name} cannot be read ({printable(str(error))}): it says which data the "
            "boards need."
        ) from error


class OverBoards:
    """A run on boards, from its first start to its end.

    Parameters
    ----------
    folder : the run's, here
    config, overrides : of the run, as YAML and as words
    boards, ssh_config, public : as the keys of `distributed`
    given : words that change a run which goes on
    """

    def __init__(
        self, folder: Path, config: str, overrides: Sequence[str], boards: Sequence[str],
        ssh_config: str | None, public: bool, given: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.folder, self.config, self.overrides = absolute(folder), config, list(overrides)
        self.boards, self.ssh_config, self.given = list(boards), ssh_config, list(given)
        self.public = public
        self.places: list[Place] = []
        self.ranks: list[Rank] = []
        self.data: dict[str, tuple[str, str]] = {}  # what it reads, as Data tells it
        self.stopped_by: int | None = None
        self.rejoins = False  # ranks are asked to end, as a board is back
        self.why = ""  # the latest start
        self.checkpoint: int | None = None  # when the one was written that it began from
        self.starts = 0  # from that one
        self.num_killed: dict[str | None, int] = {}  # since then, by place
        self.num_lost: dict[str | None, int] = {}  # by place
        self.shown = 0  # bytes of what rank 0 has printed on standard error
        self.takes_owed = True  # whether nobody has gone on since boards were lost
        self.lock: int | None = None

    def to_the_end(self) -> None:
        """Start ranks, and start them again, until the run has ended."""
        if {"RANK", "WORLD_SIZE"} <= set(os.environ):
            raise InputError(
                f"{KEY} starts a rank on each board by itself: leave out torchrun, srun or mpirun."
            )
        with ExitStack() as stack:
            try:
                self._open(stack)
                self._gather(first=True)
                while self.stopped_by is None:
                    self._start()
                    self._follow()
                    if not self._goes_on():
                        break
                    self._gather()
            finally:
                end_all([rank.process for rank in self.ranks])
                self._leave_nothing_of_a_run_that_never_began()
        if self.stopped_by is not None:
            say("interrupted")
            raise BoardsEnd(128 + self.stopped_by)

    def _open(self, stack: ExitStack) -> None:
        # A socket's path has room for a hundred letters.
        control, scratch = (
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="raspitrain-", ignore_cleanup_errors=True)
            )
            for _ in range(2)
        )
        self.scratch = Path(scratch)
        places = make_places(
            self.boards, 1, self.ssh_config, "", control, self.folder, key=KEY, alive=ALIVE_SECONDS
        )
        self.lock = stack.enter_context(
            lock(self.folder, wait_seconds=GRACE_SECONDS, what="run", key="hydra.run.dir")
        )
        self.places = places
        own = sweep_id(self.folder)
        for place in places:
            stack.callback(place.close)
            if isinstance(place, There):
                place.sweep = own
                self._owes(place)
                place.ask()
        self.data = Data().of(self.config)
        stack.enter_context(self._passing_signals_on())

    def _owes(self, place: There) -> None:
        """When it answers, what it has of the run is fetched, beside what there is here."""
        beside = self._beside(place)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        place.owed[self.folder.name] = beside

    def _beside(self, place: Place) -> Path:
        return self.scratch / f"owed{self.places.index(place)}"

    def _gather(self, *, first: bool = False) -> None:
        """Wait for boards that may do; all of them where a run is to begin.

        Raises
        ------
        InputError, TemporaryError
            None will do, or not all.
        """
        began = time.monotonic()
        needs_all = not self._can_be_resumed()
        patience = START_SECONDS if first else BACK_SECONDS
        while self.stopped_by is None:
            self._look()
            states = [place.state for place in self.places]
            waited = time.monotonic() - began
            if needs_all and "asking" not in states:
                missing = [place for place in self.places if place.state != "ready"]
                if not missing:
                    return
                why = " ".join(self._reason(place) for place in missing)
                kind = InputError if any(p.state == "out" for p in missing) else TemporaryError
                raise kind(f"{why} Leave it out of {KEY}, or give the same command again.")
            waits = ("asking" in states or "away" in states) and waited < patience
            if not needs_all and "ready" in states and not waits:
                return
            if set(states) == {"out"} or waited > ALONE_SECONDS:
                why = " ".join(map(self._reason, self.places))
                raise TemporaryError(f"no board will do: {why} {self._how_to_go_on()}")
            time.sleep(LOOK_SECONDS)

    def _reason(self, place: Place) -> str:
        return place.reason if isinstance(place, There) else ""

    def _look(self) -> None:
        for place in self.places:
            for sentence in place.look():
                say(sentence)

    def _can_be_resumed(self) -> bool:
        return any((self.folder / name).is_file() for name in (LAST, PREVIOUS))

    def _how_to_go_on(self) -> str:
        if not self._can_be_resumed():
            return "Give the same command again."
        words = ["python", "-m", "raspitrain", f"resume={self.folder}", *self._again()]
        return f"The run goes on from its last checkpoint with: {shlex.join(words)}"

    def _again(self) -> list[str]:
        words = [f"{KEY}=[{','.join(self.boards)}]"]
        return words if self.ssh_config is None else [*words, f"{CONFIG_KEY}={self.ssh_config}"]

    def _start(self) -> None:
        """A rank on each board that is ready, in the order given."""
        if self.takes_owed:
            self._take_what_is_owed()
        self.takes_owed = False
        places = [place for place in self.places if place.state == "ready"]
        resumes = self._can_be_resumed()
        address, port = self._meeting(places)
        self._count_start()
        if self.why:
            names = ", ".join(str(place.name) for place in places)
            self.why += f"; {len(places)} of {len(self.places)} boards go on: {names}"
            say(self.why)
        self.shown, self.rejoins = 0, False
        for number, place in enumerate(places):
            folder = self.folder if number == 0 else self._scratch_of(number)
            write_atomic(folder / FILE, self.config.encode("utf-8", "backslashreplace"))
            write_json(folder / OVERRIDES, self.overrides)
            words = ["--rank", f"{number}/{len(places)}", "--meet", f"{address}:{port}"]
            words += ["--again", json.dumps(self._again())]
            if resumes:
                words += [f"--given={word}" for word in self.given]
                words += [f"--why={self.why}"]
            if isinstance(place, There):
                command = place.command(folder, 0, None, resumes, self.data, words)
            else:
                command = [*job_command(folder, Limits(None, None), resumes), *words]
            process = JobProcess(
                command,
                folder,
                # On this machine, a bar of rank 0's would lie over what we say.
                os.environ | {"TERM": "dumb"},
                timeout=None,
                grace_seconds=GRACE_SECONDS + place.extra_seconds,
                inherit=() if self.lock is None else (self.lock,),
                shows=number == 0,
            )
            self.ranks.append(Rank(place, folder, process))
            if self.stopped_by is not None:  # it came meanwhile
                process.end(self.stopped_by)

    def _count_start(self) -> None:
        checkpoint = written(self.folder / LAST)
        if checkpoint != self.checkpoint:
            self.starts = 0
            self.num_killed.clear()
        self.checkpoint = checkpoint
        self.starts += 1

    def _scratch_of(self, number: int) -> Path:
        folder = self.scratch / f"rank{number}"
        folder.mkdir(exist_ok=True)
        return folder

    def _take_what_is_owed(self) -> None:
        """A checkpoint that a board has written and we have not seen."""
        for place in self.places:
            beside = self._beside(place)
            if not isinstance(place, There) or not (beside / LAST).is_file():
                continue
            if _step(beside) > _step(self.folder):
                names = sorted(
                    (e.name for e in os.scandir(beside) if e.is_file(follow_symlinks=False)),
                    key=lambda name: (name == LAST, name),
                )
                for name in names:
                    with atomic_path(self.folder / name) as partial:
                        shutil.copyfile(beside / name, partial)
            shutil.rmtree(beside)
            beside.mkdir()

    def _meeting(self, places: Sequence[Place]) -> tuple[str, int]:
        """Where the ranks meet: the first board's address, as ssh has reached it, and a port, at
        every start another."""
        port = FIRST_PORT + secrets.randbelow(NUM_PORTS)
        first = places[0]
        if len(places) == 1:
            return "127.0.0.1", port
        asked = next(place for place in places if isinstance(place, There))
        address = asked.facts["connection"]["board" if asked is first else "coordinator"]
        if not address:
            raise InputError(f"{first.name} does not say by which address ssh reaches it.")
        check_address(Launch(0, len(places), None, address, port), public=self.public)
        return address, port

    def _follow(self) -> None:
        """Until all ranks have ended; where one has ended badly, the others are made to."""
        failed_at: float | None = None
        given_up = False
        while running := [rank for rank in self.ranks if not rank.process.poll()]:
            self._show_errors()
            wait_any([rank.process for rank in running], LOOK_SECONDS)
            self._look()
            is_asked = self.stopped_by is not None or self.rejoins
            if not is_asked and failed_at is None and self._is_somebody_back():
                self.rejoins = True
                for rank in running:
                    rank.process.end(signal.SIGTERM)
            codes = {rank.code for rank in self.ranks if rank not in running} - {0}
            codes -= set(EXIT_CODES) if is_asked else set()
            if not codes or given_up:
                continue
            failed_at = failed_at or time.monotonic()
            if LOST in codes or time.monotonic() - failed_at > NOTICE_SECONDS:
                given_up = True
                for rank in running:
                    rank.give_up()
        self._show_errors()

    def _is_somebody_back(self) -> bool:
        at_work = [rank.place for rank in self.ranks]
        return any(place.state == "ready" and place not in at_work for place in self.places)

    def _show_errors(self) -> None:
        """What rank 0 prints on standard error, but for its last words: those are ours to say."""
        with suppress(OSError), open(self.folder / STDERR, "rb") as file:
            file.seek(self.shown)
            whole, newline, _ = file.read().rpartition(b"\n")
            self.shown += len(whole) + len(newline)
            for line in whole.decode("utf-8", "replace").splitlines():
                if line.strip() and not line.startswith("error: ") and line != self.why:
                    say(line)

    def _goes_on(self) -> bool:
        """Whether a run whose ranks have all ended is to be started again.

        Raises
        ------
        InputError, UnwrittenError
            It is refused; or its results could not be written.
        BoardsEnd
            It has failed.
        """
        ranks, self.ranks = self.ranks, []
        if self.stopped_by is not None:
            return False
        if not any(rank.code for rank in ranks):
            with suppress(OSError):
                (self.folder / STDERR).unlink()
            return False
        for rank in ranks:
            if rank.code == InputError.exit_code:
                raise InputError(rank.reason)
            if rank.code == UnwrittenError.exit_code:
                raise UnwrittenError(rank.reason)
            if rank.code == 1:
                for line in rank.process.log_tail():
                    say(line)
                raise BoardsEnd(1)
        self.takes_owed = all(rank.code == LOST for rank in ranks)
        whys = [self._why(rank) for rank in ranks]
        self.why = "; ".join(why.rstrip(".") for why in whys if why)
        if self.rejoins:
            self.why = self.why or "a board is back"
        elif not self.why:
            self.why = f"the boards have lost each other ({ranks[0].reason.rstrip('.')})"
        if self.starts >= MOST_STARTS:
            raise TemporaryError(
                f"{self.why}: those were {MOST_STARTS} starts without a new checkpoint. "
                f"{self._how_to_go_on()}"
            )
        return True

    def _why(self, rank: Rank) -> str:
        """Why a rank has ended, where that lies in it or its board; its place may be another
        afterwards."""
        place, code = rank.place, rank.code
        if code in (0, GAVE_UP) or (self.rejoins and code in EXIT_CODES):
            return ""
        if isinstance(place, Here):
            if code in EXIT_CODES:
                raise BoardsEnd(code)  # somebody on this machine has asked for it
            if code == TemporaryError.exit_code:
                raise TemporaryError(rank.reason)
            return f"{place.name}: {rank.reason}"
        if code == LOST or code < 0:
            # Cleared there when it answers; nobody reads what that brings here, but for rank 0's.
            place.lose(rank.folder.name, self._scratch_of(-1), rank.reason)
            self._owes(place)
            self.num_lost[place.name] = self.num_lost.get(place.name, 0) + 1
            if self.num_lost[place.name] >= MOST_LOST:
                place.state = "out"
            return rank.reason
        if code == TemporaryError.exit_code:
            place.fault(rank.reason)
        else:
            self.num_killed[place.name] = self.num_killed.get(place.name, 0) + 1
            if self.num_killed[place.name] >= MOST_KILLED:
                place.state, place.reason = "out", f"{place.name}: {rank.reason}"
        return f"{place.name}: {rank.reason}"

    def _leave_nothing_of_a_run_that_never_began(self) -> None:
        if self.lock is not None and not any(
            os.path.lexists(self.folder / name) for name in OF_A_RUN
        ):
            for name in OURS:
                with suppress(OSError):
                    (self.folder / name).unlink()

    def _passing_signals_on(self) -> AbstractContextManager[None]:
        """A Ctrl-C ends all ranks, cleanly; a second one kills what stands for them here."""

        def pass_on(number: int, frame: FrameType | None) -> None:
            if self.stopped_by is None:
                self.stopped_by = number
            for rank in self.ranks:
                rank.process.end(number)

        return signals_go_to(dict.fromkeys(SIGNALS, pass_on))


def _step(folder: Path) -> int:
    """Of the checkpoint in it; -1 where there is none that can be read."""
    from raspitrain.results.checkpoint import load_checkpoint

    try:
        return int(load_checkpoint(folder / LAST)["step"])
    except (InputError, KeyError, TypeError, ValueError):
        return -1
