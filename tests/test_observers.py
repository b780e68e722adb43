"""Observers: a tracker of the user's own is one class and one YAML."""

import json
from pathlib import Path

import pytest
from conftest import TINY
from omegaconf import open_dict
from processes import finish

from raspitrain.errors import InputError
from raspitrain.run.observers import Observer
from raspitrain.run.resume import resume
from raspitrain.run.run import run

JOB = (*TINY, "eval_every=1", "batch_size=14")  # two steps an epoch
TRACKER = '''"""A tracker."""

import json
from raspitrain.run.observers import Observer


class Lines(Observer):
    def __init__(self, name):
        self.name = name

    def begin(self, folder, config):
        self.file = open(folder / self.name, "a")
        self.write(begin=config["seed"])

    def step(self, step):
        self.write(num_cases=step.num_cases, loss=step.read_loss(), seconds=step.seconds)

    def evaluation(self, evaluation):
        self.write(epoch=evaluation.row["epoch"], accuracy=evaluation.row["test_accuracy"])

    def end(self, summary):
        self.write(status=summary["status"])
        self.file.close()

    def write(self, **what):
        print(json.dumps(what), file=self.file)
'''


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "run" / "lines.jsonl").read_text().splitlines()]


def test_a_tracker_is_one_file_and_one_yaml(tmp_path, monkeypatch):
    """By the real command, with nothing changed in the package; it can be resumed."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_tracker.py").write_text(TRACKER)
    (tmp_path / "mine" / "tracker").mkdir(parents=True)
    yaml = "_target_: my_tracker.Lines\nname: lines.jsonl\n"
    (tmp_path / "mine" / "tracker" / "lines.yaml").write_text(yaml)
    allowed = "allowed_targets=[my_tracker.Lines]"
    words = ("--config-dir", "mine", "tracker=lines", allowed, "hydra.run.dir=run")
    assert finish(*JOB, *words, cwd=tmp_path) == 0, (tmp_path / "stderr.txt").read_text()
    lines = lines_of(tmp_path)
    kinds = [next(iter(line)) for line in lines]
    assert kinds == ["begin", *2 * ["num_cases", "num_cases", "epoch"], "status"]
    assert lines[1]["num_cases"] == 14
    assert lines[1]["loss"] > 0
    assert lines[-1] == {"status": "completed"}
    assert finish("resume=run", "epochs=3", allowed, cwd=tmp_path) == 0
    lines = lines_of(tmp_path)
    assert [line["epoch"] for line in lines if "epoch" in line] == [1, 2, 3]


class Breaks(Observer):
    def __init__(self, method):
        setattr(self, method, self.fail)
        self.told = 0

    def fail(self, *what):
        self.told += 1
        assert self.told == 1
        raise RuntimeError("no network")


@pytest.mark.parametrize("method", ["begin", "step", "evaluation", "end"])
@pytest.mark.usefixtures("quick_end")
def test_a_tracker_that_fails_costs_no_run(compose, tmp_path, method):
    cfg = compose(*JOB, "allowed_targets=[test_observers.Breaks]")
    with open_dict(cfg):
        cfg.tracker = {"_target_": "test_observers.Breaks", "method": method}
    assert run(cfg, tmp_path / "run")["status"] == "completed"
    log = (tmp_path / "run" / "run.log").read_text()
    assert log.count("tracker: Breaks") == 1
    assert f"Breaks.{method} failed" in log
    assert "RuntimeError: no network" in log


def test_what_is_no_tracker_is_refused(compose, tmp_path):
    cfg = compose(*JOB)
    for tracker, says in (
        ({"_target_": "torch.nn.ReLU"}, "tracker must be a raspitrain.run.observers.Observer"),
        ({"_target_": "os.system"}, "not allowed"),
    ):
        with open_dict(cfg):
            cfg.tracker = tracker
        with pytest.raises(InputError, match=says):
            run(cfg, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("quick_end")
def test_a_run_of_a_version_without_trackers_is_resumed(compose, tmp_path):
    """Its configuration has no such key."""
    run(compose(*JOB), tmp_path / "run")
    assert "tracker" not in (tmp_path / "run" / "config.yaml").read_text()
    assert resume(Path(tmp_path / "run"), ["epochs=3"])["final"]["epoch"] == 3
