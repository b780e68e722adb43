"""A run's figures where the team looks: followers of its folder.

    python -m raspitrain.track FOLDER tracker=tensorboard
    python -m raspitrain.track FOLDER tracker=mlflow tracker.url=http://pc:5000 --follow

A tracker reads what a run leaves (config.yaml, metrics.csv, summary.json) and never sits in the
training loop: a dead server costs a run nothing, and whatever was missed is sent by the same
command later, once. A tracker of one's own is a class with these three methods, named by
`_target_` in a YAML of conf/tracker/.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class RunFacts:
    """What a tracker is told of a run before its first figures.

    Attributes
    ----------
    name : of the run's folder
    folder : its absolute path
    config : every key in dots with its value, as in config.yaml
    overrides : the words that the run was started with
    parent : the id that `begin` gave for the sweep it belongs to; None for a run by itself
    began : seconds since 1970, UTC
    """

    name: str
    folder: str
    config: Mapping[str, Any]
    overrides: tuple[str, ...]
    parent: str | None
    began: float


class Tracker(Protocol):
    """Where the figures of one run go.

    Any method may raise OSError: nothing is lost, the next call sends it.
    """

    def begin(self, run: RunFacts, known: str | None) -> str:
        """Make the run known; return its id.

        `known` is the id that it got in an earlier process; None where there was none. It stood in
        a file of the run's folder, so it may be anything.
        """

    def evaluation(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Take rows of metrics.csv, without empty cells, each once and in order."""

    def end(self, summary: Mapping[str, Any]) -> None:
        """Take what summary.json holds; called again where a run was resumed."""
