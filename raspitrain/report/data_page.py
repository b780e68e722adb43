"""The page of `raspitrain data`: what is taken as data, how it looks, and what is suspicious."""

from collections.abc import Sequence

import numpy as np

from raspitrain.data.cases import Cases
from raspitrain.data.split import Split
from raspitrain.data.summary import DataSummary
from raspitrain.report.data_section import data_section
from raspitrain.report.page import Cell, Html, join, number_cell, page, table, tag

MOST_CLASSES = 12
MOST_CHANNELS = 8
MOST_ORIGINS = 500
MOST_WINDOWS = 64  # that a spectrum is the mean of
MOST_POINTS = 600  # of a line
WIDTH, HEIGHT, LEFT, BELOW = 520, 180, 46, 22
# Told apart on white and on black, and by people who see red and green alike (Okabe and Ito).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c7a00", "#888888")


def data_page(cases: Cases, split: Split, summary: DataSummary) -> str:
    """The page of a data set that a run would take."""
    shown = "; ".join(summary.line.split("; ")[:2])
    return page(
        "raspitrain: data",
        tag("h1", "What is taken as data"),
        tag("p", shown, class_="soft"),
        data_section({"data": summary.record}, origins="listed below"),
        *_signals(cases, split),
        *_spectra(cases, split),
        *_origins(cases),
    )


def refusal_page(sentence: str) -> str:
    """The page of a data set that a run would refuse."""
    return page(
        "raspitrain: data",
        tag("h1", "What is taken as data"),
        tag("p", f"A run would be refused: {sentence}", class_="note"),
    )


def _of_class(cases: Cases, split: Split, label: int) -> np.ndarray:
    return split.train[cases.labels[split.train] == label]


def _signals(cases: Cases, split: Split) -> list[Html]:
    """One window of each class, every channel in a picture with the same scale for all classes."""
    classes = list(enumerate(cases.class_names))[:MOST_CLASSES]
    picked = [int(own[len(own) // 2]) for k, _ in classes if len(own := _of_class(cases, split, k))]
    windows = cases.signals[np.array(picked)].astype(np.float64)
    length = windows.shape[2]
    per = 1 if cases.rate is None else cases.rate
    unit = "samples" if cases.rate is None else "s"
    x = np.arange(length) / per
    charts = []
    for c, name in list(enumerate(cases.channel_names))[:MOST_CHANNELS]:
        lines = [
            (cases.class_names[int(cases.labels[case])], windows[k, c])
            for k, case in enumerate(picked)
        ]
        charts.append(_chart(f"{name}{_in(cases, c)}", x, lines, unit))
    names = ", ".join(f"{cases.class_names[int(cases.labels[case])]}: {cases.taken.where(case)}"
                      for case in picked)  # fmt: skip
    return [
        tag("h2", "A window of each class, as stored"),
        _beside(charts),
        *_more(cases),
        tag("p", names, class_="soft"),
    ]


def _spectra(cases: Cases, split: Split) -> list[Html]:
    """The mean power of each class over frequency: where two lines part, classes can be told."""
    length = cases.signals.shape[2]
    if length < 8:
        return []
    window = np.hanning(length)
    lines: dict[int, list[tuple[str, np.ndarray]]] = {}
    for k, name in list(enumerate(cases.class_names))[:MOST_CLASSES]:
        own = _of_class(cases, split, k)
        if not len(own):
            continue
        some = own[np.linspace(0, len(own) - 1, min(MOST_WINDOWS, len(own))).astype(np.int64)]
        signals = cases.signals[some].astype(np.float64)
        signals -= signals.mean(axis=2, keepdims=True)
        power = (np.abs(np.fft.rfft(signals * window)) ** 2).mean(axis=0)[:, 1:]
        power /= (window**2).sum()
        for c in range(min(power.shape[0], MOST_CHANNELS)):
            level = 10 * np.log10(np.maximum(power[c], power[c].max() * 1e-12 or 1e-30))
            lines.setdefault(c, []).append((name, level))
    frequency = np.arange(1, length // 2 + 1) * (1.0 if cases.rate is None else cases.rate) / length
    unit = "of the sampling rate" if cases.rate is None else "Hz"
    charts = [
        _chart(f"{cases.channel_names[c]}, dB", frequency, own, unit) for c, own in lines.items()
    ]
    return [tag("h2", "Spectra, means over training windows"), _beside(charts)]


def _in(cases: Cases, channel: int) -> str:
    unit = cases.units[channel] if channel < len(cases.units) else ""
    return f", {unit}" if unit else ""


def _more(cases: Cases) -> list[Html]:
    left = len(cases.channel_names) - MOST_CHANNELS
    return [tag("p", f"and {left} more channels", class_="soft")] if left > 0 else []


def _beside(charts: Sequence[Html]) -> Html:
    return tag("div", *charts, class_="pictures")


def _chart(title: str, x: np.ndarray, lines: Sequence[tuple[str, np.ndarray]], unit: str) -> Html:
    """Lines over x as an SVG that goes with the page's colours."""
    finite = np.concatenate([line[np.isfinite(line)] for _, line in lines] or [np.zeros(1)])
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    low, high = (low, high) if high > low else (low - 1, high + 1)
    across = max(float(x[-1] - x[0]), 1e-30)
    every = max(1, len(x) // MOST_POINTS)
    drawn = []
    for k, (_, line) in enumerate(lines):
        right = LEFT + (x[::every] - x[0]) / across * (WIDTH - LEFT - 6)
        down = 6 + (high - np.nan_to_num(line[::every], nan=low)) / (high - low) * HEIGHT
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(right, down, strict=True))
        drawn.append(tag("polyline", points=points, fill="none", stroke_width="1.3",
                         stroke=COLOURS[k % len(COLOURS)]))  # fmt: skip
    bottom = str(HEIGHT + 10)
    base = str(HEIGHT + BELOW + 2)
    axis = tag("path", d=f"M{LEFT} 6V{bottom}H{WIDTH}", fill="none", stroke="currentColor",
               stroke_opacity="0.4")  # fmt: skip
    small = {"fill": "currentColor", "font_size": "12"}
    words = [
        tag("text", f"{high:.3g}", x=str(LEFT - 4), y="14", text_anchor="end", **small),
        tag("text", f"{low:.3g}", x=str(LEFT - 4), y=bottom, text_anchor="end", **small),
        tag("text", f"{x[0]:.3g}", x=str(LEFT), y=base, **small),
        tag("text", f"{x[-1]:.3g} {unit}", x=str(WIDTH), y=base, text_anchor="end", **small),
    ]
    names = ", ".join(name for name, _ in lines)
    picture = tag("svg", *drawn, axis, *words, viewBox=f"0 0 {WIDTH} {HEIGHT + BELOW + 8}",
                  width="100%", role="img", aria_label=f"{title}: {names}")  # fmt: skip
    legend = [
        Html(
            tag("svg", tag("rect", width="12", height="12", fill=COLOURS[k % len(COLOURS)]),
                width="12", height="12", aria_hidden="true")
            + tag("span", f" {name}  ")
        )
        for k, (name, _) in enumerate(lines)
    ]  # fmt: skip
    caption = tag("figcaption", tag("strong", title), " ", *legend)
    return tag("figure", picture, caption)


def _origins(cases: Cases) -> list[Html]:
    origins = cases.taken.origins
    if not origins:
        return []
    rows = [
        [Cell(origin.name), Cell("+".join(origin.classes)), Cell(origin.group),
         number_cell(origin.num_samples, ",d"), number_cell(origin.rate, ".4g"),
         number_cell(origin.num_missing, ",d"), number_cell(origin.num_gaps + origin.num_back, "d"),
         Cell(origin.copy_of)]
        for origin in origins[:MOST_ORIGINS]
    ]  # fmt: skip
    header = [cases.taken.what, "class", "group", "samples", "Hz", "missing", "cuts", "copy of"]
    says_nothing = {
        "group": all(origin.group == origin.name for origin in origins),
        "copy of": not any(origin.copy_of for origin in origins),
    }
    kept = [k for k, name in enumerate(header) if not says_nothing.get(name)]
    header, rows = [header[k] for k in kept], [[row[k] for k in kept] for row in rows]
    more = f": the first {MOST_ORIGINS} of {len(origins)}" if len(origins) > MOST_ORIGINS else ""
    return [tag("h2", f"{cases.taken.what.capitalize()}s{more}"), join([table(header, rows)])]
