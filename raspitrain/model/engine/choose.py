"""Which engine does a network's arithmetic: the same numbers to rounding, at different speeds.

native: compiled kernels (kernels.c). torch: ordinary operations on (N, L, C). plain: the modules
as they are written, on (N, C, L), which is what an export traces and what any device runs.

auto takes native where the kernels cover the network, else torch; before a run the two are measured
on the run's own network (raspitrain.tuning.engine).
"""

from collections.abc import Callable
from itertools import islice

import torch
from torch import Tensor, nn

from raspitrain.model.engine import channels_last, native
from raspitrain.model.engine.kernels import load_kernels
from raspitrain.model.engine.rows import Network

ENGINES = ("auto", "native", "torch", "plain")


def compute(network: Network, x: Tensor) -> Tensor | None:
    """The last value of the network's rows for signals (N, C, L); None: that is for its modules."""
    if _is_native(network, x):
        return native.features(network, x) if native.covers(network, x) else None
    # The modules' own operations are the faster ones without gradients.
    if network.engine == "plain" or not _is_ours(x) or not torch.is_grad_enabled():
        return None
    assert isinstance(network, nn.Module)
    if native.has_hooks(islice(network.modules(), 1, None)):
        return None
    return channels_last.features(network.rows(), x)


def engine_in_use(model: nn.Module) -> str | None:
    """What computes when a network of rows is trained on the CPU; None for any other model."""
    if not isinstance(model, Network) or next(model.parameters()).device.type != "cpu":
        return None
    if model.engine not in ("auto", "native"):
        return model.engine
    if load_kernels(torch.float32) is None:
        return "torch"
    return "native" if native.plan_of(model) is not None else "plain"


def known_memory(
    model: nn.Module, signals: Tensor
) -> Callable[[int, bool], tuple[int, int]] | None:
    """What the compiled kernels take for signals like these (N, C, L).

    Returns
    -------
    callable or None
        From a number of cases, and whether the model trains, to the bytes that are kept for
        backward and those that are worked in. None where the kernels do not run this model.
    """
    if not isinstance(model, Network) or not _is_native(model, signals):
        return None
    kernels = load_kernels(signals.dtype)
    if kernels is None or not native.covers(model, signals):
        return None
    network, length = model, signals.shape[2]
    return lambda cases, training: native.memory_needed(
        network, kernels, cases=cases, length=length, training=training
    )


def _is_native(network: Network, x: Tensor) -> bool:
    return (
        network.engine in ("auto", "native") and _is_ours(x) and load_kernels(x.dtype) is not None
    )


def _is_ours(x: Tensor) -> bool:
    """Whether an engine may take over: nobody is looking at the modules."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
    )
