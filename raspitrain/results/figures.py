"""Every figure that a run is judged by: one table, from which metrics.csv, the screen, a sweep's
sheet, its table on a terminal and the pages are made.

A new figure is a row here, and where it is computed. A case is one labelled signal: the
column `samples_per_second` counts cases, and keeps the name that it has had since 0.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raspitrain.results.values import Scalars, label, number, scalars


@dataclass(frozen=True)
class Figure:
    """How a figure is named, written and judged.

    Attributes
    ----------
    key : in summary.json, the keys of nested objects joined by dots; a column of metrics.csv
    title : in a list of facts and over a picture
    unit : what a value is in after `scale`
    digits : after the decimal point; None for a whole number
    better : 1 where more is better, -1 where less is, 0 where neither is
    column : int or float for a column of metrics.csv, in the order of this table
    sheet : its place among the first columns of sweep.csv
    short : the head of its column in a sweep's table; none if empty
    dispensable : columns with a larger number go first where room is short
    headline : its name at the end of a run, on the screen
    fact : whether a run's page lists it
    """

    key: str
    title: str
    unit: str = ""
    digits: int | None = 1
    scale: float = 1
    better: int = 0
    column: type[int] | type[float] | None = None
    sheet: int | None = None
    short: str = ""
    dispensable: int = 0
    headline: str = ""
    fact: bool = False

    def number(self, value: float, like: float | None = None) -> str:
        """A value without its unit; a small one with more digits, as many as `like` would have."""
        if self.digits is None:
            return f"{round(value):,d}"
        value *= self.scale
        size = abs(value if like is None else self.scale * like)
        is_coarse = self.digits <= 2 and self.unit != "%"
        digits = self.digits + 2 if is_coarse and 0 < size < 1 else self.digits
        return f"{value:,.{digits}f}"

    def spread(self, mean: float, std: float | None) -> str:
        """A mean without its unit, and the deviation, if there is one, with as many digits."""
        shown = self.number(mean)
        return shown if std is None else f"{shown} ± {self.number(std, mean)}"

    def words(self, value: float) -> str:
        """A value with its unit."""
        return f"{self.number(value)} {self.unit}".rstrip()

    @property
    def axis(self) -> str:
        """The label of an axis."""
        title = self.title[:1].upper() + self.title[1:]
        return f"{title} in {self.unit}" if self.unit else title


_PER_CENT: dict[str, Any] = {"unit": "%", "scale": 100, "better": 1, "column": float}
_LOSS: dict[str, Any] = {"digits": 4, "better": -1, "column": float}

FIGURES = (
    Figure("epoch", "epoch", digits=None, column=int),
    Figure("step", "step", digits=None, column=int),
    Figure("lr", "learning rate", digits=6, column=float),
    Figure("train_loss", "training loss", **_LOSS),
    Figure("train_accuracy", "training accuracy", **_PER_CENT),
    Figure("validation_loss", "validation loss", **_LOSS),
    Figure("validation_accuracy", "validation accuracy", sheet=2, short="validation %",
           **_PER_CENT),
    Figure("test_loss", "test loss", sheet=5, fact=True, **_LOSS),
    Figure("test_accuracy", "test accuracy", sheet=1, short="test %", headline="test accuracy",
           **_PER_CENT),
    Figure("test_macro_f1", "macro F1", sheet=4, headline="macro F1", fact=True, **_PER_CENT),
    Figure("test_balanced_accuracy", "balanced accuracy", sheet=3, headline="balanced", fact=True,
           **_PER_CENT),
    Figure("validation_macro_f1", "macro F1 on validation", **_PER_CENT),
    Figure("validation_balanced_accuracy", "balanced accuracy on validation", **_PER_CENT),
    Figure("samples_per_second", "speed", "cases/s", 0, better=1, column=float, sheet=6,
           short="cases/s", headline="speed", fact=True),
    Figure("seconds", "training time", "s", column=float, better=-1),
    Figure("ms_per_step", "a step", "ms", 2, better=-1, sheet=7, short="ms/step", dispensable=4,
           headline="step", fact=True),
    Figure("training_seconds", "training time", "s", better=-1, sheet=8, short="seconds",
           dispensable=2, fact=True),
    Figure("total_seconds", "time in all", "s", better=-1, sheet=9, fact=True),
    Figure("peak_memory_mb", "peak memory", "MB", 0, better=-1, column=float, sheet=10,
           short="memory MB", dispensable=3, fact=True),
    Figure("num_threads", "threads", digits=None, sheet=11, fact=True),
    Figure("batch_size", "batch size", digits=None, sheet=12, fact=True),
    Figure("epochs", "epochs", digits=None, sheet=13, fact=True),
    Figure("steps", "steps", digits=None, sheet=14, fact=True),
    Figure("seed", "seed", digits=None, sheet=15, fact=True),
    Figure("num_parameters", "parameters", digits=None, better=-1, sheet=16, fact=True),
    Figure("thermal.temperature_before_c", "temperature before", "°C", 0, better=-1,
           short="°C before", dispensable=6),
    Figure("thermal.temperature_after_c", "temperature after", "°C", 0, better=-1,
           short="°C after", dispensable=5),
    Figure("thermal.temperature_max_c", "highest temperature", "°C", 0, better=-1),
    Figure("thermal.paused_seconds", "paused to cool down", "s", better=-1),
    Figure("energy.joules", "energy", "J", better=-1, short="joules", dispensable=7),
    Figure("energy.joules_per_epoch", "energy of an epoch", "J", better=-1),
    Figure("energy.joules_per_thousand_cases", "energy of 1,000 cases", "J", better=-1),
)  # fmt: skip
FIGURE = {figure.key: figure for figure in FIGURES}
# metrics.csv: its columns and their types.
type_of_column = {f.key: f.column for f in FIGURES if f.column is not None}
SHORT = tuple(f for f in FIGURES if f.short)  # the columns of a sweep's table
# The first columns of sweep.csv; whatever else the summaries hold follows.
FIRST = tuple(f.key for f in sorted(FIGURES, key=lambda f: f.sheet or 0) if f.sheet)
NOT_FIGURES = ("status", "reason", "task")  # of a summary.json: they have columns of their own


def figure_of(key: str) -> Figure | None:
    """The figure behind a key such as `test_accuracy`, or behind its last part, as in
    `best.validation_loss`; None where the table has none."""
    return FIGURE.get(key) or FIGURE.get(key.rsplit(".", 1)[-1])


def figures_of(summary: Mapping[str, Any]) -> Scalars:
    """The figures of a summary.json, and the validation accuracy of the model it reports."""
    figures = scalars({k: v for k, v in summary.items() if k not in NOT_FIGURES})
    best = figures.get("best.validation_accuracy")
    # "best" is the chosen one: what the validation part said of the model that is reported.
    return figures if best is None else {"validation_accuracy": best} | figures


def words_of(key: str, value: Any) -> str:
    """A value of a summary as a person reads it: with unit and rounded, as the table says; other
    fractions with four digits."""
    figure, plain = FIGURE.get(key), number(value)
    if figure is not None and plain is not None:
        return figure.words(plain)
    if isinstance(value, float) and plain is not None:
        return f"{plain:.4g}"
    return label(value)
