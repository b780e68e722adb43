"""Where raspitrain's parts lie, and which they are."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import raspitrain


def absolute(path: str | os.PathLike[str]) -> Path:
    """The absolute path, without `..`; links in it are followed where there was one."""
    whole = Path(path).absolute()
    if ".." in whole.parts:
        with suppress(ValueError):  # a zero byte, of which whoever opens it will tell
            return Path(os.path.realpath(whole))
    return whole


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with the home in the place of `~`, where there is such a user: no shell expands it
    behind a `=`."""
    return Path(os.path.expanduser(path))


def config_folder() -> Path:
    """conf/ of a clone, or its copy inside an installed package."""
    installed = Path(__file__).parent / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "conf"


def options_of(group: str) -> list[str]:
    """The names of a group's files in conf/."""
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))


def source_digest() -> str:
    """Of the code that decides what a run does: two machines with the same one do the same."""
    whole = hashlib.sha256()
    package, profiles = Path(raspitrain.__file__).parent, config_folder() / "hardware"
    files = [f for f in package.rglob("*") if f.suffix in (".py", ".c", ".h")]
    for file in [*sorted(files), *sorted(profiles.glob("*.yaml"))]:
        whole.update(f"{file.name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()[:16]
