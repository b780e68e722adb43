"""Run the jobs of a sweep: those that have not finished, one after another or a few at a time."""

import os
import shlex
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from raspitrain.errors import (
    InputError,
    TemporaryError,
    UnwrittenError,
    input_error,
    reason,
    remedy,
)
from raspitrain.results.atomic import write_atomic
from raspitrain.results.files import CLAIM, OF_A_RUN, OTHERS
from raspitrain.results.folder import make_folder
from raspitrain.results.json_file import write_json
from raspitrain.results.summary import FINISHED, PRUNED
from raspitrain.results.table import last_row
from raspitrain.stop import SIGNALS, signals_go_to
from raspitrain.sweep.job import FILE, OVERRIDES
from raspitrain.sweep.lock import lock
from raspitrain.sweep.machine import computer_of
from raspitrain.sweep.places import (
    Cluster,
    Data,
    Here,
    Place,
    There,
    check_places,
    is_spread,
    make_places,
)
from raspitrain.sweep.process import (
    GRACE_SECONDS,
    JobProcess,
    Limits,
    end_all,
    job_command,
    read_summary,
    share_cores,
    wait_any,
)
from raspitrain.sweep.queue import SURELY_OVER_SECONDS, in_order, may_run, said_length, slots
from raspitrain.sweep.record import (
    SweepJob,
    SweepRecord,
    can_be_resumed,
    check_same_keys,
    earlier_rows,
    now,
    read_record,
    recall,
    set_aside,
    sweep_id,
)
from raspitrain.sweep.screen import SweepScreen, figures

ALONE_SECONDS = 600.0  # that a sweep waits for a board where it has no other place
MOST_LOST = 3  # times that a job may be lost with its place
BY_CHANCE = {"seed", "split.fold"}  # keys whose values no refusal of the data depends on
LOOK_SECONDS = 0.5  # between looks at the running jobs

OnPoll = Callable[[SweepJob], str | None]
Ask = Callable[[], SweepJob | None]
Tell = Callable[[SweepJob], None]
Command = Callable[[Path, Limits, bool], Sequence[str]]


class SweepEnd(SystemExit):
    """A sweep was stopped, or not every job has finished; `code` is the command's exit code."""


class SweepRun:
    """A sweep in its folder, from the first job to the last.

        with SweepRun(sweep, launcher) as sweep_run:
            sweep_run.run(jobs)

    Parameters
    ----------
    sweep : its `jobs` grow with each call of `run`
    launcher : the keys of the configuration's `launcher`
    keep_earlier : take over the jobs of an earlier start that this one does not ask for, as a
        search does, whose jobs come one by one
    on_poll : asked about each running job every second or so, and once more when it has finished;
        a reason ends the job as pruned
    make_command : what to start in a job's folder on this machine, with which limits, and whether
        to resume from its checkpoint; job.py if None
    """

    def __init__(
        self,
        sweep: SweepRecord,
        launcher: Mapping[str, Any],
        *,
        keep_earlier: bool = False,
        on_poll: OnPoll | None = None,
        make_command: Command | None = None,
        grace_seconds: float = GRACE_SECONDS,
        stream: TextIO | None = None,
    ) -> None:
        self.sweep = sweep
        self.launcher = launcher
        self.keep_earlier = keep_earlier
        self.on_poll = on_poll
        self.make_command = make_command
        self.grace_seconds = grace_seconds
        self.stream = stream
        # In all, where they are asked for one by one, and those of them that an earlier start told.
        self.num_jobs = self.num_told = 0
        self.ask: Ask | None = None
        self.tell: Tell | None = None
        self.twins: list[tuple[SweepJob, SweepJob]] = []  # of a running job, one with its values
        self.record: dict[str, Any] | None = None
        self.lock: int | None = None
        self.is_spread = False  # over places other than this machine
        self.id = ""  # by which they know it
        self.control = ""  # folder for the sockets of shared connections
        self.cluster: Cluster | None = None
        self.places: list[Place] = []
        self.slots: list[tuple[Place, int]] = []  # a place, and which of its jobs at a time
        self.data = Data()
        self.running: dict[int, tuple[SweepJob, JobProcess]] = {}  # by slot
        self.lost: dict[int, int] = {}  # job's number → how often it was lost with its place
        self.held: dict[int, float] = {}  # … → until when it may still be running elsewhere
        self.alone_since: float | None = None  # no place has been ready
        self.boards_asked = False
        # Numbers of jobs: that went on from a checkpoint, and that may not again.
        self.resumed: set[int] = set()
        self.begun_anew: set[int] = set()
        self.stopped_by: int | None = None
        self.gave_up: str | None = None  # what it ended for before its time
        self._open = ExitStack()

    def __enter__(self) -> "SweepRun":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Others may have the folder from now on."""
        self._open.close()

    def run(
        self, jobs: Sequence[SweepJob], ask: Ask | None = None, tell: Tell | None = None
    ) -> None:
        """Run those of `jobs` that have not finished yet; what becomes of them is in each.

        Parameters
        ----------
        ask : called for another job whenever a place is free, until it gives None
        tell : called with each of these that has ended, before `ask` is called again

        Raises
        ------
        InputError
            The folder is another sweep's, or in use. Nothing has been touched then.
        UnwrittenError
            The card is full or broken; the jobs that ran have been ended.
        """
        self.claim()
        self._open_places()
        self.ask, self.tell = ask, tell
        for job in jobs:
            recall(job, self.record)
        order = in_order(jobs, shuffle=self.launcher["shuffle"])
        if len(self.slots) > 1:  # a long one that begins last keeps the other places waiting
            order.sort(key=said_length, reverse=True)
        repeat = self.launcher["repeat_first"]
        if len(jobs) > 1 and (self.sweep.task == "throughput" if repeat == "auto" else repeat):
            first = min(order, key=said_length)
            again = SweepJob(
                len(jobs), first.folder.with_name(f"{first.name},repeat"), first.overrides,
                first.values, first.config, first.environment, repeat_of=first.number,
            )  # fmt: skip
            recall(again, self.record)
            order = [first, *(job for job in order if job is not first), again]
            jobs = [*jobs, again]
        known = {job.name for job in jobs}
        self.sweep.jobs = [*(j for j in self.sweep.jobs if j.name not in known), *jobs]
        self.sweep.finished = None
        self.sweep.write()

        waiting = [job for job in order if not job.finished]
        for job in waiting:
            self._hold(job)
        if not self.boards_asked:
            self.boards_asked = True
            self._ask(self.places)
        there = {job.name for job in self.sweep.jobs}
        there |= {str(row.get("name")) for row in self.sweep.earlier}
        num_jobs = max(len(there), self.num_jobs)
        to_run = num_jobs - self.num_told if ask else len(waiting) + num_jobs - len(there)
        with (
            SweepScreen(num_jobs, to_run, len(self.slots), self.stream) as screen,
            self._passing_signals_on(),
        ):
            if len(waiting) < len(jobs):
                done = len(jobs) - len(waiting)
                screen.say(f"{done} of {len(jobs)} jobs finished on an earlier start")
            if left := self._not_asked_for():
                screen.say(
                    f"jobs of an earlier start that are no part of this one: {len(left)}, "
                    f"{left[0]} for example; their folders stay"
                )
            try:
                while (
                    (waiting or self.ask) and not self.stopped_by and not self.gave_up
                ) or self.running:
                    self._look_at_places(waiting, screen)
                    self._start(waiting, screen)
                    wait_any([process for _, process in self.running.values()], LOOK_SECONDS)
                    self._look(screen, waiting)
            except OSError as error:
                self._end_all()
                then = remedy(error, "give the same command again", link=", and ")
                raise UnwrittenError(
                    f"{error.filename or self.sweep.folder}: {reason(error)}; the jobs that have "
                    f"finished keep their results: {then}."
                ) from error
            except BaseException:
                self._end_all()
                raise
        is_whole = ask is None and all(job.finished for job in jobs)
        if is_whole or not (self.stopped_by or self.gave_up):
            self.sweep.finished = now()
        self.sweep.write()

    def claim(self) -> None:
        """The folder is ours from now on; the first call makes it, once it is known that there is
        somebody to do the work."""
        if self.lock is not None:
            return
        check_places(self.launcher)
        self.is_spread = is_spread(self.launcher)
        if self.is_spread:
            # Not in the sweep's folder: a socket's path has room for a hundred letters.
            self.control = self._open.enter_context(
                tempfile.TemporaryDirectory(prefix="raspitrain-", ignore_cleanup_errors=True)
            )
        else:
            share_cores(self.launcher["num_parallel"])
        if (scheduler := self.launcher.get("dask")) is not None:
            self.cluster = Cluster(scheduler, self.control)
            self._open.callback(self.cluster.close)
        folder = self.sweep.folder
        check_same_keys(read_record(folder), self.sweep.swept, folder)
        try:
            make_folder(folder)
            self.lock = self._open.enter_context(lock(folder, wait_seconds=self.grace_seconds + 10))
        except OSError as error:
            raise input_error(
                f"{folder} cannot be written ({reason(error)}): "
                f"{remedy(error, 'give another sweep_name or hydra.sweep.dir')}.",
                error,
            ) from error
        self.record = read_record(folder)  # again: until now it could change
        if self.record is not None:
            if self.keep_earlier:
                self.sweep.earlier = earlier_rows(self.record)
            self.sweep.started = str(self.record.get("started") or self.sweep.started)

    def _not_asked_for(self) -> list[str]:
        if self.record is None or self.keep_earlier:
            return []
        known = {job.name for job in self.sweep.jobs}
        rows = earlier_rows(self.record)
        return [name for row in rows if (name := str(row.get("name"))) not in known]

    def _open_places(self) -> None:
        """Once a sweep: who is to do the work."""
        if self.places:
            return
        folder = self.sweep.folder
        self.id = sweep_id(folder) if self.is_spread else ""
        if self.cluster is None:
            self.places = make_places(
                self.launcher.get("boards"), self.launcher["num_parallel"],
                self.launcher.get("ssh_config"), self.id, self.control, folder,
                srun=self.launcher.get("srun", False),
            )  # fmt: skip
            for place in self.places:
                self._open.callback(place.close)
        else:
            self.places = [*self.cluster.look([], self.id, folder)]
        self.slots = slots(self.places, self.launcher["num_parallel"])

    def _place_named(self, name: str | None) -> Place | None:
        return next((place for place in self.places if place.name == name), None)

    def _hold(self, job: SweepJob) -> None:
        """A job of an earlier start may still be running where that had begun it."""
        computer = computer_of(job.host)
        if any(isinstance(p, There) and p.computer == computer for p in self.places):
            self.held[job.number] = time.monotonic() + SURELY_OVER_SECONDS

    def _ask(self, places: Sequence[Place]) -> None:
        """Whether they will do; what they know more of comes with the answer."""
        for place in places:
            if isinstance(place, There) and not place.is_refused:
                place.owed = self._owed(place)
                place.ask()

    def _owed(self, place: There) -> dict[str, Path]:
        """Jobs of an earlier start that a board may know more of, whether or not they have been
        asked for yet: a search comes to them one by one."""
        owed = {}
        for row in earlier_rows(self.record or {}):
            name, status = str(row.get("name")), row.get("status")
            folder = self.sweep.folder / name
            is_there = computer_of(row.get("host")) == place.computer
            if not is_there or status in (*FINISHED, PRUNED):
                continue
            if Path(name).name == name and folder.is_dir() and not folder.is_symlink():
                owed[name] = folder
        return owed

    def _look_at_places(self, waiting: list[SweepJob], screen: SweepScreen) -> None:
        if self.cluster is not None:
            came = self.cluster.look(self.places, self.id, self.sweep.folder)
            self.places += came
            self.slots += slots(came, 1)
            self._ask(came)
        for place in self.places:
            for sentence in place.look():
                screen.say(sentence)
            if isinstance(place, There) and place.came_back:
                place.came_back = False
                for job in [job for job in waiting if computer_of(job.host) == place.computer]:
                    # It may have finished there, and nobody has heard of it.
                    recall(job, None)
                    if job.finished:
                        waiting.remove(job)
                        self._ended(job, screen)
        self._keep_to_one_kind(screen)
        states = {place.state for place in self.places}
        if self.running or "ready" in states:
            self.alone_since = None
            return
        if self.alone_since is None:
            self.alone_since = time.monotonic()
        patience = time.monotonic() - self.alone_since > ALONE_SECONDS
        if states == {"out"} or (patience and "asking" not in states):
            why = " ".join(place.reason for place in self.places if isinstance(place, There))
            for job in waiting:
                job.status, job.reason = "postponed", f"there is no place to run it: {why}"
            waiting.clear()
            if self.ask is not None:  # it would ask for ever
                self.gave_up = f"the lack of a place to run another job ({why})"
            self.sweep.write()

    def _keep_to_one_kind(self, screen: SweepScreen) -> None:
        """A sweep of speeds runs on boards of one kind: that of its earlier jobs, or else of the
        first board that will do."""
        if self.sweep.task != "throughput" or not self.is_spread:
            return
        kinds = [job.kind for job in self.sweep.jobs if job.kind is not None and job.started]
        if not kinds:
            for place in self.places:
                if place.state == "asking":
                    return
                if place.state == "ready" and place.kind is not None:
                    kinds = [place.kind]
                    break
        for place in self.places:
            if kinds and place.state == "ready" and place.kind != kinds[0]:
                place.state = "out"
                reason = (
                    f"{place.name} is a {place.kind}, and speeds are compared on {kinds[0]}: give "
                    "it a sweep of its own."
                )
                if isinstance(place, There):
                    place.reason = reason
                screen.say(reason)

    def _next(self, waiting: list[SweepJob], place: Place, screen: SweepScreen) -> SweepJob | None:
        """The first job that may run there now."""
        if self.sweep.task == "throughput" and any(p.state == "asking" for p in self.places):
            return None  # nobody knows yet on which kind of board
        if self.ask is not None and not all(p.settled for p in self.places):
            return None  # what an earlier start has left there is told before anything is drawn
        queue = chain(tuple(waiting), iter(lambda: self._asked_for(waiting, screen), None))
        for job in may_run(queue, place, self.places, self.held, time.monotonic()):
            if job.repeat_of is not None and len(self.places) > 1:
                first = next(j for j in self.sweep.jobs if j.number == job.repeat_of)
                if first in waiting or first.status == "running":
                    continue
                there = self._place_named(first.host)
                if there is not None and there is not place and there.state == "ready":
                    continue
            return job
        return None

    def _asked_for(self, waiting: list[SweepJob], screen: SweepScreen) -> SweepJob | None:
        """Another job that has to be run, if there is one; it waits from now on."""
        while self.ask is not None:
            if (job := self.ask()) is None:
                self.ask = None
                break
            recall(job, self.record)
            by_name = {each.name: each for each, _ in self.running.values()}
            by_name |= {each.name: each for each in waiting}
            if (other := by_name.get(job.name)) is not None:
                self.twins.append((other, job))
                continue
            self.sweep.jobs = [*(j for j in self.sweep.jobs if j.name != job.name), job]
            if not job.finished:
                self._hold(job)
                waiting.append(job)
                return job
            self.sweep.write()
            screen.to_run -= 1
            screen.say(f"{job.name} has finished before: its result counts")
            if self.tell is not None:
                self.tell(job)
        return None

    def _ended(self, job: SweepJob, screen: SweepScreen) -> None:
        """A job has ended, and what it came to is known."""
        if job.finished and self.on_poll is not None and (why := self.on_poll(job)) is not None:
            job.status, job.reason = PRUNED, why  # it was done before it could be ended
        self.sweep.write()
        screen.ended(job, figures(read_summary(job.folder) or {}))
        if not self.gave_up and self._others_would_be_refused(job):
            self.gave_up = f"one refusal of two jobs, which the others would meet ({job.reason})"
        twins = [twin for other, twin in self.twins if other is job]
        self.twins = [pair for pair in self.twins if pair[0] is not job]
        if self.tell is None or self.stopped_by or self.gave_up:
            return  # and asked for again by the next start
        for each in (job, *twins):
            each.status, each.reason = job.status, job.reason
            self.tell(each)
        screen.to_run -= len(twins)

    def _others_would_be_refused(self, job: SweepJob) -> bool:
        """Whether jobs that have no swept value in common are refused for the same words, which
        name no swept key, and none has finished."""
        jobs = self.sweep.jobs
        if job.status != "refused" or any(other.finished for other in jobs):
            return False
        reason = job.reason or ""
        if any(key.split(".")[-1] in reason for key in {*self.sweep.swept} - BY_CHANCE):
            return False
        left = self.ask is not None or any(other.status != "refused" for other in jobs)
        return left and any(
            other.status == "refused"
            and other.reason == reason
            and all(other.values.get(key) != value for key, value in job.values.items())
            for other in jobs
        )

    def _start(self, waiting: list[SweepJob], screen: SweepScreen) -> None:
        for slot, (place, k) in enumerate(self.slots):
            if self.stopped_by or self.gave_up:
                return
            job = None if slot in self.running else self._next(waiting, place, screen)
            if job is None:
                continue
            waiting.remove(job)
            resume = job.number not in self.begun_anew and can_be_resumed(job)
            if resume:
                self.resumed.add(job.number)
                write_configuration(job)
            elif aside := make_ready(job):
                where = aside.relative_to(self.sweep.folder)
                screen.say(f"{job.name}: what was there is of another setting and now in {where}")
            job.status, job.started = "running", now()
            for other in self.places:  # it is no longer owed by another worker there
                if isinstance(other, There) and other.computer == computer_of(place.name):
                    other.owed.pop(job.name, None)
            job.host, job.kind = place.name, place.kind
            job.reason, job.exit_code, job.seconds, job.log_tail = None, None, None, []
            try:
                command = self._command(job, place, k, resume)
            except InputError as error:
                job.status, job.reason = "refused", str(error)
                self._ended(job, screen)
                continue
            process = JobProcess(
                command,
                job.folder,
                os.environ | job.environment,
                timeout=self.launcher["job_timeout"],
                grace_seconds=self.grace_seconds + place.extra_seconds,
                inherit=() if self.lock is None else (self.lock,),
            )
            self.running[slot] = job, process
            if self.stopped_by is not None:  # it came while the process was being started
                process.end(self.stopped_by)
            self.sweep.write()

    def _command(self, job: SweepJob, place: Place, k: int, resume: bool) -> Sequence[str]:
        memory_mb = self.launcher["memory_limit_mb"]
        if isinstance(place, Here):
            limits = Limits(place.shares[k], memory_mb)
            if place.name is not None:
                self.data.of(job.config)
            return (self.make_command or job_command)(job.folder, limits, resume)
        return place.command(job.folder, k, memory_mb, resume, self.data.of(job.config))

    def _goes_on_elsewhere(
        self, job: SweepJob, process: JobProcess, place: Place, screen: SweepScreen
    ) -> bool:
        """Whether a job has ended for its place's sake, and not for its own."""
        if not isinstance(place, There) or self.stopped_by or self.gave_up:
            return False
        code, reason = process.process.returncode, job.reason or "its process was killed"
        if process.stopped is not None or process.asked_at is not None:
            return False
        if job.status == "lost" or code < 0:
            place.lose(job.name, job.folder, reason)
            self.held[job.number] = time.monotonic() + SURELY_OVER_SECONDS
        elif code in (TemporaryError.exit_code, UnwrittenError.exit_code):
            place.fault(reason)
            self.held.pop(job.number, None)
        elif job.status != "killed" or self.lost.get(job.number):  # once may be chance
            return False
        self.lost[job.number] = self.lost.get(job.number, 0) + 1
        if self.lost[job.number] > MOST_LOST:
            if job.status == "lost":
                job.status = "killed"
            return False
        screen.say(f"{job.name} on {place.name}: {reason}; it goes on where there is a place")
        job.status, job.reason = "pending", None
        return True

    def _look(self, screen: SweepScreen, waiting: list[SweepJob]) -> None:
        jobs = []
        for slot, (job, process) in list(self.running.items()):
            if process.poll():
                del self.running[slot]
                self._note_end(job, process)
                if self._goes_on_elsewhere(job, process, self.slots[slot][0], screen):
                    waiting.insert(0, job)
                    self.sweep.write()
                    continue
                if job.status == "refused" and job.number in self.resumed:
                    # Its checkpoint is of no use, or the data have changed.
                    screen.say(f"{job.name} begins anew: {job.reason}")
                    self.resumed.remove(job.number)
                    self.begun_anew.add(job.number)
                    job.status = "pending"
                    waiting.insert(0, job)
                    continue
                if job.finished and isinstance(place := self.slots[slot][0], There):
                    place.faults = 0
                self._ended(job, screen)
                if not job.finished and self.launcher["fail_fast"] and not self.stopped_by:
                    self.gave_up = "launcher.fail_fast=true"
                    for _, other in self.running.values():
                        other.stop("interrupted", f"launcher.fail_fast: {job.name} {job.status}")
                continue
            if self.on_poll is not None and (reason := self.on_poll(job)) is not None:
                process.stop("pruned", reason)
            if screen.live is not None:
                jobs.append(
                    (job, process.seconds, figures(last_row(job.folder / "metrics.csv") or {}))
                )
        screen.running(jobs)

    def _note_end(self, job: SweepJob, process: JobProcess) -> None:
        job.seconds = round(process.seconds, 3)
        job.exit_code = process.process.returncode
        job.status, job.reason = process.verdict()
        if not job.finished:
            job.log_tail = process.log_tail()

    def _passing_signals_on(self) -> AbstractContextManager[None]:
        """A Ctrl-C ends the running jobs, cleanly, and no new one begins; a second one kills."""

        def pass_on(number: int, frame: FrameType | None) -> None:
            if self.stopped_by is None:
                self.stopped_by = number
            for _, process in self.running.values():
                process.end(number)

        def suspend(number: int, frame: FrameType | None) -> None:
            # Jobs have sessions of their own, so that a Ctrl-Z at the terminal does not reach them.
            for _, process in self.running.values():
                process.suspend()
            os.kill(os.getpid(), signal.SIGSTOP)
            for _, process in self.running.values():
                process.go_on()

        return signals_go_to(dict.fromkeys(SIGNALS, pass_on) | {signal.SIGTSTP: suspend})

    def _end_all(self) -> None:
        end_all([process for _, process in self.running.values()])
        self.running.clear()


def make_ready(job: SweepJob) -> Path | None:
    """Give the job a folder with its configuration in it; results of an earlier start that it
    cannot use are moved, never deleted: the return value says where to."""
    aside = None
    in_the_way = OF_A_RUN if (job.folder / CLAIM).exists() else (*OF_A_RUN, *OTHERS)
    if any((job.folder / name).exists() for name in in_the_way):
        aside = set_aside(job.folder)
    job.folder.mkdir(exist_ok=True)
    write_configuration(job)
    return aside


def write_configuration(job: SweepJob) -> None:
    """Put down what this command asks of the job, whatever the folder said before."""
    write_atomic(job.folder / FILE, job.config.encode("utf-8", "backslashreplace"))
    write_json(job.folder / OVERRIDES, job.overrides)  # JSON is YAML as well


def resume_command(sweep: SweepRecord) -> str:
    """The command that resumes a sweep that was stopped."""
    words = list(sweep.command)
    if not any(word.startswith(("sweep_name=", "hydra.sweep.dir=")) for word in words):
        words.append(f"hydra.sweep.dir={os.path.relpath(sweep.folder)}")
    return shlex.join(words)
