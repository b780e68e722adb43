"""The classic networks of images: their published parameters, and plain statements of them."""

import pytest
import torch
import torch.nn.functional as F
from plain_layers import Weights, parameters_in_2d, spread_batchnorm
from test_model_networks import build

NO_NORM = {"batchnorm": False}


@pytest.mark.parametrize(
    ("name", "changes", "published"),
    [
        ("squeezenet", {"table": "v1_0", **NO_NORM}, 1_248_424),  # torchvision, as the next seven
        ("squeezenet", {"table": "v1_1", **NO_NORM}, 1_235_496),
        ("densenet", {}, 7_978_856),
        ("vgg", {"depth": 11, **NO_NORM}, 132_863_336),
        ("vgg", {"depth": 16, **NO_NORM}, 138_357_544),
        ("vgg", {"depth": 19, **NO_NORM}, 143_667_240),
        ("alexnet", NO_NORM, 61_100_840),
        ("googlenet", NO_NORM, 6_998_552),  # Caffe's bvlc_googlenet, without its two side outputs
    ],
)
def test_for_images_they_would_have_the_published_parameters(name, changes, published):
    with torch.device("meta"):
        model = build(name, num_classes=1000, length=224, **changes)
    # The first hidden layer sees a row of 7 or 6 positions, not a square.
    flattened = {"vgg": 512 * 7 * (7 - 1) * 4096, "alexnet": 256 * 6 * (6 - 1) * 4096}
    assert parameters_in_2d(model) + flattened.get(name, 0) == published


def test_lenet_would_have_the_published_parameters():
    # 61,706 is the restatement that ours follows, with 5 x 5 positions before C5.
    model = build("lenet", num_channels=1, num_classes=10, length=28)
    assert parameters_in_2d(model) + 16 * 5 * (5 - 1) * 120 == 61_706


def halved(x):
    """Means or maxima of two positions; a last odd one stands alone."""
    pairs = [x[..., i : i + 2] for i in range(0, x.shape[3], 2)]
    return pairs


def halved_by_mean(x):
    return torch.cat([pair.mean(dim=3, keepdim=True) for pair in halved(x)], dim=3)


def halved_by_max(x):
    return torch.cat([pair.amax(dim=3, keepdim=True) for pair in halved(x)], dim=3)


def averaged_to(x, positions):
    """The means of as many stretches, which overlap where the length is no multiple: (N, C * P)."""
    length = x.shape[3]
    parts = [
        x[..., i * length // positions : -(-(i + 1) * length // positions)].mean(dim=(2, 3))
        for i in range(positions)
    ]
    return torch.stack(parts, dim=2).flatten(1)


def lenet(weights, x, norm):
    x = halved_by_mean(torch.tanh(weights.conv(x, 6, 5, bias=True)))
    x = halved_by_mean(torch.tanh(weights.conv(x, 16, 5, bias=True)))
    x = torch.tanh(weights.linear(averaged_to(x, 5), 120))
    return weights.linear(torch.tanh(weights.linear(x, 84)), 4)


def layer(weights, x, out, kernel, norm, stride=1):
    x = weights.conv(x, out, kernel, stride=stride, bias=not norm)
    return F.relu(weights.norm(x) if norm else x)


def alexnet(weights, x, norm):
    x = F.max_pool2d(layer(weights, x, 64, 11, norm, stride=4), 3, 2, 1)
    x = F.max_pool2d(layer(weights, x, 192, 5, norm), 3, 2, 1)
    for out in (384, 256, 256):
        x = layer(weights, x, out, 3, norm)
    x = averaged_to(F.max_pool2d(x, 3, 2, 1), 6)
    for _ in range(2):
        x = F.relu(weights.linear(x, 4096))
    return weights.linear(x, 4)


def vgg(weights, x, norm):
    for stage in ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3):
        for out in stage:
            x = layer(weights, x, out, 3, norm)
        x = halved_by_max(x)
    x = averaged_to(x, 7)
    for _ in range(2):
        x = F.relu(weights.linear(x, 4096))
    return weights.linear(x, 4)


def googlenet(weights, x, norm):
    x = F.max_pool2d(layer(weights, x, 64, 7, norm, stride=2), 3, 2, 1)
    x = layer(weights, layer(weights, x, 64, 1, norm), 192, 3, norm)
    for number, (a, b, c, d, e, f) in enumerate(
        [
            (64, 96, 128, 16, 32, 32),
            (128, 128, 192, 32, 96, 64),
            (192, 96, 208, 16, 48, 64),
            (160, 112, 224, 24, 64, 64),
            (128, 128, 256, 24, 64, 64),
            (112, 144, 288, 32, 64, 64),
            (256, 160, 320, 32, 128, 128),
            (256, 160, 320, 32, 128, 128),
            (384, 192, 384, 48, 128, 128),
        ]
    ):
        if number in (0, 2, 7):
            x = F.max_pool2d(x, 3, 2, 1)
        branches = [layer(weights, x, a, 1, norm)]
        branches.append(layer(weights, layer(weights, x, b, 1, norm), c, 3, norm))
        branches.append(layer(weights, layer(weights, x, d, 1, norm), e, 5, norm))
        branches.append(layer(weights, F.max_pool2d(x, 3, 1, 1), f, 1, norm))
        x = torch.cat(branches, dim=1)
    return weights.mean_linear(x, 4)


def squeezenet(weights, x, norm):  # v1_1
    x = F.max_pool2d(layer(weights, x, 64, 3, norm, stride=2), 3, 2, 1)
    for number, squeeze in enumerate((16, 16, 32, 32, 48, 48, 64, 64)):
        if number in (2, 4):
            x = F.max_pool2d(x, 3, 2, 1)
        x = layer(weights, x, squeeze, 1, norm)
        one, three = (layer(weights, x, 4 * squeeze, kernel, norm) for kernel in (1, 3))
        x = torch.cat([one, three], dim=1)
    return F.relu(weights.conv(x, 4, 1, bias=True)).mean(dim=(2, 3))


def densenet(weights, x, norm):
    x = F.max_pool2d(F.relu(weights.conv_norm(x, 64, 7, stride=2)), 3, 2, 1)
    for number, repeats in enumerate((6, 12, 24, 16)):
        if number:
            x = weights.conv(F.relu(weights.norm(x)), x.shape[1] // 2, 1)
            x = halved_by_mean(x)
        for _ in range(repeats):
            y = weights.conv(F.relu(weights.norm(x)), 128, 1)
            y = weights.conv(F.relu(weights.norm(y)), 32, 3)
            x = torch.cat([x, y], dim=1)
    return weights.mean_linear(F.relu(weights.norm(x)), 4)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("statement", [lenet, alexnet, vgg, googlenet, squeezenet, densenet])
def test_outputs_are_those_of_a_plain_statement(statement, norm, training):
    name = statement.__name__
    changes = {} if name in ("lenet", "densenet") else {"batchnorm": norm, "dropout": 0.0}
    length, halvings = {"lenet": (75, 2), "squeezenet": (77, 4)}.get(name, (235, 5))
    model = build(name, num_classes=4, length=length, num_downsamples=halvings, **changes)
    spread_batchnorm(model).train(training)
    signals = torch.randn(3, 3, length)
    weights = Weights(model, training=training)
    expected = statement(weights, signals.unsqueeze(2), norm)
    assert weights.all_taken()
    torch.testing.assert_close(model(signals), expected, rtol=1e-4, atol=1e-5)
