"""The cells of a line of text: where they end, and which are numbers, times or comments."""

import csv
import re
from collections import Counter
from collections.abc import Sequence

from raspitrain.data.files import date_shapes

COMMENTS = ("#", "%", "//")
DASHED = re.compile(r"-- [A-Za-z]")  # as journalctl begins what it says itself
BEGIN_COMMENTS = frozenset("#%/;\"'-")
NUMBERS_ROWS = re.compile(r"""(?:"#"|'#'|#)\s*[,;\t]""")  # the name of the column that does
ERROR_CELL = re.compile(r"#(?:n/a|div/0!|value!|ref!|name\?|num!|null!)", re.I)  # of spreadsheets
NUMBER = re.compile(
    r"[+-]?(?:\d+(?:\.\d*)?|\.\d+|\d*,\d+)(?:[eE][+-]?\d+)?|[+-]?inf(?:inity)?", re.IGNORECASE
)
SIGN_APART = re.compile(r"(?<=[,;|\t\"])([+-]) +(?=[.\d])")
LEVEL = r"(?:\[?(?:INFO|DEBUG|TRACE|DATA)\]?:?\ +)?"  # of a line in a log
STAMP = re.compile(
    rf"""{LEVEL}\[?(?P<clock>(?:\d{{4}}-\d\d-\d\d[\ T])?\d{{1,2}}:\d{{1,2}}:\d{{1,2}}(?:[.,:]\d+)?)
        (?:,\d{{3}}\]\ <\w+>\ [^:]{{1,40}}:|\ ->
          |\](?=\ [-+.\d])
          |\]?,?\ {LEVEL}(?=[A-Za-z][\w\ .]{{0,40}}[:=]\s*[-+.\d]))\ ?
    |[EWIDV]\ \((?P<ms>\d+)\)\ [^:]{{1,40}}:\ ?
    |\[\ *(?P<up>\d+(?:\.\d+)?)\]\ """,
    re.VERBOSE,
)  # of Arduino's serial monitor, of Zephyr, of ESP-IDF and of kernels
DASHES = re.compile(r"-([,;|])-(?:\1-)*")  # before each of several recordings
RULE = frozenset("|+:=-")  # below the names of a table that is drawn
WRAPPED = re.compile(r"[\[(<]+(?=\s*[-+\d.])([^\[\](){}<>]*)[\])>]+[,;]?")  # as Python prints
PRINTED = re.compile(r"""\bb(['"])(.*?)(?:\\r)?(?:\\n)?\1""")  # bytes, as Python prints them
CHECKSUM = re.compile(r"(?<=[\w.,])\*[\dA-F]{2}\s*$", re.I)  # behind a line that begins with $
# fmt: off
UNITS = frozenset((
    "s", "sec", "second", "seconds", "ms", "milliseconds", "us", "µs", "μs", "ns", "min", "h",
    "d", "hz", "khz", "mhz", "g", "mg", "ug", "m/s", "m/s2", "m/s^2", "m/s²", "m/(s^2)", "m/s/s",
    "deg", "°", "degree", "degrees", "rad", "deg/s", "°/s", "dps", "mdps", "rad/s", "rpm", "v",
    "mv", "uv", "µv", "μv", "nv", "volt", "volts", "a", "ma", "ua", "µa", "μa", "amp", "w", "mw",
    "kw", "wh", "kwh", "c", "°c", "degc", "'c", "f", "°f", "k", "%", "rh", "%rh", "pa", "hpa",
    "kpa", "bar", "mbar", "psi", "t", "mt", "ut", "µt", "μt", "nt", "gauss", "mgauss", "lux", "lx",
    "db", "dba", "bpm", "mmhg", "mm", "cm", "m", "km", "nm", "n", "kn", "n/a", "na", "no_units",
    "unitless", "none", "sequence", "cal", "raw", "uncal", "counts", "count", "lsb", "a.u.", "au",
    "local", "utc", "unix", "kb", "mb", "gb", "kib", "mib", "gib",
    "l/min", "l/s", "m3/h",
))
NO_UNITS = frozenset((
    "n/a", "na", "no_units", "unitless", "none", "sequence", "cal", "raw", "uncal", "local", "utc",
    "unix",
))
# fmt: on
UNIT = "|".join(map(re.escape, sorted(UNITS - NO_UNITS, key=len, reverse=True)))
PAIR = re.compile(
    rf"""["']?([^\W\d][\w .()/°%-]*?)["']?\s*[:=]\s*
        "?([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|nan|inf)"?\s{{0,3}}({UNIT})?(?=[\s,;|}}\]]|$)""",
    re.VERBOSE | re.IGNORECASE,
)
IN_UNIT = re.compile(
    rf"([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?)\s?((?:{UNIT})(?:\s?[AD]C)?)", re.I
)


def position_name(position: int | str) -> str:
    """What a column without a name is called wherever it is shown, stored or typed."""
    return f"channel_{position}"


def split_cells(line: str, separator: str) -> list[str]:
    """The cells of a line, stripped.

    Raises
    ------
    csv.Error
        If a quote is not closed.
    """
    if line.startswith("$") and "*" in line:
        line = CHECKSUM.sub("", line)
    if separator == " " and '"' not in line:
        return line.split()
    if "+ " in line or "- " in line:
        line = SIGN_APART.sub(r"\1", line)
    if '"' in line:
        text = line.strip("\r\n")
        # Of names, "Interval"|"ms" and "Counter" (moves) are some; of numbers, "1.5"2 is damage.
        strict = text.count('"') % 2 == 1 or not any(map(str.isalpha, text))
        row = next(
            csv.reader([text], delimiter=separator, strict=strict, skipinitialspace=True), []
        )
        return [cell.strip() for cell in row]
    return [cell.strip() for cell in line.split(separator)]


def pair_cells(line: str, beside: str = "") -> list[tuple[str, str, str]]:
    """Name, number and unit of each pair in a line such as ax:0.1,ay=0.2g; none where there is more
    in it, or other than stands beside the pairs of each line."""
    if beside_pairs(line) != beside:
        return []
    return [(name.strip(), number, unit) for name, number, unit in PAIR.findall(line)]


def beside_pairs(line: str) -> str:
    rest = PAIR.sub("", line) if ":" in line or "=" in line else line
    return re.sub(r"(?<=#)\d+|[\s,;|{}\[\]]+", "", rest)


def is_number(cell: str) -> bool:
    return NUMBER.fullmatch(cell) is not None


def is_value(cell: str) -> bool:
    return is_number(cell) or date_shapes.is_time(cell)


def is_comment(line: str, separator: str | None = None) -> bool:
    """Whether a line is a comment; one that begins with ";" is, where that separates nothing."""
    text = line.lstrip()
    if text[:1] not in BEGIN_COMMENTS:
        return False  # as nearly every line, and fast
    if NUMBERS_ROWS.match(text) or ERROR_CELL.match(text):
        return False
    text = text.lstrip('"')
    if text[:1] == "-":
        return DASHED.match(text) is not None
    return text.startswith(COMMENTS) or (separator not in (None, ";") and text.startswith(";"))


def has_units(line: str) -> bool:
    cells = (cell.strip(' "') for cell in re.split(r"[,;\t|]", line))
    return any(not is_number(cell) and IN_UNIT.fullmatch(cell) for cell in cells)


def without_units(line: str) -> str:
    """Cells such as "0.12 g" as numbers, for what else is to be told of a file."""
    parts = re.split(r"([,;\t|])", line)
    return "".join(
        IN_UNIT.sub(r"\1", part) if IN_UNIT.fullmatch(part.strip(' "')) else part for part in parts
    )


def is_rule(line: str) -> bool:
    if line.lstrip()[:1] not in RULE:
        return False  # as nearly every line, and fast
    bare = re.sub(r"\s", "", line)
    return ("--" in bare and RULE.issuperset(bare)) or DASHES.fullmatch(bare) is not None


def unprinted(line: str) -> str:
    """A line whose bytes were printed as they are in Python: b'0.1,0.2\\r\\n' as 0.1,0.2."""
    return PRINTED.sub(r"\2", line)


def unwrapped(line: str) -> str:
    """A row without the brackets around it."""
    found = WRAPPED.fullmatch(line.strip())
    return line if found is None else f"{found[1].strip()}\n"


def unstamped(line: str) -> str:
    found = STAMP.match(line)
    return line if found is None else line[found.end() :]


def stamp_kind(lines: Sequence[str]) -> str | None:
    """What lines begin with: "clock" (a time of day), "ms", or "up" (since the start), or None."""
    kinds = Counter(found.lastgroup for line in lines if (found := STAMP.match(line)))
    return kinds.most_common(1)[0][0] if kinds.total() >= 0.8 * len(lines) else None


def stamp_of(line: str) -> tuple[str, str]:
    """The clock that a line begins with, "" without, and the rest of it."""
    found = STAMP.match(line)
    return ("", line) if found is None else (str(found[str(found.lastgroup)]), line[found.end() :])
