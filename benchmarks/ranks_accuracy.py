"""One model by two boards: is it as good, for as many cases seen, as by one?

    python -m benchmarks.ranks_accuracy    # an hour on two cores

Boards are two processes of the real command on this machine. Everything is as its YAML says, with
600 steps of one board's. Two boards see as many cases: in as many steps with half of its
`batch_size` each, or in half as many steps with all of it. The accuracy is that of a part of the
training part that is set aside for it (three tenths), after the last epoch: test parts are not
looked at. Beside each mean stands its standard error.
"""

import argparse
import csv
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.turns import describe_machine, print_head, print_row

# Training cases, and batches of which two boards still have eight cases each at an epoch's end.
SETS = {"BasicMotions": (40, 28), "JapaneseVowels": (270, 24), "OSULeaf": (200, 20)}
STEPS = 600
# What a board takes of that batch, and `distributed.sync`; one board alone first.
WAYS = ((1.0, "none"), (0.5, "every_step"), (1.0, "every_step"), (1.0, "4"))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=tuple(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args(arguments)
    print(f"{describe_machine()}\n")
    print_head(
        "set", "one board, %", "two, half the batch each", "two, every step", "two, every 4 steps",
        "averages",
    )  # fmt: skip
    for name in args.sets:
        found: dict[tuple[float, str], list[float]] = {way: [] for way in WAYS}
        averages = 0  # of the last way
        for seed in args.seeds:
            for way in WAYS:
                accuracy, steps = train(name, *way, seed, args.steps)
                found[way].append(100 * accuracy)
                averages = steps // 4
        print_row(name, *(spread(found[way]) for way in WAYS), str(averages))
    return 0


def spread(values: Sequence[float]) -> str:
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{statistics.mean(values):.1f} ± {error:.1f}"


def train(name: str, part: float, sync: str, seed: int, steps: int) -> tuple[float, int]:
    """Accuracy after the last epoch, and how many steps there were."""
    num_ranks = 1 if sync == "none" else 2
    cases, batch = SETS[name]
    epochs = math.ceil(steps / math.ceil(round(0.7 * cases) / batch))
    words = [
        "dataset=ucr", f"dataset.name={name}", "split.validation=0.3", f"seed={seed}",
        f"batch_size={round(part * batch)}", f"epochs={epochs}", f"eval_every={epochs}",
        "export=none", "hardware.num_threads=1", f"distributed.sync={sync}", "hydra.run.dir=run",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        ranks = [
            subprocess.Popen(
                [sys.executable, "-m", "raspitrain", *words],
                cwd=folder,
                env=os.environ | meeting | {"RANK": str(rank), "WORLD_SIZE": str(num_ranks)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(num_ranks)
        ]
        said = [rank.communicate()[0] for rank in ranks]
        if any(rank.returncode for rank in ranks):
            raise RuntimeError("\n".join(said))
        run = Path(folder) / "run"
        with open(run / "metrics.csv", newline="") as file:
            last = list(csv.DictReader(file))[-1]
        return float(last["validation_accuracy"]), json.loads((run / "summary.json").read_text())[
            "steps"
        ]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
