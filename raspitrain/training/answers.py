"""What a trained network answers to signals as they are stored.

Letters: N cases, C channels, L length, K classes.
"""

import numpy as np
import torch
from torch import Tensor, nn

from raspitrain.data.batches import batch_indices
from raspitrain.data.cases import Signals
from raspitrain.data.normalise import Normalisation
from raspitrain.training.randomness import same_random_numbers

BATCH_SIZE = 64


@torch.inference_mode()
def logits_of(
    network: nn.Module,
    normalisation: Normalisation,
    signals: Signals,
    indices: np.ndarray | None = None,
    *,
    batch_size: int = BATCH_SIZE,
) -> np.ndarray:
    """Logits, float32 (N, K), of raw signals (N, C, L); read a batch at a time.

    Parameters
    ----------
    network : on the CPU, in evaluation mode
    indices : int64, cases to answer, in this order; all where not given
    """
    if indices is None:
        indices = np.arange(signals.shape[0])
    found: list[Tensor] = []
    with same_random_numbers():
        for batch in batch_indices(len(indices), batch_size, generator=None):
            block = normalisation.apply(signals[indices[batch.numpy()]])
            found.append(network(torch.from_numpy(block)).float())
    return torch.cat(found).numpy()


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities, float64 (N, K), of logits (N, K)."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
