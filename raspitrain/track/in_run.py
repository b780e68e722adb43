"""Trackers of a run that is under way: `tracker=tensorboard`.

A server has no place here: `python -m raspitrain.track RUN tracker=mlflow --follow` beside the run
may wait for it as long as it likes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raspitrain.run.observers import Observer
from raspitrain.track import tensorboard
from raspitrain.track.follow import Follower
from raspitrain.training.training import Evaluation


class TensorBoard(Observer):
    """Keeps an event file in the run's folder up with metrics.csv."""

    def begin(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.follower = Follower(folder, tensorboard.TensorBoard(), "tensorboard")

    def evaluation(self, evaluation: Evaluation) -> None:
        self.follower.catch_up()

    def end(self, summary: Mapping[str, Any]) -> None:
        self.follower.catch_up()
