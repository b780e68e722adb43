"""A search with Optuna: which values to try next, what they came to, which jobs to end early.

The study is SQLite in the sweep's folder. A trial's numbers are drawn from its own number and the
seed, so that a search that was stopped resumes as if it had not been; a trial that was under
way then is resumed under the same name.
"""

import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raspitrain.config.rule import NULL, Rule, either, list_of, one_of, text, whole
from raspitrain.errors import InputError
from raspitrain.results.figures import figure_of, figures_of, type_of_column
from raspitrain.results.summary import FINISHED, PRUNED
from raspitrain.results.values import number
from raspitrain.sweep.record import SweepJob

if TYPE_CHECKING:
    import optuna

FILE = "study.db"
STUDY = "search"
DIRECTION = one_of("auto", "maximize", "minimize")
RULES: dict[str, Rule] = {
    "n_trials": whole(1, most=10_000),
    "objective": either(text(), list_of(text())),
    "direction": either(DIRECTION, list_of(DIRECTION)),
    "sampler": one_of("tpe", "random"),
    "seed": whole(0, most=2**32 - 1),
    "startup_trials": whole(1),
    "pruner": either(one_of("median"), NULL),
    "warmup_evaluations": whole(0),
}


@dataclass(frozen=True)
class Choice:
    """One of these words."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Numbers:
    """Numbers from `low` to `high`, both included.

    Attributes
    ----------
    step : between them; None for all
    log : as many below 10 as between 10 and 100
    whole : no fractions
    """

    low: float
    high: float
    step: float | None
    log: bool
    whole: bool


Space = Mapping[str, Choice | Numbers]


def check_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of conf/hydra/sweeper/optuna.yaml, checked, objective and direction as lists.

    Raises
    ------
    InputError : names the first key that will not do, and what would.
    """
    for key, rule in RULES.items():
        if not rule.allows(settings[key]):
            raise InputError(
                f"hydra.sweeper.{key} must be {rule.right}, not {str(settings[key])[:60]!r}."
            )
    objective = settings["objective"]
    objectives = [objective] if isinstance(objective, str) else list(objective)
    if not objectives:
        raise InputError("hydra.sweeper.objective names no figure: give one of summary.json.")
    for name in objectives:
        if name.split(".")[-1].startswith("test_"):
            raise InputError(
                f"hydra.sweeper.objective={name}: the test part never chooses, or it could not "
                f"judge what was chosen; use {name.replace('test_', 'validation_')}."
            )
    direction = settings["direction"]
    directions = [direction] * len(objectives) if isinstance(direction, str) else list(direction)
    if len(directions) != len(objectives):
        raise InputError(
            f"hydra.sweeper.direction has {len(directions)} values for {len(objectives)} of "
            "hydra.sweeper.objective: give one for each, or auto."
        )
    return dict(settings) | {
        "objective": objectives,
        "direction": [_direction(*pair) for pair in zip(objectives, directions, strict=True)],
    }


def _direction(objective: str, direction: str) -> str:
    if direction != "auto":
        return direction
    figure = figure_of(objective)
    return "minimize" if figure is not None and figure.better < 0 else "maximize"


class Search:
    """The trials of one sweep's folder.

        search = Search(folder, space, fixed, settings)
        for trials in search.batches(num_parallel=1):
            ...run each with search.words(trial)...
            search.tell(trial, summary)

    Parameters
    ----------
    folder : the sweep's; it must exist
    space : what is searched over
    fixed : the overrides that all jobs share
    settings : what `check_settings` returns

    Raises
    ------
    InputError
        The folder's study is damaged, or is another search's.
    """

    def __init__(
        self, folder: Path, space: Space, fixed: Sequence[str], settings: Mapping[str, Any]
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        logging.getLogger("alembic").setLevel(logging.ERROR)
        self.space, self.settings = space, settings
        self.objectives: list[str] = settings["objective"]
        self.running: dict[int, optuna.Trial] = {}
        self.reported: dict[int, int] = {}  # evaluations of a trial that the study knows
        self.path = folder / FILE
        self.study = _open_study(self.path, settings["direction"])
        _check_same_search(self.study, self.path, _description(space, fixed, settings))
        self.prunes = settings["pruner"] is not None and len(self.objectives) == 1
        self.prunes = self.prunes and self.objectives[0] in type_of_column
        self.pruner = optuna.pruners.MedianPruner(
            n_startup_trials=settings["startup_trials"],
            n_warmup_steps=settings["warmup_evaluations"],
        )

    @property
    def num_done(self) -> int:
        return sum(trial.state.is_finished() for trial in self.study.trials)

    def batches(self, num_parallel: int) -> Iterator[list["optuna.Trial"]]:
        """Trials to run at the same time, until there are `n_trials` in all."""
        import optuna

        for left in self.study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            self.study.sampler = self._sampler(left.number)
            trial = optuna.Trial(self.study, left._trial_id)
            for key in self.space:
                if key not in left.params:  # stopped while it was being drawn
                    _draw(trial, key, _distribution(self.space[key]))
            self.reported[trial.number] = len(left.intermediate_values)
            yield [self._note(trial)]
        while (left_over := self.settings["n_trials"] - self.num_done) > 0:
            yield [self._note(self._ask()) for _ in range(min(num_parallel, left_over))]

    def _note(self, trial: "optuna.Trial") -> "optuna.Trial":
        self.running[trial.number] = trial
        return trial

    def _ask(self) -> "optuna.Trial":
        self.study.sampler = self._sampler(len(self.study.trials))
        return self.study.ask({key: _distribution(values) for key, values in self.space.items()})

    def _sampler(self, trial_number: int) -> "optuna.samplers.BaseSampler":
        import numpy as np
        import optuna

        # Not one stream of numbers for all: it would begin anew when the search is resumed.
        seeds = np.random.SeedSequence([self.settings["seed"], trial_number])
        seed = int(seeds.generate_state(1)[0])
        if self.settings["sampler"] == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=self.settings["startup_trials"], constant_liar=True
            )

    def words(self, trial: "optuna.Trial") -> list[str]:
        """The trial as overrides."""
        return [f"{key}={shown(trial.params[key])}" for key in self.space]

    def poll(self, job: SweepJob) -> str | None:
        """Tell the study of a running job's new evaluations; the reason to end it, if there is one.

        What is told is the best value so far, as that is what the job will be judged by.
        """
        trial = self.running.get(job.number)
        if trial is None or not self.prunes:
            return None
        told = self._report(trial, job.folder)
        if not told:
            return None
        frozen = self.study._storage.get_trial(trial._trial_id)
        if not self.pruner.prune(self.study, frozen):
            return None
        best = frozen.intermediate_values[max(frozen.intermediate_values)]
        return (
            f"{self.objectives[0]} {best:.4g} is behind the median of the earlier jobs at "
            f"evaluation {len(frozen.intermediate_values)}"
        )

    def _report(self, trial: "optuna.Trial", folder: Path) -> bool:
        values = best_so_far(folder / "metrics.csv", self.objectives[0], self._maximizes)
        known = self.reported.get(trial.number, 0)
        for k, value in enumerate(values[known:], start=known + 1):
            trial.report(value, step=k)
        self.reported[trial.number] = max(known, len(values))
        return len(values) > known

    @property
    def _maximizes(self) -> bool:
        return bool(self.settings["direction"][0] == "maximize")

    def tell(self, trial: "optuna.Trial", summary: Mapping[str, Any], folder: Path) -> None:
        """Tell the study how a trial ended.

        Parameters
        ----------
        summary : what summary.json holds, with the job's status
        folder : the job's

        Raises
        ------
        InputError : the job finished and has no such figure.
        """
        from optuna.trial import TrialState

        del self.running[trial.number]
        if self.prunes:
            self._report(trial, folder)
        status = summary.get("status")
        if status == PRUNED:
            self.study.tell(trial, state=TrialState.PRUNED)
            return
        figures = figures_of(summary)
        values = [number(figures.get(name)) for name in self.objectives]
        missing = [n for n, v in zip(self.objectives, values, strict=True) if v is None]
        if status not in FINISHED or missing:
            self.study.tell(trial, state=TrialState.FAIL)
            if status in FINISHED:
                raise InputError(_no_figure(missing[0], [f for f in figures if number(figures[f])]))
            return
        self.study.tell(trial, [value for value in values if value is not None])

    def lines(self) -> list[str]:
        """What the search found, for people."""
        from optuna.trial import TrialState

        trials = self.study.trials
        counts = {
            word: sum(trial.state == state for trial in trials)
            for word, state in (("pruned", TrialState.PRUNED), ("failed", TrialState.FAIL))
        }
        aside = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        said = f"search: {self.num_done} trials{f', of them {aside}' if aside else ''}"
        best = self.study.best_trials
        if not best:
            return [said]
        if len(self.objectives) == 1:
            best = best[:1]  # the first of those that are equal
        found = [said + ("; best:" if len(best) == 1 else "; none is better in every figure than:")]
        for trial in best:
            values = zip(self.objectives, trial.values, strict=True)
            shown_values = ", ".join(f"{name} {value:.4g}" for name, value in values)
            words = " ".join(f"{key}={shown(trial.params[key])}" for key in self.space)
            found.append(f"    {shown_values}: {words}")
        return found


def shown(value: Any) -> str:
    """A drawn value as a word of an override; six digits, to keep folder names short."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def best_so_far(path: Path, column: str, maximizes: bool) -> list[float]:
    """For each row of metrics.csv the best value of a column up to there; without torn rows."""
    from raspitrain.results.table import read_rows

    try:
        rows = read_rows(path)
    except InputError:
        return []
    values: list[float] = []
    for row in rows:
        value = row.get(column)
        if value is None or not math.isfinite(value):
            continue
        if values:
            value = max(value, values[-1]) if maximizes else min(value, values[-1])
        values.append(float(value))
    return values


def _no_figure(name: str, there: Sequence[str]) -> str:
    part = name.split("_")[0]
    if part == "validation":
        return f"{name} needs a validation part: add split.validation=0.15."
    plain = [each for each in there if "." not in each and not each.startswith("test_")]
    return (
        f"hydra.sweeper.objective={name} is no figure of summary.json: use {', '.join(plain[:8])}."
    )


def _distribution(values: Choice | Numbers) -> "optuna.distributions.BaseDistribution":
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(values, Choice):
        return CategoricalDistribution(values.words)
    if values.whole:
        step = 1 if values.step is None else int(values.step)
        return IntDistribution(int(values.low), int(values.high), log=values.log, step=step)
    return FloatDistribution(values.low, values.high, log=values.log, step=values.step)


def _draw(
    trial: "optuna.Trial", key: str, distribution: "optuna.distributions.BaseDistribution"
) -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        trial.suggest_categorical(key, distribution.choices)
        return
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    given: dict[str, Any] = {"step": distribution.step, "log": distribution.log}
    suggest: Any = trial.suggest_int
    if isinstance(distribution, FloatDistribution):
        suggest = trial.suggest_float
    suggest(key, distribution.low, distribution.high, **given)


def _open_study(path: Path, directions: Sequence[str]) -> "optuna.Study":
    import optuna
    from sqlalchemy import URL
    from sqlalchemy.exc import SQLAlchemyError

    url = URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)
    ways = [optuna.study.StudyDirection[direction.upper()] for direction in directions]
    try:
        storage = optuna.storages.RDBStorage(
            # Optuna reads braces as places to fill in.
            url.replace("{", "{{").replace("}", "}}"),
            engine_kwargs={"connect_args": {"timeout": 60}},
        )
        return optuna.create_study(
            storage=storage, study_name=STUDY, directions=ways, load_if_exists=True
        )
    except (SQLAlchemyError, RuntimeError, KeyError, ValueError, AssertionError) as error:
        raise InputError(
            f"{path} cannot be used ({str(error).splitlines()[0][:200]}): move it away, and the "
            "search begins anew without running again what has finished."
        ) from error


def _description(space: Space, fixed: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "space": {key: repr(values) for key, values in space.items()},
        "fixed": sorted(word for word in fixed if not word.startswith("launcher.")),
        "objective": settings["objective"],
        "direction": settings["direction"],
    }


def _check_same_search(study: "optuna.Study", path: Path, description: Mapping[str, Any]) -> None:
    """A search is resumed only with what it began with; a changed n_trials or pruner is welcome."""
    known = study.user_attrs
    for key, value in description.items():
        if known.get(key, value) != value:
            what = {"space": "other values", "fixed": "other overrides"}.get(key, f"another {key}")
            raise InputError(
                f"{path} is of a search with {what}: give another sweep_name or hydra.sweep.dir."
            )
        if key not in known:
            study.set_user_attr(key, value)
