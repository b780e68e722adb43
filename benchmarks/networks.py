"""What every network costs, and how well it learns small real sets: the table of docs/networks.md.

    python -m benchmarks.networks          # about an hour; leave the machine alone
    python -m benchmarks.networks --models resnet mobilenetv3_small --sets GunPoint --folds 3

Each network as its YAML stands. Parameters, multiply-adds of one case and milliseconds of a
training step (batch 50) are for signals of 3 × 224 and two classes; the steps take turns in one
process, and with them those of the same networks by torch alone (engine plain). Accuracy is that
of the default recipe on cases that were left out of training: each set's *training* part is parted
into folds, every class dealt out evenly, and each fold is left out once. Given are the mean over
all folds and seeds and the standard deviation between them (n - 1). The archive's test parts are
not touched.
"""

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.turns import (
    blog_job,
    compose,
    describe_machine,
    print_head,
    print_row,
    take_turns,
    training,
)
from raspitrain.cli.main import config_folder
from raspitrain.data.cases import Cases
from raspitrain.data.ucr import ucr
from raspitrain.run.loop import train_to_the_end
from raspitrain.run.prepare import prepare

# What is fitted in one step has no training steps to time: benchmarks/accuracy.py.
ONE_STEP = ("minirocket", "multirocket_hydra")
MODELS = sorted(
    path.stem for path in (config_folder() / "model").glob("*.yaml") if path.stem not in ONE_STEP
)
SETS = ("JapaneseVowels", "GunPoint")
NUM_CHANNELS, LENGTH, NUM_CLASSES, BATCH_SIZE = 3, 224, 2, 50
STEPS = 2  # a turn


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, metavar="NAME")
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--min-steps", type=int, default=150, help="of a training")
    parser.add_argument("--rounds", type=int, default=3, help="of the steps, the least")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the steps, about")
    parser.add_argument("--overrides", nargs="*", default=[], help="key=value of every run")
    args = parser.parse_args(arguments)

    print(f"{describe_machine()}, 1 thread\n")
    jobs = {
        (name, engine): blog_job(
            name,
            f"{'model' if name.startswith('mobilenetv3') else 'hardware'}.engine={engine}",
            num_cases=STEPS * BATCH_SIZE,
            batch_size=BATCH_SIZE,
            threads=1,
        )
        for name in args.models
        for engine in ("auto", "plain")
    }
    taken = take_turns(
        {" ".join(key): training(job, epochs=1) for key, job in jobs.items()},
        rounds=args.rounds,
        seconds=args.seconds,
    )
    costs = {
        name: (
            sum(p.numel() for p in jobs[name, "auto"].training.model.parameters()),
            multiply_adds(name),
            statistics.median(taken[f"{name} auto"]) / STEPS,
            statistics.median(taken[f"{name} plain"]) / STEPS,
        )
        for name in args.models
    }
    del jobs
    columns = ("parameters, k", "multiply-adds, M", "a step, ms", "by torch alone, ms")
    print_head("network", *columns, *args.sets)
    for name in sorted(args.models, key=lambda name: costs[name][2]):
        parameters, products, seconds, plain = costs[name]
        accuracies = [
            [
                accuracy(name, data, fold, args.folds, seed, args.min_steps, args.overrides)
                for fold in range(args.folds)
                for seed in args.seeds
            ]
            for data in args.sets
        ]
        print_row(
            f"`{name}`",
            f"{parameters / 1e3:.0f}",
            f"{products / 1e6:.1f}",
            f"{1e3 * seconds:.0f}",
            f"{1e3 * plain:.0f}",
            *map(mean_and_spread, accuracies),
        )
    return 0


def mean_and_spread(shares: Sequence[float]) -> str:
    """In per cent."""
    return f"{100 * statistics.mean(shares):.1f} ± {100 * statistics.stdev(shares):.1f}"


def multiply_adds(model: str) -> int:
    """Of the convolutions and linear layers for one case, forward."""
    from raspitrain.config.build import build

    cfg = compose(f"model={model}").model
    if "engine" in cfg:
        cfg.engine = "plain"  # whose operations torch sees
    network = build(
        "model", cfg, (), num_channels=NUM_CHANNELS, num_classes=NUM_CLASSES, length=LENGTH
    ).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.randn(1, NUM_CHANNELS, LENGTH))
    return counter.get_total_flops() // 2


def accuracy(
    model: str,
    data: str,
    fold: int,
    num_folds: int,
    seed: int,
    min_steps: int,
    overrides: Sequence[str],
) -> float:
    """Share of a fold's cases that are right after training on the others."""
    cfg = compose(
        f"model={model}",
        f"seed={seed}",
        f"min_steps={min_steps}",
        "hardware.num_threads=1",
        "allowed_targets=[benchmarks.networks.training_fold]",
        *overrides,
    )
    fold_of_set = {"name": data, "fold": fold, "num_folds": num_folds}
    cfg.dataset = {"_target_": "benchmarks.networks.training_fold", **fold_of_set}
    job = prepare(cfg)
    last = train_to_the_end(job, cfg)
    return float(last.row["test_accuracy"])


def training_fold(*, name: str, fold: int, num_folds: int) -> Cases:
    """The training part of a carried set; one fold of it takes the place of the test part."""
    cases = ucr(name=name, path=None, unequal="resample", length=None, missing="interpolate")
    assert cases.part is not None, "a carried set has a split of its own"
    inside = np.flatnonzero(cases.part == 0)
    labels = cases.labels[inside]
    part = np.empty(len(labels), dtype=np.int8)
    dealt = 0
    for k in range(len(cases.class_names)):
        members = np.random.default_rng(k).permutation(np.flatnonzero(labels == k))
        part[members] = np.where((dealt + np.arange(len(members))) % num_folds == fold, 2, 0)
        dealt += len(members)
    return replace(cases, signals=cases.signals[inside], labels=labels, part=part)


if __name__ == "__main__":
    raise SystemExit(main())
