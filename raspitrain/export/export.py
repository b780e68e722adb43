"""Export: choose the precision, write the model in a format of formats.py, say what that cost."""

from pathlib import Path

from raspitrain.errors import InputError
from raspitrain.export.compare import Comparison, choose_precision
from raspitrain.export.formats import FORMATS
from raspitrain.export.trained import Trained
from raspitrain.model.ensemble import Ensemble

PRECISIONS = ("auto", "fp32", "int8")


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
) -> tuple[str, str]:
    """Write the model; return the precision that was written, and why.

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
    write(path, network, arrays, trained.contract, trained.answer, provenance)
    return chosen, why


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
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines)
