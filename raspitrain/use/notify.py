"""Tell systemd that a service is ready and alive (sd_notify), if it asked for that."""

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """Send "READY=1" or "WATCHDOG=1" to the socket that NOTIFY_SOCKET names."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address[0] == "@":
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.sendto(state.encode(), address)
