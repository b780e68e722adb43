"""What int8 changes: four sets × three seeds, trained with the defaults, fp32 beside int8.

    python -m benchmarks.int8                  # ten minutes
    python -m benchmarks.int8 --sets GunPoint --seeds 0

Each model is trained on the set's own training part and answers its test part twice, with the
engine of model.rpt in fp32 and in int8, whose activations are scaled window by window. Agreement is
the share of windows with the same class; the error is the root mean square of the logits'
difference over that of the logits. Nothing is chosen here.
"""

import argparse
import contextlib
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.turns import compose, describe_machine, print_head, print_row

SETS = ("BasicMotions", "GunPoint", "ItalyPowerDemand", "JapaneseVowels")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=SETS, metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--model", default="mobilenetv3_small")
    parser.add_argument("--epochs", default="auto", help="fewer for a try")
    args = parser.parse_args(arguments)
    print(f"{describe_machine()}\n")
    print_head("set", "seed", "windows", "fp32, %", "int8, %", "agree, %", "logit error, %")
    agreed, errors, lost = [], [], []
    for name in args.sets:
        for seed in args.seeds:
            windows, fp32, int8, agreement, error = tried(args.model, name, seed, args.epochs)
            agreed.append(agreement)
            errors.append(error)
            lost.append(fp32 - int8)
            shares = (f"{100 * value:.2f}" for value in (fp32, int8, agreement, error))
            print_row(name, seed, windows, *shares)
    print(
        f"\nint8 loses {100 * statistics.mean(lost):.2f} points in the mean, agrees in "
        f"{100 * statistics.mean(agreed):.2f} % (least {100 * min(agreed):.2f}), logit error "
        f"{100 * statistics.mean(errors):.2f} % (most {100 * max(errors):.2f})"
    )
    return 0


def tried(model: str, name: str, seed: int, epochs: str) -> tuple[int, float, float, float, float]:
    """Windows, accuracy in fp32 and int8, agreement and relative error of the logits."""
    from raspitrain.export.compare import compare
    from raspitrain.export.own_data import own_windows
    from raspitrain.export.trained import trained_from
    from raspitrain.run.run import run
    from raspitrain.run.stored import StoredRun

    words = (
        "dataset=ucr", f"dataset.name={name}", "dataset.unequal=pad", "dataset.missing=interpolate",
        f"model={model}", f"seed={seed}", f"epochs={epochs}", "export=none",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        with contextlib.redirect_stdout(sys.stderr):  # the table alone is the answer
            run(compose(*words), folder)
        trained = trained_from(StoredRun.of_checkpoint(folder / "best.pt"))
        found = own_windows(trained)
    figures = compare(trained, found.signals, found.labels, part=found.part).figures
    fp32, int8 = figures["fp32"], figures["int8"]
    assert fp32.accuracy is not None
    assert int8.accuracy is not None
    return len(found.signals), fp32.accuracy, int8.accuracy, int8.agreement, int8.logit_error


if __name__ == "__main__":
    raise SystemExit(main())
