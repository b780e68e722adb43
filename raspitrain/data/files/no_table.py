"""Text files with numbers that are no table which we read, and how one is made of each."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from raspitrain.data.files.cells import is_number, is_value, pair_cells
from raspitrain.data.files.date_shapes import is_time
from raspitrain.data.files.missing import FROM_HEX, HEX

LEAST_IN_TURN = 8  # lines
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
        re.compile(r"^[A-Z]-?\d+(?:\.\d+)?$"),
        "a letter in front of a number; take those behind one of the letters, as by: sed -n "
        "'s/^S//p' OLD > NEW",
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
        "cell, as by: sed -E 's/ [0-9]+:/ /g' OLD > NEW (where no row leaves columns out), for "
        "dataset=rows dataset.label_column=0",
    ),
    (HEX, f"a number in base 16; {FROM_HEX}"),
)
LONE_PAIR = re.compile(
    r"\s*([^\W\d][\w .()/°%-]*?)\s*[:=]\s*[-+]?\d*\.?\d+\s?[^\s\d.,;:=]{1,9}\s*"
)  # with any unit


class NoTableError(ValueError):
    """No rows of numbers are there; its text ends the sentence "FILE …"."""


def unfold(first: int) -> str:
    """How one signal is written that goes on from line to line, `first` its first line."""
    return (
        f"write one sample a line, as by: awk 'NR < {first} {{print; next}} "
        '{gsub(",", " "); for (i = 1; i <= NF; i++) print $i}\' OLD > NEW'
    )


def names_paired(line: str, beside: str) -> tuple[str, ...]:
    """The names of a line's pairs; of a single one, with any unit behind its number."""
    names = tuple(name for name, *_ in pair_cells(line, beside))
    lone = None if names else LONE_PAIR.fullmatch(line)
    return names if lone is None else (lone[1],)


def refuse_pairs_in_turn(lines: Sequence[str], paired: Sequence[tuple[str, ...]]) -> None:
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
        shown = ", ".join(first[:6])
        raise NoTableError(f"gives {shown} {on_one_line(first, ' *[:=]', each)}")


def on_one_line(leads: Sequence[str], behind: str, each: int) -> str:
    """How lines that begin or are named so are put together, `each` of them a moment."""
    either = "|".join(map(re.escape, leads)).replace("\\ ", " ")
    return (
        "on lines of their own: put those of a moment on one, as by: tr -d '\\r' < OLD | grep -E "
        f"'({either}){behind}' | paste -d' ' {' '.join('-' * each)} > NEW"
    )


def refuse_titles(rows: Sequence[list[str]], width: int) -> None:
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


def refuse_cut_lines(rows: Sequence[tuple[int, list[str]]], first: int, width: int) -> None:
    """Refuse what is no preamble but damage: numbers in too few cells, names for other columns. One
    such line and no names above it are the end of one that was being sent as the log began."""
    cut = [(number, c) for number, c in rows[:first] if len(c) != width and _are_numbers(c)]
    alone = len(cut) == 1 and cut[0] == rows[first - 1] and len(cut[0][1]) < width
    if cut and not (alone and all(len(cells) != width for _, cells in rows[: first - 1])):
        number, cells = cut[-1]
        raise NoTableError(
            f"line {number + 1} has {len(cells)} cells, but the lines after it have {width}: "
            "it is cut short or not part of the table; delete it, or pass over it with "
            f"dataset.skip_lines={number + 1}"
        )
    if first:
        number, cells = rows[first - 1]
        apart = width > 1 and abs(len(cells) - width) == 1  # "Unit,mV" may be above one column
        if len(cells) > 1 and apart and not any(map(is_value, cells)):
            remedy = (
                "every line must have as many cells, or pass over the lines before the table with "
                f"dataset.skip_lines={number + 1}"
            )
            for clock, rest in pairwise(rows[first][1]):
                if len(cells) < width and is_time(clock) and re.fullmatch(r"\d{3}|\d{6}", rest):
                    remedy = (
                        f"the comma in {clock},{rest} cuts the time in two: write a point there, "
                        "as by: sed -E 's/(:[0-9]{2}),([0-9]{3})/\\1.\\2/' OLD > NEW"
                    )
            raise NoTableError(
                f"line {rows[first][0] + 1} has {width} cells, but line {number + 1} has "
                f"{len(cells)} names; {remedy}"
            )


def _are_numbers(cells: Sequence[str]) -> bool:
    return all(is_number(cell) for cell in cells if cell)
