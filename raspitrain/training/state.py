"""All that training is between two steps, as plain values, and training put back to it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from raspitrain.training.fit import Position
from raspitrain.training.randomness import random_state, set_random_state


def training_state(
    model: nn.Module,
    loss: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    generator: torch.Generator,
    position: Position,
) -> dict[str, Any]:
    """Everything that the next steps depend on, in dicts, lists, tensors and numbers.

    Weights are the live ones, no copies: write them before the next step.
    """
    return {
        "model": model.state_dict(),
        "loss": loss.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "generator": generator.get_state(),
        "random": random_state(),
        "position": position.state(),
    }


def restore_training(
    state: Mapping[str, Any],
    model: nn.Module,
    loss: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    generator: torch.Generator,
    device: torch.device,
) -> Position:
    """Put everything to where `training_state` found it; return the position.

    Raises
    ------
    KeyError, TypeError, ValueError, RuntimeError, AttributeError
        `state` does not fit.
    """
    model.load_state_dict(state["model"])
    loss.load_state_dict(state["loss"])
    optimizer.load_state_dict(state["optimizer"])
    # A schedule takes any key as an attribute of its own.
    if set(state["schedule"]) != set(schedule.state_dict()):
        raise ValueError("another schedule")
    schedule.load_state_dict(state["schedule"])
    position = Position(**state["position"])
    for number in (position.epoch, position.step_in_epoch, position.step, position.cases_seen):
        if type(number) is not int or number < 0:
            raise ValueError("no position in a run")
    position.total_loss = position.total_loss.to(device)
    position.num_correct = position.num_correct.to(device)
    generator.set_state(state["generator"])
    if position.order is not None:
        torch.Generator().set_state(position.order)  # checked now, not in the middle of the run
    set_random_state(state["random"])
    return position
