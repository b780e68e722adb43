"""Ctrl-C, SIGTERM and a dropped connection: what a run leaves, and how it ends."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from conftest import TINY
from processes import SlowCard, log_lines, start, wait_until

from raspitrain.results.checkpoint import load_checkpoint
from raspitrain.run.run import run
from raspitrain.stop import SAME_PRESS_SECONDS, Stopped, StopSignals

LONG = (*(t for t in TINY if not t.startswith("epochs=")), "epochs=200000", "hydra.run.dir=run")
COMMAND = [sys.executable, "-m", "raspitrain", *LONG]


def training(folder) -> bool:
    return log_lines(folder, "threads:") > 0


SIGHUP = pytest.param(signal.SIGHUP, marks=pytest.mark.long)  # there is a terminal's below


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, SIGHUP])
def test_a_signal_ends_a_run_with_all_it_has(tmp_path, number):
    process = start(*LONG, "eval_every=1", cwd=tmp_path)
    wait_until(lambda: (tmp_path / "run" / "metrics.csv").exists())
    began = time.monotonic()
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == 128 + number
    assert time.monotonic() - began < 30  # five seconds on a machine that does nothing else
    assert (tmp_path / "stderr.txt").read_text() == "interrupted\n"
    assert f"python -m raspitrain resume={tmp_path / 'run'}" in (
        (tmp_path / "stdout.txt").read_text()
    )
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert summary["reason"] == f"stopped by {signal.Signals(number).name}"
    assert (tmp_path / "run" / "accuracy.png").exists()
    state = load_checkpoint(tmp_path / "run" / "last.pt")
    assert state["step"] >= summary["final"]["step"] > 0


def test_a_second_ctrl_c_ends_it_at_once(tmp_path):
    """In the middle of what it writes after the first one; nothing is damaged by that."""
    process = start(*LONG, "eval_every=1", cwd=tmp_path, fault=SlowCard(0.1))
    wait_until(lambda: (tmp_path / "run" / "metrics.csv").exists())
    os.kill(process.pid, signal.SIGINT)
    time.sleep(SAME_PRESS_SECONDS + 0.05)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 130
    assert "Traceback" not in (tmp_path / "stderr.txt").read_text()
    assert not list((tmp_path / "run").glob(".partial*"))
    load_checkpoint(tmp_path / "run" / "last.pt")


def has_begun(process: int) -> bool:
    """Whether the first lines of ours have run: it catches SIGTERM."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
    return False


def imports_torch(process: int) -> bool:
    return "libtorch" in Path(f"/proc/{process}/maps").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, SIGHUP])
def test_before_there_is_anything_to_keep_nothing_is_left(tmp_path, number):
    """While Python starts, torch is imported and data are read; no trace, no folder."""
    ends = []
    for ready in (has_begun, imports_torch):
        process = subprocess.Popen(
            COMMAND, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_until(partial(ready, process.pid))
        os.kill(process.pid, number)
        stdout, stderr = process.communicate(timeout=60)
        if training(tmp_path / "run"):
            continue  # a quick machine
        ends.append((process.returncode, stdout, stderr))
        assert not (tmp_path / "run").exists()
    for returncode, stdout, stderr in ends:
        assert returncode == 128 + number
        assert stdout == ""
        assert stderr == "interrupted\n"


def test_a_terminal_that_is_gone_costs_the_run_nothing(tmp_path):
    """The hang-up of an SSH connection: its signal, and a terminal that takes no more."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "eval_every=1"],
        cwd=tmp_path, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    drain = threading.Thread(target=_drain, args=(leader, tmp_path / "run"), daemon=True)
    drain.start()
    drain.join(60)
    os.close(leader)
    os.kill(process.pid, signal.SIGHUP)
    assert process.wait(60) == 129
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "interrupted"


def _drain(descriptor, folder):
    while not (folder / "metrics.csv").exists():
        os.read(descriptor, 1000)


def test_what_is_ignored_stays_ignored(tmp_path):
    """nohup python -m raspitrain &"""
    process = subprocess.Popen(
        [*COMMAND[:-2], "epochs=30", "hydra.run.dir=run"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    wait_until(lambda: (tmp_path / "run" / "last.pt").exists())
    os.kill(process.pid, signal.SIGHUP)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")


def test_off_the_main_thread_no_signal_is_touched(compose, tmp_path):
    """A notebook's or a server's worker."""
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    found = []

    def work():
        summary = run(compose(*TINY), tmp_path / "run")
        found.append(summary["status"])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(120)
    assert found == ["completed"]
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_in_a_notebook_an_interrupt_is_one(compose, tmp_path):
    """In the main thread, Jupyter's stop button ends the cell with KeyboardInterrupt."""
    before = signal.getsignal(signal.SIGINT)
    timer = threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt, match="stopped by SIGINT"):
        run(compose(*LONG[:-1]), tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is before


def test_the_hidden_moment_between_two_presses():
    with StopSignals() as stop, stop.deferred():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # the same press, passed on by a parent
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(Stopped) as stopped:
            stop.check()
    assert stopped.value.exit_code == 130
    with StopSignals(), pytest.raises(Stopped):
        signal.raise_signal(signal.SIGTERM)


def test_an_evaluation_ends_between_its_batches(tmp_path):
    """A large validation part takes minutes on a small board."""
    words = [w for w in LONG if not w.startswith(("dataset.num_cases", "epochs"))]
    process = start(
        *words, "dataset.num_cases=30000", "split.train=0.001", "split.validation=0.9",
        "split.test=0.05", "epochs=50", "batch_size=1", "eval_every=1", cwd=tmp_path,
    )  # fmt: skip
    wait_until(lambda: training(tmp_path / "run"))
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGTERM)
    process.join(30)
    assert process.exitcode == 143
    state = load_checkpoint(tmp_path / "run" / "last.pt")
    assert state["training"]["position"]["step_in_epoch"] > 0
