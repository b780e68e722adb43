"""How signals are normalised, from the command to the model file."""

import json

import numpy as np
import pytest
import torch

from raspitrain.results.checkpoint import load_checkpoint, save_checkpoint
from raspitrain.run.resume import resume
from raspitrain.run.run import run
from raspitrain.run.stored import StoredRun
from raspitrain.use import load

LENGTH = 48
TINY = (
    "dataset=npz", "model.width_mult=0.25", "epochs=2", "hardware.num_threads=1", "batch_size=16",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two forms, each from very quiet to very loud."""
    rng = np.random.default_rng(0)
    label = np.arange(80) % 2
    time = np.arange(LENGTH) + rng.uniform(0, 20, (80, 1, 1))
    signals = np.sin(time * np.where(label, 0.3, 0.7)[:, None, None])
    signals = signals * 10.0 ** rng.uniform(-2, 2, (80, 1, 1)) + rng.normal(size=(80, 1, 1))
    path = tmp_path_factory.mktemp("data") / "cases.npz"
    np.savez(path, data=signals.astype(np.float32), label=label)
    return path


@pytest.mark.parametrize("kind", ["case", "both"])
def test_it_holds_in_training_and_in_the_model_file(compose, tmp_path, data, kind):
    words = (*TINY, f"dataset.path={data}", f"dataset.normalise={kind}")
    whole = run(compose(*words), tmp_path / "whole")
    assert whole["normalise"] == kind
    stored = StoredRun.open(tmp_path / "whole")
    windows = np.load(data)["data"][:5]
    with torch.no_grad():
        expected = stored.model()(torch.from_numpy(stored.normalisation.apply(windows))).numpy()
    model = load(tmp_path / "whole")
    for window, logits in zip(windows, expected, strict=True):
        error = np.abs(np.array(model.logits(window)) - logits).max()
        assert error < 0.05 * np.abs(expected).max()  # int8 is allowed to be off


@pytest.mark.usefixtures("quick_end")
def test_auto_says_what_it_found_and_a_run_goes_on_with_it(compose, tmp_path, data):
    words = (*TINY, f"dataset.path={data}", "dataset.normalise=auto")
    assert run(compose(*words), tmp_path / "run")["normalise"] == "both"
    assert "dataset.normalise=both is taken" in (tmp_path / "run/run.log").read_text()
    assert resume(tmp_path / "run", ["epochs=3"])["normalise"] == "both"
    assert json.loads((tmp_path / "run/summary.json").read_text())["normalise"] == "both"


@pytest.mark.usefixtures("quick_end")
def test_a_run_of_before_was_normalised_by_channel(compose, tmp_path):
    folder = tmp_path / "run"
    run(compose("dataset.num_cases=40", "dataset.length=32", *TINY[1:]), folder)
    for name in ("last.pt", "best.pt"):
        state = load_checkpoint(folder / name)
        del state["normalise"]
        del state["config"]["dataset"]["normalise"]
        save_checkpoint(folder / name, state)
    assert StoredRun.open(folder).normalisation.kind == "channel"
    assert resume(folder, ["epochs=3"])["normalise"] == "channel"
