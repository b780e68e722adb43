"""Resuming a run: what was killed ends as if it had been left alone."""

import copy
import json
import os
import random
import shutil
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, composed, leave_out_what_takes_longer_than_the_run
from processes import AtWrite, finish, log_lines, start, wait_until

from raspitrain.config.overrides import allowing_words
from raspitrain.errors import InputError
from raspitrain.results import checkpoint
from raspitrain.results.checkpoint import load_checkpoint, save_checkpoint
from raspitrain.results.screen import final_lines
from raspitrain.results.table import read_rows
from raspitrain.run.evaluate import evaluate_part
from raspitrain.run.resume import resume
from raspitrain.run.run import run
from raspitrain.run.stored import StoredRun
from raspitrain.stop import Stopped
from raspitrain.sweep import job

CLOCKS = {"seconds", "samples_per_second", "peak_memory_mb"}
# A checkpoint at nearly every step.
OFTEN = ("checkpoint_minutes=0", "checkpoint_share=1")
# Epochs of four steps; everything that draws random numbers or keeps a state is on.
JOB = (
    *(t for t in TINY if not t.startswith(("epochs=", "model."))),
    "epochs=8", "batch_size=6", "eval_every=3", "split.validation=0.2", "schedule=onecycle",
    "augment=standard", "model.dropout=0.2", "model.width_mult=0.1",
)  # fmt: skip


pytestmark = pytest.mark.usefixtures("quick_end")


def result(folder: Path) -> tuple[list[dict], dict, dict]:
    """Rows without what depends on time and memory; last.pt; best.pt."""
    rows = read_rows(folder / "metrics.csv")
    rows = [{k: v for k, v in row.items() if k not in CLOCKS} for row in rows]
    return rows, load_checkpoint(folder / "last.pt"), load_checkpoint(folder / "best.pt")


def assert_same(folder: Path, expected: Path) -> None:
    """Bit for bit."""
    rows, last, best = result(folder)
    expected_rows, expected_last, expected_best = result(expected)
    assert rows == expected_rows
    assert_equal(best["model"], expected_best["model"])
    assert_equal(last["model"], expected_last["model"])
    for part in ("optimizer", "schedule", "generator", "random", "loss"):
        assert_equal(last["training"][part], expected_last["training"][part], part)
    summaries = [json.loads((f / "summary.json").read_text()) for f in (folder, expected)]
    for key in ("test_accuracy", "status", "chosen_epoch", "confusion_matrix", "steps"):
        assert summaries[0][key] == summaries[1][key], key
    assert summaries[0]["bit_reproducible"] is True
    assert not list(folder.glob(".partial*"))


def assert_equal(value, expected, where="weights"):
    if isinstance(expected, dict):
        assert value.keys() == expected.keys(), where
        for key in expected:
            assert_equal(value[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list | tuple):
        assert len(value) == len(expected), where
        for k, item in enumerate(expected):
            assert_equal(value[k], item, f"{where}[{k}]")
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(value, expected), where
    else:
        assert value == expected, where


def trains_or_has_ended(folder: Path, process: BaseProcess, begun: int) -> bool:
    return log_lines(folder, "threads:") > begun or process.exitcode == 0


def storm(cwd: Path, job: tuple[str, ...], kills: int, seed: int) -> int:
    """Run `job`, killed and resumed `kills` times, then to its end; how many were mid-write."""
    chance = random.Random(seed)
    folder = cwd / "run"
    words: tuple[str, ...] = (*job, "hydra.run.dir=run")
    mid_write = 0
    for number in range(kills):
        # The first few writes of a process belong to starting it.
        fault = AtWrite(chance.randrange(14, 40), error=None) if number % 2 else None
        begun = log_lines(folder, "threads:")
        process = start(*words, cwd=cwd, fault=fault)
        if fault is None:
            wait_until(partial(trains_or_has_ended, folder, process, begun))
            process.join(chance.uniform(0.0, 0.15))
            process.kill()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -9, (cwd / "stderr.txt").read_text()
        mid_write += bool(list(folder.glob(".partial*")))
        words = ("resume=run",) if (folder / "last.pt").exists() else words
    assert finish("resume=run", cwd=cwd) == 0, (cwd / "stderr.txt").read_text()
    return mid_write


def assert_survives(tmp_path: Path, job: tuple[str, ...], kills: int, seed: int) -> None:
    assert finish(*job, "hydra.run.dir=alone", cwd=tmp_path) == 0
    storm(tmp_path, job, kills, seed)
    assert_same(tmp_path / "run", tmp_path / "alone")
    resumed = json.loads((tmp_path / "run" / "summary.json").read_text())["resumed"]
    assert resumed
    assert all(part["not_exact"] == [] for part in resumed)


@pytest.mark.parametrize("optimizer", ["adam", pytest.param("sgd", marks=pytest.mark.long)])
def test_a_run_killed_anywhere_ends_as_if_left_alone(tmp_path, optimizer):
    assert_survives(tmp_path, (*JOB, *OFTEN, f"optimizer={optimizer}"), kills=4, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize(
    "others",
    [
        "",
        "split.validation=0 augment=none schedule=cosine",
        "eval_every=1 patience=6 dataset=random",  # stops early, also while it is being killed
    ],
)
def test_thirty_kills(tmp_path, optimizer, others):
    changed = {word.split("=")[0] for word in others.split()}
    job = tuple(word for word in JOB if word.split("=")[0] not in changed)
    job = (*job, *others.split(), *OFTEN, f"optimizer={optimizer}", "epochs=40")
    job = tuple(word for word in job if word != "epochs=8")
    assert_survives(tmp_path, job, kills=30, seed=2)


@pytest.mark.long
def test_kills_with_two_threads(tmp_path):
    """A short run: on cores that others use too, threads that wait for each other crawl."""
    job = tuple(word for word in JOB if not word.startswith("hardware.num_threads"))
    assert_survives(tmp_path, (*job, *OFTEN, "hardware.num_threads=2"), kills=10, seed=3)


# In this process: a run that is stopped after so many steps.


class StopAfter:
    """Stands for a signal between two steps."""

    def __init__(self, monkeypatch, steps: int) -> None:
        self.left = steps
        monkeypatch.setattr("raspitrain.stop.StopSignals.check", lambda stop: self.check())

    def check(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Stopped(15)


def stopped_run(compose, folder, monkeypatch, steps, *words):
    """A run of JOB that was stopped after `steps` checks; the first one comes before step 1."""
    with monkeypatch.context() as patch:
        StopAfter(patch, steps + 2)
        with pytest.raises(Stopped):
            run(compose(*JOB, *words), folder)
    return folder


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A run that was stopped in the middle of its epoch 5, and the same one left alone."""
    folder = tmp_path_factory.mktemp("once")
    cfg, plain = composed(*JOB, "allowed_targets=[mine.Net]"), composed(*JOB)
    with pytest.MonkeyPatch.context() as patch:
        leave_out_what_takes_longer_than_the_run(patch)
        run(plain, folder / "alone")
        StopAfter(patch, 23)
        for config, name in ((plain, "stopped"), (cfg, "foreign")):
            StopAfter(patch, 23)
            with pytest.raises(Stopped):
                run(config, folder / name)
    return folder


@pytest.fixture(scope="module")
def stopped_state(once):
    return load_checkpoint(once / "stopped" / "last.pt")


@pytest.fixture
def stopped(once, tmp_path):
    return shutil.copytree(once / "stopped", tmp_path / "run")


def test_a_run_stopped_between_two_steps_says_where_it_stands(stopped):
    summary = json.loads((stopped / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert summary["reason"] == "stopped by SIGTERM"
    state = load_checkpoint(stopped / "last.pt")
    assert state["training"]["position"]["step_in_epoch"] in (1, 2, 3)
    assert 3 <= state["epoch"] < 8


def test_it_goes_on_to_the_same_end(once, stopped):
    summary = resume(stopped)
    assert summary["status"] == "completed"
    (part,) = summary["resumed"]
    assert part["checkpoint"] == "last.pt"
    assert part["overrides"] == part["not_exact"] == []
    assert_same(stopped, once / "alone")
    assert not (stopped / "last.previous.pt").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("optimizer=sgd", "split.validation=0", "augment=none"),
        ("optimizer=adamw", "in_memory=false", "loss.label_smoothing=0.1"),
        ("eval_every=1", "patience=50", "model.engine=torch"),
    ],
)
def test_stopped_anywhere_it_goes_on_to_the_same_end(compose, tmp_path, monkeypatch, words):
    given = {word.split("=")[0]: word for word in (*JOB, *words, "epochs=4")}
    cfg = compose(*given.values())
    run(cfg, tmp_path / "alone")
    with monkeypatch.context() as patch:
        StopAfter(patch, 3)
        with pytest.raises(Stopped):
            run(cfg, tmp_path / "run")
    for steps in (4, 7):
        with monkeypatch.context() as patch:
            StopAfter(patch, steps)
            with pytest.raises(Stopped):
                resume(tmp_path / "run")
    resume(tmp_path / "run")
    assert_same(tmp_path / "run", tmp_path / "alone")


def test_what_is_complete_is_left_as_it_is(once, tmp_path):
    folder = shutil.copytree(once / "alone", tmp_path / "run")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    told = []
    summary = resume(folder, tell=told.append)
    assert summary["status"] == "completed"
    assert told == [
        f"{folder}: the run is complete, all 8 epochs of it; epochs=N trains for longer"
    ]
    after = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert {k: v for k, v in after.items() if k != ".raspitrain-run"} == {
        k: v for k, v in before.items() if k != ".raspitrain-run"
    }


def test_what_is_missing_of_a_complete_run_is_made_again(once, tmp_path):
    folder = shutil.copytree(once / "alone", tmp_path / "run")
    for name in ("summary.json", "metrics.csv", "loss.png"):
        (folder / name).unlink()
    assert resume(folder)["status"] == "completed"
    assert_same(folder, once / "alone")
    assert (folder / "loss.png").exists()


def test_a_run_goes_on_longer_with_the_rate_that_its_schedule_ends_with(once, tmp_path, caplog):
    folder = shutil.copytree(once / "alone", tmp_path / "run")
    summary = resume(folder, ["epochs=10"])
    assert summary["final"]["epoch"] == summary["epochs"] == 10
    assert summary["resumed"][0]["overrides"] == ["epochs=10"]
    rows = read_rows(folder / "metrics.csv")
    assert [row["epoch"] for row in rows] == [3, 6, 8, 9, 10]
    assert rows[-1]["lr"] == pytest.approx(0.002 * 1e-4, rel=1)
    assert "is not stretched" in (folder / "run.log").read_text()
    assert "epochs: 10" in (folder / "config.yaml").read_text()
    # And what was said then holds for the next time.
    with pytest.raises(InputError, match="this one has 10 epochs"):
        resume(folder, ["epochs=9"])


def test_with_a_constant_rate_going_on_is_the_longer_run(compose, tmp_path):
    words = [w for w in JOB if not w.startswith(("schedule", "epochs"))] + ["schedule=constant"]
    run(compose(*words, "epochs=6"), tmp_path / "alone")
    run(compose(*words, "epochs=3"), tmp_path / "run")
    resume(tmp_path / "run", ["epochs=6"])
    assert_same(tmp_path / "run", tmp_path / "alone")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("batch_size=7", "batch_size=7 would make it another run, as this one has batch_size=6"),
        ("optimizer.lr=0.5", "would make it another run, as this one has optimizer.lr=0.00"),
        ("model=mobilenetv3_large", "would make it another run"),
        ("seed=1", "would make it another run"),
        ("hardware.flush_denormals=false", "would make it another run"),
        ("epochs=3", "epochs=3 would make it another run: this one has 8 epochs"),
        ("epochs=many", "epochs must be a whole number"),
        ("epoch=9", "epoch is not a key of the run"),
        ("+new=1", "'+new=1' has no place beside resume="),
        ("hydra.run.dir=x", "has no place beside resume="),
        ("epochs", "has no place beside resume="),
        ("epochs=${seed}", "cannot be read"),
        ("checkpoint_minutes=[", "cannot be read"),
        ("checkpoint_minutes=-1", "checkpoint_minutes must be a number at least 0, not -1"),
    ],
)
def test_what_would_make_it_another_run_is_refused(stopped, override, says):
    before = (stopped / "last.pt").read_bytes()
    with pytest.raises(InputError) as error:
        resume(stopped, [override])
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert (stopped / "last.pt").read_bytes() == before


def test_what_is_typed_as_it_was_is_no_change(once, stopped):
    summary = resume(stopped, ["batch_size=6", "seed=0"])
    assert summary["resumed"][0]["overrides"] == []
    assert_same(stopped, once / "alone")


def test_other_threads_are_allowed_and_said(stopped):
    summary = resume(stopped, ["hardware.num_threads=2", "checkpoint_minutes=1"])
    (part,) = summary["resumed"]
    assert part["overrides"] == ["hardware.num_threads=2", "checkpoint_minutes=1"]
    assert part["not_exact"] == ["hardware.num_threads=2"]
    assert summary["bit_reproducible"] is False
    assert summary["num_threads"] == 2
    assert "not bit for bit" in (stopped / "run.log").read_text()


def test_another_machine_is_said(stopped):
    state = load_checkpoint(stopped / "last.pt")
    state["run"]["made_by"]["torch"] = "1.0"
    save_checkpoint(stopped / "last.pt", state)
    summary = resume(stopped)
    assert summary["bit_reproducible"] is False
    assert summary["resumed"][0]["not_exact"] == [f"torch was 1.0 and is {torch.__version__}"]


def test_a_run_that_measured_its_threads_keeps_them(compose, tmp_path, monkeypatch):
    """Measured again, the number might be another, and so would be the bits."""
    monkeypatch.setattr("raspitrain.tuning.probe.available_cores", lambda: 2)
    words = [w for w in JOB if not w.startswith("hardware.")]
    cfg = compose(*words)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with monkeypatch.context() as patch:
        StopAfter(patch, 5)
        with pytest.raises(Stopped):
            run(cfg, tmp_path / "run")
    before = json.loads((tmp_path / "run" / "summary.json").read_text())["threads"]
    assert before["chosen_by"] in ("measurement", "cache")
    monkeypatch.setattr("raspitrain.tuning.tune.choose_num_threads", None)  # not asked
    assert resume(tmp_path / "run")["threads"] == before


def test_other_data_are_recognised(compose, tmp_path, monkeypatch):
    folder = tmp_path / "data"
    folder.mkdir()
    signals = np.random.default_rng(0).normal(size=(40, 3, 32)).astype(np.float32)
    np.save(folder / "label.npy", np.arange(40) % 2)
    np.save(folder / "data.npy", signals)
    words = [w for w in JOB if not w.startswith("dataset.")]
    cfg = compose(*words, "dataset=npy", f"dataset.path={folder}")
    with monkeypatch.context() as patch:
        StopAfter(patch, 5)
        with pytest.raises(Stopped):
            run(cfg, tmp_path / "run")
    np.save(folder / "data.npy", signals + (np.arange(40) == 7)[:, None, None])
    with pytest.raises(InputError, match="not those that the run"):
        resume(tmp_path / "run")
    np.save(folder / "data.npy", signals)
    moved = folder.rename(tmp_path / "moved")
    assert resume(tmp_path / "run", [f"dataset.path={moved}"])["status"] == "completed"


def test_code_of_the_users_own_is_to_be_allowed_again(once, tmp_path):
    """A folder from a stranger allows itself nothing."""
    folder = shutil.copytree(once / "foreign", tmp_path / "run")
    with pytest.raises(InputError, match=r"if you trust it, add 'allowed_targets=\[mine\.Net\]'"):
        resume(folder)
    state = load_checkpoint(folder / "last.pt")
    for target in ("os.system", "mine.Net"):
        state["config"]["model"]["_target_"] = target
        state["config"]["allowed_targets"] = []
        save_checkpoint(folder / "last.pt", state)
        with pytest.raises(InputError, match=f"_target_={target} is not allowed"):
            resume(folder)
    state["config"]["allowed_targets"] = ["mine.Net"]
    state["config"]["model"]["_target_"] = "os.system"
    save_checkpoint(folder / "last.pt", state)
    with pytest.raises(InputError, match=r"_target_=os\.system is not allowed"):
        resume(folder, ["allowed_targets=[mine.Net]"])


def test_a_strangers_program_is_not_started(stopped, tmp_path):
    """What reads the board is a program that the configuration names."""
    program, trace = tmp_path / "vcgencmd", tmp_path / "trace"
    program.write_text(f"#!/bin/sh\ntouch {trace}\n")
    program.chmod(0o755)
    state = load_checkpoint(stopped / "last.pt")
    state["config"]["hardware"]["readings"]["vcgencmd"] = str(program)
    save_checkpoint(stopped / "last.pt", state)
    with pytest.raises(InputError, match=r"starts a program of its own .*if you trust it"):
        resume(stopped)
    assert not trace.exists()
    resume(stopped, ["hardware.readings.vcgencmd=vcgencmd"])
    assert not trace.exists()
    assert resume(stopped, [f"hardware.readings.vcgencmd={program}", "epochs=9"])["status"]
    assert trace.exists()


def test_the_line_to_resume_holds_what_must_be_given_anew(compose, tmp_path):
    cfg = compose("allowed_targets=[a.B,c.D]", "hardware.readings.vcgencmd=/my/vcgencmd")
    words = allowing_words(cfg)
    assert words == ["allowed_targets=[a.B,c.D]", "hardware.readings.vcgencmd=/my/vcgencmd"]
    assert allowing_words(compose()) == []
    (tmp_path / "last.pt").touch()
    summary = {"status": "interrupted", "resume_words": words}
    (line,) = [li for li in final_lines(summary, tmp_path) if li.startswith("to resume")]
    assert line.endswith(f"resume={tmp_path} 'allowed_targets=[a.B,c.D]' {words[1]}")


def test_a_sweeps_job_goes_on_with_what_the_sweeps_command_allows(stopped, tmp_path):
    state = load_checkpoint(stopped / "last.pt")
    state["config"]["hardware"]["readings"]["vcgencmd"] = str(tmp_path / "vcgencmd")
    save_checkpoint(stopped / "last.pt", state)
    (stopped / job.FILE).write_text(json.dumps(state["config"]))
    (stopped / job.OVERRIDES).write_text("[]")
    cfg, overrides = job.configuration(stopped, {}, settle=False)
    assert job._run(stopped, cfg, overrides, resume=True) == 0
    assert json.loads((stopped / "summary.json").read_text())["status"] == "completed"


# What is left of the files.


@pytest.mark.parametrize("harm", ["cut", "altered", "empty", "gone"])
def test_a_damaged_checkpoint_is_replaced_by_the_one_before(once, stopped, harm):
    path = stopped / "last.pt"
    data = path.read_bytes()
    middle = len(data) // 2
    harmed = {
        "cut": data[:middle],
        "altered": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "empty": b"",
        "gone": None,
    }[harm]
    path.unlink()
    if harmed is not None:
        path.write_bytes(harmed)
    summary = resume(stopped)
    assert summary["resumed"][0]["checkpoint"] == "last.previous.pt"
    assert "last.previous.pt is taken instead" in (stopped / "run.log").read_text()
    assert_same(stopped, once / "alone")


def test_without_any_usable_checkpoint_it_is_said_what_is_left(stopped):
    for name in ("last.pt", "last.previous.pt"):
        (stopped / name).write_bytes((stopped / name).read_bytes()[:-30])
    with pytest.raises(InputError, match=r"no usable checkpoint.*last\.pt is damaged.*left: best"):
        resume(stopped)
    for name in ("last.pt", "last.previous.pt"):
        (stopped / name).unlink()
    with pytest.raises(InputError, match=r"has no checkpoint, neither last.*what is left: metrics"):
        resume(stopped)


def test_a_folder_without_a_run_is_named(tmp_path, stopped):
    with pytest.raises(InputError, match="there is no folder"):
        resume(tmp_path / "nowhere")
    with pytest.raises(InputError, match=f"resume={stopped}$"):
        resume(stopped / "last.pt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no run"):
        resume(tmp_path / "empty")
    assert not list((tmp_path / "empty").iterdir())
    (tmp_path / "empty" / "config.yaml").write_text("")
    with pytest.raises(InputError, match="before its first checkpoint"):
        resume(tmp_path / "empty")


def test_an_older_checkpoint_says_so(stopped, monkeypatch):
    state = load_checkpoint(stopped / "last.pt")
    (stopped / "last.previous.pt").unlink()
    monkeypatch.setattr(checkpoint, "FORMAT_VERSION", 1)
    save_checkpoint(stopped / "last.pt", state)
    monkeypatch.undo()
    with pytest.raises(InputError, match="has checkpoint format 1, and this raspitrain reads"):
        resume(stopped)


def test_weights_alone_are_no_run(stopped):
    shutil.copy(stopped / "best.pt", stopped / "last.pt")
    (stopped / "last.previous.pt").unlink()
    with pytest.raises(InputError, match="holds weights alone"):
        resume(stopped)


def _set(state, path, value):
    *above, last = path.split(".")
    for name in above:
        state = state[name]
    if value is _set:
        del state[last]
    else:
        state[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("config", None),
        ("config.epochs", "${oc.env:HOME}"),
        ("config.model", {}),
        ("model", {"weight": torch.zeros(3)}),
        ("training.optimizer", {}),
        ("training.schedule", {"step": 5}),
        ("training.generator", torch.zeros(3, dtype=torch.uint8)),
        ("training.random.numpy", ["MT19937", torch.zeros(624, dtype=torch.int64), 10**6, 0, 0.0]),
        ("training.random.python", [3, torch.zeros(5, dtype=torch.int64), None]),
        ("training.random.torch", torch.zeros(5, dtype=torch.uint8)),
        ("training.position.order", torch.zeros(5, dtype=torch.uint8)),
        ("training.position.step", "many"),
        ("training.position.extra", 1),
        ("run.table", {}),
        ("run.best", {"row": 3}),
        ("run.epochs", "x"),
        ("run.made_by", None),
        ("run.tuned", {"threads": {"num_threads": "rm"}}),
        ("run.data", 0),
        ("run.resumed", 5),
        ("run.augmentation", {"strength": "strong", "seconds": 1.0}),
        ("mean", _set),
        ("epoch", _set),
    ],
)
def test_a_checkpoint_that_nobody_wrote_is_a_sentence(stopped, stopped_state, path, value):
    state = copy.deepcopy(stopped_state)
    _set(state, path, value)
    save_checkpoint(stopped / "last.pt", state)
    with pytest.raises(InputError) as error:
        resume(stopped)
    assert str(stopped) in str(error.value) or "must be" in str(error.value)


def test_metrics_survive_a_cut_at_any_byte(once, tmp_path):
    """Whatever is left of the table, each row is there once in the end."""
    folder = shutil.copytree(once / "alone", tmp_path / "run")
    whole = (folder / "metrics.csv").read_bytes()
    rows = read_rows(folder / "metrics.csv")
    table_state = load_checkpoint(folder / "last.pt")["run"]["table"]
    from raspitrain.results.table import Table

    for cut in range(0, len(whole), 17):
        (folder / "metrics.csv").write_bytes(whole[:cut])
        table = Table(folder / "metrics.csv")
        table.restore(table_state)
        table.write()
        assert (folder / "metrics.csv").read_bytes() == whole
        # Rows from after the checkpoint go.
        table.restore(table_state)
        with (folder / "metrics.csv").open("ab") as file:
            file.write(whole.splitlines(keepends=True)[1][: cut + 1])
        table.write()
        table.append(rows[0])
        table.write()
        assert read_rows(folder / "metrics.csv") == [*rows, rows[0]]


def test_a_run_that_is_going_on_is_left_alone(tmp_path):
    words = [w for w in JOB if not w.startswith("epochs")] + ["epochs=100000"]
    process = start(*words, "hydra.run.dir=run", cwd=tmp_path)
    try:
        wait_until(lambda: log_lines(tmp_path / "run", "threads:") > 0)
        with pytest.raises(InputError, match=rf"still under way \(process {process.pid}\)"):
            resume(tmp_path / "run")
    finally:
        process.kill()
        process.join()


def test_what_a_killed_start_left_can_be_started_again(compose, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".raspitrain-run").write_text("process 1\n")
    (tmp_path / "run" / "config.yaml").write_text("")
    assert run(compose(*JOB), tmp_path / "run")["status"] == "completed"


def test_a_run_in_a_notebook_leaves_torch_as_it_was(compose, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(compose(*JOB), tmp_path / "run")
        assert torch.get_num_threads() == 2
        assert torch.tensor(1e-40).mul(1).item() != 0
    finally:
        torch.set_num_threads(threads)


# At the door.


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["resume=run", "--multirun"], "leave out --multirun"),
        (["resume=run", "--config-dir", "x"], "--config-dir has no place beside resume="),
        (["resume=run", "resume=run"], "resume is given 2 times"),
        (["resume=run", "seed=1", "seed=1"], "seed is given 2 times"),
        (["resume="], "must name the folder of a run"),
        (["resume=nowhere"], "there is no folder"),
        (["resume=run", "batch_size=9"], "batch_size=9 would make it another run"),
        (["resum=run"], "did you mean resume"),
    ],
)
def test_mistakes_at_the_door_are_one_sentence(stopped, tmp_path, arguments, says):
    assert finish(*arguments, cwd=tmp_path) == 2
    (line,) = (tmp_path / "stderr.txt").read_text().splitlines()
    assert line.startswith("error: ")
    assert says in line
    assert os.path.getsize(tmp_path / "stdout.txt") == 0


def test_the_door_goes_on(once, stopped, tmp_path):
    strange = stopped.rename(tmp_path / "it's a folder=1")
    assert finish(f"resume={strange.name}", "seed=0", cwd=tmp_path) == 0
    assert_same(strange, once / "alone")
    assert "epoch 8/8" in (tmp_path / "stdout.txt").read_text()
    assert finish(f"resume={strange.name}", cwd=tmp_path) == 0
    assert "the run is complete" in (tmp_path / "stdout.txt").read_text()


def test_a_run_that_has_not_learnt_goes_on_by_cycles_and_so_does_its_resumption(
    compose, tmp_path, monkeypatch
):
    """Epochs of 2 steps: 4, then 8, then 16, each with a schedule of its own."""
    monkeypatch.setattr("raspitrain.run.prepare.AUTO_STEPS", 4)
    words = (
        *(t for t in TINY if not t.startswith("epochs=")),
        "dataset=random", "min_steps=auto", "min_epochs=1", "batch_size=14", "eval_every=1", *OFTEN,
    )  # fmt: skip
    summary = run(compose(*words), tmp_path / "whole")
    assert (summary["epochs"], summary["steps"], summary["underfitted"]) == (14, 28, True)
    rates = [row["lr"] for row in read_rows(tmp_path / "whole/metrics.csv")]
    assert rates[0] == rates[2] == rates[6]
    assert "training goes on for 4 more" in (tmp_path / "whole/run.log").read_text()

    class StopAt:
        """Ends the run after so many evaluations: in a cycle, or between two."""

        def __init__(self, count):
            self.left = count

        def __call__(self, row):
            self.left -= 1
            if not self.left:
                raise Stopped(15)

    for count in (2, 4):
        folder = tmp_path / f"stopped_{count}"
        stop_at = StopAt(count)
        with monkeypatch.context() as patch:
            patch.setattr("raspitrain.results.screen.Screen.evaluation", stop_at)
            with pytest.raises(Stopped):
                run(compose(*words), folder)
        assert resume(folder)["epochs"] == 14
        assert_same(folder, tmp_path / "whole")


def test_no_time_is_left_to_go_on(compose, tmp_path, monkeypatch):
    monkeypatch.setattr("raspitrain.run.prepare.AUTO_STEPS", 4)
    words = (*(t for t in TINY if not t.startswith("epochs=")), "dataset=random", "min_epochs=1")
    words = (*words, "min_steps=auto", "batch_size=14", "max_minutes=1e-9")
    summary = run(compose(*words), tmp_path / "run")
    assert summary["epochs"] == 2


def test_a_relative_path_of_data_counts_from_where_the_run_began(tmp_path, compose, monkeypatch):
    (tmp_path / "home" / "data").mkdir(parents=True)
    (tmp_path / "away").mkdir()
    np.save(tmp_path / "home/data/data.npy", np.random.default_rng(0).standard_normal((40, 2, 32)))
    np.save(tmp_path / "home/data/label.npy", np.arange(40) % 2)
    monkeypatch.chdir(tmp_path / "home")
    words = (
        "dataset=npy", "dataset.path=data", "epochs=1", "model.width_mult=0.25", "export=none",
        "hardware.num_threads=1",
    )  # fmt: skip
    folder = tmp_path / "run"
    run(compose(*words), folder, overrides=words)
    monkeypatch.chdir(tmp_path / "away")
    for epochs in (2, 3):
        assert resume(folder, [f"epochs={epochs}"], show=False)["status"] == "completed"
    assert len(evaluate_part(StoredRun.open(folder), "test").pieces[0].indices) > 0
    (tmp_path / "home").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="data does not exist"):
        resume(folder, ["epochs=4"], show=False)
    monkeypatch.chdir(tmp_path / "elsewhere")  # as ever, from here on
    assert resume(folder, ["epochs=4"], show=False)["status"] == "completed"
    (tmp_path / "elsewhere/data").rename(tmp_path / "elsewhere/moved")
    (tmp_path / "home/moved").mkdir(parents=True)  # where the run began, and not what is meant
    assert resume(folder, ["epochs=5", "dataset.path=moved"], show=False)["status"] == "completed"
    monkeypatch.chdir(tmp_path / "away")  # from where it was moved to
    assert resume(folder, ["epochs=6"], show=False)["status"] == "completed"
