"""One folder a run."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from raspitrain.errors import InputError, TemporaryError, input_error, reason, remedy
from raspitrain.paths import absolute
from raspitrain.results import atomic, lock
from raspitrain.results.files import CLAIM, OF_A_RUN, OTHERS


def claim_run_folder(path: str | os.PathLike[str]) -> Path:
    """Create the folder `path` if need be and claim it for this run alone.

    The claim of a run that was killed before it left anything is taken over. `release_claim` gives
    the folder back.

    Returns
    -------
    Path
        The folder's absolute path.

    Raises
    ------
    InputError
        The folder holds a run already, or cannot be created or written.
    """
    folder = absolute(path)
    try:
        make_folder(folder)
        atomic.on_write("claim", folder)
        check_no_links(folder, (CLAIM, *OF_A_RUN, *OTHERS))
        made, claim = _open_claim(folder)
    except FileExistsError as error:
        raise InputError(f"{folder} is a file, not a folder; give another hydra.run.dir") from error
    except NotADirectoryError as error:
        raise InputError(
            f"{folder} cannot be a folder, as a part of its path is a file; "
            "give another hydra.run.dir"
        ) from error
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise _unwritable(folder, error) from error
    locked = False
    try:
        locked = _lock(claim, folder / CLAIM, without_locks=made)
        # A run copied from elsewhere without its hidden files is still a run.
        if not locked or any((folder / name).exists() for name in OF_A_RUN):
            raise _taken(folder)
        in_the_way = [name for name in OTHERS if made and (folder / name).exists()]
        if in_the_way:
            raise InputError(
                f"{folder} holds {in_the_way[0]}, which the run would replace; give another "
                "hydra.run.dir"
            )
        lock.sign(claim)
        os.fsync(claim)
        atomic.fsync_folder(folder)
    except BaseException as error:
        if made and locked:
            (folder / CLAIM).unlink(missing_ok=True)
        os.close(claim)
        if isinstance(error, OSError):
            raise _unwritable(folder, error) from error
        raise
    _claims[folder] = claim
    return folder


def check_is_of_its_own(folder: Path, key: str, what: str) -> None:
    """InputError if a folder that `key` gives for a run or a sweep is one that holds all others."""
    if folder in (Path.cwd(), Path(folder.anchor)):
        which = "the one you are in" if folder == Path.cwd() else folder
        raise InputError(f"{key} must name a folder of its own for the {what}, not {which}.")


def check_no_links(folder: Path, names: Sequence[str]) -> None:
    """InputError if one of these names in `folder` is a link: a folder may come from a stranger,
    and what is written stays in it."""
    for name in names:
        if (folder / name).is_symlink():
            raise InputError(
                f"{folder / name} is a link, and nothing is written through one: remove it, or put "
                "the file itself there"
            )


def make_folder(path: Path) -> None:
    """Make the folder and those above it; a path may be deeper than Python's own way allows."""
    missing = [path]
    while not os.path.lexists(missing[-1].parent):
        missing.append(missing[-1].parent)
    made: list[Path] = []
    try:
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            made.append(folder)
    except OSError:
        remove_empty(reversed(made))
        raise


def remove_empty(folders: Iterable[Path]) -> None:
    """Take folders back, the deepest first, as far as nothing is in them."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def claim_to_resume(folder: Path) -> None:
    """Claim a folder that holds a run, to resume it: nobody else may be at it.

    Raises
    ------
    InputError
        A process is working on the run, or the folder cannot be written.
    """
    check_no_links(folder, (CLAIM, *OF_A_RUN, *OTHERS))
    try:
        atomic.on_write("claim", folder)
        claim = atomic.open_own(folder / CLAIM, os.O_CREAT | os.O_RDWR)
    except OSError as error:
        raise input_error(
            f"the run folder {str(folder)!r} cannot be written ({reason(error)}); "
            f"{remedy(error, 'it must be, to resume the run')}",
            error,
        ) from error
    if not _lock(claim, folder / CLAIM, without_locks=True):
        owner = lock.owner(claim)
        os.close(claim)
        raise TemporaryError(
            f"{folder}: the run is still under way ({owner}); let it end, or end it"
        )
    with suppress(OSError):
        lock.sign(claim)
    _claims[folder] = claim


@contextmanager
def all_or_nothing(folder: Path, names: Sequence[str]) -> Iterator[None]:
    """Write the first files of a run in the block; nothing is left if the card refuses one.

    Raises
    ------
    InputError
        As `claim_run_folder`.
    """
    try:
        yield
    except OSError as error:
        for name in names:
            with suppress(OSError):
                (folder / name).unlink(missing_ok=True)
        release_claim(folder, remove=True)
        raise _unwritable(folder, error) from error


def release_claim(folder: Path, *, remove: bool = False) -> None:
    """Let others resume the run; or, if nothing came of it, take the claim and the folder back."""
    if remove:
        with suppress(OSError):
            (folder / CLAIM).unlink(missing_ok=True)
            folder.rmdir()
    claim = _claims.pop(folder, None)
    if claim is not None:
        os.close(claim)


# Files that this process holds a lock on: the system lets go of it when the process ends, however
# it ends.
_claims: dict[Path, int] = {}


def _open_claim(folder: Path) -> tuple[bool, int]:
    """Whether the claim is new, and its descriptor."""
    path = folder / CLAIM
    try:
        return True, os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    except FileExistsError:
        return False, atomic.open_own(path, os.O_RDWR)


def _lock(descriptor: int, path: Path, *, without_locks: bool) -> bool:
    """Lock the claim for this process, unless somebody has taken it away since it was opened."""
    try:
        return lock.take(descriptor, without_locks=without_locks) and os.path.samestat(
            os.fstat(descriptor), os.stat(path)
        )
    except FileNotFoundError:
        return False


def _taken(folder: Path) -> InputError:
    return InputError(
        f"{folder} already holds a run; give another hydra.run.dir, or resume={folder}"
    )


def _unwritable(folder: Path, error: OSError | ValueError) -> InputError:
    return input_error(
        f"the run folder {str(folder)!r} cannot be written ({reason(error)}); "
        f"{remedy(error, 'give a hydra.run.dir that can')}",
        error,
    )
