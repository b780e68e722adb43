"""How long until 95 % of BasicMotions' test cases are right: our recipe, and the plain loop.

    python -m benchmarks.time_to_accuracy          # about three minutes; leave the machine alone
    python -m benchmarks.time_to_accuracy --contenders ours large_sgd large_adam --cap 120

Ours is `experiment=basic_motions` as it stands. The plain loop (benchmarks/plain.py) trains the
blog's network on the same normalised signals in the same batches of 16, once with the blog's SGD
(learning rate 0.001, momentum 0.9) and once with Adam (0.001): the small one, which is the faster,
and the large one if asked for. Everyone looks at the test part after each epoch and stops at the
first that reaches the goal. Training seconds leave these looks out, wall seconds count them; data
are read and everyone is warmed up before. The contenders follow one another for each seed.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.plain import plain_network, train_step
from benchmarks.turns import compose, describe_machine, print_head, print_row
from raspitrain.run.prepare import Prepared, prepare

LR, MOMENTUM = 0.001, 0.9  # the blog's


class Look(NamedTuple):
    """What an epoch's end shows."""

    epoch: int
    training_seconds: float
    accuracy: float


class Result(NamedTuple):
    """Of one run; the seconds and epochs to the goal are infinite where it was not reached."""

    training_seconds: float
    wall_seconds: float
    epochs: float
    best: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=DEFAULT)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--goal", type=float, default=0.95)
    parser.add_argument("--cap", type=float, default=30.0, help="seconds after which one gives up")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(arguments)

    print(f"{describe_machine()}; {args.threads} threads\n")
    results: dict[str, list[Result]] = {name: [] for name in args.contenders}
    for seed in args.seeds:
        for name in args.contenders:
            if not results[name]:
                reach(name, seed, args.threads, goal=2.0, cap=0.5)
            results[name].append(reach(name, seed, args.threads, goal=args.goal, cap=args.cap))
    base = args.contenders[0]
    print_head(
        "", "reached it", "training, s", "wall, s", "epochs", "best accuracy", f"training / {base}"
    )
    first = median_of(results[base], "training_seconds")
    for name, runs in results.items():
        reached = sum(run.best >= args.goal for run in runs)
        training = median_of(runs, "training_seconds")
        print_row(
            CONTENDERS[name][0],
            f"{reached} of {len(runs)}",
            figure(training, ".2f"),
            figure(median_of(runs, "wall_seconds"), ".2f"),
            figure(median_of(runs, "epochs"), ".0f"),
            f"{100 * median_of(runs, 'best'):.0f} %",
            ratio(training, first, args.cap),
        )
    print(
        f"\nMedians over the seeds {', '.join(map(str, args.seeds))}; the goal is "
        f"{100 * args.goal:g} %, and {args.cap:g} s are the most that a run gets."
    )
    return 0


def reach(name: str, seed: int, threads: int, *, goal: float, cap: float) -> Result:
    """Train until an epoch's test accuracy is at least `goal`, or for `cap` seconds."""
    job = prepare(compose("experiment=basic_motions", f"seed={seed}", "eval_every=1"))
    torch.set_num_threads(threads)
    best = 0.0
    start = time.perf_counter()
    for look in CONTENDERS[name][1](job):
        wall = time.perf_counter() - start
        best = max(best, look.accuracy)
        if best >= goal:
            return Result(look.training_seconds, wall, look.epoch, best)
        if wall >= cap:
            break
    return Result(math.inf, math.inf, math.inf, best)


def ours(job: Prepared) -> Iterator[Look]:
    for evaluation in job.training.evaluations(job.epochs, eval_every=job.eval_every):
        row = evaluation.row
        yield Look(row["epoch"], row["seconds"], row["test_accuracy"])


def plain(table: str, optimizer_name: str) -> Callable[[Prepared], Iterator[Look]]:
    def looks(job: Prepared) -> Iterator[Look]:
        train, test = (
            job.training.parts[name].gather(torch.arange(len(job.training.parts[name])))
            for name in ("train", "test")
        )
        network = plain_network(
            table,
            blog=True,
            num_channels=train[0].shape[1],
            num_classes=len(job.cases.class_names),
        )
        parameters = network.parameters()
        optimizer: torch.optim.Optimizer
        if optimizer_name == "Adam":
            optimizer = torch.optim.Adam(parameters, lr=LR)
        else:
            optimizer = torch.optim.SGD(parameters, lr=LR, momentum=MOMENTUM)
        loader = DataLoader(TensorDataset(*train), batch_size=job.training.batch_size, shuffle=True)
        training_seconds = 0.0
        epoch = 0
        while True:
            epoch += 1
            start = time.perf_counter()
            network.train()
            for signals, labels in loader:
                train_step(network, optimizer, signals, labels)
            training_seconds += time.perf_counter() - start
            network.eval()
            with torch.no_grad():
                accuracy = (network(test[0]).argmax(1) == test[1]).float().mean().item()
            yield Look(epoch, training_seconds, accuracy)

    return looks


def median_of(runs: Sequence[Result], field: str) -> float:
    return statistics.median(getattr(run, field) for run in runs)


def figure(value: float, form: str) -> str:
    return "not reached" if math.isinf(value) else format(value, form)


def ratio(value: float, first: float, cap: float) -> str:
    if math.isinf(first):
        return ""
    return f"over {cap / first:.1f}" if math.isinf(value) else f"{value / first:.2f}"


CONTENDERS: dict[str, tuple[str, Callable[[Prepared], Iterator[Look]]]] = {
    "ours": ("ours", ours),
    "small_sgd": ("plain small, SGD", plain("small_blog", "SGD")),
    "small_adam": ("plain small, Adam", plain("small_blog", "Adam")),
    "large_sgd": ("plain large, SGD", plain("large_blog", "SGD")),
    "large_adam": ("plain large, Adam", plain("large_blog", "Adam")),
}
DEFAULT = ["ours", "small_sgd", "small_adam"]


if __name__ == "__main__":
    raise SystemExit(main())
