"""The reference that equality tests and benchmarks build on is itself the network it claims."""

import pytest
import torch
from torch import nn

from benchmarks.plain import TABLES, plain_network, train_step

SHORT = (("small", 8), ("small_blog", 224))  # the others in make test-long


def num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("table", "count"), [("large_blog", 8_665_958), ("small_blog", 2_818_310)])
def test_blog_networks_have_the_stated_parameters(table: str, count: int) -> None:
    assert num_parameters(plain_network(table, blog=True)) == count


@pytest.mark.parametrize(("table", "count"), [("large", 5_483_032), ("small", 2_542_856)])
def test_paper_networks_have_torchvisions_parameters(table: str, count: int) -> None:
    # torchvision's mobilenet_v3_* for 1000 classes, whose k x k kernels have k - 1 rows more than
    # ours in the stem and in every depthwise convolution.
    more = 3 * 16 * (9 - 3) + sum(row[1] * row[0] * (row[0] - 1) for row in TABLES[table].rows)
    assert num_parameters(plain_network(table, blog=False, num_classes=1000)) == count - more


@pytest.mark.parametrize(
    ("table", "length"),
    [
        pytest.param(table, length, marks=[pytest.mark.long] * ((table, length) not in SHORT))
        for table in TABLES
        for length in (8, 224)
    ],
)
def test_one_step_reaches_every_parameter_that_takes_part(table: str, length: int) -> None:
    torch.manual_seed(0)
    blog = table.endswith("blog")
    network = plain_network(table, blog=blog, num_channels=2, num_classes=4)
    signals, labels = torch.randn(6, 2, length), torch.tensor([0, 1, 2, 3, 0, 1])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    assert train_step(network, optimizer, signals, labels).isfinite()
    assert network(signals).shape == (6, 4)
    idle = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    # Of the blog's BatchNorms those run idle that would see a single position.
    assert bool(idle) == blog
    assert all(".norm." in name for name in idle)
