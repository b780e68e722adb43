"""Plain lines of a table to numbers, by our own C: compiled on first use, or done without."""

import ctypes
import functools
import logging
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raspitrain.compiled import REMEDY, compile_once, why_not

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_suffix(".c")
FLAGS = ("-O3", "-fPIC", "-shared")
NUMBER, WORD, STAMP = 0, 1, 2


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled reader; None, and a line in the log, where it cannot be had."""
    try:
        compiled = compile_once(SOURCE, FLAGS, machine=platform.machine())
        loaded = ctypes.CDLL(str(compiled))
    except (OSError, subprocess.SubprocessError) as error:
        log.warning(
            "CSV is read without C, several times as slowly (%s): %s", REMEDY, why_not(error)
        )
        return None
    loaded.read_rows.restype = ctypes.c_int64
    address = ctypes.c_void_p
    loaded.read_rows.argtypes = [
        address, ctypes.c_int64, ctypes.c_char, ctypes.c_int32, address, ctypes.c_int,
        ctypes.c_int64, address, address, address, address,
    ]  # fmt: skip
    return loaded


class Rows:
    """What one call reads.

    Attributes
    ----------
    numbers : np.ndarray
        float64 (rows, columns of numbers).
    cells : np.ndarray
        int64 (rows, other columns, 2): where each cell begins and ends in the block; -1 of a word
        that is that of the row before.
    stop : int
        Where the first line begins that was not read.
    """

    def __init__(self, numbers: np.ndarray, cells: np.ndarray, stop: int) -> None:
        self.numbers, self.cells, self.stop = numbers, cells, stop


class Reader:
    """Reads the lines of one file, block by block, into buffers of its own."""

    def __init__(self, loaded: ctypes.CDLL, separator: str, kinds: Sequence[int]) -> None:
        self._library = loaded
        self._separator = separator.encode()
        self._kinds = np.array(kinds, dtype=np.uint8)
        self._num_numbers = int((self._kinds == NUMBER).sum())
        self._numbers = np.empty((0, self._num_numbers))
        self._cells = np.empty((0, len(kinds) - self._num_numbers, 2), dtype=np.int64)

    def read(self, block: bytes, start: int, *, comma: bool, looks: np.ndarray | None) -> Rows:
        """Read as many lines from `start` on as are plain.

        Parameters
        ----------
        comma : bool
            Whether a comma may be a decimal point.
        looks : np.ndarray or None
            int32, of each column, how its numbers are written: bits are added.
        """
        width = len(self._kinds)
        if len(self._numbers) < (most := len(block) // width + 1):
            self._numbers = np.empty((most, self._num_numbers))
            self._cells = np.empty((most, width - self._num_numbers, 2), dtype=np.int64)
        stop = ctypes.c_int64()
        address = np.frombuffer(block, dtype=np.uint8).ctypes.data
        count = self._library.read_rows(
            address + start, len(block) - start, self._separator, width, self._kinds.ctypes.data,
            comma, most, self._numbers.ctypes.data, self._cells.ctypes.data,
            None if looks is None else looks.ctypes.data, ctypes.addressof(stop),
        )  # fmt: skip
        if count < 0:
            raise MemoryError
        cells = self._cells[:count]
        cells[cells >= 0] += start
        return Rows(self._numbers[:count], cells, start + stop.value)
