"""When checkpoints are written, how they replace one another, and what becomes of a full card."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from raspitrain.errors import reason
from raspitrain.results.checkpoint import save_checkpoint
from raspitrain.results.files import BEST, LAST, PREVIOUS

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0  # at least, after a write that failed


class Keeper:
    """Writes last.pt and best.pt of one run.

        keeper = Keeper(folder, minutes=5, epochs=None, share=0.02)
        if keeper.is_due():
            keeper.save(state, best)

    A write that fails costs a warning, and is tried again after the next interval.

    Parameters
    ----------
    minutes : between checkpoints
    epochs : between checkpoints, too, where it is not None
    share : of all time, that writing may take: a slow card is written to less often
    clock : for tests

    Attributes
    ----------
    failure : why the last write failed; None if it went well
    """

    def __init__(
        self,
        folder: Path,
        *,
        minutes: float,
        epochs: int | None,
        share: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.interval = 60 * minutes
        self.epochs = epochs
        self.share = share
        self.clock = clock
        self.failure: OSError | TypeError | None = None
        self.num_written = self.num_bytes = self.last_bytes = 0
        self.seconds = 0.0
        self.best_step: int | None = None  # of the best.pt that is written
        self.due = self.pause_ends = -float("inf")
        self.told = False

    def is_due(self) -> bool:
        """Whether the minutes are over; quick enough to be asked at every step."""
        return self.clock() >= self.due

    def is_due_after(self, epoch: int) -> bool:
        """Whether it is time at the end of this epoch."""
        if self.is_due():
            return True
        at_epoch = self.epochs is not None and epoch % self.epochs == 0
        return at_epoch and self.clock() >= self.pause_ends

    def save(
        self, last: Mapping[str, Any], best: Mapping[str, Any] | None, *, warn: bool = True
    ) -> bool:
        """Write both, the best one only where it is another; say whether all went well.

        Parameters
        ----------
        last : what last.pt is to hold
        best : what best.pt is to hold, known by its `step`; None where there is none yet
        warn : of a failure, the first time
        """
        began = self.clock()
        failed: OSError | TypeError | None = None
        size = 0
        try:
            if best is not None and best["step"] != self.best_step:
                save_checkpoint(self.folder / BEST, best)
                self.best_step = best["step"]
                size += (self.folder / BEST).stat().st_size
        except (OSError, TypeError) as error:
            failed = error.with_traceback(None)  # whose frames hold on to what was saved
        try:
            save_checkpoint(self.folder / LAST, last, previous=self.folder / PREVIOUS)
            size += (self.folder / LAST).stat().st_size
        except (OSError, TypeError) as error:
            failed = error.with_traceback(None)
        now = self.clock()
        self._plan(now, now - began, failed)
        if failed is None:
            self._count(size, now - began)
        self._tell(failed, warn)
        return failed is None

    def _plan(self, now: float, seconds: float, failed: Exception | None) -> None:
        self.pause_ends = now + seconds / self.share
        pause = max(self.interval, RETRY_SECONDS if failed else 0.0)
        self.due = max(now + pause, self.pause_ends)
        stretched = self.due > now + max(pause, 1.0)  # below a second it is the tests' business
        if stretched and not failed and not self.told and self.num_written:
            self.told = True
            log.info(
                "checkpoints: writing one took %.1f s, so they come every %.1f minutes, to take "
                "%g %% of the time at most (checkpoint_share)",
                seconds, (self.due - now) / 60, 100 * self.share,
            )  # fmt: skip

    def _count(self, size: int, seconds: float) -> None:
        self.num_written += 1
        self.num_bytes += size
        self.last_bytes = size
        self.seconds += seconds
        if self.num_written == 2 and (hourly := self.record()["bytes_per_hour"]) is not None:
            log.info("checkpoints: %.1f MB each, %.0f MB an hour at most", size / 1e6, hourly / 1e6)

    def _tell(self, failed: OSError | TypeError | None, warn: bool) -> None:
        before, self.failure = self.failure, failed
        if failed is not None and before is None and warn:
            log.warning(
                "the checkpoint cannot be written (%s): training goes on and tries again, and the "
                "one before stays",
                reason(failed),
            )
        elif failed is None and before is not None:
            log.warning("checkpoints can be written again")

    def remove_previous(self) -> None:
        """Take away last.previous.pt, once last.pt will not be replaced any more."""
        if self.failure is None:
            try:
                (self.folder / PREVIOUS).unlink(missing_ok=True)
            except OSError as error:
                log.info("%s stays: %s", PREVIOUS, error.strerror)

    def record(self) -> dict[str, Any]:
        """For summary.json: how much was written, and how much an hour at this pace."""
        seconds = max(self.interval, self.seconds / self.share / max(1, self.num_written))
        return {
            "written": self.num_written,
            "bytes": self.num_bytes,
            "seconds": self.seconds,
            "bytes_per_hour": round(self.last_bytes * 3600 / seconds) if seconds else None,
        }
