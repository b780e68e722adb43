"""Folds: each case is tested on once, groups whole, classes in their shares."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_data_split import make, split

from raspitrain.errors import InputError


@given(st.integers(2, 6), st.integers(0, 3), st.booleans(), st.booleans())
@settings(max_examples=40)
def test_every_case_is_tested_on_once_and_groups_stay_whole(folds, seed, grouped, validated):
    rng = np.random.default_rng(seed)
    labels = np.arange(120) % 3
    groups = rng.integers(0, 12, 120) if grouped else None
    assume(not grouped or len(np.unique(groups)) >= folds)
    cases = make(labels, groups=groups)
    tested = []
    for fold in range(folds):
        parts = split(
            cases, folds=folds, fold=fold, seed=seed, validation=0.1 if validated else 0.0
        )
        together = np.concatenate([parts.train, parts.validation, parts.test])
        np.testing.assert_array_equal(np.sort(together), np.arange(120))
        if grouped:
            sides = [set(groups[part]) for part in (parts.train, parts.validation, parts.test)]
            assert not any(one & other for one, other in combinations(sides, 2))
        else:
            assert np.ptp(np.bincount(labels[parts.test], minlength=3)) <= 1
        tested.append(parts.test)
    np.testing.assert_array_equal(np.sort(np.concatenate(tested)), np.arange(120))


def test_leave_one_group_out():
    groups = np.repeat([3, 1, 2, 7], [30, 10, 20, 40])
    cases = make(np.arange(100) % 2, groups=groups)
    sizes = [len(split(cases, folds="groups", fold=fold).test) for fold in range(4)]
    assert sizes == [10, 20, 30, 40]
    with pytest.raises(InputError, match="4 folds, the last is 3"):
        split(cases, folds="groups", fold=4)


def test_groups_are_dealt_out_evenly():
    groups = np.repeat(np.arange(20), 10)
    cases = make(np.arange(200) % 2, groups=groups)
    assert {len(split(cases, folds=5, fold=fold).test) for fold in range(5)} == {40}


def test_the_datas_own_test_part_is_left_out():
    part = np.repeat([0, 2], 50)
    cases = make(np.arange(100) % 2, part=part)
    parts = split(cases, folds=5, fold=0)
    assert (len(parts.train), len(parts.test)) == (40, 10)
    assert parts.test.max() < 50
    assert len(split(cases, folds=5, fold=0, predefined=False).test) == 20


@pytest.mark.parametrize(
    ("folds", "groups", "words"),
    [
        ("groups", None, "these cases have none"),
        (5, np.arange(60) // 20, "at most split.folds=3"),
        ("groups", np.zeros(60, int), "all cases are of one group"),
    ],
)
def test_what_cannot_be_dealt_out_is_refused(folds, groups, words):
    with pytest.raises(InputError, match=words):
        split(make(np.arange(60) % 2, groups=groups), folds=folds, fold=0)
