"""What Hydra, OmegaConf and the YAML reader complain of, in one sentence for the user."""

import errno
import os
import re
import traceback
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from raspitrain.cli.words import (
    OPTIONS_ELSEWHERE,
    every_key,
    keys_elsewhere,
    needs_quotes,
    said_elsewhere,
)
from raspitrain.config.composition import first_line, input_error_in
from raspitrain.config.overrides import config_folders
from raspitrain.config.rules import leaves
from raspitrain.errors import CAN_PASS, InputError, input_error, reason, remedy
from raspitrain.hardware.memory import is_out_of_memory, out_of_memory_error
from raspitrain.nearest import did_you_mean
from raspitrain.paths import config_folder
from raspitrain.results.configuration import plain


def mistake(error: Exception, arguments: list[str]) -> InputError | None:
    """What to tell the user; None if the fault is ours."""
    refused = error if isinstance(error, InputError) else input_error_in(error)
    if refused is not None:
        return refused
    if is_out_of_memory(error):
        return out_of_memory_error()
    sentence = _sentence(error, arguments)
    return None if sentence is None else input_error(sentence, error)


def _sentence(error: Exception, arguments: list[str]) -> str | None:
    """What the user did wrong, in one sentence; None if the fault is ours."""
    message = str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, option = error.missing_cfg_file.rpartition("/")
        if group:
            options = sorted(set(error.options) - (HYDRAS if group.startswith("hydra/") else set()))
            meant = OPTIONS_ELSEWHERE.get(group, {}).get(option)
            hint = f"; did you mean {meant}?" if meant else did_you_mean(option, options) or ";"
            return (
                f"{group}={option}: there is no such option{hint} "
                f"{group} may be {', '.join(options)}."
            )
    if isinstance(error, OverrideParseException):
        word = str(error.override)
        return f"{word!r} cannot be read: write key=value{needs_quotes(word)}."
    if found := re.search(r"Could not override '([^']*)'", message):
        return _unknown_key(found[1], arguments)
    if found := re.search(r"Ambiguous value for argument '([^']*)'", message):
        return _several_values(found[1])
    if found := re.search(r"Override (\S+) looks like a config group", message):
        return _unknown_key(found[1].split("=")[0].split("@")[0], arguments)
    if message.startswith("Config group override must be"):
        for argument in arguments:
            group, _, value = argument.lstrip("+").partition("=")
            if group in ("hydra", *known_keys([])) and (value in NOT_A_NAME or _is_number(value)):
                return f"{argument}: {group} must be the name of an option; --help lists them."
    if found := re.search(r"An item is already at '([^']*)'", message):
        return f"{found[1]} is there already: leave the + out."
    if found := re.match(r"Error merging override (.*)", message):
        why = f" ({first_line(error.__cause__)})" if error.__cause__ is not None else ""
        return f"{found[1]} does not fit there{why}; --cfg all shows what does."
    if "HydraConfig was not set" in message:
        return "${hydra:NAME} is not known yet where it is asked for: write ${hydra.NAME}."
    if "rimary config" in message:
        return (
            f"{first_line(error).rstrip('.')}; the main configuration is raspitrain's own: give "
            "the folder of your YAML with --config-dir, and choose from it with group=option."
        )
    if "Cannot merge DictConfig with ListConfig" in message and (
        found := re.match(r"In '([^']*)'", message)
    ):
        return _list_for_group(found[1], arguments)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return first_line(error)
    inside_hydra = _raised_inside_hydra(error)
    never_ours = {*CAN_PASS, errno.ENAMETOOLONG}
    if isinstance(error, FileNotFoundError) and error.filename is None and _is_here_gone():
        return "The folder that you are in is not there any more: cd into one that is."
    if isinstance(error, OSError) and (inside_hydra or error.errno in never_ours):
        folders = [os.path.abspath(folder) for folder in config_folders(arguments)]
        if str(error.filename).startswith(tuple(f"{folder}{os.sep}" for folder in folders)):
            return f"{error.filename} cannot be read: {reason(error)}."
        return (
            f"{error.filename or 'The run folder'}: {reason(error)}; "
            f"{remedy(error, 'give another hydra.run.dir, hydra.sweep.dir or file')}."
        )
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{mark.name}, line {mark.line + 1}: {error.problem}; fix the YAML."
    if isinstance(error, RecursionError):
        return "The configuration is nested too deeply to be read: use fewer levels."
    if isinstance(error, KeyError) and inside_hydra:
        return f"Hydra asks for {first_line(error)}, which is not there."
    return first_line(error) if inside_hydra else None


def _is_here_gone() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


# What stands where a group's option should, and is read as something else than a name.
NOT_A_NAME = ("null", "true", "false", "nan", "inf")


HYDRAS = {"basic"}  # launcher and sweeper that run nothing in a process of its own


def _several_values(word: str) -> str:
    key, _, value = word.partition("=")
    rule = every_key().get(key)
    right = "" if rule is None else rule.right
    if "list" in right:
        entries = value.replace("\\", "").strip("[]")
        return f"{word} is no list: write it in brackets, as in '{key}=[{entries}]'."
    several = f"{word} gives several values: add --multirun to run them one after another"
    is_text = rule is not None and rule.allows(value)
    return several + (f", or if the comma belongs to it, '{key}=\"{value}\"'." if is_text else ".")


def _list_for_group(name: str, arguments: list[str]) -> str:
    """A YAML of the user's has a list where keys belong; Hydra does not say which."""
    known = known_keys([])
    for folder in config_folders(arguments):
        file = Path(folder, f"{name}.yaml")
        content = OmegaConf.load(file) if file.is_file() else None
        if not isinstance(content, DictConfig):
            continue
        for key, value in leaves(plain(content, resolve=False)):
            below = [each for each in known if each.startswith(f"{key}.")]
            if isinstance(value, list) and below:
                return f"{file}: {key} is a list, but must hold keys, such as {below[0]}."
    return f"{name}: a list stands where keys belong."


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unknown_key(key: str, arguments: list[str]) -> str:
    if key.startswith("hydra.sweeper."):
        return _unknown_key_of_search(key, arguments)
    known = known_keys(arguments)
    if f"{key}={{" in " ".join(arguments):
        return f"{key}={{…}} cannot take the place of a group: set its keys one by one, {key}.KEY=…"
    if key in known:
        return f"{key} is not there any more: another part of the command removes its group."
    if "@" in key:
        return (
            f"{key} leads nowhere: the YAML that names it must begin with the line "
            "# @package _global_."
        )
    if (sentence := keys_elsewhere(key)) is not None:
        return sentence
    return f"{key} is not a key of this configuration{said_elsewhere(key, known)}"


def _unknown_key_of_search(key: str, arguments: list[str]) -> str:
    from raspitrain.sweep.search import RULES as SEARCH_RULES

    known = [f"hydra.sweeper.{name}" for name in SEARCH_RULES]
    if key in known and "hydra/sweeper=optuna" not in arguments:
        return f"{key} is for searches: add hydra/sweeper=optuna."
    near = did_you_mean(key.removeprefix("hydra.sweeper."), SEARCH_RULES, most=1)
    meant = (
        near.replace("mean ", "mean hydra.sweeper.") or f"; there are {', '.join(SEARCH_RULES)}."
    )
    return f"{key} is no key of a search{meant}"


def known_keys(arguments: list[str]) -> list[str]:
    """Groups and keys of the configuration that the command would compose without its mistakes."""
    folders = [f"file://{os.path.abspath(path)}" for path in config_folders(arguments)[-1:]]
    search_path = [f"hydra.searchpath=[{folders[0]}]"] if folders else []
    with hydra.initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        groups = [
            g
            for g in loader.list_groups("")
            if g != "hydra" and loader.get_group_options(g, ObjectType.CONFIG)
        ]
        choices = [a for a in arguments if a.split("=")[0] in groups and "," not in a]
        try:
            composed = hydra.compose("config", overrides=choices + search_path)
        except Exception:  # the choices hold another mistake
            composed = hydra.compose("config")
    keys = [key for key, _ in leaves(plain(composed, resolve=False))]
    keys += ["hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"]
    return groups + [key for key in keys if not key.split(".")[-1].startswith("_")]


def _raised_inside_hydra(error: Exception) -> bool:
    """Whether Hydra or what it reads with, and no code of ours, was at work."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        parts = Path(frame.filename).parts
        if {"hydra", "omegaconf", "yaml", "antlr4"} & set(parts[:-1]):
            return True
        if Path(__file__).parents[1] in Path(frame.filename).parents:
            return False
    return False
