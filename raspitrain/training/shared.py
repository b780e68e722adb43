"""Training of one model by several ranks, each on its share of every batch.

Gradients are summed at each step, or weights averaged every few steps (local SGD: Stich,
arXiv:1805.09767; Lin et al., arXiv:1808.07217). Either way one flat vector holds all of it, with
BatchNorm's statistics and a few flags, so that what is decided is decided by all ranks at once.
"""

import copy
import math
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer

from raspitrain.data.batches import Part
from raspitrain.distributed.group import Group
from raspitrain.distributed.plan import Plan, num_syncs
from raspitrain.training.metrics import Confusion, confusion_of
from raspitrain.training.randomness import same_random_numbers
from raspitrain.training.training import Training

TRIED_STEPS = 12
TRIED_SUMS = 6


@dataclass(frozen=True)
class Wishes:
    """What the ranks wish for at a step, each, or all of them added up.

    Attributes
    ----------
    stop : a signal has come
    pause : the board is too hot
    save : a checkpoint is due
    """

    stop: bool = False
    pause: bool = False
    save: bool = False


NUM_WISHES = len(fields(Wishes))


class Flat:
    """Parameters or their gradients, BatchNorm's statistics and a few numbers in one vector.

    Attributes
    ----------
    vector : float (M,)
    numbers : its end
    """

    def __init__(self, model: nn.Module, frozen: Sequence[nn.Module], num_numbers: int) -> None:
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        norms = [m for m in model.modules() if isinstance(m, _NormBase) and m not in frozen]
        self.statistics = [
            s for m in norms for s in (m.running_mean, m.running_var) if s is not None
        ]
        tensors = [*self.parameters, *self.statistics]
        dtype = torch.float32
        for tensor in tensors:
            dtype = torch.promote_types(dtype, tensor.dtype)
        sizes = [tensor.numel() for tensor in tensors]
        self.vector = torch.zeros(sum(sizes) + num_numbers, dtype=dtype)
        parts = self.vector.split([*sizes, num_numbers])
        self.views = [part.view(t.shape) for part, t in zip(parts[:-1], tensors, strict=True)]
        self.numbers = parts[-1]

    @torch.no_grad()
    def load(self, gradients: bool, share: float) -> None:
        """Take in gradients or weights, and the statistics, times `share`."""
        for view, tensor in zip(self.views, self._tensors(gradients), strict=True):
            if tensor is None:
                view.zero_()
            else:
                torch.mul(tensor, share, out=view)

    @torch.no_grad()
    def give_back(self, gradients: bool) -> None:
        for view, tensor in zip(self.views, self._tensors(gradients), strict=True):
            if tensor is not None:
                tensor.copy_(view)

    def _tensors(self, gradients: bool) -> list[Tensor | None]:
        first: list[Tensor | None] = [p.grad if gradients else p for p in self.parameters]
        return [*first, *self.statistics]


@dataclass
class SharedTraining(Training):
    """`Training` as one of several ranks, which all call the same methods in the same order.

    Attributes
    ----------
    group : the ranks
    seed : from which the random numbers of each step and rank come
    plan : how they share the work; set before the first step
    num_shares : batches of `batch_size` that a step takes, all ranks together: one for each rank
        with which the run began
    wishes : asked before the ranks agree, what this one wishes
    agreed : what they agreed on after the latest step; None between two agreements
    """

    group: Group = field(kw_only=True)
    seed: int = field(kw_only=True)
    num_shares: int = field(kw_only=True)
    plan: Plan = field(init=False)
    wishes: Callable[[], Wishes] = Wishes
    agreed: Wishes | None = None

    def __post_init__(self) -> None:
        # Loss and right answers since the ranks agreed last, and what they wish.
        self._flat = Flat(self.model, self.frozen, 2 + NUM_WISHES)
        self._own = torch.zeros(2, dtype=torch.float64)
        self._augmenting = torch.Generator()
        # Of each rank where they differ, and the step that they are of.
        self._optimizers: tuple[int, list[Tensor]] | None = None

    @classmethod
    def of(cls, training: Training, group: Group, seed: int, num_shares: int | None = None) -> Self:
        same = {each.name: getattr(training, each.name) for each in fields(Training)}
        return cls(**same, group=group, seed=seed, num_shares=num_shares or group.num_ranks)

    @property
    def step_cases(self) -> int:
        """A batch of `batch_size` for each rank that the run began with: fewer take larger ones,
        so that steps and schedule stay what they are."""
        return self.batch_size * self.num_shares

    @property
    def num_bytes(self) -> int:
        """That the ranks send each other at a time."""
        return self._flat.vector.numel() * self._flat.vector.element_size()

    @property
    def averages_weights(self) -> bool:
        return self.plan.sync_every > 1

    def start_alike(self) -> None:
        """Give all ranks the weights of rank 0, bit for bit."""
        self._flat.load(gradients=False, share=1.0)
        self._flat.numbers.zero_()
        self.group.copy_first(self._flat.vector)
        self._flat.give_back(gradients=False)

    def measure_sync(self) -> float:
        """Seconds that summing everything takes, the same number on all ranks."""
        seconds = []
        for _ in range(TRIED_SUMS):
            self._flat.vector.zero_()
            self.group.first_says()  # all begin together
            began = time.perf_counter()
            self.group.sum(self._flat.vector)
            seconds.append(time.perf_counter() - began)
        return self._largest(statistics.median(seconds[1:]))

    def measure_speed(self, num_cases: int) -> list[float]:
        """Cases a second of each rank in its own steps, while all of them are at work.

        Parameters
        ----------
        num_cases : of a step of this rank
        """
        num_cases = min(num_cases, len(self.parts["train"]))
        signals, labels = self.parts["train"].gather(torch.arange(num_cases))
        seconds = []
        with same_random_numbers():
            model, loss, optimizer = copy.deepcopy((self.model, self.loss, self.optimizer))
            model.train()
            self.group.first_says()
            for _ in range(TRIED_STEPS):
                began = time.perf_counter()
                loss(model(signals), labels).backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                seconds.append(time.perf_counter() - began)
        speed = num_cases / min(seconds)  # what else a board does only slows it down
        return [each.item() for each in self.group.all(torch.tensor(speed, dtype=torch.float64))]

    def collect(self) -> None:
        """Bring to rank 0 what a checkpoint holds of the others: the optimizer's state, where each
        has its own."""
        if not self.averages_weights:
            return
        tensors = [tensor.flatten() for tensor in _optimizer_tensors(self.optimizer)]
        of_all = self.group.collect(torch.cat(tensors)) if tensors else []
        self._optimizers = (self.position.step, of_all or [])

    def state(self) -> dict[str, Any]:
        of_all: list[Tensor] = []
        if self.position.step and self.averages_weights:
            assert self._optimizers is not None
            assert self._optimizers[0] == self.position.step
            of_all = self._optimizers[1]
        return super().state() | {"optimizers": of_all}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        of_all = list(state["optimizers"])
        if not of_all:
            return
        if len(of_all) != self.group.num_ranks:
            # Nobody's own any more; weights are averaged in the same way.
            of_all = [torch.stack(of_all).mean(0)] * self.group.num_ranks
        self._optimizers = (self.position.step, of_all)
        own, done = of_all[self.group.rank], 0
        for tensor in _optimizer_tensors(self.optimizer):
            tensor.copy_(own[done : done + tensor.numel()].view(tensor.shape))
            done += tensor.numel()
        if done != len(own):
            raise ValueError("another optimizer")

    def _take_step(self, indices: Tensor) -> Tensor:
        """This rank's share of the batch."""
        position, rank = self.position, self.group.rank
        self._begin_random_numbers()
        own = indices[self.plan.own(len(indices), rank)]
        signals, labels = self.parts["train"].gather(own)
        loss, num_correct = self._take_gradients(signals, labels, self._augmenting)
        self._own[0] += loss * len(own)
        self._own[1] += num_correct
        self.agreed = None
        if not self.averages_weights:
            self._agree(gradients=True, share=len(own) / len(indices))
        self.optimizer.step()
        self.schedule.step()
        if self.averages_weights and self._is_sync(position.step_in_epoch + 1):
            self._agree(gradients=False, share=self.plan.shares[rank])
        return loss

    def _is_sync(self, step: int) -> bool:
        """Whether weights are averaged after this step of an epoch, counted from 1: as evenly as
        may be, and always after the last."""
        num_steps = self.steps_per_epoch
        num = num_syncs(num_steps, self.plan.sync_every)
        return step * num // num_steps > (step - 1) * num // num_steps

    def _check(self, loss: Tensor) -> None:
        """All ranks look at all losses, once they are summed."""

    def _agree(self, *, gradients: bool, share: float) -> None:
        """Sum what the flat vector holds over the ranks, and take it."""
        flat, wishes = self._flat, self.wishes()
        flat.load(gradients, share)
        flat.numbers[:2] = self._own
        flat.numbers[2:] = torch.tensor([wishes.stop, wishes.pause, wishes.save])
        self.group.sum(flat.vector)
        loss, correct, *wished = flat.numbers.tolist()
        if not math.isfinite(loss):
            raise self._non_finite(self.position.step + 1)
        flat.give_back(gradients)
        self._own.zero_()
        self.position.total_loss += loss
        self.position.num_correct += round(correct)
        self.agreed = Wishes(*(count > 0 for count in wished))

    def _begin_random_numbers(self) -> None:
        """All that is random in a step comes from the run's seed, the step and the rank: a run that
        is resumed needs no other rank's sources."""
        words = np.random.SeedSequence((self.seed, self.position.step, self.group.rank))
        own, others = (int(word) for word in words.generate_state(2, np.uint32))
        self._augmenting.manual_seed(own)
        torch.manual_seed(others)
        random.seed(others)
        np.random.seed(others)

    def _evaluate(self, part: Part, on_batch: Callable[[], None] | None) -> tuple[float, Confusion]:
        """Each rank's share of the part, added up; signals wait for the next step, as all ranks
        must come to the end of it."""
        own = self.plan.own(len(part), self.group.rank)
        num_classes = len(self.class_names)
        total = torch.zeros(1, dtype=torch.float64)
        matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        if own.stop > own.start:
            of_rank = Part(
                part.labels[own], lambda indices: part.gather_signals(indices + own.start)
            )
            mean_loss, confusion = super()._evaluate(of_rank, None)
            total += mean_loss * len(of_rank)
            matrix += torch.from_numpy(confusion.matrix())
        self.group.sum(total)
        self.group.sum(matrix)
        return total.item() / len(part), confusion_of(matrix.numpy())

    def _largest(self, number: float) -> float:
        own = torch.tensor(number, dtype=torch.float64)
        return max(each.item() for each in self.group.all(own))


def _optimizer_tensors(optimizer: Optimizer) -> Iterable[Tensor]:
    """All of the optimizer's state that its steps change, beside counters; in a fixed order."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            own = optimizer.state.get(parameter, {})
            for name in sorted(own):
                value = own[name]
                if isinstance(value, Tensor) and value.is_floating_point() and value.ndim:
                    yield value
