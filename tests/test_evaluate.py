"""raspitrain evaluate: the figures of a run again, of another part, and of other data."""

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import composed

import raspitrain
from raspitrain.evaluate import main as evaluate
from raspitrain.results.checkpoint import load_checkpoint, save_checkpoint

RATE = 50


def record(path, hertz, seed, names=("ax", "ay"), rate=RATE):
    rng, time = np.random.default_rng(seed), np.arange(240) / rate
    wave = np.sin(2 * np.pi * hertz * time + rng.uniform(0, 6)) + rng.normal(0, 0.3, 240)
    rows = [f"{t:.4f},{v:.4f},{-v:.4f}" for t, v in zip(time, wave, strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([f"time,{','.join(names)}", *rows]) + "\n")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A run on recordings, and its folder's folder."""
    from raspitrain.run.run import run

    folder = tmp_path_factory.mktemp("evaluate")
    for seed in range(4):
        record(folder / "data" / "slow" / f"a{seed}.csv", 2, seed)
        record(folder / "data" / "=fast" / f"b{seed}.csv", 5, 50 + seed)
    words = [
        "dataset=recordings", f"dataset.path={folder / 'data'}", "dataset.length=32",
        "dataset.stride=16", "model.width_mult=0.25", "epochs=3", "hardware.num_threads=1",
        "split.validation=0.25", "split.test=0.25", "export=none",
    ]  # fmt: skip
    run(composed(*words), folder / "run", overrides=words)
    return folder


def told(capsys, *words):
    """The record that evaluating leaves, and what it shows."""
    assert evaluate([str(word) for word in words]) == 0
    shown = capsys.readouterr().out
    return json.loads(open(shown.splitlines()[-2]).read()), shown


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_test_part_again_gives_the_runs_own_figures(home, capsys):
    before = rows(home / "run" / "misclassified.csv")
    record, shown = told(capsys, home / "run")
    summary = json.loads((home / "run" / "summary.json").read_text())
    for key in ("accuracy", "macro_f1", "balanced_accuracy"):
        assert record[key] == summary[f"test_{key}"]
    for key in ("confusion_matrix", "per_class", "worst_confusions"):
        assert record[key] == summary[key]
    assert f"{100 * record['accuracy']:.1f} %" in shown
    after = rows(home / "run" / "misclassified.csv")
    assert after == before
    assert len(after) == record["misclassified"] == record["cases"] - sum(
        record["confusion_matrix"][k][k] for k in range(2)
    )  # fmt: skip


def test_each_part_and_all_of_them(home, capsys, tmp_path):
    of = {}
    for part in ("test", "validation", "train", "all"):
        of[part], _ = told(capsys, home / "run", "--part", part, "--output", tmp_path)
    best = json.loads((home / "run" / "summary.json").read_text())["best"]
    assert of["validation"]["accuracy"] == best["validation_accuracy"]
    assert of["all"]["cases"] == sum(of[part]["cases"] for part in ("test", "validation", "train"))
    wrong = rows(tmp_path / "misclassified-all.csv")
    assert len(wrong) == of["all"]["misclassified"]
    for row in wrong:
        assert float(row["time"]) == pytest.approx(int(row["start"]) / RATE, abs=1e-3)
        assert int(row["window"]) * 16 == int(row["start"])
        assert row["file"].startswith(str(home / "data"))
        assert row["true"] in ("slow", "'=fast")
        assert float(row["probability"]) > float(row["p(true)"])


def test_other_recordings_of_one_class_with_columns_in_another_order(home, capsys, tmp_path):
    record(tmp_path / "new" / "slow" / "c.csv", 2, 7, names=("ay", "ax"))
    record(tmp_path / "new" / "slow" / "d.csv", 2, 8, names=("ax", "ay"))
    found, shown = told(capsys, home / "run", "--data", tmp_path / "new", "--output", tmp_path)
    assert found["cases"] == 2 * 14
    assert [row["support"] for row in found["per_class"]] == [0, 28]
    assert "other data: 28 cases" in shown
    assert "%" not in next(line for line in shown.splitlines() if "=fast" in line)
    assert (tmp_path / "misclassified-data.csv").exists()


def test_other_rates_are_brought_to_the_models(home, capsys, tmp_path):
    record(tmp_path / "new" / "slow" / "c.csv", 2, 7, rate=100)  # 240 samples are 120 here
    record(tmp_path / "new" / "slow" / "d.csv", 2, 8)
    found, shown = told(capsys, home / "run", "--data", tmp_path / "new", "--output", tmp_path)
    assert found["cases"] == 6 + 14
    assert "1 of 2 recordings resampled to 50 Hz" in shown


def test_the_folder_of_one_class_and_one_of_its_recordings(home, capsys, tmp_path):
    for name in ("c.csv", "d[1].csv"):
        record(tmp_path / "new" / "slow" / name, 2, 7)
    record(tmp_path / "new" / "=fast" / "e.csv", 5, 7)
    for given, num_cases in (("slow", 28), ("slow/d[1].csv", 14)):
        words = ("--data", tmp_path / "new" / given, "--output", tmp_path)
        found, _ = told(capsys, home / "run", *words)
        assert [row["support"] for row in found["per_class"]] == [0, num_cases]
        for row in rows(tmp_path / "misclassified-data.csv"):
            assert Path(row["file"]).is_file()


def test_the_data_of_training_are_no_other_data(home, capsys, tmp_path):
    _, shown = told(capsys, home / "run", "--data", home / "data", "--output", tmp_path)
    assert "the run was trained on a part of these" in shown


def test_keys_beside_the_paths_say_in_what_other_data_differ(home, capsys, tmp_path):
    new = tmp_path / "new"
    record(new / "slow" / "c.csv", 2, 7)
    record(new / "quick" / "d.csv", 5, 7)
    words = (home / "run", "--output", tmp_path, "--data", new, "dataset.stride=32")
    assert evaluate([*map(str, words)]) == 2
    error = capsys.readouterr().err
    assert "the class 'quick', which the model does not know" in error
    remedy = error.split("leave it out with '")[1].split("'.")[0]
    found, _ = told(capsys, *words, remedy)
    assert found["cases"] == 7
    assert found["words"] == ["dataset.stride=32", remedy]
    assert evaluate([*map(str, words), "dataset.rte=50"]) == 2
    assert "did you mean rate?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: record(p / "run" / "c.csv", 2, 7), "the class 'run', which the model does not"),
        (lambda p: record(p / "Slow" / "c.csv", 2, 7), "'Slow' is called 'slow' in the model"),
        (lambda p: record(p / "slow" / "c.csv", 2, 7, names=("ax", "az")), "trained on ax, ay"),
        (lambda p: record(p / "c.csv", 2, 7), "stand behind the paths of --data; predict needs no"),
        (lambda p: None, "there is no"),
    ],
)
def test_data_that_do_not_fit_are_refused(home, capsys, tmp_path, make, says):
    make(tmp_path / "new")
    words = [str(home / "run"), "--data", str(tmp_path / "new"), "--output", str(tmp_path)]
    assert evaluate(words) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.glob("*.json"))


def test_arrays_by_a_network_that_the_engine_does_not_run(tmp_path, capsys):
    rng = np.random.default_rng(0)
    y = np.arange(40) % 3 + 10
    X = rng.normal(size=(40, 2, 32)) + 3 * np.sin(np.arange(32) * y[:, None, None] / 12)
    result = raspitrain.train(
        X, y, model="minirocket", output_dir=tmp_path / "run", hardware__num_threads=1
    )
    record, _ = told(capsys, tmp_path / "run")
    assert record["accuracy"] == result.metrics["test_accuracy"]
    np.savez(tmp_path / "a.npz", data=X[:5], label=y[:5])
    np.savez(tmp_path / "b.npz", data=X[5:9], label=y[5:9])
    record, _ = told(
        capsys, result.folder / "best.pt", "--data", tmp_path / "a.npz", tmp_path / "b.npz"
    )
    assert record["accuracy"] == (result.predict(X[:9]) == y[:9]).mean()
    X[:, 0] += 1
    np.save(result.folder / "data" / "data.npy", X)
    assert evaluate([str(result.folder)]) == 2
    assert "not those that the run" in capsys.readouterr().err


def test_a_part_that_is_not_there_is_refused(tmp_path, capsys, home):
    assert evaluate([str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err
    assert evaluate([str(home / "run"), "--output", str(tmp_path / "nowhere")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_a_strangers_checkpoint_runs_no_code(home, forked_command, tmp_path):
    mark = tmp_path / "pwned"
    shutil.copy(home / "run" / "best.pt", tmp_path)
    state = load_checkpoint(tmp_path / "best.pt")
    state["config"]["allowed_targets"] = ["subprocess.check_output"]
    state["config"]["dataset"] = {
        "_target_": "subprocess.check_output", "_args_": [["touch", str(mark)]],
    }  # fmt: skip
    save_checkpoint(tmp_path / "best.pt", state)
    done = forked_command("evaluate", str(tmp_path / "best.pt"))
    assert done.returncode == 2
    assert "subprocess.check_output is not allowed" in done.stderr
    assert not mark.exists()


def test_the_line_of_a_module_of_the_users_own_that_fails_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "own_mean.py").write_text(
        "from torch import nn\n"
        "class Mean(nn.Module):\n"
        "    broken = False\n"
        "    def __init__(self, num_channels, num_classes):\n"
        "        super().__init__()\n"
        "        self.head = nn.Linear(num_channels, num_classes)\n"
        "    def forward(self, x):\n"
        "        return self.head(x.mean(2)) if not self.broken else {}['x']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    X, y = np.random.default_rng(0).normal(size=(40, 2, 32)), np.arange(40) % 2
    folder = tmp_path / "run"
    raspitrain.train(
        X, y, model={"_target_": "own_mean.Mean"}, allowed_targets=["own_mean.Mean"], epochs=1,
        hardware__num_threads=1, output_dir=folder,
    )  # fmt: skip
    np.savez(tmp_path / "other.npz", data=X[:6], label=y[:6])
    monkeypatch.setattr(sys.modules["own_mean"].Mean, "broken", True)
    words = ["--data", tmp_path / "other.npz", "--allowed-targets", "own_mean.Mean"]
    assert evaluate([str(word) for word in (folder, *words)]) == 2
    said = capsys.readouterr().err
    where = f"(Mean.forward, {tmp_path}/own_mean.py, line 8)"
    assert f"model (own_mean.Mean) fails: KeyError: 'x' {where}." in said
