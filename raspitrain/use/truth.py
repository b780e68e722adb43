"""Labelled recordings as a stream would meet them, and what becomes of them at a threshold.

A decision is the mean of some windows; its evidence is all samples in them. A false alarm of a
class is an event that begins where the evidence holds nothing of the class; where it holds samples
without a label nobody can tell, and neither alarm nor time counts. A stretch of a class is found if
an event of the class is open at a decision whose evidence touches it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from raspitrain.data.recorded.marks import Stretch
from raspitrain.errors import InputError
from raspitrain.use.events import Average, Trigger
from raspitrain.use.model import Model
from raspitrain.use.recording import Recording


class Decision(NamedTuple):
    """`first` … `last` sample of its evidence, and the mean of the probabilities (K,)."""

    first: int
    last: int
    scores: list[float]


class Track:
    """One recording: its decisions, stretch by stretch of the clock, and its labels.

    Attributes
    ----------
    runs : within each, nothing of the clock is missing
    left_out : why, for each window that the model does not take
    rate, seconds : samples a second, and what it lasts
    """

    def __init__(
        self, model: Model, recording: Recording, label: str | None, *, hop: int, average: int
    ) -> None:
        rate = recording.rate or model.rate
        if rate is None:
            raise InputError(
                f"{recording.name} does not say how many samples a second it has: say it with "
                "--rate."
            )
        self.rate: float = rate
        self.seconds = len(recording) / rate
        self.stretches = list(_stretches(recording, label))
        self.left_out: list[str] = []
        self.runs = list(_decisions(model, recording, hop, average, self.left_out))
        self.hop = hop


class Outcome(NamedTuple):
    """What a class came to at a threshold: false alarms, stretches found, and for each of these the
    seconds until its event began."""

    false_alarms: int
    found: int
    delays: list[float]


def _stretches(recording: Recording, label: str | None) -> Iterator[Stretch]:
    if recording.stretches is not None:
        yield from recording.stretches
    elif label:
        yield Stretch(label, 0, len(recording) - 1)


def _decisions(
    model: Model, recording: Recording, hop: int, average: int, left_out: list[str]
) -> Iterator[list[Decision]]:
    """The means that a stream would have had."""
    mean, run, before = Average(average), list[Decision](), None
    for start in recording.starts(model.length, hop):
        if before is not None and start != before + hop:
            mean.clear()
            yield run
            run = []
        before = start
        try:
            answer = model.predict(recording.window(start, model.length))
        except InputError as error:
            left_out.append(str(error))
            mean.clear()  # as in a stream
            yield run
            run = []
            continue
        scores = mean.feed(list(answer.probabilities.values()))
        if scores is not None:
            first = start - (average - 1) * hop
            run.append(Decision(first, start + model.length - 1, scores))
    yield run


class ClassTruth:
    """All tracks as they are to one class.

    Attributes
    ----------
    hours : of decisions whose evidence is labelled and holds nothing of the class
    num_stretches : stretches of the class that some decision could have found
    """

    def __init__(self, name: str, place: int, tracks: list[Track]) -> None:
        self.name, self._place, self._tracks = name, place, tracks
        self.hours, self.num_stretches = 0.0, 0
        self._kinds: list[list[list[int | None]]] = []  # of each decision: see _Places
        for track in tracks:
            kind = _Places(track, name).kind
            kinds = [[kind(decision) for decision in run] for run in track.runs]
            self._kinds.append(kinds)
            flat = [kind for run in kinds for kind in run]
            self.hours += flat.count(-1) * track.hop / track.rate / 3600
            self.num_stretches += len({k for k in flat if k is not None and k >= 0})

    def outcome(self, threshold: float, release: float, suppress: float) -> Outcome:
        """What happens at a threshold; the same Trigger is a stream's."""
        alarms, delays, found = 0, list[float](), 0
        for track, kinds in zip(self._tracks, self._kinds, strict=True):
            own = [stretch for stretch in track.stretches if stretch.label == self.name]
            seen: dict[int, float] = {}
            trigger = Trigger(threshold, release, suppress)
            for run, run_kinds in zip(track.runs, kinds, strict=True):
                if trigger.is_on:
                    trigger.end(run[0].last / track.rate if run else 0.0)
                for decision, kind in zip(run, run_kinds, strict=True):
                    change = trigger.feed(decision.last / track.rate, decision.scores[self._place])
                    if change > 0 and kind == -1:
                        alarms += 1
                    if trigger.is_on and kind is not None and kind >= 0 and kind not in seen:
                        late = (decision.last - own[kind].first) / track.rate
                        seen[kind] = max(0.0, late)
            found += len(seen)
            delays += seen.values()
        return Outcome(alarms, found, delays)


class _Places:
    """Where a class lies in a track, and how much of it is labelled at all."""

    def __init__(self, track: Track, name: str) -> None:
        own = [stretch for stretch in track.stretches if stretch.label == name]
        self._own_firsts, self._own_lasts = [s.first for s in own], [s.last for s in own]
        self._firsts = [s.first for s in track.stretches]
        self._before = [0, *accumulate(s.last - s.first + 1 for s in track.stretches)]
        self._lasts = [s.last for s in track.stretches]

    def kind(self, decision: Decision) -> int | None:
        """Which stretch of the class the evidence touches, the last one; -1: none, and all of it
        is labelled; None: nobody can tell."""
        last = bisect_right(self._own_firsts, decision.last) - 1
        if last >= 0 and self._own_lasts[last] >= decision.first:
            return last
        labelled = self._labelled(decision.last + 1) - self._labelled(decision.first)
        return -1 if labelled == decision.last + 1 - decision.first else None

    def _labelled(self, end: int) -> int:
        """Labelled samples before a sample."""
        k = bisect_left(self._firsts, end)
        if not k:
            return 0
        return self._before[k] - max(0, self._lasts[k - 1] - end + 1)
