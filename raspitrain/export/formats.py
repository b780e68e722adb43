"""The formats that a model is exported to: another one is a module that writes it, and a row here.

Names and files alone are needed to read a command's words, so a writer is imported when it writes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raspitrain.use.model_file import MAGIC

if TYPE_CHECKING:
    import numpy as np

    from raspitrain.export.trained import Stored
    from raspitrain.export.write import Answer, Contract

    Write = Callable[[Path, dict[str, Any], list[np.ndarray], Contract, Answer, dict], object]
    WriteAny = Callable[[Path, Stored], float]


@dataclass(frozen=True)
class Format:
    """`file` is its name where none is given, and its suffix one that any name must have.

    `write` takes a network as the engine packs it; `write_any` the run itself, of any network, and
    gives the largest difference of a probability from torch's. A format has one of them. A file
    that does not begin with `begins` is somebody else's, and not replaced.
    """

    file: str
    help: str
    write: "Write | None" = None
    write_any: "WriteAny | None" = None
    begins: bytes = b""


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


def _write_onnx(path: Path, stored: "Stored") -> float:
    from raspitrain.export.onnx_file import write_onnx

    return write_onnx(path, stored)


FORMATS = {
    "raspitrain": Format("model.rpt", "model.rpt", _write_rpt, begins=MAGIC),
    "c": Format(
        "model.c",
        "one C99 source with the weights inside, and a header, for a microcontroller or a program "
        "of your own",
        _write_c,
        begins=b"/* A model of raspitrain",
    ),
    "onnx": Format(
        "model.onnx",
        "any network, in fp32, with normalisation and softmax inside",
        write_any=_write_onnx,
    ),
}
