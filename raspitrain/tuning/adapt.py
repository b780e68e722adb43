"""hardware.adapt_threads=true: look again at the number of threads while the run goes on.

Another process that comes or goes changes which number is fastest. That shows in the time that a
step takes or in how busy others keep the cores; then the candidates take turns on the run's own
steps, so no work is lost.
"""

import logging
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch

from raspitrain.hardware.load import Reading, cores_taken, read_load
from raspitrain.tuning.trial import Trial

log = logging.getLogger(__name__)

WINDOW_SECONDS = 0.5  # steps are looked at together for so long, and at least
WINDOW_STEPS = 3
NUM_WINDOWS = 5
DRIFT = 1.2  # slower or faster by this factor
LOAD_SECONDS = 1.0  # between readings of how busy others are
NUM_READINGS = 3
FAR_CORES = 0.5

TURN_SECONDS = 0.25
NUM_ROUNDS = 3
BUDGET_SECONDS = 5.0
BETTER = 0.95  # what another number must take of the present one's time to replace it

MOST_CHANGES = 1000  # that are remembered
SHORTEST_PAUSE = 4.0  # seconds between trials; doubled while they follow close on one another
LONGEST_PAUSE = 32.0
BLIND_PAUSE = 30.0  # between trials where nobody counts how busy others are


class Watch:
    """Says whether a noisy value has moved: the median of the last few against a reference.

    Without a reference, the first few are it.
    """

    def __init__(
        self, size: int, far: Callable[[float, float], bool], reference: float | None = None
    ) -> None:
        self.recent: deque[float] = deque(maxlen=size)
        self.far = far
        self.reference = reference

    def add(self, value: float) -> None:
        self.recent.append(value)
        if self.reference is None and len(self.recent) == self.recent.maxlen:
            self.reference = statistics.median(self.recent)

    @property
    def has_moved(self) -> bool:
        if self.reference is None or len(self.recent) < (self.recent.maxlen or 1):
            return False
        return self.far(self.reference, statistics.median(self.recent))


def _drifted(before: float, now: float) -> bool:
    return now > DRIFT * before or before > DRIFT * now


def _far_cores(before: float, now: float) -> bool:
    return abs(now - before) > FAR_CORES


class AdaptThreads:
    """Keep the number of threads that is fastest at the moment.

        adapt = AdaptThreads(candidates, num_threads, batch_size=32)
        adapt.end_step(num_cases, seconds)

    Parameters
    ----------
    candidates : numbers of threads to choose from
    num_threads : the one in force
    batch_size : the size of step that figures are given for
    clock, read_load, set_num_threads : for tests

    Attributes
    ----------
    changes : the latest: step, from, to, ms_per_step of each number tried, cores_taken by others
    """

    def __init__(
        self,
        candidates: Sequence[int],
        num_threads: int,
        *,
        batch_size: int,
        clock: Callable[[], float] = time.perf_counter,
        read_load: Callable[[], Reading | None] = read_load,
        set_num_threads: Callable[[int], None] = torch.set_num_threads,
    ) -> None:
        self.candidates = sorted(candidates, reverse=True)
        self.num_threads = num_threads  # decided on; during a trial another may be in force
        self.batch_size = batch_size
        self.clock = clock
        self.read_load = read_load
        self.set_num_threads = set_num_threads
        self.in_force = num_threads
        self.step = 0
        self.num_trials = 0
        self.changes: list[dict[str, Any]] = []
        self.trial: Trial | None = None
        self.pause = SHORTEST_PAUSE
        self.last_trial = self.last_look = clock()
        self.reading = read_load()
        self._watch(None, None)

    def end_step(self, num_cases: int, seconds: float) -> None:
        """Take in a step of `num_cases` cases that took so many seconds."""
        now = self.clock()
        self.step += 1
        # Batches may differ by a case.
        seconds = seconds * self.batch_size / num_cases
        if self.trial is not None:
            self.trial.add(seconds)
            if self.trial.candidate is None:
                self._decide(self.trial, now)
        else:
            self._look(now, seconds)
            if self._is_due(now):
                self._start_trial(now)
        wanted = self.num_threads
        if self.trial is not None and self.trial.candidate is not None:
            wanted = self.trial.candidate
        if wanted != self.in_force:
            self.set_num_threads(wanted)
            self.in_force = wanted

    def _watch(self, step_seconds: float | None, taken: float | None) -> None:
        """Watch from now on, for what differs from these if they are known."""
        self.steps: list[float] = []
        self.step_times = Watch(NUM_WINDOWS, _drifted, step_seconds)
        self.load = Watch(NUM_READINGS, _far_cores, taken)

    def _look(self, now: float, seconds: float) -> None:
        self.steps.append(seconds)
        if len(self.steps) >= WINDOW_STEPS and sum(self.steps) >= WINDOW_SECONDS:
            # The mean: beside a neighbour, some steps last twice as long as others.
            self.step_times.add(statistics.fmean(self.steps))
            self.steps = []
        if now - self.last_look < LOAD_SECONDS:
            return
        taken = self._read_load(now)
        if taken is not None:
            self.load.add(taken)

    def _read_load(self, now: float) -> float | None:
        """Cores that others have kept busy since the last reading."""
        self.last_look = now
        before, self.reading = self.reading, self.read_load()
        if before is None or self.reading is None:
            return None
        return cores_taken(before, self.reading)

    def _is_due(self, now: float) -> bool:
        since = now - self.last_trial
        if self.reading is None and since > BLIND_PAUSE:
            return True
        return since > self.pause and (self.step_times.has_moved or self.load.has_moved)

    def _start_trial(self, now: float) -> None:
        self.num_trials += 1
        self._read_load(now)
        # The present one first: the budget may end before all have had a turn.
        others = [c for c in self.candidates if c != self.num_threads]
        self.trial = Trial(
            [self.num_threads, *others],
            turn_seconds=TURN_SECONDS,
            num_rounds=NUM_ROUNDS,
            budget_seconds=BUDGET_SECONDS,
        )

    def _decide(self, trial: Trial, now: float) -> None:
        measured = trial.seconds_per_step
        present, choice = self.num_threads, trial.choice
        if measured[choice] > BETTER * measured[present]:
            choice = present
        taken = self._read_load(now)
        ms_per_step = {c: 1e3 * seconds for c, seconds in sorted(measured.items())}
        log.info(
            "threads: %s at step %d (ms a step with %s%s)",
            f"{present} → {choice}" if choice != present else f"still {present}",
            self.step,
            ", ".join(f"{c}: {ms:.1f}" for c, ms in ms_per_step.items()),
            "" if taken is None else f"; others keep {taken:.1f} cores busy",
        )
        if choice != present:
            self.changes.append(
                {
                    "step": self.step,
                    "from": present,
                    "to": choice,
                    "ms_per_step": ms_per_step,
                    "cores_taken": taken,
                }
            )
            del self.changes[:-MOST_CHANGES]  # a run may last weeks
        follows_close = now - self.last_trial < 2 * LONGEST_PAUSE
        self.pause = min(2 * self.pause, LONGEST_PAUSE) if follows_close else SHORTEST_PAUSE
        self.num_threads = choice
        self.last_trial = now
        self.trial = None
        # Against what was measured, not what comes next: something may be changing right now.
        self._watch(measured[choice], taken)
