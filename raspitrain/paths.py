"""Where the parts of raspitrain lie that are no code."""

from pathlib import Path


def config_folder() -> Path:
    """conf/ of a clone, or its copy inside an installed package."""
    installed = Path(__file__).parent / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "conf"
