"""A search with Optuna: which values to try next, what they came to, which jobs to end early.

The study is SQLite in the sweep's folder. A trial is asked for when a place is free, and drawn from
its own number, the seed and what had been told by then; trials that still run count as bad ones, so
that nobody draws beside them (the constant liar of Ginsbourger et al., 2010). The order of asks and
tells stands in search.jsonl: a search that was stopped goes on with the trials that were under way
and draws what it would have drawn, and a study that is lost is made again.
"""

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raspitrain.config.rule import NULL, Rule, either, list_of, one_of, text, whole
from raspitrain.errors import InputError
from raspitrain.results.figures import figure_of, figures_of, type_of_column
from raspitrain.results.summary import FINISHED, PRUNED, doubts_of
from raspitrain.results.values import number
from raspitrain.sweep.asked import Log
from raspitrain.sweep.record import SweepJob

if TYPE_CHECKING:
    import optuna

FILE = "study.db"
STUDY = "search"
DOUBTS = "doubts"  # of a trial: what its job is warned of
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
        while (trial := search.ask()) is not None:
            ...run it with search.words(trial)...
            search.tell(trial.number, summary, folder)

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
        self.distributions = {key: _distribution(values) for key, values in space.items()}
        self.objectives: list[str] = settings["objective"]
        self.running: dict[int, optuna.Trial] = {}
        self.judged: dict[int, int] = {}  # evaluations of a trial that have been judged
        self.behind: dict[int, str] = {}  # trials that are to end early, and why
        self.path = folder / FILE
        self.log = Log(folder)
        description = _description(space, fixed, settings)
        _check_same_search(self.log.description, self.log.path, description)
        self.study = _open_study(self.path, settings["direction"])
        _check_same_search(self.study.user_attrs, self.path, description)
        for key, value in description.items():
            if key not in self.study.user_attrs:
                self.study.set_user_attr(key, value)
        self.log.begin(description)
        self.left_over = self._pick_up()
        self.prunes = settings["pruner"] is not None and len(self.objectives) == 1
        self.prunes = self.prunes and self.objectives[0] in type_of_column
        self.pruner = optuna.pruners.MedianPruner(
            n_startup_trials=settings["startup_trials"],
            n_warmup_steps=settings["warmup_evaluations"],
        )

    @property
    def num_done(self) -> int:
        return sum(trial.state.is_finished() for trial in self.study.trials)

    def _pick_up(self) -> list["optuna.Trial"]:
        """Make study and log agree, whichever a crash has left behind; trials still to be run."""
        import optuna

        try:
            for number in range(len(self.study.trials), self.log.num_asked):
                self.study.add_trial(self._as_logged(number))
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{self.log.path} is damaged ({error}): move it away.") from error
        left_over = []
        for frozen in self.study.trials:
            if frozen.state == optuna.trial.TrialState.RUNNING:
                for key, value in self._missing(frozen).items():
                    drawn_from = self.distributions[key]
                    self.study._storage.set_trial_param(
                        frozen._trial_id, key, drawn_from.to_internal_repr(value), drawn_from
                    )
                frozen = self.study._storage.get_trial(frozen._trial_id)
            if frozen.number >= self.log.num_asked:
                self.log.asked(frozen.number, frozen.params)
            if frozen.state.is_finished():
                if frozen.number not in self.log.told:
                    self._log_end(frozen.number, frozen.state, frozen.values)
            elif (told := self.log.told.get(frozen.number)) is not None:
                state = optuna.trial.TrialState[told["state"]]
                self.study.tell(frozen.number, told["values"], state)
            else:
                self.study.sampler = self._sampler(frozen.number)
                left_over.append(optuna.Trial(self.study, frozen._trial_id))
                # Whether it was to end at the last one nobody has put down: it is judged again.
                self.judged[frozen.number] = max(0, len(frozen.intermediate_values) - 1)
        return left_over

    def _as_logged(self, number: int) -> "optuna.trial.FrozenTrial":
        """A trial that the study has lost."""
        from optuna.trial import TrialState, create_trial

        told = self.log.told.get(number, {"state": "RUNNING", "values": None, "evaluations": []})
        return create_trial(
            state=TrialState[told["state"]],
            values=told["values"],
            params=self.log.params[number],
            distributions=self.distributions,
            intermediate_values=dict(enumerate(told["evaluations"], start=1)),
            user_attrs={DOUBTS: told["doubts"]} if told.get("doubts") else {},
        )

    def _missing(self, cut_off: "optuna.trial.FrozenTrial") -> dict[str, Any]:
        """What a trial lacks that was cut off while it was drawn: drawn again, as it would have
        been, since it was the last thing that happened."""
        import optuna

        if not (missing := [key for key in self.space if key not in cut_off.params]):
            return {}
        study = optuna.create_study(directions=self.study.directions)
        study.add_trials(self.study.trials[: cut_off.number])
        study.sampler = self._sampler(cut_off.number)
        drawn = study.ask(self.distributions)
        return {key: drawn.params[key] for key in missing}

    def ask(self) -> "optuna.Trial | None":
        """The next trial to run; None where there are `n_trials` already."""
        if self.left_over:
            trial = self.left_over.pop(0)
        elif (number := len(self.study.trials)) < self.settings["n_trials"]:
            self.study.sampler = self._sampler(number)
            trial = self.study.ask(self.distributions)
            self.log.asked(trial.number, trial.params)
        else:
            return None
        self.running[trial.number] = trial
        return trial

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

        What is told is the best value so far, as that is what the job will be judged by. Each is
        judged by itself, and none is told after the one at which a job is to end: how many of them
        come between two polls, or before its end, makes no difference.
        """
        trial = self.running.get(job.number)
        return None if trial is None or not self.prunes else self._judge(trial, job.folder)

    def _judge(self, trial: "optuna.Trial", folder: Path) -> str | None:
        number = trial.number
        if number in self.behind:
            return self.behind[number]
        values = best_so_far(folder / "metrics.csv", self.objectives[0], self._maximizes)
        judged = self.judged.get(number, 0)
        frozen = self.study._storage.get_trial(trial._trial_id)
        for k, value in enumerate(values[judged:], start=judged + 1):
            if k not in frozen.intermediate_values:
                trial.report(value, step=k)
                frozen = self.study._storage.get_trial(trial._trial_id)
            self.judged[number] = k
            if self.pruner.prune(self.study, frozen):
                self.behind[number] = (
                    f"{self.objectives[0]} {frozen.intermediate_values[k]:.4g} is behind the "
                    f"median of the earlier jobs at evaluation {k}"
                )
                return self.behind[number]
        return None

    @property
    def _maximizes(self) -> bool:
        return bool(self.settings["direction"][0] == "maximize")

    def tell(self, trial_number: int, summary: Mapping[str, Any], folder: Path) -> None:
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

        trial = self.running.pop(trial_number)
        if self.prunes:
            self._judge(trial, folder)
        status = summary.get("status")
        figures = figures_of(summary)
        values = [number(figures.get(name)) for name in self.objectives]
        missing = [n for n, v in zip(self.objectives, values, strict=True) if v is None]
        state, told = TrialState.FAIL, None
        if status == PRUNED:
            state = TrialState.PRUNED
        elif status in FINISHED and not missing:
            state, told = TrialState.COMPLETE, [value for value in values if value is not None]
        if doubts := doubts_of(summary):
            trial.set_user_attr(DOUBTS, doubts)
        self._log_end(trial.number, state, told)
        self.study.tell(trial, told, state)
        if status in FINISHED and missing:
            raise InputError(_no_figure(missing[0], [f for f in figures if number(figures[f])]))

    def _log_end(
        self, number: int, state: "optuna.trial.TrialState", values: Sequence[float] | None
    ) -> None:
        trial = self.study.trials[number]
        evaluations = trial.intermediate_values
        ordered = [evaluations[step] for step in sorted(evaluations)]
        self.log.tell(number, state.name, values, ordered, trial.user_attrs.get(DOUBTS, []))

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
            # Of those that are equal the first that nothing is to be said against.
            best = [min(best, key=lambda trial: (DOUBTS in trial.user_attrs, trial.number))]
        found = [said + ("; best:" if len(best) == 1 else "; none is better in every figure than:")]
        for trial in best:
            values = zip(self.objectives, trial.values, strict=True)
            shown_values = ", ".join(f"{name} {value:.4g}" for name, value in values)
            words = " ".join(f"{key}={shown(trial.params[key])}" for key in self.space)
            doubts = ", ".join(trial.user_attrs.get(DOUBTS, []))
            found.append(f"    {shown_values}{f' (but {doubts})' if doubts else ''}: {words}")
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
            "study is made again from search.jsonl."
        ) from error


def _description(space: Space, fixed: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "space": {key: repr(values) for key, values in space.items()},
        "fixed": sorted(word for word in fixed if not word.startswith("launcher.")),
        "objective": settings["objective"],
        "direction": settings["direction"],
    }


def _check_same_search(
    known: Mapping[str, Any], path: Path, description: Mapping[str, Any]
) -> None:
    """A search is resumed only with what it began with; a changed n_trials or pruner is welcome."""
    for key, value in description.items():
        if known.get(key, value) != value:
            what = {"space": "other values", "fixed": "other overrides"}.get(key, f"another {key}")
            raise InputError(
                f"{path} is of a search with {what}: give another sweep_name or hydra.sweep.dir."
            )
