"""Layouts of public archives, phone apps, wearables and loggers: read right, or one sentence.

Each row is one example of its kind; what is taken is held against what was written.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import defaults
from test_data_field import (
    COUNTS,
    LENGTH,
    MS,
    csv_text,
    left_out,
    load,
    load_npy,
    make,
    noise,
    put,
    refusal,
)
from test_data_formats import edf, pcm

from raspitrain.data.arrays import npz
from raspitrain.data.files import dates
from raspitrain.data.files.array_file import such_as
from raspitrain.data.files.csv_file import read_table
from raspitrain.data.files.dates import to_seconds
from raspitrain.data.files.formats import _without_numbers
from raspitrain.data.files.layout import find_layout
from raspitrain.data.rows import rows as case_a_row

SECONDS = [f"{j / 50:.2f}" for j in COUNTS]
TWO = ("x", "y")


def signals_of(cases, recording: int = 0) -> np.ndarray:
    """The first window of a recording; that of run/r0 is the first of all."""
    return cases.signals[np.flatnonzero(cases.taken.origin_of == recording)[:1]][0]


def first(count: int = 2, seed: int = 10) -> np.ndarray:
    rows = noise(seed, count)
    return np.array([[float(f"{v:.4f}") for v in row[:64]] for row in rows], np.float32)


# Clocks that stand in several columns

FIELDS = [[2024, 5, 1, 10 + (59 * 60 + 58 + j // 50) // 3600, (59 + (58 + j // 50) // 60) % 60,
           (58 + j // 50) % 60, 20 * (j % 50)] for j in COUNTS]  # fmt: skip
CLOCKS = {
    "sec,usec": [[1_700_000_000 + j // 50 for j in COUNTS], [20_000 * (j % 50) for j in COUNTS]],
    "header.stamp.secs,header.stamp.nsecs": [
        [1_700_000_000 + j // 50 for j in COUNTS], [20_000_000 * (j % 50) for j in COUNTS],
    ],
    "year,month,day,hour,minute,second,millisecond": list(zip(*FIELDS, strict=True)),
    "Date,Time": [
        ["2024-05-01"] * LENGTH, [f"10:59:{50 + j // 50}.{20 * (j % 50):03d}" for j in COUNTS],
    ],
    "Date&Time,ms": [
        [f"2024/05/01 10:59:{50 + j // 50}" for j in COUNTS], [20 * (j % 50) for j in COUNTS],
    ],
    "YY,MM,DD,hh,mm,ss": [
        [24] * LENGTH, [*zip(*FIELDS, strict=True)][1], *[*zip(*FIELDS, strict=True)][2:5],
        [s + ms / 1000 for *_, s, ms in FIELDS],
    ],
    "Ticks": [[638_500_000_000_000_000 + 200_000 * j for j in COUNTS]],
    "FileTime": [[133_500_000_000_000_000 + 200_000 * j for j in COUNTS]],
}  # fmt: skip


@pytest.mark.parametrize("names", CLOCKS)
def test_a_clock_of_any_number_of_columns_gives_the_rate_and_is_no_channel(names, tmp_path):
    make(tmp_path, lambda k, i, x: csv_text(f"{names},x,y", *CLOCKS[names], *x[:2]))
    cases = load(tmp_path)
    assert cases.channel_names == TWO
    assert cases.rate == 50
    assert sorted(left_out(cases)) == sorted(names.split(","))
    assert len(cases.labels) == 6 * 3  # no minute, second or hour cuts a recording


@pytest.mark.parametrize("order", ["newest first", "mixed"])
def test_rows_in_no_order_are_put_in_order_of_time(order, tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        rows = np.arange(LENGTH)[::-1]
        if order == "mixed":
            rows = np.random.default_rng(k + i).permutation(LENGTH)
        return csv_text("time,x,y", *([own[row] for row in rows] for own in (SECONDS, *x[:2])))

    cases = load(make(tmp_path, text_of))
    assert np.array_equal(signals_of(cases), first())
    assert "rows put in order of 'time' in 6 files" in cases.taken.notes
    lines = (tmp_path / "walk/r1.csv").read_text().splitlines()
    lines[7] = lines[7].rsplit(",", 1)[0] + ","
    put(tmp_path, "walk/r1.csv", "\n".join(lines))
    assert "r1.csv, line 8, column 'y'" in refusal(load, tmp_path)


def test_a_clock_that_begins_anew_with_each_trial_is_not_put_in_order(tmp_path):
    seconds = [f"{(j % 8) / 50:.2f}" for j in COUNTS]
    make(tmp_path, lambda k, i, x: csv_text("time,x,y", seconds, *x[:2]))
    assert np.array_equal(signals_of(load(tmp_path, time_column=False)), first())
    assert "24 samples" not in refusal(load, tmp_path)


def hearts(folder: Path, names: list[str]) -> None:
    for k, name in enumerate(names):
        x = np.round(noise(k, 2).T * 200).astype("<i2")
        stem = name.rsplit("/", 1)[-1]
        put(folder, f"{name}.dat", x.tobytes())
        signal = f"{stem}.dat 16 1000(0)/mV 16 0 0 0 0"
        put(folder, f"{name}.hea", f"{stem} 2 100 {len(x)}\n{signal} I\n{signal} II\n")


def test_a_table_of_recordings_without_labels_is_named(tmp_path):
    """As of PTB-XL, whose table says the class in a way of its own."""
    names = [f"records{r}/00000/{k:05}_lr" for r in (100, 500) for k in range(6)]
    hearts(tmp_path, names)
    rows = [f"{k},{{'NORM': 1}},{k % 10 + 1},{name}" for k, name in enumerate(names[:6])]
    table = "ecg_id,scp_codes,strat_fold,filename_lr\n" + "\n".join(rows) + "\n"
    put(tmp_path, "ptbxl_database.csv", table)
    sentence = refusal(load, tmp_path)
    assert "names the recordings in its column 'filename_lr'" in sentence
    assert "labels.csv" in sentence
    rows = [f"{name},{'NORM' if k % 2 else 'MI'}" for k, name in enumerate(names[:6])]
    put(tmp_path, "labels.csv", "file,label\n" + "\n".join(rows) + "\n")
    cases = load(tmp_path, files="records100/*.hea")
    assert cases.class_names == ("MI", "NORM")
    assert len(cases.taken.origins) == 6


@pytest.mark.parametrize(
    ("key", "place"), [("Dx", "g1/A{:04}"), ("Reason for admission", "patient00{0}/s{0}")]
)
def test_diagnoses_in_heads_become_labels_by_the_command_that_is_given(key, place, tmp_path):
    """As in PhysioNet's challenge of 2020, and in PTB's patients."""
    names = [place.format(k) for k in range(6)]
    hearts(tmp_path, names)
    for k, name in enumerate(names):
        with (tmp_path / f"{name}.hea").open("a") as head:
            head.write(f"# Age: 60\n# {key}: {('426783006', '164889003,59118001')[k % 2]}\n")
    command = refusal(load, tmp_path).split("`")[1]
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    assert load(tmp_path).class_names == ("164889003+59118001", "426783006")


def test_experiments_of_hapt_are_read_with_their_labels(tmp_path):
    raw = tmp_path / "RawData"
    put(tmp_path, "activity_labels.txt", "1 WALKING           \n5 STANDING\n")
    put(tmp_path, "RawData/labels.txt", "1 1 5 11 110\n1 1 1 111 200\n2 1 5 1 100\n2 1 1 101 200\n")
    for k, name in enumerate(("acc_exp01", "acc_exp02", "gyro_exp01", "gyro_exp02")):
        put(raw, f"{name}_user01.txt", csv_text("", *noise(k, 3).tolist(), separator=" ").strip())
    assert "give that as dataset.path" in refusal(load, tmp_path)
    cases = load(raw, length=50, stride=50)
    assert cases.class_names == ("STANDING", "WALKING")
    assert [origin.name for origin in cases.taken.origins] == ["exp01_user01", "exp02_user01"]
    assert cases.taken.starts.tolist() == [10, 60, 110, 0, 50, 100, 150]
    assert cases.signals.shape[1] == 6
    assert len(load(raw, files="gyro*").class_names) == 2


def test_cases_in_mat_files_are_refused_with_lines_that_work(tmp_path, monkeypatch):
    """UniMiB SHAR."""
    import scipy.io

    signals, labels = noise(0, 30, 453), np.stack([np.arange(30) % 3, np.arange(30) % 5], 1)
    scipy.io.savemat(tmp_path / "acc_data.mat", {"acc_data": signals})
    scipy.io.savemat(tmp_path / "acc_labels.mat", {"acc_labels": labels})
    assert "docs/data.md, under Arrays" in refusal(load, tmp_path)
    page = (Path(__file__).parents[1] / "docs/data.md").read_text()
    monkeypatch.chdir(tmp_path)
    exec(next(b for b in page.split("\n\n") if "loadmat" in b).replace("    ", ""))
    cases = load_npy(tmp_path, groups="groups.npy")
    assert np.array_equal(cases.signals[np.arange(1)][0, 1], np.float32(signals[0, 151:302]))
    assert cases.groups.tolist() == labels[:, 1].tolist()


# One row of one sensor


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("sensor", ("acc", "gyro")),
        ("source", ("Accelerometer", "Gyroscope")),
        ("sensor_type", (1, 4)),
    ],
)
def test_rows_of_several_sensors_are_taken_apart_and_joined_by_time(column, words, tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        rows = []
        for j in COUNTS:
            rows.append((SECONDS[j], words[0], f"{x[0][j]:.4f}"))
            if j % 2 == 0:
                rows.append((SECONDS[j], words[1], f"{x[1][j]:.4f}"))
        return csv_text(f"time,{column},value", *zip(*rows, strict=True))

    cases = load(make(tmp_path, text_of))
    name = [f"{word}_value" if isinstance(word, str) else f"{column}{word}_value" for word in words]
    assert cases.channel_names == tuple(name)
    assert cases.rate == 50
    window = signals_of(cases)
    assert np.array_equal(window[0], first(1)[0])
    assert np.allclose(window[1, ::2], first()[1, ::2])
    assert np.allclose(window[1, 1:-1:2], (window[1, :-2:2] + window[1, 2::2]) / 2)
    assert any(f"taken apart by column '{column}'" in note for note in cases.taken.notes)


@pytest.mark.parametrize("asked", [None, ["Sensor Type", "Sensor ID"]])
def test_two_columns_may_say_the_sensor(asked, tmp_path):
    """As in UMAFall, whose names stand in a comment that ends with a semicolon."""
    head = "% Date: 2016\n% ms; Sample No; X-Axis; Sensor Type; Sensor ID; \n"

    for i in range(6):
        x = noise(i, 4)
        rows = [
            f"{20 * j + node};{j};{x[node + 2 * kind][j]:.4f};{kind};{node};\n"
            for j in COUNTS
            for kind in (0, 1)
            for node in (0, 1)
        ]
        put(tmp_path, f"{('run', 'walk')[i % 2]}/{i}.csv", head + "".join(rows))
    cases = load(tmp_path, sensor_column=asked)
    names = [f"Sensor Type{kind}_Sensor ID{node}_X-Axis" for kind in (0, 1) for node in (0, 1)]
    assert cases.channel_names == tuple(names)
    assert cases.rate == 50


def test_sensors_of_people_who_follow_each_other_are_joined_person_by_person(tmp_path):
    rows = [
        f"{who},{tag},{20 * j + tag},{noise(who)[tag][j]:.4f},{('run', 'walk')[j // 100]}"
        for who in range(4)
        for j in COUNTS
        for tag in (0, 1)
    ]
    put(tmp_path, "all.csv", "\n".join(["who,tag,ms,x,label", *rows]))
    given = {"sensor_column": "tag", "label_column": "label"}
    assert "name their column in dataset.group_column" in refusal(load, tmp_path, **given)
    cases = load(tmp_path, **given, group_column="who")
    assert cases.channel_names == ("tag0_x", "tag1_x")
    assert (cases.rate, len(cases.labels)) == (50, 4 * 2)
    assert np.allclose(cases.signals[[0]][0, 0], noise(0)[0, 1:65], atol=1e-4)


@pytest.mark.parametrize("words", [("A", "B"), (0, 7), (3, 1, 2)])
@pytest.mark.parametrize("head", ["time,kind,x,y", "kind,x,y"])
def test_rows_that_jump_with_a_column_of_any_name_are_refused_with_the_key(head, words, tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        turn = len(words)
        rows = [
            (SECONDS[j], words[s], f"{x[0][j] + 30 * s:.4f}", f"{x[1][j] * 20**s:.4f}")
            for j in COUNTS
            for s in range(turn)
        ]
        return csv_text(head, *list(zip(*rows, strict=True))[4 - len(head.split(",")) :])

    make(tmp_path, text_of)
    sentence = refusal(load, tmp_path)
    assert "dataset.sensor_column=kind" in sentence
    assert "dataset.sensor_column=false" in sentence
    put(tmp_path, "run/a.csv", csv_text("time,x,y", SECONDS, *noise(0, 2)))  # without that column
    assert "r0.csv: the rows seem to be of several sensors" in refusal(load, tmp_path)
    (tmp_path / "run/a.csv").unlink()
    cases = load(tmp_path, sensor_column="kind")
    for s, word in enumerate(words):
        name = f"{word}_x" if isinstance(word, str) else f"kind{word}_x"
        own = signals_of(cases)[cases.channel_names.index(name)]
        assert np.allclose(own, first(1)[0] + 30 * s, atol=1e-3)
    assert len(load(tmp_path, sensor_column=False).channel_names) <= 2


def test_a_clock_that_stands_while_a_column_takes_turns_tells_sensors_alike(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        slow = np.cumsum(x, axis=1)
        rows = [(j, cpu, f"{slow[cpu + 1][j]:.4f}") for j in COUNTS for cpu in (-1, 0, 1)]
        return csv_text("timestamp,CPU,used", *zip(*rows, strict=True))

    make(tmp_path, text_of)
    assert "dataset.sensor_column=CPU, or say" in refusal(load, tmp_path)
    cases = load(tmp_path, sensor_column="CPU")
    assert cases.channel_names == ("CPU-1_used", "CPU0_used", "CPU1_used")


@pytest.mark.parametrize(
    ("name", "words"), [("foot", ["R", "L"]), ("pstate", ["P0", *["P2"] * 19])]
)
def test_a_column_that_alternates_by_itself_is_no_sensor(name, words, tmp_path):
    own = [words[j % len(words)] for j in COUNTS]
    make(tmp_path, lambda k, i, x: csv_text(f"{name},x,y", own, *x[:2]))
    assert load(tmp_path).channel_names == TWO


def test_fields_below_each_other_are_taken_apart(tmp_path):
    """As a query of InfluxDB is exported."""

    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        head = "#group,false\n#datatype,string\n,result,table,_time,_value,_field,_measurement\n"
        times = [f"2024-05-01T10:00:{j // 50:02}.{j % 50 * 20:03}Z" for j in COUNTS]
        return head + "".join(
            f",,{field},{times[j]},{x[field][j]:.4f},{'xy'[field]},imu\n"
            for field in range(2)
            for j in COUNTS
        )

    cases = load(make(tmp_path, text_of))
    assert cases.channel_names == ("x__value", "y__value")
    assert cases.rate == pytest.approx(50)
    assert np.array_equal(signals_of(cases), first())


def test_a_device_that_leads_all_names_of_a_file_is_no_part_of_them(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        names = [f"Shimmer_{430 + i}_{name}" for name in ("Timestamp_CAL", "Accel_X", "Accel_Y")]
        return csv_text(",".join(names) + "\nms,g,g", MS, *x[:2])

    cases = load(make(tmp_path, text_of))
    assert cases.channel_names == ("Accel_X", "Accel_Y")
    assert cases.rate == pytest.approx(50)
    assert any("Shimmer_430_" in note for note in cases.taken.notes)


def test_the_headers_of_labview_are_passed_over(tmp_path):
    head = (
        "LabVIEW Measurement\t\nDecimal_Separator\t,\nDate\t2024/05/01\n***End_of_Header***\t\n\t\n"
        "Channels\t2\t\t\nSamples\t200\t200\t\nX0\t0\t0\t\nDelta_X\t0,02\t0,02\t\n"
        "***End_of_Header***\t\t\t\nX_Value\tVoltage\tCurrent\tComment\n"
    )
    make(
        tmp_path,
        lambda k, i, x: head + csv_text("", SECONDS, *x[:2], separator="\t").replace(".", ","),
    )
    cases = load(tmp_path)
    assert cases.channel_names == ("Voltage", "Current")
    assert cases.rate == pytest.approx(50)
    assert np.array_equal(signals_of(cases), first())


def test_a_count_of_packets_is_no_group(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("pkt,x,y", [9 * i + j // 8 for j in COUNTS], *x[:2]))
    cases = load(tmp_path)
    assert cases.channel_names == TWO
    assert cases.taken.warnings == ()


@pytest.mark.parametrize("form", ["{}", "S{}"])
def test_numbers_of_trials_are_no_channel_and_said_with_the_key(form, tmp_path):
    trial = [form.format(1 + j // 40) for j in COUNTS]
    make(tmp_path, lambda k, i, x: csv_text("trial,x,y", trial, *x[:2]))
    cases = load(tmp_path)
    assert cases.channel_names == TWO
    (warning,) = cases.taken.warnings
    assert "windows reach across them; dataset.group_column=trial cuts there" in warning
    assert load(tmp_path, group_column="trial", length=40, stride=40).taken.warnings == ()
    make(tmp_path, lambda k, i, x: csv_text("trial (no),x,y", trial, *x[:2]))
    assert "'dataset.group_column=trial (no)' cuts there" in load(tmp_path).taken.warnings[0]


def test_a_column_that_changes_about_where_the_label_does_is_no_channel(tmp_path):
    """Such as the labels of Ninapro that were corrected by hand."""
    label = [j // 40 % 3 for j in COUNTS]
    late = [0] * 5 + label[:-5]
    for i in range(4):
        x = noise(i, 2).tolist()
        put(tmp_path, f"r{i}.csv", csv_text("x,y,stimulus,corrected", *x, label, late))
    cases = load(tmp_path, label_column="stimulus", length=20, stride=20)
    assert left_out(cases)["corrected"] == "changes about where the label does"


def test_counts_of_movement_called_activity_are_a_signal(tmp_path):
    """As actigraphs write them, beside the stage in another column."""
    counts = np.random.default_rng(0).integers(0, 300, LENGTH).tolist()
    stage, day = [("REST", "ACTIVE")[j // 50 % 2] for j in COUNTS], [1 + (j > 120) for j in COUNTS]
    for i in range(4):
        own = [counts[i:] + counts[:i], day, stage]
        put(tmp_path, f"r{i}.csv", csv_text("activity,daybynoon,interval", *own))
    cases = load(tmp_path, label_column="interval", length=20, stride=20)
    assert cases.channel_names == ("activity",)


def test_time_that_a_spreadsheet_has_shortened_is_said(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("timestamp,x,y", ["1.61539E+12"] * LENGTH, *x[:2]))
    assert any("nothing is known of rate" in warning for warning in load(tmp_path).taken.warnings)


def test_rows_that_are_written_twice_count_once(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        return csv_text("ms,x,y", *(np.repeat(row, 2).tolist() for row in (MS, *x[:2])))

    cases = load(make(tmp_path, text_of))
    assert cases.rate == pytest.approx(50)
    assert np.array_equal(signals_of(cases), first())
    assert any("rows that repeat the one before left out (200)" in n for n in cases.taken.notes)


def test_labels_in_files_of_their_own_are_named(tmp_path):
    put(tmp_path, "X_train.csv", csv_text("", *noise(0, 5).tolist()))
    put(tmp_path, "y_train.csv", csv_text("", [j % 2 for j in COUNTS]))
    given = defaults("rows", path=str(tmp_path))
    assert "paste -d, X_train.csv y_train.csv" in refusal(case_a_row, **given)
    put(tmp_path, "y_train.csv", "series_id,surface\n0,carpet\n")
    sentence = refusal(load, tmp_path, label_column="surface")
    assert "y_train.csv beside it has one" in sentence


def test_labels_that_are_one_hot_behind_rows_are_refused(tmp_path):
    kinds = [[int(j % 3 == k) for j in COUNTS] for k in range(3)]
    put(tmp_path, "all.csv", csv_text("", *noise(0, 5).tolist(), *kinds))
    sentence = refusal(case_a_row, **defaults("rows", path=str(tmp_path / "all.csv")))
    assert "the last 3 columns hold a single 1 in each row" in sentence


def test_rows_without_a_label_beside_others_are_left_out_as_told(tmp_path):
    cells = noise(0, 5).tolist()
    put(tmp_path, "train.csv", csv_text("a,b,c,d,e,label", *cells, [j % 2 for j in COUNTS]))
    put(tmp_path, "test.csv", csv_text("a,b,c,d,e", *cells))
    given = defaults("rows", path=str(tmp_path))
    assert "leave the file out with 'dataset.files=\"!test.csv\"'" in refusal(case_a_row, **given)
    assert len(case_a_row(**given | {"files": "!test.csv"}).labels) == LENGTH


@pytest.mark.parametrize("form", ["cells", "a list"])
def test_channels_that_take_turns_in_a_row_are_told_and_taken_apart(form, tmp_path):
    """As AcceleRater wants them, and as Movebank has the bursts of e-obs tags."""
    cases = np.cumsum(np.random.default_rng(0).integers(-9, 9, (40, 20, 3)), axis=1)
    cases += np.array([0, 300, 900])
    lines = []
    for k, own in enumerate(cases.reshape(40, -1)):
        label = ("rest", "fly")[k % 2]
        numbers = [str(v) for v in own]
        if form == "cells":
            lines.append(",".join([*numbers, label]))
        else:
            burst = " ".join(numbers)
            lines.append(
                f"{k},2014-06-01 0{k // 8}:{k % 6}5:00.000,XYZ,20.0,{burst},{k % 4},{label}"
            )
    names = "event-id,timestamp,axes,frequency,accelerations-raw,tag,behavior\n"
    put(tmp_path, "tags.csv", ("" if form == "cells" else names) + "\n".join(lines))
    given = defaults("rows", path=str(tmp_path))
    (warning,) = case_a_row(**given).taken.warnings
    assert "dataset.interleaved=3 takes them apart" in warning
    apart = case_a_row(**given | {"interleaved": 3})
    assert apart.class_names == ("fly", "rest")
    assert apart.taken.warnings == ()
    assert np.array_equal(apart.signals[np.arange(40)], cases.transpose(0, 2, 1))
    assert case_a_row(**given | {"interleaved": 1}).taken.warnings == ()
    assert "does not divide" in refusal(case_a_row, **given | {"interleaved": 7})
    if form != "cells":
        sentence = refusal(load, tmp_path, label_column="behavior")
        assert "column 'accelerations-raw' holds a list of numbers" in sentence


def test_channels_beside_each_other_in_a_row_are_channels(tmp_path):
    head = ",".join(["label", *(f"{name}_{k}" for k in range(30) for name in ("ax", "ay"))])
    x = [noise(k, 2, 30) for k in range(6)]
    lines = [[str(k % 2), *(f"{v:.4f}" for v in own.T.ravel())] for k, own in enumerate(x)]
    put(tmp_path, "rows.csv", "\n".join([head, *map(",".join, lines)]) + "\n")
    cases = case_a_row(**defaults("rows", path=str(tmp_path / "rows.csv"), label_column="label"))
    assert cases.channel_names == ("ax", "ay")
    assert np.allclose(cases.signals[np.arange(6)], x, atol=1e-4)


@pytest.mark.parametrize("name", ["strat_fold", "split", "fold", "partition", "Subset"])
def test_columns_of_a_split_are_said_with_the_key(name, tmp_path):
    make(tmp_path, lambda k, i, x: csv_text(f"{name},x,y", [i % 3] * LENGTH, *x[:2]))
    (warning,) = load(tmp_path).taken.warnings
    assert f"dataset.group_column={name}" in warning
    assert load(tmp_path, group_column=name).taken.warnings == ()
    cells = [[f"{v:.3f}" for v in row] for row in noise(3, 4, LENGTH)]
    put(
        tmp_path, "rows.csv", csv_text(f"a,b,c,d,{name},y", *cells, COUNTS, [j % 2 for j in COUNTS])
    )
    cases = case_a_row(**defaults("rows", path=str(tmp_path / "rows.csv"), label_column="y"))
    assert cases.signals.shape[2] == 4
    assert f"dataset.group_column={name}" in cases.taken.warnings[0]


def test_a_column_that_says_the_part_is_the_split(tmp_path):
    words = ["train"] * 100 + ["Val"] * 50 + ["test"] * 48 + ["?"] * 2

    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        return csv_text("set,x,y", words, *x[:2])

    make(tmp_path, text_of)
    (warning,) = load(tmp_path).taken.warnings
    assert "'set' says the part, as train and test do" in warning
    assert "dataset.part_column=set" in warning
    cases = load(tmp_path, part_column="set", length=20, stride=20)
    assert (cases.taken.warnings, cases.channel_names) == ((), ("x", "y"))
    assert "12 rows without a part left out" in cases.taken.notes
    starts = [set(cases.taken.starts[cases.part == part].tolist()) for part in range(3)]
    assert [sorted(own) for own in starts] == [
        [0, 20, 40, 60, 80], [100, 120], [150, 170]
    ]  # fmt: skip

    columns = [*noise(3, 4, 40).tolist(), [k % 5 // 4 for k in range(40)], [*"ab"] * 20]
    put(tmp_path, "rows.csv", csv_text("a,b,c,d,is_test,y", *columns))
    given = {"path": str(tmp_path / "rows.csv"), "label_column": "y"}
    cases = case_a_row(**defaults("rows", **given, part_column="is_test"))
    assert cases.part.tolist() == [0, 0, 0, 0, 2] * 8
    sentence = refusal(case_a_row, **defaults("rows", **given, part_column="a"))
    assert "but must hold train, validation and test, or 0, 1 and 2" in sentence


def test_sensors_that_no_two_recordings_share_are_refused(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        return csv_text("time,sensor,value", SECONDS, [f"s{k}{j % 2}" for j in COUNTS], x[0])

    assert "no sensor is in all recordings" in refusal(load, make(tmp_path, text_of))

    def of_people(k: int, i: int, x: list[list[float]]) -> str:  # P1 may be an electrode, too
        return csv_text(
            "time,who,value", SECONDS, [f"P{6 * k + 2 * i + j % 2}" for j in COUNTS], x[0]
        )

    assert load(make(tmp_path, of_people)).channel_names == ("value",)


# Heads of files


def test_names_on_several_levels_are_put_together(tmp_path):
    for number, (head, names) in enumerate(
        (
            ("sensor,acc,gyr\naxis,x,x\ntime,,\n", ("acc_x", "gyr_x")),
            (",Acc,Gyro\ntime,x,x\n", ("Acc_x", "Gyro_x")),
            ("time,Acc,Light\n,x,\n", ("x", "Light")),
            ("time,a,b\ns,m/s^2,m/s^2\n", ("a", "b")),
            ("time,a,b\nhh:mm:ss.000,mV,uS\n", ("a", "b")),
        )
    ):
        folder = tmp_path / str(number)
        make(folder, lambda k, i, x, head=head: head + csv_text("", SECONDS, *x[:2]))
        cases = load(folder)
        assert cases.channel_names == names
        assert list(left_out(cases)) == ["time"]
        assert np.array_equal(signals_of(cases), first())


@pytest.mark.parametrize(
    ("head", "rate"),
    [
        ("--- Created By ActiGraph GT3X+ date format M/d/yyyy at 30 Hz  Filter Normal ---\n", 30),
        ("Sampling frequency (Hz): 512\n", 512),
        ("% Sample Rate = 250.0 Hz\n", 250),
        ("// Update Rate: 100.0Hz\n// Filter Profile: human (46.1)\n", 100),
        ("Sample Rate\t5120\nSamples: 200\n", 5120),
        ("Cutoff at 4 m\nSample rate unknown\n", None),
        ("Sample Rate:  Every 1 minute(s)\n", None),
        ("FREQUENCY\t100\nANALOG_FREQUENCY\t0\n", 100),
        ("# started at 12\n# Temperature at 25.0\n", None),
        ("Frequency: 5\n", None),  # of a stimulus, perhaps
    ],
)
def test_a_rate_above_the_table_is_taken_and_said(head, rate, tmp_path):
    make(tmp_path, lambda k, i, x: f"{head}Serial: N1\nx,y\n" + csv_text("", *x[:2]))
    cases = load(tmp_path)
    assert cases.rate == rate
    said = f"{rate:g} Hz as the lines above the table say in 6 files" if rate else ""
    assert (said in cases.taken.notes) == (rate is not None)


def test_lines_of_a_watch_above_one_column_are_about_it(tmp_path):
    head = 'Name,Jo\nDevice,"Watch6,2"\nSample Rate,512.414 hertz\n\nLead,Lead I\nUnit,µV\n\n'
    cases = load(make(tmp_path, lambda k, i, x: head + csv_text("", x[0])))
    assert (cases.signals.shape[1], cases.rate) == (1, 512)


@pytest.mark.parametrize("count", [3, 60, 300])
def test_a_rate_above_a_table_of_any_length_is_found(count):
    head, row = ("Sampling frequency (Hz): 512", "Serial: N1", "x,y"), "0.5,1.25"
    assert find_layout([*head, *[row] * count]).rate == 512
    ended = [row] * (count - 1) + ["at 50 Hz,1.25"]
    assert find_layout([*head[1:], *ended]).rate is None


def empatica(folder: Path) -> None:
    for k, label in enumerate(("walk", "run")):
        for i in range(3):
            x, place = noise(10 * k + i), f"{label}/rec{i}"
            for name, rate, rows in (("ACC", 32, x[:2]), ("BVP", 64, np.repeat(x[:1], 2, axis=1))):
                lines = [["1544027337.000000"] * len(rows), [f"{rate}.000000"] * len(rows)]
                lines += [[f"{v:.4f}" for v in row] for row in rows.T]
                put(folder, f"{place}/{name}.csv", "\n".join(", ".join(line) for line in lines))
            put(folder, f"{place}/IBI.csv", "1544027337.0, IBI\n1.5,0.8\n2.3,0.79\n")
            put(folder, f"{place}/tags.csv", "")


def test_rows_of_start_and_rate_are_no_samples(tmp_path):
    empatica(tmp_path)
    cases = load(tmp_path, files="ACC.csv")
    assert cases.rate == 32
    assert np.array_equal(signals_of(cases), first())
    both = load(tmp_path)
    assert both.channel_names == ("ACC_channel_0", "ACC_channel_1", "BVP_channel_0")
    assert both.rate == 64
    assert np.array_equal(signals_of(both)[2, ::2], first()[0, :32])
    assert any("IBI.csv, tags.csv" in note for note in both.taken.notes)


# Files and folders


def test_files_beside_those_of_sensors_are_of_the_same_recording(tmp_path):
    for k, label in enumerate(("walk", "run")):
        for i in range(3):
            x = noise(10 * k + i).tolist()
            for name in ("Accelerometer", "WristMotion"):
                put(tmp_path, f"{label}/r{i}/{name}.csv", csv_text("time,x,y", SECONDS, *x[:2]))
    cases = load(tmp_path)
    assert cases.channel_names[::2] == ("Accelerometer_x", "WristMotion_x")
    assert len(cases.taken.origins) == 6


def test_what_systems_leave_behind_is_no_recording(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("time,x,y", SECONDS, *x[:2]))
    for name in ("__MACOSX/walk/r0.csv", "walk/~$r0.csv", "walk/@eaDir/r0.csv", "run/._r0.csv"):
        put(tmp_path, name, b"\0\5\x16\7\0\2\0\0Mac OS X")
    assert load(tmp_path).class_names == ("run", "walk")


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (("walk/a.zip", "run/a.zip"), "2 .zip files: unpack them first (unzip)"),
        (("walk/a.edf.gz",), "unpack it first (gunzip"),
        (("walk/a.mp3",), "ffmpeg -i IN.mp3 OUT.wav"),
        (("walk/a.pkl",), "are never read"),
        (("walk/a.log",), "dataset.files='*.log'"),
        (("walk/2004.02.12.10.32.39",), "(such as 2004.02.12.10.32.39): if they are text"),
        (("walk/LOG1",), "1 file without an ending"),
        (("README.txt", "d1p01F", "d1p02M"), "2 files without an ending (such as d1p01F)"),
        (("meta.json", "X.npy", "y.npy"), "2 .npy files: use dataset=npy"),
        (("walk/a.ts",), "they are text, and dataset.files='*.ts'"),
        (("eyes.arff",), "if it is a recording, take it with dataset.files='*.arff'"),
        (("s1.gdf", "s1.gdf.event"), "mne.io.read_raw('IN.gdf').export('OUT.edf')"),
        (("s1.eeg", "s1.vhdr", "s1.vmrk"), "mne.io.read_raw('IN.vhdr').export('OUT.edf')"),
        ([f"sc/{k}.npz" for k in range(8)], "docs/data.md, under Arrays, shows the lines"),
        (("walk/a.tsd",), "they are text, and dataset.files='*.tsd'"),
        (("train/y_train.txt", "train/Inertial Signals/x_train.txt"), "docs/data.md, under Arrays"),
        (("2024-05-01/walk/a.csv", "2024-05-01/run/a.csv", "2024-05-02/walk/a.csv",
          "2024-05-02/run/a.csv"), "look like occasions"),
        ([f"2024_5_{d}/AM_{k}/{c}/a.csv" for d in "12" for k in "12" for c in ("walk", "run")],
         "(run, walk) like classes; say so with dataset.class_level=3 dataset.groups=1"),
    ],
)  # fmt: skip
def test_other_files_are_refused_with_what_helps(names, part, tmp_path):
    for seed, name in enumerate(names):
        put(tmp_path, name, csv_text("x,y", *noise(seed, 2).tolist()))
    assert part in refusal(load, tmp_path)


def test_labels_beside_recordings_are_told_with_the_words_that_take_them(tmp_path):
    for k in range(6):
        put(tmp_path, f"a/room{k}/data.csv", csv_text("", *noise(k).tolist()))
        put(tmp_path, f"a/room{k}/labels.csv", ("walk\n" if k % 2 else "run\n") * LENGTH)
        put(tmp_path, f"b/data/r{k}.csv", csv_text("", *noise(k).tolist()))
        put(tmp_path, f"b/label/r{k}.csv", "walk\n" if k % 2 else "run\n")
    sentence = refusal(load, tmp_path / "a")
    assert "paste -d, data.csv labels.csv > joined.csv" in sentence
    assert "dataset.files=joined.csv dataset.label_column=-1" in sentence
    given = {"files": "data/*.csv"}
    sentence = refusal(load, tmp_path / "b", **given)
    assert "'dataset.annotations=\"../label/*.csv\"'" in sentence
    cases = load(tmp_path / "b", **given, annotations="../label/*.csv")
    assert cases.class_names == ("run", "walk")
    sentence = refusal(load, tmp_path / "b")
    assert "'dataset.files=\"*data/*.csv\"' 'dataset.annotations=\"../label/*.csv\"'" in sentence


def test_axes_and_classes_called_y_are_no_labels(tmp_path):
    for k in range(4):
        for axis in "xy":
            put(tmp_path, f"a/{'no' if k % 2 else 'go'}/{k}/{axis}.csv", csv_text("v", noise(k)[0]))
        for name, length in (("no", 5 * LENGTH), ("y", LENGTH)):
            rows = noise(k, 2, length).tolist()
            put(tmp_path, f"b/{name}/{k}.csv", csv_text("ax,ay", *rows))
    assert load(tmp_path / "a").channel_names == ("x_v", "y_v")
    assert load(tmp_path / "b").class_names == ("no", "y")


def test_rows_in_no_order_are_told_by_evenly_spaced_values(tmp_path):
    times = np.random.default_rng(0).permutation(LENGTH) * 1e-5 + 0.2
    make(tmp_path, lambda k, i, x: csv_text("", [f"{t:.18e}" for t in times], x[0]))
    assert "dataset.time_column=channel_0 puts them in order" in refusal(load, tmp_path)
    assert load(tmp_path, time_column="channel_0").channel_names == ("channel_1",)


def test_a_list_of_files_that_are_not_read_is_no_recording(tmp_path):
    for k in range(4):
        put(tmp_path, f"set/{k}.data", bytes(range(256)) * 9)
    put(
        tmp_path,
        "set/metadata.csv",
        "FileName,power\n" + "".join(f"{k}.data,1\n" for k in range(4)),
    )
    assert "names others such as 0.data, and those are no text" in refusal(load, tmp_path)
    rows = [f"{j // (LENGTH // 4)}.data" for j in range(LENGTH)]
    labels = ["a" if j < LENGTH // 2 else "b" for j in range(LENGTH)]
    text = csv_text("image,x,label", rows, noise(0)[0], labels)
    put(tmp_path, "set/metadata.csv", text)
    assert load(tmp_path, label_column="label").channel_names == ("x",)


def test_classes_below_folders_of_machines_are_told(tmp_path):
    places = [(m, s, c) for m in ("M01", "M02") for s in ("OP1", "OP2") for c in ("good", "bad")]
    for seed, (machine, step, label) in enumerate(places):
        put(tmp_path, f"{machine}/{step}/{label}/a.csv", csv_text("x,y", *noise(seed, 2).tolist()))
    (warning,) = load(tmp_path).taken.warnings
    assert "dataset.class_level=3 dataset.groups=1 says so" in warning


def test_labels_may_be_written_for_each_sample_of_a_case(tmp_path):
    put(tmp_path, "Acc_x.txt", "0.1 0.2 0.3\n0.4 0.5 0.6\n")
    put(tmp_path, "Label.txt", "1 1 1\n2 2 2\n")
    assert "with labels in Label.txt: docs/data.md, under Arrays" in refusal(load, tmp_path)


def test_files_of_other_programs_are_told_with_what_converts_them(tmp_path):
    put(tmp_path, "walk/a.xlsx", b"PK\x03\x04" + bytes(500))
    remedy = "as with: soffice --headless --convert-to csv *.xlsx, or to data.npy and label.npy."
    assert refusal(load, tmp_path).endswith(remedy)


# Columns


@pytest.mark.parametrize("cell", ["{:.2f} q", "{:.2f}*3A", "[{:.2f}, 1]"])
def test_cells_that_are_no_plain_numbers_are_said(cell, tmp_path):
    odd = [cell.format(v) for v in noise(3, 1)[0]]
    make(tmp_path, lambda k, i, x: csv_text("time;x;y", SECONDS, x[0], odd, separator=";"))
    cases = load(tmp_path)
    (warning,) = cases.taken.warnings
    assert "'y' is left out, as it holds words: cells such as" in warning
    assert "write plain numbers" in warning
    make(tmp_path / "b", lambda k, i, x: csv_text("time;x;y", SECONDS, odd, odd, separator=";"))
    assert "write plain numbers, one a cell" in refusal(load, tmp_path / "b")


@pytest.mark.parametrize(
    ("line", "head"),
    [
        ("AccX={:.4f}g AccY={:.4f}g", ""),
        ("{:.4f} g,{:.4f} g", "AccX,AccY\n"),
        ("{:.4f}g;{:.4f}g", "AccX;AccY\n"),
        ('"{:.4f} A AC","{:.4f} A AC"', "AccX,AccY\n"),
        ("{:.4f} GiB,{:.4f} GiB", "AccX,AccY\n"),
    ],
)
def test_units_behind_numbers_are_the_channels(line, head, tmp_path):
    make(
        tmp_path,
        lambda k, i, x: head + "".join(f"{line}\n".format(*v) for v in zip(*x[:2], strict=True)),
    )
    cases = load(tmp_path)
    unit = next(unit for unit in ("A AC", "GiB", "g") if unit in line)
    assert (cases.channel_names, cases.units) == (("AccX", "AccY"), (unit, unit))
    assert np.array_equal(signals_of(cases), first())
    path = tmp_path / "run/r0.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], lines[-1].replace(unit, f"m{unit}")]) + "\n")
    assert str(len(lines)) in refusal(load, tmp_path)


def test_a_label_at_the_first_row_of_a_stretch_holds_for_those_below(tmp_path):
    words = ["walk" if j == 0 else "run" if j == 80 else "" for j in COUNTS]
    make(tmp_path, lambda k, i, x: csv_text("label,x,y", words, *x[:2]))
    cases = load(tmp_path, label_column="label", length=40, stride=40)
    assert cases.taken.starts[:5].tolist() == [0, 40, 80, 120, 160]
    assert [cases.class_names[k] for k in cases.labels[:5]] == ["walk"] * 2 + ["run"] * 3
    assert any("'label' stands at the first row of each stretch" in n for n in cases.taken.notes)
    make(tmp_path, lambda k, i, x: csv_text("label;x;y", words, *x[:2], separator=";"))
    again = load(tmp_path, label_column="label", length=40, stride=40)
    assert again.labels.tolist() == cases.labels.tolist()
    make(tmp_path, lambda k, i, x: csv_text("label,x,y", ["", *words[:-1]], *x[:2]))
    assert "fill them down" in refusal(load, tmp_path, label_column="label")


@pytest.mark.parametrize("form", ["{:02.0f}{:02.0f}{:04.1f}", "{:02.0f}{:02.0f}{:02.0f}{:03.0f}"])
def test_a_clock_may_be_the_digits_of_a_number(form, tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        seconds = [43_140 + 0.5 * j for j in COUNTS]  # from 11:59:00
        if "3" in form:
            parts = [(s // 3600, s // 60 % 60, s // 1 % 60, s % 1 * 1000) for s in seconds]
        else:
            parts = [(s // 3600, s // 60 % 60, s % 60) for s in seconds]
        return csv_text("fix,x,y", [form.format(*own) for own in parts], *x[:2])

    cases = load(make(tmp_path, text_of))
    assert (cases.channel_names, cases.rate, cases.taken.origins[0].num_gaps) == (TWO, 2, 0)
    assert any("(hhmmss) in 6 files" in note for note in cases.taken.notes)


def test_samples_that_were_lost_are_said_and_filled_by_a_rate(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        kept = [j for j in COUNTS if j % 11 != 5]
        columns = [[own[j] for j in kept] for own in x[:2]]
        return csv_text("time,x,y", [f"{j / 50:.2f}" for j in kept], *columns)

    taken = load(make(tmp_path, text_of)).taken
    (warning,) = taken.warnings
    assert "missing between others in 6 of 6 recordings (9 % in" in warning
    assert warning.endswith("fill them with dataset.rate=50")
    assert taken.origins[0].rate == pytest.approx(50)
    filled = load(tmp_path, rate=50).taken
    assert not filled.warnings
    assert "6 of 6 recordings resampled to 50 Hz" in filled.notes


def test_minutes_and_tenths_of_seconds_are_what_spreadsheets_show_of_a_time(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        seconds = [50 + 0.5 * j for j in COUNTS]
        stamps = [f"{int(s) // 60:02d}:{s % 60:04.1f}" for s in seconds]
        return csv_text("time,x,y", stamps, *x[:2])

    cases = load(make(tmp_path, text_of))
    assert (cases.channel_names, cases.rate, cases.taken.origins[0].num_gaps) == (TWO, 2, 0)


def test_seconds_behind_a_gap_are_no_digits_of_a_clock(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        seconds = [0.5 * j + 3_600 * (j > COUNTS[-1] // 2) for j in COUNTS]  # summer's end
        return csv_text("time,x,y", [f"{s:.1f}" for s in seconds], *x[:2])

    taken = load(make(tmp_path, text_of)).taken
    assert (taken.origins[0].num_gaps, taken.origins[0].rate) == (1, 2)
    assert not any("hhmmss" in note for note in taken.notes)


def test_a_second_clock_and_what_changes_slowly_are_no_channels(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        slow = [[98 - j // 70 for j in COUNTS], [20 + j // 60 for j in COUNTS]]
        other = [30 * j for j in COUNTS]
        return csv_text("acc_time,x,gyr_time,y,battery,temp", MS, x[0], other, x[1], *slow)

    cases = load(make(tmp_path, text_of))
    assert (cases.channel_names, cases.rate) == ((*TWO, "temp"), 50)
    assert left_out(cases)["gyr_time"] == "another clock"
    assert "falls step by step" in left_out(cases)["battery"]
    assert "'gyr_time' goes 1.5 times as fast as 'acc_time'" in cases.taken.warnings[0]


def test_ticks_and_metres_beside_a_clock_are_no_other_clock(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        halting = [j - (j > 50) for j in COUNTS]  # a second is written twice
        metres, ticks = [8 * j for j in COUNTS], [37184 + j for j in COUNTS]
        return csv_text("secs,km,node_stamp,x,y", halting, metres, ticks, *x[:2])

    cases = load(make(tmp_path, text_of))
    assert (cases.channel_names, cases.taken.warnings) == (TWO, ())
    assert cases.rate == pytest.approx(1, rel=0.01)


def test_frames_of_a_camera_are_no_trials_and_no_clock_of_another_sensor(tmp_path):
    frames = [j * 30 // 200 for j in COUNTS]
    make(tmp_path, lambda k, i, x: csv_text("ms,x,y,video_stamp", MS, *x[:2], frames))
    cases = load(tmp_path)
    assert (cases.channel_names, cases.taken.warnings) == (TWO, ())
    assert left_out(cases)["video_stamp"] == "another clock"


def test_words_with_digits_are_words(tmp_path):
    rooms = [f"room {j % 7}" for j in COUNTS]
    make(tmp_path, lambda k, i, x: csv_text("time,x,room", SECONDS, x[0], rooms))
    assert left_out(load(tmp_path))["room"] == "words"


def test_a_channel_that_tells_recordings_apart_is_said(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        place = [f"{48 + 0.1 * k + 0.01 * i + 1e-3 * abs(v):.5f}" for v in x[1]]
        return csv_text("time,x,lon", SECONDS, x[0], place)

    cases = load(make(tmp_path, text_of))
    assert "channel 'lon' has values of its own in each recording" in cases.taken.warnings[-1]
    assert load(tmp_path, columns=["x"]).taken.warnings == ()


def test_a_year_that_there_is_not_is_no_date():
    assert np.isnan(to_seconds(["2024-13-01"], day_comes_first=False)).all()


@pytest.mark.parametrize("high", [29, 31])  # on either side of three times the least step
def test_stamps_that_shake_are_no_gaps(high, tmp_path):
    stamps = np.cumsum([10, 20, high, 20] * (LENGTH // 4)).tolist()
    make(tmp_path, lambda k, i, x: csv_text("ms,x,y", stamps, *x[:2]))
    cases = load(tmp_path)
    assert cases.rate == pytest.approx(1000 * (LENGTH - 1) / (stamps[-1] - stamps[0]), rel=5e-3)
    assert len(cases.labels) == 6 * 3


# Copies, and files that are not what they are called


@pytest.mark.parametrize("rows", [slice(0, 150), slice(40, None)])
def test_a_recording_that_was_cut_from_another_is_a_copy_of_it(rows, tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("time,x,y", SECONDS, *x[:2]))
    lines = (tmp_path / "walk/r1.csv").read_text().splitlines()
    cut = "\n".join([lines[0], *lines[1:][rows]])
    put(tmp_path, "walk/r1 (cut).csv", cut)
    cases = load(tmp_path)
    assert len(set(cases.groups)) == 6
    assert "1 of 7 recordings are copies of others" in cases.taken.warnings[0]
    put(tmp_path, "run/cut.csv", cut)
    assert "hold the same samples under two classes" in refusal(load, tmp_path)


def test_recordings_that_begin_alike_are_no_copies(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("time,x", SECONDS, [0.5] * 140 + x[0][140:]))
    assert len(set(load(tmp_path, length=32, stride=32).groups)) == 6


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"\x1f\x8b\x08\x00abc", "compressed by gzip"),
        (b"PK\x03\x04" + bytes(range(99)), "a zip archive or a spreadsheet"),
        (b"<!DOCTYPE html>\n<html></html>\n", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n", "git lfs pull"),
        (b"    -1\r\n    58\r\n" + b"  0.1  0.2\r\n" * 20, "UFF 58"),
        (b"$date Mon $end\n$timescale 1 us $end\n#0 1!\n#9 0!\n", "sigrok-cli -i OLD -O csv"),
        ("Zeit;X\n0,5;1\n1,5;2\n".encode("utf-16-le"), "UTF-16 without its mark"),
        ("Zeit;X [m/s²]\n0,5;1\n".encode("latin-1"), "iconv -f WINDOWS-1252 -t UTF-8"),
    ],
)
def test_what_a_file_really_is_is_said(content, part, tmp_path):
    put(tmp_path, "walk/a.csv", content)
    assert part in refusal(load, tmp_path)


def test_text_that_ends_as_another_kind_is_told_with_what_renames_it(tmp_path):
    """As Sensirion's .edf, or MATLAB's save -ascii."""
    put(tmp_path, "walk/a.edf", "# EdfVersion=4.0\nEpoch_UTC\tT\n" + "1\t2\n" * 200)
    put(tmp_path, "walk/b.edf", "no EDF")
    told = refusal(load, tmp_path)
    assert "a.edf is text and no .edf" in told
    assert "grep -rIlZ . FOLDER --include='*.edf' | xargs -0 -I{} mv {} {}.csv" in told
    put(tmp_path, "walk/a.edf", "<!DOCTYPE html>\n<title>404</title>\n")
    assert "is a page of the web" in refusal(load, tmp_path)


def test_names_that_differ_in_case_and_signs_are_one(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text(
        "Time,ACC_Y,ACC_X" if i == 1 else "time,acc.x,acc.y", SECONDS,
        *(x[1::-1] if i == 1 else x[:2]),
    ))  # fmt: skip
    cases = load(tmp_path)
    assert cases.channel_names == ("acc.x", "acc.y")
    assert left_out(cases) == {"time": "time", "Time": "time"}
    assert cases.rate == 50
    assert np.array_equal(signals_of(cases, 1), first(seed=11))


def test_channels_whose_names_differ_in_signs_alone_are_told_apart(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text(
        "time,a_x,ax" if i == 1 else "time,ax,a_x", SECONDS, *(x[1::-1] if i == 1 else x[:2]),
    ))  # fmt: skip
    cases = load(tmp_path)
    assert cases.channel_names == ("ax", "a_x")
    assert np.array_equal(signals_of(cases, 1), first(seed=11))
    put(tmp_path, "walk/r1.csv", csv_text("time,A_X,AX", SECONDS, *noise(11, 2).tolist()))
    assert "has the channels A_X, AX, but the first recording" in refusal(load, tmp_path)


def test_channels_that_differ_are_refused_with_what_all_have(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("t,x,y,z" if k else "t,x,y", SECONDS, *x[: 2 + k]))
    assert "dataset.columns=[x,y]" in refusal(load, tmp_path)


# Arrays


SIGNALS = np.random.default_rng(1).standard_normal((30, 2, 16)).astype(np.float32)


@pytest.mark.parametrize(
    ("arrays", "part"),
    [
        ({"X": SIGNALS, "y": np.arange(30) % 2}, "such as dataset.data=X.npy dataset.label=y.npy"),
        ({"X_train": SIGNALS, "y_train": SIGNALS, "X_test": SIGNALS}, "numpy.concatenate"),
        ({"features": SIGNALS, "Labels": SIGNALS}, "data=features.npy dataset.label=Labels.npy"),
        ({"data": SIGNALS.swapaxes(0, 1), "label": np.arange(30) % 2}, "moveaxis(data, 1, 0)"),
        ({"data": SIGNALS, "labels": np.arange(30) % 2}, "there is: labels.npy"),
    ],
)  # fmt: skip
def test_arrays_of_other_names_and_axes_are_refused_with_the_words_that_help(
    arrays, part, tmp_path
):
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    assert part in refusal(load_npy, tmp_path)


def test_a_folder_of_archives_is_refused_with_their_names(tmp_path):
    np.savez(tmp_path / "all.npz", x=SIGNALS, y=np.arange(30))
    words = defaults("npz", path=str(tmp_path))
    assert f"such as {tmp_path / 'all.npz'}" in refusal(npz, **words)
    words["path"] = str(tmp_path / "all.npz")
    assert "dataset.data=x dataset.label=y" in refusal(npz, **words)
    np.savez(tmp_path / "all.npz", np.arange(30), SIGNALS)
    assert "dataset.data=arr_1 dataset.label=arr_0" in refusal(npz, **words)
    own = {f"{part}/{x}": None for part in ("train", "test") for x in ("data", "labels")}
    assert "dataset.data=train/data dataset.label=train/labels; join" in such_as(
        own, tmp_path / "a.h5"
    )


@pytest.mark.parametrize("as_folder", [True, False])
def test_arrays_of_parts_are_joined_by_the_command_that_is_given(as_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = {
        f"{what}_{part}": values[k::3]
        for k, part in enumerate(("train", "val", "test"))
        for what, values in (("X", SIGNALS), ("y", np.arange(30) % 2))
    }
    if as_folder:
        for name, values in own.items():
            np.save(f"{name}.npy", values)
        sentence = refusal(load_npy, tmp_path)
    else:
        np.savez("all.npz", **own)
        sentence = refusal(npz, **defaults("npz", path="all.npz"))
    found = re.search(r'python (-c "[^"]+"): dataset=npz dataset.path=(\S+) (\S+part)', sentence)
    subprocess.run([sys.executable, *shlex.split(found[1])], check=True)
    cases = npz(**defaults("npz", path=found[2], part="part"))
    assert np.array_equal(cases.part, np.repeat([0, 1, 2], 10))
    assert np.array_equal(cases.signals[:], np.concatenate([SIGNALS[k::3] for k in range(3)]))


def test_labels_within_recordings_below_numbered_folders_are_told(tmp_path):
    labels = [j // 40 % 2 for j in COUNTS]
    for seed, name in enumerate(("01", "02")):
        for i in range(3):
            text = csv_text("time,x,y,class", SECONDS, *noise(10 * seed + i, 2).tolist(), labels)
            put(tmp_path, f"{name}/r{i}.csv", text)
    told = [own for own in load(tmp_path).taken.warnings if "dataset.label_column=class" in own]
    assert told == [
        "column 'class' is called as labels are and is not used, as the classes are 01, 02; if "
        "these are people, take it with dataset.label_column=class"
    ]
    taken = load(tmp_path, label_column="class", length=32, stride=32).taken
    assert not any("called as" in own for own in taken.warnings)


def test_windows_of_a_moment_of_sound_are_told(tmp_path):
    for number in range(6):
        path = tmp_path / ("hum", "knock")[number % 2] / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        pcm(path, 2, np.random.default_rng(number).uniform(-0.5, 0.5, (4000, 1)))
    told = [own for own in load(tmp_path).taken.warnings if "of sound" in own]
    assert len(told) == 1
    assert "dataset.length=1s frontend=logmel" in told[0]
    assert not any(
        "of sound" in own for own in load(tmp_path, length="0.2s", stride=None).taken.warnings
    )


def test_a_file_that_is_never_read_is_told_by_its_kind(tmp_path):
    put(tmp_path, "all.zip", b"PK\3\4\xff")
    sentence = refusal(load, tmp_path, path=str(tmp_path / "all.zip"))
    assert (
        sentence
        == f"{tmp_path}/all.zip: there is no table, but 1 .zip file: unpack it first (unzip)."
    )


def test_bearings_of_two_files_in_one_are_told_by_its_name():
    names = ["X098_DE_time", "X099_DE_time", "X099RPM"]
    assert _without_numbers(names[1:], "99") == {"X099_DE_time": "DE_time", "X099RPM": "RPM"}
    assert _without_numbers(names, "99") == {"X099_DE_time": "DE_time", "X099RPM": "RPM"}
    assert _without_numbers(names, "normal")["X098_DE_time"] == "X098_DE_time"


# Where the class and the split stand


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (("Actor_01", "Actor_02", "Actor_03"), "look like people"),
        (("2024-05-01", "2024-05-02"), "look like occasions"),
        (
            ("dws_1", "dws_2", "wlk_7", "wlk_8"),
            "differ only in a number; if they are one class, say dataset.class_level=1 "
            "dataset.class_part=1",
        ),
        (("dws1", "dws2", "wlk7", "wlk8"), "put their recordings into one folder"),
        (("a01", "a02", "a03"), None),
        (("U1 (1)", "U1 (2)", "U2 (1)"), "look like people"),
        (
            ("oaf_sad", "oaf_glad", "yaf_sad", "yaf_glad"),
            "take it with dataset.class_level=1 dataset.class_part=1 or 2",
        ),
        (("ok_9rpm", "ok_8rpm", "bad_coil_9rpm", "bad_coil_8rpm"), "before the last part of the"),
        (("walk", "run"), None),
    ],
)
def test_folders_that_are_hardly_classes_are_said(names, part, tmp_path):
    for seed, name in enumerate(names):
        put(tmp_path, f"{name}/x.csv", csv_text("time,x", SECONDS, noise(seed, 1)[0].tolist()))
    warnings = load(tmp_path).taken.warnings
    assert any(part in warning for warning in warnings) if part else not warnings


@pytest.mark.parametrize(
    ("name", "labels", "words"),
    [
        ("{0}/{1}_{0}_R0{2}.csv", ("D01", "F05"), {"class_part": 1, "groups": 1}),
        ("{0}/{1}{2}.csv", ("run", "walk"), {"groups": 1}),
    ],
)
def test_words_for_people_whose_files_name_the_class_can_be_typed(name, labels, words, tmp_path):
    """As in SisFall."""
    for seed in range(12):
        place = name.format(("SA01", "SA02", "SE01")[seed % 3], labels[seed % 2], seed // 6)
        put(tmp_path, place, csv_text("x,y", *noise(seed, 2).tolist()))
    (told,) = (own for own in load(tmp_path).taken.warnings if "look like people" in own)
    words = {"class_level": 0, **words}
    typed = " ".join(f"dataset.{key}={value}" for key, value in words.items())
    assert told.endswith(f"say the class ({labels[0]}, {labels[1]}), take it with {typed}")
    cases = load(tmp_path, **words)
    assert cases.class_names == labels
    assert not cases.taken.warnings


def test_the_class_may_be_one_part_of_the_files_name(tmp_path):
    for seed in range(12):
        person, label = seed // 4, ("walk", "run")[seed % 2]
        text = csv_text("time,x", SECONDS, noise(seed, 1)[0].tolist())
        put(tmp_path, f"s{person}_{label}_{seed}.csv", text)
    for seed, name in enumerate(("adl-01-acc", "adl-02-acc", "fall-01-acc", "fall-02-acc")):
        put(tmp_path, f"urfall/{name}.csv", csv_text("time,x", SECONDS, noise(seed, 1)[0].tolist()))
    sentence = refusal(load, tmp_path / "urfall", class_level=0)
    assert "(adl, fall) with dataset.class_level=0 dataset.class_part=1" in sentence
    shutil.rmtree(tmp_path / "urfall")
    warning = load(tmp_path, class_level=0).taken.warnings[-1]
    assert "parts 1 (s0, s1, s2) and 2 (run, walk) of the files' names" in warning
    cases = load(tmp_path, class_part=2, groups="s?")
    assert cases.class_names == ("run", "walk")
    assert len(set(cases.groups)) == 3
    assert "s0_run_1 has 3 parts (s0, run, 1)" in refusal(load, tmp_path, class_part=4)
    assert "dataset.class_part=0 is no part" in refusal(load, tmp_path, class_part=0)
    for path in sorted(tmp_path.iterdir()):
        person, label, number = path.stem.split("_")
        path.rename(path.with_name(f"{person}{label.upper()}1R{number}.csv"))
    assert load(tmp_path, class_part=2).class_names == ("RUN1", "WALK1")
    assert load(tmp_path, class_part="[0-9]([A-Z]+)1").class_names == ("RUN", "WALK")
    assert load(tmp_path, class_part="[A-Z]{3}").class_names == ("RUN", "WAL")
    assert "fits nothing in s0RUN1R1" in refusal(load, tmp_path, class_part="WALK")
    assert "is no regular expression" in refusal(load, tmp_path, class_part="[A-Z")


def test_words_of_a_sensor_run_together_are_one_sensor(tmp_path):
    """As Myo's orientationEuler.csv beside orientation.csv."""
    for k in range(4):
        for sensor in ("emg", "orientation", "orientationEuler"):
            text = csv_text("time,x", SECONDS, noise(k + len(sensor), 1)[0].tolist())
            put(tmp_path, f"{'ab'[k % 2]}/{sensor}-145670{k}.csv", text)
    assert load(tmp_path).channel_names == ("emg_x", "orientation_x", "orientationEuler_x")


def test_sensors_in_the_folder_of_which_a_part_is_the_class_are_joined(tmp_path):
    """As in RealWorld HAR."""
    for k in range(12):
        sensor, label = ("acc", "gyr")[k % 2], ("walk", "run")[k // 2 % 2]
        text = csv_text("time,x", SECONDS, noise(k, 1)[0].tolist())
        put(tmp_path, f"proband{k // 4}/{sensor}_{label}/{sensor}_{label}_chest.csv", text)
    warnings = load(tmp_path, class_level=2, groups=1).taken.warnings
    assert any("parts 1 (acc, gyr) and 2 (run, walk) of the folders' names" in w for w in warnings)
    cases = load(tmp_path, class_level=2, class_part=2, groups=1)
    assert (cases.class_names, cases.channel_names) == (("run", "walk"), ("acc_x", "gyr_x"))


def test_a_table_of_the_numbers_of_recordings_is_told_what_it_could_be(tmp_path):
    """As the targets of UCI's movements in a house."""
    for k in range(4):
        put(tmp_path, f"rss/rss_{k}.csv", csv_text("#x, y", *noise(k, 2).tolist()))
    table = "#number, label\n" + "".join(f"{k}, {k % 2}\n" for k in range(20))
    put(tmp_path, "rss/target.csv", table)
    told = "write it as labels.csv, with"
    assert told in refusal(load, tmp_path)
    assert told in refusal(load, tmp_path, label_column="label")


def test_folders_of_numbers_with_files_of_the_same_names_are_told(tmp_path):
    for k in range(6):
        text = csv_text("time,x", SECONDS, noise(k, 1)[0].tolist())
        put(tmp_path, f"0{k // 2}/{('walk', 'run')[k % 2]}.csv", text)
    (warning,) = load(tmp_path).taken.warnings
    assert "files such as run, walk" in warning
    (warning,) = load(tmp_path, class_level=0).taken.warnings
    assert "dataset.groups=1" in warning
    assert load(tmp_path, class_level=0, groups=1).taken.warnings == ()


@pytest.mark.parametrize("place", ["{}.csv", "{}/x.csv"])
def test_classes_before_the_last_part_of_names_of_unlike_length(place, tmp_path):
    for seed, name in enumerate(("ok_9rpm", "ok_8rpm", "bad_coil_9rpm", "bad_coil_8rpm")):
        text = csv_text("time,x", SECONDS, noise(seed, 1)[0].tolist())
        put(tmp_path, place.format(name), text)
    level = place.count("/")
    (warning,) = load(tmp_path, class_level=level).taken.warnings
    assert "'dataset.class_part=\"(.*)_\"'" in warning
    assert f"dataset.class_level={level}" in warning or level == 0
    cases = load(tmp_path, class_level=level, class_part="(.*)_")
    assert cases.class_names == ("bad_coil", "ok")


def test_classes_with_the_number_of_somebody_are_told(tmp_path):
    """As in the gait database of PhysioNet."""
    for seed in range(8):
        name = f"{('Co', 'Pt')[seed % 2]}0{seed % 4}_{seed}.csv"
        put(tmp_path, name, csv_text("time,x", SECONDS, noise(seed, 1)[0].tolist()))
        put(tmp_path / "mood", f"{'DE'[seed // 4]}_{name}", csv_text("x", noise(seed, 1)[0]))
    warning = load(tmp_path / "mood", class_part=2).taken.warnings[-1]
    assert "with 'dataset.class_part=\"_([A-Za-z]+)\"'" in warning
    shutil.rmtree(tmp_path / "mood")
    warning = load(tmp_path, class_part=1).taken.warnings[-1]
    assert "Co00 and Co02 differ only in a number" in warning
    assert load(tmp_path, class_part="[A-Za-z]+").class_names == ("Co", "Pt")


def sounds(folder: Path, names: list[str]) -> None:
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pcm(folder / name, 2, np.random.default_rng(seed).uniform(-0.9, 0.9, (200, 1)))


def test_lists_of_files_are_the_split(tmp_path):
    sounds(tmp_path, [f"{label}/{k}.wav" for label in ("yes", "no") for k in range(4)])
    put(tmp_path, "testing_list.txt", "yes/0.wav\nno/0.wav\n")
    put(tmp_path, "validation_list.txt", "./yes/1\n./no/1\n")
    put(tmp_path, "notes.txt", "yes/2.wav\n")
    cases = load(tmp_path)
    assert "parts as testing_list.txt and validation_list.txt say" in cases.taken.notes
    parts = {o.name: cases.part[cases.taken.origin_of == k][0] for k, o in enumerate(
        cases.taken.origins)}  # fmt: skip
    assert [parts[f"yes/{k}.wav"] for k in range(4)] == [2, 1, 0, 0]
    put(tmp_path, "train.txt", "yes/2.wav\n")
    cases = load(tmp_path)
    assert cases.part is None
    assert any("3 recordings are in none" in note for note in cases.taken.notes)


@pytest.mark.parametrize(
    ("place", "head", "row"),
    [
        ("meta/esc50.csv", "filename,fold,target,category", "{name},1,{k},{label}"),
        ("metadata/UrbanSound8K.csv", "slice_file_name,fsID,start,end,fold,class",
         "{name},7,0.5,4.0,1,{label}"),
    ],
)  # fmt: skip
def test_a_table_apart_from_the_recordings_names_their_classes(place, head, row, tmp_path):
    names = [f"1-{k}.{'WAV' if k == 3 else 'wav'}" for k in range(6)]
    sounds(tmp_path, [f"audio/{name}" for name in names])
    rows = [row.format(name=n, k=k % 2, label=("dog", "cat")[k % 2]) for k, n in enumerate(names)]
    put(tmp_path, place, "\n".join([head, *rows]))
    cases = load(tmp_path)
    assert cases.class_names == ("cat", "dog")
    assert [origin.classes for origin in cases.taken.origins] == [("dog",), ("cat",)] * 3


def test_tables_of_parts_and_of_the_folder_itself_are_about_the_recordings(tmp_path):
    """As in sets of the Hub, which have a metadata.csv in train and in test, and in COUGHVID."""
    sounds(tmp_path, [f"{part}/a{n}.wav" for part in ("train", "test") for n in range(4)])
    for part in ("train", "test"):
        names = [f"a{n}.wav" for n in range(4)]
        rows = [f"{name},{('dog', 'cat')[n % 2]}" for n, name in enumerate(names)]
        put(tmp_path, f"{part}/metadata.csv", "\n".join(["file_name,label", *rows]))
    cases = load(tmp_path)  # a0.wav of train/metadata.csv is that in train
    assert (cases.class_names, len(cases.taken.origins)) == (("cat", "dog"), 8)
    assert "parts as the folders test, train say" in cases.taken.notes
    shutil.rmtree(tmp_path / "test")
    put(tmp_path, "train/metadata.csv", "uuid,health\n" + "".join(f"a{n},1\n" for n in range(4)))
    assert "names the recordings in its column 'uuid'" in refusal(load, tmp_path)
    (tmp_path / "train/metadata.csv").unlink()
    put(tmp_path, "train/people.csv", "age,weight\n30,70\n")
    cases = load(tmp_path, class_level=0, class_part="[0-9]")
    assert (cases.channel_names, cases.class_names) == (("audio",), ("0", "1", "2", "3"))
    assert "not taken: people.csv, about the .wav files" in cases.taken.notes


def test_csv_is_taken_where_many_other_files_lie_beside_it(tmp_path):
    sounds(tmp_path, [f"{label}/0_{k}.wav" for label in ("run", "walk") for k in range(8)])
    for seed, label in enumerate(("run", "walk")):
        put(tmp_path, f"{label}/0.csv", csv_text("x,y", *noise(seed, 2).tolist()))
    cases = load(tmp_path)
    assert cases.channel_names == ("x", "y")
    assert "not taken beside CSV: 16 .wav (dataset.files='*.wav' takes them)" in cases.taken.notes


@pytest.mark.parametrize("other", ["m/s^2", "m/s²"])
def test_a_channel_in_two_units_is_refused(other, tmp_path):
    def text_of(k, i, x):
        units = f"s,{'g' if k else other},V\n"
        return csv_text("time,x,y", SECONDS, *x[:2]).replace("\n", "\n" + units, 1)

    said = refusal(load, make(tmp_path, text_of))
    assert f"channel 'x' is in g in {tmp_path / 'run/r0.csv'} and in {other} in" in said


def test_two_writings_of_a_unit_are_one_and_words_in_brackets_are_none(tmp_path):
    def text_of(k, i, x):
        return csv_text(f"time,x [{'m/s²' if k else 'm/s^2'}],y ({i})", SECONDS, *x[:2])

    cases = load(make(tmp_path, text_of), columns=[1, 2])
    assert cases.units[0] == "m/s²"

    def other(k, i, x):
        return csv_text(f"time,x [{'g' if k else 'm/s^2'}],y", SECONDS, *x[:2])

    assert "is in g in" in refusal(load, make(tmp_path, other), columns=[1, 2])


def test_columns_of_one_name_keep_their_units(tmp_path):
    make(tmp_path, lambda k, i, x: "time,x,x\n" + csv_text("s,g,V", SECONDS, *x[:2]))
    assert load(tmp_path, columns=[1, 2]).units == ("g", "V")


def test_what_joining_sensors_leaves_out_is_told(tmp_path):
    for k, label in enumerate(("walk", "run")):
        for i in range(2):
            folder = tmp_path / label / f"r{i}"
            x = noise(10 * k + i)
            put(folder, "Acc.csv", csv_text("time,x", SECONDS, x[0].tolist()))
            part = slice(0, len(SECONDS) // 2)
            put(folder, "Gyro.csv", csv_text("time,x", SECONDS[part], x[1, part].tolist()))
    taken = load(tmp_path).taken
    assert not any("in order of" in note for note in taken.notes)
    (said,) = [w for w in taken.warnings if "joined" in w]
    assert "in 4 recordings" in said
    assert "50 %, as Gyro.csv covers no more" in said
    text = (tmp_path / "run/r1/Gyro.csv").read_text().splitlines()
    put(tmp_path, "run/r1/Gyro.csv", "\n".join([text[0], *text[:0:-1]]))
    assert "rows put in order of 'time' in 1 file" in load(tmp_path).taken.notes


def dated(day: str, hour: float = 10.0) -> list[str]:
    """Stamps of 50 Hz on a day of a month, as 05/06/2024."""
    ticks = [int(3600_000 * hour) + 20 * j for j in range(LENGTH)]
    first, second = map(int, day.split("/"))
    return [
        f"{first + t // 86_400_000:02}/{second:02}/2024 "
        f"{t // 3600_000 % 24:02}:{t // 60_000 % 60:02}:{t // 1000 % 60:02}.{t % 1000:03}"
        for t in ticks
    ]  # fmt: skip


def test_one_date_above_12_tells_how_all_files_are_read(tmp_path):
    days = {(0, 0): "05/06", (1, 2): "13/06"}
    make(tmp_path, lambda k, i, x: csv_text("t,ax,ay,az", dated(days.get((k, i), "06/06")), *x))
    cases = load(tmp_path, length="1.28s", stride="1.28s")
    assert any("dates are read as day/month/year, as 1 file" in note for note in cases.taken.notes)
    assert cases.rate == pytest.approx(50)
    assert "dataset.time_unit=mdy says" in refusal(load, tmp_path, time_unit="mdy")


def test_midnight_tells_which_number_is_the_day(tmp_path):
    """Read as month/day, the two halves of a recording would lie a month apart."""
    make(tmp_path, lambda k, i, x: csv_text("t,ax,ay,az", dated("05/06", 23.9994), *x))
    cases = load(tmp_path)
    assert not any("gap" in note for note in cases.taken.notes)
    assert {origin.num_gaps for origin in cases.taken.origins} == {0}


def test_a_line_above_the_table_tells_the_order_of_dates():
    lines = ["Created by Logger, date format {}, 30 Hz", "Date,Time,x", "7/2/2012,13:00:00,1.5"]
    for form, day in (("M/d/yyyy", False), ("dd/MM/yyyy", True)):
        found = find_layout([lines[0].format(form), *lines[1:]])
        assert (found.times[0], found.either) == (day, frozenset())
    assert find_layout(lines).either == {0}


def test_dates_that_nothing_tells_are_said_with_the_key(tmp_path):
    half = LENGTH // 2
    make(
        tmp_path,
        lambda k, i, x: csv_text("t,ax,ay,az", dated("02/03")[:half] + dated("07/05")[half:], *x),
    )
    cases = load(tmp_path)
    assert any("dataset.time_unit=dmy" in warning for warning in cases.taken.warnings)
    assert not load(tmp_path, time_unit="dmy").taken.warnings
    seconds = [
        read_table(tmp_path / "walk" / "r0.csv").columns[0].values,
        dates.swapped(read_table(tmp_path / "walk" / "r0.csv").columns[0].values),
    ]
    assert seconds[0][0] == to_seconds(["2024-02-03 10:00:00"], day_comes_first=False)[0]
    assert seconds[1][0] == to_seconds(["2024-03-02 10:00:00"], day_comes_first=False)[0]


@pytest.mark.parametrize("names", ["t,x", "t,ms,x"])
def test_whole_seconds_of_dates_that_nothing_tells_are_said_too(names, tmp_path):
    days = [f"02/03/2024 10:00:{j // 4:02}" for j in COUNTS]
    days = days if "ms" in names else [f"02/03/2024 10:{j // 60:02}:{j % 60:02}" for j in COUNTS]
    columns = [days, [250 * (j % 4) for j in COUNTS]] if "ms" in names else [days]
    make(tmp_path, lambda k, i, x: csv_text(names, *columns, x[0]))
    cases = load(tmp_path)
    assert cases.rate == (4 if "ms" in names else 1)
    assert any("dates are read as month/day/year, though" in n for n in cases.taken.notes)


def test_a_day_above_12_far_down_the_file_turns_what_was_read_before(tmp_path):
    cells = [f"{1 + j // 4000:02}/02/2024 10:00:00" for j in range(60_000)]
    put(tmp_path, "long.csv", csv_text("t,x", cells, [0.5] * 60_000))
    read = read_table(tmp_path / "long.csv").columns[0]
    assert (read.day_first, read.is_told) == (True, True)
    assert (read.values == to_seconds(cells, day_comes_first=True)).all()


@pytest.mark.parametrize(
    "head", ["file_name,label", "file_name,mood", "lines of JSON", "beside the folder"]
)
def test_a_table_in_the_folder_of_a_part_is_about_the_files_there(head, tmp_path):
    """As in the Hub's AudioFolder, where train and test may have the same names."""
    names = [f"{n}.wav" for n in range(4)]
    sounds(tmp_path, [f"{part}/{name}" for part in ("train", "test") for name in names])
    for part in ("train", "test"):
        shift = part == "test"
        rows = [f"{name},{('dog', 'cat')[(n + shift) % 2]}" for n, name in enumerate(names)]
        if head == "lines of JSON":
            records = [
                dict(zip(("file_name", "label"), row.split(","), strict=True)) for row in rows
            ]
            put(tmp_path, f"{part}/metadata.jsonl", "\n".join(map(json.dumps, records)))
        elif head == "beside the folder":
            put(tmp_path, f"{part}.csv", "\n".join(["file_name,label", *rows]))
        else:
            put(tmp_path, f"{part}/metadata.csv", "\n".join([head, *rows]))
    given = {}
    if head == "file_name,mood":
        sentence = refusal(load, tmp_path)
        assert "dataset.annotations=metadata.csv dataset.label_column=NAME" in sentence
        given = {"annotations": "metadata.csv", "label_column": "mood"}
    cases = load(tmp_path, **given)
    classes = {origin.name: origin.classes for origin in cases.taken.origins}
    assert (classes["train/0.wav"], classes["test/0.wav"]) == (("dog",), ("cat",))
    assert "parts as the folders test, train say" in cases.taken.notes


def test_a_test_part_without_labels_is_left_out_of_the_split(tmp_path):
    """As in contests: audio_train, audio_test and a table of the first, with a made-up example."""
    sounds(tmp_path, [f"audio_{p}/{p}{n}.wav" for p in ("train", "test") for n in range(6)])
    rows = [f"train{n}.wav,{('dog', 'cat')[n % 2]}" for n in range(6)]
    put(tmp_path, "train.csv", "\n".join(["fname,label", *rows]))
    rows = [f"test{n}.wav,dog cat" for n in range(6)]
    put(tmp_path, "sample_submission.csv", "\n".join(["fname,label", *rows]))
    cases = load(tmp_path)
    assert (cases.class_names, cases.part) == (("cat", "dog"), None)
    assert "only the part train has labels: another split is drawn from it" in cases.taken.notes
    rows = [f"test{n}.wav,{('dog', 'cat')[n % 2]}" for n in range(6)]
    put(tmp_path, "test.csv", "\n".join(["fname,label", *rows]))
    cases = load(tmp_path)
    assert "parts as the folders audio_test, audio_train say" in cases.taken.notes
    assert set(cases.part.tolist()) == {0, 2}


@pytest.mark.parametrize("ending", ["npy", "mat"])
def test_a_table_among_recordings_of_another_kind_is_told_with_what_takes_it(ending, tmp_path):
    """As in G2Net and CPSC 2018."""
    for k in range(6):
        place = tmp_path / (f"train/{k}/r{k}.npy" if ending == "npy" else f"r{k}.mat")
        place.parent.mkdir(parents=True, exist_ok=True)
        if ending == "npy":
            np.save(place, noise(k))
        else:
            pytest.importorskip("scipy.io").savemat(place, {"data": noise(k)})
    rows = [f"r{k},{k % 2}" for k in range(6)]
    put(tmp_path, "training.csv", "\n".join(["id,target", *rows]))
    sentence = refusal(load, tmp_path)
    assert "in its column 'id'" in sentence
    assert "dataset.annotations=training.csv dataset.label_column=NAME" in sentence
    cases = load(tmp_path, annotations="training.csv", label_column="target")
    assert (cases.class_names, len(cases.taken.origins)) == (("0", "1"), 6)


def test_recordings_without_the_column_of_labels_are_told_with_those_that_have_it(tmp_path):
    """As in SKAB, whose normal run has none."""
    put(tmp_path, "normal/0.csv", csv_text("x,y", *noise(9, 2).tolist()))
    for k in range(4):
        label = [0] * 100 + [1] * 100
        put(tmp_path, f"v{k % 2}/{k}.csv", csv_text("x,y,state", *noise(k, 2).tolist(), label))
    sentence = refusal(load, tmp_path, label_column="state")
    assert (
        """4 of 5 files have it, and are taken alone with 'dataset.files=["v0/*.csv",""" in sentence
    )
    cases = load(tmp_path, label_column="state", files=["v0/*.csv", "v1/*.csv"])
    assert len(cases.taken.origins) == 4


def test_endings_of_patterns_may_be_in_capitals(tmp_path):
    """As in Bonn's EEG, N001.TXT beside Z001.txt."""
    for k in range(6):
        put(
            tmp_path,
            f"{'ZN'[k % 2]}/{k}.{('txt', 'TXT')[k % 2]}",
            csv_text("", noise(k, 1)[0].tolist()),
        )
    assert load(tmp_path, files="*.txt").class_names == ("N", "Z")


def test_trials_of_several_kinds_are_no_sensors(tmp_path):
    """As in sets of gestures, whose table says of each trial how somebody sat."""
    x = noise(0, 2, 24 * 70).reshape(2, 24, 70)
    rows = [
        f"{('lying', 'sitting')[trial % 3 > 0]},{k},{x[0, trial, k]},{x[1, trial, k]}"
        f",{'ab'[trial % 2]},s{trial}"
        for trial in range(24)
        for k in range(70)
    ]
    put(tmp_path, "d.csv", "\n".join(["posture,counter,x,y,gesture,trial", *rows]))
    cases = load(tmp_path, label_column="gesture", group_column="trial")
    assert cases.channel_names == ("x", "y")


@pytest.mark.parametrize("above", ["pets", "archive/pets"])
def test_folders_of_an_archive_above_the_parts_name_no_class(above, tmp_path):
    for k in range(8):
        place = f"{above}/{('train', 'test')[k > 3]}/{('cat', 'dog')[k % 2]}/{k}.csv"
        put(tmp_path, place, csv_text("x,y", *noise(k, 2).tolist()))
    cases = load(tmp_path)
    assert (cases.class_names, set(cases.part.tolist())) == (("cat", "dog"), {0, 2})


def test_letters_before_a_number_may_be_the_class(tmp_path):
    """As in JNU's bearings, ib600_2.csv."""
    for k in range(6):
        name = f"{('ib', 'n')[k % 2]}{600 + 200 * (k // 2)}_{('2', '3_2')[k % 2]}.csv"
        put(tmp_path, name, csv_text("x,y", *noise(k, 2).tolist()))
    sentence = refusal(load, tmp_path, class_level=0)
    assert """(ib, n) with 'dataset.class_part="^[A-Za-z]+"'""" in sentence
    assert load(tmp_path, class_part="^[A-Za-z]+").class_names == ("ib", "n")


def test_texts_above_the_folders_of_classes_are_left_out_by_the_pattern_that_is_told(tmp_path):
    make(tmp_path / "set", lambda k, i, x: csv_text("x,y", *x[:2]))
    put(tmp_path, "set/manual.csv", "a,b\n1,2\n")
    sentence = refusal(load, tmp_path, class_level=2)
    assert "dataset.files='?*/?*/*.csv'" in sentence
    assert load(tmp_path, class_level=2, files="?*/?*/*.csv").class_names == ("run", "walk")


def test_a_table_of_records_in_numbered_folders_is_told(tmp_path):
    """As in PTB-XL."""
    sounds(tmp_path, [f"records100/0{k % 2}000/r{k}.wav" for k in range(6)])
    put(tmp_path, "set.csv", "id,codes\n" + "".join(f"r{k},{k % 2}\n" for k in range(6)))
    sentence = refusal(load, tmp_path)
    assert "set.csv names the recordings in its column 'id'" in sentence
    assert "dataset.annotations=set.csv dataset.label_column=NAME" in sentence


def test_seizures_that_a_summary_lists_become_labels_by_the_command_that_is_given(tmp_path):
    """As in CHB-MIT."""
    for person in ("chb01", "chb02"):
        text = "Data Sampling Rate: 1 Hz\r\n"
        for k in range(2):
            name = f"{person}_{k}.edf"
            signal = (1000 * noise(10 * k + (person == "chb02"), 1, 2000)[0]).clip(-2048, 2047)
            (tmp_path / person).mkdir(exist_ok=True)
            edf(tmp_path / person / name, [("FP1-F7", "uV", signal), ("F7-T7", "uV", signal[::-1])])
            text += f"File Name: {name}\r\nNumber of Seizures in File: 1\r\n"
            text += "Seizure 1 Start Time: 4 seconds\r\nSeizure 1 End Time: 8 seconds\r\n"
        put(tmp_path, f"{person}/{person}-summary.txt", text)
    command = refusal(load, tmp_path).split("`")[1]
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    assert "chb02_1.edf,4,8,seizure" in (tmp_path / "labels.csv").read_text()
    cases = load(tmp_path)
    assert (cases.class_names, len(cases.labels)) == (("rest", "seizure"), 4 * 24)


def test_a_table_by_the_name_of_a_sound_says_what_happens_in_it(tmp_path):
    """As in the seizures of TUH, whose EDF files have a CSV each."""
    sounds(tmp_path, [f"{k}.wav" for k in range(4)])
    for k in range(4):
        put(tmp_path, f"{k}.csv", "# version = 1\nchannel,start_time,stop_time,label\n"
            "TERM,0,0.0125,rest\nTERM,0.0125,0.025,seizure\n")  # fmt: skip
    cases = load(tmp_path)
    assert (cases.class_names, cases.channel_names) == (("rest", "seizure"), ("audio",))


def test_a_table_of_patients_becomes_labels_by_the_command_that_is_given(tmp_path):
    """As in ICBHI's lungs, 101_1b1_Al_sc_Meditron.wav."""
    sounds(tmp_path, [f"audio/{101 + k // 2}_{k % 2}b1_Al.wav" for k in range(8)])
    rows = [f"{101 + k},{('URTI', 'COPD')[k % 2]}\r\n" for k in range(4)]
    put(tmp_path, "patient_diagnosis.csv", "".join(rows))
    command = refusal(load, tmp_path).split("`")[1]
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    cases = load(tmp_path)
    assert [o.classes for o in cases.taken.origins] == [*[("URTI",)] * 2, *[("COPD",)] * 2] * 2
