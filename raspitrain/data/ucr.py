"""Data sets of the time series classification archive, read by aeon; nothing is downloaded."""

import importlib.util
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raspitrain.data.cases import (
    Cases,
    bare_name,
    check_missing,
    fill_missing,
    filled_note,
    make_cases,
    refuse_missing,
)
from raspitrain.data.files.npy_file import check_folder, open_file, user_path
from raspitrain.data.rows import read_rows
from raspitrain.data.taken import Taken
from raspitrain.errors import InputError
from raspitrain.hardware.board import available_memory
from raspitrain.hardware.memory import memory_error
from raspitrain.nearest import nearest

ENDING = re.compile(r"_(TRAIN|TEST)$", re.IGNORECASE)
ROW_FILES = {".tsv": 0, ".txt": 0, "": 0, ".arff": -1}  # one case a row, and where its label is
BAG = re.compile(r"(['\"])(.*)\1\s*,\s*(.+)")  # 'a,b\nc,d',label
HEADER_LINES = 10_000
HEADER_LINE_BYTES = 1 << 20
LARGEST_ROUNDING = 1e-4  # of a channel's range
BYTES_A_VALUE = 26  # while aeon reads, as measured for many short numbers; long ones take fewer


def ucr(
    *, name: str | None, path: str | None, unequal: str, length: int | None, missing: str
) -> Cases:
    """Return a data set by name, with the archive's own train and test parts.

    Parameters
    ----------
    name : str or None
        The data set: NAME_TRAIN.ts and NAME_TEST.ts, or NAME.ts without a split; None for the only
        one in `path`.
    path : str or None
        Folder of .ts files, or of folders of them; None for the sets that aeon carries.
    unequal : {"pad", "resample"}
        How cases come to one length: the end value held (and what is too long cut), or stretched
        by linear interpolation.
    length : int or None
        That length; None for the longest case's.
    missing : {"error", "interpolate", "zero"}
        What becomes of NaN and infinite values, before the length is changed.

    References
    ----------
    Dau et al., "The UCR time series archive", 2019; Bagnall et al., "The UEA multivariate time
    series classification archive", 2018. Format: aeon's `load_from_ts_file`.
    """
    check_missing(missing)
    if unequal not in ("pad", "resample"):
        raise InputError(f"dataset.unequal is {unequal!r}, but must be one of: pad, resample.")
    if length is not None and length < 2:
        raise InputError(f"dataset.length is {length}, but must be at least 2, or null.")
    if path is None:
        folder = _carried_folder()
    else:
        folder = user_path(path, "dataset.path")
        check_folder(folder, "dataset.path")

    name = _only_name(folder, carried=path is None) if name is None else str(name)
    files = _find(folder, name, carried=path is None)
    series: list[np.ndarray] = []  # of (C, its own length)
    labels: list[str] = []
    for file in files:
        read, its_labels = _read_file(file)
        if not read:
            below = ": they stand below a line @data" if file.suffix == ".ts" else ""
            raise InputError(f"{file} holds no cases{below}.")
        if series and len(read[0]) != len(series[0]):
            raise InputError(
                f"{file} has {len(read[0])} channels but {files[0]} has {len(series[0])}."
            )
        series += read
        labels += its_labels
    notes = _fill(series, source=name, missing=missing)
    lengths = sorted(case.shape[1] for case in series)
    length = length or lengths[-1]
    _check_fits(name, len(series), len(series[0]), length, lengths)
    bring = _pad if unequal == "pad" else _resample
    kept_in = np.float64 if _needs_float64(series) else np.float32
    signals = np.empty((len(series), len(series[0]), length), dtype=kept_in)
    for i, case in enumerate(series):
        signals[i] = case if case.shape[1] == length else bring(case, length)

    part = None
    if len(files) == 2:
        _check_names(files, labels[: len(series) - len(read)], its_labels)
        part = np.full(len(series), 2, dtype=np.int8)
        part[: len(series) - len(read)] = 0
    if not lengths[0] == lengths[-1] == length:
        how = "held or cut" if unequal == "pad" else "stretched"
        several = f" to {lengths[-1]}" if lengths[-1] != lengths[0] else ""
        notes += (f"cases of {lengths[0]}{several} samples {how} to {length}",)
    taken = Taken(notes=notes)
    return make_cases(
        signals, np.array(labels), source=name, missing="error", part=part, taken=taken
    )


def _check_names(files: Sequence[Path], train: Sequence[str], test: Sequence[str]) -> None:
    """Refuse classes that the two files write in two ways."""
    known = {bare_name(label): label for label in train}
    for label in sorted(set(test) - set(train)):
        if (other := known.get(bare_name(label))) is not None:
            raise InputError(
                f"{files[1]} has the class '{label}' and {files[0]} the class '{other}', which "
                "differ only in case, blanks or the form of a number; write them alike."
            )


def _check_fits(
    source: str, num_cases: int, num_channels: int, length: int, lengths: Sequence[int]
) -> None:
    """Refuse a length to which cases of these `lengths`, sorted, cannot be brought in memory."""
    a_sample = 4 * num_cases * num_channels + 8 * (2 + 2 * num_channels)
    size, free = a_sample * length, available_memory()
    if size > free:
        most = min(lengths[-1], int(0.9 * free / a_sample))
        raise memory_error(
            f"{source}: {num_cases} cases of {num_channels} x {length} samples take "
            f"{size / 1e9:.1f} GB but {free / 1e9:.1f} GB of memory are free. Half of the cases "
            f"have at most {lengths[len(lengths) // 2]} samples, the longest has {lengths[-1]}; "
            + (f"choose dataset.length={most} or less." if most > 1 else "give fewer cases."),
            size,
        )


def carried_names() -> list[str]:
    """Return the classification data sets that the installed aeon carries."""
    folder = _carried_folder()
    return [
        name
        for name, files in _index(folder).items()
        if len(files) == 2 and _read_header(files[0])["targetlabel"] != "true"
    ]


def _carried_folder() -> Path:
    spec = importlib.util.find_spec("aeon")
    if spec is None or spec.origin is None:
        raise InputError(_no_aeon("is not installed"))
    return Path(spec.origin).parent / "datasets" / "data"


def _no_aeon(why: str) -> str:
    return (
        f"dataset=ucr reads through aeon, which {why}; "
        "install it with pip install 'raspitrain[ucr]'."
    )


def _index(folder: Path) -> dict[str, list[Path]]:
    """Return the files of each data set in a folder, training before test; .ts where there are
    several forms."""
    sets: dict[str, list[Path]] = {}
    for suffix in (".ts", *ROW_FILES):
        new: dict[str, list[Path]] = {}
        found = [
            file
            for depth in ("*", "*/*", "*/*/*")
            for file in folder.glob(depth)
            if file.suffix.lower() == suffix and (suffix == ".ts" or ENDING.search(file.stem))
            if not file.is_dir()
        ]
        for file in sorted(found, key=lambda file: str(file).upper(), reverse=True):
            name = ENDING.sub("", file.stem)  # TRAIN sorts after TEST
            new.setdefault(name, []).append(file)
        sets = new | sets
    return dict(sorted(sets.items()))


def _read_file(file: Path) -> tuple[list[np.ndarray], list[str]]:
    """Return the cases of a file, each float64 (C, its own length), and their labels."""
    if file.suffix.lower() == ".ts":
        return _read_ts(file)
    if file.suffix.lower() == ".arff" and _is_relational(file):
        return _read_relational(file)
    values, labels, *_ = read_rows(file, label_column=ROW_FILES[file.suffix.lower()])
    if "" in labels:
        raise InputError(f"{file}: case {labels.index('')} has no label; give every case a class.")
    # Shorter cases are filled up with NaN.
    lengths = values.shape[1] - np.argmax(np.isfinite(values[:, ::-1]), axis=1)
    cases = [row[None, :length] for row, length in zip(values, lengths.tolist(), strict=True)]
    return [case.astype(np.float64) for case in cases], labels


def _only_name(folder: Path, *, carried: bool) -> str:
    names = carried_names() if carried else sorted(_index(folder))
    if len(names) > 1:
        there = f"{', '.join(names[:20])}{', …' * (len(names) > 20)}"
        raise InputError(
            f"dataset.name is not given: add dataset.name={names[0]} to the command, or another of "
            f"{there}."
        )
    return names[0] if names else "NAME"


def _find(folder: Path, name: str, *, carried: bool) -> list[Path]:
    sets = _index(folder)
    if name not in sets and (folder / f"{name}.ts").is_file():
        return [folder / f"{name}.ts"]  # one part by itself: NAME_TEST
    alike = [other for other in sets if other.casefold() == name.casefold()]
    if name not in sets and len(alike) == 1:
        name = alike[0]
    if not sets and not carried:
        raise InputError(
            f"{folder} holds no {name}_TRAIN.ts, nor a .tsv, .txt or .arff of such a name; other "
            "tables of a case a row are read with dataset=rows, recordings with dataset=recordings."
        )
    if name not in sets:
        known = carried_names() if carried else list(sets)
        where = (
            "aeon does not carry; for another set of the archive, give the folder with its .ts "
            "files as dataset.path"
            if carried
            else f"{folder} does not hold"
        )
        raise InputError(f"dataset.name is '{name}', which {where} ({nearest(name, known)}).")
    files = sets[name]
    endings = [file.stem.removeprefix(name).upper() for file in files]
    if endings not in (["_TRAIN", "_TEST"], [""]):
        names = ", ".join(str(file) for file in files)
        raise InputError(
            f"dataset.name is '{name}', for which there should be {name}_TRAIN.ts and "
            f"{name}_TEST.ts, or {name}.ts alone, of which a part is kept for testing, but there "
            f"is: {names}."
        )
    return files


def _read_header(file: Path) -> dict[str, str]:
    """Return the tags of a .ts file, names and values in lower case but for @classLabel."""
    tags = {"timestamps": "false", "targetlabel": "false", "classlabel": ""}
    with open_file(file) as raw:
        text = io.TextIOWrapper(io.BufferedReader(raw), encoding="utf-8", errors="replace")
        for _ in range(HEADER_LINES):
            line = text.readline(HEADER_LINE_BYTES)
            tag, _, value = line.strip().partition(" ")
            if not line or tag.lower() == "@data":
                break
            if tag.startswith("@"):
                key = tag[1:].lower()
                tags[key] = value.strip() if key == "classlabel" else value.strip().lower()
    return tags


def _count_values(file: Path) -> int:
    """How many numbers a .ts file holds, and a few more: what stands between commas and colons."""
    count = 0
    with open_file(file) as raw:
        while block := raw.read(1 << 20):
            count += block.count(b",") + block.count(b":") + block.count(b"\n")
    return count


def _read_ts(file: Path) -> tuple[list[np.ndarray], list[str]]:
    """Return the cases of a .ts file, each float64 (C, L), and their labels."""
    tags = _read_header(file)
    if tags["targetlabel"] == "true":
        raise InputError(
            f"{file} is a regression data set, with numbers to predict instead of classes; "
            "choose a classification data set."
        )
    if tags["timestamps"] == "true":
        raise InputError(
            f"{file} has a time stamp with every value, which aeon reads wrongly (signs are lost); "
            "write the values alone, with @timeStamps false."
        )
    size, free = BYTES_A_VALUE * _count_values(file), available_memory()
    if size > free:
        raise memory_error(
            f"{file} takes {size / 1e9:.1f} GB to read but {free / 1e9:.1f} GB of memory are free; "
            "store it as data.npy and label.npy and use dataset=npy.",
            size,
        )
    try:
        from aeon.datasets import load_from_ts_file
    except ImportError as error:
        raise InputError(_no_aeon(f"cannot be imported ({error})")) from None
    try:
        series, labels = load_from_ts_file(str(file))
        cases = [np.asarray(case, dtype=np.float64) for case in series]
    except UnicodeDecodeError as error:
        kind = "UTF-16" if error.object[:2] in (b"\xff\xfe", b"\xfe\xff") else "WINDOWS-1252"
        raise InputError(
            f"{file} is not text in UTF-8 ({error}); if it is of a Windows program: "
            f"iconv -f {kind} -t UTF-8 OLD > NEW."
        ) from None
    except Exception as error:  # aeon trusts the file and fails in many ways if it is damaged
        words = re.sub(r"<_io\.\w+ [^>]*>", "the file", str(error)).rstrip(".")
        why = _uneven(file, tags) or words
        if tags["classlabel"].lower() == "false":
            why += "; where cases end with their labels, write @classLabel true and the classes"
        raise InputError(f"{file} cannot be read as a .ts file: {why}.") from None
    if len(labels) != len(cases):
        raise InputError(f"{file} has no class labels; its header needs @classLabel true.")
    # aeon turns all text into lower case; the header has the names as they were meant.
    spelling = {name.lower(): name for name in tags["classlabel"].split()[1:]}
    texts = [str(label).strip().lower() for label in labels]
    return cases, [spelling.get(text, text) for text in texts]


def _is_relational(file: Path) -> bool:
    """Whether a case of an ARFF file is a bag of channels in one cell, as of several channels."""
    with open_file(file) as raw:
        head = raw.read(HEADER_LINES * 100).lower()
    return re.search(rb"^\s*@attribute\s+\S+\s+relational", head, re.M) is not None


def _read_relational(file: Path) -> tuple[list[np.ndarray], list[str]]:
    """Return the cases of an ARFF file of several channels, each 'a,b\\nc,d',label."""
    cases, labels = [], []
    with open_file(file) as raw:
        text = io.TextIOWrapper(io.BufferedReader(raw), encoding="utf-8", errors="replace")
        in_data = False
        for number, line in enumerate(text, start=1):
            if in_data and (line := line.strip()) and not line.startswith("%"):
                found = BAG.fullmatch(line)
                try:
                    if found is None:
                        raise ValueError
                    rows = [row.replace("?", "nan").split(",") for row in found[2].split("\\n")]
                    case = np.array(rows, dtype=np.float64)
                    length = int(np.flatnonzero(np.isfinite(case).any(axis=0)).max(initial=0)) + 1
                    cases.append(case[:, :length])  # shorter ones are filled up with ?
                except ValueError:
                    raise InputError(
                        f"{file}, line {number} is no case: it should be '1,2\\n3,4',label, as "
                        "many numbers in each channel."
                    ) from None
                labels.append(found[3].strip("'\" "))
            in_data = in_data or line.strip().lower() == "@data"
    if len({len(case) for case in cases}) > 1:
        raise InputError(f"{file} has cases of different numbers of channels.")
    return cases, labels


def _uneven(file: Path, tags: dict[str, str]) -> str:
    """Which case is longer or shorter than it should be; "" if none is."""
    with open_file(file) as raw:
        text = io.TextIOWrapper(io.BufferedReader(raw), encoding="utf-8", errors="replace")
        lines = (line.strip() for line in text)
        for line in lines:
            if line.lower() == "@data":
                break
        first: int | None = None
        for case, line in enumerate(filter(None, lines)):
            sizes = [channel.count(",") + 1 for channel in line.split(":")[:-1]]
            if len(set(sizes)) > 1:
                return (
                    f"case {case} has {sizes[0]} values in channel 0 and "
                    f"{next(size for size in sizes if size != sizes[0])} in another; all channels "
                    "of a case must have as many"
                )
            first = first or (sizes or [0])[0]
            if sizes and sizes[0] != first and tags.get("equallength") == "true":
                return (
                    f"case {case} has {sizes[0]} values, case 0 {first}: write @equalLength false"
                )
    return ""


def _fill(series: Sequence[np.ndarray], *, source: str, missing: str) -> tuple[str, ...]:
    """Fill what is missing, or refuse it; what is to be said of it."""
    count, too_large, first = 0, 0, None
    for i, case in enumerate(series):
        with np.errstate(over="ignore"):
            bad = ~np.isfinite(case.astype(np.float32))
        if not bad.any():
            continue
        count += int(bad.sum())
        if missing == "error":
            too_large += int(np.isfinite(case[bad]).sum())
            if first is None:
                channel, sample = (int(k) for k in np.argwhere(bad)[0])
                first = (i, channel, sample)
        else:
            case[bad] = np.nan
            fill_missing(case, missing)
    if first is not None:
        refuse_missing(source, count, too_large, first)
    return filled_note(count, missing)


def _needs_float64(series: Sequence[np.ndarray]) -> bool:
    """Whether a channel has an offset beside which float32 would round its signal away."""
    least = np.min([case.min(axis=1) for case in series], axis=0)
    most = np.max([case.max(axis=1) for case in series], axis=0)
    step = np.finfo(np.float32).eps * np.maximum(np.abs(least), np.abs(most))
    return bool((step > LARGEST_ROUNDING * (most - least)).any())


def _pad(case: np.ndarray, length: int) -> np.ndarray:
    """Hold the last value of (C, L) up to `length`, or cut there."""
    return np.pad(case, ((0, 0), (0, max(0, length - case.shape[1]))), mode="edge")[:, :length]


def _resample(case: np.ndarray, length: int) -> np.ndarray:
    """Stretch or squeeze (C, L) to `length` by linear interpolation, ends kept."""
    positions = np.linspace(0, case.shape[1] - 1, length)
    return np.stack([np.interp(positions, np.arange(case.shape[1]), row) for row in case])
