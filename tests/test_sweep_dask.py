"""Sweeps at Dask's workers: a real scheduler and workers. Those that take long: make test-boards."""

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import wait_for
from dask_cluster import DaskCluster, make_certificates
from test_sweep_boards import DONE
from test_sweep_boards_sshd import JOBS, SAME
from test_sweep_jobs import LAUNCHER, make_jobs, recorded

from raspitrain.errors import InputError
from raspitrain.sweep import places
from raspitrain.sweep.places import check_places
from raspitrain.sweep.record import SweepRecord
from raspitrain.sweep.sweep import SweepRun


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
