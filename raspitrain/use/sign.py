"""raspitrain sign: put one's name to a model file."""

import argparse
import os
from collections.abc import Sequence

from raspitrain.stop import exit_code_of
from raspitrain.use.model import load
from raspitrain.use.signature import sign


def main(arguments: Sequence[str] | None = None) -> int:
    """Sign; return the exit code: 0, 2 for a mistake, 74 where writing failed."""
    parser = argparse.ArgumentParser(
        prog="raspitrain sign",
        description="Sign a model file with a key of ssh. check and predict accept it elsewhere "
        "with --require-signature FILE, ssh-keygen's file of allowed signers.",
    )
    parser.add_argument("model", help="model.rpt, or the folder of a run")
    parser.add_argument("--key", required=True, help="such as ~/.ssh/id_ed25519")
    given = parser.parse_args(arguments)
    return exit_code_of(
        lambda: print(sign(load(given.model).path, os.path.expanduser(given.key))),
        writes=given.model,
    )
