"""What the bits of a result depend on besides the run itself and its number of threads."""

import platform
from typing import Any

import numpy as np
import torch
from torch import nn

from raspitrain.hardware.board import machine_model
from raspitrain.model.engine.choose import engine_in_use
from raspitrain.model.engine.kernels import kernels_name
from raspitrain.model.ensemble import members_of


def arithmetic(model: nn.Module, device: torch.device) -> dict[str, Any]:
    """Machine, libraries and engine, each as a string; None where there is no such thing."""
    engine = engine_in_use(members_of(model)[0])
    return {
        "machine": f"{machine_model()} ({platform.machine()})",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "device": str(device) if device.type == "cpu" else torch.cuda.get_device_name(device),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "engine": engine,
        "kernels": kernels_name() if engine == "native" else None,
    }


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What has changed, a short text each."""
    return [
        f"{name} was {before.get(name)} and is {now[name]}"
        for name in now
        if before.get(name) != now[name]
    ]
