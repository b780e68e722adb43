"""Annotations beside recordings: read in training, predict and calibrate alike."""

import csv
import json
import struct
import wave

import numpy as np
import pytest
from conftest import defaults
from test_data_recordings import load
from test_use_commands import LENGTH, as_csv, model, predict, recording  # noqa: F401

from raspitrain.data.recorded.annotations import match, read_annotations
from raspitrain.data.recordings import recordings
from raspitrain.data.split import split_cases
from raspitrain.data.summary import data_table
from raspitrain.errors import InputError
from raspitrain.run.resume import resume
from raspitrain.run.run import run
from raspitrain.run.stored import StoredRun

RATE, NUM = 10, 200  # 20 seconds


def record(folder, name="day", begin=0.0, unit=1.0, stamp="{:.3f}".format):
    """20 seconds of two channels."""
    clock = (stamp(begin + k / RATE / unit) for k in range(NUM))
    own = len(name) + ord(name[0])  # copies are found
    rows = (f"{time},{k * k % 97 + own},{3 * k * k % 89}" for k, time in enumerate(clock))
    (folder / f"{name}.csv").write_text("time,x,y\n" + "\n".join(rows) + "\n")


def taken(folder, **given):
    """The windows' begins by class."""
    given = {"length": 10, "stride": 10} | given
    cases = load(str(folder), **given)
    found: dict[str, list[int]] = {}
    for label, start in zip(cases.labels.tolist(), cases.taken.starts.tolist(), strict=True):
        found.setdefault(cases.class_names[label], []).append(start)
    return found, cases


WANTED = {"walk": [20, 30, 40], "run": [80, 90]}  # 2.0 to 5.0 s, and 8.0 to 10.5 s
FORMS = {
    "day.labels.csv": "start,end,label\n2,5.0,walk\n8,10.5,run\n",
    "day.annotations.tsv": "label\tEnd Time\tStart Time\nwalk\t5\t2\nrun\t10.5\t8\n",
    "day.txt": "2.000000\t5.000000\twalk\n\\\t100.0\t200.0\n8.000000\t10.500000\trun\n",
    "day_labels.txt": "8 10.5 run\n2 5 walk\n",
    "day_segments.txt": "walk 00:00:02.000 00:00:05.000\nrun 00:00:08.000 00:00:10.500\n",
    "day.events.tsv": "onset\tduration\ttrial_type\n2\t3\twalk\n8\t2.5\trun\n12\t1\tn/a\n",
    "day_label.csv": "Time(Seconds),Length(Seconds),Label(string),Comment(string)\n2,3,walk,\n"
    "8,2.5,run,\n",  # Imagimob
    "day.segments.csv": "start_ms;end_ms;class\n2000;5000;walk\n8000;10500;run\n",
    "day-labels.csv": "start_sample,end_sample,label\n20,50,walk\n80,105,run\n",
    "day.label.csv": "begin,end,label\n20,50,walk\n80,105,run\n190,200,n/a\n",
    "day_label.txt": "Day\n2\t5\twalk\n8\t10.5\trun\n.\n",
    "day.events.json": '[{"start":2,"end":5,"label":"walk"},{"start":8,"end":10.5,"label":"run"}]',
    "labels.csv": "day,2,5,walk\nday.csv,8,10.5,run\n",
    "annotations.csv": "Selection,Begin File,Begin Time (s),End Time (s),Species\n"
    "1,C:\\sound\\day.csv,2,5,walk\n2,day.csv,8,10.5,run\n",
    "annotations.json": json.dumps(
        [
            {
                "data": {"csv": "/data/upload/1/0a1b2c3d-day.csv"},
                "annotations": [
                    {"was_cancelled": True, "result": [{"value": {"start": 0, "end": 1}}]},
                    {
                        "result": [
                            {"value": {"start": 2, "end": 5, "timeserieslabels": ["walk"]}},
                            {"value": {"start": 8.0, "end": 10.5, "timeserieslabels": ["run"]}},
                        ]
                    },
                ],
            }
        ]
    ),
    "labels.json": json.dumps(
        [{"csv": "x/0a1b2c3d-day.csv", "id": 1, "label": [
            {"start": 2, "end": 5, "instant": False, "timeserieslabels": ["walk"]},
            {"start": 8, "end": 10.5, "instant": False, "timeserieslabels": ["run"]}]}]
    ),
    "day-label.csv": "Date, Time, Recording onset, Duration, Annotation, Channel\n"
    "2001-01-01, 22:10:05, 2, 3, walk,\n2001-01-01, 22:10:11, 8, 2.5, run,\n",
    "label.csv": 'audio,id,label\n/data/0a1b2c3d-day.csv,1,"[{""start"":2,""end"":5,""labels"":'
    '[""walk""]},{""start"":8,""end"":10.5,""labels"":[""run""]}]"\n',
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_the_forms_that_tools_export(tmp_path, name):
    record(tmp_path)
    (tmp_path / name).write_text(FORMS[name])
    found, cases = taken(tmp_path)
    assert found == WANTED
    (origin,) = cases.taken.origins
    assert (origin.num_samples, origin.num_unlabelled) == (200, 145)
    assert "145 samples without a label left out (72.5 %)" in cases.taken.notes


@pytest.mark.parametrize(
    ("clock", "rows"),
    [
        ({"begin": 1.7e9}, "1700000002,1700000005,walk\n1700000008,1700000010.5,run\n"),
        ({"begin": 500.0}, "502,505,walk\n508,510.5,run\n"),
        ({"unit": 1e-3}, "2000,5000,walk\n8000,10500,run\n"),
        ({"begin": 1.7e12, "unit": 1e-3}, "2,5,walk\n8,10.5,run\n"),
        ({"begin": 1.7e9}, "2023-11-14T22:13:22,2023-11-14T22:13:25,walk\n"
                           "2023-11-14 22:13:28,2023-11-14 22:13:30.500,run\n"),
        ({"begin": 1.7e9}, "22:13:22,22:13:25,walk\n22:13:28,22:13:30.5,run\n"),
        ({}, "0:00:02,0:00:05,walk\n0:00:08,0:00:10.5,run\n"),
    ],
)  # fmt: skip
def test_times_are_seconds_or_the_recordings_clock(tmp_path, clock, rows):
    record(tmp_path, **clock)
    (tmp_path / "day.labels.csv").write_text("start,end,label\n" + rows)
    assert taken(tmp_path)[0] == WANTED


def test_what_could_be_meant_in_two_ways_is_said_and_may_be_settled(tmp_path):
    record(tmp_path)
    (tmp_path / "day.labels.csv").write_text("start,end,label\n2,5,walk\n8,20,run\n")
    found, cases = taken(tmp_path, length=8, stride=8)
    assert found == {"walk": [20, 28, 36], "run": [*range(80, 193, 8)]}
    (warning,) = cases.taken.warnings
    assert "taken as seconds from a recording's begin" in warning
    assert "dataset.annotation_unit=samples" in warning
    (tmp_path / "day.labels.csv").write_text("start,end,label\n2,5,walk\n8,19,run\n")
    assert not taken(tmp_path, length=8)[1].taken.warnings  # sample numbers all near the begin
    (tmp_path / "day.labels.csv").write_text("start,end,label\n2,10,walk\n10,20,run\n")
    found, cases = taken(tmp_path, length=8, stride=8, annotation_unit="samples")
    assert found == {"walk": [2], "run": [10]}
    assert not cases.taken.warnings


def test_recordings_of_a_folder_and_what_is_left_out(tmp_path):
    for name in ("a", "b", "c", "d"):
        record(tmp_path, name)
    (tmp_path / "a.labels.csv").write_text("start,end,label\n0,5,walk\n5,10,run\n3,3,point\n")
    (tmp_path / "labels.csv").write_text("file,start,end,label\nb,1,4,run\nb,4,9,walk\nd,0,9,no\n")
    words = {"length": 10, "stride": 10, "leave_out": ["no"]}
    found, cases = taken(tmp_path, **words)
    assert found == {"walk": [0, 10, 20, 30, 40, 40, 50, 60, 70, 80],
                     "run": [50, 60, 70, 80, 90, 10, 20, 30]}  # fmt: skip
    assert "1 annotation of no length left out" in cases.taken.notes
    assert any("c.csv" in warning for warning in cases.taken.warnings)
    split = split_cases(
        cases, train=None, validation=0, test=0.5, stratify=False, predefined=True, seed=0
    )
    rows = {row["name"]: row for row in csv.DictReader(data_table(cases, split).splitlines())}
    assert [rows[f"{n}.csv"]["unlabelled"] for n in "abcd"] == ["100", "120", "200", "110"]
    assert rows["c.csv"]["part"] == "no label"


def test_names_may_share_their_beginning_or_the_folder_alone(tmp_path):
    """As texts of ELAN, the mHealth specification's files and stages of sleep in another folder."""
    record(tmp_path)
    elan = "behaviour\t\t2.000\t5.000\t3.000\twalk\nbehaviour\t\t8.000\t10.500\t2.500\trun\n"
    (tmp_path / "day.txt").write_text(elan)
    assert taken(tmp_path)[0] == WANTED
    (tmp_path / "day.txt").unlink()
    (tmp_path / "lab-1.annotation.csv").write_text(
        "HEADER_TIME_STAMP,START_TIME,STOP_TIME,LABEL_NAME\n2,2,5,walk\n8,8,10.5,run\n"
    )
    with pytest.raises(InputError, match=r"say so with dataset.annotations='\*.annotation.csv'"):
        taken(tmp_path)
    assert taken(tmp_path, annotations="*.annotation.csv")[0] == WANTED
    record(tmp_path, "night")
    with pytest.raises(InputError, match="fits no file beside a recording"):
        taken(tmp_path, annotations="*.annotation.csv")
    sleep = tmp_path / "sleep"
    for name in ("motion", "labels"):
        (sleep / name).mkdir(parents=True)
    for person in ("46", "8"):
        record(sleep / "motion", f"{person}_acc")
        (sleep / f"labels/{person}_stages.txt").write_text("0 W\n5 N2\n10 N2\n15 W\n")
    with pytest.raises(InputError, match=r"such files with dataset.annotations='\*_stages.txt'"):
        taken(sleep)
    found, cases = taken(sleep, annotations="*_stages.txt", length=50, stride=50)
    assert found == {"W": [0, 150, 0, 150], "N2": [50, 100, 50, 100]}
    assert not any("gap" in note for note in cases.taken.notes)


def test_numbers_behind_the_times_may_be_the_labels(tmp_path):
    """As of crackles and wheezes in breath, and of the states of a heart."""
    record(tmp_path)
    (tmp_path / "day.tsv").write_text("2\t5\t0\t1\n5\t8\t1\t1\n8\t10.5\t1\t0\n")
    assert taken(tmp_path)[0] == {"0_1": [20, 30, 40], "1_1": [50, 60, 70], "1_0": [80, 90]}
    (tmp_path / "day.tsv").write_text("2\t5\t0\t1\n4\t8\t1\t1\n")  # overlap: of a recording
    with pytest.raises(InputError, match="no columns of start, end and label"):
        read_annotations(str(tmp_path / "day.tsv"))


def test_sound_may_be_annotated_and_whole_recordings_named(tmp_path):
    for k, name in enumerate(("one", "two")):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(np.random.default_rng(k).bytes(2 * 8000))
    (tmp_path / "one.txt").write_text("0.100000\t0.500000\tcough\n")
    (tmp_path / "two.txt").write_text("0.200000\t1.005000\tdoor\n")  # 5 ms past the end
    found, _ = taken(tmp_path, length="0.1s", stride="0.1s")
    assert found == {"cough": [800, 1600, 2400, 3200], "door": [*range(1600, 7201, 800)]}
    for path in tmp_path.glob("*.txt"):
        path.unlink()
    (tmp_path / "labels.csv").write_text("filename,category\none.wav,cough\ntwo.wav,door\n")
    found, _ = taken(tmp_path, length="0.5s", stride="0.5s")
    assert found == {"cough": [0, 4000], "door": [0, 4000]}


BAD = {
    "past the end": ("2,5,walk\n8,30,run\n", {}, "labels.csv, line 3: 'run' from 8 to 30 reaches "
                     "past day.csv, which lasts 20 s"),
    "overlap": ("2,5,walk\n4,9,run\n", {}, "lines 2 and 3: 'walk' and 'run' overlap in day.csv"),
    "backwards": ("5,2,walk\n", {}, "'walk' ends before it begins"),
    "no time": ("2,x,walk\n", {}, "line 2: 'x' is no time"),
    "cells": ("2,5\n", {}, "line 2: 2 cells, but the first line has 3"),
    "nothing": ("", {}, "holds no annotations"),
    "twice": ("2,5,walk\n", {"annotations": "beats", "label_column": "y"}, "give one"),
    "no column": ("2,5,walk\n", {"annotations": "day.labels.csv", "label_column": "y"}, "has no "
                  "column 'y' to take labels from; there are: start, end, label"),
    "not there": ("2,5,walk\n", {"annotations": "no.csv"}, "annotations=no.csv is no file"),
    "commas": ("0,5,12,0,walk\n", {}, "labels.csv, line 2: 5 cells, but the first line has 3; put "
               "a cell that holds a comma into quotes"),
    "comma in a label": ("0,5,walk\n5,9,walk, slowly\n", {}, "line 3: 4 cells, but the first"),
    "thousands": ('"1,000","2,000",walk\n', {}, "line 2: nobody can tell what the comma in '1,000' "
                  "means; write 1.000 or 1000"),
    "thousands with points": ('"0,5",2.5,walk\n3,"4,000",run\n', {}, "line 3: nobody can tell"),
    "some too late": ("0,5,walk\n6,50,run\n60,70,run\n", {}, "line 3: 'run' from 6 to 50 reaches "
                      "past day.csv, which lasts 20 s"),
    "minutes": ("0:05,0:75,walk\n", {}, "'0:75' is no time"),
    "no pattern": ("2,5,walk\n", {"annotations": "*.lab"}, "fits no file beside a recording"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_right_is_one_sentence(tmp_path, name):
    rows, words, sentence = BAD[name]
    record(tmp_path)
    (tmp_path / "day.labels.csv").write_text("start,end,label\n" + rows)
    with pytest.raises(InputError) as error:
        taken(tmp_path, **words)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("night.labels.csv", "start,end,label\n2,5,walk\n", "no such recording lies beside it"),
        ("labels.csv", "file,start,end,label\nniht,2,5,a\n", "'niht', which is no recording in"),
        ("labels.csv", "start,end,label\n2,5,a\n", "does not say which of the 2 recordings"),
        ("labels.csv", "file,start,end,label\nday,2,5,a\n", "may be"),
        ("day.labels.csv", "when,what\n2,a\n", "has no columns of start, end and label"),
        ("day.labels.csv", "id,what\n0,a\n1,b\n2,a\n", "dataset.group_column=id; if it names"),
    ],
)
def test_annotations_of_no_recording_are_one_sentence(tmp_path, name, text, sentence):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        record(tmp_path / folder)
    place = tmp_path / ("a" if "." in name.removesuffix(".csv") else "") / name
    place.write_text(text)
    with pytest.raises(InputError, match=sentence):
        taken(tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("start_ms,end_s,label\n2000,5,walk\n", r"'start_ms' \(ms\) and 'end_s' \(s\): give both"),
        ("onset_sample,duration,label\n20,3,walk\n", r"'duration' \(no unit\): give both in one"),
        ("onset,duration_ms,label\n2,3000,walk\n", "different units"),
        ("start;end;label\n1,000;1,500;walk\n", "1.000 or 1000"),
        ("start_sample;end_sample;label\n0,5;1,500;walk\n", "1.500 or 1500"),
        ("0,5,walk, slowly\n", "has no columns of start, end and label"),
        ("My day 2024\n0 5 walk\n5 8 run\n", r"as by: tail -n \+2 OLD > NEW"),
    ],
)
def test_columns_of_different_units_and_commas_that_are_two_things_are_refused(
    tmp_path, text, sentence
):
    record(tmp_path)
    (tmp_path / "day.labels.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        taken(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "start_sample,start_s,end_s,label\n20,2,5,walk\n80,8,10.5,run\n",
        "start_s,end_s,end_sample,label\n2,5,50,walk\n8,10.5,105,run\n",
        "start_ms,end,label\n2000,5000,walk\n8000,10500,run\n",
        "start;end;label\n2,000;5,0;walk\n8,000;10,500;run\n",
        "start,end,label,\n2,5,walk,\n8,10.5,run,\n",
        "start,end,label\n0:02,0:05,walk\n0:08,0:10.5,run\n",
        "start,end,label\n0:02,00:05.0,walk\n0:00:08,0:10.50,run\n",
    ],
)
def test_columns_have_units_of_their_own_and_times_are_read_as_they_are_written(tmp_path, text):
    record(tmp_path)
    (tmp_path / "day.labels.csv").write_text(text)
    assert taken(tmp_path)[0] == WANTED


@pytest.mark.parametrize(
    ("files", "named", "meant"),
    [
        (["p2/day.csv"], ["p1/day.csv", "p2/day.csv"], "is no recording"),
        (["p2/day.csv"], ["/old/p1/day.csv"], "lies in another folder"),
        (["p2/a.csv", "p2/b.csv"], ["p1/a.csv", "p1/b.csv"], "p2/a.csv lies in another folder"),
        (["q.csv"], ["p1/q.csv"], "q.csv lies in another folder"),
        (["q.csv"], ["/old/p1/q.csv", "/old/p2/q.csv"], "lies in another folder"),
        (["day.csv"], ["day.2"], "is no recording"),
        (["day.csv"], ["0a1b2c3d-day.csv", "11112222-day.csv"], "is only day.csv in"),
        (["p1/day.csv", "p2/day.csv"], ["/old/set/p1/day.csv", "/old/set/p2/day.csv"], None),
        (["p1/day.csv", "p2/day.csv"], ["set/p1/day.wav", "set/p2/day"], None),
        (["day.csv", "night.csv"], ["p1/day.csv", "p1/night.csv"], None),
        (["q.csv"], ["mine/q.csv"], None),  # the folder's own name
        (["a/q.csv"], ["q"], None),
        (["p1/day.csv"], ["/data/local-files/?d=p1/day.csv"], None),
    ],
)
def test_a_name_means_no_recording_of_another_folder(tmp_path, files, named, meant):
    where = str(tmp_path / "mine")
    if meant is None:
        found = match("labels.csv", named, files, where)
        assert [found[name] for name in named] == [[file] for file in files]
    else:
        with pytest.raises(InputError, match=meant):
            match("labels.csv", named, files, where)


def test_a_task_is_called_one(tmp_path):
    record(tmp_path)
    text = FORMS["labels.json"].replace('"end": 10.5', '"end": 90')
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(InputError, match=r"labels\.json, task 1: 'run' from 8 to 90"):
        taken(tmp_path)


def test_a_clock_that_goes_back_takes_sample_numbers_alone(tmp_path):
    stamps = [*np.arange(100) / 10, *np.arange(100) / 10]
    rows = "\n".join(f"{t:.1f},{k * k % 97},{3 * k * k % 89}" for k, t in enumerate(stamps))
    (tmp_path / "day.csv").write_text(f"time,x,y\n{rows}\n")
    (tmp_path / "day.labels.csv").write_text("start,end,label\n2.5,5,walk\n8,9,run\n")
    with pytest.raises(InputError, match="goes back"):
        taken(tmp_path)
    (tmp_path / "day.labels.csv").write_text("start_sample,end_sample,label\n90,110,a\n120,130,b\n")
    assert taken(tmp_path)[0] == {"a": [90, 100], "b": [120]}
    (tmp_path / "day.labels.csv").unlink()
    record(tmp_path, "night")
    (tmp_path / "labels.csv").write_text("file,label\nday,a\nnight,b\n")
    assert taken(tmp_path, length=50, stride=50)[0] == {
        "a": [0, 50, 100, 150],
        "b": [0, 50, 100, 150],
    }


def test_another_word_for_the_class_leaves_annotations_alone(tmp_path):
    (tmp_path / "walk").mkdir()
    (tmp_path / "run").mkdir()
    record(tmp_path / "walk")
    record(tmp_path / "run", "night", begin=3.0)
    (tmp_path / "walk" / "day.labels.csv").write_text("start,end,label\n2,5,a\n8,9,b\n")
    found, cases = taken(tmp_path, class_level=1)
    assert set(found) == {"walk", "run"}
    assert any("not taken: 1 file of annotations" in note for note in cases.taken.notes)


def test_a_relative_file_of_annotations_is_beside_the_data_or_where_the_run_began(
    tmp_path, compose, monkeypatch
):
    home, away = tmp_path / "home", tmp_path / "away"
    for folder in (home / "data", away):
        folder.mkdir(parents=True)
    for name in ("day", "night", "noon", "dawn"):
        record(home / "data", name)
    rows = [f"{name},{8 * k},{8 * k + 8},{label}" for name in ("day", "night", "noon", "dawn")
            for k, label in enumerate(("walk", "run"))]  # fmt: skip
    (home / "truth.csv").write_text("file,start,end,label\n" + "\n".join(rows) + "\n")
    monkeypatch.chdir(home)
    words = (
        "dataset=recordings", "dataset.path=data", "dataset.annotations=truth.csv",
        "dataset.length=10", "augment=none", "model.width_mult=0.25", "epochs=1", "export=none",
        "hardware.num_threads=1",
    )  # fmt: skip
    run(compose(*words), tmp_path / "run", overrides=words)
    monkeypatch.chdir(away)
    assert resume(tmp_path / "run", ["epochs=2"], show=False)["status"] == "completed"
    (home / "truth.csv").rename(away / "moved.csv")
    words = ["epochs=3", "dataset.annotations=moved.csv"]
    assert resume(tmp_path / "run", words, show=False)["status"] == "completed"
    monkeypatch.chdir(tmp_path)
    stored = StoredRun.open(tmp_path / "run")
    assert stored.dataset_here(stored.config.dataset)["annotations"] == str(away / "moved.csv")
    (away / "moved.csv").rename(home / "data" / "truth.csv")
    given = {**stored.config.dataset, "annotations": "truth.csv"}
    here = stored.dataset_here(given)
    assert (here["path"], here["annotations"]) == (str(home / "data"), "truth.csv")
    assert stored.dataset_here({**given, "path": "gone"})["path"] == str(home / "gone")
    own = {"_target_": "my_package.signals", "path": "gone"}
    assert stored.dataset_here(own)["path"] == "gone"


def test_annotations_may_be_damaged_in_any_way(tmp_path):
    record(tmp_path)
    whole = [FORMS["annotations.json"], FORMS["label.csv"], FORMS["annotations.csv"]]
    for k, text in enumerate(whole):
        path = tmp_path / f"cut{k}{'.json' if text.startswith('[') else '.csv'}"
        for end in range(0, len(text), 7):
            path.write_text(text[:end])
            try:
                read_annotations(str(path))
            except InputError:
                continue


# ---------------------------------------------------------------- predict


def test_predict_has_its_truth_of_the_same_file(model, recording, tmp_path, capsys):  # noqa: F811
    recording = np.concatenate([recording] * 2, axis=1)  # 200 samples
    times = [5 + k / 50 for k in range(200)]
    (tmp_path / "day.csv").write_text(as_csv(recording, time=times))
    marks = f"start,end,label\n0,{70 / 50},class 0\n{70 / 50},3,class 1\n"
    (tmp_path / "day.labels.csv").write_text(marks)
    assert predict([str(model), str(tmp_path), "--format", "csv"]) == 0
    rows = [*csv.DictReader(capsys.readouterr().out.splitlines())]
    assert {row["file"] for row in rows} == {str(tmp_path / "day.csv")}
    found = {int(row["start"]): row["true"] for row in rows}
    for start, true in found.items():
        stop = start + LENGTH
        known = {"class 0": stop <= 70, "class 1": start >= 70 and stop <= 150}
        assert true == next((name for name, holds in known.items() if holds), "")
    words = {"path": str(tmp_path), "length": LENGTH, "stride": 1}
    cases = recordings(**defaults("recordings") | words)
    for label, start in zip(cases.labels.tolist(), cases.taken.starts.tolist(), strict=True):
        if start in found:
            assert found[start] == cases.class_names[label]
    (tmp_path / "day.labels.csv").rename(tmp_path / "marks.txt")
    (tmp_path / "night.csv").write_text("time,x\n")  # given alone, day.csv is what marks.txt is of
    told = [str(model), str(tmp_path / "day.csv"), "--annotations", str(tmp_path / "marks.txt")]
    assert predict([*told, "--annotation-unit", "samples"]) == 2
    assert "is not a whole number" in capsys.readouterr().err
    assert predict([*told[:2], "--annotations", told[1]]) == 2
    assert "which is then no recording" in capsys.readouterr().err


def test_predict_says_what_annotations_came_to(model, recording, tmp_path, capsys):  # noqa: F811
    for name in "ab":
        times = [k / 50 for k in range(100)]
        (tmp_path / f"{name}.csv").write_text(as_csv(recording, time=times))
    (tmp_path / "a.labels.csv").write_text("start,end,label\n0,1,class 0\n")
    told = [str(model), str(tmp_path / "a.csv"), "--format", "csv"]
    assert predict(told) == 0
    _, err = capsys.readouterr()
    assert "annotations: 2 of 5 windows have a label (numbers taken as seconds from" in err
    (tmp_path / "a.labels.csv").write_text("start,end,label\n0,20,class 0\n")
    assert predict(told) == 0
    _, err = capsys.readouterr()
    assert "warning: the annotations label none of 5 windows (numbers taken as sample" in err
    (tmp_path / "a.labels.csv").write_text("start,end,label\n0,1.5,class 0\n")
    (tmp_path / "b.labels.csv").write_text("start,end,label\n0,50,class 0\n")
    assert predict([str(model), str(tmp_path)]) == 2
    _, err = capsys.readouterr()
    assert "b.csv fit as sample numbers, and those of" in err
    assert "a.csv as seconds from a recording's begin: say with --annotation-unit" in err
    (tmp_path / "a.labels.csv").write_text("start,end,label\n0,1,clss\n")
    assert predict(told) == 2
    out, err = capsys.readouterr()
    assert not out
    assert "the label 'clss' is none of the model's classes" in err


def test_one_file_for_recordings_of_several_folders(model, recording, tmp_path, capsys):  # noqa: F811
    for folder in ("p1", "p2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "day.csv").write_text(as_csv(recording))
    marks = tmp_path / "marks.csv"
    marks.write_text("file,start,end,label\np1/day.csv,0,50,class 0\np2/day.csv,50,100,class 1\n")
    words = ["--annotations", str(marks), "--annotation-unit", "samples", "--format", "csv"]
    for given in ([""], ["p1/day.csv", "p2/day.csv"], ["p2"], ["p2/day.csv"]):
        assert predict([str(model), *(str(tmp_path / each) for each in given), *words]) == 0
        rows = [*csv.DictReader(capsys.readouterr().out.splitlines())]
        found = {(row["file"][-10:], row["start"], row["true"]) for row in rows if row["true"]}
        own = {("p1/day.csv", "0", "class 0"), ("p1/day.csv", "16", "class 0")}
        other = {("p2/day.csv", "64", "class 1")}
        assert found == (other if given[0].startswith("p2") else own | other)
    marks.write_text(  # names of its own, as in training
        "recording,who,start,end,doing\n"
        "p1/day.csv,ann,0,50,class 0\np2/day.csv,bob,50,100,class 1\n"
    )
    assert predict([str(model), str(tmp_path), *words, "--label-column", "doing"]) == 0
    rows = [*csv.DictReader(capsys.readouterr().out.splitlines())]
    assert [row["true"] for row in rows] == ["class 0"] * 2 + [""] * 7 + ["class 1"]
    assert predict([str(model), str(tmp_path), *words, "--label-column", "does"]) == 2
    assert "no column 'does' to take labels from; there are: recording" in capsys.readouterr().err
    marks.write_text("file,start,end,label\np1/day.csv,0,50,class 0\np2/day.csv,50,100,class 1\n")
    (tmp_path / "p1" / "day.csv").unlink()
    assert predict([str(model), str(tmp_path / "p2" / "day.csv"), *words]) == 2
    assert "'p1/day.csv', which is no recording in" in capsys.readouterr().err


# WFDB's annotations beside its records

CODES = {"N": 1, "V": 5, "A": 8, "S": 9, "/": 12, "~": 14, '"': 22, "+": 28}
SKIP, OF_NUM, OF_SUB, OF_CHN, AUX = range(59, 64)


def heart(folder, name, marks, ending="atr"):
    """Ten seconds of an ECG of 360 Hz in which (sample, symbol, text) are marked."""
    samples = np.random.default_rng(len(name) + ord(name[-1])).integers(-400, 400, (3600, 2))
    folder.mkdir(exist_ok=True)
    samples.astype("<i2").tofile(folder / f"{name}.dat")
    signals = "".join(f"{name}.dat 16 200/mV 11 0 0 0 0 {lead}\n" for lead in ("MLII", "V5"))
    (folder / f"{name}.hea").write_text(f"{name} 2 360 3600\n{signals}# 69 M\n")
    out, now = b"", 0
    for sample, symbol, text in marks:
        step, now = sample - now, sample
        if step > 1023:
            out += struct.pack("<3H", SKIP << 10, step >> 16, step & 0xFFFF)
            step = 0
        out += struct.pack(
            "<4H", CODES[symbol] << 10 | step, *(c << 10 | 1 for c in (OF_SUB, OF_CHN, OF_NUM))
        )
        if text:
            out += (
                struct.pack("<H", AUX << 10 | len(text)) + text.encode() + b"\0" * (len(text) % 2)
            )
    (folder / f"{name}.{ending}").write_bytes(out + b"\0\0")


MARKS = (
    (18, "+", "(N"), (40, "N", ""), (300, "N", ""), (310, "~", ""), (600, "V", ""),
    (900, "+", "(AFIB\0"), (901, "A", ""), (2400, "S", ""), (2700, "+", "(N"), (3590, "N", ""),
)  # fmt: skip


def test_a_window_about_each_beat_of_a_record(tmp_path):
    for name in ("100", "101"):
        heart(tmp_path, name, MARKS)
    found, cases = taken(tmp_path, length=100, stride=None)
    assert found == {"A": [851] * 2, "N": [250] * 2, "S": [2350] * 2, "V": [550] * 2}
    signals = cases.signals[np.arange(cases.signals.shape[0])]
    whole = np.fromfile(tmp_path / "100.dat", "<i2").reshape(-1, 2).T / 200
    assert np.array_equal(signals[cases.labels == 3][0], np.float32(whole[:, 550:650]))
    assert cases.group_names == ("100.hea", "101.hea")
    notes = "; ".join(cases.taken.notes)
    assert "a window about each of 12 beats in 2 files (A 2, N 6, S 2, V 2)" in notes
    assert "8 marks that are no beats left out (~ 2, + 6)" in notes
    assert "rhythms AFIB, N not taken (dataset.annotations=rhythms takes them)" in notes
    assert "4 beats nearer than half a window to an end left out" in notes
    found, _ = taken(tmp_path, length=100, stride=None, annotations="aami", leave_out=["V"])
    assert found == {"N": [250] * 2, "S": [851, 2350] * 2}
    found, _ = taken(tmp_path, length=50, stride=None, annotations="*.atr", rate=180)
    assert found["S"] == [1175] * 2


def test_the_rhythms_of_a_record_are_stretches(tmp_path):
    heart(tmp_path, "100", MARKS)
    wanted = {"N": [18, 318, 2700, 3000, 3300], "AFIB": [900, 1200, 1500, 1800, 2100, 2400]}
    found, _ = taken(tmp_path, length=300, stride=300, annotations="rhythms")
    assert found == wanted
    assert "A" in taken(tmp_path, length=300, stride=None, annotations="100.atr")[0]
    assert [row.label for row in read_annotations(str(tmp_path / "100.atr"))["100"]] == [
        "N", "AFIB", "N"
    ]  # fmt: skip
    tenths = [(0, '"', "## time resolution: 3600"), *((10 * at, *mark) for at, *mark in MARKS)]
    heart(tmp_path, "100", [mark for mark in tenths if mark[1] not in "VAS"])
    found, _ = taken(tmp_path, length=300, stride=300)  # of one kind of beat nothing can be learnt
    assert found == wanted


def test_marks_that_say_no_class_are_said(tmp_path):
    for name in ("100", "101"):
        heart(tmp_path / ("ill" if name == "100" else "well"), name, MARKS)
    found, cases = taken(tmp_path, length=100)
    assert set(found) == {"ill", "well"}
    assert "2 files of annotations, such as 100.atr, as their folders say" in cases.taken.notes[0]
    (tmp_path / "labels.csv").write_text("file,label\n100,a\n101,b\n")
    found, cases = taken(tmp_path, length=100, stride=None, annotations="beats")
    assert set(found) == set("ANSV")
    note = "not taken: 1 file such as labels.csv, as annotations are of the .hea files"
    assert note in cases.taken.notes
    with pytest.raises(InputError, match=r"take\s+those that have with dataset\.files"):
        taken(tmp_path, length=10, stride=None, annotations="beats", files="labels.csv")
    (tmp_path / "labels.csv").unlink()
    with pytest.raises(InputError, match=r"dataset\.stride=50 is of no use"):
        taken(tmp_path, length=100, stride=50, annotations="beats")
    heart(tmp_path, "102", [(9, "~", "")])
    with pytest.raises(InputError, match=r"102\.atr marks neither beats nor rhythms"):
        taken(tmp_path / "102.hea")
    (tmp_path / "102.atr").write_bytes((tmp_path / "102.atr").read_bytes()[:-2])
    with pytest.raises(InputError, match="cut off, or no annotations in MIT's format"):
        read_annotations(str(tmp_path / "102.atr"))


def test_beats_as_rdann_lists_them_are_beats(tmp_path):
    for name in ("100", "101"):
        rows = "".join(f"{k},{k * k % 97 + int(name)},{k * k * 3 % 89}\n" for k in range(600))
        (tmp_path / f"{name}.csv").write_text("'sample #','MLII','V5'\n" + rows)
        marks = "".join(
            f"    0:00.{sample:03}   {sample:6}     {symbol}    0    0    0\t{text}\n"
            for sample, symbol, text in ((5, "+", "(N"), (100, "N", ""), (300, "V", ""))
        )
        head = "      Time   Sample #  Type  Sub Chan  Num\tAux\n"
        (tmp_path / f"{name}annotations.txt").write_text(head + marks)
    found, cases = taken(tmp_path, length=50, stride=None)
    assert found == {"N": [75, 75], "V": [275, 275]}
    assert cases.channel_names == ("MLII", "V5")
    (tmp_path / "101annotations.txt").write_text(head + marks + "0:01.000 soon N 0 0 0\n")
    with pytest.raises(InputError, match=r"101annotations\.txt, line 5 is none of time, sample"):
        taken(tmp_path, length=50, stride=None)


def test_the_column_of_labels_may_be_named(tmp_path):
    folders = [f"{k % 2}/id{k}" for k in range(4)]
    rows = "".join(f"id{k},40,{'ill' if k % 2 else 'well'}\n" for k in range(4))
    (tmp_path / "people.csv").write_text("id,age,status\n" + rows)
    for k, folder in enumerate(folders):
        (tmp_path / folder).mkdir(parents=True)
        record(tmp_path / folder, "cough" + "_" * k)
    given = {"annotations": "people.csv", "label_column": "status", "files": "*cough*"}
    found, _ = taken(tmp_path, length=100, stride=100, **given)
    assert found == {"well": [0, 100, 0, 100], "ill": [0, 100, 0, 100]}  # folders are named
    for k, folder in enumerate(folders):
        (tmp_path / folder / f"cough{'_' * k}.csv").rename(tmp_path / folder / f"x{k}.csv")
        marks = "step,start,end\npick,2,5\npack,8,10.5\n"
        (tmp_path / folder / "steps").mkdir()
        (tmp_path / folder / "steps" / f"x{k}.csv").write_text(marks)
    given = {"annotations": "steps/*.csv", "label_column": "step", "files": "x*"}
    (tmp_path / "people.csv").unlink()
    found, _ = taken(tmp_path, **given)
    assert found == {"pick": [20, 30, 40] * 4, "pack": [80, 90] * 4}


def test_files_of_text_beside_recordings_are_told_with_what_takes_them(tmp_path):
    for k in range(3):
        with wave.open(str(tmp_path / f"night{k}.wav"), "wb") as file:
            file.setparams((1, 2, 100, 0, "NONE", ""))
            file.writeframes(np.random.default_rng(k).bytes(400))
        (tmp_path / f"Stages_night{k}.txt").write_text("[stages]\n" + "0\n1\n" * 3)
    with pytest.raises(InputError, match=r"Stages_night0\.txt says .*annotations='Stages_\*"):
        taken(tmp_path)
    with pytest.raises(InputError, match=r"by: tail -n \+2 OLD \| awk .*30\*NR, \$1"):
        taken(tmp_path, annotations="Stages_*.txt")
    (tmp_path / "Stages_night0.txt").write_text("<?xml?>\n<stages>\n</stages>\n")
    with pytest.raises(InputError, match=r"Stages_night0\.txt is XML: write start"):
        taken(tmp_path, annotations="Stages_*.txt")


def test_numbers_that_are_no_spans_are_no_annotations(tmp_path):
    (tmp_path / "people.csv").write_text("id,age,status\nabc,40,1\n")
    with pytest.raises(InputError, match="has no columns of start, end and label"):
        read_annotations(str(tmp_path / "people.csv"))


def test_tables_and_trees_that_say_the_classes_are_told_with_what_takes_them(tmp_path):
    for folder in ("signals", "stages"):
        (tmp_path / folder).mkdir()
    for k in range(4):
        record(tmp_path / "signals", "p" + "_" * k)
        (tmp_path / "stages" / f"p{'_' * k}.csv").write_text("start,end,stage\n0,9,a\n9,18,b\n")
    words = r"files='\*signals/\*\.csv' dataset\.annotations='\.\./stages/\*\.csv'"
    with pytest.raises(InputError, match=words):
        taken(tmp_path)
    given = {"files": "*signals/*.csv", "annotations": "../stages/*.csv"}
    assert set(taken(tmp_path, **given)[0]) == {"a", "b"}
    rows = "".join(f"signals/p{'_' * k}.csv,{k % 2}\n" for k in range(4))
    (tmp_path / "stages").rename(tmp_path / "signals" / "notes")
    (tmp_path / "manifest.csv").write_text("path,ill\n" + rows)
    with pytest.raises(InputError, match=r"annotations=manifest\.csv dataset\.label_column=NAME"):
        taken(tmp_path)
    given = {"annotations": "manifest.csv", "label_column": "ill", "files": "signals/p*"}
    assert set(taken(tmp_path, **given)[0]) == {"0", "1"}


def test_annotations_of_one_name_in_each_folder(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        record(tmp_path / name, "acceleration" + name)
        (tmp_path / name / "targets.csv").write_text("start,end,label\n2,5,walk\n8,10.5,run\n")
    found, _ = taken(tmp_path, files="acceleration*", annotations="targets.csv")
    assert found == {name: 2 * own for name, own in WANTED.items()}


def test_a_file_of_one_word_is_the_class_and_cells_may_name_recordings(tmp_path):
    names = ["r1", "r11", "r111", "r1111"]
    for k, name in enumerate(names):
        record(tmp_path, name, begin=k)
        (tmp_path / f"{name}_label.txt").write_text(f"{'ab'[k % 2]}\n")
    assert taken(tmp_path, length=100, stride=100)[0] == {w: [0, 100] * 2 for w in "ab"}
    rows = [
        f"{name},{k + 2},{k + 5},walk\n{name},{k + 8},{k + 10.5},run"
        for k, name in enumerate(names)
    ]
    (tmp_path / "seen.txt").write_text("\n".join(["animal,start,end,seen", *rows]))
    found, _ = taken(tmp_path, annotations="seen.txt", label_column="seen", annotation_unit="clock")
    assert found == {name: 4 * own for name, own in WANTED.items()}


def test_a_word_beside_a_recording_is_not_its_class_where_folders_say_that(tmp_path):
    for k in range(8):
        folder = tmp_path / ("yes", "no")[k % 2]
        folder.mkdir(exist_ok=True)
        samples = np.random.default_rng(k).standard_normal(200)
        (folder / f"r{k}.csv").write_text("x\n" + "".join(f"{x:.4f}\n" for x in samples))
        (folder / f"r{k}_events.txt").write_text(("anna\n", "ben\n")[k // 4])
    found, cases = taken(tmp_path, length=100)
    assert {*found} == {"no", "yes"}
    assert any(note.startswith("not taken: 8 files of a word") for note in cases.taken.notes)
    assert {*taken(tmp_path, length=100, annotations="*_events.txt")[0]} == {"anna", "ben"}
    for k, name in enumerate(("no", "yes")):  # people
        (tmp_path / name).rename(tmp_path / f"p{k}")
    assert {*taken(tmp_path, length=100)[0]} == {"anna", "ben"}
