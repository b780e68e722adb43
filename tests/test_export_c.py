"""The model as C: it compiles without a warning, touches nothing that is not its own, and gives the
scores of model.rpt."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from processes import PATIENCE
from test_use_engine import by_case, contract, raw_windows, trained
from test_use_graph import narrow

from raspitrain.export.emit_c import c_string, emit_c
from raspitrain.export.pack import pack
from raspitrain.export.pack_graph import pack_graph
from raspitrain.export.write import Answer, Contract, run_packed
from raspitrain.model.mobilenetv3 import MobileNetV3

MAIN = """
#include <stdio.h>
#include "model.h"
static float window[MODEL_CHANNELS * MODEL_LENGTH], scores[MODEL_CLASSES];
int main(void) {
    while (fread(window, sizeof window, 1, stdin) == 1) {
        printf("%d", model_run(window, scores));
        for (int k = 0; k < MODEL_CLASSES; k++) printf(" %a", (double)scores[k]);
        printf(" %s\\n", model_classes[0]);
    }
    return 0;
}
"""
# qemu takes all the memory that the sanitizer of addresses reserves.
SANITIZERS = "undefined" if PATIENCE > 1 else "address,undefined"
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", f"-fsanitize={SANITIZERS}"]


def built(folder, source):
    """A program that prints class and scores of the windows that it is given."""
    (folder / "main.c").write_text(MAIN)
    program = folder / "main"
    command = ["cc", *STRICT, "-O1", "-fno-sanitize-recover=all", "-o", str(program)]
    files = [str(folder / "main.c"), str(source), "-lm"]
    done = subprocess.run([*command, *files], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return program


def compiled(folder, model, given, length, precision):
    """The program, and what the engine gives."""
    how = {"length": length, "precision": precision, "normalise": given.normalise}
    if isinstance(model, MobileNetV3):
        network, arrays = pack(model, **how)
    else:
        network, arrays = pack_graph(model, num_channels=len(given.channels), **how)
    names = [f"class {k}" for k in range(network["classes"])]
    source, header = emit_c(folder / "model.c", network, arrays, given, Answer(names))
    assert {source.name, header.name} == {"model.c", "model.h"}
    return built(folder, source), lambda windows: run_packed(network, arrays, given, windows)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", ["mobilenetv3_small", "mobilenetv3_small_blog"])
def test_the_program_gives_the_scores_of_the_file(tmp_path, name, precision):
    model, given = trained(name, width_mult=0.25, length=50, num_classes=3), contract(3)
    program, engine = compiled(tmp_path, model, given, 50, precision)
    windows = raw_windows(given, 50, 4)
    expected = engine(windows)
    windows[3, 1, 7] = np.nan
    done = subprocess.run([program], input=windows.tobytes(), capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.decode().splitlines()
    assert lines[3].startswith("-1 ")
    for line, logits in zip(lines[:3], expected, strict=False):
        best, *scores, word, number = line.split()
        assert [float.fromhex(score) for score in scores] == logits.tolist()
        assert int(best) == logits.argmax()
        assert f"{word} {number}" == "class 0"


@pytest.mark.parametrize("kind", ["case", "both"])
def test_the_program_normalises_each_window_by_itself(tmp_path, kind):
    given, normalisation, windows = by_case(kind, 2, 50)
    model = trained(
        "mobilenetv3_small", width_mult=0.25, length=50, num_channels=normalisation.num_channels
    )
    program, engine = compiled(tmp_path, model, given, 50, "fp32")
    done = subprocess.run([program], input=windows.tobytes(), capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    for line, logits in zip(done.stdout.decode().splitlines(), engine(windows), strict=True):
        scores = [float.fromhex(score) for score in line.split()[1:-2]]
        assert scores == logits.tolist()


def test_the_header_says_what_a_window_is(tmp_path):
    given = Contract(["a\n", 'b"'], [0.0] * 2, [1.0] * 2, "error", rate=50.0)
    model = trained("mobilenetv3_small", width_mult=0.25, num_channels=2)
    network, arrays = pack(model, length=64, precision="int8")
    source, header = emit_c(tmp_path / "signal.c", network, arrays, given, Answer(["x", "y"]))
    text = header.read_text()
    for line in ("MODEL_CHANNELS 2", "MODEL_LENGTH 64", "MODEL_CLASSES 2", "MODEL_RATE 50.0"):
        assert f"#define {line}" in text
    assert '#include "signal.h"' in source.read_text()


def test_a_name_may_be_any_text():
    assert c_string("walk") == '"walk"'
    assert c_string('a"\\?é\n') == '"a\\042\\134\\077\\303\\251\\012"'


CORTEX_M = Path(__file__).with_name("cortex_m")
CORTEX_M4 = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]


@pytest.mark.long
def test_a_microcontroller_gives_the_same_bits(tmp_path):
    """On an emulated Cortex-M4F; flash, memory and instructions are printed (pytest -s)."""
    tools = [shutil.which(name) for name in ("arm-none-eabi-gcc", "qemu-system-arm")]
    assert all(tools), "apt-get install gcc-arm-none-eabi qemu-system-arm"
    model, given = trained("mobilenetv3_small", width_mult=0.25, length=128), contract(3)
    network, arrays = pack(model, length=128, precision="int8")
    window = raw_windows(given, 128, 1)
    (expected,) = run_packed(network, arrays, given, window)
    source, header = emit_c(tmp_path / "model.c", network, arrays, given, Answer(["a", "b"]))
    values = ",".join(f"{value:.8e}f" for value in window.reshape(-1).tolist())
    (tmp_path / "window.h").write_text(f"static const float window[] = {{{values}}};")
    gcc = ["arm-none-eabi-gcc", *CORTEX_M4, "-O2", "-ffp-contract=off", "-Wall", "-Werror"]
    strict = [*gcc, "-std=c99", "-c", str(source), "-o", str(tmp_path / "model.o")]
    subprocess.run(strict, check=True, timeout=120)
    subprocess.run(
        [*gcc, "-nostartfiles", "-T", str(CORTEX_M / "board.ld"), f"-I{tmp_path}",
         str(CORTEX_M / "main.c"), str(tmp_path / "model.o"), "-o", str(tmp_path / "program")],
        check=True, timeout=120,
    )  # fmt: skip
    done = subprocess.run(
        ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-icount", "shift=0", "-kernel",
         str(tmp_path / "program"), "-semihosting-config", "enable=on,target=native"],
        capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    best, *scores, instructions = (int(line, 16) for line in (done.stdout + done.stderr).split())
    assert best == expected.argmax()
    assert scores == expected.view(np.uint32).tolist()
    flash = subprocess.run(
        ["arm-none-eabi-size", str(tmp_path / "model.o")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[-6:-3]
    print(
        f"width_mult=0.25, int8, 3 x 128, Cortex-M4F: flash {flash[0]}, memory {flash[2]} bytes, "
        f"{instructions / 1e6:.2f} M instructions a window"
    )
    assert int(flash[2]) < 16_000 < int(flash[0]) < 300_000
    assert header.exists()


@pytest.mark.parametrize(("name", "precision"), [("lite", "fp32"), ("mnasnet", "int8")])
def test_any_network_is_a_program(tmp_path, name, precision):
    model, given = narrow(name, length=50), contract(3)
    program, engine = compiled(tmp_path, model, given, 50, precision)
    windows = raw_windows(given, 50, 2)
    done = subprocess.run([program], input=windows.tobytes(), capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    for line, logits in zip(done.stdout.decode().splitlines(), engine(windows), strict=True):
        scores = [float.fromhex(score) for score in line.split()[1:-2]]
        assert scores == logits.tolist()
