"""A run that came to nothing says so."""

import json

import numpy as np
import pytest

from raspitrain.run.verdict import warnings_of
from raspitrain.training.metrics import confusion_of
from tests.conftest import TINY

LABELS = np.repeat(np.arange(4), 50)
GOOD = confusion_of(np.diag([20, 20, 20, 20]))
MEDIUM = confusion_of(np.diag([12, 12, 12, 12]) + np.roll(np.diag([8, 8, 8, 8]), 1, axis=1))
# What a network gives that names one class, whatever it sees.
BLIND = confusion_of(np.array([[0, 20], [0, 25]]))


@pytest.mark.parametrize(
    ("train_accuracy", "test", "in_one_step", "said"),
    [
        (0.99, GOOD, False, None),
        (0.60, MEDIUM, False, "underfitted: 60.0 %"),
        (0.60, None, False, "underfitted: 60.0 %"),
        (0.60, GOOD, False, None),  # augmentation made the training cases hard
        (0.60, GOOD, True, None),  # of a formula it is the accuracy on cases left out
        (0.27, GOOD, False, "nothing was learnt: 27.0 %"),
        (0.27, GOOD, True, "nothing was learnt"),
        (0.99, BLIND, False, "of no use on other cases: 55.6 % of the test part"),
        (0.99, None, False, None),
    ],
)
def test_what_is_said(compose, train_accuracy, test, in_one_step, said):
    found = warnings_of(
        compose(), {"train_accuracy": train_accuracy}, LABELS, test, kind="channel", epochs=20,
        in_one_step=in_one_step, is_augmented=True,
    )  # fmt: skip
    assert [said in sentence for sentence in found] == ([True] if said else [])


def test_nobody_is_told_to_leave_out_what_is_not_there(compose):
    told = [
        warnings_of(
            compose(), {"train_accuracy": 0.6}, LABELS, None, kind="both", epochs=20,
            in_one_step=False, is_augmented=is_augmented,
        )[0]
        for is_augmented in (True, False)
    ]  # fmt: skip
    assert ["augment=none" in sentence for sentence in told] == [True, False]


def test_a_rare_class_that_is_found_is_no_chance(compose):
    """Fewer right than by always naming the frequent class, and a mean recall far above it."""
    rare = confusion_of(np.array([[170, 20], [1, 9]]))
    assert not warnings_of(
        compose(),
        {"train_accuracy": 0.99},
        LABELS,
        rare,
        kind="both",
        epochs=20,
        in_one_step=False,
        is_augmented=True,
    )


def test_it_stands_on_the_screen_in_the_log_in_the_summary_and_on_the_page(
    forked_command, tmp_path
):
    done = forked_command(*TINY, "dataset=random", "hydra.run.dir=run")
    assert done.returncode == 0
    (sentence,) = json.loads((tmp_path / "run/summary.json").read_text())["warnings"]
    assert all(word in sentence for word in ("epochs=auto", "model=minirocket", "augment=none"))
    assert sentence in done.stdout
    assert sentence in (tmp_path / "run/run.log").read_text()
    assert sentence.split(":")[0] in (tmp_path / "run/report.html").read_text()
