"""One model by two hosts on a switch of a known speed: network namespaces, made by root."""

import json
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import TINY, wait_for
from hosts import Network, hosts, namespaces, pids_in
from ranks import ends

from raspitrain.results.checkpoint import load_checkpoint

pytestmark = pytest.mark.boards

HOSTS = ("rpthost0", "rpthost1")
WORDS = (
    *(word for word in TINY if not word.startswith(("epochs", "dataset.num_cases"))),
    "dataset.num_cases=100", "batch_size=10", "export=none",
)  # fmt: skip


@pytest.fixture
def network() -> Iterator[Network]:
    with hosts(2) as made:
        yield made


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
    network.set_speed(940)
    words = [
        *WORDS, "epochs=60", "distributed.sync=every_step", "distributed.timeout_seconds=8",
        "checkpoint_minutes=0", "checkpoint_share=1", "hydra.run.dir=run", "resume=auto",
    ]  # fmt: skip
    ranks = start(tmp_path, *words)
    folder = tmp_path / HOSTS[0] / "run"
    assert wait_for((folder / "metrics.csv").exists)
    network.pull_cable(1)
    began = time.monotonic()
    ended = ends(ranks)
    assert [code for code, _ in ended] == [75, 75], ended
    assert time.monotonic() - began < 30
    assert all("has not answered for 8 s" in said for _, said in ended)
    stopped = load_checkpoint(folder / "last.pt")["step"]
    assert stopped > 0
    network.plug_in(1)
    resumed = ends(start(tmp_path, *words, torchrun=True))
    assert [code for code, _ in resumed] == [0, 0], resumed
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert [part["step"] for part in summary["resumed"]] == [stopped]
    assert summary["ranks"]["num_ranks"] == 2
    assert not list((tmp_path / HOSTS[1]).iterdir())  # rank 1 leaves nothing


def test_a_slow_network_is_told_before_training_with_what_it_would_cost(network, tmp_path):
    network.set_speed(20)
    ended = ends(start(tmp_path, *WORDS, "epochs=100"))
    assert [code for code, _ in ended] == [2, 2], ended
    assert "as fast as the fastest alone" in ended[0][1]
    assert "Mbit/s): train on one board" in ended[0][1]
    assert not list((tmp_path / HOSTS[0]).iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_benchmark_leaves_no_host_and_no_rank_behind(number):
    benchmark = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.ranks", "--steps", "100"], start_new_session=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert wait_for(lambda: len(namespaces()) == 3 and pids_in(HOSTS[1]))
    ranks = [pid for host in HOSTS for pid in pids_in(host)]
    with pytest.raises(RuntimeError, match="wait for its end"), hosts(1):
        pass
    benchmark.send_signal(number)
    code = benchmark.wait(30)
    if number == signal.SIGKILL:  # nobody could: the next one does
        assert len(namespaces()) == 3
        with hosts(1):
            assert len(namespaces()) == 2
    else:
        assert code == 128 + number
    assert namespaces() == []
    assert wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ranks), 5)


def test_shares_are_those_of_speeds_that_differ():
    from benchmarks.ranks import train

    args = Namespace(batch_size=50, mbit=940, steps=70)
    ranks = train([2.0, 4.8], "every_step", args)["ranks"]
    fast, slow = ranks["shares"]
    assert fast / slow == pytest.approx(2.4, rel=0.15)
    assert ranks["step_ms"] == pytest.approx(2.0 * 100 * fast, rel=0.2)
