"""The words of a command: key=value, as a person types them and as a run's folder keeps them.

A report needs words and not OmegaConf, so that is imported where it is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raspitrain.errors import InputError

if TYPE_CHECKING:
    from omegaconf import DictConfig

# Keys that let code or a program run: a run's folder cannot allow itself what they say, so whoever
# resumes the run gives them again.
ALLOWING = ("allowed_targets", "hardware.readings.vcgencmd")
# Keys that say to whom data and work are sent: no file from elsewhere decides that.
SENDING = (
    "launcher.boards", "launcher.ssh_config", "launcher.dask",
    "distributed.boards", "distributed.ssh_config",
)  # fmt: skip
# Keys that count on the command line alone: those, and what decides where results land.
COMMAND_LINE_ONLY = (*ALLOWING, *SENDING, "resume", "hydra")
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


def read_override(word: str) -> tuple[str, Any]:
    """The key and the value of a word that stands beside resume=, or InputError."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    override = split_override(word)
    hydras = override.key.split(".")[0] == "hydra"
    if hydras or "=" not in word or not override.key or override.sign or word[0] == "-":
        raise InputError(
            f"{word!r} has no place beside resume=: a run is resumed as it is, where it is, and "
            "takes key=value alone."
        )
    try:
        if "${" in override.value:
            raise ValueError("an interpolation")
        return override.key, OmegaConf.select(OmegaConf.from_dotlist([word]), override.key)
    except (OmegaConfBaseException, YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{word!r} cannot be read: write key=value.") from error


def allowing_words(cfg: "DictConfig") -> list[str]:
    """What a command that resumes this run must say again."""
    from raspitrain.config.profile import foreign_program

    words = []
    if cfg.allowed_targets:
        words.append(f"allowed_targets=[{','.join(cfg.allowed_targets)}]")
    if (program := foreign_program(cfg)) is not None:
        words.append(f"hardware.readings.vcgencmd={program}")
    return words


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
