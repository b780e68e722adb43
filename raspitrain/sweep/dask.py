"""Dask's workers as places: who they are is asked of the scheduler, all the time, by one relay."""

import ipaddress
import json
import os
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar
from urllib.parse import urlsplit

from raspitrain.errors import InputError
from raspitrain.sweep.machine import Machine, last_line
from raspitrain.sweep.process import own_python

RELAY = "raspitrain.sweep.relay"
START_SECONDS = 90.0  # for Dask to be imported on a slow card and the scheduler to be asked


@dataclass(frozen=True)
class Worker(Machine):
    """A worker.

    Attributes
    ----------
    name : the host's address, and for its second worker #2 after it
    socket : the relay's
    """

    socket: str

    way: ClassVar[str] = "dask"

    def command(self, script: str) -> list[str]:
        return [*own_python(), "-m", RELAY, "run", self.socket, self.name, script]

    def job_command(self, script: str) -> list[str]:
        return [*self.command(script), "--job"]

    def close(self) -> None:
        """What all commands share is the relay's."""

    def why_unreached(self, said: str) -> tuple[str, bool]:
        last = last_line(said, "no reason is given")
        return f"{self.name} does not answer ({last}): look at its worker and the scheduler.", True


def check_address(address: str) -> None:
    """InputError: it is no scheduler's, or what is sent there could be read and changed."""
    try:
        parts = urlsplit(address)
        is_whole = bool(parts.hostname) and parts.port is not None
    except ValueError:
        is_whole = False
    if not is_whole or parts.scheme not in ("tls", "tcp") or parts.path:
        raise InputError(
            f"launcher.dask={address}: give the scheduler's address, such as tls://pi5a:8786."
        )
    if parts.scheme == "tcp" and not _is_this_machine(str(parts.hostname)):
        raise InputError(
            f"launcher.dask={address}: without TLS whoever is on the network may run anything on "
            f"the workers: use tls://{parts.netloc} (docs/boards.md), or tcp:// on 127.0.0.1 alone."
        )
    if find_spec("distributed") is None:
        raise InputError(
            "launcher.dask needs the package distributed: .venv/bin/pip install -c constraints.txt "
            "distributed."
        )


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Relay:
    """The process that is the scheduler's client, for as long as the sweep runs.

    Parameters
    ----------
    control : folder of this sweep's own, for its socket

    Raises
    ------
    InputError
        The scheduler does not answer, or has no workers.
    """

    def __init__(self, address: str, control: str) -> None:
        self.address, self.socket = address, os.path.join(control, "relay")
        self.places: dict[str, Mapping[str, Any]] = {}
        self.wrong: str | None = None
        self.heard = threading.Event()
        self._start()
        if not self.heard.wait(START_SECONDS):
            self.wrong = "the scheduler does not answer"
        if self.wrong is not None or not self.places:
            self.close()
        if self.wrong is not None:
            raise InputError(
                f"launcher.dask={address}: {self.wrong}: see that the address is right and that "
                "dask scheduler runs there."
            )
        if not self.places:
            raise InputError(
                f"launcher.dask={address}: the scheduler has no workers: start some, with dask "
                "worker and its address."
            )

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def restart(self) -> None:
        """After its end, as the scheduler's own; workers are known when it has answered."""
        with suppress(OSError):
            os.unlink(self.socket)
        self._start()

    def _start(self) -> None:
        # A session of its own: a Ctrl-C at the terminal is the jobs' business first.
        self.process = subprocess.Popen(
            [*own_python(), "-m", RELAY, "serve", self.address, self.socket],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._hear, args=(self.process,), daemon=True).start()

    def _hear(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said = json.loads(line)
            self.wrong, self.places = said.get("wrong"), said.get("places", {})
            self.heard.set()
        if not self.heard.is_set():
            self.wrong = "Dask cannot be used here: python -m distributed says why"
        self.places = {}
        self.heard.set()

    def close(self) -> None:
        """End it; what still runs at the workers ends by its lease."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
