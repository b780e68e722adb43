"""From a run's folder to answers: export, check, predict, as they are typed."""

import csv
import errno
import gzip
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, composed
from test_use_engine import trained
from test_use_model_file import write

from raspitrain.__main__ import main as raspitrain
from raspitrain.data.recorded.resample import resample
from raspitrain.errors import InputError, aligned
from raspitrain.export.__main__ import _check_may_replace
from raspitrain.export.__main__ import main as export
from raspitrain.export.compare import Comparison, Figures, choose_precision
from raspitrain.export.formats import FORMATS
from raspitrain.export.write import Contract
from raspitrain.results.checkpoint import load_checkpoint, save_checkpoint
from raspitrain.run.run import run
from raspitrain.use import load
from raspitrain.use.calibrate import main as calibrate
from raspitrain.use.check import main as check
from raspitrain.use.figures import figures
from raspitrain.use.predict import main as predict
from raspitrain.use.rewrite import write_with_events

REPOSITORY = Path(__file__).parents[1]
LENGTH = 32


def model_file(path, **changes):
    given = Contract(
        **(
            {"channels": ["x", "y"], "mean": [0.1, -0.2], "std": [1.0, 2.0], "missing": "error"}
            | changes
        )
    )
    network = trained("mobilenetv3_small", width_mult=0.25, length=LENGTH, num_channels=2)
    return write(path, network, given, LENGTH)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return model_file(tmp_path_factory.mktemp("model") / "model.rpt", hop=16)


@pytest.fixture(scope="module")
def recording():
    return np.random.default_rng(0).normal(size=(2, 100)).astype(np.float32)


def as_csv(recording, *, names=("x", "y"), **columns):
    """Text of a CSV: the columns of `columns` before the channels."""
    lines = [",".join([*columns, *names])] if names else []
    for k, sample in enumerate(recording.T.tolist()):
        lines.append(",".join(str(v) for v in [*(c[k] for c in columns.values()), *sample]))
    return "\n".join(lines) + "\n"


def answers(text):
    return [json.loads(line) for line in text.splitlines()]


def predicted(capsys, *arguments):
    assert predict([*map(str, arguments), "--format", "ndjson"]) == 0
    return answers(capsys.readouterr().out)


# ---------------------------------------------------------------- predict


def test_predict_gives_every_window_in_order(model, recording, tmp_path, capsys):
    (tmp_path / "walk.csv").write_text(as_csv(recording))
    rows = predicted(capsys, model, tmp_path / "walk.csv")
    assert [row["start"] for row in rows] == [0, 16, 32, 48, 64]
    for row in rows:
        expected = load(model).predict(recording[:, row["start"] : row["start"] + LENGTH])
        assert row["logits"] == expected.logits
        assert (row["class"], row["probability"]) == (expected.label, expected.probability)
        assert row["time"] is None
    assert len(predicted(capsys, model, tmp_path / "walk.csv", "--hop", "1")) == 100 - LENGTH + 1


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: "# made by a logger\n\n" + text,
        lambda text: text.replace("x,y", "X, Y"),
        lambda text: "note," + text.replace("\n", "\n7,").removesuffix("7,"),
        lambda text: "\n".join(",".join(reversed(line.split(","))) for line in text.splitlines()),
        lambda text: text.split("\n", 1)[1],
        lambda text: text.replace("\n", "\ng,g\n", 1),
        lambda text: text.replace(",", " "),
        lambda text: text.replace(",", ";").replace(".", ","),
        lambda text: "".join(
            f"x:{line.replace(',', ',y:')}\n" for line in text.splitlines()[1:]
        ),
    ],
    ids=[
        "semicolons", "tabs", "dos", "mark", "comments", "case", "more", "order", "unnamed",
        "units", "blanks", "decimal commas", "pairs",
    ],
)  # fmt: skip
def test_a_recording_may_be_written_in_many_ways(model, recording, tmp_path, capsys, change):
    (tmp_path / "a.csv").write_text(as_csv(recording))
    (tmp_path / "b.csv").write_text(change(as_csv(recording)))
    expected, found = (predicted(capsys, model, tmp_path / f"{n}.csv") for n in "ab")
    assert [row["logits"] for row in found] == [row["logits"] for row in expected]


def in_two_columns(recording):
    lines = (
        f"2024-05-13,23:59:59.{20 * k:03},{x},{y}"
        if k < 50
        else f"2024-05-14,00:00:00.{20 * k - 1000:03},{x},{y}"
        for k, (x, y) in enumerate(recording.T.tolist())
    )
    return "\n".join(["Date,Clock,x,y", *lines])


def in_rows(recording, column="sensor"):
    lines = (
        f"{k / 50},{name},{value}"
        for k, sample in enumerate(recording.T.tolist())
        for name, value in zip("xy", sample, strict=True)
    )
    return "\n".join([f"time,{column},value", *lines])


PACKED = {
    "walk.csv.gz": lambda recording: gzip.compress(as_csv(recording).encode()),
    "wide.csv": lambda recording: as_csv(recording).encode("utf-16"),
    "head.csv": lambda recording: b"Device: 7\nFirmware, 1.2\n" + as_csv(recording).encode(),
    "cut.csv": lambda recording: as_csv(recording).encode() + bytes(512),
    "two.csv": lambda recording: in_two_columns(recording).encode(),
    "rows.csv": lambda recording: in_rows(recording).encode(),
    "rows of any name.csv": lambda recording: in_rows(recording, "kind").encode(),
    "rows.json": lambda recording: json.dumps(
        [
            {"kind": name, "time": k / 50, "value": value}
            for k, sample in enumerate(recording.T.tolist())
            for name, value in zip("xy", sample, strict=True)
        ]
    ).encode(),
    "newest first.csv": lambda recording: as_csv(
        recording[:, ::-1], time=[k / 50 for k in range(99, -1, -1)]
    ).encode(),
    "device.csv": lambda recording: as_csv(
        recording, names=("Dev_7_x", "Dev_7_y"), Dev_7_t=[k / 50 for k in range(100)]
    ).encode(),
}


@pytest.mark.parametrize("name", PACKED)
def test_what_is_more_than_plain_csv_is_read_as_for_training(recording, tmp_path, capsys, name):
    names = ["x_value", "y_value"] if name.startswith("rows") else ["x", "y"]
    model = model_file(tmp_path / "model.rpt", hop=16, channels=names)
    (tmp_path / "a.csv").write_text(as_csv(recording, names=names))
    (tmp_path / name).write_bytes(PACKED[name](recording))
    expected = predicted(capsys, model, tmp_path / "a.csv")
    found = predicted(capsys, model, tmp_path / name)
    assert [row["logits"] for row in found] == [row["logits"] for row in expected]


@pytest.mark.parametrize("name", ["created_at", "when"])
def test_dates_tell_the_rate_whatever_their_column_is_called(recording, tmp_path, capsys, name):
    model = model_file(tmp_path / "model.rpt", hop=16, rate=1.0)
    (tmp_path / "a.csv").write_text(as_csv(recording, time=range(100)))
    dates = [f"2024-05-03 09:{k // 60:02d}:{k % 60:02d} UTC" for k in range(100)]
    (tmp_path / "b.csv").write_text(as_csv(recording, **{name: dates}))
    expected = predicted(capsys, model, tmp_path / "a.csv")
    found = predicted(capsys, model, tmp_path / "b.csv")
    assert [row["logits"] for row in found] == [row["logits"] for row in expected]


def test_values_unlike_those_of_training_are_told(recording, tmp_path, capsys):
    known = [[-3.1, 0.0, 3.1]] * 2
    model = model_file(tmp_path / "model.rpt", quantiles=known)
    (tmp_path / "a.csv").write_text(as_csv(recording.clip(-3, 3)))
    (tmp_path / "b.csv").write_text(as_csv(recording.clip(-3, 3) * [[1], [9.81]]))
    assert predict([str(model), str(tmp_path / "a.csv")]) == 0
    assert "not as in training" not in capsys.readouterr().err
    assert predict([str(model), str(tmp_path / "b.csv")]) == 0
    (warning,) = capsys.readouterr().err.splitlines()
    assert "b.csv: y is not as in training in 3 of 3 windows" in warning
    assert "maybe m/s² where g was learnt" in warning


def test_stamps_in_milliseconds_are_shown_whole(model, recording, tmp_path, capsys):
    stamps = [1_700_000_000_123 + 20 * k for k in range(100)]
    (tmp_path / "a.csv").write_text(as_csv(recording, time=stamps))
    assert predict([str(model), str(tmp_path / "a.csv")]) == 0
    assert "  1700000000123  " in capsys.readouterr().out


def test_time_comes_from_the_recording(model, recording, tmp_path, capsys):
    times = [12.5 + k / 50 for k in range(100)]
    (tmp_path / "a.csv").write_text(as_csv(recording, time=times))
    rows = predicted(capsys, model, tmp_path / "a.csv")
    assert [row["time"] for row in rows] == [times[row["start"]] for row in rows]
    (tmp_path / "b.csv").write_text(as_csv(recording))
    rows = predicted(capsys, model, tmp_path / "b.csv", "--rate", "50")
    assert [row["time"] for row in rows] == [row["start"] / 50 for row in rows]


@pytest.mark.parametrize("column", ["clock", "0"])
def test_the_column_of_time_may_be_named(model, recording, tmp_path, capsys, column):
    stamps = [f"2026-11-27T10:00:{k / 50:09.6f}" for k in range(100)]
    (tmp_path / "a.csv").write_text(as_csv(recording, clock=stamps))
    rows = predicted(capsys, model, tmp_path / "a.csv", "--time-column", column)
    assert [row["time"] % 60 for row in rows] == pytest.approx(
        [0, 0.32, 0.64, 0.96, 1.28], abs=1e-6
    )
    (tmp_path / "b.csv").write_text(as_csv(recording, clock=stamps).split("\n", 1)[1])
    assert predicted(capsys, model, tmp_path / "b.csv", "--time-column", "0") == [
        row | {"file": str(tmp_path / "b.csv")} for row in rows
    ]
    assert "--time-column 0" in refused(capsys, predict, model, write_numbers(tmp_path / "c.csv"))


@pytest.mark.parametrize("name", ["time", "dt"])
def test_a_clock_goes_on_past_midnight_and_is_made_of_steps(name, recording, tmp_path, capsys):
    timed = model_file(tmp_path / "model.rpt", rate=50.0)
    seconds = [86_399 + k / 50 for k in range(100)]
    day = [f"{s // 3600 % 24:02.0f}:{s // 60 % 60:02.0f}:{s % 60:06.3f}" for s in seconds]
    stamps = day if name == "time" else [0.02] * 60 + [9.0] + [0.02] * 39
    (tmp_path / "a.csv").write_text(as_csv(recording, **{name: stamps}))
    rows = predicted(capsys, timed, tmp_path / "a.csv", "--hop", "16")
    expected, lasts = ([0, 16, 32, 48, 64], 0.64) if name == "time" else ([0, 16, 60], 10.18)
    assert [row["start"] for row in rows] == expected
    assert rows[2]["time"] - rows[0]["time"] == pytest.approx(lasts)


def write_numbers(path):
    path.write_text("1,2,3\n" * 50)
    return path


def test_no_window_reaches_across_a_gap_or_a_step_back(model, recording, tmp_path, capsys):
    times = [k / 50 for k in range(100)]
    for begin, other in ((40, 5.0), (80, -3.0)):
        times[begin:] = [time + other for time in times[begin:]]
    (tmp_path / "a.csv").write_text(as_csv(recording, time=times))
    assert predict([str(model), str(tmp_path / "a.csv"), "--hop", "4", "--format", "ndjson"]) == 0
    told = capsys.readouterr()
    assert [row["start"] for row in answers(told.out)] == [0, 4, 8, 40, 44, 48]
    assert "has a gap or goes back 2 times" in told.err


def test_the_rate_is_found_in_any_unit_or_asked_for(recording, tmp_path, capsys):
    timed = model_file(tmp_path / "model.rpt", rate=50.0)
    file = tmp_path / "a.csv"
    for step in (0.02, 20, 20_000, 0.0201):  # s, ms, µs, and within the tolerance
        file.write_text(as_csv(recording, time=[k * step for k in range(100)]))
        assert len(predicted(capsys, timed, file)) == 3
    file.write_text(as_csv(recording, ms=[k * 10 for k in range(100)]))
    assert predict([str(timed), str(file), "--rate", "50"]) == 0
    assert "has 100 samples a second by its time column, and 50 are" in capsys.readouterr().err
    file.write_text(as_csv(recording, time=[k * 0.5 for k in range(100)]))  # 2 kHz in ms, or 2 Hz
    assert "seems to have 2 samples a second" in refused(capsys, predict, timed, file)
    file.write_text(as_csv(recording))
    assert "--rate" in refused(capsys, predict, timed, file)
    assert len(predicted(capsys, timed, file, "--rate", "50")) == 3
    assert len(predicted(capsys, timed, file, "--rate", "50", "--hop", "0.5s")) == 3


def test_another_rate_is_brought_to_the_models_with_its_labels_and_gaps(tmp_path, capsys):
    timed, file = model_file(tmp_path / "model.rpt", rate=50.0), tmp_path / "a.csv"
    signals = np.random.default_rng(1).normal(size=(2, 300)).astype(np.float32)
    seconds = np.arange(300) / 100
    jumps = seconds + 2 * (seconds >= 1.5)
    labels = [*["class 1"] * 100, *["class 0"] * 200]
    file.write_text(as_csv(signals, time=jumps, label=labels))
    assert predict([str(timed), str(file), "--hop", "0.1s", "--format", "ndjson"]) == 0
    told = capsys.readouterr()
    assert "a.csv: 100 Hz brought to 50 Hz\n" in told.err
    rows = answers(told.out)
    # 75 samples before the gap and 75 behind it, a window each 5
    assert [row["start"] for row in rows] == [*range(0, 44, 5), *range(75, 119, 5)]
    expected = np.hstack([
        resample(signals[:, part], seconds[part], 50.0) for part in (slice(150), slice(150, 300))
    ])  # fmt: skip
    for row in rows:
        window = expected[:, row["start"] : row["start"] + LENGTH]
        assert row["logits"] == pytest.approx(load(timed).logits(window), abs=1e-5)
        behind = 2 * (row["start"] >= 75)
        assert row["time"] == pytest.approx(row["start"] / 50 + behind)
    rows = predicted(capsys, timed, file, "--label-column", "label", "--hop", "1")
    true = {row["start"]: row.get("true") for row in rows}
    assert (true[0], true[50 - LENGTH]) == ("class 1", "class 1")
    assert [true[k] for k in (51 - LENGTH, 43, 75)] == [None, None, "class 0"]


def test_what_a_slower_recording_lacks_is_said(recording, tmp_path, capsys):
    timed, file = model_file(tmp_path / "model.rpt", rate=50.0), tmp_path / "a.csv"
    file.write_text(as_csv(recording))
    assert predict([str(timed), str(file), "--rate", "25", "--hop", "0.5s"]) == 0
    told = capsys.readouterr()
    assert "a.csv: 25 Hz brought to 50 Hz; it has nothing above 12.5 Hz" in told.err
    assert told.out.count("a.csv") == 1 + (199 - LENGTH) // 25
    recording = recording.copy()
    recording[1, 5] = np.nan
    file.write_text(as_csv(recording))
    sentence = refused(capsys, predict, timed, file, "--rate", "25")
    assert "1 missing or infinite values in y" in sentence


def test_folders_named_after_classes_are_labels(model, recording, tmp_path, capsys):
    for name in ("class 0", "class 1"):
        (tmp_path / "rec" / name).mkdir(parents=True)
        (tmp_path / "rec" / name / "a.csv").write_text(as_csv(recording))
    assert predict([str(model), str(tmp_path / "rec"), "--format", "ndjson"]) == 0
    told = capsys.readouterr()
    rows = answers(told.out)
    assert [row["true"] for row in rows] == ["class 0"] * 5 + ["class 1"] * 5
    right = sum(row["true"] == row["class"] for row in rows)
    assert f"accuracy {100 * right / 10:.2f} %" in told.err
    (tmp_path / "rec" / "class 1").rename(tmp_path / "rec" / "Class 1")
    assert predict([str(model), str(tmp_path / "rec")]) == 2
    assert "'Class 1' is called 'class 1' in the model" in capsys.readouterr().err


def test_a_label_column_counts_where_a_window_has_one_label(model, recording, tmp_path, capsys):
    labels = ["class 0"] * 40 + ["class 1"] * 40 + [""] * 20
    (tmp_path / "a.csv").write_text(as_csv(recording, activity=labels))
    rows = predicted(capsys, model, tmp_path / "a.csv", "--label-column", "activity")
    assert [row.get("true") for row in rows] == ["class 0", None, None, "class 1", None]


def test_arrays_of_windows(model, recording, tmp_path, capsys):
    windows = np.stack([recording[:, k : k + LENGTH] for k in range(0, 64, 16)])
    np.save(tmp_path / "a.npy", windows.astype(np.float64))
    np.savez(tmp_path / "a.npz", data=windows, label=np.array(["class 0", "class 1"] * 2))
    alone = predicted(capsys, model, tmp_path / "a.npy")
    labelled = predicted(capsys, model, tmp_path / "a.npz")
    expected = [load(model).logits(window) for window in windows]
    assert [row["logits"] for row in alone] == [row["logits"] for row in labelled] == expected
    assert [row["true"] for row in labelled] == ["class 0", "class 1"] * 2
    np.save(tmp_path / "b.npy", windows.transpose(0, 2, 1))
    sentence = refused(capsys, predict, model, tmp_path / "b.npy")
    assert "(4, 32, 2)" in sentence
    assert "numpy.swapaxes(windows, -1, -2)" in sentence


@pytest.mark.parametrize("ending", [".npy", ".json"])
def test_recordings_of_arrays_and_json_are_found_where_a_folder_holds_no_others(
    recording, tmp_path, capsys, ending
):
    names = ["channel_0", "channel_1"]
    model = model_file(tmp_path / "model.rpt", hop=16, channels=names)
    (tmp_path / "a.csv").write_text(as_csv(recording, names=names))
    (tmp_path / "own" / "class 0").mkdir(parents=True)
    path = tmp_path / "own" / "class 0" / f"a{ending}"
    if ending == ".npy":
        np.save(path, recording.T)
    else:
        path.write_text(json.dumps(dict(zip(names, recording.tolist(), strict=True))))
    expected = predicted(capsys, model, tmp_path / "a.csv")
    named = model_file(tmp_path / "named.rpt", hop=16, channels=["ax", "ay"])
    models = [model, named] if ending == ".npy" else [model]  # without names, as CSV may be
    for own, given in ((own, given) for own in models for given in (path, tmp_path / "own")):
        found = predicted(capsys, own, given)
        assert [row["logits"] for row in found] == [row["logits"] for row in expected]


def test_cases_of_the_archive(model, recording, tmp_path, capsys):
    """Read without numpy."""
    windows = [recording[:, k : k + LENGTH] for k in (0, 32)]
    head = "# made here\n@problemName a\n@timestamps false\n@classLabel true class 0\n@data\n"
    lines = [":".join(",".join(map(str, c)) for c in w.tolist()) + ":class 1\n" for w in windows]
    (tmp_path / "a.ts").write_text(head + "".join(lines))
    rows = predicted(capsys, model, tmp_path / "a.ts")
    assert [row["logits"] for row in rows] == [load(model).logits(window) for window in windows]
    assert [row["true"] for row in rows] == ["class 1"] * 2
    (tmp_path / "b.ts").write_text(head + lines[0].replace(":class 1", ",1:class 1"))
    assert "line 6: 2 channels of 32 or 33" in refused(capsys, predict, model, tmp_path / "b.ts")
    (tmp_path / "b.ts").write_text("a,b\n1,2\n")
    assert "line 1: before @data" in refused(capsys, predict, model, tmp_path / "b.ts")
    (tmp_path / "b.ts").write_text(head + "1,x:2,3:class 0\n")
    assert "line 6: 'x' is not a number" in refused(capsys, predict, model, tmp_path / "b.ts")


def test_a_wav_is_a_recording_of_its_own_rate(tmp_path, capsys):
    import wave

    heard = model_file(tmp_path / "model.rpt", channels=["left", "right"], rate=8000.0, hop=16)
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, (100, 2), np.int16)
    for name, rate in (("a.wav", 8000), ("b.wav", 16000)):
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(samples.tobytes())
    rows = predicted(capsys, heard, tmp_path / "a.wav")
    assert [row["time"] for row in rows] == [k / 8000 for k in range(0, 69, 16)]
    scaled = (samples.T / 2.0**15).astype(np.float32)
    for row in rows:
        assert row["logits"] == load(heard).logits(scaled[:, row["start"] : row["start"] + LENGTH])
    assert len(predicted(capsys, heard, tmp_path / "b.wav")) == 2


@pytest.mark.parametrize("save", [np.save, lambda file, data: np.savez(file, data=data)])
def test_arrays_come_through_a_pipe(model, recording, monkeypatch, capsys, save):
    raw = io.BytesIO()
    save(raw, recording[None, :, :LENGTH])
    raw.seek(0)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(raw)))
    (row,) = predicted(capsys, model, "-")
    assert row["logits"] == load(model).logits(recording[:, :LENGTH])


def test_what_is_misclassified_is_a_table(model, recording, tmp_path, capsys):
    for name in ("class 0", "class 1"):
        (tmp_path / "rec" / name).mkdir(parents=True)
        (tmp_path / "rec" / name / "a.csv").write_text(as_csv(recording))
    out = tmp_path / "wrong.csv"
    rows = predicted(capsys, model, tmp_path / "rec", "--misclassified", out)
    found = [(row["file"], int(row["start"])) for row in csv.DictReader(out.open())]
    assert found == [(r["file"], r["start"]) for r in rows if r["class"] != r["true"]]
    assert len(found) == 5  # the same recording in both folders
    out.unlink()
    path = tmp_path / "rec" / "class 0" / "a.csv"
    assert predict([str(model), str(path), "--misclassified", str(out)]) == 2
    assert "--label-column" in capsys.readouterr().err
    assert not out.exists()


def test_csv_and_text_say_the_same(model, recording, tmp_path, capsys):
    (tmp_path / "a.csv").write_text(as_csv(recording))
    rows = predicted(capsys, model, tmp_path / "a.csv")
    out = tmp_path / "out.csv"
    assert (
        predict([str(model), str(tmp_path / "a.csv"), "--format", "csv", "--output", str(out)]) == 0
    )
    assert "5 windows" in capsys.readouterr().out
    table = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [row["class"] for row in table] == [row["class"] for row in rows]
    for cells, row in zip(table, rows, strict=True):
        assert math.isclose(
            float(cells["p(class 0)"]), row["probabilities"]["class 0"], rel_tol=1e-5
        )
    assert predict([str(model), str(tmp_path / "a.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [row["class"] in line for row, line in zip(rows, lines, strict=False)] == [True] * 5


def test_standard_input_without_torch_and_numpy(model, recording, tmp_path):
    """As on a board where neither is installed: their imports fail."""
    code = (
        "import sys; sys.modules['torch'] = sys.modules['numpy'] = None; "
        "from raspitrain.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, "predict", str(model), "-", "--format", "ndjson"],
        input=as_csv(recording), capture_output=True, text=True, cwd=REPOSITORY, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [row["start"] for row in answers(done.stdout)] == [0, 16, 32, 48, 64]


def refused(capsys, command, *arguments):
    assert command([str(argument) for argument in arguments]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    return told.err


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("x,z\n1,2\n", "no column 'y'"),
        ("a,yy\n1,2\n", "no column 'x', 'y'"),
        ("ux,uy\n1,2\n", "are ux, uy: call them as in training"),
        ("acc_x,acc_z\n1,2\n", "its columns are acc_x, acc_z"),
        ("1,2,3\n" * 50, "3 columns without names"),
        ("x,y\n1,2\n1\n", "line 3 has 1 cells"),
        ("x,y\n1,hello\n", "'hello' is not a number"),
        ("", "is empty"),
        ("x,y\n1,2\n", "as long as a window"),
        ("time_s,x,y\n", "as long as a window"),
        ("x,Y,y\n1,2,3\n", "no recording is as long"),
        ("x,y,y\n1,2,3\n", "2 columns 'y', and the model takes one"),
        ("x\0,y\n1,2\n", "line 1 holds NUL bytes"),
        ("x,y\n" + "1,\n" * 50, "missing or infinite values in y"),
        ("Device: 7\nx,y\n" + "1,\n" * 50, "missing or infinite values in y"),
        ("Device: 7\nx,y\n" + "1,2\n" * 50 + "1\n1,2\n", "line 53 has 1 cells"),
        ('x,y\n0.5,"1,234"\n1,2\n', "part thousands"),
        ("x,y\n" + "1," + "1" * 2_000_000, "line 2 is longer than 1048576"),
    ],
)
def test_a_recording_that_does_not_fit_is_refused(model, tmp_path, capsys, text, word):
    (tmp_path / "a.csv").write_text(text)
    out = tmp_path / "out.csv"
    assert predict([str(model), str(tmp_path / "a.csv"), "--output", str(out)]) == 2
    sentence = capsys.readouterr().err
    assert word in sentence.splitlines()[-1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv"]


def test_what_is_no_text_is_refused(model, tmp_path, capsys):
    (tmp_path / "a.csv").write_bytes(b"x,y\n\xff\xfe,1\n")
    assert "UTF-8" in refused(capsys, predict, model, tmp_path / "a.csv")
    assert "there is no file" in refused(capsys, predict, model, tmp_path / "b.csv")
    (tmp_path / "empty").mkdir()
    assert "no recordings" in refused(capsys, predict, model, tmp_path / "empty")
    assert "--hop" in refused(capsys, predict, model, tmp_path / "a.csv", "--hop", "0")
    assert "--rate" in refused(capsys, predict, model, tmp_path / "a.csv", "--rate", "nan")
    np.save(tmp_path / "d.npy", np.zeros(3))
    shape = (tmp_path / "d.npy").read_bytes().replace(b"(3,)", b"(((,")
    for name, content in (("c.npy", b"no array"), ("c.npz", b"PK\3\4"), ("d.npy", shape)):
        (tmp_path / name).write_bytes(content)
        assert "cannot be read" in refused(capsys, predict, model, tmp_path / name)
    np.savez(tmp_path / "e.npz", x=np.zeros(3))
    assert "no array data" in refused(capsys, predict, model, tmp_path / "e.npz")


@pytest.mark.parametrize(
    ("closed", "code", "said"),
    [
        (">&-", 0, ""),
        (">/dev/full", 74, "error: standard output: No space left on device; make room\n"),
        ("- <&-", 2, "error: standard input is closed.\n"),
    ],
)
def test_a_stream_that_is_closed_or_full_is_no_traceback(
    model, recording, tmp_path, closed, code, said
):
    """What Python buffers is lost at the end, and what it does not at once."""
    (tmp_path / "a.csv").write_text(as_csv(recording))
    words = f"{sys.executable} -m raspitrain.use predict {model} {tmp_path}/a.csv {closed}"
    for unbuffered in ("", "1"):
        done = subprocess.run(
            ["sh", "-c", words], stderr=subprocess.PIPE, text=True, timeout=60,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (code, said)


def test_letters_that_a_terminal_has_not_are_written_out(model, recording, tmp_path):
    (tmp_path / "Ωµ.csv").write_text(as_csv(recording))
    done = subprocess.run(
        [sys.executable, "-m", "raspitrain.use", "predict", str(model), "Ωµ.csv"], cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "latin-1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u03a9\xb5.csv" in done.stdout


def test_no_output_takes_the_place_of_what_is_read_or_no_model(model, recording, tmp_path, capsys):
    rows = as_csv(recording)
    (tmp_path / "a.csv").write_text(rows)
    mine, named = tmp_path / "a.csv", tmp_path / "sub" / ".." / "a.csv"
    (tmp_path / "sub").mkdir()
    for option in ("--output", "--misclassified"):
        assert "is read here" in refused(capsys, predict, model, tmp_path, option, named)
        assert "is read here" in refused(capsys, predict, model, mine, option, model)
    assert "no model" in refused(capsys, calibrate, model, mine, "--output", mine)
    with pytest.raises(InputError, match="no model of this format"):
        _check_may_replace(mine, FORMATS["raspitrain"].begins)
    _check_may_replace(model, FORMATS["raspitrain"].begins)
    assert mine.read_text() == rows
    assert "there is no folder" in refused(
        capsys, predict, model, mine, "--output", tmp_path / "nowhere" / "x.csv"
    )


def test_a_label_that_the_model_does_not_know_is_refused(model, recording, tmp_path, capsys):
    (tmp_path / "a.csv").write_text(as_csv(recording, activity=["running"] * 100))
    sentence = refused(
        capsys, predict, model, tmp_path / "a.csv", "--label-column", "activity",
        "--format", "ndjson", "--output", tmp_path / "out",
    )  # fmt: skip
    assert "'running'" in sentence
    assert "class 0, class 1" in sentence


def test_columns_are_aligned_by_the_cells_that_letters_take():
    rows = [["", "ab", "日本"], ["日本", "1", "22"], ["a\u0301", "3", "4"]]
    assert aligned(rows) == ["      ab  日本", "日本  1   22", "a\u0301     3   4"]
    assert aligned(rows, right=True) == ["      ab  日本", "日本   1    22", "a\u0301      3     4"]


def test_figures_are_those_of_scikit_learn():
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

    random = np.random.default_rng(0)
    classes = ["a", "b", "c", "d"]
    true, named = (list(random.choice(classes[:3], 50)) for _ in range(2))
    found = figures(classes, list(zip(true, named, strict=True)))
    assert found["accuracy"] == accuracy_score(true, named)
    assert math.isclose(found["macro_f1"], f1_score(true, named, average="macro"))
    np.testing.assert_array_equal(
        found["confusion_matrix"], confusion_matrix(true, named, labels=classes)
    )


# ---------------------------------------------------------------- check


def test_check_says_what_a_model_is(model, capsys):
    assert check([str(model), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["proved"] is True
    assert found["channels"] == ["x", "y"]
    assert found["sha256"] == load(model).digest
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert check([str(model)]) == 0
    assert "32 samples" in capsys.readouterr().out
    assert "there is no model" in refused(capsys, check, model.parent / "other.rpt")


# ---------------------------------------------------------------- export


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    run(composed(*TINY), folder, overrides=list(TINY))
    return folder


def test_a_run_leaves_a_model_that_answers_as_it_did(finished):
    """The accuracy that was measured in training is that of the file."""
    from raspitrain.export.own_data import own_windows
    from raspitrain.export.trained import trained_from
    from raspitrain.run.stored import StoredRun

    model, trained_run = load(finished), trained_from(StoredRun.open(finished))
    found = own_windows(trained_run)
    raw = found.signals * np.array(trained_run.contract.std)[:, None]
    raw = raw + np.array(trained_run.contract.mean)[:, None]
    named = [model.classes.index(model.predict(w.astype(np.float32)).label) for w in raw]
    accuracy = np.mean(np.array(named) == found.labels)
    tested = model.header["provenance"]["metrics"]["test_accuracy"]
    compared = model.header["provenance"]["precision"]["compared"]
    assert compared["torch"]["accuracy"] == tested
    assert accuracy == compared[model.header["network"]["precision"]]["accuracy"]
    assert json.loads((finished / "summary.json").read_text())["test_accuracy"] == tested


def values_of(path):
    return [float(row["ax"]) for row in csv.DictReader(path.open()) if row["ax"] != "g"]


def test_from_recordings_to_answers(compose, tmp_path, capsys):
    """Two motions, trained on, and then found in recordings that were never seen."""

    def record(folder, name, hertz, seed):
        random, time = np.random.default_rng(seed), np.arange(200) / 50
        signal = np.sin(2 * np.pi * hertz * time + random.uniform(0, 6)) + random.normal(
            0, 0.1, 200
        )
        folder.mkdir(parents=True, exist_ok=True)
        both = np.stack([signal, -signal]).astype(np.float32)
        (folder / f"{name}.csv").write_text(
            as_csv(both, names=("ax", "ay"), time=time).replace("\n", "\ns,g,g\n", 1)
        )

    for seed in range(5):
        record(tmp_path / "data" / "slow", f"a{seed}", 1, seed)
        record(tmp_path / "data" / "fast", f"b{seed}", 8, 100 + seed)
    words = [
        "dataset=recordings", f"dataset.path={tmp_path / 'data'}", "dataset.length=32",
        "dataset.stride=16", "model.width_mult=0.25", "epochs=12", "augment=none",
        "hardware.num_threads=1",
    ]  # fmt: skip
    run(compose(*words), tmp_path / "run", overrides=words)
    model = load(tmp_path / "run")
    assert (model.channels, model.classes) == (["ax", "ay"], ["fast", "slow"])
    assert model.rate == pytest.approx(50)
    assert model.hop == 16
    given = model.header["input"]
    assert given["units"] == ["g", "g"]
    values = [v for path in (tmp_path / "data").rglob("*.csv") for v in values_of(path)]
    for low, median, high in given["quantiles"]:
        assert min(values) <= low < -0.9 < abs(median) < 0.9 < high <= max(values)
    assert check([str(tmp_path / "run")]) == 0
    assert "ax (g): -1." in capsys.readouterr().out
    record(tmp_path / "new" / "slow", "c", 1, 7)
    record(tmp_path / "new" / "fast", "d", 8, 8)
    capsys.readouterr()
    rows = predicted(capsys, tmp_path / "run", tmp_path / "new")
    assert [row["time"] for row in rows[:3]] == [0, 0.32, 0.64]
    assert np.mean([row["true"] == row["class"] for row in rows]) > 0.8


@pytest.mark.parametrize(
    ("stride", "rate", "hop"),
    [
        (16, None, 16),
        ("0.32s", 50.0, 16),
        (" 320 ms", 50.0, 16),
        ("0.32s", None, None),
        (None, 50.0, 20),
    ],
)
def test_the_hop_is_that_of_training(stride, rate, hop):
    from raspitrain.export.trained import _hop

    assert _hop({"stride": stride}, 40, rate) == hop
    assert _hop({}, 40, rate) is None


def test_export_tries_both_and_writes_one(finished, tmp_path, capsys):
    for precision in ("fp32", "int8"):
        path = tmp_path / f"{precision}.rpt"
        assert export([str(finished), "--precision", precision, "--output", str(path)]) == 0
        assert load(path).header["network"]["precision"] == precision
        told = capsys.readouterr().out
        assert "windows of the test part" in told
        assert "same class" in told
        assert f"{path}: {precision} (as asked for)" in told
    assert os.path.getsize(tmp_path / "int8.rpt") < os.path.getsize(tmp_path / "fp32.rpt") / 3


def test_export_says_what_becomes_of_calibrated_thresholds(finished, tmp_path, capsys):
    path = tmp_path / "model.rpt"
    words = [str(finished), "--precision", "int8", "--output", str(path)]
    assert export(words) == 0
    header = load(path).header
    name = header["output"]["classes"][0]
    events = {"average": 1, "hop": 4, "suppress_seconds": 0, "thresholds": {name: 0.7},
              "releases": {name: 0.6}}  # fmt: skip
    write_with_events(str(path), path, events)
    capsys.readouterr()
    assert export(words) == 0
    assert "settled are kept\n" in capsys.readouterr().out
    assert load(path).header["output"]["events"] == events
    assert export([*words, "--precision", "fp32"]) == 0
    assert "settled are kept, by the scores of int8" in capsys.readouterr().out
    checkpoint, other = load_checkpoint(finished / "best.pt"), tmp_path / "best.pt"
    save_checkpoint(other, checkpoint | {"step": checkpoint["step"] + 1})
    assert export([str(other), "--output", str(path)]) == 0
    assert "for other weights and are gone" in capsys.readouterr().out
    assert load(path).header["output"].get("events") is None


def test_what_cannot_be_written_is_named_as_the_user_knows_it(finished, tmp_path, capsys):
    folder = tmp_path / "read_only"
    folder.mkdir()
    for number, code in ((errno.ENOSPC, 74), (errno.EROFS, 74), (errno.EACCES, 2)):
        with pytest.MonkeyPatch.context() as patch:

            def fail(path, *args, number=number, **kwargs):
                raise OSError(number, os.strerror(number), str(path))

            patch.setattr(Path, "write_bytes", fail)
            assert export([str(finished), "--output", str(folder / "model.rpt")]) == code
        told = capsys.readouterr().err
        assert f"{folder / 'model.rpt'}: {os.strerror(number)}; the model is not written" in told
        assert "partial" not in told
    assert list(folder.iterdir()) == []


def test_export_as_c(finished, tmp_path, capsys):
    path = tmp_path / "motion.c"
    assert export([str(finished), "--format", "c", "--output", str(path)]) == 0
    assert f"{path}: " in capsys.readouterr().out
    assert "#define MODEL_LENGTH 32" in (tmp_path / "motion.h").read_text()
    assert "ends with .c" in refused(
        capsys, export, finished, "--format", "c", "--output", tmp_path / "a.txt"
    )


def test_export_from_what_is_no_run(tmp_path, capsys):
    assert "best.pt" in refused(capsys, export, tmp_path)
    assert "there is no checkpoint" in refused(capsys, export, tmp_path / "nothing")
    (tmp_path / "best.pt").write_bytes(b"something else")
    assert "not a checkpoint" in refused(capsys, export, tmp_path)


def test_export_none_leaves_no_model(compose, tmp_path, capsys):
    run(compose(*TINY, "export=none"), tmp_path / "run")
    assert not (tmp_path / "run" / "model.rpt").exists()
    sentence = refused(capsys, predict, tmp_path / "run", tmp_path / "new.csv")
    assert f"raspitrain export {tmp_path / 'run'}" in sentence


def test_without_a_compiler_a_run_ends_as_before(compose, tmp_path, monkeypatch):
    from raspitrain.errors import InputError
    from raspitrain.use import engine

    def fail():
        raise InputError("no compiler")

    monkeypatch.setattr(engine, "_library", None)
    monkeypatch.setattr(engine, "_find", fail)
    summary = run(compose(*TINY), tmp_path / "run")
    assert summary["status"] == "completed"
    assert not (tmp_path / "run" / "model.rpt").exists()
    assert "model.rpt is not written: no compiler" in (tmp_path / "run" / "run.log").read_text()


@pytest.mark.parametrize(
    ("lost", "precision"), [(-0.01, "int8"), (0, "int8"), (0.004, "int8"), (0.006, "fp32")]
)
def test_int8_is_taken_unless_it_loses_half_a_point(lost, precision):
    def of(accuracy):
        return Figures(accuracy, 0.99, 0.01, 1, 1.0)

    compared = Comparison("test", 1000, {"fp32": of(0.9), "int8": of(0.9 - lost)})
    assert choose_precision("auto", compared)[0] == precision
    assert choose_precision("int8", compared)[0] == "int8"
    assert choose_precision("auto", None)[0] == "fp32"


# ---------------------------------------------------------------- the first word


def test_the_first_word_names_a_command(model, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["raspitrain", "check", str(model), "--json"])
    assert raspitrain() == 0
    assert json.loads(capsys.readouterr().out)["proved"] is True


@pytest.mark.parametrize("words", [["epochs=1"], ["strem"], ["export", "runs/a"]])
def test_what_training_needs_is_named_where_it_is_not(words):
    done = subprocess.run(
        [sys.executable, "-S", "-m", "raspitrain", *words],
        capture_output=True, text=True, cwd=REPOSITORY, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "is not installed, and training needs it" in done.stderr


@pytest.mark.parametrize(("word", "meant"), [("chekc", "check"), ("predcit", "predict")])
def test_a_mistyped_command_names_the_nearest(monkeypatch, capsys, word, meant):
    monkeypatch.setattr(sys, "argv", ["raspitrain", word, "a"])
    assert raspitrain() == 2
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_a_file_may_be_called_as_a_formula_begins(finished, tmp_path, monkeypatch, capsys):
    """A spreadsheet gets text."""
    names = load(finished / "model.rpt").channels
    rows = "\n".join(",".join("0.5" for _ in names) for _ in range(LENGTH))
    recording = tmp_path / "=1+1.csv"
    recording.write_text(f"{','.join(names)}\n{rows}\n")
    monkeypatch.chdir(tmp_path)
    assert predict([str(finished), "=1+1.csv", "--format", "csv", "--rate", "50"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["file"] == "'=1+1.csv"


def stored(folder: Path, path: Path, change) -> Path:
    """A copy of the run's best.pt, changed."""
    state = load_checkpoint(folder / "best.pt")
    change(state)
    save_checkpoint(path, state)
    return path


def test_exporting_a_strangers_checkpoint_runs_no_code(finished, forked_command, tmp_path):
    """What a checkpoint allows itself counts for nothing."""
    mark = tmp_path / "pwned"

    def allow(state):
        state["config"]["allowed_targets"] = ["subprocess.check_output"]
        state["config"]["dataset"] = {
            "_target_": "subprocess.check_output",
            "_args_": [["touch", str(mark)]],
        }

    checkpoint = stored(finished, tmp_path / "best.pt", allow)
    done = forked_command("export", str(checkpoint))
    assert "subprocess.check_output is not allowed" in done.stdout
    assert not mark.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("config"), "does not hold a run"),
        (lambda s: s.update(config="x"), "does not hold a run"),
        (
            lambda s: s["config"]["model"].update(width_mult="a"),
            "model.width_mult must be",
        ),
        (lambda s: s["config"]["split"].update(more=1), "split.more is not a key"),
        (lambda s: s.update(mean=s["mean"][:0]), "does not hold a run"),
        (lambda s: s.update(length="x"), "does not hold a run"),
        (lambda s: s.update(metrics=None), "does not hold a run"),
        (lambda s: s["model"].popitem(), "does not hold a run"),
    ],
)
def test_a_checkpoint_that_is_no_runs_is_refused(finished, tmp_path, capsys, change, said):
    checkpoint = stored(finished, tmp_path / "best.pt", change)
    assert export([str(checkpoint)]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "model.rpt").exists()


def test_a_run_of_before_the_variants_is_exported(finished, tmp_path):
    """Checkpoints of 0.1 name eight flags in place of model.variant."""

    def older(state):
        del state["config"]["model"]["variant"]
        state["config"]["model"].update(
            bias=False, always_expand=False, project_activation=False, relu6=False,
            se_reduction=4, skip_batchnorm_at_length_1=False, conv_classifier=False,
            logits_activation=False,
        )  # fmt: skip

    assert export([str(stored(finished, tmp_path / "best.pt", older))]) == 0
    models = [load(folder / "model.rpt") for folder in (tmp_path, finished)]
    window = [[math.sin(n + c) for n in range(LENGTH)] for c in range(len(models[0].channels))]
    ours, theirs = (model.predict(window).probabilities for model in models)
    assert ours == theirs
