"""Names of job folders: made from the job's overrides, the same on every start, fit for any card.

FAT and exFAT, on which many a Pi's card or stick is, know neither : nor * nor ? in a name.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence

MOST = 100  # letters; some file systems take no more than 143


def job_names(swept: Sequence[Mapping[str, str]]) -> list[str]:
    """One name a job, all different, whatever the case of letters counts for.

    Parameters
    ----------
    swept : for each job its swept keys and their values, as they were typed

    Returns
    -------
    list of str
        `batch_size=16,num_threads=1`: of each key the last part, unless two keys share it. A job
        of which nothing is swept is called `job`.
    """
    keys = list(dict.fromkeys(key for values in swept for key in values))
    short = {key: key.rsplit(".", 1)[-1] for key in keys}
    for key, name in short.copy().items():
        if list(short.values()).count(name) > 1:
            short[key] = key
    names: list[str] = []
    taken: set[str] = set()
    for values in swept:
        name = _fit(",".join(f"{short[key]}={value}" for key, value in values.items()) or "job")
        unique, count = name, 1
        while unique.lower() in taken:
            count += 1
            unique = f"{name}-{count}"
        taken.add(unique.lower())
        names.append(unique)
    return names


def _fit(name: str) -> str:
    """`name` itself if it will do on any card; else what can be kept of it, and a hash."""
    safe = re.sub(r"[^\w=,.+-]", "_", name, flags=re.ASCII).strip(".")
    if safe == name and len(name) <= MOST:
        return name
    # Without it, two values that differ only in what was replaced would share a name.
    mark = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return f"{safe[: MOST - 9]}-{mark}"
