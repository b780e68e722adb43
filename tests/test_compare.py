"""raspitrain compare: models by folds of the training part, and which to take."""

import numpy as np
import pytest
from conftest import TINY
from omegaconf import OmegaConf

from raspitrain.cli.compare import main
from raspitrain.cli.main import config_folder
from raspitrain.run.compare import Rival, choose, compare


def nodes(*names):
    return {name: OmegaConf.load(config_folder() / f"model/{name}.yaml") for name in names}


def words(*more):
    """Without a word about the model."""
    return [*(word for word in TINY if not word.startswith("model.")), *more]


def test_every_training_case_is_answered_once_and_no_test_case_ever(compose, tmp_path):
    rng = np.random.default_rng(0)
    label = np.arange(60) % 2
    data = np.sin(np.arange(32) * np.where(label, 0.4, 0.9)[:, None, None])
    data = data + rng.normal(0, 0.3, (60, 1, 32))
    part = np.where(np.arange(60) < 40, 0, 2)
    label[part == 2] = rng.permutation(label[part == 2])  # which nobody could answer
    np.savez(tmp_path / "cases.npz", data=data.astype(np.float32), label=label, part=part)
    cfg = compose("dataset=npz", f"dataset.path={tmp_path}/cases.npz", "dataset.part=part")
    (rival,) = compare(cfg, nodes("minirocket"), num_folds=4, seconds=60)
    assert (rival.cases, rival.num_folds, rival.note) == (40, 4, "")
    assert rival.accuracy > 0.95
    assert rival.latency_ms > 0
    assert rival.num_bytes > 10_000


def test_what_the_time_does_not_allow_is_said(compose):
    ticks = iter(range(10**6))
    rivals = compare(
        compose(*words()), nodes("minirocket", "lenet"), num_folds=3, seconds=8,
        clock=lambda: float(next(ticks)),
    )  # fmt: skip
    assert [rival.num_folds for rival in rivals] != [3, 3]
    assert any("the time was up after" in rival.note for rival in rivals)


def test_a_class_that_one_fold_holds_alone_is_warned_of(compose, tmp_path):
    label, groups = np.arange(24) // 12, np.array([0] * 12 + [1] * 4 + [2] * 4 + [3] * 4)
    data = np.random.default_rng(0).normal(size=(24, 1, 32)).astype(np.float32)
    np.savez(tmp_path / "cases.npz", data=data, label=label, groups=groups)
    cfg = compose(
        "dataset=npz", f"dataset.path={tmp_path}/cases.npz", "dataset.groups=groups", "split.test=0"
    )
    said: list[str] = []
    compare(cfg, nodes("minirocket"), num_folds=3, seconds=60, tell=said.append)
    assert said[0].startswith("warning: all cases of 0 in the training part are of one recording")


def rival(name, hits, seconds, folds=3):
    return Rival(name, hits=hits, cases=100, seconds=[seconds] * folds)


@pytest.mark.parametrize(
    ("rivals", "taken"),
    [
        ([rival("quick", 90, 1), rival("slow", 91, 100)], "quick"),
        ([rival("quick", 70, 1), rival("slow", 91, 100)], "slow"),
        ([rival("quick", 90, 1), rival("slow", 100, 100, folds=1)], "quick"),
    ],
)
def test_of_those_as_accurate_the_fastest_is_taken(rivals, taken):
    found = choose(rivals)
    assert found is not None
    assert found[0].name == taken
    assert choose([Rival("none")]) is None


def test_the_command_says_which_to_take(forked_command, tmp_path):
    done = forked_command("compare", *words(), "--models", "minirocket,lenet", "--folds", "2")
    assert done.returncode == 0, done.stderr
    assert "take " in done.stdout
    assert "python -m raspitrain dataset.num_cases=40" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["model=resnet"], "model=resnet does not go with compare"),
        (["--models", "resnett"], "--models resnett: it may be"),
        (["--folds", "1"], "at least 2 folds"),
        ([*words(), "--folds", "99"], "use at most --folds "),
    ],
)
def test_what_it_cannot_do_is_one_sentence(given, said, capsys):
    assert main(given) == 2
    assert said in capsys.readouterr().err
