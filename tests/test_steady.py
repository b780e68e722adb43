"""A run of weeks holds no more memory, files or log than one of an hour."""

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from raspitrain.results import log as log_module
from raspitrain.results import screen as screen_module
from raspitrain.results.log import logging_to
from raspitrain.results.screen import Screen

# Memory and open files at two rows of metrics.csv, noted from within the run as it writes them.
SCRIPT = """
import json, os, sys
from raspitrain.cli.main import main
from raspitrain.hardware.memory import resident_bytes
from raspitrain.results import atomic

marks, rows, seen = [int(word) for word in sys.argv[1].split(",")], 0, []

def note(stage, path):
    global rows
    if stage == "append":
        rows += 1
        if rows in marks:
            seen.append({"rows": rows, "mb": resident_bytes() / 1e6,
                         "files": sorted(os.listdir("/proc/self/fd"))})

atomic.on_write = note
sys.argv = ["raspitrain", *sys.argv[2:]]
code = main()
print("SEEN", json.dumps(seen))
sys.exit(code)
"""
SMALLEST = (
    "dataset.num_cases=8", "dataset.num_channels=1", "dataset.length=8", "dataset.num_classes=2",
    "model.width_mult=0.05", "split.test=0.5", "batch_size=4", "hardware.num_threads=1",
    "hydra.run.dir=run",
)  # fmt: skip


def run(folder: Path, warm: int, end: int, *more: str) -> list[dict]:
    done = subprocess.run(
        [
            sys.executable, "-c", SCRIPT, f"{warm},{end}", *SMALLEST, *more, f"epochs={end}",
            "eval_every=1",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=3000,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *lines, seen = done.stdout.splitlines()
    assert len(lines) < 200 + end / 100  # a journal is not flooded either
    return json.loads(seen.removeprefix("SEEN "))


@pytest.mark.parametrize(
    ("warm", "end"), [(100, 250), pytest.param(1000, 20_000, marks=pytest.mark.long)]
)
def test_memory_and_open_files_do_not_grow_with_epochs(warm, end, tmp_path):
    before, after = run(tmp_path, warm, end)
    assert (before["rows"], after["rows"]) == (warm, end)
    assert after["mb"] - before["mb"] < 5
    assert len(after["files"]) == len(before["files"])


def test_a_long_run_fills_no_journal(monkeypatch):
    now = 0.0
    monkeypatch.setattr(screen_module.time, "monotonic", lambda: now)
    stream = io.StringIO()
    with Screen(100_000, 1, stream=stream) as screen:
        for epoch in range(1, 100_001):
            now += 0.36  # ten hours in all
            screen.evaluation({"epoch": epoch})
    lines = stream.getvalue().splitlines()
    assert len(lines) <= 101 + 10 * 360
    assert lines[0].startswith("epoch 1/")
    assert lines[-1].startswith("epoch 100000/")


def test_the_log_keeps_what_is_latest_and_not_all(tmp_path, monkeypatch):
    monkeypatch.setattr(log_module, "LOG_BYTES", 10_000)
    with logging_to(tmp_path):
        for number in range(2000):
            logging.getLogger("raspitrain").info("line %d", number)
    assert sorted(os.listdir(tmp_path)) == ["run.log", "run.log.1"]
    assert sum((tmp_path / name).stat().st_size for name in os.listdir(tmp_path)) < 20_500
    assert "line 1999" in (tmp_path / "run.log").read_text()
