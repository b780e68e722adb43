"""One run: from a composed configuration to a finished folder of results."""

import logging
import shutil
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from raspitrain.config.overrides import given_keys
from raspitrain.config.profile import with_profile
from raspitrain.data.batches import batch_indices
from raspitrain.errors import InputError, UnwrittenError
from raspitrain.hardware.memory import is_out_of_memory, out_of_memory_error
from raspitrain.hardware.threads import hardware_as_it_was
from raspitrain.results.atomic import sweep_partial
from raspitrain.results.configuration import write_config, write_overrides
from raspitrain.results.folder import all_or_nothing, claim_run_folder, release_claim
from raspitrain.results.keeper import LAST
from raspitrain.results.screen import Screen, how_to_resume, logging_to
from raspitrain.run.monitor import Monitor
from raspitrain.run.outcome import (
    attempt,
    finish,
    resume_words,
    unwritten_sentence,
    write_data_table,
    write_environment,
    write_table,
)
from raspitrain.run.prepare import Prepared, prepare
from raspitrain.run.state import Job, make_job, save
from raspitrain.run.thermal import ThermalGuard
from raspitrain.stop import Stopped, StopSignals, tidy
from raspitrain.training.training import NonFiniteLossError, Step
from raspitrain.tuning.tune import Tuned, tune

log = logging.getLogger("raspitrain")

# Of the weights, in a run's folder: two moments and the best in last.pt, the one before, the one
# that is being written, and best.pt.
COPIES = 13


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
    cfg, profile = with_profile(cfg, given_keys(overrides))
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
    with all_or_nothing(folder, ("config.yaml", "overrides.yaml", "environment.json", LAST)):
        write_config(folder, job.cfg)
        write_overrides(folder, overrides)
        write_environment(job)
        # Whatever ends the process from now on, the run can be taken up again.
        if not save(job, warn=False):
            assert job.keeper.failure is not None
            raise job.keeper.failure
        _note_little_room(job)


def _note_little_room(job: Job) -> None:
    """The first checkpoint is the smallest: weights alone, no optimizer's state, nothing best."""
    needed = COPIES * job.keeper.last_bytes
    free = shutil.disk_usage(job.folder).free
    if free < needed:
        job.notes.append(
            f"{free / 1e6:.0f} MB are free in {job.folder}, and checkpoints may take "
            f"{needed / 1e6:.0f} MB: make room while the run goes on"
        )


def carry_on(job: Job, stop: StopSignals) -> dict[str, Any]:
    """Train from where the job stands to its end; write and show what came of it."""
    prepared = job.prepared
    stopped: BaseException | None = None
    whole = True  # weights and position belong together
    screen = Screen(
        prepared.epochs,
        prepared.training.steps_per_epoch,
        first_step=prepared.training.position.step,
    )
    at_once = [screen.close, lambda: sweep_partial(job.folder)]
    tidy.extend(at_once)
    try:
        with (
            logging_to(job.folder) as log_file,
            screen,
            Monitor(job.folder, **job.cfg.hardware.readings) as monitor,
        ):
            screen.say(f"data  {prepared.data.line}")
            for note in (*job.profile.notes, *prepared.data.warnings, *job.notes):
                log.warning(note)
            write_data_table(job)
            try:
                with stop.deferred(False):
                    job.tuned = tune_prepared(job.prepared, job.cfg, job.before)
                attempt(job.unwritten, "environment.json", lambda: write_environment(job))
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
                summary = finish(job, monitor, log_file, save_last=whole)
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
        then = how_to_resume(job.folder, resume_words(job.cfg))
        raise UnwrittenError(unwritten_sentence(job.folder, job.unwritten, then)) from stopped
    if stopped is not None:
        raise stopped
    return summary


def _what_happened(error: BaseException) -> tuple[str, str]:
    if isinstance(error, NonFiniteLossError):
        return "diverged", str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", str(error) or "interrupted"
    if is_out_of_memory(error):
        sentence = str(out_of_memory_error())
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
    training = prepared.training
    train = training.parts["train"]
    sizes = [len(b) for b in batch_indices(len(train), training.batch_size, generator=None)]
    signals, labels = train.gather(torch.arange(max(sizes)))
    return tune(
        training.model,
        training.loss,
        (signals.to(training.device), labels.to(training.device)),
        hardware=cfg.hardware,
        described_by={
            "model": OmegaConf.to_container(cfg.model, resolve=True),
            "loss": OmegaConf.to_container(cfg.loss, resolve=True),
            "num_classes": len(prepared.cases.class_names),
            "flush_denormals": cfg.hardware.flush_denormals,
        },
        before=before,
    )


def _train(job: Job, screen: Screen, stop: StopSignals, monitor: Monitor) -> None:
    prepared, keeper = job.prepared, job.keeper
    position, num_steps = prepared.training.position, prepared.training.steps_per_epoch
    assert job.tuned is not None
    adapt = job.tuned.adapt
    guard = ThermalGuard(
        job.cfg.hardware.thermal, monitor, should_stop=lambda: stop.number is not None
    )

    def on_step(step: Step) -> None:
        if adapt is not None:
            adapt.end_step(step.num_cases)
        monitor.cases += step.num_cases
        screen.step(step.num_cases, step.read_loss)
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
    for evaluation in prepared.training.evaluations(
        prepared.epochs,
        eval_every=prepared.eval_every,
        on_step=on_step,
        on_batch=stop.check,
        clock=guard.clock,
    ):
        evaluation.row["peak_memory_mb"] = job.peak_memory_mb
        job.table.append(evaluation.row)
        if job.best is None or _is_better(evaluation.row, job.best.row):
            job.best, job.best_weights = evaluation, _weights(job)
            job.evaluations_since_best = 0
        else:
            job.evaluations_since_best += 1
        write_table(job)
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
    model = job.prepared.training.model
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
