"""Integers of three bytes, as WAV, BDF and WFDB have them; numpy has no such type."""

import numpy as np


def from_int24(raw: np.ndarray) -> np.ndarray:
    """int32 (T,) of bytes (T, 3), the least one first."""
    wide = np.zeros((len(raw), 4), np.uint8)
    wide[:, 1:] = raw
    return wide.view("<i4")[:, 0] >> 8
