"""Folders of .npy files and .npz archives, in every form that numpy writes them."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from conftest import defaults
from hypothesis import given, settings
from hypothesis import strategies as st

from raspitrain.data.arrays import npy, npz
from raspitrain.data.files.npy_file import StoredSignals, load_npy
from raspitrain.errors import InputError

RNG = np.random.default_rng(0)
SIGNALS = RNG.normal(0, 1000, (7, 3, 20))
LABELS = np.array(["walk", "run", "walk", "run", "run", "walk", "run"])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", ">f4", ">i2", "uint8", "float16"])
def test_a_folder_gives_the_cases_as_they_are_stored(dtype, tmp_path):
    signals = SIGNALS.astype(dtype)
    np.save(tmp_path / "data.npy", signals)
    np.save(tmp_path / "label.npy", LABELS)
    cases = npy(**defaults("npy", path=str(tmp_path)))
    assert cases.signals.shape == (7, 3, 20)
    assert cases.signals.dtype == np.dtype(dtype)
    for wanted in ([3], [6, 0, 3, 3, 1], [2, 3, 4], [0, 1, 2, 3, 4, 5, 6], []):
        indices = np.array(wanted, dtype=np.int64)
        assert np.array_equal(cases.signals[indices], signals[indices])
    assert cases.class_names == ("run", "walk")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_gives_the_arrays_that_are_named(save, tmp_path):
    part = np.array([0, 0, 0, 1, 1, 2, 2])
    save(tmp_path / "set.npz", X=np.asfortranarray(SIGNALS), y=LABELS, who=LABELS, part=part)
    names = {"data": "X", "label": "y", "groups": "who", "part": "part"}
    cases = npz(**defaults("npz", path=str(tmp_path / "set.npz"), **names))
    assert np.array_equal(cases.signals[np.arange(7)], SIGNALS)
    assert cases.labels.tolist() == [1, 0, 1, 0, 0, 1, 0]
    assert np.array_equal(cases.groups, cases.labels)
    assert np.array_equal(cases.part, part)


def test_a_path_may_be_relative_or_start_from_home(tmp_path, monkeypatch):
    np.save(tmp_path / "data.npy", SIGNALS)
    np.save(tmp_path / "label.npy", LABELS)
    monkeypatch.chdir(tmp_path.parent)
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    for path in (tmp_path.name, f"./{tmp_path.name}/", f"~/{tmp_path.name}"):
        assert npy(**defaults("npy", path=path)).signals.shape == (7, 3, 20)


@settings(max_examples=150)
@given(
    flips=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 400),
)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(flips, cut, tmp_path_factory):
    file = tmp_path_factory.mktemp("npy") / "data.npy"
    np.save(file, np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    content = bytearray(file.read_bytes())
    for place, value in flips:
        if place < len(content):
            content[place] = value
    file.write_bytes(content[: max(len(content) - cut, 0)])
    for read in (StoredSignals, load_npy):
        with suppress(InputError):
            read(file)


@settings(max_examples=150)
@given(
    flips=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 50),
    compressed=st.booleans(),
)
def test_a_damaged_archive_is_read_or_refused_and_nothing_else(
    flips, cut, compressed, tmp_path_factory
):
    file = tmp_path_factory.mktemp("npz") / "set.npz"
    save = np.savez_compressed if compressed else np.savez
    save(file, data=np.arange(24, dtype=np.int16).reshape(2, 3, 4), label=np.array([0, 1]))
    content = bytearray(file.read_bytes())
    for place, value in flips:
        content[place % len(content)] = value
    file.write_bytes(content[: len(content) - cut])
    with suppress(InputError):
        npz(**defaults("npz", path=str(file)))


def test_a_set_is_checked_measured_and_gathered_in_bounded_memory(tmp_path):
    """A sparse file of 0.5 GB: no disk is filled, but every byte of it is read."""
    num_cases, num_channels, length = 20_000, 4, 1600
    with (tmp_path / "data.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file,
            {"descr": "<f4", "fortran_order": False, "shape": (num_cases, num_channels, length)},
        )
        file.truncate(file.tell() + 4 * num_cases * num_channels * length)
    np.save(tmp_path / "label.npy", np.arange(num_cases) % 2)
    script = """
import json, sys
import numpy as np, torch
from raspitrain.data.arrays import npy
from raspitrain.data.batches import batch_indices, load_part
from raspitrain.data.normalise import fit_normalisation
from raspitrain.run.environment import peak_memory_mb
before = peak_memory_mb()
cases = npy(**json.loads(sys.argv[1]))
normalisation = fit_normalisation(cases.signals, np.arange(0, len(cases.labels), 2))
part = load_part(cases, np.arange(len(cases.labels)), normalisation, in_memory=False)
for batch in batch_indices(len(part), 32, generator=torch.Generator().manual_seed(0))[:200]:
    part.gather(batch)
print(peak_memory_mb() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(defaults("npy", path=str(tmp_path)))],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])},
        check=True,
    )
    assert float(done.stdout) < 100


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("strat_fold", "add dataset.groups=strat_fold.npy if it holds folds"),
        ("partition", "add dataset.part=partition.npy if it holds the split"),
        ("Subject", "add dataset.groups=Subject.npy"),
        ("X_test", "X_test.npy lie beside the data and are not used"),
    ],
)
def test_arrays_that_lie_there_and_are_not_used_are_said_with_the_key(name, words, tmp_path):
    np.save(tmp_path / "data.npy", np.random.default_rng(0).standard_normal((20, 2, 32)))
    for other in ("label", name, "notes"):
        np.save(tmp_path / f"{other}.npy", np.arange(20) % 2)
    taken = npy(**defaults("npy", path=str(tmp_path))).taken
    assert [words in warning for warning in taken.warnings] == [True]
    assert taken.notes == ("not used, though beside the data: notes.npy",)
