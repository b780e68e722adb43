"""Runs of models that are fitted in one step: MiniRocket, MultiRocket-Hydra."""

import csv
import itertools
import json
import sys

import pytest
import torch

from raspitrain.errors import InputError
from raspitrain.results.checkpoint import load_checkpoint
from raspitrain.run.prepare import prepare
from raspitrain.run.resume import resume
from raspitrain.run.run import run
from raspitrain.stop import Stopped
from raspitrain.training.closed_form import check_fit_memory

QUICK = (
    "model=minirocket",
    "model.num_features=840",
    "dataset.num_cases=60",
    "dataset.length=48",
    "dataset.num_classes=2",
    "hardware.num_threads=1",
)


@pytest.mark.parametrize(
    "model", ["minirocket", pytest.param("multirocket_hydra", marks=pytest.mark.long)]
)
def test_command_fits_a_real_set_in_one_step(forked_command, tmp_path, model):
    folder = tmp_path / "run"
    done = forked_command(
        f"model={model}", "dataset=ucr", "dataset.name=GunPoint", "hardware.num_threads=1",
        f"hydra.run.dir={folder}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert summary["test_accuracy"] > 0.98
    assert sum(map(sum, summary["confusion_matrix"])) == 150
    assert (summary["epochs"], summary["steps"]) == (1, 1)
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert len(rows) == 1
    assert float(rows[0]["train_accuracy"]) > 0.9  # of cases left out
    for name in ("best.pt", "last.pt", "report.html", "confusion_matrix.png", "accuracy.png"):
        assert (folder / name).stat().st_size > 0
    assert "fitted in one step: optimizer, schedule, augment" in (folder / "run.log").read_text()


@pytest.mark.usefixtures("quick_end")
def test_a_run_is_repeated_to_the_bit_and_needs_no_numba(compose, tmp_path):
    loaded = set(sys.modules)
    for name in ("one", "two"):
        run(compose(*QUICK), tmp_path / name)
    assert not {"numba", "sklearn"} & (set(sys.modules) - loaded)
    one, two = (load_checkpoint(tmp_path / name / "best.pt") for name in ("one", "two"))
    assert all(torch.equal(one["model"][key], two["model"][key]) for key in one["model"])
    assert one["metrics"]["test_loss"] == two["metrics"]["test_loss"]


def test_a_fit_that_was_stopped_begins_again_and_ends_the_same(compose):
    cfg = compose(*QUICK)
    whole = prepare(cfg).training
    expected = next(whole.evaluations(1)).row
    again = prepare(cfg).training
    reads = itertools.count()

    def stop():
        if next(reads) == 3:
            raise Stopped(15)

    with pytest.raises(Stopped):
        next(again.evaluations(1, on_batch=stop))
    resumed = prepare(cfg).training
    resumed.restore(again.state())
    row = next(resumed.evaluations(1)).row
    assert row["test_loss"] == expected["test_loss"]
    assert row["train_loss"] == expected["train_loss"]


@pytest.mark.usefixtures("quick_end")
def test_a_finished_fit_has_no_more_epochs(compose, tmp_path):
    run(compose(*QUICK), tmp_path / "run")
    with pytest.raises(InputError, match="epochs=7 has no effect on this run: its model is fitted"):
        resume(tmp_path / "run", ["epochs=7"])


def test_there_are_no_steps_to_time(forked_command, tmp_path):
    done = forked_command(*QUICK, "task=throughput", f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 2
    assert "is fitted to so few cases in a single one" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_fit_too_large_for_the_memory_is_refused_with_the_way_out(compose):
    model = prepare(compose(*QUICK)).training.model
    check_fit_memory(model, 4000, 2 * 10**9, None)
    with pytest.raises(InputError, match=r"MB are free: with a model\.max_ridge_cases below 4000"):
        check_fit_memory(model, 4000, 10**8, None)
    check_fit_memory(model, 4001, 10**8, None)  # trained in batches


@pytest.mark.usefixtures("quick_end")
def test_many_cases_are_learnt_by_gradients(compose, tmp_path):
    cfg = compose(*QUICK, "model.max_ridge_cases=10", "epochs=8")
    summary = run(cfg, tmp_path / "run")
    assert summary["epochs"] == 8
    assert summary["final"]["train_accuracy"] > 0.9
    weights = load_checkpoint(tmp_path / "run" / "best.pt")["model"]
    assert weights["transforms.0.biases"].any()
    assert weights["scalings.0.mean"].any()


def test_signals_that_are_too_short_end_with_a_sentence(forked_command, tmp_path):
    done = forked_command(
        "model=minirocket", "dataset.length=8", f"hydra.run.dir={tmp_path / 'run'}"
    )
    assert done.returncode == 2
    assert "signals of length 8 are too short for this model: it takes 9" in done.stderr
