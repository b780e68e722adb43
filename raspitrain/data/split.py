"""Splitting cases into a training, a validation and a test part."""

from dataclasses import dataclass, replace

import numpy as np

from raspitrain.data.cases import Cases, bare_name
from raspitrain.data.folds import Folds, fold_of_cases, num_folds
from raspitrain.errors import InputError, Warned, counted
from raspitrain.hardware.board import available_memory
from raspitrain.hardware.memory import memory_error

PARTS = ("training", "validation", "test")
LEFT_OUT = 3
TABLES = 2  # of groups × classes
RESTARTS = 16  # orders tried for groups: what comes late finds little room


@dataclass(frozen=True)
class Split:
    """Which cases belong to which part: sorted int64 indices, empty where a part is not wanted."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def folds_within(
    cases: Cases,
    indices: np.ndarray,
    count: Folds,
    *,
    stratify: bool,
    seed: int,
    given_by: str = "split.folds=",
) -> list[Split]:
    """Some of the cases in folds: each split tests on one of them and trains on the others.

    Groups stay whole, as in `fold_of_cases`; `given_by` as for `num_folds`.

    Raises
    ------
    InputError
        There are fewer cases, or groups, than folds.
    """
    part = np.full(len(cases.labels), 2, dtype=np.int8)
    part[indices] = 0
    rng = np.random.default_rng(seed)
    fold_of = fold_of_cases(
        replace(cases, part=part),
        count,
        predefined=True,
        stratify=stratify,
        rng=rng,
        given_by=given_by,
    )
    none = np.zeros(0, dtype=np.int64)
    return [
        Split(np.flatnonzero((fold_of >= 0) & (fold_of != k)), none, np.flatnonzero(fold_of == k))
        for k in range(int(fold_of.max()) + 1)
    ]


def split_cases(
    cases: Cases,
    *,
    train: float | None,
    validation: float,
    test: float,
    stratify: bool,
    predefined: bool,
    seed: int,
    folds: Folds | None = None,
    fold: int | None = None,
) -> Split:
    """Split cases by chance, by folds, or as the data says.

    Parameters
    ----------
    train, validation, test : float
        Shares of the cases. `train` None is what the others leave; given, the three may leave
        some cases out.
    stratify : bool
        Keep the classes' shares in every part.
    predefined : bool
        Where the data has its own split, use that. If it has no validation part, one is cut from
        its training part: `validation / (1 - test)` of it, so that a share means the same as
        without a predefined split.
    seed : int
        The same seed and data give the same split.
    folds, fold : int or "groups", int
        The test part is this one of so many folds, from 0, or of one fold a group. The data's own
        test part is then left out; `validation / (1 - 1 / folds)` of the other folds is cut off.

    Raises
    ------
    InputError
        If shares are impossible, a part would be empty, a class is too small to be split or
        absent from training, or the data's own split tears a group.
    """
    with Warned(cases.taken.warnings):
        shares = _check_shares(train, validation, test)
        rng = np.random.default_rng(seed)
        if folds is not None and fold is not None:
            part = _draw_fold(cases, folds, fold, validation, predefined, stratify, rng)
        elif predefined and cases.part is not None:
            part = cases.part.astype(np.int8)
            _check_groups_whole(cases, part)
            if validation > 0 and not (part == 1).any():
                inside = np.flatnonzero(part == 0)
                share = validation / (1 - test)
                part[inside] = _draw(
                    cases, inside, np.array([1 - share, share, 0, 0]), stratify, rng
                )
        else:
            part = _draw(cases, np.arange(len(cases.labels)), shares, stratify, rng)
            for p, name in enumerate(PARTS):
                if shares[p] > 0 and not (part == p).any():
                    raise InputError(
                        f"split: {shares[p]:.3g} of {len(cases.labels)} cases leaves none for the "
                        f"{name} part; give it a larger share or bring more data."
                    )
        _check_all_trained(cases, part, own=predefined and cases.part is not None)
    return Split(*(np.flatnonzero(part == p) for p in range(3)))


def _check_all_trained(cases: Cases, part: np.ndarray, *, own: bool) -> None:
    """Refuse a class without a case in the training part; `own`: where the data says the parts."""
    trained = np.isin(np.arange(len(cases.class_names)), cases.labels[part == 0])
    if not trained.all():
        k = int(np.argmin(trained))
        name = cases.class_names[k]
        there = ", ".join(n for n, has in zip(cases.class_names, trained, strict=True) if has)
        remedy = f"one name for a class in all parts (training has {there[:80]})"
        remedy = f"{remedy}, split.predefined=false" if own else "split.stratify=true, another seed"
        if not own and int((cases.labels == k).sum()) < 2:
            remedy = f"dataset.leave_out=[{name}]"
        raise InputError(
            f"split: the training part has no case of the class '{name}', so it cannot be learnt; "
            f"use {remedy} or more data."
        )


def _draw_fold(
    cases: Cases,
    folds: Folds,
    fold: int,
    validation: float,
    predefined: bool,
    stratify: bool,
    rng: np.random.Generator,
) -> np.ndarray:
    count = num_folds(cases, folds, predefined=predefined)
    if fold >= count:
        raise InputError(f"split.fold={fold}: there are {count} folds, the last is {count - 1}.")
    fold_of = fold_of_cases(cases, folds, predefined=predefined, stratify=stratify, rng=rng)
    part = np.where(fold_of == fold, 2, np.where(fold_of < 0, LEFT_OUT, 0)).astype(np.int8)
    if validation > 0:
        inside = np.flatnonzero(part == 0)
        share = min(validation / (1 - 1 / count), 0.9)
        part[inside] = _draw(cases, inside, np.array([1 - share, share, 0, 0]), stratify, rng)
    return part


def _check_shares(train: float | None, validation: float, test: float) -> np.ndarray:
    """Return the shares of training, validation, test and what is left out; they add up to 1."""
    for name, share in (("train", train), ("validation", validation), ("test", test)):
        if share is not None and not 0 <= share < (1.0001 if name == "train" else 1):
            raise InputError(f"split.{name} is {share}, but must be a share from 0 to below 1.")
    given = validation + test + (train or 0)
    if given > 1 + 1e-9 or train == 0 or (train is None and given > 1 - 1e-9):
        raise InputError(
            f"split: train={train}, validation={validation} and test={test} leave nothing to "
            "train on or exceed 1; choose shares that add up to at most 1."
        )
    rest = max(1 - given, 0.0)
    if train is None:
        return np.array([rest, validation, test, 0.0])
    return np.array([train, validation, test, rest if rest > 1e-9 else 0.0])


def _check_groups_whole(cases: Cases, part: np.ndarray) -> None:
    if cases.groups is None:
        return
    pairs = np.unique(np.stack([cases.groups, part]), axis=1)
    if len(np.unique(pairs[0])) < pairs.shape[1]:
        raise InputError(
            "split: the data's own split puts cases of one group into several parts; "
            "fix it, or draw another with split.predefined=false."
        )


def _draw(
    cases: Cases,
    indices: np.ndarray,
    shares: np.ndarray,
    stratify: bool,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the part of each of some cases, int8, as `shares` of the four parts wish."""
    labels = cases.labels[indices] if stratify else np.zeros(len(indices), dtype=np.int64)
    names = cases.class_names if stratify else ("",)
    if cases.groups is None:
        return _draw_cases(labels, names, shares, rng)
    _, groups = np.unique(cases.groups[indices], return_inverse=True)
    return _draw_groups(labels, names, groups, shares, rng, kind=cases.taken.keeps)


def _draw_cases(
    labels: np.ndarray, names: tuple[str, ...], shares: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    part = np.empty(len(labels), dtype=np.int8)
    stratified = len(names) > 1
    minimum = ((shares > 0) & (np.arange(4) < LEFT_OUT)).astype(np.int64) * stratified
    owed = np.zeros(4)  # what rounding kept from each part so far, so that the totals fit too
    for k, name in enumerate(names):
        members = rng.permutation(np.flatnonzero(labels == k))
        if len(members) < minimum.sum():
            _refuse_small(name, len(members), "case", int(minimum.sum()), names)
        wanted = len(members) * shares + owed
        counts = _round_to_total(wanted, len(members), minimum)
        # No more than rounding can owe: what tiny classes must give is not taken back from others.
        owed = np.clip(wanted - counts, -1, 1)
        part[members] = np.repeat(np.arange(4, dtype=np.int8), counts)
    return part


def _round_to_total(wanted: np.ndarray, total: int, minimum: np.ndarray) -> np.ndarray:
    """Round to integers that add up to `total`, none below its minimum."""
    counts = np.maximum(np.floor(wanted), minimum).astype(np.int64)
    while counts.sum() < total:
        counts[np.argmax(wanted - counts)] += 1
    while counts.sum() > total:
        counts[np.argmax(np.where(counts > minimum, counts - wanted, -np.inf))] -= 1
    return counts


def _draw_groups(
    labels: np.ndarray,
    names: tuple[str, ...],
    groups: np.ndarray,
    shares: np.ndarray,
    rng: np.random.Generator,
    *,
    kind: str,
) -> np.ndarray:
    num_groups = int(groups.max()) + 1
    size, free = TABLES * 8 * num_groups * len(names), available_memory()
    if size > free:
        raise memory_error(
            f"split: {num_groups} groups of {len(names)} classes need {size / 1e9:.1f} GB to be "
            f"split by class but {free / 1e9:.1f} GB are free; use split.stratify=false.",
            size,
        )
    sizes = np.zeros((num_groups, len(names)))  # cases of each class in each group
    np.add.at(sizes, (groups, labels), 1)
    wanted_parts = np.flatnonzero(shares[:LEFT_OUT] > 0)
    for k, name in enumerate(names):
        holders = int((sizes[:, k] > 0).sum())
        if holders < len(wanted_parts):
            few = [n for n in range(len(names)) if (sizes[:, n] > 0).sum() < len(wanted_parts)]
            fewest = int(sizes[:, few].sum(axis=0).min())
            _refuse_small(name, holders, kind, len(wanted_parts), names, (fewest + 1) // 2)

    best, best_cost = None, np.inf
    for _ in range(RESTARTS if num_groups <= 1000 else 1):
        chosen, filled = _fill_greedily(sizes, shares, wanted_parts, rng)
        wanted = shares[:, None] * sizes.sum(axis=0)
        cost = float((((filled - wanted) / sizes.sum(axis=0)) ** 2).sum())
        cost += 1e6 * int((filled[wanted_parts] == 0).sum())  # a class absent from a part
        if cost < best_cost:
            best, best_cost = chosen, cost
    if best is None or best_cost >= 1e6:
        raise InputError(
            "split: no split by group has every class in every part, as groups stay whole; "
            "record more groups, ask for fewer parts, or use split.stratify=false."
        )
    return best[groups]


def _fill_greedily(
    sizes: np.ndarray, shares: np.ndarray, wanted_parts: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Give each group, in random order, to the part that lacks its classes most.

    Returns
    -------
    chosen : np.ndarray
        int8 (groups,).
    filled : np.ndarray
        (4, K): cases of each class in each part.
    """
    totals = sizes.sum(axis=0)
    wanted = shares[:, None] * totals
    filled = np.zeros_like(wanted)
    chosen = np.zeros(len(sizes), dtype=np.int8)
    open_parts = np.flatnonzero(shares > 0)
    for g in rng.permutation(len(sizes)):
        lack = ((wanted - filled) * sizes[g] / totals).sum(axis=1)
        chosen[g] = open_parts[np.argmax(lack[open_parts])]
        filled[chosen[g]] += sizes[g]
    # A small share may have got nothing of a class: move the smallest group that can be spared.
    for p in wanted_parts:
        for k in np.flatnonzero(filled[p] == 0):
            for g in np.argsort(sizes.sum(axis=1), kind="stable"):
                left = filled[chosen[g]] - sizes[g]
                if sizes[g, k] and (left[sizes[g] > 0] > 0).all():
                    filled[chosen[g]] -= sizes[g]
                    filled[p] += sizes[g]
                    chosen[g] = p
                    break
    return chosen, filled


def _refuse_small(
    name: str, has: int, unit: str, needs: int, names: tuple[str, ...], blocks: int = 10
) -> None:
    """`blocks` is how many windows of a class have room one after the other, if they overlap by
    half."""
    of_class = f"the class '{name}' has" if name else "the data has"
    more = "bring more data"
    why = ""
    if unit != "case":
        why = f", as cases of one {unit} stay on one side"
    if unit == "recording":
        why = ", as cases of one recording, and of copies of it, stay on one side"
        more = (
            "bring more recordings, or if one holds several people or sessions, name the column "
            "that tells them apart in dataset.group_column"
        )
        if blocks >= needs:
            more += (
                "; or test how well the network does in these recordings alone, each cut into "
                f"blocks, with dataset.blocks={min(blocks, 10)}"
            )
    fewer = ", do without a validation part (split.validation=0)" if needs == 3 else ""
    otherwise = ""
    if name:
        otherwise = f", or leave the class out with dataset.leave_out=[{name}]"
        twins = [own for own in names if own != name and bare_name(own) == bare_name(name)]
        if twins:
            otherwise = f", or write '{name}' and '{twins[0]}' alike if they are one class"
        elif has > 1:
            otherwise = ", or use split.stratify=false"
    raise InputError(
        f"split: {of_class} {counted(has, unit)}, too small to split into "
        f"{needs} parts{why}; {more}{fewer}{otherwise}."
    )
