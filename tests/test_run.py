"""run(cfg, output_dir): what a run leaves in its folder."""

import csv
import json
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, process_as_it_was
from omegaconf import OmegaConf

import raspitrain
from raspitrain.__main__ import main
from raspitrain.config import profile, rules
from raspitrain.errors import InputError
from raspitrain.model.engine import native
from raspitrain.results.checkpoint import load_checkpoint
from raspitrain.results.table import COLUMNS
from raspitrain.run.prepare import prepare
from raspitrain.run.run import run

FILES = {
    "config.yaml", "data.csv", "overrides.yaml", "environment.json", "metrics.csv", "summary.json",
    "accuracy.png", "loss.png", "confusion_matrix.png", "best.pt", "last.pt", "run.log",
    "telemetry.csv", "report.html", "model.rpt", "misclassified.csv",
}  # fmt: skip


def rows_of(folder) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def without_clock(rows):
    timed = {"seconds", "samples_per_second", "peak_memory_mb"}
    return [{k: v for k, v in row.items() if k not in timed} for row in rows]


def test_a_run_leaves_everything_in_its_folder(compose, tmp_path):
    folder = tmp_path / "run"
    summary = run(compose(*TINY, "eval_every=1"), folder, overrides=["eval_every=1"])
    assert {p.name for p in folder.iterdir() if not p.name.startswith(".")} == FILES
    assert not list(folder.glob(".partial*"))
    rows = rows_of(folder)
    assert tuple(rows[0]) == COLUMNS
    assert [row["epoch"] for row in rows] == ["1", "2"]
    written = json.loads((folder / "summary.json").read_text())
    assert list(written)[:2] == ["test_accuracy", "status"]
    assert written == json.loads(json.dumps(summary))
    assert written["status"] == "completed"
    assert written["test_accuracy"] == float(rows[-1]["test_accuracy"])
    assert sum(map(sum, written["confusion_matrix"])) == 12
    assert OmegaConf.load(folder / "overrides.yaml") == ["eval_every=1"]
    assert OmegaConf.load(folder / "config.yaml").dataset.num_cases == 40
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["torch"]["num_threads"] == 1


def test_the_blog_run_shortened_leaves_everything(compose, tmp_path):
    folder = tmp_path / "run"
    run(compose("experiment=blog", "epochs=2", "eval_every=1", "hardware.num_threads=1"), folder)
    assert {p.name for p in folder.iterdir() if not p.name.startswith(".")} == FILES


@pytest.mark.usefixtures("quick_end")
def test_the_same_seed_gives_the_same_rows_and_weights(compose, tmp_path):
    settings = (*TINY, "split.validation=0.2", "eval_every=1")
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        run(compose(*settings, f"seed={seed}"), tmp_path / name)
    first, again, other = (
        without_clock(rows_of(tmp_path / n)) for n in ("first", "again", "other")
    )
    assert first == again
    assert first != other
    weights = [load_checkpoint(tmp_path / n / "last.pt")["model"] for n in ("first", "again")]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


@pytest.mark.usefixtures("quick_end")
def test_the_checkpoint_is_the_trained_model(compose, tmp_path):
    """What last.pt holds gives the test accuracy that the summary reports."""
    cfg = compose(*TINY)
    summary = run(cfg, tmp_path / "run")
    state = load_checkpoint(tmp_path / "run" / "last.pt")
    prepared = prepare(cfg)
    prepared.training.model.load_state_dict(state["model"])
    prepared.training.model.eval()
    signals, labels = prepared.training.parts["test"].gather(torch.arange(12))
    with torch.inference_mode():
        correct = (prepared.training.model(signals).argmax(1) == labels).double().mean().item()
    assert correct == pytest.approx(summary["test_accuracy"])
    assert list(state["class_names"]) == summary["class_names"]
    assert state["mean"].shape == (3,)


@pytest.mark.usefixtures("quick_end")
def test_best_is_chosen_on_the_validation_part(compose, tmp_path):
    folder = tmp_path / "run"
    summary = run(compose(*TINY, "split.validation=0.2", "epochs=6", "eval_every=1"), folder)
    rows = rows_of(folder)
    best = max(rows, key=lambda r: (float(r["validation_accuracy"]), -float(r["validation_loss"])))
    assert summary["chosen_model"] == "best on validation"
    assert summary["chosen_epoch"] == int(best["epoch"])
    assert summary["test_accuracy"] == float(best["test_accuracy"])
    assert load_checkpoint(folder / "best.pt")["epoch"] == int(best["epoch"])
    assert load_checkpoint(folder / "last.pt")["epoch"] == 6


@pytest.mark.usefixtures("quick_end")
def test_patience_stops_early(compose, tmp_path):
    settings = (*TINY, "dataset=random", "split.validation=0.2", "epochs=200", "eval_every=1")
    summary = run(compose(*settings, "patience=2", "model.dropout=0"), tmp_path / "run")
    assert summary["status"] == "stopped_early"
    assert summary["final"]["epoch"] == summary["chosen_epoch"] + 2 < 200


@pytest.mark.usefixtures("quick_end")
def test_what_was_learnt_before_the_loss_broke_stays(compose, tmp_path):
    """Rate 1e27 from the second step on, which is the second epoch: the first one's figures and
    weights are kept."""
    cfg = compose(
        *TINY, "schedule=onecycle", "epochs=20", "eval_every=1", "optimizer=sgd", "batch_size=28"
    )
    cfg.schedule.start = 1e-32
    cfg.schedule.warmup = 0.9
    cfg.optimizer.lr = 1e30
    with pytest.raises(InputError, match=r"step \d+: try a lower optimizer\.lr"):
        run(cfg, tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "diverged"
    assert "step" in summary["reason"]
    weights = load_checkpoint(tmp_path / "run" / "last.pt")["model"]
    assert all(torch.isfinite(w).all() for w in weights.values())
    assert len(rows_of(tmp_path / "run")) >= 1


def test_two_runs_never_share_a_folder(compose, tmp_path):
    run(compose(*TINY), tmp_path / "run")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    with pytest.raises(InputError, match="already holds a run"):
        run(compose(*TINY, "seed=3"), tmp_path / "run")
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


def test_a_mistake_in_the_data_leaves_no_folder(compose, tmp_path):
    cfg = compose("dataset=npy", f"dataset.path={tmp_path}/none", "hardware.num_threads=1")
    with pytest.raises(InputError, match="none"):
        run(cfg, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("optimizer.fused=true optimizer._target_=torch.optim.LBFGS", "optimizer"),
        ("hardware.device=cuda", "hardware.device=cuda finds no GPU"),
        ("dataset.num_cases=3", "split"),
        ("+optimizer.amsgrad=maybe", "optimizer cannot take a step"),
        ("augment=none augment._target_=torch.nn.ReLU", "augment cannot take"),
    ],
)
def test_what_cannot_be_built_is_a_sentence(compose, tmp_path, override, says):
    if torch.cuda.is_available() and "cuda" in override:
        override, says = "hardware.device=cpu dataset.num_cases=3", "split"
    with pytest.raises(InputError, match=says):
        run(compose(*TINY, *override.split()), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_automatic_settings_follow_the_size_of_the_set(compose):
    few = prepare(compose(*TINY, "epochs=auto", "dataset.num_cases=100"))
    many = prepare(compose(*TINY, "epochs=auto", "dataset.num_cases=400"))
    assert (few.training.batch_size, many.training.batch_size) == (16, 32)
    assert few.epochs == 120  # 600 steps of 70 cases in 5 batches
    assert few.eval_every == 3
    assert prepare(compose(*TINY, "epochs=auto", "min_steps=1")).epochs == 20


def test_a_small_signal_on_a_large_offset_is_learnt_and_a_constant_channel_is_named(
    forked_command, tmp_path
):
    """The issue's own: 1e8 ± 1 in float64, which float32 rounds to steps of 8."""
    labels = np.arange(80) % 2
    wave = np.sin(np.arange(32) * (1 + labels[:, None]) / 3)
    (tmp_path / "set").mkdir()
    np.save(tmp_path / "set/data.npy", np.stack([1e8 + wave, np.full_like(wave, 7.3)], axis=1))
    np.save(tmp_path / "set/label.npy", labels)
    done = forked_command(
        "dataset=npy", "dataset.path=set", "epochs=20", "model.width_mult=0.25",
        "hardware.num_threads=1", "hydra.run.dir=run",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = "constant in the training part, so nothing is learnt from it: channel channel_1"
    assert said in done.stderr
    assert said in (tmp_path / "run/run.log").read_text()
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["constant_channels"] == ["channel_1"]
    assert summary["test_accuracy"] == 1


@pytest.fixture
def passed(tmp_path, monkeypatch) -> tuple[list[str], list[set[str]]]:
    """What the command's one run went through: the profile and the rules, each time that they were
    asked, and which files of ours led from sys.argv to the compiled kernels, at each batch."""
    asked, files, ours = [], [], Path(raspitrain.__file__).parent
    resolve, together, call = profile.resolve_profile, rules._check_together, native._run

    def kernels(*args, **named):
        paths = [Path(f.f_code.co_filename) for f, _ in traceback.walk_stack(None)]
        led = [path.relative_to(ours) for path in paths if path.is_relative_to(ours)]
        files.append(set(map(str, led)))
        return call(*args, **named)

    monkeypatch.setattr(
        profile, "resolve_profile", lambda *args: asked.append("profile") or resolve(*args)
    )
    monkeypatch.setattr(
        rules, "_check_together", lambda *args: asked.append("rules") or together(*args)
    )
    monkeypatch.setattr(native, "_run", kernels)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["raspitrain", *TINY, "model.engine=native"])
    with process_as_it_was():
        assert main() == 0
    return asked, files


def test_the_way_of_a_configuration_and_of_a_batch_is_short(passed):
    """The profile is resolved once and the configuration checked once: the second check is of
    best.pt's, by whoever makes model.rpt of it. Few files lie between the loop and the kernels:
    docs/design.md names them."""
    assert passed[0] == ["rules", "profile", "rules"]
    led = next(each for each in passed[1] if "training/training.py" in each)
    below = {name for name in led if name.split("/")[0] not in ("cli", "run", "__main__.py")}
    assert below == {
        "training/training.py", "model/mobilenetv3.py", "model/engine/choose.py",
        "model/engine/native.py",
    }  # fmt: skip
