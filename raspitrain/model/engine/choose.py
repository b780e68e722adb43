"""Which engine does a network's arithmetic: the same numbers to rounding, at different speeds.

native: compiled kernels (kernels.c, graph.c). torch: ordinary operations on (N, L, C). plain: the
modules as they are written, on (N, C, L), which is what an export traces and what any device runs.

auto takes native where the kernels cover the network, else torch for a network that says its rows
and plain for one that was traced; before a run the two are measured on the run's own network
(raspitrain.tuning.engine).
"""

import abc
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from raspitrain.model.engine import channels_last, general, native
from raspitrain.model.engine.kernels import kernels_name, load_kernels
from raspitrain.model.engine.rows import Network, Row, says_its_rows

PLAIN_CLASSES = (type, abc.ABCMeta)


class Engaged(nn.Module):
    """What `engage` adds to a network's class, under names that no user's network has."""

    _raspitrain_engine: str
    _raspitrain_num_channels: int

    def __init_subclass__(cls, **_: Any) -> None:
        """The user's own, which may count or forbid subclasses, is not asked."""

    def forward(self, x: Any) -> Any:
        if type(x) is Tensor:  # no tracing
            output = compute(self, x)
            if output is not None:
                return output
        return super().forward(x)


def engage(network: nn.Module, engine: str, num_channels: int) -> str | None:
    """Let an engine do the arithmetic of a network that says nothing of its rows: it is traced.

    The network stays what it is, its weights, names and class included; only its class gets a child
    that asks the engine first (as torch's own parametrizations do it).

    Parameters
    ----------
    engine : one of ENGINES; torch is plain here
    num_channels : of the signals

    Returns
    -------
    str or None
        A sentence for the user, if the network is left alone as its class allows no child.
    """
    if says_its_rows(network) or isinstance(network, Engaged | torch.jit.ScriptModule):
        return None
    kind = type(network)
    names = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
    }
    try:
        if type(kind) not in PLAIN_CLASSES:
            raise TypeError(f"its class is made by {type(kind).__name__}")
        network.__class__ = type(kind.__name__, (Engaged, kind), names)
    except Exception as error:  # whatever a user's class does when it gets a child
        if engine not in ("auto", "native"):
            return None
        return f"engine: torch computes this network, as its class allows no child ({error})"
    # Past a __setattr__ of the user's own.
    vars(network)["_raspitrain_engine"] = "plain" if engine == "torch" else engine
    vars(network)["_raspitrain_num_channels"] = num_channels
    return None


def engine_of(model: nn.Module) -> str | None:
    """The engine that a network of rows, or an engaged one, is to take; None for any other."""
    if isinstance(model, Engaged):
        return model._raspitrain_engine
    return model.engine if says_its_rows(model) else None


def set_engine(model: nn.Module, engine: str) -> None:
    """Let a network of rows, or an engaged one, take an engine; any other stays as it is."""
    if isinstance(model, Engaged):
        vars(model)["_raspitrain_engine"] = "plain" if engine == "torch" else engine
    elif says_its_rows(model):
        model.engine = engine


def rows_of(model: nn.Module) -> Sequence[Row]:
    """What a network of rows says, or an engaged one does; nothing for any other."""
    if isinstance(model, Engaged):
        return [row for run in general.plan_of(model).traced.runs for row in run.rows]
    return model.rows() if says_its_rows(model) else ()


def left_to_torch(network: nn.Module) -> str | None:
    """What of an engaged network the kernels do not compute: the first layer behind all that they
    do, or a list; None: they do all."""
    if not isinstance(network, Engaged):
        return None
    return general.plan_of(network).left_to_torch()


def ends_in_torch(network: Engaged) -> bool:
    """Whether the kernels do all of it up to what `left_to_torch` names."""
    plan = general.plan_of(network)
    return plan.left_to_torch() == plan.traced.left


def compute(network: Network | Engaged, x: Tensor) -> Tensor | None:
    """What the network's rows give for signals (N, C, L): their last value, or of an engaged
    network its output. None: that is for its modules."""
    if isinstance(network, Engaged):
        if not _may_be_general(network) or not _is_ours(x):
            return None
        return general.features(network, x)
    if _is_native(network, x):
        return native.features(network, x) if native.covers(network, x) else None
    # The modules' own operations are the faster ones without gradients.
    if network.engine == "plain" or not _is_ours(x) or not torch.is_grad_enabled():
        return None
    assert isinstance(network, nn.Module)
    if native.has_hooks(islice(network.modules(), 1, None)):
        return None
    return channels_last.features(network.rows(), x)


def engines_to_measure(network: Network | Engaged, signals: Tensor) -> tuple[str, ...]:
    """Native first, and what would stand in for it, for signals (N, C, L); () is no choice."""
    if isinstance(network, Engaged):
        covered = _may_be_general(network) and general.covers(network, signals)
        return ("native", "plain") if covered else ()
    covered = load_kernels(signals.dtype) is not None and native.plan_of(network) is not None
    return ("native", "torch") if covered else ()


def engine_in_use(model: nn.Module) -> str | None:
    """What computes when a network of rows is trained on the CPU; None for any other model."""
    if engine_of(model) is None or next(model.parameters()).device.type != "cpu":
        return None
    if isinstance(model, Engaged):
        return "native" if _may_be_general(model) and rows_of(model) else "plain"
    if not says_its_rows(model):
        return None
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
    if not says_its_rows(model) or not _is_native(model, signals):
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
    if not _may_be_general(network) or not general.covers(network, signals):
        return None
    if general.plan_of(network).whole is None:
        return None  # torch's modules between the parts take theirs
    length = signals.shape[2]
    return lambda cases, training: general.memory_needed(
        network, signals.dtype, cases=cases, length=length, training=training
    )


def _may_be_general(network: Engaged) -> bool:
    return (
        network._raspitrain_engine in ("auto", "native")
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
