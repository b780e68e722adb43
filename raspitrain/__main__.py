"""python -m raspitrain"""

import sys
from typing import NoReturn

from raspitrain.stop import leave, leave_at_once_on_signals, let_go_of_dead_streams, say

FOR_TRAINING = ("hydra", "omegaconf", "torch", "numpy", "matplotlib", "rich", "psutil")


def main() -> int:
    leave_at_once_on_signals()
    try:
        from raspitrain.cli.commands import run_named

        if (exit_code := run_named(sys.argv[1:])) is not None:
            return exit_code
        from raspitrain.cli.main import main as run_command

        return run_command()
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in FOR_TRAINING:
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
    leave(main())


if __name__ == "__main__":
    command()
