"""A Dask scheduler and workers of this machine's own, each worker with a home folder.

cluster = DaskCluster(tmp_path, "a", "b", tls=True)
subprocess.run([...], env=os.environ | cluster.variables)
"""

import json
import os
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

    def __init__(self, folder: Path, *workers: str, tls: bool) -> None:
        self.folder = folder / "dask"
        self.folder.mkdir()
        self.processes: dict[str, subprocess.Popen] = {}
        self.tls = make_certificates(self.folder) if tls else {}
        self.variables = {
            f"DASK_DISTRIBUTED__COMM__TLS__{name}": path
            for name, path in (
                ("CA_FILE", self.tls.get("ca")),
                ("CLIENT__CERT", self.tls.get("cert")),
                ("CLIENT__KEY", self.tls.get("key")),
            )
            if path is not None
        }
        self.address = ""
        self.start_scheduler()
        for name in workers:
            FakeBoards.fill_cache(self.home(name))
            self.start(name)

    def home(self, name: str) -> Path:
        return self.folder / name

    def start_scheduler(self) -> None:
        file = self.folder / "scheduler.json"
        self._start("scheduler", "dask_scheduler", "--host", "127.0.0.1", "--port", "0",
                    "--protocol", "tls" if self.tls else "tcp", "--scheduler-file", str(file))  # fmt: skip
        assert wait_for(file.exists)
        self.address = json.loads(file.read_text())["address"]

    def start(self, name: str, *more: str, **variables: str) -> None:
        """Start a worker, anew perhaps."""
        home = self.home(name)
        self._start(
            name, "dask_worker", self.address, "--nthreads", "1", "--local-directory", str(home),
            *more, HOME=str(home), XDG_CACHE_HOME=str(home / ".cache"), **variables,
        )  # fmt: skip

    def _start(self, name: str, module: str, *words: str, **variables: str) -> None:
        flags = [word for key, path in self.tls.items() for word in (FLAGS[key], path)]
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *words, *flags, "--no-dashboard"],
                env=os.environ | variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

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


FLAGS = {"ca": "--tls-ca-file", "cert": "--tls-cert", "key": "--tls-key"}


def make_certificates(folder: Path) -> dict[str, str]:
    """An authority, and a certificate of its that scheduler, workers and client share."""
    for words in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=cluster -keyout ca.key -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=host -keyout key.pem -out host.csr",
        "x509 -req -in host.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out cert.pem",
    ):
        subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)
    return {name: str(folder / f"{name}.pem") for name in ("ca", "cert", "key")}
