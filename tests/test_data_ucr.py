"""Data sets of the archive: those that aeon carries, and a folder of .ts files."""

import numpy as np
import pytest

from raspitrain.data.ucr import carried_names, ucr
from raspitrain.errors import InputError

CARRIED = {  # cases to train on, to test on, channels, length, classes
    "ACSF1": (100, 100, 1, 1460, 10),
    "ArrowHead": (36, 175, 1, 251, 3),
    "BasicMotions": (40, 40, 6, 100, 4),
    "GunPoint": (50, 150, 1, 150, 2),
    "ItalyPowerDemand": (67, 1029, 1, 24, 2),
    "JapaneseVowels": (270, 370, 12, 29, 9),
    "OSULeaf": (200, 242, 1, 427, 6),
    "PickupGestureWiimoteZ": (50, 50, 1, 361, 10),
    "UnitTest": (20, 22, 1, 24, 2),
}
HEADER = "@problemName Toy\n@timeStamps false\n@univariate false\n"


def load(name: str | None, **given: object):
    settings = {"path": None, "unequal": "resample", "length": None, "missing": "error"}
    return ucr(**{"name": name} | settings | given)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", carried_names())
def test_every_set_that_aeon_carries_loads_with_the_archives_split(name):
    cases = load(name)
    num_cases, num_channels, length = cases.signals.shape
    assert np.isfinite(cases.signals[np.arange(num_cases)]).all()
    num_train, num_test = int((cases.part == 0).sum()), int((cases.part == 2).sum())
    assert num_train + num_test == num_cases
    if name in CARRIED:
        found = (num_train, num_test, num_channels, length, len(cases.class_names))
        assert found == CARRIED[name]


def test_the_sets_that_we_name_are_carried():
    assert set(CARRIED) <= set(carried_names())


def test_class_names_are_spelt_as_in_the_archive():
    assert load("BasicMotions").class_names == ("Badminton", "Running", "Standing", "Walking")
    assert load("PickupGestureWiimoteZ").class_names[-1] == "10"


def test_cases_come_to_one_length_as_configured(tmp_path):
    tags = HEADER + "@equalLength false\n@classLabel true Up Down\n@data\n"
    (tmp_path / "Toy_TRAIN.ts").write_text(tags + "0,1,2:0,0,9:Up\n4,2:9,9:Down\n")
    (tmp_path / "Toy_TEST.ts").write_text(tags + "0,1,2,3,4:0,0,0,0,0:Up\n")
    path = str(tmp_path)

    def signals(**given: object) -> list:
        return load("Toy", path=path, **given).signals[np.arange(3)][:, 0].tolist()

    assert signals(unequal="pad") == [[0, 1, 2, 2, 2], [4, 2, 2, 2, 2], [0, 1, 2, 3, 4]]
    assert signals() == [[0, 0.5, 1, 1.5, 2], [4, 3.5, 3, 2.5, 2], [0, 1, 2, 3, 4]]
    assert signals(unequal="pad", length=3) == [[0, 1, 2], [4, 2, 2], [0, 1, 2]]
    assert signals(length=3) == [[0, 1, 2], [4, 3, 2], [0, 2, 4]]
    cases = load("Toy", path=path)
    assert cases.class_names == ("Down", "Up")
    assert cases.labels.tolist() == [1, 0, 1]
    assert cases.part.tolist() == [0, 0, 2]


def test_the_only_set_needs_no_name_and_several_are_listed(tmp_path):
    text = "0\t1\t2\t3\n1\t3\t2\t1\n" * 4
    for name in ("One_TRAIN", "One_TEST"):
        (tmp_path / f"{name}.tsv").write_text(text)
    assert load(None, path=str(tmp_path)).part.tolist() == [0] * 8 + [2] * 8
    (tmp_path / "Two_TRAIN.tsv").write_text(text)
    with pytest.raises(InputError, match=r"add dataset\.name=One to the command, or another of"):
        load(None, path=str(tmp_path))


def test_missing_values_are_filled_before_the_length_changes(tmp_path):
    tags = HEADER + "@missing true\n@equalLength true\n@classLabel true a b\n@data\n"
    folder = tmp_path / "Toy"
    folder.mkdir()
    (folder / "Toy.ts").write_text(tags + "0,?,2:1,1,1:a\n0,NaN,4:1,1,1:b\n")
    cases = load("Toy", path=str(tmp_path), missing="interpolate", length=5)
    assert cases.signals[np.arange(2)][:, 0].tolist() == [[0, 0.5, 1, 1.5, 2], [0, 1, 2, 3, 4]]
    assert cases.part is None
    stretched = "cases of 3 samples stretched to 5"
    assert cases.taken.notes == ("2 missing values interpolated", stretched)


def test_nothing_is_asked_of_the_network(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    load("GunPoint")
    with pytest.raises(ValueError, match="aeon does not carry"):
        load("FordA")


def test_a_large_offset_costs_no_digits(tmp_path):
    tags = "@problemName Set\n@timeStamps false\n@univariate true\n@equalLength true\n"
    values = [[1e8 + 0.25, 1e8 - 0.5, 1e8], [1e8 - 1, 1e8 + 1, 1e8 + 0.125]]
    rows = [",".join(map(repr, row)) + f":{label}" for row, label in zip(values, "ab", strict=True)]
    (tmp_path / "Set.ts").write_text(
        tags + "@classLabel true a b\n@data\n" + "\n".join(rows) + "\n"
    )
    cases = ucr(name="Set", path=str(tmp_path), unequal="pad", length=None, missing="error")
    assert cases.signals[np.arange(2)][:, 0].tolist() == values
