"""A Dask scheduler and workers of this machine's own, each worker with a home folder.

cluster = DaskCluster(tmp_path, "a", "b", tls=True)
subprocess.run([...], env=os.environ | cluster.variables)
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

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
            self.start(name)

    def home(self, name: str) -> Path:
        return self.folder / name

    def start_scheduler(self) -> None:
        file = self.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        self._start(
            "scheduler", "dask_scheduler", "--no-dashboard", "--host", "127.0.0.1",
            "--scheduler-file", str(file),
            "--protocol", "tls" if self.tls else "tcp",
            "--port", str(urlsplit(self.address).port or 0),  # started anew, it is where it was
        )  # fmt: skip
        assert wait_for(lambda: file.exists() and file.read_text().endswith("}"))
        self.address = json.loads(file.read_text())["address"]

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
            name, "dask_worker", self.address, "--no-dashboard", "--nthreads", "1",
            "--local-directory", str(home),
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

    def _start(self, name: str, module: str, *words: str, **variables: str) -> None:
        flags = [word for key, path in self.tls.items() for word in (FLAGS[key], path)]
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *words, *flags],
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
