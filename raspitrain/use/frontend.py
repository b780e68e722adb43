"""A front end before an engine: spectra of raw windows in place of the windows themselves."""

import math

from raspitrain.data.bands import (
    KINDS,
    LEAST_WINDOW,
    MOST_BANDS,
    MOST_WINDOW,
    bands_of,
    fft_size,
    hann,
)
from raspitrain.errors import InputError
from raspitrain.use.engine import Engine, library
from raspitrain.use.foreign import (
    Array,
    Structure,
    addressof,
    c_double,
    c_float,
    c_int64,
    c_void_p,
    sizeof,
)
from raspitrain.use.network import (
    MOST_LENGTH,
    MOST_VALUES,
    check_choice,
    check_keys,
    check_number,
    is_number,
    num_inputs,
)

LEAST_FLOOR = 1e-300  # whose logarithm spectra.h takes
KEYS = "kind window hop bands low high rate floor length"


def check_frontend(given: object, network: dict) -> int:
    """Channels of a raw window, whose front end stands in a model's header.

    Raises
    ------
    InputError
        Something is missing or out of its bounds, or does not go with the network.
    """
    name = "input.frontend"
    f = check_keys(given, name, KEYS)
    check_choice(f["kind"], f"{name}.kind", KINDS)
    check_number(f["window"], f"{name}.window", LEAST_WINDOW, MOST_WINDOW)
    check_number(f["hop"], f"{name}.hop", 1, MOST_LENGTH)
    check_number(f["length"], f"{name}.length", f["window"], MOST_LENGTH)
    if f["bands"] is not None or f["kind"] == "logmel":
        check_number(f["bands"], f"{name}.bands", 1, MOST_BANDS)
    for key, least in (("low", 0), ("high", 1e-9), ("rate", 1e-9), ("floor", LEAST_FLOOR)):
        if not is_number(f[key], least=least):
            raise InputError(f"{name}.{key} is not a number of {least:g} or more")
    if not f["low"] < f["high"] <= 0.5000001 * f["rate"]:
        raise InputError(f"{name} has bands that do not rise up to half its rate")
    count = len(_bands(f))
    if count > MOST_BANDS:
        raise InputError(f"{name} has {count} bands, more than {MOST_BANDS}")
    channels = num_inputs(network)
    if channels % count or num_frames(f) != network["length"]:
        raise InputError(f"{name} does not give what the network takes")
    if channels // count * f["length"] > MOST_VALUES:
        raise InputError(f"{name}: a window of so many values is more than the engine takes")
    return channels // count


def num_frames(frontend: dict) -> int:
    return 1 + (frontend["length"] - frontend["window"]) // frontend["hop"]


def num_bands(frontend: dict) -> int:
    return len(_bands(frontend))


def _bands(f: dict) -> list[tuple[int, list[float]]]:
    return bands_of(f["kind"], f["window"], f["bands"], f["low"], f["high"], f["rate"])


class Tables:
    """What spectra.h computes with, of a front end."""

    __slots__ = ("count", "first", "hann", "points", "twiddles", "weights")

    def __init__(self, frontend: dict) -> None:
        bands = _bands(frontend)
        self.points = fft_size(frontend["window"])
        angles = [2 * math.pi * k / self.points for k in range(self.points // 2)]
        self.hann = hann(frontend["window"])
        self.twiddles = [v for a in angles for v in (math.cos(a), math.sin(a))]
        self.first = [first for first, _ in bands]
        self.count = [len(own) for _, own in bands]
        self.weights = [weight for _, own in bands for weight in own]


class _Prepared(Structure):
    """As in spectra.h."""

    _fields_ = (
        *((name, c_int64)
          for name in ("channels", "frames", "window", "hop", "points", "bands")),
        *((name, c_void_p) for name in ("hann", "twiddles", "first", "count", "weights")),
        ("floor", c_double),
        ("work", c_void_p),
    )  # fmt: skip


class FrontendEngine(Engine):
    """An engine behind a front end, for windows as they are recorded."""

    def __init__(self, engine: Engine, channels: int, frontend: dict) -> None:
        f, tables = frontend, Tables(frontend)
        bands, frames = len(tables.first), num_frames(f)
        held = [
            _doubles(tables.hann),
            _doubles(tables.twiddles),
            _integers(tables.first),
            _integers(tables.count),
            _doubles(tables.weights),
            (c_double * (2 * tables.points))(),
            (c_float * (channels * bands * frames))(),
        ]
        *addresses, work, seen = map(addressof, held)
        self._keep = held
        self._described = _Prepared(
            channels, frames, f["window"], f["hop"], tables.points, bands,
            *addresses, f["floor"], work,
        )  # fmt: skip
        self._address, self._seen = addressof(self._described), seen
        self._frames = frames
        self._compute = library().raspitrain_frontend
        self._engine = engine
        self.kernels: str = engine.kernels
        self.num_classes: int = engine.num_classes
        self.num_bytes: int = engine.num_bytes + sum(map(sizeof, held))

    def run(self, window: int, channel_stride: int, sample_stride: int) -> list[float] | None:
        """As `Engine.run`, of a raw window."""
        self._compute(self._address, window, channel_stride, sample_stride, self._seen)
        return self._engine.run(self._seen, self._frames, 1)


def _doubles(values: list[float]) -> Array:
    return (c_double * len(values))(*values)


def _integers(values: list[int]) -> Array:
    return (c_int64 * len(values))(*values)
