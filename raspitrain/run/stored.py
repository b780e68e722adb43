"""A run in its folder, opened with care: it may come from a stranger.

stored = StoredRun.open("outputs/2026-11-23/06-24-26-123456")
network = stored.model()  # with the weights of its best evaluation
stored.class_names, stored.normalisation.mean, stored.length

What a checkpoint allows itself counts for nothing: code of the user's own is allowed by whoever
opens it.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import DictConfig, OmegaConf

from raspitrain.config.older import from_older
from raspitrain.config.rules import leaves
from raspitrain.errors import InputError
from raspitrain.paths import absolute
from raspitrain.results.files import BEST, LAST, OF_A_RUN, PREVIOUS

if TYPE_CHECKING:
    from torch import nn

    from raspitrain.data.cases import Cases
    from raspitrain.data.normalise import Normalisation

RATE_TOLERANCE = 0.02  # share by which a rate may be another than in training


@dataclass(frozen=True)
class StoredRun:
    """A checkpoint of a run, and what using it takes.

    Attributes
    ----------
    path : of the checkpoint
    state : all that it holds, plain values and tensors; see `raspitrain.run.state`
    config : the run's configuration, which it was built from; plain values alone
    allowed_targets : code beside raspitrain's and torch's that `model` may call
    note : what was wrong with a checkpoint that should have been taken; empty if nothing
    """

    path: Path
    state: Mapping[str, Any]
    config: DictConfig
    allowed_targets: tuple[str, ...] = ()
    note: str = ""

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        allowed_targets: Sequence[str] = (),
        which: Literal["best", "last"] = "best",
    ) -> "StoredRun":
        """Open the newest of the folder's checkpoints that is whole.

        Parameters
        ----------
        allowed_targets : see the attributes
        which : "best" for the weights of the best evaluation, or the last where there was none;
            "last" for all that resuming the run takes, under "training" and "run" of `state`

        Raises
        ------
        InputError
            There is no run, or no usable checkpoint; the sentence says what is left of it.
        """
        from raspitrain.results.checkpoint import load_checkpoint

        folder = check_holds_run(folder)
        wrong = []
        for name in (BEST, LAST, PREVIOUS) if which == "best" else (LAST, PREVIOUS):
            path = folder / name
            try:
                state = load_checkpoint(path)
            except InputError as error:
                wrong.append((path, str(error)))
                continue
            if which == "last" and not _can_be_resumed(state):
                wrong.append((path, f"{path} holds weights alone, not the state of a run"))
                continue
            missing = [text for other, text in wrong if other.name == LAST or other.exists()]
            note = f"{_fault(missing[0])}; {name} is taken instead" if missing else ""
            return cls(path, state, _config(path, state), tuple(allowed_targets), note)
        raise InputError(_no_checkpoint(folder, wrong))

    @classmethod
    def of_checkpoint(cls, path: Path, *, allowed_targets: Sequence[str] = ()) -> "StoredRun":
        """Open one checkpoint by its own name.

        Raises
        ------
        InputError
            It is missing, damaged, or no run's.
        """
        from raspitrain.results.checkpoint import load_checkpoint

        if not os.path.lexists(path):
            raise InputError(f"there is no checkpoint {path}, nor a run's folder of that name")
        state = load_checkpoint(path)
        return cls(path, state, _config(path, state), tuple(allowed_targets))

    @property
    def class_names(self) -> tuple[str, ...]:
        return self._part("class_names", lambda names: tuple(map(str, names)))

    @property
    def channel_names(self) -> tuple[str, ...]:
        return self._part("channel_names", lambda names: tuple(map(str, names)))

    @property
    def length(self) -> int:
        """Time points of a case, as the network was trained on them."""
        return self._part("length", int)

    @property
    def rate(self) -> float | None:
        """Samples a second; None where that is not known, and in runs of before 0.2."""
        if self.state.get("rate") is None:
            return None
        return self._part("rate", float)

    def has_other_rate(self, cases: "Cases") -> bool:
        """Whether these cases have another rate than training's, as far as both are known."""
        if cases.rate is None or self.rate is None:
            return False
        return abs(cases.rate / self.rate - 1) > RATE_TOLERANCE

    @property
    def integer_labels(self) -> bool:
        """Whether the labels were integers, and not text."""
        return self.state.get("integer_labels") is True

    def dataset_here(self, dataset: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration of a data set, its relative paths from where the run was started, or
        from here if they lead to nothing there; whether the data are the run's own is another
        question. Data that are in neither place are missed where the run was started."""
        found, base = dict(dataset), self.state.get("data_from")
        ours = str(found.get("_target_")).startswith("raspitrain.")  # others' may be no files
        for key in ("path", "annotations"):
            path = found.get(key)
            if isinstance(path, str) and isinstance(base, str) and base:
                there = os.path.join(base, os.path.expanduser(path))
                data = os.path.expanduser(str(found.get("path")))
                beside = key == "annotations" and os.path.exists(os.path.join(data, path))
                missing = key == "path" and ours and not os.path.exists(data)
                if (os.path.exists(there) or missing) and not beside:
                    found[key] = there
        return found

    @property
    def normalisation(self) -> "Normalisation":
        import numpy as np

        from raspitrain.data.frontend import Frontend
        from raspitrain.data.normalise import KINDS, Amplitudes, Normalisation

        mean = self._part("mean", lambda tensor: tensor.double().numpy())
        frontend = None
        if self.state.get("frontend") is not None:
            frontend = self._part("frontend", lambda record: Frontend(**record))
        num_bands = 1 if frontend is None else frontend.num_bands
        if mean.shape != (len(self.channel_names) * num_bands,):
            raise unfit(self.path)
        std = self._part("std", lambda tensor: tensor.double().numpy())

        def read(told: Any) -> tuple[str, Amplitudes | None]:
            figures = dict(told)
            kind = str(figures.pop("kind"))
            if kind not in KINDS:
                raise ValueError(kind)
            if kind != "both":
                return kind, None
            arrays = {name: tensor.double().numpy() for name, tensor in figures.items()}
            if any(array.shape != mean.shape for array in arrays.values()):
                raise ValueError("figures for other channels")
            return kind, Amplitudes(**arrays)

        if "normalise" not in self.state:  # before 0.2 there was one kind
            kind, amplitudes = "channel", None
        else:
            kind, amplitudes = self._part("normalise", read)
        constant = np.zeros(len(mean), dtype=bool)
        return Normalisation(mean, std, constant, kind, amplitudes, frontend)

    @property
    def trusted_config(self) -> DictConfig:
        """The configuration with what the caller allows: what a checkpoint allows itself counts
        for nothing, as it may come from a stranger."""
        cfg = self.config.copy()
        cfg.allowed_targets = list(self.allowed_targets)
        return cfg

    def model(self) -> "nn.Module":
        """The network with the checkpoint's weights, on the CPU, as it is used and not trained.

        Raises
        ------
        InputError
            Its code is not allowed, or the weights are those of another network.
        """
        from raspitrain.run.network import build_model
        from raspitrain.training.randomness import same_random_numbers

        normalisation = self.normalisation
        facts = {
            "num_channels": normalisation.num_channels,
            "num_classes": len(self.class_names),
            "length": normalisation.seen_length(self.length),
        }
        with same_random_numbers():
            model = build_model(self.trusted_config, facts)
        try:
            model.load_state_dict(self.state["model"])
        except Exception as error:  # what does not fit fails in torch's many ways
            raise unfit(self.path) from error
        return model.eval()

    def _part(self, name: str, read: Any) -> Any:
        try:
            return read(self.state[name])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise unfit(self.path) from error


def unfit(path: Path) -> InputError:
    """For a checkpoint that is whole, and holds what nobody here wrote."""
    return InputError(f"{path} does not hold a run as this raspitrain would write it")


def _can_be_resumed(state: Mapping[str, Any]) -> bool:
    return isinstance(state.get("training"), dict) and isinstance(state.get("run"), dict)


def _config(path: Path, state: Mapping[str, Any]) -> DictConfig:
    """The checkpoint's configuration, in this version's words: plain values, as they were resolved
    when it was written."""
    stored = state.get("config")
    if not isinstance(stored, dict) or any("${" in str(value) for _, value in leaves(stored)):
        raise unfit(path)
    stored = from_older(stored)
    try:
        return OmegaConf.create(stored)
    except Exception as error:
        raise unfit(path) from error


def check_holds_run(path: str | Path) -> Path:
    """The absolute path of a folder that holds something of a run, or InputError."""
    folder = absolute(path)
    if folder.is_file() and holds_run(folder.parent):
        raise InputError(f"{folder} is a file: give the run's folder, {folder.parent}")
    if folder.is_file():
        raise InputError(
            f"{folder} is a file, and {folder.parent} holds no run of raspitrain; give the folder "
            "of one"
        )
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    if holds_run(folder):
        return folder
    if (folder / "config.yaml").exists():
        raise InputError(
            f"{folder}: the run was ended before its first checkpoint; start it again, with "
            f"hydra.run.dir={folder} if it is to be there"
        )
    raise InputError(f"{folder} holds no run of raspitrain; give the folder of one")


def holds_run(folder: Path) -> bool:
    """Whether a folder holds something of a run."""
    return any((folder / name).exists() for name in OF_A_RUN)


def _fault(sentence: str) -> str:
    """What is wrong with a checkpoint, without what helps where there is no other."""
    return sentence.split("; ")[0]


def _no_checkpoint(folder: Path, wrong: Sequence[tuple[Path, str]]) -> str:
    if not any(path.exists() for path, _ in wrong):
        names = [path.name for path, _ in wrong]
        left = [name for name in OF_A_RUN if (folder / name).exists()]
        return (
            f"{folder} has no checkpoint, neither {', '.join(names[:-1])} nor {names[-1]}; "
            f"what is left: {', '.join(left)}"
        )
    first = _fault(next(text for path, text in wrong if path.exists()))
    left = [n for n in (BEST, "metrics.csv", "summary.json") if (folder / n).exists()]
    others = f"what is left: {', '.join(left)}" if left else "nothing else is left"
    remedy = "put a copy of it in its place, or start the run again"
    if BEST in left and all(path.name != BEST for path, _ in wrong):
        remedy = (
            f"put a copy in its place, or start a new run from {BEST} with init={folder / BEST}"
        )
    return f"{folder} has no usable checkpoint: {first}; {others}; {remedy}"
