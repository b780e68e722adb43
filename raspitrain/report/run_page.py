"""report.html of a run."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raspitrain.config.overrides import config_options
from raspitrain.report.data_section import data_section
from raspitrain.report.jobs import FINISHED
from raspitrain.report.page import (
    Cell,
    Html,
    command,
    facts,
    folded,
    join,
    number_cell,
    page,
    picture,
    pictures,
    table,
    tag,
)
from raspitrain.report.read import label, number, scalars, text, texts

MOST_ROWS = 200  # of metrics.csv in the page; the file has all
MOST_CLASSES = 200

PICTURES = (
    ("accuracy.png", "Accuracy over the epochs"),
    ("loss.png", "Loss over the epochs"),
    ("confusion_matrix.png", "Confusion matrix of the test part"),
    ("telemetry.png", "The board while it ran"),
)


def run_page(
    folder: Path,
    *,
    shown: str,
    summary: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    config_text: str,
    overrides: Sequence[str],
    environment: Mapping[str, Any],
    problems: Sequence[str],
) -> str:
    """The page of a run.

    Parameters
    ----------
    shown : the folder as one would type it
    rows : those of metrics.csv
    problems : sentences about files that could not be read
    """
    title = f"Run {folder.name}"
    options = config_options(texts(environment.get("command")))
    return page(
        title,
        tag("h1", title),
        _headline(summary),
        *(tag("p", problem, class_="note") for problem in problems),
        tag("h2", "Setting"),
        _setting(summary, config, overrides),
        pictures(picture(folder / name, folder, words) for name, words in PICTURES) or Html(),
        data_section(summary),
        _per_class(summary),
        _metrics(rows),
        tag("h2", "Again"),
        tag("p", "The same run once more, in a new folder:"),
        command(shlex.join(["python", "-m", "raspitrain", *options, *overrides])),
        *_how_to_go_on(summary, shown),
        folded("Configuration", tag("pre", config_text)) if config_text else Html(),
        folded("Machine, system, versions", _environment(environment)) if environment else Html(),
    )


def _how_to_go_on(summary: Mapping[str, Any], shown: str) -> list[Html]:
    if summary.get("task") == "throughput":
        return []
    words = ["python", "-m", "raspitrain", f"resume={shown}", *texts(summary.get("resume_words"))]
    epochs = number(summary.get("epochs"))
    if summary.get("status") in FINISHED and epochs is not None:
        return [
            tag("p", "This one, for longer:"),
            command(shlex.join([*words, f"epochs={2 * epochs:.0f}"])),
        ]
    return [tag("p", "Go on with this one where it stopped:"), command(shlex.join(words))]


def _headline(summary: Mapping[str, Any]) -> Html:
    status = text(summary.get("status", "unknown"), 40).replace("_", " ")
    accuracy = number(summary.get("test_accuracy"))
    speed = number(summary.get("samples_per_second"))
    if accuracy is not None:
        figure, words = f"{100 * accuracy:.1f} %", "test accuracy"
    elif speed is not None:
        figure, words = f"{speed:,.0f}", "samples per second"
    else:
        figure, words = "", ""
    good = status in ("completed", "stopped early")
    reason = summary.get("reason")
    return join([
        tag("p", tag("span", figure, class_="number"), f" {words}") if figure else Html(),
        tag("p", tag("strong", status, class_="good" if good else "bad"),
            f": {text(reason, 1000)}" if reason else None),
    ])  # fmt: skip


def _setting(
    summary: Mapping[str, Any], config: Mapping[str, Any], overrides: Sequence[str]
) -> Html:
    pairs = [("overrides", " ".join(overrides) or "none")]
    flat = scalars(config)
    for name in ("dataset", "model", "optimizer", "schedule", "augment"):
        target = flat.get(f"{name}._target_")
        if target is not None:
            parts = [str(target).rsplit(".", 1)[-1]]
            parts += [label(flat[f"{name}.{k}"]) for k in ("name", "path", "table", "lr")
                      if f"{name}.{k}" in flat]  # fmt: skip
            pairs.append((name, ", ".join(parts)))
    for key, name, form in (
        ("chosen_model", "reported model", ""),
        ("chosen_epoch", "of epoch", "d"),
        ("test_macro_f1", "macro F1", ".1%"),
        ("test_balanced_accuracy", "balanced accuracy", ".1%"),
        ("test_loss", "test loss", ".4g"),
        ("epochs", "epochs", "d"),
        ("steps", "steps", "d"),
        ("batch_size", "batch size", "d"),
        ("seed", "seed", "d"),
        ("num_parameters", "parameters", ",d"),
        ("num_threads", "threads", "d"),
        ("device", "device", ""),
        ("training_seconds", "training, seconds", ",.1f"),
        ("total_seconds", "in all, seconds", ",.1f"),
        ("samples_per_second", "samples per second", ",.0f"),
        ("ms_per_step", "milliseconds a step", ",.2f"),
        ("peak_memory_mb", "peak memory, MB", ",.0f"),
    ):
        value = summary.get(key)
        if isinstance(value, str) and not form:
            pairs.append((name, text(value, 200)))
        elif (figure := number(value)) is not None and form:
            whole = form.endswith("d")
            pairs.append((name, f"{int(figure) if whole else figure:{form}}"))
    resumed = summary.get("resumed")
    if isinstance(resumed, list) and resumed:
        pairs.append(("resumed", f"{len(resumed)} times" if len(resumed) > 1 else "once"))
    for group in ("num_cases", "thermal", "energy"):
        inside = summary.get(group)
        if isinstance(inside, dict):
            words = [f"{k.replace('_', ' ')} {label(v)}" for k, v in scalars(inside).items()]
            pairs.append((group.replace("num_", ""), ", ".join(words)))
    return facts(pairs)


def _per_class(summary: Mapping[str, Any]) -> Html:
    found = summary.get("per_class")
    entries = [e for e in found if isinstance(e, dict)] if isinstance(found, list) else []
    if not entries:
        return Html()
    title = "Classes, on the test part"
    if len(entries) > MOST_CLASSES:
        title += f": the {MOST_CLASSES} of {len(entries)} with the lowest F1, summary.json has all"
        entries.sort(key=lambda entry: number(entry.get("f1")) or 0.0)
        del entries[MOST_CLASSES:]
    keys = ("precision", "recall", "f1")
    rows = [
        [Cell(text(entry.get("class_name", ""), 100)),
         *(number_cell(number(entry.get(key)), ".1f", 100) for key in keys),
         number_cell(number(entry.get("support")), ",.0f")]
        for entry in entries
    ]  # fmt: skip
    header = ["class", "precision %", "recall %", "F1 %", "cases"]
    return join([tag("h2", title), table(header, rows)])


def _metrics(rows: Sequence[Mapping[str, Any]]) -> Html:
    if not rows:
        return Html()
    every = -(-len(rows) // MOST_ROWS)
    kept = [row for k, row in enumerate(rows) if k % every == 0 or k == len(rows) - 1]
    columns = [c for c in rows[0] if any(row.get(c) is not None for row in rows)]
    cells = [
        [
            number_cell(number(row.get(column)), "d" if isinstance(row.get(column), int) else ".4g")
            for column in columns
        ]
        for row in kept
    ]
    note = f": 1 in {every} of {len(rows)}, metrics.csv has all" if every > 1 else ""
    inner = table([column.replace("_", " ") for column in columns], cells)
    return folded(f"Evaluations{note}", inner)


def _environment(environment: Mapping[str, Any]) -> Html:
    return facts((name, label(value)) for name, value in scalars(environment).items())
