"""MiniRocket, and MultiRocket with Hydra, as a model file has them, and their engine (rocket.c).

A network of this kind is a dict, as it stands in a model file's header:

    kind                         "minirocket" or "multirocket_hydra"
    channels, length, classes    of what the features see of a window, and of the answer
    normalise                    as in network.py
    precision                    "fp32"
    parts                        a list of {"features", "difference", "dilations"}, and what its
                                 features take. "features" is "minirocket", "multirocket" (both with
                                 "per_dilation": features of each of the 84 kernels at each
                                 dilation) or "hydra" (with "groups" and "per_group": channels that
                                 are added up for a group); "difference" says whether they see the
                                 window or what it changes by from sample to sample
"""

from raspitrain.errors import InputError
from raspitrain.use.engine import Engine
from raspitrain.use.foreign import addressof, c_double
from raspitrain.use.network import (
    AMPLITUDES,
    MOST_WIDTH,
    NORMALISE,
    Tensor,
    check_choice,
    check_ends,
    check_keys,
    check_number,
    num_inputs,
    pad,
)

FEATURES = ("minirocket", "multirocket", "hydra")
FIGURES = {"minirocket": 1, "multirocket": 4}  # of each response and bias
KERNELS, TAPS, HALF = 84, 9, 4
COMPETING = 8  # kernels of a group of Hydra, with two scores each
ALIGNED = 16  # features that a row of weights is filled up to
MOST_PARTS, MOST_DILATIONS, MOST_FEATURES = 8, 64, 1 << 22


def num_biases(part: dict) -> int:
    """Of a part whose features are counted from responses of the 84 kernels."""
    return KERNELS * sum(part["per_dilation"])


def num_features(part: dict) -> int:
    if part["features"] == "hydra":
        return 2 * COMPETING * part["groups"] * len(part["dilations"])
    return FIGURES[part["features"]] * num_biases(part)


def tensors(network: dict) -> list[Tensor]:
    """Those of each part, then the head's: what features are less, weights, biases."""
    found = []
    for number, part in enumerate(network["parts"]):
        name, dilations = f"parts.{number}", len(part["dilations"])
        if part["features"] == "hydra":
            chosen = Tensor(
                f"{name}.channels", "int64", dilations, part["groups"], part["per_group"]
            )
            weights = (dilations, part["groups"] * COMPETING, TAPS)
            found += [chosen, Tensor(f"{name}.weight", "float32", *weights)]
        else:
            chosen = Tensor(f"{name}.channels", "uint8", KERNELS * dilations, network["channels"])
            found += [chosen, Tensor(f"{name}.bias", "float32", num_biases(part))]
    width = pad(sum(map(num_features, network["parts"])), ALIGNED)
    return [
        *found,
        Tensor("head.middle", "float32", width),
        Tensor("head.weight", "float32", network["classes"], width),
        Tensor("head.bias", "float32", network["classes"]),
    ]


def check_network(network: dict) -> dict:
    """Return the network, if the engine can run it.

    Raises
    ------
    InputError
        Something is missing or out of its bounds; names it.
    """
    n = check_keys(
        network, "network", "kind channels length classes parts precision", optional="normalise"
    )
    check_ends(n, least_length=TAPS)
    check_choice(n["precision"], "network.precision", ("fp32",))
    parts = n["parts"]
    if not isinstance(parts, list) or not 1 <= len(parts) <= MOST_PARTS:
        raise InputError(f"network.parts is not a list of 1 to {MOST_PARTS} parts")
    for number, part in enumerate(parts):
        _check_part(part, f"network.parts[{number}]", n["length"])
    if sum(map(num_features, parts)) > MOST_FEATURES:
        raise InputError("network: so many features are more than the engine takes")
    return n


def _check_part(part: object, name: str, length: int) -> None:
    if not isinstance(part, dict):
        raise InputError(f"{name} is not an object")
    check_choice(part.get("features"), f"{name}.features", FEATURES)
    is_hydra = part["features"] == "hydra"
    own = "groups per_group" if is_hydra else "per_dilation"
    check_keys(part, name, f"features difference dilations {own}")
    if not isinstance(part["difference"], bool):
        raise InputError(f"{name}.difference is neither true nor false")
    length -= part["difference"]
    # So that a kernel has a position where all its taps lie on the signal; Hydra asks for none.
    widest = length if is_hydra else (length - 1) // (TAPS - 1)
    dilations = part["dilations"]
    if not isinstance(dilations, list) or not 1 <= len(dilations) <= MOST_DILATIONS:
        raise InputError(f"{name}.dilations is not a list of 1 to {MOST_DILATIONS} integers")
    for dilation in dilations:
        check_number(dilation, f"{name}.dilations", 1, widest)
    if is_hydra:
        check_number(part["groups"], f"{name}.groups", 1, MOST_WIDTH)
        check_number(part["per_group"], f"{name}.per_group", 1, MOST_WIDTH)
        return
    many = part["per_dilation"]
    if not isinstance(many, list) or len(many) != len(dilations):
        raise InputError(f"{name}.per_dilation does not have a number for each dilation")
    for number in many:
        check_number(number, f"{name}.per_dilation", 1, MOST_FEATURES)


def _description(network: dict) -> list[int]:
    """The numbers that rocket.c reads."""
    n = network
    numbers = [n["channels"], n["length"], n["classes"], num_inputs(n)]
    numbers += [NORMALISE.index(n.get("normalise", "channel")), len(n["parts"])]
    for part in n["parts"]:
        is_hydra = part["features"] == "hydra"
        numbers += [FEATURES.index(part["features"]), int(part["difference"])]
        numbers += [0, part["groups"], part["per_group"]] if is_hydra else [num_biases(part), 0, 0]
        numbers += [len(part["dilations"]), *part["dilations"]]
        numbers += [] if is_hydra else part["per_dilation"]
    return numbers


class RocketEngine(Engine):
    """The same for features: on every processor by the same kernels.

    Parameters
    ----------
    given : mean, std and amplitudes, as a model file's input has them
    addresses : of the tensors, in their order
    keep : what holds their memory
    """

    prefix = "raspitrain_rocket_"
    describe = staticmethod(_description)

    def __init__(self, network: dict, given: dict, addresses: list[int], keep: object) -> None:
        figures = [given["mean"], given["std"]]
        if network.get("normalise") == "both":
            rows = [given["amplitudes"][name] for name in AMPLITUDES]
            figures.append([value for row in rows for value in row])
        doubles = [(c_double * len(values))(*values) for values in figures]
        self._keep = (keep, doubles)
        if not self._prepare(network, [*map(addressof, doubles), *addresses]):
            raise InputError("it adds up channels that are not there")
        self.kernels = "vectors of 16 bytes"
