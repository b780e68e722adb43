"""python -m raspitrain.sign MODEL --key KEY: see raspitrain.use.sign."""

import sys

from raspitrain.use.sign import main

if __name__ == "__main__":
    sys.exit(main())
