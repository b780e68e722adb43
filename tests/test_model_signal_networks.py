"""The networks made for signals: their published parameters, and plain statements of them."""

import pytest
import torch
import torch.nn.functional as F
from plain_layers import Weights, spread_batchnorm
from test_model_networks import build
from torch import nn


def num_parameters(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


# Of one channel and without the classifier, as Ismail-Fawaz et al. 2023 (LITE) count them.
@pytest.mark.parametrize(
    ("name", "changes", "published"),
    [
        ("fcn", {}, 264_704),
        ("resnet", {"width": 64}, 504_000),
        ("inceptiontime", {}, 420_192),
        ("lite", {}, 9_814),
    ],
)
def test_parameters_are_the_published_ones(name, changes, published):
    model = build(name, num_channels=1, **changes)
    classifier = num_parameters(model[-1])
    # Theirs have a bias in every convolution that a BatchNorm follows: it cancels out.
    biases = {"fcn", "resnet"} & {name}
    cancelled = sum(m.out_channels for m in model.modules() if isinstance(m, nn.Conv1d) and biases)
    assert num_parameters(model) - classifier + cancelled == published


def resnet(weights, x, width=32):
    for out in (width, 2 * width, 2 * width):
        y = F.relu(weights.conv_norm(x, out, 8))
        y = F.relu(weights.conv_norm(y, out, 5))
        y = weights.conv_norm(y, out, 3)
        x = weights.norm(x) if x.shape[1] == out else weights.conv_norm(x, out, 1)
        x = F.relu(x + y)
    return weights.mean_linear(x, 4)


def fcn(weights, x):
    for out, kernel in ((128, 8), (256, 5), (128, 3)):
        x = F.relu(weights.conv_norm(x, out, kernel))
    return weights.mean_linear(x, 4)


def inceptiontime(weights, x):
    residual = x
    for number in range(6):
        y = weights.conv(x, 32, 1) if x.shape[1] > 1 else x
        branches = [weights.conv(y, 32, kernel) for kernel in (40, 20, 10)]
        branches.append(weights.conv(F.max_pool2d(x, 3, 1, 1), 32, 1))
        x = F.relu(weights.norm(torch.cat(branches, dim=1)))
        if number % 3 == 2:
            x = residual = F.relu(x + weights.conv_norm(residual, 128, 1))
    return weights.mean_linear(x, 4)


def lite(weights, x):
    channels = x.shape[1]
    branches = []
    for kernel in (40, 20, 10):
        if channels == 1:
            branches.append(weights.conv(x, 32, kernel))
        else:
            branches.append(weights.conv(x, channels, kernel, groups=channels))
            branches[-1] = weights.conv(branches[-1], 32, 1)
    branches.append(F.relu(weights.conv(x, 17 * channels, 96, groups=channels)))
    x = F.relu(weights.norm(torch.cat(branches, dim=1)))
    for kernel, dilation in ((20, 2), (10, 4)):
        x = weights.conv(x, x.shape[1], kernel, dilation=dilation, groups=x.shape[1])
        x = F.relu(weights.conv_norm(x, 32, 1))
    return weights.mean_linear(x, 4)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("num_channels", "length"), [(1, 50), (3, 101)])
@pytest.mark.parametrize("statement", [resnet, fcn, inceptiontime, lite])
def test_outputs_are_those_of_a_plain_statement(statement, num_channels, length, training):
    model = build(statement.__name__, num_channels=num_channels, num_classes=4, length=length)
    spread_batchnorm(model).train(training)
    signals = torch.randn(5, num_channels, length)
    weights = Weights(model, training=training)
    expected = statement(weights, signals.unsqueeze(2))
    assert weights.all_taken()
    torch.testing.assert_close(model(signals), expected, rtol=1e-4, atol=1e-5)


def keras_filters():
    """LITE's filters one by one, as its authors lay them: "same" padding of each."""
    for sign in (-1, 1):
        for size in (2, 4, 8, 16, 32, 64):
            yield [sign if i % 2 == 0 else -sign for i in range(size)]
    for size in (4, 8, 16, 32, 64):
        quarter = size // 4
        up = [((i + 1) / quarter) ** 2 for i in range(quarter)]
        hill = up + up[::-1]
        yield [-v for v in hill] + [2 * v for v in hill] + [-v for v in hill]


@pytest.mark.parametrize("num_channels", [1, 3])
def test_lites_fixed_filters_are_the_papers_and_stay_as_they_are(num_channels):
    model = build("lite", num_channels=num_channels)
    signals = torch.randn(2, num_channels, 70)
    expected = []
    for channel in range(num_channels):
        for taps in keras_filters():
            reach = len(taps) - 1
            x = F.pad(signals[:, channel : channel + 1], (reach // 2, reach - reach // 2))
            expected.append(F.relu(F.conv1d(x, torch.tensor(taps).float().view(1, 1, -1))))
    fixed = model[0][-1]
    torch.testing.assert_close(fixed(signals), torch.cat(expected, dim=1), rtol=1e-4, atol=1e-5)
    assert num_parameters(fixed) == 0
