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

LONG = 24  # letters; what is longer may be broken into lines
LARGEST_PICTURE = 4 * 10**6  # bytes

STYLE = """
:root { color-scheme: light dark; --ink: #222; --soft: #666; --line: #ccc; --paper: #fff;
  --card: #f3f5f7; --good: #00694b; --bad: #a8280b; --link: #0b5394; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e4e4; --soft: #a5a5a5; --line: #444;
  --paper: #16181b; --card: #22262a; --good: #5fd0a5; --bad: #ff9a7a; --link: #8ec5ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 70rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
a { color: var(--link); } p { margin: .5rem 0; }
.soft { color: var(--soft); } .good { color: var(--good); } .bad { color: var(--bad); }
.number { font-size: 2.4rem; font-weight: 650; line-height: 1.2; }
.cards { display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
.card { background: var(--card); border-radius: .5rem; padding: .8rem 1rem; min-width: 0; }
.note { border-left: .25rem solid var(--bad); padding-left: .8rem; }
pre { background: var(--card); border-radius: .4rem; padding: .6rem .8rem; margin: .4rem 0;
  white-space: pre-wrap; font-size: .85rem; } pre.line { user-select: all; }
.card pre { background: var(--paper); } .card h2 { margin-top: 0; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: 0; max-width: 100%; } figcaption { color: var(--soft); font-size: .85rem; }
img { display: block; max-width: min(100%, 32rem); height: auto; background: #fff;
  border-radius: .4rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td.n { overflow-wrap: normal; }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td { white-space: nowrap; }
td.long, .facts td { white-space: normal; min-width: 8rem; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th button { all: unset; cursor: pointer; font-weight: 600; white-space: nowrap; }
th button:focus-visible { outline: 2px solid var(--link); }
th button::after { content: "\\2195"; color: var(--soft); padding-left: .25em; font-weight: 400; }
th[aria-sort=ascending] button::after { content: "\\2191"; color: var(--ink); }
th[aria-sort=descending] button::after { content: "\\2193"; color: var(--ink); }
tr.best td { font-weight: 650; } details { margin: .5rem 0; } summary { cursor: pointer; }
"""

# A click sorts by that column, a second one the other way round; empty cells stay at the end.
SCRIPT = """
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = Array.from(table.tHead.rows[0].cells), body = table.tBodies[0];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const numeric = head.classList.contains("n");
    const first = numeric ? "descending" : "ascending";
    const other = numeric ? "ascending" : "descending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    const sign = order === "ascending" ? 1 : -1;
    const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const rows = Array.from(body.rows, row => [value(row), row]);
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      return sign * (numeric ? a - b : a.localeCompare(b, undefined, {numeric: true}));
    });
    for (const [, row] of rows) body.append(row);
    for (const each of heads) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
  }));
}
"""


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


def number_cell(value: float | None, form: str = ",.4g", scale: float = 1, after: str = "") -> Cell:
    """A number as a cell, an empty one where there is none."""
    if value is None:
        return Cell()
    shown = int(value) if form.endswith("d") else scale * value
    return Cell(f"{shown:{form}}{after}", value)


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
    """A PNG inside the page; None where there is none to be had."""
    try:
        data = read_bytes(path, within, LARGEST_PICTURE)
    except InputError:
        return None
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    width, height = (int.from_bytes(data[k : k + 4], "big") for k in (16, 20))
    image = tag("img", src=f"data:image/png;base64,{base64.b64encode(data).decode()}", alt=words,
                width=str(width), height=str(height))  # fmt: skip
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
