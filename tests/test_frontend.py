"""Front ends: spectra in training, in the checkpoint, and in the model's use without numpy."""

import csv
import json
import subprocess
import wave

import numpy as np
import pytest
from conftest import defaults, process_as_it_was
from test_export_c import built
from test_use_commands import predicted
from test_use_stream import of, streamed

from raspitrain.cli.data import main as show_data
from raspitrain.cli.main import main
from raspitrain.data.bands import bands_of, fft_size
from raspitrain.data.frontend import Frontend, logmel, measured, spectrum
from raspitrain.errors import InputError
from raspitrain.evaluate import main as evaluate
from raspitrain.export import onnx_file
from raspitrain.export.__main__ import main as export
from raspitrain.run.stored import StoredRun
from raspitrain.training.answers import logits_of
from raspitrain.use import load
from raspitrain.use.check import main as check

RATE = 4000
WORDS = (
    "dataset=recordings", "dataset.length=0.25s", "frontend=logmel", "frontend.bands=12",
    "frontend.hop=0.01s", "model.width_mult=0.25", "hardware.num_threads=1", "export=fp32",
)  # fmt: skip


def tone(hertz, seed, seconds=1):
    random, time = np.random.default_rng(seed), np.arange(seconds * RATE) / RATE
    sound = 0.3 * np.sin(2 * np.pi * hertz * time + random.uniform(0, 6))
    return ((sound + 0.01 * random.normal(size=time.size)) * 32767).astype("<i2")


def store(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


def run(*words):
    """The command, in this process; returns its exit code."""
    with process_as_it_was(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["raspitrain", *map(str, words)])
        return main()


def look(*words):
    """The command data, likewise."""
    with process_as_it_was(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["raspitrain"])
        return show_data(list(words))


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """A run that tells two tones apart, and the folder of its data."""
    folder = tmp_path_factory.mktemp("heard")
    for k in range(5):
        for name, hertz in (("low", 300 + k), ("high", 800 + k)):
            store(folder / "data" / name / f"{k}.wav", tone(hertz, hertz))
    words = (*WORDS, f"dataset.path={folder / 'data'}", f"hydra.run.dir={folder / 'run'}")
    assert not run(*words, "epochs=10", "schedule=constant")
    return folder


def windows_of(sound):
    """float32 (7, 1, 1000), as predict takes them."""
    windows = np.stack([sound[k : k + 1000] for k in range(0, 3001, 500)])[:, None] / 32768
    return windows.astype(np.float32)


# ---------------------------------------------------------------- what is computed


@pytest.mark.parametrize("kind", ["logmel", "spectrum"])
def test_it_is_the_logarithm_of_a_spectrogram_in_bands(kind):
    from scipy import signal

    x = np.random.default_rng(0).normal(size=(3, 2, 300))
    made = Frontend(kind, 50, 20, 6, 0.0, 500.0, 1000.0, 1e-3)
    seen = made.apply(x)
    assert seen.dtype == np.float32
    assert seen.shape == (3, 12, made.num_frames(300)) == (3, 12, 13)
    _, _, power = signal.spectrogram(
        x, 1000, signal.get_window("hann", 50), 50, 30, nfft=64, detrend=False, scaling="spectrum",
        mode="complex",
    )  # fmt: skip
    power = np.abs(power) ** 2  # (3, 2, frequencies, frames)
    weights = np.zeros((6, 33))
    for row, (first, own) in zip(weights, bands_of(kind, 50, 6, 0.0, 500.0, 1000.0), strict=True):
        row[first : first + len(own)] = own
    expected = np.log(np.einsum("bf,ncft->ncbt", weights, power) + 1e-3).reshape(3, 12, 13)
    np.testing.assert_allclose(seen, expected, rtol=1e-5)
    assert len(made.names(["left", "right"])) == 12


def test_mel_bands_are_narrow_where_tones_are_low():
    bands = bands_of("logmel", 512, 40, 0.0, 8000.0, 16000.0)
    widths = [len(weights) for _, weights in bands]
    assert widths[-1] > 5 * widths[0]
    step = 16000 / fft_size(512)
    peak = [step * (first + int(np.argmax(weights))) for first, weights in bands]
    mel = 2595 * np.log10(1 + np.array(peak) / 700)
    np.testing.assert_allclose(np.diff(mel), np.diff(mel).mean(), atol=2 * step)


def test_the_floor_means_the_same_in_any_unit():
    x = np.random.default_rng(0).normal(size=(20, 1, 300))
    made = Frontend("spectrum", 64, 32, None, 0.0, 0.5, 1.0, 1e-4)
    volts, micro = (measured(made, scale * x, np.arange(20)) for scale in (1.0, 1e6))
    difference = micro.apply(1e6 * x) - volts.apply(x)
    np.testing.assert_allclose(difference, 2 * np.log(1e6), rtol=1e-5)
    assert np.isfinite(measured(made, 0 * x, np.arange(20)).apply(0 * x)).all()


REFUSED = {
    "no rate": (logmel, {"rate": None}, "frontend=logmel needs to know how many samples a second"),
    "short window": (logmel, {"window": "0.001s"}, "frontend.window=0.001s is 4 samples"),
    "long window": (logmel, {"window": 5000}, "frontend.window is 5000 samples, and a case has"),
    "few": (logmel, {"hop": 800}, "makes 2 spectra of a case of 1000 samples"),
    "bands": (logmel, {"bands": 200}, "200 bands from 50 to 2000 Hz are too many"),
    "high": (logmel, {"high": 3000}, "up to half the rate, 2000 Hz"),
    "low": (spectrum, {"low": 2500}, "they must rise"),
    "hertz": (spectrum, {"rate": None, "high": 9}, "frontend.low and frontend.high are in Hz"),
    "seconds": (spectrum, {"rate": None, "window": "0.1s"}, "frontend.window=0.1s needs to know"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_go_together_is_one_sentence(name):
    make, words, sentence = REFUSED[name]
    own = defaults("../frontend/" + make.__name__)
    own.pop("path")
    with pytest.raises(InputError) as error:
        make(**own | {"length": 1000, "rate": float(RATE)} | words)
    assert sentence in str(error.value)


# ---------------------------------------------------------------- a run


def test_a_run_keeps_it_and_says_it(heard):
    summary = json.loads((heard / "run" / "summary.json").read_text())
    assert summary["test_accuracy"] == 1
    assert "frontend=logmel: 12 bands" in (heard / "run" / "run.log").read_text()
    stored = StoredRun.open(heard / "run")
    assert stored.channel_names == ("audio",)
    assert stored.length == 1000
    assert stored.normalisation.mean.shape == (12,)


def test_use_gives_what_training_gives_and_a_stream_the_same_bits(heard, capsys):
    stored, model = StoredRun.open(heard / "run"), load(heard / "run" / "model.rpt")
    sound = tone(500, 1)
    windows = windows_of(sound)
    wanted = logits_of(stored.model(), stored.normalisation, windows)
    found = np.array([model.logits(window) for window in windows])
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.ptp(wanted))
    store(heard / "new.wav", sound)
    expected = predicted(capsys, heard / "run", heard / "new.wav")
    assert [row["logits"] for row in expected] == found.tolist()
    words = ("--raw", "s16le", "--rate", str(RATE), "--scores")
    records, _ = streamed(heard / "run" / "model.rpt", sound.tobytes(), *words)
    assert [row["logits"] for row in of(records, "window")] == found.tolist()


def test_it_goes_on_where_it_was_and_is_evaluated_alike(heard, tmp_path, capsys):
    words = (*WORDS, f"dataset.path={heard / 'data'}", f"hydra.run.dir={tmp_path / 'run'}")
    assert not run(*words, "schedule=constant", "epochs=4")
    assert not run(f"resume={tmp_path / 'run'}", "epochs=10")
    tables = [(folder / "run" / "metrics.csv").open() for folder in (heard, tmp_path)]
    losses = [[row["train_loss"] for row in csv.DictReader(table)] for table in tables]
    assert losses[0] == losses[1]
    assert evaluate([str(heard / "run")]) == 0
    assert "accuracy       100.0 %" in capsys.readouterr().out
    assert check([str(heard / "run")]) == 0
    assert "logmel, 12 bands" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("init={run}", "dataset=recordings", "dataset.path={data}", "dataset.length=0.25s"),
         "was trained with frontend=logmel"),
        (("frontend=logmel",), "frontend=logmel needs to know how many samples a second"),
        (("frontend=logmel", "frontend.bands=0"), "frontend.bands must be a whole number"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(heard, tmp_path, capsys, words, sentence):
    places = {"run": heard / "run", "data": heard / "data"}
    words = [word.format(**places) for word in words]
    assert run(*words, f"hydra.run.dir={tmp_path / 'new'}") == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_look_at_the_data_tells_of_it(heard, capsys):
    words = ["dataset=recordings", f"dataset.path={heard / 'data'}", "dataset.length=0.25s"]
    assert look(*words, "frontend=spectrum") == 0
    assert "frontend=spectrum: 64 bands from 0 to 2000 Hz" in capsys.readouterr().out
    assert look("dataset=synthetic", "frontend=logmel") == 2
    assert "needs to know how many samples a second" in capsys.readouterr().err


def test_c_source_gives_the_bits_of_the_model_file(heard, tmp_path):
    """And so does predict, which a test above compares with it."""
    words = ["--format", "c", "--precision", "fp32", "--output", str(tmp_path / "model.c")]
    assert export([str(heard / "run"), *words]) == 0
    program = built(tmp_path, tmp_path / "model.c")
    model, windows = load(heard / "run" / "model.rpt"), windows_of(tone(500, 1))
    windows = np.concatenate([windows, np.full_like(windows[:1], np.nan)])
    done = subprocess.run([program], input=windows.tobytes(), capture_output=True, timeout=120)
    *lines, missing = done.stdout.decode().splitlines()
    assert missing.split()[0] == "-1"
    for line, window in zip(lines, windows[:-1], strict=True):
        assert [float.fromhex(score) for score in line.split()[1:3]] == model.logits(window)


def test_onnx_says_where_spectra_are_too_large_for_it(heard, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(onnx_file, "MOST_BYTES", 1000)
    words = [str(heard / "run"), "--format", "onnx", "--output", str(tmp_path / "model.onnx")]
    assert export(words) == 2
    assert "makes spectra by a matrix" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
