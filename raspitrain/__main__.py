"""python -m raspitrain"""

import sys
from typing import NoReturn

FOR_TRAINING = ("hydra", "omegaconf", "torch", "numpy", "matplotlib", "rich", "psutil")


def main() -> int:
    try:
        return _main()
    except Exception as error:
        file = _in_the_way(error)
        if file is None:
            raise
        print(
            f"error: {file} is read in the place of the module of that name, which raspitrain "
            f"needs: rename it, or start in another folder ({type(error).__name__}: {error})",
            file=sys.stderr,
        )
        return 2


def _in_the_way(error: Exception) -> str | None:
    """A file of the user's own that Python took for a module of its own or of a library's, as it
    looks in the folder that a command is started in first."""
    import os
    import traceback
    from importlib.machinery import PathFinder

    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    files += [str(getattr(error, "filename", None))]  # of a SyntaxError
    files += [str(getattr(module, "__file__", None)) for module in (*sys.modules.values(),)]
    here = os.path.realpath(sys.path[0] or ".")
    for file in files:
        folder, name = os.path.split(file.removesuffix(f"{os.sep}__init__.py"))
        name = name.removesuffix(".py")
        if os.path.realpath(folder) != here or name in ("raspitrain", "hydra_plugins"):
            continue
        if name in sys.stdlib_module_names or PathFinder.find_spec(name, sys.path[1:]):
            return file
    return None


def _main() -> int:
    from raspitrain.stop import (
        leave_at_once_on_signals,
        let_go_of_dead_streams,
        make_output_ready,
        say,
    )

    leave_at_once_on_signals()
    make_output_ready()
    try:
        from raspitrain.cli.commands import run_named

        if (exit_code := run_named(sys.argv[1:])) is not None:
            return exit_code
        from raspitrain.cli.main import main as run_command

        return run_command()
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in FOR_TRAINING or _in_the_way(error) is not None:
            raise
        from raspitrain.use.__main__ import COMMANDS

        *others, last = COMMANDS
        say(
            f"error: {error.name} is not installed, and training needs it; without it there are "
            f"{', '.join(others)} and {last}"
        )
        return 2
    except KeyboardInterrupt:  # before there is anything to keep
        say("interrupted")
        return 130
    finally:
        let_go_of_dead_streams()


def command() -> NoReturn:
    code = main()
    from raspitrain.stop import leave

    leave(code)


if __name__ == "__main__":
    command()
