"""Every benchmark runs, in its shortest form, and prints the table that it promises."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.turns import take_turns

Rows = list[dict[str, str]]


@pytest.fixture(autouse=True)
def same_threads_afterwards() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture
def table(capsys: pytest.CaptureFixture[str]) -> Callable[..., Rows]:
    """table("step_time", "--threads", "1", …) -> the rows of the table that it prints."""

    def run(name: str, *arguments: str) -> Rows:
        assert importlib.import_module(f"benchmarks.{name}").main(arguments) == 0
        lines = capsys.readouterr().out.splitlines()
        assert "torch " in lines[0]
        cells = [[c.strip() for c in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
        return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]

    return run


@pytest.mark.parametrize(
    "name",
    [
        "step_time",
        "frameworks",
        "time_to_accuracy",
        "data_size",
        "start_up",
        "monitor",
        "networks",
        "accuracy",
        "inference",
        "int8",
        "stream",
        "boards",
        "ranks",
        "wide_vectors",
    ],
)
def test_the_docstring_opens_with_the_command(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    assert f"    python -m benchmarks.{name} " in module.__doc__[:250]
    assert f"benchmarks.{name}" in Path(module.__file__).with_name("README.md").read_text()


def test_turns_alternate_after_one_that_is_not_measured() -> None:
    order: list[str] = []
    taken = take_turns(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=3, seconds=0
    )
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"
    assert [len(taken[name]) for name in "ab"] == [3, 3]
    assert all(seconds > 0 for name in "ab" for seconds in taken[name])


@pytest.mark.long  # the kernels are compiled twice
def test_wide_vectors(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.wide_vectors import main

    words = "--models mobilenetv3_small fcn --batch-sizes 2 --rounds 1 --seconds 0"
    done, printed = main(words.split()), capsys.readouterr()
    if " avx512vl " in Path("/proc/cpuinfo").read_text():
        assert done == 0
        assert "| mobilenetv3_small | 2 |" in printed.out
        assert "| fcn | 2 |" in printed.out
    else:
        assert (done, printed.err) == (2, "This processor has no AVX-512.\n")


def test_step_time(table: Callable[..., Rows]) -> None:
    rows = table(
        "step_time", "--models", "mobilenetv3_small_blog", "mobilenetv3_small",
        "--batch-sizes", "4", "--threads", "1", "--rounds", "1", "--seconds", "0",
    )  # fmt: skip
    assert [row["model"] for row in rows] == ["mobilenetv3_small_blog", "mobilenetv3_small"]
    for row in rows:
        ratio = float(row["plain, ms"]) / float(row["ours, ms"])
        assert float(row["plain / ours"]) == pytest.approx(ratio, rel=0.1)
        assert row["of peak"].endswith(" %")


def test_multiply_adds_of_a_step() -> None:
    from benchmarks.step_time import multiply_adds

    # By hand for the blog's small network, 3 × 224: (in / groups × kernel × out × positions) of
    # each layer thrice, and the stem (3 × 3 × 16 × 112), whose input needs no gradient, twice.
    rows = [
        (3, 16, 16, True, 56), (3, 72, 24, False, 28), (3, 88, 24, False, 28),
        (5, 96, 40, False, 14), (5, 240, 40, True, 14), (5, 240, 40, True, 14),
        (5, 120, 48, True, 14), (5, 144, 48, True, 14), (5, 288, 96, True, 7),
        (5, 576, 96, True, 7), (5, 576, 96, True, 7),
    ]  # fmt: skip
    width, before, total = 16, 112, 0
    for kernel, expanded, out, squeeze_excite, positions in rows:
        total += width * expanded * before + kernel * expanded * positions
        total += 2 * expanded * expanded * squeeze_excite + expanded * out * positions
        width, before = out, positions
    total += 96 * 576 * 7 + 576 * 1024 + 1024 * 2
    assert multiply_adds("mobilenetv3_small_blog", 50) == 50 * (3 * total + 2 * 3 * 3 * 16 * 112)


@pytest.mark.long
def test_networks(table: Callable[..., Rows]) -> None:
    rows = table(
        "networks", "--models", "resnet", "lenet", "--sets", "ItalyPowerDemand", "--folds", "2",
        "--min-steps", "1", "--overrides", "min_epochs=1", "--rounds", "1", "--seconds", "0",
    )  # fmt: skip
    assert [row["network"] for row in rows] == ["`lenet`", "`resnet`"]  # the faster one first
    assert [row["parameters, k"] for row in rows] == ["21", "127"]
    assert all(" ± " in row["ItalyPowerDemand"] for row in rows)


def test_multiply_adds_of_a_network() -> None:
    from benchmarks.networks import multiply_adds

    # FCN by hand, 3 × 224: in × kernel × out at every position, then 128 × 2 for the classes.
    per_position = 3 * 8 * 128 + 128 * 5 * 256 + 256 * 3 * 128
    assert multiply_adds("fcn") == 224 * per_position + 128 * 2


def test_folds_part_the_training_part_and_leave_the_test_part_alone() -> None:
    from benchmarks.networks import training_fold
    from raspitrain.data.ucr import ucr

    whole = ucr(name="GunPoint", path=None, unequal="resample", length=None, missing="interpolate")
    folds = [training_fold(name="GunPoint", fold=fold, num_folds=3) for fold in range(3)]
    inside = whole.signals[whole.part == 0]
    for fold in folds:
        assert (fold.signals == inside).all()
        shares = [(fold.part[fold.labels == k] == 2).mean() for k in range(2)]
        assert max(shares) - min(shares) < 0.1  # every class is in every fold
    left_out = sum((fold.part == 2).astype(int) for fold in folds)
    assert (left_out == 1).all()


def test_frameworks_without_the_frameworks(table: Callable[..., Rows]) -> None:
    [row] = table(
        "frameworks", "--contenders", "plain", "ours", "--models", "mobilenetv3_small_blog",
        "--threads", "1", "--cases", "10", "--batch-size", "5", "--epochs", "1",
        "--rounds", "1", "--seconds", "0",
    )  # fmt: skip
    assert float(row["plain, samples/s"]) > 0
    assert float(row["ours, samples/s"]) > 0
    assert float(row["ours / plain"]) > 0


@pytest.mark.parametrize("package", ["lightning", "skorch"])
def test_a_missing_framework_is_named_with_the_extra_that_has_it(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import frameworks

    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    assert frameworks.main(["--contenders", "plain", package]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {package} cannot be imported")
    assert "pip install -e '.[bench]'" in printed.err


@pytest.mark.long
def test_time_to_accuracy(table: Callable[..., Rows]) -> None:
    easy = table(
        "time_to_accuracy", "--contenders", "ours", "small_sgd", "small_adam",
        "--seeds", "0", "--goal", "0",
    )  # fmt: skip
    assert [row["epochs"] for row in easy] == ["1", "1", "1"]
    assert [row["reached it"] for row in easy] == ["1 of 1"] * 3
    assert all(0 < float(row["training, s"]) <= float(row["wall, s"]) for row in easy)
    [beyond] = table(
        "time_to_accuracy", "--contenders", "ours", "--seeds", "0", "--goal", "2", "--cap", "0"
    )
    assert beyond["reached it"] == "0 of 1"
    assert beyond["training, s"] == "not reached"


@pytest.mark.long
def test_data_size(table: Callable[..., Rows], tmp_path: Path) -> None:
    rows = table(
        "data_size", "--sizes", "60", "--rounds", "1", "--seconds", "0.05",
        "--folder", str(tmp_path),
    )  # fmt: skip
    assert [(row["cases"], row["signals"]) for row in rows] == [
        ("60", "in memory"),
        ("60", "from disk"),
    ]
    assert all(float(row["samples/s"]) > 0 for row in rows)
    assert all(float(row["peak memory, MB"]) > 50 for row in rows)
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_start_up(table: Callable[..., Rows]) -> None:
    rows = table("start_up", "--commands", "help", "mistake", "first_step", "--rounds", "1")
    assert [row[""] for row in rows] == ["--help", "epoch=3, a mistake", "first step"]
    assert all(float(row["seconds"]) > 0 for row in rows)
    assert rows[0]["/ --help"] == "1.00"


def test_monitor(table: Callable[..., Rows]) -> None:
    rows = table("monitor", "--seconds", "0.3", "--every-seconds", "0.05")
    assert [row["watched"] for row in rows] == ["Raspberry Pi 5", "x86 laptop"]
    assert all(int(row["samples"]) > 2 for row in rows)
    assert all(float(row["CPU, ms a second"]) >= 0 for row in rows)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.long)])
def test_accuracy(
    table: Callable[..., Rows], monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    """Compiling aeon's functions takes half a minute."""
    if not compiled:
        monkeypatch.setattr(
            "benchmarks.accuracy.aeons", lambda name, cases: lambda seed: (0.96, 9.0)
        )
    monkeypatch.setattr("benchmarks.accuracy.recommended", lambda name, seed, words: "minirocket")
    (row,) = table("accuracy", "--models", "minirocket", "compare", "--sets", "ItalyPowerDemand",
                   "--seeds", "0", "1")  # fmt: skip
    ours, theirs = "`minirocket`", "aeon's MiniRocket"
    assert 95 < float(row[f"{ours}, %"].split()[0]) < 98
    assert abs(float(row[f"{ours}, %"].split()[0]) - float(row[f"{theirs}, %"].split()[0])) < 1
    assert row["`compare`, %"] == row[f"{ours}, %"]
    assert row["what it takes"] == "`minirocket`"
    assert row["ResNet, published"] == "96.2"


@pytest.mark.long
def test_inference(table: Callable[..., Rows]) -> None:
    rows = table("inference", "--models", "mobilenetv3_small", "--length", "32", "--seconds", "0")
    assert [row["by"] for row in rows] == [
        "ours, fp32", "ours, int8", "ONNX Runtime, fp32", "LiteRT, fp32", "LiteRT, int8",
        "torch, fp32",
    ]  # fmt: skip
    assert all(float(row["µs a window"]) > 0 for row in rows)


@pytest.mark.long
def test_int8(table: Callable[..., Rows]) -> None:
    (row,) = table("int8", "--sets", "ItalyPowerDemand", "--seeds", "0")
    assert float(row["fp32, %"]) > 90
    assert float(row["agree, %"]) > 99
    assert float(row["logit error, %"]) < 3
