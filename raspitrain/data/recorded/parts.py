"""Words that name a part of a data set: training, validation or test."""

import re
from pathlib import Path

from raspitrain.data.files.time_names import plain_name
from raspitrain.errors import InputError

NAMES = ("train", "validation", "test")
PARTS = {
    **dict.fromkeys(("train", "training", "tr"), 0),
    **dict.fromkeys(("val", "valid", "validation", "dev"), 1),
    **dict.fromkeys(("test", "testing", "tst"), 2),
}
EVALUATION = re.compile(r"eval(?:uation)?(?:[\W_]*(?:set|data|split))?")
NUMBERS = {"0": 0, "1": 1, "2": 2}
IS_TEST = {"0": 0, "1": 2, "false": 0, "true": 2, "no": 0, "yes": 2}
IS_TRAIN = {"0": 2, "1": 0, "false": 2, "true": 0, "no": 2, "yes": 0}


def part_of(name: str) -> int | None:
    """0 train, 1 validation, 2 test, as a word such as TrainSet or X_train says; else None."""
    bare = re.sub(r"[^a-z]", "", re.sub(r"^(x|data|dataset|set)[\W_]+", "", name.lower()))
    return PARTS.get(re.sub(r"(set|data|split|ing)$", "", bare), PARTS.get(bare))


def part_of_name(name: str) -> int | None:
    """The same of a folder or file, where eval is the test."""
    return 2 if EVALUATION.fullmatch(name.lower()) else part_of(name)


def part_of_cell(column: str, cell: str, path: Path) -> int:
    """The part that a cell of a column names by word or number.

    Raises
    ------
    InputError
        It names none.
    """
    plain = plain_name(column)
    numbers = NUMBERS
    if plain.startswith("is_"):
        numbers = IS_TEST if "test" in plain else IS_TRAIN
    found = numbers.get(cell.lower()) if cell.lower() in numbers else part_of(cell)
    if found is None:
        raise InputError(
            f"{path}: column '{column}', which dataset.part_column names, holds {cell[:40]!r}, but "
            "must hold train, validation and test, or 0, 1 and 2 for these; to keep each of its "
            f"values on one side of a split say dataset.group_column={column}."
        )
    return found
