"""python -m raspitrain.check MODEL: see raspitrain.use.check."""

import sys

from raspitrain.use.check import main

if __name__ == "__main__":
    sys.exit(main())
