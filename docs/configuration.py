"""Write docs/configuration.md from the comments in conf/.

    python docs/configuration.py

A default and what it means stand in conf/ and nowhere else; this page only shows them together. A
test holds the page against the files.
"""

import re
from collections.abc import Iterator
from pathlib import Path

CONF = Path(__file__).parents[1] / "conf"
PAGE = Path(__file__).with_suffix(".md")
LINE = re.compile(
    r"(?P<indent> *)(?P<key>[\w/.]+):(?: +(?P<value>.*?))?(?:(?:^| +)# (?P<says>.*))?"
)
INTRODUCTION = """\
# Every key

Made from the comments in `conf/` by `python docs/configuration.py`. A key is given on the command
line as `key=value`, a group's option as `group=option` (`model=mobilenetv3_large`), and
`python -m raspitrain --cfg job` prints what they come to. `???` must be given.
"""


def keys(path: Path) -> Iterator[tuple[str, str, str]]:
    """Every key of a file with its value as written and its comment; sections have no value."""
    above: list[tuple[int, str]] = []
    for line in path.read_text().splitlines():
        found = LINE.fullmatch(line)
        if not found:
            continue
        indent = len(found["indent"])
        above = [(i, name) for i, name in above if i < indent] + [(indent, found["key"])]
        yield ".".join(name for _, name in above), found["value"] or "", found["says"] or ""


def heading(path: Path) -> str:
    """The comment that a file begins with."""
    lines = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.lstrip("# "))
    return " ".join(lines)


def table(path: Path, prefix: str, skip: tuple[str, ...] = ()) -> str:
    rows = [
        f"| `{prefix}{key}` | {f'`{value}`' if value else ''} | {says.replace('|', '&#124;')} |"
        for key, value, says in keys(path)
        if not key.startswith(skip) and not key.rsplit(".", 1)[-1].startswith("_")
    ]
    if not rows:
        return ""
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows]) + "\n"


def page() -> str:
    parts = [INTRODUCTION, "## Of every run (`conf/config.yaml`)\n"]
    parts.append(table(CONF / "config.yaml", "", skip=("defaults", "hydra")))
    for folder in sorted(p for p in CONF.iterdir() if p.is_dir() and p.name != "hydra"):
        parts.append(f"## {folder.name}\n")
        for path in sorted(folder.glob("*.yaml")):
            prefix = "" if "@package _global_" in path.read_text() else f"{folder.name}."
            parts.append(f"### `{folder.name}={path.stem}`\n")
            parts += filter(None, [f"{heading(path)}\n" if heading(path) else ""])
            parts += filter(None, [table(path, prefix, skip=("defaults",))])
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"wrote {PAGE}")
