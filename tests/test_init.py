"""init=RUN: a run that starts from trained weights, and freeze= for what of them stays."""

import json
import shutil

import pytest
import torch
from conftest import TINY, composed
from test_resume import StopAfter, assert_same

from raspitrain.errors import InputError
from raspitrain.results.checkpoint import load_checkpoint
from raspitrain.run.resume import resume
from raspitrain.run.run import run
from raspitrain.stop import Stopped

pytestmark = pytest.mark.usefixtures("quick_end")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "run"
    run(composed(*TINY), folder)
    return folder


def weights(folder):
    return load_checkpoint(folder / "best.pt")["model"]


def test_a_frozen_body_stays_as_it_was_bit_for_bit(base, compose, tmp_path):
    """Running statistics too."""
    summary = run(compose(*TINY, f"init={base}", "freeze=body"), tmp_path / "run")
    before, after = weights(base), weights(tmp_path / "run")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"classifier.weight", "classifier.bias"}
    trained = sum(after[name].numel() for name in changed)
    assert summary["init"]["num_trained_parameters"] == trained
    assert summary["init"]["checkpoint"] == str(base / "best.pt")
    assert summary["init"]["new"] == []
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["init"] == summary["init"]


def test_nothing_frozen_it_starts_where_the_other_ended(base, compose, tmp_path):
    """With a rate of nearly nothing only the running statistics move."""
    words = [word for word in TINY if not word.startswith("epochs")]
    run(compose(*words, f"init={base}", "optimizer.lr=1e-12", "epochs=1"), tmp_path / "run")
    before, after = weights(base), weights(tmp_path / "run")
    for name, value in before.items():
        if "running" not in name and "num_batches" not in name:
            assert torch.allclose(value, after[name], atol=1e-6), name
    moved = [name for name in before if "running_mean" in name]
    assert any(not torch.equal(before[name], after[name]) for name in moved)


def test_other_classes_get_a_new_last_layer_and_it_is_said(base, compose, tmp_path, capfd):
    words = [word for word in TINY if "num_classes" not in word]
    job = (*words, "dataset.num_classes=3", "dataset.seed=7", f"init={base}", "freeze=body")
    summary = run(compose(*job), tmp_path / "run")
    assert summary["init"]["new"] == ["classifier.weight", "classifier.bias"]
    assert (
        "the last layer (classifier.weight, classifier.bias) begins anew" in capfd.readouterr().err
    )
    before, after = weights(base), weights(tmp_path / "run")
    assert after["classifier.weight"].shape[0] == 3
    assert torch.equal(before["conv_head.weight"], after["conv_head.weight"])
    # The data are others, and normalised as the first ones.
    states = [load_checkpoint(folder / "best.pt") for folder in (base, tmp_path / "run")]
    assert torch.equal(states[0]["mean"], states[1]["mean"])
    assert torch.equal(states[0]["std"], states[1]["std"])


def test_a_number_of_layers_from_the_first_on(base, compose, tmp_path):
    run(compose(*TINY, f"init={base}", "freeze=2"), tmp_path / "run")
    before, after = weights(base), weights(tmp_path / "run")
    same = [name for name in before if torch.equal(before[name], after[name])]
    own = [name for name in same if name.startswith(("conv_stem", "bn_stem", "blocks.0.conv_dw"))]
    assert {"conv_stem.weight", "bn_stem.running_mean", "blocks.0.conv_dw.weight"} <= set(own)
    assert "blocks.0.conv_pwl.weight" not in same


@pytest.mark.parametrize("freeze", ["none", "body"])
def test_stopped_and_resumed_without_the_first_run_it_ends_the_same(
    base, compose, tmp_path, monkeypatch, freeze
):
    first = shutil.copytree(base, tmp_path / "first")
    job = (*TINY, f"init={first}", f"freeze={freeze}", "batch_size=6", "split.validation=0.2")
    run(compose(*job), tmp_path / "alone")
    with monkeypatch.context() as patch:
        StopAfter(patch, 6)
        with pytest.raises(Stopped):
            run(compose(*job), tmp_path / "run")
    shutil.rmtree(first)
    summary = resume(tmp_path / "run")
    assert summary["resumed"]
    assert_same(tmp_path / "run", tmp_path / "alone")
    alone = json.loads((tmp_path / "alone" / "summary.json").read_text())
    assert summary["init"] == alone["init"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("model.width_mult=0.5",), "its model has model.width_mult=0.25"),
        (("model=resnet",), "give its model, model=mobilenetv3_large or mobilenetv3_large_blog or"),
        (("dataset.num_channels=2",), "was trained on the channels"),
        (("freeze=10000",), "freeze=10000 leaves nothing to train"),
        (("init=nowhere",), "nowhere"),
        (("init={base}/model.rpt",), "is a model file"),
        (("init={base}/summary.json",), "summary.json"),
        (("model=minirocket",), "is fitted in one step"),
    ],
)
def test_what_does_not_fit_is_one_sentence_and_leaves_nothing(base, compose, tmp_path, words, says):
    words = [word.replace("{base}", str(base)) for word in words]
    given = {word.split("=")[0]: word for word in (*TINY, f"init={base}", *words)}
    if "model" in given:
        del given["model.width_mult"]
    with pytest.raises(InputError, match=says):
        run(compose(*given.values()), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_ensemble_is_no_start_and_is_called_one(compose, tmp_path):
    words = [word for word in TINY if not word.startswith("epochs")]
    run(compose(*words, "epochs=1", "ensemble=2"), tmp_path / "several")
    with pytest.raises(InputError, match="is an ensemble of 2 networks, and init starts one"):
        run(compose(*TINY, f"init={tmp_path / 'several'}", "freeze=body"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_final_model_on_all_data(base, compose, tmp_path, monkeypatch):
    """There is no test part, and that is said; the model is there."""
    from raspitrain.evaluate import main as evaluate
    from raspitrain.use import load

    monkeypatch.undo()  # of quick_end: the model file is looked at
    summary = run(compose(*TINY, f"init={base}", "split.test=0"), tmp_path / "run")
    assert summary["test_accuracy"] is None
    assert summary["num_cases"] == {"train": 40}
    assert load(tmp_path / "run").header["provenance"]["precision"]["compared"]["part"] == "train"
    assert not (tmp_path / "run" / "misclassified.csv").exists()
    assert evaluate([str(tmp_path / "run")]) == 2
    assert evaluate([str(tmp_path / "run"), "--part", "train"]) == 0
