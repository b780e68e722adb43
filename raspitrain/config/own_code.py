"""What an exception in code of the user's own is told as: one sentence that names the line that
raised it, in the place of a trace through ours."""

import sys
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from omegaconf import DictConfig

from raspitrain.config.targets import targets_in
from raspitrain.errors import InputError
from raspitrain.hardware.memory import is_out_of_memory
from raspitrain.results.configuration import plain

OURS = {"raspitrain", "torch"}
INSTALLED = {"site-packages", "dist-packages"}


def told(error: BaseException, allowed_targets: Collection[str]) -> str:
    """The error in one line; where a line of the user's own code was being run, with its kind and
    that line."""
    lines = [
        (frame.f_code, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if _is_own(frame, allowed_targets)
    ]
    if not lines:
        return " ".join(str(error).split()) or type(error).__name__
    code, line = lines[-1]
    return f"{_with_kind(error)} ({code.co_qualname}, {code.co_filename}, line {line})"


def fault_of_own_code(error: BaseException, cfg: DictConfig) -> InputError | None:
    """A sentence about code that the command line has allowed; None where the fault is not in it.

    It is in it where a line of it was being run, or torch could not go backward through what it
    did.
    """
    allowed = list(cfg.allowed_targets)
    own = {key: name for key, name in targets_in("", plain(cfg)) if name in allowed}
    if not own or not isinstance(error, Exception) or isinstance(error, InputError):
        return None
    if is_out_of_memory(error):
        return None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if any(_is_own(frame, allowed) for frame in frames):
        names = " or ".join(f"{key} ({target})" for key, target in own.items())
        return InputError(f"{names} fails: {told(error, allowed)}.")
    model = own.get("model")
    if model is not None and _root(frames[-1]) == "torch" and "backward" in map(_name, frames):
        return InputError(
            f"model ({model}) cannot be trained, as torch cannot go backward through its forward"
            f"{_forward_of(model)}: {_with_kind(error)}"
        )
    return None


@contextmanager
def own_faults_told(cfg: DictConfig) -> Iterator[None]:
    """Turn what `fault_of_own_code` knows of into its sentence."""
    try:
        yield
    except Exception as error:
        sentence = fault_of_own_code(error, cfg)
        if sentence is None:
            raise
        raise sentence from error


def _with_kind(error: BaseException) -> str:
    """As "KeyError: 'x'", in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_own(frame: FrameType, allowed_targets: Collection[str]) -> bool:
    root = _root(frame)
    if root in OURS or root in sys.stdlib_module_names:
        return False
    if root in {name.split(".")[0] for name in allowed_targets}:
        return True
    return not INSTALLED & set(Path(frame.f_code.co_filename).parts)


def _root(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).split(".")[0]


def _name(frame: FrameType) -> str:
    return frame.f_code.co_name


def _forward_of(target: str) -> str:
    """Where a class of the user's own has its forward, as a clause."""
    module, _, name = target.rpartition(".")
    forward = getattr(getattr(sys.modules.get(module), name, None), "forward", None)
    code = getattr(forward, "__code__", None)
    return "" if code is None else f" ({code.co_filename}, line {code.co_firstlineno})"
