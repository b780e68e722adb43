"""A sweep's jobs: run, watched, recorded, found again. The jobs here are shell scripts."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from raspitrain.errors import InputError, UnwrittenError
from raspitrain.results import atomic
from raspitrain.sweep import process
from raspitrain.sweep.process import check_threads, share_cores
from raspitrain.sweep.record import SweepJob, SweepRecord
from raspitrain.sweep.sweep import SweepRun

LAUNCHER = {
    "num_parallel": 1,
    "job_timeout": None,
    "memory_limit_mb": None,
    "fail_fast": False,
    "shuffle": False,
    "repeat_first": False,
}
DONE = """echo '{"status": "completed", "samples_per_second": 1234.5}' > summary.json"""


def make_jobs(folder, count=3):
    return [
        SweepJob(
            number=k,
            folder=folder / f"x={k}",
            overrides=[f"x={k}"],
            values={"x": k},
            config=f"x: {k}\n",
            environment={"X": str(k)},
        )
        for k in range(count)
    ]


@pytest.fixture
def sweep(tmp_path):
    """sweep(script, …) runs a sweep over x; each job runs the script in its folder, X set."""

    def run(
        script=DONE, jobs=None, ask=None, tell=None, *, stream=None, on_poll=None, task="train",
        **launcher,
    ):  # fmt: skip
        folder = tmp_path / "sweep"
        jobs = make_jobs(folder) if jobs is None else jobs
        with SweepRun(
            SweepRecord(folder, name=None, task=task, command=["python"], swept=["x"]),
            LAUNCHER | launcher,
            on_poll=on_poll,
            make_command=lambda folder, limits, resume: [
                *["sh", "-c", f"cd '{folder}'; {script}"],
                *(["--resume"] if resume else []),
            ],
            grace_seconds=1,
            stream=stream or io.StringIO(),
        ) as sweep_run:
            sweep_run.run(jobs, ask, tell)
        return sweep_run

    run.folder = tmp_path / "sweep"
    return run


def recorded(folder):
    record = json.loads((folder / "jobs.json").read_text())
    return record, {row["number"]: row for row in record["jobs"]}


def test_jobs_run_with_their_own_variables_and_are_recorded(sweep):
    stream = io.StringIO()
    sweep(f"echo $X > x; {DONE}", stream=stream)
    assert [(sweep.folder / f"x={k}" / "x").read_text() for k in range(3)] == ["0\n", "1\n", "2\n"]
    record, rows = recorded(sweep.folder)
    assert record["finished"] >= record["started"]
    assert [rows[k]["status"] for k in range(3)] == ["completed"] * 3
    assert rows[1]["values"] == {"x": 1}
    assert rows[1]["folder"] == "x=1"
    lines = stream.getvalue().splitlines()
    assert [line.split()[:2] for line in lines] == [["1/3", "x=0"], ["2/3", "x=1"], ["3/3", "x=2"]]
    assert "1,234 cases/s" in lines[0]
    assert "left" in lines[0]
    assert "left" not in lines[2]


def test_another_job_is_asked_for_whenever_a_place_is_free(sweep, monkeypatch):
    """The first ends after the last: in rounds it would wait for ever. One that is as a running
    job is not run a second time."""
    monkeypatch.setattr(process, "available_cores", lambda: 2)
    jobs = make_jobs(sweep.folder, 4)
    twin = replace(jobs[0], number=4)
    to_ask = iter([*jobs[:3], twin, jobs[3]])
    happened = []

    def ask():
        if (job := next(to_ask, None)) is not None:
            happened.append(f"ask {job.number}")
        return job

    script = (
        f"[ $X = 0 ] && until [ -e ../x=3/summary.json ]; do sleep 0.02; done; echo >> r; {DONE}"
    )
    sweep(
        script, [], ask, lambda job: happened.append(f"tell {job.number} {job.status}"),
        num_parallel=2, job_timeout=30,
    )  # fmt: skip
    assert happened[:7] == [
        "ask 0", "ask 1", "tell 1 completed", "ask 2", "tell 2 completed", "ask 4", "ask 3",
    ]  # fmt: skip
    assert set(happened[7:]) == {f"tell {number} completed" for number in (0, 3, 4)}
    assert (sweep.folder / "x=0" / "r").read_text() == "\n"
    assert {row["status"] for row in recorded(sweep.folder)[1].values()} == {"completed"}


@pytest.mark.parametrize(
    ("script", "status", "reason"),
    [
        ("kill -9 $$", "killed", "killed by SIGKILL"),
        ("kill -11 $$", "killed", "killed by SIGSEGV"),
        ("echo Traceback >&2; echo ValueError: no >&2; exit 1", "failed", "ValueError: no"),
        ("echo 'error: no such file.' >&2; exit 2", "refused", "no such file."),
        ("echo 'error: not now: card out of memory' >&2; exit 75", "postponed", "not now"),
        ("echo 'error: loss.png could not be written' >&2; exit 74", "failed", "loss.png could"),
        ("echo 'error: out of memory: 7 GB' >&2; exit 3", "out_of_memory", "out of memory: 7 GB"),
        ("echo 'terminate: std::bad_alloc' >&2; kill -6 $$", "out_of_memory", "bad_alloc"),
        (
            """echo '{"status": "diverged", "reason": "not finite"}' > summary.json; exit 2""",
            "diverged",
            "not finite",
        ),
        (
            """echo '{"status": "completed", "final": {"test_loss": null}}' > summary.json""",
            "diverged",
            "not a number",
        ),
        ("exit 0", "failed", "without a summary.json"),
        ("sleep 60", "timed_out", "launcher.job_timeout=0.3"),
        ("trap '' TERM; while :; do sleep 0.05; done", "timed_out", "launcher.job_timeout=0.3"),
    ],
)
def test_a_job_that_ends_badly_is_named_and_the_sweep_goes_on(sweep, script, status, reason):
    timeout = 0.3 if status == "timed_out" else None
    sweep(f"[ $X = 1 ] || {{ {DONE}; exit; }}; {script}", job_timeout=timeout)
    record, rows = recorded(sweep.folder)
    assert [rows[k]["status"] for k in range(3)] == ["completed", status, "completed"]
    assert reason in rows[1]["reason"]
    assert record["finished"] is not None


def test_a_kill_for_memory_is_told_from_any_other(sweep, monkeypatch):
    counts = iter([0, 0, 0, 1])
    monkeypatch.setattr(process, "_oom_kills", lambda: next(counts, 1))
    sweep("kill -9 $$")
    _, rows = recorded(sweep.folder)
    assert [rows[k]["status"] for k in range(3)] == ["killed", "out_of_memory", "killed"]


def test_the_last_lines_of_a_failed_job_are_kept(sweep):
    sweep("for k in $(seq 50); do echo line $k >&2; done; exit 1", jobs=make_jobs(sweep.folder, 1))
    _, rows = recorded(sweep.folder)
    assert rows[0]["log_tail"][-1] == "line 50"
    assert len(rows[0]["log_tail"]) == process.TAIL_LINES


def test_fail_fast_ends_the_sweep_with_the_first_failure(sweep):
    sweep_run = sweep(f"[ $X = 0 ] && {DONE}", fail_fast=True)
    assert sweep_run.gave_up
    record, rows = recorded(sweep.folder)
    assert [rows[k]["status"] for k in range(3)] == ["completed", "failed", "pending"]
    assert record["finished"] is None


def test_only_what_has_not_finished_is_run_again(sweep):
    sweep(f"[ $X = 1 ] || {DONE}")
    before = {p: p.stat().st_mtime_ns for p in sweep.folder.glob("x=[02]/*")}
    stream = io.StringIO()
    sweep(DONE, stream=stream)
    assert before == {p: p.stat().st_mtime_ns for p in sweep.folder.glob("x=[02]/*")}
    _, rows = recorded(sweep.folder)
    assert [rows[k]["status"] for k in range(3)] == ["completed"] * 3
    assert rows[0]["seconds"] is not None
    assert stream.getvalue().startswith("2 of 3 jobs finished on an earlier start")
    assert "3/3  x=1" in stream.getvalue()


def test_a_job_that_was_cut_off_goes_on_from_its_checkpoint(sweep):
    cut_off = "touch last.pt; echo first > how; kill -9 $$"
    sweep(f"[ $X != 1 ] || {{ {cut_off}; }}; {DONE}")
    sweep(f"echo ${{0:-anew}} >> how; {DONE}")  # sh takes --resume for the script's name
    assert (sweep.folder / "x=1" / "how").read_text() == "first\n--resume\n"
    assert not (sweep.folder / "set_aside").exists()
    _, rows = recorded(sweep.folder)
    assert rows[1]["status"] == "completed"


def test_a_job_whose_checkpoint_is_refused_begins_anew(sweep):
    sweep("touch last.pt; kill -9 $$", jobs=make_jobs(sweep.folder, 1))
    stream = io.StringIO()
    script = f"[ -e last.pt ] && {{ echo 'error: damaged.' >&2; exit 2; }}; {DONE}"
    sweep(script, jobs=make_jobs(sweep.folder, 1), stream=stream)
    assert "x=0 begins anew: damaged." in stream.getvalue()
    _, rows = recorded(sweep.folder)
    assert rows[0]["status"] == "completed"
    assert (sweep.folder / "set_aside" / "x=0.1" / "last.pt").exists()


def test_a_job_that_is_refused_either_way_is_refused(sweep):
    sweep("touch last.pt; kill -9 $$", jobs=make_jobs(sweep.folder, 1))
    sweep("echo 'error: no.' >&2; exit 2", jobs=make_jobs(sweep.folder, 1))
    _, rows = recorded(sweep.folder)
    assert (rows[0]["status"], rows[0]["reason"]) == ("refused", "no.")


def test_the_summary_of_an_earlier_part_says_nothing_of_a_later_one(sweep):
    cut_off = """touch last.pt; echo '{"status": "interrupted"}' > summary.json; exit 143"""
    sweep(cut_off, jobs=make_jobs(sweep.folder, 1))
    sweep("echo ValueError: no >&2; exit 1", jobs=make_jobs(sweep.folder, 1))
    _, rows = recorded(sweep.folder)
    assert (rows[0]["status"], rows[0]["reason"]) == ("failed", "ValueError: no")


def test_a_job_that_diverged_begins_anew(sweep):
    diverged = """touch last.pt; echo '{"status": "diverged"}' > summary.json; exit 2"""
    sweep(diverged)
    sweep(f"[ -e last.pt ] && exit 1; {DONE}")
    _, rows = recorded(sweep.folder)
    assert [rows[k]["status"] for k in range(3)] == ["completed"] * 3


def test_a_copy_of_a_sweep_without_its_hidden_files_goes_on(sweep):
    sweep("touch config.yaml run.log; kill -9 $$")
    for path in sweep.folder.rglob(".raspitrain*"):
        path.unlink()
    sweep(f"[ -e run.log ] && exit 1; {DONE}")
    _, rows = recorded(sweep.folder)
    assert [rows[k]["status"] for k in range(3)] == ["completed"] * 3


def test_jobs_that_are_asked_for_no_more_are_mentioned_and_stay(sweep):
    sweep()
    stream = io.StringIO()
    sweep(jobs=make_jobs(sweep.folder, 2), stream=stream)
    assert "jobs of an earlier start that are no part of this one: 1, x=2 for" in stream.getvalue()
    assert (sweep.folder / "x=2" / "summary.json").exists()
    _, rows = recorded(sweep.folder)
    assert list(rows) == [0, 1]


def test_a_job_whose_configuration_has_changed_is_run_again_and_its_old_result_kept(sweep):
    sweep(f"echo old > result; {DONE}")
    jobs = make_jobs(sweep.folder)
    jobs[1] = SweepJob(1, jobs[1].folder, ["x=1"], {"x": 1}, config="x: 1\ny: 2\n", environment={})
    sweep(f"echo new > result; {DONE}", jobs=jobs)
    results = [(sweep.folder / f"x={k}" / "result").read_text() for k in range(3)]
    assert results == ["old\n", "new\n", "old\n"]
    assert (sweep.folder / "set_aside" / "x=1.1" / "result").read_text() == "old\n"


def test_what_concerns_the_sweep_alone_is_no_change(sweep):
    sweep()
    jobs = make_jobs(sweep.folder)
    for job in jobs:
        job.config += "sweep_name: mine\nlauncher: {job_timeout: 7}\n"
        job.__post_init__()
    sweep("exit 1", jobs=jobs)
    assert all(job.status == "completed" for job in jobs)


@pytest.mark.parametrize("damage", [b"", b'{"status": "comp', b"\xff\0", b"[]", b"null"])
def test_a_damaged_summary_is_told_and_the_job_run_again(sweep, caplog, damage):
    sweep()
    (sweep.folder / "x=1" / "summary.json").write_bytes(damage)
    sweep()
    assert "x=1 holds a damaged result" in caplog.text
    _, rows = recorded(sweep.folder)
    assert rows[1]["status"] == "completed"
    assert (sweep.folder / "set_aside" / "x=1.1" / "summary.json").read_bytes() == damage


@pytest.mark.parametrize("damage", [None, b"", b'{"format": "raspi'])
def test_a_sweep_without_its_jobs_json_asks_the_folders(sweep, damage):
    sweep()
    if damage is None:
        (sweep.folder / "jobs.json").unlink()
    else:
        (sweep.folder / "jobs.json").write_bytes(damage)
    sweep("exit 1")
    _, rows = recorded(sweep.folder)
    assert [rows[k]["status"] for k in range(3)] == ["completed"] * 3


def test_a_folder_of_another_project_is_refused_untouched(sweep):
    sweep.folder.mkdir()
    (sweep.folder / "thesis.tex").write_text("…")
    with pytest.raises(InputError, match="is not empty and holds no sweep"):
        sweep()
    assert [p.name for p in sweep.folder.iterdir()] == ["thesis.tex"]
    (sweep.folder / "jobs.json").write_text('{"jobs": 3}')
    with pytest.raises(InputError, match="not that of a raspitrain sweep"):
        sweep()
    assert len(list(sweep.folder.iterdir())) == 2


def test_a_file_in_the_folders_place_is_refused(sweep):
    sweep.folder.write_text("")
    with pytest.raises(InputError, match="is a file"):
        sweep()


def test_a_folder_with_a_sweep_over_other_keys_is_refused(sweep):
    sweep()
    record, _ = recorded(sweep.folder)
    (sweep.folder / "jobs.json").write_text(json.dumps(record | {"swept": ["batch_size"]}))
    with pytest.raises(InputError, match="holds another sweep, over batch_size"):
        sweep()


def test_two_sweeps_never_share_a_folder_at_a_time(sweep):
    first = threading.Thread(target=sweep, args=(f"sleep 1; {DONE}",))
    first.start()
    while not (sweep.folder / "jobs.json").exists():
        time.sleep(0.01)
    with pytest.raises(InputError, match=f"in use by another sweep .process {os.getpid()}"):
        sweep()
    first.join()
    _, rows = recorded(sweep.folder)
    assert all(row["status"] == "completed" for row in rows.values())


def test_jobs_are_mixed_and_the_first_is_repeated_at_the_end(sweep):
    for _ in range(2):  # the second time nothing is left to do
        jobs = make_jobs(sweep.folder, 8)
        sweep(
            f"echo $X >> ../order; {DONE}", jobs=jobs, shuffle=True, repeat_first="auto",
            task="throughput",
        )  # fmt: skip
    order = [int(x) for x in (sweep.folder / "order").read_text().split()]
    assert len(order) == 9
    assert order[-1] == order[0]
    assert sorted(order[:-1]) == list(range(8)) != order[:-1]
    _, rows = recorded(sweep.folder)
    assert (rows[8]["repeat_of"], rows[8]["name"]) == (order[0], f"x={order[0]},repeat")


@pytest.mark.parametrize(("num_parallel", "first_two"), [(1, [0, 1]), (2, [1, 3])])
def test_where_jobs_run_at_once_long_ones_begin_first(
    sweep, monkeypatch, num_parallel, first_two
):  # fmt: skip
    monkeypatch.setattr(process, "available_cores", lambda: 2)
    jobs = make_jobs(sweep.folder, 4)
    for job, epochs in zip(jobs, ["auto", 30, "auto", 100], strict=True):
        job.values["epochs"] = epochs
    # Neither of two that begin at once ends before the other has begun.
    wait = f"until [ $(wc -l < ../order) -ge {num_parallel} ]; do sleep 0.02; done"
    sweep(f"echo $X >> ../order; {wait}; {DONE}", jobs, num_parallel=num_parallel)
    order = [int(x) for x in (sweep.folder / "order").read_text().split()]
    assert (sorted(order[:2]), sorted(order)) == (first_two, list(range(4)))


def test_a_reason_from_outside_ends_a_job_as_pruned_and_it_stays_so(sweep):
    script = f"[ $X = 1 ] && exec sleep 60; {DONE}"
    sweep(script, on_poll=lambda job: "worse than the others" if job.number == 1 else None)
    for _ in range(2):
        _, rows = recorded(sweep.folder)
        assert (rows[1]["status"], rows[1]["reason"]) == ("pruned", "worse than the others")
        sweep("exit 1") if (sweep.folder / "x=1" / "summary.json").exists() else None
        (sweep.folder / "x=1" / "summary.json").write_text('{"status": "interrupted"}')


def test_a_job_that_is_done_before_the_reason_to_end_it_is_heard_is_pruned_as_well(sweep):
    script = f"[ $X = 0 ] || trap '' TERM; sleep 0.1; {DONE}"
    for _ in range(2):
        sweep(script, on_poll=lambda job: f"worse: {job.name}" if job.number < 2 else None)
        _, rows = recorded(sweep.folder)
        assert [row["status"] for row in rows.values()] == ["pruned", "pruned", "completed"]
        assert rows[1]["reason"] == "worse: x=1"


def test_jobs_beside_one_another_share_the_cores(monkeypatch):
    monkeypatch.setattr("raspitrain.sweep.process.available_cores", lambda: 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {8, 9, 10, 11, 12}, raising=False)
    assert share_cores(1) == [None]
    assert share_cores(2) == [[8, 9], [10, 11]]
    assert share_cores(3) == [[8], [9], [10]]
    with pytest.raises(InputError, match="num_parallel=5 is more than the 4 cores"):
        share_cores(5)
    for num_threads, num_parallel in (("auto", 4), (2, 2), (4, 1)):
        check_threads(num_threads, num_parallel, given_by="hardware.num_threads")
    with pytest.raises(InputError, match="num_threads=3 is more than the 2 of 4 cores"):
        check_threads(3, 2, given_by="hardware.num_threads")


def test_jobs_run_beside_one_another(sweep, monkeypatch):
    monkeypatch.setattr("raspitrain.sweep.process.available_cores", lambda: 2)
    # Each waits for the other: they end only if both are there.
    meet = "touch ../here$X; while [ ! -e ../here0 -o ! -e ../here1 ]; do sleep 0.01; done"
    sweep(f"{meet}; {DONE}", jobs=make_jobs(sweep.folder, 2), num_parallel=2, job_timeout=20)
    _, rows = recorded(sweep.folder)
    assert [rows[k]["status"] for k in range(2)] == ["completed"] * 2


def test_a_reader_that_leaves_does_not_end_the_sweep(sweep):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    sweep(stream=Gone())
    _, rows = recorded(sweep.folder)
    assert [rows[k]["status"] for k in range(3)] == ["completed"] * 3


SWEEP = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_sweep_jobs import LAUNCHER, make_jobs
from raspitrain.sweep.record import SweepRecord
from raspitrain.sweep.sweep import SweepRun

folder = Path({folder!r})
job = {job!r}
with SweepRun(
    SweepRecord(folder, name=None, task="train", command=["python"], swept=["x"]), LAUNCHER,
    make_command=lambda folder, limits, resume: ["sh", "-c", f"cd '{{folder}}'; {{job}}"],
) as sweep_run:
    sweep_run.run(make_jobs(folder))
sys.exit(sweep_run.stopped_by)
"""


def start_sweep(folder, job):
    """A sweep in a process of its own, begun with a job that says `begun` and then waits."""
    program = textwrap.dedent(SWEEP).format(
        tests=str(Path(__file__).parent), folder=str(folder), job=job
    )
    running = subprocess.Popen([sys.executable, "-c", program])
    while not (folder / "x=0" / "begun").exists():
        assert running.poll() is None
        time.sleep(0.01)
    return running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_job_once_and_no_other_begins(tmp_path, number):
    name = signal.Signals(number).name[3:]
    running = start_sweep(
        tmp_path / "sweep",
        f"trap 'echo got >> got; exit {128 + number}' {name}; touch begun; "
        "while :; do sleep 0.02; done",
    )
    running.send_signal(number)
    assert running.wait(10) == number
    assert (tmp_path / "sweep" / "x=0" / "got").read_text() == "got\n"
    record, rows = recorded(tmp_path / "sweep")
    assert [rows[k]["status"] for k in range(3)] == ["interrupted", "pending", "pending"]
    assert record["finished"] is None


def test_a_second_ctrl_c_kills(tmp_path):
    running = start_sweep(
        tmp_path / "sweep", "trap '' INT; touch begun; while :; do sleep 0.02; done"
    )
    running.send_signal(signal.SIGINT)
    time.sleep(process.SAME_PRESS_SECONDS + 0.1)
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    assert running.wait(10) == signal.SIGINT


def test_a_sweep_that_is_suspended_suspends_its_job(tmp_path):
    # A shell that is just starting something else is stopped in a state of its own.
    running = start_sweep(tmp_path / "sweep", "echo $$ > pid; touch begun; exec sleep 60")
    job = int((tmp_path / "sweep" / "x=0" / "pid").read_text())

    def state(pid):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]

    def becomes(pid, states):
        for _ in range(200):
            if state(pid) in states:
                return True
            time.sleep(0.02)
        return False

    running.send_signal(signal.SIGTSTP)
    assert becomes(running.pid, "T")
    assert becomes(job, "T")
    running.send_signal(signal.SIGCONT)
    assert becomes(job, "SR")
    running.send_signal(signal.SIGTERM)
    assert running.wait(10) == signal.SIGTERM


def test_a_job_ends_with_the_sweep_that_started_it():
    child = (
        "import os, time; from raspitrain.sweep.job import end_with; end_with(os.getppid()); "
        "print('begun', flush=True); time.sleep(60)"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    running = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert running.stdout.readline() == "begun\n"
    running.kill()
    assert running.stdout.read() == ""  # at its end nobody has it open
    running.wait()


def test_a_full_card_ends_the_sweep_with_a_sentence_and_no_job_goes_on(sweep, monkeypatch):
    def full(stage, path):
        if path.name == "jobs.json" and (sweep.folder / "x=1" / "job.yaml").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(atomic, "on_write", full)
    with pytest.raises(
        UnwrittenError, match="No space left on device; the jobs that have finished"
    ):
        sweep(f"[ $X = 0 ] || sleep 0.3; touch late; {DONE}")
    monkeypatch.undo()
    time.sleep(0.5)
    assert not (sweep.folder / "x=1" / "late").exists()
    sweep()
    _, rows = recorded(sweep.folder)
    assert [rows[k]["status"] for k in range(3)] == ["completed"] * 3


def test_a_search_launches_again_and_again_and_keeps_what_was(tmp_path):
    folder = tmp_path / "sweep"

    def search(jobs):
        with SweepRun(
            SweepRecord(folder, name=None, task="train", command=["python"], swept=["x"]),
            LAUNCHER,
            keep_earlier=True,
            make_command=lambda folder, limits, resume: ["sh", "-c", f"cd '{folder}'; {DONE}"],
            stream=io.StringIO(),
        ) as sweep_run:
            for job in jobs:
                sweep_run.run([job])

    jobs = make_jobs(folder, 4)
    search(jobs[:2])
    search(jobs[2:])
    _, rows = recorded(folder)
    assert [rows[k]["status"] for k in range(4)] == ["completed"] * 4


def test_a_sweep_killed_outright_is_gone_on_with_after_its_job_has_ended(tmp_path, sweep):
    """This job does not end with the sweep: the lock that it inherited makes the next one wait."""
    running = start_sweep(tmp_path / "sweep", "touch begun; sleep 1.5; touch ended")
    running.kill()
    running.wait()
    sweep(f"[ $X != 0 ] || [ -e ended ] || exit 1; {DONE}")
    _, rows = recorded(sweep.folder)
    assert [rows[k]["status"] for k in range(3)] == ["completed"] * 3


def test_a_memory_limit_holds(tmp_path):
    program = (
        "from raspitrain.sweep.job import limit_memory\n"
        "limit_memory(300)\n"
        "kept = bytearray(100_000_000)\n"
        "try:\n    bytearray(400_000_000)\nexcept MemoryError:\n    print('held')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "held\n", done.stderr
