"""The windows that a run was tested on, read again for its export."""

from dataclasses import dataclass

import numpy as np

from raspitrain.config.build import build_cases
from raspitrain.data.split import split_cases
from raspitrain.errors import InputError
from raspitrain.export.compare import some
from raspitrain.export.trained import Trained


@dataclass(frozen=True)
class Windows:
    """Normalised windows, float32 (N, C, L), with labels, int64 (N,), of a part."""

    part: str
    signals: np.ndarray
    labels: np.ndarray


def own_windows(trained: Trained) -> Windows:
    """The test part of the run's own data, or else the validation or training part.

    Raises
    ------
    InputError
        The data cannot be read, or is not what the model was trained on.
    """
    config = trained.config
    cases = build_cases(config["dataset"])
    if (
        list(cases.channel_names) != trained.contract.channels
        or list(cases.class_names) != trained.answer.classes
        or trained.normalisation.seen_length(cases.signals.shape[2]) != trained.length
    ):
        raise InputError("the data set has other channels, classes or lengths than in training")
    split = split_cases(cases, seed=config["seed"], **config["split"])
    for part in ("test", "validation", "train"):
        indices = getattr(split, part)
        if len(indices):
            break
    indices = indices[some(len(indices))]
    signals = trained.normalisation.apply(cases.signals[indices])
    return Windows(part, signals, cases.labels[indices])
