"""The process of one job: python -m raspitrain.sweep.job FOLDER

FOLDER holds the job's configuration in job.yaml, composed already, so that neither Hydra nor the
groups of conf/ are needed here. Everything that torch reads at import has been set by then.
"""

import argparse
import ctypes
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from raspitrain.errors import UNWRITTEN, InputError, UnwrittenError
from raspitrain.stop import leave_at_once_on_signals
from raspitrain.sweep.process import NO_MEMORY, OUT_OF_MEMORY

FILE, OVERRIDES = "job.yaml", "overrides.yaml"
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run one job of a sweep.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parent", type=int)
    parser.add_argument("--cores")
    parser.add_argument("--memory-limit-mb", type=float)
    parser.add_argument("--resume", action="store_true", help="go on from its checkpoint")
    args = parser.parse_args(arguments)

    leave_at_once_on_signals()  # until there is something to keep
    if args.parent is not None:
        _end_with(args.parent)
    if args.cores is not None:
        os.sched_setaffinity(0, {int(core) for core in args.cores.split(",")})
    if args.memory_limit_mb is not None:
        limit_memory(args.memory_limit_mb)
    logging.lastResort = None  # every message goes to run.log

    try:
        return _run(args.folder, resume=args.resume)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except UnwrittenError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNWRITTEN
    except KeyboardInterrupt as error:
        return getattr(error, "exit_code", 130)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not NO_MEMORY.search(str(error)):
            raise
        traceback.print_exc()
        asked = re.search(r"allocate (\d+) bytes", str(error))
        what = f"{int(asked[1]) / 1e6:,.0f} MB more" if asked else "more memory"
        limit = args.memory_limit_mb
        within = "" if limit is None else f" within launcher.memory_limit_mb={limit:g}"
        print(f"error: {what} could not be had{within}", file=sys.stderr)
        return OUT_OF_MEMORY


def _run(folder: Path, *, resume: bool) -> int:
    if resume:
        from raspitrain.resume import resume as go_on

        go_on(folder)
        return 0

    from omegaconf import DictConfig, OmegaConf

    from raspitrain.task import perform

    cfg = OmegaConf.load(folder / FILE)
    assert isinstance(cfg, DictConfig)
    perform(cfg, folder, [str(word) for word in OmegaConf.load(folder / OVERRIDES)])
    return 0


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


def _end_with(parent: int) -> None:
    """Have the kernel end this process, as by a Ctrl-C, when the sweep's own is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it went before the kernel was told
            sys.exit(143)


if __name__ == "__main__":
    sys.exit(main())
