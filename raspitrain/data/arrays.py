"""Data sets that are arrays already: a folder of .npy files, or one file of several arrays."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from raspitrain.data.cases import Cases, Signals, make_cases, name_unique
from raspitrain.data.files.array_file import open_arrays, pick, such_as
from raspitrain.data.files.endings import MAY_HOLD_ARRAYS
from raspitrain.data.files.missing import is_missing
from raspitrain.data.files.npy_file import (
    StoredSignals,
    check_folder,
    load_npy,
    user_path,
)
from raspitrain.data.taken import Taken
from raspitrain.errors import InputError, counted
from raspitrain.nearest import nearest

# Names of arrays that say whose a case is, or which part it belongs to.
GROUPS_NAMES = ("groups", "group", "subject", "subjects", "person", "user", "participant")
PART_NAMES = ("part", "parts", "split", "splits", "partition", "subset", "set", "is_test")
LABEL_FILE = re.compile(r"(?:y|labels?|targets?)(?:_\w+)?\.npy", re.I)
TEST_NAME = re.compile(r"(x|y|data|signals?|labels?)_?(test|val|valid|validation)", re.I)
FOLD_NAMES = ("fold", "folds", "strat_fold", "cv_fold", "fold_id")


def npy(
    *,
    path: str,
    data: str,
    label: str,
    groups: str | None,
    part: str | None,
    channels: str | None,
    channel_names: Sequence[str] | None,
    rate: float | None,
    leave_out: Sequence[str | int],
    missing: str,
) -> Cases:
    """Return the cases of a folder of .npy files; the signals stay on disk.

    Parameters
    ----------
    path : str
        The folder.
    data : str
        File of the signals, (N, C, L), best as float32, float64 or int16.
    label : str
        File of the labels, (N,), integers or text.
    groups : str or None
        File of the groups, (N,): cases of one group stay on one side of a split.
    part : str or None
        File of the data's own split, (N,): 0 train, 1 validation, 2 test.
    channels : {"first", "last", "one"} or None
        Whether the signals are (N, C, L), (N, L, C) or (N, L); None for the first, and refused
        where that gives more channels than samples.
    channel_names : sequence of str or None
        C names; "channel_0" … for None.
    rate : float or None
        Samples a second, where that is known.
    leave_out : sequence of str or int
        Classes that are not taken.
    missing : {"error", "interpolate", "zero"}
        What becomes of NaN and infinite values.
    """
    folder = user_path(path, "dataset.path")
    check_folder(folder, "dataset.path")
    _check_there(folder, data, label)
    return cases_of_arrays(
        StoredSignals(_inside(folder, data, "dataset.data")),
        load_npy(_inside(folder, label, "dataset.label")),
        groups=None if groups is None else load_npy(_inside(folder, groups, "dataset.groups")),
        part=None if part is None else load_npy(_inside(folder, part, "dataset.part")),
        channels=channels,
        channel_names=channel_names,
        rate=rate,
        leave_out=leave_out,
        missing=missing,
        names=_not_used((path.name for path in folder.glob("*.npy")), (data, label, groups, part)),
        source=str(folder / data),
        label_source=str(folder / label),
        groups_source=str(folder / str(groups)),
        part_source=str(folder / str(part)),
    )


def _check_there(folder: Path, data: str, label: str) -> None:
    """Say what to do with a folder that holds something else than arrays."""
    if _inside(folder, data, "dataset.data").exists():
        if not (own := _inside(folder, label, "dataset.label")).exists():
            there = sorted(path.name for path in folder.iterdir() if path.name != data)
            raise InputError(
                f"{own} does not exist; dataset.label names the array of labels, saved with "
                f"numpy.save, and beside the signals there is: {', '.join(there[:8]) or 'nothing'}."
            )
        return
    arrays = sorted(path.name for path in folder.glob("*.npy"))
    if arrays:
        such = such_as(dict.fromkeys(arrays), folder)
        raise InputError(
            f"{folder / data} does not exist; there are: {', '.join(arrays[:8])}. Name the signals "
            f"with dataset.data and the labels with dataset.label{such}. If each holds "
            "the cases of a class, join them with numpy.concatenate, and save which each case is "
            "from as label.npy."
        )
    below = sorted(folder.glob("*/*.npy"), key=lambda path: ("train" not in path.parent.name, path))
    labels = [path for path in below if LABEL_FILE.fullmatch(path.name)]
    if labels and len(labels) < len(below):
        signals = next(path for path in below if path not in labels)
        shown = ", ".join(path.relative_to(folder).as_posix() for path in below[:8])
        raise InputError(
            f"{folder / data} does not exist; in folders below there are: {shown}. One of them is "
            f"taken with dataset.path={signals.parent} dataset.data={signals.name} "
            f"dataset.label={labels[0].name}; join several with numpy.concatenate, and say in an "
            "array part (0 train, 2 test) which is which."
        )
    held = Counter(path.suffix.lower() for path in folder.rglob("*.*") if path.is_file())
    if not held:
        return
    kind, count = held.most_common(1)[0]
    hint = "dataset=npz reads one archive" if kind == ".npz" else (
        "dataset=recordings reads a recording a file, dataset=rows a case a row, and docs/data.md "
        "says how other files become arrays"
    )  # fmt: skip
    raise InputError(
        f"{folder / data} does not exist; the folder holds "
        f"{counted(count, f'{kind} file')}: {hint}."
    )


def _inside(folder: Path, name: str, key: str) -> Path:
    path = user_path(name, key)
    if path.name != name:
        raise InputError(f"{key} is {name!r}, but must be the name of a file in {folder}.")
    return folder / path


def npz(
    *,
    path: str,
    data: str,
    label: str,
    groups: str | None,
    part: str | None,
    channels: str | None,
    channel_names: Sequence[str] | None,
    rate: float | None,
    leave_out: Sequence[str | int],
    missing: str,
) -> Cases:
    """Return the cases of a .npz, .mat or HDF5 file, which is read whole.

    Parameters
    ----------
    path : str
        The file.
    data, label, groups, part : str
        Names of the arrays in it; what they hold is as for `npy`. The last two may be None.
    channels, channel_names, rate, leave_out
        As for `npy`.
    missing : {"error", "interpolate", "zero"}
        What becomes of NaN and infinite values.
    """
    file = user_path(path, "dataset.path")
    if file.is_dir():
        found = sorted(
            each.name for each in file.iterdir() if each.suffix.lower() in MAY_HOLD_ARRAYS
        )
        hint = f"such as {file / found[0]}" if found else f"and there is none in {file}"
        raise InputError(
            f"dataset.path: {file} is a folder, and dataset=npz reads one file of arrays (.npz, "
            f".mat, .h5), {hint}."
        )
    with open_arrays(file) as arrays:
        signals, labels = (
            pick(arrays, file, name, key)
            for name, key in ((data, "dataset.data"), (label, "dataset.label"))
        )
        group_ids, part_ids = (
            None if name is None else pick(arrays, file, name, key)
            for name, key in ((groups, "dataset.groups"), (part, "dataset.part"))
        )
        rest = _not_used(arrays.shapes, (data, label, groups, part))
    return cases_of_arrays(
        signals,
        labels,
        groups=group_ids,
        part=part_ids,
        channels=channels,
        channel_names=channel_names,
        rate=rate,
        leave_out=leave_out,
        missing=missing,
        names=rest,
        source=f"{file}, array '{data}'",
        label_source=f"{file}, array '{label}'",
        groups_source=f"{file}, array '{groups}'",
        part_source=f"{file}, array '{part}'",
    )


def cases_of_arrays(
    signals: Signals,
    labels: np.ndarray,
    *,
    groups: np.ndarray | None,
    part: np.ndarray | None,
    channels: str | None,
    channel_names: Sequence[str] | None,
    rate: float | None,
    leave_out: Sequence[str | int],
    missing: str,
    source: str,
    label_source: str,
    groups_source: str,
    part_source: str,
    names: Mapping[str, str] | None = None,
) -> Cases:
    """Cases of arrays as they were stored; `names` of others there, with what they are called."""
    names = names or {}
    if len(signals.shape) == 2 and channels == "one":
        signals = OneChannel(signals)
    elif len(signals.shape) == 3 and 0 not in signals.shape:
        _check_cases_first(signals.shape, labels.shape, source)
        signals = _in_order(signals, channels, source)
    if labels.dtype.kind in "US":
        labels = np.char.strip(labels)
    notes: list[str] = []
    if labels.shape == signals.shape[:1] and labels.dtype.kind in "iuUS" and len(labels):
        wanted = [str(name) for name in leave_out]
        kept = _kept(labels, wanted, label_source)
        if len(kept) < len(labels):
            number = len(labels) - len(kept)
            notes.append(f"classes left out: {', '.join(wanted)} ({counted(number, 'case')})")
            signals, labels = Subset(signals, kept), labels[kept]
            groups = None if groups is None else groups[kept]
            part = None if part is None else part[kept]
    warnings, said = _unused(names, has_groups=groups is not None, has_part=part is not None)
    if others := sorted(own for own in names if own not in said):
        shown = ", ".join(others[:8]) + (", …" if len(others) > 8 else "")
        notes.append(f"not used, though beside the data: {shown}")
    return make_cases(
        signals,
        labels,
        source=source,
        missing=missing,
        channel_names=channel_names,
        groups=groups,
        part=part,
        rate=rate,
        label_source=label_source,
        groups_source=groups_source,
        part_source=part_source,
        taken=Taken(notes=tuple(notes), warnings=tuple(warnings)),
    )


def _not_used(names: Iterable[str], used: Sequence[str | None]) -> dict[str, str]:
    """What others are called, without ending and, in HDF5, without their groups, by their names."""
    rest = (name for name in sorted(names) if name not in used)
    return {name: name.removesuffix(".npy").rpartition("/")[2] for name in rest}


def _unused(
    names: Mapping[str, str], *, has_groups: bool, has_part: bool
) -> tuple[list[str], set[str]]:
    """A word on arrays that are called as what a split should know; and which these are."""
    uses = (
        ("groups", has_groups, GROUPS_NAMES, "whose each case is"),
        ("part", has_part, PART_NAMES, "the split, as 0 train, 1 validation and 2 test"),
        ("groups", has_groups or has_part, FOLD_NAMES, "folds, each to stay on one side"),
    )
    warnings, said = [], set()
    for key, is_given, known, what in uses:
        there = [own for own, name in names.items() if name.lower() in known]
        said.update(there)
        if there and not is_given:
            warnings.append(
                f"{there[0]} lies beside the data and is not used; add dataset.{key}={there[0]} if "
                f"it holds {what}"
            )
    if tests := [own for own, name in names.items() if TEST_NAME.fullmatch(name)]:
        said.update(tests)
        warnings.append(
            f"{' and '.join(tests[:2])} lie beside the data and are not used; join them to the "
            "rest with numpy.concatenate, and say in dataset.part (0 train, 2 test) which is which"
        )
    return warnings, said


def _check_cases_first(shape: tuple[int, ...], labels: tuple[int, ...], source: str) -> None:
    """Refuse signals whose cases lie along another axis, as far as the labels tell."""
    if len(labels) != 1 or labels[0] == shape[0] or labels[0] not in shape[1:]:
        return
    axis = shape.index(labels[0], 1)
    raise InputError(
        f"{source}: the shape {tuple(shape)} should begin with the cases, and there are "
        f"{labels[0]} labels: they seem to lie along axis {axis}; save "
        f"numpy.moveaxis(data, {axis}, 0), as (cases, channels, length)."
    )


def _in_order(signals: Signals, channels: str | None, source: str) -> Signals:
    """Signals as (N, C, L)."""
    if channels == "one":
        raise InputError(
            f"{source}: dataset.channels=one is for signals of one channel as (cases, length), and "
            f"the shape is {tuple(signals.shape)}; leave it out."
        )
    if channels == "last":
        return ChannelsLast(signals)
    _, num_channels, length = signals.shape
    if channels is None and num_channels > length:
        raise InputError(
            f"{source}: the shape {tuple(signals.shape)} is read as (cases, channels, length), "
            f"which gives {num_channels} channels of {length} samples; if it is (cases, length, "
            "channels), say so with dataset.channels=last, else with dataset.channels=first."
        )
    return signals


def _kept(labels: np.ndarray, leave_out: Sequence[str], source: str) -> np.ndarray:
    """The cases that are taken: all whose class is not left out.

    Words such as nan among labels of text are refused, unless they are left out.
    """
    names, codes = name_unique(labels, source=source, what="labels")
    for name in leave_out:
        if name not in names:
            raise InputError(
                f"dataset.leave_out names '{name}', which is no class in {source}; "
                f"{nearest(name, names)}."
            )
    for k, name in enumerate(names):
        if name and is_missing(name) and name not in leave_out:
            own = np.flatnonzero(codes == k)
            raise InputError(
                f"{source}: {len(own)} cases have the label '{name}', the first case {own[0]}: if "
                "that means that they have none, leave them out with "
                f"dataset.leave_out=[{name}]; if it is a class, give it another name."
            )
    return np.flatnonzero(~np.isin(names, leave_out)[codes])


class ChannelsLast:
    """Signals that are stored as (N, L, C), gathered as (N, C, L)."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        num_cases, length, num_channels = signals.shape
        self.shape = (num_cases, num_channels, length)
        self.dtype = signals.dtype

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        return np.ascontiguousarray(self._signals[indices].swapaxes(1, 2))


class OneChannel:
    """Signals that are stored as (N, L), gathered as (N, 1, L)."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        num_cases, length = signals.shape
        self.shape = (num_cases, 1, length)
        self.dtype = signals.dtype

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        return self._signals[indices][:, None]


class Subset:
    """Some of the cases of other signals."""

    def __init__(self, signals: Signals, kept: np.ndarray) -> None:
        self._signals = signals
        self._kept = kept
        self.shape = (len(kept), *signals.shape[1:])
        self.dtype = signals.dtype

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        return self._signals[self._kept[indices]]
