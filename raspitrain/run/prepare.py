"""Build everything that a run trains from its composed configuration."""

import inspect
import math
import random
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from raspitrain.config.build import build, build_cases, expect, frontend_of
from raspitrain.config.older import STANDARD_AUGMENT
from raspitrain.config.own_code import told
from raspitrain.config.profile import is_settled, with_profile
from raspitrain.config.targets import resolve_target
from raspitrain.data.batches import Part, batch_indices, choose_in_memory, load_part
from raspitrain.data.cases import Cases
from raspitrain.data.frontend import Frontend, measured
from raspitrain.data.normalise import KINDS, Normalisation, choose_kind, fit_normalisation
from raspitrain.data.split import Split, split_cases
from raspitrain.data.summary import DataSummary, summarise
from raspitrain.errors import InputError
from raspitrain.export.size import can_be_exported, export_bytes
from raspitrain.hardware.device import choose_device
from raspitrain.hardware.memory import free_bytes, is_out_of_memory, out_of_memory_error
from raspitrain.hardware.threads import apply_threads
from raspitrain.model.engine.choose import engage, engine_in_use
from raspitrain.model.ensemble import members_of
from raspitrain.run.memory import Estimate, check_memory
from raspitrain.run.network import build_model
from raspitrain.run.observers import Observer
from raspitrain.run.start import (
    check_frontend,
    freeze,
    frozen_record,
    kept_normalisation,
    load_start,
    open_start,
)
from raspitrain.run.verdict import is_underfitted
from raspitrain.training.closed_form import ClosedForm, check_fit_memory, has_closed_form
from raspitrain.training.eager import without_compiler
from raspitrain.training.randomness import same_random_numbers
from raspitrain.training.training import (
    Augment,
    Training,
    is_evaluated,
    parameter_groups,
)
from raspitrain.tuning.engine import settle_engine
from raspitrain.tuning.tune import Tuned, tune

if TYPE_CHECKING:
    from raspitrain.distributed.group import Group

LARGE_SET = 200  # training cases from which batches of 32 do as well as 16, in half the time
AUTO_STEPS = 600  # that `min_steps: auto` begins with
CYCLES = 3  # of the schedule, each twice as long as the one before, that it may come to
EVALUATIONS = 40  # points on a curve that `eval_every: auto` aims at


@dataclass
class Prepared:
    """Everything that a run trains, built from its configuration."""

    cases: Cases
    split: Split
    data: DataSummary
    normalisation: Normalisation
    training: Training
    epochs: int
    schedule_epochs: int  # that the schedule is made for; one resumed for longer has more
    most_epochs: int  # that `go_on` may come to
    max_seconds: float  # of training, likewise
    make_schedule: Callable[[int], LRScheduler | None]  # from epochs; None where it has no end
    eval_every: int
    memory: Estimate
    tracker: Observer | None  # of the user's own
    init: dict[str, Any] | None  # for summary.json, where the run starts from trained weights
    notes: list[str]  # what was settled, where it is not as one would think
    strength_is_open: bool  # whether run/strength.py has still to choose how to augment
    augmentation: dict[str, Any] | None = None  # what it has found, for summary.json
    group: "Group | None" = None  # the ranks that train together, where there are several

    def is_evaluated(self, epoch: int) -> bool:
        return is_evaluated(epoch, self.epochs, self.eval_every)

    @property
    def seconds_of_trials(self) -> float:
        """What choosing the augmentation took, before training."""
        return 0.0 if self.augmentation is None else float(self.augmentation["seconds"])

    @property
    def should_go_on(self) -> bool:
        """Whether training has come to its end and too few of its cases are answered rightly, and
        there is room and time for another cycle of its schedule.

        What is decided depends on the training state alone, but for the seconds.
        """
        position, train = self.training.position, self.training.parts["train"]
        after = self.epochs + 2 * self.schedule_epochs
        return (
            position.epochs_done == self.epochs
            and after <= self.most_epochs
            and self.seconds_of_trials + position.seconds * after / self.epochs <= self.max_seconds
            and is_underfitted(self._train_accuracy, train.labels.numpy())
        )

    def go_on(self) -> str:
        """Give training another cycle of its schedule, twice as long as the one before (Loshchilov
        & Hutter, arXiv:1608.03983); say so."""
        accuracy, before, more = self._train_accuracy, self.epochs, 2 * self.schedule_epochs
        self.epochs, self.schedule_epochs = before + more, more
        self.training.schedule = self.make_schedule(more) or self.training.schedule
        return (
            f"{100 * accuracy:.1f} % of the training cases are answered rightly after {before} "
            f"epochs: training goes on for {more} more (min_steps=auto)"
        )

    @property
    def _train_accuracy(self) -> float:
        return self.training.position.num_correct.item() / len(self.training.parts["train"])


def prepare(
    cfg: DictConfig,
    *,
    schedule_epochs: int | None = None,
    normalisation: Normalisation | None = None,
    data: tuple[Cases, Split] | None = None,
    group: "Group | None" = None,
    num_shares: int | None = None,
) -> Prepared:
    """Build every component that `cfg` names, the data loaded and split.

    Parameters
    ----------
    schedule_epochs : how many epochs the schedule is made for: those of `cfg` if None
    normalisation : of a run that is resumed: it started from trained weights (init) once already,
        and kept theirs
    data : in place of those that `cfg` names
    group : the ranks that train together, of which this process is one
    num_shares : how many there were when the run began; as many as now if None
    """
    if not is_settled(cfg.hardware):
        cfg, _ = with_profile(cfg)
    allowed = list(cfg.allowed_targets)
    apply_threads(cfg.hardware)
    device = choose_device(cfg.hardware.device)
    if group is not None and device.type != "cpu":
        raise InputError(
            f"hardware.device={cfg.hardware.device}: boards train together on their processors "
            "alone; use hardware.device=cpu, or one process for the GPU."
        )

    if data is None:
        cases = build_cases(cfg.dataset, allowed)
        split = split_cases(cases, seed=cfg.seed, **cfg.split)
    else:
        cases, split = data
    stored = open_start(cfg.init) if cfg.init is not None and normalisation is None else None
    notes: list[str] = []
    if stored is not None:
        check_frontend(stored, cfg)
        normalisation, notes = kept_normalisation(stored, cases, split)
    elif normalisation is not None:
        own = normalisation.frontend
        here = fit_normalisation(cases.signals, split.train, "channel", own)
        normalisation = replace(normalisation, constant=here.constant)
    else:
        frontend = frontend_of(cfg, cases)
        if frontend is not None:
            frontend = measured(frontend, cases.signals, split.train)
        kind, notes = settle_normalisation(cfg, cases, split, frontend)
        normalisation = fit_normalisation(cases.signals, split.train, kind, frontend)
        if frontend is not None:
            told = frontend.words(cases.signals.shape[2])
            notes = [f"frontend={frontend.kind}: {told}", *notes]
    num_channels = normalisation.num_channels
    length = normalisation.seen_length(cases.signals.shape[2])
    budget_mb = cfg.hardware.memory_budget_mb
    in_memory = choose_in_memory(
        cases, cfg.in_memory, shape=(num_channels, length), free=free_bytes(budget_mb)
    )
    parts = {
        name: load_part(cases, indices, normalisation, in_memory=in_memory)
        for name in ("train", "validation", "test")
        if len(indices := getattr(split, name))
    }
    num_train = len(parts["train"])
    num_ranks = 1 if group is None else group.num_ranks
    num_shares = num_shares or num_ranks
    batch_size = cfg.batch_size
    if batch_size == "auto":
        batch_size = 32 if num_train >= LARGE_SET else 16
    # One board's: several together see as many cases in as many epochs.
    steps_per_epoch = math.ceil(num_train / batch_size)
    epochs = cfg.epochs
    goes_on = epochs == "auto" and cfg.min_steps == "auto"
    if epochs == "auto":
        least = AUTO_STEPS if cfg.min_steps == "auto" else cfg.min_steps
        epochs = max(cfg.min_epochs, math.ceil(least / steps_per_epoch))
    eval_every = math.ceil(epochs / EVALUATIONS) if cfg.eval_every == "auto" else cfg.eval_every

    torch.manual_seed(cfg.seed)  # initial weights and dropout
    random.seed(cfg.seed)  # for augmentation of the user's own
    np.random.seed(cfg.seed)
    facts = {
        "num_channels": num_channels,
        "num_classes": len(cases.class_names),
        "length": length,
        "train_labels": parts["train"].labels,
    }
    model = build_model(cfg, facts)
    start = None
    if stored is not None:
        start = load_start(model, stored, cfg, facts, cases)
        notes = [*start.notes, *notes]
    frozen = freeze(model, cfg.freeze, cfg, facts)
    if device.type != "cpu" and isinstance(members_of(model)[0], ClosedForm):
        device = torch.device("cpu")
        notes = [*notes, f"model ({cfg.model._target_}) is fitted by the processor, not by a GPU"]
    model = model.to(device)
    if has_closed_form(model, num_train):
        if group is not None:
            raise InputError(
                f"model ({cfg.model._target_}) is fitted to so few cases in one step, which cannot "
                f"be shared by {num_ranks} boards: train on one."
            )
        epochs = eval_every = 1
    loss = expect("loss", build("loss", cfg.loss, allowed, **facts), nn.Module).to(device)
    make_optimizer = without_compiler(build("optimizer", cfg.optimizer, allowed))
    if not parameter_groups(model):
        raise InputError(f"model ({cfg.model._target_}) has nothing to train: no parameters.")
    optimizer = _made("optimizer", make_optimizer, parameter_groups(model))
    expect("optimizer", optimizer, torch.optim.Optimizer)
    schedule_epochs = epochs if schedule_epochs is None else schedule_epochs
    schedule_of = build("schedule", cfg.schedule, allowed)
    takes = inspect.signature(resolve_target("schedule", cfg.schedule._target_, allowed)).parameters

    def make_schedule(epochs: int) -> LRScheduler | None:
        if "total_steps" not in takes:
            return None
        num_steps = epochs * math.ceil(num_train / (batch_size * num_shares))
        schedule = _made("schedule", schedule_of, optimizer, total_steps=num_steps)
        return cast(LRScheduler, expect("schedule", schedule, LRScheduler))

    schedule = make_schedule(schedule_epochs) or expect(
        "schedule", _made("schedule", schedule_of, optimizer), LRScheduler
    )
    strength_is_open = (
        _has_auto_strength(cfg) and num_train < LARGE_SET and not has_closed_form(model, num_train)
    )
    if strength_is_open and group is not None:
        strength_is_open = False
        notes = [*notes, "augment.strength=auto: 1 is taken, as several processes train together"]
    augment = augment_of(cfg)
    num_classes = len(cases.class_names)
    _try_out(model, loss, augment, make_optimizer, parts["train"], num_classes, device, allowed)
    estimate = partial(
        check_memory,
        model=model,
        loss=loss,
        augment=augment,
        optimizer=optimizer,
        parts=parts,
        num_classes=len(cases.class_names),
        batch_size=math.ceil(batch_size * num_shares / num_ranks),
        in_memory=in_memory,
        export_bytes=_export_bytes(cfg, model, parts, facts),
        budget_mb=budget_mb,
    )
    check_fit_memory(model, num_train, free_bytes(budget_mb), budget_mb)
    memory = estimate()
    if device.type == "cpu":
        before = engine_in_use(members_of(model)[0])
        batch = parts["train"].gather(torch.arange(min(batch_size, num_train)))[0]
        for number, member in enumerate(members_of(model)):
            note = None
            if not isinstance(member, ClosedForm):  # which has kernels of its own
                note = engage(member, cfg.hardware.engine, num_channels)
            note = settle_engine(member, batch) or note
            if note is not None and number == 0:  # the others are alike
                notes = [*notes, note]
        # Not where the kernels were expected: what measuring them left behind is no part of a run.
        settled = engine_in_use(members_of(model)[0])
        if settled == "torch" or settled != before:
            memory = estimate()
    training = Training(
        parts=parts,
        class_names=cases.class_names,
        model=model,
        loss=loss,
        optimizer=optimizer,
        schedule=schedule,
        augment=augment,
        batch_size=batch_size,
        generator=torch.Generator().manual_seed(cfg.seed),  # order of cases, augmentation
        device=device,
        frozen=frozen,
    )
    if group is not None:
        from raspitrain.training.shared import SharedTraining

        training = SharedTraining.of(training, group, cfg.seed, num_shares)
    tracker = None
    if cfg.get("tracker") is not None:
        with same_random_numbers():
            tracker = expect("tracker", build("tracker", cfg.tracker, allowed), Observer)
    return Prepared(
        cases=cases,
        split=split,
        data=summarise(cases, split),
        normalisation=normalisation,
        training=training,
        epochs=epochs,
        schedule_epochs=schedule_epochs,
        most_epochs=(2**CYCLES - 1) * epochs if goes_on and not training.in_one_step else epochs,
        max_seconds=60 * cfg.max_minutes,
        make_schedule=make_schedule,
        eval_every=eval_every,
        memory=memory,
        tracker=tracker,
        init=None if start is None else start.record | frozen_record(model, cfg.freeze),
        notes=notes,
        strength_is_open=strength_is_open,
        group=group,
    )


def _has_auto_strength(cfg: DictConfig) -> bool:
    return str(cfg.augment._target_) == STANDARD_AUGMENT and cfg.augment.strength == "auto"


def augment_of(cfg: DictConfig, strength: float = 1.0) -> Augment:
    """The augmentation that `cfg` names; `strength` in the place of auto."""
    node = cfg.augment
    if _has_auto_strength(cfg):
        node = node.copy()
        node.strength = strength
    augment: Augment = build("augment", node, list(cfg.allowed_targets))
    return augment


def settle_normalisation(
    cfg: DictConfig, cases: Cases, split: Split, frontend: Frontend | None
) -> tuple[str, list[str]]:
    """The kind of normalisation, and a sentence where the data asked for another than usual."""
    kind = cfg.dataset.get("normalise", "channel")  # a data set of the user's own may not say
    if kind in KINDS:
        return kind, []
    if kind != "auto":  # of a data set of the user's own, which no rule has seen
        raise InputError(f"dataset.normalise must be auto, {', '.join(KINDS)}; not {kind}.")
    if frontend is not None:  # logarithms of powers, in which loudness is no factor any more
        return "channel", []
    kind, apart = choose_kind(cases.signals, split.train)
    if kind == "channel":
        return kind, []
    return kind, [
        f"amplitudes of training cases lie {apart:.0f} times apart, so dataset.normalise={kind} is "
        "taken: each case by its own mean and spread, which are channels of their own; "
        "dataset.normalise=channel normalises all cases alike"
    ]


def tune_prepared(
    prepared: Prepared, cfg: DictConfig, before: dict[str, Any] | None = None
) -> Tuned:
    """Choose what is to be measured, on batches as training will see them."""
    training = prepared.training
    train = training.parts["train"]
    sizes = [len(b) for b in batch_indices(len(train), training.batch_size, generator=None)]
    signals, labels = train.gather(torch.arange(max(sizes)))
    return tune(
        members_of(training.model)[0],
        training.loss,
        (signals.to(training.device), labels.to(training.device)),
        hardware=cfg.hardware,
        described_by={
            "model": OmegaConf.to_container(cfg.model, resolve=True),
            "loss": OmegaConf.to_container(cfg.loss, resolve=True),
            "num_classes": len(prepared.cases.class_names),
            "flush_denormals": cfg.hardware.flush_denormals,
        },
        before=before,
    )


def _export_bytes(
    cfg: DictConfig, model: nn.Module, parts: Mapping[str, Part], facts: Mapping[str, Any]
) -> int:
    if not can_be_exported(cfg):
        return 0
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    compared = next(parts[name] for name in ("test", "validation", "train") if name in parts)
    shape = (facts["num_channels"], facts["length"], facts["num_classes"])
    return export_bytes(weights, len(compared), *shape)


def _made(key: str, partial: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call what a `_partial_` node gave; its complaint is about the node's values."""
    try:
        return partial(*args, **kwargs)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _wrong(f"{key} cannot be made: {error}", error) from error


def _wrong(sentence: str, error: Exception) -> InputError:
    """What a component's complaint means to the user."""
    return out_of_memory_error() if is_out_of_memory(error) else InputError(sentence)


def _try_out(
    model: nn.Module,
    loss: nn.Module,
    augment: Augment,
    make_optimizer: Callable[..., torch.optim.Optimizer],
    train: Part,
    num_classes: int,
    device: torch.device,
    allowed_targets: Collection[str],
) -> None:
    """See on a few cases that components which were never written for each other fit together,
    while a mistake can still be one sentence. Changes nothing."""
    signals, labels = train.gather(torch.arange(min(2, len(train))))
    shape = tuple(signals.shape)
    try:
        signals = augment(signals, torch.Generator())
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        why = told(error, allowed_targets)
        raise _wrong(f"augment cannot take signals and a generator: {why}", error) from error
    was_training = model.training
    with torch.inference_mode():
        try:
            logits = model.eval()(signals.to(device))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            why = told(error, allowed_targets)
            raise _wrong(
                f"model cannot take signals of shape {shape} (cases, channels, length): {why}",
                error,
            ) from error
        finally:
            model.train(was_training)
        if not isinstance(logits, torch.Tensor):
            raise InputError(
                f"model must give logits, a tensor (cases, classes), and gives a "
                f"{type(logits).__name__}."
            )
        if tuple(logits.shape) != (len(labels), num_classes):
            raise InputError(
                f"model must give logits of shape {(len(labels), num_classes)} (cases, classes) "
                f"for signals of shape {shape}, and gives {tuple(logits.shape)}."
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # such as shapes that only happen to broadcast
                value = loss(logits, labels.to(device))
        except (RuntimeError, ValueError, TypeError, IndexError, UserWarning) as error:
            why = told(error, allowed_targets)
            raise _wrong(f"loss cannot take logits and labels: {why}", error) from error
    if not isinstance(value, torch.Tensor) or value.ndim:
        raise InputError("loss must give one number a batch: use reduction=mean.")
    # On a weight of its own: not every wrong value is found when the optimizer is made.
    weight = nn.Parameter(torch.zeros(2, device=device))
    weight.grad = torch.zeros_like(weight)
    try:
        make_optimizer([weight]).step()
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        why = told(error, allowed_targets)
        raise _wrong(f"optimizer cannot take a step: {why}", error) from error
