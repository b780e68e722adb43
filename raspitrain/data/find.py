"""Which files are recordings, and what the folders around them say: class, part, person, sensor."""

import fnmatch
import math
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from pathlib import Path

from raspitrain.data.annotated import Annotated, find_annotations, find_marks, marks_beside
from raspitrain.data.annotations import match, naming_column, read_annotations
from raspitrain.data.columns import LEAST_ROWS
from raspitrain.data.endings import HOLD_ARRAYS, OTHER_SUFFIXES, PACKED, stem_of
from raspitrain.data.parts import part_of
from raspitrain.data.wfdb_marks import KINDS
from raspitrain.errors import InputError, counted, input_error
from raspitrain.results.files import CLAIM, MODEL, OF_A_RUN, OTHERS, SWEEP_CLAIM

SUFFIXES = (".csv", ".tsv", f".csv{PACKED}", f".tsv{PACKED}")
TEXT = (".txt", ".dat", ".log", ".asc", ".data", ".lvm", ".out", ".mot", ".sto", ".tab", ".gcsv")
SOUND = (".mp3", ".flac", ".ogg", ".m4a", ".aac", ".opus", ".aiff", ".wma")
MAY_BE = frozenset((*TEXT, *SOUND, ".csv", ".tsv", ".xlsx", ".xls", ".h5", ".hdf5", ".npz", ".zip"))
PICKLED = (".pkl", ".pickle", ".joblib", ".pt")
UNPACK = {
    ".zip": "unzip", ".gz": "gunzip -r FOLDER", ".tgz": "tar xf", ".tar": "tar xf", ".7z": "7z x",
    ".bz2": "bunzip2", ".xz": "unxz", ".zst": "unzstd", ".rar": "unrar x",
}  # fmt: skip
MOST_FILES = 200_000
ARRAYS = frozenset(("data.npy", "label.npy", "labels.npy", "X.npy", "y.npy", "X_train.npy"))
MOST_ARRAYS = 6  # of one data set, in one folder
LEAST_FOLDERS = 4  # of one recording each, from which they are hardly classes
FEW_AMONG = 10  # times as many files of another kind
FEW_BESIDE = 4  # times as many recordings of another kind as tables beside them
MOST_TABLES = 20  # about recordings
SEEN = 1000  # bytes, from which a file is told to be text
MANY_CELLS = 64  # more likely samples of a case than channels
LARGEST_LIST = 64 << 20
LABELS_APART = re.compile(r"(?:y|labels?|targets?)(?:[-_]?(?:train|test|all))?\.(?:txt|dat)", re.I)
LABELS_NAME = re.compile(r"label|stage|scor|hypno|annot|activit|event|marker", re.I)
LIST_NAME = re.compile(
    r"(?P<part>train|training|valid|validation|val|dev|test|testing)"
    r"(?:[-_ ](?:list|files|split))?\.(?:txt|lst)",
    re.I,
)
# Written beside recordings by phone apps, and no recordings themselves.
ABOUT = re.compile(
    r"(.*/)?((meta/(device|time)|metadata|annotations?|device_?info)\.csv"
    r"|(participants|sessions|.*_(channels|electrodes|scans))\.tsv)",  # of BIDS
    re.I,
)
READ_ME = re.compile(
    r"(?:read_?me|licen[cs]e|changes|changelog|citation|(?:sha\d*|md5|check)sums?)\b.*", re.I
)
PERSON = re.compile(
    r"(?:subject|subj|sub|user|person|participant|proband|patient|pat|volunteer|actor|speaker|spk|driver"
    r"|rider|athlete|sujeto|sujet|soggetto|persona|osoba|participante|teilnehmer|versuchsperson"
    r"|vp|p|u|s[ae]?)[-_ ]?\d+(?: \(\d+\))?",
    re.I,
)
# What is recorded again and again, with the same classes in each.
OCCASION = re.compile(
    r"(?:fold|session|sess|day|date|trial|batch|part|round|device|site|room|home|house|group|visit)"
    r"[-_ ]?\d+|(?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d(?:[-_ T.]?\d.*)?"
    r"|[0-3]\d[-_.][01]\d[-_.](?:19|20)\d\d",
    re.I,
)
# What systems, archives and editors leave beside files.
LEFT_BEHIND = frozenset(
    ("__MACOSX", "__pycache__", "$RECYCLE.BIN", "System Volume Information", "lost+found", "@eaDir")
)
BEATS = frozenset(("ibi.csv", "tags.csv"))  # moments and no samples, beside an E4's BVP.csv
SENSOR = re.compile(
    r"(?:total|linear|user|body|raw|uncalibrated)?(?:accel(?:erometer|eration)?|acc|gyro(?:scope)?|gyr"
    r"|magnet(?:ometer|ic)?(?:field)?|mag|gravity|orientation|rotation(?:vector)?|attitude|compass"
    r"|barometer|pressure|light|proximity|location|gps|ori|euler(?:angles)?|quat(?:ernions?)?"
    r"|heart_?rate|hr|ppg|bvp|ecg|eeg|emg|eog|eda|gsr"
    r"|temp(?:erature)?|humidity|microphone|pedometer|ibi|spo2|resp(?:iration)?)s?(?:uncalibrated)?",
    re.I,
)
RATE = re.compile(r"[-_ ]*\d+(?:\.\d+)?k?hz(?![a-z])", re.I)  # of one sensor, in a file's name
CHANNEL = re.compile(r"(?<![a-z])ch(?:an(?:nel)?)?[-_ ]?\d{1,2}(?!\d)", re.I)  # F0001CH1.CSV
SEPARATOR = re.compile(r"[-_. /]")  # of a path's parts
MOST_WORDS = 8  # of parts of names, that a sentence lists
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


@dataclass(frozen=True)
class Source:
    """One recording, before it is read.

    Attributes
    ----------
    name : str
        Its path below the folder; of several files, what they have in common.
    files : dict of str to Path
        By sensor; "" where a recording is one file.
    class_name, group : str or None
        What its place says, if that says it.
    part : int or None
        0 train, 1 validation, 2 test.
    """

    name: str
    files: dict[str, Path]
    class_name: str | None
    group: str | None
    part: int | None


@dataclass(frozen=True)
class Found:
    """The recordings of a folder, what says their classes, and what is worth saying about them."""

    sources: list[Source]
    notes: list[str]
    warnings: list[str]
    annotated: Annotated | None = None
    mixed: str = ""  # why files of several sensors, which could not be joined, fit together badly


def find_recordings(
    folder: Path,
    *,
    files: Sequence[str] | None,
    class_level: int | None,
    groups: str | int | None,
    has_labels: bool,
    joins: bool = True,
    class_part: int | str | None = None,
    sensor_part: str | None = None,
    annotations: str | bool | None = False,
    annotation_column: str | int | None = None,
) -> Found:
    """Find the recordings of a folder.

    Parameters
    ----------
    files : sequence of str or None
        Patterns of names or paths; None for every .csv and .tsv, or where there are none for the
        recordings of one other kind.
    class_level : int or None
        Which folder names the class: 1 the first, -1 the innermost, 0 the file's own name; None to
        find out.
    groups : str, int or None
        Whose a recording is: a folder's level, or the part of the path that a pattern fits.
    class_part : int, str or None
        Which part of that name is the class; of the file's, where `class_level` is None. A regular
        expression where it is text: what its first group fits, or all of it.
    sensor_part : str or None
        The part of a path that names the sensor, as a regular expression; None for those whose
        names are known.
    has_labels : bool
        Whether the class comes from elsewhere, so that folders need not name one.
    joins : bool
        Whether files of several sensors may make up one recording.
    annotations : str, False or None
        As for `find_annotations`; those that are found count where nothing else says the class.
    annotation_column : str, int or None
        Their column of labels; None finds it by its name.

    Raises
    ------
    InputError
        If there is none, or the folders can be read in two ways.
    """
    if class_part is not None:
        if class_part == 0:
            raise InputError(
                "dataset.class_part=0 is no part of a name: 1 is the first, -1 the last."
            )
        class_level = class_level or 0
    paths, others, not_read = _walk(folder)
    every = sorted([*paths, *others])
    annotated = find_annotations(folder, every, annotations, annotation_column)
    if annotated is None and annotations is None and files is None:
        annotated = _table_of(folder, paths, others)
    unused: list[str] = []
    says_class = "dataset.class_level" if class_level is not None else None
    says_class = "dataset.label_column" if has_labels else says_class
    if annotated is None and annotations is None:
        near = [
            path for path in (*paths, *others)
            if files is None or path.suffix.lower() not in (".hea", ".csv")
            or _fits(path.relative_to(folder).as_posix(), files)
        ]  # fmt: skip
        annotated, unused = _marks_of(folder, near, says_class)
    if annotated is not None:
        paths = [path for path in paths if path not in annotated.files]
        others = [path for path in others if path not in annotated.files]
        if annotations is None and says_class is not None:
            some = counted(len(annotated.files), "file")
            unused = [f"not taken: {some} of annotations, as {says_class} says the class"]
            annotated = None
        elif (
            annotations is None
            and _may_name_classes(folder, [*paths, *_of_other_kinds(others)] or annotated.own)
            and (pattern := annotated.of_words())
        ):
            some = f"{counted(len(annotated.own), 'file')} of a word, such as {pattern}"
            unused = [
                f"not taken: {some}, as the folders say the class "
                f"(dataset.annotations='{pattern}' takes them)"
            ]
            annotated = None
        else:
            has_labels = True
    if annotated is not None and files is None and not paths and not _of_other_kinds(others):
        paths = annotated.named()  # text of any ending
    if annotated is not None and annotated.marked and files is None:
        suffix = next(iter(annotated.own)).suffix
        beside = [p for p in paths if p.suffix != suffix]
        paths = [p for p in paths if p.suffix == suffix]
        others = [p for p in others if p.suffix == suffix or p.suffix.lower() not in OTHER_SUFFIXES]
        if beside:
            some = f"{counted(len(beside), 'file')} such as {beside[0].name}"
            unused.append(f"not taken: {some}, as annotations are of the {suffix} files")
    taken, notes = _choose(folder, paths, others, files)
    notes += unused + not_read
    unread = [] if files is not None else _left(taken, others)
    taken, num_links = _each_once(folder, taken)
    if num_links:
        notes.append(f"{num_links} links to files that are taken already")
    for path in taken:
        if not str(path).isprintable():
            raise InputError(f"{str(path)!a} has a name that cannot be shown; rename it.")
    places = {path: path.relative_to(folder).parts for path in taken}
    by_name = has_labels or class_level == 0
    part_level, note = _part_level(folder, list(places.values()), by_name)
    notes += note
    parts_by_place: Mapping[tuple[str, ...], int | None]
    if part_level is None:
        parts_by_place, note = _listed_parts(folder, others, list(places.values()))
        notes += note
    else:
        parts_by_place = {place: _part(place, part_level) for place in places.values()}
    sources = [
        Source("/".join(place), {"": path}, None, None, parts_by_place.get(place))
        for path, place in places.items()
    ]
    named, sensors_from = {-1 if part_level is None else part_level}, 0
    in_name = False
    unused_tables: list[str] = []
    of_one: list[str] = []
    if not has_labels:
        if class_level is None and class_part is None:
            _refuse_files_beside(folder, [*places], [p for p in others if p not in taken])
            _refuse_list_among(folder, [*places])
        level = _class_level(folder, list(places.values()), part_level, class_level)
        sources = [
            replace(source, class_name=_class_name(folder, place, level, class_part))
            for source, place in zip(sources, places.values(), strict=True)
        ]
        if class_level is None and annotations is None and files is None:
            unused_tables = _unused_table(folder, paths, others, sources)
        _refuse_labels_beside(sources, {*paths, *others} - set(taken))
        in_name = level == -1
        named.add(min(map(len, places.values())) - 2 if level == -2 else level)
        sensors_from = 0 if level == -1 else max(level, 0) + (class_part is None)
    if groups is not None:
        sources = [replace(source, group=_group(source.name, groups)) for source in sources]
        own = {source.group for source in sources}
        if len(own) == 1 and len(sources) > 1:
            of_one = [f"dataset.groups={groups} puts all recordings into one group, '{own.pop()}'"]
    note = []
    if joins:
        sources, note = _join_sensors(sources, sensors_from, sensor_part)
    are_people = all(PERSON.fullmatch(source.class_name or "") for source in sources)
    people = [] if groups is not None or are_people else _people(sources, named, by_name=in_name)
    warnings = [*unread, *unused_tables, *people, *of_one]
    if not has_labels and not isinstance(class_part, str):
        warnings += _odd_classes(sources, by_folder=not in_name)
    if not has_labels and class_part is None and class_level in (None, 0):
        _refuse_classes_of_one(folder, sources, by_name=class_level == 0)
    mixed = _mixed_sensors(sources, sensors_from)
    return Found(sources, notes + note, warnings, annotated, mixed)


def _walk(folder: Path) -> tuple[list[Path], list[Path], list[str]]:
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


def _each_once(folder: Path, paths: list[Path]) -> tuple[list[Path], int]:
    """Of several links to one file below one folder of the first level only one."""
    kept, seen = [], set()
    for path in paths:
        status = path.stat()
        key = (status.st_dev, status.st_ino, path.relative_to(folder).parts[0])
        if len(path.relative_to(folder).parts) == 1 or key not in seen:
            kept.append(path)
        seen.add(key)
    return kept, len(paths) - len(kept)


def _choose(
    folder: Path, paths: list[Path], others: list[Path], patterns: Sequence[str] | None
) -> tuple[list[Path], list[str]]:
    if patterns is not None:
        every = sorted([*paths, *others])
        fitting = [path for path in every if _fits(path.relative_to(folder).as_posix(), patterns)]
        taken = [path for path in fitting if not READ_ME.fullmatch(path.name)] or fitting
        if not taken:
            shown = f" (such as {every[0].relative_to(folder)})" if every else ""
            raise InputError(
                f"dataset.files={' '.join(patterns)} fits none of the {len(every)} files in "
                f"{folder}{shown}; * stands for any letters, and a pattern is held against the "
                "name and the path below the folder."
            )
        named = sorted({path.name for path in fitting} - {path.name for path in taken})
        return taken, [f"not taken: {', '.join(named)}"] if named else []
    about = [path for path in paths if ABOUT.fullmatch(path.relative_to(folder).as_posix())]
    of_beats = {path.parent for path in paths if path.name.lower() == "bvp.csv"}
    about += [p for p in paths if p.name.lower() in BEATS and p.parent in of_beats]
    notes = []
    if about and (len(about) < len(paths) or _of_other_kinds(others)):
        names = sorted({path.name for path in about})
        paths = [path for path in paths if path not in set(about)]
        notes = [f"not taken: {len(about)} files about recordings ({', '.join(names[:5])})"]
    kinds = Counter(path.suffix.lower() for path in _of_other_kinds(others))
    if _are_about(paths, others):
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
        _refuse_few(folder, paths, others)
    if not paths and not kinds:  # beside other recordings, JSON is about them
        kinds = Counter(p.suffix.lower() for p in others if p.suffix.lower() == ".json")
    if not paths and not kinds:
        arrays = [path for path in others if path.suffix.lower() == ".npy"]
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


def _left(taken: Sequence[Path], others: Sequence[Path]) -> list[str]:
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
    if not kinds:
        return []
    shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return [f"files among the recordings are not taken: {shown}"]


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


def _of_other_kinds(others: Sequence[Path]) -> list[Path]:
    return [path for path in _with_heads(others) if path.suffix.lower() in OTHER_SUFFIXES]


def _with_heads(others: Sequence[Path]) -> list[Path]:
    """Without the files that WFDB's .hea beside them is the head of, such as A00001.mat."""
    heads = {path.with_suffix("") for path in others if path.suffix.lower() == ".hea"}
    headed = (".mat", ".wav")
    return [p for p in others if p.suffix.lower() not in headed or p.with_suffix("") not in heads]


def _are_about(paths: Sequence[Path], others: Sequence[Path]) -> bool:
    """Whether CSV files are tables about recordings of another kind: few, that lie in folders apart
    or have a column of their names, or beside many hold hardly a row or no number."""
    recordings = _of_other_kinds(others)
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


def _table_of(folder: Path, paths: Sequence[Path], others: Sequence[Path]) -> Annotated | None:
    """Tables such as meta/esc50.csv that name the class of each recording, one or several of
    different recordings each; None without."""
    names = [path.relative_to(folder).as_posix() for path in _of_other_kinds(others)]
    if len(paths) > MOST_TABLES or len(paths) >= len(names):
        return None
    tables: list[Path] = []
    named: set[str] = set()
    for path in paths:
        try:
            rows = read_annotations(str(path))
            meant = {} if "" in rows else match(str(path), rows, names, str(folder))
        except InputError:
            continue  # about something else
        own = {name for files in meant.values() for name in files}
        if own and own.isdisjoint(named):
            tables.append(path)
            named |= own
    return Annotated(folder, {}, tuple(tables), tuple(names)) if tables else None


def _unused_table(
    folder: Path, paths: Sequence[Path], others: Sequence[Path], sources: Sequence[Source]
) -> list[str]:
    """A word on a table that names the recordings, and not in a column of labels.

    Raises
    ------
    InputError
        Nothing else says their classes.
    """
    if not _are_about(paths, others):
        return []
    stems = {stem_of(source.name) for source in sources}
    stems |= {stem.rsplit("/", 1)[-1] for stem in stems}
    for path in paths:
        if (name := naming_column(path, stems)) is None:
            continue
        classes = {source.class_name or "" for source in sources}
        shown = path.relative_to(folder).as_posix()
        sentence = (
            f"{path} names the recordings in its column '{name}' and is not used; if another says "
            f"their classes, name it with dataset.annotations={shown} dataset.label_column=NAME, "
            f"or write a table labels.csv in {folder} with the columns file and label"
        )
        if len(classes) == 1 or all(re.fullmatch(r"records?\d+", own) for own in classes):
            raise InputError(f"{sentence}, and choose files with dataset.files.")
        return [sentence]
    return []


def _refuse_labels_beside(sources: Sequence[Source], others: Collection[Path]) -> None:
    """Where all recordings are of one class, say what to do with 7_labeled_sleep.txt of 7_acc.txt,
    in whatever folder it lies."""
    if len({source.class_name for source in sources}) > 1:
        return
    _refuse_diagnoses(sources)
    begins = {re.split(r"[-_. ]", source.name.rsplit("/", 1)[-1])[0] for source in sources}
    for path in sorted(others):
        begin, rest = re.split(r"(?=[-_. ])", path.name, maxsplit=1) if path.suffix else ("", "")
        if begin in begins and LABELS_NAME.search(rest):
            raise InputError(
                f"all recordings would be of the class '{sources[0].class_name}', while {path} "
                "looks as if it says what happens in one: take such files with "
                f"dataset.annotations='*{rest}'."
            )


def _refuse_files_beside(folder: Path, taken: Sequence[Path], others: Sequence[Path]) -> None:
    """Where nothing names the class and each recording has a file of text by its name, which may
    say what happens in it, say how it is taken."""
    if any(path.parent != folder for path in taken):
        return
    stems = {stem_of(path.name) for path in taken}
    names = {path.name for path in others if path.parent == folder}
    first = min(stems)
    for name in sorted(name for name in names if first in name and len(stems) > 1):
        pattern = name.replace(first, "*", 1)
        if all(pattern.replace("*", s, 1) in names for s in stems) and _is_text(folder / name):
            raise InputError(
                f"the recordings lie in {folder} itself, and nothing names their classes; if "
                f"{name} says what begins and ends where, take such files "
                f"with dataset.annotations='{pattern}'; else put recordings into a sub-folder for "
                "each class, or take it from their names with dataset.class_level=0."
            )


def _refuse_list_among(folder: Path, taken: Sequence[Path]) -> None:
    """Where nothing names the class and a table in the folder itself names the others, say how it
    is taken."""
    stems = {path.stem for path in taken}
    stems |= {stem_of(path.relative_to(folder).as_posix()) for path in taken}
    for path in taken:
        if path.parent != folder or re.search(r"\d", path.stem) or path.suffix not in SUFFIXES:
            continue
        if (name := naming_column(path, stems - {path.stem})) is not None:
            raise InputError(
                f"{path} names the other recordings in its column '{name}'; if another says their "
                f"classes, name it with dataset.annotations={path.name} dataset.label_column=NAME; "
                "else choose the recordings with dataset.files."
            )


def _refuse_diagnoses(sources: Sequence[Source]) -> None:
    """Where heads of WFDB say a diagnosis in a comment, give the command that lists them."""
    path = next(iter(sources[0].files.values()))
    if path.suffix != ".hea" or not re.search(r"^# ?Dx: ?\S", path.read_text("latin-1"), re.M):
        return
    raise InputError(
        f"all recordings would be of the class '{sources[0].class_name}', while {path} says a "
        "diagnosis behind # Dx: list all in dataset.path by `{ echo file,label; grep -r "
        "--include='*.hea' '^# *Dx' * | sed -E 's/,/+/g; s/.hea:# *Dx: */,/'; } > labels.csv`."
    )


def _marks_of(
    folder: Path, paths: Sequence[Path], what: str | None
) -> tuple[Annotated | None, list[str]]:
    """WFDB's annotations, where nothing else says the class; and a note where something does.

    Parameters
    ----------
    what : str or None
        The key that says the class, if one does.
    """
    own = marks_beside(paths)
    above = {path.relative_to(folder).parts[0] for path in own if path.parent != folder}
    plain = all(PERSON.fullmatch(name) or re.fullmatch(r"(records?)?\d+", name) for name in above)
    if not own or (what is None and (len(above) < 2 or plain)):
        return find_marks(folder, paths, None), []
    some = f"{counted(len(own), 'file')} of annotations, such as {next(iter(own.values())).name}"
    say = "their folders say" if what is None else f"{what} says"
    return None, [
        f"not taken: {some}, as {say} the class "
        f"(dataset.annotations={', '.join(KINDS[:-1])} or {KINDS[-1]} takes them)"
    ]


def _may_name_classes(folder: Path, paths: Iterable[Path]) -> bool:
    """Whether on some level the folders differ, and are neither people, occasions nor parts."""
    places = [path.relative_to(folder).parts[:-1] for path in paths]
    return any(
        len(set(names)) > 1
        and not all(
            PERSON.fullmatch(name)
            or OCCASION.fullmatch(name)
            or name.isdigit()
            or part_of(name) is not None
            for name in names
        )
        for names in zip(*places, strict=False)
    )


def _listed_parts(
    folder: Path, others: Sequence[Path], places: Sequence[tuple[str, ...]]
) -> tuple[dict[tuple[str, ...], int], list[str]]:
    """The part of each recording as lists such as testing_list.txt say; none without them."""
    found: dict[tuple[str, ...], int] = {}
    by_name = {name: place for place in places for name in _names_of(place)}
    lists = []
    for path in others:
        named = LIST_NAME.fullmatch(path.name)
        part = None if named is None else part_of(named["part"])
        if path.parent != folder or part is None or path.stat().st_size > LARGEST_LIST:
            continue
        lines = path.read_text(errors="replace").splitlines()
        own = [
            by_name[name] for line in lines if (name := line.strip().removeprefix("./")) in by_name
        ]
        if own:
            lists.append(path.name)
            found |= dict.fromkeys(own, part)
    if not set(found.values()) & {1, 2}:
        return {}, []
    left = None if 0 in found.values() else 0  # what stands in no list is for training
    for place in places:
        if place not in found and left is not None:
            found[place] = left
    if len(found) < len(places):
        missing = len(places) - len(found)
        return {}, [
            f"{', '.join(lists)} are not used as the split: {missing} recordings are in none"
        ]
    return found, [f"parts as {' and '.join(lists)} say"]


def _names_of(place: tuple[str, ...]) -> tuple[str, str]:
    name = "/".join(place)
    return name, stem_of(name)


def _fits(relative: str, patterns: Sequence[str]) -> bool:
    name = relative.rsplit("/", 1)[-1]
    return any(
        fnmatch.fnmatchcase(text, pattern)
        for pattern in patterns
        for text in (name, relative, *([f"/{relative}"] if name != relative else []))
    ) or any(fnmatch.fnmatchcase(relative, f"*/{pattern}") for pattern in patterns)


def _instead(others: Sequence[Path]) -> str:
    """What to do with the files that are there."""
    kinds = Counter(path.suffix.lower() for path in others if path.suffix)
    if not kinds and others:
        return (
            f", but {counted(len(others), 'file')} without an ending (such as {others[0].name}): "
            "if they are text, take them with dataset.files='*'"
        )
    if not kinds:
        return "; dataset.path is the folder of the recordings"
    kind, count = max(kinds.items(), key=lambda own: (own[1], own[0] in TEXT))
    if kind == PACKED:
        inner = Counter(os.path.splitext(path.stem)[1].lower() for path in others)
        kind = next((f"{own}{PACKED}" for own, _ in inner.most_common(1) if own in TEXT), kind)
    written = next((p.suffix for p in others if p.suffix.lower() == kind), kind)  # .TXT
    there = f", but {counted(count, f'{written} file')}"
    if kind == ".npz" and count > MOST_ARRAYS:
        return (
            f"{there}: if each is a recording, save its array (samples, channels) as .npy, or put "
            "windows of all into one for dataset=npz"
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
    first = next((path for path in others if path.suffix.lower() == kind), others[0])
    if kind == ".arff" or (kind == ".ts" and not _is_text(first)):
        recordings = f"; if each is a recording, take them with dataset.files='*{kind}'"
        return (
            f"{there}: use dataset=ucr with dataset.name for a set of the archive"
            f"{recordings if count > 2 and kind == '.arff' else ''}"
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
    if _is_text(first):
        return f"{there}: they are text, and dataset.files='*{first.suffix}' tries to read them"
    return f"{there}: convert them to CSV, a column a channel, or to data.npy and label.npy"


def _are_labels(path: Path) -> bool:
    """Whether a file is called so, and has one a line."""
    if not LABELS_APART.fullmatch(path.name):
        return False
    with path.open("rb") as file:
        return len(file.readline(1 << 10).split()) < 2


def _is_text(path: Path) -> bool:
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


def _part(place: Sequence[str], level: int) -> int | None:
    return part_of(place[level]) if level >= 0 else _part_of_stem(place[-1])[0]


def _part_of_stem(name: str) -> tuple[int | None, str]:
    """The part that a file's name ends or begins with, such as mitbih_train.csv, and the rest."""
    stem = stem_of(name)
    words = re.split(r"[_\-. ]+", stem)
    for word, rest in ((words[-1], words[:-1]), (words[0], words[1:])):
        if (part := part_of(word)) is not None:
            return part, " ".join(rest)
    return None, stem


def _part_level(
    folder: Path, places: Sequence[tuple[str, ...]], by_name: bool
) -> tuple[int | None, list[str]]:
    """The level of the folders train and test, -1 if the files are called so; None without."""
    depth = min(len(place) for place in places) - 1
    for level in range(depth):
        names = {place[level] for place in places}
        parts = {name: part_of(name) for name in names}
        different = {part for part in parts.values() if part is not None}
        if len(different) > 1 and None in parts.values() and level == 0:
            other = sorted(name for name, part in parts.items() if part is None)
            named = sorted(name for name, part in parts.items() if part is not None)
            raise InputError(
                f"{folder} holds {' and '.join(named)}, the names of parts, beside {other[0]}: "
                "put the classes below train and test alone, or rename those folders if they are "
                "classes."
            )
        if None in parts.values() or len(different) < 2:
            continue
        if level == depth - 1 == 0 and not by_name:
            raise InputError(
                f"{folder} holds {' and '.join(sorted(names))}, which are parts and no classes, "
                "and the recordings lie in them directly; put them into a sub-folder for each "
                "class, name the column that holds the class in dataset.label_column, or take it "
                "from the files' names with dataset.class_level=0."
            )
        return level, [f"parts as the folders {', '.join(sorted(names))} say"]
    if depth == 0 and by_name and len(places) > 1:
        stems = [_part_of_stem(place[-1]) for place in places]
        by_stem, rests = {part for part, _ in stems}, {rest for _, rest in stems}
        if len(by_stem) > 1 and None not in by_stem and len(rests) == 1:
            return -1, ["parts as the files' names say"]
    return None, []


def _class_level(
    folder: Path,
    places: Sequence[tuple[str, ...]],
    part_level: int | None,
    class_level: int | None,
) -> int:
    """Which entry of a place names the class; -1 for the file's own name, -2 for the innermost."""
    if class_level is not None:
        return {0: -1, -1: -2}.get(class_level, class_level - 1)
    levels = [level for level in range(2) if level != part_level]
    level = levels[0]
    first = [place[level] if level < len(place) - 1 else None for place in places]
    names = {name for name in first if name is not None}
    if len(names) == 1 and None not in first:
        (name,) = names
        if part_level is None and len({place[1] for place in places if len(place) > 2}) > 1:
            remedy = f"give dataset.path={folder / name}"
            if part_of(name) is not None:
                return 1  # train alone: the classes are below it
            raise InputError(
                f"all recordings of {folder} lie in the folder {name}, and folders of the first "
                f"level are the classes; {remedy}, or choose the level with dataset.class_level=2."
            )
    inside = level + 1  # the next level on which folders differ
    while all(len(p) > inside + 1 for p in places) and len({p[inside] for p in places}) == 1:
        inside += 1
    if names and all(len(place) > inside + 1 for place in places):
        pairs = {(place[level], place[inside]) for place in places}
        times = Counter(inner for _, inner in pairs)
        people = all(PERSON.fullmatch(name) or name.isdigit() for name in names)
        occasions = all(OCCASION.fullmatch(name) for name in names)
        numbers = people and all(map(str.isdigit, (*names, *times)))
        words = numbers or not any(
            PERSON.fullmatch(inner) or OCCASION.fullmatch(inner) or inner.isdigit()
            for inner in times
        )
        if len(names) > 1 and (people or occasions) and words and min(times.values()) > 1:
            what = "people" if people else "occasions"
            raise InputError(
                f"the folders of {folder} ({_some(names)}) look like {what}, and those in them "
                f"({_some(times)}) like classes; say so with dataset.class_level={inside + 1} "
                f"dataset.groups={level + 1}, or keep the first as classes with "
                f"dataset.class_level={level + 1}."
            )
    return level


def _parts_of(name: str) -> list[str]:
    """Of a file's name or a class's: what hyphens, underscores and blanks set apart, or where there
    are none what ends in numbers, as in S06T01R02."""
    parts = [part for part in re.split(r"[-_ ]+", name) if part]
    return parts if len(parts) > 1 else re.split(r"(?<=\d)(?=[A-Za-z])", name)


def _class_name(
    folder: Path, place: tuple[str, ...], level: int, class_part: int | str | None = None
) -> str:
    if class_part is not None:
        whole = stem_of(place[-1]) if level == -1 else _class_name(folder, place, level)
        if isinstance(class_part, str):
            found = _fitting("class_part", class_part, whole, folder.joinpath(*place))
            return found[found.re.groups and 1]
        parts = _parts_of(whole)
        index = class_part - 1 if class_part > 0 else len(parts) + class_part
        if not 0 <= index < len(parts):
            raise InputError(
                f"{folder.joinpath(*place)}: {whole} has {counted(len(parts), 'part')} "
                f"({', '.join(parts)}), and dataset.class_part={class_part} asks for another."
            )
        return parts[index]
    if level == -1:  # walk_01.csv, walk.4f2a.csv
        stem = place[-1].split(".")[0]
        return re.sub(r"[-_ ]*\(?\d*\)?$", "", stem) or stem
    if level == -2 and len(place) > 1:
        return place[-2]
    if level < 0 or level >= len(place) - 1:
        raise InputError(
            f"{folder.joinpath(*place)} lies in the folder itself; put recordings into a "
            "sub-folder for each class, name the column that holds the class in "
            "dataset.label_column, take it from the files' names with dataset.class_level=0, or "
            "write a table labels.csv there with the columns file and label"
            f"{_or_cases(folder.joinpath(*place))}; what is no recording is left out with "
            f"dataset.files='*/*{Path(place[-1]).suffix}'."
            if level <= 0
            else f"{folder.joinpath(*place)} has no folder of level {level + 1}, which is to name "
            f"its class; dataset.class_level={len(place) - 1} is the innermost."
        )
    return place[level]


def _or_cases(path: Path) -> str:
    if path.suffix.lower() == ".mat":
        return ", or, if it holds all cases as arrays, name that file alone: dataset=npz"
    if path.suffix.lower() in SUFFIXES:
        with path.open(encoding="utf-8", errors="replace") as file:
            if len(re.findall(r"[,;\t]", file.readline(1 << 16))) > MANY_CELLS:
                return ", or, if each row is a case and no moment, say dataset=rows"
    return ""


def _fitting(key: str, pattern: str, whole: str, path: Path) -> re.Match[str]:
    """What a regular expression fits in a name: its first group, or all of it."""
    try:
        found = re.search(pattern, whole)
    except re.error as error:
        raise InputError(
            f"dataset.{key}={pattern} is no regular expression ({error}); one such as "
            "'_([A-Z])' takes the capital letter behind an underscore."
        ) from None
    if found is None or not found[found.re.groups and 1]:
        raise InputError(f"{path}: dataset.{key}={pattern} fits nothing in {whole}.")
    return found


def _refuse_classes_of_one(folder: Path, sources: Sequence[Source], *, by_name: bool) -> None:
    """Refuse folders such as walk-2024-05-01 of one recording each, which would be the classes, and
    files such as fall-01-acc.csv."""
    names = [source.class_name or "" for source in sources]
    if len(names) < LEAST_FOLDERS or len(set(names)) < len(names):
        return
    fields = [_parts_of(name) for name in names]
    if len({len(own) for own in fields}) > 1 or len(fields[0]) < 3:
        return
    numbered = any(all(map(str.isdigit, own)) for own in zip(*fields, strict=True))
    if by_name and not numbered:
        return  # a file may hold all of a class
    several = {
        k: own
        for k, own in enumerate(zip(*fields, strict=True), start=1)
        if min(Counter(own).values()) > 1 and len(set(own)) > 1 and not own[0].isdigit()
    }
    if several:
        what, level = ("files", 0) if by_name else ("folders", 1)
        told = " or ".join(
            f"({_some(set(own))}) with dataset.class_level={level} dataset.class_part={k}"
            for k, own in several.items()
        )
        raise InputError(
            f"the {what} of {folder} ({_some(names)}) stand for one recording each, so that "
            f"their names can be no classes; take a part of them {told}, or what a regular "
            "expression in dataset.class_part fits, such as '_([A-Z])'."
        )


def _group(name: str, groups: str | int) -> str:
    place = name.split("/")
    if isinstance(groups, int):
        index = groups - 1 if groups > 0 else len(place) - 1 + groups
        if groups == 0 or not 0 <= index < len(place) - 1:
            raise InputError(
                f"dataset.groups={groups}: {name} has no such folder; 1 is the first below "
                "dataset.path, -1 the innermost."
            )
        return place[index]
    found = re.search(_pattern(groups), name)
    if found is None:
        raise InputError(
            f"dataset.groups={groups} fits nothing in {name}; it must fit a part of each path, "
            "such as subject* or the level of a folder."
        )
    return found[0]


def _pattern(glob: str) -> str:
    """* as few letters as do, at the end those up to the next sign; ? one letter."""
    inner = re.escape(glob.removesuffix("*")).replace(r"\*", "[^/]*?").replace(r"\?", "[^/]")
    return inner + (r"[^/\W_]*" if glob.endswith("*") else "")


def _people(sources: Sequence[Source], named: Collection[int], *, by_name: bool) -> list[str]:
    """A word where the names look like people of whom there are several recordings each.

    Parameters
    ----------
    named : collection of int
        The entries of their paths that name the class or the part.
    by_name : bool
        Whether the files' names say the class.
    """
    places = [source.name.split("/") for source in sources]
    after = max(named, default=-1) + 1
    levels = set(range(min(map(len, places)) - 1)) - set(named)
    for level in sorted(levels, key=lambda level: (level < after, level)):
        classes: dict[str, set[str | None]] = {}
        for place, source in zip(places, sources, strict=True):
            classes.setdefault(place[level], set()).add(source.class_name)
        if len(classes) == 1:
            after += level == after
            continue
        apart = by_name or level < after
        people = [n for n in classes if PERSON.fullmatch(n) or (apart and n.isdigit())]
        if sources[0].class_name is None:
            shared = [n for n in classes if n in people or OCCASION.fullmatch(n) or n.isdigit()]
            shared = shared if len(shared) == len(classes) else []
        else:
            words = [n for n in classes if level == after and not re.search(r"\d", n)]
            shared = [name for name in (*people, *words) if len(classes[name]) > 1]
        if len(classes) < len(sources) and len(shared) > 1:
            keep = f"keep each on one side of the split with dataset.groups={level + 1}"
            if sources[0].class_name is None:
                return [
                    f"recordings lie in folders such as {_some(shared)}; if they are people or "
                    f"occasions, {keep}"
                ]
            other = f"; if they are the classes, dataset.class_level={level + 1} dataset.groups="
            top = sorted({place[level - 1] for place in places})
            as_parts = (
                f", and if {' and '.join(top)} are for training and testing, call them train and "
                "test"
                if len(top) == 2
                else ""
            )
            return [
                f"folders such as {_some(shared)} occur in several classes; if they are people, "
                f"{keep}"
                + (f"{other}{level} says so{as_parts}" if level > 0 and level - 1 in named else "")
            ]
    stems = [stem_of(place[-1]) for place in places]
    found = []
    for stem in stems:
        match = re.search(rf"(?:^|(?<=[^A-Za-z0-9]))({PERSON.pattern})", stem, re.I)
        if match is None or (match[1] == stem and stem[1:2].isdigit()):
            return _people_by_part(sources)  # s1.csv may be any sample
        found.append(match[1])
    if 1 < len(set(found)) < len(found):
        pairs = takewhile(
            lambda pair: pair[0] == pair[1], zip(min(found), max(found), strict=False)
        )
        common = "".join(letter for letter, _ in pairs).rstrip("0123456789")  # S of SA01 and SE01
        prefix = common or re.sub(r"\d+$", "", found[0])
        return [
            f"files are named after {_some(set(found))}; if these are people, recordings of one "
            "fall on both sides of the split: keep each person on one side with "
            f"dataset.groups='{prefix}*'"
        ]
    return []


def _people_by_part(sources: Sequence[Source]) -> list[str]:
    """The same where the first part of each name is a number that others have too (001_walk_left),
    or the first or second a word that occurs in several classes again and again (0_jackson_3)."""
    for index, pattern in ((0, "*{}"), (0, "/*{}"), (1, "{}*{}")):
        seen: dict[str, list[str | None]] = {}
        found = set()
        for source in sources:
            stem = stem_of(source.name.rsplit("/", 1)[-1])
            sign = next(iter(re.findall(r"[-_ ]", stem)), "")
            parts = stem.split(sign) if sign else [stem]
            glob = pattern.format(sign, sign)
            fit = re.search(_pattern(glob), source.name)
            if len(parts) < index + 2 or parts[index] == source.class_name or fit is None:
                break
            seen.setdefault(parts[index], []).append(source.class_name)
            found.add(fit[0].strip(f"{sign}/"))
        else:
            again = any(len(own) > len(set(own)) for own in seen.values())
            numbers = index == 0 and all(re.search(r"\d", name) for name in seen)
            words = len(seen) > 2 and all(re.match("[A-Za-z]", name) for name in seen)
            words = words and all(len(set(own)) > 1 for own in seen.values())
            if 1 < len(seen) < len(sources) and (numbers or words) and again and found == set(seen):
                return [
                    f"part {index + 1} of the files' names ({_some(set(seen))}) occurs several "
                    "times each; if these are people, recordings of one fall on both sides of the "
                    f"split: keep each on one side with dataset.groups='{glob}'"
                ]
    return []


def _odd_classes(sources: Sequence[Source], *, by_folder: bool) -> list[str]:
    """A word on classes that are likely to be something else, or several things at once."""
    names = sorted({source.class_name or "" for source in sources})
    if len(names) < 2:
        return []
    elsewhere = "say where the class stands with dataset.class_level or dataset.class_part"
    or_column = f"{elsewhere}, or with dataset.label_column"
    if all(map(PERSON.fullmatch, names)):
        return [f"the classes ({_some(names)}) look like people; if they are, {or_column}"]
    if all(map(OCCASION.fullmatch, names)):
        return [f"the classes ({_some(names)}) look like occasions; if they are, {or_column}"]
    if by_folder and all(map(str.isdigit, names)):
        inside: dict[str, set[str]] = {}
        for source in sources:
            own = inside.setdefault(source.class_name or "", set())
            own.add(_class_name(Path(), tuple(source.name.split("/")), -1))
        shared = set.intersection(*inside.values())
        if len(shared) > 1 and not any(re.search(r"\d", name) for name in shared):
            return [
                f"the classes ({_some(names)}) are numbers, and each holds files such as "
                f"{_some(shared)}: if these are the classes, say so with dataset.class_level=0"
            ]
    if all(map(SENSOR.fullmatch, names)):
        return [f"the classes ({_some(names)}) look like sensors; if they are, {or_column}"]
    fields = [_parts_of(name) for name in names]
    if len({len(own) for own in fields}) == 1:
        values = [sorted(set(own)) for own in zip(*fields, strict=True)]
        several = [k for k, own in enumerate(values) if len(own) > 1]
        if len(several) > 1 and len(names) == math.prod(len(values[k]) for k in several):
            told = " and ".join(f"{k + 1} ({_some(values[k])})" for k in several)
            return [
                f"the classes ({_some(names)}) put together parts {told} of the "
                f"{'folders' if by_folder else 'files'}' names; if one of them "
                "alone is the class, take it with dataset.class_part"
            ]
    stems: dict[str, list[str]] = {}
    for name in names:
        stem = re.sub(r"[-_ ]*(?:\d+|\(\d+\))$", "", name)
        stems.setdefault(stem, []).append(name)
    if len(stems) > 1 and all(stems) and min(map(len, stems.values())) > 1:
        letters = None if by_folder else _letters_of(sources)
        remedy = (
            "put their recordings into one folder" if by_folder
            else elsewhere if letters is None
            else f"take the letters alone with 'dataset.class_part=\"{letters}\"'"
        )  # fmt: skip
        return [
            f"classes such as {' and '.join(next(iter(stems.values()))[:2])} differ only in a "
            f"number; if they are one class, {remedy}"
        ]
    if len(names) == len(sources) >= LEAST_FOLDERS:
        wholes = names if by_folder else [stem_of(s.name.rsplit("/", 1)[-1]) for s in sources]
        heads = Counter(whole.rpartition("_")[0] for whole in wholes)
        if 1 < len(heads) < len(names) and all(heads) and min(heads.values()) > 1:
            level = "dataset.class_level=1 " if by_folder else ""
            return [
                f"each class ({_some(names)}) has one recording; if what stands before the last "
                f"part of the name is the class ({_some(heads)}), take it with "
                f"{level}'dataset.class_part=\"(.*)_\"'"
            ]
    return []


def _letters_of(sources: Sequence[Source]) -> str | None:
    """The regular expression that finds a class's name without its number in the file's."""
    for pattern in ("[A-Za-z]+", "_([A-Za-z]+)", "-([A-Za-z]+)", "([A-Za-z]+)[0-9]*$"):
        for source in sources:
            found = re.search(pattern, stem_of(source.name.rsplit("/", 1)[-1]))
            bare = re.sub(r"[-_ ]*(?:\d+|\(\d+\))$", "", source.class_name or "")
            if found is None or found[found.re.groups] != bare:
                break
        else:
            return pattern
    return None


def _some(names: Sequence[str] | set[str] | dict[str, int] | Counter[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:3]) + (", …" if len(shown) > 3 else "")


def _sensor(relative: str, first: int) -> tuple[str, str]:
    """The sensor that a path names from an entry on, and the path without it: a folder may name it
    as well as the file."""
    place = relative.split("/")
    first = min(first, len(place) - 1)
    stem = stem_of("/".join(place[first:]))
    for run in re.finditer(r"[A-Za-z]+(?:_?[A-Za-z]+)*", stem):
        words = WORD.findall(run[0])
        several = len(words) > 1 and "".join(words) == run[0]  # orientationEuler beside orientation
        whole = several and all(map(SENSOR.fullmatch, words))
        for word in (run[0], *words):
            if whole or SENSOR.fullmatch(word):
                at = run.start() + run[0].index(word)
                rest = RATE.sub("", stem[:at] + stem[at + len(word) :])
                others = re.split("([A-Za-z]+)", rest)
                rest = "".join(other for other in others if not _are_kin(other, word))
                rest = re.sub(r"[-_ ]*(?=/|$)", "", rest).strip("/_- ")
                return word, "/".join([*place[:first], rest])
    return "", relative


def _are_kin(other: str, word: str) -> bool:
    """Whether both are of one sensor, as gyr and Gyroscope are."""
    return other[:3].lower() == word[:3].lower() and SENSOR.fullmatch(other) is not None


def _mixed_sensors(sources: Sequence[Source], first: int) -> str:
    """A sentence where files of each class are of several sensors and none could be joined."""
    if any("" not in source.files for source in sources):
        return ""
    kinds: dict[str | None, Counter[str]] = {}
    for source in sources:
        sensor = _sensor(source.name, first)[0]
        kinds.setdefault(source.class_name, Counter())[sensor] += 1
    common = set.intersection(*map(set, kinds.values())) - {""}
    if len(common) < 2:
        return ""
    return (
        f"files are of several sensors ({_some(common)}), would count as recordings of the same "
        "channels, and their names do not say which belong together: take those of one with "
        f"dataset.files='*{min(common)}*', give the files of a recording one name but for the "
        "sensor, or if they are of one kind, name the channels in dataset.columns."
    )


def _with_companions(joined: dict[str, dict[str, Source]]) -> dict[str, dict[str, Source]]:
    """A file beside those of sensors, such as WristMotion.csv, is of their recording as well."""
    known = {rest for rest, sensors in joined.items() if "" not in sensors}
    out: dict[str, dict[str, Source]] = {}
    for rest, sensors in joined.items():
        folder, _, name = rest.rpartition("/")
        stem = stem_of(name)
        if "" in sensors and folder in known and not re.search(r"\d", stem):
            out.setdefault(folder, {})[stem] = sensors[""]
        else:
            out.setdefault(rest, {}).update(sensors)
    return out


def recorded_at_once(
    sources: Sequence[Source],
    num_rows: Sequence[int],
    spans: Sequence[tuple[float, float] | None],
) -> list[str]:
    """A word on files that differ in one part of their paths alone and were recorded at once, as by
    sensors that are called by letters or serial numbers: their clocks say so, or they have as many
    rows each, one recording others than the next.

    Parameters
    ----------
    spans : sequence of (float, float) or None
        When each begins and ends, if its clock says that.
    """
    if any("" not in source.files for source in sources):
        return []
    by_class: dict[str | None, set[int]] = {}
    for source, rows in zip(sources, num_rows, strict=True):
        by_class.setdefault(source.class_name, set()).add(rows)
    by_protocol = all(len(own) == 1 for own in by_class.values())
    depth = min(source.name.count("/") for source in sources)
    tokens = {len(SEPARATOR.split(source.name)) for source in sources}
    places = range(min(tokens)) if len(tokens) == 1 else ()
    within = _differing_within(sources)
    for way in ("within", "last", "first", *range(depth), *(("at", k) for k in places)):
        alike: dict[str, list[int]] = {}
        parts, patterns = [], {}
        for k, source in enumerate(sources):
            rest, part, pattern = within[k] if way == "within" else _without_part(source.name, way)
            alike.setdefault(rest, []).append(k)
            parts.append(part)
            patterns[part] = pattern
        of_group = {(part, source.group) for part, source in zip(parts, sources, strict=True)}
        if (
            len(patterns) < 2 or len(alike) < 2
            or any({parts[k] for k in own} != patterns.keys() for own in alike.values())
            or any(len({sources[k].class_name for k in own}) > 1 for own in alike.values())
            or len(of_group) == len(patterns) == len({group for _, group in of_group})
        ):  # fmt: skip
            continue  # the parts do not stand beside each other, or say whose recordings these are
        lengths = [{num_rows[k] for k in own} for own in alike.values()]
        different = len({min(own) for own in lengths})
        by_rows = not by_protocol and all(len(own) == 1 for own in lengths)
        by_rows = by_rows and different >= max(3, len(lengths) / 2)
        by_clock = not all(map(PERSON.fullmatch, patterns)) and _ran_at_once(
            [[spans[k] for k in own] for own in alike.values()]
        )
        if not by_rows and not by_clock:
            continue
        why = "ran at once, as their clocks say" if by_clock else "have as many rows as each other"
        labels = [part for part in patterns if LABELS_NAME.search(part)]
        some = min(patterns.keys() - labels or patterns)
        joins = "" if labels else _sensor_part([source.name for source in sources], parts)
        return [
            f"files that differ in one part of their names alone ({_some(set(patterns))}) {why}, "
            f"in each of {len(alike)} recordings, and count as recordings of the same channels; if "
            f"these are sensors that recorded at once, {joins}take those of one with "
            f"dataset.files='{patterns[some]}'"
            + ("; labels of rows belong into a column (paste -d, A B > C)" if labels else "")
        ]
    return []


def _differing_within(sources: Sequence[Source]) -> list[tuple[str, str, str]]:
    """As `_without_part`, what is not the same in all names of a folder's files."""
    names: dict[str, list[list[str]]] = {}
    for source in sources:
        folder, _, last = source.name.rpartition("/")
        names.setdefault(folder, []).append(re.split(f"({SEPARATOR.pattern})", last))
    shared = {}
    for folder, own in names.items():
        least = min(map(len, own)) - 1
        head = next((k for k in range(least) if len({t[k] for t in own}) > 1), least)
        most = least - head
        tail = next((k for k in range(most) if len({t[-1 - k] for t in own}) > 1), most)
        shared[folder] = (head, tail)
    out = []
    for source in sources:
        folder, _, last = source.name.rpartition("/")
        tokens = re.split(f"({SEPARATOR.pattern})", last)
        head, tail = shared[folder]
        stop = len(tokens) - tail
        part = "".join(tokens[head:stop])
        rest = "".join([folder, "/", *tokens[:head], *tokens[stop:]])
        out.append((rest, part, f"{'*' * (head > 0)}{part}{'*' * (tail > 0)}"))
    return out


def _ran_at_once(recordings: Sequence[Sequence[tuple[float, float] | None]]) -> bool:
    """Whether the clocks of the files of each recording overlap, and most recordings follow each
    other: clocks that all begin at 0 tell nothing."""
    whole = []
    for own in recordings:
        spans = [span for span in own if span is not None]
        if len(spans) < len(own):
            return False
        start, stop = max(s[0] for s in spans), min(s[1] for s in spans)
        if stop - start < 0.5 * max(s[1] - s[0] for s in spans) or start >= stop:
            return False
        whole.append((start, stop))
    whole.sort()
    apart = sum(one[1] <= other[0] for one, other in pairwise(whole))
    return 2 * apart >= len(whole)


def _sensor_part(names: Sequence[str], parts: Sequence[str]) -> str:
    """The words that join files by a part of their names, if few words tell it; else none."""
    every = sorted(set(parts))
    for pattern in ("{}", "[-_. /]({})(?=[-_. /])", ".*({})"):
        pattern = pattern.format("|".join(map(re.escape, every)))
        found = [re.search(pattern, name) for name in names]
        if len(every) <= MOST_WORDS and all(
            fit is not None and fit[fit.re.groups and 1] == part
            for fit, part in zip(found, parts, strict=True)
        ):
            return f"join them by time with 'dataset.sensor_part=\"{pattern}\"', or "
    return ""


def _without_part(name: str, way: str | int | tuple[str, int]) -> tuple[str, str, str]:
    """A path without the last or first part of its file's name, a folder, or what stands at one
    place between all signs; what was taken out; and a pattern for those that have it."""
    *folders, last = name.split("/")
    if isinstance(way, tuple):
        tokens = re.split(f"({SEPARATOR.pattern})", name)
        at = 2 * way[1]
        near = "".join(tokens[max(0, at - 1) : at + 2])
        glob = "*" * (at > 0) + near + "*" * (at + 2 < len(tokens))
        return "".join([*tokens[:at], *tokens[at + 1 :]]), tokens[at], glob
    if isinstance(way, int):
        rest = [*folders[:way], "", *folders[way + 1 :], last]
        return "/".join(rest), folders[way], "*/" * way + f"{folders[way]}/*"
    stem = stem_of(last)
    sign = re.search(r"[-_ ](?=[^-_ ]*$)" if way == "last" else "[-_ ]", stem)
    if sign is None:
        return name, "", ""
    if way == "last":
        bare = name[: -len(last)] + stem[: sign.end()]
        return bare, stem[sign.end() :], f"*{last[sign.start() :]}"
    return name[: -len(last)] + stem[sign.start() :], stem[: sign.start()], f"{stem[: sign.end()]}*"


def _join_channels(sources: list[Source], first: int) -> list[Source]:
    """F0001CH1.CSV and F0001CH2.CSV put together; none where not all recordings have the same."""
    joined: dict[str, Source] = {}
    for source in sources:
        at = len("/".join(source.name.split("/")[:first]))
        found = CHANNEL.search(source.name, at)
        if found is None or "" not in source.files:
            return []
        rest = stem_of(source.name[: found.start()] + source.name[found.end() :]).strip("/_- ")
        one = joined.setdefault(rest, replace(source, name=rest, files={}))
        bare = re.sub(r"[-_ ]?\d+$", "", found[0])
        if source.class_name != one.class_name or source.class_name == bare:
            return []  # the class is the channel
        one.files[found[0]] = source.files[""]
    channels = {frozenset(one.files) for one in joined.values()}
    return [*joined.values()] if len(channels) == 1 and len(channels.pop()) > 1 else []


def _join_sensors(
    sources: list[Source], first: int, sensor_part: str | None
) -> tuple[list[Source], list[str]]:
    """Put the files of one recording together, where sensors have one each."""
    if sensor_part is not None:
        return _joined(_by_part(sources, sensor_part))
    if sources[0].class_name is not None and (whole := _join_channels(sources, first)):
        return whole, [f"channels {', '.join(whole[0].files)} of a recording joined by time"]
    joined: dict[str, dict[str, Source]] = {}
    for source in sources:
        sensor, rest = _sensor(source.name, first)
        if sensor in joined.get(rest, {}):
            return sources, []
        joined.setdefault(rest, {})[sensor] = source
    joined = _with_companions(joined)
    several = [sensors for sensors in joined.values() if len(sensors) > 1 and "" not in sensors]
    if 2 * len(several) < len(joined) or not several:
        return sources, []
    return _joined(joined)


def _by_part(sources: Sequence[Source], sensor_part: str) -> dict[str, dict[str, Source]]:
    """The files of each recording by what a regular expression fits in their paths."""
    joined: dict[str, dict[str, Source]] = {}
    for source in sources:
        (path,) = source.files.values()
        found = _fitting("sensor_part", sensor_part, source.name, path)
        group = found.re.groups and 1
        rest = _tidy(source.name[: found.start(group)] + source.name[found.end(group) :])
        if other := joined.get(rest, {}).get(found[group]):
            raise InputError(
                f"{path} and {other.name} are both of the sensor '{found[group]}' that "
                f"dataset.sensor_part={sensor_part} finds, in one recording: let it fit what "
                "tells the files of a recording apart."
            )
        joined.setdefault(rest, {})[found[group]] = source
    if all(len(sensors) == 1 for sensors in joined.values()):
        raise InputError(
            f"dataset.sensor_part={sensor_part} finds no two files of one recording "
            f"({_some([*joined])}): let it fit all that tells them apart, and no more."
        )
    return joined


def _tidy(name: str) -> str:
    """A path, out of which a part was taken, without its ending and what held that part."""
    again = r"[-_. ]+(?=/|$)|(?<=[-_. /])[-_. /]+"
    return re.sub(again, "", stem_of(name)).strip("/")


def _joined(joined: Mapping[str, Mapping[str, Source]]) -> tuple[list[Source], list[str]]:
    common = set.intersection(*(set(sensors) for sensors in joined.values()))
    empty = {
        sensor for sensor in common
        if any(s[sensor].files[""].stat().st_size == 0 for s in joined.values())
    }  # fmt: skip
    common -= empty
    if not common:
        kinds = sorted({sensor for sensors in joined.values() for sensor in sensors})
        raise InputError(
            f"recordings have a file for each sensor ({', '.join(filter(None, kinds))}), but no "
            "sensor is in all of them; choose the files of one with dataset.files, such as "
            f"dataset.files='*{max(kinds)}*'."
        )
    notes = [f"sensors {', '.join(sorted(common))} of a recording joined by time"]
    missing = sorted({s for sensors in joined.values() for s in sensors if s not in common})
    missing = [name or "others" for name in missing]
    if missing:
        notes.append(f"not taken: {', '.join(missing)}, which not every recording has")
    out = []
    for rest, sensors in joined.items():
        one = next(iter(sensors.values()))
        files = {sensor: sensors[sensor].files[""] for sensor in sorted(common)}
        out.append(replace(one, name=rest, files=files))
    return out, notes
