"""Optimizers that leave torch's compiler alone."""

import os
import sys

import pytest
import torch
from conftest import TINY
from processes import SERVER
from torch import Tensor, nn

from raspitrain.cli.main import main
from raspitrain.training.eager import without_compiler


def weights_after_steps(make, **settings: float) -> list[Tensor]:
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    optimizer = make(model.parameters(), **settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 1))
    signals = torch.randn(8, 5)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model(signals).square().mean()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
        schedule.step()
    state = optimizer.state_dict()
    again = make(model.parameters(), lr=1.0)
    again.load_state_dict(state)
    again.step(closure)
    assert all(p.requires_grad and p.grad_fn is None for p in model.parameters())
    return [p.detach() for p in model.parameters()]


@pytest.mark.filterwarnings("error")  # such as a schedule that has not seen the steps
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "LBFGS"])
def test_steps_are_the_same(name: str) -> None:
    make = getattr(torch.optim, name)
    plain = weights_after_steps(make, lr=0.01)
    assert all(map(torch.equal, weights_after_steps(without_compiler(make), lr=0.01), plain))


def test_hooks_are_called() -> None:
    optimizer = without_compiler(torch.optim.SGD)(nn.Linear(2, 2).parameters(), lr=0.1)
    called = []
    optimizer.register_step_post_hook(lambda *_: called.append(1))
    optimizer.step()
    assert called == [1]


def run_without_the_compiler(folder: str) -> None:
    os.chdir(folder)
    sys.argv = ["raspitrain", *TINY]
    assert main() == 0
    assert "torch._dynamo" not in sys.modules


def test_a_run_does_not_import_the_compiler(tmp_path) -> None:
    process = SERVER.Process(target=run_without_the_compiler, args=(str(tmp_path),))
    process.start()
    process.join()
    assert process.exitcode == 0
