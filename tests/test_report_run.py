"""report.html of a run: one file, safe and whole, from whatever the run has left."""

import base64
import random
import re
from html.parser import HTMLParser

import pytest
from conftest import TINY, composed
from made_sweep import made_summary

from raspitrain.errors import InputError
from raspitrain.report import report_run
from raspitrain.report.__main__ import main
from raspitrain.report.page import Cell, link, page, table, tag
from raspitrain.results.json_file import write_json
from raspitrain.results.table import append_row
from raspitrain.run.run import run


class Reader(HTMLParser):
    """Tags that are opened and closed, addresses, and the words between."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.addresses, self.words = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


def read(path):
    reader = Reader(path.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    words = [*TINY, "split.validation=0.2", "eval_every=1"]
    folder = tmp_path_factory.mktemp("runs") / "run"
    return folder, run(composed(*words), folder, overrides=words)


def test_a_run_leaves_a_page_with_its_figures_and_pictures(finished):
    folder, summary = finished
    page = read(folder / "report.html")
    assert f"{100 * summary['test_accuracy']:.1f} %" in page.words
    assert "completed" in page.words
    assert "best on validation" in page.words
    assert "python -m raspitrain dataset.num_cases=40" in page.words
    assert f"resume={folder} epochs=4" in page.words
    for name in summary["class_names"]:
        assert name in page.words
    pictures = [a for a in page.addresses if a.startswith("data:image/png")]
    assert len(pictures) == 3
    assert base64.b64decode(pictures[0].split(",")[1]) == (folder / "accuracy.png").read_bytes()
    assert (folder / "report.html").stat().st_size < 600_000


def test_the_page_asks_for_nothing(finished):
    folder, _ = finished
    text = (folder / "report.html").read_text()
    assert all(address.startswith("data:") for address in read(folder / "report.html").addresses)
    assert "default-src &#x27;none&#x27;" in text
    assert not re.findall(r"https?://(?!www\.w3\.org)", text)


def test_a_run_that_was_killed_shows_what_it_had(tmp_path, capsys):
    for epoch in range(1, 450):
        append_row(tmp_path / "metrics.csv", {"epoch": epoch, "test_accuracy": 0.5, "test_loss": 1})
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip().endswith("report.html")
    page = read(tmp_path / "report.html")
    assert "There is no summary" in page.words
    assert "1 in 3 of 449, metrics.csv has all" in page.words
    assert page.tags.count("img") == 2
    assert page.tags.count("tr") < 250


def test_the_same_run_once_more_finds_options_of_the_users_own(tmp_path):
    (tmp_path / "overrides.yaml").write_text("- model=mine\n")
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    words = ["/x/raspitrain/__main__.py", "--config-dir", "my conf", "model=mine"]
    write_json(tmp_path / "environment.json", {"command": words})
    report_run(tmp_path)
    page = read(tmp_path / "report.html")
    assert "python -m raspitrain --config-dir 'my conf' model=mine" in page.words


@pytest.mark.parametrize("name", ["summary.json", "metrics.csv", "config.yaml", "environment.json"])
def test_a_damaged_file_is_named_and_the_rest_is_shown(tmp_path, name):
    append_row(tmp_path / "metrics.csv", {"epoch": 1, "test_accuracy": 0.5, "test_loss": 1.0})
    write_json(tmp_path / "summary.json", made_summary(0.91, 77))
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    (tmp_path / "environment.json").write_text('{"machine": {"model": "a Pi"}}')
    (tmp_path / name).write_bytes(b"\x00{[damaged\n")
    report_run(tmp_path)
    page = read(tmp_path / "report.html")
    assert str(tmp_path / name) in page.words
    assert ("91.0 %" in page.words) == (name != "summary.json")
    assert ("a Pi" in page.words) == (name != "environment.json")


def test_strange_types_in_a_summary(tmp_path):
    odd = [None, True, "x", [1], {"a": [1]}, 10**400, 1e308, -1]
    for value in odd:
        keys = made_summary(0.9, 50).keys() | {"per_class", "reason", "status", "chosen_epoch"}
        summary = dict.fromkeys(keys, value)
        summary["per_class"] = [value, {"class_name": value, "f1": value}]
        write_json(tmp_path / "summary.json", summary)
        report_run(tmp_path)
        read(tmp_path / "report.html")


def test_no_run_no_page(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        report_run(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_everything_is_escaped_unless_it_was_made_here():
    evil = "</td><script>&\"'"
    made = table([evil], [[Cell(evil)]]) + tag("p", evil, title=evil)
    reader = Reader(made)
    assert "script" not in reader.tags
    assert reader.words.replace("\n", "") == evil * 3


@pytest.mark.parametrize("name", ["javascript:alert(1)", "//host/x", "a b?c#d", "\ud800", "../up"])
def test_links_stay_beside_the_page(name):
    (address,) = Reader(link(name, "shown")).addresses
    assert address.startswith("./")
    assert not set("?#: ") & set(address)


def test_a_lone_surrogate_does_not_break_the_file():
    assert page("\ud800", tag("p", "\udfff")).encode()


def test_the_page_of_a_data_set_shows_signals_spectra_and_what_is_refused(tmp_path, forked_command):
    dice = random.Random(1)
    for label in ("walk", "<b>run"):
        for number in range(3):
            path = tmp_path / "data" / label / f"{number}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = (f"{0.02 * k:.2f},{dice.random()},{dice.random()}\n" for k in range(200))
            path.write_text("time,ax (g),ay\n" + "".join(rows))
    words = ("data", "dataset=recordings", "dataset.path=data", "dataset.length=50")
    done = forked_command(*words, "--page", "look.html")
    assert done.returncode == 0, done.stderr
    page = read(tmp_path / "look.html")
    assert page.tags.count("polyline") == 2 * 2 * 2  # windows and spectra, channels, classes
    assert "b" not in page.tags
    for part in ("ax (g), g", "walk/1.csv", "Hz", "time (time)"):
        assert part in page.words
    assert page.addresses == ["data:,"]
    done = forked_command(*words, "dataset.columns=[none]", "--page=refused.html")
    assert done.returncode == 2
    assert "A run would be refused: " in read(tmp_path / "refused.html").words
    for wrong in (("--page",), ("--page", "nowhere/look.html"), ("--page", "look.csv")):
        done = forked_command(*words, *wrong)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
