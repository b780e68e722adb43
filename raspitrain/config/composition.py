"""What is checked of a composed configuration before anything heavy is imported."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from raspitrain.config.overrides import SENDING, check_given_once, given_keys
from raspitrain.config.profile import foreign_program, profile_values
from raspitrain.config.rules import COMPONENTS, SECTIONS, check, leaves
from raspitrain.config.targets import check_names
from raspitrain.config.yaml_file import check_file
from raspitrain.errors import InputError

MOST_GROWTH = 20_000  # how often interpolations may write a value out


def check_composition(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Hold a configuration, and the words that led to it, against the rules; or InputError."""
    check_given_once(overrides)
    keys = given_keys(overrides)
    for key, override in zip(keys, overrides, strict=True):
        if key in (*COMPONENTS, *SECTIONS) and override.partition("=")[2].startswith("["):
            raise InputError(
                f"{override} names several options: give {key} one, or add --multirun and leave "
                "the brackets out to run them one after another."
            )
    try:
        check_growth(OmegaConf.to_container(cfg, resolve=False))
        config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=False)
    except RecursionError as error:
        raise InputError("The configuration refers to itself, or is nested too deeply.") from error
    except OmegaConfBaseException as error:
        if (refused := input_error_in(error)) is not None:
            raise refused from None
        where = f"{error.full_key}: " if error.full_key else ""
        raise InputError(f"{where}{first_line(error)}.") from error
    assert isinstance(config, dict)
    plain = {str(name): value for name, value in config.items()}
    check(plain)
    check_trust(plain, keys)


def check_trust(config: Mapping[str, Any], typed: Collection[str]) -> None:
    """Hold what a configuration would run to what the command line itself has allowed.

    Parameters
    ----------
    config : plain, checked against the rules
    typed : keys that stand on the command line: what they say was somebody's own choice
    """
    if config["allowed_targets"] and "allowed_targets" not in typed:
        raise InputError(
            "allowed_targets lets a configuration run code, so it counts on the command line "
            "alone: add allowed_targets=[...] there."
        )
    key = "hardware.readings.vcgencmd"
    if key not in typed and (program := foreign_program(config)) is not None:
        ours = profile_values("auto")["readings.vcgencmd"]
        raise InputError(
            f"{key}={program} starts a program, so it counts on the command line alone: add it "
            f"there, or leave it at {ours}."
        )
    for name in SENDING:
        if dict(leaves(config)).get(name) is not None and name not in typed:
            raise InputError(
                f"{name} sends data and work to other machines, so it counts on the command line "
                "alone: add it there."
            )
    check_names("", config, config["allowed_targets"])
    for key, value in leaves(config):
        if "${" in str(value):
            # Whoever reads config.yaml later would resolve it once more.
            raise InputError(f"{key}: a value may not hold the letters ${{ once it is resolved.")


def load_checked(path: Path) -> Any:
    """A YAML file of a run's folder, which may come from a stranger."""
    check_file(path, keys=False)
    loaded = OmegaConf.load(path)
    check_growth(OmegaConf.to_container(loaded, resolve=False))
    return loaded


def check_growth(container: Any) -> None:
    """Refuse interpolations that would write each other out without end.

    Parameters
    ----------
    container : the configuration, interpolations unresolved
    """
    # Whatever refers to whatever: a string grows by as many as its references, a group by as many
    # as its values that refer.
    growth = 1

    def visit(value: Any) -> int:
        nonlocal growth
        if isinstance(value, str):
            references = value.count("${")
            growth *= max(1, references)
            return min(1, references)
        if isinstance(value, dict | list):
            referring = sum(map(visit, value.values() if isinstance(value, dict) else value))
            growth *= max(1, referring)
        return 0

    visit(container)
    if growth > MOST_GROWTH:
        raise InputError(
            "The configuration's interpolations refer to each other so often that they might "
            "never end: write the values out."
        )


def input_error_in(error: BaseException) -> InputError | None:
    """The sentence of a resolver of ours, where OmegaConf's error is about that."""
    while error.__cause__ is not None:
        error = error.__cause__
        if isinstance(error, InputError):
            return error
    return None


def first_line(error: BaseException) -> str:
    """The first line of the error's own words, or of its cause where it has none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines and error.__cause__ is not None:
        return first_line(error.__cause__)
    if len(lines) > 1 and lines[0].endswith(":"):
        return f"{lines[0]} {lines[1].rstrip('.')}"
    return lines[0].rstrip(".") if lines else type(error).__name__
