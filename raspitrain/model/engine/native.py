"""Run a MobileNetV3 through the compiled kernels: one call forward, one call backward.

The modules stay what they are; only their parameters and running statistics are handed over, in
forward order. What the kernels do not cover is left to the plain path (see `covers`).
"""

import ctypes
import threading
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from raspitrain.model.engine.kernels import load_kernels
from raspitrain.model.layers import Block
from raspitrain.model.scaling import length_after

if TYPE_CHECKING:
    from raspitrain.model.mobilenetv3 import MobileNetV3

ACTIVATIONS = {"identity": 0, "relu": 1, "relu6": 2, "hardswish": 3}
KERNELS = (3, 5)
# An inference needs no more than the cache holds: larger batches go through in parts.
INFERENCE_CASES = 64


class Header(ctypes.Structure):
    """As network.h reads it."""

    _fields_ = [
        *(
            (name, ctypes.c_int64)
            for name in (
                "cases",
                "length",
                "channels",
                "stem_width",
                "stem_stride",
                "num_blocks",
                "last",
                "hidden",
                "training",
                "skip_norm_at_length_1",
            )
        ),
        ("eps", ctypes.c_double),
        ("momentum", ctypes.c_double),
    ]


class BlockRow(ctypes.Structure):
    """As network.h reads it."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in (
            "expanded",
            "out",
            "kernel",
            "stride",
            "act",
            "project_act",
            "squeezed",
            "expand",
            "residual",
        )
    ]


class Memory:
    """What a forward keeps for its backward; reused, so that pages are not asked for anew."""

    def __init__(self, num_bytes: int) -> None:
        self.bytes = torch.empty(num_bytes, dtype=torch.uint8)
        self.owner = 0  # number of the forward that wrote it last


class Plan:
    """How a model is laid out for the kernels, and the memory they work in."""

    def __init__(self, model: "MobileNetV3") -> None:
        self.lock = threading.Lock()
        self.batchnorms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d)]
        self.modules = list(model.modules())[1:]
        self.tensors: list[tuple[dict[str, Any], str]] = []
        self.is_parameter: list[bool] = []
        self.norms: list[tuple[int, int]] = []  # each BatchNorm's weight among the parameters
        self._read_network(model)
        self.work = torch.empty(0, dtype=torch.uint8)
        self.free: list[Memory] = []
        self.num_forwards = 0
        self.seen: tuple[torch.dtype, bytes] | None = None

    def _read_network(self, model: "MobileNetV3") -> None:
        variant = model.variant
        self.hidden = model.hidden.weight.shape[0]
        halvings = model.conv_stem.stride[0] - 1
        self._read_layer(model.conv_stem, model.bn_stem, halvings)
        rows = []
        for block in cast(Iterable[Block], model.blocks):
            if block.conv_pw is not None and block.bn_pw is not None:
                self._read_layer(block.conv_pw, block.bn_pw, halvings)
            halvings += block.stride - 1
            self._read_layer(block.conv_dw, block.bn_dw, halvings)
            if block.se is not None:
                self._read_linear(block.se.reduce)
                self._read_linear(block.se.expand)
            self._read_layer(block.conv_pwl, block.bn_pwl, halvings)
            act = ACTIVATIONS[block.activation]
            rows.append(
                BlockRow(
                    expanded=block.conv_dw.out_channels,
                    out=block.conv_pwl.out_channels,
                    kernel=block.conv_dw.kernel_size[0],
                    stride=block.stride,
                    act=act,
                    project_act=act if variant.project_activation else 0,
                    squeezed=0 if block.se is None else block.se.reduce.out_features,
                    expand=block.conv_pw is not None,
                    residual=block.residual,
                )
            )
        self._read_layer(model.conv_head, model.bn_head, halvings)
        self._read_linear(model.hidden)
        self.rows = (BlockRow * len(rows))(*rows)
        self.header: dict[str, Any] = {
            "channels": model.num_channels,
            "stem_width": model.conv_stem.out_channels,
            "stem_stride": model.conv_stem.stride[0],
            "num_blocks": len(rows),
            "last": model.conv_head.out_channels,
            "hidden": self.hidden,
            "skip_norm_at_length_1": variant.skip_batchnorm_at_length_1,
            "eps": variant.batchnorm_eps,
            "momentum": variant.batchnorm_momentum,
        }

    def _read_linear(self, layer: nn.Module) -> None:
        self.tensors += [(layer._parameters, "weight"), (layer._parameters, "bias")]
        self.is_parameter += [True, True]

    def _read_layer(self, conv: nn.Conv1d, bn: nn.BatchNorm1d, halvings: int) -> None:
        """`halvings`: convolutions of stride 2 up to this one."""
        self._read_linear(conv)
        self.norms.append((sum(self.is_parameter), halvings))
        self.tensors += [(bn._parameters, "weight"), (bn._parameters, "bias")]
        self.tensors += [
            (bn._buffers, name) for name in ("running_mean", "running_var", "num_batches_tracked")
        ]
        self.is_parameter += [True, True, False, False, False]

    def read_tensors(self) -> list[Tensor | None]:
        return [holder[name] for holder, name in self.tensors]

    def parameters_of(self, tensors: list[Tensor | None]) -> list[Tensor | None]:
        return [t for t, is_one in zip(tensors, self.is_parameter, strict=True) if is_one]

    def with_gaps(self, parameters: Iterable[Tensor | None]) -> list[Tensor | None]:
        """Parameters where the kernels look for them; backward leaves the statistics alone."""
        rest = iter(parameters)
        return [next(rest) if is_one else None for is_one in self.is_parameter]

    def unused(self, length: int) -> set[int]:
        """Which parameters signals of this length do not meet."""
        if not self.header["skip_norm_at_length_1"]:
            return set()
        skipped = (at for at, halvings in self.norms if length_after(length, halvings) == 1)
        return {index for at in skipped for index in (at, at + 1)}

    def make_header(self, cases: int, length: int, training: bool) -> Header:
        return Header(cases=cases, length=length, training=training, **self.header)

    def sizes(self, kernels: ctypes.CDLL, header: Header, num_threads: int) -> tuple[int, int]:
        """Bytes to keep for backward and to work in."""
        sizes = (ctypes.c_int64 * 2)()
        kernels.sizes(ctypes.byref(header), self.rows, num_threads, sizes)
        return sizes[0], sizes[1]

    def work_memory(self, num_bytes: int) -> int:
        if self.work.numel() < num_bytes:
            self.work = torch.empty(num_bytes, dtype=torch.uint8)
        return self.work.data_ptr()

    def take_memory(self, num_bytes: int) -> Memory:
        memory = self.free.pop() if self.free else None
        if memory is None or memory.bytes.numel() < num_bytes:
            memory = Memory(num_bytes)
        self.num_forwards += 1
        memory.owner = self.num_forwards
        return memory


_plans: "weakref.WeakKeyDictionary[nn.Module, Plan]" = weakref.WeakKeyDictionary()


def plan_of(model: "MobileNetV3") -> Plan:
    plan = _plans.get(model)
    if plan is None:
        plan = _plans[model] = Plan(model)
    return plan


def covers(model: "MobileNetV3", x: Tensor) -> bool:
    """Whether the kernels can run this model on these signals and give what modules would give."""
    dtype = x.dtype
    if (
        x.device.type != "cpu"
        or dtype not in (torch.float32, torch.float64)
        or type(x) is not Tensor
        or x.ndim != 3
        or x.shape[1] != model.num_channels
        or 0 in x.shape
        or torch.is_autocast_enabled("cpu")
    ):
        return False
    plan = plan_of(model)
    tensors = plan.read_tensors()
    if torch.is_grad_enabled() and (
        x.requires_grad
        or (not model.training and any(t is not None and t.requires_grad for t in tensors))
    ):
        return False
    if any(bn.training != model.training for bn in plan.batchnorms):
        return False
    if any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in plan.modules):
        return False
    if any(row.kernel not in KERNELS for row in plan.rows):
        return False
    # Looked at once: as long as every tensor lies where it lay, it is what it was.
    seen = (dtype, bytes(_pointers(tensors)))
    if plan.seen != seen:
        if not all(
            t is None
            or (t.device.type == "cpu" and t.is_contiguous() and t.dtype in (dtype, torch.int64))
            for t in tensors
        ):
            return False
        plan.seen = seen
    return True


def features(model: "MobileNetV3", x: Tensor) -> Tensor:
    """Activations of the hidden layer (N, hidden) for signals (N, C, L)."""
    plan = plan_of(model)
    x = x.contiguous()
    tensors = plan.read_tensors()
    if torch.is_grad_enabled():
        return _Features.apply(plan, model.training, x, tensors, *plan.parameters_of(tensors))
    if model.training:
        return _run(plan, x, tensors, training=True)[0]
    parts = [_run(plan, part, tensors, training=False)[0] for part in x.split(INFERENCE_CASES)]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def memory_needed(
    model: "MobileNetV3", kernels: ctypes.CDLL, *, cases: int, length: int, training: bool
) -> tuple[int, int]:
    """Bytes that a forward of `cases` signals keeps, and that a call works in."""
    if not training:
        cases = min(cases, INFERENCE_CASES)
    plan = plan_of(model)
    return plan.sizes(kernels, plan.make_header(cases, length, training), torch.get_num_threads())


def _pointers(tensors: list[Tensor | None]) -> ctypes.Array:
    return (ctypes.c_void_p * len(tensors))(*(0 if t is None else t.data_ptr() for t in tensors))


def _run(
    plan: Plan, x: Tensor, tensors: list[Tensor | None], *, training: bool
) -> tuple[Tensor, Memory]:
    kernels = load_kernels(x.dtype)
    assert kernels is not None, "the engine was chosen without kernels"
    cases, _, length = x.shape
    num_threads = torch.get_num_threads()
    header = plan.make_header(cases, length, training)
    hidden = x.new_empty(cases, plan.hidden)
    with plan.lock:
        keep, work = plan.sizes(kernels, header, num_threads)
        memory = plan.take_memory(keep)
        kernels.forward(
            ctypes.byref(header),
            plan.rows,
            _pointers(tensors),
            ctypes.c_void_p(x.data_ptr()),
            ctypes.c_void_p(hidden.data_ptr()),
            ctypes.c_void_p(memory.bytes.data_ptr()),
            ctypes.c_void_p(plan.work_memory(work)),
            num_threads,
        )
        if not training:
            plan.free.append(memory)
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
            if memory.owner != ctx.number:
                raise RuntimeError(
                    "backward a second time, after another forward: take engine='plain' for that"
                )
            _, work = plan.sizes(kernels, header, num_threads)
            kernels.backward(
                ctypes.byref(header),
                plan.rows,
                _pointers(plan.with_gaps(parameters)),
                _pointers(gradients),
                ctypes.c_void_p(dhidden.data_ptr()),
                ctypes.c_void_p(memory.bytes.data_ptr()),
                ctypes.c_void_p(plan.work_memory(work)),
                num_threads,
            )
            if memory not in plan.free:
                plan.free.append(memory)
        needed, unused = ctx.needs_input_grad[4:], plan.unused(length)
        for i in range(len(gradients)):
            if i in unused or not needed[i]:
                gradients[i] = None
        return None, None, None, None, *gradients
