"""Files in which each row is of one sensor or channel, and a column says of which."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from raspitrain.data.files.csv_file import Column, locate
from raspitrain.data.files.time_names import is_time_name, plain_name
from raspitrain.data.recorded.columns import LABEL_NAME, LEAST_ROWS, SENSOR, is_count_name
from raspitrain.data.recorded.names import Source
from raspitrain.data.recorded.sensor_file import Asked, SensorFile, common_lead, examine
from raspitrain.errors import InputError

NAME = re.compile(
    r"(?:sensor|channel|axis|signal|variable|measurement|quantity|parameter|stream|topic|metric|field"
    r"|series|entity)s?(?:_?(?:name|type|kind|id|no|nr|num|number|index|label))?"
)
ELECTRODE = re.compile(r"(?:fp|af|f|fc|ft|c|t|tp|cp|p|po|o|a|m)(?:z|\d{1,2})", re.I)  # 10-20 system
TOPIC = re.compile(r"[\w.-]+(?:/[\w.-]+)+")  # of MQTT
MOST_SENSORS = 64
HEAD_ROWS = 2048
RUNS = 4  # of each sensor, from which its rows count as mixed with the others'
SHORT_RUN = 4  # rows, on average, up to which a column of any name may be that of the sensors
IN_TURN = 0.8  # of the changes of such a column go from a number to the same next one
CLOSER = 1.5  # times as close a sensor's values are to its last ones as to another's
APART = 5.0  # spreads between the levels of two sensors, or times that one spread is the other


def split_sensors(
    read: Sequence[dict[str, SensorFile]], asked: Asked
) -> tuple[list[dict[str, SensorFile]], list[str]]:
    """Take the rows of each sensor apart, as if each had a file of its own; and what to say of it.

    Raises
    ------
    InputError
        If the recordings have no sensor in common.
    """
    if asked.sensor_column is False or any(len(files) > 1 for files in read):
        return list(read), []
    places = [_sensor_columns(next(iter(files.values())), asked) for files in read]
    if not all(places):
        _refuse_mixed([next(iter(files.values())) for files in read], asked)
        return list(read), []
    apart = [
        _apart(next(iter(files.values())), own) for files, own in zip(read, places, strict=True)
    ]
    common = [word for word in apart[0] if all(word in files for files in apart)]
    if not common:
        apart = _without_device(apart)
        common = [word for word in apart[0] if all(word in files for files in apart)]
    every = {word for files in apart for word in files}
    first = next(iter(read[0].values()))
    name = "' and '".join(first.table.columns[place].name for place in places[0])
    if not common and asked.sensor_column is None and not NAME.fullmatch(plain_name(name)):
        return list(read), []  # told by words alone, such as P3 and P4, which may be people
    if not common:
        raise InputError(
            f"{first.path}: column '{name}' says which sensor a row is of, and no sensor is in all "
            f"recordings ({', '.join(sorted(every))}); store a file for each sensor, or if it says "
            "something else, say dataset.sensor_column=false."
        )
    notes = [f"rows of {', '.join(common)} taken apart by column '{name}' and joined by time"]
    if missing := sorted(every - set(common)):
        notes.append(f"not taken: {', '.join(missing)}, which not every recording has")
    return [{word: files[word] for word in common} for files in apart], notes


def each_group(
    sources: Sequence[Source], read: Sequence[dict[str, SensorFile]], asked: Asked
) -> tuple[list[Source], list[dict[str, SensorFile]]]:
    """Take the people or sessions in a file apart where its rows are of several sensors, so that
    those of each can be joined: the clock may begin anew with the next."""
    if asked.sensor_column in (None, False) or asked.annotated:
        return [*sources], [*read]
    apart, own = [], []
    for source, files in zip(sources, read, strict=True):
        file = files.get("")
        if file is None or file.group is None:
            apart.append(source)
            own.append(files)
            continue
        groups = np.array(file.words(file.group))
        for group in dict.fromkeys(groups.tolist()):
            table = file.table.take(np.flatnonzero(groups == group))
            apart.append(replace(source, name=f"{source.name} ({group})"))
            own.append({"": examine(table, file.label, file.group, file.part)})
    return apart, own


def _without_device(apart: list[dict[str, SensorFile]]) -> list[dict[str, SensorFile]]:
    """Sensors such as sensor.kettle_power without the device, which is another in other files."""
    bare = []
    for files in apart:
        lead = common_lead([*files])
        bare.append({word.removeprefix(lead): file for word, file in files.items()})
    return bare if all(set(own) == set(bare[0]) for own in bare) else apart


def _sensor_columns(file: SensorFile, asked: Asked) -> list[int]:
    """The columns that say which sensor a row is of, where rows of several are mixed."""
    if asked.sensor_column is not None:
        given = asked.sensor_column
        names = [given] if isinstance(given, str | int) else given
        places = [locate(file.table.names, name, file.path, "sensor_column") for name in names]
        for place in places:
            words = _words(file.table.columns[place], named=True)
            if words is None or len(words) > MOST_SENSORS:
                what = "neither words nor whole numbers" if words is None else "too many values"
                raise InputError(
                    f"{file.path}: column '{file.table.columns[place].name}', which "
                    f"dataset.sensor_column names, holds {what}."
                )
        return places
    found = []
    for place, column in enumerate(file.table.columns):
        wanted = asked.columns or ()
        if place in (file.label, file.group, file.part) or place in wanted or column.name in wanted:
            continue
        words = _words(column)
        if words is None or not 2 <= len(words) <= MOST_SENSORS:
            continue
        num_runs = 1 + int(np.count_nonzero(np.diff(column.values)))
        named = NAME.fullmatch(plain_name(column.name)) is not None
        axes = {word.lower() for word in words} in ({*"xyz"}, {*"xy"})
        spoken = column.kind == "text" and (axes or all(map(_is_sensor, words)))
        if spoken and all(map(ELECTRODE.fullmatch, words)):  # and no states, such as P0 and P8
            counts = np.unique(column.values, return_counts=True)[1]
            spoken = counts.max() < 2 * counts.min()
        mixed = num_runs >= RUNS * len(words)
        if (named or spoken) and (mixed or _begins_anew(file, column)):
            found.append(place)
    return found


def _begins_anew(file: SensorFile, column: Column, *, alone: bool = False) -> bool:
    """Whether a clock or count goes back wherever a column changes: each sensor has a block. And
    with `alone` hardly elsewhere, as where trials follow each other, a kind several times."""
    changes = np.flatnonzero(np.diff(column.values))
    for other, fact in zip(file.table.columns, file.facts, strict=True):
        is_time = other.kind == "time" or (other.kind == "number" and is_time_name(other.name))
        if (is_time or fact.counts) and not fact.constant and other is not column:
            back = other.values[1:] < other.values[:-1]
            elsewhere = np.count_nonzero(back) - len(changes)
            return bool(back[changes].all()) and not (alone and elsewhere > len(changes) / 2)
    return False


def _refuse_mixed(files: Sequence[SensorFile], asked: Asked) -> None:
    """Refuse rows that seem to be of several sensors, which a column of another name tells."""
    seen: Counter[str] = Counter()
    for file in files:
        seen.update({file.table.columns[place].name for place in _telling(file, asked)})
    for name, count in seen.items():
        holding = [file for file in files if name in file.table.names]
        if 2 * count < len(files) or len({file.table.named for file in files}) > 1:
            continue  # columns with names and without are refused later
        column = holding[0].table.columns[holding[0].table.names.index(name)]
        shown = ", ".join((_words(column, named=True) or [])[:3])
        key = shlex.quote(f"dataset.sensor_column={name}")
        raise InputError(
            f"{holding[0].path}: the rows seem to be of several sensors in turn, as column "
            f"'{name}' ({shown}) says: take them apart with {key}, or say "
            "that they belong together with dataset.sensor_column=false."
        )


def _telling(file: SensorFile, asked: Asked) -> Iterator[int]:
    """Columns that change every few rows, and most signals their level or spread with them; a
    column without a name, of three words or more that follow each other in turn; and words with
    which the clock begins anew, again and again."""
    for place, column in enumerate(file.table.columns):
        plain, wanted = plain_name(column.name), asked.columns or ()
        if place in (file.label, file.group, file.part, *wanted) or column.name in wanted:
            continue
        if LABEL_NAME.fullmatch(plain) or is_count_name(column.name):
            continue
        words = _words(column, named=True)
        if words is None or not 2 <= len(words) <= MOST_SENSORS:
            continue
        changes = np.flatnonzero(np.diff(column.values)) + 1
        num_runs = 1 + len(changes)
        many = column.kind == "text" and num_runs >= 2 * len(words)
        if many and _begins_anew(file, column, alone=True):
            yield place
        if num_runs < max(LEAST_ROWS * len(words), file.table.num_rows / SHORT_RUN):
            continue
        in_turn = _in_turn(column.values[np.append(0, changes)]) >= IN_TURN
        if column.kind == "text" and in_turn and len(words) > 2 and not file.table.named:
            yield place
            continue
        if column.kind == "number" and not in_turn:
            continue  # a signal of few steps
        signals = [
            other.values
            for other, fact in zip(file.table.columns, file.facts, strict=True)
            if other is not column and other.kind == "number" and not is_time_name(other.name)
            and not (fact.constant or fact.rises or fact.counts or (fact.low, fact.high) == (0, 1))
        ]  # fmt: skip
        codes = np.unique(column.values, return_inverse=True)[1]
        at_once = in_turn and _stands_still(file, codes)
        told = sum(
            _jumps(values, codes) or (at_once and _turns(values, codes)) for values in signals
        )
        if signals and 2 * told >= len(signals):
            yield place


def _stands_still(file: SensorFile, codes: np.ndarray) -> bool:
    """Whether a clock goes on where the first sensor comes again, and nowhere else."""
    anew = codes[1:] == codes[0]
    return any(
        bool(((np.diff(column.values) != 0) == anew).all())
        for column in file.table.columns
        if column.kind == "time" or (column.kind == "number" and is_time_name(column.name))
    )


def _turns(values: np.ndarray, codes: np.ndarray) -> bool:
    """Whether the values of a sensor go on from its last ones, rather than from another's."""
    number = int(codes.max()) + 1
    own, others = np.abs(values[number:] - values[:-number]), np.abs(np.diff(values))
    return bool(CLOSER * np.median(own) < np.median(others))


def _in_turn(runs: np.ndarray) -> float:
    """The share of changes that go from a value to the one that mostly follows it."""
    following: dict[float, Counter[float]] = {}
    for before, after in pairwise(runs.tolist()):
        following.setdefault(before, Counter())[after] += 1
    return sum(max(after.values()) for after in following.values()) / max(1, len(runs) - 1)


def _jumps(values: np.ndarray, codes: np.ndarray) -> bool:
    """Whether the values of two codes lie apart, or are spread much more widely in one."""
    if not np.isfinite(values).all():
        return False
    quarters = np.array(
        [np.percentile(values[codes == k], [25, 50, 75]) for k in range(codes.max() + 1)]
    )
    spread = quarters[:, 2] - quarters[:, 0]
    levels = np.sort(quarters[:, 1])
    return bool(np.diff(levels).max() > APART * spread.max() or spread.max() > APART * spread.min())


def _words(column: Column, *, named: bool = False) -> list[str] | None:
    if column.kind == "text":
        return [column.words[code] for code in np.unique(column.values) if code < len(column.words)]
    if column.kind == "time":
        return None
    if not named and NAME.fullmatch(plain_name(column.name)) is None:
        return None
    head = column.values[:HEAD_ROWS]
    if not np.isfinite(head).all() or (head % 1 != 0).any() or len(np.unique(head)) > MOST_SENSORS:
        return None  # a signal, as nearly always
    if not np.isfinite(column.values).all() or not (column.values % 1 == 0).all():
        return None
    return [f"{value:g}" for value in np.unique(column.values).tolist()[: MOST_SENSORS + 1]]


def words_of(column: Column) -> list[str] | None:
    """What leads the names of channels that a column tells apart; None where it cannot."""
    words = _words(column, named=True)
    if words is None or column.kind == "text":
        return words
    return [f"{column.name}{word}" for word in words]


def _is_sensor(word: str) -> bool:
    if TOPIC.fullmatch(word):
        return True
    if ELECTRODE.fullmatch(word):
        return True
    return SENSOR.fullmatch(re.split(r"[./:]", word)[-1].strip().replace(" ", "_")) is not None


def _apart(file: SensorFile, places: Sequence[int]) -> dict[str, SensorFile]:
    columns = [file.table.columns[place] for place in places]
    codes, inverse = np.unique(
        np.stack([column.values for column in columns]), axis=1, return_inverse=True
    )
    words = [
        dict(zip(np.unique(column.values).tolist(), words_of(column) or [], strict=True))
        for column in columns
    ]
    apart = {}
    for k, own in enumerate(codes.T.tolist()):
        table = file.table.take(np.flatnonzero(inverse.reshape(-1) == k))
        name = "_".join(known[code] for known, code in zip(words, own, strict=True))
        apart[name] = examine(table, file.label, file.group, file.part)
    return apart
