"""Recordings as a logger leaves them: CSV, line by line, into the channels of a model."""

import gzip
import os
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Any, TextIO

from raspitrain.data.files.endings import OTHER_SUFFIXES, PACKED
from raspitrain.data.files.missing import is_missing
from raspitrain.data.files.time_names import MOST_FALLS
from raspitrain.data.recorded.marks import Stretch
from raspitrain.errors import InputError, printable
from raspitrain.stop import say
from raspitrain.use.clock import Clock, is_off
from raspitrain.use.columns import (
    LONGEST_LINE,
    NO_UTF8,
    Columns,
    LineError,
    holds_nothing,
    separator_of,
    split_line,
)
from raspitrain.use.model import Model

CSV_SUFFIXES = (".csv", ".tsv", ".txt", *(f"{kind}{PACKED}" for kind in (".csv", ".tsv", ".txt")))
RECORDING_SUFFIXES = (*CSV_SUFFIXES, *OTHER_SUFFIXES)
FAR = 8.0  # times the model's rate, from which on the unit of stamps may be guessed wrongly
IF_ALONE = (".json", ".npy")  # recordings in a folder that holds no others, as for training


class Recording:
    """What one file holds.

    Attributes
    ----------
    channels : float32, one for each channel of the model, of the same length
    times : float64, what the time column says of each sample
    stretches : what is labelled, in order, where labels are known
    ticks : what the times count in a second
    rate : samples a second
    cuts : samples that a new stretch begins with, after a gap or where the clock goes back
    """

    def __init__(self, name: str, num_channels: int) -> None:
        self.name = name
        self.channels = [array("f") for _ in range(num_channels)]
        self.times: array | None = None
        self.stretches: list[Stretch] | None = None
        self.ticks: float | None = None
        self.rate: float | None = None
        self.cuts: list[int] = []

    def __len__(self) -> int:
        return len(self.channels[0])

    def window(self, start: int, length: int) -> list[array]:
        return [channel[start : start + length] for channel in self.channels]

    def label_of(self, start: int, length: int) -> str | None:
        """The label that all samples of a window have; None where they have several, or none."""
        stretches = self.stretches or []
        k = bisect_right(stretches, start, key=attrgetter("first")) - 1
        if k < 0 or stretches[k].last < start:
            return None
        label, last = stretches[k].label, stretches[k].last
        for after in stretches[k + 1 :]:
            if last >= start + length - 1 or after.first != last + 1 or after.label != label:
                break
            last = after.last
        return label if last >= start + length - 1 else None

    def starts(self, length: int, hop: int) -> Iterator[int]:
        """Where its windows begin; none of them bridges a gap."""
        edges = [0, *self.cuts, len(self)]
        for begin, end in pairwise(edges):
            yield from range(begin, end - length + 1, hop)


@contextmanager
def open_text(path: str) -> Iterator[TextIO]:
    """A file of text, unpacked if its name ends with .gz; what cannot be read is an InputError."""
    unpack = path.lower().endswith(PACKED)
    try:
        with (gzip.open if unpack else open)(path, "rt", encoding="utf-8", newline="") as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be read ({why}).") from error


def find_files(given: Iterable[str], suffixes: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    """Every file that is given or lies in a folder that is, and the name of the folder that it was
    found in; None where it was given itself.

    Raises
    ------
    InputError
        There is no such file, or a folder holds none.
    """
    for path in given:
        if path != "-" and not os.path.exists(path):
            raise InputError(f"there is no file {path}.")
        if not os.path.isdir(path):
            yield path, None
            continue
        every = sorted(
            os.path.join(folder, name)
            for folder, _, names in os.walk(path)
            for name in names
            if name[0] != "."
        )
        kinds = (suffixes, *IF_ALONE)
        found = next(filter(None, ([f for f in every if f.lower().endswith(k)] for k in kinds)), [])
        if not found:
            raise InputError(f"{path} holds no recordings ({', '.join(suffixes)}).")
        for file in found:
            yield file, os.path.basename(os.path.dirname(os.path.abspath(file)))


def open_recording(
    model: Model, path: str, *, label_column: str | None = None, time_column: str | None = None
) -> Recording:
    """Read a file by its ending, as text where that is not known; by the reader of training, where
    numpy is there, what is more than plain CSV, has rows in another order, or a clock that no name
    tells.

    Raises
    ------
    InputError
        It cannot be read, or is not what the model was trained on.
    """
    try:
        if path.lower().endswith((*OTHER_SUFFIXES, *IF_ALONE)):
            plainly = _read_other(model, path, label_column, time_column)
        else:
            with open_text(path) as file:
                plainly = read_recording(
                    model, file, source=path, label_column=label_column, time_column=time_column
                )
        times = plainly.times
        lacks_clock = times is None and plainly.rate is None and model.rate is not None
        if not lacks_clock and not (times and times[-1] < times[0]):
            return plainly
        with suppress(InputError):
            timed = _read_as_trained(model, path, label_column, time_column, needs_clock=True)
            return plainly if timed is None else timed
        return plainly
    except InputError as plain:
        try:
            recording = _read_as_trained(model, path, label_column, time_column)
        except InputError as error:
            raise plain if "dataset." in str(error) else error from None  # keys are for training
        if recording is None:
            raise
        return recording


def read_recording(
    model: Model,
    lines: Iterable[str],
    *,
    source: str,
    label_column: str | None = None,
    time_column: str | None = None,
) -> Recording:
    """Read a CSV.

    Raises
    ------
    InputError
        A channel is missing, a line has another number of cells, or a cell is no number.
    """
    recording = Recording(source, len(model.channels))
    labels: list[str] = []
    columns: Columns | None = None
    fresh = False
    for number, cells in _rows(lines, source, model.channels):
        if columns is None:
            columns = Columns(
                model, cells, source, label_column=label_column, time_column=time_column
            )
            if columns.time is not None:
                recording.times = array("d")
            if columns.named:
                fresh = True
                continue
        if fresh:
            fresh = False
            if columns.is_row_of_units(cells):
                continue
        try:
            values = columns.sample(cells)
            if recording.times is not None:
                recording.times.append(columns.stamp(cells))
        except LineError as error:
            raise InputError(f"{source}, line {number}: {error}") from error
        for channel, value in zip(recording.channels, values, strict=True):
            channel.append(value)
        if columns.label is not None:
            labels.append(cells[columns.label].strip())
    if columns is None:
        raise InputError(f"{source} is empty.")
    recording.ticks = columns.ticks
    if recording.times is not None and columns.time is not None:
        falls = sum(after < before for before, after in pairwise(recording.times))
        if falls > MOST_FALLS * len(recording):
            raise InputError(
                f"{source}: the column {columns.names[columns.time]!r} goes back in {falls} of "
                f"{len(recording)} rows, and is no time: name that of time with --time-column."
            )
    if columns.label is not None:
        recording.stretches = stretches_of(labels)
    return recording


def stretches_of(labels: Iterable[str]) -> list[Stretch]:
    """Where labels stand that are given for each sample; not where one means that there is none."""
    found, at = [], 0
    for name, samples in groupby(labels):
        count = sum(1 for _ in samples)
        if not is_missing(name):
            found.append(Stretch(name, at, at + count - 1))
        at += count
    return found


def _read_other(
    model: Model, path: str, label_column: str | None, time_column: str | None
) -> Recording:
    """A file that is not text, by the readers of training, for which numpy is needed."""
    from pathlib import Path

    try:  # by name: it is no part of what a board gets that only uses models
        formats: Any = import_module("raspitrain.data.files.formats")
    except ModuleNotFoundError as error:
        raise InputError(
            f"{path}: reading it needs {error.name}, which comes with what training needs; CSV "
            "needs none of it."
        ) from error
    asked = () if label_column is None else (label_column,)
    table = formats.read_recording_file(Path(path), as_text=asked)
    if table.notes:
        say(f"warning: {printable(path)}: passed over {printable(', '.join(table.notes))}")
    names = table.names
    if not table.named and len(names) == len(model.channels):
        names = model.channels  # by their order, as those of a CSV without names
    columns = Columns(model, names, path, label_column=label_column, time_column=time_column)
    recording = Recording(path, len(model.channels))
    recording.channels = [_floats(table.columns[place], path) for place in columns.places]
    recording.rate = table.rate
    if columns.time is not None:
        stamps = table.columns[columns.time]
        if stamps.kind == "text":
            raise InputError(
                f"{path}: the column {stamps.name!r} holds no times in a form that is known; name "
                "that of time with --time-column, or store times as numbers."
            )
        seconds = stamps.values.astype("float64")
        recording.times = array("d", (seconds.cumsum() if columns.steps else seconds).tobytes())
        recording.ticks = 1.0 if stamps.kind == "time" else columns.ticks
    if columns.label is not None:
        label = table.columns[columns.label]
        recording.stretches = stretches_of(label.words[code] for code in label.values.tolist())
    return recording


def _read_as_trained(
    model: Model,
    path: str,
    label_column: str | None,
    time_column: str | None,
    *,
    needs_clock: bool = False,
) -> Recording | None:
    """A file that is more than plain CSV, by the reader of training; None where that is not there,
    or finds no such channels either, or no clock where one is needed."""
    from pathlib import Path

    try:  # by name, as below
        reader: Any = import_module("raspitrain.data.recorded.one_file")
        found = reader.read_one_file(
            Path(path), model.channels, label_column=label_column, time_column=time_column
        )
    except ModuleNotFoundError:
        return None
    if found is None or (needs_clock and found.seconds is None):
        return None
    how = f" ({'; '.join(found.notes)})" if found.notes else ""
    say(f"{printable(path)} is read as recordings are for training{printable(how)}")
    recording = Recording(path, len(model.channels))
    recording.channels = [array("f", channel.tobytes()) for channel in found.signals]
    recording.rate = found.rate
    if found.seconds is not None:
        recording.times = array("d", found.seconds.tobytes())
        recording.ticks = None if found.rate is None else 1.0
    if found.labels is not None:
        recording.stretches = stretches_of(found.labels)
    return recording


def _floats(column: Any, path: str) -> array:
    if column.kind != "number" or column.wrong is not None:
        raise InputError(f"{path}: the column {column.name!r} does not hold numbers alone.")
    return array("f", column.values.astype("float32").tobytes())


def _rows(
    lines: Iterable[str], source: str, channels: list[str]
) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells; the first line says what parts them."""
    separator: str | None = None
    begun = False
    try:
        for number, line in enumerate(lines, 1):
            if len(line) > LONGEST_LINE:
                raise InputError(f"{source}, line {number}: longer than a million characters.")
            line = line.strip("\r\n\ufeff")
            if holds_nothing(line):
                continue
            if not begun:
                begun, separator = True, separator_of(line, channels)
            try:
                yield number, split_line(line, separator)
            except LineError as error:
                raise InputError(f"{source}, line {number}: {error}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{source} {NO_UTF8}") from error


def look_at_time(model: Model, recording: Recording, given: float | None) -> bool:
    """Find the recording's rate in Hz, from `given` or from its times, and where it has gaps; say
    whether it is the model's.

    Raises
    ------
    InputError
        The model has a rate and the recording does not say its own, or only perhaps.
    """
    measured, unit_known = None, recording.ticks is not None
    if recording.times is not None and len(recording) > 2:
        clock = Clock(recording.ticks, given or model.rate)
        for sample, stamp in enumerate(recording.times):
            if clock.tell(stamp):
                recording.cuts.append(sample)
            recording.times[sample] = stamp + clock.past
        if not clock.num_forward:
            raise InputError(f"{recording.name}: its time column does not rise.")
        measured = clock.mean_rate()
        recording.ticks = clock.ticks
    tolerance = model.header["input"]["rate_tolerance"]
    precision = 0.0
    if given is not None:
        recording.rate = given
        if measured is not None and is_off(measured[0], given, tolerance + measured[1]):
            say(
                f"warning: {printable(recording.name)} has {measured[0]:.6g} samples a second by "
                f"its time column, and {given:g} are taken, as --rate says"
            )
    elif measured is not None:
        recording.rate, precision = measured
    if model.rate is None:
        return True
    if recording.rate is None:
        if recording.times is not None:
            return True  # too few samples to say, and so for any window
        raise InputError(
            f"{recording.name} has no time column, and the model was trained at {model.rate:g} Hz: "
            "say the recording's rate with --rate."
        )
    guessed = given is None and measured is not None and not unit_known
    apart = max(recording.rate / model.rate, model.rate / recording.rate)
    if guessed and apart > FAR:  # another unit may be meant
        raise InputError(
            f"{recording.name} seems to have {recording.rate:.6g} samples a second by its time "
            f"column, and the model was trained at {model.rate:g}: say with --rate how many it has."
        )
    return not is_off(recording.rate, model.rate, tolerance + precision)


def bring_to_rate(model: Model, recording: Recording, *, by_stamps: bool) -> None:
    """Bring a recording whose rate was found to the model's, as training does, and say so.

    Parameters
    ----------
    by_stamps : bool
        Whether samples lie where the time column says, or evenly.

    Raises
    ------
    InputError
        It lacks values that the model was not trained to do without, or numpy is not there.
    """
    assert recording.rate is not None
    assert model.rate is not None
    own, wanted = recording.rate, model.rate
    try:
        import numpy as np

        from raspitrain.data.recorded.resample import resample
    except ModuleNotFoundError as error:
        raise InputError(
            f"{recording.name} has {own:.6g} samples a second, and the model was trained at "
            f"{wanted:g}: bringing it to that takes {error.name}, which comes with what training "
            "needs; or record at that rate."
        ) from error
    known = [
        model.without_missing(name, channel.tolist(), recording.name)
        for name, channel in zip(model.channels, recording.channels, strict=True)
    ]
    signals = np.array(known, dtype=np.float32)
    ticks = recording.ticks or 1.0
    seconds = np.arange(len(recording)) / own
    if recording.times is not None and by_stamps:
        stamps = np.array(recording.times) / ticks
        at = np.flatnonzero(np.isfinite(stamps))
        seconds = np.interp(np.arange(len(stamps)), at, stamps[at])
    parts, sample_of, times, cuts = [], [], array("d"), []
    for begin, end in pairwise([0, *recording.cuts, len(recording)]):
        parts.append(resample(signals[:, begin:end], seconds[begin:end], wanted))
        new = np.arange(parts[-1].shape[1]) / wanted
        within = seconds[begin:end] - seconds[begin]
        sample_of.append(begin + np.searchsorted(within, new + 1e-9 / wanted, side="right") - 1)
        if recording.times is not None:
            times.frombytes(np.round(recording.times[begin] + new * ticks, 9).tobytes())
        cuts.append(sum(map(len, sample_of)))
    recording.cuts = cuts[:-1]
    recording.channels = [array("f", row.tobytes()) for row in np.concatenate(parts, axis=1)]
    if recording.times is not None:
        recording.times = times
    if recording.stretches is not None:
        labels = [""] * (1 + int(sample_of[-1][-1]))
        for stretch in recording.stretches:
            for sample in range(stretch.first, min(stretch.last + 1, len(labels))):
                labels[sample] = stretch.label
        recording.stretches = stretches_of(labels[k] for own in sample_of for k in own.tolist())
    recording.rate = wanted
    above = f"; it has nothing above {own / 2:.4g} Hz" if own < wanted else ""
    say(f"{printable(recording.name)}: {own:.6g} Hz brought to {wanted:g} Hz{above}")
