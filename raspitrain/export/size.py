"""What exporting at the end of a run takes of memory; nothing heavy is imported."""

from collections.abc import Mapping
from typing import Any

MOST_BYTES = 32_000_000  # of windows that are compared, and of their logits
LOGITS = 6  # numbers that comparing takes for each logit
COPIES = 10  # of the weights: as stored, as a network, folded in float64, packed twice, in engines


NETWORK = "raspitrain.model.mobilenetv3.mobilenetv3"  # the network that the engine runs
ROCKETS = (  # and features with a linear head
    "raspitrain.model.rocket.minirocket.minirocket",
    "raspitrain.model.rocket.multirocket_hydra.multirocket_hydra",
)


def can_be_exported(cfg: Mapping[str, Any]) -> bool:
    """Whether a run of this configuration leaves a model.rpt; those of before 0.2 leave none."""
    return cfg.get("export", "none") != "none" and cfg["model"].get("_target_") in (
        NETWORK, *ROCKETS,
    )  # fmt: skip


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
