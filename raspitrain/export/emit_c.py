"""A model as C99 source: one file and a header, for a microcontroller or a program of one's own.

The weights lie inside as constants, memory is static, and nothing of the C library is called but
fmaf, where the processor has it. The kernels are those of raspitrain/use/plain.h, so the scores are
those of model.rpt.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from raspitrain.export.write import Answer, Contract
from raspitrain.results.atomic import write_atomic
from raspitrain.use.engine import plain_floats
from raspitrain.use.library import FOLDER
from raspitrain.use.network import (
    ACTIVATIONS,
    NORMALISE,
    amplitude_floats,
    num_inputs,
    pad,
    strided,
    tensors,
)

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
    num_floats = plain_floats(network)
    write_atomic(header, _header(network, contract, num_floats).encode())
    content = "\n".join(_source(header.name, network, arrays, contract, answer, num_floats))
    write_atomic(source, f"{content}\n".encode())
    return source, header


def _header(network: dict[str, Any], contract: Contract, num_floats: int) -> str:
    rate = "" if contract.rate is None else f"#define MODEL_RATE {contract.rate!r} /* Hz */\n"
    return f"""\
/* A model of raspitrain, {network["precision"]}: {4 * num_floats} bytes of static memory. */
#ifndef MODEL_H
#define MODEL_H

#define MODEL_CHANNELS {num_inputs(network)}
#define MODEL_LENGTH {network["length"]} /* samples of a window */
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


def _source(
    header: str,
    network: dict[str, Any],
    arrays: list[np.ndarray],
    contract: Contract,
    answer: Answer,
    num_floats: int,
) -> Iterator[str]:
    yield "/* A model of raspitrain. Compile as C99, with -O2 -ffp-contract=off. */"
    yield f'#include "{header}"'
    yield "#include <float.h>"
    yield "#include <math.h>"
    for name in ("roots.h", "network.h", "plain.h"):
        yield Path(FOLDER, name).read_text()
    yield "/* ---------------------------------------------------------------- the model */\n"
    names = {}
    for tensor, array in zip(tensors(network), arrays, strict=True):
        names[tensor.name] = name = tensor.name.replace(".", "_")
        yield from _array(name, array)
    yield from _array("mean", np.asarray(contract.mean, np.float32))
    yield from _array("factor", (1 / np.asarray(contract.std, np.float64)).astype(np.float32))
    if contract.amplitudes is not None:
        floats = amplitude_floats(contract.amplitudes)
        yield from _array("amplitudes", np.asarray(floats, np.float32))
    yield f"static float memory[{num_floats}];"

    def linear(name: str, inputs: int, outputs: int) -> str:
        at = names[f"{name}.weight"], names[f"{name}.bias"]
        if f"{name}.scale" in names:
            return (
                f"{{{inputs}, {outputs}, NULL, {at[1]}, {names[f'{name}.scale']}, {at[0]}, NULL}}"
            )
        return f"{{{inputs}, {outputs}, {at[0]}, {at[1]}, NULL, NULL, NULL}}"

    none = "{0, 0, NULL, NULL, NULL, NULL, NULL}"
    stem = network["stem"]
    width, length = stem["width"], strided(network["length"], stem["stride"])
    yield "static const Block blocks[] = {"
    for k, block in enumerate(network["blocks"]):
        name, expanded, squeezed = f"blocks.{k}", block["expanded"], block["squeezed"]
        after = strided(length, block["stride"])
        acts = [ACTIVATIONS.index(block[key]) for key in ("activation", "project_activation")]
        numbers = [width, expanded, block["out"], block["kernel"], block["stride"], *acts]
        numbers += [squeezed, int(block["expand"]), int(block["residual"]), length, after]
        layers = [
            linear(f"{name}.expand", width, expanded) if block["expand"] else none,
            linear(f"{name}.squeeze", expanded, squeezed) if squeezed else none,
            linear(f"{name}.excite", squeezed, expanded) if squeezed else none,
            linear(f"{name}.project", expanded, block["out"]),
        ]
        taps = names[f"{name}.depthwise.weight"], names[f"{name}.depthwise.bias"]
        yield f"    {{{', '.join([*map(str, numbers), *layers, *taps])}}},"
        width, length = block["out"], after
    yield "};"
    last, hidden, classes = network["last"], network["hidden"], network["classes"]
    numbers = [network["channels"], network["length"], classes, stem["width"], stem["stride"]]
    numbers += [len(network["blocks"]), last, hidden, int(network["precision"] == "int8")]
    numbers += [ACTIVATIONS.index(network["logits_activation"]), length]
    numbers += [num_inputs(network), NORMALISE.index(contract.normalise)]
    layers = [
        linear("stem", pad(3 * network["channels"], 4), stem["width"]),
        linear("last", width, last),
        linear("hidden", last, hidden),
        linear("classifier", hidden, pad(classes)),
    ]
    values = [*map(str, numbers), *layers, "mean", "factor"]
    values += ["NULL" if contract.amplitudes is None else "amplitudes"]
    values += ["blocks", "&plain", "memory"]
    yield f"static const Network network = {{{', '.join(values)}}};\n"
    yield from _texts("model_channels[MODEL_CHANNELS]", contract.channels)
    yield from _texts("model_classes[MODEL_CLASSES]", answer.classes)
    yield f"""
int model_run(const float *window, float *scores) {{
    int best = 0;
    if (memory_needed(&network) > {num_floats}) return -1; /* never: the two were made together */
    if (!run(&network, window, MODEL_LENGTH, 1, scores)) return -1;
    for (int k = 0; k < MODEL_CLASSES; k++) {{
        if (scores[k] - scores[k] != 0) return -1;
        if (scores[k] > scores[best]) best = k;
    }}
    return best;
}}"""


def _array(name: str, array: np.ndarray) -> Iterator[str]:
    kind = "int8_t" if array.dtype == np.int8 else "float"
    values = array.reshape(-1)
    # Nine digits are enough for every float32; a point makes each of them one.
    texts = [str(v) if kind == "int8_t" else f"{v:.8e}f" for v in values.tolist()]
    yield f"static const {kind} {name}[{len(texts)}] = {{"
    for start in range(0, len(texts), PER_LINE):
        yield "    " + ",".join(texts[start : start + PER_LINE]) + ","
    yield "};"


def _texts(declared: str, texts: list[str]) -> Iterator[str]:
    yield f"const char *const {declared} = {{{', '.join(map(c_string, texts))}}};"


def c_string(text: str) -> str:
    """A string literal of C for any text, in UTF-8."""
    plain = set(range(32, 127)) - set(b'"\\?')
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'
