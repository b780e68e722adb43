"""The house's floors: who may import whom, and where Hydra may be seen (docs/design.md)."""

import ast
import functools
from pathlib import Path

HOUSE = Path(__file__).parents[1] / "raspitrain"
# From the ground up. A room imports from rooms below it; inside a room anything but a circle.
FLOORS = (
    ("errors", "nearest", "paths"),
    ("stop",),
    ("results",),
    ("cache",),
    ("compiled",),
    ("hardware", "distributed"),
    ("data.files",),
    ("model.engine", "data"),
    ("model",),
    ("training",),
    ("config",),
    ("tuning",),
    ("report",),
    ("use",),
    ("export",),
    ("run",),
    ("track",),
    ("predict", "check", "sign", "stream", "calibrate", "api", "evaluate", "export.__main__"),
    ("sweep",),
    ("boards",),
    ("doctor",),
    ("cli",),
    ("__main__", "compare"),
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    names = {}
    for path in sorted(HOUSE.rglob("*.py")):
        parts = ("raspitrain", *path.relative_to(HOUSE).with_suffix("").parts)
        names[".".join(parts).removesuffix(".__init__")] = path
    return names


@functools.cache
def imports(path: Path) -> list[str]:
    """What a file imports, inside functions and for types too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def room_of(module: str) -> str:
    name = module.removeprefix("raspitrain").removeprefix(".")
    if name == "export.__main__":
        return name  # a command, over what a run left
    below = (room for room in ("model.engine", "data.files") if f"{name}.".startswith(f"{room}."))
    return next(below, name.split(".")[0])


def graph() -> dict[str, set[str]]:
    known = modules()
    return {
        name: {target for target in imports(path) if target in known and target != name}
        for name, path in known.items()
    }


def test_nobody_reaches_upstairs():
    wrong = [
        f"{name} -> {target}"
        for name, targets in graph().items()
        for target in sorted(targets)
        if "raspitrain" not in (name, target)
        and room_of(name) != room_of(target)
        and FLOOR_OF[room_of(target)] >= FLOOR_OF[room_of(name)]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_circles():
    arrows = graph()
    done: set[str] = set()

    def walk(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join([*above[above.index(name) :], name])
        if name in done:
            return
        for target in sorted(arrows[name]):
            walk(target, (*above, name))
        done.add(name)

    for name in arrows:
        walk(name, ())


def test_only_the_door_and_the_plugins_import_hydra():
    wrong = {
        name
        for name, path in modules().items()
        if room_of(name) != "cli"
        and any(target.split(".")[0] in ("hydra", "hydra_plugins") for target in imports(path))
    }
    assert not wrong


def test_every_room_has_a_floor():
    assert {room_of(name) for name in modules()} - {""} == set(FLOOR_OF)
