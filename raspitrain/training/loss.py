"""Losses that know the training labels."""

import torch

from raspitrain.errors import InputError


def cross_entropy(
    *,
    label_smoothing: float,
    class_weights: str | None,
    train_labels: torch.Tensor,
    num_classes: int,
) -> torch.nn.CrossEntropyLoss:
    """Cross-entropy on raw logits, (N, K) against int64 (N,).

    Parameters
    ----------
    class_weights : "balanced" or None
        "balanced" weighs class k by cases / (classes × cases of k), so that every class has the
        same say. A class that the training part lacks gets weight 0.
    train_labels : int64 (cases,)
    """
    if class_weights is None:
        weight = None
    elif class_weights == "balanced":
        counts = torch.bincount(train_labels, minlength=num_classes).double()
        present = counts > 0
        weight = torch.where(present, len(train_labels) / (present.sum() * counts), 0.0).float()
    else:
        raise InputError(f"loss.class_weights must be null or balanced, not {class_weights!r}.")
    return torch.nn.CrossEntropyLoss(weight=weight, label_smoothing=label_smoothing)
