"""MobileNetV3 for signals: one network, one builder.

    model = mobilenetv3(table="small", num_channels=3, num_classes=2, length=224, ...)
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes.

Two variants share the code. The paper's (Howard et al. 2019, arXiv:1905.02244) is torchvision's
network on one-row images; the blog's is the 1-D network of the post that this project starts
from. tables.py has the widths of both, and what else differs between them.
"""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from raspitrain.errors import InputError
from raspitrain.model.engine.choose import compute
from raspitrain.model.engine.operations import Activation, activate, gate, linear, normalise
from raspitrain.model.engine.rows import ENGINES, Add, Convolution, Dense, Gate, Mean, Row
from raspitrain.model.scaling import check_choice, check_signals, make_divisible
from raspitrain.model.tables import TABLES, VARIANTS, Table, Variant, choose_strides, scale_table
from raspitrain.model.tables import Row as TableRow

MakeBatchNorm = Callable[[int], nn.BatchNorm1d]


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from the means of all channels."""

    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(width, squeezed)
        self.expand = nn.Linear(squeezed, width)

    def forward(self, x: Tensor) -> Tensor:
        return x * gate(x.mean(dim=2), self.reduce, self.expand).unsqueeze(2)


class Block(nn.Module):
    """Inverted residual: 1x1 expand, depthwise, squeeze-excite, 1x1 project.

    batchnorm : makes the BatchNorm of so many channels
    """

    def __init__(
        self, in_width: int, row: TableRow, stride: int, variant: Variant, batchnorm: MakeBatchNorm
    ) -> None:
        super().__init__()
        kernel, expanded, out = row.kernel, row.expanded, row.out
        self.variant = variant
        self.activation: Activation = variant.relu if row.activation == "RE" else "hardswish"
        self.residual = stride == 1 and in_width == out
        self.conv_pw: nn.Conv1d | None = None
        self.bn_pw: nn.BatchNorm1d | None = None
        if variant.always_expand or expanded != in_width:
            self.conv_pw = nn.Conv1d(in_width, expanded, 1, bias=variant.bias)
            self.bn_pw = batchnorm(expanded)
        self.conv_dw = nn.Conv1d(
            expanded,
            expanded,
            kernel,
            stride=stride,
            padding=kernel // 2,
            groups=expanded,
            bias=variant.bias,
        )
        self.bn_dw = batchnorm(expanded)
        self.se: SqueezeExcite | None = None
        if row.squeeze_excite:
            reduction = variant.se_reduction
            squeezed = expanded if reduction == 1 else make_divisible(expanded // reduction)
            self.se = SqueezeExcite(expanded, squeezed)
        self.conv_pwl = nn.Conv1d(expanded, out, 1, bias=variant.bias)
        self.bn_pwl = batchnorm(out)

    @property
    def project_activation(self) -> Activation:
        return self.activation if self.variant.project_activation else "identity"

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.conv_pw is not None and self.bn_pw is not None:
            y = activate(_normalise(self.conv_pw(y), self.bn_pw, self.variant), self.activation)
        y = activate(_normalise(self.conv_dw(y), self.bn_dw, self.variant), self.activation)
        if self.se is not None:
            y = self.se(y)
        y = _normalise(self.conv_pwl(y), self.bn_pwl, self.variant)
        y = activate(y, self.project_activation)
        return x + y if self.residual else y

    def rows(self, value: int) -> list[Row]:
        """The block as rows, where `value` is the number of what it takes."""
        skip, rows = self.variant.norm_unless_length_1, list[Row]()
        if self.conv_pw is not None:
            rows.append(Convolution(self.conv_pw, self.bn_pw, self.activation, skip))
        rows.append(Convolution(self.conv_dw, self.bn_dw, self.activation, skip))
        if self.se is not None:
            rows.append(Gate(self.se.reduce, self.se.expand))
        rows.append(Convolution(self.conv_pwl, self.bn_pwl, self.project_activation, skip))
        return [*rows, Add(value)] if self.residual else rows


class MobileNetV3(nn.Module):
    """The network; parameters are those of nn.Conv1d, nn.BatchNorm1d, nn.Linear in forward order.

    Parameters
    ----------
    table : widths as they are built (after any width multiplier)
    strides : of the stem and of every block
    batchnorm : makes the BatchNorm of so many channels
    """

    def __init__(
        self,
        table: Table,
        strides: list[int],
        variant: Variant,
        *,
        num_channels: int,
        num_classes: int,
        dropout: float,
        batchnorm: MakeBatchNorm,
        engine: str,
    ) -> None:
        super().__init__()
        self.variant = variant
        self.num_channels = num_channels
        self.num_classes = num_classes
        self.dropout = dropout
        self.engine = engine
        self.conv_stem = nn.Conv1d(
            num_channels, table.stem, 3, stride=strides[0], padding=1, bias=variant.bias
        )
        self.bn_stem = batchnorm(table.stem)
        widths = [table.stem, *(row.out for row in table.rows)]
        self.blocks = nn.ModuleList(
            Block(width, row, stride, variant, batchnorm)
            for width, row, stride in zip(widths, table.rows, strides[1:], strict=False)
        )
        self.conv_head = nn.Conv1d(widths[-1], table.last, 1, bias=variant.bias)
        self.bn_head = batchnorm(table.last)
        self.hidden: nn.Conv1d | nn.Linear
        self.classifier: nn.Conv1d | nn.Linear
        if variant.conv_classifier:
            self.hidden = nn.Conv1d(table.last, table.hidden, 1)
            self.bn_hidden = batchnorm(table.hidden)
            self.classifier = nn.Conv1d(table.hidden, num_classes, 1)
            self.bn_classifier = batchnorm(num_classes)
        else:
            self.hidden = nn.Linear(table.last, table.hidden)
            self.classifier = nn.Linear(table.hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K) of signals (N, C, L)."""
        hidden = compute(self, x)
        return self.classify(self._hidden(x) if hidden is None else hidden)

    def _hidden(self, x: Tensor) -> Tensor:
        """Activations of the hidden layer (N, hidden width), module by module."""
        x = F.hardswish(_normalise(self.conv_stem(x), self.bn_stem, self.variant))
        for block in self.blocks:
            x = block(x)
        x = F.hardswish(_normalise(self.conv_head(x), self.bn_head, self.variant))
        return F.hardswish(linear(x.mean(dim=2), self.hidden))

    def rows(self) -> list[Row]:
        """All up to the hidden layer's activations, for the engines."""
        skip = self.variant.norm_unless_length_1
        rows: list[Row] = [Convolution(self.conv_stem, self.bn_stem, "hardswish", skip)]
        for block in self.blocks:
            assert isinstance(block, Block)
            rows += block.rows(len(rows))
        head = Convolution(self.conv_head, self.bn_head, "hardswish", skip)
        return [*rows, head, Mean(), Dense(self.hidden, "hardswish")]

    def classify(self, hidden: Tensor) -> Tensor:
        """Logits (N, K) of the hidden layer's activations (N, hidden width)."""
        hidden = F.dropout(hidden, self.dropout, self.training)
        logits = linear(hidden, self.classifier)
        return F.hardswish(logits) if self.variant.logits_activation else logits


def _normalise(x: Tensor, bn: nn.BatchNorm1d, variant: Variant) -> Tensor:
    return x if variant.norm_unless_length_1 and x.shape[2] == 1 else normalise(x, bn)


def mobilenetv3(
    *,
    table: str,
    variant: str,
    num_channels: int,
    num_classes: int,
    length: int,
    width_mult: float,
    num_downsamples: int | str,
    dropout: float,
    batchnorm_momentum: float,
    batchnorm_eps: float,
    engine: str,
) -> MobileNetV3:
    """Build a MobileNetV3 for signals of shape (cases, num_channels, length).

    Parameters
    ----------
    table : {"small", "large"}
    variant : {"paper", "blog"}
    length : positions of a signal, 8 or more
    num_downsamples : int or "auto"
        Convolutions of stride 2; "auto" keeps at least 4 positions before the pooling.
    engine : {"auto", "native", "torch", "plain"}
        What does the arithmetic; the numbers are the same to rounding.

    Raises
    ------
    InputError
        For a value that no network can be built from; names the key.
    """
    check_choice("variant", variant, VARIANTS)
    check_choice("table", table, TABLES[variant])
    check_choice("engine", engine, ENGINES)
    check_signals(num_channels, num_classes, length, width_mult)
    if not 0 <= dropout < 1:
        raise InputError(f"model.dropout={dropout} must be from 0 up to, not including, 1.")
    scaled = scale_table(TABLES[variant][table], width_mult)
    return MobileNetV3(
        scaled,
        choose_strides(scaled, num_downsamples, length),
        VARIANTS[variant],
        num_channels=num_channels,
        num_classes=num_classes,
        dropout=dropout,
        batchnorm=partial(nn.BatchNorm1d, eps=batchnorm_eps, momentum=batchnorm_momentum),
        engine=engine,
    )
