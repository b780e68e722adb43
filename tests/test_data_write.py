"""The command that writes made data sets."""

import numpy as np
import pytest
from conftest import defaults

from raspitrain.data.arrays import npy
from raspitrain.data.synthetic import random, synthetic
from raspitrain.data.write import main

SIZES = {"num_cases": 300, "num_channels": 2, "length": 32, "num_classes": 3, "seed": 5}


def arguments(kind: str, folder: object) -> list[str]:
    sizes = ["--cases=300", "--channels=2", "--length=32", "--classes=3", "--seed=5"]
    return [kind, f"--out={folder}", *sizes, "--noise=0.5"]


@pytest.mark.parametrize(
    ("kind", "make"), [("synthetic", lambda: synthetic(**SIZES, noise=0.5)), ("random", None)]
)
def test_the_files_hold_what_the_same_seed_gives_in_memory(kind, make, tmp_path, capsys):
    expected = make() if make else random(**SIZES)
    assert main(arguments(kind, tmp_path / "a" / "b")) == 0
    cases = npy(**defaults("npy", path=str(tmp_path / "a" / "b")))
    every = np.arange(300)
    assert cases.signals.dtype == np.float32
    assert np.array_equal(cases.signals[every], expected.signals[every])
    assert np.array_equal(cases.labels, expected.labels)
    assert "(300, 2, 32)" in capsys.readouterr().out
    assert sorted(file.name for file in (tmp_path / "a" / "b").iterdir()) == [
        "data.npy",
        "label.npy",
    ]


def test_files_that_are_there_are_replaced_only_when_forced(tmp_path, capsys):
    (tmp_path / "label.npy").write_text("mine")
    assert main(arguments("random", tmp_path)) == 2
    assert "say --force" in capsys.readouterr().err
    assert (tmp_path / "label.npy").read_text() == "mine"
    assert not (tmp_path / "data.npy").exists()
    assert main([*arguments("random", tmp_path), "--force"]) == 0
    assert np.load(tmp_path / "label.npy").shape == (300,)


def test_a_full_card_leaves_no_half_file(tmp_path, monkeypatch, capsys):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("raspitrain.results.atomic.os.fsync", fail)
    assert main(arguments("random", tmp_path)) == 2
    assert "No space left" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        (["--cases", "0"], "num_cases is 0"),
        (["--seed", "-1"], "seed is -1"),
        (["--noise", "nan"], "noise is nan"),
        (["--cases", "1000000000000"], "GB are free"),
        (["--out", "/proc/none"], "cannot be written"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(changed, part, tmp_path, capsys):
    assert main([*arguments("synthetic", tmp_path / "x"), *changed]) == 2
    said = capsys.readouterr().err
    assert part in said
    assert said.count("\n") == 1
