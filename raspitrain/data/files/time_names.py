"""How a column of time is called, and its unit; also where numpy is not."""

import re
from functools import lru_cache

LONGEST_NAME = 200  # of a column of time
MOST_FALLS = 0.1  # of its rows, where it is a clock
TIME_NAME = re.compile(
    r"""(.*timestamp.*|.*datetime.*|.*time_since.*|.*since_(?:start|reboot|boot).*|.*epoch.*
        |(?:.*_)?(?:[a-z]+ed|sent|taken)_at
        |(logging|sample|system|sensor|device|unix|local|utc|gps|elapsed|relative|real|recording)?_?
        (time|date|clock|seconds|millis|milliseconds|micros|microseconds|nanos|epoc|elapsed|uptime|t|ts
        |zeit|datum|uhrzeit|zeitstempel|temps|heure|tiempo|fecha|hora|tempo)
        _?(s|sec|seconds|ms|msec|millis|us|ns|utc|iso|unix|local|elapsed|txt|of_day)?
        |year|month|day|hours?|minutes?|seconds?|ms|ns|hh|yyyy_mo_dd_hh_mi_ss_sss
        |(?:.*stamp_)?(?:m|u|n|milli|micro|nano)?secs?|milliseconds?)""",
    re.VERBOSE,
)
STEP_NAME = re.compile(
    r"""(?:d_?t|d_?time|(?:delta|diff)_?(?:t|time|ts|timestamp|s|ms|us|ns|sec|seconds|millis|micros)
        |(?:t|time|timestamp)_?(?:delta|diff|step)
        |(?:sampl(?:e|ing)|loop)_?(?:interval|period|time))
        (?:_(?:s|sec|seconds|ms|msec|millis|us|usec|micros|ns|nanos))?
        |(?:.*_)?since_(?:last|prev(?:ious)?)
        (?:_(?:sample|row|reading|measurement|message|packet|frame|line|call|update))?
        (?:_(?:s|sec|ms|us|ns))?""",
    re.VERBOSE,
)  # from one sample to the next
SECONDS = {
    "d": 86_400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "100ns": 1e-7,
    "ns": 1e-9,
}  # fmt: skip
WORDS = {
    "d": "d|day|days",
    "h": "h|hour|hours|hr|hrs|stunden",
    "min": "min|minute|minutes|minuten",
    "s": "s|sec|secs|second|seconds|sekunden",
    "ms": "ms|msec|msecs|milli|millis|millisecond|milliseconds|millisekunden",
    "us": "us|µs|μs|usec|usecs|micro|micros|microsecond|microseconds",
    "100ns": "100ns",
    "ns": "ns|nsec|nsecs|nano|nanos|nanosecond|nanoseconds",
}
UNITS = {word: unit for unit, words in WORDS.items() for word in words.split("|")}


@lru_cache(maxsize=4096)
def is_time_name(name: str) -> bool:
    """Whether a column is called as time is."""
    if name == "T" or len(name) > LONGEST_NAME:  # T is temperature, more likely
        return False
    plain = plain_name(name)
    return any(
        TIME_NAME.fullmatch(form) for form in (plain, plain.replace("date_time", "datetime"))
    )


def is_step_name(name: str) -> bool:
    """Whether a column is called as the time from one sample to the next is; dT is a difference of
    temperatures, more likely."""
    if name.endswith("T") or len(name) > LONGEST_NAME:
        return False
    return STEP_NAME.fullmatch(plain_name(re.sub("[Δδ∆]", "delta ", name))) is not None


@lru_cache(maxsize=4096)  # asked thousands of times of the same columns
def plain_name(name: str) -> str:
    """A name in lower case, without units, words joined by _."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", name[:LONGEST_NAME])
    bare = re.sub(r"\(.*?\)|\[.*?\]", " ", name.lower())
    return re.sub(r"[^a-z0-9]+", "_", bare).strip("_")


def unit_by_name(name: str, unit: str) -> str | None:
    """The unit that a column of time names, in brackets, as its last word, or in a row of units."""
    if (own := UNITS.get(unit.strip().lower())) is not None:
        return own
    lower = name.lower()
    for inside in re.findall(r"[(\[]\s*([^)\]]*?)\s*[)\]]", lower):
        if inside in UNITS:
            return UNITS[inside]
    words = re.findall(r"[a-zµμ]+", lower)
    for word in reversed(words):
        if word in UNITS:
            return UNITS[word]
        for ending in ("millis", "micros", "seconds", "nanos"):
            if word.endswith(ending) and word != ending:
                return UNITS[ending]
    return None
