"""What a run will take of memory, held against what is there before the first step.

For our own networks on compiled kernels the figure is exact, from the network's table. Any other
model takes one small step, watched by `Watch`, and the figures of two sizes of batch tell those
of all.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from raspitrain.hardware.memory import free_bytes, memory_error, resident_bytes
from raspitrain.model.engine.choose import engine_in_use, known_memory
from raspitrain.model.ensemble import members_of
from raspitrain.report.plots import confusion_picture_bytes
from raspitrain.run.watch import Watch
from raspitrain.training.randomness import same_random_numbers

# Matplotlib at the end of a run, and what backward is the first to load of torch.
LATER_BYTES = 45_000_000
CLASS_BYTES = 9_000  # its figures in summary.json, on the page and in model.rpt, made as wholes
SPARE = 0.03  # of what a step takes: allocators round up and leave gaps
# torch's own convolutions take more than their tensors, which `Watch` does not see: code that is
# made for each shape, copies in another layout, gaps that these leave. Measured with seven networks
# at 25 and 100 cases of 3 x 512: 60 MB, and 0.1 to 0.5 of the step (once, resnet, 0.9). The former
# once for each member of an ensemble: 60 MB each with two and four of resnet.
CONVOLUTION_BYTES = 65_000_000
CONVOLUTION_SPARE = 0.4


@dataclass(frozen=True)
class Estimate:
    """What a run will hold at its fullest; MB of 10^6 bytes.

    Attributes
    ----------
    held_mb : what the process holds already: libraries, data in memory, weights
    model_mb : what comes with training: gradients, the optimizer's state, copies of the weights
    batch_mb : one step of the largest batch, or of evaluation
    later_mb : plots, and what exporting takes beyond what training has given back
    free_mb : what may still be taken, beside held_mb
    """

    held_mb: float
    model_mb: float
    batch_mb: float
    later_mb: float
    free_mb: float

    @property
    def peak_mb(self) -> float:
        return self.held_mb + self.model_mb + self.batch_mb + self.later_mb

    def record(self) -> dict[str, float]:
        """For environment.json."""
        return {
            "estimated_peak_mb": round(self.peak_mb, 1),
            "held_mb": round(self.held_mb, 1),
            "model_mb": round(self.model_mb, 1),
            "batch_mb": round(self.batch_mb, 1),
            "later_mb": round(self.later_mb, 1),
            "free_mb": round(self.free_mb, 1),
        }


def check_memory(
    *,
    model: Any,
    loss: Callable[..., Any],
    augment: Callable[..., Any],
    optimizer: Any,
    parts: Mapping[str, Any],
    num_classes: int,
    batch_size: int,
    in_memory: bool,
    export_bytes: int,
    budget_mb: int | None,
) -> Estimate:
    """Hold what training will take against what is there.

    Parameters
    ----------
    model, loss, augment, optimizer, parts, batch_size : as `fit` will get them
    in_memory : whether the parts hold their data, or read it
    export_bytes : what exporting takes once the run has ended, when the optimizer's state and the
        batch are gone
    budget_mb : see `free_bytes`

    Raises
    ------
    InputError
        It will not fit; names the largest batch that does.
    """
    later = LATER_BYTES + confusion_picture_bytes(num_classes) + CLASS_BYTES * num_classes
    spare = 0.0
    if _by_torchs_convolutions(members_of(model)[0]):
        later += CONVOLUTION_BYTES * len(members_of(model))
        spare = CONVOLUTION_SPARE
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    states = _states_per_weight(optimizer)
    # Gradients; the state; the weights of the best evaluation, and those about to replace them.
    model_bytes = weights * (1 + states + 2)

    free, held = free_bytes(budget_mb), resident_bytes()
    limit = f"{(held + free) / 1e6:.0f} MB are there"
    if budget_mb is not None:
        limit = f"hardware.memory_budget_mb={budget_mb:g} allows no more"
    advice = "in_memory=false, " if in_memory else ""
    advice += "export=none, " if export_bytes else ""
    last = "end other programs" if budget_mb is None else "allow more"
    advice += f"a smaller model or shorter signals, or {last}"
    ended_bytes = weights + export_bytes
    if max(model_bytes, ended_bytes) + later > free:
        # Before a step is tried, which would take as much.
        raise memory_error(
            "the model and its optimizer need about "
            f"{max(model_bytes, ended_bytes) / 1e6:.0f} MB of memory, plots "
            f"{later / 1e6:.0f} and libraries and data {held / 1e6:.0f}, but {limit}; no batch "
            f"fits, so take {advice}.",
            max(model_bytes, ended_bytes) + later, budget_mb,
        )  # fmt: skip
    step = _step_bytes(members_of(model), loss, augment, parts, num_classes, in_memory)

    def needed(size: int) -> int:
        return max(model_bytes + int(step(size) * (1 + SPARE + spare)), ended_bytes) + later

    num_cases = len(parts["train"])
    largest = math.ceil(num_cases / math.ceil(num_cases / batch_size))  # batches are near equal
    batch_bytes = step(largest) * (1 + SPARE + spare)
    export_beyond = max(0, ended_bytes - model_bytes - batch_bytes)
    estimate = Estimate(
        held / 1e6, model_bytes / 1e6, batch_bytes / 1e6, (later + export_beyond) / 1e6, free / 1e6
    )  # fmt: skip
    if needed(largest) <= free:
        return estimate
    needs = (
        f"batch_size={batch_size} needs about {estimate.peak_mb:.0f} MB of memory (libraries and "
        f"data {estimate.held_mb:.0f}, model and optimizer {estimate.model_mb:.0f}, a batch "
        f"{estimate.batch_mb:.0f}, plots {estimate.later_mb:.0f}), but {limit}"
    )
    fits = _largest(lambda size: needed(size) <= free, largest)
    if fits:
        raise memory_error(
            f"{needs}; the largest batch that fits is batch_size={fits}.",
            needed(largest), budget_mb,
        )  # fmt: skip
    raise memory_error(f"{needs}; no batch fits, so take {advice}.", needed(largest), budget_mb)


def _by_torchs_convolutions(model: Any) -> bool:
    """Neither compiled kernels nor, as with the torch engine, products of matrices."""
    if next(model.parameters()).device.type != "cpu":
        return False
    convolves = any(isinstance(module, nn.Conv1d) for module in model.modules())
    return convolves and engine_in_use(model) not in ("torch", "native")


def _largest(fits: Callable[[int], bool], below: int) -> int:
    """The largest number under `below` that fits; 0 if none does."""
    least, most = 0, below
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if fits(middle) else (least, middle)
    return least


def _states_per_weight(optimizer: Any) -> int:
    """Numbers that the optimizer remembers of each weight."""
    settings = optimizer.defaults
    if type(optimizer).__name__ == "SGD":
        return 1 if settings.get("momentum") else 0
    return 3 if settings.get("amsgrad") else 2  # Adam's; others have as many or fewer


def _step_bytes(
    members: Sequence[Any],
    loss: Callable[..., Any],
    augment: Callable[..., Any],
    parts: Mapping[str, Any],
    num_classes: int,
    in_memory: bool,
) -> Callable[[int], float]:
    """From a batch size to the bytes that a training step or an evaluation takes on top; members
    take theirs in turn, but what the kernels have taken stays theirs."""
    model = members[0]
    train = parts["train"]
    evaluated = max((len(part) for name, part in parts.items() if name != "train"), default=0)
    signals, labels = train.gather(torch.arange(min(2, len(train))))
    case_bytes = signals[0].numel() * signals.element_size()
    # As float32; where it is read, as stored and as float64, 8 bytes a number each, as well.
    copies = 1 if in_memory else 5

    known = known_memory(model, signals)
    if known is not None:

        def of_kernels(size: int) -> float:
            # What evaluation keeps is taken from the same memory, where that is large enough.
            kept, work = known(size, True)
            num_evaluated = min(4 * size, evaluated)
            kept_shown, work_shown = known(num_evaluated, False) if num_evaluated else (0, 0)
            batch = max((copies + 3) * size, (copies + 1) * num_evaluated) * case_bytes
            # Logits, their softmax, the gradients of both; evaluation keeps none.
            batch += max(6 * size, 3 * num_evaluated) * num_classes * signals.element_size()
            kernels = max(kept, kept_shown) + max(work, work_shown)
            return len(members) * kernels + batch

        return of_kernels

    device = next(model.parameters()).device
    if device.type != "cpu":
        return lambda size: float((copies + 3) * size * case_bytes)
    trained = _watched(model, loss, augment, (signals, labels), training=True)
    evaluation = _watched(model, loss, augment, (signals, labels), training=False)

    def of_any(size: int) -> float:
        num_evaluated = min(4 * size, evaluated)
        taken = trained(size) + copies * size * case_bytes
        evaluating = evaluation(num_evaluated) + copies * num_evaluated * case_bytes
        return max(taken, evaluating if num_evaluated else 0)

    return of_any


def _watched(
    model: Any,
    loss: Callable[..., Any],
    augment: Callable[..., Any],
    batch: Sequence[Any],
    *,
    training: bool,
) -> Callable[[int], float]:
    """Bytes that a step takes at its fullest, by batch size, from steps with 2 and 3 cases.

    Each moment of a step takes a·N + b bytes for a batch of N: two steps give a and b of every
    moment, and the fullest moment may be another one for a large batch than for a small one.
    """
    lives: list[list[int]] = []
    with same_random_numbers():
        model, loss = copy.deepcopy((model, loss))
        model.train(training)
        for size in (2, 3):
            signals, labels = (torch.cat([x, x])[:size].contiguous() for x in batch)
            if len(signals) < size:
                signals, labels = signals.repeat(3, 1, 1)[:size], labels.repeat(3)[:size]
            watch = Watch()
            with torch.set_grad_enabled(training), watch:
                if training:
                    signals = augment(signals, torch.Generator().manual_seed(0))
                value = loss(model(signals), labels)
                if training:
                    value.backward()
            del value
            model.zero_grad(set_to_none=True)
            lives.append(watch.live)
    small, large = lives
    if len(small) != len(large):  # the sizes went different ways
        small, large = [max(small)], [max(large)]
    slopes = [(b - a, 3 * a - 2 * b) for a, b in zip(small, large, strict=True)]
    return lambda size: float(max(a * size + b for a, b in slopes))
