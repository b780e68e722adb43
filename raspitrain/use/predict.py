"""raspitrain predict: every window of recordings, its class, how sure, and when."""

import argparse
import csv
import io
import itertools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TextIO

from raspitrain.errors import InputError, no_formula, printable
from raspitrain.use.figures import as_text, figures
from raspitrain.use.model import Model, Prediction, load
from raspitrain.use.recording import Recording, check_rate, read_recording

CSV_SUFFIXES = (".csv", ".tsv", ".txt")
ARRAY_SUFFIXES = (".npy", ".npz")
FORMATS = ("text", "csv", "ndjson")


class Row:
    """A window and what the model makes of it.

    Attributes
    ----------
    source : str
        The file.
    index : int
        The window's number in it.
    start : int or None
        Its first sample, of a recording.
    time : float or None
        What the recording's time column says there, or seconds from its begin.
    answer : Prediction
    label : str or None
        What it should be, if that is known.
    """

    __slots__ = ("answer", "index", "label", "source", "start", "time")

    def __init__(
        self,
        source: str,
        index: int,
        start: int | None,
        time: float | None,
        answer: Prediction,
        label: str | None,
    ) -> None:
        self.source, self.index, self.start = source, index, start
        self.time, self.answer, self.label = time, answer, label


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict; return the exit code: 0, 2 for a mistake, 74 where writing failed."""
    parser = argparse.ArgumentParser(
        prog="raspitrain predict",
        description="The class of every window of recordings, by a model file or a run's folder. "
        "Needs neither torch nor, but for .npy and .npz, numpy.",
    )
    parser.add_argument("model", help="model.rpt, or the folder of a run")
    parser.add_argument(
        "files", nargs="+", help="CSV files, folders of them, .npy or .npz of windows; - for stdin"
    )
    parser.add_argument("--hop", type=int, help="samples from a window to the next")
    parser.add_argument("--rate", type=float, help="samples a second, where the files do not say")
    parser.add_argument("--label-column", help="column that holds the true class")
    parser.add_argument("--format", choices=FORMATS, default="text")
    parser.add_argument("--output", help="file instead of the screen")
    given = parser.parse_args(arguments)
    try:
        _predict(given)
    except InputError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever reads the rows has had enough; nor does the exit write to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"error: {error.filename or given.output}: {error.strerror}", file=sys.stderr)
        return 74
    return 0


def _predict(given: argparse.Namespace) -> None:
    model = load(given.model)
    if given.hop is not None and given.hop < 1:
        raise InputError(f"--hop is {given.hop}, but must be 1 or more.")
    if given.rate is not None and not 0 < given.rate < 1e9:
        raise InputError(f"--rate is {given.rate:g}, but must be above 0.")
    rows = predict_files(model, given.files, given.hop, given.rate, given.label_column)
    # The first window before a file is begun: a mistake leaves none behind.
    first = next(rows, None)
    if first is None:
        raise InputError(f"no recording is as long as a window, {model.length} samples.")
    with ExitStack() as stack:
        to: TextIO = sys.stdout
        if given.output:
            from raspitrain.results.atomic import atomic_path

            partial = stack.enter_context(atomic_path(given.output))
            to = stack.enter_context(open(partial, "w", encoding="utf-8", newline=""))
        counts, pairs = _write(model, first, rows, given.format, to)
    told = sys.stderr if given.format != "text" and not given.output else sys.stdout
    print(_summary(counts), file=told)
    if pairs:
        print(as_text(figures(model.classes, pairs)), file=told)


def predict_files(
    model: Model,
    files: Sequence[str],
    hop: int | None = None,
    rate: float | None = None,
    label_column: str | None = None,
) -> Iterator[Row]:
    """Every window of the files, in order.

    Raises
    ------
    InputError
        A file cannot be read, or is not what the model was trained on.
    """
    for path, label in _expanded(model, files):
        if path.lower().endswith(ARRAY_SUFFIXES):
            yield from _array_rows(model, path)
            continue
        recording = _read(model, path, label_column)
        measured = check_rate(model, recording, rate)
        if len(recording) < model.length:
            _warn(
                f"{recording.name} is left out: {len(recording)} samples, and a window has "
                f"{model.length}"
            )
        yield from _recording_rows(model, recording, hop or model.hop, measured, label)


def _recording_rows(
    model: Model, recording: Recording, hop: int, rate: float | None, label: str | None
) -> Iterator[Row]:
    length = model.length
    for index, start in enumerate(range(0, len(recording) - length + 1, hop)):
        try:
            answer = model.predict(recording.window(start, length))
        except InputError as error:
            raise InputError(f"{recording.name}, from sample {start} on: {error}") from error
        time = recording.times[start] if recording.times is not None else None
        if time is None and rate is not None:
            time = start / rate
        true = label
        if recording.labels is not None:
            own = set(recording.labels[start : start + length])
            true = own.pop() if len(own) == 1 else None
        yield Row(recording.name, index, start, time, answer, true or None)


def _expanded(model: Model, files: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Every file, and the class that its folder is named after."""
    for given in files:
        if given != "-" and not os.path.exists(given):
            raise InputError(f"there is no file {given}.")
        if not os.path.isdir(given):
            yield given, None
            continue
        found = sorted(
            os.path.join(folder, name)
            for folder, _, names in os.walk(given)
            for name in names
            if name.lower().endswith((*CSV_SUFFIXES, *ARRAY_SUFFIXES)) and name[0] != "."
        )
        if not found:
            raise InputError(f"{given} holds no recordings ({', '.join(CSV_SUFFIXES)}).")
        for path in found:
            folder = os.path.basename(os.path.dirname(path))
            yield path, folder if folder in model.classes else None


def _read(model: Model, path: str, label_column: str | None) -> Recording:
    if path == "-":
        lines = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8")
        return read_recording(model, lines, source="standard input", label_column=label_column)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return read_recording(model, file, source=path, label_column=label_column)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error


def _array_rows(model: Model, path: str) -> Iterator[Row]:
    try:
        import numpy as np
    except ImportError:
        raise InputError(f"{path}: reading it needs numpy (pip install numpy).") from None
    labels = None
    try:
        stored = np.load(path, allow_pickle=False, mmap_mode=None if path.endswith("z") else "r")
        if path.lower().endswith(".npz"):
            labels = [str(label) for label in stored["label"]] if "label" in stored else None
            stored = stored["data"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    windows = stored[None] if stored.ndim == 2 else stored
    shape = (len(model.channels), model.length)
    if windows.ndim != 3 or windows.shape[1:] != shape or windows.dtype.kind not in "iuf":
        raise InputError(
            f"{path} holds {windows.dtype} of the shape {stored.shape}, but the model takes "
            f"(cases, {shape[0]}, {shape[1]})."
        )
    if labels is not None and len(labels) != len(windows):
        raise InputError(f"{path}: {len(windows)} windows, but {len(labels)} labels.")
    for index, window in enumerate(windows):
        try:
            answer = model.predict(np.asarray(window, np.float32))
        except InputError as error:
            raise InputError(f"{path}, case {index}: {error}") from error
        yield Row(path, index, None, None, answer, None if labels is None else labels[index])


def _write(
    model: Model, first: Row, rows: Iterator[Row], style: str, to: TextIO
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Write all rows as they come; return how many windows each class has, and (true, predicted)
    where the truth is known."""
    counts = dict.fromkeys(model.classes, 0)
    pairs: list[tuple[str, str]] = []
    labelled = first.label is not None
    if style == "csv":
        names = [f"p({name})" for name in model.classes]
        true = ["true"] if labelled else []
        head = ["file", "window", "start", "time", "class", "probability", *true, *names]
        csv.writer(to, lineterminator="\n").writerow(head)
    for row in itertools.chain((first,), rows):
        counts[row.answer.label] += 1
        if row.label is not None:
            pairs.append((row.label, row.answer.label))
        if style == "text":
            print(_as_line(row), file=to)
        elif style == "csv":
            cells = map(no_formula, _as_cells(row, labelled))
            csv.writer(to, lineterminator="\n").writerow(cells)
        else:
            print(json.dumps(_as_record(row), ensure_ascii=False), file=to)
    return counts, pairs


def _as_line(row: Row) -> str:
    time = "" if row.time is None else f"{row.time:.10g}"
    wrong = "" if row.label in (None, row.answer.label) else f"  (is {row.label})"
    return printable(
        f"{row.source}  {row.index:5d}  {time:>10}  {row.answer.label}  "
        f"{100 * row.answer.probability:.1f} %{wrong}"
    )


def _as_cells(row: Row, labelled: bool) -> list[object]:
    answer = row.answer
    true = [row.label or ""] if labelled else []
    start, time = ("" if value is None else value for value in (row.start, row.time))
    values = [f"{value:.6g}" for value in answer.probabilities.values()]
    sure = f"{answer.probability:.6g}"
    return [row.source, row.index, start, time, answer.label, sure, *true, *values]


def _as_record(row: Row) -> dict:
    answer = row.answer
    record = {
        "file": row.source,
        "window": row.index,
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
    return f"{total} window{'s' if total != 1 else ''}: {named}"


def _warn(text: str) -> None:
    print(f"warning: {printable(text)}", file=sys.stderr)
