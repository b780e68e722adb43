"""One run: from a composed configuration to a finished folder of results."""

import logging
import shutil
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from raspitrain.config.overrides import allowing_words, given_keys
from raspitrain.config.own_code import fault_of_own_code, own_faults_told
from raspitrain.config.profile import Profile, with_profile
from raspitrain.errors import InputError, UnwrittenError
from raspitrain.hardware.memory import is_out_of_memory, out_of_memory_error
from raspitrain.hardware.threads import hardware_as_it_was
from raspitrain.results.atomic import sweep_partial
from raspitrain.results.configuration import plain, write_config, write_overrides
from raspitrain.results.files import LAST
from raspitrain.results.folder import all_or_nothing, claim_run_folder, release_claim
from raspitrain.results.log import logging_to
from raspitrain.results.screen import Screen, how_to_resume
from raspitrain.run.loop import train
from raspitrain.run.monitor import Monitor
from raspitrain.run.observers import Calls, Careful, Observer
from raspitrain.run.outcome import (
    attempt,
    finish,
    unwritten_sentence,
    write_data_table,
    write_environment,
    write_table,
)
from raspitrain.run.prepare import prepare, tune_prepared
from raspitrain.run.state import Checkpoints, RunState, make_job
from raspitrain.run.strength import settle_strength
from raspitrain.run.thermal import ThermalGuard
from raspitrain.stop import Stopped, StopSignals, tidy
from raspitrain.training.training import NonFiniteLossError

if TYPE_CHECKING:
    from raspitrain.distributed.group import Group

log = logging.getLogger("raspitrain")

# Of the weights, in a run's folder: two moments and the best in last.pt, the one before, the one
# that is being written, and best.pt.
COPIES = 13


def run(
    cfg: DictConfig,
    output_dir: Path,
    *,
    overrides: Sequence[str] = (),
    profile: Profile | None = None,
    show: bool = True,
    group: "Group | None" = None,
) -> dict[str, Any]:
    """Train what `cfg` describes, or with task=throughput only measure how fast that would be, and
    leave everything about it in `output_dir`.

    Parameters
    ----------
    cfg : the composed configuration, as conf/config.yaml lays it out
    output_dir : a folder that no run has used yet; made where it is missing
    overrides : the words of the command line, kept beside the configuration
    profile : of the machine, where `with_profile` has filled in `cfg` already
    show : on standard output what a run shows there; warnings go to standard error in any case
    group : the ranks that train together, of which this process is one; rank 0 alone uses
        `output_dir`

    Returns
    -------
    dict
        What summary.json holds; nothing on another rank than 0.

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
    if profile is None:
        cfg, profile = with_profile(cfg, given_keys(overrides))
    if cfg.task == "throughput":
        from raspitrain.run.throughput import measure_throughput

        return measure_throughput(cfg, profile, output_dir, overrides)
    with hardware_as_it_was(), own_faults_told(cfg), StopSignals() as stop:
        prepared = prepare(cfg, group=group)
        if group is not None:
            from raspitrain.run.together import begin, follow

            begun = begin(prepared, cfg, group)
            if not group.is_first:
                return follow(prepared, cfg, stop)
        with stop.deferred():
            stop.check()
            folder = claim_run_folder(output_dir)
            try:
                job = make_job(prepared, cfg, profile, folder, started)
                if group is not None:
                    job.before, job.ranks = begun.tuned, begun.ranks
                    job.notes += begun.warnings
                _write_beginning(job, overrides)
                return carry_on(job, stop, show=show)
            finally:
                release_claim(folder)


def _write_beginning(job: RunState, overrides: Sequence[str]) -> None:
    """What was asked for and where; nothing is left if that cannot be written."""
    folder = job.folder
    with all_or_nothing(folder, ("config.yaml", "overrides.yaml", "environment.json", LAST)):
        write_config(folder, job.cfg)
        write_overrides(folder, overrides)
        write_environment(job)
        # Whatever ends the process from now on, the run can be resumed.
        if not job.save(warn=False):
            assert job.keeper.failure is not None
            raise job.keeper.failure
        _note_little_room(job)


def _note_little_room(job: RunState) -> None:
    """The first checkpoint is the smallest: weights alone, no optimizer's state, nothing best."""
    needed = COPIES * job.keeper.last_bytes
    free = shutil.disk_usage(job.folder).free
    if free < needed:
        job.notes.append(
            f"{free / 1e6:.0f} MB are free in {job.folder}, and checkpoints may take "
            f"{needed / 1e6:.0f} MB: make room while the run goes on"
        )


def carry_on(job: RunState, stop: StopSignals, *, show: bool = True) -> dict[str, Any]:
    """Train from where the job stands to its end; write and show what came of it."""
    prepared = job.prepared
    observers: tuple[Observer, ...] = ()
    stopped: BaseException | None = None
    whole = True  # weights and position belong together
    screen = Screen(
        prepared.epochs,
        prepared.training.steps_per_epoch,
        first_step=prepared.training.position.step,
        show=show,
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
            if prepared.group is not None:
                from raspitrain.run.together import plan_of

                screen.say(f"ranks  {plan_of(prepared).words()}")
            for note in (*job.profile.notes, *prepared.data.warnings, *job.notes):
                log.warning(note)
            write_data_table(job)
            try:
                with stop.deferred(False):
                    job.tuned = tune_prepared(job.prepared, job.cfg, job.before)
                attempt(job.unwritten, "environment.json", lambda: write_environment(job))
                if prepared.strength_is_open:
                    _settle_strength(job, screen, stop, monitor)
                whole = False
                observers = _observers(job, screen, stop, monitor)
                _train(job, observers, stop, screen)
                whole = True
            except Stopped as error:
                stopped, whole = error, True
                job.status, job.reason = "interrupted", str(error)
            except (Exception, KeyboardInterrupt) as error:
                stopped = fault_of_own_code(error, job.cfg) or error
                if stopped is not error:
                    log.info("where it failed:", exc_info=error)
                job.status, job.reason = _what_happened(stopped)
            monitor.stop()
            try:
                summary = finish(job, monitor, log_file, save_last=whole)
            except Exception:
                if stopped is None:
                    raise
                log.exception("the results could not be written, after %s", stopped)
                raise stopped from None
            for observer in observers:
                observer.end(summary)
            screen.finish(summary, job.folder)
    finally:
        for action in at_once:
            tidy.remove(action)
    if job.unwritten and (stopped is None or isinstance(stopped, Stopped | InputError)):
        then = how_to_resume(job.folder, allowing_words(job.cfg))
        raise UnwrittenError(unwritten_sentence(job.folder, job.unwritten, then)) from stopped
    if stopped is not None:
        raise stopped
    return summary


def _settle_strength(job: RunState, screen: Screen, stop: StopSignals, monitor: Monitor) -> None:
    guard = _guard(job, stop, monitor)

    def on_step() -> None:
        guard.check()
        stop.check()

    screen.say("augment.strength=auto: trials on folds of the training part come first")
    screen.say(settle_strength(job.prepared, job.cfg, on_step=on_step, on_batch=stop.check))
    job.save()  # a run that is resumed does not choose again


def _guard(job: RunState, stop: StopSignals, monitor: Monitor) -> ThermalGuard:
    return ThermalGuard(
        job.cfg.hardware.thermal, monitor, should_stop=lambda: stop.number is not None
    )


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


def _observers(
    job: RunState, screen: Screen, stop: StopSignals, monitor: Monitor
) -> tuple[Observer, ...]:
    """Who is told of a step and of an evaluation, in this order."""
    assert job.tuned is not None
    # Of several ranks a step is as long as the slowest one's.
    adapt = job.tuned.adapt if job.prepared.group is None else None
    tracker = job.prepared.tracker
    return (
        Calls(evaluation=job.keep),  # before anybody shows or stores it
        Calls(evaluation=lambda evaluation: write_table(job)),
        Calls(step=None if adapt is None else lambda s: adapt.end_step(s.num_cases, s.seconds)),
        Calls(step=lambda step: monitor.count(step.num_cases)),
        Calls(
            step=lambda step: screen.step(step.num_cases, step.read_loss),
            evaluation=lambda evaluation: screen.evaluation(evaluation.row),
        ),
        *(() if tracker is None else (Careful(tracker),)),
        *_last_observers(job, stop, monitor),
    )


def _last_observers(job: RunState, stop: StopSignals, monitor: Monitor) -> Sequence[Observer]:
    """Whoever may hold up or end the run, and checkpoints, when nothing more may end it."""
    if job.prepared.group is not None:
        from raspitrain.run.together import shared_observers

        return shared_observers(job.prepared, job.cfg, stop, monitor, job)
    guard = _guard(job, stop, monitor)
    return (
        Calls(step=lambda step: guard.check()),
        Calls(step=lambda step: stop.check()),
        Checkpoints(job),
    )


def _train(job: RunState, observers: Sequence[Observer], stop: StopSignals, screen: Screen) -> None:
    prepared = job.prepared
    assert job.tuned is not None
    config = plain(job.cfg)
    for observer in observers:
        observer.begin(job.folder, dict(config))

    def say(words: str) -> None:
        screen.epochs = prepared.epochs
        screen.say(words)

    # Where patience was at its end already, the run was ended before it could say so.
    if prepared.group is None:
        train(
            prepared,
            observers,
            has_patience=lambda: not job.has_no_patience,
            should_go_on=lambda: prepared.should_go_on,
            on_batch=stop.check,
            say=say,
        )
    else:
        from raspitrain.run.together import lead

        lead(job, observers, say)
    if job.has_no_patience:
        job.status = "stopped_early"
        job.reason = f"{job.cfg.patience} evaluations without a better validation accuracy"
