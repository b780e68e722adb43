"""jobs.json: which jobs a sweep has, and what became of each; written anew at every change.

What a job measured stands in its own folder. Whether it has to be run is asked there too, so that
a sweep whose jobs.json is lost is resumed all the same.
"""

import hashlib
import json
import logging
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raspitrain.errors import InputError
from raspitrain.results.atomic import write_atomic
from raspitrain.results.files import LAST, PREVIOUS, SWEEP_CLAIM
from raspitrain.results.folder import check_no_links
from raspitrain.results.json_file import write_json
from raspitrain.results.summary import FINISHED, PRUNED, status_of

log = logging.getLogger("raspitrain")

FILE = "jobs.json"
FORMAT = "raspitrain sweep"
FORMAT_VERSION = 1
OF_THE_SWEEP = ("launcher", "sweep_name", "resume")  # keys that change nothing about a result
SET_ASIDE = "set_aside"
ID_FILE = ".raspitrain-boards"


@dataclass
class SweepJob:
    """One run of a sweep.

    Attributes
    ----------
    folder : its run folder
    overrides : the job's own, as typed, without Hydra's
    values : its swept keys, parsed
    config : its whole configuration as YAML, everything resolved
    environment : variables to set for its process, beside those of the sweep's own
    repeat_of : the number of the job that it repeats, to show how the machine has drifted
    host, kind : where it ran last, and what its speed may be compared with; None without boards
    """

    number: int
    folder: Path
    overrides: list[str]
    values: dict[str, Any]
    config: str
    environment: dict[str, str]
    repeat_of: int | None = None
    status: str = "pending"
    reason: str | None = None
    log_tail: list[str] = field(default_factory=list)
    exit_code: int | None = None
    started: str | None = None
    seconds: float | None = None
    config_digest: str = ""
    host: str | None = None
    kind: str | None = None

    def __post_init__(self) -> None:
        self.config_digest = config_digest(self.config)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def finished(self) -> bool:
        """Whether it need not be run again."""
        return self.status in (*FINISHED, PRUNED)

    def row(self) -> dict[str, Any]:
        """As it stands in jobs.json."""
        row = asdict(self) | {"name": self.name, "folder": self.name}
        del row["config"], row["environment"]
        return row


@dataclass
class SweepRecord:
    """What jobs.json holds.

    Attributes
    ----------
    swept : the keys that have more than one value, in the order typed
    earlier : rows of an earlier start, to be kept as they are
    """

    folder: Path
    name: str | None
    task: str
    command: list[str]
    swept: list[str]
    jobs: list[SweepJob] = field(default_factory=list)
    earlier: list[dict[str, Any]] = field(default_factory=list)
    started: str = field(default_factory=lambda: now())
    finished: str | None = None

    def write(self) -> None:
        known = {job.name for job in self.jobs}
        jobs = [row for row in self.earlier if row.get("name") not in known]
        jobs += [job.row() for job in self.jobs]
        record = {name: getattr(self, name) for name in ("name", "started", "finished", "task")}
        record |= {"command": self.command, "swept": self.swept, "jobs": jobs}
        write_json(
            self.folder / FILE, {"format": FORMAT, "format_version": FORMAT_VERSION, **record}
        )


def sweep_id(folder: Path) -> str:
    """The sweep's name on boards, made at its first start with any; folders of the same name on
    other machines are other sweeps."""
    path = folder / ID_FILE
    check_no_links(folder, (ID_FILE,))
    with suppress(OSError, ValueError):
        known = _read(path).decode().strip()
        if re.fullmatch("[0-9a-f]{16}", known):
            return known
    made = secrets.token_hex(8)
    write_atomic(path, f"{made}\n".encode())
    return made


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def config_digest(config: str) -> str:
    """Stands for everything in a configuration that a job's results can depend on."""
    import yaml

    # With libyaml where it is there: its parser is ten times as fast.
    values = yaml.load(config, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    kept = {key: value for key, value in values.items() if key not in OF_THE_SWEEP}
    return hashlib.sha256(repr(kept).encode("utf-8", "backslashreplace")).hexdigest()


def _digest_of(path: Path) -> str:
    """The digest of a configuration that an earlier start left, or somebody else."""
    import yaml

    config = _read(path).decode("utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(config, loader)):
        raise ValueError("aliases, which may stand for any amount")
    return config_digest(config)


def _read(path: Path) -> bytes:
    """A file of the folder, which may be a stranger's: a pipe would be waited for."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path.name} is not a file")
    return path.read_bytes()


def read_record(folder: Path) -> dict[str, Any] | None:
    """What an earlier start left in jobs.json; None if there is none, or only a ruin of one.

    Raises
    ------
    InputError
        The folder is no sweep's: files are in it, and not ours.
    """
    path = folder / FILE
    try:
        record = json.loads(_read(path))
    except (FileNotFoundError, NotADirectoryError):
        if _belongs_to_another(folder):
            raise InputError(
                f"{folder} is not empty and holds no sweep: give another sweep_name or "
                "hydra.sweep.dir."
            ) from None
        return None
    except (ValueError, RecursionError):
        aside = set_aside(path)
        log.warning(
            "%s is damaged: it is now %s, and the jobs' own folders are asked.", path, aside
        )
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InputError(
            f"{path} is not that of a raspitrain sweep: give another sweep_name or hydra.sweep.dir."
        )
    if record.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{path} was written by another version of raspitrain: give another sweep_name."
        )
    return record


def _belongs_to_another(folder: Path) -> bool:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return False
    except NotADirectoryError as error:
        raise InputError(
            f"{folder} is a file, not a folder: give another sweep_name or hydra.sweep.dir."
        ) from error
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}).") from error
    return bool(names) and SWEEP_CLAIM not in names


def check_same_keys(record: Mapping[str, Any] | None, swept: Sequence[str], folder: Path) -> None:
    """Two sweeps never share a folder: their jobs would take each other's names."""
    if record is None or not isinstance(earlier := record.get("swept"), list):
        return
    if set(map(str, earlier)) != set(swept):
        raise InputError(
            f"{folder} holds another sweep, over {', '.join(map(str, earlier))}: give another "
            "sweep_name or hydra.sweep.dir."
        )


def recall(job: SweepJob, record: Mapping[str, Any] | None) -> None:
    """Take over what became of `job` on an earlier start, if its folder says that it finished
    under this very configuration; warn if a damaged file is why it cannot be told."""
    folder = job.folder
    kept = _row(record, job)
    if record is not None:
        job.host, job.kind = (
            value if isinstance(value := kept.get(name), str) else None for name in ("host", "kind")
        )
    try:
        if _digest_of(folder / "job.yaml") != job.config_digest:
            return
        summary = json.loads(_read(folder / "summary.json"))
        status, reason = status_of(summary)
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        log.warning("%s holds a damaged result (%s): the job is run again.", folder, error)
        return
    except Exception as error:  # the YAML reader's own
        log.warning("%s/job.yaml is damaged (%s): the job is run again.", folder, error)
        return
    if kept.get("status") in ("failed", "killed", "out_of_memory", "refused", "postponed"):
        return  # after its summary was written
    # A job that was ended early by the sweep itself, as a search does, has a summary that says
    # "interrupted".
    if status not in FINISHED and kept.get("status") != PRUNED:
        return
    job.status, job.reason = status, reason
    if kept.get("status") == PRUNED:  # which it stays, even if it was done before it was ended
        job.status, job.reason = PRUNED, kept.get("reason")
    job.exit_code = 0
    job.started = kept.get("started")
    job.seconds = kept.get("seconds") or summary.get("total_seconds")


def can_be_resumed(job: SweepJob) -> bool:
    """Whether an earlier start has left a checkpoint of this very job to resume from."""
    folder = job.folder
    if not any((folder / name).is_file() for name in (LAST, PREVIOUS)):
        return False
    try:
        if _digest_of(folder / "job.yaml") != job.config_digest:
            return False
        summary = json.loads(_read(folder / "summary.json"))
        return status_of(summary)[0] != "diverged"
    except FileNotFoundError:
        return True  # killed before it could write one
    except Exception:  # damaged
        return False


def earlier_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The jobs of an earlier start; none of them is running any more."""
    rows = record.get("jobs")
    kept = [dict(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    for row in kept:
        if row.get("status") in ("pending", "running"):
            row["status"] = "interrupted"
    return kept


def _row(record: Mapping[str, Any] | None, job: SweepJob) -> Mapping[str, Any]:
    rows = record.get("jobs") if record is not None else None
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and row.get("name") == job.name:
            return row if row.get("config_digest") == job.config_digest else {}
    return {}


def set_aside(path: Path) -> Path:
    """Move a file or folder that is in the way to where nothing reads it; never delete it."""
    shelf = path.parent / SET_ASIDE
    check_no_links(path.parent, (SET_ASIDE,))
    shelf.mkdir(exist_ok=True)
    count = 1
    while (aside := shelf / f"{path.name}.{count}").exists():
        count += 1
    path.rename(aside)
    return aside
