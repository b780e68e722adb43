"""The training loop: fit, train_epoch, evaluate.

Shape letters: N cases in a batch, C channels, L length, K classes.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raspitrain.data.batches import Part, batch_indices
from raspitrain.errors import InputError
from raspitrain.training.metrics import classification_report, confusion_matrix
from raspitrain.training.randomness import same_random_numbers

Loss = Callable[[Tensor, Tensor], Tensor]
Augment = Callable[[Tensor, torch.Generator], Tensor]
Forward = Callable[[Tensor], Tensor]
OnStep = Callable[[int, Callable[[], float]], None]


class NonFiniteLossError(InputError):
    """The loss of a step or of an evaluation is infinite or not a number."""


@dataclass
class Evaluation:
    """One row of metrics.csv and the confusion matrices behind it, (K, K) with true classes as
    rows; None for a part that the split leaves empty."""

    row: dict[str, Any]
    validation_confusion: np.ndarray | None
    test_confusion: np.ndarray | None


@dataclass
class Position:
    """Where training stands, between two steps: with the weights, the optimizer and the sources
    of random numbers it is all that going on takes.

    Attributes
    ----------
    epoch : the one under way, or the next; beyond the last when all are done
    step_in_epoch : how many of its steps are taken; all of them while its evaluation is due
    step, cases_seen, seconds : of the whole run; evaluation and writing take no seconds
    lr, total_loss, num_correct : of the epoch so far
    order : the generator's state from which the epoch's order of cases was drawn; None before
    """

    epoch: int = 1
    step_in_epoch: int = 0
    step: int = 0
    cases_seen: int = 0
    seconds: float = 0.0
    lr: float = 0.0
    total_loss: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    num_correct: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))
    order: Tensor | None = None

    @property
    def epochs_done(self) -> int:
        return self.epoch - 1

    def state(self) -> dict[str, Any]:
        """The attributes by name."""
        return asdict(self)

    def begin_epoch(self, lr: float, order: Tensor, device: torch.device) -> None:
        self.lr, self.order = lr, order
        self.total_loss = torch.zeros((), dtype=torch.float64, device=device)
        self.num_correct = torch.zeros((), dtype=torch.int64, device=device)

    def end_epoch(self) -> None:
        self.epoch += 1
        self.step_in_epoch = 0
        self.order = None


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """The model's parameters, with weight decay kept off biases and BatchNorm."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def fit(
    model: nn.Module,
    parts: dict[str, Part],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    loss: Loss,
    *,
    augment: Augment | None,
    epochs: int,
    batch_size: int,
    eval_every: int,
    generator: torch.Generator,
    device: torch.device,
    class_names: Sequence[str],
    position: Position | None = None,
    on_step: OnStep | None = None,
    on_batch: Callable[[], None] | None = None,
    forward: Forward | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Evaluation]:
    """Train `model` in place; yield an Evaluation every `eval_every` epochs and after the last.

    Parameters
    ----------
    parts : "train", and "validation" and "test" where the split has them
    schedule : stepped once a step
    generator : the source of shuffling and augmentation
    position : where to begin; kept up to date, so that `on_step` and `on_batch` may end the
        training by an exception and it can go on from there later. The beginning if None.
    on_step : called after every step with the number of cases and a function that reads the loss
    on_batch : called before every batch of an evaluation
    forward : called in training in place of `model`, whose parameters it must use
    clock : of training time, in seconds; it is not looked at during `on_step`
    """
    position = Position() if position is None else position
    while position.epoch <= epochs:
        train_loss, train_accuracy = train_epoch(
            model,
            parts["train"],
            optimizer,
            schedule,
            loss,
            augment=augment,
            batch_size=batch_size,
            generator=generator,
            device=device,
            position=position,
            on_step=on_step,
            forward=forward,
            clock=clock,
        )
        if position.epoch % eval_every and position.epoch != epochs:
            position.end_epoch()
            continue
        row: dict[str, Any] = {
            "epoch": position.epoch,
            "step": position.step,
            "lr": position.lr,
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "samples_per_second": position.cases_seen / position.seconds,
            "seconds": position.seconds,
        }
        confusions: dict[str, np.ndarray | None] = {"validation": None, "test": None}
        for name in confusions:
            if name not in parts:
                continue
            part_loss, confusion = evaluate(
                # No activations are kept for a backward pass, so a larger batch fits.
                model,
                parts[name],
                loss,
                batch_size=4 * batch_size,
                device=device,
                on_batch=on_batch,
            )
            if not math.isfinite(part_loss):
                raise NonFiniteLossError(_sentence(position.step, f" on the {name} part"))
            report = classification_report(confusion, class_names)
            row[f"{name}_loss"] = part_loss
            row[f"{name}_accuracy"] = report["accuracy"]
            row[f"{name}_macro_f1"] = report["macro_f1"]
            row[f"{name}_balanced_accuracy"] = report["balanced_accuracy"]
            confusions[name] = confusion
        position.end_epoch()
        yield Evaluation(row, confusions["validation"], confusions["test"])


def train_epoch(
    model: nn.Module,
    train: Part,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    loss: Loss,
    *,
    augment: Augment | None,
    batch_size: int,
    generator: torch.Generator,
    device: torch.device,
    position: Position,
    on_step: OnStep | None,
    forward: Forward | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """One pass over the training part in shuffled, near-equal batches, or what is left of one.

    Returns the mean loss and the accuracy over the whole epoch, as the batches saw the model
    while it was learning. Raises NonFiniteLossError.
    """
    model.train()
    forward = model if forward is None else forward
    batches = _batches(len(train), batch_size, generator, position, schedule, device)
    began = clock()
    for indices in batches[position.step_in_epoch :]:
        signals, labels = train.gather(indices)  # (N, C, L), (N,)
        if augment is not None:
            signals = augment(signals, generator)
        signals, labels = signals.to(device), labels.to(device)
        logits = forward(signals)  # (N, K)
        batch_loss = loss(logits, labels)
        # Reading a number from a GPU waits for it, so there only the epoch's sum is looked at.
        if device.type == "cpu" and not math.isfinite(batch_loss.item()):
            raise NonFiniteLossError(_sentence(position.step + 1))
        optimizer.zero_grad(set_to_none=True)
        batch_loss.backward()
        optimizer.step()
        schedule.step()
        position.total_loss += batch_loss.detach() * len(indices)
        position.num_correct += (logits.detach().argmax(1) == labels).sum()
        position.step += 1
        position.step_in_epoch += 1
        position.cases_seen += len(indices)
        now = clock()
        position.seconds += now - began
        began = now
        if on_step is not None:
            on_step(len(indices), batch_loss.detach().item)
            began = clock()
    mean_loss = position.total_loss.item() / len(train)
    position.seconds += clock() - began  # in which a GPU has finished its work
    if not math.isfinite(mean_loss):
        raise NonFiniteLossError(_sentence(position.step))
    return mean_loss, position.num_correct.item() / len(train)


def _batches(
    num_cases: int,
    batch_size: int,
    generator: torch.Generator,
    position: Position,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    device: torch.device,
) -> list[Tensor]:
    """The epoch's batches: drawn anew, or in an epoch half done the same ones again."""
    now = generator.get_state()
    if position.order is None:
        position.begin_epoch(float(schedule.get_last_lr()[0]), now, device)
        return batch_indices(num_cases, batch_size, generator=generator)
    generator.set_state(position.order)
    batches = batch_indices(num_cases, batch_size, generator=generator)
    generator.set_state(now)
    return batches


def _sentence(step: int, part: str = "") -> str:
    return (
        f"The loss{part} is not a finite number any more at step {step}: try a lower optimizer.lr, "
        "schedule=onecycle (it starts low), or look for outliers in the data."
    )


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    part: Part,
    loss: Loss,
    *,
    batch_size: int,
    device: torch.device,
    on_batch: Callable[[], None] | None = None,
) -> tuple[float, np.ndarray]:
    """Mean loss over the part, NaN if a logit is, and its confusion matrix, int64 (K, K) with true
    classes as rows."""
    model.eval()
    total_loss = 0.0
    predictions = []
    num_classes = 0
    with same_random_numbers():
        for indices in batch_indices(len(part), batch_size, generator=None):
            if on_batch is not None:
                on_batch()
            signals, labels = part.gather(indices)
            logits = model(signals.to(device))  # (N, K)
            num_classes = logits.shape[1]
            batch_loss = loss(logits, labels.to(device)).item()
            # A loss of the user's own may hide what no class can be chosen by.
            total_loss += math.nan if logits.isnan().any() else batch_loss * len(indices)
            predictions.append(logits.argmax(1).cpu())
    confusion = confusion_matrix(part.labels.numpy(), torch.cat(predictions).numpy(), num_classes)
    return total_loss / len(part), confusion
