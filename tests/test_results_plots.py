"""The pictures of a run: what they say, for any number of evaluations and classes."""

import io
import logging
import math
import os
import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from raspitrain.report.plots import plot_accuracy, plot_confusion, plot_loss
from raspitrain.training.metrics import confusion_matrix


def rows(num_evaluations, every=1, **values):
    """Rows whose parts approach `values` as the epochs go by."""
    return [
        {"epoch": every * k, "step": k, "validation_accuracy": None, "validation_loss": None}
        | {name: value * k / num_evaluations for name, value in values.items()}
        for k in range(1, num_evaluations + 1)
    ]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn, to look into."""
    figures = []
    draw = Figure.draw

    def keep(figure, renderer):
        if figure not in figures:
            figures.append(figure)
        draw(figure, renderer)

    monkeypatch.setattr(Figure, "draw", keep)
    return figures


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def whole_png(path):
    with Image.open(path) as image:
        image.load()
        return image.format == "PNG" and image.info


def test_accuracy_is_in_per_cent_with_the_last_figures_in_the_legend(tmp_path, drawn):
    plot_accuracy(rows(5, 10, train_accuracy=1.0, test_accuracy=0.875), tmp_path / "accuracy.png")
    axes = drawn[0].axes[0]
    assert axes.get_xlabel() == "Epoch"
    assert axes.get_ylabel() == "Accuracy in %"
    assert legend(drawn[0]) == ["train  100.0 %", "test  87.5 %"]
    np.testing.assert_allclose(axes.lines[1].get_xdata(), [10, 20, 30, 40, 50])
    np.testing.assert_allclose(axes.lines[1].get_ydata(), [17.5, 35, 52.5, 70, 87.5])
    assert axes.get_ylim()[1] > 100
    whole_png(tmp_path / "accuracy.png")


def test_the_validation_part_is_drawn_where_there_is_one(tmp_path, drawn):
    parts = {"train_accuracy": 0.9, "validation_accuracy": 0.8, "test_accuracy": 0.7}
    plot_accuracy(rows(3, **parts), tmp_path / "accuracy.png")
    assert legend(drawn[0]) == ["train  90.0 %", "validation  80.0 %", "test  70.0 %"]
    box = drawn[0].axes[0].get_legend().get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= drawn[0].bbox.x1


def test_chance_and_the_reported_epoch_are_marked(tmp_path, drawn):
    table = rows(5, 10, train_accuracy=1.0, test_accuracy=0.9, test_loss=0.3)
    plot_accuracy(table, tmp_path / "a.png", chance=0.125, reported=30)
    plot_loss(table, tmp_path / "l.png", reported=30)
    accuracy, loss = (figure.axes[0] for figure in drawn)
    assert accuracy.get_ylim()[0] <= 12.5
    assert [text.get_text() for text in accuracy.texts] == ["the most frequent class alone  12.5 %"]
    for axes in (accuracy, loss):
        assert axes.get_xlabel() == "Epoch, dashed: 30, which is reported"
    assert legend(drawn[0]) == ["train  100.0 %", "test  90.0 %"]


@pytest.mark.parametrize("num_evaluations", [0, 1, 2, 30, 201, 1000])
@pytest.mark.parametrize("plot", [plot_accuracy, plot_loss])
def test_any_number_of_evaluations(tmp_path, drawn, num_evaluations, plot):
    figures = {"train_accuracy": 1, "test_accuracy": 0.9, "train_loss": 0.1, "test_loss": 0.5}
    plot(rows(num_evaluations, **figures), tmp_path / "a.png")
    axes = drawn[0].axes[0]
    ticks = [tick for tick in axes.get_xticks() if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    assert 1 <= len(ticks) <= 12
    assert all(tick == round(tick) for tick in ticks)
    assert whole_png(tmp_path / "a.png")


def test_many_evaluations_are_drawn_faint_under_their_mean(tmp_path, drawn):
    noise = np.random.default_rng(0).random(1000)
    table = [{"epoch": k, "test_accuracy": value} for k, value in enumerate(noise, start=1)]
    plot_accuracy(table, tmp_path / "a.png")
    faint, mean = drawn[0].axes[0].lines
    np.testing.assert_allclose(faint.get_ydata(), 100 * noise)
    np.testing.assert_allclose(mean.get_ydata()[500], 100 * noise[490:511].mean())
    np.testing.assert_allclose(mean.get_ydata()[0], 100 * noise[:11].mean())
    assert "mean of 21 evaluations" in drawn[0].axes[0].get_xlabel()
    assert legend(drawn[0]) == [f"test  {100 * noise[-1]:.1f} %"]


def test_a_loss_over_many_powers_of_ten_is_logarithmic(tmp_path, drawn):
    table = [{"epoch": k, "train_loss": 10.0**-k, "test_loss": 0.5} for k in range(1, 6)]
    plot_loss(table, tmp_path / "a.png")
    plot_loss(rows(5, train_loss=1.0), tmp_path / "b.png")
    assert [figure.axes[0].get_yscale() for figure in drawn] == ["log", "linear"]


values = st.none() | st.floats(0, 1e30) | st.sampled_from([math.nan, math.inf])


@given(st.lists(st.fixed_dictionaries({"train_loss": values, "test_accuracy": st.none()})))
@settings(max_examples=10)
def test_gaps_and_diverged_losses_are_drawn_without_a_warning(tmp_path_factory, losses):
    table = [{"epoch": k} | row for k, row in enumerate(losses, start=1)]
    path = tmp_path_factory.getbasetemp() / "any.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_loss(table, path)
        plot_accuracy(table, path)
    assert whole_png(path)


def cells(figure):
    return {
        (round(text.get_position()[1]), round(text.get_position()[0])): text.get_text()
        for text in figure.axes[0].texts
    }


def test_a_confusion_matrix_shows_counts_and_row_percentages(tmp_path, drawn):
    plot_confusion(
        np.array([[3, 1, 0], [0, 999, 1], [0, 0, 0]]), ["a", "b", "c"], tmp_path / "c.png"
    )
    assert cells(drawn[0]) == {
        (0, 0): "3\n75 %",
        (0, 1): "1\n25 %",
        (1, 1): "999\n>99 %",
        (1, 2): "1\n<1 %",
    }
    axes = drawn[0].axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b", "c"]
    assert axes.get_title("left") == "1,002 of 1,004 right: 99.8 %"
    assert axes.get_xlabel().startswith("Predicted")
    assert axes.get_ylabel().startswith("True")


def test_class_names_are_no_formulas_and_no_boxes(tmp_path, drawn):
    names = ["$x^2$", r"\frac{a}", "a_b", "two\nlines", "走る", "bell\a", "x" * 80]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_confusion(np.eye(7, dtype=int), names, tmp_path / "c.png")
    shown = [tick.get_text() for tick in drawn[0].axes[0].get_yticklabels()]
    assert shown[:6] == ["$x^2$", r"\frac{a}", "a_b", "two lines", "class 4", "class 5"]
    assert shown[6].startswith("xxx")
    assert len(shown[6]) < 30


@pytest.mark.parametrize("num_classes", [1, 2, 16, 40, 41, 60, 250, 3000])
def test_any_number_of_classes(tmp_path, num_classes):
    names = [f"a rather long class {k}" for k in range(num_classes)]
    plot_confusion(7 * np.eye(num_classes, dtype=int), names, tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as image:
        assert max(image.size) < 3500


def test_of_many_classes_the_most_frequent_mistakes_are_named(tmp_path, drawn):
    labels = np.repeat(np.arange(1000), 5)
    predictions = labels.copy()
    predictions[labels == 17] = [22, 22, 22, 22, 17]
    predictions[labels == 3] = [4, 4, 3, 3, 3]
    confusion = confusion_matrix(labels, predictions, 1000)
    plot_confusion(confusion, [f"sign {k}" for k in range(1000)], tmp_path / "c.png")
    image, bars = drawn[0].axes
    assert image.get_title("left") == "4,994 of 5,000 right: 99.9 %"
    assert [text.get_text() for text in bars.texts] == [
        "sign 17 taken for sign 22: 4 of 5",
        "sign 3 taken for sign 4: 2 of 5",
    ]
    assert [bar.get_width() for bar in bars.patches] == [4, 2]
    (shades,) = image.collections
    assert shades.get_array().size == 250 * 250  # four classes to a point
    assert (tmp_path / "c.png").stat().st_size < 500_000


@pytest.mark.parametrize(
    "num_classes", [40, 400, *(pytest.param(k, marks=pytest.mark.long) for k in (2, 15, 41))]
)
def test_a_confusion_picture_takes_no_more_memory_than_the_estimate_counts(num_classes, tmp_path):
    """In a process of its own, after a picture that loads what all of them need."""
    code = (
        "import sys, numpy as np\n"
        "from raspitrain.report.plots import *\n"
        "from raspitrain.run.environment import peak_memory_mb\n"
        "plot_accuracy([{'epoch': 1, 'test_accuracy': 0.5}], sys.argv[1])\n"
        "before, k = peak_memory_mb(), int(sys.argv[2])\n"
        "counts = np.random.default_rng(0).integers(0, 900, (k, k))\n"
        "plot_confusion(counts, [f'class {c}' for c in range(k)], sys.argv[1])\n"
        "print(peak_memory_mb() - before, confusion_picture_bytes(k) / 1e6)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.png"), str(num_classes)],
        capture_output=True,
        text=True,
        check=True,
    )
    taken, counted = map(float, done.stdout.split())
    assert taken < 1.15 * counted + 8


def test_no_cases_and_wrong_shapes(tmp_path, drawn):
    plot_confusion(np.zeros((2, 2), dtype=int), ["a", "b"], tmp_path / "c.png")
    assert drawn[0].axes[0].get_title("left") == "No cases"
    with pytest.raises(ValueError, match="3 names"):
        plot_confusion(np.zeros((2, 2), dtype=int), ["a", "b", "c"], tmp_path / "c.png")


def draw_all(folder):
    folder.mkdir()
    table = rows(40, train_accuracy=1.0, test_accuracy=0.9, train_loss=0.1, test_loss=0.2)
    plot_accuracy(table, folder / "accuracy.png")
    plot_loss(table, folder / "loss.png")
    plot_confusion(np.eye(3, dtype=int), ["a", "b", "c"], folder / "confusion_matrix.png")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_figures_give_the_same_bytes_whatever_the_users_style(tmp_path):
    first = draw_all(tmp_path / "first")
    assert sorted(first) == ["accuracy.png", "confusion_matrix.png", "loss.png"]
    style = {"lines.linewidth": 9, "savefig.dpi": 30, "font.size": 20, "axes.facecolor": "red"}
    with matplotlib.rc_context(style):
        before = dict(matplotlib.rcParams)
        second = draw_all(tmp_path / "second")
        assert dict(matplotlib.rcParams) == before
    assert first == second
    assert whole_png(tmp_path / "first" / "loss.png").keys() <= {"dpi"}


def test_a_failed_plot_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"old")

    def half(canvas, path, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FigureCanvasAgg, "print_png", half)
    with pytest.raises(OSError, match="No space left"):
        plot_accuracy([], tmp_path / "a.png")
    assert os.listdir(tmp_path) == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"


def test_the_matplotlib_log_is_quiet_only_while_drawing(tmp_path):
    log = logging.getLogger("matplotlib")
    level = log.level
    plot_accuracy([], tmp_path / "a.png")
    assert log.level == level


def test_a_fresh_machine_without_a_home_or_a_window_draws_in_silence(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from raspitrain.report.plots import plot_accuracy\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plot_accuracy([{'epoch': 1, 'test_accuracy': 0.5}], Path(sys.argv[1]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    (tmp_path / "file").write_text("")
    home = {"HOME": str(tmp_path / "file" / "home"), "MPLCONFIGDIR": str(tmp_path / "file")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path / "a.png")],
        env=os.environ | home | {"MPLBACKEND": "TkAgg", "DISPLAY": ""},
        capture_output=True,
        check=True,
    )
    assert done.stdout + done.stderr == b""
    assert whole_png(tmp_path / "a.png")


def test_whole_png_tells_a_cut_file(tmp_path):
    plot_accuracy([], tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    with pytest.raises(OSError, match="truncated"):
        whole_png(io.BytesIO(data[:-2000]))
