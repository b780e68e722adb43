"""What goes by the kind of a model file's network: what it may say, its tensors, its engine."""

import raspitrain.use.network as mobilenetv3
from raspitrain.errors import InputError
from raspitrain.use.engine import Engine
from raspitrain.use.foreign import addressof, c_float

TYPE_CHECKING = False  # the modules typing and types take more of a start than this one
if TYPE_CHECKING:
    from types import ModuleType

GRAPH = "graph"
ROCKETS = ("minirocket", "multirocket_hydra")
ENSEMBLE = "ensemble"


def is_rocket(network: dict) -> bool:
    return network["kind"] in ROCKETS


def name_of(network: dict) -> str:
    """For a screen."""
    if network["kind"] == ENSEMBLE:
        return f"{len(network['members'])} × {network['members'][0]['kind']}"
    return str(network["kind"])


def check_network(network: object) -> dict:
    """Return the network, if an engine can run it; an InputError names what is wrong."""
    if not isinstance(network, dict) or not isinstance(network.get("kind"), str):
        raise InputError("network is not an object with a kind")
    if network["kind"] == ENSEMBLE:
        from raspitrain.use.ensemble import check_members  # only where needed: a start is short

        for number, member in enumerate(check_members(network)):
            try:
                _check_one(member)
            except InputError as error:
                raise InputError(f"network.members[{number}]: {error}") from error
        return network
    return _check_one(network)


def _check_one(network: dict) -> dict:
    if not isinstance(network.get("kind"), str):
        raise InputError("network is not an object with a kind")
    known = (mobilenetv3.KIND, GRAPH, *ROCKETS)
    if network["kind"] not in known:
        names = ", ".join((*known, ENSEMBLE))
        raise InputError(f"network.kind is {network['kind']!r}, and this raspitrain runs {names}")
    checked: dict = _described(network).check_network(network)
    return checked


def _described(network: dict) -> "ModuleType":
    """Where its kind is described; imported only where it is needed: a start is short."""
    if network["kind"] == GRAPH:
        import raspitrain.use.graph as graph

        return graph
    if is_rocket(network):
        import raspitrain.use.rocket as rocket

        return rocket
    return mobilenetv3


def tensors(network: dict) -> list[mobilenetv3.Tensor]:
    """Every tensor of the weights, in order."""
    if network["kind"] == ENSEMBLE:
        return [tensor for member in network["members"] for tensor in tensors(member)]
    found: list[mobilenetv3.Tensor] = _described(network).tensors(network)
    return found


def engine_of(
    network: dict, given: dict, addresses: list[int], keep: object, rank: int = 0
) -> Engine:
    """The engine with these tensors, ready to run raw windows.

    Parameters
    ----------
    given : mean, std, where the network's `normalise` is both, amplitudes, and where there is one
        before it, frontend
    addresses : of the tensors, as `tensors` orders them
    keep : what holds their memory
    rank : of the kernels in `raspitrain.use.engine.kernels`
    """
    engine = _engine_of(network, given, addresses, keep, rank)
    if given.get("frontend") is None:
        return engine
    from raspitrain.use.frontend import FrontendEngine

    return FrontendEngine(engine, len(given["channels"]), given["frontend"])


def _engine_of(network: dict, given: dict, addresses: list[int], keep: object, rank: int) -> Engine:
    if network["kind"] == ENSEMBLE:
        from raspitrain.use.ensemble import EnsembleEngine

        engines, first = [], 0
        for member in network["members"]:
            last = first + len(tensors(member))
            engines.append(_engine_of(member, given, addresses[first:last], keep, rank))
            first = last
        return EnsembleEngine(engines)
    if is_rocket(network):
        from raspitrain.use.rocket import RocketEngine

        return RocketEngine(network, given, addresses, keep)
    figures = [given["mean"], [1 / std for std in given["std"]]]
    if network.get("normalise") == "both":
        figures.append(mobilenetv3.amplitude_floats(given["amplitudes"]))
    floats = [(c_float * len(values))(*values) for values in figures]
    places = [*map(addressof, floats), *addresses]
    if network["kind"] == GRAPH:
        from raspitrain.use.graph import GraphEngine

        return GraphEngine(network, places, (keep, floats), rank)
    return Engine(network, places, (keep, floats), rank)
