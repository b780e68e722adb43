"""Sweeps on the nodes of an allocation of SLURM's: with a real one, by make test-boards."""

import os
import random
import shlex
import subprocess
import sys
import time

import pytest
from conftest import wait_for
from dask_cluster import PAGE
from same_sweep import JOBS, check_same, finish, rows
from slurm import Slurm
from sshd import words_of
from test_sweep_jobs import LAUNCHER

from raspitrain.errors import InputError
from raspitrain.sweep.places import check_places
from raspitrain.sweep.srun import Node, cores_of


@pytest.fixture
def slurm():
    made = Slurm("pi1", "pi2")
    yield made
    made.close()


def allocated(slurm, folder):
    """The page's own command, on two nodes and with the tests' jobs."""
    (line,) = (line for line in PAGE.read_text().splitlines() if line.startswith("    salloc"))
    words = shlex.split(line.replace("--nodes=4", "--nodes=2").replace("sweep_name=lr", ""))
    words[words.index("python")] = sys.executable
    jobs = [word for word in JOBS if word not in words]
    return subprocess.Popen(
        [*words, *jobs, "sweep_name=over"], cwd=folder, env=os.environ | slurm.variables,
        text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.mark.boards
def test_figures_are_those_of_one_host(tmp_path, slurm, on_one_host):
    finish(allocated(slurm, tmp_path))
    check_same(tmp_path, on_one_host)
    assert {row["host"] for row in rows(tmp_path, "over")} == {"pi1", "pi2"}


@pytest.mark.boards
def test_a_node_that_is_lost_costs_its_job_a_minute(tmp_path, slurm, on_one_host):
    process = allocated(slurm, tmp_path)
    job = "raspitrain.sweep.job"
    assert wait_for(lambda: any(job in " ".join(words_of(p)) for p in slurm.steps("pi1")))
    time.sleep(random.Random(os.environ.get("RASPITRAIN_SEED", "0")).uniform(1, 8))
    slurm.power_cut("pi1")
    assert "pi1" in finish(process)
    check_same(tmp_path, on_one_host)


def test_without_an_allocation_it_says_how_to_get_one(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_NODELIST", raising=False)
    with pytest.raises(InputError, match="start the sweep under salloc --nodes=4"):
        check_places(LAUNCHER | {"srun": True})


def test_what_srun_says_of_itself_is_told_from_what_a_script_ends_with():
    node = Node("pi1", 4)
    assert node.answer(3, b"", "srun: error: pi1: task 0: Exited with exit code 3\n").code == 3
    failed = (
        "srun: error: Task launch for StepId=2.3 failed on node pi1: Communication connection "
        "failure\nsrun: Job step aborted\n"
    )
    assert not node.answer(1, b"", failed).reached
    sentence, may_pass = node.why_unreached(failed)
    assert sentence.startswith("pi1 does not answer (Task launch for StepId=2.3 failed on node pi1")
    assert may_pass
    assert not node.why_unreached("srun: error: Invalid job id specified")[1]
    assert cores_of("4(x2),2") == [4, 4, 2]
