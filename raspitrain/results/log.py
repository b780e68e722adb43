"""run.log: what a run says, in bounded size, for as long as the card takes it."""

import logging
import logging.handlers
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raspitrain.errors import printable
from raspitrain.results import atomic

log = logging.getLogger("raspitrain")

LOG_BYTES = 1_000_000  # of run.log; then it becomes run.log.1, and what was that goes


@contextmanager
def logging_to(folder: str | os.PathLike[str]) -> Iterator["LogFile"]:
    """Write what "raspitrain" logs to `folder`/run.log; show warnings on standard error as well.

    Within the block the root logger's handlers do not see these messages: the screen has shown
    them already.
    """
    handler = LogFile(
        Path(folder) / "run.log",
        delay=True,  # a card that refuses it is met by the first message, as by any other
        maxBytes=LOG_BYTES,
        backupCount=1,
        encoding="utf-8",
        errors="backslashreplace",
    )
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s"))
    warnings = logging.StreamHandler()
    warnings.setLevel(logging.WARNING)
    warnings.setFormatter(_OneLine())
    handlers: list[logging.Handler] = [handler, warnings]
    level, propagate = log.level, log.propagate
    log.setLevel(logging.INFO)
    log.propagate = False
    for each in handlers:
        log.addHandler(each)
    try:
        yield handler
    finally:
        for each in handlers:
            log.removeHandler(each)
        log.setLevel(level)
        log.propagate = propagate
        try:
            handler.close()
        except OSError as error:
            handler.complain(error)


class _OneLine(logging.Formatter):
    """A name in a message may hold a line's end, or what a terminal takes for a command."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        record.message = printable(record.message)
        return super().formatMessage(record)


class LogFile(logging.handlers.RotatingFileHandler):
    """A log that says once that its card will not take it, and lets the run go on.

    Attributes
    ----------
    failure : why the latest message could not be written; None if it was
    """

    complained = False
    failure: OSError | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.failure = None
        super().emit(record)

    def _open(self) -> Any:
        atomic.on_write("open", Path(self.baseFilename))
        return open(
            self.baseFilename,
            self.mode,
            encoding=self.encoding,
            errors=self.errors,
            opener=atomic.open_own,
        )

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self.failure = error.with_traceback(None)
            self.complain(error)
        else:
            super().handleError(record)

    def complain(self, error: OSError) -> None:
        if not self.complained:
            self.complained = True
            sentence = f"{self.baseFilename} cannot be written: {error.strerror}"
            print(printable(sentence), file=sys.stderr)
