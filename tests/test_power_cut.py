"""The power goes while the kernels are compiled: a real ext4, shut down as a cut leaves it."""

import fcntl
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import SERVER

SHUT_DOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
NO_FLUSH = 2  # neither data nor journal reach the disk any more
NETWORK = {
    "table": "small", "variant": "paper", "num_channels": 3, "num_classes": 2, "length": 32,
    "width_mult": 0.25, "num_downsamples": "auto", "dropout": 0.0, "batchnorm_momentum": 0.1,
    "batchnorm_eps": 1e-5, "engine": "auto",
}  # fmt: skip

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mkfs.ext4") is None,
        reason="a file system of its own is mounted by root on Linux",
    ),
]


class Card:
    """An ext4 in a file, with the options of a fresh Raspberry Pi OS but for quicker commits."""

    def __init__(self, folder: Path) -> None:
        self.image, self.folder = folder / "image", folder / "card"
        self.folder.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(32 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)
        self.mount()

    def mount(self) -> None:
        # The journal, with the names, is written every second; data wait for half a minute.
        options = "loop,commit=1"
        subprocess.run(["mount", "-o", options, self.image, self.folder], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", self.folder], check=True)

    def cut_power(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUT_DOWN, struct.pack("I", NO_FLUSH))
        finally:
            os.close(descriptor)

    def restart(self) -> None:
        """What the board finds when the power is back."""
        self.unmount()
        # Under another name: elsewhere the old one may still be mounted, and shut down.
        copy = self.image.with_suffix(f".{int(self.image.suffix[1:] or 0) + 1}")
        shutil.copyfile(self.image, copy)
        self.image.unlink()
        self.image = copy
        self.mount()


@pytest.fixture
def card(tmp_path) -> Iterator[Card]:
    card = Card(tmp_path)
    yield card
    card.unmount()


def _start(card: Card, cut_at: int | None, sync: bool, answer) -> None:
    """Build a network and choose its engine, as a run does that starts."""
    import torch

    from raspitrain.model.engine.choose import engine_in_use
    from raspitrain.model.mobilenetv3 import mobilenetv3
    from raspitrain.results import atomic
    from raspitrain.tuning.engine import settle_engine

    os.environ["XDG_CACHE_HOME"] = str(card.folder)
    steps: list[str] = []

    def at_step(step: str, path: Path) -> None:
        if len(steps) == cut_at:
            card.cut_power()
            os._exit(0)
        steps.append(f"{step} {path.suffix}")

    atomic.on_write = at_step
    if not sync:
        os.fsync = lambda descriptor: None
    model = mobilenetv3(**NETWORK)
    signals = torch.randn(4, 3, 32)
    settle_engine(model, signals)
    model.engine = "native"
    assert engine_in_use(model) == "native"
    model(signals).sum().backward()  # all of the library is there and computes
    answer.send(steps)


def start(card: Card, *, cut_at: int | None = None, sync: bool = True) -> list[str] | None:
    """The steps of all writes; None where the power was cut before the end."""
    ours, theirs = SERVER.Pipe()
    process = SERVER.Process(target=_start, args=(card, cut_at, sync, theirs))
    process.start()
    theirs.close()
    process.join()
    assert process.exitcode == 0  # neither an exception nor a signal
    return ours.recv() if cut_at is None else None


def test_the_kernel_library_power_cut(card):
    """Cut at each step of each write: the next start has kernels, and clears what was left."""
    steps = start(card)
    card.cut_power()
    card.restart()
    assert start(card) == []  # all that was written once is there: nothing is made again
    expected = ["write", "fsync", "replace", "fsync folder"]
    assert steps == [f"{step} {kind}" for kind in (".so", ".json", ".json") for step in expected]
    cache = card.folder / "raspitrain"
    made_anew = [*((cache, step) for step in range(8)), *((cache / "engine", s) for s in range(4))]
    for folder, cut_at in made_anew:
        shutil.rmtree(folder)
        start(card, cut_at=cut_at)
        card.restart()
        start(card)
        assert start(card) == []
        assert not list(cache.rglob(".partial-*"))


def test_a_card_that_does_not_sync(card):
    """Names without content, which is what a cut leaves where nothing is synced."""
    start(card, sync=False)
    time.sleep(3)  # the journal is written, the data are not
    card.cut_power()
    card.restart()
    (library,) = (card.folder / "raspitrain").glob("kernels-*.so")
    assert library.stat().st_size == 0
    assert start(card)
    assert start(card) == []
