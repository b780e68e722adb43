"""What every data set gives, however it was stored."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from raspitrain.data import cases as cases_module
from raspitrain.data.cases import fill_missing, iterate_blocks, make_cases

SIGNALS = np.arange(6 * 2 * 8, dtype=np.float32).reshape(6, 2, 8)


@pytest.mark.parametrize(
    ("labels", "names", "codes"),
    [
        ([0, 1, 2, 0, 1, 2], ("0", "1", "2"), [0, 1, 2, 0, 1, 2]),
        ([10, -1, 9, 9, 10, -1], ("-1", "9", "10"), [2, 0, 1, 1, 2, 0]),
        (["walk", "run", "walk", "run", "sit", "sit"], ("run", "sit", "walk"), [2, 0, 2, 0, 1, 1]),
        (["10", "9", "1", "1", "9", "10"], ("1", "9", "10"), [2, 1, 0, 0, 1, 2]),
        ([b"b", b"a", b"b", b"a", b"b", b"a"], ("a", "b"), [1, 0, 1, 0, 1, 0]),
        (
            np.array([2**64 - 1, 0, 0, 0, 0, 0], np.uint64),
            ("0", "18446744073709551615"),
            [1, 0, 0, 0, 0, 0],
        ),
    ],
)
def test_labels_become_numbers_from_0_and_names_in_order(labels, names, codes):
    cases = make_cases(SIGNALS, np.array(labels), source="test", missing="error")
    assert cases.class_names == names
    assert cases.labels.dtype == np.int64
    assert cases.labels.tolist() == codes


def test_groups_and_part_take_any_names_and_integers():
    cases = make_cases(
        SIGNALS,
        np.arange(6) % 2,
        source="test",
        missing="error",
        groups=np.array(["ann", "ben", "ann", "cat", "ben", "cat"]),
        part=np.array([0, 0, 1, 1, 2, 2], dtype=np.uint8),
    )
    assert cases.groups is not None
    assert cases.groups.tolist() == [0, 1, 0, 2, 1, 2]
    assert cases.part is not None
    assert cases.part.dtype == np.int8
    assert cases.channel_names == ("channel_0", "channel_1")


def test_interpolate_draws_a_line_and_holds_the_ends():
    signals = np.array([[[np.nan, 1, np.nan, np.nan, 4, np.inf]]], dtype=np.float32)
    assert fill_missing(signals, "interpolate").tolist() == [[[1, 1, 2, 3, 4, 4]]]


@given(
    arrays(
        np.float32,
        array_shapes(min_dims=3, max_dims=3, max_side=6),
        elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
    ),
    st.sampled_from(["interpolate", "zero"]),
)
def test_filling_leaves_known_values_and_no_gap(signals, missing):
    known = np.isfinite(signals)
    filled = fill_missing(signals.copy(), missing)
    assert np.isfinite(filled).all()
    assert np.array_equal(filled[known], signals[known])


@pytest.mark.parametrize("missing", ["interpolate", "zero"])
def test_missing_values_are_filled_in_what_is_gathered_and_not_in_the_data(missing):
    signals = SIGNALS.astype(np.float64)
    signals[2, 1, 3] = np.nan
    cases = make_cases(signals, np.arange(6) % 2, source="test", missing=missing)
    gathered = cases.signals[np.array([2, 0])]
    assert gathered.dtype == np.float64
    assert gathered[0, 1, 3] == (SIGNALS[2, 1, 3] if missing == "interpolate" else 0)
    assert np.array_equal(gathered[1], SIGNALS[0])
    assert np.isnan(signals[2, 1, 3])


def test_blocks_together_are_the_signals_in_the_order_asked_for(monkeypatch):
    monkeypatch.setattr(cases_module, "BLOCK_BYTES", 2 * 8 * 2 * 8)  # two cases
    wanted = np.array([5, 0, 3, 3, 1])
    indices, blocks = zip(*iterate_blocks(SIGNALS, wanted), strict=True)
    assert [len(block) for block in blocks] == [2, 2, 1]
    assert np.array_equal(np.concatenate(indices), wanted)
    assert np.array_equal(np.concatenate(blocks), SIGNALS[wanted])


def test_the_place_of_the_first_missing_value_is_right_in_a_later_block(monkeypatch):
    monkeypatch.setattr(cases_module, "BLOCK_BYTES", 2 * 8 * 2 * 8)
    signals = SIGNALS.copy()
    signals[4, 1, 6] = np.nan
    signals[5, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"2 values .* case 4, channel 1, sample 6"):
        make_cases(signals, np.arange(6) % 2, source="test", missing="error")
