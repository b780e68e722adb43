"""summary.json and environment.json."""

import json
import math
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import raspitrain
from raspitrain.hardware import board
from raspitrain.results.json_file import write_json
from raspitrain.results.summary import write_summary
from raspitrain.run import environment
from raspitrain.run.environment import environment_record, git_state, peak_memory_mb


def written(path, value):
    write_json(path, value)

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


# JSON

text = st.text('aä走😀"\\\n\0\u2028', max_size=6)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
)


@given(st.dictionaries(text, plain, max_size=4))
@settings(deadline=None)
def test_plain_values_come_back_as_they_were(tmp_path_factory, value):
    assert written(tmp_path_factory.getbasetemp() / "any.json", value) == json.loads(
        json.dumps(value)
    )


def test_figures_of_numpy_and_torch_become_plain(tmp_path):
    value = {
        "nan": math.nan,
        "inf": [-math.inf, np.float32("nan")],
        "scalar": np.float64(0.5),
        "count": np.int64(3),
        "flag": np.bool_(True),
        "matrix": np.arange(4).reshape(2, 2),
        "tensor": torch.tensor([1.0, math.inf]),
        "pair": (1, 2),
        "path": Path("a/b"),
        1: None,
    }
    assert written(tmp_path / "a.json", value) == {
        "nan": None,
        "inf": [None, None],
        "scalar": 0.5,
        "count": 3,
        "flag": True,
        "matrix": [[0, 1], [2, 3]],
        "tensor": [1.0, None],
        "pair": [1, 2],
        "path": "a/b",
        "1": None,
    }


def test_a_name_that_is_no_text_is_kept(tmp_path):
    assert written(tmp_path / "a.json", {"class": "x\udc80"}) == {"class": "x\udc80"}


def test_what_json_has_no_word_for_is_refused(tmp_path):
    with pytest.raises(TypeError, match="no word for a object"):
        write_json(tmp_path / "a.json", {"a": object()})
    assert os.listdir(tmp_path) == []


def test_a_matrix_has_a_line_a_row(tmp_path):
    write_json(tmp_path / "a.json", {"m": [[1, 2], [3, 4]], "d": {"x": 1, "y": 2}, "e": {}})
    assert (tmp_path / "a.json").read_text() == (
        '{\n  "m": [\n    [1, 2],\n    [3, 4]\n  ],\n  "d": {"x": 1, "y": 2},\n  "e": {}\n}\n'
    )


# summary.json


def test_the_summary_begins_with_accuracy_and_status(tmp_path):
    summary = {"my_key": 1, "per_class": [], "epochs": 3, "status": "completed"}
    write_summary(tmp_path / "summary.json", summary | {"test_accuracy": np.float64("nan")})
    read = json.loads((tmp_path / "summary.json").read_text())
    assert list(read) == ["test_accuracy", "status", "epochs", "per_class", "my_key"]
    assert read["test_accuracy"] is None


@pytest.mark.parametrize("missing", ["test_accuracy", "status"])
def test_a_summary_without_its_top_is_refused(tmp_path, missing):
    summary = {"test_accuracy": 1.0, "status": "completed"}
    del summary[missing]
    with pytest.raises(KeyError, match=missing):
        write_summary(tmp_path / "summary.json", summary)


# environment.json


def test_the_environment_can_be_written_and_names_what_matters(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_PROC_BIND", "true")
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    record = written(tmp_path / "environment.json", environment_record())
    machine = record["machine"]
    assert 1 <= machine["cores_available"] <= machine["cores_logical"]
    assert 0 < machine["memory_available_mb"] <= machine["memory_total_mb"]
    assert machine["architecture"] == os.uname().machine
    assert record["python"] == sys.version.split()[0]
    assert record["versions"]["raspitrain"] == raspitrain.__version__
    assert record["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert record["versions"]["hydra-core"].startswith("1.3")
    assert record["thread_variables"]["OMP_PROC_BIND"] == "true"
    assert "s3cret" not in str(record)
    assert record["torch"]["num_threads"] == torch.get_num_threads()
    assert any("ATen" in line for line in record["torch"]["parallel_info"])


def test_the_environment_imports_nothing_heavy():
    code = (
        "import sys; from raspitrain.run.environment import environment_record as e;"
        "assert e()['torch'] is None;"
        "assert not {'torch', 'matplotlib', 'numpy', 'hydra', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_peak_memory_grows_with_what_is_held():
    code = (
        "from raspitrain.run.environment import peak_memory_mb as p; a = p();"
        "b = bytearray(50_000_000); b[::4096] = b'1' * len(b[::4096]); print(a, p())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    before, after = map(float, done.stdout.split())
    assert 3 < before < 100
    assert 45 < after - before < 60


def test_peak_memory_without_proc(monkeypatch, tmp_path):
    monkeypatch.setattr(board, "ROOT", tmp_path)
    expected = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    assert peak_memory_mb() == pytest.approx(expected, rel=0.01)


WHERE = r"*rev-parse*) printf '/\n.git\n.git/index\nabc123\n';;"  # top, folder, index, commit


def fake_git(folder, script):
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    return str(folder)


def test_the_commit_and_whether_files_have_changed(monkeypatch, tmp_path):
    answers = f'case "$*" in {WHERE} *status*) echo "$CHANGES";; esac'
    monkeypatch.setenv("PATH", fake_git(tmp_path / "bin", answers), prepend=":")
    assert git_state(tmp_path) == {"commit": "abc123", "dirty": False}
    monkeypatch.setenv("CHANGES", " M model.py")
    assert git_state(tmp_path) == {"commit": "abc123", "dirty": True}


def test_no_repository_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", fake_git(tmp_path / "bin", "exit 128"), prepend=":")
    assert git_state(tmp_path) is None


def test_no_git_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) is None


def test_a_git_that_hangs_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "GIT_SECONDS", 0.2)
    monkeypatch.setenv("PATH", fake_git(tmp_path / "bin", "exec sleep 60"), prepend=":")
    assert git_state(tmp_path) is None


def test_an_installed_package_in_someones_repository_has_no_commit(tmp_path, monkeypatch):
    answers = f'case "$*" in {WHERE} esac'
    monkeypatch.setenv("PATH", fake_git(tmp_path / "bin", answers), prepend=":")
    (tmp_path / "__init__.py").write_text("")
    assert git_state(tmp_path / "__init__.py") is None
    assert git_state(tmp_path) is not None
