"""A configuration composed without Hydra is the one that Hydra composes."""

import subprocess
import sys

import pytest
from omegaconf import OmegaConf
from test_config import CHOICES

from raspitrain.config.compose import compose as composed
from raspitrain.errors import InputError


def plain(cfg):
    return OmegaConf.to_container(cfg, resolve=False)


@pytest.mark.parametrize("choice", [None, *(c for c in CHOICES if not c.startswith("sweep="))])
def test_every_option_is_composed_as_hydra_does(compose, choice):
    given = {} if choice is None else dict([choice.split("=")])
    by_hydra = compose(*([] if choice is None else [choice]))
    assert plain(composed(given)) == plain(by_hydra)


def test_what_is_given_wins_over_a_preset(compose):
    given = {"experiment": "blog", "model": "resnet", "optimizer.lr": 0.5, "epochs": 3}
    words = [f"{key}={value}" for key, value in given.items()]
    assert plain(composed(given)) == plain(compose(*words))


def test_a_dict_sets_keys_or_takes_a_components_place():
    cfg = composed({"split": {"validation": 0.2}, "model": {"_target_": "torch.nn.Flatten"}})
    assert cfg.split.validation == 0.2
    assert cfg.split.test == composed({}).split.test
    assert plain(cfg.model) == {"_target_": "torch.nn.Flatten"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"model": "resnett"}, "did you mean resnet"),
        ({"dataset": None}, "dataset=null: there is no such option"),
        ({"epoch": 3}, "did you mean epochs"),
        ({"optimizer.learning_rate": 3}, "optimizer.learning_rate is not a key"),
        ({"model": 3}, "model must be the name of an option"),
        ({"split": {"validaton": 0.1}}, "did you mean split.validation"),
        ({"epochs": object()}, "epochs: "),
    ],
)
def test_a_mistake_is_a_sentence(given, says):
    with pytest.raises(InputError) as caught:
        composed(given)
    assert says in str(caught.value)


def test_hydra_is_not_imported():
    code = "import sys; from raspitrain.config.compose import compose; compose({}); "
    code += "sys.exit('hydra' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
