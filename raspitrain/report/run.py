"""The page of a run, from whatever of its files is there."""

import os
from pathlib import Path
from typing import Any

from raspitrain.errors import InputError
from raspitrain.paths import absolute
from raspitrain.report.preset import read_config
from raspitrain.report.read import read_bytes, read_json, read_yaml
from raspitrain.report.run_page import run_page
from raspitrain.results.atomic import write_atomic
from raspitrain.results.files import OF_A_REPORT
from raspitrain.results.table import read_rows
from raspitrain.results.values import text, texts


def report_run(folder: str | os.PathLike[str], *, draw_missing: bool = True) -> Path:
    """Write report.html into the folder of a run, finished or not.

    Parameters
    ----------
    draw_missing : whether to draw the curves that an ended run did not come to

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        The folder holds no run.
    OSError
        The card is full, read-only or broken.
    """
    from raspitrain.report.sweep import shown_path

    folder = absolute(folder)
    if not is_run(folder):
        raise InputError(f"{folder} holds no run: there is none of {', '.join(OF_A_REPORT)}")
    problems: list[str] = []

    def read(reader: Any, name: str, otherwise: Any) -> Any:
        try:
            return reader(folder / name, folder)
        except InputError as error:
            if (folder / name).exists():
                problems.append(f"{error}.")
            return otherwise

    summary = read(read_json, "summary.json", {})
    rows = read(_rows, "metrics.csv", [])
    config = read(read_config, "config.yaml", {})
    if not summary:
        problems.append("There is no summary: the run goes on, or was ended from outside.")
    if draw_missing:
        _draw_missing(folder, rows)
    path = folder / "report.html"
    content = run_page(
        folder,
        shown=shown_path(folder),
        summary=summary,
        rows=rows,
        config=config,
        config_text=read(_text, "config.yaml", "") if config else "",
        overrides=texts(read(read_yaml, "overrides.yaml", [])),
        environment=read(read_json, "environment.json", {}),
        problems=problems,
    )
    write_atomic(path, content.encode())
    return path


def is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in OF_A_REPORT)


def _rows(path: Path, within: Path) -> list[dict[str, Any]]:
    read_bytes(path, within)  # for its refusals
    return read_rows(path)


def _text(path: Path, within: Path) -> str:
    words = read_bytes(path, within, largest=10**6).decode("utf-8", "replace")
    return "\n".join(text(line) for line in words.splitlines())


def _draw_missing(folder: Path, rows: list[dict[str, Any]]) -> None:
    """The curves of a run that was ended before it drew them."""
    from raspitrain.report.plots import plot_accuracy, plot_loss

    for name, plot in (("accuracy.png", plot_accuracy), ("loss.png", plot_loss)):
        if rows and not (folder / name).exists():
            plot(rows, folder / name)
