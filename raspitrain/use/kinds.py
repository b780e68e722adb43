"""What goes by the kind of a model file's network: what it may say, its tensors, its engine."""

import ctypes

from raspitrain.errors import InputError
from raspitrain.use.engine import Engine
from raspitrain.use.network import KIND as MOBILENETV3
from raspitrain.use.network import Tensor, amplitude_floats
from raspitrain.use.network import check_network as check_mobilenetv3
from raspitrain.use.network import tensors as tensors_of_mobilenetv3

GRAPH = "graph"


def check_network(network: object) -> dict:
    """Return the network, if an engine can run it; an InputError names what is wrong."""
    if not isinstance(network, dict) or not isinstance(network.get("kind"), str):
        raise InputError("network is not an object with a kind")
    if network["kind"] == GRAPH:
        # Only where it is needed: a start is short.
        from raspitrain.use.graph import check_network

        return check_network(network)
    if network["kind"] != MOBILENETV3:
        known = ", ".join((MOBILENETV3, GRAPH))
        raise InputError(f"network.kind is {network['kind']!r}, and this raspitrain runs {known}")
    return check_mobilenetv3(network)


def tensors(network: dict) -> list[Tensor]:
    """Every tensor of the weights, in order."""
    if network["kind"] == GRAPH:
        from raspitrain.use.graph import tensors

        return tensors(network)
    return tensors_of_mobilenetv3(network)


def engine_of(
    network: dict, given: dict, addresses: list[int], keep: object, rank: int = 0
) -> Engine:
    """The engine with these tensors, ready to run raw windows.

    Parameters
    ----------
    given : mean, std and, where the network's `normalise` is both, amplitudes
    addresses : of the tensors, as `tensors` orders them
    keep : what holds their memory
    rank : of the kernels in `raspitrain.use.engine.kernels`
    """
    figures = [given["mean"], [1 / std for std in given["std"]]]
    if network.get("normalise") == "both":
        figures.append(amplitude_floats(given["amplitudes"]))
    floats = [(ctypes.c_float * len(values))(*values) for values in figures]
    places = [*map(ctypes.addressof, floats), *addresses]
    if network["kind"] == GRAPH:
        from raspitrain.use.graph import GraphEngine

        return GraphEngine(network, places, (keep, floats), rank)
    return Engine(network, places, (keep, floats), rank)
