"""A card that fills up, becomes read-only or breaks: whole files, and a run that goes on."""

import csv
import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from conftest import TINY
from processes import AtWrite, finish, write_fails
from test_resume import CLOCKS, assert_same
from torch import nn

from raspitrain.errors import InputError, UnwrittenError
from raspitrain.results import keeper
from raspitrain.results.atomic import write_atomic
from raspitrain.results.checkpoint import load_checkpoint
from raspitrain.results.keeper import Keeper
from raspitrain.results.table import COLUMNS, Table
from raspitrain.run.resume import resume
from raspitrain.run.run import run

JOB = (
    *(t for t in TINY if not t.startswith(("epochs=", "model."))),
    "epochs=3", "batch_size=14", "eval_every=1", "split.validation=0.2", "model.width_mult=0.1",
    "checkpoint_minutes=0", "checkpoint_share=1",
)  # fmt: skip
ALLOWED = "allowed_targets=[test_failing_writes.Net]"
PNG_END = b"IEND\xaeB`\x82"


class Net(nn.Sequential):
    """A dozen tensors, where MobileNetV3 has hundreds: a checkpoint takes a tenth of the time."""

    def __init__(self, num_channels, num_classes):
        super().__init__(
            nn.Conv1d(num_channels, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.AdaptiveAvgPool1d(1),
            nn.Flatten(), nn.Dropout(0.1), nn.Linear(4, num_classes),
        )  # fmt: skip


def assert_whole(folder: Path) -> None:
    """Every file under a final name can be read to its end."""
    for path in folder.iterdir():
        assert not path.name.startswith(".partial"), path
        if path.suffix == ".pt":
            load_checkpoint(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".png":
            assert path.read_bytes().endswith(PNG_END), path
        elif path.name == "metrics.csv":
            assert path.read_text().endswith("\n")
            rows = list(csv.reader(path.read_text().splitlines()))
            assert all(len(row) == len(COLUMNS) for row in rows)
            assert len({row[0] for row in rows}) == len(rows), "a row is there twice"
        elif path.suffix == ".yaml":
            assert path.read_text().endswith("\n")


@pytest.fixture
def quick(monkeypatch):
    """Plots that are written as plots are, and drawn in no time; a checkpoint at every step."""
    for name in ("accuracy", "loss", "confusion"):
        monkeypatch.setattr(
            f"raspitrain.run.outcome.plot_{name}",
            lambda *given, **_: write_atomic(given[-1], PNG_END),
        )
    monkeypatch.setattr(
        "raspitrain.report.report_run",
        lambda folder, **_: write_atomic(folder / "report.html", b"page"),
    )
    monkeypatch.setattr("raspitrain.run.outcome.environment_record", dict)
    monkeypatch.setattr(Keeper, "is_due", lambda self: True)


@pytest.fixture
def cfg(compose):
    composed = compose(*JOB, ALLOWED)
    composed.model = {"_target_": "test_failing_writes.Net"}
    return composed


@pytest.fixture
def alone(cfg, tmp_path, quick):
    """A run left alone."""
    run(cfg, tmp_path / "alone")
    return tmp_path / "alone"


def count_writes(cfg, folder) -> int:
    seen = 0

    def count(stage, path):
        nonlocal seen
        seen += 1

    fault = AtWrite(10**9)
    with pytest.MonkeyPatch.context() as patch, write_fails(fault):
        patch.setattr("raspitrain.results.atomic.on_write", count)
        run(cfg, folder)
    return seen


def fail_and_resume(cfg, folder: Path, alone: Path, fault: AtWrite) -> str:
    """What came of a run whose writes fail so; afterwards it is resumed and ends as `alone`."""
    outcome, sentence = "finished", f"{folder} {os.strerror(fault.error)}"
    try:
        with write_fails(fault):
            run(cfg, folder)
    except UnwrittenError as error:
        outcome, sentence = "unwritten", str(error)
    except InputError as error:
        outcome, sentence = "refused", str(error)
    assert str(folder) in sentence
    assert os.strerror(fault.error) in sentence
    if outcome == "refused":
        assert not folder.exists() or not list(folder.iterdir())
        run(cfg, folder)
    assert_whole(folder)
    resume(folder, [ALLOWED])
    assert_whole(folder)
    assert_same(folder, alone)
    return outcome


def test_each_write_may_fail_once(cfg, tmp_path, alone):
    """Every eleventh of them here; all of them in make test-long."""
    number = count_writes(cfg, tmp_path / "counted")
    assert number > 60
    outcomes = [
        fail_and_resume(cfg, tmp_path / f"{n}", alone, AtWrite(n, errno.ENOSPC))
        for n in sorted({*range(0, number, 11), number - 3})
    ]
    assert {"refused", "finished"} <= set(outcomes)
    # Before the run there is nothing to lose; what the end could not write is said.
    assert outcomes[0] == "refused"
    assert "unwritten" in outcomes


@pytest.mark.parametrize(
    ("at", "error"), [(20, errno.ENOSPC), (31, errno.EROFS), (45, errno.EACCES), (70, errno.EIO)]
)
def test_a_card_that_fills_up_for_good_keeps_what_there_was(cfg, tmp_path, alone, at, error):
    fault = AtWrite(at, error, ever_after=True)
    assert fail_and_resume(cfg, tmp_path / "run", alone, fault) == "unwritten"


@pytest.mark.long
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("ever_after", [False, True])
def test_each_write_may_fail(cfg, tmp_path, alone, error, ever_after):
    for n in range(count_writes(cfg, tmp_path / "counted")):
        fail_and_resume(cfg, tmp_path / f"{n}", alone, AtWrite(n, error, ever_after))


@pytest.mark.long
def test_each_write_of_the_real_command_may_fail(tmp_path):
    assert finish(*JOB, "hydra.run.dir=alone", cwd=tmp_path) == 0
    for n in range(80):
        fault = AtWrite(n, errno.ENOSPC)
        code = finish(*JOB, f"hydra.run.dir={n}", cwd=tmp_path, fault=fault)
        stderr = (tmp_path / "stderr.txt").read_text()
        assert code in (0, 74, 75), stderr
        assert "Traceback" not in stderr
        if code == 75:  # before it began: try again when there is room
            assert not (tmp_path / f"{n}").exists()
            continue
        assert_whole(tmp_path / f"{n}")
        assert finish(f"resume={n}", cwd=tmp_path) == 0
        assert_whole(tmp_path / f"{n}")
        assert_same(tmp_path / f"{n}", tmp_path / "alone")


def test_the_command_says_what_it_could_not_write(tmp_path):
    """One warning when it begins, 74 and one sentence at the end."""
    fault = AtWrite(0, errno.ENOSPC, ever_after=True, since="append")
    code = finish(*JOB, "hydra.run.dir=run", cwd=tmp_path, fault=fault)
    stderr = (tmp_path / "stderr.txt").read_text()
    assert code == 74, stderr
    assert "Traceback" not in stderr
    assert "Error executing job" not in stderr  # as Hydra would say
    assert stderr.count("the checkpoint cannot be written (No space left on device)") == 1
    assert stderr.count("metrics.csv cannot be written") == 1
    last = stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "last.pt" in last
    assert "summary.json" in last
    assert f"python -m raspitrain resume={tmp_path / 'run'}" in last
    assert "epoch 3/3" in (tmp_path / "stdout.txt").read_text()
    assert_whole(tmp_path / "run")
    assert finish("resume=run", cwd=tmp_path) == 0
    assert_whole(tmp_path / "run")


# The two that write again and again.


def test_rows_that_a_full_card_refused_come_later(tmp_path):
    table = Table(tmp_path / "metrics.csv")
    rows = [{"epoch": n, "step": 3 * n, "train_loss": 1 / n} for n in (1, 2, 3, 4)]
    table.append(rows[0])
    table.write()
    with write_fails(AtWrite(0, ever_after=True)):
        for row in rows[1:3]:
            table.append(row)
            with pytest.raises(OSError, match="No space"):
                table.write()
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 2
    table.append(rows[3])
    table.write()
    written = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [row["epoch"] for row in written] == ["1", "2", "3", "4"]
    assert [table.row(n) for n in range(4)] == rows
    assert table.row(-1) == rows[-1]
    assert set(written[0]) >= CLOCKS


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def make_keeper(folder, clock, monkeypatch, *, takes: float, minutes=5.0, epochs=None):
    def save(path, state, previous=None):
        clock.now += takes
        path.write_bytes(b"x" * 1000)

    monkeypatch.setattr(keeper, "save_checkpoint", save)
    return Keeper(folder, minutes=minutes, epochs=epochs, share=0.02, clock=clock)


def test_checkpoints_come_every_few_minutes(tmp_path, clock, monkeypatch):
    kept = make_keeper(tmp_path, clock, monkeypatch, takes=0.1)
    assert kept.is_due()
    kept.save({}, None)
    clock.now += 299
    assert not kept.is_due()
    assert not kept.is_due_after(4)
    clock.now += 2
    assert kept.is_due()
    assert kept.record()["bytes_per_hour"] == 12_000


@pytest.mark.parametrize(("takes", "expected"), [(1.0, 300), (12.0, 600), (60.0, 3000)])
def test_a_slow_card_is_written_to_less_often(tmp_path, clock, monkeypatch, takes, expected):
    """Two per cent of the time, whatever a write takes."""
    kept = make_keeper(tmp_path, clock, monkeypatch, takes=takes)
    kept.save({}, None)
    clock.now += expected - 1
    assert not kept.is_due()
    clock.now += 2
    assert kept.is_due()


def test_checkpoints_by_epochs_keep_to_the_share_too(tmp_path, clock, monkeypatch):
    kept = make_keeper(tmp_path, clock, monkeypatch, takes=1.0, epochs=3)
    kept.save({}, None)
    clock.now += 40
    assert not kept.is_due_after(3)  # 50 s after one that took 1 s
    clock.now += 11
    assert not kept.is_due_after(4)
    assert kept.is_due_after(6)


def test_stretching_is_said_once(tmp_path, clock, monkeypatch, caplog):
    caplog.set_level("INFO", "raspitrain")
    kept = make_keeper(tmp_path, clock, monkeypatch, takes=12.0)
    for _ in range(4):
        kept.save({}, None)
        clock.now += 600
    assert caplog.text.count("so they come every 10.0 minutes, to take 2 % of the time") == 1


def test_best_is_written_when_it_is_another(tmp_path, clock, monkeypatch):
    """A card wears by writing."""
    kept = make_keeper(tmp_path, clock, monkeypatch, takes=0.1)
    for best, expected in (({"step": 5}, True), ({"step": 5}, False), ({"step": 8}, True)):
        (tmp_path / "best.pt").unlink(missing_ok=True)
        kept.save({}, best)
        assert (tmp_path / "best.pt").exists() is expected


def test_a_fat_card_knows_no_second_names(cfg, tmp_path, monkeypatch, alone):
    def no_links(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    number = count_writes(cfg, tmp_path / "counted")
    for n in range(20, number, 23):
        fail_and_resume(cfg, tmp_path / f"{n}", alone, AtWrite(n, errno.ENOSPC))


def test_a_card_that_is_nearly_full_is_said_at_the_start(cfg, tmp_path, quick, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=50_000))
    run(cfg, tmp_path / "run")
    assert "WARNING 0 MB are free in" in (tmp_path / "run" / "run.log").read_text()
