"""Atomic writes, the claim on a run folder, metrics.csv and checkpoints."""

import errno
import multiprocessing
import os
import pickle
import resource
import stat
import zipfile
from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raspitrain.errors import InputError
from raspitrain.results import atomic
from raspitrain.results.atomic import atomic_path, write_atomic
from raspitrain.results.checkpoint import FORMAT, FORMAT_VERSION, load_checkpoint, save_checkpoint
from raspitrain.results.folder import claim_run_folder
from raspitrain.results.table import COLUMNS, append_row, read_rows

STAGES = ["write", "fsync", "replace"]


def no_space(stage_that_fails):
    def on_write(stage, path):
        if stage == stage_that_fails:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    return on_write


# Atomic writes


def test_write_atomic_replaces_the_whole_file(tmp_path):
    path = tmp_path / "summary.json"
    write_atomic(path, b"a long first version")
    write_atomic(path, b"short")
    assert path.read_bytes() == b"short"
    assert os.listdir(tmp_path) == ["summary.json"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, stage):
    path = tmp_path / "summary.json"
    write_atomic(path, b"old")
    monkeypatch.setattr(atomic, "on_write", no_space(stage))
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["summary.json"]


@pytest.mark.parametrize("name", ["pipe", "null", "stdout"])
def test_no_file_takes_the_place_of_a_device_or_pipe(tmp_path, name):
    path = tmp_path / name
    if name == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"null": "/dev/null", "stdout": "/proc/self/fd/1"}[name])
    before = path.lstat()
    with pytest.raises(OSError, match="no file may take"):
        write_atomic(path, b"new")
    assert path.lstat() == before
    assert os.listdir(tmp_path) == [name]


def test_an_exception_in_the_block_leaves_the_old_file(tmp_path):
    path = tmp_path / "plot.png"
    write_atomic(path, b"old")

    def interrupted():
        with atomic_path(path) as partial:
            partial.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["plot.png"]


def test_the_partial_file_keeps_the_suffix_and_the_folder(tmp_path):
    with atomic_path(tmp_path / ("x" * 240 + ".png")) as partial:
        assert partial.suffix == ".png"
        assert partial.parent == tmp_path
        partial.write_bytes(b"")


def test_a_file_has_the_mode_that_the_umask_gives(tmp_path):
    write_atomic(tmp_path / "ours", b"")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_file_and_folder_are_synced_around_the_rename(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def recording_fsync(descriptor):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        calls.append("fsync folder" if is_folder else "fsync file")
        fsync(descriptor)

    def recording_replace(source, target):
        calls.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "replace", recording_replace)
    write_atomic(tmp_path / "a", b"1")
    assert calls == ["fsync file", "replace", "fsync folder"]


def test_a_file_system_that_cannot_sync_folders_is_fine(tmp_path, monkeypatch):
    fsync = os.fsync

    def files_only(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    write_atomic(tmp_path / "a", b"1")
    assert (tmp_path / "a").read_bytes() == b"1"


# The run folder


def test_a_run_folder_is_created_with_its_parents(tmp_path):
    folder = claim_run_folder(tmp_path / "2025-01-01" / "12-00-00")
    assert folder == tmp_path / "2025-01-01" / "12-00-00"
    assert folder.is_dir()


def test_a_relative_run_folder_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert claim_run_folder("run") == tmp_path / "run"


def test_a_second_run_is_refused(tmp_path):
    claim_run_folder(tmp_path / "run")
    with pytest.raises(InputError, match=r"already holds a run; give another hydra\.run\.dir"):
        claim_run_folder(tmp_path / "run")


def test_a_folder_with_other_files_can_be_claimed(tmp_path):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    claim_run_folder(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_file_of_somebody_elses_is_not_replaced(tmp_path):
    (tmp_path / "config.yaml").write_text("mine")
    with pytest.raises(InputError, match=r"holds config\.yaml, which the run would replace"):
        claim_run_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("name", ["metrics.csv", "last.pt", "best.pt", "summary.json"])
def test_a_copied_run_without_its_hidden_files_is_still_a_run(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match="already holds a run"):
        claim_run_folder(tmp_path)
    assert os.listdir(tmp_path) == [name]


def claim(folder, barrier, wins):
    barrier.wait()
    try:
        claim_run_folder(folder)
    except InputError:
        return
    with wins.get_lock():
        wins.value += 1


def test_one_of_many_runs_that_start_at_once_gets_the_folder(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, wins = context.Barrier(6), context.Value("i", 0)
    processes = [
        context.Process(target=claim, args=(tmp_path / "run", barrier, wins)) for _ in range(6)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert wins.value == 1


@pytest.mark.parametrize("below", ["", "run", "a/b"])
def test_a_file_in_the_way_is_named(tmp_path, below):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file.*give another hydra\.run\.dir"):
        claim_run_folder(tmp_path / "file" / below)


@pytest.mark.parametrize("path", ["/proc/run", "a\0b", "x" * 300])
def test_an_impossible_folder_is_an_input_error(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="cannot be written"):
        claim_run_folder(path)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_an_unwritable_folder_is_an_input_error(tmp_path, monkeypatch, code):
    def fail(stage, path):
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(atomic, "on_write", fail)
    with pytest.raises(InputError, match=os.strerror(code)):
        claim_run_folder(tmp_path / "run")


def test_a_claim_that_fails_can_be_made_again(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(InputError, match="Input/output error"):
            claim_run_folder(tmp_path / "run")
    claim_run_folder(tmp_path / "run")


# metrics.csv

numbers = st.none() | st.floats() | st.integers(-(2**53), 2**53)
rows = st.fixed_dictionaries(
    {"epoch": st.integers(0, 10**9), "step": st.integers(0, 10**9)},
    optional=dict.fromkeys(COLUMNS[2:], numbers),
)


def write_rows(path, some_rows):
    path.unlink(missing_ok=True)
    for row in some_rows:
        append_row(path, row)


def same(read, written):
    for column in COLUMNS:
        value = written.get(column)
        if value is None:
            assert read[column] is None
        else:
            np.testing.assert_equal(read[column], value)
    return True


@given(st.lists(rows, min_size=1, max_size=4))
@settings(max_examples=40)
def test_rows_read_back_exactly(tmp_path_factory, some_rows):
    path = tmp_path_factory.getbasetemp() / "metrics.csv"
    write_rows(path, some_rows)
    read = read_rows(path)
    assert len(read) == len(some_rows)
    assert all(same(*pair) for pair in zip(read, some_rows, strict=True))


ROWS = [
    {"epoch": k, "step": 7 * k, "lr": 0.1 / k, "train_loss": np.float32(1 / k)} for k in (1, 2, 3)
]


def test_the_header_is_the_agreed_one(tmp_path):
    write_rows(tmp_path / "metrics.csv", ROWS)
    assert (tmp_path / "metrics.csv").read_text().splitlines()[0] == (
        "epoch,step,lr,train_loss,train_accuracy,validation_loss,validation_accuracy,test_loss,"
        "test_accuracy,test_macro_f1,test_balanced_accuracy,validation_macro_f1,"
        "validation_balanced_accuracy,samples_per_second,seconds,peak_memory_mb"
    )


def test_a_cut_at_any_byte_loses_at_most_one_row_and_doubles_none(tmp_path):
    path, torn = tmp_path / "metrics.csv", tmp_path / "torn.csv"
    write_rows(path, ROWS)
    data, whole = path.read_bytes(), read_rows(path)
    for cut in range(len(data) + 1):
        torn.write_bytes(data[:cut])
        kept = data[:cut].count(b"\n") - 1
        assert read_rows(torn) == whole[: max(kept, 0)]
        append_row(torn, ROWS[2])
        assert read_rows(torn) == [*whole[: max(kept, 0)], whole[2]]


def test_zeros_after_a_power_cut_are_dropped(tmp_path):
    path = tmp_path / "metrics.csv"
    write_rows(path, ROWS)
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" * 10_000)
    assert len(read_rows(path)) == 3
    append_row(path, ROWS[0])
    assert path.read_bytes().startswith(whole)
    assert len(read_rows(path)) == 4


def test_a_card_that_fills_up_leaves_whole_rows(tmp_path, monkeypatch):
    path = tmp_path / "metrics.csv"
    write_rows(path, ROWS)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            append_row(path, ROWS[0])
    assert path.read_bytes() == before


def test_an_unknown_column_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no column train_acc"):
        append_row(tmp_path / "metrics.csv", {"epoch": 1, "train_acc": 0.5})
    assert not (tmp_path / "metrics.csv").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,2\n", "header differs"),
        (",".join(COLUMNS) + "\n1,2\n" + "1," * 15 + "1\n", "damaged in line 2"),
    ],
)
def test_a_foreign_or_damaged_table_is_refused(tmp_path, text, sentence):
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_rows(tmp_path / "metrics.csv")


def test_a_missing_table_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(tmp_path / "metrics.csv")


# Checkpoints


def trained():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv1d(3, 4, 3), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10)
    for _ in range(3):
        model(torch.randn(2, 3, 8)).sum().backward()
        optimizer.step()
        schedule.step()
    return model, optimizer, schedule


def test_a_real_run_goes_through_a_checkpoint_unchanged(tmp_path):
    model, optimizer, schedule = trained()
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "epoch": np.int64(3),
        "class_names": ("a", "b"),
        "generator": torch.get_rng_state(),
        "metrics": [{"epoch": 1, "train_loss": None, "lr": 0.1}],
    }
    save_checkpoint(tmp_path / "last.pt", state)
    read = load_checkpoint(tmp_path / "last.pt")
    torch.testing.assert_close(read["model"], dict(model.state_dict()), rtol=0, atol=0)
    assert str(read["optimizer"]) == str(optimizer.state_dict())
    assert read["schedule"] == schedule.state_dict()
    assert read["epoch"] == 3
    assert read["class_names"] == ("a", "b")
    assert read["metrics"] == state["metrics"]
    assert torch.equal(read["generator"], state["generator"])
    again, optimizer_again, schedule_again = trained()
    again.load_state_dict(read["model"])
    optimizer_again.load_state_dict(read["optimizer"])
    schedule_again.load_state_dict(read["schedule"])


def test_the_same_state_gives_the_same_bytes(tmp_path):
    model, optimizer, _ = trained()
    for name in ("a.pt", "b.pt"):
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        save_checkpoint(tmp_path / name, state)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_a_view_is_saved_without_the_memory_around_it(tmp_path):
    save_checkpoint(tmp_path / "last.pt", {"mean": torch.zeros(1_000_000)[:3]})
    assert (tmp_path / "last.pt").stat().st_size < 10_000
    assert torch.equal(load_checkpoint(tmp_path / "last.pt")["mean"], torch.zeros(3))


def test_parameters_come_back_as_plain_tensors(tmp_path):
    save_checkpoint(tmp_path / "last.pt", {"w": torch.nn.Parameter(torch.ones(2))})
    weight = load_checkpoint(tmp_path / "last.pt")["w"]
    assert type(weight) is torch.Tensor
    assert not weight.requires_grad


@pytest.mark.parametrize(
    ("state", "where"),
    [
        ({"a": [1, {"b": Path("x")}]}, r"state\['a'\]\[1\]\['b'\] is a PosixPath"),
        ({"a": np.zeros(2)}, r"state\['a'\] is a ndarray"),
        ({"a": lambda: 0}, "is a function"),
        ({"a": {(1, 2): 3}}, r"state\['a'\] has the key \(1, 2\)"),
    ],
)
def test_what_could_not_be_loaded_safely_is_not_saved(tmp_path, state, where):
    with pytest.raises(TypeError, match=where):
        save_checkpoint(tmp_path / "last.pt", state)
    assert os.listdir(tmp_path) == []


@contextmanager
def full_card():
    """Make every write past 20,000 bytes of a file fail, below Python and torch."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_card_leaves_the_last_checkpoint(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"epoch": 1})
    with full_card(), pytest.raises(OSError, match="File too large"):
        save_checkpoint(path, {"epoch": 2, "w": torch.zeros(100_000)})
    assert load_checkpoint(path) == {"epoch": 1}
    assert os.listdir(tmp_path) == ["last.pt"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_checkpoint_is_written_atomically(tmp_path, monkeypatch, stage):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"epoch": 1})
    monkeypatch.setattr(atomic, "on_write", no_space(stage))
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, {"epoch": 2})
    assert load_checkpoint(path) == {"epoch": 1}
    assert os.listdir(tmp_path) == ["last.pt"]


def test_a_cut_anywhere_is_recognised(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"w": torch.arange(300.0)})
    data = path.read_bytes()
    for cut in range(0, len(data), 37):
        path.write_bytes(data[:cut])
        with pytest.raises(InputError, match=r"last\.pt"):
            load_checkpoint(path)


def test_an_altered_byte_never_changes_the_state(tmp_path):
    path = tmp_path / "last.pt"
    state = {"w": torch.arange(300.0), "epoch": 3}
    save_checkpoint(path, state)
    data = path.read_bytes()
    refused = 0
    for position in range(0, len(data), 11):
        altered = bytearray(data)
        altered[position] ^= 0x10
        path.write_bytes(altered)
        try:
            read = load_checkpoint(path)
        except InputError:
            refused += 1
        else:  # the byte was padding
            assert read["epoch"] == 3
            assert torch.equal(read["w"], state["w"])
    assert refused > 100


@given(st.binary(max_size=300), st.booleans())
@settings(max_examples=60)
def test_any_bytes_are_an_input_error(tmp_path_factory, data, zip_like):
    path = tmp_path_factory.getbasetemp() / "any.pt"
    path.write_bytes((b"PK\x03\x04" if zip_like else b"") + data)
    with pytest.raises(InputError):
        load_checkpoint(path)


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("hostile-code-ran",)


def test_code_in_a_checkpoint_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"format": FORMAT, "format_version": FORMAT_VERSION, "state": Hostile()}, "zip.pt")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps(Hostile()))
    for name in ("zip.pt", "pickle.pt"):
        with pytest.raises(InputError, match="not a checkpoint of raspitrain"):
            load_checkpoint(name)
    assert not (tmp_path / "hostile-code-ran").exists()


def test_a_compressed_archive_is_refused_unread(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", b"\0" * 10_000_000)
    with pytest.raises(InputError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "bomb.pt")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (OrderedDict(weight=torch.zeros(2)), "not a checkpoint of raspitrain"),
        ([1, 2], "not a checkpoint of raspitrain"),
        ({"format": FORMAT, "format_version": 99, "state": {}}, "format 99"),
        ({"format": FORMAT}, "format None"),
        ({"format": FORMAT, "format_version": FORMAT_VERSION}, "not a checkpoint of raspitrain"),
    ],
)
def test_other_torch_files_are_refused(tmp_path, content, sentence):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(InputError, match=sentence):
        load_checkpoint(tmp_path / "x.pt")


def test_a_missing_checkpoint_or_a_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"there is no checkpoint .*last\.pt"):
        load_checkpoint(tmp_path / "last.pt")
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(tmp_path)


def test_a_table_from_before_a_column_was_added_is_read(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,step,test_accuracy\n1,10,0.5\n2,20,\n")
    assert read_rows(tmp_path / "metrics.csv") == [
        {"epoch": 1, "step": 10, "test_accuracy": 0.5},
        {"epoch": 2, "step": 20, "test_accuracy": None},
    ]
