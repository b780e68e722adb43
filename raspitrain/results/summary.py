"""summary.json: what came of a run, the two things that everyone asks for first."""

import os
from collections.abc import Mapping
from typing import Any

from raspitrain.results.json_file import write_json
from raspitrain.results.values import texts

# The order in the file. Keys that are not named here follow in the order they were given.
KEYS = (
    "test_accuracy",  # of the chosen model; a fraction
    "status",  # completed, stopped_early, diverged, interrupted, failed
    "reason",  # a sentence, where the status needs one
    "task",  # train or throughput
    "warnings",  # sentences: underfitted, nothing learnt, of no use on other cases
    "underfitted",  # a network that has not learnt its own training cases
    "chosen_model",  # "best on validation" or "last"
    "chosen_epoch",
    "test_loss",
    "test_balanced_accuracy",
    "test_macro_f1",
    "final",  # the last row of metrics.csv
    "best",  # the row of the chosen model, or of the best one where there is no validation part
    "epochs",
    "steps",
    "batch_size",
    "members",  # of an ensemble, what each of its networks comes to by itself
    "seed",
    "init",  # whose weights the run started from, what began anew and what was frozen
    "num_parameters",
    "num_threads",
    "threads",  # how that number was chosen, with figures, and what changed it in the run
    "resume_words",  # for resume= to be given anew: no run can allow itself code or a program
    "resumed",  # when the run was resumed, where it stood, with which overrides
    "files",  # made from the figures at the end, the page included
    "unwritten",  # what is not written, or not yet, and why
    "checkpoints",  # how many were written, bytes, seconds, bytes an hour at that pace
    "bit_reproducible",  # the same seed and number of threads give the same weights again
    "thermal",  # temperatures, throttling, pauses; null where nothing can be read
    "energy",  # joules, an estimate from a Pi 5's power chip; null elsewhere
    "total_seconds",
    "training_seconds",
    "samples_per_second",
    "ms_per_step",  # throughput: the median
    "ms_per_step_quartiles",
    "peak_memory_mb",
    "num_cases",
    "fold",  # of split.folds, the one that was tested on, and the groups in it
    "data",  # what was taken: channels, columns left out, cases by class and part, what was dropped
    "class_names",
    "normalise",  # channel, case, both or none; what auto came to
    "constant_channels",  # from which nothing could be learnt
    "confusion_matrix",  # rows are the true classes; of no more than 40 classes
    "worst_confusions",  # the most frequent mistakes
    "per_class",
)


FINISHED = ("completed", "stopped_early")
PRUNED = "pruned"  # a search saw early that it would not win: no failure, and no answer


def status_of(summary: Mapping[str, Any]) -> tuple[str, str | None]:
    """The status that a summary.json gives and the reason; "diverged" where its last loss is not a
    number: earlier versions called such a run completed."""
    status, reason, final = str(summary["status"]), summary.get("reason"), summary.get("final")
    if status in FINISHED and isinstance(final, dict):
        for key, value in final.items():
            if str(key).endswith("_loss") and value is None:
                return "diverged", f"the last {key} is not a number"
    return status, None if reason is None else str(reason)


def doubts_of(summary: Mapping[str, Any]) -> list[str]:
    """Its warnings in a few words each, such as "the run ends underfitted"."""
    return [warning.partition(":")[0] for warning in texts(summary.get("warnings"))]


def write_summary(path: str | os.PathLike[str], summary: Mapping[str, Any]) -> None:
    """Write `summary` in the order of `KEYS`, whole or not at all; NaN and infinity become null.

    Parameters
    ----------
    summary : `test_accuracy` (None where there is no test part), `status`, and any further keys

    Raises
    ------
    KeyError
        `test_accuracy` or `status` is missing.
    OSError
        The card is full, read-only or broken; the old file is untouched.
    """
    ordered = {"test_accuracy": summary["test_accuracy"], "status": summary["status"]}
    ordered |= {key: summary[key] for key in KEYS if key in summary}
    ordered |= summary
    write_json(path, ordered)
