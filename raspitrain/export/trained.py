"""A trained model and what using it takes, from a run's checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

import raspitrain
from raspitrain.config.rules import check
from raspitrain.data.normalise import Normalisation
from raspitrain.data.span import Span
from raspitrain.errors import InputError
from raspitrain.export.graph import NotCoveredError
from raspitrain.export.pack import pack, pack_ensemble
from raspitrain.export.pack_graph import pack_graph
from raspitrain.export.pack_rocket import pack_rocket
from raspitrain.export.write import Answer, Contract, normalised_already, run_packed
from raspitrain.model.engine.choose import set_engine
from raspitrain.model.ensemble import members_of
from raspitrain.model.mobilenetv3 import MobileNetV3
from raspitrain.model.rocket.classifier import RocketClassifier
from raspitrain.paths import absolute
from raspitrain.use.graph import operations

MOST_COMPARED = 2000  # windows: more would change no decision
FEWEST_COMPARED = 100
COMPARED_OPERATIONS = 20_000_000_000  # of all of them: some seconds on a board
MOST_APART = 1e-3  # of the largest logit, by which the engine's may differ from torch's
QUANTILES = ("0.001", "0.5", "0.999")  # of those that the data set's summary holds


@dataclass(frozen=True)
class Trained:
    """What a checkpoint holds, put together.

    most_compared : windows that can be compared with torch in some seconds
    """

    model: nn.Module
    length: int  # that the network sees
    normalisation: Normalisation
    contract: Contract
    answer: Answer
    provenance: dict[str, Any]
    config: dict[str, Any]
    most_compared: int

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those that the engine has for it."""
        is_rocket = isinstance(members_of(self.model)[0], RocketClassifier)
        return ("fp32",) if is_rocket else ("fp32", "int8")

    def packed(
        self, precision: str, normalise: str = "channel"
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Network and tensors as the engine reads them: see `packed`."""
        own = [
            packed(
                model,
                num_channels=self.normalisation.num_channels,
                length=self.length,
                precision=precision,
                normalise=normalise,
            )
            for model in members_of(self.model)
        ]
        return own[0] if len(own) == 1 else pack_ensemble(own)


def packed(
    model: nn.Module, *, num_channels: int, length: int, precision: str, normalise: str = "channel"
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """A network as the engine reads it: see `raspitrain.export.pack.pack`; `num_channels` are those
    that the network sees."""
    if isinstance(model, MobileNetV3):
        return pack(model, length=length, precision=precision, normalise=normalise)
    if isinstance(model, RocketClassifier):
        assert precision == "fp32", precision
        return pack_rocket(model, length=length, normalise=normalise)
    return pack_graph(
        model, num_channels=num_channels, length=length, precision=precision, normalise=normalise
    )


class Stored(Protocol):
    """What is asked of `raspitrain.run.stored.StoredRun`, which opens checkpoints with care."""

    @property
    def path(self) -> Path: ...
    @property
    def state(self) -> Mapping[str, Any]: ...
    @property
    def config(self) -> DictConfig: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def channel_names(self) -> tuple[str, ...]: ...
    @property
    def length(self) -> int: ...
    @property
    def normalisation(self) -> Normalisation: ...
    @property
    def allowed_targets(self) -> Sequence[str]: ...
    def model(self) -> nn.Module: ...


def trained_from(stored: Stored) -> Trained:
    """Put together what a checkpoint of a run holds.

    Raises
    ------
    InputError
        The model is not one that the engine runs, or the checkpoint is not as a run writes it.
    """
    config: Any = OmegaConf.to_container(stored.config)
    check(config)
    run, target = absolute(stored.path).parent.name, config["model"]["_target_"]
    contract, answer, provenance = what_is_stored(stored, config)
    model = stored.model()
    for member in members_of(model):
        set_engine(member, "plain")
    trained = Trained(
        model=model,
        length=stored.normalisation.seen_length(stored.length),
        normalisation=stored.normalisation,
        contract=contract,
        answer=answer,
        provenance=provenance,
        config=config,
        most_compared=MOST_COMPARED,
    )
    if isinstance(members_of(model)[0], MobileNetV3 | RocketClassifier):
        return trained
    try:
        return _compared_once(trained)
    except NotCoveredError as error:
        allowed = " ".join(("", "--allowed-targets", *stored.allowed_targets))
        raise InputError(
            f"{run}: the network is {target}, and {error}: write it with raspitrain export RUN "
            f"--format onnx{allowed if stored.allowed_targets else ''}."
        ) from error


def _compared_once(trained: Trained) -> Trained:
    """Refuse a network that does what its tracing does not say."""
    channels, length = trained.normalisation.num_channels, trained.length
    network, arrays = trained.packed("fp32")
    windows = np.random.default_rng(0).normal(size=(2, channels, length)).astype(np.float32)
    found = run_packed(network, arrays, normalised_already(channels), windows)
    with torch.inference_mode():
        expected = trained.model(torch.from_numpy(windows)).numpy()
    diverged = not np.isfinite(expected).all()  # what writes it says so
    if not diverged and (
        found.shape != expected.shape
        or not np.abs(found - expected).max() <= MOST_APART * np.abs(expected).max()
    ):
        raise NotCoveredError("the inference engine makes something else of its forward than torch")
    of_a_window = sum(map(operations, network.get("members", [network])))
    most = max(FEWEST_COMPARED, COMPARED_OPERATIONS // of_a_window)
    return replace(trained, most_compared=min(MOST_COMPARED, most))


def what_is_stored(
    stored: Stored, config: Mapping[str, Any]
) -> tuple[Contract, Answer, dict[str, Any]]:
    """What a window must be, what the logits mean, and where the model comes from.

    Parameters
    ----------
    config : the checkpoint's, checked

    Raises
    ------
    InputError
        The checkpoint is not as a run writes it.
    """
    names, normalisation = list(stored.channel_names), stored.normalisation
    try:
        num_figures = len(names) * normalisation.num_bands
        if not num_figures == len(normalisation.mean) == len(normalisation.std):
            raise ValueError("figures for other channels")
        state = stored.state
        rate = None if state.get("rate") is None else float(state["rate"])
        metrics = {
            name: value
            for name, value in state["metrics"].items()
            if name.startswith(("test_", "validation_")) and isinstance(value, int | float)
        }
        epoch, step = int(state["epoch"]), int(state["step"])
        units, quantiles = _seen(state.get("channels"), names)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{stored.path} does not hold a run as this raspitrain would write it"
        ) from error
    contract = Contract(
        channels=names,
        **contract_of(normalisation, stored.length),
        missing=config["dataset"].get("missing") or "error",
        rate=rate,
        hop=_hop(config["dataset"], stored.length, rate),
        units=units,
        quantiles=quantiles,
    )
    integers = {"integer_labels": True} if stored.state.get("integer_labels") is True else {}
    provenance = {
        "raspitrain": raspitrain.__version__,
        "run": absolute(stored.path).parent.name,
        "epoch": epoch,
        "step": step,
        "seed": config["seed"],
        "metrics": metrics,
        "model": config["model"],
        "dataset": config["dataset"],
    }
    return contract, Answer(list(stored.class_names), settings=integers), provenance


def _seen(
    channels: Any, names: Sequence[str]
) -> tuple[list[str | None] | None, list[list[float]] | None]:
    """Unit and quantiles of each channel, as the data set's summary has them; None from runs of
    before they were kept."""
    if channels is None:
        return None, None
    if [channel["name"] for channel in channels] != names:
        raise ValueError("channels of other names")
    units = [channel["unit"] or None for channel in channels]
    quantiles = [
        [float(channel["quantiles"][level]) for level in QUANTILES] for channel in channels
    ]
    return units if any(units) else None, quantiles


def _hop(dataset: Mapping[str, Any], length: int, rate: float | None) -> int | None:
    """Samples from a window to the next in training; None where that is not known."""
    if "stride" not in dataset:
        return None
    stride = dataset["stride"]
    if stride is None:
        return length // 2
    if rate is None and not isinstance(stride, int):
        return None
    return Span("dataset.stride", stride, 1).samples(rate)


def contract_of(normalisation: Normalisation, length: int) -> dict[str, Any]:
    """What the contract says of normalisation, and the front end before it for raw windows of
    `length` samples."""
    of, frontend = normalisation.amplitudes, normalisation.frontend
    mean, std = normalisation.mean.tolist(), normalisation.std.tolist()
    if normalisation.kind == "none":
        mean, std = [0.0] * len(mean), [1.0] * len(std)
    return {
        "mean": mean,
        "std": std,
        "normalise": "channel" if normalisation.kind == "none" else normalisation.kind,
        "amplitudes": None if of is None else {k: x.tolist() for k, x in vars(of).items()},
        "frontend": None if frontend is None else frontend.record() | {"length": length},
    }
