"""A network from its configuration."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig
from torch import nn

from raspitrain.config.build import build, expect
from raspitrain.model.ensemble import Ensemble
from raspitrain.run.model_size import make_within

# What a sentence about the size of a network may name.
WIDTHS = ("width_mult", "width", "growth_rate")


def build_model(cfg: DictConfig, facts: Mapping[str, Any]) -> nn.Module:
    """The network that `cfg` describes, its weights new; with ensemble=N as many, each drawn after
    the one before.

    Parameters
    ----------
    facts : num_channels, num_classes, length, and train_labels where there is a training part
    """
    allowed = list(cfg.allowed_targets)

    def make() -> nn.Module:
        members = [
            expect("model", build("model", cfg.model, allowed, **facts), nn.Module)
            for _ in range(cfg.ensemble)
        ]
        return members[0] if len(members) == 1 else Ensemble(members)

    return make_within(make, _name_of_model(cfg), budget_mb=cfg.hardware.memory_budget_mb)


def _name_of_model(cfg: DictConfig) -> str:
    for key in WIDTHS:
        if key in cfg.model:
            return f"model.{key}={cfg.model[key]}"
    return f"model ({cfg.model._target_})"
