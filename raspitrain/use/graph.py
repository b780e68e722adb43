"""A network of layers, each of which makes one value of others: what it is to the engine.

Beside `channels`, `length`, `classes`, `normalise` and `precision` it has

    layers      a list; value 0 is the window, value i what the i-th layer makes. Each has `layer`
                and what LAYERS says, `source` being the value that it takes

A value has rows (positions) of columns: channels, filled up with zeros to a multiple of PACK. Those
of the last value, a single row, are the logits. Where each value lies in memory is settled here,
once: a value's place is free when the last layer that reads it is done.

raspitrain.use.network describes the MobileNetV3s, which have a faster way of their own.
"""

from raspitrain.errors import InputError
from raspitrain.use.engine import Engine
from raspitrain.use.network import (
    MOST_LENGTH,
    MOST_VALUES,
    MOST_WIDTH,
    NORMALISE,
    PACK,
    PRECISIONS,
    Tensor,
    check_choice,
    check_ends,
    check_keys,
    check_number,
    check_width,
    linear,
    num_inputs,
    pad,
)

LAYERS = {  # in the order of graph.h
    "convolution": "source out kernel stride dilation padding activation",
    "depthwise": "source kernel stride dilation padding activation",
    "max_pool": "source kernel stride padding activation",
    "mean_pool": "source kernel stride padding activation",
    "mean": "source positions activation",
    "add": "source other activation",
    "gate": "source other",
    "join": "runs",
}
ACTIVATIONS = (
    "identity", "relu", "relu6", "hardswish", "hard_sigmoid", "sigmoid", "tanh", "silu", "gelu",
)  # fmt: skip
MOST_LAYERS = 4096
MOST_REACH = 1 << 16  # inputs of one sum: so many products of int8 fit 32 bits
MOST_OPERATIONS = 1 << 38  # of a window: minutes
SLACK = 4  # floats behind a value, which a product may read


class Value:
    """`before` and `after`: rows of zeros; `at`: where they begin, in floats."""

    __slots__ = ("after", "at", "before", "length", "width")

    def __init__(self, length: int, width: int) -> None:
        self.length, self.width = length, width
        self.before = self.after = self.at = 0

    @property
    def floats(self) -> int:
        return (self.before + self.length + self.after) * self.width + SLACK


def is_int8(network: dict, layer: dict) -> bool:
    """Whether a layer's weights are int8: what reads the window itself stays fp32."""
    return (
        network["precision"] == "int8" and layer["layer"] == "convolution" and layer["source"] != 0
    )


def values(network: dict) -> list[Value]:
    """The window, and what each layer makes; of a checked network."""
    found = [Value(network["length"], network["channels"])]
    for layer in network["layers"]:
        found.append(_made(layer, found))
    return found


def _made(layer: dict, found: list[Value]) -> Value:
    kind = layer["layer"]
    if kind == "join":
        runs = layer["runs"]
        return Value(found[runs[0][0]].length, pad(sum(count for _, _, count in runs)))
    source = found[layer["source"]]
    if kind in ("add", "gate"):
        return Value(source.length, source.width)
    if kind == "mean":
        return Value(layer["positions"], source.width)
    left, right = layer["padding"]
    reach = layer.get("dilation", 1) * (layer["kernel"] - 1) + 1
    length = (source.length + left + right - reach) // layer["stride"] + 1
    return Value(length, layer.get("out", source.width))


def sources(layer: dict) -> list[int]:
    """The values that a layer reads."""
    if layer["layer"] == "join":
        return [run[0] for run in layer["runs"]]
    return [layer["source"], *([layer["other"]] if "other" in layer else [])]


def tensors(network: dict) -> list[Tensor]:
    """In the order in which a window meets them."""
    found: list[Tensor] = []
    made = values(network)
    for i, layer in enumerate(network["layers"]):
        name = f"layers.{i}"
        if layer["layer"] == "convolution":
            inputs = pad(layer["kernel"] * made[layer["source"]].width, 4)
            precision = "int8" if is_int8(network, layer) else "fp32"
            found += linear(name, inputs, layer["out"], precision)
        elif layer["layer"] == "depthwise":
            width = made[layer["source"]].width
            found.append(Tensor(f"{name}.weight", "float32", layer["kernel"], width))
            found.append(Tensor(f"{name}.bias", "float32", width))
    return found


# ---------------------------------------------------------------- memory


def plan(network: dict) -> tuple[list[Value], int, int]:
    """Values with their places, where the layers' scratch lies, and floats in all."""
    found, layers = values(network), network["layers"]
    last_use = {i + 1: i for i in range(len(layers))}
    scratch = 0
    for i, layer in enumerate(layers):
        for source in sources(layer):
            last_use[source] = i
        if "padding" in layer:
            value, (left, right) = found[layer["source"]], layer["padding"]
            value.before, value.after = max(value.before, left), max(value.after, right)
            scratch = max(scratch, _scratch(network, layer, value, found[i + 1]))
    last_use[len(layers)] = len(layers)
    taken: list[tuple[int, int, int]] = []  # first and end of a place, and whose it is
    most = 0
    for i, value in enumerate(found):
        # Value i is made by layer i - 1: all that is read from there on is still there.
        taken = [place for place in taken if last_use.get(place[2], 0) >= i - 1]
        value.at = 0
        for first, end, _ in taken:
            if value.at + value.floats <= first:
                break
            value.at = max(value.at, end)
        end = pad(value.at + value.floats, 16)
        taken.append((value.at, end, i))
        taken.sort()
        most = max(most, end)
    return found, most, most + scratch


def _scratch(network: dict, layer: dict, source: Value, made: Value) -> int:
    """Floats that a layer works in beside its values."""
    if layer["layer"] != "convolution":
        return 0
    reach = layer["kernel"] * source.width
    floats = 0
    if layer["dilation"] > 1:
        floats += pad(made.length * reach + SLACK, 16)
    if is_int8(network, layer):
        overlapping = layer["kernel"] > 1 and layer["dilation"] == 1
        num_bytes = made.length * reach
        if overlapping:
            num_bytes = (made.length - 1) * layer["stride"] * source.width + reach
        floats += pad(made.length, 16) + pad(-(-num_bytes // 4), 16)
    return floats


def description(network: dict) -> list[int]:
    """The numbers that infer.c reads."""
    found, scratch, floats = plan(network)
    layers = network["layers"]
    num_runs = sum(len(layer.get("runs", ())) for layer in layers)
    numbers = [num_inputs(network), network["channels"], network["length"]]
    numbers += [NORMALISE.index(network.get("normalise", "channel")), network["classes"]]
    numbers += [len(layers), floats, scratch, num_runs]
    for value in found:
        numbers += [value.length, value.width, value.before, value.after, value.at]
    for layer in layers:
        runs = layer.get("runs", ())
        numbers += layer_numbers(layer)
        numbers += [int(is_int8(network, layer)), len(runs)]
        for run in runs:
            numbers += run
    return numbers


def layer_numbers(layer: dict) -> list[int]:
    """Kind, source, other, kernel, stride, dilation, left and activation, as graph.h has them."""
    return [
        list(LAYERS).index(layer["layer"]), layer.get("source", 0), layer.get("other", 0),
        layer.get("kernel", 1), layer.get("stride", 1), layer.get("dilation", 1),
        layer.get("padding", (0, 0))[0],
        ACTIVATIONS.index(layer.get("activation", "identity")),
    ]  # fmt: skip


class GraphEngine(Engine):
    prefix = "raspitrain_graph_"
    describe = staticmethod(description)


# ---------------------------------------------------------------- what a header says


def check_network(network: dict) -> dict:
    """Return the network, if the engine can run it.

    Raises
    ------
    InputError
        Something is missing or out of its bounds; names it.
    """
    keys = "kind channels length classes layers precision"
    n = check_keys(network, "network", keys, optional="normalise")
    check_ends(n)
    check_choice(n["precision"], "network.precision", PRECISIONS)
    layers = n["layers"]
    if not isinstance(layers, list) or not 1 <= len(layers) <= MOST_LAYERS:
        raise InputError(f"network.layers is not a list of 1 to {MOST_LAYERS} layers")
    found = [Value(n["length"], n["channels"])]
    _check_size(found[0], "network")
    work = 0
    for k, layer in enumerate(layers):
        name = f"network.layers[{k}]"
        _check_layer(layer, name, found)
        made = _made(layer, found)
        _check_size(made, name)
        found.append(made)
        work += _operations(layer, found, made)
        if work > MOST_OPERATIONS:
            raise InputError("network: a window of so much work is more than the engine takes")
    if found[-1].length != 1 or found[-1].width != pad(n["classes"]):
        raise InputError("network.layers do not end with a row of so many classes")
    return n


def _check_size(value: Value, name: str) -> None:
    if value.length < 1 or value.length * value.width > MOST_VALUES:
        raise InputError(f"{name} makes no value that the engine takes")


def _operations(layer: dict, found: list[Value], made: Value) -> int:
    if layer["layer"] == "mean":
        return (found[layer["source"]].length + 2 * made.length) * made.width
    work = made.length * made.width * layer.get("kernel", 1)
    return work * found[layer["source"]].width if layer["layer"] == "convolution" else work


def operations(network: dict) -> int:
    """Multiply-adds, or what takes as long, of a window."""
    found = values(network)
    return sum(
        _operations(layer, found, made)
        for layer, made in zip(network["layers"], found[1:], strict=True)
    )


def _check_layer(layer: object, name: str, found: list[Value]) -> None:
    kind = layer.get("layer") if isinstance(layer, dict) else None
    check_choice(kind, f"{name}.layer", tuple(LAYERS))
    given = check_keys(layer, name, f"layer {LAYERS[str(kind)]}")
    if kind == "join":
        _check_runs(given["runs"], f"{name}.runs", found)
        return
    check_number(given["source"], f"{name}.source", 0, len(found) - 1)
    source = found[given["source"]]
    if source.width % PACK and kind != "convolution":
        raise InputError(f"{name}.source is the window, which only a convolution or join reads")
    if "activation" in given:
        check_choice(given["activation"], f"{name}.activation", ACTIVATIONS)
    if "other" in given:
        check_number(given["other"], f"{name}.other", 0, len(found) - 1)
        other = found[given["other"]]
        lengths = (source.length,) if kind == "add" else (1, source.length)
        if other.length not in lengths or other.width != source.width:
            raise InputError(f"{name}.other is a value of another shape")
    if "positions" in given:
        check_number(given["positions"], f"{name}.positions", 1, MOST_LENGTH)
    if "padding" in given:
        _check_reach(given, name, source)


def _check_reach(given: dict, name: str, source: Value) -> None:
    """Of what slides over the positions."""
    check_number(given["kernel"], f"{name}.kernel", 1, MOST_REACH)
    check_number(given["stride"], f"{name}.stride", 1, MOST_LENGTH)
    check_number(given.get("dilation", 1), f"{name}.dilation", 1, MOST_LENGTH)
    padding = given["padding"]
    if not isinstance(padding, list) or len(padding) != 2:
        raise InputError(f"{name}.padding does not have two numbers")
    reach = given.get("dilation", 1) * (given["kernel"] - 1)
    for side in padding:
        check_number(side, f"{name}.padding", 0, reach)
    if source.length + sum(padding) <= reach:
        raise InputError(f"{name}.kernel is longer than what it slides over")
    if (source.length + sum(padding)) * source.width > MOST_VALUES:
        raise InputError(f"{name}.padding is more than the engine takes")
    if given["layer"].endswith("_pool") and max(padding) > given["kernel"] // 2:
        raise InputError(f"{name}.padding is more than half the kernel")
    if "out" in given:
        check_width(given["out"], f"{name}.out")
        if given["kernel"] * source.width > MOST_REACH:
            raise InputError(f"{name}.kernel is more than the engine takes")


def _check_runs(runs: object, name: str, found: list[Value]) -> None:
    if not isinstance(runs, list) or not 1 <= len(runs) <= MOST_WIDTH:
        raise InputError(f"{name} is not a list of 1 to {MOST_WIDTH} runs")
    width = 0
    for run in runs:
        if not isinstance(run, list) or len(run) != 3:
            raise InputError(f"{name} does not have three numbers each")
        check_number(run[0], name, 0, len(found) - 1)
        source = found[run[0]]
        check_number(run[1], name, 0, source.width - 1)
        check_number(run[2], name, 1, source.width - run[1])
        if source.length != found[runs[0][0]].length:
            raise InputError(f"{name} are of values of different lengths")
        width += run[2]
    check_number(width, name, 1, MOST_WIDTH)
