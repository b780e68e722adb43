"""telemetry.csv and what the summary says of heat and power."""

import csv
import errno
import logging

import pytest
from boards import CONTAINER, LAPTOP, NOTHING, PI4, PI5, put_board, put_vcgencmd, vcgencmd_of
from conftest import wait_for
from hypothesis import given
from hypothesis import strategies as st

from raspitrain.hardware import readings
from raspitrain.report.plots import plot_telemetry
from raspitrain.results import atomic, telemetry
from raspitrain.results.telemetry import (
    COLUMNS,
    append_telemetry,
    merge,
    read_telemetry,
    write_telemetry,
)
from raspitrain.run import monitor as monitor_module
from raspitrain.run.monitor import COMMAND_SHARE, LONGEST_WAIT, SHORTEST_WAIT, Monitor


def watch(folder, board, every_seconds=0.02):
    return Monitor(
        folder, root=put_board(folder / "board", board), vcgencmd=vcgencmd_of(folder / "board"),
        every_seconds=every_seconds,
    )  # fmt: skip


def sampled(monitor, number):
    """Wait for so many samples more."""
    seen = monitor.num_samples + number
    assert wait_for(lambda: monitor.num_samples >= seen)


def rows_of(folder):
    with open(folder / "telemetry.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_pi5_leaves_its_temperature_clock_power_and_throttling(tmp_path):
    with watch(tmp_path, PI5) as monitor:
        for _ in range(5):
            monitor.cases += 5
            sampled(monitor, 1)
    rows = rows_of(tmp_path)
    assert len(rows) >= 5
    assert {row["temperature_c"] for row in rows} == {"52.3"}
    assert {row["clock_mhz"] for row in rows} == {"2400"}
    assert {row["watts"] for row in rows} == {"3.08"}
    assert {row["throttled"] for row in rows} == {"0"}
    assert all(float(row["memory_mb"]) > 1 for row in rows)
    assert rows[0]["samples_per_second"] == ""  # nobody has waited for any yet
    summary = monitor.summary(epochs=2, num_cases=50)
    assert summary["thermal"] == {
        "temperature_before_c": 52.3, "temperature_after_c": 52.3, "temperature_max_c": 52.3,
        "throttled": False, "under_voltage": False,
        "pauses": 0, "paused_seconds": 0.0, "dropped_threads": 0,
    }  # fmt: skip
    energy = summary["energy"]
    seconds = sum(row["seconds"] for row in read_telemetry(tmp_path / "telemetry.csv"))
    assert energy["joules"] == pytest.approx(3.08 * seconds, rel=0.2)
    assert energy["joules_per_epoch"] == pytest.approx(energy["joules"] / 2)
    assert energy["joules_per_thousand_cases"] == pytest.approx(energy["joules"] / 0.05)
    assert energy["estimated"] is True


@pytest.mark.parametrize("board", [CONTAINER, NOTHING])
def test_where_nothing_can_be_read_the_summary_says_null(tmp_path, board):
    with watch(tmp_path, board) as monitor:
        sampled(monitor, 2)
    summary = monitor.summary(epochs=1, num_cases=1)
    assert summary["energy"] is None
    thermal = summary["thermal"]
    assert thermal["throttled"] is thermal["temperature_max_c"] is None
    assert {row["temperature_c"] for row in rows_of(tmp_path)} == {""}
    plot_telemetry(tmp_path / "telemetry.csv", tmp_path / "telemetry.png")
    assert not (tmp_path / "telemetry.png").exists()


def test_throttling_between_two_questions_is_seen(tmp_path):
    """The bits since boot tell of it; those that were set before the run do not count."""
    old = {"throttled": 0x10000}
    with watch(tmp_path, PI4 | old) as monitor:
        sampled(monitor, 2)
        assert monitor.totals.flags["throttled"] == 0
        put_vcgencmd(tmp_path / "board", PI4 | {"throttled": 0x50000})
    thermal = monitor.summary(epochs=1, num_cases=1)["thermal"]
    assert (thermal["throttled"], thermal["under_voltage"]) == (True, False)


def test_a_pc_that_counts_its_slowdowns_is_seen_to_slow_down(tmp_path):
    with watch(tmp_path, LAPTOP | {"throttle_count": 7}) as monitor:
        sampled(monitor, 2)
        assert monitor.totals.flags["throttled"] == 0
        put_board(tmp_path / "board", LAPTOP | {"throttle_count": 8})
        sampled(monitor, 2)
    assert monitor.summary(epochs=1, num_cases=1)["thermal"]["throttled"] is True


def test_the_firmwares_command_is_asked_as_its_cost_allows(tmp_path, monkeypatch):
    """Never for more than its share of a core, whatever a process costs on the board."""
    now = [100.0]
    for cost, wait in ((0.030, 0.030 / COMMAND_SHARE), (0.001, SHORTEST_WAIT), (9, LONGEST_WAIT)):
        spent = iter([5.0, 5.0 + cost])
        monitor = Monitor(
            None, root=put_board(tmp_path, PI5), vcgencmd=vcgencmd_of(tmp_path), every_seconds=1,
            clock=lambda: now[0],
        )  # fmt: skip
        monkeypatch.setattr(monitor_module, "_processor_seconds", lambda spent=spent: next(spent))
        monitor._ask()
        assert monitor._next_round == pytest.approx(now[0] + wait)


def test_a_board_without_power_chip_is_asked_for_it_once(tmp_path, monkeypatch):
    monkeypatch.setattr(monitor_module, "SHORTEST_WAIT", 0.0)
    monkeypatch.setattr(monitor_module, "LONGEST_WAIT", 0.0)
    with watch(tmp_path, PI4) as monitor:
        sampled(monitor, 3)
    asked = (tmp_path / "board" / "asked").read_text().splitlines()
    assert asked.count("pmic_read_adc") == 1
    assert asked.count("get_throttled") > 1


def test_a_run_that_goes_on_adds_to_its_rows(tmp_path):
    paused = 0.0
    for _ in range(2):
        with watch(tmp_path, PI5, every_seconds=0.05) as monitor:
            sampled(monitor, 1)
            monitor.begin_pause()
            sampled(monitor, 3)
            monitor.end_pause()
            paused += monitor._paused_seconds()
    rows = rows_of(tmp_path)
    assert (tmp_path / "telemetry.csv").read_text().count("time,seconds") == 1
    assert len(rows) >= 6
    thermal = monitor.summary(epochs=1, num_cases=1)["thermal"]
    assert thermal["pauses"] == 2
    assert thermal["paused_seconds"] == pytest.approx(paused, abs=0.1)
    seconds = sum(float(row["seconds"]) for row in rows)
    joules = monitor.summary(epochs=1, num_cases=1)["energy"]["joules"]
    assert joules == pytest.approx(3.08 * seconds, rel=0.1)


def test_a_torn_last_row_is_dropped(tmp_path):
    with watch(tmp_path, PI5) as monitor:
        sampled(monitor, 2)
    path = tmp_path / "telemetry.csv"
    whole = path.read_text()
    path.write_text(whole + "1795415180.1,1,52")
    assert len(read_telemetry(path)) == whole.count("\n") - 1
    append_telemetry(path, [{"time": 2.0e9, "seconds": 1.0}])
    assert path.read_text() == whole + "2000000000.0,1" + "," * (len(COLUMNS) - 2) + "\n"


def test_the_file_stays_small(tmp_path, monkeypatch):
    """Its rows grow longer instead; sums and peaks stay."""
    monkeypatch.setattr(monitor_module, "MOST_ROWS", 40)
    monkeypatch.setattr(monitor_module, "BLOCK_SECONDS", 0.02)
    folder = tmp_path / "run"
    folder.mkdir()
    now = [0.0]
    monitor = Monitor(
        folder, root=put_board(tmp_path, PI5), vcgencmd=vcgencmd_of(tmp_path), every_seconds=1,
        clock=lambda: now[0],
    )  # fmt: skip
    monitor._ask()
    for second in range(1000):
        now[0] += 1.0
        monitor.pauses += second == 500
        monitor._sample()
        if second % 60 == 59:
            monitor._write()
    monitor._write()
    rows = read_telemetry(folder / "telemetry.csv")
    assert 10 <= len(rows) <= 40 + 60
    assert sum(row["seconds"] for row in rows) == pytest.approx(1000, abs=60)
    assert sum(row["pauses"] for row in rows) == 1
    resumed = Monitor(folder, root=tmp_path / "root", vcgencmd="none", every_seconds=1)
    assert resumed.samples_per_row == monitor.samples_per_row > 8
    assert resumed.totals.counts["pauses"] == 1


def test_a_card_that_fails_costs_rows_and_one_warning(tmp_path, monkeypatch, caplog):
    def full(stage, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(monitor_module, "BLOCK_SECONDS", 0.02)
    monkeypatch.setattr(atomic, "on_write", full)
    with caplog.at_level(logging.WARNING), watch(tmp_path, PI5) as monitor:
        sampled(monitor, 5)
    assert [r.getMessage() for r in caplog.records] == [
        "telemetry.csv cannot be written ([Errno 28] No space left on device); the run goes on."
    ]
    assert not (tmp_path / "telemetry.csv").exists()
    assert monitor.summary(epochs=1, num_cases=1)["thermal"]["temperature_max_c"] == 52.3


def test_a_board_that_cannot_be_read_costs_rows_and_one_warning(tmp_path, monkeypatch, caplog):
    def strange(self):
        raise OverflowError("cannot convert float infinity to integer")

    monkeypatch.setattr(readings.Sensors, "load", strange)
    with caplog.at_level(logging.WARNING), watch(tmp_path, PI5) as monitor:
        assert wait_for(lambda: caplog.records)
        assert monitor._thread.is_alive()
    (record,) = caplog.records
    assert "the board cannot be read (OverflowError" in record.getMessage()
    assert monitor.summary(epochs=1, num_cases=1)["energy"] is None


def test_joules_of_a_part_of_the_run_say_nothing_of_an_epoch():
    row = dict.fromkeys(
        ("temperature_c", "throttled", "under_voltage", "pauses", "paused_seconds",
         "dropped_threads")
    )  # fmt: skip
    totals = monitor_module.Totals()
    for number in range(20):
        totals.add(row | {"seconds": 1.0, "watts": 3.0 if number < 18 else None})
    energy = totals.energy(epochs=2, num_cases=100)
    assert (energy["joules"], energy["metered"]) == (54.0, 0.9)
    assert energy["joules_per_epoch"] is energy["joules_per_thousand_cases"] is None


NUMBERS = st.one_of(st.none(), st.floats(0, 1e4))


@given(
    st.lists(
        st.fixed_dictionaries(
            dict.fromkeys(COLUMNS, NUMBERS)
            | {"time": st.floats(1e9, 2e9), "seconds": st.floats(0, 9, allow_subnormal=False)}
        ),
        min_size=1,
        max_size=6,
    )
)  # fmt: skip
def test_merged_rows_lie_within_those_they_stand_for(rows):
    merged = merge(rows)
    assert list(merged) == list(COLUMNS)
    assert merged["time"] == rows[-1]["time"]
    for column, way in telemetry.MERGED.items():
        known = [row[column] for row in rows if row[column] is not None]
        if not known:
            assert merged[column] is None
        elif way == "sum":
            assert merged[column] == pytest.approx(sum(known))
        elif way != "last":
            assert min(known) - 1e-6 <= merged[column] <= max(known) + 1e-6


@pytest.mark.parametrize("text", ["", "a,b\n", "time,seconds\nx,y\n1,2,3\n", "\xff\0\n\n", "\n"])
def test_a_damaged_table_is_read_as_far_as_it_goes(tmp_path, text):
    path = tmp_path / "telemetry.csv"
    path.write_bytes(text.encode("latin-1"))
    assert read_telemetry(path) == []
    assert read_telemetry(tmp_path / "none") == []


def test_the_picture_shades_what_held_the_run_back(tmp_path):
    row = dict.fromkeys(COLUMNS, 0.0) | {"seconds": 1.0, "clock_mhz": 2400.0}
    rows = [
        row | {"time": 1e9 + k, "temperature_c": 50.0 + k, "samples_per_second": 200.0 - k}
        for k in range(60)
    ]
    pictures = []
    for flags in ({}, {"throttled": 1.0}, {"paused_seconds": 1.0}):
        for k in range(30, 40):
            rows[k] |= flags
        write_telemetry(tmp_path / "telemetry.csv", rows)
        plot_telemetry(tmp_path / "telemetry.csv", tmp_path / "telemetry.png")
        pictures.append((tmp_path / "telemetry.png").read_bytes())
    assert len(set(pictures)) == 3
    assert all(p.startswith(b"\x89PNG") for p in pictures)


def test_a_firmware_that_hangs_is_left_alone_for_a_while(tmp_path, monkeypatch):
    board = tmp_path / "board"
    root = put_board(board, PI5)
    (board / "vcgencmd").write_text(f"#!/bin/sh\necho $1 >> {board}/asked\nexit 1\n")
    with Monitor(tmp_path, root=root, vcgencmd=vcgencmd_of(board), every_seconds=0.01) as monitor:
        sampled(monitor, 10)
    asked = (board / "asked").read_text().split()
    assert asked == ["get_throttled"] * 2  # at the start and at the end
    assert monitor.summary(epochs=1, num_cases=1)["thermal"]["temperature_max_c"] == 52.3
