"""What the names of folders and files say of a recording: its class, part and person."""

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from raspitrain.data.files.endings import stem_of
from raspitrain.data.recorded.columns import SENSOR
from raspitrain.data.recorded.no_class import if_cases
from raspitrain.data.recorded.parts import EVALUATION, part_of, part_of_name
from raspitrain.errors import InputError, a_few, counted

LEAST_FOLDERS = 4  # of one recording each, from which they are hardly classes
LABELS_NAME = re.compile(r"label|stage|scor|hypno|annot|activit|event|marker", re.I)
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
    r"|(?:19|20)\d\d[-_.][01]?\d[-_.][0-3]?\d"
    r"|[0-3]\d[-_.][01]\d[-_.](?:19|20)\d\d",
    re.I,
)


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


def part_of_place(place: Sequence[str], level: int) -> int | None:
    """The part that the folder on a level names, or the file where that is -1."""
    part = part_of_name(place[level]) if level >= 0 else None
    return _part_of_stem(place[level])[0] if part is None else part


def _part_of_stem(name: str) -> tuple[int | None, str]:
    """The part that a file's name ends or begins with, such as mitbih_train.csv, and the rest."""
    stem = stem_of(name)
    words = re.split(r"[_\-. ]+", stem)
    for word, rest in ((words[-1], words[:-1]), (words[0], words[1:])):
        if (part := part_of_name(word)) is not None:
            return part, " ".join(rest)
    return None, stem


def find_part_level(
    folder: Path, places: Sequence[tuple[str, ...]], by_name: bool
) -> tuple[int | None, list[str]]:
    """The level of the folders train and test, -1 if the files are called so; None without."""
    depth = min(len(place) for place in places) - 1
    for level in range(depth):
        names = {place[level] for place in places}
        parts = {name: part_of_name(name) for name in names}
        if all(part is None for part in parts.values()):
            in_words = {name: _part_of_stem(name) for name in names}  # audio_train, audio_test
            if len({rest for _, rest in in_words.values()}) == 1:
                parts = {name: part for name, (part, _) in in_words.items()}
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
        evaluation = [name for name in sorted(names) if EVALUATION.fullmatch(name.lower())]
        if evaluation and [*parts.values()].count(2) > len(evaluation):
            raise InputError(
                f"{folder}: folders {', '.join(sorted(names))}: {evaluation[0]} may be for "
                "validation or for the test; call it validation or test."
            )
        if level == depth - 1 == 0 and not by_name:
            raise InputError(
                f"{folder} holds {' and '.join(sorted(names))}, which are parts and no classes, "
                "and the recordings lie in them directly; put them into a sub-folder for each "
                "class, name the column that holds the class in dataset.label_column, or take it "
                "from the files' names with dataset.class_level=0."
            )
        return level, [f"parts as the folders {', '.join(sorted(names))} say"]
    # The files' names are free to say it where a column says the class, or folders above them do.
    if (depth == 0) == by_name and len(places) > 1:
        stems = [_part_of_stem(place[-1]) for place in places]
        by_stem, rests = {part for part, _ in stems}, {rest for _, rest in stems}
        if len(by_stem) > 1 and 0 in by_stem and None not in by_stem and (depth or len(rests) == 1):
            return -1, ["parts as the files' names say"]
    return None, []


def find_class_level(
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
        below = (part_level or 0) + 1
        lone = all(len({place[k] for place in places}) == 1 for k in range(below - 1))
        if below > 1 and lone and len({p[below] for p in places if len(p) > below + 1}) > 1:
            return below  # nothing but folders of an archive above the parts
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
    for deeper in range(inside + 1, min(map(len, places)) - 1):  # day/morning_1/walk/…
        there = [{place[deeper] for place in places if place[level] == name} for name in names]
        alike = len(there[0]) > 1 and all(own == there[0] for own in there)
        numbered = all(re.search(r"\d", place[inside]) for place in places)
        if alike and numbered and not any(re.search(r"\d", word) for word in there[0]):
            inside = deeper
            break
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
        if part_level is not None and words:  # nobody in training and in test, the same in both
            people |= len({(place[part_level], place[level]) for place in places}) == len(names)
        if len(names) > 1 and (people or occasions) and words and min(times.values()) > 1:
            what = "people" if people else "occasions"
            raise InputError(
                f"the folders of {folder} ({a_few(names)}) look like {what}, and those in them "
                f"({a_few(times)}) like classes; say so with dataset.class_level={inside + 1} "
                f"dataset.groups={level + 1}, or keep the first as classes with "
                f"dataset.class_level={level + 1}."
            )
    return level


def _parts_of(name: str) -> list[str]:
    """Of a file's name or a class's: what hyphens, underscores and blanks set apart, or where there
    are none what ends in numbers, as in S06T01R02."""
    parts = [part for part in re.split(r"[-_ ]+", name) if part]
    return parts if len(parts) > 1 else re.split(r"(?<=\d)(?=[A-Za-z])", name)


def class_name_of(
    folder: Path, place: tuple[str, ...], level: int, class_part: int | str | None = None
) -> str:
    if class_part is not None:
        whole = stem_of(place[-1]) if level == -1 else class_name_of(folder, place, level)
        if isinstance(class_part, str):
            found = fitting("class_part", class_part, whole, folder.joinpath(*place))
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
            f"{folder.joinpath(*place)} lies in the folder itself; "
            f"{if_cases(folder.joinpath(*place))}put recordings into a "
            "sub-folder for each class, name the column that holds the class in "
            "dataset.label_column, take it from the files' names with dataset.class_level=0, or "
            "write a table labels.csv there with the columns file and label; if "
            f"{folder.name or folder} is a class, give the folder that holds it and the others; "
            f"what is no recording is left out with dataset.files='*/*{Path(place[-1]).suffix}'."
            if level <= 0
            else f"{folder.joinpath(*place)} has no folder of level {level + 1}, which is to name "
            f"its class; dataset.class_level={len(place) - 1} is the innermost, and what is no "
            "recording is left out with "
            f"dataset.files='{'?*/' * (level + 1)}*{Path(place[-1]).suffix}'."
        )
    return place[level]


def fitting(key: str, pattern: str, whole: str, path: Path) -> re.Match[str]:
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


def refuse_classes_of_one(folder: Path, sources: Sequence[Source], *, by_name: bool) -> None:
    """Refuse folders such as walk-2024-05-01 of one recording each, which would be the classes, and
    files such as fall-01-acc.csv."""
    names = [source.class_name or "" for source in sources]
    if len(names) < LEAST_FOLDERS or len(set(names)) < len(names):
        return
    begins = [found[0] for name in names if (found := re.match(r"[A-Za-z]+(?=\d)", name))]
    if by_name and len(begins) == len(names) and min(Counter(begins).values()) > 1 < len({*begins}):
        raise InputError(
            f"the files of {folder} ({a_few(names)}) stand for one recording each, so that their "
            f"names can be no classes; take the letters that lead them ({a_few(set(begins))}) with "
            "'dataset.class_part=\"^[A-Za-z]+\"'."
        )
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
            f"({a_few(set(own))}) with dataset.class_level={level} dataset.class_part={k}"
            for k, own in several.items()
        )
        raise InputError(
            f"the {what} of {folder} ({a_few(names)}) stand for one recording each, so that "
            f"their names can be no classes; take a part of them {told}, or what a regular "
            "expression in dataset.class_part fits, such as '_([A-Z])'."
        )


def group_of(name: str, groups: str | int) -> str:
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


def is_archive(folders: Collection[str]) -> bool:
    """Whether folders are called 00000, 01000, … as those are into which an archive is put by
    number; 0500 and 1500 may be turns a minute."""
    return (
        all(re.fullmatch(r"\d{3,}00", name) for name in folders)
        and len(set(map(len, folders))) == 1
        and any(name.startswith("0") for name in folders)
    )


def people_in(sources: Sequence[Source], named: Collection[int], *, by_name: bool) -> list[str]:
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
    numbered = all(re.search(r"\d", source.class_name or "") for source in sources)
    levels = set(range(min(map(len, places)) - 1)) - set(named)
    for level in sorted(levels, key=lambda level: (level < after, level)):
        classes: dict[str, set[str | None]] = {}
        for place, source in zip(places, sources, strict=True):
            classes.setdefault(place[level], set()).add(source.class_name)
        if len(classes) == 1:
            after += level == after
            continue
        apart = by_name or level < after
        if is_archive(classes):
            continue
        people = [n for n in classes if PERSON.fullmatch(n) or (apart and n.isdigit())]
        if sources[0].class_name is None:
            shared = [n for n in classes if n in people or OCCASION.fullmatch(n) or n.isdigit()]
            shared = shared if len(shared) == len(classes) else []
        else:
            at = level == after or (level > after and numbered)
            words = [n for n in classes if at and not re.search(r"\d", n)]
            shared = [name for name in (*people, *words) if len(classes[name]) > 1]
        if len(classes) < len(sources) and len(shared) > 1:
            keep = f"keep each on one side of the split with dataset.groups={level + 1}"
            if sources[0].class_name is None:
                return [
                    f"recordings lie in folders such as {a_few(shared)}; if they are people or "
                    f"occasions, {keep}"
                ]
            other = f"; if they are the classes, dataset.class_level={level + 1} dataset.groups="
            deeper = level > 0 and (level - 1 in named or (numbered and max(named) < level))
            top = sorted({place[level - 1] for place in places})
            as_parts = (
                f", and if {' and '.join(top)} are for training and testing, call them train and "
                "test"
                if len(top) == 2 and level - 1 in named
                else ""
            )
            return [
                f"folders such as {a_few(shared)} occur in several classes; if they are people, "
                f"{keep}" + (f"{other}{max(named) + 1} says so{as_parts}" if deeper else "")
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
            f"files are named after {a_few(set(found))}; if these are people, recordings of one "
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
            if part_of(parts[index]) is not None:
                break  # train_01.csv
            seen.setdefault(parts[index], []).append(source.class_name)
            found.add(fit[0].strip(f"{sign}/"))
        else:
            again = any(len(own) > len(set(own)) for own in seen.values())
            numbers = index == 0 and all(re.search(r"\d", name) for name in seen)
            words = len(seen) > 2 and all(re.match("[A-Za-z]", name) for name in seen)
            words = words and all(len(set(own)) > 1 for own in seen.values())
            if 1 < len(seen) < len(sources) and (numbers or words) and again and found == set(seen):
                return [
                    f"part {index + 1} of the files' names ({a_few(set(seen))}) occurs several "
                    "times each; if these are people, recordings of one fall on both sides of the "
                    f"split: keep each on one side with dataset.groups='{glob}'"
                ]
    return []


def odd_classes(sources: Sequence[Source], level: int | None) -> list[str]:
    """A word on classes that are likely to be something else, or several things at once.

    Parameters
    ----------
    level : int or None
        Of the folders that are the classes, 1 the first; None where files' names say them.
    """
    by_folder = level is not None
    names = sorted({source.class_name or "" for source in sources})
    if len(names) < 2:
        return []
    at_level = f"dataset.class_level={level} " if by_folder else ""
    elsewhere = "say where the class stands with dataset.class_level or dataset.class_part"
    or_column = f"{elsewhere}, or with dataset.label_column"
    if all(map(PERSON.fullmatch, names)):
        or_column = _class_in_files(sources) or or_column if level == 1 else or_column
        return [f"the classes ({a_few(names)}) look like people; if they are, {or_column}"]
    if all(map(OCCASION.fullmatch, names)):
        return [f"the classes ({a_few(names)}) look like occasions; if they are, {or_column}"]
    if by_folder and is_archive(names):
        return [
            f"the classes ({a_few(names)}) look like folders of an archive by number; if they are, "
            f"{or_column}, or give the folder above, where a table says the classes"
        ]
    if by_folder and all(map(str.isdigit, names)):
        inside: dict[str, set[str]] = {}
        for source in sources:
            own = inside.setdefault(source.class_name or "", set())
            own.add(class_name_of(Path(), tuple(source.name.split("/")), -1))
        shared = set.intersection(*inside.values())
        if len(shared) > 1 and not any(re.search(r"\d", name) for name in shared):
            return [
                f"the classes ({a_few(names)}) are numbers, and each holds files such as "
                f"{a_few(shared)}: if these are the classes, say so with dataset.class_level=0"
            ]
    if all(map(SENSOR.fullmatch, names)):
        return [f"the classes ({a_few(names)}) look like sensors; if they are, {or_column}"]
    fields = [_parts_of(name) for name in names]
    if len({len(own) for own in fields}) == 1:
        values = [sorted(set(own)) for own in zip(*fields, strict=True)]
        several = [k for k, own in enumerate(values) if len(own) > 1]
        if len(several) > 1 and len(names) == math.prod(len(values[k]) for k in several):
            told = " and ".join(f"{k + 1} ({a_few(values[k])})" for k in several)
            return [
                f"the classes ({a_few(names)}) put together parts {told} of the "
                f"{'folders' if by_folder else 'files'}' names; if one of them alone is the class, "
                f"take it with {at_level}dataset.class_part={several[0] + 1} or {several[-1] + 1}"
            ]
    stems: dict[str, list[str]] = {}
    for name in names:
        stem = re.sub(r"[-_ ]*(?:\d+|\(\d+\))$", "", name)
        stems.setdefault(stem, []).append(name)
    if len(stems) > 1 and all(stems) and min(map(len, stems.values())) > 1:
        letters = None if by_folder else _letters_of(sources)
        remedy = (
            f"say {at_level}dataset.class_part=1"
            if by_folder and all(_parts_of(own)[0] in stems for own in names)
            else "put their recordings into one folder" if by_folder
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
            return [
                f"each class ({a_few(names)}) has one recording; if what stands before the last "
                f"part of the name is the class ({a_few(heads)}), take it with "
                f"{at_level}'dataset.class_part=\"(.*)_\"'"
            ]
    return []


def _class_in_files(sources: Sequence[Source]) -> str:
    """The words that take what all people have of the files' names as the class, the first part of
    which there are several."""
    fields = [_parts_of(stem_of(source.name.rsplit("/", 1)[-1])) for source in sources]
    people = {source.class_name for source in sources}
    plain = all(len(parts) == 1 for parts in fields)  # walk1
    if plain:
        fields = [[re.sub(r"\d+$", "", parts[0])] for parts in fields]
    for k in range(min(map(len, fields))):
        own: dict[str, set[str | None]] = {}
        for parts, source in zip(fields, sources, strict=True):
            own.setdefault(parts[k], set()).add(source.class_name)
        words = not any(map(str.isdigit, own)) and not any(map(PERSON.fullmatch, own))
        if 1 < len(own) < len(sources) and words and all(seen == people for seen in own.values()):
            return (
                f"and the files' names say the class ({a_few([*own])}), take it with "
                f"dataset.class_level=0 {'' if plain else f'dataset.class_part={k + 1} '}"
                "dataset.groups=1"
            )
    return ""


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
