"""The bands of a front end: which frequencies of a spectrum go into which, and with what weight;
also where numpy is not, so that a model's use computes what training did.

Mel: O'Shaughnessy (1987), Speech Communication; triangles as in the HTK book (Young et al.).
"""

import math

from raspitrain.errors import InputError

KINDS = ("logmel", "spectrum")
LEAST_WINDOW, MOST_WINDOW = 8, 1 << 16
MOST_BANDS = 1024
Band = tuple[int, list[float]]  # the first frequency, and the weights from it on


def fft_size(window: int) -> int:
    """Points of the transform: the power of two from which a window fits."""
    return 1 << (window - 1).bit_length()


def hann(window: int) -> list[float]:
    """The window's weights, which add up to 1."""
    weights = [0.5 - 0.5 * math.cos(2 * math.pi * k / window) for k in range(window)]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def bands_of(
    kind: str, window: int, bands: int | None, low: float, high: float, rate: float
) -> list[Band]:
    """The bands, from the lowest on.

    Parameters
    ----------
    bands : int or None
        How many; None for a band each frequency.
    low, high, rate : float
        Hz; or shares of any one unit where the rate is not known.

    Raises
    ------
    InputError
        A band holds no frequency.
    """
    step = rate / fft_size(window)
    if kind == "logmel":
        assert bands is not None
        edges = [_hertz(_mel(low) + (_mel(high) - _mel(low)) * k / (bands + 1))
                 for k in range(bands + 2)]  # fmt: skip
        found = [_triangle(edges[k : k + 3], step) for k in range(bands)]
    elif bands is None:
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        found = [(k, [1.0]) for k in range(first, last + 1)]
    else:
        found = [_box(low + (high - low) * k / bands, low + (high - low) * (k + 1) / bands, step)
                 for k in range(bands)]  # fmt: skip
    if not found or any(not weights for _, weights in found):
        raise InputError(
            f"{len(found)} bands from {low:g} to {high:g} Hz are too many: some hold none of the "
            f"frequencies of a window, which lie {step:.4g} Hz apart; take fewer (frontend.bands), "
            "a longer window (frontend.window), or another range (frontend.low, frontend.high)."
        )
    return found


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


def _hertz(mel: float) -> float:
    return 700 * (10 ** (mel / 2595) - 1)


def _triangle(edges: list[float], step: float) -> Band:
    low, middle, high = edges
    first, last = math.floor(low / step) + 1, math.ceil(high / step) - 1
    weights = [
        (k * step - low) / (middle - low)
        if k * step <= middle
        else (high - k * step) / (high - middle)
        for k in range(first, last + 1)
    ]
    return first, weights


def _box(low: float, high: float, step: float) -> Band:
    first, last = math.ceil(low / step - 1e-9), math.ceil(high / step - 1e-9) - 1
    count = last - first + 1
    return first, [1 / count] * count
