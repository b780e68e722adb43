"""Words for a name that is not there."""

import difflib
from collections.abc import Iterable
from itertools import islice


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "nearest: …" with the known names that look like `name`, or "there are: …"."""
    names = list(islice(known, 1000))
    folded = {other.lower(): other for other in names}
    near = difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.5)
    if near:
        return "nearest: " + ", ".join(folded[other] for other in near)
    return "there are: " + ", ".join(names[:30]) + (", …" if len(names) > 30 else "")
