"""Whether a run that came to its end has come to anything, in sentences for whoever started it."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from omegaconf import DictConfig

from raspitrain.training.metrics import Confusion

# Of the way from always naming the most frequent class to no mistake, that a network should have
# gone on its own training cases.
LEARNT = 0.75
CHANCE = 1.64  # standard errors above which one in twenty gets by luck


def is_underfitted(train_accuracy: float, labels: np.ndarray) -> bool:
    """Whether so few training cases are answered rightly that training has not done its work.

    Parameters
    ----------
    labels : int (N,), of the training cases
    """
    return _is_low(train_accuracy, blind_accuracy(labels))


def ended_underfitted(train_accuracy: float, labels: np.ndarray, test: Confusion | None) -> bool:
    """`is_underfitted`, unless the test part says that the work is done: augmentation and dropout
    make training cases harder than they are.

    Parameters
    ----------
    test : of the chosen model; None without a test part
    """
    if not is_underfitted(train_accuracy, labels):
        return False
    if test is None:
        return True
    blind = float(test.support.max() / test.num_cases)
    return _is_low(float(test.hits.sum() / test.num_cases), blind)


def _is_low(accuracy: float, blind: float) -> bool:
    return accuracy - blind < LEARNT * (1 - blind)


def blind_accuracy(labels: np.ndarray) -> float:
    """That of always naming the most frequent class."""
    return float(np.bincount(labels).max() / len(labels))


def warnings_of(
    cfg: DictConfig,
    row: Mapping[str, Any],
    labels: np.ndarray,
    test: Confusion | None,
    *,
    kind: str,
    epochs: int,
    in_one_step: bool,
    is_augmented: bool,
) -> list[str]:
    """What is to be said of a run that ended as it should.

    Parameters
    ----------
    row : the last of metrics.csv
    labels : int (N,), of the training cases
    test : of the chosen model; None without a test part
    kind : of normalisation
    in_one_step : the model was fitted by a formula, and `row` has its accuracy on cases left out
    """
    blind, accuracy = blind_accuracy(labels), row["train_accuracy"]
    beside = f"always naming the most frequent class gives {100 * blind:.1f} %"
    remedies = _remedies(cfg, kind, epochs, in_one_step=in_one_step, is_augmented=is_augmented)
    found = []
    if accuracy <= _by_luck(blind, len(labels)):
        found.append(
            f"nothing was learnt: {100 * accuracy:.1f} % of the training cases are answered "
            f"rightly, and {beside}; look whether labels and signals go together, or try "
            f"{remedies}"
        )
    elif not in_one_step and ended_underfitted(accuracy, labels, test):
        found.append(
            f"the run ends underfitted: {100 * accuracy:.1f} % of its own training cases are "
            f"answered rightly ({beside}); try "
            f"{remedies}"
        )
    if test is not None and not found and _is_blind(test):
        hits, largest = test.hits.sum(), test.support.max()
        found.append(
            f"of no use on other cases: {100 * hits / test.num_cases:.1f} % of the test part are "
            f"answered rightly, no more than chance gives ({100 * largest / test.num_cases:.1f} % "
            f"by always naming one class), though {100 * accuracy:.1f} % of the training part are: "
            f"bring more cases, {'' if in_one_step else 'train for longer, '}or look whether both "
            "parts were recorded alike"
        )
    return found


def _by_luck(share: float, num_cases: int) -> float:
    return share + CHANCE * math.sqrt(share * (1 - share) / num_cases)


def _is_blind(confusion: Confusion) -> bool:
    """Whether luck explains the accuracy as well as the mean recall of the classes."""
    support, hits = confusion.support, confusion.hits
    present = support > 0
    recall = float((hits[present] / support[present]).mean())
    accuracy, blind = hits.sum() / confusion.num_cases, support.max() / confusion.num_cases
    return accuracy <= _by_luck(blind, confusion.num_cases) and recall <= _by_luck(
        1 / present.sum(), confusion.num_cases
    )


def _remedies(
    cfg: DictConfig, kind: str, epochs: int, *, in_one_step: bool, is_augmented: bool
) -> str:
    words = []
    if not in_one_step:
        few = cfg.epochs != "auto" and epochs < cfg.min_epochs
        auto = cfg.epochs == "auto" and cfg.min_steps != "auto"
        more = "min_steps=auto or " if auto else ""
        words.append(f"more training ({more}epochs={'auto' if few else 2 * epochs})")
    if "normalise" in cfg.dataset and kind not in ("case", "both"):
        words.append("dataset.normalise=both")
    if not in_one_step:
        words.append("model=minirocket")
        if is_augmented:
            words.append("augment=none")
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) or (
        "a network, such as model=resnet"
    )
