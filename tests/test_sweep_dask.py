"""Sweeps at Dask's workers: with a real scheduler and workers, by make test-boards."""

import io
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import wait_for
from dask_cluster import DaskCluster, certify
from same_sweep import check_same, finish, rows, start
from test_sweep_boards import DONE
from test_sweep_jobs import LAUNCHER, make_jobs, recorded

from raspitrain.errors import InputError
from raspitrain.sweep.places import check_places
from raspitrain.sweep.record import SweepRecord
from raspitrain.sweep.sweep import SweepRun


@pytest.mark.boards
def test_the_jobs_of_a_sweep_go_to_a_worker(tmp_path):
    """By plain TCP, on this machine alone; the worker's Python is one that does jobs in no time."""
    (tmp_path / "worker").mkdir()
    python = tmp_path / "worker" / "python"
    python.write_text(
        f'#!/bin/sh\n[ "$3" = raspitrain.sweep.job ] && {{ cd "$4"; {DONE}; }}\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    (tmp_path / "cluster.py").write_text(
        f"""
import asyncio, sys
from distributed import Scheduler, Worker
async def cluster():
    async with Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
        async with Worker(scheduler.address, nthreads=1):
            sys.executable = {str(python)!r}
            print(scheduler.address, flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
asyncio.run(cluster())
"""
    )
    cluster = subprocess.Popen(
        [sys.executable, "cluster.py"], cwd=tmp_path, text=True,
        env=os.environ | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert cluster.stdout is not None
        address = cluster.stdout.readline().strip()
        folder = tmp_path / "sweep"
        with SweepRun(
            SweepRecord(folder, name=None, task="train", command=["python"], swept=["x"]),
            LAUNCHER | {"dask": address},
            stream=io.StringIO(),
        ) as sweep_run:
            sweep_run.run(make_jobs(folder, 2))
    finally:
        cluster.kill()
        cluster.wait()
    rows = recorded(folder)[1].values()
    assert [(row["status"], row["host"]) for row in rows] == [("completed", "127.0.0.1")] * 2
    assert not list(tmp_path.glob("cache/raspitrain/boards/jobs/*/*/*"))


@pytest.mark.parametrize(
    ("launcher", "says"),
    [
        ({"dask": "pi5a:8786"}, "give the scheduler's address, such as tls://pi5a:8786"),
        ({"dask": "tls://pi5a"}, "give the scheduler's address"),
        ({"dask": "http://pi5a:8786"}, "give the scheduler's address"),
        ({"dask": "tcp://192.168.1.5:8786"}, r"without TLS .* use tls://192\.168\.1\.5:8786"),
        ({"dask": "tcp://pi5a:8786"}, "without TLS whoever is on the network"),
        ({"dask": "tls://pi5a:8786", "boards": ["here"]}, "give one of them"),
    ],
)
def test_addresses_that_will_not_do(launcher, says):
    with pytest.raises(InputError, match=says):
        check_places(LAUNCHER | launcher)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """cluster("a", "b"); this process, and what it starts, are known to it."""
    made = []

    def make(*workers):
        made.append(DaskCluster(tmp_path, *workers))
        for name, value in made[-1].variables.items():
            monkeypatch.setenv(name, value)
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.boards
def test_figures_are_those_of_one_host_and_the_data_go_over_once(tmp_path, cluster, on_one_host):
    made = cluster("a", "b")
    assert made.address.startswith("tls://")
    process = start(tmp_path, "sweep_name=over", f"launcher.dask={made.address}")
    assert wait_for(lambda: len(made.jobs()) == 2)
    said = finish(process)
    check_same(tmp_path, on_one_host)
    assert {row["host"] for row in rows(tmp_path, "over")} == {"127.0.0.1", "127.0.0.1#2"}, said
    assert sorted(made.ends()) == [f"seed={k}" for k in range(4)]
    assert made.left("a") == made.left("b") == []


@pytest.mark.boards
@pytest.mark.parametrize("what", ["coordinator", "worker", "machine", "scheduler"])
def test_kill_9_at_any_moment(tmp_path, cluster, on_one_host, what):
    made = cluster("a", "b")
    words = ("sweep_name=over", f"launcher.dask={made.address}")
    moment = random.Random(os.environ.get("RASPITRAIN_SEED", what)).uniform(2, 15)
    process = start(tmp_path, *words)
    assert wait_for(made.jobs)
    time.sleep(moment)
    if what == "coordinator":
        process.kill()
        process.wait()
        process = start(tmp_path, *words)
    elif what == "worker":  # its nanny starts another
        for each in made.workers("a"):
            each.kill()
    elif what == "machine":
        made.power_cut("a")
        made.start("c")
    else:
        made.processes["scheduler"].kill()
        made.processes["scheduler"].wait()
        made.start_scheduler()
        for name in "ab":  # as systemd would: workers end with their scheduler
            made.power_cut(name)
            made.start(name)
    finish(process)
    check_same(tmp_path, on_one_host)
    ends = made.ends()
    assert sorted(ends) == sorted(set(ends)), f"{what} at {moment:.1f} s: run twice to its end"


@pytest.mark.boards
def test_what_ends_after_its_coordinator_is_not_run_again(tmp_path, cluster, on_one_host):
    """Two workers of one host, with homes of their own; a start later each may have the other's
    name."""
    made = cluster("a", "b")
    words = ("sweep_name=over", f"launcher.dask={made.address}")
    process = start(tmp_path, *words)
    assert wait_for(lambda: len(made.jobs()) == 2)
    process.kill()
    process.wait()
    assert wait_for(lambda: not made.jobs())  # done, or ended where they no longer hear anybody
    finish(start(tmp_path, *words))
    check_same(tmp_path, on_one_host)
    ends = made.ends()
    assert sorted(ends) == sorted(set(ends))
    assert made.left("a") == made.left("b") == []


@pytest.mark.boards
def test_ctrl_c_leaves_nothing_running(tmp_path, cluster):
    made = cluster("a")
    words = ("sweep_name=over", f"launcher.dask={made.address}", "seed=0,1")
    process = start(tmp_path, *words)
    assert wait_for(made.jobs)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 130, said
    assert wait_for(lambda: not made.jobs())
    finish(start(tmp_path, *words))
    assert sorted(made.ends()) == ["seed=0", "seed=1"]


@pytest.mark.boards
def test_a_worker_without_raspitrain_is_named(tmp_path, cluster):
    made = cluster()
    made.home("a").mkdir()
    (made.home("a") / "sitecustomize.py").write_text("import sys; sys.modules['raspitrain'] = None")
    made.start("a")
    process = start(tmp_path, "sweep_name=over", f"launcher.dask={made.address}")
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 1
    assert said.startswith("127.0.0.1 has no raspitrain for sweeps over Dask"), said
    assert "install this version in its environment" in said


def refused(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "raspitrain", "--multirun", "seed=0,1", *words],
        cwd=folder, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "outputs").exists()
    return done.stderr


@pytest.mark.boards
def test_a_cluster_that_will_not_do_is_one_sentence(tmp_path, cluster, monkeypatch):
    (tmp_path / "tried").mkdir()
    made = cluster()
    address = f"launcher.dask={made.address}"
    assert "the scheduler has no workers: start some" in refused(tmp_path / "tried", address)
    other = certify(tmp_path / "other")
    monkeypatch.setenv("DASK_CONFIG", other["DASK_CONFIG"])
    assert "the certificates do not fit" in refused(tmp_path / "tried", address)
    monkeypatch.delenv("DASK_CONFIG")
    assert "names no certificates for a client" in refused(tmp_path / "tried", address)
    made.close()
    assert "the scheduler does not answer" in refused(
        tmp_path / "tried", address.replace("tls", "tcp")
    )
