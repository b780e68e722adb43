"""The shipped choices of dataset and augment fit the functions that they name."""

import importlib
import inspect
from pathlib import Path

import pytest
from omegaconf import MISSING, OmegaConf

from raspitrain.cli.main import config_folder
from raspitrain.config.build import FOR_OTHERS

FILES = sorted(
    file for group in ("dataset", "augment") for file in Path(config_folder(), group).glob("*.yaml")
)
GIVEN_BY_THE_USER = {"path", "name"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}={file.stem}")
def test_a_choice_names_every_parameter_and_only_those(file):
    choice = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    module, _, name = choice.pop("_target_").rpartition(".")
    signature = inspect.signature(getattr(importlib.import_module(module), name))
    parameters = set(signature.parameters)
    if choice.pop("_partial_", False):
        parameters -= {"signals", "generator"}
    for key in FOR_OTHERS.get(file.parent.name, ()):
        choice.pop(key)
    assert set(choice) == parameters
    defaults = [p.name for p in signature.parameters.values() if p.default is not p.empty]
    assert defaults == []  # they live in the YAML alone
    assert {key for key, value in choice.items() if value == MISSING} <= GIVEN_BY_THE_USER


def test_all_choices_are_there():
    assert [file.stem for file in FILES] == [
        *("none", "standard"),
        *("npy", "npz", "random", "recordings", "rows", "synthetic", "ucr"),
    ]
