"""Hydra's side of a sweep: what --multirun asks for, composed and checked, then handed to
raspitrain/sweep/sweep.py. Hydra takes launchers and sweepers from this folder only.
"""

import itertools
import math
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write

from hydra_plugins._sweeper import LaunchingSweeper
from raspitrain.config.build import build_cases
from raspitrain.config.composition import check_composition
from raspitrain.config.overrides import check_given_once, given_keys, split_override
from raspitrain.config.profile import with_profile
from raspitrain.errors import InputError
from raspitrain.hardware.board import available_cores
from raspitrain.hardware.threads import given_num_threads, resolve_num_threads, thread_environment
from raspitrain.paths import absolute
from raspitrain.report import report_sweep_or_warn
from raspitrain.results.folder import check_is_of_its_own
from raspitrain.stop import say
from raspitrain.sweep.names import job_names
from raspitrain.sweep.places import is_spread
from raspitrain.sweep.process import check_threads, read_summary
from raspitrain.sweep.record import SweepJob, SweepRecord
from raspitrain.sweep.sweep import (
    OnPoll,
    SweepEnd,
    SweepRun,
    resume_command,
)

MOST_JOBS = 10_000
NOT_SWEPT = ("launcher", "sweep", "sweep_name", "task")


class GridSweeper(LaunchingSweeper):
    """Every combination of the values given; the default for hydra/sweeper.

    Unlike Hydra's own it writes nothing before every job has been checked.
    """

    def sweep(self, arguments: list[str]) -> Sequence[JobReturn]:
        assert self.launcher is not None
        assert self.hydra_context is not None
        check_given_once(arguments)
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        given = [*self.preset(parser), *parser.parse_overrides(arguments)]
        values = grid(self.with_folds(given, parser))
        jobs = [list(words) for words in itertools.product(*values.values())]
        if isinstance(self.launcher, ProcessLauncher):
            self.launcher.swept = [key for key, words in values.items() if len(words) > 1]
        return self.launcher.launch(jobs, initial_job_idx=0)

    def with_folds(self, given: Sequence[Override], parser: OverridesParser) -> list[Override]:
        """split.fold=all, the last word about it, as the list of all folds."""
        keys = [override.get_key_element().lstrip("+~") for override in given]
        last = dict(zip(keys, given, strict=True))
        if "split.fold" not in last or str(last["split.fold"].input_line) != "split.fold=all":
            return list(given)
        assert isinstance(self.launcher, ProcessLauncher)
        words = [
            str(override.input_line)
            for key, override in last.items()
            if key != "split.fold" and not override.is_sweep_override()
        ]
        count = count_folds(self.launcher.compose([*words, "split.fold=0"]))
        folds = ",".join(map(str, range(count)))
        (all_of_them,) = parser.parse_overrides([f"split.fold={folds}"])
        return [
            all_of_them if key == "split.fold" else override
            for key, override in zip(keys, given, strict=True)
        ]


def count_folds(cfg: DictConfig) -> int:
    """How many folds a sweep over them has; for one a group the data are read."""
    folds = cfg.split.folds
    if isinstance(folds, int):
        return folds
    from raspitrain.data.folds import num_folds

    cases = build_cases(cfg.dataset, list(cfg.allowed_targets))
    return num_folds(cases, folds, predefined=cfg.split.predefined)


def grid(overrides: Sequence[Override]) -> dict[str, list[str]]:
    """For each key, in the order given, the words that set it, one for each of its values.

    The last override of a key counts: what is typed comes after a preset.

    Raises
    ------
    InputError
        There is nothing to sweep over, or what there is cannot be.
    """
    values: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element().lstrip("+~")
        given = str(override.input_line)
        if not override.is_sweep_override():
            values[key] = [given]
            continue
        if not override.is_discrete_sweep():
            raise InputError(
                f"{given} has no end of values: list some, or search with hydra/sweeper=optuna."
            )
        if key.split(".")[0] in NOT_SWEPT:
            raise InputError(f"{key} is one for the whole sweep: give it one value.")
        words = [
            f"{override.get_key_element()}={value}"
            for value in itertools.islice(override.sweep_string_iterator(), MOST_JOBS + 1)
        ]
        if not words:
            raise InputError(f"{given} gives no value at all.")
        word, count = Counter(words).most_common(1)[0]
        if count > 1:
            raise InputError(f"{word} is given {count} times: once will do.")
        values[key] = words
    if all(len(words) == 1 for words in values.values()):
        raise InputError(
            "Nothing is swept: give a key several values, as in batch_size=16,32, or leave out "
            "what makes it a sweep (--multirun, or hydra.mode=MULTIRUN)."
        )
    if (num_jobs := math.prod(map(len, values.values()))) > MOST_JOBS:
        raise InputError(f"These are {num_jobs} jobs: a sweep has {MOST_JOBS} at most.")
    return values


class ProcessLauncher(Launcher):
    """Each job in a process of its own; the default for hydra/launcher.

    Attributes
    ----------
    swept : the keys that the sweeper gives several values, in the order typed; None if it does not
        say: then those that differ between the jobs of a call
    folder : the sweep's
    """

    def __init__(self) -> None:
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.swept: list[str] | None = None
        self.folder = Path()
        self.sweep_run: SweepRun | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context = hydra_context
        self.config = config
        self.folder = absolute(str(config.hydra.sweep.dir))

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Compose and check every job, then run those that have not finished yet.

        Returns
        -------
        A JobReturn for each, in order, whose `return_value` is what its summary.json holds, with
        `status` and `reason` as in jobs.json.
        """
        assert self.config is not None
        _check_folder(self.config, self.folder)
        words = [[str(word) for word in overrides] for overrides in job_overrides]
        swept = differing(words) if self.swept is None else self.swept
        configs = [self.compose(overrides) for overrides in words]
        check_data_there(configs)
        jobs = make_jobs(self.folder, words, configs, swept, first_number=initial_job_idx)
        self._open(configs[0], swept, one_by_one=False)
        assert self.sweep_run is not None
        self.sweep_run.run(jobs)
        stopped = self.sweep_run.stopped_by or self.sweep_run.gave_up
        # A Ctrl-C may come too late to stop anything.
        if stopped and not all(job.finished for job in jobs):
            self._say_how_to_resume()
        self.finish()
        return [
            _job_return(job, cfg, overrides)
            for job, cfg, overrides in zip(jobs, configs, words, strict=True)
        ]

    def launch_one_by_one(
        self,
        ask: Callable[[], tuple[int, Sequence[str]] | None],
        tell: Callable[[int, dict[str, Any], Path], None],
        on_poll: OnPoll,
        *,
        num_told: int,
    ) -> list[JobReturn]:
        """After `begin`: run a job at each place that is free until there are no more.

        Parameters
        ----------
        ask : the number and the overrides of another job; None if there is none
        tell : what a job has come to, by its number: as `launch` returns it, and its folder
        on_poll : see SweepRun
        num_told : how many an earlier start has told already
        """
        assert self.sweep_run is not None
        assert self.swept is not None
        swept = self.swept
        asked: dict[int, tuple[DictConfig, list[str]]] = {}
        returns: list[JobReturn] = []

        def ask_for_job() -> SweepJob | None:
            if (another := ask()) is None:
                return None
            number, words = another[0], list(another[1])
            asked[number] = self.compose(words), words
            (job,) = make_jobs(self.folder, [words], [asked[number][0]], swept, first_number=number)
            return job

        def tell_of_job(job: SweepJob) -> None:
            result = _job_return(job, *asked.pop(job.number))
            tell(job.number, result.return_value, job.folder)
            returns.append(result)

        self.sweep_run.on_poll, self.sweep_run.num_told = on_poll, num_told
        self.sweep_run.run([], ask_for_job, tell_of_job)
        if self.sweep_run.stopped_by or self.sweep_run.gave_up:
            self._say_how_to_resume()
        return returns

    def begin(self, cfg: DictConfig, *, num_jobs: int) -> None:
        """Claim the folder before there is a job, for a sweeper with files of its own in it.

        The jobs of an earlier start are kept in jobs.json whether or not they are asked for.

        Parameters
        ----------
        cfg : what all jobs share
        num_jobs : how many there will be, to be shown
        """
        assert self.config is not None
        assert self.swept is not None
        _check_folder(self.config, self.folder)
        check_data_there([cfg])
        self._open(cfg, self.swept, one_by_one=True)
        assert self.sweep_run is not None
        self.sweep_run.num_jobs = num_jobs
        self.sweep_run.claim()

    def _open(self, cfg: DictConfig, swept: list[str], *, one_by_one: bool) -> None:
        launcher = OmegaConf.to_container(cfg.launcher, resolve=True)
        assert isinstance(launcher, dict)
        if one_by_one:
            launcher["repeat_first"] = False
        self.sweep_run = SweepRun(
            SweepRecord(
                folder=self.folder,
                name=cfg.sweep_name,
                task=cfg.task,
                command=_command(),
                swept=swept,
            ),
            {str(key): value for key, value in launcher.items()},
            keep_earlier=one_by_one,
        )

    def finish(self) -> None:
        """Close the sweep and show its results; SweepEnd if not every job has finished."""
        if self.sweep_run is None:
            return
        self.sweep_run.close()
        report_sweep_or_warn(self.folder)
        if not all(job.finished for job in self.sweep_run.sweep.jobs):
            raise SweepEnd(1)

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """A job's configuration, checked as that of a single run is."""
        assert self.hydra_context is not None
        assert self.config is not None
        check_given_once(overrides)
        cfg = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with read_write(cfg), open_dict(cfg):
            del cfg["hydra"]
        check_composition(cfg, overrides)
        num_parallel = cfg.launcher.num_parallel
        if is_spread(cfg.launcher):
            return cfg  # each board has cores of its own
        if "hardware.num_threads" in given_keys(overrides):
            num_threads = cfg.hardware.num_threads
            check_threads(num_threads, num_parallel, given_by="hardware.num_threads")
        elif (given := given_num_threads(os.environ)) is not None:
            check_threads(given, num_parallel, given_by="OMP_NUM_THREADS")
        return cfg

    def _say_how_to_resume(self) -> NoReturn:
        """After a Ctrl-C, one job's failure that is to end it all, or without a place."""
        assert self.sweep_run is not None
        self.sweep_run.close()
        report_sweep_or_warn(self.folder)
        sweep, number = self.sweep_run.sweep, self.sweep_run.stopped_by
        done = sum(job.finished for job in sweep.jobs)
        why = self.sweep_run.gave_up if number is None else signal.Signals(number).name
        say(
            f"stopped by {why}: {done} of {len(sweep.jobs)} jobs have finished and will not be run "
            f"again; to resume: {resume_command(sweep)}"
        )
        raise SweepEnd(1 if number is None else 128 + number)


def check_data_there(configs: Sequence[DictConfig]) -> None:
    """Refuse once what every job would refuse: data that are not there.

    Raises
    ------
    InputError
        No job's data are there.
    """
    paths = [OmegaConf.select(cfg, "dataset.path", default=None) for cfg in configs]
    if any(path is None or os.path.exists(os.path.expanduser(str(path))) for path in paths):
        return
    from raspitrain.data.files.npy_file import check_folder, user_path

    check_folder(user_path(str(paths[0]), "dataset.path"), "dataset.path")


def make_jobs(
    folder: Path,
    words: Sequence[Sequence[str]],
    configs: Sequence[DictConfig],
    swept: Sequence[str],
    *,
    first_number: int,
) -> list[SweepJob]:
    """The jobs of a sweep from what each was composed of, and into what."""
    given = [{o.key: o.value for o in map(split_override, overrides)} for overrides in words]
    typed = [{key: values[key] for key in swept if key in values} for values in given]
    given_num_threads(os.environ)  # libgomp reads it too, whatever the profile says
    return [
        SweepJob(
            number=number,
            folder=folder / name,
            overrides=list(overrides),
            values={key: _value(cfg, key, values[key]) for key in values},
            config=OmegaConf.to_yaml(cfg, resolve=True),
            environment=job_environment(cfg, overrides),
        )
        for number, (name, overrides, values, cfg) in enumerate(
            zip(job_names(typed), words, typed, configs, strict=True), start=first_number
        )
    ]


def job_environment(cfg: DictConfig, overrides: Sequence[str]) -> dict[str, str]:
    """What to set before the job's torch is imported."""
    hardware = with_profile(cfg, given_keys(overrides))[0].hardware
    num_threads = resolve_num_threads(hardware.num_threads, os.environ)
    if cfg.launcher.num_parallel > 1:
        num_threads = min(num_threads, max(1, available_cores() // cfg.launcher.num_parallel))
    return thread_environment(num_threads, hardware.wait_policy, os.environ)


def differing(words: Sequence[Sequence[str]]) -> list[str]:
    """The keys whose value is not the same in all jobs."""
    values: dict[str, set[str]] = {}
    for overrides in words:
        for override in map(split_override, overrides):
            values.setdefault(override.key, set()).add(override.value)
    return [key for key, several in values.items() if len(several) > 1]


def _value(cfg: DictConfig, key: str, typed: str) -> Any:
    """What a swept key came to: a number for a number, the option's name for a group."""
    value = OmegaConf.select(cfg, key)
    if isinstance(value, DictConfig) or value is None:
        return None if typed == "null" else typed
    return OmegaConf.to_container(value, resolve=True) if isinstance(value, ListConfig) else value


def _check_folder(config: DictConfig, folder: Path) -> None:
    check_is_of_its_own(folder, "hydra.sweep.dir", "sweep")
    if any(str(w).startswith("hydra.sweep.subdir=") for w in config.hydra.overrides.hydra):
        raise InputError("hydra.sweep.subdir is not read: jobs are called after what is swept.")


def _job_return(job: SweepJob, cfg: DictConfig, overrides: list[str]) -> JobReturn:
    result = JobReturn(overrides=overrides, cfg=cfg, status=JobStatus.COMPLETED)
    result.return_value = (read_summary(job.folder) or {}) | {
        "status": job.status,
        "reason": job.reason,
    }
    return result


def _command() -> list[str]:
    """How this process was called, as words for a shell."""
    program = Path(sys.argv[0])
    called = ["python", "-m", "raspitrain"] if program.name == "__main__.py" else [program.name]
    return [*called, *sys.argv[1:]]
