"""python -m raspitrain.stream MODEL: see raspitrain.use.stream."""

import sys

from raspitrain.stop import leave_at_once_on_signals
from raspitrain.use.stream import main

if __name__ == "__main__":
    leave_at_once_on_signals()
    sys.exit(main())
