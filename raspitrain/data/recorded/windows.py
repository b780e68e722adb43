"""Windows of recordings that are held, copied out only when they are asked for."""

from collections.abc import Sequence

import numpy as np


class Windows:
    """Windows (N, C, L) of recordings, copied out only when they are asked for.

    Parameters
    ----------
    samples : sequence of np.ndarray
        The recordings, float32 or float64 (C, its own length).
    recording, start : np.ndarray
        (N,): where each window lies.
    """

    def __init__(
        self,
        samples: Sequence[np.ndarray],
        recording: np.ndarray,
        start: np.ndarray,
        length: int,
    ) -> None:
        self._samples = samples
        self._recording = recording
        self._start = start
        self.shape = (len(start), len(samples[0]), length)
        self.dtype = np.result_type(*{signals.dtype for signals in samples})
        # Looked at recording by recording; what float32 cannot hold only where it is not the type.
        self.is_finite = self.dtype == np.float32

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        _, num_channels, length = self.shape
        out = np.empty((len(indices), num_channels, length), dtype=self.dtype)
        places = zip(self._recording[indices].tolist(), self._start[indices].tolist(), strict=True)
        for i, (recording, start) in enumerate(places):
            out[i] = self._samples[recording][:, start : start + length]
        return out
