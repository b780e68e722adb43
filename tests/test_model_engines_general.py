"""Networks that say nothing of themselves are traced, and what our kernels compute of them is what
their modules give: outputs, gradients, running statistics."""

import collections
import copy
import ctypes
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_layers import spread_batchnorm
from torch import nn

from raspitrain.config.build import build
from raspitrain.config.compose import compose
from raspitrain.model.engine import general
from raspitrain.model.engine.choose import engage, engine_in_use, left_to_torch
from raspitrain.model.layers import Add, ChannelGate, Concat, Shuffle
from raspitrain.tuning import engine as tuning
from raspitrain.tuning.engine import settle_engine


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def relative_error(ours, theirs, scale):
    return ((ours - theirs).norm() / scale).item() if scale > 0 else ours.norm().item()


def step(model, signals):
    """Outputs and all gradients of one training step; dropout from the same randomness."""
    model.zero_grad()
    torch.manual_seed(5)
    output = model(signals)
    (
        output * torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    ).sum().backward()
    return output


def assert_same_step(model, signals, tolerance, *, all_native=True):
    """A training step, running statistics and an evaluation of the kernels and of the modules."""
    theirs, ours = copy.deepcopy(model).train(), copy.deepcopy(model).train()
    engage(ours, "native", signals.shape[1])
    assert general.covers(ours, signals), left_to_torch(ours)
    assert not all_native or left_to_torch(ours) is None
    output, expected = step(ours, signals), step(theirs, signals)
    assert output.shape == expected.shape
    assert relative_error(output, expected, expected.norm()) < tolerance
    grads = [p.grad for p in theirs.parameters()]
    total = torch.stack([g.norm() for g in grads if g is not None]).norm()
    for (name, mine), other in zip(ours.named_parameters(), grads, strict=True):
        if other is None:
            assert mine.grad is None, name
        elif not mine.grad.any():  # which a BatchNorm takes away again: rounding of torch's
            assert other.norm() < tolerance * max(1, total), name
        else:
            # What a BatchNorm takes away again is rounding of what is around it.
            floor = 1e-1 if name.endswith("bias") else 1e-3
            scale = torch.maximum(other.norm(), floor * total).clamp(min=1e-3)
            assert relative_error(mine.grad, other, scale) < tolerance, name
    for (name, mine), other in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=tolerance, msg=name)
    with torch.no_grad():
        output, expected = ours.eval()(signals), theirs.eval()(signals)
    assert relative_error(output, expected, expected.norm()) < tolerance


ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Sigmoid, nn.SiLU, nn.GELU, nn.Identity)


def convolution(draw, channels, out):
    """Any convolution that leaves at least one position of the shortest signal."""
    kernel, stride, dilation = draw(1, 9), draw(1, 3), draw(1, 3)
    groups = draw.of([g for g in (1, 2, 3, 4, channels) if channels % g == 0 and out % g == 0])
    reach = dilation * (kernel - 1)
    layers = []
    how = draw.of(["zeros", "same", "apart"])
    if how == "same" and stride == 1:
        padding = "same"
    elif how == "apart":
        left = draw(0, reach)
        layers.append(nn.ConstantPad1d((left, reach - left + draw(0, 2)), 0.0))
        padding = draw(0, 1)
    else:
        padding = draw(reach // 2 + reach % 2, reach // 2 + 2)
    bias = draw.of([True, False])
    layers.append(
        nn.Conv1d(channels, out, kernel, stride, padding, dilation, groups=groups, bias=bias)
    )
    if draw.of([True, False]):
        layers.append(nn.BatchNorm1d(out))
    return nn.Sequential(*layers, draw.of(ACTIVATIONS)())


def pointwise(channels, out):
    return nn.Sequential(nn.Conv1d(channels, out, 1), nn.BatchNorm1d(out))


def block(draw, channels):
    """A random piece of a network and the channels of what it gives."""
    out = draw.of([3, 8, 12, 16, 20, 33])
    kinds = "conv conv depthwise add concat gate pool norm shuffle dropout"
    kind = draw.of(kinds.split())
    if kind == "conv":
        return convolution(draw, channels, out), out
    if kind == "depthwise":
        kernel, dilation = draw(1, 7), draw(1, 2)
        conv = nn.Conv1d(
            channels, channels, kernel, draw(1, 3), dilation * (kernel - 1), dilation,
            groups=channels,
        )  # fmt: skip
        return nn.Sequential(conv, nn.BatchNorm1d(channels), nn.ReLU6()), channels
    if kind == "add":
        body = nn.Sequential(pointwise(channels, out), nn.ReLU(), nn.Conv1d(out, channels, 3, 1, 1))
        shortcut = draw.of([nn.Identity(), nn.BatchNorm1d(channels), pointwise(channels, channels)])
        return Add(body, shortcut, draw.of(["relu", None])), channels
    if kind == "concat":
        parts = [nn.Conv1d(channels, out, 5, padding=2), nn.Identity(), pointwise(channels, 4)]
        return Concat(*parts), channels + out + 4
    if kind == "gate":
        return ChannelGate(channels, draw(1, 9)), channels
    if kind == "pool":
        kernel, stride, pad, ceil = draw(1, 4), draw(1, 3), draw(0, 1), draw.of([True, False])
        pad = min(pad, kernel // 2)
        if draw.of([True, False]):
            return nn.MaxPool1d(kernel, stride, pad, ceil_mode=ceil), channels
        counted = draw.of([True, False])
        return nn.AvgPool1d(kernel, stride, pad, ceil, counted), channels
    if kind == "dropout":
        return nn.Dropout(draw.of([0.0, 0.3])), channels
    if kind == "norm":
        return nn.Sequential(nn.BatchNorm1d(channels), draw.of(ACTIVATIONS)()), channels
    return Shuffle(draw.of([g for g in (1, 2, 3, 4) if channels % g == 0])), channels


class Draw:
    """What hypothesis decides."""

    def __init__(self, data):
        self.data = data

    def __call__(self, least, most):
        return self.data.draw(st.integers(least, most))

    def of(self, values):
        return self.data.draw(st.sampled_from(values))


def random_network(data):
    """A random network of our layers and signals for it, float64."""
    draw = Draw(data)
    num_channels, length, cases = draw(1, 9), draw(24, 60), draw(2, 7)
    torch.manual_seed(draw(0, 99))
    layers, channels = [], num_channels
    for _ in range(draw(1, 4)):
        layer, channels = block(draw, channels)
        layers.append(layer)
    if draw.of([True, False]):
        layers += [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(channels, draw(1, 9))]
    model = spread_batchnorm(nn.Sequential(*layers)).double()
    return model, torch.randn(cases, num_channels, length, dtype=torch.float64)


def assert_random_network_agrees(data):
    model, signals = random_network(data)
    if not any(p.requires_grad for p in model.parameters()):
        model = nn.Sequential(model, nn.BatchNorm1d(model(signals).shape[1])).double()
    assert_same_step(model, signals, 1e-9)


@settings(max_examples=25)
@given(data=st.data())
def test_any_layers_agree_to_rounding(data):
    assert_random_network_agrees(data)


@pytest.mark.long
@settings(max_examples=400)
@given(data=st.data())
def test_many_more_layers_agree_to_rounding(data):
    assert_random_network_agrees(data)


NARROW = {"width_mult": 0.25}
OF_OURS = {
    "resnet": {"width": 12},
    "fcn": {"width": 12},
    "inceptiontime": {"width": 8, "kernel": 12, "depth": 3},
    "lite": {"width": 8},
    "mobilenetv1": NARROW,
    "mobilenetv2": NARROW,
    "mnasnet": NARROW | {"dropout": 0.0},
    "shufflenetv1": NARROW,
    "shufflenetv2": NARROW,
    "googlenet": NARROW | {"dropout": 0.0},
    "densenet": {"growth_rate": 4},
    "squeezenet": NARROW | {"batchnorm": False},
    "vgg": {"depth": 11, "width_mult": 0.1},  # dense layers behind
}
WITH_A_REST = ("vgg",)


def ours(name, *, num_channels=3, length=40):
    keys = {f"model.{key}": value for key, value in OF_OURS[name].items()}
    cfg = compose({"model": name, **keys}).model
    torch.manual_seed(0)
    model = build("model", cfg, (), num_channels=num_channels, num_classes=3, length=length)
    return spread_batchnorm(model)


@pytest.mark.parametrize("name", OF_OURS)
def test_our_networks_run_compiled_and_agree(name):
    signals = torch.randn(4, 3, 40, dtype=torch.float64)
    assert_same_step(ours(name).double(), signals, 1e-9, all_native=name not in WITH_A_REST)


@pytest.mark.parametrize("name", ["resnet", "fcn", "inceptiontime"])
def test_single_precision_agrees(name):
    assert_same_step(ours(name), torch.randn(20, 3, 224), 1e-4)


def test_gradcheck():
    model = ours("resnet").double()
    engage(model, "native", 3)
    signals = torch.randn(3, 3, 11, dtype=torch.float64)

    def outputs(*parameters):
        named = {n: p for (n, _), p in zip(model.named_parameters(), parameters, strict=True)}
        return torch.func.functional_call(model, named, signals)

    values = tuple(p.detach().clone().requires_grad_() for p in model.parameters())
    assert general.covers(model, signals)
    assert torch.autograd.gradcheck(outputs, values, eps=1e-6, atol=1e-5, rtol=1e-3, fast_mode=True)


def test_numbers_do_not_depend_on_threads():
    signals, results = torch.randn(9, 3, 100), []
    for num_threads in (1, 2, 3):
        torch.set_num_threads(num_threads)
        model = ours("inceptiontime")
        engage(model, "native", 3)
        step(model, signals)
        results.append([*(p.grad for p in model.parameters()), *model.buffers()])
    torch.set_num_threads(1)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_frozen_layers_get_no_gradient_and_keep_their_statistics():
    model = ours("resnet").double()
    for module in model[0].modules():
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
    plain = copy.deepcopy(model)
    engage(model, "native", 3)
    signals = torch.randn(4, 3, 30, dtype=torch.float64)
    for each in (model, plain):
        for norm in each[0].modules():
            if isinstance(norm, nn.BatchNorm1d):
                norm.eval()
    assert general.covers(model, signals)
    torch.testing.assert_close(step(model, signals), step(plain, signals))
    for mine, other in zip(model.parameters(), plain.parameters(), strict=True):
        assert (mine.grad is None) == (other.grad is None)
        if mine.grad is not None:
            torch.testing.assert_close(mine.grad, other.grad, rtol=1e-8, atol=1e-8)
    for mine, other in zip(model.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(mine, other)


def test_the_memory_that_is_foretold_is_what_the_kernels_take():
    model = ours("resnet")
    engage(model, "native", 3)
    signals = torch.randn(6, 3, 50)
    kept, work = general.memory_needed(
        model, torch.float32, cases=6, length=50, training=True
    )  # fmt: skip
    step(model, signals)
    (part,) = general.plan_of(model).parts
    assert [memory.bytes.numel() for memory in part.free] == [kept]
    assert part.work.numel() == work


class Users(nn.Module):
    """As somebody writes a network who has never heard of rows."""

    def __init__(self, num_channels=3, num_classes=3, width=12):
        super().__init__()
        self.conv1 = nn.Conv1d(num_channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm1d(width)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool1d(3, 2, 1)
        self.conv2 = nn.Conv1d(width, width, 4, padding="same")
        self.bn2 = nn.BatchNorm1d(width)
        self.conv3 = nn.Conv1d(width, width, 3, padding=2, dilation=2)
        self.fc = nn.Linear(2 * width, num_classes)

    def forward(self, x):
        x = self.pool(self.relu(self.bn1(self.conv1(x))))
        out = F.gelu(self.bn2(self.conv2(x)))
        out = self.conv3(out)
        out += x
        x = self.relu(out)
        x = torch.cat([x, x * torch.sigmoid(x.mean(dim=2, keepdim=True))], dim=1)
        return self.fc(x.mean(-1))


def test_a_users_network_runs_compiled_with_no_line_changed():
    torch.manual_seed(0)
    model = spread_batchnorm(Users()).double()
    assert_same_step(model, torch.randn(5, 3, 45, dtype=torch.float64), 1e-9)
    names = list(model.state_dict())
    engage(model, "auto", 3)
    assert list(model.state_dict()) == names
    assert isinstance(model, Users)
    assert type(model).__name__ == "Users"


class Recurrent(Users):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(12, 12, batch_first=True)
        self.fc = nn.Linear(12, 3)

    def forward(self, x):
        x = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return self.fc(self.rnn(x.transpose(1, 2))[0][:, -1])


class Dropping(Users):
    def forward(self, x):
        x = F.dropout(self.relu(self.bn1(self.conv1(x))), 0.5, self.training)
        return self.fc(torch.cat([x, x], dim=1).mean(2))


@pytest.mark.parametrize(
    ("kind", "left"), [(Recurrent, "transpose (transpose)"), (Dropping, "dropout (dropout)")]
)
def test_what_is_no_row_stays_with_torch_and_a_sentence_names_it(kind, left):
    torch.manual_seed(0)
    model = spread_batchnorm(kind()).double()
    signals = torch.randn(5, 3, 45, dtype=torch.float64)
    assert_same_step(model, signals, 1e-9, all_native=False)
    engage(model, "native", 3)
    sentence = f"engine: compiled kernels up to {left}, torch from there on"
    assert settle_engine(model, signals) == sentence
    assert engine_in_use(model) == "native"


class Turned(torch.autograd.Function):
    """A layer of the user's own, with a gradient of its own."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.flip(2) * factor

    @staticmethod
    def backward(ctx, dy):
        return dy.flip(2) * ctx.factor, None


class Sequence(nn.Module):
    """A recurrent layer over the positions, and attention to them."""

    def __init__(self, width):
        super().__init__()
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)

    def forward(self, x):
        x = self.lstm(x.transpose(1, 2))[0]
        return (x + self.attention(x, x, x)[0]).transpose(1, 2)


class ByItsValues(nn.Module):
    """Whose forward cannot be traced."""

    def forward(self, x):
        return x if x.sum() > 1e9 else x * 2


def conv_block(channels, out, kernel):
    conv = nn.Conv1d(channels, out, kernel, padding="same")
    return nn.Sequential(conv, nn.BatchNorm1d(out), nn.ReLU())


class Middle(nn.Module):
    """Convolutions before and behind a layer that is no row, and a shortcut around it."""

    def __init__(self, middle):
        super().__init__()
        self.stem = nn.Sequential(conv_block(3, 12, 5), conv_block(12, 8, 4))
        self.middle = middle
        self.head = nn.Sequential(
            nn.MaxPool1d(2), conv_block(8, 20, 3), conv_block(20, 9, 3),
            nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(9, 3),
        )  # fmt: skip

    def forward(self, x):
        x = self.stem(x)
        y = Turned.apply(x, 0.5) if self.middle is None else self.middle(x)
        return self.head(x + y)


MIDDLES = {
    "middle.lstm (LSTM), middle.attention (MultiheadAttention)": lambda: Sequence(8),
    "turned (Turned)": lambda: None,
    "middle (ByItsValues)": ByItsValues,
    "middle.0 (Conv1d), middle.1 (InstanceNorm1d)": lambda: nn.Sequential(
        nn.Conv1d(8, 8, 3, padding=1, padding_mode="circular"), nn.InstanceNorm1d(8)
    ),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("left", MIDDLES)
def test_the_kernels_compute_what_comes_before_and_behind_a_layer_of_torchs(left, dtype):
    torch.manual_seed(0)
    model = spread_batchnorm(Middle(MIDDLES[left]())).to(dtype)
    signals = torch.randn(5, 3, 45, dtype=dtype)
    assert_same_step(
        model, signals, 1e-9 if dtype == torch.float64 else 1e-4, all_native=False
    )  # fmt: skip
    names = list(model.state_dict())
    engage(model, "native", 3)
    assert settle_engine(model, signals) == (
        f"engine: torch computes {left}; compiled kernels compute the rest"
    )
    parts = general.plan_of(model).parts
    assert [part.run.names[0] for part in parts] == ["stem.0.0 (Conv1d)", "head.0 (MaxPool1d)"]
    before = [p.detach().clone() for p in model.parameters()]
    again = copy.deepcopy(model)
    for each in (model, again):
        optimizer = torch.optim.SGD(each.parameters(), lr=0.1)
        step(each, signals)
        optimizer.step()
    assert all(part.uncovered is None and part.free for part in parts)
    assert list(model.state_dict()) == names
    for p, q, was in zip(model.parameters(), again.parameters(), before, strict=True):
        assert torch.equal(p, q)
        assert p.grad is not None
        assert not torch.equal(p, was) or not p.grad.any()


def test_a_part_that_the_kernels_do_not_take_at_one_length_is_told_too():
    """Its shortcut is one number there, which the addition spreads out."""
    model = Middle(ByItsValues())
    model.head[1] = Add(conv_block(8, 20, 3), nn.Conv1d(8, 20, 22))
    model = model.double()
    signals = torch.randn(5, 3, 45, dtype=torch.float64)
    assert_same_step(model, signals, 1e-9, all_native=False)
    engage(model, "native", 3)
    assert settle_engine(model, signals) == (
        "engine: torch computes middle (ByItsValues), head.0 (MaxPool1d) to head.5 (Linear) (as "
        "the compiled kernels do not compute add_1 (add) for signals of length 45); compiled "
        "kernels compute the rest"
    )


def test_a_value_that_two_layers_of_torchs_ask_for_parts_the_kernels_there():
    class Skipping(Middle):
        def forward(self, x):
            first = self.stem[0](x)
            second = self.stem[1](first)
            return self.head(self.middle(second) + self.middle(first[:, :8]))

    model = spread_batchnorm(Skipping(ByItsValues())).double()
    assert_same_step(model, torch.randn(5, 3, 45, dtype=torch.float64), 1e-9, all_native=False)
    engage(model, "native", 3)
    firsts = [part.run.names[0] for part in general.plan_of(model).parts]
    assert firsts == ["stem.0.0 (Conv1d)", "stem.1.0 (Conv1d)", "head.0 (MaxPool1d)"]


def test_signals_get_their_gradient():
    model = ours("inceptiontime").double()
    plain = copy.deepcopy(model)
    engage(model, "native", 3)
    signals = torch.randn(4, 3, 30, dtype=torch.float64)
    mine, other = signals.clone().requires_grad_(), signals.clone().requires_grad_()
    assert general.covers(model, mine)
    step(model, mine)
    step(plain, other)
    torch.testing.assert_close(mine.grad, other.grad, rtol=1e-9, atol=1e-11)


def test_a_network_that_only_rounds_otherwise_is_not_left_to_torch(monkeypatch):
    monkeypatch.setattr(tuning, "ROUNDING", 0.0)
    model = ours("resnet")
    engage(model, "native", 3)
    assert settle_engine(model, torch.randn(4, 3, 40)) is None
    assert engine_in_use(model) == "native"


def test_a_network_for_one_length_only_is_measured_on_that_length():
    """Its dense layer takes every position of 300."""
    flat = nn.Sequential(nn.Conv1d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten())
    model = nn.Sequential(flat, nn.Linear(4 * 300, 3))
    engage(model, "auto", 3)
    assert "0.2 (Flatten)" in settle_engine(model, torch.randn(4, 3, 300))


class EngineRoom(nn.Module):
    """Its layers have the names that a network of rows has for other things."""

    def __init__(self):
        super().__init__()
        self.engine = nn.Conv1d(3, 4, 3)
        self.rows = nn.Linear(4, 3)
        self.num_channels_engaged = 7

    def forward(self, x):
        return self.rows(self.engine(x).mean(2))


def test_names_of_the_users_own_are_not_overwritten():
    model = Users()
    model.engine = "diesel"
    engage(model, "native", 3)
    assert model.engine == "diesel"
    model = EngineRoom().double()
    assert_same_step(model, torch.randn(5, 3, 45, dtype=torch.float64), 1e-9)
    engage(model, "native", 3)
    assert settle_engine(model, torch.randn(5, 3, 45, dtype=torch.float64)) is None
    assert engine_in_use(model) == "native"
    assert (type(model.engine), type(model.rows)) == (nn.Conv1d, nn.Linear)
    assert model.num_channels_engaged == 7


class Final(Users):
    def __init_subclass__(cls):
        raise TypeError("no children")


class Registering(type(nn.Module)):
    known: ClassVar[list[str]] = []

    def __init__(cls, name, *rest):
        super().__init__(name, *rest)
        cls.known.append(name)


class Registered(Users, metaclass=Registering):
    pass


def test_a_class_that_wants_no_children_is_no_crash():
    signals = torch.randn(5, 3, 45, dtype=torch.float64)
    assert_same_step(Final().double(), signals, 1e-9)
    model = Registered().double()
    note = engage(model, "auto", 3)
    assert note.startswith("engine: torch computes this network, as its class allows no child")
    assert engage(Registered(), "plain", 3) is None
    assert settle_engine(model, signals) is None
    assert engine_in_use(model) is None
    assert Registering.known == ["Registered"]


class ByChance(Users):
    def forward(self, x):
        if random.random() < 0.5:
            x = x * 2
        return super().forward(x)


class ByValue(Users):
    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


class Remembering(Users):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


class NoGradient(Users):
    def forward(self, x):
        with torch.no_grad():
            x = self.relu(self.bn1(self.conv1(x)))
        return self.fc(torch.cat([x, x], dim=1).mean(2))


class InPlace(Users):
    def forward(self, x):
        x = self.conv1(x)
        return self.fc(torch.cat([x, self.relu(x)], dim=1).mean(2))


@pytest.mark.parametrize("kind", [ByChance, ByValue, Remembering, NoGradient, InPlace])
def test_a_forward_that_its_tracing_does_not_tell_is_left_as_it_is(kind):
    torch.manual_seed(0)
    model = kind()
    plain = copy.deepcopy(model)
    engage(model, "auto", 3)
    signals = torch.randn(5, 3, 45)
    note = settle_engine(model, signals)
    assert note is not None
    if kind is not InPlace:  # whose first layer is a row
        assert note.startswith("engine: torch computes this network")
        assert engine_in_use(model) == "plain"
    random.seed(0)
    output = model(signals)
    random.seed(0)
    assert torch.allclose(output, plain(signals), rtol=1e-5, atol=1e-6)


outside = {"calls": 0}


class Keeping(Users):
    """Keeps something from one forward to the next, on which the next depends."""

    kept_by_the_class: ClassVar[dict[str, int]] = {"calls": 0}

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.calls = {"list": [0]}
        self.deque = collections.deque([0])
        self.generators = np.random.default_rng(0), torch.Generator().manual_seed(0)
        self.own = random.Random(0)
        self.epoch = 0
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("mean", torch.zeros(3))
        closed_over = [0]
        self.count_up = lambda: closed_over.append(closed_over[-1] + 1) or closed_over[-1]

    def train(self, mode=True):
        self.epoch += self.how == "epoch"
        return super().train(mode)

    def factor(self, y):
        if self.how == "list":
            self.calls["list"][0] += 1
            return self.calls["list"][0]
        if self.how == "deque":
            self.deque.append(self.deque[-1] + 1)
            return self.deque[-1]
        if self.how == "class":
            self.kept_by_the_class["calls"] += 1
            return self.kept_by_the_class["calls"]
        if self.how == "outside":
            outside["calls"] += 1
            return outside["calls"]
        if self.how == "closure":
            return self.count_up()
        if self.how == "buffer":
            self.count += 1
            return 2 if self.count.item() > 9 else 1
        if self.how == "numpy":
            return self.generators[0].random()
        if self.how == "torch":
            return torch.rand(1, generator=self.generators[1])
        if self.how == "python":
            return self.own.random()
        if self.how == "epoch":
            return self.epoch
        if self.how == "in place":
            self.mean.mul_(0.9).add_(0.1 * y.detach().mean(0))
        if self.how == "assigned":
            self.mean = 0.9 * self.mean + 0.1 * y.detach().mean(0)
        return 1 + self.mean

    def forward(self, x):
        y = super().forward(x)
        return y * self.factor(y)


HOW = ["list", "deque", "class", "outside", "closure", "buffer", "numpy", "torch", "python",
       "epoch", "in place", "assigned"]  # fmt: skip


@pytest.mark.parametrize("how", HOW)
def test_a_forward_that_keeps_something_is_left_to_torch_and_as_it_was(how):
    signals = torch.randn(5, 3, 45)
    torch.manual_seed(0)
    model = Keeping(how)
    if how in ("list", "deque", "buffer", "numpy", "torch", "python", "in place", "assigned"):
        plain = copy.deepcopy(model)
    else:  # what is kept there a copy shares, and trying it out moves it on
        plain = None
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    engage(model, "auto", 3)
    note = settle_engine(model, signals)
    assert note.startswith("engine: torch computes this network, as its forward")
    assert engine_in_use(model) == "plain"
    assert list(model.state_dict()) == list(before)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert (model.calls["list"], len(model.deque), model.epoch) == ([0], 1, 0)
    for _ in range(12 if plain is not None else 0):
        assert torch.equal(model(signals), plain(signals))


class Unique(Users):
    def __deepcopy__(self, memo):
        raise TypeError("there is one of me")


def test_a_network_that_cannot_be_copied_is_left_to_torch():
    model = Unique()
    engage(model, "auto", 3)
    assert settle_engine(model, torch.randn(5, 3, 45)) == (
        "engine: torch computes this network, as it cannot be copied (there is one of me)"
    )


@pytest.mark.parametrize(
    ("layer", "left"),
    [
        (nn.BatchNorm1d(4, momentum=None), "BatchNorm1d, momentum=None"),
        (nn.BatchNorm1d(4, affine=False), "BatchNorm1d, affine=False"),
        (nn.BatchNorm1d(4, track_running_stats=False), "BatchNorm1d, track_running_stats=False"),
        (nn.Conv1d(4, 4, 3, padding=1, padding_mode="reflect"), "Conv1d, padding_mode=reflect"),
        (
            nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 4, 3)),
            "ParametrizedConv1d, whose weight is parametrised",
        ),
    ],
)
def test_a_sentence_names_the_layer_and_what_of_it_is_not_covered(layer, left):
    model, signals = nn.Sequential(nn.Conv1d(3, 4, 3), layer), torch.randn(5, 3, 45)
    engage(model, "native", 3)
    assert (
        settle_engine(model, signals)
        == f"engine: compiled kernels up to 1 ({left}), torch from there on"
    )
    alone = nn.Sequential(nn.Identity(), copy.deepcopy(layer))
    engage(alone, "native", 4)
    assert settle_engine(alone, torch.randn(5, 4, 45)) == (
        f"engine: torch computes this network, as the compiled kernels do not compute 1 ({left})"
    )


def test_a_sentence_names_the_layer_that_signals_are_too_short_for():
    model = nn.Sequential(nn.Conv1d(3, 4, 3), nn.MaxPool1d(4))
    engage(model, "native", 3)
    assert settle_engine(model, torch.randn(5, 3, 5)) == (
        "engine: torch computes this network, as the compiled kernels do not compute "
        "1 (MaxPool1d) for signals of length 5"
    )


def test_the_sentence_is_of_the_engine_that_was_taken(monkeypatch, tmp_path):
    monkeypatch.setattr("raspitrain.cache.cache_folder", lambda: tmp_path)
    monkeypatch.setattr(tuning, "measure_engines", lambda *_: {"native": 2.0, "plain": 1.0})
    model = Recurrent()
    engage(model, "auto", 3)
    assert settle_engine(model, torch.randn(5, 3, 45)) == (
        "engine: torch computes this network, which is faster here than compiled kernels up to "
        "transpose (transpose)"
    )


@pytest.mark.parametrize(("native", "plain", "taken"), [(1.1, 1.0, "native"), (2.0, 1.0, "plain")])
def test_the_faster_one_is_taken(native, plain, taken, monkeypatch, tmp_path):
    monkeypatch.setattr("raspitrain.cache.cache_folder", lambda: tmp_path)
    monkeypatch.setattr(tuning, "measure_engines", lambda *_: {"native": native, "plain": plain})
    model = ours("fcn")
    engage(model, "auto", 3)
    settle_engine(model, torch.randn(4, 3, 40))
    assert engine_in_use(model) == taken


def test_tracing_a_copy_is_not_measured_as_a_step(monkeypatch):
    trace = general.trace

    def slow(*arguments):
        time.sleep(0.3)  # so long a step would be a turn of its own
        return trace(*arguments)

    monkeypatch.setattr(general, "trace", slow)
    model = ours("fcn")
    engage(model, "auto", 3)
    assert tuning.measure_engines(model, torch.randn(4, 3, 40))["native"] < 0.2


def test_not_a_number_is_not_hidden():
    for name in ("resnet", "shufflenetv2"):
        model = ours(name)
        engage(model, "native", 3)
        signals = torch.randn(4, 3, 40)
        signals[1, 0, 5] = float("nan")
        assert model(signals).isnan().any()


SANITIZED = "RASPITRAIN_TEST_SANITIZED"  # a library with guards, which the process was started for


@pytest.mark.long
def test_no_memory_is_touched_that_is_not_theirs(tmp_path):
    """Random networks again, in a process whose kernels are compiled with guards."""
    gcc, library = shutil.which("gcc"), tmp_path / "graph.so"
    assert gcc is not None, "needs Debian's gcc"
    guards = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DDOUBLE"]
    flags = ["-O1", "-fPIC", "-shared", "-Wno-psabi", *guards]
    subprocess.run([gcc, *flags, "-o", library, general.SOURCE, "-lm"], check=True)
    preloaded = [
        subprocess.run(
            [gcc, f"-print-file-name={name}.so"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan", "libubsan")
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider",
         __file__, "-k", "any_layers or our_networks or users_network_runs"],
        env=os.environ
        | {SANITIZED: str(library), "LD_PRELOAD": " ".join(preloaded)}
        | {"ASAN_OPTIONS": "detect_leaks=0"},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.fixture(scope="module", autouse=True)
def guarded_kernels():
    """Where the process was started for them."""
    path, load = os.environ.get(SANITIZED), general.load_graph_kernels
    if path is not None:
        library = ctypes.CDLL(str(Path(path)))
        general.load_graph_kernels = lambda dtype: library
    yield
    general.load_graph_kernels = load
