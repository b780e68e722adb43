"""environment.json: where a run was made, as far as it can explain its figures."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

import raspitrain

PACKAGES = ("torch", "numpy", "matplotlib", "hydra-core", "omegaconf", "aeon")
THREAD_VARIABLES = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "ATEN_", "BLIS_")
GIT_SECONDS = 3.0  # a huge repository on a slow card must not hold up a run
ROOT = Path("/")


def environment_record() -> dict[str, Any]:
    """Describe machine, system, versions, code and threads; quick, imports no heavy package.

    Returns
    -------
    dict
        Ready for `write_json`. None stands for what cannot be found out. Sizes are in MB of
        10^6 bytes. `torch` is None as long as torch has not been imported.
    """
    total, available = memory_mb()
    return {
        "machine": {
            "model": machine_model(),
            "architecture": platform.machine(),
            "cores_physical": psutil.cpu_count(logical=False),
            "cores_logical": os.cpu_count(),
            "cores_available": available_cores(),
            "memory_total_mb": total,
            "memory_available_mb": available,
        },
        "system": {"os": _os_name(), "kernel": f"{platform.system()} {platform.release()}"},
        "python": platform.python_version(),
        "versions": {"raspitrain": raspitrain.__version__} | {n: _version(n) for n in PACKAGES},
        "git": {
            "working_folder": git_state(Path.cwd()),
            "raspitrain": git_state(Path(raspitrain.__file__)),
        },
        "thread_variables": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(THREAD_VARIABLES)
        },
        "torch": _torch_threads(),
    }


def peak_memory_mb() -> float:
    """The most memory that this process has held so far, in MB of 10^6 bytes."""
    # Linux carries getrusage's figure over from the process that started this one, VmHWM it does
    # not.
    for line in _read(ROOT / "proc/self/status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def machine_model(root: Path = ROOT) -> str | None:
    """The board's name on a Raspberry Pi, the processor's elsewhere."""
    board = _read(root / "proc/device-tree/model").strip("\0\n ")
    if board:
        return board
    for line in _read(root / "proc/cpuinfo").splitlines():
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
    quotas = [float(allowed)]
    for folder in _cgroup_folders("cpu", root):
        quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
        if not quota:
            quota = _read(folder / "cpu.cfs_quota_us").strip()
            period = _read(folder / "cpu.cfs_period_us").strip()
        if quota.isdigit() and period.isdigit():  # "max" and -1 mean no limit
            quotas.append(int(quota) / int(period))
    return max(1, int(min(quotas)))


def memory_mb(root: Path = ROOT) -> tuple[float, float]:
    """Memory in total and still to be had, within the cgroup's limit; MB of 10^6 bytes."""
    machine = psutil.virtual_memory()
    totals, available = [machine.total], [machine.available]
    for folder in _cgroup_folders("memory", root):
        limit = (_read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")).strip()
        used = (_read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes")).strip()
        if not limit.isdigit() or not used.isdigit():
            continue
        # Pages of files that nobody has touched for a while are given back when asked for.
        reclaimable = 0
        for line in _read(folder / "memory.stat").splitlines():
            name, _, value = line.partition(" ")
            if name in ("inactive_file", "total_inactive_file"):
                reclaimable = int(value)
        totals.append(int(limit))
        available.append(max(0, int(limit) - int(used) + reclaimable))
    return min(totals) / 1e6, min(available) / 1e6


def git_state(path: Path) -> dict[str, Any] | None:
    """Commit of the repository that `path` belongs to, and whether tracked files have changed.

    None without git, without a repository, or where git does not answer in time. A file counts
    only if the repository tracks it: an installed package inside someone's project does not.
    """
    folder = path if path.is_dir() else path.parent
    if path != folder and _git(folder, "ls-files", "--error-unmatch", path.name) is None:
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    # No file system monitor: it would run what the repository's configuration says.
    command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *arguments]
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None


def _torch_threads() -> dict[str, Any] | None:
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    return {
        "num_threads": torch.get_num_threads(),
        "num_interop_threads": torch.get_num_interop_threads(),
        "parallel_info": torch.__config__.parallel_info().splitlines(),
    }


def _cgroup_folders(controller: str, root: Path) -> list[Path]:
    """This process's control group and those above it, for either version of cgroups."""
    folders = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
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


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
