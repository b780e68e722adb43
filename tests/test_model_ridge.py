"""The ridge classifier beside scikit-learn's, and every case really left out."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raspitrain.model.rocket.ridge import ALPHAS, fit_ridge, fit_temperature


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Waiting for a second one takes longer than the work, where other programs run too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(num_cases, num_features, num_classes, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(num_cases) % num_classes
    features = rng.standard_normal((num_cases, num_features)) + 0.4 * labels[:, None]
    return features, labels


@given(
    num_cases=st.integers(6, 60),
    num_features=st.integers(1, 90),
    num_classes=st.integers(2, 4),
    seed=st.integers(0, 100),
)
@settings(max_examples=40)
def test_ridge_is_scikit_learns(num_cases, num_features, num_classes, seed):
    from sklearn.linear_model import RidgeClassifierCV

    features, labels = made(num_cases, num_features, num_classes, seed)
    theirs = RidgeClassifierCV(alphas=ALPHAS, store_cv_results=True).fit(features, labels)
    ours = fit_ridge(torch.from_numpy(features.copy()), torch.from_numpy(labels), num_classes)
    losses = theirs.cv_results_.reshape(-1, len(ALPHAS)).mean(0)
    ours_at = int(np.argmin(np.abs(np.log(np.array(ALPHAS) / ours.alpha))))
    np.testing.assert_allclose(losses[ours_at], losses.min(), rtol=1e-9)
    if ours_at == int(losses.argmin()):
        expected = theirs.coef_.reshape(-1, num_features)
        if num_classes == 2:
            expected = np.concatenate([-expected, expected])
        np.testing.assert_allclose(ours.weight, expected, rtol=1e-6, atol=1e-8)
        bias = theirs.intercept_
        bias = np.concatenate([-bias, bias]) if num_classes == 2 else bias
        np.testing.assert_allclose(ours.bias, bias, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("num_features", [4, 40])
def test_left_out_scores_are_those_of_the_other_cases(num_features):
    from sklearn.linear_model import Ridge

    features, labels = made(20, num_features, 3)
    ours = fit_ridge(torch.from_numpy(features.copy()), torch.from_numpy(labels), 3)
    targets = np.where(labels[:, None] == np.arange(3), 1.0, -1.0)
    for case in range(20):
        others = np.arange(20) != case
        model = Ridge(alpha=ours.alpha).fit(features[others], targets[others])
        # The penalty is the same, the features' means are those of all cases.
        expected = model.predict(features[case : case + 1])[0]
        np.testing.assert_allclose(ours.left_out[case], expected, rtol=1e-6, atol=1e-6)


def test_cases_that_are_there_twice_and_features_that_say_nothing_do_no_harm():
    features, labels = made(20, 50, 2)
    features[10:] = features[:10]
    features[:, :20] = 3.0
    labels[10:] = labels[:10]
    ours = fit_ridge(torch.from_numpy(features.copy()).float(), torch.from_numpy(labels), 2)
    assert torch.isfinite(ours.weight).all()
    assert (ours.left_out.argmax(1).numpy() == labels).all()


def test_blocks_give_what_one_piece_gives(monkeypatch):
    from raspitrain.model.rocket import ridge

    features, labels = made(30, 50, 3)
    whole = fit_ridge(torch.from_numpy(features.copy()), torch.from_numpy(labels), 3)
    monkeypatch.setattr(ridge, "BLOCK", 7)
    parted = fit_ridge(torch.from_numpy(features.copy()), torch.from_numpy(labels), 3)
    torch.testing.assert_close(parted.weight, whole.weight)
    torch.testing.assert_close(parted.left_out, whole.left_out)


def test_temperature_makes_scores_honest():
    """Of cases in which a class is as probable as their logits say, it finds the logits' scale."""
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.standard_normal((20_000, 3))) * 2
    draws = torch.multinomial(torch.softmax(logits, 1), 1, generator=torch.Generator())[:, 0]
    assert fit_temperature(logits / 5, draws) == pytest.approx(5, rel=0.05)
    certain = torch.eye(3, dtype=torch.float64).repeat(4, 1)
    assert np.isfinite(fit_temperature(certain, torch.arange(12) % 3))
    assert fit_temperature(torch.zeros(6, 3, dtype=torch.float64), torch.arange(6) % 3) > 0
