"""What a network is to the engine: its numbers in order, and the tensors that go with them.

A network is a dict, as it stands in a model file's header:

    channels, length, classes    of what the stem sees of a window, and of the answer
    normalise                    what becomes of a window first: "case" or "both"; left out, it is
                                 each channel by the mean and std of the model's input. "both" makes
                                 three channels of one
    stem                         {"width", "stride"}
    blocks                       a list of {"expanded", "out", "kernel", "stride", "activation",
                                 "project_activation", "squeezed" (0: no squeeze-excite), "expand"
                                 (whether there is an expansion), "residual"}
    last, hidden                 widths of the last 1x1 convolution and of the hidden layer
    logits_activation            "identity" or "hardswish"
    precision                    "fp32" or "int8"

Widths are the engine's, filled up to multiples of PACK. Nothing here imports more than it needs:
a board starts with it.
"""

from raspitrain.errors import InputError

KIND = "mobilenetv3"
PACK = 8
NORMALISE = ("channel", "case", "both")
AMPLITUDES = ("level_mean", "level_std", "spread_mean", "spread_std", "spread_least")
ACTIVATIONS = ("identity", "relu", "relu6", "hardswish")
PRECISIONS = ("fp32", "int8")
BYTES = {"float32": 4, "int8": 1, "uint8": 1, "int64": 8}
# Beyond these nothing of ours goes, and the engine's sums stay within their types.
MOST_BLOCKS, MOST_WIDTH, MOST_LENGTH = 64, 1 << 16, 1 << 22
MOST_VALUES = 1 << 26  # of a window


class Tensor:
    """`dtype` is one of BYTES."""

    __slots__ = ("dtype", "name", "num_bytes", "shape")

    def __init__(self, name: str, dtype: str, *shape: int) -> None:
        self.name, self.dtype, self.shape = name, dtype, shape
        size = BYTES[dtype]
        for side in shape:
            size *= side
        self.num_bytes = size


def pad(width: int, to: int = PACK) -> int:
    return -(-width // to) * to


def strided(length: int, stride: int) -> int:
    """Positions after a convolution of this stride, padded by half its kernel."""
    return -(-length // stride)


def num_inputs(network: dict) -> int:
    """Channels of a window."""
    channels: int = network["channels"]
    return channels // 3 if network.get("normalise") == "both" else channels


def amplitude_floats(amplitudes: dict) -> list[float]:
    """What infer.c takes of `input.amplitudes`: five numbers a channel, list after list."""
    floats: list[float] = []
    for name in AMPLITUDES:
        inverse = name.endswith("_std")
        floats += [1 / value if inverse else value for value in amplitudes[name]]
    return floats


def description(network: dict) -> list[int]:
    """The numbers that infer.c reads."""
    n, stem = network, network["stem"]
    numbers = [n["channels"], n["length"], n["classes"], stem["width"], stem["stride"]]
    numbers += [len(n["blocks"]), n["last"], n["hidden"], int(n["precision"] == "int8")]
    numbers.append(ACTIVATIONS.index(n["logits_activation"]))
    numbers += [num_inputs(n), NORMALISE.index(n.get("normalise", "channel"))]
    for block in n["blocks"]:
        numbers += [block["expanded"], block["out"], block["kernel"], block["stride"]]
        numbers.append(ACTIVATIONS.index(block["activation"]))
        numbers.append(ACTIVATIONS.index(block["project_activation"]))
        numbers += [block["squeezed"], int(block["expand"]), int(block["residual"])]
    return numbers


def linear(name: str, inputs: int, outputs: int, precision: str) -> list[Tensor]:
    """The tensors of a product, as the engine reads them."""
    bias = Tensor(f"{name}.bias", "float32", outputs)
    if precision == "int8":
        weight = Tensor(f"{name}.weight", "int8", outputs // PACK, inputs // 4, PACK, 4)
        return [weight, Tensor(f"{name}.scale", "float32", outputs), bias]
    return [Tensor(f"{name}.weight", "float32", outputs // PACK, inputs, PACK), bias]


def tensors(network: dict) -> list[Tensor]:
    """Every tensor of the weights, in the order in which a window meets them."""
    precision, width = network["precision"], network["stem"]["width"]
    found = linear("stem", pad(3 * network["channels"], 4), width, "fp32")
    for k, block in enumerate(network["blocks"]):
        expanded, squeezed = block["expanded"], block["squeezed"]
        if block["expand"]:
            found += linear(f"blocks.{k}.expand", width, expanded, precision)
        found.append(Tensor(f"blocks.{k}.depthwise.weight", "float32", block["kernel"], expanded))
        found.append(Tensor(f"blocks.{k}.depthwise.bias", "float32", expanded))
        if squeezed:
            found += linear(f"blocks.{k}.squeeze", expanded, squeezed, precision)
            found += linear(f"blocks.{k}.excite", squeezed, expanded, precision)
        width = block["out"]
        found += linear(f"blocks.{k}.project", expanded, width, precision)
    found += linear("last", width, network["last"], precision)
    found += linear("hidden", network["last"], network["hidden"], precision)
    found += linear("classifier", network["hidden"], pad(network["classes"]), precision)
    return found


def check_network(network: dict) -> dict:
    """Return the network, if the engine can run it; its kind is known to be KIND.

    Raises
    ------
    InputError
        Something is missing or out of its bounds; names it.
    """
    n = check_keys(
        network,
        "network",
        "kind channels length classes stem blocks last hidden logits_activation precision",
        optional="normalise",
    )
    check_ends(n)
    stem = check_keys(n["stem"], "network.stem", "width stride")
    check_width(stem["width"], "network.stem.width")
    check_number(stem["stride"], "network.stem.stride", 1, 2)
    check_width(n["last"], "network.last")
    check_width(n["hidden"], "network.hidden")
    check_choice(n["logits_activation"], "network.logits_activation", ("identity", "hardswish"))
    check_choice(n["precision"], "network.precision", PRECISIONS)
    blocks = n["blocks"]
    if not isinstance(blocks, list) or not 1 <= len(blocks) <= MOST_BLOCKS:
        raise InputError(f"network.blocks is not a list of 1 to {MOST_BLOCKS} blocks")
    width = stem["width"]
    for k, block in enumerate(blocks):
        width = _check_block(block, f"network.blocks[{k}]", width)
    return n


def check_ends(n: dict, least_length: int = 1) -> None:
    """What a network of any kind says of windows and answers. InputError names what is wrong."""
    check_number(n["channels"], "network.channels", 1, MOST_WIDTH)
    check_number(n["length"], "network.length", least_length, MOST_LENGTH)
    check_number(n["classes"], "network.classes", 2, MOST_WIDTH)
    if n["channels"] * n["length"] > MOST_VALUES:
        raise InputError("network: a window of so many values is more than the engine takes")
    check_choice(n.get("normalise", "channel"), "network.normalise", NORMALISE)
    if n.get("normalise") == "both" and n["channels"] % 3:
        raise InputError("network.channels is not three for each channel of a window")


def _check_block(block: object, name: str, width: int) -> int:
    """Check a block that `width` channels enter; return how many leave it."""
    b = check_keys(
        block,
        name,
        "expanded out kernel stride activation project_activation squeezed expand residual",
    )
    check_width(b["expanded"], f"{name}.expanded")
    check_width(b["out"], f"{name}.out")
    if b["squeezed"] != 0:
        check_width(b["squeezed"], f"{name}.squeezed")
    check_choice(b["kernel"], f"{name}.kernel", (3, 5))
    check_number(b["stride"], f"{name}.stride", 1, 2)
    check_choice(b["activation"], f"{name}.activation", ACTIVATIONS[1:])
    check_choice(b["project_activation"], f"{name}.project_activation", ACTIVATIONS)
    for key in ("expand", "residual"):
        if not isinstance(b[key], bool):
            raise InputError(f"{name}.{key} is neither true nor false")
    if not b["expand"] and b["expanded"] != width:
        raise InputError(f"{name}.expanded is {b['expanded']}, but {width} channels enter")
    if b["residual"] and (b["stride"] != 1 or b["out"] != width):
        raise InputError(f"{name}.residual adds activations of different shapes")
    return int(b["out"])


def is_number(value: object, *, least: float = float("-inf"), most: float = float("inf")) -> bool:
    """Whether a header has a number there, of a size that can be reckoned with."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return least <= value <= most and value < 1e300


def check_keys(value: object, name: str, keys: str, optional: str = "") -> dict:
    wanted = keys.split()
    if not isinstance(value, dict) or sorted({*value} - {optional}) != sorted(wanted):
        raise InputError(f"{name} does not have the keys {', '.join(wanted)}")
    return value


def check_number(value: object, name: str, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise InputError(f"{name} is not an integer from {least} to {most}")


def check_width(value: object, name: str) -> None:
    check_number(value, name, PACK, MOST_WIDTH)
    if isinstance(value, int) and value % PACK:
        raise InputError(f"{name} is not a multiple of {PACK}")


def check_choice(value: object, name: str, choices: tuple) -> None:
    if value not in choices or type(value) is not type(choices[0]):
        raise InputError(f"{name} is none of {', '.join(str(c) for c in choices)}")
