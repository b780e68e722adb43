"""From the files of recordings to their channels: which columns are signals, which one is time."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from raspitrain.data.files.cells import IN_UNIT, UNITS, position_name
from raspitrain.data.files.csv_file import Table, locate
from raspitrain.data.files.endings import stem_of
from raspitrain.data.files.formats import READERS
from raspitrain.data.files.no_table import DECODE, unfold
from raspitrain.data.files.time_names import SECONDS, unit_by_name
from raspitrain.data.recorded.clock import LEAST_EPOCH, Clock, read_clock
from raspitrain.data.recorded.columns import (
    FEW_VALUES,
    LEAST_ROWS,
    NO_PLAIN_NUMBERS,
    OTHER_CLOCK,
    RISES,
    Facts,
    is_clock_name,
    is_frame_name,
    is_list,
    is_time_name,
    judge,
    plain_unit,
    sure_unit_of,
    unit_of,
)
from raspitrain.data.recorded.date_order import ORDERS
from raspitrain.data.recorded.folder import without
from raspitrain.data.recorded.names import LABELS_NAME
from raspitrain.data.recorded.no_class import as_one_label
from raspitrain.data.recorded.sensor_file import Asked, SensorFile, column_values, with_lists
from raspitrain.errors import InputError, counted

MOST_SHOWN = 20  # names of channels in a sentence
LEAST_ALIKE = 4  # files, from which one of other columns is about them
NO_SIGNALS = frozenset(("time", "label", "the label", "the group", "the part", OTHER_CLOCK))
MANY_PER_ROW = 8  # times as many columns as rows: more likely rows of samples
SOME_WORDS = 0.2  # of a column of numbers, up to which a word is a mark
EVENLY = 1.01  # the longest step over the shortest, of a clock that was written in full
NEARLY_ALL = 0.9  # of the rows, in which a clock moves that may stand still in a few
RATE_KEPT = 0.02  # so far steps of a clock may be off the rate that its file says
LEAST_WRAPPED = 4  # samples a line, from which one signal is told from channels
MANY_NAMELESS = 64  # columns without names: more likely a case a row
DAY = 86_400.0
RATE_APART = 0.02  # of what a file says its rate is, and what its clock says
CODES_APART = 8  # times the number of codes that their range is
CLOCKS_APART = 0.02  # by which two in a file may differ
MOST_APART = 4.0  # so many times as fast as another clock: beyond it counts in another unit
OWN_RANGES = 6  # recordings, from which ranges that never overlap are no chance


@dataclass(frozen=True)
class Chosen:
    """What is taken from each file of one sensor.

    Attributes
    ----------
    channels : tuple of str
        Their names, as the first recording has them.
    units : tuple of str
    places : list of list of int
        Where they are in each file.
    clocks : list of int, or None
        Where time is in each file.
    left_out : list of (str, str)
        Columns that are no channels, and why.
    warnings : list of str
    """

    channels: tuple[str, ...]
    units: tuple[str, ...]
    places: list[list[int]]
    clocks: list[int] | None
    left_out: list[tuple[str, str]]
    warnings: list[str] = field(default_factory=list)


def _check_units(
    files: Sequence[SensorFile], places: Sequence[Sequence[int]], names: Sequence[str]
) -> None:
    """Refuse a channel that one file has in another unit than the next, as the files say it."""
    said: dict[str, tuple[str, Path]] = {}
    for file, own in zip(files, places, strict=True):
        for name, place in zip(names, own, strict=True):
            if not (unit := sure_unit_of(file.table.columns[place])):
                continue
            before, path = said.setdefault(name, (unit, file.path))
            if plain_unit(before) != plain_unit(unit):
                raise InputError(
                    f"channel '{name}' is in {before} in {path} and in {unit} in {file.path}: "
                    f"bring both to one unit, or leave one out, as with {without(file.path)}."
                )


def choose(
    files: Sequence[SensorFile],
    classes: Sequence[frozenset[str]],
    asked: Asked,
    *,
    may_be_empty: bool = False,
) -> Chosen:
    """Say which columns of the files of one sensor are channels, and which one is time.

    Parameters
    ----------
    classes : sequence of frozenset of str
        The classes of each recording.
    may_be_empty : bool
        Whether there may be no channel, as other sensors have some.

    Raises
    ------
    InputError
        If the files do not fit together, or nothing is left that could be a signal.
    """
    first = files[0]
    if asked.columns is not None:
        asked = replace(asked, columns=with_lists(files, asked.columns))
    for file in files:
        if file.table.named != first.table.named and asked.columns is None:
            bad, good = (file, first) if first.table.named else (first, file)
            raise InputError(
                f"{bad.path} has no names in its first line (one that has a number in it is "
                f"taken for data), but {good.path} has {', '.join(good.table.names)}; put that "
                "line first (in place of one that is half a row), or name the channels by position "
                "in dataset.columns."
            )
    _refuse_mixed_units(files)
    reasons = _judge_all(files, classes, asked)
    if asked.columns is None:
        _refuse_lists(first)
        places = _by_judgement(files, reasons, may_be_empty=may_be_empty)
    else:
        places = [_by_name(file, asked.columns) for file in files]
    plain = [first.table.columns[place].name for place in places[0]]
    names = tuple(
        name if name and plain.count(name) == 1 else position_name(place)
        for name, place in zip(plain, places[0], strict=True)
    )
    alike = set(map(bare, plain)) if asked.columns is None else set()
    units = tuple(unit_of(first.table.columns[place]) for place in places[0])
    clocks = _find_clock(files, asked)
    if clocks is not None:
        _use_time_of_day(files, clocks)
    if asked.columns is None:
        _refuse_other_clocks(files, reasons)
    clock_name = None if clocks is None else first.table.columns[clocks[0]].name
    left_out = []
    for name, why in reasons.items():
        if name in plain or (bare(name) in alike and reasons[name] is None):
            continue
        why = "time" if name == clock_name else why
        left_out.append((name or "a column without a name", why or "not asked for"))
    warnings = [
        f"'{name}' is left out, as it is {why}; if it is a signal, name the channels in "
        "dataset.columns"
        for name, why in left_out
        if why.startswith("named like")
    ]
    if clocks is None and asked.time_column is None:
        warnings += _lost_time(files)
    if clocks is not None:
        warnings += _clocks_apart(files, clocks)
    warnings += [
        f"'{name}' is left out, as it holds {why}; if it is a signal, write plain numbers"
        for name, why in left_out
        if why.startswith(NO_PLAIN_NUMBERS)
    ]
    for name in names:
        if asked.columns is not None and (why := reasons.get(name)) not in (None, "time"):
            warnings.append(f"channel '{name}', asked for in dataset.columns: {why}")
    for file, own in zip(files, places, strict=True):
        _check_numbers(file, own)
    _check_units(files, places, names)
    warnings += _large_offsets(files, places, names)
    warnings += _still(files, places, classes)
    if asked.columns is None:
        warnings += _own_ranges(files, places, names)
        warnings += _flags(files, places, names, may_be_empty) if asked.changes_within else []
    return Chosen(names, units, places, clocks, left_out, warnings)


def _refuse_mixed_units(files: Sequence[SensorFile]) -> None:
    """Refuse rows in different units, as meters that choose their range write them."""
    for file in files:
        for place, column in enumerate(file.table.columns):
            told = place not in (file.label, file.group) and "unit" in column.name.lower()
            if not told or column.kind != "text":
                continue
            units = sorted({*file.words(place)} - {""})
            if len(units) > 1 and all(word.lower() in UNITS for word in units):
                raise InputError(
                    f"{file.path}: column '{column.name}' says that rows are in different units "
                    f"({', '.join(units[:4])}): bring all to one, or fix the meter's range."
                )


def _flags(
    files: Sequence[SensorFile],
    places: Sequence[Sequence[int]],
    names: Sequence[str],
    has_others: bool,
) -> list[str]:
    """A word on channels that may be labels beside the one that was named: of 0 and 1, a column a
    class, or of codes that lie far apart."""
    flags, ones = [], 0
    for k, name in enumerate(names):
        facts = [file.facts[own[k]] for file, own in zip(files, places, strict=True)]
        held = [(fact.first,) if fact.constant else fact.values for fact in facts]
        codes = {float(value) for own in held for value in own}
        far = 1 < len(codes) <= FEW_VALUES and max(codes) - min(codes) > CODES_APART * len(codes)
        if all(held) and (far or codes == {0.0, 1.0}):
            flags.append(name)
            ones += codes == {0.0, 1.0}
    if not flags or (len(flags) == len(names) and not has_others):
        return []
    rest = ",".join(name for name in names if name not in flags)
    alone = f"'dataset.columns=[{rest}]'" if rest else "dataset.columns"
    label = files[0].label
    how = " for dataset.label_column"
    if label is not None and ones == len(flags):
        how = f", {as_one_label([files[0].table.columns[label].name, *flags])}"
    return [
        f"channels such as {flags[0]} ({counted(len(flags), 'channel')}) hold a few numbers that "
        "seldom change, as labels do: if they are labels, take the signals alone with "
        f"{alone}, or put all labels into one column{how}"
    ]


def _refuse_lists(file: SensorFile) -> None:
    """Refuse a burst of samples in each cell, as tags on animals have it: a row is no moment."""
    for column in file.table.columns:
        if column.kind == "text" and is_list(column.words):
            raise InputError(
                f"{file.path}: each cell of column '{column.name}' holds a list of numbers, so "
                "that a row is a case: dataset=rows takes them as samples, with the label in "
                "dataset.label_column, and dataset.interleaved=3 where x, y and z take turns; or "
                "if a row is a moment and each number a channel, say "
                f"dataset.columns=[{column.name}]."
            )


def _refuse_other_clocks(files: Sequence[SensorFile], reasons: dict[str, str | None]) -> None:
    """Refuse what stands side by side and ends at different rows, each with a clock of its own."""
    for file in files:
        clocks = [
            (fact.num_rows - fact.num_missing, place)
            for place, (column, fact) in enumerate(zip(file.table.columns, file.facts, strict=True))
            if reasons[column.name] is not None
            and column.wrong is None
            and (fact.rises or fact.counts or (column.kind == "time" and not fact.constant))
            and np.isfinite(column.values[: fact.num_rows - fact.num_missing]).all()
        ]
        if len({count for count, _ in clocks}) > 1:
            (fewest, short), *_, (most, long) = sorted(clocks)
            names, places = file.table.names, sorted(place for _, place in clocks)
            raise InputError(
                f"{file.path} has clocks side by side, columns '{names[long]}' ({long}) with "
                f"{most} rows and '{names[short]}' ({short}) with {fewest}: store each, with the "
                "columns that belong to it, in a file of its own, as where commas stand between "
                f"them by: cut -d, -f{places[0] + 1}-{places[1]} OLD | grep -v '^,*$' > NEW."
            )


def _lost_time(files: Sequence[SensorFile]) -> list[str]:
    """A word on a column of time that says one moment in each file, or is in no form known."""
    for place, column in enumerate(files[0].table.columns):
        if place in (files[0].label, files[0].group, files[0].part):
            continue
        if column.kind == "text" and is_time_name(column.name) and len(column.words) > LEAST_ROWS:
            return [
                f"'{column.name}' holds {column.words[0][:40]!r}, which is no form of time that is "
                "known: nothing is known of rate and gaps"
            ]
        facts = [f.facts[place] for f in files if f.table.names[place : place + 1] == [column.name]]
        long = [fact for fact in facts if fact.num_rows >= LEAST_ROWS and not fact.num_missing]
        if is_time_name(column.name) and long and all(fact.constant for fact in long):
            shown = long[0].first
            return [
                f"'{column.name}' never changes within a file ({shown:.15g} in "
                f"{files[0].path.name}), as where a spreadsheet has shortened it: nothing is known "
                "of rate and gaps"
            ] if isinstance(shown, float) else []  # fmt: skip
    return []


def _clocks_apart(files: Sequence[SensorFile], clocks: Sequence[int]) -> list[str]:
    """A word on a file of several sensors whose clocks part, so that a row is no moment."""
    for file, clock in zip(files, clocks, strict=True):
        ours = file.table.columns[clock]
        for place, (column, fact) in enumerate(zip(file.table.columns, file.facts, strict=True)):
            apart = place != clock and fact.rises and is_clock_name(column.name)
            apart = apart and 2 * fact.moves >= 1  # else a count of frames or seconds
            if not apart or column.wrong is not None or fact.num_missing:
                continue
            lasts, other = (float(own.values[-1] - own.values[0]) for own in (ours, column))
            if not (lasts > 0 and other > 0):
                continue
            other *= 10.0 ** (3 * round(np.log10(lasts / other) / 3))  # ms beside s
            if (
                MOST_APART > other / lasts > 1 / MOST_APART
                and abs(other / lasts - 1) > CLOCKS_APART
            ):
                return [
                    f"the clock '{column.name}' goes {other / lasts:.3g} times as fast as "
                    f"'{ours.name}' in {file.path.name}, so that the sensors in a row are not of "
                    "one moment: store each in a file of its own, which are then joined by time"
                ]
    return []


def _judge_all(
    files: Sequence[SensorFile], classes: Sequence[frozenset[str]], asked: Asked
) -> dict[str, str | None]:
    """Why each column that some file has is no signal; None where it may be one."""
    by_name: dict[str, list[tuple[Facts, frozenset[str]]]] = {}
    apart: dict[str, str] = {}
    for file, own in zip(files, classes, strict=True):
        for position, (column, fact) in enumerate(zip(file.table.columns, file.facts, strict=True)):
            by_name.setdefault(column.name, []).append((fact, own))
            if position == file.label:
                apart[column.name] = "the label"
            elif position == file.group:
                apart[column.name] = "the group"
            elif position == file.part:
                apart[column.name] = "the part"
    reasons: dict[str, str | None] = {}
    for name, seen in by_name.items():
        if name in apart or name == "":
            reasons[name] = apart.get(name, "no name")
        else:
            facts, own_classes = [fact for fact, _ in seen], [own for _, own in seen]
            reasons[name] = judge(name, facts, own_classes, has_labels=asked.changes_within)
    return reasons


def _by_judgement(
    files: Sequence[SensorFile], reasons: dict[str, str | None], *, may_be_empty: bool
) -> list[list[int]]:
    first = files[0]
    places: list[list[int]] = []
    for file in files:
        own = [k for k, name in enumerate(file.table.names) if reasons[name] is None]
        names = [file.table.columns[k].name for k in own]
        numbered = not file.table.named or all(map(str.isdigit, filter(None, file.table.names)))
        if numbered and len(file.table.columns) > MANY_NAMELESS:
            with file.path.open("rb") as opened:
                given = "delimiter=',', " if b"," in opened.readline() else ""
            turn = "" if MANY_PER_ROW * file.table.num_rows > len(file.table.columns) else (
                "if each row is a channel and each column a moment, turn it: python -c \"import "
                f"numpy as n; n.savetxt('NEW', n.loadtxt('OLD', {given}ndmin=2).T, "
                "delimiter=',')\"; "
            )  # fmt: skip
            raise InputError(
                f"{file.path} has {len(file.table.columns)} columns without names: {turn}if each "
                "row is a case and not a moment, use dataset=rows; if each column is a channel, "
                f"name them by position, as dataset.columns=[$(seq -s, {own[0] if own else 0} "
                f"{own[-1] if own else 0})] does."
            )
        if not file.table.named and len(own) == len(file.table.columns) >= LEAST_WRAPPED:
            _refuse_wrapped(file)
        if not own and may_be_empty:
            return [[] for _ in files]
        if not own:
            why = ", ".join(
                f"'{name}' ({reason})" for name in file.table.names if (reason := reasons[name])
            )
            remedy = "name the signals in dataset.columns"
            if any(set(file.table.names).isdisjoint(other.table.names) for other in files):
                remedy = _about_others(file)
            elif (json_in := _json_in(file)) is not None:
                remedy = (
                    'write a line of JSON a row: python -c "import csv, json; [print(json.dumps('
                    f"{{**json.loads(r.pop('{json_in}')), **r}})) for r in "
                    "csv.DictReader(open('OLD'))]\" > NEW.jsonl"
                )
            elif NO_PLAIN_NUMBERS in why:
                remedy = "write plain numbers, one a cell"
            elif len(reasons) == 1 and RISES in why:
                remedy = (
                    "if these are moments at which something happened, the time from one to the "
                    "next is a signal: awk 'NR>1 {print $1-last} {last=$1}' OLD > NEW"
                )
            elif {reasons[name] for name in file.table.names} <= NO_SIGNALS:
                remedy = "what was measured at these moments belongs into columns beside them"
            elif "arbitration_id" in file.table.names:
                remedy = DECODE
            raise InputError(f"{file.path} has no column of signals, only {why}; {remedy}.")
        for name in names:
            if names.count(name) > 1:
                same = [str(k) for k in own if file.table.columns[k].name == name]
                every = ",".join(map(str, own))
                raise InputError(
                    f"{file.path} has {len(same)} columns '{name}' (positions {', '.join(same)}, "
                    f"from 0); choose by position, such as dataset.columns=[{every}]."
                )
        if not places:
            wanted = names
        order = _order(names, wanted)
        if order is None:
            alone = _of_other_columns(files)
            remedy = (
                f"{alone[0].path.name} {_of_another_kind(alone[0], names, wanted)}" if alone else ""
            )
            raise InputError(
                f"{file.path} has the channels {_shown(names)}, but the first recording "
                f"({first.path.name}) has {_shown(wanted)}; "
                f"{(len(files) > LEAST_ALIKE and remedy) or _common(files, reasons)}."
            )
        places.append([own[k] for k in order])
    return places


def _json_in(file: SensorFile) -> str | None:
    """The column whose cells are objects of JSON, as messages of MQTT are logged; None without."""
    for column in file.table.columns:
        if column.kind == "text" and column.words and re.fullmatch(r"\{\s*\".*\}", column.words[0]):
            return column.name
    return None


def _refuse_wrapped(file: SensorFile) -> None:
    """Refuse one signal that goes on from line to line, as records of earthquakes are written."""
    if file.path.suffix.lower() in READERS:
        return  # of no lines
    rows = np.stack([column_values(column) for column in file.table.columns], axis=1)
    count = rows.shape[1]
    if len(rows) < LEAST_ROWS or not np.isfinite(rows).all():
        return
    along = np.abs(np.diff(rows.reshape(-1)))
    steps = [np.median(along[k::count]) for k in range(count)]  # the last from line to line
    down = np.median(np.abs(np.diff(rows, axis=0)), axis=0)
    if max(steps) < min(0.5 * min(down), 1.5 * min(steps)):
        first = int(file.table.lines()[0])
        raise InputError(
            f"{file.path} seems to hold one signal with {count} samples a line, as line {first} "
            f"goes on in the next: {unfold(first)}; if these are channels, name them by position, "
            "as dataset.columns="
            f"[$(seq -s, 0 {count - 1})] does."
        )


def _of_another_kind(file: SensorFile, names: Sequence[str], wanted: Sequence[str]) -> str:
    """What helps where no other file has a column of the one."""
    is_long = file.table.num_rows >= LEAST_ROWS
    if is_long and (len(names) == len(wanted) or file.path.suffix.lower() == ".wav"):
        every = ",".join(map(str, range(min(len(names), len(wanted)))))
        return (
            "has names of its own: if they are the same, take columns by position with "
            f"dataset.columns=[{every}], else move it away"
        )
    return f"is of another kind: {_about_others(file)}"


def _about_others(file: SensorFile) -> str:
    return (
        f"leave it out with {without(file.path)}; if it says what the others are, "
        "write it as labels.csv, with their names and classes as the columns file and label"
    )


def _of_other_columns(files: Sequence[SensorFile]) -> list[SensorFile]:
    """The files of one name, fewer than half of all, whose columns no other has."""
    by_name: dict[str, list[SensorFile]] = {}
    for file in files:
        by_name.setdefault(file.path.name, []).append(file)
    number = Counter(name for file in files for name in set(file.table.names))
    found = [
        own
        for own in by_name.values()
        if 2 * len(own) < len(files)
        and all(number[name] <= len(own) for file in own for name in file.table.names)
        and len({tuple(file.table.names) for file in own}) == 1
    ]
    return found[0] if len(found) == 1 else []


def _shown(names: Sequence[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > MOST_SHOWN else ""
    return ", ".join(names[:MOST_SHOWN]) + more


def _order(names: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Where each wanted name stands, as it is written or else by its `bare` form; None where names
    are others, or the bare form cannot tell them apart."""
    for form in (str, bare):
        own = [form(name) for name in names]
        if len(set(own)) == len(own) and sorted(own) == sorted(map(form, wanted)):
            return [own.index(form(name)) for name in wanted]
    return None


def bare(name: str) -> str:
    """A name without its case and the signs between its words."""
    return re.sub(r"[\W_]+", "", name).casefold() or name


def _common(files: Sequence[SensorFile], reasons: dict[str, str | None]) -> str:
    """What helps where files have different channels."""
    common = [
        name for name in files[0].table.names
        if reasons[name] is None and all(name in file.table.names for file in files)
    ]  # fmt: skip
    if all(file.path.suffix == ".npy" for file in files):
        return (
            "of an array the longer axis is taken as time: if it is that of the channels or bands "
            "in some, save all as (samples, channels)"
        )
    if not files[0].table.named:
        path = files[0].path
        apart = path.parent.name if len({file.path.parent for file in files}) > 1 else ""
        tail = f"{apart}/*" if apart else re.sub(r"^[^-_ ]*", "*", path.name)
        return (
            "columns without names say nothing of each other: take files of one kind with "
            f"dataset.files, such as '{tail}', or name positions (from 0) in dataset.columns"
        )
    if common:
        return f"take those that all have with dataset.columns=[{','.join(common[:20])}]"
    first = files[0]
    namesakes = [f for f in files if f.path.name == first.path.name and f.path != first.path]
    for other in namesakes:
        for signals, labels in ((first.path, other.path), (other.path, first.path)):
            folders = set(labels.parent.parts) - set(signals.parent.parts)
            if set(first.table.names).isdisjoint(other.table.names) and any(
                LABELS_NAME.search(part) for part in folders
            ):
                end = f"*{labels.suffix}"
                there = os.path.relpath(labels.parent, signals.parent)
                return (
                    f"if files in {labels.parent.name} say what happens in those by their names in "
                    f"{signals.parent.name}, take them with dataset.files='*{signals.parent.name}/"
                    f"{end}' dataset.annotations='{there}/{end}'"
                )
    return (
        "none is in all of them: if they are of several sensors, take the files of one with "
        "dataset.files, or join those of a recording by what names the sensor in their paths, such "
        f"as 'dataset.sensor_part=\"{_last_words(files)}\"'; if columns are only called "
        "differently, name their positions (from 0), such as dataset.columns=[0]"
    )


def _last_words(files: Sequence[SensorFile]) -> str:
    """What files of the same columns end with, and no others, as a regular expression."""
    kinds: dict[tuple[str, ...], set[str]] = {}
    for file in files:
        last = re.split(r"[-_ ]", stem_of(file.path.name))[-1]
        kinds.setdefault(tuple(file.table.names), set()).add(last)
    words = sorted(word for own in kinds.values() for word in own)
    told = len(words) == len(set(words)) == len(kinds) and all(map(str.isalpha, words))
    return "|".join(words) if told else "acc|gyro"


def _by_name(file: SensorFile, columns: Sequence[str | int]) -> list[int]:
    places = [locate(file.table.names, name, file.path, "columns") for name in columns]
    for place, name in zip(places, columns, strict=True):
        if places.count(place) > 1:
            raise InputError(f"dataset.columns names '{name}' twice: name each channel once.")
    return places


def _check_numbers(file: SensorFile, places: Iterable[int]) -> None:
    """Refuse words among the numbers of a channel."""
    for place in places:
        column = file.table.columns[place]
        if column.kind == "text":
            code = int(column.values[0])
            shown = column.words[code] if code < len(column.words) else "a word"
            line, number = file.table.line(0), file.table.num_rows
        elif column.wrong is not None:
            number, line, shown = column.wrong
        else:
            continue
        first = file.table.line(0)
        hint = ""
        if re.fullmatch(r"(?=.*\d)[\dA-Fa-f]{2,8}", shown):
            hint = f" ({DECODE})"
        elif line == first and not file.table.named:
            hint = " (a first line that has a number in it is taken for data)"
        elif ("," in shown and "." in shown) or shown.count(",") > 1 or shown.count(".") > 1:
            hint = " (export without thousands separators)"
        elif not re.search(r"\w", shown):
            sign = re.sub(r"([][*.^$/\\&])", r"\\\1", shown)
            hint = f" (if it stands where nothing was measured: sed 's/{sign}/nan/' OLD > NEW)"
        elif (other := IN_UNIT.fullmatch(shown)) and column.unit not in ("", other[2]):
            hint = f" (nor in {column.unit}, as the first are: export the column in one unit)"
        elif re.fullmatch(r"[^\W\d_]{2,12}", shown) and number < SOME_WORDS * file.table.num_rows:
            hint = (
                " (if it says that there is no value, empty such cells, as by: sed "
                f"'s/{shown}//g' OLD > NEW, and say dataset.missing=interpolate)"
            )
        shown = shown if len(shown) <= 40 else shown[:40] + "…"
        remedy = "name the columns that are signals in dataset.columns"
        if file.table.num_rows < LEAST_ROWS:
            remedy += f", or if it is no recording leave it out with {without(file.path)}"
        raise InputError(
            f"{file.path}, line {line}, column '{column.name}': {shown!r} is not a number{hint}; "
            f"fix it, or {remedy}."
        )


def _own_ranges(
    files: Sequence[SensorFile], places: Sequence[Sequence[int]], names: Sequence[str]
) -> list[str]:
    """A word on channels whose values lie in a range of its own in each recording."""
    warnings = []
    for k, name in enumerate(names):
        facts = [file.facts[own[k]] for file, own in zip(files, places, strict=True)]
        ranges = sorted({(fact.low, fact.high) for fact in facts if not np.isnan(fact.low)})
        apart = sum(before[1] < after[0] for before, after in pairwise(ranges))
        if len(ranges) >= OWN_RANGES and apart >= 0.9 * (len(ranges) - 1):
            warnings.append(
                f"channel '{name}' has values of its own in each recording ({ranges[0][0]:.6g} to "
                f"{ranges[0][1]:.6g} in one, {ranges[-1][0]:.6g} to {ranges[-1][1]:.6g} in "
                "another), as a place, a battery or a slow drift has: it tells recordings apart "
                "and not classes; leave it out with dataset.columns"
            )
    return warnings


def _still(
    files: Sequence[SensorFile],
    places: Sequence[Sequence[int]],
    classes: Sequence[frozenset[str]],
) -> list[str]:
    """A word on recordings in which nothing changes, while signals do in others of their class."""
    facts = [[file.facts[place] for place in own] for file, own in zip(files, places, strict=True)]
    moving = {own for own, seen in zip(classes, facts, strict=True)
              if any(fact.wavers or fact.busy for fact in seen)}  # fmt: skip
    still = [
        file.path for file, own, seen in zip(files, classes, facts, strict=True)
        if own in moving and all(fact.constant for fact in seen)
    ]  # fmt: skip
    if not still:
        return []
    return [
        f"in {len(still)} of {counted(len(files), 'recording')} ({still[0]}) no value ever "
        "changes, as of a sensor that is not connected, though others of the class move; move such "
        "files away, unless that belongs to the class"
    ]


def _large_offsets(
    files: Sequence[SensorFile], places: Sequence[Sequence[int]], names: Sequence[str]
) -> list[str]:
    warnings = []
    for k, name in enumerate(names):
        for file, own in zip(files, places, strict=True):
            values = column_values(file.table.columns[own[k]])
            if values.dtype == np.float32:
                continue
            known = values[np.isfinite(values)]
            warnings.append(
                f"channel '{name}' varies by {np.ptp(known):.3g} about {np.median(known):.6g} "
                f"(in {file.path.name}), where float32 has steps of "
                f"{float(np.spacing(np.float32(np.median(known)))):.3g}: it is trained on in "
                "float64, but predict reads float32; take the offset off in the files"
            )
            break
    return warnings


def _find_clock(files: Sequence[SensorFile], asked: Asked) -> list[int] | None:
    """Where the column of time is in each file; None where there is none."""
    if asked.time_column is False:
        return None
    if asked.time_column is None and None not in (own := [file.table.clock for file in files]):
        return [place for place in own if place is not None]
    if asked.time_column is not None and asked.time_column is not True:
        places = []
        for file in files:
            place = locate(file.table.names, asked.time_column, file.path, "time_column")
            column = file.table.columns[place]
            if column.kind == "text" or column.wrong is not None:
                word = column.wrong[2] if column.wrong else (column.words or ("",))[0]
                raise InputError(
                    f"{file.path}: column '{column.name}', which dataset.time_column names, holds "
                    f"{word[:40]!r}, which is neither a number nor a date."
                )
            places.append(place)
        return places
    best: tuple[tuple[float, ...], list[int]] | None = None
    bared = [[*map(bare, file.table.names)] for file in files]
    for name in dict.fromkeys(files[0].table.names):
        exact = all(file.table.names.count(name) == 1 for file in files)
        if not exact and not all(names.count(bare(name)) == 1 for names in bared):
            continue
        places = [
            file.table.names.index(name) if exact else names.index(bare(name))
            for file, names in zip(files, bared, strict=True)
        ]
        facts = [file.facts[place] for file, place in zip(files, places, strict=True)]
        named = is_time_name(name) or (is_clock_name(name) and _are_moments(files, places, facts))
        if not _may_be_time(facts, named, has_names=files[0].table.named):
            continue
        if not named and not _keeps_rate(files[0].table, places[0]):
            continue
        if is_frame_name(name) and _counts_some(files[0].table.columns[places[0]].values):
            continue
        for file, place in zip(files, places, strict=True):
            if (wrong := file.table.columns[place].wrong) is not None:
                raise InputError(
                    f"{file.path}, line {wrong[1]}, column '{name}': {wrong[2][:40]!r} is no time; "
                    "fix it, or do without time with dataset.time_column=false."
                )
        in_units = unit_by_name(name, files[0].table.columns[places[0]].unit) is not None
        moves = round(sum(fact.moves for fact in facts) / len(facts), 2)
        score = (named and moves >= NEARLY_ALL, moves, named or facts[0].kind == "time", in_units)
        if best is None or score > best[0]:
            best = (score, places)
    if best is None and asked.time_column is None and not files[0].table.named:
        _refuse_mixed_rows(files[0])
    return None if best is None else best[1]


def _refuse_mixed_rows(file: SensorFile) -> None:
    """Refuse evenly spaced values in no order: a clock, whose rows were mixed, and no signal."""
    for column, fact in zip(file.table.columns, file.facts, strict=True):
        if column.kind != "number" or fact.rises or fact.counts or fact.num_rows < LEAST_ROWS:
            continue
        steps = np.diff(np.sort(column.values))
        if steps.min() > 0 and steps.max() <= EVENLY * steps.min():
            raise InputError(
                f"{file.path}: column '{column.name}' holds evenly spaced values in no order, as "
                f"the clock of rows that were mixed does: dataset.time_column={column.name} puts "
                "them in order, and dataset.time_column=false takes them as they are."
            )


def _are_moments(
    files: Sequence[SensorFile], places: Sequence[int], facts: Sequence[Facts]
) -> bool:
    """Whether numbers count from 1970 and move with most rows, as Creation_Time does."""
    return all(
        fact.kind == "number" and fact.low >= LEAST_EPOCH and 2 * fact.moves > 1 for fact in facts
    ) and all(f.table.columns[p].wrong is None for f, p in zip(files, places, strict=True))


def _keeps_rate(table: Table, place: int) -> bool:
    """Whether the steps of a column are those of the rate that the file says, in some unit: else it
    is a count among the signals of EDF or WFDB, and no clock."""
    values = table.columns[place].values
    if table.rate is None or len(values) < 2:
        return True
    step = float(np.median(np.diff(values))) * table.rate
    return any(abs(step * second - 1) < RATE_KEPT for second in SECONDS.values())


def _counts_some(values: np.ndarray) -> bool:
    """Whether whole numbers count every second sample, or third, and are no clock's."""
    return not (values % 1).any() and not (values >= LEAST_EPOCH).any()


def _use_time_of_day(files: Sequence[SensorFile], clocks: Sequence[int]) -> None:
    """A clock without a name that stands behind hour, minute and second, as these are in each file
    and move on from file to file, counts parts of a second: microseconds where it passes 1000."""
    moments = set()
    for file, clock in zip(files, clocks, strict=True):
        before = file.table.columns[max(clock - 3, 0) : clock]
        if file.table.named or len(before) < 3 or file.facts[clock].kind != "number":
            return
        for column, most in zip(before, (24, 60, 60), strict=True):
            values = column.values
            if column.kind != "number" or not ((values >= 0) & (values < most)).all():
                return
            if (values % 1).any() or (values != values[0]).any():
                return
        moments.add(tuple(float(column.values[0]) for column in before))
    low = min(file.facts[clock].low for file, clock in zip(files, clocks, strict=True))
    high = max(file.facts[clock].high for file, clock in zip(files, clocks, strict=True))
    told = len(moments) > 2 or (len(files) == 1 and len(set(moments.pop())) > 1)
    if told and low >= 0 and 1000 <= high < 1e6:
        for file, clock in zip(files, clocks, strict=True):
            file.table.columns[clock].unit = "us"


def _may_be_time(facts: Sequence[Facts], named: bool, *, has_names: bool) -> bool:
    if any(fact.kind == "text" for fact in facts):
        return False
    if all(fact.constant for fact in facts):
        return False
    if named or all(fact.kind == "time" for fact in facts):
        return not any(fact.wavers and not fact.rises and not fact.counts for fact in facts)
    if has_names and any(2 * fact.moves < 1 for fact in facts):
        return False  # a tally, such as energy, in steps of its last digit
    if any(2 * fact.num_missing > fact.num_rows for fact in facts):
        return False  # such as the latitude, once in many rows
    # By behaviour alone only what is as even as a clock is, and no count.
    return all(fact.rises and fact.even and not fact.unit_step for fact in facts)


def clock_of(file: SensorFile, place: int, time_unit: str | None, rows: np.ndarray | None) -> Clock:
    """What the column of time says; `rows` puts them into another order first. The unit is the one
    that is told, or that makes the rate which the file says, or that fits its steps, which is
    noted."""
    column = file.table.columns[place]
    values = column.values.astype(np.float64, copy=False)
    if rows is not None:
        values = values[rows]
    told = None if time_unit in ORDERS else time_unit
    unit = told or ("s" if column.kind == "time" else unit_by_name(column.name, column.unit))
    of_day = False
    if column.kind == "time":
        known = values[np.isfinite(values)]
        of_day = len(known) > 0 and float(known.max()) <= DAY + 1
    clock = read_clock(values, unit=unit, is_time_of_day=of_day)
    if unit is not None or not clock.step:
        return clock
    if file.table.rate is not None:
        for own, seconds in SECONDS.items():
            if abs(clock.step * seconds * file.table.rate - 1) < RATE_APART:
                return read_clock(values, unit=own)
    if (
        clock.unit is not None
        and (clock.step >= 1 or clock.unit == "ms")
        and values[0] < LEAST_EPOCH
    ):
        step = f"{float(f'{clock.step:.2g}'):.6g}"  # alike in all recordings, and said once
        note = f"'{column.name}' taken as {clock.unit}, as its steps of {step} suggest"
        if note not in file.table.changes:
            file.table.changes.append(note)
    return clock
