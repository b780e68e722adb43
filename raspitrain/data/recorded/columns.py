"""What each column of a set of recordings is: a signal, or something that must not be learnt from.

A clock, a counter, the label or the person tells a network the recording that a window comes from,
and a test on other windows of that recording then looks perfect. Columns are judged by their names
and by how they behave in every recording, and what is left out is said.
"""

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raspitrain.data.files.csv_file import MOST_WORDS, Column
from raspitrain.data.files.time_names import is_time_name, plain_name
from raspitrain.data.recorded.parts import part_of
from raspitrain.errors import InputError

LEAST_ROWS = 16  # behaviour is judged from; a few rows may rise or stand still by chance
FEW_VALUES = 32
SELDOM = 0.05  # of the rows
NO_PLAIN_NUMBERS = "words: cells such as"
MOST_BLOCKS = 0.2  # changes a row
LEAST_CLIMBS = 8  # steps ahead without one back: noise goes both ways
PARTS = "says the part, as train and test do"
OTHER_CLOCK = "another clock"
RISES = "rises in every recording, as time or a count does"
FALLS = "falls step by step in every recording, as the charge of a battery does"
BLOCKS = "numbers stretches of a recording, as those of trials do"
FEW_STEPS = 2048  # spread over a column, enough to see that it is no clock
KNOWN_UNIT = re.compile(
    r"m?g|[cm]?m/s2?|m?dps|(rad|deg|°)(/s)?|[munk]?(v|a|w|t|pa|m|s|n|hz)|hpa|m?bar|psi|m?gauss"
    r"|rpm|°?[cfk]|%|lux|lx|dba?|ohm|bpm",
    re.IGNORECASE,
)

LABEL_NAME = re.compile(
    r"(true_|class_|activity_|target_)?(label|labels|class|class_?name|class_?id|activity|activities"
    r"|activity_?(?:id|name|code|label)|target|targets|gesture|ground_?truth|annotation|klasse"
    r"|body_?movement|(?:is_?)?anomal(?:y|ies)|faults?|(?:machine_?)?failures?|change_?points?)"
    r"(_?(?:id|code|name|n|num|number|type))?"
)
MARK_NAME = re.compile(
    r"(?:event|stim|stimulus)?_?(?:markers?|triggers?|stim|stimulus|stimuli|events?)_?\d*"
)
PERSON_NAME = re.compile(
    r"(subject|user|participant|person|patient|volunteer|proband|athlete|sujeto|sujet|persona|teilnehmer|versuchsperson|rider|driver|subj|pid|uid)s?"
    r"(_?(id|no|nr|num|number|name|code))?"
)
COUNT_NAME = re.compile(
    r"(unnamed(_\d+)?|index|idx|id|row(_?(id|no|nr|num|number|index))?|no|nr|seq|seq_?(no|nr|num|number)"
    r"|sequence(_?(no|nr|num|number|id))?|sample(_?(no|nr|num|number|index|id|n))?|counter|count|frame"
    r"|frame_?(no|nr|num|number|id)|tick|ticks|packet(_?(no|nr|num|number|id|counter))?|line"
    r"|logging_?sample(_n)?|record|entry)"
)
ODD_NUMBER = re.compile(
    r"0x[0-9a-f]+|[^\w\[]*[+-]?\d+[.,]?\d*\s*(?:e[+-]?\d+)?\s*[^\d\s].{0,20}|[\[({]\s*[+-]?[\d.].*"
    r"|.*[:=>\])]\s*[+-]?\d*[.,]?\d+\S{0,3}",
    re.I,
)
NUMBER_IN_LIST = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?"
LIST = re.compile(
    rf"[\[(]?\s*(?:{NUMBER_IN_LIST}[\s,;|]+){{7,}}{NUMBER_IN_LIST}\s*[\])]?", re.I
)  # in one cell, as of a burst
TRIAL_NAME = re.compile(
    r"(trial|session|run|rep|repetition|block|take|round|attempt|experiment|exp|lap|cycle|segment)s?"
    r"(_?(id|no|nr|num|number|index))?|(week)?day\w*|week\w*|night\w*"
)
SLOW_NAME = re.compile(
    r"(?:.*_)?(?:temp|temperature|humidity|hum|pressure|altitude|alt|heart_?rate|hr|bpm|spo2|steps|speed"
    r"|lux|light|co2|battery|batt|charge|soc|level)(?:_.*|\d+)?"
)
SENSOR = re.compile(
    r"(?:total|linear|user|body|raw|uncal(?:ibrated)?)?(?:accel(?:erometer|eration)?|acc|gyro(?:scope)?|gyr"
    r"|magnet(?:ometer|ic)?(?:field)?|mag|gravity|orientation|rotation(?:vector)?|attitude|compass"
    r"|barometer|pressure|light|proximity|location|gps|ori|euler(?:angles)?|quat(?:ernions?)?"
    r"|heart_?rate|hr|ppg|bvp|ecg|eeg|emg|eog|eda|gsr"
    r"|temp(?:erature)?|humidity|microphone|pedometer|ibi|spo2|resp(?:iration)?)s?(?:uncalibrated)?",
    re.I,
)
TALLY_NAME = re.compile(r"(?:.*_)?(?:steps?|distance|calories|floors)(?:_.*|\d+)?")
CLOCK_NAME = re.compile(r".*_(?:time|timestamp|ts|stamp|clock|millis|micros)|.*timestamp.*")
PART_NAME = re.compile(
    r"(strat(ified)?_?|cv_?|k_?|data_?|train_test_?)?(split|part|fold|set|subset|partition)s?"
    r"(_?(id|no|nr|num|number|name))?|usage|is_(train|test|training)"
)


@dataclass(frozen=True)
class Facts:
    """How one column behaves in one recording.

    Attributes
    ----------
    kind : str
        As of `Column`.
    num_rows, num_missing : int
    constant : bool
        Whether all values that are there are the same.
    first : float or str
        The first value.
    rises : bool
        Whether it never goes back, and moves on throughout.
    counts : bool
        Whether it goes up by one step, perhaps to begin anew at the end of its range.
    steady : bool
        Whether it is constant wherever the label is, and has several values.
    seamed : bool
        Whether it changes only where other people's rows begin or a clock goes back.
    values : tuple of float
        The different ones, where they are few, whole and change seldom.
    wavers : bool
        Whether it changes as often as a signal does and has many values.
    busy : bool
        Whether it does so in whole numbers, up as well as down, as counts of movement do.
    moves : float
        The share of rows in which it changes.
    even : bool
        Whether nearly all steps ahead are alike.
    unit_step : bool
        Whether it goes up by 1.
    low, high : float
        Least and greatest value.
    blocks : int
        How many whole values, or words with a number, it has, each in one stretch, as the numbers
        of trials are; 0 if not.
    falls : bool
        Whether these fall.
    climbs : bool
        Whether it only goes up, however seldom, and does so several times.
    follows : bool
        Whether it changes where the label does, or a little earlier or later.
    odd : str
        A cell of a column of words that is a number and something else, where most are so.
    """

    kind: str
    num_rows: int
    num_missing: int
    constant: bool
    first: float | str
    rises: bool = False
    counts: bool = False
    steady: bool = False
    seamed: bool = False
    values: tuple[float, ...] = ()
    wavers: bool = False
    busy: bool = False
    moves: float = 0.0
    even: bool = False
    unit_step: bool = False
    low: float = float("nan")
    high: float = float("nan")
    blocks: int = 0
    falls: bool = False
    climbs: bool = False
    follows: bool = False
    odd: str = ""


def look_at(column: Column, label_changes: np.ndarray, seams: np.ndarray) -> Facts:
    """See how a column behaves.

    Parameters
    ----------
    label_changes : np.ndarray
        Rows at which the label changes; empty where it does not, or there is none.
    seams : np.ndarray
        Rows at which other people's begin, or a clock goes back.
    """
    if column.kind == "text":
        constant = bool((column.values == column.values[0]).all())
        first = column.words[column.values[0]] if column.values[0] < len(column.words) else ""
        return Facts(
            "text", len(column.values), 0, constant, first, odd=_odd_number(column.words),
            blocks=_blocks_of_words(column),
        )  # fmt: skip
    values = column.values
    known = np.isfinite(values)
    num_missing = len(values) - int(known.sum())
    if num_missing:
        kept = values[known]
        if not len(kept):
            kind = column.kind if column.wrong is None else "text"  # words, below empty cells
            return Facts(kind, len(values), num_missing, True, float("nan"))
    else:
        kept = values
    first = float(kept[0])
    steps = np.diff(kept)
    moves = steps != 0
    num_moves = int(np.count_nonzero(moves))
    if not num_moves:
        return Facts(column.kind, len(values), num_missing, True, first)
    ahead = steps[steps > 0]
    low, high = float(kept.min()), float(kept.max())
    num_forward, even = len(ahead), _even(ahead)
    seldom = num_moves <= SELDOM * len(steps)
    changed = np.flatnonzero(moves) + 1 if seldom else np.empty(0, np.int64)
    return Facts(
        kind=column.kind,
        num_rows=len(values),
        num_missing=num_missing,
        constant=False,
        first=first,
        rises=_rises(steps, num_moves, num_forward),
        counts=_counts(steps, ahead, num_moves - num_forward, high - low),
        seamed=seldom and _changes_with(changed, seams, num_missing),
        steady=seldom and _changes_with(changed, label_changes, num_missing),
        values=_few_values(kept) if seldom else (),
        blocks=_blocks(kept, steps, num_moves, num_forward),
        falls=num_forward == 0,
        climbs=num_forward == num_moves >= LEAST_CLIMBS,
        follows=seldom and _follows(np.flatnonzero(moves) + 1, label_changes, num_missing),
        wavers=len(values) >= LEAST_ROWS and num_moves > 0.2 * len(steps) and not are_whole(kept),
        busy=num_moves > 0.2 * len(steps)
        and 0.2 < num_forward / num_moves < 0.8
        and len(np.unique(kept[:FEW_STEPS])) > FEW_VALUES,
        moves=num_moves / len(steps),
        even=even,
        unit_step=even and float(np.median(ahead)) == 1 and are_whole(kept),
        low=low,
        high=high,
    )


def are_whole(values: np.ndarray) -> bool:
    """Whether all are whole numbers; the first tell of nearly every signal."""
    some = values[:FEW_STEPS]
    return bool((some == np.floor(some)).all() and (values == np.floor(values)).all())


def _odd_number(words: Sequence[str]) -> str:
    """A cell such as 0.12 g, 0x1F or [0.1, 0.2], if most different ones are of that kind."""
    some = [word for word in words[:FEW_STEPS] if word]
    odd = [word for word in some if ODD_NUMBER.fullmatch(word[:200])]
    return odd[0] if len(odd) > max(FEW_VALUES, len(some) / 2) else ""


def _even(ahead: np.ndarray) -> bool:
    if not len(ahead):
        return False
    some = ahead[:: max(1, len(ahead) // FEW_STEPS)]
    if len(some) < len(ahead) and _share_alike(some, 0.5) < 0.7:
        return False  # a signal, as nearly all columns are: nine tenths of all cannot be alike
    return _share_alike(ahead, 0.5) > 0.9


def _share_alike(ahead: np.ndarray, within: float) -> float:
    """The share of steps that are the usual one, but for that part of it."""
    middle = len(ahead) // 2, (len(ahead) - 1) // 2
    ordered = np.partition(ahead, middle)
    usual = float(ordered[middle[0]] + ordered[middle[1]]) / 2  # np.median takes ten times as long
    return float(np.count_nonzero(np.abs(ahead - usual) <= within * usual)) / len(ahead)


def _rises(steps: np.ndarray, num_moves: int, num_forward: int) -> bool:
    """A clock may stand still while a packet lasts, and be set back once in a while."""
    if len(steps) < LEAST_ROWS - 1 or num_moves < max(LEAST_CLIMBS, SELDOM * len(steps)):
        return False
    num_back = num_moves - num_forward
    if num_back == 0 or num_forward == 0:
        return True
    # Set back: a jump, where all the steps ahead are alike.
    if num_back > 0.01 * len(steps) + 1:
        return False
    return _even(steps[steps > 0])


def _counts(steps: np.ndarray, ahead: np.ndarray, num_back: int, height: float) -> bool:
    if len(steps) < LEAST_ROWS - 1 or not len(ahead):
        return False
    if num_back == 0 and len(ahead) == len(steps):
        return bool((steps == steps[0]).all())
    # A saw tooth: alike steps ahead, and each step back falls from near the top to near the bottom.
    if num_back > 0.5 * len(steps) or len(ahead) + num_back < 0.5 * len(steps):
        return False
    if height == ahead[0] == 1:
        return False  # a level that changes in each row
    for some in (steps[:FEW_STEPS], steps):  # the first tell of nearly every signal
        if not (-some[some < 0] >= 0.8 * height).all():
            return False
    return _share_alike(ahead, 1e-6) >= 0.9


def _changes_with(changes: np.ndarray, label_changes: np.ndarray, num_missing: int) -> bool:
    return num_missing == 0 and len(changes) > 0 and bool(np.isin(changes, label_changes).all())


def _blocks_of_words(column: Column) -> int:
    num_runs = 1 + int(np.count_nonzero(column.values[1:] != column.values[:-1]))
    if num_runs > 1 + MOST_BLOCKS * len(column.values) or num_runs != len(column.words):
        return 0
    return num_runs if all(re.search(r"\d", word) for word in column.words) else 0


def _blocks(kept: np.ndarray, steps: np.ndarray, num_moves: int, num_forward: int) -> int:
    if num_moves > MOST_BLOCKS * len(steps) or num_forward not in (0, num_moves):
        return 0
    lasts = np.diff(np.flatnonzero(steps))
    if len(lasts) >= LEAST_ROWS and np.ptp(lasts) == 1:
        return 0  # a slower clock, such as frames of a camera: its steps are even but for a row
    return num_moves + 1 if are_whole(kept) else 0


def _follows(changes: np.ndarray, label_changes: np.ndarray, num_missing: int) -> bool:
    """About as many changes as the label has, each within a quarter of a stretch of one."""
    if num_missing or len(label_changes) < 3 or not 2 * len(changes) >= len(label_changes):
        return False
    near = 0.25 * float(np.median(np.diff(label_changes)))
    after = np.searchsorted(label_changes, changes).clip(1, len(label_changes) - 1)
    apart = np.minimum(
        np.abs(label_changes[after - 1] - changes), np.abs(label_changes[after] - changes)
    )
    return len(changes) <= 1.2 * len(label_changes) and float(np.mean(apart <= near)) > 0.8


def _few_values(kept: np.ndarray) -> tuple[float, ...]:
    if not (kept == np.floor(kept)).all():
        return ()
    different = set(kept[np.concatenate([[0], np.flatnonzero(np.diff(kept)) + 1])].tolist())
    return tuple(sorted(different)) if len(different) <= FEW_VALUES else ()


def is_list(words: Sequence[str]) -> bool:
    """Whether cells are lists of numbers."""
    some = [word for word in words[:FEW_VALUES] if word]
    return bool(some) and all(LIST.fullmatch(word) for word in some)


def lists_of(file: Path, column: Column, *, fill: bool = False) -> np.ndarray:
    """float64 (N, L): the lists of numbers in the cells of a column; with `fill` shorter ones end
    with NaN, and otherwise they are refused."""
    if len(column.words) >= MOST_WORDS:
        raise InputError(
            f"{file}, column '{column.name}' holds more than {MOST_WORDS} lists of numbers, too "
            "many for one file: cut it into several (split -l 9000)."
        )
    lists = [[float(cell) for cell in re.findall(NUMBER_IN_LIST, w, re.I)] for w in column.words]
    if fill:
        longest = max(map(len, lists))
        lists = [own + [np.nan] * (longest - len(own)) for own in lists]
    usual = Counter(map(len, lists)).most_common(1)[0][0]
    for word, own in zip(column.words, lists, strict=True):
        if len(own) != usual:
            raise InputError(
                f"{file}, column '{column.name}': a list has {len(own)} numbers ({word[:30]}), and "
                f"most have {usual}; all must have as many."
            )
    return np.array(lists)[column.values]


def is_clock_name(name: str) -> bool:
    return is_time_name(name) or CLOCK_NAME.fullmatch(plain_name(name)) is not None


def is_count_name(name: str) -> bool:
    return COUNT_NAME.fullmatch(plain_name(name)) is not None


def is_frame_name(name: str) -> bool:
    """Whether a column is called as numbers of samples are; ticks and an index may be a clock's."""
    return is_count_name(name) and plain_name(name).startswith(
        ("frame", "sample", "packet", "row", "seq", "line")
    )


def is_part_name(name: str) -> bool:
    return PART_NAME.fullmatch(plain_name(name)) is not None


def is_person_name(name: str) -> bool:
    return PERSON_NAME.fullmatch(plain_name(name)) is not None


def is_trial_name(name: str) -> bool:
    return TRIAL_NAME.fullmatch(plain_name(name)) is not None


def unused_columns(
    left_out: Sequence[tuple[str, str]], has_groups: bool, *, has_part: bool
) -> list[str]:
    """A word on columns that say whose the rows are, or of which part or stretch they are.

    Parameters
    ----------
    has_groups, has_part : bool
        Whether something is used that says whose the rows are, and a column that says the part.
    """
    warnings = []
    for name, why in left_out:
        key = shlex.quote(f"dataset.group_column={name}")
        part_key = shlex.quote(f"dataset.part_column={name}")
        if why == PARTS and not has_part:
            warnings.append(
                f"column '{name}' {PARTS}, and is not used: {part_key} takes it as the split"
            )
        elif has_groups or why == PARTS:
            continue
        elif why == BLOCKS:
            warnings.append(
                f"column '{name}' {BLOCKS}, and windows reach across them; {key} cuts there and "
                "keeps each of them on one side of the split"
            )
        elif is_person_name(name) and why == "person":
            warnings.append(
                f"column '{name}' says whose the rows are; keep each person on one side of the "
                f"split with {key}"
            )
        elif is_part_name(name) and not has_part:
            warnings.append(
                f"column '{name}' is called as a split or its folds are, and is not used: {key} "
                f"keeps each of its values on one side, and {part_key} takes 0, 1 and 2 as train, "
                "validation and test"
            )
    return warnings


def judge(
    name: str, facts: Sequence[Facts], classes: Sequence[frozenset[str]], *, has_labels: bool
) -> str | None:
    """Why a column is no signal; None where it may be one.

    Parameters
    ----------
    facts : sequence of Facts
        Of the column in every recording.
    classes : sequence of frozenset of str
        The classes of every recording.
    has_labels : bool
        Whether a column names the class, so that it may change within a recording.
    """
    plain = plain_name(name)
    if any(fact.kind == "time" for fact in facts):
        return "time"
    if is_time_name(name):
        if any(fact.wavers and not fact.rises and not fact.counts for fact in facts):
            return "named like time, though it does not rise"
        return "time"
    words = [fact for fact in facts if fact.kind == "text"]
    if words and all(f.kind == "text" or f.num_missing == f.num_rows for f in facts):
        facts = words
        for pattern, what in ((LABEL_NAME, "label"), (PERSON_NAME, "person")):
            if pattern.fullmatch(plain):
                return what
        if PART_NAME.fullmatch(plain) and all(part_of(str(f.first)) is not None for f in facts):
            return PARTS
        if max(f.blocks for f in facts) > 2 and all(f.constant or f.blocks for f in facts):
            return BLOCKS
        if odd := next((fact.odd for fact in facts if fact.odd), ""):
            return f"{NO_PLAIN_NUMBERS} '{odd[:20]}{'…' if len(odd) > 20 else ''}'"
        return "words"
    if words:
        return None  # refused where its cells are read as numbers
    if all(fact.num_missing == fact.num_rows for fact in facts):
        return "empty"
    looked = [
        (fact, own)
        for fact, own in zip(facts, classes, strict=True)
        if fact.num_rows >= LEAST_ROWS and fact.num_missing < fact.num_rows
    ]
    if not looked:
        return "number of the row" if COUNT_NAME.fullmatch(plain) else None
    only = [fact for fact, _ in looked]
    if max(fact.blocks for fact in only) > 2 and all(f.constant or f.blocks for f in only):
        if has_labels and all(fact.constant or fact.steady for fact in only):
            return "changes only where the label does"
        packets = all(f.constant or f.num_rows < LEAST_ROWS * f.blocks for f in only)
        if COUNT_NAME.fullmatch(plain) or (packets and not TRIAL_NAME.fullmatch(plain)):
            return "counts the samples"
        if all(fact.constant or fact.falls for fact in only):
            return FALLS
        if not SLOW_NAME.fullmatch(plain):
            return BLOCKS
    # No signal ever does either; a clock may fail to in a recording or two.
    if CLOCK_NAME.fullmatch(plain) and all(fact.rises or fact.counts for fact in only):
        return OTHER_CLOCK
    if 2 * sum(fact.counts for fact in only) >= len(only):
        return "counts the samples"
    if 2 * sum(fact.rises or fact.counts for fact in only) >= len(only):
        return RISES
    if all(fact.constant for fact in only):
        return _judge_constant(plain, looked)
    tally = 2 * sum(fact.climbs for fact in only) >= len(only) or TALLY_NAME.fullmatch(plain)
    if tally and all(fact.climbs or fact.constant for fact in only):
        return RISES
    if has_labels and all(fact.constant or fact.steady for fact in only):
        return "changes only where the label does"
    if has_labels and all(fact.constant or fact.steady or fact.follows for fact in only):
        return "changes about where the label does"
    if all(fact.constant or (fact.seamed and fact.values) for fact in only):
        return BLOCKS
    if MARK_NAME.fullmatch(plain) and all(fact.constant or fact.values for fact in only):
        return "marks moments, as of what was shown"
    # Of an actigraph; and user% is of a processor.
    counts_moves = (plain == "activity" and any(fact.busy for fact in only)) or "%" in name
    for pattern, what in ((LABEL_NAME, "label"), (PERSON_NAME, "person"), (PART_NAME, "part")):
        if pattern.fullmatch(plain) and not (counts_moves or any(fact.wavers for fact in only)):
            return what
    if TRIAL_NAME.fullmatch(plain) and all(fact.constant or fact.values for fact in only):
        return BLOCKS
    if not has_labels and _tells_the_class(looked):
        return "its values differ by class, as a label's do"
    return None


def _judge_constant(plain: str, looked: Sequence[tuple[Facts, frozenset[str]]]) -> str:
    values = {fact.first for fact, _ in looked}
    if len(values) == 1:
        return "never changes"
    by_class: dict[frozenset[str], set[float | str]] = {}
    for fact, own in looked:
        by_class.setdefault(own, set()).add(fact.first)
    if len(by_class) > 1 and all(len(own) == 1 for own in by_class.values()):
        return "constant in each recording and another in each class, as a label is"
    if PERSON_NAME.fullmatch(plain):
        return "person"
    return "constant in each recording, as the number of a person or device is"


def _tells_the_class(looked: Sequence[tuple[Facts, frozenset[str]]]) -> bool:
    """Whether few whole values that seldom change stand for one class each, beside common ones."""
    by_class: dict[frozenset[str], set[float]] = {}
    for fact, own in looked:
        values = {float(fact.first)} if fact.constant else set(fact.values)
        if not values:
            return False
        by_class.setdefault(own, set()).update(values)
    if len(by_class) < 2:
        return False
    common = set.intersection(*by_class.values())
    left = [values - common for values in by_class.values()]
    alone = sum(map(len, left)) == len(set().union(*left))
    return alone and sum(bool(values) for values in left) >= len(left) - 1


def unit_of(column: Column) -> str:
    """What a row of units says, or the brackets in its name; "" if unknown."""
    inside = re.findall(r"[(\[]\s*([^()\[\]]*(?:\([^()]*\))?[^()\[\]]*?)\s*[)\]]\s*$", column.name)
    return column.unit or next((text for text in inside if not text.isdigit()), "")


def sure_unit_of(column: Column) -> str:
    """The same where it is no guess: brackets may hold another word."""
    unit = unit_of(column)
    return unit if column.unit or KNOWN_UNIT.fullmatch(plain_unit(unit)) else ""


def plain_unit(unit: str) -> str:
    """One writing of a unit: m/s² and m / s^2 are the same, mV and MV are not."""
    plain = re.sub(r"[\s*^{}]", "", unit.replace("²", "2").replace("µ", "u").replace("μ", "u"))
    return re.sub(r"/s/s$", "/s2", plain.replace("s-2", "/s2").replace("·", ""))
