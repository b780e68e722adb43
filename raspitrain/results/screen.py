"""What a person sees of a run: a bar on a terminal, plain lines in a pipe."""

import logging
import logging.handlers
import math
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

from raspitrain.errors import printable, visible
from raspitrain.results.figures import FIGURE, FIGURES
from raspitrain.results.values import number
from raspitrain.stop import write_nowhere

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    from raspitrain.results.table import Row

log = logging.getLogger("raspitrain")

REFRESH_SECONDS = 0.25  # a Pi has better things to do, and so has a slow SSH line
PARTS = ("train", "validation", "test")
RESUMABLE = ("interrupted", "failed")
# A journal keeps what a pipe is given, and a run may last weeks.
LINES_AT_ONCE = 100
LINE_SECONDS = 10.0  # between the lines after those


class Screen:
    """Show a run as it goes.

        with Screen(epochs, num_steps) as screen:
            screen.step(len(labels), loss.item)
            screen.evaluation(row)
            screen.finish(summary, folder)

    On a terminal this is one bar that `step` redraws at most four times a second, from the
    training loop itself and not from a thread. Elsewhere it is a line for each evaluation. A
    reader that goes away (`| head`, a dropped connection) ends the show, never the run.

    Parameters
    ----------
    epochs : number of epochs in the run
    num_steps : number of steps in an epoch
    stream : where to write; standard output if None
    first_step : how many steps an earlier part of the run has taken
    show : if not, everything is logged and nothing shown
    """

    def __init__(
        self,
        epochs: int,
        num_steps: int,
        stream: TextIO | None = None,
        *,
        first_step: int = 0,
        show: bool = True,
    ) -> None:
        self.epochs = epochs
        self.num_steps = num_steps
        self.first_step = first_step
        self.stream: TextIO | None = (sys.stdout if stream is None else stream) if show else None
        self.steps = first_step
        self.cases = 0
        self.loss = math.nan
        self.row: Row = {}
        self.began = self.drawn = time.monotonic()
        self.lines = 0
        self.last_line = -math.inf
        self.live: Live | None = None
        if _is_terminal(self.stream):
            self._show(self._start_bar)

    def step(self, n: int, loss: Callable[[], float] | float | None = None) -> None:
        """Count a step of `n` cases.

        `loss` is called only when the bar is redrawn: pass `loss.item` and no step waits for it.
        """
        self.steps += 1
        self.cases += n
        if self.live is None or not self._due():
            return
        if loss is not None:
            self.loss = loss() if callable(loss) else loss
        self._show(self._draw)

    def say(self, line: str) -> None:
        """Show a line above the bar; log it."""
        log.info(line)
        if self.live is None:
            self._print(line)
            return
        console = self.live.console
        self._show(lambda: console.print(printable(line), markup=False, soft_wrap=True))

    def evaluation(self, row: "Row") -> None:
        """Show a row of metrics.csv; log it."""
        self.row = dict(row)
        line = evaluation_line(row, self.epochs)
        log.info(line)
        if self.live is None:
            if self._is_worth_a_line(row):
                self._print(line)
        elif self._due():
            self._show(self._draw)

    def finish(self, summary: Mapping[str, Any], folder: str | os.PathLike[str]) -> None:
        """Take the bar away and show what came of the run; log it."""
        self.close()
        lines = final_lines(summary, folder)
        for line in lines:
            log.info(line)
        self._print("\n".join(["", *lines]))

    def close(self) -> None:
        """Take the bar away; give the terminal its cursor back. Harmless when done already."""
        live, self.live = self.live, None
        if live is None:
            return
        if self.stream is not None:
            self._show(live.stop)
        else:
            # The output is gone, but rich has still to hand back sys.stdout.
            with suppress(OSError, ValueError):
                live.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start_bar(self) -> None:
        # Imported here: a pipe never needs it.
        from rich.console import Console
        from rich.live import Live

        console = Console(
            file=self.stream, force_terminal=True, force_jupyter=False, highlight=False
        )
        live = Live(
            self._bar(console),
            console=console,
            auto_refresh=False,
            transient=True,
            vertical_overflow="crop",
        )
        live.start(refresh=True)
        self.live = live

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self.drawn < REFRESH_SECONDS:
            return False
        self.drawn = now
        return True

    def _is_worth_a_line(self, row: "Row") -> bool:
        """The first evaluations are, and the last; of the others one in a while."""
        now = time.monotonic()
        if (
            self.lines >= LINES_AT_ONCE
            and now - self.last_line < LINE_SECONDS
            and row.get("epoch") != self.epochs
        ):
            return False
        self.lines += 1
        self.last_line = now
        return True

    def _draw(self) -> None:
        if self.live is not None:
            self.live.update(self._bar(self.live.console), refresh=True)

    def _bar(self, console: "Console") -> "Table":
        """One line, as much of it as the terminal is wide: what matters most stays longest."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        total = self.epochs * self.num_steps
        done = min(self.steps, total)
        elapsed = time.monotonic() - self.began
        epoch = min(self.epochs, done // self.num_steps + 1)
        parts = [f"epoch {epoch}/{self.epochs}"]
        if (own := done - self.first_step) > 0:
            parts.append(f"{clock(elapsed * (total - done) / own)} left")
        if math.isfinite(self.loss):
            parts.append(f"loss {self.loss:.4f}")
        for part in ("validation", "test", "train"):
            accuracy = self.row.get(f"{part}_accuracy")
            if accuracy is not None:
                parts.append(f"accuracy {100 * accuracy:.1f} %")
                break
        rate = self.row.get("samples_per_second") or (self.cases / elapsed if elapsed else 0)
        if rate:
            parts.append(FIGURE["samples_per_second"].words(rate))

        widest = console.width - 6  # the bar's least, and a space
        while len(parts) > 1 and len("  ".join(parts)) > widest:
            parts.pop()
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(no_wrap=True)
        table.add_column(ratio=1)
        table.add_column(no_wrap=True)
        bar = ProgressBar(
            total=total,
            completed=done,
            style="bright_black",
            complete_style="cyan",
            finished_style="cyan",
        )
        table.add_row(parts[0], bar, "  ".join(parts[1:]))
        return table

    def _print(self, text: str) -> None:
        def write() -> None:
            stream = self.stream
            if stream is not None:
                encoding = getattr(stream, "encoding", None) or "utf-8"
                # A folder's name may hold what this terminal has no letter for.
                line = visible(text, keep="\n").encode(encoding, "backslashreplace")
                stream.write(line.decode(encoding) + "\n")
                stream.flush()

        self._show(write)

    def _show(self, action: Callable[[], None]) -> None:
        """Do something with the stream; if it is gone, be silent from then on."""
        if self.stream is None:
            return
        try:
            action()
        except (OSError, ValueError) as error:
            if isinstance(error, ValueError) and not self.stream.closed:
                raise
            stream, self.stream = self.stream, None
            self.close()
            write_nowhere(stream)
            log.info("nothing more is shown, as the output is gone: %s", error)


def evaluation_line(row: "Row", epochs: int) -> str:
    """A row of metrics.csv for people: accuracies in per cent, absent parts left out."""
    parts = [f"epoch {row.get('epoch')}/{epochs}"]
    if row.get("train_loss") is not None:
        parts.append(f"loss {row['train_loss']:.4f}")
    for part in PARTS:
        accuracy = row.get(f"{part}_accuracy")
        if accuracy is not None:
            parts.append(f"{part} {FIGURE[f'{part}_accuracy'].words(accuracy)}")
    if (speed := row.get("samples_per_second")) is not None:
        parts.append(FIGURE["samples_per_second"].words(speed))
    seconds = row.get("seconds")
    if seconds is not None:
        parts.append(clock(seconds))
    return "  ".join(parts)


def final_lines(summary: Mapping[str, Any], folder: str | os.PathLike[str]) -> list[str]:
    """The short table at the end, from the keys of summary.json; what is absent is left out."""
    table: list[tuple[str, str]] = []
    if summary.get("status") != "completed":
        reason = summary.get("reason")
        table.append(("status", f"{summary.get('status')}{f': {reason}' if reason else ''}"))
    table += [("warning", str(warning)) for warning in summary.get("warnings") or ()]
    headlines = {
        figure.headline: (figure, summary[figure.key])
        for figure in FIGURES
        if figure.headline and _is_finite(summary.get(figure.key))
    }
    for name, (figure, value) in headlines.items():
        if figure.scale != 1:
            table.append((name, figure.words(value)))
    if summary.get("task") == "train" and "test" not in summary.get("num_cases", ("test",)):
        table.append((FIGURE["test_accuracy"].headline, "none, as there is no test part"))
    if summary.get("chosen_epoch") is not None:
        chosen = summary.get("chosen_model")
        table.append(("model", f"epoch {summary['chosen_epoch']}{f', {chosen}' if chosen else ''}"))
    if members := members_in_words(summary):
        table.append(("members", members))
    if summary.get("total_seconds") is not None:
        table.append(("time", clock(summary["total_seconds"])))
    throttled = (summary.get("thermal") or {}).get("throttled")
    for name, (figure, value) in headlines.items():
        if figure.scale == 1:
            slow = throttled and figure.key == "samples_per_second"
            mark = ", slowed down by the board: it does not count" if slow else ""
            table.append((name, figure.words(value) + mark))
    table.append(("folder", os.fspath(folder)))
    if summary.get("status") in RESUMABLE and Path(folder, "last.pt").exists():
        words = summary.get("resume_words") or ()
        command = summary.get("resume_command") or how_to_resume(folder, words)
        table.append(("to resume", command))
    return [f"{name:<15}{value}" for name, value in table]


def members_in_words(summary: Mapping[str, Any]) -> str:
    """What each network of an ensemble comes to by itself; empty where there is none."""
    members = summary.get("members")
    if not isinstance(members, list):
        return ""
    for key in ("test_accuracy", "validation_accuracy"):
        values = [number(own.get(key)) for own in members if isinstance(own, dict)]
        words = [FIGURE[key].words(value) for value in values if value is not None]
        if words:
            return f"{', '.join(words)} by themselves"
    return ""


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def how_to_resume(folder: str | os.PathLike[str], words: Sequence[str] = ()) -> str:
    """What to type to resume the run in `folder`, and `words` that must be given anew."""
    return shlex.join(["python", "-m", "raspitrain", f"resume={os.fspath(folder)}", *words])


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    whole = max(0, round(seconds)) if math.isfinite(seconds) else 0
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _is_terminal(stream: TextIO | None) -> bool:
    if stream is None or os.environ.get("TERM") in ("dumb", "unknown"):
        return False
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False
