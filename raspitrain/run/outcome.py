"""What a run leaves in its folder: written as it goes, and at its end.

A card that fills up costs the file it would not take, never the run.
"""

import functools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from raspitrain.config.overrides import allowing_words
from raspitrain.data.summary import data_table
from raspitrain.errors import InputError, reason, remedy
from raspitrain.model.engine.choose import release
from raspitrain.model.ensemble import members_of
from raspitrain.report.plots import (
    MOST_CELLS,
    MOST_MISTAKES,
    plot_accuracy,
    plot_confusion,
    plot_loss,
    plot_telemetry,
)
from raspitrain.results.atomic import write_atomic
from raspitrain.results.configuration import write_config
from raspitrain.results.figures import type_of_column
from raspitrain.results.files import BEST, LAST, MISCLASSIFIED
from raspitrain.results.json_file import write_json
from raspitrain.results.log import LogFile
from raspitrain.results.summary import write_summary
from raspitrain.run.environment import environment_record, torch_record
from raspitrain.run.monitor import Monitor
from raspitrain.run.state import RunState, constant_channels
from raspitrain.run.verdict import ended_underfitted, warnings_of
from raspitrain.training.answers import answers_of, batch_size_of
from raspitrain.training.metrics import classification_report
from raspitrain.training.training import evaluate

if TYPE_CHECKING:
    from raspitrain.run.stored import StoredRun

log = logging.getLogger("raspitrain")

MOST_DRAWN = 4000  # evaluations in a plot, which is not as many dots wide
NOT_YET = "not written yet"
NOT_OF_THE_MACHINE = ("device", "engine", "kernels", "left_to_torch")  # of made_by
ENDED_WELL = ("completed", "stopped_early")


def write_environment(job: RunState) -> None:
    """Write environment.json: where the run began, and what was chosen there once it is known."""
    if job.resumed and (job.folder / "environment.json").exists():
        return
    if not job.environment:
        job.environment = environment_record() | {
            "hardware": job.profile.record(),
            "memory_estimate": job.prepared.memory.record(),
            "arithmetic": {name: job.made_by[name] for name in NOT_OF_THE_MACHINE},
        }
    chosen = {} if job.tuned is None else {"torch": torch_record()} | job.tuned.record()
    write_json(job.folder / "environment.json", job.environment | chosen)


def write_table(job: RunState) -> None:
    """Add the rows to metrics.csv; what a full card does not take is added by a later call."""
    was_missing = "metrics.csv" in job.unwritten
    attempt(job.unwritten, "metrics.csv", job.table.write)
    if not was_missing and (error := job.unwritten.get("metrics.csv")) is not None:
        log.warning(
            "metrics.csv cannot be written (%s): its rows are kept and written when they can be",
            reason(error),
        )


def write_data_table(job: RunState) -> None:
    """Write data.csv: which recording lies in which part."""
    text = data_table(job.prepared.cases, job.prepared.split)
    if text is not None:
        path = job.folder / "data.csv"
        attempt(job.unwritten, path.name, lambda: write_atomic(path, text.encode()))


def attempt(unwritten: dict[str, Exception], name: str, write: Callable[[], object]) -> None:
    """Write a result; remember it if the card will not take it, forget that once it does."""
    try:
        write()
    except OSError as error:
        unwritten[name] = error.with_traceback(None)
    else:
        unwritten.pop(name, None)


def draw(unwritten: dict[str, Exception], pictures: Mapping[str, Callable[[], object]]) -> None:
    """Make each picture; what goes wrong costs that picture, as the figures are safe already."""
    for name, make in pictures.items():
        try:
            attempt(unwritten, name, make)
        except InputError as error:  # best.pt was refused before: said there already
            log.warning("%s cannot be made: %s", name, error)
            unwritten[name] = error.with_traceback(None)
        except Exception as error:
            log.warning("%s cannot be made", name, exc_info=True)
            unwritten[name] = error.with_traceback(None)


def finish(
    job: RunState, monitor: Monitor, log_file: LogFile, *, save_last: bool
) -> dict[str, Any]:
    """Write checkpoints, summary.json and plots; return the summary.

    Until all is written summary.json says what is not: a run that is killed in between is not
    complete, and is made so when it is resumed.
    """
    folder = job.folder
    if save_last and not job.save():
        assert job.keeper.failure is not None
        job.unwritten[LAST] = job.keeper.failure
    job.prepared.training.release()  # pictures and model.rpt have room where a batch had it
    write_table(job)
    if "environment.json" in job.unwritten:
        attempt(job.unwritten, "environment.json", lambda: write_environment(job))
    if "config.yaml" in job.unwritten:
        attempt(job.unwritten, "config.yaml", lambda: write_config(folder, job.cfg))
    for name, failure in (("telemetry.csv", monitor.failure), ("run.log", log_file.failure)):
        if failure is not None:
            job.unwritten[name] = failure
    summary = _summary(job, monitor)
    pictures = _pictures(job)

    def write(missing: dict[str, str]) -> None:
        record = summary | ({"unwritten": missing} if missing else {})
        attempt(
            job.unwritten, "summary.json", lambda: write_summary(folder / "summary.json", record)
        )

    write(unwritten_reasons(job) | dict.fromkeys(pictures, NOT_YET))
    draw(job.unwritten, pictures)
    summary["files"] = [name for name in pictures if (folder / name).exists()]
    job.unwritten.pop("summary.json", None)
    if job.status in ENDED_WELL and not job.unwritten:
        job.keeper.remove_previous()
    write(unwritten_reasons(job))
    if job.unwritten:
        summary["unwritten"] = unwritten_reasons(job)
    return summary


def _pictures(job: RunState) -> dict[str, Callable[[], object]]:
    """What is made of the figures and the model, by the file's name; the page last, as it shows the
    others."""
    folder = job.folder
    telemetry = folder / "telemetry.csv"
    pictures: dict[str, Callable[[], object]] = {
        "telemetry.png": lambda: plot_telemetry(telemetry, folder / "telemetry.png")
    }
    if job.best is not None:
        rows, confusion = job.table.some(MOST_DRAWN), job.best.test_confusion
        reported = job.best.row["epoch"]
        chance = None if confusion is None else confusion.support.max() / confusion.num_cases
        pictures["accuracy.png"] = lambda: plot_accuracy(
            rows, folder / "accuracy.png", chance=chance, reported=reported
        )
        pictures["loss.png"] = lambda: plot_loss(rows, folder / "loss.png", reported=reported)
        if confusion is not None:
            names = job.prepared.cases.class_names
            pictures["confusion_matrix.png"] = lambda: plot_confusion(
                confusion, names, folder / "confusion_matrix.png"
            )
    # Neither is imported before the first step.
    precision = job.cfg.get("export", "none")  # runs of before had none
    if job.best is not None and job.status in ENDED_WELL:
        chosen = functools.cache(lambda: _chosen(job))
        if precision != "none":
            from raspitrain.export.at_end import export_at_end

            pictures["model.rpt"] = lambda: export_at_end(
                folder, chosen, job.prepared.training.parts, precision
            )
        pictures[MISCLASSIFIED] = lambda: _write_misclassified(job, chosen)
    from raspitrain.report import report_run

    pictures["report.html"] = lambda: report_run(folder, draw_missing=False)
    return pictures


def _chosen(job: RunState) -> "StoredRun":
    from raspitrain.run.stored import StoredRun

    return StoredRun.of_checkpoint(job.folder / BEST, allowed_targets=list(job.cfg.allowed_targets))


def _write_misclassified(job: RunState, chosen: Callable[[], "StoredRun"]) -> None:
    """Write misclassified.csv: which cases of the test part, or else of the validation part, the
    chosen model takes for others."""
    split, cases = job.prepared.split, job.prepared.cases
    indices = split.test if len(split.test) else split.validation
    if not len(indices):
        return
    from raspitrain.run.evaluate import Evaluated, Piece, source_of

    answers = answers_of(
        chosen().model(),
        job.prepared.normalisation,
        cases.signals,
        indices,
        cases.labels[indices],
        batch_size=batch_size_of(job.prepared.training.batch_size),
    )
    piece = Piece(source_of(job.cfg.dataset), cases, indices, answers)
    evaluated = Evaluated(cases.class_names, (piece,))
    write_atomic(job.folder / MISCLASSIFIED, evaluated.misclassified().encode())


def unwritten_reasons(job: RunState) -> dict[str, str]:
    """Why each result that is not written is not, for summary.json."""
    return {name: reason(error) for name, error in job.unwritten.items()}


def _summary(job: RunState, monitor: Monitor) -> dict[str, Any]:
    prepared, cfg = job.prepared, job.cfg
    summary: dict[str, Any] = {"test_accuracy": None, "status": job.status, "task": "train"}
    if job.reason is not None:
        summary["reason"] = job.reason
    if job.best is not None:
        class_names = prepared.cases.class_names
        confusion = job.best.test_confusion
        if confusion is not None:
            if confusion.num_classes <= MOST_CELLS:
                summary["confusion_matrix"] = confusion.matrix().tolist()
            summary["worst_confusions"] = [
                {"true": class_names[true], "predicted": class_names[predicted], "cases": cases}
                for true, predicted, cases in confusion.worst(MOST_MISTAKES)
            ]
            summary["per_class"] = classification_report(confusion, class_names)["per_class"]
        best, last = job.best.row, job.table.row(-1)
        chosen_by_validation = "validation_accuracy" in best
        summary |= {
            "chosen_model": "best on validation" if chosen_by_validation else "last",
            "chosen_epoch": best["epoch"],
            **{key: best.get(key) for key in type_of_column if key.startswith("test_")},
            "final": last,
            "best": best,
            "steps": last["step"],
            "training_seconds": last["seconds"],
            "samples_per_second": last["samples_per_second"],
        }
    summary |= {
        "epochs": prepared.epochs,
        "batch_size": prepared.training.batch_size,
        "seed": cfg.seed,
        **({} if prepared.init is None else {"init": prepared.init}),
        **({} if prepared.augmentation is None else {"augmentation": prepared.augmentation}),
        "num_parameters": sum(p.numel() for p in prepared.training.model.parameters()),
        "num_threads": torch.get_num_threads(),
        "device": str(prepared.training.device),
        "hardware": job.profile.record(),
        "num_cases": {name: len(part) for name, part in prepared.training.parts.items()},
        "data": prepared.data.record,
        "class_names": list(prepared.cases.class_names),
        "normalise": prepared.normalisation.kind,
        "constant_channels": constant_channels(prepared),
        "total_seconds": job.seconds,
        "peak_memory_mb": job.peak_memory_mb,
        "checkpoints": job.keeper.record(),
    }
    if cfg.split.fold is not None:
        summary["fold"] = _fold(job)
    if job.status in ENDED_WELL and len(job.table):
        summary |= _verdict(job)
    if cfg.ensemble > 1 and job.best is not None and job.status in ENDED_WELL:
        summary["members"] = _members(job)
    if job.tuned is not None:
        summary |= job.tuned.record()
    epochs_done, cases_seen = (
        prepared.training.position.epochs_done,
        prepared.training.position.cases_seen,
    )
    if job.ranks is not None:
        summary["ranks"] = job.ranks
        # Temperatures and joules are of this board alone: they say nothing of an epoch.
        epochs_done, cases_seen = 0, round(cases_seen * job.ranks["shares"][0])
    summary |= monitor.summary(epochs=epochs_done, num_cases=cases_seen)
    if summary["thermal"]["dropped_threads"]:
        summary["bit_reproducible"] = False
    if words := allowing_words(cfg):
        summary["resume_words"] = words
    if prepared.group is not None:
        summary["resume_command"] = prepared.group.launch.again(
            [f"resume={job.folder}", *allowing_words(cfg)]
        )
    if job.resumed:
        summary["resumed"] = job.resumed
        if any(part["not_exact"] for part in job.resumed):
            summary["bit_reproducible"] = False
    return summary


def _members(job: RunState) -> list[dict[str, float]]:
    """Accuracy of each network of the chosen ensemble by itself, on validation and test part."""
    training, best = job.prepared.training, job.best
    assert best is not None
    if job.keeper.best_step != best.row["step"]:
        log.warning("no figures of the ensemble's members, as %s could not be written", BEST)
        return []
    found = []
    for member in members_of(_chosen(job).model()):
        member.to(training.device)
        figures = {}
        for name in ("validation", "test"):
            if name in training.parts:
                _, confusion = evaluate(
                    member,
                    training.parts[name],
                    training.loss,
                    batch_size=4 * training.batch_size,
                    device=training.device,
                )
                figures[f"{name}_accuracy"] = float(confusion.hits.sum() / confusion.num_cases)
        release(member)
        found.append(figures)
    return found


def _fold(job: RunState) -> dict[str, Any]:
    """Which of the folds was tested on, and whose cases are in it."""
    cases, split = job.prepared.cases, job.cfg.split
    groups: list[str] = []
    if cases.groups is not None:
        tested = np.unique(cases.groups[job.prepared.split.test])
        groups = [cases.group_names[k] for k in tested]
    return {"number": split.fold, "of": split.folds, "groups": groups}


def _verdict(job: RunState) -> dict[str, Any]:
    training, row = job.prepared.training, job.table.row(-1)
    labels = training.parts["train"].labels.numpy()
    in_one_step, accuracy = training.in_one_step, row["train_accuracy"]
    assert accuracy is not None
    test = None if job.best is None else job.best.test_confusion
    return {
        "underfitted": not in_one_step and ended_underfitted(accuracy, labels, test),
        "warnings": warnings_of(
            job.cfg,
            row,
            labels,
            test,
            kind=job.prepared.normalisation.kind,
            epochs=job.prepared.epochs,
            in_one_step=in_one_step,
            is_augmented=_is_augmented(job),
        ),
    }


def _is_augmented(job: RunState) -> bool:
    chosen, augment = job.prepared.augmentation, job.cfg.augment
    strength = augment.get("strength") if chosen is None else chosen["strength"]
    return not str(augment._target_).endswith(".none") and strength != 0


def unwritten_sentence(folder: Path, unwritten: Mapping[str, Exception], then: str) -> str:
    """What could not be written, what to do about it, and `then` which command."""
    if not folder.exists():
        return f"{folder} was removed while the run went on, and its results with it."
    error = next(iter(unwritten.values()))
    *most, last = unwritten
    names = f"{', '.join(most)} and {last}" if most else last
    return (
        f"{folder}: {names} could not be written ({reason(error)}); every file that is there is "
        f"whole. To write the rest: {remedy(error, then, link=', then ')}"
    )
