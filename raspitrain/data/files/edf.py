"""EDF, EDF+ and BDF: recordings of EEG, sleep and ECG.

Kemp et al., A simple format for exchange of digitized polygraphic recordings, 1992; Kemp and
Olivan, EDF+, 2003; BDF is BioSemi's with 24 bits.
"""

from pathlib import Path

import numpy as np

from raspitrain.data.files.csv_file import Column, Table
from raspitrain.data.files.edf_marks import ANNOTATIONS, MOST_SIGNALS, annotations
from raspitrain.data.files.int24 import from_int24
from raspitrain.errors import InputError

FIELDS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)  # bytes of each signal's entries
LABEL, UNIT, LOW, HIGH, DIGITAL_LOW, DIGITAL_HIGH, COUNT = 0, 2, 3, 4, 5, 6, 8


def read_edf(path: Path) -> Table:
    """Read the signals of the highest rate, in their units; slower ones are noted, not taken.

    Raises
    ------
    InputError
        It is none, is cut short in its head, or has gaps (EDF+D).
    """
    content = (
        np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.empty(0, "u1")
    )
    head = bytes(content[:256])
    is_bdf = head[:1] == b"\xff"
    width = 3 if is_bdf else 2
    try:
        if len(head) < 256 or not (is_bdf or head[:8].strip() == b"0"):
            raise ValueError
        num_signals = int(head[252:256])
        duration = float(head[244:252])
        start = int(head[184:192])
        if not 0 < num_signals <= MOST_SIGNALS or start != 256 * (num_signals + 1):
            raise ValueError
        fields = _fields(bytes(content[256:start]), num_signals)
        counts = [int(text) for text in fields[COUNT]]
        if min(counts) < 0 or not sum(counts):
            raise ValueError
    except (ValueError, IndexError):
        raise InputError(f"{path} is no EDF or BDF file, or its head is damaged.") from None
    if head[192:197] in (b"EDF+D", b"BDF+D"):
        raise InputError(
            f"{path} has gaps (EDF+D), which are not read; export it as continuous EDF, a file for "
            "each stretch."
        )
    record = width * sum(counts)
    num_records = (len(content) - start) // record
    if not num_records or not duration > 0:
        raise InputError(f"{path} holds no signals; it may have been cut off while recording.")
    records = content[start : start + num_records * record].reshape(num_records, record)
    signals = [k for k in range(num_signals) if counts[k] and fields[LABEL][k] not in ANNOTATIONS]
    if not signals:
        raise InputError(
            f"{path} holds annotations but no signals, and no recording beside it is called and "
            "began as it did; name it as that is, or write them as start, end and label into a "
            "file NAME.labels.csv beside the recording NAME that they are of, and move this one."
        )
    most = max(counts[k] for k in signals)
    ends = width * np.cumsum([0, *counts])
    columns, notes = [], []
    for k in signals:
        name = fields[LABEL][k] or f"channel_{k}"
        if counts[k] < most:
            notes.append(f"{name}, at {counts[k] / duration:g} Hz slower than the others")
            continue
        raw = np.ascontiguousarray(records[:, ends[k] : ends[k + 1]]).reshape(-1, width)
        columns.append(Column(name, fields[UNIT][k], "number", _scaled(path, raw, fields, k)))
    texts = [
        bytes(record[ends[k] : ends[k + 1]])
        for record in records
        for k in range(num_signals)
        if fields[LABEL][k] in ANNOTATIONS
    ]
    marked = _marked(annotations(texts), num_records * most, most / duration)
    if marked is not None:
        columns.append(marked)
    claimed = head[236:244].strip()
    if claimed.isdigit() and int(claimed) > num_records:
        notes.append("the last records, which are cut off")
    table = Table(path, columns, True, [(0, 1)], notes, rate=most / duration)
    if marked is not None:
        table.changes.append("annotations read into the column 'annotation'")
    return table


def _marked(found: list[tuple[float, float, str]], num_samples: int, rate: float) -> Column | None:
    """What is annotated at each sample, "" for nothing; None where no annotation has a length."""
    lasting = [(onset, length, word) for onset, length, word in found if length > 0]
    if not lasting:
        return None
    words = ["", *dict.fromkeys(word for *_, word in lasting)]
    codes = np.zeros(num_samples, dtype=np.int32)
    for onset, length, word in lasting:
        begin, end = (max(0, round(at * rate)) for at in (onset, onset + length))
        codes[begin:end] = words.index(word)
    return Column("annotation", "", "text", codes, tuple(words))


def _fields(text: bytes, num_signals: int) -> list[list[str]]:
    fields, at = [], 0
    for size in FIELDS:
        own = [text[at + size * k : at + size * (k + 1)] for k in range(num_signals)]
        fields.append([entry.decode("latin-1").strip("\0 ") for entry in own])
        at += size * num_signals
    return fields


def _scaled(path: Path, raw: np.ndarray, fields: list[list[str]], k: int) -> np.ndarray:
    try:
        low, high, least, most = (
            float(fields[entry][k]) for entry in (LOW, HIGH, DIGITAL_LOW, DIGITAL_HIGH)
        )
        gain = (high - low) / (most - least)
        if not np.isfinite(gain) or gain == 0:
            raise ZeroDivisionError
    except (ValueError, ZeroDivisionError):
        raise InputError(
            f"{path}: signal {fields[LABEL][k]!r} does not say what its numbers mean (physical and "
            "digital range)."
        ) from None
    values = raw.view("<i2")[:, 0] if raw.shape[1] == 2 else from_int24(raw)
    return low + gain * (values.astype(np.float64) - least)
