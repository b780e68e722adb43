"""What records of JSON hold: a sample for each moment, names that stand in one another; also where
numpy is not."""

import re
from typing import Any

OF_AXES = re.compile(r"(?:.*_)?(?:acc|gyr|mag|gravity|euler|rotation|linear)", re.I)
LEAST_SERIES = 8  # samples of an array in a record; fewer may be the axes of one moment


def spread(record: dict[str, Any]) -> list[dict[str, Any]]:
    """A record for each sample, where one stands for a packet of them, or for a recording of many:
    lists of records in one another, or long arrays side by side."""
    lists = {name: own for name, own in record.items() if isinstance(own, list)}
    rest = {name: own for name, own in record.items() if name not in lists}
    inner = [*lists.values()]
    if len(inner) == 1 and all(isinstance(sample, dict) for sample in inner[0]):
        return [one for sample in inner[0] for one in spread({**rest, **flattened(sample)})]
    if len(inner) > 1 and len({len(own) for own in inner}) == 1 and len(inner[0]) >= LEAST_SERIES:
        return [{**rest, **dict(zip(lists, row, strict=True))} for row in zip(*inner, strict=True)]
    if lists and all(len(own) == 3 and OF_AXES.match(name) for name, own in lists.items()):
        axes = {f"{name}_{k}": value for name, own in lists.items() for k, value in enumerate(own)}
        return [rest | axes]
    return [record]  # such as ecg: [1, 2, 3], a moment or a packet: refused


def flattened(record: Any) -> dict[str, Any]:
    """{"acc": {"x": 1}} as {"acc_x": 1}."""
    if not isinstance(record, dict):
        raise ValueError
    flat: dict[str, Any] = {}
    for name, own in record.items():
        inner = flattened(own).items() if isinstance(own, dict) else [("", own)]
        flat |= {f"{name}_{below}".strip("_"): value for below, value in inner}
    return flat
