"""python -m raspitrain.track FOLDER tracker=NAME: a run's or a sweep's figures, sent on."""

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from raspitrain.errors import InputError, printable
from raspitrain.nearest import did_you_mean
from raspitrain.paths import absolute
from raspitrain.report.jobs import OPEN, load_sweep
from raspitrain.track import RunFacts, Tracker
from raspitrain.track.follow import Follower, Watched, follow
from raspitrain.track.mlflow import MLflow
from raspitrain.track.tensorboard import TensorBoard

TRACKERS: dict[str, Callable[..., Tracker]] = {"tensorboard": TensorBoard, "mlflow": MLflow}
UNSENT = 75  # a server that does not answer may answer later: EX_TEMPFAIL of sysexits.h


def main(arguments: Sequence[str] | None = None) -> int:
    """Send a folder's figures; return the exit code: 0, 2 for a mistake, 75 if some are unsent."""
    parser = argparse.ArgumentParser(
        prog="python -m raspitrain.track",
        description="Send the figures of a run or a sweep to a tracker, each once: tensorboard "
        "(an event file in the run's folder) or mlflow (tracker.url=http://host:5000).",
    )
    parser.add_argument("folder", type=Path, help="of a run, or of a sweep (with jobs.json)")
    parser.add_argument("settings", nargs="+", metavar="tracker=NAME", help="and tracker.KEY=VALUE")
    parser.add_argument("--follow", action="store_true", help="go on until the run has ended")
    given = parser.parse_intermixed_args(arguments)

    def tell(sentence: str) -> None:
        print(printable(sentence), file=sys.stderr, flush=True)

    try:
        make, key = read_settings(given.settings)
        watched = _watched(absolute(given.folder), make, key)
        problems = follow(watched, until_ended=given.follow, tell=tell)
    except InputError as error:
        tell(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        return 130
    for problem in problems:
        tell(f"error: {problem}; the same command sends the rest")
    return UNSENT if problems else 0


def read_settings(words: Sequence[str]) -> tuple[Callable[[], Tracker], str]:
    """What makes the tracker that `tracker=NAME tracker.KEY=VALUE …` describe, and its key in
    tracker.json.

    Raises
    ------
    InputError
        There is no such tracker, or a key that it does not have, or one that it needs.
    """
    typed: Any = OmegaConf.to_container(OmegaConf.from_dotlist([w for w in words if "." in w]))
    names = [word.removeprefix("tracker=") for word in words if word.startswith("tracker=")]
    if len(names) != 1 or len(words) != len(names) + sum(w.startswith("tracker.") for w in words):
        raise InputError("give tracker=NAME once, and tracker.KEY=VALUE as needed")
    name = names[0]
    if name not in TRACKERS:
        hint = did_you_mean(name, TRACKERS) or f"; there are {', '.join(TRACKERS)}."
        raise InputError(f"tracker={name}: there is no such tracker{hint}")
    defaults = Path(__file__).with_name(f"{name}.yaml")
    settings: Any = OmegaConf.to_container(OmegaConf.load(defaults)) if defaults.exists() else {}
    for key, value in typed.get("tracker", {}).items():
        if key not in settings:
            known = ", ".join(f"tracker.{k}" for k in settings) or "none"
            raise InputError(f"tracker.{key} is not a key of tracker={name}; its keys: {known}.")
        settings[key] = value
    for key, value in settings.items():
        if value == "???":
            raise InputError(f"tracker.{key} is not given: add tracker.{key}=… to the command.")
    make = functools.partial(TRACKERS[name], **settings)
    make()  # for its own refusals
    return make, f"{name} {settings.get('url', '')}".strip()


@dataclass
class RunFolder:
    """A run by itself."""

    follower: Follower

    def followers(self) -> list[Follower]:
        return [self.follower]

    def is_complete(self) -> bool:
        return True


@dataclass
class SweepFolder:
    """A sweep: a run of its own, which has no figures, with a child for each job that has begun."""

    parent: Follower
    make: Callable[[], Tracker]
    jobs: dict[Path, Follower] = field(default_factory=dict)

    def followers(self) -> list[Follower]:
        folder, parent = self.parent.folder, self.parent
        sweep = load_sweep(folder)
        if not parent.begun:
            began = (folder / "jobs.json").stat().st_mtime
            parent.begin(RunFacts(sweep.name, str(folder), {}, sweep.command, None, began))
        for job in (folder / job.folder for job in sweep.jobs):
            inside = job.resolve().is_relative_to(folder.resolve())
            if inside and job not in self.jobs and (job / "config.yaml").exists():
                self.jobs[job] = Follower(job, self.make(), parent.key, parent.sent.run_id)
        return list(self.jobs.values())

    def is_complete(self) -> bool:
        return not any(job.status in OPEN for job in load_sweep(self.parent.folder).jobs)


def _watched(folder: Path, make: Callable[[], Tracker], key: str) -> Watched:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give that of a run or a sweep")
    follower = Follower(folder, make(), key)
    return SweepFolder(follower, make) if (folder / "jobs.json").exists() else RunFolder(follower)


if __name__ == "__main__":
    sys.exit(main())
