"""report.html of a sweep."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raspitrain.errors import InputError
from raspitrain.report.axes import setting_name, short_names
from raspitrain.report.folds import sentence
from raspitrain.report.jobs import SweepReport, job_folder
from raspitrain.report.page import (
    Cell,
    Html,
    command,
    figure_cell,
    folded,
    join,
    link,
    number_cell,
    page,
    picture,
    pictures,
    table,
    tag,
)
from raspitrain.results.figures import FIGURE, SHORT
from raspitrain.results.values import label, number


def sweep_page(folder: Path, sweep: SweepReport, result: Mapping[str, Any]) -> str:
    """The page of a sweep from what sweep.json holds and the pictures in `folder`."""
    title = f"Sweep {sweep.name}"
    return page(
        title,
        tag("h1", title),
        tag("p", _status(result), class_="soft"),
        _answers(result),
        *(tag("p", warning, class_="note") for warning in result["warnings"]),
        _unfinished(result),
        pictures([
            picture(folder / "sweep.png", folder, "What was swept, and what came of it"),
            picture(folder / "pareto.png", folder, "Lettered: no other is better in both")
            if result["pareto"] else None,
            picture(folder / "confusion_matrix.png", folder, "All folds: every case once")
            if result["out_of_fold"] else None,
        ]) or Html(),
        _settings(result),
        _folds(result),
        tag("h2", "Jobs"),
        _jobs(folder, sweep),
        _drift(result),
        folded("The sweep's command", command(" ".join(sweep.command) or "not recorded")),
    )  # fmt: skip


def _status(result: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{n} {s.replace('_', ' ')}" for s, n in result["counts"].items())
    swept = " × ".join(result["short_names"].values()) or result["repetitions"] or "seeds"
    words = f"{result['num_jobs']} jobs: {counts or 'none'}. Swept: {swept}."
    if result["started"]:
        words += f" Started {_time(result['started'])}"
        words += f", finished {_time(result['finished'])}." if result["finished"] else "."
    return words


def _time(iso: str) -> str:
    return iso[:16].replace("T", " ") + (" UTC" if iso.endswith(("+00:00", "Z")) else "")


def _answers(result: Mapping[str, Any]) -> Html:
    cards = []
    for name, title in (("most_accurate", "Most accurate"), ("fastest", "Fastest")):
        found = result[name]
        if found is None:
            continue
        values = setting_name(found["values"], result["short_names"])
        cards.append(
            tag("div", tag("h2", title), tag("p", tag("strong", values or "the one setting")),
                tag("p", found["sentence"]), command(found["command"]), tag("p", "or"),
                command(found["preset_command"]), class_="card")
        )  # fmt: skip
    for found in result["fastest_by_kind"]:
        cards.append(
            tag("div", tag("h2", f"Fastest on {found['kind']}"), tag("p", found["sentence"]),
                command(found["command"]), class_="card")
        )  # fmt: skip
    if not cards:
        return tag("p", "No job has finished: there is nothing to choose from.", class_="note")
    return tag("div", *cards, class_="cards")


def _unfinished(result: Mapping[str, Any]) -> Html:
    parts = []
    for job in result["unfinished"]:
        words = f"{job['name']}: {job['status'].replace('_', ' ')}"
        words += f" ({job['reason']})" if job["reason"] else ""
        tail = "\n".join(job["log_tail"])
        parts.append(folded(words, tag("pre", tail)) if tail else tag("p", words))
    return join([tag("h2", "Not finished", class_="bad"), *parts]) if parts else Html()


def _settings(result: Mapping[str, Any]) -> Html:
    """Mean and deviation of each setting; where nothing was repeated the jobs say it all."""
    if not result["seeds_folded"]:
        return Html()
    there = {name for setting in result["settings"] for name in setting["figures"]}
    columns = [column for column in SHORT if column.key in there]
    keys = list(result["short_names"])
    header = [
        *(result["short_names"][k] for k in keys),
        result["repetitions"],
        *(c.short for c in columns),
    ]
    rows = []
    for setting in result["settings"]:
        row = [_value(setting["values"].get(key)) for key in keys]
        row.append(number_cell(setting["finished"], "d"))
        for column in columns:
            over_seeds = setting["figures"].get(column.key) or {"mean": None, "std": None}
            mean, std = over_seeds["mean"], over_seeds["std"]
            after = "" if std is None else f" ± {column.number(std, mean)}"
            row.append(figure_cell(column, mean, after))
        rows.append(row)
    chosen = {result[n]["setting"] for n in ("fastest", "most_accurate") if result[n]}
    return join([tag("h2", f"Settings, mean ± standard deviation over {result['repetitions']}"),
                 table(header, rows, frozenset(chosen))])  # fmt: skip


def _folds(result: Mapping[str, Any]) -> Html:
    """Of each setting what all folds say together, and each fold by itself."""
    parts = []
    for setting, found in zip(result["settings"], result["out_of_fold"] or (), strict=False):
        if found is None:
            continue
        values = setting_name(setting["values"], result["short_names"])
        rows = [
            [
                Cell(row["name"]),
                number_cell(row["cases"], ",d"),
                number_cell(row["accuracy"], ".1f", 100),
            ]
            for row in found["folds"]
        ]
        words = f"{values}: {sentence(found)}" if values else sentence(found)
        parts += [tag("p", f"{words}."), table(["fold", "cases", "accuracy, %"], rows)]
    return join([tag("h2", "Out of fold"), *parts]) if parts else Html()


def _jobs(folder: Path, sweep: SweepReport) -> Html:
    there = set(sweep.figure_names)
    columns = [column for column in SHORT if column.key in there]
    keys = short_names(sweep.swept).values()
    host = ["host"] if sweep.has_hosts else []
    header = ["job", *keys, *host, "status", *(column.short for column in columns)]
    rows = []
    for job in sweep.jobs:
        star = "*" if job.throttled else ""
        shown = _folder_link(folder, job.folder, str(job.number)) or str(job.number)
        row = [Cell(shown, job.number)]
        row += [_value(job.values[key]) if key in job.values else Cell() for key in sweep.swept]
        row += [Cell(job.host or "")] if host else []
        status = job.status.replace("_", " ")
        row.append(Cell(f"repeat of {job.repeat_of}" if job.repeat_of is not None else status))
        for c in columns:
            row.append(figure_cell(c, job.number_of(c.key), star))
        rows.append(row)
    return table(header, rows)


def _folder_link(folder: Path, name: str, shown: str) -> Html | None:
    try:
        inside = job_folder(folder, name)
        if not inside.is_dir():
            return None
        own = (inside / "report.html").is_file()
    except (InputError, OSError):
        return None
    return link(f"{name}/report.html" if own else f"{name}/", shown)


def _value(value: Any) -> Cell:
    return Cell(label(value), number(value))


def _drift(result: Mapping[str, Any]) -> Html:
    drift = result["drift"]
    if drift is None:
        return Html()
    speed, (before, after) = FIGURE["samples_per_second"], drift["samples_per_second"]
    return tag(
        "p",
        f"Drift: job {drift['job']} ran at {speed.words(before)}, and again at the end at "
        f"{speed.number(after)} ({100 * drift['change']:+.1f} %).",
    )
