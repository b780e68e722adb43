"""Whatever bytes a reader is given, it reads them or refuses them in one sentence.

The default suite tries a few dozen inputs a reader; `make test-long` tries thousands. Readers with
rules of their own have such a test beside their others: .npy and .npz (test_data_arrays), CSV
(test_data_recordings), checkpoints (test_results_files).
"""

import contextlib
import io
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import defaults, process_as_it_was
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import raspitrain.cli.main
from raspitrain.cli.main import main
from raspitrain.data.arrays import npy, npz
from raspitrain.data.recordings import recordings
from raspitrain.data.ucr import ucr
from raspitrain.errors import InputError
from raspitrain.results.checkpoint import load_checkpoint, save_checkpoint
from raspitrain.results.table import HEADER, read_rows

few_or_many = pytest.mark.parametrize(
    "examples", [25, pytest.param(3000, marks=pytest.mark.long)], ids=["few", "many"]
)


def tried(examples: int) -> settings:
    return settings(
        max_examples=examples,
        database=None,
        derandomize=examples < 100,  # the default suite gives the same answer every time
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    before = Path.cwd()
    place = tmp_path_factory.mktemp("fuzz")
    os.chdir(place)
    with process_as_it_was():
        yield place
    os.chdir(before)


def read_or_refused(read, *args, **kwargs) -> None:
    with contextlib.suppress(InputError):
        read(*args, **kwargs)


def command(*words: str) -> None:
    """The command ends well, or with 2 and one line."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["raspitrain", *words])
        composed = raspitrain.cli.main.run_composed

        def without_running(cfg, output_dir, overrides):
            patch.setitem(sys.modules, "raspitrain.run.run", None)
            with contextlib.suppress(ImportError):
                composed(cfg, output_dir, overrides)

        patch.setattr(raspitrain.cli.main, "run_composed", without_running)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main()
    assert code in (0, 2), err.getvalue()
    if code == 2:
        (line,) = err.getvalue().splitlines()
        assert line.startswith("error: ")
        assert line.isprintable()


KEYS = st.sampled_from(
    ["epochs", "model", "dataset.path", "optimizer.betas", "hydra.run.dir", "split", "a.b", "+x",
     "~model", "++dataset", "hydra/launcher", "allowed_targets", "experiment", "hardware.device"]
)  # fmt: skip
VALUES = st.one_of(
    st.text("[]{},:'\"\\$()=~+!@#%&*|<> \t\n0a9.-_", max_size=12),
    st.text(max_size=6),
    st.sampled_from(
        ["null", "[1,2", "{a:1}", "${epochs}", "${oc.env:HOME}", "1e400", "0x9", "???"]
    ),
)


@few_or_many
def test_words_of_the_command(examples, folder):
    @tried(examples // 2 if examples < 100 else examples // 4)
    @given(st.lists(st.one_of(st.builds("{}={}".format, KEYS, VALUES), VALUES), max_size=2))
    def try_words(words):
        words = [w.replace("\0", "") for w in words]
        command(*(w for w in words if not w.startswith(("-", "hydra.run.dir=/"))))

    try_words()


YAML_WORDS = st.sampled_from(
    ["a: ", "- ", "[", "]", "{", "}", "&a ", "*a", "!!python/name:os.system ", "!x ", "\n", "  ",
     "\t", "'", '"', "#", ": ", "|", ">", "? ", "%YAML 1.1\n", "---\n", "# @package _global_\n",
     "defaults:\n", "  - /model: nope\n", "epochs: 3\n", "hydra: {run: {dir: x}}\n", "<<: *a\n",
     "${epochs}", "1e9", "null", "=", "2020-01-01", "!!binary ", "!!set ", "é", "\ufeff"]
)  # fmt: skip


@few_or_many
def test_files_of_ones_own(examples, folder):
    path = folder / "mine/experiment/bad.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)

    @tried(examples // 2 if examples < 100 else examples // 4)
    @given(st.one_of(st.lists(YAML_WORDS, max_size=14).map("".join).map(str.encode), st.binary()))
    def try_file(content):
        path.write_bytes(content)
        command("--config-dir", "mine", "experiment=bad")

    try_file()


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "descr": st.sampled_from(
            ["<f4", "<i8", "|O", ">c16", "<U3", "|V8", "<M8[s]", "f0", "<f4,<i2", "x", 3, None,
             [("a", "<f4")], [], "|S0", "<f2", "<U999999999"]
        ),
        "fortran_order": st.sampled_from([True, False, None, 3, "no"]),
        "shape": st.one_of(
            st.lists(st.integers(-2, 2**70), max_size=4).map(tuple),
            st.sampled_from([(), (4, 2, 8), (4,), 5, "x", (4.0, 2), (True, 2, 8), (0, 2, 8)]),
        ),
        "more": st.none(),
    },
)  # fmt: skip


@few_or_many
def test_headers_of_npy_files(examples, folder):
    np.save(folder / "label.npy", np.arange(4) % 2)

    @tried(4 * examples)
    @given(HEADERS, st.binary(max_size=300), st.sampled_from([1, 2, 3, 9]))
    def try_header(header, rest, version):
        text = repr(header).encode()
        width = 2 if version == 1 else 4
        content = b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(width, "little") + text
        (folder / "data.npy").write_bytes(content + rest)
        settings = defaults("npy", path=str(folder))
        read_or_refused(npy, **settings)
        read_or_refused(npy, **settings | {"data": "label.npy", "label": "data.npy"})

    try_header()


@few_or_many
def test_any_archive(examples, folder):
    np.savez_compressed(folder / "good.npz", data=np.ones((4, 2, 8)), label=np.arange(4) % 2)
    good = (folder / "good.npz").read_bytes()

    @tried(2 * examples)
    @given(st.lists(st.tuples(st.integers(0, len(good) - 1), st.binary(max_size=4)), max_size=4))
    def try_archive(changes):
        content = bytearray(good)
        for at, new in changes:
            content[at : at + len(new)] = new
        (folder / "bad.npz").write_bytes(content)
        read_or_refused(npz, **defaults("npz", path=str(folder / "bad.npz")))

    try_archive()


TS_WORDS = st.sampled_from(
    ["@problemName Toy\n", "@univariate true\n", "@classLabel true a b\n", "@classLabel false\n",
     "@data\n", "@equalLength false\n", "@seriesLength 3\n", "@missing true\n", "@dimensions 2\n",
     "@timestamps false\n", "@targetlabel true\n", "1,2,3:a\n", "3,2,1:b\n", "1,2:4,5:a\n", "1:b\n",
     "?,?,?:a\n", ":a\n", "nan,1:b\n", "\n", "1", ",", ":", "a", "#x\n", "@", " ", "\t", "1e999"]
)  # fmt: skip


@few_or_many
def test_ts_files(examples, folder):
    @tried(2 * examples)
    @given(st.one_of(st.lists(TS_WORDS, max_size=16).map("".join).map(str.encode), st.binary()))
    def try_file(content):
        (folder / "Toy.ts").write_bytes(content)
        read_or_refused(
            ucr, name="Toy", path=str(folder), unequal="pad", length=None, missing="error"
        )

    try_file()


@few_or_many
def test_recordings(examples, folder):
    cells = st.sampled_from(
        ["1", "-2.5", "", "nan", "a", "é", "1e999", '"', "'", "time", "x", "\0", "\x1b[2J", " ",
         "2024-01-01", "#", "sep=;"]
    )  # fmt: skip
    lines = st.lists(st.lists(cells, max_size=4).map(",".join), max_size=12).map("\n".join)
    (folder / "csv/a").mkdir(parents=True, exist_ok=True)
    (folder / "csv/b").mkdir(exist_ok=True)
    (folder / "csv/b/1.csv").write_text("time,x\n" + "1,2\n" * 9)

    @tried(4 * examples)
    @given(lines, st.sampled_from([None, "x", "time"]), st.sampled_from([None, ["x"], ["y"]]))
    def try_file(text, label_column, columns):
        (folder / "csv/a/1.csv").write_text(text)
        read_or_refused(
            recordings,
            **defaults("recordings", path=str(folder / "csv"), length=2, stride=1, columns=columns)
            | {"label_column": label_column, "missing": "zero"},
        )

    try_file()


@few_or_many
def test_tables_of_metrics(examples, folder):
    good = f"{HEADER}\n1,2{',' * 14}\n2,4,0.5{',' * 13}\n".encode()

    @tried(4 * examples)
    @given(
        st.one_of(
            st.binary(),
            st.tuples(st.integers(0, len(good)), st.binary(max_size=9)).map(
                lambda change: good[: change[0]] + change[1] + good[change[0] + len(change[1]) :]
            ),
        )
    )
    def try_table(content):
        (folder / "metrics.csv").write_bytes(content)
        read_or_refused(read_rows, folder / "metrics.csv")

    try_table()


@few_or_many
def test_what_a_checkpoint_holds(examples, folder):
    """The pickle inside is changed and the check sums made to fit, as a stranger would."""
    place = folder / "last.pt"
    state = {"model": {"w": torch.ones(2, 3)}, "config": {"epochs": 3, "names": ["a", None, 0.5]}}
    save_checkpoint(place, state)
    with zipfile.ZipFile(place) as good:
        members = {name: good.read(name) for name in good.namelist()}
    name = next(name for name in members if name.endswith("data.pkl"))
    pickled = members[name]

    @tried(2 * examples)
    @given(
        st.lists(
            st.tuples(st.integers(0, len(pickled) - 1), st.integers(0, 3), st.binary(max_size=3)),
            min_size=1,
            max_size=3,
        )
    )
    def try_pickle(changes):
        content = bytearray(pickled)
        for at, gone, new in changes:
            content[at : at + gone] = new
        with zipfile.ZipFile(place, "w") as file:
            for member, data in (members | {name: bytes(content)}).items():
                file.writestr(member, data)
        read_or_refused(load_checkpoint, place)

    try_pickle()
