"""Batches: whole batches gathered at once, from memory or from where the data lies."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from raspitrain.data.cases import Cases, iterate_blocks
from raspitrain.data.normalise import Normalisation
from raspitrain.errors import InputError

# Of the memory that is free, what a data set may take: model, optimizer and system need the rest.
MEMORY_SHARE = 0.4


@dataclass(frozen=True)
class Part:
    """One side of a split.

    Attributes
    ----------
    labels : torch.Tensor
        int64 (N,).
    gather_signals : callable
        From indices, int64 (B,), to normalised signals, float32 (B, C, L), the caller's to change.
    """

    labels: torch.Tensor
    gather_signals: Callable[[torch.Tensor], torch.Tensor]

    def __len__(self) -> int:
        return len(self.labels)

    def gather(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return normalised signals, float32 (B, C, L), and labels, int64 (B,), of some cases."""
        return self.gather_signals(indices), self.labels[indices]


def choose_in_memory(
    cases: Cases, in_memory: bool | str, *, shape: tuple[int, int], free: int
) -> bool:
    """Decide whether the data set is held in memory, as float32, or gathered batch by batch.

    Parameters
    ----------
    in_memory : bool or "auto"
        "auto" holds it where it takes at most `MEMORY_SHARE` of the memory that is free.
    shape : (int, int)
        Of a case, once it is normalised.
    free : int
        Bytes of memory that are free.
    """
    size = 4 * len(cases.labels) * shape[0] * shape[1]
    if in_memory is True and size > free:
        raise InputError(
            f"in_memory=true would hold {size / 1e6:.0f} MB of data, but {free / 1e6:.0f} MB of "
            "memory are free; leave in_memory=auto, which then reads each batch from its file."
        )
    if isinstance(in_memory, bool):
        return in_memory
    if in_memory != "auto":
        raise InputError(f"in_memory is {in_memory!r}, but must be one of: auto, true, false.")
    return size <= MEMORY_SHARE * free


def load_part(
    cases: Cases, indices: np.ndarray, normalisation: Normalisation, *, in_memory: bool
) -> Part:
    """Make some of the cases ready to be gathered.

    Parameters
    ----------
    indices : np.ndarray
        int64 (N,): the cases of this part; case `i` of the part is case `indices[i]` of all.
    in_memory : bool
        Hold them as float32, normalised once; or read and normalise each batch, in bounded
        memory, from where they are stored.
    """
    labels = torch.from_numpy(cases.labels[indices])
    signals = cases.signals

    if in_memory:
        length = normalisation.seen_length(signals.shape[2])
        shape = (len(indices), normalisation.num_channels, length)
        held = torch.empty(shape, dtype=torch.float32)
        start = 0
        for block_indices, block in iterate_blocks(signals, indices):
            stop = start + len(block_indices)
            held.numpy()[start:stop] = normalisation.apply(block)
            start = stop
        return Part(labels, lambda batch: held.index_select(0, batch))

    def read(batch: torch.Tensor) -> torch.Tensor:
        # A copy in any case: the caller may change the batch, never the data.
        return torch.from_numpy(normalisation.apply(signals[indices[batch.numpy()]]))

    return Part(labels, read)


def batch_indices(
    num_cases: int, batch_size: int, *, generator: torch.Generator | None
) -> list[torch.Tensor]:
    """Cut one epoch into batches of nearly equal size.

    A last batch of two would pull BatchNorm's statistics, and the weights, as hard as a full one.

    Parameters
    ----------
    batch_size : int
        The most cases a batch may have.
    generator : torch.Generator or None
        Draws the order; None keeps it.

    Returns
    -------
    list of torch.Tensor
        ceil(num_cases / batch_size) index tensors, int64, whose sizes differ by at most one.
    """
    if generator is None:
        order = torch.arange(num_cases)
    else:
        order = torch.randperm(num_cases, generator=generator)
    num_batches = -(-num_cases // batch_size)
    return list(order.tensor_split(num_batches)) if num_batches else []
