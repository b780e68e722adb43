"""Our C, compiled for the machine at hand, once.

A library lies in the cache, named after everything it depends on: sources, flags, compiler,
processor. Its length and digest are kept beside it and checked before it is loaded: code that a
power cut left incomplete would end the process.
"""

import ctypes
import hashlib
import json
import logging
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from raspitrain.cache import cache_folder, file_digest, lock_cache, make_private
from raspitrain.results.atomic import atomic_path, write_atomic

log = logging.getLogger(__name__)

REMEDY = "install gcc, or set XDG_CACHE_HOME to a folder that can be written and run from"


def compile_once(
    source: Path,
    flags: Sequence[str],
    *,
    machine: str,
    attempts: Sequence[Sequence[str]] = ((),),
    libraries: Sequence[str] = (),
) -> Path:
    """The path of the library in the cache, compiled there if need be.

    Parameters
    ----------
    source : a C file; headers lie beside it
    machine : what the compiled code depends on beside the source, the flags and the compiler
    attempts : further flags, from the best to those that every compiler takes
    libraries : flags that come behind the source

    Raises
    ------
    OSError, subprocess.SubprocessError
        There is no compiler, no folder to keep it in, the compiler fails, or what it made cannot
        be loaded.
    """
    command = shlex.split(os.environ.get("CC", "cc"))
    compiler = shutil.which(command[0])
    if compiler is None:
        raise FileNotFoundError(f"no C compiler called {command[0]}")
    built = Path(compiler).resolve().stat()
    depends_on = (
        *(path.read_bytes() for path in (source, *sorted(source.parent.glob("*.h")))),
        repr((command, list(flags), built.st_size, built.st_mtime_ns)).encode(),
        machine.encode(),
    )
    name = hashlib.sha256(b"\0".join(depends_on)).hexdigest()[:24]
    folder = make_private(cache_folder())
    library = folder / f"{source.stem}-{name}.so"
    if not _is_intact(library):
        with lock_cache(folder):
            if not _is_intact(library):  # another process may just have compiled it
                if library.exists():
                    log.warning(
                        "%s is not what was compiled, as after a power cut: compiling it again.",
                        library,
                    )
                log.info("Compiling %s for this machine (once)", source.name)
                commands = [[*command, *flags, *more] for more in attempts]
                _compile(commands, source, libraries, library)
    return library


def why_not(error: OSError | subprocess.SubprocessError) -> str:
    """What `compile_once` failed for, in one line: the compiler's last one, where it ran."""
    reason = str(getattr(error, "stderr", None) or error).strip()
    return reason.splitlines()[-1] if reason else type(error).__name__


def _digest_path(library: Path) -> Path:
    return library.with_suffix(".json")


def _is_intact(library: Path) -> bool:
    """Whether the library is, to the byte, what was compiled."""
    try:
        return bool(json.loads(_digest_path(library).read_bytes()) == file_digest(library))
    except (OSError, ValueError, RecursionError):
        return False


def _compile(
    commands: Sequence[Sequence[str]], source: Path, libraries: Sequence[str], library: Path
) -> None:
    with atomic_path(library) as partial:
        for command in commands:
            result = subprocess.run(
                [*command, "-o", str(partial), str(source), *libraries],
                capture_output=True,
                text=True,
                timeout=600,
            )
            if result.returncode == 0:
                break
        result.check_returncode()
        try:  # what clang makes with -fopenmp needs a library of clang's own
            ctypes.CDLL(str(partial))
        except OSError as error:
            reason = str(error).removeprefix(f"{partial}: ")
            raise OSError(f"what {command[0]} makes cannot be loaded: {reason}") from None
        digest = file_digest(partial)
    write_atomic(_digest_path(library), json.dumps(digest).encode())
