"""A Dask scheduler and workers of this machine's own, as docs/boards.md sets them up, with TLS.

Each worker has a home folder:


cluster = DaskCluster(tmp_path, "a", "b")
subprocess.run([...], env=os.environ | cluster.variables)
"""

import os
import random
import shlex
import subprocess
import sys
from pathlib import Path

import psutil
from conftest import wait_for
from fake_ssh import FakeBoards


class DaskCluster:
    """
    Attributes
    ----------
    address : the scheduler's
    variables : what a client needs in its environment
    """

    def __init__(self, folder: Path, *workers: str) -> None:
        self.folder = folder / "dask"
        self.processes: dict[str, subprocess.Popen] = {}
        self.port = random.randrange(20_000, 60_000)
        self.address = f"tls://127.0.0.1:{self.port}"
        self.variables = certify(self.folder)
        self.start_scheduler()
        for name in workers:
            self.start(name)

    def home(self, name: str) -> Path:
        return self.folder / name

    def start_scheduler(self) -> None:
        self._start("scheduler", "dask scheduler", until="Scheduler at:")

    def start(self, name: str) -> None:
        """Start a worker, anew perhaps; its Python notes the jobs that run to their end."""
        home = self.home(name)
        if not home.exists():
            FakeBoards.fill_cache(home)
            (home / "sitecustomize.py").write_text(
                f"import sys; sys.executable = '{home}/python'\n"
            )
            (home / "python").write_text(
                f'#!/bin/sh\n[ "$3" = raspitrain.sweep.job ] || exec {sys.executable} "$@"\n'
                f'{sys.executable} "$@"; code=$?\n'
                f'[ $code = 0 ] && basename "$4" >> {home}/ends\nexit $code\n'
            )
            (home / "python").chmod(0o755)
        path = os.pathsep.join(filter(None, [str(home), os.environ.get("PYTHONPATH")]))
        self._start(
            name, "dask worker", "--local-directory", str(home), until="Registered to:",
            HOME=str(home), XDG_CACHE_HOME=str(home / ".cache"), PYTHONPATH=path,
        )  # fmt: skip

    def ends(self) -> list[str]:
        return [line for path in self.folder.glob("*/ends") for line in path.read_text().split()]

    def jobs(self) -> list[psutil.Process]:
        """Those that run now, of this cluster's workers."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if "raspitrain.sweep.job" in words[:4] and str(self.folder) in words[4]:
                found += [process] if "python" in words[0] else []
        return found

    def workers(self, name: str) -> list[psutil.Process]:
        """The worker's own process, below its nanny."""
        nanny = psutil.Process(self.processes[name].pid)
        return [p for p in nanny.children() if "spawn_main" in " ".join(p.cmdline())]

    def _start(self, name: str, command: str, *more: str, until: str, **variables: str) -> None:
        """Start it, and wait until its log says so once more."""
        (line,) = (line for line in SECTION if f"bin/{command}" in line)
        line = line.replace("pi5a", "127.0.0.1").replace("8786", str(self.port))
        words = shlex.split(line.replace("--nthreads 4", "--nthreads 1"))[1:]
        path = self.folder / f"{name}.log"
        with open(path, "ab") as log:
            before = path.read_text().count(until)
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "dask", *words, "--no-dashboard", *more],
                env=os.environ | self.variables | variables,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        assert wait_for(lambda: path.read_text().count(until) > before)

    def power_cut(self, name: str) -> None:
        """Kill a worker and all that it has started, as far as it still belongs to it."""
        process = psutil.Process(self.processes[name].pid)
        for each in [process, *process.children(recursive=True)]:
            each.kill()
        self.processes[name].wait()

    def left(self, name: str) -> list[str]:
        """Jobs' folders that lie there."""
        jobs = self.home(name) / ".cache" / "raspitrain" / "boards" / "jobs"
        return sorted(str(path.relative_to(jobs)) for path in jobs.glob("*/*/*"))

    def close(self) -> None:
        for name, process in self.processes.items():
            if process.poll() is None:
                self.power_cut(name)


PAGE = Path(__file__).parents[1] / "docs" / "boards.md"
_, _, _rest = PAGE.read_text().partition("## At the workers of a Dask cluster\n")
SECTION = [line[4:] for line in _rest.partition("\n## ")[0].splitlines() if line[:4] == "    "]


def certify(folder: Path) -> dict[str, str]:
    """What the page says of certificates, done in a folder; the variables that point Dask there."""
    folder.mkdir()
    commands = [line for line in SECTION if line.startswith("openssl ")]
    assert len(commands) == 3
    for command in commands:
        subprocess.run(shlex.split(command), cwd=folder, check=True, capture_output=True)
    text = "\n".join(SECTION[SECTION.index("distributed:") :]).partition("\n.venv")[0]
    path = folder / "distributed.yaml"
    path.write_text(text.replace("/home/pi/.config/dask", str(folder)) + "\n")
    return {"DASK_CONFIG": str(path)}
