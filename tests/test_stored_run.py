"""StoredRun: a run that is opened again, to be used or resumed."""

import shutil

import pytest
import torch
from conftest import TINY, composed
from torch import nn

from raspitrain.errors import InputError
from raspitrain.results.checkpoint import load_checkpoint, save_checkpoint
from raspitrain.run.prepare import prepare
from raspitrain.run.run import run
from raspitrain.run.stored import StoredRun

JOB = (*TINY, "eval_every=1", "epochs=3", "split.validation=0.2")


class Flat(nn.Sequential):
    """A network of the user's own."""

    def __init__(self, num_channels, num_classes, length):
        super().__init__(nn.Flatten(), nn.Linear(num_channels * length, num_classes))


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    job = [word for word in JOB if word != "epochs=2"]
    cfg, own = composed(*job), composed(*job, "allowed_targets=[test_stored_run.Flat]")
    own.model = {"_target_": "test_stored_run.Flat"}
    run(cfg, folder / "run")
    run(own, folder / "own")
    return cfg, folder


@pytest.fixture
def stored(once, tmp_path):
    return shutil.copytree(once[1] / "run", tmp_path / "run")


def test_it_gives_the_trained_network_and_what_using_it_takes(once, stored):
    """Without the data: the accuracy is the one that the run has written down."""
    opened = StoredRun.open(stored)
    assert opened.path.name == "best.pt"
    assert opened.note == ""
    before = torch.get_rng_state()
    network = opened.model()
    assert torch.equal(torch.get_rng_state(), before)
    assert not network.training
    prepared = prepare(once[0])
    assert opened.class_names == prepared.cases.class_names
    assert opened.channel_names == prepared.cases.channel_names
    assert opened.length == prepared.cases.signals.shape[2]
    assert opened.config.seed == once[0].seed
    assert opened.normalisation.mean == pytest.approx(prepared.normalisation.mean)
    assert opened.normalisation.std == pytest.approx(prepared.normalisation.std)
    test = prepared.training.parts["test"]
    signals, labels = test.gather(torch.arange(len(test)))
    with torch.inference_mode():
        accuracy = (network(signals).argmax(1) == labels).double().mean().item()
    assert accuracy == pytest.approx(opened.state["metrics"]["test_accuracy"])


def test_last_is_what_resuming_takes(stored):
    opened = StoredRun.open(stored, which="last")
    assert opened.path.name == "last.pt"
    assert opened.state["training"]["position"]["epoch"] == 4
    assert opened.model() is not None


def test_a_damaged_checkpoint_gives_way_to_the_next_and_it_is_said(stored):
    (stored / "best.pt").write_bytes((stored / "best.pt").read_bytes()[:-9])
    opened = StoredRun.open(stored)
    assert opened.path.name == "last.pt"
    assert "best.pt is damaged" in opened.note
    assert "last.pt is taken instead" in opened.note


def test_code_of_the_users_own_is_allowed_by_who_opens_it(once):
    folder = once[1] / "own"
    with pytest.raises(InputError, match="not allowed"):
        StoredRun.open(folder).model()
    opened = StoredRun.open(folder, allowed_targets=["test_stored_run.Flat"])
    assert isinstance(opened.model(), Flat)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("config", None),
        ("config", {"model": "${oc.env:HOME}"}),
        ("model", {}),
        ("length", "long"),
        ("class_names", 7),
        ("channel_names", None),
        ("mean", "none"),
    ],
)
def test_a_checkpoint_that_nobody_wrote_is_a_sentence(stored, key, value):
    state = load_checkpoint(stored / "best.pt")
    save_checkpoint(stored / "best.pt", state | {key: value})

    def use(opened: StoredRun) -> object:
        return opened.model(), opened.normalisation

    with pytest.raises(InputError, match=r"best\.pt"):
        use(StoredRun.open(stored))


def test_what_holds_no_run_is_named(tmp_path, stored):
    (tmp_path / "a.csv").touch()
    for path, says in (
        (tmp_path / "nowhere", "there is no folder"),
        (stored / "best.pt", f"give the run's folder, {stored}"),
        (tmp_path, "holds no run"),
        (tmp_path / "a.csv", f"is a file, and {tmp_path} holds no run"),
    ):
        with pytest.raises(InputError, match=says):
            StoredRun.open(path)
