"""A model at work: windows in, classes out."""

import os
from math import exp

from raspitrain.errors import InputError
from raspitrain.use.foreign import addressof, c_float
from raspitrain.use.kinds import engine_of
from raspitrain.use.model_file import NAME, NUM_PROOFS, ModelFile


class Prediction:
    """What a model makes of a window.

    Attributes
    ----------
    label : str
        The most probable class.
    probability : float
        Its probability.
    probabilities : dict of str to float
        Of all classes, in the model's order.
    logits : list of float
    """

    __slots__ = ("label", "logits", "probabilities", "probability")

    def __init__(self, classes: list[str], logits: list[float], temperature: float) -> None:
        values = softmax(logits, temperature)
        self.probability = max(values)
        self.label = classes[values.index(self.probability)]
        self.probabilities = dict(zip(classes, values, strict=True))
        self.logits = logits

    def __repr__(self) -> str:
        return f"Prediction({self.label!r}, probability={self.probability:.4f})"


def softmax(logits: list[float], temperature: float) -> list[float]:
    largest = max(logits)
    powers = [exp((value - largest) / temperature) for value in logits]
    total = sum(powers)
    return [power / total for power in powers]


class Model:
    """A model file, proved on this machine.

    Attributes
    ----------
    path : str
    header : dict
        Everything the file says of itself: see docs/model-file.md.
    channels, classes : list of str
        Names, in order.
    length : int
        Samples of a window.
    rate : float or None
        Samples a second, if the data had a rate.
    hop : int
        Samples from a window to the next, unless told otherwise.
    signer : str or None
        Who signed it; None where nobody asked.
    """

    def __init__(self, file: ModelFile, rank: int = 0, signer: str | None = None) -> None:
        self.signer = signer
        self.path, self.header, self.digest = file.path, file.header, file.digest
        self.num_bytes = file.num_bytes
        network, given = self.header["network"], self.header["input"]
        self.channels: list[str] = given["channels"]
        self.classes: list[str] = self.header["output"]["classes"]
        self.length: int = (given.get("frontend") or network)["length"]
        self.rate: float | None = given.get("rate")
        self.hop: int = given.get("hop") or self.length
        self.temperature: float = self.header["output"]["temperature"]
        self._size = len(self.channels) * self.length
        self._bytes = bytearray(4 * self._size)
        self._window = (c_float * self._size).from_buffer(self._bytes)
        self.window_address = addressof(self._window)
        *weights, windows, logits = file.addresses
        try:
            self.engine = engine_of(network, given, weights, file, rank)
        except InputError as error:
            raise InputError(f"{file.path}: {error}.") from error
        self._prove(windows, logits)

    def _prove(self, windows: int, logits: int) -> None:
        """Compare what this machine makes of the file's windows with what it should.

        Raises
        ------
        InputError
            The logits differ: a wrong build of the engine, a fault of processor or memory.
        """
        num_classes = len(self.classes)
        expected = (c_float * (NUM_PROOFS * num_classes)).from_address(logits)
        spread = max(0, *expected) - min(0, *expected)
        allowed = self.header["proof"]["tolerance"] * spread
        for k in range(NUM_PROOFS):
            given = self.engine.run(windows + 4 * k * self._size, self.length, 1)
            wanted = expected[k * num_classes : (k + 1) * num_classes]
            # Also where one of them is no number.
            if given is None or not all(
                abs(a - b) <= allowed for a, b in zip(given, wanted, strict=True)
            ):
                raise InputError(
                    f"{self.path} gives other answers here than where it was written, and would "
                    "be wrong: update raspitrain and remove ~/.cache/raspitrain; if it stays so, "
                    "this machine's memory or processor is faulty."
                )

    def predict(self, window: object) -> Prediction:
        """The class of one window.

        Parameters
        ----------
        window : (C, L) numbers in the channels' own units, raw
            An array (numpy's, array.array, anything with a buffer of float32), or C lists of L
            numbers. A flat buffer holds channel after channel.

        Raises
        ------
        InputError
            The window has another shape, or values that the model's policy does not allow.
        """
        return Prediction(self.classes, self.logits(window), self.temperature)

    def logits(self, window: object) -> list[float]:
        """Logits (K,) of one window (C, L), as `predict` takes it."""
        found = self.engine.run(self._place(window), self.length, 1)
        if found is None:
            self._fill_missing()
            found = self.engine.run(self.window_address, self.length, 1)
        if found is None or not all(value - value == 0 for value in found):
            raise InputError("the window has values that are too large for this model.")
        return found

    def _place(self, window: object) -> int:
        """Copy a window to where the engine reads it, as float32; return the address."""
        channels, length = len(self.channels), self.length
        try:
            view = memoryview(window)  # type: ignore[arg-type]
        except TypeError:
            return self._place_lists(window)
        shape = tuple(view.shape or ())
        if shape not in ((channels, length), (self._size,)):
            raise self._misfit(shape)
        if view.format in ("f", "<f", "=f") and view.c_contiguous:
            self._bytes[:] = view.tobytes()
        else:
            if view.format not in ("d", "<d", "=d", "f", "<f", "=f", *"bBhHiIlLqQ"):
                raise InputError(
                    f"the window holds values of the type {view.format!r}, not numbers."
                )
            values: list = view.tolist()
            flat = values if len(shape) == 1 else [value for row in values for value in row]
            self._window[:] = flat
        return self.window_address

    def _place_lists(self, window: object) -> int:
        try:
            rows = [list(row) for row in window]  # type: ignore[attr-defined]
        except TypeError:
            raise InputError(
                f"a window must be {len(self.channels)} channels of {self.length} numbers."
            ) from None
        lengths = {len(row) for row in rows}
        if len(rows) != len(self.channels) or lengths != {self.length}:
            raise self._misfit((len(rows), *sorted(lengths)))
        try:
            flat: list[float] = []
            for row in rows:
                flat += map(float, row)
            self._window[:] = flat
        except (TypeError, ValueError):
            raise InputError("the window holds values that are not numbers.") from None
        return self.window_address

    def _misfit(self, shape: tuple) -> InputError:
        names = ", ".join(self.channels[:8]) + (", …" if len(self.channels) > 8 else "")
        return InputError(
            f"the window has the shape {shape}, but the model takes ({len(self.channels)}, "
            f"{self.length}): {self.length} samples of {names}."
        )

    def _fill_missing(self) -> None:
        """Fill NaN and infinite values of the window, as the training's policy has it."""
        for c, name in enumerate(self.channels):
            part = slice(c * self.length, (c + 1) * self.length)
            self._window[part] = self.without_missing(name, self._window[part], "the window")

    def without_missing(self, channel: str, row: list[float], source: str) -> list[float]:
        """Values of a channel, what is NaN or infinite filled as the training's policy has it."""
        known = [at for at, value in enumerate(row) if value - value == 0]
        if len(known) == len(row):
            return row
        if self.header["input"]["missing"] == "error":
            raise InputError(
                f"{source} has {len(row) - len(known)} missing or infinite values in {channel}, "
                "and the model was trained on data without any: fill them in, or train with "
                "dataset.missing=interpolate."
            )
        return _filled(row, known, self.header["input"]["missing"])


def _filled(row: list[float], known: list[int], missing: str) -> list[float]:
    """Fill what is not known: by a line between the neighbours, holding the first and last value,
    or by zeros; by zeros, too, where nothing is known."""
    if missing == "zero" or not known:
        good = set(known)
        return [value if at in good else 0.0 for at, value in enumerate(row)]
    first, last = known[0], known[-1]
    filled = [row[first]] * first + row[first : last + 1] + [row[last]] * (len(row) - 1 - last)
    for before, after in zip(known, known[1:]):  # noqa: B905, RUF007 - without itertools
        slope = (row[after] - row[before]) / (after - before)
        for at in range(before + 1, after):
            filled[at] = slope * (at - before) + row[before]
    return filled


def load(
    path: str | os.PathLike[str],
    *,
    allowed_signers: str | os.PathLike[str] | None = None,
    rank: int = 0,
) -> Model:
    """Read a model file, prove it on this machine, and make it ready.

    Parameters
    ----------
    path : of a model.rpt, or of a run's folder that holds one
    allowed_signers : of ssh-keygen's file of this name; where it is given, one of those in it must
        have signed the file
    rank : which of the engine's kernels work: 0 is the fastest that the processor has

    Raises
    ------
    InputError
        The file is missing, cut, altered, of a newer format, fails its proof, or is signed by
        nobody who is allowed.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        folder, path = path, os.path.join(path, NAME)
        has_best, has_last = (
            os.path.exists(os.path.join(folder, name)) for name in ("best.pt", "last.pt")
        )
        if has_last and not (has_best or os.path.exists(path)):
            raise InputError(
                f"the run {folder} has not ended, and holds no {NAME} yet: python -m raspitrain "
                f"resume={folder} goes on with it."
            )
        if has_best and not os.path.exists(path):
            raise InputError(
                f"the run {folder} holds no {NAME}: its log says why; raspitrain export {folder} "
                "writes it, or says what the engine lacks, and raspitrain evaluate needs none."
            )
    file = ModelFile(path)
    signer = None
    if allowed_signers is not None:
        from raspitrain.use.signature import verify

        signer = verify(path, file.digest, os.fspath(allowed_signers))
    return Model(file, rank, signer)
