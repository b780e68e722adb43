"""A sweep over four boards: how long beside the best that its jobs could be packed?

    PYTHONPATH=tests python -m benchmarks.placing    # 6 minutes; as root

Needs Debian's openssh-server and rsync. Boards are sshds on this machine, and each job measures
throughput for as many seconds as it is told, so that what a job takes does not hang on how many
cores there are. What the command of a job takes by itself, starting Python included, is the time
that is packed. The words of these jobs say how long they take, so the long ones begin first; where
nobody knows, a queue takes them as they come. So beside the best packing stands a queue in the
order given that loses nothing.
"""

import argparse
import csv
import heapq
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.turns import describe_machine, print_head, print_row

BOARDS = ("board_a", "board_b", "board_c", "board_d")
WORDS = (
    "task=throughput", "dataset.num_cases=200", "dataset.length=64", "hardware.num_threads=1",
    "throughput.warmup_seconds=0",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=24)
    parser.add_argument("--shortest", type=float, default=12, help="seconds of the shortest job")
    parser.add_argument("--step", type=float, default=3, help="that the next one takes longer")
    parser.add_argument("--seed", type=int, default=0, help="of the order in which they are given")
    args = parser.parse_args(arguments)

    from sshd import Boards

    seconds = [args.shortest + k * args.step for k in range(args.jobs)]
    random.Random(args.seed).shuffle(seconds)
    with tempfile.TemporaryDirectory() as name:
        starting = seconds_of_starting(name)
        boards = Boards(Path(name), BOARDS)
        try:
            began = time.monotonic()
            subprocess.run(
                [
                    sys.executable, "-m", "raspitrain", "--multirun", *WORDS,
                    f"throughput.seconds={','.join(map(str, seconds))}", "sweep_name=placing",
                    *boards.words,
                ],
                cwd=name, check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            took = time.monotonic() - began
        finally:
            boards.close()
        with open(Path(name) / "outputs/sweeps/placing/sweep.csv", newline="") as file:
            rows = list(csv.DictReader(file))
    # The first job is measured once more at the end.
    alone = [each + starting for each in [*seconds, seconds[0]]]
    best, queue = packed(alone, len(BOARDS)), queued(alone, len(BOARDS))
    print(f"{describe_machine()}\n")
    print_head(
        "jobs", "boards", "of a job, s", "the sweep, s", "best packing, s", "times the best",
        "queue, s", "times the queue",
    )  # fmt: skip
    print_row(
        str(len(rows)), str(len({row["host"] for row in rows})),
        f"{min(alone):.0f} to {max(alone):.0f}", f"{took:.0f}", f"{best:.0f}",
        f"{took / best:.2f}", f"{queue:.0f}", f"{took / queue:.2f}",
    )  # fmt: skip
    return 0


def seconds_of_starting(folder: str) -> float:
    """What a job's command takes beside measuring: the least of three."""
    found = []
    for _ in range(3):
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "raspitrain", *WORDS, "throughput.seconds=1"],
            cwd=folder, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        found.append(time.monotonic() - began - 1)
    return min(found)


def queued(seconds: Sequence[float], num_boards: int) -> float:
    """When the last board is done, if each takes the next job as soon as it is free."""
    free = [0.0] * num_boards
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def packed(seconds: Sequence[float], num_boards: int) -> float:
    """When the last board is done at the earliest, or a little before: no packing is better than
    equal shares, or than the longest job."""
    return max(max(seconds), sum(seconds) / num_boards)


if __name__ == "__main__":
    sys.exit(main())
