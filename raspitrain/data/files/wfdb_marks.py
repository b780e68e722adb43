"""WFDB's annotations in MIT's format, such as 100.atr beside 100.hea, or as rdann lists them, as in
Kaggle's 100annotations.txt; also where numpy is not.

https://physionet.org/physiotools/wag/annot-5.htm says how they are stored, and
https://archive.physionet.org/physiobank/annotations.shtml what the codes mean. The classes "aami"
are those that ANSI/AAMI EC57 puts beats into.
"""

import os
import re
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from raspitrain.errors import InputError, input_error

KINDS = ("beats", "aami", "rhythms")
SUFFIXES = (".atr", ".ecg", ".ari", ".qrs", ".apn")  # the first that a folder holds is taken
SYMBOLS = dict(enumerate(' NLRaVFJASEj/Q~ | sT*D"=pB^t+u?![]en@xf()r'))
BEATS = {code: symbol for code, symbol in SYMBOLS.items() if symbol in "NLRBaVFJASEjrenf/Q"}
AAMI = {
    **dict.fromkeys("NLRBej", "N"), **dict.fromkeys("AaJSn", "S"), **dict.fromkeys("VEr", "V"),
    "F": "F", **dict.fromkeys("/fQ", "Q"),
}  # fmt: skip
CODES = {symbol: code for code, symbol in SYMBOLS.items() if symbol != " "}
NOTE, RHYTHM = 22, 28
LISTED = re.compile(rb"\s*Time\s+Sample #\s+Type\b")
LINE = re.compile(
    r"\s*(?:\[.*?\]|\S+)\s+(?P<sample>\d+)\s+(?P<symbol>\S)(?:\s+-?\d+){3}\s*(?P<text>\S.*)?"
)
SKIP, NUM, SUB, CHN, AUX = 59, 60, 61, 62, 63
RESOLUTION = re.compile(r"## time resolution: *([\d.]+)")
LARGEST = 256 << 20


class Marks(NamedTuple):
    """What a file marks, in order.

    Attributes
    ----------
    times : array of int
        In samples, or of a time resolution of the file's own.
    codes : bytearray
        What each is.
    texts : dict of int to str
        What is written beside some, by their place in the order.
    resolution : float or None
        Of `times`, a second, where the file says it.
    """

    times: "array[int]"
    codes: bytearray
    texts: dict[int, str]
    resolution: float | None


def is_marks(path: Path | str) -> bool:
    """Whether a file is called, or ends, as one of marks does, or lists them."""
    if os.path.splitext(path)[1].lower() == SUFFIXES[0]:
        return os.path.isfile(path)
    try:
        with open(path, "rb") as file:
            if LISTED.match(file.read(1 << 10)):
                return True
            size = file.seek(0, 2)
            file.seek(max(0, size - 2))
            return size > 2 and size % 2 == 0 and file.read(2) == b"\0\0"
    except OSError:
        return False


def read_marks(path: Path | str) -> Marks:
    """Read a file of marks.

    Raises
    ------
    InputError
        It is cut off, of another format, or cannot be read.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise input_error(f"{path} cannot be read: {error.strerror or error}.", error) from None
    if len(content) > LARGEST:
        raise InputError(f"{path} is larger than {LARGEST >> 20} MB, too large for annotations.")
    if LISTED.match(content):
        return _listed(path, content.decode("latin-1"))
    times, codes, texts = array("q"), bytearray(), {}
    now, at, end = 0, 0, len(content) - 1
    resolution = None
    while True:
        if at >= end:
            raise InputError(
                f"{path} is cut off, or no annotations in MIT's format; fetch it again, or do "
                "without annotations with dataset.annotations=false."
            )
        low, high = content[at], content[at + 1]
        code, value = high >> 2, low | (high & 3) << 8
        at += 2
        if code == 0 and value == 0:
            break
        if code == SKIP:
            high_first = content[at + 2 : at + 4] + content[at : at + 2]
            now += int.from_bytes(high_first, "little", signed=True)
            at += 4
        elif code == AUX:
            text = content[at : at + value].decode("latin-1").rstrip("\0").strip()
            if codes and text:
                texts[len(codes) - 1] = text
            if found := RESOLUTION.match(text):
                resolution = float(found[1]) or None
            at += value + (value & 1)
        elif code not in (NUM, SUB, CHN):
            now += value
            times.append(now)
            codes.append(code)
    return Marks(times, codes, texts, resolution)


def _listed(path: Path | str, text: str) -> Marks:
    marks = Marks(array("q"), bytearray(), {}, None)
    for number, line in enumerate(text.splitlines()[1:], 2):
        if not line.strip():
            continue
        found = LINE.fullmatch(line)
        if found is None:
            raise InputError(
                f"{path}, line {number} is none of time, sample, type, sub, chan, num and aux, as "
                f"rdann lists them: {line.strip()[:40]!r}; fix it."
            )
        if beside := (found["text"] or "").strip():
            marks.texts[len(marks.codes)] = beside
        marks.times.append(int(found["sample"]))
        marks.codes.append(CODES.get(found["symbol"], NOTE))
    return marks


def rhythms(marks: Marks) -> list[tuple[float, float | None, str]]:
    """Start, end and name of each rhythm, such as AFIB, in the file's own time; the end of the last
    is that of the recording."""
    places = [
        k for k, text in marks.texts.items() if marks.codes[k] == RHYTHM and text.startswith("(")
    ]
    starts = [float(marks.times[k]) for k in places]
    names = [marks.texts[k].removeprefix("(").strip() for k in places]
    return [*zip(starts, [*starts[1:], None], names, strict=True)] if places else []


def beats(marks: Marks, kind: str) -> dict[str, list[int]]:
    """When beats of each class are, in the file's own time.

    Parameters
    ----------
    kind : {"beats", "aami"}
        Classes as the marks have them, or as AAMI puts them together.
    """
    found: dict[str, list[int]] = {}
    for time, code in zip(marks.times, marks.codes, strict=True):
        if (symbol := BEATS.get(code)) is not None:
            found.setdefault(AAMI[symbol] if kind == "aami" else symbol, []).append(time)
    return found


def settle_kind(files: Iterable[Marks]) -> str | None:
    """What marks say of classes, where nobody has said: beats where there are several kinds of
    them, else rhythms; None where there is neither."""
    symbols: set[int] = set()
    names: set[str] = set()
    for own in files:
        symbols |= {code for code in BEATS if code in own.codes}
        names |= {name for *_, name in rhythms(own)}
    if len(symbols) > 1 or (symbols and len(names) < 2):
        return "beats"
    return "rhythms" if names else None
