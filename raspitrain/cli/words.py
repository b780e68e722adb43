"""The words of a command as people type them, before Hydra reads them: what it would take for
something else is put right where that can be done without a guess, or refused with what to type.
"""

import functools
import os
import re
import shlex
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from raspitrain.cli.ranks import AUTO
from raspitrain.config.overrides import OPTIONS, config_folders, split_override
from raspitrain.config.rule import Rule
from raspitrain.config.rules import COMPONENTS, RULES, rules_of
from raspitrain.data.files.endings import ARRAYS, HOLD_ARRAYS, MAY_HOLD_ARRAYS
from raspitrain.errors import InputError, reason, refuse_address
from raspitrain.nearest import did_you_mean
from raspitrain.paths import config_folder, expanded, options_of
from raspitrain.stop import say

SEARCH_PATH, IN_SEARCH_PATH = "hydra.searchpath=", r"file://([^],'\"]+)"
SWEEPING = ("--multirun", "-m")
TAKE_A_WORD = (
    *OPTIONS,
    "--cfg",
    "-c",
    "--package",
    "-p",
    "--info",
    "-i",
    "--shell-completion",
    "-sc",
)
# What other programs call it.
ELSEWHERE = {
    "batch": "batch_size", "bs": "batch_size", "checkpoint": "resume", "ckpt_path": "resume",
    "classes": "dataset.num_classes",
    "cuda": "hardware.device", "data": "dataset", "data_dir": "dataset.path",
    "data_path": "dataset.path", "directory": "dataset.path", "early_stopping": "patience",
    "folder": "dataset.path", "fs": "dataset.rate", "gpu": "hardware.device",
    "input": "dataset.path", "learning_rate": "optimizer.lr", "max_epochs": "epochs",
    "n_epochs": "epochs",
    "num_epochs": "epochs", "num_workers": "hardware.num_threads", "out": "hydra.run.dir",
    "output": "hydra.run.dir", "output_dir": "hydra.run.dir", "overlap": "dataset.stride",
    "random_state": "seed", "sample_rate": "dataset.rate", "sampling_rate": "dataset.rate",
    "scheduler": "schedule", "test_size": "split.test", "threads": "hardware.num_threads",
    "val_split": "split.validation", "validation_split": "split.validation",
    "window": "dataset.length", "window_size": "dataset.length", "workers": "hardware.num_threads",
}  # fmt: skip
# What options are called elsewhere, by group.
OPTIONS_ELSEWHERE = {
    "dataset": {
        **dict.fromkeys(("csv", "wav", "edf", "wfdb", "mat", "parquet", "folder"), "recordings"),
        "numpy": "npy", "h5": "npz", "hdf5": "npz", "uea": "ucr", "arff": "ucr", "ts": "ucr",
    },
    "hardware": {
        "gpu": "cuda", "pc": "desktop", "cpu": "auto",
        **{f"{name}{k}": f"raspberrypi{k}" for name in ("pi", "rpi") for k in (3, 4, 5)},
    },
}  # fmt: skip
FOLDERS_TO_BE = ("hydra.run.dir", "hydra.sweep.dir")
TEXTS = ("dataset.path", "dataset.name", "hydra.run.dir", "hydra.sweep.dir")
READ_OTHERWISE = re.compile(r"[\d_.e+-]+|true|false|nan|inf", re.IGNORECASE)
TAKES_TEXT = re.compile(r"(?!.*,)(?!.*\$\{)[^\s\[{\"'].*")  # a value that can be meant in one way


def as_meant(words: Sequence[str]) -> list[str]:
    """The same words, a value that needs quotes in them.

    Raises
    ------
    InputError
        A word will be read in another way than it was meant, or not at all.
    """
    words = list(words)
    if "--hydra-help" in words:
        return ["--hydra-help"]
    parser = OverridesParser.create()
    sweeps = bool(set(SWEEPING) & set(words))
    goes_on = any(word.startswith("resume=") for word in words)
    for k, word in enumerate(words):
        if word.startswith("-") or (k and words[k - 1] in TAKE_A_WORD):
            continue
        if "=" not in word:
            if not goes_on:
                _check_lone(words, k)
        elif word.startswith("="):
            raise InputError(f"{word!r}: leave out the blanks around =, as in key{word}.")
        else:
            _check_choice(word)
            _check_decimal(word, sweeps)
            words[k] = _quoted(parser, word)
    if not goes_on or AUTO in words:
        _check_folders(words)
    return words


def path_as_words(words: Sequence[str]) -> list[str]:
    """For a command that looks at one data set: a file or folder that is named alone, as the words
    that a run takes for it, which are told.

    Raises
    ------
    InputError
        There is no such file, or it is not the only one that is named.
    """
    words = list(words)
    lone = [
        k
        for k, word in enumerate(words)
        if word and word[0] not in "-+~" and ("=" not in word or _is_path(word))
        if not k or words[k - 1] not in TAKE_A_WORD
    ]
    if not lone:
        return words
    path = words.pop(lone[0])
    if not os.path.lexists(path):
        refuse_address(path)
        sentence = key_alone(path, words[lone[0] :])
        raise InputError(sentence or f"{path}: there is no such file or folder, nor is it a key.")
    keys = {split_override(word).key for word in words}
    if len(lone) > 1 or "dataset.path" in keys:
        raise InputError(f"{path} is not the only data set that is named: give one.")
    meant = [word for word in _words_for(Path(path)) if split_override(word).key not in keys]
    say(f"{path} is taken as {shlex.join(meant)}")
    return [*meant, *words]


def _is_path(word: str) -> bool:
    """Whether a word with a = in it is a file or folder, and no key and its value."""
    return known_as(word.partition("=")[0]) is None and os.path.lexists(word)


def _words_for(path: Path) -> list[str]:
    """Of the data sets that are known by their files' names the one, else recordings."""
    folder = path.parent if path.name == "data.npy" else path
    if any((folder / name).is_file() for name in ARRAYS):
        return ["dataset=npy", _path_word(folder)]
    inside = list(islice(path.glob("*"), 2))
    if len(inside) == 1 and inside[0].suffix.lower() in HOLD_ARRAYS:
        path = inside[0]
    if path.suffix.lower() in MAY_HOLD_ARRAYS:
        return ["dataset=npz", _path_word(path)]
    archive = [path] if path.suffix == ".ts" else list(path.glob("*_TRAIN.ts"))
    if not archive:  # one case a row, the label in front, as the archive has them too
        trains = [*path.glob("*_TRAIN.tsv"), *path.glob("*_TRAIN.txt"), *path.glob("*_TRAIN.arff")]
        archive = [file for file in trains if _test_of(file).is_file()]
    if len({file.stem for file in archive}) == 1:
        name = re.sub("_(TRAIN|TEST)$", "", archive[0].stem)
        return ["dataset=ucr", f"dataset.name={name}", _path_word(archive[0].parent)]
    return ["dataset=recordings", _path_word(path)]


def _test_of(train: Path) -> Path:
    return train.with_name(f"{train.stem.removesuffix('TRAIN')}TEST{train.suffix}")


def _path_word(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    plain = re.fullmatch(r"[\w./-]+", text) and text.lower() != "null"
    return f"dataset.path={text}" if plain else f'dataset.path="{text}"'


def _check_lone(words: Sequence[str], k: int) -> None:
    """A word without = that would have been a key or a value."""
    before = words[k - 1] if k else ""
    if before.endswith("=") and not before.startswith("-"):
        raise InputError(
            f"{before} {words[k]}: leave out the blank, as in {before}{words[k]}; a value with a "
            f"blank in it needs quotes, as in '{before}\"a b\"'."
        )
    if (sentence := key_alone(words[k], words[k + 1 :])) is not None:
        raise InputError(sentence)


def key_alone(word: str, following: Sequence[str] = ()) -> str | None:
    """What to say of a key without =value; None where the word is no key."""
    found = re.fullmatch(r"([\w./]*)([:= ]?)(.*)", word, re.S)
    assert found is not None, "any word is one"
    key, sign, value = found.groups()
    name = known_as(key)
    if name is None:
        group, _, option = key.partition(".")
        if option and (config_folder() / group / f"{option}.yaml").is_file():
            return f"{word!r} cannot be read: write key=value, as in {group}={option}."
        return None
    after = "".join(following[:2] if following[:1] == ["="] else following[:1])
    value = value.strip() if sign else after.lstrip("=")
    shown = value if value and not value.startswith("-") and "=" not in value else "VALUE"
    return f"{word!r} cannot be read: write key=value, as in {name}={shown}, without a blank."


def known_as(word: str) -> str | None:
    """The key or group that a word names, though perhaps with -, without its group, or as other
    programs call it."""
    name = word.strip("-+~").replace("-", "_")
    if name in every_key() or name in _groups() or name == "hydra.run.dir":
        return name
    folded = name.lower()
    for own in (folded, folded.rsplit(".", 1)[-1]):  # also trainer.max_epochs
        if own in ELSEWHERE:
            return ELSEWHERE[own]
    if folded in every_key() or folded in _groups():
        return folded
    tails = [key for key in every_key() if key.rsplit(".", 1)[-1] == folded and "." not in name]
    return tails[0] if len(tails) == 1 else None


def option_as_key(message: str, words: Sequence[str]) -> str:
    """What to do about options that argparse does not know, as key=value; "" if that is unclear."""
    unknown = message.partition("unrecognized arguments: ")[2].split()
    if not unknown or not unknown[0].startswith("-"):
        return ""
    name, _, value = unknown[0].partition("=")
    key = known_as(name)
    if key is None:
        return ""
    following = words[words.index(name) + 1 :][:1] if name in words else []
    value = value or next((w for w in following if "=" not in w and w[:1] != "-"), "VALUE")
    return f"; write {key}={value}, without {'--' if name.startswith('--') else '-'}."


@functools.cache
def every_key() -> dict[str, Rule]:
    """Each key that some option of some group has, and what it may be."""
    keys = dict(RULES)
    for group in COMPONENTS:
        for file in sorted((config_folder() / group).glob("*.yaml")):
            target = re.search(r"^_target_: *(\S+)", file.read_text(encoding="utf-8"), re.M)
            if target is not None:
                keys = rules_of({group: {"_target_": target[1]}, "allowed_targets": []}) | keys
    return keys


def _groups() -> list[str]:
    return sorted(path.name for path in config_folder().iterdir() if path.is_dir())


def _check_choice(word: str) -> None:
    """group=option where the option is none, or Hydra's way of choosing is another."""
    given = split_override(word)
    group, value = given.key, given.value
    if group in ("hydra/launcher", "hydra/sweeper") and value == "basic":
        raise InputError(
            f"{word} is Hydra's own, which keeps no job apart from the next: leave it out."
        )
    if group == "hydra.sweep.subdir":
        raise InputError(
            "hydra.sweep.subdir is not read: jobs are called after what is swept; the sweep's "
            "folder is given by sweep_name or hydra.sweep.dir."
        )
    if group == "resume" and given.sign:
        raise InputError(f"{word}: leave the {given.sign} out, as in resume={value}.")
    if group.split("@")[0] not in _groups() or group.split("@")[0] == "hydra":
        return
    if given.sign in ("+", "++") and group not in ("tracker", "sweep", "experiment"):
        raise InputError(f"{word}: {group} is there already: leave the {given.sign} out.")
    if given.sign in ("+", "++"):
        raise InputError(f"{word}: leave the {given.sign} out, as in {group}={value}.")
    looks_like_path = re.search(r"[/\\]|^\.|\.(csv|tsv|npy|npz|wav|txt|ts|ya?ml)$", value)
    if looks_like_path and "," not in value:
        if group == "dataset":
            raise InputError(
                f"{word}: dataset is the kind of data ({', '.join(options_of(group))}), and where "
                f"they lie is dataset.path, as in dataset=recordings dataset.path={value}."
            )
        raise InputError(
            f"{word}: {group} must be the name of an option, without folder and ending; YAML of "
            f"your own goes into FOLDER/{group}/ and is used with --config-dir FOLDER."
        )
    if value.lower() in ("null", "none") and value not in options_of(group):
        near = "none" if "none" in options_of(group) else ", ".join(options_of(group))
        if group not in ("tracker", "sweep", "experiment"):
            raise InputError(f"{word}: {group} must be the name of an option: {near}.")


def _check_decimal(word: str, sweeps: bool) -> None:
    """0,001 is read as two values, and meant as one where its second begins with a zero."""
    key, value = split_override(word).key, split_override(word).value
    match = re.fullmatch(r"([+-]?\d+),(\d+)((?:e[+-]?\d+)?(?:ms|s|%)?)", value)
    if match is None:
        return
    one, two, ending = match.groups()
    rule = every_key().get(key)
    is_whole = rule is not None and not rule.allows(0.5) and not rule.allows("0.5s")
    if sweeps and not (len(two) > 1 and two.startswith("0")) and not ending:
        return
    if ending or (not is_whole and (one.lstrip("+-") == "0" or two.startswith("0"))):
        in_seconds = rule is not None and not rule.allows(0.5) and not rule.allows("word")
        meant = f"{one}.{two}{ending or ('s' if in_seconds else '')}"
        raise InputError(
            f"{word} gives two values, {one} and {two}{ending}: a decimal point is a point, as in "
            f"{key}={meant}"
            f"{'' if sweeps else '; to run one after the other, add --multirun'}."
        )


def _quoted(parser: OverridesParser, word: str) -> str:
    """The word, with quotes around a value that can only be a text."""
    key, _, value = word.partition("=")
    if key in FOLDERS_TO_BE and value.startswith("~"):
        value = str(expanded(value))
        word = f"{key}={value}"
    if key in TEXTS and READ_OTHERWISE.fullmatch(value):  # a folder 2024, 1_1 or true
        return f'{key}="{value}"'
    try:
        parser.parse_override(word)
        return word
    except HydraException:
        pass
    if TAKES_TEXT.fullmatch(value) is None or not _is_text(value):
        return word
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    try:
        parser.parse_override(f'{key}="{quoted}"')
    except HydraException:
        return word
    return f'{key}="{quoted}"'


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return value.isprintable()


def _is_of_another_locale(value: str) -> bool:
    """Whether bytes that Python could not read as text are text in UTF-8."""
    try:
        return value.encode("utf-8", "surrogateescape").decode().isprintable()
    except UnicodeError:
        return False


def needs_quotes(word: str) -> str:
    """What stands after "cannot be read: write key=value" for a word that the parser refused."""
    key, equals, value = word.partition("=")
    if word.startswith(("\u2013", "\u2014", "\u2212")):
        return f"; it begins with {word[0]}, as copied text has it, where - or -- is meant"
    if not equals:
        return (
            "; a value with a blank in it needs quotes within those of the shell, and several are "
            "a list without blanks, as in dataset.columns=[x,y]"
        )
    if not _is_text(value):
        if _is_of_another_locale(value):
            return (
                "; what stands there is UTF-8, which Python does not read in this locale (LC_ALL, "
                "LANG): start with PYTHONUTF8=1 in the environment"
            )
        bad = next(sign for sign in value if not _is_text(sign))
        if bad == "\r":
            return (
                "; it ends with a carriage return, as the lines of a script written on Windows do: "
                "take them out of it with sed -i 's/\\r$//' SCRIPT"
            )
        if bad.isspace() and bad != "\n":
            return f"; {bad!r} is no plain blank, as in copied text: type it anew"
        named = "no UTF-8" if "\udc80" <= bad <= "\udcff" else f"not a sign of a text ({bad!r})"
        return f"; what stands there is {named}: give the file or folder another name"
    listed = re.fullmatch(r"[\[({](.*)[\])}]", value, re.S)
    if listed and "list" in getattr(every_key().get(key), "right", ""):
        entries = [entry.strip().strip("\"'") for entry in listed[1].split(",")]
        if value[0] != "[" and all(re.fullmatch(r"[\w.+-]+", entry) for entry in entries):
            return f"; a list stands in square brackets, as in {key}=[{','.join(entries)}]"
        shown = ",".join(f'"{entry}"' for entry in entries)
        return f"; a list with odd signs needs quotes around each value, as in '{key}=[{shown}]'"
    if value.endswith(","):
        return "; leave out the blank behind the comma, or the comma"
    if any(value.count(a) != value.count(b) for a, b in ("[]", "{}", "()")):
        return "; a bracket in the value is not closed"
    odd = next((sign for sign in value if not re.match(r"[\w./:%@*?\\$+-]", sign)), None)
    if odd is None or '"' in value or (key in every_key() and not every_key()[key].allows("a.b")):
        return ""
    shown = f"'{key}=\"{value}\"'" if len(value) < 80 and value.isprintable() else "'key=\"value\"'"
    return f"; because of the {odd!r} the value needs quotes within those of the shell, as {shown}"


def _check_folders(words: Sequence[str]) -> None:
    """YAML of the user's own with the name of one of ours would never be read."""
    ours = config_folder()
    searched = [word for word in words if word.lstrip("+").startswith(SEARCH_PATH)]
    for folder, key in (
        *((folder, "--config-dir") for folder in config_folders(words)),
        *((f, SEARCH_PATH[:-1]) for word in searched for f in re.findall(IN_SEARCH_PATH, word)),
    ):
        try:
            os.listdir(folder)
        except OSError as error:  # Hydra would go on without it, or not say what it is
            raise InputError(
                f"{folder}, which {key} names, cannot be read: {reason(error)}; give the "
                "folder that holds experiment/NAME.yaml."
            ) from None
        for file in sorted(Path(folder).rglob("*.yaml"))[:1000]:
            own = ours / os.path.relpath(file, folder)
            try:
                if not own.is_file() or own.read_bytes() == file.read_bytes():
                    continue
            except OSError:
                continue
            name = own.relative_to(ours).with_suffix("")
            kind = f", and choose it with {name.parent}=NAME" if name.parent != Path() else ""
            raise InputError(
                f"{file} has the name of one of raspitrain's own, which would be read in its "
                f"place: rename it{kind}."
            )


def keys_elsewhere(key: str) -> str | None:
    """A sentence for a key that another option of its group has; None where none has."""
    group, _, rest = key.partition(".")
    if not rest or group not in _groups():
        return None
    have = [
        option
        for option in options_of(group)
        if re.search(
            rf"^{re.escape(rest.split('.')[0])}:",
            (config_folder() / group / f"{option}.yaml").read_text(encoding="utf-8"),
            re.M,
        )
    ]
    if not have or len(have) == len(options_of(group)):
        return None
    first = "recordings" if "recordings" in have else have[0]
    every = ", ".join(have)
    return (
        f"{key} is a key of {group}={every if len(have) > 1 else have[0]}, and another {group} is "
        f"chosen: add {group}={first}{' (or another of these)' if len(have) > 1 else ''}."
    )


def said_elsewhere(key: str, known: Sequence[str]) -> str:
    """ "; did you mean …?" for a key that is none."""
    name = known_as(key)
    if name is not None and name != key:
        return f"; did you mean {name}?"
    return did_you_mean(key, known) or "; --cfg job shows all keys."
