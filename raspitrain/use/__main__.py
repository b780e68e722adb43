"""The commands of a board that only uses models: python -m raspitrain.use NAME …"""

import importlib
import sys
from typing import NoReturn

from raspitrain.stop import leave_at_once_on_signals

COMMANDS = {
    "calibrate": "raspitrain.calibrate",
    "check": "raspitrain.check",
    "predict": "raspitrain.predict",
    "sign": "raspitrain.sign",
    "stream": "raspitrain.stream",
}


def command() -> NoReturn:
    leave_at_once_on_signals()
    words = sys.argv[1:]
    if not words or words[0] not in COMMANDS:
        print(f"error: give one of the commands {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    sys.exit(importlib.import_module(COMMANDS[words[0]]).main(words[1:]))


if __name__ == "__main__":
    command()
