"""Recordings of a sensor logger, cut into windows."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raspitrain.data.cases import Cases, check_missing, fill_missing, make_cases
from raspitrain.data.csv_file import Recording, read_recording
from raspitrain.data.npy_file import check_folder, user_path
from raspitrain.errors import InputError, input_error
from raspitrain.hardware.board import available_memory
from raspitrain.hardware.memory import memory_error

SUFFIXES = (".csv", ".tsv")
MOST_FILES = 200_000

log = logging.getLogger(__name__)


def recordings(
    *,
    path: str,
    length: int,
    stride: int,
    columns: Sequence[str] | None,
    label_column: str | None,
    missing: str,
) -> Cases:
    """Return the windows of a folder of CSV files, one recording each, a column a channel.

    The recordings are held in memory as float32, the windows are cut when they are gathered. The
    windows of a recording are one group, so they never fall on both sides of a split.

    Parameters
    ----------
    path : str
        The folder. With `label_column` None it holds a sub-folder for each class.
    length, stride : int
        Samples a window, and from one window's start to the next's.
    columns : sequence of str or None
        The channels by name; None for all but time, label and nameless columns.
    label_column : str or None
        The column that holds the class. It may change within a recording: a window never crosses
        a change, and rows without a label are left out.
    missing : {"error", "interpolate", "zero"}
        What becomes of empty cells, NaN and infinite values, along each recording.
    """
    check_missing(missing)
    for name, value, least in (("length", length, 2), ("stride", stride, 1)):
        if not isinstance(value, int) or value < least:
            raise InputError(f"dataset.{name} is {value}, but must be a whole number from {least}.")
    folder = user_path(path, "dataset.path")
    check_folder(folder, "dataset.path")
    wanted = None if columns is None else [str(name) for name in columns]
    if wanted is not None:
        for name in wanted:
            if wanted.count(name) > 1:
                raise InputError(f"dataset.columns names '{name}' twice: name each channel once.")
        if not wanted:
            raise InputError("dataset.columns is empty: name the channels, or say null for all.")

    samples: list[np.ndarray] = []  # of (C, its own length)
    starts: list[np.ndarray] = []  # of each recording's windows
    labels: list[np.ndarray] = []
    names: tuple[str, ...] = ()
    unknown = _Unknown()
    longest = 0
    for file in _find_files(folder):
        if file.stat().st_size > (free := available_memory()):
            raise memory_error(
                f"{file} does not fit into the {free / 1e9:.1f} GB of memory that are free; "
                "store the windows as data.npy and label.npy and use dataset=npy.",
                file.stat().st_size,
            )
        recording = read_recording(file, columns=wanted, label_column=label_column)
        names = names or recording.channel_names
        signals = _arrange(recording, names, file)
        if missing == "error":
            unknown.note(recording, file)
        fill_missing(signals, "zero" if missing == "error" else missing)
        runs = _runs(recording, file, folder)
        longest = max([longest, *(stop - start for start, stop, _ in runs)])
        windows = [np.arange(start, stop - length + 1, stride) for start, stop, _ in runs]
        samples.append(signals)
        starts.append(np.concatenate([np.empty(0, np.int64), *windows]))
        labels += [np.full(len(w), label) for w, (_, _, label) in zip(windows, runs, strict=True)]
    unknown.refuse(folder)
    num_windows = np.array([len(own) for own in starts])
    if not num_windows.any():
        raise InputError(
            f"{folder}: no recording has {length} samples of one class in a row, the longest has "
            f"{longest}; choose a smaller dataset.length."
        )
    if not num_windows.all():
        log.warning(
            "%d of %d recordings in %s are shorter than one window and left out.",
            (num_windows == 0).sum(),
            len(num_windows),
            folder,
        )
    recording_of = np.repeat(np.arange(len(samples)), num_windows)
    return make_cases(
        Windows(samples, recording_of, np.concatenate(starts), length),
        np.concatenate(labels),
        source=str(folder),
        missing="error",
        channel_names=_channel_names(names),
        groups=recording_of,
    )


class Windows:
    """Windows (N, C, L) of recordings, copied out only when they are asked for.

    Parameters
    ----------
    samples : sequence of np.ndarray
        The recordings, float32 (C, its own length).
    recording, start : np.ndarray
        (N,): where each window lies.
    """

    def __init__(
        self,
        samples: Sequence[np.ndarray],
        recording: np.ndarray,
        start: np.ndarray,
        length: int,
    ) -> None:
        self._samples = samples
        self._recording = recording
        self._start = start
        self.shape = (len(start), len(samples[0]), length)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        _, num_channels, length = self.shape
        out = np.empty((len(indices), num_channels, length), dtype=np.float32)
        places = zip(self._recording[indices].tolist(), self._start[indices].tolist(), strict=True)
        for i, (recording, start) in enumerate(places):
            out[i] = self._samples[recording][:, start : start + length]
        return out


def _find_files(folder: Path) -> list[Path]:
    """Every recording below the folder, sorted; hidden names and links to folders left out."""
    files: list[Path] = []
    to_read = [folder]
    try:
        while to_read:
            if len(to_read) + len(files) > MOST_FILES:
                raise InputError(
                    f"{folder} holds more than {MOST_FILES} files and folders; store the windows "
                    "as data.npy and label.npy and use dataset=npy."
                )
            with os.scandir(to_read.pop()) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        to_read.append(Path(entry.path))
                    elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
                        files.append(Path(entry.path))
    except OSError as error:
        where = error.filename or folder
        raise input_error(f"{where} cannot be read: {error.strerror or error}.", error) from None
    if not files:
        raise InputError(
            f"{folder} holds no .csv or .tsv file; dataset.path is the folder of the recordings."
        )
    for file in files:
        if not str(file).isprintable():
            raise InputError(f"{str(file)!a} has a name that cannot be shown; rename it.")
    return sorted(files)


def _arrange(recording: Recording, names: tuple[str, ...], file: Path) -> np.ndarray:
    """Return the samples with the channels in the order of the first recording."""
    if recording.channel_names == names:
        return recording.samples
    if sorted(recording.channel_names) != sorted(names):
        raise InputError(
            f"{file} has the channels {', '.join(recording.channel_names)}, but the first "
            f"recording has {', '.join(names)}; name those that all have in dataset.columns."
        )
    return recording.samples[[recording.channel_names.index(name) for name in names]]


def _runs(recording: Recording, file: Path, folder: Path) -> list[tuple[int, int, str]]:
    """Return (start, stop, label) of every stretch of one class."""
    num_samples = recording.samples.shape[1]
    if recording.labels is None:
        inside = file.relative_to(folder).parts
        if len(inside) == 1:
            raise InputError(
                f"{file} lies in the folder itself; put recordings into a sub-folder for each "
                "class, or name the column that holds the class in dataset.label_column."
            )
        return [(0, num_samples, inside[0])]
    runs, start = [], 0
    for stop in range(1, num_samples + 1):
        if stop == num_samples or recording.labels[stop] != recording.labels[start]:
            if recording.labels[start]:
                runs.append((start, stop, recording.labels[start]))
            start = stop
    return runs


def _channel_names(names: tuple[str, ...]) -> list[str]:
    return [f"channel_{name}" if name.isdigit() else name for name in names]


class _Unknown:
    """How many values are missing, and where the first is."""

    def __init__(self) -> None:
        self.count = 0
        self.first = ""

    def note(self, recording: Recording, file: Path) -> None:
        bad = ~np.isfinite(recording.samples)
        count = int(bad.sum())
        if count and not self.count:
            sample = int(np.flatnonzero(bad.any(axis=0))[0])
            channel = int(np.flatnonzero(bad[:, sample])[0])
            column = recording.channel_names[channel]
            self.first = f"{file}, line {recording.lines[sample]}, column '{column}'"
        self.count += count

    def refuse(self, folder: Path) -> None:
        if self.count:
            raise InputError(
                f"{folder}: {self.count} {'value is' if self.count == 1 else 'values are'} "
                f"missing, NaN, infinite or too large for float32 (3.4e38), the first in "
                f"{self.first}; fix the data, or accept them with dataset.missing=interpolate or "
                "dataset.missing=zero."
            )
