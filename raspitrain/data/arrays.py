"""Data sets that are arrays already: a folder of .npy files, or one .npz."""

import zipfile
from pathlib import Path

import numpy as np

from raspitrain.data.cases import Cases, make_cases
from raspitrain.data.nearest import nearest
from raspitrain.data.npy_file import (
    StoredSignals,
    check_folder,
    load_npy,
    open_file,
    read_header,
    read_values,
    user_path,
)
from raspitrain.errors import InputError


def npy(
    *, path: str, data: str, label: str, groups: str | None, part: str | None, missing: str
) -> Cases:
    """Return the cases of a folder of .npy files; the signals stay on disk.

    Parameters
    ----------
    path : str
        The folder.
    data : str
        File of the signals, (N, C, L), best as float32, float64 or int16.
    label : str
        File of the labels, (N,), integers or text.
    groups : str or None
        File of the groups, (N,): cases of one group stay on one side of a split.
    part : str or None
        File of the data's own split, (N,): 0 train, 1 validation, 2 test.
    missing : {"error", "interpolate", "zero"}
        What becomes of NaN and infinite values.
    """
    folder = user_path(path, "dataset.path")
    check_folder(folder, "dataset.path")
    signals = StoredSignals(_inside(folder, data, "dataset.data"))
    return make_cases(
        signals,
        load_npy(_inside(folder, label, "dataset.label")),
        source=str(folder / data),
        missing=missing,
        groups=None if groups is None else load_npy(_inside(folder, groups, "dataset.groups")),
        part=None if part is None else load_npy(_inside(folder, part, "dataset.part")),
        label_source=str(folder / label),
        groups_source=str(folder / str(groups)),
        part_source=str(folder / str(part)),
    )


def _inside(folder: Path, name: str, key: str) -> Path:
    path = user_path(name, key)
    if path.name != name:
        raise InputError(f"{key} is {name!r}, but must be the name of a file in {folder}.")
    return folder / path


def npz(
    *, path: str, data: str, label: str, groups: str | None, part: str | None, missing: str
) -> Cases:
    """Return the cases of a .npz file, which is read whole.

    Parameters
    ----------
    path : str
        The file.
    data, label, groups, part : str
        Names of the arrays in it; what they hold is as for `npy`. The last two may be None.
    missing : {"error", "interpolate", "zero"}
        What becomes of NaN and infinite values.
    """
    file = user_path(path, "dataset.path")
    with open_file(file) as raw:
        try:
            archive = zipfile.ZipFile(raw)
        except Exception:  # as below
            raise InputError(
                f"{file} is not a .npz file, or is damaged; write it with numpy.savez."
            ) from None
        with archive:
            signals, labels = (
                _read_member(archive, file, name, key)
                for name, key in ((data, "dataset.data"), (label, "dataset.label"))
            )
            group_ids, part_ids = (
                None if name is None else _read_member(archive, file, name, key)
                for name, key in ((groups, "dataset.groups"), (part, "dataset.part"))
            )
    return make_cases(
        signals,
        labels,
        source=f"{file}, array '{data}'",
        missing=missing,
        groups=group_ids,
        part=part_ids,
        label_source=f"{file}, array '{label}'",
        groups_source=f"{file}, array '{groups}'",
        part_source=f"{file}, array '{part}'",
    )


def _read_member(archive: zipfile.ZipFile, file: Path, name: str, key: str) -> np.ndarray:
    members = {info.filename: info for info in archive.infolist()}
    info = members.get(f"{name}.npy")
    if info is None:
        names = (member.removesuffix(".npy") for member in members)
        raise InputError(
            f"{file} has no array '{name}', which {key} asks for; {nearest(name, names)}."
        )
    source = f"{file}, array '{name}',"
    try:
        with archive.open(info) as member:
            header = read_header(member, source)
            # What the archive declares bounds what zipfile yields: a bomb cannot grow past it.
            return read_values(
                member, header, num_bytes=info.file_size - header.offset, source=source
            )
    except (InputError, MemoryError):
        raise
    except Exception as error:  # zipfile trusts the archive and fails in many ways if damaged
        raise InputError(f"{source} cannot be unpacked: {str(error).rstrip('.')}.") from None
