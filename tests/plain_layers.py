"""Layers to state a network in plainly: two-dimensional ones, which meet one-row images.

The tensors come from a network's state in order, so that a statement that takes them in another
order, or other ones, fails.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def spread_batchnorm(model: nn.Module) -> nn.Module:
    """Running statistics and scales that differ from a fresh network's, so that they count."""
    for bn in model.modules():
        if isinstance(bn, nn.BatchNorm1d):
            nn.init.normal_(bn.running_mean, 0, 0.3)
            nn.init.uniform_(bn.running_var, 0.5, 2.0)
            nn.init.uniform_(bn.weight, 0.5, 1.5)
            nn.init.normal_(bn.bias, 0, 0.3)
    return model


class Weights:
    """Hands out the tensors of a model; x is (N, C, 1, L)."""

    def __init__(self, model: nn.Module, *, training: bool) -> None:
        self.rest = iter([t for name, t in model.state_dict().items() if "tracked" not in name])
        self.training = training

    def all_taken(self) -> bool:
        return next(self.rest, None) is None

    def conv(self, x, out, kernel, *, stride=1, dilation=1, groups=1, bias=False) -> Tensor:
        weight = next(self.rest)
        assert weight.shape == (out, x.shape[1] // groups, kernel)
        reach = dilation * (kernel - 1)
        left, right = reach // 2, reach - reach // 2
        square = torch.randn(*weight.shape[:2], kernel, kernel)
        row = 0 if left == 0 else (kernel - 1) // 2  # the only one that meets data
        square[:, :, row] = weight
        x = F.pad(x, (left, right, row * dilation, (kernel - 1 - row) * dilation))
        offset = next(self.rest) if bias else None
        return F.conv2d(x, square, offset, stride, dilation=dilation, groups=groups)

    def norm(self, x) -> Tensor:
        weight, bias, mean, var = (next(self.rest) for _ in range(4))
        return F.batch_norm(x, mean.clone(), var.clone(), weight, bias, self.training, 0.1, 1e-5)

    def conv_norm(self, x, out, kernel, **kwargs) -> Tensor:
        return self.norm(self.conv(x, out, kernel, **kwargs))

    def linear(self, x, out) -> Tensor:
        weight, bias = next(self.rest), next(self.rest)
        assert weight.shape == (out, x.shape[1])
        return F.linear(x, weight, bias)

    def mean_linear(self, x, num_classes) -> Tensor:
        return self.linear(x.mean(dim=(2, 3)), num_classes)


def parameters_in_2d(model: nn.Module) -> int:
    """How many the network would have if every kernel of k were one of k x k."""
    rows = sum(
        m.weight.numel() * (m.kernel_size[0] - 1)
        for m in model.modules()
        if isinstance(m, nn.Conv1d)
    )
    return rows + sum(p.numel() for p in model.parameters())
