"""Files of several sensors that belong to one recording."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from raspitrain.data.files.endings import stem_of
from raspitrain.data.recorded.columns import SENSOR
from raspitrain.data.recorded.names import LABELS_NAME, PERSON, Source, fitting
from raspitrain.errors import InputError, a_few

RATE = re.compile(r"[-_ ]*\d+(?:\.\d+)?k?hz(?![a-z])", re.I)  # of one sensor, in a file's name
CHANNEL = re.compile(r"(?<![a-z])ch(?:an(?:nel)?)?[-_ ]?\d{1,2}(?!\d)", re.I)  # F0001CH1.CSV
NUMBERED = re.compile(r"(?:mic(?:rophone)?|imu|sensor|node|electrode)[-_ ]?\d", re.I)
AXES = (
    re.compile(r"(?P<rest>(?:.*\d)?)[-_ ]*(?P<sensor>[^\d\W]*?[-_ ]?[xyz])", re.I),  # p1_acc_x
    re.compile(r"(?P<sensor>[^\d\W]*?[-_ ]?[xyz])[-_ ]*(?P<rest>\d.*)", re.I),  # x_1
)  # of a file for each axis
SEPARATOR = re.compile(r"[-_. /]")  # of a path's parts
MOST_WORDS = 8  # of parts of names, that a sentence lists
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def _sensor(relative: str, first: int) -> tuple[str, str]:
    """The sensor that a path names from an entry on, and the path without it: a folder may name it
    as well as the file."""
    place = relative.split("/")
    first = min(first, len(place) - 1)
    stem = stem_of("/".join(place[first:]))
    for run in re.finditer(r"[A-Za-z]+(?:_?[A-Za-z]+)*", stem):
        words = WORD.findall(run[0])
        several = len(words) > 1 and "".join(words) == run[0]  # orientationEuler beside orientation
        whole = several and all(map(SENSOR.fullmatch, words))
        for word in (run[0], *words):
            if whole or SENSOR.fullmatch(word):
                at = run.start() + run[0].index(word)
                rest = RATE.sub("", stem[:at] + stem[at + len(word) :])
                others = re.split("([A-Za-z]+)", rest)
                rest = "".join(other for other in others if not _are_kin(other, word))
                rest = re.sub(r"[-_ ]*(?=/|$)", "", rest).strip("/_- ")
                return word, "/".join([*place[:first], rest])
    return "", relative


def _are_kin(other: str, word: str) -> bool:
    """Whether both are of one sensor, as gyr and Gyroscope are."""
    return other[:3].lower() == word[:3].lower() and SENSOR.fullmatch(other) is not None


def mixed_sensors(sources: Sequence[Source], first: int) -> str:
    """A sentence where files of each class are of several sensors and none could be joined."""
    if any("" not in source.files for source in sources):
        return ""
    kinds: dict[str | None, Counter[str]] = {}
    for source in sources:
        sensor = _sensor(source.name, first)[0]
        kinds.setdefault(source.class_name, Counter())[sensor] += 1
    common = set.intersection(*map(set, kinds.values())) - {""}
    if len(common) < 2:
        return ""
    return (
        f"files are of several sensors ({a_few(common)}), would count as recordings of the same "
        "channels, and their names do not say which belong together: take those of one with "
        f"dataset.files='*{min(common)}*', give the files of a recording one name but for the "
        "sensor, or if they are of one kind, name the channels in dataset.columns."
    )


def _with_companions(joined: dict[str, dict[str, Source]]) -> dict[str, dict[str, Source]]:
    """A file beside those of sensors, such as WristMotion.csv, is of their recording as well."""
    known = {rest for rest, sensors in joined.items() if "" not in sensors}
    out: dict[str, dict[str, Source]] = {}
    for rest, sensors in joined.items():
        folder, _, name = rest.rpartition("/")
        stem = stem_of(name)
        if "" in sensors and folder in known and not re.search(r"\d", stem):
            out.setdefault(folder, {})[stem] = sensors[""]
        else:
            out.setdefault(rest, {}).update(sensors)
    return out


def recorded_at_once(
    sources: Sequence[Source],
    num_rows: Sequence[int],
    spans: Sequence[tuple[float, float] | None],
) -> list[str]:
    """A word on files that differ in one part of their paths alone and were recorded at once, as by
    sensors that are called by letters or serial numbers: their clocks say so, or they have as many
    rows each, one recording others than the next.

    Parameters
    ----------
    spans : sequence of (float, float) or None
        When each begins and ends, if its clock says that.
    """
    if any("" not in source.files for source in sources):
        return []
    by_class: dict[str | None, set[int]] = {}
    for source, rows in zip(sources, num_rows, strict=True):
        by_class.setdefault(source.class_name, set()).add(rows)
    by_protocol = all(len(own) == 1 for own in by_class.values())
    if by_protocol and None in spans:
        return _called_alike(sources)  # as clips of a second each: neither lengths nor clocks tell
    depth = min(source.name.count("/") for source in sources)
    tokens = {len(SEPARATOR.split(source.name)) for source in sources}
    places = range(min(tokens)) if len(tokens) == 1 else ()
    within = _differing_within(sources)
    for way in ("within", "last", "first", *range(depth), *(("at", k) for k in places)):
        alike: dict[str, list[int]] = {}
        parts, patterns = [], {}
        for k, source in enumerate(sources):
            rest, part, pattern = within[k] if way == "within" else _without_part(source.name, way)
            alike.setdefault(rest, []).append(k)
            parts.append(part)
            patterns[part] = pattern
        of_group = {(part, source.group) for part, source in zip(parts, sources, strict=True)}
        if (
            len(patterns) < 2 or len(alike) < 2
            or any({parts[k] for k in own} != patterns.keys() for own in alike.values())
            or any(len({sources[k].class_name for k in own}) > 1 for own in alike.values())
            or len(of_group) == len(patterns) == len({group for _, group in of_group})
        ):  # fmt: skip
            continue  # the parts do not stand beside each other, or say whose recordings these are
        lengths = [{num_rows[k] for k in own} for own in alike.values()]
        different = len({min(own) for own in lengths})
        by_rows = not by_protocol and all(len(own) == 1 for own in lengths)
        by_rows = by_rows and different >= max(3, len(lengths) / 2)
        by_clock = not all(map(PERSON.fullmatch, patterns)) and _ran_at_once(
            [[spans[k] for k in own] for own in alike.values()]
        )
        if not by_rows and not by_clock:
            continue
        why = "ran at once, as their clocks say" if by_clock else "have as many rows as each other"
        labels = [part for part in patterns if LABELS_NAME.search(part)]
        some = min(patterns.keys() - labels or patterns)
        joins = "" if labels else _sensor_part([source.name for source in sources], parts)
        return [
            f"files that differ in one part of their names alone ({a_few(set(patterns))}) {why}, "
            f"in each of {len(alike)} recordings, and count as recordings of the same channels; if "
            f"these are sensors that recorded at once, {joins}take those of one with "
            f"dataset.files='{patterns[some]}'"
            + ("; labels of rows belong into a column (paste -d, A B > C)" if labels else "")
        ]
    return []


def _called_alike(sources: Sequence[Source]) -> list[str]:
    """A word where each class has several folders, which hold the same mic1 and mic2."""
    folders: dict[str, set[str]] = {}
    for source in sources:
        folder, _, name = source.name.rpartition("/")
        folders.setdefault(folder, set()).add(stem_of(name))
    own = next(iter(folders.values()))
    several = len(folders) >= 2 * len({source.class_name for source in sources})
    if len(own) < 2 or not several or any(others != own for others in folders.values()):
        return []
    if not all(map(NUMBERED.fullmatch, own)) or len(own) > MOST_WORDS:
        return []
    return [
        f"each of {len(folders)} folders holds {a_few(own)}, which count as recordings of the same "
        "channels; if these are sensors that recorded at once, join them with "
        f"'dataset.sensor_part=\"{'|'.join(sorted(own))}\"', or take those of one with "
        f"dataset.files='{min(own)}*'"
    ]


def _differing_within(sources: Sequence[Source]) -> list[tuple[str, str, str]]:
    """As `_without_part`, what is not the same in all names of a folder's files."""
    names: dict[str, list[list[str]]] = {}
    for source in sources:
        folder, _, last = source.name.rpartition("/")
        names.setdefault(folder, []).append(re.split(f"({SEPARATOR.pattern})", last))
    shared = {}
    for folder, own in names.items():
        least = min(map(len, own)) - 1
        head = next((k for k in range(least) if len({t[k] for t in own}) > 1), least)
        most = least - head
        tail = next((k for k in range(most) if len({t[-1 - k] for t in own}) > 1), most)
        shared[folder] = (head, tail)
    out = []
    for source in sources:
        folder, _, last = source.name.rpartition("/")
        tokens = re.split(f"({SEPARATOR.pattern})", last)
        head, tail = shared[folder]
        stop = len(tokens) - tail
        part = "".join(tokens[head:stop])
        rest = "".join([folder, "/", *tokens[:head], *tokens[stop:]])
        out.append((rest, part, f"{'*' * (head > 0)}{part}{'*' * (tail > 0)}"))
    return out


def _ran_at_once(recordings: Sequence[Sequence[tuple[float, float] | None]]) -> bool:
    """Whether the clocks of the files of each recording overlap, and most recordings follow each
    other: clocks that all begin at 0 tell nothing."""
    whole = []
    for own in recordings:
        spans = [span for span in own if span is not None]
        if len(spans) < len(own):
            return False
        start, stop = max(s[0] for s in spans), min(s[1] for s in spans)
        if stop - start < 0.5 * max(s[1] - s[0] for s in spans) or start >= stop:
            return False
        whole.append((start, stop))
    whole.sort()
    apart = sum(one[1] <= other[0] for one, other in pairwise(whole))
    return 2 * apart >= len(whole)


def _sensor_part(names: Sequence[str], parts: Sequence[str]) -> str:
    """The words that join files by a part of their names, if few words tell it; else none."""
    every = sorted(set(parts))
    for pattern in ("{}", "[-_. /]({})(?=[-_. /])", ".*({})"):
        pattern = pattern.format("|".join(map(re.escape, every)))
        found = [re.search(pattern, name) for name in names]
        if len(every) <= MOST_WORDS and all(
            fit is not None and fit[fit.re.groups and 1] == part
            for fit, part in zip(found, parts, strict=True)
        ):
            return f"join them by time with 'dataset.sensor_part=\"{pattern}\"', or "
    return ""


def _without_part(name: str, way: str | int | tuple[str, int]) -> tuple[str, str, str]:
    """A path without the last or first part of its file's name, a folder, or what stands at one
    place between all signs; what was taken out; and a pattern for those that have it."""
    *folders, last = name.split("/")
    if isinstance(way, tuple):
        tokens = re.split(f"({SEPARATOR.pattern})", name)
        at = 2 * way[1]
        near = "".join(tokens[max(0, at - 1) : at + 2])
        glob = "*" * (at > 0) + near + "*" * (at + 2 < len(tokens))
        return "".join([*tokens[:at], *tokens[at + 1 :]]), tokens[at], glob
    if isinstance(way, int):
        rest = [*folders[:way], "", *folders[way + 1 :], last]
        return "/".join(rest), folders[way], "*/" * way + f"{folders[way]}/*"
    stem = stem_of(last)
    sign = re.search(r"[-_ ](?=[^-_ ]*$)" if way == "last" else "[-_ ]", stem)
    if sign is None:
        return name, "", ""
    if way == "last":
        bare = name[: -len(last)] + stem[: sign.end()]
        return bare, stem[sign.end() :], f"*{last[sign.start() :]}"
    return name[: -len(last)] + stem[sign.start() :], stem[: sign.start()], f"{stem[: sign.end()]}*"


def _join_channels(sources: list[Source], first: int) -> list[Source]:
    """F0001CH1.CSV and F0001CH2.CSV put together; none where not all recordings have the same."""
    joined: dict[str, Source] = {}
    for source in sources:
        at = len("/".join(source.name.split("/")[:first]))
        found = CHANNEL.search(source.name, at)
        if found is None or "" not in source.files:
            return []
        rest = stem_of(source.name[: found.start()] + source.name[found.end() :]).strip("/_- ")
        one = joined.setdefault(rest, replace(source, name=rest, files={}))
        bare = re.sub(r"[-_ ]?\d+$", "", found[0])
        if source.class_name != one.class_name or source.class_name == bare:
            return []  # the class is the channel
        one.files[found[0]] = source.files[""]
    channels = {frozenset(one.files) for one in joined.values()}
    return [*joined.values()] if len(channels) == 1 and len(channels.pop()) > 1 else []


def _join_axes(sources: Sequence[Source]) -> list[Source]:
    """acc_x.csv, acc_y.csv and acc_z.csv put together; none where not all recordings have them."""
    joined: dict[str, Source] = {}
    for source in sources:
        folder, _, last = source.name.rpartition("/")
        fit = next(filter(None, (axis.fullmatch(stem_of(last)) for axis in AXES)), None)
        if fit is None or "" not in source.files or source.class_name == fit["sensor"]:
            return []
        rest = f"{folder}/{fit['rest']}".strip("/")
        one = joined.setdefault(rest, replace(source, name=rest, files={}))
        if source.class_name != one.class_name or fit["sensor"] in one.files:
            return []
        one.files[fit["sensor"]] = source.files[""]
    sensors = {frozenset(one.files) for one in joined.values()}
    axes: dict[str, str] = {}
    for sensor in sorted(sensors.pop()) if len(sensors) == 1 else ():
        axes[sensor[:-1]] = axes.get(sensor[:-1], "") + sensor[-1].lower()
    return [*joined.values()] if axes and {*axes.values()} <= {"xy", "xyz"} else []


def join_sensors(
    sources: list[Source], first: int, sensor_part: str | None
) -> tuple[list[Source], list[str]]:
    """Put the files of one recording together, where sensors have one each."""
    if sensor_part is not None:
        return _joined(_by_part(sources, sensor_part))
    if sources[0].class_name is not None and (whole := _join_channels(sources, first)):
        return whole, [f"channels {', '.join(whole[0].files)} of a recording joined by time"]
    if sources[0].class_name is not None and (whole := _join_axes(sources)):
        return whole, [f"axes {', '.join(sorted(whole[0].files))} of a recording joined by time"]
    joined: dict[str, dict[str, Source]] = {}
    for source in sources:
        sensor, rest = _sensor(source.name, first)
        if sensor in joined.get(rest, {}):
            return sources, []
        joined.setdefault(rest, {})[sensor] = source
    joined = _with_companions(joined)
    several = [sensors for sensors in joined.values() if len(sensors) > 1 and "" not in sensors]
    if 2 * len(several) < len(joined) or not several:
        return sources, []
    return _joined(joined)


def _by_part(sources: Sequence[Source], sensor_part: str) -> dict[str, dict[str, Source]]:
    """The files of each recording by what a regular expression fits in their paths."""
    joined: dict[str, dict[str, Source]] = {}
    for source in sources:
        (path,) = source.files.values()
        found = fitting("sensor_part", sensor_part, source.name, path)
        group = found.re.groups and 1
        rest = _tidy(source.name[: found.start(group)] + source.name[found.end(group) :])
        if other := joined.get(rest, {}).get(found[group]):
            raise InputError(
                f"{path} and {other.name} are both of the sensor '{found[group]}' that "
                f"dataset.sensor_part={sensor_part} finds, in one recording: let it fit what "
                "tells the files of a recording apart."
            )
        joined.setdefault(rest, {})[found[group]] = source
    if all(len(sensors) == 1 for sensors in joined.values()):
        raise InputError(
            f"dataset.sensor_part={sensor_part} finds no two files of one recording "
            f"({a_few([*joined])}): let it fit all that tells them apart, and no more."
        )
    return joined


def _tidy(name: str) -> str:
    """A path, out of which a part was taken, without its ending and what held that part."""
    again = r"[-_. ]+(?=/|$)|(?<=[-_. /])[-_. /]+"
    return re.sub(again, "", stem_of(name)).strip("/")


def _joined(joined: Mapping[str, Mapping[str, Source]]) -> tuple[list[Source], list[str]]:
    common = set.intersection(*(set(sensors) for sensors in joined.values()))
    empty = {
        sensor for sensor in common
        if any(s[sensor].files[""].stat().st_size == 0 for s in joined.values())
    }  # fmt: skip
    common -= empty
    if not common:
        kinds = sorted({sensor for sensors in joined.values() for sensor in sensors})
        raise InputError(
            f"recordings have a file for each sensor ({', '.join(filter(None, kinds))}), but no "
            "sensor is in all of them; choose the files of one with dataset.files, such as "
            f"dataset.files='*{max(kinds)}*'."
        )
    notes = [f"sensors {', '.join(sorted(common))} of a recording joined by time"]
    missing = sorted({s for sensors in joined.values() for s in sensors if s not in common})
    missing = [name or "others" for name in missing]
    if missing:
        notes.append(f"not taken: {', '.join(missing)}, which not every recording has")
    out = []
    for rest, sensors in joined.items():
        one = next(iter(sensors.values()))
        files = {sensor: sensors[sensor].files[""] for sensor in sorted(common)}
        out.append(replace(one, name=rest, files=files))
    return out, notes
