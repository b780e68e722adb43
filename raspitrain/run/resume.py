"""Resuming a run where its last checkpoint stands, bit for bit.

summary = resume("outputs/2026-11-23/06-24-26-123456")
summary = resume(folder, ["epochs=200"])

The configuration is the run's own, from its checkpoint; config.yaml in the folder is for people.
"""

import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from raspitrain.config.overrides import given_keys, read_override
from raspitrain.config.profile import foreign_program, profile_values
from raspitrain.config.rules import check, is_harmless, leaves
from raspitrain.errors import InputError
from raspitrain.nearest import did_you_mean
from raspitrain.paths import absolute
from raspitrain.results.configuration import plain
from raspitrain.results.files import BEST, COMPLETE, CONFUSION, DATA, LAST
from raspitrain.run.stored import StoredRun, check_holds_run, holds_run, unfit

if TYPE_CHECKING:
    from raspitrain.distributed.group import Group
    from raspitrain.run.state import RunState
    from raspitrain.stop import StopSignals

log = logging.getLogger("raspitrain")


def resume(
    folder: str | Path,
    overrides: Sequence[str] = (),
    *,
    tell: Callable[[str], None] = log.info,
    show: bool = True,
    group: "Group | None" = None,
    why: str = "",
) -> dict[str, Any]:
    """Resume the run in `folder`; a run that is complete already is left as it is.

    Parameters
    ----------
    overrides : "key=value" for what may change: epochs (to train for longer), hardware, patience,
        how often checkpoints come; allowed_targets, where the run uses code of the user's own
    tell : takes a sentence about a run that is complete already
    show, group : as for `raspitrain.run.run.run`
    why : what has happened, for the log and the summary

    Returns
    -------
    dict
        What summary.json holds.

    Raises
    ------
    InputError
        There is no run, no usable checkpoint, other data than before, or an override that would
        change the run's mathematics.
    Stopped, UnwrittenError
        As `raspitrain.run.run.run`.
    """
    from raspitrain.config.own_code import own_faults_told
    from raspitrain.hardware.threads import hardware_as_it_was
    from raspitrain.results.atomic import sweep_partial
    from raspitrain.results.folder import claim_to_resume, release_claim
    from raspitrain.run.run import carry_on
    from raspitrain.stop import StopSignals

    started = time.perf_counter()
    if group is not None and not group.is_first:
        return _resume_along(group, overrides, started)
    folder = absolute(folder)
    if folder.is_file() and holds_run(folder.parent):
        raise InputError(f"resume takes a run's folder, not a file in it: resume={folder.parent}")
    check_holds_run(folder)  # before it is claimed
    with hardware_as_it_was(), StopSignals() as stop:
        claim_to_resume(folder)
        try:
            sweep_partial(folder)
            stored = StoredRun.open(folder, which="last")
            cfg, changed = _changed_config(stored.config, overrides, folder)
            summary = _complete(folder, stored.state, cfg, changed)
            if group is not None:
                group.bytes_of_first(b"" if summary else stored.path.read_bytes())
            if summary is not None:
                tell(_nothing_to_do(folder, summary))
                return summary
            with own_faults_told(cfg):
                job = _restored(stored, cfg, changed, started, stop, group)
            job.notes[:0] = [stored.note] if stored.note else []
            if why:
                job.notes.append(why)
                job.resumed[-1]["why"] = why
            with stop.deferred():
                return carry_on(job, stop, show=show)
        finally:
            release_claim(folder)


def _resume_along(group: "Group", overrides: Sequence[str], started: float) -> dict[str, Any]:
    """Resume the run whose folder rank 0 has, from the checkpoint that it sends."""
    from raspitrain.hardware.threads import hardware_as_it_was
    from raspitrain.run.prepare import tune_prepared
    from raspitrain.run.together import follow
    from raspitrain.stop import StopSignals

    with (
        tempfile.TemporaryDirectory(prefix="raspitrain-") as name,
        hardware_as_it_was(),
        StopSignals() as stop,
    ):
        content = group.bytes_of_first()
        if not content:  # the run is complete
            return {}
        folder = Path(name)
        (folder / LAST).write_bytes(content)
        stored = StoredRun.open(folder, which="last")
        cfg, changed = _changed_config(stored.config, overrides, folder)
        job = _restored(stored, cfg, changed, started, stop, group)
        tune_prepared(job.prepared, job.cfg, job.before)
        return follow(job.prepared, job.cfg, stop)


def _changed_config(
    stored: DictConfig, overrides: Sequence[str], folder: Path
) -> tuple[DictConfig, dict[str, Any]]:
    """The run's configuration with what is given anew, and what of that is another value."""
    cfg = stored.copy()
    own = [str(name) for name in stored.get("allowed_targets") or ()]
    OmegaConf.update(cfg, "allowed_targets", [])
    known = dict(leaves(plain(stored)))
    changed = {}
    for key, value in map(read_override, overrides):
        old = OmegaConf.select(stored, key, default=None)
        if key not in known:
            if key in stored:  # a group
                raise _another_run(f"{key}={value}", "its own")
            hint = did_you_mean(key, sorted(known)) or "."
            raise InputError(f"{key} is not a key of the run in {folder}{hint}")
        OmegaConf.update(cfg, key, value)
        if value == old:
            continue
        if not is_harmless(key):
            raise _another_run(f"{key}={value}", f"{key}={old}")
        changed[key] = value
    check(plain(cfg))
    if own and not cfg.allowed_targets:
        # What a checkpoint allows itself counts for nothing: it may come from a stranger.
        raise InputError(
            f"the run in {folder} uses code of its own ({', '.join(own)}): if you trust it, add "
            f"'allowed_targets=[{','.join(own)}]' to the command."
        )
    _refuse_foreign_command(cfg, overrides, folder)
    if changed.get("allowed_targets") == own:
        del changed["allowed_targets"]
    return cfg, changed


def _refuse_foreign_command(cfg: DictConfig, overrides: Sequence[str], folder: Path) -> None:
    """InputError if the checkpoint names a program to run that nobody here has named."""
    key, command = "hardware.readings.vcgencmd", foreign_program(cfg)
    if command is not None and key not in given_keys(overrides):
        ours = profile_values("auto")["readings.vcgencmd"]
        raise InputError(
            f"the run in {folder} starts a program of its own ({command}) to read the board: if "
            f"you trust it, add {key}={command} to the command, else {key}={ours}."
        )


def _another_run(typed: str, own: str) -> InputError:
    return InputError(
        f"{typed} would make it another run, as this one has {own}: leave it out, or start a new "
        "run with it."
    )


def _complete(
    folder: Path, state: Mapping[str, Any], cfg: DictConfig, changed: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The summary of a run that has nothing left to do; None if there is something."""
    if not (folder / "summary.json").is_file():
        return None
    try:
        summary = json.loads((folder / "summary.json").read_bytes())
        status = summary["status"]
        told = [DATA] if summary.get("data") else []
        drawn = [CONFUSION] if summary.get("confusion_matrix") else []  # before 0.2
        told += map(str, summary.get("files", drawn))
        results = (folder / name for name in (*COMPLETE, *told))
        if summary.get("unwritten") or not all(path.exists() for path in results):
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    try:
        run, epochs_done = state["run"], state["epoch"]
        epochs = _epochs(run["epochs"], changed.get("epochs"))
        if status == "stopped_early" and cfg.patience is not None:
            done = run["evaluations_since_best"] >= cfg.patience
        else:
            done = status == "completed" and epochs_done >= epochs
        # The summary may be of an earlier end, before the run went on longer.
        done = done and summary.get("steps") == state["step"]
    except InputError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise unfit(folder / "last.pt") from error
    return summary if done else None


def _nothing_to_do(folder: Path, summary: Mapping[str, Any]) -> str:
    if summary["status"] == "stopped_early":
        return f"{folder}: the run has stopped early and is complete; patience=N resumes it"
    epochs = int(summary.get("epochs") or 0)
    done = f"all {epochs} epochs of it" if epochs != 1 else "its one epoch"
    return f"{folder}: the run is complete, {done}; epochs=N trains for longer"


def _restored(
    stored: StoredRun,
    cfg: DictConfig,
    changed: dict[str, Any],
    started: float,
    stop: "StopSignals",
    group: "Group | None",
) -> "RunState":
    """Build the run anew and put it to where it was."""
    from raspitrain.config.profile import with_profile
    from raspitrain.results.configuration import write_config
    from raspitrain.run.outcome import attempt
    from raspitrain.run.prepare import prepare
    from raspitrain.run.state import make_job
    from raspitrain.run.strength import keep_strength

    folder, state = stored.path.parent, stored.state
    moved = "dataset.path" in changed
    try:
        run, training = state["run"], dict(state["training"], model=state["model"])
        ranks = run.get("ranks")
        others = _are_others(ranks, group, cfg)
        epochs = _epochs(run["epochs"], changed.get("epochs"))
        built = cfg.copy()
        # What was settled when the run began, by the machine or by the size of the data.
        built.eval_every, built.batch_size = run["eval_every"], run["batch_size"]
        kind = state["normalise"]["kind"] if "normalise" in state else "channel"
        OmegaConf.update(built, "dataset.normalise", kind, force_add=True)
        if built.model.get("engine") == "auto" and run["made_by"]["engine"] is not None:
            built.model.engine = run["made_by"]["engine"]
        # A run of before there were compiled kernels for its network says None.
        general = "native" if run["made_by"]["engine"] == "native" else "plain"
        OmegaConf.update(built, "hardware.engine", general, force_add=True)
        if "hardware.num_threads" not in changed and run["tuned"] is not None and not others:
            built.hardware.num_threads = _num_threads(run, group)
        given = {key: built.dataset[key] for key in ("path", "annotations")
                 if f"dataset.{key}" in changed}  # fmt: skip
        here = stored.dataset_here(built.dataset) | given  # what is given now counts from here
        OmegaConf.update(built, "dataset", here)
        annotations = here.get("annotations")
        if given and isinstance(annotations, str) and os.path.isfile(annotations):
            cfg.dataset.annotations = str(absolute(annotations))  # whatever the path counts from
        check(plain(built) | {"epochs": epochs})
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OmegaConfBaseException) as error:
        raise unfit(stored.path) from error
    built, profile = with_profile(built)
    kept = None if built.init is None else stored.normalisation
    prepared = prepare(
        built, schedule_epochs=run["schedule_epochs"], normalisation=kept, group=group,
        num_shares=None if ranks is None else ranks.get("begun_with", ranks["num_ranks"]),
    )  # fmt: skip
    prepared.init = run.get("init")
    prepared.epochs = epochs  # of auto, with the cycles that it has come to
    if prepared.training.in_one_step and epochs > run["epochs"]:
        raise InputError(
            f"epochs={epochs} has no effect on this run: its model is fitted in one step."
        )
    stop.check()
    job = make_job(prepared, cfg, profile, folder, started)
    _compare_data(job, state)
    if not moved:
        job.data_from = str(state.get("data_from") or job.data_from)
    try:
        if ranks is not None and not others:
            from raspitrain.run.together import restore_plan

            restore_plan(prepared, ranks)
            job.ranks = ranks
        if (chosen := run.get("augmentation")) is not None:
            keep_strength(prepared, built, chosen)
        prepared.training.restore(training)
        job.table.restore(run["table"])
        _restore_progress(job, state)
        not_exact = _differences(job, run["made_by"], changed)
        if others:
            not_exact.append(_share_anew(job, built, ranks))
        else:
            job.before = _tuned_before(run, changed, group)
        if epochs > run["epochs"]:
            _say_longer(job, run["epochs"])
        job.resumed = [
            *run["resumed"],
            {
                "at": datetime.now().astimezone().isoformat(timespec="seconds"),
                "epoch": state["epoch"],
                "step": state["step"],
                "checkpoint": stored.path.name,
                "overrides": [f"{key}={value}" for key, value in changed.items()],
                "not_exact": not_exact,
            },
        ]
    except InputError:
        raise
    except Exception as error:  # a state that does not fit fails in torch's many ways
        raise unfit(stored.path) from error
    if not_exact:
        job.notes.append(f"resumed, but not bit for bit: {'; '.join(not_exact)}")
    if changed or not (folder / "config.yaml").exists():
        attempt(job.unwritten, "config.yaml", lambda: write_config(folder, job.cfg))
    return job


def _epochs(before: int, given: Any) -> int:
    if given is None:
        return before
    if given == "auto" or given < before:
        raise InputError(
            f"epochs={given} would make it another run: this one has {before} epochs, and can "
            "only be trained for more."
        )
    return int(given)


def _are_others(ranks: Mapping[str, Any] | None, group: "Group | None", cfg: DictConfig) -> bool:
    """Whether a run is resumed by other boards than its checkpoint is of; InputError where their
    number is another and they may not be."""
    before = 1 if ranks is None else int(ranks["num_ranks"])
    here = 1 if group is None else group.num_ranks
    if ranks is not None and group is not None and cfg.distributed.any_number:
        from raspitrain.run.together import is_another

        return is_another(ranks, group)
    if before != here:
        raise InputError(
            f"the run is trained by {before} process{'es' if before > 1 else ''}, and {here} "
            f"{'were' if here > 1 else 'was'} started to resume it: start as many, allow another "
            "number with distributed.any_number=true, or begin a new run from its weights with "
            "init=FOLDER."
        )
    return False


def _share_anew(job: "RunState", cfg: DictConfig, before: Mapping[str, Any]) -> str:
    """Have these boards share what others did; how that differs, in words."""
    from raspitrain.run.together import share_anew

    begun = share_anew(job.prepared, cfg, before)
    job.before, job.ranks = begun.tuned, begun.ranks
    job.notes += begun.warnings
    hosts = job.ranks["hosts"]
    return (
        f"{len(hosts)} of {job.ranks['begun_with']} boards ({', '.join(hosts)}) after "
        f"{before['num_ranks']} ({', '.join(map(str, before['hosts']))}): shares are new, and the "
        "batch of all together is as before"
    )


def _num_threads(run: Mapping[str, Any], group: "Group | None") -> int:
    """That this rank has trained with."""
    if group is not None:
        return int(run["ranks"]["threads"][group.rank])
    return int(run["tuned"]["threads"]["num_threads"])


def _tuned_before(
    run: Mapping[str, Any], changed: Mapping[str, Any], group: "Group | None"
) -> dict[str, Any] | None:
    tuned = run["tuned"]
    if tuned is None:
        return None
    if "hardware.num_threads" in changed:
        return dict(tuned, threads=None)
    return dict(tuned, threads=dict(tuned["threads"], num_threads=_num_threads(run, group)))


def _compare_data(job: "RunState", state: Mapping[str, Any]) -> None:
    """InputError where the data are not those of the checkpoint."""
    import numpy as np

    here = job.prepared.normalisation
    try:
        same = job.data == state["run"]["data"]
        # These two come from every training case.
        for name, now in (("mean", here.mean), ("std", here.std)):
            same = same and np.allclose(state[name].numpy(), now, rtol=1e-5, atol=1e-7)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise unfit(job.folder / "last.pt") from error
    if not same:
        raise InputError(
            f"the data are not those that the run in {job.folder} was trained on (dataset): put "
            "them back, or start a new run."
        )


def _restore_progress(job: "RunState", state: Mapping[str, Any]) -> None:
    from raspitrain.results.checkpoint import load_checkpoint
    from raspitrain.run.state import restore_confusion
    from raspitrain.training.training import Evaluation

    run = state["run"]
    job.evaluations_since_best = run["evaluations_since_best"]
    job.seconds_before, job.peak_before = float(run["seconds"]), float(run["peak_memory_mb"])
    kept = run["best"]
    if kept is None:
        return
    job.best = Evaluation(
        dict(kept["row"]),
        restore_confusion(kept["validation_confusion"]),
        restore_confusion(kept["test_confusion"]),
    )
    job.best_weights = run["best_model"]
    if job.best_weights == "model":
        job.best_weights = {name: tensor.clone() for name, tensor in state["model"].items()}
    elif job.best_weights is None:
        try:
            best = load_checkpoint(job.folder / BEST)
            if best["step"] == job.best.row["step"]:
                job.best_weights, job.keeper.best_step = best["model"], best["step"]
        except (InputError, KeyError) as error:
            job.notes.append(f"no weights of the best model until the next evaluation: {error}")


def _differences(job: "RunState", made_by: dict[str, Any], changed: Mapping[str, Any]) -> list[str]:
    """Why what follows may differ in the last bits from the run left alone."""
    from raspitrain.run.arithmetic import differences

    reasons = differences(made_by, job.made_by)
    job.made_by = made_by if not reasons else job.made_by
    reasons += [
        f"{key}={value}"
        for key, value in changed.items()
        if key in ("hardware.num_threads", "hardware.adapt_threads")
    ]
    return reasons


def _say_longer(job: "RunState", before: int) -> None:
    """What becomes of a schedule that was made for fewer epochs."""
    schedule, optimizer = job.prepared.training.schedule, job.prepared.training.optimizer
    from torch.optim.lr_scheduler import LambdaLR

    if not isinstance(schedule, LambdaLR):
        if "total_steps" in vars(schedule):
            raise InputError(
                f"schedule ({job.cfg.schedule._target_}) ends with the run's {before} epochs: "
                f"epochs={job.prepared.epochs} takes a new run."
            )
        return
    end = job.prepared.schedule_epochs * job.prepared.training.steps_per_epoch
    factor = schedule.lr_lambdas[0](end)
    if factor != 1:
        rate = factor * optimizer.param_groups[0]["initial_lr"]
        job.notes.append(
            f"epochs={job.prepared.epochs}: the schedule was made for "
            f"{job.prepared.schedule_epochs} and is not stretched; beyond them the rate stays at "
            f"its end, {rate:.3g}"
        )
