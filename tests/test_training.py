"""The loop, the loss and the schedules."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from raspitrain.data.batches import Part
from raspitrain.errors import InputError
from raspitrain.training import schedule
from raspitrain.training.loss import cross_entropy
from raspitrain.training.training import (
    NonFiniteLossError,
    Training,
    evaluate,
    parameter_groups,
)

CPU = torch.device("cpu")


def make_part(num_cases: int, seed: int = 0) -> Part:
    """Two classes told apart by their mean."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num_cases) % 2
    signals = torch.randn(num_cases, 2, 16, generator=generator) + labels[:, None, None]
    return Part(labels, lambda indices: signals[indices])


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.AdaptiveAvgPool1d(1),
        nn.Flatten(), nn.Dropout(0.1), nn.Linear(4, 2),
    )  # fmt: skip


def train(model: nn.Module, epochs: int = 4, lr: float = 0.05, **parts: Part) -> list:
    optimizer = torch.optim.SGD(parameter_groups(model), lr=lr)
    steps = epochs * math.ceil(len(parts["train"]) / 8)
    training = Training(
        parts,
        ("a", "b"),
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        schedule.cosine(optimizer, total_steps=steps, warmup=0.0, end=0.1),
        augment=None,
        batch_size=8,
        generator=torch.Generator().manual_seed(1),
        device=CPU,
    )
    return list(training.evaluations(epochs, eval_every=3))


def test_evaluations_come_every_eval_every_epochs_and_after_the_last():
    evaluations = train(make_model(), epochs=7, train=make_part(30), test=make_part(20, 1))
    assert [e.row["epoch"] for e in evaluations] == [3, 6, 7]
    assert [e.row["step"] for e in evaluations] == [12, 24, 28]
    assert evaluations[-1].row["test_accuracy"] >= 0.9
    assert "validation_accuracy" not in evaluations[-1].row
    assert evaluations[-1].test_confusion.num_cases == 20


def test_the_same_seed_gives_the_same_weights_and_rows():
    runs = []
    for _ in range(2):
        model = make_model()
        torch.manual_seed(5)  # dropout
        rows = [e.row for e in train(model, train=make_part(30), test=make_part(20, 1))]
        runs.append((rows, list(model.state_dict().values())))
    for first, second in zip(*(rows for rows, _ in runs), strict=True):
        for timing in ("seconds", "samples_per_second"):
            del first[timing], second[timing]
        assert first == second
    assert all(map(torch.equal, runs[0][1], runs[1][1]))


def test_evaluation_changes_nothing_and_counts_every_case_once():
    model, part = make_model().train(), make_part(21)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    loss, confusion = evaluate(model, part, nn.CrossEntropyLoss(), batch_size=8, device=CPU)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    signals, labels = part.gather(torch.arange(21))
    model.eval()
    logits = model(signals)
    assert loss == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert confusion.support.tolist() == [11, 10]
    assert confusion.hits.sum() == (logits.argmax(1) == labels).sum()


def test_a_loss_that_is_not_finite_stops_at_its_step():
    part = make_part(30)
    signals, _ = part.gather(torch.arange(30))
    signals[17] = float("inf")
    spoilt = Part(part.labels, lambda indices: signals[indices])
    with pytest.raises(NonFiniteLossError, match=r"step [1-4]:.*optimizer\.lr"):
        train(make_model(), train=spoilt)


@pytest.mark.parametrize("starts_low", [True, False])
def test_a_schedule_that_starts_low_is_advised_only_where_another_ran(starts_low):
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e30)
    chosen = (
        schedule.onecycle(optimizer, total_steps=40, warmup=0.3, start=0.04, end=0.1)
        if starts_low
        else schedule.constant(optimizer, total_steps=40)
    )
    training = Training(
        {"train": make_part(30)}, ("a", "b"), model, nn.CrossEntropyLoss(), optimizer, chosen,
        augment=None, batch_size=8, generator=torch.Generator().manual_seed(1), device=CPU,
    )  # fmt: skip
    with pytest.raises(NonFiniteLossError, match=r"try a lower optimizer\.lr") as caught:
        list(training.evaluations(10))
    assert ("schedule=onecycle" in str(caught.value)) == (not starts_low)


def test_weight_decay_spares_biases_and_batchnorm():
    model = make_model()
    decayed, spared = parameter_groups(model)
    assert {p.shape for p in decayed["params"]} == {model[0].weight.shape, model[6].weight.shape}
    assert spared["weight_decay"] == 0.0
    assert len(spared["params"]) == 4


@pytest.mark.parametrize("total_steps", [1, 2, 7, 600])
def test_schedules_reach_the_optimizers_rate_and_stay_positive(total_steps):
    for make in (
        schedule.constant,
        partial(schedule.onecycle, warmup=0.3, start=0.04, end=1e-4),
        partial(schedule.cosine, warmup=0.1, end=0.01),
    ):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
        scheduler = make(optimizer, total_steps=total_steps)
        rates = []
        for _ in range(total_steps):
            rates.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        assert max(rates) == pytest.approx(0.5)
        assert min(rates) > 0
        if make is not schedule.constant and total_steps > 2:
            assert rates[-1] <= 0.5 * 0.0101


def test_balanced_class_weights_are_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    labels = torch.tensor([0, 0, 0, 0, 1, 2, 2])
    loss = cross_entropy(
        label_smoothing=0.0, class_weights="balanced", train_labels=labels, num_classes=3
    )
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
    np.testing.assert_allclose(loss.weight, expected, rtol=1e-6)


def test_a_class_without_training_cases_weighs_nothing():
    loss = cross_entropy(
        label_smoothing=0.0,
        class_weights="balanced",
        train_labels=torch.tensor([0, 0, 2]),
        num_classes=3,
    )
    assert loss.weight.tolist() == pytest.approx([0.75, 0.0, 1.5])


def test_unknown_class_weights_are_refused():
    with pytest.raises(InputError, match=r"loss\.class_weights.*balanced"):
        cross_entropy(
            label_smoothing=0.0,
            class_weights="even",
            train_labels=torch.tensor([0, 1]),
            num_classes=2,
        )
