"""How long from the command to the first step, beside a bare `import torch`?

    python -m benchmarks.start_up          # about one minute; leave the machine alone

Always fresh processes, taking turns, after one unmeasured round that fills the caches. The first
step is that of the default job, `python -m raspitrain`, but for the augmentation, which is one that
ends the process when it is called for the second batch: then the first step is over.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

STEP_IS_OVER = "the first step is over"
ROOT = Path(__file__).parents[1]
TOLD = (
    "augment=none",
    "augment._target_=benchmarks.start_up.tell",
    "allowed_targets=[benchmarks.start_up.tell]",
)
JOB, JOB_FILES = "job", ("job.yaml", "job_overrides.yaml")
# What it is called, the arguments of Python, the exit code. An import's process ends at once as
# well, without taking torch down, which lasts a third as long again.
COMMANDS: dict[str, tuple[str, Sequence[str], int]] = {
    "import": ("import torch", ["-c", "import os, torch; os._exit(0)"], 0),
    "first_step": ("first step", ["-m", "raspitrain", *TOLD], 0),
    "one_thread": (
        "first step, hardware.num_threads=1",
        ["-m", "raspitrain", *TOLD, "hardware.num_threads=1"],
        0,
    ),
    "job": (
        "first step of a sweep's job, hardware.num_threads=1",
        ["-m", "raspitrain.sweep.job", JOB],
        0,
    ),
    "help": ("--help", ["-m", "raspitrain", "--help"], 0),
    "mistake": ("epoch=3, a mistake", ["-m", "raspitrain", "epoch=3"], 2),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args(arguments)

    from benchmarks.turns import describe_machine, print_head, print_row, take_turns

    print(f"{describe_machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        if "job" in args.commands:
            write_job(Path(folder) / JOB)
        turns = {name: partial(start, name, folder) for name in args.commands}
        taken = take_turns(turns, rounds=args.rounds, seconds=0)
    first = statistics.median(taken[args.commands[0]])
    base = COMMANDS[args.commands[0]][0]
    print_head("", "seconds", f"over {base}, s", f"/ {base}")
    for name, of_turns in taken.items():
        seconds = statistics.median(of_turns)
        print_row(
            COMMANDS[name][0],
            f"{seconds:.2f}",
            f"{seconds - first:+.2f}",
            f"{seconds / first:.2f}",
        )
    return 0


def write_job(folder: Path) -> None:
    """What the sweep leaves in a job's folder for its process to begin with."""
    words = [*TOLD, "hardware.num_threads=1", "--cfg", "job", "--resolve"]
    composed = subprocess.run(
        [sys.executable, "-m", "raspitrain", *words],
        env=_environment(),
        check=True,
        capture_output=True,
    )
    folder.mkdir()
    for name, content in zip(JOB_FILES, (composed.stdout, b"[]"), strict=True):
        (folder / name).write_bytes(content)


def start(name: str, folder: str) -> None:
    """Run one of `COMMANDS` in `folder`, to its end."""
    _, arguments, exit_code = COMMANDS[name]
    if name == "job":
        for left in Path(folder, JOB).iterdir():
            if left.name not in JOB_FILES:
                left.unlink()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    steps = TOLD[0] in arguments or JOB in arguments
    if done.returncode != exit_code or (steps and STEP_IS_OVER not in done.stdout):
        raise RuntimeError(f"{arguments} ended with {done.returncode}: {done.stderr[-2000:]}")


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": path}


num_batches = 0


def tell(signals: Any, generator: Any) -> Any:
    """End the process where the second batch is augmented; leave the first as it is."""
    global num_batches
    num_batches += 1
    if num_batches == 2:
        print(STEP_IS_OVER, flush=True)
        os._exit(0)
    return signals


if __name__ == "__main__":
    raise SystemExit(main())
