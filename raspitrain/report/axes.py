"""Which swept keys a picture gets as its axes, and what stands along them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from raspitrain.report.answer import REPETITIONS, Setting
from raspitrain.results.values import label, number

MOST_VALUES = 12  # along one side of a heat map


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each key in dots, or the whole key where two end alike."""
    tails = {key: key.rsplit(".", 1)[-1] for key in keys}
    known = list(tails.values())
    return {key: tail if known.count(tail) == 1 else key for key, tail in tails.items()}


def values_along(settings: Sequence[Setting], key: str) -> list[Any]:
    """The values of a key: numbers by size, words in the order in which they were run first."""
    pairs = dict.fromkeys(_hashed(setting.values.get(key)) for setting in settings)
    values = [value for _, value in pairs]
    return sorted(values) if is_numeric(values) else values


def _hashed(value: Any) -> tuple[str, Any]:
    return type(value).__name__ if isinstance(value, bool | None) else "", value


def is_numeric(values: Sequence[Any]) -> bool:
    return bool(values) and all(number(value) is not None for value in values)


def varied(settings: Sequence[Setting], swept: Sequence[str]) -> list[str]:
    """The swept keys that have more than one value; repetitions are none of them."""
    return [k for k in swept if k not in REPETITIONS and len(values_along(settings, k)) > 1]


def fills_a_grid(settings: Sequence[Setting], keys: Sequence[str]) -> bool:
    """Whether two keys make a table that is not mostly empty, nor too large to read."""
    across, down = (len(values_along(settings, key)) for key in keys)
    if max(across, down) > MOST_VALUES:
        return False
    cells = {tuple(label(s.values.get(key)) for key in keys) for s in settings}
    return 2 * len(cells) >= across * down


def by_importance(
    settings: Sequence[Setting], keys: Sequence[str], measures: Sequence[str]
) -> list[str]:
    """The keys in the order in which their values explain the variance of the measures."""
    shares = {key: sum(_explained(settings, key, m) for m in measures) for key in keys}
    return sorted(keys, key=lambda key: -shares[key])


def _explained(settings: Sequence[Setting], key: str, measure: str) -> float:
    """Between-group share of the sum of squares, 0…1."""
    groups: dict[str, list[float]] = {}
    for setting in settings:
        value = setting.mean(measure)
        if value is not None:
            groups.setdefault(label(setting.values.get(key)), []).append(value)
    everything = [value for group in groups.values() for value in group]
    if not everything:
        return 0.0
    middle = math.fsum(everything) / len(everything)
    total = math.fsum((value - middle) ** 2 for value in everything)
    between = math.fsum(
        len(group) * (math.fsum(group) / len(group) - middle) ** 2 for group in groups.values()
    )
    return between / total if total > 0 else 0.0


def is_logarithmic(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) >= 10 * min(values)


def setting_name(values: Mapping[str, Any], short: Mapping[str, str]) -> str:
    """A setting in a few words: "batch_size 16, num_threads 2"."""
    return ", ".join(f"{short.get(k, k)} {label(v)}" for k, v in values.items())
