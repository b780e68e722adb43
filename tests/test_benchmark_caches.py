"""The model of a Pi 5's caches (benchmarks/a76/caches.h), and what is predicted with it."""

import ctypes
import json
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks/a76"

SHIM = """
#include "caches.h"
static Caches caches;
/* Cores' accesses one after another; bytes in and out of each level; rules that were broken. */
int play(long num, const uint64_t *lines, const uint8_t *writes, const uint8_t *cores,
         uint64_t *moved) {
    Traffic traffic = {{0}, {0}};
    int broken = 0;
    memset(&caches, 0, sizeof caches);
    for (long i = 0; i < num; i++)
        if (cores[i] >= caches.num_cores) caches.num_cores = cores[i] + 1;
    for (long i = 0; i < num; i++) {
        const uint64_t line = lines[i];
        access_line(&caches, &caches.cores[cores[i]], line, writes[i], &traffic);
        int holders = 0, written = 0;
        for (int k = 0; k < caches.num_cores; k++) {
            Core *core = &caches.cores[k];
            const int one = find(core->one[line % SETS_1], WAYS_1, line);
            const int two = find(core->two[line % SETS_2], WAYS_2, line);
            broken += one >= 0 && two < 0; /* level 2 holds what level 1 holds */
            holders += two >= 0;
            written += (one >= 0 && core->one[line % SETS_1][one] & 1) ||
                       (two >= 0 && core->two[line % SETS_2][two] & 1);
        }
        broken += written && holders > 1; /* what one wrote to, no other has */
    }
    for (int level = 1; level <= 3; level++)
        moved[2 * level - 2] = traffic.in[level], moved[2 * level - 1] = traffic.out[level];
    return broken;
}
"""


Play = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[list[int], int]]


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Play:
    """play(lines, writes, cores) -> lines in and out of levels 1, 2, 3; rules broken."""
    folder = tmp_path_factory.mktemp("caches")
    (folder / "shim.c").write_text(SHIM)
    command = ["cc", "-O1", "-shared", "-fPIC", f"-I{FOLDER}", "shim.c", "-o", "shim.so"]
    subprocess.run(command, cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "shim.so"))

    def run(lines: np.ndarray, writes: np.ndarray, cores: np.ndarray) -> tuple[list[int], int]:
        lines = lines.astype(np.uint64)
        writes, cores = writes.astype(np.uint8), cores.astype(np.uint8)
        moved = (ctypes.c_uint64 * 6)()
        pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (lines, writes, cores))
        broken = library.play(ctypes.c_long(len(lines)), *pointers, moved)
        return list(moved), broken

    return run


class Level:
    """Sets of lines in the order of their use, and whether they were written to."""

    def __init__(self, sets: int, ways: int) -> None:
        self.sets: list[OrderedDict[int, bool]] = [OrderedDict() for _ in range(sets)]
        self.ways = ways

    def of(self, line: int) -> OrderedDict[int, bool]:
        return self.sets[line % len(self.sets)]

    def put(self, line: int, written: bool) -> tuple[int, bool] | None:
        """The line that made way, if one had to."""
        lines = self.of(line)
        written |= lines.pop(line, False)
        gone = lines.popitem(last=False) if len(lines) == self.ways else None
        lines[line] = written
        return gone


def traffic_of_one_core(lines: np.ndarray, writes: np.ndarray) -> list[int]:
    """What caches.h should count, said once more and slowly."""
    one, two, three = Level(256, 4), Level(1024, 8), Level(2048, 16)
    moved = [0] * 6
    for line, write in zip(lines.tolist(), writes.tolist(), strict=True):
        if line in one.of(line):
            one.put(line, write)
            continue
        moved[0] += 1
        if line in two.of(line):
            two.put(line, False)
        else:
            moved[2] += 1
            if line not in three.of(line):
                moved[4] += 1
            gone = three.put(line, False)
            moved[5] += bool(gone and gone[1])
            gone = two.put(line, False)
            if gone:
                above = one.of(gone[0]).pop(gone[0], False)
                moved[1] += above
                if above or gone[1]:
                    moved[3] += 1
                    further = three.put(gone[0], True)
                    moved[5] += bool(further and further[1])
        gone = one.put(line, write)
        if gone and gone[1]:
            moved[1] += 1
            two.of(gone[0])[gone[0]] = True
    return moved


@pytest.mark.parametrize("width", [3_000, 120_000])
def test_one_core_moves_what_the_slow_model_moves(play: Play, width: int) -> None:
    random = np.random.default_rng(width)
    walks = [np.arange(start, start + 500) for start in random.integers(1, width, 40)]
    lines = np.concatenate([*walks, random.integers(1, width, 20_000)])
    writes = random.random(len(lines)) < 0.3
    moved, broken = play(lines, writes, np.zeros(len(lines)))
    assert moved == traffic_of_one_core(lines, writes)
    assert broken == 0


def test_cores_share_what_they_read_and_take_what_they_write(play: Play) -> None:
    random = np.random.default_rng(0)
    lines = 1 + random.integers(0, 30, 30_000) * 1024 + random.integers(0, 3, 30_000)
    moved, broken = play(lines, random.random(30_000) < 0.4, random.integers(0, 4, 30_000))
    assert broken == 0
    assert moved[4] == 90  # each line comes from memory once: level 3 has room for them
    assert moved[5] == 0


def test_a_step_takes_as_long_as_the_slower_of_computing_and_moving(tmp_path: Path) -> None:
    """240 k cycles are 0.1 ms: nothing moves in the first 100 k of them, 8 MB move in the next,
    which takes 1 ms at 8 GB/s, and 40 k cycles are left."""
    none, much = [[0, 0]] * 3, [[0, 0], [0, 0], [6_000_000, 2_000_000]]
    lap = {
        "cycles": 240_000.0,
        "slice": 100_000,
        "lost_turns": 0,
        "threads": [
            {"instructions": 480_000, "cycles": 240_000.0, "to_be_written": 0, "bytes": much}
        ],
        "slices": [{"bytes": none}, {"bytes": much}, {"bytes": none}],
        "blocks": [],
    }
    folder = tmp_path / "fcn.1"
    folder.mkdir()
    (folder / "laps.1.json").write_text(json.dumps(lap))
    (folder / "printed").write_text("M instructions   floor   ours\nfcn   0.3   0.48\n")
    words = [sys.executable, str(FOLDER / "predict.py"), str(tmp_path), "fcn", "1"]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    rows = [[cell.strip() for cell in line.split("|")] for line in printed.splitlines()]
    table = dict(zip(*(row for row in rows if len(row) > 12 and "---" not in row[1]), strict=True))
    assert table["computing"] == "0.1"
    assert table["bytes, 8 GB/s"] == table["bound"] == "1.0"
    assert table["hidden, 8 GB/s"] == "1.1"  # 1.058: the first and the last slice hide nothing
    assert table["in turn, 8 GB/s"] == "1.1"
    assert table["hidden, 10 GB/s"] == "0.9"
    assert table["hidden / bound"] == "1.06"
