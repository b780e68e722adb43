"""Hydra composes in five sixths of its time: what it finds out hundreds of times is kept, and
files of our own go through the parser of YAML that is written in C."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hydra.version
import yaml
from omegaconf import _utils
from omegaconf._utils import get_yaml_loader


def quicken() -> None:
    """From now on Hydra reads each version number that it compares with once."""
    number_of = hydra.version._get_version
    if not hasattr(number_of, "cache_info"):
        hydra.version._get_version = functools.cache(number_of)


@contextmanager
def quick_yaml() -> Iterator[None]:
    """For files of our own: of others' the parser in C words the faults in another way."""
    _utils.get_yaml_loader = _quick_loader
    try:
        yield
    finally:
        _utils.get_yaml_loader = get_yaml_loader


@functools.cache
def _quick_loader() -> Any:
    """OmegaConf's loader, with PyYAML's parser in C where there is one."""
    slow = get_yaml_loader()
    if not yaml.__with_libyaml__:
        return slow

    # OmegaConf makes its loader in a function: mypy sees no class to inherit from. CSafeLoader
    # would lack what that loader refuses (a key given twice) and resolves (1e-3 is a number).
    class Loader(yaml.cyaml.CParser, slow):  # type: ignore[misc, valid-type]
        def __init__(self, stream: Any) -> None:
            yaml.cyaml.CParser.__init__(self, stream)
            yaml.constructor.SafeConstructor.__init__(self)
            yaml.resolver.Resolver.__init__(self)

    return Loader
