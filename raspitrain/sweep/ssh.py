"""OpenSSH as its user has set it up: names, keys and ports are those of ~/.ssh/config.

One connection a board: whatever is asked later goes through the first one (ControlMaster). Nothing
of ours listens anywhere, nothing asks for a password, and no agent is lent to a board.
"""

import re
import shlex
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from raspitrain.sweep.machine import Machine, last_line

ALIVE_SECONDS, ALIVE_COUNT = 5, 3
OPTIONS = (
    "-T", "-a", "-x", "-oBatchMode=yes", "-oConnectTimeout=10", "-oClearAllForwardings=yes",
    f"-oServerAliveCountMax={ALIVE_COUNT}", "-oControlMaster=auto", "-oControlPersist=20",
)  # fmt: skip
NAME = re.compile(
    r"(?P<host>(?!-)(\w[\w.+-]*@)?\w[\w.-]*)(:(?P<python>(?!//|\d+$)[\w./][\w./+@ =-]*))?", re.A
)


def silent_seconds(alive: int) -> int:
    """After how many seconds without a word a board is lost: ssh gives it up when it would ask once
    more and ALIVE_COUNT questions are unanswered."""
    return alive * (ALIVE_COUNT + 1)


@dataclass(frozen=True)
class Host(Machine):
    """A host that ssh knows how to reach.

    Attributes
    ----------
    name : as for ssh: pi@pi5a, or a name of ~/.ssh/config
    config : a file in the place of ~/.ssh/config, or None
    control : folder of this sweep's own for the sockets of shared connections
    alive : seconds between questions whether it is there (see `silent_seconds`)
    """

    config: str | None
    control: str
    alive: int = ALIVE_SECONDS

    way: ClassVar[str] = "ssh"
    needs: ClassVar[str] = "sudo apt install openssh-client"
    has_rsync: ClassVar[bool] = True

    @property
    def words(self) -> list[str]:
        """ssh and its options, without the host."""
        own = [] if self.config is None else ["-F", self.config]
        alive = f"-oServerAliveInterval={self.alive}"
        return ["ssh", *own, *OPTIONS, alive, f"-oControlPath={self.control}/%C"]

    def command(self, script: str) -> list[str]:
        # Whatever the user's shell there is.
        return [*self.words, "--", self.name, f"exec sh -c {shlex.quote(script)}"]

    def why_unreached(self, said: str) -> tuple[str, bool]:
        return why_unreached(self.name, said)

    def close(self) -> None:
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                [*self.words, "-O", "exit", "--", self.name],
                stdin=subprocess.DEVNULL, capture_output=True, timeout=5,
            )  # fmt: skip


def why_unreached(host: str, said: str) -> tuple[str, bool]:
    """What ssh said, as a sentence with a remedy; and whether waiting may help."""
    last = last_line(said, "ssh gives no reason").removeprefix("ssh: ").rstrip(".")
    if "Permission denied" in said or "Too many authentication failures" in said:
        return f"{host} refuses the key: ssh-copy-id {host}, then try ssh {host} true.", False
    if "host key" in said.lower() or "HOST IDENTIFICATION" in said:
        return (
            f"{host} has a host key that is not known here, or another than before: ssh {host} "
            "once by hand, and compare the fingerprint.",
            False,
        )
    if "Could not resolve" in said:
        return f"{host} is not found: {last}; look at the name, or give it in ~/.ssh/config.", False
    if "ssh is not installed here" in said or "configuration" in said or "user config" in said:
        return f"{host} cannot be asked: {last}.", False
    return (
        f"{host} does not answer ({last}): see that it is on, and that ssh {host} true works.",
        True,
    )
