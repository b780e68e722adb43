"""raspitrain calibrate: thresholds for a number of false alarms, from recordings that were held
out, and what the length of these can show.

For each class thresholds are tried from the strictest down, as long as the recordings show, with
the confidence asked for, that no more false alarms an hour are to be expected than the budget. A
sequence that is fixed before the data are seen and ends at its first failure needs no correction
for the number of thresholds tried (fixed sequence testing; Angelopoulos et al. 2021, "Learn then
Test").
"""

import argparse
import csv
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from raspitrain.errors import InputError, aligned, counted, printable
from raspitrain.stop import exit_code_of, say
from raspitrain.use.annotated import Annotations, add_options, read_marked
from raspitrain.use.bounds import largest_share, most_expected
from raspitrain.use.det import Point, as_picture, as_table
from raspitrain.use.events import AVERAGE, RELEASE_BELOW, Settings, hop_of, settings_for
from raspitrain.use.figures import check_writing
from raspitrain.use.model import Model, load
from raspitrain.use.model_file import is_model_file
from raspitrain.use.recording import RECORDING_SUFFIXES, find_files
from raspitrain.use.rewrite import write_with_events
from raspitrain.use.signature import SUFFIX
from raspitrain.use.truth import ClassTruth, Track

LEAST_STRETCHES = 3  # of a class, to speak of what is missed
DATA = "data.csv"  # beside a run's model: which recording lay in which part
THRESHOLDS = (
    0.9999, 0.9995, 0.999, 0.998, 0.995, *(round(0.99 - 0.01 * k, 2) for k in range(85)),
)  # fmt: skip


class Chosen(NamedTuple):
    """What a class gets, and every threshold that was tried."""

    point: Point
    points: list[Point]


def main(arguments: Sequence[str] | None = None) -> int:
    """Calibrate; return the exit code: 0, 2 for a mistake or what cannot be shown, 74 where writing
    failed."""
    given = _parser().parse_args(arguments)
    return exit_code_of(lambda: _calibrate(given), writes=given.output or given.model)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="raspitrain calibrate",
        description="Choose the threshold of every class from labelled recordings that the model "
        "has not learnt from, for a number of false alarms an hour, and write it into the model.",
    )
    parser.add_argument("model", help="model.rpt, or the folder of a run")
    parser.add_argument(
        "recordings", nargs="+",
        help="folders with a folder a class (one that is no class of the model's holds nothing of "
        "any), or CSV files with --label-column",
    )  # fmt: skip
    parser.add_argument(
        "--false-alarms-per-hour", type=float, default=1.0, metavar="N",
        help="of a class, while there is nothing of it; default 1",
    )  # fmt: skip
    parser.add_argument(
        "--confidence", type=float, default=0.95, help="of what is promised; default 0.95"
    )
    parser.add_argument("--label-column", help="column that holds the class; empty: not known")
    add_options(parser)
    parser.add_argument("--time-column", help="column of time, by name or number (0: the first)")
    parser.add_argument("--rate", type=float, help="samples a second, where the files do not say")
    parser.add_argument("--hop", help="from a window to the next: samples, or a time as 0.5s")
    parser.add_argument(
        "--average", type=int, metavar="N", default=AVERAGE,
        help=f"windows averaged; default {AVERAGE}",
    )  # fmt: skip
    parser.add_argument(
        "--suppress", metavar="TIME", help="no other event of a class so soon; default 1s"
    )
    parser.add_argument(
        "--background", action="append", default=[], metavar="CLASS",
        help="a class that is no event, and needs no threshold",
    )  # fmt: skip
    parser.add_argument("--output", help="the model with its thresholds; default: in its place")
    parser.add_argument("--dry-run", action="store_true", help="tell, and write nothing")
    return parser


def _calibrate(given: argparse.Namespace) -> None:
    if not 0 < given.false_alarms_per_hour < 1e9:
        raise InputError("--false-alarms-per-hour must be above 0.")
    if not 0.5 <= given.confidence < 1:
        raise InputError(f"--confidence is {given.confidence:g}, but must be from 0.5 to below 1.")
    if given.rate is not None and not 0 < given.rate < 1e9:
        raise InputError(f"--rate is {given.rate:g}, but must be above 0.")
    model = load(given.model)
    # What an earlier calibration left is no beginning for this one.
    model.header["output"].pop("events", None)
    output = given.output or model.path
    if not os.path.isdir(os.path.dirname(os.path.abspath(output))):
        raise InputError(f"there is no folder to write {output} into.")
    if os.path.lexists(output) and not is_model_file(output):
        raise InputError(f"{output} is there, and is no model: give another name.")
    rate = model.rate or given.rate
    hop = hop_of(model, given.hop, rate)
    settings = settings_for(
        model, rate, average=given.average, suppress=given.suppress, background=given.background
    )
    tracks = [*_tracks(model, given, hop)]
    _tell_of(model, tracks)
    truths = [ClassTruth(name, model.classes.index(name), tracks) for name in settings.thresholds]
    _check_enough(truths)
    budget, confidence = given.false_alarms_per_hour, given.confidence
    found = [_choose(truth, settings.suppress, budget, confidence) for truth in truths]
    _refuse_what_cannot_be_shown(found, budget, confidence)
    print(_as_text(found, budget, confidence))
    if given.dry_run:
        return
    from raspitrain.results.atomic import write_atomic

    points = [point for each in found for point in each.points]
    stem = os.path.splitext(output)[0]
    write_atomic(f"{stem}.det.csv", as_table(points).encode())
    write_atomic(f"{stem}.det.svg", as_picture(points, budget).encode())
    write_with_events(model.path, output, _events(found, settings, hop, given, tracks))
    print(f"{output}: stream takes these thresholds by itself; {stem}.det.csv, {stem}.det.svg")
    if os.path.exists(output + SUFFIX):
        print(f"{output}{SUFFIX} is of the model before: sign it again (raspitrain sign)")
    folder = os.path.dirname(output) or "."
    if os.path.exists(os.path.join(folder, "report.html")):
        print(f"On the run's page: raspitrain report {folder}")


# ---------------------------------------------------------------- recordings


def _tracks(model: Model, given: argparse.Namespace, hop: int) -> Iterator[Track]:
    known, count, copies = _parts(model), 0, 0
    annotations = Annotations(
        given.recordings, given.annotations, given.annotation_unit, given.label_column
    )
    for path, label in _held_out(model, given.recordings):
        if annotations.are(path):
            continue
        if label is None and given.label_column is None and not annotations.has(path):
            raise InputError(
                f"{path} does not say its class: put it into a folder named after it, name the "
                "column that holds it with --label-column, or put annotations beside it "
                "(NAME.labels.csv with start, end and label)."
            )
        recording = read_marked(
            model, path, annotations, hop, rate=given.rate, time_column=given.time_column
        )
        count += 1
        names = os.path.abspath(path).split(os.sep)
        found = [known.get("/".join(names[-depth:])) for depth in (1, 2, 3)]
        copies += any(row and row[0] != "test" and row[1] == len(recording) for row in found)
        yield Track(model, recording, label, hop=hop, average=given.average)
    annotations.tell(sys.stdout)
    if 2 * copies > count:
        say(
            f"warning: {copies} of {count} recordings have the names and lengths of some that the "
            "model was trained on; if they are copies, the thresholds promise too much"
        )


def _held_out(model: Model, given: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """The recordings, with the folder's name as their class; of those that the model was trained on
    only the ones that its run kept for its test.

    Raises
    ------
    InputError
        The model was trained on them, and nothing says which of them were held out.
    """
    data = model.header["provenance"].get("dataset")
    trained_on = data.get("path") if isinstance(data, dict) else None
    within = _data_folder(model, trained_on) if isinstance(trained_on, str) else None
    parts = _parts(model)
    left_out = 0
    for root in given:
        for path, label in find_files([root], RECORDING_SUFFIXES):
            directly = os.path.realpath(os.path.dirname(path)) == os.path.realpath(root)
            if directly and label not in model.classes:
                label = None
            real = os.path.realpath(path)
            if within is not None and real.startswith(within + os.sep):
                if not parts:
                    raise InputError(
                        f"the model was trained on recordings of {within}, and a threshold from "
                        "what was learnt would promise too much: give others, or the model in its "
                        f"run's folder, whose {DATA} says which were kept for the test."
                    )
                if parts.get(os.path.relpath(real, within), ("", 0))[0] != "test":
                    left_out += 1
                    continue
            yield path, label
    if left_out:
        say(
            f"{left_out} recordings that the model was trained on are left out, as its {DATA} has "
            "them"
        )


def _data_folder(model: Model, path: str) -> str | None:
    """Where the data of training lie, if they are there: below this folder, or, where the path is
    relative, below one that holds the model."""
    bases = [os.getcwd()]
    folder = os.path.dirname(os.path.realpath(model.path))
    while folder != bases[-1]:
        bases.append(folder)
        folder = os.path.dirname(folder)
    places = (os.path.realpath(os.path.join(base, os.path.expanduser(path))) for base in bases)
    return next((place for place in places if path and os.path.isdir(place)), None)


def _parts(model: Model) -> dict[str, tuple[str, int]]:
    """Part and samples of each recording in the run's own data, by its path below the data's
    folder; none where the model is not in its run's folder."""
    path = os.path.join(os.path.dirname(os.path.abspath(model.path)), DATA)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return {
                row["name"].removeprefix("'"): (row["part"], int(row["samples"]))
                for row in csv.DictReader(file)
            }
    except (OSError, KeyError, TypeError, ValueError, csv.Error):
        return {}


def _tell_of(model: Model, tracks: list[Track]) -> None:
    if not tracks:
        raise InputError(
            "all of these recordings were trained on: give others, or train with a test part "
            "(split.test)."
        )
    left_out = [why for track in tracks for why in track.left_out]
    if left_out:
        say(f"warning: windows left out: {len(left_out)}, as {left_out[0]}")
    labels = {s.label for track in tracks for s in track.stretches}
    hours = sum(track.seconds for track in tracks) / 3600
    print(f"{counted(len(tracks), 'recording')}, {hours:.3g} h")
    others = sorted(labels - set(model.classes))
    for name in others:
        check_writing(model.classes, name, "")
    if others:
        print(f"No class of the model's, so nothing of any: {printable(', '.join(others[:20]))}")


def _check_enough(truths: list[ClassTruth]) -> None:
    few = [truth for truth in truths if truth.num_stretches < LEAST_STRETCHES]
    if few:
        named = ", ".join(f"{t.name} {t.num_stretches}" for t in few[:12])
        raise InputError(
            f"a threshold needs at least {LEAST_STRETCHES} stretches of its class that are as long "
            f"as a window, and there are: {named}; record more, or say --background for a class "
            "that is no event."
        )
    alone = [truth.name for truth in truths if truth.hours == 0]
    if alone:
        raise InputError(
            f"there is nothing but {', '.join(alone[:12])} in these recordings, so nobody can tell "
            "how often it would be a false alarm: add recordings of other things."
        )


# ---------------------------------------------------------------- thresholds


def _choose(truth: ClassTruth, suppress: float, budget: float, confidence: float) -> Chosen:
    points: list[Point] = []
    chosen: int | None = None
    failed = False
    for threshold in THRESHOLDS:
        release = round(max(0.0, threshold - RELEASE_BELOW), 6)
        outcome = truth.outcome(threshold, release, suppress)
        at_most = most_expected(outcome.false_alarms, confidence) / truth.hours
        failed = failed or at_most > budget
        if not failed:
            chosen = len(points)
        missed = truth.num_stretches - outcome.found
        delay = statistics.median(outcome.delays) if outcome.delays else None
        points.append(
            Point(
                truth.name, threshold, release, outcome.false_alarms, truth.hours, at_most,
                truth.num_stretches, missed, delay, False,
            )
        )  # fmt: skip
    if chosen is not None:
        points[chosen] = points[chosen]._replace(chosen=True)
    return Chosen(points[chosen or 0], points)


def _refuse_what_cannot_be_shown(found: list[Chosen], budget: float, confidence: float) -> None:
    short = [c for c in found if not c.point.chosen and not c.point.false_alarms]
    if short:
        hours = most_expected(0, confidence) / budget
        least = max(c.point.at_most for c in short)
        have = ", ".join(f"{c.point.name} {c.point.hours:.3g} h" for c in short[:12])
        raise InputError(
            f"not one false alarm in the time without the class ({have}) shows only that there are "
            f"fewer than {_up(least):g} an hour, at {100 * confidence:g} %: to promise {budget:g}, "
            f"{_up(hours):g} hours without it are needed; or ask for "
            f"--false-alarms-per-hour {_up(least):g}."
        )
    many = [c for c in found if not c.point.chosen]
    if many:
        told = ", ".join(
            f"{c.point.name} {c.point.false_alarms} in {c.point.hours:.3g} h" for c in many[:12]
        )
        least = max(min(p.at_most for p in c.points[:1]) for c in many)
        raise InputError(
            f"even at a threshold of {THRESHOLDS[0]:g} there are too many false alarms to promise "
            f"{budget:g} an hour: {told}; average more windows (--average), train with recordings "
            f"of what is taken for it, leave it out (--background), or ask for "
            f"--false-alarms-per-hour {_up(least):g}."
        )


def _up(value: float) -> float:
    """Three digits, rounded up."""
    shown = float(f"{value:.3g}")
    return shown if shown >= value else float(f"{value * 1.005:.3g}")


def _as_text(found: list[Chosen], budget: float, confidence: float) -> str:
    percent = f"{100 * confidence:g} %"
    rows = [
        (
            "class", "threshold", "false alarms", f"an hour at most ({percent})", "events found",
            f"missed at most ({percent})", "delay",
        )
    ]  # fmt: skip
    for point, _ in found:
        share = largest_share(point.missed, point.events, confidence)
        rows.append(
            (
                point.name, f"{point.threshold:g}", f"{point.false_alarms} in {point.hours:.3g} h",
                f"{_up(point.at_most):g}", f"{point.events - point.missed} of {point.events}",
                f"{100 * share:.0f} %", "" if point.delay is None else f"{point.delay:.2f} s",
            )
        )  # fmt: skip
    lines = aligned(rows)
    lines += [
        f"{point.name}: at this threshold nothing of it is found; for fewer misses allow more "
        "false alarms, or train more"
        for point, _ in found
        if point.missed == point.events
    ]
    lines.append(
        f"{budget:g} false alarms an hour of each class were asked for; bounds hold for life that "
        "is like these recordings"
    )
    return "\n".join(printable(line) for line in lines)


def _events(
    found: list[Chosen],
    settings: Settings,
    hop: int,
    given: argparse.Namespace,
    tracks: list[Track],
) -> dict[str, Any]:
    """`output.events` of the model file."""
    return {
        "average": settings.average,
        "hop": hop,
        "suppress_seconds": settings.suppress,
        "thresholds": {point.name: point.threshold for point, _ in found},
        "releases": {point.name: point.release for point, _ in found},
        "calibration": {
            "false_alarms_per_hour": given.false_alarms_per_hour,
            "confidence": given.confidence,
            "recordings": len(tracks),
            "classes": {
                point.name: {
                    "hours_without": point.hours,
                    "false_alarms": point.false_alarms,
                    "at_most_per_hour": point.at_most,
                    "events": point.events,
                    "missed": point.missed,
                    "median_delay_seconds": point.delay,
                }
                for point, _ in found
            },
        },
    }
