"""raspitrain data …: what a run with these words would take as data, without training.

    python -m raspitrain data FOLDER

says what is taken, left out and suspicious, and ends with the sentence of a refusal where a run
would. It writes nothing but, with --page FILE, a page for a browser: a signal of each class,
spectra, counts, recordings.
"""

import functools
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from raspitrain.config.build import build_cases, frontend_of
from raspitrain.config.composition import check_composition
from raspitrain.data.cases import Cases
from raspitrain.data.split import Split, split_cases
from raspitrain.data.summary import DataSummary, summarise
from raspitrain.errors import InputError, aligned, input_error, printable, reason
from raspitrain.paths import expanded, options_of
from raspitrain.results.atomic import write_atomic
from raspitrain.stop import say

MOST_ROWS = 40  # channels or recordings that are listed
WRONG_WORDS = ("--multirun", "-m", "--resume")


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say; return the exit code."""
    words = list(sys.argv[1:] if words is None else words)
    if {"-h", "--help"} & set(words):
        print(usage())
        return 0
    try:
        page = _page(words)
    except InputError as error:
        say(f"error: {printable(str(error))}")
        return error.exit_code
    for word in words:
        if word in WRONG_WORDS or word.startswith("resume="):
            say(f"error: {printable(word)} does not go with data, which only looks at one data set")
            return 2
    from raspitrain.cli.main import look

    return look(words, functools.partial(show, page=page))


def usage() -> str:
    return f"""\
usage: raspitrain data PATH [key=value ...] [--page FILE.html]
       raspitrain data dataset=NAME [key=value ...] [--page FILE.html]

What a run with these words would take as data, what it would leave out and what looks suspicious,
without training. It ends with the sentence of a refusal where a run would.

  PATH               a folder of recordings, or another data set that its name tells; the words
                     that stand for it in training are printed
  dataset=NAME       one of {", ".join(options_of("dataset"))}
  key=value          any key of a run: dataset.path=FOLDER, split.test=0.3, ...; those of a data set
                     stand in docs/configuration.md
  --page FILE.html   also a page for a browser: a signal of each class, spectra, recordings

  raspitrain data FOLDER --page look.html"""


def _page(words: list[str]) -> Path | None:
    """Take --page FILE out of the words."""
    for k, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name != "--page":
            continue
        taken = 1 if equals else 2
        value = value if equals else "".join(words[k + 1 : k + 2])
        if not value or value.startswith("-") or not value.lower().endswith((".html", ".htm")):
            raise InputError("--page needs the name of a file for it, as in --page data.html.")
        del words[k : k + taken]
        return expanded(value)
    return None


def show(cfg: DictConfig, overrides: Sequence[str], *, page: Path | None = None) -> None:
    """Print what the configuration takes as data, and write it as a page if there is to be one.

    Raises
    ------
    InputError
        As a run would; or the page cannot be written.
    """
    from raspitrain.report.data_page import data_page, refusal_page

    try:
        cases, split, summary = _look(cfg, overrides)
    except InputError as error:
        if page is not None:
            _write(page, refusal_page(printable(str(error))))
        raise
    for line in lines(cases, summary):
        print(printable(line))
    if page is not None:
        _write(page, data_page(cases, split, summary))
        print(f"\n{printable(str(page))} shows it in a browser")


def _write(path: Path, text: str) -> None:
    try:
        write_atomic(path, text.encode())
    except OSError as error:
        raise input_error(f"{path} cannot be written ({reason(error)}).", error) from None


def _look(cfg: DictConfig, overrides: Sequence[str]) -> tuple[Cases, Split, DataSummary]:
    check_composition(cfg, list(overrides))
    cases = build_cases(cfg.dataset, list(cfg.allowed_targets))
    split = split_cases(cases, seed=cfg.seed, **cfg.split)
    frontend = frontend_of(cfg, cases)
    if frontend is not None:
        told = f"frontend={frontend.kind}: {frontend.words(cases.signals.shape[2])}"
        taken = replace(cases.taken, notes=(*cases.taken.notes, told))
        cases = replace(cases, taken=taken)
    return cases, split, summarise(cases, split)


def lines(cases: Cases, summary: DataSummary) -> list[str]:
    """The lines that are printed."""
    record = summary.record
    shown = [f"data  {summary.line}", ""]
    parts = list(next(iter(record["cases_by_class"].values())))
    counts = [[name, *(str(own[part]) for part in parts)]
              for name, own in record["cases_by_class"].items()]  # fmt: skip
    shown += _table(["class", *parts], counts)
    channels = []
    for channel in record["channels"]:
        inner = [channel["quantiles"][level] for level in ("0.01", "0.5", "0.99")]
        figures = [channel["min"], *inner, channel["max"]]
        shown_figures = [f"{figure:.4g}" for figure in figures]
        channels.append([channel["name"], channel["unit"] or "", *shown_figures])
    shown += _table(["channel", "unit", "least", "1 %", "median", "99 %", "greatest"], channels)
    if record["left_out_columns"]:
        shown += _table(["column left out", "why"],
                        [[c["column"], c["why"]] for c in record["left_out_columns"]])  # fmt: skip
    if cases.taken.origins:
        rows = [
            [o.name, "+".join(o.classes), str(o.num_samples),
             "" if o.rate is None else f"{o.rate:.4g}", str(o.num_gaps + o.num_back)]
            for o in cases.taken.origins
        ]  # fmt: skip
        shown += _table([cases.taken.what, "class", "samples", "Hz", "cuts"], rows)
    warnings = [f"warning: {warning}" for warning in summary.warnings]
    return shown + (warnings or ["nothing suspicious was found"])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width, a blank line after them."""
    out = aligned([header, *rows[:MOST_ROWS]])
    if len(rows) > MOST_ROWS:
        out.append(f"… and {len(rows) - MOST_ROWS} more")
    return [*out, ""]


if __name__ == "__main__":
    sys.exit(main())
