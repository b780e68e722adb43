"""Which board this is, and what its profile in conf/hardware says.

With hardware=auto most values are `auto`: they stand for those of the board's own profile. They
are filled in after composition and before torch is imported, so whatever is typed wins.
"""

import functools
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from raspitrain.config.rules import leaves
from raspitrain.errors import InputError, counted
from raspitrain.hardware.board import available_cores, machine_model, read_text
from raspitrain.hardware.readings import find_sensors
from raspitrain.paths import config_folder, options_of

# By the first digit of a Raspberry Pi's name, Compute Modules and keyboards (400, 500) included.
GENERATIONS = {2: "raspberrypi3", 3: "raspberrypi3", 4: "raspberrypi4", 5: "raspberrypi5"}
# A container may hide the board's name, not its processor (implementer 0x41, Arm).
PARTS = {"0xd0b": "raspberrypi5", "0xd08": "raspberrypi4", "0xd03": "raspberrypi3"}
SMALL_MB = 700  # a Pi 3 A+ has a Zero 2 W's processor and memory
OTHERWISE = "desktop"

MEASURED = "num_threads"
STAY_AUTO = (MEASURED, "engine")  # there `auto` is a value of its own: what a measurement finds


@dataclass(frozen=True)
class Profile:
    """What is taken for this machine.

    Attributes
    ----------
    name : of the profile in conf/hardware
    recognised : the profile that fits this machine
    model : the machine in its own words
    filled : dotted key below hardware → value taken from the profile, or lowered to fit
    notes : sentences about settings that do nothing here, or not what they say
    """

    name: str
    recognised: str
    model: str | None
    filled: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """For environment.json and summary.json."""
        return {"profile": self.name, "recognised": self.recognised, "model": self.model}


def with_profile(cfg: DictConfig, typed: Collection[str] = ()) -> tuple[DictConfig, Profile]:
    """A copy of `cfg` without `auto` where the board's profile has a value, and what was done.

    Parameters
    ----------
    cfg : composed; one that was given here before comes back as it is
    typed : keys that the user gave himself, such as "hardware.num_threads"
    """
    profile = resolve_profile(cfg.hardware, typed)
    cfg = cfg.copy()
    for key, value in profile.filled.items():
        OmegaConf.update(cfg, f"hardware.{key}", value)
    return cfg, profile


def is_settled(hardware: DictConfig) -> bool:
    """Whether no `auto` is left that a board's profile decides."""
    return not any(v == "auto" and key not in STAY_AUTO for key, v in _values(hardware).items())


def _values(node: Any) -> dict[str, Any]:
    """Dotted key → value, plain."""
    values: Any = OmegaConf.to_container(node, resolve=True)
    return dict(leaves(values))


def resolve_profile(hardware: DictConfig, typed: Collection[str] = ()) -> Profile:
    """Recognise the machine and look up what its profile says for each `auto`."""
    given = _values(hardware)
    root = Path(given["readings.root"])
    if not root.is_dir():
        raise InputError(f"hardware.readings.root={root}: there is no such folder.")
    recognised = recognise(root)
    name = recognised if given["profile"] == "auto" else given["profile"]
    filled: dict[str, Any] = {} if given["profile"] == name else {"profile": name}
    values = profile_values(name)
    for key, value in given.items():
        if value == "auto" and key not in ("profile", *STAY_AUTO):
            if not values:
                raise InputError(
                    f"hardware.profile={name}: there is no such profile; it may be "
                    f"{', '.join(options_of('hardware'))}."
                )
            if values.get(key, "auto") == "auto":
                raise InputError(
                    f"hardware.{key}=auto needs a profile that sets it, and conf/hardware/"
                    f"{name}.yaml does not: give a value."
                )
            filled[key] = values[key]
    settled = given | filled
    if resume := _resume_below(settled, values, typed):
        filled["thermal.resume_below_c"] = resume
    notes = _without_effect(settled, typed, root)
    threads, cores = settled[MEASURED], available_cores()
    if threads != "auto" and threads > cores:
        if f"hardware.{MEASURED}" in typed:
            notes.append(
                f"hardware.num_threads={threads} is more than the {counted(cores, 'core')} that "
                "this process may use: threads will wait for one another."
            )
        else:
            filled[MEASURED] = cores
            notes.append(
                f"hardware={name} asks for {threads} threads and this process may use "
                f"{counted(cores, 'core')}: hardware.num_threads={cores} is taken."
            )
    return Profile(name, recognised, machine_model(root), filled, tuple(notes))


def _resume_below(
    settled: Mapping[str, Any], values: Mapping[str, Any], typed: Collection[str]
) -> float | None:
    """As far below a typed pause_above_c as the profile has it; None where nothing is to do."""
    pause, resume = settled["thermal.pause_above_c"], settled["thermal.resume_below_c"]
    if resume < pause:
        return None
    if "hardware.thermal.resume_below_c" in typed or "thermal.pause_above_c" not in values:
        raise InputError(
            f"hardware.thermal.resume_below_c={resume:g} must be below "
            f"hardware.thermal.pause_above_c={pause:g}."
        )
    return float(pause - (values["thermal.pause_above_c"] - values["thermal.resume_below_c"]))


def recognise(root: Path) -> str:
    """The profile in conf/hardware that fits the machine below `root`."""
    model = machine_model(root) or ""
    found = re.match(r"Raspberry Pi (?:Compute Module )?(?:Zero )?(\d)", model)
    if found and "Zero" in model:
        return "zero2w"
    if found:
        generation = min(int(found[1]), max(GENERATIONS))
        return _by_memory(GENERATIONS.get(generation, OTHERWISE), root)
    if "Raspberry Pi" not in model and not read_text(root / "proc/device-tree/model"):
        part = re.search(r"^CPU part\s*:\s*(\S+)", read_text(root / "proc/cpuinfo"), re.M)
        if part:
            return _by_memory(PARTS.get(part[1], OTHERWISE), root)
    return OTHERWISE


def _by_memory(name: str, root: Path) -> str:
    total = re.search(r"^MemTotal:\s*(\d+) kB", read_text(root / "proc/meminfo"), re.M)
    if name == "raspberrypi3" and total and int(total[1]) * 1024 / 1e6 < SMALL_MB:
        return "zero2w"
    return name


@functools.cache
def profile_values(name: str) -> dict[str, Any]:
    """What the profile's own file says, and those that it builds on, beside auto: dotted key →
    value. Nothing for a file of the user's."""
    path = config_folder() / "hardware" / f"{name}.yaml"
    if not path.is_file():
        return {}
    own = _values(OmegaConf.load(path))
    values: dict[str, Any] = {}
    for base in own.pop("defaults", ()):
        if base != "auto":
            values |= profile_values(base)
    return values | own


def foreign_program(config: Mapping[str, Any]) -> str | None:
    """What hardware.readings.vcgencmd names, where that is not what ours does: it is started."""
    program = str(config["hardware"]["readings"]["vcgencmd"])
    return None if program == profile_values("auto")["readings.vcgencmd"] else program


def _without_effect(given: Mapping[str, Any], typed: Collection[str], root: Path) -> list[str]:
    """Sentences about what the user typed and this machine cannot do."""
    notes = []
    thermal = [key for key in typed if key.startswith("hardware.thermal.")]
    if thermal and given["thermal.policy"] == "none":
        others = [key for key in thermal if key != "hardware.thermal.policy"]
        if others:
            notes.append(
                f"{others[0]} has no effect: hardware.thermal.policy is none; "
                "pause or drop_thread would use it."
            )
    elif thermal and find_sensors(root).temperature_c() is None:
        notes.append(f"{thermal[0]} has no effect: no temperature can be read on this machine.")
    vcgencmd = given["readings.vcgencmd"]
    if "hardware.readings.vcgencmd" in typed and shutil.which(vcgencmd) is None:
        notes.append(
            f"hardware.readings.vcgencmd has no effect: {vcgencmd} is no program that can be run."
        )
    if given["thermal.policy"] == "drop_thread" and given[MEASURED] == 1:
        notes.append(
            "hardware.thermal.policy=drop_thread has no effect: there is one thread; pause would "
            "keep the board cool."
        )
    if given["device"] == "cuda":
        for key in ("num_threads", "wait_policy", "flush_denormals"):
            if f"hardware.{key}" in typed:
                notes.append(
                    f"hardware.{key} has no effect on training: a GPU does the work, and the "
                    "processor only prepares its batches."
                )
    return notes
