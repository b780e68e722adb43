"""Trees of files and a vcgencmd, as boards have them by their documentation (see readings.py).

    root = put_board(tmp_path, PI5)
    root = put_board(tmp_path, PI5 | {"temp": 81.2, "throttled": 0x80008})

None of these was recorded on a board by us.
"""

from pathlib import Path
from typing import Any

GB = 1 << 30
A76 = {"part": 0xD0B, "features": "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp"}
A72 = {"part": 0xD08, "features": "fp asimd evtstrm crc32 cpuid"}
A53 = {"part": 0xD03, "features": "fp asimd evtstrm crc32 cpuid"}

# volts and amperes of the rails; EXT5V and BATT tell volts alone. About 3.2 W, at work.
RAILS = {
    "3V7_WL_SW": (0.10, 3.7), "3V3_SYS": (0.11, 3.3), "1V8_SYS": (0.16, 1.8),
    "DDR_VDD2": (0.14, 1.1), "DDR_VDDQ": (0.01, 0.6), "1V1_SYS": (0.24, 1.1),
    "0V8_SW": (0.31, 0.8), "VDD_CORE": (1.43, 0.9), "HDMI": (0.02, 5.0),
}  # fmt: skip

PI: dict[str, Any] = {
    "cores": 4, "governor": "performance", "temp": 52.3, "zone": "cpu-thermal", "throttled": 0,
    "swaps": [("/dev/zram0", "partition")], "root_device": "/dev/mmcblk0p2", "alarm": 0,
}  # fmt: skip
PI5 = PI | A76 | {
    "model": "Raspberry Pi 5 Model B Rev 1.0", "memory": 8 * GB, "mhz": 2400, "rails": RAILS,
    "fan": 3300,
}  # fmt: skip
PI5_NO_FAN = PI5 | {"fan": None}
PI4 = PI | A72 | {"model": "Raspberry Pi 4 Model B Rev 1.4", "memory": 4 * GB, "mhz": 1800}
PI3 = PI | A53 | {"model": "Raspberry Pi 3 Model B Plus Rev 1.3", "memory": GB, "mhz": 1400}
ZERO2W = PI | A53 | {"model": "Raspberry Pi Zero 2 W Rev 1.0", "memory": GB // 2, "mhz": 1000}
LAPTOP: dict[str, Any] = {
    "cores": 8, "cpu": "11th Gen Intel(R) Core(TM) i5-1135G7 @ 2.40GHz", "memory": 16 * GB,
    "governor": "powersave", "driver": "intel_pstate", "mhz": 4200, "policies": 8, "temp": 61.0,
    "zone": "x86_pkg_temp", "throttle_count": 0, "root_device": "/dev/nvme0n1p2",
    "swaps": [("/dev/nvme0n1p3", "partition")],
}  # fmt: skip
# A container shows its host's processor and memory, and no sensors.
CONTAINER: dict[str, Any] = {
    "cores": 16, "cpu": "AMD EPYC 7B13", "memory": 64 * GB, "root_device": "overlay",
    "cgroup": {"cpu.max": "200000 100000", "memory.max": 4 * GB, "memory.current": GB},
}  # fmt: skip
NOTHING: dict[str, Any] = {}


def put_board(folder: Path, board: dict[str, Any]) -> Path:
    """Write the tree of `board` below folder/root and its command; returns folder/root."""
    root = folder / "root"
    for name, text in files_of(board).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    root.mkdir(parents=True, exist_ok=True)
    if "throttled" in board:
        put_vcgencmd(folder, board)
    return root


def vcgencmd_of(folder: Path) -> str:
    """The path of the board's vcgencmd, which may not exist."""
    return str(folder / "vcgencmd")


def put_vcgencmd(folder: Path, board: dict[str, Any]) -> None:
    rails = board.get("rails")
    adc = "".join(
        [f"{n + '_A':>12} current({k})={a:.8f}A\n" for k, (n, (a, _)) in enumerate(rails.items())]
        + [
            f"{n + '_V':>12} volt({k + 8})={v:.8f}V\n"
            for k, (n, (_, v)) in enumerate(rails.items())
        ]
        + ["     EXT5V_V volt(24)=5.11478000V\n", "      BATT_V volt(25)=0.01880340V\n"]
        if rails
        else ""
    )
    script = f"""#!/bin/sh
echo "$@" >> {folder}/asked
case "$1 $2" in
"get_throttled ") echo throttled=0x{board["throttled"]:x};;
"measure_clock arm") echo "frequency(0)={int(board.get("real_mhz", board["mhz"]) * 1e6 + 20480)}";;
"pmic_read_adc ") {f"cat <<'END'{chr(10)}{adc}END" if rails else not_known()}
;;
*) {not_known()};;
esac
"""
    partial = folder / "vcgencmd.partial"
    partial.write_text(script)
    partial.chmod(0o755)
    partial.rename(folder / "vcgencmd")


def not_known() -> str:
    return "echo 'error=1 error_msg=\"Command not registered\"'; exit 254"


def set_temperature(root: Path, celsius: float) -> None:
    """As the kernel does it: whoever reads sees the old number or the new one."""
    partial = root / "sys/class/thermal/temp.partial"
    partial.write_text(f"{round(celsius * 1000)}\n")
    partial.rename(root / "sys/class/thermal/thermal_zone0/temp")


def files_of(board: dict[str, Any]) -> dict[str, str]:
    """Path below the root → text."""
    files: dict[str, str] = {}
    if not board:
        return files
    if "model" in board:
        files["proc/device-tree/model"] = board["model"] + "\0"
    files["proc/cpuinfo"] = _cpuinfo(board)
    files["proc/loadavg"] = f"{board.get('load', 0.1):.2f} 0.10 0.05 1/180 4242\n"
    files["proc/meminfo"] = _meminfo(board)
    files["proc/swaps"] = "Filename\tType\tSize\tUsed\tPriority\n" + "".join(
        f"{name}\t{kind}\t524284\t0\t-2\n" for name, kind in board.get("swaps", [])
    )
    files["proc/mounts"] = (
        f"{board['root_device']} / ext4 rw,noatime 0 0\nproc /proc proc rw 0 0\n"
        "tmpfs /tmp tmpfs rw 0 0\n"
    )
    for name in board.get("etc", ()):
        files[f"etc/{name}"] = ""
    if "temp" in board:
        files["sys/class/thermal/thermal_zone0/type"] = board["zone"] + "\n"
        files["sys/class/thermal/thermal_zone0/temp"] = f"{round(board['temp'] * 1000)}\n"
    cpu = "sys/devices/system/cpu"
    if "governor" in board:
        for number in range(board.get("policies", 1)):
            policy = f"{cpu}/cpufreq/policy{number}"
            files[f"{policy}/scaling_governor"] = board["governor"] + "\n"
            files[f"{policy}/scaling_driver"] = board.get("driver", "cpufreq-dt") + "\n"
            files[f"{policy}/scaling_cur_freq"] = f"{board['mhz'] * 1000}\n"
            files[f"{policy}/cpuinfo_max_freq"] = f"{board['mhz'] * 1000}\n"
    if "throttle_count" in board:
        files[f"{cpu}/cpu0/thermal_throttle/package_throttle_count"] = (
            f"{board['throttle_count']}\n"
        )
    chips = []
    if board.get("alarm") is not None:
        chips.append(("rpi_volt", {"in0_lcrit_alarm": board["alarm"]}))
    if board.get("fan") is not None:
        chips.append(("pwmfan", {"fan1_input": board["fan"], "pwm1": 75}))
    for number, (name, values) in enumerate(chips):
        files[f"sys/class/hwmon/hwmon{number}/name"] = name + "\n"
        for file, value in values.items():
            files[f"sys/class/hwmon/hwmon{number}/{file}"] = f"{value}\n"
    if "cgroup" in board:
        files["proc/self/cgroup"] = "0::/\n"
        for file, value in board["cgroup"].items():
            files[f"sys/fs/cgroup/{file}"] = f"{value}\n"
    return files | board.get("files", {})


def _cpuinfo(board: dict[str, Any]) -> str:
    if "cpu" in board:
        return "".join(
            f"processor\t: {core}\nmodel name\t: {board['cpu']}\nflags\t\t: fpu sse2 avx2\n\n"
            for core in range(board["cores"])
        )
    cores = "".join(
        f"processor\t: {core}\nBogoMIPS\t: 108.00\nFeatures\t: {board['features']}\n"
        f"CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x4\n"
        f"CPU part\t: {board['part']:#05x}\nCPU revision\t: 1\n\n"
        for core in range(board["cores"])
    )
    return f"{cores}Revision\t: d04170\nSerial\t\t: 0\nModel\t\t: {board.get('model', '')}\n"


def _meminfo(board: dict[str, Any]) -> str:
    total = board["memory"] // 1024
    available = board.get("available", board["memory"] * 3 // 4) // 1024
    swap = 524284 * len(board.get("swaps", []))
    return (
        f"MemTotal: {total:>14} kB\nMemFree: {available // 2:>15} kB\n"
        f"MemAvailable: {available:>10} kB\nSwapTotal: {swap:>13} kB\nSwapFree: {swap:>14} kB\n"
    )
