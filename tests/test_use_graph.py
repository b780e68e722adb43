"""Networks of any layers in the inference engine: what it gives is what the modules give."""

import copy
import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from plain_layers import spread_batchnorm
from test_model_networks import NETWORKS, build
from test_use_engine import contract, expected_logits, raw_windows
from test_use_model_file import fuzz, header_of, refusal, sealed
from torch import nn

from raspitrain.export.graph import NotCoveredError
from raspitrain.export.pack_graph import pack_graph
from raspitrain.export.write import Answer, run_packed, write_model
from raspitrain.model.layers import Add, ChannelGate, Concat, Shuffle, conv, conv_norm
from raspitrain.use import engine, load
from raspitrain.use.graph import plan, sources

OTHERS = [name for name in NETWORKS if not name.startswith("mobilenetv3")]


def narrow(name, **changes):
    """A network of conf/model as training would leave it, of few channels."""
    return spread_batchnorm(build(name, narrow=True, **changes)).eval()


def logits_of(model, length, channels=3, precision="fp32", count=2, **changes):
    """Raw windows, and what every kind of kernels makes of them."""
    given = contract(channels)
    windows = raw_windows(given, length, count)
    packed = pack_graph(model, num_channels=channels, length=length, precision=precision, **changes)
    ranks = range(len(engine.kernels()))
    return windows, [run_packed(*packed, given, windows, rank=rank) for rank in ranks]


SHORT = [(name, 1, 8) for name in ("inceptiontime", "lite", "vgg")]  # have a way of their own


@pytest.mark.parametrize(
    ("name", "channels", "length"), [*((name, 5, 61) for name in OTHERS), *SHORT]
)
def test_every_network_gives_the_scores_of_its_modules(name, channels, length):
    """To rounding in fp32, nearly in int8, with the same bits by all kernels."""
    model = narrow(name, num_channels=channels, num_classes=5, length=length)
    expected = None
    for precision, most in (("fp32", 1e-6), ("int8", 0.05)):
        windows, (logits, *others) = logits_of(model, length, channels, precision)
        if expected is None:
            float64 = copy.deepcopy(model)
            expected = expected_logits(float64, contract(channels), windows)
        error = np.sqrt(((logits - expected) ** 2).mean() / (expected**2).mean())
        assert error <= most
        for other in others:
            np.testing.assert_array_equal(other, logits)


def test_int8_of_a_dense_convolution_is_what_it_says():
    """One scale for all positions where windows overlap, one a window where they are apart."""
    for dilation in (1, 2):
        model = nn.Sequential(
            nn.Conv1d(3, 8, 1), nn.Conv1d(8, 5, 3, padding=dilation, dilation=dilation),
            nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        ).eval()  # fmt: skip
        windows, (logits, *_) = logits_of(model, 20, precision="int8", count=1)
        mean, std = (np.asarray(v)[:, None] for v in (contract(3).mean, contract(3).std))
        with torch.no_grad():
            x = model[0](torch.from_numpy(((windows - mean) / std).astype(np.float32)))
        x = nn.functional.pad(x, (dilation, dilation))[0].numpy().astype(np.float64)
        weight = model[1].weight.detach().numpy().astype(np.float64)
        scale = np.abs(weight).max(axis=(1, 2)) / 127
        quantised = np.rint(weight / scale[:, None, None])
        rows = np.stack([x[:, t : t + 2 * dilation + 1 : dilation] for t in range(20)])
        largest = np.abs(x if dilation == 1 else rows).max(axis=None if dilation == 1 else (1, 2))
        by = np.broadcast_to(largest / 127, 20)
        sums = np.einsum("tck,ock->to", np.rint(rows / by[:, None, None]), quantised)
        y = sums * scale * by[:, None] + model[1].bias.detach().numpy()
        np.testing.assert_allclose(logits[0], y.mean(axis=0), rtol=1e-5, atol=1e-6)


LAYERS = {
    "activations": [nn.Hardswish(), nn.Conv1d(12, 12, 3), nn.GELU(), nn.Conv1d(12, 12, 1),
                    nn.SiLU(), nn.Conv1d(12, 12, 1, groups=12), nn.Sigmoid(), nn.Conv1d(12, 12, 1),
                    nn.Tanh(), nn.Conv1d(12, 12, 1), nn.Hardsigmoid(), nn.ReLU6()],
    "activations alone": [nn.Tanh(), nn.GELU(), nn.Sigmoid(), nn.SiLU(), nn.ReLU()],
    "dilated": [nn.Conv1d(12, 9, 4, dilation=3), nn.ReLU(), conv(9, 12, 6, dilation=3, stride=2)],
    "strided": [nn.Conv1d(12, 7, 5, stride=3, padding=1), nn.Conv1d(7, 12, 2, stride=2)],
    "same": [nn.Conv1d(12, 12, 4, padding="same"), nn.Conv1d(12, 12, 3, padding="valid")],
    "groups": [nn.Conv1d(12, 20, 3, groups=4), Shuffle(5), nn.Conv1d(20, 12, 1, groups=2)],
    "depthwise": [nn.Conv1d(12, 24, 5, stride=2, dilation=2, groups=12), conv(24, 12, 1)],
    "pools": [nn.MaxPool1d(3, 2, padding=1), nn.AvgPool1d(3, 2, padding=1),
              nn.MaxPool1d(2, ceil_mode=True), nn.ReLU()],
    "norm first": [nn.BatchNorm1d(12), nn.ReLU(), conv(12, 12, 3), nn.BatchNorm1d(12)],
    "read twice": [Add(nn.Sequential(nn.BatchNorm1d(12), nn.ReLU()), nn.Identity(), "relu")],
    "shuffled sum": [Add(nn.Sequential(conv(12, 12, 3), Shuffle(3)), nn.Identity())],
    "joined": [Concat(nn.Identity(), conv_norm(12, 5, 3), nn.MaxPool1d(3, 1, padding=1)),
               nn.BatchNorm1d(29), nn.ReLU(), conv(29, 12, 1)],
    "gated": [ChannelGate(12, 5), Shuffle(2), ChannelGate(12, 3)],
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_and_each_way_to_combine_them(name):
    torch.manual_seed(1)
    model = nn.Sequential(
        conv(3, 12, 3), *LAYERS[name], nn.AdaptiveAvgPool1d(3), nn.Flatten(), nn.Linear(36, 4)
    )
    model = spread_batchnorm(model).eval()
    windows, (logits, *others) = logits_of(model, 41)
    expected = expected_logits(model, contract(3), windows)
    assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()
    for other in others:
        np.testing.assert_array_equal(other, logits)


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (nn.LSTM(12, 4), "LSTM"),
        (nn.Conv1d(12, 12, 3, padding=1, padding_mode="circular"), "circular"),
        (nn.GELU("tanh"), "tanh"),
        (nn.BatchNorm1d(12, track_running_stats=False), "batch"),
        (nn.AvgPool1d(3, padding=1, count_include_pad=False), "AvgPool1d"),
        (nn.ConstantPad1d(1, 1.0), "zeros"),
        (nn.Linear(38, 4), "Flatten"),
    ],
)
def test_what_the_engine_lacks_is_named(layer, says):
    model = nn.Sequential(nn.Conv1d(3, 12, 3), layer).eval()
    with pytest.raises(NotCoveredError, match=says):
        pack_graph(model, num_channels=3, length=40, precision="fp32")


@pytest.mark.parametrize("name", ["densenet", "shufflenetv2", "inceptiontime"])
def test_no_value_is_written_over_that_is_still_read(name):
    network, _ = pack_graph(narrow(name), num_channels=3, length=64, precision="int8")
    values, scratch, floats = plan(network)
    last = {value: i for i, layer in enumerate(network["layers"]) for value in sources(layer)}
    for i in range(len(network["layers"])):
        alive = [v for v in range(i + 2) if last.get(v, len(values)) >= i or v == i + 1]
        places = sorted((values[v].at, values[v].at + values[v].floats) for v in alive)
        assert all(end <= begin for (_, end), (begin, _) in pairwise(places))
        assert places[-1][1] <= scratch <= floats
    assert scratch < 0.6 * sum(value.floats for value in values)


# ---------------------------------------------------------------- the file


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A file of a network with every kind of layer."""
    torch.manual_seed(0)
    model = nn.Sequential(
        conv(2, 4, 3, stride=2),
        nn.MaxPool1d(3, 1, padding=1),
        Add(nn.Sequential(conv(4, 4, 3, groups=4), nn.AvgPool1d(3, 1, padding=1)), nn.Identity()),
        Concat(nn.Identity(), conv(4, 2, 2)),
        ChannelGate(6, 2),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(6, 2),
    ).eval()
    network, arrays = pack_graph(model, num_channels=2, length=8, precision="int8")
    kinds = {layer["layer"] for layer in network["layers"]}
    assert len(kinds) == 8
    path = tmp_path_factory.mktemp("graph") / "model.rpt"
    write_model(path, network, arrays, contract(2), Answer(["a", "b"]), {})
    return path


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("convolution", "source", -1),
        ("convolution", "source", 1.0),
        ("convolution", "out", 12),
        ("convolution", "kernel", 0),
        ("convolution", "kernel", 2**40),
        ("convolution", "stride", 0),
        ("convolution", "dilation", 2**62),
        ("convolution", "padding", [2**62, 0]),
        ("convolution", "padding", [1]),
        ("convolution", "activation", "softmax"),
        ("depthwise", "kernel", 9),
        ("depthwise", "source", 0),
        ("depthwise", "source", 40),
        ("max_pool", "padding", [2, 0]),
        ("mean_pool", "stride", -1),
        ("mean", "positions", 0),
        ("mean", "positions", 2**22),
        ("add", "other", 0),
        ("gate", "other", 0),
        ("join", "runs", []),
        ("join", "runs", [[1, 0]]),
        ("join", "runs", [[1, 0, 9]]),
        ("join", "runs", [[1, 7, 2]]),
        ("join", "runs", [[99, 0, 1]]),
        ("join", "runs", [[0, 0, 1], [1, 0, 1]]),
        ("join", "layer", "attention"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(tmp_path, small, kind, key, value):
    header = header_of(small)[0]
    layer = next(layer for layer in header["network"]["layers"] if layer["layer"] == kind)
    layer[key] = value
    path = tmp_path / "model.rpt"
    path.write_bytes(sealed(small, json.dumps(header).encode()))
    assert "network.layers[" in refusal(path)


def test_layers_that_take_all_memory_or_all_time_are_refused(tmp_path, small):
    path, header = tmp_path / "model.rpt", header_of(small)[0]
    pool = {"layer": "mean", "source": 1, "positions": 1 << 22, "activation": "identity"}
    layers = header["network"]["layers"]
    endless = {"layer": "max_pool", "kernel": 1 << 16, "stride": 1, "activation": "identity"}
    endless["padding"] = [1 << 15, (1 << 15) - 1]
    for made, says in (
        ([dict(pool) for _ in range(40)], "MB of memory"),
        ([pool, *(endless | {"source": len(layers) + 1 + k} for k in range(3))], "so much work"),
    ):
        # The last layer's value is still what it was: the scores.
        added = [layer | {"source": 1} if layer["layer"] == "mean" else layer for layer in made]
        runs = [[len(layers), 0, 2]]
        sink = [{"layer": "add", "source": v, "other": v, "activation": "identity"}
                for v in range(len(layers) + 1, len(layers) + len(added) + 1)]  # fmt: skip
        join = {"layer": "join", "runs": runs}
        header["network"]["layers"] = [*layers, *added, *sink, join]
        path.write_bytes(sealed(small, json.dumps(header).encode()))
        assert says in refusal(path)


@pytest.mark.parametrize("kind", ["sealed", "huge"])
@pytest.mark.parametrize("step", [29, pytest.param(1, marks=pytest.mark.long)])
def test_a_file_that_a_stranger_wrote_is_refused_or_works(small, kind, step):
    load(small)
    read, refused = fuzz(small, kind, step)
    assert refused > read // 4
