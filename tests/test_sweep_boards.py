"""Sweeps over boards: the boards are folders here, reached by an ssh that is a shell script. With a
real sshd: tests/test_sweep_boards_sshd.py.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import TINY, wait_for
from fake_ssh import FakeBoards
from test_sweep_jobs import LAUNCHER, make_jobs, recorded

from raspitrain.errors import InputError
from raspitrain.report import report_sweep
from raspitrain.sweep import places
from raspitrain.sweep.board import kind_of, node
from raspitrain.sweep.places import Data, make_places, split_name
from raspitrain.sweep.record import SweepRecord
from raspitrain.sweep.ssh import Host, why_unreached
from raspitrain.sweep.sweep import SweepRun
from raspitrain.sweep.transfer import fetch

DONE = """echo '{"status": "completed", "samples_per_second": 9}' > summary.json; exit 0"""


@pytest.fixture
def boards(tmp_path, monkeypatch):
    """boards("pi@a", …) with an ssh that reaches them, for this process too."""

    def make(*hosts):
        made = FakeBoards(tmp_path, *hosts)
        for name, value in made.variables.items():
            monkeypatch.setenv(name, value)
        return made

    monkeypatch.setattr(places, "AGAIN_SECONDS", 0.2)
    return make


@pytest.fixture
def sweep(tmp_path, capsys):
    """sweep(boards, …) runs four jobs over x and gives what was said."""
    import io

    def run(where, count=4, task="train", jobs=None, ask=None, tell=None, **launcher):
        stream = io.StringIO()
        folder = tmp_path / "sweep"
        with SweepRun(
            SweepRecord(folder, name=None, task=task, command=["python"], swept=["x"]),
            LAUNCHER | {"boards": list(where)} | launcher,
            make_command=lambda folder, limits, resume: [
                *["sh", "-c", f"cd '{folder}'; sleep 1; {DONE}"],
            ],
            grace_seconds=1,
            stream=stream,
        ) as sweep_run:
            sweep_run.run(make_jobs(folder, count) if jobs is None else jobs, ask, tell)
        return stream.getvalue()

    run.folder = tmp_path / "sweep"
    return run


@pytest.mark.long
def test_the_command_sweeps_over_two_boards(tmp_path, boards):
    """The same figures as on one machine; nothing is left on the boards but the data."""
    made = boards("pi@a", "pi@b")
    import numpy as np

    signals = np.random.default_rng(0).normal(size=(40, 2, 32)).astype(np.float32)
    np.savez(tmp_path / "cases.npz", data=signals, label=np.arange(40) % 2)
    words = [w for w in TINY if not w.startswith("dataset")]
    words += ["dataset=npz", "dataset.path=cases.npz", "seed=0,1", "augment=none"]

    def multirun(*more):
        done = subprocess.run(
            [sys.executable, "-m", "raspitrain", "--multirun", *words, *more],
            cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        return done

    multirun("sweep_name=one")
    multirun("sweep_name=two", "launcher.boards=[pi@a,pi@b]")
    tables = []
    for name in ("one", "two"):
        with open(tmp_path / "outputs/sweeps" / name / "sweep.csv", newline="") as file:
            tables.append(list(csv.DictReader(file)))
    assert sorted(row["host"] for row in tables[1]) == ["pi@a", "pi@b"]
    for here, there in zip(*tables, strict=True):
        for figure in (
            "test_accuracy",
            "test_loss",
            "final.train_loss",
            "epochs",
            "seed",
            "status",
        ):
            assert here[figure] == there[figure]
    preset = tmp_path / "outputs/sweeps/two/best/experiment/most_accurate.yaml"
    assert "path: cases.npz" in preset.read_text()
    for host in ("pi@a", "pi@b"):
        assert made.left(host) == []
        (data,) = (made.home(host) / ".cache/raspitrain/boards/data").iterdir()
        assert (data / "cases.npz").read_bytes() == (tmp_path / "cases.npz").read_bytes()


def test_places_share_a_queue_and_this_machine_may_be_one(boards, sweep):
    made = boards("pi@a", "pi@b")
    made.put("pi@b", "slow", "0.3")
    where = [f"{host}:{made.python(host, DONE)}" for host in ("pi@a", "pi@b")]
    sweep([*where, "here"], count=6)
    _, rows = recorded(sweep.folder)
    assert {row["status"] for row in rows.values()} == {"completed"}
    assert {row["host"] for row in rows.values()} <= {"pi@a", "pi@b", "here"}
    assert len({row["host"] for row in rows.values()}) > 1
    assert made.left("pi@a") == made.left("pi@b") == []


LIES = {
    "clock": "found['clock'] += 5 * 3600",
    "version": "found['version'] = '0.0.1'",
    "disk": "found['disk_free_mb'] = 12",
    "cores": "found['cores'] = 0",
    "torch": "found['torch'] = None",
    "kind": "found['kind'] = 'Pi 4'",
}
SAYS = {
    "down": "does not answer (connect to host pi@down port 22: No route to host): see that it is",
    "refuses": "refuses the key: ssh-copy-id pi@refuses",
    "none": "has no raspitrain for sweeps over boards (of /nowhere/python): install",
    "clock": "has a clock that is 5.0 hours ahead: sudo timedatectl",
    "version": "has raspitrain 0.0.1 (",
    "disk": "has 12 MB of disk left: make room",
    "cores": "has 0 cores for launcher.num_parallel=1",
    "torch": "has no torch",
    "noise": "cannot be used: its shell prints something at every login",
}


def lying(made, host, lie):
    """The board's Python, which says something else of the board."""
    liar = (
        "import json; from raspitrain.sweep.board import facts; found = facts(); "
        f"{LIES[lie]}; print(json.dumps(found))"
    )
    script = f'#!/bin/sh\n[ "$4" = facts ] && exec {sys.executable} -c "{liar}"\n'
    made.put(host, "python", script + f'exec {sys.executable} "$@"\n')
    (made.home(host) / "python").chmod(0o755)
    return f"{host}:{made.home(host) / 'python'}"


def test_boards_that_will_not_do_are_named_and_the_others_go_on(boards, sweep):
    made = boards("pi@a", *(f"pi@{fault}" for fault in SAYS))
    where = [f"pi@a:{made.python('pi@a', f'sleep 2; {DONE}')}"]
    for fault in SAYS:
        if fault in LIES:
            where.append(lying(made, f"pi@{fault}", fault))
        elif fault == "none":
            where.append("pi@none:/nowhere/python")
        elif fault == "noise":
            made.put("pi@noise", "python", f'#!/bin/sh\necho hello\nexec {sys.executable} "$@"\n')
            (made.home("pi@noise") / "python").chmod(0o755)
            where.append(f"pi@noise:{made.home('pi@noise') / 'python'}")
        else:
            made.put(f"pi@{fault}", fault)
            where.append(f"pi@{fault}")
    said = sweep(where, count=2)
    for fault, sentence in SAYS.items():
        assert said.count(f"pi@{fault} {sentence}") == 1, said
    _, rows = recorded(sweep.folder)
    assert [(row["status"], row["host"]) for row in rows.values()] == [("completed", "pi@a")] * 2


def test_without_a_place_nothing_is_lost(boards, sweep, monkeypatch):
    made = boards("pi@a")
    made.put("pi@a", "refuses")
    sweep([f"pi@a:{made.python('pi@a', DONE)}"], count=2)
    _, rows = recorded(sweep.folder)
    assert [row["status"] for row in rows.values()] == ["postponed"] * 2
    assert "there is no place to run it: pi@a refuses the key" in rows[0]["reason"]
    (made.home("pi@a") / "refuses").unlink()
    sweep([f"pi@a:{made.python('pi@a', DONE)}"], count=2)
    assert [row["status"] for row in recorded(sweep.folder)[1].values()] == ["completed"] * 2


def test_a_search_without_a_place_asks_for_nothing_and_ends(boards, sweep):
    made = boards("pi@a")
    made.put("pi@a", "refuses")
    asked = iter(make_jobs(sweep.folder, 9))
    said = sweep(["pi@a"], jobs=[], ask=lambda: next(asked), tell=lambda job: None)
    assert said.startswith("pi@a refuses the key")
    assert next(asked).number == 0
    assert recorded(sweep.folder)[0]["finished"] is None


def test_a_job_whose_board_is_full_goes_elsewhere(boards, sweep):
    made = boards("pi@a", "pi@b")
    full = made.python("pi@b", "echo 'error: x: No space left on device; make room' >&2; exit 75")
    made.put("pi@a", "slow", "0.2")
    said = sweep([f"pi@b:{full}", f"pi@a:{made.python('pi@a', DONE)}"], count=2)
    assert "x: No space left on device; make room; it goes on where there is a place" in said
    assert {row["host"] for row in recorded(sweep.folder)[1].values()} == {"pi@a"}


def test_a_board_that_fails_one_job_keeps_the_other_that_runs_there(boards, sweep, monkeypatch):
    monkeypatch.setattr("raspitrain.sweep.process.available_cores", lambda: 2)
    made = boards("pi@a")
    once = (
        "echo $$ >> ~/runs; case $PWD in *x=0) sleep 4;; *) if [ ! -e ~/once ]; then touch ~/once; "
        f"echo 'error: not now' >&2; exit 75; fi;; esac; {DONE}"
    )
    said = sweep([f"pi@a:{made.python('pi@a', once)}"], count=2, num_parallel=2)
    assert "x=1 on pi@a: not now; it goes on" in said
    assert [row["status"] for row in recorded(sweep.folder)[1].values()] == ["completed"] * 2
    assert len((made.home("pi@a") / "runs").read_text().split()) == 3


def test_a_job_that_is_killed_on_a_board_is_tried_once_more(boards, sweep):
    made = boards("pi@a")
    once = f"if [ -e ~/once ]; then {DONE}; else touch ~/once; kill -9 $$; fi"
    said = sweep([f"pi@a:{made.python('pi@a', once)}"], count=1)
    assert "killed by SIGKILL; it goes on" in said
    always = made.python("pi@a", "kill -9 $$")
    sweep([f"pi@a:{always}"], count=2)
    assert [row["status"] for row in recorded(sweep.folder)[1].values()] == ["completed", "killed"]


def test_what_was_finished_on_a_board_that_went_away_is_not_run_again(boards, sweep):
    """The connection is cut at the end of the job; its result is fetched when the board is back."""
    made = boards("pi@a")
    cut = (
        """echo x >> ~/runs; echo '{"status": "completed"}' > summary.json; """
        "kill -9 $(tail -1 ~/connections); sleep 0.2; exit 0"
    )
    said = sweep([f"pi@a:{made.python('pi@a', cut)}"], count=1)
    assert "pi@a has gone in mid-job" in said
    assert "pi@a is back" in said
    assert (made.home("pi@a") / "runs").read_text() == "x\n"
    assert recorded(sweep.folder)[1][0]["status"] == "completed"


def test_what_a_board_has_left_is_fetched_for_jobs_that_come_later_too(boards, sweep):
    """As those of a search do, whose coordinator was killed."""
    made = boards("pi@a")
    where = [f"pi@a:{made.python('pi@a', f'echo x >> ~/runs; {DONE}')}"]
    sweep(where, count=2)
    record, _ = recorded(sweep.folder)
    number = (sweep.folder / ".raspitrain-boards").read_text().strip()
    there = made.home("pi@a") / ".cache/raspitrain/boards/jobs" / node() / number / "x=1"
    there.mkdir(parents=True)
    (sweep.folder / "x=1" / "summary.json").rename(there / "summary.json")
    record["jobs"][1]["status"] = "running"
    (sweep.folder / "jobs.json").write_text(json.dumps(record))
    jobs = make_jobs(sweep.folder, 3)
    sweep(where, jobs=[jobs[0], jobs[2]])
    assert (sweep.folder / "x=1" / "summary.json").exists()
    assert (made.home("pi@a") / "runs").read_text() == "x\n" * 3
    assert made.left("pi@a") == []


def test_speeds_are_measured_on_one_kind_of_board(boards, sweep):
    made = boards("pi@a", "pi@b")
    where = [f"pi@a:{made.python('pi@a', DONE)}", lying(made, "pi@b", "kind")]
    said = sweep(where, task="throughput")
    assert "pi@b is a Pi 4, and speeds are compared on" in said
    assert {row["host"] for row in recorded(sweep.folder)[1].values()} == {"pi@a"}


def test_speeds_of_several_kinds_are_answered_for_each(tmp_path):
    from made_sweep import made_summary, made_sweep

    folder = made_sweep(
        tmp_path / "s", {"batch_size": [8, 16], "seed": [0, 1]},
        lambda k, values: made_summary(0.9, [100, 500, 120, 400][k]),
    )  # fmt: skip
    record = json.loads((folder / "jobs.json").read_text())
    for job, kind in zip(record["jobs"], ["Pi 4", "Pi 5", "Pi 4", "Pi 5"], strict=True):
        job |= {"host": f"pi@{kind[-1]}", "kind": kind}
    (folder / "jobs.json").write_text(json.dumps(record))
    result = report_sweep(folder)
    assert result["fastest"] is None
    assert [(f["kind"], f["values"]) for f in result["fastest_by_kind"]] == [
        ("Pi 4", {"batch_size": 16}), ("Pi 5", {"batch_size": 8}),
    ]  # fmt: skip
    assert not result["pareto"]
    assert all("samples_per_second" not in s["figures"] for s in result["settings"])
    assert "2 kinds of boards" in " ".join(result["warnings"])
    assert "Fastest on Pi 5" in (folder / "report.html").read_text()
    with open(folder / "sweep.csv", newline="") as file:
        assert [row["host"] for row in csv.DictReader(file)] == ["pi@4", "pi@5"] * 2


def test_data_that_change_in_between_are_told(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1\n")
    config = json.dumps({"dataset": {"path": str(tmp_path / "data")}, "init": None})
    data = Data()
    first = data.of(config)
    assert data.of(config) == first
    (tmp_path / "data" / "b.csv").write_text("2\n")
    with pytest.raises(InputError, match=r"dataset\.path=.* has changed since the sweep began"):
        data.of(config)
    assert Data().of(config) != first


def test_the_doctor_asks_all_boards_at_once(boards, capsys):
    from raspitrain.doctor.__main__ import main

    made = boards("pi@a", "pi@b", "pi@down")
    made.put("pi@down", "down")
    where = f"pi@a:{sys.executable},{lying(made, 'pi@b', 'clock')},pi@down"
    assert main(["--boards", where]) == 1
    said = capsys.readouterr().out
    assert "MB/s" in said
    assert f"pi@b {SAYS['clock']}" in said
    assert "pi@down does not answer" in said
    assert said.endswith("1 of 3 boards will do.\n")
    assert main(["--boards", "pi@a;b"]) == 2
    capsys.readouterr()
    assert main(["--boards", "here"]) == 0
    assert capsys.readouterr().out.endswith("1 of 1 boards will do.\n")


@pytest.mark.parametrize("end", ["silence", "closed", "stop"])
def test_a_job_ends_where_its_coordinator_is_no_longer_heard(tmp_path, end):
    """It lives on signs of life alone, and says which files have changed."""
    script = (
        "import time; from pathlib import Path; from raspitrain.sweep import lease; "
        "lease.LOOK_SECONDS = 0.05; lease.keep(Path(), 1.5); print('not for the coordinator'); "
        "Path('last.pt').touch(); time.sleep(60)"
    )
    job = subprocess.Popen(
        [sys.executable, "-P", "-c", script], cwd=tmp_path, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert job.stdin is not None
    assert wait_for((tmp_path / "last.pt").exists)
    for _ in range(25):
        job.stdin.write(b"\n")
        job.stdin.flush()
        time.sleep(0.1)
    assert job.poll() is None
    if end == "stop":
        job.stdin.write(b"stop\n")
        job.stdin.flush()
    elif end == "closed":
        job.stdin.close()
    assert job.wait(20) == -signal.SIGTERM
    assert job.stdout is not None
    said = [json.loads(line) for line in job.stdout.read().splitlines()]
    assert said[0] == {"changed": ["last.pt"]}
    assert ({"lease": "over"} in said) is (end != "stop")


@pytest.mark.parametrize(
    "word",
    [
        "-oProxyCommand=x",
        "pi@",
        "a b",
        "",
        "pi@a:-c",
        "pi@-x",
        "a;b",
        "ssh://pi@h",
        "pi@h:22",
        "here:venv/bin/python",
    ],
)
def test_a_word_that_is_no_host_is_refused(word):
    with pytest.raises(InputError, match="must be here, a host as for ssh"):
        split_name(word)


def test_hosts_and_their_python(tmp_path):
    assert split_name("pi@pi5a") == ("pi@pi5a", None)
    assert split_name("board-1.lan:venv/bin/python") == ("board-1.lan", "venv/bin/python")
    with pytest.raises(InputError, match="names pi@a 2 times"):
        make_places(["pi@a", "pi@a"], 1, None, "id", "", tmp_path)
    with pytest.raises(InputError, match="no such file"):
        make_places(["pi@a"], 1, str(tmp_path / "none"), "id", "", tmp_path)


def test_kinds_of_boards():
    assert kind_of("Raspberry Pi 5 Model B Rev 1.0", 4, "2.9.1") == kind_of(
        "Raspberry Pi 5 Model B Rev 1.1", 4, "2.9.1"
    )
    assert kind_of("Raspberry Pi 5 Model B", 4, "2.9.1") != kind_of(
        "Raspberry Pi 5 Model B", 4, "2.8.0"
    )


@pytest.mark.parametrize(
    ("said", "sentence", "may_pass"),
    [
        ("pi@x: Permission denied (publickey,password).", "refuses the key", False),
        ("Host key verification failed.", "host key", False),
        ("ssh: Could not resolve hostname x: Name or service not known", "not found", False),
        ("ssh: connect to host x port 22: Connection timed out", "does not answer", True),
        ("Connection closed by 10.0.0.1 port 22", "does not answer", True),
        ("", "gives no reason", True),
    ],
)
def test_what_ssh_says_becomes_a_sentence(said, sentence, may_pass):
    told, passes = why_unreached("pi@x", said)
    assert "pi@x" in told
    assert sentence in told
    assert passes is may_pass


def test_a_board_writes_nowhere_but_into_the_jobs_folder(tmp_path, boards):
    import io
    import tarfile

    made = boards("pi@a")
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name in ("../out", "/tmp/out", "job.yaml", ".hidden", "a/../../out", "fine"):
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    (made.home("pi@a") / "jobs").mkdir()
    made.put("pi@a", "evil.tar", "")
    (made.home("pi@a") / "evil.tar").write_bytes(content.getvalue())
    (made.home("pi@a") / "bin").mkdir()
    tar_there = made.home("pi@a") / "bin" / "tar"
    tar_there.write_text(f"#!/bin/sh\ncat {made.home('pi@a')}/evil.tar\n")
    tar_there.chmod(0o755)
    os.environ["PATH"] = f"{tar_there.parent}{os.pathsep}{os.environ['PATH']}"
    (tmp_path / "job").mkdir()
    fetch(Host("pi@a", None, "x"), "jobs", tmp_path / "job")
    assert [path.name for path in (tmp_path / "job").iterdir()] == ["fine"]
    assert not (tmp_path / "out").exists()


def test_boards_are_for_sweeps(command):
    done = command("launcher.boards=[pi@a]")
    assert done.returncode == 2
    assert "launcher.boards=['pi@a'] is for sweeps: add --multirun" in done.stderr


def test_boards_count_on_the_command_line_alone(tmp_path, command):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "x.yaml").write_text(
        "# @package _global_\nlauncher: {boards: [evil@example.org]}\n"
    )
    done = command("--multirun", "--config-dir", "mine", "experiment=x", "seed=0,1")
    assert done.returncode == 2
    assert "launcher.boards sends data and work to other machines" in done.stderr
    assert not (tmp_path / "outputs").exists()
