"""What is likely to be a mistake in cases and their split, each in a clause with figures."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raspitrain.data.cases import Cases, bare_name, iterate_blocks
from raspitrain.data.files.time_names import plain_name
from raspitrain.data.split import Split
from raspitrain.errors import InputError, counted

LOOK_BYTES = 32 << 20  # of the cases that are looked at
LOOK_SAMPLES = 1 << 20  # of them, in each channel
FAR = 1000  # times the middle spread, from which a value is no signal
APART = 100  # times, that amplitudes of cases lie apart
LEAST_DIFFERENT = 20  # values of a channel that is no switch
MARK_SHARE = 0.1  # of the samples, from which a value is no mark
MOST_ROWS = 4096
MOST_LABELS = 32  # values of a channel, up to which it may be the label
LABEL_SAMPLES = 64  # of a case, that are looked at for it
LABEL_SHARE = 0.98  # of the cases
LEAST_LABELLED = 10
# What drifts with the weather, the place and the charge, whatever is recorded.
AROUND = re.compile(
    r"(?:.*_)?(?:temp|temperature|humidity|hum|baro(?:meter)?|h_?pa|mbar|air_pressure|altitude|alt"
    r"|lat|lon|lng|latitude|longitude|lux|light|co2|battery|batt|rssi|snr|free_heap|heap|free_mem"
    r"|heading|yaw|azimuth|compass)(?:_.*|\d+)?"
)
OF_MOVES = re.compile(r"acc|gyr|rate|vel|speed|omega")  # as acc_lat and yaw_rate are
LEAST_STEPS = 7  # of a case, from which even ones are no chance
SHARED_SAMPLES = 16  # in a row, from which two cases are said to overlap
SCALED_SAMPLES = 32  # the same of cases that were scaled each
MOST_PAIRS = 64  # of cases that follow each other, which are looked at for that
ALIKE = 1e-7  # of the energy, so far from what they should be: float32 rounds
GRAVITY = {"g": 1.0, "m/s²": 9.80665, "mg": 1000.0}  # what an accelerometer shows of it
NEAR_GRAVITY = (0.8, 1.35)  # times that, in the middle of a case: people who run add to it
MOSTLY = 0.9  # of the cases
FEW_CASES = 2  # in one unit: as few as no chance
QUANTILES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)


@dataclass(frozen=True)
class Channel:
    """What a channel's values are over the cases that were looked at.

    Attributes
    ----------
    low, high : float
        Least and greatest value.
    quantiles : tuple of float
        At `QUANTILES`, of the training part.
    """

    name: str
    unit: str
    low: float
    high: float
    quantiles: tuple[float, ...]


@dataclass(frozen=True)
class Look:
    """What was seen.

    Attributes
    ----------
    num_cases : int
        How many cases were looked at: all, or as many, evenly spread, as take `LOOK_BYTES`.
    channels : tuple of Channel
    warnings : tuple of str
    """

    num_cases: int
    channels: tuple[Channel, ...]
    warnings: tuple[str, ...]


def look_at_cases(cases: Cases, split: Split) -> Look:
    """Look at the cases and say what is likely to be a mistake.

    Raises
    ------
    InputError
        If no channel ever changes in the training part: there is nothing to learn from.
    """
    num_cases, num_channels, length = cases.signals.shape
    parts = np.full(num_cases, 3, dtype=np.int8)
    for number, indices in enumerate((split.train, split.validation, split.test)):
        parts[indices] = number
    used = np.flatnonzero(parts < 3)
    size = np.result_type(cases.signals.dtype, np.float32).itemsize
    most = max(2, min(LOOK_BYTES // (size * num_channels), LOOK_SAMPLES) // length)
    if len(used) > most:
        used = used[np.linspace(0, len(used) - 1, most).astype(np.int64)]
    seen = _read(cases, used)
    train = parts[used] == 0
    warnings = _class_names(cases) + _missing_classes(cases, split)
    channels, warned = _channels(cases, used, seen, train)
    warnings += warned + _mixed_units(cases, used, seen)
    warnings += _overlaps(cases, used, seen, parts) or _scaled_overlaps(cases, parts)
    warnings += _two_labels(cases, used, seen)
    return Look(len(used), channels, tuple(warnings))


def _read(cases: Cases, indices: np.ndarray) -> np.ndarray:
    """(B, C, L), float32 or what it takes to tell a small signal from its offset."""
    _, num_channels, length = cases.signals.shape
    dtype = np.result_type(cases.signals.dtype, np.float32)
    seen = np.empty((len(indices), num_channels, length), dtype=dtype)
    start = 0
    for _, block in iterate_blocks(cases.signals, indices):
        seen[start : start + len(block)] = block
        start += len(block)
    return seen


def _class_names(cases: Cases) -> list[str]:
    alike: dict[str, list[str]] = {}
    for name in cases.class_names:
        alike.setdefault(bare_name(name), []).append(name)
    return [
        f"classes {' and '.join(repr(name) for name in names)} differ only in case, blanks or the "
        "form of a number; if they are one, fix the labels"
        for names in alike.values()
        if len(names) > 1
    ]


def _missing_classes(cases: Cases, split: Split) -> list[str]:
    warnings = []
    for part, indices in (("validation", split.validation), ("test", split.test)):
        counts = np.bincount(cases.labels[indices], minlength=len(cases.class_names))
        absent = [name for name, count in zip(cases.class_names, counts, strict=True) if not count]
        if len(indices) and absent:
            warnings.append(
                f"the {part} part has no case of {_some(absent)} ({len(absent)} of "
                f"{len(cases.class_names)} classes), so that it says nothing about them"
            )
    return warnings


def _channels(
    cases: Cases, used: np.ndarray, seen: np.ndarray, train: np.ndarray
) -> tuple[tuple[Channel, ...], list[str]]:
    channels, warnings = [], []
    units = cases.units or ("",) * len(cases.channel_names)
    constant, apart = [], []
    for c, (name, unit) in enumerate(zip(cases.channel_names, units, strict=True)):
        values = seen[:, c]
        low, high = float(values.min()), float(values.max())
        own = values[train].reshape(-1)
        quantiles = np.quantile(own, QUANTILES)
        channels.append(Channel(name, unit, low, high, tuple(map(float, quantiles))))
        in_training = values[train]
        if in_training.min() == in_training.max():
            constant.append((name, float(own[0]), low != high))
            continue
        warnings += _spikes(name, values, used, own) or _marks(name, own)
        apart += _amplitudes(cases, name, values[train], used[train])
        warnings += _says_class(cases, name, values[train], used[train]) or _level_says_class(
            cases, name, values[train], used[train]
        )
        warnings += _counts(name, values) + _unsigned(name, values)
    warnings += _alike(cases, seen)
    if len(constant) == len(channels):
        raise InputError(
            f"no channel ever changes in the training part ({constant[0][0]} is always "
            f"{constant[0][1]:g}): there is nothing to learn from; look at the data, or choose "
            "other channels."
        )
    if apart:
        _, sentence = max(apart)
        others = len(apart) - 1
        also = f", and so in {counted(others, 'other channel')}" if others else ""
        warnings.append(
            f"{sentence}{also}; look whether all are in one unit; dataset.normalise=both or case "
            "sees small and large ones alike"
        )
    for name, value, moves in constant:
        elsewhere = ", though it does in other parts" if moves else ""
        warnings.append(
            f"channel '{name}' never changes in the training part (always {value:g}){elsewhere}; "
            "leave it out, or look at the sensor"
        )
    return tuple(channels), warnings


def _alike(cases: Cases, seen: np.ndarray) -> list[str]:
    """A word on channels that hold the same values, as where one was written twice."""
    same: dict[bytes, list[str]] = {}
    for c, name in enumerate(cases.channel_names):
        if seen[:, c].min() < seen[:, c].max():
            digest = hashlib.sha256(seen[:, c].tobytes()).digest()
            same.setdefault(digest, []).append(name)
    names = next((own for own in same.values() if len(own) > 1), None)
    if names is None:
        return []
    return [
        f"channels {_some(names)} hold the same values: look whether they were written rightly, "
        "or take one of them with dataset.columns"
    ]


def _spikes(name: str, values: np.ndarray, used: np.ndarray, own: np.ndarray) -> list[str]:
    middle = float(np.median(own))
    away = np.abs(own - own.dtype.type(middle))
    spread = float(np.median(away))
    if spread == 0:  # more than half of the values are the same
        moving = away[away > 0]
        spread = float(np.median(moving)) if 20 * len(moving) > len(own) else 0.0
    if spread == 0:
        return []
    far = np.abs(values - values.dtype.type(middle)) > FAR * spread
    count = int(far.sum())
    if not count:
        return []
    case, sample = (int(k) for k in np.argwhere(far)[0])
    worst = float(values[far][np.argmax(np.abs(values[far]))])
    return [
        f"channel '{name}' has {counted(count, 'value')} more than {FAR} times as "
        f"far from the middle ({middle:.4g}) as half of all are ({spread:.3g}), such as "
        f"{worst:.4g}, the first in case {int(used[case])}, sample {sample}: an error mark or "
        "a spike, which hides the signal once the channel is normalised; empty such cells "
        "(in arrays: NaN) and say dataset.missing=interpolate"
    ]


def _marks(name: str, own: np.ndarray) -> list[str]:
    """A value that occurs again and again, farther from all others than these reach."""
    if len(np.unique(own[:MOST_ROWS])) < LEAST_DIFFERENT:
        return []
    warnings = []
    for sign in (1, -1):
        turned = sign * own
        mark = turned.max()
        rest = turned[turned < mark]
        count = len(own) - len(rest)
        if mark and 1 < count < MARK_SHARE * len(own) and mark - rest.max() > np.ptp(rest):
            low, high = sorted((sign * float(rest.min()), sign * float(rest.max())))
            warnings.append(
                f"channel '{name}' is {sign * float(mark):g} in {count} samples of the training "
                f"cases and {low:g} to {high:g} in all others: an error mark, as it seems; empty "
                "those cells and say dataset.missing=interpolate, or leave those stretches out"
            )
    return warnings


def _amplitudes(
    cases: Cases, name: str, values: np.ndarray, used: np.ndarray
) -> list[tuple[float, str]]:
    """How many times amplitudes of cases lie apart, and in words; nothing where that is little."""
    spreads = values.std(axis=1, dtype=np.float64)
    moving = np.flatnonzero(spreads > 0)
    if len(moving) < 20:
        return []
    order = moving[np.argsort(spreads[moving], kind="stable")]
    few = max(1, len(order) // 40)
    small, large = order[few], order[-1 - few]
    ratio = spreads[large] / spreads[small]
    if ratio <= APART:
        return []
    sentence = (
        f"channel '{name}': amplitudes of cases lie {ratio:.0f} times apart (standard deviation "
        f"{spreads[small]:.3g} in {cases.taken.where(int(used[small]))}, {spreads[large]:.3g} in "
        f"{cases.taken.where(int(used[large]))})"
    )
    return [(float(ratio), sentence)]


def _mixed_units(cases: Cases, used: np.ndarray, seen: np.ndarray) -> list[str]:
    """Three axes that show gravity in one unit here, in another there."""
    warnings = []
    for c in range(len(cases.channel_names) - 2):
        names = cases.channel_names[c : c + 3]
        letters = zip(*map(str.lower, names), strict=False)
        differ = [own for own in letters if len(set(own)) > 1]
        if len(set(map(len, names))) > 1 or [set(own) for own in differ] != [set("xyz")]:
            continue
        with np.errstate(over="ignore"):  # of a mark such as 1e30
            length = np.median(np.sqrt(np.square(seen[:, c : c + 3]).sum(axis=1)), axis=1)
        low, high = NEAR_GRAVITY
        within = {
            unit: np.flatnonzero((length > low * one) & (length < high * one))
            for unit, one in GRAVITY.items()
        }
        found = {unit: own for unit, own in within.items() if len(own) >= FEW_CASES}
        if len(found) < 2 or sum(map(len, found.values())) < MOSTLY * len(length):
            continue
        shown = " and ".join(
            f"{np.median(length[own]):.3g} in {len(own)} cases (such as "
            f"{cases.taken.where(int(used[own[0]]))})"
            for own in found.values()
        )
        warnings.append(
            f"({', '.join(names)}) are as long as {shown}: gravity in {' and in '.join(found)}, as "
            "it seems; bring all files to one unit, or take dataset.normalise=case, which sees "
            "the form alone: else the network may tell units apart"
        )
    return warnings


def _says_class(cases: Cases, name: str, values: np.ndarray, used: np.ndarray) -> list[str]:
    """A channel of a few values, of which the most frequent of a case tells its class."""
    some = values[:, :: max(1, values.shape[1] // LABEL_SAMPLES)]
    if len(used) < LEAST_LABELLED or len(np.unique(some[:LEAST_LABELLED])) > MOST_LABELS:
        return []
    different, codes = np.unique(some, return_inverse=True)
    if len(different) > MOST_LABELS:
        return []
    codes = codes.reshape(some.shape)
    counts = np.stack([(codes == k).sum(axis=1) for k in range(len(different))], axis=1)
    table = np.zeros((len(different), len(cases.class_names)), dtype=np.int64)
    np.add.at(table, (counts.argmax(axis=1), cases.labels[used]), 1)
    told = table.max(axis=1).sum()
    if told < LABEL_SHARE * len(used) or np.count_nonzero(table.sum(axis=0)) < 2:
        return []
    shown = ", ".join(f"{value:g}" for value in different[:5])
    return [
        f"channel '{name}' takes {len(different)} values ({shown}{', …' * (len(different) > 5)}), "
        f"and which it mostly is tells the class of {100 * told / len(used):.0f} % of the training "
        "cases: if it is the label, or known only with it, take the other channels alone"
    ]


def _level_says_class(cases: Cases, name: str, values: np.ndarray, used: np.ndarray) -> list[str]:
    """A channel of the surroundings whose mean in a case tells its class: nearest centroids."""
    labels = cases.labels[used]
    classes = np.unique(labels)
    if AROUND.fullmatch(plain_name(name)) is None or OF_MOVES.search(plain_name(name)):
        return []
    if len(used) < LEAST_LABELLED or len(classes) < 2:
        return []
    levels = values.mean(axis=1, dtype=np.float64)
    centres = np.array([levels[labels == label].mean() for label in classes])
    nearest = classes[np.abs(levels[:, None] - centres).argmin(axis=1)]
    share = float(np.mean(nearest == labels))
    if share < LABEL_SHARE:
        return []
    return [
        f"channel '{name}' is of the surroundings, and its level alone tells the class of "
        f"{100 * share:.0f} % of the training cases: where classes were recorded at other times or "
        "places, these are learnt; leave it out with dataset.columns, if it is not what makes them"
    ]


def _counts(name: str, values: np.ndarray) -> list[str]:
    """A channel that rises evenly all through every case."""
    steps = np.diff(values[:, :LABEL_SAMPLES].astype(np.float64), axis=1)
    step = steps[0, 0] if steps.shape[1] >= LEAST_STEPS else 0.0
    if step <= 0 or not np.allclose(steps, step, rtol=1e-3, atol=0):
        return []
    return [
        f"channel '{name}' rises by {step:g} at each sample of every case, as a counter or a clock "
        "does: take the other channels alone"
    ]


def _unsigned(name: str, values: np.ndarray) -> list[str]:
    """Signed numbers of 16 bits read as unsigned: what goes below 0 comes in from above."""
    if values.min() < 0 or not (0.9 * 2**16 < values.max() < 2**16):
        return []
    own = values.reshape(-1)
    middle = np.mean((own > 2**14) & (own < 3 * 2**14))
    ends = (own[own < 2**14], own[own >= 3 * 2**14])
    if (own != np.floor(own)).any() or middle > 0.01:
        return []
    if any(len(np.unique(end[:MOST_ROWS])) < LEAST_DIFFERENT for end in ends):
        return []
    return [
        f"channel '{name}' jumps between {ends[0].max():g} and {ends[1].min():g} and has nothing "
        "between, as signed numbers of 16 bits do that were read as unsigned: subtract 65536 from "
        "those above 32767"
    ]


def _two_labels(cases: Cases, used: np.ndarray, seen: np.ndarray) -> list[str]:
    """Cases of the same samples under two classes."""
    first_of: dict[bytes, int] = {}
    pairs = []
    for case, samples in zip(used.tolist(), seen, strict=True):
        if len(np.unique(samples[0])) < min(LEAST_DIFFERENT, samples.shape[1] // 2):
            continue  # alike by chance
        first = first_of.setdefault(
            hashlib.blake2b(np.ascontiguousarray(samples).data, digest_size=16).digest(), case
        )
        if cases.labels[first] != cases.labels[case]:
            pairs.append((first, case))
    if not pairs:
        return []
    shown = " and ".join(
        f"{cases.taken.where(case)} ({cases.class_names[cases.labels[case]]})" for case in pairs[0]
    )
    return [
        f"{counted(len(pairs), 'case')} of those that were looked at "
        f"{'has' if len(pairs) == 1 else 'have'} the same samples as another of another class, "
        f"such as {shown}: one label of each two is wrong"
    ]


def _overlaps(cases: Cases, used: np.ndarray, seen: np.ndarray, parts: np.ndarray) -> list[str]:
    """Cases that share samples in a row with one of another part, but for switches, whose levels
    do so by chance."""
    first = seen[:MOST_ROWS].swapaxes(0, 1).reshape(seen.shape[1], -1)
    seen = seen[:, [len(np.unique(values)) >= LEAST_DIFFERENT for values in first]]
    length = seen.shape[2]
    size = min(SHARED_SAMPLES, max(2, length // 2))
    hashes = _hash_runs(seen, size)  # (B, L - size + 1); 0 where nothing changes
    of_train = hashes[parts[used] == 0].reshape(-1)
    of_train = np.unique(of_train[of_train != 0])
    warnings = []
    for part, number in (("validation", 1), ("test", 2)):
        own = np.flatnonzero(parts[used] == number)
        if not len(own) or not len(of_train):
            continue
        ends = hashes[own][:, [0, -1]]
        shares = ((ends != 0) & np.isin(ends, of_train)).any(axis=1)
        count = int(shares.sum())
        if not count:
            continue
        case = int(used[own[int(np.argmax(shares))]])
        remedy = "delete the copies"
        if cases.groups is None and cases.part is None:
            remedy = (
                "windows of one recording, or copies, must stay on one side: name whose each case "
                "is in dataset.groups"
            )
        warnings.append(
            f"{count} of {len(own)} cases of the {part} part that were looked at share {size} or "
            f"more samples in a row with a training case (such as {cases.taken.where(case)}), so "
            f"that the {part} part asks for what was learnt; {remedy}"
        )
    return warnings


def _scaled_overlaps(cases: Cases, parts: np.ndarray) -> list[str]:
    """The same of windows that were each brought to mean 0 and deviation 1, or to a range: cases
    that follow each other, of which the next begins with what ends the one before, but for scale
    and offset, are on two sides."""
    length = cases.signals.shape[2]
    if cases.groups is not None or cases.part is not None or length < 2 * SCALED_SAMPLES:
        return []
    before = np.flatnonzero((parts[:-1] != parts[1:]) & (cases.labels[:-1] == cases.labels[1:]))
    before = before[(parts[before] < 3) & (parts[before + 1] < 3)]
    few = before[np.linspace(0, len(before) - 1, min(len(before), MOST_PAIRS)).astype(np.int64)]
    shifts = {
        k: _shift(*cases.signals[np.array([k, k + 1])].astype(np.float64)) for k in few.tolist()
    }
    found = [(k, shift) for k, shift in shifts.items() if shift]
    if 2 * len(found) < len(few) or not found:
        return []
    case, shift = found[0]
    return [
        f"{len(found)} of {len(few)} cases that were looked at begin with samples of the case "
        f"before, which is on another side of the split, but for scale and offset (such as "
        f"{cases.taken.where(case + 1)}: {length - shift} of {length}): windows of one recording "
        "must stay on one side; name whose each case is in dataset.groups"
    ]


def _shift(before: np.ndarray, after: np.ndarray) -> int:
    """How many samples later a case (C, L) begins than the one before, of which it holds samples,
    each channel in a scale of its own; 0 where it holds none, or several places fit, as of a ramp
    or a wave without noise."""
    fits = np.ones(before.shape[1] - SCALED_SAMPLES + 1, dtype=bool)
    ones = np.ones(SCALED_SAMPLES)
    for own, other in zip(before, after, strict=True):
        own = own - own.mean()
        begin = other[:SCALED_SAMPLES] - other[:SCALED_SAMPLES].mean()
        sums = np.convolve(own, ones, "valid")
        energy = np.convolve(own * own, ones, "valid") - sums * sums / SCALED_SAMPLES
        energy *= begin @ begin
        moves = energy > 1e-9 * energy.max()
        fits &= moves & (np.correlate(own, begin, "valid") ** 2 > (1 - ALIKE) * energy)
    places = np.flatnonzero(fits)
    if len(places) != 1 or not places[0]:
        return 0
    shift = int(places[0])
    alike = [
        np.corrcoef(own[shift:], other[: len(other) - shift])[0, 1]
        for own, other in zip(before, after, strict=True)
    ]
    return shift if min(alike) ** 2 > 1 - ALIKE else 0


def _hash_runs(seen: np.ndarray, size: int) -> np.ndarray:
    """A number for each `size` samples in a row, uint64 (B, L - size + 1); 0 if they are alike."""
    if seen.dtype != np.float32:
        seen = (seen - np.median(seen[:, :, :1], axis=0)).astype(np.float32)
    bits = np.ascontiguousarray(seen).view(np.uint32)
    columns = np.zeros((bits.shape[0], bits.shape[2]), dtype=np.uint64)
    for c in range(bits.shape[1]):
        factor = 0xD1342543DE82EF95 * (c + 1) % 2**64 | 1
        mixed = bits[:, c].astype(np.uint64) * np.uint64(factor)
        columns += mixed ^ (mixed >> np.uint64(29))
    num_runs = columns.shape[1] - size + 1
    runs = np.zeros((len(columns), num_runs), dtype=np.uint64)
    moves = np.zeros((len(columns), num_runs), dtype=bool)
    for k in range(size):
        runs = runs * np.uint64(0x9E3779B97F4A7C15) + columns[:, k : k + num_runs]
        if k:
            moves |= columns[:, k : k + num_runs] != columns[:, k - 1 : k - 1 + num_runs]
    runs |= np.uint64(1)
    return np.where(moves, runs, np.uint64(0))


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:5])
    return shown + (", …" if len(names) > 5 else "")
