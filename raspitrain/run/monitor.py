"""Watch the board while a run goes on.

One thread looks once a second at files of the kernel, some 0.3 ms on a Raspberry Pi. The firmware's
own command costs a process each time, so it is asked as often as COMMAND_SHARE of a core allows and
its last answer stands in the rows between: joules are sums of watts held for some seconds, good for
steady work and no better than the power chip's own figures.
"""

import logging
import os
import resource
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from raspitrain.hardware.board import read_text
from raspitrain.hardware.readings import (
    Throttled,
    ask_clock,
    ask_throttled,
    ask_watts,
    find_sensors,
)
from raspitrain.results.telemetry import (
    MOST_ROWS,
    Row,
    append_telemetry,
    merge,
    read_telemetry,
    write_telemetry,
)

log = logging.getLogger(__name__)

BLOCK_SECONDS = 60.0  # between writes to the card
COMMAND_SHARE = 0.003  # of a core, for the firmware's command
LEAST_METERED = 0.95  # of the time: joules of a part of the run say nothing of an epoch
MOST_KEPT = 1000  # rows that a card refuses, for when it takes them again
SHORTEST_WAIT, LONGEST_WAIT = 2.0, 60.0  # seconds between two rounds of it
HOLDS_BACK = {"frequency_capped", "throttled", "soft_temperature_limit"}


class Monitor:
    """Sample the board into telemetry.csv, and know what came of it.

        with Monitor(folder, root=Path("/"), vcgencmd="vcgencmd", every_seconds=1.0) as monitor:
            monitor.cases += len(labels)
        summary |= monitor.summary(epochs=…, num_cases=…)

    A folder with a telemetry.csv is that of a run that goes on: rows are added, and the summary
    tells of all of them. Rows that a card refuses are kept for the next write.

    Parameters
    ----------
    folder : of the run; None for a run without telemetry.csv
    root, vcgencmd : see `read_board`
    every_seconds : between samples

    Attributes
    ----------
    temperature_c : the latest
    cases : trained on so far, counted by the caller
    num_samples : taken so far
    failure : why rows are missing from telemetry.csv; None if none are
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        root: str | Path,
        vcgencmd: str,
        every_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = None if folder is None else folder / "telemetry.csv"
        self.sensors = find_sensors(Path(root))
        self.vcgencmd = vcgencmd if shutil.which(vcgencmd) else None
        self.every_seconds = every_seconds
        self.clock = clock
        self.temperature_c: float | None = None
        self.cases = self.num_samples = 0
        self.pauses = self.dropped_threads = 0
        # Seconds of pauses that are over, begin of the one that is not: set together.
        self._pause: tuple[float, float | None] = (0.0, None)
        self._asked: dict[str, Any] = {}  # the firmware's last answers
        self._next_round = clock()
        self._since_boot: set[str] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._warned: set[str] = set()

        earlier = read_telemetry(self.path) if self.path is not None else []
        self.totals = Totals()
        for row in earlier:
            self.totals.add(row)
        self.rows_written = len(earlier)
        lengths = [row["seconds"] or 0.0 for row in earlier[-9:]]
        per_row = statistics.median(lengths) / every_seconds if lengths else 1
        self.samples_per_row = 1 << max(0, round(per_row) - 1).bit_length()
        self._samples: list[Row] = []  # of a row that is not full
        self._rows: list[Row] = []  # not yet written
        self.failure: OSError | None = None
        self._wrote = self._sampled = clock()
        self._counted = self._counts()
        self._throttle_count = self.sensors.throttle_count()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, name="monitor", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take a last look and write what is left; harmless when done already."""
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join()
        self._thread = None
        self._look(ask=True)
        if self._samples:
            self._rows.append(merge(self._samples))
            self._samples = []
        self._write()

    def count(self, num_cases: int) -> None:
        """So many cases have been trained on."""
        self.cases += num_cases

    def begin_pause(self) -> None:
        """The guard pauses training from now on."""
        self.pauses += 1
        self._pause = (self._paused_seconds(), self.clock())

    def end_pause(self) -> None:
        self._pause = (self._paused_seconds(), None)

    def summary(self, *, epochs: int, num_cases: int) -> dict[str, Any]:
        """`thermal` and `energy` for summary.json, after `stop`.

        Parameters
        ----------
        epochs, num_cases : trained in all, also before the run was resumed
        """
        return {
            "thermal": self.totals.thermal(),
            "energy": self.totals.energy(epochs=epochs, num_cases=num_cases),
        }

    def _watch(self) -> None:
        # The first look comes before the processor is warm.
        self._look(first=True)
        due = self.clock() + self.every_seconds
        while not self._stop.wait(max(0.0, due - self.clock())):
            due = max(due, self.clock() - self.every_seconds) + self.every_seconds
            self._look()
            if self.clock() - self._wrote >= BLOCK_SECONDS:
                self._write()

    def _look(self, *, first: bool = False, ask: bool = False) -> None:
        """Ask if it is time to, and take a sample. No board is so strange that it costs the run."""
        try:
            if ask or self.clock() >= self._next_round:
                self._ask()
            self._sample(first=first)
        except Exception as error:
            self.temperature_c = None
            self._warn("the board cannot be read", f"{type(error).__name__}: {error}")

    def _warn(self, what: str, why: str) -> None:
        if what not in self._warned:
            log.warning("%s (%s); the run goes on.", what, why)
        self._warned.add(what)

    def _ask(self) -> None:
        """One round of the firmware's command; the next one when it has paid for itself."""
        if self.vcgencmd is None:
            return
        spent = _processor_seconds()
        throttled = ask_throttled(self.vcgencmd)
        if throttled is None:  # the firmware hangs: nothing is gained by asking on
            self._asked, self._next_round = {}, self.clock() + LONGEST_WAIT
            return
        if throttled.since_boot is not None:
            if self._since_boot is None:
                self._since_boot = set(throttled.since_boot)
            # Between two rounds something may have come and gone.
            new = set(throttled.since_boot) - self._since_boot
            self._since_boot |= new
            throttled = Throttled(tuple(sorted({*throttled.now, *new})), throttled.since_boot)
        self._asked = {"throttled": throttled, "clock": ask_clock(self.vcgencmd)}
        if self.totals.has_watts or self.totals.is_new:
            self._asked["watts"] = ask_watts(self.vcgencmd)
        wait = (_processor_seconds() - spent) / COMMAND_SHARE
        self._next_round = self.clock() + min(max(wait, SHORTEST_WAIT), LONGEST_WAIT)

    def _sample(self, first: bool = False) -> None:
        now = self.clock()
        seconds, self._sampled = now - self._sampled, now
        before, self._counted = self._counted, self._counts()
        cases, pauses, paused, dropped = (b - a for a, b in zip(before, self._counted, strict=True))
        self.temperature_c = self.sensors.temperature_c()
        brief = seconds < 0.5 * self.every_seconds  # as the last one is; no speed comes of it
        clock = self._asked.get("clock")
        row: Row = {
            "time": time.time(),
            "seconds": seconds,
            "temperature_c": self.temperature_c,
            "clock_mhz": self.sensors.clock_mhz() if clock is None else clock,
            **self._held_back(),
            "watts": self._asked.get("watts"),
            "memory_mb": _resident_mb(),
            "load": self.sensors.load(),
            "samples_per_second": None if first or brief else cases / seconds,
            "pauses": pauses,
            "paused_seconds": paused,
            "dropped_threads": dropped,
        }
        self.totals.add(row)
        self.num_samples += 1
        self._samples.append(row)
        if len(self._samples) >= self.samples_per_row:
            self._rows.append(merge(self._samples))
            self._samples = []

    def _held_back(self) -> dict[str, float | None]:
        asked = self._asked.get("throttled")
        alarm = self.sensors.throttled()
        throttled = under_voltage = None
        if asked is not None:
            throttled = float(bool(HOLDS_BACK & set(asked.now)))
            under_voltage = float("under_voltage" in asked.now)
        if alarm is not None:
            under_voltage = max(under_voltage or 0.0, float(bool(alarm.now)))
        count, before = self.sensors.throttle_count(), self._throttle_count
        if count is not None:
            throttled = max(throttled or 0.0, float(before is not None and count > before))
            self._throttle_count = count
        return {"throttled": throttled, "under_voltage": under_voltage}

    def _counts(self) -> tuple[float, ...]:
        return (self.cases, self.pauses, self._paused_seconds(), self.dropped_threads)

    def _paused_seconds(self) -> float:
        over, since = self._pause
        return over if since is None else over + self.clock() - since

    def _write(self) -> None:
        self._wrote = self.clock()
        if self.path is None or not self._rows:
            return
        try:
            append_telemetry(self.path, self._rows)
            self.rows_written, self._rows = self.rows_written + len(self._rows), []
            if self.rows_written > MOST_ROWS:
                self._halve()
        except OSError as error:
            self._warn("telemetry.csv cannot be written", str(error))
            self.failure = error.with_traceback(None)
            if len(self._rows) > MOST_KEPT:
                self._rows = [merge(self._rows[k : k + 2]) for k in range(0, len(self._rows), 2)]
        else:
            self.failure, self._rows = None, []

    def _halve(self) -> None:
        assert self.path is not None
        rows = read_telemetry(self.path)
        rows = [merge(rows[k : k + 2]) for k in range(0, len(rows), 2)]
        write_telemetry(self.path, rows)
        self.rows_written = len(rows)
        self.samples_per_row *= 2


class Totals:
    """What the rows of a run come to."""

    def __init__(self) -> None:
        self.first: float | None = None
        self.last: float | None = None
        self.highest: float | None = None
        self.joules: float | None = None
        self.seconds = self.metered = 0.0  # in all, and those of which the watts are known
        self.flags: dict[str, float | None] = {"throttled": None, "under_voltage": None}
        self.counts = {"pauses": 0.0, "paused_seconds": 0.0, "dropped_threads": 0.0}
        self.is_new = True

    @property
    def has_watts(self) -> bool:
        return self.joules is not None

    def add(self, row: Mapping[str, float | None]) -> None:
        self.is_new = False
        temperature, watts = row["temperature_c"], row["watts"]
        if temperature is not None:
            self.first = temperature if self.first is None else self.first
            self.last = temperature
            self.highest = temperature if self.highest is None else max(self.highest, temperature)
        seconds = row["seconds"] or 0.0
        self.seconds += seconds
        if watts is not None:
            self.joules = (self.joules or 0.0) + watts * seconds
            self.metered += seconds
        for flag, seen in self.flags.items():
            if (value := row[flag]) is not None:
                self.flags[flag] = max(seen or 0.0, value)
        for name in self.counts:
            self.counts[name] += row[name] or 0.0

    def thermal(self) -> dict[str, Any]:
        return {
            "temperature_before_c": self.first,
            "temperature_after_c": self.last,
            "temperature_max_c": self.highest,
            **{flag: None if v is None else v > 0 for flag, v in self.flags.items()},
            "pauses": round(self.counts["pauses"]),
            "paused_seconds": round(self.counts["paused_seconds"], 1),
            "dropped_threads": round(self.counts["dropped_threads"]),
        }

    def energy(self, *, epochs: int, num_cases: int) -> dict[str, Any] | None:
        if self.joules is None:
            return None
        share = self.metered / self.seconds if self.seconds else 0.0
        whole = share >= LEAST_METERED
        return {
            "joules": self.joules,
            "joules_per_epoch": self.joules / epochs if whole and epochs else None,
            "joules_per_thousand_cases": (
                1000 * self.joules / num_cases if whole and num_cases else None
            ),
            "metered": share,
            "estimated": True,
        }


def _processor_seconds() -> float:
    """Taken by this thread and by processes that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.thread_time() + children.ru_utime + children.ru_stime


def _resident_mb() -> float | None:
    words = read_text(Path("/proc/self/statm")).split()
    try:
        return int(words[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (IndexError, ValueError):
        return None
