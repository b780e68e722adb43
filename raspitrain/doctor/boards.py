"""python -m raspitrain.doctor --boards: whether boards will do for a sweep, all asked at once."""

import json
import os
import shlex
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from raspitrain.errors import InputError, aligned
from raspitrain.paths import expanded
from raspitrain.sweep.board import facts
from raspitrain.sweep.places import HERE, There, ask_facts, split_name
from raspitrain.sweep.ssh import Host

SENT_MB = 10
COLUMNS = ("board", "kind", "python", "clock", "disk", "sent at")


def look_at_boards(boards: Sequence[str], ssh_config: str | None) -> list[dict[str, Any]]:
    """For each board what it is, and in `wrong` why it will not do, a sentence, or None; `here` is
    this machine.

    Raises
    ------
    InputError
        A word names no host.
    """
    named = [split_name(word) for word in boards]
    own = facts()
    if ssh_config is not None and not expanded(ssh_config).is_file():
        raise InputError(f"--ssh-config {ssh_config}: there is no such file.")
    config = None if ssh_config is None else str(expanded(ssh_config).absolute())
    with tempfile.TemporaryDirectory(prefix="raspitrain-", ignore_cleanup_errors=True) as control:
        places = [
            There(Host(host, config, control), python, 1, "", own, "") for host, python in named
        ]
        with ThreadPoolExecutor(len(places)) as pool:
            found = list(pool.map(_look_at, places))
        for place in places:
            if place.name != HERE:
                place.close()
    return found


def _look_at(board: There) -> dict[str, Any]:
    if board.name == HERE:
        nothing_sent = {"clock_seconds": 0.0, "mb_per_second": None, "note": None}
        return {**board.own, "board": HERE, "wrong": board.unfit(facts()), **nothing_sent}
    found, sentence, _ = ask_facts(board.host, board.pythons)
    if found is None:
        return {"board": board.name, "wrong": sentence}
    clock = found["clock"] - time.time()
    noise = os.urandom(SENT_MB * 10**6)  # nothing that ssh could compress
    began = time.monotonic()
    sent = board.host.ask("cat >/dev/null", seconds=120, data=noise)
    seconds = time.monotonic() - began
    return found | {
        "board": board.name,
        "wrong": board.unfit(found),
        "clock_seconds": round(clock, 1),
        "mb_per_second": round(SENT_MB / seconds, 1) if sent.code == 0 else None,
        "note": board.torch_note(found),
    }


def as_text(found: Sequence[dict[str, Any]]) -> str:
    """A table of the boards, and under it what is wrong with each."""
    rows = [
        [
            board["board"],
            board["kind"],
            shlex.quote(board["python"]),
            f"{board['clock_seconds']:+.0f} s",
            f"{board['disk_free_mb'] / 1000:.1f} GB",
            "-" if board["board"] == HERE else f"{board['mb_per_second'] or 0:.0f} MB/s",
        ]
        for board in found
        if "kind" in board
    ]
    lines = []
    if rows:
        lines = [*aligned([COLUMNS, *rows]), ""]
    lines += [board["wrong"] for board in found if board["wrong"]]
    lines += [board["note"] for board in found if not board["wrong"] and board["note"]]
    ready = sum(board["wrong"] is None for board in found)
    lines.append(f"{ready} of {len(found)} boards will do.")
    return "\n".join(lines)


def as_json(found: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"boards": list(found), "exit_code": exit_code(found)}, indent=2)


def exit_code(found: Sequence[dict[str, Any]]) -> int:
    return 1 if any(board["wrong"] or board.get("note") for board in found) else 0
