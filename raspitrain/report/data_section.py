"""What a run took as data, for its page: from `data` in summary.json, read with care."""

from collections.abc import Mapping, Sequence
from typing import Any

from raspitrain.report.page import Cell, Html, facts, join, number_cell, table, tag
from raspitrain.results.values import number, text, texts, whole

MOST = 200  # channels or classes in a table
PARTS = ("train", "validation", "test")
LEVELS = ("0.01", "0.5", "0.99")  # quantiles that are shown


def data_section(summary: Mapping[str, Any], *, origins: str = "data.csv") -> Html:
    """The section of a run's page; empty where the summary says nothing of the data.

    Parameters
    ----------
    origins : where it stands which recording is which
    """
    data = summary.get("data")
    if not isinstance(data, dict):
        return Html()
    return join([
        tag("h2", "Data"),
        *(tag("p", warning, class_="note") for warning in texts(data.get("warnings"), 50)),
        facts(_facts(data, origins)),
        _classes(data),
        _channels(data),
    ])  # fmt: skip


def _dicts(value: Any) -> list[dict[str, Any]]:
    return (
        [item for item in value[:MOST] if isinstance(item, dict)] if isinstance(value, list) else []
    )


def _facts(data: Mapping[str, Any], origins: str) -> list[tuple[str, str]]:
    pairs = []
    num_cases, length, rate = (number(data.get(key)) for key in ("num_cases", "length", "rate_hz"))
    if num_cases is not None and length is not None:
        seconds = f", {length / rate:.3g} s at {rate:g} Hz" if rate else ""
        pairs.append(("cases", f"{num_cases:,.0f} of {length:.0f} samples{seconds}"))
    if (num_recordings := number(data.get("num_recordings"))) is not None:
        which = "in which part each lies: data.csv" if origins == "data.csv" else origins
        pairs.append(("recordings", f"{num_recordings:,.0f}; {which}"))
    share = number(data.get("share_missing"))
    if share is not None:
        pairs.append(("values missing", f"{100 * share:.3g} %"))
    left_out = [
        f"{text(entry.get('column', ''), 100)} ({text(entry.get('why', ''), 200)})"
        for entry in _dicts(data.get("left_out_columns"))
    ]
    pairs.append(("columns left out", ", ".join(left_out) or "none"))
    pairs += [("note", note) for note in texts(data.get("notes"), 50)]
    return pairs


def _classes(data: Mapping[str, Any]) -> Html:
    counts = data.get("cases_by_class")
    if not isinstance(counts, dict) or not counts:
        return Html()
    recordings = data.get("recordings_by_class")
    rows = []
    for name, own in list(counts.items())[:MOST]:
        own = own if isinstance(own, dict) else {}
        row = [Cell(text(name, 100))]
        if isinstance(recordings, dict):
            row.append(number_cell(whole(recordings.get(name)), ",d"))
        rows.append([*row, *(number_cell(whole(own.get(part)), ",d") for part in PARTS)])
    header = ["class", *(["recordings"] if isinstance(recordings, dict) else []), *PARTS]
    return table(*_without_empty(header, rows))


def _without_empty(
    header: Sequence[str], rows: Sequence[Sequence[Cell]]
) -> tuple[list[str], list[list[Cell]]]:
    kept = [k for k in range(len(header)) if any(row[k].shown for row in rows)]
    return [header[k] for k in kept], [[row[k] for k in kept] for row in rows]


def _channels(data: Mapping[str, Any]) -> Html:
    rows = []
    for channel in _dicts(data.get("channels")):
        quantiles = channel.get("quantiles")
        quantiles = quantiles if isinstance(quantiles, dict) else {}
        figures = [
            channel.get("min"),
            *(quantiles.get(level) for level in LEVELS),
            channel.get("max"),
        ]
        unit = channel.get("unit")
        rows.append([
            Cell(text(channel.get("name", ""), 100)),
            Cell(text(unit, 40) if isinstance(unit, str) else ""),
            *(number_cell(number(figure), ".4g") for figure in figures),
        ])  # fmt: skip
    if not rows:
        return Html()
    header = ["channel", "unit", "least", "1 %", "median", "99 %", "greatest"]
    return table(*_without_empty(header, rows))
