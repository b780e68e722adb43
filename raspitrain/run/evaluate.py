"""A run's best model on a part of its own data, or on other data.

evaluated = evaluate_part(StoredRun.open(folder), "validation")
evaluated = evaluate_data(StoredRun.open(folder), ["new/recordings"])
evaluated.report["accuracy"]
"""

import csv
import glob
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn
from yaml import YAMLError

from raspitrain.config.build import build_cases
from raspitrain.config.compose import compose
from raspitrain.config.own_code import own_faults_told
from raspitrain.config.rules import check
from raspitrain.data.cases import Cases, one_class_will_do
from raspitrain.data.files.endings import HOLD_ARRAYS, MAY_HOLD_ARRAYS
from raspitrain.data.files.npy_file import user_path
from raspitrain.data.fingerprint import fingerprint
from raspitrain.data.recorded.folder import SUFFIXES
from raspitrain.data.split import split_cases
from raspitrain.errors import InputError, no_formula
from raspitrain.nearest import did_you_mean
from raspitrain.results.configuration import plain
from raspitrain.run.stored import StoredRun
from raspitrain.training.answers import Answers, answers_of, batch_size_of
from raspitrain.training.metrics import (
    Confusion,
    Report,
    classification_report,
    confusion_matrix,
)
from raspitrain.use.figures import check_writing

HEADER = ("file", "window", "start", "time", "class", "probability", "true", "p(true)")


@dataclass(frozen=True)
class Piece:
    """Some cases of one data set, and what a model answers to them.

    Attributes
    ----------
    source : the file or folder that they come from; "" where there is none
    indices : int64, of these cases in the data set
    """

    source: str
    cases: Cases
    indices: np.ndarray
    answers: Answers


@dataclass(frozen=True)
class Evaluated:
    """What a model answers to cases whose classes are known.

    Attributes
    ----------
    class_names : of the model
    pieces : by data set
    notes : what was taken and what left out, a clause each
    """

    class_names: tuple[str, ...]
    pieces: tuple[Piece, ...]
    notes: tuple[str, ...] = ()

    @property
    def confusion(self) -> Confusion:
        answers = [piece.answers for piece in self.pieces]
        labels = np.concatenate([own.labels for own in answers])
        predicted = np.concatenate([own.predicted for own in answers])
        return confusion_matrix(labels, predicted, len(self.class_names))

    @property
    def report(self) -> Report:
        return classification_report(self.confusion, self.class_names)

    def misclassified(self) -> str:
        """The text of misclassified.csv, a row for each case that was given another class."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(HEADER)
        for piece in self.pieces:
            for row in _mistakes(piece, self.class_names):
                table.writerow(map(no_formula, row))
        return text.getvalue()


def _mistakes(piece: Piece, class_names: Sequence[str]) -> Iterator[list[object]]:
    """Rows of `HEADER`; time is in seconds from the recording's begin, where that is known."""
    taken, answers = piece.cases.taken, piece.answers
    origin_of = taken.origin_of if taken.origins else None
    for k in np.flatnonzero(answers.predicted != answers.labels).tolist():
        case = int(piece.indices[k])
        file, window, start, time = piece.source, case, "", ""
        if origin_of is not None:
            origin = int(origin_of[case])
            if not Path(file).is_file():
                file = str(Path(file, taken.origins[origin].name))
            window = case - int(np.argmax(origin_of == origin))
        if taken.starts is not None:
            start = str(taken.starts[case])
        if taken.seconds is not None and np.isfinite(taken.seconds[case]):
            time = f"{taken.seconds[case]:.10g}"
        names = (class_names[answers.predicted[k]], class_names[answers.labels[k]])
        sure, of_label = (f"{p[k]:.6g}" for p in (answers.probability, answers.of_label))
        yield [file, window, start, time, names[0], sure, names[1], of_label]


def source_of(dataset: Mapping[str, Any]) -> str:
    """The file or folder that a data set is read from; "" where there is none."""
    return str(dataset.get("path") or dataset.get("name") or "")


def evaluate_part(stored: StoredRun, part: str) -> Evaluated:
    """The model on a part of the data that it was trained with.

    Parameters
    ----------
    part : {"test", "validation", "train", "all"}

    Raises
    ------
    InputError
        The data cannot be read, are not those of the run, or have no such part.
    """
    config = _config(stored)
    cases = build_cases(config["dataset"], stored.allowed_targets)
    _check_fits(stored, cases)
    kept = stored.state.get("data")  # not in runs of before 0.2
    if list(cases.class_names) != list(stored.class_names) or kept not in (
        None, fingerprint(cases)
    ):  # fmt: skip
        raise InputError(
            f"{config['dataset'].get('path', 'the data set')}: the data are not those that the run "
            f"in {stored.path.parent} was trained on; evaluate them with --data, or put the run's "
            "own back."
        )
    if part == "all":
        indices = np.arange(len(cases.labels))
    else:
        split = split_cases(cases, seed=config["seed"], **config["split"])
        indices = getattr(split, part)
    if not len(indices):
        raise InputError(
            f"the run in {stored.path.parent} has no {part} part: choose another with --part."
        )
    answers = _answers(stored, stored.model(), cases, indices, cases.labels[indices])
    piece = Piece(source_of(config["dataset"]), cases, indices, answers)
    return Evaluated(stored.class_names, (piece,))


def evaluate_data(stored: StoredRun, paths: Sequence[str], words: Sequence[str] = ()) -> Evaluated:
    """The model on other data, read with the settings of the run's own data set.

    Parameters
    ----------
    paths : of folders of recordings, CSV files, folders with data.npy, .npz or .ts files
    words : dataset.KEY=VALUE, in which these data are not as the run's own

    Raises
    ------
    InputError
        The data cannot be read, or are not what the model was trained on: other channels, length
        or rate, or classes that it does not know.
    """
    config = _config(stored)
    network = stored.model()
    pieces, notes = [], []
    for path in paths:
        node = _dataset_for(path, config["dataset"], stored)
        node = _with_words(node, words)
        out = {str(name) for name in config["dataset"].get("leave_out") or ()}
        try:
            with one_class_will_do():
                cases = _cases_for(node, stored)
        except InputError as error:
            if "dataset." not in str(error):
                raise
            raise InputError(
                f"{error} (Words such as dataset.KEY=VALUE stand behind the paths of --data; "
                "predict needs no classes.)"
            ) from None
        _check_fits(stored, cases, path)
        known = {name: k for k, name in enumerate(stored.class_names)}
        unknown = [name for name in cases.class_names if name not in known and name not in out]
        if unknown:
            check_writing(stored.class_names, unknown[0], path)
            raise InputError(
                f"{path} has the class '{unknown[0]}', which the model does not know; its classes "
                f"are {', '.join(stored.class_names[:20])}; leave it out with "
                f"'dataset.leave_out=[\"{unknown[0]}\"]'."
            )
        places = np.array([known.get(name, -1) for name in cases.class_names])
        labels = places[cases.labels]
        indices = np.flatnonzero(labels >= 0)
        if not len(indices):
            raise InputError(f"{path} holds no case of a class that the model knows.")
        if left := len(labels) - len(indices):
            notes.append(f"{path}: {left} cases left out, as their classes were in training")
        if user_path(path, "--data").resolve() == Path(source_of(config["dataset"])).resolve():
            notes.append(
                f"warning: {path}: the run was trained on a part of these; what it makes of the "
                "others is told without --data"
            )
        notes += [f"{path}: {note}" for note in cases.taken.notes]
        notes += [f"warning: {path}: {warning}" for warning in cases.taken.warnings]
        answers = _answers(stored, network, cases, indices, labels[indices])
        source = path if node.get("files") == config["dataset"].get("files") else node["path"]
        pieces.append(Piece(source, cases, indices, answers))
    return Evaluated(stored.class_names, tuple(pieces), tuple(notes))


def _answers(
    stored: StoredRun, network: nn.Module, cases: Cases, indices: np.ndarray, labels: np.ndarray
) -> Answers:
    with own_faults_told(stored.trusted_config):
        return answers_of(
            network,
            stored.normalisation,
            cases.signals,
            indices,
            labels,
            batch_size=batch_size_of(stored.config["batch_size"]),
        )


def _config(stored: StoredRun) -> dict[str, Any]:
    config = plain(stored.trusted_config, resolve=False)
    config["dataset"] = stored.dataset_here(config["dataset"])
    check(config)
    return config


def _check_fits(stored: StoredRun, cases: Cases, path: str = "the data set") -> None:
    names, length = stored.channel_names, cases.signals.shape[2]
    if cases.channel_names != names:
        nameless = len(cases.channel_names) == len(names) and cases.channel_names[0] == "channel_0"
        in_order = "; predict takes channels without names in their order" if nameless else ""
        raise InputError(
            f"{path} has the channels {', '.join(cases.channel_names[:12])}, and the model was "
            f"trained on {', '.join(names[:12])}: if they are those, call them so, as in a first "
            f"line of each file{in_order}."
        )
    if length != stored.length:
        raise InputError(
            f"{path} has cases of {length} samples, and the model takes {stored.length}."
        )
    if stored.has_other_rate(cases):
        raise InputError(
            f"{path} has {cases.rate:g} samples a second, and the model was trained at "
            f"{stored.rate:g}: bring them to that rate with dataset.rate={stored.rate:g}."
        )


def _dataset_for(path: str, own: dict[str, Any], stored: StoredRun) -> dict[str, Any]:
    """The node of a data set that reads `path`: the run's own where that reads such files."""
    place = user_path(path, "--data")
    if not place.exists():
        raise InputError(f"--data: there is no {place}.")
    if place.suffix == ".ts":
        kind = "ucr"
        changes = {"path": str(place.parent), "name": place.stem, "length": stored.length}
    elif place.suffix.lower() in (
        MAY_HOLD_ARRAYS if own["_target_"] == _target("npz") else HOLD_ARRAYS
    ):
        kind, changes = "npz", {"path": str(place)}
    elif place.is_dir() and next(place.glob("*.npy"), None) is not None:
        kind, changes = "npy", {"path": str(place)}
    else:
        kind, changes = "recordings", {"path": str(place)} | _of_one_class(place, own, stored)
        if own["_target_"] == _target("rows"):
            kind = "rows"
    if own["_target_"] == _target(kind):
        node = own | changes
        asked = stored.config.dataset.get("annotations")
        if isinstance(asked, str) and (place / asked).is_file():
            node["annotations"] = asked  # that of these data
    else:
        default: Any = OmegaConf.to_container(compose({"dataset": kind}).dataset)
        shared = {key: own[key] for key in ("missing",) if key in own}
        node = default | shared | changes
        if kind == "recordings":
            node |= {"length": stored.length, "stride": stored.length}
    if "leave_out" in node:
        node["leave_out"] = []  # of these data some may have no such class
    if "part_column" in node:
        node["part_column"] = None  # all of them are evaluated
    if kind in ("npy", "npz"):
        node |= {"channel_names": list(stored.channel_names), "rate": stored.rate, "part": None}
        node |= {"groups": None}
    return node


def _of_one_class(place: Path, own: dict[str, Any], stored: StoredRun) -> dict[str, Any]:
    """Which keys take a folder that a class names, or a recording in it, from the folder above."""
    folder = place if place.is_dir() else place.parent
    given = (own.get(key) for key in ("class_level", "class_part", "label_column", "groups"))
    if folder.name not in stored.class_names or any(value is not None for value in given):
        return {}
    inside = glob.escape(folder.name)
    if place.is_file():
        return {"path": str(folder.parent), "files": [f"{inside}/{glob.escape(place.name)}"]}
    if any(child.is_dir() for child in folder.iterdir()):
        return {}
    patterns = [pattern for suffix in SUFFIXES if any(folder.glob(pattern := f"*{suffix}"))]
    files = own.get("files") or []
    files = [files] if isinstance(files, str) else files
    unwanted = [pattern for pattern in files if pattern.startswith("!")]
    wanted = [pattern for pattern in files if pattern not in unwanted] or patterns or ["*"]
    within = [f"{inside}/{pattern}" for pattern in wanted]
    return {"path": str(folder.parent), "files": [*within, *unwanted]}


def _with_words(node: dict[str, Any], words: Sequence[str]) -> dict[str, Any]:
    for word in words:
        key = word.partition("=")[0]
        name = key.removeprefix("dataset.")
        if name not in node or name.startswith("_"):
            raise InputError(f"{key} is no key of these data{did_you_mean(name, node)}.")
        try:
            value: Any = OmegaConf.to_container(OmegaConf.from_dotlist([word]))
        except (YAMLError, OmegaConfBaseException):
            raise InputError(f"{word} cannot be read; give a text with signs in quotes.") from None
        node = node | {name: value["dataset"][name]}
    return node


def _cases_for(node: dict[str, Any], stored: StoredRun) -> Cases:
    """The data set, at the model's rate; by the names of the model's channels where it would take
    other columns, as one that never changes here."""
    if "rate" in node and node["rate"] is None and stored.rate is not None:
        at_rate = node | {"rate": stored.rate}
        try:
            cases = _with_the_channels(node, stored)
        except InputError:
            return _with_the_channels(at_rate, stored)  # of several rates, perhaps
        return _with_the_channels(at_rate, stored) if stored.has_other_rate(cases) else cases
    return _with_the_channels(node, stored)


def _with_the_channels(node: dict[str, Any], stored: StoredRun) -> Cases:
    cases = build_cases(node, stored.allowed_targets)
    if cases.channel_names == stored.channel_names or node.get("columns", ()) is not None:
        return cases
    try:
        return build_cases(node | {"columns": list(stored.channel_names)}, stored.allowed_targets)
    except InputError:
        return cases  # whose channels are named in the refusal


def _target(kind: str) -> str:
    return str(compose({"dataset": kind}).dataset._target_)
