"""What would hurt a run on this machine, each with what to do about it.

`gather` reads, `find` judges: nothing is read there, so that every fault can be planted in a test.
Remedies are those of Raspberry Pi OS (Debian 12 and 13).
"""

import os
import platform
import re
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from raspitrain.config.profile import recognise
from raspitrain.doctor.torch_build import TorchBuild
from raspitrain.hardware.board import ROOT, available_cores, machine_model, memory_mb, read_text
from raspitrain.hardware.load import cores_taken, read_load
from raspitrain.hardware.readings import Readings, ask_throttled, find_sensors, read_board
from raspitrain.hardware.threads import thread_variables

LOAD_SECONDS = 1.0
CARD_MAJOR = 179  # of SD cards' device numbers: kernel, Documentation/admin-guide/devices.txt
GOVERNORS = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
# These drivers' powersave goes up to the full clock as soon as there is work.
HARDWARE_DRIVEN = ("intel_pstate", "amd-pstate-epp")
ARM_TORCH = "torch>=2.8,<2.10"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OUR_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

NO_DESKTOP = (
    "End other programs, or start without a desktop.",
    ("sudo systemctl set-default multi-user.target && sudo reboot",),
)
UNDER_VOLTAGE = "under_voltage"
SUPPLY = ("Use the 12.5 W micro-USB supply (5.1 V, 2.5 A) and its own cable.", ())
SUPPLIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "raspberrypi5": (
        "Use the 27 W USB-C supply (5.1 V, 5 A) and its own cable, and unplug what draws much.",
        (),
    ),
    "raspberrypi4": ("Use the 15 W USB-C supply (5.1 V, 3 A) and its own cable.", ()),
}

WARNING, ERROR = "warning", "error"


@dataclass(frozen=True)
class Finding:
    """One thing that would hurt.

    Attributes
    ----------
    level : "warning", or "error" for what keeps raspitrain from working
    about : a short name, the same for the same kind of finding
    found : a sentence
    advice : what to do, in words; may be empty
    commands : what to do, to be pasted
    """

    level: str
    about: str
    found: str
    advice: str = ""
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Machine:
    """What is known of a machine; sizes in MB of 10^6 bytes."""

    model: str | None
    profile: str
    architecture: str
    is_64_bit: bool
    system: str | None
    cores: int
    cores_total: int
    has_atomics: bool | None
    memory_total_mb: float
    memory_available_mb: float
    swap_on_card: tuple[str, ...]
    swap_manager: str | None
    disk_folder: str
    disk_free_mb: float | None
    disk_writable: bool
    readings: Readings
    governor_driver: str | None
    firmware_silent: bool
    cores_taken: float | None
    busiest: tuple[tuple[str, float], ...]
    thread_variables: Mapping[str, str]
    has_nvidia_gpu: bool
    compiler: str | None


def gather(root: Path, vcgencmd: str, folder: Path, environment: Mapping[str, str]) -> Machine:
    """Read everything about the machine below `root`; takes LOAD_SECONDS."""
    load, busiest = _busy(root)
    total, available = memory_mb(root)
    readings = read_board(root, vcgencmd)
    cpuinfo = read_text(root / "proc/cpuinfo")
    is_arm = "CPU implementer" in cpuinfo
    features = re.search(r"^Features\s*:(.*)$", cpuinfo, re.M)
    free, writable = _disk(folder)
    command = shutil.which(vcgencmd)
    listed = len(re.findall(r"^processor\s*:", cpuinfo, re.M))
    return Machine(
        model=machine_model(root),
        profile=recognise(root),
        architecture=_architecture(root, is_arm),
        is_64_bit=sys.maxsize > 1 << 32,
        system=_system(root),
        cores=available_cores(root),
        cores_total=listed or os.cpu_count() or 1,
        has_atomics="atomics" in features[1].split() if is_arm and features else None,
        memory_total_mb=total,
        memory_available_mb=available,
        swap_on_card=_swap_on_card(root),
        swap_manager=_swap_manager(root),
        disk_folder=str(folder),
        disk_free_mb=free,
        disk_writable=writable,
        readings=readings,
        governor_driver=read_text(
            root / "sys/devices/system/cpu/cpufreq/policy0/scaling_driver"
        ).strip()
        or None,
        firmware_silent=command is not None and ask_throttled(vcgencmd) is None,
        cores_taken=load,
        busiest=busiest,
        thread_variables=_variables(environment),
        has_nvidia_gpu=(root / "proc/driver/nvidia/version").exists()
        or (root / "dev/nvidia0").exists(),
        compiler=shutil.which((environment.get("CC") or "cc").split()[0]),
    )


def find(machine: Machine, torch: TorchBuild) -> list[Finding]:
    """Judge; what keeps raspitrain from working comes first."""
    findings = [
        *_torch(machine, torch),
        *_memory(machine),
        *_disk_space(machine),
        *_power_and_heat(machine),
        *_speed(machine),
    ]
    return sorted(findings, key=lambda finding: finding.level != ERROR)


def _torch(machine: Machine, torch: TorchBuild) -> list[Finding]:
    is_arm = machine.architecture == "aarch64"
    install = _install(is_arm)
    if not machine.is_64_bit or machine.architecture.startswith("armv"):
        problem = "This is a 32-bit system, and there is no torch for those."
        advice = "Write Raspberry Pi OS (64-bit) to the card with Raspberry Pi Imager."
        return [Finding(ERROR, "32-bit system", problem, advice)]
    if not torch.installed and torch.failure:
        return [Finding(ERROR, "no Python", f"{torch.failure}.", "Give another --python.")]
    if not torch.installed:
        return [Finding(ERROR, "no torch", "torch is not installed.", "", (install,))]
    name = f"torch {torch.version}"
    findings = []
    if torch.failure == "illegal instruction":
        why = "this processor does not have all the instructions that its wheel uses"
        if machine.has_atomics is False:
            why = "its wheel uses atomic instructions (LSE) that this processor does not have"
        problem = f"{name} dies of an illegal instruction: {why}."
        commands = _another(torch.version, is_arm)
        findings.append(Finding(ERROR, "illegal instruction", problem, "", commands))
    elif torch.failure == "out of memory":
        problem = f"{name} was killed while it loaded: memory ran out."
        findings.append(Finding(ERROR, "torch does not load", problem, *NO_DESKTOP))
    elif torch.failure == "too slow":
        problem = f"{name} took longer than {torch.seconds or 0:.0f} s to load."
        advice = "Look for a busy or failing card."
        findings.append(
            Finding(WARNING, "torch does not load", problem, advice, ("sudo dmesg | grep mmc",))
        )
    elif torch.failure:
        problem = f"{name} cannot be imported: {torch.failure}"
        commands = ("python -m pip uninstall -y torch", install)
        findings.append(Finding(ERROR, "torch does not load", problem, "", commands))
    if torch.cuda and not machine.has_nvidia_gpu:
        size = f" and takes {torch.gpu_packages_mb:.0f} MB more" if torch.gpu_packages_mb else ""
        problem = f"{name} is built for CUDA {torch.cuda}{size}; there is no NVIDIA GPU here."
        commands = (
            "python -m pip uninstall -y torch $(python -m pip freeze | grep -oE "
            "'^(nvidia|cuda|triton)[^=]*')",
            install,
        )
        findings.append(Finding(WARNING, "CUDA build", problem, "", commands))
    if torch.version and _release(torch.version) < (2, 8):
        problem = f"{name} is older than 2.8."
        findings.append(Finding(ERROR, "old torch", problem, "", (install,)))
    return findings


def _memory(machine: Machine) -> list[Finding]:
    findings = []
    free, total = machine.memory_available_mb, machine.memory_total_mb
    if free < 350:
        level = ERROR if free < 200 else WARNING
        problem = (
            f"{free:.0f} of {total:.0f} MB of memory are free; torch and a small run take about "
            "300."
        )
        findings.append(Finding(level, "little memory", problem, *NO_DESKTOP))
    if machine.swap_on_card:
        names = " ".join(map(shlex.quote, machine.swap_on_card))
        files = [name for name in machine.swap_on_card if not name.startswith("/dev/")]
        managed = files if machine.swap_manager is not None else []
        by_hand = [shlex.quote(name) for name in machine.swap_on_card if name not in managed]
        problem = (
            f"{names} swaps to the SD card: it wears the card, and a run that swaps stands still."
        )
        advice = ""
        commands: tuple[str, ...] = ()
        if by_hand:
            advice = f"Remove {' '.join(by_hand)} from /etc/fstab as well."
            commands += (f"sudo swapoff {' '.join(by_hand)}",)
        if managed and machine.swap_manager == "rpi-swap":
            commands += (
                "sudo mkdir -p /etc/rpi/swap.conf.d",
                "printf '[Main]\\nMechanism=zram\\n' | sudo tee /etc/rpi/swap.conf.d/90-zram.conf",
                "sudo reboot",
            )
        elif managed:
            commands += (
                "sudo dphys-swapfile swapoff && sudo systemctl disable --now dphys-swapfile",
                "sudo apt install -y zram-tools",
            )
        findings.append(Finding(WARNING, "swap on the card", problem, advice, commands))
    return findings


def _disk_space(machine: Machine) -> list[Finding]:
    if not machine.disk_writable:
        problem = f"{machine.disk_folder} cannot be written."
        advice = "Change to a folder of your own; a card that fails turns read-only."
        return [Finding(ERROR, "disk", problem, advice, ("sudo dmesg | grep -iE 'mmc|ext4'",))]
    free = machine.disk_free_mb
    if free is None or free >= 1000:
        return []
    problem = f"{free:.0f} MB are free in {machine.disk_folder}; a run takes 1 to 100."
    commands = ("sudo apt clean", "sudo journalctl --vacuum-size=50M", "du -hx ~ | sort -h | tail")
    return [Finding(ERROR if free < 50 else WARNING, "disk", problem, "", commands)]


def _power_and_heat(machine: Machine) -> list[Finding]:
    findings = []
    readings = machine.readings
    is_pi = "Raspberry Pi" in (machine.model or "")
    now = set(readings.throttled.now) if readings.throttled else set()
    since_boot = set((readings.throttled and readings.throttled.since_boot) or ())
    for flags, is_now in ((now, True), (since_boot - now, False)):
        when = "now" if is_now else "since"
        if UNDER_VOLTAGE in flags:
            problem = "The supply's voltage is too low."
            if not is_now:
                problem = "The supply's voltage was too low at some moment since the start."
            advice, commands = SUPPLIES.get(machine.profile, SUPPLY)
            findings.append(Finding(WARNING, f"under-voltage {when}", problem, advice, commands))
        slowed = ", ".join(sorted(f.replace("_", " ") for f in flags - {UNDER_VOLTAGE}))
        if slowed:
            reason = "by heat or a weak supply" if UNDER_VOLTAGE in now | since_boot else "by heat"
            problem = f"The board is slowed down {reason} ({slowed}): timings do not count."
            if not is_now:
                problem = (
                    f"The board was slowed down {reason} at some moment since the start ({slowed})."
                )
            findings.append(Finding(WARNING, f"throttled {when}", problem, "See to its cooling."))
    findings += _heat(readings, is_pi)
    if is_pi and machine.firmware_silent:
        problem = "vcgencmd is there and gives no answer: throttling and power stay unknown."
        advice = (
            "If it hangs, start the board anew; if it says that it may not open a device, run this "
            "and log in again:"
        )
        commands = ("sudo usermod -aG video $USER",)
        findings.append(Finding(WARNING, "vcgencmd", problem, advice, commands))
    return findings


def _heat(readings: Readings, is_pi: bool) -> list[Finding]:
    temperature = readings.temperature_c
    if temperature is None:
        return []
    limit = 80.0 if is_pi else 90.0
    problem = f"The processor is at {temperature:.0f} °C before the work has begun"
    if temperature >= limit - 10:
        problem = f"{problem}; it slows itself down from {limit:.0f}."
        return [Finding(WARNING, "hot", problem, "See to its cooling, and wait until it is cold.")]
    if is_pi and readings.fan_rpm is None and temperature >= 60:
        problem = f"{problem}, and the kernel knows of no fan."
        advice = (
            "Fit a fan or a heat sink (Pi 5: the Active Cooler), or let a run pause in time with "
            "hardware.thermal.pause_above_c=78."
        )
        return [Finding(WARNING, "no fan", problem, advice)]
    return []


def _speed(machine: Machine) -> list[Finding]:
    findings = []
    governor = machine.readings.governor
    if governor not in (None, "performance") and machine.governor_driver not in HARDWARE_DRIVEN:
        problem = (
            f"The clock's governor is {governor}: between steps it falls, and timings scatter."
        )
        commands = (f"echo performance | sudo tee {GOVERNORS}",)
        findings.append(Finding(WARNING, "governor", problem, "Until the next start:", commands))
    taken = machine.cores_taken
    if taken is not None and taken > 0.25:
        who = ", ".join(f"{name} {share:.1f}" for name, share in machine.busiest)
        problem = f"Other processes keep {taken:.1f} of {machine.cores} cores busy"
        advice = "End them, or let hardware.num_threads=auto find what is left."
        problem += f" ({who})." if who else "."
        findings.append(Finding(WARNING, "busy", problem, advice, ("top",)))
    if machine.thread_variables:
        shown = " ".join(f"{k}={v}" for k, v in machine.thread_variables.items())
        problem = f"The environment sets {shown}: it overrules what raspitrain would choose."
        commands = (f"unset {' '.join(machine.thread_variables)}",)
        findings.append(Finding(WARNING, "thread variables", problem, "", commands))
    if machine.compiler is None:
        problem = (
            "There is no C compiler: the fast kernels cannot be made, and training takes several "
            "times as long."
        )
        commands = ("sudo apt install -y gcc libc6-dev",)
        findings.append(Finding(WARNING, "no compiler", problem, "", commands))
    return findings


def _install(is_arm: bool, unlike: str = "") -> str:
    """The command for a torch that works here, but not the version that `unlike` excludes."""
    if is_arm:
        wish = ",".join(filter(None, [ARM_TORCH, unlike]))
        return f"python -m pip install {shlex.quote(wish)}"
    return f"python -m pip install {shlex.quote('torch' + unlike)} --index-url {CPU_INDEX}"


def _another(version: str | None, is_arm: bool) -> tuple[str, ...]:
    """Commands for another version than this one, which pip would keep if it fitted the wish."""
    if version is None or (is_arm and not (2, 8) <= _release(version) < (2, 10)):
        return (_install(is_arm),)
    unlike = f"!={version.partition('+')[0]}"
    return ("python -m pip uninstall -y torch", _install(is_arm, unlike))


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    counts = {name: environment[name] for name in OUR_THREADS if environment.get(name)}
    return counts | thread_variables(environment)


def _architecture(root: Path, is_arm: bool) -> str:
    if root == ROOT:
        return platform.machine()
    return "aarch64" if is_arm else "x86_64"


def _system(root: Path) -> str | None:
    for name in ("etc/os-release", "usr/lib/os-release"):
        if found := re.search(r'^PRETTY_NAME="?([^"\n]*)', read_text(root / name), re.M):
            return found[1]
    return None


def _busy(root: Path) -> tuple[float | None, tuple[tuple[str, float], ...]]:
    """Cores that others keep busy, and the busiest of them, each in cores."""
    if root != ROOT:
        return find_sensors(root).load(), ()
    before, earlier = read_load(), _processor_times()
    time.sleep(LOAD_SECONDS)
    after, later = read_load(), _processor_times()
    if before is None or after is None:
        return None, ()
    seconds = after.clock - before.clock
    shares = [
        (name, (spent - earlier[key][1]) / seconds)
        for key, (name, spent) in later.items()
        if key in earlier
    ]
    busiest = sorted((s for s in shares if s[1] >= 0.1), key=lambda s: -s[1])[:3]
    return cores_taken(before, after), tuple(busiest)


def _processor_times() -> dict[int, tuple[str, float]]:
    """Processor seconds of every process but this one; nothing where /proc is hidden."""
    times_of = {}
    try:
        for process in psutil.process_iter(["name", "cpu_times"]):
            times = process.info["cpu_times"]
            if times is not None and process.pid != os.getpid():
                times_of[process.pid] = (process.info["name"] or "?", times.user + times.system)
    except (OSError, LookupError, RuntimeError, psutil.Error):
        return {}
    return times_of


def _disk(folder: Path) -> tuple[float | None, bool]:
    """Free space where a run would write, and whether it may."""
    existing = next((f for f in (folder, *folder.parents) if f.exists()), Path("/"))
    try:
        free: float | None = shutil.disk_usage(existing).free / 1e6
    except OSError:
        free = None
    return free, os.access(existing, os.W_OK)


def _swap_on_card(root: Path) -> tuple[str, ...]:
    """Swap files and partitions that lie on an SD card, without the compressed ones in memory."""
    lines = read_text(root / "proc/swaps").splitlines()[1:]
    names = [line.split()[0].replace("\\040", " ") for line in lines if line]
    mounts = [line.split()[:2] for line in read_text(root / "proc/mounts").splitlines() if line]
    on_card = []
    for name in names:
        device = name
        if not name.startswith("/dev/"):
            holds = [(point, d) for d, point in mounts if name.startswith(point.rstrip("/") + "/")]
            device = max(holds, key=lambda hold: len(hold[0]), default=("", ""))[1]
        if device.startswith("/dev/mmcblk") or (device == "/dev/root" and _root_is_card(root)):
            on_card.append(name)
    return tuple(on_card)


def _root_is_card(root: Path) -> bool:
    """Of a root that has no other name: whether its number is that of a card."""
    mounts = [line.split() for line in read_text(root / "proc/self/mountinfo").splitlines()]
    return any(m[4] == "/" and m[2].startswith(f"{CARD_MAJOR}:") for m in mounts if len(m) > 4)


def _swap_manager(root: Path) -> str | None:
    if (root / "etc/rpi/swap.conf").exists():
        return "rpi-swap"
    return "dphys-swapfile" if (root / "etc/dphys-swapfile").exists() else None
