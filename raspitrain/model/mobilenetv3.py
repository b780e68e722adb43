"""MobileNetV3 for signals: block tables, one network, one builder.

    model = mobilenetv3(table="small", num_channels=3, num_classes=2, length=224, ...)
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes.

Two variants share the code. The paper's (Howard et al. 2019, arXiv:1905.02244) is torchvision's
network on one-row images; the blog's is the 1-D network of the post that this project starts
from. Where they differ, a parameter has a name; conf/model/*.yaml hold the values.
"""

from dataclasses import dataclass
from math import ceil
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raspitrain.errors import InputError
from raspitrain.model import native
from raspitrain.model.kernels import load_kernels

Activation = Literal["identity", "relu", "relu6", "hardswish"]
ENGINES = ("auto", "native", "torch", "plain")


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


@dataclass(frozen=True)
class Variant:
    """What the paper's and the blog's network do differently, beside their tables.

    bias: convolutions that a BatchNorm follows have a bias too.
    always_expand: the 1x1 expansion is there even where it widens nothing.
    project_activation: the projection is followed by the block's activation.
    relu6: RE means ReLU6, not ReLU.
    se_reduction: the squeeze-excite's hidden width is the expanded width over this.
    skip_batchnorm_at_length_1: no BatchNorm where a single position is left.
    conv_classifier: the two last layers are 1x1 convolutions, each with a BatchNorm that never
        runs because it would see one position; False: linear layers.
    logits_activation: Hardswish on the logits.
    """

    bias: bool
    always_expand: bool
    project_activation: bool
    relu6: bool
    se_reduction: int
    skip_batchnorm_at_length_1: bool
    conv_classifier: bool
    logits_activation: bool
    dropout: float
    batchnorm_momentum: float
    batchnorm_eps: float

    def activation(self, name: Literal["RE", "HS"]) -> Activation:
        if name == "HS":
            return "hardswish"
        return "relu6" if self.relu6 else "relu"


def activate(x: Tensor, activation: Activation) -> Tensor:
    if activation == "relu":
        return F.relu(x)
    if activation == "relu6":
        return F.relu6(x)
    return F.hardswish(x) if activation == "hardswish" else x


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from the means of all channels."""

    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(width, squeezed)
        self.expand = nn.Linear(squeezed, width)

    def forward(self, x: Tensor) -> Tensor:
        # Not F.hardsigmoid: its float64 gradient is only good to float32.
        gate = F.relu6(self.expand(F.relu(self.reduce(x.mean(dim=2)))) + 3) / 6  # (N, C)
        return x * gate.unsqueeze(2)


class Block(nn.Module):
    """Inverted residual: 1x1 expand, depthwise, squeeze-excite, 1x1 project."""

    def __init__(self, in_width: int, row: Row, stride: int, variant: Variant) -> None:
        super().__init__()
        kernel, expanded, out = row.kernel, row.expanded, row.out
        self.stride = stride
        self.variant = variant
        self.activation: Activation = variant.activation(row.activation)
        self.residual = stride == 1 and in_width == out
        self.conv_pw: nn.Conv1d | None = None
        self.bn_pw: nn.BatchNorm1d | None = None
        if variant.always_expand or expanded != in_width:
            self.conv_pw = nn.Conv1d(in_width, expanded, 1, bias=variant.bias)
            self.bn_pw = _batchnorm(expanded, variant)
        self.conv_dw = nn.Conv1d(
            expanded,
            expanded,
            kernel,
            stride=stride,
            padding=kernel // 2,
            groups=expanded,
            bias=variant.bias,
        )
        self.bn_dw = _batchnorm(expanded, variant)
        self.se: SqueezeExcite | None = None
        if row.squeeze_excite:
            reduction = variant.se_reduction
            squeezed = expanded if reduction == 1 else make_divisible(expanded // reduction)
            self.se = SqueezeExcite(expanded, squeezed)
        self.conv_pwl = nn.Conv1d(expanded, out, 1, bias=variant.bias)
        self.bn_pwl = _batchnorm(out, variant)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.conv_pw is not None and self.bn_pw is not None:
            y = activate(_normalise(self.conv_pw(y), self.bn_pw, self.variant), self.activation)
        y = activate(_normalise(self.conv_dw(y), self.bn_dw, self.variant), self.activation)
        if self.se is not None:
            y = self.se(y)
        y = _normalise(self.conv_pwl(y), self.bn_pwl, self.variant)
        if self.variant.project_activation:
            y = activate(y, self.activation)
        return x + y if self.residual else y


def _batchnorm(width: int, variant: Variant) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(width, eps=variant.batchnorm_eps, momentum=variant.batchnorm_momentum)


def _normalise(x: Tensor, bn: nn.BatchNorm1d, variant: Variant) -> Tensor:
    if variant.skip_batchnorm_at_length_1 and x.shape[2] == 1:
        return x
    if bn.training and x.shape[0] * x.shape[2] == 1:
        # One value a channel has no variance: what was learnt so far stands in for it.
        return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps)
    return bn(x)


class MobileNetV3(nn.Module):
    """The network; parameters are those of nn.Conv1d, nn.BatchNorm1d, nn.Linear in forward order.

    Parameters
    ----------
    table : Table
        Widths as they are built (after any width multiplier).
    strides : list of int
        Of the stem and of every block.
    """

    def __init__(
        self,
        table: Table,
        strides: list[int],
        variant: Variant,
        *,
        num_channels: int,
        num_classes: int,
        engine: str,
    ) -> None:
        super().__init__()
        self.variant = variant
        self.num_channels = num_channels
        self.num_classes = num_classes
        self.engine = engine
        self.conv_stem = nn.Conv1d(
            num_channels, table.stem, 3, stride=strides[0], padding=1, bias=variant.bias
        )
        self.bn_stem = _batchnorm(table.stem, variant)
        widths = [table.stem, *(row.out for row in table.rows)]
        self.blocks = nn.ModuleList(
            Block(width, row, stride, variant)
            for width, row, stride in zip(widths, table.rows, strides[1:], strict=False)
        )
        self.conv_head = nn.Conv1d(widths[-1], table.last, 1, bias=variant.bias)
        self.bn_head = _batchnorm(table.last, variant)
        self.hidden: nn.Conv1d | nn.Linear
        self.classifier: nn.Conv1d | nn.Linear
        if variant.conv_classifier:
            self.hidden = nn.Conv1d(table.last, table.hidden, 1)
            self.bn_hidden = _batchnorm(table.hidden, variant)
            self.classifier = nn.Conv1d(table.hidden, num_classes, 1)
            self.bn_classifier = _batchnorm(num_classes, variant)
        else:
            self.hidden = nn.Linear(table.last, table.hidden)
            self.classifier = nn.Linear(table.hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K) of signals (N, C, L)."""
        if self.engine != "plain" and not torch.compiler.is_compiling():
            if native.covers(self, x) and load_kernels(x.dtype) is not None:
                return self.classify(native.features(self, x))
        x = F.hardswish(_normalise(self.conv_stem(x), self.bn_stem, self.variant))
        for block in self.blocks:
            x = block(x)
        x = F.hardswish(_normalise(self.conv_head(x), self.bn_head, self.variant))
        return self.classify(F.hardswish(_linear(x.mean(dim=2), self.hidden)))

    def classify(self, hidden: Tensor) -> Tensor:
        """Logits (N, K) of the hidden layer's activations (N, hidden width)."""
        hidden = F.dropout(hidden, self.variant.dropout, self.training)
        logits = _linear(hidden, self.classifier)
        return F.hardswish(logits) if self.variant.logits_activation else logits


def _linear(x: Tensor, layer: nn.Conv1d | nn.Linear) -> Tensor:
    # A 1x1 convolution of one position is the linear layer of its weights.
    return F.linear(x, layer.weight.flatten(1), layer.bias)


def mobilenetv3(
    *,
    table: str,
    num_channels: int,
    num_classes: int,
    length: int,
    width_mult: float,
    num_downsamples: int | str,
    dropout: float,
    batchnorm_momentum: float,
    batchnorm_eps: float,
    bias: bool,
    always_expand: bool,
    project_activation: bool,
    relu6: bool,
    se_reduction: int,
    skip_batchnorm_at_length_1: bool,
    conv_classifier: bool,
    logits_activation: bool,
    engine: str,
) -> MobileNetV3:
    """Build a MobileNetV3 for signals of shape (cases, num_channels, length).

    Parameters
    ----------
    table : {"small", "large", "small_blog", "large_blog"}
    length : int
        Positions of a signal, 8 or more.
    num_downsamples : int or "auto"
        Convolutions of stride 2; "auto" keeps at least 4 positions before the pooling.
    engine : {"auto", "native", "torch", "plain"}
        What does the arithmetic; the numbers are the same to rounding.

    The others are described at `Variant`.

    Raises
    ------
    InputError
        For a value that no network can be built from; names the key.
    """
    if table not in TABLES:
        raise InputError(f"model.table={table} is not known: take one of {', '.join(TABLES)}.")
    if engine not in ENGINES:
        raise InputError(f"model.engine={engine} is not known: take one of {', '.join(ENGINES)}.")
    if length < 8:
        raise InputError(
            f"signals of length {length} are too short for this model: it takes 8 positions or "
            "more."
        )
    if num_channels < 1 or num_classes < 2:
        raise InputError(
            f"the model needs at least one channel and two classes, not {num_channels} and "
            f"{num_classes}."
        )
    if not width_mult > 0:
        raise InputError(f"model.width_mult={width_mult} must be above 0.")
    if not 0 <= dropout < 1:
        raise InputError(f"model.dropout={dropout} must be from 0 up to, not including, 1.")
    if se_reduction < 1:
        raise InputError(f"model.se_reduction={se_reduction} must be 1 or more.")
    scaled = scale_table(TABLES[table], width_mult)
    variant = Variant(
        bias=bias,
        always_expand=always_expand,
        project_activation=project_activation,
        relu6=relu6,
        se_reduction=se_reduction,
        skip_batchnorm_at_length_1=skip_batchnorm_at_length_1,
        conv_classifier=conv_classifier,
        logits_activation=logits_activation,
        dropout=dropout,
        batchnorm_momentum=batchnorm_momentum,
        batchnorm_eps=batchnorm_eps,
    )
    return MobileNetV3(
        scaled,
        choose_strides(scaled, num_downsamples, length),
        variant,
        num_channels=num_channels,
        num_classes=num_classes,
        engine=engine,
    )
