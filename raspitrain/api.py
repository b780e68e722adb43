"""For programs and notebooks: arrays in, a trained model out (docs/python.md).

    result = train(X, y, model="mobilenetv3_small", epochs=30)
    result.metrics["test_accuracy"]
    result.predict(X_new)
    result.save("model.rpt")

The run is the command's: the same configuration, the same folder, which every command takes.
Letters: N cases, C channels, L length, K classes.
"""

import os
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from raspitrain.config.compose import compose
from raspitrain.config.composition import check_composition
from raspitrain.config.profile import with_profile
from raspitrain.data.cases import check_finite
from raspitrain.data.given import as_array, given_arrays, write_arrays
from raspitrain.errors import InputError, input_error, reason, remedy
from raspitrain.hardware.memory import quick_imports
from raspitrain.hardware.threads import thread_environment
from raspitrain.paths import absolute, config_folder, expanded
from raspitrain.results.atomic import atomic_path
from raspitrain.results.files import BEST, MODEL, OF_A_RUN
from raspitrain.results.folder import remove_empty
from raspitrain.run.stored import StoredRun
from raspitrain.use.model_file import is_model_file

DATA = "data"  # the folder of the arrays, in the run's own
# What a configuration has for the command alone.
NOT_HERE = ("experiment", "launcher", "resume", "sweep", "sweep_name", "task", "throughput")
OF_THE_DATA = tuple(f"dataset.{k}" for k in ("missing", "leave_out", "channels", "normalise"))


class Model(ABC):
    """A trained model, to be used.

    Attributes
    ----------
    path : of the file that it was read from
    classes : (K,), names as text, or integers where the labels were such
    channels : list of str, C names
    length : samples of a case
    rate : samples a second, or None where that is not known
    """

    def __init__(
        self,
        path: Path,
        class_names: Sequence[str],
        channel_names: Sequence[str],
        *,
        integer_labels: bool,
        length: int,
        rate: float | None,
    ) -> None:
        self.path = path
        names = np.array(class_names)
        self.classes = names.astype(np.int64) if integer_labels else names
        self.channels = list(channel_names)
        self.length, self.rate = length, rate

    def __repr__(self) -> str:
        return (
            f"<raspitrain.Model {self.path}: {len(self.channels)} channels × {self.length} "
            f"samples, {len(self.classes)} classes>"
        )

    def probabilities(self, X: Any) -> np.ndarray:
        """Probabilities of the classes, float64 (N, K), in the order of `classes`.

        Parameters
        ----------
        X : array_like (N, C, L)
            Raw values in the channels' own units, as in training.

        Raises
        ------
        InputError
            The shape is another, or there are missing values that training had not.
        """
        signals = as_array(X, "X")
        shape = (len(self.channels), self.length)
        if signals.ndim != 3 or signals.shape[1:] != shape or signals.dtype.kind not in "iuf":
            one = "; one case is X[None]" if signals.shape == shape else ""
            raise InputError(
                f"X is {signals.dtype} of the shape {signals.shape}, but the model takes numbers "
                f"(cases, channels, length) = (N, {shape[0]}, {shape[1]}){one}."
            )
        if not len(signals):
            return np.empty((0, len(self.classes)))
        return self._probabilities(signals)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each case, (N,), as in `classes`; X as for `probabilities`."""
        return self.classes[self.probabilities(X).argmax(axis=1)]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model to a file for `load`; return its path.

        Parameters
        ----------
        path : NAME.rpt for a model file, which is used without torch, on a board or in a
            program; NAME.pt for a checkpoint and NAME.onnx for ONNX, of any network

        Raises
        ------
        InputError
            The name ends with neither, the network is not one that the engine runs, or the card
            will not take the file.
        """
        path = _given(path, "path")
        if path.suffix not in (".rpt", ".pt", ".onnx"):
            raise InputError(
                f"{path} must end with .rpt for a model file, .pt for a checkpoint or .onnx for "
                "ONNX."
            )
        try:
            self._save(path)
        except OSError as error:
            raise _unwritten(path, error) from error
        return path

    @abstractmethod
    def _probabilities(self, signals: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def _save(self, path: Path) -> None: ...


class _Network(Model):
    """A network of torch, from a run's checkpoint."""

    def __init__(self, stored: StoredRun) -> None:
        super().__init__(
            stored.path,
            stored.class_names,
            stored.channel_names,
            integer_labels=stored.integer_labels,
            length=stored.length,
            rate=stored.rate,
        )
        self._stored = stored
        self._network, self._normalisation = stored.model(), stored.normalisation
        self._missing = stored.config.dataset.get("missing") or "error"

    def _probabilities(self, signals: np.ndarray) -> np.ndarray:
        from raspitrain.training.answers import logits_of, softmax

        finite = check_finite(signals, source="X", missing=self._missing)
        return softmax(logits_of(self._network, self._normalisation, finite))

    def _save(self, path: Path) -> None:
        if path.suffix == ".onnx":
            from raspitrain.export.onnx_file import write_onnx

            write_onnx(path, self._stored)
            return
        exported = self.path.with_name(MODEL)
        if path.suffix == ".pt" or exported.is_file():
            _copy(self.path if path.suffix == ".pt" else exported, path)
            return
        from raspitrain.export.export import export
        from raspitrain.export.trained import trained_from

        export(trained_from(self._stored), None, precision="fp32", path=path)


class _File(Model):
    """A model file with its engine."""

    def __init__(self, path: Path) -> None:
        from raspitrain.use import load as load_file

        self._model = load_file(path)
        super().__init__(
            path,
            self._model.classes,
            self._model.channels,
            integer_labels=self._model.header["output"].get("integer_labels") is True,
            length=self._model.length,
            rate=self._model.rate,
        )

    def _probabilities(self, signals: np.ndarray) -> np.ndarray:
        found = []
        for case, window in enumerate(signals):
            try:
                answer = self._model.predict(np.ascontiguousarray(window, np.float32))
            except InputError as error:
                raise InputError(f"X, case {case}: {error}") from error
            found.append(list(answer.probabilities.values()))
        return np.array(found)

    def _save(self, path: Path) -> None:
        if path.suffix != ".rpt":
            raise InputError(f"{path}: of a model file nothing else can be made; use .rpt.")
        _copy(self.path, path)


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes
    ----------
    folder : of the run, with everything that the command leaves
    summary : what summary.json holds
    metrics : figures of the model that is kept, such as test_accuracy (a fraction), by the names of
        metrics.csv; those of a part that the split leaves empty are not there
    model : the best one; `predict`, `probabilities` and `save` are its
    """

    folder: Path
    summary: dict[str, Any]
    model: Model
    metrics: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        row = self.summary.get("best") or {}
        object.__setattr__(
            self,
            "metrics",
            {
                key: value
                for key, value in row.items()
                if key.startswith(("train_", "validation_", "test_")) and value is not None
            },
        )

    def __repr__(self) -> str:
        accuracy = self.summary.get("test_accuracy")
        shown = "" if accuracy is None else f", test accuracy {100 * accuracy:.1f} %"
        return f"<raspitrain.Result {self.folder}: {self.summary['status']}{shown}>"

    def predict(self, X: Any) -> np.ndarray:
        """As `Model.predict`."""
        return self.model.predict(X)

    def probabilities(self, X: Any) -> np.ndarray:
        """As `Model.probabilities`."""
        return self.model.probabilities(X)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """As `Model.save`."""
        return self.model.save(path)


def train(
    X: Any,
    y: Any,
    *,
    model: str | Mapping[str, Any] = "mobilenetv3_small",
    groups: Any = None,
    X_test: Any = None,
    y_test: Any = None,
    rate: float | None = None,
    channel_names: Sequence[str] | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    show: bool = False,
    **overrides: Any,
) -> Result:
    """Train a model on arrays, as the command would on a folder of them.

    The arrays are written into the run's folder (data/), so that the run can be resumed, exported
    and evaluated like any other.

    Parameters
    ----------
    X : array_like (N, C, L)
        Numbers, in the channels' own units.
    y : array_like (N,)
        Labels: text or integers.
    model : an option of the group `model`, or a dict with a `_target_` and its keys
    groups : array_like (N,), optional
        Whose each case is, such as a person: none falls on both sides of a split.
    X_test, y_test : array_like, optional
        The test part, instead of one that is drawn by chance. No group of X is in it.
    rate : samples a second
    channel_names : C names
    output_dir : the run's folder, which must hold no run; a new one below outputs/ if None
    show : the progress on standard output; warnings go to standard error in any case
    overrides : any key of the configuration, with __ for a dot or as a dict: epochs=30,
        optimizer="sgd", optimizer__lr=0.1, split={"validation": 0.2}

    Raises
    ------
    InputError
        With one sentence: an array, a key or the folder will not do, and nothing is left of it; or
        training diverged, and the folder holds the results so far.
    Stopped
        By Ctrl-C or a signal, after the results so far are written; a KeyboardInterrupt.
    """
    folder = absolute(_given(_new_folder() if output_dir is None else output_dir, "output_dir"))
    given = _dotted(overrides) | {"model": model}
    for key in given:
        if key.split(".")[0] in NOT_HERE:
            raise InputError(f"{key} is for the command line; raspitrain.train does not take it.")
        if key.split(".")[0] == "dataset" and key not in OF_THE_DATA:
            raise InputError(f"{key}: the data are X and y; it may be {', '.join(OF_THE_DATA)}.")
    own = {"dataset.path": str(folder / DATA), "dataset.rate": _plain(rate)}
    own |= {"dataset.channel_names": _names(channel_names)}
    own |= {} if groups is None else {"dataset.groups": "groups.npy"}
    own |= {} if X_test is None else {"dataset.part": "part.npy"}
    cfg = compose({"dataset": "npy"} | own | given)
    words = [f"{key}={_word(value)}" for key, value in given.items()]
    check_composition(cfg, words)
    arrays = given_arrays(
        X,
        y,
        groups,
        X_test,
        y_test,
        channels=cfg.dataset.channels,
        channel_names=cfg.dataset.channel_names,
        rate=cfg.dataset.rate,
        leave_out=cfg.dataset.leave_out,
        missing=cfg.dataset.missing,
    )
    cfg, profile = with_profile(cfg, list(given))
    _set_environment(cfg.hardware)
    with quick_imports():
        from raspitrain.run.run import run

    if any((folder / name).exists() for name in (DATA, *OF_A_RUN)):
        raise InputError(f"{folder} already holds a run or data: give another output_dir.")
    made = [f for f in (folder, *folder.parents) if not os.path.lexists(f)]
    try:
        try:
            write_arrays(folder / DATA, arrays)
        except OSError as error:
            raise _unwritten(folder / DATA, error) from error
        summary = run(cfg, folder, overrides=words, profile=profile, show=show)
    except BaseException:
        if not any((folder / name).exists() for name in OF_A_RUN):
            for file in (folder / DATA).glob("*.npy"):
                file.unlink(missing_ok=True)
            remove_empty((folder / DATA, *made))
        raise
    return Result(folder, summary, load(folder, allowed_targets=cfg.allowed_targets))


def resume(folder: str | os.PathLike[str], *, show: bool = False, **overrides: Any) -> Result:
    """Resume a run where its last checkpoint stands; a larger `epochs` trains for longer.

    Parameters
    ----------
    overrides : as for `train`, of what may change: epochs, patience, hardware, …

    Raises
    ------
    InputError, Stopped
        As `train`.
    """
    from raspitrain.run.resume import resume as resume_run

    given = _dotted(overrides)
    words = [f"{key}={_word(value)}" for key, value in given.items()]
    folder = absolute(_given(folder, "folder"))
    summary = resume_run(folder, words, show=show)
    allowed = given.get("allowed_targets", ())
    return Result(folder, summary, load(folder, allowed_targets=allowed))


def load(path: str | os.PathLike[str], *, allowed_targets: Sequence[str] = ()) -> Model:
    """A trained model from a run's folder, a checkpoint or a model file.

    Parameters
    ----------
    allowed_targets : names of code beside raspitrain's and torch's that a run's network may need;
        what a file allows itself counts for nothing

    Raises
    ------
    InputError
        There is no model, it is damaged, or its code is not allowed.
    """
    path = _given(path, "path")
    if path.is_dir() and (path / MODEL).is_file() and not (path / BEST).exists():
        path = path / MODEL  # copied without the run's checkpoints
    if path.is_dir():
        stored = StoredRun.open(path, allowed_targets=allowed_targets)
    elif is_model_file(path):
        return _File(path)
    else:
        stored = StoredRun.of_checkpoint(path, allowed_targets=allowed_targets)
    return _Network(stored)


# ---------------------------------------------------------------- what is given


def _given(path: Any, name: str) -> Path:
    """A path as the user means it, with ~ for the home folder."""
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"{name} must be a text or a Path, not {path!r}.")
    return expanded(path)


def _dotted(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Keys with their dots, values as a configuration holds them."""
    return {name.replace("__", "."): _plain(value) for name, value in overrides.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if isinstance(value, np.generic) else value


def _word(value: Any) -> str:
    """A value as the command line has it."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_word(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_word, value)) + "]"
    return str(value)


def _new_folder() -> str:
    """Where the command would put a run that begins now."""
    template = OmegaConf.to_container(OmegaConf.load(config_folder() / "config.yaml"))
    assert isinstance(template, dict)
    now = datetime.now()
    return re.sub(
        r"\$\{now:([^}]*)\}",
        lambda found: now.strftime(found[1]),
        template["hydra"]["run"]["dir"],
    )


def _set_environment(hardware: DictConfig) -> None:
    """What torch reads when it is imported, if it is not yet."""
    if "torch" in sys.modules:
        return
    os.environ.update(thread_environment(hardware.num_threads, hardware.wait_policy, os.environ))


# ---------------------------------------------------------------- what is written


def _copy(source: Path, path: Path) -> None:
    content = source.read_bytes()
    with atomic_path(path) as partial:
        partial.write_bytes(content)


def _names(names: Any) -> list[str] | None:
    if isinstance(names, str):  # which a list would take apart into letters
        raise InputError(f"channel_names must be a list of names, not {names!r}.")
    return None if names is None else list(names)


def _unwritten(path: Path, error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path} cannot be written: there is no folder {path.parent}.")
    return input_error(
        f"{path} cannot be written ({reason(error)}); {remedy(error, 'give another name')}", error
    )
