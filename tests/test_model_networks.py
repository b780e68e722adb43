"""What holds for every network that conf/model/ offers, whatever its architecture."""

import inspect
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from plain_layers import spread_batchnorm

from raspitrain.config.build import locate
from raspitrain.errors import InputError

CONF = Path(__file__).parents[1] / "conf" / "model"
NETWORKS = sorted(path.stem for path in CONF.glob("*.yaml"))
NARROW = {"width": 4, "width_mult": 0.05, "growth_rate": 4}  # where a network has such a key


def settings_of(name):
    return yaml.safe_load((CONF / f"{name}.yaml").read_text())


def build(name, *, narrow=False, num_channels=3, num_classes=2, length=64, **changes):
    settings = settings_of(name)
    target = locate("model", settings.pop("_target_"))
    if narrow:
        settings.update((key, value) for key, value in NARROW.items() if key in settings)
    torch.manual_seed(0)
    return target(
        num_channels=num_channels,
        num_classes=num_classes,
        length=length,
        **(settings | changes),
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_the_yaml_names_every_parameter_and_code_has_no_defaults(name):
    settings = settings_of(name)
    parameters = inspect.signature(locate("model", settings.pop("_target_"))).parameters
    assert set(settings) | {"num_channels", "num_classes", "length"} == set(parameters)
    assert all(p.default is p.empty for p in parameters.values())


@pytest.mark.parametrize(
    ("num_channels", "length", "num_cases"), [(1, 8, 1), (5, 9, 2), (2, 77, 3)]
)
@pytest.mark.parametrize("name", NETWORKS)
def test_short_and_odd_signals_and_a_last_batch_of_one_train(name, num_channels, length, num_cases):
    model = build(name, narrow=True, num_channels=num_channels, num_classes=3, length=length)
    logits = model(torch.randn(num_cases, num_channels, length))
    assert logits.shape == (num_cases, 3)
    F.cross_entropy(logits, torch.zeros(num_cases, dtype=torch.int64)).backward()
    for key, parameter in model.named_parameters():
        idle = name.endswith("_blog") and "bn" in key  # some of the blog's norms never run
        assert idle or not parameter.requires_grad or parameter.grad is not None, key
        assert parameter.grad is None or parameter.grad.isfinite().all(), key


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"length": 7}, "length 7"),
        ({"num_classes": 1}, "two classes"),
        ({"num_channels": 0}, "one"),
    ],
)
@pytest.mark.parametrize("name", NETWORKS)
def test_signals_that_no_network_takes_are_refused(name, changes, says):
    with pytest.raises(InputError, match=says):
        build(name, **changes)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_exported_program_gives_the_same_for_any_number_of_cases(name):
    model = spread_batchnorm(build(name, narrow=True)).eval()
    batch = torch.export.Dim("batch", min=1, max=512)
    program = torch.export.export(model, (torch.randn(2, 3, 64),), dynamic_shapes=({0: batch},))
    signals = torch.randn(7, 3, 64)
    torch.testing.assert_close(program.module()(signals), model(signals), rtol=1e-4, atol=1e-5)
