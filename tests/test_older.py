"""What version 0.1 left in a run's folder is still read, or says which version it needs."""

import copy

import pytest
import torch
from conftest import TINY
from omegaconf import OmegaConf

from raspitrain.config.older import FLAGS, from_older
from raspitrain.config.rules import check
from raspitrain.errors import InputError
from raspitrain.results.checkpoint import load_checkpoint, save_checkpoint
from raspitrain.run.resume import resume
from raspitrain.run.run import run

MODELS = {
    "mobilenetv3_small": ("small", "paper"),
    "mobilenetv3_large": ("large", "paper"),
    "mobilenetv3_small_blog": ("small_blog", "blog"),
    "mobilenetv3_large_blog": ("large_blog", "blog"),
}


def older(config, model, compiled=False):
    """The configuration as 0.1 wrote it."""
    table, variant = MODELS[model]
    config = copy.deepcopy(config)
    del config["model"]["variant"], config["export"]
    config["model"] |= {"table": table, **FLAGS[variant]}
    config["hardware"]["compile"] = compiled
    return config


@pytest.mark.parametrize("compiled", [False, "auto"])
@pytest.mark.parametrize("model", MODELS)
def test_a_configuration_of_0_1_becomes_todays(compose, model, compiled):
    config = OmegaConf.to_container(compose(f"model={model}"), resolve=True)
    assert from_older(older(config, model, compiled)) == config | {"export": "none"}
    assert from_older(config) == config
    check(from_older(older(config, model, compiled)))


LATER = ("frontend", "ensemble", "distributed", "launcher.boards", "launcher.ssh_config",
         "launcher.dask", "launcher.srun", "hardware.engine", "dataset.annotations",
         "dataset.annotation_unit")  # fmt: skip


@pytest.mark.parametrize("key", LATER)
def test_a_configuration_without_a_key_that_came_later_is_read(compose, key):
    """Else a run of last week could be neither evaluated nor exported."""
    cfg = compose("dataset=recordings", "dataset.path=x", "dataset.annotations=false")
    config = OmegaConf.to_container(cfg, resolve=True)
    *section, name = key.split(".")
    del (config[section[0]] if section else config)[name]
    check(from_older(config))


@pytest.mark.parametrize(
    ("section", "changes", "named"),
    [
        ("hardware", {"compile": True}, "hardware.compile=true"),
        ("model", {"bias": True}, "model.bias=True"),
        ("model", {"se_reduction": 2}, "model.se_reduction=2"),
        ("model", {"table": "small_blog"}, "model.bias=False"),
    ],
)
def test_what_there_is_no_more_names_the_version_that_has_it(compose, section, changes, named):
    config = OmegaConf.to_container(compose("model=mobilenetv3_small"), resolve=True)
    config = older(config, "mobilenetv3_small")
    config[section] |= changes
    with pytest.raises(InputError, match=r"use raspitrain 0\.1") as caught:
        from_older(config)
    assert named in str(caught.value)


@pytest.mark.usefixtures("quick_end")
def test_a_run_of_0_1_is_resumed(compose, tmp_path):
    settings = (*(t for t in TINY if not t.startswith("epochs=")), "model=mobilenetv3_small_blog")
    folder = tmp_path / "run"
    run(compose(*settings, "epochs=2", "schedule=constant"), folder)
    state = load_checkpoint(folder / "last.pt")
    state["config"] = older(state["config"], "mobilenetv3_small_blog")
    state["run"]["tuned"]["compile"] = None
    save_checkpoint(folder / "last.pt", state)
    summary = resume(folder, ["epochs=4"])
    assert (summary["status"], summary["epochs"]) == ("completed", 4)
    run(compose(*settings, "epochs=4", "schedule=constant"), tmp_path / "alone")
    weights, expected = (
        load_checkpoint(f / "last.pt")["model"] for f in (folder, tmp_path / "alone")
    )
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.usefixtures("quick_end")
def test_a_run_of_0_1_that_was_compiled_says_so(compose, tmp_path):
    folder = tmp_path / "run"
    run(compose(*TINY), folder)
    state = load_checkpoint(folder / "last.pt")
    state["config"]["hardware"]["compile"] = True
    save_checkpoint(folder / "last.pt", state)
    with pytest.raises(InputError, match=r"hardware.compile=true is no longer supported"):
        resume(folder, ["epochs=4"])
