"""python -m raspitrain resume=RUN_FOLDER [key=value ...], or resume=auto hydra.run.dir=RUN_FOLDER:
the door's part of it.

What is given beside resume= is held to the run's own configuration, so nothing is composed anew.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from raspitrain.cli.ranks import AUTO, FOLDER, join_for
from raspitrain.config.composition import load_checked
from raspitrain.config.overrides import (
    ALLOWING,
    SENDING,
    check_given_once,
    given_keys,
    split_override,
)
from raspitrain.distributed.launch import launched
from raspitrain.errors import InputError, visible
from raspitrain.hardware.memory import quick_imports
from raspitrain.hardware.threads import thread_environment
from raspitrain.paths import expanded
from raspitrain.results.files import OF_A_RUN
from raspitrain.run.resume import resume

KEY = "resume="
HYDRA = "hydra."
# Flags that show something instead of running.
SHOWING = (
    "--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--info", "-i",
    "--shell-completion", "-sc",
)  # fmt: skip


def shows_only(arguments: Sequence[str]) -> bool:
    """Whether the words of the command line ask for something to be shown and nothing run."""
    return any(word.split("=")[0] in SHOWING for word in arguments)


def asks_to_resume(arguments: Sequence[str]) -> bool:
    """Whether the words of the command line ask for a run to be resumed."""
    if shows_only(arguments):
        return False
    return any(word.startswith(KEY) and word != f"{KEY}null" for word in arguments)


def resume_as_asked(arguments: Sequence[str]) -> None:
    """Resume the run that the words name. InputError if they cannot be obeyed."""
    given = [word.removeprefix(KEY) for word in arguments if word.startswith(KEY)]
    others = [word for word in arguments if not word.startswith(KEY)]
    for word in others:
        if word in ("--multirun", "-m"):
            raise InputError("resume= resumes one run: leave out --multirun.")
        if word.startswith("-"):
            raise InputError(
                f"{word} has no place beside resume=: a run keeps the configuration it has."
            )
    check_given_once(others)
    if len(given) > 1:
        raise InputError(f"resume is given {len(given)} times: give it once.")
    folder = _unquoted(given[0])
    if not folder:
        raise InputError("resume= must name the folder of a run.")
    path = expanded(folder)
    if "distributed.boards" in given_keys(others):
        from raspitrain.boards import go_on

        go_on(path, others)
        return
    _set_environment(path, others)
    with quick_imports(for_good=True):
        group = join_for(others)
        # resume() begins with it, and with torch; here no garbage is looked for meanwhile.
        import raspitrain.run.run  # noqa: F401
    resume(path, others, tell=lambda sentence: print(visible(sentence)), group=group)


def resume_or_start(arguments: Sequence[str]) -> list[str] | None:
    """For a machine that starts by itself: resume the run in hydra.run.dir, if there is one.

    The same command serves for the start and for every time after: words that the run was started
    with count once, others as beside any resume=.

    Returns
    -------
    list of str or None
        The words with which to start, as there is no run; None if one has been resumed.
    """
    if {"--multirun", "-m"} & set(arguments):
        raise InputError("A sweep resumes by itself in its sweep_name: leave out resume=auto.")
    others = [word for word in arguments if word != AUTO]
    given = [_unquoted(word.removeprefix(FOLDER)) for word in others if word.startswith(FOLDER)]
    if len(given) != 1 or not given[0] or "${" in given[0]:
        raise InputError(
            "resume=auto resumes in a folder of a fixed name, or starts there: add "
            "hydra.run.dir=FOLDER."
        )
    folder = Path(given[0])
    is_there = any((folder / name).exists() for name in OF_A_RUN)
    if launched(os.environ) is not None:
        _set_environment(folder, [word for word in others if not word.startswith(HYDRA)])
        if (group := join_for(others)) is not None:
            is_there = group.first_says(is_there)
    if not is_there:
        return others
    started_with = _started_with(folder)
    new = [word for word in others if not word.startswith(FOLDER) and word not in started_with]
    # What a folder allows itself counts for nothing; what the command allows does, every time.
    again = (*ALLOWING, *SENDING)
    new += [word for word in others if split_override(word).key in again and word not in new]
    resume_as_asked([f"{KEY}{folder}", *new])
    return None


def _started_with(folder: Path) -> list[str]:
    try:
        words: Any = OmegaConf.to_container(load_checked(folder / "overrides.yaml"))
        return [str(word) for word in words]
    except Exception:  # for people, and perhaps changed by them
        return []


def _unquoted(text: str) -> str:
    """Without the quotes that a value of Hydra's may need inside those of the shell."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text


def _set_environment(folder: Path, overrides: Sequence[str]) -> None:
    """What torch reads when it is imported; a run's speed depends on it, its numbers do not."""
    hardware: dict[str, Any] = {"num_threads": "auto", "wait_policy": None}
    try:
        # For people, and perhaps changed by them: the checkpoint says what counts.
        stored = load_checked(folder / "config.yaml")
    except Exception:
        stored = OmegaConf.create()
    try:
        typed = OmegaConf.from_dotlist(list(overrides))
        for source in (stored, typed):
            for key in hardware:
                hardware[key] = OmegaConf.select(source, f"hardware.{key}", default=hardware[key])
        os.environ.update(thread_environment(**hardware, environment=os.environ))
    except InputError:
        raise
    except Exception:
        return
