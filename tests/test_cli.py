"""The real command, as a user types it."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from conftest import TINY

from raspitrain.cache import cache_folder
from raspitrain.cli.commands import COMMANDS

ROOT = Path(__file__).parents[1]
ONE_EPOCH = [*(t for t in TINY if not t.startswith("epochs=")), "epochs=1"]


def only_run(folder: Path) -> Path:
    (run,) = folder.glob("outputs/*/*")
    return run


@pytest.fixture(scope="module")
def piped(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The folder of a run in a pipe, and what came out of it; with a variable that does not
    matter."""
    folder = tmp_path_factory.mktemp("piped")
    done = subprocess.run(
        [sys.executable, "-m", "raspitrain", *TINY],
        cwd=folder,
        env=os.environ | {"MPLBACKEND": "nonsense"},
        capture_output=True,
        text=True,
    )
    return only_run(folder), done


def test_a_run_in_a_pipe_prints_lines_and_leaves_its_folder(piped):
    folder, done = piped
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "epoch 2/2" in done.stdout
    assert str(folder) in done.stdout
    assert json.loads((folder / "summary.json").read_text())["status"] == "completed"
    assert done.stderr == ""


def test_the_mission_command_runs_as_written(forked_command, tmp_path):
    done = forked_command("model=mobilenetv3_large", "optimizer=sgd", *TINY)
    assert done.returncode == 0, done.stderr
    assert "table: large" in (only_run(tmp_path) / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["modle=x"], "modle is not a key of this configuration; did you mean model"),
        (["model=["], "cannot be read: write key=value"),
        (["hydra.run.dir=/dev/null/x"], "/dev/null/x: Not a directory; give another hydra.run.dir"),
        (["--unknown"], "unrecognized arguments: --unknown"),
    ],
)
def test_mistakes_end_in_one_sentence_and_exit_code_2(command, tmp_path, arguments, says):
    """Some of tests/test_bad_input.py, in a process of their own."""
    done = command(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert says in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_refused_takes_nothing_with_it(forked_command, tmp_path):
    """An empty folder of the user's own is not the run's to remove."""
    (tmp_path / "results").mkdir()
    assert forked_command("epochs=0", "hydra.run.dir=results/run").returncode == 2
    assert [p.name for p in tmp_path.rglob("*")] == ["results"]
    assert forked_command("epochs=0", "hydra.run.dir=results").returncode == 2
    assert [p.name for p in tmp_path.rglob("*")] == ["results"]


@pytest.mark.parametrize(("name", "text"), [("json", "x = ("), ("signal", "x = 1"), ("yaml", "")])
def test_a_file_in_the_place_of_a_module_is_named(command, tmp_path, name, text):
    """Python looks in the folder that a command is started in first."""
    (tmp_path / f"{name}.py").write_text(text)
    done = command("epochs=0")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path}/{name}.py is read in the place of the module")


def test_a_folder_that_is_gone_is_said(tmp_path):
    """As after a clean-up in another window."""
    (tmp_path / "gone").mkdir()
    done = subprocess.run(
        ["sh", "-c", 'cd gone && rmdir ../gone && exec "$@"', "", sys.executable, "-m",
         "raspitrain", "epochs=1"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "The folder that you are in is not there any more" in done.stderr


def test_a_folder_may_be_named_after_what_was_chosen(forked_command):
    done = forked_command("hydra.run.dir=${hydra:runtime.choices.optimizer}", "epochs=0")
    assert "write ${hydra.NAME}" in done.stderr
    done = forked_command("hydra.run.dir=${hydra.runtime.choices.optimizer}", *TINY)
    assert "/adam" in done.stdout


def test_a_home_behind_a_sign_is_found(forked_command, tmp_path):
    (tmp_path / "home").mkdir()
    variables = {"HOME": f"{tmp_path}/home", "XDG_CACHE_HOME": str(cache_folder().parent)}
    done = forked_command("hydra.run.dir=~/run", "dataset=npy", "dataset.path=~/x", **variables)
    assert f"{tmp_path}/home/x does not exist" in done.stderr
    assert "~" not in [path.name for path in tmp_path.iterdir()]
    done = forked_command("hydra.run.dir=~/run", *TINY, **variables)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "home" / "run" / "summary.json").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lr: [1,\n", "bad.yaml, line 2: "),
        ("# @package _global_\nepoch: 3\n", "epoch is not a key"),
        ("epochs: 3\n", "# @package _global_"),
    ],
)
def test_a_users_yaml_that_does_nothing_is_named(forked_command, tmp_path, text, says):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "bad.yaml").write_text(text)
    done = forked_command("--config-dir", "mine", "experiment=bad")
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_leaves_is_no_fault(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "raspitrain", "--help"],
        cwd=tmp_path,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_variables_that_do_not_matter_do_no_harm(command, piped):
    assert piped[1].returncode == 0
    done = command(*TINY, OMP_NUM_THREADS="many")
    assert done.returncode == 2
    assert "OMP_NUM_THREADS must be a whole number" in done.stderr


def test_a_folder_that_holds_a_run_is_refused(forked_command, piped):
    again = forked_command(*ONE_EPOCH, f"hydra.run.dir={piped[0]}")
    assert again.returncode == 2
    assert "already holds a run" in again.stderr


def test_help_shows_groups_options_and_commands(command):
    done = command("--help")
    assert done.returncode == 0
    assert re.search(r"^model: .*\bmobilenetv3_large\b", done.stdout, re.M)
    assert done.stdout.count("\n  python -m raspitrain") == 6
    (listed,) = re.findall(r"Commands of their own.*?\n\n", done.stdout, re.S)
    assert set(COMMANDS) <= set(re.findall(r"\w+", listed))
    about_data = command("data", "--help")
    assert about_data.returncode == 0
    assert about_data.stdout.startswith("usage: raspitrain data")
    assert "recordings" in about_data.stdout


WHAT_TRAINS_NOTHING = """
import os, sys
from raspitrain.cli.main import main
for words in (["--help"], ["--cfg", "job"], ["modle=x"], ["epochs=many"], ["--info", "config"]):
    if os.fork() == 0:
        sys.argv = ["raspitrain", *words]
        try:
            main()
        except SystemExit:
            pass
        sys.stdout.flush()
        heavy = {"torch", "matplotlib", "aeon", "pandas", "numpy"} & set(sys.modules)
        print("HEAVY", words, heavy, file=sys.stderr, flush=True) if heavy else None
        os._exit(bool(heavy))
    assert os.wait()[1] == 0, words
"""


def test_what_trains_nothing_does_not_wait_for_torch(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WHAT_TRAINS_NOTHING], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "did you mean model" in done.stderr
    assert "epochs must be" in done.stderr


def test_hydras_own_commands_work(forked_command):
    shown = forked_command("--cfg", "job", "--package", "optimizer", "optimizer=sgd")
    assert "momentum: 0.9" in shown.stdout
    assert "main" in forked_command("--info", "searchpath").stdout
    assert "main" in forked_command("epochs=1", "--info", "searchpath").stdout
    assert "Config search path" in forked_command("--info", "epochs=1").stdout
    assert "Hydra" in forked_command("--hydra-help").stdout
    completion = forked_command("--shell-completion", "install=bash")
    assert completion.returncode == 0
    assert "complete" in completion.stdout


def test_the_users_own_yaml_is_found(forked_command, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "quick.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /optimizer: sgd\nepochs: 1\n"
        "dataset: {num_cases: 40, length: 32, num_classes: 2}\nmodel: {width_mult: 0.25}\n"
    )
    done = forked_command("--config-dir", "mine", "experiment=quick")
    assert done.returncode == 0, done.stderr
    assert "epoch 1/1" in done.stdout
    wrong = forked_command("--config-dir", "mine", "experiment=quik")
    assert "did you mean quick" in wrong.stderr


def test_the_users_own_model_is_trained(forked_command, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, num_channels, num_classes, width):\n"
        "        super().__init__(nn.Conv1d(num_channels, width, 5), nn.ReLU(),\n"
        "            nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(width, num_classes))\n"
    )
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "net.yaml").write_text("_target_: mine.Net\nwidth: 8\n")
    data = [t for t in TINY if not t.startswith("model.")]
    refused = forked_command("--config-dir", "conf", "model=net", *data)
    assert refused.returncode == 2
    assert "allowed_targets" in refused.stderr
    done = forked_command("--config-dir", "conf", "model=net", "allowed_targets=[mine.Net]", *data)
    assert done.returncode == 0, done.stderr


def test_a_users_own_model_that_fails_in_training_keeps_what_there_is(forked_command, tmp_path):
    (tmp_path / "tired.py").write_text(
        "from torch import nn\n"
        "class Tired(nn.Sequential):\n"
        "    def __init__(self, num_channels, num_classes):\n"
        "        super().__init__(nn.AdaptiveAvgPool1d(1), nn.Flatten(),\n"
        "            nn.Linear(num_channels, num_classes))\n"
        "        self.steps = 0\n"
        "    def forward(self, x):\n"
        "        self.steps += self.training\n"
        "        return super().forward(x) if self.steps < 30 else {}[self.steps]\n"
    )
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "tired.yaml").write_text("_target_: tired.Tired\n")
    data = [t for t in TINY if not t.startswith(("model.", "epochs"))]
    words = ["--config-dir", "conf", "model=tired", "allowed_targets=[tired.Tired]", *data]
    done = forked_command(*words, "epochs=90", "hydra.run.dir=aside/../run")
    assert done.returncode == 2, done.stderr
    says = f"model (tired.Tired) fails: KeyError: 30 (Tired.forward, {tmp_path}/tired.py, line 9)."
    assert done.stderr.splitlines()[-1] == f"error: {says}"
    assert sorted(p.name for p in tmp_path.iterdir() if "__" not in p.name) == [
        "conf", "run", "tired.py",
    ]  # fmt: skip
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["status"], summary["reason"]) == ("failed", says)
    log = (tmp_path / "run" / "run.log").read_text()
    assert "in forward\n" in log
    assert f"resume={tmp_path}/run " in log


def test_the_profiles_threads_reach_the_process(command, forked_command, tmp_path):
    rest = [t for t in ONE_EPOCH if not t.startswith("hardware.")]
    for run, threads, given, expected in ((command, "2", "", 2), (forked_command, "auto", "1", 1)):
        done = run(
            *rest,
            f"hardware.num_threads={threads}",
            f"hydra.run.dir={threads}",
            OMP_NUM_THREADS=given,
        )
        assert done.returncode == 0, done.stderr
        environment = json.loads((tmp_path / threads / "environment.json").read_text())
        assert environment["torch"]["num_threads"] == expected
        assert environment["thread_variables"]["OMP_NUM_THREADS"] == str(expected)


def test_a_wheel_carries_all_that_it_needs(tmp_path):
    """Built, installed beside nothing of the clone, and run from another folder."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True, capture_output=True)
    subprocess.run(
        [*pip, "wheel", str(source), "--no-deps", "--no-build-isolation", "-w", str(tmp_path)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    shipped = {
        f"raspitrain/conf/{p.relative_to(source / 'conf')}" for p in source.glob("conf/**/*.yaml")
    }
    shipped |= {f"hydra_plugins/{p.name}" for p in source.glob("hydra_plugins/*.py")}
    assert shipped <= set(zipfile.ZipFile(wheel).namelist())
    target = tmp_path / "site"
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", str(target), str(wheel)],
        check=True,
        capture_output=True,
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "raspitrain", *ONE_EPOCH],
        cwd=elsewhere,
        env=os.environ | {"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert only_run(elsewhere)
    script = target / "bin" / "raspitrain"
    done = subprocess.run(
        [sys.executable, str(script), "--cfg", "job"],
        env=os.environ | {"PYTHONPATH": str(target)},
        cwd=elsewhere,
        capture_output=True,
        text=True,
    )
    assert "mobilenetv3" in done.stdout


def test_the_console_script_is_the_same_command(tmp_path):
    script = Path(sysconfig.get_path("scripts")) / "raspitrain"
    done = subprocess.run([script, "modle=x"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: modle")


def test_a_reader_that_has_had_enough_is_no_mistake(tmp_path):
    words = ["data", "dataset.num_cases=40", "dataset.length=32"]
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "raspitrain", *words],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        told = process.stderr.read()
    assert (process.returncode, told) == (0, "")


@pytest.mark.parametrize(
    ("words", "closed", "code"),
    [("data epochs=1", ">/dev/full", 74), ("data epochs=1", ">&-", 0),
     ("--help", ">/dev/full", 74), ("--help", ">&-", 0)],
)  # fmt: skip
def test_what_only_shows_says_where_it_cannot(words, closed, code):
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m raspitrain {words} {closed}"],
        env=os.environ | {"PYTHONUNBUFFERED": ""}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    full = "error: standard output: No space left on device; make room\n"
    assert (done.returncode, done.stderr) == (code, full if code else "")


def test_a_look_at_the_data_needs_no_folder_to_write_to():
    words = ["data", "dataset.num_cases=40", "dataset.length=32"]
    done = subprocess.run(
        [sys.executable, "-m", "raspitrain", *words], cwd="/proc", capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing suspicious was found" in done.stdout
