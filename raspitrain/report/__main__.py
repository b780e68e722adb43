"""python -m raspitrain.report FOLDER: what a sweep or a run came to, once more."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from raspitrain.errors import InputError
from raspitrain.report.run import is_run, report_run
from raspitrain.report.sweep import report_sweep, shown_path
from raspitrain.report.terminal import print_sweep
from raspitrain.stop import exit_code_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Report on a folder; return the exit code: 0, 2 for a mistake, 74 where writing failed."""
    parser = argparse.ArgumentParser(
        prog="python -m raspitrain.report",
        description="Write report.html into the folder of a sweep or a run; for a sweep also "
        "sweep.csv, sweep.json, its pictures and its best settings, and print its table.",
    )
    parser.add_argument("folder", type=Path, help="of a sweep (with jobs.json) or of a run")
    folder = parser.parse_args(arguments).folder
    return exit_code_of(lambda: _report(folder), writes=folder, lost="the report is not written")


def _report(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give that of a sweep or of a run")
    if (folder / "jobs.json").exists():
        print_sweep(report_sweep(folder))
    elif is_run(folder):
        print(shown_path(report_run(folder)))
    else:
        raise InputError(f"{folder} holds neither a sweep (jobs.json) nor a run (summary.json)")


if __name__ == "__main__":
    sys.exit(main())
