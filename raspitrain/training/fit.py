"""The training loop: fit, train_epoch, evaluate.

Shape letters: N cases in a batch, C channels, L length, K classes.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raspitrain.data.batches import Part, batch_indices
from raspitrain.errors import InputError
from raspitrain.results.metrics import classification_report, confusion_matrix

Loss = Callable[[Tensor, Tensor], Tensor]
Augment = Callable[[Tensor, torch.Generator], Tensor]
Forward = Callable[[Tensor], Tensor]
OnStep = Callable[[int, Callable[[], float]], None]


class NonFiniteLossError(InputError):
    """The loss of a step is infinite or not a number."""


@dataclass
class Evaluation:
    """One row of metrics.csv and the confusion matrices behind it, (K, K) with true classes as
    rows; None for a part that the split leaves empty."""

    row: dict[str, Any]
    validation_confusion: np.ndarray | None
    test_confusion: np.ndarray | None


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
    on_step: OnStep | None = None,
    forward: Forward | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Evaluation]:
    """Train `model` in place; yield an Evaluation every `eval_every` epochs and after the last.

    Parameters
    ----------
    parts : "train", and "validation" and "test" where the split has them
    schedule : stepped once a step
    generator : the source of shuffling and augmentation
    on_step : called after every step with the number of cases and a function that reads the loss
    forward : called in training in place of `model`, whose parameters it must use
    clock : of training time, in seconds; one that stands still while nothing is trained
    """
    step = 0
    training_seconds = 0.0
    cases_seen = 0
    for epoch in range(1, epochs + 1):
        start = clock()
        rate = schedule.get_last_lr()[0]
        train_loss, train_accuracy, num_steps = train_epoch(
            model,
            parts["train"],
            optimizer,
            schedule,
            loss,
            augment=augment,
            batch_size=batch_size,
            generator=generator,
            device=device,
            first_step=step + 1,
            on_step=on_step,
            forward=forward,
        )
        step += num_steps
        training_seconds += clock() - start
        cases_seen += len(parts["train"])
        if epoch % eval_every and epoch != epochs:
            continue
        row: dict[str, Any] = {
            "epoch": epoch,
            "step": step,
            "lr": rate,
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "samples_per_second": cases_seen / training_seconds,
            "seconds": training_seconds,
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
            )
            report = classification_report(confusion, class_names)
            row[f"{name}_loss"] = part_loss
            row[f"{name}_accuracy"] = report["accuracy"]
            row[f"{name}_macro_f1"] = report["macro_f1"]
            row[f"{name}_balanced_accuracy"] = report["balanced_accuracy"]
            confusions[name] = confusion
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
    first_step: int,
    on_step: OnStep | None,
    forward: Forward | None = None,
) -> tuple[float, float, int]:
    """One pass over the training part in shuffled, near-equal batches.

    Returns the mean loss and the accuracy over the whole epoch, as the batches saw the model
    while it was learning, and the number of steps. Raises NonFiniteLossError.
    """
    model.train()
    forward = model if forward is None else forward
    total_loss = torch.zeros((), dtype=torch.float64, device=device)
    num_correct = torch.zeros((), dtype=torch.int64, device=device)
    batches = batch_indices(len(train), batch_size, generator=generator)
    for number, indices in enumerate(batches):
        signals, labels = train.gather(indices)  # (N, C, L), (N,)
        if augment is not None:
            signals = augment(signals, generator)
        signals, labels = signals.to(device), labels.to(device)
        logits = forward(signals)  # (N, K)
        batch_loss = loss(logits, labels)
        # Reading a number from a GPU waits for it, so there only the epoch's sum is looked at.
        if device.type == "cpu" and not math.isfinite(batch_loss.item()):
            raise _non_finite(first_step + number)
        optimizer.zero_grad(set_to_none=True)
        batch_loss.backward()
        optimizer.step()
        schedule.step()
        total_loss += batch_loss.detach() * len(indices)
        num_correct += (logits.detach().argmax(1) == labels).sum()
        if on_step is not None:
            on_step(len(indices), batch_loss.detach().item)
    mean_loss = total_loss.item() / len(train)
    if not math.isfinite(mean_loss):
        raise _non_finite(first_step + len(batches) - 1)
    return mean_loss, num_correct.item() / len(train), len(batches)


def _non_finite(step: int) -> NonFiniteLossError:
    return NonFiniteLossError(
        f"The loss is not a finite number any more at step {step}: try a lower optimizer.lr, "
        "schedule=onecycle (it starts low), or look for outliers in the data."
    )


@torch.inference_mode()
def evaluate(
    model: nn.Module, part: Part, loss: Loss, *, batch_size: int, device: torch.device
) -> tuple[float, np.ndarray]:
    """Mean loss over the part and its confusion matrix, int64 (K, K) with true classes as rows."""
    model.eval()
    total_loss = 0.0
    predictions = []
    num_classes = 0
    for indices in batch_indices(len(part), batch_size, generator=None):
        signals, labels = part.gather(indices)
        logits = model(signals.to(device))  # (N, K)
        num_classes = logits.shape[1]
        total_loss += loss(logits, labels.to(device)).item() * len(indices)
        predictions.append(logits.argmax(1).cpu())
    confusion = confusion_matrix(part.labels.numpy(), torch.cat(predictions).numpy(), num_classes)
    return total_loss / len(part), confusion
