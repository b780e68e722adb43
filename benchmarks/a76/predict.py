"""Predict a training step's time on a Raspberry Pi 5: called by memory.sh.

python3 benchmarks/a76/predict.py FOLDER MODEL THREADS... where FOLDER/MODEL.THREADS has what
caches.c wrote for a step with so many threads, and in `printed` what step.py said.
"""

import json
import pathlib
import sys
import textwrap
from typing import Any

CLOCK = 2.4e9
BANDWIDTHS = (8e9, 10e9)  # bytes a second from and to memory, all cores together
PIPES = 2  # multiply-adds of four floats that a core begins in a cycle

ASSUMPTIONS = f"""\
Assumed: {CLOCK / 1e9:g} GHz, never throttled. Lines of 64 bytes; 64 KB, 4 ways, and 512 KB, 8 ways,
a core; 2 MB, 16 ways, for all; the line unused for longest makes way; a write fetches its line.
Memory moves {" or ".join(f"{each / 1e9:g}" for each in BANDWIDTHS)} GB/s in both directions
together; levels 2 and 3 move what they are asked for. Cycles are llvm-mca's, all data in level 1;
threads wait for each other, and wake up in no time.

hidden: in each slice of the step the cores compute while memory moves, and the slower one decides;
in turn: nothing is hidden; a board lies between both. bound: the multiply-adds, {PIPES} a cycle and
core, or the bytes at {BANDWIDTHS[0] / 1e9:g} GB/s, whichever takes longer."""


def memory_bytes(levels: list[list[int]]) -> int:
    """Bytes from and to memory, of the pairs (in, out) of the three levels."""
    return sum(levels[2])


def times(lap: dict[str, Any], bandwidth: float) -> tuple[float, float]:
    """Seconds of a lap with its bytes hidden behind computing, slice by slice, and in turn."""
    left, hidden = lap["cycles"], 0.0
    for part in lap["slices"]:
        cycles = min(left, lap["slice"])
        left -= cycles
        hidden += max(cycles / CLOCK, memory_bytes(part["bytes"]) / bandwidth)
    moved = sum(memory_bytes(part["bytes"]) for part in lap["slices"])
    return hidden, lap["cycles"] / CLOCK + moved / bandwidth


def read_lap(folder: pathlib.Path) -> dict[str, Any]:
    """What was counted, and the multiply-adds alone, in M instructions."""
    last = (folder / "printed").read_text().splitlines()[-1]  # of step.py: model, floor, ours
    lap = json.loads((folder / "laps.1.json").read_text())
    return {**lap, "floor": float(last.split()[1])}


def print_table(first: str, heads: list[str], rows: dict[int, list[str]]) -> None:
    print(f"\n| {first} | " + " | ".join(heads) + " |\n|" + "---|" * (len(heads) + 1))
    for threads, cells in rows.items():
        print(f"| {threads} thread{'s' * (threads > 1)} | " + " | ".join(cells) + " |")


def print_traffic(model: str, runs: dict[int, dict[str, Any]]) -> None:
    heads = ["L1 in", "L1 out", "L2 in", "L2 out", "memory in", "memory out", "sum of both"]
    heads += ["in, to be written", "zeroed unseen"]
    rows = {}
    for threads, lap in runs.items():
        moved = [
            sum(thread["bytes"][level][way] for thread in lap["threads"]) / 1e6
            for level in range(3)
            for way in range(2)
        ]
        moved += [moved[4] + moved[5]]
        moved.append(sum(thread["to_be_written"] for thread in lap["threads"]) / 1e6)
        moved.append(sum(block["zeroed"] * block["times"] for block in lap["blocks"]) / 1e6)
        rows[threads] = [f"{each:.1f}" for each in moved]
    print_table(f"{model}, MB", heads, rows)


def print_times(model: str, runs: dict[int, dict[str, Any]]) -> None:
    heads = ["M instructions", "cores busy", "computing"]
    for bandwidth in BANDWIDTHS:
        at = f"{bandwidth / 1e9:g} GB/s"
        heads += [f"bytes, {at}", f"hidden, {at}", f"in turn, {at}"]
    heads += ["bound", "hidden / bound"]
    rows = {}
    for threads, lap in runs.items():
        moved = sum(memory_bytes(thread["bytes"]) for thread in lap["threads"])
        busy = sum(thread["cycles"] for thread in lap["threads"]) / lap["cycles"]
        instructions = sum(thread["instructions"] for thread in lap["threads"])
        cells = [f"{instructions / 1e6:.0f}", f"{busy:.2f}", f"{lap['cycles'] / CLOCK * 1e3:.1f}"]
        for bandwidth in BANDWIDTHS:
            each = (moved / bandwidth, *times(lap, bandwidth))
            cells += [f"{seconds * 1e3:.1f}" for seconds in each]
        bound = max(lap["floor"] * 1e6 / PIPES / threads / CLOCK, moved / BANDWIDTHS[0])
        hidden = times(lap, BANDWIDTHS[0])[0]
        cells += [f"{bound * 1e3:.1f}", f"{hidden / bound:.2f}"]
        rows[threads] = cells
    print_table(f"{model}, ms", heads, rows)


def main() -> None:
    if sys.argv[1:] == ["--assumptions"]:
        for paragraph in ASSUMPTIONS.split("\n\n"):
            print("\n" + textwrap.fill(" ".join(paragraph.split()), 100))
        return
    folder, model = pathlib.Path(sys.argv[1]), sys.argv[2]
    runs = {int(threads): read_lap(folder / f"{model}.{threads}") for threads in sys.argv[3:]}
    print_traffic(model, runs)
    print_times(model, runs)
    for threads, lap in runs.items():
        if lost := lap["lost_turns"]:
            print(f"{threads} threads: {lost} turns were taken without being given.")


if __name__ == "__main__":
    main()
