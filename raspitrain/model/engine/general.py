"""Compute any network of rows with the general kernels: one call forward, one call backward.

A network of rows that the kernels of the MobileNetV3s do not compute is laid out by graph.py, each
of its runs (traced.py) by itself. What of it is no row is computed between them as its modules do.
"""

import ctypes
import weakref
from collections.abc import Callable, Sequence
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
from raspitrain.model.engine.traced import Run, copied, trace
from raspitrain.model.engine.workspace import (
    Memory,
    Workspace,
    are_signals,
    check_still_kept,
    lie_as_signals,
    pointers,
)

SOURCE = Path(__file__).with_name("graph.c")
MOST_LAYOUTS = 8  # that are kept: of batches, the last one of an epoch, and evaluation


def load_graph_kernels(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The general kernels for float32 or float64, or None where they cannot be had."""
    return load_library(SOURCE, dtype)


class Part(Workspace):
    """How a run of rows is laid out for the kernels, and the memory they work in."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        self.steps: dict[int, Steps | str] = {}
        self.placed: dict[tuple[Any, ...], Placed] = {}
        self.uncovered: str | None = None  # why it was left to torch last, as a clause

    def compute(self, x: Tensor) -> Tensor:
        """What the run gives; by its own modules where the kernels do not take x."""
        self.uncovered = self.why_uncovered(x)
        if self.uncovered is not None:
            output: Tensor = self.run.modules(x)
            return output
        value = _last_value(self, x)
        return value.flatten(1) if self.run.flat else value

    def why_uncovered(self, x: Tensor) -> str | None:
        """Why the kernels do not run this on these values, as a clause; None: they do."""
        if not are_signals(x) or x.shape[1] != self.run.num_channels:
            return "the compiled kernels do not take such signals"
        steps = self.steps_for(x.shape[2])
        if isinstance(steps, str):
            return steps
        if x.shape[0] == 1 and any(
            step.norm is not None
            and step.norm.training
            and steps.shapes[step.fields["y"]].length == 1
            for step in steps.steps
        ):
            return "one value a channel has no variance"  # torch says so
        if not lie_as_signals(tensors_of(steps), x.dtype):
            return "its weights do not lie in memory as the signals do"
        return None

    def steps_for(self, length: int) -> Steps | str:
        """The rows as operations on signals of this length; a clause where that is not covered."""
        if length not in self.steps:
            try:
                self.steps[length] = steps_of(self.run.rows, self.run.num_channels, length)
            except UncoveredError as error:
                name = self.run.names[error.args[0]] if error.args else "this network"
                self.steps[length] = (
                    f"the compiled kernels do not compute {name} for signals of length {length}"
                )
        return self.steps[length]

    def place(
        self, steps: Steps, kernels: ctypes.CDLL, dtype: torch.dtype, *, cases: int, length: int,
        trained: tuple[bool, ...] | None, asked_for: bool, num_threads: int,
    ) -> Placed:  # fmt: skip
        modes = tuple(
            ABSENT if step.norm is None else BATCH if step.norm.training else FROZEN
            for step in steps.steps
        )
        key = (dtype, cases, length, modes, trained, asked_for, num_threads)
        if key not in self.placed:
            while len(self.placed) >= MOST_LAYOUTS:
                del self.placed[next(iter(self.placed))]
            self.placed[key] = Placed(
                steps,
                Kernels(kernels.lanes(), dtype.itemsize),
                cases=cases,
                modes=modes,
                trained=trained,
                asked_for=asked_for,
                num_threads=num_threads,
            )
        return self.placed[key]


class Plan:
    """A network as parts for the kernels, and what its own modules do between them."""

    def __init__(self, network: nn.Module, num_channels: int) -> None:
        self.parts: list[Part] = []
        self.traced = trace(network, num_channels, self._part)
        self.num_channels = num_channels
        self.modules = list(network.modules())[1:]

    def _part(self, run: Run) -> Callable[[Tensor], Tensor]:
        self.parts.append(Part(run))
        return self.parts[-1].compute

    @property
    def whole(self) -> Part | None:
        """The only part, where it takes the signals."""
        one = len(self.parts) == 1 and self.parts[0].run.first
        return self.parts[0] if one else None

    def left_to_torch(self) -> str | None:
        """What the kernels do not compute, as far as it has shown; None: they do all."""
        traced = self.traced
        if traced.refused is not None:
            return traced.refused
        shown = [
            f"{part.run.names[0]} to {part.run.names[-1]} (as {part.uncovered})"
            for part in self.parts
            if part.uncovered is not None
        ]
        between = [*traced.between, *shown]
        if not between:
            return traced.left
        return ", ".join(between) + (f", and all from {traced.left} on" if traced.left else "")


_plans: "weakref.WeakKeyDictionary[nn.Module, Plan]" = weakref.WeakKeyDictionary()


def plan_of(network: nn.Module) -> Plan:
    """Of an engaged network, which knows its channels (choose.py)."""
    if network not in _plans:
        _plans[network] = Plan(network, vars(network)["_raspitrain_num_channels"])
    return _plans[network]


def release(network: nn.Module) -> None:
    """Give back the memory that is kept for the network's next step."""
    plan = _plans.get(network)
    for part in plan.parts if plan is not None else ():
        part.clear()


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


def covers(network: nn.Module, x: Tensor) -> bool:
    """Whether the kernels run parts of this network on these signals and give what its modules
    would."""
    return why_uncovered(network, x) is None


def why_uncovered(network: nn.Module, x: Tensor) -> str | None:
    """Why the kernels do not run this network on these signals, as a clause; None: they do."""
    plan = plan_of(network)
    why = _why_not_now(network, plan, x)
    if why is None and plan.whole is not None:
        return plan.whole.why_uncovered(x)
    return why


def _why_not_now(network: nn.Module, plan: Plan, x: Tensor) -> str | None:
    if not are_signals(x) or x.shape[1] != plan.num_channels or torch.is_autocast_enabled("cpu"):
        return "the compiled kernels do not take such signals"
    if plan.traced.refused is not None:
        return plan.traced.refused
    if not plan.parts:
        return f"the compiled kernels do not compute {plan.traced.left}"
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
    return None


def features(network: nn.Module, x: Tensor) -> Tensor | None:
    """The network's output for signals (N, C, L); None where its modules are to give it."""
    plan = plan_of(network)
    if _why_not_now(network, plan, x) is not None:
        return None
    graphs = plan.traced.graphs
    assert graphs is not None
    output: Tensor = graphs[network.training](x)
    return output


def look_at_parts(network: nn.Module, signals: Tensor) -> None:
    """Learn from a copy which parts behind others the kernels do not take for such signals."""
    plan = plan_of(network)
    if plan.whole is None and plan.parts:
        model = copied(network).eval()
        with torch.no_grad():
            features(model, signals)
        for part, seen in zip(plan.parts, plan_of(model).parts, strict=True):
            part.uncovered = seen.uncovered


def _last_value(part: Part, x: Tensor) -> Tensor:
    x = x.contiguous()
    steps = part.steps_for(x.shape[2])
    assert isinstance(steps, Steps)
    tensors = tensors_of(steps)
    drawn = draw_factors(steps, tensors, x)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, *tensors)):
        parameters = [t for number, t in enumerate(tensors) if number % TENSORS < GRADIENTS]
        value: Tensor = _Values.apply(part, steps, x, tensors, *parameters)
        return value
    if drawn or any(step.norm is not None and step.norm.training for step in steps.steps):
        return _run(part, steps, x, tensors, trained=None)[0]
    some = [
        _run(part, steps, cases, tensors, trained=None)[0] for cases in x.split(INFERENCE_CASES)
    ]
    return torch.cat(some) if len(some) > 1 else some[0]


def memory_needed(
    network: nn.Module, dtype: torch.dtype, *, cases: int, length: int, training: bool
) -> tuple[int, int]:
    """Bytes that a forward of `cases` signals keeps, and that a call works in, where one part takes
    them."""
    kernels = load_graph_kernels(dtype)
    part = plan_of(network).whole
    assert kernels is not None
    assert part is not None
    steps = part.steps_for(length)
    assert isinstance(steps, Steps)
    placed = part.place(
        steps,
        kernels,
        dtype,
        cases=cases if training else min(cases, INFERENCE_CASES),
        length=length,
        trained=_trained(tensors_of(steps)) if training else None,
        asked_for=False,
        num_threads=torch.get_num_threads(),
    )
    dropped = [steps.shapes[step.fields["y"]] for step in steps.steps if step.dropout is not None]
    factors = sum(shape.channels * shape.length for shape in dropped) if training else 0
    return placed.keep_bytes + cases * factors * dtype.itemsize, placed.work_bytes


def _trained(tensors: Sequence[Tensor | None]) -> tuple[bool, ...]:
    """Of every operation, whether one of its weights wants a gradient."""
    wanted = [t is not None and t.requires_grad for t in tensors]
    return tuple(any(wanted[i : i + TENSORS]) for i in range(0, len(wanted), TENSORS))


def _run(
    part: Part,
    steps: Steps,
    x: Tensor,
    tensors: list[Tensor | None],
    *,
    trained: tuple[bool, ...] | None,
    asked_for: bool = False,
) -> tuple[Tensor, Memory, Placed]:
    kernels = load_graph_kernels(x.dtype)
    assert kernels is not None, "the engine was chosen without kernels"
    cases, _, length = x.shape
    num_threads = torch.get_num_threads()
    with part.lock:
        placed = part.place(
            steps, kernels, x.dtype,
            cases=cases, length=length, trained=trained, asked_for=asked_for,
            num_threads=num_threads,
        )  # fmt: skip
        out = x.new_empty(placed.out)
        memory = part.take_memory(placed.keep_bytes)
        kernels.graph_forward(
            ctypes.byref(placed.header),
            placed.values,
            placed.ops,
            pointers(tensors),
            ctypes.c_void_p(x.data_ptr()),
            ctypes.c_void_p(out.data_ptr()),
            ctypes.c_void_p(memory.bytes.data_ptr()),
            part.work_memory(placed.work_bytes),
            num_threads,
        )
        if trained is None:
            part.give_back(memory)
    return out, memory, placed


class _Values(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        part: Part,
        steps: Steps,
        x: Tensor,
        tensors: list[Tensor | None],
        *parameters: Tensor | None,
    ) -> Tensor:
        value, memory, placed = _run(
            part, steps, x, tensors, trained=_trained(tensors), asked_for=ctx.needs_input_grad[2]
        )
        # Saved for torch's own check that no weight changed before backward.
        ctx.save_for_backward(*parameters)
        ctx.part, ctx.placed, ctx.tensors = part, placed, tensors
        ctx.memory, ctx.number = memory, memory.owner
        return value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dvalue: Tensor) -> tuple[Tensor | None, ...]:
        part: Part = ctx.part
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
        cases, shape = placed.header.cases, placed.values[0]
        dx = (
            dvalue.new_empty(cases, shape.channels, shape.length)
            if ctx.needs_input_grad[2]
            else None
        )
        with part.lock:
            check_still_kept(memory, ctx.number)
            kernels.graph_backward(
                ctypes.byref(placed.header),
                placed.values,
                placed.ops,
                pointers(ctx.tensors),
                pointers(gradients),
                ctypes.c_void_p(dvalue.data_ptr()),
                ctypes.c_void_p(None if dx is None else dx.data_ptr()),
                ctypes.c_void_p(memory.bytes.data_ptr()),
                part.work_memory(placed.work_bytes),
                placed.num_threads,
            )
            part.give_back(memory)
        return None, None, dx, None, *gradients
