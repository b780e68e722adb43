"""Words that are understood though Hydra would not, and files that would go unread."""

import errno
import os
import sys

import numpy as np
import pytest
from conftest import process_as_it_was

from raspitrain.cli.data import main as show_data
from raspitrain.cli.main import main
from raspitrain.cli.words import as_meant

ROWS = "".join(f"{0.02 * k:.2f},{k * k % 7},{k * k % 5}\n" for k in range(64))


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """said("--version") -> the exit code and what was printed."""
    monkeypatch.chdir(tmp_path)

    def run(*words, do=main):
        monkeypatch.setattr(sys, "argv", ["raspitrain", *words])
        code = do()
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    with process_as_it_was():
        yield run


@pytest.mark.parametrize(
    "name",
    ["2024", "1_1", "1e3", "true", "p#1", "a+b~c", "Schlüssel ü", "rec (1)", "lr=0.1", "x[1]",
     "$HOME", "50%", "my data", "a:b", "it's", "a&b", "ends\\"],
)  # fmt: skip
def test_a_folder_may_be_called_anything(name, said, tmp_path):
    for label in ("walk", "run"):
        for number in range(3):
            file = tmp_path / name / label / f"{number}.csv"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"time,x,y\n{ROWS}99.9,{label == 'run':d},{number}\n")
    words = ("dataset=recordings", f"dataset.path={name}", "dataset.length=16")
    code, shown = said(*words, "dataset.stride=16", "split.test=0.4", do=show_data)
    assert code == 0, shown
    assert "6 recordings of 2 classes" in shown


def test_a_look_at_an_archive_of_one_case_a_row_needs_no_more_words(said, tmp_path):
    (tmp_path / "gun").mkdir()
    for part in ("TRAIN", "TEST"):
        cases = (
            f"{k % 2}\t" + "\t".join(str((k + 1) * i % 7) for i in range(16)) for k in range(8)
        )
        (tmp_path / "gun" / f"GunPoint_{part}.tsv").write_text("\n".join(cases))
    code, shown = said("gun", do=show_data)
    assert code == 0, shown
    assert "gun is taken as dataset=ucr dataset.name=GunPoint dataset.path=gun" in shown


def test_a_look_at_arrays_is_one_at_arrays(said, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "X.npy").touch()
    (tmp_path / "one" / "all.npz").touch()
    shown = [said(name, do=show_data)[1] for name in ("own", "one")]
    assert "own is taken as dataset=npy dataset.path=own" in shown[0]
    assert "one is taken as dataset=npz dataset.path=one/all.npz" in shown[1]


def test_a_look_at_the_data_takes_a_path_alone(said, tmp_path):
    for label in ("walk", "run"):
        (tmp_path / "my rec" / label).mkdir(parents=True)
        for number in range(3):
            own = f"time,x,y\n{ROWS}99.9,{label == 'run':d},{number}\n"
            (tmp_path / "my rec" / label / f"{number}.csv").write_text(own)
    code, shown = said("my rec", "dataset.length=16", "split.test=0.4", do=show_data)
    assert code == 0, shown
    assert "my rec is taken as dataset=recordings 'dataset.path=\"my rec\"'" in shown
    assert "6 recordings of 2 classes" in shown
    copy = tmp_path / "my rec/run/copy.csv"
    copy.write_bytes((tmp_path / "my rec/run/0.csv").read_bytes())
    code, shown = said("my rec", "dataset.length=5000", do=show_data)
    assert (code, "warning: 1 of 7 recordings are copies" in shown) == (2, True), shown
    copy.unlink()
    for name in ("a=b", "null"):
        (tmp_path / name).symlink_to(tmp_path / "my rec")
        code, shown = said(name, "dataset.length=16", "split.test=0.4", do=show_data)
        assert (code, "6 recordings of 2 classes" in shown) == (0, True), shown
        (tmp_path / name).unlink()
    np.save(tmp_path / "data.npy", np.random.default_rng(0).normal(size=(40, 2, 16)))
    np.save(tmp_path / "label.npy", np.arange(40) % 2)
    for path in (".", "data.npy"):
        code, shown = said(path, do=show_data)
        assert (code, "dataset=npy dataset.path=." in shown) == (0, True), shown
    for words, says in (
        (["recc"], "recc: there is no such file or folder"),
        (["my rec", "data.npy"], "give one"),
        (["my rec", "dataset.path=x"], "give one"),
        (["epochs", "3"], "write key=value, as in epochs=3"),
    ):
        code, shown = said(*words, do=show_data)
        assert (code, says in shown) == (2, True), shown


def test_only_what_can_be_read_in_one_way_is_put_into_quotes():
    kept = ["epochs=5", "batch_size=8,16", "dataset.columns=[a b", "dataset.path='x", "seed=${x"]
    assert as_meant([*kept, "--cfg", "job"]) == [*kept, "--cfg", "job"]
    assert as_meant(["dataset.path=a (1)"]) == ['dataset.path="a (1)"']


def test_the_version_is_that_of_raspitrain(said):
    assert said("--version") == (0, "raspitrain 0.1.0\n")


@pytest.mark.parametrize("name", ["dataset/recordings.yaml", "experiment/blog.yaml", "config.yaml"])
def test_yaml_with_the_name_of_one_of_ours_is_never_passed_over(name, said, tmp_path):
    file = tmp_path / "mine" / name
    file.parent.mkdir(parents=True)
    file.write_text("epochs: 1\n")
    code, shown = said("--config-dir", "mine", "epochs=1")
    assert code == 2
    assert f"mine/{name} has the name of one of raspitrain's own" in shown


def test_a_folder_of_yaml_that_cannot_be_read_is_never_passed_over(said, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    listdir = os.listdir

    def locked(folder="."):
        if folder == "mine":
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", locked)
    code, shown = said("--config-dir", "mine", "epochs=1")
    assert code == 2
    assert "mine, which --config-dir names, cannot be read: Permission denied;" in shown


def test_a_sweep_that_a_yaml_describes_is_not_run_as_one_run(said, tmp_path):
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "night.yaml").write_text(
        '# @package _global_\nhydra: {sweeper: {params: {batch_size: "8,16"}}}\n'
    )
    (folder / "listed.yaml").write_text("# @package _global_\nbatch_size: [8, 16]\n")
    code, shown = said("--config-dir", "mine", "experiment=night")
    assert code == 2
    assert "hydra.sweeper.params (batch_size), which a YAML sets, are for sweeps" in shown
    assert "add --multirun" in shown
    code, shown = said("--config-dir", "mine", "experiment=listed")
    assert code == 2
    assert "several values are for a sweep" in shown


def test_yaml_that_lacks_a_key_is_told_how_to_lean_on_ours(said, tmp_path):
    folder = tmp_path / "mine" / "dataset"
    folder.mkdir(parents=True)
    target = "_target_: raspitrain.data.recordings.recordings\n"
    (folder / "watch.yaml").write_text(f"{target}path: data\n")
    code, shown = said("--config-dir", "mine", "dataset=watch")
    assert code == 2
    assert "begin the YAML with 'defaults: [recordings]'" in shown
    (folder / "watch.yaml").write_text("defaults: [recordings]\npath: nowhere\n")
    assert "nowhere does not exist" in said("--config-dir", "mine", "dataset=watch")[1]
