"""What does a training step cost, beside the blog's plain loop?

    python -m benchmarks.step_time          # about three minutes; leave the machine alone
    python -m benchmarks.step_time --models mobilenetv3_small_blog --batch-sizes 50 --threads 1 4

The same network, data (3 × 224) and SGD: ours through its YAML and training loop; plain as in
benchmarks/plain.py, over a shuffling DataLoader. They take turns in one process, four steps a turn;
given are medians over the turns. What our process is set up with holds for the plain loop as well,
and can only help it: numbers below 1e-38 count as zero, and freed memory is kept.

Peak is the best fp32 matrix product that torch makes here, with as many threads. Of a step only the
multiply-adds of convolutions and linear layers are counted: forward, the gradient of every weight,
and the gradient of every layer's input but the first one's.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.a76.step import MODELS, floor
from benchmarks.plain import plain_network, train_step
from benchmarks.turns import (
    blog_job,
    describe_machine,
    print_head,
    print_row,
    take_turns,
    training,
)
from raspitrain.run.prepare import Prepared

STEPS = 4  # a turn
NUM_CHANNELS, LENGTH = 3, 224
PRODUCTS = ((512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (4096, 512, 512))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[16, 50, 128])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3, help="the least of a row")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a row, about")
    args = parser.parse_args(arguments)

    print(f"{describe_machine()}\n")
    print_head(
        "model", "threads", "batch", "plain, ms", "ours, ms", "plain / ours", "GFLOP/s", "of peak"
    )
    peaks = {}
    for threads in args.threads:
        torch.set_num_threads(threads)
        peaks[threads] = matrix_product_peak(0.1 * args.seconds)
        for model in args.models:
            for batch_size in args.batch_sizes:
                job = blog_job(
                    model, num_cases=STEPS * batch_size, batch_size=batch_size, threads=threads
                )
                taken = take_turns(
                    {"plain": plain_loop(model, job), "ours": training(job, epochs=1)},
                    rounds=args.rounds,
                    seconds=args.seconds,
                )
                plain, ours = (statistics.median(taken[n]) / STEPS for n in ("plain", "ours"))
                rate = 2 * multiply_adds(model, batch_size) / ours
                print_row(
                    model,
                    threads,
                    batch_size,
                    f"{1e3 * plain:.1f}",
                    f"{1e3 * ours:.1f}",
                    f"{plain / ours:.2f}",
                    f"{1e-9 * rate:.0f}",
                    f"{100 * rate / peaks[threads]:.0f} %",
                )
    told = [f"{1e-9 * peak:.0f} GFLOP/s with {threads}" for threads, peak in peaks.items()]
    print(f"\nPeak, by threads: {', '.join(told)}")
    return 0


def plain_loop(model: str, job: Prepared) -> Callable[[], object]:
    """One epoch of the blog's loop on the cases that `job` trains on."""
    train = job.training.parts["train"]
    network = plain_network(
        model.removeprefix("mobilenetv3_"), blog=model.endswith("blog"), num_channels=NUM_CHANNELS
    ).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    loader = DataLoader(
        TensorDataset(*train.gather(torch.arange(len(train)))),
        batch_size=job.training.batch_size,
        shuffle=True,
    )

    def turn() -> None:
        for signals, labels in loader:
            train_step(network, optimizer, signals, labels)

    return turn


def multiply_adds(model: str, batch_size: int) -> float:
    """Of one step; the floor counts instructions that hold four each."""
    return 4 * floor(model, batch_size=batch_size, num_channels=NUM_CHANNELS, length=LENGTH)


def matrix_product_peak(seconds: float) -> float:
    """The most operations a second of any of `PRODUCTS`, an addition and a product counted each."""
    best = 0.0
    for rows, inner, columns in PRODUCTS:
        left, right = torch.randn(rows, inner), torch.randn(inner, columns)
        product = left @ right
        began = end = time.perf_counter()
        while end - began <= seconds:
            start = time.perf_counter()
            torch.mm(left, right, out=product)
            end = time.perf_counter()
            best = max(best, 2 * rows * inner * columns / (end - start))
    return best


if __name__ == "__main__":
    raise SystemExit(main())
