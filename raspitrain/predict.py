"""python -m raspitrain.predict MODEL FILES…: see raspitrain.use.predict."""

import sys

from raspitrain.use.predict import main

if __name__ == "__main__":
    sys.exit(main())
