"""What this machine is: its name, its cores, its memory, as the system's own files tell it.

Every reading takes a root folder, so that a test can put a tree of files there.
"""

import os
import platform
import re
import resource
from pathlib import Path

import psutil

ROOT = Path("/")


def machine_model(root: Path = ROOT) -> str | None:
    """The board's name on a Raspberry Pi, the processor's elsewhere."""
    board = read_text(root / "proc/device-tree/model").strip("\0\n ")
    if board:
        return board
    for line in read_text(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "Hardware"):
            return value.strip()
    return platform.processor() or None


def available_cores(root: Path = ROOT) -> int:
    """How many cores this process may keep busy: its affinity, and its cgroup's share of time."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        allowed = os.cpu_count() or 1
    if root != ROOT and (listed := read_text(root / "proc/cpuinfo").count("processor\t:")):
        allowed = listed
    quotas = [float(allowed)]
    for folder in _cgroup_folders("cpu", root):
        quota, _, period = read_text(folder / "cpu.max").strip().partition(" ")
        if not quota:
            quota = read_text(folder / "cpu.cfs_quota_us").strip()
            period = read_text(folder / "cpu.cfs_period_us").strip()
        if quota.isdigit() and period.isdigit():  # "max" and -1 mean no limit
            quotas.append(int(quota) / int(period))
    return max(1, int(min(quotas)))


def memory_mb(root: Path = ROOT) -> tuple[float, float]:
    """Memory in total and still to be had, within the cgroup's limit; MB of 10^6 bytes."""
    sizes = re.findall(
        r"^(MemTotal|MemAvailable):\s*(\d+) kB", read_text(root / "proc/meminfo"), re.M
    )
    machine = {name: 1024 * int(kb) for name, kb in sizes}
    if len(machine) < 2:
        asked = psutil.virtual_memory()
        machine = {"MemTotal": asked.total, "MemAvailable": asked.available}
    totals, available = [machine["MemTotal"]], [machine["MemAvailable"]]
    for folder in _cgroup_folders("memory", root):
        limit = (
            read_text(folder / "memory.max") or read_text(folder / "memory.limit_in_bytes")
        ).strip()
        used = (
            read_text(folder / "memory.current") or read_text(folder / "memory.usage_in_bytes")
        ).strip()
        if not limit.isdigit() or not used.isdigit():
            continue
        # Pages of files that nobody has touched for a while are given back when asked for.
        reclaimable = 0
        for line in read_text(folder / "memory.stat").splitlines():
            name, _, value = line.partition(" ")
            if name in ("inactive_file", "total_inactive_file"):
                reclaimable = int(value)
        totals.append(int(limit))
        available.append(max(0, int(limit) - int(used) + reclaimable))
    return min(totals) / 1e6, min(available) / 1e6


def available_memory(*, alone: bool = False) -> int:
    """The bytes that this process can still take, control groups and its own limits included.

    Parameters
    ----------
    alone : if no other program took any
    """
    total, available = memory_mb()
    free = int(total * 1e6) - status_bytes("VmRSS") if alone else int(available * 1e6)
    for limit, name in ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")):
        most = resource.getrlimit(limit)[0]
        if most != resource.RLIM_INFINITY:
            free = min(free, max(0, most - status_bytes(name)))
    return free


def status_bytes(name: str) -> int:
    """A size of this process, such as VmRSS, in bytes; 0 where the system does not tell."""
    for line in read_text(ROOT / "proc/self/status").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def _cgroup_folders(controller: str, root: Path) -> list[Path]:
    """This process's control group and those above it, for either version of cgroups."""
    folders = []
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            mount = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            mount = root / "sys/fs/cgroup" / controller
        else:
            continue
        # In a container the path may be the host's and exist nowhere; the mount always does.
        below = [part for part in path.split("/") if part not in ("", "..")]
        folders += [mount.joinpath(*below[:depth]) for depth in range(len(below) + 1)]
    return folders


def read_text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except (OSError, ValueError):  # ValueError: a name with a null in it
        return ""
