"""One run by several ranks: what they check before the first step, and decide together after it.

Rank 0 writes the run's folder; the others train along and leave nothing.
"""

import hashlib
import json
import logging
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from torch.nn.modules.batchnorm import _NormBase

from raspitrain.config.overrides import allowing_words
from raspitrain.config.rules import is_harmless, leaves
from raspitrain.data.fingerprint import fingerprint
from raspitrain.distributed.group import Group
from raspitrain.distributed.plan import LEAST_CASES, Plan, make_plan, shares_of, too_slow
from raspitrain.errors import InputError
from raspitrain.results.configuration import plain
from raspitrain.run.loop import train
from raspitrain.run.monitor import Monitor
from raspitrain.run.observers import Observer
from raspitrain.run.prepare import Prepared, tune_prepared
from raspitrain.run.state import RunState
from raspitrain.run.thermal import ThermalGuard
from raspitrain.stop import Stopped, StopSignals
from raspitrain.training.shared import SharedTraining, Wishes
from raspitrain.training.training import Evaluation, Step

log = logging.getLogger("raspitrain")

BEAT_SECONDS = 0.5  # between two words of ranks that pause
OF_THIS_MACHINE = ("launcher.", "sweep_name", "resume")


def shared(prepared: Prepared) -> SharedTraining:
    """The training, which is that of one of several ranks."""
    assert isinstance(prepared.training, SharedTraining)
    return prepared.training


@dataclass(frozen=True)
class Begun:
    """What the ranks have settled before the first step: what `tune` and a checkpoint keep of it,
    and what is to be warned of."""

    tuned: dict[str, Any]
    ranks: dict[str, Any]
    warnings: list[str]


def begin(prepared: Prepared, cfg: DictConfig, group: Group) -> Begun:
    """Compare what the ranks would train, measure them, and settle how they share the work.

    Raises
    ------
    InputError
        On all ranks, where one would train something else, or nothing is gained by training
        together.
    """
    check_alike(prepared, cfg, group)
    tuned = tune_prepared(prepared, cfg)
    warnings = make_shared_plan(prepared, cfg.distributed.sync)
    if cfg.hardware.adapt_threads:
        warnings.append("hardware.adapt_threads=true has no effect: several ranks train together")
    return Begun(tuned.state(), plan_state(prepared), warnings)


def share_anew(prepared: Prepared, cfg: DictConfig, kept: Mapping[str, Any]) -> Begun:
    """Settle how other ranks than before share the work; what a step takes, and how often they
    agree, stays.

    Parameters
    ----------
    kept : what `plan_state` gave before
    """
    tuned = tune_prepared(prepared, cfg)
    every = int(kept["sync_every"])
    warnings = make_shared_plan(prepared, "every_step" if every == 1 else every)
    return Begun(tuned.state(), plan_state(prepared), warnings)


def is_another(kept: Mapping[str, Any], group: Group) -> bool:
    """Whether these are other boards than those that a checkpoint is of."""
    return int(kept["num_ranks"]) != group.num_ranks or list(kept["hosts"]) != group.hosts


def check_alike(prepared: Prepared, cfg: DictConfig, group: Group) -> None:
    """InputError, on all ranks, where one of them would train something else."""
    own = {
        key: value
        for key, value in leaves(plain(cfg))
        if (key == "epochs" or not is_harmless(key)) and not key.startswith(OF_THIS_MACHINE)
    }
    split = prepared.split
    parts = (split.train.tolist(), split.validation.tolist(), split.test.tolist())
    group.check_same(
        {
            "configuration": json.dumps(own, sort_keys=True, default=str),
            "data set": fingerprint(prepared.cases),
            "split of the cases": hashlib.sha256(repr(parts).encode()).hexdigest(),
        }
    )


def make_shared_plan(prepared: Prepared, sync: str | int) -> list[str]:
    """Measure the boards and the network between them, and settle how the ranks share the work.

    Parameters
    ----------
    sync : as distributed.sync

    Returns
    -------
    list of str
        What is to be warned of.
    """
    training = shared(prepared)
    training.start_alike()
    num_train, num_steps = len(training.parts["train"]), training.steps_per_epoch
    has_norm = any(isinstance(module, _NormBase) for module in training.model.modules())
    smallest, least = num_train // num_steps, LEAST_CASES if has_norm else 1
    batch = min(num_train, training.step_cases)
    speeds = training.measure_speed(training.batch_size)
    group = training.group
    slow = too_slow(speeds, [group.name(rank) for rank in range(group.num_ranks)])
    if slow and sync == "auto":
        raise InputError(f"{slow}; distributed.sync=every_step does it all the same.")
    shares = shares_of(speeds, smallest, least)
    own = [round(batch * share) for share in shares]
    if any(cases != training.batch_size for cases in own):
        # Not all that a step takes shrinks with its cases.
        speeds = training.measure_speed(own[group.rank])
        shares = shares_of(speeds, smallest, least)
    training.plan, warning = make_plan(
        sync,
        shares=shares,
        speeds=speeds,
        batch=batch,
        sync_seconds=training.measure_sync(),
        num_bytes=training.num_bytes,
        num_steps=prepared.epochs * num_steps,
        steps_per_epoch=num_steps,
    )
    return [sentence for sentence in (slow, warning) if sentence]


def plan_of(prepared: Prepared) -> Plan:
    return shared(prepared).plan


def plan_state(prepared: Prepared) -> dict[str, Any]:
    """What a checkpoint keeps of how the ranks share the work; all of them call it."""
    training = shared(prepared)
    threads = training.group.all(torch.tensor(torch.get_num_threads()))
    return {
        "num_ranks": training.group.num_ranks,
        "begun_with": training.num_shares,
        "hosts": list(training.group.hosts),
        "threads": [int(each) for each in threads],
        **training.plan.state(),
    }


def restore_plan(prepared: Prepared, kept: dict[str, Any]) -> None:
    others = ("num_ranks", "begun_with", "hosts", "threads")
    shared(prepared).plan = Plan.restored({k: v for k, v in kept.items() if k not in others})


class Together(Observer):
    """Has the ranks pause and end at the same step.

    Parameters
    ----------
    is_save_due : whether this rank wants a checkpoint
    """

    def __init__(
        self,
        training: SharedTraining,
        guard: ThermalGuard,
        stop: StopSignals,
        monitor: Monitor,
        is_save_due: Callable[[], bool],
    ) -> None:
        self.training, self.guard, self.stop, self.monitor = training, guard, stop, monitor
        self.is_save_due = is_save_due
        self.is_stopping = False
        training.wishes = self._wishes
        guard.sleep = lambda seconds: self._pause_on()
        guard.should_stop = lambda: self.is_stopping

    def step(self, step: Step) -> None:
        agreed = self.training.agreed
        if agreed is None:
            return
        self.is_stopping = agreed.stop
        if agreed.pause and not agreed.stop:
            self._pause()
        else:
            self.guard.check(may_pause=False)
        if self.is_stopping:
            self.training.collect()
            raise Stopped(self.stop.number or signal.SIGTERM)

    def _wishes(self) -> Wishes:
        self.own = Wishes(
            stop=self.stop.number is not None,
            pause=self.guard.wants_pause,
            save=self.is_save_due(),
        )
        return self.own

    def _pause(self) -> None:
        """Until no board is too hot any more; whoever is has its own limits of waiting."""
        if self.own.pause:
            self.guard.check()
            while self._is_any_hot(False):
                time.sleep(BEAT_SECONDS)
            return
        log.info("training pauses: another board is too hot")
        self.monitor.begin_pause()
        try:
            while self._is_any_hot(False):
                time.sleep(BEAT_SECONDS)
        finally:
            self.monitor.end_pause()

    def _pause_on(self) -> None:
        time.sleep(BEAT_SECONDS)
        self._is_any_hot(True)

    def _is_any_hot(self, own: bool) -> bool:
        """A word to each other, that nobody takes a pause for the end."""
        counts = torch.tensor([float(own), float(self.stop.number is not None)])
        self.training.group.sum(counts)
        self.is_stopping = self.is_stopping or bool(counts[1] > 0)
        return bool(counts[0] > 0)


class SharedCheckpoints(Observer):
    """Writes one where rank 0 finds that one is due.

    Parameters
    ----------
    job : None on the other ranks
    """

    def __init__(self, prepared: Prepared, training: SharedTraining, job: RunState | None) -> None:
        self.prepared, self.training, self.job = prepared, training, job

    def step(self, step: Step) -> None:
        position, agreed = self.training.position, self.training.agreed
        if position.step_in_epoch < self.training.steps_per_epoch:
            if agreed is not None and agreed.save:
                self._save()
        elif not self.prepared.is_evaluated(position.epoch):
            self._end_of(position.epoch)

    def evaluation(self, evaluation: Evaluation) -> None:
        self._end_of(self.training.position.epochs_done)

    def _end_of(self, epoch: int) -> None:
        job = self.job
        is_due = job is not None and not job.has_no_patience and job.keeper.is_due_after(epoch)
        if self.training.group.first_says(is_due):
            self._save()

    def _save(self) -> None:
        self.training.collect()
        if self.job is not None:
            self.job.save()


def shared_observers(
    prepared: Prepared,
    cfg: DictConfig,
    stop: StopSignals,
    monitor: Monitor,
    job: RunState | None,
) -> tuple[Observer, ...]:
    """Who is told last of each step and evaluation."""
    training = shared(prepared)
    return (
        Together(
            training,
            ThermalGuard(cfg.hardware.thermal, monitor),
            stop,
            monitor,
            lambda: job is not None and job.keeper.is_due(),
        ),
        SharedCheckpoints(prepared, training, job),
    )


def follow(prepared: Prepared, cfg: DictConfig, stop: StopSignals) -> dict[str, Any]:
    """Train along with rank 0, to the end that it comes to. Returns nothing to speak of."""
    training = shared(prepared)
    group = training.group
    with stop.deferred(), Monitor(None, **cfg.hardware.readings) as monitor:
        observers = shared_observers(prepared, cfg, stop, monitor, None)
        begin_steps(group)
        train(
            prepared,
            observers,
            has_patience=group.first_says,
            should_go_on=group.first_says,
            on_batch=None,
            say=lambda sentence: None,
        )
        training.collect()
    return {}


def lead(job: RunState, observers: Sequence[Observer], say: Callable[[str], object]) -> None:
    """Train as rank 0, which decides what the others cannot know."""
    prepared, group = job.prepared, job.prepared.group
    assert group is not None
    begin_steps(group, [f"resume={job.folder}", *allowing_words(job.cfg)])
    train(
        prepared,
        observers,
        has_patience=lambda: group.first_says(not job.has_no_patience),
        should_go_on=lambda: group.first_says(prepared.should_go_on),
        on_batch=None,
        say=say,
    )
    shared(prepared).collect()


def begin_steps(group: Group, words: Sequence[str] = ()) -> None:
    """The last thing before the first step: all know how the run is resumed.

    Parameters
    ----------
    words : that do it; rank 0's count
    """
    group.resume_words = json.loads(group.bytes_of_first(json.dumps(list(words)).encode()))
    group.begin_steps()
