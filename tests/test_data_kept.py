"""Recordings that are kept: the same data again, faster, and never what was not written."""

import os
from pathlib import Path

import numpy as np
import pytest
from conftest import defaults
from omegaconf import OmegaConf

from raspitrain.config.build import build_cases
from raspitrain.data import recordings
from raspitrain.data.cases import Cases
from raspitrain.data.recorded import kept
from raspitrain.paths import config_folder

ROWS = 200
SHORT = {"length": 50, "stride": 50}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "LEAST_BYTES", 0)
    for k, label in enumerate(("walk", "run")):
        for number in range(3):
            x = np.random.default_rng(10 * k + number).standard_normal((3, ROWS))
            lines = [
                f"{0.02 * j:.2f},{x[0, j]:.5f},{x[1, j]:.5f},{'low' if j < 99 else 'up'},{x[2, j]}"
                for j in range(ROWS)
            ]
            write(
                tmp_path / "data" / label / f"{number}.csv",
                "\n".join(["time,ax,ay,way,az", *lines]),
            )
    return tmp_path / "cache" / "raspitrain" / "recordings"


def write(path: Path, text: str, age: float = 60) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))


def load(folder: Path, monkeypatch=None, **given: object) -> Cases:
    """With `monkeypatch` no file may be read as text."""
    if monkeypatch is not None:
        monkeypatch.setattr(recordings, "read_file", lambda *_: pytest.fail("read again"))
    words = defaults("recordings", path=str(folder / "data"), **SHORT)
    return recordings.recordings(**words | given)


def content(cases: Cases) -> tuple[object, ...]:
    taken = cases.taken
    every = cases.signals[np.arange(len(cases.labels))]
    return (
        every.tobytes(),
        every.dtype,
        cases.labels.tolist(),
        cases.rate,
        taken.origins,
        taken.left_out,
        taken.notes,
    )


def test_what_is_kept_is_what_was_read(own_cache, tmp_path, monkeypatch):
    fresh = load(tmp_path, cache_gb=0)
    assert not own_cache.exists()
    assert content(load(tmp_path)) == content(fresh)
    assert len(list(own_cache.glob("*.rec"))) == 6
    assert content(load(tmp_path, monkeypatch)) == content(fresh)
    labelled = load(tmp_path, label_column=None, columns=["ay", "az"], monkeypatch=monkeypatch)
    assert labelled.channel_names == ("ay", "az")


def test_what_was_done_to_a_file_is_said_of_what_is_kept(tmp_path, monkeypatch):
    for seed, path in enumerate(sorted((tmp_path / "data").rglob("*.csv"))):
        rows = [
            f"{s // 3600}{s // 60 % 60:02}{s % 60:02},{value}"
            for s, value in enumerate(np.random.default_rng(seed).standard_normal(ROWS), 43_140)
        ]
        write(path, "\n".join(["fix,a", *rows]))
    fresh = load(tmp_path)
    assert any("hours, minutes and seconds" in note for note in fresh.taken.notes)
    assert content(load(tmp_path, monkeypatch)) == content(fresh)


def test_channels_beside_one_another_are_mapped_and_not_copied(own_cache, tmp_path):
    load(tmp_path)
    signals = load(tmp_path, columns=["ax", "ay"]).signals
    assert not any(s.flags.owndata for s in signals._samples)


def test_a_configurations_data_set_is_mapped_the_first_time_too(own_cache, tmp_path):
    """While it is made nothing may be written, but for this: else all of it would be in memory."""
    node = OmegaConf.load(config_folder() / "dataset" / "recordings.yaml")
    node.update(SHORT | {"path": str(tmp_path / "data"), "columns": ["ax", "ay"]})
    cases = build_cases(node)
    assert len(list(own_cache.glob("*.rec"))) == 6
    assert not any(s.flags.owndata for s in cases.signals._samples)


def test_a_file_that_changed_is_read_again(own_cache, tmp_path):
    before = content(load(tmp_path))
    path = tmp_path / "data" / "walk" / "1.csv"
    lines = path.read_text().splitlines()
    lines[20] = lines[20].replace("low,", "low,7", 1)[: len(lines[20])]  # of the same length
    write(path, "\n".join(lines), age=30)
    assert content(load(tmp_path)) != before
    assert content(load(tmp_path)) == content(load(tmp_path, cache_gb=0))
    settings = load(tmp_path, label_column="way"), load(tmp_path, label_column="way", cache_gb=0)
    assert content(settings[0]) == content(settings[1])


def test_a_file_that_is_being_written_is_not_kept(own_cache, tmp_path):
    path = tmp_path / "data" / "walk" / "1.csv"
    os.utime(path)
    load(tmp_path)
    assert len(list(own_cache.glob("*.rec"))) == 5


@pytest.mark.parametrize("damage", ["cut", "zeros", "a bit", "an early bit", "empty", "head"])
def test_damaged_files_are_never_used(damage, own_cache, tmp_path):
    before = content(load(tmp_path))
    for place in own_cache.glob("*.rec"):
        data = bytearray(place.read_bytes())
        if damage == "cut":
            data = data[:-9]
        elif damage == "zeros":
            data[200:] = bytes(len(data) - 200)
        elif damage == "a bit":
            data[-100] ^= 4
        elif damage == "an early bit":
            data[-4500] ^= 1
        elif damage == "head":
            data[100] ^= 1
        place.write_bytes(b"" if damage == "empty" else bytes(data))
    assert content(load(tmp_path)) == before


def test_filling_missing_values_leaves_what_is_kept_alone(own_cache, tmp_path, monkeypatch):
    path = tmp_path / "data" / "run" / "2.csv"
    lines = path.read_text().splitlines()
    lines[30] = "0.58,,1.0,up,1.0"
    write(path, "\n".join(lines))
    filled = content(load(tmp_path, missing="interpolate"))
    places = {place: place.read_bytes() for place in own_cache.glob("*.rec")}
    assert content(load(tmp_path, monkeypatch, missing="interpolate")) == filled
    assert all(place.read_bytes() == data for place, data in places.items())


def test_no_more_is_kept_than_is_allowed(own_cache, tmp_path):
    load(tmp_path)
    sizes = [place.stat().st_size for place in own_cache.glob("*.rec")]
    (own_cache / "older.rec").write_bytes(b"x" * sizes[0])
    os.utime(own_cache / "older.rec", (1, 1))
    for number in range(3):
        text = (tmp_path / "data" / "walk" / f"{number}.csv").read_text()
        write(tmp_path / "data" / "walk" / f"{number}.csv", text + "1")
    limit = (sum(sizes) + 10) / 1e9
    assert content(load(tmp_path, cache_gb=limit)) == content(load(tmp_path, cache_gb=0))
    assert sum(place.stat().st_size for place in own_cache.glob("*.rec")) <= 1e9 * limit
    assert not (own_cache / "older.rec").exists()


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert content(load(tmp_path)) == content(load(tmp_path, cache_gb=0))


def test_the_command_compiles_and_keeps_outside_of_the_watch(tmp_path, command):
    """While a configuration's data set is made, nothing may be written and no program started."""
    x = np.random.default_rng(1).standard_normal((6, 12_000))
    for number, row in enumerate(x):
        lines = "".join(f"{0.02 * j:.2f},{row[j]:.17f}\n" for j in range(12_000))
        label = ("walk", "run")[number % 2]
        write(tmp_path / "data" / label / f"long{number}.csv", f"time,ax\n{lines}")
        (tmp_path / "data" / label / f"{number // 2}.csv").unlink()
    words = ("data", "dataset=recordings", "dataset.path=data")
    variables = {"XDG_CACHE_HOME": str(tmp_path / "new")}
    first, second = command(*words, **variables), command(*words, **variables)
    assert first.returncode == 0, first.stderr
    assert (second.stdout, second.stderr) == (first.stdout, first.stderr)
    assert any((tmp_path / "new" / "raspitrain").glob("csv_rows-*.so"))
    assert len(list((tmp_path / "new" / "raspitrain" / "recordings").glob("*.rec"))) == 6
