"""One model over boards that a script in the place of ssh reaches: folders of this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PATIENCE, TINY
from fake_ssh import FakeBoards

CONNECTION = "127.0.0.1 40000 127.0.0.1 22"
WORDS = (
    *(word for word in TINY if not word.startswith("dataset.num_cases")),
    "dataset.num_cases=100", "batch_size=10", "export=none", "distributed.sync=every_step",
    "distributed.boards=[pi@a,pi@b]", "hydra.run.dir=run",
)  # fmt: skip


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    boards = FakeBoards(tmp_path, "pi@a", "pi@b")

    def run(*words: str, connection: str = CONNECTION) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "raspitrain", *words],
            cwd=tmp_path,
            env=os.environ | boards.variables | {"SSH_CONNECTION": connection},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120 * PATIENCE,
        )  # fmt: skip

    return run


def test_one_model_over_two_boards(tmp_path, command):
    done = command(*WORDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 ranks, shares" in done.stdout
    assert f"folder         {tmp_path}/run" in done.stdout
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert (summary["ranks"]["num_ranks"], summary["steps"]) == (2, 8)
    assert not (tmp_path / "run" / "stderr.log").exists()


@pytest.mark.parametrize(
    ("words", "connection", "sentence"),
    [
        ([], "8.8.4.4 40000 8.8.8.8 22", "is a public address"),
        ([], "", "pi@a does not say by which address ssh reaches it"),
        (["task=throughput"], CONNECTION, "task=throughput measures one board"),
        (["--multirun", "seed=0,1"], CONNECTION, "distributed.boards is for one model"),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path, command, words, connection, sentence):
    done = command(*WORDS, *words, connection=connection)
    assert done.returncode == 2, done.stdout + done.stderr
    assert sentence in done.stderr
    assert not (tmp_path / "run").exists()
