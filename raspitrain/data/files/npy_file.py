"""The .npy format, read with the suspicion that a file from elsewhere deserves.

numpy's own reader believes the header; here the header is held against the size of the file, and
nothing is ever unpickled.
"""

import os
import weakref
from dataclasses import dataclass
from io import BytesIO, FileIO
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from raspitrain.errors import InputError, input_error, refuse_address
from raspitrain.hardware.board import available_memory
from raspitrain.hardware.memory import memory_error

MAX_HEADER_BYTES = 1 << 14  # a plain array's takes 128


@dataclass(frozen=True)
class NpyHeader:
    """What the header of a .npy file claims."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    offset: int  # bytes before the first value

    @property
    def num_bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


def user_path(path: str, key: str) -> Path:
    """Return a path that a user gave under `key`: `~` expanded, relative to where they stand."""
    refuse_address(path, key)
    try:
        if not isinstance(path, str | os.PathLike) or "\0" in str(path) or not str(path):
            raise ValueError
        return Path(path).expanduser()
    except (ValueError, RuntimeError):  # RuntimeError: the home of an unknown user
        raise InputError(f"{key} is {path!r}, which is no path; give a file or folder.") from None


def check_folder(folder: Path, key: str) -> None:
    """Refuse what is not a folder."""
    try:
        is_folder, exists = folder.is_dir(), folder.exists()
    except OSError as error:
        raise input_error(f"{key}: {folder} cannot be read: {error.strerror}.", error) from None
    if not is_folder:
        what = "is a file, not a folder" if exists else "does not exist"
        if not exists and not folder.is_absolute():
            what += f" (looked for from {Path.cwd()} on)"
        raise InputError(f"{key}: {folder} {what}; give the folder that holds the data.")


def open_file(path: Path) -> FileIO:
    """Open a regular file to read, unbuffered; anything else is refused with a sentence."""
    try:
        # A named pipe or a device could block or never end.
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a file.")
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except OSError as error:
        raise input_error(f"{path} cannot be read: {error.strerror}.", error) from None


def read_header(file: IO[bytes], source: str) -> NpyHeader:
    """Read the header of a .npy file, from its first byte.

    Raises
    ------
    InputError
        If it is not that format, or holds Python objects, records or an impossible shape.
    """
    not_numpy = f"{source} is not a NumPy file, or is damaged; write it with numpy.save."
    try:
        start = file.read(12)
        # Version 2 has room for a length of 4 GB, and numpy would read that much before it
        # finds it too long.
        width = 4 if start[6:7] == b"\x02" else 2
        offset = 8 + width + int.from_bytes(start[8 : 8 + width], "little")
        if offset > MAX_HEADER_BYTES:
            raise InputError(not_numpy)
        header = start + file.read(max(offset - len(start), 0))
    except OSError as error:
        raise input_error(f"{source} cannot be read: {error.strerror or error}.", error) from None
    try:
        version = np.lib.format.read_magic(BytesIO(header))
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran_order, dtype = read(BytesIO(header[8:]))
    except Exception:  # a damaged header fails in any way that Python's parser can
        raise InputError(not_numpy) from None
    if dtype.hasobject:
        raise InputError(
            f"{source} holds pickled Python objects, which are never loaded as they can run code; "
            "save it as an array of numbers or of text, cases of different lengths each filled up, "
            "as by: numpy.pad(case, (0, longest - len(case)), mode='edge')."
        )
    if dtype.names is not None or dtype.subdtype is not None or dtype.itemsize == 0:
        raise InputError(
            f"{source} holds records of type {dtype}; save it as a plain array of numbers or text."
        )
    if any(type(size) is not int or size < 0 for size in shape):
        raise InputError(f"{source} claims the impossible shape {shape}; the file is damaged.")
    return NpyHeader(shape, dtype, fortran_order, offset)


def _check_complete(header: NpyHeader, num_bytes: int, source: str) -> None:
    if header.num_bytes > num_bytes:
        raise InputError(
            f"{source} claims the shape {header.shape} of {header.dtype}, {header.num_bytes} "
            f"bytes, but only {num_bytes} are there; the file is cut short."
        )


def read_values(file: IO[bytes], header: NpyHeader, *, num_bytes: int, source: str) -> np.ndarray:
    """Read the whole array behind a header.

    Parameters
    ----------
    num_bytes : int
        What is there to read behind the header.
    """
    _check_complete(header, num_bytes, source)
    if prod(max(size, 1) for size in header.shape) * header.dtype.itemsize >= 2**63:
        # Without a value, but with a side that no array has.
        raise InputError(f"{source} claims the impossible shape {header.shape}; it is damaged.")
    check_fits(header.num_bytes, source)
    values = np.empty(prod(header.shape), dtype=header.dtype)
    try:
        _read_fully(file, values, source)
    except OSError as error:
        raise input_error(f"{source} cannot be read: {error.strerror or error}.", error) from None
    return values.reshape(header.shape, order="F" if header.fortran_order else "C")


def check_fits(num_bytes: int, source: str) -> None:
    """Refuse to read an array that is larger than what is free."""
    if num_bytes > (free := available_memory()):
        raise memory_error(
            f"{source} holds {num_bytes / 1e9:.1f} GB but {free / 1e9:.1f} GB of memory are "
            "free; a set larger than memory is trained from a folder with data.npy, dataset=npy.",
            num_bytes,
        )


def _read_fully(file: IO[bytes], buffer: np.ndarray, source: str) -> None:
    view = buffer.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(view):
        # zipfile decompresses all that it is asked for at once, beside the buffer.
        count = file.readinto(view[done : done + (1 << 20)])  # type: ignore[attr-defined]
        if not count:
            raise InputError(f"{source} ends early, after {done} bytes; the file is cut short.")
        done += count


def load_npy(path: Path) -> np.ndarray:
    """Read a .npy file whole."""
    with open_file(path) as file:
        header = read_header(file, str(path))
        size = os.fstat(file.fileno()).st_size
        return read_values(file, header, num_bytes=size - header.offset, source=str(path))


class StoredSignals:
    """Signals (N, C, L) in a .npy file, of which only what is asked for is read.

    `pread` and not a memory map: the pages of a map count as resident memory until they are given
    back, and if the card is pulled out or the file cut, touching one kills the process instead of
    raising an error. The system caches what is read either way, in memory that is free.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with open_file(path) as file:
            header = read_header(file, str(path))
            size = os.fstat(file.fileno()).st_size - header.offset
            self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self.shape = header.shape
        self.dtype = header.dtype
        self._offset = header.offset
        _check_complete(header, size, str(path))
        if header.fortran_order and len(header.shape) > 1:
            raise InputError(
                f"{path} is in Fortran order, which scatters each case over the whole file; "
                "save numpy.ascontiguousarray(data) instead."
            )
        self._case_bytes = prod(header.shape[1:]) * header.dtype.itemsize

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        """Read cases, (B,) of int64 to (B, C, L) as stored, in the order they lie in the file."""
        out = np.empty((len(indices), *self.shape[1:]), dtype=self.dtype)
        if not out.size:
            return out
        if (indices < 0).any() or (indices >= self.shape[0]).any():
            raise IndexError(f"cases must lie within 0…{self.shape[0] - 1}")
        rows = out.reshape(-1).view(np.uint8).data
        if (np.diff(indices) == 1).all():
            self._read(rows, int(indices[0]))
            return out
        order = np.argsort(indices, kind="stable")
        for row, case in zip(order.tolist(), indices[order].tolist(), strict=True):
            self._read(rows[row * self._case_bytes : (row + 1) * self._case_bytes], case)
        return out

    def _read(self, buffer: memoryview, case: int) -> None:
        position = self._offset + case * self._case_bytes
        while buffer:
            try:
                count = os.preadv(self._descriptor, [buffer], position)
            except OSError as error:
                raise input_error(
                    f"{self._path} cannot be read: {error.strerror}.", error
                ) from None
            if count == 0:
                raise InputError(
                    f"{self._path} ends within case {case}; the file was cut while in use."
                )
            buffer, position = buffer[count:], position + count
