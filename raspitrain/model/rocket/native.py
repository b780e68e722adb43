"""The compiled transforms (transforms.c), called on tensors.

Shape letters: N cases, C channels, L length, D dilations, F features.
"""

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from raspitrain.model.engine.kernels import load_library

FIGURES = 4  # that MultiRocket asks of a response

SOURCE = Path(__file__).with_name("transforms.c")


class _Shape(ctypes.Structure):
    """As transforms.c reads it."""

    _fields_ = [(name, ctypes.c_int64) for name in ("channels", "length", "num_dilations", "delay")]


def can_run(signals: Tensor) -> bool:
    """Whether the compiled transforms take these signals, and could be compiled here."""
    return (
        signals.device.type == "cpu"
        and signals.dtype in (torch.float32, torch.float64)
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch.onnx.is_in_onnx_export()
        and load_library(SOURCE, signals.dtype) is not None
    )


def minirocket(
    signals: Tensor, dilations: Tensor, per_dilation: Tensor, channels: Tensor, biases: Tensor
) -> Tensor:
    """As `plain.minirocket`."""
    num_cases, num_channels, length = signals.shape
    features = signals.new_empty(num_cases, len(biases))
    _call(
        "minirocket",
        signals.dtype,
        ctypes.byref(_Shape(num_channels, length, len(dilations), 0)),
        ctypes.c_long(num_cases),
        *map(_pointer, (signals, dilations, per_dilation, channels, biases, features)),
        ctypes.c_long(len(biases)),
        torch.get_num_threads(),
    )
    return features


def multirocket(
    signals: Tensor,
    dilations: Tensor,
    per_dilation: Tensor,
    channels: Tensor,
    biases: Tensor,
    *,
    delay: int,
) -> Tensor:
    """As `plain.multirocket`."""
    num_cases, num_channels, length = signals.shape
    features = signals.new_empty(num_cases, FIGURES * len(biases))
    _call(
        "multirocket",
        signals.dtype,
        ctypes.byref(_Shape(num_channels, length, len(dilations), delay)),
        ctypes.c_long(num_cases),
        *map(_pointer, (signals, dilations, per_dilation, channels, biases, features)),
        ctypes.c_long(len(biases)),
        torch.get_num_threads(),
    )
    return features


def hydra(signals: Tensor, dilations: Tensor, weights: Tensor, channels: Tensor) -> Tensor:
    """As `plain.hydra`."""
    num_cases, num_channels, length = signals.shape
    num_dilations, num_groups, per_group = channels.shape
    scores = signals.new_empty(num_cases, num_dilations, 2, weights.shape[1])
    _call(
        "hydra",
        signals.dtype,
        *map(ctypes.c_long, (num_cases, num_channels, length)),
        _pointer(signals),
        ctypes.c_long(num_dilations),
        _pointer(dilations),
        ctypes.c_long(num_groups),
        *map(_pointer, (weights, channels)),
        ctypes.c_long(per_group),
        _pointer(scores),
        torch.get_num_threads(),
    )
    return scores


def responses(signals: Tensor, dilations: Tensor, channels: Tensor, *, delay: int) -> Tensor:
    """As `plain.responses`."""
    num_rows, num_channels, length = signals.shape
    rows = signals.new_empty(num_rows, length)
    _call(
        "responses",
        signals.dtype,
        ctypes.byref(_Shape(num_channels, length, len(dilations), delay)),
        *map(_pointer, (signals, dilations, channels, rows)),
    )
    return rows


def _call(name: str, dtype: torch.dtype, *arguments: object) -> None:
    library = load_library(SOURCE, dtype)
    assert library is not None
    if library[name](*arguments):
        raise MemoryError


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    assert tensor.is_contiguous()
    return ctypes.c_void_p(tensor.data_ptr())
