"""The formats that a model is exported to: another one is a module that writes it, and a row here.

Names and files alone are needed to read a command's words, so a writer is imported when it writes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from raspitrain.export.write import Answer, Contract

    Write = Callable[[Path, dict[str, Any], list[np.ndarray], Contract, Answer, dict], object]


@dataclass(frozen=True)
class Format:
    """`file` is its name where none is given, and its suffix one that any name must have."""

    file: str
    help: str
    write: "Write"


def _write_rpt(
    path: Path, network: dict[str, Any], arrays: "list[np.ndarray]",
    contract: "Contract", answer: "Answer", provenance: dict[str, Any],
) -> None:  # fmt: skip
    from raspitrain.export.write import write_model

    write_model(path, network, arrays, contract, answer, provenance)


def _write_c(
    path: Path, network: dict[str, Any], arrays: "list[np.ndarray]",
    contract: "Contract", answer: "Answer", _: dict[str, Any],
) -> None:  # fmt: skip
    from raspitrain.export.emit_c import emit_c

    emit_c(path, network, arrays, contract, answer)


FORMATS = {
    "raspitrain": Format("model.rpt", "model.rpt", _write_rpt),
    "c": Format(
        "model.c",
        "one C99 source with the weights inside, and a header, for a microcontroller or a program "
        "of your own",
        _write_c,
    ),
}
