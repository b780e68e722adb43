"""What a stream comes to: lines in, records out; nothing here reads, writes or waits.

A record is a dict for one line of JSON. `event` says what it is:

    start, end        of a class: class, score, time and number of the last sample
    window            what the model makes of one window (only if asked for)
    gap, backwards    the clock jumps ahead or back: windows begin anew
    restart           names again in the middle: a device that starts anew, another recording
    lost              datagrams that did not get through, or another sender's turn: likewise
    unplugged, back   the device is gone, and there again
    stranger          a datagram of another sender, left out
    rate, range       the samples are not as in training
    missing           a window is left out, as it has values that the model's policy does not allow
    bad_line          a line is no sample
    table             lines that are no plain CSV: what they were found to hold, and from where on
    finished          the end, with all counts

Of faults the first few of a kind are told as they come and then one in ten seconds, each with the
count so far.
"""

import csv
import math
import re
import time
from collections.abc import Callable
from typing import Any

from raspitrain.errors import InputError
from raspitrain.use.clock import AT_THE_RATE, Arrivals, Clock, is_off
from raspitrain.use.columns import Columns, LineError, holds_nothing, separator_of, split_line
from raspitrain.use.events import Average, Settings
from raspitrain.use.forms import LEAST_LINES, Form, Records, find_form, records_of
from raspitrain.use.keep import Keeper
from raspitrain.use.model import Model, Prediction
from raspitrain.use.windows import Windows

TOLD_AT_ONCE = 5  # reports of one kind, before they get their rhythm
SECONDS_BETWEEN = 10.0
MOST_BAD_LINES = 3  # in a row: more are a gap
MOST_BEFORE_ANEW = 20  # in a row from a device: then its columns are looked for anew
MONITOR = re.compile(r"\d\d?:\d\d?:\d\d?\.\d+ -> ?")  # the clock of Arduino's serial monitor
PATIENCE = 200  # lines of a device that fit no model, before it is given up
PATIENCE_OF_A_PIPE = 64  # and of a pipe, which says less before its first sample
FAULTS = (
    "gap", "backwards", "restart", "rate", "range", "missing", "bad_line", "unplugged", "back",
    "lost", "stranger",
)  # fmt: skip

Record = dict[str, Any]


class Watcher:
    """Takes lines, cuts windows, tells of events.

    Parameters
    ----------
    source : what sentences call it
    hop : samples from a window to the next
    rate : samples a second, as the user says
    live : whether a device is at the other end: it may say anything at first, and its samples come
        at their own time
    all_windows : whether every window is told of

    Attributes
    ----------
    starts : events of each class so far
    latest : the last window's record
    """

    def __init__(
        self,
        model: Model,
        settings: Settings,
        *,
        source: str,
        hop: int,
        rate: float | None,
        live: bool,
        tell: Callable[[Record], None],
        time_column: str | None = None,
        all_windows: bool = False,
        keeper: Keeper | None = None,
    ) -> None:
        self.model, self.settings, self.source = model, settings, source
        self.hop, self.live = hop, live
        self.rate, self._given_rate = rate or model.rate, rate
        self._tell, self._time_column = tell, time_column
        self._all_windows, self._keeper = all_windows, keeper
        self._windows = Windows(model, hop)
        self._average = Average(settings.average)
        self._triggers = {
            model.classes.index(name): settings.trigger(name) for name in settings.thresholds
        }
        self._columns: Columns | None = None
        self._separator: str | None = None
        self._form: Form | None = None  # of lines that are no plain CSV
        self._unfit: list[tuple[str, int]] = []  # lines until columns are found
        self._why_unfit = ""
        # Lines taken for names and units, until a row follows.
        self._names: list[tuple[str, int]] = []
        self._may_be_plain = True
        self._fresh = False
        self._may_be_cut = live  # one begins to listen in the middle of a line
        self._clock: Clock | None = None
        self._arrivals = Arrivals()
        self._stamp = math.nan
        self._seconds = 0.0  # of samples and gaps, the triggers' time
        self._step = 1.0 if self.rate is None else 1 / self.rate
        self._bad_in_a_row = 0
        self._why = ""  # the last bad line's
        self._is_off = False
        self._out_of_range: list[int] = []
        self._told: dict[str, float] = {}
        self.counts = dict.fromkeys(("samples", "windows", "events", "withheld", *FAULTS), 0)
        self.starts = dict.fromkeys(settings.thresholds, 0)
        self.inference_seconds = 0.0
        self.last_sample_at = 0.0  # seconds since 1970
        self.latest: Record | None = None

    # ------------------------------------------------------------ lines

    def line(self, text: str | None, number: int) -> None:
        """Take a line; None for one that was too long.

        Raises
        ------
        InputError
            The first lines do not fit the model.
        """
        may_be_cut, self._may_be_cut = self._may_be_cut, False
        if text is None:
            self._bad(number, "longer than a million characters.")
            return
        text = text.strip("\r\n\ufeff")
        text = MONITOR.sub("", text)
        if holds_nothing(text):
            return
        columns = self._columns
        if columns is None:
            self._begin(text, number, may_be_cut)
            return
        try:
            if self._form is None:
                rows = [split_line(text, self._separator)]
            elif not (rows := self._form.rows(text)):
                self._report("bad_line", line=number, why="no sample, and passed over")
            for cells in rows:
                if not self._row(columns, cells) and self._names:
                    self._names.append((text, number))
        except (LineError, csv.Error) as error:
            if not self._names:
                self._bad(number, str(error))
                return
            # No names, perhaps, but words beside numbers.
            lines = [*self._names, (text, number)]
            self._begin_anew()
            self._columns, self._may_be_plain = None, False
            for line in lines:
                self._does_not_fit(*line, f"{self.source}, line {number}: {error}")

    def _row(self, columns: Columns, cells: list[str]) -> bool:
        """Take a row; whether it was a sample, and not names or units."""
        if columns.named and self._is_header(columns, cells):
            self.restart("restart")
            self._fresh = self._form is None
            self._clock = self._new_clock(columns)
            return False
        if self._fresh:
            self._fresh = False
            if columns.is_row_of_units(cells):
                return False
        sample = columns.sample(cells)
        stamp = math.nan if columns.time is None else columns.stamp(cells)
        self._bad_in_a_row = 0
        self._names.clear()
        self.take(sample, stamp)
        return True

    @staticmethod
    def _is_header(columns: Columns, cells: list[str]) -> bool:
        return cells[0].strip() == columns.names[0] and [c.strip() for c in cells] == columns.names

    def _begin(self, text: str, number: int, may_be_cut: bool) -> None:
        """Look for names, or a sample without any, in the first line; later ones of a pipe that has
        begun otherwise are taken for samples only where names say so."""
        form: Form | None = None
        separator = None
        try:
            if records := records_of(text):
                form = Records(self.model, records[0], self.source, self._time_column)
                columns = form.columns
            elif not self._may_be_plain:
                raise LineError(self._why_unfit)
            else:
                separator = separator_of(text, self.model.channels)
                cells = split_line(text, separator)
                columns = Columns(self.model, cells, self.source, time_column=self._time_column)
        except (LineError, InputError) as error:
            self._does_not_fit(text, number, str(error))
            return
        if self._unfit and not self.live and not (columns.named or columns.pairs):
            self._does_not_fit(text, number, "")
            return
        if may_be_cut and not columns.named:
            return  # the next line says how many columns there are
        if columns.time is None and columns.named and form is None and self._needs_rate():
            self._may_be_plain = False  # dates of another name may tell it
            self._does_not_fit(text, number, self._no_rate())
            return
        self._take_up(columns, form, separator)
        if self._fresh and columns.may_be_words():
            self._names.append((text, number))
        if form is not None or not columns.named:
            self.line(text, number)

    def _take_up(self, columns: Columns, form: Form | None, separator: str | None) -> None:
        if columns.time is None:
            self._check_that_rate_is_said()
        self._columns, self._form, self._separator = columns, form, separator
        self._clock = self._new_clock(columns)
        self._fresh = columns.named and form is None
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._unfit.clear()
        self._names.clear()
        self._may_be_plain, self._why_unfit = True, ""

    def _does_not_fit(self, text: str, number: int, why: str) -> None:
        """Keep a line that is no plain CSV, and see what all of them are: a device tells of itself
        when it starts, its first line may be cut, and lines may hold more than CSV."""
        if self.live:
            self._bad(number, why)
        self._why_unfit = self._why_unfit or why
        self._unfit.append((text, number))
        count, most = len(self._unfit), PATIENCE if self.live else PATIENCE_OF_A_PIPE
        if count % LEAST_LINES == 0:
            self._look_for_a_form()
        if self._columns is None and count >= most:
            if self.counts["samples"]:
                self._begin_anew()  # it may go on as it was
                return
            lines = f"{count} lines, and none that fits: " if self.live else ""
            raise InputError(f"{lines}{self._why_unfit}")

    def _look_for_a_form(self) -> None:
        lines = [text for text, _ in self._unfit]
        given = (self.model, self.source, self._time_column)
        form = find_form(lines, *given)
        if form is None and self.live:  # whatever it said as it started
            form = find_form(lines[-LEAST_LINES:], *given)
        if form is None:
            return
        # Those of a device have been told of as bad, and their moment is past.
        again = [] if self.live else self._unfit[form.first :]
        names, first = form.columns.names, self._unfit[-1 if self.live else form.first][1]
        self._take_up(form.columns, form, None)
        self._tell({"event": "table", "line": first, "columns": names})
        for text, number in again:
            self.line(text, number)

    def _needs_rate(self) -> bool:
        return self.model.rate is not None and self._given_rate is None and not self.live

    def _no_rate(self) -> str:
        return (
            f"{self.source} has no time column, and the model was trained at "
            f"{self.model.rate:g} Hz: say the samples a second with --rate."
        )

    def _check_that_rate_is_said(self) -> None:
        if self._needs_rate():
            raise InputError(self._no_rate())

    def _new_clock(self, columns: Columns) -> Clock | None:
        return None if columns.time is None else Clock(columns.ticks, self.rate)

    def _bad(self, number: int, why: str) -> None:
        self._why = f"line {number}: {why}"
        self._report("bad_line", line=number, why=why)
        if self._columns is None:
            return
        self._bad_in_a_row += 1
        if self._bad_in_a_row > MOST_BAD_LINES:
            if self._bad_in_a_row == MOST_BAD_LINES + 1:
                self.restart("gap", why="bad lines")
            if self.live and self._bad_in_a_row >= MOST_BEFORE_ANEW:
                self._columns = self._clock = None  # it may have been a wrong beginning
                self._bad_in_a_row = 0
            return
        # A sample was there: the model's policy for what is missing decides.
        self.take([math.nan] * len(self.model.channels), math.nan)

    # ------------------------------------------------------------ samples

    def begin_raw(self) -> None:
        """Say that samples come by `take` and not in lines.

        Raises
        ------
        InputError
            Nothing says at which rate.
        """
        self._check_that_rate_is_said()

    def take(self, sample: list[float], stamp: float = math.nan) -> None:
        """Take a sample (C,) of the model's channels, and what its column of time says."""
        clock = self._clock
        if clock is not None:
            before, said = self._stamp, clock.tell(stamp)
            stamp += clock.past
            if said is not None:
                ticks = clock.ticks or 1.0
                jump = (stamp - before) / ticks
                if self.rate is not None and jump > 0:
                    self._seconds += jump
                self.restart(said, jump=_known(round(jump, 6)))
            if stamp == stamp:
                self._stamp = stamp
        self._seconds += self._step
        self.counts["samples"] += 1
        shown = stamp
        if clock is None and self.rate is not None:
            shown = self._windows.num_samples / self.rate
        if self._windows.push(sample, shown):
            self._window()

    def arrived(self, now: float) -> None:
        """Say that lines have arrived at a moment, in seconds of a clock that only rises."""
        self.last_sample_at = time.time()
        if self.live and self._clock is None:
            self._arrivals.tell(now, self.counts["samples"])

    def restart(self, reason: str, **facts: Any) -> None:
        """Begin anew: no window, mean or event reaches across."""
        self._end_events(reason)
        self._windows.restart()
        self._average.clear()
        self._report(reason, **facts)

    def source_says(self, kind: str) -> None:
        """Hear of the source: unplugged, back, lost, stranger."""
        if kind == "unplugged":
            self.restart(kind)
            self._arrivals.clear()
            # It may have other columns and another clock when it is back.
            self._columns = self._clock = None
            self._may_be_cut = True
        elif kind == "lost":
            self.restart(kind)
        else:
            self._report(kind)

    # ------------------------------------------------------------ windows

    def _window(self) -> None:
        if not self._rate_is_right():
            self.counts["withheld"] += 1
            return
        windows = self._windows
        self._look_at_range()
        began = time.perf_counter()
        try:
            answer = windows.predict()
        except InputError as error:
            self._end_events("missing")
            self._average.clear()
            self._report("missing", why=str(error))
            return
        finally:
            self.inference_seconds += time.perf_counter() - began
        probabilities = list(answer.probabilities.values())
        scores = self._average.feed(probabilities)
        record: Record = {
            "event": "window",
            "window": self.counts["windows"],
            "start": windows.start,
            "time": _known(windows.time),
            "class": answer.label,
            "probability": answer.probability,
            "probabilities": answer.probabilities,
            "logits": answer.logits,
            "scores": None
            if scores is None
            else dict(zip(self.model.classes, scores, strict=True)),
        }
        self.counts["windows"] += 1
        self.latest = record
        if self._all_windows:
            self._tell(record)
        if scores is not None:
            self._look_for_events(scores)
        if self._keeper is not None:
            self._keep(self._keeper, answer, scores)

    def _look_for_events(self, scores: list[float]) -> None:
        for place, trigger in self._triggers.items():
            change = trigger.feed(self._seconds, scores[place])
            if change > 0:
                name = self.model.classes[place]
                self.counts["events"] += 1
                self.starts[name] += 1
                self._tell(self._event("start", name, score=scores[place]))
            elif change < 0:
                self._tell_end(place, score=scores[place])

    def _tell_end(self, place: int, **facts: Any) -> None:
        trigger = self._triggers[place]
        unit = "samples" if self.rate is None else "seconds"
        lasted = {unit: round(self._seconds - trigger.since, 6)}
        name = self.model.classes[place]
        self._tell(self._event("end", name, **lasted, peak=trigger.peak, **facts))

    def _end_events(self, reason: str) -> None:
        for place, trigger in self._triggers.items():
            if trigger.is_on:
                trigger.end(self._seconds)
                self._tell_end(place, reason=reason)

    def _event(self, kind: str, name: str, **facts: Any) -> Record:
        return {"event": kind, "class": name, **facts, **self._now()}

    def _now(self) -> Record:
        """Where the stream is: its last sample."""
        windows = self._windows
        stamp: float | None = _known(self._stamp)
        if self._clock is None:
            stamp = None if self.rate is None else (windows.num_samples - 1) / self.rate
        found: Record = {"time": stamp, "sample": windows.num_samples - 1}
        if self.live:
            found["at"] = round(time.time(), 3)
        return found

    def _keep(self, keeper: Keeper, answer: Prediction, scores: list[float] | None) -> None:
        windows = self._windows
        near = scores is not None and any(
            keeper.is_near(scores[self.model.classes.index(name)], threshold)
            for name, threshold in self.settings.thresholds.items()
        )
        ticks = 1.0 if self._clock is None else self._clock.ticks
        problem = keeper.offer(answer, near, windows, ticks)
        if problem is not None:
            self._tell({"event": "keep", "why": problem, **self._now()})

    # ------------------------------------------------------------ checks

    def _rate_is_right(self) -> bool:
        """Whether samples come at the rate of training, as far as that is known yet."""
        expected = self.model.rate
        measured, precision = None, 0.0
        if self._clock is not None:
            measured = self._clock.rate
            precision = self._clock.precision if measured is not None else 0.0
        elif self.live:
            measured, precision = self._arrivals.rate, Arrivals.PRECISION
        if expected is None or measured is None:
            return not self._is_off
        tolerance = self.model.header["input"]["rate_tolerance"] + precision
        off = is_off(measured, expected, tolerance)
        if off != self._is_off:
            self._is_off = off
            if off:
                self._end_events("rate")
                self._average.clear()
            self._report("rate", right=not off, measured=round(measured, 4), trained=expected)
        return not off

    def _look_at_range(self) -> None:
        outside = self._windows.range.channels()
        if outside == self._out_of_range:
            return
        fresh = [channel for channel in outside if channel not in self._out_of_range]
        self._out_of_range = outside
        if fresh:
            rows = self._windows.rows()
            facts = [self._windows.range.facts(c, rows[c].tolist()) for c in fresh]
            self._report("range", channels=facts)

    def _report(self, kind: str, **facts: Any) -> None:
        """Count a fault, and tell of it if the last of its kind was told long enough ago."""
        self.counts[kind] += 1
        count, now = self.counts[kind], time.monotonic()
        if count <= TOLD_AT_ONCE or now - self._told[kind] >= SECONDS_BETWEEN:
            self._told[kind] = now
            self._tell({"event": kind, "count": count, **facts, **self._now()})

    # ------------------------------------------------------------ the end

    def finish(self, reason: str) -> None:
        """End what is open and tell the counts.

        Raises
        ------
        InputError
            Nothing came, or all of it came at another rate than the model's.
        """
        if self._unfit and not self.live and reason == "end":
            self._look_for_a_form()
            if self._columns is None:
                raise InputError(self._why_unfit)
        self._end_events(reason)
        self._tell({"event": "finished", "why": reason, **self.totals()})
        if reason != "end":
            return
        counts = self.counts
        if not counts["samples"] and self._columns is None and not counts["bad_line"]:
            raise InputError(f"{self.source} is empty.")
        if counts["withheld"] and not counts["windows"]:
            measured = self._clock.rate if self._clock is not None else self._arrivals.rate
            raise InputError(
                f"{self.source} has {measured or 0:.4g} samples a second, and the model was "
                f"trained at {self.model.rate:g}: {AT_THE_RATE}."
            )
        if not counts["windows"] and not counts["missing"]:
            raise InputError(
                f"{self.source} had {counts['samples']} samples, and never as many as a window, "
                f"{self.model.length}, in one stretch{f'; {self._why}' if self._why else '.'}"
            )

    def totals(self) -> Record:
        return {
            **self.counts,
            "events": dict(self.starts),
            "kept": 0 if self._keeper is None else self._keeper.num_kept,
        }


def _known(value: float) -> float | None:
    return value if value - value == 0 else None
