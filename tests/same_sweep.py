"""A sweep by the real command that comes to the same wherever its jobs run; what it comes to on one
host is the fixture `on_one_host`.
"""

import csv
import subprocess
import sys
from pathlib import Path

JOBS = (
    "dataset.num_cases=200", "dataset.length=64", "dataset.num_classes=2", "model.width_mult=0.25",
    "epochs=25", "batch_size=16", "hardware.num_threads=1", "checkpoint_minutes=0.01",
    "checkpoint_share=1", "seed=0,1,2,3",
)  # fmt: skip
SAME = ("test_accuracy", "test_loss", "final.train_loss", "best.train_loss", "epochs", "steps")


def start(folder: Path, *words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "raspitrain", "--multirun", *_jobs(words), *words],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def _jobs(words: tuple[str, ...]) -> list[str]:
    """JOBS without what is given another value."""
    given = {word.partition("=")[0] for word in words}
    return [word for word in JOBS if word.partition("=")[0] not in given]


def finish(process: subprocess.Popen) -> str:
    said, _ = process.communicate(timeout=500)
    assert process.returncode == 0, said
    return said


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with open(folder / "outputs/sweeps" / name / "sweep.csv", newline="") as file:
        return list(csv.DictReader(file))


def check_same(folder: Path, on_one_host: list[dict[str, str]], name: str = "over") -> None:
    found = rows(folder, name)
    assert [row["status"] for row in found] == ["completed"] * len(on_one_host)
    for here, there in zip(on_one_host, found, strict=True):
        assert {f: here[f] for f in SAME} == {f: there[f] for f in SAME}
