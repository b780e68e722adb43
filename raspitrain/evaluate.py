"""python -m raspitrain.evaluate RUN: the best model of a run on any part of its data, or on other
data."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from raspitrain.errors import InputError, aligned, counted, printable
from raspitrain.paths import absolute
from raspitrain.results.files import MISCLASSIFIED
from raspitrain.stop import exit_code_of

PARTS = ("test", "validation", "train", "all")


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate; return the exit code: 0, 2 for a mistake, 74 where writing failed."""
    parser = argparse.ArgumentParser(
        prog="raspitrain evaluate",
        description="The best model of a run on a part of its data or on other data: accuracy, "
        "every class, who is taken for whom, and which cases are misclassified, by any network.",
    )
    parser.add_argument("run", type=Path, help="folder of a run, or a checkpoint (best.pt)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--part", choices=PARTS, default="test", help="of the run's own data")
    what.add_argument(
        "--data",
        nargs="+",
        metavar="PATH",
        help="other data: recordings, a folder with data.npy and label.npy, .npz, .h5 or .ts, "
        "read with the settings of the run's data set and the dataset.KEY=VALUE beside them",
    )
    parser.add_argument(
        "--output", type=Path, help="folder for the results; default: that of the run"
    )
    parser.add_argument(
        "--allowed-targets",
        nargs="+",
        default=(),
        metavar="NAME",
        help="code of your own that the run's network or data set may call",
    )
    given = parser.parse_args(arguments)
    return exit_code_of(
        lambda: _evaluate(given),
        writes=given.output or given.run,
        lost="the results are not written",
    )


def _evaluate(given: argparse.Namespace) -> None:
    folder = given.output or (given.run if given.run.is_dir() else given.run.parent)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder} to write the results into.")
    from raspitrain.hardware.memory import quick_imports

    with quick_imports(for_good=True):
        from raspitrain.results.atomic import write_atomic
        from raspitrain.results.json_file import write_json
        from raspitrain.run.evaluate import evaluate_data, evaluate_part
        from raspitrain.run.stored import StoredRun

    opened = StoredRun.open if given.run.is_dir() else StoredRun.of_checkpoint
    stored = opened(given.run, allowed_targets=given.allowed_targets)
    name = "data" if given.data else given.part
    words: list[str] = []
    if given.data:
        words = [word for word in given.data if re.match(r"dataset\.\w+=", word)]
        given.data = [path for path in given.data if path not in words]
        evaluated = evaluate_data(stored, given.data, words)
    else:
        evaluated = evaluate_part(stored, given.part)
    record = _record(stored, evaluated, name) | (
        {"paths": given.data, "words": words} if given.data else {}
    )
    # The run's own table is that of its test part.
    table = MISCLASSIFIED if name == "test" else f"misclassified-{name}.csv"
    result = folder / f"evaluation-{name}.json"
    write_json(result, record)
    write_atomic(folder / table, evaluated.misclassified().encode())
    notes = [stored.note] if stored.note else []
    for line in (*notes, *evaluated.notes, *_lines(record)):
        print(printable(line))
    print()
    print(printable(str(result)))
    print(
        printable(
            f"{folder / table}: {record['misclassified']} of {counted(record['cases'], 'case')}"
        )
    )


def _record(stored: Any, evaluated: Any, name: str) -> dict[str, Any]:
    """What evaluation-NAME.json holds."""
    from raspitrain.report.plots import MOST_CELLS, MOST_MISTAKES

    confusion, report = evaluated.confusion, evaluated.report
    names = evaluated.class_names
    record: dict[str, Any] = {
        "part": name,
        "run": str(absolute(stored.path).parent),
        "checkpoint": stored.path.name,
        "epoch": stored.state.get("epoch"),
        "cases": confusion.num_cases,
        "misclassified": confusion.num_cases - int(confusion.hits.sum()),
        **{key: value for key, value in report.items() if key != "per_class"},
        "class_names": list(names),
        "per_class": report["per_class"],
        "worst_confusions": [
            {"true": names[true], "predicted": names[predicted], "cases": cases}
            for true, predicted, cases in confusion.worst(MOST_MISTAKES)
        ],
    }
    if len(names) <= MOST_CELLS:
        record["confusion_matrix"] = confusion.matrix().tolist()
    return record


def _lines(record: dict[str, Any]) -> Iterator[str]:
    """The figures for a screen, named and rounded as a run's own are."""
    from raspitrain.results.figures import FIGURE

    part = "other data" if record["part"] == "data" else f"{record['part']} part"
    yield f"{part}: {counted(record['cases'], 'case')}, the model of epoch {record['epoch']}"
    for key in ("accuracy", "macro_f1", "balanced_accuracy"):
        figure = FIGURE[f"test_{key}"]
        name = "accuracy" if key == "accuracy" else figure.headline
        yield f"{name:<15}{figure.words(record[key])}"
    share = FIGURE["test_accuracy"]
    names = [printable(name) for name in record["class_names"]]
    rows = [
        [
            name,
            *(
                share.words(row[key]) if row["support"] else ""
                for key in ("precision", "recall", "f1")
            ),
            str(row["support"]),
        ]
        for name, row in zip(names, record["per_class"], strict=True)
    ]
    yield ""
    yield from aligned([["class", "precision", "recall", "F1", "cases"], *rows], right=True)
    if "confusion_matrix" in record:
        counts = zip(names, record["confusion_matrix"], strict=True)
        rows = [[name, *map(str, row), ""] for name, row in counts]
        yield ""
        yield from aligned([["true", *names, "predicted"], *rows], right=True)


if __name__ == "__main__":
    sys.exit(main())
