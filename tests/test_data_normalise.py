"""Normalisation from the training part alone."""

import numpy as np
import pytest

from raspitrain.data import cases
from raspitrain.data.normalise import fit_normalisation


@pytest.mark.parametrize("cases_a_block", [1, 3, 1000])
def test_blocks_agree_with_numpy_over_the_training_cases_alone(cases_a_block, monkeypatch):
    monkeypatch.setattr(cases, "BLOCK_BYTES", cases_a_block * 8 * 2 * 30)
    rng = np.random.default_rng(0)
    signals = rng.normal([[0.5], [-200]], [[2], [30]], (50, 2, 30)).astype(np.float32)
    signals[40:] = 1e6  # test cases, which must not count
    train = rng.permutation(40)
    normalisation = fit_normalisation(signals, train)
    expected = signals[:40].astype(np.float64)
    assert normalisation.mean.dtype == normalisation.std.dtype == np.float32
    np.testing.assert_allclose(normalisation.mean, expected.mean((0, 2)), rtol=1e-6)
    np.testing.assert_allclose(normalisation.std, expected.std((0, 2)), rtol=1e-6)


def test_a_small_signal_on_a_large_offset_keeps_its_spread():
    pascal = 101_325 + np.random.default_rng(0).normal(0, 0.5, (20, 1, 100))
    std = fit_normalisation(pascal, np.arange(20)).std
    np.testing.assert_allclose(std, [pascal.std()], rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, -101_325.7, 1e30])
def test_a_channel_that_never_changes_is_not_blown_up(value):
    normalisation = fit_normalisation(np.full((5, 1, 7), value), np.arange(5))
    assert normalisation.std.tolist() == [1]


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
