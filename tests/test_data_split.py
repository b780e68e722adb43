"""Splits: shares, classes, groups, the data's own parts, and what cannot be split."""

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from raspitrain.data.cases import Cases
from raspitrain.data.split import Split, split_cases
from raspitrain.errors import InputError

DEFAULTS = {
    "train": None,
    "validation": 0.0,
    "test": 0.3,
    "stratify": True,
    "predefined": True,
    "seed": 0,
}


def make(labels, groups=None, part=None) -> Cases:
    labels = np.asarray(labels)
    return Cases(
        signals=np.zeros((len(labels), 1, 8), dtype=np.float32),
        labels=labels.astype(np.int64),
        class_names=tuple(f"class {k}" for k in range(int(labels.max()) + 1)),
        channel_names=("x",),
        groups=None if groups is None else np.asarray(groups),
        part=None if part is None else np.asarray(part, dtype=np.int8),
    )


def split(cases: Cases, **given: object) -> Split:
    return split_cases(cases, **DEFAULTS | given)  # type: ignore[arg-type]


def sizes(parts: Split) -> tuple[int, int, int]:
    return len(parts.train), len(parts.validation), len(parts.test)


def test_the_blogs_split_is_70_30_at_random():
    labels = np.random.default_rng(0).integers(0, 2, 100)
    parts = split(make(labels), train=0.7, test=0.3, stratify=False)
    assert sizes(parts) == (70, 0, 30)
    assert parts.train.dtype == np.int64


@pytest.mark.parametrize("groups", [None, np.arange(100) // 4])
def test_the_seed_decides(groups):
    cases = make(np.arange(100) // 4 % 2, groups)
    first, again, other = (split(cases, seed=seed).test.tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


@settings(max_examples=200)
@given(
    counts=st.lists(st.integers(3, 40), min_size=2, max_size=6),
    validation=st.sampled_from([0.0, 0.1, 0.25]),
    test=st.sampled_from([0.0, 0.1, 0.3, 0.5]),
    seed=st.integers(0, 1000),
)
@example(counts=[3, 3, 3, 30], validation=0.0, test=0.1, seed=0)  # tiny classes beside a large one
def test_every_part_has_its_share_of_every_class(counts, validation, test, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    parts = split(make(labels), validation=validation, test=test, seed=seed)
    joined = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(joined.tolist()) == list(range(len(labels)))
    for part, share in ((parts.validation, validation), (parts.test, test)):
        in_class = np.bincount(labels[part], minlength=len(counts))
        if not share:
            assert not len(part)
            continue
        assert in_class.min() >= 1
        roomy = np.array(counts) * min(share, 1 - validation - test) >= 1
        assert (np.abs(in_class - share * np.array(counts))[roomy] < 2).all()
        # A part that must have more of a class than its share takes that from the others.
        shares = [s for s in (validation, test, 1 - validation - test) if s]
        if (np.array(counts) * min(shares) >= 1).all():
            assert abs(len(part) - share * len(labels)) < 2


def test_a_share_for_training_may_leave_cases_out():
    parts = split(make(np.arange(100) % 2), train=0.2, test=0.3)
    assert sizes(parts) == (20, 0, 30)
    assert not set(parts.train) & set(parts.test)


@settings(max_examples=100)
@given(
    groups_of_class=st.lists(st.integers(3, 8), min_size=2, max_size=4),
    validation=st.sampled_from([0.0, 0.2]),
    data=st.data(),
)
def test_groups_stay_whole_and_every_class_is_everywhere(groups_of_class, validation, data):
    labels, groups = [], []
    for k, count in enumerate(groups_of_class):
        for _ in range(count):
            size = data.draw(st.integers(1, 12))
            groups += [len(set(groups))] * size
            labels += [k] * size
    parts = split(make(labels, groups), validation=validation, test=0.3)
    groups, labels = np.array(groups), np.array(labels)
    wanted = [parts.train, parts.test] + ([parts.validation] if validation else [])
    seen = [set(groups[part].tolist()) for part in wanted]
    assert sum(len(names) for names in seen) == len(set(groups.tolist()))
    assert set.union(*seen) == set(groups.tolist())
    for part in wanted:
        assert set(labels[part].tolist()) == set(range(len(groups_of_class)))


def test_equal_groups_are_shared_out_exactly():
    labels = np.repeat([0, 1], 100)
    groups = np.arange(200) // 10
    parts = split(make(labels, groups), validation=0.2, test=0.3)
    assert sizes(parts) == (100, 40, 60)
    assert np.bincount(labels[parts.test]).tolist() == [30, 30]


def test_groups_that_hold_every_class_are_shared_out():
    labels = np.tile([0, 1, 2], 40)
    groups = np.repeat(np.arange(10), 12)
    parts = split(make(labels, groups), test=0.3)
    assert sizes(parts) == (84, 0, 36)


def test_the_datas_own_split_is_kept_and_validation_cut_from_its_training_part():
    labels = np.arange(100) % 2
    own = np.where(np.arange(100) < 60, 0, 2)
    cases = make(labels, part=own)
    assert sizes(split(cases)) == (60, 0, 40)
    parts = split(cases, validation=0.21, test=0.3)  # 0.21 / 0.7 of 60
    assert sizes(parts) == (42, 18, 40)
    assert parts.test.tolist() == list(range(60, 100))
    assert sizes(split(cases, predefined=False)) == (70, 0, 30)


def test_the_datas_own_validation_part_is_kept():
    cases = make(np.arange(10) % 2, part=[0] * 6 + [1] * 2 + [2] * 2)
    assert sizes(split(cases, validation=0.5, test=0.1)) == (6, 2, 2)


@pytest.mark.parametrize(
    ("cases", "given_shares", "part"),
    [
        (make([0, 0, 0, 1]), {}, "the class 'class 1' has 1 case, too small to split into 2"),
        (make([0, 0, 0, 1, 1]), {"validation": 0.2}, "has 2 cases, too small to split into 3"),
        (make([0, 0, 1, 1], [0, 1, 2, 2]), {}, "the class 'class 1' has 1 group"),
        (make([0, 1, 0, 1], [0] * 4), {"stratify": False}, "the data has 1 group"),
        (make([0, 1] * 3, [0, 0, 1, 1, 2, 2]), {"test": 1.0}, "split.test is 1.0"),
        (make([0, 1] * 3), {"test": -0.1}, "split.test is -0.1"),
        (make([0, 1] * 3), {"test": float("nan")}, "split.test is nan"),
        (make([0, 1] * 3), {"train": 0.8, "test": 0.3}, "add up to at most 1"),
        (make([0, 1] * 3), {"train": 0.0}, "leave nothing to train on"),
        (make([0, 1] * 3), {"validation": 0.7, "test": 0.3}, "leave nothing to train on"),
        (make([0, 1] * 3), {"test": 0.01, "stratify": False}, "leaves none for the test part"),
        (make([0, 1], part=[0, 2]), {}, "the training part has no case of the class 'class 1'"),
        (
            make([0, 1] * 2, [0, 1, 0, 1], [0, 0, 2, 0]),
            {},
            "puts cases of one group into several parts",
        ),
    ],
)
def test_what_cannot_be_split_is_refused(cases, given_shares, part):
    with pytest.raises(InputError) as caught:
        split(cases, **given_shares)
    assert part in str(caught.value)
    assert ("stratify=false" in str(caught.value)) <= given_shares.get("stratify", True)


@settings(max_examples=200)
@given(
    labels=st.lists(st.integers(0, 2), min_size=2, max_size=12),
    groups=st.lists(st.integers(0, 4), min_size=12, max_size=12),
    validation=st.sampled_from([0.0, 0.3]),
    stratify=st.booleans(),
)
def test_any_small_set_is_split_or_refused(labels, groups, validation, stratify):
    assume(set(labels) == set(range(max(labels) + 1)))
    cases = make(labels, groups[: len(labels)])
    try:
        parts = split(cases, validation=validation, stratify=stratify)
    except InputError:
        return
    assert set(np.array(labels)[parts.train]) == set(labels)
    assert len(parts.test)
    assert bool(len(parts.validation)) == bool(validation)
