"""One run: from a composed configuration to a finished folder of results."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from raspitrain.data.batches import batch_indices
from raspitrain.hardware.monitor import Monitor
from raspitrain.hardware.profile import Profile, with_profile
from raspitrain.hardware.thermal import ThermalGuard
from raspitrain.hardware.tune import Tuned, tune
from raspitrain.prepare import Prepared, prepare
from raspitrain.report import report_run_or_warn
from raspitrain.results.atomic import write_atomic
from raspitrain.results.checkpoint import save_checkpoint
from raspitrain.results.environment import environment_record, peak_memory_mb
from raspitrain.results.folder import claim_run_folder
from raspitrain.results.json_file import write_json
from raspitrain.results.metrics import classification_report
from raspitrain.results.plots import plot_accuracy, plot_confusion, plot_loss, plot_telemetry
from raspitrain.results.screen import Screen, logging_to
from raspitrain.results.summary import write_summary
from raspitrain.results.table import append_row
from raspitrain.training.fit import (
    Evaluation,
    NonFiniteLossError,
)

log = logging.getLogger("raspitrain")


@dataclass
class Progress:
    """What a run has shown so far."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    last: Evaluation | None = None
    last_weights: dict[str, Tensor] = field(default_factory=dict)
    best: Evaluation | None = None  # on the validation part; without one, the last
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    evaluations_since_best: int = 0
    status: str = "completed"
    reason: str | None = None
    tuned: Tuned | None = None


def run(cfg: DictConfig, output_dir: Path, *, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Train what `cfg` describes and leave everything about it in `output_dir`.

    Parameters
    ----------
    cfg : the composed configuration, as conf/config.yaml lays it out
    output_dir : a folder that no run has used yet; made where it is missing
    overrides : the words of the command line, kept beside the configuration

    Returns
    -------
    dict
        What summary.json holds.

    Raises
    ------
    InputError
        Before anything is written if the configuration, the data or the folder will not do;
        after the results so far are written if the loss stops being finite.
    """
    started = time.perf_counter()
    cfg, profile = with_profile(cfg, {word.lstrip("+~").split("=")[0] for word in overrides})
    prepared = prepare(cfg)
    folder = claim_run_folder(output_dir)
    write_atomic(folder / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True).encode())
    write_atomic(folder / "overrides.yaml", OmegaConf.to_yaml(list(overrides)).encode())
    environment = environment_record() | {"hardware": profile.record()}
    write_json(folder / "environment.json", environment)

    progress = Progress()
    stopped: BaseException | None = None
    with (
        logging_to(folder),
        Screen(prepared.epochs, prepared.steps_per_epoch) as screen,
        Monitor(folder, **cfg.hardware.readings) as monitor,
    ):
        for note in profile.notes:
            log.warning(note)
        try:
            progress.tuned = tuned = tune_prepared(prepared, cfg)
            environment |= environment_record() | tuned.record()
            write_json(folder / "environment.json", environment)
            _train(prepared, progress, cfg, folder, screen, tuned, monitor)
        except (NonFiniteLossError, KeyboardInterrupt) as error:
            stopped = error
            progress.status = "diverged" if isinstance(error, NonFiniteLossError) else "interrupted"
            progress.reason = str(error) or None
        monitor.stop()
        summary = _finish(prepared, progress, cfg, folder, started, profile, monitor)
        screen.finish(summary, folder)
    if stopped is not None:
        raise stopped
    return summary


def tune_prepared(prepared: Prepared, cfg: DictConfig) -> Tuned:
    """Choose what is to be measured, on batches as training will see them."""
    train = prepared.parts["train"]
    sizes = {len(b) for b in batch_indices(len(train), prepared.batch_size, generator=None)}
    gathered = [train.gather(torch.arange(size)) for size in sorted(sizes, reverse=True)]
    batches = [(x.to(prepared.device), labels.to(prepared.device)) for x, labels in gathered]
    return tune(
        prepared.model,
        prepared.loss,
        batches,
        hardware=cfg.hardware,
        described_by={
            "model": OmegaConf.to_container(cfg.model, resolve=True),
            "loss": OmegaConf.to_container(cfg.loss, resolve=True),
            "num_classes": len(prepared.cases.class_names),
            "flush_denormals": cfg.hardware.flush_denormals,
        },
    )


def _train(
    prepared: Prepared,
    progress: Progress,
    cfg: DictConfig,
    folder: Path,
    screen: Screen,
    tuned: Tuned,
    monitor: Monitor,
) -> None:
    adapt = tuned.adapt
    guard = ThermalGuard(cfg.hardware.thermal, monitor)

    def on_step(num_cases: int, read_loss: Callable[[], float]) -> None:
        if adapt is not None:
            adapt.end_step(num_cases)
        monitor.cases += num_cases
        screen.step(num_cases, read_loss)
        guard.check()
        if adapt is not None:
            adapt.begin_step()

    next_checkpoint = 0.0
    for evaluation in prepared.fit(on_step=on_step, forward=tuned.forward, clock=guard.clock):
        evaluation.row["peak_memory_mb"] = peak_memory_mb()
        weights = _weights(prepared.model)
        # First what a Ctrl-C would lose, then what is written and shown of it.
        progress.rows.append(evaluation.row)
        progress.last, progress.last_weights = evaluation, weights
        if progress.best is None or _is_better(evaluation.row, progress.best.row):
            progress.best, progress.best_weights = evaluation, weights
            progress.evaluations_since_best = 0
        else:
            progress.evaluations_since_best += 1
        append_row(folder / "metrics.csv", evaluation.row)
        screen.evaluation(evaluation.row)
        if time.monotonic() >= next_checkpoint:
            _save_checkpoints(prepared, progress, cfg, folder)
            next_checkpoint = time.monotonic() + 60 * cfg.checkpoint_minutes
        if cfg.patience is not None and progress.evaluations_since_best >= cfg.patience:
            progress.status = "stopped_early"
            progress.reason = f"{cfg.patience} evaluations without a better validation accuracy"
            return
        if adapt is not None:
            adapt.begin_step()  # evaluation is no step


def _is_better(row: dict[str, Any], best: dict[str, Any]) -> bool:
    """By validation accuracy, then by validation loss. The test part is never asked: without a
    validation part the latest is taken."""
    if "validation_accuracy" not in row:
        return True
    return (row["validation_accuracy"], -row["validation_loss"]) > (
        best["validation_accuracy"],
        -best["validation_loss"],
    )


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _save_checkpoints(
    prepared: Prepared, progress: Progress, cfg: DictConfig, folder: Path
) -> None:
    for name, evaluation, weights in (
        ("last.pt", progress.last, progress.last_weights),
        ("best.pt", progress.best, progress.best_weights),
    ):
        if evaluation is None:
            continue
        save_checkpoint(
            folder / name,
            {
                "model": weights,
                "epoch": evaluation.row["epoch"],
                "step": evaluation.row["step"],
                "metrics": evaluation.row,
                "class_names": prepared.cases.class_names,
                "channel_names": prepared.cases.channel_names,
                "length": prepared.cases.signals.shape[2],
                "mean": torch.from_numpy(prepared.normalisation.mean),
                "std": torch.from_numpy(prepared.normalisation.std),
                "config": OmegaConf.to_container(cfg, resolve=True),
            },
        )


def _finish(
    prepared: Prepared,
    progress: Progress,
    cfg: DictConfig,
    folder: Path,
    started: float,
    profile: Profile,
    monitor: Monitor,
) -> dict[str, Any]:
    """Write checkpoints, summary.json and plots; return the summary."""
    summary: dict[str, Any] = {
        "test_accuracy": None,
        "status": progress.status,
        "task": "train",
    }
    if progress.reason is not None:
        summary["reason"] = progress.reason
    if progress.last is not None and progress.best is not None:
        _save_checkpoints(prepared, progress, cfg, folder)
        class_names = prepared.cases.class_names
        confusion = progress.best.test_confusion
        if confusion is not None:
            summary["confusion_matrix"] = confusion.tolist()
            summary["per_class"] = classification_report(confusion, class_names)["per_class"]
        best, last = progress.best.row, progress.last.row
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
        "hardware": profile.record(),
        "num_cases": {name: len(part) for name, part in prepared.parts.items()},
        "class_names": list(prepared.cases.class_names),
        "total_seconds": time.perf_counter() - started,
        "peak_memory_mb": peak_memory_mb(),
    }
    if progress.tuned is not None:
        summary |= progress.tuned.record()
    epochs = progress.last.row["epoch"] if progress.last is not None else 0
    summary |= monitor.summary(epochs=epochs, num_cases=epochs * len(prepared.parts["train"]))
    if summary["thermal"]["dropped_threads"]:
        summary["bit_reproducible"] = False
    # Before the plots: whatever happens to them, the figures are there.
    write_summary(folder / "summary.json", summary)
    plot_telemetry(folder / "telemetry.csv", folder / "telemetry.png")
    if progress.best is not None:
        plot_accuracy(progress.rows, folder / "accuracy.png")
        plot_loss(progress.rows, folder / "loss.png")
        if progress.best.test_confusion is not None:
            plot_confusion(
                progress.best.test_confusion,
                prepared.cases.class_names,
                folder / "confusion_matrix.png",
            )
    report_run_or_warn(folder)
    return summary
