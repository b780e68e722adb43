"""What a run does at its end: its best model as a file, tried on the data that it still holds."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from raspitrain.data.batches import Part
from raspitrain.errors import InputError, printable
from raspitrain.export.compare import compare, some
from raspitrain.export.export import check_wanted, export
from raspitrain.export.size import most_windows
from raspitrain.export.trained import Stored, trained_from
from raspitrain.use.model_file import NAME

log = logging.getLogger("raspitrain")


def export_at_end(
    folder: Path, open_best: Callable[[], Stored], parts: Mapping[str, Part], precision: str
) -> None:
    """Write model.rpt beside best.pt; where that is not possible, say why.

    Parameters
    ----------
    open_best : opens best.pt
    parts : "train", and "validation" and "test" where they have cases
    precision : {"auto", "fp32", "int8"}

    Raises
    ------
    OSError
        The card would not take it.
    """
    try:
        trained = trained_from(open_best())
        check_wanted(trained, precision)
        name = next(name for name in ("test", "validation", "train") if name in parts)
        part = parts[name]
        most = most_windows(
            trained.normalisation.num_channels, trained.length, len(trained.answer.classes)
        )
        signals, labels = part.gather(torch.from_numpy(some(len(part), most)))
        comparison = compare(trained, signals.numpy(), labels.numpy(), part=name)
        path = folder / NAME
        written = export(trained, comparison, precision=precision, path=path)
    except (InputError, ValueError) as error:
        log.warning("%s is not written: %s", NAME, printable(str(error)))
        return
    size = path.stat().st_size / 1e6
    log.info("%s: %s (%s), %.2f MB", NAME, written.precision, written.why, size)
    if written.thresholds:
        log.info("%s: %s", NAME, written.thresholds)
