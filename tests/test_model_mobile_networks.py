"""The networks made for phones: their published parameters, and plain statements of them."""

import pytest
import torch
import torch.nn.functional as F
from plain_layers import Weights, parameters_in_2d, spread_batchnorm
from test_model_networks import build


@pytest.mark.parametrize(
    ("name", "changes", "published"),
    [
        ("mobilenetv1", {}, 4_231_976),  # Keras
        ("mobilenetv2", {}, 3_504_872),  # torchvision
        ("mnasnet", {"table": "b1"}, 4_383_312),  # torchvision
        ("mnasnet", {"table": "a1"}, 3_887_038),  # timm's semnasnet_100
        ("shufflenetv1", {"groups": 1}, 1_531_936),  # imgclsmob, as the next four
        ("shufflenetv1", {"groups": 2}, 1_733_848),
        ("shufflenetv1", {"groups": 3}, 1_865_728),
        ("shufflenetv1", {"groups": 4}, 1_968_344),
        ("shufflenetv1", {"groups": 8}, 2_434_768),
        ("shufflenetv2", {}, 2_278_604),  # torchvision
    ],
)
def test_for_images_they_would_have_the_published_parameters(name, changes, published):
    assert parameters_in_2d(build(name, num_classes=1000, **changes)) == published


def mobilenetv1(weights, x):
    x = F.relu(weights.conv_norm(x, 32, 3, stride=2))
    outs = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
    for number, out in enumerate(outs):
        stride = 2 if number in (1, 3, 5, 11) else 1
        x = F.relu(weights.conv_norm(x, x.shape[1], 3, stride=stride, groups=x.shape[1]))
        x = F.relu(weights.conv_norm(x, out, 1))
    return weights.mean_linear(x, 4)


def inverted_residual(weights, x, kernel, expand, out, stride, se, act):
    width = expand * x.shape[1]
    y = act(weights.conv_norm(x, width, 1)) if expand > 1 else x
    y = act(weights.conv_norm(y, width, kernel, stride=stride, groups=width))
    if se:
        squeezed = F.relu(weights.linear(y.mean(dim=(2, 3)), x.shape[1] // 4))
        y = y * torch.sigmoid(weights.linear(squeezed, width))[:, :, None, None]
    y = weights.conv_norm(y, out, 1)
    return x + y if x.shape == y.shape else y


def mobilenetv2(weights, x):
    x = F.relu6(weights.conv_norm(x, 32, 3, stride=2))
    for expand, out, repeats, stride in [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]:
        for number in range(repeats):
            first = stride if number == 0 else 1
            x = inverted_residual(weights, x, 3, expand, out, first, False, F.relu6)
    return weights.mean_linear(F.relu6(weights.conv_norm(x, 1280, 1)), 4)


def mnasnet(weights, x):  # a1
    x = F.relu(weights.conv_norm(x, 32, 3, stride=2))
    for kernel, expand, out, repeats, stride, se in [
        (3, 1, 16, 1, 1, False),
        (3, 6, 24, 2, 2, False),
        (5, 3, 40, 3, 2, True),
        (3, 6, 80, 4, 2, False),
        (3, 6, 112, 2, 1, True),
        (5, 6, 160, 3, 2, True),
        (3, 6, 320, 1, 1, False),
    ]:
        for number in range(repeats):
            first = stride if number == 0 else 1
            x = inverted_residual(weights, x, kernel, expand, out, first, se, F.relu)
    return weights.mean_linear(F.relu(weights.conv_norm(x, 1280, 1)), 4)


def shuffled(x, groups):
    """Channel i of group g becomes channel g of group i."""
    each = x.shape[1] // groups
    return x[:, [g * each + i for i in range(each) for g in range(groups)]]


def shufflenetv1(weights, x):
    x = F.max_pool2d(F.relu(weights.conv_norm(x, 24, 3, stride=2)), 3, 2, 1)
    for out, repeats in ((240, 4), (480, 8), (960, 4)):
        for number in range(repeats):
            stride = 2 if number == 0 else 1
            groups = 1 if x.shape[1] == 24 else 3
            y = F.relu(weights.conv_norm(x, out // 4, 1, groups=groups))
            y = shuffled(y, 3)
            y = weights.conv_norm(y, out // 4, 3, stride=stride, groups=out // 4)
            y = weights.conv_norm(y, out if stride == 1 else out - x.shape[1], 1, groups=3)
            if stride == 1:
                x = F.relu(x + y)
            else:
                x = F.relu(torch.cat([F.avg_pool2d(x, (1, 3), (1, 2), (0, 1)), y], dim=1))
    return weights.mean_linear(x, 4)


def shufflenetv2(weights, x):
    x = F.max_pool2d(F.relu(weights.conv_norm(x, 24, 3, stride=2)), 3, 2, 1)
    for out, repeats in ((116, 4), (232, 8), (464, 4)):
        half = out // 2
        for number in range(repeats):
            if number == 0:
                width = x.shape[1]
                left = weights.conv_norm(x, width, 3, stride=2, groups=width)
                left = F.relu(weights.conv_norm(left, half, 1))
                right, stride = x, 2
            else:
                left, right, stride = x[:, :half], x[:, half:], 1
            right = F.relu(weights.conv_norm(right, half, 1))
            right = weights.conv_norm(right, half, 3, stride=stride, groups=half)
            right = F.relu(weights.conv_norm(right, half, 1))
            x = shuffled(torch.cat([left, right], dim=1), 2)
    return weights.mean_linear(F.relu(weights.conv_norm(x, 1024, 1)), 4)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "statement", [mobilenetv1, mobilenetv2, mnasnet, shufflenetv1, shufflenetv2]
)
def test_outputs_are_those_of_a_plain_statement(statement, training):
    name = statement.__name__
    no_dropout = {"dropout": 0.0} if name in ("mobilenetv2", "mnasnet") else {}
    model = build(name, num_classes=4, length=150, num_downsamples=5, **no_dropout)
    spread_batchnorm(model).train(training)
    signals = torch.randn(5, 3, 150)
    weights = Weights(model, training=training)
    expected = statement(weights, signals.unsqueeze(2))
    assert weights.all_taken()
    torch.testing.assert_close(model(signals), expected, rtol=1e-4, atol=1e-5)
