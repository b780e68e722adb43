"""Training on a GPU, by the real command: make test-cuda, wherever there is one."""

import csv
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import wait_for

pytestmark = pytest.mark.cuda

# Where a change is to be tried before a GPU is at hand: RASPITRAIN_TEST_DEVICE=cpu.
DEVICE = os.environ.get("RASPITRAIN_TEST_DEVICE", "cuda")
DATA = (
    "dataset.num_cases=400", "dataset.num_channels=3", "dataset.length=64", "dataset.num_classes=3",
)  # fmt: skip
RUN = ("hardware=cuda", *DATA, f"hardware.device={DEVICE}")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("cuda")


def start(home, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "raspitrain", *arguments],
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(home, *arguments):
    process = start(home, *arguments)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    return output


def read(path):
    return json.loads(path.read_text())


def epochs(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(home):
    """A run to its end on the GPU, what it says on the screen kept beside it."""
    folder = home / "whole"
    output = finish(home, *RUN, "epochs=40", f"hydra.run.dir={folder}")
    (home / "whole.txt").write_text(output)
    return folder


def test_a_run_is_trained_by_the_gpu_and_says_so(trained):
    summary = read(trained / "summary.json")
    assert summary["status"] == "completed"
    assert summary["device"] == DEVICE
    assert summary["test_accuracy"] > 0.85
    assert summary["bit_reproducible"] is (DEVICE == "cpu")
    assert (trained / "accuracy.png").stat().st_size > 1000
    environment = (trained / "environment.json").read_text()
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu"
    assert name in environment


def test_a_run_that_was_stopped_is_resumed_to_the_same_result(home, trained):
    """Sums of a GPU have no fixed order, so that the last bits may differ and are not promised."""
    folder = home / "stopped"
    process = start(home, *RUN, "epochs=40", "eval_every=1", f"hydra.run.dir={folder}")
    table = folder / "metrics.csv"
    assert wait_for(lambda: table.is_file() and len(table.read_text().splitlines()) > 4)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=200)
    assert read(folder / "summary.json")["status"] == "interrupted", output
    finish(home, f"resume={folder}")
    summary, whole = read(folder / "summary.json"), read(trained / "summary.json")
    assert summary["status"] == "completed"
    assert [row["epoch"] for row in epochs(folder)] == [str(n) for n in range(1, 41)]
    assert summary["test_accuracy"] == pytest.approx(whole["test_accuracy"], abs=0.1)
    first, other = epochs(folder)[0], epochs(trained)[0]
    assert float(first["train_loss"]) == pytest.approx(float(other["train_loss"]), rel=1e-2)


def test_its_model_is_evaluated_and_used_without_the_gpu(home, trained):
    told = finish_module(home, "raspitrain.evaluate", trained)
    assert "test part" in told
    evaluated, summary = read(trained / "evaluation-test.json"), read(trained / "summary.json")
    assert evaluated["accuracy"] == pytest.approx(summary["test_accuracy"], abs=0.02)
    signals = np.random.default_rng(0).normal(size=(3, 3, 64)).astype(np.float32)
    np.save(home / "signals.npy", signals)
    rows = finish_module(home, "raspitrain.predict", trained / "model.rpt", home / "signals.npy")
    assert len(rows.splitlines()) >= 4


def finish_module(home, module, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_exported(home, trained):
    pytest.importorskip("onnxruntime")
    path = home / "model.onnx"
    finish_module(home, "raspitrain.export", trained, "--format", "onnx", "--output", path)
    assert path.stat().st_size > 10_000


def test_throughput_is_measured_on_it(home):
    folder = home / "throughput"
    finish(home, *RUN, "task=throughput", "throughput.seconds=2", f"hydra.run.dir={folder}")
    summary = read(folder / "summary.json")
    assert summary["device"] == DEVICE
    assert summary["samples_per_second"] > 0


@pytest.mark.parametrize(
    "words",
    [
        ("model=resnet",),
        ("model=inceptiontime", "optimizer=sgd"),
        ("model=resnet", "ensemble=2", "dataset.normalise=both"),
        ("model=resnet", "frontend=spectrum", "in_memory=false"),
    ],
    ids=lambda words: words[-1],
)
def test_it_computes_what_a_processor_does(home, words):
    """The first epoch's loss: later ones drift apart, as each rounds in its own way."""
    losses = []
    for device in (DEVICE, "cpu"):
        folder = home / f"{words[-1]}-{len(losses)}"
        finish(home, *RUN[:-1], f"hardware.device={device}", "epochs=3", *words,
               f"hydra.run.dir={folder}")  # fmt: skip
        summary = read(folder / "summary.json")
        assert (summary["status"], summary["device"]) == ("completed", device)
        losses.append(float(epochs(folder)[0]["train_loss"]))
    assert losses[0] == pytest.approx(losses[1], rel=0.03)


@pytest.mark.parametrize("model", ["minirocket", "multirocket_hydra"])
def test_what_a_processor_fits_says_so(home, model):
    folder = home / model
    told = finish(home, *RUN, f"model={model}", "model.max_ridge_cases=400",
                  f"hydra.run.dir={folder}")  # fmt: skip
    assert "is fitted by the processor, not by a GPU" in told or DEVICE == "cpu"
    summary = read(folder / "summary.json")
    assert (summary["status"], summary["device"]) == ("completed", "cpu")
    assert summary["test_accuracy"] > 0.8
