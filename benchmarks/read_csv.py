"""How fast a folder of CSV recordings becomes a data set, the first time and again from the cache.

    python -m benchmarks.read_csv                     # a minute; 100 MB, written for the while
    python -m benchmarks.read_csv --recordings 200 --mb 2000 --folder /mnt/usb

Each way in a fresh process, the ways take turns: by Python alone, by our C, and from the cache.
MB are those of the CSV; a second is one of the processor (what the process used), so that a busy
neighbour counts less. Memory is the most that the process held of its own, libraries included, seen
every 5 ms in a run apart (of the cache also where it is filled); what is mapped from files comes on
top, and is given back where it is short.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.turns import describe_machine

ROOT = Path(__file__).parents[1]
WAYS = ("python", "c", "cache")
CHILD = """
import json, sys, threading, time
from pathlib import Path
from omegaconf import OmegaConf
from raspitrain.data.files import csv_file
from raspitrain.data.recordings import recordings
folder, way, *watched = sys.argv[1:]
if way == "python":
    csv_file.LEAST_FOR_C = 1 << 62
else:
    csv_file.csv_rows.library()
given = OmegaConf.to_container(OmegaConf.load("conf/dataset/recordings.yaml"))
given = {k: v for k, v in given.items() if k not in ("_target_", "normalise")}
given |= {"path": folder, "cache_gb": 100 if way == "cache" else 0}
held, ended = [0.0], threading.Event()
def watch():
    while not ended.wait(0.005):
        lines = Path("/proc/self/status").read_text().splitlines()
        held.append(next(int(own.split()[1]) / 1000 for own in lines if own.startswith("RssAnon")))
watcher = threading.Thread(target=watch)
if watched:
    watcher.start()
start = time.process_time()
cases = recordings(**given)
seconds = time.process_time() - start
ended.set()
print(json.dumps({"seconds": seconds, "mb": max(held), "windows": len(cases.labels)}))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recordings", type=int, default=20)
    parser.add_argument("--mb", type=float, default=100, help="of all of them together")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--folder", help="where they lie for the while; see also TMPDIR")
    given = parser.parse_args(arguments)
    print(describe_machine())
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        size = write(Path(folder, "data"), given.recordings, given.mb) / 1e6
        cache = {"XDG_CACHE_HOME": str(Path(folder, "cache"))}
        filling = 0.0
        if "cache" in given.ways:
            filling = run(folder, "cache", cache, "watched")["mb"]
        figures: dict[str, list[dict[str, float]]] = {way: [] for way in given.ways}
        for _ in range(given.rounds):
            for way in given.ways:
                figures[way].append(run(folder, way, cache))
        memory = {way: run(folder, way, cache, "watched")["mb"] for way in given.ways}
        memory["cache"] = max(filling, memory.get("cache", 0.0))
    print(f"{given.recordings} recordings, {size:.0f} MB\n")
    print("| read | s | MB/s | memory, MB |\n|---|---|---|---|")
    for way, own in figures.items():
        seconds = statistics.median(each["seconds"] for each in own)
        print(f"| {way} | {seconds:.2f} | {size / seconds:.0f} | {memory[way]:.0f} |")
    return 0


def write(folder: Path, count: int, mb: float) -> int:
    """Time and six channels with six decimals, 50 Hz, two classes; returns the bytes."""
    size = 0
    rows = int(1e6 * mb / count / 66)
    for number in range(count):
        dice = np.random.default_rng(number)
        table = np.column_stack([np.arange(rows) / 50, dice.standard_normal((rows, 6)) * 9.81])
        path = folder / ("walk", "run")[number % 2] / f"{number:04d}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        form = ["%.3f", *["%.6f"] * 6]
        names = "time,ax,ay,az,gx,gy,gz"
        np.savetxt(path, table, form, delimiter=",", header=names, comments="")
        size += path.stat().st_size
        os.utime(path, (1e9, 1e9))  # as if written long ago: what is new is not kept
    return size


def run(folder: str, way: str, cache: dict[str, str], *watched: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(Path(folder, "data")), way, *watched],
        env=os.environ | cache, cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


if __name__ == "__main__":
    sys.exit(main())
