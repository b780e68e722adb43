"""Arrays that a program gives as data: checked, and written as a folder for dataset=npy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raspitrain.data.arrays import cases_of_arrays
from raspitrain.data.cases import check_finite
from raspitrain.errors import InputError
from raspitrain.results.atomic import atomic_path
from raspitrain.results.folder import make_folder

Arrays = Mapping[str, Sequence[np.ndarray]]  # by file, what it holds, one after the other
PARTS = {"train": 0, "test": 2}
BLOCK_BYTES = 8 << 20


def given_arrays(
    X: Any,
    y: Any,
    groups: Any,
    X_test: Any,
    y_test: Any,
    *,
    channels: str | None,
    channel_names: Sequence[str] | None,
    rate: float | None,
    leave_out: Sequence[str | int],
    missing: str,
) -> Arrays:
    """Check the arrays that a program gives, as `npy` would check them.

    Parameters
    ----------
    X, X_test : array_like (N, C, L); the second may be None
    y, y_test : array_like (N,), text or integers in whatever holds them
    groups : array_like (N,) or None, of X
    channels, channel_names, rate, leave_out, missing : as for `npy`

    Raises
    ------
    InputError
        They do not fit each other; the sentence names the argument.
    """
    if (X_test is None) != (y_test is None):
        raise InputError("X_test and y_test go together: give both, or neither.")
    signals, labels = as_array(X, "X"), _labels(y, "y")
    group_ids = None if groups is None else _labels(groups, "groups")
    cases_of_arrays(
        signals,
        labels,
        groups=group_ids,
        part=None,
        channels=channels,
        channel_names=channel_names,
        rate=rate,
        leave_out=leave_out,
        missing=missing,
        source="X",
        label_source="y",
        groups_source="groups",
        part_source="",
    )
    parts = [(signals, labels, "train")]
    if X_test is not None:
        tested, its_labels = as_array(X_test, "X_test"), _labels(y_test, "y_test")
        if tested.shape[1:] != signals.shape[1:] or tested.dtype.kind not in "iuf":
            raise InputError(
                f"X_test is {tested.dtype} of the shape {tested.shape}, but X has the shape "
                f"{signals.shape}: all but the number of cases must agree."
            )
        if its_labels.shape != (len(tested),) or not len(tested):
            raise InputError(
                f"X_test has {len(tested)} cases and y_test the shape {its_labels.shape}; there "
                "must be cases, and a label for each."
            )
        check_finite(tested, source="X_test", missing=missing)
        parts.append((tested, its_labels, "test"))
    if len({its_labels.dtype.kind in "US" for _, its_labels, _ in parts}) > 1:
        raise InputError("y and y_test must be of one kind: text both, or integers both.")
    arrays = {"data": [own for own, _, _ in parts], "label": [own for _, own, _ in parts]}
    if group_ids is not None:
        names = [str(name) for name in group_ids.tolist()]
        of_test = [] if len(parts) == 1 else ["X_test"] * len(parts[1][0])
        arrays["groups"] = [np.array([f"X {name}" for name in names] + of_test)]
    if len(parts) > 1:
        arrays["part"] = [np.full(len(own), PARTS[part], np.int8) for own, _, part in parts]
    return arrays


def as_array(values: Any, name: str) -> np.ndarray:
    """Whatever numpy makes an array of, as one."""
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(
            f"{name} holds cases of different shapes: cut or pad them to one, (channels, length)."
        ) from None


def _labels(values: Any, name: str) -> np.ndarray:
    """Labels as integers or text, whatever holds them."""
    labels = np.asarray(values)
    if labels.dtype.kind == "b":
        return labels.astype(np.int64)
    if labels.dtype.kind != "O":
        return labels
    kinds = {type(value) for value in labels.ravel().tolist()}
    if kinds <= {str, np.str_}:
        return labels.astype(str)
    if all(issubclass(kind, int | np.integer) for kind in kinds):
        return labels.astype(np.int64)
    shown = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise InputError(f"{name} holds {shown}; the labels must all be text, or all be integers.")


def write_arrays(folder: Path, arrays: Arrays) -> None:
    """Write the files of a data set for dataset=npy; no copy is made in memory.

    Raises
    ------
    OSError
        The card would not take them.
    """
    make_folder(folder)
    for name, pieces in arrays.items():
        with atomic_path(folder / f"{name}.npy") as partial:
            _write_npy(partial, pieces)


def _write_npy(path: Path, pieces: Sequence[np.ndarray]) -> None:
    """One .npy file of arrays one after the other."""
    dtype = np.result_type(*pieces).newbyteorder("<")
    shape = (sum(map(len, pieces)), *pieces[0].shape[1:])
    with path.open("wb") as file:
        header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            step = max(1, BLOCK_BYTES // max(1, dtype.itemsize * piece[:1].size))
            for start in range(0, len(piece), step):
                file.write(np.ascontiguousarray(piece[start : start + step], dtype).tobytes())
