"""The order of a sweep's jobs, and which of them a free place takes: one queue for all places.

How long a job takes is known only where its own words say so; benchmarks/boards.py says what not
knowing costs.
"""

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from raspitrain.sweep.machine import computer_of

# After so long a job that was lost runs nowhere any more: its lease, its end, and some to spare.
SURELY_OVER_SECONDS = 75.0
# A job takes about as many times longer as a number of these is larger.
LASTING = ("epochs", "min_steps", "ensemble", "throughput.seconds")


class Queued(Protocol):
    """A job; `host` is the name of the place that has, or had, it."""

    number: int
    host: str | None


class Swept(Protocol):
    """A job with the values that are its own in a sweep, by key."""

    values: dict[str, Any]


class Taking(Protocol):
    """A place."""

    @property
    def name(self) -> str | None: ...
    @property
    def state(self) -> str: ...


Q = TypeVar("Q", bound=Queued)
T = TypeVar("T", bound=Taking)


def in_order(jobs: Sequence[Q], *, shuffle: bool) -> list[Q]:
    """The queue: mixed, and the same on every start, or as given."""
    order = list(jobs)
    if shuffle:
        random.Random(0).shuffle(order)
    return order


def said_length(job: Swept) -> float:
    """How long a job takes, beside others of its sweep, as far as its swept values say."""
    lasting = (job.values.get(key) for key in LASTING)
    return math.prod(float(value) for value in lasting if isinstance(value, int | float))


def slots(places: Sequence[T], num_parallel: int) -> list[tuple[T, int]]:
    """Who is asked in which order: every place for its first job before any for its second."""
    return [(place, k) for k in range(num_parallel) for place in places]


def may_run(
    waiting: Iterable[Q], place: Taking, places: Sequence[Taking],
    held: Mapping[int, float], now: float,
) -> Iterator[Q]:  # fmt: skip
    """Those that wait and may run at a place now, the next one first: all but those that may still
    be running at another, which is not there to be asked.

    Parameters
    ----------
    held : job's number → until when that may be
    """
    if place.state != "ready":
        return
    for job in waiting:
        # A start later its workers may have each other's names.
        computer = computer_of(job.host)
        beside = [p for p in places if p is not place and computer_of(p.name) == computer]
        is_away = any(p.state != "ready" for p in beside)
        if not (is_away and now < held.get(job.number, 0.0)):
            yield job
