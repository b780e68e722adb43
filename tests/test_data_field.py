"""Files as apps, loggers, archives and people leave them: read right, or refused in one sentence.

Each is one example of a kind that was once taken wrongly without a word.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import defaults

from raspitrain.data.arrays import npy
from raspitrain.data.cases import Cases
from raspitrain.data.recordings import read_recording, recordings
from raspitrain.data.rows import rows
from raspitrain.data.split import Split, split_cases
from raspitrain.data.summary import DataSummary, data_table, summarise
from raspitrain.data.ucr import ucr
from raspitrain.errors import InputError

LENGTH = 200  # samples a recording
AXES = ("ax", "ay", "az")


def noise(seed: int, channels: int = 3, length: int = LENGTH) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((channels, length))


def csv_text(header: str, *columns: object, separator: str = ",") -> str:
    cells = [[f"{v:.4f}" if isinstance(v, float) else str(v) for v in c] for c in columns]  # type: ignore
    lines = [separator.join(row) for row in zip(*cells, strict=True)]
    return (header + "\n" if header else "") + "\n".join(lines) + "\n"


def put(folder: Path, name: str, text: str | bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def make(
    folder: Path, text_of: Callable[[int, int, list[list[float]]], str | bytes], per_class: int = 3
) -> Path:
    """walk/r0.csv … and run/r0.csv …, each what `text_of(class, number, signals)` gives."""
    for k, label in enumerate(("walk", "run")):
        for i in range(per_class):
            signals = noise(10 * k + i).tolist()
            put(folder, f"{label}/r{i}.csv", text_of(k, i, signals))
    return folder


def load(folder: Path, **given: object) -> Cases:
    return recordings(**defaults("recordings", path=str(folder), length=64, stride=64) | given)


def load_npy(folder: Path, **given: object) -> Cases:
    return npy(**defaults("npy", path=str(folder)) | given)


def split(cases: Cases, **given: object) -> Split:
    settings = {"train": None, "validation": 0.0, "test": 0.3, "stratify": True}
    return split_cases(cases, **settings | {"predefined": True, "seed": 0} | given)  # type: ignore


def look(cases: Cases, **given: object) -> DataSummary:
    return summarise(cases, split(cases, **given))


def refusal(call: Callable[..., object], *arguments: object, **given: object) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments, **given)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def left_out(cases: Cases) -> dict[str, str]:
    return dict(cases.taken.left_out)


MS = [20 * j for j in range(LENGTH)]
COUNTS = range(LENGTH)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Unnamed: 0", lambda k, i: [1000 * (3 * k + i) + j for j in COUNTS]),
        ("Unnamed: 0.1", lambda k, i: [1000 * (3 * k + i) + j for j in COUNTS]),
        ("seq", lambda k, i: [j % 32 for j in COUNTS]),
        ("counting down", lambda k, i: [500 - j for j in COUNTS]),
        ("lost packets", lambda k, i: [j + j // 7 for j in COUNTS]),
        ("FrameNr", lambda k, i: [2 * j for j in COUNTS]),
        ("zähler", lambda k, i: [7 * k + 0.25 * j for j in COUNTS]),
        ("moved on once set back", lambda k, i: [20 * j + (0 if j < 90 else -900) for j in COUNTS]),
        ("activity", lambda k, i: [k] * LENGTH),
        ("class code", lambda k, i: [k + 5] * LENGTH),
        ("subject", lambda k, i: [10 * k + i] * LENGTH),
        ("unknown code", lambda k, i: [10 * k + i] * LENGTH),
        ("anomaly", lambda k, i: [float(90 < j < 120) for j in COUNTS]),
        ("state", lambda k, i: [0 if j < 100 else k + 1 for j in COUNTS]),
        ("device", lambda k, i: ["watch"] * LENGTH),
        ("activity name", lambda k, i: ["walking" if k else "running"] * LENGTH),
        ("epoc", lambda k, i: [1615386000 + 60 * (3 * k + i) + 0.02 * j for j in COUNTS]),
        ("Time since start in ms ", lambda k, i: [60_000 * k + 20 * j for j in COUNTS]),
        ("pedometerNumberofSteps(N)", lambda k, i: [9 * i + k * (j // 20) for j in COUNTS]),
        ("metres gone", lambda k, i: [0.4 * (3 * k + i) + 0.1 * (j // 20) for j in COUNTS]),
        ("Trial", lambda k, i: [1 + j // 50 % 3 for j in COUNTS]),
        ("nothing", lambda k, i: [0] * LENGTH),
        ("empty", lambda k, i: ["NaN"] * LENGTH),
    ],
)
def test_what_tells_the_recording_or_the_class_is_no_channel(name, values, tmp_path):
    make(tmp_path, lambda k, i, x: csv_text(f"{name},ax,ay,az", values(k, i), *x))
    cases = load(tmp_path)
    assert cases.channel_names == AXES
    assert list(left_out(cases)) == [name.strip()]
    assert name != "FrameNr" or cases.rate is None


@pytest.mark.parametrize(
    ("name", "step"), [("delta_us", 20_000), ("dt", 0.02), ("Δt [ms]", 20), ("elapsed", 20_000)]
)
def test_steps_from_sample_to_sample_are_time(name, step, tmp_path):
    steps = [0, *(step * (0.99 + 0.02 * (j % 2)) for j in COUNTS[1:])]
    steps[100] = 50 * step
    make(tmp_path, lambda k, i, x: csv_text(f"{name},ax,ay,az", steps, *x))
    cases = load(tmp_path)
    assert (cases.channel_names, left_out(cases)) == (AXES, {name: "time"})
    assert cases.rate == pytest.approx(50, rel=0.02)
    assert any("cut at 6 gaps" in note for note in cases.taken.notes)
    assert name in load(tmp_path, columns=[name, "ax"]).channel_names


@pytest.mark.parametrize(
    "name", ["rr_interval", "dT", "dt", "reaction time in class", "since_last_beat"]
)
def test_a_signal_called_much_as_steps_is_one(name, tmp_path):
    values = 5 + (5 if name == "dt" else 0.5) * noise(0)[0]
    make(tmp_path, lambda k, i, x: csv_text(f"{name},ax", values, x[0]))
    assert load(tmp_path).channel_names == (name, "ax")


@pytest.mark.parametrize("name", ["microphone", "millivolts", "pressure_millibar", "stance_time"])
def test_whole_numbers_with_the_letters_of_time_in_their_name_are_a_signal(name, tmp_path):
    make(
        tmp_path, lambda k, i, x: csv_text(f"{name},ax", [round(500 + 40 * v) for v in x[1]], x[0])
    )
    assert load(tmp_path).channel_names == (name, "ax")


@pytest.mark.parametrize("beside", ["time,", ""])
def test_a_difference_is_a_signal_beside_a_clock_or_where_nothing_else_is_one(beside, tmp_path):
    clock = [[0.02 * j for j in COUNTS]] if beside else []
    make(
        tmp_path, lambda k, i, x: csv_text(f"{beside}delta_t", *clock, [5 + 0.5 * v for v in x[0]])
    )
    assert load(tmp_path).channel_names == ("delta_t",)


def test_the_share_that_users_take_of_a_processor_is_a_channel(tmp_path):
    shares = [30 + j * 7 % 11 for j in COUNTS]
    make(tmp_path, lambda k, i, x: csv_text("[CPU]User%,x", shares, x[0]))
    assert load(tmp_path).channel_names == ("[CPU]User%", "x")


def test_a_clock_without_a_name_is_no_channel_and_gives_the_rate(tmp_path):
    start = 1615386000123
    make(tmp_path, lambda k, i, x: csv_text("", [start + 60_000 * (3 * k + i) + t for t in MS], *x))
    cases = load(tmp_path)
    assert cases.channel_names == ("channel_1", "channel_2", "channel_3")
    assert cases.rate == pytest.approx(50)
    for columns in ([1, 3], ["1", "3"], ["channel_1", "channel_3"], [-3, -1]):
        assert load(tmp_path, columns=columns).channel_names == ("channel_1", "channel_3")
    assert load(tmp_path, columns="channel_2").channel_names == ("channel_2",)
    assert load(tmp_path, columns=2).channel_names == ("channel_2",)


def test_a_column_named_like_time_that_does_not_rise_is_said(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("t,ts,x", *x))
    cases = load(tmp_path)
    assert cases.channel_names == ("x",)
    assert len(cases.taken.warnings) == 2
    assert "'t' is left out" in cases.taken.warnings[0]
    assert "dataset.columns" in cases.taken.warnings[0]


def stamps(kind: str, seconds: np.ndarray) -> list[object]:
    whole = np.round(seconds * 1000).astype(int)
    moments = np.datetime64("2024-05-01T23:59:00.000") + whole.astype("timedelta64[ms]")
    return {
        "s": [float(s) for s in seconds],
        "ms": whole.tolist(),
        "us": (whole * 1000).tolist(),
        "ns": (1698501144401586200 + whole * 10**6).tolist(),
        "iso": [str(m) for m in moments],
        "day first": [f"{str(m)[8:10]}.{str(m)[5:7]}.2024 {str(m)[11:]}" for m in moments],
        "time of day": [str(m)[11:] for m in moments],
        "days": [f"{41000 + s / 86400:.9f}" for s in seconds],
    }[kind]


@pytest.mark.parametrize("name", ["time", "when"])
@pytest.mark.parametrize("kind", ["s", "ms", "us", "ns", "iso", "day first", "time of day", "days"])
def test_windows_bridge_no_gap_and_no_step_back_of_the_clock(kind, name, tmp_path):
    if name == "when" and kind == "days":
        name = "Date"
    seconds = np.arange(LENGTH) * 0.02
    seconds[70:] += 600
    seconds[140:] -= 300
    make(tmp_path, lambda k, i, x: csv_text(f"{name},ax,ay,az", stamps(kind, seconds), *x))
    cases = load(tmp_path)
    assert cases.channel_names == AXES
    assert cases.rate == pytest.approx(50, rel=0.01)
    assert len(cases.labels) == 6 * 2  # 70, 70 and 60 samples in a row
    assert any("6 gaps and 6 steps back" in note for note in cases.taken.notes)
    first = cases.signals[np.array([1])][0, 0]
    original = np.array([float(f"{v:.4f}") for v in noise(10)[0]], dtype=np.float32)
    assert np.array_equal(first, original[70:134])


def test_stamps_that_stand_still_for_a_packet_are_no_gap(tmp_path):
    packets = [200 * (j // 10) for j in COUNTS]
    make(tmp_path, lambda k, i, x: csv_text("ms,ax,ay,az", packets, *x))
    cases = load(tmp_path)
    assert cases.rate == pytest.approx(50)
    assert len(cases.labels) == 6 * 3
    assert cases.taken.notes == ()


def test_midnight_is_no_step_back(tmp_path):
    late = stamps("time of day", 58 + np.arange(LENGTH) * 0.02)
    make(tmp_path, lambda k, i, x: csv_text("time,ax,ay,az", late, *x))
    assert len(load(tmp_path).labels) == 6 * 3


def two_rates(folder: Path) -> Path:
    def text(k: int, i: int, _: object) -> str:
        rate = 100 if i % 2 else 50
        t = np.arange(4 * rate) / rate
        wave = np.sin(2 * np.pi * (k + 2) * t + i) + 0.01 * noise(10 * k + i, 1, len(t))[0]
        return csv_text("time,x", t.tolist(), wave.tolist())

    return make(folder, text, per_class=4)


def test_recordings_of_two_rates_are_refused_or_brought_to_one(tmp_path):
    two_rates(tmp_path)
    sentence = refusal(load, tmp_path)
    assert "run/r0.csv has 50 Hz, run/r1.csv has 100 Hz" in sentence
    assert "dataset.rate=50" in sentence
    cases = load(tmp_path, rate=50, length="1.28s", stride="0.64s")
    assert cases.signals.shape[1:] == (1, 64)
    assert cases.rate == 50
    assert "4 of 8 recordings resampled to 50 Hz" in cases.taken.notes
    windows = cases.signals[np.arange(len(cases.labels))]
    power = np.abs(np.fft.rfft(windows[:, 0])).argmax(axis=1)
    assert set(power[cases.labels == 1]) <= {2, 3}  # 2 Hz in 1.28 s
    assert set(power[cases.labels == 0]) <= {3, 4}  # 3 Hz


def test_a_rate_that_changes_on_the_way_is_told(tmp_path):
    """As in files of several devices."""

    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        stamps = [20 * j if j < 100 else 100_000 + 10 * j for j in COUNTS]
        return csv_text("time [ms],ax", stamps, x[0])

    (told,) = (own for own in load(make(tmp_path, text_of)).taken.warnings if "changes" in own)
    assert "in 6 of 6 recordings: run/r0.csv has 50 and 100 Hz" in told
    assert "dataset.rate=50" in told
    cases = load(tmp_path, rate=50, length=50, stride=50)
    assert not [own for own in cases.taken.warnings if "changes" in own]
    assert len(cases.labels) == 6 * 3  # 100 samples, and 100 that became 50


def test_seconds_need_a_rate(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("ax,ay,az", *x))
    assert "no column of time" in refusal(load, tmp_path, length="1s")
    assert "seconds such as 2.56s" in refusal(load, tmp_path, length="1 minute")


SIGNALS = [[0.5, -1.25, 3.0], [4.0, 5.5, -6.0]]
FORMS = {
    "units below": "Time,x,y\n(ms),(mV),(mV)\n\n0,0.5,4\n1,-1.25,5.5\n2,3,-6\n",
    "sep in quotes": '"sep=\\t"\nTimestamp\tx\ty\t\nms\tm/(s^2)\tm/(s^2)\t\n'
    "0\t0.5\t4\t\n1\t-1.25\t5.5\t\n2\t3\t-6\t\n",
    "blanks": "   0.5   4.0\n  -1.25  5.5\n   3.0  -6.0\n",
    "blanks, decimal commas": "0,5 4,0\n-1,25 5,5\n3,0 -6,0\n",
    "serial plotter": "x:0.5,y:4.0\nx:-1.25,y:5.5\nx:3.0,y:-6.0\n",
    "pairs with blanks": "x: 0.5 y: 4.0\nx: -1.25 y: 5.5\nx: 3.0 y: -6.0\n",
    "lines of JSON": '{"x":0.5,"y":4}\n{"x":-1.25,"y":5.5}\n{"x":3,"y":-6}\n',
    "serial monitor without zeros": "9:5:3.7 -> 0.5,4\n9:5:3.72 -> -1.25,5.5\n9:5:3.74 -> 3,-6\n",
    "serial monitor": "10:21:33.000 -> 0.5,4\n10:21:33.020 -> -1.25,5.5\n10:21:33.040 -> 3,-6\n",
    "percent comments": "%OpenBCI Raw Data\n%Rate = 200 Hz\nx, y\n0.5, 4.0\n-1.25, 5.5\n3, -6\n",
    "semicolon comments": ";Title, x.org, x16\n;Headers, x,y\n0.5,4\n-1.25,5.5\n3,-6\n;off\n",
    "slash comments": "// made by a sketch\nx,y\n0.5,4\n-1.25,5.5\n3,-6\n",
    "lines about the device": "------ Created by X at 50 Hz ------\nSerial Number: N1\nMode = 12\n"
    "x,y\n0.5,4\n-1.25,5.5\n3,-6\n",
    "boot messages": "Booting...\nIMU ok\nx,y\n0.5,4\n-1.25,5.5\n3,-6\n",
    "settings above": "Rate,50\nRange,8\nx,y\n0.5,4\n-1.25,5.5\n3,-6\n",
    "settings below the names": "No,x,y\nUnit,V,V\nScale,1,1\nOffset,0,0\n"
    "1,0.5,4\n2,-1.25,5.5\n3,3,-6\n",
    "line breaks in names": '"x\n[g]";"y\r\n[g]"\n0.5;4\n-1.25;5.5\n3;-6\n',
    "inches above": 'screen 5" wide\nx,y\n0.5,4\n-1.25,5.5\n3,-6\n',
    "tuples of Python": "(0.5, 4)\n(-1.25, 5.5)\n(3, -6)\n",
    "lists of numpy": "[ 0.5   4. ]\n[-1.25  5.5]\n[ 3.   -6. ]\n",
    "a table that is drawn": "| x | y |\n|---|---|\n| 0.5 | 4 |\n| -1.25 | 5.5 |\n| 3 | -6 |\n",
    "how many rows follow": "t\tx\ty\n\t3\t3\n0\t0.5\t4\n1\t-1.25\t5.5\n2\t3\t-6\n",
    "JSON in a comment": '# {"a": {"sampling rate": 100}}\n# EndOfHeader\n'
    "0.5\t4\n-1.25\t5.5\n3\t-6\n",
    "ARFF of moments": "@relation a\n@attribute x numeric\n@attribute 'y' numeric\n@data\n0.5,4\n"
    "-1.25,5.5\n3,-6\n",
    "log of ESP-IDF": "I (29) boot: v5.1\nI (500) imu: 0.5,4\nI (520) imu: -1.25,5.5\n"
    "I (540) imu: 3,-6\n",
    "log of Zephyr": "[00:00:00.500,000] <inf> imu: x:0.5 y:4\n"
    "[00:00:00.520,000] <inf> imu: x:-1.25 y:5.5\n[00:00:00.540,000] <inf> imu: x:3 y:-6\n",
    "rows end in semicolons": "7,0.5,4.0;\n7,-1.25,5.5;\n7,3,-6,;\n",
    "pandas numbers its columns": ",0,1,2\n0,7,0.5,4.0\n1,7,-1.25,5.5\n2,7,3,-6\n",
    "a minus of its own": "x,y\n0.5,4\n\u22121.25,5.5\n3,\u22126\n",
    "numbers behind a word": "label,0,1,2\na,7,0.5,4.0\na,7,-1.25,5.5\nb,7,3,-6\n",
    "bars": "x|y\n0.5|4\n-1.25|5.5\n3|-6\n",
    "NUL bytes at the end": "x,y\n0.5,4\n-1.25,5.5\n3,-6\n9,\0\0\0\0",
    "decimal commas": "x;y\n0,5;4\n-1,25;5,5\n3;-6\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_numbers(form, tmp_path):
    put(tmp_path, "r.csv", FORMS[form])
    samples = read_recording(tmp_path / "r.csv", columns=None, label_column=None).samples
    assert samples[-2:].tolist() == SIGNALS


def test_what_was_passed_over_is_said(tmp_path):
    make(tmp_path, lambda k, i, x: "Booting\nok\n" + csv_text("ax,ay,az", *x) + "\0" * 512)
    notes = load(tmp_path).taken.notes
    assert any("in 6 files: 2 lines before the table" in note for note in notes)
    assert any("512 NUL or erased bytes at the end" in note for note in notes)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a;b\n1.234,5;2\n3,5;4\n", "'1.234,5' is not a number (export without thousands"),
        ("a;b\n1,234;2,5\n987;4,5\n1,001;1,5\n", "'a': whole numbers stand beside"),
        ('a,b\n"1,234",2\n0.987,4\n"2,468",1\n', "'a': numbers with a point stand beside"),
        ("3\n2,0.5\n1,2,3\n4,5,6\n7,8,9\n", "line 2 has 2 cells, but the lines after it have 3"),
        ("x,y\n1,2\n3,\0\0\n5,6\n", "line 3 holds NUL bytes, as a power cut leaves them"),
        ("\0" * 4096, "nothing but 4096 NUL"),
        ("key,value\nversion,new\n", "it looks like no recording"),
        ("x,x,y\n0.5,2.5,3.5\n1.5,1.5,0\n2,1,4\n", "2 columns 'x' (positions 0, 1, from 0)"),
        ("time,x\n1,2\noops,3\n3,4\n", "line 3, column 'time': 'oops' is no time"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_place(text, part, tmp_path):
    put(tmp_path, "r.csv", text)
    sentence = refusal(read_recording, tmp_path / "r.csv", columns=None, label_column=None)
    assert part in sentence


def test_a_last_line_that_is_cut_is_left_out_and_said(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("ax,ay,az", *x).rstrip("\n"))
    path = tmp_path / "walk/r0.csv"
    path.write_text(path.read_text().rsplit(",", 1)[0])
    cases = load(tmp_path, length=100, stride=100)
    assert [origin.num_samples for origin in cases.taken.origins] == [200] * 3 + [199, 200, 200]
    assert "passed over in 1 file: the last line, which is cut" in cases.taken.notes
    path.write_text(path.read_text() + "\n")
    assert "line 201 has 2 cells" in refusal(load, tmp_path)


def test_columns_with_one_name_are_taken_by_position(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("other,other,z", *x))
    assert "dataset.columns=[0,1,2]" in refusal(load, tmp_path)
    assert load(tmp_path, columns=[0, 1]).channel_names == ("channel_0", "channel_1")
    assert "by position" in refusal(load, tmp_path, columns=["other"])


def test_a_case_a_row_is_not_read_as_channels(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("", *noise(k * 9 + i, 188, 40).tolist()))
    assert "188 columns without names" in (sentence := refusal(load, tmp_path))
    assert "as dataset.columns=[$(seq -s, 0 187)] does" in sentence
    assert "dataset=rows" in refusal(load, tmp_path, label_column=187)


# Folders


def test_train_and_test_above_the_classes_are_the_split(tmp_path):
    for number, part in enumerate(("Training", "testing", "val")):
        for k in range(6):
            text = csv_text("ax", noise(99 * number + k, 1)[0])
            put(tmp_path, f"{part}/{('walk', 'run')[k % 2]}/{part}_{k // 2}.csv", text)
    cases = load(tmp_path)
    assert cases.taken.warnings == ()  # the files' names say the part again, and no person
    assert cases.class_names == ("run", "walk")
    assert np.bincount(cases.part).tolist() == [18, 18, 18]
    chosen = split(cases)
    assert [len(own) for own in (chosen.train, chosen.validation, chosen.test)] == [18, 18, 18]


@pytest.mark.parametrize("last", ["eval", "Evaluation set"])
def test_dev_and_eval_are_validation_and_test(last, tmp_path):
    for number, part in enumerate(("train", "dev", last)):
        make(tmp_path / part, lambda k, i, x, s=number: csv_text("x", noise(99 * s + 9 * k + i)[0]))
    assert np.bincount(load(tmp_path).part).tolist() == [18, 18, 18]
    (tmp_path / "dev").rename(tmp_path / "test")
    assert f"{last} may be for validation or for the test" in refusal(load, tmp_path)


def test_files_of_all_classes_may_be_called_as_parts_are(tmp_path):
    for k, name in enumerate(("train_1", "train_2", "test1", "test2")):
        for label in ("walk", "run"):
            text = csv_text("x", noise(9 * k + len(label), 1)[0])
            put(tmp_path, f"{label}/{name}.csv", text)
    cases = load(tmp_path)
    assert np.bincount(cases.part).tolist() == [12, 0, 12]
    assert "parts as the files' names say" in cases.taken.notes
    (tmp_path / "walk/test2.csv").rename(tmp_path / "walk/slow.csv")
    assert load(tmp_path).part is None
    (tmp_path / "walk/slow.csv").unlink()
    for file in tmp_path.rglob("train*"):  # dev and test, without one for training
        file.rename(file.with_name(f"dev{file.name}"))
    assert load(tmp_path).part is None


def test_two_folders_above_the_same_classes_may_be_parts_in_other_words(tmp_path):
    for seed, part in enumerate(("entrenamiento", "prueba")):
        make(tmp_path / part, lambda k, i, x, s=seed: csv_text("ax", noise(99 * s + k * 9 + i)[0]))
    (warning,) = load(tmp_path).taken.warnings
    assert "if entrenamiento and prueba are for training and testing, call them train" in warning


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (("train/r0.csv", "test/r0.csv"), "which are parts and no classes"),
        (("X_train/r0.csv", "X_test/r0.csv"), "which are parts and no classes"),
        (("train/a/0.csv", "test/a/0.csv", "walk/a/0.csv"), "the names of parts, beside walk"),
        (
            [f"s{n:02d}/{c}/0.csv" for n in range(3) for c in ("walk", "run")],
            "dataset.class_level=2 dataset.groups=1",
        ),
        (
            [
                f"{n}/{c}/0.csv"
                for n in ("train/ann", "train/bo", "test/cy")
                for c in ("walk", "run")
            ],
            "(run, walk) like classes; say so with dataset.class_level=3 dataset.groups=2",
        ),
        (
            [f"s{n:02d}/data/{c}/0.csv" for n in range(3) for c in ("walk", "run")],
            "(run, walk) like classes; say so with dataset.class_level=3 dataset.groups=1",
        ),
        (
            [f"{n}/export/{c}/t1/0.csv" for n in (101, 102) for c in (801, 901)],
            "(801, 901) like classes; say so with dataset.class_level=3 dataset.groups=1",
        ),
        (("all/walk/0.csv", "all/run/0.csv"), "dataset.path="),
        (("walk_1.csv", "run_1.csv"), "dataset.class_level=0"),
    ],
)
def test_folders_that_can_be_read_in_two_ways_are_refused(names, part, tmp_path):
    for seed, name in enumerate(names):
        put(tmp_path, name, csv_text("ax,ay,az", *noise(seed).tolist()))
    assert part in refusal(load, tmp_path)


def test_the_class_may_stand_in_any_folder_or_in_the_files_name(tmp_path):
    for seed, name in enumerate(("s1/walk/0.csv", "s1/run/0.csv", "s2/walk/0.csv", "s2/run/0.csv")):
        put(tmp_path / "deep", name, csv_text("ax,ay,az", *noise(seed).tolist()))
        put(tmp_path / "flat", name.split("/")[1] + f"_{seed}.csv", csv_text("ax", noise(seed)[0]))
    cases = load(tmp_path / "deep", class_level=2, groups=1)
    assert cases.class_names == ("run", "walk")
    assert [origin.group for origin in cases.taken.origins] == ["s1", "s1", "s2", "s2"]
    assert load(tmp_path / "flat", class_level=0).class_names == ("run", "walk")


def test_sensors_with_a_file_each_are_joined_by_time(tmp_path):
    for k, label in enumerate(("walk", "run")):
        for i in range(3):
            x, start = noise(10 * k + i), 10.0 * i
            slow = np.arange(0, LENGTH, 2)
            place = f"{label}/rec_{i}"
            acc = csv_text("time,z,y", [start + j / 50 for j in COUNTS], *x[:2].tolist())
            line = [start + 0.04 + j / 50 for j in slow]
            gyr = csv_text("time,z,y", line, (0.5 * slow).tolist(), x[2, slow].tolist())
            put(tmp_path, f"{place}/Accelerometer.csv", acc)
            put(tmp_path, f"{place}/Gyroscope.csv", gyr)
            put(tmp_path, f"{place}/Metadata.csv", "version,device\n1,Pixel\n")
            put(tmp_path, f"{place}/Proximity.csv", f"time,z\n{start},5\n")
    cases = load(tmp_path, columns=["z"])
    assert cases.channel_names == ("Accelerometer_z", "Gyroscope_z")
    assert len(cases.taken.origins) == 6
    first = cases.signals[np.array([0])][0]
    assert first[1] == pytest.approx(0.5 * np.arange(64))  # from 0.04 s on, where both have begun
    assert first[0] == pytest.approx(noise(10)[0, 2:66], abs=1e-4)
    assert any("Metadata.csv" in note for note in cases.taken.notes)
    assert any("hardly any rows" in note and "Proximity" in note for note in cases.taken.notes)
    alone = load(tmp_path, files="Accelerometer.csv", columns=["z", "y"])
    assert alone.channel_names == ("z", "y")


@pytest.mark.parametrize(
    "place", ["{0}/data_{1}_{0}_watch.csv", "{0}/{1}_watch.csv", "{0}_csv/{2}_walk_{1}.csv"]
)
def test_sensors_in_folders_are_no_classes_and_are_joined(place, tmp_path):
    """As in WISDM's raw/watch."""
    for k, sensor in enumerate(("accel", "gyro")):
        for i in range(3):
            x, label = noise(10 * k + i, 1)[0].tolist(), ["AB"[j // 100] for j in COUNTS]
            text = csv_text("user,label,ms,x", [i] * LENGTH, label, MS, x)
            whole = ("Accelerometer", "Gyroscope")[k]
            put(tmp_path, place.format(sensor, i, whole), text)
    if "walk" not in place:
        assert "(accel, gyro) look like sensors" in load(tmp_path, length=32).taken.warnings[0]
    cases = load(tmp_path, label_column="label", length=32)
    assert cases.channel_names == ("accel_x", "gyro_x")
    assert len(cases.taken.origins) == 3


def test_files_of_several_sensors_that_cannot_be_joined_are_refused(tmp_path):
    for k, sensor in enumerate(("acc", "gyro")):
        for i in range(4):
            text = csv_text("ms,x", MS, noise(10 * k + i, 1)[0].tolist())
            label = ("run", "walk")[i % 2]
            put(tmp_path, f"{label}/{sensor}_1015{10 * i + 3 * k:02}.csv", text)
    assert "of several sensors (acc, gyro)" in refusal(load, tmp_path)
    assert load(tmp_path, files="*acc*").channel_names == ("x",)
    assert len(load(tmp_path, columns=["x"]).taken.origins) == 8  # said to be of one kind


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (("r{}_HE.csv", "r{}_LB.csv"), "*_HE.csv"),
        (("r{}/340506.csv", "r{}/label.csv"), "340506*"),
        (("left/r{}.csv", "right/r{}.csv"), "*/left/*"),
        (("d{0}/DOT 1_AB_x{0}.csv", "d{0}/DOT 2_AC_x{0}.csv"), "*1_AB*"),
    ],
)
def test_files_that_were_recorded_at_once_are_told(names, pattern, tmp_path):
    for k in range(4):
        for seed, name in enumerate(names):
            text = csv_text("x,y", *noise(10 * k + seed, 2, LENGTH + 7 * k).tolist())
            put(tmp_path, ("run/", "walk/")[k % 2] + name.format(k), text)
    told = [word for word in load(tmp_path).taken.warnings if "recorded at once" in word]
    assert len(told) == 1
    assert "in each of 4 recordings, and count as recordings of the same" in told[0]
    assert f"dataset.files='{pattern}'" in told[0]
    assert ("paste" in told[0]) is ("label" in names[1])
    assert not load(tmp_path, files=pattern).taken.warnings


@pytest.mark.parametrize(
    ("name", "ending", "part", "pattern"),
    [
        ("p0_{}_left.csv", "csv", "left|right", "*_left.csv"),
        ("IU.{}.left.M.csv", "csv", "left|right", "*.left.*"),
        ("rec.{}.left", "left", "left|right", "*.left"),
        ("right_{}_left.csv", "csv", ".*(left|right)", "*_left.csv"),
        ("left/r{}.csv", "csv", "left|right", "*/left/*"),
    ],
)
def test_clocks_tell_files_that_ran_at_once_and_a_part_of_the_name_joins_them(
    name, ending, part, pattern, tmp_path
):
    signals = {}
    for k in range(6):
        for seed, sensor in enumerate(("left", "right")):
            stamps = [1.7e9 + 3600 * k + 0.02 * j for j in COUNTS]
            signals[k, sensor] = noise(10 * k + seed, 1)[0].tolist()
            place = ("up/", "down/")[k % 2] + name.replace("left", sensor).format(k)
            put(tmp_path, place, csv_text("time,x", stamps, signals[k, sensor]))
    files = None if ending == "csv" else ["*.left", "*.right"]
    told = [w for w in load(tmp_path, files=files).taken.warnings if "ran at once" in w]
    assert "in each of 6 recordings" in told[0]
    assert f"'dataset.sensor_part=\"{part}\"'" in told[0]
    assert f"dataset.files='{pattern}'" in told[0]
    cases = load(tmp_path, files=files, sensor_part=part)
    assert cases.channel_names == ("left_x", "right_x")
    assert len(cases.taken.origins) == 6
    assert not [w for w in cases.taken.warnings if "at once" in w]
    for path in tmp_path.rglob("*.*"):  # what says no day, or begins at 0, tells nothing
        path.write_text(path.read_text().replace("\n170000", "\n00"))
    assert not [w for w in load(tmp_path, files=files).taken.warnings if "at once" in w]


@pytest.mark.parametrize(
    ("name", "labels", "given"),
    [
        ("{}/r{}.csv", ("run", "sit", "walk"), {}),
        ("{}_p{}.csv", ("run", "sit", "walk"), {"class_part": 1, "groups": "p*"}),
        ("{1}/{0}.csv", ("run", "sit", "walk1", "walk2"), {"class_level": 0, "groups": 1}),
    ],
)
def test_recordings_that_last_as_long_by_a_protocol_are_no_sensors(name, labels, given, tmp_path):
    for person in range(4):
        for k, label in enumerate(labels):
            text = csv_text("x,y", *noise(10 * person + k, 2, 300 + 100 * k).tolist())
            put(tmp_path, name.format(label, person), text)
    assert not [w for w in load(tmp_path, **given).taken.warnings if "recorded at once" in w]


def test_folders_that_hold_the_same_microphones_are_said(tmp_path):
    for k in range(8):
        for mic in ("mic1", "mic2"):
            place = f"{('walk', 'run')[k % 2]}/r{k}/{mic}.csv"
            put(tmp_path, place, csv_text("x", noise(k + 10 * (mic == "mic2"), 1)[0].tolist()))
    told = load(tmp_path).taken.warnings
    assert any("each of 8 folders holds mic1, mic2" in own for own in told)
    cases = load(tmp_path, sensor_part="mic1|mic2")
    assert cases.channel_names == ("mic1_x", "mic2_x")
    assert not cases.taken.warnings


def test_channels_measured_in_turn_are_told_with_what_fills_them_down(tmp_path):
    """As Google's Science Journal exports them."""

    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        rows = [f"{20 * j + a},{',' * a}{x[a][j]}{',' * (1 - a)}" for j in COUNTS for a in (0, 1)]
        return "\n".join(["relative_time,ax,ay", *rows]) + "\n"

    told = refusal(load, make(tmp_path, text_of))
    remedy = told.split("between by: ")[1].split("; or accept")[0]
    for path in sorted(tmp_path.rglob("*.csv")):
        filled(path.read_text(), remedy, path.with_suffix(""))
        path.unlink()
    cases = load(tmp_path, class_level=1)
    assert (cases.channel_names, cases.rate) == (("ax", "ay"), pytest.approx(50))


def test_moments_alone_are_told_with_what_makes_a_signal_of_them(tmp_path):
    moments = np.cumsum(np.random.default_rng(0).exponential(1, LENGTH)).round(6).tolist()
    told = refusal(load, make(tmp_path, lambda k, i, x: csv_text("", map(str, moments))))
    remedy = told.split("is a signal: ")[1].removesuffix(".")
    mended = filled(csv_text("", map(str, moments)), remedy, tmp_path / "tried") / "all.csv"
    assert np.loadtxt(mended) == pytest.approx(np.diff(moments), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("{label}/{i}/{axis}.csv", ("x_v", "y_v", "z_v")),
        ("{label}/r{i}_{axis}.csv", ("x_v", "y_v", "z_v")),
        ("{label}/acc_{axis}_{i}.csv", ("acc_x_v", "acc_y_v", "acc_z_v")),
    ],
)
def test_a_file_an_axis_is_one_recording(name, channels, tmp_path):
    for k, label in enumerate(("walk", "run")):
        for i in range(3):
            for axis, own in zip("xyz", noise(10 * k + i, 3), strict=True):
                text = csv_text("t,v", [f"{j / 50:.2f}" for j in COUNTS], own.tolist())
                put(tmp_path, name.format(label=label, i=i, axis=axis), text)
    cases = load(tmp_path)
    assert (cases.channel_names, len(cases.taken.origins)) == (channels, 6)


def test_letters_that_were_drawn_are_classes(tmp_path):
    for k, label in enumerate("xyz"):
        for i in range(4):
            put(tmp_path, f"{label}_{i}.csv", csv_text("ax,ay", *noise(10 * k + i, 2).tolist()))
    assert load(tmp_path, class_level=0).class_names == ("x", "y", "z")


def test_files_that_are_about_others_are_left_out_by_name(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("ax,ay,az", *x))
    for label in ("run", "walk"):
        put(tmp_path, f"{label}/summary.csv", "file,mean\na.csv,0.5\nb.csv,0.25\n")
    assert "'dataset.files=\"!summary.csv\"'" in refusal(load, tmp_path)
    assert len(load(tmp_path, files="!summary.csv").taken.origins) == 6
    assert len(load(tmp_path, files=["*.csv", "!sum*"]).taken.origins) == 6
    assert "'sumary.csv', which fits no file" in refusal(load, tmp_path, files="!sumary.csv")


def test_a_recording_that_was_exported_again_with_other_decimals_is_a_copy(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        kept = noise(10 * k + max(i, 1), 3).tolist()  # the first two are one
        return csv_text("ax,ay,az", *([f"{v:.{2 + 2 * i}f}" for v in own] for own in kept))

    cases = load(make(tmp_path, text_of))
    (warning,) = cases.taken.warnings
    assert warning.startswith("2 of 6 recordings are copies of others")
    assert sum(bool(origin.copy_of) for origin in cases.taken.origins) == 2


def test_json_in_a_column_is_told_with_what_spreads_it_out(tmp_path):
    for k, label in enumerate(("run", "walk")):
        for i in range(3):
            x, y = noise(10 * k + i, 2).tolist()
            cells = [f'"{{""x"": {x[j]}, ""y"": {y[j]}}}"' for j in COUNTS]
            text = csv_text("t,payload", [f"{j / 50:.2f}" for j in COUNTS], cells)
            put(tmp_path, f"{label}/{i}.csv", text)
    told = refusal(load, tmp_path)
    remedy = told.split("a line of JSON a row: ")[1].removesuffix(".")
    for path in tmp_path.rglob("*.csv"):
        words = remedy.replace("python ", f"{sys.executable} ").replace("OLD", str(path))
        words = words.replace("NEW", str(path.with_suffix("")))
        subprocess.run(words, shell=True, check=True)
        path.unlink()
    cases = load(tmp_path)
    assert (cases.channel_names, cases.rate, cases.taken.warnings) == (("x", "y"), 50, ())


def test_older_parts_of_a_log_are_named_and_taken_by_a_pattern(tmp_path):
    for k, label in enumerate(("run", "walk")):
        for i in range(3):
            for end in ("", ".1"):
                seed = 100 * k + 10 * i + len(end)
                put(tmp_path, f"{label}/{i}.csv{end}", csv_text("x,y", *noise(seed, 2).tolist()))
    (warning,) = load(tmp_path).taken.warnings
    assert warning.startswith("6 older parts of logs (such as 0.csv.1) are not taken")
    assert len(load(tmp_path, files="*.csv*").taken.origins) == 12


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("time,gx,gy", "line 52 begins a table of other columns (gx, gy); put each into a file"),
        ("\ufefftime,x,y", "line 52 holds the names again"),
        ("1.02,OL,3", "if it says that there is no value, empty such cells, as by: sed 's/OL//g'"),
    ],
)
def test_what_stands_among_the_rows_is_told_with_a_remedy(line, remedy, tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        head, *own = csv_text("time,x,y", [f"{j / 50:.2f}" for j in COUNTS], *x[:2]).splitlines()
        return "\n".join([head, *own[:50], line, *own[51:], ""])

    make(tmp_path, text_of)
    assert remedy in refusal(load, tmp_path)


def test_errors_of_a_spreadsheet_are_missing_values(tmp_path):
    errors = ["#DIV/0!", "#VALUE!", "#NUM!"]
    cells = [errors[j % 3] if j % 40 == 7 else "" for j in COUNTS]

    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        return csv_text("x,y", [c or v for c, v in zip(cells, x[0], strict=True)], x[1])

    make(tmp_path, text_of)
    assert "values are missing" in refusal(load, tmp_path)
    assert load(tmp_path, missing="interpolate").channel_names == ("x", "y")


def test_signed_numbers_that_were_read_as_unsigned_are_said(tmp_path):
    signals = (1000 * ARRAY).astype(np.int64)
    signals[:, 1] %= 2**16
    (warning,) = look(load_npy(save(tmp_path, signals.astype(np.float32)))).warnings
    assert "channel 'channel_1' jumps between" in warning
    assert "subtract 65536" in warning


def test_patterns_choose_files_and_other_files_are_named(tmp_path):
    for seed, name in enumerate(("walk/a.txt", "run/a.txt")):
        put(tmp_path, name, csv_text("ax,ay,az", *noise(seed).tolist()))
    remedy = "but 2 .txt files: take them with dataset.files='*.txt', beside dataset=recordings"
    assert remedy in refusal(load, tmp_path)
    assert load(tmp_path, files="*.txt").class_names == ("run", "walk")
    assert "fits none of the 2 files" in refusal(load, tmp_path, files="*.dat")
    make(tmp_path, lambda k, i, x: csv_text("ax,ay,az", *x))
    put(tmp_path, "run/SHA256SUMS.txt", "0a1b r0.csv")
    assert "are not taken: 2 .txt" in " ".join(load(tmp_path).taken.warnings)


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        ([f"subject{k:02}" for k in range(4)], "subject*"),
        (["subject_1", "subject_2", "subject_10", "subject_11"], "subject_*"),
        (["SA01", "SA02", "SE01", "SE02"], "S*"),
        (["101", "102", "103", "104"], "*_"),
        (["ann", "bob", "cleo", "dan"], "*_"),
    ],
)
def test_people_stay_on_one_side_if_they_are_named(names, pattern, tmp_path):
    for k, label in enumerate(("walk", "run")):
        for person in range(4):
            for i in range(2):
                text = csv_text("ax", noise(100 * k + 10 * person + i, 1)[0])
                put(tmp_path, f"{label}/{names[person]}_{i}.csv", text)
    (warning,) = load(tmp_path).taken.warnings
    assert f"dataset.groups='{pattern}'" in warning
    cases = load(tmp_path, groups=pattern)
    assert cases.taken.warnings == ()
    assert len(set(cases.groups)) == 4
    assert "fits nothing in" in refusal(load, tmp_path, groups="person*")


@pytest.mark.parametrize(
    ("name", "words", "level"),
    [
        ("p{}/{}_{}.csv", {"class_level": 0}, 1),
        ("all/p{}/{}_{}.csv", {"label_column": "label"}, 2),
        ("fold{}/{}_{}.csv", {"label_column": "label"}, 1),
        ("{:02}/{}_{}.csv", {"label_column": "label"}, 1),
        ("p{}/data/{}/{}.csv", {"class_level": 3}, 1),
    ],
)
def test_people_in_folders_are_said_wherever_the_class_stands(name, words, level, tmp_path):
    for k in range(8):
        label, values = ("walk", "run")[k % 2], noise(k, 1)[0]
        text = csv_text("ax,label", values, [label] * len(values))
        put(tmp_path, name.format(k // 2, label, k), text)
    (warning,) = load(tmp_path, **words).taken.warnings
    assert warning.split("; ")[1].endswith(f"dataset.groups={level}")
    assert load(tmp_path, groups=level, **words).taken.warnings == ()


def test_folders_by_number_are_neither_people_nor_classes(tmp_path):
    table = ["file,label"]
    for k in range(8):
        name = f"records/0{k // 4}000/{k:05d}.csv"
        put(tmp_path, name, csv_text("ax", noise(k, 1)[0]))
        table.append(f"{name},{('walk', 'run')[k % 2]}")
    (warning,) = load(tmp_path / "records").taken.warnings
    assert "(00000, 01000) look like folders of an archive by number" in warning
    put(tmp_path, "labels.csv", "\n".join(table))
    cases = load(tmp_path)
    assert (cases.class_names, cases.taken.warnings) == (("run", "walk"), ())


# One long file


def wisdm(folder: Path, *, mixed: bool = False, end: str = "") -> Path:
    lines = []
    for user in (33, 17, 29, 13):
        for k, label in enumerate(("Jogging", "Walking")):
            for j, value in enumerate(noise(user + k, 1)[0]):
                stamp = 49105962326000 + 50_000_000 * (j + 1000 * k)
                lines.append(
                    ((k, j) if mixed else (0, 0), f"{user},{label},{stamp},{value:.4f}{end}")
                )
    if mixed:
        lines.sort(key=lambda line: line[0])
    put(folder, "all.csv", "\n".join(text for _, text in lines) + "\n")
    return folder


@pytest.mark.parametrize("end", ["", ";"])
def test_one_file_of_many_people_is_split_by_person(end, tmp_path):
    cases = load(wisdm(tmp_path, end=end), label_column=1, group_column=0)
    assert cases.channel_names == ("channel_3",)
    assert cases.rate == pytest.approx(20)
    assert len(cases.labels) == 4 * 2 * 3
    assert len(set(cases.groups)) == 4
    assert cases.taken.notes == ()


def test_what_changes_only_where_the_clock_begins_anew_is_no_channel(tmp_path):
    """As the numbers of two tests of each dog, one after the other."""
    x = np.concatenate([noise(k, 1)[0][:192] for k in range(8)])
    dog, test = np.repeat([1, 2, 3, 4], 384), np.tile(np.repeat([1, 2], 192), 4)
    label = np.roll(np.tile(np.repeat(["walk", "sit"], 96), 8), 9)
    t = np.tile(np.arange(192) / 50, 8)
    put(tmp_path, "dogs.csv", csv_text("DogID,TestNum,t_sec,x,label", dog, test, t, x, label))
    cases = load(tmp_path, label_column="label", group_column="DogID")
    assert cases.channel_names == ("x",)
    assert dict(cases.taken.left_out)["TestNum"].startswith("numbers stretches")


def test_rows_of_people_mixed_with_each_other_are_put_in_order(tmp_path):
    cases = load(wisdm(tmp_path, mixed=True), label_column=1, group_column=0, time_column=False)
    plain = load(wisdm(tmp_path), label_column=1, group_column=0)
    every = np.arange(len(plain.labels))
    assert len(cases.labels) == len(plain.labels) == 24
    mixed, ordered = cases.signals[every], plain.signals[every]
    assert sorted(mixed.tolist()) == sorted(ordered.tolist())


def test_one_file_of_one_group_cannot_be_split_and_says_why(tmp_path):
    cases = load(wisdm(tmp_path), label_column=1)
    sentence = refusal(split, cases)
    assert "1 recording" in sentence
    assert "dataset.group_column" in sentence


def test_a_column_of_people_in_the_only_file_is_the_group(tmp_path):
    text = (wisdm(tmp_path) / "all.csv").read_text()
    (tmp_path / "all.csv").write_text("user,activity,timestamp,x\n" + text)
    cases = load(tmp_path, label_column="activity")
    assert len(set(cases.groups)) == 4
    assert left_out(cases)["user"] == "the group"


# Labels


def labelled(folder: Path, *words: str) -> Path:
    for i in range(4):
        parts = [csv_text("", *noise(10 * i + q, 2, 64).tolist(), [w] * 64)
                 for q, w in enumerate(words)]  # fmt: skip
        put(folder, f"r{i}.csv", "ax,ay,label\n" + "".join(parts))
    return folder


def test_words_for_nothing_are_no_labels(tmp_path):
    words = ("walk", "NaN", "run", "unlabeled", "None", "?")
    cases = load(labelled(tmp_path, *words), label_column="label")
    assert cases.class_names == ("run", "walk")
    assert "1024 rows without a label left out" in cases.taken.notes
    told = (
        "rows whose label is '?' or 'NaN' or 'None' or 'unlabeled' count as unlabelled in 4 files"
    )
    assert told in cases.taken.notes


def test_labels_below_empty_cells_are_words(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        label = ["" if i else "eat"] * 100 + ["rest"] * (len(x[0]) - 100)
        return csv_text("ax,class", x[0], label)

    cases = load(make(tmp_path, text_of))
    assert dict(cases.taken.left_out)["class"] == "label"


@pytest.mark.parametrize("code", [1, 506616])
def test_labels_with_a_column_each_are_said(code, tmp_path):
    """As in a competition on the freezing of gait, and in Opportunity."""

    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        turn = [int(j // 64 == 0) for j in range(len(x[0]))]
        walk = [code * (j // 50 % 2) for j in range(len(x[0]))]
        return csv_text("ax,ay,turn,walk", *x[:2], turn, walk)

    (warning,) = load(make(tmp_path, text_of), label_column="turn").taken.warnings
    assert "walk (1 channel) hold a few numbers that seldom" in warning
    assert "'dataset.columns=[ax,ay]'" in warning


def test_columns_of_0_and_1_become_one_of_labels(tmp_path):
    for i in range(4):
        up, down = ([int(j // 20 % 4 in (k, k + 1)) for j in COUNTS] for k in (0, 1))
        put(tmp_path, f"{i}.csv", csv_text("ax,ay,up,down", *noise(i, 2), up, down))
    sentence = refusal(load, tmp_path)
    assert "if columns such as up (2 of 0 and 1) are its classes" in sentence
    (warning,) = load(tmp_path, label_column="up", length=20).taken.warnings
    command = re.search('python -c "(.*?)"', sentence)[1]
    assert command in warning
    for path in tmp_path.iterdir():
        code = command.replace("OLD", str(path)).replace("NEW", f"{tmp_path}/new/{path.name}")
        (tmp_path / "new").mkdir(exist_ok=True)
        if path.is_file():
            exec(code, {})
    cases = load(tmp_path / "new", label_column="label", length=20)
    assert cases.class_names == ("down", "rest", "up", "up+down")
    assert cases.channel_names == ("ax", "ay")


def test_classes_can_be_left_out(tmp_path):
    labelled(tmp_path, "0", "1", "2", "-1")
    cases = load(tmp_path, label_column="label", leave_out=[0, -1])
    assert cases.class_names == ("1", "2")
    assert "no class of" in refusal(load, tmp_path, label_column="label", leave_out=["3"])


def test_a_class_that_would_vanish_is_refused(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("ax,ay,az", *(row[: 200 - 150 * k] for row in x)))
    sentence = refusal(load, tmp_path)
    assert "the class 'run' would vanish, as it has at most 50 samples in a row" in sentence
    assert "dataset.leave_out=[run]" in sentence
    assert "the class 'walk' alone" in refusal(load, tmp_path, leave_out=["run"])
    put(tmp_path, "sit/r0.csv", csv_text("ax,ay,az", *noise(7).tolist()))
    assert not load(tmp_path, leave_out=["run"]).taken.warnings


def test_several_that_would_vanish_are_left_out_at_once(tmp_path):
    labelled(tmp_path, "walk", "run", "sit")
    put(tmp_path, "last.csv", csv_text("ax,ay,label", *noise(1, 2, 9).tolist(), ["Walk"] * 9))
    put(tmp_path, "more.csv", csv_text("ax,ay,label", *noise(2, 2, 9).tolist(), ["fall"] * 9))
    sentence = refusal(load, tmp_path, label_column="label", leave_out=["sit"])
    assert "write it as 'walk' if that is the same" in sentence
    assert "dataset.leave_out=[sit,Walk,fall]" in sentence
    given = {"label_column": "label", "leave_out": ["sit", "Walk", "fall"]}
    assert load(tmp_path, **given).class_names == ("run", "walk")


def test_what_is_suspicious_is_said_before_a_refusal_too(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("ax,ay,az", *noise(k).tolist()))
    with pytest.raises(InputError) as caught:
        load(tmp_path, length=5000)
    assert "are copies of others" in caught.value.warnings[0]


@pytest.mark.parametrize(
    "names",
    [
        ("Walking", "WALKING", "Run"),
        ("1", "1.0", "2"),
        ("01", "1", "2"),
        ("a b", "a  b", "c"),
        ("l\u00e4uft", "la\u0308uft", "c"),
    ],
)
def test_class_names_that_are_nearly_one_are_said(names, tmp_path):
    cases = load(labelled(tmp_path, *names), label_column="label")
    (warning,) = look(cases).warnings
    assert "differ only in case, blanks or the form of a number" in warning


def test_minus_one_and_one_are_two_classes(tmp_path):
    assert look(load(labelled(tmp_path, "-1", "1"), label_column="label")).warnings == ()


# Copies


def test_copies_stay_together_and_contradictions_are_refused(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("ax,ay,az", *x))
    for label in ("walk", "run"):
        put(tmp_path, f"{label}/r0 (1).csv", (tmp_path / label / "r0.csv").read_bytes())
    cases = load(tmp_path)
    assert len(set(cases.groups)) == 6
    assert "2 of 8 recordings are copies of others" in cases.taken.warnings[0]
    put(tmp_path, "run/walked.csv", (tmp_path / "walk/r1.csv").read_bytes())
    assert "hold the same samples under two classes" in refusal(load, tmp_path)


def test_a_copy_in_another_part_is_refused(tmp_path):
    for number, part in enumerate(("train", "test")):
        make(
            tmp_path / part,
            lambda k, i, x, n=number: csv_text("ax", noise(99 * n + k * 9 + i, 1)[0]),
        )  # type: ignore
    put(tmp_path, "test/walk/again.csv", (tmp_path / "train/walk/r0.csv").read_bytes())
    assert "in two parts" in refusal(load, tmp_path)


# Arrays


def save(
    folder: Path, signals: np.ndarray, labels: np.ndarray | None = None, **more: object
) -> Path:
    np.save(folder / "data.npy", signals)
    np.save(folder / "label.npy", np.arange(len(signals)) % 2 if labels is None else labels)
    for name, array in more.items():
        np.save(folder / f"{name}.npy", array)  # type: ignore[arg-type]
    return folder


ARRAY = np.random.default_rng(5).standard_normal((60, 3, 64)).astype(np.float32)


def test_axes_in_another_order_are_refused_or_taken_as_said(tmp_path):
    save(tmp_path, ARRAY.swapaxes(1, 2))
    sentence = refusal(load_npy, tmp_path)
    assert "64 channels of 3 samples" in sentence
    assert "dataset.channels=last" in sentence
    cases = load_npy(tmp_path, channels="last")
    assert np.array_equal(cases.signals[np.arange(60)], ARRAY)
    assert load_npy(tmp_path, channels="first").signals.shape == (60, 64, 3)


def test_a_counter_among_arrays_and_a_case_under_two_classes_are_said(tmp_path):
    counter = np.arange(60 * 64, dtype=np.float32).reshape(60, 1, 64)
    save(tmp_path, np.concatenate([ARRAY, counter], axis=1))
    (warning,) = look(load_npy(tmp_path)).warnings
    assert "channel 'channel_3' rises by 1 at each sample of every case" in warning
    save(tmp_path, np.concatenate([ARRAY, ARRAY[:1]]), np.array([*np.arange(60) % 2, 1]))
    warnings = look(load_npy(tmp_path)).warnings
    assert any("such as case 0 (0) and case 60 (1): one label of each two" in w for w in warnings)


def test_overlapping_windows_on_both_sides_are_said(tmp_path):
    walks = np.cumsum(np.random.default_rng(0).standard_normal((10, 1, 640)), axis=2)
    windows = [walk[:, s : s + 64] for walk in walks for s in range(0, 576, 32)]
    people = np.repeat(np.arange(10), 18)
    save(tmp_path, np.array(windows, np.float32), people % 2, groups=people)
    (unused, warning) = look(load_npy(tmp_path)).warnings
    assert "groups.npy lies beside the data and is not used" in unused
    assert "share 16 or more samples in a row with a training case" in warning
    assert "dataset.groups" in warning
    assert look(load_npy(tmp_path, groups="groups.npy")).warnings == ()


@pytest.mark.parametrize("hop", [16, 64])
def test_overlapping_windows_that_were_scaled_each_are_said(hop, tmp_path):
    walks = np.cumsum(np.random.default_rng(0).standard_normal((10, 2, 640)), axis=2)
    windows = np.array([walk[:, s : s + 64] for walk in walks for s in range(0, 576, hop)])
    windows -= windows.mean(axis=2, keepdims=True)
    windows /= windows.std(axis=2, keepdims=True)
    people = np.repeat(np.arange(10), len(windows) // 10)
    save(tmp_path, windows.astype(np.float32), people % 2, groups=people)
    said = [
        warning for warning in look(load_npy(tmp_path)).warnings if "scale and offset" in warning
    ]
    assert len(said) == (hop < 64)
    assert hop == 64 or ": 48 of 64): windows of one recording must stay on one side" in said[0]
    assert look(load_npy(tmp_path, groups="groups.npy")).warnings == ()


@pytest.mark.parametrize("value", [1e30, -9999.0])
def test_spikes_and_error_marks_are_said(value, tmp_path):
    signals = ARRAY.copy()
    signals[7, 1, 3] = value
    warning = look(load_npy(save(tmp_path, signals))).warnings[0]
    assert "channel 'channel_1' has 1 value more than 1000 times as far" in warning
    assert "case 7, sample 3" in warning


def test_a_value_that_stands_apart_again_and_again_is_said(tmp_path):
    signals = ARRAY.copy()
    signals[::5, 1, :3] = -99
    (warning,) = look(load_npy(save(tmp_path, signals))).warnings
    assert "channel 'channel_1' is -99 in" in warning
    signals[::5, 1, :3] = 0
    assert not look(load_npy(save(tmp_path, signals))).warnings


def test_a_channel_that_is_the_label_but_for_a_few_samples_is_said(tmp_path):
    signals, labels = ARRAY.copy(), np.arange(len(ARRAY)) % 2
    signals[:, 1] = (labels[:, None] + (np.arange(signals.shape[2]) % 50 == 7)) % 2
    (warning,) = look(load_npy(save(tmp_path, signals, labels))).warnings
    assert "channel 'channel_1' takes 2 values (0, 1)" in warning
    assert not look(load_npy(save(tmp_path, signals, np.arange(len(ARRAY)) // 7 % 2))).warnings


def test_surroundings_whose_level_tells_the_class_are_said(tmp_path):
    """What belongs to the thing itself may: gravity tells lying from standing."""
    names = ["acc_lat", "yaw_rate", "pressure_hPa"]
    labels = np.arange(len(ARRAY)) % 2
    signals = 0.1 * ARRAY + 3 * labels[:, None, None].astype(ARRAY.dtype)
    folder = save(tmp_path, signals, labels)
    (warning,) = look(load_npy(folder, channel_names=names)).warnings
    assert "'pressure_hPa' is of the surroundings, and its level alone tells the class" in warning
    save(tmp_path, 0.1 * ARRAY + 0.01 * labels[:, None, None], labels)
    assert not look(load_npy(folder, channel_names=names)).warnings


def test_a_channel_that_stands_still_in_training_is_said(tmp_path):
    part = np.where(np.arange(60) % 4 < 2, 0, 2)
    signals = ARRAY.copy()
    signals[part == 0, 1] = 5
    (warning,) = look(load_npy(save(tmp_path, signals, part=part), part="part.npy")).warnings
    assert "'channel_1' never changes in the training part (always 5), though it does" in warning
    assert "nothing to learn from" in refusal(look, load_npy(save(tmp_path, 0 * ARRAY)))


def test_recordings_that_stand_still_among_others_of_their_class_are_said(tmp_path):
    still = [[0.5] * LENGTH] * 3
    make(tmp_path, lambda k, i, x: csv_text("ax,ay,az", *(still if (k, i) == (1, 2) else x)))
    (warning,) = load(tmp_path).taken.warnings
    assert "in 1 of 6 recordings" in warning
    assert "2.csv) no value ever changes" in warning
    make(tmp_path, lambda k, i, x: csv_text("ax,ay,az", *(x if k else still)))
    assert not any("no value" in w for w in load(tmp_path).taken.warnings)


def test_cases_in_other_units_are_said(tmp_path):
    signals = ARRAY.copy()
    signals[::6] *= 1000
    told = [w for w in look(load_npy(save(tmp_path, signals))).warnings if "times apart" in w]
    (warning,) = told  # of all channels together
    assert "and so in 2 other channels; look whether all are in one unit" in warning


def test_gravity_in_two_units_is_said(tmp_path):
    def look_at(other: float) -> list[str]:
        def text_of(k: int, i: int, x: list[list[float]]) -> str:
            axes = np.multiply(x, 0.1) + np.array([[0], [0], [1]])
            return csv_text("ax,ay,az", *(axes * (other if i == 1 else 1)).tolist())

        warnings = look(load(make(tmp_path, text_of))).warnings
        return [warning for warning in warnings if "gravity" in warning]

    (warning,) = look_at(9.81)
    assert "(ax, ay, az) are as long as" in warning
    assert "gravity in g and in m/s²" in warning
    assert not look_at(1)
    assert not look_at(3)
    assert not look_at(1e30)


def test_a_part_without_a_class_is_said(tmp_path):
    part = np.zeros(60, int)
    part[::2] = np.where(np.arange(30) % 3 == 0, 2, 0)
    (warning,) = look(load_npy(save(tmp_path, ARRAY, part=part), part="part.npy")).warnings
    assert "the test part has no case of '1' (1 of 2 classes)" in warning


@pytest.mark.parametrize(
    ("labels", "part"),
    [
        (np.eye(2)[np.arange(60) % 2], "label.argmax(1)"),
        ((np.arange(60) % 2)[:, None], "label[:, 0]"),
        ((np.arange(60) % 2).astype(float), "label.astype(int)"),
        (np.arange(60) % 2 > 0, "label.astype(int)"),
        (np.where(np.arange(60) < 9, np.nan, 1), "label[known].astype(int) and data[known]"),
        (np.arange(60) / 2, "np.digitize(label, bounds)"),
        (np.array(["walk", "nan", "run"])[np.arange(60) % 3], "dataset.leave_out=[nan]"),
    ],
)
def test_labels_of_other_forms_are_refused_with_the_remedy(labels, part, tmp_path):
    assert part in refusal(load_npy, save(tmp_path, ARRAY, labels))


def test_blanks_around_labels_are_none(tmp_path):
    labels = np.array(["run ", "run", "walk"])[np.arange(60) % 3]
    assert load_npy(save(tmp_path, ARRAY, labels)).class_names == ("run", "walk")
    assert load_npy(tmp_path, leave_out=[]).labels.tolist().count(0) == 40


def test_a_class_of_one_case_leads_to_no_circle(tmp_path):
    labels = np.array([0] * 30 + [1] * 29 + [2])
    cases = load_npy(save(tmp_path, ARRAY, labels))
    assert "dataset.leave_out=[2]" in refusal(split, cases)
    assert load_npy(tmp_path, leave_out=[2]).signals.shape[0] == 59


# A case a row


def beats(folder: Path) -> Path:
    for part, seed in (("train", 0), ("test", 50)):
        lines = []
        for k in range(3):
            for row in noise(seed + k, 20, 40):
                lines.append(",".join([f"{v:.6e}" for v in row] + [f"{float(k):.18e}"]))
        put(folder, f"mitbih_{part}.csv", "\n".join(lines) + "\n")
    return folder


def load_rows(folder: Path, **given: object) -> Cases:
    return rows(**defaults("rows", path=str(folder)) | given)


def test_a_case_a_row_is_read_with_its_label_and_its_split(tmp_path):
    cases = load_rows(beats(tmp_path))
    assert cases.signals.shape == (120, 1, 40)
    assert cases.class_names == ("0", "1", "2")
    assert np.bincount(cases.part).tolist() == [60, 0, 60]
    assert load_rows(tmp_path / "mitbih_train.csv").part is None
    assert "are no classes" in refusal(load_rows, tmp_path, label_column=3)


def test_labels_in_a_file_of_few_columns_beside_the_cases_are_named(tmp_path):
    """As the hydraulic systems of UCI have them."""
    for sensor in ("PS1", "TS1"):
        lines = ["\t".join(f"{v:.3f}" for v in row) for row in noise(1, 30, 40)]
        put(tmp_path, f"{sensor}.txt", "\n".join(lines) + "\n")
    put(tmp_path, "profile.txt", "".join(f"{k % 3}\t100\n" for k in range(30)))
    sentence = refusal(load_rows, tmp_path, files="*.txt")
    assert "paste PS1.txt <(awk '{print $1}' profile.txt) > joined/PS1.txt" in sentence


@pytest.mark.parametrize("names", [["0", "1", "2", "3"], [str(k) for k in range(1, 41)]])
@pytest.mark.parametrize("words", [("walk", "run"), ("1", "2")])
def test_names_of_numbers_beside_that_of_the_label_are_no_case(names, words, tmp_path):
    lines = [",".join(["label", *names])]
    for k, row in enumerate(noise(0, 20, len(names))):
        lines.append(",".join([words[k % 2], *(f"{v:.3f}" for v in row)]))
    put(tmp_path, "beats.csv", "\n".join(lines) + "\n")
    cases = load_rows(tmp_path, label_column="label")
    assert cases.signals.shape == (20, 1, len(names))
    assert cases.class_names == tuple(sorted(words))
    assert "such as dataset.label_column=label" in refusal(load_rows, tmp_path)


def test_a_label_that_repeats_the_folder_is_no_sample(tmp_path):
    for k, label in enumerate(("normal", "abnormal")):
        text = "".join(",".join(f"{v:.3f}" for v in [*row, k]) + "\n" for row in noise(k, 20, 40))
        put(tmp_path, f"folders/{label}/beats.csv", text)
        put(tmp_path, f"files/{label}.csv", text)
    for place in ("folders", "files"):
        cases = load_rows(tmp_path / place, label_column=None)
        assert (cases.signals.shape, cases.class_names) == ((40, 1, 40), ("abnormal", "normal"))
        assert left_out(cases) == {"the last column": "constant in each file, as a label is"}


def filled(text: str, remedy: str, place: Path) -> Path:
    """The file after the command of a sentence was run."""
    put(place, "OLD", text)
    subprocess.run(remedy, shell=True, check=True, cwd=place)
    (place / "mended").mkdir()
    return (place / "NEW").rename(place / "mended" / "all.csv").parent


@pytest.mark.parametrize("label_column", [0, -1])
@pytest.mark.parametrize("separator", [",", "\t", " "])
def test_cases_of_different_lengths_are_told_how_they_are_filled(label_column, separator, tmp_path):
    lines = []
    for k, row in enumerate(noise(0, 30, 40)):
        cells = [f"{v:.3f}" for v in row[: 30 + k % 11]]
        cells.insert(0 if label_column == 0 else len(cells), ("walk", "run")[k % 2])
        lines.append(separator.join(cells))
    text = "\n".join(lines) + "\n"
    given = {"label_column": label_column, "files": "all.csv"}
    put(tmp_path / "raw", "all.csv", text)
    told = refusal(load_rows, tmp_path / "raw", **given)
    assert "has rows of 31 to 41 cells" in told
    cases = load_rows(filled(text, told.split("as by: ")[1].rstrip("."), tmp_path), **given)
    assert (cases.signals.shape, cases.class_names) == ((30, 1, 40), ("run", "walk"))
    first = cases.signals[np.array([0])][0, 0]
    assert first[:30] == pytest.approx(noise(0, 30, 40)[0, :30], abs=1e-3)
    assert (first[30:] == first[29]).all()


@pytest.mark.parametrize("form", ['{0},"[{1}]"', '"[{1}]",{0}'])
@pytest.mark.parametrize("between", [" ", ", "])
def test_lists_beside_nothing_but_a_label_are_told_how_they_are_read(form, between, tmp_path):
    lines = ["label,signal" if form[1] == "0" else "signal,label"]
    for k, row in enumerate(noise(0, 30, 40)):
        values = between.join(f"{v:.3f}" for v in row[: 40 - k // 20])
        lines.append(form.format(("walk", "run")[k % 2], values))
    text = "\n".join(lines) + "\n"
    put(tmp_path / "raw", "all.csv", text)
    told = refusal(load_rows, tmp_path / "raw", label_column="label")
    assert "has lists in its cells and no number beside them" in told
    mended = filled(text, told.split("as by: ")[1].split(", where")[0], tmp_path)
    given = {"label_column": "label", "missing": "interpolate"}
    cases = load_rows(mended, **given)
    assert (cases.signals.shape, cases.class_names) == ((30, 1, 40), ("run", "walk"))
    assert "10 missing values interpolated" in cases.taken.notes
    last = cases.signals[np.array([29])][0, 0]
    assert last[39] == last[38]


@pytest.mark.parametrize("suffix", [".tsv", ".txt", ".arff", ""])
def test_other_forms_of_the_archive_are_read(suffix, tmp_path):
    separator = {".tsv": "\t", ".txt": "  "}.get(suffix, ",")
    for seed, part in enumerate(("TRAIN", "TEST")):
        lines = []
        for i, row in enumerate(noise(seed, 20, 30)):
            cells = [f"{v:.5f}" for v in row]
            label = str(i % 2 + 1)
            lines.append(separator.join([*cells, label] if suffix == ".arff" else [label, *cells]))
        head = "@relation Toy\n@attribute att0 numeric\n@data\n" if suffix == ".arff" else ""
        put(tmp_path, f"Univariate/Toy/Toy_{part}{suffix}", head + "\n".join(lines) + "\n")
    cases = ucr(**defaults("ucr", path=str(tmp_path), name="Toy"))
    assert cases.signals.shape == (40, 1, 30)
    assert cases.class_names == ("1", "2")
    assert np.bincount(cases.part).tolist() == [20, 0, 20]
    first = cases.signals[np.array([0])][0, 0]
    assert first == pytest.approx(noise(0, 20, 30)[0], abs=1e-5)


# What is said


def test_one_line_a_record_and_a_table_say_what_was_taken(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("time,ax [g],ay [g],label", MS, *x[:2], [k] * LENGTH))
    cases = load(tmp_path)
    chosen = split(cases)
    summary = summarise(cases, chosen)
    for part in (
        "6 recordings of 2 classes (run 3, walk 3)", "channels ax [g], ay [g]", "time (time)",
        "label (constant", "50 Hz", "18 windows of 64 (1.28 s): train 12, test 6",
    ):  # fmt: skip
        assert part in summary.line
    record = summary.record
    assert [channel["unit"] for channel in record["channels"]] == ["g", "g"]
    assert record["recordings_by_class"] == {"run": 3, "walk": 3}
    assert record["cases_by_class"]["run"] == {"train": 6, "test": 3}
    assert record["rate_hz"] == 50
    table = data_table(cases, chosen)
    assert table is not None
    header, *lines = [line.split(",") for line in table.splitlines()]
    assert header[:5] == ["name", "classes", "group", "part", "cases"]
    assert [line[0] for line in lines] == [o.name for o in cases.taken.origins]
    assert sorted(line[3] for line in lines) == ["test"] * 2 + ["train"] * 4


def test_the_run_keeps_what_was_taken(tmp_path, forked_command):
    make(tmp_path / "data", lambda k, i, x: csv_text("time,ax,ay,no.", MS, *x[:2], COUNTS))
    done = forked_command(
        "dataset=recordings", "dataset.path=data", "dataset.length=1.28s", "dataset.stride=1.28s",
        "model.width_mult=0.25", "epochs=1", "hardware.num_threads=1", "hydra.run.dir=run",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "data  6 recordings of 2 classes" in done.stdout
    assert "no. (counts the samples)" in (tmp_path / "run/run.log").read_text()
    assert "walk/r0.csv" in (tmp_path / "run/data.csv").read_text()
    page = (tmp_path / "run/report.html").read_text()
    assert "counts the samples" in page


def test_the_command_data_shows_what_is_taken_and_leaves_nothing(tmp_path, forked_command):
    make(tmp_path / "data", lambda k, i, x: csv_text("time,ax,activity", MS, x[0], [k] * LENGTH))
    done = forked_command("data", "dataset=recordings", "dataset.path=data")
    assert done.returncode == 0, done.stderr
    assert "activity constant in each recording" in " ".join(done.stdout.split())
    assert "nothing suspicious was found" in done.stdout
    two_rates(tmp_path / "rates")
    refused = forked_command("data", "dataset=recordings", "dataset.path=rates")
    assert refused.returncode == 2
    assert "recordings have different rates" in refused.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "rates"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--config-dir", "mine", "experiment=number"), "needs ./ in front"),
        (("--config-dir", "mine", "experiment=switch"), "needs ./ in front"),
        (("dataset.path=.", "dataset.columns=[x,true]"), "write 'yes' in quotes"),
        (("dataset.path=.", "dataset.length=2 weeks"), "seconds such as 2.56s"),
    ],
)
def test_words_that_yaml_reads_in_its_own_way_are_refused_with_the_remedy(
    words, part, forked_command, tmp_path
):
    for name, path in (("number", "2024"), ("switch", "true")):
        text = f"# @package _global_\ndataset: {{path: {path}}}\n"
        put(tmp_path / "mine", f"experiment/{name}.yaml", text)
    done = forked_command("data", "dataset=recordings", *words)
    assert done.returncode == 2
    assert part in done.stderr


def test_a_small_signal_on_a_large_offset_is_not_lost(tmp_path):
    wave = np.sin(np.arange(LENGTH) / 5)

    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        return csv_text("time,pressure,ax", MS, [f"{1e8 + v:.4f}" for v in (k + 1) * wave], x[0])

    cases = load(make(tmp_path, text_of))
    factor = {"walk": 1, "run": 2}
    for case, label in enumerate(cases.labels[:4]):
        pressure = cases.signals[np.array([case])][0, 0]
        start = 64 * (case % 3)
        expected = factor[cases.class_names[label]] * wave[start : start + 64]
        assert np.allclose(pressure - 1e8, expected, atol=1e-4)
    assert any("'pressure' varies by" in warning for warning in cases.taken.warnings)
    assert load(tmp_path, columns=["ax"]).signals.dtype == np.float32


def test_files_of_the_archive_are_found_however_they_are_written(tmp_path):
    head = "@classLabel true a b\n@data\n"
    for part in ("train", "test"):
        put(tmp_path, f"Toy/toy_{part}.ts", f"{head}1,2,3,4:a\n4,3,2,1:b\n1,2,2,1:a\n")
    cases = ucr(**defaults("ucr", path=str(tmp_path), name="Toy"))
    assert cases.part.tolist() == [0, 0, 0, 2, 2, 2]
    put(tmp_path, "Toy/toy_test.ts", "@classLabel true A b\n@data\n1,2,3,4:A\n4,3,2,1:b\n")
    sentence = refusal(ucr, **defaults("ucr", path=str(tmp_path), name="Toy"))
    assert "has the class 'A'" in sentence
    assert "write them alike" in sentence


def test_a_logger_that_was_started_anew_is_named_with_the_line(tmp_path):
    make(tmp_path, lambda k, i, x: 2 * csv_text("time,ax,ay", MS, x[0], x[1]))
    assert f"line {LENGTH + 2} holds the names again" in refusal(load, tmp_path)


def test_a_folder_of_other_files_is_no_folder_of_arrays(tmp_path):
    put(tmp_path, "train/Inertial Signals/x_train.txt", "1 2 3\n")
    sentence = refusal(load_npy, tmp_path)
    assert "data.npy does not exist; the folder holds 1 .txt file" in sentence
    assert "docs/data.md" in sentence
    np.save(tmp_path / "X.npy", np.zeros((4, 1, 8)))
    assert "there are: X.npy. Name the signals with dataset.data" in refusal(load_npy, tmp_path)


def test_folders_of_sessions_are_not_classes(tmp_path):
    for session in ("session1", "session2"):
        make(tmp_path / session, lambda k, i, x: csv_text("time,ax,ay", MS, x[0], x[1]))
    sentence = refusal(load, tmp_path)
    assert "(session1, session2) look like occasions" in sentence
    assert "dataset.class_level=2 dataset.groups=1" in sentence


def test_groups_that_put_all_into_one_are_told(tmp_path):
    for k in range(4):
        put(tmp_path, f"all/p{k}/r.csv", csv_text("x,y", *noise(k, 2).tolist()))
    given = {"class_level": 2, "groups": 1}
    told = "dataset.groups=1 puts all recordings into one group, 'all'"
    assert told in load(tmp_path, **given).taken.warnings


def test_classes_of_other_names_in_another_part_are_told(tmp_path):
    for k, folder in enumerate(("train/cat", "train/dog", "test/cats", "test/dogs")):
        put(tmp_path, f"{folder}/r{k}.csv", csv_text("x,y", *noise(k, 2).tolist()))
    sentence = refusal(split, load(tmp_path))
    assert "no case of the class 'cats'" in sentence
    assert "one name for a class in all parts (training has cat, dog)" in sentence


def test_channels_that_hold_the_same_values_are_told(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("x,y", x[0], x[0]))
    (warning,) = look(load(tmp_path)).warnings
    assert "'x', 'y' hold the same values" in warning
