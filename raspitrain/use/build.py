"""Compile the engine, once."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from raspitrain.errors import InputError
from raspitrain.results.atomic import atomic_path
from raspitrain.use.engine import FLAGS, FOLDER, LIBRARIES, SOURCES, check_sum


def build(path: str) -> None:
    """Compile the engine into `path`, whole or not at all, with its check sum behind it.

    Raises
    ------
    InputError
        There is no compiler, it fails, or the folder cannot be written.
    """
    command = shlex.split(os.environ.get("CC", "cc"))
    print("Compiling the inference engine for this machine (once)", file=sys.stderr)
    try:
        _make_private(Path(path).parent)
        with atomic_path(path) as partial:
            source = os.path.join(FOLDER, SOURCES[0])
            subprocess.run(
                [*command, *FLAGS, "-o", str(partial), source, *LIBRARIES],
                check=True, capture_output=True, text=True, timeout=600,
            )  # fmt: skip
            with open(partial, "r+b") as file:
                file.write(check_sum(file.read()))
    except FileNotFoundError as error:
        if error.filename != command[0]:
            raise _unwritable(path, error) from error
        raise InputError(
            f"the inference engine must be compiled once, and there is no C compiler {command[0]}: "
            "apt-get install gcc libc6-dev, or set CC to another."
        ) from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()
        raise InputError(
            f"the inference engine cannot be compiled with {' '.join(command)} "
            f"({said[-1] if said else f'exit code {error.returncode}'}): apt-get install gcc "
            "libc6-dev, or set CC to another compiler."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"{' '.join(command)} did not compile the inference engine in ten minutes: set CC to "
            "another compiler."
        ) from error
    except OSError as error:
        raise _unwritable(path, error) from error


def _make_private(folder: Path) -> None:
    """The folder, made if need be: code is loaded from it, so nobody else may write there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.getuid():
        raise PermissionError(0, "it belongs to another user", str(folder))
    if status.st_mode & 0o022:
        raise PermissionError(0, "others can write to it: chmod 700 it", str(folder))


def _unwritable(path: str, error: OSError) -> InputError:
    return InputError(
        f"the compiled inference engine cannot be kept in {Path(path).parent} "
        f"({error.strerror or error}): set XDG_CACHE_HOME to a folder that can be written."
    )
