"""The words that stand for no value, and numbers that we do not read; also where numpy is not."""

import re

HEX = re.compile(r"[-+]?0x[\dA-F]+", re.IGNORECASE)
FROM_HEX = (
    "write them in base 10, as by: perl -pe 'BEGIN {$| = 1} s/0x[0-9a-f]+/hex $&/gie' OLD > NEW"
)
MISSING_CELLS = frozenset(
    ("", "na", "n/a", "n.a.", "nan", "-nan", "null", "none", "nil", "?", "-", "--", "#n/a",
     "<na>", "nan(ind)", "-nan(ind)", "1.#qnan", "-1.#qnan", "1.#snan", "1.#ind", "-1.#ind",
     "1.#inf", "-1.#inf", "ovf", "missing", "unavailable", "\\n", "unlabeled", "unlabelled",
     "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!")
)  # fmt: skip


def is_missing(cell: str) -> bool:
    return cell.strip().lower() in MISSING_CELLS
