"""The memory that compiled kernels work in, and that a forward keeps for its backward; and what
tensors they take."""

import ctypes
import threading
from collections.abc import Sequence

import torch
from torch import Tensor


class Memory:
    """What a forward keeps for its backward; reused, so that pages are not asked for anew."""

    def __init__(self, num_bytes: int) -> None:
        self.bytes = torch.empty(num_bytes, dtype=torch.uint8)
        self.owner = 0  # number of the forward that wrote it last


class Workspace:
    """Of one network; whoever takes from it holds its lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.clear()
        self.num_forwards = 0

    def clear(self) -> None:
        """Give back what is kept for the next step."""
        self.work = torch.empty(0, dtype=torch.uint8)
        self.free: list[Memory] = []

    def work_memory(self, num_bytes: int) -> ctypes.c_void_p:
        if self.work.numel() < num_bytes:
            self.work = torch.empty(num_bytes, dtype=torch.uint8)
        return ctypes.c_void_p(self.work.data_ptr())

    def take_memory(self, num_bytes: int) -> Memory:
        memory = self.free.pop() if self.free else None
        if memory is None or memory.bytes.numel() < num_bytes:
            memory = Memory(num_bytes)
        self.num_forwards += 1
        memory.owner = self.num_forwards
        return memory

    def give_back(self, memory: Memory) -> None:
        if memory not in self.free:
            self.free.append(memory)


def check_still_kept(memory: Memory, number: int) -> None:
    """RuntimeError if another forward than this one has written what a backward needs."""
    if memory.owner != number:
        raise RuntimeError(
            "backward a second time, after another forward: take engine='plain' for that"
        )


def are_signals(x: Tensor) -> bool:
    """Whether x is (N, C, L), not empty, of a kind that the kernels compute on."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and type(x) is Tensor
        and x.ndim == 3
        and 0 not in x.shape
    )


def lie_as_signals(tensors: Sequence[Tensor | None], dtype: torch.dtype) -> bool:
    """Whether the kernels can read weights and statistics where they lie, beside signals of such a
    dtype."""
    return all(
        t is None
        or (t.device.type == "cpu" and t.is_contiguous() and t.dtype in (dtype, torch.int64))
        for t in tensors
    )


def pointers(tensors: Sequence[Tensor | None]) -> ctypes.Array:
    """Where tensors lie, 0 for None, as the kernels take them."""
    return (ctypes.c_void_p * len(tensors))(*(0 if t is None else t.data_ptr() for t in tensors))
