"""The wheel of the runtime: on a board without torch, numpy and a compiler."""

import importlib.util
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from test_use_commands import model_file

PACKAGING = Path(__file__).parents[1] / "packaging"


def use_wheel():
    spec = importlib.util.spec_from_file_location("use_wheel", PACKAGING / "use_wheel.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_runtime_brings_nothing_of_training():
    """And nothing at the head of a module that is not Python's own or in the wheel."""
    wheel = use_wheel()
    brought = wheel.modules()
    assert "raspitrain/use/predict.py" in brought
    rooms = {name.split("/")[1].removesuffix(".py") for name in brought}
    assert not rooms & {"training", "model", "run", "export", "tuning", "hardware", "config"}
    for name in brought:
        heads = {module.split(".")[0] for module in wheel.imported(PACKAGING.parent / name)}
        outside = heads - {"raspitrain"} - sys.stdlib_module_names
        assert outside <= {"numpy"}, name  # for .npy and .npz alone, inside a function


@pytest.mark.long
def test_a_model_is_used_from_the_wheel_alone(tmp_path):
    words = [sys.executable, PACKAGING / "use_wheel.py", "--machine", platform.machine()]
    subprocess.run([*words, "--output", tmp_path / "dist"], check=True)
    (wheel,) = (tmp_path / "dist").iterdir()
    assert wheel.stat().st_size < 500_000
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "board"], check=True)
    board = tmp_path / "board" / "bin"
    install = [board / "python", "-m", "pip", "install", "--no-index", "--no-deps", wheel]
    subprocess.run(install, check=True)
    model = model_file(tmp_path / "model.rpt")
    recording = tmp_path / "new.csv"
    recording.write_text("x,y\n" + "\n".join(f"{n % 7},{n % 5}" for n in range(64)))
    (tmp_path / "home").mkdir()
    bare = {"PATH": str(board), "HOME": str(tmp_path / "home")}  # no compiler
    ask = ["predict", str(model), str(recording), "--format", "ndjson"]

    def answers(*words, **given):
        done = subprocess.run(words, check=True, capture_output=True, text=True, **given)
        return [json.loads(line) for line in done.stdout.splitlines()]

    alone = answers(str(board / "raspitrain"), *ask, env=bare, cwd=tmp_path)
    assert len(alone) > 1
    assert not any((tmp_path / "home").iterdir())  # nothing was compiled
    ours = answers(sys.executable, "-m", "raspitrain", *ask, env=dict(os.environ), cwd=tmp_path)
    assert alone == ours
    for heavy in ("torch", "numpy"):
        tried = subprocess.run([board / "python", "-c", f"import {heavy}"], capture_output=True)
        assert tried.returncode != 0
