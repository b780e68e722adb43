"""Which engine does a network's arithmetic: the same numbers to rounding, at different speeds.

native: compiled kernels (kernels.c, graph.c). torch: ordinary operations on (N, L, C). plain: the
modules as they are written, on (N, C, L), which is what an export traces and what any device runs.

auto takes native where the kernels cover the network, else torch for a network that says its rows
and plain for one that was traced; before a run the two are measured on the run's own network
(raspitrain.tuning.engine).
"""

from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from raspitrain.model.engine import channels_last, general, native
from raspitrain.model.engine.kernels import kernels_name, load_kernels
from raspitrain.model.engine.rows import Network, Row

ENGINES = ("auto", "native", "torch", "plain")


class Engaged:
    """What `engage` adds to a network's class."""

    engine: str
    num_channels_engaged: int

    def rows(self) -> list[Row]:
        assert isinstance(self, nn.Module)
        return general.plan_of(self, self.num_channels_engaged).traced.rows

    def forward(self, x: Any) -> Any:
        if type(x) is Tensor:  # no tracing
            assert isinstance(self, Network)
            output = compute(self, x)
            if output is not None:
                return output
        return super().forward(x)  # type: ignore[misc]


def engage(network: nn.Module, engine: str, num_channels: int) -> None:
    """Let an engine do the arithmetic of a network that says nothing of its rows: it is traced.

    The network stays what it is, its weights, names and class included; only its class gets a child
    that asks the engine first (as torch's own parametrizations do it). One that has attributes of
    these names already is left alone.

    Parameters
    ----------
    engine : one of ENGINES; torch is plain here
    num_channels : of the signals
    """
    taken = any(hasattr(network, name) for name in ("engine", "rows", "num_channels_engaged"))
    if taken or isinstance(network, torch.jit.ScriptModule):
        return
    kind = type(network)
    names = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
    }
    network.__class__ = type(kind.__name__, (Engaged, kind), names)
    assert isinstance(network, Engaged)
    network.engine = "plain" if engine == "torch" else engine
    network.num_channels_engaged = num_channels


def left_to_torch(network: nn.Module) -> str | None:
    """The first layer of an engaged network that the kernels do not compute; None: they do all."""
    if not isinstance(network, Engaged):
        return None
    assert isinstance(network, nn.Module)
    return general.plan_of(network, network.num_channels_engaged).traced.left


def compute(network: Network, x: Tensor) -> Tensor | None:
    """What the network's rows give for signals (N, C, L): their last value, or of an engaged
    network its output. None: that is for its modules."""
    if isinstance(network, Engaged):
        if not _may_be_general(network) or not _is_ours(x):
            return None
        assert isinstance(network, nn.Module)
        if not general.covers(network, network.num_channels_engaged, x):
            return None
        return general.features(network, network.num_channels_engaged, x)
    if _is_native(network, x):
        return native.features(network, x) if native.covers(network, x) else None
    # The modules' own operations are the faster ones without gradients.
    if network.engine == "plain" or not _is_ours(x) or not torch.is_grad_enabled():
        return None
    assert isinstance(network, nn.Module)
    if native.has_hooks(islice(network.modules(), 1, None)):
        return None
    return channels_last.features(network.rows(), x)


def engines_to_measure(network: Network, signals: Tensor) -> tuple[str, ...]:
    """Native first, and what would stand in for it, for signals (N, C, L); () is no choice."""
    if isinstance(network, Engaged):
        assert isinstance(network, nn.Module)
        covered = _may_be_general(network) and general.covers(
            network, network.num_channels_engaged, signals
        )
        return ("native", "plain") if covered else ()
    covered = load_kernels(signals.dtype) is not None and native.plan_of(network) is not None
    return ("native", "torch") if covered else ()


def engine_in_use(model: nn.Module) -> str | None:
    """What computes when a network of rows is trained on the CPU; None for any other model."""
    if not isinstance(model, Network) or next(model.parameters()).device.type != "cpu":
        return None
    if isinstance(model, Engaged):
        return "native" if _may_be_general(model) and model.rows() else "plain"
    if model.engine not in ("auto", "native"):
        return model.engine
    if load_kernels(torch.float32) is None:
        return "torch"
    return "native" if native.plan_of(model) is not None else "plain"


def kernels_in_use(model: nn.Module) -> str | None:
    """The name of the compiled kernels that train a model; None where none do."""
    if engine_in_use(model) != "native":
        return None
    return kernels_name(general.SOURCE) if isinstance(model, Engaged) else kernels_name()


def release(model: nn.Module) -> None:
    """Give back the memory that is kept for the model's next step."""
    native.release(model)
    general.release(model)


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
    if isinstance(model, Engaged):
        return _memory_of_general(model, signals)
    if not isinstance(model, Network) or not _is_native(model, signals):
        return None
    kernels = load_kernels(signals.dtype)
    if kernels is None or not native.covers(model, signals):
        return None
    network, length = model, signals.shape[2]
    return lambda cases, training: native.memory_needed(
        network, kernels, cases=cases, length=length, training=training
    )


def _memory_of_general(
    network: Engaged, signals: Tensor
) -> Callable[[int, bool], tuple[int, int]] | None:
    assert isinstance(network, nn.Module)
    channels, length = network.num_channels_engaged, signals.shape[2]
    if not _may_be_general(network) or not general.covers(network, channels, signals):
        return None
    return lambda cases, training: general.memory_needed(
        network, channels, signals.dtype, cases=cases, length=length, training=training
    )


def _may_be_general(network: Engaged) -> bool:
    return (
        network.engine in ("auto", "native")
        and general.load_graph_kernels(torch.float32) is not None
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
