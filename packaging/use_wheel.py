"""Make dist/raspitrain_use-…whl: a model's use on a board without torch, numpy or a compiler.

    make wheels                                        # for this machine, and with Debian's
    python packaging/use_wheel.py --machine aarch64    # gcc-aarch64-linux-gnu for a Pi

The modules are those that raspitrain.use and its commands import, found in the source; the engine
is compiled for each processor family, and chooses its kernels when it runs. The wheel's tag says
the oldest glibc that the compiled engine asks for (PEP 600).
"""

import argparse
import ast
import base64
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # of this clone, whatever is installed

from raspitrain.use.__main__ import COMMANDS  # noqa: E402
from raspitrain.use.library import COMPILED, FLAGS, LIBRARIES  # noqa: E402

MACHINES = ("x86_64", "aarch64")
OLDEST_GLIBC = (2, 17)  # no manylinux tag of today is older


def compiler(machine: str) -> list[str] | None:
    """What compiles for `machine`; None where nothing here does."""
    if machine == platform.machine():
        return shlex.split(os.environ.get("CC", "cc"))
    cross = f"{machine}-linux-gnu-gcc"
    return [cross] if shutil.which(cross) else None


def modules() -> list[str]:
    """Every module that the runtime may come to import, functions included."""
    known = {
        ".".join(
            ("raspitrain", *path.relative_to(ROOT / "raspitrain").with_suffix("").parts)
        ).removesuffix(".__init__"): path
        for path in (ROOT / "raspitrain").rglob("*.py")
    }
    found: set[str] = set()
    left = ["raspitrain.use.__main__", *COMMANDS.values()]
    while left:
        name = left.pop()
        if name in known and name not in found:
            found.add(name)
            left += [name.rpartition(".")[0], *imported(known[name])]
    return sorted(str(known[name].relative_to(ROOT)) for name in found)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def compile_engine(command: list[str], library: Path) -> tuple[int, int]:
    """Compile; returns the glibc that the library asks for."""
    sources = [str(ROOT / "raspitrain" / "use" / name) for name in COMPILED]
    words = [*command, *FLAGS, "-s", "-o", str(library), *sources, *LIBRARIES]
    subprocess.run(words, check=True)
    asked = subprocess.run(
        ["readelf", "--version-info", library], check=True, capture_output=True, text=True
    )
    versions = re.findall(r"GLIBC_(\d+)\.(\d+)", asked.stdout)
    return max([OLDEST_GLIBC, *((int(major), int(minor)) for major, minor in versions)])


def make_wheel(machine: str, command: list[str], folder: Path) -> Path:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version, info = project["version"], f"raspitrain_use-{project['version']}.dist-info"
    with tempfile.TemporaryDirectory() as scratch:
        library = Path(scratch) / "infer.so"
        glibc = compile_engine(command, library)
        engine = library.read_bytes()
    tag = f"py3-none-manylinux_{glibc[0]}_{glibc[1]}_{machine}"
    content = {name: (ROOT / name).read_bytes() for name in modules()}
    content[f"raspitrain/use/infer-{machine}.so"] = engine
    content[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.4\nName: raspitrain-use\nVersion: {version}\n"
        "Summary: Use a model that raspitrain trained: no torch, no numpy, no compiler\n"
        f"Requires-Python: {project['requires-python']}\nLicense-Expression: {project['license']}\n"
        "License-File: LICENSE\n"
    ).encode()
    content[f"{info}/licenses/LICENSE"] = (ROOT / "LICENSE").read_bytes()
    content[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: raspitrain\nRoot-Is-Purelib: false\nTag: {tag}\n"
    ).encode()
    content[f"{info}/entry_points.txt"] = (
        b"[console_scripts]\nraspitrain = raspitrain.use.__main__:command\n"
    )
    record = "".join(
        f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in content.items()
    )
    content[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"raspitrain_use-{version}-{tag}.whl"
    partial = path.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in content.items():
            # One date for all: the same tree gives the same wheel.
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
    os.replace(partial, path)
    return path


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the wheels of the runtime.")
    parser.add_argument("--machine", choices=MACHINES, action="append")
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    given = parser.parse_args()
    for machine in given.machine or MACHINES:
        command = compiler(machine)
        if command is None:
            print(f"{machine}: nothing compiles for it here: apt-get install gcc-aarch64-linux-gnu")
            if given.machine:
                return 2
            continue
        path = make_wheel(machine, command, given.output)
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
