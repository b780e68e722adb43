"""What the bits of a result depend on besides the run itself and its number of threads."""

import platform
from typing import Any

import numpy as np
import torch
from torch import nn

from raspitrain.hardware.board import machine_model
from raspitrain.model.engine.choose import engine_in_use, kernels_in_use, left_to_torch
from raspitrain.model.ensemble import members_of


def arithmetic(model: nn.Module, device: torch.device) -> dict[str, Any]:
    """Machine, libraries and engine, each as a string; None where there is no such thing."""
    member = members_of(model)[0]
    engine = engine_in_use(member)
    return {
        "machine": f"{machine_model()} ({platform.machine()})",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "device": str(device) if device.type == "cpu" else torch.cuda.get_device_name(device),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "engine": engine,
        "kernels": kernels_in_use(member),
        "left_to_torch": left_to_torch(member) if engine == "native" else None,
    }


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What has changed, a short text each."""
    # Of before 0.2: a network without an engine of its own, which is what "plain" is.
    before = before | ({"engine": "plain"} if before.get("engine") is None else {})
    now = now | ({"engine": "plain"} if now["engine"] is None else {})
    return [
        f"{name} was {before.get(name)} and is {now[name]}"
        for name in now
        if before.get(name) != now[name]
    ]
