"""raspitrain stream: the real command, fed as a pipe, a device and a sender of datagrams would."""

import functools
import json
import os
import pty
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import tty
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import PATIENCE, defaults, motion, wait_for
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import AtWrite, write_fails
from test_use_commands import LENGTH, answers, as_csv, model_file, predicted
from test_use_engine import contract, trained
from test_use_model_file import write

from benchmarks.stream import replay
from raspitrain.errors import InputError, TemporaryError
from raspitrain.use import load
from raspitrain.use.clock import Clock
from raspitrain.use.events import Average, Trigger, settings_for
from raspitrain.use.lines import Lines
from raspitrain.use.sources import open_source
from raspitrain.use.stream import _parser
from raspitrain.use.stream import main as stream
from raspitrain.use.watch import Watcher

REPOSITORY = Path(__file__).parents[1]
WITHOUT = (
    "import sys; sys.modules['torch'] = sys.modules['numpy'] = None; "
    "from raspitrain.__main__ import command; command()"
)
COMMAND = [sys.executable, "-S", "-c", WITHOUT, "stream"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return model_file(tmp_path_factory.mktemp("model") / "model.rpt", hop=16)


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    """A model of 50 Hz that knows what values there were."""
    wide = [[-3.1, 0.0, 3.1]] * 2
    path = tmp_path_factory.mktemp("model") / "model.rpt"
    return model_file(path, hop=16, rate=50.0, quantiles=wide)


@pytest.fixture(scope="module")
def recording():
    return np.random.default_rng(0).normal(size=(2, 300)).astype(np.float32)


def streamed(model, text, *options, code=0):
    """The records that come of a text in a pipe, and what is said beside them."""
    done = subprocess.run(
        [*COMMAND, str(model), *map(str, options)],
        input=text.encode() if isinstance(text, str) else text,
        capture_output=True,
        cwd=REPOSITORY,
        timeout=60 * PATIENCE,
    )
    told = done.stderr.decode()
    assert done.returncode == code, told
    assert "Traceback" not in told
    return answers(done.stdout.decode()), told


def of(records, *kinds):
    return [record for record in records if record["event"] in kinds]


# ---------------------------------------------------------------- scores


def with_gaps(text):
    """Stamps that jump ahead, jump back, stand still, and one that is missing."""
    lines = text.splitlines()
    for k, line in enumerate(lines[1:], 1):
        stamp, rest = line.split(",", 1)
        later = float(stamp) + (7 if k > 90 else 0) - (20 if k > 200 else 0)
        packet = round(later - (k % 3) / 50 if k > 150 else later, 6)
        lines[k] = f"{'' if k == 40 else packet},{rest}"
    return "\n".join(lines) + "\n"


def past_midnight(text):
    lines = text.splitlines()
    for k, line in enumerate(lines[1:], 1):
        day, second = ("23:59:5", 7 + k / 50) if k < 150 else ("00:00:0", k / 50 - 3)
        lines[k] = f"{day}{second:.6f},{line.split(',', 1)[1]}"
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda text: text, []),
        (lambda text: text, ["--hop", "1"]),
        (lambda text: text, ["--hop", "40"]),
        (with_gaps, ["--hop", "3"]),
        (past_midnight, ["--hop", "3"]),
        (lambda text: "Device: A 2\nRate 50 Hz, 16 bit\n" + text, []),
        (lambda text: text.replace("\n", "\r\n").replace(",", ";"), ["--hop", "7"]),
        (lambda text: text.split("\n", 1)[1], ["--time-column", "0"]),
    ],
    ids=["plain", "each", "far", "gaps", "midnight", "device", "dos", "unnamed"],
)
def test_scores_are_those_of_predict(timed, recording, tmp_path, capsys, change, options):
    """To the bit, on the same file."""
    text = change(as_csv(recording, time=[k / 50 for k in range(300)]))
    (tmp_path / "a.csv").write_text(text)
    expected = predicted(capsys, timed, tmp_path / "a.csv", *options)
    assert len(expected) > 3
    records, _ = streamed(timed, text, "--scores", *options)
    keys = ("window", "start", "time", "class", "probability", "probabilities", "logits")
    found = [{key: record[key] for key in keys} for record in of(records, "window")]
    assert found == [{key: row[key] for key in keys} for row in expected]


def as_json(rows, **beside):
    return [
        json.dumps({"t": k / 50, "x": x, "in": {"y": y}, **beside}) for k, (x, y) in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("channels", "suffix", "write"),
    [
        ("x+in_y", "jsonl", lambda rows: [*as_json(rows), '{"status": "ok"}']),
        ("x+in_y", "jsonl", lambda rows: as_json(rows, raw=None, ok=True)),
        ("acc_0+acc_1", "jsonl", lambda rows: [
            json.dumps({"t": k / 50, "acc": [x, y, 0]}) for k, (x, y) in enumerate(rows)
        ]),
        ("a+b", "jsonl", lambda rows: [
            json.dumps({"fw": 2, "readings": [
                {"t": k / 50, "a": x, "b": y} for k, (x, y) in enumerate(rows[at:at + 10], at)
            ]}) for at in range(0, len(rows), 10)
        ]),
        ("channel_0+channel_1", "txt", lambda rows: [
            "Auto-reload is on.", "code.py says this:", *(f"({x}, {y})" for x, y in rows)
        ]),
        ("x+y", "txt", lambda rows: [str({"x": x, "y": y}) for x, y in rows]),
        ("IR+Avg BPM", "txt", lambda rows: [
            "Initializing...", "Place your finger.", *(f"IR={x}, Avg BPM={y}" for x, y in rows)
        ]),
        ("X+Y", "log", lambda rows: [
            "rst:0x1 (POWERON_RESET)", "", *(f"Accel X {x} and Y {y} g" for x, y in rows)
        ]),
        ("channel_3+channel_5", "log", lambda rows: [
            "--- Terminal on /dev/ttyUSB0 | 115200 8-N-1",
            *(f"12:00:{k // 50:02d}.{k % 50 * 20:03d} > ax: {x} ay: {y}"
              for k, (x, y) in enumerate(rows)),
        ]),
        ("1+2", "txt", lambda rows: [
            "Reading values, press Ctrl-C to quit...", "|  0 |  1 |  2 |", "-" * 16,
            *(f"| {k % 2} | {x} | {y} |" for k, (x, y) in enumerate(rows)),
        ]),
        ("x+y", "csv", lambda rows: [
            "booting", "t,x,y", *(f"{k / 50},{x},{y}" for k, (x, y) in enumerate(rows))
        ]),
    ],
    ids=[*map(str, range(11))],
)  # fmt: skip
def test_lines_are_read_as_files_of_them(recording, tmp_path, capsys, channels, suffix, write):
    """With the scores of predict, which reads such files as training does."""
    names = channels.split("+")
    model = model_file(tmp_path / "model.rpt", channels=names, hop=16, rate=50.0)
    rows = [(round(float(x), 4), round(float(y), 4)) for x, y in recording.T]
    path = tmp_path / f"a.{suffix}"
    path.write_text("\n".join(write(rows)) + "\n")
    expected = predicted(capsys, model, path, "--rate", "50")
    assert len(expected) == 17
    records, _ = streamed(model, path.read_bytes(), "--scores", "--rate", "50")
    found = of(records, "window")
    assert [row["logits"] for row in found] == [row["logits"] for row in expected]
    assert records[-1]["bad_line"] == (path.read_text().count("status"))


@pytest.mark.parametrize(
    ("channels", "write"),
    [
        ("x+y", lambda k, x, y: "at,x,y\n" * (not k) + f"2024-05-03 09:00:{k / 50:09.6f},{x},{y}"),
        ("channel_2+channel_3", lambda k, x, y: f"$IMU,{1000 + 20 * k},{x},{y}*5A"),
        ("channel_1+channel_3", lambda k, x, y: f"0,{x},{k / 50},{y},1023,{k}"),
        ("channel_2+A", lambda k, x, y: f"{k / 50} {x}A {y}V"),
        ("d_0+d_1", lambda k, x, y: json.dumps(
            {"tst": f"2024-05-03T09:00:{k / 50:09.6f}+0200", "d": [x, y]}
        )),
        ("x+y", lambda k, x, y: (
            "when,x,y\n" * (not k)
            + f"5/3/2024 9:00:{k // 50:02d}.{k % 50 * 20:03d} PM,{x},{y}"
        )),
    ],
)  # fmt: skip
def test_a_clock_is_found_that_no_name_tells(recording, tmp_path, channels, write):
    names = channels.split("+")
    model = load(model_file(tmp_path / "model.rpt", channels=names, hop=16, rate=50.0))
    told = []
    watcher = Watcher(
        model, settings_for(model, 50.0), source="s", hop=16, rate=None, live=False,
        tell=told.append, all_windows=True,
    )  # fmt: skip
    rows = enumerate(recording.T.tolist())
    for number, line in enumerate("\n".join(write(k, *row) for k, row in rows).split("\n"), 1):
        watcher.line(line, number)
    watcher.finish("end")
    times = [record["time"] for record in of(told, "window")]
    ticks = 1000 if channels == "channel_2+channel_3" else 1
    assert np.diff(times) / ticks == pytest.approx(16 / 50)
    assert (len(times), watcher.counts["bad_line"]) == (17, 0)


def test_without_stamps_the_rate_is_asked_for(timed, recording, tmp_path, capsys):
    text = as_csv(recording)
    (tmp_path / "a.csv").write_text(text)
    expected = predicted(capsys, timed, tmp_path / "a.csv", "--rate", "50")
    records, _ = streamed(timed, text, "--scores", "--rate", "50", "--hop", "0.32s")
    found = of(records, "window")
    assert [row["logits"] for row in found] == [row["logits"] for row in expected]
    assert [row["time"] for row in found] == [row["time"] for row in expected]
    for options in ([], ["--rate", "25"]):
        records, told = streamed(timed, text, *options, code=2)
        assert "--rate" in told
        assert not of(records, "window")


@pytest.mark.parametrize(
    ("form", "low", "high"),
    [("u1", 0, 256), ("i2", -(2**15), 2**15), ("i4", -(2**31), 2**31), ("f4", -1, 1)],
)
def test_bytes_are_read_as_a_wav_of_their_kind(tmp_path, capsys, form, low, high):
    heard = model_file(tmp_path / "model.rpt", channels=["left", "right"], rate=8000.0, hop=16)
    random = np.random.default_rng(0)
    samples = random.uniform(low, high, (100, 2)).astype(f"<{form}").tobytes()
    width = int(form[1])
    kind = 3 if form == "f4" else 1
    head = struct.pack("<HHIIHH", kind, 2, 8000, 16000 * width, 2 * width, 8 * width)
    content = b"WAVEfmt " + struct.pack("<I", 16) + head + b"data"
    content += struct.pack("<I", len(samples)) + samples
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(content)) + content)
    expected = predicted(capsys, heard, tmp_path / "a.wav")
    raw = {"u1": "u8", "i2": "s16le", "i4": "s32le", "f4": "f32le"}[form]
    records, _ = streamed(heard, samples + b"1", "--raw", raw, "--rate", "8000", "--scores")
    found = of(records, "window")
    assert [row["logits"] for row in found] == [row["logits"] for row in expected]
    assert [row["time"] for row in found] == [row["time"] for row in expected]
    assert "--rate" in streamed(heard, samples, "--raw", raw, code=2)[1]


def test_of_stereo_one_side_is_taken_where_the_model_takes_no_other(tmp_path):
    """As where a microphone left the other dead in all recordings of training."""
    given = replace(contract(1), channels=["right"], rate=8000.0, hop=16)
    network = trained("mobilenetv3_small", width_mult=0.25, length=LENGTH, num_channels=1)
    heard = write(tmp_path / "model.rpt", network, given, LENGTH)
    both = np.random.default_rng(0).integers(-(2**15), 2**15, (100, 2)).astype("<i2")
    alone = "".join(["right\n", *(f"{value / 2**15}\n" for value in both[:, 1].tolist())])
    options = ("--rate", "8000", "--scores")
    records, told = streamed(heard, both.tobytes(), "--raw", "s16le", *options)
    expected, _ = streamed(heard, alone, *options)
    assert of(records, "window") == of(expected, "window") != []
    assert "of stereo, as the recordings of training were, right alone is taken" in told


# ---------------------------------------------------------------- events


def trigger_events(scores, threshold=0.8, release=0.5, suppress=0.0):
    trigger = Trigger(threshold, release, suppress)
    return [trigger.feed(float(k), score) for k, score in enumerate(scores)]


def test_hysteresis_and_suppression():
    assert trigger_events([0.7, 0.8, 0.6, 0.5, 0.4, 0.9]) == [0, 1, 0, 0, -1, 1]
    assert trigger_events([0.9, 0.1, 0.9, 0.9, 0.9], suppress=3.0) == [1, -1, 0, 0, 1]
    assert trigger_events([0.9, 0.1, 0.9, 0.1, 0.1], suppress=3.0) == [1, -1, 0, 0, 0]


def test_no_mean_of_fewer_windows_than_asked_for():
    average = Average(3)
    found = [average.feed([p, 1 - p]) for p in (0.0, 0.3, 0.9, 0.6)]
    assert found[:2] == [None, None]
    assert found[2] == pytest.approx([0.4, 0.6])
    assert found[3] == pytest.approx([0.6, 0.4])


def test_what_happens_is_told_as_events(motions):
    both = np.concatenate([motion(1, 400, 70), motion(8, 400, 71), motion(1, 400, 72)], axis=1)
    text = as_csv(both, time=np.arange(1200) / 50)
    options = ["--background", "slow", "--average", "2", "--hop", "8", "--threshold", "fast=0.7"]
    records, told = streamed(motions, text, *options)
    start, end = of(records, "start", "end")
    assert (start["event"], start["class"], end["event"]) == ("start", "fast", "end")
    assert 8 < start["time"] < 9.5
    assert 16 < end["time"] < 17.5
    assert end["seconds"] == pytest.approx(end["time"] - start["time"])
    assert start["score"] >= 0.7
    assert end["peak"] >= start["score"] > end["score"]
    assert records[-1]["event"] == "finished"
    assert records[-1]["events"] == {"fast": 1}
    assert "fast 0.7 (not calibrated)" in told


def test_a_signal_ends_open_events_and_tells_the_counts(motions):
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = subprocess.Popen(
            [*COMMAND, str(motions), "--average", "1"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY,
        )  # fmt: skip
        process.stdin.write(as_csv(motion(8, 64, 0), time=np.arange(64) / 50).encode())
        process.stdin.flush()
        first = json.loads(process.stdout.readline())
        process.send_signal(number)
        out, err = process.communicate(timeout=60 * PATIENCE)
        *_, end, finished = answers(out.decode())
        assert (first["event"], first["class"]) == ("start", "fast")
        assert (end["event"], end["reason"]) == ("end", "stopped")
        assert (finished["why"], finished["samples"]) == ("stopped", 64)
        assert process.returncode == code
        assert b"64 samples" in err


def test_without_standard_output_there_is_http_alone(model, recording, tmp_path):
    (tmp_path / "a.csv").write_text(as_csv(recording))
    command = [
        *map(shlex.quote, [*COMMAND, str(model), "--source", str(tmp_path / "a.csv")]),
        ">&-",
    ]
    done = subprocess.run(
        " ".join(command), shell=True, capture_output=True, cwd=REPOSITORY, timeout=60 * PATIENCE
    )
    assert done.returncode == 0
    assert b"17 windows" in done.stderr


def test_a_reader_that_goes_ends_the_stream_in_silence(model, recording):
    process = subprocess.Popen(
        [*COMMAND, str(model), "--scores", "--hop", "1"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY,
    )  # fmt: skip
    text = as_csv(recording).encode()
    process.stdin.write(text)
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.close()
    try:
        for _ in range(1000):
            process.stdin.write(text)
            process.stdin.flush()
    except BrokenPipeError:
        pass
    assert process.wait(60 * PATIENCE) == 0
    assert process.stderr.read().count(b"\n") == 1


# ---------------------------------------------------------------- what may be wrong


def test_nothing_reaches_across_a_gap_and_it_is_told(timed, recording):
    times = [k / 50 for k in range(300)]
    for begin, other in ((100, 5.0), (200, -3.0)):
        times[begin:] = [moment + other for moment in times[begin:]]
    records, _ = streamed(timed, as_csv(recording, time=times), "--scores")
    gap, backwards = of(records, "gap", "backwards")
    assert (gap["event"], gap["count"], gap["jump"]) == ("gap", 1, pytest.approx(5.02))
    assert (backwards["event"], backwards["jump"]) == ("backwards", pytest.approx(-2.98))
    starts = [record["start"] for record in of(records, "window")]
    assert starts == [s for a in (0, 100, 200) for s in range(a, a + 100 - LENGTH + 1, 16)]


def test_names_in_the_middle_begin_a_new_recording(timed, recording):
    text = as_csv(recording[:, :100], time=[k / 50 for k in range(100)])
    units = text.replace("\n", "\ns,g,g\n", 1)
    records, _ = streamed(timed, units + units, "--scores")
    assert [record["start"] for record in of(records, "window")] == [
        *range(0, 69, 16), *range(100, 169, 16),
    ]  # fmt: skip
    assert (records[-1]["restart"], records[-1]["backwards"]) == (1, 0)


def test_bad_lines_are_counted_and_are_missing_samples(tmp_path, recording):
    """What is missing is filled as in training; too much of it is a gap."""
    filling = model_file(tmp_path / "model.rpt", hop=16, missing="interpolate")
    lines = as_csv(recording).splitlines()
    for k in (50, 51, 150, 151, 152, 153, 154):
        lines[k] = ("1", "1,2,3", "a,b", "\0\1", '"1,234",0.5', '1,"2;3', "")[k % 7]
    lines[60] = "# a comment is none"
    records, _ = streamed(filling, "\n".join(lines), "--scores", "--hop", "1")
    finished = records[-1]
    told = of(records, "bad_line")
    assert [record["count"] for record in told] == list(range(1, 1 + min(5, len(told))))
    assert told[0]["line"] == 51
    assert (finished["bad_line"], finished["gap"], finished["missing"]) == (6, 1, 0)
    strict = model_file(tmp_path / "model.rpt", hop=16)
    records, _ = streamed(strict, "\n".join(lines), "--scores", "--hop", "1")
    assert "1 missing or infinite values in x" in of(records, "missing")[0]["why"]
    assert records[-1]["missing"] >= LENGTH


@pytest.mark.parametrize("cut", ["0.5", "0.5,oops"])
def test_a_bad_line_below_the_names_is_one(cut, model, recording):
    lines = as_csv(recording).splitlines()
    lines[1] = cut
    records, _ = streamed(model, "\n".join(lines))
    assert of(records, "bad_line", "table")[0]["line"] == 2
    assert (records[-1]["bad_line"], records[-1]["samples"]) == (1, 300)


def test_a_line_of_ten_megabytes_is_dropped_in_bounded_memory(model, recording):
    text = as_csv(recording).encode()
    half = text.index(b"\n", len(text) // 2) + 1
    code = "import resource as r; r.setrlimit(r.RLIMIT_DATA, (30 << 20,) * 2); " + WITHOUT
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, "stream", str(model)],
        input=text[:half] + b"1" * 50_000_000 + b"\n" + text[half:],
        capture_output=True, cwd=REPOSITORY, timeout=60 * PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = answers(done.stdout.decode())
    assert "million" in of(records, "bad_line")[0]["why"]
    assert records[-1]["samples"] == 301


def test_another_rate_is_told_and_no_window_answered(timed, recording):
    text = as_csv(recording, time=[k / 100 for k in range(300)])
    records, told = streamed(timed, text, "--scores", code=2)
    (rate,) = of(records, "rate")
    assert (rate["right"], rate["trained"]) == (False, 50)
    assert rate["measured"] == pytest.approx(100)
    assert not of(records, "window")
    assert "100 samples a second" in told
    assert "trained at 50" in told
    later = [k / 50 for k in range(150)] + [3 + k / 60 for k in range(150)]
    records, _ = streamed(timed, as_csv(recording, time=later), "--scores")
    assert records[-1]["rate"] == 1
    assert 0 < records[-1]["withheld"] < 17


def test_other_units_are_told(timed, recording):
    text = as_csv(recording * 9.80665, time=[k / 50 for k in range(300)])
    records, _ = streamed(timed, text, "--hop", "1")
    (told, *_) = of(records, "range")
    channel = told["channels"][0]
    assert channel["channel"] in "xy"
    assert channel["max"] > channel["trained_max"] == 3.1
    assert "m/s² where g was learnt" in channel["maybe"]
    calm, _ = streamed(timed, as_csv(recording, time=[k / 50 for k in range(300)]))
    assert calm[-1]["range"] == 0


@pytest.mark.parametrize(
    ("options", "text", "word"),
    [
        ([], "", "standard input is empty"),
        ([], "a,b\n1,2\n", "no column 'x'"),
        ([], '{"x": 1, "y": 2}\n', "had 1 samples"),
        ([], '{"x": 1, "z": 2}\n', "no column 'y', which"),
        ([], "[1, 2\n", "predict reads files called .json"),
        ([], "booting\nfoo,bar\n1,2\n" + 70 * "3,4\n", "no column 'x', 'y'"),
        ([], "1,2,3\n", "3 columns without names"),
        ([], "x,y\n1,2\n", "never as many as a window, 32"),
        ([], "sep=;\nx;y\n1;2\n", "had 1 samples"),
        ([], "10:21:33.000 -> x,y\n10:21:33.020 -> 1,2\n", "had 1 samples"),
        ([], "9:5:3.7 -> x,y\n9:5:3.72 -> 1,2\n", "had 1 samples"),
        ([], "0x1F,0x2A\n", "has 0x1F, a number in base 16; write them in base 10, as by: perl"),
        ([], "x,y\n0x1F,0x2A\n0x1F,0x2A\n", "'0x1F' is not a number; write them in base 10"),
        ([], "[12.3] RX: 1;2\n", "as by: sed -u 's/^.*[]:>)] *//' OLD > NEW"),
        (["--source", "a.npy"], "", "predict reads such files"),
        ([], "1,2,walk\n", "no names in its first line, and 'walk' in it is no number: write"),
        (["--hop", "0"], "", "--hop"),
        (["--hop", "1s"], "", "--rate"),
        (["--hop", "soon"], "", "'soon'"),
        (["--threshold", "1.1"], "", "from 0 to 1"),
        (["--threshold", "nan"], "", "from 0 to 1"),
        (["--threshold", "clas 1=0.5"], "", "did you mean class 1?"),
        (["--release", "0.9"], "", "above its threshold"),
        (["--background", "class 0", "--background", "class 1"], "", "every class"),
        (["--average", "0"], "", "--average"),
        (["--suppress", "-1"], "", "--suppress"),
        (["--rate", "0"], "", "--rate"),
        (["--source", "/dev/null"], "", "/dev/null"),
        (["--source", "udp:40001", "--raw", "s16le"], "", "for a pipe or a file"),
        (["--raw", "s16le"], "", "standard input is empty"),
        (["--source", "/nowhere"], "", "No such file"),
        (["--baud", "1234", "--source", "/dev/ptmx"], "", "115200"),
        (["--source", "udp:x"], "", "udp:HOST:PORT"),
        (["--source", "udp:0"], "", "udp:HOST:PORT"),
        (["--keep", "all=x"], "", "uncertain=FOLDER"),
        (["--keep", "uncertain=/dev/null/x"], "", "/dev/null/x"),
        (["--keep", "uncertain=/tmp", "--keep-most", "0"], "", "--keep-most"),
        (["--http", "here"], "", "HOST:PORT"),
        (["--http", "1.2.3.4:80"], "", "nothing can be served"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(model, monkeypatch, capfd, options, text, word):
    reader, writer = os.pipe()
    os.write(writer, text.encode())
    os.close(writer)
    monkeypatch.setattr("raspitrain.use.sources.Pipe.__init__", _of(reader))
    assert stream([str(model), *options]) == 2
    os.close(reader)
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert word in last


def _of(reader):
    def init(self, name, descriptor, wait):
        self.name, self._descriptor, self._wait = name, reader, wait
        self.close = lambda: None

    return init


# ---------------------------------------------------------------- devices and datagrams


@contextmanager
def running(*options):
    """The command at work; gives (process, records so far)."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, options)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY,
        text=True,
    )  # fmt: skip
    os.set_blocking(process.stdout.fileno(), False)
    told, rest = [], [""]

    def records():
        rest[0] += (process.stdout.buffer.read() or b"").decode()
        *lines, rest[0] = rest[0].split("\n")
        told.extend(map(json.loads, lines))
        return told

    try:
        yield process, records
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_a_device_that_is_unplugged_is_taken_up_again(timed, recording, tmp_path):
    text = as_csv(recording, time=[k / 50 for k in range(300)]).encode()
    link = tmp_path / "ttyACM0"

    def plug():
        master, slave = pty.openpty()
        tty.setraw(master)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(slave))
        return master, slave

    master, slave = plug()
    with running(timed, "--source", link, "--scores") as (process, records):
        assert "ttyACM0" in process.stderr.readline()
        os.write(master, b"47,0.3\nboot: ready\n" + text)
        assert wait_for(lambda: len(of(records(), "window")) == 17)
        os.close(slave)
        link.unlink()
        os.close(master)
        assert wait_for(lambda: of(records(), "unplugged"))
        master, slave = plug()
        assert wait_for(lambda: of(records(), "back"))
        os.write(master, text)
        assert wait_for(lambda: len(of(records(), "window")) == 34)
        process.terminate()
        assert process.wait(60 * PATIENCE) == 143
        finished = records()[-1]
        assert (finished["samples"], finished["bad_line"]) == (600, 1)
        first, second = (of(records(), "window")[k]["logits"] for k in (0, 17))
        assert first == second
    os.close(master)
    os.close(slave)


def test_datagrams_of_one_sender(timed, recording):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lines = as_csv(recording, time=[k / 50 for k in range(300)]).splitlines()
    with running(timed, "--source", f"udp:{port}", "--scores") as (process, records):
        assert f"udp:127.0.0.1:{port}" in process.stderr.readline()
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
        ):
            for k in range(0, 301, 10):
                sender.sendto("\n".join(lines[k : k + 10]).encode(), ("127.0.0.1", port))
                other.sendto(b"0,0,0\n", ("127.0.0.1", port))
                time.sleep(0.002)
            assert wait_for(lambda: len(of(records(), "window")) == 17)
        process.terminate()
        assert process.wait(60 * PATIENCE) == 143
        assert records()[-1]["stranger"] == 31
        assert records()[-1]["samples"] == 300


def test_a_device_tells_of_itself_before_words_among_numbers(timed, recording):
    """What came before its lines were understood is told of as bad, and no sample."""
    told = []
    watcher = Watcher(
        load(timed), settings_for(load(timed), 50.0), source="s", hop=32, rate=50.0, live=True,
        tell=told.append,
    )  # fmt: skip
    text = [*["Place your finger."] * 6, *(f"x={x}, y={y} ok" for x, y in recording.T.tolist())]
    for number, line in enumerate(text, 1):
        watcher.line(line, number)
    assert [(r["line"], r["columns"]) for r in told if r["event"] == "table"] == [(16, ["x", "y"])]
    assert (watcher.counts["bad_line"], watcher.counts["samples"]) == (16, 290)


def test_another_sender_takes_over_after_a_silence(monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    source = open_source(f"udp:{port}", 115_200)
    said = []
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        for silence, sender in ((10.0, one), (10.0, two), (0.0, two), (0.0, two)):
            monkeypatch.setattr("raspitrain.use.sources.SILENCE", silence)
            sender.sendto(b"1,2", ("127.0.0.1", port))
            said.append(source.read(5.0))
            if said[-1][0] == "lost":
                said.append(source.read(5.0))
    source.close()
    line = ("data", b"1,2\n")
    assert said == [line, ("stranger", b""), ("lost", b""), line, line]


def test_the_service_waits_for_its_device():
    from test_unattended import settings as of_unit

    unit = of_unit(REPOSITORY / "examples" / "raspitrain-stream.service")
    (command,) = unit["ExecStart"]
    python, option, module, *words = shlex.split(command)
    assert (Path(python).name, option, module) == ("python", "-m", "raspitrain.stream")
    given = _parser().parse_args(words)
    assert unit["DeviceAllow"] == [f"{given.source} rw"]
    assert (unit["Type"], unit["SuccessExitStatus"]) == (["notify"], ["143"])
    assert unit["RestartPreventExitStatus"] == ["2"]
    assert stream([str(REPOSITORY), "--source", "/dev/ttyACM77"]) == 2
    with pytest.raises(TemporaryError, match="No such file"):
        open_source("/dev/ttyACM77", 115_200)


def test_systemd_is_told_that_it_is_ready(model, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        done = subprocess.run(
            [*COMMAND, str(model)], input=b"x,y\n" + b"1,2\n" * 40, capture_output=True,
            cwd=REPOSITORY, env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")},
            timeout=60 * PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0
        assert systemd.recv(100) == b"READY=1"
        assert systemd.recv(100) == b"WATCHDOG=1"


# ---------------------------------------------------------------- HTTP


def test_what_is_told_is_served(timed, recording):
    text = as_csv(recording, time=[k / 50 for k in range(300)])
    process = subprocess.Popen(
        [*COMMAND, str(timed), "--http", "0", "--threshold", "0.1", "--average", "1"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY,
    )  # fmt: skip
    try:
        process.stderr.readline()
        address = process.stderr.readline().decode().split("/latest")[0]
        assert address.startswith("http://127.0.0.1:")

        def get(page, **headers):
            asked = urllib.request.Request(address + page, headers=headers)
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return answer.read().decode()

        assert get("/latest") == "null\n"
        process.stdin.write(text.encode())
        process.stdin.flush()
        assert wait_for(lambda: "raspitrain_windows_total 17" in get("/metrics"))
        assert json.loads(get("/latest"))["start"] == 256
        events = answers(get("/events"))
        assert [event["event"] for event in events] == ["start", "start"]
        page = get("/metrics")
        assert 'raspitrain_events_total{class="class 0"} 1' in page
        assert 'raspitrain_faults_total{kind="gap"} 0' in page
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get("/")
        with pytest.raises(urllib.error.HTTPError, match="403"):
            get("/latest", Host="evil.example")
        asked = urllib.request.Request(
            address + "/events", headers={"Accept": "text/event-stream", "Last-Event-ID": "1"}
        )
        with urllib.request.urlopen(asked, timeout=30) as live:
            assert live.readline() == b"id: 2\n"
            assert json.loads(live.readline()[6:])["event"] == "start"
            live.readline()
            process.stdin.write(b"99,1,1\n")
            process.stdin.flush()
            assert live.readline() == b"id: 3\n"
            assert json.loads(live.readline()[6:])["event"] == "end"
        again = subprocess.run(
            [*COMMAND, str(timed), "--http", address.removeprefix("http://")],
            stdin=subprocess.DEVNULL, capture_output=True, cwd=REPOSITORY, timeout=60 * PATIENCE,
        )  # fmt: skip
        assert again.returncode == 2
        assert again.stderr.count(b"\n") == 1
        assert b"in use" in again.stderr
    finally:
        process.kill()
        process.communicate()


# ---------------------------------------------------------------- what is kept


def test_uncertain_windows_become_recordings(timed, recording, tmp_path):
    from raspitrain.data.recordings import recordings

    text = as_csv(recording, time=[100_000 + 20 * k for k in range(300)])
    options = ["--keep", f"uncertain={tmp_path}", "--keep-below", "1", "--keep-most", "5"]
    records, _ = streamed(timed, text, *options)
    kept = sorted((tmp_path / "unlabelled").iterdir(), key=lambda p: int(p.name.split("-")[1]))
    assert len(kept) == 5
    assert records[-1]["kept"] == 5
    assert "has 5 windows" in of(records, "keep")[0]["why"]
    for number, path in enumerate(kept):
        folder = tmp_path / ("walk" if number % 2 else "run")
        folder.mkdir(exist_ok=True)
        path.rename(folder / f"{number}.csv")
    (tmp_path / "unlabelled").rmdir()
    given = defaults("recordings", path=str(tmp_path), length=LENGTH, stride=LENGTH)
    cases = recordings(**given)
    assert cases.class_names == ("run", "walk")
    assert cases.channel_names == ("x", "y")
    assert cases.rate == pytest.approx(50)
    windows = cases.signals[np.arange(5)].astype(np.float32)
    order = [int(origin.name.split("/")[1][0]) for origin in cases.taken.origins]
    for number, window in zip(order, windows, strict=True):
        np.testing.assert_array_equal(window, recording[:, number * 32 : number * 32 + 32])


def test_a_card_that_is_full_costs_windows_and_not_the_stream(timed, recording, tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text(as_csv(recording, time=[k / 50 for k in range(300)]))
    words = [timed, "--source", path, "--keep", f"uncertain={tmp_path}", "--keep-below", "1"]
    with write_fails(AtWrite(2, ever_after=True)):
        assert stream([str(word) for word in words]) == 0
    records = answers(capsys.readouterr().out)
    (told,) = of(records, "keep")
    assert "No space left" in told["why"]
    assert (records[-1]["kept"], records[-1]["windows"]) == (0, 17)
    assert list((tmp_path / "unlabelled").iterdir()) == []


# ---------------------------------------------------------------- for days


@pytest.mark.long
def test_memory_is_flat_over_a_day(tmp_path):
    """24 hours of six channels at 100 Hz, a window each 0.1 s, with faults in every minute."""
    names = [f"c{k}" for k in range(6)]
    network = trained("mobilenetv3_small", width_mult=0.25, length=100, num_channels=6)
    given = replace(contract(6), channels=names, rate=100.0, quantiles=[[-3.0, 0.0, 3.0]] * 6)
    path = write(tmp_path / "model.rpt", network, given, 100)
    found = replay(path, 24)
    print(f"resident memory by the hour, kB: {found.resident}; {found.told} lines told")
    # Of six bad lines in a row three count.
    assert found.finished["samples"] == 24 * 60 * (6000 - 3)
    assert found.finished["gap"] == 24 * 60
    assert max(found.resident) - found.resident[0] < 1000


# ---------------------------------------------------------------- any bytes


@given(st.lists(st.binary(max_size=40)), st.integers(1, 30))
@settings(deadline=None)
def test_lines_do_not_depend_on_how_they_come(chunks, longest):
    whole, parts = Lines(longest), Lines(longest)
    expected = [*whole.feed(b"".join(chunks)), *whole.end()]
    found = [line for chunk in chunks for line in parts.feed(chunk)] + list(parts.end())
    assert found == expected
    assert all(line is None or len(line) <= longest for line in found)
    assert parts.number == len(found)


CELLS = st.one_of(
    st.floats(width=32).map(repr),
    st.sampled_from(
        ["", " ", "x", "y", "time", "1e999", "-inf", "nan", '"', "1,5", "#", "\0", "é"]
    ),
    st.text(max_size=5),
)
ROWS = st.one_of(
    st.lists(CELLS, min_size=1, max_size=5).map(",".join),
    st.tuples(st.floats(-10, 10), st.floats(-10, 10)).map(lambda xy: f"{xy[0]},{xy[1]}"),
)


@given(
    st.lists(ROWS.map(str.encode) | st.binary(max_size=30), max_size=120),
    st.booleans(),
    st.sampled_from([None, "0"]),
)
@settings(max_examples=60)
def test_whatever_comes_is_a_record_or_one_sentence(rows, live, time_column):
    model = _loaded()
    told, lines = [], Lines()
    watcher = Watcher(
        model, settings_for(model, 50.0), source="s", hop=3, rate=50.0, live=live,
        tell=lambda record: told.append(json.dumps(record, allow_nan=False)),
        time_column=time_column, all_windows=True,
    )  # fmt: skip
    with suppress(InputError):
        for line in lines.feed(b"x,y\n" * (time_column is None) + b"\n".join(rows)):
            watcher.line(line, lines.number)
        watcher.finish("end")
    counts = watcher.counts
    assert counts["samples"] <= len(rows) + 1
    assert counts["windows"] == sum('"event": "window"' in line for line in told)


@functools.cache
def _loaded():
    """The model, once; it is mapped, and needs its file no more."""
    with tempfile.TemporaryDirectory() as folder:
        return load(model_file(Path(folder) / "model.rpt"))


@given(st.lists(st.floats(allow_nan=True) | st.integers(0, 50).map(float), max_size=60))
@settings(deadline=None)
def test_any_stamps_are_understood(stamps):
    for rate in (None, 50.0):
        clock = Clock(None, rate)
        for stamp in stamps:
            clock.tell(stamp)
        assert clock.rate is None or clock.rate > 0
        clock.mean_rate()
