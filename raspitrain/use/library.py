"""The engine as a file: what it is compiled from, and how it is known to be whole."""

import os
import stat
import zlib

FOLDER = os.path.dirname(os.path.abspath(__file__))
COMPILED = ("infer.c", "rocket.c", "frontend.c")
FEATURES = ("responses.h", "minirocket.h", "multirocket.h", "hydra.h")  # as in training
SOURCES = (
    *COMPILED, "layers.h", "roots.h", "window.h", "spectra.h", "network.h", "graph.h", "plain.h",
    "graph_plain.h", "vectors.h", "graph_vectors.h", "int8.h", "sha256.h",
    *(os.path.join("..", "model", "rocket", name) for name in FEATURES),
)  # fmt: skip
# Sums are fused where infer.c says so and nowhere else. GCC's first scheduling pass moves loads so
# far ahead that the tiles' sums leave the registers.
FLAGS = (
    "-O3", "-std=gnu11", "-fPIC", "-shared", "-ffp-contract=off", "-fno-math-errno",
    "-fno-schedule-insns", "-Wno-psabi",
)  # fmt: skip
LIBRARIES = ("-nodefaultlibs", "-lm", "-lc", "-lgcc")
CHECK = b"raspitrain\0"  # before the check sum that follows a compiled library


def is_intact(path: str) -> bool:
    """Whether the library is what was compiled, where nobody else can write."""
    try:
        folder = os.stat(os.path.dirname(path))
        if folder.st_uid != os.getuid() or folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return False
        content = content_of(path)
    except OSError:
        return False
    return content[-len(CHECK) - 4 :] == check_sum(content[: -len(CHECK) - 4])


def check_sum(content: bytes) -> bytes:
    """What is written after a library, where the loader of programs does not look."""
    return CHECK + zlib.adler32(content).to_bytes(4, "little")


def content_of(path: str) -> bytes:
    """Of a file of some kilobytes; in half as many instructions as open() takes, as each start does
    this for all sources."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 1 << 24)
    finally:
        os.close(descriptor)
