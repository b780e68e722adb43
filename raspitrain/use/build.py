"""Compile the engine, once."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from raspitrain.cache import lock_cache, make_private
from raspitrain.errors import InputError, input_error
from raspitrain.results.atomic import atomic_path
from raspitrain.use.library import COMPILED, FLAGS, FOLDER, LIBRARIES, check_sum, is_intact


def build(path: str) -> None:
    """Compile the engine into `path`, whole or not at all, with its check sum behind it.

    Raises
    ------
    InputError
        There is no compiler, it fails, or the folder cannot be written.
    """
    command = shlex.split(os.environ.get("CC", "cc"))
    try:
        with lock_cache(make_private(Path(path).parent)):
            if is_intact(path):  # another process has just compiled it
                return
            print("Compiling the inference engine for this machine (once)", file=sys.stderr)
            with atomic_path(path) as partial:
                _compile(command, partial)
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


def _compile(command: list[str], path: Path) -> None:
    sources = [os.path.join(FOLDER, name) for name in COMPILED]
    subprocess.run(
        [*command, *FLAGS, "-o", str(path), *sources, *LIBRARIES],
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    with open(path, "r+b") as file:
        file.write(check_sum(file.read()))


def _unwritable(path: str, error: OSError) -> InputError:
    return input_error(
        f"the compiled inference engine cannot be kept in {Path(path).parent} "
        f"({error.strerror or error}): set XDG_CACHE_HOME to a folder that can be written.",
        error,
    )
