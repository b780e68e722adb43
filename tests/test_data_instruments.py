"""Layouts of oscilloscopes, meters and firmware, as users of those have shown them in public.

Each is one example of its kind.
"""

import csv
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_data_archives import first, signals_of
from test_data_field import COUNTS, csv_text, left_out, load, look, make, noise, put, refusal, split

from raspitrain.data.files import layout
from raspitrain.data.files.dates import to_seconds
from raspitrain.data.files.formats import read_recording_file
from raspitrain.data.files.layout import find_layout
from raspitrain.data.files.no_table import NoTableError
from raspitrain.data.recorded import sensor_file
from raspitrain.data.recorded.one_file import read_one_file
from raspitrain.data.recordings import read_recording


def rows_of(columns, line="{}\n"):
    return "".join(line.format(",".join(map(str, row))) for row in zip(*columns, strict=True))


@pytest.mark.parametrize(
    ("head", "clock", "end", "names", "rate"),
    [
        (
            "Channel :,CH1,CH2\nTime interval :,4.00uS,4.00uS\n\nindex,CH1,CH2\n",
            str, "", ("CH1", "CH2"), 2.5e5,
        ),
        (
            "Time(s),CH1(V),CH2(V),t0 = -3.0e-03, tInc = 1.0e-05,\n", lambda j: "", ",,",
            ("CH1(V)", "CH2(V)"), 1e5,
        ),
        ("x-axis,1,2\nsecond,Volt,Volt\n", lambda j: f"{j * 1e-6:+.6E}", "", ("1", "2"), 1e6),
        (
            "X,CH1,CH2,Start,Increment,\nSequence,Volt,Volt,-1.2e-03,2.0e-06\n",
            str, ",", ("CH1", "CH2"), 5e5,
        ),
        (
            "Record,Analog:200\nVertical Offset,CH1:0.0,CH2:0.5\nHorizontal Scale,0.01,0.01\n"
            "Second,Volt,Ampere\n",
            lambda j: f"{j * 1e-8:.11f}", "", ("Volt", "Ampere"), 1e8,
        ),
        (
            "LECROYWS3104z,12304,Waveform\nSegments,1,SegmentSize,200\nTime,Ampl,Ref\n",
            lambda j: f"{j * 1e-10 - 1e-7:.9g}", "", ("Ampl", "Ref"), 1e10,
        ),
    ],
)  # fmt: skip
def test_oscilloscopes_name_channels_and_say_the_rate(head, clock, end, names, rate, tmp_path):
    make(tmp_path, lambda k, i, x: head + rows_of([map(clock, COUNTS), *x[:2]], f"{{}}{end}\n"))
    cases = load(tmp_path)
    assert (cases.channel_names, cases.rate) == (names, pytest.approx(rate))
    assert np.allclose(signals_of(cases), first(), atol=1e-4)


def test_the_one_name_below_a_title_is_the_name(tmp_path):
    rows = [f"{value:.4f}" for value in noise(0)[0]]
    for label in "ab":
        put(tmp_path, f"{label}/1.csv", "\n".join(["Accelerometer", "acc", "m/s²", *rows]))
        rows = rows[::-1]
    assert load(tmp_path).channel_names == ("acc",)


def test_rows_between_the_names_and_their_units_are_no_names(tmp_path):
    head = "Compressor\nTime,Flow,Power\n,inlet,motor\n,MOMENT,MOMENT\n,US16,US16\ns,l/min,A\n"
    make(tmp_path, lambda k, i, x: head + rows_of([COUNTS, *x[:2]]))
    assert load(tmp_path).channel_names == ("inlet", "motor")


def test_quotes_may_end_within_a_name(tmp_path):
    head = '"Interval"|"ms"|0|1,"AccelX"|"G"|-3|3,"Moves" (movements)\n'
    make(tmp_path, lambda k, i, x: head + rows_of([[40 * j for j in COUNTS], *x[:2]]))
    cases = load(tmp_path)
    assert (cases.channel_names, cases.rate) == (('AccelX|"G"|-3|3', "Moves (movements)"), 25)


def test_holes_longer_than_a_window_are_told_where_they_are_filled(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        gone = range(60, 130) if (k, i) == (0, 1) else ()
        broken = ["" if j in gone else v for j, v in enumerate(x[1])]
        slow = [v if j % 70 == 0 else "" for j, v in enumerate(x[2])]
        return csv_text("x,y,z", x[0], broken, slow)

    (warning,) = load(make(tmp_path, text_of), missing="interpolate").taken.warnings
    assert "'y' of" in warning
    assert "r1.csv has no value in 70 samples in a row, more than a window" in warning


@pytest.mark.parametrize("names", ["Time(s), 0, 1", "Time [s],A,B"])
def test_levels_where_they_change_are_held_and_no_copies_of_others(names, tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        steps = 0.002 * (1 + k) + 1e-4 * np.abs(noise(10 * k + i, 1)[0])
        return (
            names
            + "\n"
            + rows_of([np.cumsum(steps), [j % 2 for j in COUNTS], [j // 2 % 2 for j in COUNTS]])
        )

    make(tmp_path, text_of)
    assert "say how many samples a second" in refusal(load, tmp_path)
    cases = load(tmp_path, rate=2000)
    assert cases.channel_names == tuple(names.replace(" ", "").split(",")[1:])
    assert set(np.unique(signals_of(cases))) == {0, 1}
    assert look(cases).warnings == ()


def test_names_may_end_before_empty_columns_do(tmp_path):
    text = "ticks,msecs,value 1\n"
    make(tmp_path, lambda k, i, x: text + rows_of([COUNTS, COUNTS, x[0]], "{},,,,\n"))
    cases = load(tmp_path)
    assert (cases.channel_names, cases.rate) == (("value 1",), 1000)


def test_settings_in_columns_beside_the_table_are_no_signals_and_say_the_rate(tmp_path):
    said = [("Record Length", "200"), ("Sample Interval", "4.0e-07"), ("Source", "CH1")]

    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        beside = [*said, *[("", "")] * (len(COUNTS) - len(said))]
        times = [f"{j * 4e-7 - 4e-5:.12f}" for j in COUNTS]
        names, values = zip(*beside, strict=True)
        return rows_of([names, values, [""] * len(COUNTS), times, *x[:2]])

    make(tmp_path, text_of)
    cases = load(tmp_path)
    assert (cases.channel_names, cases.rate) == (("channel_4", "channel_5"), pytest.approx(2.5e6))


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("Mar 14 2026 09:26:53", 1773480413),
        ("Sat Mar 14 09:26:53 2026", 1773480413),
        ("Sat Mar 14 2026 09:26:53 GMT+0100 (Central European Standard Time)", 1773476813),
        ("Sat, 14 Mar 2026 09:26:53 GMT", 1773480413),
        ("Mar 14", np.nan),
    ],
)
def test_dates_may_begin_with_the_month_or_the_day_of_the_week(cell, seconds):
    assert np.allclose(to_seconds([cell], day_comes_first=False), seconds, equal_nan=True)


@pytest.mark.parametrize(
    ("cells", "seconds"),
    [
        (["9:5:3", "9:15:3"], [32703, 33303]),
        (["2024/5/1 9:5:3"], [1714554303]),
        (["9:5:3:47724020", "9:5:3:847724020"], [32703.04772402, 32703.84772402]),
        (["9:05:03:5", "9:05:03:105"], [32703.005, 32703.105]),
        (["9:05:03:25", "9:05:03:75"], [32703.25, 32703.75]),
        (["9:5", "9.5.3"], [np.nan, np.nan]),
    ],
)
def test_clocks_of_boards_have_no_zeros_in_front(cells, seconds):
    assert np.allclose(to_seconds(cells, day_comes_first=True), seconds, equal_nan=True)


def test_a_time_in_no_known_form_is_told(tmp_path):
    make(
        tmp_path, lambda k, i, x: csv_text("time,x,y", [f"sol {j} at noon" for j in COUNTS], *x[:2])
    )
    assert any(
        "no form of time that is known" in warning for warning in load(tmp_path).taken.warnings
    )


def test_a_unit_that_steps_alone_suggest_is_told(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("time,x,y", [20 * j for j in COUNTS], *x[:2]))
    cases = load(tmp_path)
    assert cases.rate == 50
    assert any("'time' taken as ms" in note for note in cases.taken.notes)
    # Steps that differ a little are one word, and those below 1 are told as well.
    make(tmp_path, lambda k, i, x: csv_text("t,x", [(0.8 + 1e-4 * i) * j for j in COUNTS], x[0]))
    assert "'t' taken as ms, as its steps of 0.8 suggest in 6 files" in load(tmp_path).taken.notes
    # Nanoseconds of a phone that has been on for half an hour are no moments since 1970.
    make(tmp_path, lambda k, i, x: csv_text("", [2 * 10**12 + 10**7 * j for j in COUNTS], *x[:2]))
    assert load(tmp_path).rate == 100


def test_points_of_a_body_are_named_with_three_axes_each(tmp_path):
    """As Qualisys writes them."""
    head = "NO_OF_FRAMES\t200\nDESCRIPTION\t--\nMARKER_NAMES\tl_knee\tr_knee\n"
    make(tmp_path, lambda k, i, x: head + rows_of([*x[:2]] * 3).replace(",", "\t"))
    wanted = ("l_knee_x", "l_knee_y", "l_knee_z", "r_knee_x", "r_knee_y", "r_knee_z")
    assert load(tmp_path).channel_names == wanted


@pytest.mark.parametrize("form", ["seconds and ms", "hour, minute, second and us"])
def test_clocks_in_several_columns_without_names_are_one(form, tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        if form == "seconds and ms":
            clock = [[1773476813 + j // 50 for j in COUNTS], [j % 50 * 20 for j in COUNTS]]
        else:
            clock = [[n] * len(COUNTS) for n in (9, 39 + k, 10 + i)]
            clock.append([f"{65664 + j * 39.0625:.5g}" for j in COUNTS])
        return rows_of([*clock, *x[:2]])

    make(tmp_path, text_of)
    cases = load(tmp_path)
    assert len(cases.channel_names) == 2
    assert cases.rate == pytest.approx(50 if form == "seconds and ms" else 25600, 1e-3)
    assert not any("back of the clock" in note for note in cases.taken.notes)


def test_levels_of_a_logic_analyser_and_bytes_are_words(tmp_path):
    bits = ["01000000" if j // 9 % 2 else "00000000" for j in COUNTS]
    sent = [f"{31 * j % 4096:08X}" for j in COUNTS]  # many of which look like numbers
    make(tmp_path, lambda k, i, x: csv_text("x,y,D0-D7,RawData", *x[:2], bits, sent))
    cases = load(tmp_path)
    assert left_out(cases)["D0-D7"] == "words"
    assert left_out(cases)["RawData"].startswith("words")


@pytest.mark.parametrize(
    ("begin", "end", "rate"),
    [
        ("10:21:{s:06.3f} -> PZEM -> ", "", 50),
        ("[{up:9.3f}] ", " Bus:Default INA:OK", 50),
        ("[meter] ", " measured", None),
        ("Sample #{n}: ", "", None),
        ("2024-05-06 10:21:{s:06.3f} ", "'C", 50),
        ("[INFO] 10:21:{s:06.3f} ", "", 50),
        ("2024-05-06 10:21:{s:06.3f} DEBUG: ", "", 50),
    ],
)
def test_words_that_each_line_has_beside_its_pairs_are_passed_over(begin, end, rate, tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        return "rst:0x1 (POWERON_RESET)\nINA219 found\n" + "".join(
            f"{begin.format(s=j / 50, up=12 + j / 50, n=j)}V:{x[0][j]} I:{x[1][j]}{end}\n"
            for j in COUNTS
        )

    make(tmp_path, text_of)
    cases = load(tmp_path)
    assert (cases.channel_names, cases.rate) == (("V", "I"), rate and pytest.approx(rate))
    assert np.allclose(signals_of(cases), first(), atol=1e-4)


def test_sensors_are_told_apart_without_the_device_that_leads_their_names(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        device = ("sensor.washer", "sensor.dryer")[k]
        return "entity_id,state,last_changed\n" + "".join(
            f"{device}_{name},{own[j]},2026-03-14T10:00:{j / 50:06.3f}Z\n"
            for name, own in zip(("power", "current"), x, strict=False)
            for j in COUNTS
        )

    make(tmp_path, text_of)
    assert load(tmp_path).channel_names == ("power_state", "current_state")


def test_a_file_a_channel_is_one_recording(tmp_path):
    for k, label in enumerate(("good", "bad")):
        for i in range(3):
            for channel, own in enumerate(noise(10 * k + i, 2), 1):
                text = csv_text("Second,Volt", [f"{j / 50:.2f}" for j in COUNTS], own.tolist())
                put(tmp_path, f"{label}/ALL000{i}/F000{i}CH{channel}.CSV", text)
    cases = load(tmp_path)
    assert len(cases.taken.origins) == 6
    assert cases.channel_names == ("CH1_Volt", "CH2_Volt")
    for k in range(1, 5):  # a channel of a house is a class
        put(tmp_path / "house", f"channel_{k}.csv", csv_text("x", noise(k, 1)[0]))
    assert "dataset.class_part" in refusal(load, tmp_path / "house", class_level=0)
    assert load(tmp_path / "house", class_part=2).class_names == tuple("1234")


def test_marks_of_moments_are_no_channel(tmp_path):
    marks = [1 if j == 60 else 2 if j % 50 == 10 else 0 for j in COUNTS]
    make(tmp_path, lambda k, i, x: csv_text("x,y,Marker0", *x[:2], marks))
    assert "marks moments" in left_out(load(tmp_path))["Marker0"]


def test_short_first_lines_are_refused_with_the_last_of_them(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        rows = [
            f"{a},{b}{',0' if j > 11 else ''}\n"
            for j, (a, b) in enumerate(zip(*x[:2], strict=True))
        ]
        return "x,y\n" + "".join(rows)

    make(tmp_path, text_of)
    assert "dataset.skip_lines=13" in refusal(load, tmp_path)
    assert load(tmp_path, skip_lines=13).channel_names == ("channel_0", "channel_1")


def test_recordings_of_one_class_are_refused_with_what_names_another(tmp_path):
    for i in range(3):
        put(tmp_path, f"all/{i}.csv", csv_text("x,y", *noise(i, 2).tolist()))
    assert "labels.csv in dataset.path" in refusal(load, tmp_path)


@pytest.mark.parametrize(
    "form",
    ["a row with the stop alone", "a column for each event", "blinks between the samples"],
)
def test_rows_that_say_an_event_and_no_sample_are_left_out(form, tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        times = [f"{j / 50:.3f}" for j in COUNTS]
        rows = [f"{t},{a},{b},\n" for t, a, b in zip(times, *x[:2], strict=True)]
        if form == "a row with the stop alone":
            return "time,x,y,End Of File\n" + "".join(rows) + f"{len(COUNTS) / 50},,,Logged\n"
        if form == "a column for each event":  # as HOBOware has them
            rows = ["0.000,,,Logged,\n", *[f"{row[:-1]},\n" for row in rows], "4.000,,,,Logged\n"]
            return "time,x,y,Coupler Detached,End Of File\n" + "".join(rows)
        return "time,x,y,Elements\n" + "".join([*rows[:90], f"{times[90]},,,/blink\n", *rows[90:]])

    make(tmp_path, text_of)
    cases = load(tmp_path)
    assert (cases.channel_names, cases.rate) == (("x", "y"), pytest.approx(50))
    count = 2 if form == "a column for each event" else 1
    assert any(f"no sample left out ({count})" in note for note in cases.taken.notes)
    assert np.allclose(signals_of(cases), first(), atol=1e-4)


def test_serial_numbers_in_names_are_no_part_of_them(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        serial = f"LGR S/N: {20363442 + 17 * i + k}"
        names = ["#", "Date Time, GMT+03:00", f"Temp, °C ({serial})", f"RH, % ({serial})"]
        times = [f"03/14/26 09:{j // 60:02d}:{j % 60:02d} AM" for j in COUNTS]
        head = f'"Plot Title: {i}"\n' + ",".join(f'"{name}"' for name in names) + "\n"
        return head + rows_of([[j + 1 for j in COUNTS], times, *x[:2]])

    make(tmp_path, text_of)
    cases = load(tmp_path)
    assert (cases.channel_names, cases.rate) == (("Temp, °C", "RH, %"), pytest.approx(1))
    assert "counts" in left_out(cases)["#"]


def test_arrays_of_structs_are_taken_apart_by_the_names_in_them(tmp_path):
    from scipy.io import savemat

    for k, label in enumerate(("good", "bad")):
        for i in range(3):
            stem = f"N15_K00{k}_{i}"
            signals = np.zeros((1, 2), dtype=[("Name", object), ("Data", object)])
            for at, own in enumerate(noise(10 * k + i, 2)):
                signals[0, at] = (f"vibration_{at}", own[None, :])
            (tmp_path / label).mkdir(exist_ok=True)
            savemat(tmp_path / label / f"{stem}.mat", {stem: {"Info": "x", "Y": signals}})
    cases = load(tmp_path)
    assert cases.channel_names == ("Y_vibration_0_Data", "Y_vibration_1_Data")
    assert np.allclose(signals_of(cases), first(), atol=1e-4)


def test_labels_may_stand_in_a_table_beside_by_a_column_that_both_have(tmp_path):
    table, labels = "series_id,x,y\n", "series_id,group_id,surface\n"
    for series in range(12):
        values = noise(series, 2)
        table += rows_of([[series] * len(COUNTS), *values.tolist()])
        labels += f"{series},{series // 4},{('carpet', 'wood')[series % 2]}\n" if series else ""
    put(tmp_path, "y_train.csv", labels)
    put(tmp_path, "X_train.csv", table)
    path = tmp_path / "X_train.csv"
    given = {"label_column": "surface", "group_column": "series_id"}
    cases = load(path, **given)
    assert (cases.channel_names, cases.class_names) == (("x", "y"), ("carpet", "wood"))
    assert len(set(cases.groups)) == 11  # series 0 has no label
    put(tmp_path, "y_train.csv", labels.replace("5,1,wood", "5,1,carpet"))
    assert sum(load(path, **given).labels == 0) > sum(cases.labels == 0)
    put(tmp_path, "y_train.csv", labels + "5,1,carpet\n")  # which of them?
    assert "join both by what they have in common" in refusal(load, path, **given)


def test_labels_in_a_table_beside_may_be_those_of_the_rows(tmp_path):
    for k in range(6):
        put(tmp_path, f"day {k}/imu.csv", csv_text("x,y", *noise(k, 2)))
        put(tmp_path, f"day {k}/labels.csv", csv_text("paved", [int(j > 90) for j in COUNTS]))
    cases = load(tmp_path, files="imu.csv", label_column="paved", length=40, stride=40)
    assert (cases.class_names, cases.channel_names) == (("0", "1"), ("x", "y"))
    assert "'paved' taken from labels.csv row by row in 6 files" in cases.taken.notes


@pytest.mark.parametrize("head", ["row,surface", "surface"])
def test_labels_row_by_row_are_those_of_the_table_of_its_name(head, tmp_path):
    words = ("carpet", "wood")
    for seed, part in enumerate(("train", "test")):
        put(tmp_path, f"X_{part}.csv", csv_text("x,y", *noise(seed, 2)))
        rows = [COUNTS] * ("row" in head)
        put(tmp_path, f"y_{part}.csv", csv_text(head, *rows, [words[j % 100 > 70] for j in COUNTS]))
    given = {"files": "X_*.csv", "label_column": "surface", "length": 20, "stride": 20}
    notes = load(tmp_path, **given).taken.notes
    for part in ("train", "test"):
        assert f"'surface' taken from y_{part}.csv row by row in 1 file" in notes
    (tmp_path / "y_test.csv").rename(tmp_path / "w.csv")
    (tmp_path / "y_train.csv").rename(tmp_path / "v.csv")
    assert "call that which is meant labels_X_t" in refusal(load, tmp_path, **given)
    (tmp_path / "w.csv").rename(tmp_path / "labels_X_test.csv")
    (tmp_path / "v.csv").unlink()
    put(tmp_path, "a.csv", "surface,x\nno, table\nat, all, of\n")
    assert "X_train.csv" in refusal(load, tmp_path, **given)  # whose labels lie nowhere
    assert load(tmp_path, **given | {"files": "X_test.csv"}).class_names == words


def test_one_file_of_other_columns_may_be_about_the_others(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("x,y", *x[:2]))
    put(tmp_path, "run/events.csv", csv_text("event,begin", [1, 4, 2, 9, 5], [9, 2, 4, 4, 1]))
    assert "events.csv is of another kind: leave it out" in refusal(load, tmp_path)


def test_a_row_of_samples_is_told_with_what_turns_it(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("", *([v] for v in x[0])))
    assert "n.loadtxt('OLD', delimiter=',', ndmin=2).T" in refusal(load, tmp_path)


def test_one_signal_that_goes_on_from_line_to_line_is_told_with_what_unfolds_it(tmp_path):
    """As in records of earthquakes, under lines about the station."""
    waves = {k: np.sin(np.arange(1600) / (4 + k)) + noise(k, 1, 1600)[0] / 9 for k in range(6)}

    def text_of(count: int):
        rows = {k: wave.reshape(-1, count).tolist() for k, wave in waves.items()}
        lines = {k: ["  ".join(f"{v:.4f}" for v in row) for row in rows[k]] for k in rows}
        head = "Station Code  MYG001\nSampling Freq(Hz) 100Hz\n"
        return lambda k, i, x: head + "\n".join(lines[3 * k + i]) + "\n"

    make(tmp_path / "folded", text_of(8))
    told = refusal(load, tmp_path / "folded")
    assert "one signal with 8 samples a line, as line 3 goes on" in told
    assert "awk 'NR < 3 {print; next}" in told
    assert len(load(tmp_path / "folded", columns=[*range(8)]).channel_names) == 8
    put(tmp_path, "folded/walk/r1.csv", text_of(8)(1, 1, []) + "0.5  0.25\n")
    assert "line 203 has 2 cells" in (told := refusal(load, tmp_path / "folded"))
    assert "from line to line, write one sample a line, as by: awk 'NR < 3 {" in told
    cases = load(make(tmp_path / "unfolded", text_of(1)))
    assert (len(cases.channel_names), cases.rate) == (1, 100)
    make(
        tmp_path / "channels",
        lambda k, i, x: csv_text("", *np.cumsum(noise(9 * k + i, 8), 1).tolist()),
    )
    assert len(load(tmp_path / "channels").channel_names) == 8


def test_a_table_of_labels_is_read_once_for_all_recordings(tmp_path, monkeypatch):
    for series in range(6):
        values = noise(series, 2)
        rows = rows_of([[series] * len(COUNTS), *values.tolist()])
        put(tmp_path, f"r{series}.csv", "series_id,x,y\n" + rows)
    put(
        tmp_path, "y.csv", "series_id,surface\n" + "".join(f"{k},{'ab'[k % 2]}\n" for k in range(6))
    )
    read = Counter()

    def reading(path, **given):
        read[path.name] += 1
        return read_recording_file(path, **given)

    monkeypatch.setattr(sensor_file, "read_recording_file", reading)
    cases = load(tmp_path, files="r*.csv", label_column="surface", group_column="series_id")
    assert cases.class_names == ("a", "b")
    assert read["y.csv"] == 1


def test_one_column_of_a_number_over_a_letter_is_no_numbered_channel():
    assert find_layout(["1", "a", "1"]).names == ("a",)


HEADS = (
    "t,x,y", ",0,1", "0,1,2", "1,2,3", "index,0,1", "a,b", "a,b,c,d", "x y z", "t;x;y", "t,x,",
    "# 50 Hz\nt,x,y", "Rate,50\nt,x,y", "t,x,y\ns,g,g", "t,x,y\nScale,0.1,0.1", "x,y,z\n0,1,2",
    "Start,1615386000\nSampling frequency: 50 Hz\n\nt,x,y", "2024-05-01\n64\nt,x,y", "a\tb\tc", "3",
    "sep=,\nt,x,y", "acc:x,acc:y,acc:z", "'x,y,z", "x,y,z\n\n", "time,20240501,20240502", "",
)  # fmt: skip
CELLS = st.one_of(
    st.integers(-3, 3).map(str), st.integers(0, 2**40).map(str), st.floats(-9, 9).map(repr),
    st.sampled_from(["0", "0000", "0101", "01", "20240501", "1e-3", "+2.5", "0000000", "-0"]),
)  # fmt: skip


@given(
    head=st.sampled_from(HEADS),
    separator=st.sampled_from(",;\t |"),
    rows=st.integers(1, 5).flatmap(
        lambda width: st.lists(
            st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=70
        )
    ),
    skip=st.sampled_from([0, 0, 1, 2]),
)
@example(head="t,x,y", separator=",", rows=[["0", "1", "2"], ["7", "8", "9"]], skip=0)
def test_rows_of_plain_numbers_are_told_as_any_rows_are(head, separator, rows, skip):
    """They are looked at once for each head, whatever the numbers."""
    lines = [*(head.split("\n") if head else []), *map(separator.join, rows)]

    def told(find):
        try:
            return find()
        except (NoTableError, csv.Error) as error:
            return str(error)

    slow = told(lambda: layout._find(lines, skip))
    assert told(lambda: find_layout(lines, skip_lines=skip)) == slow


def test_most_files_of_a_logger_are_looked_at_once(tmp_path, monkeypatch):
    found = []
    find = layout._find
    monkeypatch.setattr(layout, "_find", lambda *given: found.append(given) or find(*given))
    layout._find_above.cache_clear()
    make(tmp_path, lambda k, i, own: csv_text("ax,ay,az", *own))
    assert len(load(tmp_path).taken.origins) > 3
    assert len(found) == 1


def test_lists_of_numbers_are_channels_where_they_are_asked_for(tmp_path):
    """As the ESP32 writes what it receives of each carrier."""
    many = np.random.default_rng(0).integers(-40, 40, (6, len(COUNTS), 12))

    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        lists = [f'"[{",".join(map(str, own))}]"' for own in many[3 * k + i].tolist()]
        return csv_text(
            "rssi,ms,len,data", x[0], [10 * j for j in COUNTS], [12] * len(COUNTS), lists
        )

    make(tmp_path, text_of)
    assert "dataset.columns=[data]" in refusal(load, tmp_path)
    cases = load(tmp_path, columns=["data"])
    assert cases.channel_names == tuple(f"data_{k}" for k in range(12))
    assert np.array_equal(signals_of(cases), many[3, :64].T)  # of run/r0.csv
    own = read_recording(tmp_path / "run/r0.csv", columns=["data_7", "rssi"], label_column=None)
    assert np.array_equal(own.samples[0], many[3, :, 7])
    one = read_one_file(tmp_path / "run/r0.csv", cases.channel_names)
    assert one is not None
    assert np.array_equal(one.signals, many[3].T)


@pytest.mark.parametrize(
    ("lines", "remedy"),
    [
        (["IMU, {t}, 0.1, 0.2", "ATT, {t}, 1.5"], "grep '^IMU' OLD > NEW"),
        (["$GPGGA,{t},4807.1,N", "$GPRMC,{t},A,4807.1,N,1.5"], r"grep '^\$GPGGA' OLD > NEW"),
        (["Gas = {t}.5 KOhms", "Temp = 2{t} *C", "p = 10{t} hPa"], "(Gas|Temp|p) *[:=]"),
        (["acc", "x: 0.{t}", "y: 1.{t}", "gyro", "x: 2.{t}", "y: 3.{t}"], "paste -d' ' - - - - > "),
        ([*["10:00:01:1234 Rx 1 0x1A0 s 8 1F FF 00 A0 0B {t}"] * 4, "***STOP***"], "DBC file"),
        (["header:", "  seq: {t}", "acc:", "  x: 0.{t}", "---"], "rostopic echo -p"),
        (
            ["temp={t}'C", "frequency(48)={t}"],
            r"grep -E '(temp|frequency\(48\)) *[:=]' | paste -d' ' - - > NEW",
        ),
        (
            ["CPU  %user  %idle", *["all  {t}.5  2.25"] * 9],
            "'NR <= 1 {h[$0]; print; next} !($0 in h || index($0, \"%user\"))'",
        ),
        (
            ["#default,_table,,", ",table,v", *[",0,{t}.5"] * 9],
            "'NR <= 2 {h[$0]; print; next} !($0 in h || index($0, \"table,v\"))'",
        ),
        (["X: 0.{t}", "Y: 1.{t}", "-----"], "grep -E '(X|Y) *[:=]' | paste -d' ' - - >"),
        (["[10:00:01][D][sensor:094]: 'Power': Sending state 12.{t} W"], "(echo time,sensor,value"),
        (["Acc: X:{t}, Y: 2 g", "Gyro X:{t}, Y: 1", ""], "'(Acc|Gyro X)' | paste -d' ' - - >"),
        (["S5{t}", "S51", "S52", "B72"], "sed -n 's/^S//p' OLD > NEW"),
        ([">ax:{t}:0.1", ">ay:{t}:0.2"], "as Teleplot takes it"),
        (["falls", *["0 1 2"] * 15], "dataset.label_column=1 dataset.length=15"),
        (["({t}.25) can0 0C1#03E800FF", "({t}.26) can0 1A0#42"], "DBC file"),
        (["{t},000000C1,8,12,00,1F,FF,00,A0", "{t},000001A0,4,00,10"], "DBC file"),
    ],
)
def test_lines_of_several_kinds_are_refused_with_what_takes_one(lines, remedy, tmp_path):
    make(tmp_path, lambda k, i, x: "".join(f"{own}\n".format(t=j) for j in COUNTS for own in lines))
    assert remedy in refusal(load, tmp_path)


@pytest.mark.parametrize(
    ("lead", "row", "names"),
    [
        ("", "b'{a},{b}\\r\\n'\n", "channel_0 channel_1"),
        ("b'x,y\\r\\n'\n", "b'{a},{b}\\r\\n'\n", "x y"),
        ("", "17{t},b'{a},{b}'\n", "channel_1 channel_2"),
        ("log of 2024.05.01\n.5\n", "{a},{b}\n", "channel_0 channel_1"),
        ("", "[2024-05-03 09:{m:02d}:{s:02d}.5] {a},{b}\n", "channel_0 channel_1"),
        ("", "({a}, {b}) (7, 8)\n", "channel channel_2"),
        ("-- Journal begins at Mon, ends at Fri --\n", "pi a[8]: {a},{b}\n", "a_2 a_3"),
        ("values:\n|  0 |  1 |\n-----------\n", "| {a} | {b} |\n", "0 1"),
        ("", "Turn X: {a}, Y: {b} Move X: {t}, Y: 7 g\n", "Turn X|Y"),
    ],
    ids=["bytes", "names", "clock", "cut", "stamp", "tuples", "journal", "drawn", "twice"],
)
def test_what_terminals_and_scripts_leave_is_read(lead, row, names, tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        rows = zip(*(np.round(own, 4).tolist() for own in x[:2]), strict=True)
        return lead + "".join(
            row.format(a=a, b=b, t=j, m=j // 60, s=j % 60) for j, (a, b) in enumerate(rows)
        )

    make(tmp_path, text_of)
    cases = load(tmp_path)
    assert cases.channel_names == tuple(names.split("|" if "|" in names else " "))
    assert np.allclose(signals_of(cases), first(), atol=1e-4)


@pytest.mark.parametrize(
    ("lead", "row", "names"),
    [
        (
            "{d},000 - Connecting to port /dev/ttyACM0, baudrate 115200\n",
            "{d},{ms:03d} - Send: M105\n{d},{ms:03d} - Recv: ok T:{a} /210.0 B:{b} @:64\n", "T B",
        ),
        ("Starting Klippy\n", "Stats {t:.1f}: gcodein=0  mcu: awake={a} freq={b}\n", "awake freq"),
        ("", "{d} INFO meter.py:12 - drew {a} W at {b} V\n", "drew at"),
        ("", "{d} Stage: ({a}, {b}) m/s^2\n", "Stage Stage_2"),
        ("", "{d} X{a} Y{b} Z7\n", "X Y"),
        ("", "{d}: ATTITUDE {{roll : {a}, pitch : {b}, boot : 7}}\n", "roll pitch"),
        ("", "{d} Battery 0: Discharging, 85%, rate {a} W, voltage {b} V\n", "rate voltage"),
    ],
)  # fmt: skip
def test_numbers_among_the_same_words_are_channels_named_by_these(lead, row, names, tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        return lead.format(d="2024-02-01 10:00:00") + "".join(
            row.format(
                d=f"2024-02-01 10:{j // 60:02d}:{j % 60:02d}", ms=j % 5, t=100 + j + j % 3 / 10,
                a=round(x[0][j], 4), b=round(x[1][j], 4),
            )
            for j in COUNTS
        )  # fmt: skip

    make(tmp_path, text_of)
    cases = load(tmp_path, time_unit="s")
    assert (cases.channel_names, cases.rate) == (tuple(names.split()), pytest.approx(1, 0.01))
    assert np.allclose(signals_of(cases), first(), atol=1e-4)


@pytest.mark.parametrize("line", ["<{},{}>\n", "$IMU,{},{}*{:02X}\n"])
def test_what_stands_around_the_rows_of_a_serial_line_is_no_part_of_them(line, tmp_path):
    make(tmp_path, lambda k, i, x: "".join(map(line.format, *x[:2], COUNTS)))
    assert np.allclose(signals_of(load(tmp_path)), first(), atol=1e-4)


def test_a_sentence_that_goes_on_in_other_words_is_refused(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        lines = [f"RAM {j}/3956MB CPU [{7 * j % 90}%@1479,off]\n" for j in COUNTS]
        return "".join([*lines, "RAM 9/3956MB CPU [7%@1479,6%@1479]\n", *lines])

    assert "r0.csv, line 201 begins with 'RAM'" in refusal(load, make(tmp_path, text_of))


@pytest.mark.parametrize(
    "below",
    [
        "t,x,y\n",
        "---,---,---\nMean,2.5,1\nStdDev,1,1\n",
        ",,\n,,\nMean,2.5,1\n",
        "\nSum of x (W) = 12.5\nMean of y = 3\n",
        "t,x,y\ncore,core,chip\n",
    ],
)
def test_lines_below_the_table_are_left_out_where_no_row_follows(below, tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("t,x,y", COUNTS, *x[:2]) + below)
    cases = load(tmp_path)
    assert len(cases.labels) == 6 * 3
    assert np.allclose(signals_of(cases), first(), atol=1e-4)
    assert any("below the table, such as" in note for note in cases.taken.notes)
    make(tmp_path, lambda k, i, x: csv_text("t,x,y", COUNTS, *x[:2]) + below + "1,2,3\n")
    assert re.search("line 20[2-4]", refusal(load, tmp_path))


def test_names_again_at_the_end_are_said_where_no_column_is_of_numbers(tmp_path):
    put(tmp_path, "r.csv", '",1,1,"\n2024-01-01\n",1,1,"')
    table = read_recording_file(tmp_path / "r.csv")
    assert any("below the table" in note for note in table.notes)


def test_rows_whose_first_measured_value_is_a_word_are_rows(tmp_path):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        rows = zip(["OL", *x[2][1:-9], *["OL"] * 9], *x[:2], strict=True)
        return "v,x,y\n" + "".join(f"{v},{x},{y}\n" for v, x, y in rows)

    cases = load(make(tmp_path, text_of), columns=["x", "y"])
    assert np.allclose(signals_of(cases), first(), atol=1e-4)


def test_words_with_a_number_in_brackets_behind_nameless_numbers_are_no_sentence(tmp_path):
    make(tmp_path, lambda k, i, x: csv_text("", *x[:2], [f"kind ({k})"] * len(COUNTS)))
    cases = load(tmp_path, label_column=2)
    assert cases.class_names == ("kind (0)", "kind (1)")
    assert cases.channel_names == ("channel_0", "channel_1")


@pytest.mark.parametrize("num_rows", [200, 40_000])
def test_rows_without_a_cell_at_the_end_are_left_out(num_rows, tmp_path):
    rows = "".join(f"{0.5 + j % 7},{j % 5}\n" for j in range(num_rows))
    put(tmp_path, "r.csv", f"x,y\n{rows},\n,\n,\n")
    table = read_recording_file(tmp_path / "r.csv")
    assert table.num_rows == num_rows
    assert "3 empty rows at the end" in table.notes


def test_a_second_table_in_a_file_is_refused_with_what_cuts_it_off(tmp_path):
    more = "\nTemperature\ntime,t\n0,20.5\n1,20.7\n"
    make(tmp_path, lambda k, i, x: csv_text("time,x,y", COUNTS, *x[:2]) + more)
    assert "head -n 202 OLD > FIRST; tail -n +203 OLD > SECOND" in refusal(load, tmp_path)


def test_settings_that_are_not_applied_are_named(tmp_path):
    make(tmp_path, lambda k, i, x: "No,x,y\nScale,0.1,0.1\n" + csv_text("", COUNTS, *x[:2]))
    assert any("(Scale: not applied)" in note for note in load(tmp_path).taken.notes)


def test_a_unit_that_changes_on_the_way_is_told(tmp_path):
    power = ["1.02 kW" if j % 9 == 8 else f"{980 + j % 7} W" for j in COUNTS]
    make(tmp_path, lambda k, i, x: csv_text("power,x", power, x[0]))
    assert "'1.02 kW' is not a number (nor in W" in refusal(load, tmp_path)


def test_blocks_test_a_class_that_is_one_recording(tmp_path):
    """As sets of bearings have it; and one file whose column says the class."""
    for label in ("normal", "fault"):
        put(tmp_path, f"{label}.csv", csv_text("x,y", *noise(len(label), 2, 2000).tolist()))
    given = {"length": 50, "stride": 25}
    assert "dataset.blocks=10" in refusal(lambda: split(load(tmp_path, class_level=0, **given)))
    long = {"class_level": 0, "length": 300, "stride": 150}
    assert "with dataset.blocks=6," in refusal(lambda: split(load(tmp_path, **long)))
    assert "choose dataset.blocks=6 or fewer" in refusal(load, tmp_path, **long, blocks=10)
    assert len(load(tmp_path, **long, blocks=6).labels) == 2 * 6
    cases = load(tmp_path, class_level=0, blocks=4, **given)
    parts = split(cases)
    assert len(cases.labels) == 2 * 4 * 19  # no window reaches into another block
    for label in range(2):
        train, test = (
            set((cases.taken.starts[own][cases.labels[own] == label] // 500).tolist())
            for own in (parts.train, parts.test)
        )
        assert (len(train), len(test)) == (3, 1)
        assert not train & test
    assert any("not in new ones" in warning for warning in cases.taken.warnings)
    labels = np.repeat(["a", "b", "a", "b", ""], [300, 500, 200, 500, 500]).tolist()
    put(tmp_path, "all/day.csv", csv_text("x,y,what", *noise(1, 2, 2000).tolist(), labels))
    day = load(tmp_path / "all", label_column="what", blocks=5, **given)
    assert [len(np.unique(day.groups[day.labels == label])) for label in range(2)] == [5, 5]
    both = {"label_column": "what", "group_column": "what", "blocks": 5}
    assert "dataset.group_column" in refusal(load, tmp_path / "all", **both)


def test_levels_that_stand_where_they_change_are_held_at_a_rate(tmp_path):
    """As logic analysers export them."""

    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        steps = np.random.default_rng(i).integers(1, 40 * (k + 1), len(COUNTS))
        ends = np.cumsum(steps)
        levels = np.arange(len(COUNTS)) % 2
        return csv_text("Time [s],D0,D1", [f"{t / 1e6:.6f}" for t in ends], levels, 1 - levels)

    make(tmp_path, text_of)
    assert "dataset.rate=" in refusal(load, tmp_path)
    cases = load(tmp_path, rate=1e6)
    steps = np.random.default_rng(0).integers(1, 80, len(COUNTS))[1:]
    assert np.array_equal(signals_of(cases)[0], np.repeat(np.arange(199) % 2, steps)[:64])


def test_a_clock_of_uneven_steps_is_told(tmp_path):
    """As simulators of circuits write them."""

    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        ends = np.cumsum(np.random.default_rng(i).integers(2, 20, len(COUNTS)))
        return csv_text("time,v", [f"{t / 1e3:.3f}" for t in ends], x[0])

    make(tmp_path, text_of)
    (told,) = (own for own in load(tmp_path).taken.warnings if "uneven" in own)
    assert "dataset.rate=9" in told
    assert not load(tmp_path, rate=90).taken.warnings


@pytest.mark.parametrize(
    ("head", "row", "names"),
    [
        ('"T","Speed","Lat"\n"s","m","g"\n"1","2","3"\n\n', '"{t}","{a}","{b}"\n', "Speed Lat"),
        ("[column names]\ntime v g\n\n[data]\n", "{t:.2f} {a} {b}\n", "v g"),
        ("No,ms,Speed,Lat,Serial\n", "{j},{ms},{a},{b}{once}\n", "Speed Lat"),
        (
            "Number,Time,CH1,CH2,Alarm\nNO.,Time,degC,V,A123\n",
            "{j},2024/5/6 10:00:{t:05.2f},{a:+},{b:+},LL\n", "CH1 CH2",
        ),
        (
            "LabVIEW Measurement\n***End_of_Header***\nChannels\t2\nX_Dimension\tTime\tTime\n"
            "Delta_X\t0.02\t0.02\n***End_of_Header***\nX_Value\tV\tG\tComment\n",
            "\t{a}\t{b}\n", "V G",
        ),
        (
            "LabVIEW Measurement\n***End_of_Header***\nChannels\t2\nX_Dimension\tTime\tTime\n"
            "Delta_X\t0,02\t0,02\n***End_of_Header***\nX_Value\tV\tG\tComment\n",
            "\t{a}\t{b}\n", "V G",
        ),
        (
            "s1.acq\n20 msec/sample\n2 channels\nECG,X\nmV\nEDA\nVolts\nCH1\tCH2\t\n500\t498\t\n",
            "{a}\t{b}\t\n", "ECG,X EDA",
        ),
        (
            "s1.acq\nRecording on: 2025-02-21 11:05:38.634\n20 msec/sample\n2 channels\nECG\nmV\n"
            "EDA\nVolts\nsec\tCH1\tCH2\t\n\t500\t498\t\n", "{t:.2f}\t{a}\t{b}\t\n", "ECG EDA",
        ),
        (
            '"TOA5","CR1000","CR1000X","12345"\n"TIMESTAMP","RECORD","Vib_X","Vib_Y"\n'
            '"TS","RN","m/s^2","mA/kPa"\n"","","Smp","Avg"\n',
            '"2024-08-01 10:00:{t:05.2f}",{j},{a},{b}\n', "Vib_X Vib_Y",
        ),
        (
            "Interval=\t0.02 s\nChannelTitle=\tBP\tECG\nRange=\t200.0 mmHg\t10 mV\n",
            "{t:.2f}\t{a}\t{b}\n", "BP ECG",
        ),
        ("t,v,g\n[s],[m/h],[dB]\n0,1,2\nFIELD,Amp1,Amp1\n", "{t:.2f},{a},{b}\n", "v g"),
        (
            "Name,W 1\n\nTIME,Speed,Lat,Place,Notes\nhh:mm:ss a,m,g,,\n",
            "2024-5-6 10:00:{t:05.2f} AM,{a},{b},,\n", "Speed Lat",
        ),
        ('"cts","Accel [g]","1"\n', "{ms}.0,{a},{b}\n", "Accel Accel_1"),
        (
            "Run 0;;\nDevice:;XY;\n;;\nTime;A;B\n(ms);(mV);(mV)\n;;\n", "{ms}.0;{a};{b}\n", "A B",
        ),
        ("#T  WSPD ATMP\n#sec  m/s degC\n", "{t:.2f} {a} {b}\n", "WSPD ATMP"),
        (
            "File\t4\tt0.trc\nRate\tFrames\tUnits\tStart\tEnd\n50\t200\tmm\t1\t200\nTime\tANK\tKNE\t\n",
            "{t:.2f}\t{a}\t{b}\n", "ANK KNE",
        ),
        ("#version,time,state_name,rise\n", "5,{t:.2f},{a},{b}\n", "state_name rise"),
        (
            "Format,3\n\ntimestamp,lap_number,lean,speed\nunix time,,deg,m/s\n,,calc,100: gps\n",
            "{t:.2f},1,{a},{b}\n", "lean speed",
        ),
    ],
)  # fmt: skip
def test_names_are_found_above_what_loggers_put_below_them(head, row, names, tmp_path):
    """As AiM, VBOX, EL-USB, Graphtec, LabVIEW, Campbell, catman and RaceChrono write them."""

    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        return head + "".join(
            row.format(
                j=j, t=j / 50, ms=20 * j, once="" if j else ",0012",
                a=round(x[0][j], 4), b=round(x[1][j], 4),
            )
            for j in COUNTS
        )  # fmt: skip

    make(tmp_path, text_of)
    cases = load(tmp_path)
    plain = tuple(name.split(" [")[0] for name in cases.channel_names)
    assert (plain, cases.rate) == (tuple(names.split()), pytest.approx(50))
    assert np.allclose(signals_of(cases), first(), atol=1e-4)


def test_rows_in_different_units_are_refused(tmp_path):
    units = ["V" if j % 3 else "mV" for j in COUNTS]
    make(tmp_path, lambda k, i, x: csv_text("No.,Value,Unit", COUNTS, x[0], units))
    assert "column 'Unit' says that rows are in different units (V, mV)" in refusal(load, tmp_path)


def test_a_tally_in_steps_of_its_last_digit_is_no_clock(tmp_path):
    energy = [f"{12 + j // 10 / 100:.2f}" for j in COUNTS]
    make(tmp_path, lambda k, i, x: csv_text("energy,power", energy, x[0]))
    cases = load(tmp_path)
    assert (cases.channel_names, cases.rate) == (("power",), None)


def test_lines_about_the_device_are_no_pairs_of_a_moment(tmp_path):
    head = "Sensor: ADXL345\nDriver Ver: 1\n----\nData Rate:    100  Hz\n\n"
    line = "X: {}  Y: {}  m/s^2 \n"
    make(tmp_path, lambda k, i, x: head + "".join(map(line.format, x[0], x[1])))
    cases = load(tmp_path)
    assert cases.channel_names == ("X", "Y")
    assert np.allclose(signals_of(cases), noise(10, 2)[:, :64], atol=1e-4)


def test_files_are_named_with_the_ending_that_they_have(tmp_path):
    put(tmp_path, "walk/1.TXT", csv_text("x,y", *noise(0, 2).tolist()))
    assert "dataset.files='*.TXT'" in refusal(load, tmp_path)


def test_infinite_cells_are_missing_and_no_fault_of_arithmetic(tmp_path, recwarn):
    def text_of(k: int, i: int, x: list[list[float]]) -> str:
        columns = [[*own[:3], "inf", "inf", *own[5:]] for own in x[:2]]
        return "x,y\n" + rows_of(columns)

    make(tmp_path, text_of)
    cases = load(tmp_path, missing="interpolate")
    assert cases.channel_names == ("x", "y")
    assert np.isfinite(signals_of(cases)).all()
    assert not list(recwarn)
