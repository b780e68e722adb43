"""What memory there is, and the sentences for when there is not enough."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from raspitrain.errors import InputError, TemporaryError
from raspitrain.hardware.board import available_memory, status_bytes

OUT_OF_MEMORY = (  # how torch's allocators and the system word it
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "out of memory",
    "unable to allocate",
)


@contextmanager
def quick_imports(*, for_good: bool = False) -> Iterator[None]:
    """Importing torch makes objects by the hundred thousand and no garbage: looking for some
    meanwhile takes a tenth of the time, and as much again whenever it is done later.

    for_good : what is there afterwards is never looked through, as fits a process that is a
        command's alone; in a notebook it would hold on to what others have made
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if for_good:
            gc.freeze()
        if collects:
            gc.enable()


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out, here or in what led here. Imports nothing heavy."""
    seen = 0
    while error is not None and seen < 20:
        if isinstance(error, MemoryError):
            return True
        if isinstance(error, RuntimeError | OSError):
            words = str(error).lower()
            if any(phrase in words for phrase in OUT_OF_MEMORY):
                return True
        error = error.__cause__ or error.__context__
        seen += 1
    return False


def out_of_memory_error() -> InputError:
    """What to raise or say once it has happened; the figures are those of the moment."""
    return memory_error(
        f"Memory ran out: this process holds {resident_bytes() / 1e6:.0f} MB and "
        f"{free_bytes(None) / 1e6:.0f} MB are free; take a smaller batch_size or "
        "model, in_memory=false, or end other programs."
    )


def memory_error(
    sentence: str, needed: int | None = None, budget_mb: int | None = None
) -> InputError:
    """A TemporaryError where the memory would be there if other programs ended.

    Parameters
    ----------
    needed : bytes, beside what the process holds; None where nobody knows
    budget_mb : see `free_bytes`; a budget stays as it is
    """
    alone = available_memory(alone=True)
    would_do = alone > available_memory() if needed is None else needed <= alone
    return TemporaryError(sentence) if budget_mb is None and would_do else InputError(sentence)


def resident_bytes() -> int:
    """What this process holds in memory now; 0 where the system does not say."""
    return status_bytes("VmRSS")


def free_bytes(budget_mb: int | None) -> int:
    """The bytes that this process may still take.

    Parameters
    ----------
    budget_mb : hardware.memory_budget_mb, all that the process may hold, in MB of 10^6 bytes;
        None for what the machine, the control group and the process's own limits leave
    """
    if budget_mb is not None:
        return max(0, int(budget_mb * 1e6) - resident_bytes())
    return available_memory()
