"""A network that is far too large is refused before its weights take all of the memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.nn.parameter import is_lazy

from raspitrain.errors import InputError
from raspitrain.hardware.memory import free_bytes, is_out_of_memory, memory_error
from raspitrain.training.randomness import random_state, same_random_numbers, set_random_state

SMALL = 1 / 16  # of the memory that is free: up to there a network is made without further ado


class TooLargeError(InputError):
    """A network has more weights than it may; says how many bytes it had got to."""

    def __init__(self, num_bytes: int) -> None:
        super().__init__(f"more than {num_bytes / 1e6:.0f} MB of weights")
        self.num_bytes = num_bytes


def make_within(make: Callable[[], nn.Module], name: str, *, budget_mb: int | None) -> nn.Module:
    """The network that `make` makes, if its weights fit into the memory that is free.

    One that is no small part of them is made on the meta device first, where a tensor has a shape
    and no memory. A constructor that computes with its tensors cannot be run there: it is stopped
    when its weights, as far as they are made, take more than there is.

    Parameters
    ----------
    name : what the sentence calls the network
    budget_mb : see `raspitrain.hardware.memory.free_bytes`

    Raises
    ------
    InputError
        It does not fit; names its size.
    """
    free = free_bytes(budget_mb)

    def too_large(size: float, words: str) -> InputError:
        limit = f", as hardware.memory_budget_mb={budget_mb} allows no more" if budget_mb else ""
        return memory_error(
            f"{name} makes a network of {words}{size / 1e6:.0f} MB, but {free / 1e6:.0f} MB of "
            f"memory are free{limit}: take a smaller one.",
            int(size), budget_mb,
        )  # fmt: skip

    before = random_state()
    try:
        with at_most(SMALL * free):
            return make()
    except (InputError, RuntimeError, MemoryError) as error:
        if not isinstance(error, TooLargeError) and not is_out_of_memory(error):
            raise
        set_random_state(before)
    size = _size_on_meta(make)
    if size is not None and size > free:
        raise too_large(size, "")
    try:
        with at_most(free):
            return make()
    except TooLargeError as error:
        raise too_large(error.num_bytes, "more than ") from None


def _size_on_meta(make: Callable[[], nn.Module]) -> int | None:
    try:
        with same_random_numbers(), torch.device("meta"):
            model = make()
        return sum(map(_size, [*model.parameters(), *model.buffers()]))
    except Exception:  # whatever a constructor does that has no meaning without numbers
        return None


def _size(tensor: Tensor) -> int:
    return 0 if is_lazy(tensor) else tensor.numel() * tensor.element_size()


@contextmanager
def at_most(limit: float) -> Iterator[None]:
    """Within the block modules may register weights and buffers of `limit` bytes together.

    They are counted before they are filled: memory that nobody has written to is not taken yet.
    """
    total = 0

    def count(module: nn.Module, name: str, tensor: Any) -> None:
        nonlocal total
        if tensor is not None:
            total += _size(tensor)
            if total > limit:
                raise TooLargeError(total)

    hooks = [
        register_module_parameter_registration_hook(count),
        register_module_buffer_registration_hook(count),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
