"""The process of one job: python -m raspitrain.sweep.job FOLDER

FOLDER holds the job's configuration in job.yaml, composed already, so that neither Hydra nor the
groups of conf/ are needed here. Everything that torch reads at import has been set by then, or, on
a board (--lease), is set here: what `auto` stands for is that board's own business.
"""

import argparse
import ctypes
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raspitrain.errors import CAN_PASS, InputError, TemporaryError, UnwrittenError, reason, remedy
from raspitrain.hardware.memory import is_out_of_memory, out_of_memory_error, quick_imports
from raspitrain.hardware.threads import thread_environment
from raspitrain.stop import leave, leave_at_once_on_signals
from raspitrain.sweep.lease import GAVE_UP, hold, keep
from raspitrain.sweep.process import OUT_OF_MEMORY, share_cores

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from raspitrain.distributed.launch import Launch

FILE, OVERRIDES = "job.yaml", "job_overrides.yaml"
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run one job of a sweep.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parent", type=int)
    parser.add_argument("--cores")
    parser.add_argument("--memory-limit-mb", type=float)
    parser.add_argument("--resume", action="store_true", help="resume from its checkpoint")
    parser.add_argument("--lease", type=float, help="on a board: silent seconds that end it")
    parser.add_argument("--owner", default="", help="whose job it is, for others on the board")
    parser.add_argument("--share", default="0/1", help="its place, or any, of so many on the board")
    parser.add_argument("--where", action="append", default=[], help="KEY=PATH on this machine")
    parser.add_argument("--rank", help="K/N, of a job that several boards train together")
    parser.add_argument("--meet", help="ADDRESS:PORT where its ranks do")
    parser.add_argument("--given", action="append", default=[], help="with --resume, KEY=VALUE")
    parser.add_argument("--again", default="[]", help="words that start all ranks again, as JSON")
    parser.add_argument("--why", default="", help="why it is resumed, for its log")
    args = parser.parse_args(arguments)

    leave_at_once_on_signals()  # until there is something to keep
    if args.parent is not None:
        end_with(args.parent)
    if args.cores is not None:
        os.sched_setaffinity(0, {int(core) for core in args.cores.split(",")})
    if args.memory_limit_mb is not None:
        limit_memory(args.memory_limit_mb)
    logging.lastResort = None  # every message goes to run.log

    try:
        where = dict(word.split("=", 1) for word in args.where)
        launch = None if args.rank is None else launch_of(args.rank, args.meet, args.again)
        if args.lease is not None:
            slot, _, of = args.share.partition("/")
            held = hold(args.folder, None if slot == "any" else int(slot), int(of), args.owner)
            keep(args.folder, args.lease, says=launch is not None and launch.rank == 0)
            if (cores := share_cores(int(of))[held]) is not None:
                os.sched_setaffinity(0, cores)
        settle = args.lease is not None or launch is not None
        cfg, overrides = configuration(args.folder, where, settle=settle)
        if launch is not None:
            return _run_rank(launch, args, cfg, overrides)
        return _run(args.folder, cfg, overrides, resume=args.resume)
    except KeyboardInterrupt as error:
        return getattr(error, "exit_code", 130)
    except UnwrittenError as error:
        return end_saying(error, error.exit_code)
    except Exception as error:
        if is_out_of_memory(error):
            if isinstance(error, InputError):
                return end_saying(error, OUT_OF_MEMORY)
            traceback.print_exc()
            return end_saying(out_of_memory_error(), OUT_OF_MEMORY)
        if isinstance(error, InputError):
            return end_saying(error, error.exit_code)
        if isinstance(error, OSError) and error.errno in CAN_PASS:
            path = error.filename or args.folder
            return end_saying(f"{path}: {reason(error)}; {remedy(error)}", TemporaryError.exit_code)
        raise


def end_saying(sentence: object, exit_code: int) -> int:
    """The last line of what it prints: the sweep takes it for the reason."""
    print(f"error: {sentence}", file=sys.stderr)
    return exit_code


def configuration(
    folder: Path, where: Mapping[str, str], *, settle: bool
) -> "tuple[DictConfig, list[str]]":
    """The job's configuration and the words that it was given with.

    Parameters
    ----------
    where : key → path of what it reads, on this machine
    settle : whether what torch reads at import is set here
    """
    from omegaconf import DictConfig, OmegaConf

    cfg = OmegaConf.load(folder / FILE)
    assert isinstance(cfg, DictConfig)
    for key, path in where.items():
        OmegaConf.update(cfg, key, path)
    overrides = [str(word) for word in OmegaConf.load(folder / OVERRIDES)]
    if settle:
        os.environ.update(environment_here(cfg, overrides))
    return cfg, overrides


def _run(folder: Path, cfg: "DictConfig", overrides: Sequence[str], *, resume: bool) -> int:
    with quick_imports(for_good=True):
        from raspitrain.run.resume import resume as resume_run
        from raspitrain.run.run import run
    if resume:
        resume_run(folder, [*trusted(cfg), *data_here(cfg)])
    else:
        run(cfg, folder, overrides=overrides)
    return 0


def launch_of(rank: str, meet: str, again: str) -> "Launch":
    """Which rank this is, of those that a coordinator starts (raspitrain/boards.py)."""
    from raspitrain.distributed.launch import Launch

    number, _, of = rank.partition("/")
    address, _, port = meet.rpartition(":")
    return Launch(
        int(number), int(of), None, address, int(port), ("python",),
        words=json.loads(again), is_followed=True,
    )  # fmt: skip


def _run_rank(
    launch: "Launch", args: argparse.Namespace, cfg: "DictConfig", overrides: Sequence[str]
) -> int:
    from raspitrain.distributed.group import LostRankError, join
    from raspitrain.distributed.launch import check_address

    try:
        check_address(launch, public=cfg.distributed.public_address)
        with quick_imports(for_good=True):
            group = join(launch, timeout_seconds=cfg.distributed.timeout_seconds)
            from raspitrain.run.resume import resume
            from raspitrain.run.run import run
        if args.resume:
            words = [*trusted(cfg), *data_here(cfg), *args.given]
            resume(args.folder, words, tell=print, group=group, why=args.why)
        else:
            run(cfg, args.folder, overrides=overrides, group=group)
    except LostRankError as error:
        return end_saying(error, GAVE_UP)
    return 0


def environment_here(cfg: "DictConfig", overrides: Sequence[str]) -> dict[str, str]:
    """What torch reads at import, for the cores that this process has."""
    from raspitrain.config.overrides import given_keys
    from raspitrain.config.profile import with_profile

    hardware = with_profile(cfg, given_keys(overrides))[0].hardware
    return thread_environment(hardware.num_threads, hardware.wait_policy, os.environ)


def data_here(cfg: "DictConfig") -> list[str]:
    """Where the data are on this machine, as an override: the job may have begun on another."""
    from omegaconf import OmegaConf

    keys = ("dataset.path", "dataset.annotations")
    given = {key: OmegaConf.select(cfg, key, default=None) for key in keys}
    return [f"{key}={json.dumps(path)}" for key, path in given.items() if isinstance(path, str)]


def trusted(cfg: "DictConfig") -> list[str]:
    """What the sweep's command allows and a checkpoint cannot allow itself, as overrides."""
    from omegaconf import OmegaConf

    from raspitrain.config.overrides import ALLOWING

    return [f"{key}={json.dumps(OmegaConf.select(cfg, key), default=list)}" for key in ALLOWING]


def limit_memory(megabytes: float) -> None:
    """Let this process have so many MB (10^6 bytes) of its own and no more.

    Its data, and not its address space: torch maps gigabytes that it never touches.
    """
    import resource

    most = int(megabytes * 1e6)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def end_with(parent: int) -> None:
    """Have the kernel end this process, as by a Ctrl-C, when the sweep's own is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it went before the kernel was told
            sys.exit(143)


if __name__ == "__main__":
    leave(main())
