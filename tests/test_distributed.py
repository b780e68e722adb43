"""One model trained by several ranks (docs/distributed.md)."""

import copy
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from conftest import TINY, wait_for
from ranks import as_threads, ends, free_port, kill_started, start_forked_ranks, start_ranks
from torch import nn

from raspitrain.data.batches import Part
from raspitrain.distributed.group import Group
from raspitrain.distributed.launch import Launch, check_address, first_host, launched
from raspitrain.distributed.plan import Plan, make_plan, shares_of, too_slow
from raspitrain.errors import InputError
from raspitrain.results.checkpoint import load_checkpoint
from raspitrain.run.thermal import ThermalGuard
from raspitrain.run.together import Together, make_shared_plan
from raspitrain.stop import Stopped
from raspitrain.training.schedule import constant
from raspitrain.training.shared import SharedTraining
from raspitrain.training.training import NonFiniteLossError, Training


@pytest.fixture(autouse=True)
def no_process_stays() -> Iterator[None]:
    yield
    kill_started()


SAME_SHARES = (0.5, 0.5)


def plan(sync_every: int, shares: tuple[float, ...] = SAME_SHARES) -> Plan:
    return Plan(shares, sync_every, 1.0, 1.0, 1.0, 1.0)


def linear_training(batch_size: int, *, momentum: float = 0.9) -> Training:
    """A network without BatchNorm in float64, always the same."""
    random_numbers = torch.Generator().manual_seed(1)
    signals = torch.randn(50, 2, 8, generator=random_numbers, dtype=torch.float64)
    labels = (signals[:, 0].sum(1) > 0).long()
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).double()
    with torch.no_grad():
        model[1].weight.normal_(generator=random_numbers)
        model[1].bias.zero_()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)
    return Training(
        parts={
            "train": Part(labels, lambda indices: signals[indices]),
            "test": Part(labels[:7], lambda indices: signals[indices]),
        },
        class_names=("below", "above"),
        model=model,
        loss=nn.CrossEntropyLoss(),
        optimizer=optimizer,
        schedule=constant(optimizer, total_steps=1),
        augment=None,
        batch_size=batch_size,
        generator=torch.Generator().manual_seed(2),
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize("shares", [SAME_SHARES, (0.7, 0.3), (0.2, 0.3, 0.5)])
def test_summed_gradients_are_those_of_one_process_with_the_whole_batch(shares):
    alone = linear_training(6 * len(shares))
    rows = [evaluation.row for evaluation in alone.evaluations(4)]

    def work(group: Group) -> tuple[Any, Any]:
        training = SharedTraining.of(linear_training(6), group, seed=0)
        training.plan = plan(1, shares)
        rows = [evaluation.row for evaluation in training.evaluations(4)]
        return training.model.state_dict(), rows

    for weights, own_rows in as_threads(len(shares), work):
        for name, tensor in alone.model.state_dict().items():
            assert (weights[name] - tensor).abs().max() < 1e-9
        for row, own in zip(rows, own_rows, strict=True):
            for key in ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "step"):
                assert own[key] == pytest.approx(row[key], abs=1e-9)


@pytest.mark.parametrize(("every", "survivors"), [(1, (0.3, 0.7)), (1, (1.0,)), (2, (1.0,))])
def test_fewer_ranks_go_on_with_the_batch_of_all_who_began(every, survivors):
    kept: dict[str, Any] = {}

    def begin(group: Group) -> None:
        training = SharedTraining.of(linear_training(4), group, seed=0)
        training.plan = plan(every, (0.2, 0.3, 0.5))
        list(training.evaluations(2))
        training.collect()
        if group.is_first:
            kept["state"] = copy.deepcopy(training.state())
        group.first_says()

    def go_on(group: Group) -> Any:
        training = SharedTraining.of(linear_training(4), group, seed=0, num_shares=3)
        training.plan = plan(every, survivors)
        training.restore(copy.deepcopy(kept["state"]))
        training.state()  # can be kept before the next step, too
        rows = [evaluation.row for evaluation in training.evaluations(4)]
        return training.model.state_dict(), [row["step"] for row in rows]

    assert as_threads(3, begin) == [None] * 3
    alone = linear_training(12)
    steps = [evaluation.row["step"] for evaluation in alone.evaluations(4)]
    for weights, own_steps in as_threads(len(survivors), go_on):
        assert own_steps == steps[2:]
        for name, tensor in alone.model.state_dict().items():
            # Averaged weights are another way to learn the same, summed gradients are not.
            assert (weights[name] - tensor).abs().max() < (1e-9 if every == 1 else 0.5)


def test_averaged_weights_are_the_same_on_all_ranks_and_are_resumed_to_the_bit():
    def work(group: Group) -> tuple[Any, ...]:
        def make() -> SharedTraining:
            training = SharedTraining.of(linear_training(5), group, seed=0)
            training.plan = plan(2, (0.6, 0.4))
            return training

        whole = make()
        list(whole.evaluations(4))
        first = make()
        list(first.evaluations(2))
        first.collect()
        if group.is_first:  # which alone has all that a checkpoint holds
            kept["state"] = first.state()
        group.first_says()
        second = make()
        second.restore(copy.deepcopy(kept["state"]))
        list(second.evaluations(4))
        return whole.model.state_dict(), second.model.state_dict(), whole.optimizer.state_dict()

    kept: dict[str, Any] = {}
    (whole, resumed, moments), (other, other_resumed, other_moments) = as_threads(2, work)
    for name in whole:
        assert torch.equal(whole[name], other[name])
        assert torch.equal(whole[name], resumed[name])
        assert torch.equal(other[name], other_resumed[name])
    # Or keeping each rank's own would prove nothing.
    assert not torch.equal(
        moments["state"][0]["momentum_buffer"], other_moments["state"][0]["momentum_buffer"]
    )


def test_one_rank_s_loss_that_is_no_number_ends_all_at_the_same_step():
    def work(group: Group) -> None:
        training = SharedTraining.of(linear_training(5), group, seed=0)
        training.plan = plan(1)
        if group.rank == 1:
            training.loss = nn.Module()
            training.loss.forward = lambda x, y: (
                nn.functional.cross_entropy(x, y)
                * (float("nan") if training.position.step == 3 else 1.0)
            )
        list(training.evaluations(2))

    errors = as_threads(2, work)
    assert [type(error) for error in errors] == [NonFiniteLossError] * 2
    assert all("at step 4" in str(error) for error in errors)


def test_a_hot_board_holds_up_all_and_a_signal_ends_all_at_the_same_step():
    thermal = {
        "policy": "pause", "pause_above_c": 80, "resume_below_c": 70, "max_wait_minutes": 1,
    }  # fmt: skip
    temperatures = {2: 90.0, 4: 60.0}  # by the step that rank 1 has taken

    def work(group: Group) -> tuple[int, int]:
        training = SharedTraining.of(linear_training(5), group, seed=0)
        training.plan = plan(1)
        pauses = []
        monitor: Any = SimpleNamespace(
            temperature_c=60.0,
            begin_pause=lambda: pauses.append(training.position.step),
            end_pause=lambda: setattr(monitor, "temperature_c", 60.0),
        )
        stop: Any = SimpleNamespace(number=None)
        together = Together(training, ThermalGuard(thermal, monitor), stop, monitor, lambda: False)

        def on_step(step: Any) -> None:
            together.step(step)
            at = training.position.step
            if group.rank == 1:
                monitor.temperature_c = temperatures.get(at, monitor.temperature_c)
            if group.rank == 0 and at == 7:
                stop.number = signal.SIGINT

        # The hot board is cool again after its second word to the other.
        if group.rank == 1:
            on = together.guard.sleep

            def cool(seconds: float) -> None:
                on(seconds)
                monitor.temperature_c = 60.0

            together.guard.sleep = cool
        with pytest.raises(Stopped) as stopped:
            list(training.evaluations(9, on_step=on_step))
        assert stopped.value.number == (signal.SIGINT if group.rank == 0 else signal.SIGTERM)
        return training.position.step, pauses

    assert as_threads(2, work) == [(8, [3]), (8, [3])]


def test_what_differs_between_ranks_is_named_on_all_of_them():
    def work(group: Group) -> None:
        group.check_same({"version": "1", "data set": "abc" if group.rank < 2 else "abd"})

    errors = as_threads(3, work)
    assert {str(error) for error in errors} == {
        "rank 2 (pi5c) has another data set than rank 0 (pi5a): all boards must have the same."
    }


TORCHRUN = {
    "RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1", "GROUP_WORLD_SIZE": "2",
    "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29501", "TORCHELASTIC_RUN_ID": "none",
    "TORCHELASTIC_RESTART_COUNT": "1", "TORCHELASTIC_MAX_RESTARTS": "3",
}  # fmt: skip
SRUN = {
    "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_TASKS_PER_NODE": "1(x4)",
    "SLURM_STEP_NODELIST": "pi[03-06]", "SLURM_JOB_ID": "17",
}  # fmt: skip
MPIRUN = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}


def test_ranks_as_torchrun_srun_and_mpirun_set_them():
    torchrun = launched(TORCHRUN)
    assert torchrun is not None
    assert (torchrun.rank, torchrun.num_ranks, torchrun.local_ranks) == (1, 2, 1)
    assert (torchrun.address, torchrun.port, torchrun.restarts) == ("10.0.0.1", 29501, 1)
    assert torchrun.again(["resume=a b"]) == (
        "torchrun --nnodes=2 --nproc-per-node=1 --node-rank=K --master-addr=10.0.0.1 "
        "--master-port=29501 -m raspitrain 'resume=a b'"
    )
    srun = launched(SRUN)
    assert srun is not None
    assert (srun.rank, srun.num_ranks, srun.address, srun.port) == (3, 4, "pi03", 20_017)
    mpirun = launched(MPIRUN | {"MASTER_ADDR": "pi5a"})
    assert mpirun is not None
    assert (mpirun.rank, mpirun.num_ranks, mpirun.address) == (0, 2, "pi5a")
    assert launched({}) is None
    assert launched({"RANK": "0", "WORLD_SIZE": "1"}) is None
    assert launched({"SLURM_PROCID": "0", "SLURM_JOB_ID": "1"}) is None  # a batch script's own
    assert [first_host(n) for n in ("pi5a", "pc,pi[1-2]", "pi[1,4]")] == ["pi5a", "pc", "pi1"]


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (MPIRUN, "MASTER_ADDR does not say where"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "must be whole numbers"),
        ({"RANK": "x", "WORLD_SIZE": "2"}, "must be whole numbers"),
        (TORCHRUN | {"MASTER_PORT": "ssh"}, "MASTER_PORT must be a number"),
    ],
)
def test_a_start_that_cannot_work_is_refused(environment, sentence):
    with pytest.raises(InputError, match=sentence):
        launched(environment)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("8.8.8.8", "public address"),
        ("2001:4860:4860::8888", "public address"),
        ("127.0.1.1", "no other board gets to"),
        ("no.such.host.invalid", "is not known here"),
    ],
)
def test_where_ranks_should_not_meet(address, sentence):
    launch = Launch(0, 2, 1, address, 29500)
    with pytest.raises(InputError, match=sentence):
        check_address(launch, public=False)


def test_private_addresses_will_do_and_public_ones_where_allowed():
    for address in ("10.77.0.1", "192.168.1.5", "100.64.0.7", "fd00::1", "fe80::1"):
        check_address(Launch(0, 2, 1, address, 29500), public=False)
    check_address(Launch(0, 2, 1, "8.8.8.8", 29500), public=True)


def plan_for(
    sync: str | int,
    sync_ms: float,
    *,
    step_ms: float = 45,
    epochs: int = 100,
    boards: int = 2,
) -> Plan:
    """Boards with batches of 50 and 100 steps an epoch."""
    return make_plan(
        sync,
        shares=(1 / boards,) * boards,
        speeds=[50e3 / step_ms] * boards,
        batch=50 * boards,
        sync_seconds=1e-3 * sync_ms,
        num_bytes=5_890_000,
        num_steps=100 * epochs,
        steps_per_epoch=100,
    )[0]


def test_how_often_ranks_agree_follows_from_two_times():
    assert plan_for("auto", 2).sync_every == 1
    gigabit = plan_for("auto", 52.7)  # two boards, 5.89 MB
    assert gigabit.sync_every == 16
    assert gigabit.gain / 2 == pytest.approx(45 / (45 + 52.7 * 6 / 100), abs=0.005)
    assert gigabit.megabits == pytest.approx(894, abs=1)
    assert plan_for("auto", 80, boards=4).sync_every == 32
    assert plan_for("every_step", 52.7).gain == pytest.approx(2 * 45 / (45 + 52.7))
    # With few steps, weights are averaged no less often than 70 times.
    assert plan_for("auto", 52.7, epochs=3).sync_every == 4


def test_the_page_s_table_is_what_is_planned():
    page = (Path(__file__).parents[1] / "docs" / "distributed.md").read_text()
    rows = re.findall(r"\| (\d+) ms \| ([\d.]+) \| ([\d.]+) \|", page)
    assert len(rows) == 3
    for step_ms, *gains in rows:
        for every, gain in zip(("every_step", 8), gains, strict=True):
            planned = plan_for(every, 52.3, step_ms=float(step_ms))
            assert planned.gain == pytest.approx(float(gain), abs=0.06)


@pytest.mark.parametrize(("sync_ms", "epochs"), [(52.7, 1), (2000, 3)])
def test_no_gain_is_refused_with_what_to_do_instead(sync_ms, epochs):
    with pytest.raises(InputError, match=r"0\.\d+ times as fast .* train on one board"):
        plan_for("auto", sync_ms, epochs=epochs)
    assert plan_for("every_step", sync_ms, epochs=epochs).gain < 1  # said, and done


def test_shares_follow_speeds():
    assert shares_of([100, 95], 64, 8) == SAME_SHARES
    fast, slow = shares_of([240, 100], 100, 8)
    assert fast / slow == pytest.approx(2.4)
    cut = [plan(1, (fast, slow)).own(100, rank) for rank in (0, 1)]
    assert cut == [slice(0, 71), slice(71, 100)]
    # BatchNorm's eight come before speed.
    shares = shares_of([300, 100], 20, 8)
    assert [plan(1, shares).own(20, rank) for rank in (0, 1)] == [slice(0, 11), slice(11, 20)]
    with pytest.raises(InputError, match="raise batch_size"):
        shares_of([100, 100], 15, 8)


def test_shares_allow_for_what_a_step_takes_however_few_its_cases(monkeypatch):
    def seconds(rank: int, cases: int) -> float:
        return (1.0, 2.4)[rank] * (10 + 0.9 * cases)

    def measure(self: SharedTraining, num_cases: int) -> list[float]:
        speed = num_cases / seconds(self.group.rank, num_cases)
        return [each.item() for each in self.group.all(torch.tensor(speed))]

    def work(group: Group) -> list[int]:
        training = SharedTraining.of(linear_training(25), group, seed=0)
        make_shared_plan(SimpleNamespace(training=training, epochs=9), "every_step")
        own = [training.plan.own(50, rank) for rank in (0, 1)]
        return [part.stop - part.start for part in own]

    monkeypatch.setattr(SharedTraining, "measure_speed", measure)
    found, same = as_threads(2, work)
    assert found == same == [38, 12]  # by a batch of 25 each they would take 35 and 15
    assert max(map(seconds, (0, 1), found)) < 0.9 * max(map(seconds, (0, 1), (35, 15)))


def test_measuring_leaves_weights_and_optimizer_as_they_were():
    training = SharedTraining.of(linear_training(25), as_threads(1, lambda group: group)[0], seed=0)
    before = copy.deepcopy((training.model.state_dict(), training.optimizer.state_dict()))
    assert training.measure_speed(40)[0] > 0
    after = (training.model.state_dict(), training.optimizer.state_dict())
    assert str(before) == str(after)
    assert all(p.grad is None for p in training.model.parameters())


def test_a_board_that_the_others_would_only_wait_for_is_named():
    names = ["rank 0 (a)", "rank 1 (b)"]
    assert too_slow([100, 20], names).startswith("rank 1 (b) trains 20 cases a second")
    assert not too_slow([240, 100], names)


WORDS = (
    *(word for word in TINY if not word.startswith(("epochs", "dataset.num_cases"))),
    "dataset.num_cases=100", "batch_size=10", "export=none",
)  # fmt: skip


def assert_same_end(folder: Path, other: Path) -> None:
    """Weights, best weights and every rank's optimizer, to the bit."""
    here, there = (load_checkpoint(each / "last.pt") for each in (folder, other))
    assert here["step"] == there["step"]
    for name, tensor in here["model"].items():
        assert torch.equal(tensor, there["model"][name]), name
    optimizers = [each["training"]["optimizers"] for each in (here, there)]
    for own, others in zip(*optimizers, strict=True):
        assert torch.equal(own, others)


def num_rows(folder: Path) -> int:
    path = folder / "metrics.csv"
    return len(path.read_text().splitlines()) - 1 if path.exists() else 0


def wait_for_rows(folder: Path, number: int) -> None:
    assert wait_for(lambda: num_rows(folder) >= number, seconds=120)


@pytest.mark.long  # by default what they agree on at a signal, in one process above
def test_two_ranks_stop_at_a_signal_to_one_and_resume(tmp_path, tmp_path_factory):
    words = [*WORDS, "distributed.sync=2", "epochs=20", "hydra.run.dir=run"]
    outputs = [tmp_path_factory.mktemp(f"rank{rank}") for rank in range(2)]

    def said(name):
        return [(output / name).read_text() for output in outputs]

    ranks = start_forked_ranks(tmp_path, outputs, *words)
    wait_for_rows(tmp_path / "run", 1)
    os.kill(ranks[1].pid, signal.SIGTERM)
    for rank in ranks:
        rank.join(240)
    assert [rank.exitcode for rank in ranks] == [143, 143], said("stderr.txt")
    assert "to resume" in said("stdout.txt")[0]
    before = load_checkpoint(tmp_path / "run" / "last.pt")
    assert 0 < before["step"] < 80
    assert len(before["training"]["optimizers"]) == 2
    ranks = start_forked_ranks(tmp_path, outputs, "resume=run")
    for rank in ranks:
        rank.join(240)
    assert [rank.exitcode for rank in ranks] == [0, 0], said("stderr.txt")
    assert load_checkpoint(tmp_path / "run" / "last.pt")["step"] == 80
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


OFTEN = ("checkpoint_minutes=0", "checkpoint_share=1")


@pytest.mark.long
@pytest.mark.parametrize("sync", ["every_step", "3"])
def test_ranks_killed_at_any_moment_cost_no_bit(tmp_path, sync):
    words = [*WORDS, "epochs=60", f"distributed.sync={sync}"]
    whole = ends(start_ranks(tmp_path, *words, "hydra.run.dir=whole"))
    assert [code for code, _ in whole] == [0, 0], whole
    again = [*words, *OFTEN, "hydra.run.dir=run", "resume=auto"]
    choice = random.Random(sync)
    for _ in range(5):
        # Before they have met a rank would wait for the other, which may still be starting.
        more = num_rows(tmp_path / "run") + 1
        ranks = start_ranks(tmp_path, *again)
        killed, other = choice.sample(ranks, 2)
        wait_for_rows(tmp_path / "run", more)
        time.sleep(choice.uniform(0, 0.3))
        killed.kill()
        began = time.monotonic()
        (code, said) = ends([other])[0]
        assert code == 75, said
        assert time.monotonic() - began < 30
        assert "training goes on from the last checkpoint with: " in said
        killed.communicate()
    resumed = ends(start_ranks(tmp_path, *again))
    assert [code for code, _ in resumed] == [0, 0], resumed
    assert_same_end(tmp_path / "whole", tmp_path / "run")


@pytest.mark.long
def test_torchrun_starts_killed_ranks_again_and_they_go_on(tmp_path):
    words = [*WORDS, "epochs=30", "distributed.sync=every_step"]
    whole = ends(start_ranks(tmp_path, *words, "hydra.run.dir=whole", own=[()] * 2))
    assert [code for code, _ in whole] == [0, 0], whole
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--max-restarts=2",
        f"--master-port={free_port()}", "-m", "raspitrain", *words, *OFTEN, "hydra.run.dir=run",
    ]  # fmt: skip
    torchrun = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for_rows(tmp_path / "run", 4)
    children = psutil.Process(torchrun.pid).children()
    children[-1].kill()
    said = torchrun.communicate(timeout=200)[0]
    assert torchrun.returncode == 0, said
    resumed = json.loads((tmp_path / "run" / "summary.json").read_text())["resumed"]
    assert [part["step"] > 0 for part in resumed] == [True]
    assert_same_end(tmp_path / "whole", tmp_path / "run")


@pytest.mark.long
def test_a_run_is_resumed_by_as_many_ranks_as_began_it_and_by_no_other_number(tmp_path, command):
    words = [*WORDS, "epochs=2", "distributed.sync=every_step", "hydra.run.dir=run"]
    began = ends(start_ranks(tmp_path, *words, own=((), ("seed=1",))))
    assert [code for code, _ in began] == [2, 2]
    assert all("rank 1 (" in said and "another configuration" in said for _, said in began)
    assert not list(tmp_path.iterdir())
    assert [code for code, _ in ends(start_ranks(tmp_path, *words))] == [0, 0]
    alone = command("resume=run", "epochs=4")
    assert alone.returncode == 2
    assert "the run is trained by 2 processes, and 1 was started to resume it" in alone.stderr
    sweep = command("--multirun", "seed=0,1", RANK="0", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1")
    assert sweep.returncode == 2
    assert "each would run the whole sweep" in sweep.stderr
