"""ensemble=N: networks that are trained side by side in one run and answer by their mean."""

import json

import numpy as np
import pytest
import torch
from conftest import TINY, composed
from omegaconf import OmegaConf
from test_resume import StopAfter
from torch import nn

from raspitrain.config.build import build_cases
from raspitrain.config.rules import check as check_config
from raspitrain.errors import InputError
from raspitrain.export.__main__ import main as export
from raspitrain.export.trained import trained_from
from raspitrain.model.ensemble import Ensemble, members_of, together
from raspitrain.results.checkpoint import load_checkpoint
from raspitrain.run.loop import train_to_the_end
from raspitrain.run.prepare import prepare
from raspitrain.run.resume import resume
from raspitrain.run.run import run
from raspitrain.run.stored import StoredRun
from raspitrain.stop import Stopped
from raspitrain.use import load
from raspitrain.use.check import main as check

THREE = (*TINY, "ensemble=3", "split.validation=0.2")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "three"
    run(composed(*THREE), folder, overrides=list(THREE))
    return folder


def test_the_answer_is_the_mean_of_probabilities():
    members = [nn.Sequential(nn.Flatten(), nn.Linear(6, 3)) for _ in range(3)]
    signals = torch.randn(5, 2, 3)
    mean = torch.stack([member(signals).softmax(1) for member in members]).mean(0)
    torch.testing.assert_close(Ensemble(members)(signals).softmax(1), mean)
    logits = torch.tensor([[900.0, -900.0]])
    assert torch.isfinite(together([logits, -logits])).all()
    assert together([logits]) is logits
    assert members_of(members[0]) == [members[0]]


def test_each_member_is_trained_as_if_it_were_alone(compose):
    """The first one has the weights, cases and gradients of a run of one network, to the bit."""
    words = (*TINY, "augment=none", "model.dropout=0", "hardware.flush_denormals=false")
    alone, three = (prepare(compose(*words, f"ensemble={n}")) for n in (1, 3))
    for prepared in (alone, three):
        train_to_the_end(prepared, compose(*words))
    members = members_of(three.training.model)
    expected = alone.training.model.state_dict()
    for name, weight in members[0].state_dict().items():
        assert torch.equal(weight, expected[name]), name
    assert not torch.equal(members[1].conv_stem.weight, members[2].conv_stem.weight)
    assert three.training.position.step == alone.training.position.step


def test_a_run_says_what_each_member_comes_to(ran):
    summary = json.loads((ran / "summary.json").read_text())
    stored = StoredRun.open(ran)
    members = members_of(stored.model())
    assert len(summary["members"]) == len(members) == 3
    assert summary["num_parameters"] == sum(p.numel() for m in members for p in m.parameters())
    assert {"test_accuracy", "validation_accuracy"} == set(summary["members"][0])
    assert "by themselves" in (ran / "run.log").read_text()
    assert "by themselves" in (ran / "report.html").read_text()


def test_stopped_in_the_middle_it_ends_as_if_left_alone(ran, compose, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        StopAfter(patch, 4)
        with pytest.raises(Stopped):
            run(compose(*THREE), tmp_path, overrides=list(THREE))
    resume(tmp_path)
    one, two = (load_checkpoint(folder / "last.pt") for folder in (ran, tmp_path))
    assert all(torch.equal(one["model"][name], two["model"][name]) for name in one["model"])
    told = [json.loads((folder / "summary.json").read_text()) for folder in (ran, tmp_path)]
    assert told[0]["members"] == told[1]["members"]
    with pytest.raises(InputError, match="ensemble=2 would make it another run"):
        resume(tmp_path, ["ensemble=2"])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_it_leaves_one_file_that_answers_as_it_does(ran, tmp_path, precision, capsys):
    path = tmp_path / "model.rpt"
    assert export([str(ran), "--precision", precision, "--output", str(path)]) == 0
    trained, model = trained_from(StoredRun.open(ran)), load(path)
    signals = np.asarray(build_cases(trained.config["dataset"]).signals[:8], np.float32)
    with torch.no_grad():
        expected = trained.model(torch.from_numpy(trained.normalisation.apply(signals)))
    for x, probabilities in zip(signals, expected.softmax(1).numpy(), strict=True):
        found = list(model.predict(x).probabilities.values())
        np.testing.assert_allclose(found, probabilities, atol=1e-5 if precision == "fp32" else 0.05)
    window = signals[0].copy()
    window[0, 3] = np.nan
    with pytest.raises(InputError, match="missing or infinite"):
        model.predict(window)
    capsys.readouterr()
    assert check([str(path)]) == 0
    assert f"3 × mobilenetv3, {precision}" in capsys.readouterr().out
    assert export([str(ran), "--format", "c"]) == 2
    assert "--format c is for a single network" in capsys.readouterr().err


def test_so_does_one_of_models_that_are_fitted_in_one_step(compose, tmp_path):
    words = (*TINY[:3], "model=minirocket", "model.num_features=840", "ensemble=2")
    run(compose(*words, "hardware.num_threads=1"), tmp_path, overrides=list(words))
    trained, model = trained_from(StoredRun.open(tmp_path)), load(tmp_path)
    one, two = members_of(trained.model)
    assert not torch.equal(one.transforms[0].biases, two.transforms[0].biases)
    signals = np.asarray(build_cases(trained.config["dataset"]).signals[:4], np.float32)
    with torch.no_grad():
        expected = trained.model(torch.from_numpy(trained.normalisation.apply(signals)))
    given = [model.logits(x) for x in signals]
    np.testing.assert_allclose(given, expected.numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("key", "value"),
    [("members", []), ("members.1.length", 33), ("members.0.kind", "ensemble")],
)
def test_a_header_that_says_what_cannot_be_is_refused(ran, tmp_path, key, value):
    from test_use_model_file import header_of, refusal, sealed

    header = header_of(ran / "model.rpt")[0]
    *way, last = (int(part) if part.isdigit() else part for part in key.split("."))
    at = header["network"]
    for part in way:
        at = at[part]
    at[last] = value
    path = tmp_path / "model.rpt"
    path.write_bytes(sealed(ran / "model.rpt", json.dumps(header).encode()))
    assert "network.members" in refusal(path)


def test_it_does_not_begin_at_trained_weights(compose):
    cfg = OmegaConf.to_container(compose(*TINY, "ensemble=2", "init=somewhere"), resolve=True)
    with pytest.raises(InputError, match="leave out one of the two"):
        check_config(cfg)
