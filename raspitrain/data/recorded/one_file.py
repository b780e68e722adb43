"""One file by itself, read as the recordings of a training set, into channels that are known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from raspitrain.data.recorded.channels import bare, choose
from raspitrain.data.recorded.date_order import settle
from raspitrain.data.recorded.long_format import split_sensors, words_of
from raspitrain.data.recorded.names import Source
from raspitrain.data.recorded.sensor_file import (
    Asked,
    SensorFile,
    common_lead,
    read_file,
    with_lists,
    without_serial,
)
from raspitrain.data.recorded.streams import make_stream


@dataclass(frozen=True)
class OneFile:
    """What a file holds of the channels that were asked for.

    Attributes
    ----------
    signals : np.ndarray
        float32 (C, T).
    seconds : np.ndarray or None
        float64 (T,), what its clock says.
    rate : float or None
        Samples a second, where the unit of its clock is known.
    labels : list of str or None
        T entries, "" where there is none.
    notes : list of str
        What was done to it.
    """

    signals: np.ndarray
    seconds: np.ndarray | None
    rate: float | None
    labels: list[str] | None
    notes: list[str]


def read_one_file(
    path: Path,
    channels: Sequence[str],
    *,
    label_column: str | int | None = None,
    time_column: str | int | None = None,
) -> OneFile | None:
    """Read the channels of a file; those of sensors in rows are called SENSOR_NAME. None where it
    lacks one.

    Raises
    ------
    InputError
        It cannot be read.
    """
    asked = Asked(columns=channels, label_column=label_column, time_column=time_column)
    file = read_file(path, asked)
    with_lists([file], channels)
    order, warned = settle([file.table], None)
    lead = common_lead(file.table.names)
    if lead and {bare(name[len(lead) :]) for name in file.table.names} >= {*map(bare, channels)}:
        for column in file.table.columns:
            column.name = column.name[len(lead) :]
    if not {*map(bare, file.table.names)} >= {*map(bare, channels)}:
        for column in file.table.columns:
            column.name = without_serial(column.name)
    asked = replace(asked, sensor_column=_sensor_column(file, channels))
    (sensors,), notes = split_sensors([{"": file}], asked)
    lead = common_lead([*sensors])
    if not any(
        bare(word) and bare(wanted).startswith(bare(word))
        for word in sensors
        for wanted in channels
    ):
        sensors = {word.removeprefix(lead): own for word, own in sensors.items()}
    found = [
        (wanted, sensor, name)
        for wanted in channels
        for sensor, own in sensors.items()
        for name in own.table.names
        if bare(f"{sensor}_{name}" if sensor else name) == bare(wanted)
    ]
    names = [wanted for wanted, _, _ in found]
    if any(names.count(wanted) != 1 for wanted in channels):
        return None
    own_names: dict[str, list[str]] = {}
    for _, sensor, name in found:  # no places, as columns may be called 0, 1, 2
        own_names.setdefault(sensor, []).append(name)
    chosen = {
        sensor: choose([sensors[sensor]], [frozenset()], replace(asked, columns=own))
        for sensor, own in own_names.items()
    }
    stream = make_stream(Source(path.name, {"": path}, None, None, None), sensors, chosen, 0, asked)
    in_order = [name for own in own_names for name, sensor, _ in found if sensor == own]
    clock = stream.clock
    return OneFile(
        signals=stream.signals[[in_order.index(name) for name in channels]].astype(np.float32),
        seconds=None if clock is None else clock.start + clock.seconds[:],
        rate=None if clock is None else clock.rate,
        labels=stream.labels,
        notes=[*notes, *stream.notes, *stream.changes, *order, *warned],
    )


def _sensor_column(file: SensorFile, channels: Sequence[str]) -> int | bool | None:
    """The column whose words lead the names of all channels; False where these are columns."""
    names = file.table.names
    wanted = {*map(bare, channels)}
    if {*map(bare, names)} >= wanted:
        return False
    for place, column in enumerate(file.table.columns):
        words = words_of(column) or []
        lead = common_lead(words) if words else ""  # the device, perhaps
        for own in (words, [word.removeprefix(lead) for word in words]):
            if {bare(f"{word}_{name}") for word in own for name in names} >= wanted:
                return place
    return None
