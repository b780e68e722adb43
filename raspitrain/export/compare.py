"""What int8 costs and gains: the same windows through torch, the engine in fp32 and, where a model
has it, in int8."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from raspitrain.export.trained import MOST_COMPARED, Trained
from raspitrain.export.write import normalised_already, packed_engine, run_engine
from raspitrain.hardware.threads import one_thread

TIMED = 30
AT_A_TIME = 8  # windows that torch computes: more take memory that the run did not
MOST_LOST = 0.005  # share of the windows, that int8 may get wrong beside fp32
FEWEST_AGREED = 0.99  # share of the windows with the same class, where there are no labels


@dataclass(frozen=True)
class Figures:
    """One way of computing the answers.

    Attributes
    ----------
    accuracy : share of the windows; None without labels
    agreement : share of the windows with the class that torch gives
    logit_error : root mean square of the logits' difference from torch's, over that of torch's
        logits
    num_bytes : of the weights
    milliseconds : the fastest of some windows, one thread, on the machine that exported
    """

    accuracy: float | None
    agreement: float
    logit_error: float
    num_bytes: int
    milliseconds: float


@dataclass(frozen=True)
class Comparison:
    """Figures of "torch", "fp32" and, for a network, "int8", on `num_windows` windows of the part
    `part`."""

    part: str
    num_windows: int
    figures: dict[str, Figures]

    def record(self) -> dict[str, Any]:
        return {"part": self.part, "windows": self.num_windows, **asdict(self)["figures"]}


def some(count: int, most: int = MOST_COMPARED) -> np.ndarray:
    """Which of `count` cases are compared: all, or `most`, or MOST_COMPARED, spread over them."""
    num_windows = min(count, most, MOST_COMPARED)
    return np.unique(np.linspace(0, count - 1, num_windows).astype(np.int64))


def compare(
    trained: Trained, signals: np.ndarray, labels: np.ndarray | None, *, part: str
) -> Comparison:
    """Run them all on normalised windows, or on as many as take some seconds.

    Parameters
    ----------
    signals : np.ndarray
        float32 (N, C, L), normalised; at least one.
    labels : np.ndarray or None
        int64 (N,).
    part : of the data set, for the table
    """
    kept = some(len(signals), trained.most_compared)
    signals, labels = signals[kept], None if labels is None else labels[kept]
    expected, seconds = _torch_logits(trained, signals)
    figures = {"torch": _figures(expected, expected, labels, _size(trained), seconds)}
    for precision in trained.precisions:
        figures[precision] = _of_engine(trained, precision, signals, expected, labels)
    return Comparison(part, len(signals), figures)


def _of_engine(
    trained: Trained,
    precision: str,
    signals: np.ndarray,
    expected: np.ndarray,
    labels: np.ndarray | None,
) -> Figures:
    """A function of its own: what one precision has packed is gone when the next begins."""
    network, arrays = trained.packed(precision)
    engine = packed_engine(network, arrays, normalised_already(signals.shape[1]))
    logits = run_engine(engine, signals)
    one = np.ascontiguousarray(signals[0])
    seconds = min(_timed(engine.run, one.ctypes.data, trained.length, 1) for _ in range(TIMED))
    size = sum(array.nbytes for array in arrays)
    return _figures(logits, expected, labels, size, seconds)


def _timed(work: Callable[..., Any], *given: Any) -> float:
    begin = time.perf_counter()
    work(*given)
    return time.perf_counter() - begin


def _torch_logits(trained: Trained, signals: np.ndarray) -> tuple[np.ndarray, float]:
    """Logits, and seconds that a single window takes."""
    with torch.no_grad():
        blocks = [trained.model(block) for block in torch.from_numpy(signals).split(AT_A_TIME)]
        one = torch.from_numpy(signals[:1])
        with one_thread():
            seconds = min(_timed(trained.model, one) for _ in range(5))
    return torch.cat(blocks).numpy(), seconds


def _size(trained: Trained) -> int:
    return sum(t.numel() * t.element_size() for t in trained.model.state_dict().values())


def _figures(
    logits: np.ndarray,
    expected: np.ndarray,
    labels: np.ndarray | None,
    num_bytes: int,
    seconds: float,
) -> Figures:
    answers = logits.argmax(axis=1)
    scale = float(np.sqrt(np.mean(expected.astype(np.float64) ** 2)))
    error = float(np.sqrt(np.mean((logits.astype(np.float64) - expected) ** 2)))
    return Figures(
        accuracy=None if labels is None else float((answers == labels).mean()),
        agreement=float((answers == expected.argmax(axis=1)).mean()),
        logit_error=error / scale if scale else error,
        num_bytes=num_bytes,
        milliseconds=1000 * seconds,
    )


def choose_precision(wanted: str, comparison: Comparison | None) -> tuple[str, str]:
    """The precision to write, and why, in words.

    Parameters
    ----------
    wanted : {"auto", "fp32", "int8"}
        auto: int8, unless it loses more than MOST_LOST of the accuracy.
    """
    if wanted != "auto":
        return wanted, "as asked for"
    if comparison is None:
        return "fp32", "there are no windows to try int8 on"
    if "int8" not in comparison.figures:
        return "fp32", "features with a linear head have no int8"
    fp32, int8 = comparison.figures["fp32"], comparison.figures["int8"]
    if fp32.accuracy is None or int8.accuracy is None:
        if int8.agreement < FEWEST_AGREED:
            return "fp32", f"int8 names another class in {100 * (1 - int8.agreement):.1f} % of them"
        return "int8", f"it names the same class in {100 * int8.agreement:.1f} % of the windows"
    lost = fp32.accuracy - int8.accuracy
    if lost > MOST_LOST:
        return "fp32", f"int8 loses {100 * lost:.1f} points, more than {100 * MOST_LOST:g}"
    if lost > 0:
        return "int8", f"it loses {100 * lost:.2f} points"
    return "int8", "it loses no accuracy"
