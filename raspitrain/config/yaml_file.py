"""What a YAML file from elsewhere may hold: text, in plain values, as many as a person would write.

Looked at before it is read for good, so that reading it runs no code and ends soon.
"""

import functools
import re
from pathlib import Path
from typing import Any

import yaml
from omegaconf._utils import get_yaml_loader

from raspitrain.errors import InputError

LARGEST_FILE = 256 << 10  # bytes
MOST_VALUES = 20_000  # once every alias is written out
DEEPEST = 40
PLAIN = {
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "int", "float", "bool", "null", "seq", "map", "merge", "value")
}
# YAML 1.1 takes 010 for eight, and 1:30 for ninety.
NOT_DECIMAL = re.compile(r"[-+]?(0[0-7_]*[0-7]|[0-9_]+(:[0-5]?[0-9])+(\.[0-9_]*)?)")
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def check_file(path: Path, *, keys: bool) -> None:
    """Refuse a YAML file that is not text, holds more than plain values, or unfolds without end.

    Parameters
    ----------
    keys : whether it must hold keys with values, as a configuration does
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a file.")  # a pipe would be waited for
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None
    if len(data) > LARGEST_FILE:
        raise InputError(
            f"{path} is larger than {LARGEST_FILE >> 10} kB, which no configuration needs; data "
            "belongs into files of its own."
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8: {error.reason} at {error.start}.") from None
    try:
        node = yaml.compose(text, Loader=_loader())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise InputError(
            f"{path}{where}: {error.problem or error.context}; fix the YAML."
        ) from None
    except yaml.YAMLError as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{path} is not YAML: {first}.") from None
    except RecursionError:
        raise InputError(f"{path} is nested too deeply: use fewer levels.") from None
    if keys and text.startswith("\ufeff"):
        raise InputError(
            f"{path} begins with a byte order mark, as editors on Windows write it, and what its "
            "first line says would not be read: save it as UTF-8 without one."
        )
    if node is None:
        return
    if keys and not isinstance(node, yaml.MappingNode):
        raise InputError(f"{path} must hold keys with values, such as epochs: 30.")
    if keys:
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and "." in key.value:
                first, *rest = key.value.split(".")
                raise InputError(
                    f"{path}, line {key.start_mark.line + 1}: {key.value} is a key of the command "
                    f"line; in YAML each stands below the other: {first}: {{{': {'.join(rest)}: "
                    f"VALUE{'}' * len(rest)}."
                )
    _measure(node, path, {}, ())


@functools.cache
def _loader() -> Any:
    return get_yaml_loader()  # as the file will be read


def _measure(node: yaml.Node, path: Path, known: dict[int, int], above: tuple[int, ...]) -> int:
    """How many values the node stands for, each alias written out."""
    if id(node) in known:
        return known[id(node)]
    line = node.start_mark.line + 1
    if id(node) in above:
        raise InputError(f"{path}, line {line}: a value that contains itself; fix the YAML.")
    if len(above) > DEEPEST:
        raise InputError(f"{path}, line {line} is nested too deeply: use fewer levels.")
    if node.tag not in PLAIN:
        raise InputError(
            f"{path}, line {line}: the tag {node.tag} is not allowed, as a configuration holds "
            "text, numbers, lists and keys alone."
        )
    if node.tag in NUMBERS and NOT_DECIMAL.fullmatch(node.value):
        raise InputError(
            f"{path}, line {line}: {node.value} is no decimal number to YAML, which would read it "
            f"as {yaml.safe_load(node.value)}; write it as one, or as text: '{node.value}'."
        )
    children: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        children = node.value
    elif isinstance(node, yaml.MappingNode):
        children = [child for pair in node.value for child in pair]
    total = 1
    for child in children:
        total += _measure(child, path, known, (*above, id(node)))
        if total > MOST_VALUES:
            raise InputError(
                f"{path}, line {line} stands for more than {MOST_VALUES} values once its aliases "
                "are written out; no configuration needs so many."
            )
    known[id(node)] = total
    return total
