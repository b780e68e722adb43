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


STEREO = ["left", "right"]  # as a WAV of two channels is read


def channels_of(model_channels: list[str]) -> list[str]:
    """What a source has that is like the recordings of training: both sides, where the model takes
    one alone, as the other never changed."""
    return STEREO if set(model_channels) < set(STEREO) else model_channels


class Frames:
    """Puts samples of a model's channels together from chunks that end anywhere."""

    def __init__(self, form: str, channels: list[str]) -> None:
        self._code, self._zero, self._scale = FORMATS[form]
        every = channels_of(channels)
        self._num_channels = len(every)
        self._places = [every.index(name) for name in channels]
        self._width = array(self._code).itemsize * len(every)
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
            yield [(values[at + place] - zero) / scale for place in self._places]
