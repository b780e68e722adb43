"""Normalisation from the training part alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raspitrain.data import cases
from raspitrain.data.batches import load_part
from raspitrain.data.files.npy_file import StoredSignals
from raspitrain.data.normalise import choose_kind, fit_normalisation


@pytest.mark.parametrize("cases_a_block", [1, 3, 1000])
def test_blocks_agree_with_numpy_over_the_training_cases_alone(cases_a_block, monkeypatch):
    monkeypatch.setattr(cases, "BLOCK_BYTES", cases_a_block * 8 * 2 * 30)
    rng = np.random.default_rng(0)
    signals = rng.normal([[0.5], [-200]], [[2], [30]], (50, 2, 30)).astype(np.float32)
    signals[40:] = 1e6  # test cases, which must not count
    train = rng.permutation(40)
    normalisation = fit_normalisation(signals, train)
    expected = signals[:40].astype(np.float64)
    assert normalisation.mean.dtype == normalisation.std.dtype == np.float64
    np.testing.assert_allclose(normalisation.mean, expected.mean((0, 2)), rtol=1e-6)
    np.testing.assert_allclose(normalisation.std, expected.std((0, 2)), rtol=1e-6)


def test_a_small_signal_on_a_large_offset_keeps_its_spread():
    pascal = 101_325 + np.random.default_rng(0).normal(0, 0.5, (20, 1, 100))
    std = fit_normalisation(pascal, np.arange(20)).std
    np.testing.assert_allclose(std, [pascal.std()], rtol=1e-5)


OFFSETS = [0, 1, -9.81, 101_325, 1e6, -1e8, 1e12]


@pytest.mark.parametrize("missing", ["error", "interpolate"])
@pytest.mark.parametrize(
    "dtype", ["<f8", ">f8", "<i4", ">i4", "<i8", ">i8", ">u4", "<f4", ">f4", "<i2"]
)
def test_no_offset_that_the_type_holds_destroys_the_signal(dtype, missing, tmp_path):
    """The issue's own is 1e8 ± 1 in float64."""
    kind = np.dtype(dtype)
    rng = np.random.default_rng(0)
    wave = np.rint(100 * np.sin(np.arange(64) / 5) + rng.normal(0, 9, (30, 1, 64)))
    for offset in OFFSETS:
        if kind.kind == "f":
            signals = (offset + wave / 100).astype(kind)
            if np.spacing(np.abs(signals).max()) > 1e-4:  # then the file has lost it already
                continue
        else:
            limits = np.iinfo(kind)
            if not limits.min < offset - 200 < offset + 200 < limits.max:
                continue
            signals = (round(offset) + wave).astype(kind)
        np.save(tmp_path / "data.npy", signals)
        labels = np.arange(30) % 2
        train = np.arange(20)
        expected = (wave - wave[:20].mean()) / wave[:20].std()
        for source in (signals, StoredSignals(tmp_path / "data.npy")):
            made = cases.make_cases(source, labels, source="test", missing=missing)
            fitted = fit_normalisation(made.signals, train)
            assert not fitted.constant.any()
            for in_memory in (True, False):
                part = load_part(made, train, fitted, in_memory=in_memory)
                (gathered, _) = part.gather(torch.arange(20))
                np.testing.assert_allclose(gathered.numpy(), expected[:20], atol=2e-3)


@given(offset=st.floats(-1e9, 1e9), spread=st.floats(0.1, 1e3), seed=st.integers(0, 2**32 - 1))
def test_normalised_signals_have_mean_0_and_deviation_1(offset, spread, seed):
    noise = np.random.default_rng(seed).normal(offset, spread, (8, 2, 40))
    normalised = fit_normalisation(noise, np.arange(8)).apply(noise)
    assert normalised.dtype == np.float32
    np.testing.assert_allclose(normalised.mean((0, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(normalised.std((0, 2)), 1, rtol=1e-3)


def test_values_that_are_filled_keep_their_digits():
    signals = 1e8 + np.sin(np.arange(48.0)).reshape(4, 1, 12)
    broken = signals.copy()
    broken[1, 0, 3:5] = [np.nan, 1e300]  # more than float32 holds
    made = cases.make_cases(broken, np.arange(4) % 2, source="test", missing="interpolate")
    filled = made.signals[np.arange(4)]
    ends = signals[1, 0, [2, 5]]
    np.testing.assert_allclose(filled[1, 0, 3:5] - 1e8, np.interp([1, 2], [0, 3], ends) - 1e8)
    keep = np.isfinite(broken) & (broken < 1e299)
    np.testing.assert_array_equal(filled[keep], signals[keep])
    assert made.taken.notes == ("2 missing values interpolated",)


@pytest.mark.parametrize("value", [0.0, 0.1, -101_325.7, 1e30])
def test_a_channel_that_never_changes_is_not_blown_up(value):
    normalisation = fit_normalisation(np.full((5, 1, 7), value), np.arange(5))
    assert normalisation.std.tolist() == [1]
    assert normalisation.constant.tolist() == [True]


@given(value=st.floats(-1e30, 1e30), cases_=st.integers(1, 60), length=st.integers(1, 300))
def test_a_constant_channel_of_any_size_is_known_as_one(value, cases_, length):
    assert fit_normalisation(np.full((cases_, 1, length), value), np.arange(cases_)).constant[0]


def test_integers_do_not_overflow():
    signals = np.full((4, 1, 1000), 32_000, dtype=np.int16)
    signals[:2] = -32_000
    normalisation = fit_normalisation(signals, np.arange(4))
    assert normalisation.mean.tolist() == [0]
    assert normalisation.std.tolist() == [32_000]


def test_a_deviation_too_small_to_divide_by_counts_as_none():
    signals = np.random.default_rng(0).standard_normal((8, 1, 16)) * 1e-40
    fitted = fit_normalisation(signals, np.arange(8))
    assert fitted.std.tolist() == [1.0]


# By case


def loud_and_quiet(num_cases=24, num_channels=2, length=64):
    """Cases a thousand times apart, on offsets of their own; the last is flat."""
    rng = np.random.default_rng(0)
    loudness = 10.0 ** rng.uniform(-1.5, 1.5, (num_cases, num_channels, 1))
    signals = rng.normal(0, 5, (num_cases, num_channels, 1)) + loudness * np.sin(
        np.arange(length) * rng.uniform(0.1, 0.9, (num_cases, num_channels, 1))
    )
    signals[-1] = 0.1  # whose sum is rounded
    return signals.astype(np.float32)


def test_each_case_by_its_own_mean_and_spread_and_a_flat_one_is_zero():
    signals = loud_and_quiet()
    seen = fit_normalisation(signals, np.arange(20), "case").apply(signals)
    np.testing.assert_allclose(seen[:-1].mean(axis=2), 0, atol=1e-6)
    np.testing.assert_allclose(seen[:-1].std(axis=2), 1, rtol=1e-5)
    assert not seen[-1].any()


def test_both_adds_level_and_spread_of_the_case_as_the_training_part_knows_them():
    signals = loud_and_quiet()
    normalisation = fit_normalisation(signals, np.arange(20), "both")
    seen = normalisation.apply(signals)
    assert seen.shape == (24, normalisation.num_channels, 64) == (24, 6, 64)
    np.testing.assert_array_equal(
        seen[:, :2], fit_normalisation(signals, np.arange(20), "case").apply(signals)
    )
    assert (seen[:, 2:] == seen[:, 2:, :1]).all()
    levels, spreads = seen[:, 2:4, 0], seen[:, 4:, 0]
    for figures in (levels, spreads):
        np.testing.assert_allclose(figures[:20].mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(figures[:20].std(axis=0), 1, rtol=1e-5)
    # A flat case counts as the least that moved in training.
    np.testing.assert_allclose(spreads[-1], spreads[:20].min(axis=0), rtol=1e-6)


def test_cases_that_are_alike_in_level_and_spread_have_no_noise_for_them():
    """Sets are published with each case normalised, to some digits."""
    signals = np.random.default_rng(0).normal(size=(30, 1, 50))
    signals -= signals.mean(axis=2, keepdims=True)
    signals /= signals.std(axis=2, keepdims=True)
    seen = fit_normalisation(signals.round(7), np.arange(30), "both").apply(signals)
    assert np.abs(seen[:, 1:]).max() < 1e-3


def test_auto_takes_both_where_amplitudes_lie_far_apart():
    signals = loud_and_quiet(num_cases=60)
    kind, apart = choose_kind(signals, np.arange(40))
    assert kind == "both"
    assert 100 < apart < 1000
    alike = signals / np.maximum(signals.std(axis=2, keepdims=True), 1e-3)
    assert choose_kind(alike, np.arange(40)) == ("channel", pytest.approx(1, abs=0.1))
