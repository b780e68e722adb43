"""A model that is far too large is refused with its size, before its weights take the memory."""

import random
import re
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

from raspitrain.errors import InputError
from raspitrain.hardware.memory import resident_bytes
from raspitrain.run.model_size import make_within
from raspitrain.run.prepare import prepare

MB = 1_000_000


def linears(number: int, width: int) -> nn.Module:
    return nn.Sequential(*(nn.Linear(width, width) for _ in range(number)))


class Computes(nn.Module):
    """Its constructor needs numbers, which a shape alone does not have."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.scale = float(self.first.weight.abs().sum().item())
        self.more = linears(number, 1000)


class TableOfNumbers(nn.Module):
    """Large, and none of it a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(100, 1_000_000))


def test_a_yaml_of_eight_large_layers_is_refused_with_its_size(forked_command, tmp_path):
    """The issue's own: some 500 GB."""
    (tmp_path / "conf/model").mkdir(parents=True)
    layer = "  - {_target_: torch.nn.Linear, in_features: %d, out_features: %d}\n"
    (tmp_path / "conf/model/large.yaml").write_text(
        "_target_: torch.nn.Sequential\n_args_:\n"
        "  - {_target_: torch.nn.Flatten}\n" + layer % (96, 130_000)
        + 8 * (layer % (130_000, 130_000)) + layer % (130_000, 2)
    )  # fmt: skip
    done = forked_command(
        "--config-dir", "conf", "model=large", "dataset.length=32", "dataset.num_cases=40"
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert re.match(
        r"error: model \(torch\.nn\.Sequential\) makes a network of 540\d{3} MB, but \d+ MB of "
        r"memory are free: take a smaller one\.$",
        line,
    )
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda: linears(100, 1000), r"400 MB"),
        (lambda: Computes(100), r"more than 10\d MB"),
        (TableOfNumbers, r"400 MB"),
        (lambda: nn.LSTM(1000, 1000, num_layers=40), r"1281 MB"),
        (lambda: nn.Embedding(10**9, 1000), r"4000000 MB"),
        (lambda: nn.Conv1d(3000, 3000, 9), r"324 MB"),
    ],
    ids=["linear", "computes", "buffer", "lstm", "embedding", "conv"],
)
def test_what_does_not_fit_is_refused_before_it_takes_memory(make, size):
    before = resident_bytes()
    with pytest.raises(InputError, match=rf"^mine makes a network of {size}, but (99|100) MB of"):
        make_within(make, "mine", budget_mb=100 + int(before / MB))
    assert resident_bytes() - before < 250 * MB


@pytest.mark.parametrize("free", [25, 2000])  # megabytes: made on the meta device first, and not
@pytest.mark.parametrize("kind", [linears, lambda *size: Computes(size[0])])
def test_what_fits_has_the_weights_that_it_has_anyway(kind, free):
    """And nothing of random numbers is used up by looking."""
    models, after, held = [], [], int(resident_bytes() / MB) + 1
    for make in (
        lambda: kind(2, 500),
        lambda: make_within(lambda: kind(2, 500), "", budget_mb=held + free),
    ):
        torch.manual_seed(3)
        random.seed(3)
        np.random.seed(3)
        models.append(make())
        after.append((torch.rand(1).item(), random.random(), np.random.rand()))
    for own, watched in zip(*(model.state_dict().values() for model in models), strict=True):
        assert torch.equal(own, watched)
    assert after[0] == after[1]


def test_layers_without_a_size_yet_are_let_through():
    model = make_within(lambda: nn.Sequential(nn.LazyLinear(5)), "", budget_mb=None)
    assert model(torch.ones(2, 3)).shape == (2, 5)


def test_no_hook_stays_behind():
    for make in (lambda: linears(1, 10), lambda: linears(1, 10_000)):
        with suppress(InputError):
            make_within(make, "", budget_mb=int(resident_bytes() / MB) + 1)
    assert linears(1, 1000)[0].weight.shape == (1000, 1000)


def test_a_model_whose_optimizer_does_not_fit_is_refused_before_a_step(compose):
    budget = int(resident_bytes() / MB) + 300
    words = ("model.width_mult=6", "model.engine=torch", f"hardware.memory_budget_mb={budget}")
    with pytest.raises(InputError, match=r"^the model and its optimizer need about \d+ MB"):
        prepare(compose(*words, "dataset.num_cases=20", "dataset.length=32"))
