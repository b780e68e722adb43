"""An ensemble as a model file has it: members, each a network of its own, and their mean.

    kind, channels, length, classes, precision, normalise    as every one of its members
    members                      a list of 2 to 100 networks

Its tensors are those of the members, one after another. Its logits are the logarithms of the means
of the members' probabilities.
"""

from math import exp, log

from raspitrain.errors import InputError
from raspitrain.use.engine import Engine
from raspitrain.use.foreign import c_float
from raspitrain.use.network import check_keys

MOST_MEMBERS = 100
SHARED = ("channels", "length", "classes", "precision")


def check_members(network: dict) -> list:
    """The members, each still to be checked; an InputError where they are none of one kind."""
    n = check_keys(network, "network", f"kind {' '.join(SHARED)} members", optional="normalise")
    members = n["members"]
    if not isinstance(members, list) or not 2 <= len(members) <= MOST_MEMBERS:
        raise InputError(f"network.members is not a list of 2 to {MOST_MEMBERS} networks")
    for number, member in enumerate(members):
        if not isinstance(member, dict) or any(
            member.get(key) != n.get(key) or type(member.get(key)) is not type(n.get(key))
            for key in (*SHARED, "normalise")
        ):
            raise InputError(f"network.members[{number}] is for other windows than the ensemble")
    return members


class EnsembleEngine(Engine):
    """Engines that answer together."""

    def __init__(self, members: list[Engine]) -> None:
        self._members = members
        self._logits = (c_float * members[0].num_classes)()
        self.num_bytes = sum(member.num_bytes for member in members)
        self.num_classes = members[0].num_classes
        self.kernels = members[0].kernels

    def run(self, window: int, channel_stride: int, sample_stride: int) -> list[float] | None:
        """As `raspitrain.use.engine.Engine.run`."""
        found = [member.run(window, channel_stride, sample_stride) for member in self._members]
        known = [_log_probabilities(logits) for logits in found if logits is not None]
        if len(known) != len(found):
            return None
        self._logits[:] = [_log_mean(values) for values in zip(*known, strict=True)]
        return list(self._logits)


def _log_probabilities(logits: list[float]) -> list[float]:
    largest = max(logits)
    total = largest + log(sum(exp(value - largest) for value in logits))
    return [value - total for value in logits]


def _log_mean(values: tuple[float, ...]) -> float:
    """Of numbers whose logarithms are given."""
    largest = max(values)
    return largest + log(sum(exp(value - largest) for value in values) / len(values))
