"""A second set of layouts that loggers, apps and archives have, written after the first was mended.

Each is one example of its kind.
"""

import json
import re
import struct

import numpy as np
import pytest
from conftest import defaults
from test_data_archives import SECONDS, TWO, first, signals_of
from test_data_field import (
    COUNTS,
    LENGTH,
    csv_text,
    left_out,
    load,
    load_npy,
    make,
    noise,
    put,
    refusal,
    split,
)
from test_data_formats import edf, pcm

from raspitrain.data.files.cbor import decode
from raspitrain.data.files.csv_file import read_table
from raspitrain.data.rows import rows
from raspitrain.data.ucr import ucr
from raspitrain.errors import InputError


@pytest.mark.parametrize(
    ("name", "values", "rate"),
    [
        ("SampleTimeFine", [3_200_000_000 + 16_667 * j for j in COUNTS], 60),
        ("timestamp", [1_700_000_000 + 3600 * j for j in COUNTS], 1 / 3600),
        ("", [f"0 days 00:00:{j / 50:09.6f}" for j in COUNTS], 50),
        ("t", [f"2024-05-01T10:00:{j / 50:06.3f}+02:00[Europe/Berlin]" for j in COUNTS], 50),
        ("timestamp", [1_700_000_000 + (j + 7) // 50 for j in COUNTS], 50),
        ("time", np.cumsum(0.75 + 0.1 * np.sin(COUNTS)).round(3).tolist(), 1.333),  # beats
        ("Creation_Time", [10**18 + 10**7 * (2 * j + (j % 3 == 0)) for j in COUNTS], 50),
        ("'Elapsed time'", [f"'0:{j // 50:02d}.{20 * (j % 50):03d}'" for j in COUNTS], 50),
    ],
)
def test_a_clock_is_told_by_what_its_steps_may_be(name, values, rate, tmp_path):
    make(tmp_path, lambda k, i, x: csv_text(f"{name},x,y", values, *x[:2]))
    cases = load(tmp_path)
    assert cases.channel_names == TWO
    assert cases.rate == pytest.approx(rate, 1e-4)


@pytest.mark.parametrize("form", ["a line each", "with others, as text"])
def test_records_of_json_may_stand_in_lines_and_beside_others(form, tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        lines = form == "a line each"
        held = [
            {"t": f"{j / 50:.2f}", "x": x[0][j] if lines else str(x[0][j]), "y": x[1][j]}
            for j in COUNTS
        ]
        return "\n".join(map(json.dumps, held)) if lines else json.dumps([{"v": 1}, *held])

    ending = "jsonl" if form == "a line each" else "json"
    make(tmp_path, text_of)
    for path in tmp_path.rglob("*.csv"):
        path.rename(path.with_suffix(f".{ending}"))
    cases = load(tmp_path)
    assert (cases.channel_names, cases.rate) == (TWO, pytest.approx(50))
    assert np.allclose(signals_of(cases), first(), atol=1e-4)
    assert any("1 records with other names" in n for n in cases.taken.notes) != (ending == "jsonl")


def cbor(value: object) -> bytes:
    """The plain writing of numbers, text, lists and mappings, with a list of no length."""
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, int):
        return b"\x1a" + struct.pack(">I", value)
    if isinstance(value, str):
        return bytes([0x78, len(value)]) + value.encode()
    if isinstance(value, dict):
        return bytes([0xA0 + len(value)]) + b"".join(
            cbor(own) for pair in value.items() for own in pair
        )
    assert isinstance(value, list)
    return b"\x9f" + b"".join(map(cbor, value)) + b"\xff"


def test_cbor_is_read_as_json_is(tmp_path):
    for k, label in enumerate(("walk", "run")):
        for i in range(3):
            sensors = [{"name": name, "units": "g"} for name in TWO]
            values = noise(10 * k + i, 2).T.tolist()
            payload = {"interval_ms": 20, "sensors": sensors, "values": values}
            put(tmp_path, f"{label}/{i}.cbor", cbor({"signature": "0", "payload": payload}))
    cases = load(tmp_path)
    assert (cases.channel_names, cases.units, cases.rate) == (TWO, ("g", "g"), 50)
    assert np.allclose(signals_of(cases), first(), atol=1e-4)
    whole = bytes.fromhex("83f93c00c120f5")  # RFC 8949: half a float, a tag, true
    assert decode(whole) == [1.0, -1, True]
    for end in range(len(whole)):
        with pytest.raises(ValueError, match="ends early"):
            decode(whole[:end])


def test_structs_of_matlab_are_taken_apart_and_say_the_rate(tmp_path):
    from scipy.io import savemat

    for k, label in enumerate(("walk", "run")):
        for i in range(3):
            (tmp_path / label).mkdir(exist_ok=True)
            held = {"sr": 97_656, "gs": noise(10 * k + i, 1).T, "load": 270, "rate": 25}
            savemat(tmp_path / label / f"{i}.mat", {"bearing": held})
    cases = load(tmp_path)
    assert (cases.channel_names, cases.rate) == (("bearing_gs",), 97_656)


def test_sensors_with_their_rate_in_the_files_names_are_joined(tmp_path):
    for k, label in enumerate(("walk", "run")):
        for i in range(3):
            for sensor, fast in (("Accelerometer_50.000Hz", 1), ("Gyroscope_100.000Hz", 2)):
                signals = noise(10 * k + i, 1, fast * LENGTH)
                moments = [20 * j / fast for j in range(fast * LENGTH)]
                text = csv_text("epoc (ms),x (g)", moments, *signals.tolist())
                put(tmp_path, f"{label}/{i}/MetaWear_{sensor}_1.7.csv", text)
    assert load(tmp_path).channel_names == ("Accelerometer_x (g)", "Gyroscope_x (g)")


def test_words_in_turn_beside_nameless_numbers_are_refused_with_the_key(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        return "".join(f"imu_{a} {x[c][j]:.4f}\n" for j in COUNTS for c, a in enumerate("xyz"))

    sentence = refusal(load, make(tmp_path, text_of))
    assert "dataset.sensor_column=channel_0" in sentence
    assert load(tmp_path, sensor_column="channel_0").channel_names[0] == "imu_x_channel_1"
    make(tmp_path, lambda *given: text_of(*given).replace("imu_", "imu/"))  # topics, as of MQTT
    assert load(tmp_path).channel_names[0] == "imu/x_channel_1"
    codes = {"imu_x": "10C", "imu_y": "10D", "imu_z": "24"}  # of a car
    make(tmp_path, lambda *given: re.sub(r"imu_\w", lambda own: codes[own[0]], text_of(*given)))
    assert "column 'channel_0' (10C, 10D, 24) says" in refusal(load, tmp_path)


def test_axes_below_each_other_are_channels(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        rows = [f"{20 * j},{x[c][j]:.4f},{a}\n" for c, a in enumerate("xyz") for j in COUNTS]
        return "ms,value,dimension\n" + "".join(rows)

    assert load(make(tmp_path, text_of)).channel_names == ("x_value", "y_value", "z_value")


def test_readings_that_android_does_not_calibrate_are_of_several_sensors(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        rows = zip(("UncalAccel", "UncalGyro") * LENGTH, range(2 * LENGTH), x[0] * 2, strict=True)
        return "MessageType,time_ms,X\n" + "".join(f"{a},{10 * j},{v:.4f}\n" for a, j, v in rows)

    assert load(make(tmp_path, text_of)).channel_names == ("UncalAccel_X", "UncalGyro_X")


def test_columns_beyond_the_label_are_no_samples(tmp_path):
    cells = [[*row[:40], k % 2, 40, k] for k, row in enumerate(noise(0, 30).tolist())]
    put(tmp_path, "all.csv", csv_text("", *zip(*cells, strict=True)))
    path = str(tmp_path / "all.csv")
    cases = rows(**defaults("rows", path=path, label_column=40))
    assert cases.signals.shape == (30, 1, 40)
    assert "beyond the label" in dict(cases.taken.left_out)["channel_41"]


def test_arff_of_several_channels_is_read(tmp_path):
    head = "@relation A\n@attribute bag relational\n @attribute t0 numeric\n@end bag\n"
    for part in ("TRAIN", "TEST"):
        lines = "'1,2,3\\n4,5,6',walk\n'7,8,?\\n1,0,?',run\n"
        put(tmp_path, f"A_{part}.arff", f"{head}@attribute c {{walk,run}}\n@data\n{lines}")
    cases = ucr(**defaults("ucr", name="A", path=str(tmp_path), unequal="pad"))
    assert cases.signals[[0, 1]].tolist() == [[[1, 2, 3], [4, 5, 6]], [[7, 8, 8], [1, 0, 0]]]
    put(tmp_path, "A_TEST.arff", f"{head}@data\n'1,2\\n4',walk\n")
    assert "A_TEST.arff, line 6 is no case" in refusal(
        ucr, **defaults("ucr", name="A", path=str(tmp_path))
    )


def test_what_is_written_about_a_set_is_no_recording(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("t,x,y", SECONDS, *x[:2]))
    for path in tmp_path.rglob("*.csv"):
        path.rename(path.with_suffix(".txt"))
    put(tmp_path, "Readme.txt", "A set of two classes.\n")
    cases = load(tmp_path, files="*.txt", groups=1)
    assert "not taken: Readme.txt" in cases.taken.notes


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("x,y\n" + "0x1F,0x2A\n" * 20, "has 0x1F, a number in base 16; write them in base 10"),
        ("  0.1234D+00  0.5000D-01\n" * 20, "write E for D"),
        ('2024-05-01T10:00:00 MQT: SENSOR = {"x":1}\n' * 20, r"sed 's/\^\[\^{\]\*//; s/\[\^}\]"),
        ('"[0.1, 0.2]",walk\n' * 20, "one number a cell"),
        ("imu,dev=a x=0.5,y=1.5 1710410395000000000\n" * 20, "InfluxDB"),
        ("[10:59:55][D]: 'Acc X': state on\n" * 20, "a column a channel"),
        ("1 1:0.5 2:0.25\n" * 20, "LIBSVM has it; write the values alone, one a cell, as by: sed"),
        ("Type,Field 1,Value 1,Units 1\n" + "Data,timestamp,1079,s\n" * 20, "--data record"),
    ],
)
def test_numbers_of_other_tools_are_refused_with_the_remedy(text, part, tmp_path):
    put(tmp_path, "a.csv", text)
    with pytest.raises(InputError, match=part):
        read_table(tmp_path / "a.csv")


def test_arrays_in_folders_below_are_named_with_words_that_work(tmp_path):
    for part in ("test", "train"):
        (tmp_path / part).mkdir()
        np.save(tmp_path / part / "X.npy", noise(1, 12).reshape(12, 2, -1))
        np.save(tmp_path / part / "y.npy", np.arange(12) % 2)
    words = "dataset.data=X.npy dataset.label=y.npy"
    assert f"dataset.path={tmp_path}/train {words}" in refusal(load_npy, tmp_path)
    assert len(load_npy(tmp_path / "train", data="X.npy", label="y.npy").labels) == 12


@pytest.mark.parametrize("word", ["1.#INF", "-1.#QNAN", "unavailable", "\\N"])
def test_words_for_no_number_are_missing(word, tmp_path):
    put(tmp_path, "a.csv", f"x,y\n1,2\n{word},3\n")
    assert np.isnan(read_table(tmp_path / "a.csv").columns[0].values).tolist() == [False, True]


def test_a_night_is_told_by_the_annotations_in_a_file_beside_it(tmp_path):
    """As in Sleep-EDF, whose hypnograms go on when the recording has ended."""
    for k in range(2):
        digits = np.random.default_rng(k).integers(-2000, 2000, 1000)
        edf(tmp_path / f"SC400{k}E0-PSG.edf", [("Fpz", "uV", digits)])
        mark = b"+0\x14\x14\0+0\x154\x14W\x14\0+4\x153\x142\x14\0+7\x1555770\x14?\x14\0"
        stored = np.frombuffer(mark.ljust(600, b"\0"), "<i2")
        edf(tmp_path / f"SC400{k}EC-Hypnogram.edf", [("EDF Annotations", "", stored)])
        put(tmp_path, f"SC400{k}EC-Hypnogram.txt", "0, 4, W\n4, 3, 2\n")  # the same as text
    cases = load(tmp_path, length=50, stride=50)
    assert (cases.class_names, cases.taken.warnings) == (("2", "W"), ())
    assert cases.taken.starts[cases.labels == 0].tolist() == [400 + 50 * k for k in range(6)] * 2


def test_folders_of_one_recording_are_no_classes_and_a_part_of_their_names_may_be(tmp_path):
    for k, label in enumerate(("walk", "run")):
        for i in range(3):
            for sensor, seed in (("Accelerometer", 0), ("Gyroscope", 50)):
                text = csv_text("time,x", SECONDS, noise(seed + 10 * k + i, 1)[0])
                put(tmp_path, f"{label}-2024-05-0{i + 1}/{sensor}.csv", text)
    words = "dataset.class_level=1 dataset.class_part=1"
    assert words in refusal(load, tmp_path)
    cases = load(tmp_path, class_level=1, class_part=1)
    assert (cases.class_names, len(cases.channel_names)) == (("run", "walk"), 2)


@pytest.mark.parametrize("names", [("x", "y"), ("acc_x", "acc_y")])
def test_words_beside_the_arrays_of_json_may_be_the_label(names, tmp_path):
    for k in range(6):
        arrays = dict(zip("xy", noise(k, 2).tolist(), strict=True))
        held = {"fs": 50, "label": "walk" if k % 2 else "run"}
        held |= arrays if "x" in names else {"acc": arrays}
        put(tmp_path, f"{k}.json", json.dumps(held))
    assert "dataset.label_column" in refusal(load, tmp_path)
    cases = load(tmp_path, label_column="label")
    assert (cases.class_names, cases.channel_names, cases.rate) == (("run", "walk"), names, 50)


def test_events_beside_recordings_of_bids_are_annotations(tmp_path):
    for k in range(3):
        start = f"sub-0{k}/eeg/sub-0{k}_task-motor_"
        (tmp_path / start).parent.mkdir(parents=True)
        digits = np.random.default_rng(k).integers(-2000, 2000, 1000)
        edf(tmp_path / f"{start}eeg.edf", [("C3", "uV", digits)])
        put(tmp_path, f"{start}channels.tsv", "name\ttype\nC3\tEEG\n")
        events = "onset\tduration\ttrial_type\n0\t4\tleft\n5\t4\tright\n"
        put(tmp_path, f"{start}events.tsv", events)
    put(tmp_path, "participants.tsv", "participant_id\tage\nsub-00\t31\n")
    cases = load(tmp_path, length=50)
    assert (cases.class_names, cases.channel_names) == (("left", "right"), ("C3",))


@pytest.mark.parametrize("ending", ["mat", "wav"])
def test_a_table_without_names_says_the_classes_of_records_with_heads(ending, tmp_path):
    """As REFERENCE.csv of PhysioNet's challenges, beside A00001.mat and its A00001.hea."""
    for k in range(6):
        pcm(tmp_path / f"A{k}.{ending}", 2, noise(k, 1).T / 8, 300)
        put(tmp_path, f"A{k}.hea", f"A{k} 1 300 200\nA{k}.{ending} 16+44 1000/mV 16 0 0 0 0 ECG\n")
    put(tmp_path, "REFERENCE.csv", "".join(f"A{k},{'NA'[k % 2]}\n" for k in range(6)))
    cases = load(tmp_path)
    assert (cases.class_names, cases.channel_names, cases.rate) == (("A", "N"), ("ECG",), 300)


def test_clocks_side_by_side_are_refused(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        short = [*SECONDS[:150], *[""] * (LENGTH - 150)]
        return csv_text("t 1,x 1,t 2,x 2", SECONDS, x[0], short, [*x[1][:150], *short[150:]])

    assert "'t 1' (0) with 200 rows and 't 2' (2) with 150" in refusal(
        load, make(tmp_path, text_of)
    )


def test_what_most_rows_do_not_have_is_no_clock(tmp_path):
    """As a tag's place, measured once in many rows of movement."""
    stamps = [f"2024-05-01 10:00:{j // 20:02}" for j in COUNTS]
    places = [f"{51 + 0.01 * (j // 20)}" if j % 20 == 0 else "" for j in COUNTS]
    make(tmp_path, lambda k, i, x: csv_text("when,latitude,x", stamps, places, x[0]))
    cases = load(tmp_path)
    assert (cases.channel_names, cases.rate) == (("x",), 20)


def test_bursts_may_be_kept_apart_by_the_moment_that_they_began(tmp_path):
    """As of tags on birds: each row of a burst has its first moment."""
    stamps = [f"2024-05-01 10:{2 * (j // 10):02}:00" for j in COUNTS]
    make(tmp_path, lambda k, i, x: csv_text("date_time,x", stamps, x[0]))
    cases = load(tmp_path, length=10, stride=10, group_column="date_time")
    assert len(cases.labels) == 6 * 20
    assert not cases.taken.warnings


def test_what_is_written_once_a_second_is_no_clock_that_ends_early(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        volts = ["" if j % 10 else f"{3.9 - j / 1000:.2f}" for j in COUNTS]
        return csv_text("time,x,volts", SECONDS, x[0], volts)

    assert load(make(tmp_path, text_of), missing="interpolate").channel_names[0] == "x"


def test_kinds_that_have_the_same_clocks_are_joined_though_these_begin_anew(tmp_path):
    """id, time, kind, value, as tsfresh has it."""
    lines = [
        f"{p},{j},{a},{v:.4f},{'walk' if p % 2 else 'run'}\n"
        for p in range(6)
        for c, a in enumerate("ab")
        for j, v in enumerate(noise(p, 2)[c])
    ]
    put(tmp_path, "all.csv", "id,time,kind,value,label\n" + "".join(lines))
    words = {"label_column": "label", "group_column": "id"}
    assert "dataset.sensor_column=kind" in refusal(load, tmp_path, **words)
    cases = load(tmp_path, sensor_column="kind", **words)
    assert cases.channel_names == ("a_value", "b_value")
    assert len(cases.labels) == 6 * 3


def test_blank_lines_set_recordings_apart_where_a_class_is_one_file(tmp_path):
    """As gestures of TinyML: each 119 rows, a blank line between."""
    for k, label in enumerate(("punch", "flex")):
        blocks = [csv_text("", *noise(10 * k + i, 2, 70)) for i in range(4)]
        put(tmp_path, f"{label}.csv", "aX,aY\n" + "\n".join(blocks))
        text = "".join(f"-,-\n{block.strip()}\n" for block in blocks)
        put(tmp_path, f"{label}.txt", text)
    cases = load(tmp_path, class_level=0, files="*.txt")
    assert (len(cases.labels), cases.channel_names) == (8, ("channel_0", "channel_1"))
    for label in ("punch", "flex"):
        (tmp_path / f"{label}.txt").unlink()
    cases = load(tmp_path, class_level=0)
    assert len(cases.labels) == 8  # no window is of two gestures
    assert left_out(cases) == {"block": "the group"}
    assert cases.groups is not None
    assert len(set(cases.groups.tolist())) == 4


@pytest.mark.parametrize("name", ["trial", "Rep No"])
def test_trials_are_kept_whole_where_a_class_is_one_file(name, tmp_path):
    trials = np.repeat(np.arange(1, 5), 50).tolist()
    for k, label in enumerate(("punch", "flex")):
        session = np.repeat([1, 2], 100).tolist()
        columns = (session, trials, *noise(k, 2, 200).tolist())
        put(tmp_path, f"{label}.csv", csv_text(f"session,{name},x,y", *columns))
    cases = load(tmp_path, class_level=0, length=30, stride=10)
    assert len(cases.labels) == 2 * 4 * 3  # no window is of two trials
    assert left_out(cases)[name] == "the group"
    assert cases.taken.warnings == ()
    assert len(split(cases).test) == 6
    assert "group" not in left_out(load(tmp_path, class_level=0, length=60)).values()


def test_trials_of_which_each_class_has_one_are_no_groups(tmp_path):
    trials, words = (np.repeat(own, 300).tolist() for own in ([1, 2], ["punch", "flex"]))
    put(tmp_path, "all.csv", csv_text("trial,label,x", trials, words, noise(0, 1, 600)[0]))
    assert "group" not in left_out(load(tmp_path, label_column="label", length=30)).values()


def test_people_are_groups_before_trials_where_a_class_is_one_file(tmp_path):
    people, trials = (np.repeat(np.arange(200 // n), n).tolist() for n in (100, 50))
    for k, label in enumerate(("punch", "flex")):
        put(
            tmp_path,
            f"{label}.csv",
            csv_text("who_id,user,trial,x", people, people, trials, *noise(k, 1, 200)),
        )
    cases = load(tmp_path, class_level=0, length=30, stride=10)
    assert left_out(cases)["user"] == "the group"


def test_electrodes_below_each_other_are_channels(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        rows_of = [f"0 {a} {j} {x[c][j]:.4f}" for c, a in enumerate(("FP1", "CZ")) for j in COUNTS]
        return "\n".join(["# uV", *rows_of])

    cases = load(make(tmp_path, text_of))
    assert cases.channel_names == ("FP1_channel_3", "CZ_channel_3")
    assert np.array_equal(signals_of(cases), first())


def test_files_among_recordings_that_are_not_taken_are_said_and_strays_can_be_left_out(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("t,x,y", SECONDS, *x[:2]))
    for name in ("walk/late.mp3", "run/late.txt", "walk/r0.txt", "run/README.txt"):
        put(tmp_path, name, "0,1\n")
    warned = "files among the recordings are not taken: 1 .txt, 1 .mp3"
    assert warned in load(tmp_path).taken.warnings
    put(tmp_path, "summary.csv", "class,count\nwalk,3\n")
    assert "dataset.files='*/*.csv'" in refusal(load, tmp_path)
    assert len(load(tmp_path, files="*/*.csv").labels) == 18


def test_one_table_beside_many_texts_is_no_recording(tmp_path):
    for k in range(12):
        put(tmp_path, f"motion/{k}_{'ab'[k % 2]}.txt", csv_text("", SECONDS, *noise(k, 1)))
    put(tmp_path, "about/list.csv", "number,age\n" + "1,30\n" * 12)
    assert "or dataset.files='*.csv'" in (sentence := refusal(load, tmp_path))
    assert "1 table such as list.csv and, in other folders, 12 .txt files" in sentence
    cases = load(tmp_path, files="*.txt", class_part=2)
    assert cases.class_names == ("a", "b")


def test_names_that_r_writes_one_fewer_are_those_of_the_columns(tmp_path):
    lines = [f'"{j}","2024-05-01 10:00:{j:02d}",{j % 7}.5' for j in range(1, 41)]
    put(tmp_path, "a.csv", '"date","x"\n' + "\n".join(lines))
    assert read_table(tmp_path / "a.csv").names == ["", "date", "x"]


def test_cells_of_matlab_are_refused_with_what_helps(tmp_path):
    from scipy.io import savemat

    cells = np.empty((1, 9), object)
    cells[0, :] = [noise(k, 2, 30) for k in range(9)]
    savemat(tmp_path / "a.mat", {"X": cells, "y": np.arange(9)[:, None]})
    assert "holds cells (X)" in refusal(load, tmp_path, class_level=0)
    savemat(tmp_path / "a.mat", {f"{own}_ch{k}": noise(k, 40) for own in "ab" for k in (1, 2)})
    assert "more likely 40 cases of each" in refusal(load, tmp_path, class_level=0)


def test_intervals_of_praat_beside_sound_are_annotations(tmp_path):
    times = (("a", 0, 0.5), ("", 0.5, 0.6), ("b", 0.6, 1))
    body = "".join(
        f'intervals [{k}]:\n xmin = {s}\n xmax = {e}\n text = "{word}"\n'
        for k, (word, s, e) in enumerate(times, 1)
    )
    for k in range(3):
        pcm(tmp_path / f"s{k}.wav", 2, noise(k, 1, 8000).T / 8)
        put(
            tmp_path,
            f"s{k}.TextGrid",
            f'Object class = "TextGrid"\nclass = "IntervalTier"\nxmin = 0\nxmax = 1\n{body}',
        )
    cases = load(tmp_path, length=800, stride=800)
    assert cases.class_names == ("a", "b")
    assert cases.taken.starts[cases.labels == 1].tolist()[:4] == [4800, 5600, 6400, 7200]


def test_a_class_too_small_that_is_nearly_another_is_told(tmp_path):
    for k, label in enumerate(("walk", "walk", "run", "run", "Run")):
        put(tmp_path, f"{label}/{k}.csv", csv_text("t,x,y", SECONDS, *noise(k, 2)))
    with pytest.raises(InputError, match="write 'Run' and 'run' alike"):
        split(load(tmp_path))
