"""Send what a folder holds and a tracker has not seen; remember in tracker.json how far that is."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from raspitrain.config.rules import leaves
from raspitrain.errors import InputError
from raspitrain.report.read import read_bytes, read_json
from raspitrain.results.json_file import write_json
from raspitrain.results.table import read_rows
from raspitrain.results.values import texts
from raspitrain.track import RunFacts, Tracker

SENT = "tracker.json"  # in a run's folder, and in that of a sweep
POLL_SECONDS = 2.0
RUN_ENDED = ("completed", "stopped_early", "diverged", "failed", "interrupted", "pruned", "refused")


@dataclass
class Sent:
    """How far a tracker has been told of one folder.

    Attributes
    ----------
    run_id : as `Tracker.begin` gave it; None before
    step : of the last row that was sent; 0 before
    ended : the status of the summary that was sent; None before
    """

    run_id: str | None = None
    step: int = 0
    ended: str | None = None


@dataclass
class Follower:
    """One run's folder and the tracker that is to know of it.

    Parameters
    ----------
    key : what tells this tracker from others in tracker.json: its name and where it sends
    """

    folder: Path
    tracker: Tracker
    key: str
    parent: str | None = None
    begun: bool = False
    sent: Sent = field(init=False)

    def __post_init__(self) -> None:
        self.sent = _read_sent(self.folder, self.key)

    def begin(self, facts: RunFacts) -> None:
        self.sent.run_id = self.tracker.begin(facts, self.sent.run_id)
        self.begun = True
        self._remember()

    def catch_up(self) -> bool:
        """Send what is new; return whether the run has ended and all of it is sent.

        Raises
        ------
        OSError
            The tracker cannot be reached; what it has taken is remembered.
        InputError
            The folder holds no run, or files that are no run's.
        """
        config = _read_config(self.folder)
        if not self.begun:
            self.begin(_facts(self.folder, config, self.parent))
        rows = [
            {name: value for name, value in row.items() if value is not None}
            for row in _rows(self.folder)
            if (row["step"] or 0) > self.sent.step
        ]
        for start in range(0, len(rows), 500):
            part = rows[start : start + 500]
            self.tracker.evaluation(part)
            self.sent.step = int(part[-1]["step"])
            self._remember()
        summary = _summary(self.folder)
        status = summary.get("status")
        if status not in RUN_ENDED:
            return False
        if self.sent.ended != status or rows:
            self.tracker.end(summary)
            self.sent.ended = str(status)
            self._remember()
        return True

    def _remember(self) -> None:
        everything = _read_all_sent(self.folder)
        write_json(self.folder / SENT, everything | {self.key: vars(self.sent)})


class Watched(Protocol):
    """A folder that followers look at: a run's, or a sweep's."""

    def followers(self) -> list[Follower]:
        """Asked anew each time, as a sweep's jobs begin one by one."""

    def is_complete(self) -> bool:
        """Whether no further follower will come."""


def follow(
    watched: Watched,
    *,
    until_ended: bool,
    tell: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Bring every follower up to date, and with `until_ended` go on until all runs have ended.

    Parameters
    ----------
    tell : takes a sentence when a tracker cannot be reached, and when it can again

    Returns
    -------
    list of str
        Why folders could not be sent in the end; empty where all went well.
    """
    wait = 0.0
    while True:
        problems: list[str]
        problems, ended, folder = [], watched.is_complete(), None
        try:
            for follower in watched.followers():
                folder = follower.folder
                ended = follower.catch_up() and ended
        except OSError as error:  # of one, and so of the others: they have one tracker
            problems = [f"{folder}: {error}" if folder else str(error)]
        if not until_ended or (ended and not problems):
            return problems
        if problems and not wait:
            tell(f"{problems[0]}; trying again")
        elif wait and not problems:
            tell("the tracker answers again")
        # A server that is gone is asked less and less often, at most once a minute.
        wait = min(60.0, max(POLL_SECONDS, 2 * wait)) if problems else 0.0
        sleep(wait or POLL_SECONDS)


def _read_all_sent(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / SENT, folder)
    except InputError:
        return {}  # none yet, or damaged: a tracker then gets everything again


def _read_sent(folder: Path, key: str) -> Sent:
    known = _read_all_sent(folder).get(key)
    try:
        sent = Sent(**known) if isinstance(known, dict) else Sent()
    except TypeError:
        return Sent()
    good = isinstance(sent.step, int) and isinstance(sent.run_id, str)
    return sent if good else Sent()


def _rows(folder: Path) -> list[dict[str, Any]]:
    if not (folder / "metrics.csv").exists():
        return []
    read_bytes(folder / "metrics.csv", folder)  # for its refusals
    return list(read_rows(folder / "metrics.csv"))


def _summary(folder: Path) -> dict[str, Any]:
    return read_json(folder / "summary.json", folder) if (folder / "summary.json").exists() else {}


def _read_config(folder: Path) -> dict[str, Any]:
    config = _yaml(folder, "config.yaml")
    if not isinstance(config, dict):
        raise InputError(f"{folder} is not the folder of a run: it has no config.yaml")
    return config


def _yaml(folder: Path, name: str) -> Any:
    try:
        return yaml.safe_load(read_bytes(folder / name, folder, largest=10**6))
    except InputError:
        return None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{folder / name} is damaged: it is not whole YAML") from error


def _facts(folder: Path, config: Mapping[str, Any], parent: str | None) -> RunFacts:
    began = (folder / "config.yaml").stat().st_mtime
    overrides = tuple(texts(_yaml(folder, "overrides.yaml")))
    name = folder.name if parent is not None else f"{folder.parent.name}/{folder.name}"
    parameters = {key: _parameter(value) for key, value in leaves(config)}
    return RunFacts(name, str(folder), parameters, overrides, parent, began)


def _parameter(value: Any) -> Any:
    """A value as a tracker takes it: a number or a string."""
    plain = value is None or isinstance(value, bool | int | float | str)
    return value if plain else json.dumps(value, default=str)
