"""Which files lie in a folder, which of them are recordings, and what to do with the others."""

import fnmatch
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from raspitrain.data.files.endings import ARRAYS, HOLD_ARRAYS, OTHER_SUFFIXES, PACKED
from raspitrain.data.recorded.annotations import naming_column
from raspitrain.data.recorded.columns import LEAST_ROWS
from raspitrain.errors import InputError, counted, input_error
from raspitrain.results.files import CLAIM, MODEL, OF_A_RUN, OTHERS, SWEEP_CLAIM

SUFFIXES = (".csv", ".tsv", f".csv{PACKED}", f".tsv{PACKED}")
TEXT = (".txt", ".dat", ".log", ".asc", ".data", ".lvm", ".out", ".mot", ".sto", ".tab", ".gcsv")
SOUND = (".mp3", ".flac", ".ogg", ".m4a", ".aac", ".opus", ".aiff", ".wma")
MAY_BE = frozenset((*TEXT, *SOUND, ".csv", ".tsv", ".xlsx", ".xls", ".h5", ".hdf5", ".npz", ".zip"))
OF_EEG = (".vhdr", ".eeg", ".set", ".gdf", ".fif", ".cnt")
ROTATED = re.compile(r"\.\d{1,3}")
PICKLED = (".pkl", ".pickle", ".joblib", ".pt")
UNPACK = {
    ".zip": "unzip", ".gz": "gunzip -r FOLDER", ".tgz": "tar xf", ".tar": "tar xf", ".7z": "7z x",
    ".bz2": "bunzip2", ".xz": "unxz", ".zst": "unzstd", ".rar": "unrar x",
}  # fmt: skip
CONVERT = {
    ".xlsx": "soffice --headless --convert-to csv *.xlsx",
    ".xls": "soffice --headless --convert-to csv *.xls",
    ".ods": "soffice --headless --convert-to csv *.ods",
    ".db": "sqlite3 -header -csv OLD.db 'select * from TABLE' > NEW.csv",
    ".sqlite": "sqlite3 -header -csv OLD.sqlite 'select * from TABLE' > NEW.csv",
    ".bag": "rostopic echo -b OLD.bag -p TOPIC > NEW.csv",
    ".ulg": "ulog2csv OLD.ulg (pip install pyulog)",
    ".fit": "FitCSVTool with --data record (Garmin)",
    ".rds": 'Rscript -e \'write.csv(readRDS("OLD.rds"), "NEW.csv", row.names=F)\'',
    ".tdms": 'python -c "from nptdms import TdmsFile as T; '
    "T('OLD.tdms').as_dataframe().to_csv('NEW.csv')\" (pip install npTDMS pandas)",
}  # the makers' own tools
NEVER_READ = frozenset((*UNPACK, *CONVERT, *PICKLED, *SOUND, *OF_EEG)) - {PACKED}
MOST_FILES = 200_000
MOST_ARRAYS = 6  # of one data set, in one folder
FEW_AMONG = 10  # times as many files of another kind
FEW_BESIDE = 4  # times as many recordings of another kind as tables beside them
MOST_TABLES = 20  # about recordings
SEEN = 1000  # bytes, from which a file is told to be text
LABELS_APART = re.compile(r"(?:y|labels?|targets?)(?:[-_]?(?:train|test|all))?\.(?:txt|dat)", re.I)
LIST_NAME = re.compile(
    r"(?P<part>train|training|valid|validation|val|dev|test|testing)"
    r"(?:[-_ ](?:list|files|split))?\.(?:txt|lst)",
    re.I,
)
# Written beside recordings by phone apps, and no recordings themselves.
ABOUT = re.compile(
    r"(.*/)?((meta/(device|time)|(study_?)?metadata|annotations?|device_?info)\.csv"
    r"|(participants|sessions|.*_(channels|electrodes|scans))\.tsv)",  # of BIDS
    re.I,
)
READ_ME = re.compile(
    r"(?:read_?me|licen[cs]e|changes|changelog|citation|(?:sha\d*|md5|check)sums?)\b.*"
    r"|.*[-_]summary\.txt",
    re.I,
)
# What systems, archives and editors leave beside files.
LEFT_BEHIND = frozenset(
    ("__MACOSX", "__pycache__", "$RECYCLE.BIN", "System Volume Information", "lost+found", "@eaDir")
)
BEATS = frozenset(("ibi.csv", "tags.csv"))  # moments and no samples, beside an E4's BVP.csv


def list_files(folder: Path) -> tuple[list[Path], list[Path], list[str]]:
    """The recordings' files below a folder and all others, without those of our own runs; and what
    was not looked into, in words."""
    files: list[Path] = []
    others: list[Path] = []
    runs: list[Path] = []
    again: list[Path] = []  # links to a folder that is looked into anyway
    nothing: list[Path] = []  # links that lead nowhere, pipes, devices
    to_read = [folder]
    seen = set()
    try:
        while to_read:
            if len(to_read) + len(files) + len(others) > MOST_FILES:
                raise InputError(
                    f"{folder} holds more than {MOST_FILES} files and folders; store the windows "
                    "as data.npy and label.npy and use dataset=npy."
                )
            here = to_read.pop()
            status = os.stat(here)
            if (status.st_dev, status.st_ino) in seen:
                again.append(here)
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(here) as listed:
                entries = list(listed)
            if here != folder and {CLAIM, SWEEP_CLAIM} & {entry.name for entry in entries}:
                runs.append(here)
                continue
            if CLAIM in {entry.name for entry in entries} and not any(map(_is_data, entries)):
                raise InputError(
                    f"{here} is the folder of a run, and holds no recordings; its config.yaml says "
                    "where those lie that it was trained on."
                )
            for entry in entries:
                if entry.name.startswith((".", "~$")) or entry.name in LEFT_BEHIND:
                    continue
                path = Path(entry.path)
                if entry.is_dir():  # links last: the folder itself gives the name
                    to_read.insert(0 if entry.is_symlink() else len(to_read), path)
                elif entry.is_file():
                    (files if entry.name.lower().endswith(SUFFIXES) else others).append(path)
                else:
                    nothing.append(path)
    except OSError as error:
        where = error.filename or folder
        raise input_error(f"{where} cannot be read: {error.strerror or error}.", error) from None
    left = {
        f"not looked into: {counted(len(runs), 'folder')} of runs and sweeps": runs,
        f"not looked into: links to folders of these ({_shown(folder, again)})": again,
        f"not taken, as they lead nowhere or are no files: {_shown(folder, nothing)}": nothing,
    }
    return sorted(files), sorted(others), [note for note, paths in left.items() if paths]


def _is_data(entry: os.DirEntry[str]) -> bool:
    """Whether what lies in a run's folder may be more than the run has written."""
    name = entry.name
    own = name in (*OF_A_RUN, *OTHERS) or name.startswith((".", "misclassified-", "evaluation-"))
    return not (own or Path(name).stem == Path(MODEL).stem)


def _shown(folder: Path, paths: Sequence[Path]) -> str:
    names = sorted(str(path.relative_to(folder)) for path in paths)
    return ", ".join([*names[:3], *["…"] * (len(names) > 3)])


def each_once(folder: Path, paths: list[Path]) -> tuple[list[Path], int]:
    """Of several links to one file below one folder of the first level only one."""
    kept, seen = [], set()
    for path in paths:
        status = path.stat()
        key = (status.st_dev, status.st_ino, path.relative_to(folder).parts[0])
        if len(path.relative_to(folder).parts) == 1 or key not in seen:
            kept.append(path)
        seen.add(key)
    return kept, len(paths) - len(kept)


def without(path: Path) -> str:
    """The word that leaves a file out, as a shell takes it."""
    return f"'dataset.files=\"!{path.name}\"'"


def leave_out(
    folder: Path, paths: list[Path], others: list[Path], patterns: Sequence[str]
) -> tuple[list[Path], list[Path], list[str] | None]:
    """Without the files that patterns such as !summary.csv fit; and the other patterns."""
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    for pattern in unwanted:
        if not any(fits(p.relative_to(folder).as_posix(), [pattern]) for p in (*paths, *others)):
            raise InputError(
                f"dataset.files leaves out '{pattern}', which fits no file in {folder}; * stands "
                "for any letters."
            )
    kept = [
        [path for path in own if not fits(path.relative_to(folder).as_posix(), unwanted)]
        for own in (paths, others)
    ]
    return kept[0], kept[1], wanted or None


def choose_files(
    folder: Path, paths: list[Path], others: list[Path], patterns: Sequence[str] | None
) -> tuple[list[Path], list[str]]:
    if patterns is not None:
        every = sorted([*paths, *others])
        fitting = [path for path in every if fits(path.relative_to(folder).as_posix(), patterns)]
        taken = [path for path in fitting if not READ_ME.fullmatch(path.name)] or fitting
        if not taken:
            shown = f" (such as {every[0].relative_to(folder)})" if every else ""
            raise InputError(
                f"dataset.files={' '.join(patterns)} fits none of the {len(every)} files in "
                f"{folder}{shown}; * stands for any letters, and a pattern is held against the "
                "name and the path below the folder."
            )
        if all(path.suffix.lower() in NEVER_READ and not is_text(path) for path in taken):
            what = str(taken[0]) if len(taken) == 1 else f"dataset.files={' '.join(patterns)}"
            raise InputError(f"{what}: there is no table{_instead(taken)}.")
        named = sorted({path.name for path in fitting} - {path.name for path in taken})
        return taken, [f"not taken: {', '.join(named)}"] if named else []
    about = [path for path in paths if ABOUT.fullmatch(path.relative_to(folder).as_posix())]
    of_beats = {path.parent for path in paths if path.name.lower() == "bvp.csv"}
    about += [p for p in paths if p.name.lower() in BEATS and p.parent in of_beats]
    notes = []
    if about and (len(about) < len(paths) or of_other_kinds(others)):
        names = sorted({path.name for path in about})
        paths = [path for path in paths if path not in set(about)]
        notes = [f"not taken: {len(about)} files about recordings ({', '.join(names[:5])})"]
    kinds = Counter(path.suffix.lower() for path in of_other_kinds(others))
    if are_about(paths, others):
        shown = ", ".join(path.name for path in paths[:3])
        kind = kinds.most_common(1)[0][0]
        beside, paths = [f"not taken: {shown}, about the {kind} files"], []
    elif paths and kinds:
        shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        remedy = f"dataset.files='*{kinds.most_common(1)[0][0]}' takes them"
        beside = [f"not taken beside CSV: {shown} ({remedy})"]
    else:
        beside = []
    if paths and not kinds:
        _refuse_list_of_others(folder, paths, others)
        _refuse_few(folder, paths, others)
    arrays = [path for path in others if path.suffix.lower() == ".npy"]
    if not paths and not kinds:  # beside other recordings, JSON is about them
        parts = [path for path in others if path.suffix.lower() == ".json"]
        kinds = Counter(".json" for _ in parts if len(parts) > len(arrays))
    if not paths and not kinds:
        many = len(arrays) > MOST_ARRAYS or folder not in {path.parent for path in arrays}
        if many and not ARRAYS & {path.name for path in arrays}:
            kinds = Counter(path.suffix.lower() for path in arrays)
    if not paths and kinds:
        if len(kinds) > 1:
            raise InputError(
                f"{folder} holds recordings of several kinds ({', '.join(sorted(kinds))}); choose "
                f"with dataset.files, such as '*{min(kinds)}'."
            )
        taken = [path for path in _with_heads(others) if path.suffix.lower() in kinds]
        _refuse_cases(taken)
        return taken, notes + beside
    if not paths:
        raise InputError(f"{folder} holds no .csv or .tsv file{_instead(others)}.")
    return paths, notes + beside


def _refuse_list_of_others(folder: Path, paths: Sequence[Path], others: Sequence[Path]) -> None:
    """Refuse a table that names files of a kind that is not read, a row for each: of several rows
    each, as of pictures beside what a sensor measured, it is a recording."""
    there = {p.name: p for p in others if p.suffix}
    for path in paths if len(paths) <= MOST_TABLES else ():
        if len(there) <= len(paths) or naming_column(path, there) is None:
            continue
        with path.open("rb") as file:
            if sum(1 for _ in file) > 2 * len(there):
                continue
        unread = [p for p in there.values() if not is_text(p)]
        if len(unread) > len(paths):
            raise InputError(
                f"{folder} holds no .csv or .tsv file but {path.name}, which names others such as "
                f"{unread[0].name}, and those are no text: convert them to CSV, a column "
                f"a channel, or if {path.name} is a recording, say dataset.files={path.name}."
            )


def _refuse_few(folder: Path, paths: Sequence[Path], others: Sequence[Path]) -> None:
    """Refuse a table or two beside many files of text, of which it may be a list."""
    text = [p for p in others if p.suffix.lower() in TEXT and not READ_ME.fullmatch(p.name)]
    folders, stems = {path.parent for path in paths}, {path.with_suffix("") for path in paths}
    apart = [p for p in text if p.parent not in folders and p.with_suffix("") not in stems]
    if len(paths) <= MOST_TABLES and len(apart) > FEW_AMONG * len(paths):
        kind = Counter(path.suffix for path in apart).most_common(1)[0][0]
        raise InputError(
            f"{folder} holds {counted(len(paths), 'table')} such as {paths[0].name} and, in other "
            f"folders, {counted(len(apart), f'{kind} file')}: say which are the recordings with "
            f"dataset.files='*{kind}' or dataset.files='*{paths[0].suffix}'."
        )


def files_left(taken: Sequence[Path], others: Sequence[Path]) -> list[str]:
    """A word on files that lie among recordings and may be some, but for their ending."""
    folders, stems = {path.parent for path in taken}, {path.with_suffix("") for path in taken}
    kinds = Counter(
        path.suffix.lower()
        for path in others
        if path.suffix.lower() in MAY_BE
        and path.parent in folders
        and path.with_suffix("") not in stems
        and not READ_ME.fullmatch(path.name)
        and not LIST_NAME.fullmatch(path.name)
    )
    known = set(taken)
    rotated = [p for p in others if ROTATED.fullmatch(p.suffix) and p.with_suffix("") in known]
    told = []
    if rotated:
        name = rotated[0].with_suffix("").name
        told.append(
            f"{counted(len(rotated), 'older part')} of logs (such as {rotated[0].name}) "
            f"{'is' if len(rotated) == 1 else 'are'} not taken: dataset.files='{name}*' takes each "
            "as a recording"
        )
    if not kinds:
        return told
    shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return [*told, f"files among the recordings are not taken: {shown}"]


def _refuse_cases(paths: Sequence[Path]) -> None:
    """Say what to do with acc_data.mat beside acc_labels.mat, as in UniMiB SHAR."""
    there = {path.name: path for path in paths}
    for name, path in there.items():
        labels = re.sub(r"data(?=\.mat$)", "labels", name)
        if labels != name and labels in there:
            raise InputError(
                f"{path} holds cases, whose labels are in {labels} beside it, and no recording: "
                "docs/data.md, under Arrays, shows the few lines that turn them into data.npy, "
                "label.npy and groups.npy for dataset=npy."
            )


def of_other_kinds(others: Sequence[Path]) -> list[Path]:
    return [path for path in _with_heads(others) if path.suffix.lower() in OTHER_SUFFIXES]


def _with_heads(others: Sequence[Path]) -> list[Path]:
    """Without the files that WFDB's .hea beside them is the head of, such as A00001.mat."""
    heads = {path.with_suffix("") for path in others if path.suffix.lower() == ".hea"}
    headed = (".mat", ".wav")
    return [p for p in others if p.suffix.lower() not in headed or p.with_suffix("") not in heads]


def are_about(paths: Sequence[Path], others: Sequence[Path]) -> bool:
    """Whether CSV files are tables about recordings of another kind: few, that lie in folders apart
    or have a column of their names, or beside many hold hardly a row or no number."""
    recordings = of_other_kinds(others)
    if not paths or len(paths) > MOST_TABLES or len(paths) >= len(recordings):
        return False
    folders = {path.parent for path in recordings}
    stems = {path.stem for path in recordings}
    many = FEW_BESIDE * len(paths) <= len(recordings)
    return all(
        path.parent not in folders or naming_column(path, stems) or (many and _is_no_signal(path))
        for path in paths
    )


def _is_no_signal(path: Path) -> bool:
    """Whether a table has too few rows for a recording, or no number in the first hundred."""
    if path.suffix.lower() == PACKED:
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = [line for _, line in zip(range(100), file, strict=False) if line.strip("\0 \r\n")]
    return len(lines) <= LEAST_ROWS or not any(re.search(r"\d", line) for line in lines[1:])


def fits(relative: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern is that of a path or its name; *.txt of N001.TXT as well."""
    relative = _with_small_ending(relative)
    patterns = [*map(_with_small_ending, patterns)]
    name = relative.rsplit("/", 1)[-1]
    return any(
        fnmatch.fnmatchcase(text, pattern)
        for pattern in patterns
        for text in (name, relative, *([f"/{relative}"] if name != relative else []))
    ) or any(fnmatch.fnmatchcase(relative, f"*/{pattern}") for pattern in patterns)


def _with_small_ending(name: str) -> str:
    stem, ending = os.path.splitext(name)
    return stem + ending.lower()


def _instead(others: Sequence[Path]) -> str:
    """What to do with the files that are there."""
    kinds = Counter(path.suffix.lower() for path in others if path.suffix)
    if not kinds and any(re.search(r"_TRAIN$", path.name) for path in others):  # as until 2018
        return (
            f", but {counted(len(others), 'file')} without an ending (such as {others[0].name}): "
            "use dataset=ucr with dataset.name for a set of the archive"
        )
    bare = [path for path in others if not path.suffix]
    if len(bare) > max(kinds.values(), default=0):
        return (
            f", but {counted(len(bare), 'file')} without an ending (such as {bare[0].name}): "
            "if they are text, take them with dataset.files='*'"
        )
    if not kinds:
        return "; dataset.path is the folder of the recordings"
    kind, count = max(
        kinds.items(), key=lambda own: (own[1], own[0] in TEXT or own[0] in {*OF_EEG, *CONVERT})
    )
    if kind == PACKED:
        inner = Counter(os.path.splitext(path.stem)[1].lower() for path in others)
        kind = next((f"{own}{PACKED}" for own, _ in inner.most_common(1) if own in TEXT), kind)
    written = next((p.suffix for p in others if p.suffix.lower() == kind), kind)  # .TXT
    there = f", but {counted(count, f'{written} file')}"
    if kind == ".npz" and count > MOST_ARRAYS:
        return (
            f"{there}: if each is a recording, save its array (samples, channels) as .npy; if each "
            "holds windows, docs/data.md, under Arrays, shows the lines that put all into one"
        )
    if kind in (".npy", *HOLD_ARRAYS):
        name = "npy" if kind == ".npy" else "npz"
        own = {path.name for path in others}
        recordings = "" if count == 1 or ARRAYS & own else (
            f"; if each is a recording, take them with dataset.files='*{kind}'"
        )  # fmt: skip
        return f"{there}: use dataset={name} for arrays of cases{recordings}"
    if kind in UNPACK:
        return f"{there}: unpack {'it' if count == 1 else 'them'} first ({UNPACK[kind]})"
    if kind in SOUND:
        return f"{there}: convert to WAV, as with: ffmpeg -i IN{kind} OUT.wav"
    if kind in PICKLED:
        return f"{there}, which can run code when loaded and are never read: save arrays as .npy"
    if kind in OF_EEG:
        named = ".vhdr" if kind == ".eeg" else kind
        return (
            f"{there}: write them as EDF, as with MNE-Python: "
            f"mne.io.read_raw('IN{named}').export('OUT.edf')"
        )
    first = next((path for path in others if path.suffix.lower() == kind), others[0])
    if kind == ".arff" or (kind == ".ts" and not is_text(first)):
        archive = f"{there}: use dataset=ucr with dataset.name for a set of the archive"
        of_it = all(_part_of_archive(path) for path in others if path.suffix.lower() == kind)
        if kind == ".ts" or of_it:
            return archive
        what = "each is" if count > 1 else "it is"
        return f"{archive}; if {what} a recording, take {'them' if count > 1 else 'it'} with " + (
            f"dataset.files='*{kind}'"
        )
    if raw := next(
        (p for p in others if p.name == "labels.txt" and p.parent.name == "RawData"), None
    ):
        return (
            f"{there}; recordings and their labels are in {raw.parent}: give that as dataset.path"
        )
    apart = next((path.name for path in others if _are_labels(path)), None)
    if apart is not None:
        return (
            f"{there}, a channel a file and a case a row with labels in {apart}: docs/data.md, "
            "under Arrays, shows the few lines that turn them into data.npy"
        )
    if re.fullmatch(r"\.\d+", kind):
        named = next(path.name for path in others if path.suffix == kind)
        return f"{there} (such as {named}): if they are text, take them with dataset.files='*'"
    if kind.removesuffix(PACKED) in TEXT:
        return (
            f"{there}: take them with dataset.files='*{written}', beside dataset=recordings if "
            "each is a recording, a column a channel, or beside dataset=rows if each row is a case"
        )
    if is_text(first):
        return f"{there}: they are text, and dataset.files='*{first.suffix}' tries to read them"
    how = f", as with: {CONVERT[kind]}" if kind in CONVERT else ""
    return f"{there}: convert them to CSV, a column a channel{how}, or to data.npy and label.npy"


def _part_of_archive(path: Path) -> bool:
    """Whether a file is called as one of the archive, such as GunPoint_TRAIN."""
    return path.stem.upper().endswith(("_TRAIN", "_TEST"))


def _are_labels(path: Path) -> bool:
    """Whether a file is called so, and has one a line, be it written for each sample."""
    if not LABELS_APART.fullmatch(path.name):
        return False
    with path.open("rb") as file:
        return len(set(file.readline(1 << 16).split())) < 2


def is_text(path: Path) -> bool:
    """Whether a file begins with text that has numbers in it, and not as those of the archive."""
    try:
        with path.open("rb") as file:
            begin = file.read(SEEN).decode("ascii")
    except (OSError, UnicodeDecodeError):
        return False
    if begin.startswith(("@", "#")):
        return False
    return begin.replace("\t", " ").replace("\n", " ").replace("\r", " ").isprintable() and (
        re.search(r"\d", begin) is not None
    )
