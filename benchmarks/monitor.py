"""What does watching the board cost, in processor time?

    python -m benchmarks.monitor           # half a minute; other work beside it does not matter

The monitor of a run watches the trees that the tests have of boards, once a second, with a script
in the place of vcgencmd; what is counted is the processor time of this process and of the script's.
The kernel's own files are slower to read than a tree's: --root / takes this machine's.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.turns import describe_machine, print_head, print_row
from raspitrain.run.monitor import Monitor


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--every-seconds", type=float, default=1.0)
    parser.add_argument("--root", help="watch this tree, / for the machine's own, and no other")
    parser.add_argument("--vcgencmd", default="vcgencmd")
    args = parser.parse_args(arguments)
    print(f"{describe_machine()}\n")
    print_head("watched", "samples", "CPU, ms a second", "% of a core")
    with tempfile.TemporaryDirectory() as folder:
        watched = {args.root: (args.root, args.vcgencmd)} if args.root else _trees(Path(folder))
        for name, (root, vcgencmd) in watched.items():
            run = Path(folder) / "run"
            run.mkdir(exist_ok=True)
            (run / "telemetry.csv").unlink(missing_ok=True)
            began, spent = time.perf_counter(), sum(os.times()[:4])
            with Monitor(
                run, root=root, vcgencmd=vcgencmd, every_seconds=args.every_seconds
            ) as monitor:
                time.sleep(args.seconds)
            share = (sum(os.times()[:4]) - spent) / (time.perf_counter() - began)
            samples = round(monitor.rows_written)
            print_row(name, str(samples), f"{1000 * share:.2f}", f"{100 * share:.2f}")
    return 0


def _trees(folder: Path) -> dict[str, tuple[str, str]]:
    from tests.boards import LAPTOP, PI5, put_board, vcgencmd_of

    trees = {}
    for name, board in (("Raspberry Pi 5", PI5), ("x86 laptop", LAPTOP)):
        root = put_board(folder / name, board)
        trees[name] = (str(root), vcgencmd_of(folder / name))
    return trees


if __name__ == "__main__":
    sys.exit(main())
