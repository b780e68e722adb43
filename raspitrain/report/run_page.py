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
    figure_cell,
    folded,
    join,
    number_cell,
    page,
    picture,
    pictures,
    table,
    tag,
)
from raspitrain.results.figures import FIGURE, FIGURES, words_of
from raspitrain.results.screen import how_to_resume, members_in_words
from raspitrain.results.values import label, number, scalars, text, texts

MOST_ROWS = 200  # of metrics.csv in the page; the file has all
MOST_CLASSES = 200

HEADLINE = (
    "test_balanced_accuracy", "test_macro_f1", "samples_per_second", "training_seconds",
    "peak_memory_mb", "num_parameters", "energy.joules",
)  # fmt: skip
PICTURES = (
    ("accuracy.png", "Accuracy over the epochs"),
    ("loss.png", "Loss over the epochs"),
    ("confusion_matrix.png", "Confusion matrix of the test part"),
    ("telemetry.png", "The board while it ran"),
    ("model.det.svg", "Missed events against false alarms, as calibrated"),
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
        _headline_figures(summary),
        *(tag("p", each, class_="note") for each in (*problems, *texts(summary.get("warnings")))),
        pictures(picture(folder / name, folder, words) for name, words in PICTURES) or Html(),
        folded("Setting", _setting(summary, config, overrides)),
        data_section(summary),
        _per_class(summary),
        _metrics(rows),
        tag("h2", "Again"),
        tag("p", "The same run once more, in a new folder:"),
        command(shlex.join(["python", "-m", "raspitrain", *options, *overrides])),
        *_resume_section(summary, shown),
        folded("Configuration", tag("pre", config_text)) if config_text else Html(),
        folded("Machine, system, versions", _environment(environment)) if environment else Html(),
    )


def _resume_section(summary: Mapping[str, Any], shown: str) -> list[Html]:
    if summary.get("task") == "throughput":
        return []
    words = texts(summary.get("resume_words"))
    epochs = number(summary.get("epochs"))
    ranks = summary.get("ranks")
    num_ranks = number(ranks.get("num_ranks")) if isinstance(ranks, Mapping) else None
    how = "" if num_ranks is None else f", by each of {num_ranks:.0f} ranks (docs/distributed.md)"
    if summary.get("status") in FINISHED and epochs is not None:
        return [
            tag("p", f"This one, for longer{how}:"),
            command(how_to_resume(shown, [*words, f"epochs={2 * epochs:.0f}"])),
        ]
    what = tag("p", f"Resume this one where it stopped{how}:")
    return [what, command(how_to_resume(shown, words))]


def _headline(summary: Mapping[str, Any]) -> Html:
    status = text(summary.get("status", "unknown"), 40).replace("_", " ")
    accuracy = number(summary.get("test_accuracy"))
    speed = number(summary.get("samples_per_second"))
    if accuracy is not None:
        figure, words = FIGURE["test_accuracy"].words(accuracy), "test accuracy"
    elif speed is not None:
        figure, words = FIGURE["samples_per_second"].number(speed), "cases per second"
    else:
        figure, words = "", ""
    good = status in ("completed", "stopped early")
    reason = summary.get("reason")
    return join([
        tag("p", tag("span", figure, class_="number"), f" {words}") if figure else Html(),
        tag("p", tag("strong", status, class_="good" if good else "bad"),
            f": {text(reason, 1000)}" if reason else None),
    ])  # fmt: skip


def _headline_figures(summary: Mapping[str, Any]) -> Html:
    """What the run came to beside its accuracy, at a glance."""
    figures = scalars(summary)
    cards = []
    for key in HEADLINE:
        value = number(figures.get(key))
        if value is not None:
            title = tag("p", FIGURE[key].title, class_="soft")
            cards.append(tag("div", tag("strong", FIGURE[key].words(value)), title, class_="card"))
    return tag("div", *cards, class_="figures") if cards else Html()


def _setting(
    summary: Mapping[str, Any], config: Mapping[str, Any], overrides: Sequence[str]
) -> Html:
    pairs = [("overrides", " ".join(overrides) or "none")]
    flat = scalars(config)
    for name in ("dataset", "frontend", "model", "optimizer", "schedule", "augment"):
        target = flat.get(f"{name}._target_")
        if target is not None:
            parts = [str(target).rsplit(".", 1)[-1]]
            parts += [label(flat[f"{name}.{k}"]) for k in ("name", "path", "table", "lr")
                      if f"{name}.{k}" in flat]  # fmt: skip
            pairs.append((name, ", ".join(parts)))
    for key, name in (("chosen_model", "reported model"), ("device", "device")):
        if isinstance(summary.get(key), str):
            pairs.append((name, text(summary[key], 200)))
    if (epoch := number(summary.get("chosen_epoch"))) is not None:
        pairs.append(("of epoch", f"{epoch:.0f}"))
    for figure in FIGURES:
        if figure.fact and (value := number(summary.get(figure.key))) is not None:
            pairs.append((figure.title, figure.words(value)))
    if members := members_in_words(summary):
        pairs.append(("members", members))
    augmentation = summary.get("augmentation")
    if isinstance(augmentation, Mapping) and isinstance(augmentation.get("sentence"), str):
        pairs.append(("augmentation", text(augmentation["sentence"], 1000)))
    resumed = summary.get("resumed")
    if isinstance(resumed, list) and resumed:
        pairs.append(("resumed", f"{len(resumed)} times" if len(resumed) > 1 else "once"))
    for group in ("num_cases", "thermal", "energy"):
        inside = summary.get(group)
        if isinstance(inside, dict):
            words = [_named(f"{group}.{key}", value) for key, value in scalars(inside).items()]
            pairs.append((group.replace("num_", ""), ", ".join(words)))
    return facts(pairs)


def _named(key: str, value: Any) -> str:
    figure = FIGURE.get(key)
    name = key.split(".", 1)[1].replace("_", " ") if figure is None else figure.title
    return f"{name} {words_of(key, value)}"


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
        [figure_cell(FIGURE[column], number(row.get(column))) for column in columns] for row in kept
    ]
    note = f": 1 in {every} of {len(rows)}, metrics.csv has all" if every > 1 else ""
    heads = [", ".join(filter(None, [FIGURE[c].title, FIGURE[c].unit])) for c in columns]
    inner = table(heads, cells)
    return folded(f"Evaluations{note}", inner)


def _environment(environment: Mapping[str, Any]) -> Html:
    return facts((name, label(value)) for name, value in scalars(environment).items())
