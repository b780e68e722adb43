"""Sweeps over boards with a real sshd for each: make test-boards, as root (sshd.py)."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest
from conftest import wait_for
from same_sweep import JOBS, check_same, finish, rows, start
from sshd import Boards

pytestmark = pytest.mark.boards


@pytest.fixture
def boards(tmp_path):
    made = Boards(tmp_path)
    yield made
    made.close()


def test_figures_are_those_of_one_host_and_nothing_listens(tmp_path, boards, on_one_host):
    before = listeners()
    process = start(tmp_path, "sweep_name=over", *boards.words)
    assert wait_for(lambda: len(boards.jobs()) == 2)
    assert listeners() == before
    finish(process)
    check_same(tmp_path, on_one_host)
    assert {row["host"] for row in rows(tmp_path, "over")} == {"board_a", "board_b"}
    assert sorted(boards.ends()) == [f"seed={k}" for k in range(4)]
    for name in ("board_a", "board_b"):
        assert (boards.folder / name / "log").read_text().count("Accepted publickey") == 1


def listeners() -> set[int]:
    found = psutil.net_connections("tcp")
    return {c.laddr.port for c in found if c.status == psutil.CONN_LISTEN}


@pytest.mark.parametrize("seed", range(int(os.environ.get("RASPITRAIN_KILLS", "4"))))
@pytest.mark.parametrize("what", ["coordinator", "job", "connection", "board"])
def test_kill_9_at_any_moment(tmp_path, boards, on_one_host, what, seed):
    moment = random.Random(f"{what} {seed}").uniform(1, 20)
    process = start(tmp_path, "sweep_name=over", *boards.words)
    time.sleep(moment)
    if what == "coordinator":
        process.kill()
        process.wait()
        process = start(tmp_path, "sweep_name=over", *boards.words)
    elif what == "job":
        for job in boards.jobs()[:1]:
            job.kill()
    elif what == "connection":
        for one in boards.processes("board_a")[1:]:
            if "sshd" in one.name():
                one.kill()
    else:
        boards.power_cut("board_a")
        time.sleep(3)
        boards.start("board_a")
    finish(process)
    check_same(tmp_path, on_one_host)
    ends = boards.ends()
    assert sorted(ends) == sorted(set(ends)), f"{what} at {moment:.1f} s: run twice to its end"


def test_a_board_that_stays_away_costs_its_job_a_minute(tmp_path, boards, on_one_host):
    process = start(tmp_path, "sweep_name=over", *boards.words)
    assert wait_for(lambda: len(boards.jobs()) == 2)
    time.sleep(4)
    boards.power_cut("board_a")
    said = finish(process)
    assert "board_a does not answer" in said
    check_same(tmp_path, on_one_host)
    assert {row["host"] for row in rows(tmp_path, "over")} >= {"board_b"}


def test_a_cable_that_is_out_for_a_while(tmp_path, boards, on_one_host):
    """Nothing says that the connection has gone; the job there ends by itself, and is resumed."""
    # Longer than a lease, so that it is not done before.
    process = start(tmp_path, "sweep_name=over", *boards.words, "epochs=900", "seed=0,1")
    assert wait_for(lambda: len(boards.jobs()) == 2)
    time.sleep(5)
    daemons = [p for p in boards.processes("board_a") if "sshd" in p.name()]
    for one in daemons:
        one.suspend()
    cut = time.monotonic()
    assert wait_for(lambda: not boards.jobs("board_a"))
    assert time.monotonic() - cut < 50
    for one in daemons:
        one.resume()
    said = finish(process)
    assert "board_a has gone in mid-job" in said
    assert "board_a is back." in said
    assert sorted(boards.ends()) == ["seed=0", "seed=1"]


def test_ctrl_c_leaves_nothing_running_and_the_command_goes_on(tmp_path, boards, on_one_host):
    process = start(tmp_path, "sweep_name=over", *boards.words)
    assert wait_for(lambda: len(boards.jobs()) == 2)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 130, said
    assert "to resume: python -m raspitrain --multirun" in said
    assert boards.jobs() == []
    states = json.loads((tmp_path / "outputs/sweeps/over/jobs.json").read_text())["jobs"]
    assert "interrupted" in {job["status"] for job in states}
    finish(start(tmp_path, "sweep_name=over", *boards.words))
    check_same(tmp_path, on_one_host)
    assert sorted(boards.ends()) == [f"seed={k}" for k in range(4)]


def test_a_data_set_goes_over_once_and_not_again(tmp_path, boards):
    import numpy as np

    signals = np.random.default_rng(0).normal(size=(200, 2, 32)).astype(np.float32)
    np.savez(tmp_path / "cases.npz", data=signals, label=np.arange(200) % 2)
    words = ["dataset=npz", "dataset.path=cases.npz", "epochs=1", "seed=0,1"]
    jobs = [w for w in JOBS if not w.startswith(("dataset", "epochs", "seed"))]

    def sweep(name):
        done = subprocess.run(
            [sys.executable, "-m", "raspitrain", "--multirun", *jobs, *words, f"sweep_name={name}",
             *boards.words], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    sweep("first")
    kept = [
        next((boards.folder / name / ".cache/raspitrain/boards/data").glob("*/cases.npz"))
        for name in boards.daemons
    ]
    before = [path.stat() for path in kept]
    sweep("second")
    assert [path.stat().st_ino for path in kept] == [status.st_ino for status in before]
