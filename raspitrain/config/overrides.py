"""The words of a command: key=value, as a person types them and as a run's folder keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass

from raspitrain.errors import InputError

# Keys that count on the command line alone: what they say is run, or decides where results land.
COMMAND_LINE_ONLY = ("allowed_targets", "hardware.readings.vcgencmd", "resume", "hydra")
FOLDERS = ("--config-dir", "-cd")
OPTIONS = (*FOLDERS, "--config-name", "-cn", "--config-path", "-cp")


@dataclass(frozen=True)
class Override:
    """key=value as typed; `sign` is the "+", "++" or "~" before it."""

    sign: str
    key: str
    value: str


def split_override(word: str) -> Override:
    key, _, value = word.partition("=")
    name = key.lstrip("+~")
    return Override(key[: len(key) - len(name)], name, value)


def given_keys(words: Sequence[str]) -> list[str]:
    """What the words of a command are about."""
    return [split_override(word).key for word in words]


def check_given_once(words: Sequence[str]) -> None:
    """No key stands in the command twice, or InputError."""
    keys = given_keys(words)
    for key in keys:
        if keys.count(key) > 1:
            raise InputError(f"{key} is given {keys.count(key)} times: give it once.")


def check_preset(key: str) -> None:
    """InputError if a preset of a sweep, which is a file, would give what only a command may."""
    name = split_override(key).key.split("@")[0]
    if name in COMMAND_LINE_ONLY or name.split("/")[0].split(".")[0] == "hydra":
        raise InputError(
            f"hydra.sweeper.params may not give {name}: it counts on the command line alone."
        )


def config_options(words: Sequence[str]) -> list[str]:
    """--config-dir and its like among the words of a command."""
    options: list[str] = []
    for k, word in enumerate(words):
        if word in OPTIONS:
            options += words[k : k + 2]
        elif word.startswith(tuple(f"{name}=" for name in OPTIONS)):
            options.append(word)
    return options


def config_folders(words: Sequence[str]) -> list[str]:
    """What --config-dir names among the words of a command."""
    folders = []
    for word, following in zip(words, [*words[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        if name in FOLDERS and (equals or following):
            folders.append(value if equals else following)
    return folders
