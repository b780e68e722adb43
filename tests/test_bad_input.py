"""Whatever a user gets wrong ends the real command with one sentence and exit code 2.

A row of the table is the command's words and what the sentence must say. The commands are run in
this process, by the same `main`; tests/test_cli.py runs some in one of their own.
"""

import os
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, process_as_it_was
from processes import finish

from raspitrain.cli.main import main
from raspitrain.results.checkpoint import load_checkpoint, save_checkpoint
from raspitrain.results.folder import CLAIM

SIGNALS = np.arange(40 * 2 * 16, dtype=np.float32).reshape(40, 2, 16)
LABELS = np.arange(40) % 2


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys) -> Iterator[Callable[..., str]]:
    """refused("epochs=0") -> the sentence; everything else about the refusal is checked."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> str:
        before = files(tmp_path)
        monkeypatch.setattr(sys, "argv", ["raspitrain", *words])
        code = main()
        said = capsys.readouterr()
        assert code == 2, said
        assert said.out == ""
        *before_it, line = said.err.splitlines()
        assert all(other.startswith("warning: ") for other in before_it)
        assert line.startswith("error: ")
        assert line.isprintable()
        assert len(line) < 1000
        assert files(tmp_path) == before
        return line

    with process_as_it_was():
        yield run


def files(folder: Path) -> dict[Path, int]:
    """What is there, and since when; the claim on a run's folder says who looked at it last."""
    return {
        path: path.lstat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.name != CLAIM
    }


def yaml(folder: Path, text: str | bytes, name: str = "experiment/bad.yaml") -> None:
    path = folder / "mine" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def arrays(folder: Path, **replaced: object) -> None:
    """data.npy, label.npy, part.npy and groups.npy; replaced ones may be arrays or bytes."""
    made = {"data": SIGNALS, "label": LABELS, "part": LABELS * 2, "groups": np.arange(40) // 4}
    for name, content in (made | replaced).items():
        if isinstance(content, bytes):
            (folder / f"{name}.npy").write_bytes(content)
        elif content is not None:
            np.save(folder / f"{name}.npy", content, allow_pickle=True)  # type: ignore[arg-type]


def archive(folder: Path, **content: np.ndarray) -> None:
    np.savez(folder / "set.npz", **({"data": SIGNALS, "label": LABELS} | content))  # type: ignore


def recordings(folder: Path, **files: str | bytes) -> None:
    run, walk = (
        "time,x,y\n" + "".join(f"{i},{i * i % prime},{-i * i % 29}\n" for i in range(64))
        for prime in (23, 31)
    )
    for name, content in ({"run_1": run, "walk_1": walk} | files).items():
        label, _, number = name.partition("_")
        path = folder / label / f"{number}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def ts(folder: Path, lines: str, header: str = "@classLabel true a b\n@data\n") -> None:
    for part in ("TRAIN", "TEST"):
        (folder / f"Toy_{part}.ts").write_text(header + lines)


def object_array() -> np.ndarray:
    made = np.empty(40, dtype=object)
    made[:] = "walk"
    return made


NPY = ("dataset=npy", "dataset.path=.")
NPZ = ("dataset=npz", "dataset.path=set.npz")
CSV = ("dataset=recordings", "dataset.path=.", "dataset.length=8", "dataset.stride=8")
TS = ("dataset=ucr", "dataset.name=Toy", "dataset.path=.")
MINE = ("--config-dir", "mine", "experiment=bad")
SMALL = ("model.width_mult=0.05", "hardware.num_threads=1", "epochs=1")

Words = tuple[str, ...]
COMMAND: dict[str, tuple[Words, tuple[str, ...]]] = {
    # keys
    "a group misspelt": (("modle=x",), ("modle is not a key", "did you mean model")),
    "a key misspelt": (("epoch=3",), ("epoch is not a key", "did you mean epochs")),
    "a key of a group misspelt": (("optimizer.lrr=1",), ("did you mean optimizer.lr",)),
    "a key without its group": (("num_threads=2",), ("did you mean hardware.num_threads",)),
    "an option misspelt": (("model=mobilenetv3_smal",), ("did you mean mobilenetv3_small",)),
    "an experiment misspelt": (("experiment=blg",), ("experiment may be", "blog")),
    "a key added that is there": (("+seed=1",), ("seed is there already: leave the + out",)),
    "all of Hydra set to null": (("hydra=null",), ("hydra=null: hydra must be the name",)),
    "an added key": (("+epoch=5",), ("epoch is not a key", "did you mean epochs")),
    "a key of Hydra misspelt": (("hydra.run.dri=x",), ("did you mean hydra.run.dir",)),
    "a group of Hydra misspelt": (("hydra/help=nope",), ("hydra/help=nope", "raspitrain")),
    "a launcher that is not there": (("hydra/launcher=nope",), ("hydra/launcher=nope",)),
    "a group deleted that is asked": (
        ("~model", "model.dropout=0"),
        ("model.dropout is not there any more",),
    ),
    "a group deleted": (("~model",), ("model must be a group with a _target_",)),
    "a key deleted": (("~epochs",), ("epochs is missing",)),
    "a group set to null": (("model=null",), ("model=null", "must be the name of an option")),
    "a section set to a number": (("hardware=5",), ("hardware=5: hardware must be the name",)),
    "a section set to null": (("split=null",), ("split must be a group of keys",)),
    "a group set to a list": (("optimizer=[adam,sgd]",), ("several options", "--multirun")),
    "a group set to keys": (("schedule={nope: 1}",), ("schedule.KEY=",)),
    "a key that the group does not take": (
        ("optimizer=adam", "+optimizer.momentum=0.9"),
        ("optimizer.momentum is not a parameter",),
    ),
    # values
    "a word for a number": (("epochs=many",), ("epochs must be a whole number", "'many'")),
    "none at all": (("epochs=0",), ("epochs must be", "not 0")),
    "an empty value": (("epochs=",), ("epochs must be", "''")),
    "half a case": (("batch_size=2.5",), ("batch_size must be a whole number",)),
    "a batch of -1": (("batch_size=-1",), ("batch_size must be",)),
    "a seed below zero": (("seed=-1",), ("seed must be a whole number from 0",)),
    "not a number": (("optimizer.lr=nan",), ("optimizer.lr must be a number above 0",)),
    "infinite": (("optimizer.lr=inf",), ("optimizer.lr must be",)),
    "a text that is a page long": (("epochs=" + "9x" * 3000,), ("epochs must be",)),
    "a list for a number": (("seed=[1,2]",), ("seed must be",)),
    "half a pair": (("optimizer.betas=[0.9]",), ("optimizer.betas must be a list of 2 values",)),
    "parts of more than all": (("split.test=0.9", "split.validation=0.3"), ("add up to 1.2",)),
    "patience without a part to wait on": (("patience=3",), ("split.validation",)),
    "momentum missing": (
        ("optimizer=sgd", "optimizer.nesterov=true", "optimizer.momentum=0"),
        ("optimizer.nesterov",),
    ),
    "a device that is none": (("hardware.device=gpu",), ("hardware.device must be",)),
    "threads below one": (("hardware.num_threads=0",), ("hardware.num_threads must be",)),
    "no length": (("dataset.length=null",), ("dataset.length", "null")),
    "one class": (("dataset.num_classes=1",), ("dataset.num_classes must be",)),
    "more classes than cases": (
        ("dataset.num_cases=3", "dataset.num_classes=4"),
        ("num_classes is 4",),
    ),
    "a signal too short": (("dataset.length=4",), ("dataset.length must be",)),
    "data larger than memory": (
        ("dataset.num_cases=10000000", "dataset.length=1000000"),
        ("dataset", "are free"),
    ),
    "a batch larger than memory": (
        ("hardware.memory_budget_mb=100", *SMALL),
        ("MB of memory", "hardware.memory_budget_mb=100 allows no more", "or allow more"),
    ),
    "more downsamples than there are": (
        ("model.num_downsamples=9",),
        ("model.num_downsamples=9",),
    ),
    "too few cases to split": (("dataset.num_cases=4", *SMALL), ("split",)),
    # what an interpolation refers to
    "nothing": (("epochs=${nothing}",), ("epochs: Interpolation key 'nothing' not found",)),
    "itself": (("seed=${seed}",), ("seed: Recursive interpolation",)),
    "a resolver that is none": (("seed=${nope:1}",), ("seed", "nope")),
    "an environment variable": (("seed=${oc.env:NOT_SET_HERE}",), ("seed", "NOT_SET_HERE")),
    # code
    "a target elsewhere": (("model._target_=os.system",), ("os.system is not allowed",)),
    "a target through ours": (
        ("model._target_=raspitrain.model.engine.choose.json.loads",),
        ("is not allowed",),
    ),
    "a target that writes": (
        ("dataset._target_=raspitrain.data.write.main",),
        ("raspitrain.data.write.main is not allowed",),
    ),
    "a target misspelt": (("optimizer._target_=torch.optim.Adma",), ("did you mean Adam",)),
    "a target that is a number": (("model._target_=3",), ("model", "_target_")),
    "a launcher elsewhere": (
        ("hydra.launcher._target_=os.system",),
        ("hydra.launcher._target_=os.system is not allowed",),
    ),
    "a launcher through ours": (
        ("hydra.launcher._target_=raspitrain.cli.main.os.system",),
        ("is not allowed",),
    ),
    "a log that is code": (
        ("+hydra.job_logging.handlers.x.class=os.system",),
        ("hydra.job_logging.handlers.x.class=os.system is not allowed",),
    ),
    "a log elsewhere": (
        ("+hydra.job_logging.handlers={x: {class: logging.FileHandler, filename: pwned}}",),
        ("hydra.job_logging.handlers.x.class=logging.FileHandler is not allowed",),
    ),
    "variables": (("+hydra.job.env_set.CC=evil",), ("hydra.job.env_set is not allowed",)),
    # the way the command is written
    "an open list": (("model=[",), ("model=[", "key=value")),
    "an open quote": (("dataset.path='x",), ("dataset.path='x", "key=value")),
    "a bare word": (("model",), ("'model'", "key=value")),
    "two words": (("epochs = 3",), ("key=value",)),
    "a minus": (("-epochs=3",), ("unrecognized arguments: -epochs=3",)),
    "an unknown option": (("--unknown",), ("unrecognized arguments: --unknown",)),
    "several values": (("batch_size=16,32",), ("add --multirun",)),
    "a key twice": (("seed=1", "seed=2"), ("seed is given 2 times",)),
    "a package that is not there": (("--cfg", "job", "--package", "nope"), ("nope",)),
    "a question that Hydra has no answer to": (("--info", "nope"), ("--info", "nope")),
    "a configuration of no kind": (("--cfg", "nope"), ("--cfg", "nope")),
    "a configuration that is not there": (("--config-name", "nope"), ("nope",)),
    "a folder of YAML that is not there": (("--config-dir", "nowhere"), ("nowhere",)),
    "a pickle of Hydra's": (("--experimental-rerun", "x"), ("would unpickle a file",)),
    "a terminal's commands": (("epochs=\x1b[2Jx",), ("epochs",)),
    "letters that are none": (("epochs=\udcff",), ("'epochs=", "cannot be read")),
    "a word nested 500 deep": (("epochs=" + "[" * 500 + "]" * 500,), ("nested too deeply",)),
    # as other programs are called
    "a key as an option": (("--epochs=5",), ("write epochs=5, without --",)),
    "an option and its value": (("--epochs", "5"), ("write epochs=5, without --",)),
    "an option with a hyphen": (("--batch-size=8",), ("write batch_size=8",)),
    "an option without its group": (("--lr=0.1",), ("write optimizer.lr=0.1",)),
    "another program's word": (("learning_rate=0.1",), ("did you mean optimizer.lr?",)),
    "another program's option": (("dataset=csv",), ("did you mean recordings?",)),
    "a board's nickname": (("hardware=pi5",), ("did you mean raspberrypi5?",)),
    "blanks around =": (("seed=1", "epochs", "=", "5"), ("as in epochs=5",)),
    "a bracket that stays open": ((*CSV, "dataset.columns=[x"), ("bracket in the value is not",)),
    "capitals": (("Epochs=5",), ("did you mean epochs?",)),
    "columns without brackets": (
        ("dataset.columns=x", "y"),
        ("as in dataset.columns=[x,y]",),
    ),
    "another program's key": (("trainer.max_epochs=5",), ("did you mean epochs?",)),
    "a script of Windows": (("epochs=5\r",), ("as the lines of a script written on Windows",)),
    "a blank that is none": (
        ("epochs=\xa05",),
        ("no plain blank, as in copied text",),
    ),
    "nothing in quotes": (("",), ("'' cannot be read: write key=value",)),
    "a dash that is none": (("seed=1", "\u2013\u2013multirun"), ("where - or -- is meant",)),
    "a blank behind a comma": (("seed=1,", "2"), ("leave out the blank behind the comma",)),
    "brackets of another shell": (
        (*CSV, r"dataset.columns=\[x,y\]"),
        ("as in 'dataset.columns=[x,y]'",),
    ),
    "a + before resume": (("+resume=run",), ("leave the + out, as in resume=run",)),
    "a number as a text": (("epochs='5'",), ("leave out its quotes",)),
    "a variable that is not there": (("hydra.job.env_copy=[NOPE]",), ("asks for 'NOPE'",)),
    "a searched folder that is not there": (
        ("hydra.searchpath=[file:///nowhere]",),
        ("/nowhere, which hydra.searchpath names",),
    ),
    "a file for a folder of YAML": (("--config-dir", __file__), ("Not a directory; give the",)),
    "a blank behind =": (("epochs=", "5"), ("leave out the blank, as in epochs=5",)),
    "a blank before =": (("seed=1", "epochs", "=5"), ("epochs=5",)),
    "a colon": (("seed=1", "epochs:5"), ("write key=value, as in epochs=5",)),
    "an option behind a dot": (("seed=1", "model.vgg"), ("model=vgg",)),
    "a + before a group": (("+experiment=blog",), ("leave the + out, as in experiment=blog",)),
    "a + before a default": (("+model=vgg",), ("leave the + out",)),
    "two +": (("++model=vgg",), ("leave the ++ out",)),
    "a decimal comma where seconds need their s": (
        ("frontend=logmel", "frontend.window=0,032"),
        ("as in frontend.window=0.032s",),
    ),
    "a decimal comma": (("optimizer.lr=0,001",), ("as in optimizer.lr=0.001",)),
    "a decimal comma in a sweep": (
        ("--multirun", "optimizer.lr=0,001"),
        ("as in optimizer.lr=0.001",),
    ),
    "a decimal comma in seconds": (
        ("dataset=recordings", "dataset.length=2,56s"),
        ("as in dataset.length=2.56s",),
    ),
    "per cent": (("split.test=30%",), ("30 % is 0.3",)),
    "a float for a whole number": (("epochs=1e2",), ("(write 100)",)),
    "a folder for a kind of data": (("dataset=/data",), ("dataset=recordings dataset.path=/data",)),
    "a file for a kind of data": (("dataset=walk.csv",), ("dataset.path=walk.csv",)),
    "a file for a model": (("model=mine/net.yaml",), ("--config-dir FOLDER",)),
    "another data set's key": (("dataset.path=data",), ("dataset.path is a key of dataset=npy",)),
    "another optimizer's key": (("optimizer.nesterov=true",), ("add optimizer=sgd",)),
    "no list": ((*CSV, "dataset.columns=x,y"), ("dataset.columns=[x,y]",)),
    "a list with odd signs": (
        (*CSV, "dataset.columns=[a (g),b (g)]"),
        ("""'dataset.columns=["a (g)","b (g)"]'""",),
    ),
    "round brackets": (("optimizer.betas=(0.9,0.99)",), ("as in optimizer.betas=[0.9,0.99]",)),
    "curly brackets": ((*CSV, "dataset.columns={x,y}"), ("as in dataset.columns=[x,y]",)),
    "one of a list": ((*CSV, "dataset.leave_out=sit"), ("dataset.leave_out=[sit]",)),
    "a comma in a path": (("dataset=npy", "dataset.path=a,b"), ("""'dataset.path="a,b"'""",)),
    "Hydra's launcher": (
        ("--multirun", "hydra/launcher=basic", "seed=1,2", "sweep_name=x"),
        ("hydra/launcher=basic is Hydra's own", "leave it out"),
    ),
    "Hydra's sweeper": (
        ("--multirun", "hydra/sweeper=basic", "seed=1,2", "sweep_name=x"),
        ("hydra/sweeper=basic is Hydra's own",),
    ),
    "a launcher of Hydra's shelf": (("hydra/launcher=joblib",), ("may be raspitrain",)),
    "a name of a sweep's folders": (
        ("--multirun", "seed=1,2", "hydra.sweep.subdir=${hydra.job.num}"),
        ("hydra.sweep.subdir is not read",),
    ),
    "another main configuration": (("--config-path", "mine"), ("with --config-dir",)),
    "a number for a text": (("dataset=npy", "dataset.path=.", "dataset.data=7"), ('="7"',)),
    # where it goes
    "the folder one is in": (("hydra.run.dir=.",), ("must name a folder of its own",)),
    "an empty name": (("hydra.run.dir=",), ("must name a folder of its own",)),
    "the root": (("hydra.run.dir=/tmp/..",), ("folder of its own for the run, not /.",)),
    "no folder": (("hydra.run.dir=null",), ("hydra.run.dir=null does not fit",)),
    "a folder below a file": (("hydra.run.dir=/dev/null/x",), ("/dev/null/x", "hydra.run.dir")),
    "a name too long": (("hydra.run.dir=" + "x" * 300,), ("hydra.run.dir",)),
    "a run's name too long": (("resume=" + "x" * 300,), ("use a shorter path",)),
    "Hydra's own copy": (("hydra.output_subdir=.hydra",), ("hydra.output_subdir must be null",)),
    "another folder": (("hydra.job.chdir=true",), ("hydra.job.chdir must be false",)),
    # a sweep
    "a sweep's name without a sweep": (("sweep_name=x",), ("add --multirun",)),
    "a sweep of nothing": (
        ("hydra.mode=MULTIRUN",),
        ("Nothing is swept", "or hydra.mode=MULTIRUN"),
    ),
    "a sweep elsewhere": (
        ("--multirun", "seed=1,2", "sweep_name=../x"),
        ("sweep_name must be", "'../x'"),
    ),
    "a sweep over a word": (("--multirun", "seed=1,x"), ("seed must be", "'x'")),
    "a sweep without end": (
        ("--multirun", "seed=range(1,1000000000)"),
        ("a sweep has 10000 at most",),
    ),
    "no jobs at a time": (
        ("--multirun", "seed=1,2", "launcher.num_parallel=0"),
        ("launcher.num_parallel must be",),
    ),
    # data that is not there
    "no path": (("dataset=npy",), ("dataset.path is not given", "dataset.path=")),
    "no name": (("dataset=ucr",), ("dataset.name is not given",)),
    "a path to nowhere": (("dataset=npy", "dataset.path=nowhere"), ("nowhere does not exist",)),
    "a file for a folder": (("dataset=npy", f"dataset.path={__file__}"), ("is a file",)),
    "a name misspelt": (("dataset=ucr", "dataset.name=GunPiont"), ("nearest: GunPoint",)),
    "a file that is not there": (NPZ, ("set.npz does not exist",)),
    "no recordings": (CSV, ("holds no .csv or .tsv file",)),
}


@pytest.mark.parametrize("case", COMMAND)
def test_a_mistake_in_the_command(case, refused):
    words, fragments = COMMAND[case]
    sentence = refused(*words)
    for fragment in fragments:
        assert fragment in sentence


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
DOUBLES = (
    "# @package _global_\n"
    + "".join(
        f"{name}: '{'${' + after + '}${' + after + '}'}'\n"
        for name, after in ((f"k{i}", f"k{i + 1}") for i in range(40))
    )
    + "k40: x\n"
)
GLOBAL = "# @package _global_\n"
YAML: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "an open list": ("lr: [1,\n", ("bad.yaml, line 2",)),
    "two values in a line": ("a: b: c\n", ("bad.yaml, line 1",)),
    "a tab": ("a:\n\t- b\n", ("bad.yaml, line 2",)),
    "not UTF-8": (b"epochs: \xff\xfe\n", ("bad.yaml", "UTF-8")),
    "control characters": (b"epochs: \x00\x01\n", ("bad.yaml",)),
    "a key twice": (GLOBAL + "epochs: 1\nepochs: 2\n", ("bad.yaml", "epochs")),
    "a list": (GLOBAL + "- epochs\n", ("bad.yaml",)),
    "a word": ("epochs\n", ("bad.yaml",)),
    "a cycle": ("a: &a [*a]\n", ("bad.yaml, line 1", "contains itself")),
    "an octal number": ("epochs: 010\n", ("bad.yaml, line 1: 010 is no decimal", "as 8; write")),
    "minutes and seconds": ("max_minutes: 1:30\n", ("bad.yaml, line 1: 1:30 is no", "as 90; ")),
    "an alias of nothing": ("a: *b\n", ("bad.yaml, line 1",)),
    "a key that is none": (GLOBAL + "epoch: 3\n", ("epoch is not a key",)),
    "a package forgotten": ("epochs: 3\n", ("# @package _global_",)),
    "nothing": ("", ("it has no keys",)),
    "a byte order mark": ("\ufeff" + GLOBAL + "epochs: 3\n", ("byte order mark",)),
    "a key as it is typed": (
        GLOBAL + "optimizer.lr: 3\n",
        ("bad.yaml, line 2: optimizer.lr is a key of the command line", "optimizer: {lr: VALUE}"),
    ),
    "a key of several": ("? a.b: ", ("bad.yaml, line 1: found unhashable key",)),
    "a default that is not there": ("defaults:\n  - /optimizer: nope\n", ("nope",)),
    "a default that is no list": ("defaults: 3\n", ("default",)),
    "a value that is none": (GLOBAL + "epochs: soon\n", ("epochs must be", "'soon'")),
    "a Python object": (
        GLOBAL + "epochs: !!python/object/apply:os.system ['touch pwned']\n",
        ("bad.yaml, line 2", "python/object"),
    ),
    "a Python name": (GLOBAL + "epochs: !!python/name:os.system\n", ("bad.yaml, line 2",)),
    "a tag of its own": (GLOBAL + "epochs: !evil 3\n", ("bad.yaml, line 2", "!evil")),
    "a billion laughs": (LAUGHS, ("bad.yaml", "aliases")),
    "words that double": (DOUBLES, ("interpolations",)),
    "nested 500 deep": ("a: " + "[" * 500 + "]" * 500 + "\n", ("bad.yaml", "too deeply")),
    "nested 100 deep": ("a: " + "[" * 100 + "]" * 100 + "\n", ("bad.yaml", "too deeply")),
    "larger than any": ("a: " + "x" * 300_000 + "\n", ("bad.yaml is larger than",)),
    "allowed targets": (
        GLOBAL + "allowed_targets: [os.system]\nmodel: {_target_: os.system}\n",
        ("allowed_targets",),
    ),
    "a callback": (
        GLOBAL + "hydra: {callbacks: {x: {_target_: os.mkdir, path: pwned}}}\n",
        ("hydra.callbacks.x._target_=os.mkdir is not allowed",),
    ),
    "a callback from elsewhere": (
        GLOBAL + "x: {y: {_target_: os.mkdir, path: pwned}}\nhydra: {callbacks: '${x}'}\n",
        ("hydra.callbacks",),
    ),
    "a launcher": (
        GLOBAL + "hydra: {launcher: {_target_: os.abort}}\n",
        ("hydra.launcher._target_=os.abort is not allowed",),
    ),
    "a log": (
        GLOBAL + "hydra: {job_logging: {handlers: {x: {(): os.mkdir, path: pwned}}}}\n",
        ("hydra.job_logging.handlers.x.()",),
    ),
    "variables": (GLOBAL + "hydra: {job: {env_set: {CC: evil}}}\n", ("hydra.job.env_set",)),
    "all of Hydra": (
        GLOBAL + "x: {}\nhydra: '${x}'\n",
        ("experiment/bad", "hydra=${x} is not allowed"),
    ),
}


@pytest.mark.parametrize("case", YAML)
def test_a_mistake_in_a_file_of_ones_own(case, refused, tmp_path):
    text, fragments = YAML[case]
    yaml(tmp_path, text)
    sentence = refused(*MINE)
    for fragment in fragments:
        assert fragment in sentence


def test_a_file_of_ones_own_that_is_a_pipe_is_not_waited_for(refused, tmp_path):
    yaml(tmp_path, "epochs: 3\n", "experiment/good.yaml")
    os.mkfifo(tmp_path / "mine/experiment/bad.yaml")
    assert "bad" in refused(*MINE)


NAN = np.where(SIGNALS == 17, np.nan, SIGNALS)
DATA: dict[str, tuple[Callable[[Path], None], Words, tuple[str, ...]]] = {
    # a folder of arrays
    "data of text": (lambda f: arrays(f, data=b"1,2,3\n"), NPY, ("data.npy is not a NumPy file",)),
    "data of objects": (lambda f: arrays(f, data=object_array()), NPY, ("data.npy holds pickled",)),
    "labels of objects": (
        lambda f: arrays(f, label=object_array()), NPY, ("label.npy holds pickled",),
    ),
    "no labels": (lambda f: arrays(f, label=None), NPY, ("label.npy does not exist",)),
    "labels too few": (
        lambda f: arrays(f, label=LABELS[:9]), NPY, ("label.npy", "40 cases but 9 labels"),
    ),
    "labels of halves": (
        lambda f: arrays(f, label=LABELS / 2), NPY, ("label.npy", "must be integers or strings"),
    ),
    "labels in a column": (
        lambda f: arrays(f, label=LABELS[:, None]), NPY, ("label.npy", "2 dimensions"),
    ),
    "labels of one class": (
        lambda f: arrays(f, label=LABELS * 0), NPY, ("label.npy", "at least two classes"),
    ),
    "groups too few": (
        lambda f: arrays(f, groups=LABELS[:9]),
        (*NPY, "dataset.groups=groups.npy"),
        ("groups.npy", "(9,)"),
    ),
    "groups of halves": (
        lambda f: arrays(f, groups=LABELS / 2),
        (*NPY, "dataset.groups=groups.npy"),
        ("groups.npy", "must be integers or strings"),
    ),
    "a part of 7": (
        lambda f: arrays(f, part=LABELS * 7),
        (*NPY, "dataset.part=part.npy"),
        ("part.npy", "0 (train), 1 (validation) and 2 (test)"),
    ),
    "parts too few": (
        lambda f: arrays(f, part=LABELS[:9]), (*NPY, "dataset.part=part.npy"), ("part.npy", "(9,)"),
    ),
    "a file elsewhere": (
        arrays, (*NPY, "dataset.data=../data.npy"), ("must be the name of a file in",),
    ),
    "two dimensions": (
        lambda f: arrays(f, data=SIGNALS[:, 0]), NPY, ("write one channel as (40, 1, 16)",),
    ),
    "no channels": (lambda f: arrays(f, data=SIGNALS[:, :0]), NPY, ("are empty",)),
    "complex": (lambda f: arrays(f, data=SIGNALS * 1j), NPY, ("complex", "not numbers")),
    "NaN": (lambda f: arrays(f, data=NAN), NPY, ("1 value is NaN", "dataset.missing=interpolate")),
    "too short": (lambda f: arrays(f, data=SIGNALS[:, :, :4]), NPY, ("length 4 are too short",)),
    # an archive
    "no archive": (lambda f: (f / "set.npz").write_bytes(b"PK\3\4"), NPZ, ("is not a .npz file",)),
    "no such array": (
        archive, (*NPZ, "dataset.data=datum"), ("has no array 'datum'", "nearest: data"),
    ),
    "no such labels": (
        archive, (*NPZ, "dataset.label=y"), ("has no array 'y', which dataset.label asks for",),
    ),
    "an array of objects": (
        lambda f: archive(f, label=object_array()), NPZ, ("array 'label'", "pickled"),
    ),
    "labels of the archive too few": (
        lambda f: archive(f, label=LABELS[:9]), NPZ, ("array 'label'", "40 cases but 9 labels"),
    ),
    # recordings
    "ragged": (lambda f: recordings(f, walk_2="time,x,y\n1,2\n"), CSV, ("line 2 has 2 cells",)),
    "a word": (
        lambda f: recordings(f, walk_2="time,x,y\n1,2,up\n"),
        CSV,
        ("2.csv, line 2, column 'y': 'up' is not a number",),
    ),
    "a terminal's command for a number": (
        lambda f: recordings(f, walk_2="time,x,y\n1,2,\x1b[2J\n"), CSV, ("\\x1b[2J",),
    ),
    "binary": (lambda f: recordings(f, walk_2=bytes(range(256))), CSV, ("not a text file",)),
    "zeros": (lambda f: recordings(f, walk_2=bytes(4096)), CSV, ("2.csv",)),
    "an empty one": (lambda f: recordings(f, walk_2=""), CSV, ("2.csv is empty",)),
    "a column that none has": (recordings, (*CSV, "dataset.columns=[x,z]"), ("no column 'z'",)),
    "a column twice": (
        recordings, (*CSV, "dataset.columns=[x,x]"), ("dataset.columns names 'x' twice",),
    ),
    "no columns": (recordings, (*CSV, "dataset.columns=[]"), ("dataset.columns",)),
    "a label column that none has": (
        recordings, (*CSV, "dataset.label_column=mood"), ("no column 'mood'",),
    ),
    "too short for a window": (
        recordings, (*CSV[:2], "dataset.length=99"), ("choose dataset.length=",),
    ),
    "one class of recordings": (
        lambda f: recordings(f, walk_1=b"") or (f / "walk/1.csv").unlink(),
        CSV,
        ("at least two classes",),
    ),
    # the archive's format
    "a word in .ts": (lambda f: ts(f, "1,x,3:a\n"), TS, ("Toy_TRAIN.ts cannot be read",)),
    "no data in .ts": (lambda f: ts(f, ""), TS, ("Toy_TRAIN.ts",)),
    "time stamps in .ts": (
        lambda f: ts(f, "(0,1):a\n", "@timeStamps true\n@classLabel true a b\n@data\n"),
        TS,
        ("time stamp",),
    ),
    "a pipe for .ts": (
        lambda f: [os.mkfifo(f / f"Toy_{part}.ts") for part in ("TRAIN", "TEST")] and None,
        TS,
        ("is not a file",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DATA)
def test_a_mistake_in_the_data(case, refused, tmp_path):
    make, words, fragments = DATA[case]
    make(tmp_path)
    sentence = refused(*words, *SMALL)
    for fragment in fragments:
        assert fragment in sentence


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run of four epochs that is complete."""
    folder = tmp_path_factory.mktemp("finished")
    assert (
        finish(*(t for t in TINY if "epochs" not in t), "epochs=4", "hydra.run.dir=run", cwd=folder)
        == 0
    )
    return folder / "run"


def change(folder: Path, **config: object) -> None:
    """Put other values into the configuration that the checkpoint holds."""
    state = load_checkpoint(folder / "last.pt")
    for key, value in config.items():
        state["config"][key] = value
    save_checkpoint(folder / "last.pt", state)
    undone(folder)


def undone(folder: Path) -> None:
    """As if the run had been killed before its end."""
    (folder / "summary.json").unlink()


def cut(folder: Path) -> None:
    undone(folder)
    os.truncate(folder / "last.pt", 1000)


def replaced(content: bytes) -> Callable[[Path], None]:
    def replace(folder: Path) -> None:
        undone(folder)
        (folder / "last.pt").write_bytes(content)

    return replace


def other_version(folder: Path) -> None:
    undone(folder)
    torch.save(
        {"format": "raspitrain checkpoint", "format_version": 99, "state": {}}, folder / "last.pt"
    )


def evil_code(folder: Path) -> None:
    model = {"_target_": "os.system", "command": "touch pwned"}
    change(folder, model=model, allowed_targets=["os.system"])


def other_data(folder: Path) -> None:
    state = load_checkpoint(folder / "last.pt")
    change(folder, dataset=state["config"]["dataset"] | {"seed": 9})


def emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def weights_alone(folder: Path) -> None:
    undone(folder)
    shutil.copy(folder / "best.pt", folder / "last.pt")


RESUME: dict[str, tuple[Callable[[Path], object], Words, tuple[str, ...]]] = {
    "no such folder": (lambda f: None, ("resume=nowhere",), ("there is no folder", "nowhere")),
    "no name": (lambda f: None, ("resume=",), ("resume= must name the folder",)),
    "a file in it": (lambda f: None, ("resume=run/last.pt",), ("takes a run's folder",)),
    "two of them": (lambda f: None, ("resume=run", "resume=run"), ("resume is given 2 times",)),
    "a sweep of it": (lambda f: None, ("resume=run", "--multirun"), ("leave out --multirun",)),
    "auto without a folder": (lambda f: None, ("resume=auto",), ("hydra.run.dir=FOLDER",)),
    "an empty folder": (emptied, ("resume=run",), ("holds no run of raspitrain",)),
    "no checkpoint": (
        lambda f: (f / "last.pt").unlink(), ("resume=run",), ("has no checkpoint, neither",),
    ),
    "a checkpoint cut short": (
        cut, ("resume=run",), ("no usable checkpoint", "what is left", "from best.pt with init="),
    ),
    "a checkpoint of zeros": (replaced(bytes(5000)), ("resume=run",), ("no usable checkpoint",)),
    "a pickle": (replaced(b"\x80\x04N."), ("resume=run",), ("not a checkpoint of raspitrain",)),
    "another version": (other_version, ("resume=run",), ("checkpoint format 99",)),
    "weights alone": (weights_alone, ("resume=run",), ("weights alone",)),
    "code of a stranger": (evil_code, ("resume=run",), ("uses code of its own (os.system)",)),
    "code of a stranger, unannounced": (
        lambda f: change(f, model={"_target_": "os.system", "command": "touch pwned"}),
        ("resume=run",),
        ("os.system is not allowed",),
    ),
    "an interpolation": (
        lambda f: change(f, seed="${oc.env:HOME}"), ("resume=run",), ("does not hold a run",),
    ),
    "no configuration": (
        lambda f: change(f, model=None), ("resume=run",), ("model must be a group",),
    ),
    "another rate": (undone, ("resume=run", "optimizer.lr=1"), ("make it another run",)),
    "another model": (undone, ("resume=run", "model=mobilenetv3_large"), ("another run",)),
    "fewer epochs": (undone, ("resume=run", "epochs=2"), ("can only be trained for more",)),
    "a key that is none": (undone, ("resume=run", "epoch=9"), ("epoch is not a key",)),
    "a value that is none": (undone, ("resume=run", "epochs=soon"), ("epochs must be",)),
    "a word": (undone, ("resume=run", "epochs"), ("takes key=value alone",)),
    "another folder": (undone, ("resume=run", "hydra.run.dir=x"), ("no place beside resume=",)),
    "other data": (
        other_data,
        ("resume=run",),
        ("the data are not those",),
    ),
}  # fmt: skip


def test_a_strangers_folder_is_not_waited_for_nor_unfolded(finished, tmp_path):
    for name in ("summary.json", "overrides.yaml", "config.yaml"):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        shutil.copytree(finished, tmp_path / "run")
        (tmp_path / "run" / name).unlink()
        os.mkfifo(tmp_path / "run" / name)
        words = ("resume=auto", "hydra.run.dir=run") if "overrides" in name else ("resume=run",)
        assert finish(*words, cwd=tmp_path) == 0, (tmp_path / "stderr.txt").read_text()
    (tmp_path / "run" / name).unlink()
    (tmp_path / "run" / name).write_text(LAUGHS)
    assert finish("resume=run", cwd=tmp_path) == 0


@pytest.mark.parametrize("case", RESUME)
def test_a_mistake_in_going_on(case, refused, finished, tmp_path):
    alter, words, fragments = RESUME[case]
    shutil.copytree(finished, tmp_path / "run")
    alter(tmp_path / "run")
    sentence = refused(*words)
    for fragment in fragments:
        assert fragment in sentence


def test_there_are_enough_rows_and_no_two_alike():
    rows = [*COMMAND.values(), *((MINE, *row) for row in YAML.values()), *DATA.values()]
    assert len(rows) + len(RESUME) >= 60
    assert len({repr(words) for words, _ in COMMAND.values()}) == len(COMMAND)


OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_channels, num_classes):
        super().__init__()
        self.conv, self.head = nn.Conv1d(num_channels, 4, 5), nn.Linear(4, num_classes)
    def forward(self, x):
        return self.head(self.middle(self.conv(x)).mean(2))

class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2
    @staticmethod
    def backward(ctx, dy):
        return dy + {}["x"]

class Backward(Net):
    middle = Double.apply

class InPlace(Net):
    def forward(self, x):
        y = torch.sigmoid(self.conv(x))
        z = y.mean(2)
        y += 1
        return self.head(z + y.mean(2))

class Training(Net):
    def middle(self, x):
        return x if not self.training else {}["x"]

class Evaluation(Net):
    def middle(self, x):
        return x if self.training else {}["x"]

class Making(Net):
    def __init__(self, num_channels, num_classes):
        {}["x"]

class Two(Net):
    def forward(self, x):
        return x, x
"""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "Backward",
            r"model \(own_net.Backward\) fails: .*\(Double.backward, .*own_net.py, line 18",
        ),
        (
            "InPlace",
            r"go backward through its forward \(.*own_net.py, line 24\): RuntimeError: one of",
        ),
        ("Training", r"fails: KeyError: 'x' \(Training.middle, .*own_net.py, line 32\)"),
        ("Evaluation", r"fails: KeyError: 'x' \(Evaluation.middle, .*own_net.py, line 36\)"),
        ("Making", r"cannot be made: KeyError: 'x' \(Making.__init__, .*own_net.py, line 40\)"),
        ("Two", r"model must give logits, a tensor \(cases, classes\), and gives a tuple"),
    ],
)
def test_the_line_of_the_users_own_that_fails_is_named(name, says, refused, tmp_path, monkeypatch):
    (tmp_path / "own_net.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yaml(tmp_path, f"_target_: own_net.{name}\n", "model/own.yaml")
    data = [t for t in TINY if not t.startswith("model.")]
    words = ("--config-dir", "mine", "model=own", f"allowed_targets=[own_net.{name}]", *data)
    try:
        assert re.search(says, refused(*words))
    finally:
        sys.modules.pop("own_net", None)


def test_a_module_that_is_not_there_is_looked_for_with_pythonpath(refused):
    words = ("model._target_=no_such_file.Net", "allowed_targets=[no_such_file.Net]", *TINY)
    assert "no_such_file.py lies in, as in PYTHONPATH=FOLDER" in refused(*words)


def test_a_list_in_the_place_of_keys_is_named(refused, tmp_path):
    yaml(tmp_path, "# @package _global_\nepochs: 3\nsplit: [0.3]\n")
    sentence = refused("--config-dir", "mine", "experiment=bad")
    assert "bad.yaml: split is a list, but must hold keys, such as split." in sentence


def test_names_that_no_word_can_hold_are_called_so(refused):
    assert "is no UTF-8: give the file" in refused("dataset=npy", "dataset.path=a\udcff")
    assert "give the file or folder another name" in refused("hydra.run.dir=a\nb", *TINY)
    assert "PYTHONUTF8=1" in refused("hydra.run.dir=L\udcc3\udca4ufe", *TINY)
    assert "no folder" in refused("resume=~no_such_user/run")


def test_names_in_a_file_cannot_command_the_terminal(refused, tmp_path):
    (tmp_path / "a\x1b[2J\nb").mkdir()
    assert "\\x1b[2J" in refused("dataset=npy", "dataset.path=a\x1b[2J\nb")
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as file:
        file.writestr("da\x1b[2Jta.npy", b"")
    assert "\\x1b[2J" in refused(*NPZ)
