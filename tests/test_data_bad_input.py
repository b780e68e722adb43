"""Data that a user may bring by mistake, or somebody else on purpose: one sentence each."""

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import defaults

from raspitrain.data.arrays import npy, npz
from raspitrain.data.cases import Cases
from raspitrain.data.files import npy_file
from raspitrain.data.recordings import recordings
from raspitrain.data.synthetic import random, synthetic
from raspitrain.data.ucr import ucr
from raspitrain.errors import InputError

SIGNALS = np.arange(6 * 2 * 8, dtype=np.float32).reshape(6, 2, 8)
LABELS = np.array([0, 1, 0, 1, 0, 1])


def load_npy_folder(folder: Path, **given: object) -> Cases:
    return npy(**defaults("npy", path=str(folder)) | given)


def load_npz(file: Path, **given: object) -> Cases:
    return npz(**defaults("npz", path=str(file)) | given)


def load_recordings(folder: Path, **given: object) -> Cases:
    settings = defaults("recordings", path=str(folder), length=4, stride=2)
    return recordings(**settings | given)


def load_ucr(folder: Path | None, **given: object) -> Cases:
    settings = {"name": "Toy", "unequal": "pad", "length": None, "missing": "error"}
    path = None if folder is None else str(folder)
    return ucr(**{"path": path} | settings | given)  # type: ignore[arg-type]


def save(folder: Path, data: object = SIGNALS, label: object = LABELS) -> Path:
    np.save(folder / "data.npy", data)  # type: ignore[arg-type]
    np.save(folder / "label.npy", label)  # type: ignore[arg-type]
    return folder


def header(text: str, version: int = 1) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode("latin1")


def npy_bytes(folder: Path, content: bytes) -> Cases:
    (save(folder) / "data.npy").write_bytes(content)
    return load_npy_folder(folder)


def with_value(value: float, dtype: type = np.float32) -> np.ndarray:
    signals = SIGNALS.astype(dtype)
    signals[3, 1, 5:7] = value
    return signals


def object_array() -> np.ndarray:
    array = np.empty(6, dtype=object)
    array[:] = "walk"
    return array


def pickled(folder: Path) -> Cases:
    np.save(folder / "data.npy", object_array(), allow_pickle=True)
    np.save(folder / "label.npy", LABELS)
    return load_npy_folder(folder)


def pickled_labels(folder: Path) -> Cases:
    np.save(folder / "data.npy", SIGNALS)
    np.save(folder / "label.npy", object_array(), allow_pickle=True)
    return load_npy_folder(folder)


def cut(folder: Path, name: str) -> Cases:
    save(folder)
    os.truncate(folder / name, (folder / name).stat().st_size - 9)
    return load_npy_folder(folder)


def only(folder: Path, name: str) -> Cases:
    (save(folder) / name).unlink()
    return load_npy_folder(folder)


def folder_as_file(folder: Path) -> Cases:
    np.save(folder / "label.npy", LABELS)
    (folder / "data.npy").mkdir()
    return load_npy_folder(folder)


def named_pipe(folder: Path) -> Cases:
    np.save(folder / "label.npy", LABELS)
    os.mkfifo(folder / "data.npy")
    return load_npy_folder(folder)


def huge_header(folder: Path) -> Cases:
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 100000, 10000000), }"
    return npy_bytes(folder, header(text) + b"\0" * 100)


def archive(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "set.npz", **arrays)  # type: ignore[arg-type]
    return folder / "set.npz"


def bomb(folder: Path) -> Cases:
    """A few hundred kB that unpack to 256 MB, which the next function makes too much."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': (6, 2, {(1 << 28) // 48}), }}"
    buffer = io.BytesIO()
    np.save(buffer, LABELS)
    with zipfile.ZipFile(folder / "set.npz", "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("data.npy", "w") as member:
            member.write(header(text))
            for _ in range(256):
                member.write(bytes(1 << 20))
        file.writestr("label.npy", buffer.getvalue())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(npy_file, "available_memory", lambda: 100_000_000)
        return load_npz(folder / "set.npz")


def lying_archive(folder: Path) -> Cases:
    path = archive(folder, data=SIGNALS, label=LABELS)
    content = path.read_bytes().replace(b"(6, 2, 8)", b"(6, 2, 9)")
    path.write_bytes(content)
    return load_npz(path)


def broken_archive(folder: Path) -> Cases:
    path = archive(folder, data=SIGNALS, label=LABELS)
    content = bytearray(path.read_bytes())
    content[300] ^= 0xFF  # a value: the checksum no longer fits
    path.write_bytes(content)
    return load_npz(path)


def encrypted_archive(folder: Path) -> Cases:
    path = archive(folder, data=SIGNALS, label=LABELS)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    content[6] |= 1
    path.write_bytes(content)
    return load_npz(path)


def csv_files(folder: Path, **files: str | bytes) -> Path:
    """csv_files(folder, walk_1="x,y…") writes walk/1.csv, and two good recordings beside it."""
    good = "time,x,y\n" + "".join(f"{i},{i},{-i}\n" for i in range(8))
    for name, content in {"run_1": good, "walk_0": good, **files}.items():
        label, _, number = name.partition("_")
        path = folder / label / f"{number}.csv" if number else folder / f"{label}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def one_csv(content: str | bytes) -> Callable[[Path], Cases]:
    return lambda folder: load_recordings(csv_files(folder, walk_1=content))


def ts_file(folder: Path, train: str, test: str | None = None) -> Path:
    tags = "@problemName Toy\n@timeStamps false\n@univariate true\n@equalLength true\n"
    tags += "@classLabel true a b\n@data\n"
    (folder / "Toy_TRAIN.ts").write_text(train if train.startswith("@") else tags + train)
    (folder / "Toy_TEST.ts").write_text(tags + (test or "1,2,3:a\n3,2,1:b\n"))
    return folder


def written_in(folder: Path, encoding: str) -> Path:
    for file in folder.iterdir():
        file.write_text(file.read_text(), encoding=encoding)
    return folder


BAD: dict[str, tuple[Callable[[Path], Cases], str]] = {
    # a folder of arrays
    "no folder": (lambda f: load_npy_folder(f / "none"), "none does not exist"),
    "folder is a file": (
        lambda f: load_npy_folder(save(f) / "data.npy"),
        "is a file, not a folder",
    ),
    "path is no path": (lambda f: load_npy_folder(f, path="a\0b"), "which is no path"),
    "home of nobody": (lambda f: load_npy_folder(f, path="~nobody-here/x"), "which is no path"),
    "no data": (lambda f: only(f, "data.npy"), "data.npy does not exist"),
    "no labels": (lambda f: only(f, "label.npy"), "label.npy does not exist"),
    "data is a folder": (folder_as_file, "data.npy is not a file"),
    "data is a pipe": (named_pipe, "data.npy is not a file"),
    "name leads out": (
        lambda f: load_npy_folder(save(f), data="../data.npy"),
        "must be the name of a file in",
    ),
    "pickled data": (pickled, "data.npy holds pickled Python objects"),
    "pickled labels": (pickled_labels, "label.npy holds pickled Python objects"),
    "a bare pickle": (lambda f: npy_bytes(f, b"\x80\x04N."), "is not a NumPy file"),
    "empty file": (lambda f: npy_bytes(f, b""), "is not a NumPy file"),
    "text": (lambda f: npy_bytes(f, b"1,2,3\n" * 50), "is not a NumPy file"),
    "records": (
        lambda f: load_npy_folder(save(f, data=np.zeros(6, dtype=[("x", "f4")]))),
        "holds records",
    ),
    "cut data": (lambda f: cut(f, "data.npy"), "data.npy claims the shape (6, 2, 8)"),
    "cut labels": (lambda f: cut(f, "label.npy"), "the file is cut short"),
    "huge shape": (huge_header, "the file is cut short"),
    "negative shape": (
        lambda f: npy_bytes(
            f, header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2, 8), }")
        ),
        "impossible shape",
    ),
    "header of 4 GB": (
        lambda f: npy_bytes(f, b"\x93NUMPY\x02\x00" + b"\xff" * 4 + b"{" * 100),
        "is not a NumPy file",
    ),
    "header that nests": (lambda f: npy_bytes(f, header("(" * 9000)), "is not a NumPy file"),
    "header that calls": (
        lambda f: npy_bytes(f, header("{'descr': __import__('os').abort()}")),
        "is not a NumPy file",
    ),
    "Fortran order": (
        lambda f: load_npy_folder(save(f, data=np.asfortranarray(SIGNALS))),
        "ascontiguousarray",
    ),
    "two dimensions": (
        lambda f: load_npy_folder(save(f, data=SIGNALS[:, 0])),
        "write one channel as (6, 1, 8)",
    ),
    "four dimensions": (
        lambda f: load_npy_folder(save(f, data=SIGNALS[None])),
        "have 4 dimensions (1, 6, 2, 8)",
    ),
    "no cases": (lambda f: load_npy_folder(save(f, SIGNALS[:0], LABELS[:0])), "are empty"),
    "no channels": (lambda f: load_npy_folder(save(f, data=SIGNALS[:, :0])), "are empty"),
    "text as signals": (
        lambda f: load_npy_folder(save(f, data=SIGNALS.astype(str))),
        "are not numbers",
    ),
    "complex signals": (
        lambda f: load_npy_folder(save(f, data=SIGNALS.astype(complex))),
        "are not numbers",
    ),
    "fewer labels": (
        lambda f: load_npy_folder(save(f, label=LABELS[:4])),
        "there are 6 cases but 4 labels",
    ),
    "labels in a column": (
        lambda f: load_npy_folder(save(f, label=LABELS[:, None])),
        "labels have 2 dimensions",
    ),
    "labels that are floats": (
        lambda f: load_npy_folder(save(f, label=LABELS / 2)),
        "must be integers or strings",
    ),
    "labels that are dates": (
        lambda f: load_npy_folder(save(f, label=LABELS.astype("datetime64[s]"))),
        "must be integers or strings",
    ),
    "an empty label": (
        lambda f: load_npy_folder(save(f, label=np.array(["a", "b", "", "a", "b", "a"]))),
        "case 2 has an empty label",
    ),
    "labels in Latin-1": (
        lambda f: load_npy_folder(save(f, label=np.array([b"g\xe9n", b"a"] * 3))),
        "not UTF-8",
    ),
    "one class": (lambda f: load_npy_folder(save(f, label=LABELS * 0)), "at least two classes"),
    "NaN": (
        lambda f: load_npy_folder(save(f, data=with_value(np.nan))),
        "2 values are NaN or infinite, the first at case 3, channel 1, sample 5",
    ),
    "infinity": (
        lambda f: load_npy_folder(save(f, data=with_value(-np.inf))),
        "2 values are NaN or infinite",
    ),
    "too large for float32": (
        lambda f: load_npy_folder(save(f, data=with_value(1e300, np.float64))),
        "2 values are too large for float32 (3.4e38)",
    ),
    "missing misspelt": (
        lambda f: load_npy_folder(save(f), missing="interpolat"),
        "error, interpolate, zero",
    ),
    "groups too few": (
        lambda f: load_npy_folder(save(f), groups="label.npy", data="groups.npy"),
        "groups.npy does not exist",
    ),
    "part with a 3": (
        lambda f: load_npy_folder(save(f, label=LABELS + 2), part="label.npy"),
        "0 (train), 1 (validation) and 2 (test)",
    ),
    # one archive
    "no archive": (lambda f: load_npz(f / "set.npz"), "set.npz does not exist"),
    "npy as npz": (lambda f: load_npz(save(f) / "data.npy"), "is not a .npz file"),
    "no such array": (
        lambda f: load_npz(archive(f, datum=SIGNALS, label=LABELS)),
        "has no array 'data', which dataset.data asks for; nearest: datum",
    ),
    "pickled in archive": (
        lambda f: load_npz(archive(f, data=object_array(), label=LABELS)),
        "holds pickled Python objects",
    ),
    "bomb": (bomb, "of memory are free"),
    "archive claims more": (lying_archive, "set.npz, array 'data',"),
    "archive damaged": (broken_archive, "cannot be unpacked"),
    "archive encrypted": (encrypted_archive, "cannot be unpacked"),
    # recordings
    "no recordings": (load_recordings, "holds no .csv or .tsv file"),
    "recording without a class": (
        lambda f: load_recordings(csv_files(f, one="x,y\n1,2\n", two="x,y\n1,2\n")),
        "one.csv lies in the folder itself; put recordings",
    ),
    "one recording alone": (
        lambda f: load_recordings(csv_files(f, alone="x,y\n1,2\n"), path=str(f / "alone.csv")),
        "alone.csv is one recording, and nothing says its class: name the column that holds it in "
        "dataset.label_column (it has x, y)",
    ),
    "a case a row without a class": (
        lambda f: load_recordings(csv_files(f, beats="0.5," * 99 + "1\n")),
        "lies in the folder itself; if each row is a case and no moment, say dataset=rows; else",
    ),
    "a column of labels": (
        lambda f: load_recordings(csv_files(f, alone="time,x,Activity\n1,2,walk\n2,3,run\n")),
        "if its column Activity is the class, say dataset.label_column=Activity; else put",
    ),
    "a column a class": (
        lambda f: load_recordings(csv_files(f, alone="a,walk,run\n2.5,x,\n3.5,,x\n4.5,,\n")),
        "if the columns walk to run mark the class, write it into one, as by: awk -F',' -v OFS=','",
    ),
    "a column a recording": (
        lambda f: load_recordings(
            csv_files(
                f, alone="t,run_1,run_2,run_3,walk_1,walk_2,walk_3\n" + ".1,.2,.3,.4,.5,.6,.7\n" * 3
            )
        ),
        "if each column is a recording of what its name says (run, walk), turn it for dataset=rows",
    ),
    "an address": (
        lambda f: load_recordings(Path("x"), path="https://host/data.zip"),
        "dataset.path=https://host/data.zip is an address: fetch it",
    ),
    "empty recording": (one_csv(""), "1.csv is empty"),
    "names alone": (one_csv("time,x,y\n"), "holds names but no samples; move the file away"),
    "ragged": (one_csv("time,x,y\n1,2,3\n1,2\n"), "line 3 has 2 cells, but the file has 3"),
    "a quote within a number": (one_csv('time,x\n"1","2"\n"2","3"5\n'), "cannot be read as CSV"),
    "a comma in each time": (
        one_csv("".join(["time,x,y\n", *(f"10:00:0{k},137,{k},2\n" for k in range(9))])),
        "the comma in 10:00:00,137 cuts the time in two: write a point there",
    ),
    "word for number": (
        one_csv("time,x,y\n1,2,3\n2,oops,3\n"),
        "1.csv, line 3, column 'x': 'oops' is not a number",
    ),
    "numbers as names": (one_csv("3.5,1,2\n1,2,3\n"), "taken for data"),
    "binary": (one_csv(bytes(range(256))), "is not a text file in UTF-8"),
    "Latin-1": (one_csv("time,x °,y\n1,2,3\n".encode("latin1")), "is not a text file in UTF-8"),
    "erased block": (
        one_csv(b"time,x,y\n1,2,3\n2,\xff\xff\n4,5,6\n"),
        "(line 3 has the byte 0xff); export it as CSV in UTF-8, or",
    ),
    "a sign for nothing": (
        one_csv("time,x,y\n1,2,3\n2,*,3\n"),
        r"'*' is not a number (if it stands where nothing was measured: sed 's/\*/nan/' OLD > NEW)",
    ),
    "time and label": (
        one_csv("time,label\n0.1,a\n0.2,a\n0.3,b\n"),
        "what was measured at these moments belongs into columns beside them",
    ),
    "open quote": (one_csv('time,x,y\n1,2,"3\n'), "cannot be read as CSV"),
    "endless line": (one_csv("time,x,y\n" + "1," * (1 << 20)), "line 2 is longer than"),
    "other channels": (one_csv("time,x,z\n1,2,3\n"), "has the channels x, z"),
    "empty cell": (
        one_csv("time,x,y\n1,2,3\n2,,3\n"),
        "1 value is missing, NaN, infinite or too large for float32 (3.4e38), the first in",
    ),
    "time that is none": (
        one_csv("time,x,y\n2024-01-02,2,3\n2024-01-03,2,3\n2024-31-01,2,3\n"),
        "line 4, column 'time': '2024-31-01' is no time",
    ),
    "time alone": (one_csv("time,timestamp\n1,2\n"), "has no column of signals"),
    "no such column": (
        lambda f: load_recordings(csv_files(f), columns=["acc_x", "y"]),
        "has no column 'acc_x', which dataset.columns asks for",
    ),
    "column twice": (
        lambda f: load_recordings(csv_files(f, walk_0="x,x\n1,2\n"), columns=["x"]),
        "has 2 columns 'x'",
    ),
    "no label column": (
        lambda f: load_recordings(csv_files(f), label_column="activity"),
        "has no column 'activity', which dataset.label_column asks for",
    ),
    "too short": (
        lambda f: load_recordings(csv_files(f), length=9),
        "the longest has 8; choose dataset.length=8 or less",
    ),
    "no stride": (lambda f: load_recordings(csv_files(f), stride=0), "dataset.stride is 0"),
    # the archive
    "unknown name": (lambda f: load_ucr(None, name="GunPiont"), "nearest: GunPoint"),
    "unknown name in a folder": (
        lambda f: load_ucr(ts_file(f, "1,2,3:a\n"), name="Toys"),
        "does not hold (nearest: Toy)",
    ),
    "no file of an archive": (
        lambda f: load_ucr(csv_files(f), name="walk"),
        "holds no walk_TRAIN.ts, nor a .tsv, .txt or .arff of such a name; other tables",
    ),
    "regression": (lambda f: load_ucr(None, name="Covid3Month"), "is a regression data set"),
    "no test file": (
        lambda f: load_ucr(only_train(f)),
        "there should be Toy_TRAIN.ts and Toy_TEST.ts",
    ),
    "word in .ts": (lambda f: load_ucr(ts_file(f, "1,x,3:a\n")), "cannot be read as a .ts file"),
    "labels that the header denies": (
        lambda f: load_ucr(ts_file(f, "@timeStamps false\n@classLabel false\n@data\n1,2:a\n")),
        "write @classLabel true and the classes",
    ),
    ".ts in UTF-16": (
        lambda f: load_ucr(written_in(ts_file(f, "1,2,3:a\n"), "utf-16")),
        "iconv -f UTF-16 -t UTF-8",
    ),
    ".ts without @data": (
        lambda f: load_ucr(ts_file(f, "@classLabel true a b\n1,2,3:a\n")),
        "below a line @data",
    ),
    "ragged .ts": (lambda f: load_ucr(ts_file(f, "1,2:a\n1:b\n")), "cannot be read as a .ts file"),
    "time stamps": (
        lambda f: load_ucr(
            ts_file(f, "@timeStamps true\n@classLabel true a b\n@data\n(0,-1.0):a\n")
        ),
        "has a time stamp with every value",
    ),
    "missing in .ts": (
        lambda f: load_ucr(ts_file(f, "1,?,3:a\n1,2,3:b\n")),
        "1 value is NaN or infinite, the first at case 0, channel 0, sample 1",
    ),
    "unequal misspelt": (lambda f: load_ucr(None, unequal="cut"), "pad, resample"),
    # made ones
    "more classes than cases": (
        lambda f: synthetic(
            num_cases=4, num_channels=1, length=8, num_classes=5, noise=0.0, seed=0
        ),
        "num_classes is 5",
    ),
    "larger than memory": (
        lambda f: random(num_cases=10**7, num_channels=10**4, length=10**4, num_classes=2, seed=0),
        "are free",
    ),
    "noise below zero": (
        lambda f: synthetic(
            num_cases=4, num_channels=1, length=8, num_classes=2, noise=-1.0, seed=0
        ),
        "noise is -1.0",
    ),
}


def only_train(folder: Path) -> Path:
    (ts_file(folder, "1,2,3:a\n") / "Toy_TEST.ts").unlink()
    return folder


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_sentence(case: str, tmp_path: Path) -> None:
    load, part = BAD[case]
    with pytest.raises(InputError) as caught:
        load(tmp_path)
    sentence = str(caught.value)
    assert part in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")


def test_ucr_without_aeon_names_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'raspitrain\[ucr\]'"):
        load_ucr(None)


def test_a_file_cut_while_in_use_is_an_error_and_no_crash(tmp_path: Path) -> None:
    cases = load_npy_folder(save(tmp_path))
    os.truncate(tmp_path / "data.npy", 200)
    with pytest.raises(InputError, match="was cut while in use"):
        cases.signals[np.array([5])]
