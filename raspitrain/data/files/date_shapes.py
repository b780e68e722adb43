"""Which cells are dates and times of day, by their shape; also where numpy is not."""

import re
from collections.abc import Sequence

LONGEST = 80  # characters
AROUND = " \t\r\n'"  # what a cell may have around it

# Of a cell with every digit written as 0.
SHAPE = re.compile(
    r"""(?:(?P<elapsed>0+)\ days?\ )?  # of pandas
        (?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\ )?
        (?:(?P<year>0000)[-/.](?P<month>00?)[-/.](?P<day>00?)     # 2024-05-01
        |(?P<first>00?)(?P<sign>[-/.])(?P<second>00?)[-/.](?P<end>0000|00)  # 1.5.2024, 5/1/2024
        |(?P<near>00?)[- ](?P<word>[A-Za-z]{3})[a-z]*\.?[- ,]+(?P<last>0000)  # 01-May-2024
        |(?P<begins>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\ {1,2}
            (?P<next>00?)(?:,?\ (?P<then>0000))?(?=\ |$)  # May 1 2024, May 1 10:00:00 2024
        |(?P<packed>00000000)(?=[T_ ]))?                              # 20240501T100000
        [T,;_\ ]*
        (?:(?P<lone>00?):(?P<ticks>00)[.,](?P<mills>0|0{3,9})              # 0:01.250, 59:50.1
        |(?P<hour>00?)[:.](?P<minute>00|0(?=:0))                           # 9:5:3 of boards
            (?:[:.](?P<seconds>00|(?<=:)0(?!0))(?:[.,:](?P<fraction>0+))?)?
        |(?<=[T_ ])(?P<together>000000)(?:[.,](?P<rest>0+))?)?
        \s*(?P<half>[AaPp]\.?[Mm]\.?)?
        \s*(?P<zone>Z|(?:UTC|GMT)?[+-]00:?(?:00)?|UTC|GMT)?
        (?:\ (?P<final>0000))?                     # of Python's time.ctime
        (?:\[[A-Za-z_/+-]+0*\]|\ \([A-Za-z ]+\))?""",  # the place, of Java and of JavaScript
    re.VERBOSE | re.IGNORECASE,
)


def is_time(cell: str) -> bool:
    """Whether a cell is a date, a time of day, or both."""
    found = match_shape(cell.strip(AROUND))
    return found is not None


def match_shape(cell: str) -> re.Match[str] | None:
    if not 5 <= len(cell) <= LONGEST or not cell.isascii():
        return None
    found = SHAPE.fullmatch(re.sub(r"\d", "0", cell))
    if found is None:
        return None
    if bool(found["begins"]) != (bool(found["then"]) + bool(found["final"]) == 1):
        return None  # a month and no year, or a year and no month
    has_date = any(found[name] for name in ("year", "end", "word", "begins", "packed"))
    if found["sign"] == "." and found["end"] == "00" and not found["hour"]:
        return None  # 10.11.12 may be a version
    has_time = found["seconds"] or found["lone"] or (found["hour"] and ":" in cell)
    return found if has_date or has_time else None


def day_first(cells: Sequence[str]) -> tuple[bool | None, bool]:
    """Whether 1/5/2024 is the first of May, None where no date is written so; and whether a day
    above 12 tells that, or else only the sign, as it is mostly used."""
    sign = ""
    for cell in cells:
        found = match_shape(cell.strip(AROUND))
        if found is None or not found["end"]:
            continue
        sign = found["sign"]
        first, second = (
            int(cell.strip(AROUND)[slice(*found.span(k))]) for k in ("first", "second")
        )
        if first > 12 or second > 12:
            return first > 12, True
    return (sign != "/" if sign else None), not sign
