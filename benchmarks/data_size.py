"""Do speed and memory depend on how many cases there are?

    python -m benchmarks.data_size          # about five minutes; leave the machine alone
    python -m benchmarks.data_size --huge --folder /mnt/usb          # writes 4 GB there for a while

Sets of 10³, 10⁴ and 10⁵ cases, 3 × 224, written once as data.npy; each is trained on for a few
seconds, held in memory and read from disk batch by batch, always in a fresh process. Sets and ways
take turns. Samples a second are the median over the turns; memory is the most that a process held,
libraries and network included. The files have just been written, so they come from the system's
cache as far as that has room.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.turns import compose, describe_machine, print_head, print_row

NUM_CHANNELS, LENGTH = 3, 224
HUGE = 1_500_000  # cases, 4.03 GB
ROOT = Path(__file__).parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[1000, 10_000, 100_000])
    parser.add_argument("--huge", action="store_true", help="and 4 GB, read from disk")
    parser.add_argument("--folder", help="where the sets lie for the while; see also TMPDIR")
    parser.add_argument("--model", default="mobilenetv3_small")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a turn")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.child:
        print(json.dumps(measure(**json.loads(args.child))))
        return 0

    print(f"{describe_machine()}; {args.model}, batch 50, {args.threads} threads\n")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        sizes = [*args.sizes, HUGE] if args.huge else args.sizes
        turns = [(size, True) for size in args.sizes] + [(size, False) for size in sizes]
        for size in sizes:
            write(Path(folder, str(size)), size)
        taken: dict[tuple[int, bool], list[dict[str, float]]] = {turn: [] for turn in turns}
        for _ in range(args.rounds):
            for size, in_memory in turns:
                question = {
                    "folder": str(Path(folder, str(size))),
                    "in_memory": in_memory,
                    "model": args.model,
                    "threads": args.threads,
                    "seconds": args.seconds,
                }
                taken[size, in_memory].append(in_fresh_process(question))
            turns.reverse()

    print_head("cases", "MB on disk", "signals", "samples/s", "of the first", "peak memory, MB")
    rates = {
        turn: statistics.median(each["samples_per_second"] for each in answers)
        for turn, answers in taken.items()
    }
    for (size, in_memory), answers in taken.items():
        print_row(
            size,
            f"{4e-6 * size * NUM_CHANNELS * LENGTH:.1f}",
            "in memory" if in_memory else "from disk",
            f"{rates[size, in_memory]:.0f}",
            f"{rates[size, in_memory] / rates[args.sizes[0], in_memory]:.2f}",
            f"{max(each['peak_memory_mb'] for each in answers):.0f}",
        )
    return 0


def write(folder: Path, num_cases: int) -> None:
    from raspitrain.data.synthetic import random_blocks
    from raspitrain.data.write import write_folder

    blocks = random_blocks(
        num_cases=num_cases, num_channels=NUM_CHANNELS, length=LENGTH, num_classes=2, seed=0
    )
    write_folder(folder, blocks, shape=(num_cases, NUM_CHANNELS, LENGTH), force=False)


def in_fresh_process(question: dict[str, Any]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.data_size", "--child", json.dumps(question)]
    environment = os.environ | {"OMP_NUM_THREADS": str(question["threads"])}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


class TimeIsUpError(Exception):
    """Ends a fit that would go on for ever."""


def measure(
    *, folder: str, in_memory: bool, model: str, threads: int, seconds: float
) -> dict[str, float]:
    """Train on the set in `folder` for some seconds, after a warm-up of a third of them."""
    cfg = compose(
        "dataset=npy", f"model={model}", "batch_size=50", f"hardware.num_threads={threads}",
        "epochs=1000000", "eval_every=1000000",
    )  # fmt: skip
    cfg.dataset.path = folder
    cfg.in_memory = in_memory

    from raspitrain.run.environment import peak_memory_mb
    from raspitrain.run.prepare import prepare
    from raspitrain.training.training import Step

    job = prepare(cfg)
    began = time.perf_counter()
    marked, cases = 0.0, 0

    def on_step(step: Step) -> None:
        nonlocal marked, cases
        now = time.perf_counter()
        if marked:
            cases += step.num_cases
            if now - marked >= seconds:
                raise TimeIsUpError
        elif now - began >= seconds / 3:
            marked = now

    with suppress(TimeIsUpError):
        list(job.training.evaluations(job.epochs, eval_every=job.epochs, on_step=on_step))
    return {
        "samples_per_second": cases / (time.perf_counter() - marked),
        "peak_memory_mb": peak_memory_mb(),
    }


if __name__ == "__main__":
    raise SystemExit(main())
