"""Whether there is a GPU to test on; a sentence and exit code 1 where there is none."""

import sys

from raspitrain.errors import InputError
from raspitrain.hardware.device import choose_device

if __name__ == "__main__":
    try:
        choose_device("cuda")
    except InputError as error:
        sys.exit(f"The tests of training on a GPU cannot run here: {error}")
