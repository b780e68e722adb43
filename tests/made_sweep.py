"""Folders of sweeps as the launcher leaves them, made in a moment and without training."""

import itertools
import json
from pathlib import Path
from typing import Any

from raspitrain.results.json_file import write_json


def made_summary(accuracy: float, speed: float, *, validation: bool = True, **more: Any) -> dict:
    row = {"epoch": 20, "step": 600, "test_accuracy": accuracy, "samples_per_second": speed}
    if validation:
        row["validation_accuracy"] = accuracy
    return {
        "test_accuracy": accuracy,
        "status": "completed",
        "final": row,
        "best": row,
        "training_seconds": 10_000 / speed,
        "total_seconds": 10_000 / speed + 2,
        "samples_per_second": speed,
        "peak_memory_mb": 300.5,
        "num_threads": 2,
        "num_cases": {"train": 210, "validation": 45, "test": 90},
        "class_names": ["a", "b"],
        "thermal": {"temperature_before_c": 51.0, "throttled": False, "pauses": 0},
        "energy": None,
    } | more


def made_config(values: dict[str, Any]) -> str:
    config: dict[str, Any] = {"seed": 0, "model": {"table": "small"}, "optimizer": {"lr": 0.001}}
    for key, value in values.items():
        inside = config
        *groups, last = key.split(".")
        for group in groups:
            inside = inside.setdefault(group, {})
        if not isinstance(inside.get(last), dict):
            inside[last] = value
    return json.dumps(config)  # JSON is YAML too


def made_sweep(
    folder: Path,
    values_of: dict[str, list[Any]],
    summary=lambda k, values: made_summary(0.9 + 0.001 * k, 100 + k),
    *,
    status: dict[int, tuple[str, str]] | None = None,
    repeat: dict[str, Any] | None = None,
    typed: tuple[str, ...] = (),
    combinations: list[tuple[Any, ...]] | None = None,
    **more: Any,
) -> Path:
    """A sweep over the product of `values_of`.

    `summary(k, values)` gives the summary of job k, None for none; `status` names those that did
    not finish and why; `repeat` is the summary of job 0's repeat at the end; `typed` are further
    overrides of each job.
    """
    status = status or {}
    jobs = []
    folder.mkdir(parents=True, exist_ok=True)
    for k, combination in enumerate(combinations or itertools.product(*values_of.values())):
        values = dict(zip(values_of, combination, strict=True))
        words = [f"{key}={value}" for key, value in values.items()]
        name = ",".join(words).replace("/", "_")
        became, reason = status.get(k, ("completed", None))
        if became not in ("pending", "running"):
            (folder / name).mkdir()
            (folder / name / "config.yaml").write_text(made_config(values))
            found = summary(k, values) if became in ("completed", "stopped_early") else None
            if found is not None:
                write_json(folder / name / "summary.json", found)
        jobs.append(made_job(k, name, [*words, *typed], values, became, reason))
    if repeat is not None:
        job = jobs[0] | {"number": len(jobs), "name": "repeat", "folder": "repeat"}
        (folder / "repeat").mkdir()
        write_json(folder / "repeat" / "summary.json", repeat)
        jobs.append(job | {"repeat_of": 0})
    content = {
        "format": "raspitrain sweep",
        "format_version": 1,
        "name": None,
        "started": "2026-11-23T06:00:00+00:00",
        "finished": "2026-11-23T07:00:00+00:00",
        "task": "train",
        "command": ["python", "-m", "raspitrain", "--multirun", "..."],
        "swept": list(values_of),
        "jobs": jobs,
    } | more
    write_json(folder / "jobs.json", content)
    return folder


def made_job(number, name, overrides, values, status, reason) -> dict[str, Any]:
    failed = status not in ("completed", "stopped_early", "pending", "running")
    return {
        "number": number,
        "name": name,
        "folder": name,
        "overrides": overrides,
        "values": values,
        "status": status,
        "reason": reason,
        "log_tail": ["RuntimeError: no more memory"] if failed else [],
        "exit_code": -9 if failed else 0,
        "started": "2026-11-23T06:00:00+00:00",
        "seconds": 12.5,
        "config_digest": "00",
        "repeat_of": None,
    }
