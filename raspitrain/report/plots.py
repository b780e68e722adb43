"""The pictures of a run.

Matplotlib's own default style whatever the user's is, without pyplot: no window, no global state
left behind, the same bytes for the same figures.
"""

import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from raspitrain.results.atomic import atomic_path
from raspitrain.results.telemetry import read_telemetry
from raspitrain.training.metrics import Confusion, confusion_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, int | float | None]]

# Told apart by hue, by lightness and by dash: colour-blind readers, grey prints.
PARTS: dict[str, dict[str, Any]] = {
    "train": {"color": "#9a9a9a", "linestyle": "-", "marker": "o", "zorder": 2},
    "validation": {"color": "#e08214", "linestyle": "--", "marker": "s", "zorder": 3},
    "test": {"color": "#0b5394", "linestyle": "-", "marker": "o", "zorder": 4},
}
TELEMETRY = {
    "temperature_c": "Temperature in °C",
    "clock_mhz": "Clock in MHz",
    "samples_per_second": "Cases a second",
}
SHADES = {
    "throttled": ("#e08214", "slowed down by the board"),
    "under_voltage": ("#b2182b", "under-voltage"),
    "paused_seconds": ("#0b5394", "paused by the thermal guard"),
}
TIME_UNITS = ((86_400, 2, "days"), (3_600, 2, "hours"), (60, 2, "minutes"), (1, 0, "seconds"))
FEWEST_SAMPLES = 5
INK, FAINT = "#333333", "#dddddd"
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a class called $5 is no formula
    "axes.edgecolor": "#999999",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}
FEW = 30  # up to so many evaluations each one is marked
MISSING_LETTER = "\N{REPLACEMENT CHARACTER}"
MANY = 200  # beyond so many a running mean is drawn over them
DPI = 150
WIDTH, SHARP = 5.0, 200  # inches, and dots to one: on a page or a phone letters keep their own size
MOST_CELLS = 40  # classes of a confusion matrix whose counts can be read
MOST_POINTS = 250  # of a larger one's image, along a side
MOST_MISTAKES = 20
MISTAKES_INCHES = (11.5, 6.0)
BYTES_A_POINT = 12


def plot_accuracy(
    rows: Rows,
    path: str | os.PathLike[str],
    *,
    chance: float | None = None,
    reported: int | None = None,
) -> None:
    """Draw the accuracy in per cent of each part over the epochs.

    Parameters
    ----------
    rows : rows of metrics.csv, accuracies as fractions; empty and non-finite values leave gaps
    path : a PNG file, written whole or not at all
    chance : accuracy of always answering with the most frequent class, as a fraction
    reported : the epoch whose model is reported
    """
    with figure_to(path, figsize=(WIDTH, 3.4), dpi=SHARP) as figure:
        from matplotlib.ticker import MaxNLocator

        axes = figure.add_subplot()
        drawn = _draw_parts(axes, rows, "accuracy", scale=100, label="{:.1f} %")
        axes.set_ylabel("Accuracy in %")
        _mark_epoch(axes, reported)
        if chance is not None and drawn.size:
            drawn = np.append(drawn, 100 * chance)
            axes.axhline(100 * chance, color=INK, linewidth=1, linestyle=":", zorder=1)
            axes.annotate(
                f"the most frequent class alone  {100 * chance:.1f} %", (0, 100 * chance), (5, -3),
                xycoords=axes.get_yaxis_transform(), textcoords="offset points", va="top",
                fontsize=9,
            )  # fmt: skip
        axes.set_ylim(*_accuracy_limits(drawn))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True))


def _mark_epoch(axes: "Axes", epoch: int | None) -> None:
    if epoch is not None:
        axes.axvline(epoch, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        # Below the axes it covers no line.
        axes.set_xlabel(f"{axes.get_xlabel()}, dashed: {epoch}, which is reported")


def plot_loss(rows: Rows, path: str | os.PathLike[str], *, reported: int | None = None) -> None:
    """Draw the loss of each part over the epochs; logarithmic from two powers of ten upwards."""
    with figure_to(path, figsize=(WIDTH, 3.4), dpi=SHARP) as figure:
        axes = figure.add_subplot()
        drawn = _draw_parts(axes, rows, "loss", scale=1, label="{:.3g}")
        axes.set_ylabel("Loss")
        _mark_epoch(axes, reported)
        if drawn.size and drawn.min() > 0 and drawn.max() > 100 * drawn.min():
            logarithmic(axes, "y")
        elif drawn.size:
            axes.set_ylim(0, 1.05 * drawn.max() or 1)


def logarithmic(axes: "Axes", side: str) -> None:
    """Make x or y logarithmic, its numbers written as they are."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set(**{f"{side}scale": "log"})
    axis = axes.xaxis if side == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def plot_telemetry(table: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Draw temperature, clock and cases a second over one axis of time, throttling shaded.

    Nothing is drawn where neither temperature nor clock could be read, or for a run too short to
    show either change.

    Parameters
    ----------
    table : telemetry.csv
    path : a PNG file, written whole or not at all
    """
    rows = read_telemetry(table)
    panels = [
        (name, label)
        for name, label in TELEMETRY.items()
        if any(row[name] is not None for row in rows)
    ]
    if len(rows) < FEWEST_SAMPLES or not {"temperature_c", "clock_mhz"} & {n for n, _ in panels}:
        return
    # A Raspberry Pi without a battery learns the time of day when it finds a network.
    seconds = np.array([row["seconds"] for row in rows])
    unit, word = next((u, w) for u, least, w in TIME_UNITS if seconds.sum() >= least * u)
    end = np.cumsum(seconds) / unit
    begin = end - seconds / unit
    with figure_to(path, figsize=(WIDTH, 1.2 + 1.7 * len(panels)), dpi=SHARP) as figure:
        axes_of = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        for axes, (name, label) in zip(axes_of, panels, strict=True):
            values = np.array([_number(row[name]) for row in rows])
            axes.plot(end, values, color=PARTS["test"]["color"], linewidth=1.4)
            axes.set_ylabel(label)
            if name != "temperature_c":
                axes.set_ylim(bottom=0)
            else:
                axes.set_ylim(np.nanmin(values) - 5, np.nanmax(values) + 5)
            for flag, (color, _) in SHADES.items():
                spans = _spans(np.array([_number(row[flag]) for row in rows]) > 0)
                bars = [(begin[first], end[last] - begin[first]) for first, last in spans]
                axes.broken_barh(
                    bars, (0, 1), transform=axes.get_xaxis_transform(),
                    color=color, alpha=0.3, linewidth=0,
                )  # fmt: skip
        shown = [f for f in SHADES if any(row[f] for row in rows)]
        if shown:
            from matplotlib.patches import Patch

            axes_of[0].legend(
                handles=[Patch(color=SHADES[f][0], alpha=0.3, label=SHADES[f][1]) for f in shown],
                loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.3,
            )  # fmt: skip
        axes_of[-1].set_xlabel(f"Time of the run in {word}")


def _spans(marked: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], marked, [False])).astype(int)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def plot_confusion(
    confusion: np.ndarray | Confusion, class_names: Sequence[str], path: str | os.PathLike[str]
) -> None:
    """Draw counts and row percentages: what became of the cases of each true class.

    Of more than `MOST_CELLS` classes the matrix is an image without figures, several classes to a
    point where there are very many, beside the most frequent mistakes.

    Parameters
    ----------
    confusion : counts, as an array (K, K) or as a `Confusion`; rows are the true classes
    class_names : K names
    path : a PNG file, written whole or not at all
    """
    confusion = confusion_of(confusion)
    num_classes = len(class_names)
    if confusion.num_classes != num_classes:
        raise ValueError(f"{num_classes} names for {confusion.num_classes} classes")
    cases, right = confusion.num_cases, int(confusion.hits.sum())
    title = f"{right:,} of {cases:,} right: {100 * right / cases:.1f} %" if cases else "No cases"
    draw = _draw_cells if num_classes <= MOST_CELLS else _draw_mistakes
    draw(confusion, class_names, title, path)


def confusion_picture_bytes(num_classes: int) -> int:
    """Memory that drawing it takes: what stands for each point of the picture while it is made."""
    inches = _cell_inches(num_classes) * num_classes + 1 if num_classes <= MOST_CELLS else 0
    width, height = (inches, inches) if inches else MISTAKES_INCHES
    return int(BYTES_A_POINT * width * height * DPI**2)


def _cell_inches(num_classes: int) -> float:
    """Room for two lines of text where there are few classes, for one where there are more."""
    cell = float(np.interp(num_classes, [2, 6, 12, MOST_CELLS], [1.0, 0.75, 0.6, 0.25]))
    return max(min(cell, 10 / num_classes), 1.6 / num_classes)


def _draw_cells(
    confusion: Confusion, class_names: Sequence[str], title: str, path: str | os.PathLike[str]
) -> None:
    num_classes = len(class_names)
    counts = confusion.matrix()
    support = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, support, out=np.zeros(counts.shape), where=support > 0)
    cell = _cell_inches(num_classes)
    with figure_to(path, figsize=(cell * num_classes, cell * num_classes), tight=True) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.grid(False)
        _draw_shares(axes, share)
        names = [_label(name, k) for k, name in enumerate(class_names)]
        size = float(np.clip(cell * 24, 5, 10))
        upright = max(map(len, names)) * size * 0.62 > cell * 72 * 0.95
        axes.set_xticks(range(num_classes), names, rotation=90 if upright else 0, fontsize=size)
        axes.set_yticks(range(num_classes), names, fontsize=size)
        axes.set_xlabel("Predicted class")
        axes.set_ylabel("True class (each row is 100 %)")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xticks(np.arange(num_classes + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(num_classes + 1) - 0.5, minor=True)
        axes.tick_params(which="minor", length=0)
        axes.grid(which="minor", color="white", linewidth=min(1.5, cell * 2))
        _write_cells(axes, counts, share, two_lines=num_classes <= 15, cell=cell)
        axes.set_title(title, pad=10)


def _draw_mistakes(
    confusion: Confusion, class_names: Sequence[str], title: str, path: str | os.PathLike[str]
) -> None:
    num_classes = len(class_names)
    every = -(-num_classes // MOST_POINTS)  # classes to a point
    points = -(-num_classes // every)
    counts = np.zeros((points, points))
    np.add.at(counts, (confusion.true // every, confusion.predicted // every), confusion.counts)
    support = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, support, out=np.zeros(counts.shape), where=support > 0)
    with figure_to(path, figsize=MISTAKES_INCHES) as figure:
        from matplotlib.ticker import MaxNLocator

        image, bars = figure.subplots(ncols=2)
        image.grid(False)
        # By its square root, or a mistake in a hundred would be white.
        _draw_shares(image, np.sqrt(share), every)
        for axis in (image.xaxis, image.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True))
        image.set_xlabel("Predicted class, by its place in the summary")
        together = "" if every == 1 else f", {every} a point"
        image.set_ylabel(f"True class (each row is 100 %{together})")
        image.set_title(title, pad=10)

        worst = confusion.worst(MOST_MISTAKES)
        rows = np.arange(len(worst))
        support_of = confusion.support
        bars.barh(rows, [n for _, _, n in worst], height=0.35, color=PARTS["validation"]["color"])
        for row, (true, predicted, n) in enumerate(worst):
            names = [_label(class_names[k], k) for k in (true, predicted)]
            words = f"{names[0]} taken for {names[1]}: {n:,} of {support_of[true]:,}"
            bars.text(0, row - 0.28, words, fontsize=8, va="bottom")
        bars.set_ylim(max(len(worst), 1) - 0.5, -0.9)
        bars.set_yticks([])
        bars.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        bars.set_xlabel("Cases")
        bars.set_title("Most frequent mistakes" if worst else "No mistakes", pad=10)


def _draw_shares(axes: "Axes", share: np.ndarray, every: int = 1) -> None:
    """Shades of a square matrix. Not by imshow, which holds 50 bytes for each point on paper."""
    edges = np.arange(len(share) + 1) * every - 0.5
    axes.pcolormesh(edges, edges, share, cmap="Blues", vmin=0, vmax=1)
    axes.set_aspect("equal")
    axes.invert_yaxis()


def _draw_parts(axes: "Axes", rows: Rows, measure: str, scale: float, label: str) -> np.ndarray:
    """Draw a line for each part that has figures; return all that was drawn, as a flat array."""
    from matplotlib.ticker import MaxNLocator

    epochs = np.array([row["epoch"] for row in rows], dtype=float)
    window = _mean_window(len(rows))
    drawn = []
    for part, style in PARTS.items():
        values = np.array([_number(row.get(f"{part}_{measure}")) for row in rows]) * scale
        finite = np.isfinite(values)
        if not finite.any():
            continue
        name = f"{part}  {label.format(values[finite][-1])}"
        if window > 1:
            faint: dict[str, Any] = {"color": style["color"], "zorder": 1}
            axes.plot(epochs, values, linewidth=0.8, alpha=0.3, **faint)
            values = _running_mean(values, finite, window)
        # Among many, only a point between two gaps needs a mark: no line would show it.
        alone = finite & ~np.append(finite[1:], False) & ~np.append(False, finite[:-1])
        marked = finite if len(rows) <= FEW else alone
        marks: dict[str, Any] = {"markersize": 4, "markevery": np.flatnonzero(marked).tolist()}
        if not marked.any():
            marks["marker"] = ""
        axes.plot(epochs, values, label=name, linewidth=1.8, **(style | marks))
        drawn.append(values[finite])
    axes.set_xlabel("Epoch" if window == 1 else f"Epoch (lines: mean of {window} evaluations)")
    axes.xaxis.set_major_locator(
        MaxNLocator(nbins=10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    )
    if len(epochs) == 1:
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
    elif len(epochs):
        axes.set_xlim(0, epochs.max() * 1.02)
    if drawn:
        # Above the axes it never covers a line.
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.3,
            columnspacing=1.2, handlelength=1.6, handletextpad=0.5,
        )  # fmt: skip
    else:
        axes.text(0.5, 0.5, "no evaluation yet", transform=axes.transAxes, ha="center")
    return np.concatenate(drawn) if drawn else np.zeros(0)


def _mean_window(num_evaluations: int) -> int:
    return 1 if num_evaluations <= MANY else num_evaluations // 50 | 1


def _running_mean(values: np.ndarray, finite: np.ndarray, window: int) -> np.ndarray:
    """Mean of the finite values up to half a window to either side; NaN stays NaN."""
    box = np.ones(window)
    sums = np.convolve(np.where(finite, values, 0), box, mode="same")
    counts = np.convolve(finite.astype(float), box, mode="same")
    return np.where(finite, sums / np.maximum(counts, 1), np.nan)


def _accuracy_limits(drawn: np.ndarray) -> tuple[float, float]:
    if not drawn.size:
        return 0, 101.5
    low = max(0, 10 * math.floor((drawn.min() - 5) / 10))
    high = min(100, 10 * math.ceil((drawn.max() + 5) / 10))
    return low, high + 0.015 * (high - low)  # a line at 100 % keeps its width


def _write_cells(
    axes: "Axes", confusion: np.ndarray, share: np.ndarray, *, two_lines: bool, cell: float
) -> None:
    widest = len(str(confusion.max()))
    size = float(np.clip(cell * 72 / (max(widest, 3) * 0.85 + 1), 3.5, 10))
    for true, predicted in zip(*np.nonzero(confusion), strict=True):
        text = f"{confusion[true, predicted]}"
        if two_lines:
            text += f"\n{_per_cent(share[true, predicted])}"
        color = "white" if share[true, predicted] > 0.55 else INK
        axes.text(predicted, true, text, ha="center", va="center", fontsize=size, color=color)


def _per_cent(share: float) -> str:
    """A share that is neither nothing nor all, and does not look like it."""
    if share < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def _label(name: str, index: int) -> str:
    """A class name as the font can show it; the class's number where it cannot."""
    shown = printable(name)
    return f"class {index}" if MISSING_LETTER in shown else shown


def printable(text: str, longest: int = 28) -> str:
    """One line in letters that the font has, no longer than `longest`."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family=["DejaVu Sans"])))
    text = "".join(
        letter if letter.isprintable() and font.get_char_index(ord(letter)) else MISSING_LETTER
        for letter in " ".join(text.split())
    )
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _number(value: int | float | None) -> float:
    return float("nan") if value is None else float(value)


@contextmanager
def figure_to(
    path: str | os.PathLike[str],
    figsize: tuple[float, float],
    *,
    tight: bool = False,
    dpi: int = DPI,
) -> Iterator["Figure"]:
    """Give an empty figure; save it to `path`, a PNG file, at the end of the block."""
    log = logging.getLogger("matplotlib")
    level = log.level
    # On a fresh machine matplotlib tells of the font cache that it builds, and of a home folder
    # that it cannot write to; neither matters for the picture.
    log.setLevel(logging.ERROR)
    # Read at the import, and an unknown name there would stop it; we draw without one.
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
        import matplotlib.style
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        with warnings.catch_warnings(), matplotlib.style.context(["default", STYLE]):
            warnings.filterwarnings("ignore", module="matplotlib")
            figure = Figure(figsize=figsize, dpi=dpi)
            canvas = FigureCanvasAgg(figure)
            if not tight:
                figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
            yield figure
            with atomic_path(path) as partial:
                # Without matplotlib's version in it, the same figures give the same bytes.
                known = {"Software": None}
                if tight:
                    figure.savefig(
                        partial, format="png", metadata=known, dpi=dpi,
                        bbox_inches="tight", pad_inches=0.15,
                    )  # fmt: skip
                else:
                    canvas.print_png(partial, metadata=known)  # savefig lays out in a draw before
    finally:
        log.setLevel(level)
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
