"""Augmentation: how much it changes, and that only the generator decides."""

import pytest
import torch

from raspitrain.data.augment import none, standard
from raspitrain.errors import InputError

NOTHING = {"strength": 1.0, "scale": 0.0, "jitter": 0.0, "shift": 0.0}
ALL = {"strength": 1.0, "scale": 0.1, "jitter": 0.03, "shift": 0.1}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("settings", [NOTHING, ALL])
def test_the_signals_given_stay_as_they_are_and_the_seed_decides(settings):
    signals = torch.randn(5, 3, 40, generator=generator(9))
    before = signals.clone()
    torch.manual_seed(1)
    first = standard(signals, generator(), **settings)
    torch.manual_seed(2)
    again = standard(signals, generator(), **settings)
    assert torch.equal(signals, before)
    assert torch.equal(first, again)
    assert first.shape == signals.shape
    first.zero_()
    assert torch.equal(signals, before)


def test_nothing_asked_for_changes_nothing():
    signals = torch.randn(5, 3, 40, generator=generator(9))
    assert torch.equal(standard(signals, generator(), **NOTHING), signals)
    assert none(signals, generator()) is signals


def test_scale_is_one_factor_a_channel_with_the_spread_asked_for():
    factors = standard(torch.ones(2000, 3, 4), generator(), **NOTHING | {"scale": 0.1})
    assert torch.equal(factors, factors[:, :, :1].expand_as(factors))
    assert factors.mean().item() == pytest.approx(1, abs=0.01)
    assert factors[:, :, 0].std().item() == pytest.approx(0.1, rel=0.05)
    assert not torch.equal(factors[:, 0], factors[:, 1])


def test_jitter_is_noise_with_the_spread_asked_for():
    noise = standard(torch.zeros(50, 3, 400), generator(), **NOTHING | {"jitter": 0.03})
    assert noise.mean().item() == pytest.approx(0, abs=0.001)
    assert noise.std().item() == pytest.approx(0.03, rel=0.02)


@pytest.mark.parametrize(("length", "furthest"), [(8, 1), (24, 2), (100, 10)])
def test_shift_moves_all_channels_of_a_case_alike_and_repeats_the_edge(length, furthest):
    ramp = torch.arange(length, dtype=torch.float32)
    signals = torch.stack([ramp, ramp + 1000]).expand(500, 2, length)
    moved = standard(signals, generator(), **NOTHING | {"shift": 0.1})
    seen = set()
    for case in moved:
        middle = length // 2
        step = int(case[0, middle].item()) - middle
        expected = (ramp + step).clamp(0, length - 1)
        assert torch.equal(case, torch.stack([expected, expected + 1000]))
        seen.add(step)
    assert seen == set(range(-furthest, furthest + 1))


def test_strength_is_a_factor_on_all_of_it():
    signals = torch.randn(5, 3, 40, generator=generator(9))
    half = {"strength": 1.0, "scale": 0.05, "jitter": 0.015, "shift": 0.05}
    found, expected = (standard(signals, generator(), **s) for s in (ALL | {"strength": 0.5}, half))
    assert torch.equal(found, expected)
    assert standard(signals, generator(), **ALL | {"strength": 0.0}) is signals


@pytest.mark.parametrize(
    "wrong", [{"scale": -0.1}, {"jitter": -1.0}, {"shift": 1.0}, {"strength": -1.0}]
)
def test_impossible_values_are_refused(wrong):
    with pytest.raises(InputError, match="augment"):
        standard(torch.zeros(1, 1, 8), generator(), **NOTHING | wrong)
