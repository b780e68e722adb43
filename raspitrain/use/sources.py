"""Where a stream comes from: a pipe or file, a serial device, datagrams.

`read` gives what has happened, (kind, bytes):

    data         bytes
    quiet        nothing, for as long as asked
    end          nothing more will come
    unplugged    the device is gone; it is looked for from now on
    back         the device is there again
    lost         datagrams that the kernel had no room for, or another sender's turn
    stranger     a datagram of another sender, left out
"""

import errno
import os
import select
import socket
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from raspitrain.errors import InputError, TemporaryError, reason

CHUNK = 1 << 16
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds between two looks for a device
SILENCE = 10.0  # seconds, after which another sender may take over
SO_RXQ_OVFL = 40  # of Linux: how many datagrams were dropped, with each that was not
NOTHING = b""
NOT_THERE_YET = (errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EBUSY, errno.EIO)  # a device

Read = tuple[str, bytes]
Wait = Callable[[int, float], bool]


class Source(Protocol):
    """Attributes: `name` for sentences; `live`, whether samples come at their own time."""

    name: str
    live: bool

    def read(self, seconds: float) -> Read: ...
    def close(self) -> None: ...


def wait_for(descriptor: int, seconds: float) -> bool:
    """Whether there is something to read, within a time."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(1000 * seconds))


def open_source(text: str, baud: int, wait: Wait = wait_for) -> Source:
    """Open what --source names.

    Raises
    ------
    InputError
        There is no such thing, or it cannot be opened; TemporaryError for a device that may come.
    """
    if text == "-":
        return Pipe("standard input", 0, wait)
    if text.startswith("udp:"):
        return Datagrams(text, wait)
    try:
        descriptor = _open(text)
    except OSError as error:
        sentence = f"--source {text} cannot be opened ({reason(error)})."
        if text.startswith("/dev/") and error.errno in NOT_THERE_YET:
            raise TemporaryError(sentence) from error
        raise InputError(sentence) from error
    kind = os.fstat(descriptor).st_mode
    if os.isatty(descriptor):
        return Device(text, descriptor, baud, wait)
    if stat.S_ISREG(kind) or stat.S_ISFIFO(kind):
        return Pipe(text, descriptor, wait)
    os.close(descriptor)
    raise InputError(
        f"--source is {text}, but must be - for standard input, a serial device, a file, or "
        "udp:PORT."
    )


def _open(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        # Without a writer yet it would end at once.
        os.close(descriptor)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return descriptor


class Pipe:
    """Standard input, a named pipe or a file: it ends."""

    live = False

    def __init__(self, name: str, descriptor: int, wait: Wait) -> None:
        self.name, self._descriptor, self._wait = name, descriptor, wait

    def read(self, seconds: float) -> Read:
        if not self._wait(self._descriptor, seconds):
            return "quiet", NOTHING
        try:
            chunk = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return "quiet", NOTHING
        except OSError as error:
            raise InputError(f"{self.name} cannot be read ({reason(error)}).") from error
        return ("data", chunk) if chunk else ("end", NOTHING)

    def close(self) -> None:
        if self._descriptor:
            os.close(self._descriptor)


class Device:
    """A serial line. Unplugged, it is looked for until it is there again."""

    live = True

    def __init__(self, path: str, descriptor: int, baud: int, wait: Wait) -> None:
        self.name, self._baud, self._wait = path, baud, wait
        self._speed = _speed(baud)
        self._descriptor: int | None = descriptor
        self._pause, self._next_look = FIRST_PAUSE, 0.0
        try:
            self._set_up(descriptor)
        except OSError as error:
            raise InputError(f"--source {path} is no serial line ({reason(error)}).") from error

    def _set_up(self, descriptor: int) -> None:
        """Raw bytes, eight bits, at the speed; what has piled up before is dropped."""
        import fcntl
        import termios

        try:
            modes = termios.tcgetattr(descriptor)
            modes[0] = 0
            modes[1] = 0
            modes[2] = (modes[2] & ~(termios.CSIZE | termios.PARENB | termios.CSTOPB)) | (
                termios.CS8 | termios.CREAD | termios.CLOCAL
            )
            modes[2] &= ~termios.HUPCL
            modes[3] = 0
            modes[4] = modes[5] = self._speed
            modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
            termios.tcsetattr(descriptor, termios.TCSANOW, modes)
            termios.tcflush(descriptor, termios.TCIFLUSH)
            # Two readers of one line would each get parts of it.
            fcntl.ioctl(descriptor, termios.TIOCEXCL)
        except termios.error as error:
            raise OSError(*error.args) from error

    def read(self, seconds: float) -> Read:
        if self._descriptor is None:
            return self._look(seconds)
        try:
            if not self._wait(self._descriptor, seconds):
                return "quiet", NOTHING
            chunk = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return "quiet", NOTHING
        except OSError:
            chunk = b""
        if chunk:
            return "data", chunk
        self.close()
        self._pause = FIRST_PAUSE
        self._next_look = time.monotonic() + self._pause
        return "unplugged", NOTHING

    def _look(self, seconds: float) -> Read:
        left = self._next_look - time.monotonic()
        if left > 0:
            nothing, writer = os.pipe()  # signals are heeded while waiting for input alone
            try:
                self._wait(nothing, min(left, seconds))
            finally:
                os.close(nothing)
                os.close(writer)
            return "quiet", NOTHING
        try:
            descriptor = _open(self.name)
            try:
                self._set_up(descriptor)
            except OSError:
                os.close(descriptor)
                raise
        except OSError:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._next_look = time.monotonic() + self._pause
            return "quiet", NOTHING
        self._descriptor = descriptor
        return "back", NOTHING

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _speed(baud: int) -> int:
    import termios

    speed = getattr(termios, f"B{baud}", None)
    if speed is None or baud <= 0:
        known = sorted(
            int(name[1:]) for name in dir(termios) if name[0] == "B" and name[1:].isdecimal()
        )
        near = ", ".join(str(value) for value in known if value >= 9600)
        raise InputError(f"--baud is {baud}, but must be one of: {near}.")
    return int(speed)


class Datagrams:
    """UDP: lines of one sender, whole ones in each datagram."""

    live = True

    def __init__(self, text: str, wait: Wait) -> None:
        host, _, port = text.removeprefix("udp:").rpartition(":")
        host = host.strip("[]") or "127.0.0.1"
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise InputError(
                f"--source is {text!r}, but must be udp:PORT, or udp:HOST:PORT to be reached from "
                "other machines (udp:0.0.0.0:5005)."
            )
        self.name, self._wait = f"udp:{host}:{port}", wait
        try:
            family, kind, _, _, address = socket.getaddrinfo(
                host, int(port), type=socket.SOCK_DGRAM
            )[0]
            self._socket = socket.socket(family, kind)
            self._socket.bind(address)
        except OSError as error:
            raise InputError(f"--source {text} cannot be opened ({reason(error)}).") from error
        self._socket.setblocking(False)
        with suppress(OSError):  # without it what is lost shows by its stamps alone
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        self._sender: object = None
        self._heard = float("-inf")
        self._num_lost = 0
        self._kept = NOTHING

    def read(self, seconds: float) -> Read:
        if self._kept:
            kept, self._kept = self._kept, NOTHING
            return "data", kept
        if not self._wait(self._socket.fileno(), seconds):
            return "quiet", NOTHING
        try:
            datagram, beside, _, sender = self._socket.recvmsg(CHUNK, socket.CMSG_SPACE(4))
        except (BlockingIOError, ConnectionError):
            return "quiet", NOTHING
        now, changed = time.monotonic(), False
        if sender != self._sender:
            if now - self._heard < SILENCE:
                return "stranger", NOTHING
            changed = self._sender is not None
            self._sender = sender
        self._heard = now
        lost = next((data for level, kind, data in beside if kind == SO_RXQ_OVFL), None)
        data = datagram if datagram.endswith(b"\n") else datagram + b"\n"
        count = self._num_lost if lost is None else int.from_bytes(lost[:4], "little")
        if count != self._num_lost or changed:
            self._num_lost, self._kept = count, data
            return "lost", NOTHING
        return "data", data

    def close(self) -> None:
        self._socket.close()
