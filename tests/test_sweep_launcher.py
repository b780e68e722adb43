"""--multirun: what is asked for, composed and checked; and sweeps of the real command."""

import csv
import json
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import TINY

from raspitrain.cli.main import main
from raspitrain.sweep.sweep import resume_command

DONE = """echo '{"status": "completed"}' > summary.json"""


@pytest.fixture
def multirun(tmp_path, monkeypatch, capsys):
    """multirun("batch_size=8,16", …) sweeps in an empty folder and gives the exit code; each job is
    a shell script that notes its variables."""
    monkeypatch.chdir(tmp_path)
    for name in ("OMP_NUM_THREADS", "RASPITRAIN_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments, typed=(), script=f"env > variables; {DONE}"):
        monkeypatch.setattr(
            "raspitrain.sweep.sweep.job_command",
            lambda folder, limits, resume: ["sh", "-c", f"cd '{folder}'; {script}"],
        )
        monkeypatch.setattr(sys, "argv", ["raspitrain", *(typed or ["--multirun", *arguments])])
        return main()

    return run


def jobs_of(folder):
    return json.loads((folder / "jobs.json").read_text())


def test_every_combination_gets_a_folder_and_variables_of_its_own(multirun, tmp_path):
    before = dict(os.environ)
    assert multirun("batch_size=8,16", "hardware.num_threads=1,2", "sweep_name=mine") == 0
    folder = tmp_path / "outputs" / "sweeps" / "mine"
    record = jobs_of(folder)
    assert record["name"] == "mine"
    assert record["task"] == "train"
    assert record["swept"] == ["batch_size", "hardware.num_threads"]
    assert [job["values"] for job in record["jobs"]] == [
        {"batch_size": size, "hardware.num_threads": num_threads}
        for size in (8, 16)
        for num_threads in (1, 2)
    ]
    for job in record["jobs"]:
        variables = (folder / job["folder"] / "variables").read_text().splitlines()
        assert f"OMP_NUM_THREADS={job['values']['hardware.num_threads']}" in variables
        assert job["name"] == job["folder"]
    assert (folder / "batch_size=8,num_threads=2" / "job.yaml").is_file()
    assert {k: v for k, v in os.environ.items() if "THREADS" in k} == {
        k: v for k, v in before.items() if "THREADS" in k
    }


def test_groups_and_lists_can_be_swept(multirun, tmp_path):
    assert multirun("optimizer=adam,sgd", "patience=null,3", "split.validation=0.1") == 0
    (record,) = (jobs_of(path.parent) for path in tmp_path.glob("outputs/sweeps/*/*/jobs.json"))
    assert [job["values"] for job in record["jobs"]] == [
        {"optimizer": name, "patience": patience}
        for name in ("adam", "sgd")
        for patience in (None, 3)
    ]
    assert record["jobs"][0]["overrides"] == [
        "optimizer=adam",
        "patience=null",
        "split.validation=0.1",
    ]


@pytest.mark.parametrize(
    ("preset", "num_jobs", "task"),
    [("batch_threads", 12 + 1, "throughput"), ("optimizers", 3, "train"), ("seeds", 5, "train")],
)
def test_presets_sweep_by_themselves(multirun, tmp_path, preset, num_jobs, task):
    assert multirun(f"sweep={preset}", "sweep_name=x") == 0
    record = jobs_of(tmp_path / "outputs/sweeps/x")
    assert len(record["jobs"]) == num_jobs
    assert record["task"] == task


def test_the_preset_of_folds_goes_through_all_of_them(multirun, tmp_path):
    groups = np.repeat(["ann", "bob", "cy", "dee"], 6)
    data = {"data": np.random.default_rng(0).normal(size=(24, 1, 16)), "label": np.arange(24) % 2}
    np.savez(tmp_path / "cases.npz", groups=groups, **data)
    words = ("dataset=npz", "dataset.path=cases.npz", "dataset.groups=groups", "sweep=folds")
    assert multirun(*words, "split.folds=3", "sweep_name=three") == 0
    assert multirun(*words, "split.folds=groups", "seed=0,1", "sweep_name=groups") == 0
    for name, count in (("three", 3), ("groups", 4)):
        values = [job["values"] for job in jobs_of(tmp_path / "outputs/sweeps" / name)["jobs"]]
        assert [v["split.fold"] for v in values if v.get("seed", 0) == 0] == list(range(count))
    assert len(values) == 8


def test_what_is_typed_wins_over_the_preset(multirun, tmp_path):
    assert (
        multirun("sweep=batch_threads", "batch_size=7,9", "hardware.num_threads=1", "sweep_name=x")
        == 0
    )
    record = jobs_of(tmp_path / "outputs/sweeps/x")
    assert record["swept"] == ["batch_size"]
    *names, repeat = [job["name"] for job in record["jobs"]]
    assert names == ["batch_size=7", "batch_size=9"]
    assert repeat == f"{names[record['jobs'][-1]['repeat_of']]},repeat"


def test_the_users_own_preset_is_found(multirun, tmp_path):
    (tmp_path / "mine" / "sweep").mkdir(parents=True)
    (tmp_path / "mine" / "sweep" / "lengths.yaml").write_text(
        "# @package _global_\nhydra: {sweeper: {params: {dataset.length: '32,64'}}}\n"
    )
    assert multirun("--config-dir", "mine", "sweep=lengths", "sweep_name=x") == 0
    assert len(jobs_of(tmp_path / "outputs/sweeps/x")["jobs"]) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Nothing is swept"),
        (["batch_size=16"], "Nothing is swept: give a key several values"),
        (["batch_size=choice(16)"], "Nothing is swept"),
        (["seed=range(0)"], "seed=range(0) gives no value"),
        (["model=glob(x*)"], "model=glob(x*) gives no value"),
        (["batch_size=8,16", "batch_size=32"], "batch_size is given 2 times"),
        (["batch_size=8,16", "++batch_size=32"], "batch_size is given 2 times"),
        (["batch_size=8,16,8"], "batch_size=8 is given 2 times"),
        (["batch_szie=8,16"], "did you mean batch_size"),
        (["batch_size=8,16", "epoch=3"], "did you mean epochs"),
        (
            ["batch_size=8,x"],
            "batch_size must be a whole number from 1 to 1000000 or auto, not 'x'",
        ),
        (["model=mobilenetv3_small,mobilenet"], "model=mobilenet: there is no such option"),
        (["sweep=batch_thread"], "did you mean batch_threads"),
        (["sweep=seeds,optimizers"], "sweep is one for the whole sweep"),
        (["launcher.num_parallel=1,2"], "launcher.num_parallel is one for the whole sweep"),
        (["task=train,throughput"], "task is one for the whole sweep"),
        (["optimizer.lr=interval(0.1,1)"], "hydra/sweeper=optuna"),
        (["seed=range(100000)"], "a sweep has 10000 at most"),
        (["seed=0,1", "launcher.num_parallel=999"], "is more than the"),
        (["seed=0,1", "launcher.num_paralel=2"], "did you mean launcher.num_parallel"),
        (["seed=0,1", "launcher.job_timeout=0"], "launcher.job_timeout must be a number above 0"),
        (["seed=0,1", "sweep_name=../x"], "sweep_name must be null or a name of letters"),
        (["seed=0,1", "hydra.sweep.dir=."], "hydra.sweep.dir must name a folder of its own"),
        (["seed=0,1", "resume=auto"], "A sweep resumes by itself"),
        (["seed=0,1", "resume=x"], "leave out --multirun"),
        (["seed=0,1", "hydra.sweep.subdir=x"], "hydra.sweep.subdir is not read"),
        (["seed=0,1", "hydra.sweep.dir=/dev/null/x"], "/dev/null/x"),
    ],
)
def test_a_sweep_that_cannot_be_is_one_sentence_and_leaves_nothing(
    multirun, tmp_path, capsys, arguments, says
):
    assert multirun(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert says in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["sweep=seeds", "sweep_name=mine", "hydra.sweep.dir=mine"])
def test_a_run_is_told_what_only_sweeps_read(tmp_path, monkeypatch, capsys, key):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["raspitrain", key])
    assert main() == 2
    assert f"{key} is for sweeps: add --multirun" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_jobs_that_fail_are_told_and_the_exit_code_says_so(multirun, tmp_path, capsys):
    assert multirun("seed=0,1", "sweep_name=x", script="echo 'error: no.' >&2; exit 2") == 1
    assert "seed=1  refused" in capsys.readouterr().out
    assert multirun("seed=0,1", "sweep_name=x", script=DONE) == 0


def test_a_sweep_that_is_stopped_says_how_to_resume(multirun, tmp_path, capsys):
    assert multirun("seed=0,1", "sweep_name=x", "launcher.fail_fast=true", script="exit 1") == 1
    err = capsys.readouterr().err
    assert "0 of 2 jobs have finished" in err
    assert "to resume: raspitrain --multirun seed=0,1 sweep_name=x" in err


def test_a_ctrl_c_that_comes_too_late_stops_nothing(multirun, tmp_path, capsys):
    last = "trap '' INT; case $PWD in *seed=1) kill -INT $PPID; sleep 0.2;; esac"
    assert multirun("seed=0,1", "sweep_name=x", script=f"{last}; {DONE}") == 0
    assert "to resume" not in capsys.readouterr().err
    assert jobs_of(tmp_path / "outputs" / "sweeps" / "x")["finished"] is not None


def test_options_may_stand_between_overrides(multirun, monkeypatch, tmp_path):
    (tmp_path / "mine").mkdir()
    words = ["seed=0,1", "--multirun", "sweep_name=x", "--config-dir", "mine", "batch_size=8"]
    assert multirun(typed=words) == 0
    assert len(jobs_of(tmp_path / "outputs" / "sweeps" / "x")["jobs"]) == 2


def test_the_command_to_resume_names_the_folder_where_it_was_not_given(tmp_path, monkeypatch):
    from raspitrain.sweep.record import SweepRecord

    monkeypatch.chdir(tmp_path)
    sweep = SweepRecord(
        tmp_path / "outputs" / "a b",
        None,
        "train",
        ["python", "-m", "raspitrain", "seed=0,1"],
        ["seed"],
    )
    assert resume_command(sweep).endswith("seed=0,1 'hydra.sweep.dir=outputs/a b'")


DATA = [t for t in TINY if t.startswith(("dataset.num", "model."))]


def sweep_for_real(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "raspitrain", "--multirun", "sweep_name=x", *arguments],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done, folder / "outputs" / "sweeps" / "x"


@pytest.mark.long  # by default each job's variables above, and a run's threads in test_cli.py
def test_threads_are_in_force_in_each_job(tmp_path):
    done, folder = sweep_for_real(
        tmp_path,
        *[*DATA, "dataset.length=32", "hardware.num_threads=1,2"],
        "hardware.num_interop_threads=2",  # no profile's own
        *["task=throughput", "throughput.seconds=0.05", "throughput.warmup_seconds=0"],
        *["launcher.repeat_first=false", "hardware.wait_policy=passive"],
    )
    assert (done.returncode, done.stderr) == (0, "")
    jobs = jobs_of(folder)["jobs"]
    assert len(jobs) == 2
    for job in jobs:
        record = json.loads((folder / job["folder"] / "environment.json").read_text())
        assert record["torch"]["num_threads"] == job["values"]["hardware.num_threads"]
        assert record["torch"]["num_interop_threads"] == 2
        set_before = record["thread_variables"]["OMP_NUM_THREADS"]
        assert set_before == str(job["values"]["hardware.num_threads"])


def test_a_job_without_enough_memory_leaves_the_others_and_is_named(tmp_path):
    done, folder = sweep_for_real(
        tmp_path,
        *["dataset.num_cases=400", "dataset.length=2048", "batch_size=8,300"],
        *["launcher.memory_limit_mb=700", "hardware.num_threads=1", "task=throughput"],
        *["throughput.seconds=0.05", "throughput.warmup_seconds=0"],
        "launcher.repeat_first=false",
    )
    assert done.returncode == 1
    small, large = jobs_of(folder)["jobs"]
    assert small["status"] == "completed"
    assert large["status"] in ("out_of_memory", "refused")
    assert "batch_size=300 needs" in large["reason"]
    assert f"batch_size=300  {large['status']}" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.long
def test_a_sweep_killed_at_any_moment_comes_to_the_same(tmp_path):
    """Jobs that had finished are left alone; the others resume bit for bit."""
    chance = random.Random(7)
    words = [
        "batch_size=8,16",
        "seed=0,1",
        "dataset.length=64",
        "epochs=30",
        "checkpoint_minutes=0",
    ]
    words += [*DATA, "hardware.num_threads=1"]
    _, whole = sweep_for_real(tmp_path, *words)
    whole = whole.rename(whole.with_name("whole"))
    command = [sys.executable, "-m", "raspitrain", "--multirun", "sweep_name=x", *words]
    folder, finished = tmp_path / "outputs" / "sweeps" / "x", {}
    for _ in range(6):
        running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(2, 8))
        running.kill()
        running.wait()
        for path in folder.glob("*/summary.json"):
            summary = json.loads(path.read_text())
            if summary["status"] == "completed" and "unwritten" not in summary:
                finished.setdefault(path, path.stat().st_mtime_ns)
    done, _ = sweep_for_real(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert finished == {path: path.stat().st_mtime_ns for path in finished}

    def rows(sweep):
        varies = ("seconds", "samples_per_second", "peak_memory_mb")
        tables = {p.parent.name: csv.DictReader(p.open()) for p in sweep.glob("*=*/metrics.csv")}
        return {
            name: [{k: v for k, v in row.items() if k not in varies} for row in table]
            for name, table in tables.items()
        }

    assert rows(folder) == rows(whole)
    assert len(rows(whole)) == 4


def test_data_that_are_not_there_are_refused_once_and_before_anything_is_made(
    multirun, tmp_path, capsys
):
    words = ("sweep=folds", "dataset=recordings", "dataset.path=nothing")
    assert multirun(*words) == 2
    assert capsys.readouterr().err.count("nothing does not exist") == 1
    assert list(tmp_path.iterdir()) == []


def test_jobs_that_are_refused_for_the_same_words_end_the_sweep(multirun, tmp_path, capsys):
    script = "echo 'error: the data will not do.' >&2; exit 2"
    assert multirun("sweep=folds", "sweep_name=bad", script=script) == 1
    statuses = [job["status"] for job in jobs_of(tmp_path / "outputs/sweeps/bad")["jobs"]]
    assert sorted(statuses) == ["pending"] * 3 + ["refused"] * 2
    assert "which the others would meet (the data will not do.)" in capsys.readouterr().err
    for said, refused in (("the data will not do", 2), ("batch_size is too large", 3)):
        script = f"echo 'error: {said}.' >&2; exit 2"
        name = f"sizes{refused}"
        assert multirun("batch_size=8,16,32", f"sweep_name={name}", script=script) == 1
        statuses = [job["status"] for job in jobs_of(tmp_path / "outputs/sweeps" / name)["jobs"]]
        assert sorted(statuses) == ["pending"] * (3 - refused) + ["refused"] * refused
