"""Words for a name that is not there."""

import difflib
from collections.abc import Iterable
from itertools import islice


def did_you_mean(word: str, known: Iterable[str], most: int = 3) -> str:
    """The nearest known words, compared whole and by their last part: "; did you mean ...?", or
    nothing where none is near. `most` of them are named."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    last = word.rsplit(".", 1)[-1]
    near += [k for k in known if k.rsplit(".", 1)[-1] == last]
    if not near:
        tails = {k.rsplit(".", 1)[-1]: k for k in known}
        near = [tails[t] for t in difflib.get_close_matches(last, tails, n=3)]
    near = list(dict.fromkeys(near))[:most]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "nearest: …" with the known names that look like `name`, or "there are: …"."""
    names = list(islice(known, 1000))
    folded = {other.lower(): other for other in names}
    near = difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.5)
    if near:
        return "nearest: " + ", ".join(folded[other] for other in near)
    return "there are: " + ", ".join(names[:30]) + (", …" if len(names) > 30 else "")
