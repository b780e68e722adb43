"""What the benchmarks share: a configuration, turns, a table, and what it was measured on."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig

from raspitrain.cli.main import config_folder
from raspitrain.run.environment import environment_record

if TYPE_CHECKING:
    from raspitrain.run.prepare import Prepared


def compose(*overrides: str) -> DictConfig:
    """The configuration that `python -m raspitrain` with these overrides would run."""
    with hydra.initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
        return hydra.compose("config", list(overrides))


def blog_job(
    model: str, *overrides: str, num_cases: int, batch_size: int, threads: int
) -> "Prepared":
    """The blog's run with another model, 3 × 224, trained on `num_cases` of twice as many."""
    from raspitrain.run.prepare import prepare

    return prepare(
        compose(
            "experiment=blog",
            f"model={model}",
            f"dataset.num_cases={2 * num_cases}",
            "dataset.num_channels=3",
            "dataset.length=224",
            "split.train=null",
            "split.test=0.5",
            f"batch_size={batch_size}",
            f"hardware.num_threads={threads}",
            *overrides,
        )
    )


def training(job: "Prepared", *, epochs: int) -> Callable[[], object]:
    """A turn of so many epochs and no evaluation."""
    from raspitrain.training.training import Position

    alone = replace(job.training, parts={"train": job.training.parts["train"]})
    return lambda: list(replace(alone, position=Position()).evaluations(epochs, eval_every=epochs))


def take_turns(
    contenders: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each contender's turns: what else the machine does meets them all alike.

    Everyone goes once unmeasured. Then rounds follow, every other one in reverse, until there were
    `rounds` of them and `seconds` have passed.
    """
    for turn in contenders.values():
        turn()
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    began = time.perf_counter()
    number = 0
    while number < rounds or time.perf_counter() - began < seconds:
        for name in order:
            start = clock()
            contenders[name]()
            taken[name].append(clock() - start)
        order.reverse()
        number += 1
    return taken


def print_head(*columns: str) -> None:
    print("| " + " | ".join(columns) + " |")
    print("|---" * len(columns) + "|", flush=True)


def print_row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def describe_machine() -> str:
    """Processor, system, versions and commit in one line."""
    record = environment_record()
    machine, versions = record["machine"], record["versions"]
    git = record["git"]["raspitrain"]
    commit = "" if git is None else f" at {git['commit'][:10]}" + ", changed" * bool(git["dirty"])
    return (
        f"{machine['model']} ({machine['architecture']}), {machine['cores_available']} cores, "
        f"{machine['memory_total_mb'] / 1e3:.0f} GB; {record['system']['os']}; "
        f"Python {record['python']}, torch {versions['torch']}, "
        f"raspitrain {versions['raspitrain']}{commit}"
    )
