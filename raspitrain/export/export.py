"""Export: choose the precision, write the model in a format of formats.py, say what that cost."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from raspitrain.errors import InputError, aligned
from raspitrain.export.compare import Comparison, choose_precision
from raspitrain.export.formats import FORMATS
from raspitrain.export.trained import Trained
from raspitrain.model.ensemble import Ensemble
from raspitrain.use.model_file import ModelFile, is_model_file


class Written(NamedTuple):
    """The precision that was written, why, and what became of the thresholds that the file had:
    a sentence, or nothing."""

    precision: str
    why: str
    thresholds: str


def check_wanted(trained: Trained, precision: str, form: str = "raspitrain") -> None:
    """Raise an InputError where the model has no such precision, or cannot be written so."""
    is_network = "int8" in trained.precisions
    if precision == "int8" and not is_network:
        raise InputError(
            "int8 is for networks: this model is features with a linear head, which are fp32; "
            "leave the precision at auto."
        )
    if form == "c" and isinstance(trained.model, Ensemble):
        raise InputError(
            "--format c is for a single network: write an ensemble as model.rpt, or with --format "
            "onnx."
        )
    if form == "c" and not is_network:
        raise InputError(
            "--format c is for networks: write this model, features with a linear head, as "
            "model.rpt, or with --format onnx."
        )


def export(
    trained: Trained,
    comparison: Comparison | None,
    *,
    precision: str,
    path: Path,
    form: str = "raspitrain",
) -> Written:
    """Write the model; return what was written.

    Parameters
    ----------
    precision : {"auto", "fp32", "int8"}
    path : of the file
    form : one of FORMATS that packed networks are written in

    Raises
    ------
    InputError
        The model is not for this precision or format, or the engine cannot be compiled here.
    OSError
        The card is full, read-only or broken.
    """
    check_wanted(trained, precision, form)
    chosen, why = choose_precision(precision, comparison)
    network, arrays = trained.packed(chosen, trained.contract.normalise)
    record = None if comparison is None else comparison.record()
    provenance = trained.provenance | {"precision": {"why": why, "compared": record}}
    write = FORMATS[form].write
    assert write is not None, form
    answer, thresholds = trained.answer, ""
    if form == "raspitrain":
        events, thresholds = _calibrated(path, trained, chosen)
        answer = replace(answer, settings=answer.settings | events)
    write(path, network, arrays, trained.contract, answer, provenance)
    return Written(chosen, why, thresholds)


def _calibrated(path: Path, trained: Trained, precision: str) -> tuple[dict[str, Any], str]:
    """What `raspitrain calibrate` had settled in the file that is written over, if it was for these
    weights, and what there is to say of it."""
    try:
        header = ModelFile(str(path)).header if is_model_file(path) else {"output": {}}
    except InputError:  # damaged: there is nothing to keep
        return {}, ""
    events = header["output"].get("events")
    if events is None:
        return {}, ""
    if _of_weights(header["provenance"]) != _of_weights(trained.provenance):
        return {}, (
            "the thresholds that the old file had were settled for other weights and are gone: "
            "settle them again with raspitrain calibrate"
        )
    said = "the thresholds that raspitrain calibrate settled are kept"
    if header["network"]["precision"] != precision:
        said += f", by the scores of {header['network']['precision']}"
    return {"events": events}, said


def _of_weights(provenance: dict[str, Any]) -> Any:
    """What tells one training from another: not the names of a folder and of a version."""
    other = ("raspitrain", "run", "precision")
    kept = {key: value for key, value in provenance.items() if key not in other}
    return json.loads(json.dumps(kept))


def as_table(comparison: Comparison) -> str:
    """The comparison for a screen."""
    rows = [("", "accuracy", "same class", "logit error", "weights", "a window")]
    for name, figures in comparison.figures.items():
        rows.append(
            (
                name,
                "" if figures.accuracy is None else f"{100 * figures.accuracy:.2f} %",
                f"{100 * figures.agreement:.2f} %",
                f"{100 * figures.logit_error:.2f} %",
                f"{figures.num_bytes / 1e6:.2f} MB",
                f"{figures.milliseconds:.3f} ms",
            )
        )
    return "\n".join(aligned(rows, right=True))
