"""Several networks that answer together, by the mean of their probabilities.

Lakshminarayanan, Pritzel & Blundell 2017 (arXiv:1612.01474): networks that begin at other weights
are wrong in other places. Each is trained by a loss of its own, as if it were alone.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """Signals (N, C, L) to logits (N, K): the logarithms of the members' mean probabilities."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, signals: Tensor) -> Tensor:
        return together([member(signals) for member in self.members])


def members_of(model: nn.Module) -> list[nn.Module]:
    """The networks that a model is made of: itself, unless it is an ensemble."""
    return list(model.members) if isinstance(model, Ensemble) else [model]


def together(logits: Sequence[Tensor]) -> Tensor:
    """Logits (N, K) of the mean of the probabilities that members' logits stand for; those of a
    single one as they are."""
    if len(logits) == 1:
        return logits[0]
    return torch.stack([x.log_softmax(1) for x in logits]).logsumexp(0) - math.log(len(logits))
