"""Files that hold arrays by name: .npz, MATLAB's .mat and HDF5."""

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from raspitrain.data.files.formats import HDF5_START, package
from raspitrain.data.files.npy_file import check_fits, open_file, read_header, read_values
from raspitrain.errors import InputError
from raspitrain.nearest import nearest

HDF5_OFFSETS = (0, 512)  # MATLAB writes 512 bytes of its own before
# gzip makes at most 1032 bytes of one; a dataset that declares more than that was never written.
MOST_UNPACKED = 1100
# What arrays of signals and of labels are called, and how those for training.
SIGNALS_AND_LABELS = (
    ("x", "y"), *((x, "labels") for x in ("data", "signals", "features", "inputs", "samples")),
    *((x, "label") for x in ("data", "signals", "features", "samples")), ("inputs", "targets"),
)  # fmt: skip
FORMS = ("{}", "{}_train", "train_{}", "{}_all", "train/{}")
PARTS = (("train",), ("val", "valid", "validation"), ("test",))
MATLAB_NUMBERS = (
    "double", "single", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)  # fmt: skip


class Arrays(NamedTuple):
    """What a file holds: the shape of each array by its name, and how one is read.

    Attributes
    ----------
    shapes : of the arrays, as far as they are known without reading; None where not
    read : gives an array; raises InputError where it is none of numbers or text
    """

    shapes: Mapping[str, tuple[int, ...] | None]
    read: Callable[[str], np.ndarray]


@contextmanager
def open_arrays(file: Path) -> Iterator[Arrays]:
    """The arrays of a file, told by what it begins with.

    Raises
    ------
    InputError
        It is no such file, or is damaged.
    """
    with open_file(file) as raw:
        starts = []
        for offset in HDF5_OFFSETS:
            raw.seek(offset)
            starts.append(raw.read(len(HDF5_START)))
        raw.seek(0)
        if HDF5_START in starts:
            with _hdf5(file) as arrays:
                yield arrays
        elif file.suffix.lower() == ".mat":
            yield _matlab(file)
        else:
            with _open_zip(raw, file) as archive:
                yield _npz(archive, file)


def pick(arrays: Arrays, file: Path, name: str, key: str) -> np.ndarray:
    """The array that a key names.

    Raises
    ------
    InputError
        There is none of that name; the sentence names those that there are.
    """
    if name not in arrays.shapes:
        raise InputError(
            f"{file} has no array '{name}', which {key} asks for; "
            f"{nearest(name, list(arrays.shapes))}{such_as(arrays.shapes, file)}"
            f"{_if_recordings(arrays, file)}."
        )
    return arrays.read(name)


def _if_recordings(arrays: Arrays, file: Path) -> str:
    """What to do with HDF5 that holds recordings in a group for each class."""
    shapes = arrays.shapes
    groups = {name.rpartition("/")[0] for name in shapes}
    deep = all("/" in name and shape and len(shape) <= 2 for name, shape in shapes.items())
    if file.suffix.lower() == ".npz" or not deep or not 1 < len(groups) < len(shapes):
        return ""
    return (
        "; if each is a recording and its group the class, write them as files into such folders: "
        f"python -c \"import h5py, numpy, os; f = h5py.File('{file.name}'); k = []; "
        "f.visit(k.append); [(os.makedirs(os.path.dirname('NEW/' + n), exist_ok=True), "
        "numpy.save('NEW/' + n, f[n])) for n in k if hasattr(f[n], 'shape')]\", and give NEW as "
        "dataset.path of dataset=recordings"
    )


def such_as(shapes: Mapping[str, tuple[int, ...] | None], place: Path) -> str:
    """The arrays of a file or folder that are signals and labels, as far as their names or their
    shapes tell."""
    names = {name.lower(): name for name in shapes}
    for pair in SIGNALS_AND_LABELS:
        for form in FORMS:
            for ending in (".npy", ""):
                own = [names.get(form.format(name) + ending) for name in pair]
                if own[0] is not None and own[1] is not None:
                    key = f"dataset.data={own[0]} dataset.label={own[1]}"
                    return f", such as {key}{_with_tests(names, (own[0], own[1]), place)}"
    known = {name: shape for name, shape in shapes.items() if shape and 0 not in shape}
    if not known:
        return ""
    signals = max(known, key=lambda name: np.prod(known[name]))
    labels = [
        name for name, shape in known.items()
        if name != signals and max(shape) == np.prod(shape) == known[signals][0]
    ]  # fmt: skip
    return f", such as dataset.data={signals} dataset.label={labels[0]}" if labels else ""


def _with_tests(names: Mapping[str, str], own: tuple[str, str], place: Path) -> str:
    """How the arrays of other parts are joined to those of training."""
    if "train" not in own[0].lower():
        return ""
    numbers, pairs = [], []
    for number, words in enumerate(PARTS):
        for word in words:
            pair = [names.get(name.lower().replace("train", word)) for name in own]
            if None not in pair:
                numbers.append(number)
                pairs.append(pair)
    if len(pairs) < 2 or "'" in str(place) or not (place.is_dir() or place.suffix == ".npz"):
        return (
            "; join what is for testing with numpy.concatenate, and say in an array part "
            "(0 train, 2 test) which is which"
        )
    begin, form, joined = f"f = n.load('{place}'); ", "f['{}']", place.with_name("joined.npz")
    if place.is_dir():
        begin, form, joined = "", f"n.load('{place}/{{}}')", place / "joined.npz"
    x, y = (", ".join(form.format(name) for name in own) for own in zip(*pairs, strict=True))
    return (
        f'; or with the other parts, joined by python -c "import numpy as n; {begin}x, y = [{x}], '
        f"[{y}]; n.savez('{joined}', data=n.concatenate(x), label=n.concatenate(y), "
        f'part=n.repeat({numbers}, [len(k) for k in x]))": dataset=npz dataset.path={joined} '
        "dataset.part=part"
    )


@contextmanager
def _open_zip(raw: Any, file: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(raw)
    except Exception:  # whatever a damaged archive makes of zipfile
        raise InputError(
            f"{file} is not a .npz file, or is damaged; write it with numpy.savez."
        ) from None
    with archive:
        yield archive


def _npz(archive: zipfile.ZipFile, file: Path) -> Arrays:
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}

    def read(name: str) -> np.ndarray:
        source, info = f"{file}, array '{name}',", members[name]
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

    def shape(name: str) -> tuple[int, ...] | None:
        try:
            with archive.open(members[name]) as member:
                return read_header(member, str(file)).shape
        except Exception:  # as above, and said when it is asked for
            return None

    return Arrays({name: shape(name) for name in members}, read)


@contextmanager
def _refusing(file: Path, kind: str) -> Iterator[None]:
    """A sentence of whatever a damaged file makes of its reader."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"{file} cannot be read as {kind}: {str(error).rstrip('.') or type(error).__name__}."
        ) from None


def _matlab(file: Path) -> Arrays:
    """A .mat file up to version 7."""
    io = package("scipy.io", "matlab", file)
    with _refusing(file, "a .mat file"):
        held = {name: (shape, kind) for name, shape, kind in io.whosmat(file)}

    def read(name: str) -> np.ndarray:
        shape, kind = held[name]
        if kind in MATLAB_NUMBERS:
            check_fits(int(np.prod(shape)) * np.dtype(kind).itemsize, f"{file}, array '{name}',")
        with _refusing(file, "a .mat file"):
            values = io.loadmat(file, variable_names=[name], chars_as_strings=True)[name]
            return _plain(values, f"{file}, array '{name}',")

    return Arrays({name: shape for name, (shape, _) in held.items()}, read)


@contextmanager
def _hdf5(file: Path) -> Iterator[Arrays]:
    h5py = package("h5py", "hdf5", file)
    found: dict[str, Any] = {}

    def note(name: str, held: Any) -> None:
        if isinstance(held, h5py.Dataset) and not name.startswith("#"):  # MATLAB's own
            found[name] = held

    with _refusing(file, "HDF5"):
        archive = h5py.File(file, "r")
    with archive:
        with _refusing(file, "HDF5"):
            archive.visititems(note)
            # MATLAB's axes stand the other way round.
            turned = {name for name, held in found.items() if "MATLAB_class" in held.attrs}
            shapes = {
                name: held.shape[:: -1 if name in turned else 1] for name, held in found.items()
            }

        def read(name: str) -> np.ndarray:
            held, source = found[name], f"{file}, array '{name}',"
            with _refusing(file, "HDF5"):
                if held.is_virtual or held.external:
                    raise InputError(f"{source} lies in other files; store it in this one.")
                if held.nbytes > MOST_UNPACKED * held.id.get_storage_size():
                    raise InputError(f"{source} was never written: the file holds no values of it.")
                if held.attrs.get("MATLAB_class") in (b"cell", b"char", b"struct"):
                    raise InputError(
                        f"{source} is no array of numbers; number the classes, or save it with -v7."
                    )
                check_fits(held.nbytes, source)
                values = held.asstr()[()] if h5py.check_string_dtype(held.dtype) else held[()]
                values = np.asarray(values)
                return _plain(values.T if name in turned else values, source)

        yield Arrays(shapes, read)


def _plain(values: np.ndarray, source: str) -> np.ndarray:
    """Numbers or text; MATLAB's (N, 1) and (1, N) as (N,), a cell of words as an array of them."""
    if values.dtype == object:
        words = [word for cell in values.flat for word in np.atleast_1d(cell).flat]
        if len(words) != values.size or not all(isinstance(word, str) for word in words):
            raise InputError(f"{source} holds neither numbers nor words, one a cell.")
        values = np.array(words)
    if values.dtype.kind not in "biufUS":
        raise InputError(f"{source} holds neither numbers nor words, but {values.dtype}.")
    if values.ndim == 2 and 1 in values.shape:
        values = values.reshape(-1)
    if values.dtype.kind == "f" and values.ndim == 1 and (values == np.rint(values)).all():
        whole = values[np.abs(values) < 2**53]
        if len(whole) == len(values):
            return whole.astype(np.int64)  # MATLAB's numbers are floats, of classes too
    return values
