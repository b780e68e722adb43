"""Boards that are folders: an `ssh` for PATH that runs what it is given here, with the home folder
of the host that it is given for.

    boards = FakeBoards(tmp_path, "pi@a", "pi@b")
    subprocess.run([...], env=os.environ | boards.variables)

A file in the home folder makes it do otherwise: `down` (no route), `refuses` (the key); `slow`
holds seconds to wait first. `connections` holds the processes of each connection: to kill them
cuts it.
"""

import os
import sys
from pathlib import Path

from board_home import fill_cache, jobs_left

SSH = """#!/bin/sh
user=""
while :; do
    case "$1" in
        -O) exit 0 ;;
        --) shift; break ;;
        -l) user="$2@"; shift 2 ;;  # as rsync calls it
        -o|-F) shift 2 ;;
        -*) shift ;;
        *) break ;;
    esac
done
host=$user$1; shift; command=$*
home="$FAKE_BOARDS/$host"
echo "$command" >> "$home/asked"
[ -e "$home/refuses" ] && { echo "$host: Permission denied (publickey)." >&2; exit 255; }
no_route="ssh: connect to host $host port 22: No route to host"
[ -e "$home/down" ] && { echo "$no_route" >&2; exit 255; }
[ -e "$home/slow" ] && sleep "$(cat "$home/slow")"
cd "$home" || exit 255
export HOME="$home" XDG_CACHE_HOME="$home/.cache"
# In a session of its own, as sshd would: what goes on here does not end with the connection.
exec 3<&0  # what runs in the background would have none
pipe="$home/pipe.$$"; mkfifo "$pipe"
setsid sh -c "$command" <&3 3<&- >"$pipe" &
job=$!
cat "$pipe" &
echo "$$ $!" >> "$home/connections"
wait $job
code=$?
wait
rm "$pipe"
exit $code
"""


class FakeBoards:
    def __init__(self, folder: Path, *hosts: str) -> None:
        self.folder = folder / "boards"
        (self.folder / "bin").mkdir(parents=True)
        ssh = self.folder / "bin" / "ssh"
        ssh.write_text(SSH)
        ssh.chmod(0o755)
        for host in hosts:
            self.add(host)
        self.variables = {
            "PATH": f"{ssh.parent}{os.pathsep}{os.environ['PATH']}",
            "FAKE_BOARDS": str(self.folder),
        }

    def add(self, host: str) -> None:
        fill_cache(self.home(host))

    def home(self, host: str) -> Path:
        return self.folder / host

    def put(self, host: str, name: str, text: str = "") -> None:
        (self.home(host) / name).write_text(text)

    def asked(self, host: str) -> list[str]:
        try:
            return (self.home(host) / "asked").read_text().splitlines()
        except FileNotFoundError:
            return []

    def left(self, host: str) -> list[str]:
        return jobs_left(self.home(host))

    def python(self, host: str, script: str) -> str:
        """A Python of the board's that takes a job for the lines of a shell script, in its folder;
        all else is done as usual. Its path."""
        path = self.home(host) / "python"
        path.write_text(
            f"""#!/bin/sh
if [ "$3" = raspitrain.sweep.job ]; then cd "$4"; shift 4; {script}
fi
exec {sys.executable} "$@"
"""
        )
        path.chmod(0o755)
        return str(path)
