"""How a text file holds its table: what separates cells, where names stand, what comes first.

Loggers, apps and spreadsheets put comments, lines about the device, names and units before the
numbers; the lines that come after them, which are all alike, say what is what.
"""

import csv
import functools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from raspitrain.data.files import date_shapes
from raspitrain.data.files.cells import (
    IN_UNIT,
    PRINTED,
    STAMP,
    WRAPPED,
    beside_pairs,
    has_units,
    is_comment,
    is_number,
    is_rule,
    is_value,
    pair_cells,
    position_name,
    split_cells,
    stamp_kind,
    stamp_of,
    unprinted,
    unstamped,
    unwrapped,
    without_units,
)
from raspitrain.data.files.headings import (
    A_SAMPLE,
    MOST_SETTINGS,
    SEEN_OF_A_LINE,
    find_names,
    is_count,
    is_setting,
    is_unit,
    numbers_after_time,
    numbers_channels,
    said_beside,
    said_order,
    said_rate,
    start_and_rate,
    take_aside,
)
from raspitrain.data.files.missing import is_missing
from raspitrain.data.files.no_table import (
    OTHER_FORMS,
    NoTableError,
    names_paired,
    on_one_line,
    refuse_cut_lines,
    refuse_pairs_in_turn,
    refuse_titles,
)
from raspitrain.data.files.sentences import Sentence, find_sentence, in_turn, numbered

SEPARATORS = ("\t", ";", ",", "|", " ")  # commas may be decimal points between tabs or semicolons
OF_CHANNELS = re.compile(r"\d{1,3} channels")
MOST_ABOVE_CHANNELS = 10
LABVIEW_END = "***End_of_Header***"
BODY_LINES = 60  # looked at to tell what is what
PLAIN = r"[-+]?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?"
MOST_BREAKS = 40  # of names in quotes
SECTION = re.compile(r"\s*\[[A-Za-z][\w ]*\]\s*")  # [data]
SEP_LINE = re.compile(r"\"?sep=(\\t|[,;\t| ])?\"?", re.IGNORECASE)
BITS = re.compile(r"[01]{4,}")  # of a logic analyser: no number
BYTES = re.compile(r"[\dA-F]{8,}", re.IGNORECASE)  # as they came: some look like numbers
GLUED = re.compile(r"[^\W\d_](?:\s?[:=]\s?| )[-+]?\d|[\[(]\s*[-+.]?\d|\d\s*[\])]")  # scraps


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
    wrapped, printed : bool
        Brackets are around each row; it is what Python prints of bytes.
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
    printed: bool = False
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
    head = _above_plain_rows(lines)
    if head is not None:
        try:
            found = _find_above(*head, skip_lines)
        except (NoTableError, csv.Error):  # to be said of the lines as they are
            return _find(lines, skip_lines)
        if found.named and found.first == len(head[0]):
            return found
    return _find(lines, skip_lines)


def _above_plain_rows(lines: Sequence[str]) -> tuple[tuple[str, ...], str, int, int] | None:
    """The lines above the rows, the separator, the cells a row and how many of the rows are looked
    at, where below the names there are plain numbers alone, as in most files; None elsewhere."""
    separator = next((sign for sign in SEPARATORS if lines and sign in lines[-1]), None)
    if separator is None:
        return None
    width = lines[-1].count(separator) + 1
    row = _plain_row(separator, width)
    first = len(lines)
    while first and row.fullmatch(lines[first - 1]):
        first -= 1
    if not 0 < first < len(lines) or is_count(lines[first].split(separator)):
        return None
    names = lines[first - 1].split(separator)
    if len(names) != width or any(is_value(name.strip()) for name in names):
        return None
    return tuple(lines[:first]), separator, width, min(len(lines) - first, BODY_LINES)


@functools.lru_cache(maxsize=64)
def _plain_row(separator: str, width: int) -> re.Pattern[str]:
    return re.compile(f"{PLAIN}(?:{re.escape(separator)}{PLAIN}){{{width - 1}}}")


@functools.lru_cache(maxsize=64)
def _find_above(
    head: tuple[str, ...], separator: str, width: int, num_rows: int, skip_lines: int
) -> Layout:
    """Of plain rows, which say no more than that they are: once for thousands of files alike."""
    row = separator.join(["0.5"] * width)
    return _find([*head, *[row] * num_rows], skip_lines)


def _find(lines: Sequence[str], skip_lines: int) -> Layout:
    if printed := _most([line for line in lines if line.strip()], _is_printed):
        lines = [*map(unprinted, lines)]
    return replace(_find_written(lines, skip_lines), printed=printed)


def _find_written(lines: Sequence[str], skip_lines: int) -> Layout:
    whole = _quotes_closed(lines)
    kept = [(k, line) for k, line in enumerate(whole) if k >= skip_lines and line.strip()]
    if not kept:
        raise NoTableError(
            "is empty; a recording needs at least one line of numbers, so move the file away"
        )
    header = [line for _, line in kept]
    kept = _after_acqknowledge(_after_labview(kept))
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
    if any(":" in line or "=" in line for line in body):
        bare = [unstamped(line) for line in body]
        words = Counter(beside_pairs(line[:SEEN_OF_A_LINE]) for line in bare)
        beside = words.most_common(1)[0][0]
        beside = "" if re.search(r"\d", beside) else beside
        refuse_pairs_in_turn(body, [names_paired(line, beside) for line in bare])
        if _most(bare, lambda line: bool(pair_cells(line, beside))):
            return _paired(kept, beside)
    wrapped = _most(body, lambda line: WRAPPED.fullmatch(line.strip()) is not None)
    if wrapped:
        kept = [(k, unwrapped(line)) for k, line in kept]
        body = [unwrapped(line) for line in body]
    with_units = given != " " and _most(body, has_units)
    stamped = stamp_kind(body)
    if stamped is not None:
        body = [unstamped(line) for line in body]
    ended = not given and _most(body, _ends_with_semicolon)
    if ended:
        body = [line.rstrip().rstrip(";,") for line in body]
    written = dict(kept)
    if with_units:
        kept = [(k, without_units(line)) for k, line in kept]
        body = [without_units(line) for line in body]
    separator = given or _find_separator(body, [line for _, line in kept])
    comments = [line for _, line in kept if is_comment(line, separator)]
    rows = []
    for k, line in kept:
        if not (is_comment(line, separator) or is_rule(line) or SECTION.fullmatch(line)):
            text = line if stamped is None else unstamped(line)
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
        rows = [rows[1], (number, [cell if is_unit(cell) else "" for cell in below]), *rows[4:]]
    if lacks_last := _lacks_last(rows, width):
        width += 1
        rows = [(k, [*cells, ""] if len(cells) == width - 1 else cells) for k, cells in rows]
        table = [[*cells, ""] for cells in table]
    if (begun := start_and_rate(rows)) is not None:
        numbered = tuple(position_name(position) for position in range(width))
        return Layout(
            separator, numbered, ("",) * width, False, rows[2][0], 0, frozenset(), {},
            ended=ended, start=begun[0], rate=begun[1],
        )  # fmt: skip
    refuse_titles([cells for _, cells in rows], width)
    first = _first_row(rows, table, width)
    drawn = {k for k, line in kept if "--" in line and is_rule(line)}
    if rows[first][0] + 1 in drawn and first + 1 < len(rows):
        first += 1  # numbers of channels, with a line below them
    rows[:first] = [(k, c if any(c[width:]) else c[:width]) for k, c in rows[:first]]
    aside = take_aside(rows, first, width)
    if first and _lacks_a_name(rows[first - 1][1], table):
        rows[first - 1] = (rows[first - 1][0], ["", *rows[first - 1][1]])
    if first and rows[first - 1][1]:
        _fill_names(rows[first - 1][1], table)
    above = [cells for _, cells in rows[:first]]
    refuse_cut_lines(rows, first, width)
    numeric = _numeric(table, width)
    heads = [
        cells
        for k, cells in enumerate(above)
        if not is_setting(cells, numeric)
        or is_count(cells)
        or numbers_channels(above[k:])
        or numbers_after_time(cells)
    ]
    before = [line for k, line in kept if k < rows[first][0]]
    said = [line for line in comments if not line.lstrip().startswith("--")]
    names, units, used = find_names(heads, said, width, before)
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
        cells = split_cells(unstamped(written[rows[first][0]]), separator)
        in_cells = {k: own[2] for k, cell in enumerate(cells) if (own := IN_UNIT.fullmatch(cell))}
        units = [in_cells.get(k, unit) for k, unit in enumerate(units)]
    before = [line for k, line in kept if k < rows[first][0]]
    if either and (order := said_order(before)) is not None:
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
            c[0] for c in above if c[0] and 2 < len(c) == width and is_setting(c, numeric)
        ),
        rate=said_rate([*header, *before, *comments, *aside, *said_beside(rows[first:], texts)]),
        either=either,
        in_cells=in_cells,
    )


def cells_of(found: Layout, line: str) -> list[list[str]]:
    """The cells of each row in a line that is neither blank nor a comment; none where its words are
    other than those of a sentence.

    Raises
    ------
    ValueError
        Pairs have other names or units than those before; its text ends "the line …".
    csv.Error
        A quote is not closed.
    """
    if found.printed:
        line = unprinted(line)
    if found.wrapped:
        line = unwrapped(line)
    stamp = []
    if found.stamped:
        clock, line = stamp_of(line)
        stamp = [clock]
    if found.sentence is not None:
        cells = found.sentence.cells(line)
        return [] if cells is None else [cells]
    if found.paired:
        return [[*stamp, *_paired_cells(found, line, len(stamp))]]
    records = [r.rstrip().rstrip(",") for r in line.split(";")] if found.ended else [line]
    rows = [[*stamp, *split_cells(record, found.separator)] for record in records if record.strip()]
    for cells in rows:
        if len(cells) == len(found.names) + 1 and not cells[-1].strip():
            cells.pop()
        if found.lacks_last and len(cells) == len(found.names) - 1:
            cells.append("")
    return rows


def _paired_cells(found: Layout, line: str, num_stamps: int) -> list[str]:
    pairs = pair_cells(line, found.beside)
    names = found.names[num_stamps:]
    if numbered([name for name, *_ in pairs]) != names:
        raise ValueError(
            f"should give {', '.join(names)}, each as name:value, and is {line.strip()[:40]!r}"
        )
    if tuple(unit for *_, unit in pairs) != found.units[num_stamps:]:
        raise ValueError(f"has other units than the first ({line.strip()[:40]!r})")
    return [value for _, value, _ in pairs]


def without_unit(cell: str, unit: str) -> str:
    """The number of a cell such as "0.12 g"; the cell itself where the unit is another."""
    found = IN_UNIT.fullmatch(cell.strip())
    return str(found[1]) if found is not None and found[2] == unit else cell


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


def _after_acqknowledge(kept: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Biopac's texts have a line for the name of each channel and one for its unit, then CH1, CH2,
    …, and below these how many samples there are: names and units instead of these two."""
    head = kept[:MOST_ABOVE_CHANNELS]
    at = next((k for k, (_, line) in enumerate(head) if OF_CHANNELS.fullmatch(line.strip())), 0)
    if not at or not A_SAMPLE.search(kept[at - 1][1]):
        return kept
    stop = at + 1 + 2 * int(kept[at][1].split()[0])
    own = [line.strip() for _, line in kept[at + 1 : stop]]
    if len(kept) < stop + 3:
        return kept
    (number, channels), (below, _), *rows = kept[stop:]
    cells = channels.rstrip().split("\t")
    lead = cells[: len(cells) - len(own) // 2]
    names, units = [*lead, *own[::2]], [*("" for _ in lead), *own[1::2]]
    return [(number, "\t".join(names)), (below, "\t".join(units)), *rows]


def _is_printed(line: str) -> bool:
    return PRINTED.search(line) is not None


def _most(lines: Sequence[str], holds: Callable[[str], bool]) -> bool:
    return sum(map(holds, lines)) >= 0.8 * len(lines)


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
        if is_setting(cells, numeric) or numbers_after_time(cells):
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


def _numeric(table: Sequence[list[str]], width: int) -> list[int]:
    return [p for p in range(width) if 2 * sum(is_value(c[p]) for c in table) >= len(table)]


def _counts_columns(cells: Sequence[str], after: Sequence[tuple[int, list[str]]]) -> bool:
    """Whether a line is the header 0, 1, 2 … that pandas writes for columns without names."""
    if sum(map(is_value, cells)) < 3 or not is_count(cells) or not after:
        return False
    words = {(k, cell) for k, cell in enumerate(cells) if cell and not is_value(cell)}
    if any((k, cell) in words for _, row in after for k, cell in enumerate(row)):
        return False
    return not all(cell.isdigit() for _, row in after for cell in row if is_value(cell))


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
        if not cells or (any(map(is_number, cells)) and not _are_codes(cells)):
            continue
        if 2 * sum(map(date_shapes.is_time, cells)) > len(cells):
            times[position], is_told = date_shapes.day_first(cells)
            if not is_told:
                either.add(position)
        else:
            texts.add(position)
    return frozenset(texts), times, frozenset(either)


def _fill_names(names: list[str], table: Sequence[list[str]]) -> None:
    """Go on without names where all columns behind the last one are empty."""
    there = any(cell for cells in table for cell in cells[len(names) :])
    if 1 < len(names) < len(table[0]) and not there and not any(map(is_value, names)):
        names += [""] * (len(table[0]) - len(names))


def _are_codes(cells: Sequence[str]) -> bool:
    """Whether the same few words come again and again, most of them no number, such as 10C and 24:
    what else a column of numbers may hold is one word, as where a sensor is overloaded."""
    words = [cell for cell in cells if not is_value(cell)]
    return 2 * len(words) > len(cells) > 4 * len(set(cells)) and len(set(words)) > 1


def _paired(kept: Sequence[tuple[int, str]], beside: str) -> Layout:
    """Of lines such as ax:0.1,ay:0.2."""
    lines = [(k, line) for k, line in kept if not is_comment(line)]
    rows = [(k, line, pair_cells(unstamped(line), beside)) for k, line in lines]
    names_of = [tuple(name for name, *_ in pairs) for *_, pairs in rows]
    usual = Counter(own for own in names_of[-BODY_LINES:] if own).most_common(1)[0][0]
    number, line, pairs = rows[names_of.index(usual)]
    stamped = STAMP.match(line)
    names = [*numbered(usual)]
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
    body = list(lines.values())[-BODY_LINES:]
    if leads := in_turn(body):
        raise NoTableError(f"gives {', '.join(leads)} {on_one_line(leads, '', len(leads))}")
    sentence = find_sentence(body)
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
