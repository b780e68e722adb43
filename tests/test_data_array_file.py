"""Arrays by name in MATLAB's .mat and in HDF5, as a run and `raspitrain data` take them."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import h5py
import numpy as np
import pytest
from conftest import defaults
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from raspitrain.data.arrays import npz
from raspitrain.data.cases import Cases
from raspitrain.data.files import npy_file
from raspitrain.data.files.formats import read_recording_file
from raspitrain.data.recordings import recordings
from raspitrain.errors import InputError
from raspitrain.use.model import Model
from raspitrain.use.predict import predict_files

SIGNALS = np.random.default_rng(0).normal(0, 1, (8, 3, 20))
NUMBERS = np.array([1, 2, 1, 2, 2, 1, 2, 1])
WORDS = np.array([["walk", "run"][number - 1] for number in NUMBERS])
NAMES = {"data": "X", "label": "y", "groups": "who"}


def matlab(folder: Path) -> Path:
    """As MATLAB saves: vectors are columns of doubles, words a cell."""
    cell = np.array([*WORDS], dtype=object)[:, None]
    savemat(folder / "set.mat", {"X": SIGNALS, "y": cell, "who": NUMBERS[:, None].astype(float)})
    return folder / "set.mat"


def matlab_7_3(folder: Path) -> Path:
    """With 512 bytes before, and its axes the other way round."""
    with h5py.File(folder / "set.mat", "w", userblock_size=512) as file:
        for name, values in (("X", SIGNALS), ("y", NUMBERS[:, None]), ("who", NUMBERS[:, None])):
            held = file.create_dataset(name, data=values.T.astype(float))
            held.attrs["MATLAB_class"] = np.bytes_("double")
        file.create_group("#refs#").create_dataset("a", data=[1])
    return folder / "set.mat"


def hdf5(folder: Path) -> Path:
    with h5py.File(folder / "set.h5", "w") as file:
        file.create_dataset("X", data=SIGNALS.swapaxes(1, 2), compression="gzip")
        file["y"], file["who"] = [*map(str, WORDS)], NUMBERS
    return folder / "set.h5"


def taken(path: Path, **words: Any) -> Cases:
    return npz(**defaults("npz", path=str(path), **(NAMES | words)))


@pytest.mark.parametrize("write", [matlab, matlab_7_3, hdf5])
def test_what_does_not_fit_into_memory_is_not_read(write, tmp_path, monkeypatch):
    path = write(tmp_path)
    monkeypatch.setattr(npy_file, "available_memory", lambda: SIGNALS.nbytes - 1)
    with pytest.raises(InputError, match=r"array 'X', holds .* GB of memory are free"):
        taken(path)


@pytest.mark.parametrize("write", [matlab, matlab_7_3, hdf5])
def test_arrays_are_read_as_they_were_meant(write, tmp_path):
    cases = taken(write(tmp_path), channels="last" if write is hdf5 else None)
    assert np.array_equal(cases.signals[np.arange(8)], SIGNALS)
    names = ("1", "2") if write is matlab_7_3 else ("run", "walk")
    assert cases.class_names == names
    wanted = NUMBERS.astype(str) if write is matlab_7_3 else WORDS
    assert [names[code] for code in cases.labels] == [*wanted]
    assert cases.groups is not None
    assert cases.groups.tolist() == (NUMBERS - 1).tolist()


def test_one_channel_as_cases_and_length(tmp_path):
    savemat(tmp_path / "set.mat", {"X": SIGNALS[:, 0], "y": NUMBERS})
    words = {"groups": None}
    with pytest.raises(InputError, match=r"dataset\.channels=one"):
        taken(tmp_path / "set.mat", **words)
    cases = taken(tmp_path / "set.mat", channels="one", **words)
    assert np.array_equal(cases.signals[np.array([2, 5])], SIGNALS[[2, 5], :1])
    with pytest.raises(InputError, match="leave it out"):
        taken(matlab(tmp_path), channels="one")


def test_what_is_there_is_named(tmp_path):
    for write in (matlab, hdf5):
        with pytest.raises(InputError, match=r"X, .*such as dataset\.data=X dataset\.label=y"):
            taken(write(tmp_path), data="data")
    savemat(tmp_path / "set.mat", {"acc": SIGNALS, "fs": 50.0, "activity": NUMBERS})
    with pytest.raises(InputError, match=r"such as dataset\.data=acc dataset\.label=activity"):
        taken(tmp_path / "set.mat", data="data")


def test_hdf5_takes_nothing_from_elsewhere_and_grows_no_bomb(tmp_path):
    path = tmp_path / "set.h5"
    (tmp_path / "other").write_bytes(bytes(8 * SIGNALS.size))
    shape = SIGNALS.shape
    with h5py.File(path, "w") as file:
        file["y"] = file["who"] = NUMBERS
        file.create_dataset("apart", shape, "f8", external=[(str(tmp_path / "other"), 0, 10**6)])
        file.create_dataset("huge", (8, 1 << 20, 1 << 20), "f8", chunks=(1, 1, 1 << 10))
        file["X"] = h5py.SoftLink("/nowhere")
    for name, said in (("apart", "other files"), ("huge", "never written"), ("X", "no array 'X'")):
        with pytest.raises(InputError, match=said):
            taken(path, data=name)


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_file_is_refused_in_a_sentence(tmp_path_factory, data):
    """scipy's reader of .mat ends the process at some changed bytes: such a file is only cut."""
    write = data.draw(st.sampled_from([matlab, matlab_7_3, hdf5]))
    path = write(tmp_path_factory.mktemp("arrays"))
    content = bytearray(path.read_bytes())
    if write is matlab or data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 8))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with suppress(InputError):
        taken(path, channels="last" if write is hdf5 else None)


def test_where_arrays_are_no_recordings_the_way_to_them_is_told(tmp_path):
    (tmp_path / "folder").mkdir()
    path = hdf5(tmp_path / "folder")
    with pytest.raises(InputError, match=r"1 \.h5 file: use dataset=npz"):
        recordings(**defaults("recordings", path=str(path.parent)))
    model = SimpleNamespace(classes=[], header={"input": {}})
    with pytest.raises(InputError, match=f"evaluate RUN --data {path}"):
        next(predict_files(cast(Model, model), [str(path)]))


def test_recordings_in_groups_of_hdf5_are_told_with_what_writes_them_into_folders(tmp_path):
    with h5py.File(tmp_path / "all.h5", "w") as file:
        for k in range(6):
            values = np.random.default_rng(k).standard_normal((200, 2))
            file[f"{('walk', 'run')[k % 2]}/rec{k}"] = values
    with pytest.raises(InputError) as caught:
        npz(**defaults("npz", path=str(tmp_path / "all.h5")))
    command = str(caught.value).split("such folders: ")[1].split(", and give")[0]
    words = command.replace("python", sys.executable, 1)
    subprocess.run(words, shell=True, check=True, cwd=tmp_path)
    cases = recordings(**defaults("recordings", path=str(tmp_path / "NEW"), length=64))
    assert (cases.class_names, len(cases.taken.origins)) == (("run", "walk"), 6)


@pytest.mark.parametrize("ending", ["h5", "mat"])
def test_files_of_hdf5_may_be_recordings(ending, tmp_path):
    """As machines write them one each, and MATLAB in version 7.3."""
    for k in range(6):
        path = tmp_path / ("good" if k % 2 else "bad") / f"r{k}.{ending}"
        path.parent.mkdir(exist_ok=True)
        values = np.random.default_rng(k).integers(-90, 90, (200, 2), dtype=np.int16)
        with h5py.File(path, "w", userblock_size=512 if ending == "mat" else 0) as file:
            file["run/vibration"] = values
            file["fs"] = 2000.0
            file["note"] = "spindle"
        if ending == "mat":
            with path.open("r+b") as raw:
                raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    if ending == "h5":
        with pytest.raises(InputError, match=r"take them with dataset.files='\*.h5'"):
            recordings(**defaults("recordings", path=str(tmp_path), length=64))
    given = {"path": str(tmp_path), "files": f"*.{ending}", "length": 64}
    cases = recordings(**defaults("recordings", **given))
    assert cases.channel_names == ("run_vibration_0", "run_vibration_1")
    assert (cases.class_names, cases.rate) == (("bad", "good"), 2000)
    (tmp_path / f"bad/r0.{ending}").write_bytes(path.read_bytes()[:700])
    with pytest.raises(InputError, match="cannot be read"):
        recordings(**defaults("recordings", **given))


def test_fields_of_a_table_in_hdf5_are_channels(tmp_path):
    """As PyTables writes it, with an index of its own; pandas keeps the names to itself."""
    rows = np.zeros(40, [("t", "f8"), ("acc", "f4", (2,)), ("activity", "S4")])
    rows["t"], rows["acc"][:, 1] = np.arange(40) / 50, np.arange(40)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["run/rec"] = rows
        file["run/_i_rec/t/sorted"] = np.zeros(99)
    table = read_recording_file(tmp_path / "a.h5")
    assert table.names == ["run_rec_t", "run_rec_acc_0", "run_rec_acc_1"]
    assert table.columns[2].values.tolist() == [*range(40)]
    assert table.notes == ["run_rec_activity, which holds no numbers"]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["df/table"] = np.zeros(40, [("index", "i8"), ("values_block_0", "f8", (3,))])
    with pytest.raises(InputError, match=r"pandas\.read_hdf\('.*a\.h5'\)\.to_csv\('.*a\.csv'\)"):
        read_recording_file(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["run/notes"] = [b"a", b"b"]
    with pytest.raises(InputError, match="no arrays of numbers, but run_notes; export it as CSV"):
        read_recording_file(tmp_path / "a.h5")


def test_whose_the_cases_are_is_warned_of_inside_a_group_of_hdf5_too(tmp_path):
    with h5py.File(tmp_path / "set.h5", "w") as file:
        group = file.create_group("acc")
        group["X"], group["y"], group["subject"] = SIGNALS, NUMBERS, NUMBERS
        file["b/X"] = file["c/X"] = SIGNALS
    cases = taken(tmp_path / "set.h5", data="acc/X", label="acc/y", groups=None)
    (warning,) = cases.taken.warnings
    assert "add dataset.groups=acc/subject" in warning
    assert cases.taken.notes == ("not used, though beside the data: b/X, c/X",)
