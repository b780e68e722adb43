"""Samples as bytes, as arecord and sox write them: no lines, channels one after another."""

import sys
from array import array
from collections.abc import Iterator

# What one number is, what counts as 0, and what full scale is: as a WAV of that kind is read.
FORMATS = {
    "u8": ("B", 128, 128.0),
    "s16le": ("h", 0, 2.0**15),
    "s32le": ("i", 0, 2.0**31),
    "f32le": ("f", 0, 1.0),
}


class Frames:
    """Puts samples of all channels together from chunks that end anywhere."""

    def __init__(self, form: str, num_channels: int) -> None:
        self._code, self._zero, self._scale = FORMATS[form]
        self._num_channels = num_channels
        self._width = array(self._code).itemsize * num_channels
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[list[float]]:
        """The samples (C,) that end in a chunk."""
        chunk = self._rest + chunk
        whole = len(chunk) // self._width * self._width
        self._rest = chunk[whole:]
        values = array(self._code, chunk[:whole])
        if sys.byteorder == "big":
            values.byteswap()
        zero, scale, count = self._zero, self._scale, self._num_channels
        for at in range(0, len(values), count):
            yield [(value - zero) / scale for value in values[at : at + count]]
