"""How many threads: what is given, what is measured, what is remembered."""

import json
import logging
import os
import time

import pytest
import torch
from conftest import TINY
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from raspitrain import cache
from raspitrain.errors import InputError
from raspitrain.hardware import load
from raspitrain.hardware.load import Reading, cores_taken, cores_taken_since_start, read_load
from raspitrain.hardware.threads import OURS, given_num_threads, resolve_num_threads
from raspitrain.hardware.threads import thread_environment as environment_for
from raspitrain.results.checkpoint import load_checkpoint
from raspitrain.run.run import run
from raspitrain.tuning import probe
from raspitrain.tuning.probe import candidates, choose_num_threads
from raspitrain.tuning.trial import AS_FAST, Trial, choose

FOUR_CORES = {1: 0.030, 2: 0.020, 3: 0.016, 4: 0.050}  # seconds a step; a neighbour on one


@pytest.fixture(autouse=True)
def apart(monkeypatch, tmp_path):
    """No cache and no variables of the person who runs the tests; torch as it was afterwards."""
    # Not by XDG_CACHE_HOME: the compiled kernels and matplotlib's fonts may stay where they are.
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv(OURS, raising=False)
    monkeypatch.setattr(probe, "cores_taken_since_start", lambda: 0.2)
    monkeypatch.setattr(probe, "read_load", lambda: None)
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)
    torch.set_flush_denormal(False)  # a run sets it for its process; hypothesis minds


class Network(nn.Sequential):
    """All that a step could leave behind: statistics, gradients, random numbers drawn."""

    def __init__(self) -> None:
        super().__init__(
            nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2)
        )


BATCH = (torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 2)


def fake_clock(seconds: dict[int, float]):
    """A clock by which a step with n threads takes seconds[n]."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += seconds[torch.get_num_threads()]
        return now

    return clock


def chosen_for(seconds=FOUR_CORES, num_threads="auto", width=8, **kwargs):
    return choose_num_threads(
        num_threads, Network(), nn.CrossEntropyLoss(), kwargs.pop("batch", BATCH),
        described_by={"width": width}, cores=len(seconds), clock=fake_clock(seconds),
    )  # fmt: skip


# --- what is given ---


def test_a_number_given_is_taken_and_nothing_is_measured(caplog):
    with caplog.at_level(logging.INFO):
        chosen = chosen_for(num_threads=2)
    assert (chosen.num_threads, chosen.chosen_by, chosen.ms_per_step) == (2, "configuration", {})
    assert torch.get_num_threads() == 2
    assert "threads: 2 (configuration)" in caplog.text


def test_the_users_variable_is_taken_and_nothing_is_measured(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    chosen = chosen_for()
    assert (chosen.num_threads, chosen.chosen_by, chosen.ms_per_step) == (3, "OMP_NUM_THREADS", {})


def test_our_own_variable_is_not_taken_for_the_users():
    """Nor in a process that was started with it."""
    ours = environment_for(4, None, {})
    assert ours["OMP_NUM_THREADS"] == "4"
    assert given_num_threads(ours) is None
    assert environment_for(2, None, ours)["OMP_NUM_THREADS"] == "2"
    assert given_num_threads(ours | {"OMP_NUM_THREADS": "3"}) == 3
    assert "OMP_NUM_THREADS" not in environment_for(2, None, {"OMP_NUM_THREADS": "3"})


def test_what_the_user_says_about_waiting_stands():
    assert environment_for(2, "passive", {})["OMP_WAIT_POLICY"] == "passive"
    assert int(environment_for(2, "short", {})["GOMP_SPINCOUNT"]) > 0
    for his in ({"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"}):
        for policy in ("short", "passive"):
            added = environment_for(2, policy, his)
            assert not his.keys() & added.keys()
    assert "GOMP_SPINCOUNT" not in environment_for(2, "short", {"OMP_WAIT_POLICY": "active"})


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5"])
def test_a_variable_that_is_no_number_is_a_sentence(given):
    with pytest.raises(InputError, match=f"OMP_NUM_THREADS must be a whole number.*'{given}'"):
        resolve_num_threads("auto", {"OMP_NUM_THREADS": given})


def test_one_core_needs_no_measurement():
    chosen = chosen_for({1: 0.02})
    assert (chosen.num_threads, chosen.chosen_by) == (1, "one core")


# --- the choice ---


@given(st.dictionaries(st.integers(1, 64), st.floats(1e-4, 10.0), min_size=1))
def test_the_choice_is_the_least_that_is_as_fast_as_the_fastest(seconds):
    choice = choose(seconds)
    fastest = min(seconds.values())
    assert seconds[choice] <= AS_FAST * fastest
    assert all(s > AS_FAST * fastest for c, s in seconds.items() if c < choice)


@given(
    st.dictionaries(st.integers(1, 16), st.floats(1e-3, 3.0), min_size=2, max_size=16),
    st.floats(0.1, 5.0),
)
def test_a_trial_keeps_to_its_budget_and_finds_the_fastest_it_tried(seconds, budget):
    order = sorted(seconds, reverse=True)
    trial = Trial(order, turn_seconds=0.06, num_rounds=5, budget_seconds=budget)
    spent = 0.0
    steps = 0
    while (candidate := trial.candidate) is not None:
        assert len(trial.seconds_per_step) < 2 or spent < budget + 2 * max(seconds.values()) + 0.06
        trial.add(seconds[candidate])
        spent += seconds[candidate]
        steps += 1
    tried = trial.seconds_per_step
    assert len(tried) >= 2
    assert trial.choice == choose({c: seconds[c] for c in tried})
    if budget > 5 * sum(max(2 * s, s + 0.06) + s for s in seconds.values()):
        assert tried.keys() == seconds.keys()


def test_one_slow_step_does_not_decide():
    trial = Trial([2, 1], turn_seconds=0.06, num_rounds=5, budget_seconds=9.0)
    hiccup = [0.040]
    while (candidate := trial.candidate) is not None:
        if candidate == 2 and trial.is_warm and hiccup:
            trial.add(hiccup.pop())
        else:
            trial.add({1: 0.030, 2: 0.028}[candidate])
    assert trial.turns[2][0] > 0.030
    assert trial.choice == 2


def test_what_is_clearly_slower_is_tried_once():
    trial = Trial([3, 2, 1], turn_seconds=0.06, num_rounds=5, budget_seconds=9.0)
    while (candidate := trial.candidate) is not None:
        trial.add({1: 0.020, 2: 0.021, 3: 0.500}[candidate])
    assert {c: len(turns) for c, turns in trial.turns.items()} == {3: 1, 2: 5, 1: 5}


def test_many_cores_are_not_all_tried():
    assert candidates(4) == [4, 3, 2, 1]
    assert candidates(20) == [20, 16, 12, 8, 7, 6, 5, 4, 3, 2, 1]


# --- measuring, and remembering ---


def test_the_fastest_number_is_measured_told_and_set(caplog):
    with caplog.at_level(logging.INFO):
        chosen = chosen_for()
    assert (chosen.num_threads, chosen.chosen_by) == (3, "measurement")
    assert chosen.ms_per_step == pytest.approx({1: 30.0, 2: 20.0, 3: 16.0, 4: 50.0})
    assert torch.get_num_threads() == 3
    assert "threads: 3 (measurement; ms a step with 1: 30.0, 2: 20.0, 3: 16.0, 4: 50.0; " in (
        caplog.text
    )


def test_the_second_run_remembers():
    first = chosen_for()
    again = chosen_for(dict.fromkeys(range(1, 5), 1.0))
    assert again.chosen_by == "cache"
    assert (again.num_threads, again.ms_per_step) == (first.num_threads, first.ms_per_step)
    assert torch.get_num_threads() == 3


def test_other_circumstances_are_measured_anew(monkeypatch):
    def remembers(**kwargs) -> bool:
        return chosen_for(**kwargs).chosen_by == "cache"

    assert not remembers()
    assert remembers()
    assert not remembers(width=16)
    assert not remembers(batch=(BATCH[0][:4], BATCH[1][:4]))
    assert not remembers(seconds={1: 0.02, 2: 0.01})
    for name, value in (
        ("cores_taken_since_start", lambda: 1.0),
        ("machine_model", lambda: "Raspberry Pi 5 Model B Rev 1.0"),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(probe, name, value)
            assert not remembers()
    with monkeypatch.context() as changed:
        changed.setattr(torch, "__version__", "2.99")
        assert not remembers()
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    assert not remembers()
    monkeypatch.delenv("OMP_WAIT_POLICY")
    assert remembers()


def test_a_measurement_is_kept_for_what_others_did_meanwhile(monkeypatch):
    """A neighbour that came just before it must not spoil the choice for the idle machine."""
    readings = iter([Reading(10.0, 50.0, 3.0, 4), Reading(12.0, 56.0, 7.0, 4)])
    with monkeypatch.context() as changed:
        changed.setattr(probe, "read_load", lambda: next(readings))
        chosen = chosen_for()
    assert chosen.cores_taken == pytest.approx(1.0)
    assert chosen_for().chosen_by == "measurement"
    monkeypatch.setattr(probe, "cores_taken_since_start", lambda: 1.1)
    assert chosen_for().chosen_by == "cache"


@pytest.mark.parametrize(
    "damaged",
    [
        b"", b"{", b"[]", b"null", b'{"key": 1}', b"\xff\xfe", b"[" * 100_000,
        {}, {"1": 5}, {"1": -1, "2": 3}, {"1": "fast", "2": 3}, {"99": 1.0, "1": 3}, [1, 2], 7,
        {"1": None, "2": 3}, {"1": float("nan"), "2": 3}, {"1": float("inf"), "2": 3},
        {"one": 1, "2": 3}, {"1": True, "2": [3]},
    ],
)  # fmt: skip
def test_a_damaged_cache_is_measured_anew_and_mended(tmp_path, damaged):
    chosen_for()
    (kept,) = (tmp_path / "cache" / "threads").iterdir()
    if isinstance(damaged, bytes):
        kept.write_bytes(damaged)
    else:
        cache.remember("threads", json.loads(kept.read_text())["key"], damaged)
    again = chosen_for()
    assert (again.num_threads, again.chosen_by) == (3, "measurement")
    assert chosen_for().chosen_by == "cache"


def test_the_cache_lies_where_the_system_wants_it(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "raspitrain"
    monkeypatch.setenv("HOME", str(tmp_path))
    for elsewhere in ("relative", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", elsewhere)
        assert cache.cache_folder() == tmp_path / ".cache" / "raspitrain"


def test_a_cache_that_cannot_be_written_is_no_misfortune(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert chosen_for().num_threads == 3


def test_a_model_that_cannot_be_copied_gets_all_cores_and_a_warning(caplog):
    class Stubborn(Network):
        def __deepcopy__(self, memo):
            raise TypeError("not me")

    chosen = choose_num_threads(
        "auto", Stubborn(), nn.CrossEntropyLoss(), BATCH, described_by={}, cores=2
    )
    assert (chosen.num_threads, chosen.chosen_by) == (2, "failed measurement")
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "not me" in caplog.text


def test_measuring_leaves_no_trace():
    """Weights, statistics, gradients, random numbers of every source."""
    import random

    import numpy as np

    model, loss = Network(), nn.CrossEntropyLoss(weight=torch.ones(2))
    model.eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}

    def drawn():
        return torch.rand(3).tolist(), random.random(), np.random.rand()

    for source in (torch.manual_seed, random.seed, np.random.seed):
        source(4)
    expected = drawn()
    for source in (torch.manual_seed, random.seed, np.random.seed):
        source(4)
    choose_num_threads("auto", model, loss, BATCH, described_by={}, cores=2)
    assert drawn() == expected
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not model.training


def test_a_run_with_auto_is_the_run_with_that_number(compose, tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "available_cores", lambda: 2)
    settings = [s for s in TINY if not s.startswith("hardware.")]
    measured = run(compose(*settings), tmp_path / "auto")
    assert measured["threads"]["chosen_by"] == "measurement"
    assert measured["threads"]["num_threads"] == measured["num_threads"]
    assert measured["threads"]["ms_per_step"].keys() == {"1", "2"}
    assert measured["bit_reproducible"] is True
    given = run(
        compose(*settings, f"hardware.num_threads={measured['num_threads']}"), tmp_path / "given"
    )
    assert given["threads"]["chosen_by"] == "configuration"
    weights = [load_checkpoint(tmp_path / n / "last.pt")["model"] for n in ("auto", "given")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    environment = json.loads((tmp_path / "auto" / "environment.json").read_text())
    assert environment["threads"] == json.loads(json.dumps(measured["threads"]))
    assert environment["torch"]["num_threads"] == measured["num_threads"]
    assert "threads: " in (tmp_path / "auto" / "run.log").read_text()


# --- how busy others are ---


@given(
    st.floats(0.1, 100.0), st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8), st.floats(0, 8)
)
def test_cores_taken_are_those_of_others(seconds, others, own):
    everyone = seconds * (sum(others) + own)
    earlier = Reading(clock=5.0, everyone=40.0, own=3.0, num_cores=16)
    later = Reading(5.0 + seconds, 40.0 + everyone, 3.0 + seconds * own, 16)
    assert cores_taken(earlier, later) == pytest.approx(sum(others), abs=1e-6)


def test_our_own_work_does_not_count_as_taken():
    start = read_load()
    assert start is not None
    while time.process_time() - start.own < 0.3:
        pass
    end = read_load()
    busy = (end.everyone - start.everyone) / (end.clock - start.clock)
    assert cores_taken(start, end) <= max(0.0, busy - 0.3 / (end.clock - start.clock)) + 0.05


def test_where_nobody_counts_nothing_is_claimed(monkeypatch):
    zeros = [type(core)(*[0.0] * len(core)) for core in load.psutil.cpu_times(percpu=True)]
    monkeypatch.setattr(load.psutil, "cpu_times", lambda percpu: zeros)
    assert read_load() is None
    assert cores_taken_since_start() is None
    monkeypatch.setattr(load, "_first", None)
    assert cores_taken_since_start() is None


def test_only_our_own_cores_are_asked(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    assert read_load().num_cores == 1
    # Cores that are switched off leave gaps in the numbers: then all are asked.
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {4096}, raising=False)
    assert read_load().num_cores == len(load.psutil.cpu_times(percpu=True))
