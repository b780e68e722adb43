"""Going on with a run: what was killed ends as if it had been left alone."""

import random
from pathlib import Path

import pytest
import torch
from conftest import TINY
from processes import AtWrite, finish, start, wait_for

from raspitrain.results.checkpoint import load_checkpoint
from raspitrain.results.table import read_rows

CLOCKS = {"seconds", "samples_per_second", "peak_memory_mb"}
# A checkpoint at nearly every step, in the middle of epochs of four.
OFTEN = ("checkpoint_minutes=0", "checkpoint_share=1")
JOB = (
    *(t for t in TINY if not t.startswith("epochs=")),
    "epochs=8", "batch_size=6", "eval_every=3", "split.validation=0.2", "schedule=onecycle",
    "augment=standard", "model.dropout=0.2", "hydra.run.dir=run", *OFTEN,
)  # fmt: skip


def result(folder: Path) -> tuple[list[dict], dict]:
    """Rows without what depends on time and memory, and everything that last.pt is exact in."""
    rows = [
        {k: v for k, v in row.items() if k not in CLOCKS}
        for row in read_rows(folder / "metrics.csv")
    ]
    return rows, load_checkpoint(folder / "last.pt")


def assert_same(folder: Path, expected: tuple[list[dict], dict]) -> None:
    rows, state = result(folder)
    assert rows == expected[0]
    assert_equal(state["model"], expected[1]["model"])
    for part in ("optimizer", "schedule", "generator", "random", "loss"):
        assert_equal(state["training"][part], expected[1]["training"][part])


def assert_equal(value, expected, where="state"):
    if isinstance(expected, dict):
        assert value.keys() == expected.keys(), where
        for key in expected:
            assert_equal(value[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list | tuple):
        assert len(value) == len(expected), where
        for k, item in enumerate(expected):
            assert_equal(value[k], item, f"{where}[{k}]")
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(value, expected), where
    else:
        assert value == expected, where


def storm(cwd: Path, job, kills: int, seed: int) -> int:
    """Run `job` and resume it until it is done, killed that often; how often it really was."""
    chance = random.Random(seed)
    killed = 0
    words = job
    folder = cwd / "run"
    while killed < kills:
        if chance.random() < 0.3:
            fault = AtWrite(chance.randrange(3, 40), error=None)
            code = finish(*words, cwd=cwd, fault=fault)
        else:
            process = start(*words, cwd=cwd)
            if words is job:
                wait_for(folder / "last.pt")
            process.join(chance.uniform(0.0, 0.4))
            process.kill()
            process.join()
            code = process.exitcode
        if code == 0:
            break
        assert code == -9, (cwd / "stderr.txt").read_text()
        killed += 1
        if (folder / "last.pt").exists():
            words = ("resume=run",)
    assert finish("resume=run", cwd=cwd) == 0, (cwd / "stderr.txt").read_text()
    return killed


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_storm(tmp_path, optimizer):
    job = (*JOB, f"optimizer={optimizer}")
    alone, stormy = tmp_path / "alone", tmp_path / "stormy"
    alone.mkdir(), stormy.mkdir()
    assert finish(*job, cwd=alone) == 0, (alone / "stderr.txt").read_text()
    print(storm(stormy, job, 8, 1))
    assert_same(stormy / "run", result(alone / "run"))
    print((stormy / "run/run.log").read_text())
    print((stormy / "run/summary.json").read_text())
