"""The recipes of docs/design.md, each carried out on a copy of the package; trackers, figures and
users' own components have tests of their own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE, TINY

ROOT = Path(__file__).parents[1]
MODULES = {
    "raspitrain/model/two_layers.py": """
from torch import nn

from raspitrain.model.layers import conv_norm, pooled_classifier


class TwoLayers(nn.Sequential):
    def __init__(self, *, num_channels, num_classes, width):
        super().__init__(
            conv_norm(num_channels, width, 7), pooled_classifier(width, num_classes)
        )
""",
    "conf/model/two_layers.yaml": """
_target_: raspitrain.model.two_layers.TwoLayers
width: 8
""",
    "raspitrain/data/steps.py": """
import numpy as np

from raspitrain.data.cases import make_cases


def steps(*, num_cases, seed):
    labels = np.arange(num_cases) % 2
    signals = np.random.default_rng(seed).normal(size=(num_cases, 1, 32)).astype(np.float32)
    signals[:, :, 16:] += 4 * labels[:, None, None]
    return make_cases(signals, labels, source="steps", missing="error")
""",
    "conf/dataset/steps.yaml": """
_target_: raspitrain.data.steps.steps
num_cases: 60
seed: ${seed}
""",
    "raspitrain/export/listing.py": """
import json

from raspitrain.results.atomic import write_atomic


def write_listing(path, network, arrays, contract, answer, provenance):
    sizes = {"classes": answer.classes, "weights": sum(array.size for array in arrays)}
    write_atomic(path, json.dumps(sizes).encode())
""",
}
ROWS = {  # a file, the line before which a row is added, the row
    "raspitrain/config/rules.py": (
        '    "raspitrain.model.fcn.FCN": WIDTH,\n',
        '    "raspitrain.model.two_layers.TwoLayers": {"width": whole(1, most=64)},\n'
        '    "raspitrain.data.steps.steps": {"num_cases": whole(2), "seed": whole(0)},\n',
    ),
    "raspitrain/export/formats.py": (
        '    "c": Format(\n',
        '    "listing": Format("model.json", "what it weighs", write_listing),\n',
    ),
}
COMMANDS = """
import json, sys
from raspitrain.__main__ import main
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    if code := main():
        sys.exit(code)
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Path:
    """A copy of the package with one network, one data set and one export format more."""
    house = tmp_path_factory.mktemp("house")
    for name in ("raspitrain", "conf", "hydra_plugins"):
        shutil.copytree(ROOT / name, house / name)
    for name, text in MODULES.items():
        (house / name).write_text(text.lstrip())
    for name, (before, row) in ROWS.items():
        text = (house / name).read_text()
        assert text.count(before) == 1
        (house / name).write_text(text.replace(before, row + before))
    formats = house / "raspitrain/export/formats.py"
    line = "from raspitrain.export.listing import write_listing\n"
    formats.write_text(
        formats.read_text().replace("\n\nif TYPE_CHECKING", f"\n{line}\nif TYPE_CHECKING")
    )
    return house


def commands(house: Path, cwd: Path, *each: list[str]) -> subprocess.CompletedProcess[str]:
    """The copy's command, once for each list of words, in one process."""
    return subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(each)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(house)},
        capture_output=True,
        text=True,
        timeout=120 * PATIENCE,
    )


def test_a_network_a_data_set_and_an_export_format_take_three_files_each(house, tmp_path):
    done = commands(
        house,
        tmp_path,
        ["model=two_layers", "dataset=steps", "epochs=10", "optimizer.lr=0.01",
         "hardware.num_threads=1", "hydra.run.dir=steps"],
        [*TINY, "export=none", "hydra.run.dir=run"],
        ["export", "run", "--format", "listing"],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "steps/summary.json").read_text())["test_accuracy"] == 1
    sizes = json.loads((tmp_path / "run/model.json").read_text())
    assert sizes["classes"] == ["0", "1"]
    assert sizes["weights"] > 1000


def test_a_key_of_a_new_network_is_held_to_its_own_rule(house, tmp_path):
    done = commands(house, tmp_path, ["model=two_layers", "model.width=100"])
    assert done.returncode == 2
    assert "model.width must be a whole number from 1 to 64, not 100" in done.stderr
