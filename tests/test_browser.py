"""report.html in a real browser: make test-browser."""

import os

import numpy as np
import pytest
from browser import Browser, chromium
from made_sweep import made_summary, made_sweep

from raspitrain.report import report_run, report_sweep
from raspitrain.report.plots import plot_confusion
from raspitrain.results.json_file import write_json
from raspitrain.results.table import append_row

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>&amp;"\''


@pytest.fixture(scope="module")
def browser():
    assert chromium(), "sudo apt-get install chromium"
    with Browser() as started:
        yield started


@pytest.fixture(scope="module")
def sweep_page(tmp_path_factory):
    folder = made_sweep(
        tmp_path_factory.mktemp("swept") / "a sweep & its <b>name",
        {"batch_size": [16, 32, 100], "hardware.num_threads": [1, 2, 4], "model": ["a", HOSTILE]},
        lambda k, values: made_summary(0.9 + 0.003 * k, 50 + 7 * ((5 * k) % 18)),
        status={4: ("out_of_memory", "killed by the kernel"), 7: ("failed", HOSTILE)},
        combinations=None,
    )
    report_sweep(folder)
    return folder / "report.html"


@pytest.fixture(scope="module")
def run_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    names = [HOSTILE, "second", "third"]
    for epoch in range(1, 12):
        row = {"epoch": epoch, "step": 30 * epoch, "train_loss": 1 / epoch}
        row |= {"train_accuracy": 0.08 * epoch, "test_accuracy": 0.07 * epoch}
        append_row(folder / "metrics.csv", row)
    per_class = [
        {"class_name": name, "precision": p, "recall": 0.5, "f1": 0.6, "support": 9}
        for name, p in zip(names, (0.5, 0.9, 0.1), strict=True)
    ]
    more = {"per_class": per_class, "class_names": names, "reason": HOSTILE}
    write_json(folder / "summary.json", made_summary(0.95, 100) | more)
    (folder / "config.yaml").write_text("seed: 0\nmodel:\n  table: small\n")
    plot_confusion(np.diag([3, 4, 5]), names, folder / "confusion_matrix.png")
    return report_run(folder)


def pages(kinds=("sweep_page", "run_page")):
    return pytest.mark.parametrize("kind", kinds)


@pages()
@pytest.mark.parametrize(("width", "dark"), [(360, False), (360, True), (1200, False)])
def test_a_page_shows_without_complaint_and_asks_for_nothing(browser, request, kind, width, dark):
    path = request.getfixturevalue(kind)
    page = browser.open(path, width=width, dark=dark)
    images = page.evaluate("Array.from(document.images, i => i.complete && i.naturalWidth)")
    assert len(images) >= 2
    assert all(images)
    shown = page.evaluate("Array.from(document.images, i => i.getBoundingClientRect().width)")
    assert min(shown) > 250
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == ("rgb(22, 24, 27)" if dark else "rgb(255, 255, 255)")
    rows = page.evaluate("Array.from(document.querySelectorAll('tr'), r => r.offsetHeight)")
    assert max(rows) < 160
    assert page.requests() == [path.as_uri()]
    assert page.complaints() == []
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(type(path)(folder) / f"{kind}_{width}{'_dark' * dark}.png")


@pages()
def test_names_of_others_are_text(browser, request, kind):
    page = browser.open(request.getfixturevalue(kind))
    assert HOSTILE in page.evaluate("document.body.textContent")
    assert page.evaluate("document.querySelectorAll('[onerror], [src=x]').length") == 0
    assert page.evaluate("document.scripts.length") == 1
    assert page.evaluate("document.title") not in ("1", "2")


def column(page, title, table=0):
    """A column of a table from top to bottom, found by its title."""
    return page.evaluate(
        f"(() => {{ const t = document.querySelectorAll('table.sortable')[{table}];"
        "const k = Array.from(t.tHead.rows[0].cells, c => c.textContent)"
        f".indexOf({title!r});"
        "return Array.from(t.tBodies[0].rows, r => r.cells[k].textContent); })()"
    )


def test_a_click_sorts_numbers_as_numbers_and_a_second_one_turns_them_round(browser, sweep_page):
    page = browser.open(sweep_page, width=360)
    titles = page.evaluate("Array.from(document.querySelectorAll('th'), h => h.textContent)")
    head = f"th:nth-child({titles.index('cases/s') + 1}) button"
    before = column(page, "cases/s")
    page.click(head)
    numbers = [float(text) for text in column(page, "cases/s") if text]
    assert numbers == sorted((float(text) for text in before if text), reverse=True)
    assert max(numbers) >= 100 > min(numbers)  # as texts, 99 would come before 100
    assert column(page, "cases/s")[-2:] == ["", ""]  # the two that did not finish
    page.click(head)
    assert [float(text) for text in column(page, "cases/s") if text] == numbers[::-1]
    assert column(page, "cases/s")[-2:] == ["", ""]
    assert page.evaluate("document.querySelectorAll('th[aria-sort]').length") == 1
    assert page.complaints() == []


def test_words_sort_as_words(browser, run_page):
    page = browser.open(run_page)
    page.click("th:nth-child(1) button")
    assert column(page, "class")[1:] == ["second", "third"]
    page.click("th:nth-child(1) button")
    assert column(page, "class")[:2] == ["third", "second"]


def test_a_job_is_one_click_away(browser, sweep_page):
    page = browser.open(sweep_page)
    links = page.evaluate("Array.from(document.links, a => a.href)")
    assert len(links) == 18
    assert all(link.startswith(sweep_page.parent.as_uri()) for link in links)
