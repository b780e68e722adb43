"""raspitrain predict: every window of recordings, its class, how sure, and when."""

import argparse
import csv
import io
import itertools
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple, TextIO

from raspitrain.data.files.endings import HOLD_ARRAYS
from raspitrain.errors import InputError, counted, no_formula, printable
from raspitrain.stop import exit_code_of
from raspitrain.use.annotated import Annotations, add_options, read_marked
from raspitrain.use.arrays import (
    ARRAY_STARTS,
    ARRAY_SUFFIXES,
    TS_SUFFIX,
    Case,
    is_recording,
    read_arrays,
    read_ts,
)
from raspitrain.use.events import hop_of
from raspitrain.use.figures import as_text, check_labels, check_writing, figures
from raspitrain.use.model import Model, Prediction, load
from raspitrain.use.range import OutOfRange
from raspitrain.use.recording import (
    RECORDING_SUFFIXES,
    Recording,
    bring_to_rate,
    find_files,
    look_at_time,
    open_text,
    read_recording,
)

SUFFIXES = (*RECORDING_SUFFIXES, *ARRAY_SUFFIXES, TS_SUFFIX)
FORMATS = ("text", "csv", "ndjson")


class Row(NamedTuple):
    """A window and what the model makes of it."""

    source: str  # the file
    number: int  # of the window in it
    start: int | None  # its first sample, of a recording
    time: float | None  # as the recording's time column has it, or seconds from its begin
    answer: Prediction
    label: str | None  # what it should be, if that is known


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict; return the exit code: 0, 2 for a mistake, 74 where writing failed."""
    parser = argparse.ArgumentParser(
        prog="raspitrain predict",
        description="The class of every window of recordings, by a model file or a run's folder. "
        "CSV and .ts need neither torch nor numpy.",
    )
    parser.add_argument("model", help="model.rpt, or the folder of a run")
    parser.add_argument(
        "files",
        nargs="+",
        help="recordings (CSV, WAV, EDF, …), folders of them, .npy, .npz or .ts of windows; - for "
        "standard input",
    )
    parser.add_argument("--hop", help="from a window to the next: samples, or a time as 0.5s")
    parser.add_argument("--rate", type=float, help="samples a second, where the files do not say")
    parser.add_argument("--time-column", help="column of time, by name or number (0: the first)")
    parser.add_argument("--label-column", help="column that holds the true class")
    add_options(parser)
    parser.add_argument("--format", choices=FORMATS, default="text")
    parser.add_argument("--output", help="file instead of the screen")
    parser.add_argument(
        "--require-signature", metavar="FILE", help="ssh-keygen's file of allowed signers"
    )
    parser.add_argument(
        "--misclassified", help="CSV file of the windows that are wrong, where labels are known"
    )
    given = parser.parse_args(arguments)
    return exit_code_of(lambda: _predict(given), writes=given.output or "standard output")


def _predict(given: argparse.Namespace) -> None:
    model = load(given.model, allowed_signers=given.require_signature)
    if given.rate is not None and not 0 < given.rate < 1e9:
        raise InputError(f"--rate is {given.rate:g}, but must be above 0.")
    hop = None if given.hop is None else hop_of(model, given.hop, model.rate or given.rate)
    annotations = Annotations(
        given.files, given.annotations, given.annotation_unit, given.label_column
    )
    rows = predict_files(model, given.files, hop, given.rate, given.time_column, annotations)
    # The first window before a file is begun: a mistake leaves none behind.
    first = next(rows, None)
    if first is None:
        raise InputError(f"no recording is as long as a window, {model.length} samples.")
    for output in filter(None, (given.output, given.misclassified)):
        _check_is_no_input(output, [model.path, *(p for p, _ in _expanded(model, given.files))])
    with ExitStack() as stack:
        to = _output(stack, given.output) if given.output else sys.stdout
        wrong = _output(stack, given.misclassified) if given.misclassified else None
        counts, pairs = _write(
            model, itertools.chain((first,), rows), given.format, to,
            labelled=first.label is not None or given.label_column is not None
            or any(annotations.has(path) for path, _ in _expanded(model, given.files)),
            wrong=wrong,
        )  # fmt: skip
        told = sys.stderr if given.format != "text" and not given.output else sys.stdout
        annotations.tell(told)
        found = as_text(figures(model.classes, pairs)) if pairs else None
        if wrong is not None and not pairs:
            raise InputError(
                "--misclassified needs the true classes: name the column that holds them with "
                "--label-column, put recordings into folders named after their classes, or "
                "annotations beside them."
            )
    print(_summary(counts), file=told)
    if found is not None:
        print(found, file=told)


def _check_is_no_input(output: str, inputs: Iterable[str]) -> None:
    for path in inputs:
        if os.path.exists(output) and os.path.exists(path) and os.path.samefile(output, path):
            raise InputError(f"{output} is read here, and would be replaced: give another name.")


def _output(stack: ExitStack, path: str) -> TextIO:
    """A file that has its name when all of it is written."""
    from raspitrain.results.atomic import atomic_path

    partial = stack.enter_context(atomic_path(path))
    return stack.enter_context(open(partial, "w", encoding="utf-8", newline=""))


def predict_files(
    model: Model,
    files: Sequence[str],
    hop: int | None = None,
    rate: float | None = None,
    time_column: str | None = None,
    annotations: Annotations | None = None,
) -> Iterator[Row]:
    """Every window of the files, in order.

    Raises
    ------
    InputError
        A file cannot be read, or is not what the model was trained on.
    """
    annotations = annotations or Annotations(files, None, None)
    for path, label in _expanded(model, files):
        if annotations.are(path):
            continue
        if path.lower().endswith(ARRAY_SUFFIXES) and not is_recording(model, path):
            yield from _case_rows(model, path, read_arrays(model, path, path))
        elif path.lower().endswith(TS_SUFFIX):
            with open_text(path) as file:
                yield from _case_rows(model, path, read_ts(model, path, file))
        elif path.lower().endswith(HOLD_ARRAYS) and model.header["input"].get("hop") is None:
            raise InputError(
                f"{path}: windows are read from .npy and .npz; save them with numpy.save, or take "
                f"evaluate RUN --data {path}."
            )
        elif path == "-":
            yield from _standard_input(model, hop, rate, annotations.label_column, time_column)
        else:
            recording = read_marked(
                model, path, annotations, hop or model.hop, rate=rate, time_column=time_column
            )
            yield from _recording_rows(model, recording, hop, label)


def _standard_input(
    model: Model,
    hop: int | None,
    rate: float | None,
    label_column: str | None,
    time_column: str | None,
) -> Iterator[Row]:
    if sys.stdin is None:
        raise InputError("standard input is closed.")
    name, raw = "standard input", sys.stdin.buffer
    head = raw.peek(6)[:6] if hasattr(raw, "peek") else b""
    if head.startswith(ARRAY_STARTS):
        yield from _case_rows(model, name, read_arrays(model, name, io.BytesIO(raw.read())))
        return
    recording = read_recording(
        model,
        io.TextIOWrapper(raw, encoding="utf-8"),
        source=name,
        label_column=label_column,
        time_column=time_column,
    )
    if not look_at_time(model, recording, rate):
        bring_to_rate(model, recording, by_stamps=rate is None)
    yield from _recording_rows(model, recording, hop, None)


def _recording_rows(
    model: Model, recording: Recording, hop: int | None, label: str | None
) -> Iterator[Row]:
    length, rate = model.length, recording.rate
    starts = [*recording.starts(length, hop or model.hop)]
    labels = [
        label if recording.stretches is None else recording.label_of(k, length) for k in starts
    ]
    check_labels(model.classes, labels, recording.name)
    if len(recording) < length:
        _warn(f"{recording.name} is left out: {len(recording)} samples, and a window has {length}")
    elif recording.cuts:
        _warn(
            f"{recording.name}: its clock has a gap or goes back "
            f"{counted(len(recording.cuts), 'time')}, and no window reaches across"
        )
    outside, windows_outside = OutOfRange(model), Counter[int]()
    for index, (start, true) in enumerate(zip(starts, labels, strict=True)):
        window = recording.window(start, length)
        windows_outside.update(outside.of_window(window))
        try:
            answer = model.predict(window)
        except InputError as error:
            raise InputError(f"{recording.name}, from sample {start} on: {error}") from error
        time: float | None = None
        if recording.times is None:
            time = None if rate is None else start / rate
        elif math.isfinite(recording.times[start]):
            time = recording.times[start]
        yield Row(recording.name, index, start, time, answer, true)
    for channel, count in sorted(windows_outside.items()):
        facts = outside.facts(channel, recording.channels[channel].tolist())
        maybe = f"; maybe {facts['maybe']}" if "maybe" in facts else ""
        _warn(
            f"{recording.name}: {facts['channel']} is not as in training in {count} of {index + 1} "
            f"windows: {facts['min']:.4g} to {facts['max']:.4g}, and training saw "
            f"{facts['trained_min']:.4g} to {facts['trained_max']:.4g}{maybe}"
        )


def _case_rows(model: Model, source: str, cases: Iterator[Case]) -> Iterator[Row]:
    for index, (window, label) in enumerate(cases):
        try:
            answer = model.predict(window)
        except InputError as error:
            raise InputError(f"{source}, case {index}: {error}") from error
        yield Row(source, index, None, None, answer, label)


def _expanded(model: Model, files: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Every file, and the class that its folder is named after."""
    for path, folder in find_files(files, SUFFIXES):
        if folder not in model.classes:
            check_writing(model.classes, folder or "", path)
        yield path, folder if folder in model.classes else None


def _write(
    model: Model,
    rows: Iterator[Row],
    style: str,
    to: TextIO,
    *,
    labelled: bool,
    wrong: TextIO | None,
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Write all rows as they come, and those that are wrong once more; return how many windows
    each class has, and (true, predicted) where the truth is known."""
    counts = dict.fromkeys(model.classes, 0)
    pairs: list[tuple[str, str]] = []
    table = csv.writer(to, lineterminator="\n")
    head = ["file", "window", "start", "time", "class", "probability"]
    if style == "csv":
        true = ["true"] if labelled else []
        table.writerow([*head, *true, *(f"p({name})" for name in model.classes)])
    mistakes = None if wrong is None else csv.writer(wrong, lineterminator="\n")
    if mistakes is not None:
        mistakes.writerow([*head, "true", "p(true)"])
    for row in rows:
        counts[row.answer.label] += 1
        if row.label is not None:
            pairs.append((row.label, row.answer.label))
        if style == "text":
            print(_as_line(row), file=to)
        elif style == "csv":
            values = [f"{value:.6g}" for value in row.answer.probabilities.values()]
            true = [row.label or ""] if labelled else []
            table.writerow(map(no_formula, [*_as_cells(row), *true, *values]))
        else:
            print(json.dumps(_as_record(row), ensure_ascii=False), file=to)
        if mistakes is not None and row.label not in (None, row.answer.label):
            sure = row.answer.probabilities.get(row.label or "", 0.0)
            mistakes.writerow(map(no_formula, [*_as_cells(row), row.label, f"{sure:.6g}"]))
    return counts, pairs


def _as_line(row: Row) -> str:
    time = "" if row.time is None else f"{row.time:.15g}"
    wrong = "" if row.label in (None, row.answer.label) else f"  (is {row.label})"
    return printable(
        f"{row.source}  {row.number:5d}  {time:>10}  {row.answer.label}  "
        f"{100 * row.answer.probability:.1f} %{wrong}"
    )


def _as_cells(row: Row) -> list[object]:
    start, time = ("" if value is None else value for value in (row.start, row.time))
    answer = row.answer
    return [row.source, row.number, start, time, answer.label, f"{answer.probability:.6g}"]


def _as_record(row: Row) -> dict:
    answer = row.answer
    record = {
        "file": row.source,
        "window": row.number,
        "start": row.start,
        "time": row.time,
        "class": answer.label,
        "probability": answer.probability,
        "probabilities": answer.probabilities,
        "logits": answer.logits,
    }
    return record if row.label is None else record | {"true": row.label}


def _summary(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    named = ", ".join(f"{name} {count}" for name, count in counts.items())
    return f"{counted(total, 'window')}: {named}"


def _warn(text: str) -> None:
    print(f"warning: {printable(text)}", file=sys.stderr)
