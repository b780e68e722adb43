"""Cases: labelled signals, and the checks that every data set passes.

Shapes: (N, C, L) = (cases, channels, length). A data set may be larger than memory, so signals
are only ever read a block at a time.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, Protocol

import numpy as np

from raspitrain.data.taken import Taken
from raspitrain.errors import InputError, counted
from raspitrain.hardware.board import available_memory
from raspitrain.hardware.memory import memory_error

CASE_COPIES = 3
_fewest_classes = ContextVar("fewest_classes", default=2)
BLOCK_BYTES = 8 << 20  # of a block in float64: large enough to be fast, small on any board


class Signals(Protocol):
    """What holds signals (N, C, L): an array, a file, or windows of recordings."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Cases:
    """Labelled signals, checked.

    Attributes
    ----------
    signals : Signals
        (N, C, L); `signals[index_array]` gathers cases, in whatever type they are stored.
    labels : np.ndarray
        int64 (N,), 0…K-1.
    class_names : tuple of str
        K names, sorted.
    channel_names : tuple of str
        C names.
    groups : np.ndarray or None
        int64 (N,): cases of one group never fall on both sides of a split.
    part : np.ndarray or None
        int8 (N,), the data set's own split: 0 train, 1 validation, 2 test.
    rate : float or None
        Samples a second, where that is known.
    units : tuple of str
        C units, "" where one is not known.
    taken : Taken
        What was taken from the files, left out and dropped.
    integer_labels : bool
        Whether the labels were given as integers, not as text.
    group_names : tuple of str
        By the numbers in `groups`; empty without groups.
    """

    signals: Signals
    labels: np.ndarray
    class_names: tuple[str, ...]
    channel_names: tuple[str, ...]
    groups: np.ndarray | None
    part: np.ndarray | None
    rate: float | None = None
    units: tuple[str, ...] = ()
    taken: Taken = field(default_factory=Taken)
    integer_labels: bool = False
    group_names: tuple[str, ...] = ()


def make_cases(
    signals: Signals,
    labels: np.ndarray,
    *,
    source: str,
    missing: str,
    channel_names: Sequence[str] | None = None,
    groups: np.ndarray | None = None,
    part: np.ndarray | None = None,
    label_source: str | None = None,
    groups_source: str | None = None,
    part_source: str | None = None,
    rate: float | None = None,
    units: Sequence[str] | None = None,
    taken: Taken | None = None,
) -> Cases:
    """Check signals and labels and put them together.

    Parameters
    ----------
    signals : Signals
        (N, C, L), integers or floats.
    labels : np.ndarray
        (N,), integers or strings; they become 0…K-1 in sorted order.
    source : str
        What the sentences call the data: a file or folder.
    missing : {"error", "interpolate", "zero"}
        What becomes of NaN and infinite values: refused, replaced along the signal from their
        neighbours, or set to 0.
    channel_names : sequence of str, optional
        C names; "channel_0" … where there are none.
    groups : np.ndarray, optional
        (N,), integers or strings.
    part : np.ndarray, optional
        (N,): 0 train, 1 validation, 2 test.
    label_source, groups_source, part_source : str, optional
        What the sentences call these, where they come from files of their own.
    rate : float, optional
        Samples a second.
    units : sequence of str, optional
        C units.
    taken : Taken, optional
        What was taken from the files.

    Raises
    ------
    InputError
        If anything does not fit.
    """
    check_missing(missing)
    shape = tuple(signals.shape)
    if len(shape) != 3:
        hint = ""
        if len(shape) == 2:
            hint = (
                f"; write one channel as ({shape[0]}, 1, {shape[1]}), or say dataset.channels=one; "
                "give several that lie one after the other an axis of their own with numpy.reshape"
            )
        if len(shape) > 3 and 1 in shape[1:]:
            hint = "; take the axes of size 1 away with numpy.squeeze"
        elif len(shape) > 3 and len(labels) in shape:
            of_cases = shape.index(len(labels))
            *others, time = sorted({*range(len(shape))} - {of_cases}, key=lambda axis: shape[axis])
            hint = (
                "; put axes of channels together, as by x.transpose"
                f"{(of_cases, *sorted(others), time)}.reshape({len(labels)}, -1, {shape[time]}) "
                "where the longest is time"
            )
        raise InputError(
            f"{source}: signals have {len(shape)} dimensions {shape}, but must have three, "
            f"(cases, channels, length){hint}."
        )
    if 0 in shape:
        raise InputError(f"{source}: the signals are empty; (cases, channels, length) are {shape}.")
    if signals.dtype.kind not in "iuf":
        raise InputError(
            f"{source}: signals of type {signals.dtype} are not numbers; "
            "store them as float32, float64 or int16."
        )
    num_cases, num_channels, length = shape
    # A case is read whole, and held against mean and spread in float64.
    size, free = CASE_COPIES * 8 * num_channels * length, available_memory()
    if size > free:
        raise memory_error(
            f"{source}: to read one case of {num_channels} x {length} samples takes "
            f"{size / 1e9:.1f} GB but {free / 1e9:.1f} GB of memory are free; cut the cases into "
            "shorter windows.",
            size,
        )
    codes, class_names = encode_labels(labels, num_cases, source=label_source or source)
    if channel_names is None:
        channel_names = [f"channel_{c}" for c in range(num_channels)]
    names = tuple(map(str, channel_names))
    if len(names) != num_channels or len(set(names)) < num_channels:
        raise InputError(
            f"{source} has {num_channels} channels, and channel_names gives {len(names)}, "
            f"{len(set(names))} of them different; give every channel a name of its own."
        )
    group_names, group_codes = (
        ((), None) if groups is None else _encode_groups(groups, num_cases, groups_source or source)
    )
    taken = Taken() if taken is None else taken
    finite = check_finite(signals, source=source, missing=missing)
    if isinstance(finite, FilledSignals):
        taken = replace(taken, notes=(*taken.notes, *filled_note(finite.num_missing, missing)))
    return Cases(
        signals=finite,
        labels=codes,
        class_names=class_names,
        channel_names=names,
        groups=group_codes,
        part=None if part is None else _check_part(part, num_cases, part_source or source),
        rate=rate,
        units=("",) * num_channels if units is None else tuple(units),
        taken=taken,
        integer_labels=labels.dtype.kind in "iu",
        group_names=group_names,
    )


def encode_labels(
    labels: np.ndarray, num_cases: int, *, source: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Turn labels into 0…K-1 and the K names behind them.

    Parameters
    ----------
    labels : np.ndarray
        (N,), integers or strings. Names are sorted, by number where all of them are integers.

    Returns
    -------
    codes : np.ndarray
        int64 (N,).
    class_names : tuple of str
        K names.

    Raises
    ------
    InputError
        If labels do not fit the cases, are neither integers nor strings, or name one class.
    """
    if labels.ndim != 1:
        hint = ""
        if labels.ndim == 2 and labels.shape[1] == 1:
            hint = "; save label[:, 0]"
        elif labels.ndim == 2 and labels.dtype.kind in "iufb" and (labels.sum(axis=1) == 1).all():
            hint = "; they look one-hot, so save label.argmax(1)"
        raise InputError(
            f"{source}: labels have {labels.ndim} dimensions {labels.shape}, "
            f"but must have one, a label for each case{hint}."
        )
    if len(labels) != num_cases:
        raise InputError(
            f"{source}: there are {num_cases} cases but {len(labels)} labels; "
            "each case must have one label."
        )
    names, codes = name_unique(labels, source=source, what="labels")
    if "" in names:
        raise InputError(
            f"{source}: case {int(np.argmax(codes == names.index('')))} has an empty label; "
            "give every case a class."
        )
    if len(names) == 1:
        every = "the only case has" if num_cases == 1 else f"all {num_cases} cases have"
        refuse_one_class(
            f"{source}: {every} the label '{names[0]}'; there must be at least two classes."
        )
    # Text that is all integers sorts as text: 1, 10, 2.
    integers = all(re.fullmatch(r"[+-]?\d{1,18}", name) for name in names)
    order = sorted(
        range(len(names)), key=(lambda k: int(names[k])) if integers else names.__getitem__
    )
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    return rank[codes], tuple(names[k] for k in order)


@contextmanager
def one_class_will_do() -> Iterator[None]:
    """Within the block data may have one class: they are for a model that is trained already."""
    token = _fewest_classes.set(1)
    try:
        yield
    finally:
        _fewest_classes.reset(token)


def refuse_one_class(sentence: str) -> None:
    """Refuse data of one class, but within `one_class_will_do`."""
    if _fewest_classes.get() > 1:
        raise InputError(sentence)


def name_unique(values: np.ndarray, *, source: str, what: str) -> tuple[list[str], np.ndarray]:
    """Return the different values as text, in no order that matters, and which each one is."""
    if values.dtype.kind not in "iuUS":
        whole = values.dtype.kind in "bf" and np.isfinite(values).all()
        whole = whole and (values == np.floor(values)).all()
        name = what.removesuffix("s")
        hint = f"; save {name}.astype(int)" if whole else ""
        if values.dtype.kind == "f" and not whole:
            hint = (
                f": keep the cases that have one, as by known = np.isfinite({name}), and save "
                f"{name}[known].astype(int) and data[known]" if not np.isfinite(values).all() else
                ": they are values and no classes; make classes of them, as by "
                f"np.digitize({name}, bounds)"
            )  # fmt: skip
        raise InputError(
            f"{source}: {what} are of type {values.dtype}, but must be integers or strings{hint}."
        )
    unique, codes = np.unique(values, return_inverse=True)
    if unique.dtype.kind != "S":
        return [str(value) for value in unique], codes
    try:
        return [value.decode() for value in unique], codes
    except UnicodeDecodeError:
        raise InputError(f"{source}: {what} are bytes that are not UTF-8 text.") from None


def _encode_groups(
    groups: np.ndarray, num_cases: int, source: str
) -> tuple[tuple[str, ...], np.ndarray]:
    if groups.shape != (num_cases,):
        raise InputError(
            f"{source}: groups have the shape {groups.shape}, but there are {num_cases} cases; "
            "each case must have one group."
        )
    names, codes = name_unique(groups, source=source, what="groups")
    return tuple(names), codes.astype(np.int64)


def _check_part(part: np.ndarray, num_cases: int, source: str) -> np.ndarray:
    if part.shape != (num_cases,):
        raise InputError(
            f"{source}: the split has the shape {part.shape}, but there are {num_cases} cases; "
            "each case must have one entry."
        )
    if part.dtype.kind not in "iu" or not np.isin(part, (0, 1, 2)).all():
        raise InputError(
            f"{source}: the split must hold the integers 0 (train), 1 (validation) and 2 (test)."
        )
    return part.astype(np.int8)


def check_missing(missing: str) -> None:
    """Refuse a value of `missing` that is not one of the three."""
    if missing not in ("error", "interpolate", "zero"):
        raise InputError(
            f"dataset.missing is {missing!r}, but must be one of: error, interpolate, zero."
        )


def check_finite(signals: Signals, *, source: str, missing: str) -> Signals:
    """Refuse NaN and infinite values, or wrap signals so that they are filled when gathered.

    Values too large for float32, the type that is trained in, count as infinite.
    """
    if signals.dtype.kind != "f" or getattr(signals, "is_finite", False):
        return signals
    count, too_large, first = 0, 0, None
    for indices, block in iterate_blocks(signals):
        bad = ~np.isfinite(_as_float32(block))
        if bad.any():
            count += int(bad.sum())
            too_large += int(np.isfinite(block[bad]).sum())
            if first is None:
                case, channel, sample = (int(i) for i in np.argwhere(bad)[0])
                first = (int(indices[case]), channel, sample)
    if first is None:
        return signals
    if missing != "error":
        return FilledSignals(signals, missing, count)
    refuse_missing(source, count, too_large, first)


def filled_note(count: int, missing: str) -> tuple[str, ...]:
    """What `Taken.notes` says of values that were filled; nothing where there are none."""
    how = "interpolated" if missing == "interpolate" else "taken as 0"
    return (f"{counted(count, 'missing value')} {how}",) if count else ()


def refuse_missing(
    source: str, count: int, too_large: int, first: tuple[int, int, int]
) -> NoReturn:
    """Say how many values cannot be used, how many of them because float32 holds none so large,
    and where (case, channel, sample) the first is."""
    kinds = ((count - too_large, "NaN or infinite"), (too_large, "too large for float32 (3.4e38)"))
    what = " and ".join(
        f"{number} {'value is' if number == 1 else 'values are'} {kind}"
        for number, kind in kinds
        if number
    )
    raise InputError(
        f"{source}: {what}, the first at case {first[0]}, channel {first[1]}, sample {first[2]} "
        "(counted from 0); fix the data, or accept them with dataset.missing=interpolate or "
        "dataset.missing=zero."
    )


class FilledSignals:
    """Signals whose NaN and infinite values, `num_missing`, are filled as they are gathered."""

    def __init__(self, signals: Signals, missing: str, num_missing: int) -> None:
        self.num_missing = num_missing
        self._signals = signals
        self._missing = missing
        self.shape = tuple(signals.shape)
        self.dtype = np.dtype(np.float32 if signals.dtype.itemsize <= 4 else np.float64)

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        stored = self._signals[indices]
        signals = stored.astype(self.dtype)
        signals[~np.isfinite(_as_float32(stored))] = np.nan  # too large for float32 as well
        return fill_missing(signals, self._missing)


def fill_missing(signals: np.ndarray, missing: str) -> np.ndarray:
    """Fill NaN and infinite values of signals (..., L), in place.

    "interpolate" draws a line between the neighbours and holds the edge values; a channel of a
    case with no value at all becomes 0, as it does with "zero".
    """
    bad = ~np.isfinite(signals)
    if not bad.any():
        return signals
    if missing == "interpolate":
        for row in zip(*np.nonzero(bad.any(axis=-1)), strict=True):
            known = np.flatnonzero(~bad[row])
            if len(known):
                unknown = np.flatnonzero(bad[row])
                signals[row][unknown] = np.interp(unknown, known, signals[row][known])
                bad[row] = False
    signals[bad] = 0
    return signals


def _as_float32(block: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return block.astype(np.float32, copy=False)


def iterate_blocks(
    signals: Signals, indices: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (indices, signals[indices]) block after block, in bounded memory.

    Parameters
    ----------
    indices : np.ndarray, optional
        Cases to read, in this order; all where not given.
    """
    num_cases, num_channels, length = signals.shape
    step = max(1, BLOCK_BYTES // (8 * num_channels * length))
    total = num_cases if indices is None else len(indices)
    for start in range(0, total, step):
        stop = min(start + step, total)
        block = np.arange(start, stop) if indices is None else indices[start:stop]
        yield block, signals[block]


def bare_name(name: str) -> str:
    """What is left of a class's name without case, blanks and the form of a number."""
    text = unicodedata.normalize("NFKC", name)  # macOS writes ü as u and two dots
    text = re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", text).strip().casefold()
    try:
        return repr(float(text))
    except ValueError:
        return text
