"""The last samples of a stream, where the engine reads them: nothing is copied for a window."""

from array import array

from raspitrain.use.model import Model, Prediction
from raspitrain.use.range import OutOfRange


class Windows:
    """A ring of the last window, every sample in it twice, so that it lies in one piece wherever it
    begins.

    Attributes
    ----------
    num_samples : since the start
    """

    def __init__(self, model: Model, hop: int) -> None:
        self._model, self._hop = model, hop
        self._length = model.length
        self._span = 2 * model.length
        self._values = array("f", bytes(4 * self._span * len(model.channels)))
        self._address = self._values.buffer_info()[0]
        self._times = array("d", bytes(8 * model.length))
        self._at = 0
        self._until_due = model.length
        self.num_samples = 0
        self.range = OutOfRange(model)

    def restart(self) -> None:
        """Begin a new stretch: no window holds samples of before."""
        self._until_due = self._length
        self.range.restart()

    def push(self, sample: list[float], time: float) -> bool:
        """Take a sample (C,); whether a window ends with it."""
        at, length, values = self._at, self._length, self._values
        place = at
        for value in sample:
            values[place] = values[place + length] = value
            place += self._span
        self._times[at] = time
        self._at = at + 1 if at + 1 < length else 0
        self.num_samples += 1
        self.range.push(sample)
        self._until_due -= 1
        if self._until_due:
            return False
        self._until_due = self._hop
        return True

    @property
    def start(self) -> int:
        """The window's first sample, counted from 0."""
        return self.num_samples - self._length

    @property
    def time(self) -> float:
        """What was pushed with its first sample."""
        return self._times[self._at]

    def predict(self) -> Prediction:
        """What the model makes of the window.

        Raises
        ------
        InputError
            It has values that the model's policy does not allow.
        """
        model = self._model
        logits = model.engine.run(self._address + 4 * self._at, self._span, 1)
        if logits is None or not all(value - value == 0 for value in logits):
            return model.predict(self.rows())
        return Prediction(model.classes, logits, model.temperature)

    def rows(self) -> list[array]:
        """A copy of the window: L values of each channel."""
        begins = range(self._at, len(self._values), self._span)
        return [self._values[begin : begin + self._length] for begin in begins]

    def times(self) -> array:
        return self._times[self._at :] + self._times[: self._at]
