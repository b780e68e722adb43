"""python -m raspitrain.calibrate MODEL RECORDINGS: see raspitrain.use.calibrate."""

import sys

from raspitrain.use.calibrate import main

if __name__ == "__main__":
    sys.exit(main())
