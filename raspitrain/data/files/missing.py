"""The words that stand for no value; also where numpy is not."""

MISSING_CELLS = frozenset(
    ("", "na", "n/a", "n.a.", "nan", "-nan", "null", "none", "nil", "?", "-", "--", "#n/a",
     "<na>", "nan(ind)", "-nan(ind)", "1.#qnan", "-1.#qnan", "1.#snan", "1.#ind", "-1.#ind",
     "1.#inf", "-1.#inf", "ovf", "missing", "unavailable", "\\n", "unlabeled", "unlabelled",
     "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!")
)  # fmt: skip


def is_missing(cell: str) -> bool:
    return cell.strip().lower() in MISSING_CELLS
