"""Count one function's instructions, inside benchmarks/a76/run.sh."""

import os
from collections.abc import Callable


def count(name: str, function: Callable[[], object]) -> int:
    """Call ``function`` once and return the instructions it executed; print them under ``name``.

    ``os.getppid`` ends a lap of count.c, which has written the lap's instructions when the call
    returns. Call ``function`` once or twice before, so that caches and one-time choices are made.
    """
    laps = os.environ["A76_LAPS"]
    os.getppid()
    function()
    os.getppid()
    with open(laps) as file:
        lines = file.read().split()
    with open(f"{laps}.names", "a") as file:
        file.write(f"{len(lines) - 1} {name}\n")
    instructions = int(lines[-1])
    print(f"{name:40} {instructions / 1e6:12.3f} M instructions", flush=True)
    return instructions
