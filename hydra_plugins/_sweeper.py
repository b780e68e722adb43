"""What both sweepers do before they sweep. Hydra passes over modules with a leading underscore."""

from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from raspitrain.config.overrides import check_preset


class LaunchingSweeper(Sweeper):
    """A sweeper that knows its preset and its launcher.

    Parameters
    ----------
    params : the preset's overrides, values as in a command; what is typed comes after them
    """

    def __init__(self, params: Mapping[str, Any] | None) -> None:
        self.params = params or {}
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None

    def preset(self, parser: OverridesParser) -> list[Override]:
        """The preset's overrides, none of which may be for the command line alone."""
        given = parser.parse_overrides([f"{key}={value}" for key, value in self.params.items()])
        for override in given:
            check_preset(override.get_key_element())
        return given

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
