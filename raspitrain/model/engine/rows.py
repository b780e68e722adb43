"""What a network says it is made of, so that an engine can compute it in a way of its own.

A network of anybody's takes part with three lines:

    class Mine(nn.Module):
        engine = "auto"

        def rows(self) -> list[Row]:
            return [Convolution(self.conv, self.norm, "relu"), Mean()]

        def forward(self, x):
            features = compute(self, x)  # None: as the modules do it
            ...

A row holds torch's own modules, with their weights in them, and makes one value of another. Value 0
is the signals, (N, C, L); value i is what the i-th row makes. A row takes the value before it, or
the one that its `source` names. The last value is what `compute` gives.

A network that says nothing of itself is traced, and its rows are found (traced.py).
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeGuard

from torch import nn

from raspitrain.model.engine.operations import Activation

ENGINES = ("auto", "native", "torch", "plain")  # see choose.py
BEFORE = -1  # the value of the row before


@dataclass(frozen=True, eq=False)
class Convolution:
    """activation(norm(conv(x))), (N, C, L) -> (N, C', L').

    unless_length_1: no `norm` where a single position is left. padded: zeros on the left and on
    the right that a layer before it adds, beside those of its own.
    """

    conv: nn.Conv1d
    norm: nn.BatchNorm1d | None = None
    activation: Activation = "identity"
    unless_length_1: bool = False
    source: int = BEFORE
    padded: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class Gate:
    """Squeeze-excite: x times factors from the means of all channels, (N, C, L) -> (N, C, L)."""

    reduce: nn.Linear
    expand: nn.Linear
    source: int = BEFORE


@dataclass(frozen=True, eq=False)
class Add:
    """activation(value `other` + x), both of one shape."""

    other: int
    activation: Activation = "identity"
    source: int = BEFORE


@dataclass(frozen=True, eq=False)
class Mean:
    """Over the positions, (N, C, L) -> (N, C)."""

    source: int = BEFORE


@dataclass(frozen=True, eq=False)
class Dense:
    """activation(layer(x)), (N, C) -> (N, C'); a 1x1 convolution may stand for the layer."""

    layer: nn.Linear | nn.Conv1d
    activation: Activation = "identity"
    source: int = BEFORE


@dataclass(frozen=True, eq=False)
class Normalise:
    """activation(norm(x)), of one shape; no norm is the activation alone."""

    norm: nn.BatchNorm1d | None
    activation: Activation = "identity"
    source: int = BEFORE


@dataclass(frozen=True, eq=False)
class Multiply:
    """x times value `other`, (N, C, 1): (N, C, L) -> (N, C, L)."""

    other: int
    source: int = BEFORE


@dataclass(frozen=True, eq=False)
class Dropout:
    """x times the factors that torch draws for it while it trains, of one shape."""

    layer: nn.Dropout
    source: int = BEFORE


@dataclass(frozen=True, eq=False)
class Pool:
    """The greatest, or the mean, of neighbouring positions, (N, C, L) -> (N, C, L')."""

    pool: nn.MaxPool1d | nn.AvgPool1d
    source: int = BEFORE


@dataclass(frozen=True, eq=False)
class Concatenate:
    """The channels of all sources, one after another."""

    sources: tuple[int, ...]
    source: int = BEFORE  # which it does not read


@dataclass(frozen=True, eq=False)
class Channels:
    """`count` channels from `first` on."""

    first: int
    count: int
    source: int = BEFORE


@dataclass(frozen=True, eq=False)
class Deal:
    """The channels of every group dealt out over all groups: ShuffleNet's shuffle."""

    groups: int
    source: int = BEFORE


Row = (
    Convolution
    | Gate
    | Add
    | Mean
    | Dense
    | Normalise
    | Multiply
    | Dropout
    | Pool
    | Concatenate
    | Channels
    | Deal
)


class Network(Protocol):
    """An nn.Module that says what it is made of."""

    engine: str  # one of ENGINES
    training: bool

    def rows(self) -> Sequence[Row]: ...


def says_its_rows(model: object) -> TypeGuard[Network]:
    """Whether it means by `engine` and `rows` what we do: they may be layers of its own."""
    engine, rows = getattr(model, "engine", None), getattr(model, "rows", None)
    return isinstance(engine, str) and engine in ENGINES and inspect.ismethod(rows)


def describe(rows: Sequence[Row]) -> str:
    """All that the time of a step depends on besides the signals: kinds, shapes and order."""
    return "\n".join(map(repr, rows))
