"""Find the recordings of a folder, and what says their classes."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from raspitrain.data.files.endings import OTHER_SUFFIXES, stem_of
from raspitrain.data.files.wfdb_marks import KINDS
from raspitrain.data.recorded.annotated import (
    Annotated,
    find_annotations,
    find_marks,
    marks_beside,
    match_nearest,
)
from raspitrain.data.recorded.annotations import LINES_OF_JSON, naming_column, read_annotations
from raspitrain.data.recorded.folder import (
    LIST_NAME,
    MOST_TABLES,
    SUFFIXES,
    are_about,
    choose_files,
    each_once,
    files_left,
    fits,
    is_text,
    leave_out,
    list_files,
    of_other_kinds,
)
from raspitrain.data.recorded.names import (
    LABELS_NAME,
    OCCASION,
    PERSON,
    Source,
    class_name_of,
    find_class_level,
    find_part_level,
    group_of,
    odd_classes,
    part_of_place,
    people_in,
    refuse_classes_of_one,
)
from raspitrain.data.recorded.no_class import refuse_one_alone
from raspitrain.data.recorded.parts import part_of
from raspitrain.data.recorded.sensors import join_sensors, mixed_sensors
from raspitrain.errors import InputError, counted

LABELS_FOLDER = re.compile(r"y|labels?|targets?|annotations?|ground_?truth", re.I)
LABELS_A_ROW = re.compile(r"(?:y|labels?|targets?|annotations?)(?:[-_]\w+)?\.(?:csv|tsv)", re.I)
LABELS_SEEN = 200  # lines, of which most say a label again
LARGEST_LIST = 64 << 20


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
        Patterns of names or paths, those with ! in front of what is left out; None for every .csv
        and .tsv, or where there are none for the recordings of one other kind.
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
    paths, others, not_read = list_files(folder)
    if files is not None:
        paths, others, files = leave_out(folder, paths, others, files)
    every = sorted([*paths, *others])
    annotated = find_annotations(folder, every, annotations, annotation_column)
    if annotated is None and annotations is None and files is None:
        lines = [path for path in others if path.suffix.lower() in LINES_OF_JSON]
        annotated = _table_of(folder, [*paths, *lines], [p for p in others if p not in lines])
    unused: list[str] = []
    says_class = "dataset.class_level" if class_level is not None else None
    says_class = "dataset.label_column" if has_labels else says_class
    if annotated is None and annotations is None:
        near = [
            path for path in (*paths, *others)
            if files is None or path.suffix.lower() not in (".hea", ".csv")
            or fits(path.relative_to(folder).as_posix(), files)
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
            and _may_name_classes(folder, [*paths, *of_other_kinds(others)] or annotated.own)
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
    if annotated is not None and files is None and not paths and not of_other_kinds(others):
        paths = annotated.named()  # text of any ending
    if annotated is not None and annotated.marked and files is None:
        suffix = next(iter(annotated.own)).suffix
        beside = [p for p in paths if p.suffix != suffix]
        paths = [p for p in paths if p.suffix == suffix]
        others = [p for p in others if p.suffix == suffix or p.suffix.lower() not in OTHER_SUFFIXES]
        if beside:
            some = f"{counted(len(beside), 'file')} such as {beside[0].name}"
            unused.append(f"not taken: {some}, as annotations are of the {suffix} files")
    taken, notes = choose_files(folder, paths, others, files)
    notes += unused + not_read
    about = [] if annotated is None else annotated.files
    unread = [] if files is not None else files_left([*taken, *about], others)
    taken, num_links = each_once(folder, taken)
    if num_links:
        notes.append(f"{num_links} links to files that are taken already")
    for path in taken:
        if not str(path).isprintable():
            raise InputError(f"{str(path)!a} has a name that cannot be shown; rename it.")
    places = {path: path.relative_to(folder).parts for path in taken}
    by_name = has_labels or class_level == 0
    sources = [
        Source("/".join(place), {"": path}, None, None, None) for path, place in places.items()
    ]
    above = {name for place in places.values() for name in place[:-1]}
    plain = all(
        re.fullmatch(r"(records?)?\d+", name) or part_of(name) is not None for name in above
    )
    unsaid = not has_labels and class_level is None and class_part is None
    if plain and unsaid and annotations is None and files is None:
        _unused_table(folder, paths, others, sources)
    part_level, note = find_part_level(folder, list(places.values()), by_name)
    notes += note
    parts_by_place: Mapping[tuple[str, ...], int | None]
    if part_level is None:
        parts_by_place, note = _listed_parts(folder, others, list(places.values()))
        notes += note
    else:
        parts_by_place = {place: part_of_place(place, part_level) for place in places.values()}
    sources = [
        replace(source, part=parts_by_place.get(place))
        for source, place in zip(sources, places.values(), strict=True)
    ]
    named, sensors_from = {-1 if part_level is None else part_level}, 0
    in_name = False
    unused_tables: list[str] = []
    of_one: list[str] = []
    if not has_labels:
        if unsaid:
            _refuse_labels_a_row(folder, taken)
            _refuse_labels_a_file(taken)
            _refuse_files_beside(folder, [*places], [p for p in others if p not in taken])
            _refuse_list_among(folder, [*places], others)
            _refuse_summaries(others)
            if [len(place) for place in places.values()] == [1]:
                refuse_one_alone(*places)
        level = find_class_level(folder, list(places.values()), part_level, class_level)
        sources = [
            replace(source, class_name=class_name_of(folder, place, level, class_part))
            for source, place in zip(sources, places.values(), strict=True)
        ]
        if class_level is None and annotations is None and files is None:
            unused_tables = _unused_table(folder, paths, others, sources)
        _refuse_labels_beside(folder, sources, {*paths, *others} - set(taken))
        in_name = level == -1
        named.add(min(map(len, places.values())) - 2 if level == -2 else level)
        sensors_from = 0 if level == -1 else max(level, 0) + (class_part is None)
    if groups is not None:
        sources = [replace(source, group=group_of(source.name, groups)) for source in sources]
        own = {source.group for source in sources}
        if len(own) == 1 and len(sources) > 1:
            of_one = [f"dataset.groups={groups} puts all recordings into one group, '{own.pop()}'"]
    note = []
    if joins:
        sources, note = join_sensors(sources, sensors_from, sensor_part)
    are_people = all(PERSON.fullmatch(source.class_name or "") for source in sources)
    people = [] if groups is not None or are_people else people_in(sources, named, by_name=in_name)
    warnings = [*unread, *unused_tables, *people, *of_one]
    if not has_labels and not isinstance(class_part, str):
        inner = min(map(len, places.values())) - 1
        own_level = None if in_name else inner if level == -2 else level + 1
        warnings += odd_classes(sources, own_level)
    if not has_labels and class_part is None and class_level in (None, 0):
        refuse_classes_of_one(folder, sources, by_name=class_level == 0)
    mixed = mixed_sensors(sources, sensors_from)
    return Found(sources, notes + note, warnings, annotated, mixed)


def _table_of(folder: Path, paths: Sequence[Path], others: Sequence[Path]) -> Annotated | None:
    """Tables such as meta/esc50.csv that name the class of each recording, one or several of
    different recordings each; None without."""
    names = [path.relative_to(folder).as_posix() for path in of_other_kinds(others)]
    if len(paths) > MOST_TABLES or len(paths) >= len(names):
        return None
    tables: list[Path] = []
    named: set[str] = set()
    for path in paths:
        if path.stem.lower().replace("_", "") == "samplesubmission":
            continue  # of Kaggle: what it says is made up
        try:
            rows = read_annotations(str(path))
            meant = {} if "" in rows else match_nearest(path, rows, names, folder)
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
    if not are_about(paths, others):
        return []
    stems = {stem_of(source.name) for source in sources}
    stems |= {stem.rsplit("/", 1)[-1] for stem in stems}
    for path in paths:
        if (name := naming_column(path, stems)) is None:
            continue
        classes = {source.class_name or "" for source in sources}
        alike = sum(other.name == path.name for other in paths) > 1  # one in each part
        shown = path.name if alike else path.relative_to(folder).as_posix()
        sentence = (
            f"{path} names the recordings in its column '{name}' and is not used; if another says "
            f"their classes, name it with dataset.annotations={shown} dataset.label_column=NAME, "
            f"or write a table labels.csv in {folder} with the columns file and label"
        )
        if len(classes) == 1 or all(re.fullmatch(r"records?\d+", own) for own in classes):
            raise InputError(f"{sentence}, and choose files with dataset.files.")
        return [sentence]
    return []


def _refuse_labels_a_row(folder: Path, paths: Sequence[Path]) -> None:
    """Say what to do with labels.csv beside data.csv, which has a cell for each row of it."""
    in_folders: dict[Path, list[Path]] = {}
    for path in paths:
        in_folders.setdefault(path.parent, []).append(path)
    for path in paths:
        if not LABELS_A_ROW.fullmatch(path.name):
            continue
        beside = [other for other in in_folders[path.parent] if other != path]
        if len(beside) != 1:
            continue
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in islice(file, LABELS_SEEN)]
        if re.search(r"[,;\t]", "".join(lines[:1])) or 2 * len({*lines}) > len(lines):
            continue  # the other axis, where x.csv and y.csv are
        raise InputError(
            f"{path} has one cell a line: if that says the class of each row of {beside[0].name}, "
            f"put it behind, as by: find {folder} -name {beside[0].name} -execdir sh -c 'paste -d, "
            f"{beside[0].name} {path.name} > joined.csv' ';' and say dataset.files=joined.csv "
            "dataset.label_column=-1."
        )


def _refuse_labels_a_file(paths: Sequence[Path]) -> None:
    """Say what to do with labels/7.csv of features/7.csv, where each is taken for a recording."""
    by_folder: dict[str, dict[str, int]] = {}
    for path in paths:
        by_folder.setdefault(path.parent.name, {})[path.name] = path.stat().st_size
    for label, sizes in by_folder.items():
        for other, own in by_folder.items() if LABELS_FOLDER.fullmatch(label) else ():
            if (
                other != label
                and sizes.keys() == own.keys()
                and 4 * max(sizes.values()) < min(own.values())
                and not _begin_alike(paths, label, other)
            ):
                suffix = paths[0].suffix
                raise InputError(
                    f"files of the same names lie in folders {other} and {label}: if the latter "
                    f"say what the others are, take them with 'dataset.files=\"*{other}/*{suffix}"
                    f"\"' 'dataset.annotations=\"../{label}/*{suffix}\"'; if both are classes, say "
                    "so with dataset.class_level."
                )


def _begin_alike(paths: Sequence[Path], label: str, other: str) -> bool:
    """Whether files in both folders have the same names above their columns."""
    pair = [next(path for path in paths if path.parent.name == name) for name in (label, other)]
    begins = []
    for path in pair:
        with path.open("rb") as file:
            begins.append(file.readline(1 << 10))
    return begins[0] == begins[1]


def _refuse_labels_beside(
    folder: Path, sources: Sequence[Source], others: Collection[Path]
) -> None:
    """Where all recordings are of one class, say what to do with 7_labeled_sleep.txt of 7_acc.txt,
    in whatever folder it lies."""
    classes = {source.class_name or "" for source in sources}
    if len(classes) > 1 and not all(map(PERSON.fullmatch, classes)):
        return
    _refuse_diagnoses(sources)
    if len(classes) > 1:
        return
    begins = {re.split(r"[-_. ]", source.name.rsplit("/", 1)[-1])[0] for source in sources}
    stems = {stem_of(source.name.rsplit("/", 1)[-1]) for source in sources}
    for path in sorted(others):
        if stem_of(path.name) in stems and LABELS_NAME.search(path.parent.name):
            raise InputError(
                f"all recordings would be of the class '{sources[0].class_name}', while {path} is "
                "called as one, as if it said what that is: take such files with "
                f"'dataset.annotations=\"../{path.parent.name}/*{path.suffix}\"'."
            )
        begin, rest = re.split(r"(?=[-_. ])", path.name, maxsplit=1) if path.suffix else ("", "")
        if begin in begins and LABELS_NAME.search(rest):
            raise InputError(
                f"all recordings would be of the class '{sources[0].class_name}', while {path} "
                "looks as if it says what happens in one: take such files with "
                f"dataset.annotations='*{rest}'."
            )
    _refuse_table_of_people(folder, sources, begins, others)


def _refuse_table_of_people(
    folder: Path, sources: Sequence[Source], begins: Collection[str], others: Collection[Path]
) -> None:
    """Where a table has a row for what the names of recordings begin with, such as a patient, give
    the command that lists the class of each recording."""
    first = next(iter(sources[0].files.values())).name
    sign = re.search(r"[-_. ]", first)
    tables = [p for p in sorted(others) if p.suffix.lower() == ".csv"] if len(begins) > 1 else []
    for path in tables:
        if sign is None or (name := naming_column(path, begins)) is None:
            continue
        head = path.read_text(encoding="utf-8-sig", errors="replace").split("\n", 1)[0].strip()
        place = head.split(",").index(name) + 1 if name in head.split(",") else 1
        label = 2 if place == 1 else 1
        raise InputError(
            f"all recordings would be of the class '{sources[0].class_name}', while {path} has a "
            f"row for what their names begin with ({first[: sign.start()]}): if it says the class, "
            f"list all in dataset.path by `{{ echo file,label; find * -name '*{Path(first).suffix}'"
            ' | awk \'NR == FNR { sub(/\\r$/, ""); split($0, r, ","); '
            f'c[r[{place}]] = r[{label}]; next }} {{ n = split($0, p, "/"); '
            f'split(p[n], q, "{sign[0]}"); if (q[1] in c) print $0 "," c[q[1]] }}\' '
            f"{path.relative_to(folder)} -; }} > labels.csv`, "
            f"where r[{label}] is its column of the class."
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
        if all(pattern.replace("*", s, 1) in names for s in stems) and is_text(folder / name):
            raise InputError(
                f"the recordings lie in {folder} itself, and nothing names their classes; if "
                f"{name} says what begins and ends where, take such files "
                f"with dataset.annotations='{pattern}'; else put recordings into a sub-folder for "
                "each class, or take it from their names with dataset.class_level=0."
            )


def _refuse_list_among(folder: Path, taken: Sequence[Path], others: Sequence[Path]) -> None:
    """Where nothing names the class and a table in the folder itself names the others, say how it
    is taken."""
    stems = {path.stem for path in (*taken, *others)}
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
    head = path.read_text("latin-1") if path.suffix == ".hea" else ""
    if (found := re.search(r"^# ?(Dx|Reason for admission): ?\S", head, re.M)) is None:
        return
    raise InputError(
        f"recordings would be of the class '{sources[0].class_name}', while {path} says a "
        f"diagnosis behind # {found[1]}: list all in dataset.path by `{{ echo file,label; grep -r "
        f"--include='*.hea' '^# *{found[1]}' * | sed -E 's/,/+/g; s/.hea:# *{found[1]}: */,/'; }} "
        "> labels.csv`."
    )


def _refuse_summaries(others: Sequence[Path]) -> None:
    """Where texts say the seizures in recordings as those of CHB-MIT do, give the command that
    lists them."""
    for path in others:
        if not path.name.lower().endswith("summary.txt"):
            continue
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(LARGEST_LIST)
        if re.search(r"^Seizure.* Start Time: *\d+", text, re.M):
            raise InputError(
                f"{path} says where seizures begin and end: list them in dataset.path by "
                "`{ echo file,start_s,end_s,label; find . -name '*summary.txt' -exec awk "
                '\'{ sub(/\\r$/, "") } /^File Name/ { f = $3; e = 0 } '
                '/^Seizure.*Start/ { s = $(NF-1); print f "," e "," s ",rest" } '
                '/^Seizure.*End/ { e = $(NF-1); print f "," s "," e ",seizure" }\' {} +; } '
                "> labels.csv`."
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
