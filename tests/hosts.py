"""Hosts on a switch of a known speed: network namespaces, made by root.

with hosts(4) as network:
    network.set_speed(940)
    subprocess.run([*network.inside(0), "hostname"])

Whatever runs in them ends with the block. What a process leaves that was killed is removed by the
next one; two at a time are refused.
"""

import fcntl
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SWITCH, HOST = "rptswitch", "rpthost"
LOCK = Path("/run/lock/raspitrain-hosts")


@dataclass(frozen=True)
class Network:
    """Attributes
    ----------
    names : of the hosts; the first has the address 10.77.9.1
    """

    names: tuple[str, ...]

    def address(self, number: int) -> str:
        return f"10.77.9.{number + 1}"

    def inside(self, number: int) -> list[str]:
        """Words before a command that is to run there."""
        return ["ip", "netns", "exec", self.names[number]]

    def set_speed(self, megabits: int) -> None:
        """A second, both ways, of every host."""
        for number, name in enumerate(self.names):
            _limit(name, "eth0", megabits)
            _limit(SWITCH, f"port{number}", megabits)

    def pull_cable(self, number: int) -> None:
        ip("-n", SWITCH, "link", "set", f"port{number}", "down")

    def plug_in(self, number: int) -> None:
        ip("-n", SWITCH, "link", "set", f"port{number}", "up")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _limit(namespace: str, device: str, megabits: int) -> None:
    shape = f"tbf rate {megabits}mbit burst 256kb latency 100ms"
    words = f"netns exec {namespace} tc qdisc replace dev {device} root {shape}"
    ip(*words.split())


@contextmanager
def hosts(number: int) -> Iterator[Network]:
    network = Network(tuple(f"{HOST}{k}" for k in range(number)))
    with _alone():
        try:
            _clear()
            _make(network)
            yield network
        finally:
            _clear()


def _make(network: Network) -> None:
    for name in (SWITCH, *network.names):
        ip("netns", "add", name)
    ip("-n", SWITCH, "link", "add", "br0", "type", "bridge")
    ip("-n", SWITCH, "link", "set", "br0", "up")
    for k, host in enumerate(network.names):
        port = f"port{k}"
        pair = f"link add eth0 netns {host} type veth peer name {port} netns {SWITCH}"
        ip(*pair.split())
        ip("-n", host, "link", "set", "lo", "up")
        ip("-n", host, "addr", "add", f"{network.address(k)}/24", "dev", "eth0")
        ip("-n", host, "link", "set", "eth0", "up")
        ip("-n", SWITCH, "link", "set", port, "master", "br0")
        ip("-n", SWITCH, "link", "set", port, "up")


@contextmanager
def _alone() -> Iterator[None]:
    """The names are the machine's: the lock goes with its process, however that ends."""
    LOCK.parent.mkdir(exist_ok=True)
    with open(LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError("another process has made such hosts: wait for its end") from error
        yield


def _clear() -> None:
    """Remove them all, whoever made them, and end what runs inside."""
    for name in namespaces():
        for pid in pids_in(name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", name])  # the others, too, where one cannot be


def namespaces() -> list[str]:
    """Those of hosts that there are now."""
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True)
    return re.findall(rf"^({SWITCH}|{HOST}\d+)\b", listed.stdout, re.M)


def pids_in(name: str) -> list[int]:
    inside = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
    return [int(pid) for pid in inside.stdout.split()]
