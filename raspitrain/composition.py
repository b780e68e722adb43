"""What is checked of a composed configuration before anything heavy is imported."""

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from raspitrain.errors import InputError
from raspitrain.rules import check


def check_composition(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Hold a configuration, and the words that led to it, against the rules; or InputError."""
    check_given_once(overrides)
    try:
        config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=False)
    except RecursionError as error:
        raise InputError("The configuration refers to itself, or is nested too deeply.") from error
    except OmegaConfBaseException as error:
        where = f"{error.full_key}: " if error.full_key else ""
        raise InputError(f"{where}{first_line(error)}.") from error
    assert isinstance(config, dict)
    check({str(name): value for name, value in config.items()})


def check_given_once(overrides: Sequence[str]) -> None:
    """No key stands in the command twice, or InputError."""
    keys = given_keys(overrides)
    for key in keys:
        if keys.count(key) > 1:
            raise InputError(f"{key} is given {keys.count(key)} times: give it once.")


def given_keys(overrides: Sequence[str]) -> list[str]:
    """What the words of a command are about."""
    return [override.lstrip("+~").split("=")[0] for override in overrides]


def first_line(error: BaseException) -> str:
    """The first line of the error's own words, or of its cause where it has none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines and error.__cause__ is not None:
        return first_line(error.__cause__)
    return lines[0].rstrip(".") if lines else type(error).__name__
