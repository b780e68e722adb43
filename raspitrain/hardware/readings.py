"""What a board says of itself: temperature, clock, throttling, power, fan.

Everything is read below a root folder and from one command, so that tests can put a tree of files
and a script in their place. The layouts are taken from documentation; none was recorded on a board
by us:

- thermal zones, temp in m°C: kernel, Documentation/ABI/testing/sysfs-class-thermal
- cpufreq policies, kHz: kernel, Documentation/admin-guide/pm/cpufreq.rst. On a Raspberry Pi
  scaling_cur_freq is what was asked for, not what the firmware grants (raspberrypi/linux#2986)
- hwmon `rpi_volt`, in0_lcrit_alarm: kernel, Documentation/hwmon/raspberrypi-hwmon.rst; the driver
  asks the firmware every two seconds
- hwmon `pwmfan`, fan1_input in rounds a minute: kernel, Documentation/hwmon/pwm-fan.rst. It may say
  0 of a fan that turns (raspberrypi/linux#7556), so nothing is concluded from that number
- thermal_throttle/package_throttle_count: kernel,
  Documentation/ABI/testing/sysfs-devices-system-cpu
- `vcgencmd get_throttled`, `measure_clock arm`, `pmic_read_adc`: raspberrypi.com/documentation,
  "Raspberry Pi OS", "vcgencmd"

The firmware's old file /sys/devices/platform/soc/soc:firmware/get_throttled is left alone: newer
kernels answer with a warning in the kernel's log and a stale value.
"""

import math
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from raspitrain.hardware.board import read_text

# Bits of get_throttled; the same bits 16 higher tell of any moment since boot.
FLAGS = {
    0: "under_voltage",
    1: "frequency_capped",
    2: "throttled",
    3: "soft_temperature_limit",
}
SINCE_BOOT = 16
COMMAND_SECONDS = 1.0  # vcgencmd answers in milliseconds, or hangs with the firmware

# The processor's own zone first; the ACPI zone of a laptop may be the case.
ZONES = (
    re.compile(r"cpu|soc|x86_pkg_temp", re.I),
    re.compile(r"acpitz", re.I),
)
CHIPS = ("cpu_thermal", "coretemp", "k10temp", "zenpower")
PLAUSIBLE_C = (-40.0, 150.0)
MOST_POLICIES = 4  # on a PC each core is one, and each costs a read


@dataclass(frozen=True)
class Throttled:
    """What holds the processor back.

    Attributes
    ----------
    now : of under_voltage, frequency_capped, throttled, soft_temperature_limit
    since_boot : the same at any moment since boot; None where only the present is known
    """

    now: tuple[str, ...]
    since_boot: tuple[str, ...] | None


@dataclass(frozen=True)
class Readings:
    """One look at the board. None stands for what cannot be read.

    Attributes
    ----------
    temperature_c : the processor's
    clock_mhz : the fastest core's; what the firmware grants where it tells, else what the kernel
        asked for
    throttle_count : how often the processor has slowed down for heat since boot (PCs)
    watts : sum over the rails of a Pi 5's power chip, without the chip's own losses and without
        what USB devices take: an estimate that is below what the wall socket gives
    fan_rpm : 0 may be wrong
    """

    temperature_c: float | None = None
    clock_mhz: float | None = None
    clock_limit_mhz: float | None = None
    governor: str | None = None
    throttled: Throttled | None = None
    throttle_count: int | None = None
    watts: float | None = None
    fan_rpm: int | None = None
    load: float | None = None


def read_board(root: Path, vcgencmd: str) -> Readings:
    """Read everything once.

    Parameters
    ----------
    root : / on a real machine
    vcgencmd : the command's name or path; where it does not exist, its readings are None
    """
    sensors = find_sensors(root)
    clock = ask_clock(vcgencmd)
    throttled, alarm = ask_throttled(vcgencmd), sensors.throttled()
    if throttled is None:
        throttled = alarm
    elif alarm is not None:
        throttled = replace(throttled, now=tuple(dict.fromkeys([*throttled.now, *alarm.now])))
    return Readings(
        temperature_c=sensors.temperature_c(),
        clock_mhz=sensors.clock_mhz() if clock is None else clock,
        clock_limit_mhz=sensors.clock_limit_mhz(),
        governor=sensors.governor(),
        throttled=throttled,
        throttle_count=sensors.throttle_count(),
        watts=ask_watts(vcgencmd),
        fan_rpm=sensors.fan_rpm(),
        load=sensors.load(),
    )


@dataclass(frozen=True)
class Sensors:
    """The files that a board has; each is read anew at every call, some 20 µs."""

    temperatures: tuple[Path, ...]
    policies: tuple[Path, ...]
    under_voltage: Path | None
    fan: Path | None
    counter: Path
    loadavg: Path

    def temperature_c(self) -> float | None:
        found = [c for path in self.temperatures if (c := _number(path, 1000)) is not None]
        low, high = PLAUSIBLE_C
        return max((c for c in found if low < c < high), default=None)

    def clock_mhz(self) -> float | None:
        return self._fastest("scaling_cur_freq")

    def clock_limit_mhz(self) -> float | None:
        return self._fastest("cpuinfo_max_freq")

    def governor(self) -> str | None:
        names = {read_text(policy / "scaling_governor").strip() for policy in self.policies}
        return ", ".join(sorted(names - {""})) or None

    def throttled(self) -> Throttled | None:
        """Under-voltage alone, as of the last two seconds."""
        if self.under_voltage is None:
            return None
        alarm = read_text(self.under_voltage).strip()
        return None if alarm not in ("0", "1") else Throttled(tuple([FLAGS[0]] * int(alarm)), None)

    def throttle_count(self) -> int | None:
        count = _number(self.counter)
        return None if count is None else int(count)

    def fan_rpm(self) -> int | None:
        rounds = None if self.fan is None else _number(self.fan)
        return None if rounds is None else int(rounds)

    def load(self) -> float | None:
        """Processes that want a core, on average over a minute."""
        words = read_text(self.loadavg).split()
        try:
            return float(words[0])
        except (IndexError, ValueError):
            return None

    def _fastest(self, name: str) -> float | None:
        found = [mhz for policy in self.policies if (mhz := _number(policy / name, 1000))]
        return max(found, default=None)


def find_sensors(root: Path) -> Sensors:
    """Look once for the files that this board has."""
    chips = [
        (read_text(folder / "name").strip(), folder)
        for folder in _numbered(root / "sys/class/hwmon", "hwmon")
    ]
    cpu = root / "sys/devices/system/cpu"
    policies = _numbered(cpu / "cpufreq", "policy")
    return Sensors(
        temperatures=tuple(_temperatures(root, chips)),
        policies=tuple(policies[:MOST_POLICIES]),
        under_voltage=_first(chips, ("rpi_volt",), "in0_lcrit_alarm"),
        fan=_first(chips, ("pwmfan", "gpio_fan"), "fan1_input"),
        counter=cpu / "cpu0/thermal_throttle/package_throttle_count",
        loadavg=root / "proc/loadavg",
    )


def _temperatures(root: Path, chips: Sequence[tuple[str, Path]]) -> list[Path]:
    """The files of the best kind that gives a number."""
    zones = [
        (read_text(folder / "type").strip(), folder / "temp")
        for folder in _numbered(root / "sys/class/thermal", "thermal_zone")
    ]
    own, other = ([path for kind, path in zones if pattern.search(kind)] for pattern in ZONES)
    on_chips = [
        path
        for name, folder in chips
        if name in CHIPS
        for path in sorted(folder.glob("temp*_input"))
    ]
    for paths in (own, on_chips, other):
        readable = [path for path in paths if _number(path) is not None]
        if readable:
            return readable
    return []


def ask_throttled(vcgencmd: str) -> Throttled | None:
    found = re.fullmatch(r"throttled=0x([0-9a-f]+)", ask(vcgencmd, "get_throttled"), re.I)
    if found is None:
        return None
    bits = int(found[1], 16)
    return Throttled(
        now=tuple(name for bit, name in FLAGS.items() if bits >> bit & 1),
        since_boot=tuple(name for bit, name in FLAGS.items() if bits >> bit + SINCE_BOOT & 1),
    )


def ask_clock(vcgencmd: str) -> float | None:
    """The processor's clock in MHz as the firmware measures it."""
    found = re.fullmatch(r"frequency\(\d+\)=(\d+)", ask(vcgencmd, "measure_clock", "arm"))
    return int(found[1]) / 1e6 if found and int(found[1]) else None


def ask_watts(vcgencmd: str) -> float | None:
    """Volts times amperes, summed over the rails that tell both; a Pi 5 alone has them."""
    values: dict[str, dict[str, float]] = {"A": {}, "V": {}}
    for line in ask(vcgencmd, "pmic_read_adc").splitlines():
        found = re.fullmatch(
            r"(\S+)_([AV]) (?:current|volt)\(\d+\)=(\d+(?:\.\d+)?)\2", line.strip()
        )
        if found:
            values[found[2]][found[1]] = float(found[3])
    rails = values["A"].keys() & values["V"].keys()
    return sum(values["A"][r] * values["V"][r] for r in rails) if rails else None


def ask(vcgencmd: str, *words: str) -> str:
    """What the command prints; nothing where there is no such command or it fails."""
    try:
        done = subprocess.run(
            [vcgencmd, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_SECONDS,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""


def _numbered(folder: Path, prefix: str) -> list[Path]:
    """Folders prefix0, prefix1, … in the order of their numbers."""
    try:
        found = [p for p in folder.iterdir() if re.fullmatch(rf"{prefix}\d+", p.name)]
    except OSError:
        return []
    return sorted(found, key=lambda path: int(path.name[len(prefix) :]))


def _first(chips: Sequence[tuple[str, Path]], names: Sequence[str], file: str) -> Path | None:
    for name, folder in chips:
        if name in names and read_text(folder / file):
            return folder / file
    return None


def _number(path: Path, unit: float = 1) -> float | None:
    try:
        number = float(read_text(path)) / unit
    except ValueError:
        return None
    return number if math.isfinite(number) else None
