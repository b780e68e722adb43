"""Compute any network of rows with the general kernels: one call forward, one call backward.

A network of rows that the kernels of the MobileNetV3s do not compute is laid out by graph.py. What
of it is no row (traced.py) runs behind it as its modules do.
"""

import ctypes
import math
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raspitrain.model.engine.graph import (
    ABSENT,
    BATCH,
    FROZEN,
    GRADIENTS,
    TENSORS,
    Kernels,
    Placed,
    Steps,
    steps_of,
)
from raspitrain.model.engine.kernels import load_library
from raspitrain.model.engine.layout import UncoveredError
from raspitrain.model.engine.native import INFERENCE_CASES, has_hooks
from raspitrain.model.engine.traced import trace
from raspitrain.model.engine.workspace import Memory, Workspace, check_still_kept, pointers

SOURCE = Path(__file__).with_name("graph.c")
MOST_LAYOUTS = 8  # that are kept: of batches, the last one of an epoch, and evaluation


def load_graph_kernels(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The general kernels for float32 or float64, or None where they cannot be had."""
    return load_library(SOURCE, dtype)


class Plan(Workspace):
    """How a network is laid out for the kernels, and the memory they work in."""

    def __init__(self, network: nn.Module, num_channels: int) -> None:
        super().__init__()
        self.traced = trace(network, num_channels)
        self.num_channels = num_channels
        self.modules = list(network.modules())[1:]
        self.steps: dict[int, Steps | str] = {}
        self.placed: dict[tuple[Any, ...], Placed] = {}

    def steps_for(self, length: int) -> Steps | str:
        """The rows as operations on signals of this length; a clause where that is not covered."""
        if length not in self.steps:
            self.steps[length] = self._laid_out(length)
        return self.steps[length]

    def _laid_out(self, length: int) -> Steps | str:
        traced = self.traced
        if traced.refused is not None:
            return traced.refused
        if not traced.rows:
            return f"the compiled kernels do not compute {traced.left}"
        try:
            return steps_of(traced.rows, self.num_channels, length)
        except UncoveredError as error:
            name = traced.names[error.args[0]] if error.args else "this network"
            return f"the compiled kernels do not compute {name} for signals of length {length}"

    def place(
        self, steps: Steps, kernels: ctypes.CDLL, dtype: torch.dtype, *, cases: int, length: int,
        trained: tuple[bool, ...] | None, num_threads: int,
    ) -> Placed:  # fmt: skip
        modes = tuple(
            ABSENT if step.norm is None else BATCH if step.norm.training else FROZEN
            for step in steps.steps
        )
        key = (dtype, cases, length, modes, trained, num_threads)
        if key not in self.placed:
            while len(self.placed) >= MOST_LAYOUTS:
                del self.placed[next(iter(self.placed))]
            self.placed[key] = Placed(
                steps,
                Kernels(kernels.lanes(), dtype.itemsize),
                cases=cases,
                modes=modes,
                trained=trained,
                num_threads=num_threads,
            )
        return self.placed[key]


_plans: "weakref.WeakKeyDictionary[nn.Module, Plan]" = weakref.WeakKeyDictionary()


def plan_of(network: nn.Module, num_channels: int) -> Plan:
    if network not in _plans:
        _plans[network] = Plan(network, num_channels)
    return _plans[network]


def release(network: nn.Module) -> None:
    """Give back the memory that is kept for the network's next step."""
    plan = _plans.get(network)
    if plan is not None:
        plan.clear()


def tensors_of(steps: Steps) -> list[Tensor | None]:
    """All tensors of all operations, as the kernels count them."""
    places = [place for step in steps.steps for place in step.tensors()]
    return [None if place is None else place[0][place[1]] for place in places]


def draw_factors(steps: Steps, tensors: list[Tensor | None], x: Tensor) -> bool:
    """Put dropout's factors where the kernels look for them; whether there are any.

    They are what the modules would draw: torch does it, in the same order.
    """
    drawn = False
    for number, step in enumerate(steps.steps):
        if step.dropout is not None and step.dropout.training:
            shape = steps.shapes[step.fields["y"]]
            ones = x.new_ones(len(x), shape.channels, shape.length)
            tensors[number * TENSORS] = F.dropout(ones, step.dropout.p)
            drawn = True
    return drawn


def covers(network: nn.Module, num_channels: int, x: Tensor) -> bool:
    """Whether the kernels run this network's beginning on these signals and give what its modules
    would."""
    return why_uncovered(network, num_channels, x) is None


def why_uncovered(network: nn.Module, num_channels: int, x: Tensor) -> str | None:
    """Why the kernels do not run this network on these signals, as a clause; None: they do."""
    dtype = x.dtype
    if (
        x.device.type != "cpu"
        or dtype not in (torch.float32, torch.float64)
        or type(x) is not Tensor
        or x.ndim != 3
        or x.shape[1] != num_channels
        or 0 in x.shape
        or torch.is_autocast_enabled("cpu")
        or (torch.is_grad_enabled() and x.requires_grad)
    ):
        return "the compiled kernels do not take such signals"
    plan = plan_of(network, num_channels)
    steps = plan.steps_for(x.shape[2])
    if isinstance(steps, str):
        return steps
    if has_hooks(plan.modules):
        named = list(network.named_modules())[1:]
        name, module = next((n, m) for n, m in named if has_hooks([m]))
        return f"a hook waits for {name} ({type(module).__name__}) to be called"
    if any(
        module.training != network.training
        for module in plan.modules
        if not isinstance(module, nn.BatchNorm1d)
    ):
        return "some of its layers train and some do not"
    if x.shape[0] == 1 and any(
        step.norm is not None and step.norm.training and steps.shapes[step.fields["y"]].length == 1
        for step in steps.steps
    ):
        return "one value a channel has no variance"  # torch says so
    if not all(
        t is None
        or (t.device.type == "cpu" and t.is_contiguous() and t.dtype in (dtype, torch.int64))
        for t in tensors_of(steps)
    ):
        return "its weights do not lie in memory as the signals do"
    return None


def features(network: nn.Module, num_channels: int, x: Tensor) -> Tensor:
    """The network's output for signals (N, C, L) that are covered."""
    plan = plan_of(network, num_channels)
    value = _last_value(plan, x)
    if plan.traced.flat:
        value = value.flatten(1)
    if plan.traced.tails is None:
        return value
    tail = plan.traced.tails[network.training]
    output: Tensor = tail(value)
    return output


def _last_value(plan: Plan, x: Tensor) -> Tensor:
    x = x.contiguous()
    steps = plan.steps_for(x.shape[2])
    assert isinstance(steps, Steps)
    tensors = tensors_of(steps)
    drawn = draw_factors(steps, tensors, x)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        parameters = [t for number, t in enumerate(tensors) if number % TENSORS < GRADIENTS]
        value: Tensor = _Values.apply(plan, steps, x, tensors, *parameters)
        return value
    if drawn or any(step.norm is not None and step.norm.training for step in steps.steps):
        return _run(plan, steps, x, tensors, trained=None)[0]
    parts = [_run(plan, steps, part, tensors, trained=None)[0] for part in x.split(INFERENCE_CASES)]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def memory_needed(
    network: nn.Module, num_channels: int, dtype: torch.dtype, *, cases: int, length: int,
    training: bool,
) -> tuple[int, int]:  # fmt: skip
    """Bytes that a forward of `cases` signals keeps, and that a call works in."""
    kernels = load_graph_kernels(dtype)
    plan = plan_of(network, num_channels)
    steps = plan.steps_for(length)
    assert kernels is not None
    assert isinstance(steps, Steps)
    placed = plan.place(
        steps,
        kernels,
        dtype,
        cases=cases if training else min(cases, INFERENCE_CASES),
        length=length,
        trained=_trained(tensors_of(steps)) if training else None,
        num_threads=torch.get_num_threads(),
    )
    factors = sum(
        math.prod((steps.shapes[step.fields["y"]].channels, steps.shapes[step.fields["y"]].length))
        for step in steps.steps
        if step.dropout is not None and training
    )
    return placed.keep_bytes + cases * factors * dtype.itemsize, placed.work_bytes


def _trained(tensors: Sequence[Tensor | None]) -> tuple[bool, ...]:
    """Of every operation, whether one of its weights wants a gradient."""
    wanted = [t is not None and t.requires_grad for t in tensors]
    return tuple(any(wanted[i : i + TENSORS]) for i in range(0, len(wanted), TENSORS))


def _run(
    plan: Plan,
    steps: Steps,
    x: Tensor,
    tensors: list[Tensor | None],
    *,
    trained: tuple[bool, ...] | None,
) -> tuple[Tensor, Memory, Placed]:
    kernels = load_graph_kernels(x.dtype)
    assert kernels is not None, "the engine was chosen without kernels"
    cases, _, length = x.shape
    num_threads = torch.get_num_threads()
    with plan.lock:
        placed = plan.place(
            steps, kernels, x.dtype,
            cases=cases, length=length, trained=trained, num_threads=num_threads,
        )  # fmt: skip
        out = x.new_empty(placed.out)
        memory = plan.take_memory(placed.keep_bytes)
        kernels.graph_forward(
            ctypes.byref(placed.header),
            placed.values,
            placed.ops,
            pointers(tensors),
            ctypes.c_void_p(x.data_ptr()),
            ctypes.c_void_p(out.data_ptr()),
            ctypes.c_void_p(memory.bytes.data_ptr()),
            plan.work_memory(placed.work_bytes),
            num_threads,
        )
        if trained is None:
            plan.give_back(memory)
    return out, memory, placed


class _Values(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        plan: Plan,
        steps: Steps,
        x: Tensor,
        tensors: list[Tensor | None],
        *parameters: Tensor | None,
    ) -> Tensor:
        value, memory, placed = _run(plan, steps, x, tensors, trained=_trained(tensors))
        # Saved for torch's own check that no weight changed before backward.
        ctx.save_for_backward(*parameters)
        ctx.plan, ctx.placed, ctx.tensors = plan, placed, tensors
        ctx.memory, ctx.number = memory, memory.owner
        return value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dvalue: Tensor) -> tuple[Tensor | None, ...]:
        plan: Plan = ctx.plan
        memory: Memory = ctx.memory
        parameters = ctx.saved_tensors
        dvalue = dvalue.contiguous()
        kernels = load_graph_kernels(dvalue.dtype)
        assert kernels is not None
        needed = ctx.needs_input_grad[4:]
        gradients = [
            torch.empty_like(p) if p is not None and wanted else None
            for p, wanted in zip(parameters, needed, strict=True)
        ]
        placed: Placed = ctx.placed
        with plan.lock:
            check_still_kept(memory, ctx.number)
            kernels.graph_backward(
                ctypes.byref(placed.header),
                placed.values,
                placed.ops,
                pointers(ctx.tensors),
                pointers(gradients),
                ctypes.c_void_p(dvalue.data_ptr()),
                ctypes.c_void_p(memory.bytes.data_ptr()),
                plan.work_memory(placed.work_bytes),
                placed.num_threads,
            )
            plan.give_back(memory)
        return None, None, None, None, *gradients
