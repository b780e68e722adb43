"""hardware.compile=true: torch.compile, where it can be had and a step gets faster by it."""

import logging
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from raspitrain.training.randomness import same_random_numbers
from raspitrain.tuning.trial import Trial

log = logging.getLogger(__name__)

Forward = Callable[[Tensor], Tensor]

AS_IT_IS, COMPILED = 0, 1  # of two that are as fast, the first is taken
TURN_SECONDS = 0.1
NUM_ROUNDS = 5
BUDGET_SECONDS = 5.0


@dataclass(frozen=True)
class Compiled:
    """What came of compiling.

    Attributes
    ----------
    forward : to be called in training in place of the model; None if the model itself is faster
    record : for summary.json: used, reason, compile_seconds, ms_per_step
    """

    forward: Forward | None
    record: dict[str, Any]


def compile_if_faster(
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    batches: Sequence[tuple[Tensor, Tensor]],
    *,
    compare: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> Compiled:
    """Compile the model for training, compare, and say in the log which it is to be.

    Parameters
    ----------
    batches : signals (N, C, L) and labels (N,), one of each size that the run will see, the
        largest first
    compare : without it, what can be compiled is used

    Notes
    -----
    Weights, buffers, gradients (none) and random numbers are afterwards as they were. The compiled
    forward works on the model's own parameters: state_dict() keeps its keys.
    """
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(shlex.split(compiler)[0]) is None:
        return _refused(f"there is no C++ compiler called {compiler}")

    def call(signals: Tensor) -> Tensor:
        return model(signals)

    log.info("torch.compile: compiling; this may take minutes on a small board")
    # Two sizes are compiled as one for any size, instead of twice.
    forwards: tuple[Forward, Forward] = (call, torch.compile(call, dynamic=len(batches) > 1))
    kept = [(module, _state(module)) for module in (model, loss) if isinstance(module, nn.Module)]
    start = clock()
    try:
        with same_random_numbers():
            for batch in batches:
                _step(model, forwards[COMPILED], loss, batch)
            compile_seconds = clock() - start
            trial = _compare(model, forwards, loss, batches[0], clock) if compare else None
    except Exception as error:
        first_line = (str(error).strip().splitlines() or [""])[0]
        torch.compiler.reset()  # what it holds is of no use any more
        return _refused(f"torch.compile failed ({type(error).__name__}: {first_line})")
    finally:
        for module, state in kept:
            module.load_state_dict(state)
        model.zero_grad(set_to_none=True)

    if trial is None:
        log.info("torch.compile: compiled in %.0f s", compile_seconds)
        record = {"used": True, "reason": None, "compile_seconds": compile_seconds}
        return Compiled(forwards[COMPILED], record)
    as_it_is, compiled = (1e3 * trial.seconds_per_step[c] for c in (AS_IT_IS, COMPILED))
    figures: dict[str, Any] = {
        "compile_seconds": compile_seconds,
        "ms_per_step": {"as_it_is": as_it_is, "compiled": compiled},
    }
    told = f"{compiled:.1f} ms a step compiled, {as_it_is:.1f} without"
    if trial.choice == AS_IT_IS:
        torch.compiler.reset()
        return _refused(f"it is not faster ({told})", **figures)
    log.info("torch.compile: %s; compiled in %.0f s", told, compile_seconds)
    return Compiled(forwards[COMPILED], {"used": True, "reason": None, **figures})


def _compare(
    model: nn.Module,
    forwards: tuple[Forward, Forward],
    loss: Callable[[Tensor, Tensor], Tensor],
    batch: tuple[Tensor, Tensor],
    clock: Callable[[], float],
) -> Trial:
    trial = Trial(
        (COMPILED, AS_IT_IS),
        turn_seconds=TURN_SECONDS,
        num_rounds=NUM_ROUNDS,
        budget_seconds=BUDGET_SECONDS,
    )
    _step(model, forwards[AS_IT_IS], loss, batch)
    while (candidate := trial.candidate) is not None:
        start = clock()
        _step(model, forwards[candidate], loss, batch)
        trial.add(clock() - start)
    return trial


def _step(
    model: nn.Module,
    forward: Forward,
    loss: Callable[[Tensor, Tensor], Tensor],
    batch: tuple[Tensor, Tensor],
) -> None:
    signals, labels = batch
    model.train()
    loss(forward(signals), labels).backward()
    model.zero_grad(set_to_none=True)
    if signals.device.type != "cpu":
        torch.accelerator.synchronize()


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _refused(reason: str, **figures: Any) -> Compiled:
    log.warning("hardware.compile=true has no effect: %s.", reason)
    return Compiled(None, {"used": False, "reason": reason, **figures})
