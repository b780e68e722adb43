"""What a run does: train, or only measure how fast it would."""

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig


def perform(cfg: DictConfig, folder: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Do `cfg.task` and leave everything about it in `folder`; return what summary.json holds."""
    return load(cfg.task)(cfg, folder, overrides=overrides)


def load(task: str) -> Callable[..., dict[str, Any]]:
    """Import what does `task`, torch included."""
    # Importing makes objects by the hundred thousand and no garbage; looking for some takes a tenth
    # of the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        if task == "throughput":
            from raspitrain.run.throughput import measure_throughput

            return measure_throughput
        from raspitrain.run.run import run

        return run
    finally:
        if collects:
            gc.enable()
