"""What holds for every network that conf/model/ offers, whatever its architecture."""

import inspect
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from plain_layers import spread_batchnorm
from torch import nn

from raspitrain.config.targets import locate
from raspitrain.errors import InputError
from raspitrain.model.scaling import auto_downsamples, length_after
from raspitrain.run.prepare import prepare

CONF = Path(__file__).parents[1] / "conf" / "model"
MODELS = sorted(path.stem for path in CONF.glob("*.yaml"))
ROCKETS = ("minirocket", "multirocket_hydra")  # features of their own: test_model_rocket.py
NETWORKS = [name for name in MODELS if name not in ROCKETS]
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


@pytest.mark.parametrize("name", MODELS)
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
@pytest.mark.parametrize("name", MODELS)
def test_signals_that_no_network_takes_are_refused(name, changes, says):
    with pytest.raises(InputError, match=says):
        build(name, **changes)


# By default the three with layers of the most kinds: joined, shuffled, of uneven strides.
EXPORTED = ("inceptiontime", "shufflenetv2", "lenet")


@pytest.mark.parametrize(
    "name",
    [
        n if n in EXPORTED else pytest.param(n, marks=pytest.mark.long)
        for n in NETWORKS
        if not n.startswith("mobilenetv3")
    ],
)
def test_an_exported_program_gives_the_same_for_any_number_of_cases(name):
    model = spread_batchnorm(build(name, narrow=True)).eval()
    batch = torch.export.Dim("batch", min=1, max=512)
    program = torch.export.export(model, (torch.randn(2, 3, 64),), dynamic_shapes=({0: batch},))
    signals = torch.randn(7, 3, 64)
    torch.testing.assert_close(program.module()(signals), model(signals), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [8, 24, 57, 224])
@pytest.mark.parametrize(
    "name", [n for n in NETWORKS if settings_of(n).get("num_downsamples") == "auto"]
)
def test_auto_halves_every_network_by_one_rule(name, length):
    available = {"lenet": 2, "squeezenet": 4}.get(name, 5)
    seen = []
    plain = {"engine": "plain"} if "engine" in settings_of(name) else {}
    model = build(name, narrow=True, length=length, **plain).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.AdaptiveAvgPool1d):
            module.register_forward_hook(lambda _, given, out: seen.append(given[0].shape[2]))
    with torch.no_grad():
        model(torch.randn(1, 3, length))
    assert min(seen) == length_after(length, auto_downsamples(length, available)) >= 4
    with pytest.raises(InputError, match=rf"num_downsamples={available + 1} .* 0 to {available}"):
        build(name, length=1000, num_downsamples=available + 1)


def test_a_halving_that_leaves_nothing_to_learn_from_is_refused():
    with pytest.raises(InputError, match="signals of length 8 this network takes 0 to 2"):
        build("mobilenetv1", length=8, num_downsamples=3)


def exported_to_onnx(model, folder, length):
    """The network's logits as ONNX Runtime computes them, for any number of cases."""
    import onnxruntime

    batch = torch.export.Dim("batch", min=1, max=512)
    exported = torch.onnx.export(
        model,
        (torch.randn(2, 3, length),),
        dynamo=True,
        dynamic_shapes=({0: batch},),
        verbose=False,
    )
    exported.save(folder / "model.onnx")
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (signals,) = session.get_inputs()
    return lambda x: torch.from_numpy(session.run(None, {signals.name: x.numpy()})[0])


# By default test_export_onnx.py has LeNet, where what is rarest is found: means of two positions
# with one left over, and stretches that overlap.
@pytest.mark.long
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_runtime_gives_the_same_for_any_number_of_cases(name, tmp_path):
    model = spread_batchnorm(build(name, narrow=True, length=53)).eval()
    run = exported_to_onnx(model, tmp_path, 53)
    signals = torch.randn(7, 3, 53)
    torch.testing.assert_close(run(signals), model(signals), rtol=1e-4, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("name", [n for n in NETWORKS if not n.endswith("_blog")])
def test_every_network_learns_a_real_set_by_the_default_recipe(name, compose):
    cfg = compose(
        "dataset=ucr",
        "dataset.name=BasicMotions",
        f"model={name}",
        "min_steps=300",
        "hardware.num_threads=1",
    )
    job = prepare(cfg)
    *_, last = job.training.evaluations(job.epochs, eval_every=job.epochs)
    assert last.row["test_accuracy"] >= 0.7  # four motions of a watch: chance is 0.25
