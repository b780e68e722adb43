"""Figures of merit from counts, as scikit-learn gives them.

In plain numpy: importing scikit-learn takes longer than many an epoch on a Pi. K is the number of
classes.
"""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np


class ClassFigures(TypedDict):
    class_name: str
    precision: float
    recall: float
    f1: float
    support: int


class Report(TypedDict):
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    per_class: list[ClassFigures]


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the cases of each true class (row) that were given each class (column).

    Parameters
    ----------
    labels, predictions : integer arrays (cases,), values 0…K-1

    Returns
    -------
    int64 array (K, K)

    Raises
    ------
    ValueError
        The two differ in shape, or hold a value outside 0…K-1.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(f"labels {labels.shape} and predictions {predictions.shape} do not match")
    for values in (labels, predictions):
        if values.size and (values.min() < 0 or values.max() >= num_classes):
            raise ValueError(f"classes must lie between 0 and {num_classes - 1}")
    cells = labels.astype(np.int64) * num_classes + predictions.astype(np.int64)
    counts = np.bincount(cells, minlength=num_classes**2)
    return counts.astype(np.int64).reshape(num_classes, num_classes)


def classification_report(confusion: np.ndarray, class_names: Sequence[str]) -> Report:
    """Sum up a confusion matrix.

    A ratio of nothing to nothing is 0, as in scikit-learn's `zero_division=0`. Balanced accuracy
    is the mean recall of the classes that have cases. Macro F1 is the mean over the classes that
    were either true or predicted: a class that appears nowhere counts for neither. Without any
    case these three are NaN.

    Parameters
    ----------
    confusion : int64 array (K, K), rows are the true classes
    class_names : K names
    """
    confusion = np.asarray(confusion, dtype=np.int64)
    if confusion.shape != (len(class_names), len(class_names)):
        raise ValueError(f"{len(class_names)} names for a confusion matrix {confusion.shape}")
    hits = np.diagonal(confusion)
    support = confusion.sum(axis=1)
    predicted = confusion.sum(axis=0)
    precision, recall = _ratio(hits, predicted), _ratio(hits, support)
    f1 = _ratio(2 * hits, support + predicted)
    present, seen = support > 0, (support + predicted) > 0
    cases = int(support.sum())
    return {
        "accuracy": int(hits.sum()) / cases if cases else float("nan"),
        "balanced_accuracy": float(recall[present].mean()) if cases else float("nan"),
        "macro_f1": float(f1[seen].mean()) if cases else float("nan"),
        "per_class": [
            {
                "class_name": name,
                "precision": float(precision[k]),
                "recall": float(recall[k]),
                "f1": float(f1[k]),
                "support": int(support[k]),
            }
            for k, name in enumerate(class_names)
        ],
    }


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
