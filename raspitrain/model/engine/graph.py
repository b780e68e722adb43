"""Lay any rows out for the general kernels (graph.c): which operations, and where everything lies.

A layout is made for one number of cases and one length. What only one operation needs shares its
memory with what others need.
"""

import ctypes
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from raspitrain.model.engine.layout import UncoveredError
from raspitrain.model.engine.operations import pooled_length
from raspitrain.model.engine.rows import (
    BEFORE,
    Add,
    Channels,
    Concatenate,
    Convolution,
    Deal,
    Dense,
    Dropout,
    Mean,
    Multiply,
    Normalise,
    Pool,
    Row,
)

# As vectors.h and graph.h number them.
ACTIVATIONS = ("identity", "relu", "relu6", "hardswish", "sigmoid", "silu", "gelu")
LAYER, ADD, MULTIPLY, COPY, MAXIMUM, AVERAGE, MEAN, DROP = range(8)
NO_WEIGHTS, DENSE, DEPTHWISE = range(3)
NOT_WANTED, SET, INCREASE = range(3)
BATCH, FROZEN, ABSENT = range(3)
TENSORS, GRADIENTS = 7, 4  # of an operation
LINE = 64  # bytes


class Value(ctypes.Structure):
    """As graph.h reads it."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in ("channels", "length", "left", "pitch", "data", "gradient")
    ]


class Op(ctypes.Structure):
    """As graph.h reads it."""

    _fields_ = [
        *(
            (name, ctypes.c_int64)
            for name in (
                *("kind", "x", "other", "y", "act", "dx", "dother", "trained"),
                *("linear", "kernel", "stride", "dilation", "pad", "groups"),
                *("mode", "tensors", "gradients", "z", "statistics", "dz_left", "dz_pitch"),
                *("begin", "to", "count", "spread", "whole"),
            )
        ),
        ("eps", ctypes.c_double),
        ("momentum", ctypes.c_double),
    ]


class Header(ctypes.Structure):
    """As graph.h reads it."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in (
            *("cases", "num_values", "num_ops", "packed", "dweight", "dz"),
            *("scratch", "scratch_size"),
        )
    ]


@dataclass
class Shape:
    """Of a value, and the zeros that its readers need around the rows of each case."""

    channels: int
    length: int
    left: int = 0
    right: int = 0

    @property
    def pitch(self) -> int:
        return self.left + self.length + self.right


@dataclass
class Step:
    """An operation before it has a place: fields of Op, and the modules whose weights it reads."""

    fields: dict[str, Any]
    layer: nn.Module | None = None
    norm: nn.BatchNorm1d | None = None
    dropout: nn.Dropout | None = None

    def tensors(self) -> list[tuple[dict[str, Any], str] | None]:
        """The holder of each tensor and its name there."""
        found: list[tuple[dict[str, Any], str] | None] = [None] * TENSORS
        if self.layer is not None:
            found[:2] = [(self.layer._parameters, name) for name in ("weight", "bias")]
        if self.norm is not None:
            found[2:4] = [(self.norm._parameters, name) for name in ("weight", "bias")]
            names = ("running_mean", "running_var", "num_batches_tracked")
            found[4:] = [(self.norm._buffers, name) for name in names]
        return found


@dataclass
class Steps:
    """Rows as operations, for signals of one length."""

    shapes: list[Shape]
    steps: list[Step] = field(default_factory=list)

    def add(self, kind: int, x: int, shape: Shape | None = None, **fields: Any) -> Step:
        """A further operation, which makes a further value if it has a shape."""
        if shape is not None:
            need(shape.channels > 0 and shape.length > 0)
            self.shapes.append(shape)
        step = Step({"kind": kind, "x": x, "y": len(self.shapes) - 1, **fields})
        self.steps.append(step)
        return step


def need(condition: bool) -> None:
    if not condition:
        raise UncoveredError


def steps_of(rows: Sequence[Row], channels: int, length: int) -> Steps:
    """The rows as operations on signals (N, channels, length).

    Raises
    ------
    UncoveredError
        The kernels would give something else than the rows say, or do not compute it at all; with
        the number of the row.
    """
    need(len(rows) > 0)
    steps = Steps([Shape(channels, length)])
    for number, row in enumerate(rows):
        try:
            _add_row(steps, row, number if row.source == BEFORE else row.source)
        except UncoveredError:
            raise UncoveredError(number) from None
    asked_for = {step.fields["x"] for step in steps.steps}
    asked_for |= {step.fields.get("other", 0) for step in steps.steps}
    unused = set(range(len(rows))) - asked_for  # every value but the last is asked for
    if unused:
        raise UncoveredError(max(0, min(unused) - 1))
    return steps


def _add_row(steps: Steps, row: Row, x: int) -> None:
    of = steps.shapes[x]
    same = Shape(of.channels, of.length)
    if isinstance(row, Convolution):
        need(not row.unless_length_1)
        _add_convolution(steps, row, x)
    elif isinstance(row, Dense):
        layer = row.layer
        need(type(layer) is nn.Linear and of.length == 1 and layer.in_features == of.channels)
        assert isinstance(layer, nn.Linear)
        step = steps.add(LAYER, x, Shape(layer.out_features, 1), linear=DENSE)
        step.layer = layer
        step.fields |= {"act": ACTIVATIONS.index(row.activation)}
    elif isinstance(row, Normalise):
        step = steps.add(LAYER, x, same, linear=NO_WEIGHTS)
        step.fields |= {"act": ACTIVATIONS.index(row.activation)}
        step.norm = _checked_norm(row.norm, of.channels)
    elif isinstance(row, Add):
        other = steps.shapes[row.other]
        need((other.channels, other.length) == (of.channels, of.length))
        act = ACTIVATIONS.index(row.activation)
        steps.add(ADD, x, same, other=row.other, act=act)
    elif isinstance(row, Multiply):
        other = steps.shapes[row.other]
        need((other.channels, other.length) == (of.channels, 1))
        steps.add(MULTIPLY, x, same, other=row.other)
    elif isinstance(row, Dropout):
        steps.add(DROP, x, same).dropout = row.layer
    elif isinstance(row, Pool):
        _add_pool(steps, row.pool, x)
    elif isinstance(row, Mean):
        steps.add(MEAN, x, Shape(of.channels, 1))
    elif isinstance(row, Concatenate):
        parts = [steps.shapes[source] for source in row.sources]
        need(len({part.length for part in parts}) == 1)
        shape: Shape | None = Shape(sum(part.channels for part in parts), parts[0].length)
        to = 0
        for source, part in zip(row.sources, parts, strict=True):
            count = part.channels
            steps.add(COPY, source, shape, begin=0, to=to, count=count, spread=1, whole=to == 0)
            to, shape = to + count, None
    elif isinstance(row, Channels):
        need(row.first >= 0 and row.first + row.count <= of.channels)
        shape = Shape(row.count, of.length)
        steps.add(COPY, x, shape, begin=row.first, to=0, count=row.count, spread=1, whole=1)
    elif isinstance(row, Deal):
        need(of.channels % row.groups == 0)
        shape, count = same, of.channels // row.groups
        for group in range(row.groups):
            steps.add(
                COPY, x, shape, begin=group * count, to=group, count=count,
                spread=row.groups, whole=group == 0,
            )  # fmt: skip
            shape = None
    else:
        raise UncoveredError


def _checked_norm(norm: nn.BatchNorm1d | None, channels: int) -> nn.BatchNorm1d | None:
    if norm is not None:
        need(type(norm) is nn.BatchNorm1d and norm.affine and norm.track_running_stats)
        need(norm.momentum is not None and norm.eps > 0 and norm.num_features == channels)
    return norm


def _add_convolution(steps: Steps, row: Convolution, x: int) -> None:
    conv, of = row.conv, steps.shapes[x]
    (kernel,), (stride,), (dilation,) = conv.kernel_size, conv.stride, conv.dilation
    need(type(conv) is nn.Conv1d and conv.padding_mode == "zeros")
    need(conv.in_channels == of.channels)
    left, right = row.padded
    need(left >= 0 and right >= 0)
    if conv.padding == "same":
        reach = dilation * (kernel - 1)
        left, right = left + reach // 2, right + reach - reach // 2
    elif conv.padding != "valid":
        padding = _single(conv.padding)
        left, right = left + padding, right + padding
    length = (left + of.length + right - dilation * (kernel - 1) - 1) // stride + 1
    need(length > 0)
    depthwise = conv.groups == conv.in_channels == conv.out_channels and conv.groups > 1
    of.left = max(of.left, left)
    of.right = max(of.right, (length - 1) * stride + dilation * (kernel - 1) - left - of.length + 1)
    # Rows of dz that an input row may meet, before the first and behind the last.
    before = math.ceil((dilation * (kernel - 1) - left) / stride)
    behind = (of.length - 1 + left) // stride - (length - 1)
    step = steps.add(
        LAYER,
        x,
        Shape(conv.out_channels, length),
        linear=DEPTHWISE if depthwise else DENSE,
        act=ACTIVATIONS.index(row.activation),
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        pad=left,
        groups=conv.groups,
        dz_left=max(0, before),
        dz_pitch=max(0, before) + length + max(0, behind),
    )
    step.layer, step.norm = conv, _checked_norm(row.norm, conv.out_channels)


def _single(number: Any) -> int:
    return int(number[0]) if isinstance(number, tuple) else int(number)


def _add_pool(steps: Steps, pool: nn.MaxPool1d | nn.AvgPool1d, x: int) -> None:
    of = steps.shapes[x]
    need(type(pool) in (nn.MaxPool1d, nn.AvgPool1d))
    kernel, stride, pad = map(_single, (pool.kernel_size, pool.stride, pool.padding))
    dilation = 1
    if isinstance(pool, nn.MaxPool1d):
        need(not pool.return_indices)
        dilation = _single(pool.dilation)
    need(of.length + 2 * pad > dilation * (kernel - 1) and 2 * pad <= kernel)
    length = pooled_length(
        of.length, kernel, stride, pad, dilation=dilation, ceil_mode=pool.ceil_mode
    )
    # Every window meets a position.
    need(dilation == 1 or (pad == 0 and not pool.ceil_mode))
    steps.add(
        MAXIMUM if isinstance(pool, nn.MaxPool1d) else AVERAGE,
        x,
        Shape(of.channels, length),
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        pad=pad,
        to=pad,
        whole=isinstance(pool, nn.AvgPool1d) and pool.count_include_pad,
    )


@dataclass(frozen=True)
class Kernels:
    """What a layout depends on of the compiled library: numbers of `bytes_of` bytes each."""

    lanes: int
    bytes_of: int

    def stride(self, rows: int) -> int:
        """As stride_of in vectors.h."""
        in_line = LINE // (self.lanes * self.bytes_of)
        return (-(-rows // in_line) | 1) * in_line

    def streams_bytes(self, channels: int, rows: int) -> int:
        return -(-channels // self.lanes) * self.stride(rows) * self.lanes * self.bytes_of

    def padded(self, channels: int) -> int:
        return -(-channels // self.lanes) * self.lanes


class Shelf:
    """Gives pieces of memory their places; those that are in use at different times may share."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, int, int, int]] = []  # offset, end, first and last moment
        self.size = 0

    def place(self, size: int, first: int, last: int) -> int:
        size = -(-size // LINE) * LINE
        offset = 0
        for begin, end, since, until in self.pieces:  # by offset
            if until < first or last < since or end <= offset:
                continue
            if begin >= offset + size:
                break
            offset = end
        self.pieces.append((offset, offset + size, first, last))
        self.pieces.sort()
        self.size = max(self.size, offset + size)
        return offset


class Placed:
    """Operations in their places, as the kernels take them.

    Parameters
    ----------
    modes : of every step's norm: BATCH, FROZEN or ABSENT
    trained : of every step, whether a weight of it wants a gradient; None: nothing is kept
    asked_for : whether value 0 wants one
    """

    def __init__(
        self,
        steps: Steps,
        kernels: Kernels,
        *,
        cases: int,
        modes: Sequence[int],
        trained: Sequence[bool] | None,
        asked_for: bool,
        num_threads: int,
    ) -> None:
        shapes, num_ops = steps.shapes, len(steps.steps)
        read, made = _uses(steps)
        inside, done = _made_inside(steps, kernels.lanes)
        for v, (whole, _) in inside.items():
            made[whole] = min(made[whole], made[v])
        keep, work = Shelf(), Shelf()

        def kept(size: int, first: int, last: int) -> int:
            return keep.place(size, first, last) if trained is None else keep.place(size, 0, 0)

        values = []
        for v, shape in enumerate(shapes):
            around = shapes[inside[v][0]] if v in inside else shape
            value = Value(shape.channels, shape.length, around.left, around.pitch)
            if v not in inside:
                size = kernels.streams_bytes(shape.channels, cases * shape.pitch)
                value.data = kept(size, made[v], read[v])
            values.append(value)
        for v, (whole, first) in inside.items():
            before = kernels.streams_bytes(first, cases * values[v].pitch)
            values[v].data = values[whole].data + before
        ops, num_bytes = [], kernels.lanes * kernels.bytes_of
        packed = dweight = dz = scratch = 0
        for number, step in enumerate(steps.steps):
            fields = {
                **dict.fromkeys(("kernel", "stride", "dilation", "groups", "spread"), 1),
                **dict.fromkeys(("other", "act", "pad", "begin", "to", "whole"), 0),
                **step.fields,
            }
            x, y = shapes[fields["x"]], shapes[fields["y"]]
            op = Op(mode=modes[number], tensors=number * TENSORS, gradients=number * GRADIENTS)
            op.trained = trained is not None and trained[number]
            if fields["kind"] == LAYER:
                fields.setdefault("dz_left", 0)
                fields.setdefault("dz_pitch", y.length)
                rows_bytes = kernels.streams_bytes(y.channels, cases * y.length)
                bare = modes[number] == ABSENT and fields["act"] == 0
                # Else something is left to do behind the product: it is added as values are copied.
                is_biasless = step.layer is not None and step.layer.bias is None
                if fields["linear"] == NO_WEIGHTS and x.pitch == x.length:
                    op.z = values[fields["x"]].data
                elif bare and fields["linear"] != NO_WEIGHTS and is_biasless:
                    op.z = -1
                else:
                    op.z = kept(rows_bytes, number, number)
                columns = kernels.padded(y.channels) // kernels.lanes
                op.statistics = keep.place(2 * columns * num_bytes, -1, num_ops)
                if fields["linear"] == DENSE:
                    size = kernels.padded(x.channels) * kernels.padded(y.channels)
                    packed = max(packed, size * fields["kernel"] * kernels.bytes_of)
                elif fields["linear"] == DEPTHWISE:
                    scratch = max(scratch, fields["kernel"] * num_bytes)
                if trained is not None:
                    dweight = packed
                    if fields["dz_pitch"] != y.length:
                        rows = cases * fields["dz_pitch"]
                        dz = max(dz, kernels.streams_bytes(y.channels, rows))
                if step.norm is not None:
                    op.eps, op.momentum = step.norm.eps, step.norm.momentum
            for name, value in fields.items():
                setattr(op, name, value)
            ops.append(op)
        if trained is not None:
            self._place_gradients(ops, values, kernels, work, cases, read, made, asked_for, inside)
        ops = [op for number, op in enumerate(ops) if number not in done]
        scratch = -(-scratch // LINE) * LINE
        sizes = (packed, dweight, dz, scratch * num_threads)
        places = [work.place(size, -1, num_ops) for size in sizes]
        self.values = (Value * len(values))(*values)
        self.ops = (Op * len(ops))(*ops)
        self.header = Header(
            cases, len(values), len(ops), *places[:3], scratch=places[3], scratch_size=scratch
        )
        self.keep_bytes, self.work_bytes = keep.size, work.size
        self.out = (cases, shapes[-1].channels, shapes[-1].length)
        self.num_threads = num_threads

    def _place_gradients(
        self,
        ops: Sequence[Op],
        values: Sequence[Value],
        kernels: Kernels,
        work: Shelf,
        cases: int,
        read: Sequence[int],
        made: Sequence[int],
        asked_for: bool,
        inside: Mapping[int, tuple[int, int]],
    ) -> None:
        wanted = [asked_for, *[False] * (len(values) - 1)]
        for op in ops:
            two = op.kind in (ADD, MULTIPLY)
            wanted[op.y] |= bool(op.trained) or wanted[op.x] or (two and wanted[op.other])
        for v, value in enumerate(values):
            size = kernels.streams_bytes(value.channels, cases * value.length)
            if v not in inside and (wanted[v] or v == len(values) - 1):
                value.gradient = work.place(size, made[v], read[v])
        for v, (whole, first) in inside.items():
            before = kernels.streams_bytes(first, cases * values[v].length)
            values[v].gradient = values[whole].gradient + before
        met = [False] * len(values)
        for op in reversed(ops):
            # That of x before that of the other, which may be the same value.
            if wanted[op.x]:
                op.dx = INCREASE if met[op.x] else SET
                met[op.x] = True
            if op.kind in (ADD, MULTIPLY) and wanted[op.other]:
                op.dother = INCREASE if met[op.other] else SET
                met[op.other] = True


def _made_inside(steps: Steps, lanes: int) -> tuple[dict[int, tuple[int, int]], set[int]]:
    """Values that can be made where a concatenation wants them: for each that one's value and their
    first channel there. And the operations that have nothing left to copy then."""
    copies: dict[int, list[int]] = {}
    readers = [0] * len(steps.shapes)
    for number, step in enumerate(steps.steps):
        fields = step.fields
        readers[fields["x"]] += 1
        if fields["kind"] in (ADD, MULTIPLY):
            readers[fields["other"]] += 1
        if fields["kind"] == COPY:
            copies.setdefault(fields["y"], []).append(number)
    inside: dict[int, tuple[int, int]] = {}
    done: set[int] = set()
    for whole, numbers in copies.items():
        parts = [steps.steps[number].fields for number in numbers]
        if all(
            part["x"] > 0
            and readers[part["x"]] == 1
            and part["x"] not in copies
            and part["spread"] == 1
            and part["begin"] == 0
            and part["count"] == steps.shapes[part["x"]].channels
            and part["to"] % lanes == 0
            for part in parts
        ):
            inside |= {part["x"]: (whole, part["to"]) for part in parts}
            done.update(numbers)
    return inside, done


def _uses(steps: Steps) -> tuple[list[int], list[int]]:
    """When each value is read last, and when it is first written."""
    read, made = [-1] * len(steps.shapes), [-1] * len(steps.shapes)
    for number, step in enumerate(steps.steps):
        read[step.fields["x"]] = number
        if step.fields["kind"] in (ADD, MULTIPLY):
            read[step.fields["other"]] = number
        y = step.fields["y"]
        made[y] = number if made[y] < 0 else made[y]
        read[y] = max(read[y], number)
    read[-1] = len(steps.steps)
    return read, made
