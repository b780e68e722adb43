"""config.yaml and overrides.yaml: what a run was asked for, for people."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from raspitrain.results.atomic import write_atomic


def plain(cfg: DictConfig, *, resolve: bool = True) -> dict[str, Any]:
    """A configuration as dicts, lists and values."""
    container = OmegaConf.to_container(cfg, resolve=resolve)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def write_config(folder: Path, cfg: DictConfig) -> None:
    """Write config.yaml; resuming the run relies on the checkpoint's copy."""
    write_atomic(folder / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True).encode())


def write_overrides(folder: Path, overrides: Sequence[str]) -> None:
    """Write overrides.yaml, the words of the command line."""
    write_atomic(folder / "overrides.yaml", OmegaConf.to_yaml(list(overrides)).encode())
