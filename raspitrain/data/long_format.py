"""Files in which each row is of one sensor or channel, and a column says of which."""

import re
from collections.abc import Sequence

import numpy as np

from raspitrain.data.channels import Asked, SensorFile, examine
from raspitrain.data.csv_file import Column
from raspitrain.data.find import SENSOR
from raspitrain.data.time_names import plain_name
from raspitrain.errors import InputError

NAME = re.compile(
    r"(?:sensor|channel|axis|signal|variable|measurement|quantity|parameter|stream|topic|metric|field"
    r"|series)s?(?:_?(?:name|type|kind|id|no|nr|num|number|index|label))?"
)
MOST_SENSORS = 32
RUNS = 4  # of each sensor, from which its rows count as mixed with the others'


def split_sensors(
    read: Sequence[dict[str, SensorFile]], asked: Asked
) -> tuple[list[dict[str, SensorFile]], list[str]]:
    """Take the rows of each sensor apart, as if each had a file of its own; and what to say of it.

    Raises
    ------
    InputError
        If the recordings have no sensor in common.
    """
    places = [_sensor_column(next(iter(files.values())), asked) for files in read]
    if None in places or any(len(files) > 1 for files in read):
        return list(read), []
    apart = [
        _apart(next(iter(files.values())), place)
        for files, place in zip(read, places, strict=True)
        if place is not None
    ]
    common = [word for word in apart[0] if all(word in files for files in apart)]
    every = {word for files in apart for word in files}
    first = next(iter(read[0].values()))
    name = first.table.columns[places[0] or 0].name
    if not common:
        raise InputError(
            f"{first.path}: column '{name}' says which sensor a row is of, and no sensor is in all "
            f"recordings ({', '.join(sorted(every))}); store a file for each sensor."
        )
    notes = [f"rows of {', '.join(common)} taken apart by column '{name}' and joined by time"]
    if missing := sorted(every - set(common)):
        notes.append(f"not taken: {', '.join(missing)}, which not every recording has")
    return [{word: files[word] for word in common} for files in apart], notes


def _sensor_column(file: SensorFile, asked: Asked) -> int | None:
    """The column that says which sensor a row is of, where rows of several are mixed."""
    for place, column in enumerate(file.table.columns):
        wanted = asked.columns or ()
        if place in (file.label, file.group) or place in wanted or column.name in wanted:
            continue
        words = _words(column)
        if words is None or not 2 <= len(words) <= MOST_SENSORS:
            continue
        num_runs = 1 + int(np.count_nonzero(np.diff(column.values)))
        named = NAME.fullmatch(plain_name(column.name)) is not None
        spoken = column.kind == "text" and all(map(_is_sensor, words))
        if (named or spoken) and num_runs >= RUNS * len(words):
            return place
    return None


def _words(column: Column) -> list[str] | None:
    if column.kind == "text":
        return [column.words[code] for code in np.unique(column.values) if code < len(column.words)]
    if column.kind == "time" or NAME.fullmatch(plain_name(column.name)) is None:
        return None
    if not np.isfinite(column.values).all() or not (column.values % 1 == 0).all():
        return None
    return [f"{value:g}" for value in np.unique(column.values).tolist()[: MOST_SENSORS + 1]]


def _is_sensor(word: str) -> bool:
    return SENSOR.fullmatch(re.split(r"[./:]", word)[-1].strip().replace(" ", "_")) is not None


def _apart(file: SensorFile, place: int) -> dict[str, SensorFile]:
    column = file.table.columns[place]
    codes, inverse = np.unique(column.values, return_inverse=True)
    words = _words(column) or []
    apart = {}
    for k in range(len(codes)):
        table = file.table.take(np.flatnonzero(inverse == k))
        name = words[k] if column.kind == "text" else f"{column.name}{words[k]}"
        apart[name] = examine(table, file.label, file.group)
    return apart
