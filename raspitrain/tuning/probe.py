"""hardware.num_threads=auto: time a few steps with each number of threads, once, and keep it.

More threads are not always faster: a small network does not fill them, and where another process
keeps a core busy, all threads wait for the one that shares it.
"""

import copy
import logging
import math
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import raspitrain
from raspitrain.cache import recall, remember
from raspitrain.hardware.board import available_cores, machine_model
from raspitrain.hardware.load import (
    ENOUGH_SECONDS,
    cores_taken,
    cores_taken_since_start,
    read_load,
)
from raspitrain.hardware.threads import given_num_threads, thread_variables
from raspitrain.training.randomness import same_random_numbers
from raspitrain.tuning.trial import Trial, choose

log = logging.getLogger(__name__)

TURN_SECONDS = 0.06
NUM_ROUNDS = 5
FURTHER = (12, 16, 24, 32, 48, 64, 96, 128, 192)  # candidates above 8
BUDGET_SECONDS = 2.0


@dataclass(frozen=True)
class Chosen:
    """A number of threads, how it was found, and the figures behind it.

    Attributes
    ----------
    chosen_by : "configuration", "OMP_NUM_THREADS", "device", "one core", "measurement", "cache" or
        "failed measurement"
    ms_per_step : for each candidate; empty where nothing was measured
    cores_taken : by other processes meanwhile; None where nobody knows
    """

    num_threads: int
    chosen_by: str
    ms_per_step: dict[int, float]
    cores_taken: float | None


def choose_num_threads(
    num_threads: int | str,
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    batch: tuple[Tensor, Tensor],
    *,
    described_by: Mapping[str, Any],
    cores: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Chosen:
    """Choose the number of threads, and have torch use it.

    Parameters
    ----------
    num_threads : a number, which is taken as it is, or "auto"
    batch : signals (N, C, L) and labels (N,), as the run will see them
    described_by : what stands for model and loss in the cache: their configuration
    cores : how many there are at most; those open to this process if None

    Notes
    -----
    Model, loss and the sources of random numbers are afterwards as they were before: the run gives
    the same numbers as one that was told this number of threads.
    """
    cores = available_cores() if cores is None else cores
    chosen = _without_measuring(num_threads, batch[0].device, cores)
    if chosen is None:
        chosen = _measured(model, loss, batch, described_by, cores, clock)
    torch.set_num_threads(chosen.num_threads)
    _tell(chosen, cores)
    return chosen


def keep_chosen(state: Mapping[str, Any]) -> Chosen:
    """Have torch use the number that was chosen before; `state` holds Chosen's attributes."""
    chosen = Chosen(**state)
    torch.set_num_threads(chosen.num_threads)
    _tell(chosen, available_cores())
    return chosen


def _without_measuring(num_threads: int | str, device: torch.device, cores: int) -> Chosen | None:
    if num_threads != "auto":
        return Chosen(int(num_threads), "configuration", {}, None)
    given = given_num_threads(os.environ)
    if given is not None:
        return Chosen(given, "OMP_NUM_THREADS", {}, None)
    if device.type != "cpu":
        return Chosen(cores, "device", {}, None)
    if cores == 1:
        return Chosen(1, "one core", {}, None)
    return None


def _measured(
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    batch: tuple[Tensor, Tensor],
    described_by: Mapping[str, Any],
    cores: int,
    clock: Callable[[], float],
) -> Chosen:
    taken = cores_taken_since_start()
    tried = candidates(cores)

    def key(taken: float | None) -> dict[str, Any]:
        return {
            "machine": machine(),
            "candidates": tried,
            # An idle machine's choice is no good beside a busy neighbour.
            "cores_taken": None if taken is None else min(round(taken), cores),
            "batch": list(batch[0].shape),
            "described_by": described_by,
        }

    kept = _checked(recall("threads", key(taken)), tried)
    if kept:
        return Chosen(choose(kept), "cache", kept, taken)
    before = read_load()
    try:
        trial = try_numbers(model, loss, batch, tried, clock)
    except Exception as error:
        log.warning(
            "threads: hardware.num_threads=auto could not try this model out, so all %d cores "
            "are used (%s: %s)", cores, type(error).__name__, error,
        )  # fmt: skip
        return Chosen(cores, "failed measurement", {}, taken)
    ms_per_step = {c: 1e3 * seconds for c, seconds in sorted(trial.seconds_per_step.items())}
    after = read_load()
    if before is not None and after is not None and after.clock - before.clock > ENOUGH_SECONDS:
        taken = cores_taken(before, after)  # somebody may just have come or gone
    remember("threads", key(taken), {str(c): ms for c, ms in ms_per_step.items()})
    return Chosen(trial.choice, "measurement", ms_per_step, taken)


def candidates(cores: int) -> list[int]:
    """Numbers of threads to try, from all cores down; above 8 not every one."""
    return [n for n in range(cores, 0, -1) if n <= 8 or n == cores or n in FURTHER]


def machine() -> dict[str, Any]:
    """What a measurement depends on besides the work itself."""
    return {
        "model": machine_model(),
        "architecture": platform.machine(),
        "torch": torch.__version__,
        "raspitrain": raspitrain.__version__,
        "variables": thread_variables(os.environ),
    }


def _checked(kept: Any, tried: list[int]) -> dict[int, float]:
    """What the cache gave, if it can be true; else nothing."""
    if not isinstance(kept, dict) or len(kept) < 2:
        return {}
    names = {str(candidate) for candidate in tried}
    for name, ms in kept.items():
        if name not in names or not isinstance(ms, int | float) or not 0 < ms < math.inf:
            return {}
    return {int(name): float(ms) for name, ms in kept.items()}


def try_numbers(
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    batch: tuple[Tensor, Tensor],
    tried: list[int],
    clock: Callable[[], float],
) -> Trial:
    """Time forward and backward with each number of threads; leaves one of them in force."""
    trial = Trial(
        tried, turn_seconds=TURN_SECONDS, num_rounds=NUM_ROUNDS, budget_seconds=BUDGET_SECONDS
    )
    with same_random_numbers():
        model, loss = copy.deepcopy((model, loss))
        model.train()
        # Memory is asked for, kernels are loaded; a single thread waits for nobody.
        torch.set_num_threads(1)
        _step(model, loss, batch)
        while (candidate := trial.candidate) is not None:
            if torch.get_num_threads() != candidate:
                torch.set_num_threads(candidate)
            start = clock()
            _step(model, loss, batch)
            trial.add(clock() - start)
    return trial


def _step(
    model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], batch: tuple[Tensor, Tensor]
) -> None:
    signals, labels = batch
    loss(model(signals), labels).backward()
    model.zero_grad(set_to_none=True)


def _tell(chosen: Chosen, cores: int) -> None:
    figures = ", ".join(f"{c}: {ms:.1f}" for c, ms in sorted(chosen.ms_per_step.items()))
    taken = chosen.cores_taken
    log.info(
        "threads: %d (%s%s%s)",
        chosen.num_threads,
        chosen.chosen_by,
        f"; ms a step with {figures}" if figures else "",
        "" if taken is None else f"; others keep {taken:.1f} of {cores} cores busy",
    )
