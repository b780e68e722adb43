"""From recordings to windows: cut where the class, the person or the clock breaks off."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from raspitrain.data.cases import (
    Cases,
    bare_name,
    fill_missing,
    filled_note,
    make_cases,
    refuse_one_class,
)
from raspitrain.data.files.formats import READERS
from raspitrain.data.recorded.copies import find_copies
from raspitrain.data.recorded.folder import without
from raspitrain.data.recorded.parts import NAMES
from raspitrain.data.recorded.resample import hold, resample
from raspitrain.data.recorded.streams import Stream, own_rate
from raspitrain.data.recorded.windows import Windows
from raspitrain.data.span import Span
from raspitrain.data.taken import Origin, Taken
from raspitrain.errors import InputError, counted
from raspitrain.nearest import nearest

RATES_APART = 1.1  # the highest over the lowest, up to which they count as one
RATES_NOTED = 1.05
EVEN_ENOUGH = 0.002  # of the wanted rate: recordings within it are taken as they are
LEAST_STRETCH = 50  # samples, from which a rate is told
MOST_IN_TURN = 0.9  # of the rows, that have one channel each
SOUND = 4000  # samples a second, from which a .wav file may hold what one hears
SHORTEST_HEARD = 0.025  # seconds of it, below which a window tells little
STRETCHES_APART = 1.5  # the rate of a fast one over that of a slow one


@dataclass
class Piece:
    """A stretch of one class, group and part without a gap."""

    start: int
    stop: int
    label: str
    group: str
    part: int | None
    began: float | None = None  # in seconds of its recording, of one that is resampled


class Cut:
    """From streams to windows, step by step, noting what is dropped."""

    def __init__(
        self,
        folder: Path,
        streams: list[Stream],
        names: Sequence[str],
        *,
        missing: str,
        leave_out: Sequence[str],
        blocks: int | None,
        warnings: list[str],
    ) -> None:
        self.folder = folder
        self.blocks = blocks
        self.streams = streams
        self.notes: list[str] = []
        self.warnings = warnings
        self.rate: float | None = None
        if missing == "error":
            _refuse_missing(folder, streams, names)
        self.hole = max((_longest_hole(s, names) for s in streams), key=lambda own: own[0])
        no_label = no_group = no_part = 0
        self.no_label: list[int] = []
        self.pieces: list[list[Piece]] = []
        for stream in streams:
            pieces = _pieces(stream)
            self.no_label.append(
                0 if stream.beats is not None
                else sum(p.stop - p.start for p in pieces if p.label == "")
            )  # fmt: skip
            no_label += self.no_label[-1]
            no_group += sum(p.stop - p.start for p in pieces if p.group == "")
            if stream.beats is None:
                pieces = [p for p in pieces if p.label and p.label not in leave_out]
            no_part += sum(p.stop - p.start for p in pieces if p.part == -1)
            pieces = [p for p in pieces if p.group and p.part != -1]
            if missing != "error":
                for piece in pieces:
                    fill_missing(stream.signals[:, piece.start : piece.stop], missing)
            self.pieces.append(pieces if blocks is None else _in_blocks(pieces, blocks))
        if blocks is not None:
            self.warnings.append(
                f"parts of one recording are on both sides of the split (dataset.blocks={blocks}): "
                "the test says how well the network does in these recordings, not in new ones"
            )
        if missing != "error":
            self.notes += filled_note(sum(stream.num_missing for stream in streams), missing)
        if no_label:
            self.notes.append(_left_out_note(no_label, streams))
        if no_group:
            self.notes.append(f"{no_group} rows without a group left out")
        if no_part:
            self.notes.append(f"{no_part} rows without a part left out")
        self.left_out = leave_out
        self._check_left_out(leave_out)
        for stream in streams:
            if stream.beats is not None:
                stream.beats = {k: v for k, v in stream.beats.items() if k not in leave_out}
        self._merge_copies()

    def _check_left_out(self, leave_out: Sequence[str]) -> None:
        every = sorted({label for stream in self.streams for label in _labels(stream)} - {""})
        for name in leave_out:
            if name not in every:
                raise InputError(
                    f"dataset.leave_out names '{name}', which is no class of {self.folder}; "
                    f"{nearest(name, every)}."
                )
        if leave_out:
            self.notes.append(f"classes left out: {', '.join(leave_out)}")

    def _merge_copies(self) -> None:
        """Copies are one group with what they are copies of."""
        self.copy_of = [""] * len(self.streams)
        classes = [self._classes_of(k) for k in range(len(self.streams))]
        for k, first in find_copies(self.folder, self.streams, classes).items():
            self.copy_of[k] = self.streams[first].source.name
            pieces, original = self.pieces[k], self.pieces[first]
            for at, piece in enumerate(pieces):
                piece.group = original[at if len(pieces) == len(original) else 0].group
        if num_copies := sum(map(bool, self.copy_of)):
            k = next(k for k, name in enumerate(self.copy_of) if name)
            self.warnings.append(
                f"{num_copies} of {len(self.streams)} recordings are copies of others "
                f"({self.streams[k].source.name} of {self.copy_of[k]}); they stay on one side of "
                "the split, but count twice"
            )

    def _classes_of(self, index: int) -> tuple[str, ...]:
        if (beats := self.streams[index].beats) is not None:
            return tuple(sorted(beats))
        return tuple(dict.fromkeys(piece.label for piece in self.pieces[index]))

    def use_rate(self, wanted: float | None) -> None:
        """Hold the rates against each other, or bring all to one."""
        rates = [own_rate(stream) for stream in self.streams]
        known = [k for k, rate in enumerate(rates) if rate is not None]
        clocks = [stream.clock for stream in self.streams if stream.clock is not None]
        num_gaps, num_back = self._count_gaps()
        if num_gaps or num_back:
            where = sum(bool(s.clock and len(s.cuts)) for s in self.streams)
            self.notes.append(
                f"cut at {counted(num_gaps, 'gap')} and {counted(num_back, 'step')} back of the "
                f"clock, in {where} of {len(self.streams)} recordings"
            )
        if wanted is not None:
            self._resample(wanted)
            return
        self._look_for_uneven_steps()
        if not known:
            if any(clock.step > 0 for clock in clocks):
                self.warnings.append(
                    f"steps of {clocks[0].step:.6g} fit several units, so that the rate is not "
                    "known; say the column's with dataset.time_unit"
                )
            return
        steps = {k: clock.step for k, s in enumerate(self.streams)
                 if (clock := s.clock) is not None and clock.step > 0}  # fmt: skip
        in_hertz = len(known) == len(steps)
        values = {k: rates[k] for k in known} if in_hertz else {k: 1 / v for k, v in steps.items()}
        self._compare_rates({k: v for k, v in values.items() if v is not None}, in_hertz)
        if in_hertz and clocks:
            self.rate = _tidy(float(np.median([rates[k] for k in known])))

    def _look_for_uneven_steps(self) -> None:
        uneven = [
            (stream, stream.clock, stream.clock.uneven)
            for stream in self.streams
            if stream.clock is not None and stream.clock.uneven is not None
        ]
        for stream in self.streams:
            if stream.held and (clock := stream.clock) is not None:
                short = clock.uneven[0] if clock.uneven else 1 / (clock.rate or 1 / clock.step)
                unit = "" if clock.unit else " and their unit with dataset.time_unit"
                raise InputError(
                    f"{self.folder}: rows of {stream.source.name} stand where a level changes, and "
                    "hold until the next: say how many samples a second they are to make with "
                    f"dataset.rate={_tidy(1 / short):g}{unit}."
                )
        lost = [(s, s.clock) for s in self.streams if s.clock is not None and s.clock.lost]
        if lost:
            stream, clock = max(lost, key=lambda own: own[1].lost)
            rate = "a rate of your own" if clock.rate is None else f"{_tidy(clock.rate):g}"
            self.warnings.append(
                f"samples are missing between others in {len(lost)} of {len(self.streams)} "
                f"recordings ({100 * clock.lost:.0f} % in {stream.source.name}, as steps of two or "
                "three times the usual one show), and windows close up over them; fill them with "
                f"dataset.rate={rate}"
            )
        if uneven:
            stream, clock, (short, long) = uneven[0]
            unit = " s" if clock.unit else ""
            rate = "a rate of your own" if clock.rate is None else f"{_tidy(clock.rate):g}"
            self.warnings.append(
                f"the clock is uneven in {len(uneven)} of {len(self.streams)} recordings: in "
                f"{stream.source.name} a tenth of the steps are below {short:.3g}{unit} and a "
                f"tenth above {long:.3g}{unit}, so that a window is not the same time in each; "
                f"bring them to even ones with dataset.rate={rate}"
            )

        else:
            self._look_for_other_rates()

    def _look_for_other_rates(self) -> None:
        """Warn of a recording that goes on at another rate, as files of several devices do."""
        apart = {k: rates for k in range(len(self.streams)) if (rates := self._rates_within(k))}
        if apart:
            k, (slow, fast) = next(iter(apart.items()))
            clock = self.streams[k].clock
            unit = "Hz" if clock is not None and clock.unit else "samples a unit of time"
            self.warnings.append(
                f"the rate changes on the way in {len(apart)} of {len(self.streams)} recordings: "
                f"{self.streams[k].source.name} has {_tidy(slow):g} and {_tidy(fast):g} {unit}, so "
                "that a window is not the same time in each; bring all to one with "
                f"dataset.rate={_tidy(slow):g}, or store each device's in files of its own"
            )

    def _rates_within(self, index: int) -> tuple[float, float] | None:
        """Samples a second in the slowest and the fastest stretches of a recording, a tenth of the
        rows left out at either end, where they lie far apart."""
        clock, pieces = self.streams[index].clock, self.pieces[index]
        long = [piece for piece in pieces if piece.stop - piece.start >= LEAST_STRETCH]
        if clock is None or len(long) < 2:
            return None
        rates = []
        for piece in long:
            lasts = clock.seconds[piece.stop - 1] - clock.seconds[piece.start]
            rates.append((piece.stop - piece.start - 1) / lasts if lasts > 0 else 0.0)
        rows = np.repeat(rates, [piece.stop - piece.start for piece in long])
        slow, fast = np.percentile(rows, [10, 90], method="nearest").tolist()
        return (slow, fast) if fast > STRETCHES_APART * slow > 0 else None

    def _compare_rates(self, rates: dict[int, float], in_hertz: bool) -> None:
        slow, fast = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
        ratio = rates[fast] / rates[slow]
        if ratio <= RATES_NOTED:
            return
        names = [self.streams[k].source.name for k in (slow, fast)]
        figures = [f"{_tidy(rates[k]):g}{' Hz' if in_hertz else ' samples a unit of time'}"
                   for k in (slow, fast)]  # fmt: skip
        middle = (rates[slow] * rates[fast]) ** 0.5
        num_slow = sum(rate < middle for rate in rates.values())
        sentence = (
            f"recordings have different rates: {names[0]} has {figures[0]}, {names[1]} has "
            f"{figures[1]} ({num_slow} nearer the first, {len(rates) - num_slow} nearer the second)"
        )
        remedy = f"bring all to one with dataset.rate={_tidy(rates[slow]):g}"
        if ratio > RATES_APART:
            raise InputError(
                f"{self.folder}: {sentence}, so that a window is not the same time in each; "
                f"{remedy}, or do without time with dataset.time_column=false."
            )
        self.warnings.append(f"{sentence}; {remedy}")

    def _count_gaps(self) -> tuple[int, int]:
        """Gaps and steps back within what is one class and group."""
        gaps = back = 0
        for stream, pieces in zip(self.streams, self.pieces, strict=True):
            if stream.clock is None:
                continue
            seconds, cuts = stream.clock.seconds, set(np.asarray(stream.cuts).tolist())
            for before, after in pairwise(pieces):
                if (before.label, before.group) != (after.label, after.group):
                    continue
                if before.stop == after.start and after.start in cuts:  # and no annotation's end
                    if seconds[after.start] < seconds[before.stop - 1]:
                        back += 1
                    else:
                        gaps += 1
        return gaps, back

    def _resample(self, wanted: float) -> None:
        changed = 0
        for k, stream in enumerate(self.streams):
            clock, pieces = stream.clock, self.pieces[k]
            if clock is None or clock.rate is None:
                raise InputError(
                    f"dataset.rate={wanted:g}: {stream.source.name} does not say how many samples "
                    "a second it has; name its column of time and the unit with "
                    "dataset.time_column and dataset.time_unit."
                )
            even = clock.uneven is None and not clock.lost and not stream.held
            even = even and self._rates_within(k) is None
            if even and abs(clock.rate / wanted - 1) <= EVEN_ENOUGH:
                continue
            changed += 1
            signals, start = [], 0
            beats: list[dict[str, np.ndarray]] = []
            for piece in pieces:
                inside = slice(piece.start, piece.stop)
                bring = hold if stream.held else resample
                new = bring(stream.signals[:, inside], clock.seconds[inside], wanted)
                signals.append(new)
                began = piece.began = float(clock.seconds[piece.start])
                beats.append({
                    label: start + np.round((clock.seconds[at] - began) * wanted).astype(np.int64)
                    for label, at in _beats_in(stream, piece).items()
                })  # fmt: skip
                piece.start, piece.stop = start, start + new.shape[1]
                start = piece.stop
            stream.signals = np.concatenate(signals, axis=1) if signals else stream.signals[:, :0]
            if stream.beats is not None:
                stream.beats = {
                    label: np.concatenate([own[label] for own in beats]) for label in stream.beats
                }
        self.rate = float(wanted)
        if changed:
            self.notes.append(
                f"{changed} of {len(self.streams)} recordings resampled to {wanted:g} Hz"
            )

    def windows(self, length: Span, stride: Span | None) -> None:
        """Say where the windows begin."""
        self.length = length.samples(self.rate)
        samples, channel, path = self.hole
        if samples >= self.length:
            self.warnings.append(
                f"channel '{channel}' of {path} has no value in {samples} samples in a row, more "
                "than a window: what is filled in there is a straight line; take the other "
                f"channels alone, or leave the file out with {without(path)}"
            )
        heard = all(stream.file.path.suffix.lower() == ".wav" for stream in self.streams)
        if heard and self.rate and self.rate >= SOUND and self.length < SHORTEST_HEARD * self.rate:
            self.warnings.append(
                f"a window of {self.length} samples is {self.length / self.rate:.2g} s of sound, "
                "where little is to be told apart: dataset.length=1s frontend=logmel takes what is "
                "heard, frontend=spectrum what vibrates"
            )
        step = self.length // 2 if stride is None else stride.samples(self.rate)
        if step > self.length:
            self.notes.append(
                f"dataset.stride={step} is longer than a window: {step - self.length} samples "
                "between one and the next are in none"
            )
        self.starts = [
            [np.arange(p.start, p.stop - self.length + 1, step) for p in pieces]
            for pieces in self.pieces
        ]
        self._about_beats()
        longest: Counter[str] = Counter()
        number: Counter[str] = Counter()
        for pieces, starts in zip(self.pieces, self.starts, strict=True):
            for piece, own in zip(pieces, starts, strict=True):
                longest[piece.label] = max(longest[piece.label], piece.stop - piece.start)
                number[piece.label] += len(own)
        if not any(number.values()):
            most = max(longest.values(), default=0)
            remedy = f"choose dataset.length={most} or less"
            if self.blocks is not None and (fewer := self.blocks * most // self.length) > 1:
                remedy = f"choose dataset.blocks={fewer} or fewer, or dataset.length={most} or less"
            if most < 2:
                remedy = (
                    "fill them down to the rows that they hold for, if labels stand in one each, "
                    "or store each recording in a file of its own, if rows of several are mixed"
                )
            raise InputError(
                f"{self.folder}: no recording has {self.length} samples of one class in a row"
                f"{self._broken()}, the longest has {most}; {remedy}."
            )
        vanishing = [label for label, count in number.items() if not count]
        for label in vanishing:
            if any(label in (stream.beats or {}) for stream in self.streams):
                raise InputError(
                    f"{self.folder}: the class '{label}' would vanish, as each of its beats is "
                    f"nearer than half a window ({self.length // 2} samples) to an end; choose a "
                    f"smaller dataset.length, or leave it out with "
                    f"{_leaving_out([*self.left_out, label])}."
                )
            others = [other for other in number if bare_name(other) == bare_name(label)]
            alike = next((other for other in others if other != label), None)
            also = len(vanishing) - 1
            raise InputError(
                f"{self.folder}: the class '{label}' would vanish, as it has at most "
                f"{longest[label]} samples in a row{self._broken()} and a window is {self.length}"
                f"{f' ({also} more of {len(number)} classes likewise)' if also else ''}; "
                f"{'' if alike is None else f'write it as {alike!r} if that is the same, '}"
                f"choose a smaller dataset.length, or leave {'them' if also else 'it'} out with "
                f"{_leaving_out([*self.left_out, *vanishing])}."
            )
        empty = [
            stream.source.name
            for stream, pieces, starts in zip(self.streams, self.pieces, self.starts, strict=True)
            if pieces
            and not sum(map(len, starts))
            and stream.stretches != []
            and stream.beats != {}
        ]
        if empty:
            named = ", ".join(empty[:3]) + (", …" if len(empty) > 3 else "")
            self.warnings.append(
                f"{len(empty)} of {len(self.streams)} recordings in {self.folder} "
                f"{'is' if len(empty) == 1 else 'are'} shorter than one window and left out "
                f"({named})"
            )

    def _about_beats(self) -> None:
        """Of recordings whose moments are annotated, a window about each of these."""
        too_near = 0
        for k, stream in enumerate(self.streams):
            if stream.beats is None:
                continue
            pieces, starts = [], []
            for piece in self.pieces[k]:
                for label, at in _beats_in(stream, piece).items():
                    first = at - self.length // 2
                    fits = (first >= piece.start) & (first + self.length <= piece.stop)
                    too_near += int((~fits).sum())
                    pieces.append(replace(piece, label=label))
                    starts.append(first[fits])
            self.pieces[k], self.starts[k] = pieces, starts
        if too_near:
            self.notes.append(
                f"{counted(too_near, 'beat')} nearer than half a window to an end left out"
            )

    def _broken(self) -> str:
        gaps, back = self._count_gaps()
        if not gaps + back:
            return ""
        return (
            f" (the clock has {gaps} gaps and {back} steps back; dataset.time_column=false does "
            "without it)"
        )

    def cases(
        self,
        names: Sequence[str],
        units: Sequence[str],
        *,
        left_out: tuple[tuple[str, str], ...],
        notes: tuple[str, ...],
        keeps: str,
    ) -> Cases:
        places = [
            (k, piece, own)
            for k, (pieces, starts) in enumerate(zip(self.pieces, self.starts, strict=True))
            for piece, own in zip(pieces, starts, strict=True)
        ]
        counts = [len(own) for _, _, own in places]
        recording_of = np.repeat([k for k, _, _ in places], counts)
        start = np.concatenate([own for _, _, own in places])
        labels = np.repeat(np.array([piece.label for _, piece, _ in places]), counts)
        groups = np.repeat(np.array([piece.group for _, piece, _ in places]), counts)
        parts = [piece.part for _, piece, _ in places]
        taken = Taken(
            what="recording",
            origins=tuple(self._origin(k) for k in range(len(self.streams))),
            origin_of=recording_of,
            starts=start,
            seconds=np.concatenate([self._seconds(*place) for place in places]),
            left_out=left_out,
            notes=(*notes, *self.notes),
            warnings=tuple(self.warnings),
            keeps=keeps,
        )
        if len(self.streams) > 1 and len(classes := {piece.label for _, piece, _ in places}) == 1:
            refuse_one_class(
                f"{self.folder}: without what dataset.leave_out names there is the class "
                f"'{classes.pop()}' alone; leave out fewer."
                if self.left_out
                else f"{self.folder}: all {len(self.streams)} recordings are of the class "
                f"'{classes.pop()}', and there must be at least two; say what names the class: a "
                "folder's level or the file's name (dataset.class_level=0), with a part of it "
                "(dataset.class_part), a column (dataset.label_column), or a table labels.csv in "
                "dataset.path with the columns file and label."
            )
        return make_cases(
            Windows([s.signals for s in self.streams], recording_of, start, self.length),
            labels,
            source=str(self.folder),
            missing="error",
            channel_names=names,
            groups=groups,
            part=None if None in parts else np.repeat(np.array(parts, dtype=np.int8), counts),
            rate=self.rate,
            units=units,
            taken=taken,
        )

    def _seconds(self, k: int, piece: Piece, starts: np.ndarray) -> np.ndarray:
        clock = self.streams[k].clock
        if clock is None or clock.rate is None:
            return np.full(len(starts), np.nan)
        if piece.began is None:
            return clock.seconds[starts]
        assert self.rate is not None
        return piece.began + (starts - piece.start) / self.rate

    def _origin(self, k: int) -> Origin:
        stream, pieces = self.streams[k], self.pieces[k]
        groups = dict.fromkeys(piece.group for piece in pieces)
        clock = stream.clock
        gaps = 0 if clock is None else clock.num_gaps
        return Origin(
            name=stream.source.name,
            classes=self._classes_of(k),
            group=", ".join(groups) if self.blocks is None else counted(len(groups), "block"),
            num_samples=stream.signals.shape[1],
            seconds=None if clock is None or clock.rate is None else float(clock.seconds[-1]),
            rate=None if clock is None else clock.rate,
            num_missing=stream.num_missing,
            num_gaps=gaps,
            num_back=0 if clock is None else clock.num_back,
            copy_of=self.copy_of[k],
            num_unlabelled=self.no_label[k],
        )


def _tidy(rate: float) -> float:
    """A rate without the digits that stamps do not carry."""
    whole = round(rate)
    return float(whole) if whole and abs(rate / whole - 1) < 0.005 else float(f"{rate:.4g}")


def _leaving_out(labels: Sequence[str]) -> str:
    if all(re.fullmatch(r"\w[\w.-]*", label) for label in labels):
        return f"dataset.leave_out=[{','.join(labels)}]"
    quoted = ",".join(f'"{label}"' for label in labels)
    return f"'dataset.leave_out=[{quoted}]'"


def _beats_in(stream: Stream, piece: Piece) -> dict[str, np.ndarray]:
    return {
        label: at[(at >= piece.start) & (at < piece.stop)]
        for label, at in (stream.beats or {}).items()
    }


def _labels(stream: Stream) -> set[str]:
    if stream.beats is not None:
        return set(stream.beats)
    if stream.stretches is not None:
        return {stretch.label for stretch in stream.stretches}
    return {stream.source.class_name or ""} if stream.labels is None else set(stream.labels)


def _pieces(stream: Stream) -> list[Piece]:
    """The stretches of one class, group and part that no cut of the clock goes through."""
    num_samples = stream.signals.shape[1]
    breaks = {0, num_samples, *stream.cuts.tolist()}
    for values in (stream.labels, stream.groups, stream.parts):
        if values is not None:
            breaks |= {k for k in range(1, num_samples) if values[k] != values[k - 1]}
    named = {}
    for stretch in stream.stretches or ():
        breaks |= {stretch.first, stretch.last + 1}
    edges = sorted(breaks)
    for stretch in stream.stretches or ():
        at = bisect_left(edges, stretch.first)
        while edges[at] <= stretch.last:
            named[edges[at]] = stretch.label
            at += 1
    own = stream.source.group or stream.source.name
    pieces = [
        Piece(
            start,
            stop,
            _label_at(stream, start, named),
            own if stream.groups is None else stream.groups[start],
            stream.source.part if stream.parts is None else stream.parts[start],
        )
        for start, stop in pairwise(edges)
    ]
    nobodys = stream.groups is None and stream.source.group is None
    if nobodys and len({piece.part for piece in pieces}) > 1:  # a column cuts the recording itself
        for piece in pieces:
            piece.group = f"{own}, {NAMES[piece.part or 0]}"
    return pieces


def _in_blocks(pieces: Sequence[Piece], count: int) -> list[Piece]:
    """Pieces cut so that those of each class are as many blocks of equal length, each a group."""
    total, passed = Counter[str](), Counter[str]()
    for piece in pieces:
        total[piece.label] += piece.stop - piece.start
    blocks = []
    for piece in pieces:
        start, label = piece.start, piece.label
        while start < piece.stop:
            k = passed[label] * count // total[label]
            end = start - passed[label] - (k + 1) * total[label] // -count  # rounded up
            stop = min(piece.stop, end)
            group = f"{piece.group}, block {k + 1} of {label}"
            blocks.append(replace(piece, start=start, stop=stop, group=group))
            passed[label] += stop - start
            start = stop
    return blocks


def _label_at(stream: Stream, start: int, annotated: dict[int, str]) -> str:
    if stream.stretches is not None:
        return annotated.get(start, "")
    return (stream.source.class_name or "") if stream.labels is None else stream.labels[start]


def _longest_hole(stream: Stream, names: Sequence[str]) -> tuple[int, str, Path]:
    """The longest run of samples without a value, in which channel and file; holes that are all
    about as long are those of a slower sensor."""
    longest, channel = 0, ""
    for name, row in zip(names, stream.signals if stream.num_missing else (), strict=False):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], ~np.isfinite(row), [0]])))
        holes = edges[1::2] - edges[::2]
        most = int(holes.max(initial=0))
        if most > longest and (len(holes) == 1 or most > 2 * np.median(holes)):
            longest, channel = most, name
    return longest, channel, stream.file.path


def _left_out_note(no_label: int, streams: Sequence[Stream]) -> str:
    if all(stream.stretches is None for stream in streams):
        return f"{no_label} rows without a label left out"
    share = no_label / sum(stream.signals.shape[1] for stream in streams)
    return f"{no_label} samples without a label left out ({100 * share:.3g} %)"


def _refuse_missing(folder: Path, streams: Sequence[Stream], names: Sequence[str]) -> None:
    count = sum(stream.num_missing for stream in streams)
    if not count:
        return
    stream = next(stream for stream in streams if stream.num_missing)
    bad = ~np.isfinite(stream.signals)
    sample = int(np.flatnonzero(bad.any(axis=0))[0])
    channel = names[int(np.flatnonzero(bad[:, sample])[0])]
    row = sample if stream.rows is None else int(stream.rows[sample])
    where = "line" if stream.file.path.suffix.lower() not in READERS else "row"
    missing = sum(np.count_nonzero(~np.isfinite(own.signals), axis=1) for own in streams)
    rows = sum(own.signals.shape[1] for own in streams)
    most = [name for name, own in zip(names, missing, strict=True) if 2 * own > rows]
    rest = ",".join(name for name in names if name not in most)
    remedy = "fix the data, or accept them with"
    if most and rest:
        told = f"{', '.join(most)} {'has' if len(most) == 1 else 'have'} no value in most rows"
        remedy = f"{told}: take 'dataset.columns=[{rest}]', or accept them with"
    in_turn = not stream.joined and np.mean((~bad).sum(axis=0) <= 1) > MOST_IN_TURN
    if in_turn and len(names) > 1 and (~bad).mean(axis=1).max() < 1.5 / len(names):
        place = 1 + [*stream.file.table.names].index(names[-1])
        remedy = (
            "each row holds one channel, as they were measured in turn: fill them down, a row for "
            "each of the last's, as where commas stand between by: awk -F, -v OFS=, '{for (i=1; "
            f'i<=NF; i++) if ($i != "") v[i]=$i; n=${place}; for (i=1; i<=NF; i++) $i=v[i]}} '
            'n != ""\' OLD > NEW; or accept them with'
        )
    line = "" if stream.joined else f", {where} {stream.file.table.line(row)}"
    raise InputError(
        f"{folder}: {count} {'value is' if count == 1 else 'values are'} missing, NaN, infinite or "
        f"too large for float32 (3.4e38), the first in {stream.file.path}{line}, column "
        f"'{channel}'; {remedy} dataset.missing=interpolate or "
        "dataset.missing=zero."
    )
