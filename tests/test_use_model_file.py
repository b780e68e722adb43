"""The model file: what is written is what is read, and nothing else is."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_model_engines import tiny
from test_use_engine import contract, expected_logits, raw_windows, trained

from raspitrain.errors import InputError
from raspitrain.export.pack import pack
from raspitrain.export.write import Answer, Contract, write_model
from raspitrain.model.tables import Row
from raspitrain.use import load
from raspitrain.use.model_file import MAGIC, aligned

REPOSITORY = Path(__file__).parents[1]


def write(path, model, given, length, precision="fp32", **answer):
    network, arrays = pack(model, length=length, precision=precision)
    names = [f"class {k}" for k in range(network["classes"])]
    write_model(path, network, arrays, given, Answer(names, **answer), {"seed": 0})
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model file of a few kilobytes."""
    rows = (Row(3, 8, 8, True, "RE", 1), Row(5, 16, 8, False, "HS", 2))
    model = tiny(rows, engine="plain", channels=2, dtype=torch.float32).eval()
    path = tmp_path_factory.mktemp("small") / "model.rpt"
    return write(path, model, contract(2), 8, "int8")


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory):
    """A model file of an ordinary network, and that network."""
    model, given = trained("mobilenetv3_small", width_mult=0.25, length=48), contract(3)
    return write(tmp_path_factory.mktemp("ordinary") / "model.rpt", model, given, 48), model


def header_of(path):
    content = path.read_bytes()
    length = int.from_bytes(content[8:16], "little")
    return json.loads(content[16 : 16 + length]), content[aligned(16 + length) : -32]


def sealed(path, text):
    """A file with the tensors of the one at `path`, another header, and a digest that is right."""
    start = MAGIC + b"\1" + len(text).to_bytes(8, "little") + text
    content = start + bytes(aligned(len(start)) - len(start)) + header_of(path)[1]
    return content + hashlib.sha256(content).digest()


# ---------------------------------------------------------------- what is written


def test_a_model_answers_as_the_network_that_was_trained(ordinary):
    path, network = ordinary
    model, windows = load(path), raw_windows(contract(3), 48, 3)
    expected = expected_logits(network, contract(3), windows)
    for window, logits in zip(windows, expected, strict=True):
        prediction = model.predict(window)
        np.testing.assert_allclose(prediction.logits, logits, rtol=1e-4, atol=1e-5)
        assert prediction.label == f"class {logits.argmax()}"
        powers = np.exp(logits - logits.max())
        np.testing.assert_allclose(
            list(prediction.probabilities.values()), powers / powers.sum(), rtol=1e-4
        )
        assert prediction.probability == max(prediction.probabilities.values())


def test_the_file_says_what_a_window_must_be(ordinary):
    model = load(ordinary[0])
    assert (model.channels, model.length) == (["c0", "c1", "c2"], 48)
    assert model.classes == ["class 0", "class 1"]
    assert model.rate is None
    assert model.header["input"]["mean"] == contract(3).mean
    assert model.header["provenance"] == {"seed": 0}
    assert model.digest == hashlib.sha256(ordinary[0].read_bytes()[:-32]).hexdigest()


def test_a_run_s_folder_stands_for_its_model(ordinary):
    assert load(ordinary[0].parent).path == str(ordinary[0])


def test_int8_takes_a_quarter_of_the_room(tmp_path):
    model, given = trained("mobilenetv3_small", length=224), contract(3)
    sizes = {p: write(tmp_path / p, model, given, 224, p).stat().st_size for p in ("fp32", "int8")}
    assert sizes["int8"] < 1.65e6 < 5.8e6 < sizes["fp32"]


def test_the_same_network_gives_the_same_file(tmp_path, ordinary):
    path, model = ordinary
    assert write(tmp_path / "again", model, contract(3), 48).read_bytes() == path.read_bytes()


def test_no_window_of_the_data_is_in_the_file(tmp_path):
    """The windows that prove it are made up."""
    given = Contract(["a"], mean=[3.0], std=[2.0], missing="error")
    model = trained("mobilenetv3_small", width_mult=0.25, num_channels=1)
    one = write(tmp_path / "one", model, given, 64).read_bytes()
    assert write(tmp_path / "two", model, given, 64).read_bytes() == one


def test_a_network_that_diverged_is_not_written(tmp_path):
    model = trained("mobilenetv3_small", width_mult=0.25)
    with torch.no_grad():
        model.conv_head.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="diverged"):
        write(tmp_path / "model.rpt", model, contract(3), 64)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- without torch and numpy


def test_using_a_model_imports_neither_torch_nor_numpy(ordinary):
    code = (
        "import sys; from raspitrain.use import load; "
        f"load({str(ordinary[0])!r}).predict([[0.5] * 48] * 3); "
        "heavy = {'torch', 'numpy', 'hydra', 'logging', 're', 'json', 'ctypes', 'types'}; "
        "print(*sorted(heavy & set(sys.modules)))"
    )
    # -S: an editable install's own start imports more than the model does
    command = [sys.executable, "-S", "-c", code]
    told = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=60)
    assert told.stdout == "\n", told


# ---------------------------------------------------------------- windows


def test_a_window_may_come_in_any_form(ordinary):
    import array

    model, window = load(ordinary[0]), raw_windows(contract(3), 48, 1)[0]
    logits = model.logits(window)
    flat = array.array("f", window.reshape(-1).tolist())
    forms = (
        window.tolist(),
        tuple(map(tuple, window.tolist())),
        window.astype(np.float64),
        np.asfortranarray(window),
        window.reshape(-1),
        flat,
        memoryview(flat),
        [array.array("f", row) for row in window.tolist()],
        np.stack([window, window])[0],
        np.repeat(window, 2, axis=1)[:, ::2],
    )
    for form in forms:
        assert model.logits(form) == logits
    integers = np.round(window).astype(np.int16)
    assert model.logits(integers) == model.logits(integers.astype(np.float32))


@pytest.mark.parametrize(
    ("window", "word"),
    [
        (np.zeros((2, 48), np.float32), "(2, 48)"),
        (np.zeros((48, 3), np.float32), "(48, 3)"),
        (np.zeros((1, 3, 48), np.float32), "(1, 3, 48)"),
        ([[0.0] * 48] * 2, "(2, 48)"),
        ([[0.0] * 48, [0.0] * 48, [0.0] * 47], "(3, 47, 48)"),
        ([], "(0,)"),
        (5, "3 channels of 48"),
        ([["x"] * 48] * 3, "not numbers"),
        (np.zeros((3, 48), np.complex64), "Zf"),
        (b"\0" * 576, "(576,)"),
    ],
)
def test_a_window_that_does_not_fit_is_refused(ordinary, window, word):
    with pytest.raises(InputError) as refused:
        load(ordinary[0]).predict(window)
    assert word in str(refused.value)


def test_missing_values_are_filled_as_in_training(tmp_path):
    from raspitrain.data.cases import fill_missing

    network = trained("mobilenetv3_small", width_mult=0.25, length=48)
    window = raw_windows(contract(3), 48, 1)[0]
    window[0, [0, 1, 7, 8, 47]] = np.nan
    window[1, 20:30] = np.inf
    window[2, :] = np.nan
    for missing in ("interpolate", "zero"):
        given = Contract(["a", "b", "c"], contract(3).mean, contract(3).std, missing=missing)
        model = load(write(tmp_path / "model.rpt", network, given, 48))
        assert model.logits(window) == model.logits(fill_missing(window.copy(), missing))
    refusing = load(write(tmp_path / "model.rpt", network, contract(3), 48))
    with pytest.raises(InputError, match="5 missing or infinite values in c0"):
        refusing.predict(window)


def test_values_beyond_the_model_are_refused(ordinary):
    with pytest.raises(InputError, match="too large"):
        load(ordinary[0]).predict(np.full((3, 48), 3e38, np.float32))


# ---------------------------------------------------------------- what is not read


def refusal(path):
    with pytest.raises(InputError) as refused:
        load(path)
    sentence = str(refused.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


def test_what_is_no_model_is_named(tmp_path, small):
    other = tmp_path / "other.rpt"
    assert "there is no model" in refusal(other)
    other.write_bytes(b"PK\3\4" + bytes(1000))
    assert "not a model" in refusal(other)
    other.write_bytes(b"")
    assert "not a model" in refusal(other)
    newer = bytearray(small.read_bytes())
    newer[7] = 2
    other.write_bytes(newer)
    assert "format 2" in refusal(other)
    os.mkfifo(tmp_path / "pipe")
    assert "not a model" in refusal(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="there is no model"):
        load(tmp_path / "empty")
    (tmp_path / "empty" / "last.pt").touch()
    with pytest.raises(InputError, match=r"empty has not ended.*: python -m raspitrain resume="):
        load(tmp_path / "empty")
    with pytest.raises(InputError, match="cannot be read"):
        load("a\0b")


EVENTS = {
    "average": 1, "hop": 1, "suppress_seconds": 0, "thresholds": {"class 0": 0.5},
    "releases": {"class 0": 0.4},
}  # fmt: skip
WRONG = [
    ("network.kind", "rocket"),
    ("network.length", 2**63),
    ("network.channels", -1),
    ("network.classes", 1),
    ("network.last", 12),
    ("network.hidden", 8.0),
    ("network.stem.stride", 0),
    ("network.logits_activation", "softmax"),
    ("network.precision", "int4"),
    ("network.blocks.0.kernel", 7),
    ("network.blocks.0.kernel", 3.0),
    ("network.blocks.0.squeezed", 4),
    ("network.blocks.0.expanded", 16),
    ("network.blocks.1.residual", True),
    ("network.blocks.0.expand", 0),
    ("network.blocks", []),
    ("network.stem", None),
    ("input.channels", ["a", "a"]),
    ("input.mean", [0, None]),
    ("input.std", [1, 0]),
    ("input.rate", "50"),
    ("input.hop", 0),
    ("input.rate_tolerance", -1),
    ("input.missing", "guess"),
    ("input.units", ["g"]),
    ("input.quantiles", [[1, 2], [1, 2]]),
    ("output.classes", ["a"]),
    ("output.temperature", 0),
    ("output.events", [1]),
    ("output.events", {"average": 0}),
    ("output.events", {"average": 1, "hop": 1.5}),
    ("output.events", {"average": 1, "hop": 1, "suppress_seconds": -1}),
    ("output.events", EVENTS | {"thresholds": {"class 9": 0.5}}),
    ("output.events", EVENTS | {"thresholds": {"class 0": 1.5}}),
    ("output.events", EVENTS | {"releases": {"class 1": 0.5}}),
    ("output.events", EVENTS | {"calibration": []}),
    ("proof.tolerance", "none"),
    ("provenance", 1),
]


@pytest.mark.parametrize(("key", "value"), WRONG, ids=[f"{key}={value}" for key, value in WRONG])
def test_a_header_that_says_what_cannot_be_is_refused(tmp_path, small, key, value):
    header = header_of(small)[0]
    *way, last = (int(part) if part.isdigit() else part for part in key.split("."))
    at = header
    for part in way:
        at = at[part]
    at[last] = value
    path = tmp_path / "model.rpt"
    path.write_bytes(sealed(small, json.dumps(header).encode()))
    named = key.replace(".0.", "[0].").replace(".1.", "[1].")
    assert named in refusal(path)


def test_tensors_of_another_network_are_refused(tmp_path, small):
    header = header_of(small)[0]
    header["network"]["channels"] = 3
    header["input"].update(channels=["a", "b", "c"], mean=[0, 0, 0], std=[1, 1, 1])
    path = tmp_path / "model.rpt"
    path.write_bytes(sealed(small, json.dumps(header).encode()))
    assert "tensors" in refusal(path)
    header = header_of(small)[0]
    del header["network"]["stem"]
    path.write_bytes(sealed(small, json.dumps(header).encode()))
    assert "the keys" in refusal(path)


@pytest.mark.parametrize(
    "text",
    [
        b"{" * 100_000,
        b"[" * 100_000,
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 10_000 + b"}",
        b"\xff",
        b"[]",
        b"{}x",
        b"",
    ],
    ids=range(9),
)
def test_a_header_that_is_none_is_refused(tmp_path, small, text):
    path = tmp_path / "model.rpt"
    path.write_bytes(sealed(small, text))
    assert "header" in refusal(path)


def test_a_machine_that_gives_other_answers_is_found_out(tmp_path, small):
    header, tensors = header_of(small)
    content = bytearray(sealed(small, json.dumps(header).encode())[:-32])
    logits = np.frombuffer(tensors[-4 * 3 * 4 :], np.float32)
    logits = logits + np.float32(2e-3) * np.ptp(logits)
    content[-logits.nbytes :] = logits.tobytes()
    path = tmp_path / "model.rpt"
    path.write_bytes(content + hashlib.sha256(content).digest())
    assert "other answers" in refusal(path)


# Reads what a file could have become and counts what came of it: file by file, as the reader does,
# with little more memory than it takes to read a sound one.
FUZZ = """
import hashlib, resource, sys
from raspitrain.errors import InputError
from raspitrain.use import load
path, kind, step = sys.argv[1], sys.argv[2], int(sys.argv[3])
content = open(path, "rb").read()
load(path)
status = open("/proc/self/status").read()
limit = 1024 * int(status.split("VmData:")[1].split()[0]) + (32 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
def seal(content):
    return content[:-32] + hashlib.sha256(content[:-32]).digest()
def harmed(at):
    if kind == "cut":
        return content[:at]
    flipped = bytearray(content)
    flipped[at] ^= 255
    if kind == "flipped":
        return bytes(flipped)
    if kind == "sealed":
        return seal(bytes(flipped))
    flipped = bytearray(content)
    flipped[at : at + 8] = (1 << 63).to_bytes(8, "little")
    return seal(bytes(flipped[: len(content)]))
read = refused = 0
for at in range(0, len(content), step):
    with open(path + ".harmed", "wb") as file:
        file.write(harmed(at))
    try:
        load(path + ".harmed").predict([[0.5] * 8] * 2)
    except InputError:
        refused += 1
    except MemoryError:
        print("memory", at)
    else:
        read += 1
print(read, refused)
"""


def fuzz(path, kind, step):
    command = [sys.executable, "-c", FUZZ, str(path), kind, str(step)]
    told = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=600)
    assert told.returncode == 0, told.stderr
    read, refused = map(int, told.stdout.split())
    return read, refused


@pytest.mark.parametrize("kind", ["cut", "flipped"])
@pytest.mark.parametrize("step", [13, pytest.param(1, marks=pytest.mark.long)])
def test_a_file_harmed_at_any_byte_is_refused(small, kind, step):
    read, refused = fuzz(small, kind, step)
    assert read == 0
    assert refused == len(range(0, small.stat().st_size, step))


@pytest.mark.parametrize("kind", ["sealed", "huge"])
@pytest.mark.parametrize("step", [13, pytest.param(1, marks=pytest.mark.long)])
def test_a_file_that_a_stranger_wrote_is_refused_or_works(small, kind, step):
    """A weight or a name may be another; what cannot be is refused, and nothing takes the process
    along."""
    read, refused = fuzz(small, kind, step)
    assert refused > read // 4
