"""task=throughput: how fast would it train? Warm steps are timed for a few seconds, no more."""

import logging
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from raspitrain.config.profile import Profile
from raspitrain.errors import InputError, UnwrittenError
from raspitrain.hardware.threads import hardware_as_it_was
from raspitrain.results.configuration import write_config, write_overrides
from raspitrain.results.folder import all_or_nothing, claim_run_folder, release_claim
from raspitrain.results.json_file import write_json
from raspitrain.results.log import logging_to
from raspitrain.results.screen import Screen
from raspitrain.results.summary import write_summary
from raspitrain.run.environment import environment_record, peak_memory_mb
from raspitrain.run.monitor import Monitor
from raspitrain.run.outcome import attempt, draw, unwritten_sentence
from raspitrain.run.prepare import Prepared, prepare, tune_prepared
from raspitrain.stop import StopSignals
from raspitrain.training.training import Step
from raspitrain.tuning.tune import Tuned

log = logging.getLogger(__name__)

LEAST_WARM_STEPS = 5  # memory is asked for, kernels are chosen
NO_END = 10**6  # epochs: the clock ends it, and a schedule stays at its beginning


class TimeIsUpError(Exception):
    """Enough steps have been timed."""


@dataclass
class StepTimes:
    """Times steps once they are warm; the last raises TimeIsUpError.

    Attributes
    ----------
    seconds : of each timed step
    cases : in all of them together
    """

    warmup_seconds: float
    measured_seconds: float
    clock: Callable[[], float] = time.perf_counter
    seconds: list[float] = field(default_factory=list)
    cases: int = 0

    def __post_init__(self) -> None:
        self.num_warm_steps = 0
        self.is_warm = False
        self.since = self.step_began = self.clock()

    def end_step(self, num_cases: int) -> None:
        now = self.clock()
        if self.is_warm:
            self.seconds.append(now - self.step_began)
            self.cases += num_cases
            if now - self.since >= self.measured_seconds:
                raise TimeIsUpError
        else:
            self.num_warm_steps += 1
            if self.num_warm_steps >= LEAST_WARM_STEPS and now - self.since >= self.warmup_seconds:
                self.is_warm, self.since = True, now
        self.step_began = self.clock()

    def figures(self) -> dict[str, Any]:
        """Quartiles beside the median: a step is sometimes held up, and never sped up."""
        low, median, high = statistics.quantiles(self.seconds * 2, n=4)
        return {
            "steps": len(self.seconds),
            "training_seconds": sum(self.seconds),
            "samples_per_second": self.cases / sum(self.seconds),
            "ms_per_step": 1e3 * median,
            "ms_per_step_quartiles": [1e3 * low, 1e3 * high],
        }


def measure_throughput(
    cfg: DictConfig, profile: Profile, output_dir: Path, overrides: Sequence[str]
) -> dict[str, Any]:
    """Time the steps of what `cfg` would train; leave the figures in `output_dir`.

    A step is all that training does for a batch: gather, augment, forward, backward, update.
    `profile` has filled in `cfg`; the rest is as for `run`. There are no checkpoints and no
    metrics.csv.
    """
    started = time.perf_counter()
    endless = OmegaConf.merge(cfg, {"epochs": NO_END, "eval_every": NO_END})
    assert isinstance(endless, DictConfig)
    with hardware_as_it_was(), StopSignals():
        prepared = prepare(endless)
        if prepared.training.in_one_step:
            raise InputError(
                f"task=throughput times training steps, but model ({cfg.model._target_}) is fitted "
                "to so few cases in a single one; run it, and see training_seconds in summary.json."
            )
        folder = claim_run_folder(output_dir)
        try:
            with all_or_nothing(folder, ("config.yaml", "overrides.yaml")):
                write_config(folder, cfg)
                write_overrides(folder, overrides)
            return _measure(prepared, cfg, profile, folder, started)
        finally:
            release_claim(folder)


def _measure(
    prepared: Prepared,
    cfg: DictConfig,
    profile: Profile,
    folder: Path,
    started: float,
) -> dict[str, Any]:
    with logging_to(folder) as log_file, Monitor(None, **cfg.hardware.readings) as monitor:
        log.info("data  %s", prepared.data.line)
        for note in (*profile.notes, *prepared.data.warnings):
            log.warning(note)
        tuned = tune_prepared(prepared, cfg)
        environment = environment_record() | {"hardware": profile.record()} | tuned.record()
        unwritten: dict[str, Exception] = {}
        path = folder / "environment.json"
        attempt(unwritten, path.name, lambda: write_json(path, environment))
        times = _time_steps(prepared, cfg, tuned)
        monitor.stop()
        summary = {
            "test_accuracy": None,
            "status": "completed",
            "task": "throughput",
            **times.figures(),
            "batch_size": prepared.training.batch_size,
            "seed": cfg.seed,
            "num_parameters": sum(p.numel() for p in prepared.training.model.parameters()),
            "num_threads": torch.get_num_threads(),
            "device": str(prepared.training.device),
            "num_cases": {name: len(part) for name, part in prepared.training.parts.items()},
            "data": prepared.data.record,
            **tuned.record(),
            **monitor.summary(epochs=0, num_cases=times.cases),
            "total_seconds": time.perf_counter() - started,
            "peak_memory_mb": peak_memory_mb(),
        }
        attempt(unwritten, "summary.json", lambda: write_summary(folder / "summary.json", summary))
        from raspitrain.report import report_run  # not before the first step

        draw(unwritten, {"report.html": lambda: report_run(folder)})
        if log_file.failure is not None:
            unwritten["run.log"] = log_file.failure
        with Screen(1, 1) as screen:
            screen.finish(summary, folder)
    if unwritten:
        then = "the same command with another hydra.run.dir"
        raise UnwrittenError(unwritten_sentence(folder, unwritten, then))
    return summary


def _time_steps(prepared: Prepared, cfg: DictConfig, tuned: Tuned) -> StepTimes:
    times = StepTimes(cfg.throughput.warmup_seconds, cfg.throughput.seconds)
    adapt = tuned.adapt

    def on_step(step: Step) -> None:
        if prepared.training.device.type != "cpu":
            step.read_loss()  # a GPU is still at work otherwise
        if adapt is not None:
            adapt.end_step(step.num_cases, step.seconds)
        times.end_step(step.num_cases)

    try:
        evaluations = prepared.training.evaluations(NO_END, eval_every=NO_END, on_step=on_step)
        for _ in evaluations:
            pass
    except TimeIsUpError:
        pass
    return times
