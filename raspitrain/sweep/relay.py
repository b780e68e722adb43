"""The way to Dask's workers. One process a sweep is the scheduler's client:

    python -m raspitrain.sweep.relay serve ADDRESS SOCKET

and a small one for each script goes through its socket, as commands of ssh's go through one
connection:

    python -m raspitrain.sweep.relay run SOCKET PLACE SCRIPT

What the scheduler and its workers get are names of functions of worker.py, words and bytes.
"""

import argparse
import asyncio
import json
import logging
import os
import secrets
import socket
import struct
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from raspitrain.stop import leave_at_once_on_signals
from raspitrain.sweep.machine import UNREACHED

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 10.0
CALL_SECONDS = 60.0  # for what a worker does at once
TELL_SECONDS = 600.0  # for it to take some megabytes
# That a question for output may wait for some: each is a line in the worker's log.
HEAR_SECONDS = 5.0
LOOK_SECONDS = 3.0  # between looks for workers that have come or gone
CHUNK = 4 << 20
OUT, ERROR, CODE = b"o", b"e", b"c"
HEAD = struct.Struct("!cI")
# Named by Dask's own exception where a worker cannot import what it is to call.
LACKING = ("ModuleNotFoundError", "ImportError", "AttributeError")
NO_CERTIFICATES = (
    "Dask's own configuration names no certificates for a client (distributed.comm.tls.ca-file, "
    "client.cert and client.key in ~/.config/dask/distributed.yaml)"
)


class Relay:
    """Passes scripts on to workers, and their input and output.

    Attributes
    ----------
    places : name → address of a worker, and what worker.describe says of it
    """

    def __init__(self, client: "Client", scheme: str) -> None:
        self.client, self.scheme = client, scheme
        self.places: dict[str, dict[str, Any]] = {}

    async def call(self, address: str, function: Any, *values: object, seconds: float) -> Any:
        """A function of worker.py's, there.

        Raises
        ------
        Exception
            Of whatever kind Dask has for it: the worker has gone, or lacks the function.
        """
        called = self.client.run(function, *values, workers=[address])
        return (await asyncio.wait_for(called, seconds))[address]

    async def look(self) -> bool:
        """Whether workers have come or gone since the last look."""
        from raspitrain.sweep import worker

        there = await asyncio.wait_for(self.client.nthreads(), CALL_SECONDS)
        known = {place["address"] for place in self.places.values() if place["address"]}
        gone, came = known.difference(there), sorted(set(there) - known)
        for place in self.places.values():
            if place["address"] in gone:
                place["address"] = ""
        for address in came:
            found: dict[str, Any] = {"address": address, "wrong": None}
            if self.scheme == "tls" and not address.startswith("tls://"):
                found["wrong"] = "is reached without TLS"
            else:
                try:
                    found |= await self.call(address, worker.describe, seconds=CALL_SECONDS)
                except Exception as error:
                    if not any(name in repr(error) for name in LACKING):
                        continue  # it may have been busy: the next look asks again
                    found["wrong"] = (
                        f"has no raspitrain for sweeps over Dask ({_reason(error)}): install this "
                        "version in its environment"
                    )
            self.places[self._name_for(address)] = found
        return bool(gone or came)

    def _name_for(self, address: str) -> str:
        """A place of that host whose worker has gone, or a new one."""
        host = urlsplit(address).hostname or address
        number = 1
        while (name := host if number == 1 else f"{host}#{number}") in self.places:
            if not self.places[name]["address"]:
                break
            number += 1
        return name

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One script, from its start to its exit code."""
        head = json.loads(await reader.readline())
        try:
            await self._pass_on(head, reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # our own side has gone: the script ends by itself
        except Exception as error:
            with suppress(ConnectionError):
                await _say(writer, ERROR, f"{_reason(error)}\n".encode())
                await _say(writer, CODE, str(UNREACHED).encode())
        finally:
            writer.close()

    async def _pass_on(
        self, head: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        from raspitrain.sweep import worker

        address = self.places.get(head["place"], {}).get("address")
        if not address:
            raise OSError("it has left the cluster")
        key, task = f"raspitrain-{secrets.token_hex(8)}", None
        if head["job"]:
            await self.call(address, worker.expect, key, seconds=CALL_SECONDS)
            task = self.client.submit(
                worker.run_job, key, head["script"], key=key, workers=[address], retries=0,
                allow_other_workers=False, pure=False,
            )  # fmt: skip
        else:
            await self.call(address, worker.start, key, head["script"], seconds=CALL_SECONDS)
        signs = bytearray()

        async def pour() -> None:
            data = b"\n"
            while data:
                data = await reader.read(CHUNK)
                if data and not data.strip(b"\n"):
                    signs.extend(data)  # of life: they go with the next question
                else:
                    await self.call(address, worker.tell, key, data, not data, seconds=TELL_SECONDS)

        pouring = asyncio.create_task(pour())
        try:
            code = None
            while code is None:
                now, signs[:] = bytes(signs), b""
                out, error, code = await self.call(
                    address, worker.hear, key, now, HEAR_SECONDS,
                    seconds=HEAR_SECONDS + CALL_SECONDS,
                )  # fmt: skip
                for kind, content in ((OUT, out), (ERROR, error)):
                    await _say(writer, kind, content)
            await _say(writer, CODE, str(code).encode())
        finally:
            pouring.cancel()
            if task is not None:
                await asyncio.wait_for(self.client.cancel([task]), CALL_SECONDS)


async def _say(writer: asyncio.StreamWriter, kind: bytes, content: bytes) -> None:
    """One message at least, be it empty: writing is how it shows that nobody reads any more."""
    for k in range(0, max(1, len(content)), CHUNK):
        part = content[k : k + CHUNK]
        writer.write(HEAD.pack(kind, len(part)) + part)
        await writer.drain()


def _reason(error: BaseException) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return "no answer"
    lines = str(error).strip().splitlines()
    return lines[-1][:200] if lines else type(error).__name__


async def serve(address: str, path: str) -> str | None:
    """Be the client until standard input ends; each line of output says which places there are.

    Returns
    -------
    str or None
        Why the scheduler cannot be used, if so.
    """
    from distributed import Client, Security

    scheme = address.partition("://")[0]
    # It gives itself its attributes.
    security: Any = Security(require_encryption=True) if scheme == "tls" else Security()
    if scheme == "tls" and not (security.tls_ca_file and security.tls_client_cert):
        return NO_CERTIFICATES
    try:
        client = await asyncio.wait_for(
            Client(
                address, security=security, asynchronous=True, timeout=CONNECT_SECONDS,
                set_as_default=False, name="raspitrain",
            ),
            CONNECT_SECONDS + 5,
        )  # fmt: skip
    except Exception as error:
        return _why_no_scheduler(error)
    relay = Relay(client, scheme)
    server = await asyncio.start_unix_server(relay.serve, path, limit=1 << 24)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(
        target=lambda: (sys.stdin.buffer.read(), loop.call_soon_threadsafe(ended.set)), daemon=True
    ).start()
    is_first = True
    while not ended.is_set():
        if client.status != "running":
            return "the scheduler has gone"
        try:
            has_changed = await relay.look()
        except Exception:
            return "the scheduler has gone"
        if has_changed or is_first:
            print(json.dumps({"places": relay.places}), flush=True)
            is_first = False
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(ended.wait(), LOOK_SECONDS)
    server.close()
    await client.close()
    return None


def _why_no_scheduler(error: Exception) -> str:
    seen: BaseException | None = error
    said = ""
    while seen is not None:
        said += f" {seen}"
        seen = seen.__cause__ or seen.__context__
    if "certificate" in said.lower() or "ssl" in said.lower():
        return "the certificates do not fit: scheduler, workers and we need the same authority's"
    return "the scheduler does not answer"


def run(path: str, place: str, script: str, *, job: bool) -> int:
    """Have a script run at a place, with our standard input, output and error; its exit code."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
        head = {"place": place, "script": script, "job": job}
        connection.sendall(json.dumps(head).encode() + b"\n")
    except OSError:
        print("the way to Dask's scheduler has gone", file=sys.stderr)
        return UNREACHED

    def pour() -> None:
        with suppress(OSError):
            while data := os.read(0, 1 << 16):
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

    threading.Thread(target=pour, daemon=True).start()
    answers = connection.makefile("rb")
    while len(head_bytes := answers.read(HEAD.size)) == HEAD.size:
        kind, size = HEAD.unpack(head_bytes)
        content = answers.read(size)
        if len(content) < size:
            break
        if kind == CODE:
            return int(content)
        stream = sys.stdout if kind == OUT else sys.stderr
        stream.buffer.write(content)
        stream.flush()
    print("the way to Dask's scheduler has gone", file=sys.stderr)
    return UNREACHED


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Pass scripts on to Dask's workers.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (("serve", ("address", "socket")), ("run", ("socket", "place", "script"))):
        command = commands.add_parser(name)
        for word in words:
            command.add_argument(word)
    commands.choices["run"].add_argument("--job", action="store_true")
    given = parser.parse_args(arguments)
    leave_at_once_on_signals()
    if given.command == "run":
        return run(given.socket, given.place, given.script, job=given.job)
    logging.disable(logging.CRITICAL)  # Dask's own lines about what we say in a sentence
    wrong = asyncio.run(serve(given.address, given.socket))
    if wrong is not None:
        print(json.dumps({"wrong": wrong}), flush=True)
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # threads of ours, and of Dask's, may still wait for something
