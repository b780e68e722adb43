"""The global sources of random numbers: where they stand, and putting them back there."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

WORDS = 624  # of a Mersenne twister, which both Python's and numpy's are


def random_state() -> dict[str, Any]:
    """Where torch's, Python's and numpy's sources stand, in tensors, numbers and text."""
    version, words, gauss = random.getstate()
    name, key, position, has_gauss, cached = np.random.get_state()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": [version, torch.tensor(words, dtype=torch.int64), gauss],
        "numpy": [
            str(name), torch.from_numpy(np.asarray(key, np.int64)), int(position), int(has_gauss),
            float(cached),
        ],
    }  # fmt: skip
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put every source back to where `random_state` found it.

    Raises
    ------
    KeyError, TypeError, ValueError, RuntimeError
        `state` is no such state.
    """
    version, words, gauss = state["python"]
    name, key, position, has_gauss, cached = state["numpy"]
    # numpy does not look, and would read beyond its words.
    if name != "MT19937" or key.shape != (WORDS,) or not 0 <= position <= WORDS:
        raise ValueError("not a state of numpy's source of random numbers")
    random.setstate((version, tuple(words.tolist()), gauss))
    np.random.set_state((name, key.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])


@contextmanager
def same_random_numbers() -> Iterator[None]:
    """Afterwards every global source goes on where it was before."""
    torch_state, python_state, numpy_state = (
        torch.get_rng_state(), random.getstate(), np.random.get_state()
    )  # fmt: skip
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        random.setstate(python_state)
        np.random.set_state(numpy_state)
