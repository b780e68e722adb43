"""docs/extending.md does what it says: its files and its command are run as they stand there."""

import json
import re
import shlex
import textwrap
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


def blocks() -> list[str]:
    """The indented blocks, without their indentation."""
    found = re.findall(r"(?:^    .*\n|^\n(?=\n*    ))+", PAGE.read_text(), re.MULTILINE)
    return [textwrap.dedent(block).strip("\n") for block in found]


def files() -> dict[str, str]:
    text = "\n".join(block for block in blocks() if block.startswith("# "))
    parts = re.split(r"^# (\S+\.(?:py|yaml))\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_a_network_and_a_data_set_of_ones_own(forked_command, tmp_path):
    assert files().keys() == {"sensors.py", "mine/model/two_layers.yaml", "mine/dataset/pump.yaml"}
    for name, text in files().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    labels = np.array(["new", "worn"] * 30)
    spread = np.where(labels == "worn", 3.0, 1.0)[:, None, None]
    random = np.random.default_rng(0)
    np.save(tmp_path / "vibration.npy", random.normal(size=(60, 2, 64)) * spread)
    np.save(tmp_path / "state.npy", labels)

    (command,) = (block for block in blocks() if block.startswith("python -m raspitrain"))
    words = shlex.split(command.replace("\\\n", ""))[3:]
    done = forked_command(*words, "epochs=2", "hardware.num_threads=1", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert summary["class_names"] == ["new", "worn"]
