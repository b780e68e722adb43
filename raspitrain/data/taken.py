"""What a data set took from its files: kept with the cases, to be shown and stored."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Origin:
    """One recording, or whatever else several cases come from.

    Attributes
    ----------
    name : str
        Its path below the data set's folder.
    classes : tuple of str
    group : str
        What keeps its cases on one side of a split.
    num_samples : int
    seconds : float or None
        What it lasts; None where time is not known.
    rate : float or None
        Samples a second, as recorded.
    num_missing : int
        Values that were NaN, infinite or not there.
    num_gaps, num_back : int
        Where the clock jumps ahead and where it goes back.
    copy_of : str
        The recording that holds the same samples; "" if none does.
    num_unlabelled : int
        Samples without a label, which are left out.
    """

    name: str
    classes: tuple[str, ...]
    group: str
    num_samples: int
    seconds: float | None = None
    rate: float | None = None
    num_missing: int = 0
    num_gaps: int = 0
    num_back: int = 0
    copy_of: str = ""
    num_unlabelled: int = 0


@dataclass(frozen=True)
class Taken:
    """What was taken from the files, left out, guessed and dropped.

    Attributes
    ----------
    what : str
        What an origin is: "recording" or "case".
    origins : tuple of Origin
    origin_of : np.ndarray or None
        int64 (N,): the origin of each case.
    starts : np.ndarray or None
        int64 (N,): where each case begins in its origin, in samples as they were cut.
    seconds : np.ndarray or None
        float64 (N,): the same in time, from the origin's begin; NaN where that is not known.
    left_out : tuple of (str, str)
        Columns that are no channels, and why.
    notes : tuple of str
        What else is worth knowing, each a clause without a full stop.
    warnings : tuple of str
        What is likely to be a mistake, each a clause with its remedy.
    keeps : str
        What stays on one side of a split, if there are groups: "recording", "block" or "group".
    """

    what: str = "case"
    origins: tuple[Origin, ...] = ()
    origin_of: np.ndarray | None = None
    starts: np.ndarray | None = None
    seconds: np.ndarray | None = None
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    keeps: str = "group"

    def where(self, case: int) -> str:
        """The recording that a case comes from, or its number where there are none."""
        if self.origin_of is None or not self.origins:
            return f"case {case}"
        return self.origins[int(self.origin_of[case])].name
