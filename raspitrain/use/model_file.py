"""The model file, model.rpt: what is in it, and a reader that believes none of it.

    magic, 8 bytes: "RASPITR" and the format's version, 1
    length of the header, 8 bytes, little-endian
    header, JSON in UTF-8
    tensors, those of the header's network in their order, each from a multiple of 64 bytes on
    SHA-256 of all before it, 32 bytes

Data only: nothing in it is run, and nothing is imported on its word. docs/model-file.md describes
the header's keys.
"""

import mmap
import os
import stat

from raspitrain.errors import InputError
from raspitrain.use.engine import sha256
from raspitrain.use.foreign import addressof, c_char
from raspitrain.use.kinds import check_network, tensors
from raspitrain.use.network import AMPLITUDES, Tensor, is_number, num_inputs

NAME = "model.rpt"
MAGIC, VERSION = b"RASPITR", 1
ALIGNMENT = 64
DIGEST_BYTES = 32
MOST_HEADER = 16 << 20
NUM_PROOFS = 4
MISSING = ("error", "interpolate", "zero")


def is_model_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as a model file does; not what cannot be read, or would block."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def all_tensors(network: dict, shape: tuple[int, int]) -> list[Tensor]:
    """Those of the weights, and of the windows that prove them, raw and of this shape."""
    (channels, length), classes = shape, network["classes"]
    return [
        *tensors(network),
        Tensor("proof.windows", "float32", NUM_PROOFS, channels, length),
        Tensor("proof.logits", "float32", NUM_PROOFS, classes),
    ]


def offsets(found: list[Tensor]) -> list[int]:
    """Where tensors in this order begin, from where the first does, and where the last ends."""
    places, at = [], 0
    for tensor in found:
        places.append(at)
        end = at + tensor.num_bytes
        at = aligned(end)
    return [*places, end]


class ModelFile:
    """An open model file, checked.

    Attributes
    ----------
    num_bytes : of the file
    digest : SHA-256 of the model, in hexadecimal: its name among all models
    addresses : where the tensors of `tensors(header["network"])` lie, then the proof's two
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._map = _map(path)
        self.num_bytes = len(self._map)
        # Copied on a write, of which there is none: ctypes takes no memory that forbids it.
        start = addressof(c_char.from_buffer(self._map))
        content = self.num_bytes - DIGEST_BYTES
        length = _header_length(path, self._map)
        digest = sha256(start, content)
        if digest != self._map[content:]:
            raise damaged(path)
        self.digest = digest.hex()
        try:
            self.header = _parse(self._map[16 : 16 + length])
            first = aligned(16 + length)
            *places, end = offsets(_check_header(self.header))
            if first + end != content:
                raise InputError("its tensors are not those of its network")
        except InputError as error:
            raise InputError(f"{path} is not a model that raspitrain wrote: {error}.") from error
        self.addresses = [start + first + place for place in places]


def damaged(path: str) -> InputError:
    return InputError(
        f"{path} is damaged or cut short: copy it again, or write it again with "
        "raspitrain export RUN."
    )


def _map(path: str) -> mmap.mmap:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise InputError(f"there is no model {path}.") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        why = getattr(error, "strerror", None) or error
        raise InputError(f"the model {path} cannot be read ({why}).") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _foreign(path)
        if status.st_size < 16 + DIGEST_BYTES:
            if os.pread(descriptor, len(MAGIC), 0) == MAGIC:
                raise damaged(path)
            raise _foreign(path)
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
    except OSError as error:
        raise InputError(f"the model {path} cannot be read ({error.strerror}).") from error
    finally:
        os.close(descriptor)


def _header_length(path: str, content: mmap.mmap) -> int:
    if content[: len(MAGIC)] != MAGIC:
        raise _foreign(path)
    if content[len(MAGIC)] != VERSION:
        raise InputError(
            f"{path} has model format {content[len(MAGIC)]}, and this raspitrain reads format "
            f"{VERSION}: use the raspitrain that wrote it, or a newer one."
        )
    length = int.from_bytes(content[8:16], "little")
    if length > min(MOST_HEADER, len(content) - 16 - DIGEST_BYTES):
        raise damaged(path)
    return length


def _foreign(path: str) -> InputError:
    return InputError(f"{path} is not a model of raspitrain: give a {NAME}, or a run's folder.")


class _Rules:
    """What the scanner of JSON asks for, as json.JSONDecoder has it."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_int = int
    memo: dict = {}  # noqa: RUF012 - of the scanner in Python

    @staticmethod
    def parse_float(text: str) -> float:
        value = float(text)
        if value - value != 0:
            raise ValueError("a number that no float holds")
        return value

    @staticmethod
    def parse_constant(name: str) -> None:
        raise ValueError(name)


def _parse(text: bytes) -> dict:
    try:
        decoded = text.decode()
        try:
            # The scanner behind json: the module around it takes more of a start than the model.
            from _json import make_scanner
        except ImportError:
            import json

            value = json.loads(
                decoded, parse_float=_Rules.parse_float, parse_constant=_Rules.parse_constant
            )
        else:
            value, end = make_scanner(_Rules)(decoded, 0)  # type: ignore[arg-type]
            if end != len(decoded):
                raise ValueError
    except (ValueError, StopIteration, RecursionError, SystemError) as error:
        # SystemError: what the scanner would raise is in the module json, which is not there.
        raise InputError("its header is not JSON") from error
    if not isinstance(value, dict):
        raise InputError("its header is not an object")
    return value


# ---------------------------------------------------------------- what the header must be


def _check_header(header: dict) -> list[Tensor]:
    """Check every value that is used later on; return the tensors that there must be."""
    for key in ("network", "input", "output", "proof", "provenance"):
        if key not in header:
            raise InputError(f"it has no {key}")
    network = check_network(header["network"])
    shape = _check_input(header["input"], network)
    _check_output(header["output"], network)
    if not isinstance(header["provenance"], dict):
        raise InputError("provenance is not an object")
    proof = header["proof"]
    if not isinstance(proof, dict) or not is_number(proof.get("tolerance"), least=0):
        raise InputError("proof.tolerance is not a number of 0 or more")
    return all_tensors(network, shape)


def _check_input(given: object, network: dict) -> tuple[int, int]:
    """Channels and samples of a raw window."""
    if not isinstance(given, dict):
        raise InputError("input is not an object")
    seen = channels = num_inputs(network)
    length: int = network["length"]
    if given.get("frontend") is not None:
        from raspitrain.use.frontend import check_frontend  # seldom there, and a start is short

        channels, length = check_frontend(given["frontend"], network), given["frontend"]["length"]
    _names(given, "input", "channels", channels)
    _numbers(given, "input", "mean", seen)
    _numbers(given, "input", "std", seen)
    if min(given["std"]) <= 0:
        raise InputError("input.std is not above 0")
    if network.get("normalise") == "both":
        _check_amplitudes(given.get("amplitudes"), seen)
    for key in ("rate", "hop"):
        if given.get(key) is not None and not is_number(given[key], least=1e-9):
            raise InputError(f"input.{key} is not a number above 0")
    if not is_number(given.get("rate_tolerance"), least=0):
        raise InputError("input.rate_tolerance is not a number of 0 or more")
    units = given.get("units")
    if units is not None and not (
        isinstance(units, list)
        and len(units) == channels
        and all(unit is None or isinstance(unit, str) for unit in units)
    ):
        raise InputError("input.units is not a string or null for each channel")
    if given.get("missing") not in MISSING:
        raise InputError(f"input.missing is none of {', '.join(MISSING)}")
    quantiles = given.get("quantiles")
    if quantiles is not None:
        if not isinstance(quantiles, list) or len(quantiles) != channels:
            raise InputError("input.quantiles is not a list for each channel")
        for row in quantiles:
            if not isinstance(row, list) or len(row) != 3 or not all(map(is_number, row)):
                raise InputError("input.quantiles does not have three numbers a channel")
    return channels, length


def _check_amplitudes(given: object, channels: int) -> None:
    if not isinstance(given, dict):
        raise InputError("input.amplitudes is not an object")
    for key in AMPLITUDES:
        _numbers(given, "input.amplitudes", key, channels)
    for key in ("level_std", "spread_std", "spread_least"):
        if min(given[key]) <= 0:
            raise InputError(f"input.amplitudes.{key} is not above 0")


def _check_output(given: object, network: dict) -> None:
    if not isinstance(given, dict):
        raise InputError("output is not an object")
    _names(given, "output", "classes", network["classes"])
    if not is_number(given.get("temperature"), least=1e-6):
        raise InputError("output.temperature is not a number above 0")
    if given.get("events") is not None:
        from raspitrain.use.events_header import check_events  # seldom there, and a start is short

        check_events(given["events"], given["classes"])


def _numbers(holder: dict, name: str, key: str, count: int) -> None:
    values = holder.get(key)
    if not isinstance(values, list) or len(values) != count or not all(map(is_number, values)):
        raise InputError(f"{name}.{key} does not have {count} numbers")


def _names(holder: dict, name: str, key: str, count: int) -> None:
    values = holder.get(key)
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(isinstance(value, str) for value in values)
        or len(set(values)) != count
    ):
        raise InputError(f"{name}.{key} does not have {count} different names")
