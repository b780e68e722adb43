"""Put what was calibrated into a model file; its weights stay as they are, to the byte."""

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
    from raspitrain.results.atomic import atomic_path

    header = ModelFile(source).header
    header["output"]["events"] = events
    with open(source, "rb") as file:
        old = file.read()
    tensors = old[aligned(16 + int.from_bytes(old[8:16], "little")) : -DIGEST_BYTES]
    text = json.dumps(header, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    content = bytearray(MAGIC + bytes([VERSION]) + len(text).to_bytes(8, "little") + text)
    content += bytes(aligned(len(content)) - len(content))
    content += tensors
    content += hashlib.sha256(content).digest()
    with atomic_path(path) as partial:
        partial.write_bytes(content)
        load(partial)
