"""Files from a stranger: they may be wrong, but they run no code, write nothing, and leave the
machine its memory and its time.

Each reader runs in a process that the system allows little more memory than it starts with.
"""

import importlib
import os
import pickle
import resource
import struct
import subprocess
import time
import zipfile
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import defaults
from processes import SERVER

from raspitrain.data.arrays import npy, npz
from raspitrain.data.recordings import recordings
from raspitrain.data.ucr import ucr
from raspitrain.errors import InputError, printable
from raspitrain.hardware.board import status_bytes
from raspitrain.report.plots import plot_confusion
from raspitrain.results.checkpoint import (
    FORMAT,
    FORMAT_VERSION,
    load_checkpoint,
    save_checkpoint,
)

MORE_MEMORY = 200 << 20  # bytes, beyond what the process has when it starts to read
MANY = 1 << 32


def read(kind: str, path: Path) -> object:
    if kind == "npy":
        return npy(**defaults(kind, path=str(path)))
    if kind == "npz":
        return npz(**defaults(kind, path=str(path / "set.npz")))
    if kind == "ts":
        unequal, length, *_ = path.name.split(",")
        return ucr(name="Set", path=str(path), unequal=unequal, missing="error",
                   length=int(length) or None)  # fmt: skip
    if kind == "csv":
        return recordings(**defaults("recordings", path=str(path), length=4, stride=2))
    return load_checkpoint(path / "last.pt")


def read_all(kind: str, folder: Path, answer: Connection) -> None:
    """Tell what comes of each file below `folder`, and how long it takes."""
    os.chdir(folder.parent)
    if kind == "ts":
        importlib.import_module("aeon.datasets")
    limit = status_bytes("VmData") + MORE_MEMORY
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    told = {}
    for path in sorted(folder.iterdir()):
        start = time.monotonic()
        try:
            read(kind, path)
            said = "read"
        except InputError as error:
            said = f"refused: {error}"
        except MemoryError:
            said = "memory"
        told[path.name] = (said, time.monotonic() - start)
    answer.send(told)


def told(kind: str, folder: Path) -> dict[str, tuple[str, float]]:
    ours, theirs = SERVER.Pipe()
    process = SERVER.Process(target=read_all, args=(kind, folder, theirs))
    process.start()
    theirs.close()
    assert ours.poll(60)
    answers = ours.recv()
    process.join()
    assert process.exitcode == 0
    return answers


def check(kind: str, folder: Path, made: dict[str, str]) -> None:
    answers = told(kind, folder)
    assert answers.keys() == made.keys()
    for name, fragment in made.items():
        answer, seconds = answers[name]
        assert fragment in answer, (name, answer)
        assert seconds < 20, name
    assert sorted(p.name for p in folder.parent.iterdir()) == [folder.name]  # nothing written


def npy_bytes(shape: str, descr: str = "<f4", order: str = "False", more: bytes = b"") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + more


LABEL = npy_bytes("(4,)", "<i8", more=np.arange(4).tobytes())
HEADERS = {
    "a million million cases": (npy_bytes("(1000000000000, 3, 8)"), "cut short"),
    "more than 64 bits": (npy_bytes(f"({1 << 70}, 3, 8)"), "refused"),
    "more than 64 bits together": (npy_bytes(f"({MANY}, {MANY}, {MANY})"), "refused"),
    "below zero": (npy_bytes("(-4, -3, 8)"), "impossible shape"),
    "a true case": (npy_bytes("(True, 3, 8)"), "refused"),
    "half a case": (npy_bytes("(4.0, 3, 8)"), "refused"),
    "zero and many": (npy_bytes(f"(0, {MANY}, {MANY})"), "are empty"),
    "objects": (npy_bytes("(4, 1, 8)", "|O", more=pickle.dumps([1] * 32)), "pickled"),
    "a text a gigabyte wide": (npy_bytes("(1, 1, 1)", "<U999999999"), "refused"),
    "Fortran's order": (npy_bytes("(4, 3, 8)", order="True", more=bytes(384)), "Fortran order"),
    "records": (b"\x93NUMPY\x01\x00\x46\x00" + b"{'descr': [('a', '<f4'), ('b', '<i2')], "
                b"'fortran_order': False, 'shape': (4,)}" .ljust(70)[:70 - 36] , "refused"),
    "no end": (npy_bytes("(4, 3, 8)")[:40], "refused"),
    "nested tuples": (npy_bytes("(" * 2000 + ")" * 2000), "refused"),
    "powers": (npy_bytes("(9**9**9, 3, 8)"), "refused"),
}  # fmt: skip


def test_headers_that_claim_too_much(tmp_path):
    folder = tmp_path / "sets"
    for name, (content, _) in HEADERS.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "data.npy").write_bytes(content)
        (folder / name / "label.npy").write_bytes(LABEL)
    check("npy", folder, {name: fragment for name, (_, fragment) in HEADERS.items()})


@pytest.mark.parametrize("shape", ["(True,)", f"(0, {1 << 62})", f"(0, {1 << 64})"])
def test_labels_of_no_shape_that_an_array_can_have(tmp_path, shape):
    (tmp_path / "data.npy").write_bytes(npy_bytes("(4, 3, 8)", more=bytes(384)))
    (tmp_path / "label.npy").write_bytes(npy_bytes(shape, "<i8", more=bytes(8)))
    with pytest.raises(InputError, match="impossible shape"):
        npy(**defaults("npy", path=str(tmp_path)))


def zip_file(path: Path, members: dict[str, bytes], packed: bool = True) -> None:
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else 0) as file:
        for name, content in members.items():
            file.writestr(name, content)


def zip_of_zeros(path: Path, header: bytes, megabytes: int) -> None:
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        with file.open("data.npy", "w", force_zip64=True) as member:
            member.write(header)
            for _ in range(megabytes):
                member.write(bytes(1 << 20))
        file.writestr("label.npy", LABEL)


def test_archives_that_unfold(tmp_path):
    folder = tmp_path / "sets"
    good = npy_bytes("(4, 1, 8)", more=bytes(128))
    size = (300 << 20) // 16
    zip_of_zeros(folder / "bomb/set.npz", npy_bytes(f"(4, 1, {size})"), 300)
    zip_of_zeros(folder / "long member/set.npz", good, 100)
    zip_file(folder / "a way out/set.npz", {"../../data.npy": good, "label.npy": LABEL})
    zip_file(
        folder / "a way in/set.npz", {"data.npy": good, "../evil.npy": good, "label.npy": LABEL}
    )
    zip_file(folder / "many members/set.npz", {f"{i}.npy": b"" for i in range(20_000)})
    zip_file(folder / "a name of a page/set.npz", {"x" * 60_000: b"", "data.npy": good})
    check(
        "npz",
        folder,
        {
            "bomb": "of memory are free",
            "long member": "read",
            "a way out": "has no array 'data'",
            "a way in": "read",
            "many members": "has no array 'data'",
            "a name of a page": "has no array 'label'",
        },
    )


def ts_text(*cases: str) -> str:
    tags = "@problemName Set\n@timeStamps false\n@univariate true\n@equalLength false\n"
    return tags + "@classLabel true a b\n@data\n" + "".join(f"{case}\n" for case in cases)


def test_small_files_that_padding_blows_up(tmp_path):
    """Named for how cases come to one length, and for dataset.length, 0 for none."""
    folder = tmp_path / "sets"
    short = [f"1,2,3:{'ab'[k % 2]}" for k in range(2000)]
    long = ",".join("123456789" * 20_000) + ":a"
    made = {
        "pad,0": ([*short, long], "2001 cases of 1 x 180000 samples take 1.4 GB"),
        "resample,0": ([*short, long], "2001 cases of 1 x 180000 samples take 1.4 GB"),
        "pad,50000": (short, "choose dataset.length=3 or less"),
        "pad,1000000000000": (short[:2], "choose dataset.length=3 or less"),
        "resample,1000000000000": (short[:2], "choose dataset.length=3 or less"),
        "resample,7000000": (short[:2], "choose dataset.length=3 or less"),
        "pad,16": ([*short, long], "read"),
        "resample,16": ([*short, long], "read"),
        "pad,0,many numbers": ([",".join("1" * 2_500_000) + ":a"] * 4, "GB to read but"),
    }
    for name, (cases, _) in made.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "Set.ts").write_text(ts_text(*cases))
    check("ts", folder, {name: fragment for name, (_, fragment) in made.items()})


def test_recordings_that_are_none(tmp_path):
    folder = tmp_path / "sets"
    good = "time,x\n" + "".join(f"{i},{i}\n" for i in range(32))

    def recording(name: str, content: str | bytes) -> None:
        for label in "ab":
            (folder / name / label).mkdir(parents=True)
            (folder / name / label / "1.csv").write_text(good)
        made = content if isinstance(content, bytes) else content.encode()
        (folder / name / "a" / "2.csv").write_bytes(made)

    recording("an endless line", b"1," * (30 << 20))
    recording("a field without end", 'time,x\n1,"' + "x\n" * (1 << 20))
    recording("zeros", bytes(1 << 20))
    recording("zeros in a cell", "time,x\n1,\0\n")
    recording("a million columns", ",".join(["x"] * 400_000) + "\n" + "1," * 400_000 + "\n")
    recording("brackets", "(" * 100_000 + ",x\n1,2\n")
    recording("quotes", '"' * 500_000)
    recording("a number without end", "time,x\n1," + "9" * 100_000 + "\n")
    recording("empty lines", "\n" * (1 << 22))
    recording("commands", "time,x\n1,\x1b]0;pwned\x07\n")
    place = folder / "pipes and devices"
    recording(place.name, good)
    os.mkfifo(place / "a/3.csv")
    (place / "a/4.csv").symlink_to("/dev/zero")
    (place / "a/5.csv").symlink_to(place / "a/5.csv")
    (place / "a/6.csv").symlink_to(place / "a/7.csv")
    (place / "a/loop").symlink_to(place)
    (place / "a/8.csv").mkdir()
    place = folder / "folders in folders"
    recording(place.name, good)
    deep = os.open(place / "a", os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("dir", dir_fd=deep)
        deeper = os.open("dir", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = deeper
    os.close(deep)
    expected = {
        "an endless line": "is longer than",
        "a field without end": "cannot be read as CSV",
        "zeros": "refused",
        "zeros in a cell": "refused",
        "a million columns": "columns",
        "brackets": "refused",
        "quotes": "refused",
        "a number without end": "refused",
        "empty lines": "empty lines",
        "commands": "is not a number",
        "pipes and devices": "read",
        "folders in folders": "refused",
    }
    try:
        check("csv", folder, expected)
    finally:  # too deep for pytest's own way of removing it
        subprocess.run(["rm", "-rf", str(place)], check=True)


def test_links_are_followed_but_take_no_file_twice_and_go_round_no_circle(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for place in ("set/a", "set/b"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "1.csv").write_text("x\n" + "1\n" * 8)
    (tmp_path / "elsewhere/2.csv").write_text("x\n" + "2\n" * 8)
    (tmp_path / "set/a/2.csv").symlink_to(tmp_path / "elsewhere/2.csv")
    (tmp_path / "set/a/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "set")
    cases = recordings(**defaults("recordings", path=str(tmp_path / "set"), length=8, stride=8))
    assert len(cases.labels) == 3


class Evil:
    """What a pickle may ask for."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def archive_of(pickled: bytes, folder: Path, **more: bytes) -> None:
    members = {
        "archive/data.pkl": pickled,
        "archive/version": b"3\n",
        "archive/byteorder": b"little",
    }
    zip_file(folder / "last.pt", members | {f"archive/data/{k}": v for k, v in more.items()}, False)


def state(**content) -> dict:
    return {"format": FORMAT, "format_version": FORMAT_VERSION, "state": content}


def torch_file(folder: Path, content: object) -> None:
    folder.mkdir(parents=True)
    torch.save(content, folder / "last.pt")


def test_checkpoints_of_a_stranger(tmp_path):
    folder = tmp_path / "sets"
    (folder / "a good one").mkdir(parents=True)
    save_checkpoint(folder / "a good one/last.pt", {"model": {"w": torch.ones(3)}, "names": ["a"]})
    calls = {
        "code": Evil(os.system, "touch pwned"),
        "a large array of bytes": Evil(bytearray, 1 << 36),
        "a large set": Evil(set, ([1],)),
        "a number of a gigabyte": Evil(pow, 2, 1 << 33),
    }
    for name, call in calls.items():
        archive_of(pickle.dumps(state(x=call), protocol=2), folder / name)
        if name != "code":
            (folder / f"{name}, bare").mkdir()
            (folder / f"{name}, bare" / "last.pt").write_bytes(pickle.dumps(call, protocol=2))
    deep = b"]" * 50_000 + b"a" * 49_999  # a list in a list in a list
    text = b"X\x02\x00\x00\x00@@"
    archive_of(pickle.dumps(state(x="@@"), protocol=2).replace(text, deep), folder / "nested")
    laughs: list = ["x"] * 10
    for _ in range(9):
        laughs = [laughs] * 10
    archive_of(pickle.dumps(state(x=laughs), protocol=2), folder / "a billion laughs")
    itself: dict = {}
    itself["x"] = itself
    archive_of(pickle.dumps(state(x=itself), protocol=2), folder / "itself")
    torch_file(folder / "wide", state(w=torch.zeros(1).expand(1 << 40)))
    torch_file(folder / "an object", state(w=torch.nn.Parameter(torch.zeros(1))))
    torch_file(folder / "a sparse one", state(w=torch.eye(3).to_sparse()))
    torch_file(folder / "no checkpoint", [1, 2, 3])
    (folder / "a folder" / "last.pt").mkdir(parents=True)
    (folder / "zeros").mkdir()
    (folder / "zeros/last.pt").write_bytes(bytes(100_000))
    (folder / "a pipe").mkdir()
    os.mkfifo(folder / "a pipe/last.pt")
    answers = dict.fromkeys((p.name for p in folder.iterdir()), "refused")
    check("pt", folder, answers | {"a good one": "read", "nested": "read"})


def test_class_names_are_drawn_as_they_are(tmp_path):
    names = [
        "$\\frac{1}{2}$",
        "a_b^c",
        "\x1b[2J",
        "\n",
        "<script>alert(1)</script>",
        "日本",
        "",
        "{",
    ]
    confusion = np.eye(len(names), dtype=int)
    plot_confusion(confusion, names, tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "text", ["\x1b]0;x\x07", "a\rb", "a\u202eb", "a\u2028b", "\x9b31m", "\udc80", "\0"]
)
def test_nothing_that_is_said_commands_a_terminal(text):
    assert printable(f"<{text}>").isprintable()
    assert printable("plain, wörds") == "plain, wörds"
    assert len(printable("x" * 10_000)) < 1000
