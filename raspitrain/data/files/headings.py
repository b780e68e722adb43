"""What the lines above a table say: names, units, the rate, the order of day and month."""

import csv
import re
from collections.abc import Sequence
from itertools import pairwise

from raspitrain.data.files.cells import UNITS, is_number, is_value, split_cells
from raspitrain.data.files.missing import is_missing
from raspitrain.data.files.time_names import SECONDS, is_time_name
from raspitrain.data.files.time_names import UNITS as UNITS_OF_TIME

ATTRIBUTE = re.compile(r"\s*@attribute\s+['\"]?([^\s'\"]+)", re.IGNORECASE)  # of ARFF
MOST_SETTINGS = 30  # lines such as "Rate,50" above the names
MOST_HEADINGS = 6  # rows of names, what they are of, types and units
SEEN_OF_A_LINE = 1000  # letters that are looked at where it is no table
HEADED = re.compile(
    r"^(?:csv )?(?:headers?|columns?|fields?|names?)(?:\s*[:,;=]|\s)\s*", re.IGNORECASE
)
SETTING_CELL = re.compile(  # CH1:0.05, and not pandas' Unnamed: 0.1
    r"(?!Unnamed:)[^\W\d][^:]*:\s*[+-]?\d*\.\d+(?:e[+-]?\d+)?", re.IGNORECASE
)
TIME_FORM = re.compile(
    r"[hmsydo]{1,4}(?:[-:./_ ][hmsydo]{1,4})+(?:[.,:][0fs]{1,6})?", re.IGNORECASE
)  # hh:mm:ss.000
DATE_FORM = re.compile(r"\b(?P<first>dd?|mm?)[-/.](?:dd?|mm?)[-/.]yy", re.IGNORECASE)
STEP = re.compile(
    r"(?:(?:sampl(?:e|ing)|time)[ _]?(?:interval|period)|interval_sec|increment|x_?incr|t_?inc"
    r"|delta_x|\bdt(?==))\W*?"
    r"(?:analog:)?(?P<step>\d*\.?\d+(?:e[+-]?\d+)?)[\s,;]*(?P<unit>[munµ]?s(?:ec)?|min|h)?"
    r"(?![\w.:/]|\s+[a-z])",
    re.IGNORECASE,
)  # in seconds, where no unit is said
RATE = re.compile(
    r"(?P<what>(?:sampl(?:e|es|ing)|measurement|acquisition|update|output|logging)[ _-]*"
    r"(?:rate|freq(?:uency)?)|\bat|^(?:frequency|fs|sfreq|srate|data_?rate)\b)"
    r"(?P<unit>[^\d\n]{0,16}?)"
    r"\s*(?P<rate>\d+(?:\.\d+)?)\s*(?P<after>k?h(?:ert)?z|samples (?:a|per) second|sps)?\b",
    re.IGNORECASE,
)
A_SAMPLE = re.compile(r"\b(?P<step>\d*\.?\d+) (?P<unit>m?sec|min)/sample\b")
ANY_RATE = ("at", "frequency")  # may be of something else, where no unit is said


def _numbered_on(cells: list[str]) -> list[str]:
    """Accel [g], Accel_1 [g], Accel_2 [g] for Accel [g], 1, 2, as GoPro's are exported."""
    named: list[str] = []
    last = ""
    for cell in cells:
        count = 1 + len(named) - (named.index(last) + 1 if last else len(named))
        if last and cell == str(count):
            named.append(re.sub(r"( ?[\[(].*)?$", rf"_{count}\1", last, count=1))
        else:
            last = "" if is_value(cell) or not named else cell  # the first is time
            named.append(cell)
    return named if any(map(str.isdigit, cells)) and not any(map(is_value, named)) else cells


def numbers_channels(rows: Sequence[list[str]]) -> bool:
    """Whether a row such as x-axis,1,2 names columns: the channels by number, their units below."""
    if len(rows) != 2 or not 1 < len(rows[0]) == len(rows[1]) or not all(map(is_unit, rows[1])):
        return False
    return _rise(rows[0][1:])


def numbers_after_time(cells: Sequence[str]) -> bool:
    """Whether channels are called by their numbers, as in Time(s),0,1."""
    return len(cells) > 1 and is_time_name(cells[0]) and _rise(cells[1:])


def _is_one_word(cells: Sequence[str]) -> bool:
    """Whether several columns say the same, which then is no name; below a title one may be."""
    words = [*filter(None, cells)]
    return len(words) > 1 and len(set(words)) == 1


def _rise(numbers: Sequence[str]) -> bool:
    """Whether they number channels, from a small one on."""
    rising = all(number.isdigit() for number in numbers) and len(numbers[0]) < 3
    return rising and all(int(before) < int(after) for before, after in pairwise(numbers))


def take_aside(rows: list[tuple[int, list[str]]], first: int, width: int) -> list[str]:
    """Where names and units go on as Start,Increment over -0.001,2e-06, which no row below does:
    leave the table's own, and give back the others, each beside its value."""
    for k, (number, cells) in enumerate(rows[:first]):  # t0 = -0.1,tInc = 1e-05 beside the names
        said = [cell for cell in cells if "=" in cell]
        if said and len(cells) > width and not any(set(cells[width:]) - {*said, ""}):
            rows[k] = (number, ["" if cell in said else cell for cell in cells[:width]])
            return said
    if first < 2:
        return []
    (_, names), (_, below) = rows[first - 2 : first]
    more, values = ([cell for cell in cells[width:] if cell] for cells in (names, below))
    if not more or len(more) != len(values) or not all(map(is_number, values)):
        return []
    if any(map(is_value, [*names[:width], *below[:width], *more])):
        return []
    for k in (first - 2, first - 1):
        rows[k] = (rows[k][0], rows[k][1][:width])
    return [f"{name} {value}" for name, value in zip(more, values, strict=True)]


def said_beside(rows: Sequence[tuple[int, list[str]]], texts: frozenset[int]) -> list[str]:
    """What stands in columns of words beside the first rows, as Sample Interval,4e-07 does."""
    return [
        f"{cells[k]} {cells[k + 1]}"
        for _, cells in rows[:MOST_SETTINGS]
        for k in texts
        if k + 1 in texts and len(cells) > k + 1 and cells[k]
    ]


def said_order(lines: Sequence[str]) -> bool | None:
    """Whether the day comes before the month, where a line says how dates are written."""
    found = {match["first"][0] in "dD" for line in lines for match in DATE_FORM.finditer(line)}
    return found.pop() if len(found) == 1 else None


def said_rate(lines: Sequence[str]) -> float | None:
    """Samples a second, where the lines about the recording say one rate and no other."""
    rates = set()
    of_qualisys = any(line.startswith(("NO_OF_FRAMES", "ANALOG_FREQUENCY")) for line in lines)
    for line in lines:
        for found in RATE.finditer(line):
            unit = (found["after"] or found["unit"]).lower().replace("hertz", "hz")
            bare = re.search(r"\w", unit + line[found.end() :]) is None  # no unit, and no more
            bare = bare and (found["what"].lower() not in ANY_RATE or of_qualisys)
            if bare or "hz" in unit or "samples" in unit or "sps" in unit or '":' in unit:
                rates.add(float(found["rate"]) * (1000 if "khz" in unit else 1))
        line = re.sub(r"(?<![\d.,])0,(?=\d)", "0.", line[:SEEN_OF_A_LINE])  # Delta_X 0,001
        if (step := STEP.search(line) or A_SAMPLE.search(line)) and float(step["step"]):
            unit = UNITS_OF_TIME[(step["unit"] or "s").lower()]
            rates.add(float(f"{1 / (float(step['step']) * SECONDS[unit]):.9g}"))
    return rates.pop() if len(rates) == 1 and 0 not in rates else None


def start_and_rate(rows: Sequence[tuple[int, list[str]]]) -> tuple[float, float] | None:
    """Start and rate, where rows of them come first: as Empatica's E4 writes each sensor."""
    if len(rows) < 3:
        return None
    first, second = rows[0][1], rows[1][1]
    if len(set(first)) > 1 or len(set(second)) > 1 or not (first and second):
        return None
    if not (is_number(first[0]) and is_number(second[0]) and len(first) == len(second)):
        return None
    start, rate = (float(cells[0].replace(",", ".")) for cells in (first, second))
    later = rows[2][1]
    near = is_number(later[0]) and abs(float(later[0].replace(",", ".")) - start) < 0.5 * start
    return (start, rate) if 1e9 <= start < 4e9 and 0 < rate <= 1e4 and not near else None


def is_setting(cells: Sequence[str], numeric: Sequence[int]) -> bool:
    """Whether a row says something of each column, as "Scale,0.1,0.1" does above numbers."""
    word, *values = cells
    if word == "" and 0 in numeric and len(values) > 1 and len(set(values)) == 1:
        return values[0].isdigit()  # how many rows follow, as AcqKnowledge writes it
    named = re.fullmatch(r"[^\W\d][^\d]{2,}", word) is not None and not is_value(word)
    return (
        0 in numeric
        and named
        and not is_missing(word)
        and bool(values)
        and all(map(is_value, values))
    )


def find_names(
    above: Sequence[list[str]], comments: Sequence[str], width: int, lines: Sequence[str]
) -> tuple[list[str] | None, list[str] | None, int]:
    """Names and units from the lines above the first row, and how many of those were used."""
    block: list[list[str]] = []
    for first, *titles in above:
        if first == "ChannelTitle=" and len(titles) == width - 1:  # of LabChart
            return ["time", *titles], None, 1
    for cells in reversed([_numbered_on(cells) for cells in above]):
        if not any(cells):  # of a spreadsheet, between what is said of the device and the names
            if block:
                break
            continue
        words = not any(map(is_value, cells)) or is_count(cells)
        words = words or (cells is above[-2:][0] and numbers_channels(above[-2:]))
        words = words or numbers_after_time(cells)
        words = words and not any(map(SETTING_CELL.fullmatch, cells))
        if len(cells) != width or len(block) == MOST_HEADINGS or not words:
            break
        block.insert(0, cells)
    units, used = None, 0
    for k in range(1, len(block) - 1):
        if _are_units(block[k], block[k - 1]):  # and below, such as where the numbers come from
            used += len(block) - k - 1
            del block[k + 1 :]
            break
    if len(block) > 1 and block[-1][0] == "1" and is_count(block[-1]):
        block.pop()
        used = 1
    if len(block) > 1 and _are_units(block[-1], block[-2]):
        units, used = [_bare_unit(c) if is_unit(c) else "" for c in block.pop()], used + 1
        while len(block) > 1 and (
            len(set(block[-1])) < len(set(block[-2])) or _is_one_word(block[-1])
        ):
            block.pop()  # such as RAW or CAL below each name
            used += 1
    if block:
        names, more = _levels([[cell.strip("'\"") for cell in cells] for cells in block])
        return names, units, used + more
    for title, *points in reversed(above[-2:]):
        if re.search("names", title, re.I) and 3 * len(points) == width and all(points):
            return [f"{point}_{axis}" for point in points for axis in "xyz"], None, 1
    attributes = [found[1] for line in lines if (found := ATTRIBUTE.match(line))]
    if len(attributes) == width:
        return attributes, None, 0
    commented = [_of_comment(comment, width) for comment in comments]
    for k in reversed(range(len(commented))):
        cells, over = commented[k], commented[k - 1] if k else []
        if cells and over and _are_units(cells, over):
            return over, [_bare_unit(cell) if is_unit(cell) else "" for cell in cells], 0
        if cells:
            return cells, None, 0
    return None, None, 0


def _of_comment(comment: str, width: int) -> list[str]:
    """The words of a comment, if it has one for each column; else none."""
    text = comment.strip().strip('"').lstrip("#%/; ").strip()
    for separator in (",", "\t", ";", " "):
        try:
            bare = HEADED.sub("", text, count=1).rstrip(f"{separator} ")
            cells = split_cells(bare, separator)
        except csv.Error:
            continue
        if len(cells) == width and not any(map(is_value, cells)) and any(cells):
            return cells
    return []


def _are_units(cells: Sequence[str], above: Sequence[str]) -> bool:
    """All are, or most with names above them that differ more, or two more than these."""
    if all(map(is_unit, cells[cells[0].lower() in ("unit", "units") :])):
        return True
    if all(re.fullmatch(r"(\[.*\])?", cell) for cell in cells) and any(cells):
        return not any(cell.startswith("[") for cell in above)
    known, others = (sum(c != "" and is_unit(c) for c in row) for row in (cells, above))
    if known >= 2 + others and len(set(above)) == len(above):
        return True
    return 2 <= 0.6 * len(cells) <= known and len(set(cells)) < len(set(above))


def _levels(block: Sequence[list[str]]) -> tuple[list[str], int]:
    """Names from one row, or from several levels: a sensor above its axes; and how many rows."""
    used, index = 1, ""
    names = block[-1]
    if len(block) > 1 and names[0] and not any(names[1:]):  # pandas: the name of the index
        index, names, used = names[0], block[-2], 2
    level = len(block) - used - 1
    while level >= 0 and (
        len(set(filter(None, names))) < len(list(filter(None, names)))
        or sum(bool(top) and not name for top, name in zip(block[level], names, strict=True)) > 1
    ):
        above, written = block[level], [*block[level]]
        for k in range(1, len(above)):  # a merged cell is written once
            above[k] = above[k] or above[k - 1]
        twice = {name for name in names if name and names.count(name) > 1}
        if not any(above) or len(set(above)) == 1:
            break
        names = [
            f"{top}_{name}" if name in twice and top else name or own
            for name, top, own in zip(names, above, written, strict=True)
        ]
        level, used = level - 1, used + 1
    return [index or names[0], *names[1:]], used


def _bare_unit(cell: str) -> str:
    text = cell.strip("'\"[] ")
    return text[1:-1].strip() if text.startswith("(") and text.endswith(")") else text


def is_unit(cell: str) -> bool:
    text = _bare_unit(cell).lower()
    return text == "" or text in UNITS or TIME_FORM.fullmatch(text) is not None


def is_count(cells: Sequence[str]) -> bool:
    """0, 1, 2 … as pandas writes for columns without names, or 1, 2, 3 … below names; three or more
    may have words beside them, as the label's name."""
    counted = [cell for cell in cells if is_value(cell)]
    if len(counted) < 3 and len(counted) < sum(map(bool, cells)):
        return False
    first = counted[:1] == ["1"] and len(counted) > 2
    return counted == [str(k + first) for k in range(len(counted))]
