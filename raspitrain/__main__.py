"""python -m raspitrain"""

import sys

from raspitrain.cli import main

if __name__ == "__main__":
    sys.exit(main())
