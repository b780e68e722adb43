"""How a width multiplier and a signal's length change a network: one rule for all of them."""

from collections.abc import Iterable, Sequence
from math import ceil

from raspitrain.errors import InputError

MIN_LENGTH = 8
KEPT_POSITIONS = 4  # that are left at least before the pooling; benchmarks/downsamples.py


def check_signals(
    num_channels: int, num_classes: int, length: int, width_mult: float = 1.0
) -> None:
    """InputError for signals, or a width, that no network of ours takes."""
    if length < MIN_LENGTH:
        raise InputError(
            f"signals of length {length} are too short for this model: it takes {MIN_LENGTH} "
            "positions or more."
        )
    if num_channels < 1 or num_classes < 2:
        raise InputError(
            f"the model needs at least one channel and two classes, not {num_channels} and "
            f"{num_classes}."
        )
    if not width_mult > 0:
        raise InputError(f"model.width_mult={width_mult} must be above 0.")


def check_choice(key: str, value: object, choices: Iterable[object]) -> None:
    choices = tuple(choices)
    if value not in choices:
        known = ", ".join(map(str, choices))
        raise InputError(f"model.{key}={value} is not known: take one of {known}.")


def make_divisible(width: float, divisor: int = 8) -> int:
    """Nearest multiple of `divisor`, at least one of it and at least nine tenths of `width`."""
    nearest = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * width else nearest


def length_after(length: int, num_downsamples: int) -> int:
    """Positions left after so many halvings, each to ceil(length / 2)."""
    for _ in range(num_downsamples):
        length = ceil(length / 2)
    return length


def positions_left(length: int, strides: Sequence[int], most: int) -> int:
    """Behind all the strides, where a classifier looks at no more than `most`."""
    return min(most, length_after(length, num_halvings(strides)))


def auto_downsamples(length: int, num_available: int) -> int:
    """As many halvings as leave at least 4 positions before the pooling."""
    wanted = 0
    while wanted < num_available and length_after(length, wanted + 1) >= KEPT_POSITIONS:
        wanted += 1
    return wanted


def keep_strides(
    strides: Sequence[int], num_downsamples: int | str, length: int, *, min_positions: int = 2
) -> list[int]:
    """The strides of a network that stay; the latest are the first to become 1.

    Parameters
    ----------
    strides : of what halves, convolutions and poolings, in the order that signals meet them;
        1, 2, or 4, which is two halvings
    num_downsamples : how many halvings stay, or "auto"
    length : positions of the input
    min_positions : that must be left; BatchNorm cannot learn from a single one of a single case

    Raises
    ------
    InputError : if the network, or the signal, has fewer halvings than asked for.
    """
    num_available = num_halvings(strides)
    if num_downsamples == "auto":
        num_kept = auto_downsamples(length, num_available)
    else:
        while length_after(length, num_available) < min_positions:
            num_available -= 1
        if not (isinstance(num_downsamples, int) and 0 <= num_downsamples <= num_available):
            raise InputError(
                f"model.num_downsamples={num_downsamples} is not possible: for signals of length "
                f"{length} this network takes 0 to {num_available}, or auto."
            )
        num_kept = num_downsamples
    kept = []
    for stride in strides:
        kept.append(min(stride, 2**num_kept))
        num_kept -= num_halvings(kept[-1:])
    return kept


def num_halvings(strides: Sequence[int]) -> int:
    """Of all of them: a stride of 4 is two."""
    return sum(stride.bit_length() - 1 for stride in strides)
