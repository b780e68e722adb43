"""One model by two hosts on a switch of a known speed: network namespaces, made by root."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import TINY, wait_for
from ranks import ends

from raspitrain.results.checkpoint import load_checkpoint

pytestmark = pytest.mark.boards

SWITCH, HOSTS = "rptswitch", ("rpthost0", "rpthost1")
WORDS = (
    *(word for word in TINY if not word.startswith(("epochs", "dataset.num_cases"))),
    "dataset.num_cases=100", "batch_size=10", "export=none",
)  # fmt: skip


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def limit(namespace: str, device: str, megabits: int) -> None:
    shape = f"tbf rate {megabits}mbit burst 256kb latency 100ms"
    words = f"netns exec {namespace} tc qdisc replace dev {device} root {shape}"
    ip(*words.split())


@pytest.fixture
def network() -> Iterator[Callable[[int], None]]:
    """network(megabits) sets the speed of two hosts, 10.77.9.1 and 10.77.9.2, on a switch."""
    made = []
    try:
        for name in (SWITCH, *HOSTS):
            ip("netns", "add", name)
            made.append(name)
        ip("-n", SWITCH, "link", "add", "br0", "type", "bridge")
        ip("-n", SWITCH, "link", "set", "br0", "up")
        for number, host in enumerate(HOSTS):
            port = f"port{number}"
            pair = f"link add eth0 netns {host} type veth peer name {port} netns {SWITCH}"
            ip(*pair.split())
            ip("-n", host, "link", "set", "lo", "up")
            ip("-n", host, "addr", "add", f"10.77.9.{number + 1}/24", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")
            ip("-n", SWITCH, "link", "set", port, "master", "br0")
            ip("-n", SWITCH, "link", "set", port, "up")

        def at(megabits: int) -> None:
            for number, host in enumerate(HOSTS):
                limit(host, "eth0", megabits)
                limit(SWITCH, f"port{number}", megabits)

        yield at
    finally:
        for name in made:
            ip("netns", "del", name)


def start(folder: Path, *words: str, torchrun: bool = False) -> list[subprocess.Popen[str]]:
    """The command as a rank on each host, in a folder of its own."""
    meeting = {
        "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "10.77.9.1",
        "MASTER_PORT": "29500",
    }  # fmt: skip
    ranks = []
    for rank, host in enumerate(HOSTS):
        (folder / host).mkdir(exist_ok=True)
        command = ["ip", "netns", "exec", host, sys.executable]
        if torchrun:
            command += [
                "-m", "torch.distributed.run", "--nnodes=2", f"--node-rank={rank}",
                "--nproc-per-node=1", "--master-addr=10.77.9.1", "--master-port=29500",
            ]  # fmt: skip
        command += ["-m", "raspitrain", *words]
        ranks.append(
            subprocess.Popen(
                command,
                cwd=folder / host,
                env=os.environ | ({} if torchrun else meeting | {"RANK": str(rank)}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    return ranks


def test_a_cable_pulled_ends_both_and_the_same_command_goes_on(network, tmp_path):
    network(940)
    words = [
        *WORDS, "epochs=60", "distributed.sync=every_step", "distributed.timeout_seconds=8",
        "checkpoint_minutes=0", "checkpoint_share=1", "hydra.run.dir=run", "resume=auto",
    ]  # fmt: skip
    ranks = start(tmp_path, *words)
    folder = tmp_path / HOSTS[0] / "run"
    assert wait_for((folder / "metrics.csv").exists)
    ip("-n", SWITCH, "link", "set", "port1", "down")
    began = time.monotonic()
    ended = ends(ranks)
    assert [code for code, _ in ended] == [75, 75], ended
    assert time.monotonic() - began < 30
    assert all("has not answered for 8 s" in said for _, said in ended)
    stopped = load_checkpoint(folder / "last.pt")["step"]
    assert stopped > 0
    ip("-n", SWITCH, "link", "set", "port1", "up")
    resumed = ends(start(tmp_path, *words, torchrun=True))
    assert [code for code, _ in resumed] == [0, 0], resumed
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert [part["step"] for part in summary["resumed"]] == [stopped]
    assert summary["ranks"]["num_ranks"] == 2
    assert not list((tmp_path / HOSTS[1]).iterdir())  # rank 1 leaves nothing


def test_a_slow_network_is_told_before_training_with_what_it_would_cost(network, tmp_path):
    network(20)
    ended = ends(start(tmp_path, *WORDS, "epochs=100"))
    assert [code for code, _ in ended] == [2, 2], ended
    assert "as fast as the fastest alone" in ended[0][1]
    assert "Mbit/s): train on one board" in ended[0][1]
    assert not list((tmp_path / HOSTS[0]).iterdir())
