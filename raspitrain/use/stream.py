"""raspitrain stream: a model at work on samples as they come, from a pipe, a device, datagrams."""

import argparse
import io
import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from raspitrain.data.files.endings import NO_LINES, PACKED
from raspitrain.errors import InputError, printable
from raspitrain.stop import Stopped, StopSignals, make_output_ready, say, write_nowhere
from raspitrain.use.clock import check_rate
from raspitrain.use.events import Settings, hop_of, settings_for
from raspitrain.use.keep import BELOW, MOST, Keeper
from raspitrain.use.lines import Lines
from raspitrain.use.model import Model, load
from raspitrain.use.notify import notify
from raspitrain.use.raw import FORMATS, Frames, channels_of
from raspitrain.use.sources import Source, open_source, wait_for
from raspitrain.use.watch import Record, Watcher

QUIET = 5.0  # seconds to wait for input before a service's watchdog is told
BAUD = 115_200


def main(arguments: Sequence[str] | None = None) -> int:
    """Stream; return the exit code: 0, 2 for a mistake, 75 for a device that is not there yet, 74
    where events cannot be written, 128 and its number for a signal."""
    given = _parser().parse_args(arguments)
    make_output_ready()  # there may be HTTP alone
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        with StopSignals() as stop, stop.deferred():
            _stream(given, stop)
    except InputError as error:
        say(f"error: {printable(str(error))}")
        return error.exit_code
    except BrokenPipeError:
        write_nowhere(sys.stdout)  # whoever reads the events has had enough
    except Stopped as stopped:
        return stopped.exit_code
    except OSError as error:
        say(f"error: the events cannot be written ({error.strerror}).")
        return 74
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="raspitrain stream",
        description="A model at work on samples as they come: lines of CSV in, events as lines of "
        "JSON out. Needs neither torch nor numpy.",
    )
    parser.add_argument("model", help="model.rpt, or the folder of a run")
    parser.add_argument(
        "--require-signature", metavar="FILE", help="ssh-keygen's file of allowed signers"
    )
    source = parser.add_argument_group("samples")
    source.add_argument(
        "--source",
        default="-",
        help="- (default): standard input; a serial device, as /dev/ttyACM0; a file or named pipe; "
        "udp:PORT, or udp:HOST:PORT to be reached from elsewhere",
    )
    source.add_argument("--baud", type=int, default=BAUD, help=f"of a device; default {BAUD}")
    source.add_argument(
        "--raw", choices=tuple(FORMATS),
        help="of a pipe or file: bytes in place of lines, channels one after another, as arecord "
        "-t raw writes them; parts of full scale, as of a WAV",
    )  # fmt: skip
    source.add_argument("--rate", type=float, help="samples a second, where no stamps say so")
    source.add_argument("--time-column", help="column of time, by name or number (0: the first)")
    source.add_argument("--hop", help="from a window to the next: samples, or a time as 0.5s")
    event = parser.add_argument_group("events (what is not given is as calibrated, or the default)")
    event.add_argument("--average", type=int, metavar="N", help="windows averaged; default 3")
    event.add_argument(
        "--threshold", action="append", default=[], metavar="[CLASS=]P",
        help="score from which a class begins; default 0.8",
    )  # fmt: skip
    event.add_argument(
        "--release", action="append", default=[], metavar="[CLASS=]P",
        help="score below which it ends; default: 0.1 below the threshold",
    )  # fmt: skip
    event.add_argument(
        "--suppress", metavar="TIME", help="no other event of a class so soon; default 1s"
    )
    event.add_argument(
        "--background", action="append", default=[], metavar="CLASS",
        help="a class that is no event",
    )  # fmt: skip
    out = parser.add_argument_group("beside events")
    out.add_argument("--scores", action="store_true", help="a line for every window as well")
    out.add_argument(
        "--http", metavar="[HOST:]PORT", help="serve /latest, /events, /metrics; as 127.0.0.1:8080"
    )
    out.add_argument(
        "--keep", metavar="uncertain=FOLDER", help="keep windows that the model is not sure of"
    )
    out.add_argument(
        "--keep-below", type=float, default=BELOW, metavar="P",
        help=f"probability of the best class below which a window is uncertain; default {BELOW}",
    )  # fmt: skip
    out.add_argument(
        "--keep-most", type=int, default=MOST, metavar="N",
        help=f"windows that may lie there; default {MOST}",
    )  # fmt: skip
    return parser


def _stream(given: argparse.Namespace, stop: StopSignals) -> None:
    model = load(given.model, allowed_signers=given.require_signature)
    if given.rate is not None and not 0 < given.rate < 1e9:
        raise InputError(f"--rate is {given.rate:g}, but must be above 0.")
    if given.rate is not None and model.rate is not None:
        tolerance = model.header["input"]["rate_tolerance"]
        check_rate(given.rate, model.rate, tolerance, "what comes, as --rate says,")
    rate = given.rate or model.rate
    hop = hop_of(model, given.hop, rate)
    settings = settings_for(
        model, rate, hop=hop, average=given.average, thresholds=given.threshold,
        releases=given.release, suppress=given.suppress, background=given.background,
    )  # fmt: skip
    keeper = _keeper(model, given)
    server = None

    def tell(record: Record) -> None:
        line = json.dumps(record, ensure_ascii=False)
        sys.stdout.write(line + "\n")
        if server is not None and record["event"] != "window":
            server.board.add(line)

    def wait(descriptor: int, seconds: float) -> bool:
        with stop.deferred(False):  # only here a signal ends the stream
            return wait_for(descriptor, seconds)

    if given.raw is None and given.source.lower().endswith((".npy", *NO_LINES, PACKED)):
        raise InputError(
            f"--source is {given.source}, and stream reads lines of CSV: predict reads such files."
        )
    with ExitStack() as stack:
        source = open_source(given.source, given.baud, wait)
        stack.callback(source.close)
        if given.raw is not None and source.live:
            raise InputError(f"--raw is for a pipe or a file, and --source is {source.name}.")
        watcher = Watcher(
            model, settings, source=source.name, hop=hop, rate=given.rate, live=source.live,
            tell=tell, time_column=given.time_column, all_windows=given.scores, keeper=keeper,
        )  # fmt: skip
        if given.http is not None:
            from raspitrain.use.serve import Server

            server = Server(given.http, watcher)
            stack.callback(server.close)
        say(_beginning(model, settings, source, hop, rate))
        if given.raw is not None and channels_of(model.channels) != model.channels:
            say(
                f"of stereo, as the recordings of training were, {model.channels[0]} alone is taken"
            )
        if hop > model.length:
            say(f"warning: of {hop} samples only {model.length} are looked at, as --hop has it")
        if server is not None:
            say(f"{server.address}/latest, /events, /metrics")
        notify("READY=1")
        try:
            if given.raw is None:
                _run(source, watcher)
            else:
                _run_raw(source, watcher, Frames(given.raw, model.channels))
        except InputError:
            sys.stdout.flush()
            raise
        except Stopped:
            watcher.finish("stopped")
            sys.stdout.flush()
            say(_ending(watcher))
            raise
        say(_ending(watcher))


def _keeper(model: Model, given: argparse.Namespace) -> Keeper | None:
    if given.keep is None:
        return None
    what, _, folder = given.keep.partition("=")
    if what != "uncertain" or not folder:
        raise InputError(f"--keep is {given.keep!r}, but must be uncertain=FOLDER.")
    if not 0 < given.keep_below <= 1:
        raise InputError(f"--keep-below is {given.keep_below:g}, but must be above 0, up to 1.")
    if given.keep_most < 1:
        raise InputError(f"--keep-most is {given.keep_most}, but must be 1 or more.")
    return Keeper(model, folder, below=given.keep_below, most=given.keep_most)


def _run(source: Source, watcher: Watcher) -> None:
    """Until the source ends; a device does not."""
    lines = Lines()
    answered = 0.0
    while True:
        kind, chunk = source.read(QUIET)
        now = time.monotonic()
        if kind == "data":
            for line in lines.feed(chunk):
                watcher.line(line, lines.number)
            watcher.arrived(now)
        elif kind == "end":
            for line in lines.end():
                watcher.line(line, lines.number)
            watcher.finish("end")
            sys.stdout.flush()
            return
        elif kind in ("unplugged", "back", "lost", "stranger"):
            if kind != "stranger":
                lines.forget()
            watcher.source_says(kind)
        sys.stdout.flush()
        if now - answered >= 1.0:
            answered = now
            notify("WATCHDOG=1")


def _run_raw(source: Source, watcher: Watcher, frames: Frames) -> None:
    """The same of bytes."""
    watcher.begin_raw()
    kind = ""
    while kind != "end":
        kind, chunk = source.read(QUIET)
        for sample in frames.feed(chunk):
            watcher.take(sample)
        watcher.arrived(time.monotonic())
        if kind == "end":
            watcher.finish("end")
        sys.stdout.flush()
        notify("WATCHDOG=1")


def _beginning(
    model: Model, settings: Settings, source: Source, hop: int, rate: float | None
) -> str:
    seconds = "" if rate is None else f" ({hop / rate:.3g} s)"
    at = "rate not known" if model.rate is None else f"{model.rate:g} Hz"
    limits = ", ".join(f"{name} {value:g}" for name, value in settings.thresholds.items())
    unit = " samples" if rate is None else " s"
    chosen = "as calibrated" if settings.calibration is not None else "not calibrated"
    parts = [
        f"{source.name}: {', '.join(model.channels[:12])} at {at}",
        f"windows of {model.length} samples, one each {hop}{seconds}",
        f"means of {settings.average}",
        f"thresholds {limits} ({chosen}), suppression {settings.suppress:g}{unit}",
    ]
    return printable("; ".join(parts))


def _ending(watcher: Watcher) -> str:
    totals: dict[str, Any] = watcher.totals()
    events = ", ".join(f"{name} {count}" for name, count in totals["events"].items())
    parts = [f"{totals['samples']} samples, {totals['windows']} windows, events: {events}"]
    names = {"withheld": "windows withheld for their rate", "kept": "windows kept"}
    for key, value in totals.items():
        if value and key not in ("samples", "windows", "events"):
            parts.append(f"{names.get(key, key)}: {value}")
    return printable("; ".join(parts))
