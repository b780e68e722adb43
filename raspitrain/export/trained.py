"""A trained network and what using it takes, from a run's checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import raspitrain
from raspitrain.errors import InputError
from raspitrain.export.size import TARGET
from raspitrain.export.write import Answer, Contract
from raspitrain.model.mobilenetv3 import MobileNetV3, mobilenetv3
from raspitrain.results.checkpoint import load_checkpoint

BEST = "best.pt"


@dataclass(frozen=True)
class Trained:
    """What a checkpoint holds, put together."""

    model: MobileNetV3
    length: int
    contract: Contract
    answer: Answer
    provenance: dict[str, Any]
    config: dict[str, Any]


def trained_from(state: dict[str, Any], *, run: str) -> Trained:
    """Put together what best.pt or last.pt holds.

    Parameters
    ----------
    state : as `load_checkpoint` returns it
    run : the run's name, for the model's provenance

    Raises
    ------
    InputError
        The network is not one that the engine runs.
    """
    config = state["config"]
    names, classes = list(state["channel_names"]), list(state["class_names"])
    length = state["length"]
    settings = dict(config["model"])
    target = settings.pop("_target_")
    if target != TARGET:
        raise InputError(
            f"{run}: the network is {target}, and the inference engine runs MobileNetV3 only "
            "(model=mobilenetv3_small, mobilenetv3_large and their _blog forms)."
        )
    settings["engine"] = "plain"
    shape = {"num_channels": len(names), "num_classes": len(classes), "length": length}
    model = mobilenetv3(**(settings | shape))
    model.load_state_dict(state["model"])
    metrics = {
        name: value
        for name, value in state["metrics"].items()
        if name.startswith(("test_", "validation_")) and isinstance(value, int | float)
    }
    return Trained(
        model=_evaluating(model),
        length=length,
        contract=Contract(
            channels=names,
            mean=[float(value) for value in state["mean"]],
            std=[float(value) for value in state["std"]],
            missing=config["dataset"].get("missing") or "error",
            rate=state.get("rate"),
            hop=_hop(config["dataset"].get("stride"), state.get("rate")),
        ),
        answer=Answer(classes),
        provenance={
            "raspitrain": raspitrain.__version__,
            "run": run,
            "epoch": state["epoch"],
            "step": state["step"],
            "seed": config["seed"],
            "metrics": metrics,
            "model": config["model"],
            "dataset": config["dataset"],
        },
        config=config,
    )


def _hop(stride: object, rate: float | None) -> int | None:
    """Samples from a window to the next in training: they, or seconds such as 1.28s, were given."""
    if isinstance(stride, int):
        return stride
    if not isinstance(stride, str) or rate is None:
        return None
    text = stride.strip()
    if text.endswith("ms"):
        return max(1, round(float(text[:-2]) / 1000 * rate))
    return max(1, round(float(text.removesuffix("s")) * rate))


def _evaluating(model: MobileNetV3) -> MobileNetV3:
    nn.Module.eval(model)
    return model


def read_run(path: Path) -> Trained:
    """The best model of a run, from its folder or from a checkpoint.

    Raises
    ------
    InputError
        There is no checkpoint, it is damaged, or its network is not one that the engine runs.
    """
    checkpoint = path / BEST if path.is_dir() else path
    if path.is_dir() and not checkpoint.exists():
        raise InputError(
            f"{path} holds no {BEST}: give the folder of a run that has been evaluated at least "
            "once."
        )
    return trained_from(load_checkpoint(checkpoint), run=checkpoint.absolute().parent.name)


def normalised(windows: np.ndarray, contract: Contract) -> np.ndarray:
    """(windows - mean) / std of windows (N, C, L), as the network sees them, float32."""
    mean, std = (
        np.asarray(values, np.float64)[:, None] for values in (contract.mean, contract.std)
    )
    # float32 has no room for a small signal on a large offset.
    return (np.subtract(windows, mean, dtype=np.float64) / std).astype(np.float32)
