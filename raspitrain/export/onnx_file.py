"""A run's best model as ONNX: raw windows in, probabilities out, of any network.

Normalisation and softmax are inside, the number of windows is free, and the file has been compared
with torch by ONNX Runtime before it has its name.

Letters: N windows, C channels, L samples, K classes.
"""

import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from raspitrain.config.rules import check
from raspitrain.data.frontend import Frontend
from raspitrain.data.normalise import Normalisation
from raspitrain.errors import InputError
from raspitrain.export.trained import Stored, what_is_stored
from raspitrain.export.write import Contract, middle_and_spread
from raspitrain.model.engine.choose import set_engine
from raspitrain.model.ensemble import members_of
from raspitrain.results.atomic import atomic_path
from raspitrain.training.answers import logits_of, softmax

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18
BATCHES = (1, 2, 7)  # that are compared
MOST_APART = 1e-3  # of a probability
MOST_BYTES = 64_000_000  # of the matrix that makes spectra
METADATA = "raspitrain"  # the key under which the contract lies, as JSON


class Spectra(nn.Module):
    """What `Frontend.apply` does, in float64 as there, by products of matrices: (N, C, L) to
    (N, C x bands, F).

    Raises
    ------
    InputError
        The matrix of cosines and sines is more than a file should hold.
    """

    index: Tensor
    waves: Tensor
    weights: Tensor

    def __init__(self, frontend: Frontend, length: int) -> None:
        super().__init__()
        num_bytes = 16 * frontend.window * len(frontend.used)
        if num_bytes > MOST_BYTES:
            raise InputError(
                f"--format onnx makes spectra by a matrix, which has {num_bytes / 1e6:.0f} MB for "
                f"frontend.window={frontend.window}, more than {MOST_BYTES / 1e6:.0f}: train with "
                "a shorter one, or write the model as model.rpt."
            )
        cosines, sines, weights = frontend.matrices()
        starts = frontend.hop * np.arange(frontend.num_frames(length))[:, None]
        self.floor = frontend.floor
        self.register_buffer("index", torch.from_numpy(starts + np.arange(frontend.window)))
        self.register_buffer("waves", torch.from_numpy(np.concatenate([cosines, sines], axis=1)))
        self.register_buffer("weights", torch.from_numpy(np.concatenate([weights, weights])))

    def forward(self, signals: Tensor) -> Tensor:
        parts = signals.double()[:, :, self.index] @ self.waves  # (N, C, F, 2 frequencies)
        powers = (parts * parts) @ self.weights + self.floor
        return powers.log().float().transpose(2, 3).flatten(1, 2)


class Whole(nn.Module):
    """Front end, normalisation, network and softmax: signals (N, C, L), float32, to probabilities
    (N, K).

    What `Normalisation.apply` does, in float64 as there.
    """

    mean: Tensor
    std: Tensor
    level_mean: Tensor
    level_std: Tensor
    spread_mean: Tensor
    spread_std: Tensor
    spread_least: Tensor

    def __init__(self, network: nn.Module, normalisation: Normalisation, length: int) -> None:
        super().__init__()
        frontend = normalisation.frontend
        self.seen = nn.Identity() if frontend is None else Spectra(frontend, length)
        self.network, self.kind = network, normalisation.kind
        figures = {"mean": normalisation.mean, "std": normalisation.std}
        if normalisation.amplitudes is not None:
            figures |= asdict(normalisation.amplitudes)
        for name, values in figures.items():
            self.register_buffer(name, torch.from_numpy(np.asarray(values, np.float64))[:, None])

    def forward(self, signals: Tensor) -> Tensor:
        return self.network(self._normalised(self.seen(signals)).float()).softmax(dim=1)

    def _normalised(self, signals: Tensor) -> Tensor:
        x = signals.double()
        if self.kind == "none":
            return x
        if self.kind == "channel":
            return (x - self.mean) / self.std
        centred = x - x[:, :, :1]
        mean = centred.mean(dim=2, keepdim=True)
        centred = centred - mean
        level = mean + x[:, :, :1]
        spread = (centred * centred).mean(dim=2, keepdim=True).sqrt()
        rounding = (level.abs() * torch.finfo(torch.float32).eps).clamp(
            min=torch.finfo(torch.float32).tiny
        )
        spread = torch.where(spread <= rounding, torch.zeros_like(spread), spread)
        centred = centred / torch.where(spread > 0, spread, torch.ones_like(spread))
        if self.kind == "case":
            return centred
        levels = (level - self.level_mean) / self.level_std
        logs = torch.maximum(spread, self.spread_least).log()
        spreads = (logs - self.spread_mean) / self.spread_std
        parts = (centred, levels.expand_as(centred), spreads.expand_as(centred))
        return torch.cat(parts, dim=1)


def write_onnx(path: str | os.PathLike[str], stored: Stored) -> float:
    """Write the file, whole or not at all; return the largest difference of a probability from
    torch's.

    The input `signals` is float32 (N, C, L), raw, the output `probabilities` (N, K). The metadata
    `raspitrain` is JSON: input (channels, rate, length, missing, …), output (classes), provenance.

    Raises
    ------
    InputError
        A package is missing, torch cannot export the network, or ONNX Runtime gives other answers.
    OSError
        The card would not take it.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"--format onnx needs {' and '.join(missing)}: pip install 'raspitrain[onnx]'."
        )
    config: Any = OmegaConf.to_container(stored.config)
    check(config)
    contract, answer, provenance = what_is_stored(stored, config)
    network = stored.model()
    for member in members_of(network):
        set_engine(member, "plain")  # ordinary operations, which can be traced
    normalisation = stored.normalisation
    whole = Whole(network, normalisation, stored.length).eval()
    shape = (len(contract.channels), stored.length)
    program = _traced(whole, shape, config["model"]["_target_"])
    record = {
        "input": asdict(contract) | {"length": stored.length},
        "output": {"classes": answer.classes} | answer.settings,
        "provenance": provenance,
    }
    program.model.metadata_props[METADATA] = json.dumps(record, ensure_ascii=False)
    with atomic_path(path) as partial:
        program.save(partial)
        largest = _compared(partial, network, normalisation, contract, stored.length)
        if not largest <= MOST_APART:  # also where it is no number
            raise InputError(
                f"ONNX Runtime's probabilities differ from torch's by up to {largest:.2g}: the "
                "network cannot be exported faithfully, and nothing is written."
            )
    return largest


def _traced(whole: nn.Module, shape: tuple[int, int], name: str) -> Any:
    batch = torch.export.Dim("batch", min=1, max=512)  # checked while tracing; the file knows none
    try:
        with _quiet():
            return torch.onnx.export(
                whole,
                (torch.randn(2, *shape),),
                dynamo=True,
                dynamic_shapes=({0: batch},),
                input_names=["signals"],
                output_names=["probabilities"],
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # torch's exporter fails in many ways
        cause: BaseException = error
        while cause.__cause__ is not None:  # the innermost says which operation
            cause = cause.__cause__
        first = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        raise InputError(f"torch cannot export this network ({name}) as ONNX: {first}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of itself."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _compared(
    path: Path, network: nn.Module, normalisation: Normalisation, contract: Contract, length: int
) -> float:
    """The largest difference between ONNX Runtime's probabilities and those of training's code."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes())
    random = np.random.default_rng(0)
    middle, spread = middle_and_spread(contract)
    largest = 0.0
    for num_cases in BATCHES:
        noise = random.normal(size=(num_cases, len(middle), length))
        signals = (middle + spread * noise).astype(np.float32)
        expected = softmax(logits_of(network, normalisation, signals))
        (found,) = session.run(None, {"signals": signals})
        largest = max(largest, float(np.abs(found - expected).max()))
    return largest
