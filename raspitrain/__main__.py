"""python -m raspitrain"""

import sys

from raspitrain.stop import leave_at_once_on_signals, let_go_of_dead_streams, say


def main() -> int:
    leave_at_once_on_signals()
    try:
        from raspitrain.cli import main as run_command

        return run_command()
    except KeyboardInterrupt:  # before there is anything to keep
        say("interrupted")
        return 130
    finally:
        let_go_of_dead_streams()


if __name__ == "__main__":
    sys.exit(main())
