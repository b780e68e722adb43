"""Write a model file: the network, what its input must be, what its output means, and a proof.

    write_model(folder / "model.rpt", network, arrays, contract, output, provenance)

docs/model-file.md describes the format, raspitrain.use.model_file reads it.
"""

import os
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from raspitrain.use.engine import Engine
from raspitrain.use.kinds import engine_of
from raspitrain.use.model_file import ALIGNMENT, NUM_PROOFS, aligned, all_tensors
from raspitrain.use.rewrite import begin, write_proved

PROOF_TOLERANCE = 1e-3  # of the range of the expected logits


@dataclass(frozen=True)
class Contract:
    """What a window must be.

    Attributes
    ----------
    channels : C names, in order
    mean, std : C, in the channel's own unit, exact float32 values
    units : C; None where it is not known
    rate : samples a second; None where the data had no time
    rate_tolerance : share by which a rate may be off
    hop : samples from a window to the next; None is the window's length
    missing : what becomes of NaN: error, interpolate or zero, as in training
    normalise : channel, case or both, see `raspitrain.data.normalise`; channel with means of 0 and
        deviations of 1 is none
    frontend : what comes first, as `raspitrain.data.frontend.Frontend` records it, and "length",
        the samples of a raw window: mean and std are then of C x bands
    amplitudes : for `both`: the lists of `raspitrain.data.normalise.Amplitudes`, C numbers each
    quantiles : C of [low, median, high], of the training part, in the channel's own unit: 0.1, 50
        and 99.9 %
    """

    channels: list[str]
    mean: list[float]
    std: list[float]
    missing: str
    normalise: str = "channel"
    amplitudes: dict[str, list[float]] | None = None
    units: list[str | None] | None = None
    rate: float | None = None
    rate_tolerance: float = 0.02
    hop: int | None = None
    quantiles: list[list[float]] | None = None
    frontend: dict[str, Any] | None = None


def normalised_already(num_channels: int) -> Contract:
    """Of windows that the engine is to take as they are."""
    return Contract([""] * num_channels, [0.0] * num_channels, [1.0] * num_channels, "error")


@dataclass(frozen=True)
class Answer:
    """What the logits mean.

    Attributes
    ----------
    classes : K names
    temperature : logits are divided by it before they become probabilities
    settings : how events are made of a stream's windows, where that was calibrated: thresholds,
        average, suppression, and the figures they were chosen by
    """

    classes: list[str]
    temperature: float = 1.0
    settings: dict[str, Any] = field(default_factory=dict)


def write_model(
    path: str | os.PathLike[str],
    network: dict[str, Any],
    arrays: list[np.ndarray],
    contract: Contract,
    answer: Answer,
    provenance: dict[str, Any],
) -> None:
    """Write the file, whole or not at all; it has been read back and proved by then.

    Parameters
    ----------
    network, arrays : as `raspitrain.export.pack.pack` returns them
    provenance : where the model comes from; plain values for JSON

    Raises
    ------
    InputError
        The engine cannot be compiled here.
    OSError
        The card is full, read-only or broken; the old file is untouched.
    """
    windows = proof_windows(network, contract)
    logits = run_packed(network, arrays, contract, windows)
    if not np.isfinite(logits).all():
        raise ValueError("the network's answers are not numbers: it has diverged in training")
    found = all_tensors(network, (windows.shape[1], windows.shape[2]))
    header = {
        "network": network,
        "input": _input(contract),
        "output": {"classes": answer.classes, "temperature": answer.temperature} | answer.settings,
        "proof": {"tolerance": PROOF_TOLERANCE},
        "provenance": provenance,
    }
    content = begin(header)
    for array, tensor in zip([*arrays, windows, logits], found, strict=True):
        content += bytes(aligned(len(content)) - len(content))
        assert (array.shape, str(array.dtype)) == (tensor.shape, tensor.dtype), tensor.name
        content += array.astype(array.dtype.newbyteorder("<")).tobytes()
    write_proved(path, content)


def _input(contract: Contract) -> dict[str, Any]:
    """As it stands in the header: what most models lack is left out, so that an older raspitrain
    reads them; the kind of normalisation stands in the network, where an older one refuses it."""
    fields = asdict(contract)
    del fields["normalise"]
    for name in ("amplitudes", "frontend"):
        if fields[name] is None:
            del fields[name]
    return fields


def proof_windows(network: dict[str, Any], contract: Contract) -> np.ndarray:
    """Windows that look like the data and hold none of it, float32 (NUM_PROOFS, C, L)."""
    channels = len(contract.channels)
    length = (contract.frontend or network)["length"]
    random = np.random.default_rng(0)
    time = np.linspace(0, 1, length)
    cycles = random.uniform(1, 8, (NUM_PROOFS, channels, 1))
    waves = np.sin(2 * np.pi * (cycles * time + random.uniform(size=cycles.shape)))
    noise = random.normal(size=(NUM_PROOFS, channels, length))
    mean, std = middle_and_spread(contract)
    return (mean + std * (waves + 0.5 * noise)).astype(np.float32)


def middle_and_spread(contract: Contract) -> tuple[np.ndarray, np.ndarray]:
    """Of each channel of raw windows, (C, 1)."""
    if contract.frontend is None:
        return np.asarray(contract.mean)[:, None], np.asarray(contract.std)[:, None]
    # Mean and deviation are of its bands.
    seen = contract.quantiles or [[-1, 0, 1]] * len(contract.channels)
    low, middle, high = np.array(seen, np.float64).T[:, :, None]
    return middle, (high - low) / 4


def run_packed(
    network: dict[str, Any],
    arrays: list[np.ndarray],
    contract: Contract,
    windows: np.ndarray,
    *,
    rank: int = 0,
) -> np.ndarray:
    """Logits, float32 (N, K), that the engine gives for raw windows (N, C, L)."""
    return run_engine(packed_engine(network, arrays, contract, rank=rank), windows)


def packed_engine(
    network: dict[str, Any], arrays: list[np.ndarray], contract: Contract, *, rank: int = 0
) -> Engine:
    """The engine with these tensors, ready to run raw windows."""
    held = [aligned_copy(array) for array in arrays]
    return engine_of(network, vars(contract), [array.ctypes.data for array in held], held, rank)


def run_engine(engine: Engine, windows: np.ndarray) -> np.ndarray:
    """Logits, float32 (N, K), of raw windows (N, C, L); NaN where a window is not finite."""
    windows = np.ascontiguousarray(windows, np.float32)
    logits_of = [engine.run(window.ctypes.data, window.shape[1], 1) for window in windows]
    missing = [float("nan")] * engine.num_classes
    return np.array([missing if logits is None else logits for logits in logits_of], np.float32)


def aligned_copy(array: np.ndarray) -> np.ndarray:
    """The same values where the engine wants tensors to begin."""
    held = np.empty(array.nbytes + ALIGNMENT, np.uint8)
    start = -held.ctypes.data % ALIGNMENT
    copy = held[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
