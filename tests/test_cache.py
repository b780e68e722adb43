"""What is kept between runs is believed only as it was written: compiled code, measurements."""

import ctypes
import io
import logging
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from conftest import TINY
from processes import SERVER, wait_until

from raspitrain import cache, compiled
from raspitrain.model.engine import kernels

STAND_IN = "int answer(void) { return 42; }\n"
COMPILES = "Compiling kernels.c for this machine (once)\n"
DAMAGED = "{} is not what was compiled, as after a power cut: compiling it again.\n"


@pytest.fixture
def folder(monkeypatch, tmp_path) -> Path:
    """The folder of an empty cache; kernels that compile in no time lie beside it."""
    (tmp_path / "kernels.c").write_text(STAND_IN)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "raspitrain"


def _load(home: str, compiler: str, times: int, answers) -> None:
    os.environ |= {"XDG_CACHE_HOME": home, "CC": compiler}
    kernels.SOURCE = Path(home, "kernels.c")
    compiled.log.propagate = False
    compiled.log.setLevel(logging.INFO)
    for _ in range(times):
        compiled.log.handlers = [logging.StreamHandler(log := io.StringIO())]
        library = kernels.load_kernels(torch.float32)
        answers.send((library and library.answer(), log.getvalue()))
        kernels.load_library.cache_clear()
        kernels.compiled_library.cache_clear()


def start_loading(folder: Path, compiler: str = "cc", times: int = 1):
    """Load the library in a process of its own, as a run does that starts."""
    ours, theirs = SERVER.Pipe()
    process = SERVER.Process(target=_load, args=(str(folder.parent), compiler, times, theirs))
    process.start()
    theirs.close()
    return process, ours


def load(folder: Path, times: int = 1) -> list[tuple[int, str]]:
    """What the library answers each time, and what was said meanwhile."""
    process, answers = start_loading(folder, times=times)
    process.join()
    assert process.exitcode == 0  # not a signal
    return [answers.recv() for _ in range(times)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def zero_the_end(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-4096] + bytes(4096))


DAMAGE = {
    "0 bytes": lambda path: os.truncate(path, 0),
    "cut short": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut by one byte": lambda path: os.truncate(path, path.stat().st_size - 1),
    "zeros at its end": zero_the_end,
    "all zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a byte too many": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "one flipped byte": flip_byte,
    "a file of another kind": lambda path: path.write_text("#!/bin/sh\n"),
    "no file": lambda path: path.unlink(),
}


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("once")
    (home / "kernels.c").write_text(STAND_IN)
    assert load(home / "raspitrain") == [(42, COMPILES)]
    return home / "raspitrain"


@pytest.mark.parametrize("which", [".so", ".json"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_library_is_compiled_again(compiled_once, folder, which, damage):
    shutil.copytree(compiled_once, folder)
    (library,) = folder.glob("kernels-*.so")
    sound = library.read_bytes()
    DAMAGE[damage](library.with_suffix(which))
    said = "" if (which, damage) == (".so", "no file") else DAMAGED.format(library)
    assert load(folder, times=2) == [(42, said + COMPILES), (42, "")]
    assert library.read_bytes() == sound


def test_another_header_makes_another_library(folder):
    header = folder.parent / "answer.h"
    (folder.parent / "kernels.c").write_text('#include "answer.h"\nint answer(void) { return N; }')
    for number in (1, 2, 1):
        header.write_text(f"#define N {number}\n")
        assert load(folder)[0][0] == number
    assert len(list(folder.glob("kernels-*.so"))) == 2


def test_a_library_of_somebody_elses_is_not_loaded(folder):
    assert load(folder) == [(42, COMPILES)]
    (library,) = folder.glob("kernels-*.so")
    other = folder.parent / "other.c"
    other.write_text(STAND_IN.replace("42", "13"))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(other)], check=True)
    assert ctypes.CDLL(shutil.copy(library, folder.parent / "other.so")).answer() == 13
    assert load(folder) == [(42, DAMAGED.format(library) + COMPILES)]


def test_library_and_digest_are_synced_before_they_have_their_names(folder, monkeypatch):
    steps = []
    monkeypatch.setattr(
        "raspitrain.results.atomic.on_write", lambda step, path: steps.append((step, path.suffix))
    )
    kernels.compiled_library.__wrapped__(folder.parent / "kernels.c", torch.float32)
    once = ["write", "fsync", "replace", "fsync folder"]
    assert steps == [(step, suffix) for suffix in (".so", ".json") for step in once]


def write_compiler(path: Path, line: str) -> str:
    """A program that does something first and is then the compiler."""
    path.write_text(f'#!/bin/sh\n{line}\nexec cc "$@"\n')
    path.chmod(0o755)
    return str(path)


def keeping_compiler(path: Path) -> str:
    """The compiler, which copies what it made of the same words before, and takes less time than
    for kernels that are to be fast."""
    return write_compiler(
        path,
        """\
for word; do
    if [ "$last" = -o ]; then out=$word; else words="$words $word"; fi
    last=$word
done
kept=$0-$(printf %s "$words" | cksum | tr ' ' -)
if [ -e "$kept" ]; then exec cp "$kept" "$out"; fi
cc "$@" -O0 && exec cp "$out" "$kept"
""",
    )


def test_of_two_processes_at_once_one_compiles(folder):
    folder.mkdir(mode=0o700)
    compiler = write_compiler(folder.parent / "slow", "sleep 1")
    both = [start_loading(folder, compiler) for _ in range(2)]
    answers = [answer.recv() for _, answer in both]
    for process, _ in both:
        process.join()
    assert sorted(answers) == [(42, ""), (42, COMPILES)]
    assert [Path(name).suffix for name in names(folder)] == [".json", ".so", ""]


def test_what_a_killed_compile_leaves_is_cleared(folder):
    folder.mkdir(mode=0o700)
    (folder / "tmpab12cd34").mkdir()  # what version 0.1 left
    (folder / "tmpab12cd34" / "kernels-0.so").write_bytes(b"\x7fELF")
    (folder / "engine").mkdir()
    script = 'while [ "$1" != -o ]; do shift; done; printf half > "$2"; exec sleep 60'
    compiler = write_compiler(folder.parent / "stuck", script)
    process, _ = start_loading(folder, compiler)
    wait_until(lambda: any(path.stat().st_size for path in folder.glob(".partial-*")))
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert any(folder.glob(".partial-*"))
    assert load(folder) == [(42, COMPILES)]
    assert [Path(name).suffix for name in names(folder)] == ["", ".json", ".so", ""]


def test_a_cache_without_locks_is_used_all_the_same(folder, monkeypatch):
    def no_locks(descriptor, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(cache.fcntl, "flock", no_locks)
    source = folder.parent / "kernels.c"
    assert kernels.compiled_library.__wrapped__(source, torch.float32).is_file()


KEY = {"kernels": "kernels-1", "torch": "2.99"}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_measurement_is_forgotten(folder, damage):
    cache.remember("engine", KEY, "native")
    assert cache.recall("engine", KEY) == "native"
    (path,) = (folder / "engine").iterdir()
    written = path.read_bytes()
    damaged = []
    if damage == "one flipped byte":
        for place in range(len(written)):
            damaged.append(written[:place] + bytes([written[place] ^ 1]) + written[place + 1 :])
    else:
        DAMAGE[damage](path)
        damaged.append(path.read_bytes() if path.exists() else b"")
    for content in damaged:
        path.write_bytes(content)
        # A space for another one changes nothing that was said.
        assert cache.recall("engine", KEY) in (None, "native")
        assert cache.recall("engine", KEY) is None or content.split() == written.split()
    cache.remember("engine", KEY, "native")
    assert cache.recall("engine", KEY) == "native"


def test_a_measurement_for_another_key_is_not_taken(folder):
    cache.remember("engine", KEY, "native")
    (path,) = (folder / "engine").iterdir()
    cache.remember("engine", KEY | {"torch": "3.0"}, "torch")
    (other,) = set((folder / "engine").iterdir()) - {path}
    shutil.copy(other, path)
    assert cache.recall("engine", KEY) is None


def test_a_measurement_that_cannot_be_kept_is_said(folder, caplog):
    folder.write_text("in the way")
    cache.remember("engine", KEY, "native")
    assert "will be made again" in caplog.text
    assert cache.recall("engine", KEY) is None


def test_a_run_starts_on_a_new_machine_and_where_a_power_cut_spoilt_the_library(
    forked_command, tmp_path
):
    """Nothing compiled, nothing measured yet; and code that is cut short, or ends in zeros, which
    would end the process with a signal."""
    home = tmp_path / "cache"
    variables = {"XDG_CACHE_HOME": str(home), "CC": keeping_compiler(tmp_path / "keeping")}
    done = forked_command(*TINY, "hydra.run.dir=first", **variables)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "first" / "summary.json").exists()
    (library,) = (home / "raspitrain").glob("kernels-*.so")
    (measured,) = (home / "raspitrain" / "engine").iterdir()
    zero_the_end(library)
    os.truncate(library, library.stat().st_size - 20_000)
    os.truncate(measured, 0)
    done = forked_command(*TINY, "hydra.run.dir=second", **variables)
    assert done.returncode == 0, done.stderr
    assert "is not what was compiled" in done.stderr
    assert "No compiled kernels" not in done.stderr
    assert measured.stat().st_size > 0
