"""What a run says that it will take, beside what it takes; what happens where that is not there."""

import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from torch import nn

from raspitrain.errors import InputError
from raspitrain.hardware.memory import free_bytes, is_out_of_memory, resident_bytes
from raspitrain.run import memory
from raspitrain.run.memory import check_memory
from raspitrain.run.prepare import prepare
from raspitrain.run.watch import Watch

SIZES = ("dataset=random", "dataset.num_cases=400", "dataset.num_channels=3", "dataset.length=512")
QUICK = ("epochs=1", "hardware.num_threads=1", "augment=none")


RUN = """
import sys
from raspitrain.cli.main import main
from raspitrain.run.environment import peak_memory_mb
code = main()
print("PEAK", peak_memory_mb())
sys.exit(code)
"""


def command(
    folder: Path, *words: str, limit: int | None = None, seconds: int = 300
) -> subprocess.CompletedProcess[str]:
    """The real command; `limit`: bytes of memory that the system lets it have."""

    def hold_back() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    return subprocess.run(
        [sys.executable, "-c", RUN, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=seconds,
        preexec_fn=hold_back,
    )


@pytest.mark.parametrize(
    "words",
    [
        ("model.engine=native", "batch_size=200"),
        pytest.param(("model.engine=torch", "batch_size=100"), marks=pytest.mark.long),
        pytest.param(
            ("model.engine=native", "batch_size=16", "in_memory=false"), marks=pytest.mark.long
        ),
        pytest.param(("model.engine=plain", "batch_size=100"), marks=pytest.mark.long),
        pytest.param(
            ("model=mobilenetv3_large", "model.engine=native", "batch_size=100", "optimizer=sgd"),
            marks=pytest.mark.long,
        ),
        pytest.param(("model=mobilenetv3_large_blog", "batch_size=280"), marks=pytest.mark.long),
    ],
    ids=" ".join,
)
def test_the_estimate_is_what_the_run_takes(words, tmp_path):
    done = command(tmp_path, *SIZES, *QUICK, *words, "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    estimate = json.loads((tmp_path / "run/environment.json").read_text())["memory_estimate"]
    peak = float(done.stdout.split("PEAK ")[1])
    assert 0.97 * peak < estimate["estimated_peak_mb"] < 1.15 * peak


@pytest.mark.long
@pytest.mark.parametrize("name", ["resnet", "squeezenet", "inceptiontime"])
def test_the_estimate_of_other_networks_is_near(name, tmp_path):
    """What torch's convolutions take beside their tensors is known from measuring only."""
    words = (f"model={name}", "batch_size=50", "dataset.num_cases=100")
    done = command(tmp_path, *SIZES[:1], *SIZES[2:], *QUICK, *words, "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    estimate = json.loads((tmp_path / "run/environment.json").read_text())["memory_estimate"]
    peak = float(done.stdout.split("PEAK ")[1])
    assert 0.8 * peak < estimate["estimated_peak_mb"] < 1.3 * peak


def classes(folder: Path, num_classes: int, cases_each: int) -> tuple[str, ...]:
    """Noise of so many classes, and the words that train on it."""
    folder.mkdir()
    num_cases = num_classes * cases_each
    noise = np.random.default_rng(0).standard_normal((num_cases, 2, 32), dtype=np.float32)
    np.save(folder / "data.npy", noise)
    np.save(folder / "label.npy", np.arange(num_cases) % num_classes)
    return ("dataset=npy", f"dataset.path={folder}", "batch_size=64")


@pytest.mark.parametrize(
    "num_classes",
    [
        pytest.param(4, marks=pytest.mark.long),
        pytest.param(20, marks=pytest.mark.long),
        100,
        pytest.param(1000, marks=pytest.mark.long),
        pytest.param(3000, marks=pytest.mark.long),
    ],
)
def test_the_estimate_counts_the_classes(num_classes, tmp_path):
    """Logits, confusion matrix, its picture, the figures of each class in summary and page."""
    words = classes(tmp_path / "set", num_classes, max(2, 80 // num_classes))
    done = command(tmp_path, *words, *QUICK, "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    estimate = json.loads((tmp_path / "run/environment.json").read_text())["memory_estimate"]
    peak = float(done.stdout.split("PEAK ")[1])
    assert 0.97 * peak < estimate["estimated_peak_mb"] < 1.15 * peak
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "run").iterdir()}
    assert sizes["confusion_matrix.png"] < 500_000
    assert sizes["report.html"] < 1_000_000
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert len(summary["per_class"]) == num_classes
    assert ("confusion_matrix" in summary) == (num_classes <= 40)
    worst = [mistake["cases"] for mistake in summary["worst_confusions"]]
    assert 0 < len(worst) <= 20
    assert worst == sorted(worst, reverse=True)


@pytest.mark.long
def test_twenty_thousand_classes_run_in_bounded_memory(tmp_path):
    words = classes(tmp_path / "set", 20_000, 2)
    done = command(
        tmp_path, *words, *QUICK, "model.width_mult=0.25", limit=1500 << 20, seconds=1800
    )
    assert done.returncode == 0, done.stderr


def test_twenty_thousand_classes_are_refused_where_there_is_no_room(forked_command, tmp_path):
    words = classes(tmp_path / "set", 20_000, 2)
    done = forked_command(*words, *QUICK, "hardware.memory_budget_mb=600")
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert re.match(
        r"error: the model and its optimizer need about \d+ MB of .* allows no more", line
    )
    assert not (tmp_path / "outputs").exists()


def test_the_largest_batch_that_is_named_really_fits(forked_command):
    """Under a limit that the system enforces: one case more is refused, what is named runs."""
    words = (*SIZES, *QUICK, "model.engine=native")
    limits = {resource.RLIMIT_DATA: 500 << 20}
    refused = forked_command(*words, "batch_size=400", limits=limits)
    assert refused.returncode == 2, refused.stdout + refused.stderr
    (line,) = refused.stderr.splitlines()
    assert re.match(r"error: batch_size=400 needs about \d+ MB of memory .* MB are there", line)
    fits = int(re.search(r"the largest batch that fits is batch_size=(\d+)\.", line)[1])
    assert 10 < fits < 400
    done = forked_command(*words, f"batch_size={fits}", limits=limits)
    assert done.returncode == 0, done.stderr


class Flat(nn.Sequential):
    """A model of the user's own."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv1d(2, 16, 5), nn.BatchNorm1d(16), nn.ReLU(), nn.Flatten(), nn.Linear(60 * 16, 2)
        )


class Part:
    """A part of 64 cases of noise."""

    def __len__(self) -> int:
        return 64

    def gather(self, indices):
        return torch.ones(len(indices), 2, 64), torch.zeros(len(indices), dtype=torch.int64)


def ask(model: nn.Module, *, batch_size: int, budget_mb: int | None, in_memory: bool = True):
    return check_memory(
        model=model,
        loss=nn.CrossEntropyLoss(),
        augment=lambda signals, generator: signals,
        optimizer=torch.optim.Adam(model.parameters()),
        parts={"train": Part()},
        num_classes=2,
        batch_size=batch_size,
        in_memory=in_memory,
        export_bytes=0,
        budget_mb=budget_mb,
    )


def test_asking_changes_nothing():
    torch.manual_seed(0)
    model = Flat()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    numbers = torch.get_rng_state()
    ask(model, batch_size=32, budget_mb=None)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert model.training
    assert torch.equal(torch.get_rng_state(), numbers)


def test_a_batch_of_any_model_costs_what_its_cases_cost():
    small, large = (ask(Flat(), batch_size=n, budget_mb=None).batch_mb for n in (16, 64))
    activations = 64 * (2 * 64 + 2 * 16 * 60 + 16 * 60) * 4 / 1e6  # what backward needs, at least
    assert 3.5 < large / small <= 4.2
    assert activations < large < 3 * activations


@pytest.mark.long  # by default the like of it, read alone, in test_hostile.py
def test_a_small_file_with_one_long_case_is_not_padded_to_gigabytes(tmp_path):
    """The issue's own: 360 kB of text, 8 GB once every case is as long as the longest."""
    tags = "@problemName Set\n@timeStamps false\n@univariate true\n@equalLength false\n"
    cases = [f"1,2:{'ab'[k % 2]}" for k in range(20_000)] + [",".join("7" * 100_000) + ":a"]
    text = tags + "@classLabel true a b\n@data\n" + "\n".join(cases) + "\n"
    (tmp_path / "Set.ts").write_text(text)
    assert 300_000 < len(text) < 400_000
    words = ("dataset=ucr", "dataset.name=Set", "dataset.path=.", *QUICK)
    done = command(tmp_path, *words, limit=3000 << 20)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    said = re.match(
        r"error: Set: 20001 cases of 1 x 100000 samples take 8\.0 GB but ([12]\.\d) GB of memory "
        r"are free\. Half of the cases have at most 2 samples, the longest has 100000; choose "
        r"dataset\.length=(\d+) or less\.$",
        line,
    )
    assert said is not None, line
    assert 0.8 < int(said[2]) * 20001 * 4 / 1e9 / float(said[1]) < 1
    assert not (tmp_path / "outputs").exists()


def test_where_no_batch_fits_other_ways_are_named():
    budget = int(resident_bytes() / 1e6) + 1
    with pytest.raises(InputError, match=r"no batch fits, so take in_memory=false"):
        ask(Flat(), batch_size=8, budget_mb=budget)
    with pytest.raises(InputError, match=r"no batch fits, so take a smaller"):
        ask(Flat(), batch_size=8, budget_mb=budget, in_memory=False)


def test_the_budget_counts_what_the_process_holds():
    held = resident_bytes()
    assert held > 50e6
    assert abs(free_bytes(int(held / 1e6) + 100) - 100e6) < 10e6
    assert free_bytes(1) == 0


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("mobilenetv3_small", "width_mult=10"),
        ("resnet", "width=1024"),
        ("densenet", "growth_rate=512"),
    ],
)
def test_a_network_too_wide_is_not_made_first(compose, model, key):
    budget = int(resident_bytes() / 1e6) + 200
    limit = f"hardware.memory_budget_mb={budget}"
    words = (f"model={model}", f"model.{key}", limit, "dataset.num_cases=20")
    with pytest.raises(InputError, match=rf"model\.{key} makes a network of \d+ MB"):
        prepare(compose(*words))
    assert resident_bytes() < (budget + 100) * 1e6


def test_watching_sees_what_is_made_and_what_goes():
    with Watch() as watch:
        kept = torch.ones(1000)
        torch.ones(2000).add_(1)
        view = kept[:10]
    assert max(watch.live) == 4 * 3000
    assert watch.live[-1] == 4 * 1000
    assert view.shape == (10,)


def test_every_way_of_running_out_is_known():
    with pytest.raises(RuntimeError) as torchs:
        torch.empty(1 << 60, dtype=torch.uint8)
    with pytest.raises(MemoryError) as pythons:
        bytearray(1 << 60)
    assert is_out_of_memory(torchs.value)
    assert is_out_of_memory(pythons.value)
    assert is_out_of_memory(OSError(12, "Cannot allocate memory"))
    wrapped = ValueError("cannot be made")
    wrapped.__cause__ = pythons.value
    assert is_out_of_memory(wrapped)
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


@pytest.mark.parametrize(
    ("words", "limit_mb"),
    [
        # The check is told of more than there is; the system is not.
        (("hardware.memory_budget_mb=100000", "model.engine=native", "batch_size=2000"), 600),
        pytest.param(
            ("hardware.memory_budget_mb=100000", "model.engine=torch", "batch_size=2000"),
            700,
            marks=pytest.mark.long,
        ),
    ],
    ids=["native", "torch"],
)
def test_running_out_all_the_same_ends_in_a_sentence(words, limit_mb, forked_command):
    many = [w for w in SIZES if "num_cases" not in w] + ["dataset.num_cases=4000"]
    limits = {resource.RLIMIT_DATA: limit_mb << 20}
    done = forked_command(*many, *QUICK, *words, limits=limits)
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: Memory ran out")
    assert "Traceback" not in done.stderr
    assert "batch_size" in line


def test_the_check_takes_no_time_to_speak_of(compose, monkeypatch):
    """It reads a few lines of the system and, with our kernels, computes nothing."""
    monkeypatch.setattr(memory, "_watched", None)  # a step would fail
    cfg = compose("model.engine=native", "dataset.num_cases=20")
    assert prepare(cfg).memory.batch_mb > 1


def test_what_measuring_the_engines_leaves_behind_is_no_part_of_the_estimate(compose, monkeypatch):
    measured, estimates = [], []

    def measure(network, signals):
        measured.append(network)
        return {"native": 1.0, "torch": 2.0}

    def counted(**given):
        estimates.append(check_memory(**given))
        return estimates[-1]

    monkeypatch.setattr("raspitrain.tuning.engine.recall", lambda *_: None)
    monkeypatch.setattr("raspitrain.tuning.engine.remember", lambda *_: None)
    monkeypatch.setattr("raspitrain.tuning.engine.measure_engines", measure)
    monkeypatch.setattr("raspitrain.run.prepare.check_memory", counted)
    prepared = prepare(compose(*TINY))
    assert len(measured) == 1
    assert prepared.memory is estimates[0]
    assert len(estimates) == 1
