"""search.jsonl: what a search asked for and what it was told, a line each, in that order.

With several places at work it is this order that decides what is drawn next. A line is on the card
before anything follows from it.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raspitrain.errors import InputError
from raspitrain.results.atomic import append_lines

FILE = "search.jsonl"


class Log:
    """The log of one search, read at its start and added to.

    Attributes
    ----------
    description : what the search is over and for; empty where there is no log yet
    params : of each trial that was asked for, by its number
    told : of each that has ended its `state`, `values` (None but where complete) and `evaluations`

    Raises
    ------
    InputError
        There is a file of that name, and it is no such log.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.description: dict[str, Any] = {}
        self.params: dict[int, dict[str, Any]] = {}
        self.told: dict[int, dict[str, Any]] = {}
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return
        whole, _, _ = text.rpartition(b"\n")  # a power cut may have torn the last line
        try:
            for line in whole.splitlines():
                self._take(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"{self.path} is damaged: move it away, and it is written anew from study.db."
            ) from error

    @property
    def num_asked(self) -> int:
        return len(self.params)

    def begin(self, description: Mapping[str, Any]) -> None:
        if not self.description:
            self._add({"search": dict(description)})

    def asked(self, number: int, params: Mapping[str, Any]) -> None:
        self._add({"ask": number, "params": dict(params)})

    def tell(
        self, number: int, state: str, values: Sequence[float] | None,
        evaluations: Sequence[float], doubts: Sequence[str],
    ) -> None:  # fmt: skip
        how = {"state": state, "values": values, "evaluations": list(evaluations)}
        self._add({"tell": number, **how, **({"doubts": list(doubts)} if doubts else {})})

    def _take(self, entry: Mapping[str, Any]) -> None:
        if "search" in entry:
            self.description = dict(entry["search"])
        elif "ask" in entry:
            if entry["ask"] != self.num_asked:
                raise ValueError("a line is missing")
            self.params[entry["ask"]] = dict(entry["params"])
        else:
            told = {name: entry[name] for name in ("state", "values", "evaluations")}
            self.told[int(entry["tell"])] = told | {"doubts": entry.get("doubts", [])}

    def _add(self, entry: Mapping[str, Any]) -> None:
        self._take(entry)
        append_lines(self.path, f"{json.dumps(entry)}\n", sync=True)
