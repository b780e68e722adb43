"""One of several processes that train together: the door's part of it."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from raspitrain.config.overrides import split_override
from raspitrain.distributed.launch import Launch, check_address, launched
from raspitrain.errors import InputError
from raspitrain.paths import config_folder

if TYPE_CHECKING:
    from raspitrain.distributed.group import Group

SECTION = "distributed"
FOLDER = "hydra.run.dir="
AUTO = "resume=auto"


def is_one_of_several(distributed: Mapping[str, Any]) -> bool:
    return distributed["sync"] != "none" and launched(os.environ) is not None


def words_of_rank(words: Sequence[str]) -> list[str]:
    """What the command line means for this process, where it is one of several.

    What torchrun has started again resumes in its folder. Another rank than 0 has no folder of its
    own in the end: what Hydra makes lies among temporary files.
    """
    is_sweep = bool({"--multirun", "-m"} & set(words))
    if is_sweep and any(word.startswith(f"{SECTION}.boards=") for word in words):
        raise InputError(
            "distributed.boards is for one model: the jobs of a sweep go to launcher.boards."
        )
    launch = launched(os.environ)
    if launch is None or f"{SECTION}.sync=none" in words:
        return list(words)
    if is_sweep:
        raise InputError(
            f"this is one of {launch.num_ranks} processes, and each would run the whole sweep: "
            "start a sweep once, without torchrun, srun or mpirun, or add distributed.sync=none."
        )
    _check_restarts(launch, words)
    if launch.restarts and not any(word.startswith("resume=") for word in words):
        return [AUTO, *words]
    return list(words)


def words_for_hydra(words: Sequence[str]) -> list[str]:
    """The same words, with a folder of this process's own where rank 0 alone has the run's."""
    launch = launched(os.environ)
    if launch is None or launch.rank == 0 or f"{SECTION}.sync=none" in words:
        return list(words)
    own = f"{tempfile.gettempdir()}/raspitrain-rank{launch.rank}-{os.getpid()}"
    return [*(word for word in words if not word.startswith(FOLDER)), f"{FOLDER}{own}"]


def join(distributed: Mapping[str, Any]) -> "Group | None":
    """Meet the other processes; None where there are none, or each is to train for itself.

    Parameters
    ----------
    distributed : the section of the configuration
    """
    launch = launched(os.environ)
    if launch is None or not is_one_of_several(distributed):
        return None
    check_address(launch, public=distributed["public_address"])
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # addresses without a name are no fault
    from raspitrain.distributed.group import join

    return join(launch, timeout_seconds=distributed["timeout_seconds"])


def join_for(words: Sequence[str]) -> "Group | None":
    """`join` where there is no composed configuration: a run is resumed, and rank 0 has its own."""
    if launched(os.environ) is None:
        return None
    own = [word for word in words if split_override(word).key.startswith(f"{SECTION}.")]
    stored: Any = OmegaConf.load(config_folder() / "config.yaml")
    merged = OmegaConf.merge(stored[SECTION], OmegaConf.from_dotlist(own).get(SECTION, {}))
    distributed: Any = OmegaConf.to_container(merged)
    return join(distributed)


def _check_restarts(launch: Launch, words: Sequence[str]) -> None:
    if launch.may_restart and not any(word.startswith((FOLDER, "resume=")) for word in words):
        raise InputError(
            "torchrun --max-restarts starts the same command again, which goes on in a folder of a "
            "fixed name alone: add hydra.run.dir=FOLDER."
        )
