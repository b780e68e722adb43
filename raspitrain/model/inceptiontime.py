"""InceptionTime's network for signals (Ismail Fawaz et al. 2020, arXiv:1909.04939).

    model = InceptionTime(num_channels=3, num_classes=2, length=224, width=32, depth=6, kernel=40)
    logits = model(signals)    # (N, C, L) -> (N, K)

Letters: N cases, C channels, L positions along the signal, K classes, W width.

One network; the paper's InceptionTime is the mean of five that differ in their seed.
"""

from torch import nn

from raspitrain.errors import InputError
from raspitrain.model.layers import Add, Concat, conv, conv_norm, pooled_classifier
from raspitrain.model.scaling import check_signals

RESIDUAL = 3  # modules that a shortcut bridges


class InceptionTime(nn.Sequential):
    """`depth` modules of four branches, each `width` wide; `kernel` is that of the widest."""

    def __init__(
        self,
        *,
        num_channels: int,
        num_classes: int,
        length: int,
        width: int,
        depth: int,
        kernel: int,
    ) -> None:
        check_signals(num_channels, num_classes, length)
        if depth < 1 or kernel < 4:
            raise InputError(
                f"model.depth={depth} and model.kernel={kernel} must be at least 1 and 4."
            )
        widths = [num_channels] + [4 * width] * depth
        modules = [inception(each, width, kernel) for each in widths[:-1]]  # (N, 4W, L) each
        blocks: list[nn.Module] = []
        for first in range(0, depth, RESIDUAL):
            block = nn.Sequential(*modules[first : first + RESIDUAL])
            if len(block) == RESIDUAL:
                shortcut = conv_norm(widths[first], 4 * width, 1, activation=None)
                blocks.append(Add(block, shortcut, "relu"))
            else:
                blocks.append(block)
        super().__init__(*blocks, pooled_classifier(4 * width, num_classes))


def inception(in_width: int, width: int, kernel: int) -> nn.Sequential:
    """Three kernels side by side behind a bottleneck, and a pooling: (N, 4 width, L)."""
    inner = width if in_width > 1 else 1
    sides = Concat(*(conv(inner, width, size) for size in (kernel, kernel // 2, kernel // 4)))
    pooling = nn.Sequential(nn.MaxPool1d(3, 1, padding=1), conv(in_width, width, 1))
    branches = nn.Sequential(conv(in_width, width, 1), sides) if in_width > 1 else sides
    return nn.Sequential(Concat(branches, pooling), nn.BatchNorm1d(4 * width), nn.ReLU())
