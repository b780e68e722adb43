"""What is told of a run as it goes. A tracker of your own is one class and one YAML:

    class Tracker(Observer):
        def evaluation(self, evaluation):
            send(evaluation.row)

    # mine/tracker/mine.yaml, for --config-dir mine tracker=mine
    _target_: my_package.Tracker

allowed on the command line with allowed_targets=[my_package.Tracker].
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from raspitrain.training.training import Evaluation, Step

log = logging.getLogger("raspitrain")


class Observer:
    """Is told of a run; each method does nothing unless it is overridden.

    Steps are told from the training loop itself: `step` is to be quick.
    """

    def begin(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Training is about to begin, or to be resumed.

        Parameters
        ----------
        folder : of the run
        config : the run's configuration, plain values
        """

    def step(self, step: Step) -> None:
        """A step has been taken."""

    def evaluation(self, evaluation: Evaluation) -> None:
        """The model has been evaluated."""

    def end(self, summary: Mapping[str, Any]) -> None:
        """The run has ended, however that came about; `summary` is what summary.json holds."""


class Calls(Observer):
    """An observer made of functions."""

    def __init__(
        self,
        *,
        step: Callable[[Step], object] | None = None,
        evaluation: Callable[[Evaluation], object] | None = None,
    ) -> None:
        self._step, self._evaluation = step, evaluation

    def step(self, step: Step) -> None:
        if self._step is not None:
            self._step(step)

    def evaluation(self, evaluation: Evaluation) -> None:
        if self._evaluation is not None:
            self._evaluation(evaluation)


class Careful(Observer):
    """A tracker whose failure costs what it would have been told from then on, never the run."""

    def __init__(self, tracker: Observer) -> None:
        self.tracker: Observer | None = tracker

    def begin(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._tell("begin", folder, config)

    def step(self, step: Step) -> None:
        self._tell("step", step)

    def evaluation(self, evaluation: Evaluation) -> None:
        self._tell("evaluation", evaluation)

    def end(self, summary: Mapping[str, Any]) -> None:
        self._tell("end", summary)

    def _tell(self, method: str, *what: object) -> None:
        if self.tracker is None:
            return
        try:
            getattr(self.tracker, method)(*what)
        except Exception as error:
            name, self.tracker = type(self.tracker).__name__, None
            log.warning(
                "tracker: %s.%s failed and is told nothing more (%s: %s)",
                name, method, type(error).__name__, error,
            )  # fmt: skip
