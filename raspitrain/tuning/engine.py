"""model.engine=auto: native or torch, whichever takes the run's own network less time."""

import copy
import hashlib
import logging
import time

import torch
from torch import Tensor, nn

from raspitrain.cache import recall, remember
from raspitrain.hardware.threads import one_thread
from raspitrain.model.engine.choose import compute
from raspitrain.model.engine.kernels import kernels_name, load_kernels
from raspitrain.model.engine.native import plan_of
from raspitrain.model.engine.rows import Network, describe
from raspitrain.training.randomness import same_random_numbers
from raspitrain.tuning.trial import Trial

log = logging.getLogger(__name__)

CANDIDATES = ("native", "torch")
CASES, POSITIONS = 16, 256  # the most that a measurement takes of a batch
TURN_SECONDS = 0.03
NUM_ROUNDS = 3
BUDGET_SECONDS = 1.0
CLEARLY = 1.2  # so much faster torch must be, or chance would decide where the two are as fast


def settle_engine(model: nn.Module, signals: Tensor) -> None:
    """Put the faster engine in place of `auto`: as an earlier measurement said, or one made now.

    Parameters
    ----------
    model : left alone where it says nothing of its rows, or the kernels do not compute them
    signals : (N, C, L), as training will see them
    """
    signals = signals[:CASES, :, :POSITIONS].detach()
    if not isinstance(model, Network) or model.engine != "auto":
        return
    if load_kernels(signals.dtype) is None or plan_of(model) is None:
        return
    key = {
        "kernels": kernels_name(),
        "torch": str(torch.__version__),
        "network": hashlib.sha256(describe(model).encode()).hexdigest(),
        "signals": list(signals.shape),
    }
    kept = recall("engine", key)
    if kept not in CANDIDATES:
        seconds = measure_engines(model, signals)
        kept = "torch" if _torch_is_clearly_faster(seconds) else "native"
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
    if _torch_is_clearly_faster(seconds):
        again = _time_engines(network, signals)
        seconds = {name: min(seconds[name], again[name]) for name in seconds}
    return seconds


def _torch_is_clearly_faster(seconds: dict[str, float]) -> bool:
    return CLEARLY * seconds["torch"] < seconds["native"]


def _time_engines(network: Network, signals: Tensor) -> dict[str, float]:
    trial = Trial(
        range(len(CANDIDATES)),
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
        while (candidate := trial.candidate) is not None:
            network.engine = CANDIDATES[candidate]
            begin = time.perf_counter()
            features = compute(network, signals.clone())
            assert features is not None
            features.sum().backward()
            trial.add(time.perf_counter() - begin)
    return {CANDIDATES[c]: seconds for c, seconds in trial.seconds_per_step.items()}
