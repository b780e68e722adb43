"""What exporting at the end of a run takes of memory; nothing heavy is imported."""

from collections.abc import Mapping
from typing import Any

MOST_BYTES = 32_000_000  # of windows that are compared, and of their logits
LOGITS = 6  # numbers that comparing takes for each logit
COPIES = 10  # of the weights: as stored, as a network, folded in float64, packed twice, in engines


def can_be_exported(cfg: Mapping[str, Any]) -> bool:
    """Whether a run of this configuration tries to leave a model.rpt; before 0.2 none did."""
    return bool(cfg.get("export", "none") != "none")


def most_windows(num_channels: int, length: int, num_classes: int) -> int:
    """How many windows may be compared; at least one."""
    return max(1, MOST_BYTES // (4 * (num_channels * length + LOGITS * num_classes)))


def export_bytes(
    weight_bytes: int, num_cases: int, num_channels: int, length: int, num_classes: int
) -> int:
    """Bytes beside those of the data set, where `num_cases` could be compared."""
    num_windows = min(num_cases, most_windows(num_channels, length, num_classes))
    windows = 4 * num_windows * (num_channels * length + LOGITS * num_classes)
    return COPIES * weight_bytes + windows
