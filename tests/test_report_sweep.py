"""What a sweep's folder says at its end: files, table, choices."""

import csv
import io
import json
import os
import shlex
import statistics
import subprocess
import sys
from types import SimpleNamespace

import hydra
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_sweep import made_summary, made_sweep
from omegaconf import OmegaConf
from PIL import Image

from raspitrain.cli.main import config_folder
from raspitrain.errors import InputError
from raspitrain.report import print_sweep, report_sweep
from raspitrain.report.__main__ import main
from raspitrain.report.preset import preset, preset_line

GRID = {"batch_size": [16, 32, 50], "hardware.num_threads": [1, 2, 3, 4]}


def grid_summary(k, values):
    """Fastest: batch 50, 4 threads. Most accurate: batch 16, and there 4 threads are quickest."""
    speed = values["batch_size"] + 10 * values["hardware.num_threads"]
    return made_summary(1 - values["batch_size"] / 1000, speed)


@pytest.fixture
def without_pictures(monkeypatch):
    """For what the pictures have no part in: they take longer than all the rest."""
    for name in ("plot_sweep", "plot_pareto"):
        monkeypatch.setattr(f"raspitrain.report.pictures.{name}", lambda *arguments: None)


def printed(result):
    stream = io.StringIO()
    print_sweep(result, stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Twelve jobs of which one ran out of memory, and the first again at the end."""
    folder = made_sweep(
        tmp_path_factory.mktemp("grid") / "sweep",
        GRID,
        grid_summary,
        status={6: ("out_of_memory", "it was killed for its memory")},
        repeat=made_summary(0.984, 23.0),
        typed=("epochs=3", "model=mobilenetv3_large", "sweep=batch_threads"),
    )
    return folder, report_sweep(folder)


def test_the_files_that_a_sweep_ends_with(grid):
    folder, result = grid
    assert result["files"] == [
        "sweep.csv", "sweep.json", "sweep.png", "pareto.png", "report.html",
        "best/experiment/fastest.yaml", "best/experiment/most_accurate.yaml",
    ]  # fmt: skip
    assert all((folder / name).is_file() for name in result["files"])
    assert json.loads((folder / "sweep.json").read_text()) == json.loads(json.dumps(result))
    for name in ("sweep.png", "pareto.png"):
        with Image.open(folder / name) as image:
            image.load()
            assert image.size[0] == 1000
    assert not list(folder.rglob(".partial-*"))


def test_a_row_a_job_with_overrides_status_and_all_final_figures(grid):
    folder, _ = grid
    with open(folder / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 13
    assert [row["number"] for row in rows] == [str(k) for k in range(13)]
    assert rows[1]["batch_size"] == "16"
    assert rows[1]["hardware.num_threads"] == "2"
    assert rows[1]["overrides"].startswith("batch_size=16 hardware.num_threads=2 epochs=3")
    assert float(rows[1]["test_accuracy"]) == 0.984
    assert float(rows[1]["validation_accuracy"]) == 0.984
    assert float(rows[1]["samples_per_second"]) == 36
    assert rows[1]["thermal.temperature_before_c"] == "51.0"
    assert rows[1]["thermal.throttled"] == "false"
    assert rows[1]["num_cases.test"] == "90"
    assert (rows[6]["status"], rows[6]["reason"]) == (
        "out_of_memory",
        "it was killed for its memory",
    )
    assert rows[6]["test_accuracy"] == ""
    assert rows[12]["repeat_of"] == "0"


def test_fastest_and_most_accurate_and_the_front_between_them(grid):
    _, result = grid
    assert result["fastest"]["values"] == {"batch_size": 50, "hardware.num_threads": 4}
    assert result["most_accurate"]["values"] == {"batch_size": 16, "hardware.num_threads": 4}
    assert result["accuracy"] == "validation_accuracy"
    front = [tuple(setting["values"].values()) for setting in result["pareto"]]
    assert front == [(50, 4), (32, 4), (16, 4)]
    assert result["warnings"] == [
        "The first job, run again at the end, was 12 % slower: differences in speed below that "
        "mean nothing."
    ]
    assert result["counts"] == {"completed": 12, "out_of_memory": 1}


def test_the_lines_can_be_pasted_and_leave_the_sweep_behind(grid):
    _, result = grid
    assert result["fastest"]["command"] == (
        "python -m raspitrain batch_size=50 hardware.num_threads=4 epochs=3 model=mobilenetv3_large"
    )


def test_what_is_printed(grid):
    _, result = grid
    shown = printed(result)
    assert "out of memory (it was killed for its memory)" in shown
    assert "    " + result["fastest"]["command"] + "\n" in shown
    assert "    " + result["most_accurate"]["command"] + "\n" in shown
    assert "98.4" in shown
    assert "note: The first job" in shown
    lines = shown.strip().splitlines()
    assert lines[0].split() == [
        "batch_size", "num_threads", "validation", "%", "test", "%", "cases/s", "seconds",
        "memory", "MB", "°C", "before",
    ]  # fmt: skip


def composed(folder, *overrides):
    search = f"hydra.searchpath=[file://{folder}]"
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        return OmegaConf.to_container(hydra.compose("config", overrides=[*overrides, search]))


@pytest.mark.parametrize(
    "words",
    [
        ["batch_size=16", "hardware.num_threads=2"],
        ["model=mobilenetv3_large", "optimizer=sgd", "optimizer.lr=1e-5"],
        ["experiment=blog", "batch_size=7", "model=mobilenetv3_small"],
        ["optimizer=adamw", "optimizer.betas=[0.8,0.99]", "patience=null", "epochs=auto"],
        ["hardware=raspberrypi5", "hardware.num_threads=1", "+optimizer.amsgrad=true"],
        ["dataset=npz", "dataset.path='a file: #1.npz'", "allowed_targets=['1e-3',yes.no]"],
        ["split.validation=0.15", "epochs=3", "augment=none"],
    ],
)
def test_the_yaml_composes_to_what_the_job_ran_with(tmp_path, compose, words):
    cfg = compose(*words)
    config = yaml.safe_load(OmegaConf.to_yaml(cfg, resolve=True))
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "fastest.yaml").write_text(preset(words, config))
    typed_again = [word for word in words if word.startswith("allowed_targets=")]
    again = composed(tmp_path, "experiment=fastest", *typed_again)
    assert again == OmegaConf.to_container(cfg)


def test_the_real_command_takes_the_yaml(grid, command):
    folder, _ = grid
    done = command("--config-dir", str(folder / "best"), "experiment=fastest", "--cfg", "job")
    assert done.returncode == 0, done.stderr
    assert "batch_size: 50\n" in done.stdout
    assert "num_threads: 4\n" in done.stdout


@pytest.mark.parametrize("width", [50, 70, 200])
def test_a_narrow_terminal_shows_fewer_columns_and_whole_figures(grid, monkeypatch, width):
    """What is left out stands in the files; a cell that is cut short stands nowhere."""
    _, result = grid
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    print_sweep(result, terminal)
    table = terminal.getvalue().split("fastest:")[0]
    assert "…" not in table
    assert "98.4" in table
    assert "num_threads" in table
    assert ("memory MB" in table) == (width == 200)


def test_seeds_are_folded_into_mean_and_deviation(tmp_path):
    accuracies = {("adam", 0): 0.90, ("adam", 1): 0.96, ("adam", 2): 0.93,
                  ("sgd", 0): 0.97, ("sgd", 1): 0.70, ("sgd", 2): 0.80}  # fmt: skip
    folder = made_sweep(
        tmp_path / "sweep",
        {"optimizer": ["adam", "sgd"], "seed": [0, 1, 2]},
        lambda k, values: made_summary(
            accuracies[values["optimizer"], values["seed"]], 100 + 10 * values["seed"] + k / 100
        ),
    )
    result = report_sweep(folder)
    assert result["fastest"]["values"] == {"optimizer": "sgd"}
    assert "; 1 more within one standard error (6 cases/s)" in result["fastest"]["sentence"]
    # The best single seed was one of sgd's.
    assert result["most_accurate"]["values"] == {"optimizer": "adam"}
    assert result["most_accurate"]["overrides"] == ["optimizer=adam"]
    assert result["settings"][0]["figures"]["validation_accuracy"] == {
        "mean": pytest.approx(0.93), "std": pytest.approx(0.03), "n": 3
    }  # fmt: skip
    with open(folder / "sweep_seeds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["optimizer"] for row in rows] == ["adam", "sgd"]
    assert float(rows[1]["test_accuracy_std"]) == pytest.approx(statistics.stdev([0.97, 0.7, 0.8]))
    assert "93.0 ± 3.0" in printed(result)
    assert (
        "93.0 % ± 3.0" in result["most_accurate"]["sentence"]
        or "93.0 ± 3.0 %" in result["most_accurate"]["sentence"]
    )


@pytest.mark.usefixtures("without_pictures")
def test_a_seed_that_failed_leaves_the_others_to_answer(tmp_path):
    folder = made_sweep(tmp_path / "sweep", {"seed": [0, 1, 2]}, status={1: ("killed", "signal 9")})
    result = report_sweep(folder)
    assert result["settings"][0]["figures"]["test_accuracy"]["n"] == 2
    assert result["settings"][0]["status"] == "killed"
    assert result["fastest"] is not None


@pytest.mark.usefixtures("without_pictures")
def test_without_a_validation_part_the_test_part_chooses_and_that_is_said(tmp_path):
    folder = made_sweep(
        tmp_path / "sweep", {"batch_size": [8, 16]},
        lambda k, values: made_summary(0.9 + k / 100, 50, validation=False),
    )  # fmt: skip
    result = report_sweep(folder)
    assert result["accuracy"] == "test_accuracy"
    assert result["most_accurate"]["values"] == {"batch_size": 16}
    assert "split.validation=0.15" in result["warnings"][0]
    assert "split.validation=0.15" in printed(result)


def test_the_picture_marks_what_the_answer_names(tmp_path):
    """Of the two that are equally accurate the quicker one, though it comes second."""
    folder = made_sweep(
        tmp_path / "sweep", {"batch_size": [8, 16, 32]},
        lambda k, values: made_summary([0.95, 0.95, 0.90][k], [40, 50, 60][k]),
    )  # fmt: skip
    result = report_sweep(folder)
    assert result["most_accurate"]["values"] == {"batch_size": 16}
    with Image.open(folder / "sweep.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    marked = np.abs(pixels - [0xD5, 0x5E, 0x00]).sum(axis=2) < 12
    upper = marked[: len(marked) // 2].nonzero()[1]  # accuracy; 8, 16 and 32 are evenly apart
    assert 0.4 < upper.mean() / marked.shape[1] < 0.75


@pytest.mark.usefixtures("without_pictures")
def test_accuracies_that_chance_could_swap_are_counted(tmp_path):
    """0.95 of 45 cases: a standard error of 3.2 points."""
    accuracies = [0.95, 0.93, 0.90]
    folder = made_sweep(
        tmp_path / "sweep", {"batch_size": [8, 16, 32]},
        lambda k, values: made_summary(accuracies[k], 50),
    )  # fmt: skip
    result = report_sweep(folder)
    assert result["most_accurate"]["as_accurate"] == [1]
    assert "1 more within one standard error (3.2 points)" in result["most_accurate"]["sentence"]


def test_a_throughput_sweep_answers_with_speed_alone(tmp_path):
    def summary(k, values):
        return {"test_accuracy": None, "status": "completed", "samples_per_second": 100.0 + k,
                "ms_per_step": 320.0 - k, "peak_memory_mb": 200.0 + k}  # fmt: skip

    folder = made_sweep(
        tmp_path / "sweep", GRID, summary, task="throughput", typed=("task=throughput",)
    )
    result = report_sweep(folder)
    assert result["most_accurate"] is None
    assert result["pareto"] == []
    assert result["fastest"]["command"].endswith("batch_size=50 hardware.num_threads=4")
    assert "ms a step" in result["fastest"]["sentence"]
    assert "pareto.png" not in result["files"]
    assert (folder / "sweep.png").is_file()


@pytest.mark.usefixtures("without_pictures")
def test_an_answer_with_a_warning_says_so_and_is_none_where_another_is_as_good(tmp_path):
    low = ["the run ends underfitted: 60.0 % of its own training cases are answered rightly"]
    found = {0: (0.9, 300, low), 1: (0.9, 100, []), 2: (0.8, 100, ["nothing was learnt: 1"])}

    def summary(k, values):
        accuracy, speed, warnings = found[values["model"]]
        warnings = [] if values.get("seed") == 1 else warnings
        return made_summary(accuracy, speed, warnings=warnings)

    seeds = made_sweep(tmp_path / "seeds", {"model": [0, 2], "seed": [1, 2]}, summary)
    folded = report_sweep(seeds)
    assert "; but the run ends underfitted (1 of 2 jobs)" in folded["fastest"]["sentence"]
    models = made_sweep(tmp_path / "jobs", {"model": [0, 1, 2]}, summary)
    result = report_sweep(models)
    assert result["fastest"]["values"] == {"model": 0}
    assert result["fastest"]["sentence"].endswith("; but the run ends underfitted")
    assert "; but the run ends underfitted" in printed(result)
    assert result["most_accurate"]["values"] == {"model": 1}  # though the other was quicker
    assert "but" not in result["most_accurate"]["sentence"]


@pytest.mark.usefixtures("without_pictures")
def test_throttled_jobs_are_marked(tmp_path):
    folder = made_sweep(
        tmp_path / "sweep", {"batch_size": [8, 16]},
        lambda k, values: made_summary(0.9, 50 + k, thermal={"throttled": k == 1}),
    )  # fmt: skip
    result = report_sweep(folder)
    assert result["settings"][1]["throttled"]
    assert "* throttled" in printed(result)
    assert "slowed down by heat" in result["warnings"][0]


@pytest.mark.usefixtures("without_pictures")
def test_of_very_many_jobs_the_best_are_printed_and_all_are_in_the_table(tmp_path):
    folder = made_sweep(
        tmp_path / "sweep", {"batch_size": list(range(1, 101))},
        lambda k, values: made_summary(0.5 + k / 1000, 100),
    )  # fmt: skip
    shown = printed(report_sweep(folder))
    assert shown.count("59.9") >= 2
    assert "53.9" not in shown
    assert "and 40 more, in sweep.csv" in shown
    assert len((folder / "sweep.csv").read_text().splitlines()) == 101


def test_a_sweep_that_still_runs_or_got_nowhere(tmp_path):
    status = dict.fromkeys(range(1, 12), ("pending", None)) | {0: ("running", None)}
    folder = made_sweep(tmp_path / "sweep", GRID, status=status, finished=None)
    result = report_sweep(folder)
    assert result["fastest"] is result["most_accurate"] is None
    assert "No job has finished" in printed(result)
    assert result["files"] == ["sweep.csv", "sweep.json", "sweep.png", "report.html"]


def test_an_answer_that_holds_no_more_is_taken_away(tmp_path):
    folder = made_sweep(tmp_path / "sweep", {"batch_size": [8, 16]})
    assert "pareto.png" in report_sweep(folder)["files"]
    for path in folder.glob("*/summary.json"):
        path.unlink()
    assert report_sweep(folder)["fastest"] is None
    assert not (folder / "pareto.png").exists()
    assert list((folder / "best" / "experiment").iterdir()) == []


def damage(path, what):
    if what == "missing":
        path.unlink()
    elif what == "cut short":
        path.write_bytes(path.read_bytes()[:-30])
    elif what == "nested":
        path.write_text("[" * 100_000)
    elif what == "another kind":
        path.write_text("[1, 2]")
    elif what == "digits":
        path.write_text('{"test_accuracy": ' + "9" * 5000 + "}")
    elif what == "a folder":
        path.unlink()
        path.mkdir()
    elif what == "a pipe":
        path.unlink()
        os.mkfifo(path)
    elif what == "huge":
        with open(path, "r+b") as file:
            file.truncate(10**9)
    elif what == "a link out":
        path.unlink()
        path.symlink_to("/etc/hostname")
    elif what == "a ring":
        path.unlink()
        path.symlink_to(path)


KINDS = ["missing", "cut short", "nested", "another kind", "digits", "a folder", "a pipe", "huge",
         "a link out", "a ring"]  # fmt: skip


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("what", KINDS)
def test_a_damaged_summary_is_named_and_the_others_answer(tmp_path, what):
    folder = made_sweep(tmp_path / "sweep", {"batch_size": [8, 16, 32]})
    damage(folder / "batch_size=32" / "summary.json", what)
    result = report_sweep(folder)
    (job,) = result["unfinished"]
    assert job["status"] == "damaged"
    assert "summary.json" in job["reason"]
    assert result["fastest"]["values"] == {"batch_size": 16}
    assert job["reason"] in printed(result)


@pytest.mark.parametrize("what", KINDS)
def test_a_damaged_jobs_json_is_one_sentence(tmp_path, capsys, what):
    folder = made_sweep(tmp_path / "sweep", {"batch_size": [8, 16]})
    damage(folder / "jobs.json", what)
    before = sorted(folder.rglob("*"))
    assert main([str(folder)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"format": "other"}', "not of a raspitrain sweep"),
        ('{"format": "raspitrain sweep", "format_version": 2}', "reads format 1"),
        ('{"format": "raspitrain sweep", "format_version": 1}', "lists no jobs"),
    ],
)
def test_a_sweep_of_another_project_or_time(tmp_path, content, says):
    (tmp_path / "jobs.json").write_text(content)
    with pytest.raises(InputError, match=says):
        report_sweep(tmp_path)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("name", ["../other", "/etc", "a/../../other", "link", "", None, "a\0b"])
def test_a_job_folder_outside_the_sweep_is_not_opened(tmp_path, name):
    folder = made_sweep(tmp_path / "sweep", {"batch_size": [8, 16]})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "summary.json").write_text('{"test_accuracy": 1, "x": "secret"}')
    (folder / "link").symlink_to(tmp_path / "other")
    content = json.loads((folder / "jobs.json").read_text())
    content["jobs"][1]["folder"] = name
    (folder / "jobs.json").write_text(json.dumps(content))
    result = report_sweep(folder)
    assert result["unfinished"][0]["status"] == "damaged"
    assert "secret" not in "".join(
        p.read_text(errors="replace") for p in folder.glob("*") if p.is_file()
    )


def test_nothing_is_written_through_a_link(tmp_path):
    folder = made_sweep(tmp_path / "sweep", {"batch_size": [8, 16]})
    (tmp_path / "other").mkdir()
    (folder / "best").symlink_to(tmp_path / "other")
    with pytest.raises(InputError, match="is a link"):
        report_sweep(folder)
    assert list((tmp_path / "other").iterdir()) == []


HOSTILE = "\x1b[2J\x07<script>alert(1)</script>\ud800\u202e$x_2$\n=cmd()"


def test_texts_of_others_neither_steer_the_terminal_nor_break_a_file(tmp_path):
    folder = made_sweep(
        tmp_path / "sweep", {"batch_size": [8, 16, 32]}, status={1: ("failed", HOSTILE)}
    )
    content = json.loads((folder / "jobs.json").read_text())
    content["name"] = HOSTILE
    content["jobs"][0]["overrides"].append(HOSTILE)
    content["jobs"][0]["values"]["batch_size"] = HOSTILE
    content["jobs"][1]["log_tail"] = [HOSTILE]
    (folder / "jobs.json").write_text(json.dumps(content))
    shown = printed(report_sweep(folder))
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "<script>alert" not in (folder / "report.html").read_text()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
KEYS = ["number", "name", "folder", "overrides", "values", "status", "reason", "log_tail",
        "exit_code", "seconds", "repeat_of"]  # fmt: skip


@given(
    jobs=st.lists(st.dictionaries(st.sampled_from(KEYS), json_values) | json_values, max_size=3),
    swept=json_values,
    summary=json_values,
)
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_files_hold_there_is_a_report(tmp_path, jobs, swept, summary):
    folder = tmp_path / "sweep"
    if not folder.exists():
        made_sweep(folder, {"batch_size": [8, 16]})
    content = json.loads((folder / "jobs.json").read_text())
    content["jobs"] = content["jobs"][:2] + jobs
    content["swept"] = swept if isinstance(swept, list) else ["batch_size"]
    (folder / "jobs.json").write_text(json.dumps(content))
    (folder / "batch_size=8" / "summary.json").write_text(json.dumps(summary))
    printed(report_sweep(folder))


def test_the_command_reports_a_sweep_without_torch_or_hydra(tmp_path):
    folder = made_sweep(tmp_path / "sweep", {"batch_size": [8, 16]})
    code = (
        "import sys; from raspitrain.report.__main__ import main; code = main(sys.argv[1:])\n"
        "assert not {'torch', 'hydra', 'omegaconf', 'matplotlib.pyplot'} & set(sys.modules)\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "sweep"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert "folder  sweep" in done.stdout
    assert "--config-dir sweep/best experiment=fastest" in (folder / "report.html").read_text()


def test_what_is_neither_a_sweep_nor_a_run(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "neither a sweep (jobs.json) nor a run" in capsys.readouterr().err
    assert main([str(tmp_path / "none")]) == 2
    assert "is no folder" in capsys.readouterr().err


def test_a_card_that_is_full_is_one_sentence(tmp_path, capsys, monkeypatch):
    folder = made_sweep(tmp_path / "sweep", {"batch_size": [8, 16]})

    def full(stage, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("raspitrain.results.atomic.on_write", full)
    assert main([str(folder)]) == 74
    assert "No space left on device" in capsys.readouterr().err


def test_the_line_for_the_preset_finds_options_of_the_users_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep = SimpleNamespace(command=["x", "--multirun", "--config-dir", "mine", "epochs=1,2"])
    line = preset_line("best", "fastest", sweep, ["epochs=1", "allowed_targets=[a.B]"])
    assert shlex.split(line)[3:] == [
        "--config-dir", "best", "experiment=fastest",
        f"hydra.searchpath=[file://{tmp_path}/mine]", "allowed_targets=[a.B]",
    ]  # fmt: skip
    sweep.command = ["x", "--multirun", "epochs=1,2"]
    assert shlex.split(preset_line("best", "fastest", sweep, ["epochs=1"]))[3:] == [
        "--config-dir", "best", "experiment=fastest",
    ]  # fmt: skip


def folds_summary(k, values):
    """Of 10 × (k + 1) cases all are right but k."""
    cases = 10 * (k % 3 + 1)
    matrix = [[cases - k, k], [0, 0]]
    return made_summary(1 - k / cases, 100, validation=False) | {
        "num_cases": {"train": 90, "test": cases},
        "confusion_matrix": matrix,
        "fold": {"number": k, "of": "groups", "groups": [f"person {k}"]},
    }


def test_folds_are_repetitions_and_say_together_what_each_case_was_taken_for(tmp_path):
    values = {"model.width_mult": [0.5, 1.0], "split.fold": [0, 1, 2]}
    folder = made_sweep(
        tmp_path / "sweep", values, folds_summary, typed=("split.folds=groups", "sweep=folds")
    )
    result = report_sweep(folder)
    assert [setting["values"] for setting in result["settings"]] == [
        {"model.width_mult": 0.5},
        {"model.width_mult": 1.0},
    ]
    first = result["out_of_fold"][0]
    assert first["cases"] == 60
    assert first["accuracy"] == pytest.approx(57 / 60)
    assert first["confusion_matrix"] == [[57, 3], [0, 0]]
    assert [row["name"] for row in first["folds"]] == [f"fold {k}, person {k}" for k in range(3)]
    assert result["most_accurate"]["overrides"] == ["model.width_mult=0.5"]
    assert "3 folds" in result["most_accurate"]["sentence"]
    page = (folder / "report.html").read_text()
    assert "95.0 % of 60 cases" in page
    assert "person 2" in page
    assert (folder / "confusion_matrix.png").exists()
