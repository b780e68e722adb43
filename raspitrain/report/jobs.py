"""A sweep as its folder tells it: jobs.json, and the summary that each job left."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from raspitrain.errors import InputError
from raspitrain.report.read import read_json
from raspitrain.results.figures import FIRST, figures_of
from raspitrain.results.summary import FINISHED, doubts_of, status_of
from raspitrain.results.values import Scalars, label, number, text, texts, whole

FORMAT = "raspitrain sweep"
FORMAT_VERSION = 1

OPEN = ("pending", "running")
UNNAMED = "the machine of a start without boards"  # of a job that does not say its kind
DAMAGED = "damaged"  # finished, says jobs.json, but what it left cannot be read


@dataclass(frozen=True)
class JobReport:
    """One job of a sweep, every text safe to show and every number finite.

    Attributes
    ----------
    values : the swept keys and what this job had for them
    figures : the numbers, words and truths of its summary.json, keys joined by dots
    repeat_of : the number of the job that this one repeats to show drift
    doubts : what its summary warns of, in a few words each
    host, kind : where it ran, of a sweep over boards, and what its speed may be compared with
    """

    number: int
    name: str = ""
    folder: str = ""
    overrides: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    status: str = DAMAGED
    reason: str | None = None
    log_tail: tuple[str, ...] = ()
    exit_code: int | None = None
    seconds: float | None = None
    repeat_of: int | None = None
    figures: Scalars = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    host: str | None = None
    kind: str = UNNAMED

    @property
    def finished(self) -> bool:
        return self.status in FINISHED

    @property
    def throttled(self) -> bool:
        return self.figures.get("thermal.throttled") is True

    def number_of(self, figure: str) -> float | None:
        return number(self.figures.get(figure))


@dataclass(frozen=True)
class SweepReport:
    folder: Path
    name: str
    task: str
    started: str | None
    finished: str | None
    command: tuple[str, ...]
    swept: tuple[str, ...]
    jobs: tuple[JobReport, ...]

    @property
    def has_hosts(self) -> bool:
        """Whether it was one over boards."""
        return any(job.host is not None for job in self.jobs)

    @property
    def kinds(self) -> list[str]:
        """The kinds of boards that finished jobs ran on: speeds are compared within one."""
        if not self.has_hosts:
            return []
        return sorted({job.kind for job in self.jobs if job.finished})

    @property
    def figure_names(self) -> list[str]:
        """Every figure that some job has, those that matter most first."""
        names = dict.fromkeys(name for job in self.jobs for name in job.figures)
        rest = [name for name in names if name not in FIRST]
        return [n for n in FIRST if n in names] + sorted(rest, key=lambda name: "." in name)


def load_sweep(folder: Path) -> SweepReport:
    """Read jobs.json and the summaries; a job whose files will not do says so in its reason.

    Raises
    ------
    InputError
        jobs.json is missing, damaged, or not of a raspitrain sweep.
    """
    path = folder / "jobs.json"
    try:
        content = read_json(path, folder)
    except InputError as error:
        raise InputError(
            f"{error}; the sweep's own command makes it anew, and runs nothing again that has "
            "finished."
        ) from error
    if content.get("format") != FORMAT:
        raise InputError(f"{path} is not of a raspitrain sweep; give the folder of one")
    if content.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{path} has format {label(content.get('format_version'))}, and this raspitrain reads "
            f"format {FORMAT_VERSION}; use the raspitrain that wrote it"
        )
    entries = content.get("jobs")
    if not isinstance(entries, list):
        raise InputError(f"{path} is damaged: it lists no jobs")
    jobs = [_job(folder, entry, k) for k, entry in enumerate(entries)]
    name = content.get("name")
    return SweepReport(
        folder=folder,
        name=text(name, 200) if isinstance(name, str) and name else folder.name,
        task="throughput" if content.get("task") == "throughput" else "train",
        started=_time(content.get("started")),
        finished=_time(content.get("finished")),
        command=tuple(texts(content.get("command"))),
        swept=tuple(dict.fromkeys(texts(content.get("swept"), 100))),
        jobs=tuple(sorted(jobs, key=lambda job: job.number)),
    )


def _job(folder: Path, entry: Any, position: int) -> JobReport:
    if not isinstance(entry, dict):
        return JobReport(
            position, f"job {position}", reason="its entry in jobs.json is no JSON object"
        )
    where = entry.get("folder")
    values = entry.get("values")
    number_ = whole(entry.get("number"))
    status, reason = text(entry.get("status"), 40), entry.get("reason")
    figures: Scalars = {}
    doubts: list[str] = []
    try:
        inside = job_folder(folder, where)
        # A job that did not finish may have left figures too, but need not.
        if status in FINISHED or (status not in OPEN and (inside / "summary.json").exists()):
            summary = read_json(inside / "summary.json", folder)
            figures, doubts = figures_of(summary), doubts_of(summary)
            if status in FINISHED:
                status, told = status_of(summary | {"status": status})
                reason = told if status == "diverged" else reason
    except InputError as error:
        if status in FINISHED:
            status, reason = DAMAGED, str(error)
    except OSError as error:
        status, reason = DAMAGED, f"its folder cannot be read ({error.strerror})"
    return JobReport(
        number=position if number_ is None else number_,
        name=text(entry.get("name") or where or f"job {position}", 200),
        folder=where if isinstance(where, str) else "",
        overrides=tuple(texts(entry.get("overrides"))),
        values={text(k, 200): _value(v) for k, v in values.items()}
        if isinstance(values, dict)
        else {},
        status=status,
        reason=None if reason is None else text(reason, 1000),
        log_tail=tuple(texts(entry.get("log_tail"), 100)),
        exit_code=whole(entry.get("exit_code")),
        seconds=number(entry.get("seconds")),
        repeat_of=whole(entry.get("repeat_of")),
        figures=figures,
        doubts=tuple(doubts),
        host=text(entry["host"], 100) if isinstance(entry.get("host"), str) else None,
        kind=text(entry["kind"], 200) if isinstance(entry.get("kind"), str) else UNNAMED,
    )


def job_folder(sweep: Path, name: Any) -> Path:
    """Where a job's files are, if that is a folder inside the sweep's.

    Raises
    ------
    InputError : `name` is no text, or leads elsewhere.
    """
    parts = PurePosixPath(name).parts if isinstance(name, str) else ()
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\0" in name:
        raise InputError(f"its folder {text(name, 100)!r} is not one inside the sweep's")
    path = sweep.joinpath(*parts)
    try:
        if not path.resolve().is_relative_to(sweep.resolve()):
            raise InputError(f"its folder {text(name, 100)!r} is a link that leaves the sweep's")
    except (OSError, RuntimeError) as error:
        raise InputError(f"its folder {text(name, 100)!r} is a link that leads nowhere") from error
    return path


def _value(value: Any) -> Any:
    """A swept value, plain and fit to be a key of a dict."""
    if value is None or isinstance(value, bool):
        return value
    plain = number(value)
    if plain is not None:
        return value if abs(plain) < 2**53 else plain
    try:
        return text(value if isinstance(value, str) else json.dumps(value), 200)
    except (TypeError, ValueError, RecursionError):
        return "…"


def _time(value: Any) -> str | None:
    return text(value, 40) if isinstance(value, str) else None
