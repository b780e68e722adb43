"""export --format onnx: raw windows in, probabilities out, as ONNX Runtime computes them."""

import json

import numpy as np
import onnxruntime
import pytest
from torch import nn

import raspitrain
from raspitrain.export.__main__ import main as export

LENGTH = 53  # halved with one left over
NETWORKS = [
    "mobilenetv3_small", "mobilenetv3_large_blog", "resnet", "fcn", "inceptiontime", "lite",
    "mobilenetv1", "mobilenetv2", "mnasnet", "shufflenetv1", "shufflenetv2", "lenet", "alexnet",
    "vgg", "googlenet", "squeezenet", "densenet", "minirocket",
]  # fmt: skip
NARROW = {"width_mult": 0.25, "width": 8, "growth_rate": 4, "num_features": 840}


class Own(nn.Module):
    """A network of the user's own."""

    def __init__(self, num_channels, num_classes):
        super().__init__()
        self.body = nn.Conv1d(num_channels, 4, 3)
        self.last = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.last(self.body(x).relu().amax(dim=2))


def trained(folder, **options):
    """A run of two channels, one of them a small signal on a large offset."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2 * 2 + 3
    wave = np.sin(np.arange(LENGTH) * y[:, None, None] / 5 + rng.random((40, 2, 1)))
    X = (wave * rng.uniform(0.1, 9, (40, 1, 1)) + [[20.0], [0.0]]).astype(np.float32)
    fixed = {"epochs": 1, "hardware__num_threads": 1, "export": "none"}
    result = raspitrain.train(X, y, rate=50, channel_names=["a", "b"], output_dir=folder,
                              **(fixed | options))  # fmt: skip
    return result, X


def check(result, X, *words):
    path = result.folder / "model.onnx"
    assert export([str(result.folder), "--format", "onnx", *words]) == 0
    session = onnxruntime.InferenceSession(path)
    expected = result.probabilities(X)
    for batch in (X[:1], X[:7], np.concatenate([X] * 20)):  # beyond any number in the export
        (found,) = session.run(["probabilities"], {"signals": batch})
        assert found.shape == (len(batch), 2)
        assert np.abs(found[: len(X)] - expected[: len(batch)]).max() < 1e-4
    return session


SPECTRA = {"frontend": "spectrum", "frontend__window": 8, "frontend__hop": 3}


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("both", SPECTRA),
        pytest.param("both", {}, marks=pytest.mark.long),
        pytest.param("case", {}, marks=pytest.mark.long),
    ],
)
def test_a_network_of_the_users_own_with_what_normalises_it(tmp_path, capsys, kind, seen):
    own = f"{Own.__module__}.Own"
    result, X = trained(
        tmp_path / "run", model={"_target_": own}, allowed_targets=[own], dataset__normalise=kind,
        **seen,
    )  # fmt: skip
    X = np.concatenate([X, np.full_like(X[:1], 3.0)])  # a flat one too
    assert export([str(result.folder), "--format", "onnx"]) == 2
    assert "not allowed" in capsys.readouterr().err
    session = check(result, X, "--allowed-targets", own)
    told = json.loads(session.get_modelmeta().custom_metadata_map["raspitrain"])
    assert told["input"]["channels"] == ["a", "b"]
    assert (told["input"]["rate"], told["input"]["length"]) == (50, LENGTH)
    assert told["output"] == {"classes": ["3", "5"], "integer_labels": True}


@pytest.mark.parametrize(
    "name", [n if n == "lenet" else pytest.param(n, marks=pytest.mark.long) for n in NETWORKS]
)
def test_every_network_of_ours(tmp_path, name):
    from raspitrain.config.compose import compose

    keys = compose({"model": name}).model
    narrow = {f"model__{key}": value for key, value in NARROW.items() if key in keys}
    check(*trained(tmp_path / "run", model=name, **narrow))


@pytest.mark.long
def test_an_operation_that_onnx_does_not_have_is_named(tmp_path, capsys):
    """MultiRocket looks for its longest stretch with a running maximum."""
    result, _ = trained(tmp_path / "run", model="multirocket_hydra", model__num_features=840)
    assert export([str(result.folder), "--format", "onnx"]) == 2
    assert "cummax" in capsys.readouterr().err
    assert not (result.folder / "model.onnx").exists()


def test_without_the_extra_it_is_said_and_nothing_written(tmp_path, capsys, monkeypatch):
    import importlib.util

    result, _ = trained(tmp_path / "run", model="minirocket")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "onnxscript" else find(n, *a)
    )
    assert export([str(result.folder), "--format", "onnx"]) == 2
    assert "onnxscript: pip install 'raspitrain[onnx]'" in capsys.readouterr().err
    assert export([str(result.folder), "--format", "onnx", "--precision", "int8"]) == 2
    assert not (result.folder / "model.onnx").exists()
