"""A run under way, and what a checkpoint keeps of it."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from raspitrain.config.profile import Profile
from raspitrain.data.fingerprint import fingerprint
from raspitrain.data.normalise import Normalisation
from raspitrain.results.configuration import plain
from raspitrain.results.keeper import Keeper
from raspitrain.results.table import Table
from raspitrain.run.arithmetic import arithmetic
from raspitrain.run.environment import peak_memory_mb
from raspitrain.run.observers import Observer
from raspitrain.run.prepare import Prepared
from raspitrain.training.metrics import Confusion, confusion_of
from raspitrain.training.training import Evaluation, Step
from raspitrain.tuning.tune import Tuned


@dataclass
class RunState:
    """A run under way: what it is made of, and what it has shown so far.

    Attributes
    ----------
    data, made_by : what resuming compares: the data's fingerprint, machine and libraries
    best : on the validation part; without one, the last
    best_weights : None where best.pt alone holds them
    before : what `tune` needs of an earlier part of this run
    seconds_before, peak_before : of earlier parts
    environment : what environment.json says of the machine, found out once
    data_from : the folder that relative paths of the data count from, as the run began
    ranks : how several ranks share the work; None where there is one process alone
    resumed : when and where the run was resumed
    notes : sentences for the log, as soon as there is one
    unwritten : results that could not be written, by name, and why, the latest reason of each
    """

    prepared: Prepared
    cfg: DictConfig
    profile: Profile
    folder: Path
    keeper: Keeper
    table: Table
    data: str
    made_by: dict[str, Any]
    started: float
    best: Evaluation | None = None
    best_weights: dict[str, Tensor] | None = None
    evaluations_since_best: int = 0
    status: str = "completed"
    reason: str | None = None
    data_from: str = ""
    before: dict[str, Any] | None = None
    tuned: Tuned | None = None
    ranks: dict[str, Any] | None = None
    seconds_before: float = 0.0
    peak_before: float = 0.0
    environment: dict[str, Any] = field(default_factory=dict)
    resumed: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unwritten: dict[str, Exception] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    @property
    def peak_memory_mb(self) -> float:
        return max(self.peak_before, peak_memory_mb())

    @property
    def has_no_patience(self) -> bool:
        patience = self.cfg.patience
        return patience is not None and self.evaluations_since_best >= patience

    def keep(self, evaluation: Evaluation) -> None:
        """Take in an evaluation: its row, and its weights if they are the best so far."""
        evaluation.row["peak_memory_mb"] = self.peak_memory_mb
        self.table.append(evaluation.row)
        if self.best is None or _is_better(evaluation.row, self.best.row):
            weights = self.prepared.training.model.state_dict()
            self.best = evaluation
            self.best_weights = {name: w.detach().clone() for name, w in weights.items()}
            self.evaluations_since_best = 0
        else:
            self.evaluations_since_best += 1

    def save(self, *, warn: bool = True) -> bool:
        """Write last.pt, and best.pt where there is a better one; say whether that went well."""
        return self.keeper.save(_last_state(self), _best_state(self), warn=warn)


class Checkpoints(Observer):
    """Writes one where one is due; after an evaluation rather than before, to hold its row."""

    def __init__(self, job: RunState) -> None:
        self.job = job
        self.keeper, self.training = job.keeper, job.prepared.training

    def step(self, step: Step) -> None:
        position = self.training.position
        if position.step_in_epoch < self.training.steps_per_epoch:
            if self.keeper.is_due():
                self.job.save()
        elif not self.job.prepared.is_evaluated(position.epoch):
            self._end_of(position.epoch)

    def evaluation(self, evaluation: Evaluation) -> None:
        if not self.job.has_no_patience:  # else the run's end writes one
            self._end_of(self.training.position.epochs_done)

    def _end_of(self, epoch: int) -> None:
        if self.keeper.is_due_after(epoch):
            self.job.save()


def make_job(
    prepared: Prepared, cfg: DictConfig, profile: Profile, folder: Path, started: float
) -> RunState:
    """A run that has shown nothing yet."""
    keeper = Keeper(
        folder,
        minutes=cfg.checkpoint_minutes,
        epochs=cfg.checkpoint_epochs,
        share=cfg.checkpoint_share,
    )
    return RunState(
        prepared,
        cfg,
        profile,
        folder,
        keeper,
        Table(folder / "metrics.csv"),
        data=fingerprint(prepared.cases),
        made_by=arithmetic(prepared.training.model, prepared.training.device),
        started=started,
        data_from=_data_from(cfg),
        notes=[*_constant_note(constant_channels(prepared)), *prepared.notes],
    )


def _data_from(cfg: DictConfig) -> str:
    given = [cfg.dataset.get(key) for key in ("path", "annotations")]
    if all(not isinstance(p, str) or os.path.isabs(os.path.expanduser(p)) for p in given):
        return ""
    try:
        return os.getcwd()
    except OSError:  # it has been deleted
        return ""


def _constant_note(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    what = "channel" if len(names) == 1 else "channels"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return [
        "constant in the training part, so nothing is learnt from it: "
        f"{what} {', '.join(names[:5])}{more}"
    ]


def constant_channels(prepared: Prepared) -> list[str]:
    """Channels that never change over the training part, or by no more than rounding."""
    names = prepared.normalisation.seen_names(prepared.cases.channel_names)
    return [names[c] for c in np.flatnonzero(prepared.normalisation.constant).tolist()]


def _is_better(row: dict[str, Any], best: dict[str, Any]) -> bool:
    """By validation accuracy, then by validation loss. The test part is never asked: without a
    validation part the latest is taken."""
    if "validation_accuracy" not in row:
        return True
    return (row["validation_accuracy"], -row["validation_loss"]) > (
        best["validation_accuracy"],
        -best["validation_loss"],
    )


def _last_state(job: RunState) -> dict[str, Any]:
    """All that the run is, between two steps."""
    prepared, best = job.prepared, job.best
    training = prepared.training.state()
    model = training.pop("model")
    last_row = job.table.row(-1) if len(job.table) else None
    return {
        "model": model,
        "epoch": prepared.training.position.epochs_done,
        "step": prepared.training.position.step,
        "metrics": last_row,
        **_model_state(job),
        "training": training,
        "run": {
            "data": job.data,
            "init": prepared.init,
            "augmentation": prepared.augmentation,
            "made_by": job.made_by,
            "epochs": prepared.epochs,
            "schedule_epochs": prepared.schedule_epochs,
            "batch_size": prepared.training.batch_size,
            "eval_every": prepared.eval_every,
            "ranks": job.ranks,
            "tuned": job.before if job.tuned is None else job.tuned.state(),
            "table": job.table.state(),
            "best": None if best is None else _evaluation_state(best),
            "best_model": _best_model_state(job),
            "evaluations_since_best": job.evaluations_since_best,
            "seconds": job.seconds,
            "peak_memory_mb": job.peak_memory_mb,
            "resumed": job.resumed,
        },
    }


def _best_state(job: RunState) -> dict[str, Any] | None:
    """The model of the best evaluation, and what using it takes."""
    if job.best is None or job.best_weights is None:
        return None
    row = job.best.row
    return {
        "model": job.best_weights,
        "epoch": row["epoch"],
        "step": row["step"],
        "metrics": row,
        **_model_state(job),
    }


def _model_state(job: RunState) -> dict[str, Any]:
    prepared, frontend = job.prepared, job.prepared.normalisation.frontend
    return {
        "class_names": prepared.cases.class_names,
        "data": job.data,
        "data_from": job.data_from,
        "integer_labels": prepared.cases.integer_labels,
        "channel_names": prepared.cases.channel_names,
        "length": prepared.cases.signals.shape[2],
        "rate": prepared.cases.rate,
        "channels": prepared.data.record["channels"],  # unit, range and quantiles of each
        "mean": torch.from_numpy(prepared.normalisation.mean),
        "std": torch.from_numpy(prepared.normalisation.std),
        "normalise": _normalise_state(prepared.normalisation),
        "frontend": None if frontend is None else frontend.record(),
        "config": plain(job.cfg),
    }


def _normalise_state(normalisation: Normalisation) -> dict[str, Any]:
    of = normalisation.amplitudes
    figures = {} if of is None else {name: torch.from_numpy(x) for name, x in vars(of).items()}
    return {"kind": normalisation.kind, **figures}


def _best_model_state(job: RunState) -> dict[str, Tensor] | str | None:
    """The best weights; "model" where they are the live ones, None where best.pt will do, as the
    next evaluation is the best whatever it shows. A card wears by writing."""
    if job.best is None or job.best_weights is None:
        return None
    if job.best.row["step"] == job.prepared.training.position.step:
        return "model"
    return job.best_weights if "validation_accuracy" in job.best.row else None


def _evaluation_state(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "row": evaluation.row,
        "validation_confusion": _confusion_state(evaluation.validation_confusion),
        "test_confusion": _confusion_state(evaluation.test_confusion),
    }


def _confusion_state(confusion: Confusion | None) -> dict[str, Any] | None:
    if confusion is None:
        return None
    cells = np.stack([confusion.true, confusion.predicted, confusion.counts])
    return {"num_classes": confusion.num_classes, "cells": torch.from_numpy(cells)}


def restore_confusion(state: Mapping[str, Any] | Tensor | None) -> Confusion | None:
    """What `_confusion_state` kept; before 0.2 it was the whole matrix."""
    if state is None:
        return None
    if isinstance(state, Tensor):
        return confusion_of(state.numpy())
    return Confusion(state["num_classes"], *state["cells"].numpy())
