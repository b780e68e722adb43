"""sweep.csv and sweep_seeds.csv: for a spreadsheet or pandas."""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from raspitrain.errors import no_formula
from raspitrain.report.answer import REPETITIONS, Setting, repetitions
from raspitrain.report.jobs import SweepReport
from raspitrain.results.atomic import write_atomic
from raspitrain.results.values import label


def write_jobs_csv(path: str | os.PathLike[str], sweep: SweepReport) -> None:
    """A row a job: number, name, swept keys, host (of a sweep over boards), overrides, status,
    reason, then all figures.

    A figure whose name is a swept key's too (batch_size) has "summary." before it: what was asked
    for and what it came to may differ, as with "auto".
    """
    figures = sweep.figure_names
    named = [f"summary.{name}" if name in sweep.swept else name for name in figures]
    host = ["host"] if sweep.has_hosts else []
    header = ["number", "name", *sweep.swept, *host, "overrides", "status", "reason", "seconds",
              "exit_code", "repeat_of", *named]  # fmt: skip
    rows = (
        [job.number, job.name, *(_swept(job.values, key) for key in sweep.swept),
         *([job.host] if host else []),
         " ".join(job.overrides), job.status, job.reason, job.seconds, job.exit_code,
         job.repeat_of, *(job.figures.get(name) for name in figures)]
        for job in sweep.jobs
    )  # fmt: skip
    _write(path, header, rows)


def write_seeds_csv(
    path: str | os.PathLike[str], sweep: SweepReport, settings: Sequence[Setting]
) -> None:
    """A row a setting: its values, runs, runs that finished, mean and deviation of each figure."""
    keys = [key for key in sweep.swept if key not in REPETITIONS]
    figures = [n for n in sweep.figure_names if any(n in s.figures for s in settings)]
    header = [*keys, repetitions(sweep.swept), "finished"]
    header += [f"{name}_{part}" for name in figures for part in ("mean", "std")]
    rows = []
    for setting in settings:
        row = [_swept(setting.values, key) for key in keys]
        row += [len(setting.jobs), len(setting.finished)]
        for name in figures:
            found = setting.figures.get(name)
            row += [None, None] if found is None else [found.mean, found.std]
        rows.append(row)
    _write(path, header, rows)


def _write(
    path: str | os.PathLike[str], header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([_cell(name) for name in header])
    writer.writerows([_cell(value) for value in row] for row in rows)
    write_atomic(path, file.getvalue().encode("utf-8", "backslashreplace"))


def _swept(values: Mapping[str, Any], key: str) -> Any:
    return label(values[key]) if values.get(key, "") is None else values.get(key)


def _cell(value: Any) -> Any:
    """Floats with every digit, as Python writes them; words as in an override."""
    if value is None or isinstance(value, float):
        return "" if value is None else value
    text = label(value)
    return text if isinstance(value, bool | int) else no_formula(text)
