"""task=throughput: warm steps timed, nothing trained to an end."""

import json

import pytest
from conftest import TINY

from raspitrain.run.run import run
from raspitrain.run.throughput import LEAST_WARM_STEPS, StepTimes, TimeIsUpError

SHORT = (*TINY, "task=throughput", "throughput.seconds=0.1", "throughput.warmup_seconds=0")


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_only_warm_steps_count():
    clock = Clock()
    times = StepTimes(warmup_seconds=0.5, measured_seconds=1.0, clock=clock)
    steps = [0.3] * LEAST_WARM_STEPS + [0.1, 0.2, 0.4, 0.3]
    for seconds in steps[:-1]:
        clock.now += seconds
        times.end_step(16)
    clock.now += steps[-1]
    with pytest.raises(TimeIsUpError):
        times.end_step(16)
    assert times.seconds == pytest.approx([0.1, 0.2, 0.4, 0.3])
    figures = times.figures()
    assert figures["steps"] == 4
    assert figures["samples_per_second"] == pytest.approx(64)
    assert figures["ms_per_step"] == pytest.approx(250)
    low, high = figures["ms_per_step_quartiles"]
    assert 100 <= low <= 250 <= high <= 400


def test_a_slow_step_counts_as_one():
    clock = Clock()
    times = StepTimes(warmup_seconds=0, measured_seconds=1.0, clock=clock)
    for _ in range(LEAST_WARM_STEPS):
        clock.now += 5
        times.end_step(8)
    clock.now += 5
    with pytest.raises(TimeIsUpError):
        times.end_step(8)
    assert times.figures()["ms_per_step"] == pytest.approx(5000)


def test_it_leaves_figures_and_no_model(compose, tmp_path):
    summary = run(compose(*SHORT), tmp_path / "run", overrides=SHORT)
    assert summary == json.loads((tmp_path / "run" / "summary.json").read_text()) | {
        "total_seconds": summary["total_seconds"]
    }
    assert (summary["status"], summary["task"]) == ("completed", "throughput")
    assert summary["samples_per_second"] > 0
    assert summary["ms_per_step"] > 0
    assert summary["peak_memory_mb"] > 50
    assert set(summary["thermal"]) >= {"temperature_before_c", "temperature_after_c"}
    left = {p.name for p in (tmp_path / "run").iterdir()}
    assert not {"metrics.csv", "last.pt", "best.pt"} & left
    assert "epochs: 2" in (tmp_path / "run" / "config.yaml").read_text()


def test_a_run_of_one_epoch_is_timed_all_the_same(compose, tmp_path):
    words = [*(w for w in SHORT if not w.startswith("epochs=")), "epochs=1"]
    assert run(compose(*words), tmp_path / "run", overrides=words)["steps"] >= 1
