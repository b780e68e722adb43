"""A table of numbers from a text file, as sensor loggers really write them.

Separated by comma, semicolon, tab, bar or blanks; with or without names, units, comments, lines
about the device, a decimal comma, a separator at each line's end, missing cells, the serial
monitor's clock, NUL bytes where the power was cut. What is not understood is refused with file,
line and column.
"""

import csv
import gzip
import io
import os
import re
import sys
import zlib
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from operator import itemgetter
from pathlib import Path

import numpy as np

from raspitrain.data.files import csv_rows, dates
from raspitrain.data.files.cells import (
    is_comment,
    is_number,
    is_rule,
    is_value,
    position_name,
)
from raspitrain.data.files.endings import PACKED
from raspitrain.data.files.layout import Layout, cells_of, find_layout, without_unit
from raspitrain.data.files.missing import is_missing
from raspitrain.data.files.no_table import DECODE, FRAME, NoTableError, unfold
from raspitrain.data.files.npy_file import open_file
from raspitrain.data.files.sentences import Sentence
from raspitrain.errors import InputError, counted, input_error
from raspitrain.hardware.board import available_memory
from raspitrain.hardware.memory import memory_error
from raspitrain.nearest import nearest

BLOCK_BYTES = 1 << 20
NEWLINE = ord("\n")
SMALL = 1 << 23  # bytes of numbers, of which nobody need know whether they fit
LEAST_FOR_C = 1 << 18  # bytes; below that, compiling the reader would take longer than reading
MAX_LINE = 1 << 20  # bytes; no logger writes longer lines, a hostile file may
HEAD_LINES = (200, 2_000, 20_000)  # looked at until the table is found
HEAD_BYTES = 4 << 20
MOST_COLUMNS = 10_000
UNPACKED = 4  # times as large as packed by gzip, about
LOOKED_BACK = 50  # rows
MOST_BELOW = 50  # lines that are no rows, below the table
LEAST_BLOCKS, LEAST_BLOCK = 3, 16  # that blank lines set apart, and rows in each
MOST_WORDS = 10_000  # different ones in a column
VCD = "a dump of logic levels (VCD); as CSV: sigrok-cli -i OLD -O csv > NEW"
KINDS = (
    (b"\x1f\x8b", "compressed by gzip, whatever its name says; unpack it: gunzip -c OLD > NEW"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet, not text; unpack it, or save as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel sheet, whatever its name says; save it as CSV"),
    (b"PAR1", "Parquet, whatever its name says; name it .parquet"),
    (b"\x89HDF", "HDF5, no recording; if it holds cases as arrays: dataset=npz dataset.path=FILE"),
    (b"RIFF", "a WAV file, whatever its name says; name it .wav"),
    (b'{"', "JSON, whatever its name says; name it .json, or .jsonl where each line is a record"),
    (b"-1\n    58\n", "a universal file (UFF 58); write its signals as CSV, as by Python's pyuff"),
    (b"$date", VCD),
    (b"$version", VCD),
    (b"$timescale", VCD),
    (b"%PDF", "a PDF, and no table"),
    (b"\x89PNG", "a picture, and no table"),
    (b"\xff\xd8\xff", "a picture, and no table"),
    (b"SQLite format", "a database of SQLite; export its tables as CSV"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself: git lfs pull"),
    (b"<!doctype html", "a web page, as a download leaves that needs a login; get the file again"),
    (b"<html", "a web page, as a download leaves that needs a login; get the file again"),
)  # fmt: skip
BLANK = b"\0\xff"  # what flash and file systems hold where nothing was written
MINUS = "\u2212".encode()

PLAIN, COMMA_3, COMMA_OTHER, DOT_3, DOT_OTHER = 1, 2, 4, 8, 16  # how the cells of a column look


@dataclass
class Column:
    """One column of a file.

    Attributes
    ----------
    kind : str
        "number", "time" (dates and times of day, in seconds) or "text".
    values : np.ndarray
        float64 (T,), NaN where a cell is missing; of text int32 (T,), the index into `words`.
    words : tuple of str
        The different cells of a column of text, stripped.
    wrong : tuple or None
        Cells of a column of numbers that are none: how many, the first one's line and text.
    day_first : bool or None
        Whether its dates have the day before the month; None where none are written so.
    is_told : bool
        Whether a day above 12 tells that, and it is no guess.
    """

    name: str
    unit: str
    kind: str
    values: np.ndarray
    words: tuple[str, ...] = ()
    wrong: tuple[int, int, str] | None = None
    day_first: bool | None = None
    is_told: bool = True


@dataclass
class Table:
    """What one file holds.

    Attributes
    ----------
    columns : list of Column
    named : bool
        Whether the file names its columns; if not, they are channel_0, channel_1 …
    breaks : list of (int, int)
        (row, line): from that row on, lines are counted from there.
    notes : list of str
        What was passed over, each a clause such as "4 lines before the table".
    rate : float or None
        Samples a second, where the file says it; a column of time says it better.
    start : float
        When the first sample was taken, in seconds, where `rate` stands for a column of time.
    clock : int or None
        The column that was made the time, of several that say it together.
    changes : list of str
        What was done to the rows, each a clause such as "rows put in order of time".
    rows : np.ndarray or None
        int64 (T,): which row of the file each is, where not all are here in their order.
    """

    path: Path
    columns: list[Column]
    named: bool
    breaks: list[tuple[int, int]]
    notes: list[str] = field(default_factory=list)
    rate: float | None = None
    start: float = 0.0
    clock: int | None = None
    changes: list[str] = field(default_factory=list)
    rows: np.ndarray | None = None

    @property
    def num_rows(self) -> int:
        return len(self.columns[0].values)

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def line(self, row: int) -> int:
        """The line of the file, counted from 1, in which a row stands."""
        return _line_of(row if self.rows is None else int(self.rows[row]), self.breaks)

    def lines(self) -> np.ndarray:
        """int64 (T,): the line of each row."""
        num_rows = self.num_rows if self.rows is None else int(self.rows.max()) + 1
        lines = np.arange(num_rows, dtype=np.int64)
        ends = [start for start, _ in self.breaks[1:]] + [num_rows]
        for (start, number), end in zip(self.breaks, ends, strict=True):
            lines[start:end] += number - start
        return lines if self.rows is None else lines[self.rows]

    def take(self, rows: np.ndarray) -> "Table":
        """A table of some of the rows, or of all in another order."""
        columns = [replace(column, values=column.values[rows]) for column in self.columns]
        own = rows if self.rows is None else self.rows[rows]
        return replace(self, columns=columns, changes=[*self.changes], rows=own)


def _line_of(row: int, breaks: list[tuple[int, int]]) -> int:
    start, number = next(pair for pair in reversed(breaks) if pair[0] <= row)
    return number + row - start


def read_table(path: Path, *, as_text: Collection[str | int] = (), skip_lines: int = 0) -> Table:
    """Read a file.

    Parameters
    ----------
    as_text : collection of str or int
        Columns whose cells are to be kept as they are written, such as labels; one that the file
        lacks is passed over.
    skip_lines : int
        Lines at the beginning that are not part of the table.

    Raises
    ------
    InputError
        If the file cannot be read or holds no table.
    """
    try:
        with open_file(path) as raw:
            return _read(path, _Blocks(raw, path), as_text, skip_lines)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        why = "ends early" if isinstance(error, EOFError) else f"is damaged or not packed ({error})"
        raise InputError(f"{path} is called as packed by gzip is, and {why}.") from None
    except UnicodeError as error:
        _refuse_other_kind(path)
        raise InputError(
            f"{path} is not a text file in UTF-8 ({_first_odd_line(path) or error}); export it as "
            "CSV in UTF-8, or if it is of a Windows program: iconv -f WINDOWS-1252 -t UTF-8 OLD > "
            "NEW; if it is damaged there, LC_ALL=C.UTF-8 grep -ax '.*' OLD > NEW leaves such lines "
            "out."
        ) from None
    except NoTableError as error:
        _refuse_other_kind(path)
        raise InputError(
            f"{path}: {error}." if str(error)[:4] == "line" else f"{path} {error}."
        ) from None
    except csv.Error as error:
        _refuse_other_kind(path)
        raise InputError(
            f"{path} cannot be read as CSV: {error}; quotes must enclose whole cells, and be "
            "doubled inside them; dataset.skip_lines=1 (or more) passes over lines before the "
            "table. JSON behind other words is read without these, as by: "
            "sed 's/^[^{]*//; s/[^}]*$//' OLD > NEW.jsonl."
        ) from None
    except OSError as error:
        raise input_error(f"{path} cannot be read: {error.strerror or error}.", error) from None


def _first_odd_line(path: Path) -> str:
    """Where a file has bytes that are no text, and which; nothing for one that is packed."""
    if path.suffix.lower() == PACKED:
        return ""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return f"line {number} has the byte {line[error.start]:#04x}"
    return ""


def _refuse_other_kind(path: Path) -> None:
    """Say what a file is that is called as a table is and holds something else."""
    if path.suffix.lower() == PACKED:
        return
    with open_file(path) as raw:
        start = raw.read(512).replace(b"\r\n", b"\n")
    for begins, what in KINDS:
        if start.lstrip(b" \t\r\n")[:64].lower().startswith(begins.lower()):
            raise InputError(f"{path} is {what}.")
    odd, even = start[1::2], start[::2]
    if len(odd) > 8 and any(odd[:64]) != any(even[:64]):
        raise InputError(f"{path} is text in UTF-16 without its mark; save it in UTF-8.")


def locate(names: Sequence[str], wanted: str | int, path: Path, key: str) -> int:
    """The position of a column by name, or by number: 0 is the first, -1 the last.

    Raises
    ------
    InputError
        If there is none, or several have the name.
    """
    count = names.count(str(wanted))
    if count == 1:
        return names.index(str(wanted))
    if count:
        places = ", ".join(str(k) for k, name in enumerate(names) if name == str(wanted))
        raise InputError(
            f"{path} has {count} columns '{wanted}', which dataset.{key} asks for; name it by "
            f"position (from 0): {places}."
        )
    try:
        position = int(str(wanted).removeprefix(position_name("")))
    except ValueError:
        raise InputError(
            f"{path} has no column '{wanted}', which dataset.{key} asks for; "
            f"{nearest(str(wanted), names)}."
        ) from None
    if not -len(names) <= position < len(names):
        raise InputError(
            f"{path} has no column {position}, which dataset.{key} asks for; it has {len(names)}, "
            f"counted from 0: {', '.join(names[:30])}{', …' if len(names) > 30 else ''}."
        )
    return position % len(names)


class _Blocks:
    """A file in blocks of whole lines, every line ending with \\n."""

    def __init__(self, raw: io.FileIO, path: Path) -> None:
        self._path = path
        if is_packed := path.suffix.lower() == PACKED:
            size = os.fstat(raw.fileno()).st_size
            self.num_written, self.num_blank = UNPACKED * size, 0
            source: gzip.GzipFile | io.FileIO = gzip.GzipFile(fileobj=raw)
        else:
            self.num_written, self.num_blank = _written_bytes(raw)
            source = raw
        self._left = sys.maxsize if is_packed else self.num_written
        start = source.read(3)
        wide = start[:2] in (b"\xff\xfe", b"\xfe\xff")
        if wide:
            source.seek(0)
            text = io.TextIOWrapper(io.BufferedReader(source), encoding="utf-16", newline="")
            self._text: io.TextIOWrapper | None = text
        else:
            self._text = None
            source.seek(3 if start == b"\xef\xbb\xbf" else 0)
            self._left -= source.tell()
        self._raw = source
        self._rest = b""
        self.ended_in_a_line = False

    def _read(self) -> bytes:
        if self._text is not None:
            return self._text.read(BLOCK_BYTES).encode()
        data = self._raw.read(min(BLOCK_BYTES, max(self._left, 0)))
        self._left -= len(data)
        return data

    def __iter__(self) -> Iterator[bytes]:
        number = 1
        while data := self._read():
            held = b""
            if b"\r" in data or self._rest.endswith(b"\r"):
                data, self._rest = self._rest + data, b""
                if data.endswith(b"\r"):  # perhaps half a line's end
                    data, held = data[:-1], b"\r"
                for end in (b"\r\r\n", b"\r\n", b"\r"):
                    data = data.replace(end, b"\n")
            cut = data.rfind(b"\n") + 1
            block = b"".join((self._rest, memoryview(data)[:cut])) if cut else b""
            self._rest = (b"" if cut else self._rest) + data[cut:] + held
            if not block.isascii() and MINUS in block:  # as some languages write it
                block = re.sub(MINUS + rb"(?=[\d.,])", b"-", block)
            too_long = _too_long(block)
            if too_long is not None or len(self._rest) > MAX_LINE:
                number += block.count(b"\n", 0, too_long)
                raise InputError(
                    f"{self._path}, line {number} is longer than {MAX_LINE} bytes; the file is not "
                    "a recording in CSV."
                )
            line_ends = np.frombuffer(block, np.uint8) == NEWLINE
            number += int(np.count_nonzero(line_ends))  # as block.count, and fast
            if block:
                yield block
        rest, self._rest = self._rest.rstrip(b"\r"), b""
        if rest:
            self.ended_in_a_line = True
            if not self.num_blank:
                yield rest + b"\n"


def _too_long(block: bytes) -> int | None:
    """Where the first line begins that is longer than `MAX_LINE`, if there is one."""
    start = 0
    while len(block) - start > MAX_LINE + 1:
        end = block.rfind(b"\n", start, start + MAX_LINE + 1)
        if end < 0:
            return start
        start = end + 1
    return None


def _written_bytes(raw: io.FileIO) -> tuple[int, int]:
    """How many bytes of a file were written, and how many NUL or erased bytes follow them."""
    size = end = os.fstat(raw.fileno()).st_size
    while end:
        start = max(0, end - 65_536)
        raw.seek(start)
        tail = raw.read(end - start).rstrip(BLANK)
        end = start + len(tail)
        if tail:
            break
    raw.seek(0)
    if end and end < size <= end + 3:  # UTF-16 may end so
        end = size
    return end, size - end


def _read(path: Path, blocks: _Blocks, as_text: Collection[str | int], skip_lines: int) -> Table:
    if blocks.num_blank and not blocks.num_written:
        raise NoTableError(
            f"holds nothing but {blocks.num_blank} NUL or erased bytes, as a power cut leaves "
            "them; delete it"
        )
    iterator = iter(blocks)
    head, found = _find_table(iterator, skip_lines)
    if len(found.names) > MOST_COLUMNS:
        raise InputError(
            f"{path} has {len(found.names)} columns, more than {MOST_COLUMNS}; a recording has one "
            "for each channel, and a line for each sample."
        )
    fast = blocks.num_written >= LEAST_FOR_C
    rows = _Rows(path, found, _text_positions(found, as_text), fast=fast)
    for k, block in enumerate(chain(head, iterator), 1):
        rows.may_be_cut = blocks.ended_in_a_line and not blocks.num_blank and k >= len(head)
        rows.take(block)
    table = rows.finish()
    if rows.is_cut:
        table.notes.append("the last line, which is cut")
    if found.passed_over:
        named = f" ({', '.join(found.settings[:3])}: not applied)" if found.settings else ""
        table.notes.append(f"{counted(found.passed_over, 'line')} before the table{named}")
    if rows.num_comments:
        table.notes.append(counted(rows.num_comments, "comment"))
    if rows.num_others:
        table.notes.append(counted(rows.num_others, "line") + " of other words")
    if rows.after:
        shown = f"{rows.after[0][:30]}{'…' if len(rows.after[0]) > 30 else ''}"
        table.notes.append(f"{counted(len(rows.after), 'line')} below the table, such as '{shown}'")
    table.rate, table.start = found.rate, found.start or 0.0
    if blocks.num_blank:
        cut = ", and the line before them, which is cut" if blocks.ended_in_a_line else ""
        table.notes.append(f"{blocks.num_blank} NUL or erased bytes at the end{cut}")
    return table


def _find_table(iterator: Iterator[bytes], skip_lines: int) -> tuple[list[bytes], Layout]:
    head: list[bytes] = []
    size, ended = 0, False
    for most in HEAD_LINES:
        while not ended and size < HEAD_BYTES and sum(b.count(b"\n") for b in head) < most:
            block = next(iterator, None)
            if block is None:
                ended = True
            else:
                head.append(block)
                size += len(block)
        lines = [line.decode() for line in b"".join(head).split(b"\n")[:-1][:most]]
        try:
            return head, find_layout(lines, skip_lines=skip_lines)
        except NoTableError:
            if len(lines) < most or most == HEAD_LINES[-1]:
                raise
    raise AssertionError


def _text_positions(found: Layout, as_text: Collection[str | int]) -> frozenset[int]:
    positions = set(found.texts)
    for wanted in as_text:
        try:
            positions.add(locate(found.names, wanted, Path(), ""))
        except InputError:
            continue  # said where the column is asked for
    return frozenset(positions)


class _Rows:
    """The rows of a file, as they come."""

    def __init__(self, path: Path, found: Layout, texts: frozenset[int], *, fast: bool) -> None:
        self.path = path
        self.layout = found
        self.width = len(found.names)
        self.texts = {position: array("i") for position in sorted(texts)}
        self.words: dict[int, dict[str, int]] = {position: {} for position in self.texts}
        self.times = {p: day for p, day in found.times.items() if p not in texts}
        self.either = set(found.either)
        self.time_cells: dict[int, list[str]] = {position: [] for position in self.times}
        self.time_values: dict[int, list[np.ndarray]] = {position: [] for position in self.times}
        apart = {*self.texts, *self.times}
        self.numeric = [p for p in range(self.width) if p not in apart]
        self.values = array("d")
        self.looks = np.zeros(self.width, dtype=np.int32)
        self.wrong: dict[int, tuple[int, int, str]] = {}
        self.breaks: list[tuple[int, int]] = []
        self.num_rows = 0
        self.number = 0  # of the last line
        self.num_comments = 0
        self.blank: set[int] = set()  # rows before which a line is blank
        self.may_be_cut = False  # whether what comes is a last line without its end
        self.is_cut = False
        self.num_others = 0  # lines among sentences
        self.num_empty = 0  # of the last rows, those without a cell, as spreadsheets leave them
        self.after: list[str] = []  # lines that may stand below the table
        self.refusal: InputError | None = None  # of the first of them, if a row follows
        self._pick = _picker(self.numeric)
        self._free: int | None = None  # bytes of memory, of a file for which that may matter
        self._reader = self._fast_reader() if fast else None

    def _fast_reader(self) -> csv_rows.Reader | None:
        found = self.layout
        special = found.stamped or found.paired or found.ended or found.in_cells or found.wrapped
        special = special or found.printed or found.sentence is not None
        if special or found.separator == " ":
            return None
        kinds = [
            csv_rows.WORD if p in self.texts else csv_rows.STAMP if p in self.times
            else csv_rows.NUMBER
            for p in range(self.width)
        ]  # fmt: skip
        loaded = csv_rows.library()
        return None if loaded is None else csv_rows.Reader(loaded, found.separator, kinds)

    def take(self, block: bytes) -> None:
        """Read a block of whole lines."""
        if not block.isascii():
            block.decode()  # what is no UTF-8 is refused
        if b"\0" in block:
            self._refuse_blank(block.decode())
        if self._reader is None:
            self._take_lines(block.decode())
        else:
            self._take_fast(self._reader, block)
        self._take_times()
        size = 8 * len(self.values)
        if self._free is None and size > SMALL:
            self._free = available_memory() + size
        if self._free is not None and 2 * size > self._free:
            raise memory_error(
                f"{self.path} does not fit into the {self._free / 1e9:.1f} GB of memory that are "
                "free; store the windows as data.npy and label.npy and use dataset=npy.",
                size,
            )

    def _take_fast(self, reader: csv_rows.Reader, block: bytes) -> None:
        """Plain lines by the compiled reader, each other one with care."""
        comma = self.layout.separator != "," and b"," in block
        # Where a cell may have thousands separators, it counts how the others are written.
        looks = self.looks if comma or b'"' in block or b"_" in block else None
        at = 0
        while at < len(block):
            if self.number >= self.layout.first:
                rows = reader.read(block, at, comma=comma, looks=looks)
                self._take_rows(rows, block)
                at = rows.stop
            if at < len(block):
                end = block.index(b"\n", at) + 1
                self._take_lines(block[at:end].decode(), careful=looks is not None)
                at = end

    def _take_rows(self, rows: csv_rows.Rows, block: bytes) -> None:
        count = len(rows.numbers)
        if not count:
            return
        self.values.frombytes(rows.numbers.ravel().view(np.uint8).data)
        before = self.num_empty
        self._note_line(self.number + 1)
        end, blank = rows.stop, self.layout.separator.encode() + b" \t\r\n"
        while self.num_empty < count:
            begin = block.rfind(b"\n", 0, end - 1) + 1
            if block[begin:end].strip(blank):
                break
            self.num_empty, end = self.num_empty + 1, begin
        self.num_empty += before if self.num_empty == count else 0
        apart = sorted({*self.texts, *self.times})
        for k, position in enumerate(apart):
            cells = rows.cells[:, k].tolist() if position in self.times else None
            if cells is not None:
                self.time_cells[position] += [block[a:b].decode() for a, b in cells]
                continue
            new = np.flatnonzero(rows.cells[:, k, 0] >= 0)
            words = [block[a:b].decode().strip() for a, b in rows.cells[new, k].tolist()]
            codes = np.array([self._code(position, word) for word in words], dtype=np.int32)
            every = np.repeat(codes, np.diff(np.append(new, count)))
            self.texts[position].frombytes(every.view(np.uint8).data)
        self.num_rows += count
        self.number += count

    def _take_lines(self, text: str, *, careful: bool = False) -> None:
        odd = (
            careful or "_" in text or '"' in text or ("," in text and self.layout.separator != ",")
        )
        plain = not odd and self.layout.separator != " "
        plain = plain and not (self.layout.stamped or self.layout.paired or self.layout.ended)
        plain = plain and not (self.layout.wrapped or self.layout.printed or self.layout.sentence)
        separator, width, values = self.layout.separator, self.width, self.values
        for line in text.split("\n")[:-1]:
            self.number += 1
            if self.number <= self.layout.first:
                continue
            cells = line.split(separator) if plain else None
            if cells is None or len(cells) != width:
                self._take_odd(line)
                continue
            try:
                values.extend(map(float, self._pick(cells)))
            except ValueError:
                del values[self.num_rows * len(self.numeric) :]  # what extend took
                self._take_odd(line)
                continue
            self._take_words(cells)

    def _take_times(self) -> None:
        for position, written in self.time_cells.items():
            seconds = dates.to_seconds(written, day_comes_first=bool(self.times[position]))
            if position in self.either:
                seconds = self._settle_order(position, written, seconds)
            self.time_values[position].append(seconds)
            start = self.num_rows - len(written)
            for k in np.flatnonzero(np.isnan(seconds)).tolist():
                if not is_missing(written[k]):
                    self._note_wrong(position, _line_of(start + k, self.breaks), written[k].strip())
            written.clear()

    def _settle_order(self, position: int, written: list[str], seconds: np.ndarray) -> np.ndarray:
        """See whether these dates tell if the day comes first, which those before did not."""
        known = seconds[np.isfinite(seconds)]
        if np.isnan(dates.swapped(known)).any():
            self.either.discard(position)
            return seconds
        rest = [
            cell for cell, value in zip(written, seconds.tolist(), strict=True) if value != value
        ]
        other = not self.times[position]
        if not np.isfinite(dates.to_seconds(rest, day_comes_first=other)).any():
            return seconds
        self.either.discard(position)
        self.times[position] = other
        before = self.time_values[position]
        self.time_values[position] = [dates.swapped(values) for values in before]
        return dates.to_seconds(written, day_comes_first=other)

    def _take_words(self, cells: Sequence[str]) -> None:
        """What is not a number in a row whose numbers have been taken."""
        for position, codes in self.texts.items():
            codes.append(self._code(position, cells[position].strip()))
        for position, written in self.time_cells.items():
            written.append(cells[position])
        self._note_line(self.number)
        self.num_rows += 1

    def _code(self, position: int, word: str) -> int:
        words = self.words[position]
        code = words.get(word)
        if code is None:
            code = min(len(words), MOST_WORDS)
            if code < MOST_WORDS:
                words[word] = code
        return code

    def _note_line(self, number: int) -> None:
        """The next row stands in that line."""
        if self.refusal is not None:
            raise self.refusal
        self.num_empty = 0
        if not self.breaks or number - self.num_rows != self.breaks[-1][1] - self.breaks[-1][0]:
            self.breaks.append((self.num_rows, number))

    def _take_odd(self, line: str) -> None:
        """A line that is no plain row: blank, a comment, quoted, with words or missing cells."""
        found = self.layout
        line = line.removeprefix("\ufeff")  # where files were put together
        if not line.strip() or (found.ruled and is_rule(line)):
            self.blank.add(self.num_rows)
            return
        if is_comment(line, found.separator):
            self.num_comments += 1
            return
        try:
            rows = cells_of(found, line)
        except ValueError as error:
            remedy = "bring all to one" if "units" in str(error) else "fix it"
            raise InputError(f"{self.path}, line {self.number} {error}; {remedy}.") from None
        if not rows:
            self._take_other(found.sentence, line)
        for cells in rows:
            self._take_row(cells, line)

    def _take_other(self, sentence: Sentence | None, line: str) -> None:
        """A line among sentences that has other words."""
        if sentence is None:
            return  # such as ";;" where rows end with ";"
        if sentence.lead and line.lstrip().startswith(sentence.lead) and not self.may_be_cut:
            raise InputError(
                f"{self.path}, line {self.number} begins with '{sentence.lead.strip()}' as others "
                f"do, but goes on in other words ({line.strip()[:60]!r}): leave such lines out, or "
                "cut the file there."
            )
        self.num_others += 1

    def _take_row(self, cells: list[str], line: str) -> None:
        if self.may_be_cut and len(cells) < self.width:
            self.is_cut = True
            return
        refusal = None
        if len(cells) != self.width:
            refusal = self._of_width(cells)
        elif self.num_rows and self._are_names(cells):
            refusal = self._of_names(cells, line)
        elif self.num_rows and self._begins_with_a_word(cells):
            word = cells[0].split()[0]
            refusal = InputError(
                f"{self.path}, line {self.number}, column '{self.layout.names[0]}': '{word}' is "
                "neither a number nor a time; leave such lines out, as by: grep -v "
                f"'^ *{word}' OLD > NEW."
            )
        if refusal or (self.refusal and not any(map(is_value, cells))):
            self._take_below(cells, line, self.refusal or refusal)
            return
        for position in self.numeric:
            self.values.append(self._number(cells[position], position))
        num_empty = 0 if any(map(str.strip, cells)) else self.num_empty + 1
        self._take_words(cells)
        self.num_empty = num_empty

    def _are_names(self, cells: list[str]) -> bool:
        """Whether they are the columns' names, or other words in place of all numbers."""
        if self.layout.named and tuple(cells) == self.layout.names:
            return True
        words = {cells[position] for position in self.numeric}
        letters = all(re.match(r"[^\W\d]|%", word) and not is_missing(word) for word in words)
        return letters and 1 < len(words) == len(self.numeric) and not any(map(is_number, words))

    def _of_names(self, cells: list[str], line: str) -> InputError:
        others = [cell for cell in cells if cell not in self.layout.names]
        if self.layout.named and others:
            return InputError(
                f"{self.path}, line {self.number} begins a table of other columns "
                f"({', '.join(others[:6])}); put each into a file of its own, as by: split -l "
                f"{self.number - 1} OLD NEW, which makes NEWaa and NEWab."
            )
        place = max(self.numeric or range(self.width), key=lambda p: len(cells[p]))
        two = self.layout.separator.join(cells[place : place + 2])
        told = two if two in line else cells[place]
        return InputError(
            f"{self.path}, line {self.number} holds the names again, as where a logger was "
            "started anew; put what follows into a file of its own, or where it only goes on, "
            f"leave such lines out, as by: awk 'NR <= {self.layout.first} {{h[$0]; print; next}} "
            f'!($0 in h || index($0, "{told}"))\' OLD > NEW.'
        )

    def _begins_with_a_word(self, cells: Sequence[str]) -> bool:
        """As a line of means does, or one of dashes, where a time or a count should be."""
        if 0 in self.numeric:
            first = self.values[-LOOKED_BACK * len(self.numeric) :][:: len(self.numeric)]
            if len(first) < LEAST_BLOCK // 4 or any(b <= a for a, b in pairwise(first)):
                return False
        elif 0 not in self.times:
            return False
        return is_rule(cells[0]) or (
            re.fullmatch(r"[^\W\d]+[.:]?", cells[0].strip()) is not None
            and not is_missing(cells[0])
            and not is_value(cells[0])
        )

    def _take_below(self, cells: Sequence[str], line: str, refusal: InputError | None) -> None:
        """A line that is no row: left out where none follows, as sums and remarks at the end."""
        self.refusal = refusal
        self.after.append(line.strip())
        values = 0 if self._begins_with_a_word(cells) else sum(map(is_value, cells))
        if refusal and (2 * values >= len(cells) or len(self.after) > MOST_BELOW):
            raise refusal

    def _refuse_blank(self, text: str) -> None:
        number = self.number + 1 + text.count("\n", 0, text.index("\0"))
        raise InputError(
            f"{self.path}, line {number} holds NUL bytes, as a power cut leaves them; cut the file "
            "before them, or take them out alone: tr -d '\\0' < OLD > NEW."
        )

    def _of_width(self, cells: Sequence[str]) -> InputError:
        """The refusal of a line of too many cells, or too few."""
        remedy = "every line must have as many cells"
        own, others = cells[0], [w for w in self.words.get(0, ()) if w.lstrip("$").isidentifier()]
        if own.lstrip("$").isidentifier() and others and own not in others:
            remedy = (
                f"lines that begin with {own} and with {others[-1]} are of several tables: take "
                f"those of one, as by: grep '^{re.escape(others[-1])}' OLD > NEW"
            )
        elif self.num_rows >= LEAST_BLOCK and 0 in self.numeric and own[:1].isalpha():
            remedy = (
                "if it begins another table, put that into a file of its own, as by: head -n "
                f"{self.number - 1} OLD > FIRST; tail -n +{self.number} OLD > SECOND; if it is a "
                f"remark, leave such lines out, as by: grep -v '^{own.split()[0]}' OLD > NEW"
            )
        elif FRAME.search(",".join(cells)):
            remedy += f"; {DECODE}"
        elif not self.layout.named and len(cells) < self.width and all(map(is_number, cells)):
            remedy += f"; if one signal goes on from line to line, {unfold(self.layout.first + 1)}"
        return InputError(
            f"{self.path}, line {self.number} has {len(cells)} cells, but the file has "
            f"{self.width} columns; {remedy}."
        )

    def _number(self, cell: str, position: int) -> float:
        text = cell.strip()
        if is_missing(text):
            return float("nan")
        if is_number(text):
            self.looks[position] |= _look(text)
            return float(text.replace(",", "."))
        unit = self.layout.in_cells.get(position)
        if unit is not None and is_number(bare := without_unit(text, unit)):
            return float(bare)
        self._note_wrong(position, self.number, text)
        return float("nan")

    def _note_wrong(self, position: int, line: int, text: str) -> None:
        count, line, first = self.wrong.get(position, (0, line, text))
        self.wrong[position] = (count + 1, line, first)

    def finish(self) -> Table:
        if not self.num_rows:
            raise NoTableError("holds names but no samples; move the file away")
        shape = (self.num_rows, len(self.numeric))
        numbers = np.ascontiguousarray(np.frombuffer(self.values).reshape(shape).T)
        columns = []
        for position, (name, unit) in enumerate(
            zip(self.layout.names, self.layout.units, strict=True)
        ):
            if position in self.texts:
                words = self.words[position]
                codes = np.frombuffer(self.texts[position], dtype=np.int32)
                columns.append(Column(name, unit, "text", codes, tuple(words)))
            elif position in self.times:
                values = np.concatenate(self.time_values[position])
                wrong = self.wrong.get(position)
                day, told = self.times[position], position not in self.either
                columns.append(Column(name, unit, "time", values, (), wrong, day, told))
            else:
                values = numbers[self.numeric.index(position)]
                wrong = self.wrong.get(position)
                columns.append(Column(name, unit, "number", values, wrong=wrong))
        self._refuse_thousands()
        if (blocks := self._blocks()) is not None and "block" not in self.layout.names:
            which = tuple(map(str, range(1, int(blocks[-1]) + 2)))
            columns.append(Column("block", "", "text", blocks, which))
        table = Table(self.path, columns, self.layout.named, self.breaks)
        if 0 < self.num_empty < self.num_rows:
            table = table.take(np.arange(self.num_rows - self.num_empty))
            table.notes.append(f"{counted(self.num_empty, 'empty row')} at the end")
        return table

    def _blocks(self) -> np.ndarray | None:
        """The number of the block that each row is in, where blank lines set several apart."""
        ends = [0, *sorted(self.blank - {0, self.num_rows}), self.num_rows]
        lengths = np.diff(ends)
        if len(lengths) < LEAST_BLOCKS or lengths.min() < LEAST_BLOCK:
            return None
        return np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)

    def _refuse_thousands(self) -> None:
        """1,234 beside 987 or 0.5: it cannot be told whether the comma is a decimal point."""
        comma_is_decimal = any(look & COMMA_OTHER for look in self.looks)
        for position, look in enumerate(self.looks):
            comma = look & COMMA_3 and not look & COMMA_OTHER
            dot = look & DOT_3 and not look & DOT_OTHER and comma_is_decimal
            points = comma and look & (DOT_3 | DOT_OTHER)
            if points or (look & PLAIN and (comma or dot)):
                sign, example = (",", "1,234") if comma else (".", "1.234")
                others = "numbers with a point" if points else "whole numbers"
                raise InputError(
                    f"{self.path}, column '{self.layout.names[position]}': {others} stand "
                    f"beside numbers such as {example}, so '{sign}' seems to part thousands; "
                    "export the file without thousands separators."
                )


def _look(text: str) -> int:
    """How a number is written, as one of the bits above; 0 where that tells nothing."""
    if "e" in text or "E" in text:
        return 0
    sign = "," if "," in text else "." if "." in text else ""
    before, _, after = text.lstrip("+-").partition(sign) if sign else (text.lstrip("+-"), "", "")
    if not sign:
        return PLAIN if len(before) <= 3 and before != "0" else 0
    three = len(after) == 3 and 1 <= len(before) <= 3 and not before.startswith("0")
    if sign == ",":
        return COMMA_3 if three else COMMA_OTHER
    return DOT_3 if three else DOT_OTHER


def _picker(positions: Sequence[int]) -> Callable[[Sequence[str]], Sequence[str]]:
    if not positions:
        return lambda row: ()
    return itemgetter(*positions) if len(positions) > 1 else lambda row: (row[positions[0]],)
