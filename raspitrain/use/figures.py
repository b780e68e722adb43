"""How right predictions are, without numpy: accuracy, F1 of every class, who is taken for whom."""

from collections.abc import Iterable

from raspitrain.errors import InputError, aligned


def figures(classes: list[str], pairs: list[tuple[str, str]]) -> dict:
    """Figures of (true class, predicted class) pairs.

    Returns
    -------
    dict
        accuracy, macro_f1 (over the classes that are true or predicted somewhere), per_class
        {name: {precision, recall, f1, support}}, confusion_matrix (rows are true), classes.

    Raises
    ------
    InputError
        A true class is not one of the model's.
    """
    check_labels(classes, (true for true, _ in pairs))
    place = {name: k for k, name in enumerate(classes)}
    matrix = [[0] * len(classes) for _ in classes]
    for true, predicted in pairs:
        matrix[place[true]][place[predicted]] += 1
    per_class = {}
    for name, k in place.items():
        support, named = sum(matrix[k]), sum(row[k] for row in matrix)
        right = matrix[k][k]
        per_class[name] = {
            "precision": right / named if named else 0.0,
            "recall": right / support if support else 0.0,
            "f1": 2 * right / (support + named) if support + named else 0.0,
            "support": support,
        }
    answered = {predicted for _, predicted in pairs}
    seen = [row["f1"] for name, row in per_class.items() if row["support"] or name in answered]
    return {
        "accuracy": sum(matrix[k][k] for k in place.values()) / len(pairs),
        "macro_f1": sum(seen) / len(seen),
        "per_class": per_class,
        "confusion_matrix": matrix,
        "classes": classes,
    }


def check_labels(classes: list[str], labels: Iterable[str | None], where: str = "") -> None:
    """Raise InputError where a label is given that is none of the model's classes."""
    for label in labels:
        if label is not None and label not in classes:
            check_writing(classes, label, where)
            raise InputError(
                f"{where}{': ' if where else ''}the label {label!r} is none of the model's "
                f"classes: {', '.join(classes[:20])}; what is of none of them must have no label."
            )


def check_writing(classes: Iterable[str], label: str, where: str) -> None:
    """Raise InputError where a label is a class's but for its upper and lower case."""
    for name in classes:
        if name != label and name.casefold() == label.casefold():
            raise InputError(
                f"{where}{': ' if where else ''}{label!r} is called {name!r} in the model: write "
                "it so."
            )


def as_text(found: dict) -> str:
    """The figures for a screen."""
    names = found["classes"]
    counts = found["confusion_matrix"]
    total = sum(map(sum, counts))
    lines = [
        f"accuracy {100 * found['accuracy']:.2f} % of {total} labelled windows, macro F1 "
        f"{100 * found['macro_f1']:.2f} %",
    ]
    rows = [[name, *map(str, row)] for name, row in zip(names, counts, strict=True)]
    lines += aligned([["true \\ predicted", *names], *rows], right=True)
    return "\n".join(lines)
