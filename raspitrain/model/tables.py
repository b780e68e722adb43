"""The networks as tables, and how a width multiplier and a signal's length change them."""

from math import ceil
from typing import Literal, NamedTuple

from raspitrain.errors import InputError


class Row(NamedTuple):
    """One block of a table."""

    kernel: int
    expanded: int
    out: int
    squeeze_excite: bool
    activation: Literal["RE", "HS"]
    stride: int


class Table(NamedTuple):
    """A network: stem width, blocks, width of the last 1x1 convolution and of the hidden layer."""

    stem: int
    rows: tuple[Row, ...]
    last: int
    hidden: int


SE, NO = True, False

SMALL = Table(
    stem=16,
    rows=(
        Row(3, 16, 16, SE, "RE", 2),
        Row(3, 72, 24, NO, "RE", 2),
        Row(3, 88, 24, NO, "RE", 1),
        Row(5, 96, 40, SE, "HS", 2),
        Row(5, 240, 40, SE, "HS", 1),
        Row(5, 240, 40, SE, "HS", 1),
        Row(5, 120, 48, SE, "HS", 1),
        Row(5, 144, 48, SE, "HS", 1),
        Row(5, 288, 96, SE, "HS", 2),
        Row(5, 576, 96, SE, "HS", 1),
        Row(5, 576, 96, SE, "HS", 1),
    ),
    last=576,
    hidden=1024,
)

LARGE = Table(
    stem=16,
    rows=(
        Row(3, 16, 16, NO, "RE", 1),
        Row(3, 64, 24, NO, "RE", 2),
        Row(3, 72, 24, NO, "RE", 1),
        Row(5, 72, 40, SE, "RE", 2),
        Row(5, 120, 40, SE, "RE", 1),
        Row(5, 120, 40, SE, "RE", 1),
        Row(3, 240, 80, NO, "HS", 2),
        Row(3, 200, 80, NO, "HS", 1),
        Row(3, 184, 80, NO, "HS", 1),
        Row(3, 184, 80, NO, "HS", 1),
        Row(3, 480, 112, SE, "HS", 1),
        Row(3, 672, 112, SE, "HS", 1),
        Row(5, 672, 160, SE, "HS", 2),
        Row(5, 960, 160, SE, "HS", 1),
        Row(5, 960, 160, SE, "HS", 1),
    ),
    last=960,
    hidden=1280,
)


# The blog leaves one squeeze-excite out of the small table and halves twice more in the large one.
SMALL_BLOG = SMALL._replace(
    rows=(*SMALL.rows[:3], SMALL.rows[3]._replace(squeeze_excite=NO), *SMALL.rows[4:])
)
LARGE_BLOG = LARGE._replace(
    rows=(*LARGE.rows[:13], *(row._replace(stride=2) for row in LARGE.rows[13:]))
)

TABLES = {"small": SMALL, "large": LARGE, "small_blog": SMALL_BLOG, "large_blog": LARGE_BLOG}


def make_divisible(width: float, divisor: int = 8) -> int:
    """Nearest multiple of `divisor`, at least one of it and at least nine tenths of `width`."""
    nearest = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * width else nearest


def scale_table(table: Table, width_mult: float) -> Table:
    """Multiply every width but the hidden layer's, which torchvision keeps as well."""

    def scaled(width: int) -> int:
        return make_divisible(width * width_mult)

    rows = (row._replace(expanded=scaled(row.expanded), out=scaled(row.out)) for row in table.rows)
    last_out = scaled(table.rows[-1].out)
    return Table(
        stem=scaled(table.stem),
        rows=tuple(rows),
        last=last_out * (table.last // table.rows[-1].out),
        hidden=table.hidden,
    )


def length_after(length: int, num_downsamples: int) -> int:
    """Positions left after so many convolutions of stride 2 with padding kernel // 2."""
    for _ in range(num_downsamples):
        length = ceil(length / 2)
    return length


def auto_downsamples(length: int, num_available: int) -> int:
    """As many halvings as leave at least 4 positions before the pooling."""
    wanted = 0
    while wanted < num_available and length_after(length, wanted + 1) >= 4:
        wanted += 1
    return wanted


def choose_strides(table: Table, num_downsamples: int | str, length: int) -> list[int]:
    """Strides of the stem and of every block; the latest ones of the table are dropped first.

    Parameters
    ----------
    num_downsamples : int or "auto"
        How many of the table's strides stay.
    length : int
        Positions of the input.

    Raises
    ------
    InputError
        If the table has fewer strides than asked for.
    """
    strides = [2, *(row.stride for row in table.rows)]
    num_available = strides.count(2)
    if num_downsamples == "auto":
        num_kept = auto_downsamples(length, num_available)
    elif isinstance(num_downsamples, int) and 0 <= num_downsamples <= num_available:
        num_kept = num_downsamples
    else:
        raise InputError(
            f"model.num_downsamples={num_downsamples} is not possible: this network takes "
            f"0 to {num_available}, or auto."
        )
    for index, stride in enumerate(strides):
        if stride == 2:
            strides[index] = 2 if num_kept > 0 else 1
            num_kept -= 1
    return strides
