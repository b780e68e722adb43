"""The engine in C: found or compiled, and a network prepared in it.

An installed wheel brings the library (infer-MACHINE.so, beside this file). From a source tree it is
compiled on first use and kept in ~/.cache/raspitrain or $XDG_CACHE_HOME/raspitrain, named after its
source, its own check sum at its end: which kernels do the work is decided when it runs, so it
serves every processor of its kind.
"""

import os
import zlib

from raspitrain.errors import InputError
from raspitrain.use.foreign import (
    PyDLL,
    addressof,
    c_char_p,
    c_float,
    c_int,
    c_int64,
    c_uint8,
    c_void_p,
)
from raspitrain.use.library import FLAGS, FOLDER, LIBRARIES, SOURCES, content_of, is_intact
from raspitrain.use.network import description

ALIGNMENT = 64
MOST_BYTES = 1 << 30  # of memory that a network may work in

_POINTER, _NUMBER = c_void_p, c_int64
_library: PyDLL | None = None


def library() -> PyDLL:
    """The compiled engine. Calls into it hold Python's lock: a prepared network has one caller.

    Raises
    ------
    InputError
        It is not there and cannot be compiled, or cannot be loaded; says what to do.
    """
    global _library
    if _library is None:
        path = _find()
        try:
            _library = _declare(PyDLL(path))
        except OSError as error:
            raise InputError(
                f"the compiled inference engine cannot be loaded ({error}): set XDG_CACHE_HOME to "
                "a folder that programs may be run from, or CC to another compiler."
            ) from error
    return _library


def _find() -> str:
    machine = os.uname().machine
    brought = os.path.join(FOLDER, f"infer-{machine}.so")
    if os.path.exists(brought):
        return brought
    key = zlib.crc32(repr((FLAGS, LIBRARIES, machine)).encode())
    for name in SOURCES:
        key = zlib.crc32(content_of(f"{FOLDER}/{name}"), key)
    path = os.path.join(cache_folder(), f"infer-{key:08x}.so")
    if not is_intact(path):
        from raspitrain.use.build import build  # takes long to import, as it is needed once

        build(path)
    return path


def cache_folder() -> str:
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # as the XDG rules have it
        base = os.path.expanduser("~/.cache")
    return os.path.join(base, "raspitrain")


def _declare(engine: PyDLL) -> PyDLL:
    for name, result, *arguments in (
        ("kernels", c_char_p, c_int),
        ("floats", _NUMBER, _POINTER, c_int),
        ("sha256", None, _POINTER, _NUMBER, _POINTER),
        ("frontend", None, _POINTER, _POINTER, _NUMBER, _NUMBER, _POINTER),
    ):
        function = getattr(engine, f"raspitrain_{name}")
        function.restype, function.argtypes = result, arguments
    return engine


def kernels() -> list[str]:
    """Names of the kernels that this processor can use, the best first."""
    found: list[str] = []
    while (name := library().raspitrain_kernels(len(found))) is not None:
        found.append(name.decode())
    return found


def plain_floats(network: dict) -> int:
    """Floats that a network works in where the kernels are those in plain C."""
    numbers = description(network)
    described = (c_int64 * len(numbers))(*numbers)
    return int(library().raspitrain_floats(described, len(kernels()) - 1))


def sha256(address: int, size: int) -> bytes:
    digest = (c_uint8 * 32)()
    library().raspitrain_sha256(address, size, digest)
    return bytes(digest)


def most_memory(num_bytes: int) -> int:
    """The bytes that a network works in, unless they are too many: an InputError."""
    if not 0 < num_bytes <= MOST_BYTES:
        raise InputError(
            f"it would take {num_bytes / 1e6:.0f} MB of memory for a window, more than "
            f"{MOST_BYTES / 1e6:.0f}"
        )
    return num_bytes


class Engine:
    """A network, prepared: `run` is all that is left to do for a window.

    Parameters
    ----------
    addresses : of the tensors, as `raspitrain.use.network.tensors` orders them
    keep : what holds their memory
    rank : of the kernels in `kernels()`
    """

    prefix = "raspitrain_"  # of the functions in C that work for it
    describe = staticmethod(description)

    def __init__(self, network: dict, addresses: list[int], keep: object, rank: int = 0) -> None:
        self._keep = keep
        self._prepare(network, addresses, rank)
        self.kernels: str = library().raspitrain_kernels(rank).decode()

    def _prepare(self, network: dict, addresses: list[int], *rank: int) -> int:
        """Take memory to work and to answer in, and prepare a network in it; what C answers."""
        numbers = self.describe(network)
        self._numbers = (c_int64 * len(numbers))(*numbers)
        bytes_of, prepare, self._run = (
            getattr(library(), f"{self.prefix}{name}") for name in ("bytes", "prepare", "run")
        )
        ranks = (c_int,) * len(rank)
        bytes_of.restype, bytes_of.argtypes = _NUMBER, (_POINTER, *ranks)
        prepare.argtypes = (_POINTER, _POINTER, _POINTER, *ranks)
        self._run.argtypes = (_POINTER, _POINTER, _NUMBER, _NUMBER, _POINTER)
        self.num_bytes = most_memory(bytes_of(self._numbers, *rank))
        self.num_classes = network["classes"]
        self._memory = (c_uint8 * (self.num_bytes + ALIGNMENT))()
        address = addressof(self._memory)
        self._prepared = address + -address % ALIGNMENT
        self._logits = (c_float * self.num_classes)()
        places = (c_void_p * len(addresses))(*addresses)
        said: int = prepare(self._prepared, self._numbers, places, *rank)
        return said

    def run(self, window: int, channel_stride: int, sample_stride: int) -> list[float] | None:
        """Logits of the window at an address, float32; sample l of channel c lies
        `c * channel_stride + l * sample_stride` floats on.

        None where a value, normalised, is infinite or no number.
        """
        if not self._run(self._prepared, window, channel_stride, sample_stride, self._logits):
            return None
        return list(self._logits)
