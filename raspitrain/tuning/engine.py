"""engine=auto: native or what would stand in for it, whichever takes the run's own network less
time. Traced networks are held against their own modules first."""

import copy
import hashlib
import logging
import time

import torch
from torch import Tensor, nn

from raspitrain.cache import recall, remember
from raspitrain.hardware.threads import one_thread
from raspitrain.model.engine.choose import (
    Engaged,
    compute,
    engines_to_measure,
    kernels_in_use,
    left_to_torch,
)
from raspitrain.model.engine.general import load_graph_kernels
from raspitrain.model.engine.rows import Network, describe
from raspitrain.training.randomness import same_random_numbers
from raspitrain.tuning.trial import Trial

log = logging.getLogger(__name__)

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
    if not isinstance(model, Network):
        return None
    signals = signals[:CASES].detach()
    if not isinstance(model, Engaged):  # which may take signals of one length only
        signals = signals[:, :, :POSITIONS]
    note = None
    if isinstance(model, Engaged) and model.engine != "plain":
        note = _hold_against_modules(model, signals)
    if model.engine == "auto":
        _take_the_faster(model, signals)
    return note


def _take_the_faster(model: nn.Module, signals: Tensor) -> None:
    assert isinstance(model, Network)
    engines = engines_to_measure(model, signals)
    if not engines:
        return
    key = {
        "kernels": kernels_in_use(model),
        "torch": str(torch.__version__),
        "network": hashlib.sha256(describe(model).encode()).hexdigest(),
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
    model.engine = str(kept)


def measure_engines(network: Network, signals: Tensor) -> dict[str, float]:
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
    """Where the kernels would give something else than a traced network's modules, as of a forward
    that is not what its tracing says, or nothing, leave it to these. A sentence about what torch
    computes."""
    assert isinstance(network, Network)
    assert isinstance(network, nn.Module)
    left = left_to_torch(network)
    if load_graph_kernels(signals.dtype) is None:  # which said so in the log
        network.engine = "plain"
        return None
    if not engines_to_measure(network, signals):
        network.engine = "plain"
        why = left or "it makes of signals of this length what they do not know"
        return f"engine: torch computes this network, the compiled kernels do not know {why}"
    if not _agrees(network, signals, ROUNDING) and not _agrees_in_double(network, signals):
        network.engine = "plain"
        return (
            "engine: torch computes this network, as its forward does something else than its "
            "layers one after another"
        )
    if left is not None:
        return f"engine: compiled kernels up to {left}, torch from there on"
    return None


def _agrees(network: Network, signals: Tensor, tolerance: float) -> bool:
    """Whether kernels and modules give the same, relative to its size."""
    ours, modules = (_one_step(network, signals, engine) for engine in ("native", "plain"))
    return all(
        mine.shape == other.shape and bool((mine - other).norm() <= tolerance * other.norm())
        for mine, other in zip(ours, modules, strict=True)
    )


def _agrees_in_double(network: Network, signals: Tensor) -> bool:
    """The same where rounding alone is large: a deep network's statistics over a few positions."""
    if load_graph_kernels(torch.float64) is None:
        return False
    assert isinstance(network, nn.Module)
    twice = copy.deepcopy(network).double()
    assert isinstance(twice, Network)
    try:
        return _agrees(twice, signals.double(), ROUNDING_IN_DOUBLE)
    except RuntimeError:  # a forward with numbers in float32
        return False


def _one_step(network: Network, signals: Tensor, engine: str) -> list[Tensor]:
    """Outputs in training and in evaluation, and all gradients in one, from the same randomness."""
    with same_random_numbers(), torch.inference_mode(False), torch.enable_grad():
        network = copy.deepcopy(network)
        assert isinstance(network, nn.Module)
        network.engine = engine
        torch.manual_seed(0)
        output = network(signals.clone())
        output.sin().sum().backward()  # gradients that no BatchNorm takes away
        gradients = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
        with torch.no_grad():
            evaluated = network.eval()(signals.clone())
    return [output.detach(), evaluated, torch.cat(gradients)]


def _time_engines(network: Network, signals: Tensor) -> dict[str, float]:
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
            network.engine = "native"
            network(signals.clone()).sum().backward()
        while (candidate := trial.candidate) is not None:
            network.engine = engines[candidate]
            begin = time.perf_counter()
            features = compute(network, signals.clone())
            if features is None:
                features = network(signals.clone())
            features.sum().backward()
            trial.add(time.perf_counter() - begin)
    return {engines[c]: seconds for c, seconds in sorted(trial.seconds_per_step.items())}
