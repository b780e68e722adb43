"""MiniRocket, and MultiRocket with Hydra, as model files: they answer as in training."""

import json

import numpy as np
import pytest
import torch
from test_closed_form import QUICK
from test_use_commands import as_csv
from test_use_model_file import header_of, refusal, sealed
from test_use_stream import streamed

from raspitrain.config.build import build_cases
from raspitrain.export.__main__ import main as export
from raspitrain.export.pack_rocket import pack_rocket
from raspitrain.export.trained import trained_from
from raspitrain.export.write import Answer, Contract, write_model
from raspitrain.model.rocket.minirocket import minirocket
from raspitrain.model.rocket.multirocket_hydra import multirocket_hydra
from raspitrain.run.run import run
from raspitrain.run.stored import StoredRun
from raspitrain.use import load
from raspitrain.use.check import main as check
from raspitrain.use.predict import main as predict


def fitted(kind, channels, length, classes=3, seed=0):
    torch.manual_seed(seed)
    shape = {"num_channels": channels, "num_classes": classes, "length": length}
    own = {"max_dilations": 32, "max_ridge_cases": 100}
    if kind == "minirocket":
        model = minirocket(**shape, num_features=900, **own)
    else:
        model = multirocket_hydra(**shape, num_features=2000, num_groups=6, **own)
    labels = torch.arange(40) % classes
    signals = torch.randn(40, channels, length).cumsum(2) * (1 + labels[:, None, None])
    model.fit(lambda cases: signals[cases], labels, torch.Generator().manual_seed(seed))
    return model.eval(), signals


def write(path, model, channels, length):
    network, arrays = pack_rocket(model, length=length)
    given = Contract(
        [f"c{c}" for c in range(channels)], [0.0] * channels, [1.0] * channels, "error"
    )
    names = [f"class {k}" for k in range(network["classes"])]
    write_model(path, network, arrays, given, Answer(names), {"seed": 0})
    return path


SHAPES = [(1, 9), (1, 97), (4, 30), (7, 130)]  # 9: the shortest, where 7 dilate by 1


@pytest.mark.parametrize(("channels", "length"), SHAPES)
@pytest.mark.parametrize("kind", ["minirocket", "multirocket_hydra"])
def test_a_file_has_the_logits_of_the_model(tmp_path, kind, channels, length):
    length += kind != "minirocket"  # differences are one shorter
    model, signals = fitted(kind, channels, length)
    found = load(write(tmp_path / "model.rpt", model, channels, length))
    with torch.no_grad():
        expected = model(signals).numpy()
    given = np.array([found.logits(x) for x in signals.numpy()])
    np.testing.assert_allclose(given, expected, atol=3e-4 * np.abs(expected).max())
    if kind == "minirocket":  # the features are equal to the bit: the head's sums alone differ
        np.testing.assert_allclose(given, expected, atol=3e-6 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["channel", "case", "both"])
def test_a_run_leaves_a_file_that_answers_as_it_does(compose, tmp_path, kind):
    """Whatever becomes of a window first; a still stretch, where responses equal their biases but
    for rounding, included."""
    words = (*QUICK, f"dataset.normalise={kind}", "export=auto")
    run(compose(*words), tmp_path, overrides=list(words))
    trained, model = trained_from(StoredRun.open(tmp_path)), load(tmp_path)
    signals = np.asarray(build_cases(trained.config["dataset"]).signals, np.float32)
    signals[::2, :, 20:] = signals[::2, :, 20:21]
    with torch.no_grad():
        seen = torch.from_numpy(trained.normalisation.apply(signals))
        expected = trained.model(seen)
    for x, logits in zip(signals, expected.numpy(), strict=True):
        np.testing.assert_allclose(model.logits(x), logits, atol=1e-4)
    probabilities = model.predict(signals[0]).probabilities
    np.testing.assert_allclose(list(probabilities.values()), expected[0].softmax(0), atol=1e-4)
    compared = model.header["provenance"]["precision"]["compared"]
    assert compared["fp32"]["accuracy"] == compared["torch"]["accuracy"]
    assert "int8" not in compared


def test_commands_take_it_as_they_take_a_network(compose, tmp_path, capsys):
    """With neither torch nor numpy in the streaming one."""
    words = (*QUICK, "export=int8")
    run(compose(*words), tmp_path, overrides=list(words))
    assert not (tmp_path / "model.rpt").exists()
    assert "int8 is for networks" in (tmp_path / "run.log").read_text()
    folder = str(tmp_path)
    capsys.readouterr()
    assert export([folder]) == 0
    assert "fp32 (features with a linear head" in capsys.readouterr().out
    assert export([folder, "--format", "c"]) == 2
    told = capsys.readouterr().err
    assert "--format c is for networks" in told
    assert told.count("\n") == 1
    assert check([folder, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["network"], told["precision"]) == ("minirocket", "fp32")
    names, length = told["channels"], told["length"]
    steps = np.random.default_rng(0).normal(size=(len(names), 5 * length)).cumsum(1)
    recording = tmp_path / "new.csv"
    recording.write_text(as_csv(steps, names=names))
    assert predict([folder, str(recording), "--format", "ndjson", "--hop", "7"]) == 0
    windows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    options = ("--scores", "--rate", "50", "--hop", "7")
    records, _ = streamed(tmp_path, recording.read_text(), *options)
    scores = [(x["start"], x["logits"]) for x in records if x["event"] == "window"]
    assert len(windows) == (4 * length) // 7 + 1
    assert scores == [(x["start"], x["logits"]) for x in windows]


def parts(network):
    return network["parts"][0]


WRONG = {
    "parts": lambda n: n.update(parts=[]),
    "parts[0] ": lambda n: n.update(parts=[1]),
    "parts[0].features": lambda n: parts(n).update(features="hydra "),
    "parts[0].difference": lambda n: parts(n).update(difference=0),
    "parts[0].dilations": lambda n: parts(n).update(dilations=[4]),
    "parts[0].per_dilation": lambda n: parts(n).update(per_dilation=[0, 1, 1]),
    "length": lambda n: n.update(length=8),
    "precision": lambda n: n.update(precision="int8"),
    "the keys": lambda n: n.update(stem={}),
}


@pytest.mark.parametrize("named", WRONG)
def test_a_header_that_says_what_cannot_be_is_refused(tmp_path, named):
    path = write(tmp_path / "model.rpt", fitted("minirocket", 1, 30)[0], 1, 30)
    header = header_of(path)[0]
    WRONG[named](header["network"])
    path.write_bytes(sealed(path, json.dumps(header).encode()))
    assert named in refusal(path)


def test_channels_that_are_not_there_are_refused(tmp_path):
    """Which the engine would read beyond its memory for."""
    for kind, place, value in (("minirocket", slice(3, 5), 0), ("multirocket_hydra", 0, 2)):
        model, _ = fitted(kind, 2, 30)
        network, arrays = pack_rocket(model, length=30)
        arrays[0][place] = value
        given = Contract(["a", "b"], [0.0] * 2, [1.0] * 2, "error")
        with pytest.raises(Exception, match="channels that are not there"):
            write_model(tmp_path / "model.rpt", network, arrays, given, Answer(["a", "b", "c"]), {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_what_is_not_finite_is_refused(tmp_path, value):
    model = load(write(tmp_path / "model.rpt", fitted("minirocket", 1, 30)[0], 1, 30))
    window = np.zeros((1, 30), np.float32)
    window[0, 4] = value
    if value == 3e38:  # finite, and so are shares of positions
        assert all(np.isfinite(model.logits(window)))
    else:
        with pytest.raises(Exception, match="missing or infinite"):
            model.logits(window)
