"""sweep.png and pareto.png: narrow and in large type, for a phone too.

One swept key is drawn as a curve, or as bars where its values are words; two as heat maps; of more
the two that explain most, with a panel for each combination of the others. What cannot be a table,
as in a search that tries other values each time, is drawn as dots.
"""

import itertools
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raspitrain.report.answer import Answer, Setting, best_of, repeated
from raspitrain.report.axes import (
    by_importance,
    fills_a_grid,
    is_logarithmic,
    is_numeric,
    setting_name,
    short_names,
    values_along,
    varied,
)
from raspitrain.report.jobs import SweepReport
from raspitrain.report.plots import FAINT, INK, SHARP, WIDTH, figure_to, logarithmic, printable
from raspitrain.results.figures import FIGURE, Figure
from raspitrain.results.values import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_PANELS = 6  # combinations of the other keys; more are folded to the best of each cell
MOST_ROWS = 30  # of all panels of a measure together
BEST = "#d55e00"
DOT = "#0b5394"
MAP = "cividis"  # the same to readers with and without colour blindness; bright is good
LONG_WORD = 8  # letters: longer values stand at the side of a heat map, not below it


def measures(task: str, accuracy: str | None) -> list[Figure]:
    """What is drawn of a sweep, the first first."""
    speed = FIGURE["samples_per_second"]
    if task == "throughput":
        return [speed, FIGURE["peak_memory_mb"]]
    return [speed] if accuracy is None else [FIGURE[accuracy], speed]


def _best(figure: Figure, settings: Sequence[Setting]) -> Setting | None:
    """The one that the answers name too, where these are all."""
    return best_of(settings, figure.key, more_is_better=figure.better > 0)


def _words(figure: Figure, value: float, spread: float | None = None) -> str:
    """A value in the figure's unit, and its deviation with as many digits; of a large one three."""
    digits = 1 if figure.unit == "%" else 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    shown = f"{value:,.{digits}f}"
    return shown if not spread else f"{shown} ± {spread:,.{digits}f}"


def _end_at_100(axis: Any, figure: Figure) -> None:
    """No mark beyond what an accuracy can be, where the axis has room for words."""
    from matplotlib.ticker import FixedLocator

    if figure.unit == "%":
        axis.set_major_locator(FixedLocator([t for t in axis.get_majorticklocs() if t <= 100]))


def plot_sweep(path: str | os.PathLike[str], sweep: SweepReport, answer: Answer) -> None:
    """Draw the swept keys against speed and accuracy (throughput: speed and memory).

    Parameters
    ----------
    path : a PNG file, written whole or not at all
    """
    drawn = measures(sweep.task, answer.accuracy)
    if len(sweep.kinds) > 1 and answer.accuracy is not None:
        drawn = drawn[:1]  # speeds of different boards do not belong on one axis
    settings = answer.settings
    keys = varied(settings, sweep.swept)
    short = {k: printable(v) for k, v in short_names(sweep.swept).items()}
    many = len(keys) > 2
    if len(keys) >= 2:
        keys = by_importance(settings, keys, [m.key for m in drawn])
    if len(keys) >= 2 and fills_a_grid(settings, keys[:2]):
        _plot_maps(path, settings, keys, short, drawn)
    elif many or len(keys) == 2:
        _plot_dots(path, settings, keys[:4], short, drawn)
    elif len(keys) == 1 and is_numeric(values_along(settings, keys[0])):
        _plot_curves(path, settings, keys[0], short, drawn)
    elif len(keys) == 1:
        names = [label(s.values.get(keys[0])) for s in settings]
        _plot_bars(path, settings, names, short[keys[0]], drawn)
    else:
        # Seeds alone, or nothing at all that differs: each job is a bar of its own.
        alone = [Setting(j.values, (j,), _own(j)) for s in settings for j in s.jobs]
        keys = repeated(sweep.swept)
        key = keys[0] if len(keys) == 1 else None
        names = [s.jobs[0].name if key is None else label(s.values.get(key)) for s in alone]
        together = settings[0] if len(settings) == 1 else None
        _plot_bars(
            path, alone, names, "job" if key is None else key.split(".")[-1], drawn, together
        )


def _own(job: Any) -> dict[str, Any]:
    from raspitrain.report.answer import Mean

    numbers = {name: job.number_of(name) for name in job.figures} if job.finished else {}
    return {name: Mean(value, None, 1) for name, value in numbers.items() if value is not None}


def _plot_maps(
    path: str | os.PathLike[str],
    settings: Sequence[Setting],
    keys: Sequence[str],
    short: dict[str, str],
    drawn: Sequence[Figure],
) -> None:
    """Heat maps of the first two keys, one below the other; the other keys in the titles."""
    down, across = sorted(keys[:2], key=lambda k: (not _long(settings, k),
                                                   len(values_along(settings, k))))  # fmt: skip
    xs, ys = values_along(settings, across), values_along(settings, down)
    others = list(keys[2:])
    panels: list[tuple[str, list[Setting]]] = []
    combinations = list(itertools.product(*(values_along(settings, k) for k in others)))
    if len(combinations) <= min(MOST_PANELS, max(1, MOST_ROWS // len(ys))):
        for combination in combinations:
            chosen = dict(zip(others, combination, strict=True))
            inside = [s for s in settings if all(s.values.get(k) == v for k, v in chosen.items())]
            if inside:
                panels.append((setting_name(chosen, short), inside))
    else:
        names = ", ".join(short[k] for k in others)
        panels.append((f"best of all {names}", list(settings)))
    row = min(0.62, 4.5 / len(ys)) if len(ys) > 4 else 0.62
    height = len(panels) * len(drawn) * (row * len(ys) + 1.15)
    with figure_to(path, figsize=(WIDTH, height), dpi=SHARP) as figure:
        axes = figure.subplots(len(panels) * len(drawn), 1, squeeze=False)[:, 0]
        k = 0
        for measure in drawn:
            for name, inside in panels:
                _draw_map(axes[k], inside, settings, measure, (across, xs), (down, ys))
                axes[k].set_xlabel(short[across])
                axes[k].set_ylabel(short[down])
                title = measure.axis if not name else f"{measure.axis}\n{printable(name, 48)}"
                axes[k].set_title(title)
                k += 1


def _long(settings: Sequence[Setting], key: str) -> bool:
    return max(len(label(value)) for value in values_along(settings, key)) > LONG_WORD


def _draw_map(
    axes: "Axes",
    inside: Sequence[Setting],
    settings: Sequence[Setting],
    measure: Figure,
    across: tuple[str, Sequence[Any]],
    down: tuple[str, Sequence[Any]],
) -> None:
    """One panel. Its colours span all the `settings`, so that panels can be compared."""
    import matplotlib
    import numpy as np
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    (x_key, xs), (y_key, ys) = across, down
    everywhere = [v for s in settings if (v := s.mean(measure.key)) is not None]
    low, high = (min(everywhere), max(everywhere)) if everywhere else (0.0, 1.0)
    if low == high:
        low, high = low - 1, high + 1
    colours = matplotlib.colormaps[MAP if measure.better > 0 else f"{MAP}_r"]
    norm = Normalize(low, high)
    best, framed = _best(measure, inside), None
    size = float(np.clip(60 / len(xs), 6.5, 11))
    for x, y in itertools.product(range(len(xs)), range(len(ys))):
        here = [s for s in inside if s.values.get(x_key) == xs[x] and s.values.get(y_key) == ys[y]]
        chosen = _best(measure, here)
        corner = (x - 0.5, y - 0.5)
        if chosen is None:
            axes.add_patch(
                Rectangle(corner, 1, 1, facecolor="white", edgecolor="#bbbbbb", hatch="///", lw=0)
            )
            words = printable(here[0].status.replace("_", " ")) if here else "not run"
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
            words = words.replace(" ", "\n")
            axes.text(x, y, words, ha="center", va="center", fontsize=min(size, 9), bbox=box)
            continue
        if chosen is best:
            framed = (x, y)
        found = chosen.figures[measure.key]
        colour = colours(norm(found.mean))
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=colour, edgecolor="white", lw=1.5))
        spread = measure.scale * found.std if found.std and len(xs) <= 6 else None
        words = _words(measure, measure.scale * found.mean, spread).replace(" ±", "\n±")
        words += "*" if chosen.throttled else ""
        dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 0.5
        axes.text(
            x, y, words, ha="center", va="center", fontsize=size, color="white" if dark else "black"
        )
    if framed is not None:
        corner = (framed[0] - 0.46, framed[1] - 0.44)
        axes.add_patch(Rectangle(corner, 0.92, 0.88, fill=False, edgecolor=BEST, lw=3))
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlim(-0.5, len(xs) - 0.5)
    axes.set_ylim(-0.5, len(ys) - 0.5)
    words_x = [printable(label(x), 16) for x in xs]
    long = max(map(len, words_x)) * len(xs) > 44
    slanted: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(xs)), words_x, **(slanted if long else {}))
    axes.set_yticks(range(len(ys)), [printable(label(y), 26) for y in ys])


def _plot_curves(
    path: str | os.PathLike[str],
    settings: Sequence[Setting],
    key: str,
    short: dict[str, str],
    drawn: Sequence[Figure],
) -> None:
    xs = [float(x) for x in values_along(settings, key)]
    spans = is_logarithmic(xs)
    with figure_to(path, figsize=(WIDTH, 2.6 * len(drawn) + 0.2), dpi=SHARP) as figure:
        panels = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
        for axes, measure in zip(panels, drawn, strict=True):
            done = [s for s in settings if s.mean(measure.key) is not None]
            done.sort(key=lambda s: float(s.values[key]))
            x = [float(s.values[key]) for s in done]
            means = [s.figures[measure.key] for s in done]
            y = [measure.scale * m.mean for m in means]
            spread = [measure.scale * (m.std or 0.0) for m in means]
            line = "-" if len(xs) <= 20 else ""
            axes.plot(x, y, line, marker="o", markersize=6, linewidth=2, color=DOT)
            if any(spread):
                axes.errorbar(x, y, spread, fmt="none", ecolor=DOT, capsize=4, linewidth=1.5)
            _mark_best(axes, x, y, done, measure, spans=spans)
            _mark_missing(axes, [float(s.values[key]) for s in settings
                                 if s.mean(measure.key) is None])  # fmt: skip
            axes.set_title(measure.axis)
            axes.margins(x=0.08, y=0.18)
            _end_at_100(axes.yaxis, measure)
            _ticks(axes, xs, spans)
        panels[-1].set_xlabel(short[key])


def _mark_best(
    axes: "Axes",
    x: Sequence[float],
    y: Sequence[float],
    done: Sequence[Setting],
    measure: Figure,
    *,
    spans: bool,
) -> None:
    best = _best(measure, done)
    if best is None:
        axes.text(0.5, 0.5, "no job has finished", transform=axes.transAxes, ha="center")
        axes.set_yticks([])
        return
    k = next(k for k, setting in enumerate(done) if setting is best)
    axes.plot(x[k], y[k], "o", markersize=12, markerfacecolor="none", markeredgecolor=BEST,
              markeredgewidth=2.5, clip_on=False, zorder=5)  # fmt: skip
    # Beside the point, where no bar of a deviation goes, and towards the middle.
    middle = math.sqrt(max(x) * min(x)) if spans else (max(x) + min(x)) / 2
    right = x[k] > middle
    axes.annotate(_words(measure, y[k]), (x[k], y[k]), (-9 if right else 9, 5),
                  textcoords="offset points", ha="right" if right else "left",
                  fontweight="bold", color=BEST)  # fmt: skip


def _mark_missing(axes: "Axes", x: Sequence[float]) -> None:
    """A cross at the foot of the panel for what has no figure."""
    if x:
        axes.plot(x, [0.03] * len(x), "x", color=INK, markersize=8, markeredgewidth=2,
                  transform=axes.get_xaxis_transform(), clip_on=False, zorder=5)  # fmt: skip
        axes.set_title("× did not finish", loc="right", fontsize=9)


def _ticks(axes: "Axes", xs: Sequence[float], spans: bool) -> None:
    """Ticks at the values themselves as far as they do not touch one another."""
    import numpy as np
    from matplotlib.ticker import NullLocator

    if spans:
        logarithmic(axes, "x")
    if len(set(xs)) > MOST_TICKS:
        return
    places = np.log(xs) if spans else np.asarray(xs)
    letters = max(len(label(x)) for x in xs)
    least = (0.03 + 0.02 * letters) * (places[-1] - places[0] or 1)
    kept: list[int] = []
    for k in range(len(xs)):
        if not kept or places[k] - places[kept[-1]] >= least:
            kept.append(k)
    axes.set_xticks([xs[k] for k in kept], [label(xs[k]) for k in kept])
    axes.xaxis.set_minor_locator(NullLocator())


MOST_TICKS = 12


def _plot_bars(
    path: str | os.PathLike[str],
    settings: Sequence[Setting],
    names: Sequence[str],
    key: str,
    drawn: Sequence[Figure],
    together: Setting | None = None,
) -> None:
    """A bar a setting, first at the top; accuracies as dots on an axis that need not begin at 0.

    Where they are the seeds of one setting, `together`, none of them is the best: the title gives
    their mean.
    """
    settings, names = settings[:40], names[:40]
    height = len(drawn) * (0.4 * len(settings) + 0.95)
    with figure_to(path, figsize=(WIDTH, height), dpi=SHARP) as figure:
        panels = figure.subplots(len(drawn), 1, squeeze=False)[:, 0]
        for axes, measure in zip(panels, drawn, strict=True):
            means = [s.mean(measure.key) for s in settings]
            best = None if together is not None else _best(measure, settings)
            from_zero = measure.scale == 1
            ends = [
                measure.scale * (m.mean + sign * (m.std or 0.0))
                for s in settings if (m := s.figures.get(measure.key)) is not None
                for sign in (-1, 1)
            ]  # fmt: skip
            low = 0.0 if from_zero else min(ends, default=0.0)
            high = max(ends, default=1.0)
            room = (high - low) or abs(high) * 0.05 or 1.0
            for k, (setting, value) in enumerate(zip(settings, means, strict=True)):
                if value is None:
                    words = printable(setting.status.replace("_", " "))
                    axes.text(low, k, f"  {words}", va="center", fontstyle="italic")
                    continue
                value *= measure.scale
                spread = (setting.figures[measure.key].std or 0.0) * measure.scale
                colour = BEST if setting is best else DOT
                if from_zero:
                    axes.barh(k, value, height=0.62, color=colour, xerr=spread or None)
                else:
                    axes.errorbar(value, k, xerr=spread or None, fmt="o", markersize=9,
                                  color=colour, capsize=4)  # fmt: skip
                words = _words(measure, value, spread) + ("*" if setting.throttled else "")
                weight = "bold" if setting is best else "normal"
                axes.annotate(words, (value + spread, k), (7, 0), textcoords="offset points",
                              va="center", fontweight=weight)  # fmt: skip
            axes.set_xlim(low - (0.0 if from_zero else 0.12 * room), high + 0.42 * room)
            _end_at_100(axes.xaxis, measure)
            axes.set_ylim(len(settings) - 0.5, -0.5)
            axes.set_yticks(range(len(settings)), [printable(name, 24) for name in names])
            axes.set_ylabel(key)
            axes.grid(axis="y", visible=False)
            mean = None if together is None else together.figures.get(measure.key)
            if mean is not None:
                words = _words(
                    measure, measure.scale * mean.mean, measure.scale * (mean.std or 0.0)
                )
                axes.set_title(f"{measure.axis}: {words}")
            else:
                axes.set_title(measure.axis)


def _plot_dots(
    path: str | os.PathLike[str],
    settings: Sequence[Setting],
    keys: Sequence[str],
    short: dict[str, str],
    drawn: Sequence[Figure],
) -> None:
    """The first measure over each key, a dot a setting."""
    measure = drawn[0]
    with figure_to(path, figsize=(WIDTH, 2.4 * len(keys) + 0.3), dpi=SHARP) as figure:
        panels = figure.subplots(len(keys), 1, squeeze=False)[:, 0]
        for axes, key in zip(panels, keys, strict=True):
            values = values_along(settings, key)
            numeric = is_numeric(values)
            done = [s for s in settings if s.mean(measure.key) is not None]
            places = {label(value): k for k, value in enumerate(values)}
            x = [
                float(s.values[key]) if numeric else float(places[label(s.values.get(key))])
                for s in done
            ]
            y = [measure.scale * s.figures[measure.key].mean for s in done]
            axes.plot(x, y, "o", color=DOT, alpha=0.6, markersize=6)
            spans = numeric and is_logarithmic([float(v) for v in values])
            _mark_best(axes, x, y, done, measure, spans=spans)
            axes.margins(x=0.08, y=0.2)
            _end_at_100(axes.yaxis, measure)
            axes.set_xlabel(short[key])
            axes.set_ylabel(measure.axis)
            if numeric:
                _ticks(axes, [float(v) for v in values], spans)
            else:
                axes.set_xticks(range(len(values)), [printable(label(v), 14) for v in values])


def plot_pareto(path: str | os.PathLike[str], sweep: SweepReport, answer: Answer) -> None:
    """Draw accuracy over training time, every setting a dot, the undominated ones joined.

    Nothing is drawn where no setting has both figures.
    """
    accuracy = answer.accuracy
    timed = [s for s in answer.settings if s.mean("training_seconds") is not None]
    timed = [s for s in timed if s.mean(accuracy) is not None]
    if accuracy is None or not timed:
        return
    front = answer.pareto
    short = {k: printable(v) for k, v in short_names(sweep.swept).items()}
    lines = _front_lines(front, accuracy, short)
    with figure_to(path, figsize=(WIDTH, 3.4 + 0.21 * len(lines)), dpi=SHARP) as figure:
        axes = figure.add_subplot()
        _draw_front(axes, timed, front, accuracy)
        axes.set_title("Accuracy against training time")
        axes.set_ylabel(FIGURE[accuracy].axis)
        _end_at_100(axes.yaxis, FIGURE[accuracy])
        figure.supxlabel("\n".join(lines), x=0.04, ha="left", fontsize=9, linespacing=1.35)


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _front_lines(front: Sequence[Setting], accuracy: str, short: dict[str, str]) -> list[str]:
    lines = []
    for letter, setting in zip(LETTERS, front, strict=False):
        seconds, share = setting.figures["training_seconds"].mean, setting.figures[accuracy].mean
        name = setting_name(setting.values, short) or "the one setting"
        star = "*" if setting.throttled else ""
        lines.append(f"{letter}  {100 * share:.1f} %, {seconds:.3g} s{star}: {printable(name, 44)}")
    return lines


def _draw_front(
    axes: "Axes", timed: Sequence[Setting], front: Sequence[Setting], accuracy: str
) -> None:
    def place(setting: Setting) -> tuple[float, float]:
        return setting.figures["training_seconds"].mean, 100 * setting.figures[accuracy].mean

    everywhere = [place(s) for s in timed]
    axes.plot(*zip(*everywhere, strict=True), "o", color="#9a9a9a", markersize=6)
    if is_logarithmic([seconds for seconds, _ in everywhere]):
        logarithmic(axes, "x")
    else:
        axes.locator_params(axis="x", nbins=5)  # long ones, where all lie close together
    corners = [place(s) for s in front]
    axes.step(*zip(*corners, strict=True), where="post", color=BEST, linewidth=1.8)
    axes.plot(*zip(*corners, strict=True), "o", color=BEST, markersize=8)
    for letter, corner in zip(LETTERS, corners, strict=False):
        axes.annotate(letter, corner, (-5, 6), textcoords="offset points", ha="right",
                      fontweight="bold", color=BEST)  # fmt: skip
    axes.set_xlabel("Training time in seconds")
    axes.margins(x=0.1, y=0.15)
    axes.grid(color=FAINT)
