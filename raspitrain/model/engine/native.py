"""Compute rows with the compiled kernels: one call forward, one call backward.

The modules stay what they are; only their parameters and running statistics are handed over. What
the kernels do not cover is left to torch (see `covers`).
"""

import ctypes
import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from raspitrain.model.engine.kernels import load_kernels
from raspitrain.model.engine.layout import Header, Layout, UncoveredError
from raspitrain.model.engine.rows import Network
from raspitrain.model.engine.workspace import (
    Memory,
    Workspace,
    are_signals,
    check_still_kept,
    lie_as_signals,
    pointers,
)

# An inference needs no more than the cache holds: larger batches go through in parts.
INFERENCE_CASES = 64


class Plan(Layout, Workspace):
    """How a network is laid out for the kernels, and the memory they work in."""

    def __init__(self, network: Network) -> None:
        Layout.__init__(self, network.rows())
        Workspace.__init__(self)
        assert isinstance(network, nn.Module)
        self.batchnorms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d)]
        self.modules = list(network.modules())[1:]
        self.seen: tuple[torch.dtype, bytes] | None = None

    def read_tensors(self) -> list[Tensor | None]:
        return [holder[name] for holder, name in self.tensors]

    def parameters_of(self, tensors: list[Tensor | None]) -> list[Tensor | None]:
        return [t for t, is_one in zip(tensors, self.is_parameter, strict=True) if is_one]

    def with_gaps(self, parameters: Iterable[Tensor | None]) -> list[Tensor | None]:
        """Parameters where the kernels look for them; backward leaves the statistics alone."""
        rest = iter(parameters)
        return [next(rest) if is_one else None for is_one in self.is_parameter]

    def make_header(self, cases: int, length: int, training: bool) -> Header:
        return Header(cases=cases, length=length, training=training, **self.header)

    def sizes(self, kernels: ctypes.CDLL, header: Header, num_threads: int) -> tuple[int, int]:
        """Bytes to keep for backward and to work in."""
        sizes = (ctypes.c_int64 * 2)()
        kernels.sizes(ctypes.byref(header), self.blocks, num_threads, sizes)
        return sizes[0], sizes[1]


_plans: "weakref.WeakKeyDictionary[nn.Module, Plan | None]" = weakref.WeakKeyDictionary()


def release(network: nn.Module) -> None:
    """Give back the memory that is kept for the network's next step."""
    _plans.pop(network, None)


def plan_of(network: Network) -> Plan | None:
    """The network's plan; None where the kernels do not compute its rows."""
    assert isinstance(network, nn.Module)
    if network not in _plans:
        try:
            _plans[network] = Plan(network)
        except UncoveredError:
            _plans[network] = None
    return _plans[network]


def covers(network: Network, x: Tensor) -> bool:
    """Whether the kernels run this network on these signals and give what its modules would."""
    plan = plan_of(network)
    if (
        plan is None
        or not are_signals(x)
        or x.shape[1] != plan.header["channels"]
        or torch.is_autocast_enabled("cpu")
    ):
        return False
    tensors = plan.read_tensors()
    if torch.is_grad_enabled() and (
        x.requires_grad
        or (not network.training and any(t is not None and t.requires_grad for t in tensors))
    ):
        return False
    if any(bn.training != network.training for bn in plan.batchnorms):
        return False
    if has_hooks(plan.modules):
        return False
    # Looked at once: as long as every tensor lies where it lay, it is what it was.
    seen = (x.dtype, bytes(pointers(tensors)))
    if plan.seen != seen:
        if not lie_as_signals(tensors, x.dtype):
            return False
        plan.seen = seen
    return True


def has_hooks(modules: Iterable[nn.Module]) -> bool:
    """Whether somebody waits for a module to be called."""
    return any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in modules)


def features(network: Network, x: Tensor) -> Tensor:
    """The last value of the network's rows, (N, hidden), for signals (N, C, L) that are covered."""
    plan = plan_of(network)
    assert plan is not None
    x = x.contiguous()
    tensors = plan.read_tensors()
    if torch.is_grad_enabled():
        return _Features.apply(plan, network.training, x, tensors, *plan.parameters_of(tensors))
    if network.training:
        return _run(plan, x, tensors, training=True)[0]
    parts = [_run(plan, part, tensors, training=False)[0] for part in x.split(INFERENCE_CASES)]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def memory_needed(
    network: Network, kernels: ctypes.CDLL, *, cases: int, length: int, training: bool
) -> tuple[int, int]:
    """Bytes that a forward of `cases` signals keeps, and that a call works in."""
    if not training:
        cases = min(cases, INFERENCE_CASES)
    plan = plan_of(network)
    assert plan is not None
    return plan.sizes(kernels, plan.make_header(cases, length, training), torch.get_num_threads())


def _run(
    plan: Plan, x: Tensor, tensors: list[Tensor | None], *, training: bool
) -> tuple[Tensor, Memory]:
    kernels = load_kernels(x.dtype)
    assert kernels is not None, "the engine was chosen without kernels"
    cases, _, length = x.shape
    num_threads = torch.get_num_threads()
    header = plan.make_header(cases, length, training)
    hidden = x.new_empty(cases, plan.header["hidden"])
    with plan.lock:
        keep, work = plan.sizes(kernels, header, num_threads)
        memory = plan.take_memory(keep)
        kernels.forward(
            ctypes.byref(header),
            plan.blocks,
            pointers(tensors),
            ctypes.c_void_p(x.data_ptr()),
            ctypes.c_void_p(hidden.data_ptr()),
            ctypes.c_void_p(memory.bytes.data_ptr()),
            plan.work_memory(work),
            num_threads,
        )
        if not training:
            plan.give_back(memory)
    return hidden, memory


class _Features(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        plan: Plan,
        training: bool,
        x: Tensor,
        tensors: list[Tensor | None],
        *parameters: Tensor | None,
    ) -> Tensor:
        hidden, memory = _run(plan, x, tensors, training=training)
        # Saved for torch's own check that no weight changed before backward.
        ctx.save_for_backward(*parameters)
        ctx.plan, ctx.memory, ctx.number, ctx.shape = plan, memory, memory.owner, x.shape
        return hidden

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dhidden: Tensor) -> tuple[Tensor | None, ...]:
        plan: Plan = ctx.plan
        memory: Memory = ctx.memory
        parameters = ctx.saved_tensors
        dhidden = dhidden.contiguous()
        kernels = load_kernels(dhidden.dtype)
        assert kernels is not None
        cases, _, length = ctx.shape
        num_threads = torch.get_num_threads()
        header = plan.make_header(cases, length, training=True)
        gradients = [None if p is None else torch.empty_like(p) for p in parameters]
        with plan.lock:
            check_still_kept(memory, ctx.number)
            _, work = plan.sizes(kernels, header, num_threads)
            kernels.backward(
                ctypes.byref(header),
                plan.blocks,
                pointers(plan.with_gaps(parameters)),
                pointers(gradients),
                ctypes.c_void_p(dhidden.data_ptr()),
                ctypes.c_void_p(memory.bytes.data_ptr()),
                plan.work_memory(work),
                num_threads,
            )
            plan.give_back(memory)
        needed, unused = ctx.needs_input_grad[4:], plan.unused(length)
        for i in range(len(gradients)):
            if i in unused or not needed[i]:
                gradients[i] = None
        return None, None, None, None, *gradients
