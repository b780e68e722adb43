"""What a run does: train, or only measure how fast it would."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig


def perform(cfg: DictConfig, folder: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Do `cfg.task` and leave everything about it in `folder`; return what summary.json holds."""
    if cfg.task == "throughput":
        from raspitrain.throughput import measure_throughput

        return measure_throughput(cfg, folder, overrides=overrides)
    from raspitrain.run import run

    return run(cfg, folder, overrides=overrides)
