"""Recordings in the formats of microphones, ECG and EEG devices, data tools and MATLAB."""

import gzip
import json
import random
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from conftest import defaults

from raspitrain.data.cases import Cases
from raspitrain.data.files import formats
from raspitrain.data.files.csv_file import Table
from raspitrain.data.files.formats import read_json, read_recording_file
from raspitrain.data.recordings import recordings
from raspitrain.errors import InputError

SIGNAL = np.random.default_rng(3).uniform(-0.9, 0.9, (400, 2))
DIGITS = np.round(SIGNAL * 2000).astype(np.int64)


def pcm(path: Path, width: int, signal: np.ndarray = SIGNAL, rate: int = 8000) -> np.ndarray:
    """A WAV by Python's own writer; returns what its samples are, as parts of full scale."""
    scaled = np.round(signal * (2 ** (8 * width - 1) - 1)).astype(np.int64)
    stored = scaled + 128 if width == 1 else scaled
    raw = stored.astype("<i8").view(np.uint8).reshape(*stored.shape, 8)[..., :width].tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(signal.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(raw)
    return scaled / 2 ** (8 * width - 1)


def float_wav(path: Path, signal: np.ndarray, *, size: int | None = None) -> None:
    data = signal.astype("<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, signal.shape[1], 8000, 0, 4 * signal.shape[1], 32)
    size = len(data) if size is None else size
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"LIST\3\0\0\0abc\0"
    path.write_bytes(b"RIFF\0\0\0\0WAVE" + chunks + b"data" + struct.pack("<I", size) + data)


def edf(path: Path, signals: list[tuple[str, str, np.ndarray]], *, kind: bytes = b"") -> None:
    """Whole digits -2048 to 2047 that mean -1 to 1, ten records of a second each."""
    counts = [len(values) // 10 for _, _, values in signals]
    entries = [
        [text.ljust(size) for text in texts]
        for size, texts in (
            (16, [name for name, _, _ in signals]), (80, [""] * len(signals)),
            (8, [unit for _, unit, _ in signals]), (8, ["-1"] * len(signals)),
            (8, ["1"] * len(signals)), (8, ["-2048"] * len(signals)),
            (8, ["2047"] * len(signals)), (80, [""] * len(signals)),
            (8, list(map(str, counts))), (32, [""] * len(signals)),
        )
    ]  # fmt: skip
    head = b"0".ljust(184) + str(256 * (len(signals) + 1)).encode().ljust(8) + kind.ljust(44)
    head += b"10".ljust(8) + b"1".ljust(8) + str(len(signals)).encode().ljust(4)
    body = b"".join(
        values[count * record : count * (record + 1)].astype("<i2").tobytes()
        for record in range(10)
        for (_, _, values), count in zip(signals, counts, strict=True)
    )
    path.write_bytes(head + "".join("".join(own) for own in entries).encode() + body)


def packed_12_bits(digits: np.ndarray) -> bytes:
    first, second = (digits & 0xFFF).reshape(-1, 2).T
    middle = first >> 8 | second >> 8 << 4
    return np.stack([first & 0xFF, middle, second & 0xFF], 1).astype(np.uint8).tobytes()


def read(path: Path, **given: object) -> tuple[Table, np.ndarray]:
    table = read_recording_file(path, **given)  # type: ignore[arg-type]
    return table, np.stack([column.values for column in table.columns], axis=1)


def test_what_ends_before_its_head_says_is_told(tmp_path):
    """The samples that are there are taken; a size that nobody knew yet promises nothing."""
    for size, notes in (
        (None, []),
        (0xFFFFFFFF, []),
        (0, []),
        (10_000, ["the end, which is cut off"]),
    ):
        float_wav(tmp_path / "a.wav", SIGNAL, size=size)
        table, values = read(tmp_path / "a.wav")
        assert (len(values), table.notes) == (len(SIGNAL), notes)
    pcm(tmp_path / "b.wav", 2)
    (tmp_path / "b.wav").write_bytes((tmp_path / "b.wav").read_bytes()[:-401])
    table, values = read(tmp_path / "b.wav")
    assert len(values) == 299
    assert table.notes == ["the end, which is cut off"]
    (tmp_path / "c.dat").write_bytes(DIGITS[:100].astype("<i2").tobytes())
    for claimed, notes in ((100, []), (400, ["the end, which is cut off"]), ("", [])):
        lines = [f"c 2 500 {claimed}", "c.dat 16 2000 16 0 0 0 0 I", "c.dat 16 2000 16 0 0 0 0 II"]
        (tmp_path / "c.hea").write_text("\n".join(lines))
        table, values = read(tmp_path / "c.hea")
        assert (len(values), table.notes) == (100, notes)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wav_of_integers_is_a_part_of_full_scale(width, tmp_path):
    expected = pcm(tmp_path / "a.wav", width)
    table, values = read(tmp_path / "a.wav")
    assert table.names == ["left", "right"]
    assert table.rate == 8000
    assert np.array_equal(values, expected.astype(values.dtype))


@pytest.mark.parametrize("size", [None, 0, 2**32 - 1, 10**6])
def test_wav_of_floats_and_of_recorders_that_never_wrote_the_size(size, tmp_path):
    float_wav(tmp_path / "a.wav", SIGNAL[:, :1], size=size)
    table, values = read(tmp_path / "a.wav")
    assert table.names == ["audio"]
    assert np.array_equal(values, SIGNAL[:, :1].astype(np.float32))


def test_edf_is_read_in_its_units_and_slower_signals_are_noted(tmp_path):
    digits = DIGITS[:, 0]
    edf(tmp_path / "a.edf", [("ECG", "mV", digits), ("SpO2", "%", digits[:10]),
                             ("EDF Annotations", "", digits[:100])])  # fmt: skip
    table, values = read(tmp_path / "a.edf")
    assert (table.names, table.columns[0].unit, table.rate) == (["ECG"], "mV", 40)
    assert table.notes == ["SpO2, at 1 Hz slower than the others"]
    assert np.allclose(values[:, 0], (digits + 2048) * 2 / 4095 - 1)
    edf(tmp_path / "gaps.edf", [("ECG", "mV", digits)], kind=b"EDF+D")
    with pytest.raises(InputError, match="has gaps"):
        read(tmp_path / "gaps.edf")


@pytest.mark.parametrize(("form", "pack"), [
    ("16", lambda digits: digits.astype("<i2").tobytes()),
    ("61", lambda digits: digits.astype(">i2").tobytes()),
    ("212", packed_12_bits),
])  # fmt: skip
def test_wfdb_is_read_in_its_units(form, pack, tmp_path):
    digits = DIGITS.copy()
    digits[7, 1] = -2048 if form == "212" else -(2**15)
    (tmp_path / "100.dat").write_bytes(pack(digits))
    (tmp_path / "100.hea").write_text(
        "# of a person\n100 2 360 400\n"
        f"100.dat {form} 200(24)/mV 11 1024 995 -22131 0 MLII\n100.dat {form} 100 12 -5 0 0 0 V5\n"
    )
    table, values = read(tmp_path / "100.hea")
    assert (table.names, table.rate, table.columns[1].unit) == (["MLII", "V5"], 360, "mV")
    expected = np.stack([(digits[:, 0] - 24) / 200, (digits[:, 1] + 5) / 100], 1)
    expected[7, 1] = np.nan
    assert np.array_equal(values, expected, equal_nan=True)


def test_matlab_takes_arrays_of_the_longest_length(tmp_path):
    import scipy.io

    held = {"X097_DE_time": SIGNAL[:, :1], "acc": SIGNAL.T, "X097RPM": [[1796]], "who": "me"}
    scipy.io.savemat(tmp_path / "a.mat", held)
    table, values = read(tmp_path / "a.mat")
    assert table.names == ["DE_time", "acc_0", "acc_1"]
    assert np.array_equal(values, np.hstack([SIGNAL[:, :1], SIGNAL]))
    assert table.notes == ["RPM (1, 1), which has another length"]


@pytest.mark.parametrize("ending", ["mat", "h5"])
def test_words_and_single_values_in_arrays_may_be_labels(ending, tmp_path):
    import h5py
    import scipy.io

    path = tmp_path / f"a.{ending}"
    words = np.array(["walk"] * 20 + ["run"] * 20, dtype=object)
    held = {"acc": SIGNAL[:40], "activity": words, "place": "home", "subject": 7, "fs": 50}
    if ending == "mat":
        scipy.io.savemat(path, held)
    else:
        with h5py.File(path, "w") as file:
            file["acc"], file["acc"].attrs["fs"] = held.pop("acc"), held.pop("fs")
            for name, value in held.items():
                file[name] = value
    table = read_recording_file(path, as_text=["activity", "place", "subject"])
    said = {c.name: [c.words[k] for k in c.values] for c in table.columns if c.kind == "text"}
    assert said == {"activity": words.tolist(), "place": ["home"] * 40, "subject": ["7"] * 40}
    assert table.rate == 50
    table = read_recording_file(path)
    assert {"place", "subject"}.isdisjoint(table.names)


def test_classes_in_a_signal_of_edf_are_whole_numbers(tmp_path):
    digits = np.repeat([-2048, -1, 2047], 100)  # which mean -1, -0.000244 and 1
    edf(tmp_path / "a.edf", [("x", "mV", np.arange(300)), ("stage", "", digits)])
    (column,) = read_recording_file(tmp_path / "a.edf", as_text=["stage"]).columns[1:]
    assert column.words == ("-1", "0", "1")


@pytest.mark.parametrize("ending", ["parquet", "feather"])
def test_parquet_holds_numbers_times_and_labels(ending, tmp_path):
    import pyarrow.feather
    import pyarrow.parquet

    stamps = np.datetime64("2024-05-01T10:00:00.000") + np.arange(400) * np.timedelta64(20, "ms")
    table = pyarrow.table({
        "when": stamps, "x": SIGNAL[:, 0], "n": DIGITS[:, 0], "label": ["walk", None] * 200,
    })  # fmt: skip
    path = tmp_path / f"a.{ending}"
    {"parquet": pyarrow.parquet.write_table, "feather": pyarrow.feather.write_feather}[ending](
        table, path
    )
    found = read_recording_file(path, as_text=["label", "n"])
    assert [column.kind for column in found.columns] == ["time", "number", "text", "text"]
    assert np.allclose(np.diff(found.columns[0].values), 0.02, atol=1e-6)
    assert np.array_equal(found.columns[1].values, SIGNAL[:, 0])
    assert found.columns[2].words[found.columns[2].values[5]] == str(DIGITS[5, 0])
    assert found.columns[3].words == ("", "walk")


def load(folder: Path, **given: object) -> Cases:
    return recordings(**defaults("recordings", path=str(folder)) | given)


def test_a_folder_of_sounds_is_a_data_set(tmp_path):
    for k, label in enumerate(("hum", "hiss")):
        (tmp_path / label).mkdir()
        for number in range(3):
            signal = np.random.default_rng(10 * k + number).uniform(-1, 1, (400, 1))
            pcm(tmp_path / label / f"{number}.wav", 2, signal)
    cases = load(tmp_path, length="10ms", stride="10ms")
    assert (cases.rate, cases.channel_names) == (8000, ("audio",))
    assert cases.signals.shape == (30, 1, 80)
    assert cases.taken.origins[0].seconds == pytest.approx(399 / 8000)
    assert load(tmp_path, length=40, stride=40, rate=4000).signals.shape == (30, 1, 40)
    pcm(tmp_path / "hum" / "other.wav", 2, SIGNAL[:, :1], rate=16000)
    with pytest.raises(InputError, match="different rates"):
        load(tmp_path)
    (tmp_path / "hum" / "a.edf").write_bytes(b"")
    with pytest.raises(InputError, match=r"several kinds \(.edf, .wav\)"):
        load(tmp_path)


def test_a_package_that_is_missing_is_named_with_its_extra(tmp_path, monkeypatch):
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(formats, "import_module", missing)
    for name, extra in (("a.parquet", "parquet"), ("a.mat", "matlab")):
        (tmp_path / name).write_bytes(b"PAR1")
        with pytest.raises(InputError, match=rf"the extra {extra}: .*pip install .*\[{extra}\]"):
            read(tmp_path / name)


def test_wfdb_without_its_signals_names_what_is_missing(tmp_path):
    (tmp_path / "a.hea").write_text("a 1 100 400\na.dat 16 200 11 0 0 0 0 I\n")
    with pytest.raises(InputError, match=r"names a\.dat, which does not lie beside it"):
        read(tmp_path / "a.hea")
    (tmp_path / "a.hea").write_text("a 1 100 400\na.dat 310 200 11 0 0 0 0 I\n")
    with pytest.raises(InputError, match="format 310 are not read"):
        read(tmp_path / "a.hea")


def test_one_file_whose_columns_are_only_called_otherwise_may_be_taken_by_position(tmp_path):
    for k in range(6):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "walk").mkdir(exist_ok=True)
        signal = np.random.default_rng(k).uniform(-1, 1, (400, 2 if k == 5 else 1))
        pcm(tmp_path / ("run" if k % 2 else "walk") / f"{k}.wav", 2, signal)
    with pytest.raises(InputError, match=r"with dataset\.columns=\[0\], else move it away"):
        load(tmp_path)
    assert len(load(tmp_path, columns=[0]).class_names) == 2


def test_a_count_among_signals_is_no_clock_against_the_rate_of_the_file(tmp_path):
    for k, name in enumerate(("run", "walk")):
        (tmp_path / name).mkdir()
        digits = [np.random.default_rng(k).integers(-99, 99, 1000), np.arange(1000) + 500 * k]
        signals = [(each, "mV", own) for each, own in zip(("x", "n"), digits, strict=True)]
        edf(tmp_path / name / "a.edf", signals)
    cases = load(tmp_path)
    assert (cases.rate, cases.channel_names) == (100, ("x",))


def test_damaged_files_end_in_a_sentence(tmp_path):
    """Cut anywhere, or with bytes changed in the head: read, or refused with the file's name."""
    pcm(tmp_path / "whole.wav", 2)
    edf(tmp_path / "whole.edf", [("ECG", "mV", DIGITS[:, 0])])
    (tmp_path / "100.dat").write_bytes(packed_12_bits(DIGITS))
    (tmp_path / "whole.hea").write_text(
        "100 2 360 400\n100.dat 212 200 11 0 0 0 0 I\n100.dat 212\n"
    )
    dice = random.Random(5)
    for whole in tmp_path.glob("whole.*"):
        content = whole.read_bytes()
        for trial in range(150):
            bad = bytearray(content[: dice.randrange(len(content))] if trial % 2 else content)
            for _ in range(dice.randrange(4)):
                if bad:
                    bad[dice.randrange(min(len(bad), 600))] = dice.randrange(256)
            path = tmp_path / f"bad{whole.suffix}"
            path.write_bytes(bytes(bad))
            sentence = "bad"
            try:
                read(path)
            except InputError as error:
                sentence = str(error)
            assert "bad" in sentence or "100.dat" in sentence


def test_an_export_of_edge_impulse_is_a_data_set_as_it_is(tmp_path):
    """training/walk.1a2b.json …: the class is in the file's name."""
    for part, seed in (("training", 0), ("testing", 5)):
        for k, label in enumerate(("walk", "run")):
            for number in range(2):
                values = np.random.default_rng(20 * k + seed + number).standard_normal((100, 2))
                sensors = [{"name": "accX", "units": "m/s2"}, {"name": "accY", "units": "m/s2"}]
                payload = {"interval_ms": 16, "sensors": sensors, "values": values.tolist()}
                path = tmp_path / part / f"{label}.{number}.json"
                path.parent.mkdir(exist_ok=True)
                path.write_text(json.dumps({"protected": {"ver": "v1"}, "payload": payload}))
    with pytest.raises(InputError, match=r"dataset\.class_level=0"):
        load(tmp_path)
    cases = load(tmp_path, class_level=0, length=50)
    assert (cases.class_names, cases.units) == (("run", "walk"), ("m/s2", "m/s2"))
    assert cases.rate == pytest.approx(62.5)
    assert sorted(set(cases.part.tolist())) == [0, 2]
    (tmp_path / "training" / "run.0.json").write_text('{"payload": {"values": [[1, "a"]]}}')
    with pytest.raises(InputError, match=r"run\.0\.json is no recording of Edge Impulse's"):
        load(tmp_path, class_level=0)


@pytest.mark.parametrize("name", ["day.csv.gz", "day.tsv.gz", "day.TXT.GZ"])
def test_text_may_be_packed_by_gzip(name, tmp_path):
    sign = "\t" if "tsv" in name else ","
    lines = [sign.join((f"{k / 50}", f"{k * k % 97}", f"{k * 3 % 89}")) for k in range(30_000)]
    text = sign.join(("time", "x", "y")) + "\n" + "\n".join(lines) + "\n"
    for coding, label in (("utf-8", "walk"), ("utf-16", "run")):
        (tmp_path / label).mkdir()
        (tmp_path / label / name).write_bytes(gzip.compress(text.encode(coding)))
        text = text.replace("1", "2")
    pattern = "*.GZ" if name.endswith("GZ") else None
    cases = recordings(**defaults("recordings", path=str(tmp_path), length=10_000, files=pattern))
    assert cases.class_names == ("run", "walk")
    first = cases.signals[np.flatnonzero(cases.labels == 1)[:1]][0]
    assert (first[0] == np.arange(10_000) ** 2 % 97).all()
    (tmp_path / "walk" / name).write_bytes(gzip.compress(text.encode())[:-2000])
    with pytest.raises(InputError, match="is called as packed by gzip is, and ends early"):
        recordings(**defaults("recordings", path=str(tmp_path), length=10_000, files=pattern))


def test_annotations_name_packed_recordings(tmp_path):
    text = "x\n" + "\n".join(str(k * k % 97) for k in range(400)) + "\n"
    (tmp_path / "day.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "day.labels.csv").write_text("start_sample,end_sample,label\n0,200,a\n200,400,b\n")
    given = {"path": str(tmp_path), "length": 50}
    assert recordings(**defaults("recordings", **given)).class_names == ("a", "b")
    (tmp_path / "day.labels.csv").rename(tmp_path / "labels.csv")
    rows = "file,start_sample,end_sample,label\nday.csv,0,200,a\nday,200,400,b\n"
    (tmp_path / "labels.csv").write_text(rows)
    assert recordings(**defaults("recordings", **given)).class_names == ("a", "b")


def records(x, y) -> list[dict]:
    return [
        {"t": k / 50, "acc": {"x": a, "y": b}} for k, (a, b) in enumerate(zip(x, y, strict=True))
    ]


JSONS = {
    "records": lambda x, y: records(x, y),
    "in one key": lambda x, y: {"device": "watch", "samples": records(x, y)},
    "names and rows": lambda x, y: {
        "columns": ["t", "x", "y"],
        "index": list(range(len(x))),
        "data": [[k / 50, a, b] for k, (a, b) in enumerate(zip(x, y, strict=True))],
    },
    "pandas, nothing said": lambda x, y: {
        "x": {f"{1_700_000_000_000 + 20 * k}": a for k, a in enumerate(x)},
        "y": {f"{1_700_000_000_000 + 20 * k}": b for k, b in enumerate(y)},
    },
    "pandas, by row": lambda x, y: {
        f"{1_700_000_000_000 + 20 * k}": {"x": a, "y": b}
        for k, (a, b) in enumerate(zip(x, y, strict=True))
    },
    "names and rows, times in the index": lambda x, y: {
        "columns": ["x", "y"],
        "index": [1_700_000_000_000 + 20 * k for k in range(len(x))],
        "data": [list(row) for row in zip(x, y, strict=True)],
    },
    "names and rows, more beside and above": lambda x, y: {
        "fs": 50,
        "device": "watch",
        "body": {
            "channels": ["x", "y"],
            "units": ["g", "g"],
            "rows": [list(row) for row in zip(x, y, strict=True)],
        },
    },
    "names and rows somewhere, with units": lambda x, y: {
        "header": {"boardId": "30AEA4"},
        "body": {
            "columns": [
                {"name": "since power-on", "unit": "Milliseconds"},
                {"name": "x"},
                {"name": "y"},
            ],
            "block": [[20 * k, a, b] for k, (a, b) in enumerate(zip(x, y, strict=True))],
        },
    },
    "arrays with more about each": lambda x, y: {
        "time": {"data": [k / 50 for k in range(len(x))], "resolution": "high"},
        "x": {"data": x, "resolution": "high"},
        "y": {"data": y, "resolution": "high"},
    },
    "arrays beside a list of something else": lambda x, y: {
        "fs": 50,
        "about": {"sensors": ["acc", "gyro"], "version": 2},
        "x": x,
        "y": y,
    },
    "arrays": lambda x, y: {"sampleRate": 50, "acc_x": x, "acc_y": y},
    "packets": lambda x, y: {
        "data": [
            {
                "acc": {
                    "Timestamp": 160 * k,
                    "Array": [{"x": x[8 * k + j], "y": y[8 * k + j]} for j in range(8)],
                }
            }
            for k in range(25)
        ]
    },
}


@pytest.mark.parametrize("form", JSONS)
def test_json_as_apps_write_it(form, tmp_path):
    signals = {}
    for k, name in enumerate(("run", "walk")):
        (tmp_path / name).mkdir()
        signals[name] = np.random.default_rng(k).normal(size=(2, 200)).tolist()
        (tmp_path / name / "a.json").write_text(json.dumps(JSONS[form](*signals[name])))
    cases = recordings(**defaults("recordings", path=str(tmp_path), length=50))
    assert [name.split(" ")[0][-1] for name in cases.channel_names] == ["x", "y"]
    assert cases.rate == pytest.approx(50, rel=0.01)
    assert np.array_equal(cases.signals[[0]][0], np.float32(signals["run"])[:, :50])


def test_words_of_parquet_may_be_times_or_numbers(tmp_path):
    import pyarrow
    from pyarrow import parquet

    held = {
        "time": [f"2024-05-01 10:00:{k / 50:06.3f}" for k in range(30)],
        "x": [f"{k / 7:.3f}" for k in range(29)] + [None],
        "label": ["walk"] * 30,
    }
    parquet.write_table(pyarrow.table(held), tmp_path / "a.parquet")
    columns = read(tmp_path / "a.parquet")[0].columns
    assert [column.kind for column in columns] == ["time", "number", "text"]
    assert np.allclose(np.diff(columns[0].values), 0.02, atol=1e-5)
    assert np.isnan(columns[1].values[-1])


def test_rows_of_json_need_no_names(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(SIGNAL.tolist()))
    table, values = read(tmp_path / "a.json")
    assert (table.named, table.names) == (False, ["channel_0", "channel_1"])
    assert np.array_equal(values, SIGNAL)


def test_a_label_of_json_may_be_null_in_some_rows(tmp_path):
    path = tmp_path / "a.jsonl"
    labels = [*["walk"] * 20, *[None] * 5, *["run"] * 20]
    path.write_text(
        "".join(json.dumps({"x": k / 7, "label": v}) + "\n" for k, v in enumerate(labels))
    )
    table, _ = read(path)
    column = table.columns[1]
    assert [column.words[code] or None for code in column.values] == labels


ROWS = {"columns": ["x", "y", "z"], "data": [[0.5, k, 9.8] for k in range(40)]}


def test_what_stands_beside_rows_of_json_is_read_as_well(tmp_path):
    path = tmp_path / "a.json"
    beside = {"label": "walk", "units": ["g", "g", ""], "events": [0] * 40, "tags": {"leg": "left"}}
    path.write_text(json.dumps([{"fs": 50, **ROWS, **beside}] * 2))
    table = read_json(path)
    assert set(table.names) == {"x (g)", "y (g)", "z", "label", "events", "tags_leg"}
    assert (table.rate, len(table.columns[0].values)) == (50, 80)
    path.write_text(json.dumps({"ts": [1, 2], "acc": ROWS}))
    assert read_json(path).notes == ["acc, which stands apart"]


@pytest.mark.parametrize(
    "held",
    [
        {"activities": ["walk", "run", "sit"], "acc": ROWS["data"], "ts": [*range(40)]},
        {"acc": ROWS, "gyr": ROWS},
        {**ROWS, "gyr": ROWS["data"]},
        {**ROWS, "events": [3, 17]},
        {**ROWS, "units": ["g"]},
        {**ROWS, "columns": ["x", "y", "x"]},
        [ROWS, {"x": [1] * 40}],
        [{"fs": 50, **ROWS}, {"fs": 100, **ROWS}],
    ],
)
def test_json_of_which_a_part_would_be_lost_is_refused(held, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(held))
    with pytest.raises(InputError, match=r"a\.json is no recording: .* convert it to CSV"):
        read_json(path)


def test_rows_without_names_may_be_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f"[{k}, {-k}]\n" for k in range(40)))
    assert np.array_equal(read(path)[1], np.stack([np.arange(40.0), -np.arange(40.0)], 1))


def test_hdf5_may_be_called_mat(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["x"] = SIGNAL
    assert np.array_equal(read(tmp_path / "a.mat")[1], SIGNAL)


def test_one_file_of_json_may_hold_many_recordings(tmp_path):
    """As micro:bit CreateAI saves what it was shown."""
    x = np.random.default_rng(0).normal(size=(6, 2, 20))
    held = [
        {"ID": 1, "name": name, "recordings": [
            {"ID": 10 * k + i, "data": {"x": one[0].tolist(), "y": one[1].tolist()}}
            for i, one in enumerate(x[3 * k : 3 * k + 3])
        ]}
        for k, name in enumerate(("clap", "wave"))
    ]  # fmt: skip
    (tmp_path / "all.json").write_text(json.dumps(held))
    given = {"path": str(tmp_path), "label_column": "name", "group_column": "ID", "length": 20}
    cases = recordings(**defaults("recordings", **given))
    assert cases.channel_names == ("data_x", "data_y")
    assert np.array_equal(cases.signals[np.arange(6)], np.float32(x))
    for k, name in enumerate(("clap", "wave")):
        (tmp_path / name).mkdir()
        samples = [{"t": 10 * j, "acc": own} for j, own in enumerate(x[k].T.tolist())]
        samples = [{**own, "acc": [*own["acc"], 0.5 * k]} for own in samples]
        (tmp_path / name / "a.json").write_text(json.dumps({"player": name, "samples": samples}))
    (tmp_path / "all.json").unlink()
    cases = recordings(
        **defaults("recordings", **given | {"label_column": "player", "group_column": None})
    )
    assert cases.class_names == ("clap", "wave")
    assert cases.channel_names[:2] == ("acc_0", "acc_1")
    held = [{"t": k, "ecg": [0.1, 0.2, k], "gyr": [1, 2, 3]} for k in range(40)]
    (tmp_path / "all.json").write_text(json.dumps(held))  # axes of one moment
    with pytest.raises(
        InputError, match=r"has a list in each record, \.ecg: .*to_entries.* del\(\.ecg\)"
    ):
        recordings(**defaults("recordings", **given))


def test_arrays_of_one_recording_each_are_recordings(tmp_path):
    for name in ("run", "walk"):
        (tmp_path / name).mkdir()
        for k in range(2):
            rows = np.random.default_rng(k + 7 * (name == "run")).normal(size=(200, 3))
            np.save(tmp_path / name / f"{k}.npy", rows.T if k else rows)
    cases = recordings(**defaults("recordings", path=str(tmp_path), length=50))
    assert cases.channel_names == ("channel_0", "channel_1", "channel_2")
    first = np.load(tmp_path / "run" / "0.npy")
    assert np.array_equal(cases.signals[[0]][0], first[:50].T.astype(np.float32))
    with pytest.raises(InputError, match="if each is a recording, take them with"):
        recordings(**defaults("recordings", path=str(tmp_path / "run"), length=50))
    np.save(tmp_path / "run" / "0.npy", np.zeros((4, 3, 9)))
    with pytest.raises(InputError, match="dataset=npy"):
        recordings(**defaults("recordings", path=str(tmp_path), length=50))


def test_annotations_of_edf_may_be_the_classes(tmp_path):
    marks = [b"+%d\x14\x14\0" % k for k in range(10)]
    marks[0] += b"+0\x152.5\x14T1\x14\0+1\x14blink\x14\0"
    marks[2] += b"+2.5\x154\x14T2\x14\0"
    stored = np.frombuffer(b"".join(mark.ljust(60, b"\0") for mark in marks), "<i2")
    for k in range(2):
        (tmp_path / f"S{k}").mkdir()
        digits = np.random.default_rng(k).integers(-2000, 2000, 1000)
        edf(tmp_path / f"S{k}" / "a.edf", [("C3", "uV", digits), ("EDF Annotations", "", stored)])
    given = {"path": str(tmp_path), "length": 50, "label_column": "annotation"}
    cases = recordings(**defaults("recordings", **given, stride=50))
    assert cases.class_names == ("T1", "T2")
    starts = cases.taken.starts[cases.labels == 1]
    assert starts.tolist() == [250 + 50 * k for k in range(8)] * 2
    assert "350 rows" in " ".join(cases.taken.notes) or cases.taken.origins[0].num_unlabelled == 350


def test_lines_of_json_may_end_in_a_power_cut_and_nowhere_else(tmp_path):
    for name, signals in (("walk", SIGNAL[:200]), ("run", SIGNAL[200:])):
        lines = [json.dumps({"x": x, "y": y}) for x, y in signals.tolist()]
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jsonl").write_text("\n".join(lines)[:-5] + "\0" * 64)
    cases = load(tmp_path)
    assert {origin.num_samples for origin in cases.taken.origins} == {len(lines) - 1}
    assert "passed over in 2 files: the last line, which is cut" in cases.taken.notes
    (tmp_path / "run" / "a.jsonl").write_text("\n".join([*lines[:3], lines[3][:-5], *lines[4:]]))
    with pytest.raises(InputError, match=r"a\.jsonl cannot be read as JSON: line 4: .* delete"):
        load(tmp_path)


@pytest.mark.parametrize("form", ["ASCII", "BINARY", "BINARY32", "FLOAT32"])
@pytest.mark.parametrize("rates", ["1\n1000,200", "0\n0,200"])
def test_comtrade_is_read_in_its_units(form, rates, tmp_path):
    """As relays of power grids write it; a number of its own stands for a missing sample."""
    for k in range(6):
        folder = tmp_path / ("fault" if k % 2 else "inrush")
        folder.mkdir(exist_ok=True)
        values = np.random.default_rng(k).integers(-900, 900, (200, 2))
        trips = np.arange(200) // 50 % 2
        head = (
            "S,1,1999\n3,2A,1D\n1,VA,A,,kV,0.01,0.5,0,-32767,32767,1,1,P\n"
            f"2,IA,A,,A,2,0,0,-32767,32767,1,1,P\n1,TRIP,,,0\n50\n{rates}\n"
            f"01/02/2024,10:00:00.0\n01/02/2024,10:00:00.1\n{form}\n1\n"
        )
        (folder / f"e{k}.cfg").write_text(head)
        if form == "ASCII":
            each = zip(range(200), values.tolist(), trips.tolist(), strict=True)
            text = "".join(f"{j + 1},{1000 * j},{a},{b},{d}\n" for j, (a, b), d in each)
            (folder / f"e{k}.dat").write_text(text + "\x1a")  # as DOS ends a text
        else:
            kind = {"BINARY": "<i2", "BINARY32": "<i4", "FLOAT32": "<f4"}[form]
            held = np.zeros(200, [("t", "<u4", 2), ("a", kind, 2), ("d", "<u2", 1)])
            held["t"][:, 1], held["a"], held["d"][:, 0] = 1000 * np.arange(200), values, trips
            held.tofile(folder / f"e{k}.dat")
    cases = recordings(
        **defaults("recordings", path=str(tmp_path), files="*.dat", length=64, stride=64)
    )
    assert (cases.channel_names, cases.units[:2]) == (("VA", "IA", "TRIP"), ("kV", "A"))
    assert cases.rate == pytest.approx(1000)
    first = np.random.default_rng(1).integers(-900, 900, (200, 2))[:64]
    assert np.allclose(cases.signals[np.arange(1)][0, :2], (first * [0.01, 2] + [0.5, 0]).T)
    (tmp_path / "fault/e1.dat").write_bytes(b"1,0,5\r\n")
    says = "line 1 has 3 cells, but by its .cfg 5:" if form == "ASCII" else "has 7 bytes, but by"
    with pytest.raises(InputError, match=rf"e1\.dat,? {says}"):
        recordings(**defaults("recordings", path=str(tmp_path), files="*.dat", length=64))
    (tmp_path / "fault/e1.cfg").write_text("S,1,1999\n3,2A,1D\n1,VA,A\n")
    with pytest.raises(InputError, match="cannot be read as COMTRADE"):
        recordings(**defaults("recordings", path=str(tmp_path), files="*.dat", length=64))
