"""Data sets made from a seed."""

import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from raspitrain.data import synthetic as made
from raspitrain.data.batches import batch_indices, load_part
from raspitrain.data.normalise import fit_normalisation
from raspitrain.data.split import split_cases
from raspitrain.data.synthetic import random, synthetic
from raspitrain.errors import InputError

SIZES = {"num_cases": 300, "num_channels": 3, "length": 64, "num_classes": 4}


@pytest.mark.parametrize("make", [lambda **s: synthetic(noise=0.5, **s), random])
def test_the_seed_alone_decides(make):
    np.random.seed(0)  # which must make no difference
    first, other = make(**SIZES, seed=0), make(**SIZES, seed=1)
    np.random.seed(1)
    again = make(**SIZES, seed=0)
    every = np.arange(300)
    assert first.signals[every].dtype == np.float32
    assert np.array_equal(first.signals[every], again.signals[every])
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.signals[every], other.signals[every])


@pytest.mark.parametrize(
    "sizes",
    [
        {"num_cases": 2, "num_channels": 1, "length": 8, "num_classes": 2},
        {"num_cases": 513, "num_channels": 1, "length": 9, "num_classes": 20},
        {"num_cases": 30, "num_channels": 40, "length": 1000, "num_classes": 3},
    ],
)
def test_synthetic_comes_in_any_size_with_balanced_classes(sizes):
    cases = synthetic(**sizes, noise=1.0, seed=0)
    assert cases.signals.shape == (sizes["num_cases"], sizes["num_channels"], sizes["length"])
    counts = np.bincount(cases.labels, minlength=sizes["num_classes"])
    assert counts.max() - counts.min() <= 1
    assert np.isfinite(cases.signals[np.arange(sizes["num_cases"])]).all()


def test_random_is_standard_normal_with_uniform_labels():
    cases = random(num_cases=4000, num_channels=2, length=50, num_classes=2, seed=0)
    signals = cases.signals[np.arange(4000)]
    assert signals.mean() == pytest.approx(0, abs=0.01)
    assert signals.std() == pytest.approx(1, abs=0.01)
    assert cases.labels.mean() == pytest.approx(0.5, abs=0.03)
    assert abs(np.corrcoef(signals[:, 0, 0], cases.labels)[0, 1]) < 0.06


def test_a_small_network_learns_synthetic_where_a_linear_one_does_not():
    cases = synthetic(**SIZES, noise=0.7, seed=0)
    split = split_cases(
        cases, train=None, validation=0, test=0.3, stratify=True, predefined=False, seed=0
    )
    normalisation = fit_normalisation(cases.signals, split.train)
    train, test = (
        load_part(cases, indices, normalisation, in_memory=True)
        for indices in (split.train, split.test)
    )
    torch.manual_seed(0)
    convolutional = nn.Sequential(
        nn.Conv1d(3, 16, 7, padding=3),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Conv1d(16, 16, 7, 2, padding=3),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(16, 4),
    )
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 4))
    accuracies = []
    for network, lr in ((convolutional, 1e-2), (linear, 1e-3)):
        optimizer = torch.optim.Adam(network.parameters(), lr)
        generator = torch.Generator().manual_seed(0)
        for _ in range(15):
            for batch in batch_indices(len(train), 16, generator=generator):
                signals, labels = train.gather(batch)
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(signals), labels).backward()
                optimizer.step()
        network.eval()
        signals, labels = test.gather(torch.arange(len(test)))
        accuracies.append((network(signals).argmax(1) == labels).float().mean().item())
    assert accuracies[0] > 0.9
    assert accuracies[1] < 0.6


@pytest.mark.parametrize("kind", ["synthetic", "random"])
@pytest.mark.parametrize(
    "shape",
    [
        (256, 1, 20_000),
        (9, 5, 200_000),
        pytest.param((256, 8, 4000), marks=pytest.mark.long),
        pytest.param((2000, 3, 2000), marks=pytest.mark.long),
    ],
)
def test_making_takes_no_more_than_it_is_held_against(kind, shape, monkeypatch):
    """A block of many long cases takes far more than the cases themselves."""
    num_cases, num_channels, length = shape
    sizes = {"num_cases": num_cases, "num_channels": num_channels, "length": length}
    settings = (
        sizes | {"num_classes": 2, "seed": 0} | ({"noise": 1.0} if kind == "synthetic" else {})
    )
    tracemalloc.start()
    getattr(made, kind)(**settings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    monkeypatch.setattr(made, "available_memory", lambda: int(0.88 * peak))
    with pytest.raises(InputError, match=r"GB to make but \d\.\d GB are free"):
        getattr(made, kind)(**settings)
    monkeypatch.setattr(made, "available_memory", lambda: int(1.6 * peak) + 10**6)
    getattr(made, kind)(**settings)
