"""Networks of the user's own with a forward pass of any form, as model.rpt and as C: the engine
gives the scores of their modules, and what it lacks is named."""

import subprocess

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from plain_layers import spread_batchnorm
from test_export_c import compiled
from test_use_engine import contract, expected_logits, raw_windows
from test_use_graph import logits_of
from torch import nn

import raspitrain
from raspitrain.export.__main__ import main as export
from raspitrain.export.graph import NotCoveredError
from raspitrain.export.pack_graph import pack_graph
from raspitrain.use import load

LENGTH = 37


class Causal(nn.Module):
    """A block of a TCN: what a convolution makes beyond the signal's end is cut off."""

    def __init__(self, width, out, dilation):
        super().__init__()
        self.cut = 2 * dilation
        self.conv = nn.Conv1d(width, out, 3, padding=self.cut, dilation=dilation)
        self.norm = nn.BatchNorm1d(out)
        self.scale = nn.Parameter(torch.rand(out, 1) + 0.5)
        self.skip = nn.Conv1d(width, out, 1) if width != out else nn.Identity()

    def forward(self, x):
        y = F.relu(self.norm(self.conv(x)[:, :, : -self.cut].contiguous()))
        y = y * self.scale
        y += self.skip(x)
        return torch.relu(y)


class Halves(nn.Module):
    """ShuffleNet's shuffle as it is mostly written, around a convolution of one half."""

    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv1d(width // 2, width // 2, 3, padding=1)

    def forward(self, x):
        b, c, n = x.shape
        kept, worked = x.split(c // 2, dim=1)
        x = torch.cat((kept, self.conv(worked)), 1)
        return x.view(b, 2, c // 2, n).transpose(1, 2).reshape(b, -1, n)


class Own(nn.Module):
    def __init__(self, num_channels, num_classes, length):
        super().__init__()
        stem = nn.Conv1d(num_channels, 10, 5, stride=2, padding=2)
        self.stem = nn.utils.parametrizations.weight_norm(stem)
        self.body = nn.ModuleList([Causal(10, 12, 1), Causal(12, 12, 4), Halves(12)])
        self.where = nn.Conv1d(12, 12, 7, padding=3)
        self.aside = nn.Linear(12, num_classes)  # which training alone asks for
        self.last = nn.Linear(36, num_classes)

    def forward(self, x):
        x = F.silu(self.stem(x))
        for block in self.body:
            x = block(x)
        x = x * torch.sigmoid(self.where(x))
        x = F.max_pool1d(F.pad(1 - x / 2, (1, 2)), 2, ceil_mode=True)
        aside = self.aside(x.mean(2))
        parts = x.mean(dim=-1), x.max(dim=2).values, x[:, :, -1]
        x = torch.cat(parts, dim=1).view(x.size(0), -1)
        logits = self.last(F.dropout(x, 0.5, self.training)) - 0.1
        return (logits, aside) if self.training else logits


class Trained(Own):
    """With one answer."""

    def forward(self, x):
        answer = super().forward(x)
        return answer[0] if self.training else answer


def own_network():
    torch.manual_seed(0)
    return spread_batchnorm(Own(3, 4, LENGTH)).eval()


def test_a_forward_pass_of_its_own_gives_the_scores_of_its_modules():
    model = own_network()
    windows, (logits, *others) = logits_of(model, LENGTH)
    expected = expected_logits(model, contract(3), windows)
    assert np.abs(logits - expected).max() <= 1e-6 * np.abs(expected).max()
    for other in others:
        np.testing.assert_array_equal(other, logits)
    _, (int8, *others) = logits_of(model, LENGTH, precision="int8")
    assert np.abs(int8 - expected).max() <= 0.02 * np.abs(expected).max()
    for other in others:
        np.testing.assert_array_equal(other, int8)


def test_it_is_a_program_too(tmp_path):
    given = contract(3)
    program, engine = compiled(tmp_path, own_network(), given, LENGTH, "int8")
    windows = raw_windows(given, LENGTH, 2)
    done = subprocess.run([program], input=windows.tobytes(), capture_output=True, timeout=120)
    for line, logits in zip(done.stdout.decode().splitlines(), engine(windows), strict=True):
        scores = [float.fromhex(score) for score in line.split()[1:-2]]
        assert scores == logits.tolist()


class Norm(nn.BatchNorm1d):
    """Whose forward looks at shapes, so that it cannot be traced: it is BatchNorm1d's."""


class Either(nn.Conv1d):
    """One that does something else than its base."""

    def forward(self, x):
        return super().forward(x) if x.mean() > 9 else x


class Of(nn.Module):
    """A convolution, what a test says, and a mean."""

    def __init__(self, step):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4)
        self.other, self.layer_norm = nn.Conv1d(4, 4, 3, padding=1), nn.LayerNorm(35)
        self.own_norm, self.either = Norm(4), Either(4, 4, 1)
        self.weight = nn.Parameter(torch.randn(4, 2, 3))
        self.register_buffer("shift", torch.randn(4))
        self.step = step

    def forward(self, x):
        return self.step(self, self.conv(x)).mean(-1)


COVERED = {
    "read before and after": lambda m, x: m.norm(x) + x,
    "a derived layer": lambda m, x: m.own_norm(x),
    "a constant": lambda m, x: 2 * x - 3 + torch.tensor(0.5),
    "a buffer a channel": lambda m, x: (x - m.shift[:, None]) * m.shift.view(1, 4, 1).exp(),
    "weights by a function": lambda m, x: F.conv1d(x, m.weight, padding=2, groups=2),
    "positions": lambda m, x: torch.cat([x[:, 1:, 3:-4:2], x[..., :14].tanh()], dim=1),
    "cropped": lambda m, x: F.pad(x, (-2, 5)).relu(),
    "padded, then read twice": lambda m, x: (lambda y: m.other(y) + y)(F.pad(x, (4, 0))),
    "parts": lambda m, x: x.chunk(2, dim=1)[0] * x.chunk(2, dim=1)[1].sigmoid(),
    "a gate": lambda m, x: x * x.amax(2, keepdim=True).sigmoid(),
    "twice itself": lambda m, x: x + x,
    "pools": lambda m, x: F.adaptive_max_pool1d(F.avg_pool1d(x, 3, 1, 1), 7),
    "negated": lambda m, x: (1.5 - x).relu() - m.other(x),
    "groups": lambda m, x: x.unflatten(1, (2, -1)).permute(0, 2, 1, 3).flatten(1, 2).relu(),
}


@pytest.mark.parametrize("name", COVERED)
def test_each_function(name):
    model = spread_batchnorm(Of(COVERED[name])).eval()
    windows, (logits, *_) = logits_of(model, LENGTH)
    expected = expected_logits(model, contract(3), windows)
    assert np.abs(logits - expected).max() <= 2e-6 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda m, x: m.layer_norm(x), r"no LayerNorm \(layer_norm\)"),
        (lambda m, x: x.softmax(1), r"no softmax \(in forward\)"),
        (lambda m, x: m.either(x), r"no Either \(either\)"),
        (lambda m, x: F.leaky_relu(x), "no leaky_relu"),
        (lambda m, x: x.mean(1, keepdim=True) * x, "no such mean"),
        (lambda m, x: x.mean((2, 1), keepdim=True) * x, "no such mean"),
        (lambda m, x: x.amax((-1, 1), keepdim=True) * x, "no such amax"),
        (lambda m, x: x + x[:, :, :1], "35 positions meet 1"),
        (lambda m, x: x + x[:, :1], "4 channels meet 1"),
        (lambda m, x: F.pad(x, (1, 1), "circular"), "zeros only"),
        (lambda m, x: F.dropout(x), "drops values in evaluation too"),
        (lambda m, x: torch.cat([x, x], dim=2), "no such cat"),
        (lambda m, x: x.add_(1), "no add_"),
        (lambda m, x: F.relu(x, inplace=True) + x, "in place what others read"),
        (lambda m, x: x if x.sum() > 0 else -x, "cannot be traced"),
        (lambda m, x: x + torch.rand(1).item(), "draws random numbers"),
        (lambda m, x: x.view(-1, 4), "no such view"),
        (lambda m, x: x * (x.size(0) + 1), "no such add"),
        (lambda m, x: x.new_zeros(3) + x, "no new_zeros"),
        (lambda m, x: x * x.size(0), "no such mul"),
    ],
)
def test_what_is_not_covered_is_named(step, says):
    with pytest.raises(NotCoveredError, match=says):
        pack_graph(Of(step).eval(), num_channels=3, length=LENGTH, precision="fp32")


def test_a_run_leaves_a_model_file_or_says_what_the_engine_lacks(tmp_path):
    X = np.random.default_rng(0).normal(size=(40, 2, LENGTH)).astype(np.float32)
    y = np.arange(40) % 2
    X[y == 1] += np.sin(np.arange(LENGTH))

    def run(name, kind):
        own = f"{__name__}.{kind.__name__}"
        return raspitrain.train(
            X, y, model={"_target_": own}, allowed_targets=[own], output_dir=tmp_path / name,
            epochs=1, hardware__num_threads=1,
        )  # fmt: skip

    result = run("covered", Trained)
    model = load(tmp_path / "covered" / "model.rpt")
    expected = result.probabilities(X[:1])[0]
    found = model.predict(X[0].tolist()).probabilities
    np.testing.assert_allclose(list(found.values()), expected, atol=0.02)
    words = ["--format", "c", "--allowed-targets", f"{__name__}.Trained"]
    assert export([str(tmp_path / "covered"), *words]) == 0
    assert (tmp_path / "covered" / "model.c").exists()

    run("lacking", Lacking)
    assert not (tmp_path / "lacking" / "model.rpt").exists()
    log = (tmp_path / "lacking" / "run.log").read_text()
    assert (
        "model.rpt is not written: lacking: the network is test_export_own.Lacking, and the "
        "inference engine has no GroupNorm (norm): write it with raspitrain export RUN --format "
        "onnx --allowed-targets test_export_own.Lacking." in log
    )


class Lacking(nn.Module):
    def __init__(self, num_channels, num_classes, length):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(num_channels, 8, 3), nn.GroupNorm(2, 8)
        self.last = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.last(self.norm(self.conv(x)).relu().mean(2))
