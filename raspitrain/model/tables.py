"""MobileNetV3 as tables, as the paper and as the blog have it, and how a width multiplier and a
signal's length change them."""

from typing import Literal, NamedTuple

from raspitrain.model.scaling import keep_strides, make_divisible


class Row(NamedTuple):
    """One block of a table."""

    kernel: int
    expanded: int
    out: int
    squeeze_excite: bool
    activation: Literal["RE", "HS"]
    stride: int


class Variant(NamedTuple):
    """What the paper's and the blog's network do differently, beside their tables.

    bias: convolutions that a BatchNorm follows have a bias too.
    always_expand: the 1x1 expansion is there even where it widens nothing.
    project_activation: the projection is followed by the block's activation.
    relu: what RE stands for.
    se_reduction: the squeeze-excite's hidden width is the expanded width over this.
    norm_unless_length_1: no BatchNorm where a single position is left.
    conv_classifier: the two last layers are 1x1 convolutions, each with a BatchNorm that never
        runs because it would see one position; False: linear layers.
    logits_activation: Hardswish on the logits.
    """

    bias: bool
    always_expand: bool
    project_activation: bool
    relu: Literal["relu", "relu6"]
    se_reduction: int
    norm_unless_length_1: bool
    conv_classifier: bool
    logits_activation: bool


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

TABLES = {
    "paper": {"small": SMALL, "large": LARGE},
    "blog": {"small": SMALL_BLOG, "large": LARGE_BLOG},
}
VARIANTS = {
    "paper": Variant(
        bias=False,
        always_expand=False,
        project_activation=False,
        relu="relu",
        se_reduction=4,
        norm_unless_length_1=False,
        conv_classifier=False,
        logits_activation=False,
    ),
    "blog": Variant(
        bias=True,
        always_expand=True,
        project_activation=True,
        relu="relu6",
        se_reduction=1,
        norm_unless_length_1=True,
        conv_classifier=True,
        logits_activation=True,
    ),
}


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


def choose_strides(table: Table, num_downsamples: int | str, length: int) -> list[int]:
    """Strides of the stem and of every block; see `raspitrain.model.scaling.keep_strides`."""
    strides = [2, *(row.stride for row in table.rows)]
    return keep_strides(strides, num_downsamples, length, min_positions=1)
