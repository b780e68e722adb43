"""The answer of a sweep: sweep.csv, sweep.json, pictures, a page, and the best settings again."""

import logging
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raspitrain.errors import InputError, visible
from raspitrain.paths import absolute
from raspitrain.report.answer import (
    FOLD,
    REPETITIONS,
    Answer,
    Setting,
    find_answer,
    repeated,
    repetitions,
    standard_error,
)
from raspitrain.report.axes import short_names
from raspitrain.report.folds import out_of_fold
from raspitrain.report.jobs import JobReport, SweepReport, load_sweep
from raspitrain.report.preset import command_line, preset_line, setting_overrides, write_preset
from raspitrain.report.sheet import write_jobs_csv, write_seeds_csv
from raspitrain.report.sweep_page import sweep_page
from raspitrain.report.terminal import print_sweep
from raspitrain.results.atomic import write_atomic
from raspitrain.results.figures import FIGURE
from raspitrain.results.json_file import write_json
from raspitrain.results.summary import PRUNED

log = logging.getLogger(__name__)

FORMAT = "raspitrain sweep report"
FORMAT_VERSION = 1
PRESETS = "best"  # the folder for --config-dir


def report_sweep(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Write sweep.csv, sweep.json, sweep.png, pareto.png, report.html and best/ into `folder`.

    May be called at any time, while the sweep runs too, and again.

    Parameters
    ----------
    folder : a sweep's, with its jobs.json

    Returns
    -------
    dict
        What sweep.json holds.

    Raises
    ------
    InputError
        The folder is not a sweep's; nothing has been written.
    OSError
        The card is full, read-only or broken.
    """
    from raspitrain.report.pictures import plot_pareto, plot_sweep  # numpy, which takes its time

    folder = absolute(folder)
    sweep = load_sweep(folder)
    answer = find_answer(sweep)
    presets = _write_presets(sweep, answer)
    files = ["sweep.csv", "sweep.json", "sweep.png", "report.html"]
    write_jobs_csv(folder / "sweep.csv", sweep)
    if repeated(sweep.swept):
        write_seeds_csv(folder / "sweep_seeds.csv", sweep, answer.settings)
        files.insert(1, "sweep_seeds.csv")
    plot_sweep(folder / "sweep.png", sweep, answer)
    if answer.pareto:
        plot_pareto(folder / "pareto.png", sweep, answer)
        files.insert(-1, "pareto.png")
    else:
        (folder / "pareto.png").unlink(missing_ok=True)
    result = _result(sweep, answer)
    if _plot_pooled(folder / "confusion_matrix.png", result):
        files.insert(-1, "confusion_matrix.png")
    result |= {"files": [*files, *presets]}
    write_json(folder / "sweep.json", result)
    write_atomic(folder / "report.html", sweep_page(folder, sweep, result).encode())
    return result


def _plot_pooled(path: Path, result: Mapping[str, Any]) -> bool:
    """The confusion matrix of all folds of the most accurate setting, if there is one."""
    best = result["most_accurate"]
    found = result["out_of_fold"][best["setting"]] if best and result["out_of_fold"] else None
    if found is None or found["confusion_matrix"] is None:
        return False
    import numpy as np

    from raspitrain.report.plots import plot_confusion

    matrix = np.asarray(found["confusion_matrix"], dtype=np.int64)
    plot_confusion(matrix, found["class_names"], path)
    return True


def report_sweep_or_warn(folder: str | os.PathLike[str]) -> None:
    """Write the report and print it; where that fails, the jobs' own files are safe all the same.

    Raises
    ------
    BrokenPipeError : whoever read the output has had enough.
    """
    try:
        print_sweep(report_sweep(folder))
    except BrokenPipeError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or error
        print(
            f"warning: the report is not written ({reason}); python -m raspitrain.report "
            f"{shlex.quote(shown_path(Path(folder)))} tries again",
            file=sys.stderr,
        )


def _write_presets(sweep: SweepReport, answer: Answer) -> list[str]:
    folder = sweep.folder / PRESETS / "experiment"
    chosen = {"fastest": answer.fastest, "most_accurate": answer.most_accurate}
    written = []
    for name, setting in chosen.items():
        path = folder / f"{name}.yaml"
        for part in (folder.parent, folder):
            if part.is_symlink():
                raise InputError(f"{part} is a link: remove it, a folder goes there")
            if setting is not None:
                part.mkdir(exist_ok=True)
        if setting is None:
            path.unlink(missing_ok=True)  # the answer of an earlier start
            continue
        write_preset(path, sweep, setting, setting_overrides(sweep, setting))
        written.append(path.relative_to(sweep.folder).as_posix())
    return written


def _result(sweep: SweepReport, answer: Answer) -> dict[str, Any]:
    repeats = repetitions(sweep.swept) if repeated(sweep.swept) else None
    numbers = {id(setting): k for k, setting in enumerate(answer.settings)}
    counts: dict[str, int] = {}
    for job in sweep.jobs:
        counts[job.status] = counts.get(job.status, 0) + 1
    swept = [key for key in sweep.swept if key not in REPETITIONS]

    def shown(setting: Setting) -> dict[str, Any]:
        overrides = setting_overrides(sweep, setting)
        return {
            "setting": numbers[id(setting)],
            "jobs": [job.number for job in setting.jobs],
            "values": dict(setting.values),
            "overrides": overrides,
            "command": command_line(sweep, overrides),
        } | {
            name: setting.mean(name)
            for name in ("validation_accuracy", "test_accuracy", "training_seconds",
                         "samples_per_second", "ms_per_step")
            if setting.mean(name) is not None
        }  # fmt: skip

    def chosen(setting: Setting | None, name: str, sentence: str) -> dict[str, Any] | None:
        if setting is None:
            return None
        row = shown(setting)
        folder = shown_path(sweep.folder / PRESETS)
        return row | {
            "sentence": sentence,
            "preset_command": preset_line(folder, name, sweep, row["overrides"]),
        }

    fast = chosen(answer.fastest, "fastest", _speed_sentence(answer.fastest, answer))
    if fast is not None:
        fast["as_fast"] = [numbers[id(s)] for s in answer.as_fast]
    accurate = chosen(answer.most_accurate, "most_accurate", _accuracy_sentence(answer, repeats))
    if accurate is not None:
        accurate["as_accurate"] = [numbers[id(s)] for s in answer.as_accurate]
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": sweep.name,
        "folder": shown_path(sweep.folder),
        "task": sweep.task,
        "started": sweep.started,
        "finished": sweep.finished,
        "command": list(sweep.command),
        "swept": list(sweep.swept),
        "short_names": {key: short_names(sweep.swept)[key] for key in swept},
        "num_jobs": len(sweep.jobs),
        "counts": counts,
        "seeds_folded": repeats is not None,
        "repetitions": repeats,
        "out_of_fold": [out_of_fold(sweep, setting) for setting in answer.settings]
        if FOLD in sweep.swept else None,
        "accuracy": answer.accuracy,
        "fastest": fast,
        "fastest_by_kind": [
            {"kind": kind, "values": dict(setting.values),
             "jobs": [job.number for job in setting.jobs],
             "sentence": _speed_sentence(setting, answer),
             "command": command_line(sweep, setting_overrides(sweep, setting))}
            for kind, setting in answer.fastest_by_kind
        ],
        "most_accurate": accurate,
        "pareto": [shown(setting) for setting in answer.pareto],
        "drift": answer.drift,
        "warnings": list(answer.warnings),
        "unfinished": [
            {"number": job.number, "name": job.name, "status": job.status, "reason": job.reason,
             "overrides": list(job.overrides), "exit_code": job.exit_code,
             "log_tail": list(job.log_tail)}
            for job in sweep.jobs if not job.finished and job.status != PRUNED
        ],
        "settings": [_setting(k, setting) for k, setting in enumerate(answer.settings)],
        "jobs": [_job(job) for job in sweep.jobs],
    }  # fmt: skip


def _setting(number: int, setting: Setting) -> dict[str, Any]:
    return {
        "number": number,
        "values": dict(setting.values),
        "status": setting.status,
        "finished": len(setting.finished),
        "throttled": setting.throttled,
        "doubts": setting.doubts,
        "jobs": [job.number for job in setting.jobs],
        "figures": {
            name: {"mean": m.mean, "std": m.std, "n": m.n}
            for name, m in setting.figures.items()
            if "." not in name or name in FIGURE
        },
    }


def _job(job: JobReport) -> dict[str, Any]:
    return {
        "number": job.number,
        "name": job.name,
        "folder": job.folder,
        "overrides": list(job.overrides),
        "values": dict(job.values),
        "status": job.status,
        "reason": job.reason,
        "exit_code": job.exit_code,
        "seconds": job.seconds,
        "repeat_of": job.repeat_of,
        "host": job.host,
        "kind": job.kind if job.host is not None else None,
        "figures": job.figures,
    }


def _speed_sentence(setting: Setting | None, answer: Answer) -> str:
    if setting is None:
        return ""
    parts = [_words(setting, "samples_per_second")]
    if setting.mean("ms_per_step") is not None:
        parts.append(f"{_words(setting, 'ms_per_step')} a step")
    if setting.mean(answer.accuracy) is not None:
        parts.append(_accuracy(setting, answer.accuracy))
    words = ", ".join(parts) + (
        " (slowed down by heat or a weak supply)" if setting.throttled else ""
    )
    error = standard_error(setting, "samples_per_second")
    if answer.as_fast and error is not None:
        near = FIGURE["samples_per_second"].words(error)
        words += f"; {len(answer.as_fast)} more within one standard error ({near})"
    return words + _beware(setting)


def _accuracy_sentence(answer: Answer, repeats: str | None) -> str:
    setting = answer.most_accurate
    if setting is None or answer.accuracy is None:
        return ""
    words = _accuracy(setting, answer.accuracy)
    if answer.accuracy == "validation_accuracy" and setting.mean("test_accuracy") is not None:
        words += f", {_accuracy(setting, 'test_accuracy')}"
    if repeats:
        words += f", {len(setting.finished)} {repeats}"
    if setting.mean("training_seconds") is not None:
        words += f", {_words(setting, 'training_seconds')} of training"
    error = standard_error(setting, answer.accuracy)
    if answer.as_accurate and error is not None:
        near = f"within one standard error ({100 * error:.1f} points)" if error else "as accurate"
        words += f"; {len(answer.as_accurate)} more {near}"
    return words + _beware(setting)


def _beware(setting: Setting) -> str:
    return f"; but {', '.join(setting.doubts)}" if setting.doubts else ""


def _accuracy(setting: Setting, figure: str | None) -> str:
    if figure is None:
        return ""
    part = figure.split("_")[0]
    return f"{_words(setting, figure)} {part} accuracy"


def _words(setting: Setting, key: str) -> str:
    """Mean, and deviation over seeds, with the unit."""
    figure, over_seeds = FIGURE[key], setting.figures[key]
    return f"{figure.spread(over_seeds.mean, over_seeds.std)} {figure.unit}".rstrip()


def shown_path(folder: Path) -> str:
    """As one would type it from here."""
    here = Path.cwd()
    return visible(str(folder.relative_to(here) if folder.is_relative_to(here) else folder))
