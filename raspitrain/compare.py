"""python -m raspitrain.compare dataset=…: see raspitrain.cli.compare."""

import sys

from raspitrain.cli.compare import main

if __name__ == "__main__":
    sys.exit(main())
