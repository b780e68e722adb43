"""Misses against false alarms at every threshold (detection error trade-off), as a table and a
picture."""

import csv
import io
from html import escape
from math import ceil, floor, log10
from typing import NamedTuple

from raspitrain.errors import no_formula

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 400, 60, 160, 30, 50
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f")
HEAD = (
    "class", "threshold", "release", "false_alarms", "hours", "false_alarms_per_hour",
    "at_most_per_hour", "events", "missed", "median_delay_s", "chosen",
)  # fmt: skip


class Point(NamedTuple):
    """A class at a threshold: see `HEAD`."""

    name: str
    threshold: float
    release: float
    false_alarms: int
    hours: float
    at_most: float
    events: int
    missed: int
    delay: float | None
    chosen: bool


def as_table(points: list[Point]) -> str:
    """The text of a CSV."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(HEAD)
    for p in points:
        delay = "" if p.delay is None else f"{p.delay:.6g}"
        rates = (f"{p.hours:.6g}", f"{p.false_alarms / p.hours:.6g}", f"{p.at_most:.6g}")
        row = (p.name, p.threshold, p.release, p.false_alarms, *rates)
        table.writerow(map(no_formula, [*row, p.events, p.missed, delay, int(p.chosen)]))
    return text.getvalue()


def as_picture(points: list[Point], asked: float) -> str:
    """An SVG: a line for each class, a ring at what was chosen, a dashed line at what was asked."""
    seen = [p.false_alarms / p.hours for p in points if p.false_alarms]
    low = floor(log10(min([*seen, asked]))) - 1  # what never happened stands at the left edge
    high = max(ceil(log10(max([*seen, asked]))), low + 2)

    def across(rate: float) -> float:
        exponent = log10(rate) if rate > 0 else low
        return LEFT + (WIDTH - LEFT - RIGHT) * (exponent - low) / (high - low)

    def down(missed: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - missed)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12" fill="#333">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for exponent in range(low, high + 1):
        x = across(10.0**exponent)
        text = "0" if exponent == low else f"{10.0**exponent:g}"
        parts += _line(x, TOP, x, HEIGHT - BOTTOM, "#ddd")
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 32}" text-anchor="middle">{text}</text>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = down(share)
        parts += _line(LEFT, y, WIDTH - RIGHT, y, "#ddd")
        parts.append(
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{100 * share:g} %</text>'
        )
    parts += _line(across(asked), TOP, across(asked), HEIGHT - BOTTOM, "#888", "4 3")
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">false alarms an hour</text>'
    )
    parts.append(f'<text x="6" y="{TOP - 12}">events missed</text>')
    for k, name in enumerate(dict.fromkeys(p.name for p in points)):
        colour, own = COLOURS[k % len(COLOURS)], [p for p in points if p.name == name]
        places = [
            (across(p.false_alarms / p.hours), down(p.missed / p.events), p.chosen) for p in own
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="none" stroke="{colour}" '
            'stroke-width="2"/>'
            for x, y, chosen in places
            if chosen
        ]
        y = TOP + 14 + 18 * k
        parts += _line(WIDTH - RIGHT + 12, y - 4, WIDTH - RIGHT + 30, y - 4, colour)
        shown = name if len(name) <= 16 else f"{name[:15]}…"
        parts.append(f'<text x="{WIDTH - RIGHT + 36}" y="{y}">{escape(shown)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _line(
    x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "none"
) -> list[str]:
    return [
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-dasharray="{dashes}"/>'
    ]
