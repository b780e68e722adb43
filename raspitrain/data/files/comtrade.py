"""COMTRADE of relays and recorders of power grids: a text NAME.cfg that says how NAME.dat is read.

IEEE C37.111, in text or in its three binary forms.
"""

import re
from pathlib import Path

import numpy as np

from raspitrain.data.files.csv_file import Column, Table
from raspitrain.errors import InputError, counted

COUNTS = re.compile(r"\d+\s*,\s*(\d+)\s*A\s*,\s*(\d+)\s*D", re.I)
ANALOGUE = {"BINARY": "<i2", "BINARY32": "<i4", "FLOAT32": "<f4"}
MISSING = {"ASCII": 99999, "BINARY": -(2**15), "BINARY32": -(2**31)}


def comtrade_head(path: Path) -> Path | None:
    """The .cfg beside a .dat, where it is COMTRADE's."""
    for head in (path.with_suffix(".cfg"), path.with_suffix(".CFG")):
        if path.suffix.lower() == ".dat" and head.is_file():
            lines = head.read_bytes()[:1000].decode("latin-1").splitlines()
            if len(lines) > 1 and COUNTS.fullmatch(lines[1].strip()):
                return head
    return None


def read_comtrade(path: Path, head: Path) -> Table:
    """Read the samples of a .dat as its .cfg says: in their units, states as 0 and 1.

    Raises
    ------
    InputError
        The head is damaged, or fits the samples badly.
    """
    lines = [line.strip() for line in _text(head).splitlines()]
    try:
        counts = COUNTS.fullmatch(lines[1])
        num_analogue, num_states = (int(count) for count in counts.groups()) if counts else (0, 0)
        said = [[cell.strip() for cell in line.split(",")] for line in lines[2:]]
        signals, states = said[:num_analogue], said[num_analogue : num_analogue + num_states]
        after = said[num_analogue + num_states :]
        num_rates = int(after[1][0])
        rates = [float(own[0]) for own in after[2 : 2 + max(1, num_rates)]]
        form, *multiple = (own[0] for own in after[4 + max(1, num_rates) :])
        scales = [(float(own[5]), float(own[6])) for own in signals]
        times, values, bits = _samples(path, form.upper(), num_analogue, num_states)
    except InputError:
        raise
    except (ValueError, IndexError):
        raise InputError(
            f"{head} and {path.name} cannot be read as COMTRADE; copy both again, or export them "
            "as CSV."
        ) from None
    columns = [
        Column(own[1] or f"channel_{k}", own[4], "number", a * values[:, k] + b)
        for k, (own, (a, b)) in enumerate(zip(signals, scales, strict=True))
    ]
    columns += [Column(own[1], "", "number", bits[:, k]) for k, own in enumerate(states)]
    if num_rates == 1 and rates[0] > 0:
        return Table(path, columns, True, [(0, 1)], rate=rates[0])
    seconds = 1e-6 * times * float((multiple or ["1"])[0] or 1)
    return Table(path, [Column("time", "s", "number", seconds), *columns], True, [(0, 1)])


def _text(path: Path) -> str:
    """Without the Ctrl-Z that the standard of 1991 ends it with."""
    return path.read_bytes().decode("latin-1").rstrip().rstrip("\x1a")


def _samples(
    path: Path, form: str, num_analogue: int, num_states: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times (T,), numbers (T, A) with NaN where one is missing, and states (T, D)."""
    if form == "ASCII":
        lines = _text(path).splitlines()
        width = 2 + num_analogue + num_states
        for number, line in enumerate(lines, start=1):
            if line.strip() and (count := line.count(",") + 1) != width:
                raise InputError(
                    f"{path}, line {number} has {counted(count, 'cell')}, but by its .cfg {width}: "
                    f"number, time, {num_analogue} analogue and {num_states} digital; mend or "
                    "delete that line, or mend the .cfg."
                )
        table = np.genfromtxt(lines, delimiter=",", ndmin=2)
        times, values, bits = np.split(table, [2, 2 + num_analogue], axis=1)
    else:
        words = -(-num_states // 16)
        row = np.dtype(
            [("t", "<u4", 2), ("a", ANALOGUE.get(form, "?"), num_analogue), ("d", "<u2", words)]
        )
        if form not in ANALOGUE:
            raise ValueError
        if (size := path.stat().st_size) % row.itemsize:
            raise InputError(
                f"{path} has {size} bytes, but by its .cfg {row.itemsize} for each sample "
                f"({form}), so it is cut or the .cfg is another's; copy both again."
            )
        content = np.fromfile(path, row)
        times, values = content["t"], content["a"].reshape(len(content), -1).astype(np.float64)
        octets = np.ascontiguousarray(content["d"].reshape(len(content), -1)).view(np.uint8)
        bits = np.unpackbits(octets, axis=1, bitorder="little")[:, :num_states].astype(np.float64)
    if not len(values):
        raise ValueError
    return times[:, 1], np.where(values == MISSING.get(form), np.nan, values), bits
