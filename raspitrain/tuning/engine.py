"""engine=auto: native or what would stand in for it, whichever takes the run's own network less
time. Traced networks are held against their own modules first."""

import copy
import gc
import hashlib
import logging
import random
import time

import numpy as np
import torch
from torch import Tensor, nn

from raspitrain.cache import recall, remember
from raspitrain.hardware.threads import one_thread
from raspitrain.model.engine.choose import (
    Engaged,
    compute,
    ends_in_torch,
    engine_of,
    engines_to_measure,
    kernels_in_use,
    left_to_torch,
    rows_of,
    set_engine,
)
from raspitrain.model.engine.general import load_graph_kernels, look_at_parts, why_uncovered
from raspitrain.model.engine.rows import Network, describe, says_its_rows
from raspitrain.model.engine.traced import RefusedError, copied, unchanged
from raspitrain.training.randomness import same_random_numbers
from raspitrain.tuning.trial import Trial

log = logging.getLogger(__name__)

CASES_TWICE = 4  # the most that is asked whether a forward gives the same again
CASES, POSITIONS = 16, 256  # the most that a measurement takes of a batch
TURN_SECONDS = 0.03
NUM_ROUNDS = 3
BUDGET_SECONDS = 1.0
CLEARLY = 1.2  # so much faster torch must be, or chance would decide where the two are as fast
ROUNDING = 0.01  # of outputs and gradients in float32; most networks' differ by far less
ROUNDING_IN_DOUBLE = 1e-6


def settle_engine(model: nn.Module, signals: Tensor) -> str | None:
    """Put the faster engine in place of `auto`: as an earlier measurement said, or one made now.

    Parameters
    ----------
    model : left alone where it says nothing of its rows, or the kernels do not compute them
    signals : (N, C, L), as training will see them

    Returns
    -------
    str or None
        Of a traced network a sentence for the user, if torch computes a part of it or all.
    """
    if engine_of(model) is None:
        return None
    signals = signals[:CASES].detach()
    if not isinstance(model, Engaged):  # which may take signals of one length only
        signals = signals[:, :, :POSITIONS]
    note = None
    if isinstance(model, Engaged) and engine_of(model) != "plain":
        note = _hold_against_modules(model, signals)
        gc.collect()  # copies of the network hold on to themselves, and to a batch of activations
    if engine_of(model) == "auto":
        _take_the_faster(model, signals)
        if note is not None and isinstance(model, Engaged) and engine_of(model) == "plain":
            note = (
                "engine: torch computes this network, which is faster here than compiled kernels "
                f"{'up to' if ends_in_torch(model) else 'for all but'} {left_to_torch(model)}"
            )
    return note


def _take_the_faster(model: nn.Module, signals: Tensor) -> None:
    assert isinstance(model, Engaged) or says_its_rows(model)
    engines = engines_to_measure(model, signals)
    if not engines:
        return
    assert isinstance(model, nn.Module)
    key = {
        "kernels": kernels_in_use(model),
        "torch": str(torch.__version__),
        "network": hashlib.sha256(describe(rows_of(model)).encode()).hexdigest(),
        "beside": left_to_torch(model),
        "signals": list(signals.shape),
    }
    kept = recall("engine", key)
    if kept not in engines:
        seconds = measure_engines(model, signals)
        kept = engines[_second_is_clearly_faster(seconds)]
        log.info(
            "Engine %s: a step takes %s ms",
            kept,
            " and ".join(f"{1000 * s:.1f} ({name})" for name, s in seconds.items()),
        )
        remember("engine", key, kept)
    set_engine(model, str(kept))


def measure_engines(network: Network | Engaged, signals: Tensor) -> dict[str, float]:
    """Seconds that forward and backward take with each engine; the network stays as it is.

    On one thread: the engine decides the last bits of a run's weights, and must not change with a
    number of threads that is itself measured later. Where torch comes out ahead both are measured
    again and the less counts: a turn may be a single step, one stall of the machine in it is enough
    to be that far behind, and the answer is kept for good.
    """
    seconds = _time_engines(network, signals)
    if _second_is_clearly_faster(seconds):
        again = _time_engines(network, signals)
        seconds = {name: min(seconds[name], again[name]) for name in seconds}
    return seconds


def _second_is_clearly_faster(seconds: dict[str, float]) -> bool:
    native, other = seconds.values()
    return CLEARLY * other < native


def _hold_against_modules(network: Engaged, signals: Tensor) -> str | None:
    """Where the kernels would give something else than a traced network's modules, or nothing, or
    may do so later, as forward keeps something, leave it to these. A sentence about what torch
    computes."""
    if load_graph_kernels(signals.dtype) is None:  # which said so in the log
        set_engine(network, "plain")
        return None
    why = why_uncovered(network, signals) or _otherwise_another_time(network, signals)
    if why is None and not (
        _agrees(network, signals, ROUNDING) or _agrees_in_double(network, signals)
    ):
        why = "its forward does something else than its layers one after another"
    if why is not None:
        set_engine(network, "plain")
        return f"engine: torch computes this network, as {why}"
    with same_random_numbers():
        look_at_parts(network, signals)
    left = left_to_torch(network)
    if left is None:
        return None
    if ends_in_torch(network):
        return f"engine: compiled kernels up to {left}, torch from there on"
    return f"engine: torch computes {left}; compiled kernels compute the rest"


def _agrees(network: Engaged, signals: Tensor, tolerance: float) -> bool:
    """Whether kernels and modules give the same, relative to its size."""
    ours, modules = (_one_step(network, signals, engine) for engine in ("native", "plain"))
    return all(_alike(mine, other, tolerance) for mine, other in zip(ours, modules, strict=True))


def _alike(one: Tensor, other: Tensor, tolerance: float) -> bool:
    return one.shape == other.shape and bool((one - other).norm() <= tolerance * other.norm())


def _agrees_in_double(network: Engaged, signals: Tensor) -> bool:
    """The same where rounding alone is large: a deep network's statistics over a few positions."""
    if load_graph_kernels(torch.float64) is None:
        return False
    twice = copy.deepcopy(network).double()
    try:
        return _agrees(twice, signals.double(), ROUNDING_IN_DOUBLE)
    except RuntimeError:  # a forward with numbers in float32
        return False


def _otherwise_another_time(network: Engaged, signals: Tensor) -> str | None:
    """Why a network's own forward may give something else the next time, as a clause; None: it
    will not."""
    signals = signals[:CASES_TWICE]
    try:
        model = copied(network)
        set_engine(model, "plain")
        with (
            same_random_numbers(),
            torch.inference_mode(False),
            torch.enable_grad(),
            unchanged(model),
        ):
            for training in (True, False):
                model.train(training)
                if not _alike(_seeded(model, signals), _seeded(model, signals), ROUNDING):
                    return "its forward gives something else the second time"
    except RefusedError as error:
        return str(error)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        return f"its forward cannot take a few cases ({error})"
    return None


def _seeded(model: nn.Module, signals: Tensor) -> Tensor:
    """A forward, always with the same of the global random numbers."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    output: Tensor = model(signals.clone())
    return output.detach()


def _one_step(network: nn.Module, signals: Tensor, engine: str) -> list[Tensor]:
    """Outputs in training and in evaluation, and all gradients in one, from the same randomness."""
    with same_random_numbers(), torch.inference_mode(False), torch.enable_grad():
        network = copy.deepcopy(network)
        set_engine(network, engine)
        torch.manual_seed(0)
        output = network(signals.clone())
        output.sin().sum().backward()  # gradients that no BatchNorm takes away
        gradients = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
        with torch.no_grad():
            evaluated = network.eval()(signals.clone())
    return [output.detach(), evaluated, torch.cat(gradients)]


def _time_engines(network: Network | Engaged, signals: Tensor) -> dict[str, float]:
    engines = engines_to_measure(network, signals)
    trial = Trial(
        range(len(engines)),
        turn_seconds=TURN_SECONDS,
        num_rounds=NUM_ROUNDS,
        budget_seconds=BUDGET_SECONDS,
    )
    # The first to ask may be one who wants no gradients.
    with (
        same_random_numbers(),
        torch.inference_mode(False),
        torch.enable_grad(),
        one_thread(),
    ):
        network = copy.deepcopy(network)
        assert isinstance(network, nn.Module)
        network.train()
        if isinstance(network, Engaged):  # a copy is traced and laid out anew, which is no step
            set_engine(network, "native")
            network(signals.clone()).sum().backward()
        while (candidate := trial.candidate) is not None:
            set_engine(network, engines[candidate])
            begin = time.perf_counter()
            features = compute(network, signals.clone())
            if features is None:
                features = network(signals.clone())
            features.sum().backward()
            trial.add(time.perf_counter() - begin)
    return {engines[c]: seconds for c, seconds in sorted(trial.seconds_per_step.items())}
