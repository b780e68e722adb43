"""PhysioNet's WFDB: a text NAME.hea that says how NAME.dat holds the signals.

https://physionet.org/physiotools/wag/header-5.htm and signal-5.htm. The package wfdb brings pandas,
aiohttp and soundfile with it; the formats that recordings are in are a page of code.
"""

import re
from pathlib import Path

import numpy as np

from raspitrain.data.files.csv_file import Column, Table
from raspitrain.data.files.int24 import from_int24
from raspitrain.errors import InputError

BITS = {"8": 0, "80": 8, "16": 16, "61": 16, "24": 24, "32": 32, "212": 12}
INVALID = {8: -128, 16: -(2**15), 24: -(2**23), 32: -(2**31), 12: -2048}
GAIN = re.compile(r"(?P<gain>[-+\d.eE]+)(?:\((?P<baseline>-?\d+)\))?(?:/(?P<unit>\S+))?")
FORMAT = re.compile(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?")


def read_wfdb(path: Path) -> Table:
    """Read the signals that a .hea file names, in their units; samples marked invalid are NaN.

    Raises
    ------
    InputError
        The head or a signal's file is damaged, missing, or of a kind that is not read.
    """
    lines = [
        line.strip()
        for line in path.read_bytes().decode("latin-1").splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    words = lines[0].split() if lines else []
    if len(words) < 2 or not words[1].isdigit() or not 0 < int(words[1]) < len(lines):
        several = bool(words) and "/" in words[0]
        raise InputError(
            f"{path} is of several segments, which are not read: use those of the segments."
            if several
            else f"{path} is no head of a WFDB record, or names no signals."
        )
    entries = [line.split() for line in lines[1 : 1 + int(words[1])]]
    try:
        rate = float(words[2].split("/")[0].split("(")[0]) if len(words) > 2 else 250.0
        by_file: dict[str, list[list[str]]] = {}
        for entry in entries:
            by_file.setdefault(entry[0], []).append(entry)
        columns = [column for name, own in by_file.items() for column in _signals(path, name, own)]
    except InputError:
        raise
    except (ValueError, IndexError):
        raise InputError(f"{path}: the lines of its signals cannot be read; fix them.") from None
    if not rate > 0 or len({len(column.values) for column in columns}) > 1:
        raise InputError(f"{path}: its signals differ in length, or it gives no rate.")
    claimed = words[3] if len(words) > 3 else ""
    is_cut = claimed.isdigit() and int(claimed) > len(columns[0].values)
    notes = ["the end, which is cut off"] if is_cut else []
    return Table(path, columns, True, [(0, 1)], notes, rate=rate)


def _signals(path: Path, name: str, entries: list[list[str]]) -> list[Column]:
    """The signals that lie in one file, sample by sample."""
    if "/" in name or name in ("~", "-", "..", "."):
        raise InputError(f"{path} names {name!r}, which does not lie beside it.")
    found = FORMAT.fullmatch(entries[0][1])
    if found is None or found[1] not in BITS or found[1] == "8" or (found[2] or "1") != "1":
        raise InputError(
            f"{path}: signals in format {entries[0][1]} are not read (but 16, 24, 32, 61, 80 and "
            "212 are); convert them with xform, or to CSV with rdsamp -c."
        )
    file = path.parent / name
    if not file.is_file():
        raise InputError(
            f"{path} names {name}, which does not lie beside it: put it there, or move the .hea "
            "away."
        )
    content = np.fromfile(file, dtype=np.uint8)[int(found[4] or 0) :]
    bits = BITS[found[1]]
    values = _integers(content, found[1])
    values = values[: len(values) // len(entries) * len(entries)].reshape(-1, len(entries))
    if not len(values):
        raise InputError(f"{file} holds no samples; move it away.")
    columns = []
    for k, entry in enumerate(entries):
        scale = GAIN.fullmatch(entry[2]) if len(entry) > 2 else None
        gain = float(scale["gain"]) if scale else 0.0
        zero = int(entry[4]) if len(entry) > 4 else 0
        baseline = int(scale["baseline"]) if scale and scale["baseline"] else zero
        own = values[:, k].astype(np.float64)
        own[values[:, k] == INVALID[bits]] = np.nan
        own = (own - baseline) / (gain or 200.0)
        unit = (scale["unit"] if scale else None) or "mV"
        label = " ".join(entry[8:]) or f"channel_{k}"
        columns.append(Column(label, unit, "number", own))
    return columns


def _integers(content: np.ndarray, form: str) -> np.ndarray:
    if form in ("16", "61", "32"):
        size = 4 if form == "32" else 2
        whole = content[: len(content) // size * size]
        return whole.view(f"{'>' if form == '61' else '<'}i{size}").astype(np.int64)
    if form == "80":
        return content.astype(np.int64) - 128
    whole = content[: len(content) // 3 * 3].reshape(-1, 3)
    if form == "24":
        return from_int24(whole).astype(np.int64)
    whole = whole.astype(np.int64)
    pairs = np.empty((len(whole), 2), np.int64)  # 212: two samples of 12 bits in 3 bytes
    pairs[:, 0] = whole[:, 0] | (whole[:, 1] & 0x0F) << 8
    pairs[:, 1] = whole[:, 2] | (whole[:, 1] & 0xF0) << 4
    return (pairs - ((pairs & 0x800) << 1)).reshape(-1)
