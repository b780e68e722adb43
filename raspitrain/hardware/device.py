"""The device that computes."""

import platform
from typing import TYPE_CHECKING

from raspitrain.errors import InputError
from raspitrain.hardware.board import available_cores, machine_model

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> "torch.device":
    """`cpu` or `cuda`; InputError that says what is there if there is no such device."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "for processors alone"
        machine = machine_model() or platform.machine()
        cores = available_cores()
        raise InputError(
            f"hardware.device=cuda finds no GPU: torch {torch.__version__} is built {built}, and "
            f"here is {machine} with {cores} core{'s' * (cores > 1)}; use hardware=auto."
        )
    return torch.device(name)
