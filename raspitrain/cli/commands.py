"""Commands beside training: `raspitrain NAME …` is `python -m raspitrain.NAME …`."""

import importlib
from collections.abc import Sequence

from raspitrain.errors import printable
from raspitrain.stop import say
from raspitrain.use.__main__ import COMMANDS as USE_COMMANDS

COMMANDS = USE_COMMANDS | {
    "compare": "raspitrain.cli.compare",
    "data": "raspitrain.cli.data",
    "doctor": "raspitrain.doctor.__main__",
    "evaluate": "raspitrain.evaluate",
    "export": "raspitrain.export.__main__",
    "report": "raspitrain.report.__main__",
    "track": "raspitrain.track.__main__",
}

TRAINING = "training needs none, only key=value, as in dataset=recordings dataset.path=FOLDER"
# What other programs call it, and what to type here.
INSTEAD = {
    "fit": TRAINING,
    "help": "--help shows the command's words",
    "resume": "write resume=FOLDER",
    "run": TRAINING,
    "sweep": "add --multirun, and give a key several values",
    "train": TRAINING,
    "tune": "add --multirun hydra/sweeper=optuna",
    "version": "write --version",
}


def run_named(words: Sequence[str]) -> int | None:
    """Run the command that the first word names; None where it names none: then it is Hydra's.

    A first word that is neither a command nor anything that Hydra reads ends in a sentence.
    """
    if not words or "=" in words[0] or words[0][:1] in ("", "-", "+", "~"):
        return None
    name = words[0]
    if name in COMMANDS:
        return int(importlib.import_module(COMMANDS[name]).main(words[1:]))
    from raspitrain.nearest import did_you_mean

    if name in INSTEAD:
        say(f"error: {name!r} is no command: {INSTEAD[name]}.")
        return 2
    from raspitrain.cli.words import key_alone

    if (sentence := key_alone(name, words[1:])) is not None:
        say(f"error: {printable(sentence)}")
        return 2
    hint = did_you_mean(name, COMMANDS) or "."
    say(
        f"error: {printable(name)!r} is neither a command ({', '.join(sorted(COMMANDS))}) nor "
        f"key=value{hint}"
    )
    return 2
