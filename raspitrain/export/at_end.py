"""What a run does at its end: its best model as a file, tried on the data that it still holds."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch

from raspitrain.data.batches import Part
from raspitrain.errors import InputError, printable
from raspitrain.export.compare import compare, some
from raspitrain.export.export import export
from raspitrain.export.trained import read_run
from raspitrain.use.model_file import NAME

log = logging.getLogger("raspitrain")


def export_at_end(folder: Path, parts: Mapping[str, Part], precision: str) -> None:
    """Write model.rpt beside best.pt; where that is not possible, say why.

    Parameters
    ----------
    parts : "train", and "validation" and "test" where they have cases
    precision : {"auto", "fp32", "int8"}

    Raises
    ------
    OSError
        The card would not take it.
    """
    try:
        trained = read_run(folder)
        name = next(name for name in ("test", "validation", "train") if name in parts)
        signals, labels = parts[name].gather(torch.from_numpy(some(len(parts[name]))))
        comparison = compare(trained, signals.numpy(), labels.numpy(), part=name)
        path = folder / NAME
        chosen, why = export(trained, comparison, precision=precision, path=path)
    except (InputError, ValueError) as error:
        log.info("%s is not written: %s", NAME, printable(str(error)))
        return
    log.info("%s: %s (%s), %.2f MB", NAME, chosen, why, path.stat().st_size / 1e6)
