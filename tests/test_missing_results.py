"""Results that would go missing quietly: a complete run lacks nothing, and what is not said is
that nothing is wrong."""

import errno
import json
import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from conftest import TINY, composed
from made_sweep import made_summary, made_sweep
from processes import AtFile, AtWrite, finish, write_fails
from test_failing_writes import assert_whole
from test_resume import assert_same
from test_run import FILES
from torch import nn

from raspitrain.data.batches import Part
from raspitrain.errors import InputError, TemporaryError, UnwrittenError
from raspitrain.hardware import memory
from raspitrain.report import report_sweep
from raspitrain.run.resume import resume
from raspitrain.run.run import run
from raspitrain.training.training import evaluate

JOB = (*TINY, "eval_every=1")
# In the order in which they are written at the end of a run.
AT_THE_END = ("summary.json", "accuracy.png", "loss.png", "confusion_matrix.png", "report.html")


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def said(folder: Path) -> str:
    return (folder / "stderr.txt").read_text()


# Killed while it writes.


def test_a_run_killed_before_its_page_is_made_complete(tmp_path):
    code = finish(*JOB, "hydra.run.dir=run", cwd=tmp_path, fault=AtFile("report.html", None))
    assert code == -9
    folder = tmp_path / "run"
    assert (folder / "loss.png").exists()
    assert not (folder / "report.html").exists()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["unwritten"]["report.html"] == "not written yet"
    assert finish("resume=run", cwd=tmp_path) == 0, said(tmp_path)
    assert names_in(folder) == FILES
    assert "unwritten" not in json.loads((folder / "summary.json").read_text())
    before = {name: (folder / name).read_bytes() for name in FILES}
    assert finish("resume=run", cwd=tmp_path) == 0
    assert "the run is complete" in (tmp_path / "stdout.txt").read_text()
    assert {name: (folder / name).read_bytes() for name in FILES} == before


@pytest.mark.long
@pytest.mark.parametrize("name", AT_THE_END)
def test_a_run_killed_while_it_writes_its_pictures_is_made_complete(tmp_path, name):
    """Also where older ones are there already, as those of a run that has gone on longer."""
    job = (*JOB, "split.validation=0.2")
    assert finish(*job, "hydra.run.dir=alone", cwd=tmp_path) == 0
    assert finish(*job, "hydra.run.dir=run", cwd=tmp_path, fault=AtFile(name, None)) == -9
    assert finish("resume=run", cwd=tmp_path) == 0, said(tmp_path)
    assert names_in(tmp_path / "run") == FILES
    assert_same(tmp_path / "run", tmp_path / "alone")
    longer = ("resume=run", "epochs=4")
    before = (tmp_path / "run" / "accuracy.png").read_bytes()
    assert finish(*longer, cwd=tmp_path, fault=AtFile(name, None)) == -9
    assert finish(*longer, cwd=tmp_path) == 0, said(tmp_path)
    assert names_in(tmp_path / "run") == FILES
    assert (tmp_path / "run" / "accuracy.png").read_bytes() != before
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["final"]["epoch"] == 4


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    folder = tmp_path_factory.mktemp("complete") / "run"
    run(composed(*JOB), folder)
    return folder


MADE_AGAIN = FILES - {"overrides.yaml", "last.pt", "best.pt", "metrics.csv"}
OF_EACH_KIND = ("config.yaml", "data.csv", "loss.png", "model.rpt", "report.html", "summary.json")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] * (name not in OF_EACH_KIND))
        for name in sorted(MADE_AGAIN)
    ],
)
def test_what_a_complete_run_lacks_is_made(complete, tmp_path, name):
    folder = shutil.copytree(complete, tmp_path / "run")
    (folder / name).unlink()
    assert resume(folder)["status"] == "completed"
    assert names_in(folder) == FILES


# Refused by the card.


@pytest.mark.parametrize(
    ("name", "error"), [("report.html", errno.ENOSPC), ("telemetry.csv", errno.EROFS)]
)
def test_what_the_card_refuses_at_the_end_is_said(tmp_path, name, error):
    fault = AtFile(name, error)
    assert finish(*JOB, "hydra.run.dir=run", cwd=tmp_path, fault=fault) == 74, said(tmp_path)
    last = said(tmp_path).strip().splitlines()[-1]
    assert f"{name} could not be written ({os.strerror(error)})" in last
    assert ("make room" in last) == (error == errno.ENOSPC)
    assert last.endswith(f"python -m raspitrain resume={tmp_path / 'run'}")
    assert_whole(tmp_path / "run")
    assert names_in(tmp_path / "run") == (FILES - {name}) | {"last.previous.pt"}
    assert finish("resume=run", cwd=tmp_path) == 0, said(tmp_path)
    assert names_in(tmp_path / "run") == FILES


def test_a_log_that_the_card_refuses_costs_the_log_alone(tmp_path):
    fault = AtFile("run.log", errno.EROFS)
    assert finish(*JOB, "hydra.run.dir=run", cwd=tmp_path, fault=fault) == 74
    assert said(tmp_path).count("run.log cannot be written") == 1
    assert "epoch 2/2" in (tmp_path / "stdout.txt").read_text()
    assert names_in(tmp_path / "run") == (FILES - {"run.log"}) | {"last.previous.pt"}
    assert finish("resume=run", cwd=tmp_path) == 0, said(tmp_path)
    assert names_in(tmp_path / "run") == FILES


@pytest.mark.parametrize(
    "name",
    [
        "confusion_matrix.png",
        "summary.json",
        *(pytest.param(f"{name}.png", marks=pytest.mark.long) for name in ("accuracy", "loss")),
    ],
)
def test_each_result_that_is_refused_is_named_and_made_later(compose, tmp_path, name):
    with write_fails(AtFile(name)), pytest.raises(UnwrittenError, match=f"{name} could not be"):
        run(compose(*JOB), tmp_path / "run")
    assert resume(tmp_path / "run")["status"] == "completed"
    assert names_in(tmp_path / "run") == FILES


def test_a_picture_that_cannot_be_drawn_costs_that_picture(compose, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("raspitrain.run.outcome.plot_loss", lambda *given, **marks: 1 / 0)
        with pytest.raises(UnwrittenError, match=r"loss\.png could not be written \(division"):
            run(compose(*JOB), tmp_path / "run")
    assert names_in(tmp_path / "run") == (FILES - {"loss.png"}) | {"last.previous.pt"}
    assert resume(tmp_path / "run")["status"] == "completed"
    assert names_in(tmp_path / "run") == FILES


def test_a_measurement_that_cannot_be_written_is_said(compose, tmp_path):
    words = ("task=throughput", "throughput.seconds=0.05", "throughput.warmup_seconds=0.01")
    for name, code in (("config.yaml", 75), ("summary.json", 74), ("report.html", 74)):
        given = (*TINY, *words, "hydra.run.dir=run")
        assert finish(*given, cwd=tmp_path, fault=AtFile(name)) == code
        assert (tmp_path / "run").exists() == (code == 74)
        if code == 74:
            assert f"{name} could not be written" in said(tmp_path)
            assert "cases/s" in (tmp_path / "stdout.txt").read_text()
            shutil.rmtree(tmp_path / "run")


# States that can pass, and those that cannot.


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (errno.ENOSPC, 75, "make room"),
        (errno.EDQUOT, 75, "raise the quota"),
        (errno.EROFS, 75, "make the file system writable again"),
        (errno.EIO, 75, "look for a fault of the card"),
        (errno.EFBIG, 2, "ulimit -f"),
        (errno.ENAMETOOLONG, 2, "use a shorter path"),
        (errno.EACCES, 2, "allow this user to write there"),
    ],
)
@pytest.mark.parametrize("name", ["run", "config.yaml", "last.pt"])
def test_a_card_that_refuses_the_beginning(compose, tmp_path, error, code, says, name):
    with write_fails(AtFile(name, error)), pytest.raises(InputError, match=says) as caught:
        run(compose(*JOB), tmp_path / "run")
    assert caught.value.exit_code == code
    assert ("make room" in str(caught.value)) == (error in (errno.ENOSPC, errno.EDQUOT))
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.parametrize(("error", "code"), [(errno.EROFS, 75), (errno.EACCES, 2)])
def test_a_card_that_cannot_be_written_when_a_run_is_resumed(tmp_path, complete, error, code):
    shutil.copytree(complete, tmp_path / "run")
    command = ("resume=run", "epochs=3")
    assert finish(*command, cwd=tmp_path, fault=AtFile("run", error)) == code
    assert os.strerror(error) in said(tmp_path)
    assert "make room" not in said(tmp_path)


def test_the_command_ends_with_a_code_of_its_own_on_a_full_card(tmp_path):
    assert finish(*JOB, "hydra.run.dir=run", cwd=tmp_path, fault=AtWrite(0, errno.ENOSPC)) == 75
    (line,) = said(tmp_path).splitlines()
    assert line.startswith("error: the run folder")
    assert "make room" in line
    assert not (tmp_path / "run").exists()


def test_a_limit_on_the_size_of_files_is_not_a_full_card(tmp_path):
    """A real one: the kernel's."""
    limits = {resource.RLIMIT_FSIZE: 1000}
    assert finish(*JOB, "hydra.run.dir=run", cwd=tmp_path, limits=limits) == 2, said(tmp_path)
    assert "File too large" in said(tmp_path)
    assert "ulimit -f" in said(tmp_path)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_removed_while_the_run_goes_on(compose, tmp_path, monkeypatch):
    from raspitrain.run import run as module

    write_table = module.write_table

    def remove(job):
        shutil.rmtree(job.folder, ignore_errors=True)
        write_table(job)

    monkeypatch.setattr(module, "write_table", remove)
    with pytest.raises(UnwrittenError, match="was removed while the run went on") as caught:
        run(compose(*TINY), tmp_path / "run")
    assert "make room" not in str(caught.value)


def test_too_little_memory_can_pass_and_a_limit_cannot(compose, tmp_path, monkeypatch):
    """Other programs may end; a budget and the machine's size stay as they are."""
    monkeypatch.setattr(memory, "available_memory", lambda alone=False: 10**12 if alone else 10**6)
    with pytest.raises(TemporaryError, match="end other programs"):
        run(compose(*JOB), tmp_path / "run")
    monkeypatch.setattr(memory, "available_memory", lambda alone=False: 2 * 10**6)
    with pytest.raises(InputError, match="end other programs") as caught:
        run(compose(*JOB), tmp_path / "run")
    assert not isinstance(caught.value, TemporaryError)
    monkeypatch.undo()
    with pytest.raises(InputError, match="memory_budget_mb=200 allows no more") as caught:
        run(compose(*JOB, "hardware.memory_budget_mb=200"), tmp_path / "run")
    assert not isinstance(caught.value, TemporaryError)


def test_a_very_deep_folder_is_no_nested_configuration(tmp_path):
    deep, deeper = "/".join(["d"] * 1200), "/".join(["d" * 200] * 30)
    try:
        assert finish(*JOB, f"hydra.run.dir={deep}", cwd=tmp_path) == 0, said(tmp_path)
        assert finish(*JOB, f"hydra.run.dir={deeper}", cwd=tmp_path) == 2
        assert "File name too long" in said(tmp_path)
        assert "use a shorter path" in said(tmp_path)
        assert not list(tmp_path.glob("dd*"))
    finally:
        # Too deep for Python's own way.
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


# Not a number.


class NothingLearnt(nn.Sequential):
    """Trains, and gives NaN when it is evaluated, from the second evaluation on."""

    evaluations = 0

    def __init__(self, num_channels, num_classes):
        super().__init__(
            nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(num_channels, num_classes)
        )

    def forward(self, signals):
        logits = super().forward(signals)
        if self.training:
            self.has_trained = True
            return logits
        self.evaluations += getattr(self, "has_trained", False)
        return logits * float("nan") if self.evaluations > 1 else logits


def own_network(folder: Path) -> tuple[str, ...]:
    """Words for a network of the user's own, in a file beside the run."""
    (folder / "mine" / "model").mkdir(parents=True)
    text = "_target_: test_missing_results.NothingLearnt\n"
    (folder / "mine" / "model" / "own.yaml").write_text(text)
    return (
        "--config-dir", str(folder / "mine"), "model=own",
        "allowed_targets=[test_missing_results.NothingLearnt]",
    )  # fmt: skip


def test_a_run_whose_evaluation_is_no_number_has_diverged(tmp_path):
    words = [w for w in JOB if not w.startswith(("model.", "epochs="))]
    words = [*words, *own_network(tmp_path), "hydra.run.dir=run", "epochs=3"]
    assert finish(*words, cwd=tmp_path) == 2
    assert "The loss on the test part is not a finite number any more at step" in said(tmp_path)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "diverged"
    assert summary["final"]["epoch"] == 1
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 2


class Gives(nn.Module):
    """The same logits for every case."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, signals):
        return self.logits.expand(len(signals), -1)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("logits", "loss", "finite"),
    [
        ((1.0, 2.0), nn.CrossEntropyLoss(), True),
        ((NAN, 2.0), nn.CrossEntropyLoss(), False),
        ((1.0, INF), nn.CrossEntropyLoss(), False),
        ((1.0, NAN), lambda logits, labels: torch.tensor(0.5), False),
        ((1.0, 2.0), lambda logits, labels: torch.tensor(INF), False),
    ],
)
def test_an_evaluation_without_a_number_shows(logits, loss, finite):
    labels = torch.tensor([0, 1, 1])
    part = Part(labels, lambda indices: torch.zeros(len(indices), 1, 8))
    value, _ = evaluate(Gives(*logits), part, loss, batch_size=2, device=torch.device("cpu"))
    assert torch.tensor(value).isfinite().item() is finite


@pytest.mark.parametrize("lost", ["test_loss", "validation_loss", "train_loss"])
def test_a_run_without_a_loss_wins_no_sweep(tmp_path, lost):
    """Also one that an earlier version called completed."""

    def summary(k, values):
        made = made_summary(0.99 if k == 1 else 0.8, 1000 if k == 1 else 100)
        if k == 1:
            made["final"] = made["final"] | {lost: NAN}
        return made

    result = report_sweep(made_sweep(tmp_path / "sweep", {"x": [0, 1, 2]}, summary))
    assert result["jobs"][1]["status"] == "diverged"
    assert result["fastest"]["jobs"] != [1]
    assert result["most_accurate"]["jobs"] != [1]
    assert lost in result["jobs"][1]["reason"]
