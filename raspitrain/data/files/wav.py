"""WAV, as microphones and vibration loggers leave it; Python's own `wave` reads no floats.

RIFF WAVE: Multimedia Programming Interface and Data Specifications 1.0, IBM and Microsoft, 1991.
"""

import struct
from pathlib import Path

import numpy as np

from raspitrain.data.files.csv_file import Column, Table
from raspitrain.data.files.int24 import from_int24
from raspitrain.errors import InputError

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
MOST_CHANNELS = 256
UNKNOWN = 0xFFFFFFFF  # a size that nobody knew yet


def read_wav(path: Path) -> Table:
    """Read integers of 8 to 32 bits, as parts of full scale (-1 to 1), or floats as they are.

    Raises
    ------
    InputError
        It is no WAV, is compressed, or ends before its samples.
    """
    content = (
        np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.empty(0, "u1")
    )
    head = bytes(content[:12])
    if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        raise InputError(
            f"{path} is no WAV file, whatever its name says; if it is sound of another form, make "
            "one of it, as with: ffmpeg -i OLD -c:a pcm_s16le NEW.wav; else move it away."
        )
    at, form = 12, None
    while at + 8 <= len(content):
        name, size = struct.unpack("<4sI", bytes(content[at : at + 8]))
        at += 8
        if name == b"fmt ":
            form = bytes(content[at : at + 40][:size])
        elif name == b"data":
            if form is None or len(form) < 16:
                break
            # A recorder that was cut off, or wrote into a pipe, leaves 0 or 2^32 - 1 there.
            left = len(content) - at
            is_cut = left < size < UNKNOWN
            data = content[at : at + (size if 0 < size <= left else left)]
            return _table(path, form, data, ["the end, which is cut off"] if is_cut else [])
        at += size + size % 2
    raise InputError(
        f"{path} holds no samples; it may have been cut off while it was recorded: move it away."
    )


def _table(path: Path, form: bytes, data: np.ndarray, notes: list[str]) -> Table:
    kind, num_channels, rate, _, frame, bits = struct.unpack("<HHIIHH", form[:16])
    if kind == EXTENSIBLE and len(form) >= 26:
        (kind,) = struct.unpack("<H", form[24:26])
    width = frame // num_channels if num_channels else 0
    good = kind == PCM and width in (1, 2, 3, 4) and bits <= 8 * width
    good |= kind == FLOAT and width in (4, 8)
    if (
        not good
        or frame != width * num_channels
        or not 1 <= num_channels <= MOST_CHANNELS
        or not rate
    ):
        raise InputError(
            f"{path} holds {bits} bits in form {kind}, which is compressed or unknown; convert it "
            "to PCM, as with: ffmpeg -i IN -c:a pcm_s16le OUT.wav."
        )
    data = data[: len(data) // frame * frame]
    if not len(data):
        raise InputError(
            f"{path} holds no samples; it may have been cut off while it was recorded: move it "
            "away."
        )
    frames = data.reshape(-1, num_channels, width)
    names = {1: ("audio",), 2: ("left", "right")}.get(num_channels) or tuple(
        f"channel_{k}" for k in range(num_channels)
    )
    columns = [
        Column(name, "", "number", _samples(frames[:, k], kind)) for k, name in enumerate(names)
    ]
    return Table(path, columns, True, [(0, 1)], notes, rate=float(rate))


def _samples(part: np.ndarray, kind: int) -> np.ndarray:
    """One channel, bytes (T, width), as float32 or float64 (T,)."""
    width = part.shape[1]
    part = np.ascontiguousarray(part)
    if kind == FLOAT:
        return part.view(f"<f{width}")[:, 0].copy()
    if width == 1:  # the only one without a sign
        return (part[:, 0].astype(np.float32) - 128) / 128
    if width == 3:
        return (from_int24(part) / 2.0**23).astype(np.float32)
    scaled = part.view(f"<i{width}")[:, 0] / 2.0 ** (8 * width - 1)
    return scaled.astype(np.float32) if width == 2 else scaled
