"""What a stream tells, over HTTP: /latest, /events, /metrics.

    /latest     the last window, as JSON
    /events     the last events, a line of JSON each; as server-sent events where the client asks
                for text/event-stream, from then on
    /metrics    counts and scores in the text format of Prometheus

Nothing can be changed over it.
"""

import ipaddress
import json
import threading
import time
from collections import deque
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from raspitrain.errors import InputError, reason
from raspitrain.use.watch import FAULTS, Watcher

NUM_KEPT = 1000  # events
MOST_CLIENTS = 32  # at once
PATIENCE = 10.0  # seconds that a client may take
HEARTBEAT = 15.0
PAGES = ("/latest", "/events", "/metrics")


class Board:
    """The last events, numbered, for threads that wait for the next one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._events: deque[tuple[int, str]] = deque(maxlen=NUM_KEPT)
        self.last = 0

    def add(self, line: str) -> None:
        with self._changed:
            self.last += 1
            self._events.append((self.last, line))
            self._changed.notify_all()

    def since(self, number: int, seconds: float = 0.0) -> list[tuple[int, str]]:
        """Events after that number; waits for one, where there is none."""
        with self._changed:
            if seconds and self.last <= number:
                self._changed.wait(seconds)
            return [event for event in self._events if event[0] > number]


def place_of(text: str) -> tuple[str, int]:
    """Host and port of "8080", "127.0.0.1:8080" or "[::1]:8080"; the host is this machine's own
    unless another is typed.

    Raises
    ------
    InputError
        It is neither.
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise InputError(f"--http is {text!r}, but must be PORT or HOST:PORT, as 127.0.0.1:8080.")
    return host.strip("[]") or "127.0.0.1", int(port)


class Server:
    """Serves in threads of its own until it is closed.

    Attributes
    ----------
    address : as in a browser
    """

    def __init__(self, text: str, watcher: Watcher) -> None:
        host, port = place_of(text)
        self.board = Board()
        try:
            self._server = _Server((host, port), watcher, self.board)
        except OSError as error:
            raise InputError(
                f"--http {text}: nothing can be served there ({reason(error)}); give another port."
            ) from error
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], watcher: Watcher, board: Board) -> None:
        self.address_family = _family(address[0])
        self.watcher, self.board = watcher, board
        self.begun = time.time()
        self.room = threading.Semaphore(MOST_CLIENTS)
        # A page from elsewhere could reach a server of this machine under a name of its own.
        self.is_private = _is_loopback(address[0])
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.room.acquire(blocking=False):
            with suppress(OSError):
                request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes in the middle is its own affair."""


def _family(host: str) -> Any:
    import socket

    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE
    server_version, sys_version = "raspitrain", ""

    def do_GET(self) -> None:
        if self.server.is_private and not self._is_asked_for_here():
            self._answer(403, "text/plain", "this server answers to its own machine alone\n")
            return
        path = self.path.split("?", 1)[0]
        if path == "/latest":
            latest = self.server.watcher.latest
            self._answer(200, "application/json", json.dumps(latest, ensure_ascii=False) + "\n")
        elif path == "/metrics":
            text = metrics(self.server.watcher, self.server.begun)
            self._answer(200, "text/plain; version=0.0.4; charset=utf-8", text)
        elif path == "/events" and "text/event-stream" in self.headers.get("Accept", ""):
            self._send_events()
        elif path == "/events":
            lines = "".join(f"{line}\n" for _, line in self.server.board.since(0))
            self._answer(200, "application/x-ndjson", lines)
        else:
            self._answer(404, "text/plain", f"there are: {', '.join(PAGES)}\n")

    def _is_asked_for_here(self) -> bool:
        host = self.headers.get("Host", "localhost")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        return _is_loopback(name.strip("[]"))

    def _answer(self, code: int, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def _send_events(self) -> None:
        asked = self.headers.get("Last-Event-ID", "")
        number = int(asked) if asked.isdecimal() else self.server.board.last
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        with suppress(OSError):
            while True:
                self.wfile.flush()
                found = self.server.board.since(number, HEARTBEAT)
                for number, line in found:
                    self.wfile.write(f"id: {number}\ndata: {line}\n\n".encode())
                if not found:
                    self.wfile.write(b": still here\n\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a stream runs for months."""


def metrics(watcher: Watcher, begun: float) -> str:
    """What a watcher has counted, in the text format of Prometheus."""
    counts, latest = watcher.counts, watcher.latest
    lines: list[str] = []

    def family(name: str, kind: str, text: str, *values: tuple[str, float]) -> None:
        lines.append(f"# HELP raspitrain_{name} {text}")
        lines.append(f"# TYPE raspitrain_{name} {kind}")
        lines.extend(f"raspitrain_{name}{labels} {value!r}" for labels, value in values)

    digest = _labels(sha256=watcher.model.digest, file=watcher.model.path)
    family("model_info", "gauge", "The model at work.", (digest, 1))
    family("start_time_seconds", "gauge", "When the stream began, since 1970.", ("", begun))
    family("samples_total", "counter", "Samples taken.", ("", counts["samples"]))
    family("windows_total", "counter", "Windows answered.", ("", counts["windows"]))
    family(
        "windows_withheld_total", "counter", "Windows at a wrong rate.", ("", counts["withheld"])
    )
    family(
        "events_total", "counter", "Events begun.",
        *((_labels(**{"class": name}), count) for name, count in watcher.starts.items()),
    )  # fmt: skip
    family(
        "faults_total", "counter", "What was wrong with the samples.",
        *((_labels(kind=kind), counts[kind]) for kind in FAULTS),
    )  # fmt: skip
    family(
        "inference_seconds_total", "counter", "Time spent on windows.",
        ("", watcher.inference_seconds),
    )  # fmt: skip
    family(
        "last_sample_timestamp_seconds", "gauge", "When the last sample came, since 1970.",
        ("", watcher.last_sample_at),
    )  # fmt: skip
    if latest is not None:
        scores = latest["scores"] or latest["probabilities"]
        family(
            "score", "gauge", "Of each class, averaged as for events.",
            *((_labels(**{"class": name}), score) for name, score in scores.items()),
        )  # fmt: skip
    return "\n".join(lines) + "\n"


def _labels(**labels: str) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}"
