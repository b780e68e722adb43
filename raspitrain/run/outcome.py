"""What a run leaves in its folder: written as it goes, and at its end.

A card that fills up costs the file it would not take, never the run.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from omegaconf import DictConfig

from raspitrain.config.profile import profile_values
from raspitrain.hardware.monitor import Monitor
from raspitrain.results.json_file import write_json
from raspitrain.results.keeper import LAST, reason
from raspitrain.results.plots import plot_accuracy, plot_confusion, plot_loss, plot_telemetry
from raspitrain.results.screen import how_to_resume
from raspitrain.results.summary import write_summary
from raspitrain.run.environment import environment_record, torch_record
from raspitrain.run.state import Job, save
from raspitrain.training.metrics import classification_report

log = logging.getLogger("raspitrain")

MOST_DRAWN = 4000  # evaluations in a plot, which is not as many dots wide


def write_environment(job: Job) -> None:
    """Write environment.json: where the run began, and what was chosen there once it is known."""
    if job.resumed:
        return
    if not job.environment:
        job.environment = environment_record() | {
            "hardware": job.profile.record(),
            "memory_estimate": job.prepared.memory.record(),
        }
    chosen = {} if job.tuned is None else {"torch": torch_record()} | job.tuned.record()
    write_json(job.folder / "environment.json", job.environment | chosen)


def write_table(job: Job) -> None:
    """Add the rows to metrics.csv; what a full card does not take is added by a later call."""
    told = "metrics.csv" in job.unwritten
    attempt(job, "metrics.csv", job.table.write)
    if not told and "metrics.csv" in job.unwritten:
        log.warning(
            "metrics.csv cannot be written (%s): its rows are kept and added when there is room",
            job.unwritten["metrics.csv"],
        )


def attempt(job: Job, name: str, write: Callable[[], object]) -> None:
    """Write a result; remember it if the card will not take it, forget that once it does."""
    try:
        write()
    except OSError as error:
        job.unwritten[name] = reason(error)
    else:
        job.unwritten.pop(name, None)


def finish(job: Job, monitor: Monitor, *, save_last: bool) -> dict[str, Any]:
    """Write checkpoints, summary.json and plots; return the summary."""
    prepared, folder = job.prepared, job.folder
    ended_well = job.status in ("completed", "stopped_early")
    if save_last and not save(job):
        assert job.keeper.failure is not None
        job.unwritten[LAST] = job.keeper.failure
    write_table(job)
    if "environment.json" in job.unwritten:
        attempt(job, "environment.json", lambda: write_environment(job))
    summary = _summary(job, monitor)
    # Before the plots: whatever happens to them, the figures are there.
    attempt(job, "summary.json", lambda: write_summary(folder / "summary.json", summary))
    telemetry = folder / "telemetry.png"
    attempt(job, telemetry.name, lambda: plot_telemetry(folder / "telemetry.csv", telemetry))
    if job.best is not None:
        rows = job.table.some(MOST_DRAWN)
        attempt(job, "accuracy.png", lambda: plot_accuracy(rows, folder / "accuracy.png"))
        attempt(job, "loss.png", lambda: plot_loss(rows, folder / "loss.png"))
        confusion = job.best.test_confusion
        if confusion is not None:
            name = "confusion_matrix.png"
            names = prepared.cases.class_names
            attempt(job, name, lambda: plot_confusion(confusion, names, folder / name))
    # Neither is imported before the first step.
    if job.best is not None and ended_well and job.cfg.get("export", "none") != "none":
        from raspitrain.export.at_end import export_at_end

        parts, precision = prepared.parts, job.cfg.export
        attempt(job, "model.rpt", lambda: export_at_end(folder, parts, precision))
    from raspitrain.report import report_run_or_warn

    report_run_or_warn(folder)
    if job.unwritten:
        # For whoever reads the summary alone, and for the run's being taken up again.
        summary["unwritten"] = dict(job.unwritten)
        with suppress(OSError):
            write_summary(folder / "summary.json", summary)
    if ended_well and not job.unwritten:
        job.keeper.remove_previous()
    return summary


def _summary(job: Job, monitor: Monitor) -> dict[str, Any]:
    prepared, cfg = job.prepared, job.cfg
    summary: dict[str, Any] = {"test_accuracy": None, "status": job.status, "task": "train"}
    if job.reason is not None:
        summary["reason"] = job.reason
    if job.best is not None:
        class_names = prepared.cases.class_names
        confusion = job.best.test_confusion
        if confusion is not None:
            summary["confusion_matrix"] = confusion.tolist()
            summary["per_class"] = classification_report(confusion, class_names)["per_class"]
        best, last = job.best.row, job.table.row(-1)
        chosen_by_validation = "validation_accuracy" in best
        summary |= {
            "chosen_model": "best on validation" if chosen_by_validation else "last",
            "chosen_epoch": best["epoch"],
            "test_accuracy": best.get("test_accuracy"),
            "test_loss": best.get("test_loss"),
            "test_balanced_accuracy": best.get("test_balanced_accuracy"),
            "test_macro_f1": best.get("test_macro_f1"),
            "final": last,
            "best": best,
            "steps": last["step"],
            "training_seconds": last["seconds"],
            "samples_per_second": last["samples_per_second"],
        }
    summary |= {
        "epochs": prepared.epochs,
        "batch_size": prepared.batch_size,
        "seed": cfg.seed,
        "num_parameters": sum(p.numel() for p in prepared.model.parameters()),
        "num_threads": torch.get_num_threads(),
        "device": str(prepared.device),
        "hardware": job.profile.record(),
        "num_cases": {name: len(part) for name, part in prepared.parts.items()},
        "class_names": list(prepared.cases.class_names),
        "total_seconds": job.seconds,
        "peak_memory_mb": job.peak_memory_mb,
        "checkpoints": job.keeper.record(),
    }
    if job.tuned is not None:
        summary |= job.tuned.record()
    summary |= monitor.summary(
        epochs=prepared.position.epochs_done, num_cases=prepared.position.cases_seen
    )
    if summary["thermal"]["dropped_threads"]:
        summary["bit_reproducible"] = False
    if words := resume_words(cfg):
        summary["resume_words"] = words
    if job.resumed:
        summary["resumed"] = job.resumed
        if any(part["not_exact"] for part in job.resumed):
            summary["bit_reproducible"] = False
    return summary


def resume_words(cfg: DictConfig) -> list[str]:
    """What going on with the run has to be told again, as its checkpoint cannot allow it itself."""
    words = []
    if cfg.allowed_targets:
        words.append(f"allowed_targets=[{','.join(cfg.allowed_targets)}]")
    command = cfg.hardware.readings.vcgencmd
    if command != profile_values("auto")["readings.vcgencmd"]:
        words.append(f"hardware.readings.vcgencmd={command}")
    return words


def unwritten_sentence(job: Job) -> str:
    why = next(iter(job.unwritten.values()))
    names = " and ".join(filter(None, [", ".join([*job.unwritten][:-1]), [*job.unwritten][-1]]))
    return (
        f"{job.folder}: {names} could not be written ({why}); every file that is there is whole. "
        f"Make room, then: {how_to_resume(job.folder, resume_words(job.cfg))}"
    )
