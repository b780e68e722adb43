"""What a _target_ may name, and what it is given."""

import sys

import pytest
import torch
from omegaconf import OmegaConf

from raspitrain.config.build import build
from raspitrain.config.targets import resolve_target
from raspitrain.errors import InputError


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.eval",
        "subprocess.Popen",
        "torch.load",
        "torch.hub.load",
        "numpy.load",
        # Begin like ours, lead elsewhere.
        "raspitrain.cli.main.os.system",
        "raspitrain.data.cases.np.load",
        "raspitrain.training.training.torch.load",
        "torch.nn.modules.module.torch.load",
        "torch.nn.functional.torch.load",
        "torch.nn.modules.module.warnings.warn",
        "raspitrain.training.training.time.sleep",
        # Ours, and no component: it writes files.
        "raspitrain.results.atomic.write_atomic",
        "raspitrain",
        "",
    ],
)
def test_targets_outside_the_list_are_refused(name):
    with pytest.raises(InputError, match=r"model\._target_.*(not allowed|dotted name)"):
        resolve_target("model", name, ())


def test_nothing_is_imported_before_it_is_allowed():
    with pytest.raises(InputError):
        resolve_target("model", "antigravity.geohash", ())
    assert "antigravity" not in sys.modules


def test_nested_targets_are_held_to_the_list():
    node = OmegaConf.create(
        {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "os.getcwd"}]}
    )
    with pytest.raises(InputError, match=r"model\._args_\[0\]\._target_=os\.getcwd is not allowed"):
        build("model", node, [])


def test_the_user_adds_a_target_by_name():
    assert resolve_target("loss", "math.hypot", ["math.hypot"]) is sys.modules["math"].hypot


def test_a_mistyped_target_names_the_nearest():
    with pytest.raises(InputError, match=r"CrossEntropyLos does not exist.*CrossEntropyLoss"):
        resolve_target("loss", "torch.nn.CrossEntropyLos", ())


def test_an_unknown_parameter_names_the_nearest():
    node = OmegaConf.create({"_target_": "torch.optim.SGD", "_partial_": True, "momentun": 0.9})
    with pytest.raises(InputError, match=r"optimizer\.momentun is not a parameter.*momentum"):
        build("optimizer", node, [])


def test_what_the_target_does_not_take_is_not_forced_on_it():
    node = OmegaConf.create({"_target_": "torch.nn.CrossEntropyLoss", "label_smoothing": 0.1})
    loss = build("loss", node, [], train_labels=torch.zeros(3), num_classes=2)
    assert loss.label_smoothing == 0.1


def test_a_missing_parameter_is_named():
    node = OmegaConf.create({"_target_": "torch.nn.Linear", "in_features": 3})
    with pytest.raises(InputError, match=r"model\.out_features is missing"):
        build("model", node, [])


def test_what_a_target_complains_about_becomes_a_sentence():
    node = OmegaConf.create(
        {"_target_": "torch.nn.Conv1d", "in_channels": 3, "out_channels": 4, "kernel_size": 3,
         "groups": 2}
    )  # fmt: skip
    with pytest.raises(InputError, match=r"^model \(torch\.nn\.Conv1d\) cannot be made: .*groups"):
        build("model", node, [])


def test_lists_arrive_as_lists():
    node = OmegaConf.create(
        {"_target_": "torch.optim.Adam", "_partial_": True, "betas": [0.8, 0.9]}
    )
    optimizer = build("optimizer", node, [])([torch.nn.Parameter(torch.zeros(1))])
    assert list(optimizer.defaults["betas"]) == [0.8, 0.9]
    assert not OmegaConf.is_config(optimizer.defaults["betas"])
