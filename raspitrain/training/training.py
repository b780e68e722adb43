"""Training: a model, all that changes it, and where it stands.

training = Training(parts, class_names, model, loss, optimizer, schedule, ...)
for evaluation in training.evaluations(epochs=30, eval_every=1):
    print(evaluation.row["test_accuracy"])

Shape letters: N cases in a batch, C channels, L length, K classes.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from raspitrain.data.batches import Part, batch_indices
from raspitrain.errors import InputError
from raspitrain.model.engine.choose import release
from raspitrain.model.ensemble import members_of, together
from raspitrain.training.closed_form import fit_closed_form, fit_features, has_closed_form
from raspitrain.training.metrics import OVERALL, Confusion, classification_report, confusion_matrix
from raspitrain.training.randomness import random_state, same_random_numbers, set_random_state

Loss = Callable[[Tensor, Tensor], Tensor]
Augment = Callable[[Tensor, torch.Generator], Tensor]


class NonFiniteLossError(InputError):
    """The loss of a step or of an evaluation is infinite or not a number."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step that has just been taken.

    Attributes
    ----------
    num_cases : in its batch
    seconds : that it took
    read_loss : gives its loss; a GPU is waited for
    """

    num_cases: int
    seconds: float
    read_loss: Callable[[], float]


@dataclass
class Evaluation:
    """One row of metrics.csv and the confusion matrices behind it; None for a part that the split
    leaves empty."""

    row: dict[str, Any]
    validation_confusion: Confusion | None
    test_confusion: Confusion | None


@dataclass
class Position:
    """Where training stands, between two steps: with the weights, the optimizer and the sources
    of random numbers it is all that resuming takes.

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

    def begin_epoch(self, lr: float, order: Tensor, device: torch.device) -> None:
        self.lr, self.order = lr, order
        self.total_loss = torch.zeros((), dtype=torch.float64, device=device)
        self.num_correct = torch.zeros((), dtype=torch.int64, device=device)

    def end_epoch(self) -> None:
        self.epoch += 1
        self.step_in_epoch = 0
        self.order = None


@dataclass
class Training:
    """Everything that the next step depends on.

    Attributes
    ----------
    parts : "train", and "validation" and "test" where the split has them
    model, loss : on `device`
    schedule : stepped once a step
    augment : None for none
    frozen : batch normalisations that stay as they are
    generator : the source of shuffling and augmentation
    position : kept up to date, so that a hook may end the training by an exception at any step
        and `evaluations` resumes from there later
    """

    parts: Mapping[str, Part]
    class_names: Sequence[str]
    model: nn.Module
    loss: nn.Module
    optimizer: Optimizer
    schedule: LRScheduler
    augment: Augment | None
    batch_size: int
    generator: torch.Generator
    device: torch.device
    position: Position = field(default_factory=Position)
    frozen: Sequence[nn.Module] = ()

    @property
    def in_one_step(self) -> bool:
        """Whether the model fits itself to all cases at once, and no gradients are taken."""
        return has_closed_form(self.model, len(self.parts["train"]))

    @property
    def step_cases(self) -> int:
        """The most cases of a step."""
        return self.batch_size

    @property
    def steps_per_epoch(self) -> int:
        if self.in_one_step:
            return 1
        return math.ceil(len(self.parts["train"]) / self.step_cases)

    def evaluations(
        self,
        epochs: int,
        *,
        eval_every: int = 1,
        on_step: Callable[[Step], None] | None = None,
        on_batch: Callable[[], None] | None = None,
    ) -> Iterator[Evaluation]:
        """Train up to `epochs`; yield an Evaluation every `eval_every` of them and after the last.

        Parameters
        ----------
        on_step : called after every step
        on_batch : called before every batch of an evaluation

        Raises
        ------
        NonFiniteLossError
            A loss is infinite or not a number.
        """
        position = self.position
        if position.step == 0 and not self.in_one_step:
            fit_features(
                self.model,
                self.parts["train"],
                generator=self.generator,
                device=self.device,
                on_batch=on_batch,
            )
        while position.epoch <= epochs:
            if self.in_one_step:
                train_figures = self._fit(on_step, on_batch)
            else:
                train_figures = self._train_epoch(on_step)
            evaluation = None
            if is_evaluated(position.epoch, epochs, eval_every):
                evaluation = self._evaluate_parts(train_figures, on_batch)
            position.end_epoch()
            if evaluation is not None:
                yield evaluation

    def _train_epoch(self, on_step: Callable[[Step], None] | None) -> dict[str, float]:
        """One pass over the training part in shuffled, near-equal batches, or what is left of one.

        Returns the mean loss and the accuracy over the whole epoch, as the batches saw the model
        while it was learning. Of an ensemble each member has an augmentation and a loss of its own,
        and the accuracy is that of all together.
        """
        position, train = self.position, self.parts["train"]
        self.model.train()
        for module in self.frozen:
            module.eval()
        batches = self._batches()
        began = time.perf_counter()
        for indices in batches[position.step_in_epoch :]:
            loss = self._take_step(indices)
            position.step += 1
            position.step_in_epoch += 1
            position.cases_seen += len(indices)
            seconds = time.perf_counter() - began
            position.seconds += seconds
            if on_step is not None:
                on_step(Step(len(indices), seconds, loss.item))
            began = time.perf_counter()
        mean_loss = position.total_loss.item() / len(train)
        position.seconds += time.perf_counter() - began  # in which a GPU has finished its work
        if not math.isfinite(mean_loss):
            raise self._non_finite(position.step)
        accuracy = position.num_correct.item() / len(train)
        return {"train_loss": mean_loss, "train_accuracy": accuracy}

    def _take_step(self, indices: Tensor) -> Tensor:
        """Train on the cases of one batch; its loss."""
        signals, labels = self.parts["train"].gather(indices)  # (N, C, L), (N,)
        loss, num_correct = self._take_gradients(signals, labels, self.generator)
        self.optimizer.step()
        self.schedule.step()
        self.position.total_loss += loss * len(indices)
        self.position.num_correct += num_correct
        return loss

    def _take_gradients(
        self, signals: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Gradients of a batch in place of the last one's; its loss, and how many of its cases are
        answered rightly."""
        labels = labels.to(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        answers, losses = [], []
        members = members_of(self.model)
        for member in members:
            # An augmentation of the user's own may write into what it is given.
            seen = signals if len(members) == 1 else signals.clone()
            if self.augment is not None:
                seen = self.augment(seen, generator)
            logits = member(seen.to(self.device))  # (N, K)
            loss = self.loss(logits, labels)
            self._check(loss)
            loss.backward()
            answers.append(logits.detach())
            losses.append(loss.detach())
        loss = losses[0] if len(losses) == 1 else torch.stack(losses).mean()
        return loss, (together(answers).argmax(1) == labels).sum()

    def _check(self, loss: Tensor) -> None:
        # Reading a number from a GPU waits for it, so there only the epoch's sum is looked at.
        if self.device.type == "cpu" and not math.isfinite(loss.item()):
            raise self._non_finite(self.position.step + 1)

    def _non_finite(self, step: int, part: str = "") -> NonFiniteLossError:
        """What ends a run whose loss is no number any more."""
        schedule = self.schedule
        starts_low = isinstance(schedule, LambdaLR) and schedule.lr_lambdas[0](0) < 1
        gentler = "" if starts_low else "schedule=onecycle (it starts low), "
        return NonFiniteLossError(
            f"The loss{part} is not a finite number any more at step {step}: try a lower "
            f"optimizer.lr, {gentler}or look for outliers in the data."
        )

    def _fit(
        self,
        on_step: Callable[[Step], None] | None,
        on_batch: Callable[[], None] | None,
    ) -> dict[str, float]:
        """All of the training of a model that has a closed form: an epoch of one step.

        Returns the loss and the accuracy on cases left out one by one.
        """
        position, train, device = self.position, self.parts["train"], self.device
        if position.step_in_epoch == 0:
            logits, seconds = fit_closed_form(
                self.model,
                train,
                generator=self.generator,
                device=device,
                on_batch=on_batch,
            )
            position.begin_epoch(0.0, self.generator.get_state(), device)
            loss = self.loss(logits.to(device), train.labels.to(device)).detach()
            position.total_loss += loss * len(train)
            position.num_correct += (logits.argmax(1) == train.labels).sum().to(device)
            position.step, position.step_in_epoch = 1, 1
            position.cases_seen += len(train)
            position.seconds += seconds
            if on_step is not None:
                on_step(Step(len(train), seconds, loss.item))
        mean_loss = position.total_loss.item() / len(train)
        if not math.isfinite(mean_loss):
            raise NonFiniteLossError(
                "The model's scores are not finite numbers: look for outliers in the data."
            )
        accuracy = position.num_correct.item() / len(train)
        return {"train_loss": mean_loss, "train_accuracy": accuracy}

    def _batches(self) -> list[Tensor]:
        """The epoch's batches: drawn anew, or in an epoch half done the same ones again."""
        position, generator = self.position, self.generator
        num_cases = len(self.parts["train"])
        now = generator.get_state()
        if position.order is None:
            position.begin_epoch(float(self.schedule.get_last_lr()[0]), now, self.device)
            return batch_indices(num_cases, self.step_cases, generator=generator)
        generator.set_state(position.order)
        batches = batch_indices(num_cases, self.step_cases, generator=generator)
        generator.set_state(now)
        return batches

    def _evaluate_parts(
        self, train_figures: Mapping[str, float], on_batch: Callable[[], None] | None
    ) -> Evaluation:
        position = self.position
        row: dict[str, Any] = {
            "epoch": position.epoch,
            "step": position.step,
            "lr": position.lr,
            **train_figures,
            "samples_per_second": position.cases_seen / position.seconds,
            "seconds": position.seconds,
        }
        confusions: dict[str, Confusion | None] = {"validation": None, "test": None}
        for name in confusions:
            if name not in self.parts:
                continue
            part_loss, confusion = self._evaluate(self.parts[name], on_batch)
            if not math.isfinite(part_loss):
                raise self._non_finite(position.step, f" on the {name} part")
            report: Mapping[str, object] = classification_report(confusion, self.class_names)
            row[f"{name}_loss"] = part_loss
            row |= {f"{name}_{key}": report[key] for key in OVERALL}
            confusions[name] = confusion
        return Evaluation(row, confusions["validation"], confusions["test"])

    def _evaluate(self, part: Part, on_batch: Callable[[], None] | None) -> tuple[float, Confusion]:
        return evaluate(
            self.model,
            part,
            self.loss,
            # No activations are kept for a backward pass, so a larger batch fits.
            batch_size=4 * self.batch_size,
            device=self.device,
            on_batch=on_batch,
        )

    def state(self) -> dict[str, Any]:
        """Everything that the next steps depend on, in dicts, lists, tensors and numbers.

        Weights are the live ones, no copies: write them before the next step.
        """
        return {
            "model": self.model.state_dict(),
            "loss": self.loss.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "random": random_state(),
            "position": asdict(self.position),
        }

    def release(self) -> None:
        """Give back the memory that only a next step needs; none can come after this."""
        self.optimizer.zero_grad(set_to_none=True)
        self.optimizer.state.clear()
        for member in members_of(self.model):
            release(member)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put everything to where `state()` found it.

        Raises
        ------
        KeyError, TypeError, ValueError, RuntimeError, AttributeError
            `state` does not fit.
        """
        self.model.load_state_dict(state["model"])
        self.loss.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])
        # A schedule takes any key as an attribute of its own.
        if set(state["schedule"]) != set(self.schedule.state_dict()):
            raise ValueError("another schedule")
        self.schedule.load_state_dict(state["schedule"])
        position = Position(**state["position"])
        for number in (position.epoch, position.step_in_epoch, position.step, position.cases_seen):
            if type(number) is not int or number < 0:
                raise ValueError("no position in a run")
        position.total_loss = position.total_loss.to(self.device)
        position.num_correct = position.num_correct.to(self.device)
        self.generator.set_state(state["generator"])
        if position.order is not None:
            torch.Generator().set_state(position.order)  # checked now, not in the middle of the run
        set_random_state(state["random"])
        self.position = position


def is_evaluated(epoch: int, epochs: int, eval_every: int) -> bool:
    """Whether an evaluation follows this epoch."""
    return epoch % eval_every == 0 or epoch == epochs


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """The model's parameters, with weight decay kept off biases and BatchNorm."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    part: Part,
    loss: Loss,
    *,
    batch_size: int,
    device: torch.device,
    on_batch: Callable[[], None] | None = None,
) -> tuple[float, Confusion]:
    """Mean loss over the part, NaN if a logit is, and its confusion matrix."""
    model.eval()
    total_loss = 0.0
    # One array from the start: a small one after each batch would lie where the logits of the next
    # would have gone, and the process would grow by as much with every batch.
    predictions = np.empty(len(part), np.int64)
    done = num_classes = 0
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
            predictions[done : done + len(indices)] = logits.argmax(1).cpu()
            done += len(indices)
    confusion = confusion_matrix(part.labels.numpy(), predictions, num_classes)
    return total_loss / len(part), confusion
