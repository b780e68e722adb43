"""python -m raspitrain.export RUN: a run's best model as a file that is used without torch."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from raspitrain.errors import InputError, printable
from raspitrain.export.formats import FORMATS
from raspitrain.results.files import BEST
from raspitrain.stop import exit_code_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Export; return the exit code: 0, 2 for a mistake, 74 where writing failed."""
    parser = argparse.ArgumentParser(
        prog="raspitrain export",
        description="Write the best model of a run as model.rpt, which raspitrain.use and "
        "raspitrain predict run without torch; try int8 beside fp32 on the run's own data.",
    )
    parser.add_argument("run", type=Path, help="folder of a run, or a checkpoint (best.pt)")
    parser.add_argument(
        "--precision",
        choices=("auto", "fp32", "int8"),
        default="auto",
        help="auto (default): int8, unless it loses more than half a point of accuracy",
    )
    parser.add_argument(
        "--format",
        choices=tuple(FORMATS),
        default="raspitrain",
        help="; ".join(f"{name}: {form.help}" for name, form in FORMATS.items()),
    )
    parser.add_argument(
        "--output", type=Path, help="the file; default: in the run's folder, by its format"
    )
    parser.add_argument(
        "--allowed-targets",
        nargs="+",
        default=(),
        metavar="NAME",
        help="code of your own that the run's network may call",
    )
    given = parser.parse_args(arguments)
    return exit_code_of(
        lambda: _export(
            given.run, given.precision, given.format, given.output, given.allowed_targets
        ),
        writes=given.output or given.run,
        lost="the model is not written",
    )


def _export(
    run: Path, precision: str, form: str, output: Path | None, allowed: Sequence[str]
) -> None:
    from raspitrain.hardware.memory import quick_imports

    with quick_imports(for_good=True):
        from raspitrain.export.compare import compare
        from raspitrain.export.export import as_table, check_wanted, export
        from raspitrain.export.own_data import own_windows
        from raspitrain.export.trained import trained_from
        from raspitrain.run.stored import StoredRun

    checkpoint = run / BEST if run.is_dir() else run
    if run.is_dir() and not checkpoint.exists():
        raise InputError(
            f"{run} holds no {BEST}: give the folder of a run that has ended, or of one that was "
            "stopped behind an evaluation; python -m raspitrain resume=FOLDER goes on with one."
        )
    stored = StoredRun.of_checkpoint(checkpoint, allowed_targets=allowed)
    write_any = FORMATS[form].write_any
    if write_any is not None:
        path = _path(run, form, output)
        if precision == "int8":
            raise InputError(f"--format {form} is fp32: leave out --precision int8.")
        apart = write_any(path, stored)
        size = path.stat().st_size / 1e6
        print(f"{path}: fp32, within {apart:.1g} of torch's probabilities, {size:.2f} MB")
        return
    trained = trained_from(stored)
    path = _path(run, form, output)
    check_wanted(trained, precision, form)
    try:
        windows = own_windows(trained)
    except InputError as error:
        print(f"The run's data cannot be read, so {_untried(precision)}: {printable(str(error))}")
        comparison = None
    else:
        comparison = compare(trained, windows.signals, windows.labels, part=windows.part)
        print(f"{comparison.num_windows} windows of the {windows.part} part:")
        print(as_table(comparison))
    written = export(trained, comparison, precision=precision, path=path, form=form)
    print(f"{path}: {written.precision} ({written.why}), {path.stat().st_size / 1e6:.2f} MB")
    if written.thresholds:
        print(f"{path}: {written.thresholds}")


def _untried(precision: str) -> str:
    if precision == "auto":
        return "int8 is not tried"
    return f"{precision} is written as asked for, without being compared with torch"


def _path(run: Path, form: str, output: Path | None) -> Path:
    """Where the file goes."""
    name = FORMATS[form].file
    path = output or (run if run.is_dir() else run.parent) / name
    if path.is_dir():
        path = path / name
    if form != "raspitrain" and path.suffix != (suffix := Path(name).suffix):
        raise InputError(
            f"--output is {path}, but --format {form} needs a name that ends with {suffix}."
        )
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} to write {path.name} into.")
    for file in (path, path.with_suffix(".h")) if form == "c" else (path,):
        _check_may_replace(file, FORMATS[form].begins)
    return path


def _check_may_replace(path: Path, begins: bytes) -> None:
    """A model written before may be replaced, and no recording, checkpoint or program."""
    if path.is_file():
        with path.open("rb") as file:
            content = file.read(len(begins))
        if content and content != begins:
            raise InputError(f"{path} is there, and is no model of this format: give another name.")


if __name__ == "__main__":
    sys.exit(main())
