"""Our figures of merit against scikit-learn's, over cases with absent and unpredicted classes."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raspitrain.training.metrics import (
    classification_report,
    confusion_matrix,
    confusion_of,
)


@st.composite
def outcomes(draw):
    num_classes = draw(st.integers(1, 6))
    cases = draw(st.integers(1, 40))
    classes = st.lists(st.integers(0, num_classes - 1), min_size=cases, max_size=cases)
    return num_classes, np.array(draw(classes)), np.array(draw(classes))


@given(outcomes())
@settings(deadline=None)
def test_as_scikit_learn(outcome):
    from sklearn import metrics as sklearn_metrics

    num_classes, labels, predictions = outcome
    confusion = confusion_matrix(labels, predictions, num_classes)
    assert confusion.matrix().dtype == np.int64
    assert confusion.num_cases == len(labels)
    names = [f"class {k}" for k in range(num_classes)]
    report = classification_report(confusion, names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(
            confusion.matrix(),
            sklearn_metrics.confusion_matrix(labels, predictions, labels=range(num_classes)),
        )
        balanced = sklearn_metrics.balanced_accuracy_score(labels, predictions)
        macro_f1 = sklearn_metrics.f1_score(labels, predictions, average="macro", zero_division=0)
        per_class = sklearn_metrics.precision_recall_fscore_support(
            labels, predictions, labels=range(num_classes), zero_division=0
        )
    assert report["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(labels, predictions))
    assert report["balanced_accuracy"] == pytest.approx(balanced)
    assert report["macro_f1"] == pytest.approx(macro_f1)
    for k, figures in enumerate(report["per_class"]):
        assert figures["class_name"] == names[k]
        ours = [figures[name] for name in ("precision", "recall", "f1", "support")]
        assert ours == pytest.approx([column[k] for column in per_class])


def test_rows_are_the_true_classes():
    confusion = confusion_matrix(np.array([0, 0, 1]), np.array([1, 0, 1]), 3)
    assert confusion.matrix().tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


@given(outcomes())
@settings(deadline=None)
def test_a_matrix_and_its_cells_say_the_same(outcome):
    num_classes, labels, predictions = outcome
    cells = confusion_matrix(labels, predictions, num_classes)
    matrix = cells.matrix()
    again = confusion_of(matrix)
    for ours, expected in (
        (cells.support, matrix.sum(axis=1)),
        (cells.num_predicted, matrix.sum(axis=0)),
        (cells.hits, np.diagonal(matrix)),
        (again.true, cells.true),
        (again.predicted, cells.predicted),
        (again.counts, cells.counts),
    ):
        np.testing.assert_array_equal(ours, expected)
    worst = cells.worst(3)
    off_diagonal = np.sort((matrix - np.diag(np.diagonal(matrix))).ravel())[::-1]
    assert [n for _, _, n in worst] == off_diagonal[off_diagonal > 0][:3].tolist()
    assert all(matrix[true, predicted] == n and true != predicted for true, predicted, n in worst)


def test_a_hundred_thousand_classes_take_what_their_cases_take():
    labels = np.arange(100_000)
    confusion = confusion_matrix(labels, labels[::-1], 100_000)  # a matrix of 80 GB
    assert confusion.hits.sum() == 0
    assert len(confusion.counts) == 100_000
    assert confusion.worst(1) == [(0, 99_999, 1)]


def test_no_cases_give_no_figures():
    report = classification_report(np.zeros((2, 2)), ["a", "b"])
    assert math.isnan(report["accuracy"])
    assert math.isnan(report["macro_f1"])
    assert [figures["support"] for figures in report["per_class"]] == [0, 0]


@pytest.mark.parametrize(
    ("labels", "predictions"), [([0, 2], [0, 1]), ([0, 1], [0, -1]), ([0], [0, 1])]
)
def test_impossible_classes_are_refused(labels, predictions):
    with pytest.raises(ValueError, match=r"classes must|do not match"):
        confusion_matrix(np.array(labels), np.array(predictions), 2)


def test_narrow_integers_do_not_overflow():
    labels = np.full(3, 119, dtype=np.int8)
    assert confusion_matrix(labels, labels, 120).matrix()[119, 119] == 3
