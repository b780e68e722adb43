"""The networks against plain statements of the paper's and of the blog's, and the builder."""

import inspect
import itertools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from plain_layers import spread_batchnorm
from torch import nn

from raspitrain.errors import InputError
from raspitrain.model.mobilenetv3 import mobilenetv3
from raspitrain.model.scaling import auto_downsamples, length_after

CONF = Path(__file__).parents[1] / "conf" / "model"
MODELS = [
    "mobilenetv3_small",
    "mobilenetv3_large",
    "mobilenetv3_small_blog",
    "mobilenetv3_large_blog",
]


def build(name, **changes):
    config = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    config.pop("_target_")
    config.update(num_channels=3, num_classes=2, length=64, engine="plain")
    torch.manual_seed(0)
    return mobilenetv3(**(config | changes))


# The paper's network in 2-D, as torchvision lays it out: kernel, expanded, out, SE, HS, stride.
PAPER = {
    "mobilenetv3_small": [
        (3, 16, 16, True, False, 2),
        (3, 72, 24, False, False, 2),
        (3, 88, 24, False, False, 1),
        (5, 96, 40, True, True, 2),
        (5, 240, 40, True, True, 1),
        (5, 240, 40, True, True, 1),
        (5, 120, 48, True, True, 1),
        (5, 144, 48, True, True, 1),
        (5, 288, 96, True, True, 2),
        (5, 576, 96, True, True, 1),
        (5, 576, 96, True, True, 1),
    ],
    "mobilenetv3_large": [
        (3, 16, 16, False, False, 1),
        (3, 64, 24, False, False, 2),
        (3, 72, 24, False, False, 1),
        (5, 72, 40, True, False, 2),
        (5, 120, 40, True, False, 1),
        (5, 120, 40, True, False, 1),
        (3, 240, 80, False, True, 2),
        (3, 200, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 480, 112, True, True, 1),
        (3, 672, 112, True, True, 1),
        (5, 672, 160, True, True, 2),
        (5, 960, 160, True, True, 1),
        (5, 960, 160, True, True, 1),
    ],
}


class Weights:
    """Hands out the tensors of a state_dict in order, as 2-D layers that hold them."""

    def __init__(self, model):
        self.rest = iter([t for name, t in model.state_dict().items() if "tracked" not in name])

    def conv2d(self, x, *, stride=1, groups=1, kernel=1):
        weight = next(self.rest)
        square = torch.randn(*weight.shape[:2], kernel, kernel)  # only the middle row meets data
        square[:, :, kernel // 2] = weight
        return F.conv2d(x, square, stride=stride, padding=kernel // 2, groups=groups)

    def batchnorm(self, x, training):
        weight, bias, mean, var = (next(self.rest) for _ in range(4))
        return F.batch_norm(x, mean.clone(), var.clone(), weight, bias, training, 0.1, 1e-5)

    def linear(self, x):
        weight, bias = next(self.rest), next(self.rest)
        return F.linear(x, weight.flatten(1), bias)


def paper_logits(model, signals, rows, training):
    weights = Weights(model)
    x = signals.unsqueeze(2)  # (N, C, 1, L)
    x = F.hardswish(weights.batchnorm(weights.conv2d(x, stride=2, kernel=3), training))
    for kernel, expanded, out, se, hardswish, stride in rows:
        act = F.hardswish if hardswish else F.relu
        y = x
        if expanded != x.shape[1]:
            y = act(weights.batchnorm(weights.conv2d(y), training))
        y = weights.conv2d(y, stride=stride, groups=expanded, kernel=kernel)
        y = act(weights.batchnorm(y, training))
        if se:
            squeezed = F.relu(weights.linear(y.mean(dim=(2, 3))))
            y = y * F.hardsigmoid(weights.linear(squeezed))[:, :, None, None]
        y = weights.batchnorm(weights.conv2d(y), training)
        x = x + y if stride == 1 and x.shape[1] == out else y
    x = F.hardswish(weights.batchnorm(weights.conv2d(x), training)).mean(dim=(2, 3))
    logits = weights.linear(F.hardswish(weights.linear(x)))
    assert next(weights.rest, None) is None
    return logits


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", PAPER)
def test_paper_variant_is_the_two_dimensional_network_on_one_row_images(name, training):
    model = spread_batchnorm(build(name, num_downsamples=5, dropout=0.0)).train(training)
    signals = torch.randn(6, 3, 100)
    expected = paper_logits(model, signals, PAPER[name], training)
    torch.testing.assert_close(model(signals), expected, rtol=1e-4, atol=1e-5)


# The blog's network as modules: the same tensors in the same order, and its own forward.
class BlogConv(nn.Module):
    def __init__(self, cin, cout, k=1, stride=1, groups=1, act=None):
        super().__init__()
        self.conv = nn.Conv1d(cin, cout, k, stride, k // 2, groups=groups)
        self.bn = nn.BatchNorm1d(cout)
        self.act = act

    def forward(self, x):
        x = self.conv(x)
        if x.shape[2] != 1:
            x = self.bn(x)
        return self.act(x) if self.act else x


class BlogBlock(nn.Module):
    def __init__(self, cin, k, width, cout, se, act, stride):
        super().__init__()
        self.expand = BlogConv(cin, width, act=act)
        self.depthwise = BlogConv(width, width, k, stride, width, act)
        self.se = None
        if se:
            self.se = nn.Sequential(
                nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.Hardsigmoid()
            )
        self.project = BlogConv(width, cout, act=act)
        self.residual = stride == 1 and cin == cout

    def forward(self, x):
        y = self.depthwise(self.expand(x))
        if self.se:
            y = y * self.se(y.mean(2)).unsqueeze(2)
        y = self.project(y)
        return x + y if self.residual else y


def blog_network(name, num_channels, num_classes):
    rows = list(PAPER[name.removesuffix("_blog")])
    last, hidden = (576, 1024) if "small" in name else (960, 1280)
    if "small" in name:
        rows[3] = (5, 96, 40, False, True, 2)
    else:
        rows[13] = rows[14] = (5, 960, 160, True, True, 2)
    layers = [BlogConv(num_channels, 16, 3, 2, act=F.hardswish)]
    cin = 16
    for k, width, cout, se, hardswish, stride in rows:
        act = F.hardswish if hardswish else F.relu6
        layers.append(BlogBlock(cin, k, width, cout, se, act, stride))
        cin = cout
    layers += [
        BlogConv(cin, last, act=F.hardswish),
        nn.AdaptiveAvgPool1d(1),
        BlogConv(last, hidden, act=F.hardswish),
        BlogConv(hidden, num_classes, act=F.hardswish),
        nn.Flatten(),
    ]
    return nn.Sequential(*layers)


def load_in_order(model, source):
    state = source.state_dict().values()
    names = model.state_dict()
    model.load_state_dict(
        {n: t.view(names[n].shape) for n, t in zip(names, state, strict=True)}, strict=True
    )


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("length", [8, 224])
@pytest.mark.parametrize("name", ["mobilenetv3_small_blog", "mobilenetv3_large_blog"])
def test_blog_variant_gives_the_blogs_outputs(name, length, training):
    torch.manual_seed(1)
    theirs = spread_batchnorm(blog_network(name, 3, 4)).train(training)
    ours = build(name, num_classes=4, length=length).train(training)
    load_in_order(ours, theirs)
    signals = torch.randn(4, 3, length)
    torch.testing.assert_close(ours(signals), theirs(signals), rtol=1e-5, atol=1e-5)
    for mine, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "count"),
    [("mobilenetv3_small_blog", 2_818_310), ("mobilenetv3_large_blog", 8_665_958)],
)
def test_blog_variant_has_the_blogs_parameters(name, count):
    assert sum(p.numel() for p in build(name).parameters()) == count


@pytest.mark.parametrize("name", MODELS)
def test_every_yaml_names_every_parameter_of_the_builder(name):
    config = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    assert config.pop("_target_") == f"{mobilenetv3.__module__}.{mobilenetv3.__name__}"
    data_dependent = {"num_channels", "num_classes", "length"}
    assert set(config) | data_dependent == set(inspect.signature(mobilenetv3).parameters)
    assert not any(
        p.default is not p.empty for p in inspect.signature(mobilenetv3).parameters.values()
    )


@pytest.mark.parametrize(
    ("name", "length", "num_cases"),
    [(n, *rest) for n, rest in itertools.product(MODELS, [(8, 1), (9, 2), (301, 1)])],
)
def test_short_signals_and_a_last_batch_of_one_train(name, length, num_cases):
    model = build(name, num_channels=5, num_classes=3, length=length, width_mult=0.25)
    logits = model(torch.randn(num_cases, 5, length))
    assert logits.shape == (num_cases, 3)
    F.cross_entropy(logits, torch.zeros(num_cases, dtype=torch.int64)).backward()
    used = [p.grad for n, p in model.named_parameters() if "conv" in n]
    assert all(grad is not None and grad.isfinite().all() for grad in used)


def test_one_case_with_one_position_is_normalised_by_what_was_learnt():
    model = build("mobilenetv3_small", length=8, num_downsamples=5, dropout=0.0)
    before = model.bn_head.running_mean.clone()
    signals = torch.randn(1, 3, 8)
    assert model(signals).isfinite().all()
    assert torch.equal(model.bn_head.running_mean, before)


def test_auto_downsamples_keep_four_positions_and_drop_the_latest_strides():
    for length in range(8, 400):
        kept = auto_downsamples(length, 5)
        assert length_after(length, kept) >= 4
        assert kept == 5 or length_after(length, kept + 1) < 4
    strides = [block.conv_dw.stride[0] for block in build("mobilenetv3_small", length=24).blocks]
    assert strides == [2] + [1] * 10
    assert build("mobilenetv3_small", length=24).conv_stem.stride == (2,)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"num_downsamples": 6}, "num_downsamples=6"),
        ({"num_downsamples": -1}, "num_downsamples=-1"),
        ({"num_downsamples": "some"}, "num_downsamples=some"),
        ({"table": "medium"}, "table=medium"),
        ({"engine": "fast"}, "engine=fast"),
        ({"length": 7}, "length 7"),
        ({"width_mult": 0}, "width_mult=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
    ],
)
def test_impossible_values_are_named(changes, named):
    with pytest.raises(InputError, match=named):
        build("mobilenetv3_small", **changes)


def test_width_multiplier_scales_every_width_to_multiples_of_eight():
    model = build("mobilenetv3_large", width_mult=0.5)
    widths = {m.out_channels for m in model.modules() if isinstance(m, nn.Conv1d)}
    assert max(widths) == 480
    assert all(width % 8 == 0 for width in widths)


@pytest.mark.parametrize(
    "name",
    ["mobilenetv3_small", pytest.param("mobilenetv3_small_blog", marks=pytest.mark.long)],
)
def test_exported_program_gives_the_same_outputs_for_any_number_of_cases(name):
    model = spread_batchnorm(build(name, engine="auto", width_mult=0.25)).eval()
    batch = torch.export.Dim("batch", min=1, max=512)
    program = torch.export.export(model, (torch.randn(2, 3, 64),), dynamic_shapes={"x": {0: batch}})
    signals = torch.randn(7, 3, 64)
    torch.testing.assert_close(program.module()(signals), model(signals), rtol=1e-4, atol=1e-5)


@pytest.mark.long  # by default the torch.export above, and LeNet in test_model_networks.py
def test_onnx_runtime_gives_the_same_outputs_for_any_number_of_cases(tmp_path):
    import onnxruntime

    model = spread_batchnorm(build("mobilenetv3_small", engine="auto", width_mult=0.25)).eval()
    batch = torch.export.Dim("batch", min=1, max=512)
    exported = torch.onnx.export(
        model,
        (torch.randn(2, 3, 64),),
        dynamo=True,
        dynamic_shapes={"x": {0: batch}},
        verbose=False,
    )
    exported.save(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    signals = torch.randn(7, 3, 64)
    (logits,) = session.run(None, {session.get_inputs()[0].name: signals.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), model(signals), rtol=1e-4, atol=1e-5)
