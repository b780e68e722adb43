"""docs/configuration.md says what conf/ says."""

import importlib.util
from pathlib import Path

from omegaconf import OmegaConf

from raspitrain.config.rules import leaves

SCRIPT = Path(__file__).parents[1] / "docs" / "configuration.py"


def load_script():
    spec = importlib.util.spec_from_file_location("configuration", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current():
    script = load_script()
    assert script.PAGE.read_text() == script.page(), "run: python docs/configuration.py"


def test_no_key_is_missing():
    script = load_script()
    text = script.PAGE.read_text()
    config = OmegaConf.to_container(OmegaConf.load(script.CONF / "config.yaml"), resolve=False)
    for key, _ in leaves({k: v for k, v in config.items() if k not in ("defaults", "hydra")}):
        assert f"`{key}`" in text, key
