"""MobileNetV3 for signals: one network, one builder.

    model = mobilenetv3(table="small", num_channels=3, num_classes=2, length=224, ...)
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes.

Two variants share the code. The paper's (Howard et al. 2019, arXiv:1905.02244) is torchvision's
network on one-row images; the blog's is the 1-D network of the post that this project starts
from. Where they differ, a parameter has a name; conf/model/*.yaml hold the values.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from raspitrain.errors import InputError
from raspitrain.model.engine import native
from raspitrain.model.engine.choose import ENGINES, choose_engine
from raspitrain.model.engine.kernels import load_kernels
from raspitrain.model.layers import Block, Variant, linear, make_batchnorm, normalise
from raspitrain.model.scaling import check_choice, check_signals, check_width_mult
from raspitrain.model.tables import TABLES, Table, choose_strides, scale_table


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
        self.bn_stem = make_batchnorm(table.stem, variant)
        widths = [table.stem, *(row.out for row in table.rows)]
        self.blocks = nn.ModuleList(
            Block(width, row, stride, variant)
            for width, row, stride in zip(widths, table.rows, strides[1:], strict=False)
        )
        self.conv_head = nn.Conv1d(widths[-1], table.last, 1, bias=variant.bias)
        self.bn_head = make_batchnorm(table.last, variant)
        self.hidden: nn.Conv1d | nn.Linear
        self.classifier: nn.Conv1d | nn.Linear
        if variant.conv_classifier:
            self.hidden = nn.Conv1d(table.last, table.hidden, 1)
            self.bn_hidden = make_batchnorm(table.hidden, variant)
            self.classifier = nn.Conv1d(table.hidden, num_classes, 1)
            self.bn_classifier = make_batchnorm(num_classes, variant)
        else:
            self.hidden = nn.Linear(table.last, table.hidden)
            self.classifier = nn.Linear(table.hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K) of signals (N, C, L)."""
        run = choose_engine(self, x)
        if run is not None:
            return self.classify(run(self, x))
        x = F.hardswish(self._normalise(self.conv_stem(x), self.bn_stem))
        for block in self.blocks:
            x = block(x)
        x = F.hardswish(self._normalise(self.conv_head(x), self.bn_head))
        return self.classify(F.hardswish(linear(x.mean(dim=2), self.hidden)))

    def classify(self, hidden: Tensor) -> Tensor:
        """Logits (N, K) of the hidden layer's activations (N, hidden width)."""
        hidden = F.dropout(hidden, self.variant.dropout, self.training)
        logits = linear(hidden, self.classifier)
        return F.hardswish(logits) if self.variant.logits_activation else logits

    def _normalise(self, x: Tensor, bn: nn.BatchNorm1d) -> Tensor:
        return normalise(x, bn, self.variant, length=x.shape[2])


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
    check_choice("table", table, TABLES)
    check_choice("engine", engine, ENGINES)
    check_signals(num_channels, num_classes, length)
    check_width_mult(width_mult)
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


def known_memory(
    model: nn.Module, signals: Tensor
) -> Callable[[int, bool], tuple[int, int]] | None:
    """What the compiled kernels take for signals like these (N, C, L).

    Returns
    -------
    callable or None
        From a number of cases, and whether the model trains, to the bytes that are kept for
        backward and those that are worked in. None where the kernels do not run this model.
    """
    if not isinstance(model, MobileNetV3) or choose_engine(model, signals) is not native.features:
        return None
    kernels = load_kernels(signals.dtype)
    assert kernels is not None, "the engine was chosen without kernels"
    length = signals.shape[2]
    return lambda cases, training: native.memory_needed(
        model, kernels, cases=cases, length=length, training=training
    )
