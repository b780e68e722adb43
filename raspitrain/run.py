"""One run: from a composed configuration to a finished folder of results."""

import logging
import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from raspitrain.data.batches import batch_indices
from raspitrain.data.fingerprint import fingerprint
from raspitrain.errors import InputError, UnwrittenError
from raspitrain.hardware.arithmetic import arithmetic
from raspitrain.hardware.memory import is_out_of_memory, out_of_memory_sentence
from raspitrain.hardware.monitor import Monitor
from raspitrain.hardware.profile import Profile, with_profile
from raspitrain.hardware.thermal import ThermalGuard
from raspitrain.hardware.threads import hardware_as_it_was
from raspitrain.hardware.tune import Tuned, tune
from raspitrain.prepare import Prepared, prepare
from raspitrain.results.atomic import sweep_partial, write_atomic
from raspitrain.results.environment import environment_record, peak_memory_mb
from raspitrain.results.folder import claim_run_folder, release_claim
from raspitrain.results.json_file import write_json
from raspitrain.results.keeper import LAST, Keeper, reason
from raspitrain.results.metrics import classification_report
from raspitrain.results.plots import plot_accuracy, plot_confusion, plot_loss, plot_telemetry
from raspitrain.results.screen import Screen, how_to_resume, logging_to
from raspitrain.results.summary import write_summary
from raspitrain.results.table import Table
from raspitrain.stop import Stopped, StopSignals, tidy
from raspitrain.training.fit import Evaluation, NonFiniteLossError

log = logging.getLogger("raspitrain")

# Of the weights, in a run's folder: two moments and the best in last.pt, the one before, the one
# that is being written, and best.pt.
COPIES = 13
MOST_DRAWN = 4000  # evaluations in a plot, which is not as many dots wide


@dataclass
class Job:
    """A run under way: what it is made of, and what it has shown so far.

    Attributes
    ----------
    data, made_by : what going on later compares: the data's fingerprint, machine and libraries
    best : on the validation part; without one, the last
    best_weights : None where best.pt alone holds them
    before : what `tune` needs of an earlier part of this run
    seconds_before, peak_before : of earlier parts
    resumed : when and where the run was taken up again
    notes : sentences for the log, as soon as there is one
    unwritten : results that could not be written, by name, and why
    """

    prepared: Prepared
    cfg: DictConfig
    profile: Profile
    folder: Path
    keeper: Keeper
    table: Table
    data: str
    made_by: dict[str, Any]
    started: float
    best: Evaluation | None = None
    best_weights: dict[str, Tensor] | None = None
    evaluations_since_best: int = 0
    status: str = "completed"
    reason: str | None = None
    before: dict[str, Any] | None = None
    tuned: Tuned | None = None
    seconds_before: float = 0.0
    peak_before: float = 0.0
    resumed: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unwritten: dict[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    @property
    def peak_memory_mb(self) -> float:
        return max(self.peak_before, peak_memory_mb())


def make_job(
    prepared: Prepared, cfg: DictConfig, profile: Profile, folder: Path, started: float
) -> Job:
    """A run that has shown nothing yet."""
    keeper = Keeper(
        folder,
        minutes=cfg.checkpoint_minutes,
        epochs=cfg.checkpoint_epochs,
        share=cfg.checkpoint_share,
    )
    return Job(
        prepared,
        cfg,
        profile,
        folder,
        keeper,
        Table(folder / "metrics.csv"),
        data=fingerprint(prepared.cases),
        made_by=arithmetic(prepared.model, prepared.device),
        started=started,
    )


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
    Stopped
        By a signal, after the results so far are written; a KeyboardInterrupt.
    UnwrittenError
        The run has ended and the card would not take all of its results.
    """
    started = time.perf_counter()
    cfg, profile = with_profile(cfg, {word.lstrip("+~").split("=")[0] for word in overrides})
    with hardware_as_it_was(), StopSignals() as stop:
        prepared = prepare(cfg)
        with stop.deferred():
            stop.check()
            folder = claim_run_folder(output_dir)
            try:
                job = make_job(prepared, cfg, profile, folder, started)
                _write_beginning(job, overrides)
                return carry_on(job, stop)
            finally:
                release_claim(folder)


def _write_beginning(job: Job, overrides: Sequence[str]) -> None:
    """What was asked for and where; nothing is left if that cannot be written."""
    folder = job.folder
    names = ("config.yaml", "overrides.yaml", "environment.json", LAST)
    written = [folder / name for name in names]
    try:
        write_config(job)
        write_atomic(written[1], OmegaConf.to_yaml(list(overrides)).encode())
        write_json(written[2], _environment(job))
        # Whatever ends the process from now on, the run can be taken up again.
        if not save(job, warn=False):
            raise OSError(job.keeper.failure)
        _note_little_room(job)
    except OSError as error:
        for path in written:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        release_claim(folder, remove=True)
        raise InputError(
            f"the run folder {str(folder)!r} cannot be written ({reason(error)}); make room, or "
            "give another hydra.run.dir"
        ) from error


def _note_little_room(job: Job) -> None:
    """The first checkpoint is the smallest: weights alone, no optimizer's state, nothing best."""
    needed = COPIES * job.keeper.last_bytes
    free = shutil.disk_usage(job.folder).free
    if free < needed:
        job.notes.append(
            f"{free / 1e6:.0f} MB are free in {job.folder}, and checkpoints may take "
            f"{needed / 1e6:.0f} MB: make room while the run goes on"
        )


def _environment(job: Job) -> dict[str, Any]:
    return environment_record() | {
        "hardware": job.profile.record(),
        "memory_estimate": job.prepared.memory.record(),
    }


def write_config(job: Job) -> None:
    """Write config.yaml, for people; going on later relies on the checkpoint's copy."""
    write_atomic(job.folder / "config.yaml", OmegaConf.to_yaml(job.cfg, resolve=True).encode())


def carry_on(job: Job, stop: StopSignals) -> dict[str, Any]:
    """Train from where the job stands to its end; write and show what came of it."""
    prepared = job.prepared
    stopped: BaseException | None = None
    whole = True  # weights and position belong together
    screen = Screen(
        prepared.epochs, prepared.steps_per_epoch, first_step=prepared.position.step
    )  # fmt: skip
    at_once = [screen.close, lambda: sweep_partial(job.folder)]
    tidy.extend(at_once)
    try:
        with (
            logging_to(job.folder),
            screen,
            Monitor(job.folder, **job.cfg.hardware.readings) as monitor,
        ):
            for note in (*job.profile.notes, *job.notes):
                log.warning(note)
            try:
                with stop.deferred(False):
                    job.tuned = tune_prepared(job.prepared, job.cfg, job.before)
                _attempt(job, "environment.json", lambda: _write_environment(job))
                whole = False
                _train(job, screen, stop, monitor)
                whole = True
            except Stopped as error:
                stopped, whole = error, True
                job.status, job.reason = "interrupted", str(error)
            except (Exception, KeyboardInterrupt) as error:
                stopped = error
                job.status, job.reason = _what_happened(error)
            monitor.stop()
            try:
                summary = _finish(job, monitor, save_last=whole)
            except Exception:
                if stopped is None:
                    raise
                log.exception("the results could not be written, after %s", stopped)
                raise stopped from None
            screen.finish(summary, job.folder)
    finally:
        for action in at_once:
            tidy.remove(action)
    if job.unwritten and (stopped is None or isinstance(stopped, Stopped | InputError)):
        raise UnwrittenError(_unwritten(job)) from stopped
    if stopped is not None:
        raise stopped
    return summary


def _what_happened(error: BaseException) -> tuple[str, str]:
    if isinstance(error, NonFiniteLossError):
        return "diverged", str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", str(error) or "interrupted"
    if is_out_of_memory(error):
        sentence = out_of_memory_sentence()
        traceback.clear_frames(error.__traceback__)  # which hold on to the batch
        return "failed", sentence
    first_line = (str(error).strip().splitlines() or [""])[0]
    return "failed", first_line if isinstance(error, InputError) else (
        f"{type(error).__name__}: {first_line}"
    )


def tune_prepared(
    prepared: Prepared, cfg: DictConfig, before: dict[str, Any] | None = None
) -> Tuned:
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
        before=before,
    )


def _write_environment(job: Job) -> None:
    assert job.tuned is not None
    # The one in which the run began stays.
    if not job.resumed:
        write_json(job.folder / "environment.json", _environment(job) | job.tuned.record())


def _train(job: Job, screen: Screen, stop: StopSignals, monitor: Monitor) -> None:
    prepared, keeper = job.prepared, job.keeper
    position, num_steps = prepared.position, prepared.steps_per_epoch
    assert job.tuned is not None
    adapt = job.tuned.adapt
    guard = ThermalGuard(
        job.cfg.hardware.thermal, monitor, should_stop=lambda: stop.number is not None
    )

    def on_step(num_cases: int, read_loss: Callable[[], float]) -> None:
        if adapt is not None:
            adapt.end_step(num_cases)
        monitor.cases += num_cases
        screen.step(num_cases, read_loss)
        guard.check()
        stop.check()
        if position.step_in_epoch == num_steps:
            epoch = position.epoch
            # Where an evaluation follows, its row goes into the checkpoint.
            evaluated = epoch % prepared.eval_every == 0 or epoch == prepared.epochs
            if not evaluated and keeper.is_due_after(epoch):
                save(job)
        elif keeper.is_due():
            save(job)
        if adapt is not None:
            adapt.begin_step()

    if _has_no_patience(job):  # known before, and not yet said
        return
    for evaluation in prepared.fit(
        on_step=on_step, on_batch=stop.check, forward=job.tuned.forward, clock=guard.clock
    ):
        evaluation.row["peak_memory_mb"] = job.peak_memory_mb
        job.table.append(evaluation.row)
        if job.best is None or _is_better(evaluation.row, job.best.row):
            job.best, job.best_weights = evaluation, _weights(job)
            job.evaluations_since_best = 0
        else:
            job.evaluations_since_best += 1
        _write_table(job)
        screen.evaluation(evaluation.row)
        if _has_no_patience(job):
            return
        if keeper.is_due_after(position.epochs_done):
            save(job)
        if adapt is not None:
            adapt.begin_step()  # evaluation is no step


def _has_no_patience(job: Job) -> bool:
    patience = job.cfg.patience
    if patience is None or job.evaluations_since_best < patience:
        return False
    job.status = "stopped_early"
    job.reason = f"{patience} evaluations without a better validation accuracy"
    return True


def _is_better(row: dict[str, Any], best: dict[str, Any]) -> bool:
    """By validation accuracy, then by validation loss. The test part is never asked: without a
    validation part the latest is taken."""
    if "validation_accuracy" not in row:
        return True
    return (row["validation_accuracy"], -row["validation_loss"]) > (
        best["validation_accuracy"],
        -best["validation_loss"],
    )


def _weights(job: Job) -> dict[str, Tensor]:
    model = job.prepared.model
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _write_table(job: Job) -> None:
    """Add the rows to metrics.csv; what a full card does not take is added by a later call."""
    told = "metrics.csv" in job.unwritten
    _attempt(job, "metrics.csv", job.table.write)
    if not told and "metrics.csv" in job.unwritten:
        log.warning(
            "metrics.csv cannot be written (%s): its rows are kept and added when there is room",
            job.unwritten["metrics.csv"],
        )


def _attempt(job: Job, name: str, write: Callable[[], object]) -> None:
    """Write a result; remember it if the card will not take it, forget that once it does."""
    try:
        write()
    except OSError as error:
        job.unwritten[name] = reason(error)
    else:
        job.unwritten.pop(name, None)


def save(job: Job, *, warn: bool = True) -> bool:
    """Write last.pt, and best.pt where there is a better one; say whether that went well."""
    return job.keeper.save(_last_state(job), _best_state(job), warn=warn)


def _last_state(job: Job) -> dict[str, Any]:
    """All that the run is, between two steps."""
    prepared, best = job.prepared, job.best
    training = prepared.state()
    model = training.pop("model")
    last_row = job.table.row(-1) if len(job.table) else None
    return {
        "model": model,
        "epoch": prepared.position.epochs_done,
        "step": prepared.position.step,
        "metrics": last_row,
        **_model_state(job),
        "training": training,
        "run": {
            "data": job.data,
            "made_by": job.made_by,
            "epochs": prepared.epochs,
            "schedule_epochs": prepared.schedule_epochs,
            "batch_size": prepared.batch_size,
            "eval_every": prepared.eval_every,
            "tuned": job.before if job.tuned is None else job.tuned.state(),
            "table": job.table.state(),
            "best": None if best is None else _evaluation_state(best),
            "best_model": _best_model_state(job),
            "evaluations_since_best": job.evaluations_since_best,
            "seconds": job.seconds,
            "peak_memory_mb": job.peak_memory_mb,
            "resumed": job.resumed,
        },
    }


def _best_state(job: Job) -> dict[str, Any] | None:
    """The model of the best evaluation, and what using it takes."""
    if job.best is None or job.best_weights is None:
        return None
    row = job.best.row
    return {
        "model": job.best_weights,
        "epoch": row["epoch"],
        "step": row["step"],
        "metrics": row,
        **_model_state(job),
    }


def _model_state(job: Job) -> dict[str, Any]:
    prepared = job.prepared
    return {
        "class_names": prepared.cases.class_names,
        "channel_names": prepared.cases.channel_names,
        "length": prepared.cases.signals.shape[2],
        "mean": torch.from_numpy(prepared.normalisation.mean),
        "std": torch.from_numpy(prepared.normalisation.std),
        "config": OmegaConf.to_container(job.cfg, resolve=True),
    }


def _best_model_state(job: Job) -> dict[str, Tensor] | str | None:
    """The best weights; "model" where they are the live ones, None where best.pt will do, as the
    next evaluation is the best whatever it shows. A card wears by writing."""
    if job.best is None or job.best_weights is None:
        return None
    if job.best.row["step"] == job.prepared.position.step:
        return "model"
    return job.best_weights if "validation_accuracy" in job.best.row else None


def _evaluation_state(evaluation: Evaluation) -> dict[str, Any]:
    def tensor(confusion: np.ndarray | None) -> Tensor | None:
        return None if confusion is None else torch.from_numpy(confusion)

    return {
        "row": evaluation.row,
        "validation_confusion": tensor(evaluation.validation_confusion),
        "test_confusion": tensor(evaluation.test_confusion),
    }


def _finish(job: Job, monitor: Monitor, *, save_last: bool) -> dict[str, Any]:
    """Write checkpoints, summary.json and plots; return the summary."""
    prepared, folder = job.prepared, job.folder
    if save_last and not save(job):
        assert job.keeper.failure is not None
        job.unwritten[LAST] = job.keeper.failure
    _write_table(job)
    if "environment.json" in job.unwritten:
        _attempt(job, "environment.json", lambda: _write_environment(job))
    summary = _summary(job, monitor)
    # Before the plots: whatever happens to them, the figures are there.
    _attempt(job, "summary.json", lambda: write_summary(folder / "summary.json", summary))
    telemetry = folder / "telemetry.png"
    _attempt(job, telemetry.name, lambda: plot_telemetry(folder / "telemetry.csv", telemetry))
    if job.best is not None:
        rows = job.table.some(MOST_DRAWN)
        _attempt(job, "accuracy.png", lambda: plot_accuracy(rows, folder / "accuracy.png"))
        _attempt(job, "loss.png", lambda: plot_loss(rows, folder / "loss.png"))
        confusion = job.best.test_confusion
        if confusion is not None:
            name = "confusion_matrix.png"
            names = prepared.cases.class_names
            _attempt(job, name, lambda: plot_confusion(confusion, names, folder / name))
    from raspitrain.report import report_run_or_warn  # not before the first step

    report_run_or_warn(folder)
    if job.unwritten:
        # For whoever reads the summary alone, and for the run's being taken up again.
        summary["unwritten"] = dict(job.unwritten)
        with suppress(OSError):
            write_summary(folder / "summary.json", summary)
    if job.status in ("completed", "stopped_early") and not job.unwritten:
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
    if job.cfg.allowed_targets:
        summary["allowed_targets"] = list(job.cfg.allowed_targets)
    if job.resumed:
        summary["resumed"] = job.resumed
        if any(part["not_exact"] for part in job.resumed):
            summary["bit_reproducible"] = False
    return summary


def _unwritten(job: Job) -> str:
    why = next(iter(job.unwritten.values()))
    names = " and ".join(filter(None, [", ".join([*job.unwritten][:-1]), [*job.unwritten][-1]]))
    return (
        f"{job.folder}: {names} could not be written ({why}); every file that is there is whole. "
        f"Make room, then: {how_to_resume(job.folder, job.cfg.allowed_targets)}"
    )
