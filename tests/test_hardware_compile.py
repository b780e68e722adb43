"""hardware.compile: taken where it can be had and is faster; else one warning and no trace."""

import logging
import shutil
from functools import partial

import pytest
import torch
from conftest import TINY
from torch import nn

from raspitrain.results.checkpoint import load_checkpoint
from raspitrain.run.run import run
from raspitrain.tuning import tune
from raspitrain.tuning.compiled import compile_if_faster


def make_batch(num_cases: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(num_cases)
    return torch.randn(num_cases, 3, 4, generator=generator), torch.arange(num_cases) % 2


BATCHES = [make_batch(6), make_batch(5)]


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2)
    )


@pytest.fixture(autouse=True)
def apart():
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)
    torch.set_flush_denormal(False)


class Compiler:
    """In place of torch.compile: calls straight through, and has a clock that favours one side."""

    def __init__(self, monkeypatch, *, compiled: float, as_it_is: float) -> None:
        monkeypatch.setattr(shutil, "which", lambda name: name)
        self.now = 0.0
        self.seconds = {True: compiled, False: as_it_is}
        self.in_compiled = False
        monkeypatch.setattr(torch, "compile", self.compile)

    def compile(self, function, **kwargs):
        def forward(signals):
            self.in_compiled = True
            return function(signals)

        return forward

    def clock(self) -> float:
        # Called in pairs around a step.
        self.now += self.seconds[self.in_compiled]
        self.in_compiled = False
        return self.now


def compiled_for(model: nn.Module, **kwargs):
    return compile_if_faster(model, nn.CrossEntropyLoss(), BATCHES, **kwargs)


def test_without_a_compiler_one_warning_and_the_run_goes_on(compose, tmp_path, monkeypatch):
    settings = (*TINY, "model.engine=plain", "hardware.compile=true")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    summary = run(compose(*settings), tmp_path / "run")
    assert summary["status"] == "completed"
    assert summary["compile"]["used"] is False
    log = (tmp_path / "run" / "run.log").read_text()
    assert log.count("WARNING hardware.compile=true has no effect: there is no C++ compiler") == 1


def test_what_fails_to_compile_is_one_warning(monkeypatch, caplog):
    def fails(function, **kwargs):
        def forward(signals):
            function(signals)
            raise RuntimeError("CppCompileError: no such header\nand much more")

        return forward

    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(torch, "compile", fails)
    model = make_model()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    compiled = compiled_for(model)
    assert compiled.forward is None
    assert compiled.record["used"] is False
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "CppCompileError: no such header" in record.message
    assert "and much more" not in record.message
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_slower_is_not_taken_and_the_figures_are_told(monkeypatch, caplog):
    clock = Compiler(monkeypatch, compiled=0.040, as_it_is=0.030).clock
    compiled = compiled_for(make_model(), clock=clock)
    assert compiled.forward is None
    assert compiled.record["ms_per_step"]["compiled"] > compiled.record["ms_per_step"]["as_it_is"]
    (warning,) = [r for r in caplog.records if r.levelname == "WARNING"]
    assert "it is not faster" in warning.message


def test_a_run_that_goes_on_compiles_again_whatever_it_takes_now(monkeypatch):
    """Another choice than before would change its last bits."""
    clock = Compiler(monkeypatch, compiled=0.040, as_it_is=0.030).clock
    compiled = compiled_for(make_model(), clock=clock, compare=False)
    assert compiled.forward is not None
    assert compiled.record["used"] is True


def test_faster_is_taken_and_leaves_no_trace(monkeypatch, caplog):
    clock = Compiler(monkeypatch, compiled=0.020, as_it_is=0.030).clock
    model = make_model()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    with caplog.at_level(logging.INFO):
        compiled = compiled_for(model, clock=clock)
    assert torch.equal(torch.rand(3), expected)
    assert compiled.forward is not None
    assert compiled.record["used"] is True
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert "ms a step compiled" in caplog.text
    assert not [r for r in caplog.records if r.levelname == "WARNING"]


def test_a_compiled_run_keeps_its_keys_and_its_numbers(compose, tmp_path, monkeypatch):
    """Compiling is skipped, all around it is not: the same weights to the last bit."""
    settings = (*TINY, "model.engine=plain", "hardware.compile=true")
    compiler = Compiler(monkeypatch, compiled=0.020, as_it_is=0.030)
    monkeypatch.setattr(tune, "compile_if_faster", partial(compile_if_faster, clock=compiler.clock))
    compiled = run(compose(*settings), tmp_path / "compiled")
    assert compiler.in_compiled  # it was called after the last look at the clock
    plain = run(compose(*settings[:-1]), tmp_path / "plain")
    assert compiled["compile"]["used"] is True
    assert "compile" not in plain
    weights = [load_checkpoint(tmp_path / n / "last.pt")["model"] for n in ("compiled", "plain")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


def test_compiling_and_adapting_exclude_one_another(command):
    done = command(*TINY, "hardware.compile=true", "hardware.adapt_threads=true")
    assert done.returncode == 2
    assert "hardware.compile=true and hardware.adapt_threads=true" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.long
def test_a_real_compiler_gives_a_forward_that_agrees(monkeypatch):
    """With the g++ of this machine; which is faster does not matter here."""
    monkeypatch.setattr("raspitrain.tuning.trial.choose", max)
    monkeypatch.setattr("raspitrain.tuning.trial.CLEARLY_SLOWER", 1e9)
    model = make_model()
    compiled = compiled_for(model)
    assert compiled.forward is not None, compiled.record
    assert compiled.record["compile_seconds"] > 0
    model.eval()
    for signals, _ in BATCHES:
        torch.testing.assert_close(compiled.forward(signals), model(signals))
    torch.compiler.reset()
