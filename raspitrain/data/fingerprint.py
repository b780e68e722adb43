"""Whether data are the same as before, without reading a set that is larger than memory."""

import hashlib

import numpy as np

from raspitrain.data.cases import Cases

NUM_SAMPLES = 64  # cases that are looked at whole


def fingerprint(cases: Cases) -> str:
    """SHA-256, in hex, of shape, type, names, every label and group, and a sample of the signals.

    The sample is spread evenly over the cases, the first and the last among them.
    """
    num_cases = cases.signals.shape[0]
    digest = hashlib.sha256()
    names = (cases.class_names, cases.channel_names)
    digest.update(repr((tuple(cases.signals.shape), str(cases.signals.dtype), names)).encode())
    for numbers in (cases.labels, cases.groups, cases.part):
        digest.update(b"-" if numbers is None else np.ascontiguousarray(numbers).tobytes())
    # np.unique would import numpy.ma: a tenth of a second in which nothing is trained.
    for case in sorted(set(np.linspace(0, num_cases - 1, NUM_SAMPLES).astype(np.int64).tolist())):
        digest.update(np.ascontiguousarray(cases.signals[np.array([case])]).tobytes())
    return digest.hexdigest()
