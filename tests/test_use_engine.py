"""The inference engine: what it gives is what the network gives, on every processor."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_layers import spread_batchnorm
from test_model_mobilenetv3 import MODELS, build

from raspitrain.cache import cache_folder
from raspitrain.data.normalise import fit_normalisation
from raspitrain.errors import InputError
from raspitrain.export.pack import pack, quantise
from raspitrain.export.trained import contract_of
from raspitrain.export.write import Contract, run_packed
from raspitrain.use import engine
from raspitrain.use.network import tensors

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(name, **changes):
    """A network as training would leave it, of the shape that `changes` give."""
    return spread_batchnorm(build(name, **changes)).eval()


def contract(channels):
    """Every channel with a mean and a deviation of its own."""
    return Contract(
        channels=[f"c{c}" for c in range(channels)],
        mean=[0.5 * c - 1 for c in range(channels)],
        std=[0.25 * (c + 1) for c in range(channels)],
        missing="error",
    )


def raw_windows(given, length, count, seed=0):
    random = np.random.default_rng(seed)
    windows = random.normal(size=(count, len(given.channels), length))
    windows = windows * np.asarray(given.std)[:, None] + np.asarray(given.mean)[:, None]
    return windows.astype(np.float32)


def expected_logits(model, given, windows):
    """What the modules give, in float64."""
    mean, std = (torch.tensor(v, dtype=torch.float64)[:, None] for v in (given.mean, given.std))
    with torch.no_grad():
        return model.double()((torch.from_numpy(windows).double() - mean) / std).numpy()


NETWORKS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(MODELS),
        "length": st.integers(8, 1460) | st.sampled_from([8, 9, 16, 100, 128, 224, 1460]),
        "num_channels": st.integers(1, 12),
        "num_classes": st.integers(2, 20),
        "width_mult": st.sampled_from([0.25, 0.35, 0.5, 0.75, 1.0]),
    }
)


@given(NETWORKS)
@settings(max_examples=20)
def test_fp32_is_the_network(shape):
    model, given = trained(**shape), contract(shape["num_channels"])
    windows = raw_windows(given, shape["length"], 1)
    network, arrays = pack(model, length=shape["length"], precision="fp32")
    expected = expected_logits(model, given, windows)
    logits = run_packed(network, arrays, given, windows)
    assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()


@given(NETWORKS, st.sampled_from(["fp32", "int8"]))
@settings(max_examples=15)
def test_all_kernels_give_the_same_bits(shape, precision):
    """What a PC predicts is what the board predicts: only how bytes are multiplied differs."""
    given = contract(shape["num_channels"])
    windows = raw_windows(given, shape["length"], 2)
    network, arrays = pack(trained(**shape), length=shape["length"], precision=precision)
    logits = [
        run_packed(network, arrays, given, windows, rank=rank)
        for rank in range(len(engine.kernels()))
    ]
    for other in logits[1:]:
        np.testing.assert_array_equal(other, logits[0])


# ---------------------------------------------------------------- int8, in numpy


def by_case(kind, channels, length):
    """A contract of this kind, what it stands for, and raw windows: loud and quiet, one flat."""
    rng = np.random.default_rng(1)
    loudness = 10.0 ** rng.uniform(-4, 4, (12, channels, 1))
    windows = loudness * rng.normal(rng.normal(size=(12, channels, 1)), 1, (12, channels, length))
    windows[-1] = 0.1
    windows = windows.astype(np.float32)
    normalisation = fit_normalisation(windows, np.arange(10), kind)
    names = [f"c{c}" for c in range(channels)]
    given = Contract(channels=names, missing="error", **contract_of(normalisation, length))
    return given, normalisation, windows


@pytest.mark.parametrize("kind", ["case", "both", "none"])
def test_a_window_is_normalised_as_in_training(kind):
    given, normalisation, windows = by_case(kind, 3, 70)
    model = trained(
        "mobilenetv3_small", width_mult=0.25, length=70, num_channels=normalisation.num_channels
    )
    network, arrays = pack(model, length=70, precision="fp32", normalise=given.normalise)
    seen = torch.from_numpy(normalisation.apply(windows)).double()
    with torch.no_grad():
        expected = model.double()(seen).numpy()
    for rank in range(len(engine.kernels())):
        logits = run_packed(network, arrays, given, windows, rank=rank)
        scale = np.abs(expected).max(axis=1, keepdims=True)
        np.testing.assert_allclose(logits / scale, expected / scale, atol=2e-5)
    windows[0, 1, 5] = np.nan
    assert np.isnan(run_packed(network, arrays, given, windows)[0]).all()


def fused(a, b, c):
    """float32(a b + c), as a processor rounds it: once."""
    return np.float32(np.float64(a) * np.float64(b) + np.float64(c))


def hard_sigmoid(x):
    return np.clip(fused(x, np.float32(1 / 6), np.float32(0.5)), 0, 1).astype(np.float32)


ACTIVATIONS = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "hardswish": lambda x: x * hard_sigmoid(x),
    "hard_sigmoid": hard_sigmoid,
}


class Int8:
    """The network on one window, rows of (position, channel), from the arrays that are packed."""

    def __init__(self, network, arrays, given):
        self.network, self.given = network, given
        self.arrays = {t.name: a for t, a in zip(tensors(network), arrays, strict=True)}

    def linear(self, name, x, activation):
        weight = self.arrays[f"{name}.weight"].transpose(0, 2, 1, 3)
        weight = weight.reshape(len(weight) * 8, -1).astype(np.int64)
        largest = np.abs(x).max(axis=1, keepdims=True)
        factor = np.where(largest > 0, np.float32(127) / np.where(largest > 0, largest, 1), 0)
        rounded = np.rint(x * factor.astype(np.float32)).astype(np.int64)
        sums = (rounded @ weight.T).astype(np.float32)
        scale = self.arrays[f"{name}.scale"] * (largest / np.float32(127))
        return ACTIVATIONS[activation](fused(sums, scale, self.arrays[f"{name}.bias"]))

    def stem(self, window):
        mean, std = (np.asarray(v)[:, None] for v in (self.given.mean, self.given.std))
        factor = (1 / std).astype(np.float32)
        rows = np.pad(((window - mean.astype(np.float32)) * factor).T, ((1, 1), (0, 0)))
        weight = (
            self.arrays["stem.weight"]
            .transpose(0, 2, 1)
            .reshape(-1, rows.shape[1] * 3 + (-rows.shape[1] * 3) % 4)
        )
        out = []
        for start in range(0, window.shape[1], self.network["stem"]["stride"]):
            sums = self.arrays["stem.bias"]
            for k, value in enumerate(rows[start : start + 3].reshape(-1)):
                sums = fused(weight[:, k], value, sums)
            out.append(sums)
        return ACTIVATIONS["hardswish"](np.array(out))

    @staticmethod
    def mean(rows):
        """One after another, as the engine adds them."""
        total = np.zeros(rows.shape[1], np.float32)
        for row in rows:
            total = total + row
        return (total * (np.float32(1) / np.float32(len(rows))))[None]

    def block(self, k, block, x):
        name, act, kernel = f"blocks.{k}", block["activation"], block["kernel"]
        inner = self.linear(f"{name}.expand", x, act) if block["expand"] else x
        inner = np.pad(inner, ((kernel // 2, kernel // 2), (0, 0)))
        z = []
        for start in range(0, len(x), block["stride"]):
            sums = self.arrays[f"{name}.depthwise.bias"]
            for tap, row in zip(
                self.arrays[f"{name}.depthwise.weight"], inner[start:], strict=False
            ):
                sums = fused(tap, row, sums)
            z.append(sums)
        z = ACTIVATIONS[act](np.array(z))
        if block["squeezed"]:
            squeezed = self.linear(f"{name}.squeeze", self.mean(z), "relu")
            z = z * self.linear(f"{name}.excite", squeezed, "hard_sigmoid")
        y = self.linear(f"{name}.project", z, block["project_activation"])
        return y + x if block["residual"] else y

    def logits(self, window):
        x = self.stem(window)
        for k, block in enumerate(self.network["blocks"]):
            x = self.block(k, block, x)
        pooled = self.mean(self.linear("last", x, "hardswish"))
        hidden = self.linear("hidden", pooled, "hardswish")
        logits = self.linear("classifier", hidden, self.network["logits_activation"])
        return logits[0, : self.network["classes"]]


@given(NETWORKS.filter(lambda shape: shape["length"] <= 256))
@settings(max_examples=12)
def test_int8_is_what_it_says(shape):
    """Against a statement of it in numpy: a single integer that differed would be a step of a
    percent."""
    given = contract(shape["num_channels"])
    window = raw_windows(given, shape["length"], 1)
    network, arrays = pack(trained(**shape), length=shape["length"], precision="int8")
    expected = Int8(network, arrays, given).logits(window[0])
    logits = run_packed(network, arrays, given, window)[0]
    assert np.abs(logits - expected).max() <= 2e-6 * np.abs(expected).max()


@pytest.mark.parametrize("name", MODELS)
def test_int8_stays_near_the_network(name):
    model, given = trained(name, length=128), contract(3)
    windows = raw_windows(given, 128, 8)
    network, arrays = pack(model, length=128, precision="int8")
    expected = expected_logits(model, given, windows)
    error = run_packed(network, arrays, given, windows) - expected
    assert np.sqrt((error**2).mean()) < 0.05 * np.sqrt((expected**2).mean())


def test_weights_take_the_whole_range_of_int8():
    weight = np.array([[0.5, -1.0, 0.25], [0, 0, 0]], np.float32)
    quantised, scale = quantise(weight)
    np.testing.assert_array_equal(quantised, [[64, -127, 32], [0, 0, 0]])
    np.testing.assert_allclose(scale, [1 / 127, 0])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_what_is_not_finite_is_refused(precision, value):
    given = contract(3)
    network, arrays = pack(trained("mobilenetv3_small"), length=64, precision=precision)
    window = raw_windows(given, 64, 1)
    window[0, 1, 17] = value
    for rank in range(len(engine.kernels())):
        assert np.isnan(run_packed(network, arrays, given, window, rank=rank)).all()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_what_grows_beyond_float_does_not_look_like_an_answer(precision):
    given = Contract(["a"], mean=[0.0], std=[1.0], missing="error")
    network, arrays = pack(
        trained("mobilenetv3_small", num_channels=1), length=64, precision=precision
    )
    window = np.full((1, 1, 64), 1e38, np.float32)
    window[0, 0, ::2] = -1e38
    for rank in range(len(engine.kernels())):
        logits = run_packed(network, arrays, given, window, rank=rank)
        assert not (np.abs(logits) < 1e20).all()


def test_sha256_is_sha256():
    import hashlib

    for size in (0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 5000):
        data = np.random.default_rng(size).integers(0, 256, size, np.uint8)
        assert engine.sha256(data.ctypes.data, size) == hashlib.sha256(data.tobytes()).digest()


# ---------------------------------------------------------------- the library


def python(code, **variables):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | variables,
        timeout=300,
    )


def test_all_that_is_compiled_lies_in_one_folder():
    assert engine.cache_folder() == str(cache_folder())


def test_a_library_that_is_not_what_was_compiled_is_compiled_again(tmp_path):
    code = "from raspitrain.use import engine; print(engine._find(), *engine.kernels())"
    compiled = Path(python(code).stdout.split()[0])
    compiler = tmp_path / "compiler"  # called as compiler … -o PARTIAL …
    compiler.write_text(f'#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\ncp {compiled} "$2"\n')
    compiler.chmod(0o755)
    variables = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "CC": str(compiler)}
    first = python(code, **variables)
    assert "Compiling" in first.stderr
    again = python(code, **variables)
    assert "Compiling" not in again.stderr
    assert again.stdout == first.stdout
    path = Path(first.stdout.split()[0])
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for harm in (b"", content[: len(content) // 2], bytes(len(content)), bytes(flipped)):
        path.write_bytes(harm)
        again = python(code, **variables)
        assert "Compiling" in again.stderr
        assert again.stdout == first.stdout
    path.parent.chmod(0o777)  # whoever can write there could have put another library in
    assert "chmod 700" in python(code, **variables).stderr


def test_without_a_compiler_one_sentence_says_what_to_install(tmp_path):
    code = (
        "from raspitrain.errors import InputError\nfrom raspitrain.use import engine\n"
        "try: engine.library()\nexcept InputError as error: print(error)"
    )
    told = python(code, XDG_CACHE_HOME=str(tmp_path), CC="no-such-compiler")
    assert told.stdout.count("\n") == 1
    assert "no-such-compiler" in told.stdout
    assert "apt-get install gcc" in told.stdout
    failing = python(code, XDG_CACHE_HOME=str(tmp_path), CC="false")
    assert failing.stdout.count("\n") == 1
    assert "cannot be compiled" in failing.stdout
    blocked = python(code, XDG_CACHE_HOME="/dev/null")
    assert blocked.stdout.count("\n") == 1
    assert "XDG_CACHE_HOME" in blocked.stdout


def test_a_network_too_large_for_its_memory_is_refused(monkeypatch):
    monkeypatch.setattr(engine, "MOST_BYTES", 1 << 20)
    network, arrays = pack(trained("mobilenetv3_small"), length=64, precision="fp32")
    with pytest.raises(InputError, match="MB of memory"):
        run_packed(network | {"length": 1 << 22}, arrays, contract(3), np.zeros((1, 3, 64)))


def test_an_engine_that_cannot_be_loaded_is_refused_with_the_remedy(tmp_path, monkeypatch):
    """As from a card that is mounted noexec."""
    (tmp_path / "infer.so").write_text("no library")
    monkeypatch.setattr(engine, "_library", None)
    monkeypatch.setattr(engine, "_find", lambda: str(tmp_path / "infer.so"))
    with pytest.raises(InputError, match="XDG_CACHE_HOME to a folder that programs may be run"):
        engine.library()
