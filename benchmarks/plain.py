"""MobileNetV3 in 1-D and its training loop, stated plainly: what raspitrain is measured against.

Ordinary modules on (N, C, L) and nothing else, so that it can be read beside the paper
(arXiv:1905.02244) and beside the blog's description. `blog=True` is the blog's network,
`blog=False` the paper's. Modules stand in the order in which they run, so `parameters()` and
`buffers()` pair up with those of any other network that is written in that order.

Letters: N cases, C channels, L positions along the signal, K classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class Table(NamedTuple):
    rows: list[tuple[int, int, int, str, str, int]]
    last: int
    hidden: int


SMALL = Table(
    [  # kernel, expansion, out, squeeze-excite, activation, stride
        (3, 16, 16, "SE", "RE", 2),
        (3, 72, 24, "--", "RE", 2),
        (3, 88, 24, "--", "RE", 1),
        (5, 96, 40, "SE", "HS", 2),
        (5, 240, 40, "SE", "HS", 1),
        (5, 240, 40, "SE", "HS", 1),
        (5, 120, 48, "SE", "HS", 1),
        (5, 144, 48, "SE", "HS", 1),
        (5, 288, 96, "SE", "HS", 2),
        (5, 576, 96, "SE", "HS", 1),
        (5, 576, 96, "SE", "HS", 1),
    ],
    last=576,
    hidden=1024,
)

LARGE = Table(
    [
        (3, 16, 16, "--", "RE", 1),
        (3, 64, 24, "--", "RE", 2),
        (3, 72, 24, "--", "RE", 1),
        (5, 72, 40, "SE", "RE", 2),
        (5, 120, 40, "SE", "RE", 1),
        (5, 120, 40, "SE", "RE", 1),
        (3, 240, 80, "--", "HS", 2),
        (3, 200, 80, "--", "HS", 1),
        (3, 184, 80, "--", "HS", 1),
        (3, 184, 80, "--", "HS", 1),
        (3, 480, 112, "SE", "HS", 1),
        (3, 672, 112, "SE", "HS", 1),
        (5, 672, 160, "SE", "HS", 2),
        (5, 960, 160, "SE", "HS", 1),
        (5, 960, 160, "SE", "HS", 1),
    ],
    last=960,
    hidden=1280,
)

TABLES = {
    "small": SMALL,
    "large": LARGE,
    # The blog leaves out one squeeze-excite of the small network and halves the large one's
    # signal in its last two blocks as well.
    "small_blog": SMALL._replace(
        rows=[*SMALL.rows[:3], (5, 96, 40, "--", "HS", 2), *SMALL.rows[4:]]
    ),
    "large_blog": LARGE._replace(rows=[*LARGE.rows[:13], *[(5, 960, 160, "SE", "HS", 2)] * 2]),
}


class ConvNorm(nn.Module):
    """Conv1d, BatchNorm1d, activation; no BatchNorm on a single position where `blog`."""

    def __init__(
        self,
        width: int,
        out: int,
        kernel: int,
        *,
        stride: int,
        groups: int,
        activation: nn.Module,
        blog: bool,
        eps: float,
        momentum: float,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, out, kernel, stride, kernel // 2, groups=groups, bias=blog)
        self.norm = nn.BatchNorm1d(out, eps, momentum)
        self.activation = activation
        self.blog = blog

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if not (self.blog and x.shape[2] == 1):
            x = self.norm(x)
        return self.activation(x)


class SqueezeExcite(nn.Module):
    def __init__(self, width: int, *, blog: bool) -> None:
        super().__init__()
        squeezed = width if blog else make_divisible(width / 4)
        self.reduce = nn.Linear(width, squeezed)
        self.expand = nn.Linear(squeezed, width)

    def forward(self, x: Tensor) -> Tensor:
        scale = F.hardsigmoid(self.expand(F.relu(self.reduce(x.mean(2)))))  # (N, C)
        return x * scale.unsqueeze(2)


class Bottleneck(nn.Module):
    def __init__(self, layers: list[nn.Module], *, residual: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class Mean(nn.Module):
    """Mean over the positions, which stay as one: (N, C, L) -> (N, C, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(2, keepdim=True)


def make_divisible(width: float) -> int:
    """Nearest multiple of 8, at least 8, and the next one where that loses over a tenth."""
    nearest = max(8, int(width + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * width else nearest


def plain_network(
    table: str | Table,
    *,
    blog: bool,
    num_channels: int = 3,
    num_classes: int = 2,
    strides: Sequence[int] | None = None,
    dropout: float = 0.2,
    eps: float = 1e-5,
    momentum: float = 0.1,
) -> nn.Sequential:
    """Build the network: float (N, C, L) -> logits (N, K).

    Parameters
    ----------
    table : str or Table
        A name of `TABLES` or a table of one's own.
    strides : sequence of int, optional
        Of the stem and of every block, in place of 2 and the table's.
    dropout : float
        Between the paper's two linear layers; the blog has none.
    eps, momentum : float
        Of every BatchNorm. The paper's are 1e-3 and 0.01.
    """
    rows, last, hidden = TABLES[table] if isinstance(table, str) else table
    if strides is None:
        strides = [2, *(row[5] for row in rows)]

    def layer(
        width: int,
        out: int,
        activation: nn.Module,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
    ) -> ConvNorm:
        return ConvNorm(
            width,
            out,
            kernel,
            stride=stride,
            groups=groups,
            activation=activation,
            blog=blog,
            eps=eps,
            momentum=momentum,
        )

    width = 16
    layers: list[nn.Module] = [layer(num_channels, width, nn.Hardswish(), 3, strides[0])]
    for (kernel, expansion, out, squeeze, name, _), stride in zip(rows, strides[1:], strict=True):
        activation = nn.Hardswish() if name == "HS" else nn.ReLU6() if blog else nn.ReLU()
        block: list[nn.Module] = []
        if blog or expansion != width:
            block.append(layer(width, expansion, activation))
        block.append(layer(expansion, expansion, activation, kernel, stride, groups=expansion))
        if squeeze == "SE":
            block.append(SqueezeExcite(expansion, blog=blog))
        block.append(layer(expansion, out, activation if blog else nn.Identity()))
        layers.append(Bottleneck(block, residual=stride == 1 and width == out))
        width = out

    layers += [layer(width, last, nn.Hardswish()), Mean()]
    if blog:
        layers += [layer(last, hidden, nn.Hardswish()), layer(hidden, num_classes, nn.Hardswish())]
        return nn.Sequential(*layers, nn.Flatten())
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(last, hidden),
        nn.Hardswish(),
        nn.Dropout(dropout),
        nn.Linear(hidden, num_classes),
    )


def train_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, signals: Tensor, labels: Tensor
) -> Tensor:
    """Forward, cross-entropy, backward, update; return the loss."""
    loss = F.cross_entropy(network(signals), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def train(
    network: nn.Module, signals: Tensor, labels: Tensor, *, epochs: int, batch_size: int = 50
) -> None:
    """The blog's loop over a shuffling loader: SGD, learning rate 0.001, momentum 0.9."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    loader = DataLoader(TensorDataset(signals, labels), batch_size=batch_size, shuffle=True)
    network.train()
    for _ in range(epochs):
        for batch_signals, batch_labels in loader:
            train_step(network, optimizer, batch_signals, batch_labels)
