"""What a setting is worth, on folds of training parts alone: how defaults are chosen.

    python -m benchmarks.folds augment.jitter=0.03 augment.jitter=0.0
    python -m benchmarks.folds "" model=minirocket --sets GunPoint ACSF1 --folds 3 --repeats 1

Each argument is a setting, words apart by blanks. The archive's test parts are never read: of each
set's training part one fold in turn is tested on, with the others trained on, so that every case is
answered once a repeat. One thread; seconds are processor time of training.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.turns import compose, describe_machine, print_head, print_row
from raspitrain.data.cases import Cases
from raspitrain.data.folds import fold_of_cases
from raspitrain.data.ucr import ucr

SETS = ("ArrowHead", "GunPoint", "ItalyPowerDemand", "JapaneseVowels", "OSULeaf", "ACSF1")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("settings", nargs="+", metavar="SETTING")
    parser.add_argument("--sets", nargs="+", metavar="NAME", default=SETS)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument(
        "--gain", type=float, default=1.0,
        help="multiply each case by a factor drawn from as wide a range as this, on a log scale",
    )  # fmt: skip
    args = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # aeon's, of numba
    torch.set_num_threads(1)
    print(f"{describe_machine()}, 1 thread; {args.folds} folds, {args.repeats} times\n")
    print_head("set", "setting", "accuracy, %", "on training cases, %", "steps", "s")
    for name in args.sets:
        cases = ucr(name=name, path=None, unequal="pad", length=None, missing="interpolate")
        if args.gain != 1:
            cases = replace(cases, signals=with_gains(cases, args.gain))
        for setting in args.settings:
            figures = [
                over_folds(cases, setting.split(), args.folds, seed) for seed in range(args.repeats)
            ]
            accuracy, trained, steps, seconds = (
                sum(column) / len(figures) for column in zip(*figures, strict=True)
            )
            print_row(
                name, f"`{setting or 'as it is'}`", f"{100 * accuracy:.1f}", f"{100 * trained:.1f}",
                f"{steps:.0f}", f"{seconds:.1f}",
            )  # fmt: skip
    return 0


def over_folds(
    cases: Cases, words: Sequence[str], num_folds: int, seed: int
) -> tuple[float, float, float, float]:
    """Share of the training part that was answered rightly, accuracy on the cases trained on, steps
    and seconds of a fold's training."""
    from raspitrain.run.loop import train_to_the_end
    from raspitrain.run.prepare import prepare

    assert cases.part is not None, "a carried set has a split of its own"
    train = cases.part == 0
    signals, labels = cases.signals[train], cases.labels[train]
    rng = np.random.default_rng(seed)
    fold_of = fold_of_cases(cases, num_folds, predefined=True, stratify=True, rng=rng)[train]
    correct, trained, steps, seconds = 0.0, 0.0, 0, 0.0
    for fold in range(num_folds):
        part = np.where(fold_of == fold, 2, 0)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "cases.npz")
            np.savez(path, data=signals, label=labels, part=part)
            cfg = compose(
                "dataset=npz", f"dataset.path={path}", "dataset.part=part",
                "dataset.channels=first", f"seed={seed}", "hardware.num_threads=1", *words,
            )  # fmt: skip
            job = prepare(cfg)
        began = time.process_time()
        last = train_to_the_end(job, cfg)
        seconds += time.process_time() - began
        correct += last.row["test_accuracy"] * int((part == 2).sum())
        trained += last.row["train_accuracy"]
        steps += job.training.position.step
    return correct / len(labels), trained / num_folds, steps / num_folds, seconds / num_folds


def with_gains(cases: Cases, widest: float) -> np.ndarray:
    """Signals as sensors of other gains would have them."""
    signals = cases.signals[np.arange(len(cases.labels))]
    powers = np.random.default_rng(0).uniform(-0.5, 0.5, (len(signals), 1, 1))
    return (signals * widest**powers).astype(np.float32)


if __name__ == "__main__":
    raise SystemExit(main())
