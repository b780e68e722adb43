"""Which of several processes this one is, as torchrun, srun or mpirun say in the environment.

    launch = launched(os.environ)  # None where there is one process alone

Nothing of torch is imported here.
"""

import ipaddress
import re
import shlex
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from raspitrain.errors import InputError

PORT = 29500  # where MASTER_PORT says nothing; torch's own choice
# Of a job of SLURM, or a start over boards, so that two on one board do not meet each other.
FIRST_PORT, NUM_PORTS = 20_000, 10_000


@dataclass(frozen=True)
class Launch:
    """One of several processes.

    Attributes
    ----------
    rank : of this process, 0 to num_ranks - 1
    local_ranks : how many of them are on this board; None where nobody said
    address, port : where rank 0 waits for the others
    command : words that start the same processes again, before `-m raspitrain`
    words : and what that command says besides
    restarts : how often torchrun has started them again
    may_restart : whether it would
    is_hosted : whether torchrun, and not rank 0, waits there
    is_followed : whether a coordinator has started all ranks, and sees to what becomes of them
    """

    rank: int
    num_ranks: int
    local_ranks: int | None
    address: str
    port: int
    command: Sequence[str] = field(default=())
    restarts: int = 0
    may_restart: bool = False
    is_hosted: bool = False
    words: Sequence[str] = ()
    is_followed: bool = False

    @property
    def place(self) -> str:
        return f"{self.address}:{self.port}"

    def again(self, words: Sequence[str]) -> str:
        """What to type on each board for the same processes with other words."""
        return shlex.join([*self.command, "-m", "raspitrain", *words, *self.words])


def launched(environment: Mapping[str, str]) -> Launch | None:
    """This process's place; None where it is the only one.

    Raises
    ------
    InputError
        The environment contradicts itself, or does not say where the processes meet.
    """
    env = environment
    if "RANK" in env and "WORLD_SIZE" in env:
        return _of_torchrun(env)
    if "SLURM_PROCID" in env and "SLURM_STEP_NUM_TASKS" in env:
        rank, size = _ranks(env, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
        words = ["srun", f"--ntasks={size}", "python"]
        local = _first_number(env.get("SLURM_STEP_TASKS_PER_NODE", ""))
        nodes = env.get("SLURM_STEP_NODELIST") or env.get("SLURM_JOB_NODELIST") or ""
        job = _first_number(env.get("SLURM_JOB_ID", "")) or 0
        address = env.get("MASTER_ADDR") or first_host(nodes)
        return _launch(env, rank, size, local, words, address, FIRST_PORT + job % NUM_PORTS)
    for prefix in ("OMPI_COMM_WORLD_", "PMI_"):
        if f"{prefix}RANK" in env and f"{prefix}SIZE" in env:
            rank, size = _ranks(env, f"{prefix}RANK", f"{prefix}SIZE")
            words = ["mpirun", "-n", str(size), "python"]
            local = _first_number(env.get("OMPI_COMM_WORLD_LOCAL_SIZE", ""))
            return _launch(env, rank, size, local, words, env.get("MASTER_ADDR", ""), PORT)
    return None


def _of_torchrun(env: Mapping[str, str]) -> Launch | None:
    rank, size = _ranks(env, "RANK", "WORLD_SIZE")
    local = _first_number(env.get("LOCAL_WORLD_SIZE", ""))
    address, port = env.get("MASTER_ADDR", ""), env.get("MASTER_PORT", str(PORT))
    if "TORCHELASTIC_RUN_ID" not in env:
        words = ["env", "RANK=K", f"WORLD_SIZE={size}", f"MASTER_ADDR={address}"]
        return _launch(
            env, rank, size, local, [*words, f"MASTER_PORT={port}", "python"], address, PORT
        )
    boards = _first_number(env.get("GROUP_WORLD_SIZE", "")) or 1
    words = ["torchrun", f"--nnodes={boards}", f"--nproc-per-node={local or 1}"]
    if boards > 1:
        words += ["--node-rank=K", f"--master-addr={address}", f"--master-port={port}"]
    restarts = _first_number(env.get("TORCHELASTIC_RESTART_COUNT", "")) or 0
    most = _first_number(env.get("TORCHELASTIC_MAX_RESTARTS", "")) or 0
    launch = _launch(env, rank, size, local, words, address, PORT)
    if launch is None:
        return None
    return replace(
        launch,
        restarts=restarts,
        may_restart=most > 0,
        is_hosted=env.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


def _launch(
    env: Mapping[str, str],
    rank: int,
    size: int,
    local: int | None,
    words: Sequence[str],
    address: str,
    port: int,
) -> Launch | None:
    if size == 1:
        return None
    if not address:
        raise InputError(
            f"this is one of {size} processes, and MASTER_ADDR does not say where they meet: set "
            "it to the address of the first board in your network, for all of them (mpirun takes "
            "-x MASTER_ADDR=…)."
        )
    given = env.get("MASTER_PORT", str(port))
    if not given.isdigit() or not 0 < int(given) < 65_536:
        raise InputError(f"MASTER_PORT must be a number from 1 to 65535, not {given!r}.")
    return Launch(rank, size, local, address, int(given), tuple(words))


def _ranks(env: Mapping[str, str], rank: str, size: str) -> tuple[int, int]:
    texts = env[rank], env[size]
    if not all(text.isdigit() for text in texts) or not int(texts[0]) < int(texts[1]):
        raise InputError(
            f"{rank}={texts[0]} and {size}={texts[1]}: they must be whole numbers, {rank} from 0 "
            f"to {size} - 1, as torchrun, srun or mpirun sets them."
        )
    return int(texts[0]), int(texts[1])


def _first_number(text: str) -> int | None:
    """Of SLURM's "2(x3)", the 2."""
    found = re.match(r"\d+", text)
    return int(found[0]) if found else None


def first_host(nodes: str) -> str:
    """Of SLURM's "pi[03-05,9],pc", pi03."""
    found = re.match(r"([^\[,]+)(?:\[(\d+))?([^\],-]*)", nodes)
    return "" if not found else f"{found[1]}{found[2] or ''}"


def check_address(launch: Launch, *, public: bool) -> None:
    """Refuse an address at which the processes cannot meet, or should not.

    Parameters
    ----------
    public : whether an address of the Internet will do
    """
    try:
        found = socket.getaddrinfo(launch.address, launch.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"MASTER_ADDR={launch.address} is not known here ({error}): give the address of the "
            "first board as `hostname -I` shows it there."
        ) from error
    addresses = [ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found]
    if any(address.is_global for address in addresses) and not public:
        raise InputError(
            f"MASTER_ADDR={launch.address} is a public address, and what the boards send each "
            "other is neither signed nor encrypted: use addresses of your own network or a VPN's, "
            "or allow this with distributed.public_address=true."
        )
    several_boards = launch.local_ranks is not None and launch.local_ranks < launch.num_ranks
    if several_boards and any(address.is_loopback for address in addresses):
        raise InputError(
            f"MASTER_ADDR={launch.address} is {addresses[0]} here, where no other board gets to "
            "(Debian's /etc/hosts gives a board's own name to 127.0.1.1): give its address as "
            "`hostname -I` shows it, to torchrun as --master-addr."
        )


def own_address(launch: Launch) -> str:
    """This board's address on the way to where the processes meet; nothing is sent."""
    family, _, _, _, place = socket.getaddrinfo(
        launch.address, launch.port, type=socket.SOCK_DGRAM
    )[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(place)
        except OSError as error:
            raise InputError(
                f"MASTER_ADDR={launch.address} cannot be reached from here ({error.strerror})."
            ) from error
        return str(probe.getsockname()[0])
