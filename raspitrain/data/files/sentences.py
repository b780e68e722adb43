"""Numbers among words, as printers and boards log them: each line has the same words.

Stats 100.1: gcodein=0 mcu: mcu_awake=0.010 heater_bed: target=60 temp=60.2
2024-02-01 10:00:00,020 - Recv: ok T:210.1 /210.0 B:60.1 /60.0
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

CLOCK = r"(?:\d{4}-\d\d-\d\d[ T])?\d\d:\d\d:\d\d(?:[.,]\d+)?"
NUMBER = (
    r"(?:(?:(?<![\d.])[-+])?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
    r"|(?<![^\W_])(?:nan|NaN|NAN)(?![^\W_]))"
)
TOKEN = re.compile(rf"(?P<clock>{CLOCK})|{NUMBER}")
A_CLOCK, A_NUMBER = "\0", "\1"
LEAST_LINES = 8
LEAST_SHARE = 0.4  # where each line says when it was written, so that others leave gaps
LEAST_WITHOUT_CLOCK = 0.9


@dataclass(frozen=True)
class Sentence:
    """What the lines of a log have in common.

    Attributes
    ----------
    pattern : re.Pattern
        Of a whole line, with a group for each number.
    names : tuple of str
        The word before each, "time" for a clock.
    clocks : tuple of int
        Which of them are times of day or dates.
    lead : str
        What the line begins with.
    """

    pattern: re.Pattern[str]
    names: tuple[str, ...]
    clocks: tuple[int, ...]
    lead: str

    def cells(self, line: str) -> list[str] | None:
        """The numbers of a line; None where its words are others."""
        found = self.pattern.fullmatch(line.strip())
        return None if found is None else list(found.groups())


def find_sentence(lines: Sequence[str]) -> Sentence | None:
    """The words that most lines have, and two numbers or more among them; None without."""
    forms = Counter(_form(line) for line in lines if line.strip())
    if not forms:
        return None
    form, count = forms.most_common(1)[0]
    tokens = re.findall(f"[{A_CLOCK}{A_NUMBER}]", form)
    lead, *after = re.split(f"[{A_CLOCK}{A_NUMBER}]", form)
    kin = sum(own for other, own in forms.items() if lead and other.startswith(lead))
    alone = A_CLOCK in tokens or (kin > 0 and count >= LEAST_WITHOUT_CLOCK * kin)
    share = LEAST_SHARE if alone else LEAST_WITHOUT_CLOCK
    if (
        len(tokens) < 2
        or A_NUMBER not in tokens
        or not re.search(r"[^\W\d_]|\) ?[(]|\] ?[\[]", form)
    ):
        return None
    if count < max(LEAST_LINES, share * forms.total()):
        return None
    escaped = re.escape(form).replace("\\ ", r"\s+")
    escaped = escaped.replace(re.escape(A_CLOCK), f"({CLOCK})")
    return Sentence(
        re.compile(escaped.replace(re.escape(A_NUMBER), f"({NUMBER})")),
        _names(tokens, [lead, *after]),
        tuple(k for k, token in enumerate(tokens) if token == A_CLOCK),
        lead,
    )


def in_turn(lines: Sequence[str]) -> list[str]:
    """What lines begin with that give a moment together: those of forms without a clock that are as
    frequent, each of two numbers or more; nothing where one form says it all."""
    forms = Counter(_form(line) for line in lines if line.strip())
    most = max(forms.values(), default=0)
    alike = [own for own, count in forms.items() if count >= 0.8 * most and own.count(A_NUMBER) > 1]
    if len(alike) < 2 or most < LEAST_LINES or any(A_CLOCK in own for own in alike):
        return []
    leads = [re.split(f"[{A_NUMBER}:=]", own)[0].strip() for own in alike]
    return leads if all(leads) and len({*leads}) == len(leads) else []


def _form(line: str) -> str:
    return TOKEN.sub(lambda m: A_CLOCK if m["clock"] else A_NUMBER, " ".join(line.split()))


def _names(tokens: Sequence[str], words: Sequence[str]) -> tuple[str, ...]:
    """A name for each number: the last word before it, with a number where that is taken."""
    names: list[str] = []
    name = "channel"
    for token, before in zip(tokens, words, strict=False):
        name = ([name, *re.findall(r"[^\W\d]\w*", before)])[-1]
        names.append("time" if token == A_CLOCK else name)
    return numbered(names)


def numbered(names: Sequence[str]) -> tuple[str, ...]:
    """Names of which each is there once: Y, Y_2, Y_3."""
    found: list[str] = []
    for name in names:
        again = sum(re.sub(r"_\d+$", "", other) == name for other in found)
        found.append(f"{name}_{again + 1}" if name in found else name)
    return tuple(found)
