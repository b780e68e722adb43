"""What many tests need: a composed configuration, and the real command."""

import copy
import functools
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import hypothesis
import pytest
import same_sweep
from omegaconf import DictConfig, OmegaConf
from processes import PATIENCE, finish

from raspitrain.cli.main import config_folder
from raspitrain.config.build import FOR_OTHERS
from raspitrain.hardware.board import available_memory

# Small enough for a second, large enough to go all the way through.
TINY = (
    "dataset.num_cases=40",
    "dataset.length=32",
    "dataset.num_classes=2",
    "model.width_mult=0.25",
    "epochs=2",
    "hardware.num_threads=1",
)

# How long an example takes is no property: a busy machine, or an emulated board, takes longer.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")

# A command is started hundreds of times: what Python compiles for the first one is kept, and so
# are the tests as pytest rewrites them, for each worker and the next time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Behind an & a shell has it ignored, and every command that a test starts would ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are cores, where memory allows: many wait for what they start."""
    cores = len(os.sched_getaffinity(0))
    return max(cores, min(3 * cores // 2, int(available_memory() / 1.5e9)))


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> bool:
    """Wait until `condition` holds, as long as an ordinary machine could need; says whether."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture(autouse=True)
def torch_as_tests_want_it() -> Iterator[None]:
    """One thread where tests run side by side: several that wait for each other on cores that are
    taken crawl. A run in this process flushes denormals; the tests after it want them back."""
    if "torch" in sys.modules and "PYTEST_XDIST_WORKER" in os.environ:
        sys.modules["torch"].set_num_threads(1)
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@contextmanager
def process_as_it_was() -> Iterator[None]:
    """The command, run in this process, sets variables and Hydra sets up logging."""
    variables, root = dict(os.environ), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    disabled = {
        name: logger.disabled
        for name, logger in logging.Logger.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(variables)
        root.handlers[:], root.level = handlers, level
        for name, was in disabled.items():
            logging.getLogger(name).disabled = was


def defaults(dataset: str, **given: object) -> dict[str, Any]:
    """The values of conf/dataset/DATASET.yaml, and those given here in their place."""
    values = OmegaConf.load(config_folder() / "dataset" / f"{dataset}.yaml")
    own = OmegaConf.to_container(OmegaConf.merge(values, {"path": ""}, given))
    assert isinstance(own, dict)
    others = {"_target_", *FOR_OTHERS["dataset"]}
    return {str(name): value for name, value in own.items() if name not in others}


def touch_page(folder: Path, **_: bool) -> None:
    (folder / "report.html").touch()


def leave_out_what_takes_longer_than_the_run(patch: pytest.MonkeyPatch) -> None:
    for name in ("accuracy", "loss", "telemetry", "confusion"):
        patch.setattr(f"raspitrain.run.outcome.plot_{name}", lambda *given, **_: given[-1].touch())
    patch.setattr("raspitrain.report.report_run", touch_page)
    patch.setattr("raspitrain.run.outcome.environment_record", dict)
    patch.setattr("raspitrain.export.at_end.export_at_end", lambda *given: None)
    patch.setattr("raspitrain.run.outcome._write_misclassified", lambda *given: None)


@pytest.fixture
def quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that look at no picture, page or environment, nor at a model file: empty ones, or
    none."""
    leave_out_what_takes_longer_than_the_run(monkeypatch)


@functools.cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        return hydra.compose("config", overrides=list(overrides))


def composed(*overrides: str) -> DictConfig:
    """composed("epochs=3", …) -> the configuration that the command would run."""
    return copy.deepcopy(_composed(overrides))  # composing takes a tenth of a second


@pytest.fixture
def compose() -> Callable[..., DictConfig]:
    return composed


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """command("epochs=3", …) runs python -m raspitrain in an empty folder."""

    def run(
        *arguments: str, module: str = "raspitrain", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=tmp_path,
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120 * PATIENCE,
        )

    return run


@pytest.fixture
def forked_command(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The same where starting Python is not what is tested: see processes.py. Of the variables
    that a test sets only those given here reach it; `limits`: see there."""
    output = tmp_path_factory.mktemp("output")

    def run(
        *arguments: str, limits: Mapping[int, int] | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        code = finish(*arguments, cwd=tmp_path, output=output, variables=variables, limits=limits)
        stdout, stderr = (output / f"{name}.txt" for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(arguments, code, stdout.read_text(), stderr.read_text())

    return run


@pytest.fixture(scope="session")
def on_one_host(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """The rows of sweep.csv of a sweep on this machine alone; see same_sweep.py."""
    folder = tmp_path_factory.mktemp("one")
    same_sweep.finish(same_sweep.start(folder, "sweep_name=one"))
    return same_sweep.rows(folder, "one")


def motion(hertz: float, samples: int, seed: int) -> Any:
    """A signal (2, samples) at 50 Hz, float32."""
    import numpy as np

    random, seconds = np.random.default_rng(seed), np.arange(samples) / 50
    signal = np.sin(2 * np.pi * hertz * seconds + random.uniform(0, 6))
    signal = signal + random.normal(0, 0.1, samples)
    return np.stack([signal, -signal]).astype(np.float32)


@pytest.fixture(scope="session")
def motions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was trained to know slow from fast."""
    from raspitrain.run.run import run

    folder = tmp_path_factory.mktemp("motions")
    for name, hertz in (("slow", 1), ("fast", 8)):
        (folder / "data" / name).mkdir(parents=True)
        for seed in range(5):
            rows = enumerate(motion(hertz, 200, 10 * hertz + seed).T.tolist())
            text = "".join(f"{k / 50},{x},{y}\n" for k, (x, y) in rows)
            text = f"time,x,y\n{text}"
            (folder / "data" / name / f"{seed}.csv").write_text(text)
    words = [
        "dataset=recordings", f"dataset.path={folder / 'data'}", "dataset.length=32",
        "dataset.stride=16", "model.width_mult=0.25", "epochs=12", "augment=none",
        "hardware.num_threads=1",
    ]  # fmt: skip
    run(composed(*words), folder / "run", overrides=words)
    return folder / "run" / "model.rpt"
