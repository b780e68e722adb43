"""augment.strength=auto: how strongly a run's signals are changed, by short trials beforehand.

    if prepared.strength_is_open:
        print(settle_strength(prepared, cfg))

Where cases are few, augmentation decides about many points of accuracy, either way. Each strength
is tried on folds of the run's own training part: a run with the same words and a sixth of the steps
learns the other folds. Its validation and test part are never looked at. A strong augmentation
takes longer to learn, so short trials favour a weak one: it must be better by more than chance.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from raspitrain.data.split import Split, folds_within
from raspitrain.errors import InputError
from raspitrain.model.engine.choose import engine_in_use
from raspitrain.model.ensemble import members_of
from raspitrain.run.prepare import Prepared, augment_of, prepare
from raspitrain.training.metrics import standard_error
from raspitrain.training.randomness import same_random_numbers

FULL, WEAK, NONE = 1.0, 0.5, 0.0
NUM_FOLDS = 3
TRIALS = 2 * NUM_FOLDS  # that take as many steps as the run together: those of FULL and of NONE
LEAST_STEPS = 40  # of a trial: after fewer of them a network has not learnt enough to tell


@dataclass
class Tried:
    """A strength, and how many of the training cases were answered rightly with it, unseen."""

    strength: float
    correct: int = 0
    cases: int = 0

    @property
    def accuracy(self) -> float:
        return self.correct / self.cases


def settle_strength(
    prepared: Prepared,
    cfg: DictConfig,
    *,
    on_step: Callable[[], None] = lambda: None,
    on_batch: Callable[[], None] = lambda: None,
) -> str:
    """Choose the strength, let the run train with it, keep the figures in `prepared.augmentation`;
    a sentence on what was tried and taken. The run's random numbers stay as they are.

    Parameters
    ----------
    cfg : of the run
    on_step, on_batch : called after every step and before every batch of an evaluation; may end
        the trials by an exception, and nothing has been chosen then
    """
    began = time.perf_counter()
    tried: list[Tried] = []
    steps = 0

    def check_time() -> None:
        on_step()
        if time.perf_counter() - began > prepared.max_seconds:
            raise InputError("max_minutes were over before the trials were done")

    try:
        splits = folds_of_training(prepared, cfg)
        epochs, steps = length_of_trial(prepared, splits)

        def trial(strength: float) -> Tried:
            found = Tried(strength)
            own = _shorter(prepared, cfg, strength, epochs)
            for split in splits:
                _one_fold(found, own, prepared, split, check_time, on_batch)
            return found

        with same_random_numbers():
            tried = [trial(FULL), trial(NONE)]
            if choose(tried).strength != FULL:
                tried.insert(1, trial(WEAK))
        taken = choose(tried).strength
        figures = ", ".join(f"{100 * t.accuracy:.1f} % at {t.strength:g}" for t in tried)
        sentence = (
            f"augment.strength={taken:g} is taken (auto): after {steps} steps on {len(splits)} "
            f"folds of the {tried[0].cases} training cases, {figures} are answered rightly"
        )
    except InputError as error:
        taken, tried = FULL, []
        sentence = f"augment.strength={taken:g} is taken (auto), without trials: {error}"
    found = {
        "strength": taken,
        "tried": [vars(each) for each in tried],
        "steps": steps,
        "seconds": time.perf_counter() - began,
        "sentence": sentence,
    }
    keep_strength(prepared, cfg, found)
    return sentence


def keep_strength(prepared: Prepared, cfg: DictConfig, found: Mapping[str, Any]) -> None:
    """Let a run train with a strength that was chosen, now or before it was resumed.

    Parameters
    ----------
    found : as `settle_strength` leaves it in `prepared.augmentation`

    Raises
    ------
    KeyError, TypeError, ValueError
        It is nothing of the kind.
    """
    strength, _ = float(found["strength"]), float(found["seconds"])
    prepared.training.augment = augment_of(cfg, strength)
    prepared.augmentation = dict(found)
    prepared.strength_is_open = False


def choose(tried: Sequence[Tried]) -> Tried:
    """The strongest of those within one standard error of the most accurate: few cases are much
    chance, and what is usual needs no proof."""
    best = max(tried, key=lambda each: each.accuracy)
    least = best.accuracy - standard_error(best.correct, best.cases)
    return max((t for t in tried if t.accuracy >= least), key=lambda each: each.strength)


def folds_of_training(prepared: Prepared, cfg: DictConfig) -> list[Split]:
    """Folds of the training part alone.

    Raises
    ------
    InputError
        All of its cases are of one group.
    """
    cases, train = prepared.cases, prepared.split.train
    count = min(NUM_FOLDS, len(train))
    if cases.groups is not None:
        count = min(count, len(np.unique(cases.groups[train])))
    if count < 2:
        raise InputError(f"all training cases are of one {cases.taken.keeps}")
    return folds_within(cases, train, count, stratify=cfg.split.stratify, seed=cfg.seed)


def length_of_trial(prepared: Prepared, splits: Sequence[Split]) -> tuple[int, int]:
    """Epochs and steps of a trial on such folds.

    Raises
    ------
    InputError
        Those are too few to tell anything.
    """
    training = prepared.training
    steps_of_run = prepared.epochs * training.steps_per_epoch
    steps_of_epoch = math.ceil(max(len(s.train) for s in splits) / training.batch_size)
    epochs = steps_of_run // (TRIALS * steps_of_epoch)
    if epochs * steps_of_epoch < LEAST_STEPS:
        raise InputError(
            f"a run of {steps_of_run} steps is too short for trials of {LEAST_STEPS} or more"
        )
    return epochs, epochs * steps_of_epoch


def _one_fold(
    found: Tried,
    cfg: DictConfig,
    prepared: Prepared,
    split: Split,
    on_step: Callable[[], None],
    on_batch: Callable[[], None],
) -> None:
    trial = prepare(cfg, data=(prepared.cases, split))
    *_, last = trial.training.evaluations(
        trial.epochs, eval_every=trial.epochs, on_step=lambda _: on_step(), on_batch=on_batch
    )
    assert last.test_confusion is not None
    found.correct += int(last.test_confusion.hits.sum())
    found.cases += last.test_confusion.num_cases


def _shorter(prepared: Prepared, cfg: DictConfig, strength: float, epochs: int) -> DictConfig:
    """The run's configuration for a trial, with all that has been settled for the run already."""
    own = cfg.copy()
    engine = engine_in_use(members_of(prepared.training.model)[0])
    settled: dict[str, Any] = {
        "augment.strength": strength,
        "epochs": epochs,
        "batch_size": prepared.training.batch_size,
        "ensemble": 1,
        "export": "none",
        "hardware.num_threads": torch.get_num_threads(),
        "hardware.engine": "native" if engine == "native" else "plain",
    }
    if own.model.get("engine") == "auto" and engine is not None:
        settled["model.engine"] = engine
    if "tracker" in own:
        settled["tracker"] = None
    for key, value in settled.items():
        OmegaConf.update(own, key, value)
    return own
