"""environment.json: where a run was made, as far as it can explain its figures."""

import functools
import os
import platform
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

import raspitrain
from raspitrain.hardware.board import available_cores, machine_model, memory_mb, status_bytes

PACKAGES = ("torch", "numpy", "matplotlib", "hydra-core", "omegaconf", "aeon")
THREAD_VARIABLES = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "ATEN_", "BLIS_")
GIT_SECONDS = 3.0  # a huge repository on a slow card must not hold up a run


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
        "command": list(sys.argv),
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
        "torch": torch_record(),
    }


def peak_memory_mb() -> float:
    """The most memory that this process has held so far, in MB of 10^6 bytes."""
    # Linux carries getrusage's figure over from the process that started this one, VmHWM it does
    # not.
    if most := status_bytes("VmHWM"):
        return most / 1e6
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def git_state(path: Path) -> dict[str, Any] | None:
    """Commit of the repository that `path` belongs to, and whether tracked files have changed.

    None without git, without a repository, or where git does not answer in time. A file counts
    only if the repository tracks it: an installed package inside someone's project does not.

    A repository may come from a stranger, and its own configuration names programs: filters,
    monitors, hooks, remotes to fetch what is missing. So it is only asked where things are; all
    else is asked of a repository of a moment, with the same objects and no configuration.
    """
    folder = path if path.is_dir() else path.parent
    asked = ("--show-toplevel", "--git-common-dir", "--git-path", "index", "HEAD")
    lines = (_git(folder, "rev-parse", *asked) or "").splitlines()
    if len(lines) != 4:
        return None
    top, common, index, commit = lines
    with tempfile.TemporaryDirectory() as own:
        _copy_of_repository(Path(own), (folder / common).resolve(), commit)
        variables = {
            "GIT_DIR": own,
            "GIT_WORK_TREE": top,
            "GIT_INDEX_FILE": str((folder / index).resolve()),
        }
        if path != folder and not _git(folder, "ls-files", "--", path.name, **variables):
            return None
        changes = _git(
            folder, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all",
            **variables,
        )  # fmt: skip
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _copy_of_repository(own: Path, repository: Path, commit: str) -> None:
    """A repository whose HEAD is `commit`, with another's objects and nothing else of it."""
    (own / "refs").mkdir()
    (own / "objects/info").mkdir(parents=True)
    (own / "objects/info/alternates").write_text(f"{repository / 'objects'}\n")
    (own / "HEAD").write_text(f"{commit}\n")
    sha256 = len(commit) == 64
    extension = "[extensions]\n\tobjectformat = sha256\n" if sha256 else ""
    (own / "config").write_text(
        f"[core]\n\trepositoryformatversion = {int(sha256)}\n\tbare = false\n{extension}"
    )


def _git(folder: Path, *arguments: str, **variables: str) -> str | None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environment |= {
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
    }
    if variables:
        # Not the user's own settings either: a file of the repository says which of them apply.
        environment |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, **variables}
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None


def torch_record() -> dict[str, Any] | None:
    """The threads that torch uses at this moment; None as long as it has not been imported."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    return {
        "num_threads": torch.get_num_threads(),
        "num_interop_threads": torch.get_num_interop_threads(),
        "parallel_info": torch.__config__.parallel_info().splitlines(),
    }


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()


@functools.cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
