"""hardware.adapt_threads: what it does when a neighbour comes, goes, or only makes some noise."""

import logging
import random
from collections.abc import Callable

import pytest
import torch
from conftest import TINY

from raspitrain.hardware.load import Reading
from raspitrain.run.run import run
from raspitrain.tuning import adapt, tune
from raspitrain.tuning.adapt import AdaptThreads

# Seconds a step on two cores, by threads, alone and beside a neighbour.
ALONE = {1: 0.030, 2: 0.019}
BESIDE = {1: 0.031, 2: 0.070}


class World:
    """A machine with two cores, a clock of its own, and a neighbour that comes and goes."""

    def __init__(
        self,
        neighbour: Callable[[float], bool],
        *,
        num_threads: int = 2,
        noise: float = 0.1,
        counts_load: bool = True,
        seconds: tuple[dict[int, float], dict[int, float]] = (ALONE, BESIDE),
    ) -> None:
        self.now = 0.0
        self.neighbour = neighbour
        self.noise = noise
        self.counts_load = counts_load
        self.seconds = seconds
        self.random = random.Random(0)
        self.own = self.others = 0.0
        self.in_force = num_threads
        self.used: list[tuple[float, int, float]] = []  # time, threads, seconds of each step
        self.adapt = AdaptThreads(
            list(seconds[0]),
            num_threads,
            batch_size=32,
            clock=lambda: self.now,
            read_load=self.read_load,
            set_num_threads=self.set_num_threads,
        )

    def read_load(self) -> Reading | None:
        if not self.counts_load:
            return None
        return Reading(100.0 + self.now, 50.0 + self.own + self.others, 3.0 + self.own, 2)

    def set_num_threads(self, num_threads: int) -> None:
        self.in_force = num_threads

    def step_time(self, num_threads: int) -> float:
        return self.seconds[self.neighbour(self.now)][num_threads]

    def pass_time(self, seconds: float, cores: float) -> None:
        self.own += seconds * cores
        self.others += seconds * (0.8 if self.neighbour(self.now) else 0.05)
        self.now += seconds

    def train(self, until: float, *, evaluate_every: int | None = None) -> None:
        number = 0
        while self.now < until:
            number += 1
            num_cases = 32 - number % 2
            noise = 1 + self.random.uniform(-self.noise, self.noise)
            seconds = self.step_time(self.in_force) * noise * num_cases / 32
            self.used.append((self.now, self.in_force, seconds))
            self.pass_time(seconds, 0.9 * self.in_force)
            self.adapt.end_step(num_cases, seconds)
            if evaluate_every and number % evaluate_every == 0:
                self.pass_time(2.0, 1.8)

    def share_of_best(self, start: float, stop: float) -> float:
        """Speed between two moments, as a fraction of the best number's."""
        steps = [(at, seconds) for at, _, seconds in self.used if start <= at < stop]
        best = min(self.step_time(n) for n in self.seconds[0])
        return best * len(steps) / sum(seconds for _, seconds in steps)


def test_noise_and_hiccups_change_nothing():
    world = World(lambda now: False, noise=0.15)
    quiet = world.step_time
    # A step of a second and a half, now and then: a slow card, a page that was swapped out.
    world.step_time = lambda threads: 1.5 if len(world.used) % 300 == 299 else quiet(threads)
    world.train(600.0)
    assert max(seconds for _, _, seconds in world.used) > 1
    assert world.adapt.num_trials == 0
    assert {threads for _, threads, _ in world.used} == {2}


def test_evaluation_is_no_step():
    world = World(lambda now: False)
    world.train(300.0, evaluate_every=40)
    world.train(600.0)
    assert world.adapt.num_trials == 0


@pytest.mark.parametrize("counts_load", [True, False])
def test_a_neighbour_that_comes_and_goes_is_followed_within_a_minute(counts_load, caplog):
    world = World(lambda now: 20 < now < 140, counts_load=counts_load)
    with caplog.at_level(logging.INFO):
        for moment in (20, 80, 140, 200, 260):
            world.train(moment)
            if moment in (80, 200):
                assert world.share_of_best(moment - 10, moment) > 0.9
    assert [(c["from"], c["to"]) for c in world.adapt.changes] == [(2, 1), (1, 2)]
    assert world.in_force == world.adapt.num_threads == 2
    came, left = world.adapt.changes
    assert came["ms_per_step"] == pytest.approx({1: 31, 2: 70}, rel=0.1)
    assert left["ms_per_step"] == pytest.approx({1: 30, 2: 19}, rel=0.1)
    assert 0 < came["step"] < left["step"]
    assert "threads: 2 → 1 at step" in caplog.text
    assert "threads: 1 → 2 at step" in caplog.text


def test_a_neighbour_that_comes_just_after_a_trial_is_noticed():
    """The steps after a trial are held against what the trial measured, not against themselves."""
    world = World(lambda now: 20 < now < 30)
    while len(world.adapt.changes) < 2:  # to one thread and back
        world.train(world.now + 0.01)
        assert world.now < 90
    began = world.now
    world.neighbour = lambda now: now > began
    world.train(began + 60)
    assert world.adapt.num_threads == 1


def test_a_restless_neighbour_does_not_make_it_restless():
    world = World(lambda now: int(now / 7) % 2 == 1)
    world.train(900.0)
    assert 10 <= world.adapt.num_trials <= 40


def test_what_is_hardly_better_is_no_reason_to_change():
    near = {1: 0.0195, 2: 0.0200}
    far = {1: 0.0395, 2: 0.0400}
    world = World(lambda now: now > 30, noise=0.02, seconds=(near, far))
    world.train(120.0)
    assert world.adapt.num_trials >= 1
    assert world.adapt.changes == []
    assert world.in_force == 2


def test_steps_of_seconds_are_followed_too():
    alone = {1: 3.0, 2: 1.7, 3: 1.2, 4: 1.0}
    beside = {1: 3.1, 2: 1.8, 3: 1.3, 4: 2.6}
    world = World(lambda now: now > 100, num_threads=4, seconds=(alone, beside))
    world.train(200.0)
    assert world.adapt.num_threads == 3
    assert world.share_of_best(160, 200) > 0.9


@pytest.mark.usefixtures("quick_end")
def test_a_run_that_adapts_says_so(compose, tmp_path, monkeypatch):
    """Made to look again and again: the summary lists what it did and claims no exact repeat."""
    monkeypatch.setattr(tune, "available_cores", lambda: 2)
    for name in ("WINDOW_SECONDS", "TURN_SECONDS", "SHORTEST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(adapt, name, 0.0)
    for name in ("WINDOW_STEPS", "NUM_WINDOWS", "DRIFT"):
        monkeypatch.setattr(adapt, name, 1)
    num_threads = torch.get_num_threads()
    # Far more steps than a trial may take, however near to each other its candidates are.
    settings = (*TINY, "epochs=60", "eval_every=60", "hardware.adapt_threads=true")
    try:
        summary = run(compose(*settings), tmp_path / "run")
    finally:
        torch.set_num_threads(num_threads)
        torch.set_flush_denormal(False)
    assert summary["bit_reproducible"] is False
    assert summary["threads"]["trials"] >= 1
    log = (tmp_path / "run" / "run.log").read_text()
    assert "threads: still 1 at step" in log or "threads: 1 → 2 at step" in log


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.usefixtures("quick_end")
def test_one_core_leaves_nothing_to_adapt(compose, tmp_path, monkeypatch, caplog, cores):
    monkeypatch.setattr(tune, "available_cores", lambda: cores)
    num_threads = torch.get_num_threads()
    try:
        summary = run(compose(*TINY, "hardware.adapt_threads=true"), tmp_path / "run")
    finally:
        torch.set_num_threads(num_threads)
        torch.set_flush_denormal(False)
    log = (tmp_path / "run" / "run.log").read_text()
    assert ("WARNING hardware.adapt_threads=true has no effect: there is one core" in log) == (
        cores == 1
    )
    assert summary["bit_reproducible"] is (cores == 1)
