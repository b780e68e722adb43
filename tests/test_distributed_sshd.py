"""One model over boards with a real sshd for each: make test-boards, as root (sshd.py)."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from conftest import PATIENCE, TINY, wait_for
from sshd import Boards

from raspitrain.results.checkpoint import load_checkpoint

pytestmark = pytest.mark.boards

BOARDS = ("board_a", "board_b", "board_c")
WORDS = (
    *(word for word in TINY if not word.startswith(("epochs", "dataset.num_cases"))),
    "dataset.num_cases=200", "batch_size=10", "export=none", "checkpoint_minutes=0",
    "checkpoint_share=1", "hydra.run.dir=run",
)  # fmt: skip
BACK_SECONDS = 30.0 * PATIENCE


@pytest.fixture
def boards(tmp_path: Path) -> Iterator[Boards]:
    made = Boards(tmp_path, BOARDS, "distributed")
    yield made
    made.close()


class Command:
    """The real command, and each line that it prints with the moment at which it came."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "raspitrain", *words],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.lines: list[tuple[float, str]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append((time.monotonic(), line.rstrip()))

    @property
    def said(self) -> str:
        return "\n".join(line for _, line in self.lines)

    def epochs_since(self, moment: float) -> list[float]:
        return [at for at, line in self.lines if at > moment and line.startswith("epoch ")]

    def wait_for_epochs(self, number: int, moment: float = 0.0) -> None:
        assert wait_for(lambda: len(self.epochs_since(moment)) >= number, 120), self.said

    def ends(self, code: int = 0) -> str:
        assert self.process.wait(300) == code, self.said
        time.sleep(0.2)
        return self.said


def begun(folder: Path, boards: Boards, epochs: int, sync: str = "every_step") -> None:
    """A run in folder/run with a few epochs behind it, and its shares settled."""
    command = Command(folder, *WORDS, f"epochs={epochs}", f"distributed.sync={sync}", *boards.words)
    command.wait_for_epochs(2)
    command.process.send_signal(signal.SIGINT)
    said = command.ends(130)
    assert f"to resume      python -m raspitrain resume={folder}/run" in said
    assert "distributed.boards=" in said
    assert boards.jobs() == []


def assert_same_end(folder: Path, other: Path) -> None:
    here, there = (load_checkpoint(each / "last.pt") for each in (folder, other))
    assert here["step"] == there["step"]
    for name, tensor in here["model"].items():
        assert torch.equal(tensor, there["model"][name]), name


def summary_of(folder: Path) -> dict:
    return json.loads((folder / "run" / "summary.json").read_text())


@pytest.mark.parametrize("sync", ["every_step", "3"])
def test_ranks_killed_at_any_moment_cost_no_bit_and_half_a_minute(tmp_path, boards, sync):
    kills = int(os.environ.get("RASPITRAIN_KILLS", "3"))
    begun(tmp_path, boards, 100 + 5 * kills, sync)
    shutil.copytree(tmp_path / "run", tmp_path / "whole")
    (tmp_path / "whole" / ".raspitrain-boards").unlink()
    Command(tmp_path, "resume=whole", *boards.words).ends()
    choice = random.Random(sync)
    command = Command(tmp_path, "resume=run", *boards.words)
    command.wait_for_epochs(1)
    taken = []
    for _ in range(kills):
        time.sleep(choice.uniform(0, 1))
        choice.choice(boards.jobs()).kill()
        killed = time.monotonic()
        time.sleep(1)  # what was said before is through
        command.wait_for_epochs(1, killed + 1)
        taken.append(command.epochs_since(killed + 1)[0] - killed)
    said = command.ends()
    print("seconds until the next epoch was done:", [round(each, 1) for each in taken])
    assert max(taken) < BACK_SECONDS, said
    assert said.count("3 of 3 boards go on") == len(taken)
    assert_same_end(tmp_path / "whole", tmp_path / "run")
    found = summary_of(tmp_path)
    assert found["status"] == "completed"
    assert all("killed" in part["why"] for part in found["resumed"][1:])


@pytest.mark.parametrize(("which", "is_silent"), [(0, False), (0, True), (2, True)])
def test_a_power_cut_leaves_the_others_at_work_and_the_board_is_taken_back(
    tmp_path, boards, which, is_silent
):
    command = Command(tmp_path, *WORDS, "epochs=400", "distributed.sync=every_step", *boards.words)
    command.wait_for_epochs(3)
    time.sleep(6)  # a checkpoint comes here every five seconds
    if is_silent:  # nobody is told: there is no answer any more, and that is all
        for process in boards.processes(BOARDS[which]):
            process.suspend()
    else:
        boards.power_cut(BOARDS[which])
    cut = time.monotonic()
    time.sleep(1)
    command.wait_for_epochs(1, cut + 1)
    taken = command.epochs_since(cut + 1)[0] - cut
    print(f"seconds until the next epoch was done: {taken:.1f}")
    assert taken < BACK_SECONDS, command.said
    others = [name for name in BOARDS if name != BOARDS[which]]
    assert f"2 of 3 boards go on: {', '.join(others)}" in command.said
    if is_silent:
        boards.power_cut(BOARDS[which])
    boards.start(BOARDS[which])
    assert wait_for(lambda: "a board is back; 3 of 3 boards go on" in command.said, 60)
    back = time.monotonic()
    command.wait_for_epochs(2, back)
    command.process.send_signal(signal.SIGTERM)
    said = command.ends(143)
    assert boards.jobs() == []
    found = summary_of(tmp_path)
    assert [len(part["not_exact"]) for part in found["resumed"]] == [1, 1], said
    assert "2 of 3 boards" in found["resumed"][0]["not_exact"][0]
    assert "3 of 3 boards" in found["resumed"][1]["not_exact"][0]
    assert (found["ranks"]["num_ranks"], found["ranks"]["begun_with"]) == (3, 3)
    assert found["resumed"][0]["step"] > 0
    # Five steps an epoch by three boards, and by two.
    last = re.findall(r"epoch (\d+)/400", said)[-1]
    assert found["steps"] // 5 in (int(last), int(last) + 1)


def test_a_coordinator_that_is_killed_costs_no_bit(tmp_path, boards):
    begun(tmp_path, boards, 60)
    shutil.copytree(tmp_path / "run", tmp_path / "whole")
    (tmp_path / "whole" / ".raspitrain-boards").unlink()
    Command(tmp_path, "resume=whole", *boards.words).ends()
    words = [*WORDS, "epochs=60", "distributed.sync=every_step", *boards.words, "resume=auto"]
    command = Command(tmp_path, *words)
    command.wait_for_epochs(2)
    command.process.kill()
    command.process.wait()
    Command(tmp_path, *words).ends()
    assert_same_end(tmp_path / "whole", tmp_path / "run")


def test_data_go_over_once_and_this_machine_trains_along(tmp_path, boards):
    import numpy as np

    signals = np.random.default_rng(0).normal(size=(200, 2, 32)).astype(np.float32)
    np.savez(tmp_path / "cases.npz", data=signals, label=np.arange(200) % 2)
    words = [w for w in WORDS if not w.startswith("dataset.")]
    words += ["dataset=npz", "dataset.path=cases.npz", "epochs=3", "distributed.sync=every_step"]
    config = boards.words[1]

    def run(names: Sequence[str], *more: str) -> str:
        listed = ",".join(name if name == "here" else f"{name}:./python" for name in names)
        return Command(tmp_path, *words, f"distributed.boards=[{listed}]", config, *more).ends()

    assert "2 ranks" in run(["here", "board_a"])
    kept = next((boards.folder / "board_a/.cache/raspitrain/boards/data").glob("*/cases.npz"))
    before = kept.stat()
    assert "1 rank" in run(["board_a"], "hydra.run.dir=alone")
    assert kept.stat().st_ino == before.st_ino
    assert summary_of(tmp_path)["ranks"]["num_ranks"] == 2
    longer = Command(
        tmp_path, "resume=run", "epochs=5", "distributed.boards=[board_b:./python]", config
    ).ends()
    assert "1 of 2 boards" in longer
    found = summary_of(tmp_path)
    # 140 cases to train on: the batch is that of two boards still.
    assert (found["ranks"]["num_ranks"], found["steps"]) == (1, 5 * 7)
    assert "epoch 5/5" in longer


def test_what_will_not_do_is_said_and_leaves_nothing(tmp_path, boards):
    words = [*WORDS, "epochs=3", *boards.words]
    boards.power_cut("board_b")
    said = Command(tmp_path, *words).ends(75)
    assert "board_b does not answer" in said
    assert "Leave it out of distributed.boards" in said
    assert not (tmp_path / "run").exists()
    boards.start("board_b")
    few = [word for word in words if not word.startswith("batch_size")]
    refused = Command(tmp_path, *few, "batch_size=2").ends(2)
    assert "raise batch_size, use fewer boards, or train on one" in refused
    assert not (tmp_path / "run").exists()
