"""How many threads compute, and how they wait.

libgomp and the BLAS libraries read their environment when torch is imported, so
`thread_environment` comes before that and `apply_threads` after it.
"""

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import raspitrain.hardware.load  # noqa: F401  begins to count now, while torch is imported
from raspitrain.errors import InputError
from raspitrain.hardware.board import available_cores

# Beside OMP_NUM_THREADS, where it is ours and not the user's: processes that we start inherit both.
OURS = "RASPITRAIN_NUM_THREADS"

# Rounds that a thread spins, for some 30 µs, before it sleeps: the others mostly come sooner. On
# its own libgomp spins for milliseconds, on the very core that a late thread may be waiting for.
SHORT_SPIN = {"x86_64": 1000}
SHORT_SPIN_ELSEWHERE = 20_000  # a round is one load there, without x86's pause


def resolve_num_threads(num_threads: int | str, environment: Mapping[str, str]) -> int:
    """The most threads that a profile asks for.

    "auto" is what the user set in OMP_NUM_THREADS, or else every available core; how many of
    these are used is then measured, see probe.py.
    """
    if num_threads != "auto":
        return int(num_threads)
    return given_num_threads(environment) or available_cores()


def given_num_threads(environment: Mapping[str, str]) -> int | None:
    """What the user, and not `thread_environment`, set in OMP_NUM_THREADS; None if nothing."""
    given = environment.get("OMP_NUM_THREADS", "").split(",")[0]
    if not given or given == environment.get(OURS):
        return None
    if not given.isdigit() or int(given) < 1:
        raise InputError(
            f"The environment variable OMP_NUM_THREADS must be a whole number of at least 1, "
            f"not {given!r}."
        )
    return int(given)


def thread_environment(
    num_threads: int | str, wait_policy: str | None, environment: Mapping[str, str]
) -> dict[str, str]:
    """Variables to set before torch is imported; what the user has set himself is left out."""
    wanted = {"OMP_NUM_THREADS": str(resolve_num_threads(num_threads, environment))}
    if wait_policy == "short":
        if not environment.get("OMP_WAIT_POLICY"):
            spins = SHORT_SPIN.get(platform.machine(), SHORT_SPIN_ELSEWHERE)
            wanted["GOMP_SPINCOUNT"] = str(spins)
    elif wait_policy is not None:
        wanted["OMP_WAIT_POLICY"] = wait_policy
    ours = {name: value for name, value in wanted.items() if not environment.get(name)}
    if environment.get("OMP_NUM_THREADS", "") in ("", environment.get(OURS)):
        ours["OMP_NUM_THREADS"] = ours[OURS] = wanted["OMP_NUM_THREADS"]
    return ours


def thread_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that say how threads wait and where they run."""
    return {
        name: value
        for name, value in sorted(environment.items())
        if name.startswith(("OMP_", "GOMP_", "KMP_", "MKL_")) and name != "OMP_NUM_THREADS"
    }


@contextmanager
def hardware_as_it_was() -> Iterator[None]:
    """Afterwards torch has the threads that it had, and treats small numbers as it did."""
    import torch

    num_threads = torch.get_num_threads()
    flushed = torch.tensor(1e-40).mul(1).item() == 0.0
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)
        torch.set_flush_denormal(flushed)


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block torch computes on one thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def apply_threads(hardware: Mapping[str, Any]) -> None:
    """Tell torch. The inter-op pool can be set once a process; a second value is refused."""
    import numpy as np
    import torch

    torch.set_num_threads(resolve_num_threads(hardware["num_threads"], os.environ))
    for kind in (np.float32, np.float64):
        # numpy measures its types once, and warns if small numbers are flushed by then.
        _ = np.finfo(kind).smallest_subnormal
    torch.set_flush_denormal(hardware["flush_denormals"])
    num_interop_threads = hardware["num_interop_threads"]
    if torch.get_num_interop_threads() != num_interop_threads:
        try:
            torch.set_num_interop_threads(num_interop_threads)
        except RuntimeError as error:
            raise InputError(
                f"hardware.num_interop_threads={num_interop_threads} comes too late: this process "
                f"has started with {torch.get_num_interop_threads()}; start a new one."
            ) from error
