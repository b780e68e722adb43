"""A Dask scheduler and workers of this machine's own, as docs/boards.md sets them up, with TLS.

Each worker has a home folder.

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
from board_home import fill_cache, jobs_ended, jobs_left, put_python
from conftest import wait_for


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
            fill_cache(home)
            (home / "sitecustomize.py").write_text(
                f"import sys; sys.executable = '{home}/python'\n"
            )
            put_python(home)
        path = os.pathsep.join(filter(None, [str(home), os.environ.get("PYTHONPATH")]))
        self._start(
            name, "dask worker", "--local-directory", str(home), until="Registered to:",
            HOME=str(home), XDG_CACHE_HOME=str(home / ".cache"), PYTHONPATH=path,
        )  # fmt: skip

    def ends(self) -> list[str]:
        return jobs_ended(self.folder)

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
        return jobs_left(self.home(name))

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
