"""What a sweep says: which setting is the fastest, which the most accurate, and how sure that is.

A setting is what its jobs have in common: where seeds or folds were swept, the jobs that differ in
nothing else are one setting, with mean and standard deviation (n - 1 in the denominator).
"""

import json
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from raspitrain.report.jobs import JobReport, SweepReport

SEED, FOLD = "seed", "split.fold"
REPETITIONS = (SEED, FOLD)  # swept, they are no settings
NOTABLE_DRIFT = 0.05  # of the speed of the first job, between it and its repeat
# A mean of these over boards of several kinds would be nobody's.
OF_THE_BOARD = ("samples_per_second", "ms_per_step", "training_seconds", "total_seconds", "seconds",
                "peak_memory_mb", "num_threads", "energy.joules")  # fmt: skip
TOLERANCE = 1e-9  # accuracies are counts of cases: nearer than this they are the same


@dataclass(frozen=True)
class Mean:
    """Mean and standard deviation of `n` figures; no deviation of a single one."""

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class Setting:
    """Jobs that differ in their seed or fold alone, or a single job.

    Attributes
    ----------
    values : the swept keys without seed and fold, and what the setting has for them
    jobs : all of them, whatever became of them
    figures : over the finished ones
    """

    values: Mapping[str, Any]
    jobs: tuple[JobReport, ...]
    figures: Mapping[str, Mean]

    @property
    def finished(self) -> tuple[JobReport, ...]:
        return tuple(job for job in self.jobs if job.finished)

    @property
    def status(self) -> str:
        """That of its jobs; of those that went another way, where they differ."""
        return next((job.status for job in self.jobs if not job.finished), self.jobs[0].status)

    @property
    def throttled(self) -> bool:
        return any(job.throttled for job in self.finished)

    @property
    def doubts(self) -> list[str]:
        """What its finished jobs are warned of, and how many of them where it is not the only."""
        jobs = self.finished
        counts = Counter(doubt for job in jobs for doubt in job.doubts)
        return [
            d if len(jobs) == 1 else f"{d} ({n} of {len(jobs)} jobs)" for d, n in counts.items()
        ]

    def mean(self, figure: str | None) -> float | None:
        found = self.figures.get(figure) if figure is not None else None
        return None if found is None else found.mean


@dataclass(frozen=True)
class Answer:
    """
    Attributes
    ----------
    accuracy : the figure that accuracy was judged by, None where there is none
    as_accurate, as_fast : settings whose accuracy, or speed, differs from the best one's by no more
        than chance would have it: the standard error of the best one's
    fastest_by_kind : of a sweep over boards of several kinds, in the place of `fastest`: the kind,
        and the fastest setting by the jobs that ran there
    pareto : settings that no other beats in accuracy and in training time at once, quickest first
    drift : the first job against its repeat at the end; None without a repeat
    warnings : sentences
    """

    settings: tuple[Setting, ...]
    accuracy: str | None
    fastest: Setting | None
    most_accurate: Setting | None
    as_accurate: tuple[Setting, ...]
    as_fast: tuple[Setting, ...]
    pareto: tuple[Setting, ...]
    drift: dict[str, Any] | None
    warnings: tuple[str, ...]
    fastest_by_kind: tuple[tuple[str, Setting], ...] = ()


def find_answer(sweep: SweepReport) -> Answer:
    """Fold seeds, choose, compare; unfinished jobs and repeats choose nothing."""
    settings = fold_seeds(sweep)
    done = [setting for setting in settings if setting.finished]
    accuracy, warnings = _accuracy_figure(sweep, done)
    with_accuracy = [s for s in done if s.mean(accuracy) is not None]
    kinds = sweep.kinds
    fastest = best_of(done, "samples_per_second")
    most_accurate = best_of(done, accuracy, times_compare=len(kinds) < 2)
    drift = find_drift(sweep)
    by_kind: list[tuple[str, Setting]] = []
    if len(kinds) > 1:
        # Times of one kind of board say nothing about another's.
        fastest, with_accuracy = None, []
        for kind in kinds:
            own = replace(sweep, jobs=tuple(job for job in sweep.jobs if job.kind == kind))
            there = best_of([s for s in fold_seeds(own) if s.finished], "samples_per_second")
            by_kind += [] if there is None else [(kind, there)]
        warnings.append(
            f"The jobs ran on {len(kinds)} kinds of boards: speeds are answered for each kind, and "
            "times of different ones are not compared."
        )
    throttled = [job for job in sweep.jobs if job.finished and job.throttled]
    if throttled:
        warnings.append(
            f"{_count(len(throttled), 'job was', 'jobs were')} slowed down by heat or a weak "
            "supply (marked *): their times say as much about that as about their settings."
        )
    underfitted = [job for job in sweep.jobs if job.figures.get("underfitted") is True]
    if underfitted:
        warnings.append(
            f"{_count(len(underfitted), 'job', 'jobs')} of {len(sweep.jobs)} ended underfitted: "
            "too few of their own training cases are answered rightly; more epochs, "
            "dataset.normalise=both or model=minirocket may do better."
        )
    if drift is not None and abs(drift["change"]) > NOTABLE_DRIFT:
        warnings.append(
            f"The first job, run again at the end, was {100 * abs(drift['change']):.0f} % "
            f"{'faster' if drift['change'] > 0 else 'slower'}: differences in speed below that "
            "mean nothing."
        )
    return Answer(
        settings=settings,
        accuracy=accuracy,
        fastest=fastest,
        most_accurate=most_accurate,
        as_accurate=_as_good(done, most_accurate, accuracy),
        as_fast=_as_good(done, fastest, "samples_per_second"),
        pareto=_pareto(with_accuracy, accuracy),
        drift=drift,
        warnings=tuple(warnings),
        fastest_by_kind=tuple(by_kind),
    )


def best_of(
    settings: Sequence[Setting], figure: str | None, *, more_is_better: bool = True,
    times_compare: bool = True,
) -> Setting | None:  # fmt: skip
    """The setting with the best mean; of equal ones the one with the fewest doubts, then the
    quickest, where times compare, or else the first. None where none has a figure."""
    sign = -1 if more_is_better else 1
    measured = [s for s in settings if s.mean(figure) is not None]
    return min(
        measured,
        key=lambda s: (
            sign * _rounded(s.mean(figure)),
            sum(bool(job.doubts) for job in s.finished) / len(s.finished),
            *(_slowness(s) if times_compare else ()),
        ),
        default=None,
    )


def repeated(swept: Sequence[str]) -> list[str]:
    """The swept keys that only repeat a setting."""
    return [key for key in REPETITIONS if key in swept]


def repetitions(swept: Sequence[str]) -> str:
    """What they are called: seeds, folds, or runs where both were swept."""
    keys = repeated(swept)
    return "runs" if len(keys) == 2 else "folds" if keys == [FOLD] else "seeds"


def fold_seeds(sweep: SweepReport) -> tuple[Setting, ...]:
    """The settings of a sweep in the order of their first jobs; the repeat is left out."""
    groups: dict[str, list[JobReport]] = {}
    for job in sweep.jobs:
        if job.repeat_of is not None:
            continue
        values = {k: v for k, v in job.values.items() if k not in REPETITIONS}
        folded = any(key in job.values for key in repeated(sweep.swept))
        key = json.dumps(values, sort_keys=True) if folded else f"job {job.number}"
        groups.setdefault(key, []).append(job)
    return tuple(_setting(jobs) for jobs in groups.values())


def _setting(jobs: Sequence[JobReport]) -> Setting:
    values: dict[str, list[float]] = {}
    mixed = len({job.kind for job in jobs if job.finished}) > 1
    for job in jobs:
        if job.finished:
            for name in job.figures:
                value = job.number_of(name)
                if value is not None and not (mixed and name in OF_THE_BOARD):
                    values.setdefault(name, []).append(value)
    return Setting(
        values={k: v for k, v in jobs[0].values.items() if k not in REPETITIONS},
        jobs=tuple(jobs),
        figures={name: _mean(numbers) for name, numbers in values.items() if name != SEED},
    )


def _mean(numbers: Sequence[float]) -> Mean:
    std = statistics.stdev(numbers) if len(numbers) > 1 else None
    return Mean(statistics.fmean(numbers), std, len(numbers))


def _accuracy_figure(sweep: SweepReport, done: Sequence[Setting]) -> tuple[str | None, list[str]]:
    if sweep.task == "throughput" or not done:
        return None, []
    jobs = [job for setting in done for job in setting.finished]
    for figure in ("validation_accuracy", "test_accuracy"):
        if all(job.number_of(figure) is not None for job in jobs):
            break
    else:
        return None, []
    if figure == "validation_accuracy" or len(done) == 1:
        return figure, []
    some = any(job.number_of("validation_accuracy") is not None for job in jobs)
    return figure, [
        f"{'Not every job had a' if some else 'No'} validation part: the test part chose the most "
        "accurate setting, so its accuracy flatters that choice; add split.validation=0.15 for "
        "one that does not."
    ]


def find_drift(sweep: SweepReport) -> dict[str, Any] | None:
    """How the repeat of a job at the end compares with the job itself."""
    by_number = {job.number: job for job in sweep.jobs if job.repeat_of is None}
    for repeat in reversed(sweep.jobs):
        first = by_number.get(repeat.repeat_of) if repeat.repeat_of is not None else None
        if first is None or not (first.finished and repeat.finished):
            continue
        if first.host != repeat.host:  # it says how a board has drifted, not how two differ
            continue
        before, after = (job.number_of("samples_per_second") for job in (first, repeat))
        if before and after is not None:
            return {
                "job": first.number,
                "repeat": repeat.number,
                "samples_per_second": [before, after],
                "change": after / before - 1,
            }
    return None


def _slowness(setting: Setting) -> tuple[float, float]:
    """Less is better: between equally accurate settings the quicker one wins."""
    seconds, speed = setting.mean("training_seconds"), setting.mean("samples_per_second")
    return (math.inf if seconds is None else seconds, 0.0 if speed is None else -speed)


def _rounded(figure: float | None) -> float:
    return -math.inf if figure is None else round(figure / TOLERANCE) * TOLERANCE


def _as_good(
    settings: Sequence[Setting], best: Setting | None, figure: str | None
) -> tuple[Setting, ...]:
    error = standard_error(best, figure)
    if best is None or figure is None or error is None:
        return ()
    least = best.figures[figure].mean - error - TOLERANCE
    others = [(s, s.mean(figure)) for s in settings if s is not best]
    return tuple(s for s, mean in others if mean is not None and mean >= least)


def standard_error(setting: Setting | None, figure: str | None) -> float | None:
    """Over a setting's seeds; of an accuracy without them as of a share counted in so many cases.
    None where neither can be known."""
    if setting is None or figure is None or figure not in setting.figures:
        return None
    spread = setting.figures[figure]
    if spread.std is not None:
        return spread.std / math.sqrt(spread.n)
    cases = setting.mean(f"num_cases.{figure.split('_')[0]}")
    if not cases or cases < 1 or not 0 <= spread.mean <= 1:
        return None
    return math.sqrt(spread.mean * (1 - spread.mean) / cases)


def _pareto(settings: Sequence[Setting], accuracy: str | None) -> tuple[Setting, ...]:
    timed = [s for s in settings if s.mean("training_seconds") is not None]
    timed.sort(key=lambda s: (s.mean("training_seconds") or 0.0, -_rounded(s.mean(accuracy))))
    front: list[Setting] = []
    best = -math.inf
    for setting in timed:
        if _rounded(setting.mean(accuracy)) > best:
            best = _rounded(setting.mean(accuracy))
            front.append(setting)
    return tuple(front)


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
