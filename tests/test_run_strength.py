"""augment.strength=auto: chosen on folds of the training part, said, and kept."""

import numpy as np
import pytest
import torch
from conftest import TINY

from raspitrain.data.cases import make_cases
from raspitrain.data.split import Split
from raspitrain.run import strength
from raspitrain.run.prepare import prepare
from raspitrain.run.resume import resume
from raspitrain.run.run import run
from raspitrain.run.strength import Tried, choose, folds_of_training, keep_strength, settle_strength

NONE = np.zeros(0, np.int64)
WORDS = (*TINY[:-2], "hardware.num_threads=1", "augment.strength=auto")


@pytest.mark.parametrize(
    ("correct", "taken"),
    [
        ({1.0: 36, 0.5: 36, 0.0: 37}, 1.0),  # within one standard error of the best
        ({1.0: 30, 0.5: 36, 0.0: 37}, 0.5),
        ({1.0: 20, 0.5: 20, 0.0: 37}, 0.0),
        ({1.0: 37, 0.5: 20, 0.0: 20}, 1.0),
    ],
)
def test_the_strongest_of_those_as_accurate_is_taken(correct, taken):
    assert choose([Tried(s, number, 40) for s, number in correct.items()]).strength == taken


def test_what_was_tried_is_kept_and_the_run_is_the_one_with_that_strength(
    compose, tmp_path, monkeypatch
):
    monkeypatch.setattr(strength, "LEAST_STEPS", 10)
    words = (*WORDS, "min_steps=60")
    found = run(compose(*words), tmp_path / "run")
    chosen = found["augmentation"]
    assert [each["strength"] for each in chosen["tried"]] in ([1.0, 0.0], [1.0, 0.5, 0.0])
    assert 6 * chosen["steps"] <= found["steps"]
    assert {each["cases"] for each in chosen["tried"]} == {found["num_cases"]["train"]}
    for name in ("run.log", "report.html"):
        assert chosen["sentence"] in (tmp_path / "run" / name).read_text()
    given = run(compose(*words, f"augment.strength={chosen['strength']}"), tmp_path / "given")
    assert "augmentation" not in given
    assert given["final"]["train_loss"] == found["final"]["train_loss"]
    more = resume(tmp_path / "run", [f"epochs={found['epochs'] + 1}"])
    assert more["augmentation"] == chosen  # its seconds, too: it was not chosen again


def test_a_run_too_short_for_trials_says_so(compose, tmp_path):
    found = run(compose(*TINY, "augment.strength=auto"), tmp_path / "run")
    assert found["augmentation"]["strength"] == 1
    assert not found["augmentation"]["tried"]
    assert "too short for trials" in (tmp_path / "run/run.log").read_text()


def test_no_group_falls_on_both_sides_of_a_trial(compose):
    label = np.arange(40) % 2
    data = np.random.default_rng(0).normal(size=(40, 1, 32)).astype(np.float32)
    cases = make_cases(data, label, groups=np.arange(40) // 10, source="here", missing="error")
    cfg = compose(*WORDS, "min_steps=240")
    split = Split(np.arange(30), NONE, np.arange(30, 40))
    prepared = prepare(cfg, data=(cases, split))
    splits = folds_of_training(prepared, cfg)
    assert sorted(np.concatenate([s.test for s in splits])) == list(range(30))
    for split in splits:
        assert not set(cases.groups[split.train]) & set(cases.groups[split.test])
    prepared.split = Split(np.arange(10), NONE, np.arange(30, 40))
    assert "all training cases are of one group" in settle_strength(prepared, cfg)
    assert prepared.augmentation["strength"] == 1


def test_where_cases_are_many_or_nothing_is_augmented_there_is_nothing_to_choose(compose):
    words = ("augment.strength=auto", "dataset.length=32", "model.width_mult=0.25")
    assert not prepare(compose(*words, "dataset.num_cases=400")).strength_is_open
    assert not prepare(compose(*words[:2], "model=minirocket")).strength_is_open
    prepared = prepare(compose(*words, "dataset.num_cases=200"))
    assert prepared.strength_is_open
    keep_strength(prepared, compose(*words), {"strength": 0.0, "seconds": 1.0})
    assert not prepared.strength_is_open
    signals = torch.randn(4, 3, 32)
    assert prepared.training.augment(signals, torch.Generator()) is signals
