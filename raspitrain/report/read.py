"""What a run or a sweep left, read with care.

Nothing outside its folder is opened, and no more than a page can need is read. What the values may
hold is the matter of raspitrain.results.values.
"""

import json
import os
import stat
from pathlib import Path
from typing import Any

from raspitrain.errors import InputError

LARGEST = 32 * 10**6  # bytes of one file; the summary of a thousand classes takes a fifth of it


def read_bytes(path: Path, within: Path, largest: int = LARGEST) -> bytes:
    """Read an ordinary file that lies in the folder `within`, links followed.

    Raises
    ------
    InputError
        There is none, it cannot be read, it lies elsewhere, or is larger than `largest` bytes.
    """
    try:
        if not path.resolve().is_relative_to(within.resolve()):
            raise InputError(f"{path} leads out of {within}, and is not read")
        # A pipe without a writer must not hold up the report.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{path} is no ordinary file, and is not read")
            if status.st_size > largest:
                raise InputError(
                    f"{path} has {status.st_size / 1e6:,.0f} MB, and is not read: "
                    f"{largest / 1e6:,.0f} MB are the most"
                )
            return file.read(status.st_size)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing") from error
    except (OSError, RuntimeError, ValueError) as error:  # links in a ring, a name with a zero byte
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read ({reason})") from error


def read_yaml(path: Path, within: Path) -> Any:
    """Read a small file of YAML as `read_bytes` reads a file; InputError too where it is none."""
    import yaml

    data = read_bytes(path, within, largest=10**6)
    try:
        return yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: it is not whole YAML") from error


def read_json(path: Path, within: Path) -> dict[str, Any]:
    """Read a JSON object as `read_bytes` reads a file.

    Raises
    ------
    InputError
        As `read_bytes`, and where the file does not hold one whole JSON object.
    """
    data = read_bytes(path, within)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged or cut short: it is not whole JSON") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged: it does not hold a JSON object")
    return content
