"""What is settled by measuring, once the model is built: how many threads."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from raspitrain.hardware.board import available_cores
from raspitrain.hardware.threads import given_num_threads
from raspitrain.tuning.adapt import AdaptThreads
from raspitrain.tuning.probe import Chosen, candidates, choose_num_threads, keep_chosen

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuned:
    """The choices for one run.

    Attributes
    ----------
    adapt : changes the number of threads as the run goes on; None where it stays
    """

    chosen: Chosen
    adapt: AdaptThreads | None
    on_cpu: bool

    def state(self) -> dict[str, Any]:
        """What `tune` needs to choose the same again."""
        threads = asdict(self.chosen)
        if self.adapt is not None:
            threads["num_threads"] = self.adapt.num_threads
        return {"threads": threads}

    def record(self) -> dict[str, Any]:
        """The choices and the figures behind them, for summary.json and environment.json."""
        record: dict[str, Any] = {
            # With hardware.num_threads set to the number below, wherever it came from.
            "bit_reproducible": self.on_cpu and self.adapt is None,
            "threads": {
                "num_threads": self.chosen.num_threads,
                "chosen_by": self.chosen.chosen_by,
                "ms_per_step": {str(c): ms for c, ms in sorted(self.chosen.ms_per_step.items())},
                "cores_taken": self.chosen.cores_taken,
            },
        }
        if self.adapt is not None:
            record["threads"] |= {
                "trials": self.adapt.num_trials,
                "changes": self.adapt.changes,
            }
        return record


def tune(
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    batch: tuple[Tensor, Tensor],
    *,
    hardware: Mapping[str, Any],
    described_by: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
) -> Tuned:
    """Choose threads as `hardware` says; model and loss stay as they are.

    Parameters
    ----------
    batch : signals (N, C, L) and labels (N,) on the model's device, as large as training's
    described_by : see `choose_num_threads`
    before : the `state` of an earlier part of the same run, whose choices hold; where its
        `threads` are None they are chosen anew
    """
    if before is not None and before["threads"] is not None:
        chosen = keep_chosen(before["threads"])
    else:
        chosen = choose_num_threads(
            hardware["num_threads"], model, loss, batch, described_by=described_by
        )
    adapt = None
    on_cpu = batch[0].device.type == "cpu"
    if hardware["adapt_threads"]:
        cores = available_cores()
        if hardware["num_threads"] == "auto":
            cores = min(cores, given_num_threads(os.environ) or cores)
        if not on_cpu:
            log.warning("hardware.adapt_threads=true has no effect: a GPU does the work.")
        elif cores == 1:
            log.warning("hardware.adapt_threads=true has no effect: there is one core.")
        else:
            adapt = AdaptThreads(
                sorted({*candidates(cores), chosen.num_threads}),
                chosen.num_threads,
                batch_size=len(batch[1]),
            )
    return Tuned(chosen, adapt, on_cpu)
