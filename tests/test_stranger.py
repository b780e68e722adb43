"""YAML files, checkpoints and folders of a stranger's, put to the command: they run no code,
write nowhere but in the run's folder, and publish nothing of the machine.

Every hostile value would leave a file called `pwned`; no test may find one.
"""

import csv
import importlib.util
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TINY, process_as_it_was
from processes import finish

from raspitrain.cli.main import main
from raspitrain.config.targets import constructors, resolve_target
from raspitrain.config.watch import watched
from raspitrain.errors import InputError
from raspitrain.paths import config_folder
from raspitrain.results.checkpoint import load_checkpoint, save_checkpoint
from raspitrain.run.resume import resume
from raspitrain.run.run import run

GLOBAL = "# @package _global_\n"
EVIL = "experiment/evil.yaml"
MINE = ("--config-dir", "mine", "experiment=evil")
SWEEP = ("--multirun", "seed=1,2", "sweep_name=s")
COMPILER = (
    "{_target_: raspitrain.compiled._compile, commands: [[sh, -c, touch pwned]], "
    "library: {_target_: raspitrain.compiled.cache_folder}}"
)

Files = dict[str, str]
Words = tuple[str, ...]
# Files below mine/, words of the command, and what the sentence says.
HOSTILE: dict[str, tuple[Files, Words, str]] = {
    # code, through what a component may be
    "a compiler's command": (
        {EVIL: GLOBAL + f"dataset: {COMPILER}\n"}, MINE, "compiled._compile is not allowed",
    ),
    "a compiler's command, nested": (
        {EVIL: GLOBAL + f"model: {{_target_: torch.nn.Sequential, _args_: [{COMPILER}]}}\n"},
        MINE,
        "model._args_[0]._target_=raspitrain.compiled._compile is not allowed",
    ),
    "a compiler's command, as a value": (
        {EVIL: GLOBAL + f"dataset: {{noise: {COMPILER}}}\n"}, MINE, "dataset.noise",
    ),
    "a component of torch's that imports": (
        {EVIL: GLOBAL + "model: {_target_: torch.nn.attention._fa3._fa3_import_module, "
                        "module_path: antigravity}\n"},
        MINE,
        "_fa3_import_module is not allowed",
    ),
    "a function of torch.nn": (
        {EVIL: GLOBAL + "model: {_target_: torch.nn.modules.module.warnings.warn, message: x}\n"},
        MINE,
        "warnings.warn is not allowed",
    ),
    "a target through an interpolation": (
        {EVIL: GLOBAL + "dataset: {name: os.system}\nmodel: {_target_: '${dataset.name}'}\n"},
        MINE,
        "os.system is not allowed",
    ),
    "a group of a file's own": (
        {"model/evil.yaml": "_target_: raspitrain.sweep.process.JobProcess\n"
                            "command: [touch, pwned]\n"},
        ("--config-dir", "mine", "model=evil"),
        "JobProcess is not allowed",
    ),
    "targets that a file allows itself": (
        {EVIL: GLOBAL + "allowed_targets: [os.system]\n"}, MINE, "allowed_targets",
    ),
    "targets that a preset allows": (
        {"sweep/evil.yaml": GLOBAL + "model: {_target_: os.system}\nhydra: {sweeper: {params: "
                                     "{allowed_targets: '[os.system]', seed: '1,2'}}}\n"},
        ("--config-dir", "mine", "--multirun", "sweep=evil"),
        "hydra.sweeper.params may not give allowed_targets",
    ),
    "targets that a search's preset allows": (
        {"sweep/evil.yaml": GLOBAL + "hydra: {sweeper: {params: {+allowed_targets: '[os.system]', "
                                     "seed: 'choice(1,2)'}}}\n"},
        ("--config-dir", "mine", "--multirun", "hydra/sweeper=optuna", "sweep=evil"),
        "hydra.sweeper.params may not give allowed_targets",
    ),
    # code, through Hydra's own section
    "a callback of ours": (
        {EVIL: GLOBAL + "hydra: {callbacks: {x: {_target_: raspitrain.sweep.process.JobProcess, "
                        "command: [touch, pwned], folder: ., environment: {}, timeout: null, "
                        "grace_seconds: 1}}}\n"},
        MINE,
        "JobProcess is not allowed",
    ),
    "our own callback's place": (
        {EVIL: GLOBAL + "hydra: {callbacks: {folders: {_target_: "
                        "raspitrain.results.atomic.write_atomic, path: pwned, data: x}}}\n"},
        MINE,
        "write_atomic is not allowed",
    ),
    "a callback, from a group of its own": (
        {"hydra/callbacks/evil.yaml": "x: {_target_: os.mkdir, path: pwned}\n",
         EVIL: GLOBAL + "defaults: [override /hydra/callbacks: evil]\n"},
        MINE,
        "os.mkdir is not allowed",
    ),
    "a callback, through a package": (
        {"model/evil.yaml": "_target_: os.mkdir\npath: pwned\n",
         EVIL: GLOBAL + "defaults: ['/model@hydra.callbacks.x': evil]\n"},
        MINE,
        "os.mkdir is not allowed",
    ),
    "a callback, from a header": (
        {"experiment/evil.yaml": "# @package hydra.callbacks.x\n_target_: os.mkdir\npath: pwned\n"},
        MINE,
        "os.mkdir is not allowed",
    ),
    "a callback, from a name that leads out": (
        {"../theirs/evil.yaml": GLOBAL
         + "hydra: {callbacks: {x: {_target_: os.mkdir, path: pwned}}}\n",
         EVIL: GLOBAL + "defaults: [/../{up}/theirs/evil]\n"},
        MINE,
        "os.mkdir is not allowed",
    ),
    "any module, as a log's stream": (
        {EVIL: GLOBAL + "hydra: {job_logging: {handlers: {x: {class: logging.StreamHandler, "
                        "stream: 'ext://antigravity'}}, root: {handlers: [x]}}}\n"},
        MINE,
        "is not allowed",
    ),
    "any module, as a log's stream, on the command line": (
        {},
        ("+hydra.job_logging.handlers.x={class: logging.StreamHandler, "
         "stream: 'ext://antigravity'}",),
        "ext://antigravity is not allowed",
    ),
    "a log's own settings": (
        {},
        ("+hydra.job_logging.formatters.x.format='cfg://handlers'",),
        "cfg://handlers is not allowed",
    ),
    "a launcher that starts programs": (
        {EVIL: GLOBAL + "hydra: {launcher: {_target_: hydra_plugins.raspitrain_sweep.os.abort}}\n"},
        (*SWEEP, *MINE),
        "is not allowed",
    ),
    "another sweeper's parts": (
        {EVIL: GLOBAL + "hydra: {sweeper: {sampler: {_target_: os.mkdir, path: pwned}}}\n"},
        (*SWEEP, "hydra/sweeper=optuna", *MINE),
        "os.mkdir is not allowed",
    ),
    "a preset that is code": (
        {EVIL: GLOBAL + "hydra: {sweeper: {params: {_target_: os.mkdir, path: pwned}}}\n"},
        (*SWEEP, *MINE),
        "os.mkdir is not allowed",
    ),
    "a preset from elsewhere": (
        {EVIL: GLOBAL + "launcher: {_target_: os.mkdir, path: pwned}\n"
                        "hydra: {sweeper: {params: '${launcher}'}}\n"},
        (*SWEEP, *MINE),
        "hydra.sweeper.params=${launcher} is not allowed",
    ),
    "a package to look into": (
        {"config.yaml": "defaults: []\nhydra: {searchpath: ['pkg://antigravity']}\n"},
        ("--config-path", "{here}/mine", "--config-name", "config"),
        "hydra.searchpath may only name folders",
    ),
    "bytes": (
        {EVIL: GLOBAL + "sweep_name: !!binary cHduZWQ=\n"}, MINE, "binary is not allowed",
    ),
    "a path as an object": (
        {EVIL: GLOBAL + "sweep_name: !!python/object/apply:pathlib.PosixPath [pwned]\n"},
        MINE,
        "pathlib.PosixPath is not allowed",
    ),
    "a program that reads the board": (
        {"evil.sh": "#!/bin/sh\ntouch pwned\n",
         EVIL: GLOBAL + "hardware: {readings: {vcgencmd: mine/evil.sh}}\n"},
        MINE,
        "hardware.readings.vcgencmd=mine/evil.sh starts a program",
    ),
    "a program, from a preset": (
        {"evil.sh": "#!/bin/sh\ntouch pwned\n",
         EVIL: GLOBAL + "hydra: {sweeper: {params: {hardware.readings.vcgencmd: mine/evil.sh}}}\n"},
        (*SWEEP, *MINE),
        "may not give hardware.readings.vcgencmd",
    ),
    "a profile from elsewhere": (
        {EVIL: GLOBAL + "hardware: {profile: ../../mine/evil}\n"}, MINE, "hardware.profile must be",
    ),
    # secrets
    "a variable": (
        {EVIL: GLOBAL + "dataset: {seed: '${oc.env:PATH}'}\n"}, MINE, "${oc.env:PATH}",
    ),
    "a variable, put together": (
        {EVIL: GLOBAL + "dataset: {name: env, seed: '${oc.${dataset.name}:PATH}'}\n"},
        MINE,
        "${oc.env:PATH}",
    ),
    "a variable, decoded": (
        {EVIL: GLOBAL + "dataset: {seed: \"${oc.decode:'${oc.env:PATH}'}\"}\n"},
        MINE,
        "${oc.env:PATH}",
    ),
    "a variable, resolved by whoever reads config.yaml": (
        {EVIL: GLOBAL + "dataset: {_target_: raspitrain.data.arrays.npy, "
                        "path: '\\${oc.env:PATH}'}\n"},
        MINE,
        "may not hold",
    ),
    "a variable, in a preset": (
        {EVIL: GLOBAL + "hydra: {sweeper: {params: {dataset.noise: '${oc.env:PATH}'}}}\n"},
        (*SWEEP, *MINE),
        "${oc.env:PATH}",
    ),
    # where results land
    "a run's folder": (
        {EVIL: GLOBAL + "hydra: {run: {dir: pwned}}\n"}, MINE, "hydra.run.dir=pwned is not allowed",
    ),
    "a sweep's folder": (
        {EVIL: GLOBAL + "hydra: {sweep: {dir: pwned}}\n"},
        (*SWEEP, *MINE),
        "hydra.sweep.dir=pwned is not allowed",
    ),
    "a run's folder, from a preset": (
        {EVIL: GLOBAL + "hydra: {sweeper: {params: {hydra.run.dir: pwned}}}\n"},
        (*SWEEP, *MINE),
        "hydra.sweeper.params may not give hydra.run.dir",
    ),
    "a name that leads up": (
        {EVIL: GLOBAL + "dataset: {name: ../pwned}\n"},
        (*MINE, "dataset=ucr", "hydra.run.dir=runs/${dataset.name}"),
        "hydra.run.dir=runs/${dataset.name} leads to",
    ),
    "a run to resume": (
        {EVIL: GLOBAL + "resume: auto\n"}, MINE, "resume= stands on the command line",
    ),
    "Hydra's help": (
        {EVIL: GLOBAL + "hydra: {help: {template: \"\\e[2J\"}}\n"},
        (*MINE, "--help"),
        "hydra.help.template",
    ),
}  # fmt: skip


def filled(word: str, folder: Path) -> str:
    return word.replace("{here}", str(folder)).replace("{up}", "/".join([".."] * 20) + str(folder))


@pytest.mark.parametrize("case", HOSTILE)
def test_a_strangers_yaml_is_refused(case, tmp_path, monkeypatch, capsys):
    """In this process, by the command's `main`."""
    files, words, fragment = HOSTILE[case]
    for name, text in files.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(filled(text, tmp_path))
        path.chmod(0o755)
    before = {path.name for path in tmp_path.rglob("*")}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["raspitrain", *(filled(word, tmp_path) for word in words)])
    with process_as_it_was():
        code = main()
    said = capsys.readouterr().err
    assert code == 2, said
    assert fragment in said
    assert os.environ["PATH"] not in said
    assert len(said.splitlines()) == 1
    assert said[:-1].isprintable()
    assert {path.name for path in tmp_path.rglob("*")} == before


def test_what_the_command_line_itself_says_counts(forked_command, tmp_path):
    """The same words that no file may say: a program, a variable, where results land."""
    (tmp_path / "vcgencmd").write_text("#!/bin/sh\ntouch asked\n")
    (tmp_path / "vcgencmd").chmod(0o755)
    done = forked_command(
        *TINY,
        "hardware.profile=${oc.env:BOARD}",
        f"hardware.readings.vcgencmd={tmp_path / 'vcgencmd'}",
        "hydra.run.dir=run",
        BOARD="desktop",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "asked").exists()
    assert "profile: desktop" in (tmp_path / "run/config.yaml").read_text()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    """A run that has not come to its end, for a stranger to alter."""
    folder = tmp_path_factory.mktemp("stopped")
    assert finish(*TINY, "hydra.run.dir=run", cwd=folder) == 0
    (folder / "run/summary.json").unlink()
    return folder / "run"


CHECKPOINTS: dict[str, tuple[dict, str]] = {
    "a compiler's command": (
        {"dataset": {"_target_": "raspitrain.compiled._compile",
                     "commands": [["sh", "-c", "touch pwned"]],
                     "library": {"_target_": "raspitrain.compiled.cache_folder"}}},
        "compiled._compile is not allowed",
    ),
    "a component that imports": (
        {"loss": {"_target_": "torch.nn.attention._fa3._fa3_import_module",
                  "module_path": "antigravity"}},
        "_fa3_import_module is not allowed",
    ),
    "a nested one": (
        {"model": {"_target_": "torch.nn.Sequential",
                   "_args_": [{"_target_": "raspitrain.results.atomic.write_atomic",
                               "path": "pwned", "data": "x"}]}},
        "write_atomic is not allowed",
    ),
    "a value that is a component": (
        {"augment": {"_target_": "raspitrain.data.augment.standard", "_partial_": True,
                     "scale": {"_target_": "os.mkdir", "path": "pwned"}, "jitter": 0.1,
                     "shift": 0.1}},
        "augment.scale._target_=os.mkdir is not allowed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_a_strangers_checkpoint_is_refused(case, stopped, tmp_path):
    changed, fragment = CHECKPOINTS[case]
    shutil.copytree(stopped, tmp_path / "run")
    state = load_checkpoint(tmp_path / "run/last.pt")
    state["config"] |= changed
    save_checkpoint(tmp_path / "run/last.pt", state)
    assert finish("resume=run", cwd=tmp_path) == 2
    assert fragment in (tmp_path / "stderr.txt").read_text()
    assert not list(tmp_path.rglob("pwned"))


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_the_repository_that_one_is_in_runs_nothing(tmp_path):
    """Filters, monitors, hooks and remotes of its own configuration stay unused."""
    from raspitrain.run.environment import git_state

    who = ("-c", "user.name=x", "-c", "user.email=x@y")
    git(tmp_path, "init", "-q")
    (tmp_path / "file.txt").write_text("one")
    git(tmp_path, "add", "file.txt")
    git(tmp_path, *who, "commit", "-qm", "one")
    assert git_state(tmp_path)["dirty"] is False
    (tmp_path / "file.txt").write_text("two")
    assert git_state(tmp_path)["dirty"] is True
    assert git_state(tmp_path / "file.txt")["dirty"] is True
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/pwned\n")
    evil.chmod(0o755)
    (tmp_path / ".gitattributes").write_text("* filter=evil diff=evil\n")
    for key in (
        "filter.evil.clean", "filter.evil.process", "core.fsmonitor", "diff.external",
        "diff.evil.textconv", "core.sshCommand", "remote.x.uploadpack",
    ):  # fmt: skip
        git(tmp_path, "config", key, str(evil))
    for hook in ("post-index-change", "post-checkout", "fsmonitor-watchman"):
        shutil.copy(evil, tmp_path / ".git/hooks" / hook)
    # What is missing would be fetched, by a program of the repository's choice.
    for key, value in (
        ("extensions.partialClone", "x"), ("remote.x.promisor", "true"),
        ("remote.x.url", f"ext::{evil}"), ("protocol.ext.allow", "always"),
    ):  # fmt: skip
        git(tmp_path, "config", key, value)
    os.utime(tmp_path / "file.txt", (1, 1))
    assert git_state(tmp_path)["dirty"] is True
    for packed in (tmp_path / ".git/objects").glob("??"):
        shutil.rmtree(packed)
    git_state(tmp_path)
    assert not (tmp_path / "pwned").exists()
    # git itself, asked plainly, runs them
    subprocess.run(["git", "status"], cwd=tmp_path, capture_output=True, timeout=60)
    assert (tmp_path / "pwned").exists()


REACHED = """
import importlib, inspect, json, os, pkgutil, sys, types
import torch
from torch import nn
sys.path.insert(0, os.getcwd())
import raspitrain
from omegaconf import OmegaConf
from raspitrain.config.build import FOR_OTHERS
from raspitrain.cli.main import main
from raspitrain.config.targets import constructors, resolve_target
from raspitrain.errors import InputError
from raspitrain.paths import config_folder
from raspitrain.training.eager import without_compiler

def modules(package):
    yield package.__name__
    for info in pkgutil.iter_modules(getattr(package, "__path__", ()), package.__name__ + "."):
        if info.name in sys.modules and isinstance(sys.modules[info.name], types.ModuleType):
            yield from modules(sys.modules[info.name])

for name in constructors():
    importlib.import_module(name.rpartition(".")[0])
names = set(constructors())
expanded = set()
for package in (torch.nn, torch.optim, raspitrain):
    for module in modules(package):
        for name, member in vars(sys.modules[module]).items():
            names.add(f"{module}.{name}")
            if isinstance(member, types.ModuleType) and member not in expanded:
                expanded.add(member)
                names |= {f"{module}.{name}.{inner}" for inner in vars(member)}
allowed = {}
for name in sorted(names):
    try:
        allowed[name] = resolve_target("x", name, ())
    except InputError:
        pass
targets = {target: name for name, target in allowed.items()}

VALUES = ["canary", "__import__('canary').run('pwned')", ["touch", "pwned"], nn.Linear(2, 2)]
weight = nn.Parameter(torch.zeros(2))
optimizer = without_compiler(torch.optim.SGD)([weight], lr=0.1)
fits = {"params": [weight], "optimizer": optimizer, "num_channels": 2, "num_classes": 2,
        "length": 64, "num_encoder_layers": 1, "num_decoder_layers": 1, "dim_feedforward": 2}
for file in config_folder().glob("*/*.yaml"):
    keys = OmegaConf.to_container(OmegaConf.load(file))
    if keys.get("_target_") in constructors():
        others = FOR_OTHERS.get(file.parent.name, ())  # keys that the constructor is not given
        fits[keys["_target_"]] = {
            k: v for k, v in keys.items() if not k.startswith("_") and k not in others
        }

def attempts(name, target):
    parameters = inspect.signature(target).parameters.values()
    plain = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    good = {p.name: fits.get(p.name, 2) for p in plain
            if p.default is p.empty or p.name in fits} | fits.get(name, {})
    yield (), good
    for value in VALUES if name not in fits else VALUES[1:2]:
        yield (), dict.fromkeys(good, value)
        yield (value,), {}
        for p in plain:
            yield (), good | {p.name: value}

harm = []
watching = False
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
def importing():  # what torch does while it imports a part of itself is no argument's work
    frame = sys._getframe()
    while frame and "importlib._bootstrap>" not in frame.f_code.co_filename:
        frame = frame.f_back
    return frame is not None
def is_harm(event, arguments):
    if event == "open":
        return isinstance(arguments[2], int) and arguments[2] & WRITES
    if event in ("compile", "exec", "import"):
        return "canary" in str(arguments[0])
    acts = ("os.", "subprocess.", "pty.", "socket.", "sqlite3.", "shutil.")
    return event.startswith(acts) and event not in ("os.listdir", "os.scandir", "os.putenv")
def hook(event, arguments):
    if watching and is_harm(event, arguments) and (event == "import" or not importing()):
        harm.append((event, str(arguments)[:200]))
sys.addaudithook(hook)

made = calls = 0
import warnings; warnings.simplefilter("ignore")
for target, name in targets.items():
    is_optimizer = inspect.isclass(target) and issubclass(target, torch.optim.Optimizer)
    make = without_compiler(target) if is_optimizer else target
    works = False
    for positional, named in attempts(name, target):
        calls += 1
        watching = True
        try:
            with torch.device("meta"):
                make(*positional, **named)
            works = True
        except Exception:
            pass
        finally:
            watching = False
    made += works
print(json.dumps({"names": len(names), "allowed": sorted(allowed), "made": made, "calls": calls,
                  "targets": len(targets), "harm": harm[:20],
                  "classes": all(inspect.isclass(each) for name, each in allowed.items()
                                 if name not in constructors())}))
"""


def test_nothing_that_may_be_named_can_be_made_to_do_harm(tmp_path):
    """Every name below torch.nn, torch.optim and raspitrain: what may be named is a component, and
    given hostile arguments it neither starts a process, nor imports, nor runs, nor writes."""
    (tmp_path / "canary.py").write_text("open('pwned', 'w')\ndef run(*given): open('pwned', 'w')\n")
    done = subprocess.run(
        [sys.executable, "-c", REACHED], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["harm"] == []
    assert not (tmp_path / "pwned").exists()
    assert told["classes"]
    assert set(told["allowed"]) >= set(constructors()) | {"torch.nn.Linear", "torch.optim.AdamW"}
    assert told["names"] > 3000
    assert told["targets"] > 180
    assert told["made"] > 0.85 * told["targets"]  # the arguments are hostile, not only wrong


def test_constructors_are_those_of_conf():
    groups = ("dataset", "frontend", "model", "optimizer", "schedule", "loss", "augment", "tracker")
    named = {
        line.split()[1]
        for group in groups
        for file in (config_folder() / group).glob("*.yaml")
        for line in file.read_text().splitlines()
        if line.startswith("_target_:")
    }
    assert constructors() == {name for name in named if name.startswith("raspitrain.")}
    for name in named:
        assert callable(resolve_target("x", name, ()))


ACTS: dict[str, Callable[[Path], object]] = {
    "write": lambda folder: (folder / "pwned").write_text("x"),
    "append": lambda folder: os.open(folder / "pwned", os.O_WRONLY | os.O_CREAT),
    "run": lambda folder: subprocess.run(["touch", folder / "pwned"]),
    "system": lambda folder: os.system(f"touch {folder / 'pwned'}"),
    "spawn": lambda folder: os.posix_spawn("/bin/touch", ["touch", folder / "pwned"], {}),
    "fork": lambda folder: os.fork() or os._exit(0),
    "rename": lambda folder: os.rename(folder / "there", folder / "pwned"),
    "remove": lambda folder: os.remove(folder / "there"),
    "link": lambda folder: os.symlink(folder / "there", folder / "pwned"),
    "folder": lambda folder: (folder / "pwned").mkdir(),
    "connect": lambda folder: __import__("socket").create_connection(("127.0.0.1", 9)),
}


@pytest.mark.parametrize("act", ACTS)
def test_while_a_component_is_made_it_is_watched(act, tmp_path):
    """Were there something on the list that should not be: it would be stopped all the same."""
    (tmp_path / "there").write_text("x")
    with pytest.raises(InputError, match="model wants to"), watched("model"):
        ACTS[act](tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    (tmp_path / "afterwards").write_text("x")  # nothing is held back any more


def test_reading_and_importing_are_not_held_back(tmp_path):
    (tmp_path / "there").write_text("x")
    with watched("dataset"):
        assert (tmp_path / "there").read_text() == "x"
        name = "wave"
        spec = importlib.util.find_spec(name)
        assert spec is not None


# Links in a folder that came from elsewhere.

RUN_LINKS = (".raspitrain-run", "run.log", "run.log.1", "telemetry.csv", "metrics.csv", "last.pt",
             "summary.json", "config.yaml", "report.html")  # fmt: skip


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("name", RUN_LINKS)
def test_a_run_writes_through_no_link(name, is_there, stopped, compose, tmp_path):
    """Into a stranger's run that is resumed, and into a folder for a new one."""
    target = tmp_path / "precious"
    if is_there:
        target.write_text("mine\n")
    shutil.copytree(stopped, tmp_path / "run")
    (tmp_path / "run" / name).unlink(missing_ok=True)
    (tmp_path / "run" / name).symlink_to(target)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / name).symlink_to(target)
    for start in (
        lambda: resume(tmp_path / "run"),
        lambda: run(compose(*TINY), tmp_path / "new"),
    ):
        with pytest.raises(InputError, match=rf"{name} is a link"):
            start()
        assert target.exists() == is_there
        assert not is_there or target.read_text() == "mine\n"
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


def test_what_is_added_to_is_a_file_of_its_own(tmp_path):
    """Should a link be put there later, or a second name for a file: it is not written either."""
    from raspitrain.results.log import logging_to
    from raspitrain.results.table import append_row
    from raspitrain.results.telemetry import append_telemetry

    writes = {
        "metrics.csv": lambda: append_row(tmp_path / "metrics.csv", {"epoch": 1}),
        "telemetry.csv": lambda: append_telemetry(tmp_path / "telemetry.csv", [{"time": 1.0}]),
    }
    (tmp_path / "precious").write_text("mine\n")
    for name, write in writes.items():
        for make in (Path.symlink_to, Path.hardlink_to):
            make(tmp_path / name, tmp_path / "precious")
            with pytest.raises(OSError, match="no file of its own"):
                write()
            (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        with pytest.raises(OSError, match="no file of its own"):
            write()
    (tmp_path / "run.log").symlink_to(tmp_path / "precious")
    with logging_to(tmp_path) as handler:
        logging.getLogger("raspitrain").info("x")
        assert handler.failure is not None
    assert (tmp_path / "precious").read_text() == "mine\n"


@pytest.mark.parametrize("name", [".raspitrain-sweep", "jobs.json", "study.db", "seed=1", "best"])
def test_a_sweep_writes_through_no_link(name, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "s").mkdir()
    (tmp_path / "s/.raspitrain-sweep").touch()
    (tmp_path / "s" / name).unlink(missing_ok=True)
    (tmp_path / "s" / name).symlink_to(tmp_path / "elsewhere/x")
    assert finish(*TINY, "--multirun", "seed=1,2", "hydra.sweep.dir=s", cwd=tmp_path) == 2
    assert "is a link" in (tmp_path / "stderr.txt").read_text()
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    "script",
    ["""rm summary.json; echo '{"status": "completed"}' > summary.json""",
     pytest.param(None, marks=pytest.mark.long)],  # None: the job itself
    ids=["stand-in", "job"],
)  # fmt: skip
def test_a_strangers_sweep_is_neither_waited_for_nor_unfolded(tmp_path, monkeypatch, script):
    """Pipes for its files, and a configuration that aliases would unfold: the job runs anew."""
    folder = tmp_path / "s/seed=1"
    folder.mkdir(parents=True)
    (tmp_path / "s/.raspitrain-sweep").touch()
    for name in ("summary.json", "job.yaml", "stderr.log"):
        os.mkfifo(folder / name)
    other = tmp_path / "s/seed=2"
    other.mkdir()
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12)
    )
    (other / "job.yaml").write_text(laughs)
    (other / "summary.json").write_text("{}")
    if script is not None:
        monkeypatch.setattr(
            "raspitrain.sweep.sweep.job_command",
            lambda folder, limits, resume: ["sh", "-c", f"cd '{folder}'; {script}"],
        )
    monkeypatch.chdir(tmp_path)
    words = [*TINY, "--multirun", "seed=1,2", "hydra.sweep.dir=s"]
    monkeypatch.setattr(sys, "argv", ["raspitrain", *words])
    with process_as_it_was():
        assert main() == 0


def test_formulas_in_a_sweeps_table_are_text(tmp_path):
    from raspitrain.report.sheet import _write

    rows = [["=1+1", "+x", "-x", "@x", "\tx", "x=1", -1, -0.5, None, True, "x"]]
    _write(tmp_path / "sweep.csv", ["=cmd|' /C calc'!A0", *"abcdefghij"], rows)
    with open(tmp_path / "sweep.csv", newline="") as file:
        header, row = csv.reader(file)
    assert header[0] == "'=cmd|' /C calc'!A0"
    assert row == ["'=1+1", "'+x", "'-x", "'@x", "'\tx", "x=1", "-1", "-0.5", "", "true", "x"]


def test_a_folders_name_cannot_command_the_terminal(tmp_path):
    """Printed, logged and named in the line to resume, as typed or unpacked from elsewhere."""
    name = "run\x1b]0;pwned\x07\u202e"
    assert finish(*TINY, f"hydra.run.dir='{name}'", cwd=tmp_path) == 0
    assert (tmp_path / name / "summary.json").exists()
    texts = [(tmp_path / "stdout.txt").read_text(), (tmp_path / "stderr.txt").read_text()]
    assert finish(f"resume={name}", cwd=tmp_path) == 0
    texts.append((tmp_path / "stdout.txt").read_text())
    done = subprocess.run(
        [sys.executable, "-m", "raspitrain.report", name],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    texts += [done.stdout, done.stderr, (tmp_path / name / "run.log").read_text()]
    for text in texts:
        assert text.replace("\n", "").isprintable()
    assert "\\x1b]0;pwned" in texts[0]


def test_what_help_lists_cannot_command_the_terminal(tmp_path):
    path = tmp_path / "mine/model/\x1b[2Jx.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("a: 1\n")
    assert finish("--config-dir", "mine", "--help", cwd=tmp_path) == 0
    shown = (tmp_path / "stdout.txt").read_text()
    assert "\\x1b[2Jx" in shown
    assert "\x1b" not in shown
