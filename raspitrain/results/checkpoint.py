"""Checkpoints: all that a run is, in one file that holds no code.

save_checkpoint(folder / "last.pt", {"model": model.state_dict(), "epoch": 3})
state = load_checkpoint(folder / "last.pt")

The file is torch's own, an uncompressed zip archive: each record carries a check sum, which
`load_checkpoint` compares before anything is read.
"""

import os
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from raspitrain.errors import InputError
from raspitrain.results.atomic import atomic_path, keep_previous

FORMAT = "raspitrain checkpoint"
FORMAT_VERSION = 2
CALLS = {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4"}  # in a pickle
TENSORS = re.compile(r"torch._utils _rebuild_tensor_v2|torch \w+Storage|collections OrderedDict")
MOST_VALUES = 1_000_000


def save_checkpoint(
    path: str | os.PathLike[str], state: Mapping[str, Any], *, previous: Path | None = None
) -> None:
    """Write `state` to `path`, whole or not at all.

    Tensors are written as they are on the CPU, without gradients, and a view without the rest of
    the memory it looks into.

    Parameters
    ----------
    state : dict of tensors, numbers, strings, booleans, None, and dicts, lists and tuples of these
    previous : where the file that is replaced goes on, until the next one is

    Raises
    ------
    TypeError
        Something else is in `state`; the text says where.
    OSError
        The card is full, read-only or broken; the old file is untouched.
    """
    plain = _plain(state, "state")
    with atomic_path(path) as partial:
        with open(partial, "wb") as file:
            _write(file, {"format": FORMAT, "format_version": FORMAT_VERSION, "state": plain})
            if previous is not None:
                # The new one is safe before the old one's place is touched.
                file.flush()
                os.fsync(file.fileno())
        if previous is not None:
            keep_previous(Path(path), previous)


def _write(file: BinaryIO, content: dict[str, Any]) -> None:
    import torch

    try:
        torch.save(content, file)
    except RuntimeError as error:
        # torch trips over its own unfinished archive and hides what stopped the write.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read back what `save_checkpoint` was given, tensors on the CPU. Runs no code from the file.

    Raises
    ------
    InputError
        The file is missing, cut short, altered, not a checkpoint of raspitrain, or of a version
        that this one does not know.
    """
    import torch

    path = Path(path)
    _check_archive(path)
    try:
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    except MemoryError:
        raise
    except Exception as error:
        # The file comes from outside: whatever it makes torch's reader raise, it is not ours.
        raise _foreign(path) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _foreign(path)
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path} has checkpoint format {version!r}, and this raspitrain reads format "
            f"{FORMAT_VERSION}; use the raspitrain that wrote it"
        )
    if not isinstance(content.get("state"), dict) or not _is_plain(content["state"]):
        raise _foreign(path)
    return content["state"]


def _check_archive(path: Path) -> None:
    """Refuse what is not a whole, uncompressed archive with matching check sums.

    torch's reader does not compare the check sums, and unpacks whatever size a record claims.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise _foreign(path)  # a pipe would be waited for
        with open(path, "rb") as file:
            if file.read(4) != b"PK\x03\x04":
                raise _foreign(path)
            with zipfile.ZipFile(file) as archive:
                records = archive.infolist()
                if any(record.compress_type != zipfile.ZIP_STORED for record in records):
                    raise _foreign(path)
                if sum(record.file_size for record in records) > path.stat().st_size:
                    raise _foreign(path)
                damaged = archive.testzip()
                if damaged is None and not _names_tensors_alone(archive):
                    raise _foreign(path)
    except FileNotFoundError as error:
        raise InputError(f"there is no checkpoint {path}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    except InputError:
        raise
    except Exception as error:  # zipfile raises half a dozen kinds for damaged archives
        raise _damaged(path) from error
    if damaged is not None:
        raise _damaged(path)


def _names_tensors_alone(archive: zipfile.ZipFile) -> bool:
    """Whether the pickle in the archive calls for nothing but tensors.

    torch's own list is longer: with bytearray on it, a few bytes can ask for all of the memory.
    """
    (name,) = (n for n in archive.namelist() if n.endswith("/data.pkl"))
    return all(
        op.name not in CALLS or (op.name == "GLOBAL" and TENSORS.fullmatch(str(arg)) is not None)
        for op, arg, _ in pickletools.genops(archive.read(name))
    )


def _is_plain(state: dict[Any, Any]) -> bool:
    """Whether there are only containers, plain values, and tensors that hold what they show."""
    import torch

    to_see: list[Any] = [state]
    num_seen = 0
    while to_see:
        value = to_see.pop()
        num_seen += 1
        if num_seen > MOST_VALUES:  # what refers to itself, too
            return False
        if isinstance(value, torch.Tensor):
            if value.numel() * value.element_size() > value.untyped_storage().nbytes():
                return False
        elif isinstance(value, dict):
            to_see += value.values()
        elif isinstance(value, list | tuple):
            to_see += value
        elif value is not None and type(value) not in (bool, int, float, str):
            return False
    return True


def _plain(value: Any, where: str) -> Any:
    """Copy the containers as plain ones; share the tensors."""
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu()
        if tensor.untyped_storage().nbytes() != tensor.numel() * tensor.element_size():
            tensor = tensor.clone()
        return tensor
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if type(key) not in (str, int):
                raise TypeError(f"{where} has the key {key!r}; a checkpoint takes str and int")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_plain(item, f"{where}[{k}]") for k, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    raise TypeError(f"{where} is a {type(value).__name__}; a checkpoint takes tensors and numbers")


def _foreign(path: Path) -> InputError:
    return InputError(f"{path} is not a checkpoint of raspitrain; give a run's best.pt or last.pt")


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is damaged or cut short; use the run's other checkpoint or a copy")
