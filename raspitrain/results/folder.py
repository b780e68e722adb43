"""One folder a run."""

import os
from pathlib import Path

from raspitrain.errors import InputError
from raspitrain.results import atomic

CLAIM = ".raspitrain-run"
RUN_FILES = ("metrics.csv", "last.pt", "best.pt", "summary.json")


def claim_run_folder(path: str | os.PathLike[str]) -> Path:
    """Create the folder `path` if need be and claim it for this run alone.

    Returns
    -------
    Path
        The folder's absolute path.

    Raises
    ------
    InputError
        The folder holds a run already, or cannot be created or written.
    """
    folder = Path(path).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # An open with O_EXCL succeeds once, however many runs start in the same second.
        atomic.on_write("claim", folder)
        claim = os.open(folder / CLAIM, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError as error:
        if folder.is_dir():
            raise _taken(folder) from error
        raise InputError(f"{folder} is a file, not a folder; give another hydra.run.dir") from error
    except NotADirectoryError as error:
        raise InputError(
            f"{folder} cannot be a folder, as a part of its path is a file; "
            "give another hydra.run.dir"
        ) from error
    except (OSError, ValueError) as error:
        raise _unwritable(folder, error) from error
    try:
        # A run copied from elsewhere without its hidden files is still a run.
        if any((folder / name).exists() for name in RUN_FILES):
            raise _taken(folder)
        os.write(claim, f"process {os.getpid()}\n".encode())
        os.fsync(claim)
        atomic.fsync_folder(folder)
    except BaseException as error:
        (folder / CLAIM).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(folder, error) from error
        raise
    finally:
        os.close(claim)
    return folder


def _taken(folder: Path) -> InputError:
    return InputError(f"{folder} already holds a run; give another hydra.run.dir")


def _unwritable(folder: Path, error: OSError | ValueError) -> InputError:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return InputError(
        f"the run folder {str(folder)!r} cannot be written ({reason}); "
        "give a hydra.run.dir that can"
    )
