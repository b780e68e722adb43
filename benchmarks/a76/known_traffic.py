"""Hold caches.c to a program whose traffic is known: called by memory.sh.

python3 benchmarks/a76/known_traffic.py FOLDER, where FOLDER has what caches.c wrote for
known_traffic.c, and in `printed` what it said should come out. Exit code 1 if it did not.
"""

import json
import pathlib
import sys

TOLERATED = 0.02  # of what is right; beside it what the C library does between two marks
LITTLE = 16 << 10


def main() -> int:
    folder = pathlib.Path(sys.argv[1])
    wrong = 0
    print(
        "KB in and out of  level 1          level 2          level 3: counted, and as it should be"
    )
    for line in (folder / "printed").read_text().splitlines():
        number, name, *numbers = line.split(";")
        lap = json.loads((folder / f"laps.{number}.json").read_text())
        levels = [thread["bytes"] for thread in lap["threads"]]
        moved = [sum(each[level][way] for each in levels) for level in range(3) for way in range(2)]
        right = [int(each) for each in numbers[:6]]
        cycles = int(numbers[6]) if len(numbers) > 6 else None
        fits = all(abs(a - b) <= TOLERATED * b + LITTLE for a, b in zip(moved, right, strict=True))
        fits = fits and (cycles is None or abs(lap["cycles"] - cycles) <= TOLERATED * cycles)
        wrong += not fits
        print(f"{'  ' if fits else 'NO'} {name}")
        print("  ", *(f"{each / 1024:8.0f}" for each in moved), f"{lap['cycles']:12.0f} cycles")
        print(
            "  ", *(f"{each / 1024:8.0f}" for each in right), *([f"{cycles:12d}"] if cycles else [])
        )
    if wrong:
        print(f"The model counted {wrong} of these wrongly.", file=sys.stderr)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
