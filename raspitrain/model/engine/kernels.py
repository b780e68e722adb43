"""Compile our C for the machine at hand, once, and load it.

A library lies in the cache, named after everything it depends on: sources, flags, compiler,
processor. Its length and digest are kept beside it and checked before it is loaded: code that a
power cut left incomplete would end the process. Where there is no compiler, or no folder to keep
the library in, `load_library` says so in one line of the log and returns None.
"""

import ctypes
import functools
import hashlib
import json
import logging
import os
import platform
import shlex
import shutil
import subprocess
from pathlib import Path

import torch

from raspitrain.cache import cache_folder, file_digest, lock_cache, make_private
from raspitrain.results.atomic import atomic_path, write_atomic

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("kernels.c")
# GCC's first scheduling pass moves loads so far ahead that the tiles' sums leave the registers.
FLAGS = ["-O3", "-fPIC", "-shared", "-fno-math-errno", "-fno-schedule-insns", "-Wno-psabi"]
# No OpenMP library of its own: threads are those of the one that torch has loaded.
LIBRARIES = ["-nodefaultlibs", "-lm", "-lc", "-lgcc"]
NATIVE_FLAG = {"x86_64": "-march=native", "aarch64": "-mcpu=native"}


def load_kernels(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The compiled kernels for float32 or float64, or None where they cannot be had."""
    return load_library(SOURCE, dtype)


@functools.cache
def load_library(source: Path, dtype: torch.dtype) -> ctypes.CDLL | None:
    """A C file of ours, compiled with float32 or float64 as its `real`; None as above."""
    try:
        library = ctypes.CDLL(str(compiled_library(source, dtype)))
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or error
        log.warning(
            "No compiled kernels, training will be slower (install gcc, or set XDG_CACHE_HOME to "
            "a folder that can be written): %s",
            str(reason).strip().splitlines()[-1] if str(reason).strip() else type(error).__name__,
        )
        return None
    _keep_freed_memory()
    return library


def kernels_name() -> str:
    """The name of the compiled kernels, another for whatever could change a bit of their results;
    only where they have been loaded."""
    return compiled_library(SOURCE, torch.float32).stem


def _keep_freed_memory() -> None:
    """Let glibc keep what gradients free after a step: asking for the pages anew costs a tenth."""
    trim_threshold, mmap_threshold = -1, -3
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt") and "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        libc.mallopt(trim_threshold, 256 << 20)
        libc.mallopt(mmap_threshold, 32 << 20)


@functools.cache
def compiled_library(source: Path, dtype: torch.dtype) -> Path:
    """The path of the library in the cache, compiled there if need be.

    Raises
    ------
    OSError, subprocess.SubprocessError
        There is no compiler, no folder to keep it in, or the compiler fails.
    """
    command = shlex.split(os.environ.get("CC", "cc"))
    compiler = shutil.which(command[0])
    if compiler is None:
        raise FileNotFoundError(f"no C compiler called {command[0]}")
    flags = FLAGS + (["-DDOUBLE"] if dtype == torch.float64 else [])
    if _openmp_is_loaded():
        flags = [*flags, "-fopenmp"]
    built = Path(compiler).resolve().stat()
    depends_on = (
        *(path.read_bytes() for path in (source, *sorted(source.parent.glob("*.h")))),
        repr((command, flags, built.st_size, built.st_mtime_ns)).encode(),
        _processor().encode(),
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
                _compile([*command, *flags], source, library)
    return library


def _digest_path(library: Path) -> Path:
    return library.with_suffix(".json")


def _is_intact(library: Path) -> bool:
    """Whether the library is, to the byte, what was compiled."""
    try:
        return bool(json.loads(_digest_path(library).read_bytes()) == file_digest(library))
    except (OSError, ValueError, RecursionError):
        return False


def _compile(command: list[str], source: Path, library: Path) -> None:
    log.info("Compiling %s for this machine (once)", source.name)
    native = NATIVE_FLAG.get(platform.machine())
    attempts = [[native], []] if native else [[]]
    with atomic_path(library) as partial:
        for index, extra in enumerate(attempts):
            result = subprocess.run(
                [*command, *extra, "-o", str(partial), str(source), *LIBRARIES],
                capture_output=True,
                text=True,
                timeout=600,
            )
            if result.returncode == 0:
                break
            if index + 1 == len(attempts):
                result.check_returncode()
        digest = file_digest(partial)
    write_atomic(_digest_path(library), json.dumps(digest).encode())


def _openmp_is_loaded() -> bool:
    """Whether the symbols that -fopenmp needs are there, from the library that torch runs on."""
    wanted = ("GOMP_parallel", "GOMP_barrier", "omp_get_thread_num", "omp_get_num_threads")
    if all(hasattr(ctypes.CDLL(None), name) for name in wanted):
        return True
    root = Path(torch.__file__).parent
    for path in [*root.glob("lib/libgomp*"), *root.parent.glob("torch.libs/libgomp*")]:
        try:  # already loaded, but not for others to see
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL | os.RTLD_NOLOAD)
        except OSError:
            continue
        if all(hasattr(ctypes.CDLL(None), name) for name in wanted):
            return True
    return False


def _processor() -> str:
    """What -march=native would look at."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() + platform.machine()
    kinds = ("model name", "flags", "Features", "CPU implementer", "CPU part", "CPU variant")
    return platform.machine() + "\n".join(sorted({x for x in lines if x.startswith(kinds)}))
