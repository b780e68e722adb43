"""README's first commands, from recordings to answers, on the recordings that come with them."""

import csv
import json
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]


def commands() -> list[list[str]]:
    """Of README's first section: the words behind `python`."""
    section = (ROOT / "README.md").read_text().split("## Two commands")[0].replace("\\\n", " ")
    return [shlex.split(words) for words in re.findall(r"^    python (.*)$", section, re.MULTILINE)]


def test_readmes_recordings_are_learnt_and_told_apart(forked_command, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    train, predict, stream = commands()
    assert stream[:3] == ["-m", "raspitrain", "stream"]  # tried in test_use_stream.py
    for words in ([*train, "epochs=25", "hardware.num_threads=1"], [*predict, "--format", "csv"]):
        assert words[:2] == ["-m", "raspitrain"]
        done = forked_command(*words[2:])
        assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "outputs" / "motions" / "summary.json").read_text())
    assert summary["data"]["num_cases"] == 24 * 3
    assert summary["test_accuracy"] > 0.6  # chance is 0.25
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [row["class"] for row in rows] == ["walking"] * len(rows)
    assert len(rows) > 0
