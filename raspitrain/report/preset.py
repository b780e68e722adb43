"""A setting to use again: a line of overrides to paste, and a YAML for --config-dir.

python -m raspitrain --config-dir SWEEP/best experiment=fastest

The words are those that were typed. Their values in the YAML are taken from the configuration that
the job ran with, so that nothing of Hydra's grammar is read a second time here.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raspitrain.config.overrides import (
    Override,
    config_folders,
    config_options,
    split_override,
)
from raspitrain.errors import InputError
from raspitrain.report.answer import REPETITIONS, Setting, repeated
from raspitrain.report.jobs import SweepReport, job_folder
from raspitrain.report.read import read_yaml
from raspitrain.results.atomic import write_atomic

# Of the sweep, not of the setting.
OF_THE_SWEEP = ("sweep", "sweep_name", "task", "throughput", "launcher")
ON_THE_COMMAND_LINE = ("allowed_targets",)  # no file can allow itself code
MISSING = object()


def setting_overrides(sweep: SweepReport, setting: Setting) -> list[str]:
    """The overrides of a setting without those of the sweep, and without a seed that was swept."""
    repetitions = (*REPETITIONS, "split.folds") if repeated(sweep.swept) else ()
    left_out = (*OF_THE_SWEEP, *repetitions)
    keys = [split_override(word).key for word in setting.jobs[0].overrides]
    return [
        word
        for key, word in zip(keys, setting.jobs[0].overrides, strict=True)
        if key not in left_out and key.split(".")[0].split("/")[0] not in left_out
    ]


def command_line(sweep: SweepReport, overrides: Sequence[str]) -> str:
    """The command that runs one setting, ready for a shell."""
    words = ["python", "-m", "raspitrain", *config_options(sweep.command), *overrides]
    return shlex.join(words)


def preset_line(folder: str, name: str, sweep: SweepReport, overrides: Sequence[str]) -> str:
    """The command that runs the experiment `name` in `folder`, ready for a shell."""
    words = ["python", "-m", "raspitrain", "--config-dir", folder, f"experiment={name}"]
    own = [os.path.abspath(path) for path in config_folders(sweep.command)]
    if own:
        # There is room for one --config-dir, and the file names options of the user's own.
        words.append(f"hydra.searchpath=[{','.join(f'file://{path}' for path in own)}]")
    words += [word for word in overrides if split_override(word).key in ON_THE_COMMAND_LINE]
    return shlex.join(words)


def write_preset(
    path: Path, sweep: SweepReport, setting: Setting, overrides: Sequence[str]
) -> None:
    """Write `overrides` as an experiment file that Hydra composes to the same configuration."""
    job = setting.finished[0]
    # On a board data lie where they do not here.
    name = "config.yaml" if job.host is None else "job.yaml"
    try:
        config = read_config(job_folder(sweep.folder, job.folder) / name, sweep.folder)
    except InputError:
        config = {}
    write_atomic(path, preset(overrides, config).encode("utf-8", "backslashreplace"))


def read_config(path: Path, within: Path) -> dict[str, Any]:
    """Read a run's config.yaml.

    Raises
    ------
    InputError
        It is missing, elsewhere, too large or damaged.
    """
    content = read_yaml(path, within)
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged: it does not hold a configuration")
    return content


def preset(overrides: Sequence[str], config: Mapping[str, Any]) -> str:
    """The text of the experiment file.

    Parameters
    ----------
    overrides : as typed
    config : what they composed to; the values are looked up in it
    """
    defaults: list[Any] = []
    values: dict[str, Any] = {}
    left: list[str] = []
    for word in overrides:
        override = split_override(word)
        if override.sign == "~" or override.key in ON_THE_COMMAND_LINE:
            left.append(word)
        elif override.key == "experiment":
            defaults.insert(0, override.value)  # of the same group as this file
        elif _is_group(override, config):
            name = override.key if override.key.startswith("/") else f"/{override.key}"
            defaults.append({f"override {name}" if not override.sign else name: override.value})
        else:
            value = _look_up(config, override.key.partition("@")[0])
            if value is MISSING:
                left.append(word)
            else:
                _put(values, override.key.split("."), value)
    lines = ["# @package _global_", "# The overrides " + " ".join(map(_one_line, overrides))]
    if left:
        lines.append("# Not in this file, add to the command: " + " ".join(map(_one_line, left)))
    if defaults:
        lines.append(_as_yaml({"defaults": [*defaults, "_self_"]}))
    if values:
        lines.append(_as_yaml(values))
    return "\n".join(lines) + "\n"


def _as_yaml(value: Mapping[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes whatever does not begin like a word: Hydra takes 1e-3 for a number, YAML not."""

    def word(dumper: yaml.SafeDumper, words: str) -> Any:
        style = None if words[:1].isalpha() or words[:1] in ("_", "/") else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", words, style=style)

    Dumper.add_representer(str, word)
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 1000}
    return str(yaml.dump(dict(value), Dumper=Dumper, **options)).rstrip()


def _is_group(override: Override, config: Mapping[str, Any]) -> bool:
    """Whether the word chose a file: only a file makes a mapping of a plain word."""
    if "/" in override.key or "@" in override.key:
        return True
    if "." in override.key or override.value[:1] in ("{", "[", "'", '"', ""):
        return False
    return isinstance(_look_up(config, override.key), dict)


def _look_up(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return MISSING
        value = value[part]
    return value


def _put(values: dict[str, Any], parts: Sequence[str], value: Any) -> None:
    for part in parts[:-1]:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            return  # a later word went deeper into a value given whole
        values = inner
    values[parts[-1]] = value


def _one_line(word: str) -> str:
    return shlex.quote(" ".join(word.split()))
