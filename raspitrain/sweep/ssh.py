"""OpenSSH as its user has set it up: names, keys and ports are those of ~/.ssh/config.

One connection a board: whatever is asked later goes through the first one (ControlMaster). Nothing
of ours listens anywhere, nothing asks for a password, and no agent is lent to a board.
"""

import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

ALIVE_SECONDS, ALIVE_COUNT = 5, 3  # a cable that is out is noticed after their product
NO_SSH = "ssh is not installed here"
UNREACHED = 255  # ssh's own exit code, for whatever goes wrong on the way
OPTIONS = (
    "-T", "-a", "-x", "-oBatchMode=yes", "-oConnectTimeout=10", "-oClearAllForwardings=yes",
    f"-oServerAliveCountMax={ALIVE_COUNT}", "-oControlMaster=auto", "-oControlPersist=20",
)  # fmt: skip
NAME = re.compile(
    r"(?P<host>(?!-)(\w[\w.+-]*@)?\w[\w.-]*)(:(?P<python>(?!//|\d+$)[\w./][\w./+@ =-]*))?", re.A
)


@dataclass(frozen=True)
class Answer:
    code: int
    out: bytes
    error: str

    @property
    def reached(self) -> bool:
        return self.code != UNREACHED


@dataclass(frozen=True)
class Host:
    """A host that ssh knows how to reach.

    Attributes
    ----------
    name : as for ssh: pi@pi5a, or a name of ~/.ssh/config
    config : a file in the place of ~/.ssh/config, or None
    control : folder of this sweep's own for the sockets of shared connections
    alive : seconds between questions whether it is there; with ALIVE_COUNT of them unanswered it
        is lost
    """

    name: str
    config: str | None
    control: str
    alive: int = ALIVE_SECONDS

    @property
    def words(self) -> list[str]:
        """ssh and its options, without the host."""
        own = [] if self.config is None else ["-F", self.config]
        alive = f"-oServerAliveInterval={self.alive}"
        return ["ssh", *own, *OPTIONS, alive, f"-oControlPath={self.control}/%C"]

    def command(self, script: str) -> list[str]:
        """The words that run a script of sh's on the host, whatever the user's shell there is."""
        return [*self.words, "--", self.name, f"exec sh -c {shlex.quote(script)}"]

    def ask(self, script: str, *, seconds: float, data: bytes = b"") -> Answer:
        """Run a script there and wait for it."""
        try:
            done = subprocess.run(
                self.command(script), input=data, capture_output=True, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return Answer(UNREACHED, b"", f"no answer within {seconds:g} seconds")
        except FileNotFoundError:
            return Answer(UNREACHED, b"", f"{NO_SSH}: sudo apt install openssh-client")
        return Answer(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))


def why_unreached(host: str, said: str) -> tuple[str, bool]:
    """What ssh said, as a sentence with a remedy; and whether waiting may help."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1].removeprefix("ssh: ").rstrip(".") if lines else "ssh gives no reason"
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
    if NO_SSH in said or "configuration" in said or "Can't open user config" in said:
        return f"{host} cannot be asked: {last}.", False
    return (
        f"{host} does not answer ({last}): see that it is on, and that ssh {host} true works.",
        True,
    )


def words_of(python: str, module: str, arguments: Sequence[str]) -> str:
    """A command of ours for a shell on a board: -P, as the folder it starts in may hold a clone."""
    return shlex.join([python, "-P", "-m", module, *arguments])
