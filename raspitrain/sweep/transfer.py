"""Files of a job's folder to a board and back: a stream of tar, checked name by name on this side.

What comes is written whole before it takes its name, and the checkpoint and the summary take theirs
last: whenever this is cut off, the folder can be resumed from.
"""

import io
import os
import secrets
import shlex
import subprocess
import tarfile
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from raspitrain.errors import TemporaryError
from raspitrain.results.atomic import PARTIAL, fsync_folder
from raspitrain.results.files import LAST, PREVIOUS, SUMMARY
from raspitrain.sweep.machine import UNREACHED, Answer, Machine, last_line
from raspitrain.sweep.ssh import Host

OURS = ("job.yaml", "job_overrides.yaml", "stderr.log")  # written by the coordinator alone
LAST_OF_ALL = ("best.pt", PREVIOUS, LAST, SUMMARY)
NO_SPACE = "No space left on device"
NO_REASON = "no reason is given"
MOST_SECONDS = 3600.0


class LostError(Exception):
    """The board has gone; its text is a sentence."""


def send_folder(host: Machine, folder: Path, there: str, names: Sequence[str]) -> None:
    """Make the folder `there` with these files and nothing else; it appears whole or not at all.

    Raises
    ------
    LostError
        The board no longer answers.
    TemporaryError
        It has no room.
    """
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name in names:
            tar.add(folder / name, arcname=name, recursive=False)
    new, old = shlex.quote(f"{there}.coming"), shlex.quote(there)
    script = (
        f"umask 077; rm -rf {new} && mkdir -p {new} && tar -xf - -C {new} && rm -rf {old} && "
        f"mv {new} {old}"
    )
    check(host, host.ask(script, seconds=MOST_SECONDS, data=content.getvalue()))


def fetch(
    host: Machine, there: str, folder: Path, names: Collection[str] | None = None,
    on_start: Callable[[subprocess.Popen[bytes]], object] = lambda process: None,
) -> None:  # fmt: skip
    """Take over files of the folder `there`: those named, or all.

    Parameters
    ----------
    on_start : called with the process that brings them, which may be killed

    Raises
    ------
    LostError
        The board no longer answers; nothing has been changed here.
    """
    which = "."
    if names is not None:
        first = [name for name in (PREVIOUS, LAST) if name in names]
        # The checkpoint first: what is read after it is never older.
        which = shlex.join(f"./{n}" for n in [*first, *(n for n in names if n not in first)])
    script = f"cd {shlex.quote(there)} && tar -cf - {which}"
    process = subprocess.Popen(
        host.command(script),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    on_start(process)
    assert process.stdout is not None
    assert process.stderr is not None
    came: list[tuple[Path, Path]] = []
    whole = True
    try:
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                _unpack(tar, folder, came)
        except tarfile.ReadError:
            whole = False
        process.stdout.read()
        error = process.stderr.read().decode("utf-8", "replace")
        code = process.wait()
        if not host.answer(code, b"", error).reached:
            raise LostError(host.why_unreached(error)[0])
        if not whole:
            raise LostError(
                f"{host.name} does not give the job's files: {last_line(error, NO_REASON)}"
            )
        came.sort(key=lambda pair: _rank(pair[1].name))
        for partial, path in came:
            path.parent.mkdir(exist_ok=True)
            os.replace(partial, path)
        fsync_folder(folder)
    finally:
        for partial, _ in came:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        process.kill()
        process.wait()


def _unpack(tar: tarfile.TarFile, folder: Path, came: list[tuple[Path, Path]]) -> None:
    """Write what is in it under partial names; add the pairs of those and the final ones."""
    for member in tar:
        parts = PurePosixPath(member.name).parts
        # A board may be a stranger's by now: nothing of it lands outside the job's folder.
        plain = member.isfile() and 1 <= len(parts) <= 2
        if not plain or any(p in ("..", "/") or p[0] == "." for p in parts) or parts[0] in OURS:
            continue
        path = folder.joinpath(*parts)
        if path.is_symlink() or path.parent.is_symlink():
            continue
        source = tar.extractfile(member)
        assert source is not None
        partial = folder / f"{PARTIAL}{secrets.token_hex(8)}"
        came.append((partial, path))
        with open(partial, "xb") as file:
            while chunk := source.read(1 << 20):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())


def _rank(name: str) -> int:
    return LAST_OF_ALL.index(name) if name in LAST_OF_ALL else -1


def send_data(host: Machine, path: Path, there: str, *, rsync: bool) -> None:
    """Bring a file or folder into the folder `there`, by rsync where both sides have it: that goes
    on where it was cut off.

    Raises
    ------
    LostError, TemporaryError
        As `send_folder`.
    """
    folder = shlex.quote(there)
    if rsync and isinstance(host, Host):
        check(host, host.ask(f"umask 077; mkdir -p {folder}", seconds=60))
        done = subprocess.run(
            ["rsync", "-rtL", "--partial", "-e", shlex.join(host.words), str(path),
             f"{host.name}:{folder}/"],
            stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip
        code = UNREACHED if done.returncode in (12, 30, 35, 255) else done.returncode
        check(host, Answer(code, b"", done.stderr.decode("utf-8", "replace")))
        return
    script = f"umask 077; rm -rf {folder} && mkdir -p {folder} && tar -xf - -C {folder}"
    tar = subprocess.Popen(
        ["tar", "-C", str(path.parent), "-chf", "-", "--", path.name], stdout=subprocess.PIPE
    )
    done = subprocess.run(host.command(script), stdin=tar.stdout, capture_output=True)
    assert tar.stdout is not None
    tar.stdout.close()
    tar.wait()
    check(host, host.answer(done.returncode, b"", done.stderr.decode("utf-8", "replace")))


def check(host: Machine, answer: Answer) -> Answer:
    """The answer, if it is one; else the error that fits."""
    if NO_SPACE in answer.error:
        raise TemporaryError(f"{host.name} has no space left: make room on its card.")
    if not answer.reached:
        raise LostError(host.why_unreached(answer.error)[0])
    if answer.code != 0:
        raise TemporaryError(
            f"{host.name} cannot take the job: {last_line(answer.error, NO_REASON)}"
        )
    return answer
