"""Every shipped YAML: it composes, its keys have rules, its target takes what it gives."""

import inspect
from pathlib import Path

import hydra
import pytest
from conftest import composed
from omegaconf import OmegaConf

from raspitrain.cli.main import config_folder
from raspitrain.config.build import FOR_OTHERS
from raspitrain.config.rules import COMPONENT_RULES, check, leaves, rules_of
from raspitrain.config.targets import resolve_target
from raspitrain.errors import InputError

CHOICES = sorted(
    f"{path.parent.name}={path.stem}"
    for path in config_folder().glob("*/*.yaml")
    if path.parent.name != "hydra"
)
# Given by the caller, not by the YAML.
SUPPLIED = {
    "rate",
    "num_channels",
    "num_classes",
    "length",
    "train_labels",
    "optimizer",
    "total_steps",
}
SUPPLIED |= {"signals", "generator", "params"}
# Required of the user; any value will do to see that the rest is right.
GIVEN = {"dataset.path": "x", "dataset.name": "BasicMotions", "dataset.length": 8}


def plain(cfg) -> dict:
    return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=False)


def filled(cfg) -> dict:
    """The configuration with a value for every key that the user must give."""
    for key, value in leaves(plain(cfg)):
        if value == "???":
            OmegaConf.update(cfg, key, GIVEN[key])
    return plain(cfg)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_passes_its_own_rules(choice):
    check(filled(composed(choice)))


@pytest.mark.parametrize("choice", CHOICES)
def test_every_key_of_every_choice_has_a_rule(choice):
    config = plain(composed(choice))
    keys = {key for key, _ in leaves(config)}
    assert {k for k in keys if not k.split(".")[-1].startswith("_")} - set(
        rules_of(config)
    ) == set()


def test_every_rule_has_a_key():
    keys, ruled, targets = set(), set(), {"torch.optim"}
    for choice in CHOICES:
        config = plain(composed(choice))
        keys |= (here := {key for key, _ in leaves(config)})
        ruled |= (rules := set(rules_of(config)))
        assert {key for key in rules - here if not key.startswith("optimizer.")} == set()
        targets |= {node["_target_"] for node in config.values() if "_target_" in str(node)}
    assert ruled - keys == set()
    assert set(COMPONENT_RULES) - targets == set()


def test_networks_may_give_a_key_of_one_name_rules_of_their_own(compose):
    vgg, inception = (plain(compose(f"model={name}")) for name in ("vgg", "inceptiontime"))
    vgg["model"]["depth"] = inception["model"]["depth"] = 6
    check(inception)
    with pytest.raises(InputError, match=r"model\.depth must be 11 or 13 or 16 or 19, not 6"):
        check(vgg)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_target_takes_exactly_what_its_yaml_gives(choice):
    cfg = composed(choice)
    for group, node in cfg.items():
        if not OmegaConf.is_dict(node) or "_target_" not in node:
            continue
        target = resolve_target(group, node._target_, ())
        given = {str(k) for k in node if not str(k).startswith("_")}
        parameters = inspect.signature(target).parameters
        assert given - set(FOR_OTHERS.get(str(group), ())) <= set(parameters), group
        required = {
            n
            for n, p in parameters.items()
            if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        }
        assert required - given <= SUPPLIED, group


@pytest.mark.parametrize("choice", CHOICES)
def test_every_default_stands_in_yaml_alone(choice):
    cfg = composed(choice)
    for group, node in cfg.items():
        if OmegaConf.is_dict(node) and str(node.get("_target_", "")).startswith("raspitrain."):
            for name, p in inspect.signature(
                resolve_target(group, node._target_, ())
            ).parameters.items():
                assert p.default is p.empty, f"{group}.{name} has a default in code too"


def test_the_blog_experiment_is_the_posts_run(compose):
    cfg = plain(compose("experiment=blog"))
    assert (cfg["epochs"], cfg["batch_size"], cfg["eval_every"]) == (1000, 50, 10)
    assert cfg["split"] | {"predefined": None} == {
        "train": 0.7, "validation": 0.0, "test": 0.3, "stratify": False, "predefined": None,
        "folds": None, "fold": None,
    }  # fmt: skip
    assert cfg["optimizer"]["_target_"] == "torch.optim.SGD"
    assert (cfg["optimizer"]["lr"], cfg["optimizer"]["momentum"]) == (0.001, 0.9)
    assert not cfg["optimizer"]["nesterov"]
    assert cfg["optimizer"]["weight_decay"] == 0
    assert cfg["schedule"]["_target_"].endswith(".constant")
    assert cfg["augment"]["_target_"].endswith(".none")
    assert (cfg["model"]["table"], cfg["model"]["variant"]) == ("large", "blog")
    assert (cfg["dataset"]["num_cases"], cfg["dataset"]["num_channels"]) == (100, 3)
    assert (cfg["dataset"]["length"], cfg["dataset"]["num_classes"]) == (224, 2)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("epochs", "abc", "epochs must be a whole number from 1 to 100000000 or auto, not 'abc'"),
        ("epochs", 0, "not 0"),
        ("epochs", True, "not true"),
        ("epochs", None, "not null"),
        ("epochs", "aut", "did you mean auto"),
        ("batch_size", 2.5, "batch_size must be a whole number"),
        ("seed", -1, "seed must be a whole number from 0"),
        ("patience", 3, "split.validation"),
        ("split.test", 1.0, "split.test must be a number at least 0 and below 1"),
        ("split.validation", 0.8, "add up to 1.1"),
        ("optimizer.lr", float("nan"), "optimizer.lr must be a number above 0"),
        ("optimizer.betas", [0.9], "a list of 2 values"),
        ("loss.class_weights", "balance", "null or balanced, not 'balance' (did you mean balanced"),
        ("hardware.device", "gpu", "did you mean cuda"),
        ("hardware.num_threads", 0, "hardware.num_threads"),
        ("model.num_downsamples", -1, "model.num_downsamples"),
        (
            "model.width_mult",
            "wide",
            "model.width_mult must be a number at least 0.05",
        ),
        ("augment.shift", 2, "augment.shift must be a number at least 0 and below 1"),
        ("dataset.noise", "???", "dataset.noise is not given: add dataset.noise="),
    ],
)
def test_impossible_values_are_named(compose, key, value, says):
    cfg = compose()
    OmegaConf.update(cfg, key, value)
    with pytest.raises(InputError) as error:
        check(plain(cfg))
    assert says in str(error.value)
    assert key in str(error.value)
    assert "\n" not in str(error.value)


def test_users_own_components_have_rules_of_their_own(compose):
    cfg = compose("allowed_targets=[mine.Net]", "model._target_=mine.Net")
    cfg.model.dropout = "a lot"
    check(plain(cfg))


def test_a_users_folder_of_yaml_adds_options(tmp_path: Path):
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "slow.yaml").write_text("defaults: [sgd]\nlr: 0.0001\n")
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        cfg = hydra.compose("config", ["optimizer=slow", f"hydra.searchpath=[file://{tmp_path}]"])
    assert cfg.optimizer.lr == 0.0001
    check(plain(cfg))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("split", None, "split must be a group of keys, not null"),
        ("split", 0.3, "split must be a group of keys, not 0.3"),
        ("split", {}, "split.train is missing"),
        ("split", {"tset": 0.2}, "split.train is missing"),
        ("model", {"a": 1}, "model must be a group with a _target_"),
        ("allowed_targets", "foo", "allowed_targets must be a list"),
        ("hardware", {}, "hardware.device is missing"),
    ],
)
def test_sections_that_are_gone_are_named(compose, key, value, says):
    with pytest.raises(InputError, match=says):
        check(plain(compose()) | {key: value})


def test_a_group_where_a_value_belongs_is_refused_as_one(compose):
    config = plain(compose())
    config["launcher"]["boards"] = {"a": "b"}
    with pytest.raises(InputError, match=r"launcher.boards must be a list of .*, not \{'a': 'b'\}"):
        check(config)


def test_a_key_that_a_section_does_not_have_is_refused(compose):
    config = plain(compose())
    config["hardware"]["num_thread"] = 2
    with pytest.raises(InputError, match=r"hardware.num_thread is not a key.*hardware.num_threads"):
        check(config)
