"""python -m raspitrain"""

import sys


def main() -> int:
    try:
        from raspitrain.cli import main as run_command

        return run_command()
    except KeyboardInterrupt:  # before there is anything to keep
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
