"""The thermal guard: pauses that change nothing, threads that are dropped."""

import json
import logging
import os
import signal
import threading
import time

import pytest
import torch
from boards import PI5, put_board, set_temperature, vcgencmd_of
from conftest import PATIENCE, TINY, wait_for
from omegaconf import OmegaConf
from processes import log_lines, start

from raspitrain.config.rules import check
from raspitrain.errors import InputError
from raspitrain.results.checkpoint import load_checkpoint
from raspitrain.run.monitor import Monitor
from raspitrain.run.run import run
from raspitrain.run.thermal import ThermalGuard

LIMITS = {
    "policy": "pause", "pause_above_c": 80, "resume_below_c": 70, "max_wait_minutes": 1,
}  # fmt: skip


class Oven:
    """A guard whose clock runs only while it sleeps, before a list of temperatures."""

    def __init__(self, tmp_path, temperatures, should_stop=lambda: False, **limits):
        self.now = 0.0
        self.temperatures = list(temperatures)
        self.monitor = Monitor(None, root=tmp_path, vcgencmd="none", every_seconds=1)
        self.guard = ThermalGuard(
            LIMITS | limits, self.monitor, should_stop, clock=lambda: self.now, sleep=self.sleep
        )
        self.next()

    def next(self):
        if self.temperatures:
            self.monitor.temperature_c = self.temperatures.pop(0)

    def sleep(self, seconds):
        self.now += seconds
        self.next()


def test_below_the_limit_nothing_happens(tmp_path):
    oven = Oven(tmp_path, [80.0])
    oven.guard.check()
    assert (oven.monitor.pauses, oven.now) == (0, 0.0)


def test_a_pause_lasts_until_it_is_cool_again(tmp_path):
    oven = Oven(tmp_path, [80.1, 79.0, 71.0, 70.5, 70.0, 60.0])
    oven.guard.check()
    assert oven.monitor.temperature_c == 70.0
    assert oven.monitor.pauses == 1
    assert oven.guard.paused_seconds == pytest.approx(oven.now)


def test_a_wait_in_vain_ends_and_is_not_begun_again_at_once(tmp_path, caplog):
    oven = Oven(tmp_path, [85.0])
    oven.guard.check()
    assert oven.now == pytest.approx(60.0, abs=0.1)
    assert "still 85.0 °C after 60 s" in caplog.text
    oven.guard.check()
    assert oven.monitor.pauses == 1
    for temperature, pauses in ((75.0, 1), (81.0, 1), (69.0, 1), (81.0, 2)):
        oven.monitor.temperature_c = temperature
        oven.temperatures = [65.0]
        oven.guard.check()
        assert oven.monitor.pauses == pauses


def test_a_pause_ends_when_the_run_is_to_end(tmp_path):
    stop = iter([False, False, True])
    oven = Oven(tmp_path, [90.0], should_stop=lambda: next(stop))
    oven.guard.check()
    assert oven.now < 0.2


def test_a_sensor_that_falls_silent_does_not_hold_the_run(tmp_path, caplog):
    oven = Oven(tmp_path, [90.0, 90.0, None])
    oven.guard.check()
    assert oven.now < 0.2
    assert "the last was 90.0 °C: training goes on without this guard" in caplog.text


def test_the_policy_none_does_nothing(tmp_path):
    oven = Oven(tmp_path, [120.0], policy="none")
    oven.guard.check()
    assert oven.monitor.pauses == 0


def test_threads_are_dropped_one_by_one_and_not_below_one(tmp_path, caplog):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        oven = Oven(tmp_path, [90.0], policy="drop_thread")
        counts = []
        for _ in range(4):
            oven.guard.check()
            oven.guard.check()  # the first has not had its time to show
            counts.append(torch.get_num_threads())
            oven.now += 31.0
        assert counts == [2, 1, 1, 1]
        assert oven.monitor.dropped_threads == 2
        assert "2 of 3 threads" in caplog.text
    finally:
        torch.set_num_threads(before)


def test_two_that_decide_on_threads_do_not_go_together(compose):
    cfg = compose("hardware.thermal.policy=drop_thread", "hardware.adapt_threads=true")
    with pytest.raises(InputError, match=r"drop_thread and hardware.adapt_threads=true do not go"):
        check(OmegaConf.to_container(cfg, resolve=True))


def weights_of(folder):
    return load_checkpoint(folder / "last.pt")["model"]


def test_a_run_pauses_goes_on_and_ends_with_the_same_weights(compose, tmp_path, caplog):
    """The board's temperature rises while it runs, and falls in two steps."""
    settings = (*TINY, "epochs=40", "eval_every=1", "hardware.readings.every_seconds=0.05")
    root = put_board(tmp_path, PI5)
    on_the_board = (
        f"hardware.readings.root={root}", f"hardware.readings.vcgencmd={vcgencmd_of(tmp_path)}",
        "hardware.thermal.policy=pause", "hardware.thermal.pause_above_c=80",
        "hardware.thermal.resume_below_c=70",
    )  # fmt: skip
    paused_at = []

    def heat() -> None:
        metrics, log = tmp_path / "hot" / "metrics.csv", tmp_path / "hot" / "run.log"
        if wait_for(metrics.exists):
            set_temperature(root, 82.0)
        if wait_for(lambda: "training pauses" in log.read_text()):
            paused_at.append(metrics.read_bytes())
            time.sleep(0.25)
            set_temperature(root, 75.0)  # above resume_below_c
            time.sleep(0.25)
            paused_at.append(metrics.read_bytes())
        set_temperature(root, 60.0)

    heater = threading.Thread(target=heat)
    with caplog.at_level(logging.INFO):
        heater.start()
        hot = run(compose(*settings, *on_the_board), tmp_path / "hot")
        heater.join()
        cold = run(compose(*settings), tmp_path / "cold")
    first, second = weights_of(tmp_path / "hot"), weights_of(tmp_path / "cold")
    assert all(torch.equal(first[name], second[name]) for name in second)
    assert len(paused_at) == 2
    assert paused_at[0] == paused_at[1] != (tmp_path / "hot" / "metrics.csv").read_bytes()
    thermal = hot["thermal"]
    assert thermal["pauses"] == 1
    assert thermal["paused_seconds"] > 0.4
    assert thermal["temperature_max_c"] == 82.0
    assert hot["training_seconds"] < hot["total_seconds"] - thermal["paused_seconds"]
    assert hot["bit_reproducible"] is True
    assert hot["energy"]["joules"] > 0
    assert cold["energy"] is None
    assert "training pauses until it is 70" in (tmp_path / "hot" / "run.log").read_text()
    assert (tmp_path / "hot" / "telemetry.png").exists()
    assert json.loads((tmp_path / "hot" / "summary.json").read_text())["thermal"] == thermal


def test_a_run_that_drops_a_thread_says_so(compose, tmp_path, capsys):
    root = put_board(tmp_path, PI5 | {"temp": 90.0, "throttled": 0x8})
    settings = [s for s in TINY if not s.startswith("hardware.")]
    before = torch.get_num_threads()
    try:
        summary = run(
            compose(
                *settings, f"hardware.readings.root={root}", "hardware.num_threads=2",
                "hardware.thermal.policy=drop_thread", "hardware.readings.every_seconds=0.01",
                f"hardware.readings.vcgencmd={vcgencmd_of(tmp_path)}",
            ),
            tmp_path / "run",
        )  # fmt: skip
    finally:
        torch.set_num_threads(before)
    assert (summary["num_threads"], summary["threads"]["num_threads"]) == (1, 2)
    assert summary["thermal"]["dropped_threads"] == 1
    assert summary["bit_reproducible"] is False
    assert summary["thermal"]["throttled"] is True
    assert "cases/s, slowed down by the board" in capsys.readouterr().out


def test_ctrl_c_during_a_pause_is_answered_at_once(tmp_path):
    root = put_board(tmp_path, PI5 | {"temp": 90.0})
    folder = tmp_path / "run"
    process = start(
        *TINY, f"hydra.run.dir={folder}", f"hardware.readings.root={root}",
        "hardware.readings.every_seconds=0.05", "hardware.readings.vcgencmd=none", cwd=tmp_path,
    )  # fmt: skip
    try:
        assert wait_for(lambda: log_lines(folder, "training pauses"))
        os.kill(process.pid, signal.SIGINT)
        process.join(30 * PATIENCE)
    finally:
        process.kill()
    assert process.exitcode == 130, (tmp_path / "stderr.txt").read_text()
    assert json.loads((folder / "summary.json").read_text())["status"] == "interrupted"
