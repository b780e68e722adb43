"""How busy other processes keep the cores that are open to us."""

import os
import time
from dataclasses import dataclass

import psutil

ENOUGH_SECONDS = 0.2  # the system counts in hundredths of a second


@dataclass(frozen=True)
class Reading:
    """Processor time used so far, in seconds summed over the cores open to this process."""

    clock: float
    everyone: float
    own: float
    num_cores: int


def read_load() -> Reading | None:
    """Read the system's counters, in about 0.03 ms; None where it has none."""
    try:
        cores = psutil.cpu_times(percpu=True)
    except (OSError, RuntimeError, NotImplementedError):
        return None
    if hasattr(os, "sched_getaffinity"):
        allowed = os.sched_getaffinity(0)
        # A core that is switched off leaves a gap in the numbers, not in the list.
        if max(allowed) < len(cores):
            cores = [cores[number] for number in sorted(allowed)]
    everyone = sum(_busy(core) for core in cores)
    if not everyone:  # some sandboxes count nothing
        return None
    return Reading(time.monotonic(), everyone, time.process_time(), len(cores))


def _busy(core: object) -> float:
    # Linux counts a guest's time twice; "steal" is a core that the host has given to another.
    kinds = ("user", "nice", "system", "irq", "softirq", "steal", "interrupt", "dpc")
    return sum(getattr(core, kind, 0.0) for kind in kinds)


def cores_taken(earlier: Reading, later: Reading) -> float:
    """Cores that others kept busy between two readings, on average."""
    seconds = max(later.clock - earlier.clock, 1e-9)
    others = (later.everyone - earlier.everyone) - (later.own - earlier.own)
    return min(max(0.0, others / seconds), float(later.num_cores))


# Taken before torch is imported, which lasts a second: whoever asks later need not wait.
_first = read_load()


def cores_taken_since_start() -> float | None:
    """Cores that others have kept busy since this module was imported; None if nobody counts."""
    if _first is None:
        return None
    wait = _first.clock + ENOUGH_SECONDS - time.monotonic()
    if wait > 0:
        time.sleep(wait)
    now = read_load()
    return None if now is None else cores_taken(_first, now)
