"""How a model file is written; and one anew with what was calibrated, its weights as they were, to
the byte."""

import hashlib
import json
import os
from typing import Any

from raspitrain.use.model import load
from raspitrain.use.model_file import DIGEST_BYTES, MAGIC, VERSION, ModelFile, aligned


def write_with_events(source: str, path: str | os.PathLike[str], events: dict[str, Any]) -> None:
    """Write a model with other settings of events, whole or not at all; it has been read back and
    proved by then.

    Parameters
    ----------
    source : the model file that they are for
    path : of the new one; may be the same
    events : as docs/model-file.md describes `output.events`

    Raises
    ------
    OSError
        The card is full, read-only or broken; the old file is untouched.
    """
    header = ModelFile(source).header
    header["output"]["events"] = events
    with open(source, "rb") as file:
        old = file.read()
    tensors = old[aligned(16 + int.from_bytes(old[8:16], "little")) : -DIGEST_BYTES]
    content = begin(header)
    content += bytes(aligned(len(content)) - len(content))
    write_proved(path, content + tensors)


def begin(header: dict[str, Any]) -> bytearray:
    """The bytes of a model file before its first tensor."""
    text = json.dumps(header, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return bytearray(MAGIC + bytes([VERSION]) + len(text).to_bytes(8, "little") + text)


def write_proved(path: str | os.PathLike[str], content: bytearray) -> None:
    """Write a file's bytes and their digest, whole or not at all, read back and proved before they
    have their name."""
    from raspitrain.results.atomic import atomic_path

    with atomic_path(path) as partial:
        partial.write_bytes(content + hashlib.sha256(content).digest())
        load(partial)
