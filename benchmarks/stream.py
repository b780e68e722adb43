"""Memory of raspitrain stream by the hour: a day of six channels at 100 Hz, replayed.

    python -m benchmarks.stream                # ten minutes
    python -m benchmarks.stream --hours 2

A window of 128 samples each 0.1 s, faults in every minute, as fast as it goes. What a second of the
same stream takes of a Pi 5's core is counted by `bash benchmarks/a76/inference.sh`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.a76.inference_model import (
    STREAM_CHANNELS,
    STREAM_HOP,
    STREAM_RATE,
    write_stream,
)
from benchmarks.turns import describe_machine

MINUTE = 60 * STREAM_RATE


class Replayed(NamedTuple):
    """resident : kB of the process after each hour; told : lines; finished : the last of them."""

    resident: list[int]
    told: int
    finished: dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hours", type=int, default=24)
    given = parser.parse_args(arguments)
    print(f"{describe_machine()}\n")
    with tempfile.TemporaryDirectory() as scratch:
        write_stream(Path(scratch))
        begin = time.monotonic()
        found = replay(Path(scratch) / "stream.rpt", given.hours)
        seconds = time.monotonic() - begin
    finished = found.finished
    print(f"resident memory by the hour, kB: {' '.join(map(str, found.resident))}")
    print(
        f"it grew by {found.resident[-1] - found.resident[0]} kB from the first hour to the last; "
        f"{finished['windows']} windows of {finished['samples']} samples, {finished['gap']} gaps, "
        f"{found.told} lines told, in {seconds:.0f} s"
    )
    return 0


def replay(model: Path, hours: int) -> Replayed:
    """So many hours through raspitrain stream, in a process of its own."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(MINUTE, STREAM_CHANNELS))
    minute = [",".join(f"{value:.4f}" for value in row) for row in rows]
    minute[1000] = "1,2,3"
    minute[3000:3006] = ["noise"] * 6
    minute[4000] = ",".join(["99"] * STREAM_CHANNELS)
    text = ("\n".join(minute) + "\n").encode()
    words = ["--rate", str(STREAM_RATE), "--hop", str(STREAM_HOP), "--threshold", "0.3"]
    process = subprocess.Popen(
        [sys.executable, "-m", "raspitrain.use", "stream", str(model), *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    lines = process.stdout
    told, last = 0, b""

    def drain() -> None:
        nonlocal told, last
        for line in lines:
            told, last = told + 1, line

    reader = threading.Thread(target=drain)
    reader.start()
    resident = []
    try:
        for number in range(60 * hours):
            process.stdin.write(text)
            process.stdin.flush()
            if number % 60 == 59:
                status = Path(f"/proc/{process.pid}/status").read_text()
                resident.append(int(status.split("VmRSS:")[1].split()[0]))
        process.stdin.close()
        reader.join()
        assert process.wait() == 0
    finally:
        process.kill()
    return Replayed(resident, told, json.loads(last))


if __name__ == "__main__":
    raise SystemExit(main())
