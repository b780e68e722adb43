"""python -m raspitrain resume=RUN_FOLDER [key=value ...]: the door's part of it.

What is given beside resume= is held to the run's own configuration, so nothing is composed anew.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from raspitrain.errors import InputError
from raspitrain.hardware.threads import resolve_num_threads, thread_environment
from raspitrain.resume import resume

KEY = "resume="
# Flags that show something instead of running.
SHOWING = (
    "--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--info", "-i",
    "--shell-completion", "-sc",
)  # fmt: skip


def asks_to_resume(arguments: Sequence[str]) -> bool:
    """Whether the words of the command line ask for a run to go on."""
    if any(word.split("=")[0] in SHOWING for word in arguments):
        return False
    return any(word.startswith(KEY) and word != f"{KEY}null" for word in arguments)


def resume_as_asked(arguments: Sequence[str]) -> None:
    """Go on with the run that the words name. InputError if they cannot be obeyed."""
    given = [word.removeprefix(KEY) for word in arguments if word.startswith(KEY)]
    others = [word for word in arguments if not word.startswith(KEY)]
    for word in others:
        if word in ("--multirun", "-m"):
            raise InputError("resume= goes on with one run: leave out --multirun.")
        if word.startswith("-"):
            raise InputError(
                f"{word} has no place beside resume=: a run goes on with the configuration that it "
                "has."
            )
    keys = [word.split("=")[0] for word in others]
    for key in keys:
        if keys.count(key) > 1:
            raise InputError(f"{key} is given {keys.count(key)} times: give it once.")
    if len(given) > 1:
        raise InputError(f"resume is given {len(given)} times: give it once.")
    folder = _unquoted(given[0])
    if not folder:
        raise InputError("resume= must name the folder of a run.")
    _set_environment(Path(folder), others)
    resume(folder, others, tell=print)


def _unquoted(text: str) -> str:
    """Without the quotes that a value of Hydra's may need inside those of the shell."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text


def _set_environment(folder: Path, overrides: Sequence[str]) -> None:
    """What torch reads when it is imported; a run's speed depends on it, its numbers do not."""
    hardware: dict[str, Any] = {"num_threads": "auto", "wait_policy": None}
    try:
        stored = OmegaConf.load(folder / "config.yaml")
        typed = OmegaConf.from_dotlist(list(overrides))
        for source in (stored, typed):
            for key in hardware:
                hardware[key] = OmegaConf.select(source, f"hardware.{key}", default=hardware[key])
        num_threads = resolve_num_threads(hardware["num_threads"], os.environ)
        wanted = thread_environment(num_threads, hardware["wait_policy"], os.environ)
        os.environ.update(wanted)
    except InputError:
        raise
    except Exception:  # for people, and perhaps changed by them: the checkpoint says what counts
        return
