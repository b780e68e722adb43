"""A model as C99 source: one file and a header, for a microcontroller or a program of one's own.

The weights lie inside as constants, memory is static, and nothing of the C library is called but
fmaf, where the processor has it. The kernels are those of raspitrain/use/plain.h, so the scores are
those of model.rpt.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from raspitrain.data.bands import fft_size
from raspitrain.export.write import Answer, Contract
from raspitrain.results.atomic import write_atomic
from raspitrain.use import graph
from raspitrain.use.engine import plain_floats
from raspitrain.use.frontend import Tables
from raspitrain.use.kinds import GRAPH, tensors
from raspitrain.use.library import FOLDER
from raspitrain.use.network import (
    ACTIVATIONS,
    NORMALISE,
    amplitude_floats,
    num_inputs,
    pad,
    strided,
)

MOBILENETV3_SOURCES = ("network.h", "plain.h")
GRAPH_SOURCES = ("graph.h", "plain.h", "graph_plain.h")
PER_LINE = 16


def emit_c(
    path: str | os.PathLike[str],
    network: dict[str, Any],
    arrays: list[np.ndarray],
    contract: Contract,
    answer: Answer,
) -> tuple[Path, Path]:
    """Write the source and, beside it with the suffix .h, its header; return both paths.

    Raises
    ------
    InputError
        The engine, which says how much memory a network takes, cannot be compiled here.
    OSError
        The card would not take them.
    """
    source = Path(path)
    header = source.with_suffix(".h")
    is_graph = network["kind"] == GRAPH
    num_floats = graph.plan(network)[2] if is_graph else plain_floats(network)
    seen = contract.frontend
    num_bytes = 4 * num_floats + (0 if seen is None else 8 * _work(seen) + 4 * _values(network))
    write_atomic(header, _header(network, contract, num_bytes).encode())
    model = _graph if is_graph else _mobilenetv3
    before = ("layers.h", "roots.h", "window.h", *(() if seen is None else ("spectra.h",)))
    lines = (
        *_start(header.name, before + (GRAPH_SOURCES if is_graph else MOBILENETV3_SOURCES)),
        *_tensors(network, arrays, contract, num_floats),
        *([] if seen is None else _frontend(network, seen, len(contract.channels))),
        *model(network, contract),
        *_end(network, contract, answer, "run_graph" if is_graph else "run"),
    )
    write_atomic(source, ("\n".join(lines) + "\n").encode())
    return source, header


def _header(network: dict[str, Any], contract: Contract, num_bytes: int) -> str:
    rate = "" if contract.rate is None else f"#define MODEL_RATE {contract.rate!r} /* Hz */\n"
    return f"""\
/* A model of raspitrain, {network["precision"]}: {num_bytes} bytes of static memory. */
#ifndef MODEL_H
#define MODEL_H

#define MODEL_CHANNELS {len(contract.channels)}
#define MODEL_LENGTH {(contract.frontend or network)["length"]} /* samples of a window */
#define MODEL_CLASSES {network["classes"]}
{rate}
extern const char *const model_channels[MODEL_CHANNELS];
extern const char *const model_classes[MODEL_CLASSES];

/* Scores (logits) of a window, raw values in the channels' own units: sample l of channel c is
   window[c * MODEL_LENGTH + l]. Returns the class with the highest score, or -1 if a value is not
   finite. Not to be called twice at once. */
int model_run(const float *window, float *scores);

#endif
"""


def _start(header: str, sources: tuple[str, ...]) -> Iterator[str]:
    yield "/* A model of raspitrain. Compile as C99, with -O2 -ffp-contract=off. */"
    yield f'#include "{header}"'
    yield "#include <float.h>"
    yield "#include <math.h>"
    for name in sources:
        yield Path(FOLDER, name).read_text()
    yield "/* ---------------------------------------------------------------- the model */\n"


def _tensors(
    network: dict[str, Any], arrays: list[np.ndarray], contract: Contract, num_floats: int
) -> Iterator[str]:
    for tensor, array in zip(tensors(network), arrays, strict=True):
        yield from _array(_c_name(tensor.name), array)
    yield from _array("mean", np.asarray(contract.mean, np.float32))
    yield from _array("factor", (1 / np.asarray(contract.std, np.float64)).astype(np.float32))
    if contract.amplitudes is not None:
        floats = amplitude_floats(contract.amplitudes)
        yield from _array("amplitudes", np.asarray(floats, np.float32))
    yield f"static float memory[{num_floats}];"


def _c_name(tensor: str) -> str:
    return tensor.replace(".", "_")


def _linear(name: str, inputs: int, outputs: int, *, int8: bool) -> str:
    """A Linear of C; `name` is that of its tensors."""
    weight, bias, scale = (f"{_c_name(name)}_{part}" for part in ("weight", "bias", "scale"))
    if int8:
        return f"{{{inputs}, {outputs}, NULL, {bias}, {scale}, {weight}, NULL}}"
    return f"{{{inputs}, {outputs}, {weight}, {bias}, NULL, NULL, NULL}}"


NO_LINEAR = "{0, 0, NULL, NULL, NULL, NULL, NULL}"


def _mobilenetv3(network: dict[str, Any], contract: Contract) -> Iterator[str]:
    int8 = network["precision"] == "int8"
    stem = network["stem"]
    width, length = stem["width"], strided(network["length"], stem["stride"])
    yield "static const Block blocks[] = {"
    for k, block in enumerate(network["blocks"]):
        name, expanded, squeezed = f"blocks.{k}", block["expanded"], block["squeezed"]
        after = strided(length, block["stride"])
        acts = [ACTIVATIONS.index(block[key]) for key in ("activation", "project_activation")]
        numbers = [width, expanded, block["out"], block["kernel"], block["stride"], *acts]
        numbers += [squeezed, int(block["expand"]), int(block["residual"]), length, after]
        layers = [NO_LINEAR] * 3
        if block["expand"]:
            layers[0] = _linear(f"{name}.expand", width, expanded, int8=int8)
        if squeezed:
            layers[1] = _linear(f"{name}.squeeze", expanded, squeezed, int8=int8)
            layers[2] = _linear(f"{name}.excite", squeezed, expanded, int8=int8)
        layers.append(_linear(f"{name}.project", expanded, block["out"], int8=int8))
        taps = [_c_name(f"{name}.depthwise.{part}") for part in ("weight", "bias")]
        yield f"    {{{', '.join([*map(str, numbers), *layers, *taps])}}},"
        width, length = block["out"], after
    yield "};"
    last, hidden, classes = network["last"], network["hidden"], network["classes"]
    numbers = [classes, stem["width"], stem["stride"]]
    numbers += [len(network["blocks"]), last, hidden, int(int8)]
    numbers += [ACTIVATIONS.index(network["logits_activation"]), length]
    layers = [
        _linear("stem", pad(3 * network["channels"], 4), stem["width"], int8=False),
        _linear("last", width, last, int8=int8),
        _linear("hidden", last, hidden, int8=int8),
        _linear("classifier", hidden, pad(classes), int8=int8),
    ]
    values = [_window(network, contract), *map(str, numbers), *layers]
    values += ["blocks", "&plain", "memory"]
    yield f"static const Network network = {{{', '.join(values)}}};\n"
    # Never: the two were made together.
    yield "static int fits(void) { return memory_needed(&network) <= (long)(sizeof memory / 4); }"


def _graph(network: dict[str, Any], contract: Contract) -> Iterator[str]:
    values, scratch, _ = graph.plan(network)
    yield "static const Value values[] = {"
    for value in values:
        numbers = value.length, value.width, value.before, value.after, value.at
        yield f"    {{{', '.join(map(str, numbers))}}},"
    yield "};"
    layers = network["layers"]
    runs = [run for layer in layers for run in layer.get("runs", ())]
    yield "static const Run runs[] = {"
    yield from (f"    {{{', '.join(map(str, run))}}}," for run in runs or [(0, 0, 0)])
    yield "};"
    yield "static const Layer layers[] = {"
    first = 0
    for i, layer in enumerate(layers):
        name, count = f"layers.{i}", len(layer.get("runs", ()))
        linear, taps = NO_LINEAR, ["NULL", "NULL"]
        if layer["layer"] == "convolution":
            inputs = pad(layer["kernel"] * values[layer["source"]].width, 4)
            int8 = graph.is_int8(network, layer)
            linear = _linear(name, inputs, layer["out"], int8=int8)
        elif layer["layer"] == "depthwise":
            taps = [_c_name(f"{name}.{part}") for part in ("weight", "bias")]
        parts = [*map(str, graph.layer_numbers(layer)), str(count), linear, *taps]
        yield f"    {{{', '.join([*parts, f'runs + {first}'])}}},"
        first += count
    yield "};"
    parts = [_window(network, contract), str(network["classes"]), str(len(layers)), str(scratch)]
    parts += ["values", "layers", "&plain", "&graph_plain", "memory"]
    yield f"static const Graph network = {{{', '.join(parts)}}};\n"
    yield "static int fits(void) { return 1; } /* as planned */"


def _work(frontend: dict[str, Any]) -> int:
    """Doubles that a front end works in."""
    return 2 * fft_size(frontend["window"])


def _values(network: dict[str, Any]) -> int:
    """Floats that a front end makes of a window."""
    return int(num_inputs(network) * network["length"])


def _frontend(
    network: dict[str, Any], frontend: dict[str, Any], num_channels: int
) -> Iterator[str]:
    tables = Tables(frontend)
    for name in ("hann", "twiddles", "weights"):
        texts = [value.hex() for value in getattr(tables, name)]
        yield from _numbers("const double", f"band_{name}", texts)
    for name in ("first", "count"):
        yield from _numbers("const int64_t", f"band_{name}", map(str, getattr(tables, name)))
    yield f"static double band_work[{_work(frontend)}];"
    yield f"static float seen[{_values(network)}];"
    numbers = (
        num_channels, network["length"], frontend["window"], frontend["hop"], tables.points,
        len(tables.first),
    )  # fmt: skip
    names = [f"band_{name}" for name in ("hann", "twiddles", "first", "count", "weights")]
    values = [*map(str, numbers), *names, float(frontend["floor"]).hex(), "band_work"]
    yield f"static const Frontend frontend = {{{', '.join(values)}}};"


def _end(network: dict[str, Any], contract: Contract, answer: Answer, run: str) -> Iterator[str]:
    yield from _texts("model_channels[MODEL_CHANNELS]", contract.channels)
    yield from _texts("model_classes[MODEL_CLASSES]", answer.classes)
    given, spectra = "window, MODEL_LENGTH", ""
    if contract.frontend is not None:
        spectra = "\n    spectra_of(&frontend, window, MODEL_LENGTH, 1, seen);"
        given = f"seen, {network['length']}"
    yield f"""
int model_run(const float *window, float *scores) {{
    int best = 0;{spectra}
    if (!fits() || !{run}(&network, {given}, 1, scores)) return -1;
    for (int k = 0; k < MODEL_CLASSES; k++) {{
        if (scores[k] - scores[k] != 0) return -1;
        if (scores[k] > scores[best]) best = k;
    }}
    return best;
}}"""


def _window(network: dict[str, Any], contract: Contract) -> str:
    numbers = [network["channels"], network["length"], num_inputs(network)]
    numbers.append(NORMALISE.index(contract.normalise))
    amplitudes = "NULL" if contract.amplitudes is None else "amplitudes"
    return f"{{{', '.join(map(str, numbers))}, mean, factor, {amplitudes}}}"


def _array(name: str, array: np.ndarray) -> Iterator[str]:
    kind = "int8_t" if array.dtype == np.int8 else "float"
    values = array.reshape(-1)
    # Nine digits are enough for every float32; a point makes each of them one.
    texts = [str(v) if kind == "int8_t" else f"{v:.8e}f" for v in values.tolist()]
    yield from _numbers(f"const {kind}", name, texts)


def _numbers(kind: str, name: str, texts: Iterable[str]) -> Iterator[str]:
    texts = list(texts)
    yield f"static {kind} {name}[{len(texts)}] = {{"
    for start in range(0, len(texts), PER_LINE):
        yield "    " + ",".join(texts[start : start + PER_LINE]) + ","
    yield "};"


def _texts(declared: str, texts: list[str]) -> Iterator[str]:
    yield f"const char *const {declared} = {{{', '.join(map(c_string, texts))}}};"


def c_string(text: str) -> str:
    """A string literal of C for any text, in UTF-8."""
    plain = set(range(32, 127)) - set(b'"\\?')
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'
