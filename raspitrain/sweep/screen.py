"""What a person sees of a sweep: a line for each job, and on a terminal a live one."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from raspitrain.errors import visible
from raspitrain.results.figures import FIGURE
from raspitrain.results.screen import Screen, clock
from raspitrain.sweep.record import SweepJob

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


class SweepScreen(Screen):
    """Show a sweep as it goes: as `Screen` does a run, with a job in place of an evaluation.

    Parameters
    ----------
    num_jobs : in the whole sweep
    to_run : those of them that have still to be run
    num_parallel : how many run at a time
    """

    def __init__(
        self, num_jobs: int, to_run: int, num_parallel: int, stream: TextIO | None = None
    ) -> None:
        self.num_jobs = num_jobs
        self.to_run = to_run
        self.num_parallel = num_parallel
        self.taken: list[float] = []  # seconds of the jobs that ended
        self.current: list[tuple[SweepJob, float, str]] = []
        super().__init__(num_jobs, 1, stream)

    def say(self, text: str) -> None:
        """A line that stays."""
        text = visible(text)  # a job's name and reason may hold anything
        if self.live is None:
            self._print(text)
            return
        from rich.text import Text

        console = self.live.console
        self._show(lambda: console.print(Text(text), soft_wrap=True))

    def running(self, current: Sequence[tuple[SweepJob, float, str]]) -> None:
        """Redraw, where there is a terminal and the time has come.

        Parameters
        ----------
        current : the jobs that run, for how many seconds by now, and their last figures
        """
        self.current = list(current)
        if self.live is not None and self._due():
            self._show(self._draw)

    def ended(self, job: SweepJob, figures: str) -> None:
        """The line of a job that has run."""
        self.taken.append(job.seconds or 0.0)
        place = f"{self._num_done:>{len(str(self.num_jobs))}}/{self.num_jobs}"
        parts = [place, job.name, *([] if job.status == "completed" else [job.status]), figures]
        parts += [clock(job.seconds or 0.0)]
        if (left := self._seconds_left()) is not None and job.status != "interrupted":
            parts.append(f"{clock(left)} left")
        self.say("  ".join(filter(None, parts)))
        if not job.finished and job.reason:
            self.say(f"{' ' * len(place)}  {job.reason}")

    @property
    def _num_done(self) -> int:
        return self.num_jobs - self.to_run + len(self.taken)

    def _seconds_left(self) -> float | None:
        """Judged by the jobs so far; None where there is none yet, or none to come."""
        remaining = self.to_run - len(self.taken)
        if not self.taken or remaining <= 0:
            return None
        each = statistics.fmean(self.taken)
        spent = sum(min(seconds, each) for _, seconds, _ in self.current)
        return max(0.0, remaining * each - spent) / self.num_parallel

    def _bar(self, console: "Console") -> "Table":
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        for _ in range(2):
            table.add_column(no_wrap=True, overflow="ellipsis")
        left = self._seconds_left()
        for number, (job, seconds, figures) in enumerate(self.current, start=1):
            parts = [figures, clock(seconds)]
            if left is not None:
                parts.append(f"{clock(left)} left")
            place = f"{self._num_done + number}/{self.num_jobs}"
            table.add_row(f"{place}  {job.name}", "  ".join(filter(None, parts)))
        return table


def figures(values: Mapping[str, Any]) -> str:
    """The figures that count, of a summary.json or a row of metrics.csv; "" if there are none."""
    parts = []
    for name in ("test_accuracy", "validation_accuracy", "train_accuracy"):
        if (accuracy := _number(values, name)) is not None:
            parts.append(FIGURE[name].words(accuracy))
            break
    if (rate := _number(values, "samples_per_second")) is not None:
        parts.append(FIGURE["samples_per_second"].words(rate))
    if (each := _number(values, "ms_per_step")) is not None:
        parts.append(f"{FIGURE['ms_per_step'].words(each)} a step")
    return "  ".join(parts)


def _number(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    return value if isinstance(value, int | float) and math.isfinite(value) else None
