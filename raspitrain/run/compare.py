"""Several models on the same data by folds of its training part, and which to take.

    rivals = compare(cfg, {"minirocket": node, …}, num_folds=3, seconds=600)
    best = choose(rivals)

The test part is never looked at: it stays for the run that trains the choice.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from raspitrain.config.build import build_cases
from raspitrain.data.cases import Cases
from raspitrain.data.split import Split, folds_within, split_cases
from raspitrain.errors import InputError
from raspitrain.hardware.threads import hardware_as_it_was
from raspitrain.run.loop import train_to_the_end
from raspitrain.run.prepare import Prepared, prepare
from raspitrain.training.metrics import standard_error

WINDOWS_TIMED = 30


class TimeIsUpError(Exception):
    """The minutes that were given are over."""


@dataclass
class Rival:
    """A model, and what its folds came to.

    Attributes
    ----------
    hits, cases : of the folds that have finished
    seconds : of training, a fold each
    latency_ms : of one window, the median; None before a fold has finished
    num_bytes : of weights and buffers
    note : why folds are missing; empty if none are
    """

    name: str
    hits: int = 0
    cases: int = 0
    seconds: list[float] = field(default_factory=list)
    latency_ms: float | None = None
    num_bytes: int = 0
    note: str = ""

    @property
    def num_folds(self) -> int:
        return len(self.seconds)

    @property
    def accuracy(self) -> float:
        return self.hits / self.cases

    @property
    def standard_error(self) -> float:
        return standard_error(self.hits, self.cases)


def compare(
    cfg: DictConfig,
    models: Mapping[str, DictConfig],
    *,
    num_folds: int,
    seconds: float,
    tell: Callable[[str], None] = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
) -> list[Rival]:
    """Train every model on every fold, fold by fold, until all is done or the time is up.

    Parameters
    ----------
    cfg : of a run; its model is replaced
    models : by name, what stands under `model`
    seconds : for all of it; a model that is being trained then is given up
    tell : takes a line for each fold that has finished

    Raises
    ------
    InputError
        The data cannot be read or split.
    """
    deadline = clock() + seconds
    cases = build_cases(cfg.dataset, list(cfg.allowed_targets))
    splits = folds_of_training(cases, cfg, num_folds)
    if unseen := {
        int(k) for s in splits for k in np.setdiff1d(cases.labels[s.test], cases.labels[s.train])
    }:
        names = ", ".join(cases.class_names[k] for k in sorted(unseen))
        tell(
            f"warning: all cases of {names} in the training part are of one recording or group, so "
            "that one fold tests on what its models have never seen, and no accuracy here means "
            "much: bring more recordings of it, or cut the one with dataset.blocks=10"
        )
    rivals = [Rival(name) for name in models]

    def check_time() -> None:
        if clock() > deadline:
            raise TimeIsUpError

    for number, split in enumerate(splits, start=1):
        for rival in rivals:
            if rival.note:
                continue
            spent = max(rival.seconds, default=0.0)
            if clock() + spent > deadline:
                rival.note = f"no time for more than {rival.num_folds} of {num_folds} folds"
                continue
            own = cfg.copy()
            OmegaConf.update(own, "model", models[rival.name], merge=False)
            try:
                with hardware_as_it_was():
                    _one_fold(rival, own, cases, split, check_time)
            except TimeIsUpError:
                rival.note = f"the time was up after {rival.num_folds} of {num_folds} folds"
            except InputError as error:
                rival.note = str(error)
            else:
                tell(
                    f"fold {number}/{num_folds}  {rival.name}  {100 * rival.accuracy:.1f} % so "
                    f"far  {rival.seconds[-1]:.2f} s"
                )
    return rivals


def folds_of_training(cases: Cases, cfg: DictConfig, num_folds: int) -> list[Split]:
    """Folds of what a run with this configuration would train and validate on."""
    whole = split_cases(cases, seed=cfg.seed, **cfg.split)
    trained = np.concatenate([whole.train, whole.validation])
    return folds_within(
        cases, trained, num_folds,
        stratify=cfg.split.stratify, seed=cfg.seed, given_by="--folds ",
    )  # fmt: skip


def _one_fold(
    rival: Rival, cfg: DictConfig, cases: Cases, split: Split, check_time: Callable[[], None]
) -> None:
    prepared = prepare(cfg, data=(cases, split))
    training = prepared.training
    last = train_to_the_end(prepared, cfg, on_step=check_time, on_batch=check_time)
    assert last.test_confusion is not None
    rival.hits += int(last.test_confusion.hits.sum())
    rival.cases += last.test_confusion.num_cases
    rival.seconds.append(prepared.seconds_of_trials + training.position.seconds)
    if rival.latency_ms is None:
        rival.latency_ms = _latency_ms(prepared)
        rival.num_bytes = sum(
            tensor.numel() * tensor.element_size()
            for tensor in training.model.state_dict().values()
        )


@torch.inference_mode()
def _latency_ms(prepared: Prepared) -> float:
    training = prepared.training
    window, _ = training.parts["test"].gather(torch.arange(1))
    model, window = training.model.eval(), window.to(training.device)
    times = []
    for _ in range(WINDOWS_TIMED):
        began = time.perf_counter()
        model(window).argmax(1).item()
        times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times)


def choose(rivals: Sequence[Rival]) -> tuple[Rival, list[Rival]] | None:
    """The model to take, and those that are as accurate as the best one within its standard error,
    the fastest to train first, which is the one that is taken. None if no fold has finished.

    Those with fewer folds than another are no choice: their cases were others.
    """
    most = max((rival.num_folds for rival in rivals), default=0)
    there = [rival for rival in rivals if rival.num_folds == most]
    if not most:
        return None
    best = max(there, key=lambda rival: rival.accuracy)
    near = [r for r in there if r.accuracy >= best.accuracy - best.standard_error]
    near.sort(key=lambda rival: statistics.median(rival.seconds))
    return near[0], near
