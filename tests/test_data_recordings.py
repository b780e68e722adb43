"""Recordings as loggers write them, cut into windows."""

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from conftest import defaults
from hypothesis import given, settings
from hypothesis import strategies as st

from raspitrain.data.recordings import read_recording, recordings
from raspitrain.data.split import split_cases
from raspitrain.errors import InputError
from raspitrain.results.files import CLAIM, SWEEP_CLAIM


def write(folder: Path, **files: str) -> str:
    """write(folder, walk_1="x,y…") makes walk/1.csv."""
    for name, content in files.items():
        label, _, number = name.partition("_")
        path = folder / label / f"{number}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    return str(folder)


def rows(count: int, template: str) -> str:
    return "".join(template.format(i=i, t=i / 100) + "\n" for i in range(count))


def load(path: str, **given: object):
    return recordings(**defaults("recordings", path=path) | {"length": 4, "stride": 2} | given)


def test_sub_folders_are_classes_and_recordings_are_groups(tmp_path):
    path = write(
        tmp_path,
        walk_a="time,x,y\n" + rows(8, "{t},{i},-{i}"),
        walk_b="time,x,y\n" + rows(9, "{t},1{i},-{i}"),
        run_a="time,x,y\n" + rows(4, "{t},2{i},-{i}"),
    )
    (tmp_path / "walk" / "notes.txt").write_text("not a recording")
    (tmp_path / "walk" / "._a.csv").write_bytes(b"\0\5\x16\7")  # as macOS leaves them
    cases = load(path)
    assert cases.signals.shape == (7, 2, 4)
    assert cases.class_names == ("run", "walk")
    assert cases.channel_names == ("x", "y")
    assert cases.labels.tolist() == [0, 1, 1, 1, 1, 1, 1]
    assert cases.groups.tolist() == [0, 1, 1, 1, 2, 2, 2]
    signals = cases.signals[np.array([3, 0])]
    assert signals.dtype == np.float32
    assert signals.tolist() == [
        [[4, 5, 6, 7], [-4, -5, -6, -7]],
        [[20, 21, 22, 23], [0, -1, -2, -3]],
    ]


def test_windows_of_one_recording_stay_on_one_side(tmp_path):
    path = write(
        tmp_path,
        **{f"a_{i}": "x\n" + rows(30 + i, "{i}") for i in range(4)},
        **{f"b_{i}": "x\n" + rows(30 + i, "-{i}") for i in range(4)},
    )
    cases = load(path, stride=1, columns=["x"])  # else a count is no channel
    split = split_cases(
        cases, train=None, validation=0.2, test=0.3, stratify=True, predefined=True, seed=0
    )
    sides = [set(cases.groups[part]) for part in (split.train, split.validation, split.test)]
    assert all(sides)
    assert sum(len(side) for side in sides) == 8


def test_a_label_that_changes_cuts_the_windows(tmp_path):
    labels = ["sit"] * 5 + [""] * 3 + ["run"] * 4 + ["sit"] * 6
    text = "x,activity\n" + "".join(f"{i},{label}\n" for i, label in enumerate(labels))
    (tmp_path / "one.csv").write_text(text)
    cases = load(str(tmp_path), label_column="activity", columns=["x"])
    firsts = cases.signals[np.arange(len(cases.labels))][:, 0, 0]
    assert firsts.tolist() == [0, 8, 12, 14]
    assert [cases.class_names[label] for label in cases.labels] == ["sit", "run", "sit", "sit"]
    assert cases.channel_names == ("x",)


def test_a_label_column_may_be_constant_in_each_recording(tmp_path):
    write(tmp_path, any_1="x;who\n" + rows(4, "{i};ann"), any_2="x;who\n" + rows(4, "{i};ben"))
    assert load(str(tmp_path), label_column="who").class_names == ("ann", "ben")


def test_columns_are_picked_by_name_in_the_order_asked_for(tmp_path):
    path = write(
        tmp_path, a_1="time,x,y,note\n" + rows(4, "{t},1,2,hm"), b_1="y,x\n" + rows(4, "4,3")
    )
    cases = load(path, columns=["y", "x"])
    assert cases.channel_names == ("y", "x")
    assert cases.signals[np.array([0, 1])][:, :, 0].tolist() == [[2, 1], [4, 3]]


def test_channels_come_in_the_order_of_the_first_recording(tmp_path):
    path = write(tmp_path, a_1="x,y\n" + rows(4, "1,2"), b_1="y,x,t\n" + rows(4, "4,3,{t}"))
    assert load(path).signals[np.array([1])][0, :, 0].tolist() == [3, 4]


@pytest.mark.parametrize(
    "text",
    [
        "x,y\n1.5,2\n3,4\n",
        "1.5,2\n3,4\n",
        "x;y\n1.5;2\n3;4\n",
        "x\ty\r\n1.5\t2\r\n3\t4\r\n",
        "x;y\n1,5;2\n3;4,0\n",
        "x,y,\n1.5,2,\n3,4,\n",
        "x,y\n1.5,2,\n\n3,4,\n",
        "\ufeffx,y\n1.5,2\n3,4",
        "sep=;\nx;y\n1.5;2\n3;4\n",
        "# written by a logger\n# x,y\n1.5,2\n3,4\n",
        '"x","y"\n"1.5","2"\n"3","4"\n',
        ",x,y\n0,1.5,2\n1,3,4\n",
        " x , y \n 1.5 , 2 \n 3 , 4 \n",
        "Time (s),x,y\n0,1.5,2\n1,3,4\n",
        "x,y,seconds_elapsed\n1.5,2,0\n3,4,1\n",
        "timestamp_ms,x,y,UTC time\n0,1.5,2,08:00\n1,3,4,08:01\n",
        "when,x,y\n2024-05-01T10:00:00.5Z,1.5,2\n2024-05-01T10:00:00.75Z,3,4\n",
        "2024-05-01 10:00:00,1.5,2\n2024-05-01 10:00:00,3,4\n",
    ],
)
def test_every_common_form_of_csv_gives_the_same_numbers(text, tmp_path):
    (tmp_path / "r.csv").write_bytes(text.encode())
    recording = read_recording(tmp_path / "r.csv", columns=None, label_column=None)
    assert recording.samples.tolist() == [[1.5, 3], [2, 4]]


def test_utf_16_as_spreadsheets_export_it_is_read(tmp_path):
    (tmp_path / "r.csv").write_bytes("x\ty\r\n1\t2\r\n".encode("utf-16"))
    recording = read_recording(tmp_path / "r.csv", columns=None, label_column=None)
    assert recording.samples.tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("name", "is_time"),
    [
        *((name, True) for name in ("time", "Timestamp", "t", "seconds_elapsed", "TIME [ms]")),
        *((name, True) for name in ("date", "datetime", "unix_time", "elapsed", "time_ns")),
        *((name, False) for name in ("x", "T", "temperature", "lifetime", "distance", "light")),
    ],
)
def test_a_time_column_is_known_by_its_name(name, is_time, tmp_path):
    (tmp_path / "r.csv").write_text(f"{name},value\n1,2\n")
    recording = read_recording(tmp_path / "r.csv", columns=None, label_column=None)
    assert (name in recording.channel_names) is not is_time


def test_a_time_column_that_is_asked_for_is_a_channel(tmp_path):
    (tmp_path / "r.csv").write_text("time,x\n1,2\n")
    recording = read_recording(tmp_path / "r.csv", columns=["time"], label_column=None)
    assert recording.samples.tolist() == [[1]]


def test_missing_cells_are_filled_along_the_recording(tmp_path):
    text = "x,y\n0,NA\n,5\nnan,5\n3,\n4,5\n"
    path = write(tmp_path, a_1=text, b_1=text.replace("4,5", "4,7"))
    cases = load(path, length=5, missing="interpolate")
    filled = cases.signals[np.array([0, 1])]
    assert "8 missing values interpolated" in cases.taken.notes
    assert filled.tolist() == [
        [[0, 1, 2, 3, 4], [5, 5, 5, 5, 5]],
        [[0, 1, 2, 3, 4], [5, 5, 5, 6, 7]],
    ]
    zeroed = load(path, length=5, missing="zero").signals[np.array([0])]
    assert zeroed.tolist() == [[[0, 0, 0, 3, 4], [0, 5, 5, 0, 5]]]
    with pytest.raises(InputError, match=r"8 values .*a/1\.csv, line 2, column 'y'"):
        load(path, length=5)
    seldom = "x,y\n0,\n1,\n2,\n3,\n4,5\n"
    path = write(tmp_path, a_1=seldom, b_1=seldom.replace("4,5", "4,7"))
    with pytest.raises(InputError, match=r"y has no value in most rows: take .*columns=\[x\]'"):
        load(path, length=5)


def test_short_recordings_are_left_out_and_said(tmp_path):
    path = write(
        tmp_path, a_1="x\n" + rows(8, "1"), a_2="x\n" + rows(3, "1"), b_1="x\n1\n2\n3\n4\n"
    )
    cases = load(path)
    assert cases.labels.tolist() == [0, 0, 0, 1]
    (warning,) = cases.taken.warnings
    assert "1 of 3 recordings" in warning


def test_windows_are_cut_when_asked_for_and_not_held(tmp_path):
    """10 s of stride 1 would take 400 times the recording."""
    path = write(tmp_path, a_1="x\n" + rows(2000, "-{i}"), b_1="x\n" + rows(2000, "{i}"))
    cases = load(path, length=400, stride=1, columns=["x"])
    assert cases.signals.shape == (2 * 1601, 1, 400)
    assert not isinstance(cases.signals, np.ndarray)
    assert cases.signals[np.array([1601 + 7])][0, 0].tolist() == list(range(7, 407))


@settings(max_examples=300)
@given(
    text=st.lists(
        st.sampled_from(
            [
                *("x", "time", ",", ";", "\t", "\n", "\r", '"', "#", "1", "-2.5", "nan", " ", "e"),
                *("é", "2024-01-01", "\0", "1e999", "sep=", "\ufeff"),
            ]
        ),
        max_size=40,
    ),
    label_column=st.sampled_from([None, "x"]),
)
def test_any_text_is_read_or_refused_and_nothing_else(text, label_column, tmp_path_factory):
    file = tmp_path_factory.mktemp("csv") / "r.csv"
    file.write_bytes("".join(text).encode())
    with suppress(InputError):
        recording = read_recording(file, columns=None, label_column=label_column)
        num_channels, num_samples = recording.samples.shape
        assert num_channels == len(recording.channel_names) > 0
        assert num_samples == len(recording.lines) > 0


@settings(max_examples=100)
@given(content=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_and_nothing_else(content, tmp_path_factory):
    file = tmp_path_factory.mktemp("csv") / "r.csv"
    file.write_bytes(content)
    with suppress(InputError):
        read_recording(file, columns=None, label_column=None)


@pytest.mark.filterwarnings("error")
def test_infinite_stamps_are_missing_without_a_word_of_numpys(tmp_path):
    file = tmp_path / "r.csv"
    file.write_text("time,x\n0.00,1\ninf,2\ninf,3\n0.06,1\n0.08,4\n")
    recording = read_recording(file, columns=None, label_column=None)
    assert recording.clock.rate == pytest.approx(50)


def test_a_stride_that_is_not_given_is_half_a_window(tmp_path):
    """And one that leaves samples out says so."""
    for seed, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        values = np.random.default_rng(seed).normal(size=20)
        (tmp_path / name / "0.csv").write_text("x\n" + "\n".join(f"{v:.6f}" for v in values))
    assert len(load(tmp_path, length=8, stride=None).labels) == 2 * 4
    cases = load(tmp_path, length=8, stride=11)
    assert len(cases.labels) == 2 * 2
    assert any("3 samples between one and the next are in none" in n for n in cases.taken.notes)


def test_runs_and_sweeps_below_the_recordings_are_not_looked_into(tmp_path):
    """As in `cd recordings; python -m raspitrain dataset.path=.`, for the second time."""
    path = write(tmp_path, **{f"{name}_1": "x,y\n" + rows(9, "{i},-{i}") for name in ("a", "b")})
    for name, claim in (("run", CLAIM), ("sweep", SWEEP_CLAIM)):
        folder = tmp_path / "outputs" / name
        folder.mkdir(parents=True)
        (folder / claim).touch()
        (folder / "metrics.csv").write_text("epoch,train_loss\n" + rows(9, "{i},0.5"))
    cases = load(path, columns=["x", "y"])
    assert cases.class_names == ("a", "b")
    assert "not looked into: 2 folders of runs and sweeps" in cases.taken.notes
    with pytest.raises(InputError, match="run is the folder of a run, and holds no recordings"):
        load(tmp_path / "outputs" / "run")


def test_what_is_no_file_is_said_and_a_link_to_a_folder_gives_no_name(tmp_path):
    """A link whose target has gone, a pipe that would be waited for, and a link back."""
    path = write(tmp_path, **{f"{name}_1": "x,y\n" + rows(9, "{i},-{i}") for name in ("a", "b")})
    (tmp_path / "a" / "gone.csv").symlink_to(tmp_path / "elsewhere.csv")
    os.mkfifo(tmp_path / "b" / "pipe.csv")
    (tmp_path / "0").symlink_to(tmp_path / "b")
    cases = load(path, columns=["x", "y"])
    assert cases.class_names == ("a", "b")
    notes = "\n".join(cases.taken.notes)
    assert "not looked into: links to folders of these (0)" in notes
    assert "no files: a/gone.csv, b/pipe.csv" in notes
