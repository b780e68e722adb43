"""Figures of merit from counts, as scikit-learn gives them.

In plain numpy: importing scikit-learn takes longer than many an epoch on a Pi. K is the number of
classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
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


OVERALL = ("accuracy", "macro_f1", "balanced_accuracy")  # figures of a whole part


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix by its cells that are not 0: as many as there are cases at most, where
    the matrix of 3,000 classes takes 72 MB.

    Attributes
    ----------
    num_classes : K
    true, predicted : int64 (M,), classes 0…K-1, sorted by true class and then by predicted class
    counts : int64 (M,), cases of a true class that were given the predicted one
    """

    num_classes: int
    true: np.ndarray
    predicted: np.ndarray
    counts: np.ndarray

    def matrix(self) -> np.ndarray:
        """All cells: int64 (K, K), rows are the true classes."""
        matrix = np.zeros((self.num_classes, self.num_classes), dtype=np.int64)
        matrix[self.true, self.predicted] = self.counts
        return matrix

    @property
    def num_cases(self) -> int:
        return int(self.counts.sum())

    @property
    def support(self) -> np.ndarray:
        """Cases of each true class: int64 (K,)."""
        return self._count(self.true, slice(None))

    @property
    def num_predicted(self) -> np.ndarray:
        """Cases that were given each class: int64 (K,)."""
        return self._count(self.predicted, slice(None))

    @property
    def hits(self) -> np.ndarray:
        """Cases of each class that were given it: int64 (K,)."""
        return self._count(self.true, self.true == self.predicted)

    def _count(self, classes: np.ndarray, cells: slice | np.ndarray) -> np.ndarray:
        counts = np.zeros(self.num_classes, dtype=np.int64)
        np.add.at(counts, classes[cells], self.counts[cells])
        return counts

    def worst(self, most: int) -> list[tuple[int, int, int]]:
        """The most frequent mistakes: (true class, predicted class, cases), most cases first."""
        wrong = np.flatnonzero(self.true != self.predicted)
        wrong = wrong[np.argsort(-self.counts[wrong], kind="stable")[:most]]
        cells = (self.true[wrong], self.predicted[wrong], self.counts[wrong])
        return list(zip(*(numbers.tolist() for numbers in cells), strict=True))


def confusion_of(matrix: np.ndarray | Confusion) -> Confusion:
    """The cells of a (K, K) array of counts, rows are the true classes."""
    if isinstance(matrix, Confusion):
        return matrix
    matrix = np.asarray(matrix, dtype=np.int64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"a confusion matrix is square, not {matrix.shape}")
    true, predicted = np.nonzero(matrix)
    return Confusion(len(matrix), true, predicted, matrix[true, predicted])


def standard_error(correct: int, cases: int) -> float:
    """Of an accuracy; two right and two wrong are added, so that none is never certain."""
    share = (correct + 2) / (cases + 4)
    return math.sqrt(share * (1 - share) / (cases + 4))


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> Confusion:
    """Count the cases of each true class that were given each class.

    Parameters
    ----------
    labels, predictions : integer arrays (cases,), values 0…K-1

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
    cells = np.sort(labels.astype(np.int64) * num_classes + predictions.astype(np.int64))
    # np.unique would import numpy.ma, which takes a tenth of a second on a Pi.
    first = np.flatnonzero(np.diff(cells, prepend=-1))
    true, predicted = np.divmod(cells[first], num_classes)
    return Confusion(num_classes, true, predicted, np.diff(first, append=len(cells)))


def classification_report(confusion: Confusion | np.ndarray, class_names: Sequence[str]) -> Report:
    """Sum up a confusion matrix.

    A ratio of nothing to nothing is 0, as in scikit-learn's `zero_division=0`. Balanced accuracy
    is the mean recall of the classes that have cases. Macro F1 is the mean over the classes that
    were either true or predicted: a class that appears nowhere counts for neither. Without any
    case these three are NaN.

    Parameters
    ----------
    confusion : counts, as an array (K, K) or as a `Confusion`; rows are the true classes
    class_names : K names
    """
    confusion = confusion_of(confusion)
    if confusion.num_classes != len(class_names):
        raise ValueError(f"{len(class_names)} names for {confusion.num_classes} classes")
    hits, support, predicted = confusion.hits, confusion.support, confusion.num_predicted
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
