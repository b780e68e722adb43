"""How a text file holds its table: what separates cells, where names stand, what comes first.

Loggers, apps and spreadsheets put comments, lines about the device, names and units before the
numbers; the lines that come after them, which are all alike, say what is what.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from raspitrain.data import dates
from raspitrain.data.missing import is_missing
from raspitrain.data.sentences import Sentence, find_sentence
from raspitrain.data.time_names import SECONDS
from raspitrain.data.time_names import UNITS as UNITS_OF_TIME

SEPARATORS = ("\t", ";", ",", "|", " ")  # commas may be decimal points between tabs or semicolons
ATTRIBUTE = re.compile(r"\s*@attribute\s+['\"]?([^\s'\"]+)", re.IGNORECASE)  # of ARFF
LABVIEW_END = "***End_of_Header***"
BODY_LINES = 60  # looked at to tell what is what
LEAST_IN_TURN = 8  # lines
MOST_BREAKS = 40  # of names in quotes
MOST_SETTINGS = 30  # lines such as "Rate,50" above the names
COMMENTS = ("#", "%", "//")
BEGIN_COMMENTS = frozenset("#%/;\"'")
NUMBERS_ROWS = re.compile(r"""(?:"#"|'#'|#)\s*[,;\t]""")  # the name of the column that does
NUMBER = re.compile(
    r"[+-]?(?:\d+(?:\.\d*)?|\.\d+|\d*,\d+)(?:[eE][+-]?\d+)?|[+-]?inf(?:inity)?", re.IGNORECASE
)
FRAME = re.compile(r"\b[\dA-F]{2}[\s,;]+[\dA-F]{2}\b", re.IGNORECASE)  # bytes of one
DECODE = (
    "if these are frames of a CAN bus, decode them with its DBC file (asammdf, cantools) and "
    "export the signals as CSV"
)
OTHER_FORMS = (
    (re.compile(r"\b[\dA-F]{3,8}#[\dA-F]+", re.IGNORECASE), f"bytes behind an ID; {DECODE}"),
    (
        re.compile(r"[+-]?\d*\.\d*[Dd][+-]?\d\d"),
        "a number as Fortran writes it; write E for D, as with: sed -i 's/D/E/g' FILE",
    ),
    (
        re.compile(r"\{\s*[\"'].*"),
        "JSON behind other words; keep what is in braces, as with: sed 's/^[^{]*//; s/[^}]*$//' "
        "OLD > NEW.jsonl",
    ),
    (
        re.compile(r"^---$"),
        "blocks of lines, as in YAML; write a line of numbers for each moment, as rostopic echo -p "
        "does",
    ),
    (
        re.compile(r"Sending state"),
        "as logs of ESPHome have; take time, sensor and value from them, as by: (echo "
        "time,sensor,value; sed -nE \"s/^.([0-9:]+).*'(.*)': Sending state ([-0-9.]+).*/"
        '\\1,\\2,\\3/p" OLD) > NEW',
    ),
    (
        re.compile(r"^>[^:\s]+:\d+(?:\.\d+)?:[-\d.]+"),
        "as Teleplot takes it; write sensor, time and value, as by: (echo sensor,time,value; sed "
        "-nE 's/^>([^:]+):([0-9.]+):([-+0-9.eE]+).*/\\1,\\2,\\3/p' OLD) > NEW",
    ),
    (re.compile(r"\b(?:[\dA-F]{2} ){4,}[\dA-F]{2}\b", re.IGNORECASE), f"bytes; {DECODE}"),
    (
        re.compile(r"\[\s*[-+]?\d*\.?\d+\s*,.*"),
        "a list in one cell; write one number a cell, a column for each",
    ),
    (
        re.compile(r"^\S+ \S+=\S+ \d{10,}$"),
        "a line of InfluxDB's protocol; export it as CSV, a column a field",
    ),
    (
        re.compile(r"(?<=\s)\d+:[-+\d.]+(?=\s|$)"),
        "a number of a column before each value, as LIBSVM has it; write the values alone, one a "
        "cell",
    ),
)
SIGN_APART = re.compile(r"(?<=[,;|\t\"])([+-]) +(?=[.\d])")
SECTION = re.compile(r"\s*\[[A-Za-z][\w ]*\]\s*")  # [data]
SEP_LINE = re.compile(r"\"?sep=(\\t|[,;\t| ])?\"?", re.IGNORECASE)
LEVEL = r"(?:\[?(?:INFO|DEBUG|TRACE|DATA)\]?:?\ +)?"  # of a line in a log
STAMP = re.compile(
    rf"""{LEVEL}\[?(?P<clock>(?:\d{{4}}-\d\d-\d\d[\ T])?\d\d:\d\d:\d\d(?:[.,:]\d+)?)
        (?:,\d{{3}}\]\ <\w+>\ [^:]{{1,40}}:|\ ->
          |\]?,?\ {LEVEL}(?=[A-Za-z][\w\ .]{{0,40}}[:=]\s*[-+.\d]))\ ?
    |[EWIDV]\ \((?P<ms>\d+)\)\ [^:]{{1,40}}:\ ?
    |\[\ *(?P<up>\d+(?:\.\d+)?)\]\ """,
    re.VERBOSE,
)  # of Arduino's serial monitor, of Zephyr, of ESP-IDF and of kernels
DASHES = re.compile(r"-([,;|])-(?:\1-)*")  # before each of several recordings
RULE = frozenset("|+:=-")  # below the names of a table that is drawn
WRAPPED = re.compile(r"[\[(<]+(?=\s*[-+\d.])([^\[\](){}<>]*)[\])>]+[,;]?")  # as Python prints
CHECKSUM = re.compile(r"(?<=[\w.,])\*[\dA-F]{2}\s*$", re.I)  # behind a line that begins with $
SEEN_OF_A_LINE = 1000  # letters that are looked at where it is no table
HEADED = re.compile(
    r"^(?:csv )?(?:headers?|columns?|fields?|names?)(?:\s*[:,;=]|\s)\s*", re.IGNORECASE
)
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
))
NO_UNITS = frozenset((
    "n/a", "na", "no_units", "unitless", "none", "sequence", "cal", "raw", "uncal", "local", "utc",
    "unix",
))
# fmt: on
UNIT = "|".join(map(re.escape, sorted(UNITS - NO_UNITS, key=len, reverse=True)))
LONE_PAIR = re.compile(
    r"\s*([^\W\d][\w .()/°%-]*?)\s*[:=]\s*[-+]?\d*\.?\d+\s?[^\s\d.,;:=]{1,9}\s*"
)  # with any unit
PAIR = re.compile(
    rf"""["']?([^\W\d][\w .()/°%-]*?)["']?\s*[:=]\s*
        "?([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|nan|inf)"?\s{{0,3}}({UNIT})?(?=[\s,;|}}\]]|$)""",
    re.VERBOSE | re.IGNORECASE,
)
BITS = re.compile(r"[01]{4,}")  # of a logic analyser: no number
BYTES = re.compile(r"[\dA-F]{8,}", re.IGNORECASE)  # as they came: some look like numbers
SETTING_CELL = re.compile(r"[^\W\d][^:]*:\s*[+-]?\d*\.\d+(?:e[+-]?\d+)?", re.IGNORECASE)  # CH1:0.05
IN_UNIT = re.compile(
    rf"([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?)\s?((?:{UNIT})(?:\s?[AD]C)?)", re.I
)
GLUED = re.compile(r"[^\W\d_](?:\s?[:=]\s?| )[-+]?\d|[\[(]\s*[-+.]?\d|\d\s*[\])]")  # scraps
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
ANY_RATE = ("at", "frequency")  # may be of something else, where no unit is said


@dataclass(frozen=True)
class Layout:
    """How the rows of a file are to be read.

    Attributes
    ----------
    separator : str
        One character; a blank stands for any number of them.
    names, units : tuple of str
        One a column; nameless columns are called channel_0, channel_1 …, a unit may be "".
    named : bool
        Whether the file names its columns.
    first : int
        How many lines stand before the first row.
    passed_over : int
        Of those, lines about the device or the recording, which are not read.
    texts : frozenset of int
        Columns of words.
    times : dict
        Columns of dates or times of day, and whether the day comes before the month; None where
        no date is written so.
    in_cells : dict of int to str
        The unit behind each number of a column, where cells are such as "0.12 g".
    either : frozenset of int
        Of these, those whose first dates could have day and month the other way round.
    wrapped : bool
        Brackets are around each row.
    stamped, paired, ended : bool
        Rows begin with the clock of a serial monitor or a log; cells are name:value; rows end
        with ";".
    ruled : bool
        A line such as -,-,- stands above the rows, and may set recordings apart.
    lacks_last : bool
        Rows may be without the last cell.
    settings : tuple of str
        What rows of numbers above the first one are called, such as Scale.
    beside : str
        The words that each line has beside its pairs, without blanks.
    sentence : Sentence or None
        What the lines have in common, where numbers stand among words.
    rate : float or None
        Samples a second, where a line above the table says it.
    start : float or None
        When the first was taken, in seconds since 1970, where rows of start and rate come first.
    """

    separator: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    named: bool
    first: int
    passed_over: int
    texts: frozenset[int]
    times: dict[int, bool | None]
    stamped: bool = False
    wrapped: bool = False
    paired: bool = False
    ended: bool = False
    ruled: bool = False
    lacks_last: bool = False
    settings: tuple[str, ...] = ()
    rate: float | None = None
    start: float | None = None
    beside: str = ""
    sentence: Sentence | None = None
    either: frozenset[int] = frozenset()
    in_cells: dict[int, str] = field(default_factory=dict)


class NoTableError(ValueError):
    """No rows of numbers are there; its text ends the sentence "FILE …"."""


def unfold(first: int) -> str:
    """How one signal is written that goes on from line to line, `first` its first line."""
    return (
        f"write one sample a line, as by: awk 'NR < {first} {{print; next}} "
        '{gsub(",", " "); for (i = 1; i <= NF; i++) print $i}\' OLD > NEW'
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
        row = next(csv.reader([text], delimiter=separator, strict=True, skipinitialspace=True), [])
        return [cell.strip() for cell in row]
    return [cell.strip() for cell in line.split(separator)]


def pair_cells(line: str, beside: str = "") -> list[tuple[str, str, str]]:
    """Name, number and unit of each pair in a line such as ax:0.1,ay=0.2g; none where there is more
    in it, or other than stands beside the pairs of each line."""
    if _beside_pairs(line) != beside:
        return []
    return [(name.strip(), number, unit) for name, number, unit in PAIR.findall(line)]


def _beside_pairs(line: str) -> str:
    return re.sub(r"(?<=#)\d+|[\s,;|{}\[\]]+", "", PAIR.sub("", line))


def is_number(cell: str) -> bool:
    return NUMBER.fullmatch(cell) is not None


def is_value(cell: str) -> bool:
    return is_number(cell) or dates.is_time(cell)


def is_comment(line: str, separator: str | None = None) -> bool:
    """Whether a line is a comment; one that begins with ";" is, where that separates nothing."""
    text = line.lstrip()
    if text[:1] not in BEGIN_COMMENTS:
        return False  # as nearly every line, and fast
    if NUMBERS_ROWS.match(text):
        return False
    text = text.lstrip('"')
    return text.startswith(COMMENTS) or (separator not in (None, ";") and text.startswith(";"))


def find_layout(lines: Sequence[str], *, skip_lines: int = 0) -> Layout:
    """Say how a file is to be read from its first lines.

    Parameters
    ----------
    lines : sequence of str
        The first lines of the file, its byte-order mark left out.
    skip_lines : int
        Lines at the beginning that the user says are not part of the table.

    Raises
    ------
    NoTableError
        If there is no table.
    csv.Error
        If a quote is not closed.
    """
    whole = _quotes_closed(lines)
    kept = [(k, line) for k, line in enumerate(whole) if k >= skip_lines and line.strip()]
    if not kept:
        raise NoTableError(
            "is empty; a recording needs at least one line of numbers, so move the file away"
        )
    header = [line for _, line in kept]
    kept = _after_labview(kept)
    header = header[: len(header) - len(kept)]
    if any(line.startswith("X_Dimension") and "Time" not in line for line in header):
        header = []  # its steps are of something else
    given = None
    for _, line in kept[:10]:
        if match := SEP_LINE.fullmatch(line.strip("\r\n")):
            given = {None: None, "\\t": "\t"}.get(match[1], match[1])
    kept = [(k, line) for k, line in kept if not SEP_LINE.fullmatch(line.strip("\r\n"))]
    body = [line for _, line in kept if not is_comment(line)][-BODY_LINES:]
    if not body:
        raise NoTableError("holds comments but no samples")
    words = Counter(_beside_pairs(_unstamped(line[:SEEN_OF_A_LINE])) for line in body)
    beside = words.most_common(1)[0][0]
    beside = "" if re.search(r"\d", beside) else beside
    _refuse_pairs_in_turn(body, [_names_paired(_unstamped(line), beside) for line in body])
    if _most(body, lambda line: bool(pair_cells(_unstamped(line), beside))):
        return _paired(kept, beside)
    wrapped = _most(body, lambda line: WRAPPED.fullmatch(line.strip()) is not None)
    if wrapped:
        kept = [(k, unwrapped(line)) for k, line in kept]
        body = [unwrapped(line) for line in body]
    with_units = given != " " and _most(body, _has_units)
    stamped = _stamp_kind(body)
    if stamped is not None:
        body = [_unstamped(line) for line in body]
    ended = not given and _most(body, _ends_with_semicolon)
    if ended:
        body = [line.rstrip().rstrip(";,") for line in body]
    written = dict(kept)
    if with_units:
        kept = [(k, _without_units(line)) for k, line in kept]
        body = [_without_units(line) for line in body]
    separator = given or _find_separator(body, [line for _, line in kept])
    comments = [line for _, line in kept if is_comment(line, separator)]
    rows = []
    for k, line in kept:
        if not (is_comment(line, separator) or is_rule(line) or SECTION.fullmatch(line)):
            text = line if stamped is None else _unstamped(line)
            rows.append((k, split_cells(text.rstrip().rstrip(";,") if ended else text, separator)))
    table = [cells for _, cells in rows[-BODY_LINES:] if any(map(is_value, cells))]
    if not table:
        for seen in reversed(body[-5:]):  # remarks may stand last
            for pattern, what in OTHER_FORMS:
                if found := pattern.search(seen.strip()[:SEEN_OF_A_LINE]):
                    raise NoTableError(f"has {found[0][:30]}, {what}")
        if (spoken := _spoken(written)) is not None:
            return spoken
        raise NoTableError(
            "holds names but no samples; move the file away" if len(rows) == 1
            else "holds no row of numbers; it looks like no recording, which has a line of numbers "
            "for each moment, a column a channel; dataset.files takes the others, if there are some"
        )  # fmt: skip
    has_numbers = any(is_number(cell) for cells in table for cell in cells)
    if not has_numbers and (spoken := _spoken(written)) is not None:  # words behind a clock
        return spoken
    width = Counter(map(len, table)).most_common(1)[0][0]
    table = [cells for cells in table if len(cells) == width]
    if _separator_at_end(rows, table, width):
        width -= 1
        rows = [(k, cells[:width] if len(cells) == width + 1 else cells) for k, cells in rows]
        table = [cells[:width] for cells in table]
    if rows[0][1][0] == "TOA5" and len(rows) > 4:  # Campbell's: names, units, kinds of means
        number, below = rows[2]
        rows = [rows[1], (number, [cell if _is_unit(cell) else "" for cell in below]), *rows[4:]]
    if lacks_last := _lacks_last(rows, width):
        width += 1
        rows = [(k, [*cells, ""] if len(cells) == width - 1 else cells) for k, cells in rows]
        table = [[*cells, ""] for cells in table]
    if (begun := _start_and_rate(rows)) is not None:
        numbered = tuple(position_name(position) for position in range(width))
        return Layout(
            separator, numbered, ("",) * width, False, rows[2][0], 0, frozenset(), {},
            ended=ended, start=begun[0], rate=begun[1],
        )  # fmt: skip
    _refuse_titles([cells for _, cells in rows], width)
    first = _first_row(rows, table, width)
    rows[:first] = [(k, c if any(c[width:]) else c[:width]) for k, c in rows[:first]]
    aside = _take_aside(rows, first, width)
    if first and _lacks_a_name(rows[first - 1][1], table):
        rows[first - 1] = (rows[first - 1][0], ["", *rows[first - 1][1]])
    above = [cells for _, cells in rows[:first]]
    _refuse_cut_lines(rows, first, width)
    numeric = _numeric(table, width)
    heads = [
        cells
        for k, cells in enumerate(above)
        if not _is_setting(cells, numeric) or _is_count(cells) or _numbers_channels(above[k:])
    ]
    before = [line for k, line in kept if k < rows[first][0]]
    names, units, used = _find_names(heads, comments, width, before)
    scraps = [cell for cell in table[0] if GLUED.search(cell) and not is_value(cell)]
    spoken = _spoken(written) if names is None and scraps else None
    if spoken is not None:
        more = len(spoken.names) - len(spoken.times) - len(numeric)
        across = any(sum(map(cell.count, "[({")) != sum(map(cell.count, "])}")) for cell in scraps)
        if more > (0 if across else len(numeric)):  # a bracket that ends in another cell
            return spoken
    if {"Field 1", "Value 1"} <= set(names or ()):
        raise NoTableError(
            "has names and values in turn, as Garmin's FitCSVTool writes them; run it with "
            "--data record, and take the file that ends with _data.csv"
        )
    named = names is not None
    names = names or [position_name(position) for position in range(width)]
    units = units or [""] * width
    body_rows = [cells for _, cells in rows[first:] if len(cells) >= width]
    texts, times, either = _find_kinds(body_rows, width)
    in_cells: dict[int, str] = {}
    if with_units and separator != " ":
        cells = split_cells(_unstamped(written[rows[first][0]]), separator)
        in_cells = {k: own[2] for k, cell in enumerate(cells) if (own := IN_UNIT.fullmatch(cell))}
        units = [in_cells.get(k, unit) for k, unit in enumerate(units)]
    before = [line for k, line in kept if k < rows[first][0]]
    if either and (order := _said_order(before)) is not None:
        times |= dict.fromkeys(either, order)
        either = frozenset()
    if stamped is not None:
        names, units = ["time", *names], ["ms" if stamped == "ms" else "", *units]
        texts = frozenset(position + 1 for position in texts)
        times = {position + 1: value for position, value in times.items()}
        times |= {0: None} if stamped == "clock" else {}
        either = frozenset(position + 1 for position in either)
        in_cells = {position + 1: unit for position, unit in in_cells.items()}
    return Layout(
        separator=separator,
        names=tuple(names),
        units=tuple(units),
        named=named,
        first=rows[first][0],
        passed_over=len(above) - used,
        texts=texts,
        times=times,
        stamped=stamped is not None,
        wrapped=wrapped,
        ended=ended,
        ruled=any(is_rule(line) for line in before),
        lacks_last=lacks_last,
        settings=tuple(
            c[0] for c in above if c[0] and 2 < len(c) == width and _is_setting(c, numeric)
        ),
        rate=_said_rate([*header, *before, *comments, *aside, *_beside(rows[first:], texts)]),
        either=either,
        in_cells=in_cells,
    )


def _names_paired(line: str, beside: str) -> tuple[str, ...]:
    """The names of a line's pairs; of a single one, with any unit behind its number."""
    names = tuple(name for name, *_ in pair_cells(line, beside))
    lone = None if names else LONE_PAIR.fullmatch(line)
    return names if lone is None else (lone[1],)


def _refuse_pairs_in_turn(lines: Sequence[str], paired: Sequence[tuple[str, ...]]) -> None:
    """Refuse what gives a moment on several lines, such as X: 0.1 and below it Y: 0.2."""
    kinds = Counter(filter(None, paired))
    turns = [names or (re.sub(r"\d", "", line),) for line, names in zip(lines, paired, strict=True)]
    turn = next((p for p in range(2, len(turns) // 2 + 1) if turns[p:] == turns[:-p]), 0)
    # Lines of a moment, of which some may have the same names, below words that tell them apart.
    each = len(list(filter(None, paired[:turn]))) or len(kinds)
    often = 2 * len(kinds) * min(kinds.values(), default=0) > len(lines)
    again = turn > 0 and 2 * kinds.total() > len(lines)
    if len(kinds) > 1 and (often or again) and len(lines) >= LEAST_IN_TURN:
        first = [names[0] for names in kinds]
        either = "|".join(map(re.escape, first)).replace("\\ ", " ")
        raise NoTableError(
            f"gives {', '.join(first[:6])} on lines of their own: put those of a moment on one, as "
            f"by: grep -E '({either}) *[:=]' OLD | paste -d' ' {' '.join('-' * each)} > NEW"
        )


def _quotes_closed(lines: Sequence[str]) -> list[str]:
    """Names in quotes that hold line breaks, as spreadsheets write them, on one line; those that
    this takes are left blank. A sign for inches closes nothing, and numbers are no names."""
    whole = list(lines)
    for k in range(min(len(whole), MOST_SETTINGS)):
        if whole[k].count('"') % 2 == 0:
            continue
        joined = whole[k]
        for after in range(k + 1, min(k + 1 + MOST_BREAKS, len(whole))):
            if re.match(r"\s*[-+.\d]", whole[after]):
                break
            joined = f"{joined.rstrip()} {whole[after].lstrip()}"
            if joined.count('"') % 2 == 0:
                whole[k : after + 1] = [joined, *[""] * (after - k)]
                break
    return whole


def _after_labview(kept: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Without the headers of LabVIEW's .lvm, and the name of a column that only comments are in."""
    ends = [at for at, (_, line) in enumerate(kept) if line.startswith(LABVIEW_END)]
    if not ends:
        return kept
    # One for the file, one for its channels; more begin the next segment.
    (number, names), *rows = kept[ends[:2][-1] + 1 :] or [(0, "")]
    bare = re.sub(r"\s*\bComment\s*$", "", names)
    if any(bare.count("\t") < line.rstrip().count("\t") for _, line in rows):
        return [(number, names), *rows]
    return [(number, bare), *rows]


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


def _numbers_channels(rows: Sequence[list[str]]) -> bool:
    """Whether a row such as x-axis,1,2 names columns: the channels by number, their units below."""
    if len(rows) != 2 or not 1 < len(rows[0]) == len(rows[1]) or not all(map(_is_unit, rows[1])):
        return False
    numbers = rows[0][1:]
    rising = all(number.isdigit() for number in numbers) and len(numbers[0]) < 3
    return rising and all(int(before) < int(after) for before, after in pairwise(numbers))


def _take_aside(rows: list[tuple[int, list[str]]], first: int, width: int) -> list[str]:
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


def _beside(rows: Sequence[tuple[int, list[str]]], texts: frozenset[int]) -> list[str]:
    """What stands in columns of words beside the first rows, as Sample Interval,4e-07 does."""
    return [
        f"{cells[k]} {cells[k + 1]}"
        for _, cells in rows[:MOST_SETTINGS]
        for k in texts
        if k + 1 in texts and len(cells) > k + 1 and cells[k]
    ]


def _said_order(lines: Sequence[str]) -> bool | None:
    """Whether the day comes before the month, where a line says how dates are written."""
    found = {match["first"][0] in "dD" for line in lines for match in DATE_FORM.finditer(line)}
    return found.pop() if len(found) == 1 else None


def _said_rate(lines: Sequence[str]) -> float | None:
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
        if (step := STEP.search(line[:SEEN_OF_A_LINE])) and float(step["step"]):
            unit = UNITS_OF_TIME[(step["unit"] or "s").lower()]
            rates.add(float(f"{1 / (float(step['step']) * SECONDS[unit]):.9g}"))
    return rates.pop() if len(rates) == 1 and 0 not in rates else None


def _start_and_rate(rows: Sequence[tuple[int, list[str]]]) -> tuple[float, float] | None:
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


def _has_units(line: str) -> bool:
    return any(IN_UNIT.fullmatch(cell.strip(' "')) for cell in re.split(r"[,;\t|]", line))


def _without_units(line: str) -> str:
    """Cells such as "0.12 g" as numbers, for what else is to be told of a file."""
    parts = re.split(r"([,;\t|])", line)
    return "".join(
        IN_UNIT.sub(r"\1", part) if IN_UNIT.fullmatch(part.strip(' "')) else part for part in parts
    )


def _most(lines: Sequence[str], holds: Callable[[str], bool]) -> bool:
    return sum(map(holds, lines)) >= 0.8 * len(lines)


def is_rule(line: str) -> bool:
    bare = re.sub(r"\s", "", line)
    return ("--" in bare and RULE.issuperset(bare)) or DASHES.fullmatch(bare) is not None


def unwrapped(line: str) -> str:
    """A row without the brackets around it."""
    found = WRAPPED.fullmatch(line.strip())
    return line if found is None else f"{found[1].strip()}\n"


def _unstamped(line: str) -> str:
    found = STAMP.match(line)
    return line if found is None else line[found.end() :]


def _stamp_kind(lines: Sequence[str]) -> str | None:
    """What lines begin with: "clock" (a time of day), "ms", or "up" (since the start), or None."""
    kinds = Counter(found.lastgroup for line in lines if (found := STAMP.match(line)))
    return kinds.most_common(1)[0][0] if kinds.total() >= 0.8 * len(lines) else None


def stamp_of(line: str) -> tuple[str, str]:
    """The clock that a line begins with, "" without, and the rest of it."""
    found = STAMP.match(line)
    return ("", line) if found is None else (str(found[str(found.lastgroup)]), line[found.end() :])


def _ends_with_semicolon(line: str) -> bool:
    """As in 33,Jogging,-0.69,12.68; and not in -0,69;12,68; where commas are decimal points."""
    records = [record for record in line.strip().split(";") if record.strip(" ,")]
    return line.rstrip().endswith(";") and all(record.count(",") > 1 for record in records)


def _separator_at_end(
    rows: Sequence[tuple[int, list[str]]], table: Sequence[list[str]], width: int
) -> bool:
    """Whether each row ends with a separator, and no column's name stands behind it."""
    if width < 2 or any(cells[-1] for cells in table):
        return False
    return not any(len(c) == width and c[-1] and not any(map(is_value, c)) for _, c in rows)


def _lacks_last(rows: Sequence[tuple[int, list[str]]], width: int) -> bool:
    """Whether names and the first row have a cell more than the others, as the number of the device
    that stands there once."""
    return any(
        len(names) == len(cells) == width + 1
        and cells[-1] != ""
        and any(map(is_value, cells))
        and not any(map(is_value, names))
        for (_, names), (_, cells) in pairwise(rows[:MOST_SETTINGS])
    )


def _find_separator(body: Sequence[str], lines: Sequence[str]) -> str:
    """The one that cuts the lines into equally many cells, the names above them too, and most of
    the cells are numbers."""
    best, best_score = ",", (0.0, False, 0.0)
    for separator in SEPARATORS:
        try:
            table = [
                split_cells(line, separator) for line in body if not is_comment(line, separator)
            ]
        except csv.Error:
            continue
        several = [cells for cells in table if len(cells) > 1]
        if separator == ";" and all(len(c) == 2 and c[0] == "" for c in several):
            continue  # it begins comments
        if not table:
            continue
        counts = Counter(len(cells) - (cells[-1:] == [""] and len(cells) > 1) for cells in table)
        width, alike = counts.most_common(1)[0]
        if width < 2:
            continue
        cells = [
            cell
            for row in table
            if len(row) == width or (len(row) == width + 1 and row[-1] == "")
            for cell in row
        ]
        if not cells:
            continue
        values = sum(is_value(cell) or is_missing(cell) for cell in cells) / len(cells)
        if separator == " " and values < 0.5:
            continue  # words
        share = round(alike / len(body), 1)
        score = (share, _names_fit(lines, separator, width), round(values, 1))
        if score > best_score:
            best, best_score = separator, score
    return best


def _names_fit(lines: Sequence[str], separator: str, width: int) -> bool:
    """Whether somewhere as many words as the rows have cells stand above as many numbers."""
    above: list[str] = []
    more = 0
    for line in lines[: MOST_SETTINGS + 1]:
        try:
            cells = split_cells(line.rstrip().rstrip(separator), separator)
        except csv.Error:
            continue
        empty = len(line.rstrip()) - len(line.rstrip().rstrip(separator))  # below the last names
        has_numbers = any(map(is_value, cells))
        if has_numbers and len(cells) == len(above) == width:
            return True
        if has_numbers and empty and len(cells) + empty == len(above) + more == width + 1:
            return True
        above, more = ([], 0) if has_numbers else (cells, empty)
    return False


def _first_row(
    rows: Sequence[tuple[int, list[str]]], table: Sequence[list[str]], width: int
) -> int:
    """The index of the first row of the table: as many cells, and numbers where numbers are."""
    numeric = _numeric(table, width)

    def is_row(cells: Sequence[str]) -> bool:
        if _is_setting(cells, numeric):
            return False
        if len(cells) != width and not (len(cells) == width + 1 and cells[-1] == ""):
            return False
        known = sum(is_value(cells[p]) or is_missing(cells[p]) for p in numeric)
        return any(map(is_value, cells)) and 2 * known >= len(numeric)

    for index, (_, cells) in enumerate(rows):
        after = rows[index + 1 :]
        if not is_row(cells) or _counts_columns(cells, after):
            continue
        # "Rate,50" above "time,x" is about the device; a row above a damaged line is a row.
        whole = all(is_value(cells[p]) or is_missing(cells[p]) for p in numeric)
        reach = 1 if whole else MOST_SETTINGS
        names_follow = any(
            len(names) == width and not any(map(is_value, names)) and is_row(following)
            for (_, names), (_, following) in pairwise(after[: reach + 2])
        )
        if not names_follow:
            return index
    for index, (_, cells) in enumerate(rows):
        if is_row(cells):
            return index
    raise NoTableError("holds no row of numbers, only names and settings")


def _lacks_a_name(names: Sequence[str], table: Sequence[list[str]]) -> bool:
    """Whether R's numbers of the rows stand before all columns, and have no name."""
    if len(names) != len(table[0]) - 1 or any(map(is_value, names)):
        return False
    numbers = [cells[0] for cells in table]
    if not all(number.isdigit() for number in numbers):
        return False
    return all(int(after) == int(before) + 1 for before, after in pairwise(numbers))


def _refuse_titles(rows: Sequence[list[str]], width: int) -> None:
    """Refuse a word on a line of its own above each of several cases."""
    places = [k for k, cells in enumerate(rows) if len(cells) == 1 != width and cells[0]]
    words = [rows[k][0] for k in places]
    lengths = Counter(after - k - 1 for k, after in pairwise([*places, len(rows)]))
    length, count = max(lengths.most_common(1), default=(0, 0))
    if len(words) > 2 and length > 2 and count > 0.8 * len(words) and not any(map(is_value, words)):
        raise NoTableError(
            f"has a word ({', '.join(dict.fromkeys(words[:3]))}) on a line of its own above each "
            f"{length} rows: put it beside them, as by: awk 'NF==1{{word=$1; k++; next}} "
            "NF{$1=$1; print k, word, $0}' OLD > NEW; if it is the class, take it with "
            f"dataset.group_column=0 dataset.label_column=1 dataset.length={length}"
        )


def _numeric(table: Sequence[list[str]], width: int) -> list[int]:
    return [p for p in range(width) if 2 * sum(is_value(c[p]) for c in table) >= len(table)]


def _is_setting(cells: Sequence[str], numeric: Sequence[int]) -> bool:
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


def _refuse_cut_lines(rows: Sequence[tuple[int, list[str]]], first: int, width: int) -> None:
    """Refuse what is no preamble but damage: numbers in too few cells, names for other columns."""
    for number, cells in reversed(rows[:first]):
        if len(cells) != width and all(is_number(cell) for cell in cells if cell):
            raise NoTableError(
                f"line {number + 1} has {len(cells)} cells, but the lines after it have {width}: "
                "it is cut short or not part of the table; delete it, or pass over it with "
                f"dataset.skip_lines={number + 1}"
            )
    if first:
        number, cells = rows[first - 1]
        apart = width > 1 and abs(len(cells) - width) == 1  # "Unit,mV" may be above one column
        if len(cells) > 1 and apart and not any(map(is_value, cells)):
            raise NoTableError(
                f"line {rows[first][0] + 1} has {width} cells, but line {number + 1} has "
                f"{len(cells)} names; every line must have as many cells, or pass over the lines "
                f"before the table with dataset.skip_lines={number + 1}"
            )


def _counts_columns(cells: Sequence[str], after: Sequence[tuple[int, list[str]]]) -> bool:
    """Whether a line is the header 0, 1, 2 … that pandas writes for columns without names."""
    if sum(map(is_value, cells)) < 3 or not _is_count(cells) or not after:
        return False
    words = {(k, cell) for k, cell in enumerate(cells) if cell and not is_value(cell)}
    if any((k, cell) in words for _, row in after for k, cell in enumerate(row)):
        return False
    return not all(cell.isdigit() for _, row in after for cell in row if is_value(cell))


def _find_names(
    above: Sequence[list[str]], comments: Sequence[str], width: int, lines: Sequence[str]
) -> tuple[list[str] | None, list[str] | None, int]:
    """Names and units from the lines above the first row, and how many of those were used."""
    block: list[list[str]] = []
    for first, *titles in above:
        if first == "ChannelTitle=" and len(titles) == width - 1:  # of LabChart
            return ["time", *titles], None, 1
    for cells in reversed([_numbered_on(cells) for cells in above]):
        words = not any(map(is_value, cells)) or _is_count(cells)
        words = words or (cells is above[-2:][0] and _numbers_channels(above[-2:]))
        words = words and not any(map(SETTING_CELL.fullmatch, cells))
        if len(cells) != width or len(block) == 4 or not words:
            break
        block.insert(0, cells)
    units, used = None, 0
    for k in range(1, len(block) - 1):
        if _are_units(block[k], block[k - 1]):  # and below, such as where the numbers come from
            used += len(block) - k - 1
            del block[k + 1 :]
            break
    if len(block) > 1 and block[-1][0] == "1" and _is_count(block[-1]):
        block.pop()
        used = 1
    if len(block) > 1 and _are_units(block[-1], block[-2]):
        units, used = [_bare_unit(c) if _is_unit(c) else "" for c in block.pop()], used + 1
        while len(block) > 1 and len(set(block[-1])) < len(set(block[-2])):
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
            return over, [_bare_unit(cell) if _is_unit(cell) else "" for cell in cells], 0
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
    if all(map(_is_unit, cells[cells[0].lower() in ("unit", "units") :])):
        return True
    if all(re.fullmatch(r"(\[.*\])?", cell) for cell in cells) and any(cells):
        return not any(cell.startswith("[") for cell in above)
    known, others = (sum(c != "" and _is_unit(c) for c in row) for row in (cells, above))
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


def _is_unit(cell: str) -> bool:
    text = _bare_unit(cell).lower()
    return text == "" or text in UNITS or TIME_FORM.fullmatch(text) is not None


def _is_count(cells: Sequence[str]) -> bool:
    """0, 1, 2 … as pandas writes for columns without names, or 1, 2, 3 … below names; three or more
    may have words beside them, as the label's name."""
    counted = [cell for cell in cells if is_value(cell)]
    if len(counted) < 3 and len(counted) < sum(map(bool, cells)):
        return False
    first = counted[:1] == ["1"] and len(counted) > 2
    return counted == [str(k + first) for k in range(len(counted))]


def _find_kinds(
    table: Sequence[list[str]], width: int
) -> tuple[frozenset[int], dict[int, bool | None], frozenset[int]]:
    texts, times, either = set(), {}, set()
    for position in range(width):
        every = [row[position] for row in table]
        cells = [c for c in every[-BODY_LINES:] if not is_missing(c)]
        if not cells and not all(is_value(c) or is_missing(c) for c in every):
            texts.add(position)  # said in the first rows alone
            continue
        bits = all(map(BITS.fullmatch, cells)) and any(cell[0] == "0" for cell in cells)
        other = all(map(BYTES.fullmatch, cells)) and not all(map(is_number, cells))
        if len(set(map(len, cells))) == 1 and (bits or other):
            texts.add(position)
            continue
        if not cells or any(map(is_number, cells)):
            continue
        if 2 * sum(map(dates.is_time, cells)) > len(cells):
            times[position], is_told = dates.day_first(cells)
            if not is_told:
                either.add(position)
        else:
            texts.add(position)
    return frozenset(texts), times, frozenset(either)


def _paired(kept: Sequence[tuple[int, str]], beside: str) -> Layout:
    """Of lines such as ax:0.1,ay:0.2."""
    lines = [(k, line) for k, line in kept if not is_comment(line)]
    rows = [(k, line, pair_cells(_unstamped(line), beside)) for k, line in lines]
    names_of = [tuple(name for name, *_ in pairs) for *_, pairs in rows]
    usual = Counter(own for own in names_of[-BODY_LINES:] if own).most_common(1)[0][0]
    number, line, pairs = rows[names_of.index(usual)]
    stamped = STAMP.match(line)
    names = [name for name, *_ in pairs]
    units = [unit for *_, unit in pairs]
    if stamped is not None:
        names, units = ["time", *names], ["ms" if stamped["ms"] else "", *units]
    return Layout(
        separator=",",
        names=tuple(names),
        units=tuple(units),
        named=True,
        first=number,
        passed_over=sum(k < number for k, *_ in rows),
        texts=frozenset(),
        times={0: None} if stamped is not None and stamped["clock"] else {},
        stamped=stamped is not None,
        paired=True,
        beside=beside,
    )


def _spoken(lines: Mapping[int, str]) -> Layout | None:
    """Of lines with numbers among words, by their number; None where they are other."""
    sentence = find_sentence(list(lines.values())[-BODY_LINES:])
    if sentence is None:
        return None
    first = next(k for k, line in lines.items() if sentence.cells(line) is not None)
    if any(pattern.search(lines[first]) for pattern, _ in OTHER_FORMS):
        return None
    return Layout(
        separator=",",
        names=sentence.names,
        units=("",) * len(sentence.names),
        named=True,
        first=first,
        passed_over=sum(k < first for k in lines),
        texts=frozenset(),
        times=dict.fromkeys(sentence.clocks),
        sentence=sentence,
    )
