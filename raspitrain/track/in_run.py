"""Trackers of a run that is under way: `tracker=tensorboard`, `tracker=mlflow`.

Both are followers of the run's folder (follow.py). An event file is written on the spot; a server
is left to a process of its own, which may wait for it as long as it likes.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raspitrain.run.observers import Observer
from raspitrain.track import mlflow, tensorboard
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


class MLflow(Observer):
    """Starts the command that follows the folder, and leaves it alone.

    Parameters
    ----------
    url, experiment, timeout_seconds : see `raspitrain.track.mlflow.MLflow`
    """

    def __init__(self, url: str, experiment: str, timeout_seconds: float) -> None:
        mlflow.MLflow(url, experiment, timeout_seconds)  # for its refusals, before the run begins
        self.settings = {"url": url, "experiment": experiment, "timeout_seconds": timeout_seconds}

    def begin(self, folder: Path, config: Mapping[str, Any]) -> None:
        words = [f"tracker.{key}={value}" for key, value in self.settings.items()]
        # It outlives the run by as long as the last rows take, and no Ctrl-C of the run reaches it.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "raspitrain.track", str(folder), "tracker=mlflow", *words,
             "--follow", "--run", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
