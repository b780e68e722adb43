"""Build everything that a run trains from its composed configuration."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from raspitrain.components import build
from raspitrain.data.batches import Part, choose_in_memory, load_part
from raspitrain.data.cases import Cases
from raspitrain.data.normalise import Normalisation, fit_normalisation
from raspitrain.data.split import split_cases
from raspitrain.errors import InputError
from raspitrain.hardware.compiled import Forward
from raspitrain.hardware.device import choose_device
from raspitrain.hardware.threads import apply_threads
from raspitrain.training.fit import Augment, Evaluation, Loss, OnStep, fit, parameter_groups

LARGE_SET = 200  # training cases from which batches of 32 do as well as 16, in half the time
EVALUATIONS = 40  # points on a curve that `eval_every: auto` aims at


@dataclass
class Prepared:
    """Everything that a run trains, built from its configuration."""

    cases: Cases
    normalisation: Normalisation
    parts: dict[str, Part]  # "train", and "validation" and "test" where they have cases
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    loss: Loss
    augment: Augment
    generator: torch.Generator
    device: torch.device
    epochs: int
    batch_size: int
    eval_every: int

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.parts["train"]) / self.batch_size)

    def fit(
        self, *, on_step: OnStep | None = None, forward: Forward | None = None
    ) -> Iterator[Evaluation]:
        """Train; see `raspitrain.training.fit.fit`, which takes the same parts one by one."""
        return fit(
            self.model,
            self.parts,
            self.optimizer,
            self.schedule,
            self.loss,
            augment=self.augment,
            epochs=self.epochs,
            batch_size=self.batch_size,
            eval_every=self.eval_every,
            generator=self.generator,
            device=self.device,
            class_names=self.cases.class_names,
            on_step=on_step,
            forward=forward,
        )


def prepare(cfg: DictConfig) -> Prepared:
    """Build every component that `cfg` names, the data loaded and split."""
    allowed = list(cfg.allowed_targets)
    apply_threads(cfg.hardware)
    device = choose_device(cfg.hardware.device)

    cases: Cases = build("dataset", cfg.dataset, allowed)
    split = split_cases(cases, seed=cfg.seed, **cfg.split)
    normalisation = fit_normalisation(cases.signals, split.train)
    in_memory = choose_in_memory(cases, cfg.in_memory)
    parts = {
        name: load_part(cases, indices, normalisation, in_memory=in_memory)
        for name in ("train", "validation", "test")
        if len(indices := getattr(split, name))
    }
    _, num_channels, length = cases.signals.shape
    num_train = len(parts["train"])
    batch_size = cfg.batch_size
    if batch_size == "auto":
        batch_size = 32 if num_train >= LARGE_SET else 16
    steps_per_epoch = math.ceil(num_train / batch_size)
    epochs = cfg.epochs
    if epochs == "auto":
        epochs = max(cfg.min_epochs, math.ceil(cfg.min_steps / steps_per_epoch))
    eval_every = math.ceil(epochs / EVALUATIONS) if cfg.eval_every == "auto" else cfg.eval_every

    torch.manual_seed(cfg.seed)  # initial weights and dropout
    facts = {
        "num_channels": num_channels,
        "num_classes": len(cases.class_names),
        "length": length,
        "train_labels": parts["train"].labels,
    }
    model = build("model", cfg.model, allowed, **facts).to(device)
    optimizer = _made(
        "optimizer", build("optimizer", cfg.optimizer, allowed), parameter_groups(model)
    )
    schedule = _made(
        "schedule",
        build("schedule", cfg.schedule, allowed),
        optimizer,
        total_steps=epochs * steps_per_epoch,
    )
    return Prepared(
        cases=cases,
        normalisation=normalisation,
        parts=parts,
        model=model,
        optimizer=optimizer,
        schedule=schedule,
        loss=build("loss", cfg.loss, allowed, **facts).to(device),
        augment=build("augment", cfg.augment, allowed),
        generator=torch.Generator().manual_seed(cfg.seed),  # order of cases, augmentation
        device=device,
        epochs=epochs,
        batch_size=batch_size,
        eval_every=eval_every,
    )


def _made(key: str, partial: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call what a `_partial_` node gave; its complaint is about the node's values."""
    try:
        return partial(*args, **kwargs)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{key} cannot be made: {error}") from error
