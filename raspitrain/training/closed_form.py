"""Models that are fitted by a formula, in one step, instead of by gradients.

Shape letters: N training cases, C channels, L length, K classes.
"""

import logging
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from raspitrain.data.batches import Part
from raspitrain.hardware.memory import memory_error
from raspitrain.model.ensemble import members_of, together

log = logging.getLogger(__name__)


@runtime_checkable
class ClosedForm(Protocol):
    """What such a model has beside `forward`."""

    def has_closed_form(self, num_cases: int) -> bool:
        """Whether `fit` is for so many training cases. Otherwise `fit_features` comes before the
        first step, and its parameters are trained by gradients."""

    def fit_bytes(self, num_cases: int) -> int:
        """Bytes of memory that `fit` takes, about."""

    def fit(
        self, gather: Callable[[Tensor], Tensor], labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Fit all of it; `gather` gives signals (B, C, L) for indices below N, labels are (N,).

        Returns logits (N, K), of each case by a model that has not seen it.
        """

    def fit_features(
        self, gather: Callable[[Tensor], Tensor], num_cases: int, generator: torch.Generator
    ) -> None:
        """Fit everything that has no gradients."""


def has_closed_form(model: nn.Module, num_cases: int) -> bool:
    """Whether training is one step, in which the model fits itself to so many cases."""
    return all(
        isinstance(member, ClosedForm) and member.has_closed_form(num_cases)
        for member in members_of(model)
    )


def check_fit_memory(model: nn.Module, num_cases: int, free: int, budget_mb: int | None) -> None:
    """InputError where fitting takes more than the `free` bytes of memory."""
    if not has_closed_form(model, num_cases):
        return
    member = members_of(model)[0]  # one is fitted after another
    assert isinstance(member, ClosedForm)
    needed = member.fit_bytes(num_cases)
    if needed > free:
        raise memory_error(
            f"fitting the model to {num_cases} cases at once takes about {needed / 1e6:.0f} MB of "
            f"memory, but {free / 1e6:.0f} MB are free: with a model.max_ridge_cases below "
            f"{num_cases} it is trained in batches instead.",
            needed, budget_mb,
        )  # fmt: skip


def fit_closed_form(
    model: nn.Module,
    train: Part,
    *,
    generator: torch.Generator,
    device: torch.device,
    on_batch: Callable[[], None] | None,
) -> tuple[Tensor, float]:
    """Fit the model to the training part; return logits (N, K) of its cases, each by a model that
    has not seen it, and the seconds it took.

    `on_batch` is called whenever signals are read, and may end all of it by an exception: what is
    drawn is drawn from a copy of `generator`, so that it can begin again.
    """
    log.info(
        "This model is fitted in one step: optimizer, schedule, augment, epochs and patience have "
        "no part in it; its training accuracy is that on cases left out one by one"
    )
    began = time.perf_counter()
    gather, drawn = _reader(train, device, on_batch), _copy(generator)
    logits = []
    for member in members_of(model):
        assert isinstance(member, ClosedForm)
        logits.append(member.fit(gather, train.labels, drawn))
    return together(logits).float(), time.perf_counter() - began


def fit_features(
    model: nn.Module,
    train: Part,
    *,
    generator: torch.Generator,
    device: torch.device,
    on_batch: Callable[[], None] | None,
) -> None:
    """Before the first step of training by gradients: what a model must see of the cases."""
    drawn = _copy(generator)
    for member in members_of(model):
        if isinstance(member, ClosedForm):
            member.fit_features(_reader(train, device, on_batch), len(train), drawn)


def _copy(generator: torch.Generator) -> torch.Generator:
    copy = torch.Generator()
    copy.set_state(generator.get_state())
    return copy


def _reader(
    train: Part, device: torch.device, on_batch: Callable[[], None] | None
) -> Callable[[Tensor], Tensor]:
    def gather(cases: Tensor) -> Tensor:
        if on_batch is not None:
            on_batch()
        return train.gather_signals(cases).to(device)

    return gather
