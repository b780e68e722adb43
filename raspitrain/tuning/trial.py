"""Find out by trying which setting takes the least time a step."""

import statistics
from collections.abc import Mapping, Sequence

CLEARLY_SLOWER = 1.2  # such a candidate is not tried again
AS_FAST = 1.03  # so near to the fastest, the least candidate is as good
SLOW_STEP = 0.1  # seconds; beside so long a step, getting used to a change costs nothing


class Trial:
    """Candidates take turns in rounds, so that what else the machine does hits them all alike.

        while (candidate := trial.candidate) is not None:
            trial.add(seconds of a step with that candidate)
        trial.choice

    Parameters
    ----------
    candidates : in the order in which they are tried
    turn_seconds : length of a turn; one step is the least
    num_rounds : the most turns a candidate gets
    budget_seconds : no new turn is begun after so much time, once two candidates have had theirs
    """

    def __init__(
        self,
        candidates: Sequence[int],
        *,
        turn_seconds: float,
        num_rounds: int,
        budget_seconds: float,
    ) -> None:
        self.turn_seconds = turn_seconds
        self.num_rounds = num_rounds
        self.budget_seconds = budget_seconds
        self.spent = 0.0
        self.turns: dict[int, list[float]] = {candidate: [] for candidate in candidates}
        self.queue = list(candidates)
        self.steps: list[float] = []
        self.is_warm = False

    @property
    def candidate(self) -> int | None:
        """What to take the next step with; None when it is decided."""
        return self.queue[0] if self.queue else None

    def add(self, seconds: float) -> None:
        """Take in how long a step with `candidate` lasted."""
        self.spent += seconds
        if not self.is_warm:
            # Threads are made and caches filled anew after a change.
            self.is_warm = True
            if seconds < SLOW_STEP:
                return
        self.steps.append(seconds)
        if sum(self.steps) < self.turn_seconds:
            return
        self.turns[self.queue.pop(0)].append(statistics.fmean(self.steps))
        self.steps, self.is_warm = [], False
        measured = self.seconds_per_step
        if self.spent >= self.budget_seconds and len(measured) > 1:
            self.queue = []
        elif not self.queue:
            self.queue = self._next_round(measured)

    def _next_round(self, measured: Mapping[int, float]) -> list[int]:
        limit = CLEARLY_SLOWER * min(measured.values())
        left = [candidate for candidate, seconds in measured.items() if seconds <= limit]
        if len(left) == 1 or len(self.turns[left[0]]) >= self.num_rounds:
            return []
        return left

    @property
    def seconds_per_step(self) -> dict[int, float]:
        """The median over its turns of each candidate that has had one."""
        return {c: statistics.median(turns) for c, turns in self.turns.items() if turns}

    @property
    def choice(self) -> int:
        return choose(self.seconds_per_step)


def choose(seconds_per_step: Mapping[int, float]) -> int:
    """The least candidate that is as fast as the fastest, but for `AS_FAST`."""
    limit = AS_FAST * min(seconds_per_step.values())
    return min(c for c, seconds in seconds_per_step.items() if seconds <= limit)
