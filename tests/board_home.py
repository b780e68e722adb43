"""The home folder of a board, or of a worker, that is a folder of the test's."""

import shutil
import sys
from pathlib import Path

from raspitrain.cache import cache_folder


def fill_cache(home: Path) -> None:
    """As on a board whose code has been compiled: the machine's own is the same."""
    cache = home / ".cache" / "raspitrain"
    cache.mkdir(parents=True, mode=0o700)
    for kept in cache_folder().glob("*"):
        if kept.is_file():
            shutil.copy(kept, cache)
    if (cache_folder() / "engine").is_dir():
        shutil.copytree(cache_folder() / "engine", cache / "engine")
    # Matplotlib would look for fonts for seconds.
    for name in (".cache/matplotlib", ".config/matplotlib"):
        if (Path.home() / name).is_dir():
            shutil.copytree(Path.home() / name, home / name)


def put_python(home: Path) -> None:
    """A `python` that notes the jobs which it runs to their end; see `jobs_ended`."""
    path = home / "python"
    path.write_text(
        f'#!/bin/sh\n[ "$3" = raspitrain.sweep.job ] || exec {sys.executable} "$@"\n'
        f'{sys.executable} "$@"; code=$?\n'
        f'[ $code = 0 ] && basename "$4" >> {home}/ends\nexit $code\n'
    )
    path.chmod(0o755)


def jobs_ended(folder: Path) -> list[str]:
    """The jobs that have run to their end, in all the homes in a folder."""
    return [line for path in folder.glob("*/ends") for line in path.read_text().splitlines()]


def jobs_left(home: Path) -> list[str]:
    """Jobs' folders that lie there."""
    jobs = home / ".cache" / "raspitrain" / "boards" / "jobs"
    return sorted(str(path.relative_to(jobs)) for path in jobs.glob("*/*/*"))
