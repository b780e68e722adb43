"""Compile the kernels for this processor and the threads that torch has loaded; load them.

Where there is no compiler, or no folder to keep the library in, `load_library` says so in one line
of the log and returns None.
"""

import ctypes
import functools
import logging
import os
import platform
import subprocess
from pathlib import Path

import torch

from raspitrain.compiled import REMEDY, compile_once, why_not

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
        chosen = os.environ.get("CC")
        log.warning(
            "No compiled kernels, training will be slower (%s%s): %s",
            f"leave out CC={chosen}, " if chosen else "",
            REMEDY,
            why_not(error),
        )
        return None
    _keep_freed_memory()
    return library


def kernels_name(source: Path = SOURCE) -> str:
    """The name of compiled kernels, another for whatever could change a bit of their results;
    only where they have been loaded."""
    return compiled_library(source, torch.float32).stem


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
        As `compile_once`.
    """
    flags = FLAGS + (["-DDOUBLE"] if dtype == torch.float64 else [])
    if _openmp_is_loaded():
        flags = [*flags, "-fopenmp"]
    native = NATIVE_FLAG.get(platform.machine())
    return compile_once(
        source,
        flags,
        machine=_processor(),
        attempts=[[native], []] if native else [[]],
        libraries=LIBRARIES,
    )


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
