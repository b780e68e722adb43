"""What was taken as data, for the screen, summary.json, data.csv and the page of a run."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raspitrain.data.cases import Cases
from raspitrain.data.checks import QUANTILES, Look, look_at_cases
from raspitrain.data.split import Split
from raspitrain.data.taken import Taken
from raspitrain.errors import counted, no_formula

PARTS = ("train", "validation", "test")
MOST_NAMED = 12  # in the line on the screen
MOST_ROWS = 100_000  # of data.csv
HEADER = (
    "name", "classes", "group", "part", "cases", "samples", "seconds", "rate_hz", "missing",
    "gaps", "steps_back", "copy_of", "unlabelled",
)  # fmt: skip


@dataclass(frozen=True)
class DataSummary:
    """What was taken, as plain data.

    Attributes
    ----------
    line : str
        In one line.
    warnings : tuple of str
        What is likely to be a mistake, each a clause with figures.
    record : dict
        For summary.json and checkpoints: plain numbers, texts, lists and dicts.
    """

    line: str
    warnings: tuple[str, ...]
    record: dict[str, Any]


def summarise(cases: Cases, split: Split) -> DataSummary:
    """Look at the cases and say what was taken.

    Raises
    ------
    InputError
        If there is nothing to learn from.
    """
    look = look_at_cases(cases, split)
    warnings = (*cases.taken.warnings, *look.warnings)
    return DataSummary(_line(cases, split), warnings, _record(cases, split, look, warnings))


def _line(cases: Cases, split: Split) -> str:
    taken, length = cases.taken, cases.signals.shape[2]
    names = cases.class_names
    parts = []
    if taken.origins:
        counts = _origins_by_class(cases)
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        shown = f" ({shown})" if len(counts) <= MOST_NAMED else ""
        what = f"{counted(len(taken.origins), taken.what)} of {len(names)} classes{shown}"
    else:
        shown = f" ({', '.join(names)})" if len(names) <= MOST_NAMED else ""
        what = f"{len(names)} classes{shown}"
    parts.append(what)
    parts.append(f"channels {_named(cases.channel_names)}")
    if taken.left_out:
        parts.append(f"left out: {_left_out(taken.left_out)}")
    if cases.rate is not None:
        parts.append(f"{cases.rate:g} Hz")
    of = f"{length} samples" if cases.rate is None else f"{length} ({length / cases.rate:.3g} s)"
    kind = "windows" if taken.origins else "cases"
    sizes = [
        f"{name} {len(indices):,}"
        for name, indices in zip(PARTS, (split.train, split.validation, split.test), strict=True)
        if len(indices)
    ]
    parts.append(f"{len(cases.labels):,} {kind} of {of}: {', '.join(sizes)}")
    return "; ".join([*parts, *taken.notes])


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown}, … ({len(names)} in all)"


def _left_out(left_out: Sequence[tuple[str, str]]) -> str:
    """Columns by why: a, b (time), c (never changes)."""
    by_why: dict[str, list[str]] = {}
    for name, why in left_out:
        by_why.setdefault(why, []).append(name)
    return ", ".join(f"{_named(names)} ({why})" for why, names in by_why.items())


def _origins_by_class(cases: Cases) -> Counter[str]:
    counts: Counter[str] = Counter(dict.fromkeys(cases.class_names, 0))
    for origin in cases.taken.origins:
        counts.update(name for name in origin.classes if name in counts)
    return counts


def _record(cases: Cases, split: Split, look: Look, warnings: Sequence[str]) -> dict[str, Any]:
    taken = cases.taken
    missing = sum(origin.num_missing for origin in taken.origins)
    record: dict[str, Any] = {
        "num_cases": len(cases.labels),
        "length": cases.signals.shape[2],
        "rate_hz": cases.rate,
        "channels": [
            {
                "name": channel.name,
                "unit": channel.unit or None,
                "min": channel.low,
                "max": channel.high,
                "quantiles": {
                    f"{level:g}": value
                    for level, value in zip(QUANTILES, channel.quantiles, strict=True)
                },
            }
            for channel in look.channels
        ],
        "cases_looked_at": look.num_cases,
        "left_out_columns": [{"column": name, "why": why} for name, why in taken.left_out],
        "cases_by_class": _cases_by_class(cases, split),
    }
    if taken.origins:
        record[f"num_{taken.what}s"] = len(taken.origins)
        record[f"{taken.what}s_by_class"] = dict(_origins_by_class(cases))
        values = sum(origin.num_samples for origin in taken.origins) * len(look.channels)
        record["share_missing"] = missing / values if values else 0.0
        record["num_samples_without_label"] = sum(o.num_unlabelled for o in taken.origins)
    record["notes"] = list(taken.notes)
    record["warnings"] = list(warnings)
    return record


def _cases_by_class(cases: Cases, split: Split) -> dict[str, dict[str, int]]:
    counts = {
        part: np.bincount(cases.labels[indices], minlength=len(cases.class_names))
        for part, indices in zip(PARTS, (split.train, split.validation, split.test), strict=True)
        if len(indices)
    }
    return {
        name: {part: int(own[k]) for part, own in counts.items()}
        for k, name in enumerate(cases.class_names)
    }


def data_table(cases: Cases, split: Split) -> str | None:
    """The text of data.csv: which recording, or case, lies in which part; None where that would be
    more than `MOST_ROWS`."""
    taken = cases.taken
    has_origins = taken.origin_of is not None and bool(taken.origins)
    if not has_origins and len(cases.labels) > MOST_ROWS:
        return None
    part_of = np.full(len(cases.labels), -1, dtype=np.int8)
    for number, indices in enumerate((split.train, split.validation, split.test)):
        part_of[indices] = number
    text = io.StringIO()
    rows = _rows_of_origins(taken, part_of) if has_origins else _rows_of_cases(cases, part_of)
    guarded = (map(no_formula, row) for row in rows)
    csv.writer(text, lineterminator="\n").writerows([HEADER, *guarded])
    return text.getvalue()


def _rows_of_cases(cases: Cases, part_of: np.ndarray) -> Iterator[list[object]]:
    length = cases.signals.shape[2]
    for case, label in enumerate(cases.labels.tolist()):
        group = "" if cases.groups is None else int(cases.groups[case])
        part = _part_name(int(part_of[case]))
        row = [case, cases.class_names[label], group, part, 1, length]
        yield [*row, *[""] * (len(HEADER) - len(row))]


def _rows_of_origins(taken: Taken, part_of: np.ndarray) -> Iterator[list[object]]:
    assert taken.origin_of is not None
    order = np.argsort(taken.origin_of, kind="stable")
    edges = np.searchsorted(taken.origin_of[order], np.arange(len(taken.origins) + 1))
    for k, origin in enumerate(taken.origins):
        own = part_of[order[edges[k] : edges[k + 1]]]
        parts = "+".join(_part_name(part) for part in sorted(set(own.tolist())))
        none = "no label" if origin.num_unlabelled == origin.num_samples else "too short"
        yield [
            origin.name, "+".join(origin.classes), origin.group, parts or none, len(own),
            origin.num_samples, _figure(origin.seconds), _figure(origin.rate), origin.num_missing,
            origin.num_gaps, origin.num_back, origin.copy_of, origin.num_unlabelled,
        ]  # fmt: skip


def _part_name(part: int) -> str:
    return PARTS[part] if part >= 0 else "none"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
