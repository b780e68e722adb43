"""Keep windows that the model is not sure of, to be labelled and learnt from.

Each becomes a recording of its own, FOLDER/unlabelled/NAME.csv. Moved into a folder that is named
after its class, it is read by dataset=recordings: FOLDER/walk/NAME.csv.
"""

import os
import time

from raspitrain.errors import input_error, printable, reason
from raspitrain.use.model import Model, Prediction
from raspitrain.use.windows import Windows

UNLABELLED = "unlabelled"
BELOW = 0.6  # the best probability of an uncertain window
NEAR = 0.05  # a threshold, either side of it
MOST = 1000
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"


class Keeper:
    """Writes uncertain windows, no two of which share a sample, until there are enough."""

    def __init__(self, model: Model, folder: str, *, below: float, most: int) -> None:
        self._model, self._below, self._most = model, below, most
        self._folder = os.path.join(folder, UNLABELLED)
        self._next_start = 0
        self._told = ""
        self.num_kept = 0
        try:
            os.makedirs(self._folder, exist_ok=True)
            with os.scandir(self._folder) as entries:
                self._there = sum(entry.name.endswith(".csv") for entry in entries)
        except OSError as error:
            raise input_error(
                f"--keep: windows cannot be kept in {folder} ({reason(error)}).", error
            ) from error

    @staticmethod
    def is_near(score: float, threshold: float) -> bool:
        return abs(score - threshold) < NEAR

    def offer(
        self, answer: Prediction, near: bool, windows: Windows, ticks: float | None
    ) -> str | None:
        """Keep the window if it is uncertain; return what there is to say, once. `ticks` is what
        its times count in a second."""
        if windows.start < self._next_start or not (near or answer.probability < self._below):
            return None
        if self._there + self.num_kept >= self._most:
            return self._say(
                f"{self._folder} has {self._most} windows, and no more are kept: label them, or "
                "raise --keep-most."
            )
        name = "".join(letter if letter in LETTERS else "_" for letter in answer.label[:40])
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        file = f"{moment}-{windows.start}-{name}-{100 * answer.probability:.0f}.csv"
        try:
            self._write(os.path.join(self._folder, file), windows, ticks)
        except OSError as error:
            return self._say(f"{file} is not kept: {reason(error)}.")
        self.num_kept += 1
        self._next_start = windows.start + self._model.length
        return None

    def _say(self, text: str) -> str | None:
        kind = text.split(":", 1)[-1]
        if kind == self._told:
            return None
        self._told = kind
        return printable(text)

    def _write(self, path: str, windows: Windows, ticks: float | None) -> None:
        from raspitrain.results.atomic import write_atomic

        names = list(map(_quoted, self._model.channels))
        # All digits of a float32.
        cells = [
            [f"{value:.9g}" if value == value else "" for value in row] for row in windows.rows()
        ]
        times = windows.times()
        if any(value == value for value in times):
            names.insert(0, "time" if ticks is None else "time (s)")
            cells.insert(
                0, [repr(value / (ticks or 1)) if value == value else "" for value in times]
            )
        text = "".join(",".join(line) + "\n" for line in (names, *zip(*cells, strict=True)))
        os.makedirs(self._folder, exist_ok=True)  # it may have been moved with all that was in it
        write_atomic(path, text.encode())


def _quoted(name: str) -> str:
    if any(letter in name for letter in ',"\n\r;'):
        return '"' + name.replace('"', '""') + '"'
    return name
