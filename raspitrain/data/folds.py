"""Folds: every case is tested on once, by a model that has seen the other folds."""

from typing import Literal

import numpy as np

from raspitrain.data.cases import Cases
from raspitrain.errors import InputError

Folds = int | Literal["groups"]


def num_folds(
    cases: Cases, folds: Folds, *, predefined: bool, given_by: str = "split.folds="
) -> int:
    """How many folds there are: `folds`, or one for each group.

    Parameters
    ----------
    given_by : what stands before the number where it was given, for the sentence

    Raises
    ------
    InputError
        There are no groups, fewer groups or cases than folds, or one fold alone.
    """
    inside = _inside(cases, predefined=predefined)
    if cases.groups is None:
        if folds == "groups":
            raise InputError(
                "split.folds=groups tests on one group after the other, and these cases have none: "
                "name whose each case is in dataset.groups, or use a number of folds."
            )
        units, what = len(inside), "cases"
    else:
        units, what = len(np.unique(cases.groups[inside])), f"{cases.taken.keeps}s"
    count = units if folds == "groups" else folds
    if count > units or count < 2:
        raise InputError(
            f"{given_by}{folds}: there are {units} {what} to deal out, and each fold must have "
            f"one; use at most {given_by}{units}."
            if count > units > 1
            else f"{given_by}{folds}: all cases are of one {what.removesuffix('s')}, and two are "
            "the least."
        )
    return count


def fold_of_cases(
    cases: Cases,
    folds: Folds,
    *,
    predefined: bool,
    stratify: bool,
    rng: np.random.Generator,
    given_by: str = "split.folds=",
) -> np.ndarray:
    """The fold of each case, int64 (N,); -1 for those of the data's own test part, if that is used.

    Groups stay whole. With `stratify` every fold gets its share of every class, as near as groups
    allow.
    """
    count = num_folds(cases, folds, predefined=predefined, given_by=given_by)
    inside = _inside(cases, predefined=predefined)
    labels = cases.labels[inside] if stratify else np.zeros(len(inside), dtype=np.int64)
    fold_of = np.full(len(cases.labels), -1, dtype=np.int64)
    if cases.groups is None:
        order = rng.permutation(len(inside))
        order = order[np.argsort(labels[order], kind="stable")]  # dealt out class by class
        fold_of[inside[order]] = np.arange(len(inside)) % count
        return fold_of
    _, group_of = np.unique(cases.groups[inside], return_inverse=True)
    if folds == "groups":
        fold_of[inside] = group_of
    else:
        fold_of[inside] = _deal_groups(labels, group_of, count, rng)[group_of]
    return fold_of


def _inside(cases: Cases, *, predefined: bool) -> np.ndarray:
    if predefined and cases.part is not None:
        return np.flatnonzero(cases.part != 2)
    return np.arange(len(cases.labels))


def _deal_groups(
    labels: np.ndarray, group_of: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """The fold of each group, the largest first, where its classes are lacked most."""
    sizes = np.zeros((int(group_of.max()) + 1, int(labels.max()) + 1))
    np.add.at(sizes, (group_of, labels), 1)
    sizes /= np.maximum(sizes.sum(axis=0), 1)  # shares of each class
    filled = np.zeros((count, sizes.shape[1]))
    fold_of = np.empty(len(sizes), dtype=np.int64)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order].sum(axis=1), kind="stable")]
    for place, group in enumerate(order):
        cost = ((filled + sizes[group]) ** 2 - filled**2).sum(axis=1)
        empty = np.array([not (fold_of[order[:place]] == fold).any() for fold in range(count)])
        if empty.sum() >= len(order) - place:
            cost[~empty] = np.inf  # the last groups go where there is none yet
        fold = int(np.argmin(cost))
        fold_of[group] = fold
        filled[fold] += sizes[group]
    return fold_of
