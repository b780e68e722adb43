"""What a sweep runs inside a Dask worker: scripts of sh's, as ssh would, in processes of their own.

The coordinator's relay (relay.py) calls these functions by their names, with words and bytes, and
gets words and bytes. Nothing is imported here that a worker would have to wait for.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

HELD_BYTES = 8 << 20  # of a script's output, until it is fetched
ENOUGH_BYTES = 1 << 20  # to be fetched at once
# After which a script whose coordinator has gone is ended; a job's lease is less.
SILENT_SECONDS = 90.0
MOST_PAUSE_SECONDS = 0.25
# What Dask's nanny sets for tasks of its own kind: our jobs find out by themselves.
OF_THE_NANNY = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_",
)  # fmt: skip

Heard = tuple[bytes, bytes, int | None]  # output, errors, and the exit code at the end


class Script:
    """One that runs, as long as somebody asks for it."""

    def __init__(self, script: str) -> None:
        environment = {k: v for k, v in os.environ.items() if k not in OF_THE_NANNY}
        self.process = subprocess.Popen(
            ["sh", "-c", script], cwd=Path.home(), env=environment, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.held = {"out": bytearray(), "error": bytearray()}
        self.changed = threading.Condition()
        self.asked_at = time.monotonic()
        self.readers = [
            threading.Thread(target=self._read, args=(stream, name), daemon=True)
            for stream, name in ((self.process.stdout, "out"), (self.process.stderr, "error"))
        ]
        for reader in self.readers:
            reader.start()

    def _read(self, stream: IO[bytes], name: str) -> None:
        while data := os.read(stream.fileno(), 1 << 16):
            with self.changed:
                self.held[name] += data
                while len(self.held[name]) > HELD_BYTES and not self.is_forgotten:
                    self.changed.wait(1.0)
        stream.close()

    @property
    def is_forgotten(self) -> bool:
        return time.monotonic() - self.asked_at > SILENT_SECONDS

    def watch(self) -> None:
        """Wait for its end; end it where nobody asks any more."""
        while self.process.poll() is None:
            if self.is_forgotten:
                with suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(1.0)

    def write(self, data: bytes, is_end: bool) -> None:
        assert self.process.stdin is not None
        with suppress(OSError, ValueError):  # it has ended, or closed its input
            self.process.stdin.write(data)
            self.process.stdin.flush()
        if is_end:
            with suppress(OSError):
                self.process.stdin.close()

    def take(self) -> Heard:
        ended = self.process.poll() is not None and not any(r.is_alive() for r in self.readers)
        with self.changed:
            out, error = bytes(self.held["out"]), bytes(self.held["error"])
            self.held = {"out": bytearray(), "error": bytearray()}
            self.changed.notify_all()
        code = self.process.returncode
        return out, error, (code if code >= 0 else 128 - code) if ended else None


scripts: dict[str, Script | None] = {}  # None: a job that waits for its turn


def describe(dask_worker: Any) -> dict[str, Any]:
    """What the coordinator's relay must know before it sends anything here."""
    return {"python": sys.executable, "threads": dask_worker.state.nthreads}


def expect(key: str) -> None:
    """A job is about to come as a task."""
    scripts[key] = None


def run_job(key: str, script: str) -> None:
    """The task: take up the worker's thread for as long as the job runs."""
    if scripts.get(key, 0) is None:  # else the worker has been started anew, and nobody waits
        scripts[key] = started = Script(script)
        started.watch()


def start(key: str, script: str) -> None:
    """Run a short script beside whatever the worker does."""
    scripts[key] = started = Script(script)
    threading.Thread(target=started.watch, daemon=True).start()


async def tell(key: str, data: bytes, is_end: bool) -> None:
    """Something for its standard input, or its end; a job that has not begun by then never will."""
    if (script := scripts.get(key, 0)) is None:
        del scripts[key]
    elif isinstance(script, Script):
        await asyncio.to_thread(script.write, data, is_end)


async def hear(key: str, signs: bytes, seconds: float) -> Heard:
    """What a script has said: at its end, where that is much, or after so long.

    `signs` are for its standard input. The exit code is UNREACHED where there is no such script.
    """
    until, pause = time.monotonic() + seconds, 0.01
    while key in scripts:
        is_over = time.monotonic() > until
        if (script := scripts[key]) is not None:
            script.asked_at = time.monotonic()
            if signs:
                script.write(signs, False)  # a few bytes every few seconds: there is room
                signs = b""
            is_much = sum(map(len, script.held.values())) > ENOUGH_BYTES
            if is_over or is_much or script.process.poll() is not None:
                heard = script.take()
                if heard[2] is not None:
                    del scripts[key]
                if is_over or any(heard[:2]) or heard[2] is not None:
                    return heard
        elif is_over:
            return b"", b"", None
        await asyncio.sleep(pause)
        pause = min(2 * pause, MOST_PAUSE_SECONDS)
    return b"", b"the worker has been started anew\n", 255
