"""The table and the answers at the end of a sweep, on a terminal or in a pipe."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

from raspitrain.errors import visible
from raspitrain.report.folds import sentence
from raspitrain.results.figures import SHORT, Figure
from raspitrain.results.values import label

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MOST_LINES = 60  # of the table; the files have every job
PIPE_WIDTH = 160  # letters a line where nobody says how many there is room for


def print_sweep(result: Mapping[str, Any], stream: TextIO | None = None) -> None:
    """Print what `report_sweep` returned: a line a setting, what did not finish, the answers; to
    standard output if `stream` is None."""
    from rich.console import Console

    stream = stream or sys.stdout
    console = Console(file=stream, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(file=stream, markup=False, highlight=False, emoji=False, width=PIPE_WIDTH)
    if result["settings"]:
        console.print(_fitting_table(result, console))
    if (more := len(result["settings"]) - MOST_LINES) > 0:
        console.print(f"and {more} more, in sweep.csv\n")
    for line in lines(result):
        console.print(visible(line), soft_wrap=True)  # a line to paste must stay one


def lines(result: Mapping[str, Any]) -> list[str]:
    """The sentences under the table."""
    sentences = [
        f"{job['name']}: {job['status'].replace('_', ' ')}{_reason(job)}"
        for job in result["unfinished"]
    ]
    if sentences:
        sentences.append("")
    for name in ("fastest", "most_accurate"):
        choice = result[name]
        if choice is not None:
            sentences += [
                f"{name.replace('_', ' ')}: {choice['sentence']}",
                f"    {choice['command']}",
            ]
    for found in result["fastest_by_kind"]:
        sentences += [f"fastest on {found['kind']}: {found['sentence']}", f"    {found['command']}"]
    best = result["most_accurate"]
    pooled = result["out_of_fold"][best["setting"]] if best and result["out_of_fold"] else None
    if pooled is not None:
        sentences.append(f"out of fold: {sentence(pooled)}")
    if not (result["fastest"] or result["most_accurate"] or result["fastest_by_kind"]):
        sentences.append("No job has finished: there is nothing to choose from.")
    sentences += [f"note: {warning}" for warning in result["warnings"]]
    sentences += ["", f"folder  {result['folder']}", "        " + ", ".join(result["files"])]
    return sentences


def _reason(job: Mapping[str, Any]) -> str:
    return f" ({job['reason']})" if job["reason"] else ""


def _fitting_table(result: Mapping[str, Any], console: "Console") -> "Table":
    """With as many columns as there is room for; the words at the end of a line go last."""
    names = {name for setting in result["settings"] for name in setting["figures"]}
    columns = [column for column in SHORT if column.key in names]
    if result["accuracy"] == "validation_accuracy":
        columns = [replace(c, dispensable=1) if c.key == "test_accuracy" else c for c in columns]
    endless = console.options.update(max_width=10_000)
    for most in range(max((c.dispensable for c in columns), default=0), -1, -1):
        kept = [c for c in columns if c.dispensable <= most]
        table = _table(result, kept)
        if console.measure(table, options=endless).maximum <= console.width:
            return table
    return _table(result, kept, with_words=False)


def _table(
    result: Mapping[str, Any], columns: Sequence[Figure], *, with_words: bool = True
) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    keys = list(result["short_names"])
    for key in keys:
        table.add_column(Text(result["short_names"][key]), overflow="fold", min_width=6)
    if result["seeds_folded"]:
        table.add_column(result["repetitions"], justify="right")
    for column in columns:
        table.add_column(column.short, justify="right", no_wrap=True)
    if with_words:
        table.add_column("", no_wrap=True)
    for setting in _worth_a_line(result):
        row = [label(setting["values"].get(key, "")) for key in keys]
        if result["seeds_folded"]:
            row.append(str(setting["finished"]))
        row += [_figure(setting["figures"].get(c.key), c) for c in columns]
        answers = {name: result[name] for name in ("fastest", "most_accurate") if result[name]}
        chosen = [
            name.replace("_", " ")
            for name, found in answers.items()
            if found["setting"] == setting["number"]
        ]
        if setting["status"] not in ("completed", "stopped_early"):
            chosen.append(setting["status"].replace("_", " "))
        if setting["throttled"]:
            chosen.append("* throttled")
        style = "bold" if chosen and setting["finished"] else ""
        if with_words:
            row.append(", ".join(chosen))
        table.add_row(*(Text(cell) for cell in row), style=style)
    return table


def _worth_a_line(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The settings in their order; of very many the most accurate, or the fastest, first."""
    settings = list(result["settings"])
    if len(settings) <= MOST_LINES:
        return settings
    by = result["accuracy"] or "samples_per_second"
    settings.sort(key=lambda s: -s["figures"][by]["mean"] if by in s["figures"] else math.inf)
    return settings[:MOST_LINES]


def _figure(over_seeds: Mapping[str, Any] | None, column: Figure) -> str:
    if over_seeds is None:
        return ""
    return column.spread(over_seeds["mean"], over_seeds["std"])
