"""One page of HTML in one file: nothing is fetched, and a policy in the page forbids it.

Everything is escaped unless it was made here, and no script runs but the one below, whatever a
class is called.
"""

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from raspitrain.errors import InputError
from raspitrain.report.read import read_bytes
from raspitrain.results.figures import Figure

LONG = 24  # letters; what is longer may be broken into lines
LARGEST_PICTURE = 4 * 10**6  # bytes

STYLE, SCRIPT = (
    (Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("page.css", "page.js")
)


class Html(str):
    """Text that is HTML already."""


def tag(name: str, /, *children: str | None, **attributes: str | None) -> Html:
    """An element; children are escaped unless they are `Html`, None is left out.

    A trailing underscore of an attribute's name falls away (`class_`), others become hyphens.
    """
    opening = name
    for key, value in attributes.items():
        if value is not None:
            key = key.rstrip("_").replace("_", "-")
            opening += f' {key}="{html.escape(value)}"'
    if name in ("img", "meta", "link"):
        return Html(f"<{opening}>")
    inner = "".join(
        child if isinstance(child, Html) else html.escape(child)
        for child in children
        if child is not None
    )
    return Html(f"<{opening}>{inner}</{name}>")


def join(parts: Iterable[str]) -> Html:
    return Html("\n".join(part if isinstance(part, Html) else html.escape(part) for part in parts))


def page(title: str, *body: str) -> str:
    """A whole document."""
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(STYLE)}'; "
        f"script-src '{_hash(SCRIPT)}'; base-uri 'none'; form-action 'none'"
    )
    head = join([
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("link", rel="icon", href="data:,"),  # or a server is asked for favicon.ico
        tag("title", title),
        Html(f"<style>{STYLE}</style>"),
    ])  # fmt: skip
    script = Html(f"<script>{SCRIPT}</script>")
    document = tag("html", tag("head", head), tag("body", join(body), script), lang="en")
    text = f"<!doctype html>\n{document}\n"
    return text.encode("utf-8", "replace").decode()


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


@dataclass(frozen=True)
class Cell:
    """What a cell shows and, for a number, what it is sorted by."""

    shown: str = ""
    value: float | int | None = None


def number_cell(value: float | None, form: str = ",.4g", scale: float = 1) -> Cell:
    """A number as a cell, an empty one where there is none."""
    if value is None:
        return Cell()
    number = int(value) if form.endswith("d") else scale * value
    return Cell(f"{number:{form}}", value)


def figure_cell(figure: Figure, value: float | None, after: str = "") -> Cell:
    """A figure as its table says, without its unit: that stands at the head of the column."""
    return Cell() if value is None else Cell(f"{figure.number(value)}{after}", value)


def table(
    header: Sequence[str], rows: Sequence[Sequence[Cell]], best: frozenset[int] = frozenset()
) -> Html:
    """A table whose columns sort at a click; rows whose position is in `best` are bold.

    A column is one of numbers if every cell that shows something has a value.
    """
    numeric = [
        any(row[k].value is not None for row in rows)
        and all(row[k].value is not None or row[k].shown == "" for row in rows)
        for k in range(len(header))
    ]
    kinds = ["n" if n else None for n in numeric]
    heads = [
        tag("th", tag("button", name, type="button"), class_=kind, scope="col")
        for name, kind in zip(header, kinds, strict=True)
    ]
    body = []
    for k, row in enumerate(rows):
        cells = [
            tag("td", cell.shown, class_=kind or ("long" if len(cell.shown) > LONG else None),
                data_value=None if cell.value is None or not kind else repr(cell.value))
            for cell, kind in zip(row, kinds, strict=True)
        ]  # fmt: skip
        body.append(tag("tr", *cells, class_="best" if k in best else None))
    whole = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", join(body)),
                class_="sortable")  # fmt: skip
    return tag("div", whole, class_="wide")


def facts(pairs: Iterable[tuple[str, str]]) -> Html:
    """Names and values that nobody wants to sort."""
    rows = [tag("tr", tag("td", name, class_="soft"), tag("td", value)) for name, value in pairs]
    return tag("div", tag("table", tag("tbody", *rows)), class_="wide facts")


def picture(path: Path, within: Path, words: str) -> Html | None:
    """A PNG or an SVG inside the page; None where there is none to be had. As an image an SVG runs
    nothing and loads nothing."""
    try:
        data = read_bytes(path, within, LARGEST_PICTURE)
    except InputError:
        return None
    encoded = base64.b64encode(data).decode()
    if data.startswith(b"<svg "):
        image = tag("img", src=f"data:image/svg+xml;base64,{encoded}", alt=words)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = (str(int.from_bytes(data[k : k + 4], "big")) for k in (16, 20))
        image = tag("img", src=f"data:image/png;base64,{encoded}", alt=words,
                    width=width, height=height)  # fmt: skip
    else:
        return None
    return tag("figure", image, tag("figcaption", words))


def pictures(found: Iterable[Html | None]) -> Html | None:
    there = [each for each in found if each is not None]
    return tag("div", *there, class_="pictures") if there else None


def link(folder: str, shown: str) -> Html:
    """A link to something beside the page; never elsewhere, whatever the name."""
    return tag("a", shown, href="./" + quote(folder, errors="replace"))


def folded(title: str, *inside: str | None) -> Html:
    return tag("details", tag("summary", title), *inside)


def command(line: str) -> Html:
    return tag("pre", line, class_="line")
