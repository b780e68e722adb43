"""SLURM with two nodes, all on this machine and in a folder of its own; as root.

    slurm = Slurm("pi1", "pi2")
    subprocess.run(["salloc", "--nodes=2", …], env=os.environ | slurm.variables)

Needs Debian's slurmctld, slurmd, slurm-client and munge, whose daemons need not run.
"""

import os
import random
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psutil
from conftest import wait_for

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
MpiDefault=none
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """
    Attributes
    ----------
    variables : what its commands need in their environment
    """

    def __init__(self, *nodes: str) -> None:
        self.nodes = nodes
        # Not the test's own folder: a socket's path has room for a hundred letters.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.variables = {"SLURM_CONF": str(self.folder / "slurm.conf")}
        port = random.randrange(20_000, 50_000)
        host = os.uname().nodename.partition(".")[0]
        text = CONFIGURATION.format(host=host, port=port, folder=self.folder)
        for number, node in enumerate(nodes, start=1):
            (self.folder / node).mkdir()
            text += (
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port + number} "
                "CPUs=1\n"
            )
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "key").write_bytes(os.urandom(128))
        (self.folder / "key").chmod(0o600)
        own = {name: f"{self.folder}/munge.{name}" for name in ("socket", "pid", "log", "seed")}
        self._run(
            "munged", "--force", f"--key-file={self.folder}/key", f"--socket={own['socket']}",
            f"--pid-file={own['pid']}", f"--log-file={own['log']}", f"--seed-file={own['seed']}",
        )  # fmt: skip
        self._run("slurmctld", "-c")
        for node in nodes:
            self.start(node)
        assert wait_for(self.is_ready), (self.folder / "slurmctld.log").read_text()

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            words, env=os.environ | self.variables, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, node: str) -> None:
        self._run("slurmd", "-N", node)

    def is_ready(self) -> bool:
        return (
            self._run("sinfo", "--noheader", "--format=%t %D").strip() == f"idle {len(self.nodes)}"
        )

    def power_cut(self, node: str) -> None:
        """Kill a node's daemon and all that it has started, by their numbers."""
        daemon = psutil.Process(int((self.folder / f"{node}.pid").read_text()))
        for each in [daemon, *daemon.children(recursive=True), *self.steps(node)]:
            if each.is_running():
                each.kill()

    def steps(self, node: str) -> list[psutil.Process]:
        """What runs on a node; a step's keeper has no parent that knows it."""
        found = []
        for process in psutil.process_iter():
            try:
                environment = process.environ()
            except psutil.Error:
                continue
            is_ours = environment.get("SLURM_CONF") == self.variables["SLURM_CONF"]
            if is_ours and environment.get("SLURMD_NODENAME") == node:
                found.append(process)
        return found

    def close(self) -> None:
        for node in self.nodes:
            for each in self.steps(node):
                each.kill()
        for name in (*self.nodes, "slurmctld", "munge"):
            path = self.folder / f"{name}.pid"
            if path.exists() and psutil.pid_exists(number := int(path.read_text())):
                os.kill(number, signal.SIGTERM)
                assert wait_for(lambda number=number: not psutil.pid_exists(number))
        shutil.rmtree(self.folder)
