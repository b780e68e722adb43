"""Boards with a real sshd each, as root, with Debian's openssh-server and rsync (RASPITRAIN_SSHD
names another sshd).

Each is an sshd on a port of its own of 127.0.0.1, in a mount namespace where root's home is another
folder. Everything lies in the test's folder; nothing of the machine's own ssh is touched.
"""

import os
import random
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from board_home import fill_cache, jobs_ended, put_python
from conftest import wait_for

SSHD = os.environ.get("RASPITRAIN_SSHD", "/usr/sbin/sshd")


class Boards:
    """Some of them, known to ssh as board_a and so on; each notes the jobs that run to their end.

    Attributes
    ----------
    words : what a command needs to reach them
    """

    def __init__(
        self, folder: Path, names: Sequence[str] = ("board_a", "board_b"), key: str = "launcher"
    ) -> None:
        assert os.geteuid() == 0, "must be run as root: mount namespaces are made"
        assert Path(SSHD).exists(), f"there is no {SSHD}: apt install openssh-server"
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen] = {}
        self._keygen(folder / "key")
        config = ""
        for name in names:
            home = folder / name
            (home / ".ssh").mkdir(parents=True)
            fill_cache(home)
            shutil.copy(folder / "key.pub", home / ".ssh" / "authorized_keys")
            self._keygen(home / "host_key")
            port = random.randrange(20_000, 60_000)
            (home / "sshd_config").write_text(
                f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host_key\nUsePAM no\n"
                f"PidFile {home}/sshd.pid\nStrictModes no\nPasswordAuthentication no\n"
                f"AuthorizedKeysFile {home}/.ssh/authorized_keys\n"
            )
            users = Path("/etc/passwd").read_text().splitlines()
            users = [line for line in users if not line.startswith(("root:", "sshd:"))]
            users += [f"root:x:0:0:root:{home}:/bin/sh", "sshd:x:100:65534::/run:/bin/false"]
            (home / "passwd").write_text("\n".join(users) + "\n")
            config += (
                f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User root\n"
                f"  IdentityFile {folder}/key\n  IdentitiesOnly yes\n"
                f"  UserKnownHostsFile {folder}/known\n  StrictHostKeyChecking accept-new\n"
            )
            put_python(home)
            self.start(name)
        (folder / "config").write_text(config)
        self.words = [
            f"{key}.boards=[{','.join(f'{name}:./python' for name in names)}]",
            f"{key}.ssh_config={folder}/config",
        ]

    def _keygen(self, path: Path) -> None:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)

    def start(self, name: str) -> None:
        home = self.folder / name
        script = (
            f"mount --make-rprivate / && mount --bind {home}/passwd /etc/passwd && "
            f"mount -t tmpfs none /run && mkdir /run/sshd && "
            f"exec {SSHD} -D -f {home}/sshd_config -E {home}/log"
        )
        self.daemons[name] = subprocess.Popen(["unshare", "-m", "sh", "-c", script])
        assert wait_for((home / "sshd.pid").exists)

    def power_cut(self, name: str) -> None:
        """Kill the daemon and all that it has started, and what that has started."""
        for process in self.processes(name):
            with suppress(psutil.NoSuchProcess):  # its end came first
                process.kill()
        self.daemons[name].wait()
        (self.folder / name / "sshd.pid").unlink()

    def processes(self, name: str) -> list[psutil.Process]:
        daemon = psutil.Process(self.daemons[name].pid)
        return [daemon, *daemon.children(recursive=True)]

    def jobs(self, *names: str) -> list[psutil.Process]:
        """Those that run now, on these boards or on all."""
        return [
            p for name in names or self.daemons if self.daemons[name].poll() is None
            for p in self.processes(name)
            if p.is_running() and "raspitrain.sweep.job" in " ".join(words_of(p))
            and "python" in words_of(p)[0] and "./python" not in " ".join(words_of(p)[:3])
        ]  # fmt: skip

    def ends(self) -> list[str]:
        return jobs_ended(self.folder)

    def close(self) -> None:
        for name, daemon in self.daemons.items():
            if daemon.poll() is None:
                self.power_cut(name)


def words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() or [""]
    except psutil.Error:
        return [""]
