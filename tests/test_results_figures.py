"""The table of figures: units and rounding, and what a new figure takes."""

import subprocess
import sys

import pytest

from raspitrain.results.figures import FIGURE, FIGURES, figure_of, figures_of, words_of
from raspitrain.sweep.search import RULES, check_settings


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("energy.joules", 86.5388894770398, "86.5 J"),
        ("test_accuracy", 0.8751, "87.5 %"),
        ("test_accuracy", 0.001, "0.1 %"),
        ("samples_per_second", 1234.5, "1,234 cases/s"),
        ("samples_per_second", 0.25, "0.25 cases/s"),
        ("training_seconds", 12.3456, "12.3 s"),
        ("training_seconds", 0.0123, "0.012 s"),
        ("peak_memory_mb", 311.26, "311 MB"),
        ("num_parameters", 1518402, "1,518,402"),
        ("thermal.temperature_after_c", 61.37, "61 °C"),
        ("test_loss", 0.693147, "0.6931"),
        ("something.new", 1 / 3, "0.3333"),
        ("thermal.throttled", False, "false"),
        ("energy.joules", None, "null"),
    ],
)
def test_a_figure_has_its_unit_and_no_more_digits_than_it_means(key, value, words):
    assert words_of(key, value) == words


def test_every_key_stands_once_and_a_heading_has_a_place():
    assert len(FIGURE) == len(FIGURES)
    places = [figure.sheet for figure in FIGURES if figure.sheet]
    assert sorted(places) == list(range(1, len(places) + 1))
    assert all(figure.better for figure in FIGURES if "loss" in figure.key or figure.unit == "%")


@pytest.mark.parametrize(
    ("objective", "direction"),
    [
        ("validation_accuracy", "maximize"),
        ("best.validation_loss", "minimize"),
        ("final.train_loss", "minimize"),
        ("samples_per_second", "maximize"),
        ("ms_per_step", "minimize"),
        ("training_seconds", "minimize"),
        ("total_seconds", "minimize"),
        ("peak_memory_mb", "minimize"),
        ("energy.joules", "minimize"),
        ("energy.joules_per_epoch", "minimize"),
        ("thermal.temperature_max_c", "minimize"),
    ],
)
def test_a_search_knows_which_way_is_better(objective, direction):
    settings = dict.fromkeys(RULES, 1) | {
        "objective": objective, "direction": "auto", "sampler": "tpe", "pruner": None,
    }  # fmt: skip
    assert check_settings(settings)["direction"] == [direction]


def test_the_validation_accuracy_of_a_summary_is_that_of_the_reported_model():
    summary = {"status": "completed", "best": {"validation_accuracy": 0.5, "epoch": 3}}
    assert figures_of(summary)["validation_accuracy"] == 0.5
    assert "status" not in figures_of(summary)
    assert figure_of("best.epoch") is FIGURE["epoch"]


NEW = """
import sys
import raspitrain.results.figures as figures
row = figures.Figure("test_auroc", "area under the ROC curve", unit="%", scale=100, better=1,
                     column=float, short="AUROC %", headline="AUROC", fact=True, sheet=17)
figures.FIGURES += (row,)
figures.FIGURE["test_auroc"] = row
figures.type_of_column["test_auroc"] = float
figures.SHORT += (row,)
figures.FIRST += ("test_auroc",)
import raspitrain.training.metrics as metrics
report = metrics.classification_report
metrics.classification_report = lambda *a: report(*a) | {"auroc": 0.75}
metrics.OVERALL += ("auroc",)
figures.type_of_column["validation_auroc"] = float
from raspitrain.cli.main import main
sys.exit(main())
"""


def test_a_new_figure_is_a_row_here_and_where_it_is_computed(tmp_path):
    """The recipe: the other files learn of it by themselves."""
    words = ("dataset.num_cases=40", "dataset.length=32", "dataset.num_classes=2", "epochs=1",
             "model.width_mult=0.25", "hardware.num_threads=1", "hydra.run.dir=run")  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", NEW, *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "AUROC          75.0 %" in done.stdout
    header, row = (tmp_path / "run/metrics.csv").read_text().splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=True))["test_auroc"] == "0.75"
    assert '"test_auroc": 0.75' in (tmp_path / "run/summary.json").read_text()
    page = (tmp_path / "run/report.html").read_text()
    assert "area under the ROC curve" in page
    assert "75.0 %" in page
