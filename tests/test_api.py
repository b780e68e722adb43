"""The Python API: arrays in, a model out, and the same run as the command's."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import raspitrain
from raspitrain.errors import InputError
from raspitrain.export.pack_graph import VISITS

EXAMPLE = Path(__file__).parents[1] / "examples" / "api.py"
TINY = {"epochs": 2, "model__width_mult": 0.25, "hardware__num_threads": 1}


def made(num_cases=40, seed=0, labels=("walk", "run")):
    """Two motions of other frequencies in two channels."""
    rng = np.random.default_rng(seed)
    which = np.arange(num_cases) % 2
    hertz = np.where(which, 9, 2)[:, None, None]
    wave = np.sin(2 * np.pi * (hertz * np.arange(32) / 50 + rng.random((num_cases, 2, 1))))
    return wave + rng.normal(0, 0.1, wave.shape), np.array(labels)[which]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    X, y = made(80)
    folder = tmp_path_factory.mktemp("api") / "run"
    options = dict(TINY, epochs=20, augment="none", optimizer__lr=0.01)
    return raspitrain.train(X, y, channel_names=["ax", "ay"], rate=50.0, output_dir=folder,
                            **options)  # fmt: skip


def test_a_result_is_used_and_saved(trained, tmp_path, capsys):
    X, y = made(seed=1)
    assert trained.metrics["test_accuracy"] == trained.summary["test_accuracy"]
    assert (trained.predict(X) == y).mean() > 0.9
    assert list(trained.model.classes) == ["run", "walk"]
    probabilities = trained.probabilities(X)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    for name in ("model.rpt", "model.pt"):
        model = raspitrain.load(trained.save(tmp_path / name))
        assert (model.channels, model.length, model.rate) == (["ax", "ay"], 32, 50.0)
        assert (model.predict(X) == trained.predict(X)).mean() > 0.95
        assert np.abs(model.probabilities(X) - probabilities).max() < 0.1
    again = raspitrain.load(trained.folder)
    assert np.array_equal(again.probabilities(X), probabilities)


def test_the_run_is_one_of_the_commands(trained, forked_command, tmp_path):
    """Trained from the arrays that it left, by the command, it gives the same figures."""
    words = (trained.folder / "overrides.yaml").read_text()
    given = [line.removeprefix("- ").strip("'\"") for line in words.splitlines()]
    done = forked_command(
        "dataset=npy", f"dataset.path={trained.folder}/data", "dataset.channel_names=[ax,ay]",
        "dataset.rate=50", "hydra.run.dir=again", *given,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    def losses(path):
        with path.open() as file:
            return [(r["train_loss"], r["test_loss"]) for r in csv.DictReader(file)]

    assert losses(tmp_path / "again" / "metrics.csv") == losses(trained.folder / "metrics.csv")
    assert forked_command("export", str(trained.folder)).returncode == 0


def test_nothing_is_shown_and_integers_come_back(tmp_path, capfd):
    X, y = made(labels=(7, 3))
    options = dict(TINY, groups=np.arange(40) // 4, split={"validation": 0.2})
    result = raspitrain.train(
        X, y, X_test=X[:4], y_test=y[:4], output_dir=tmp_path / "a", **options
    )
    assert capfd.readouterr() == ("", "")
    assert result.predict(X).dtype == np.int64
    assert set(result.predict(X)) <= {3, 7}
    assert raspitrain.load(tmp_path / "a" / "model.rpt").classes.tolist() == [3, 7]
    assert result.summary["num_cases"]["test"] == 4
    assert "validation_accuracy" in result.metrics
    longer = raspitrain.resume(result.folder, epochs=3)
    assert longer.summary["epochs"] == 3
    assert capfd.readouterr().out == ""
    raspitrain.resume(result.folder, epochs=4, show=True)
    assert "test accuracy" in capfd.readouterr().out


def test_a_network_that_the_engine_does_not_run_is_saved_as_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.delitem(VISITS, torch.nn.Tanh)  # as it would be with a layer of one's own
    X, y = made()
    result = raspitrain.train(X, y, model="lenet", output_dir=tmp_path / "run", epochs=1,
                              hardware__num_threads=1)  # fmt: skip
    with pytest.raises(InputError, match=r"the inference engine has no Tanh.*--format onnx"):
        result.save(tmp_path / "model.rpt")
    model = raspitrain.load(result.save(tmp_path / "model.pt"))
    assert np.array_equal(model.predict(X), result.predict(X))
    with pytest.raises(InputError, match=r"must end with \.rpt"):
        result.save(tmp_path / "model")


X, Y = made()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"X": X[:, 0]}, "X: signals have 2 dimensions"),
        ({"X": X.transpose(0, 2, 1)}, "dataset.channels=last"),
        ({"X": np.full_like(X, np.nan)}, "X: 2560 values are NaN"),
        ({"X": [*X[1:], X[0, :, 1:]]}, "X holds cases of different shapes: cut or pad"),
        ({"y": Y[:-1]}, "y: there are 40 cases but 39 labels"),
        ({"y": [None] * 40}, "y holds NoneType"),
        ({"y": np.linspace(0, 1, 40)}, "y: labels are of type float64"),
        ({"groups": Y[:3]}, "groups have the shape (3,)"),
        ({"channel_names": ["ax"]}, "channel_names gives 1"),
        ({"channel_names": "xy"}, "channel_names must be a list of names, not 'xy'"),
        ({"X_test": X}, "X_test and y_test go together"),
        ({"X_test": X[:, :1], "y_test": Y}, "X_test is float64 of the shape (40, 1, 32)"),
        ({"epochs": 0}, "epochs must be"),
        ({"output_dir": 3}, "output_dir must be a text or a Path"),
        ({"optimizer__lrr": 1}, "optimizer.lrr is not a key"),
        ({"model": "resnett"}, "did you mean resnet"),
        ({"dataset": "ucr"}, "the data are X and y"),
        ({"task": "throughput"}, "task is for the command line"),
        ({"split__test": 0.001}, "too small"),
        ({"model": {"_target_": "os.system"}}, "not allowed"),
    ],
)
def test_a_mistake_is_a_sentence_and_leaves_nothing(tmp_path, given, says):
    given = {"X": X, "y": Y, "output_dir": tmp_path / "a" / "run", "epochs": 1} | given
    if says == "too small":
        given["y"] = ["once", *Y[1:]]
    with pytest.raises(InputError) as caught:
        raspitrain.train(**given)
    assert says in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_the_model_is_a_sentence(trained, tmp_path):
    for wrong, says in ((X[0], r"one case is X\[None\]"), (X[:, :1], r"\(N, 2, 32\)")):
        with pytest.raises(InputError, match=says):
            trained.predict(wrong)
    with pytest.raises(InputError, match="NaN"):
        trained.predict(np.full((1, 2, 32), np.nan))
    assert trained.predict(X[:0]).shape == (0,)
    with pytest.raises(InputError, match="already holds a run"):
        raspitrain.train(X, Y, output_dir=trained.folder)
    with pytest.raises(InputError, match="there is no"):
        raspitrain.load(tmp_path / "nothing.pt")
    with pytest.raises(InputError, match="path must be a text or a Path, not 3"):
        raspitrain.load(3)


def test_importing_it_takes_nothing():
    code = (
        "import sys, raspitrain; assert not {'torch', 'numpy', 'omegaconf'} & set(sys.modules); "
        "assert set(raspitrain.__all__) <= set(dir(raspitrain)); "
        "assert all(getattr(raspitrain, name).__doc__ for name in raspitrain.__all__); "
        "assert 'hydra' not in sys.modules; raspitrain.nothing"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == (
        "AttributeError: module 'raspitrain' has no attribute 'nothing'"
    )


def test_the_example(tmp_path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "saved as model.rpt" in done.stdout
    page = EXAMPLE.parents[1] / "docs" / "python.md"
    lines = [line.strip() for line in EXAMPLE.read_text().splitlines() if line.strip()]
    assert all(line in page.read_text() for line in lines[1:])
    assert len(lines) < 20
