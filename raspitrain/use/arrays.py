"""Files of windows: .npy and .npz, for which numpy is needed, and .ts of the archive of time series
classification, for which it is not."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from raspitrain.errors import InputError
from raspitrain.use.columns import LONGEST_LINE
from raspitrain.use.model import Model

ARRAY_SUFFIXES = (".npy", ".npz")
ARRAY_STARTS = (b"\x93NUMPY", b"PK\x03\x04")  # what such files begin with
TS_SUFFIX = ".ts"
Case = tuple[object, str | None]  # a window (C, L), and its label where that is known


def is_recording(model: Model, path: str) -> bool:
    """Whether a .npy holds a recording (samples, channels) and no windows, for a model of those."""
    if not path.lower().endswith(".npy") or model.header["input"].get("hop") is None:
        return False
    try:
        import numpy as np

        shape = np.load(path, allow_pickle=False, mmap_mode="r").shape
    except Exception:  # said where it is read
        return False
    return len(shape) in (1, 2) and shape != (len(model.channels), model.length)


def read_arrays(model: Model, source: str, file: str | BinaryIO) -> Iterator[Case]:
    """Windows of a .npy or .npz; labels only an .npz holds.

    Raises
    ------
    InputError
        It cannot be read, or holds something else.
    """
    try:
        import numpy as np
    except ImportError:
        raise InputError(f"{source}: reading it needs numpy (pip install numpy).") from None
    labels = None
    by_name = isinstance(file, str)
    mapped: Any = "r" if by_name and not source.lower().endswith("z") else None
    try:
        stored = np.load(file, allow_pickle=False, mmap_mode=mapped)
        if not isinstance(stored, np.ndarray):
            if "data" not in stored:
                raise InputError(
                    f"{source} holds no array data, the windows (and label, where known), but "
                    f"{', '.join(stored) or 'none at all'}."
                )
            labels = [str(label) for label in stored["label"]] if "label" in stored else None
            stored = stored["data"]
    except InputError:
        raise
    except Exception as error:  # of numpy's many, where a file is not what its name says
        why = str(error).rstrip(".")
        raise InputError(f"{source} cannot be read: {why or type(error).__name__}.") from error
    windows = stored[None] if stored.ndim == 2 else stored
    shape = (len(model.channels), model.length)
    if windows.ndim != 3 or windows.shape[1:] != shape or windows.dtype.kind not in "iuf":
        turned = windows.ndim == 3 and windows.shape[:0:-1] == shape
        raise InputError(
            f"{source} holds {windows.dtype} of the shape {stored.shape}, but the model takes "
            f"(cases, {shape[0]}, {shape[1]})"
            f"{'; numpy.swapaxes(windows, -1, -2) turns them' if turned else ''}."
        )
    if labels is not None and len(labels) != len(windows):
        raise InputError(f"{source}: {len(windows)} windows, but {len(labels)} labels.")
    for index, window in enumerate(windows):
        yield np.asarray(window, np.float32), None if labels is None else labels[index]


def read_ts(model: Model, source: str, lines: Iterable[str]) -> Iterator[Case]:
    """Cases of a .ts file: channels parted by colons, values by commas, then the label.

    Raises
    ------
    InputError
        A case has another number of channels or samples, or a value that is none.
    """
    labelled, begun = True, False
    shape = (len(model.channels), model.length)
    try:
        for number, line in enumerate(lines, 1):
            if len(line) > LONGEST_LINE * 16:
                raise InputError(f"{source}, line {number}: longer than 16 million characters.")
            line = line.strip().removeprefix("\ufeff")
            if not line or line.startswith("#"):
                continue
            if not begun:
                words = line.lower().split()
                if not words[0].startswith("@"):
                    raise InputError(
                        f"{source}, line {number}: before @data each line must begin with @ or #."
                    )
                if words[0] in ("@classlabel", "@targetlabel"):
                    labelled = words[1:2] != ["false"]
                elif words[:2] == ["@timestamps", "true"]:
                    raise InputError(f"{source} has time stamps, and only values are read.")
                begun = words[0] == "@data"
                continue
            parts = line.split(":")
            label = parts.pop().strip() if labelled else None
            try:
                window = [list(map(_value, part.split(","))) for part in parts]
            except ValueError as error:
                raise InputError(f"{source}, line {number}: {error}.") from None
            lengths = sorted({len(channel) for channel in window})
            if (len(window), *lengths) != shape:
                raise InputError(
                    f"{source}, line {number}: {len(window)} channels of "
                    f"{' or '.join(map(str, lengths))} samples, but the model takes {shape[0]} of "
                    f"{shape[1]}."
                )
            yield window, label
    except UnicodeDecodeError as error:
        raise InputError(f"{source} is not text in UTF-8.") from error
    if not begun:
        raise InputError(f"{source} has no line @data.")


def _value(cell: str) -> float:
    cell = cell.strip()
    if cell == "?":
        return math.nan
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"{cell[:40]!r} is not a number") from None
