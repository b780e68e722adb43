"""What folds say together: every case answered once by a model that has not seen it."""

import statistics
from collections.abc import Mapping
from typing import Any

from raspitrain.errors import InputError
from raspitrain.report.answer import FOLD, SEED, Setting
from raspitrain.report.jobs import JobReport, SweepReport, job_folder
from raspitrain.report.read import read_json
from raspitrain.results.values import number, texts, whole

MOST_CLASSES = 1000
MOST_NAMES = 3  # of groups that name a fold


def out_of_fold(sweep: SweepReport, setting: Setting) -> dict[str, Any] | None:
    """The folds of a setting put together; None where no fold was swept or none has finished.

    Returns
    -------
    dict
        accuracy (of all cases), cases, missing (folds that have not finished), class_names and
        confusion_matrix (K × K counts, rows are the true classes; None where a run has none), and
        folds: name, cases, accuracy, and its groups.
    """
    if FOLD not in sweep.swept or not setting.finished:
        return None
    rows: list[dict[str, Any]] = []
    matrix: list[list[int]] | None = None
    names: list[str] | None = None
    hits, cases, has_matrix = 0.0, 0, True
    for job in setting.finished:
        summary = _summary(sweep, job)
        accuracy, count = job.number_of("test_accuracy"), job.number_of("num_cases.test")
        if accuracy is None or count is None:
            continue
        told = summary.get("fold")
        groups = texts(told.get("groups")) if isinstance(told, Mapping) else []
        rows.append({
            "name": _name(job, groups), "cases": int(count), "accuracy": accuracy, "groups": groups,
        })  # fmt: skip
        hits, cases = hits + accuracy * count, cases + int(count)
        own, own_names = _matrix(summary), texts(summary.get("class_names"))
        if own is None or (names is not None and own_names != names):
            has_matrix = False
        else:
            names = own_names
            matrix = own if matrix is None else _sum(matrix, own)
    if not cases:
        return None
    return {
        "accuracy": hits / cases,
        "cases": cases,
        "missing": len(setting.jobs) - len(rows),
        "class_names": names,
        "confusion_matrix": matrix if has_matrix else None,
        "folds": rows,
    }


def _summary(sweep: SweepReport, job: JobReport) -> dict[str, Any]:
    try:
        return read_json(job_folder(sweep.folder, job.folder) / "summary.json", sweep.folder)
    except (InputError, OSError):
        return {}


def _name(job: JobReport, groups: list[str]) -> str:
    name = f"fold {job.values.get(FOLD)}"
    if 0 < len(groups) <= MOST_NAMES:
        name += f", {' and '.join(groups)}"
    return f"seed {job.values[SEED]}, {name}" if SEED in job.values else name


def _sum(one: list[list[int]], other: list[list[int]]) -> list[list[int]]:
    return [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(one, other, strict=True)]


def _matrix(summary: Mapping[str, Any]) -> list[list[int]] | None:
    rows, names = summary.get("confusion_matrix"), texts(summary.get("class_names"))
    size = len(names)
    if not isinstance(rows, list) or not 0 < len(rows) == size <= MOST_CLASSES:
        return None
    if not all(isinstance(row, list) and len(row) == size for row in rows):
        return None
    if any((count := whole(cell)) is None or count < 0 for row in rows for cell in row):
        return None
    return rows


def sentence(found: Mapping[str, Any]) -> str:
    """In words: 93.4 % of 200 cases, each by a model that has not seen it; …"""
    accuracies = [number(row["accuracy"]) or 0.0 for row in found["folds"]]
    words = (
        f"{100 * found['accuracy']:.1f} % of {found['cases']:,} cases, each answered "
        "by a model that has not seen it"
    )
    if len(accuracies) > 1:
        mean, std = statistics.fmean(accuracies), statistics.stdev(accuracies)
        low = min(found["folds"], key=lambda row: float(row["accuracy"]))
        words += (
            f"; mean over folds {100 * mean:.1f} ± {100 * std:.1f} %, the worst "
            f"{100 * low['accuracy']:.1f} % ({low['name']})"
        )
    if found["missing"]:
        words += f"; {found['missing']} more not finished"
    return words
