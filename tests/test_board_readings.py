"""Readings of boards, from trees after their documentation."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from boards import (
    CONTAINER,
    LAPTOP,
    NOTHING,
    PI3,
    PI4,
    PI5,
    PI5_NO_FAN,
    ZERO2W,
    files_of,
    put_board,
    set_temperature,
    vcgencmd_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from raspitrain.doctor import checks
from raspitrain.doctor.torch_build import TorchBuild
from raspitrain.hardware import readings
from raspitrain.hardware.readings import Readings, Throttled, find_sensors, read_board
from raspitrain.run.monitor import Monitor

IDLE = Throttled((), ())
PI_READINGS = Readings(
    temperature_c=52.3, clock_mhz=2400.02048, clock_limit_mhz=2400.0, governor="performance",
    throttled=IDLE, watts=3.08, fan_rpm=3300, load=0.1,
)  # fmt: skip


def read(folder, board):
    return read_board(put_board(folder, board), vcgencmd_of(folder))


def slower(mhz):
    return replace(
        PI_READINGS, clock_mhz=mhz + 0.02048, clock_limit_mhz=mhz, watts=None, fan_rpm=None
    )


@pytest.mark.parametrize(
    ("board", "expected"),
    [
        (PI5, PI_READINGS),
        (PI5_NO_FAN, replace(PI_READINGS, fan_rpm=None)),
        (PI4, slower(1800.0)),
        (PI3, slower(1400.0)),
        (ZERO2W, slower(1000.0)),
        (
            LAPTOP,
            Readings(
                temperature_c=61.0, clock_mhz=4200.0, clock_limit_mhz=4200.0,
                governor="powersave", throttle_count=0, load=0.1,
            ),
        ),
        (CONTAINER, Readings(load=0.1)),
        (NOTHING, Readings()),
    ],
    ids=["pi5", "pi5 without fan", "pi4", "pi3", "zero2w", "laptop", "container", "nothing"],
)  # fmt: skip
def test_every_board_is_read(tmp_path, board, expected):
    found = read(tmp_path, board)
    assert found == replace(expected, watts=found.watts)
    assert found.watts == (None if expected.watts is None else pytest.approx(expected.watts))


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (0x0, IDLE),
        (0x1, Throttled(("under_voltage",), ())),
        (0x2, Throttled(("frequency_capped",), ())),
        (0x4, Throttled(("throttled",), ())),
        (0x8, Throttled(("soft_temperature_limit",), ())),
        (0x50000, Throttled((), ("under_voltage", "throttled"))),
        (0xA0000, Throttled((), ("frequency_capped", "soft_temperature_limit"))),
        (0x50005, Throttled(("under_voltage", "throttled"), ("under_voltage", "throttled"))),
    ],
)
def test_every_bit_of_get_throttled_has_its_name(tmp_path, bits, expected):
    assert read(tmp_path, PI4 | {"throttled": bits}).throttled == expected


def test_the_clock_is_what_the_firmware_grants(tmp_path):
    """The kernel goes on naming what it asked for, raspberrypi/linux#2986."""
    assert read(tmp_path, PI5 | {"real_mhz": 1500}).clock_mhz == pytest.approx(1500.02048)


def test_without_vcgencmd_the_kernel_is_asked(tmp_path):
    root = put_board(tmp_path, PI5 | {"alarm": 1})
    found = read_board(root, str(tmp_path / "nowhere"))
    assert found.throttled == Throttled(("under_voltage",), None)
    assert found.clock_mhz == 2400.0
    assert found.watts is None


def test_power_is_the_sum_of_rails_that_tell_both_volts_and_amperes(tmp_path):
    """EXT5V and BATT tell volts alone."""
    rails = {"VDD_CORE": (2.0, 0.9), "3V3_SYS": (0.5, 3.3)}
    assert read(tmp_path, PI5 | {"rails": rails}).watts == pytest.approx(2 * 0.9 + 0.5 * 3.3)


@pytest.mark.parametrize("text", ["", "hot\n", "-274000\n", "999999\n", "nan\n", "inf\n", "\xff"])
def test_a_broken_sensor_is_no_sensor(tmp_path, text):
    root = put_board(tmp_path, PI5)
    (root / "sys/class/thermal/thermal_zone0/temp").write_text(text)
    assert find_sensors(root).temperature_c() is None


def test_a_sensor_that_goes_away_is_no_misfortune(tmp_path):
    root = put_board(tmp_path, PI5)
    sensors = find_sensors(root)
    set_temperature(root, 60.5)
    assert sensors.temperature_c() == 60.5
    (root / "sys/class/thermal/thermal_zone0/temp").unlink()
    assert sensors.temperature_c() is None


def test_the_processors_own_sensor_is_taken(tmp_path):
    root = put_board(tmp_path, LAPTOP)
    zones = root / "sys/class/thermal"
    for number, (kind, temperature) in enumerate(
        [("acpitz", 27_800), ("iwlwifi_1", 45_000), ("x86_pkg_temp", 71_000), ("INT3400", 20_000)]
    ):
        (zones / f"thermal_zone{number}").mkdir(exist_ok=True)
        (zones / f"thermal_zone{number}/type").write_text(f"{kind}\n")
        (zones / f"thermal_zone{number}/temp").write_text(f"{temperature}\n")
    assert find_sensors(root).temperature_c() == 71.0


def test_a_pc_without_zones_has_its_sensor_chip(tmp_path):
    chip = tmp_path / "sys/class/hwmon/hwmon3"
    chip.mkdir(parents=True)
    (chip / "name").write_text("k10temp\n")
    (chip / "temp1_input").write_text("55125\n")
    assert find_sensors(tmp_path).temperature_c() == 55.125


@pytest.mark.parametrize(
    "script",
    [
        "exit 255", "echo throttled=", "echo throttled=0xZZ; echo more", "echo", "kill -9 $$",
        "echo 'VCHI initialization failed'; exit 1", "printf '\\377\\376'", "sleep 5",
    ],
)  # fmt: skip
def test_a_vcgencmd_that_fails_tells_nothing(tmp_path, script, monkeypatch):
    monkeypatch.setattr(readings, "COMMAND_SECONDS", 0.2)
    command = tmp_path / "vcgencmd"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    root = put_board(tmp_path, PI4 | {"alarm": None})
    command.write_text(f"#!/bin/sh\n{script}\n")
    found = read_board(root, str(command))
    assert (found.throttled, found.watts, found.clock_mhz) == (None, None, 1800.0)


RAILS = st.from_regex(
    r"(A_A current\(0\)=[0-9.]{1,4}A\nA_V volt\(1\)=[0-9.]{1,4}V)", fullmatch=True
)


@given(st.text() | RAILS)
def test_whatever_vcgencmd_says_is_read_or_not(answer):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(readings, "ask", lambda *words: answer)
        assert readings.ask_throttled("x") is None or answer.lower().startswith("throttled=0x")
        assert readings.ask_clock("x") is None or answer.startswith("frequency(")
        watts = readings.ask_watts("x")
        assert watts is None or watts >= 0


def test_a_command_named_like_nothing_on_earth_is_no_command():
    assert readings.ask("\0", "get_throttled") == ""


BOARD_FILES = sorted({name for board in (PI5, PI4, LAPTOP, CONTAINER) for name in files_of(board)})


@settings(max_examples=50)
@given(
    st.sampled_from([PI5, PI4, LAPTOP, CONTAINER]),
    st.dictionaries(st.sampled_from(BOARD_FILES), st.none() | st.binary(max_size=40), max_size=4),
)
def test_whatever_lies_in_the_files_everything_that_reads_them_goes_on(board, damage):
    """A file may hold anything, or be a folder (None)."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(checks.shutil, "which", lambda name: None)
        root = put_board(Path(folder), board)
        for name, content in damage.items():
            path = root / name
            path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.mkdir()
            else:
                path.write_bytes(content)
        found = read_board(root, "none")
        assert found.temperature_c is None or -40 < found.temperature_c < 150
        checks.find(checks.gather(root, "none", Path(folder), {}), TorchBuild())
        monitor = Monitor(Path(folder), root=root, vcgencmd="none", every_seconds=1)
        monitor._sample()
        monitor.summary(epochs=1, num_cases=1)
