"""TensorBoard's event files, written without TensorBoard: it takes 57 MB, and this a page.

An event file is a row of records (length, its checksum, data, its checksum), and the data are
protocol buffers: tensorflow's event.proto and summary.proto name the fields. The viewer runs on
another machine: `tensorboard --logdir outputs`.
"""

import os
import re
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raspitrain.track import RunFacts

NAME = re.compile(r"events\.out\.tfevents\.\d+\.[\w.-]+\.raspitrain")
PART = re.compile(r"^(train|validation|test)_")  # TensorBoard puts what is before a / together
NO_SCALARS = ("epoch", "step")  # what the others are drawn over


class TensorBoard:
    """Writes one event file into the run's own folder; nothing is sent anywhere."""

    def __init__(self) -> None:
        self.path = Path()

    def begin(self, run: RunFacts, known: str | None) -> str:
        name = f"events.out.tfevents.{int(run.began)}.{socket.gethostname()}.raspitrain"
        if known is not None and NAME.fullmatch(known):
            name = known
        self.path = Path(run.folder, name)
        if not self.path.exists():
            words = "\n".join(f"    {key}: {value}" for key, value in run.config.items())
            self._append(
                _event(run.began, 0, _text_field(3, b"brain.Event:2"))
                + _event(run.began, 0, _summary_of_text("config", words)),
            )
        return name

    def evaluation(self, rows: Sequence[Mapping[str, float]]) -> None:
        now = time.time()
        records = b"".join(
            _event(now, int(row["step"]), b"".join(
                _summary_of_scalar(PART.sub(r"\1/", name), value)
                for name, value in row.items()
                if name not in NO_SCALARS
            ))
            for row in rows
        )  # fmt: skip
        self._append(records)

    def end(self, summary: Mapping[str, Any]) -> None:
        step = int(summary.get("steps") or 0)
        figures = b"".join(
            _summary_of_scalar(f"summary/{name}", value)
            for name, value in summary.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        )
        self._append(_event(time.time(), step, figures))

    def _append(self, records: bytes) -> None:
        # A folder from elsewhere may hold a link of that name.
        descriptor = os.open(
            self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644
        )
        with open(descriptor, "ab") as file:
            file.write(records)


def _event(seconds: float, step: int, what: bytes) -> bytes:
    """One record; `what` is a field of an Event: its version, or one or more summaries."""
    data = struct.pack("<Bd", 0x09, seconds) + b"\x10" + _varint(step) + what
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _summary_of_scalar(tag: str, value: float) -> bytes:
    inner = _text_field(1, tag.encode()) + struct.pack("<Bf", 0x15, value)
    return _text_field(5, _text_field(1, inner))


def _summary_of_text(tag: str, text: str) -> bytes:
    shape = _text_field(2, _text_field(2, b"\x08\x01"))  # one text
    tensor = b"\x08\x07" + shape + _text_field(8, text.encode())
    plugin = _text_field(1, _text_field(1, b"text"))
    inner = _text_field(1, tag.encode()) + _text_field(9, plugin) + _text_field(8, tensor)
    return _text_field(5, _text_field(1, inner))


def _text_field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


CRC_TABLE = _crc_table()


def _checksum(data: bytes) -> bytes:
    """CRC-32C, rotated and shifted as the format asks."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
